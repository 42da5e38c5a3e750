"""Every text that a person reads, in English and Chinese, keyed by a stable code.

Codes and JSON keys never change with the language; only what a person reads does. One module an area, so that a
text stands beside its neighbours; ``lookup`` finds it. A text states what is wrong and where; its ``fix`` states what to do.
Fields are filled in the notation of ``str.format``, with three forms more (``fill``); both languages must use the same fields
(a test proves it). What a field holds may come from a partner: it is made visible, so that it is one piece of one line
(``psc.texts.visible``).
"""

from __future__ import annotations

import os
import string
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from psc.texts._text import Text
from psc.texts._visible import Lines, is_plain, json_escaped, visible

__all__ = ["Lines", "Text", "all_texts", "fill", "is_plain", "json_escaped", "language", "lookup", "render", "visible"]

_AREAS = ("crypto", "engines", "data", "session", "transport", "node", "policy", "operations", "cli")
_texts: dict[str, Text] = {}


def all_texts() -> Mapping[str, Text]:
    """Return every text by its code; raise ``ValueError`` when two areas define one code."""
    if not _texts:
        merged: dict[str, Text] = {}
        for area in _AREAS:
            for code, text in import_module(f"psc.texts.{area}").TEXTS.items():
                if code in merged:
                    raise ValueError(f"text {code} is defined twice")
                merged[code] = text
        _texts.update(merged)
    return _texts


def language() -> str:
    """Return ``zh`` or ``en``: that of ``PSC_LANG``, else of the locale (``LC_ALL``, ``LANG``), else English.

    A home's ``language`` setting comes between the two: the command line puts it into ``PSC_LANG`` when that is not set.
    """
    wanted = os.environ.get("PSC_LANG") or os.environ.get("LC_ALL") or os.environ.get("LANG") or "en"
    return "zh" if wanted.lower().startswith("zh") else "en"


def lookup(code: str) -> Text:
    """Return the text of a code; an unknown code is a bug and raises ``KeyError``."""
    return all_texts()[code]


class _Filler(string.Formatter):
    """``str.format`` with every field made visible; ``Lines`` are so already and keep their line ends."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec.startswith("?"):
            one, _, many = format_spec[1:].partition("|")
            return one if str(value) == "1" else many
        if format_spec.startswith("="):
            words = dict(entry.split(" ", 1) for entry in format_spec[1:].split("|"))
            return words.get(str(value)) or visible(str(value))
        if format_spec.startswith("|"):
            return visible(str(value)) or format_spec[1:]
        said = format(value, format_spec)
        return said if isinstance(value, Lines) else visible(said)


def fill(template: str, fields: Mapping[str, Any] | None = None) -> str:
    """Return a text's template with its fields filled in; a field that is missing raises ``KeyError``.

    ``{known:|none yet}`` says what stands for an empty value; ``{count:?key|keys}`` is the first word when the value is 1,
    else the second; ``{side:=initiator 发起方|responder 应答方}`` is the word for a value from a closed list.
    """
    return _Filler().vformat(template, (), fields or {})


def render(code: str, fields: Mapping[str, object] | None = None, *, lang: str | None = None) -> str:
    """Return the text of a code with its fields filled in, in the reader's language, with its remedy after it."""
    text = lookup(code)
    chinese = (lang or language()) == "zh"
    said = fill(text.zh if chinese else text.en, fields)
    remedy = fill(text.fix_zh if chinese else text.fix_en, fields)
    return f"{said} {remedy}".rstrip() if not chinese else f"{said}{remedy}"
