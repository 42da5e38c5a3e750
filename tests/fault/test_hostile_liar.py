"""A party that lies about its own messages, consistently with its own transcript, so that no receipt can show it.

A semi-honest protocol cannot stop a liar from answering wrongly; what is promised is that nothing impossible is believed,
nothing wrong is joined, nothing is delivered without an agreed receipt, and nothing crashes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from psc.crypto import PointBatch, Rng
from psc.errors import (
    AbortCode,
    AuthenticationError,
    ChannelClosedError,
    MalformedMessageError,
    PeerAbortedError,
    PscError,
    UnexpectedMessageError,
)
from psc.node.identity import verify
from psc.node.runs import get_run, receipt_of
from psc.operations.initiator import Asking
from psc.operations.play import Basis, RunShape
from psc.operations.responder import _Use
from psc.operations.terms import play_of
from psc.protocols import dh_psi, dh_psi_count
from psc.protocols.base import Message
from psc.protocols.cells import CellCounts, GroupLabels, word_bytes
from psc.protocols.owner_sum import ReleasedTable
from psc.protocols.released_sums import ReleasedSums
from psc.session.channel import Channel
from psc.session.drive import drive
from psc.session.hello import Accept, Hello, SessionId
from psc.session.session import Session
from tests.fault.meddling import Liar
from tests.fault.parties import MIN_GROUP, Parties, common_keys


def lying_initiator(
    pair: Parties, operation: str, change: Callable[[Message], Message], *, confirm: Callable[[Session], None] = Session.confirm
) -> tuple[PscError | None, str]:
    """Play a run's initiator by hand; return the error that ended it, if one did, and the run id."""
    with pair.merchant.connect("courier") as partner:
        plan = partner.plan(pair.request(operation))
        assert plan.asking is not None
        assert plan.own is not None
        hello = plan.asking._hello(plan, "".join(Rng.system().bytes(13).hex()))
        identity = pair.merchant.home.identity
        opened = partner._link.open(hello.canonical(), bytes.fromhex(identity.sign(hello)))
        accept = Accept.parse(opened.accept)
        session_id = SessionId(hello, accept)
        session = Session(
            opened.channel,
            session_id,
            "initiator",
            identity.sign,
            lambda document, signature: verify(document, signature, pair.courier.identity),
        )
        shape, liar = RunShape.of(hello, accept), Liar(session, change)
        try:
            confirm(session)
            drive(play_of(shape).ask(shape, plan.own, Basis(session_id.label, Rng.system())), liar)
            session.exchange_receipt(accept)  # any document: whoever comes so far was not refused by the protocol
        except PscError as error:
            return error, hello.run_id
        finally:
            opened.channel.close()
        return None, hello.run_id


def _too_many(message: Message) -> Message:
    return dh_psi_count.CommonCount(True, 65) if isinstance(message, dh_psi_count.CommonCount) else message


def _withheld_but_said(message: Message) -> Message:
    if isinstance(message, dh_psi.MatchedPositions):
        return dh_psi.MatchedPositions(False, message.bitmap)
    if isinstance(message, dh_psi_count.CommonCount):
        return dh_psi_count.CommonCount(False, message.count)
    return message


def _cells(**changes: bytes) -> Callable[[Message], Message]:
    return lambda message: replace(message, **changes) if isinstance(message, CellCounts) else message


def _too_many_in_a_cell(message: Message) -> Message:
    return _cells(counts=word_bytes(np.array([65, 3, 3, 3])))(message)


def _too_few_in_a_cell(message: Message) -> Message:
    return _cells(counts=word_bytes(np.array([3, 3, 3, MIN_GROUP - 1])))(message)


def _nobody_in_a_cell(message: Message) -> Message:
    return _cells(counts=word_bytes(np.array([3, 0, 3, 3])))(message)


def _names_of_nothing(message: Message) -> Message:
    return GroupLabels((b"{}", b"[]")) if isinstance(message, GroupLabels) else message


@pytest.mark.parametrize(
    ("operation", "lie"),
    [
        ("count", _too_many),
        ("count", _withheld_but_said),
        ("match", _withheld_but_said),
        ("aggregate", _too_many_in_a_cell),
        ("aggregate", _too_few_in_a_cell),
        ("aggregate", _nobody_in_a_cell),
        ("aggregate", _names_of_nothing),
        ("aggregate-owner", _names_of_nothing),
    ],
)
def test_an_impossible_result_is_not_believed(pair: Parties, operation: str, lie: Callable[[Message], Message]) -> None:
    error, run_id = lying_initiator(pair, operation, lie)
    assert isinstance(error, PeerAbortedError)
    assert error.abort_code is AbortCode.MALFORMED_MESSAGE
    assert isinstance(pair.ending(run_id), MalformedMessageError)
    assert not list(pair.courier.home.results_folder.glob(f"{run_id}*"))
    pair.check_honest(operation)


def test_a_receipt_of_something_else_delivers_nothing(pair: Parties) -> None:
    error, run_id = lying_initiator(pair, "match", lambda message: message)
    assert isinstance(error, MalformedMessageError | PeerAbortedError)
    assert error.abort_code is AbortCode.MALFORMED_MESSAGE
    ending = pair.ending(run_id)
    assert isinstance(ending, MalformedMessageError | PeerAbortedError)
    record = pair.record(run_id)
    assert record is not None
    assert (record.status, record.result) == ("failed", "")
    assert not list(pair.courier.home.results_folder.glob(f"{run_id}*"))


def test_protocol_messages_before_the_confirmation_are_refused(pair: Parties) -> None:
    def in_haste(session: Session) -> None:
        session.send(dh_psi.BlindedItems(PointBatch.random(Rng.system(), 64)))

    error, run_id = lying_initiator(pair, "match", lambda message: message, confirm=in_haste)
    assert error is not None
    assert isinstance(pair.ending(run_id), UnexpectedMessageError)


def test_a_confirmation_in_the_other_role_is_refused(pair: Parties) -> None:
    def echo(session: Session) -> None:
        session.channel.send(session.channel.recv())  # the responder's own confirmation, sent back

    error, run_id = lying_initiator(pair, "match", lambda message: message, confirm=echo)
    assert error is not None
    assert isinstance(pair.ending(run_id), AuthenticationError)


class LyingRun:
    """A responder whose protocol messages are changed, consistently with its own transcript."""

    def __init__(self, pair: Parties, hello: Hello, accept: Accept, change: Callable[[Message], Message]) -> None:
        self._pair, self._hello, self._accept, self._change = pair, hello, accept, change

    def __call__(self, channel: Channel) -> None:
        identity = self._pair.courier.home.identity
        session_id = SessionId(self._hello, self._accept)
        session = Session(
            channel,
            session_id,
            "responder",
            identity.sign,
            lambda document, signature: verify(document, signature, self._pair.merchant.identity),
        )
        session.confirm()
        terms = self._hello.aggregate
        loaded = self._pair.handler._datasets.load(_Use.of(self._hello), () if terms is None else terms.statistics)
        shape = RunShape.of(self._hello, self._accept)
        drive(play_of(shape).answer(shape, loaded, Basis(session_id.label, Rng.system())), Liar(session, self._change))


def _shuffled_points(message: Message) -> Message:
    if not isinstance(message, dh_psi.EvaluatedItems):
        return message
    order = np.random.default_rng(1).permutation(len(message.points))
    return dh_psi.EvaluatedItems(PointBatch(b"".join(message.points.data[32 * at : 32 * at + 32] for at in order)))


def _random_points(message: Message) -> Message:
    if not isinstance(message, dh_psi.EvaluatedItems):
        return message
    return dh_psi.EvaluatedItems(PointBatch.random(Rng.system(), len(message.points)))


def _one_tag_for_all(message: Message) -> Message:
    if not isinstance(message, dh_psi.SenderTags):
        return message
    return dh_psi.SenderTags(message.tags[:7] * (len(message.tags) // 7) + message.tags[: len(message.tags) % 7])


def _random_rows(message: Message) -> Message:
    if not isinstance(message, dh_psi.RowEntries):
        return message
    return dh_psi.RowEntries(Rng.system().bytes(len(message.entries)))


def _damaged_rows(message: Message) -> Message:
    if not isinstance(message, dh_psi.RowEntries):
        return message
    data = bytearray(message.entries)
    data[20::40] = bytes(byte ^ 1 for byte in data[20::40])
    return dh_psi.RowEntries(bytes(data))


class Watched(Asking):
    """An initiator whose protocol output can be looked at even when the run fails afterwards."""

    outputs: list[tuple[dh_psi.Intersection, ...]]

    def _compute(self, *arguments: Any) -> Any:
        output = super()._compute(*arguments)
        self.outputs.append(output)
        return output


@pytest.mark.parametrize("lie", [_shuffled_points, _random_points, _one_tag_for_all, _random_rows, _damaged_rows])
def test_a_lying_sender_gives_no_wrong_row(pair: Parties, lie: Callable[[Message], Message]) -> None:
    """It can hide its rows, but nothing wrong is ever joined; and it stops before the receipt, so nothing is shown either."""
    hellos: list[Hello] = []
    outputs: list[tuple[dh_psi.Intersection, ...]] = []
    pair.handler.answer = lambda answer: replace(answer, run=LyingRun(pair, hellos[0], Accept.parse(answer.accept), lie))

    def watch(plan: Any) -> None:
        honest = plan.asking

        def opened(hello: bytes, *rest: Any) -> Any:
            hellos.append(Hello.parse(hello))
            return honest.open(hello, *rest)

        plan.asking = Watched(honest.home, honest.partner, opened, honest.tap)
        object.__setattr__(plan.asking, "outputs", outputs)

    try:
        with pair.merchant.connect("courier") as partner:
            plan = partner.plan(pair.match())
            watch(plan)
            with pytest.raises(PscError) as caught:
                plan.run()
    finally:
        pair.handler.answer = lambda answer: answer
    if outputs:
        assert isinstance(caught.value, ChannelClosedError | PeerAbortedError)
        assert len(outputs[0][0].matched) < len(common_keys(pair))
    else:
        assert caught.value.code in ("session.message-malformed", "crypto.not-sorted", "crypto.row-does-not-open")
    record = get_run(pair.merchant.home, hellos[0].run_id)
    assert (record.status, record.code) == ("failed", caught.value.code)
    assert receipt_of(pair.merchant.home, record.run_id) is None
    pair.check_honest()


def _sums_of_all_bits(message: Message) -> Message:
    return ReleasedSums(b"\xff" * len(message.sums)) if isinstance(message, ReleasedSums) else message


def _sums_of_withheld_cells(message: Message) -> Message:
    return replace(message, withheld=b"\x0f") if isinstance(message, ReleasedTable) else message


@pytest.mark.parametrize(
    ("operation", "lie"),
    [
        ("aggregate", _names_of_nothing),
        ("aggregate-owner", _names_of_nothing),
        ("aggregate", _sums_of_all_bits),
        ("aggregate-owner", _sums_of_withheld_cells),
    ],
)
def test_a_lying_owner_gives_no_impossible_table(pair: Parties, operation: str, lie: Callable[[Message], Message]) -> None:
    hellos: list[Hello] = []
    pair.handler.answer = lambda answer: replace(answer, run=LyingRun(pair, hellos[0], Accept.parse(answer.accept), lie))

    def note(plan: Any) -> None:
        honest = plan.asking

        def opened(hello: bytes, *rest: Any) -> Any:
            hellos.append(Hello.parse(hello))
            return honest.open(hello, *rest)

        plan.asking = replace(honest, open=opened)

    try:
        with pair.merchant.connect("courier") as partner:
            plan = partner.plan(pair.request(operation))
            note(plan)
            with pytest.raises(MalformedMessageError) as caught:
                plan.run()
    finally:
        pair.handler.answer = lambda answer: answer
    assert caught.value.code == "session.message-malformed"
    record = get_run(pair.merchant.home, hellos[0].run_id)
    assert (record.status, record.code) == ("failed", "session.message-malformed")
    assert receipt_of(pair.merchant.home, record.run_id) is None
    pair.check_honest(operation)
