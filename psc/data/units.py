"""Cells as whole numbers of units of 10^-scale, exactly or not at all. How a cell becomes one is told in ``psc.data.values``."""

from __future__ import annotations

from contextlib import suppress
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from psc.data.compute import pc
from psc.types import VALUE_LIMIT

__all__ = ["ValueClass", "units_of"]

_Ints = npt.NDArray[np.int64]
_Classes = npt.NDArray[np.uint8]

_PLAIN = r"^-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)$"
_NUMBER = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?$"
_SHORT = 15
"""Characters of a number whose digits, at most so many, a double keeps."""
_TIES_EXACT = 9 * 10**14
"""Up to so many units the tie between two neighbours is the nearest float of a quotient of two exact ones."""
_TIES_SHORTEST = 10**14
"""Up to so many units the tie has at most 15 digits, and a float that equals it is printed as it."""
_LONG, _LONGEST = pa.decimal128(38, 18), pa.decimal256(76, 38)
_LIMB = 2**32 - 1
_PASS_DIGITS = 9
"""Decimal digits that one division takes off: its divisor fits into 32 bits."""
_DIGITS = Context(prec=400, rounding=ROUND_HALF_EVEN, Emax=10_000_000, Emin=-10_000_000)
_WHOLE_DIGITS_MAX = 40


class ValueClass(IntEnum):
    """What a cell of a value column is."""

    OK = 0
    NULL = 1
    NOT_NUMBER = 2
    NOT_WHOLE = 3
    IMPRECISE = 4
    BELOW = 5
    ABOVE = 6


def units_of(array: pa.Array, scale: int, magnitude: int, *, whole: bool) -> tuple[_Ints, _Classes] | None:
    """Return the units of cells and what each cell is.

    Args:
        array: cells of a type that a source's table has.
        scale: decimals, 0 to 9.
        magnitude: the greatest absolute value that is of use, in units. A float that has lost digits but is more than twice as
            large is outside all the same.
        whole: refuse fractions instead of rounding them half to even.

    Returns:
        Units, ``VALUE_LIMIT`` away from zero at most and 0 where there is no number, and ``ValueClass`` codes without any regard
        to a range; None when the type holds no numbers.
    """
    kind = array.type
    classes = np.zeros(len(array), np.uint8)
    classes[array.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)] = ValueClass.NULL
    if pa.types.is_null(kind):
        return np.zeros(len(array), np.int64), classes
    if pa.types.is_boolean(kind):
        array, kind = array.cast(pa.int8()), pa.int8()
    if pa.types.is_integer(kind):
        numbers = array.fill_null(0).to_numpy(zero_copy_only=False)
        if pa.types.is_uint64(kind):
            numbers = np.minimum(numbers, VALUE_LIMIT)
        return _scaled(numbers.astype(np.int64), scale), classes
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return _float_units(array, scale, magnitude, classes, whole=whole), classes
    if pa.types.is_decimal(kind):
        return _decimal_units(array.fill_null(Decimal(0)), scale, classes, whole=whole), classes
    if pa.types.is_large_string(kind):
        return _text_units(array, scale, classes, whole=whole), classes
    return None


def _scaled(numbers: _Ints, scale: int) -> _Ints:
    factor = 10**scale
    most = VALUE_LIMIT // factor + 1  # times the factor this is VALUE_LIMIT at least, and below 2^63
    units: _Ints = np.clip(np.clip(numbers, -most, most) * factor, -VALUE_LIMIT, VALUE_LIMIT)
    return units


def _float_units(array: pa.Array, scale: int, magnitude: int, classes: _Classes, *, whole: bool) -> _Ints:
    single = pa.types.is_float32(array.type)
    if single:  # the double of the shortest decimal, not the double that equals the float
        array = array.cast(pa.large_string())
    numbers = array.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
    classes[np.isinf(numbers)] = ValueClass.NOT_NUMBER
    numbers = np.where(classes == ValueClass.OK, numbers, 0.0)
    with np.errstate(over="ignore"):
        products = numbers * float(10**scale)
    # Beyond its digits a float says nothing; far beyond the range it still says that it is outside.
    bits = 24 if single else 53
    over = np.abs(numbers) > 2.0**bits if whole else np.abs(products) > 2.0 ** (bits - 1)
    outside = over & (np.abs(products) > 2.0 * magnitude)
    classes[over & ~outside] = ValueClass.IMPRECISE
    inside = np.where(over, 0.0, numbers)
    if whole:
        classes[~over & (np.floor(numbers) != numbers)] = ValueClass.NOT_WHOLE
        units = _scaled(np.floor(inside).astype(np.int64), scale)
    else:
        units = _rounded(inside, scale)
    units[outside & (products > 0)] = VALUE_LIMIT
    units[outside & (products < 0)] = -VALUE_LIMIT
    return units


def _rounded(numbers: npt.NDArray[np.float64], scale: int) -> _Ints:
    """Return the shortest decimals of floats, at most 2^52 units from zero, rounded to units, half to even.

    Rounding is monotone, so a float above the float of the tie stands for a decimal above the tie, and one below for one below.
    That holds whatever error the product has, as long as it is under half a unit.
    """
    products = numbers * float(10**scale)
    floors = np.floor(products)
    ties = (2.0 * floors + 1.0) * 5.0 / float(10 ** (scale + 1))
    on_tie = numbers == ties
    units = floors.astype(np.int64)
    units += (numbers > ties) | (on_tie & (units % 2 == 1))
    slow = (np.abs(products) > _TIES_EXACT) | (on_tie & (np.abs(products) > _TIES_SHORTEST))
    for index in np.flatnonzero(slow).tolist():
        units[index] = int(Decimal(repr(float(numbers[index]))).scaleb(scale, _DIGITS).to_integral_value(ROUND_HALF_EVEN))
    return units


def _text_units(text: pa.LargeStringArray, scale: int, classes: _Classes, *, whole: bool) -> _Ints:
    trimmed = pc.utf8_trim_whitespace(text)
    blank = pc.fill_null(pc.equal(trimmed, ""), True)
    classes[blank.to_numpy(zero_copy_only=False)] = ValueClass.NULL
    filled = pc.if_else(blank, "0", trimmed)
    if pc.all(pc.match_substring_regex(filled, _PLAIN)).as_py() and (pc.max(pc.binary_length(filled)).as_py() or 0) <= _SHORT:
        # So few digits are what the nearest float is printed as, so that it stands for them.
        numbers = filled.cast(pa.float64()).to_numpy()
        if np.abs(numbers).max(initial=0.0) * 10.0**scale <= _TIES_EXACT:
            if whole:
                classes[np.floor(numbers) != numbers] = ValueClass.NOT_WHOLE
            return _rounded(numbers, scale)
    matches = pc.match_substring_regex(filled, _NUMBER)
    classes[~matches.to_numpy(zero_copy_only=False)] = ValueClass.NOT_NUMBER
    numbers = pc.if_else(matches, filled, "0")
    for kind in (_LONG, _LONGEST):
        with suppress(pa.ArrowInvalid):
            return _decimal_units(numbers.cast(kind), scale, classes, whole=whole)
    return _decimals_one_by_one(numbers, scale, classes, whole=whole)


def _decimal_units(cells: pa.Array, scale: int, classes: _Classes, *, whole: bool) -> _Ints:
    """Return the units of decimals without nulls; notes in ``classes`` what is not whole.

    The division is our own: Arrow's rounds 4503599627370495.5 of 38 decimals to ...494.
    """
    if pa.types.is_decimal32(cells.type) or pa.types.is_decimal64(cells.type):
        cells = cells.cast(pa.decimal128(38, cells.type.scale))
    shift = cells.type.scale - scale
    if cells.type.scale < 0 or not len(cells):
        return _decimals_one_by_one(cells, scale, classes, whole=whole)
    negative, limbs = _magnitudes(cells)
    digits, remainder = 0, np.zeros(len(cells), np.uint64)  # the digits that the last division took off
    more = np.zeros(len(cells), bool)  # whether those before it took off anything but zeros
    for places in range(shift, 0, -_PASS_DIGITS):
        more |= remainder > 0
        digits = min(_PASS_DIGITS, places)
        remainder = _divide(limbs, 10**digits)
    if whole:
        classes[((remainder > 0) | more) & (classes == ValueClass.OK)] = ValueClass.NOT_WHOLE
    units = _whole_units(limbs)
    if digits:
        half = np.uint64(5 * 10 ** (digits - 1))
        units += (remainder > half) | ((remainder == half) & (more | (units % 2 == 1)))
    units = np.minimum(units, VALUE_LIMIT) if shift >= 0 else _scaled(units, -shift)
    signed: _Ints = np.where(negative, -units, units)
    return signed


def _magnitudes(cells: pa.Array) -> tuple[npt.NDArray[np.bool_], list[npt.NDArray[np.uint64]]]:
    """Return which decimals are negative, and the absolute values of all as limbs of 32 bits, the lowest first."""
    count = cells.type.bit_width // 32
    raw = np.frombuffer(cells.buffers()[1], "<u4").reshape(-1, count)[cells.offset : cells.offset + len(cells)]
    negative = raw[:, -1] >> 31 == 1
    carry = negative.astype(np.uint64)
    limbs = []
    for index in range(count):
        limb = np.where(negative, ~raw[:, index], raw[:, index]).astype(np.uint64) + carry
        limbs.append(limb & np.uint64(_LIMB))
        carry = limb >> np.uint64(32)
    while len(limbs) > 2 and not limbs[-1].any():
        limbs.pop()
    return negative, limbs


def _divide(limbs: list[npt.NDArray[np.uint64]], divisor: int) -> npt.NDArray[np.uint64]:
    """Divide in place by a number below 2^32, and return the remainders."""
    remainder = np.zeros_like(limbs[0])
    for index in reversed(range(len(limbs))):
        dividend = remainder << np.uint64(32) | limbs[index]
        limbs[index] = dividend // np.uint64(divisor)
        remainder = dividend - limbs[index] * np.uint64(divisor)
    return remainder


def _whole_units(limbs: list[npt.NDArray[np.uint64]]) -> _Ints:
    """Return limbs as numbers, ``VALUE_LIMIT`` at most."""
    low = np.minimum(limbs[1] << np.uint64(32) | limbs[0], np.uint64(VALUE_LIMIT))
    for limb in limbs[2:]:
        low[limb > 0] = VALUE_LIMIT
    units: _Ints = low.astype(np.int64)
    return units


def _decimals_one_by_one(cells: pa.Array, scale: int, classes: _Classes, *, whole: bool) -> _Ints:
    """Do the same for decimals or texts that Arrow's widest decimal does not hold all of."""
    units = np.zeros(len(cells), np.int64)
    for index, cell in enumerate(cells.to_pylist()):
        number = _DIGITS.create_decimal(cell)
        if number.adjusted() > _WHOLE_DIGITS_MAX and number:
            units[index] = VALUE_LIMIT if number > 0 else -VALUE_LIMIT
        else:
            scaled = number.scaleb(scale, _DIGITS)
            nearest = scaled.to_integral_value(ROUND_HALF_EVEN, _DIGITS)
            if whole and nearest != scaled and classes[index] == ValueClass.OK:
                classes[index] = ValueClass.NOT_WHOLE
            units[index] = max(-VALUE_LIMIT, min(VALUE_LIMIT, int(nearest)))
    return units
