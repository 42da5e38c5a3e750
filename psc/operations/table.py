"""The table of an aggregate: cells and their sums on one side, groups and outputs as users read them on the other."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from psc.data.groups import LABEL_BYTES_MAX, Labels
from psc.errors import MalformedMessageError
from psc.operations.play import RunShape
from psc.operations.prepare import OwnGroups, group_sides
from psc.operations.requests import Aggregate
from psc.operations.select import Cell, Output, evaluate
from psc.protocols.cells import Sums
from psc.texts import is_plain
from psc.types import Statistic, ValueColumn, canonical_json

__all__ = ["CUSTOMERS", "WITHHELD", "arrow_type", "label_bytes", "labels_of", "outputs_table", "statistics_table"]

CUSTOMERS = "customers"
"""Name of the column with the number of shared customers in a group."""

WITHHELD = "withheld"
"""Name of the column that says whether a group is withheld: it, or another that would follow from it, is too small."""


def label_bytes(labels: Labels) -> tuple[bytes, ...]:
    """Return the names of groups as they travel: each a JSON list of texts."""
    return tuple(canonical_json(list(label)) for label in labels)


def labels_of(data: Sequence[bytes], columns: int) -> Labels:
    """Read the names of the peer's groups.

    Raises:
        MalformedMessageError: one is not a list of as many plain, short texts as there are group columns.
    """
    found = []
    for raw in data:
        try:
            label = json.loads(raw)
        except (ValueError, RecursionError):
            label = None
        texts = label if isinstance(label, list) else [None]
        plain = all(isinstance(text, str) and is_plain(text) and len(text.encode()) <= LABEL_BYTES_MAX for text in texts)
        if not plain or len(texts) != columns or canonical_json(texts) != raw:
            raise MalformedMessageError("session.message-malformed", what="the name of a group is not what it should be")
        found.append(tuple(texts))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The cells that a table shows, in its order: positions in the flattened table, and which of them are withheld."""

    cells: NDArray[np.int64]
    withheld: NDArray[np.bool_]


def _rows(sums: Sums, minimum_group: int) -> _Rows:
    withheld = sums.withheld.reshape(-1)
    # Without a minimum an empty group is not there, as in any other table; with one, empty and small look the same.
    shown = np.flatnonzero((sums.counts.reshape(-1) > 0) | withheld if minimum_group <= 1 else np.ones_like(withheld))
    return _Rows(shown, withheld[shown])


def outputs_table(request: Aggregate, own: OwnGroups, shape: RunShape, theirs: Labels, sums: Sums) -> pa.Table:
    """Return what the initiator sees: its groups and the responder's in the order asked, sizes, and one column an output.

    Args:
        request: names outputs and groups.
        own: the initiator's groups.
        shape: the run.
        theirs: labels of the responder's groups.
        sums: what was computed.
    """
    terms, rows = shape.terms, _rows(sums, shape.terms.minimum_group)
    mine, other = np.divmod(rows.cells, len(theirs))
    values = {value.name: value for value in terms.values}
    weights = [weight.name for weight in terms.weights]
    cells = _cells(sums, rows, terms.statistics)
    columns: dict[str, pa.Array] = {}
    for name, is_own in group_sides(request, terms.groups):
        if is_own:
            at = own.columns.index(name)
            texts = [own.labels[group][at] for group in mine]
        else:
            at = [group.name for group in terms.groups].index(name)
            texts = [theirs[group][at] for group in other]
        columns[_free(name, columns)] = pa.array(texts, pa.string())
    columns[CUSTOMERS] = _sizes(sums, rows)
    for output in request.outputs:
        found = [None if cell is None else evaluate(output, cell, values, weights) for cell in cells]
        columns[_free(output.name, columns)] = pa.array(found, arrow_type(output, values))
    columns[WITHHELD] = pa.array(rows.withheld)
    table = pa.table(columns)
    groups = table.column_names[: len(request.group_by)]
    return table.sort_by([(name, "ascending") for name in groups]) if groups else table


def statistics_table(shape: RunShape, own: Labels, theirs: Labels, sums: Sums) -> pa.Table:
    """Return what a responder keeps of a result that it learns: the groups of both sides, sizes, and the sums.

    Args:
        shape: the run.
        own: labels of the responder's groups.
        theirs: labels of the initiator's.
        sums: what was computed.
    """
    terms, rows = shape.terms, _rows(sums, shape.terms.minimum_group)
    other, mine = np.divmod(rows.cells, len(own))
    columns: dict[str, pa.Array] = {}
    for labels, at, names in ((theirs, other, terms.own_columns), (own, mine, [group.name for group in terms.groups])):
        for i, name in enumerate(names):
            columns[_free(name, columns)] = pa.array([labels[group][i] for group in at], pa.string())
    columns[CUSTOMERS] = _sizes(sums, rows)
    values = {value.name: value for value in terms.values}
    cells = _cells(sums, rows, terms.statistics)
    for statistic in terms.statistics:
        scale = _scale(statistic, values, terms.weights)
        found = [None if cell is None else _scaled(cell.sums[statistic], scale) for cell in cells]
        kind = pa.decimal128(38, scale) if scale else pa.int64()
        columns[_free(statistic_name(statistic, terms.weights), columns)] = pa.array(found, kind)
    columns[WITHHELD] = pa.array(rows.withheld)
    return pa.table(columns)


def arrow_type(output: Output, values: Mapping[str, ValueColumn]) -> pa.DataType:
    """Return the type of an output's column: int64, decimal128 at the column's scale, or float64 after a division."""
    if output.function in ("count", "bin"):
        return pa.int64()
    if output.function in ("mean", "var", "std"):
        return pa.float64()
    scale = values[str(output.column)].scale + output.weight_scale
    return pa.decimal128(38, scale) if scale else pa.int64()


def statistic_name(statistic: Statistic, weights: Sequence[ValueColumn]) -> str:
    """Return a short name of a sum: ``fee_sum``, ``fee_squares_per_customer``, ``fee_bin_[0,10)`` (edges in units), ``rows``."""
    if statistic.column is None:
        return "rows"
    head = f"{statistic.column}_{statistic.kind}"
    if statistic.kind == "bin":
        head += f"_[{statistic.low},{statistic.high})"
    if statistic.weight is not None:
        head = f"{weights[statistic.weight].name}*{head}"
    return head if statistic.per == "row" else f"{head}_per_customer"


def _cells(sums: Sums, rows: _Rows, statistics: Sequence[Statistic]) -> list[Cell | None]:
    counts = sums.counts.reshape(-1)[rows.cells].tolist()
    numbers = [()] * len(counts) if sums.sums is None else _flat(sums.sums)[rows.cells].tolist()
    return [
        None if hidden else Cell(size, dict(zip(statistics, row, strict=True)))
        for hidden, size, row in zip(rows.withheld.tolist(), counts, numbers, strict=True)
    ]


def _flat(sums: NDArray[np.int64]) -> NDArray[np.int64]:
    return sums.reshape(sums.shape[0] * sums.shape[1], sums.shape[2])


def _sizes(sums: Sums, rows: _Rows) -> pa.Array:
    return pa.array(sums.counts.reshape(-1)[rows.cells], pa.int64(), mask=rows.withheld)


def _scale(statistic: Statistic, values: dict[str, ValueColumn], weights: Sequence[ValueColumn]) -> int:
    if statistic.column is None or statistic.kind in ("count", "bin"):
        return 0
    scale = values[statistic.column].scale * (2 if statistic.kind == "squares" else 1)
    return scale + (0 if statistic.weight is None else weights[statistic.weight].scale)


def _scaled(number: int, scale: int) -> int | Decimal:
    return Decimal(number).scaleb(-scale) if scale else number


def _free(name: str, taken: dict[str, pa.Array]) -> str:
    """Return the name, or that with a number: whichever is neither taken nor that of a column that every table has."""
    candidates = itertools.chain([name], (f"{name}.{number}" for number in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in taken and candidate not in (CUSTOMERS, WITHHELD))
