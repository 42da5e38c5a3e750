"""The shape of a text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """One message: ``en`` and ``zh`` say what is so, ``fix_en`` and ``fix_zh`` what to do about it (may be empty)."""

    en: str
    zh: str
    fix_en: str = ""
    fix_zh: str = ""
