"""The table of exit codes is documented as it is, and every error has a code in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import psc
from psc import errors
from psc.errors import ExitCode, PscError

from .conftest import Psc

GUIDE = Path(psc.__file__).parent.parent / "docs" / "guides" / "exit-codes.md"


def documented() -> dict[str, int]:
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: int(code) for code, name in rows}


def test_the_guide_has_exactly_the_codes_of_the_program() -> None:
    assert documented() == {code.name: int(code) for code in ExitCode}


def test_every_error_class_has_a_documented_code() -> None:
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PscError)]
    assert len(classes) > 25
    assert {int(kind.exit_code) for kind in classes} <= set(documented().values())
    assert all(kind.exit_code != ExitCode.OK for kind in classes)


@pytest.mark.parametrize("kind", [errors.DataError, errors.ConnectError, errors.StorageError, errors.AuditError])
def test_an_error_becomes_its_exit_code(psc: Psc, monkeypatch: pytest.MonkeyPatch, kind: type[PscError]) -> None:
    def fail(*_: object) -> None:
        raise kind("cli.interrupted")

    monkeypatch.setattr("psc.node.home.Home.open", fail)
    assert psc("partners").code == kind.exit_code
