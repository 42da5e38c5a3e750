"""A small hello that asks for much: what the answer would hold in memory is bounded before it is read, and none of it stays.

A hello of a few kilobytes may name 128 statistics; each takes 8 bytes for every key of the responder's. The responder refuses
what its limit does not allow before it charges or reads anything, and keeps nothing of a run's numbers for the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import psc
from psc.errors import AbortCode, PeerAbortedError
from psc.node.runs import list_runs
from psc.node.tables import read_dataset
from psc.operations import responder
from psc.operations.play import RunShape
from psc.operations.terms import PLAYS
from psc.policy.ledger import charges
from tests.fault.parties import Parties
from tests.fault.test_hostile_hello import check_log, hello_of, send, sign_bytes
from tests.fault.test_hostile_terms import bins, edited, terms

STATISTICS = 128
KEYS = 64
"""Distinct keys of either table, padded."""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each reading of a dataset."""
    made: list[str] = []

    def counting(*args: Any, **options: Any) -> Any:
        made.append(args[0].name)
        return read_dataset(*args, **options)

    monkeypatch.setattr(responder, "read_dataset", counting)
    return made


@pytest.fixture
def limited(pair: Parties, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Give the courier another limit of bytes for a run."""
    home = pair.courier.home

    def limit(transfer_bytes: int) -> None:
        limits = replace(home.settings.limits, transfer_bytes=transfer_bytes)
        monkeypatch.setattr(home, "settings", home.settings.model_copy(update={"limits": limits}))

    yield limit
    monkeypatch.undo()


def ask(pair: Parties, operation: str) -> Any:
    hello = hello_of(pair, operation)
    raw = edited(hello, terms(statistics=bins(STATISTICS), weights=[]))
    return send(pair, raw, sign_bytes(pair.merchant.home.identity, raw))


@pytest.mark.parametrize(
    ("operation", "limit", "code"),
    [
        ("aggregate-owner", 8 * KEYS * STATISTICS - 1, "operations.values-over-limit"),
        ("aggregate", 1_000_000, "operations.transfer-over-limit"),
    ],
)
def test_what_would_not_fit_is_refused_before_it_is_charged_or_read(
    pair: Parties, reads: list[str], limited: Callable[[int], None], operation: str, limit: int, code: str
) -> None:
    limited(limit)
    runs, charged, logged = len(list_runs(pair.courier.home)), len(charges(pair.courier.home)), len(pair.log)
    error = ask(pair, operation)
    assert isinstance(error, PeerAbortedError), error
    assert error.abort_code is AbortCode.LIMIT_EXCEEDED
    check_log(pair, logged, code)
    assert reads == []
    assert (len(list_runs(pair.courier.home)), len(charges(pair.courier.home))) == (runs, charged)


def test_what_just_fits_is_answered(pair: Parties, limited: Callable[[int], None]) -> None:
    limited(8 * KEYS * STATISTICS)
    assert ask(pair, "aggregate-owner") is None


@pytest.mark.parametrize("operation", ["match", "count", "aggregate", "aggregate-owner"])
def test_the_early_bound_is_no_stricter_than_what_the_run_moves(
    pair: Parties, limited: Callable[[int], None], operation: str
) -> None:
    """What moves exactly as much as the limit allows is not refused: sizes that are known early are those of the run."""
    hello = hello_of(pair, operation)
    play = PLAYS[hello.operation, hello.protocol]
    shape = RunShape.asked(hello, [play.asked_size(hello, KEYS)])
    limited(max(play.payload_bytes(shape)))
    pair.check_honest(operation)


def test_the_numbers_of_a_run_are_not_kept(pair: Parties, reads: list[str]) -> None:
    assert pair.handler is not None
    kept = pair.handler._datasets._kept
    kept.clear()
    for operation in ("aggregate", "aggregate-owner"):
        pair.check_honest(operation)
    for select in ([psc.count()], [psc.histogram("fee", range(60))], [psc.var("fee"), psc.sum("fee")]):
        assert pair.run(pair.aggregate(select=select)).initiator is None
    assert reads == ["parcels"]  # the keys serve every run, whatever it computes
    assert len(kept) == 1
    assert all(dataset.vectors is None for dataset in kept.values())
