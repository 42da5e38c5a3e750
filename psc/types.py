"""Frozen value types that several layers share, and the one way to make a signed document's bytes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from psc.errors import MalformedMessageError
from psc.texts import is_plain

__all__ = [
    "ALTERNATIVES_MAX",
    "CHUNK_BYTES",
    "DOCUMENT_BYTES_MAX",
    "GROUPS_MAX",
    "SCALE_MAX",
    "VALUE_LIMIT",
    "Alternatives",
    "Document",
    "GroupColumn",
    "KeyColumn",
    "KeyKind",
    "Keys",
    "Membership",
    "Model",
    "Noise",
    "NoiseMechanism",
    "OperationName",
    "OutputTo",
    "PlainName",
    "PlainText",
    "ReleasedColumn",
    "Statistic",
    "StatisticKind",
    "ValueColumn",
    "canonical_json",
    "key_label",
    "key_names",
    "plain_place",
    "scaled_text",
]

CHUNK_BYTES = 256 * 1024
"""The largest payload of one protocol message, in bytes: half a frame, so that two fit a gateway's usual body limit."""

DOCUMENT_BYTES_MAX = 256 * 1024
"""The largest document (card, agreement, hello, catalogue, receipt) that is parsed, in bytes."""

SCALE_MAX = 9
"""Most decimals of a value."""

VALUE_LIMIT = 1 << 62
"""Values are closer to zero than this, in units of their scale."""

GROUPS_MAX = 1024
"""Most distinct labels of a group column, and of several together."""

ALTERNATIVES_MAX = 4
"""Most alternative keys of a match."""

OperationName = Literal["match", "count", "aggregate"]
OutputTo = Literal["receiver", "responder", "both"]
Membership = Literal["hidden", "owner", "matcher"]
Model = Literal["semi-honest", "malicious"]
NoiseMechanism = Literal["laplace", "gaussian"]
StatisticKind = Literal["count", "sum", "squares", "bin"]
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

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)
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


def scaled_text(units: int, scale: int) -> str:
    """Return a scaled integer as a decimal: 12345 at scale 2 is ``123.45``; at scale 0 the integer."""
    digits = f"{abs(units):0{scale + 1}d}"
    whole, fraction = (digits[:-scale], digits[-scale:]) if scale else (digits, "")
    return ("-" if units < 0 else "") + whole + ("." + fraction if fraction else "")


def _where(error: ValidationError) -> str:
    return plain_place(".".join(str(part) for part in error.errors()[0]["loc"]))


class KeyColumn(Document):
    """A key of a dataset: its name and the kind that normalises its cells."""

    name: PlainName
    kind: KeyKind


Keys = Annotated[tuple[KeyColumn, ...], Field(min_length=1, max_length=8)]
"""The columns of one key: one, or several that are one key together."""


def key_names(keys: Sequence[KeyColumn]) -> tuple[str, ...]:
    """Return the names of the columns of one key."""
    return tuple(key.name for key in keys)


def key_label(keys: Sequence[KeyColumn]) -> str:
    """Return what one key is called: ``phone``, or ``name+zip`` for one of several columns."""
    return "+".join(key_names(keys))


def _distinct(alternatives: tuple[Keys, ...]) -> tuple[Keys, ...]:
    sets, labels = {frozenset(key_names(keys)) for keys in alternatives}, {key_label(keys) for keys in alternatives}
    if min(len(sets), len(labels)) < len(alternatives):  # a result names the alternative by its label
        raise ValueError("an alternative stands twice")
    return alternatives


Alternatives = Annotated[tuple[Keys, ...], Field(min_length=1, max_length=ALTERNATIVES_MAX), AfterValidator(_distinct)]
"""The keys of a run by rank, the preferred one first; one, unless it is a match by any of several."""


class ReleasedColumn(Document):
    """A column that may be released: its name, type and, for text, its width in UTF-8 bytes."""

    name: PlainName
    type: ReleaseType
    width_bytes: int = Field(ge=1, le=1024)


Units = Annotated[int, Field(gt=-VALUE_LIMIT, lt=VALUE_LIMIT)]
BinEdge = Annotated[int, Field(gt=-(1 << 63), lt=1 << 63)]


class ValueColumn(Document):
    """A column of numbers that aggregates may use: each cell is a whole number of units of 10^-scale, from low to high.

    Attributes:
        name: its name, as partners see it.
        scale: decimals, 0 to 9.
        low: the least value, in units.
        high: the greatest value, in units.
    """

    name: PlainName
    scale: int = Field(ge=0, le=SCALE_MAX)
    low: Units
    high: Units

    @property
    def magnitude(self) -> int:
        """The greatest absolute value, in units."""
        return max(abs(self.low), abs(self.high))

    def __str__(self) -> str:
        """Return the column as it is declared: ``fee:2:0.00..100.00``, with its scale and its range as decimals."""
        return f"{self.name}:{self.scale}:{scaled_text(self.low, self.scale)}..{scaled_text(self.high, self.scale)}"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class GroupColumn(Document):
    """A column whose labels group customers.

    Attributes:
        name: its name, as partners see it.
        groups: how many labels there are; where it grants, at most how many.
    """

    name: PlainName
    groups: int = Field(ge=0, le=GROUPS_MAX)


class Noise(Document):
    """The noise that a value owner adds before numbers leave it.

    Attributes:
        mechanism: discrete Laplace or discrete Gaussian.
        budget_thousandths: what one run may spend, in thousandths: epsilon of differential privacy for ``laplace``, rho of
            zero-concentrated differential privacy for ``gaussian``. It is split evenly over the noisy numbers that one
            customer is in; cells are disjoint, so their number does not divide it.
    """

    mechanism: NoiseMechanism
    budget_thousandths: int = Field(ge=1, le=1_000_000)

    def __str__(self) -> str:
        """Return it as it is declared: ``laplace:0.5``."""
        return f"{self.mechanism}:{scaled_text(self.budget_thousandths, 3).rstrip('0').rstrip('.')}"


class Statistic(Document):
    """One additive number of an aggregate: a sum, over the shared customers of a cell, of one integer a customer.

    For a customer with rows of values v (nulls left out) that integer is: ``count`` per row the number of rows (of values,
    with a column), per customer 1 if there is a value; ``sum`` Σv; ``squares`` per row Σv², per customer (Σv)²; ``bin`` per
    row how many v are in [low, high), per customer 1 if there is a value and Σv is.

    Attributes:
        kind: what is added up.
        per: over rows, or over each customer's total.
        column: the value column; None, for ``count`` alone, counts rows or customers.
        low: lower edge of a bin, in units of the column's scale, inside; None for other kinds.
        high: upper edge of a bin, outside (the closed end of the last bin is its upper edge less 1).
        weight: index of the initiator's weight column by which a ``count`` or ``sum`` per row is multiplied, row by row of
            the join; only where the value owner adds up in the clear.
    """

    kind: StatisticKind
    per: Literal["row", "customer"]
    column: PlainName | None
    low: BinEdge | None = None
    high: BinEdge | None = None
    weight: Annotated[int, Field(ge=0, le=63)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.column is None and self.kind != "count":
            raise ValueError("a column is missing")
        if self.kind == "bin":
            if self.low is None or self.high is None or self.low >= self.high:
                raise ValueError("a bin has a low edge below a high edge")
        elif self.low is not None or self.high is not None:
            raise ValueError("only a bin has edges")
        if self.weight is not None and (self.per != "row" or self.kind not in ("count", "sum")):
            raise ValueError("only counts and sums of rows can be weighted")
        return self
