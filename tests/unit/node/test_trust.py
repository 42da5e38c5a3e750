import json
from pathlib import Path

import pytest

from psc.errors import AuthenticationError, StorageError, UsageError
from psc.node import own as own_module
from psc.node.cards import SignedCard
from psc.node.certificates import identify, tls_for
from psc.node.home import Home
from psc.node.own import own_card, rotate
from psc.node.trust import known_identities, own_party, partner_named, partners, party_of, trust
from tests.homes import befriend, code_of


def change(home: Home, **settings: str) -> None:
    home.settings = home.settings.model_copy(update=settings)


def test_a_card_file_is_pinned(merchant: Home, courier: Home, tmp_path: Path) -> None:
    path = tmp_path / "courier.json"
    path.write_text(own_card(courier).to_json())
    done = trust(merchant, path)
    assert done.change == "new"
    assert done.partner == partner_named(merchant, "courier")
    assert done.partner.card == own_card(courier).card
    assert done.partner.identity == courier.identity.public
    assert [party.name for party in partners(merchant)] == ["courier"]
    assert trust(merchant, path).change == "unchanged"


def test_an_unknown_partner_is_named_with_the_known_ones(friends: tuple[Home, Home, Home]) -> None:
    error = code_of(UsageError, lambda: partner_named(friends[0], "curier"))
    assert error.code == "node.partner-unknown"
    assert error.fields["known"] == "bank, courier"


def test_a_node_does_not_trust_itself(merchant: Home) -> None:
    assert code_of(UsageError, lambda: trust(merchant, own_card(merchant))).code == "node.card-own"
    first = own_card(merchant)
    rotate(merchant)
    assert code_of(UsageError, lambda: trust(merchant, first)).code == "node.card-own"


def test_a_partner_cannot_have_our_name(merchant: Home, tmp_path: Path) -> None:
    with Home.create(tmp_path / "x", "merchant") as other:
        assert code_of(UsageError, lambda: trust(merchant, own_card(other))).code == "node.name-own"


def test_another_identity_under_a_known_name_is_an_identity_that_changed(merchant: Home, courier: Home, tmp_path: Path) -> None:
    trust(merchant, own_card(courier))
    with Home.create(tmp_path / "x", "courier") as other:
        error = code_of(AuthenticationError, lambda: trust(merchant, own_card(other)))
    assert error.code == "node.identity-changed"
    assert partner_named(merchant, "courier").identity == courier.identity.public


def test_name_and_address_may_change_with_a_newer_card(merchant: Home, courier: Home) -> None:
    old = own_card(courier)
    trust(merchant, old)
    change(courier, name="express", address="")
    done = trust(merchant, own_card(courier))
    assert (done.change, done.partner.name, done.partner.card.address) == ("updated", "express", "")
    assert done.partner.party == old.card.identity
    error = code_of(UsageError, lambda: trust(merchant, old))
    assert error.code == "node.card-older"
    assert code_of(UsageError, lambda: partner_named(merchant, "courier")).code == "node.partner-unknown"


def test_a_partner_cannot_take_another_partners_name(friends: tuple[Home, Home, Home]) -> None:
    merchant, courier, _ = friends
    change(courier, name="bank")
    # The courier itself pins the bank, so it cannot even make such a card.
    assert code_of(UsageError, lambda: own_card(courier)).code == "node.name-taken"
    with courier.store.write() as db:
        db.execute("DELETE FROM cards WHERE name = 'bank'")
    card = own_card(courier)
    assert code_of(AuthenticationError, lambda: trust(merchant, card)).code == "node.identity-changed"


def test_a_rotation_is_followed(merchant: Home, courier: Home) -> None:
    befriend(merchant, courier)
    first = courier.identity.public
    party = partner_named(merchant, "courier").party
    old_card = own_card(courier)
    done = trust(merchant, rotate(courier))
    assert done.change == "rotated"
    assert done.partner.identity == courier.identity.public != first
    assert done.partner.party == party == first
    assert done.partner.identities == (first, done.partner.identity)
    found = party_of(merchant, first)
    assert found is not None
    assert found.name == "courier"
    assert known_identities(merchant)[first] == "courier"
    assert code_of(AuthenticationError, lambda: trust(merchant, old_card)).code == "node.identity-retired"


def test_missed_rotations_are_caught_up(merchant: Home, courier: Home) -> None:
    trust(merchant, own_card(courier))
    identities = [courier.identity.public]
    for port in (1, 2, 3):
        rotate(courier)
        change(courier, address=f"c.example:{port}")
        own_card(courier)
        identities.append(courier.identity.public)
    done = trust(merchant, own_card(courier))
    assert done.change == "rotated"
    assert done.partner.identities == tuple(identities)
    assert set(known_identities(merchant)) == {merchant.identity.public, *identities}


def test_whoever_pins_only_the_newest_card_knows_the_old_identities(merchant: Home, courier: Home) -> None:
    first = courier.identity.public
    rotate(courier)
    assert trust(merchant, own_card(courier)).change == "new"
    assert known_identities(merchant)[first] == "courier"
    assert partner_named(merchant, "courier").party == first


def test_a_card_that_joins_two_partners_is_refused(friends: tuple[Home, Home, Home]) -> None:
    merchant, courier, bank = friends
    chain = rotate(courier)
    with merchant.store.write() as db:  # as if the courier's new identity were pinned as the bank
        db.execute("UPDATE cards SET identity = ? WHERE identity = ?", (chain.card.identity, bank.identity.public))
    assert code_of(AuthenticationError, lambda: trust(merchant, chain)).code == "node.identity-taken"


def test_after_a_rotation_only_the_new_keys_are_left(courier: Home) -> None:
    old = courier.keys_folder(courier.identity.public)
    tls_for(courier, None)
    rotate(courier)
    assert not old.exists()
    assert list((courier.path / "keys").iterdir()) == [courier.keys_folder(courier.identity.public)]
    with Home.open(courier.path) as again:
        assert again.identity.public == courier.identity.public


def test_a_running_process_sees_the_rotation_of_another(courier: Home) -> None:
    with Home.open(courier.path) as running:
        before = running.identity.public
        rotate(courier)
        assert running.identity.public == courier.identity.public != before
        assert tls_for(running, None).server_name == courier.identity.public[:32] + ".psc"


@pytest.mark.parametrize("broken", ["write_keys", "sign_card", "store_card"])
def test_a_rotation_that_fails_leaves_the_old_identity_in_force(
    merchant: Home, courier: Home, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    befriend(merchant, courier)
    before = courier.identity.public

    def fail(*_: object, **__: object) -> None:
        raise StorageError("node.disk-full", path="x")

    monkeypatch.setattr(own_module, broken, fail)
    code_of(StorageError, lambda: rotate(courier))
    monkeypatch.undo()
    assert courier.identity.public == before
    assert [path.name for path in (courier.path / "keys").iterdir()] == [before[:16]]
    assert identify(merchant, tls_for(courier, None).certificate_pem) is not None


def test_the_party_of_a_stranger_is_nobody(merchant: Home, courier: Home) -> None:
    assert party_of(merchant, courier.identity.public) is None
    found = party_of(merchant, merchant.identity.public)
    assert found is not None
    assert found.own
    assert own_party(merchant) == found


def test_a_tampered_pinned_card_is_noticed(merchant: Home, courier: Home) -> None:
    trust(merchant, own_card(courier))
    content = json.loads(own_card(courier).to_json())
    content["card"]["address"] = "evil.example:1"
    with merchant.store.write() as db:
        db.execute("UPDATE cards SET card = ? WHERE name = 'courier'", (json.dumps(content),))
    assert code_of(AuthenticationError, lambda: partners(merchant)).code == "node.card-signature-wrong"


def test_a_signed_card_object_is_pinned_like_its_file(merchant: Home, courier: Home) -> None:
    signed = own_card(courier)
    assert trust(merchant, SignedCard.parse(signed.to_json().encode(), file="x")).partner.card == signed.card
