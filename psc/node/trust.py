"""Who is pinned: partners' cards and their history, and this node as a party beside them.

A party is known by the first of its identities that was ever pinned here (``party``): quotas and agreements follow the
party through its rotations, so a new key buys nothing. Names and addresses may change with any newer card of the same
identity; the identity itself changes only by a card that the old identity signed.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from psc.errors import AuthenticationError, UsageError
from psc.node.cards import Card, SignedCard, card_from_file, card_from_store
from psc.node.clock import now, parse_timestamp, timestamp
from psc.node.home import Home
from psc.node.identity import fingerprint

__all__ = [
    "Partner",
    "Trusted",
    "all_parties",
    "known_identities",
    "names_checked",
    "own_party",
    "partner_named",
    "partners",
    "party_of",
    "store_card",
    "trust",
]


@dataclass(frozen=True, slots=True)
class Partner:
    """A pinned party; ``own`` is this node itself.

    Attributes:
        party: the first identity of it that was pinned here; never changes.
        name: its name in its present card.
        identity: its present identity.
        card: its present card.
        identities: every identity of it that is known, the present one last.
        trusted_at: when the present card was pinned.
    """

    party: str
    name: str
    identity: str
    card: Card
    identities: tuple[str, ...]
    trusted_at: str
    own: bool = False


@dataclass(frozen=True, slots=True)
class Trusted:
    """What pinning a card did."""

    partner: Partner
    change: Literal["new", "updated", "rotated", "unchanged"]


def partners(home: Home) -> tuple[Partner, ...]:
    """Return every pinned partner, by name."""
    return tuple(party for party in all_parties(home) if not party.own)


def partner_named(home: Home, name: str) -> Partner:
    """Return a partner by its name.

    Raises:
        UsageError: no such partner; the text lists the known ones.
    """
    known = partners(home)
    for party in known:
        if party.name == name:
            return party
    raise UsageError("node.partner-unknown", name=name, known=", ".join(party.name for party in known))


def party_of(home: Home, identity: str) -> Partner | None:
    """Return the party (a partner, or this node) that has or had an identity; None when nobody known did."""
    for party in all_parties(home):
        if identity in party.identities:
            return party
    return None


def own_party(home: Home) -> Partner:
    """Return this node as a party, with its card as last signed."""
    return next(party for party in all_parties(home) if party.own)


def known_identities(home: Home) -> Mapping[str, str]:
    """Return every identity that this home knows, past ones too, with the present name of its party."""
    return {identity: party.name for party in all_parties(home) for identity in party.identities}


def trust(home: Home, card: Path | SignedCard, *, expected: str | None = None) -> Trusted:
    """Pin a partner's card.

    Args:
        home: the node.
        card: the card's file, or the checked card.
        expected: the fingerprint that the partner read out; blanks and case do not matter.

    Raises:
        UsageError: it is no card, is our own, is older than the pinned one, or its name is another partner's.
        AuthenticationError: a signature does not verify, the fingerprint is not the expected one, or a known partner's
            identity changed without its signature.
    """
    signed = card if isinstance(card, SignedCard) else card_from_file(card)
    new = signed.card
    if expected is not None and "".join(expected.split()).lower() != "".join(new.fingerprint.split()):
        said = " ".join(expected.split())
        raise AuthenticationError("node.card-fingerprint-other", name=new.name, fingerprint=new.fingerprint, expected=said)
    with names_checked(new.name), home.store.write() as db:
        rows = {row[0]: row for row in db.execute("SELECT identity, party, own, current, card, name FROM cards")}
        if any(rows[identity][2] for identity in signed.identities if identity in rows):
            raise UsageError("node.card-own", name=new.name)
        owners = {rows[identity][1] for identity in signed.identities if identity in rows}
        if len(owners) > 1:
            raise AuthenticationError("node.identity-taken", name=new.name)
        change = _change(signed, rows, owners)
        if change != "unchanged":
            _check_tls_name(new, rows, owners)
            store_card(db, signed, party=owners.pop() if owners else None, own=False)
    found = party_of(home, new.identity)
    assert found is not None  # noqa: S101 - just pinned
    return Trusted(found, change)


_Row = tuple[str, str, int, int, str, str]


def _change(signed: SignedCard, rows: Mapping[str, _Row], owners: set[str]) -> Literal["new", "updated", "rotated", "unchanged"]:
    new = signed.card
    current = {row[1]: row for row in rows.values() if row[3]}
    for row in current.values():
        if row[5] == new.name and row[1] not in owners:
            # The name is taken. If this is meant to be that partner, its identity changed and nobody vouches for it.
            if row[2]:
                raise UsageError("node.name-own", name=new.name)
            pinned_identity = fingerprint(row[0])
            raise AuthenticationError("node.identity-changed", name=new.name, pinned=pinned_identity, identity=new.fingerprint)
    if not owners:
        return "new"
    pinned = card_from_store(current[next(iter(owners))][4])
    if new.identity == pinned.card.identity:
        if new == pinned.card:
            return "unchanged"
        if parse_timestamp(new.created_at) < parse_timestamp(pinned.card.created_at):
            raise UsageError("node.card-older", name=new.name, created=new.created_at, pinned=pinned.card.created_at)
        return "updated"
    if pinned.card.identity not in signed.identities:
        raise AuthenticationError("node.identity-retired", name=new.name, identity=new.fingerprint)
    return "rotated"


def _check_tls_name(new: Card, rows: Mapping[str, _Row], owners: set[str]) -> None:
    """Refuse a name in certificates that another pinned party has: under one company CA the two could not be told apart."""
    for row in rows.values():
        if row[3] and row[1] not in owners:
            other = card_from_store(row[4]).card
            if other.tls_name == new.tls_name:
                raise UsageError("node.tls-name-taken", name=new.name, tls_name=new.tls_name, other=other.name)


def store_card(db: sqlite3.Connection, signed: SignedCard, *, party: str | None, own: bool) -> None:
    """Make a checked card its party's card in force, and keep the identities of its chain as history.

    Args:
        db: a writing transaction.
        signed: the card.
        party: the party that it belongs to; None for this node, or for a party that is new.
        own: it is this node's.
    """
    at = timestamp(now())
    if party is None:
        row = db.execute("SELECT party FROM cards WHERE own = 1").fetchone() if own else None
        party = row[0] if row else signed.identities[0]
    db.execute("UPDATE cards SET current = 0 WHERE party = ?", (party,))
    statement = (
        "INSERT INTO cards (identity, party, own, current, name, card, pinned_at) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (identity) DO UPDATE SET current = excluded.current, name = excluded.name, card = excluded.card, "
        "pinned_at = excluded.pinned_at"
    )
    for link in signed.earlier:
        if db.execute("SELECT 1 FROM cards WHERE identity = ?", (link.card.identity,)).fetchone() is None:
            db.execute(statement, (link.card.identity, party, int(own), 0, link.card.name, link.to_json(), at))
    db.execute(statement, (signed.card.identity, party, int(own), 1, signed.card.name, signed.to_json(), at))


def all_parties(home: Home) -> tuple[Partner, ...]:
    """Return this node and every pinned partner, by name."""
    with home.store.read() as db:
        rows = db.execute("SELECT identity, party, own, current, card, pinned_at FROM cards ORDER BY name, rowid").fetchall()
    history: dict[str, list[str]] = {}
    for identity, party, _own, current, _card, _at in rows:
        if not current:
            history.setdefault(party, []).append(identity)
    found = []
    for identity, party, own, current, text, at in rows:
        if current:
            signed = card_from_store(text)
            identities = tuple(dict.fromkeys([*history.get(party, ()), *signed.identities]))
            found.append(Partner(party, signed.card.name, identity, signed.card, identities, at, own=bool(own)))
    return tuple(found)


@contextlib.contextmanager
def names_checked(name: str) -> Iterator[None]:
    """Turn a clash of names in the store into a ``UsageError``."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise UsageError("node.name-taken", name=name) from None
