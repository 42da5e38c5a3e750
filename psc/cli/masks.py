"""Masked forms of tables: what a person sees of key columns unless unmasking was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from psc.data.masking import mask_values

if TYPE_CHECKING:
    import pyarrow as pa

    from psc.types import KeyKind

__all__ = ["masked"]


def masked(table: pa.Table, kinds: Mapping[str, KeyKind]) -> pa.Table:
    """Return a table whose key columns are masked.

    Args:
        table: own rows.
        kinds: the kind of each key column, by column name; other columns stay as they are.
    """
    for index, name in enumerate(table.column_names):
        if name in kinds:
            table = table.set_column(index, name, mask_values(kinds[name], table.column(name)))
    return table
