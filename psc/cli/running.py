"""``psc match``, ``psc count`` and ``psc aggregate``: plan, show, run, write."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psc.cli.base import Cli, command, loaded, say
from psc.cli.options import (
    AggregateOutputTo,
    MatchModel,
    MatchProtocol,
    OnBad,
    OutputTo,
    WhoMatches,
    parse_any_of,
    parse_group_by,
    parse_on,
    parse_select,
    parse_target,
    parse_want,
)
from psc.cli.plans import PREVIEW_ROWS, kinds_of_columns, plan_shown, refused_own_side, result_shown
from psc.cli.progress import busy, watched
from psc.cli.setup import check_new_file
from psc.cli.show import label
from psc.data.ahead import ReadAhead
from psc.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from psc.operations.plan import Plan
    from psc.operations.requests import Request
    from psc.operations.results import Result
    from psc.sdk.node import Node
    from psc.sdk.partner import Partner

__all__ = ["register"]

TargetArgument = Annotated[
    str, typer.Argument(metavar="PARTNER/DATASET", help=say("Whom to ask, and on which of its datasets", "请求对象及其数据集"))
]
InputOption = Annotated[
    str,
    typer.Option(
        "--input", metavar="FILE", help=say("The own table: CSV, Parquet, folder or URL", "本方数据表：CSV、Parquet、目录或 URL")
    ),
]
KeyOption = Annotated[
    list[str],
    typer.Option(
        "--key",
        metavar="NAME=COLUMN",
        help=say("The dataset's key and the own column; several make a composite key", "数据集的键及本方的列；多个构成组合键"),
    ),
]
OrKeyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--or-key",
        metavar="NAME=COLUMN,…",
        help=say(
            "Another key by which rows may match that the keys before it do not match; with commas a composite key",
            "前面的键未匹配时可用的另一个键；逗号分隔则为组合键",
        ),
    ),
]
PurposeOption = Annotated[
    str, typer.Option("--purpose", metavar="CODE", help=say("A purpose that the agreement allows", "授权协议允许的用途"))
]
OutputToOption = Annotated[
    OutputTo,
    typer.Option(
        "--output-to", help=say("Who learns the result: receiver (this side), or both", "谁获得结果：receiver（本方）或 both")
    ),
]
OnBadOption = Annotated[
    OnBad,
    typer.Option(
        "--on-bad",
        help=say("What a bad key cell does: error stops, skip leaves its row out", "遇到不合格键：error 停止，skip 略过该行"),
    ),
]
RejectsOption = Annotated[
    Path | None,
    typer.Option(
        "--rejects", metavar="FILE", help=say("A .csv or .parquet file that gets every rejected row", "记录每个被拒绝行的文件")
    ),
]
MinimumOption = Annotated[
    int | None,
    typer.Option(
        "--minimum-result", metavar="N", min=0, help=say("Show no result of fewer common keys", "共同键更少时不显示结果")
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help=say("Print the plan and move nothing", "只打印计划，不传输任何数据"))
]
ForceOption = Annotated[bool, typer.Option("--force", help=say("Replace files that exist", "覆盖已存在的文件"))]

_SELECT = say(
    "What to compute, each with its own --select: count, rows, sum:COLUMN, mean:COLUMN, var:COLUMN, std:COLUMN, "
    "histogram:COLUMN:0,10,50, 'weighted_sum:OWN*COLUMN'; :customer at the end takes each customer's total as one value",
    "计算内容，每项一个 --select：count、rows、sum:列、mean:列、var:列、std:列、histogram:列:0,10,50、"
    "'weighted_sum:本方列*列'；末尾加 :customer 表示以每位客户的合计为一个值",
)
_GROUP_BY = say(
    "A group of the partner or an own column; own:NAME and theirs:NAME say which",
    "对方的分组或本方的列；own: 与 theirs: 指明哪一方",
)
_MEMBERSHIP = say(
    "hidden; owner: the partner may learn which of its customers match, and adds up in the clear; matcher: we may learn which of "
    "ours match, and add up encrypted",
    "hidden 隐藏；owner 对方可得知其哪些客户匹配，并以明文相加；matcher 本方可得知己方哪些客户匹配，并以密文相加",
)
_AGGREGATE_TO = say(
    "Who learns the result: receiver (this side), responder (the partner alone), or both",
    "谁获得结果：receiver（本方）、responder（仅对方）或 both",
)

_EXAMPLE = "psc {operation} courier/parcels --input orders.csv --key phone=mobile {more}--purpose delivery-reconciliation"


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    command(
        app,
        "match",
        say("Find which own rows match, with the partner's released columns", "找出匹配的本方行及对方提供的列"),
        epilog=_EXAMPLE.format(operation="match", more="--want status --output matched.parquet "),
    )(match)
    command(
        app,
        "count",
        say("Count the common keys, and nothing else", "只统计共同键的个数"),
        epilog=_EXAMPLE.format(operation="count", more=""),
    )(count)
    command(
        app,
        "aggregate",
        say("Sums, means and the like over shared customers, by groups", "对共同客户按分组求和、求均值等"),
        epilog=_EXAMPLE.format(operation="aggregate", more="--select count --select sum:fee --group-by city "),
    )(aggregate)


@dataclass(frozen=True, slots=True)
class _Written:
    """Where the rows of a result go."""

    output: Path | None
    unmask: bool


def match(
    cli: Cli,
    target: TargetArgument,
    source: InputOption,
    key: KeyOption,
    purpose: PurposeOption,
    or_key: OrKeyOption = None,
    want: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMNS", help=say("The partner's columns, with commas", "需要的对方列，逗号分隔")),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help=say("Where the rows go: .csv or .parquet", "结果文件：.csv 或 .parquet"))
    ] = None,
    protocol: Annotated[
        MatchProtocol,
        typer.Option("--protocol", help=say("auto takes the quicker one for the sizes", "auto 按规模选用较快的密码协议")),
    ] = MatchProtocol.auto,
    model: Annotated[
        MatchModel,
        typer.Option("--model", help=say("The partner that the match withstands", "匹配所能抵御的对方模型")),
    ] = MatchModel.auto,
    output_to: OutputToOption = OutputTo.receiver,
    on_bad: OnBadOption = OnBad.error,
    rejects: RejectsOption = None,
    minimum_result: MinimumOption = None,
    unmask: Annotated[
        bool, typer.Option("--unmask", help=say("Write own key columns in full; it is recorded", "完整写出本方键列；会被记录"))
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume",
            help=say("Go on with a large match that broke off, after the parts that were finished", "接续此前中断的大型匹配"),
        ),
    ] = True,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
) -> None:
    """Match own rows with a partner's dataset."""
    from psc.operations.requests import Match

    asked, on = parse_target(target), parse_any_of(key, or_key or ())
    if unmask and output is None:
        raise UsageError("cli.output-needed")
    _check_files(source, output, rejects, force=force)
    request = Match(
        _ahead(source),
        on=on,
        dataset=asked.dataset,
        want=parse_want(want or ()),
        protocol=protocol.value,
        model=model.value,
        purpose=purpose,
        output_to=output_to.value,
        on_bad=on_bad.value,
        rejects=rejects,
        minimum_result=minimum_result,
        resume=resume,
    )
    _run(cli, asked.partner, request, dry_run=dry_run, written=_Written(output, unmask))


def count(
    cli: Cli,
    target: TargetArgument,
    source: InputOption,
    key: KeyOption,
    purpose: PurposeOption,
    output_to: OutputToOption = OutputTo.receiver,
    on_bad: OnBadOption = OnBad.error,
    rejects: RejectsOption = None,
    minimum_result: MinimumOption = None,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
) -> None:
    """Count the keys in common with a partner's dataset."""
    from psc.operations.requests import Count

    asked, on = parse_target(target), parse_on(key)
    _check_files(source, None, rejects, force=force)
    request = Count(
        _ahead(source),
        on=on,
        dataset=asked.dataset,
        purpose=purpose,
        output_to=output_to.value,
        on_bad=on_bad.value,
        rejects=rejects,
        minimum_result=minimum_result,
    )
    _run(cli, asked.partner, request, dry_run=dry_run, written=_Written(None, unmask=False))


def aggregate(
    cli: Cli,
    target: TargetArgument,
    source: InputOption,
    key: KeyOption,
    purpose: PurposeOption,
    select: Annotated[list[str], typer.Option("--select", metavar="OUTPUT", help=_SELECT)],
    group_by: Annotated[list[str] | None, typer.Option("--group-by", metavar="COLUMN", help=_GROUP_BY)] = None,
    membership: Annotated[WhoMatches, typer.Option("--membership", help=_MEMBERSHIP)] = WhoMatches.hidden,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=say("Where the table goes: .csv or .parquet", "结果文件：.csv 或 .parquet")),
    ] = None,
    output_to: Annotated[AggregateOutputTo, typer.Option("--output-to", help=_AGGREGATE_TO)] = AggregateOutputTo.receiver,
    on_bad: OnBadOption = OnBad.error,
    rejects: RejectsOption = None,
    minimum_result: MinimumOption = None,
    minimum_group: Annotated[
        int | None,
        typer.Option("--minimum-group", metavar="N", min=0, help=say("Withhold groups of fewer customers", "隐去客户更少的分组")),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option("--engine", metavar="ID", help=say("The encryption that adds up hidden values", "对隐藏数值求和所用的加密")),
    ] = None,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
) -> None:
    """Compute sums over the customers in common with a partner's dataset."""
    from psc.engines import DEFAULT
    from psc.operations.requests import Aggregate

    asked, on = parse_target(target), parse_on(key)
    outputs, groups = parse_select(select), parse_group_by(group_by or ())
    if output is not None and output_to is AggregateOutputTo.responder:
        raise UsageError("cli.output-at-partner", partner=asked.partner)
    _check_files(source, output, rejects, force=force)
    request = Aggregate(
        _ahead(source),
        on=on,
        dataset=asked.dataset,
        purpose=purpose,
        select=outputs,
        group_by=groups,
        membership=membership.value,
        output_to=output_to.value,
        on_bad=on_bad.value,
        rejects=rejects,
        minimum_result=minimum_result,
        minimum_group=minimum_group,
        engine=engine or DEFAULT,
    )
    _run(cli, asked.partner, request, dry_run=dry_run, written=_Written(output, unmask=False))


def _check_files(source: str, output: Path | None, rejects: Path | None, *, force: bool) -> None:
    """Refuse files that could not be written, before anything is read or moved."""
    from psc.data.output import check_output

    for file in (output, rejects):
        if file is None:
            continue
        target = check_output(file)
        if "://" not in source and Path(source).exists() and target.exists() and target.samefile(source):
            raise UsageError("cli.output-is-input", file=str(file))
        check_new_file(target, force=force)
    if output is not None and rejects is not None and output.absolute() == rejects.absolute():
        raise UsageError("cli.output-twice", file=str(output))


def _ahead(source: str) -> object:
    """Return the own table, to be read while the partner is asked what it grants and modules load."""
    return source if "://" in source else ReadAhead(source)


def _run(cli: Cli, partner_name: str, request: Request, *, dry_run: bool, written: _Written) -> None:
    with cli.node() as node, _connected(cli, node, partner_name) as partner:
        if isinstance(request.source, ReadAhead):
            request.source.begin()
        with busy(cli, label("planning")):
            plan = partner.plan(request, announce=not dry_run)
        loaded()
        if dry_run:
            cli.answer(plan.to_dict(), *plan_shown(plan, node.name))
        if plan.refusal is not None:
            if not dry_run:
                cli.note(f"{label('own-side')}: {refused_own_side(plan)}")
            raise plan.refusal
        if dry_run:
            return
        if cli.verbose:
            cli.detail(*plan_shown(plan, node.name))
        elif plan.kept_note:
            cli.note(plan.kept_note)
        try:
            result = watched(cli, plan.run)
        except BaseException as error:
            if plan.kept is not None and plan.kept.chain and getattr(error, "code", "") != "node.kept-elsewhere":
                run = plan.kept.run
                cli.note(label("kept", finished=len(plan.kept.chain), shards=run.shards, until=run.until))
            raise
        if plan.shape is not None and plan.shape.finished and result.receipt.receipt.resumed is None:
            cli.note(label("kept-no-more", partner=partner_name))
        _finish(cli, node, plan, result, written)


@contextlib.contextmanager
def _connected(cli: Cli, node: Node, partner_name: str) -> Iterator[Partner]:
    with busy(cli, label("connecting", partner=partner_name)):
        partner = node.connect(partner_name)
    with partner:
        yield partner


def _finish(cli: Cli, node: Node, plan: Plan, result: Result, written: _Written) -> None:
    from psc.node.unmasking import record_unmasking
    from psc.operations.results import ROWS_CUT, AggregateResult, MatchResult

    document = result.to_dict() | {
        "partner": plan.partner,
        "dataset": plan.dataset,
        "purpose": plan.request.purpose,
        "rejected": plan.rejected,
    }
    output = None if written.output is None else str(written.output)
    table: pa.Table | None = None
    columns: list[str] = []
    if isinstance(result, MatchResult):
        from psc.cli.masks import masked

        kinds = kinds_of_columns(plan)
        whole = written.output is not None and not written.unmask  # else only what is shown is masked
        table = masked(result.table if whole else result.table.slice(0, PREVIEW_ROWS), kinds)
        if written.unmask and written.output is not None:
            record_unmasking(node.home, result.run_id, written.output, result.table.num_rows)
        _write(result.table if written.unmask else table, written)
        document |= {"output": output, "unmasked": written.unmask}
        # Only keys and what the partner released: a terminal is read over shoulders, and other own columns are known here.
        added = (1 if result.alternatives else 0) + (len(plan.released) + 1 if plan.released else 0)
        own = len(result.table.column_names) - added
        columns = [*kinds, *(name for name in result.table.column_names[own:] if name != ROWS_CUT)]
    elif isinstance(result, AggregateResult):
        if result.table is not None:
            _write(result.table, written)
        document |= {"output": output}
    if cli.as_json:  # nothing else is shown, so it is not made
        cli.answer(document)
        return
    cli.answer(document, *result_shown(result, plan, own_name=node.name, output=output, columns=columns, table=table))


def _write(table: pa.Table, written: _Written) -> None:
    from psc.data.output import write_table

    if written.output is not None:
        write_table(table, written.output)
