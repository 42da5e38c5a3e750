"""The initiator's own table: read, normalised, and bound to the plan that showed it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from psc.data.keys import Keyed, KeyUse, prepare_keys
from psc.data.table import Source, load
from psc.errors import DataError
from psc.operations.requests import Request, key_names
from psc.types import KeyColumn

__all__ = ["OwnTable", "prepare_own", "source_state"]


def source_state(source: str) -> object | None:
    """Return what tells whether a local file or folder was changed since: sizes and times; ``None`` for anything else."""
    if "://" in source:
        return None
    path = Path(source)
    with contextlib.suppress(OSError):
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        stats = [(str(file), file.stat()) for file in files if file.is_file()]
        return tuple((name, found.st_size, found.st_mtime_ns, found.st_ino) for name, found in stats)
    return None


@dataclass(frozen=True)
class OwnTable:
    """The own table as a plan read it; ``check_unchanged`` refuses to run on anything else."""

    source: Source
    keyed: Keyed
    origin: object
    state: object

    def check_unchanged(self) -> None:
        """Refuse a table that changed after the plan was shown.

        Raises:
            DataError: the file was written, or the frame in memory was changed.
        """
        if _state_of(self.origin, self.source) != self.state:
            raise DataError("operations.own-table-changed", file=self.source.name)


def prepare_own(request: Request, keys: tuple[KeyColumn, ...], region: str) -> OwnTable:
    """Read the request's table and its keys.

    Args:
        request: names the table and the columns.
        keys: the dataset's keys with their kinds, for the names of ``request.on``.
        region: region of national phone numbers.

    Raises:
        DataError: a file, column, row or cell is not what it should be; the text names the place.
        StorageError: the rejects file cannot be written.
    """
    source = load(request.source)
    columns = key_names(request.on)
    uses = [KeyUse(key.name, columns[key.name], key.kind) for key in keys]
    rejects = Path(request.rejects) if request.rejects is not None else None
    keyed = prepare_keys(source, uses, region=region, on_bad=request.on_bad, rejects=rejects)
    return OwnTable(source, keyed, request.source, _state_of(request.source, source))


def _state_of(origin: object, source: Source) -> object:
    if isinstance(origin, str | os.PathLike):
        return source_state(str(origin))
    return source.fingerprint()  # a frame in memory can be changed in place
