"""Receipts: what two nodes did together, signed by both.

A receipt names the run, the parties, the agreement, the dataset's version, what was released and what each side learned,
and the transcript of both directions as seen by both. It holds sizes (padded), digests and names, never an identifier or an
unsalted digest of a result. Each party stores it; anyone who pins both cards can check it, years later and offline: cards
carry the chain of a party's identities, so a rotation does not void a receipt.

``self_rules`` are limits that the initiator kept by itself, attested by its signature: they can be audited, not proved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from psc.errors import AuditError, AuthenticationError
from psc.node.fields import Digest, IdentityKey, NodeName, RunId, Timestamp
from psc.node.identity import fingerprint, verify
from psc.node.signed import FormatError, document_of, dump, load_object, texts_of
from psc.session.hello import ATTEMPTS_MAX, AggregateTerms
from psc.types import ALTERNATIVES_MAX, Alternatives, Document, Model, Noise, OperationName, OutputTo, PlainText, ReleasedColumn

__all__ = [
    "LeakageStatement",
    "Receipt",
    "ReceiptParty",
    "ResumedRun",
    "SignedReceipt",
    "Transcript",
    "VerifiedReceipt",
    "verify_receipt",
]

Size = Annotated[int, Field(ge=0, le=1 << 40)]
Sizes = Annotated[tuple[Size, ...], Field(min_length=1, max_length=ALTERNATIVES_MAX)]
Line = Annotated[PlainText, Field(min_length=1, max_length=8192)]
Lines = Annotated[tuple[Line, ...], Field(max_length=64)]
Word = Annotated[PlainText, Field(min_length=1, max_length=128)]


class ReceiptParty(Document):
    """A party by identity, and the name in its card at the time."""

    name: NodeName
    identity: IdentityKey


class Transcript(Document):
    """SHA-256 over all protocol frames of each direction, in order."""

    initiator_to_responder: Digest
    responder_to_initiator: Digest


class LeakageStatement(Document):
    """What each side learned, in plain English, as the plan showed it."""

    initiator: Lines
    responder: Lines


class ResumedRun(Document):
    """What a run went on with: its first attempt, the shards that were finished, the hash that chains their messages."""

    run_id: RunId
    attempt: Annotated[int, Field(ge=2, le=ATTEMPTS_MAX)]
    finished: Annotated[int, Field(ge=1)]
    chain: Digest


class Receipt(Document):
    """The record of one run; ``keys`` are its alternatives by rank, one unless it is a match by any of several keys."""

    KIND: ClassVar[str] = "receipt"

    version: Literal[1] = 1
    run_id: RunId
    session_id: Digest
    operation: OperationName
    protocol: Word
    protocol_version: Annotated[int, Field(ge=1, le=1000)]
    suite: Word
    model: Model = "semi-honest"
    purpose: Word
    initiator: ReceiptParty
    responder: ReceiptParty
    initiator_role: Literal["receiver", "sender"] = "receiver"
    agreement_digest: Digest
    dataset: NodeName
    dataset_version: Digest
    keys: Alternatives
    released: Annotated[tuple[ReleasedColumn, ...], Field(max_length=64)]
    noise: Noise | None = None
    aggregate: AggregateTerms | None = None
    output_to: OutputTo
    initiator_sizes_padded: Sizes
    responder_sizes_padded: Sizes
    resumed: ResumedRun | None = None
    transcript: Transcript
    leakage: LeakageStatement
    self_rules: Lines
    accepted_at: Timestamp
    outcome: Literal["finished"] = "finished"

    @model_validator(mode="after")
    def _two_parties(self) -> Self:
        if self.initiator.identity == self.responder.identity:
            raise ValueError("initiator and responder are one identity")
        if not len(self.keys) == len(self.initiator_sizes_padded) == len(self.responder_sizes_padded):
            raise ValueError("another number of sizes than of keys")
        return self


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt with both signatures. ``parse`` and ``verify_receipt`` check them; the bare constructor does not."""

    receipt: Receipt
    initiator_signature: str
    responder_signature: str

    def check(self) -> None:
        """Check both signatures against the identities that the receipt names.

        Raises:
            AuditError: one does not verify; the text says whose.
        """
        for side, party, signature in (
            ("initiator", self.receipt.initiator, self.initiator_signature),
            ("responder", self.receipt.responder, self.responder_signature),
        ):
            try:
                verify(self.receipt, signature, party.identity)
            except AuthenticationError:
                run_id = self.receipt.run_id
                raise AuditError("audit.receipt-signature-wrong", run_id=run_id, side=side, name=party.name) from None

    def to_json(self) -> str:
        """Return the file's text: ``{receipt, signatures}``."""
        signatures = {
            self.receipt.initiator.identity: self.initiator_signature,
            self.receipt.responder.identity: self.responder_signature,
        }
        return dump({"receipt": self.receipt.model_dump(mode="json"), "signatures": signatures})

    @classmethod
    def parse(cls, data: bytes, *, file: str) -> Self:
        """Read a receipt file and check both signatures.

        Args:
            data: the file's content.
            file: its name, for the error.

        Raises:
            AuditError: it is not a receipt, or a signature is missing or wrong.
        """
        try:
            content = load_object(data, required=frozenset({"receipt", "signatures"}))
            receipt = document_of(Receipt, content["receipt"])
            signatures = texts_of(content["signatures"], "signatures")
        except FormatError as error:
            raise AuditError(
                "audit.receipt-not-json" if error.not_json else "audit.receipt-malformed", file=file, where=error.where
            ) from None
        identities = (receipt.initiator.identity, receipt.responder.identity)
        if signatures.keys() != set(identities):
            raise AuditError("audit.receipt-malformed", file=file, where="signatures")
        signed = cls(receipt, signatures[identities[0]], signatures[identities[1]])
        signed.check()
        return signed


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """A receipt that verifies, with the names under which this home pins the two parties now."""

    receipt: Receipt
    initiator: str
    responder: str


def verify_receipt(signed: SignedReceipt, known: Mapping[str, str]) -> VerifiedReceipt:
    """Check a receipt against pinned parties.

    Args:
        signed: the receipt.
        known: every identity that this home pins, past ones too, with the party's name
            (``psc.node.trust.known_identities``).

    Raises:
        AuditError: a signature is wrong, or an identity is nobody's that is pinned here.
    """
    signed.check()
    names = []
    for side, party in (("initiator", signed.receipt.initiator), ("responder", signed.receipt.responder)):
        if party.identity not in known:
            identity = fingerprint(party.identity)
            run_id = signed.receipt.run_id
            raise AuditError("audit.receipt-party-unknown", run_id=run_id, side=side, name=party.name, identity=identity)
        names.append(known[party.identity])
    return VerifiedReceipt(signed.receipt, names[0], names[1])
