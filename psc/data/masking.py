"""Masked forms of key values: enough to find the row by, too little to call or to look a person up."""

from __future__ import annotations

import re
import unicodedata

import pyarrow as pa

from psc.data.cells import is_key_type
from psc.data.compute import pc
from psc.types import KeyKind

__all__ = ["MASK", "mask", "mask_phone", "mask_values"]

MASK = "****"
"""Stands for what is hidden; always four characters, so that it tells no length."""

_DOMAIN_DIGITS_MAX = 6
_DOMAIN = re.compile(r".+\.(?:xn--[a-z0-9-]+|[^\W\d_]{2,})", re.IGNORECASE)

_MOBILE = r"^(?:\+86|0086|86)?(1[0-9]{2})[0-9]{4}([0-9]{4})$"
_LANDLINE_DIGITS_MIN = 9


def mask_phone(text: str) -> str:
    """Return a phone number, in any spelling, with its middle hidden: ``138****8000``, ``+852****4567``.

    The first three and the last four digits stay, as people know it from parcels; of a short number only the first two; of a cell
    that is no number, only its first character.
    """
    digits = "".join(str(unicodedata.digit(character)) for character in text if character.isdecimal())
    plus = "+" if re.match(r"\s*[+＋]", text) else ""
    if re.fullmatch(r"(?:0{0,2}86)1\d{10}(?:\d{0,8})", digits):
        digits, plus = re.sub(r"^0{0,2}86", "", digits), ""
    if len(digits) >= _LANDLINE_DIGITS_MIN:
        return f"{plus}{digits[:3]}{MASK}{digits[-4:]}"
    if len(digits) >= 3:
        return f"{plus}{digits[:2]}{MASK}"
    return _mask_text(text)


def mask(kind: KeyKind, value: str) -> str:
    """Return a key cell, good or bad, in masked form.

    Args:
        kind: what the cell should be.
        value: the cell as text.

    Returns:
        Never the whole cell: phones as ``138****8000``, e-mail as ``z****@qq.com``, ID cards as ``11****2X``, waybills and
        integers by their last digits, text by its first character. What stands after an @ and is no domain, or holds the digits
        of a phone number, is hidden too.
    """
    bare = value.strip()
    if not bare:
        return ""
    if kind == "phone":
        return mask_phone(bare)
    if kind == "email" and re.fullmatch(r"[^@]+@[^@]+", bare):
        local, _, domain = bare.partition("@")
        return f"{local[0] if len(local) > 1 else ''}{MASK}@{_mask_domain(domain)}"
    if kind == "idcard" and len(bare) >= 12:
        return f"{bare[:2]}{MASK}{bare[-2:]}"
    if kind == "waybill" and len(bare) >= 8:
        return f"{bare[:2]}{MASK}{bare[-3:]}"
    if kind == "integer" and len(bare) >= 6:
        return f"{MASK}{bare[-2:]}"
    return _mask_text(bare)


def mask_values(kind: KeyKind, values: pa.Array | pa.ChunkedArray) -> pa.LargeStringArray:
    """Return a column with every cell masked; nulls stay null, a column of another type becomes text."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(array, pa.ChunkedArray):
        array = pa.array([], values.type)
    if pa.types.is_floating(array.type) and is_key_type(array.type):
        # 13800138000.0 is shown as the number that it stands for.
        cells = [None if cell is None else f"{cell:.0f}" for cell in array.to_pylist()]
        array = pa.array(cells, pa.large_string())
    text = array.cast(pa.large_string())
    if kind == "phone":
        masked = pc.replace_substring_regex(text, _MOBILE, rf"\1{MASK}\2")
        rest = pc.fill_null(pc.equal(masked, text), False)
        if not pc.any(rest).as_py():
            return masked
        return pc.replace_with_mask(masked, rest, _mask_each(kind, text.filter(rest)))
    return _mask_each(kind, text)


def _mask_each(kind: KeyKind, text: pa.LargeStringArray) -> pa.LargeStringArray:
    distinct = text.dictionary_encode()
    masked = [mask(kind, cell) for cell in distinct.dictionary.to_pylist()]
    return pa.array(masked, pa.large_string()).take(distinct.indices)


def _mask_domain(domain: str) -> str:
    digits = sum(character.isdecimal() for character in domain)
    return domain[:64] if _DOMAIN.fullmatch(domain) and digits <= _DOMAIN_DIGITS_MAX else MASK


def _mask_text(text: str) -> str:
    return f"{text[0]}{MASK}" if len(text) > 1 else MASK
