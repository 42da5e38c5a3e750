"""The node's store: one SQLite file, safe for several processes and threads at once.

WAL lets readers go on while one writer works; ``synchronous=FULL`` means that what was committed (a quota charge above all)
survives a power cut; every writing transaction starts with ``BEGIN IMMEDIATE``, so that what it reads cannot change before
it writes. Transactions are short: no network and no table of rows is touched inside one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from psc.errors import MalformedMessageError, StorageError
from psc.node.files import check_private, storage_errors
from psc.types import Document

__all__ = ["SCHEMA_VERSION", "Store", "stored_document"]

D = TypeVar("D", bound=Document)

SCHEMA_VERSION = 1
"""The layout of the home that this release writes. An older home is brought up to it, a newer one is refused."""

_APPLICATION_ID = 0x50534331  # "PSC1"; tells our store from any other SQLite file
_BUSY_SECONDS = 30.0
_IDLE_CONNECTIONS = 4

_SCHEMA = """
CREATE TABLE cards (
    identity TEXT NOT NULL,             -- whose card
    party TEXT NOT NULL,                -- the first identity of that party that was ever pinned: it never changes
    own INTEGER NOT NULL,               -- 1: this node's
    current INTEGER NOT NULL,           -- 1: the party's card in force; exactly one a party
    name TEXT NOT NULL,
    card TEXT NOT NULL,                 -- the signed card file
    pinned_at TEXT NOT NULL,
    PRIMARY KEY (identity)
);
CREATE UNIQUE INDEX cards_current ON cards (party) WHERE current = 1;
CREATE UNIQUE INDEX cards_name ON cards (name) WHERE current = 1;

CREATE TABLE datasets (
    name TEXT PRIMARY KEY,
    record TEXT NOT NULL                -- DatasetRecord
);

CREATE TABLE agreements (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,          -- order of arrival
    file TEXT NOT NULL                  -- the agreement file: document, signatures, revocations
);

CREATE TABLE charges (
    id INTEGER PRIMARY KEY,
    party TEXT NOT NULL,                -- who asked, by first pinned identity: a new key buys no new quota
    dataset TEXT NOT NULL,
    day TEXT NOT NULL,                  -- UTC
    run_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    runs INTEGER NOT NULL,              -- 1 when a run was accepted, 0 for elements charged later
    elements INTEGER NOT NULL,
    at TEXT NOT NULL
);
CREATE INDEX charges_quota ON charges (party, dataset, day);

CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    started_at TEXT NOT NULL,
    status TEXT NOT NULL,
    cancel INTEGER NOT NULL DEFAULT 0,
    record TEXT NOT NULL,               -- RunRecord
    receipt TEXT                        -- the signed receipt file
);
CREATE INDEX runs_started ON runs (started_at);
"""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_FORBIDDEN = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH}


class Store:
    """The tables of a home.

    Args:
        path: an existing store; see ``create``.

    Raises:
        StorageError: it cannot be opened, is no store of psc, is damaged, or was written by a newer release.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        # A store dropped without close() must not leave open connections to the garbage collector's warnings.
        self._finalizer = weakref.finalize(self, _close_all, self._idle)
        with self.read() as db:
            self._check_layout(db)

    @classmethod
    def create(cls, path: Path) -> None:
        """Make an empty store with mode 0600.

        Raises:
            StorageError: it exists already, or the disk refuses.
        """
        with storage_errors(path):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with _errors(path), contextlib.closing(_connect(path)) as db:
            db.executescript(
                f"PRAGMA application_id={_APPLICATION_ID}; BEGIN IMMEDIATE; {_SCHEMA}"
                f"PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            )

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one unchanging state and cannot write."""
        with self._connection() as db:
            db.execute("PRAGMA query_only=ON")
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("ROLLBACK")
                db.execute("PRAGMA query_only=OFF")

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give a connection whose changes are all committed at the block's end, or none when it raises."""
        with self._connection() as db:
            _begin(db)
            try:
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    def close(self) -> None:
        """Close the idle connections; the store cannot be used afterwards."""
        with self._lock:
            self._closed = True
        self._finalizer()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with _errors(self._path):
            db = self._take()
            healthy = False
            try:
                yield db
                healthy = True
            except sqlite3.Error:
                raise
            except BaseException:
                healthy = not db.in_transaction
                raise
            finally:
                if not (healthy and self._give_back(db)):
                    db.close()

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise StorageError("node.store-closed", path=str(self._path))
            if self._idle:
                return self._idle.pop()
        check_private(self._path)
        return _connect(self._path)

    def _give_back(self, db: sqlite3.Connection) -> bool:
        with self._lock:
            if self._closed or len(self._idle) >= _IDLE_CONNECTIONS:
                return False
            self._idle.append(db)
            return True

    def _check_layout(self, db: sqlite3.Connection) -> None:
        if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise StorageError("node.store-damaged", path=str(self._path), problem="not a store of psc")
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found > SCHEMA_VERSION:
            raise StorageError("node.home-newer", path=str(self._path.parent), found=found, known=SCHEMA_VERSION)


def stored_document(kind: type[D], text: str) -> D:
    """Return a document that the store holds.

    Raises:
        StorageError: it is not one any more: the store was damaged or edited.
    """
    try:
        return kind.parse(text.encode())
    except MalformedMessageError as error:
        problem = f"{kind.__name__}: {error.fields.get('where', 'size')}"
        raise StorageError("node.store-damaged", path="store.db", problem=problem) from None


def _connect(path: Path) -> sqlite3.Connection:
    # One thread uses a connection at a time (the pool sees to it), so SQLite's own thread check is in the way.
    db = sqlite3.connect(
        f"file:{_uri_path(path)}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        _when_free(lambda: db.execute("PRAGMA journal_mode=WAL").fetchone())
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA foreign_keys=ON")
        db.execute("PRAGMA trusted_schema=OFF")
    except BaseException:
        db.close()
        raise
    return db


def _begin(db: sqlite3.Connection) -> None:
    _when_free(lambda: db.execute("BEGIN IMMEDIATE"))


def _when_free(act: Callable[[], object]) -> None:
    """Call ``act`` until the store is free.

    SQLite's own wait does not cover every moment: the switch to WAL and a recovery after a crash answer "busy" at once.
    """
    patience = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            act()
        except sqlite3.OperationalError as error:
            if _primary(error) not in _LOCKED or time.monotonic() > patience:
                raise
            time.sleep(0.01)
        else:
            return


def _primary(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextlib.contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError:
        raise  # callers know which constraint they meant to hit
    except sqlite3.Error as error:
        code = _primary(error)
        if code == sqlite3.SQLITE_FULL:
            raise StorageError("node.disk-full", path=str(path)) from error
        if code in _LOCKED:
            raise StorageError("node.store-locked", path=str(path), seconds=int(_BUSY_SECONDS)) from error
        if code in _DAMAGED:
            raise StorageError("node.store-damaged", path=str(path), problem=str(error)) from error
        if code in _FORBIDDEN:
            raise StorageError("node.path-forbidden", path=str(path), problem=str(error)) from error
        raise StorageError("node.path-unusable", path=str(path), problem=str(error)) from error


def _close_all(idle: list[sqlite3.Connection]) -> None:
    while idle:
        idle.pop().close()


def _uri_path(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
