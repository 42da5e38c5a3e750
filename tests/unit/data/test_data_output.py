"""Writers: the whole file or none, and values that come back as they were."""

from __future__ import annotations

import csv
import datetime
import errno
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psc.data import output
from psc.data.output import check_output, replacing, write_table
from psc.data.table import load
from psc.errors import ExitCode, StorageError, UsageError

TABLE = pa.table({"mobile": ["+8613800138000", None, ""], "fee": [1, None, 3], "note": ['=1+1, "x"', "深圳\n2", "-1"]})


def fails(kind: type, path: Path, table: pa.Table = TABLE) -> StorageError:
    before = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    with pytest.raises(kind) as caught:
        write_table(table, path)
    assert before == (sorted(path.parent.iterdir()) if path.parent.is_dir() else [])
    assert str(path) in str(caught.value)
    return caught.value


# --- values --------------------------------------------------------------------------------------------------------


def test_csv_round_trips_without_changing_a_value(tmp_path: Path) -> None:
    path = write_table(TABLE, tmp_path / "out.csv")
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["mobile", "fee", "note"],
        ["+8613800138000", "1", '=1+1, "x"'],
        ["", "", "深圳\n2"],
        ["", "3", "-1"],
    ]
    again = load(path)
    assert again.table.column("mobile").to_pylist() == ["+8613800138000", None, ""]
    assert again.table.column("note").to_pylist() == TABLE.column("note").to_pylist()


def test_parquet_round_trips(tmp_path: Path) -> None:
    assert pq.read_table(write_table(TABLE, tmp_path / "out.parquet")).equals(TABLE)
    write_table(TABLE, str(tmp_path / "OUT.PARQUET"))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(alphabet=st.characters(codec="utf-8"), max_size=8)), max_size=6))
def test_any_text_round_trips_as_csv(tmp_path_factory, cells: list[str | None]) -> None:
    table = pa.table({"a": pa.array(cells, pa.large_string()), "b": pa.array(range(len(cells))).cast(pa.large_string())})
    path = write_table(table, tmp_path_factory.mktemp("out") / "out.csv")
    assert load(path).table.equals(table)


def test_types_in_csv(tmp_path: Path) -> None:
    table = pa.table(
        {
            "d": [datetime.date(2026, 11, 21)],
            "f": [1.5],
            "b": [True],
            "c": pa.array(["x"]).dictionary_encode(),
            "n": pa.nulls(1),
            "t": [datetime.datetime(2026, 11, 21, 10)],
            "z": pa.array([5], pa.decimal128(5, 2)),
        }
    )
    assert (
        write_table(table, tmp_path / "a.csv").read_text().splitlines()[1]
        == '2026-11-21,1.5,true,"x",,2026-11-21 10:00:00.000000,5.00'
    )
    for column in (pa.array([[1]]), pa.array([{"a": 1}]), pa.array([1], pa.duration("s"))):
        error = fails(UsageError, tmp_path / "b.csv", pa.table({"x": column}))
        assert (error.code, error.fields["column"]) == ("data.output-column-type", "x")


def test_no_rows_and_no_columns(tmp_path: Path) -> None:
    assert write_table(TABLE.slice(0, 0), tmp_path / "a.csv").read_text() == '"mobile","fee","note"\n'
    assert pq.read_table(write_table(TABLE.slice(0, 0), tmp_path / "a.parquet")).num_rows == 0


# --- whole or nothing ----------------------------------------------------------------------------------------------


def test_files_are_private_and_replaced_files_keep_their_mode(tmp_path: Path) -> None:
    path = write_table(TABLE, tmp_path / "out.csv")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    write_table(TABLE.slice(0, 1), path)
    assert path.stat().st_mode & 0o777 == 0o640
    assert len(path.read_text().splitlines()) == 2
    assert [item.name for item in tmp_path.iterdir()] == ["out.csv"]


def test_an_old_file_survives_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")

    def explode() -> None:
        with replacing(path) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explode()
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("step", ["write", "fsync"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, step: str, suffix: str) -> None:
    def full(*_args: object) -> None:
        raise OSError(number, os.strerror(number))

    if step == "fsync":
        monkeypatch.setattr(output.os, "fsync", full)
    else:
        real = os.fdopen

        def opened(*args: object, **more: object) -> object:
            stream = real(*args, **more)

            class Full:
                closed = False

                def __enter__(self) -> object:
                    return self

                def __exit__(self, *_args: object) -> None:
                    stream.close()

                write = staticmethod(full)
                flush = close = staticmethod(lambda: None)
                tell = staticmethod(lambda: 0)
                writable = staticmethod(lambda: True)
                readable = seekable = staticmethod(lambda: False)

            return Full()

        monkeypatch.setattr(output.os, "fdopen", opened)
    error = fails(StorageError, tmp_path / f"out{suffix}")
    assert error.code == "data.disk-full"
    assert error.exit_code == ExitCode.STORAGE


def test_a_file_size_limit_of_the_system(tmp_path: Path) -> None:
    """A real refusal of the kernel in the middle of a file: RLIMIT_FSIZE in a process of its own."""
    script = f"""
import resource, signal, sys, pathlib, pyarrow as pa
from psc.data.output import write_table
from psc.errors import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
table = pa.table({{"a": [f"{{index:09d}}" for index in range(200_000)]}})
folder = pathlib.Path({str(tmp_path)!r})
for name in ("out.csv", "out.parquet"):
    try:
        write_table(table, folder / name)
    except StorageError as error:
        assert error.code == "data.disk-full", error
    else:
        sys.exit(1)
assert not list(folder.iterdir())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_places_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fails(UsageError, tmp_path / "no" / "out.csv").code == "data.output-folder-missing"
    (tmp_path / "folder.csv").mkdir()
    assert fails(UsageError, tmp_path / "folder.csv").code == "data.output-is-folder"
    for name in ("out.xlsx", "out", "out.csv.gz", "out.tsv"):
        error = fails(UsageError, tmp_path / name)
        assert error.code == "data.output-suffix"
    monkeypatch.setattr(output.os, "access", lambda *_args: False)
    assert fails(StorageError, tmp_path / "out.csv").code == "data.output-not-writable"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EACCES, "data.output-not-writable"),
        (errno.EROFS, "data.output-not-writable"),
        (errno.ENOENT, "data.output-folder-missing"),
        (errno.EIO, "data.output-failed"),
    ],
)
def test_errors_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str) -> None:
    def refuse(*_args: object, **_more: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(output.os, "open", refuse)
    assert fails(StorageError, tmp_path / "out.csv").code == code


def test_check_output_expands_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_output("~/out.csv") == tmp_path / "out.csv"
