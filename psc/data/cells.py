"""Key cells as text: what a cell of each Arrow type says when it is used as a key.

Text stays as it is. Whole numbers become their decimal digits. A float stands for a whole number when its value is one and is
small enough for its type to hold it exactly (one blank cell makes pandas turn a column of phone numbers into floats);
a larger one has already lost digits (an 18-digit ID card number read as a float) and is refused as ``imprecise``
rather than matched wrongly. Not-a-number is a missing cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from psc.data.classes import CellClass
from psc.data.compute import pc

__all__ = ["TextCells", "buffers_of", "is_key_type", "text_cells"]

_EXACT_FLOAT = {16: 2**11, 32: 2**24, 64: 2**53}


@dataclass(frozen=True, slots=True)
class TextCells:
    """Cells as text.

    Attributes:
        text: one text a row, null where the cell is missing or cannot be said exactly.
        classes: ``CellClass`` codes a row: ``OK`` where there is a text, else why there is none.
    """

    text: pa.LargeStringArray
    classes: npt.NDArray[np.uint8]


def is_key_type(kind: pa.DataType) -> bool:
    """Return whether a column of this Arrow type can hold keys: text, whole numbers, floats, decimals, or nothing but nulls."""
    if pa.types.is_dictionary(kind):
        return is_key_type(kind.value_type)
    tests = ("is_string", "is_large_string", "is_string_view", "is_integer", "is_floating", "is_decimal", "is_null")
    return any(getattr(pa.types, test)(kind) for test in tests)


def text_cells(values: pa.Array | pa.ChunkedArray) -> TextCells:
    """Return the cells of a column as text.

    Args:
        values: a column of a type for which ``is_key_type`` holds.

    Returns:
        As many cells as ``values`` has, in its order.

    Raises:
        TypeError: the type holds no keys; callers check first and say which column it is.
    """
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(array, pa.ChunkedArray):  # combine_chunks of zero chunks
        array = pa.array([], values.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if not is_key_type(kind):
        raise TypeError(f"no keys in {kind}")
    if pa.types.is_floating(kind):
        return _float_cells(array)
    if pa.types.is_decimal(kind):
        return _decimal_cells(array)
    text = array if pa.types.is_large_string(kind) else array.cast(pa.large_string())
    return TextCells(text, _missing(text))


def buffers_of(text: pa.LargeStringArray) -> tuple[npt.NDArray[np.int64], memoryview]:
    """Return the offsets (n + 1, from 0) and the UTF-8 bytes of an array of texts, without a copy where there is none to make.

    Nulls must have been filled: what stands under a null is not defined.
    """
    if text.null_count:
        text = pc.fill_null(text, "")
    _, offsets, data = text.buffers()
    if len(text) == 0 or offsets is None:
        return np.zeros(1, np.int64), memoryview(b"")
    ends = np.frombuffer(offsets, np.int64)[text.offset : text.offset + len(text) + 1]
    raw = memoryview(b"") if data is None else memoryview(data)
    return ends - ends[0] if ends[0] else ends, raw[int(ends[0]) : int(ends[-1])]


def _missing(text: pa.LargeStringArray) -> npt.NDArray[np.uint8]:
    if not text.null_count:
        return np.zeros(len(text), np.uint8)
    nulls = text.is_null().to_numpy(zero_copy_only=False)
    return np.where(nulls, np.uint8(CellClass.MISSING), np.uint8(CellClass.OK))


def _float_cells(array: pa.Array) -> TextCells:
    limit = _EXACT_FLOAT[array.type.bit_width]
    numbers = array.cast(pa.float64()).to_numpy(zero_copy_only=False)  # nulls become NaN
    classes = np.zeros(len(numbers), np.uint8)
    with np.errstate(invalid="ignore"):
        classes[np.floor(numbers) != numbers] = CellClass.INVALID
        classes[np.abs(numbers) > limit] = CellClass.IMPRECISE
    classes[np.isinf(numbers)] = CellClass.INVALID
    classes[np.isnan(numbers)] = CellClass.MISSING
    whole = np.where(classes == CellClass.OK, numbers, 0).astype(np.int64)
    text = pa.array(whole, mask=classes != CellClass.OK).cast(pa.large_string())
    return TextCells(text, classes)


def _decimal_cells(array: pa.Array) -> TextCells:
    text = pc.replace_substring_regex(array.cast(pa.large_string()), r"\.0*$", "")
    whole = pc.fill_null(pc.match_substring_regex(text, r"^-?[0-9]+$"), False).to_numpy(zero_copy_only=False)
    classes = _missing(text)
    classes[(classes == CellClass.OK) & ~whole] = CellClass.INVALID
    return TextCells(pc.if_else(pa.array(whole), text, None), classes)
