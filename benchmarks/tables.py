"""The files that benchmarks run on: distinct clean mobiles by formula, written in pieces, so that large files take no memory."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

PIECE = 1 << 20
VALUES = ("fee:int64:0..100000", "weight:decimal:3:0..50", "pieces:int64:0..99")
"""The value columns of parcels as ``dataset add --value`` takes them; ``city`` is the group and ``status`` the text."""


def piece(first: int, numbers: np.ndarray, columns: Sequence[str]) -> pa.Table:
    """Return rows by their numbers; row 0 has the mobile of number ``first``. Mobiles repeat after 10^8 of them."""
    mobiles = first + numbers
    found = {
        "order": lambda: numbers,
        "phone": lambda: pa.array((130 + mobiles % 10) * 10**8 + mobiles * 7919 % 10**8).cast(pa.string()),
        "status": lambda: pa.repeat("signed", len(numbers)),
        "fee": lambda: numbers * 7919 % 100_001,
        "weight": lambda: numbers * 104_729 % 50_001 / 1000,
        "pieces": lambda: numbers % 100,
        "city": lambda: pa.array([f"city {n}" for n in range(10)]).take(pa.array(numbers % 10)),
    }
    return pa.table({column: found[column]() for column in columns})


def write(path: Path, first: int, rows: int, columns: Sequence[str]) -> None:
    """Write one file, CSV or Parquet as its name says."""
    schema = piece(first, np.arange(0), columns).schema
    with closing((pq.ParquetWriter if path.suffix == ".parquet" else pacsv.CSVWriter)(path, schema)) as writer:
        for start in range(0, rows, PIECE):
            writer.write_table(piece(first, np.arange(start, min(start + PIECE, rows)), columns))


def two_files(folder: Path, sizes: tuple[int, int], kinds: Sequence[str], columns: Sequence[str]) -> None:
    """Write ``orders`` and ``parcels`` in each of ``kinds``, the second with ``columns``; they share every second order.

    A process of its own does it: a command's peak memory starts at that of the process that starts it.
    """
    own, others = sizes
    files = (("orders", 0, own, ("order", "phone")), ("parcels", own // 2, others, ("phone", *columns)))
    for kind in kinds:
        for name, *rest in files:
            path = folder / f"{name}.{kind}"
            writer = multiprocessing.get_context("spawn").Process(target=write, args=(path, *rest))
            writer.start()
            writer.join()
            if writer.exitcode:
                raise RuntimeError(f"{path} was not written")


def sizes_of(text: str) -> tuple[int, int]:
    """Read ``N`` or ``NxM``: keys of the side that asks, and of its partner."""
    own, _, others = text.partition("x")
    return int(own), int(others or own)
