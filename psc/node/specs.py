"""The short forms in which a user declares a dataset's columns, on the command line and in Python.

::

    key      NAME=COLUMN:KIND          phone=mobile:phone          COLUMN may be left out when it is NAME: phone:phone
    release  NAME=COLUMN:text:WIDTH    status:text:16              WIDTH in UTF-8 bytes (a Chinese character takes three)
             NAME=COLUMN:TYPE          fee:int64                   int64, float64, bool, date
    value    NAME=COLUMN:int64:LOW..HIGH             orders:int64:0..1000        whole numbers
             NAME=COLUMN:decimal:SCALE:LOW..HIGH     fee:decimal:2:0..999.99     rounded to SCALE decimals, half to even
             either with :clip at its end            fee:decimal:2:0..999.99:clip    values outside count as the end
    group    NAME=COLUMN                             city=收件城市
    noise    MECHANISM:BUDGET                        laplace:0.5, gaussian:0.05  (psc.types.Noise)
"""

from __future__ import annotations

import re
from typing import get_args

from psc.data.groups import GroupUse
from psc.data.keys import KeyUse
from psc.data.values import ValueUse
from psc.errors import UsageError
from psc.texts import is_plain
from psc.types import (
    SCALE_MAX,
    VALUE_LIMIT,
    KeyKind,
    Noise,
    NoiseMechanism,
    ReleasedColumn,
    ReleaseType,
    ValueColumn,
    scaled_text,
)

__all__ = ["FIXED_WIDTHS", "RESERVED_NAMES", "parse_group", "parse_key", "parse_noise", "parse_release", "parse_value"]

FIXED_WIDTHS = {"int64": 8, "float64": 8, "bool": 1, "date": 4}
"""Bytes of the released types that have one width."""

RESERVED_NAMES = frozenset({"psc_row", "psc_rows_cut"})
"""Names of columns that psc itself adds to results."""

_NAME_MAX = 64
_COLUMN_MAX = 1024
_WIDTH_MAX = 1024
_KINDS: tuple[str, ...] = get_args(KeyKind)
_TYPES: tuple[str, ...] = get_args(ReleaseType)
_MECHANISMS: tuple[str, ...] = get_args(NoiseMechanism)
_DECIMAL = re.compile(r"(-?)([0-9]{1,19})(?:\.([0-9]{1,9}))?")
_BUDGET_THOUSANDTHS_MAX = 1_000_000


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


def parse_value(spec: str) -> ValueUse:
    """Return the value column of ``NAME=COLUMN:int64:LOW..HIGH`` or ``NAME=COLUMN:decimal:SCALE:LOW..HIGH``, clipped or not.

    Raises:
        UsageError: it has another form, the scale is none, or the range is empty, too wide or finer than the scale.
    """
    form = "NAME=COLUMN:int64:LOW..HIGH[:clip], NAME=COLUMN:decimal:SCALE:LOW..HIGH[:clip]"
    body, clip = (spec[: -len(":clip")], True) if spec.endswith(":clip") else (spec, False)
    parts = body.rsplit(":", 3)
    if len(parts) >= 3 and parts[-2] == "int64":
        head, scale, whole = body.rsplit(":", 2)[0], 0, True
    elif len(parts) == 4 and parts[1] == "decimal":
        head, whole = parts[0], False
        if not (parts[2].isascii() and parts[2].isdigit() and int(parts[2]) <= SCALE_MAX):
            raise UsageError("node.spec-scale", spec=spec, limit=SCALE_MAX)
        scale = int(parts[2])
    else:
        raise _wrong("--value", spec, form)
    low, separator, high = parts[-1].partition("..")
    ends = [_units(end, scale) for end in (low, high)]
    if not separator or None in ends:
        raise UsageError("node.spec-range", spec=spec, scale=scale)
    least, most = ends
    if least is None or most is None or least > most or max(abs(least), abs(most)) >= VALUE_LIMIT:
        raise UsageError("node.spec-range-wide", spec=spec, limit=scaled_text(VALUE_LIMIT - 1, scale))
    name, column = _name_and_column("--value", spec, head, form)
    return ValueUse(ValueColumn(name=name, scale=scale, low=least, high=most), column, whole, clip)


def parse_group(spec: str) -> GroupUse:
    """Return the group column of ``NAME=COLUMN`` or ``NAME``.

    Raises:
        UsageError: it has another form.
    """
    return GroupUse(*_name_and_column("--group", spec, spec, "NAME=COLUMN"))


def parse_noise(spec: str) -> Noise:
    """Return the noise of ``laplace:0.5`` or ``gaussian:0.05``; the budget has at most three decimals.

    Raises:
        UsageError: it has another form, or the budget is not from 0.001 to 1000.
    """
    mechanism, _, budget = spec.partition(":")
    thousandths = _units(budget, 3)
    if mechanism not in _MECHANISMS or thousandths is None or not 1 <= thousandths <= _BUDGET_THOUSANDTHS_MAX:
        raise UsageError("node.spec-noise", spec=spec, mechanisms=", ".join(_MECHANISMS))
    return Noise(mechanism=mechanism, budget_thousandths=thousandths)  # type: ignore[arg-type]  # just checked


def _units(text: str, scale: int) -> int | None:
    """Return a decimal in units of 10^-scale; None for one that is none, or that has more decimals."""
    found = _DECIMAL.fullmatch(text)
    if found is None or not text.isascii():
        return None
    sign, whole, fraction = found[1], found[2], (found[3] or "").rstrip("0")
    if len(fraction) > scale:
        return None
    units = int(whole + fraction.ljust(scale, "0"))
    return -units if sign else units


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
