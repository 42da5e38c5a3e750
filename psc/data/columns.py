"""Choosing columns by name, with a helpful word when a name is not there.

A file without a header line has a person's data where its names belong. So names that look like cells are never shown: the
error then says that there seems to be no header.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

from psc.data.masking import mask
from psc.errors import DataError

__all__ = ["check_header", "choose_columns", "shown_name"]

_NAMES_SHOWN = 30
_DIGITS_OF_A_CELL = 6
_ADDRESS = re.compile(r"[^@\s]@[^@\s]")
_MASKED = re.compile(r"\d[*＊•]{2,}|[*＊•]{2,}\d")
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*")
_YEAR = re.compile(r"(?:19|20)\d\d")


def choose_columns(available: Sequence[str], wanted: Sequence[str] | None, file: str) -> list[str]:
    """Return the columns to read, each once, in the order asked for.

    Args:
        available: the columns that there are.
        wanted: the columns asked for, or None for all.
        file: where they are, as shown to people.

    Raises:
        DataError: a column asked for is not there (with the names that are, and the nearest), or is there twice; or, instead of
            either, the names look like cells.
    """
    chosen = list(available) if wanted is None else list(dict.fromkeys(wanted))
    counts = Counter(available)
    for name in chosen:
        if name not in counts:
            check_header(available, file)
            close = nearest(name, available)
            fields = {"file": file, "column": shown_name(name), "available": _listed(available)}
            if close is None:
                raise DataError("data.column-missing", **fields)
            raise DataError("data.column-missing-near", near=close, **fields)
        if counts[name] > 1:
            check_header(available, file)
            raise DataError("data.column-twice", file=file, column=name, count=counts[name])
    return chosen


def check_header(names: Sequence[str], file: str) -> None:
    """Refuse a table whose column names look like cells; for use where an error is about to name columns.

    Raises:
        DataError: they do. It holds their number, and none of them.
    """
    numbers = [name for name in names if _NUMBER.fullmatch(name.strip())]
    # A frame without names numbers its columns, all of them; a number among words is a cell, unless it is a year.
    strays = 0 < len(numbers) < len(names) and not all(_YEAR.fullmatch(name.strip()) for name in numbers)
    if strays or any(_like_cell(name) for name in names):
        raise DataError("data.header-missing", file=file, count=len(names))


def shown_name(name: str) -> str:
    """Return a column's name as an error may show it: masked when it looks like a cell."""
    return mask("text", name) if _like_cell(name) else name


def nearest(name: str, available: Sequence[str]) -> str | None:
    """Return the available name that a person most likely meant: the same but for case and blanks, else a close spelling."""
    folded = {"".join(other.split()).lower().strip("\ufeff"): other for other in reversed(available)}
    same = folded.get("".join(name.split()).lower())
    if same is not None:
        return same
    close = get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def _like_cell(name: str) -> bool:
    """Whether a name has the digits of a phone, ID or order number, or is an e-mail address or a masked number."""
    digits = sum(character.isdecimal() for character in name)
    return digits >= _DIGITS_OF_A_CELL or _ADDRESS.search(name) is not None or _MASKED.search(name) is not None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name[:64] for name in names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown}, … ({len(names)})"
