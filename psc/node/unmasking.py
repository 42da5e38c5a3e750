"""The record of unmasking: when key columns of a run's result were written in full, and where.

``HOME/unmasked.jsonl`` (0600) holds one line each time; it is written through to the disk before the file that it is about, so
that nothing is unmasked unrecorded. ``psc runs show`` tells it with the run. No line holds a key.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from psc.errors import StorageError
from psc.node.clock import now, timestamp
from psc.node.files import check_private, storage_errors

if TYPE_CHECKING:
    from psc.node.home import Home

__all__ = ["record_unmasking", "unmaskings_of"]

_FILE = "unmasked.jsonl"


def record_unmasking(home: Home, run_id: str, output: Path, rows: int) -> None:
    """Record that a result is about to be written with its key columns in full.

    Args:
        home: the node.
        run_id: the run whose result it is.
        output: the file that will hold it.
        rows: how many rows it has.

    Raises:
        StorageError: the record cannot be made durable; nothing may be unmasked then.
    """
    entry = {"run_id": run_id, "at": timestamp(now()), "file": str(output.absolute()), "rows": rows}
    line = json.dumps(entry, ensure_ascii=False) + "\n"
    path = home.path / _FILE
    with storage_errors(path):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(handle)


def unmaskings_of(home: Home, run_id: str) -> list[dict[str, object]]:
    """Return the records of a run, oldest first: ``run_id``, ``at``, ``file``, ``rows``.

    Raises:
        StorageError: the file cannot be read, is damaged, or is open to other users.
    """
    path = home.path / _FILE
    if not path.exists():
        return []
    check_private(path)
    with storage_errors(path):
        lines = path.read_text(encoding="utf-8").splitlines()
    try:
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if entry["run_id"] == run_id]
    except (ValueError, KeyError, TypeError):
        raise StorageError("node.unmasking-damaged", path=str(path)) from None
