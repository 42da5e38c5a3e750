"""Parquet, folders, URLs, and how paths are shown."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psc.data.files import find_files, shown
from psc.data.table import load
from psc.errors import DataError

TABLE = pa.table({"phone": ["13800138000", None], "fee": [1, 2], "day": pa.array([1, 2], pa.int32()).view(pa.date32())})


def fails(path: object, columns: list[str] | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        load(path, columns)
    assert caught.value.__cause__ is None
    return caught.value


def save(path: Path, table: pa.Table = TABLE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


# --- Parquet -------------------------------------------------------------------------------------------------------


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    source = load(save(tmp_path / "in.parquet"))
    assert [str(column.type) for column in source.table.columns] == ["large_string", "int64", "date32[day]"]
    assert source.table.to_pydict() == TABLE.to_pydict()
    assert load(str(tmp_path / "in.parquet"), ["fee"]).table.to_pydict() == {"fee": [1, 2]}
    assert source.places([1])[0].row == 2
    assert source.places([1])[0].line is None


def test_parquet_dictionaries_and_no_rows(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array(["x", "y", "x"]).dictionary_encode()})
    assert load(save(tmp_path / "d.parquet", table)).table.schema.field("a").type == pa.large_string()
    assert load(save(tmp_path / "e.pq", TABLE.slice(0, 0))).table.num_rows == 0


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "footer", "pages"])
def test_parquet_damage(tmp_path: Path, damage: str) -> None:
    table = pa.table({"a": [f"{value:040d}" for value in range(20_000)]})
    content = save(tmp_path / "good.parquet", table).read_bytes()
    broken = {
        "empty": b"",
        "text": b"a,b\n1,2\n",
        "cut": content[: len(content) // 2],
        "footer": content[:-200] + bytes(190) + content[-10:],
        "pages": content[:100] + b"\xff" * 400 + content[500:],
    }[damage]
    path = tmp_path / "in.parquet"
    path.write_bytes(broken)
    error = fails(path)
    assert error.code == ("data.file-empty" if damage == "empty" else "data.parquet-damaged")
    assert str(path) in str(error)


def test_parquet_wrong_column_and_twice(tmp_path: Path) -> None:
    error = fails(save(tmp_path / "in.parquet"), ["Phone"])
    assert (error.code, error.fields["near"]) == ("data.column-missing-near", "phone")
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert fails(save(tmp_path / "twice.parquet", twice)).code == "data.column-twice"


def test_parquet_text_that_is_not_utf8(tmp_path: Path) -> None:
    raw = pa.array([b"ok", "深圳".encode("gbk")], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    error = fails(save(tmp_path / "in.parquet", pa.table({"city": text})))
    assert (error.code, error.fields["row"], error.fields["column"]) == ("data.cell-not-utf8", 2, "city")


@pytest.mark.parametrize("columns", [None, ["n"]])
def test_parquet_row_groups_are_read_in_their_order(tmp_path: Path, columns: list[str] | None) -> None:
    table = pa.table({"city": [f"city {n}" for n in range(1000)], "n": range(1000)})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=70)
    assert load(tmp_path / "in.parquet", columns).table.to_pydict() == table.select(columns or ["city", "n"]).to_pydict()


def test_parquet_text_that_is_not_utf8_in_a_later_row_group(tmp_path: Path) -> None:
    cells = [b"Paris"] * 25
    cells[17] = "深圳".encode("gbk")
    text = pa.Array.from_buffers(pa.string(), 25, pa.array(cells, pa.binary()).buffers())
    pq.write_table(pa.table({"city": text}), tmp_path / "in.parquet", row_group_size=4)
    error = fails(tmp_path / "in.parquet")
    assert (error.code, error.fields["row"], error.fields["column"]) == ("data.cell-not-utf8", 18, "city")


# --- paths ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["in.xlsx", "in.json", "in", "in.csv.bak", "in.parquet.gz"])
def test_unknown_suffixes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"x")
    error = fails(path)
    assert error.code == "data.suffix-unknown"
    assert ".parquet" in str(error)


def test_missing_and_file_urls(tmp_path: Path) -> None:
    save(tmp_path / "有 空格.parquet")
    assert load(f"file://{tmp_path}/有 空格.parquet").table.num_rows == 2
    assert load((tmp_path / "有 空格.parquet").as_uri()).table.num_rows == 2
    assert fails(f"file://{tmp_path}/no.csv").code == "data.file-missing"
    assert fails("").code in ("data.file-missing", "data.folder-empty", "data.suffix-unknown")
    assert fails("a\x00b.csv").code == "data.file-missing"


# --- folders -------------------------------------------------------------------------------------------------------


def test_partitioned_folder(tmp_path: Path) -> None:
    for day in ("01", "02"):
        save(tmp_path / f"dt=2026-11-{day}" / "city=%E6%B7%B1%E5%9C%B3" / "part-0.parquet")
    save(tmp_path / "dt=2026-11-03" / "city=__HIVE_DEFAULT_PARTITION__" / "part-0.parquet")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.xlsx").touch()
    source = load(tmp_path)
    assert source.table.column("dt").to_pylist() == [f"2026-11-{day}" for day in ("01", "01", "02", "02", "03", "03")]
    assert source.table.column("city").to_pylist() == ["深圳"] * 4 + [None] * 2
    assert load(tmp_path, ["dt", "fee"]).table.column_names == ["dt", "fee"]
    place = source.places([3])[0]
    assert (place.row, Path(place.file).parent.parent.name) == (2, "dt=2026-11-02")
    assert source.name == str(tmp_path)


def test_folder_of_csv_files_says_file_row_and_line(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("a\n3\n\n4\n")
    (tmp_path / "a.csv").write_text("a\n1\n2\n")
    source = load(str(tmp_path))
    assert source.table.column("a").to_pylist() == ["1", "2", "3", "4"]
    places = source.places([1, 3])
    assert [(Path(place.file).name, place.row, place.line) for place in places] == [("a.csv", 2, 3), ("b.csv", 2, 4)]


def test_folders_that_cannot_be_read_whole(tmp_path: Path) -> None:
    save(tmp_path / "d" / "a.parquet")
    (tmp_path / "d" / "loop").symlink_to(tmp_path / "d")
    fails(tmp_path / "d")
    (tmp_path / "d" / "loop").unlink()
    save(tmp_path / "elsewhere" / "b.parquet")
    (tmp_path / "d" / "linked").symlink_to(tmp_path / "elsewhere")
    assert load(tmp_path / "d").table.num_rows == 4


def test_folders_that_do_not_fit_together(tmp_path: Path) -> None:
    assert fails(tmp_path).code == "data.folder-empty"
    save(tmp_path / "m" / "a.parquet")
    (tmp_path / "m" / "b.csv").write_text("a\n1\n")
    assert fails(tmp_path / "m").code == "data.folder-mixed"

    save(tmp_path / "c" / "a.parquet", pa.table({"x": [1], "y": [1]}))
    save(tmp_path / "c" / "b.parquet", pa.table({"x": [1]}))
    error = fails(tmp_path / "c")
    assert (error.code, error.fields["column"], Path(error.fields["file"]).name) == ("data.folder-columns", "y", "b.parquet")
    assert load(tmp_path / "c", ["x"]).table.num_rows == 2

    save(tmp_path / "t" / "a.parquet", pa.table({"x": [1]}))
    save(tmp_path / "t" / "b.parquet", pa.table({"x": ["1"]}))
    error = fails(tmp_path / "t")
    assert (error.code, error.fields["one"], error.fields["two"]) == ("data.folder-types", "int64", "large_string")

    save(tmp_path / "i" / "a.parquet", pa.table({"x": pa.array([1], pa.int8())}))
    save(tmp_path / "i" / "b.parquet", pa.table({"x": pa.array([2**40])}))
    save(tmp_path / "i" / "c.parquet", pa.table({"x": pa.nulls(1)}))
    assert load(tmp_path / "i").table.column("x").to_pylist() == [1, 2**40, None]

    save(tmp_path / "p" / "dt=1" / "a.parquet")
    save(tmp_path / "p" / "day=1" / "a.parquet")
    assert fails(tmp_path / "p").code == "data.folder-partitions"

    save(tmp_path / "q" / "fee=1" / "a.parquet")
    assert fails(tmp_path / "q").code == "data.column-twice"


# --- URLs ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory():
    fsspec = pytest.importorskip("fsspec")
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]
    yield filesystem
    filesystem.store.clear()


def test_fsspec_urls(memory, tmp_path: Path) -> None:
    memory.pipe_file("/in.csv", b"a,b\n1,2\n")
    memory.pipe_file("/folder/dt=01/a.parquet", save(tmp_path / "x.parquet").read_bytes())
    memory.pipe_file("/folder/dt=02/a.parquet", (tmp_path / "x.parquet").read_bytes())
    assert load("memory://in.csv").table.to_pydict() == {"a": ["1"], "b": ["2"]}
    source = load("memory://folder")
    assert source.table.column("dt").to_pylist() == ["01", "01", "02", "02"]
    assert source.parts[1].name == "memory://folder/dt=02/a.parquet"
    assert fails("memory://no.csv").code == "data.file-missing"
    assert load("memory://in.csv").places([0])[0].line == 2


def test_urls_that_cannot_be_opened(memory, monkeypatch: pytest.MonkeyPatch) -> None:
    error = fails("zzz://user:hunter2@host/in.csv?signature=hunter2")
    assert error.code == "data.url-unknown"
    assert "hunter2" not in str(error)
    import fsspec

    def lacking(_url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", lacking)
    error = fails("s3://bucket/in.csv")
    assert (error.code, error.fields["package"]) == ("data.fsspec-missing", "s3fs")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert fails("s3://bucket/in.csv").fields["package"] == "fsspec"


def test_what_remote_clients_raise_is_mapped_without_their_words(memory, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe_file("/in.csv", b"a,b\n1,2\n")

    class NoCredentialsError(Exception):
        pass

    def refuse(*_args: object, **_more: object) -> None:
        raise NoCredentialsError("https://host/in.csv?signature=hunter2")

    monkeypatch.setattr(type(memory), "open", refuse)
    error = fails("memory://in.csv")
    assert (error.code, error.fields["reason"]) == ("data.file-unreadable", "NoCredentialsError")
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://key:secret@host/a.csv?sig=x#y", "s3://host/a.csv"),
        ("https://host/a.csv", "https://host/a.csv"),
        ("/home/a?b.csv", "/home/a?b.csv"),
        ("订单#1.csv", "订单#1.csv"),
        ("simplecache::s3://u:p@b/a.csv", "simplecache::s3://b/a.csv"),
    ],
)
def test_shown(path: str, expected: str) -> None:
    assert shown(path) == expected


def test_find_files_of_one_file(tmp_path: Path) -> None:
    path = save(tmp_path / "in.parquet")
    (found,) = find_files(path)
    assert (found.format, found.compressed, found.partitions) == ("parquet", False, {})


# --- fingerprints --------------------------------------------------------------------------------------------------


def test_a_fingerprint_is_of_the_content() -> None:
    first = load(TABLE).fingerprint()
    assert len(first) == 32
    chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)])
    assert load(chunked).fingerprint() == first
    under_null = pa.table(TABLE.columns, names=TABLE.column_names).set_column(
        0, "phone", pa.array(["13800138000", "hidden"]).filter(pa.array([True, True]))
    )
    masked = pa.array(np.array(["13800138000", "hidden"], object), mask=np.array([False, True]))
    assert load(under_null.set_column(0, "phone", masked)).fingerprint() == first
    assert load(under_null).fingerprint() != first
    changed = [
        TABLE.rename_columns(["phone2", "fee", "day"]),
        TABLE.select(["fee", "phone", "day"]),
        TABLE.slice(0, 1),
        TABLE.take([1, 0]),
        TABLE.set_column(1, "fee", pa.array([1, 3])),
        TABLE.set_column(1, "fee", pa.array([1, 2], pa.int32())),
        TABLE.set_column(1, "fee", pa.array([1.0, 2.0])),
        TABLE.set_column(0, "phone", pa.array(["13800138000", ""])),
    ]
    assert len({load(table).fingerprint() for table in changed} | {first}) == len(changed) + 1


def test_fingerprint_borders_of_texts() -> None:
    pairs = [["ab", "c"], ["a", "bc"], ["abc", ""], ["", "abc"]]
    assert len({load(pa.table({"x": cells})).fingerprint() for cells in pairs}) == len(pairs)


def test_fingerprint_is_the_same_from_csv_parquet_and_memory(tmp_path: Path) -> None:
    table = pa.table({"a": ["1", "x"], "b": ["y", None]})
    (tmp_path / "in.csv").write_text('a,b\n1,y\n"x",\n')
    prints = {
        load(tmp_path / "in.csv").fingerprint(),
        load(save(tmp_path / "in.parquet", table)).fingerprint(),
        load(table).fingerprint(),
    }
    assert len(prints) == 1


@pytest.mark.parametrize(
    "column",
    [
        pa.array([True, None]),
        pa.array([1.5, None]),
        pa.array([1, None]).cast(pa.decimal128(24, 2)),
        pa.array([1, None], pa.timestamp("us")),
        pa.array([1, None], pa.time64("us")),
        pa.array([86_400_000, None], pa.date64()),
        pa.array([1, None], pa.duration("s")),
        pa.array([b"x", None]),
        pa.array([[1], None]),
        pa.array([{"a": 1}, None]),
        pa.nulls(2),
    ],
)
def test_fingerprint_of_every_type(column: pa.Array) -> None:
    one = load(pa.table({"x": column}))
    two = load(pa.table({"x": pa.chunked_array([column.slice(0, 1), column.slice(1)])}))
    assert one.fingerprint() == two.fingerprint()
    assert one.fingerprint() != load(pa.table({"x": column.take(pa.array([1, 1]))})).fingerprint() or column.null_count == 2


def test_no_cell_in_the_repr() -> None:
    assert "13800138000" not in repr(load(TABLE))
