"""Finished shards of runs that are not over, sealed on disk: a run that broke off goes on after them.

::

    HOME/keys/kept.key          0600  32 random bytes; made when first needed
    HOME/kept/<run>/            0700  one folder a run, called by its first attempt
    ├── run                     0600  KeptRun, sealed: what the run is, and who may go on with it
    └── 00000, 00001, …         0600  this party's part of each finished shard, sealed

A file is a document in the clear (``_Head``: which run, which side, which part, and the hash of what both parties sent and
received up to its end), a length before it, and the content under AES-256-GCM with the document as associated data. So a file
that was changed, cut or exchanged for another run's does not open: it counts as missing, and so do the shards after it. One put
back from an earlier attempt opens only where it fits the chain, and both sides compare their chains before they go on. Lengths
show; they are about those of the result. What is kept is the outcome of shards, never a secret of the protocol; it is personal
data, and goes when the run is over, when it cannot go on, or at the first use of the node two days after something was added.

A run goes on in one session at a time: whoever takes it up counts up ``attempts``, after which an older session that still
lives cannot keep anything more.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import Field

from psc.errors import DecryptionError, MalformedMessageError, StorageError
from psc.node.clock import now, parse_timestamp, timestamp
from psc.node.fields import Digest, IdentityKey, RunId, Timestamp
from psc.node.files import make_folder, read_private, remove_tree, storage_errors, write_private
from psc.node.home import Home
from psc.session.hello import KEPT_SHARDS_MAX
from psc.types import Document

__all__ = ["KEPT_HOURS", "Kept", "KeptRun", "Side", "begin", "drop", "drop_old", "kept_runs", "load"]

KEPT_HOURS = 48
"""How long the shards of a run that broke off are kept: the nightly job of the day after still finds them."""

Side = Literal["initiator", "responder"]

_RUN_FILE = "run"
_NONCE_BYTES = 12
_PIECE_BYTES = 1 << 30
"""AES-GCM seals less than 2^31 bytes at a time; a longer part is sealed in pieces."""


class KeptRun(Document):
    """What a run is that may go on.

    Attributes:
        run_id: of its first attempt.
        last_run_id: of its last one.
        attempts: how many sessions it had.
        side: this node's in it.
        partner: the other's identity.
        terms: digest of all that another attempt must have again.
        items: the initiator's: digest of its items in their order, salted with ``split``.
        split: the label of the first session, which keys the split of the sets.
        shards: number of shards in all.
        began_at: when the first attempt began.
    """

    KIND: ClassVar[str] = "kept-run"

    run_id: RunId
    last_run_id: RunId
    attempts: Annotated[int, Field(ge=1)] = 1
    side: Side
    partner: IdentityKey
    terms: Digest
    items: str = ""
    split: Digest
    shards: Annotated[int, Field(ge=2, le=KEPT_SHARDS_MAX)]
    began_at: Timestamp

    @property
    def until(self) -> str:
        """Until when it is kept."""
        return timestamp(parse_timestamp(self.began_at) + timedelta(hours=KEPT_HOURS))

    @property
    def too_old(self) -> bool:
        """Whether it was kept for as long as it may be."""
        return now() >= parse_timestamp(self.until)


class _Head(Document):
    """The clear head of a file.

    Attributes:
        run_id: of the run's first attempt.
        side: whose part it is.
        part: number of the shard; -1 for the run itself.
        previous: ``chain`` of the shard before; of the run itself and of shard 0 it is ``run_id``.
        chain: hash of ``previous`` with what this shard's session had sent and received at the shard's end.
        pieces: lengths of the sealed pieces.
    """

    KIND: ClassVar[str] = "kept-part"

    run_id: RunId
    side: Side
    part: Annotated[int, Field(ge=-1, lt=KEPT_SHARDS_MAX)]
    previous: str
    chain: str
    pieces: tuple[Annotated[int, Field(ge=0)], ...]


@dataclass(repr=False)
class Kept:
    """A run that may go on, and what is kept of it.

    Attributes:
        home: the node.
        run: what it is.
        chain: for each kept shard, the hash that chains both parties' messages up to its end.
        parts: the kept parts, as they were given to ``keep``, of shards of earlier attempts.
        damaged: the file that did not open; empty when all did. It counts as missing, with those after it.
    """

    home: Home
    run: KeptRun
    chain: list[str] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)
    damaged: str = ""

    @property
    def _folder(self) -> Path:
        return _folder(self.home, self.run.run_id)

    def keep(self, number: int, part: bytes, transcripts: tuple[str, str]) -> None:
        """Keep this party's part of a shard that was finished; it is on the disk when this returns.

        Args:
            number: of the shard; they come in order.
            part: what the party needs of it when it goes on.
            transcripts: hashes of all frames of the session from the initiator and to it, up to the end of the shard.

        Raises:
            StorageError: the disk refuses, or a later session went on with this run.
        """
        previous = self.chain[-1] if self.chain else self.run.run_id
        chain = hashlib.sha256("\n".join(("psc/v1/kept", previous, str(number), *transcripts)).encode()).hexdigest()
        with _locked(self._folder):
            if _read_run(self.home, self.run.run_id) != self.run:
                raise StorageError("node.kept-elsewhere", run_id=self.run.run_id)
            head = _Head(
                run_id=self.run.run_id, side=self.run.side, part=number, previous=previous, chain=chain, pieces=_pieces(part)
            )
            write_private(self._folder / f"{number:05d}", _seal(_key(self.home), head, part))
        self.chain.append(chain)

    def again(self, run_id: str, attempt: int, finished: int) -> None:
        """Take the run up in another session, after so many shards; what is kept of later ones goes.

        Args:
            run_id: of the session's run.
            attempt: its number, as both sides have it.
            finished: shards that both have.

        Raises:
            StorageError: the disk refuses, or another session took it up meanwhile.
        """
        with _locked(self._folder):
            if _read_run(self.home, self.run.run_id) != self.run:
                raise StorageError("node.kept-elsewhere", run_id=self.run.run_id)
            self.run = self.run.model_copy(update={"attempts": attempt, "last_run_id": run_id})
            del self.chain[finished:], self.parts[finished:]
            for file in self._folder.iterdir():
                if file.name.isdigit() and int(file.name) >= finished:
                    file.unlink(missing_ok=True)
            _write_run(self.home, self.run)

    def drop(self) -> None:
        """Remove all that is kept of the run; a later session that goes on with it ends when it next keeps something.

        So a run that must not go on does not, even if a session that takes it up began while the message was on its way.
        """
        self.chain.clear()
        self.parts.clear()
        drop(self.home, self.run.run_id)

    @classmethod
    def _load(cls, home: Home, run: KeptRun) -> Self:
        kept, folder, key = cls(home, run), _folder(home, run.run_id), _key(home)
        for number in range(run.shards):
            file = folder / f"{number:05d}"
            if not file.exists():
                break
            previous = kept.chain[-1] if kept.chain else run.run_id
            try:
                head, part = _open(key, read_private(file))
            except (DecryptionError, StorageError):
                kept.damaged = str(file)
                break
            if (head.run_id, head.side, head.part, head.previous) != (run.run_id, run.side, number, previous):
                kept.damaged = str(file)
                break
            kept.chain.append(head.chain)
            kept.parts.append(part)
        return kept


def begin(home: Home, run: KeptRun) -> Kept:
    """Begin to keep the shards of a run; what is too old goes first.

    Raises:
        StorageError: the disk refuses.
    """
    drop_old(home)
    make_folder(_root(home))
    make_folder(_folder(home, run.run_id))
    _write_run(home, run)
    return Kept(home, run)


def load(home: Home, run_id: str) -> Kept | None:
    """Return what is kept of a run, by its first attempt; ``None`` when nothing is, or it is too old or does not open."""
    try:
        run = _read_run(home, run_id)
    except (DecryptionError, StorageError):
        return None
    return None if run.too_old else Kept._load(home, run)


def drop(home: Home, run_id: str) -> None:
    """Remove all that is kept of a run, by its first attempt."""
    remove_tree(_folder(home, run_id))


def kept_runs(home: Home) -> dict[str, tuple[KeptRun, int]]:
    """Return every run that may go on and the number of its kept shards (unchecked), by the id of its last attempt."""
    found = {}
    for folder in _folders(home):
        with contextlib.suppress(DecryptionError, StorageError):
            run = _read_run(home, folder.name)
            if not run.too_old:
                found[run.last_run_id] = (run, sum(file.name.isdigit() for file in folder.iterdir()))
    return found


def drop_old(home: Home) -> None:
    """Remove what nobody added to for as long as it may be kept."""
    for folder in _folders(home):
        with contextlib.suppress(OSError):  # another process removed it
            if time.time() - folder.stat().st_mtime > KEPT_HOURS * 3600:
                remove_tree(folder)


def _root(home: Home) -> Path:
    return home.path / "kept"


def _folder(home: Home, run_id: str) -> Path:
    return _root(home) / run_id


def _folders(home: Home) -> list[Path]:
    root = _root(home)
    return [folder for folder in root.iterdir() if folder.is_dir()] if root.is_dir() else []


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder, for the moment of one change."""
    with storage_errors(folder):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _key(home: Home) -> AESGCM:
    """Return the node's key for what it keeps, made by whoever needs it first."""
    file = home.path / "keys" / "kept.key"
    if not file.exists():
        with _locked(file.parent):
            if not file.exists():  # of two that make one at once, the first does
                write_private(file, AESGCM.generate_key(256))
    try:
        return AESGCM(read_private(file))
    except ValueError:
        raise StorageError("node.key-damaged", path=str(file)) from None


def _pieces(part: bytes) -> tuple[int, ...]:
    return tuple(min(_PIECE_BYTES, len(part) - start) for start in range(0, len(part), _PIECE_BYTES)) or (0,)


def _associated(head: bytes, piece: int) -> bytes:
    return b"psc/v1/kept\x00" + piece.to_bytes(4, "big") + head


def _seal(key: AESGCM, head: _Head, part: bytes) -> bytes:
    clear, sealed, start = head.canonical(), [], 0
    for piece, length in enumerate(head.pieces):
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed += [nonce, key.encrypt(nonce, part[start : start + length], _associated(clear, piece))]
        start += length
    return b"".join([len(clear).to_bytes(4, "big"), clear, *sealed])


def _open(key: AESGCM, data: bytes) -> tuple[_Head, bytes]:
    """Open a file.

    Raises:
        DecryptionError: it is not what was sealed.
    """
    end = 4 + int.from_bytes(data[:4], "big")
    clear, opened = data[4:end], []
    try:
        head = _Head.parse(clear)
        for piece, length in enumerate(head.pieces):
            start, end = end + _NONCE_BYTES, end + _NONCE_BYTES + length + 16
            opened.append(key.decrypt(data[start - _NONCE_BYTES : start], data[start:end], _associated(clear, piece)))
    except (InvalidTag, MalformedMessageError, ValueError):
        raise DecryptionError("node.kept-damaged", path="") from None
    if end != len(data):
        raise DecryptionError("node.kept-damaged", path="")
    return head, b"".join(opened)


def _write_run(home: Home, run: KeptRun) -> None:
    content = run.canonical()
    head = _Head(run_id=run.run_id, side=run.side, part=-1, previous=run.run_id, chain="", pieces=_pieces(content))
    write_private(_folder(home, run.run_id) / _RUN_FILE, _seal(_key(home), head, content))


def _read_run(home: Home, run_id: str) -> KeptRun:
    """Return what a kept run is.

    Raises:
        StorageError: there is none, or others can read it.
        DecryptionError: it does not open.
    """
    head, content = _open(_key(home), read_private(_folder(home, run_id) / _RUN_FILE))
    try:
        run = KeptRun.parse(content)
    except MalformedMessageError:  # sealed by another release
        raise DecryptionError("node.kept-damaged", path="") from None
    if (head.part, head.run_id, run.run_id) != (-1, run_id, run_id):
        raise DecryptionError("node.kept-damaged", path="")
    return run
