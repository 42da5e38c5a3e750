"""CSV files: what is read as it stands, and every way in which one can be broken, with its place."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psc.data import csvfile
from psc.data.table import load
from psc.errors import DataError

CANARY = "13912345678"


@pytest.fixture
def write(tmp_path: Path):
    def make(content: bytes | str, name: str = "in.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def fails(path: object, columns: list[str] | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        load(path, columns)
    assert caught.value.__cause__ is None
    assert CANARY not in str(caught.value)
    assert str(path) in str(caught.value)
    return caught.value


# --- what is read --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a,b\n1,2\n", {"a": ["1"], "b": ["2"]}),
        ("a,b\n1,2", {"a": ["1"], "b": ["2"]}),
        ("\ufeffa,b\n1,2\n", {"a": ["1"], "b": ["2"]}),
        ('\ufeff"a",b\n1,2\n', {"a": ["1"], "b": ["2"]}),
        ("a,b\r\n1,2\r\n3,4\r\n", {"a": ["1", "3"], "b": ["2", "4"]}),
        ("a,b\r1,2\r3,4\r", {"a": ["1", "3"], "b": ["2", "4"]}),
        ("a,b\r1,2\r3,4", {"a": ["1", "3"], "b": ["2", "4"]}),
        ("\n\na,b\n\n1,2\n\n\n3,4\n\n", {"a": ["1", "3"], "b": ["2", "4"]}),
        ("a,b\n007,1e5\n", {"a": ["007"], "b": ["1e5"]}),
        ("a,b\n110101199003071233,2026-11-21\n", {"a": ["110101199003071233"], "b": ["2026-11-21"]}),
        ("a,b\n1,\n,2\n", {"a": ["1", None], "b": [None, "2"]}),
        ('a,b\n1,""\n', {"a": ["1"], "b": [""]}),
        ('a,b\n1,"x, y"\n', {"a": ["1"], "b": ["x, y"]}),
        ('a,b\n1,"x ""y"" z"\n', {"a": ["1"], "b": ['x "y" z']}),
        ('a,b\n"1\n2",3\n4,5\n', {"a": ["1\n2", "4"], "b": ["3", "5"]}),
        ('a,b\n1,5" pipe\n2,3\n', {"a": ["1", "2"], "b": ['5" pipe', "3"]}),
        ('a,b\n1,5" x 4" pipe\n', {"a": ["1"], "b": ['5" x 4" pipe']}),
        ('"a","b, c"\n1,2\n', {"a": ["1"], "b, c": ["2"]}),
        ('"a\nx",b\n1,2\n', {"a\nx": ["1"], "b": ["2"]}),
        ("收件人手机,城市\n138,深圳\n", {"收件人手机": ["138"], "城市": ["深圳"]}),
        ("a,b\nNULL,NaN\nnan,None\n", {"a": ["NULL", "nan"], "b": ["NaN", "None"]}),
        ("a,\n1,2\n", {"a": ["1"], "": ["2"]}),
        ("a\n1\n\n2\n", {"a": ["1", "2"]}),
        ("a, b\n 1 ,2 \n", {"a": [" 1 "], " b": ["2 "]}),
    ],
)
def test_read_as_it_stands(write, content: str, expected: dict) -> None:
    source = load(write(content))
    assert source.table.to_pydict() == expected
    assert {column.type for column in source.table.columns} == {pa.large_string()}


@pytest.mark.parametrize("content", ["a,b\n", "a,b", "\ufeffa,b\r\n", "a,b\n\n\n", "a,b\r", "\n\na,b\n"])
def test_a_header_alone_is_a_table_of_no_rows(write, content: str) -> None:
    source = load(write(content))
    assert (source.table.num_rows, source.table.column_names) == (0, ["a", "b"])
    assert load(write(content), ["b"]).table.column_names == ["b"]


def test_tabs_and_gzip(write) -> None:
    expected = {"a": ["1,5"], "b": ["2"]}
    assert load(write("a\tb\n1,5\t2\n", "in.tsv")).table.to_pydict() == expected
    assert load(write(gzip.compress(b'a,b\n"1,5",2\n'), "in.csv.gz")).table.to_pydict() == expected
    assert load(write("a,b\n1,2\n", "IN.CSV")).table.num_rows == 1


def test_columns_are_chosen_in_order(write) -> None:
    path = write("a,b,c\n1,2,3\n")
    assert load(path, ["c", "a", "c"]).table.to_pydict() == {"c": ["3"], "a": ["1"]}
    assert load(path, []).table.column_names == []


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8), min_size=2, max_size=2),
        max_size=6,
    ),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows: list[list[str]], quoting: int, end: str) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=quoting, lineterminator=end).writerows([["a", "b"], *rows])
    path = tmp_path_factory.mktemp("csv") / "in.csv"
    path.write_bytes(text.getvalue().encode())
    source = load(path)
    assert [list(row.values()) for row in source.table.to_pylist()] == rows


# --- what is refused -----------------------------------------------------------------------------------------------


def test_missing_file_and_column(write, tmp_path: Path) -> None:
    assert fails(tmp_path / "no.csv").code == "data.file-missing"
    assert fails(tmp_path / "no" / "no.csv").code == "data.file-missing"
    error = fails(write("mobile,城市\n1,2\n"), ["Mobile "])
    assert error.code == "data.column-missing-near"
    assert error.fields["near"] == "mobile"
    error = fails(write("mobile,城市\n1,2\n"), ["zzzzzzz"])
    assert error.code == "data.column-missing"
    assert "mobile, 城市" in str(error)


def test_a_file_that_may_not_be_read(write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a\n1\n")

    def refuse(*_args: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert fails(path).code == "data.file-not-readable"


def test_a_disk_that_fails_in_the_middle(write, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(io.BytesIO):
        def readline(self, *_args: object) -> bytes:
            raise OSError(5, "Input/output error")

    path = write("a\n1\n")
    monkeypatch.setattr(Path, "open", lambda *_args, **_more: Failing(b""))
    error = fails(path)
    assert (error.code, error.fields["reason"]) == ("data.file-unreadable", "Input/output error")


@pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_empty_files(write, content: bytes) -> None:
    assert fails(write(content)).code == "data.file-empty"


@pytest.mark.parametrize(
    ("content", "line", "byte", "guess"),
    [
        ("手机,城市\n1,2\n".encode("gb18030"), 1, 0, "GB18030"),
        (b"a,b\n1,2\n3," + "深圳".encode("gbk") + b"\n", 3, 10, "GB18030"),
        (b"a,b\n1,caf\xe9 \xff\n", 2, 9, ""),
        ("a,b\n1,2\n".encode("utf-16"), 1, 0, "UTF-16"),
        (b"a,b\n" + b"1,2\n" * 300_000 + b"1,\xff\xff\n", 300_002, 1_200_006, ""),
        (b"a,b\n" + b"1," + "深".encode() * 1_500_000 + b"\n2,\xc3\n", 3, 4_500_009, ""),
        (b"a,b\n1,2\n3,\xe6\xb7", 3, 10, "GB18030"),
    ],
)
def test_bytes_that_are_not_utf8(write, content: bytes, line: int, byte: int, guess: str) -> None:
    error = fails(write(content))
    assert error.code == "data.not-utf8"
    assert (error.fields["line"], error.fields["byte"]) == (line, byte)
    assert error.fields["guess"] == guess


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        (f"a,b\n1,2\n{CANARY}\n", 3, 1),
        (f"a,b\n1,2\n{CANARY},4,5\n", 3, 3),
        (f'a,b\n"1\n2",2\n\n{CANARY}\n', 5, 1),
        (f"a,b\n{CANARY}\n", 2, 1),
        ("a,b\n" + "1,2\n" * 700_000 + f"{CANARY}\n", 700_002, 1),
    ],
)
def test_ragged_rows(write, content: str, line: int, found: int) -> None:
    error = fails(write(content))
    assert error.code == "data.csv-ragged"
    assert (error.fields["line"], error.fields["found"], error.fields["expected"]) == (line, found, 2)


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (f'a,b\n1,"{CANARY}\n2,y\n3,z\n', "data.csv-quote-open", 2),
        (f'a,b\n1,2\n3,"{CANARY}', "data.csv-quote-open", 3),
        ('a,b\n1,2\n3,"', "data.csv-quote-open", 3),
        (f'a,b\n1,"{CANARY}"x\n', "data.csv-quote", 2),
        # Two open quotes: a lenient reader takes rows 2 to 4 for one cell.
        (f'a,b\n1,"{CANARY}\n2,y\n3,"z\n4,w\n', "data.csv-quote", 4),
        ('"a,b\n1,2\n', "data.csv-quote-open", 1),
        ("a,b\n" + '"1","2"\n' * 600_000 + '"1","2\n', "data.csv-quote-open", 600_002),
    ],
)
def test_broken_quotes_lose_no_rows(write, content: str, code: str, line: int) -> None:
    error = fails(write(content))
    assert (error.code, error.fields["line"]) == (code, line)


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5, 7, 16])
@pytest.mark.parametrize(
    ("body", "good"),
    [
        ('"1","2"\n"3","4"\n', True),
        ('"1 ""x""","2"\n"","4"\n', True),
        ('"1\n2","""3"""\n', True),
        ('"1"x,"2"\n', False),
        ('"1,"2"\n', False),
        ('1,"2', False),
        ('1,"2\n3,"4"\n', False),
    ],
)
def test_quotes_are_checked_across_chunks(write, monkeypatch: pytest.MonkeyPatch, chunk: int, body: str, good: bool) -> None:
    monkeypatch.setattr(csvfile, "_CHUNK_BYTES", chunk)
    path = write("a,b\n" + body)
    if good:
        assert load(path).table.num_rows > 0
    else:
        assert fails(path).code.startswith("data.csv-quote")


@pytest.mark.parametrize("chunk", [1, 2, 3, 5])
def test_utf8_is_checked_across_chunks(write, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(csvfile, "_CHUNK_BYTES", chunk)
    assert load(write("a,b\n深圳,\U0001f4e6\n")).table.to_pydict() == {"a": ["深圳"], "b": ["\U0001f4e6"]}
    error = fails(write(b"a,b\n\xe6\xb7\xb1,\xe6\xb7\n"))
    assert (error.code, error.fields["byte"], error.fields["line"]) == ("data.not-utf8", 8, 2)


@pytest.mark.parametrize(
    ("content", "kind"), [(b"PAR1\x15\x04", "Parquet"), (b"PK\x03\x04\x14", "Excel"), (b"\x1f\x8b\x08", "gzip")]
)
def test_other_formats_under_a_csv_name(write, content: bytes, kind: str) -> None:
    error = fails(write(content))
    assert error.code == "data.not-csv"
    assert kind in str(error)


def test_columns_twice(write) -> None:
    path = write("a,b,a\n1,2,3\n")
    assert fails(path).code == "data.column-twice"
    assert fails(path, ["a"]).code == "data.column-twice"
    assert load(path, ["b"]).table.to_pydict() == {"b": ["2"]}


def test_rows_without_an_end(write, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(write('a,b\n1,"' + "x" * (1 << 20) + '"\n')).table.num_rows == 1
    monkeypatch.setattr(csvfile, "_ROW_BYTES_MAX", 1 << 16)
    error = fails(write('a,b\n1,"' + "x" * (1 << 20) + '"\n'))
    assert (error.code, error.fields["line"]) == ("data.csv-row-too-long", 2)
    assert fails(write("a" * (1 << 17))).code == "data.csv-row-too-long"


def test_damaged_gzip(write) -> None:
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    for content in (packed[:-20], b"a,b\n1,2\n", packed[:40] + b"\x00" * 20 + packed[60:]):
        assert fails(write(content, "in.csv.gz")).code == "data.gzip-damaged"


def test_places_of_rows(write) -> None:
    path = write('\ufeffa,b\n1,2\n\n"3\n\n3",4\r\n5,6\n7,8\n')
    source = load(path)
    places = source.places([0, 1, 3])
    assert [(place.row, place.line) for place in places] == [(1, 2), (2, 4), (4, 8)]
    assert {place.file for place in places} == {str(path)}
    assert source.places([]) == []
    path.unlink()
    with pytest.raises(DataError):
        source.places([0])


@pytest.mark.parametrize(
    ("header", "said"), [("mobile;city;order", ";"), ("mobile\tcity", "tab"), ("mobile|city", "|"), ("mobile，city", "，")]
)
def test_another_separator_is_named(write, header: str, said: str) -> None:
    path = write(f"{header}\n13800138000{header[6]}x\n".encode())
    for columns in (None, ["mobile"]):
        with pytest.raises(DataError) as caught:
            load(path, columns)
        assert (caught.value.code, caught.value.fields["separator"]) == ("data.csv-separator", said)


def test_a_column_whose_name_has_a_separator_can_be_asked_for(write) -> None:
    assert load(write(b"a;b\n1\n"), ["a;b"]).table["a;b"].to_pylist() == ["1"]
