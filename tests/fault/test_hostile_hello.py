"""Hostile openings: a hello or an accept that is malformed, forged, replayed, or for other software, through the real server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import psc
from psc.crypto import Rng
from psc.errors import (
    AbortCode,
    AuthenticationError,
    LimitExceededError,
    MalformedMessageError,
    ParameterMismatchError,
    PeerAbortedError,
    PolicyDeniedError,
    PscError,
    ReplayedError,
    Rule,
    UsageError,
)
from psc.node.identity import Identity
from psc.node.runs import get_run, list_runs, receipt_of
from psc.operations.status import Status
from psc.policy.ledger import charges
from psc.session.hello import Accept, ConfirmationStatement, Hello
from psc.transport.handler import Answer
from psc.types import DOCUMENT_BYTES_MAX, KeyColumn, ReleasedColumn, canonical_json
from tests.fault.parties import Parties, parties, until

STRANGER = Identity.generate()


def run_id() -> str:
    return Rng.system().bytes(13).hex()


def hello_of(pair: Parties, of: str = "match", **changes: Any) -> Hello:
    """Return the hello of an honest plan, changed."""
    with pair.merchant.connect("courier") as partner:
        plan = partner.plan(pair.request(of))
        assert plan.asking is not None
        return plan.asking._hello(plan, run_id()).model_copy(update=changes)


def sign_bytes(identity: Identity, raw: bytes) -> bytes:
    """Sign what a hello with these bytes would sign, whatever they are."""
    return identity._key.sign(b"psc/v1/hello\x00" + raw)


def send(pair: Parties, raw: bytes, signature: bytes, node: psc.Node | None = None) -> PscError | None:
    """Open a session with these bytes, leave it again, and return the error that came instead."""
    with (node or pair.merchant).connect("courier") as partner:
        try:
            opened = partner._link.open(raw, signature)
        except PscError as error:
            return error
        opened.channel.abort(AbortCode.CANCELLED)
        opened.channel.close()
        return None


def ask(pair: Parties, hello: Hello, node: psc.Node | None = None) -> PscError | None:
    """Open a session with a hello signed by the merchant, or by another node that asks."""
    signature = (node or pair.merchant).home.identity.sign(hello)
    return send(pair, hello.canonical(), bytes.fromhex(signature), node)


def check_log(pair: Parties, before: int, code: str) -> None:
    """Assert that the server told its owner, by a code and nothing else, why it refused."""
    event = until(lambda: next((e for e in pair.log[before:] if e["event"] == "session.refused"), None), "the log line")
    assert event["code"] == code
    assert set(event) <= {"time", "level", "event", "code", "partner", "run", "session", "rule"}


# --- malformed ---------------------------------------------------------------------------------------------------------------


def _edited(**changes: Any) -> Callable[[Hello], bytes]:
    def edit(hello: Hello) -> bytes:
        return canonical_json({**json.loads(hello.canonical()), **changes})

    return edit


def _replaced(old: bytes, new: bytes) -> Callable[[Hello], bytes]:
    return lambda hello: hello.canonical().replace(old, new, 1)


def _key(name: str) -> dict[str, str]:
    return {"kind": "phone", "name": name}


MALFORMED: dict[str, Callable[[Hello], bytes]] = {
    "empty": lambda hello: b"",
    "empty object": lambda hello: b"{}",
    "list": lambda hello: b"[]",
    "truncated": lambda hello: hello.canonical()[: len(hello.canonical()) // 2],
    "last byte missing": lambda hello: hello.canonical()[:-1],
    "byte added": lambda hello: hello.canonical() + b"\n",
    "not canonical": _replaced(b'":', b'": '),
    "key twice": _replaced(b'{"', b'{"series":"psc/1","'),
    "not UTF-8": _replaced(b"courier", b"couri\xff\xfe"),
    "lone surrogate": _replaced(b'"delivery-reconciliation"', b'"\\ud800"'),
    "UTF-16": lambda hello: hello.canonical().decode().encode("utf-16"),
    "deep": lambda hello: b"[" * 100_000,
    "endless number": _replaced(b'"protocol_version":1', b'"protocol_version":' + b"9" * 100_000),
    "noise": lambda hello: bytes(range(256)) * 8,
    "too large": lambda hello: hello.canonical() + b" " * DOCUMENT_BYTES_MAX,
    "unknown field": _edited(extra="x"),
    "terminal codes": _edited(**{"\x1b[31m\x07": 1}),
    "another series": _edited(series="psc/2"),
    "resumes nothing": _edited(resumes={"run_id": "0" * 26, "shards": []}),
    "resumes a path": _edited(resumes={"run_id": "../../../../../etc/passwd", "shards": ["0" * 64]}),
    "resumes short hashes": _edited(resumes={"run_id": "0" * 26, "shards": ["00"]}),
    "resumes too many shards": _edited(resumes={"run_id": "0" * 26, "shards": ["0" * 64] * 2049}),
    "role": _edited(initiator_role="sender"),
    "run id path": _edited(run_id="../../../../etc/passwd"),
    "run id short": _edited(run_id="0" * 25),
    "operation": _edited(operation="aggregate"),
    "no key": _edited(keys=[]),
    "nine keys": _edited(keys=[[{"kind": "phone", "name": f"k{number}"} for number in range(9)]]),
    "key kind": _edited(keys=[[{"kind": "face", "name": "phone"}]]),
    "five alternatives": _edited(keys=[[_key(f"k{n}")] for n in range(5)], initiator_sizes=[64] * 5),
    "an alternative twice": _edited(keys=[[_key("phone")], [_key("phone")]], initiator_sizes=[64, 64]),
    "an alternative twice, in another order": _edited(
        keys=[[_key("phone"), _key("mail")], [_key("mail"), _key("phone")]], initiator_sizes=[64, 64]
    ),
    "two alternatives of one label": _edited(keys=[[_key("a"), _key("b")], [_key("a+b")]], initiator_sizes=[64, 64]),
    "an empty alternative": _edited(keys=[[_key("phone")], []], initiator_sizes=[64, 64]),
    "more alternatives than sizes": _edited(keys=[[_key("phone")], [_key("mail")]], initiator_sizes=[64]),
    "more sizes than alternatives": _edited(initiator_sizes=[64, 64]),
    "no sizes": _edited(initiator_sizes=[]),
    "alternatives of a count": _edited(
        operation="count", protocol="dh-psi-count", keys=[[_key("phone")], [_key("mail")]], initiator_sizes=[64, 64]
    ),
    "alternatives that go on": _edited(
        keys=[[_key("phone")], [_key("mail")]],
        initiator_sizes=[64, 64],
        resumes={"run_id": "0" * 26, "shards": ["0" * 64]},
    ),
    "keys as before there were alternatives": _edited(keys=[_key("phone")]),
    "65 columns": _edited(released=[{"name": f"c{n}", "type": "bool", "width_bytes": 1} for n in range(65)]),
    "wide column": _edited(released=[{"name": "status", "type": "text", "width_bytes": 1025}]),
    "no rows": _edited(rows_per_key=0),
    "many rows": _edited(rows_per_key=1025),
    "no size": _edited(initiator_sizes=[0]),
    "negative size": _edited(initiator_sizes=[-64]),
    "size in words": _edited(initiator_sizes=["64"]),
    "size as float": _edited(initiator_sizes=[64.0]),
    "impossible size": _edited(initiator_sizes=[(1 << 40) + 1]),
    "short nonce": _edited(nonce="00"),
    "upper-case identity": lambda hello: _edited(initiator=hello.initiator.upper())(hello),
    "certificate": _edited(certificate="0"),
    "null": _edited(purpose=None),
    "long purpose": _edited(purpose="x" * 129),
}


def test_a_malformed_hello_is_refused_and_leaves_no_run(pair: Parties) -> None:
    identity = pair.merchant.home.identity
    runs = len(list_runs(pair.courier.home))
    for name, make in MALFORMED.items():
        raw, before = make(hello_of(pair)), len(pair.log)
        error = send(pair, raw, sign_bytes(identity, raw))
        assert isinstance(error, PeerAbortedError), (name, error)
        assert error.abort_code is AbortCode.MALFORMED_MESSAGE, name
        check_log(pair, before, "session.document-too-large" if name == "too large" else "session.document-malformed")
    assert len(list_runs(pair.courier.home)) == runs
    pair.check_honest()


def test_a_hello_above_the_receive_limit_is_refused_before_it_is_buffered(pair: Parties) -> None:
    error = send(pair, b"{" * (2 * 1024 * 1024), b"")
    assert isinstance(error, LimitExceededError)
    pair.check_honest()


def test_a_documents_error_shows_no_control_characters() -> None:
    accept = Accept(hello="00" * 32, nonce="00" * 32, certificate="", responder_sizes=(64,), accepted_at="2026-01-01T00:00:00Z")
    raw = canonical_json({**json.loads(accept.canonical()), "\x1b[2J\u202egnihton\n" + "x" * 5000: 1})
    with pytest.raises(MalformedMessageError) as caught:
        Accept.parse(raw)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


# --- forged ------------------------------------------------------------------------------------------------------------------


def _forgeries(pair: Parties, rival: psc.Node) -> Iterator[tuple[str, bytes, bytes, psc.Node]]:
    merchant, identity = pair.merchant, pair.merchant.home.identity
    hello = hello_of(pair)
    raw, good = hello.canonical(), bytes.fromhex(identity.sign(hello))
    yield "no signature", raw, b"", merchant
    yield "short signature", raw, good[:-1], merchant
    yield "long signature", raw, good + b"\x00", merchant
    yield "flipped signature", raw, bytes([good[0] ^ 1]) + good[1:], merchant
    yield "zero signature", raw, bytes(64), merchant
    yield "stranger's signature", raw, bytes.fromhex(STRANGER.sign(hello)), merchant
    statement = ConfirmationStatement(session_id="00" * 32, role="initiator")
    yield "signature of another document", raw, bytes.fromhex(identity.sign(statement)), merchant
    yield "new run id, old signature", hello.model_copy(update={"run_id": run_id()}).canonical(), good, merchant
    yield "other size, old signature", hello.model_copy(update={"initiator_sizes": (128,)}).canonical(), good, merchant
    for name, changes in {
        "as a stranger": {"initiator": STRANGER.public},
        "as the responder": {"initiator": pair.courier.identity},
        "for another node": {"responder": STRANGER.public},
        "for oneself": {"responder": pair.merchant.identity},
        "other certificate": {"certificate": "ab" * 32},
        "no certificate": {"certificate": ""},
    }.items():
        forged = hello.model_copy(update=changes)
        signer = STRANGER if name == "as a stranger" else identity
        yield name, forged.canonical(), bytes.fromhex(signer.sign(forged)), merchant
    yield "stolen by another partner", raw, good, rival
    yield "stolen and signed anew", raw, bytes.fromhex(rival.home.identity.sign(hello)), rival


@contextlib.contextmanager
def another_partner(pair: Parties, folder: Path) -> Iterator[psc.Node]:
    """Give a second partner that the courier knows, and granted nothing."""
    with psc.Node.create(folder / "rival", "rival") as rival:
        card = folder / "rival.card.json"
        card.write_text(rival.card_json(), encoding="utf-8")
        pair.courier.trust(card)
        rival.trust(pair.folder / "courier.card.json")
        yield rival


def test_a_forged_hello_is_not_trusted(tmp_path: Path) -> None:
    with parties(tmp_path) as pair, another_partner(pair, tmp_path) as rival:
        charged = len(charges(pair.courier.home))
        for name, raw, signature, node in _forgeries(pair, rival):
            before = len(pair.log)
            error = send(pair, raw, signature, node)
            assert isinstance(error, AuthenticationError), (name, error)
            event = until(lambda at=before: [e for e in pair.log[at:] if e["event"] == "session.refused"], "the log line")[0]
            assert event["code"] in (
                "node.signature-wrong",
                "operations.hello-not-from-partner",
                "operations.hello-other-certificate",
            ), name
        assert not list_runs(pair.courier.home)
        assert len(charges(pair.courier.home)) == charged
        # What the merchant was granted is nobody else's, however well the hello is signed.
        stolen = hello_of(
            pair,
            initiator=rival.identity,
            initiator_name="rival",
            certificate=psc_certificate(rival),
        )
        error = ask(pair, stolen, rival)
        assert isinstance(error, PolicyDeniedError)
        assert error.rule is Rule.NO_AGREEMENT
        pair.check_honest()


def psc_certificate(node: psc.Node) -> str:
    from psc.node.certificates import own_certificate_digest

    return own_certificate_digest(node.home)


# --- replayed ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["match", "count"])
def test_a_hello_works_once(pair: Parties, operation: str) -> None:
    hellos: list[tuple[bytes, bytes]] = []

    def keep(plan: Any) -> None:
        asking = plan.asking

        def opened(hello: bytes, signature: bytes, *rest: Any) -> Any:
            hellos.append((hello, signature))
            return asking.open(hello, signature, *rest)

        plan.asking = replace(asking, open=opened)

    outcome = pair.run(pair.request(operation), change=keep)
    pair.check_right(outcome)
    receipt, charged = receipt_of(pair.courier.home, outcome.run_id), charges(pair.courier.home)
    record = get_run(pair.courier.home, outcome.run_id)
    for _ in range(2):
        before = len(pair.log)
        assert isinstance(send(pair, *hellos[0]), ReplayedError)
        check_log(pair, before, "node.run-exists")
    assert charges(pair.courier.home) == charged
    assert get_run(pair.courier.home, outcome.run_id) == record
    assert receipt_of(pair.courier.home, outcome.run_id) == receipt
    pair.check_honest(operation)


def test_a_hello_works_once_even_while_its_run_goes_on_and_after_it_failed(pair: Parties) -> None:
    hello = hello_of(pair)
    raw, signature = hello.canonical(), bytes.fromhex(pair.merchant.home.identity.sign(hello))
    with pair.merchant.connect("courier") as partner:
        opened = partner._link.open(raw, signature)
        assert isinstance(send(pair, raw, signature), ReplayedError)
        assert get_run(pair.courier.home, hello.run_id).status == "running"
        opened.channel.abort(AbortCode.CANCELLED)
        opened.channel.close()
    record = pair.record(hello.run_id)
    assert record is not None
    assert record.status == "cancelled"
    assert isinstance(send(pair, raw, signature), ReplayedError)
    # The same run id with another nonce, freshly signed, is no new run either.
    assert isinstance(ask(pair, hello.model_copy(update={"nonce": "ab" * 32})), ReplayedError)
    assert pair.record(hello.run_id) == record
    pair.check_honest()


# --- other software, other terms, other sizes ----------------------------------------------------------------------------------

MISMATCHED: dict[str, dict[str, Any]] = {
    "protocol version": {"protocol_version": 2},
    "suite": {"suite": "p256-sha256/1"},
    "rules": {"rules": "psc-rules/2"},
    "number metadata": {"number_metadata": "ab" * 32},
    "protocol of another operation": {"protocol": "dh-psi-count"},
    "operation of another protocol": {"operation": "count"},
    "unknown protocol": {"protocol": "vole-psi"},
    "rows per key": {"rows_per_key": 63},
    "initiator's name": {"initiator_name": "somebody"},
    "responder's name": {"responder_name": "somebody"},
}

DENIED: dict[str, tuple[dict[str, Any], Rule]] = {
    "purpose": ({"purpose": "curiosity"}, Rule.PURPOSE_NOT_ALLOWED),
    "dataset": ({"dataset": "salaries"}, Rule.DATASET_NOT_GRANTED),
    "dataset version": ({"dataset_version": "ab" * 32}, Rule.DATASET_CHANGED),
    "agreement": ({"agreement": "ab" * 32}, Rule.AGREEMENT_CHANGED),
    "key": ({"keys": ((KeyColumn(name="mail", kind="email"),),)}, Rule.KEY_NOT_GRANTED),
    "key kind": ({"keys": ((KeyColumn(name="phone", kind="text"),),)}, Rule.KEY_NOT_GRANTED),
    "column": ({"released": (ReleasedColumn(name="mobile", type="text", width_bytes=16),)}, Rule.COLUMN_NOT_RELEASED),
    "column width": ({"released": (ReleasedColumn(name="status", type="text", width_bytes=41),)}, Rule.COLUMN_NOT_RELEASED),
    "column type": ({"released": (ReleasedColumn(name="fee", type="text", width_bytes=8),)}, Rule.COLUMN_NOT_RELEASED),
}


def test_other_parameters_are_refused_by_name(pair: Parties) -> None:
    for name, changes in MISMATCHED.items():
        before = len(pair.log)
        error = ask(pair, hello_of(pair, **changes))
        assert isinstance(error, PeerAbortedError), (name, error)
        assert error.abort_code is AbortCode.PARAMETER_MISMATCH, name
        check_log(pair, before, "operations.versions-differ")
    pair.check_honest()


def test_other_terms_are_refused_by_rule(pair: Parties) -> None:
    charged = len(charges(pair.courier.home))
    for name, (changes, rule) in DENIED.items():
        error = ask(pair, hello_of(pair, **changes))
        assert isinstance(error, PolicyDeniedError), (name, error)
        assert error.rule is rule, name
    assert len(charges(pair.courier.home)) == charged
    pair.check_honest()


def test_columns_asked_for_twice_or_with_a_count_are_refused(pair: Parties) -> None:
    honest = hello_of(pair)
    assert len(honest.released) == 2
    for of, changes, rule in (
        ("match", {"released": honest.released * 2}, Rule.COLUMN_NOT_RELEASED),
        ("count", {"released": honest.released}, Rule.COLUMN_NOT_RELEASED),
        ("match", {"keys": (honest.keys[0] * 2,)}, Rule.KEY_NOT_GRANTED),
        (
            "match",
            {"keys": (*honest.keys, (KeyColumn(name="mail", kind="email"),)), "initiator_sizes": (64, 64)},
            Rule.KEY_NOT_GRANTED,
        ),
    ):
        error = ask(pair, hello_of(pair, of, **changes))
        assert isinstance(error, PolicyDeniedError), error
        assert error.rule is rule
    pair.check_honest()


def test_a_size_over_the_limit_is_refused_before_data_is_read(pair: Parties) -> None:
    before = len(pair.log)
    error = ask(pair, hello_of(pair, initiator_sizes=(pair.courier.home.settings.limits.set_elements + 1,)))
    assert isinstance(error, PeerAbortedError)
    assert error.abort_code is AbortCode.LIMIT_EXCEEDED
    check_log(pair, before, "operations.set-over-limit")
    pair.check_honest()


# --- a hostile responder: status, catalogue, accept --------------------------------------------------------------------------


def _resigned(pair: Parties, accept: Accept) -> Callable[[Answer], Answer]:
    def answer(honest: Answer) -> Answer:
        changed = accept.model_copy(update={"hello": Accept.parse(honest.accept).hello}) if accept.hello == "00" * 32 else accept
        return replace(honest, accept=changed.canonical(), signature=bytes.fromhex(pair.courier.home.identity.sign(changed)))

    return answer


def _raw_accept(pair: Parties, change: Callable[[bytes], bytes]) -> Callable[[Answer], Answer]:
    def answer(honest: Answer) -> Answer:
        raw = change(honest.accept)
        return replace(honest, accept=raw, signature=pair.courier.home.identity._key.sign(b"psc/v1/accept\x00" + raw))

    return answer


def _accepts(pair: Parties, earlier: Answer) -> Iterator[tuple[str, Callable[[Answer], Answer], type[PscError]]]:
    known = Accept.parse(earlier.accept)
    some = known.model_copy(update={"hello": "00" * 32})
    yield "of another session", lambda honest: replace(earlier, run=honest.run), AuthenticationError
    yield "of another hello", _resigned(pair, known), AuthenticationError
    yield "unsigned", lambda honest: replace(honest, signature=b""), AuthenticationError
    yield "with another's signature", lambda honest: replace(honest, signature=earlier.signature), AuthenticationError
    strange = lambda honest: bytes.fromhex(STRANGER.sign(Accept.parse(honest.accept)))  # noqa: E731
    yield "signed by a stranger", lambda honest: replace(honest, signature=strange(honest)), AuthenticationError
    over = some.model_copy(update={"responder_sizes": (pair.merchant.home.settings.limits.set_elements + 1,)})
    yield "with a set over the limit", _resigned(pair, over), ParameterMismatchError
    two = some.model_copy(update={"responder_sizes": some.responder_sizes * 2})
    yield "with more keys than were asked for", _resigned(pair, two), ParameterMismatchError
    # Signed and well-formed, but not what the responder goes on to play: the confirmation does not fit.
    yield "other than played", _resigned(pair, some), AuthenticationError
    yield "truncated", _raw_accept(pair, lambda raw: raw[: len(raw) // 2]), MalformedMessageError
    yield "empty", _raw_accept(pair, lambda raw: b""), MalformedMessageError
    yield "not canonical", _raw_accept(pair, lambda raw: raw + b" "), MalformedMessageError
    yield "too large", _raw_accept(pair, lambda raw: raw + b" " * DOCUMENT_BYTES_MAX), MalformedMessageError
    yield "unknown field", _raw_accept(pair, lambda raw: raw[:-1] + b',"z":1}'), MalformedMessageError
    yield "no size", _raw_accept(pair, lambda raw: raw.replace(b'sizes":[64]', b'sizes":[0]')), MalformedMessageError


def test_a_hostile_accept_is_refused_before_anything_is_sent(pair: Parties) -> None:
    kept: list[Answer] = []

    def keep(honest: Answer) -> Answer:
        kept.append(honest)
        return honest

    pair.handler.answer = keep
    pair.check_right(pair.run(pair.match()))
    try:
        for name, change, kind in _accepts(pair, kept[0]):
            pair.handler.answer = change
            sent: list[bytes] = []
            outcome = pair.run(pair.match(), tap=lambda way, frame, sent=sent: sent.append(frame) if way == "sent" else None)
            assert isinstance(outcome.initiator, kind), (name, outcome.initiator)
            assert str(outcome.initiator) != outcome.initiator.code
            assert len(sent) <= 1  # nothing beyond the own confirmation
            assert outcome.responder is not None, name
            pair.check_nothing_came_out(outcome)
            assert outcome.initiator_record.status == "failed"
    finally:
        pair.handler.answer = lambda answer: answer
    pair.check_honest()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"series": "psc/2"}, "series"),
        ({"rules": "psc-rules/2"}, "rules"),
        ({"protocols": ()}, "protocol dh-psi"),
    ],
)
def test_a_partner_with_other_software_is_named_in_the_plan(
    pair: Parties, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], what: str
) -> None:
    honest = pair.handler.status
    monkeypatch.setattr(pair.handler, "status", lambda peer: Status.parse(honest(peer)).model_copy(update=change).canonical())
    with pair.merchant.connect("courier") as partner, pytest.raises(ParameterMismatchError) as caught:
        partner.plan(pair.match())
    assert what in str(caught.value)


def test_a_partner_with_other_number_metadata_is_named_in_the_plan(pair: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = pair.handler.catalogue

    def other(peer: Any, announcement: bytes) -> bytes:
        document = json.loads(honest(peer, announcement))
        for entry in document["entries"]:
            entry["number_metadata"] = "ab" * 32
        return canonical_json(document)

    monkeypatch.setattr(pair.handler, "catalogue", other)
    with pair.merchant.connect("courier") as partner, pytest.raises(ParameterMismatchError) as caught:
        partner.plan(pair.match())
    assert "number metadata" in str(caught.value)


@pytest.mark.parametrize("document", ["status", "catalogue"])
@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff\xfe", b"[" * 50_000, b'{"series":"psc/1"}'])
def test_a_malformed_answer_is_an_error_of_the_partner(
    pair: Parties, monkeypatch: pytest.MonkeyPatch, document: str, raw: bytes
) -> None:
    monkeypatch.setattr(pair.handler, document, lambda peer, announcement=b"": raw)
    with pytest.raises(MalformedMessageError), pair.merchant.connect("courier") as partner:
        partner.plan(pair.match())


def test_a_catalogue_for_somebody_else_is_refused(pair: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = pair.handler.catalogue
    for field, value in (("partner", STRANGER.public), ("owner", {"identity": STRANGER.public, "name": "courier"})):
        monkeypatch.setattr(
            pair.handler, "catalogue", lambda peer, _, f=field, v=value: canonical_json({**json.loads(honest(peer)), f: v})
        )
        with pair.merchant.connect("courier") as partner, pytest.raises(AuthenticationError):
            partner.plan(pair.match())


def test_an_own_set_over_the_partners_limit_is_refused_in_the_plan(pair: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = pair.handler.status
    monkeypatch.setattr(
        pair.handler, "status", lambda peer: Status.parse(honest(peer)).model_copy(update={"set_elements": 10}).canonical()
    )
    with pair.merchant.connect("courier") as partner, pytest.raises(UsageError) as caught:
        partner.plan(pair.match())
    assert caught.value.code == "operations.set-over-limit"
