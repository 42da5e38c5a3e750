"""What an aggregate computes: the outputs a user names, the sums they rest on, and how they follow from these sums.

An output is a function of a few exact integer sums over the customers that both have: ``mean`` of a sum and a count, ``var``
of these and a sum of squares. Only the sums travel, each once, whatever number of outputs uses it. Everything is exact until
the last division.

``per="row"`` (the default) looks at the partner's rows of the shared customers; ``per="customer"`` adds up each customer's rows
first, so that every customer is one value. The own table's duplicates change nothing, but in ``weighted_sum``, which is over
all pairs of an own row and a partner's row, as a join has them. Nulls are left out, as pandas does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Literal, TypeAlias

from psc.errors import UsageError
from psc.types import VALUE_LIMIT, Statistic, ValueColumn

__all__ = [
    "Cell",
    "Output",
    "count",
    "evaluate",
    "histogram",
    "mean",
    "statistics_of",
    "std",
    "sum_of",
    "var",
    "weighted_sum",
]

Per = Literal["row", "customer"]
Function = Literal["count", "sum", "mean", "var", "std", "weighted_sum", "bin"]
Edge: TypeAlias = int | float | str | Decimal

_EDGES_MAX = 65


@dataclass(frozen=True, slots=True)
class Output:
    """One column of the result; made by ``psc.count``, ``psc.sum`` and the others.

    Attributes:
        function: what is computed.
        column: the partner's value column; ``None`` for a count of rows or customers.
        per: over the partner's rows, or over customers.
        weight: the own column of a weighted sum.
        weight_scale: its decimals: weights are taken as integers in units of 10^-weight_scale.
        low, high: the edges of a histogram's bin.
        closed: the bin holds its upper edge too (a histogram's last).
    """

    function: Function
    column: str | None = None
    per: Per = "row"
    weight: str | None = None
    weight_scale: int = 0
    low: Decimal | None = None
    high: Decimal | None = None
    closed: bool = False

    @property
    def name(self) -> str:
        """The name of its column in the result."""
        if self.function == "bin":
            head = f"{self.column}_[{self.low},{self.high}{']' if self.closed else ')'}"
        elif self.function == "weighted_sum":
            head = f"{self.weight}*{self.column}_sum"
        elif self.column is None:
            head = "rows" if self.per == "row" else "count"
        else:
            head = f"{self.column}_{self.function}"
        return head if self.column is None or self.per == "row" else f"{head}_per_customer"


def count(column: str | None = None, *, per: Per | None = None) -> Output:
    """Count customers (the default), rows, or non-null values.

    Args:
        column: count what is not null in this column of the partner: its rows, or with ``per="customer"`` the customers that
            have one. ``None`` counts customers, or with ``per="row"`` the partner's rows of them.
        per: ``customer`` without a column and ``row`` with one, by default.
    """
    return Output("count", column, _per(per or ("customer" if column is None else "row")))


def sum_of(column: str) -> Output:
    """Add up a column of the partner over the shared customers; known to users as ``psc.sum``."""
    return Output("sum", column)


def mean(column: str, *, per: Per = "row") -> Output:
    """Return the mean of a column of the partner, over rows or over customers' totals; null without values."""
    return Output("mean", column, _per(per))


def var(column: str, *, per: Per = "row") -> Output:
    """Return the sample variance (``ddof=1``) over rows or over customers' totals; null with fewer than two values."""
    return Output("var", column, _per(per))


def std(column: str, *, per: Per = "row") -> Output:
    """Return the square root of ``var``."""
    return Output("std", column, _per(per))


def weighted_sum(weight: str, column: str, *, scale: int = 0) -> Output:
    """Add up own column × partner's column over all pairs of rows of one customer.

    Args:
        weight: a numeric column of the own table.
        column: a value column of the partner.
        scale: decimals of the weight, 0 to 9.

    Only where one side may know which customers match (``membership="owner"`` or ``"matcher"``).

    Raises:
        UsageError: the scale is out of range.
    """
    if not 0 <= scale <= 9:
        raise UsageError("operations.scale-range", scale=scale)
    return Output("weighted_sum", column, "row", weight, scale)


def histogram(column: str, edges: Sequence[Edge], *, per: Per = "row") -> tuple[Output, ...]:
    """Count how many values lie between consecutive edges: ``[a, b)`` each, and the last one closed.

    Args:
        column: a value column of the partner.
        edges: at least two numbers, ascending; at most 65.
        per: over rows, or over customers' totals.

    Raises:
        UsageError: the edges are not ascending numbers.
    """
    try:
        at = [Decimal(str(edge)) for edge in edges]
    except InvalidOperation:
        at = []
    ascending = all(map(_usual, at)) and all(low < high for low, high in itertools.pairwise(at))
    if not 2 <= len(at) <= _EDGES_MAX or not ascending:
        raise UsageError("operations.edges", column=column, limit=_EDGES_MAX)
    last = len(at) - 2
    bins = enumerate(itertools.pairwise(at))
    return tuple(Output("bin", column, _per(per), low=low, high=high, closed=i == last) for i, (low, high) in bins)


def _usual(edge: Decimal) -> bool:
    # No value is near the bounds; a number like 1e999999 would take for ever to scale.
    return edge.is_finite() and edge.normalize().as_tuple().exponent >= -12 and edge.adjusted() <= 18  # type: ignore[operator]


def _per(per: str) -> Per:
    if per not in ("row", "customer"):
        raise UsageError("operations.per", per=per)
    return per  # type: ignore[return-value]  # just checked


def statistics_of(outputs: Iterable[Output], values: Mapping[str, ValueColumn], weights: Sequence[str]) -> tuple[Statistic, ...]:
    """Return the sums that some outputs rest on, each once, in the order in which they are first needed.

    Args:
        outputs: what is asked.
        values: the partner's value columns by name; every column asked is among them.
        weights: the own weight columns; a statistic names one by its index.

    Raises:
        UsageError: a bin's edge is no multiple of the column's unit.
    """
    found: dict[Statistic, None] = {}
    for output in outputs:
        found.update(dict.fromkeys(_needs(output, values, weights)))
    return tuple(found)


def _needs(output: Output, values: Mapping[str, ValueColumn], weights: Sequence[str]) -> list[Statistic]:
    column, per = output.column, output.per
    if output.function == "count":
        return [] if column is None and per == "customer" else [Statistic(kind="count", per=per, column=column)]
    total = Statistic(kind="sum", per="row", column=column)
    if output.function == "sum":
        return [total]
    if output.function == "weighted_sum":
        return [Statistic(kind="sum", per="row", column=column, weight=weights.index(str(output.weight)))]
    if output.function == "bin":
        return [_bin(output, values)]
    needs = [total, Statistic(kind="count", per=per, column=column)]
    return needs if output.function == "mean" else [*needs, Statistic(kind="squares", per=per, column=column)]


def _bin(output: Output, values: Mapping[str, ValueColumn]) -> Statistic:
    value = values[str(output.column)]
    edges = []
    for edge in (output.low, output.high):
        scaled = Fraction(edge or 0) * 10**value.scale
        if scaled.denominator != 1 or abs(scaled) >= VALUE_LIMIT:
            raise UsageError("operations.edge-scale", column=value.name, edge=str(edge), scale=value.scale)
        edges.append(scaled.numerator)
    return Statistic(kind="bin", per=output.per, column=value.name, low=edges[0], high=edges[1] + int(output.closed))


@dataclass(frozen=True, slots=True)
class Cell:
    """What is known of one group: its customers, and the sum of each statistic, in scaled units."""

    customers: int
    sums: Mapping[Statistic, int]


def evaluate(
    output: Output, cell: Cell, values: Mapping[str, ValueColumn], weights: Sequence[str]
) -> int | Decimal | float | None:
    """Return an output's value in one group; null where there is none (a mean of nothing, a variance of one value)."""
    if output.function == "count" and output.column is None and output.per == "customer":
        return cell.customers
    sums = [cell.sums[need] for need in _needs(output, values, weights)]
    if output.function in ("count", "bin"):
        return sums[0]
    scale = values[str(output.column)].scale
    if output.function in ("sum", "weighted_sum"):
        places = scale + output.weight_scale
        return Decimal(sums[0]).scaleb(-places) if places else sums[0]
    unit = 10**scale
    total, number = sums[0], sums[1]
    if output.function == "mean":
        return float(Fraction(total, number * unit)) if number > 0 else None
    if number < 2:
        return None
    variance = Fraction(sums[2] * number - total * total, number * (number - 1) * unit * unit)
    if output.function == "var":
        return float(variance)
    return math.sqrt(max(float(variance), 0.0))  # noise may push it below zero
