"""``psc dataset check | add | list | show | remove``: the tables that this node answers questions about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psc.cli.base import Cli, command, group, say
from psc.cli.options import OnBad
from psc.cli.show import bullets, facts, label, lines, listing, number_text, wraps

if TYPE_CHECKING:
    from rich.console import RenderableType

    from psc.data.check import CheckReport
    from psc.data.rejects import RejectSummary
    from psc.node.records import DatasetRecord

__all__ = ["register", "rejected_table"]

KeyOption = Annotated[
    list[str],
    typer.Option(
        "--key",
        metavar="NAME=COLUMN:KIND",
        help=say(
            "A key: its name, the column, its kind (phone, email, idcard, waybill, text, integer); several make a composite key",
            "键：名称、列、类型（phone、email、idcard、waybill、text、integer）；多个构成组合键",
        ),
    ),
]
_RELEASE = say(
    "A column that an agreement may release; text needs its width in bytes", "授权协议可以提供的列；text 须写明字节宽度"
)
ValueOption = Annotated[
    list[str] | None,
    typer.Option(
        "--value",
        metavar="NAME[=COLUMN]:TYPE:LOW..HIGH",
        help=say(
            "A column of numbers for aggregates: int64:0..1000, or decimal:2:0..999.99 with decimals; :clip at the end counts "
            "values outside as the end of the range",
            "用于汇总的数值列：int64:0..1000，或带小数位数的 decimal:2:0..999.99；末尾加 :clip 时超出的值按范围端点计算",
        ),
    ),
]
GroupOption = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        metavar="NAME[=COLUMN]",
        help=say("A column that may group aggregates; one label for each key", "可用于分组汇总的列；每个键只有一个标签"),
    ),
]
_ROWS = say("Rows of one key that are released at most (a public number)", "每个键最多提供的行数（公开数字）")
_ON_BAD = say("What a bad key cell does: error stops, skip leaves its row out", "遇到不合格键单元格：error 停止，skip 略过该行")
_REJECTS = say(
    "A .csv or .parquet file that gets every rejected row with its reason", "记录每个被拒绝行及原因的 .csv 或 .parquet 文件"
)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    sub = group(app, "dataset", say("Tables that this node answers questions about", "本节点用于应答的数据表"))
    command(sub, "check", say("See what the key cells of a file are, before any partner exists", "检查文件中的键单元格"))(check)
    command(
        sub,
        "add",
        say("Register a dataset at a frozen version", "登记数据集并固定其版本"),
        epilog="psc dataset add parcels --source parcels.parquet --key phone=mobile:phone --release status:text:16",
    )(add)
    command(sub, "list", say("List the registered datasets", "列出已登记的数据集"))(list_all)
    command(sub, "show", say("Show one dataset", "显示一个数据集"))(show)
    command(sub, "remove", say("Forget a dataset; its file is not touched", "移除数据集登记；不触及其文件"))(remove)


def check(
    cli: Cli,
    file: Annotated[str, typer.Argument(metavar="FILE", help=say("CSV, Parquet, folder or URL", "CSV、Parquet、目录或 URL"))],
    key: KeyOption,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="CC", help=say("Region of numbers without country code [the home's, else CN]", "无国家码号码所属地区")
        ),
    ] = None,
    value: ValueOption = None,
    group_column: GroupOption = None,
) -> None:
    """Report on key cells, values and groups; needs no node."""
    from psc.data.check import check_keys
    from psc.data.table import load
    from psc.node.home import STORE_FILE
    from psc.node.specs import parse_group, parse_key, parse_value

    if region is None and (cli.path / STORE_FILE).is_file():
        with cli.home() as home:
            region = home.settings.region
    uses = [parse_key(spec) for spec in key]
    values, groups = [parse_value(spec) for spec in value or ()], [parse_group(spec) for spec in group_column or ()]
    columns = dict.fromkeys([use.column for use in uses] + [use.column for use in values] + [use.column for use in groups])
    report = check_keys(load(file, list(columns)), uses, region=region or "CN", values=values, groups=groups)
    cli.answer(report.to_dict(), *_report(report))


def add(
    cli: Cli,
    name: Annotated[str, typer.Argument(help=say("What partners will call it", "合作方使用的名称"))],
    source: Annotated[
        str,
        typer.Option(metavar="FILE", help=say("CSV, Parquet, folder or URL; read again for each run", "每次运行都会重新读取")),
    ],
    key: KeyOption,
    release: Annotated[list[str] | None, typer.Option(metavar="NAME[=COLUMN]:TYPE[:WIDTH]", help=_RELEASE)] = None,
    value: ValueOption = None,
    group_column: GroupOption = None,
    max_rows_per_key: Annotated[int, typer.Option(metavar="N", help=_ROWS)] = 1,
    on_bad: Annotated[OnBad, typer.Option(help=_ON_BAD)] = OnBad.error,
    rejects: Annotated[Path | None, typer.Option(metavar="FILE", help=_REJECTS)] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help=say("Take the place of a dataset of this name", "替换同名数据集"))
    ] = False,
) -> None:
    """Register a dataset."""
    from psc.node.datasets import add_dataset

    with cli.home() as home:
        record = add_dataset(
            home,
            name,
            source=source,
            keys=key,
            release=release or (),
            values=value or (),
            groups=group_column or (),
            max_rows_per_key=max_rows_per_key,
            on_bad=on_bad.value,
            rejects=rejects,
            replace=replace,
        )
    cli.answer(_document(record), facts(_facts(record)), *_cut_warning(record))


def list_all(cli: Cli) -> None:
    """List the registered datasets."""
    from psc.node.datasets import list_datasets

    with cli.home() as home:
        records = list_datasets(home)
    document = {"datasets": [_document(record) for record in records]}
    if not records:
        cli.answer(document, wraps(label("datasets-none")))
        return
    keys, rows = label("keys"), label("rows")
    columns = [label("dataset"), rows, keys, label("key-columns"), label("releasable"), label("registered-at")]
    cells = [
        [r.name, number_text(r.row_count), number_text(r.key_count), _keys(r), _names(r.release), r.registered_at]
        for r in records
    ]
    cli.answer(document, listing(columns, cells, right=[keys, rows]))


def show(cli: Cli, name: Annotated[str, typer.Argument(help=say("The dataset", "数据集"))]) -> None:
    """Show one dataset."""
    from psc.node.datasets import get_dataset

    with cli.home() as home:
        record = get_dataset(home, name)
    cli.answer(_document(record), facts(_facts(record)), *_cut_warning(record))


def remove(cli: Cli, name: Annotated[str, typer.Argument(help=say("The dataset", "数据集"))]) -> None:
    """Forget a dataset."""
    from psc.node.datasets import remove_dataset
    from psc.policy.agreements import list_agreements

    with cli.home() as home:
        remove_dataset(home, name)
        named = [
            stored.signed.agreement.id
            for stored in list_agreements(home)
            if stored.ours and stored.signed.agreement.terms_of(name) is not None and not stored.signed.revocations
        ]
    shown = [wraps(label("dataset-removed", name=name))]
    if named:
        shown.append(wraps(label("dataset-removed-agreements", ids=", ".join(named))))
    cli.answer({"removed": name, "agreements_naming_it": named}, *shown)


def rejected_table(rejected: RejectSummary) -> RenderableType:
    """Return the rejected rows by class, with their first places and masked cells."""
    from psc.texts import language, lookup

    chinese = language() == "zh"
    count = label("rows")
    rows: list[list[RenderableType]] = []
    for found in rejected.classes:
        text = lookup(f"data.class.{found.name}")
        places = [
            label("reject-place", row=row.row, value=row.masked or "–")
            if row.line is None
            else label("reject-place-line", row=row.row, line=row.line, value=row.masked or "–")
            for row in found.examples
        ]
        more = ["…"] if found.count > len(places) else []
        rows.append([found.name, number_text(found.count), text.zh if chinese else text.en, lines([*places, *more])])
    return listing([label("class"), count, label("why"), label("first-rows")], rows, right=[count])


def _report(report: CheckReport) -> list[RenderableType]:
    rejected = report.rejected.total
    by_key = [_key_of(each.name, each.keys, each.rows_without) for each in report.keys]
    rows: list[tuple[str, RenderableType]] = [
        (label("file"), report.source),
        (label("rows"), number_text(report.rows_total)),
        (label("rows-usable"), number_text(report.rows_usable)),
        (label("rows-rejected"), number_text(rejected)),
        (label("keys"), number_text(report.key_count)),
        *([(label("by-key"), lines(by_key))] if by_key else []),
        (label("keys-repeated"), number_text(report.keys_repeated)),
        (label("rows-per-key"), _spread(report)),
    ]
    for value in report.values:
        span = label("check-value", numbers=number_text(value.numbers), nulls=number_text(value.nulls))
        if value.least is not None:
            span += label("check-value-span", least=value.least, greatest=value.greatest)
        if value.outside:
            span += label("check-value-outside", count=number_text(value.outside), range=value.range)
        if value.bad:
            span += label(
                "check-value-bad",
                not_numbers=number_text(value.not_numbers),
                not_whole=number_text(value.not_whole),
                imprecise=number_text(value.imprecise),
            )
        rows.append((label("value-named", name=value.name), span))
    for found in report.groups:
        said = label("check-group", groups=number_text(found.groups))
        if found.nulls or found.keys_in_two:
            said += label("check-group-bad", nulls=number_text(found.nulls), keys=number_text(found.keys_in_two))
        rows.append((label("group-named", name=found.name), said))
    shown: list[RenderableType] = [facts(rows)]
    if rejected:
        shown += ["", rejected_table(report.rejected)]
    if report.notes:
        shown += ["", bullets(_note(note, virtual=report.virtual_operator_rows) for note in report.notes)]
    return shown


def _note(code: str, **fields: object) -> str:
    from psc.texts import render

    return render(code, fields)


def _spread(report: CheckReport) -> str:
    ranges = []
    for least, most, keys in report.rows_per_key:
        span = f"{least}+" if most is None else str(least) if most == least else f"{least}–{most}"
        ranges.append(label("spread", span=span, keys=number_text(keys)))
    return " · ".join(ranges) or "–"


def _facts(record: DatasetRecord) -> list[tuple[str, RenderableType]]:
    rows: list[tuple[str, RenderableType]] = [
        (label("dataset"), record.name),
        (label("source"), record.source),
        (label("rows"), number_text(record.row_count)),
        (label("rows-rejected"), f"{number_text(record.rows_rejected)} (on-bad {record.on_bad})"),
        (label("keys"), lines(_key_counts(record)) if len(record.keys) > 1 else number_text(record.key_count)),
        (label("key-columns"), _keys(record)),
        (label("releasable"), ", ".join(_column(c.name, c.column, f"{c.type}:{c.width_bytes}") for c in record.release) or "–"),
        (label("terms-values"), lines(_values(record)) if record.values else "–"),
        (label("terms-groups"), lines(_groups(record)) if record.groups else "–"),
    ]
    most = label("rows-per-key-bound", bound=record.max_rows_per_key, most=number_text(record.most_rows_per_key))
    return [
        *rows,
        (label("rows-per-key"), most),
        (label("version"), f"{record.version[:16]}…"),
        (label("rules"), f"{record.rules} · {record.region}"),
        (label("registered-at"), record.registered_at),
    ]


def _cut_warning(record: DatasetRecord) -> list[RenderableType]:
    if not record.release or record.most_rows_per_key <= record.max_rows_per_key:
        return []
    return [wraps(label("rows-will-be-cut", bound=record.max_rows_per_key, most=record.most_rows_per_key))]


def _values(record: DatasetRecord) -> list[str]:
    """Return a line a value: its declaration, and what registration counted."""
    shown = []
    for value, counted in zip(record.values, record.value_counts):
        scale = f":{value.scale}" if value.type == "decimal" else ""
        span = str(value.value).rpartition(":")[2]
        declared = _column(value.name, value.column, f"{value.type}{scale}:{span}{':clip' if value.clip else ''}")
        nulls = label("value-nulls", count=number_text(counted.nulls)) if counted.nulls else ""
        clipped = label("value-clipped", count=number_text(counted.clipped)) if counted.clipped else ""
        shown.append(declared + nulls + clipped)
    return shown


def _groups(record: DatasetRecord) -> list[str]:
    columns = {group.name: group.column for group in record.groups}
    return [
        _column(group.name, columns[group.name]) + label("group-labels", count=number_text(group.groups))
        for group in record.group_columns
    ]


def _key_counts(record: DatasetRecord) -> list[str]:
    """Return a line a choice of keys, single keys first: how many distinct keys it has, and how many rows have it not."""
    choices = sorted(record.counts, key=lambda found: len(found.keys))
    return [_key_of("+".join(found.keys), found.count, found.rows_rejected) for found in choices]


def _key_of(key: str, count: int, without: int) -> str:
    return label("keys-of", key=key, keys=number_text(count), without=number_text(without))


def _keys(record: DatasetRecord) -> str:
    return ", ".join(_column(key.name, key.column, key.kind) for key in record.keys)


def _column(name: str, column: str, kind: str = "") -> str:
    head = name if name == column else f"{name}={column}"
    return f"{head}:{kind}" if kind else head


def _names(entries: tuple[object, ...]) -> str:
    return ", ".join(str(getattr(entry, "name", "")) for entry in entries) or "–"


def _document(record: DatasetRecord) -> dict[str, object]:
    """Return what machines read: the record without its salt, which must not leave the home's store."""
    content: dict[str, object] = record.model_dump(mode="json", exclude={"salt", "layout"})
    return {**content, "key_count": record.key_count}
