"""A node's agreements: propose, sign, import, revoke, list, show.

The way of an agreement: the owner of the data proposes (a draft of what is registered), signs (from then on a grant), and
sends the file; the partner imports it, which checks that the owner is the pinned partner and that the partner is us, and
may sign too and send the file back, which the owner imports. Either side may revoke; that acts at once on its own node,
and on the other's when the file with the revocation is imported there.

A party that rotates its identity keeps its agreements: they are matched by party. A document that names an identity which
was replaced can no longer be signed or brought in; propose anew.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from psc.errors import AgreementError, UsageError
from psc.node.clock import now, timestamp
from psc.node.files import storage_errors
from psc.node.home import Home
from psc.node.trust import Partner, all_parties, own_party, party_of
from psc.policy.agreement import Revocation
from psc.policy.agreement_file import SignedAgreement, SignedRevocation

__all__ = ["StoredAgreement", "add", "import_file", "list_agreements", "revoke", "show", "sign", "with_partner"]


@dataclass(frozen=True, slots=True)
class StoredAgreement:
    """An agreement in the store.

    Attributes:
        signed: the document with its signatures, all checked.
        sequence: order of arrival.
        ours: this node owns the data.
        partner: the party at the other side; None when no card of it is pinned any more.
    """

    signed: SignedAgreement
    sequence: int
    ours: bool
    partner: Partner | None


def add(home: Home, signed: SignedAgreement) -> StoredAgreement:
    """Store a new document, or add the signatures of this copy to the stored one.

    Raises:
        AgreementError: another document with this id is stored.
    """
    agreement = signed.agreement
    with home.store.write() as db:
        stored = _read(db, agreement.id)
        if stored is None:
            sequence = db.execute("SELECT COALESCE(MAX(sequence), 0) + 1 FROM agreements").fetchone()[0]
        else:
            before, sequence = stored
            if before.digest != signed.digest:
                raise AgreementError("policy.agreement-id-taken", id=agreement.id)
            signed = before.merged(signed)
        db.execute(
            "INSERT INTO agreements (id, sequence, file) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET file = excluded.file",
            (agreement.id, sequence, signed.to_json()),
        )
    return show(home, agreement.id)


def sign(home: Home, agreement_id: str) -> StoredAgreement:
    """Sign a stored agreement with this node's identity: as owner that makes a grant, as partner it co-signs.

    Raises:
        UsageError: there is no such agreement.
        AgreementError: it names an identity that this node has replaced, or was revoked.
    """
    stored = show(home, agreement_id)
    agreement, identity = stored.signed.agreement, home.identity
    if stored.signed.revocations:
        raise AgreementError("policy.agreement-ended", id=agreement_id)
    if identity.public not in (agreement.owner.identity, agreement.partner.identity):
        raise AgreementError("policy.agreement-old-identity", id=agreement_id)
    return add(home, SignedAgreement(agreement, {identity.public: identity.sign(agreement)}))


def import_file(home: Home, path: Path) -> StoredAgreement:
    """Bring in the file of a partner: a grant to us, or our own document with the partner's signature or revocation.

    Raises:
        UsageError: there is no such file.
        AgreementError: it is malformed, wrongly signed, not signed by its owner, not about us, or its other party is not
            pinned here under the identity that it names.
    """
    if not path.is_file():
        raise UsageError("policy.agreement-file-missing", file=str(path))
    with storage_errors(path):
        data = path.read_bytes()
    signed = SignedAgreement.parse(data, file=path.name)
    agreement = signed.agreement
    with home.store.read() as db:
        known = _read(db, agreement.id)
    if known is not None and known[0].digest == signed.digest:
        _check_revokers(all_parties(home), signed, path.name)
        return add(home, signed)
    own = own_party(home)
    if agreement.owner.identity in own.identities:
        # Our own documents come back, they never come from elsewhere: the store would hold it.
        raise AgreementError("policy.agreement-not-proposed-here", file=path.name)
    if agreement.partner.identity not in own.identities:
        raise AgreementError("policy.agreement-not-ours", file=path.name, partner=agreement.partner.name)
    if agreement.partner.identity != own.identity:
        raise AgreementError("policy.agreement-old-identity", id=agreement.id)
    owner = party_of(home, agreement.owner.identity)
    if owner is None or owner.identity != agreement.owner.identity:
        raise AgreementError("policy.agreement-owner-unknown", file=path.name, owner=agreement.owner.name)
    if not signed.owner_signed:
        raise AgreementError("policy.agreement-unsigned", file=path.name, owner=agreement.owner.name)
    _check_revokers(all_parties(home), signed, path.name)
    return add(home, signed)


def revoke(home: Home, agreement_id: str) -> StoredAgreement:
    """End an agreement. It acts on this node from the next decision on; runs that were accepted go on.

    Raises:
        UsageError: there is no such agreement.
    """
    stored = show(home, agreement_id)
    if stored.signed.revocations:
        return stored
    identity = home.identity
    revocation = Revocation(agreement=agreement_id, agreement_digest=stored.signed.digest, revoked_at=timestamp(now()))
    entry = SignedRevocation(revocation, identity.sign(revocation))
    return add(home, SignedAgreement(stored.signed.agreement, {}, {identity.public: entry}))


def show(home: Home, agreement_id: str) -> StoredAgreement:
    """Return a stored agreement, every signature in it checked again.

    Raises:
        UsageError: there is no such agreement.
        AgreementError: the stored file was changed.
    """
    with home.store.read() as db:
        found = _read(db, agreement_id)
    if found is None:
        raise UsageError("policy.agreement-unknown", id=agreement_id)
    return _stored(all_parties(home), found)


def list_agreements(home: Home) -> tuple[StoredAgreement, ...]:
    """Return every stored agreement in order of arrival.

    Raises:
        AgreementError: a stored file was changed.
    """
    with home.store.read() as db:
        ids = [row[0] for row in db.execute("SELECT id FROM agreements ORDER BY sequence")]
        found = [entry for entry in (_read(db, agreement_id) for agreement_id in ids) if entry is not None]
    parties = all_parties(home)
    return tuple(_stored(parties, entry) for entry in found)


def with_partner(home: Home, party: Partner, *, ours: bool) -> tuple[StoredAgreement, ...]:
    """Return the agreements with one party in which the data is ours (or theirs)."""
    return tuple(
        stored
        for stored in list_agreements(home)
        if stored.ours is ours and stored.partner is not None and stored.partner.party == party.party
    )


def _stored(parties: tuple[Partner, ...], found: tuple[SignedAgreement, int]) -> StoredAgreement:
    signed, sequence = found
    _check_revokers(parties, signed, signed.agreement.id)
    holders = {identity: party for party in parties for identity in party.identities}
    owner = holders.get(signed.agreement.owner.identity)
    if owner is not None and owner.own:
        return StoredAgreement(signed, sequence, ours=True, partner=holders.get(signed.agreement.partner.identity))
    return StoredAgreement(signed, sequence, ours=False, partner=owner)


def _check_revokers(parties: tuple[Partner, ...], signed: SignedAgreement, file: str) -> None:
    """A revocation may be signed by a later identity of either party, and by nobody else."""
    named = {signed.agreement.owner.identity, signed.agreement.partner.identity}
    allowed = set(named).union(*(party.identities for party in parties if named & set(party.identities)))
    for identity in signed.revocations:
        if identity not in allowed:
            raise AgreementError("policy.agreement-stranger", file=file, identity=identity[:16])


def _read(db: sqlite3.Connection, agreement_id: str) -> tuple[SignedAgreement, int] | None:
    row = db.execute("SELECT file, sequence FROM agreements WHERE id = ?", (agreement_id,)).fetchone()
    if row is None:
        return None
    try:
        signed = SignedAgreement.parse(row[0].encode(), file="store")
    except AgreementError:
        raise AgreementError("policy.agreement-tampered", id=agreement_id) from None
    if signed.agreement.id != agreement_id:
        raise AgreementError("policy.agreement-tampered", id=agreement_id)
    return signed, row[1]
