"""Results: frozen types, one an operation; what a party learned is its result's type."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from psc.audit.receipt import SignedReceipt
from psc.data.output import write_table
from psc.errors import UsageError
from psc.operations.leakage import Leakage

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ROWS_CUT",
    "SOURCE_ROW",
    "AggregateResult",
    "CountResult",
    "Ended",
    "MatchResult",
    "ReleasedRows",
    "Result",
    "RunStats",
    "join_rows",
]

ROWS_CUT = "psc_rows_cut"
"""Name of the column that says whether the partner's key had more rows than the agreement's bound."""


SOURCE_ROW = "psc_row"
"""Name of the column, in a result delivered to a responder, with the row's number in its source (1-based, no header)."""


@dataclass(frozen=True, slots=True)
class RunStats:
    """What a run cost on this side: wall and CPU seconds, peak resident memory, frame bytes each way, repeated calls."""

    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    bytes_sent: int
    bytes_received: int
    frames_sent: int
    frames_received: int
    retries: int


@dataclass(frozen=True, slots=True)
class Ended:
    """What every result has: the run's id, its receipt, its cost on this side, and what each side learned."""

    run_id: str
    receipt: SignedReceipt
    stats: RunStats
    leakage: Leakage


@dataclass(frozen=True, slots=True)
class MatchResult:
    """Which of our rows match.

    Attributes:
        run_id: printed by both sides.
        table: our matching rows with all our columns, in our order; with released columns, one row for each pair of our row
            and a partner's row, and ``psc_rows_cut``. A released column whose name we also have is called ``dataset.name``.
        matched_rows: how many of our rows match.
        matched_keys: how many of our distinct keys match.
        cut_keys: matched keys of which the partner has more rows than the agreement's bound.
        receipt: signed by both.
        stats: what the run cost.
        leakage: what each side learned.
    """

    run_id: str
    table: pa.Table
    matched_rows: int
    matched_keys: int
    cut_keys: int
    receipt: SignedReceipt
    stats: RunStats
    leakage: Leakage

    def to_arrow(self) -> pa.Table:
        """Return the result as an Arrow table."""
        return self.table

    def to_pandas(self) -> pd.DataFrame:
        """Return the result as a pandas frame."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame

    def write(self, path: str | Path) -> None:
        """Write the table as CSV or Parquet, by the suffix; never half a file.

        Raises:
            StorageError: the disk refuses.
        """
        write_table(self.table, Path(path))

    def to_dict(self) -> dict[str, object]:
        """Return the figures (not the rows) under English keys, for machines."""
        return {
            "operation": "match",
            "run_id": self.run_id,
            "matched_rows": self.matched_rows,
            "matched_keys": self.matched_keys,
            "result_rows": self.table.num_rows,
            "cut_keys": self.cut_keys,
            "leakage": self.leakage.as_document(),
            "stats": asdict(self.stats),
        }

    def __repr__(self) -> str:
        return f"MatchResult(run_id={self.run_id!r}, matched_rows={self.matched_rows}, matched_keys={self.matched_keys})"


@dataclass(frozen=True, slots=True)
class CountResult:
    """How many distinct keys both hold, and nothing about which; other attributes as in ``MatchResult``."""

    run_id: str
    count: int
    receipt: SignedReceipt
    stats: RunStats
    leakage: Leakage

    def to_dict(self) -> dict[str, object]:
        """Return the result under English keys, for machines."""
        return {
            "operation": "count",
            "run_id": self.run_id,
            "count": self.count,
            "leakage": self.leakage.as_document(),
            "stats": asdict(self.stats),
        }

    def __repr__(self) -> str:
        return f"CountResult(run_id={self.run_id!r}, count={self.count})"


@dataclass(frozen=True, slots=True)
class AggregateResult:
    """Counts and sums over the customers that both have, by groups.

    Attributes:
        run_id: printed by both sides.
        table: one row a group: the group columns, ``customers`` (its shared customers), one column an output, and ``withheld``:
            the group, or another that would follow from it, has fewer customers than the minimum, so its other columns are
            null. ``None`` when the result went to the partner alone.
        groups: names of the table's group columns.
        receipt: signed by both.
        stats: what the run cost.
        leakage: what each side learned.
    """

    run_id: str
    table: pa.Table | None
    groups: tuple[str, ...]
    receipt: SignedReceipt
    stats: RunStats
    leakage: Leakage

    @property
    def withheld_groups(self) -> int:
        """How many rows of the table are withheld."""
        return 0 if self.table is None else sum(self.table.column("withheld").to_pylist())

    def to_arrow(self) -> pa.Table:
        """Return the table.

        Raises:
            UsageError: the result went to the partner alone.
        """
        if self.table is None:
            raise UsageError("operations.result-elsewhere", run_id=self.run_id)
        return self.table

    def to_pandas(self) -> pd.DataFrame:
        """Return the table as a pandas frame; see ``to_arrow``."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def write(self, path: str | Path) -> None:
        """Write the table as CSV or Parquet, by the suffix; never half a file.

        Raises:
            StorageError: the disk refuses.
            UsageError: the result went to the partner alone.
        """
        write_table(self.to_arrow(), Path(path))

    def to_dict(self) -> dict[str, object]:
        """Return the result under English keys, for machines; decimals as texts, so that they stay exact."""
        rows = None if self.table is None else [_plain_row(row) for row in self.table.to_pylist()]
        return {
            "operation": "aggregate",
            "run_id": self.run_id,
            "groups": list(self.groups),
            "rows": rows,
            "leakage": self.leakage.as_document(),
            "stats": asdict(self.stats),
        }

    def __repr__(self) -> str:
        rows = None if self.table is None else self.table.num_rows
        return f"AggregateResult(run_id={self.run_id!r}, rows={rows}, withheld_groups={self.withheld_groups})"


def _plain_row(row: dict[str, object]) -> dict[str, object]:
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in row.items()}


Result = MatchResult | CountResult | AggregateResult


@dataclass(frozen=True, slots=True)
class ReleasedRows:
    """The partner's rows that were opened: key index, counter and values of each, and whether its key had more rows."""

    items: NDArray[np.uint32]
    counters: NDArray[np.uint32]
    columns: pa.Table
    cut: NDArray[np.bool_]


def join_rows(
    table: pa.Table,
    row_of: NDArray[np.int64],
    group_of_row: NDArray[np.uint32],
    matched: NDArray[np.uint32],
    released: ReleasedRows | None,
    *,
    dataset: str,
) -> tuple[pa.Table, int]:
    """Join own rows to the partner's opened rows, many to many; return the table and the number of own rows matched.

    Args:
        table: the own table, every row.
        row_of: for each row that has a key, its position in ``table``.
        group_of_row: for each row that has a key, the index of its distinct key.
        matched: indices of matched distinct keys.
        released: the partner's rows, or ``None`` when nothing is released.
        dataset: the partner's dataset, for renaming columns that we also have.
    """
    is_matched = np.zeros(int(group_of_row.max()) + 1 if len(group_of_row) else 0, dtype=bool)
    is_matched[matched] = True
    keep = is_matched[group_of_row] if len(group_of_row) else np.zeros(0, dtype=bool)
    rows, groups = np.asarray(row_of)[keep], group_of_row[keep]
    order = np.argsort(rows, kind="stable")
    rows, groups = rows[order], groups[order]
    if released is None:
        return table.take(pa.array(rows, type=pa.int64())), len(rows)
    items = released.items
    by_item = np.lexsort((released.counters, items))
    counts = np.bincount(items, minlength=len(is_matched)) if len(items) else np.zeros(len(is_matched), dtype=np.int64)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1])) if len(counts) else counts
    repeat = counts[groups] if len(groups) else np.zeros(0, dtype=np.int64)
    first = np.repeat(np.cumsum(repeat) - repeat, repeat)
    within = np.arange(int(repeat.sum())) - first
    theirs = by_item[(np.repeat(starts[groups], repeat) if len(groups) else np.zeros(0, dtype=np.int64)) + within]
    joined = table.take(pa.array(np.repeat(rows, repeat), type=pa.int64()))
    picked = released.columns.take(pa.array(theirs, type=pa.int64()))
    for name in picked.column_names:
        joined = joined.append_column(_free_name(name, joined, dataset), picked.column(name))
    return joined.append_column(_free_name(ROWS_CUT, joined, dataset), pa.array(released.cut[theirs])), len(rows)


def _free_name(name: str, table: pa.Table, dataset: str) -> str:
    """Return the name, or ``dataset.name``, or that with a number: whichever the table does not have yet."""
    candidates = itertools.chain([name, f"{dataset}.{name}"], (f"{dataset}.{name}.{n}" for n in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in table.column_names)
