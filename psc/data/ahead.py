"""A local table that is read while something else goes on: a program that loads, a partner that is asked.

It stands wherever a path to a table may stand. What goes wrong with it is told by whoever takes the table, not before.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psc.data.source import Source

__all__ = ["ReadAhead"]


class ReadAhead:
    """A table that is read from ``begin`` on; see ``psc.data.table.load``, which takes it.

    Args:
        path: a local file or folder.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._source: Source | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="psc-read-ahead", daemon=True)

    def begin(self) -> None:
        """Begin to read; does nothing where it was begun before."""
        if self._thread.ident is None:
            self._thread.start()

    def __fspath__(self) -> str:
        return self._path

    def __str__(self) -> str:
        return self._path

    def result(self) -> Source:
        """Wait for the table and return it, or raise what ended the reading."""
        self.begin()
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._source is not None  # noqa: S101 - one of the two was set
        return self._source

    def _read(self) -> None:
        try:
            from psc.data.table import load

            self._source = load(self._path)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error
