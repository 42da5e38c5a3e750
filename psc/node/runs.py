"""Runs: one record each, the wish to cancel, the receipt, and results that a partner's run delivered here.

A record holds names, sizes, digests and times; never an identifier. Initiator and responder each keep their own.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from psc.data.output import write_table
from psc.errors import ReplayedError, UsageError
from psc.node.clock import now, timestamp
from psc.node.fields import NodeName, RunId, Timestamp, check_run_id
from psc.node.home import Home
from psc.node.store import stored_document
from psc.types import Document, OperationName

__all__ = [
    "RunRecord",
    "RunStatus",
    "cancel_requested",
    "deliver_result",
    "finish_run",
    "get_run",
    "is_running",
    "keep_receipt",
    "list_runs",
    "mark_interrupted",
    "receipt_of",
    "request_cancel",
    "result_of",
    "start_run",
]

RunStatus = Literal["running", "finished", "failed", "refused", "cancelled"]
Count = Annotated[int, Field(ge=0)]


class RunRecord(Document):
    """One side's record of a run.

    Sizes are padded numbers of distinct keys, of all alternatives together. ``code`` is the stable code of the error that ended
    the run, or the id of the rule that refused it; empty when it finished. ``result`` is the file, under the home's results, of a
    result delivered here.
    """

    KIND: ClassVar[str] = "run"

    run_id: RunId
    direction: Literal["initiator", "responder"]
    partner: NodeName
    operation: OperationName
    dataset: str
    purpose: str
    protocol: str = ""
    status: RunStatus = "running"
    code: str = ""
    own_size: Count = 0
    partner_size: Count = 0
    bytes_sent: Count = 0
    bytes_received: Count = 0
    seconds: Annotated[float, Field(ge=0)] = 0.0
    started_at: Timestamp
    finished_at: Timestamp | None = None
    result: str = ""
    process: str = ""


def start_run(
    home: Home,
    *,
    run_id: str,
    direction: Literal["initiator", "responder"],
    partner: str,
    operation: OperationName,
    dataset: str,
    purpose: str,
    protocol: str = "",
    own_size: int = 0,
    partner_size: int = 0,
) -> RunRecord:
    """Record that a run began.

    Raises:
        ReplayedError: a run of this id is recorded already: a hello came twice, or a partner reuses an id.
        UsageError: the id is not a run id.
    """
    record = RunRecord(
        run_id=check_run_id(run_id),
        direction=direction,
        partner=partner,
        operation=operation,
        dataset=dataset,
        purpose=purpose,
        protocol=protocol,
        own_size=own_size,
        partner_size=partner_size,
        started_at=timestamp(now()),
        process=_process(os.getpid()),
    )
    try:
        with home.store.write() as db:
            db.execute(
                "INSERT INTO runs (run_id, started_at, status, record) VALUES (?, ?, ?, ?)",
                (record.run_id, record.started_at, record.status, record.canonical().decode()),
            )
    except sqlite3.IntegrityError:
        raise ReplayedError("node.run-exists", run_id=run_id) from None
    return record


def finish_run(
    home: Home,
    run_id: str,
    status: Literal["finished", "failed", "refused", "cancelled"],
    *,
    code: str = "",
    own_size: int | None = None,
    partner_size: int | None = None,
    bytes_sent: int = 0,
    bytes_received: int = 0,
    seconds: float = 0.0,
) -> RunRecord:
    """Record how a run ended. A run that has ended keeps its first ending.

    Raises:
        UsageError: there is no such run.
    """
    update: dict[str, object] = {
        "status": status,
        "code": code,
        "bytes_sent": bytes_sent,
        "bytes_received": bytes_received,
        "seconds": seconds,
        "finished_at": timestamp(now()),
    }
    update |= {} if own_size is None else {"own_size": own_size}
    update |= {} if partner_size is None else {"partner_size": partner_size}
    with home.store.write() as db:
        record = _read(db, run_id)
        if record.status != "running":
            return record
        return _write(db, record.model_copy(update=update))


def get_run(home: Home, run_id: str) -> RunRecord:
    """Return the record of a run.

    Raises:
        UsageError: there is no such run.
    """
    with home.store.read() as db:
        return _read(db, run_id)


def list_runs(home: Home, *, limit: int | None = None, status: RunStatus | None = None) -> tuple[RunRecord, ...]:
    """Return runs, the newest first.

    Args:
        home: the node.
        limit: at most so many.
        status: only runs in this status.
    """
    with home.store.read() as db:
        rows = db.execute(
            "SELECT record FROM runs WHERE ?1 IS NULL OR status = ?1 ORDER BY started_at DESC, rowid DESC LIMIT ?2",
            (status, -1 if limit is None else limit),
        ).fetchall()
    return tuple(stored_document(RunRecord, row[0]) for row in rows)


def request_cancel(home: Home, run_id: str) -> RunRecord:
    """Ask a running run to stop; whichever process runs it sees the wish with ``cancel_requested``.

    Raises:
        UsageError: there is no such run, or it has ended.
    """
    with home.store.write() as db:
        record = _read(db, run_id)
        if record.status != "running":
            raise UsageError("node.run-ended", run_id=run_id, status=record.status)
        db.execute("UPDATE runs SET cancel = 1 WHERE run_id = ?", (run_id,))
    return record


def cancel_requested(home: Home, run_id: str) -> bool:
    """Say whether someone asked for a run to stop; cheap enough to ask every second."""
    with home.store.read() as db:
        row = db.execute("SELECT cancel FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    return row is not None and bool(row[0])


def keep_receipt(home: Home, run_id: str, receipt: str) -> None:
    """Store the signed receipt file of a run. A receipt that is there is never replaced by another.

    Raises:
        UsageError: there is no such run.
        ReplayedError: another receipt of it is stored.
    """
    with home.store.write() as db:
        _read(db, run_id)
        stored = db.execute("SELECT receipt FROM runs WHERE run_id = ?", (run_id,)).fetchone()[0]
        if stored not in (None, receipt):
            raise ReplayedError("node.receipt-exists", run_id=run_id)
        db.execute("UPDATE runs SET receipt = ? WHERE run_id = ?", (receipt, run_id))


def receipt_of(home: Home, run_id: str) -> str | None:
    """Return the signed receipt file of a run, unchecked; None when it has none.

    Raises:
        UsageError: there is no such run.
    """
    with home.store.read() as db:
        _read(db, run_id)
        receipt: str | None = db.execute("SELECT receipt FROM runs WHERE run_id = ?", (run_id,)).fetchone()[0]
    return receipt


def deliver_result(home: Home, run_id: str, table: pa.Table) -> Path:
    """Keep a result that a partner's run delivered to this node, in the home's results folder with mode 0600.

    Raises:
        UsageError: there is no such run.
        StorageError: the disk refuses; no part of a file is left.
    """
    with home.store.read() as db:
        _read(db, run_id)
    path = home.results_folder / f"{run_id}.parquet"
    write_table(table, path)
    path.chmod(0o600)
    with home.store.write() as db:
        _write(db, _read(db, run_id).model_copy(update={"result": path.name}))
    return path


def result_of(home: Home, run_id: str) -> Path | None:
    """Return the file of a delivered result; None when nothing was delivered.

    Raises:
        UsageError: there is no such run, or its file has been removed.
    """
    record = get_run(home, run_id)
    if not record.result:
        return None
    path = home.results_folder / record.result
    if not path.is_file():
        raise UsageError("node.result-removed", run_id=run_id, path=str(path))
    return path


def mark_interrupted(home: Home) -> tuple[RunRecord, ...]:
    """Mark runs as failed whose process is gone, as after a crash; return them. A server does this when it starts."""
    ended = []
    with home.store.write() as db:
        rows = db.execute("SELECT record FROM runs WHERE status = 'running'").fetchall()
        for row in rows:
            record = stored_document(RunRecord, row[0])
            if not _alive(record.process):
                update = {"status": "failed", "code": "node.run-interrupted", "finished_at": timestamp(now())}
                ended.append(_write(db, record.model_copy(update=update)))
    return tuple(ended)


def is_running(home: Home, run_id: str) -> bool:
    """Say whether a run goes on in a process of this machine that lives; an unknown run does not."""
    with home.store.read() as db:
        row = db.execute("SELECT record FROM runs WHERE run_id = ? AND status = 'running'", (run_id,)).fetchone()
    return row is not None and _alive(stored_document(RunRecord, row[0]).process)


def _read(db: sqlite3.Connection, run_id: str) -> RunRecord:
    row = db.execute("SELECT record FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        raise UsageError("node.run-unknown", run_id=run_id[:64])
    return stored_document(RunRecord, row[0])


def _write(db: sqlite3.Connection, record: RunRecord) -> RunRecord:
    db.execute(
        "UPDATE runs SET status = ?, record = ? WHERE run_id = ?",
        (record.status, record.canonical().decode(), record.run_id),
    )
    return record


def _process(pid: int) -> str:
    """Return a name for a process that another one does not take later: its number, and when it began where that is known."""
    try:
        # Field 22 of /proc/PID/stat, counted after the command's name, which may hold anything.
        began = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        began = ""
    return f"{pid}:{began}"


def _alive(process: str) -> bool:
    number = process.partition(":")[0]
    if not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _process(int(number)) == process
