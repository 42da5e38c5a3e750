"""How an aggregate looks on a terminal: what is asked, under which conditions, and the table that comes back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING

from psc.cli.show import label, lines, listing, number_text, wraps

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from psc.operations.plan import Plan
    from psc.operations.requests import Aggregate
    from psc.operations.results import AggregateResult
    from psc.operations.select import Output
    from psc.session.hello import AggregateTerms
    from psc.types import Noise

__all__ = [
    "answer_rows",
    "asked_text",
    "float_decimals",
    "groups_shown",
    "plan_rows",
    "protocol_reasons",
    "receipt_rows",
]

_ROWS_SHOWN = 60
_BETWEEN = 3
"""Columns of the terminal between two columns of a table."""
_MORE_DECIMALS = 2
"""How many decimals a mean or a spread shows beyond those of its values."""


def asked_text(request: Aggregate) -> str:
    """Return what an aggregate computes, in words."""
    said = []
    for column, outputs in groupby(request.outputs, key=lambda output: (output.function == "bin", output.column, output.per)):
        several = list(outputs)
        if column[0]:
            said.append(label(f"out-histogram-{several[0].per}", column=several[0].column, bins=len(several)))
        else:
            said += [_output_text(output) for output in several]
    return ", ".join(said)


def _output_text(output: Output) -> str:
    if output.function == "weighted_sum":
        return label("out-weighted-sum", weight=output.weight, column=output.column)
    if output.column is None:
        return label("out-rows" if output.per == "row" else "out-customers")
    return label(f"out-{output.function}-{output.per}", column=output.column)


def plan_rows(plan: Plan, request: Aggregate) -> list[tuple[str, RenderableType]]:
    """Return the rows of a plan that only an aggregate has: what, over which groups, who matches, noise, smallest group."""
    if plan.shape is None or plan.shape.aggregate is None:
        return []
    terms = plan.shape.aggregate
    # By the own names: to a partner that does not learn the result the terms do not tell them.
    named = zip(dict.fromkeys(output.weight for output in request.outputs if output.weight), terms.weights, strict=True)
    weights = [label("plan-weight", name=name, bound=_bound(weight.high, weight.scale)) for name, weight in named]
    rows: list[tuple[str, RenderableType]] = [
        (label("computed"), asked_text(request)),
        (label("plan-groups"), _groups(plan, request)),
    ]
    if terms.values:
        rows.append((label("plan-values"), values_text(terms)))
    if weights:
        rows.append((label("own-weights"), lines(weights)))
    return [
        *rows,
        (label("terms-membership"), label(f"terms-membership-{terms.membership}")),
        (label("terms-noise"), noise_text(plan.shape.noise)),
        (label("terms-least-group"), _least_group(terms.minimum_group)),
    ]


def protocol_reasons(plan: Plan) -> list[str]:
    """Return why a protocol was chosen, and of an aggregate whether the simplest choice was left out."""
    terms = plan.shape.aggregate if plan.shape is not None else None
    if terms is None:
        return [plan.reason] if plan.reason else []
    said = [label(f"why-{terms.membership}", partner=plan.partner, engine=terms.engine)]
    if terms.membership == "hidden" and plan.entry is not None and "owner" in plan.entry.membership:
        said.append(label("owner-allowed", partner=plan.partner))
    return said


def receipt_rows(terms: AggregateTerms, noise: Noise | None) -> list[tuple[str, RenderableType]]:
    """Return the rows of a receipt that only an aggregate has."""
    from psc.operations.table import statistic_name

    statistics = ", ".join(statistic_name(entry, terms.weights) for entry in terms.statistics)
    groups = [*(group.name for group in terms.groups), *(f"own:{name}" for name in terms.own_columns)]
    own = label("receipt-own-groups", count=number_text(terms.own_groups))
    return [
        (label("computed"), statistics or label("out-customers")),
        (label("plan-groups"), ", ".join([*groups, own])),
        (label("plan-values"), values_text(terms) or "–"),
        (label("terms-membership"), label(f"terms-membership-{terms.membership}")),
        (label("terms-noise"), noise_text(noise)),
        (label("terms-least-group"), _least_group(terms.minimum_group)),
    ]


def values_text(terms: AggregateTerms) -> str:
    """Return the value columns with their ranges."""
    from psc.types import scaled_text

    ranges = ((value, scaled_text(value.low, value.scale), scaled_text(value.high, value.scale)) for value in terms.values)
    return ", ".join(label("value-range", name=value.name, low=low, high=high) for value, low, high in ranges)


def noise_text(noise: Noise | None) -> str:
    """Return the noise that a run's results carry, in words."""
    if noise is None:
        return label("terms-noise-none")
    drawn = label(f"terms-noise-{noise.mechanism}", budget=str(noise).partition(":")[2])
    return label("terms-noise-added", noise=drawn)


def _bound(units: int, scale: int) -> str:
    return f"{Decimal(units).scaleb(-scale):,f}"


def _least_group(least: int) -> str:
    return label("least-group-text", least=number_text(least)) if least > 1 else label("least-group-none")


def _groups(plan: Plan, request: Aggregate) -> RenderableType:
    from psc.operations.prepare import group_sides

    if plan.shape is None or not request.group_by:
        return label("groups-none")
    terms = plan.shape.terms
    counts = {group.name: group.groups for group in terms.groups}
    said = [
        label("group-own", name=name)
        if is_own
        else label("group-theirs", name=name, partner=plan.partner, count=number_text(counts[name]))
        for name, is_own in group_sides(request, terms.groups)
    ]
    cells = number_text(terms.own_groups * terms.their_groups)
    return lines([", ".join(said), label("plan-cells", own=number_text(terms.own_groups), cells=cells)])


# --- results -------------------------------------------------------------------------------------------------------


def answer_rows(result: AggregateResult, partner: str) -> list[tuple[str, RenderableType]]:
    """Return the facts of an aggregate that stand above its table."""
    if result.table is None:
        return [(label("result"), label("result-at-partner", partner=partner))]
    if not result.groups:
        return []
    rows: list[tuple[str, RenderableType]] = [(label("plan-groups"), number_text(result.table.num_rows))]
    if result.withheld_groups:
        rows.append((label("withheld-groups"), label("withheld-text", count=number_text(result.withheld_groups))))
    return rows


def float_decimals(request: Aggregate, terms: AggregateTerms) -> dict[str, int]:
    """Return how many decimals each output that is a fraction shows, by its name."""
    scales = {value.name: value.scale for value in terms.values}
    return {output.name: scales[output.column] + _MORE_DECIMALS for output in request.outputs if output.column in scales}


def groups_shown(table: pa.Table, decimals: dict[str, int] | None = None) -> list[RenderableType]:
    """Return a table of groups: their columns, customers and outputs, numbers to the right, withheld groups as such.

    Args:
        table: as ``psc.AggregateResult.table``, or as delivered to a responder.
        decimals: of columns of floats, by name.
    """
    from psc.operations.table import CUSTOMERS, WITHHELD

    head = table.slice(0, _ROWS_SHOWN)
    names = [name for name in table.column_names if name != WITHHELD]
    groups = names[: names.index(CUSTOMERS)] if CUSTOMERS in names else []
    withheld = head.column(WITHHELD).to_pylist() if WITHHELD in table.column_names else [False] * head.num_rows
    columns = {}
    for name in names:
        cells = head.column(name).to_pylist()
        if name in groups:
            columns[name] = [str(cell) for cell in cells]
        else:
            places = (decimals or {}).get(name, 4)
            pairs = zip(cells, withheld, strict=True)
            columns[name] = [label("withheld") if hidden else _number(cell, places) for cell, hidden in pairs]
    shown: list[RenderableType] = [_Groups(columns, groups)]
    if head.num_rows < table.num_rows:
        shown.append(wraps(label("groups-cut", shown=number_text(head.num_rows), rows=number_text(table.num_rows))))
    return shown


def _number(cell: object, places: int) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:,.{places}f}"
    return f"{cell:,f}" if isinstance(cell, Decimal) else f"{cell:,}"


class _Groups:
    """A table as wide as the terminal: outputs that do not fit stand below, with the groups again. No digit is ever cut."""

    def __init__(self, columns: dict[str, list[str]], groups: Sequence[str]) -> None:
        self._columns, self._groups = columns, groups

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for number, names in enumerate(self._blocks(options.max_width)):
            if number:
                yield ""
            chosen = [*self._groups, *names]
            rows = zip(*(self._columns[name] for name in chosen), strict=True)
            yield listing(chosen, [list(row) for row in rows], right=names, whole=names)

    def _blocks(self, width: int) -> Iterable[list[str]]:
        from rich.cells import cell_len

        widths = {name: max(map(cell_len, (name, *cells))) for name, cells in self._columns.items()}
        labels = min(sum(widths[name] + _BETWEEN for name in self._groups), width // 2)
        block: list[str] = []
        left = width - labels
        for name in self._columns:
            if name in self._groups:
                continue
            if block and widths[name] > left:
                yield block
                block, left = [], width - labels
            block.append(name)
            left -= widths[name] + _BETWEEN
        yield block
