"""Documents of partners hold no hidden characters, and an error about one never repeats what its author made up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from psc.audit.receipt import LeakageStatement, Receipt, ReceiptParty, Transcript
from psc.errors import AgreementError, MalformedMessageError, UsageError
from psc.node.cards import SignedCard
from psc.node.home import Home
from psc.node.own import own_card
from psc.node.records import RegisteredGroup, RegisteredKey, RegisteredRelease, RegisteredValue
from psc.node.signed import FormatError, dump, load_object
from psc.operations.software import own_status
from psc.operations.status import Status
from psc.policy.agreement_file import SignedAgreement
from psc.policy.agreements import sign
from psc.policy.catalogue import PaddedCount, catalogue_for
from psc.policy.propose import Offer, propose
from psc.session.hello import Hello
from psc.session.limits import Limits
from psc.texts import is_plain
from psc.types import Document, GroupColumn, KeyColumn, ReleasedColumn, Statistic, ValueColumn, canonical_json
from tests.homes import befriend, register_parcels
from tests.hostile_text import EVIL, HIDDEN, assert_harmless


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
def test_names_hold_nothing_hidden(hidden: str) -> None:
    name = f"x{hidden}"
    with pytest.raises(ValidationError):
        KeyColumn(name=name, kind="phone")
    with pytest.raises(ValidationError):
        ReleasedColumn(name=name, type="int64", width_bytes=8)
    with pytest.raises(ValidationError):
        PaddedCount(keys=(name,), count=1)
    with pytest.raises(ValidationError):
        ValueColumn(name=name, scale=0, low=0, high=1)
    with pytest.raises(ValidationError):
        GroupColumn(name=name, groups=1)
    with pytest.raises(ValidationError):
        Statistic(kind="sum", per="row", column=name)
    for column in ({"name": name, "column": "c"}, {"name": "n", "column": name}):
        for kind, more in (
            (RegisteredKey, {"kind": "phone"}),
            (RegisteredRelease, {"type": "int64", "width_bytes": 8}),
            (RegisteredValue, {"type": "int64", "scale": 0, "low": 0, "high": 1, "clip": False}),
            (RegisteredGroup, {}),
        ):
            with pytest.raises(ValidationError):
                kind.model_validate({**column, **more})


def test_names_of_all_scripts_and_signs_are_names() -> None:
    for name in ("收件人 手机", "téléphone", "a/b (c) – “d”", "😀", "x" * 64):
        assert KeyColumn(name=name, kind="phone").name == name
    for name in ("", "x" * 65):
        with pytest.raises(ValidationError):
            KeyColumn(name=name, kind="phone")


def test_a_document_with_such_a_name_is_malformed() -> None:
    with pytest.raises(MalformedMessageError) as caught:
        KeyColumn.parse(canonical_json({"name": EVIL[:40], "kind": "phone"}))
    assert caught.value.fields["where"] == "name"
    status = own_status("CN", Limits()).model_dump(mode="json")
    with pytest.raises(MalformedMessageError) as caught:
        Status.parse(canonical_json({**status, "software": "0.1\x1b[2J"}))
    assert caught.value.fields["where"] == "software"


@pytest.mark.parametrize("key", [EVIL, "\x1b[2J", "x" * 65, "name\u202e", "a b"])
def test_an_unknown_key_is_not_repeated(key: str) -> None:
    with pytest.raises(MalformedMessageError) as caught:
        KeyColumn.parse(canonical_json({"name": "x", "kind": "phone", key: 1}))
    assert caught.value.fields["where"] == "document"
    with pytest.raises(FormatError) as format_error:
        load_object(json.dumps({key: 1}).encode(), required=frozenset())
    assert format_error.value.where == "document"


def test_a_plain_unknown_key_is_named() -> None:
    with pytest.raises(FormatError) as caught:
        load_object(b'{"colour": 1}', required=frozenset())
    assert caught.value.where == "colour"


def test_files_that_we_write_can_be_looked_at() -> None:
    text = dump({"x": EVIL, "收": "件"})
    assert all(map(is_plain, text.split("\n")))
    assert json.loads(text) == {"x": EVIL, "收": "件"}
    assert "收" in text


def test_hostile_cards_and_agreements(tmp_path: Path) -> None:
    with Home.create(tmp_path / "m", "m") as home:
        card = json.loads(own_card(home).to_json())
    for change in ({"name": EVIL}, {"address": "evil\x1b:1"}, {"address": "evil\u202e:1"}, {"tls_name": EVIL}, {EVIL: 1}):
        data = json.dumps({**card, "card": {**card["card"], **change}}).encode()
        with pytest.raises(UsageError) as caught:
            SignedCard.parse(data, file=EVIL)
        assert_harmless(str(caught.value))
        assert is_plain(str(caught.value.fields["where"]))
    for content in ({"agreement": {EVIL: 1}, "signatures": {}}, {"agreement": {}, "signatures": {}, EVIL: 1}):
        with pytest.raises(AgreementError) as refused:
            SignedAgreement.parse(json.dumps(content).encode(), file=EVIL)
        assert_harmless(str(refused.value))
        assert is_plain(str(refused.value.fields["where"]))


def _hello() -> Hello:
    return Hello.model_validate(
        {
            "series": "psc/1",
            "suite": "s",
            "protocol": "dh-psi",
            "protocol_version": 1,
            "run_id": "0" * 26,
            "operation": "match",
            "purpose": "p",
            "initiator": "1" * 64,
            "initiator_name": "m",
            "responder": "2" * 64,
            "responder_name": "c",
            "initiator_role": "receiver",
            "certificate": "",
            "nonce": "3" * 64,
            "dataset": "parcels",
            "dataset_version": "4" * 64,
            "agreement": "5" * 64,
            "keys": ((KeyColumn(name="phone", kind="phone"),),),
            "released": (ReleasedColumn(name="fee", type="int64", width_bytes=8),),
            "rows_per_key": 1,
            "output_to": "receiver",
            "minimum_result": 1,
            "rules": "psc-rules/1",
            "number_metadata": "6" * 64,
            "initiator_sizes": (64,),
            "sent_at": "2026-11-21T17:00:00Z",
        }
    )


def _receipt(merchant: Home, courier: Home) -> Receipt:
    return Receipt(
        run_id="0" * 26,
        session_id="1" * 64,
        operation="match",
        protocol="dh-psi",
        protocol_version=1,
        suite="s",
        purpose="p",
        initiator=ReceiptParty(name="m", identity=merchant.identity.public),
        responder=ReceiptParty(name="c", identity=courier.identity.public),
        agreement_digest="2" * 64,
        dataset="parcels",
        dataset_version="3" * 64,
        keys=((KeyColumn(name="phone", kind="phone"),),),
        released=(ReleasedColumn(name="fee", type="int64", width_bytes=8),),
        output_to="receiver",
        initiator_sizes_padded=(64,),
        responder_sizes_padded=(64,),
        transcript=Transcript(initiator_to_responder="4" * 64, responder_to_initiator="5" * 64),
        leakage=LeakageStatement(initiator=("a line",), responder=("a line",)),
        self_rules=("a rule",),
        accepted_at="2026-11-21T17:00:00Z",
    )


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    """One of each document that a partner sends, with an entry in every list."""
    folder = tmp_path_factory.mktemp("documents")
    with Home.create(folder / "m", "m") as merchant, Home.create(folder / "c", "c", address="c.example:7443") as courier:
        befriend(merchant, courier)
        register_parcels(courier, folder, values=["fee:int64:0..99"], groups=["town=mail"])
        sums = {"values": ("fee",), "groups": ("town",), "membership": ("hidden", "owner"), "noise": "laplace:0.5"}
        offer = Offer("parcels", ("match", "aggregate"), release=("status",), **sums)  # type: ignore[arg-type]
        signed = sign(courier, propose(courier, partner="m", offers=[offer], purpose=["p"]).signed.agreement.id).signed
        return [
            _hello(),
            own_card(courier).card,
            signed.agreement,
            catalogue_for(courier, merchant.identity.public),
            _receipt(merchant, courier),
            own_status("CN", Limits()),
        ]


# A certificate is parsed and never shown. The rest of a status is compared with ours and shown with escapes.
ELSEWHERE = re.compile(r"authority_pem|series|time|protocols\.[0-9]+\.(?:id|suite)")


def _leaves(value: object, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, str):
        yield place
    elif isinstance(value, dict | list):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(entry, (*place, key))


@pytest.mark.parametrize("hidden", ["\x1b", "\x9b", "\n", "\u202e", "\u2028"])
def test_no_text_of_a_partner_s_document_may_hide_anything(documents: list[Document], hidden: str) -> None:
    for document in documents:
        for place in _leaves(document.model_dump(mode="json")):
            content = document.model_dump(mode="json")
            inner: Any = content
            for step in place[:-1]:
                inner = inner[step]
            inner[place[-1]] += hidden
            where = ".".join(map(str, place))
            if ELSEWHERE.fullmatch(where) or (isinstance(document, Status) and where == "rules"):
                continue
            with pytest.raises(MalformedMessageError):
                type(document).parse(canonical_json(content))
