"""Frozen value types that several layers share, and the one way to make a signed document's bytes."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from psc.errors import MalformedMessageError
from psc.texts import is_plain

__all__ = [
    "DOCUMENT_BYTES_MAX",
    "Document",
    "KeyColumn",
    "KeyKind",
    "OperationName",
    "OutputTo",
    "PlainName",
    "PlainText",
    "ReleasedColumn",
    "canonical_json",
    "plain_place",
]

DOCUMENT_BYTES_MAX = 256 * 1024
"""The largest document (card, agreement, hello, catalogue, receipt) that is parsed, in bytes."""

OperationName = Literal["match", "count"]
OutputTo = Literal["receiver", "both"]
KeyKind = Literal["phone", "email", "idcard", "waybill", "text", "integer"]
ReleaseType = Literal["text", "int64", "float64", "bool", "date"]

_PLACE = re.compile(r"[A-Za-z0-9_.]{1,64}")


def _plain(value: str) -> str:
    if not is_plain(value):
        raise ValueError("control characters, line separators and invisible characters are not allowed")
    return value


PlainText = Annotated[str, AfterValidator(_plain)]
"""A text on one line whose characters all stand for themselves; see ``psc.texts.is_plain``."""

PlainName = Annotated[PlainText, Field(min_length=1, max_length=64)]
"""The name of a key, a column, a group or a value, as partners see it."""


def canonical_json(value: object) -> bytes:
    """Return the one JSON encoding of a value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class Document(BaseModel):
    """A frozen record with exactly one byte representation, so that it can be signed and hashed.

    Sub-classes set ``KIND``, which separates the signatures and digests of different documents.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    KIND: ClassVar[str] = ""

    def canonical(self) -> bytes:
        """Return the document's bytes."""
        return canonical_json(self.model_dump(mode="json"))

    def signing_input(self) -> bytes:
        """Return what an identity signs: the kind and the canonical bytes."""
        return b"psc/v1/" + self.KIND.encode() + b"\x00" + self.canonical()

    def digest(self) -> str:
        """Return SHA-256 of ``signing_input`` in lower-case hex."""
        return hashlib.sha256(self.signing_input()).hexdigest()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a document from its canonical bytes.

        Raises:
            MalformedMessageError: it is too large, not JSON, has wrong fields, or is not in canonical form.
        """
        if len(data) > DOCUMENT_BYTES_MAX:
            raise MalformedMessageError("session.document-too-large", kind=cls.__name__, limit_bytes=DOCUMENT_BYTES_MAX)
        try:
            document = cls.model_validate_json(data)
        except ValidationError as error:
            raise MalformedMessageError("session.document-malformed", kind=cls.__name__, where=_where(error)) from None
        if document.canonical() != data:
            raise MalformedMessageError("session.document-malformed", kind=cls.__name__, where="canonical form")
        return document


def plain_place(place: str) -> str:
    """Return the name of a place in a document; ``document`` for one that its author made up and that is no short, plain word."""
    return place if _PLACE.fullmatch(place) else "document"


def _where(error: ValidationError) -> str:
    return plain_place(".".join(str(part) for part in error.errors()[0]["loc"]))


class KeyColumn(Document):
    """A key of a dataset: its name and the kind that normalises its cells."""

    name: PlainName
    kind: KeyKind


class ReleasedColumn(Document):
    """A column that may be released: its name, type and, for text, its width in UTF-8 bytes."""

    name: PlainName
    type: ReleaseType
    width_bytes: int = Field(ge=1, le=1024)
