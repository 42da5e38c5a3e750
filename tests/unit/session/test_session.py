"""A session binds everything: two honest ends agree, and any difference ends it on both sides."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from psc.errors import AuthenticationError, MalformedMessageError, PeerAbortedError, PscError, UnexpectedMessageError
from psc.node.identity import Identity, verify
from psc.protocols.dh_psi import SenderTags
from psc.session.channel import FrameBytes
from psc.session.codec import Confirmation, decode, encode
from psc.session.hello import Accept, AggregateTerms, Hello, Resumption, SessionId
from psc.session.session import Session
from psc.session.transcript import Transcript
from psc.transport.memory import memory_pair
from psc.types import Document, GroupColumn, KeyColumn, Noise, Statistic, ValueColumn

A, B = Identity.generate(), Identity.generate()


FEE = ValueColumn(name="fee", scale=2, low=0, high=1000)
SUM = Statistic(kind="sum", per="row", column="fee")


def terms(**changes: Any) -> AggregateTerms:
    values: dict[str, Any] = {
        "statistics": (SUM,),
        "values": (FEE,),
        "groups": (GroupColumn(name="city", groups=2),),
        "weights": (),
        "own_groups": 1,
        "own_columns": (),
        "blocks": (64,),
        "membership": "hidden",
        "engine": "rlwe-8192-168/1",
        "minimum_group": 20,
        "rows_bound": 4,
    }
    return AggregateTerms(**(values | changes))


def hello(**changes: Any) -> Hello:
    values: dict[str, Any] = {
        "series": "psc/1",
        "suite": "ristretto255-sha512/1",
        "protocol": "dh-psi",
        "protocol_version": 1,
        "run_id": "0" * 26,
        "operation": "match",
        "purpose": "test",
        "initiator": A.public,
        "responder": B.public,
        "initiator_name": "merchant",
        "responder_name": "courier",
        "initiator_role": "receiver",
        "certificate": "",
        "nonce": "11" * 32,
        "dataset": "parcels",
        "dataset_version": "22" * 32,
        "agreement": "33" * 32,
        "keys": ((KeyColumn(name="phone", kind="phone"),),),
        "released": (),
        "rows_per_key": 1,
        "output_to": "receiver",
        "minimum_result": 20,
        "rules": "psc-rules/1",
        "number_metadata": "44" * 32,
        "initiator_sizes": (64,),
        "sent_at": "2026-11-21T17:00:00Z",
    }
    return Hello(**(values | changes))


def accept(for_hello: Hello, **changes: Any) -> Accept:
    values: dict[str, Any] = {
        "hello": for_hello.digest(),
        "nonce": "55" * 32,
        "certificate": "",
        "responder_sizes": (64,),
        "accepted_at": "2026-11-21T17:00:01Z",
    }
    return Accept(**(values | changes))


CHANGES: list[dict[str, Any]] = [
    {"suite": "other"},
    {"protocol": "dh-psi-count"},
    {"protocol_version": 2},
    {"run_id": "1" * 26},
    {"operation": "count"},
    {"purpose": "other"},
    {"initiator": "ab" * 32},
    {"responder": "ab" * 32},
    {"initiator_name": "other"},
    {"responder_name": "other"},
    {"certificate": "ab" * 32},
    {"nonce": "ab" * 32},
    {"dataset": "other"},
    {"dataset_version": "ab" * 32},
    {"agreement": "ab" * 32},
    {"keys": ((KeyColumn(name="phone", kind="text"),),)},
    {"rows_per_key": 2},
    {"output_to": "both"},
    {"minimum_result": 21},
    {"rules": "other"},
    {"number_metadata": "ab" * 32},
    {"initiator_sizes": (65,)},
    {"keys": ((KeyColumn(name="phone", kind="phone"),), (KeyColumn(name="mail", kind="email"),)), "initiator_sizes": (64, 64)},
    {"resumes": Resumption(run_id="1" * 26, shards=("77" * 32,))},
    {"sent_at": "2026-11-21T17:00:02Z"},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: next(iter(c)))
def test_every_field_of_the_hello_changes_the_session_and_the_label(change: dict[str, Any]) -> None:
    first, second = hello(), hello(**change)
    one, two = SessionId(first, accept(first)), SessionId(second, accept(second))
    assert one.raw != two.raw
    assert one.label != two.label


TERMS: list[dict[str, Any]] = [
    {"statistics": (SUM, SUM.model_copy(update={"kind": "squares"}))},
    {"statistics": (SUM.model_copy(update={"kind": "bin", "low": 0, "high": 1}),)},
    {"values": (FEE.model_copy(update={"high": 1001}),)},
    {"groups": ()},
    {"groups": (GroupColumn(name="city", groups=3),)},
    {"own_groups": 2},
    {"own_columns": ("tier",)},
    {"own_places": ((),)},
    {"own_places": ((0,),)},
    {"blocks": (80,)},
    {"membership": "owner"},
    {"engine": "paillier-2048/1"},
    {"minimum_group": 19},
    {"rows_bound": 5},
]


@pytest.mark.parametrize("change", TERMS, ids=lambda c: next(iter(c)))
def test_every_term_of_an_aggregate_changes_the_session(change: dict[str, Any]) -> None:
    first = hello(operation="aggregate", protocol="dh-sum", aggregate=terms())
    second = hello(operation="aggregate", protocol="dh-sum", aggregate=terms(**change))
    assert SessionId(first, accept(first)).raw != SessionId(second, accept(second)).raw
    assert Hello.parse(first.canonical()) == first


def test_noise_and_blocks_change_the_session() -> None:
    first = hello()
    seen = {SessionId(one, accept(one)).raw for one in (first, *(hello(noise=noise) for noise in NOISES))}
    seen |= {SessionId(first, accept(first, responder_blocks=blocks)).raw for blocks in ((64,), (1,), (32, 32), (64, 64))}
    assert len(seen) == 1 + len(NOISES) + 4


NOISES = [Noise(mechanism=kind, budget_thousandths=budget) for kind in ("laplace", "gaussian") for budget in (500, 501)]


@pytest.mark.parametrize("field", ["nonce", "certificate"])
def test_every_field_of_the_accept_changes_the_session(field: str) -> None:
    first = hello()
    assert SessionId(first, accept(first)).raw != SessionId(first, accept(first, **{field: "ab" * 32})).raw
    assert SessionId(first, accept(first)).raw != SessionId(first, accept(first, responder_sizes=(65,))).raw


def test_documents_have_one_form() -> None:
    data = hello().canonical()
    resumes_nothing = data.replace(b'"resumes":null', b'"resumes":{}')
    assert Hello.parse(data) == hello()
    for changed in (data + b" ", data.replace(b'":', b'": ', 1), b"[]", b"{}", b"", b"\xff", data[:-1], resumes_nothing):
        with pytest.raises(MalformedMessageError):
            Hello.parse(changed)


class NoteDocument(Document):
    """A stand-in for the receipt."""

    text: str


def ends(identity_b: SessionId | None = None, signer_b: Identity = B) -> tuple[Session, Session]:
    """Two sessions over memory; the second may have another session id or signer."""
    this = hello()
    identity = SessionId(this, accept(this))
    a, b = memory_pair()

    def check(who: Identity) -> Callable[[Document, str], None]:
        return lambda document, signature: verify(document, signature, who.public)

    return (
        Session(a, identity, "initiator", A.sign, check(B)),
        Session(b, identity_b or identity, "responder", signer_b.sign, check(A)),
    )


def both(a: Callable[[], Any], b: Callable[[], Any]) -> tuple[Any, Any]:
    """Run both sides at once; return what each returned or raised."""
    results: dict[str, Any] = {}

    def run(name: str, function: Callable[[], Any]) -> None:
        try:
            results[name] = function()
        except PscError as error:
            results[name] = error

    threads = [threading.Thread(target=run, args=(name, f)) for name, f in (("a", a), ("b", b))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return results["a"], results["b"]


def test_confirmed_sessions_agree_on_both_transcripts_and_the_receipt() -> None:
    a, b = ends()
    assert both(a.confirm, b.confirm) == (None, None)
    a.send(SenderTags(b"one"))
    assert b.recv() == SenderTags(b"one")
    assert a.transcripts() == b.transcripts()
    receipt = NoteDocument(text="same")
    mine, theirs = both(lambda: a.exchange_receipt(receipt), lambda: b.exchange_receipt(receipt))
    assert mine == theirs[::-1]


def test_receipts_that_differ_end_the_run() -> None:
    a, b = ends()
    both(a.confirm, b.confirm)
    got = both(lambda: a.exchange_receipt(NoteDocument(text="x")), lambda: b.exchange_receipt(NoteDocument(text="y")))
    assert [error.code for error in got] == ["session.receipts-differ"] * 2


def test_another_session_or_another_signer_is_refused_before_the_first_message() -> None:
    other = hello(nonce="66" * 32)
    for a, b in (ends(SessionId(other, accept(other))), ends(signer_b=Identity.generate())):
        got = both(a.confirm, b.confirm)
        assert any(isinstance(error, AuthenticationError) for error in got)


def test_a_protocol_message_in_place_of_the_confirmation_is_refused() -> None:
    a, b = ends()
    b.send(SenderTags(b""))
    with pytest.raises(UnexpectedMessageError):
        a.confirm()


def test_failing_tells_the_peer_a_closed_code_only() -> None:
    a, b = ends()
    a.fail(MalformedMessageError("session.message-malformed", what="something private"))
    with pytest.raises(PeerAbortedError) as caught:
        b.recv()
    assert caught.value.abort_code == "malformed-message"
    assert "private" not in str(caught.value)


def test_a_transcript_is_the_hash_of_lengths_and_digests() -> None:
    transcript = Transcript(b"s" * 32, "initiator-to-responder")
    transcript.add(b"one")
    transcript.add(FrameBytes(b""))
    expected = b"psc/v1/transcript\x00" + b"s" * 32 + b"initiator-to-responder"
    for frame in (b"one", b""):
        expected += len(frame).to_bytes(4, "big") + hashlib.sha256(frame).digest()
    assert transcript.hexdigest() == hashlib.sha256(expected).hexdigest()


def test_transcripts_depend_on_session_direction_order_and_boundaries() -> None:
    def of(session: bytes, direction: str, *frames: bytes) -> str:
        transcript = Transcript(session, direction)
        for frame in frames:
            transcript.add(frame)
        return transcript.hexdigest()

    seen = {
        of(b"s" * 32, "a", b"1", b"2"),
        of(b"s" * 32, "a", b"2", b"1"),
        of(b"s" * 32, "a", b"12"),
        of(b"s" * 32, "a", b"1"),
        of(b"s" * 32, "b", b"1", b"2"),
        of(b"t" * 32, "a", b"1", b"2"),
    }
    assert len(seen) == 6


def test_codec_refuses_what_it_does_not_know() -> None:
    good = encode(Confirmation(b"x" * 64))
    assert decode(good) == Confirmation(b"x" * 64)
    for frame in (b"", b"\x00", b"\xff" * 40, good + b"\xf8\x07\x01", b"\xf2\x07\x00", good[:-1], encode(SenderTags(b"a"))[:1]):
        with pytest.raises(MalformedMessageError):
            decode(frame)


def test_the_terms_of_a_hello_are_all_but_what_is_fresh_in_it() -> None:
    fresh = {"run_id": "1" * 26, "nonce": "ab" * 32, "certificate": "ab" * 32, "sent_at": "2026-11-22T17:00:00Z"}
    same = hello(**fresh, resumes=Resumption(run_id="0" * 26, shards=("77" * 32,)))
    assert same.terms() == hello().terms()
    others = [hello(**change).terms() for change in CHANGES if not change.keys() & {*fresh, "resumes"}]
    assert len({hello().terms(), *others}) == len(others) + 1
    assert len(others) > 15


def test_only_a_run_that_goes_on_has_finished_shards() -> None:
    assert accept(hello(), finished=3, attempt=2).finished == 3
    for wrong in ({"finished": 3}, {"attempt": 2}, {"finished": 1, "attempt": 4}):
        with pytest.raises(ValueError, match=r"finished shard|less than or equal"):
            accept(hello(), **wrong)
    with pytest.raises(ValueError, match="only a match"):
        hello(operation="count", resumes=Resumption(run_id="1" * 26, shards=("77" * 32,)))
