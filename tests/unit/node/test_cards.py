import json
from pathlib import Path
from typing import Any

import pytest

from psc.errors import AuthenticationError, UsageError
from psc.node.authority import tls_name_of
from psc.node.cards import Card, SignedCard, card_from_file, sign_card
from psc.node.home import Home
from psc.node.identity import Identity, verify
from psc.node.own import own_card, rotate
from tests.homes import code_of


def content_of(home: Home) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(own_card(home).to_json())
    return content


def parse(content: object) -> SignedCard:
    return SignedCard.parse(json.dumps(content).encode(), file="card.json")


def test_a_card_says_who_the_node_is(courier: Home) -> None:
    signed = own_card(courier)
    card = signed.card
    assert (card.name, card.identity, card.address) == ("courier", courier.identity.public, "courier.example:7443")
    assert card.tls_name == tls_name_of(card.identity) == card.identity[:32] + ".psc"
    assert card.previous_identity is None
    assert len(card.fingerprint.replace(" ", "")) == 32
    verify(card, signed.signature, card.identity)
    assert signed.identities == (card.identity,)


def test_a_card_survives_its_file_however_it_is_laid_out(courier: Home, tmp_path: Path) -> None:
    signed = own_card(courier)
    assert SignedCard.parse(signed.to_json().encode(), file="x") == signed
    compact = json.dumps(json.loads(signed.to_json()), separators=(",", ":"))
    assert SignedCard.parse(compact.encode(), file="x") == signed
    path = tmp_path / "card.json"
    path.write_text(signed.to_json())
    assert card_from_file(path) == signed
    assert "PRIVATE" not in signed.to_json()


def test_a_missing_card_file_is_a_usage_error(tmp_path: Path) -> None:
    assert code_of(UsageError, lambda: card_from_file(tmp_path / "card.json")).code == "node.card-file-missing"
    assert code_of(UsageError, lambda: card_from_file(tmp_path)).code == "node.card-file-missing"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "other"),
        ("address", "evil.example:7443"),
        ("created_at", "2030-01-01T00:00:00Z"),
    ],
)
def test_a_changed_field_breaks_the_signature(courier: Home, field: str, value: str) -> None:
    content = content_of(courier)
    content["card"][field] = value
    assert code_of(AuthenticationError, lambda: parse(content)).code == "node.card-signature-wrong"


def test_another_authority_breaks_the_signature(courier: Home, merchant: Home) -> None:
    content = content_of(courier)
    content["card"]["authority_pem"] = content_of(merchant)["card"]["authority_pem"]
    assert code_of(AuthenticationError, lambda: parse(content)).code == "node.card-signature-wrong"


@pytest.mark.parametrize(
    ("field", "value", "where"),
    [
        ("version", 2, "version"),
        ("name", "a b", "name"),
        ("identity", "00", "identity"),
        ("identity", 5, "identity"),
        ("authority_pem", "none", "authority_pem"),
        ("authority_pem", "", "authority_pem"),
        ("tls_name", "*.x", "tls_name"),
        ("tls_name", "0" * 32 + ".psc", "tls_name"),
        ("address", "https://x:1", "address"),
        ("created_at", "2026-11-21", "created_at"),
        ("created_at", "2026-13-21T00:00:00Z", "created_at"),
        ("previous_identity", "x", "previous_identity"),
        ("previous_identity", "ab" * 32, "previous_identity"),
        ("extra", 1, "extra"),
    ],
)
def test_an_impossible_field_is_named(courier: Home, field: str, value: object, where: str) -> None:
    content = content_of(courier)
    content["card"][field] = value
    error = code_of(UsageError, lambda: parse(content))
    assert (error.code, error.fields["where"]) == ("node.card-malformed", where)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'"card"',
        b"{}",
        b'{"card": {}}',
        b"[" * 100_000,
        b'{"card": NaN, "signature": ""}',
        b"9" * 5000,
        b'{"card": {"name": "\\ud800"}, "signature": "x"}',
        b'{"card": null, "signature": null}',
        b"x" * 300_000,
    ],
)
def test_what_is_no_card_is_a_usage_error(data: bytes) -> None:
    code = code_of(UsageError, lambda: SignedCard.parse(data, file="x")).code
    assert code == ("node.card-not-json" if _is_not_json(data) else "node.card-malformed")


@pytest.mark.parametrize("key", ["card", "signature"])
def test_a_missing_part_is_named(courier: Home, key: str) -> None:
    content = content_of(courier)
    del content[key]
    assert code_of(UsageError, lambda: parse(content)).fields["where"] == key


@pytest.mark.parametrize(
    ("key", "value"),
    [("earlier", {}), ("earlier", [1]), ("earlier", [{}] * 40), ("signature", 1), ("previous_signature", 1), ("more", 1)],
)
def test_a_wrong_part_is_a_usage_error(courier: Home, key: str, value: object) -> None:
    content = content_of(courier)
    content[key] = value
    assert code_of(UsageError, lambda: parse(content)).code == "node.card-malformed"


def test_a_rotation_carries_the_old_identitys_signature(courier: Home) -> None:
    before = own_card(courier)
    signed = rotate(courier)
    assert signed.card.previous_identity == before.card.identity
    assert signed.identities == (before.card.identity, signed.card.identity)
    assert signed.previous_signature is not None
    verify(signed.card, signed.previous_signature, before.card.identity)
    assert SignedCard.parse(signed.to_json().encode(), file="x") == signed


def test_a_chain_of_rotations_and_changes_verifies(courier: Home) -> None:
    identities = [courier.identity.public]
    for step in range(3):
        rotate(courier)
        identities.append(courier.identity.public)
        courier.settings = courier.settings.model_copy(update={"address": f"c.example:{step + 1}"})
        signed = own_card(courier)
        assert signed.card.previous_identity is None
        assert signed.identities == tuple(identities)
        assert SignedCard.parse(signed.to_json().encode(), file="x") == signed
    assert courier.identity.public == identities[-1]


def test_a_chain_with_a_link_changed_dropped_or_swapped_is_refused(courier: Home) -> None:
    rotate(courier)
    rotate(courier)
    content = content_of(courier)
    assert len(content["earlier"]) == 2
    dropped = {**content, "earlier": content["earlier"][1:]}
    swapped = {**content, "earlier": content["earlier"][::-1]}
    none = {**content, "earlier": []}
    unsigned = {**content, "previous_signature": None}
    twice = {**content, "earlier": [content["earlier"][0], *content["earlier"]]}
    for broken in (dropped, swapped, none, unsigned):
        assert code_of(UsageError, lambda broken=broken: parse(broken)).code == "node.card-malformed"
    parse(twice)  # the same card again says nothing new
    content["earlier"][0]["card"]["name"] = "x"
    assert code_of(AuthenticationError, lambda: parse(content)).code == "node.card-signature-wrong"


def test_nobody_can_continue_a_chain_without_its_key(courier: Home, merchant: Home) -> None:
    """A thief copies the courier's card and signs a "rotation" to itself with its own key only."""
    victim = own_card(courier)
    thief = merchant.identity
    card = Card.model_validate_json(
        own_card(merchant).card.model_copy(update={"previous_identity": victim.card.identity}).canonical()
    )
    forged = sign_card(card, thief, before=victim, old=thief)
    assert (
        code_of(AuthenticationError, lambda: SignedCard.parse(forged.to_json().encode(), file="x")).code
        == "node.card-signature-wrong"
    )


def test_a_card_follows_the_settings_and_is_always_newer(courier: Home) -> None:
    first = own_card(courier)
    assert own_card(courier) == first
    courier.settings = courier.settings.model_copy(update={"address": "", "name": "courier2"})
    second = own_card(courier)
    assert (second.card.address, second.card.name, second.card.identity) == ("", "courier2", first.card.identity)
    assert second.card.created_at > first.card.created_at
    assert own_card(courier) == second


def test_a_card_needs_its_own_identitys_signature(courier: Home) -> None:
    signed = own_card(courier)
    other = sign_card(signed.card, Identity.generate())
    assert (
        code_of(AuthenticationError, lambda: SignedCard.parse(other.to_json().encode(), file="x")).code
        == "node.card-signature-wrong"
    )


def _is_not_json(data: bytes) -> bool:
    if len(data) > 256 * 1024:
        return False  # refused unread
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return True
    return False
