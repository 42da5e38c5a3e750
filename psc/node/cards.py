"""Cards: what a partner pins. A card names an identity, its TLS authority and where the node is reached.

The file is ``{card, signature, previous_signature, earlier}``. A card signs itself; the first card after a rotation also
carries the signature of the identity before. ``earlier`` holds the card that introduced each identity before this card,
oldest first, so that whoever pinned any of them can follow the chain, and receipts of an earlier identity still verify. A
later card of the same identity (another address, say) only signs itself: the key that introduced it is gone by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field

from psc.errors import AuthenticationError, StorageError, UsageError
from psc.node.authority import CertificateError, parse_chain, tls_name_of
from psc.node.fields import IdentityKey, NodeName, Timestamp
from psc.node.files import storage_errors
from psc.node.identity import Identity, fingerprint, verify
from psc.node.settings import check_address
from psc.node.signed import FormatError, document_of, dump, load_object, text_of
from psc.types import Document

__all__ = ["Card", "SignedCard", "card_from_file", "card_from_store", "sign_card"]

_CHAIN_MAX = 32
_REQUIRED = frozenset({"card", "signature"})
_OPTIONAL = frozenset({"previous_signature", "earlier"})


class Card(Document):
    """What a node tells its partners about itself."""

    KIND: ClassVar[str] = "card"

    version: Literal[1] = 1
    name: NodeName
    identity: IdentityKey
    authority_pem: Annotated[str, Field(min_length=1, max_length=64 * 1024)]
    tls_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")]
    address: Annotated[str, Field(max_length=300), AfterValidator(check_address)] = ""
    created_at: Timestamp
    previous_identity: IdentityKey | None = None

    @property
    def fingerprint(self) -> str:
        """The identity's head in groups of four, to compare by telephone before trusting."""
        return fingerprint(self.identity)


@dataclass(frozen=True, slots=True)
class SignedCard:
    """A card with its signatures, all of them checked; made by ``parse`` or ``sign_card`` alone."""

    card: Card
    signature: str
    previous_signature: str | None = None
    earlier: tuple[SignedCard, ...] = ()

    @property
    def identities(self) -> tuple[str, ...]:
        """Every identity that the chain proves to be this party's, oldest first, the present one last; none twice."""
        return tuple(dict.fromkeys([*(link.card.identity for link in self.earlier), self.card.identity]))

    def introduction(self) -> tuple[SignedCard, ...]:
        """Return the chain that a later card of this party carries as ``earlier``."""
        rotated = self.card.previous_identity is not None
        return (*self.earlier, SignedCard(self.card, self.signature, self.previous_signature)) if rotated else self.earlier

    def to_json(self) -> str:
        """Return the file's text."""
        return dump({**self._link(), "earlier": [link._link() for link in self.earlier]})

    def _link(self) -> dict[str, object]:
        return {
            "card": self.card.model_dump(mode="json"),
            "signature": self.signature,
            "previous_signature": self.previous_signature,
        }

    @classmethod
    def parse(cls, data: bytes, *, file: str) -> Self:
        """Read a card file and check every signature and the chain of identities in it.

        Args:
            data: the file's content.
            file: its name, for the error.

        Raises:
            UsageError: the file is not a card, or a part of it has the wrong form.
            AuthenticationError: a signature does not verify.
        """
        try:
            content = load_object(data, required=_REQUIRED, optional=_OPTIONAL)
            chain = [_read_link(link) for link in _links(content.get("earlier", []))]
            card, signature, previous = _read_link({key: content[key] for key in content.keys() - {"earlier"}})
        except FormatError as error:
            code = "node.card-not-json" if error.not_json else "node.card-malformed"
            raise UsageError(code, file=file, where=error.where) from None
        earlier = tuple(SignedCard(*link) for link in chain)
        _check_chain((*chain, (card, signature, previous)), file)
        return cls(card, signature, previous, earlier)


def sign_card(card: Card, identity: Identity, *, before: SignedCard | None = None, old: Identity | None = None) -> SignedCard:
    """Return a card signed by its identity.

    Args:
        card: the card; its ``identity`` is ``identity.public``.
        identity: the node's identity.
        before: the card in force until now, if there is one.
        old: for a rotation, the identity that ``before`` names.
    """
    signature = identity.sign(card)
    if before is None:
        return SignedCard(card, signature)
    if old is None:
        return SignedCard(card, signature, None, before.introduction())
    chain = before.introduction() or (SignedCard(before.card, before.signature),)
    return SignedCard(card, signature, old.sign(card), chain)


def card_from_store(text: str) -> SignedCard:
    """Read and check a card that the store holds.

    Raises:
        StorageError: it is not a card any more: the store was damaged.
        AuthenticationError: a signature does not verify: it was edited.
    """
    try:
        return SignedCard.parse(text.encode(), file="store.db")
    except UsageError as error:
        raise StorageError("node.store-damaged", path="store.db", problem=f"Card: {error.fields['where']}") from None


def card_from_file(path: Path) -> SignedCard:
    """Read and check a card file.

    Raises:
        UsageError: there is no such file, or it is not a card.
        AuthenticationError: a signature does not verify.
    """
    if not path.is_file():
        raise UsageError("node.card-file-missing", file=str(path))
    with storage_errors(path):
        data = path.read_bytes()
    return SignedCard.parse(data, file=path.name)


_Link = tuple[Card, str, str | None]


def _links(value: object) -> list[object]:
    if not isinstance(value, list) or len(value) > _CHAIN_MAX:
        raise FormatError("earlier")
    return value


def _read_link(value: object) -> _Link:
    if not isinstance(value, dict) or not value.keys() <= {"card", "signature", "previous_signature"}:
        raise FormatError("earlier")
    card = document_of(Card, value.get("card"))
    previous = value.get("previous_signature")
    _check_tls(card)
    return card, text_of(value.get("signature"), "signature"), None if previous is None else text_of(previous, "signature")


def _check_tls(card: Card) -> None:
    try:
        parse_chain(card.authority_pem.encode())
    except CertificateError:
        raise FormatError("authority_pem") from None
    if card.tls_name.endswith(".psc") and card.tls_name != tls_name_of(card.identity):
        raise FormatError("tls_name")


def _check_chain(chain: tuple[_Link, ...], file: str) -> None:
    before: Card | None = None
    seen: set[str] = set()
    for card, signature, previous_signature in chain:
        rotated = before is not None and card.identity != before.identity
        expected = before.identity if rotated and before is not None else None
        if (
            card.previous_identity != expected
            or (previous_signature is not None) != rotated
            or (rotated and card.identity in seen)
        ):
            raise UsageError("node.card-malformed", file=file, where="previous_identity")
        try:
            verify(card, signature, card.identity)
            if expected is not None and previous_signature is not None:
                verify(card, previous_signature, expected)
        except AuthenticationError:
            raise AuthenticationError("node.card-signature-wrong", file=file, identity=card.fingerprint) from None
        seen.add(card.identity)
        before = card
