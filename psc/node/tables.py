"""Reading a registered dataset's source: once in full at registration, and for each run what the run needs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from psc.data.keys import Keyed, KeyUse, prepare_keys
from psc.data.kinds import RULES_ID, metadata_hash
from psc.data.release import RowLayout
from psc.data.table import Source, load
from psc.data.version import dataset_version
from psc.errors import DataError, UsageError
from psc.node.records import DatasetRecord

__all__ = ["LoadedDataset", "ReleasedRows", "Survey", "read_dataset", "released_rows", "survey"]

_CHECKED_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class Survey:
    """What registration found.

    Attributes:
        fingerprint: SHA-256 of the content, for the salted version alone.
        row_count: rows of the source.
        most_rows_per_key: rows of the key that has most, all keys used together.
        counts: for each choice of keys: key names, distinct keys, rows rejected.
    """

    fingerprint: bytes
    row_count: int
    most_rows_per_key: int
    counts: tuple[tuple[tuple[str, ...], int, int], ...]


@dataclass(frozen=True, slots=True, repr=False)
class ReleasedRows:
    """Rows ready to be sealed, at most the bound for each key, in the source's order.

    Attributes:
        items: for each row the index of its key.
        counters: 1-based number of the row within its key.
        payloads: the rows' fixed-width encodings, one after the other.
        width_bytes: bytes of one row.
        rows_per_key: the bound.
    """

    items: NDArray[np.uint32]
    counters: NDArray[np.uint32]
    payloads: bytes
    width_bytes: int
    rows_per_key: int


@dataclass(frozen=True, slots=True, repr=False)
class LoadedDataset:
    """A dataset read for a run.

    Attributes:
        record: what was registered; the source was found unchanged.
        keyed: distinct keys and the rows that have them.
        layout: layout of the released columns; None when none are released.
        rows: the rows to release; None when no column is.
    """

    record: DatasetRecord
    keyed: Keyed
    layout: RowLayout | None
    rows: ReleasedRows | None

    def __repr__(self) -> str:
        return f"LoadedDataset({self.record.name!r})"


def survey(record: DatasetRecord, *, rejects: Path | None) -> Survey:
    """Read a source in full: check keys and released cells, and count.

    Args:
        record: the declaration; its counts are not looked at.
        rejects: a file for rejected rows, when bad keys are skipped.

    Raises:
        DataError: the source cannot be read, a column is missing, a key is bad or a released cell does not fit.
    """
    source = load(record.source, record.columns)
    uses = _uses(record, [key.name for key in record.keys])
    together = _prepare(record, source, uses, rejects)
    _check_release(record, source)
    counts = [(tuple(use.key_name for use in uses), together.key_count, together.rejected.total)]
    for size in range(1, len(uses)):
        for chosen in itertools.combinations(uses, size):  # a partner may match on any choice of them
            part = _prepare(record, source, chosen, None)
            counts.append((tuple(use.key_name for use in chosen), part.key_count, part.rejected.total))
    most = int(np.bincount(together.group_of_row).max()) if len(together.group_of_row) else 0
    return Survey(source.fingerprint(), together.rows_total, most, tuple(counts))


def read_dataset(
    record: DatasetRecord,
    *,
    keys: Sequence[str] | None = None,
    release: Sequence[str] = (),
    rows_per_key: int | None = None,
) -> LoadedDataset:
    """Read a dataset for a run.

    Args:
        record: what was registered.
        keys: names of the keys to match on; all by default.
        release: names of the columns to release, in the order of the run; none by default.
        rows_per_key: an agreement's bound, when it is lower than the registered one.

    Raises:
        UsageError: a key or column is not registered.
        DataError: the source changed since registration, or the rules for its keys did; or it cannot be read.
    """
    chosen = _uses(record, list(keys) if keys is not None else [key.name for key in record.keys])
    by_name = {column.name: column for column in record.release}
    for name in release:
        if name not in by_name:
            raise UsageError("node.column-not-registered", name=name, dataset=record.name, known=", ".join(by_name))
    if record.rules != RULES_ID or record.number_metadata != metadata_hash(record.region):
        raise DataError("node.rules-changed", dataset=record.name)
    source = load(record.source, record.columns)
    version = dataset_version(source.fingerprint(), record.rules_text(), bytes.fromhex(record.salt))
    if version != record.version:
        raise DataError("node.source-changed", dataset=record.name, source=source.name)
    keyed = _prepare(record, source, chosen, None)
    if not release:
        return LoadedDataset(record, keyed, None, None)
    bound = min(rows_per_key or record.max_rows_per_key, record.max_rows_per_key)
    released = {column.name: column for column in record.released_columns}
    layout = RowLayout(tuple(released[name] for name in release))
    sources = {name: by_name[name].column for name in release}
    return LoadedDataset(record, keyed, layout, released_rows(source, keyed, layout, sources, bound))


def released_rows(source: Source, keyed: Keyed, layout: RowLayout, sources: dict[str, str], rows_per_key: int) -> ReleasedRows:
    """Return the rows to release: the first ``rows_per_key`` of each key; rows of a key that has more are marked as cut."""
    groups = keyed.group_of_row
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups, minlength=keyed.key_count) if len(groups) else np.zeros(0, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(groups), dtype=np.int64)
    rank[order] = np.arange(len(groups)) - starts[groups[order]]
    kept = rank < rows_per_key
    items = groups[kept].astype(np.uint32)
    cut = sizes[items] > rows_per_key if len(items) else np.zeros(0, dtype=bool)
    payloads = layout.encode(source.table, keyed.row_of[kept], cut=cut, sources=sources, file=source.name)
    return ReleasedRows(items, (rank[kept] + 1).astype(np.uint32), payloads, layout.width, rows_per_key)


def _uses(record: DatasetRecord, names: Sequence[str]) -> list[KeyUse]:
    known = {key.name: KeyUse(key.name, key.column, key.kind) for key in record.keys}
    for name in names:
        if name not in known:
            raise UsageError("node.key-not-registered", name=name, dataset=record.name, known=", ".join(known))
    return [known[name] for name in names]


def _prepare(record: DatasetRecord, source: Source, uses: Sequence[KeyUse], rejects: Path | None) -> Keyed:
    return prepare_keys(source, uses, region=record.region, on_bad=record.on_bad, rejects=rejects)


def _check_release(record: DatasetRecord, source: Source) -> None:
    layout = RowLayout(record.released_columns)
    if not layout.columns:
        return
    sources = {column.name: column.column for column in record.release}
    for start in range(0, source.table.num_rows, _CHECKED_AT_ONCE):
        rows = np.arange(start, min(start + _CHECKED_AT_ONCE, source.table.num_rows))
        layout.encode(source.table, rows, sources=sources, file=source.name)
