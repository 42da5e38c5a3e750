"""Key kinds: how a cell of each kind becomes a key, and why a cell is refused.

Both parties must turn the same identifier into the same bytes, or nothing matches and nobody notices. So the rules have an
id, ``RULES_ID``, and phone numbers depend on number metadata, whose hash is ``metadata_hash``; the handshake compares both.
The rules of phones are in ``psc.data.phones``, those of the other kinds in ``psc.data.identifiers``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from psc.data import identifiers
from psc.data.cells import is_key_type, text_cells
from psc.data.classes import CLASS_NAMES, CellClass
from psc.data.compute import pc
from psc.data.phones import KnownCells, normalise_phones
from psc.data.prefixes import metadata_hash
from psc.errors import DataError, UsageError
from psc.types import KeyKind

__all__ = ["CLASS_NAMES", "KINDS", "RULES_ID", "CellClass", "KnownCells", "Normalised", "metadata_hash", "normalise"]

RULES_ID = "psc-rules/1"
"""The id of these rules. Any change to what becomes a key, or to which key it becomes, needs a new id."""

KINDS: tuple[str, ...] = get_args(KeyKind)

_Keys = tuple[pa.LargeStringArray, npt.NDArray[np.uint8]]
_RULES: dict[str, Callable[[pa.LargeStringArray], _Keys]] = {
    "email": identifiers.normalise_emails,
    "idcard": identifiers.normalise_idcards,
    "waybill": identifiers.normalise_waybills,
    "text": identifiers.normalise_texts,
    "integer": identifiers.normalise_integers,
}


@dataclass(frozen=True, slots=True, repr=False)
class Normalised:
    """The keys of a column.

    Attributes:
        values: one normalised key a row, null where the cell was refused.
        classes: a ``CellClass`` code a row, 0 where there is a key; ``CLASS_NAMES`` names the others.
    """

    values: pa.LargeStringArray
    classes: npt.NDArray[np.uint8]

    def __repr__(self) -> str:
        return f"Normalised(rows={len(self.classes)}, refused={int(np.count_nonzero(self.classes))})"


def normalise(
    values: pa.Array | pa.ChunkedArray, kind: KeyKind, *, region: str = "CN", known: KnownCells | None = None
) -> Normalised:
    """Turn the cells of a column into keys.

    Args:
        values: a column of text, whole numbers, floats or decimals.
        kind: what the cells are.
        region: ISO 3166 code of the region that phone numbers without ``+`` belong to.
        known: cells that took long to judge, with what they were found to be; cells of ``values`` are added. It serves batches
            of one column, with one kind and one region.

    Returns:
        One key or one class a row, in the order of ``values``; no row is left out.

    Raises:
        DataError: ``data.column-type-keys`` when no cell of this Arrow type can be a key, ``data.region-unknown``.
        UsageError: ``data.kind-unknown``.
    """
    if kind not in KINDS:
        raise UsageError("data.kind-unknown", kind=str(kind)[:32], kinds=", ".join(KINDS))
    if not is_key_type(values.type):
        raise DataError("data.column-type-keys", type=str(values.type), kind=kind)
    cells = text_cells(values)
    text = pc.fill_null(cells.text, "") if cells.text.null_count else cells.text
    keys, classes = normalise_phones(text, region, known) if kind == "phone" else _RULES[kind](text)
    # A cell that could not be said as text has the reason it came with, whatever the kind thinks of an empty text.
    classes = np.where(cells.classes != CellClass.OK, cells.classes, classes).astype(np.uint8)
    return Normalised(keys, classes)
