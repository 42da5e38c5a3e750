"""Reading a registered dataset's source: once in full at registration, and for each run what the run needs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from psc.data.groups import Labels, group_labels
from psc.data.keys import Keyed, KeyTable, KeyUse, judge, masked_key, prepare_keys, rows_with_keys
from psc.data.kinds import RULES_ID, metadata_hash
from psc.data.output import check_output
from psc.data.rejects import RejectSummary
from psc.data.release import RowLayout
from psc.data.source import as_source
from psc.data.table import Source, load
from psc.data.values import ValueUse, read_values, statistic_vectors
from psc.data.version import dataset_version
from psc.errors import DataError, UsageError
from psc.node.records import ROWS_PER_KEY_MAX, DatasetRecord, RegisteredValue
from psc.types import Statistic

__all__ = ["LoadedDataset", "ReleasedRows", "Survey", "read_dataset", "released_rows", "survey", "with_statistics"]

_CHECKED_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class Survey:
    """What registration found.

    Attributes:
        fingerprint: SHA-256 of the content, for the salted version alone.
        row_count: rows of the source.
        rows_rejected: rows with a cell that is no key, or without any key.
        most_rows_per_key: rows of the key that has most, over all choices of keys.
        counts: for each choice of keys: key names, distinct keys, rows that have not all of them.
        values: for each value: its name, null cells, cells that were clipped.
        groups: for each group column: its name, and how many labels it has at most, over all choices of keys.
    """

    fingerprint: bytes
    row_count: int
    rows_rejected: int
    most_rows_per_key: int
    counts: tuple[tuple[tuple[str, ...], int, int], ...]
    values: tuple[tuple[str, int, int], ...] = ()
    groups: tuple[tuple[str, int], ...] = ()


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
        keyed: distinct keys and the rows that have them; with the table only where it was asked for.
        layout: layout of the released columns; None when none are released.
        rows: the rows to release; None when no column is.
        labels: the groups in order, each a label a group column; one group without labels when nothing groups.
        group_of_key: for each key, the index of its group.
        vectors: keys × statistics: what each key contributes; None when no statistic was asked for.
        further: the same dataset by each further alternative of a match by any of several keys.
    """

    record: DatasetRecord
    keyed: Keyed
    layout: RowLayout | None
    rows: ReleasedRows | None
    labels: Labels = ((),)
    group_of_key: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    vectors: NDArray[np.int64] | None = None
    further: tuple[LoadedDataset, ...] = ()

    @property
    def alternatives(self) -> tuple[LoadedDataset, ...]:
        """The dataset by each alternative key, the preferred one first."""
        return (self, *self.further)

    def __repr__(self) -> str:
        return f"LoadedDataset({self.record.name!r})"


def survey(record: DatasetRecord, *, rejects: Path | None) -> Survey:
    """Read a source in full: check keys, released cells, values and groups, and count.

    A row takes part by every choice of keys of which it has all cells. With several keys a blank cell is that of a row which
    lacks this key, and is counted; a row is bad when a cell is there and is no key, or when it has no key at all.

    What holds for all keys together must hold for every choice of them too, for a partner may match on any: a key has no more
    rows than the bound where there are values, and is in one group of each group column.

    Args:
        record: the declaration; its counts are not looked at.
        rejects: a file for rejected rows, when bad keys are skipped.

    Raises:
        DataError: the source cannot be read, a column is missing, a key is bad, a released cell does not fit, a value is none or
            out of its range, a group is none or not a function of the key, or a key has too many rows for values.
    """
    source = load(record.source, record.columns)
    uses = _uses(record, [key.name for key in record.keys])
    # A partner may match on any choice of them: all together first, then smaller ones.
    choices = [chosen for size in (len(uses), *range(1, len(uses))) for chosen in itertools.combinations(uses, size)]
    rejected, parts = _judged(record, source, choices, rejects)
    _check_release(record, source)
    counts = []
    labels = dict.fromkeys((group.name for group in record.groups), 0)
    keyed_rows = np.zeros(source.table.num_rows, bool)
    most = 0
    for chosen, part in zip(choices, parts, strict=True):
        counts.append((tuple(use.key_name for use in chosen), part.key_count, part.rows_total - len(part.row_of)))
        keyed_rows[part.row_of] = True
        most = max(most, int(np.bincount(part.group_of_row).max(initial=0)))
        if record.values:
            _check_rows_per_key(record, source, chosen, part)
        for group in record.groups:
            found, _ = group_labels(source, [group.column], part.row_of, part.group_of_row, part.key_count, uses=chosen)
            labels[group.name] = max(labels[group.name], len(found))
    values = []
    for value in record.values:
        cells = read_values(source, np.flatnonzero(keyed_rows), _value_use(value))
        values.append((value.name, int(cells.nulls.sum()), cells.clipped))
    return Survey(
        source.fingerprint(),
        source.table.num_rows,
        rejected.total,
        most,
        tuple(counts),
        values=tuple(values),
        groups=tuple(labels.items()),
    )


def read_dataset(
    record: DatasetRecord,
    *,
    keys: Sequence[str] | None = None,
    release: Sequence[str] = (),
    rows_per_key: int | None = None,
    statistics: Sequence[Statistic] = (),
    groups: Sequence[str] = (),
    further: Sequence[Sequence[str]] = (),
    with_table: bool = True,
) -> LoadedDataset:
    """Read a dataset for a run. A row that has not all of the keys does not take part; registration counted such rows.

    Args:
        record: what was registered.
        keys: names of the keys to match on; all by default.
        release: names of the columns to release, in the order of the run; none by default.
        rows_per_key: an agreement's bound on released rows, when it is lower than the registered one.
        statistics: what an aggregate adds up, in the order of the run; values by their registered names.
        groups: names of the group columns, in the order of the run.
        further: the key names of each further alternative, when a match is by any of several keys.
        with_table: keep the registered columns in memory too, for a result of our own or for ``with_statistics``; else
            ``keyed.table`` has none.

    Raises:
        UsageError: a key, column, value or group is not registered, or a statistic may pass 63 bits.
        DataError: the source changed since registration, or the rules for its keys did; or it cannot be read; or the group
            columns together make too many groups.
    """
    chosen = _uses(record, list(keys) if keys is not None else [key.name for key in record.keys])
    alternatives = [chosen, *(_uses(record, names) for names in further)]
    by_name = {column.name: column for column in record.release}
    group_columns = {group.name: group.column for group in record.groups}
    for name in release:
        if name not in by_name:
            raise UsageError("node.column-not-registered", name=name, dataset=record.name, known=", ".join(by_name))
    _check_statistics(record, statistics)
    for name in groups:
        if name not in group_columns:
            raise UsageError("node.group-not-registered", name=name, dataset=record.name, known=", ".join(group_columns))
    if record.rules != RULES_ID or record.number_metadata != metadata_hash(record.region):
        raise DataError("node.rules-changed", dataset=record.name)
    source = load(record.source, record.columns)
    # Registration judged these very rows by these very rules: what is no key here is a blank, or was let pass there. The keys
    # are read one after the other, so that only one of them is in memory as text.
    with ThreadPoolExecutor(1, "psc-fingerprint") as beside:
        fingerprint = beside.submit(source.fingerprint)
        try:
            found = [rows_with_keys(source, uses, region=record.region) for uses in alternatives]
        finally:  # whatever is wrong with the keys: that the source is another one comes first
            version = dataset_version(fingerprint.result(), record.rules_text(), bytes.fromhex(record.salt))
            if version != record.version:
                raise DataError("node.source-changed", dataset=record.name, source=source.name) from None
    if not (with_table or release or groups or statistics):
        source = as_source(pa.table({}))  # to find equal keys takes as much memory as the table
    every = []
    while found:
        every.append(found.pop(0).keyed(source.table))
    keyed = every[0]
    by_key = (keyed.row_of, keyed.group_of_row, keyed.key_count)
    labels, group_of_key = group_labels(source, [group_columns[name] for name in groups], *by_key, uses=chosen)
    vectors = _vectors(record, source, keyed, statistics)
    kept = every if with_table else [replace(each, table=pa.table({})) for each in every]
    if not release:
        others = tuple(LoadedDataset(record, other, None, None) for other in kept[1:])
        return LoadedDataset(record, kept[0], None, None, labels, group_of_key, vectors, others)
    bound = min(rows_per_key or record.max_rows_per_key, record.max_rows_per_key)
    released = {column.name: column for column in record.released_columns}
    layout = RowLayout(tuple(released[name] for name in release))
    sources = {name: by_name[name].column for name in release}
    rows = [released_rows(source, each, layout, sources, bound) for each in every]
    others = tuple(LoadedDataset(record, other, layout, of_other) for other, of_other in zip(kept[1:], rows[1:], strict=True))
    return LoadedDataset(record, kept[0], layout, rows[0], labels, group_of_key, vectors, others)


def with_statistics(dataset: LoadedDataset, statistics: Sequence[Statistic]) -> LoadedDataset:
    """Return a dataset that was read with what its keys contribute to these statistics, in place of any others.

    They take 8 bytes a key and statistic, and are of use to one run; the keys, which take longer to make, serve the next run too.

    Raises:
        UsageError: a value is not registered, or a statistic may pass 63 bits.
    """
    record, keyed = dataset.record, dataset.keyed
    _check_statistics(record, statistics)
    return replace(dataset, vectors=_vectors(record, as_source(keyed.table), keyed, statistics))


def released_rows(source: Source, keyed: Keyed, layout: RowLayout, sources: dict[str, str], rows_per_key: int) -> ReleasedRows:
    """Return the rows to release: the first ``rows_per_key`` of each key; rows of a key that has more are marked as cut."""
    groups = keyed.group_of_row
    if keyed.key_count == len(groups):  # one row a key
        payloads = layout.encode(source.table, keyed.row_of, sources=sources, file=source.name)
        return ReleasedRows(groups, np.ones(len(groups), np.uint32), payloads, layout.width, rows_per_key)
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


def _check_statistics(record: DatasetRecord, statistics: Sequence[Statistic]) -> None:
    values = {value.name for value in record.values}
    for statistic in statistics:
        if statistic.column is not None and statistic.column not in values:
            fields = {"name": statistic.column, "dataset": record.name, "known": ", ".join(value.name for value in record.values)}
            raise UsageError("node.value-not-registered", **fields)


def _vectors(record: DatasetRecord, source: Source, keyed: Keyed, statistics: Sequence[Statistic]) -> NDArray[np.int64] | None:
    if not statistics:
        return None
    values = {value.name: value for value in record.values}
    used = dict.fromkeys(statistic.column for statistic in statistics if statistic.column is not None)
    cells = {name: read_values(source, keyed.row_of, _value_use(values[name])) for name in used}
    return statistic_vectors(statistics, cells, keyed.group_of_row, keyed.key_count, record.max_rows_per_key)


def _judged(
    record: DatasetRecord, source: Source, choices: Sequence[tuple[KeyUse, ...]], rejects: Path | None
) -> tuple[RejectSummary, Iterator[Keyed]]:
    """Judge the rows of a source by its policy; return the refused ones, and for each choice of keys these with their rows."""
    if len(choices) == 1:
        keyed = prepare_keys(source, choices[0], region=record.region, on_bad=record.on_bad, rejects=rejects)
        return keyed.rejected, iter([keyed])
    if rejects is not None:
        check_output(rejects)
    table = KeyTable.of(source, choices, region=record.region)
    rejected = judge(table.verdict(), on_bad=record.on_bad, rejects=rejects, several=True)
    return rejected, (table.keyed(number, rejected) for number in range(len(choices)))


def _uses(record: DatasetRecord, names: Sequence[str]) -> list[KeyUse]:
    known = {key.name: KeyUse(key.name, key.column, key.kind) for key in record.keys}
    for name in names:
        if name not in known:
            raise UsageError("node.key-not-registered", name=name, dataset=record.name, known=", ".join(known))
    return [known[name] for name in names]


def _value_use(registered: RegisteredValue) -> ValueUse:
    return ValueUse(registered.value, registered.column, whole=registered.type == "int64", clip=registered.clip)


def _check_rows_per_key(record: DatasetRecord, source: Source, uses: Sequence[KeyUse], keyed: Keyed) -> None:
    sizes = np.bincount(keyed.group_of_row, minlength=keyed.key_count)
    if sizes.max(initial=0) <= record.max_rows_per_key:
        return
    row = int(keyed.row_of[np.flatnonzero(keyed.group_of_row == sizes.argmax())[0]])
    place = source.place(row)
    key = masked_key(source.table, uses, row)
    sizes_told = {"found": int(sizes.max()), "bound": record.max_rows_per_key, "limit": ROWS_PER_KEY_MAX}
    raise DataError("node.key-rows-many", file=place.file, row=place.row, key=key, **sizes_told)


def _check_release(record: DatasetRecord, source: Source) -> None:
    layout = RowLayout(record.released_columns)
    if not layout.columns:
        return
    sources = {column.name: column.column for column in record.release}
    for start in range(0, source.table.num_rows, _CHECKED_AT_ONCE):
        rows = np.arange(start, min(start + _CHECKED_AT_ONCE, source.table.num_rows))
        layout.encode(source.table, rows, sources=sources, file=source.name)
