"""Plans and results as people see them: what each side learns, what moves, how long it takes, which rule refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psc.cli.aggregates import answer_rows, asked_text, float_decimals, groups_shown, plan_rows, protocol_reasons
from psc.cli.show import bullets, bytes_text, facts, label, lines, number_text, preview, seconds_text, wraps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa
    from rich.console import RenderableType

    from psc.operations.leakage import Leakage
    from psc.operations.plan import Plan, PlannedAlternative
    from psc.operations.results import AlternativeResult, Result, RunStats
    from psc.types import KeyKind

__all__ = ["PREVIEW_ROWS", "kinds_of_columns", "learned", "plan_shown", "refused_own_side", "result_shown"]

PREVIEW_ROWS = 10
"""Rows of a match that are shown when it ended."""


def plan_shown(plan: Plan, own_name: str) -> list[RenderableType]:
    """Return a plan as it is shown before anything moves."""
    from psc.operations.requests import Aggregate

    request = plan.request
    rows: list[tuple[str, RenderableType]] = [
        (label("what"), f"{request.OPERATION} {plan.partner}/{plan.dataset}"),
        (label("purpose"), request.purpose),
        (label("output-to"), label(f"output-{request.output_to}")),
    ]
    if plan.refusal is not None or plan.leakage is None or plan.estimate is None:
        rule = "–" if plan.refusal is None else plan.refusal.rule.value
        if isinstance(request, Aggregate):
            rows.append((label("computed"), asked_text(request)))
        return [facts([*rows, (label("own-side"), refused_own_side(plan)), (label("refused-by"), rule)], title=label("plan"))]
    estimate = plan.estimate
    left_out = sum(plan.rejected.values())
    released = ", ".join(f"{column.name} ({column.type}, {column.width_bytes} B)" for column in plan.released)
    special = (
        plan_rows(plan, request)
        if isinstance(request, Aggregate)
        else [(label("released"), label("plan-released", columns=released, rows=plan.rows_per_key) if released else "–")]
    )
    rows += [
        (label("protocol"), lines([f"{plan.protocol} · {label('model', model=plan.model)}", *protocol_reasons(plan)])),
        (label("own-side"), _own_side(plan, left_out)),
        (label("partner-side"), label("plan-partner", size=number_text(plan.partner_size))),
        *([(label("by-key"), lines([_planned(each) for each in plan.alternatives]))] if plan.alternatives else []),
        *special,
        (label("least-result"), label("plan-least", least=number_text(plan.minimum_result))),
        (label("moves"), label("moved-text", sent=bytes_text(estimate.bytes_sent), received=bytes_text(estimate.bytes_received))),
        (label("time"), label("about", time=seconds_text(estimate.seconds))),
        (label("quota"), label("plan-quota", left=plan.quota_left)),
        *([(label("resumes"), plan.kept_note)] if plan.kept_note else []),
        (label("refused-by"), label("no-rule")),
    ]
    return [
        facts(rows, title=label("plan")),
        *learned(plan.leakage, {"initiator": own_name, "responder": plan.partner}, future=True),
    ]


def learned(leakage: Leakage, names: Mapping[str, str], *, future: bool) -> list[RenderableType]:
    """Return what each side learns (``future``: will learn), line by line."""
    shown: list[RenderableType] = []
    for side, said in (("initiator", leakage.initiator), ("responder", leakage.responder)):
        heading = label("will-learn" if future else "learned", name=names[side])
        shown += ["", heading, bullets(line.render() for line in said)]
    return shown


def result_shown(
    result: Result,
    plan: Plan,
    *,
    own_name: str,
    output: str | None,
    columns: Sequence[str],
    table: pa.Table | None,
) -> list[RenderableType]:
    """Return a result.

    Args:
        result: what came out.
        plan: what was planned.
        own_name: this node's name.
        output: the file written, if any.
        columns: the columns of a preview.
        table: the first masked rows of a match, at least ``PREVIEW_ROWS`` when there are as many; None shows none.
    """
    from psc.operations.requests import Aggregate
    from psc.operations.results import AggregateResult, MatchResult

    stats = result.stats
    rows = [*_answer_rows(result, plan), *_cost_rows(stats), (label("run"), result.run_id)]
    if output is not None:
        rows.append((label("file"), output))
    rows.append((label("receipt"), f"psc runs show {result.run_id} --verify"))
    shown: list[RenderableType] = [facts(rows, title=f"{plan.request.OPERATION} {plan.partner}/{plan.dataset}")]
    if table is not None and table.num_rows:
        total = result.table.num_rows if isinstance(result, MatchResult) else table.num_rows
        shown += ["", _first_rows(table, columns, total)]
        if output is None:
            shown.append(wraps(label("output-hint")))
    if isinstance(result, AggregateResult) and isinstance(plan.request, Aggregate) and result.table is not None:
        decimals = float_decimals(plan.request, plan.shape.terms) if plan.shape is not None else None
        shown += ["", *groups_shown(result.table, decimals)]
    return [*shown, *learned(result.leakage, {"initiator": own_name, "responder": plan.partner}, future=False)]


def kinds_of_columns(plan: Plan) -> dict[str, KeyKind]:
    """Return the kind of each own key column of a plan, by column name."""
    from psc.operations.anyof import alternatives_of

    named = zip(plan.keys, alternatives_of(plan.request.on), strict=True)
    return {columns[key.name]: key.kind for keys, columns in named for key in keys}


def refused_own_side(plan: Plan) -> str:
    """Return the own table of a refused plan: its file, and its keys when they were counted."""
    from os import PathLike
    from pathlib import Path

    source = plan.request.source
    name = Path(source).name if isinstance(source, str | PathLike) else type(source).__name__
    fields = {} if plan.refusal is None else plan.refusal.fields
    if plan.own is not None:
        return label("own-table-keys", file=name, keys=number_text(plan.own.key_count))
    if fields.get("side") == "initiator" and isinstance(fields.get("size"), int):
        return label("own-table-keys", file=name, keys=f"{fields['size']:,}")
    return name


def _planned(alternative: PlannedAlternative) -> str:
    said = {
        "own": number_text(alternative.own_keys),
        "size": number_text(alternative.own_size),
        "partner": number_text(alternative.partner_size),
        "without": number_text(alternative.rows_without),
    }
    return label("plan-by-key", key=alternative.key, **said)


def _own_side(plan: Plan, left_out: int) -> RenderableType:
    said = [label("plan-own", rows=number_text(plan.own_rows), keys=number_text(plan.own_keys), size=number_text(plan.own_size))]
    if left_out:
        text = "plan-bad-cells" if plan.alternatives else "plan-left-out"
        said.append(label(text, count=number_text(left_out), classes=_counts(plan.rejected.items())))
    return lines(said)


def _counts(entries: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in entries)


def _answer_rows(result: Result, plan: Plan) -> list[tuple[str, RenderableType]]:
    from psc.operations.results import AggregateResult, CountResult

    if isinstance(result, AggregateResult):
        return [*answer_rows(result, plan.partner), *_left_out_rows(plan)]
    if isinstance(result, CountResult):
        common = label("of-own-keys", part=number_text(result.count), whole=number_text(plan.own_keys))
        return [(label("common-keys"), common), *_left_out_rows(plan)]
    rows: list[tuple[str, RenderableType]] = [
        (label("rows-matched"), label("of", part=number_text(result.matched_rows), whole=number_text(plan.own_rows))),
        (label("keys-matched"), label("of", part=number_text(result.matched_keys), whole=number_text(plan.own_keys))),
    ]
    if result.alternatives:
        rows.append((label("by-key"), lines([_matched_by(each, plan) for each in result.alternatives])))
    if plan.released:
        rows.append((label("result-rows"), number_text(result.table.num_rows)))
    if result.cut_keys:
        rows.append((label("keys-cut"), label("keys-cut-text", count=number_text(result.cut_keys), bound=plan.rows_per_key)))
    return [*rows, *_left_out_rows(plan)]


def _matched_by(alternative: AlternativeResult, plan: Plan) -> str:
    if alternative.withheld:
        return label("withheld-by-key", key=alternative.key, least=number_text(plan.minimum_result))
    keys, rows = number_text(alternative.matched_keys or 0), number_text(alternative.matched_rows)
    return label("matched-by-key", key=alternative.key, rows=rows, keys=keys)


def _left_out_rows(plan: Plan) -> list[tuple[str, RenderableType]]:
    if not plan.rejected:
        return []
    heading = label("rows-bad-cells" if plan.alternatives else "rows-left-out")
    return [(heading, f"{number_text(sum(plan.rejected.values()))} ({_counts(plan.rejected.items())})")]


def _cost_rows(stats: RunStats) -> list[tuple[str, RenderableType]]:
    moved = label("moved-text", sent=bytes_text(stats.bytes_sent), received=bytes_text(stats.bytes_received))
    if stats.retries:
        moved += f" · {label('retries', count=stats.retries)}"
    cost = label(
        "cost-text", time=seconds_text(stats.seconds), cpu=seconds_text(stats.cpu_seconds), rss=bytes_text(stats.peak_rss_bytes)
    )
    return [(label("moved"), moved), (label("time"), cost)]


def _first_rows(table: pa.Table, columns: Sequence[str], total: int) -> RenderableType:
    head = table.select(list(columns)).slice(0, PREVIEW_ROWS)
    title = label("first-of", shown=number_text(head.num_rows), rows=number_text(total))
    return preview({name: head.column(name).to_pylist() for name in head.column_names}, title=title)
