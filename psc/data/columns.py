"""Choosing columns by name, with a helpful word when a name is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

from psc.errors import DataError

__all__ = ["choose_columns"]

_NAMES_SHOWN = 30


def choose_columns(available: Sequence[str], wanted: Sequence[str] | None, file: str) -> list[str]:
    """Return the columns to read, each once, in the order asked for.

    Args:
        available: the columns that there are.
        wanted: the columns asked for, or None for all.
        file: where they are, as shown to people.

    Raises:
        DataError: a column asked for is not there (with the names that are, and the nearest), or is there twice.
    """
    chosen = list(available) if wanted is None else list(dict.fromkeys(wanted))
    counts = Counter(available)
    for name in chosen:
        if name not in counts:
            close = nearest(name, available)
            fields = {"file": file, "column": name, "available": _listed(available)}
            if close is None:
                raise DataError("data.column-missing", **fields)
            raise DataError("data.column-missing-near", near=close, **fields)
        if counts[name] > 1:
            raise DataError("data.column-twice", file=file, column=name, count=counts[name])
    return chosen


def nearest(name: str, available: Sequence[str]) -> str | None:
    """Return the available name that a person most likely meant: the same but for case and blanks, else a close spelling."""
    folded = {"".join(other.split()).lower().strip("\ufeff"): other for other in reversed(available)}
    same = folded.get("".join(name.split()).lower())
    if same is not None:
        return same
    close = get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name[:64] for name in names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown}, … ({len(names)})"
