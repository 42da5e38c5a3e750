"""``psc demo``: the main job on made-up data, with two homes and the courier's server in a process of its own.

The story uses what the commands use: homes, cards, a dataset, a signed agreement, ``psc serve``, a plan, then a match, a count
and an aggregate over mutual TLS, receipts that a third home verifies. The answers are compared with a plain join that knows
nothing of psc.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from psc.cli.aggregates import asked_text, float_decimals, groups_shown
from psc.cli.base import Cli, command, say
from psc.cli.plans import kinds_of_columns, learned, plan_shown
from psc.cli.progress import watched
from psc.cli.show import bytes_text, facts, label, listing, number_text, preview, seconds_text, wraps
from psc.errors import StorageError, TransportError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from rich.console import RenderableType

    from psc.operations.plan import Plan
    from psc.operations.requests import Aggregate, Request
    from psc.operations.results import AggregateResult, CountResult, MatchResult, Result

__all__ = ["register"]

_ROWS, _ROWS_LOW, _ROWS_HIGH = 20_000, 200, 2_000_000
_SEED = 1
_PURPOSE = "delivery-reconciliation"
_ROWS_PER_KEY = 8
_ROWS_OF_A_CUSTOMER = 32
_RELEASE = ("status:text:16", "weight:float64")
_WANT = ("status", "weight")
_VALUES = ("paid:decimal:2:0..100",)
_GROUP = "city"
_SMALL_GROUP = 3
_START_SECONDS, _STOP_SECONDS = 60.0, 20.0
_PREVIEW_ROWS = 8


@dataclass(frozen=True, slots=True)
class _Stage:
    """The two parties on this machine."""

    folder: Path
    merchant: Path
    courier: Path
    auditor: Path
    orders: Path
    parcels: Path
    address: str


@dataclass(frozen=True, slots=True)
class _Expected:
    """What a plain join gives.

    Attributes:
        pairs: pairs of an order and a parcel.
        common: the number of common keys.
        least: that of the smaller set's keys.
        spent: by city the shared customers, and sum and mean of what they paid.
        least_group: smaller groups must be withheld.
    """

    pairs: pd.DataFrame
    common: int
    least: int
    spent: pd.DataFrame
    least_group: int


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    command(app, "demo", say("Run the main job on made-up data and check the answers", "用虚构数据演示主要流程并核对答案"))(demo)


def demo(
    cli: Cli,
    rows: Annotated[int, typer.Option(metavar="N", help=say("Rows of each party", "每方行数"))] = _ROWS,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help=say("Keep everything in this new folder", "将全部内容保留在此新目录")),
    ] = None,
) -> None:
    """Run the demo."""
    if not _ROWS_LOW <= rows <= _ROWS_HIGH:
        raise UsageError("cli.demo-rows", rows=rows, low=_ROWS_LOW, high=_ROWS_HIGH)
    with _folder(folder) as base, _own_settings_only():
        _tell(cli, label("demo-setting-up", rows=number_text(rows)))
        stage, expected = _set_up(base, rows)
        with _server(stage) as first_line:
            _tell(cli, label("demo-serving", address=first_line["listening"]))
            runs = _ask(cli, stage)
        _check(runs, expected)
        verified = _verify_elsewhere(stage, [result.run_id for _, result in runs])
        cli.answer(
            _document(stage, runs, verified, kept=folder is not None),
            *_shown(stage, runs, verified, kept=folder is not None),
        )


@contextlib.contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="psc-demo-") as made:
            yield Path(made)
        return
    if wanted.exists() and (not wanted.is_dir() or any(wanted.iterdir())):
        raise UsageError("cli.demo-folder", folder=str(wanted))
    try:
        wanted.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError("node.path-unusable", path=str(wanted), problem=error.strerror or type(error).__name__) from None
    yield wanted.absolute()


@contextlib.contextmanager
def _own_settings_only() -> Iterator[None]:
    """Take away variables that override settings (``PSC_ADDRESS``, …): they are meant for the user's node, not for these."""
    kept = {"PSC_LANG", "PSC_DEBUG", "PSC_THREADS", "PSC_BACKEND"}
    taken = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PSC_") and name not in kept}
    try:
        yield
    finally:
        os.environ.update(taken)


def _set_up(base: Path, rows: int) -> tuple[_Stage, _Expected]:
    from psc.data.output import write_table
    from psc.policy.agreement import MIN_GROUP, MIN_INPUT, MIN_RESULT
    from psc.testing.madeup import courier_parcels, merchant_orders

    orders, parcels = merchant_orders(rows, _SEED), courier_parcels(rows, _SEED)
    stage = _Stage(
        folder=base,
        merchant=base / "merchant",
        courier=base / "courier",
        auditor=base / "auditor",
        orders=base / "orders.csv",
        parcels=base / "parcels.parquet",
        address=f"127.0.0.1:{_free_port()}",
    )
    write_table(orders, stage.orders)
    write_table(parcels, stage.parcels)
    expected = _expect(orders, parcels)
    small = expected.least < MIN_INPUT or expected.common < MIN_RESULT
    _make_homes(stage, small=small)
    return stage, replace(expected, least_group=_SMALL_GROUP if small else MIN_GROUP)


def _expect(orders: pa.Table, parcels: pa.Table) -> _Expected:
    from psc.testing.madeup import ORDER_PHONE, PARCEL_PHONE, plain_join, plain_keys, plain_shared

    pairs = plain_join(orders, parcels, want=_WANT, max_rows_per_key=_ROWS_PER_KEY)
    theirs, ours = set(plain_keys(parcels, PARCEL_PHONE).dropna()), set(plain_keys(orders, ORDER_PHONE).dropna())
    shared = plain_shared(orders, parcels).groupby(_GROUP)
    spent = shared.agg(customers=("key", "nunique"), total=("paid", "sum"), payments=("paid", "count"))
    return _Expected(pairs, len(ours & theirs), min(len(ours), len(theirs)), spent, 0)


def _make_homes(stage: _Stage, *, small: bool) -> None:
    """Make both homes, exchange cards, register the parcels, and hand the courier's signed grant to the merchant."""
    from psc.cli.setup import write_text
    from psc.node.datasets import add_dataset
    from psc.node.home import Home
    from psc.node.own import own_card
    from psc.node.trust import trust
    from psc.policy.agreements import import_file, sign
    from psc.policy.propose import Offer, propose
    from psc.testing.madeup import PARCEL_PHONE

    cards = {name: stage.folder / f"{name}.card.json" for name in ("merchant", "courier")}
    grant_file = stage.folder / "parcels.agreement.json"
    # A small table would be refused by the default least sizes; the demo then agrees on smaller ones.
    offer = Offer(
        "parcels",
        ("match", "count", "aggregate"),
        release=_WANT,
        values=[spec.split(":")[0] for spec in _VALUES],
        groups=[_GROUP],
        max_rows_per_key=_ROWS_PER_KEY,
    )
    if small:
        offer = replace(offer, min_input=10, min_result=1, min_group=_SMALL_GROUP)
    with (
        Home.create(stage.merchant, "merchant") as merchant,
        Home.create(stage.courier, "courier", listen=stage.address, address=stage.address) as courier,
        Home.create(stage.auditor, "auditor") as auditor,
    ):
        write_text(cards["merchant"], own_card(merchant).to_json())
        write_text(cards["courier"], own_card(courier).to_json())
        trust(merchant, cards["courier"])
        trust(courier, cards["merchant"])
        for card in cards.values():
            trust(auditor, card)
        add_dataset(
            courier,
            "parcels",
            source=stage.parcels,
            keys=[f"phone={PARCEL_PHONE}:phone"],
            release=_RELEASE,
            values=_VALUES,
            groups=[_GROUP],
            max_rows_per_key=_ROWS_OF_A_CUSTOMER,
            on_bad="skip",
            rejects=stage.folder / "parcels.rejects.csv",
        )
        draft = propose(courier, partner="merchant", offers=[offer], purpose=[_PURPOSE])
        grant = sign(courier, draft.signed.agreement.id)
        write_text(grant_file, grant.signed.to_json())
        import_file(merchant, grant_file)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def _server(stage: _Stage) -> Iterator[dict[str, object]]:
    """Run ``psc serve`` for the courier in a process of its own; give its first line."""
    log = stage.folder / "courier.log"
    call = [sys.executable, "-m", "psc.cli.main", "--home", str(stage.courier), "serve", "--json", "--drain", "5"]
    with log.open("wb") as errors:
        process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL)  # noqa: S603 - our own program
        try:
            line = _first_line(process)
            if not line:
                process.kill()
                raise TransportError("cli.demo-server-died", exit=process.wait(), log=_tail(log))
            yield cast("dict[str, object]", json.loads(line))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    """Return the first line of a process's output, or nothing when it ends or says nothing in time."""
    lines: list[bytes] = []
    stream = process.stdout
    if stream is None:
        return b""
    reader = threading.Thread(target=lambda: lines.append(stream.readline()), daemon=True)
    reader.start()
    reader.join(_START_SECONDS)
    return lines[0] if lines else b""


def _tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "–"
    return "–"


def _ask(cli: Cli, stage: _Stage) -> list[tuple[Plan, Result]]:
    """Plan and run a match, a count and an aggregate as the merchant."""
    from psc.operations.requests import Aggregate, Count, Match
    from psc.operations.select import mean, sum_of
    from psc.sdk.node import Node
    from psc.testing.madeup import ORDER_PHONE

    on = {"phone": ORDER_PHONE}
    rejects = stage.folder / "orders.rejects.csv"
    requests: list[Request] = [
        Match(stage.orders, on=on, dataset="parcels", want=_WANT, purpose=_PURPOSE, on_bad="skip", rejects=rejects),
        Count(stage.orders, on=on, dataset="parcels", purpose=_PURPOSE, on_bad="skip"),
        Aggregate(
            stage.orders,
            on=on,
            dataset="parcels",
            select=[sum_of("paid"), mean("paid")],
            group_by=_GROUP,
            purpose=_PURPOSE,
            on_bad="skip",
        ),
    ]
    runs = []
    with Node.open(stage.merchant) as node, node.connect("courier") as courier:
        for request in requests:
            plan = courier.plan(request)
            if not cli.as_json and request.OPERATION != "count":
                cli.answer({}, "", *plan_shown(plan, node.name), "")
            _tell(cli, label("demo-running", operation=request.OPERATION))
            runs.append((plan, watched(cli, plan.run)))
    return runs


def _check(runs: list[tuple[Plan, Result]], expected: _Expected) -> None:
    """Compare the answers with the plain join.

    Raises:
        psc.errors.LocalProtocolError: they differ.
    """
    from psc.errors import LocalProtocolError

    matched, counted, spent = _results(runs)
    got = _sorted_pairs(matched.to_pandas())
    wanted = _sorted_pairs(expected.pairs)
    if got != wanted:
        raise LocalProtocolError("cli.demo-wrong-answer", operation="match", got=len(got), expected=len(wanted))
    if matched.matched_keys != expected.common or counted.count != expected.common:
        wrong = counted.count if counted.count != expected.common else matched.matched_keys
        raise LocalProtocolError("cli.demo-wrong-answer", operation="count", got=wrong, expected=expected.common)
    _check_groups(spent, expected)


def _check_groups(spent: AggregateResult, expected: _Expected) -> None:
    from psc.errors import LocalProtocolError

    for row in spent.to_arrow().to_pylist():
        known = row[_GROUP] in expected.spent.index
        customers, total, payments = expected.spent.loc[row[_GROUP]] if known else (0, Decimal(0), 0)
        mean = float(Fraction(total) / payments) if payments else None
        right = (None, None, None) if row["withheld"] else (customers, total, mean)
        got = (row["customers"], row["paid_sum"], row["paid_mean"])
        if got != right or (customers < expected.least_group and not row["withheld"]):
            raise LocalProtocolError("cli.demo-wrong-answer", operation="aggregate", got=str(got), expected=str(right))


def _results(runs: list[tuple[Plan, Result]]) -> tuple[MatchResult, CountResult, AggregateResult]:
    matched, counted, spent = (result for _, result in runs)
    return cast("MatchResult", matched), cast("CountResult", counted), cast("AggregateResult", spent)


def _sorted_pairs(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    cells = zip(frame["order_id"], frame["status"], frame["weight"], strict=True)
    return sorted((str(order), str(status), f"{weight:.6f}") for order, status, weight in cells)


def _verify_elsewhere(stage: _Stage, run_ids: list[str]) -> list[Path]:
    """Export the merchant's receipts and verify them in a third home that holds only the two cards."""
    from psc.audit.receipt import SignedReceipt, verify_receipt
    from psc.cli.setup import write_text
    from psc.node.home import Home
    from psc.node.runs import receipt_of
    from psc.node.trust import known_identities

    files = []
    with Home.open(stage.merchant) as merchant, Home.open(stage.auditor) as auditor:
        for run_id in run_ids:
            file = stage.folder / f"{run_id}.receipt.json"
            write_text(file, receipt_of(merchant, run_id) or "")
            verify_receipt(SignedReceipt.parse(file.read_bytes(), file=file.name), known_identities(auditor))
            files.append(file)
    return files


def _shown(stage: _Stage, runs: list[tuple[Plan, Result]], receipts: list[Path], *, kept: bool) -> list[RenderableType]:
    matched, counted, spent = _results(runs)
    plan, spent_plan = runs[0][0], runs[2][0]
    said = {
        "match": label("demo-match-answer", rows=number_text(matched.table.num_rows), keys=number_text(matched.matched_keys)),
        "count": label("demo-count-answer", keys=number_text(counted.count)),
        "aggregate": label("demo-aggregate-answer", groups=spent.to_arrow().num_rows, withheld=spent.withheld_groups),
    }
    columns = [label(name) for name in ("operation", "answer", "plain-join", "time", "planned", "cpu", "sent", "received")]
    cells = [
        [
            run_plan.request.OPERATION,
            said[run_plan.request.OPERATION],
            f"✓ {label('demo-equal')}",
            seconds_text(result.stats.seconds),
            seconds_text(None if run_plan.estimate is None else run_plan.estimate.seconds),
            seconds_text(result.stats.cpu_seconds),
            bytes_text(result.stats.bytes_sent),
            bytes_text(result.stats.bytes_received),
        ]
        for run_plan, result in runs
    ]
    answers = listing(columns, cells, title=label("demo-answers"), right=columns[3:])
    names = {"initiator": "merchant", "responder": "courier"}
    request = cast("Aggregate", spent_plan.request)
    decimals = float_decimals(request, spent_plan.shape.terms) if spent_plan.shape is not None else None
    title = label("demo-aggregate-title", what=asked_text(request), group=_GROUP)
    shown: list[RenderableType] = ["", _sample(matched, plan), "", title, *groups_shown(spent.to_arrow(), decimals), "", answers]
    for run_plan, result in runs:
        shown += ["", run_plan.request.OPERATION, *learned(result.leakage, names, future=False)[1:]]
    left_out = sum(plan.rejected.values())
    closing = [
        (label("rows-left-out"), f"{number_text(left_out)} ({', '.join(f'{name} {n:,}' for name, n in plan.rejected.items())})"),
        (label("receipts"), "✓ " + label("demo-receipts-verified")),
        *((label("receipt"), str(file)) for file in receipts if kept),
        (label("folder"), str(stage.folder) if kept else label("demo-not-kept")),
    ]
    return [*shown, "", facts(closing)]


def _sample(matched: MatchResult, plan: Plan) -> RenderableType:
    from psc.cli.masks import masked

    kinds = kinds_of_columns(plan)
    head = masked(matched.table.select(["order_id", *kinds, "city", *_WANT]).slice(0, _PREVIEW_ROWS), kinds)
    title = label("first-of", shown=number_text(head.num_rows), rows=number_text(matched.table.num_rows))
    return preview({name: head.column(name).to_pylist() for name in head.column_names}, title=title)


def _document(stage: _Stage, runs: list[tuple[Plan, Result]], receipts: list[Path], *, kept: bool) -> dict[str, object]:
    return {
        "equals_plain_join": True,
        "runs": [{"plan": plan.to_dict(), "result": result.to_dict()} for plan, result in runs],
        "receipts_verified": len(receipts),
        "receipts": [str(file) for file in receipts] if kept else [],
        "folder": str(stage.folder) if kept else None,
    }


def _tell(cli: Cli, text: str) -> None:
    if not cli.as_json:
        cli.answer({}, wraps(f"• {text}"))
        sys.stdout.flush()
