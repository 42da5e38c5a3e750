"""A dialler that breaks the rules below the messages: numbers, digests, sizes and names of sessions, against a real node."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import psc
from psc._proto.psc.v1 import peer_pb2
from psc.errors import (
    AbortCode,
    ChannelClosedError,
    LimitExceededError,
    MalformedMessageError,
    PeerAbortedError,
    PscError,
    ReplayedError,
)
from psc.node.certificates import tls_for
from psc.node.trust import partner_named
from psc.protocols import dh_psi
from psc.sdk.node import material
from psc.session.channel import frame_digest
from psc.session.codec import Confirmation, encode
from psc.session.hello import Accept, ConfirmationStatement, SessionId
from psc.transport.address import Address
from psc.transport.grpc.connection import SERVICE, Connection, SessionCalls
from psc.transport.mailbox import Frame
from tests.fault.meddling import HARMS
from tests.fault.parties import Parties, parties, until
from tests.fault.test_hostile_hello import another_partner, hello_of, sign_bytes
from tests.fault.test_hostile_session import attack, check_refused


@dataclass
class Raw:
    """A session of the merchant whose calls are made by hand."""

    run_id: str
    token: bytes
    confirmation: bytes
    connection: Connection
    calls: SessionCalls

    def push(self, number: int, *payloads: bytes, received: int = 0, closing: bool = False) -> int:
        frames = [Frame(payload, frame_digest(payload)) for payload in payloads]
        return self.calls.push(number, frames, received=received, closing=closing)


@contextlib.contextmanager
def dialled(pair: Parties, node: psc.Node | None = None) -> Iterator[Connection]:
    """Give a connection to the courier, made as ``Link`` makes it."""
    home = (node or pair.merchant).home
    partner = partner_named(home, "courier")
    tls = material(tls_for(home, partner))
    connection = Connection(Address.parse(partner.card.address), tls, home.settings.limits)
    try:
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def opened(pair: Parties) -> Iterator[Raw]:
    """Open a session as the merchant and give its calls."""
    hello = hello_of(pair)
    raw, token = hello.canonical(), secrets.token_bytes(16)
    signature = sign_bytes(pair.merchant.home.identity, raw)
    with dialled(pair) as connection:
        request = peer_pb2.OpenRequest(session=token, hello=raw, signature=signature)
        while (reply := connection.call("Open", request, peer_pb2.OpenResponse)).pending:
            pass
        session = SessionId(hello, Accept.parse(reply.accept))
        statement = ConfirmationStatement(session_id=session.hex, role="initiator")
        confirmation = encode(Confirmation(bytes.fromhex(pair.merchant.home.identity.sign(statement))))
        yield Raw(hello.run_id, token, confirmation, connection, SessionCalls(connection, token))


def _too_large(raw: Raw) -> None:
    raw.push(0, bytes(512 * 1024 + 1))


def _too_many(raw: Raw) -> None:
    raw.push(0, *(b"x" for _ in range(9)))


def _wrong_digest(raw: Raw) -> None:
    raw.calls.push(0, [Frame(b"x", frame_digest(b"y"))], received=0, closing=False)


def _no_digest(raw: Raw) -> None:
    raw.calls.push(0, [Frame(b"x", b"")], received=0, closing=False)


def _far_ahead(raw: Raw) -> None:
    raw.push(2**63, b"x")


def _acknowledged_too_much(raw: Raw) -> None:
    raw.calls.pull(0, 1, received=2**60)


def _pulled_far_ahead(raw: Raw) -> None:
    raw.calls.pull(2**60, 1, received=0)


def _other_content(raw: Raw) -> None:
    raw.push(0, raw.confirmation)
    raw.push(0, raw.confirmation[:-1] + bytes([raw.confirmation[-1] ^ 1]))


BREACHES: dict[str, tuple[Callable[[Raw], None], AbortCode]] = {
    "frame too large": (_too_large, AbortCode.LIMIT_EXCEEDED),
    "more frames than the window": (_too_many, AbortCode.LIMIT_EXCEEDED),
    "wrong digest": (_wrong_digest, AbortCode.MALFORMED_MESSAGE),
    "no digest": (_no_digest, AbortCode.MALFORMED_MESSAGE),
    "number far ahead": (_far_ahead, AbortCode.MALFORMED_MESSAGE),
    "acknowledged what never came": (_acknowledged_too_much, AbortCode.MALFORMED_MESSAGE),
    "asked for what is far ahead": (_pulled_far_ahead, AbortCode.MALFORMED_MESSAGE),
    "other content under a number": (_other_content, AbortCode.REPLAYED),
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_of_the_frame_rules_ends_the_session_on_both_sides(pair: Parties, name: str) -> None:
    breach, code = BREACHES[name]
    with opened(pair) as raw:
        with pytest.raises((PeerAbortedError, ReplayedError)) as caught:
            breach(raw)
        assert caught.value.abort_code is code
        with pytest.raises(PscError):  # the session is over for whoever broke it
            raw.push(0, b"again")
        record = pair.record(raw.run_id)
    assert record is not None
    assert record.status == "failed"
    ending = pair.ending(raw.run_id)
    assert isinstance(ending, PscError)
    assert ending.abort_code is code
    pair.check_honest()


def test_the_same_frame_again_is_acknowledged_and_does_no_harm(pair: Parties) -> None:
    """A repeated call after a lost answer is normal; the run goes on until its content is judged."""
    with opened(pair) as raw:
        for _ in range(3):
            assert raw.push(0, raw.confirmation) == 1
        assert raw.push(1, encode(dh_psi.SenderTags(b"x"))) == 2
        record = pair.record(raw.run_id)
    assert record is not None
    assert record.code == "session.unexpected-message"
    pair.check_honest()


def test_frames_after_the_end_are_refused(pair: Parties) -> None:
    with opened(pair) as raw:
        raw.push(0, closing=True)
        with pytest.raises(PscError):
            raw.push(0, b"x")
        assert pair.record(raw.run_id) is not None
    ending = pair.ending(raw.run_id)
    assert isinstance(ending, ChannelClosedError | MalformedMessageError)
    pair.check_honest()


def test_a_call_above_the_receive_limit_is_refused_before_it_is_buffered(pair: Parties) -> None:
    with opened(pair) as raw:
        with pytest.raises(LimitExceededError):
            raw.push(0, *(bytes(512 * 1024) for _ in range(4)))
        raw.calls.abort(AbortCode.CANCELLED)
        pair.record(raw.run_id)
    pair.check_honest()


def test_a_session_that_never_was_is_unknown(pair: Parties) -> None:
    with dialled(pair) as connection:
        for token in (secrets.token_bytes(16), b"", b"\x00", bytes(64)):
            calls = SessionCalls(connection, token)
            for act in (
                lambda calls=calls: calls.push(0, [], received=0, closing=False),
                lambda calls=calls: calls.pull(0, 1, received=0),
                lambda calls=calls: calls.abort(AbortCode.INTERNAL),
            ):
                with pytest.raises(ChannelClosedError) as caught:
                    act()
                assert caught.value.code == "transport.session-unknown"
    pair.check_honest()


def test_another_partner_cannot_touch_a_session(tmp_path: Path) -> None:
    with parties(tmp_path) as pair, another_partner(pair, tmp_path) as rival, dialled(pair, rival) as theirs:
        tokens: list[bytes] = []

        def note(plan: Any) -> None:
            honest = plan.asking.open

            def open_and_note(*arguments: Any) -> Any:
                result = honest(*arguments)
                tokens.append(result[2]._wire._session)
                return result

            object.__setattr__(plan.asking, "open", open_and_note)

        def meddle(way: str, frame: bytes) -> None:
            calls = SessionCalls(theirs, tokens[0])
            for act in (
                lambda: calls.push(0, [Frame(frame, frame_digest(frame))], received=0, closing=True),
                lambda: calls.pull(0, 1, received=1),
                lambda: calls.abort(AbortCode.CANCELLED),
                lambda: theirs.call("Open", peer_pb2.OpenRequest(session=tokens[0], hello=b"x"), peer_pb2.OpenResponse),
            ):
                with pytest.raises((ChannelClosedError, ReplayedError)):
                    act()

        pair.check_right(pair.run(pair.match(), tap=meddle, change=note))
        until(lambda: any(event["event"] == "session.foreign" for event in pair.log), "the log line")


def test_a_session_name_works_for_one_hello(pair: Parties) -> None:
    with opened(pair) as raw:
        other = hello_of(pair)
        request = peer_pb2.OpenRequest(
            session=raw.token,
            hello=other.canonical(),
            signature=sign_bytes(pair.merchant.home.identity, other.canonical()),
        )
        with pytest.raises(ReplayedError):
            raw.connection.call("Open", request, peer_pb2.OpenResponse)
        record = pair.record(raw.run_id)
    assert record is not None
    assert record.status == "failed"
    assert pair.record(other.run_id) is None
    pair.check_honest()


@pytest.mark.parametrize("method", [method.name for method in SERVICE.methods])
def test_a_call_that_does_not_parse_is_refused(pair: Parties, method: str) -> None:
    class Noise:
        @staticmethod
        def SerializeToString() -> bytes:
            return b"\x0a\xff\xff\xff\xff\x0f"

    before = len(pair.log)
    with dialled(pair) as connection, pytest.raises(PeerAbortedError) as caught:
        connection.call(method, Noise(), peer_pb2.AbortResponse)  # type: ignore[arg-type]
    assert caught.value.abort_code is AbortCode.MALFORMED_MESSAGE
    event = until(lambda: [e for e in pair.log[before:] if e["event"] == "call.refused"], "the log line")[0]
    assert (event["method"], event["code"]) == (method, "transport.request-malformed")


def test_a_session_name_of_another_length_is_malformed(pair: Parties) -> None:
    with dialled(pair) as connection:
        for token in (b"", b"x" * 15, b"x" * 17, b"x" * 4096):
            with pytest.raises(PeerAbortedError) as caught:
                connection.call("Open", peer_pb2.OpenRequest(session=token, hello=b"x"), peer_pb2.OpenResponse)
            assert caught.value.abort_code is AbortCode.MALFORMED_MESSAGE
    pair.check_honest()


def test_a_frame_above_the_own_limit_is_refused_by_the_dialler(tmp_path: Path) -> None:
    with parties(tmp_path, merchant_limits={"frame_bytes": 400 * 1024}) as pair:
        pair.check_honest()
        case = ("match", "responder", "sender_tags")
        outcome, _ = attack(pair, case, HARMS["huge content"])
        assert isinstance(outcome.initiator, LimitExceededError)
        assert isinstance(outcome.responder, PeerAbortedError)
        assert outcome.responder.abort_code is AbortCode.LIMIT_EXCEEDED
        pair.check_nothing_came_out(outcome)
        malformed, _ = attack(pair, case, HARMS["shorter content"])
        check_refused(pair, case, malformed, AbortCode.MALFORMED_MESSAGE)
        pair.check_honest()
