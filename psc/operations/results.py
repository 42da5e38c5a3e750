"""Results: frozen types, one an operation; what a party learned is its result's type."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
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
    "MATCHED_BY",
    "ROWS_CUT",
    "SOURCE_ROW",
    "AggregateResult",
    "AlternativeResult",
    "CountResult",
    "Ended",
    "MatchResult",
    "Matched",
    "ReleasedRows",
    "Result",
    "RunStats",
    "cut_keys",
    "join_ranked",
    "join_rows",
]

ROWS_CUT = "psc_rows_cut"
"""Name of the column that says whether the partner's key had more rows than the agreement's bound."""


MATCHED_BY = "psc_matched_by"
"""Name of the column that says by which key a row matched, in a match by any of several."""


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
class AlternativeResult:
    """What one key of a match by any of several gave.

    Attributes:
        key: the dataset's name of it; of a composite key the names with ``+`` between them.
        matched_rows: our rows that take its matches: those that it matched and no key before it.
        matched_keys: our distinct keys that match by it; None when it is withheld.
        withheld: fewer keys match by it than the minimum, perhaps none: its matches are not shown and take no row.
    """

    key: str
    matched_rows: int
    matched_keys: int | None
    withheld: bool


@dataclass(frozen=True, slots=True)
class MatchResult:
    """Which of our rows match.

    Attributes:
        run_id: printed by both sides.
        table: our matching rows with all our columns, in our order; with released columns, one row for each pair of our row
            and a partner's row, and ``psc_rows_cut``. A released column whose name we also have is called ``dataset.name``. By
            any of several keys there is ``psc_matched_by`` before these: the name of the key, as in ``alternatives``.
        matched_rows: how many of our rows match.
        matched_keys: how many of our distinct keys match; by any of several, of all of these together.
        cut_keys: matched keys of which the partner has more rows than the agreement's bound.
        receipt: signed by both.
        stats: what the run cost.
        leakage: what each side learned.
        alternatives: what each key gave, the preferred one first; empty for a match by one key.
    """

    run_id: str
    table: pa.Table
    matched_rows: int
    matched_keys: int
    cut_keys: int
    receipt: SignedReceipt
    stats: RunStats
    leakage: Leakage
    alternatives: tuple[AlternativeResult, ...] = ()

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
            **({"alternatives": [asdict(each) for each in self.alternatives]} if self.alternatives else {}),
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


@dataclass(frozen=True, slots=True, repr=False)
class Matched:
    """The matches by one key.

    Attributes:
        row_of: for each own row that has this key, its position in the own table.
        group_of_row: for each of these rows, the index of its distinct key.
        keys: indices of matched distinct keys.
        released: the partner's rows, or ``None`` when nothing is released.
        name: what the key is called, in a match by any of several.
    """

    row_of: NDArray[np.uint32]
    group_of_row: NDArray[np.uint32]
    keys: NDArray[np.uint32]
    released: ReleasedRows | None = None
    name: str = ""

    @property
    def row_count(self) -> int:
        """How many own rows match."""
        return int(np.count_nonzero(self._kept()))

    def _kept(self) -> NDArray[np.bool_]:
        if not len(self.group_of_row):
            return np.zeros(0, dtype=bool)
        is_matched = np.zeros(int(max(self.group_of_row.max(), self.keys.max(initial=0))) + 1, dtype=bool)
        is_matched[self.keys] = True
        return is_matched[self.group_of_row]

    def marks(self, rows: int) -> NDArray[np.bool_]:
        """Return for each of the own table's ``rows`` rows whether it matches."""
        marks = np.zeros(rows, bool)
        marks[np.asarray(self.row_of)[self._kept()]] = True
        return marks

    def without(self, taken: NDArray[np.bool_]) -> Matched:
        """Return the matches of the own rows that are not ``taken``, which has an entry a row of the own table."""
        kept = self._kept()
        kept[kept] = ~taken[np.asarray(self.row_of)[kept]]
        return replace(self, row_of=np.asarray(self.row_of)[kept], group_of_row=self.group_of_row[kept])

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return every pair of an own row that matches and a partner's row of its key: positions, by own row and counter.

        Without released rows it is one pair an own row, and the second position means nothing.
        """
        kept = self._kept()
        rows, groups = np.asarray(self.row_of)[kept].astype(np.int64), self.group_of_row[kept]
        if (rows[1:] < rows[:-1]).any():
            order = np.argsort(rows, kind="stable")
            rows, groups = rows[order], groups[order]
        if self.released is None:
            return rows, np.zeros(len(rows), np.int64)
        items = self.released.items
        by_item = np.lexsort((self.released.counters, items))
        keys = int(max(groups.max(initial=0), items.max(initial=0))) + 1
        counts = np.bincount(items, minlength=keys)
        starts = np.cumsum(counts) - counts
        repeat = counts[groups]
        first = np.repeat(np.cumsum(repeat) - repeat, repeat)
        within = np.arange(int(repeat.sum())) - first
        return np.repeat(rows, repeat), by_item[np.repeat(starts[groups], repeat) + within]


def cut_keys(released: ReleasedRows | None) -> int:
    """Return how many matched keys the partner has more rows of than the agreement's bound."""
    return 0 if released is None else int(np.count_nonzero(np.bincount(released.items[released.cut])))


def join_rows(table: pa.Table, matched: Matched, *, dataset: str) -> tuple[pa.Table, int]:
    """Join own rows to the partner's opened rows, many to many; return the table and the number of own rows matched.

    Args:
        table: the own table, every row.
        matched: the matches.
        dataset: the partner's dataset, for renaming columns that we also have.
    """
    if matched.released is None:
        is_matched = matched.marks(table.num_rows)  # chunk by chunk, where taking rows copies all chunks into one first
        return table.filter(pa.array(is_matched)), int(np.count_nonzero(is_matched))
    rows, theirs = matched.pairs()
    joined = table.take(pa.array(rows, type=pa.int64()))
    return _with_columns(joined, matched.released.columns, matched.released.cut, theirs, dataset), matched.row_count


def join_ranked(table: pa.Table, alternatives: Sequence[Matched], *, dataset: str) -> tuple[pa.Table, tuple[int, ...]]:
    """Join own rows by the first key that matches; return the table, with ``psc_matched_by``, and each key's own rows.

    Args:
        table: the own table, every row.
        alternatives: the matches by each key, the preferred one first; where some have released rows, all with matches do.
        dataset: the partner's dataset, for renaming columns that we also have.
    """
    taken, own, theirs, by, rows, offset = np.zeros(table.num_rows, bool), [], [], [], [], 0
    for number, matched in enumerate(alternatives):
        left = matched.without(taken)
        mine, other = left.pairs()
        taken[left.row_of] = True
        own.append(mine)
        theirs.append(other + offset)
        by.append(np.full(len(mine), number, np.int8))
        rows.append(len(left.row_of))
        offset += 0 if matched.released is None else matched.released.columns.num_rows
    together = np.concatenate(own)
    order = np.argsort(together, kind="stable")  # an own row has the pairs of one key alone: they stay in their order
    joined = table.take(pa.array(together[order], type=pa.int64()))
    names = pa.array([matched.name for matched in alternatives], pa.string())
    column = names.take(pa.array(np.concatenate(by)[order], type=pa.int8()))
    joined = joined.append_column(_free_name(MATCHED_BY, joined, dataset), column)
    released = [matched.released for matched in alternatives if matched.released is not None]
    if released:
        columns = pa.concat_tables([each.columns for each in released])
        cut = np.concatenate([each.cut for each in released])
        joined = _with_columns(joined, columns, cut, np.concatenate(theirs)[order], dataset)
    return joined, tuple(rows)


def _with_columns(joined: pa.Table, columns: pa.Table, cut: NDArray[np.bool_], rows: NDArray[np.int64], dataset: str) -> pa.Table:
    """Append the partner's columns in these rows of them, and whether a row's key had more."""
    picked = columns.take(pa.array(rows, type=pa.int64()))
    for name in picked.column_names:
        joined = joined.append_column(_free_name(name, joined, dataset), picked.column(name))
    return joined.append_column(_free_name(ROWS_CUT, joined, dataset), pa.array(cut[rows]))


def _free_name(name: str, table: pa.Table, dataset: str) -> str:
    """Return the name, or ``dataset.name``, or that with a number: whichever the table does not have yet."""
    candidates = itertools.chain([name, f"{dataset}.{name}"], (f"{dataset}.{name}.{n}" for n in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in table.column_names)
