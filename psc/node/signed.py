"""Signed documents as files: JSON that people can read, with the document under its kind and the signatures beside it.

What is signed is never the file's bytes but the document's one canonical form, so a file may be reformatted by an editor
or a mail gateway without breaking its signatures; any change of content breaks them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeVar

from psc.errors import MalformedMessageError
from psc.texts import json_escaped
from psc.types import DOCUMENT_BYTES_MAX, Document, canonical_json, plain_place

__all__ = ["FormatError", "document_of", "dump", "load_object", "text_of", "texts_of"]

D = TypeVar("D", bound=Document)


class FormatError(Exception):
    """A signed file does not have its form; ``where`` names the place. Callers turn it into their own error.

    Args:
        where: the field, or a short name of what is wrong.
        not_json: the file is not even JSON.
    """

    def __init__(self, where: str, *, not_json: bool = False) -> None:
        super().__init__(where)
        self.where, self.not_json = where, not_json


def dump(content: Mapping[str, object]) -> str:
    """Return a file's text: sorted keys, indented, UTF-8 kept but for hidden characters, one newline at the end."""
    return json_escaped(json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def load_object(data: bytes, *, required: frozenset[str], optional: frozenset[str] = frozenset()) -> dict[str, object]:
    """Return the top-level object of a signed file.

    Args:
        data: the file, at most ``DOCUMENT_BYTES_MAX`` bytes.
        required: the keys that it must have.
        optional: further keys that it may have; any other key is refused.

    Raises:
        FormatError: it is too large, not JSON, not an object, or its keys are others.
    """
    if len(data) > DOCUMENT_BYTES_MAX:
        raise FormatError("size")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise FormatError("JSON", not_json=True) from None
    return _checked(found, required, optional, "document")


def _checked(found: object, required: frozenset[str], optional: frozenset[str], where: str) -> dict[str, object]:
    if not isinstance(found, dict):
        raise FormatError(where)
    for key in sorted(required - found.keys()):
        raise FormatError(key)
    for key in sorted(found.keys() - required - optional):
        raise FormatError(plain_place(key))
    return found


def document_of(kind: type[D], value: object) -> D:
    """Return a document from its JSON value.

    Raises:
        FormatError: its fields are not the document's.
    """
    try:
        return kind.parse(canonical_json(value))
    except MalformedMessageError as error:
        raise FormatError(str(error.fields.get("where", "document"))) from None
    except (ValueError, RecursionError):
        raise FormatError("document") from None


def text_of(value: object, where: str) -> str:
    """Return a JSON string, or raise ``FormatError``."""
    if not isinstance(value, str):
        raise FormatError(where)
    return value


def texts_of(value: object, where: str) -> dict[str, str]:
    """Return a JSON object of strings, or raise ``FormatError``."""
    if not isinstance(value, dict) or not all(isinstance(entry, str) for entry in value.values()):
        raise FormatError(where)
    return dict(value)
