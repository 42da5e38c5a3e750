"""Private files of a home: written atomically, readable by their owner alone, every failure a ``StorageError``."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from psc.errors import StorageError

__all__ = ["check_private", "make_folder", "read_private", "remove_tree", "storage_errors", "sync_folder", "write_private"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` inside the block into a ``StorageError`` that names ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageError("node.disk-full", path=str(path)) from error
        if error.errno in _FORBIDDEN:
            raise StorageError("node.path-forbidden", path=str(path), problem=_reason(error)) from error
        raise StorageError("node.path-unusable", path=str(path), problem=_reason(error)) from error


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__


def make_folder(path: Path) -> None:
    """Make a folder that only its owner may enter; it may exist already."""
    with storage_errors(path):
        path.mkdir(mode=0o700, exist_ok=True)
        path.chmod(0o700)


def write_private(path: Path, data: bytes) -> None:
    """Write a file with mode 0600 so that a crash leaves either the old content or the new, never a part.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with storage_errors(path):
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def read_private(path: Path) -> bytes:
    """Return the content of a file that only its owner may read.

    Raises:
        StorageError: it is missing or cannot be read, or others may read it.
    """
    check_private(path)
    with storage_errors(path):
        return path.read_bytes()


def check_private(path: Path, *, others_may_read: bool = False) -> None:
    """Refuse a file or folder that other users of the machine can reach.

    Args:
        path: the file or folder.
        others_may_read: only writing by others is refused (settings hold no secret, yet steer the node).

    Raises:
        StorageError: its permissions are too wide; the text has the command that narrows them. Or it is missing.
    """
    with storage_errors(path):
        found = path.stat().st_mode & 0o777
    refused = 0o022 if others_may_read else 0o077
    if found & refused:
        wanted = 0o700 if path.is_dir() else 0o600
        raise StorageError("node.permissions-wide", path=str(path), found=f"{found:04o}", wanted=f"{wanted:o}")


def sync_folder(path: Path) -> None:
    """Make a rename inside a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_tree(path: Path) -> None:
    """Remove a folder that this process made, with everything in it, as far as that is possible."""
    shutil.rmtree(path, ignore_errors=True)
