"""Registered datasets: tables that this node answers questions about.

A dataset is registered at a frozen version. Its source is read again for each run, and a source that changed since is
refused: partners agreed on a version, and an answer from other rows would be a wrong answer. No row is copied into the
home; the record holds names, counts and a version that is salted, so that it says nothing about the rows.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from psc.data.kinds import RULES_ID, metadata_hash
from psc.data.version import dataset_version
from psc.errors import UsageError
from psc.node.clock import now, timestamp
from psc.node.fields import check_name
from psc.node.home import Home
from psc.node.records import (
    ROWS_PER_KEY_MAX,
    DatasetRecord,
    KeyCount,
    RegisteredGroup,
    RegisteredKey,
    RegisteredRelease,
    RegisteredValue,
    ValueCount,
)
from psc.node.specs import parse_group, parse_key, parse_release, parse_value
from psc.node.store import stored_document
from psc.node.tables import LoadedDataset, Survey, read_dataset, survey
from psc.types import GroupColumn, Statistic

__all__ = ["add_dataset", "find_dataset", "get_dataset", "list_datasets", "load_dataset", "remove_dataset"]


def add_dataset(
    home: Home,
    name: str,
    *,
    source: str | os.PathLike[str],
    keys: Sequence[str],
    release: Sequence[str] = (),
    values: Sequence[str] = (),
    groups: Sequence[str] = (),
    max_rows_per_key: int = 1,
    on_bad: Literal["error", "skip"] = "error",
    rejects: str | os.PathLike[str] | None = None,
    replace: bool = False,
) -> DatasetRecord:
    """Register a dataset: read its source once, check every cell that is declared, count, and freeze the version.

    Args:
        home: the node.
        name: what partners call it.
        source: a path or URL (CSV, Parquet, folder); it is read again for each run.
        keys: key columns as ``NAME=COLUMN:KIND`` (``psc.node.specs`` has every form); at least one.
        release: columns that an agreement may release, as ``NAME=COLUMN:text:WIDTH`` or ``NAME=COLUMN:TYPE``.
        values: columns of numbers that an agreement may allow to aggregate, as ``NAME=COLUMN:int64:LOW..HIGH`` or
            ``NAME=COLUMN:decimal:SCALE:LOW..HIGH``, with ``:clip`` to let values outside count as the end of the range.
        groups: columns that an agreement may allow to group by, as ``NAME=COLUMN``.
        max_rows_per_key: rows of one key that are released at most, 1 to 1024; a public number. With values no key may have
            more.
        on_bad: a bad key cell is an error, or its row is skipped. With several keys a blank cell is none: its row has not this
            key; a row that has no key at all is bad.
        rejects: with ``skip``, a file that gets row and reason of every rejected row.
        replace: take the place of a dataset of this name, as after its source changed.

    Returns:
        The record.

    Raises:
        UsageError: a declaration is wrong, or the name is in use.
        DataError: the source cannot be read, a column is missing, a key cell is bad, or a released cell does not fit; the
            text names the place. So it is for values and groups (``psc.node.tables.survey``).
    """
    check_name(name, "dataset")
    if not 1 <= max_rows_per_key <= ROWS_PER_KEY_MAX:
        raise UsageError("node.rows-per-key-range", value=max_rows_per_key, limit=ROWS_PER_KEY_MAX)
    before = find_dataset(home, name)
    if before is not None and not replace:
        raise UsageError("node.dataset-exists", name=name)
    declared = _declared(keys, release, values, groups)
    draft = _draft(name, _absolute(source), declared, max_rows_per_key, on_bad, home.settings.region, before)
    record = _surveyed(draft, survey(draft, rejects=Path(rejects) if rejects is not None else None))
    with home.store.write() as db:
        if not replace and db.execute("SELECT 1 FROM datasets WHERE name = ?", (name,)).fetchone() is not None:
            raise UsageError("node.dataset-exists", name=name)
        db.execute("INSERT OR REPLACE INTO datasets (name, record) VALUES (?, ?)", (name, record.canonical().decode()))
    return record


def list_datasets(home: Home) -> tuple[DatasetRecord, ...]:
    """Return every registered dataset, by name."""
    with home.store.read() as db:
        rows = db.execute("SELECT record FROM datasets ORDER BY name").fetchall()
    return tuple(stored_document(DatasetRecord, row[0]) for row in rows)


def find_dataset(home: Home, name: str) -> DatasetRecord | None:
    """Return a dataset by name, or None."""
    with home.store.read() as db:
        row = db.execute("SELECT record FROM datasets WHERE name = ?", (name,)).fetchone()
    return None if row is None else stored_document(DatasetRecord, row[0])


def get_dataset(home: Home, name: str) -> DatasetRecord:
    """Return a dataset by name.

    Raises:
        UsageError: there is none; the text lists the registered ones.
    """
    record = find_dataset(home, name)
    if record is None:
        known = ", ".join(known.name for known in list_datasets(home))
        raise UsageError("node.dataset-unknown", name=name, known=known)
    return record


def remove_dataset(home: Home, name: str) -> None:
    """Forget a dataset; its source is not touched. Agreements that name it stay and grant nothing.

    Raises:
        UsageError: there is none of this name.
    """
    get_dataset(home, name)
    with home.store.write() as db:
        db.execute("DELETE FROM datasets WHERE name = ?", (name,))


def load_dataset(
    home: Home,
    name: str,
    *,
    keys: Sequence[str] | None = None,
    release: Sequence[str] = (),
    rows_per_key: int | None = None,
    statistics: Sequence[Statistic] = (),
    groups: Sequence[str] = (),
) -> LoadedDataset:
    """Read a registered dataset for a run.

    Args:
        home: the node.
        name: the dataset.
        keys: names of the keys to match on; all by default.
        release: names of the columns to release, in the order of the run; none by default.
        rows_per_key: an agreement's bound on released rows, when it is lower than the registered one.
        statistics: what an aggregate adds up, in the order of the run.
        groups: names of the group columns, in the order of the run.

    Raises:
        UsageError: there is no such dataset, key, column, value or group.
        DataError: the source changed since registration, or the rules for its keys did; or it cannot be read.
    """
    record = get_dataset(home, name)
    return read_dataset(record, keys=keys, release=release, rows_per_key=rows_per_key, statistics=statistics, groups=groups)


@dataclass(frozen=True, slots=True)
class _Declared:
    keys: tuple[RegisteredKey, ...]
    release: tuple[RegisteredRelease, ...]
    values: tuple[RegisteredValue, ...]
    groups: tuple[RegisteredGroup, ...]


def _declared(keys: Sequence[str], release: Sequence[str], values: Sequence[str], groups: Sequence[str]) -> _Declared:
    if not keys:
        raise UsageError("node.keys-missing")
    uses = [parse_key(spec) for spec in keys]
    found_keys = tuple(RegisteredKey(name=use.key_name, kind=use.kind, column=use.column) for use in uses)
    found_release = tuple(
        RegisteredRelease(name=column.name, type=column.type, width_bytes=column.width_bytes, column=source)
        for column, source in (parse_release(spec) for spec in release)
    )
    found_values = tuple(
        RegisteredValue(
            name=use.value.name,
            type="int64" if use.whole else "decimal",
            scale=use.value.scale,
            low=use.value.low,
            high=use.value.high,
            clip=use.clip,
            column=use.column,
        )
        for use in map(parse_value, values)
    )
    found_groups = tuple(RegisteredGroup(name=use.name, column=use.column) for use in map(parse_group, groups))
    for what, entries, most in (
        ("--key", found_keys, 4),
        ("--release", found_release, 64),
        ("--value", found_values, 64),
        ("--group", found_groups, 64),
    ):
        names = [entry.name for entry in entries]
        if len(names) > most:
            raise UsageError("node.spec-many", option=what, limit=most)
        for label in names:
            if names.count(label) > 1:
                raise UsageError("node.spec-twice", option=what, name=label)
    return _Declared(found_keys, found_release, found_values, found_groups)


def _draft(
    name: str,
    source: str,
    declared: _Declared,
    max_rows_per_key: int,
    on_bad: Literal["error", "skip"],
    region: str,
    before: DatasetRecord | None,
) -> DatasetRecord:
    """Return the record before anything is counted."""
    return DatasetRecord(
        name=name,
        source=source,
        keys=declared.keys,
        release=declared.release,
        values=declared.values,
        groups=declared.groups,
        max_rows_per_key=max_rows_per_key,
        on_bad=on_bad,
        region=region,
        rules=RULES_ID,
        number_metadata=metadata_hash(region),
        # The salt of a replaced dataset goes on, so that the same content has the same version again.
        salt=before.salt if before is not None else secrets.token_hex(32),
        version="0" * 64,
        row_count=0,
        most_rows_per_key=0,
        counts=(KeyCount(keys=(), count=0, rows_rejected=0),),
        registered_at=timestamp(now()),
    )


def _absolute(source: str | os.PathLike[str]) -> str:
    text = os.fspath(source)
    return text if "://" in text else str(Path(text).expanduser().absolute())


def _surveyed(draft: DatasetRecord, found: Survey) -> DatasetRecord:
    salt = bytes.fromhex(draft.salt)
    return draft.model_copy(
        update={
            "version": dataset_version(found.fingerprint, draft.rules_text(), salt),
            "row_count": found.row_count,
            "rows_rejected": found.rows_rejected,
            "most_rows_per_key": found.most_rows_per_key,
            "counts": tuple(KeyCount(keys=names, count=count, rows_rejected=rejected) for names, count, rejected in found.counts),
            "value_counts": tuple(ValueCount(name=name, nulls=nulls, clipped=cut) for name, nulls, cut in found.values),
            "group_columns": tuple(GroupColumn(name=name, groups=labels) for name, labels in found.groups),
        }
    )
