"""``psc doctor``: each obstacle is named on its own line, with a remedy and the exit code of its kind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from psc.cli import doctor
from psc.errors import AuthenticationError, ConnectError, PscError
from psc.node.clock import now, timestamp
from psc.node.home import Home
from psc.operations.software import own_status
from psc.operations.status import Status
from psc.session.limits import Limits

from .conftest import Psc


@pytest.mark.parametrize(
    ("error", "check", "exit_code"),
    [
        (ConnectError("transport.name-unknown", host="x"), "port", 8),
        (ConnectError("transport.port-closed", address="x:1"), "port", 8),
        (ConnectError("transport.no-answer", address="x:1", seconds=3), "port", 8),
        (ConnectError("transport.plain-text-port", address="x:1"), "tls", 8),
        (AuthenticationError("transport.tls-too-old", address="x:1"), "tls", 6),
        (AuthenticationError("transport.gateway-ends-tls", address="x:1", issuer="Corp", names="gw"), "gateway", 6),
        (AuthenticationError("transport.certificate-expired", address="x:1", at="2026-01-01T00:00:00Z"), "certificate", 6),
        (AuthenticationError("transport.certificate-not-pinned", address="x:1", names="a", expected="b"), "certificate", 6),
        (AuthenticationError("transport.own-certificate-refused", address="x:1", reason="expired"), "identity", 6),
    ],
)
def test_what_the_port_shows_is_told_at_the_right_check(
    psc: Psc, homes: tuple[Home, Home], monkeypatch: pytest.MonkeyPatch, error: PscError, check: str, exit_code: int
) -> None:
    monkeypatch.setattr("psc.transport.probe.diagnose", lambda *_, **__: error)
    monkeypatch.setattr(doctor, "_handshake", lambda *_: None)
    done = psc("doctor courier --home m --json")
    assert done.code == exit_code
    last = done.json()["checks"][-1]
    assert (last["check"], last["status"], last["code"]) == (check, "fail", error.code)
    assert last["remedy"]
    assert not done.json()["ok"]
    shown = psc("doctor courier --home m")
    assert (shown.code, "✗" in shown.out) == (exit_code, True)


def test_a_closed_port_is_found_for_real(psc: Psc, homes: tuple[Home, Home]) -> None:
    done = psc("doctor courier --home m")  # a port that was free a moment ago
    assert done.code == 8
    assert "psc serve" in done.out


def test_an_unknown_partner_is_an_error(psc: Psc, homes: tuple[Home, Home]) -> None:
    assert psc("doctor nobody --home m --json").error()["code"] == "node.partner-unknown"


def software(**changes: Any) -> dict[str, tuple[str, int]]:
    status = own_status("CN", Limits()).model_copy(update=changes)
    assert isinstance(status, Status)
    return {check.name: (check.outcome, int(check.exit_code)) for check in doctor._software(status)}


def test_the_same_software_passes() -> None:
    assert {outcome for outcome, _ in software().values()} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "check", "outcome", "exit_code"),
    [
        ({"series": "psc/2"}, "series", "fail", 7),
        ({"protocols": ()}, "protocols", "fail", 7),
        ({"rules": "psc-rules/2"}, "rules", "fail", 7),
        ({"number_metadata": "0" * 64}, "number-metadata", "fail", 7),
        ({"region": "ZZ"}, "number-metadata", "fail", 7),
        ({"time": "yesterday"}, "clock", "fail", 6),
        ({"time": timedelta(minutes=-10)}, "clock", "fail", 6),
        ({"time": timedelta(minutes=2)}, "clock", "warn", 0),
    ],
)
def test_each_difference_is_named(changes: dict[str, object], check: str, outcome: str, exit_code: int) -> None:
    # Not when the cases are collected: minutes may pass before this one's turn.
    moved = {name: timestamp(now() + value) if isinstance(value, timedelta) else value for name, value in changes.items()}
    found = software(**moved)
    assert found.pop(check) == (outcome, exit_code)
    assert {other for other, _ in found.values()} == {"ok"}
