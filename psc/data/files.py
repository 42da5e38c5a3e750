"""Files, folders and URLs: what is there, in which format, and a plain word for everything that can go wrong with opening it."""

from __future__ import annotations

import gzip
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import unquote

from psc.errors import DataError

__all__ = ["FileRef", "find_files", "folder_values", "opened", "shown"]

Format = Literal["csv", "tsv", "parquet"]
_SUFFIXES: dict[str, tuple[Format, bool]] = {
    ".csv": ("csv", False),
    ".csv.gz": ("csv", True),
    ".tsv": ("tsv", False),
    ".tsv.gz": ("tsv", True),
    ".parquet": ("parquet", False),
    ".pq": ("parquet", False),
}
_URL = re.compile(r"^(?:[a-z][a-z0-9+.-]*::)*[a-z][a-z0-9+.-]+://|^[a-z][a-z0-9+.-]+::", re.IGNORECASE)
_DEFAULT_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class FileRef:
    """One file to read.

    Attributes:
        path: where it is, in the words of its file system.
        name: as shown to people.
        format: by its suffix.
        compressed: by gzip.
        partitions: column → value, from folders named ``column=value``.
        filesystem: of fsspec, or None for a local path.
    """

    path: str
    name: str
    format: Format
    compressed: bool = False
    partitions: dict[str, str | None] = field(default_factory=dict)
    filesystem: Any = field(default=None, repr=False)

    @property
    def plain(self) -> bool:
        """Whether the path is that of a local file that stands there as it is read."""
        return not self.compressed and self.filesystem is None

    def open(self) -> BinaryIO:
        """Open the file's content, unpacked.

        Compressed and remote files are read into memory, because they are read more than once.

        Raises:
            DataError: it is missing, may not be read, or is no gzip file.
        """
        with _mapped(self.name, remote=self.filesystem is not None):
            if self.plain:
                return Path(self.path).open("rb")
            with self.filesystem.open(self.path, "rb") if self.filesystem else Path(self.path).open("rb") as raw:
                content: bytes = raw.read()
        if self.compressed:
            try:
                content = gzip.decompress(content)
            except (OSError, EOFError, ValueError):
                raise DataError("data.gzip-damaged", file=self.name) from None
        return io.BytesIO(content)


@contextmanager
def opened(ref: FileRef) -> Iterator[BinaryIO]:
    """Open a file for a ``with`` block; errors of the disk or the network while it is read become ``DataError`` too."""
    with ref.open() as stream, _mapped(ref.name):
        yield stream


def shown(path: str) -> str:
    """Return a path or URL as it may be printed: without user, password or the query of a signed URL."""
    if not _URL.match(path):
        return path
    return re.sub(r"[?#].*$", "", re.sub(r"(://)[^/@]*@", r"\1", path))


def find_files(path: str | os.PathLike[str]) -> list[FileRef]:
    """Return the file that a path names, or the files of a folder, in the order of their names.

    Args:
        path: a local path or a URL of any file system that fsspec knows.

    Returns:
        At least one file. In a folder, names that begin with ``.`` or ``_`` are left out, as other tools do, and folders named
        ``column=value`` are partitions.

    Raises:
        DataError: nothing is there, it may not be read, the format is not known, or a folder mixes formats.
    """
    text = os.fsdecode(path)
    if _URL.match(text) and not text.lower().startswith("file://"):
        return _find_remote(text)
    local = Path(unquote(text[7:]) if text.lower().startswith("file://") else text).expanduser()
    with _mapped(str(local)):
        if local.is_dir():
            walk = os.walk(local, followlinks=True, onerror=_raise)  # a part that cannot be read is never left out
            names = [os.path.relpath(Path(folder, file), local) for folder, _, files in walk for file in files]
            return _in_folder(str(local), names, str(local), None)
        if not local.exists():
            raise FileNotFoundError
    kind, compressed = _format_of(local.name, str(local))
    return [FileRef(str(local), str(local), kind, compressed)]


def _raise(error: OSError) -> None:
    raise error


def _find_remote(url: str) -> list[FileRef]:
    name = shown(url)
    try:
        fsspec = import_module("fsspec")
    except ImportError:
        raise DataError("data.fsspec-missing", file=name, package="fsspec") from None
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ValueError:
        raise DataError("data.url-unknown", file=name) from None
    except ImportError as error:
        package = re.search(r"install (\S+)", str(error), re.IGNORECASE)
        raise DataError("data.fsspec-missing", file=name, package=package[1] if package else "fsspec") from None
    with _mapped(name, remote=True):
        if filesystem.isdir(path):
            root = filesystem._strip_protocol(path).rstrip("/")
            names = [found[len(root) :].lstrip("/") for found in filesystem.find(path)]
            return _in_folder(root, names, name.rstrip("/"), filesystem)
        if not filesystem.exists(path):
            raise FileNotFoundError
    kind, compressed = _format_of(name, name)
    return [FileRef(path, name, kind, compressed, filesystem=filesystem)]


def _in_folder(root: str, names: list[str], shown_root: str, filesystem: Any) -> list[FileRef]:
    files = []
    for name in sorted(names):
        segments = name.replace(os.sep, "/").split("/")
        if any(segment.startswith((".", "_")) for segment in segments):
            continue
        display = f"{shown_root}/{name}"
        kind, compressed = _format_of(segments[-1], display)
        files.append(FileRef(f"{root}/{name}", display, kind, compressed, folder_values(segments[:-1]), filesystem))
    if not files:
        raise DataError("data.folder-empty", file=shown_root)
    for other in files[1:]:
        if other.format != files[0].format:
            raise DataError("data.folder-mixed", file=shown_root, one=files[0].name, other=other.name)
        if set(other.partitions) != set(files[0].partitions):
            raise DataError("data.folder-partitions", file=shown_root, one=files[0].name, other=other.name)
    return files


def folder_values(segments: list[str]) -> dict[str, str | None]:
    """Return the partition columns that folders named ``column=value`` stand for; values stay text, so ``01`` stays ``01``."""
    values: dict[str, str | None] = {}
    for segment in segments:
        column, equals, value = segment.partition("=")
        if equals and column:
            values[unquote(column)] = None if value == _DEFAULT_PARTITION else unquote(value)
    return values


def _format_of(name: str, display: str) -> tuple[Format, bool]:
    lower = name.lower()
    for suffix, found in _SUFFIXES.items():
        if lower.endswith(suffix):
            return found
    suffix = "".join(Path(name).suffixes[-1:]) or "-"
    raise DataError("data.suffix-unknown", file=display, suffix=suffix, known=" ".join(_SUFFIXES))


@contextmanager
def _mapped(name: str, *, remote: bool = False) -> Iterator[None]:
    """Turn what operating and file systems raise into a ``DataError`` that says what to do."""
    try:
        yield
    except DataError:
        raise
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise DataError("data.file-missing", file=name) from None
    except PermissionError:
        raise DataError("data.file-not-readable", file=name) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise DataError("data.file-unreadable", file=name, reason=reason) from None
    except Exception as error:
        if not remote:
            raise
        # Remote file systems raise what their client libraries please, and their words may hold a signed URL.
        raise DataError("data.file-unreadable", file=name, reason=type(error).__name__) from None
