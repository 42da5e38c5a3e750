"""Looks for many byte strings in many bytes at once: the phone numbers of two tables in all their spellings and hashes.

Every pattern is indexed by its first eight bytes; every window of eight bytes of what is searched is looked up in that index,
and what hits is compared in full. A few hundred thousand patterns over some megabytes take seconds.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from blake3 import blake3

__all__ = ["FORMS", "SPELLINGS", "Found", "Scanner", "patterns_of", "spellings_of"]

_WINDOW = 8
_WIDE = str.maketrans("0123456789", "０１２３４５６７８９")


def _split(digits: str) -> tuple[str, str, str]:
    return digits[:3], digits[3:7], digits[7:]


SPELLINGS: dict[str, Callable[[str], bytes]] = {
    "national": lambda d: d.encode(),
    "plus": lambda d: f"+86{d}".encode(),
    "country": lambda d: f"86{d}".encode(),
    "dialled": lambda d: f"0086{d}".encode(),
    "hyphens": lambda d: "-".join(_split(d)).encode(),
    "spaces": lambda d: " ".join(_split(d)).encode(),
    "plus and spaces": lambda d: f"+86 {' '.join(_split(d))}".encode(),
    "brackets": lambda d: f"(86){d}".encode(),
    "UTF-16LE": lambda d: d.encode("utf-16-le"),
    "full width": lambda d: d.translate(_WIDE).encode(),
}
"""Ways to write a national number of a Chinese phone."""

FORMS: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda data: data,
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
    "SHA-1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "SHA-256": lambda data: hashlib.sha256(data).digest(),
    "BLAKE3": lambda data: blake3(data).digest(),
}
"""What may be made of a spelling; each is searched for as bytes and in lower- and upper-case hex."""


@dataclass(frozen=True)
class Found:
    """A pattern that was found: what it is, and where."""

    name: str
    place: str
    offset: int


def spellings_of(national: str) -> dict[str, bytes]:
    """Return every spelling of a national number, by name."""
    return {name: spell(national) for name, spell in SPELLINGS.items()}


def patterns_of(numbers: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the patterns of national numbers: spelling, form, and bytes or hex."""
    for number in numbers:
        for spelling, data in spellings_of(number).items():
            for form, make in FORMS.items():
                made = make(data)
                name = f"{number} {spelling} {form}"
                yield name, made
                yield f"{name} hex", made.hex().encode()
                yield f"{name} HEX", made.hex().upper().encode()


class Scanner:
    """Searches for patterns of at least eight bytes.

    Args:
        patterns: pairs of name and bytes.
    """

    def __init__(self, patterns: Iterable[tuple[str, bytes]]) -> None:
        self._by_head: dict[int, list[tuple[str, bytes]]] = defaultdict(list)
        for name, pattern in patterns:
            assert len(pattern) >= _WINDOW, name
            self._by_head[int.from_bytes(pattern[:_WINDOW], "little")].append((name, pattern))
        self._heads = np.array(sorted(self._by_head), dtype=np.uint64)
        self.count = sum(len(held) for held in self._by_head.values())

    def search(self, data: bytes, place: str) -> list[Found]:
        """Return every pattern that ``data`` holds.

        Args:
            data: what is searched.
            place: its name, for the finding.
        """
        found: list[Found] = []
        for shift in range(min(_WINDOW, max(len(data) - _WINDOW + 1, 0))):
            windows = np.frombuffer(data, dtype="<u8", offset=shift, count=(len(data) - shift) // _WINDOW)
            for hit in np.flatnonzero(self._known(windows)):
                offset = shift + int(hit) * _WINDOW
                for name, pattern in self._by_head[int(windows[hit])]:
                    if data.startswith(pattern, offset):
                        found.append(Found(name, place, offset))
        return found

    def _known(self, windows: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        if not len(self._heads):
            return np.zeros(len(windows), dtype=bool)
        at = np.minimum(np.searchsorted(self._heads, windows), len(self._heads) - 1)
        known: npt.NDArray[np.bool_] = self._heads[at] == windows
        return known
