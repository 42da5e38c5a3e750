"""The classes of key cells: one name for each reason why a cell is refused.

The names are stable and in English (they stand in files and JSON); what a person reads about a class is the text
``data.class.<name>``.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["CLASS_NAMES", "CellClass"]


class CellClass(IntEnum):
    """What a key cell is; ``OK`` is the only class that becomes a key."""

    OK = 0
    MISSING = 1
    INVALID = 2
    EXTENSION = 3
    MASKED = 4
    TOKEN = 5
    SERVICE = 6
    CHECKSUM = 7
    BIRTH_DATE = 8
    REGION = 9
    OLD_15_DIGIT = 10
    IMPRECISE = 11
    LENGTH = 12
    ALPHABET = 13


CLASS_NAMES: tuple[str, ...] = tuple(member.name.lower().replace("_", "-") for member in CellClass)
"""The name of each class code, ``CLASS_NAMES[code]``."""
