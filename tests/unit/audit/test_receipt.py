import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from psc.audit.receipt import (
    LeakageStatement,
    Receipt,
    ReceiptParty,
    SignedReceipt,
    Transcript,
    verify_receipt,
)
from psc.errors import AuditError
from psc.node.home import Home
from psc.node.own import own_card, rotate
from psc.node.trust import known_identities, trust
from psc.session.hello import AggregateTerms
from psc.types import GroupColumn, KeyColumn, Noise, ReleasedColumn, Statistic, ValueColumn
from tests.homes import code_of


def receipt_of(merchant: Home, courier: Home, **change: Any) -> Receipt:
    fields: dict[str, Any] = {
        "run_id": "01jd6x3k9m2p4q6r8s0t2v4w6y",
        "session_id": "1" * 64,
        "operation": "match",
        "protocol": "dh-psi",
        "protocol_version": 1,
        "suite": "ristretto255-sha512",
        "purpose": "delivery",
        "initiator": ReceiptParty(name="merchant", identity=merchant.identity.public),
        "responder": ReceiptParty(name="courier", identity=courier.identity.public),
        "agreement_digest": "2" * 64,
        "dataset": "parcels",
        "dataset_version": "3" * 64,
        "keys": ((KeyColumn(name="phone", kind="phone"),),),
        "released": (ReleasedColumn(name="status", type="text", width_bytes=16),),
        "output_to": "receiver",
        "initiator_sizes_padded": (1024,),
        "responder_sizes_padded": (2048,),
        "transcript": Transcript(initiator_to_responder="4" * 64, responder_to_initiator="5" * 64),
        "leakage": LeakageStatement(initiator=("which rows match",), responder=("the padded size",)),
        "self_rules": ("at least 1000 keys",),
        "accepted_at": "2026-11-21T17:00:00Z",
    }
    return Receipt(**{**fields, **change})


def signed_by(merchant: Home, courier: Home, **change: Any) -> SignedReceipt:
    receipt = receipt_of(merchant, courier, **change)
    return SignedReceipt(receipt, merchant.identity.sign(receipt), courier.identity.sign(receipt))


def parse(content: object) -> SignedReceipt:
    return SignedReceipt.parse(json.dumps(content).encode(), file="receipt.json")


def test_a_third_home_that_holds_only_the_two_cards_verifies_it(
    merchant: Home, courier: Home, bank: Home, tmp_path: Path
) -> None:
    path = tmp_path / "receipt.json"
    path.write_text(signed_by(merchant, courier).to_json())
    for home in (merchant, courier):
        trust(bank, own_card(home))
    verified = verify_receipt(SignedReceipt.parse(path.read_bytes(), file=path.name), known_identities(bank))
    assert (verified.initiator, verified.responder) == ("merchant", "courier")
    assert verified.receipt == receipt_of(merchant, courier)


def test_both_parties_verify_their_own_copy(friends: tuple[Home, Home, Home]) -> None:
    merchant, courier, _ = friends
    signed = signed_by(merchant, courier)
    for home in (merchant, courier):
        verify_receipt(signed, known_identities(home))


def test_a_party_that_is_not_pinned_is_named(merchant: Home, courier: Home, bank: Home) -> None:
    signed = signed_by(merchant, courier)
    trust(bank, own_card(merchant))
    error = code_of(AuditError, lambda: verify_receipt(signed, known_identities(bank)))
    assert (error.code, error.fields["side"]) == ("audit.receipt-party-unknown", "responder")
    assert code_of(AuditError, lambda: verify_receipt(signed, {})).fields["side"] == "initiator"


@pytest.mark.parametrize("pinned", ["before", "after"])
def test_a_receipt_outlives_rotations(merchant: Home, courier: Home, bank: Home, pinned: str) -> None:
    signed = signed_by(merchant, courier)
    if pinned == "before":
        trust(bank, own_card(merchant))
        trust(bank, own_card(courier))
    for home in (merchant, courier, courier):
        rotate(home)
    trust(bank, own_card(merchant))
    trust(bank, own_card(courier))
    assert verify_receipt(signed, known_identities(bank)).responder == "courier"
    assert signed.receipt.responder.identity != courier.identity.public
    trust(courier, own_card(merchant))
    assert verify_receipt(signed, known_identities(courier)).responder == "courier"  # its own past identity


def scalar_paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [found for key, entry in value.items() for found in scalar_paths(entry, (*path, key))]
    if isinstance(value, list):
        return [found for index, entry in enumerate(value) for found in scalar_paths(entry, (*path, index))]
    return [path]


def test_any_change_of_any_field_is_noticed(merchant: Home, courier: Home) -> None:
    terms = AggregateTerms(
        statistics=(Statistic(kind="sum", per="row", column="fee"),),
        values=(ValueColumn(name="fee", scale=2, low=0, high=100),),
        groups=(GroupColumn(name="city", groups=3),),
        weights=(),
        own_groups=1,
        own_columns=(),
        blocks=(64,),
        membership="hidden",
        engine="rlwe-8192-168/1",
        minimum_group=20,
        rows_bound=1,
    )
    signed = signed_by(merchant, courier, noise=Noise(mechanism="laplace", budget_thousandths=500), aggregate=terms)
    original = json.loads(signed.to_json())
    paths = scalar_paths(original["receipt"])
    assert len(paths) > 25
    for path in paths:
        content = json.loads(signed.to_json())
        place = content["receipt"]
        for step in path[:-1]:
            place = place[step]
        before = place[path[-1]]
        if before is None or isinstance(before, int):
            place[path[-1]] = 0 if before is None else before + 1
        else:
            place[path[-1]] = before[:-1] + ("0" if before[-1] != "0" else "1")
        assert content != original
        assert code_of(AuditError, lambda content=content: parse(content)).code in (
            "audit.receipt-signature-wrong",
            "audit.receipt-malformed",
        )


def test_dropped_and_added_entries_are_noticed(merchant: Home, courier: Home) -> None:
    for change in (
        lambda r: r.update(released=[]),
        lambda r: r.update(self_rules=[]),
        lambda r: r["leakage"]["responder"].append("nothing"),
        lambda r: r["keys"][0].append({"name": "mail", "kind": "email"}),
    ):
        content = json.loads(signed_by(merchant, courier).to_json())
        change(content["receipt"])
        assert code_of(AuditError, lambda content=content: parse(content)).code == "audit.receipt-signature-wrong"


def test_both_signatures_are_needed_and_stay_in_their_place(merchant: Home, courier: Home, bank: Home) -> None:
    signed = signed_by(merchant, courier)
    one, two = merchant.identity.public, courier.identity.public
    content = json.loads(signed.to_json())
    assert set(content["signatures"]) == {one, two}
    swapped = {**content, "signatures": {one: content["signatures"][two], two: content["signatures"][one]}}
    assert code_of(AuditError, lambda: parse(swapped)).fields["side"] == "initiator"
    forged = {**content, "signatures": {**content["signatures"], two: bank.identity.sign(signed.receipt)}}
    assert code_of(AuditError, lambda: parse(forged)).fields["side"] == "responder"
    for signatures in ({one: content["signatures"][one]}, {**content["signatures"], "ab" * 32: "cd" * 64}, {}, [], {one: 1}):
        broken = {**content, "signatures": signatures}
        assert code_of(AuditError, lambda broken=broken: parse(broken)).code == "audit.receipt-malformed"


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[]", b"{}", b'{"receipt": {}, "signatures": {}}', b"[" * 100_000, b"x" * 300_000]
)
def test_what_is_no_receipt_is_an_audit_error(data: bytes) -> None:
    code = code_of(AuditError, lambda: SignedReceipt.parse(data, file="x")).code
    assert code == ("audit.receipt-not-json" if _is_not_json(data) else "audit.receipt-malformed")


def test_a_receipt_survives_its_file(merchant: Home, courier: Home) -> None:
    signed = signed_by(merchant, courier)
    assert SignedReceipt.parse(signed.to_json().encode(), file="x") == signed
    assert Receipt.parse(signed.receipt.canonical()) == signed.receipt


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "../x"},
        {"session_id": "x"},
        {"operation": "steal"},
        {"outcome": "failed"},
        {"accepted_at": "yesterday"},
        {"initiator_sizes_padded": (-1,)},
        {"keys": ()},
        {"more": 1},
    ],
)
def test_a_receipt_has_one_shape(merchant: Home, courier: Home, change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        receipt_of(merchant, courier, **change)
    with pytest.raises(ValidationError):
        receipt_of(merchant, merchant)


def _is_not_json(data: bytes) -> bool:
    if len(data) > 256 * 1024:
        return False  # refused unread
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return True
    return False
