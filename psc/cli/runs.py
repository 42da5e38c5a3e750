"""``psc runs list | show | export | cancel``: what was run, its receipts, and results that partners' runs delivered here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from psc.cli.aggregates import groups_shown, receipt_rows
from psc.cli.base import Cli, command, group, say
from psc.cli.setup import check_new_file, write_text
from psc.cli.show import bullets, bytes_text, facts, label, listing, number_text, seconds_text, wraps
from psc.errors import AuditError, UsageError
from psc.texts import language

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from rich.console import RenderableType

    from psc.audit.receipt import ResumedRun, SignedReceipt, VerifiedReceipt
    from psc.node.home import Home
    from psc.node.kept import KeptRun
    from psc.node.runs import RunRecord

__all__ = ["register"]

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help=say("A run id, or its first characters", "运行编号或其开头几位"))]
_RUN_OR_FILE = say("A run id, its first characters, or a receipt file", "运行编号、其开头几位，或回执文件")
_VERIFY = say(
    "Check both signatures against the pinned cards; any home that pins both will do",
    "按已固定的名片核验双方签名；任何固定了双方名片的节点均可",
)
_RECEIPT = say("Write the receipt signed by both", "写出双方签名的回执")
_OUTPUT = say("Write a result that the partner's run delivered here (.csv or .parquet)", "写出对方运行交付到本节点的结果")
_UNMASK = say("Write key columns in full; it is recorded", "完整写出键列；会被记录")

Status = Literal["running", "finished", "failed", "refused", "cancelled"]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    sub = group(
        app, "runs", say("Runs, their receipts, and results delivered to this node", "运行记录、回执以及交付到本节点的结果")
    )
    command(sub, "list", say("List runs, the newest first", "列出运行，最新在前"))(list_all)
    command(sub, "show", say("Show a run or a receipt; --verify checks it", "显示运行或回执；--verify 进行核验"))(show)
    command(sub, "export", say("Write a run's receipt or delivered result to a file", "把运行的回执或所交付的结果写入文件"))(
        export
    )
    command(sub, "cancel", say("Stop a running run", "停止进行中的运行"))(cancel)


def list_all(
    cli: Cli,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help=say("At most so many", "最多条数"))] = 20,
    status: Annotated[Status | None, typer.Option(help=say("Only runs in this status", "只列此状态"))] = None,
) -> None:
    """List runs."""
    from psc.node.kept import drop_old, kept_runs
    from psc.node.runs import list_runs, mark_interrupted

    with cli.home() as home:
        mark_interrupted(home)
        drop_old(home)
        records, kept = list_runs(home, limit=limit, status=status), kept_runs(home)
    document = {"runs": [_document(record) | _kept(kept, record) for record in records]}
    if not records:
        cli.answer(document, wraps(label("runs-none")))
        return
    columns = [label(name) for name in ("run", "started-utc", "what", "status", "time")]
    rows = []
    for record in records:
        what = label(f"run-line-{record.direction}", operation=record.operation, partner=record.partner, dataset=record.dataset)
        started = record.started_at[:16].replace("T", " ")
        said = label(f"run-{record.status}")
        if record.run_id in kept and record.status != "running":
            run, finished = kept[record.run_id]
            said += f" ({finished}/{run.shards})"
        rows.append([record.run_id, started, what, said, seconds_text(record.seconds)])
    cli.answer(document, listing(columns, rows, right=columns[-1:], whole=columns[:1]))


def show(
    cli: Cli,
    run: Annotated[str, typer.Argument(metavar="RUN|FILE", help=_RUN_OR_FILE)],
    verify: Annotated[bool, typer.Option("--verify", help=_VERIFY)] = False,
) -> None:
    """Show a run or a receipt file."""
    from psc.node.kept import kept_runs
    from psc.node.runs import get_run, receipt_of
    from psc.node.trust import known_identities
    from psc.node.unmasking import unmaskings_of

    record: RunRecord | None = None
    delivered: pa.Table | None = None
    kept: dict[str, tuple[KeptRun, int]] = {}
    unmaskings: list[dict[str, object]] = []
    signed: SignedReceipt | None
    with cli.home() as home:
        if _is_file(run):
            signed = _read_receipt(Path(run))
        else:
            run_id = _full_id(home, run)
            record, kept = get_run(home, run_id), kept_runs(home)
            unmaskings = unmaskings_of(home, run_id)
            delivered = _delivered_groups(home, record)
            stored = receipt_of(home, run_id)
            signed = None if stored is None else _parse_receipt(stored.encode(), run_id)
            if signed is not None and signed.receipt.run_id != run_id:
                raise AuditError("cli.receipt-other-run", run=run_id, other=signed.receipt.run_id)
            if verify and signed is None:
                raise AuditError("cli.receipt-missing", run=run_id, status=record.status)
        agreement = None if signed is None else _agreement_id(home, signed.receipt.agreement_digest)
        verified = _verified(signed, known_identities(home)) if verify and signed is not None else None
    document: dict[str, object] = {}
    if record is not None:
        document = {"run": _document(record) | _kept(kept, record), "unmasked": unmaskings}
    document["agreement"] = agreement
    document["receipt"] = None if signed is None else signed.receipt.model_dump(mode="json")
    if verified is not None:
        document["verified"] = {"initiator": verified.initiator, "responder": verified.responder}
    told = [(label("unmasked"), label("unmasked-text", when=entry["at"], file=entry["file"])) for entry in unmaskings]
    parts: list[RenderableType] = [] if record is None else [facts([*_record_facts(record), *_kept_facts(kept, record), *told])]
    if delivered is not None:
        parts += ["", *groups_shown(delivered)]
    cli.answer(document, *parts, *_receipt_shown(signed, verified, agreement))


def export(
    cli: Cli,
    run: RunArgument,
    receipt: Annotated[Path | None, typer.Option(metavar="FILE", help=_RECEIPT)] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help=_OUTPUT)] = None,
    unmask: Annotated[bool, typer.Option("--unmask", help=_UNMASK)] = False,
    force: Annotated[bool, typer.Option("--force", help=say("Replace files that exist", "覆盖已存在的文件"))] = False,
) -> None:
    """Write a receipt or a delivered result."""
    from psc.data.output import check_output
    from psc.node.runs import get_run, receipt_of

    if receipt is None and output is None:
        raise UsageError("cli.export-what")
    if unmask and output is None:
        raise UsageError("cli.output-needed")
    for file in (receipt, output):
        if file is not None:
            check_new_file(file, force=force)
    if output is not None:
        check_output(output)
    written = {}
    with cli.home() as home:
        run_id = _full_id(home, run)
        record = get_run(home, run_id)
        if receipt is not None:
            stored = receipt_of(home, run_id)
            if stored is None:
                raise AuditError("cli.receipt-missing", run=run_id, status=record.status)
            write_text(receipt, stored)
            written["receipt"] = str(receipt)
        if output is not None:
            _export_result(home, record, output, unmask=unmask)
            written["result"] = str(output)
    rows = [(label(name), path) for name, path in written.items()]
    cli.answer({"run_id": run_id, **written, "unmasked": unmask}, facts(rows))


def cancel(cli: Cli, run: RunArgument) -> None:
    """Ask a running run to stop."""
    from psc.node.runs import request_cancel

    with cli.home() as home:
        record = request_cancel(home, _full_id(home, run))
    cli.answer({"run_id": record.run_id, "cancel_requested": True}, wraps(label("cancel-requested", run=record.run_id)))


def _export_result(home: Home, record: RunRecord, output: Path, *, unmask: bool) -> None:
    from psc.cli.masks import masked
    from psc.data.output import write_table
    from psc.data.table import load
    from psc.node.datasets import get_dataset
    from psc.node.runs import result_of
    from psc.node.unmasking import record_unmasking

    path = result_of(home, record.run_id)
    if path is None:
        raise UsageError("cli.result-missing", run=record.run_id)
    table = load(path).table
    if record.operation == "match" and unmask:
        record_unmasking(home, record.run_id, output, table.num_rows)
    elif record.operation == "match":
        kinds = {key.column: key.kind for key in get_dataset(home, record.dataset).keys}
        table = masked(table, kinds)
    write_table(table, output)


def _delivered_groups(home: Home, record: RunRecord) -> pa.Table | None:
    """Return the table of an aggregate that was delivered here and is still there; a match's rows go to files alone."""
    from psc.data.table import load

    if record.operation != "aggregate" or not record.result:
        return None
    path = home.results_folder / record.result
    return load(path).table if path.is_file() else None


def _is_file(run: str) -> bool:
    return any(mark in run for mark in "/\\.") or Path(run).is_file()


def _read_receipt(path: Path) -> SignedReceipt:
    from psc.node.files import storage_errors

    if not path.is_file():
        raise UsageError("cli.receipt-file-missing", file=str(path))
    with storage_errors(path):
        data = path.read_bytes()
    return _parse_receipt(data, path.name)


def _parse_receipt(data: bytes, name: str) -> SignedReceipt:
    from psc.audit.receipt import SignedReceipt

    return SignedReceipt.parse(data, file=name)


def _verified(signed: SignedReceipt, known: Any) -> VerifiedReceipt:
    from psc.audit.receipt import verify_receipt

    return verify_receipt(signed, known)


def _full_id(home: Home, start: str) -> str:
    """Return the id that begins as typed, when exactly one does; else what was typed, for the error that names it."""
    from psc.node.runs import list_runs

    if len(start) < 4:
        return start
    found = [record.run_id for record in list_runs(home) if record.run_id.startswith(start)]
    return found[0] if len(found) == 1 else start


def _record_facts(record: RunRecord) -> list[tuple[str, RenderableType]]:
    rows: list[tuple[str, RenderableType]] = [
        (label("run"), record.run_id),
        (label("direction"), label(f"direction-{record.direction}", partner=record.partner)),
        (label("what"), f"{record.operation} {record.dataset} · {record.protocol or '–'}"),
        (label("purpose"), record.purpose),
        (label("status"), label(f"run-{record.status}") + (f" ({record.code})" if record.code else "")),
        (label("sizes"), label("sizes-text", own=number_text(record.own_size), partner=number_text(record.partner_size))),
        (label("moved"), label("moved-text", sent=bytes_text(record.bytes_sent), received=bytes_text(record.bytes_received))),
        (label("time"), f"{record.started_at} · {seconds_text(record.seconds)}"),
    ]
    if record.result:
        rows.append((label("result"), label("result-delivered", run=record.run_id)))
    return rows


def _agreement_id(home: Home, digest: str) -> str | None:
    """Return the id of the agreement that a receipt binds by its digest, when this home has it."""
    from psc.policy.agreements import list_agreements

    return next((stored.signed.agreement.id for stored in list_agreements(home) if stored.signed.digest == digest), None)


def _receipt_shown(signed: SignedReceipt | None, verified: VerifiedReceipt | None, agreement: str | None) -> list[RenderableType]:
    if signed is None:
        return []
    receipt = signed.receipt
    rows: list[tuple[str, RenderableType]] = [
        (label("run"), receipt.run_id),
        (
            label("what"),
            f"{receipt.operation} {receipt.dataset} · {receipt.protocol}/{receipt.protocol_version} · {receipt.suite}",
        ),
        (label("purpose"), receipt.purpose),
        (label("initiator"), f"{receipt.initiator.name} · {receipt.initiator.identity[:16]}…"),
        (label("responder"), f"{receipt.responder.name} · {receipt.responder.identity[:16]}…"),
        (
            label("sizes"),
            " · ".join(
                f"{number_text(mine)} / {number_text(theirs)}"
                for mine, theirs in zip(receipt.initiator_sizes_padded, receipt.responder_sizes_padded, strict=True)
            ),
        ),
        (label("key-columns"), " · ".join(", ".join(f"{key.name}:{key.kind}" for key in keys) for keys in receipt.keys)),
        (label("released"), ", ".join(column.name for column in receipt.released) or "–"),
        *(() if receipt.aggregate is None else receipt_rows(receipt.aggregate, receipt.noise)),
        (label("output-to"), label(f"output-{receipt.output_to}")),
        (label("agreement"), agreement or label("agreement-not-here")),
        (label("agreement-digest"), receipt.agreement_digest),
        (label("accepted-at"), receipt.accepted_at),
        *(() if receipt.resumed is None else ((label("resumes"), _resumed_text(receipt.resumed)),)),
        *((label("self-rule"), rule) for rule in receipt.self_rules),
    ]
    shown: list[RenderableType] = ["", facts(rows, title=label("receipt"))]
    if language() == "zh":
        shown += ["", wraps(label("leakage-in-english"))]
    for side in ("initiator", "responder"):
        learned = getattr(receipt.leakage, side)
        name = getattr(receipt, side).name
        shown += ["", label("learned", name=name), bullets(learned)]
    if verified is not None:
        shown += ["", wraps("✓ " + label("receipt-verified", initiator=verified.initiator, responder=verified.responder))]
    else:
        shown += ["", wraps(label("receipt-unverified"))]
    return shown


def _resumed_text(resumed: ResumedRun) -> str:
    return label("resumed", finished=number_text(resumed.finished), run=resumed.run_id, attempt=number_text(resumed.attempt))


def _kept(kept: Mapping[str, tuple[KeptRun, int]], record: RunRecord) -> dict[str, object]:
    """Return what is kept of a run that broke off, for machines."""
    if record.run_id not in kept:
        return {}
    run, finished = kept[record.run_id]
    return {"kept": {"first_run_id": run.run_id, "finished_shards": finished, "shards": run.shards, "until": run.until}}


def _kept_facts(kept: Mapping[str, tuple[KeptRun, int]], record: RunRecord) -> list[tuple[str, RenderableType]]:
    if record.run_id not in kept:
        return []
    run, finished = kept[record.run_id]
    return [(label("kept-parts"), label("kept-parts-text", finished=finished, shards=run.shards, until=run.until))]


def _document(record: RunRecord) -> dict[str, object]:
    return record.model_dump(mode="json", exclude={"process"})
