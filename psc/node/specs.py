"""The short forms in which a user declares a dataset's columns, on the command line and in Python.

::

    key      NAME=COLUMN:KIND          phone=mobile:phone          COLUMN may be left out when it is NAME: phone:phone
    release  NAME=COLUMN:text:WIDTH    status:text:16              WIDTH in UTF-8 bytes (a Chinese character takes three)
             NAME=COLUMN:TYPE          fee:int64                   int64, float64, bool, date
    value    NAME=COLUMN:TYPE:LOW..HIGH    fee:int64:0..100000     int64, float64
    group    NAME=COLUMN               city
"""

from __future__ import annotations

import math
import re
from typing import get_args

from psc.data.keys import KeyUse
from psc.errors import UsageError
from psc.texts import is_plain
from psc.types import KeyKind, ReleasedColumn, ReleaseType

__all__ = ["FIXED_WIDTHS", "RESERVED_NAMES", "parse_group", "parse_key", "parse_release", "parse_value"]

FIXED_WIDTHS = {"int64": 8, "float64": 8, "bool": 1, "date": 4}
"""Bytes of the released types that have one width."""

RESERVED_NAMES = frozenset({"psc_row", "psc_rows_cut"})
"""Names of columns that psc itself adds to results."""

_NAME_MAX = 64
_COLUMN_MAX = 1024
_WIDTH_MAX = 1024
_INT64_MAX = 2**63 - 1
_KINDS: tuple[str, ...] = get_args(KeyKind)
_TYPES: tuple[str, ...] = get_args(ReleaseType)
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})", re.ASCII)


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


def parse_value(spec: str) -> tuple[str, str, str, int | float, int | float]:
    """Return name, column, type, lowest and highest value of ``NAME=COLUMN:TYPE:LOW..HIGH``.

    Raises:
        UsageError: it has another form, the type is neither int64 nor float64, or the range is empty or not a range.
    """
    form = "NAME=COLUMN:int64:LOW..HIGH"
    parts = spec.rsplit(":", 2)
    if len(parts) != 3:
        raise _wrong("--value", spec, form)
    head, kind, span = parts
    if kind not in ("int64", "float64"):
        raise UsageError("node.spec-type", spec=spec, types="int64, float64")
    found = _RANGE.fullmatch(span)
    try:
        low, high = (_number(text, kind) for text in found.groups()) if found else (1, 0)
    except ValueError:
        low, high = 1, 0
    if low > high:
        raise UsageError("node.spec-range", spec=spec)
    name, column = _name_and_column("--value", spec, head, form)
    return name, column, kind, low, high


def parse_group(spec: str) -> tuple[str, str]:
    """Return name and column of ``NAME=COLUMN`` or ``NAME``.

    Raises:
        UsageError: it has another form.
    """
    return _name_and_column("--group", spec, spec, "NAME=COLUMN")


def _number(text: str, kind: str) -> int | float:
    if kind == "int64":
        value = int(text)
        if abs(value) > _INT64_MAX:
            raise ValueError
        return value
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


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
