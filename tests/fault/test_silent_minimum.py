"""A result that is too small is refused at home: what the partner sees of the run is what it sees of any other.

Whether a minimum is reached is one bit about both sets, and the partner chooses one of them: it could put one key of interest
beside as many as it knows to be common. So nothing that reaches it may depend on the refusal: no frame, no abort, no record.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import psc
from psc.errors import AbortCode, MalformedMessageError, PolicyDeniedError, PscError, Rule
from psc.node.datasets import find_dataset
from psc.operations.requests import Request
from psc.operations.terms import PLAYS
from psc.session.channel import Channel, ChannelStats
from psc.testing.madeup import ORDER_PHONE, PARCEL_PHONE
from psc.testing.nodes import grant
from psc.transport.grpc.connection import SessionCalls
from psc.types import OperationName
from tests.fault.meddling import kind_of
from tests.fault.parties import Parties, common_keys

CASES = [
    "match by dh-psi",
    "match by vole-psi",
    "match of columns",
    "match by any of several keys",
    "count",
    "aggregate",
    "aggregate of counts",
]
PROTOCOLS: dict[str, tuple[OperationName, str]] = {
    "match by dh-psi": ("match", "dh-psi"),
    "match by vole-psi": ("match", "vole-psi"),
    "match of columns": ("match", "dh-psi"),
    "match by any of several keys": ("match", "dh-psi"),
    "count": ("count", "dh-psi-count"),
    "aggregate": ("aggregate", "dh-sum"),
    "aggregate of counts": ("aggregate", "dh-sum"),
}


def either(pair: Parties) -> None:
    """Let the courier's parcels be matched by the phone or by how it is written, once."""
    if find_dataset(pair.courier.home, "either") is None:
        keys = [f"phone={PARCEL_PHONE}:phone", f"written={PARCEL_PHONE}:text"]
        grant(pair.courier, "merchant", "either", source=pair.folder / "parcels.parquet", keys=keys)


def asked(pair: Parties, case: str, minimum: int) -> Request:
    """Return a request whose result goes to the asking side alone."""
    ask = {"output_to": "receiver", "minimum_result": minimum}
    if case == "count":
        return pair.count(**ask)
    if case == "match of columns":
        return pair.match(**ask)
    if case == "match by any of several keys":
        either(pair)
        on = psc.any_of({"phone": ORDER_PHONE}, {"written": ORDER_PHONE})
        return pair.match(**ask, dataset="either", want=[], on=on)
    if case.startswith("match"):
        return pair.match(**ask, want=[], protocol=case.removeprefix("match by "))
    return pair.aggregate(**ask, **({"select": [psc.count()]} if case == "aggregate of counts" else {}))


class Watched:
    """The responder's channel, which notes each frame's way, kind and length, and how the session ends."""

    def __init__(self, inner: Channel) -> None:
        self._inner = inner
        self.seen: list[tuple[str, str, int]] = []

    @property
    def stats(self) -> ChannelStats:
        return self._inner.stats

    def send(self, frame: bytes) -> None:
        self.seen.append(("sent", kind_of(frame), len(frame)))
        self._inner.send(frame)

    def recv(self) -> bytes:
        frame = self._inner.recv()
        self.seen.append(("received", kind_of(frame), len(frame)))
        return frame

    def flush(self) -> None:
        self._inner.flush()

    def abort(self, code: AbortCode) -> None:
        self._inner.abort(code)

    def close(self) -> None:
        self._inner.close()


@dataclass
class Seen:
    """What the responder saw of a run: frames, calls that end a session, its own record and log."""

    frames: list[tuple[str, str, int]]
    ends: list[str]
    status: str
    moved: tuple[int, int]
    events: list[str]
    error: PscError | None


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the calls by which the initiator ends a session, as they go out."""
    made: list[str] = []
    push, abort = SessionCalls.push, SessionCalls.abort

    def pushed(self: SessionCalls, *frames: object, closing: bool, **rest: object) -> int:
        if closing:
            made.append("closing")
        return push(self, *frames, closing=closing, **rest)  # type: ignore[arg-type]

    def aborted(self: SessionCalls, code: AbortCode) -> None:
        made.append(str(code))
        abort(self, code)

    monkeypatch.setattr(SessionCalls, "push", pushed)
    monkeypatch.setattr(SessionCalls, "abort", aborted)
    return made


def seen(pair: Parties, request: Request, ends: list[str]) -> Seen:
    channels: list[Watched] = []

    def watch(channel: Channel) -> Channel:
        channels.append(Watched(channel))
        return channels[-1]

    assert pair.handler is not None
    pair.handler.wrap = watch
    ends.clear()
    begun = len(pair.log)
    try:
        outcome = pair.run(request)
    finally:
        pair.handler.wrap = None
    assert outcome.responder is None, outcome.responder
    record = outcome.responder_record
    assert record is not None
    assert (outcome.result is None) == (outcome.initiator is not None)
    return Seen(
        channels[0].seen,
        list(ends),
        record.status,
        (record.bytes_sent, record.bytes_received),
        [line["event"] for line in pair.log[begun:] if line["event"].startswith("session.")],
        outcome.initiator,
    )


@pytest.mark.parametrize("case", CASES)
def test_the_responder_sees_the_same_of_a_small_and_of_a_large_result(pair: Parties, case: str, ends: list[str]) -> None:
    common = len(common_keys(pair))
    large = seen(pair, asked(pair, case, common), ends)
    small = seen(pair, asked(pair, case, common + 1), ends)
    assert large.error is None
    assert isinstance(small.error, PolicyDeniedError)
    assert small.error.rule is Rule.RESULT_TOO_SMALL
    assert len(large.frames) > 4
    assert small.frames == large.frames
    assert small.ends == large.ends == ["closing"]
    assert small.status == large.status == "finished"
    assert small.moved == large.moved
    assert "session.aborted" not in [*small.events, *large.events]


def test_the_own_record_says_what_was_refused(pair: Parties) -> None:
    outcome = pair.run(asked(pair, "count", len(common_keys(pair)) + 1))
    assert outcome.initiator_record.status == "refused"
    assert outcome.initiator_record.bytes_received > 0
    assert outcome.initiator is not None
    assert outcome.initiator.fields["run_id"] == outcome.run_id


@pytest.mark.parametrize("case", CASES)
def test_a_result_that_cannot_be_made_is_no_news_to_the_responder(
    pair: Parties, case: str, ends: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the receipt an error of the own side, which may come of what is common, ends nothing at the other."""
    honest = seen(pair, asked(pair, case, 0), ends)

    def broken(*_: object) -> None:
        raise MalformedMessageError("session.message-malformed", what="made up")

    monkeypatch.setattr(PLAYS[PROTOCOLS[case]], "result", broken)
    failed = seen(pair, asked(pair, case, 0), ends)
    assert isinstance(failed.error, MalformedMessageError)
    assert failed.frames == honest.frames
    assert failed.ends == honest.ends == ["closing"]
    assert failed.status == "finished"
