"""The short forms in which a user declares a dataset's columns, on the command line and in Python.

::

    key      NAME=COLUMN:KIND          phone=mobile:phone          COLUMN may be left out when it is NAME: phone:phone
    release  NAME=COLUMN:text:WIDTH    status:text:16              WIDTH in UTF-8 bytes (a Chinese character takes three)
             NAME=COLUMN:TYPE          fee:int64                   int64, float64, bool, date
"""

from __future__ import annotations

from typing import get_args

from psc.data.keys import KeyUse
from psc.errors import UsageError
from psc.texts import is_plain
from psc.types import KeyKind, ReleasedColumn, ReleaseType

__all__ = ["FIXED_WIDTHS", "RESERVED_NAMES", "parse_key", "parse_release"]

FIXED_WIDTHS = {"int64": 8, "float64": 8, "bool": 1, "date": 4}
"""Bytes of the released types that have one width."""

RESERVED_NAMES = frozenset({"psc_row", "psc_rows_cut"})
"""Names of columns that psc itself adds to results."""

_NAME_MAX = 64
_COLUMN_MAX = 1024
_WIDTH_MAX = 1024
_KINDS: tuple[str, ...] = get_args(KeyKind)
_TYPES: tuple[str, ...] = get_args(ReleaseType)


def parse_key(spec: str) -> KeyUse:
    """Return the key of ``NAME=COLUMN:KIND`` or ``NAME:KIND``.

    Raises:
        UsageError: it has another form, or there is no such kind.
    """
    head, separator, kind = spec.rpartition(":")
    form = "NAME=COLUMN:KIND"
    if not separator:
        raise _wrong("--key", spec, form)
    if kind not in _KINDS:
        raise UsageError("node.spec-kind", spec=spec, kind=kind, kinds=", ".join(_KINDS))
    name, column = _name_and_column("--key", spec, head, form)
    return KeyUse(name, column, kind)  # type: ignore[arg-type]  # just checked


def parse_release(spec: str) -> tuple[ReleasedColumn, str]:
    """Return a released column and the column of the table that feeds it.

    Raises:
        UsageError: it has another form, there is no such type, a text lacks its width, or the name is one that psc uses.
    """
    form = "NAME=COLUMN:text:WIDTH, NAME=COLUMN:TYPE"
    parts = spec.rsplit(":", 2)
    if len(parts) >= 2 and parts[-1] in FIXED_WIDTHS:
        head, kind = spec.rsplit(":", 1)
        width = FIXED_WIDTHS[kind]
    elif len(parts) == 3 and parts[1] == "text" and parts[2].isascii() and parts[2].isdigit():
        head, kind, width = parts[0], "text", int(parts[2])
        if not 1 <= width <= _WIDTH_MAX:
            raise UsageError("node.spec-width", spec=spec, limit=_WIDTH_MAX)
    elif len(parts) >= 2 and (parts[-1] == "text" or parts[1] == "text"):
        raise UsageError("node.spec-width", spec=spec, limit=_WIDTH_MAX)
    elif len(parts) >= 2:
        raise UsageError("node.spec-type", spec=spec, types=", ".join(_TYPES))
    else:
        raise _wrong("--release", spec, form)
    name, column = _name_and_column("--release", spec, head, form)
    if name in RESERVED_NAMES:
        raise UsageError("node.spec-reserved", spec=spec, name=name)
    return ReleasedColumn(name=name, type=kind, width_bytes=width), column  # type: ignore[arg-type]  # just checked


def _name_and_column(option: str, spec: str, head: str, form: str) -> tuple[str, str]:
    name, separator, column = head.partition("=")
    if not separator:
        column = name
    if not is_plain(name) or not is_plain(column):
        raise UsageError("node.spec-not-plain", option=option, spec=spec)
    if not name or not column or len(name) > _NAME_MAX or len(column) > _COLUMN_MAX or name != name.strip():
        raise _wrong(option, spec, form)
    return name, column


def _wrong(option: str, spec: str, form: str) -> UsageError:
    return UsageError("node.spec-wrong", option=option, spec=spec, form=form)
