"""The record of a registered dataset: what is declared, and what registration counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from psc.node.fields import Digest, NodeName, Timestamp
from psc.types import (
    SCALE_MAX,
    Document,
    GroupColumn,
    KeyColumn,
    KeyKind,
    PlainName,
    PlainText,
    ReleasedColumn,
    ReleaseType,
    ValueColumn,
    canonical_json,
)

__all__ = [
    "ROWS_PER_KEY_MAX",
    "DatasetRecord",
    "KeyCount",
    "RegisteredGroup",
    "RegisteredKey",
    "RegisteredRelease",
    "RegisteredValue",
    "ValueCount",
]

ROWS_PER_KEY_MAX = 1024

Column = Annotated[PlainText, Field(min_length=1, max_length=1024)]
Count = Annotated[int, Field(ge=0)]


class RegisteredKey(Document):
    """A key: its name, kind, and the column of the source."""

    name: PlainName
    kind: KeyKind
    column: Column


class RegisteredRelease(Document):
    """A column that may be released, and the column of the source that feeds it."""

    name: PlainName
    type: ReleaseType
    width_bytes: Annotated[int, Field(ge=1, le=1024)]
    column: Column


class RegisteredValue(Document):
    """A value that aggregates may use, and the column of the source that feeds it; the range in units of 10^-scale."""

    name: PlainName
    type: Literal["int64", "decimal"]
    scale: Annotated[int, Field(ge=0, le=SCALE_MAX)]
    low: int
    high: int
    clip: bool
    column: Column

    @property
    def value(self) -> ValueColumn:
        """The value as partners know it."""
        return ValueColumn(name=self.name, scale=self.scale, low=self.low, high=self.high)


class RegisteredGroup(Document):
    """A column that may group aggregates, and the column of the source that feeds it."""

    name: PlainName
    column: Column


class ValueCount(Document):
    """How many cells of a value are null, and how many were outside its range and count as the end of it."""

    name: PlainName
    nulls: Count
    clipped: Count


class KeyCount(Document):
    """How many distinct keys there are when these keys are used together, and how many rows have not all of them."""

    keys: tuple[PlainName, ...]
    count: Count
    rows_rejected: Count


class DatasetRecord(Document):
    """What is registered. ``salt`` stays at home; everything that a partner sees is chosen by the catalogue.

    ``rows_rejected`` are the rows that were refused: with a cell that is no key, or without any key. ``group_columns`` are the
    groups as partners know them, with the number of labels that registration counted.
    """

    KIND: ClassVar[str] = "dataset"

    layout: Literal[1] = 1
    name: NodeName
    source: str
    keys: Annotated[tuple[RegisteredKey, ...], Field(min_length=1, max_length=8)]
    release: Annotated[tuple[RegisteredRelease, ...], Field(max_length=64)] = ()
    values: Annotated[tuple[RegisteredValue, ...], Field(max_length=64)] = ()
    groups: Annotated[tuple[RegisteredGroup, ...], Field(max_length=64)] = ()
    max_rows_per_key: Annotated[int, Field(ge=1, le=ROWS_PER_KEY_MAX)]
    on_bad: Literal["error", "skip"]
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    rules: str
    number_metadata: Digest
    salt: Digest
    version: Digest
    row_count: Count
    rows_rejected: Count = 0
    most_rows_per_key: Count
    counts: Annotated[tuple[KeyCount, ...], Field(min_length=1)]
    value_counts: tuple[ValueCount, ...] = ()
    group_columns: tuple[GroupColumn, ...] = ()
    registered_at: Timestamp

    @property
    def key_columns(self) -> tuple[KeyColumn, ...]:
        """The keys as partners know them."""
        return tuple(KeyColumn(name=key.name, kind=key.kind) for key in self.keys)

    @property
    def released_columns(self) -> tuple[ReleasedColumn, ...]:
        """The columns that may be released, as partners know them."""
        return tuple(
            ReleasedColumn(name=column.name, type=column.type, width_bytes=column.width_bytes) for column in self.release
        )

    @property
    def value_columns(self) -> tuple[ValueColumn, ...]:
        """The values that aggregates may use, as partners know them."""
        return tuple(registered.value for registered in self.values)

    @property
    def key_count(self) -> int:
        """Distinct keys when all registered keys are used together."""
        return self.key_count_of([key.name for key in self.keys])

    def key_count_of(self, names: Sequence[str]) -> int:
        """Return the number of distinct keys when these keys are used together.

        It was counted at registration for every choice of keys; 0 for a choice that names an unknown one.
        """
        return next((entry.count for entry in self.counts if set(entry.keys) == set(names)), 0)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the source that is used, each once, in a fixed order."""
        used = [key.column for key in self.keys]
        used += [released.column for released in self.release]
        used += [value.column for value in self.values]
        used += [group.column for group in self.groups]
        return tuple(dict.fromkeys(used))

    def rules_text(self) -> str:
        """Return everything beside the cells that decides what the dataset is; part of its version."""
        fields = ("keys", "release", "values", "groups", "max_rows_per_key", "on_bad", "region", "rules", "number_metadata")
        content = self.model_dump(mode="json")
        return canonical_json({field: content[field] for field in fields}).decode()
