r"""Text that others wrote, made safe to show: nothing hidden in it reaches a terminal, a log or a reader unseen.

A name, a cell or a file of a partner may hold characters that act on a terminal instead of standing in it (escape sequences,
a bell), that forge a line of ours (line separators), or that turn the reading direction round. They are written as Python
writes them: ``\x1b``, ``\n``, ``\u202e``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Self

__all__ = ["Lines", "is_plain", "json_escaped", "visible"]

_HIDDEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})
"""Control characters (C0, DEL, C1), invisible formatting (directions, joiners), line and paragraph separators, surrogates."""


class Lines(str):
    """A field of a text that has several lines; whoever made it has made each of them visible."""

    __slots__ = ()

    @classmethod
    def of(cls, lines: Iterable[str]) -> Self:
        """Return the lines below each other, each made visible."""
        return cls("\n".join(visible(line) for line in lines))


def is_plain(text: str) -> bool:
    """Say whether every character stands for itself: none controls, formats, separates lines or is half a character."""
    return text.isprintable() or not any(unicodedata.category(character) in _HIDDEN for character in text)


def visible(text: str) -> str:
    """Return a text on one line, in which every character that is not plain is written as its escape; twice is as once."""
    return text if is_plain(text) else "".join(map(_escape, text))


def json_escaped(text: str) -> str:
    r"""Return a JSON text that means the same, with every character that is not plain as ``\uXXXX``.

    Line ends between values stay. JSON itself demands this of C0 alone; DEL, C1 and directions act on a terminal as well.
    """
    return "\n".join(line if is_plain(line) else "".join(map(_escape_json, line)) for line in text.split("\n"))


def _escape(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode()


def _escape_json(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
