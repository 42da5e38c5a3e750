"""The agreement file: ``{agreement, signatures, revocations}``, as it is stored and as it travels.

``signatures`` maps an identity to its signature; the owner's alone makes a grant, both make an agreement. ``revocations``
maps an identity to a signed revocation. Reading a file checks every signature in it; a file with a wrong one is refused
as a whole. What the file's signers mean for this node (who the owner is, whether it is us) is judged by
``psc.policy.agreements``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Self

from psc.errors import AgreementError, AuthenticationError
from psc.node.clock import parse_timestamp
from psc.node.identity import verify
from psc.node.signed import FormatError, document_of, dump, load_object, text_of, texts_of
from psc.policy.agreement import Agreement, Revocation
from psc.policy.decide import AgreementView

__all__ = ["SignedAgreement", "SignedRevocation", "State"]

State = Literal["draft", "granted", "agreed", "revoked", "expired", "not-yet-valid"]
_SIGNERS_MAX = 16


@dataclass(frozen=True, slots=True)
class SignedRevocation:
    """A revocation and the signature over it."""

    revocation: Revocation
    signature: str


@dataclass(frozen=True, slots=True)
class SignedAgreement:
    """An agreement with the signatures that it has; every one was checked when it was read."""

    agreement: Agreement
    signatures: Mapping[str, str] = field(default_factory=dict)
    revocations: Mapping[str, SignedRevocation] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the document, which sessions and receipts bind."""
        return self.agreement.digest()

    @property
    def owner_signed(self) -> bool:
        """The owner of the data signed: it is a grant at least."""
        return self.agreement.owner.identity in self.signatures

    @property
    def partner_signed(self) -> bool:
        """The partner signed."""
        return self.agreement.partner.identity in self.signatures

    def state(self, now: datetime) -> State:
        """Return the state at a moment."""
        if self.revocations:
            return "revoked"
        if not self.owner_signed:
            return "draft"
        if now > parse_timestamp(self.agreement.valid_until):
            return "expired"
        if now < parse_timestamp(self.agreement.valid_from):
            return "not-yet-valid"
        return "agreed" if self.partner_signed else "granted"

    def view(self, dataset: str, sequence: int) -> AgreementView:
        """Return what the decision on a run of a dataset needs."""
        agreement = self.agreement
        return AgreementView(
            id=agreement.id,
            digest=self.digest,
            purpose=agreement.purpose,
            terms=agreement.terms_of(dataset),
            valid_from=agreement.valid_from,
            valid_until=agreement.valid_until,
            created_at=agreement.created_at,
            sequence=sequence,
            owner_signed=self.owner_signed,
            revoked=bool(self.revocations),
        )

    def merged(self, other: SignedAgreement) -> SignedAgreement:
        """Return this agreement with the other copy's signatures and revocations added; none is ever taken away."""
        return SignedAgreement(self.agreement, {**other.signatures, **self.signatures}, {**other.revocations, **self.revocations})

    def to_json(self) -> str:
        """Return the file's text."""
        revocations = {
            identity: {"revocation": entry.revocation.model_dump(mode="json"), "signature": entry.signature}
            for identity, entry in self.revocations.items()
        }
        content: dict[str, object] = {
            "agreement": self.agreement.model_dump(mode="json"),
            "signatures": dict(self.signatures),
        }
        return dump({**content, "revocations": revocations} if revocations else content)

    @classmethod
    def parse(cls, data: bytes, *, file: str) -> Self:
        """Read an agreement file and check every signature in it.

        Args:
            data: the file's content.
            file: its name, for the error.

        Raises:
            AgreementError: it is not an agreement, or a signature in it does not verify.
        """
        try:
            content = load_object(data, required=frozenset({"agreement", "signatures"}), optional=frozenset({"revocations"}))
            agreement = document_of(Agreement, content["agreement"])
            signatures = texts_of(content["signatures"], "signatures")
            revocations = _read_revocations(content.get("revocations", {}))
        except FormatError as error:
            code = "policy.agreement-not-json" if error.not_json else "policy.agreement-malformed"
            raise AgreementError(code, file=file, where=error.where) from None
        _check(agreement, signatures, revocations, file)
        return cls(agreement, signatures, revocations)


def _read_revocations(value: object) -> dict[str, SignedRevocation]:
    if not isinstance(value, dict) or len(value) > _SIGNERS_MAX:
        raise FormatError("revocations")
    found = {}
    for identity, entry in value.items():
        if not isinstance(entry, dict) or entry.keys() != {"revocation", "signature"}:
            raise FormatError("revocations")
        signature = text_of(entry["signature"], "revocations")
        found[str(identity)] = SignedRevocation(document_of(Revocation, entry["revocation"]), signature)
    return found


def _check(agreement: Agreement, signatures: Mapping[str, str], revocations: Mapping[str, SignedRevocation], file: str) -> None:
    parties = {agreement.owner.identity: agreement.owner.name, agreement.partner.identity: agreement.partner.name}
    for identity, signature in signatures.items():
        if identity not in parties:
            raise AgreementError("policy.agreement-stranger", file=file, identity=identity[:16])
        try:
            verify(agreement, signature, identity)
        except AuthenticationError:
            raise AgreementError("policy.agreement-signature-wrong", file=file, name=parties[identity]) from None
    digest = agreement.digest()
    for identity, entry in revocations.items():
        try:
            verify(entry.revocation, entry.signature, identity)
        except AuthenticationError:
            raise AgreementError("policy.agreement-signature-wrong", file=file, name=identity[:16]) from None
        if entry.revocation.agreement_digest != digest or entry.revocation.agreement != agreement.id:
            raise AgreementError("policy.agreement-malformed", file=file, where="revocations")
