"""The other key kinds: e-mail, ID card, waybill, text, integer. Each rule is stated here once, and both parties run the same one.

======== ==============================================================================================================
email    blanks around are trimmed; Unicode NFC; **the local part and the domain are lower-cased** (RFC 5321 lets a
         server tell ``A@`` from ``a@``, no mail provider of note does, and people type either); a domain in another script
         becomes its ASCII form (IDNA 2003); dots and ``+tags`` of the local part stay. Quoted local parts and
         ``Name <address>`` are refused
idcard   GB 11643: 18 characters, blanks removed, ``x`` upper-cased, full-width digits folded. The check character, a calendar
         date of birth in 1900-2099 and a province code are required. Numbers of 15 digits (before 1999) name a person
         too weakly, by another number: class ``old-15-digit``
waybill  full width folded, upper-cased, blanks and hyphens removed; ``0-9`` and ``A-Z``; 8 to 32 characters
text     Unicode NFC, blanks around trimmed, **case kept** (``a`` and ``A`` are two keys), blanks within kept; at most
         4096 bytes of UTF-8
integer  a whole number: leading zeros and ``+`` dropped, ``-0`` is ``0``; floats with a whole value are taken; no separators,
         no exponents; at most 100 digits
======== ==============================================================================================================
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from psc.data.cells import buffers_of
from psc.data.classes import CellClass
from psc.data.compute import pc

__all__ = ["normalise_emails", "normalise_idcards", "normalise_integers", "normalise_texts", "normalise_waybills"]

_BLANKS = r"[\s\p{Z}\x{200B}\x{FEFF}]"
_HYPHENS = r"\-\x{2010}-\x{2015}\x{2212}"
_MASKED = r"[*＊●•○…]|[?？#_]{2,}"
_WAYBILL_LENGTHS = (8, 32)
_INTEGER_DIGITS_MAX = 100
_TEXT_BYTES_MAX = 4096
_EMAIL_BYTES_MAX = 254
_LOCAL_PART_BYTES_MAX = 64

_LOCAL_PART = re.compile(r"^[^\s\x00-\x20\x7f()<>\[\]:;@\\,\".]+(?:\.[^\s\x00-\x20\x7f()<>\[\]:;@\\,\".]+)*$")
_DOMAIN = re.compile(r"^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?!\d+$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")

_IDCARD_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], np.int64)
_IDCARD_CHECK = np.frombuffer(b"10X98765432", np.uint8)
_PROVINCES = (
    *(11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46),
    *(50, 51, 52, 53, 54, 61, 62, 63, 64, 65, 71, 81, 82, 83),
)
_BIRTH_YEARS = (1900, 2099)
_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)

_Keys = tuple[pa.LargeStringArray, npt.NDArray[np.uint8]]


def normalise_texts(text: pa.LargeStringArray) -> _Keys:
    """Return each cell as plain text: NFC, trimmed, case kept; see the table at the head of this module."""
    keys = pc.utf8_normalize(pc.utf8_trim_whitespace(text), "NFC")
    classes = _where(keys, (CellClass.MISSING, r"^$"))
    classes[pc.binary_length(keys).to_numpy(zero_copy_only=False) > _TEXT_BYTES_MAX] = CellClass.LENGTH
    return _select(keys, classes)


def normalise_integers(text: pa.LargeStringArray) -> _Keys:
    """Return each cell as the decimal digits of a whole number; see the table at the head of this module."""
    keys = pc.utf8_trim_whitespace(text)
    keys = pc.replace_substring_regex(keys, r"^([+-]?[0-9]+)\.0+$", r"\1")
    keys = pc.replace_substring_regex(keys, r"^(?:\+|(-))?0*([0-9])", r"\1\2")
    keys = pc.replace_substring_regex(keys, r"^-0$", "0")
    classes = _where(keys, (CellClass.MISSING, r"^$"), (CellClass.MASKED, _MASKED))
    whole = pc.match_substring_regex(keys, r"^-?[0-9]+$").to_numpy(zero_copy_only=False)
    classes[(classes == CellClass.OK) & ~whole] = CellClass.INVALID
    classes[(classes == CellClass.OK) & (_lengths(keys) > _INTEGER_DIGITS_MAX)] = CellClass.LENGTH
    return _select(keys, classes)


def normalise_waybills(text: pa.LargeStringArray) -> _Keys:
    """Return each cell as a waybill number; see the table at the head of this module."""
    keys = pc.utf8_upper(pc.utf8_normalize(text, "NFKC"))
    keys = pc.replace_substring_regex(keys, f"[{_BLANKS[1:-1]}{_HYPHENS}]", "")
    classes = _where(keys, (CellClass.MISSING, r"^$"), (CellClass.MASKED, _MASKED), (CellClass.ALPHABET, r"[^0-9A-Z]"))
    lengths = _lengths(keys)
    low, high = _WAYBILL_LENGTHS
    classes[(classes == CellClass.OK) & ((lengths < low) | (lengths > high))] = CellClass.LENGTH
    return _select(keys, classes)


def normalise_idcards(text: pa.LargeStringArray) -> _Keys:
    """Return each cell as an 18-character citizen number of GB 11643; see the table at the head of this module.

    The province codes are those of citizens (11-65), of the residence permits of Hong Kong, Macao and Taiwan (71, 81-83), and 9
    with a province code after it, as foreigners' permanent residence cards have it.
    """
    keys = pc.utf8_upper(pc.utf8_normalize(text, "NFKC"))
    keys = pc.replace_substring_regex(keys, _BLANKS, "")
    classes = _where(
        keys,
        (CellClass.MISSING, r"^$"),
        (CellClass.MASKED, _MASKED + r"|[0-9]X{2,}"),
        (CellClass.OLD_15_DIGIT, r"^[0-9]{15}$"),
        (CellClass.ALPHABET, r"[^0-9X]|X."),
    )
    classes[(classes == CellClass.OK) & (_lengths(keys) != 18)] = CellClass.LENGTH
    candidates = np.flatnonzero(classes == CellClass.OK)
    _, data = buffers_of(keys.take(pa.array(candidates)))
    classes[candidates] = _check_idcards(np.frombuffer(data, np.uint8).reshape(-1, 18))
    return _select(keys, classes)


def _check_idcards(characters: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the class of each row of 17 digits and a digit or X."""
    digits = characters[:, :17].astype(np.int64) - ord("0")
    classes = np.zeros(len(digits), np.uint8)
    expected = _IDCARD_CHECK[(digits @ _IDCARD_WEIGHTS) % 11]
    years = digits[:, 6:10] @ np.array([1000, 100, 10, 1])
    months = digits[:, 10:12] @ np.array([10, 1])
    days = digits[:, 12:14] @ np.array([10, 1])
    leap = (years % 4 == 0) & ((years % 100 != 0) | (years % 400 == 0))
    in_month = (months >= 1) & (months <= 12)
    longest = _DAYS[np.where(in_month, months, 1) - 1] + ((months == 2) & leap)
    born = in_month & (days >= 1) & (days <= longest) & (years >= _BIRTH_YEARS[0]) & (years <= _BIRTH_YEARS[1])
    province = np.where(digits[:, 0] == 9, digits[:, 1] * 10 + digits[:, 2], digits[:, 0] * 10 + digits[:, 1])
    # The last assignment names the cell: a wrong check character says most, then the date, then the region.
    classes[~np.isin(province, _PROVINCES)] = CellClass.REGION
    classes[~born] = CellClass.BIRTH_DATE
    classes[characters[:, 17] != expected] = CellClass.CHECKSUM
    return classes


def normalise_emails(text: pa.LargeStringArray) -> _Keys:
    """Return each cell as an e-mail address; see the table at the head of this module."""
    distinct = text.dictionary_encode()
    cells = [_email(cell) for cell in distinct.dictionary.to_pylist()]
    which = distinct.indices
    keys = pa.array([key for _, key in cells], pa.large_string()).take(which)
    classes = np.array([cell_class for cell_class, _ in cells], np.uint8)
    return keys, classes[which.to_numpy(zero_copy_only=False)] if len(cells) else np.zeros(len(text), np.uint8)


def _email(cell: str) -> tuple[CellClass, str | None]:
    address = unicodedata.normalize("NFC", cell.strip())
    if not address:
        return CellClass.MISSING, None
    local, at, domain = address.rpartition("@")
    if re.search(r"[*＊●•…]", address):
        return CellClass.MASKED, None
    local = unicodedata.normalize("NFC", local.lower())
    try:
        domain = domain.encode("idna").decode().lower()
    except UnicodeError:
        return CellClass.INVALID, None
    sizes = len(local.encode()) <= _LOCAL_PART_BYTES_MAX and len(local.encode()) + len(domain) < _EMAIL_BYTES_MAX
    if at and sizes and _LOCAL_PART.match(local) and _DOMAIN.match(domain):
        return CellClass.OK, f"{local}@{domain}"
    return CellClass.INVALID, None


# --- helpers -------------------------------------------------------------------------------------------------------


def _where(keys: pa.LargeStringArray, *tests: tuple[CellClass, str]) -> npt.NDArray[np.uint8]:
    """Return the class of the first test whose pattern is found in a cell, else ``OK``."""
    classes = np.zeros(len(keys), np.uint8)
    for cell_class, pattern in tests:
        hit = pc.match_substring_regex(keys, pattern).to_numpy(zero_copy_only=False)
        classes[hit & (classes == CellClass.OK)] = cell_class
    return classes


def _lengths(keys: pa.LargeStringArray) -> npt.NDArray[np.int64]:
    lengths: npt.NDArray[np.int64] = pc.utf8_length(keys).to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths


def _select(keys: pa.LargeStringArray, classes: npt.NDArray[np.uint8]) -> _Keys:
    if not classes.any():
        return keys, classes
    return pc.if_else(pa.array(classes == CellClass.OK), keys, pa.scalar(None, pa.large_string())), classes
