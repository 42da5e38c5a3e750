"""Phone numbers as keys: E.164, exactly the numbers that libphonenumber calls valid, less the ones that are nobody's own.

Three passes, each for what the one before it leaves over:

1. the compiled path (``psc._core``) takes clean Chinese mobiles: ``1xxxxxxxxxx`` with or without ``+86``, ``86``, ``0086``;
2. cells that are only digits, blanks, hyphens, dots, brackets and a leading plus, half or full width, are rid of those (which is
   what libphonenumber does with them) and tried again;
3. the rest, each distinct cell once, goes to libphonenumber.

A cell is refused by name when it holds a number that cannot stand for one person's line:

==========  ========================================================================================================
missing     null, empty, blanks only
extension   a number with an extension: ``,`` ``#`` ``-`` ``转`` ``分机`` ``ext`` or brackets and digits after it
masked      digits replaced by ``*`` or the like: ``138****8000``
token       an opaque token of a platform (of another issuer, or expired), or a digest of a number
service     95-prefix numbers, 400 and 800, short numbers such as 10086: a switchboard, not a subscriber
imprecise   a float too large to hold its digits
invalid     everything else that libphonenumber does not call valid
==========  ========================================================================================================

Numbers of virtual operators (162, 165, 167, 170, 171) are real subscribers and accepted. A platform's intermediary (AXB)
number looks like any other mobile: nobody can tell it from a real one by its digits, so it is accepted too, and
``psc dataset check`` says so.

A bare ``95…`` is read as the 95-prefix number that one would dial, not as a landline of the area codes 0951-0955 written
without its 0; a landline is taken when it has its ``0`` or ``+86``. A text such as ``13800138000.0`` is what a float column
looks like in a CSV file, and is read as the float would be.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import phonenumbers
import pyarrow as pa
from phonenumbers import PhoneNumberType

from psc._core import normalise_mobiles
from psc.data.cells import buffers_of
from psc.data.classes import CellClass
from psc.data.compute import pc
from psc.data.prefixes import prefix_table, region_metadata

__all__ = ["VIRTUAL_OPERATORS", "KnownCells", "classify_phone", "normalise_phones"]

VIRTUAL_OPERATORS = r"^\+861(?:6[257]|7[01])"
"""Normalised mobiles of virtual operators: real subscribers, counted in the check report only."""

_SERVICE_TYPES = frozenset(
    {
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.UAN,
        PhoneNumberType.VOICEMAIL,
    }
)
_SUBSCRIBER_DIGITS = 10
"""A Chinese landline with its area code has at least so many digits; fewer are an area code and a service number (010-95588)."""

_E164_BYTES = 14
"""Bytes of a number that the compiled path writes."""

_BATCH_CELLS = 1 << 19
"""Cells that the compiled path takes at a time: what it copies meanwhile is small beside a large column."""

_KNOWN_CELLS_MAX = 1 << 18
"""Cells that are remembered from batch to batch; more would take as much memory as the column."""

_CELL_CHARACTERS_MAX = 250
"""libphonenumber parses no longer text; neither do the patterns below, whose time grows with the square of the length."""

_TIDY = r"^[\s().\-（）　－]*[+＋]?[0-9０-９().\-（）　－ ]+\s*$"
_PUNCTUATION = r"[\s().\-]"
_MASK = re.compile(r"[*＊∗✱⁎●•○◯■□×…]|[?？#_]{2,}|(?<=\d)[xXｘＸ]{2,}")
_EXTENSION = re.compile(
    r"^(?P<number>.*?\d.*?)[\s(（\[【,，;；:：]*"
    r"(?:[,，;；#＃*＊~～\-－‐–—_]|转|轉|分机|分機|ext(?:ension)?n?\.?|x|[(（\[【])[\s:：.号號]*\d{1,8}[\s)）\]】#]*$",
    re.IGNORECASE,
)
_WRAPPED_TOKEN = re.compile(r"^([~$#])(?=.*[A-Za-z]).{8,}\1$")
_DIGEST = re.compile(r"^(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$", re.IGNORECASE)
_TOKEN = re.compile(r"^(?=.*[A-Za-z])[A-Za-z0-9+/=_.:|~$#%\-]{16,}$")
_EXPIRED = re.compile(r"过期|過期|失效|expired", re.IGNORECASE)
_SERVICE = re.compile(r"^(?:95\d{3,12}|96\d{3,4}|1\d\d|1[02]\d{3}|106\d{5,17}|[48]00\d{7})$")
_WRITTEN_AS_FLOAT = re.compile(r"^\s*(\d+)\.0\s*$")


KnownCells = dict[str, tuple[CellClass, str | None]]
"""What libphonenumber was asked about before, by cell: the class and, when it is ``OK``, the number."""


def normalise_phones(
    text: pa.LargeStringArray, region: str, known: KnownCells | None = None
) -> tuple[pa.LargeStringArray, npt.NDArray[np.uint8]]:
    """Return the E.164 number of each cell, and its class.

    Args:
        text: the cells, none null (a missing cell is an empty text).
        region: the region that a number without ``+`` belongs to.
        known: as for ``normalise``.

    Returns:
        Numbers (null where refused) and ``CellClass`` codes, in the order of ``text``.

    Raises:
        DataError: ``data.region-unknown``.
    """
    region_metadata(region)
    status, numbers = _compiled(text, region)
    classes = np.zeros(len(text), np.uint8)
    if status.all():
        return numbers, classes
    left = np.flatnonzero(status == 0)
    distinct = text.take(pa.array(left)).dictionary_encode()
    found, found_classes = _distinct_phones(distinct.dictionary, region, {} if known is None else known)
    which = distinct.indices.to_numpy(zero_copy_only=False)
    classes[left] = found_classes[which]
    where = np.arange(len(text))
    where[left] = len(text) + which
    return pa.concat_arrays([numbers, found]).take(pa.array(where)), classes


def _compiled(text: pa.LargeStringArray, region: str) -> tuple[npt.NDArray[np.uint8], pa.LargeStringArray]:
    """Run the compiled path: 1 and the number where it knows the answer, 0 where libphonenumber has to be asked."""
    count, prefixes = len(text), prefix_table(region)
    status, ends = np.empty(count, np.uint8), np.zeros(count + 1, np.int64)
    digits = np.empty(count * _E164_BYTES, np.uint8)
    for start in range(0, count, _BATCH_CELLS):
        part = text.slice(start, _BATCH_CELLS)
        stop, written = start + len(part), int(ends[start])
        handled, part_ends, part_digits = normalise_mobiles(*buffers_of(part), prefixes)
        status[start:stop] = np.frombuffer(handled, np.uint8)
        ends[start + 1 : stop + 1] = np.frombuffer(part_ends, np.int64)[1:] + written
        digits[written : written + len(part_digits)] = np.frombuffer(part_digits, np.uint8)
    return status, pa.LargeStringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(digits))


def _distinct_phones(
    cells: pa.LargeStringArray, region: str, known: KnownCells
) -> tuple[pa.LargeStringArray, npt.NDArray[np.uint8]]:
    tidied = pc.if_else(pc.match_substring_regex(cells, _TIDY), cells, "")
    tidied = pc.replace_substring_regex(pc.utf8_normalize(tidied, "NFKC"), _PUNCTUATION, "")
    status, numbers = _compiled(tidied, region)
    found: list[str | None] = numbers.to_pylist()
    classes = np.zeros(len(cells), np.uint8)
    for index in np.flatnonzero(status == 0).tolist():
        cell = cells[index].as_py()
        judged = known.get(cell) or classify_phone(cell, region)
        if len(known) < _KNOWN_CELLS_MAX:
            known[cell] = judged
        classes[index], found[index] = judged
    return pa.array(found, pa.large_string()), classes


def classify_phone(cell: str, region: str) -> tuple[CellClass, str | None]:
    """Return the class of one cell and, when it is ``OK``, its E.164 number; libphonenumber decides what is valid."""
    if not cell.strip():
        return CellClass.MISSING, None
    if len(cell) > _CELL_CHARACTERS_MAX:
        return CellClass.INVALID, None
    if _is_masked(cell):
        return (CellClass.EXTENSION if _has_extension(cell, region) else CellClass.MASKED), None
    bare = cell.strip()
    if _DIGEST.match(bare) or _WRAPPED_TOKEN.match(bare):
        return CellClass.TOKEN, None
    number = _valid(cell, region)
    if number is None and (whole := _WRITTEN_AS_FLOAT.match(cell)):
        # A CSV file written from a float column: the column is accepted as floats are, so its text is too.
        number = _valid(whole[1], region)
    if number is not None:
        if number.extension:
            return CellClass.EXTENSION, None
        if _is_service(number, cell):
            return CellClass.SERVICE, None
        return CellClass.OK, phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return _refused(cell, region), None


def _is_masked(cell: str) -> bool:
    first = re.search(r"[+＋]|\d", cell)  # what stands before the first digit is no part of the number
    return _MASK.search(cell, first.start() if first else 0) is not None


def _valid(text: str, region: str) -> phonenumbers.PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None


def _is_service(number: phonenumbers.PhoneNumber, cell: str) -> bool:
    if phonenumbers.number_type(number) in _SERVICE_TYPES:
        return True
    if number.country_code != 86:
        return False
    national = phonenumbers.national_significant_number(number)
    dialled = phonenumbers.normalize_digits_only(cell)
    return len(national) < _SUBSCRIBER_DIGITS or (dialled.startswith("95") and not re.search("[+＋]", cell))


def _refused(cell: str, region: str) -> CellClass:
    """Name why libphonenumber does not take a cell."""
    if _has_extension(cell, region):
        return CellClass.EXTENSION
    digits = re.sub(r"^(?:00)?86(?=\d)", "", phonenumbers.normalize_digits_only(cell))
    if not re.search(r"[A-Za-z]", cell) and _SERVICE.match(digits):
        return CellClass.SERVICE
    if _EXPIRED.search(cell) or _TOKEN.match(cell.strip()):
        return CellClass.TOKEN
    return CellClass.INVALID


def _has_extension(cell: str, region: str) -> bool:
    match = _EXTENSION.match(cell.strip())
    return match is not None and _valid(match["number"], region) is not None
