"""The own card: signed anew when a setting in it changes, and the rotation of the own identity."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

from psc.node.authority import new_authority, tls_name_of
from psc.node.cards import Card, SignedCard, card_from_store, sign_card
from psc.node.certificates import own_authority
from psc.node.clock import now, parse_timestamp, timestamp
from psc.node.files import remove_tree
from psc.node.home import Home, write_keys
from psc.node.identity import Identity
from psc.node.trust import names_checked, store_card

__all__ = ["own_card", "rotate"]


def own_card(home: Home) -> SignedCard:
    """Return the own card, signed anew when a setting that stands in it has changed.

    Raises:
        UsageError: the new name is a partner's, or the company certificate's files do not fit together.
    """
    identity = home.identity
    authority_pem, tls_name = own_authority(home, identity.public)
    present = _own_signed(home)
    settings = home.settings
    wanted = (settings.name, settings.address, authority_pem.decode(), tls_name)
    if wanted == (present.card.name, present.card.address, present.card.authority_pem, present.card.tls_name):
        return present
    with names_checked(settings.name), home.store.write() as db:
        before = _read_own(db)
        if before.card.identity != identity.public:
            return before  # rotated in this moment, by another process, from the same settings
        card = Card(
            name=settings.name,
            identity=identity.public,
            authority_pem=authority_pem.decode(),
            tls_name=tls_name,
            address=settings.address,
            created_at=_later_than(before.card),
        )
        signed = sign_card(card, identity, before=before)
        store_card(db, signed, party=None, own=True)
    return signed


def rotate(home: Home) -> SignedCard:
    """Give this node a new identity and a new TLS authority; the old identity signs the new card, then its key is deleted.

    Partners accept the new card with ``psc trust``; until then they refuse this node. Receipts and agreements signed by the
    old identity still verify, because the card carries the chain of identities.

    Raises:
        StorageError: the disk refuses; the old identity then stays in force.
    """
    own_card(home)
    with home.store.write() as db:
        before = _read_own(db)
        old = home.identity
        fresh = Identity.generate()
        authority = new_authority(fresh.public, now())
        folder = home.keys_folder(fresh.public)
        company = before.card.tls_name != tls_name_of(before.card.identity)
        card = before.card.model_copy(
            update={
                "identity": fresh.public,
                "previous_identity": old.public,
                "created_at": _later_than(before.card),
                "authority_pem": before.card.authority_pem if company else authority.certificate_pem.decode(),
                "tls_name": before.card.tls_name if company else tls_name_of(fresh.public),
            }
        )
        try:
            write_keys(folder, fresh, authority)
            signed = sign_card(card, fresh, before=before, old=old)
            store_card(db, signed, party=None, own=True)
        except BaseException:
            remove_tree(folder)
            raise
    remove_tree(home.keys_folder(old.public))
    return signed


def _own_signed(home: Home) -> SignedCard:
    with home.store.read() as db:
        return _read_own(db)


def _read_own(db: sqlite3.Connection) -> SignedCard:
    text = db.execute("SELECT card FROM cards WHERE own = 1 AND current = 1").fetchone()[0]
    return card_from_store(text)


def _later_than(card: Card) -> str:
    """Return a time that a partner takes for newer than a card, even when the clock was set back."""
    return timestamp(max(now(), parse_timestamp(card.created_at) + timedelta(seconds=1)))
