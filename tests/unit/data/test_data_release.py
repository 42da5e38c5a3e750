"""Fixed-width rows: what goes in comes out, and bytes of a peer that nobody would make are refused."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psc.data import release
from psc.data.convert import ARROW_TYPES, convert_column
from psc.data.release import FLAG_CUT, RowLayout
from psc.errors import DataError, MalformedMessageError
from psc.types import ReleasedColumn

COLUMNS = (
    ReleasedColumn(name="status", type="text", width_bytes=12),
    ReleasedColumn(name="fee", type="int64", width_bytes=8),
    ReleasedColumn(name="weight", type="float64", width_bytes=8),
    ReleasedColumn(name="signed", type="bool", width_bytes=1),
    ReleasedColumn(name="day", type="date", width_bytes=4),
)
LAYOUT = RowLayout(COLUMNS)
TABLE = pa.table(
    {
        "status": ["已签收", "", None, "signed"],
        "fee": [1, -(2**63), None, 2**63 - 1],
        "weight": [1.5, -0.0, None, math.inf],
        "signed": [True, False, None, True],
        "day": [datetime.date(2026, 11, 21), datetime.date(1, 1, 1), None, datetime.date(9999, 12, 31)],
    }
)


def layout(type: str, width: int = 8) -> RowLayout:
    return RowLayout((ReleasedColumn(name="x", type=type, width_bytes=width),))


def malformed(data: bytes, count: int = 1, of: RowLayout = LAYOUT) -> str:
    with pytest.raises(MalformedMessageError) as caught:
        of.decode(data, count)
    assert caught.value.code == "data.row-malformed"
    return str(caught.value.fields["what"])


# --- there and back ------------------------------------------------------------------------------------------------


def test_width_and_round_trip() -> None:
    assert LAYOUT.width == 1 + 1 + (2 + 12) + 8 + 8 + 1 + 4
    data = LAYOUT.encode(TABLE, np.arange(4))
    assert len(data) == 4 * LAYOUT.width
    decoded = LAYOUT.decode(data, 4)
    assert decoded.schema == LAYOUT.schema()
    assert decoded.to_pylist() == TABLE.to_pylist()
    assert not LAYOUT.cut_flags(data, 4).any()


def test_bytes_are_as_documented() -> None:
    data = LAYOUT.encode(TABLE, [0], cut=[True])
    text = "已签收".encode()
    expected = b"\x01\x00" + b"\x09\x00" + text + bytes(3) + b"\x01" + bytes(7) + bytes(6) + b"\xf8\x3f" + b"\x01"
    assert data == expected + (datetime.date(2026, 11, 21) - datetime.date(1970, 1, 1)).days.to_bytes(4, "little")
    assert LAYOUT.encode(TABLE, [2]) == b"\x00\x1f" + bytes(LAYOUT.width - 2)


def test_rows_are_taken_in_order_with_repeats_and_flags() -> None:
    data = LAYOUT.encode(TABLE, [3, 0, 3], cut=[False, True, False])
    assert LAYOUT.decode(data, 3).column("status").to_pylist() == ["signed", "已签收", "signed"]
    assert LAYOUT.cut_flags(data, 3).tolist() == [False, True, False]
    assert data[LAYOUT.width] == FLAG_CUT


@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
def test_batches_make_no_difference(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    rng = np.random.default_rng(batch)
    table = pa.concat_tables([TABLE.take(rng.integers(0, 4, size)) for size in (90, 0, 3, 107)])
    orders = [np.arange(200), np.arange(13, 180), rng.integers(0, 200, 333), np.sort(rng.choice(200, 90, replace=False))]
    for rows in orders:
        cut = rng.integers(0, 2, len(rows)).astype(bool)
        whole = LAYOUT.encode(table, rows, cut=cut)
        assert LAYOUT.decode(whole, len(rows)).to_pylist() == table.take(rows).to_pylist()
        with monkeypatch.context() as patch:
            patch.setattr(release, "_BATCH_ROWS", batch)
            assert LAYOUT.encode(table, rows.astype(np.uint32), cut=cut) == whole


def test_an_error_counts_in_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "_BATCH_ROWS", 3)
    with pytest.raises(DataError) as caught:
        layout("text", 2).encode(pa.table({"x": ["ab"] * 4 + ["abc"] * 5}), np.arange(9))
    assert (caught.value.fields["row"], caught.value.fields["count"]) == (5, 5)


def test_no_rows_and_no_columns() -> None:
    assert LAYOUT.encode(TABLE, []) == b""
    assert LAYOUT.decode(b"", 0).num_rows == 0
    empty = RowLayout(())
    assert empty.width == 1
    data = empty.encode(TABLE, [0, 1], cut=[True, False])
    assert data == b"\x01\x00"
    assert empty.decode(data, 2).num_columns == 0
    assert empty.cut_flags(data, 2).tolist() == [True, False]


def test_sources_rename_columns() -> None:
    table = pa.table({"own": ["a"]})
    data = layout("text").encode(table, [0], sources={"x": "own"})
    assert layout("text").decode(data, 1).to_pydict() == {"x": ["a"]}
    with pytest.raises(DataError) as caught:
        layout("text").encode(table, [0], file="p.csv")
    assert caught.value.code == "data.column-missing"


def test_nine_columns_take_two_bitmap_bytes() -> None:
    nine = RowLayout(tuple(ReleasedColumn(name=f"c{index}", type="bool", width_bytes=1) for index in range(9)))
    table = pa.table({f"c{index}": pa.array([None if index in (0, 8) else True]) for index in range(9)})
    data = nine.encode(table, [0])
    assert data[:3] == b"\x00\x01\x01"
    assert nine.decode(data, 1).to_pylist() == [{f"c{index}": None if index in (0, 8) else True for index in range(9)}]


CELLS = {
    "text": st.text(alphabet=st.characters(codec="utf-8"), max_size=6),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "date": st.dates(),
}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_table_round_trips(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(CELLS)), max_size=10))
    columns = tuple(ReleasedColumn(name=f"c{index}", type=kind, width_bytes=24) for index, kind in enumerate(kinds))
    rows = data.draw(st.integers(0, 5))
    cells = {
        column.name: pa.array(
            data.draw(st.lists(st.one_of(st.none(), CELLS[column.type]), min_size=rows, max_size=rows)), ARROW_TYPES[column.type]
        )
        for column in columns
    }
    table = pa.table(cells) if cells else pa.table({"y": pa.nulls(rows)})
    some = RowLayout(columns)
    encoded = some.encode(table, np.arange(rows))
    assert some.decode(encoded, rows).to_pydict() == {name: values.to_pylist() for name, values in cells.items()}
    if cells:
        assert some.encode(some.decode(encoded, rows), np.arange(rows)) == encoded


# --- own data that does not fit ------------------------------------------------------------------------------------


def test_text_wider_than_its_width_says_the_row() -> None:
    table = pa.table({"x": ["ok", "已签收已签收", "已签收已签收"]})
    with pytest.raises(DataError) as caught:
        layout("text", 12).encode(table, [0, 2], file="parcels.csv")
    error = caught.value
    assert error.code == "data.text-too-wide"
    assert (error.fields["row"], error.fields["found"], error.fields["width"], error.fields["count"]) == (3, 18, 12, 1)
    assert "已签收" not in str(error)
    assert len(layout("text", 18).encode(table, [0, 1, 2])) == 3 * layout("text", 18).width


@pytest.mark.parametrize(
    ("wanted", "values", "expected"),
    [
        ("text", pa.array([1, None]), ["1", None]),
        ("text", pa.array([1.0, 1.5, 1e300]), ["1", "1.5", "1e+300"]),
        ("text", pa.array([True, False]), ["true", "false"]),
        ("text", pa.array([datetime.date(2026, 1, 2)]), ["2026-01-02"]),
        ("text", pa.array([Decimal("1.50")]), ["1.50"]),
        ("text", pa.array(["a", " b "]).dictionary_encode(), ["a", " b "]),
        ("int64", pa.array(["1", " -2 ", "+3", "4.0", "", None, "007"]), [1, -2, 3, 4, None, None, 7]),
        ("int64", pa.array([1.0, None]), [1, None]),
        ("int64", pa.array([Decimal("7.00")]), [7]),
        ("int64", pa.array([7], pa.uint8()), [7]),
        ("int64", pa.array(["9223372036854775807", "-9223372036854775808"]), [2**63 - 1, -(2**63)]),
        ("float64", pa.array(["1.5", "-.5", "1e3", "2.", "+4", ""]), [1.5, -0.5, 1000.0, 2.0, 4.0, None]),
        ("float64", pa.array([1, 2**53]), [1.0, 2.0**53]),
        ("float64", pa.array([Decimal("0.1")]), [0.1]),
        ("float64", pa.array([1.5], pa.float32()), [1.5]),
        ("bool", pa.array(["true", "FALSE", "1", "0", "", None]), [True, False, True, False, None, None]),
        ("bool", pa.array([1, 0]), [True, False]),
        ("date", pa.array(["2026-11-21", "", None]), [datetime.date(2026, 11, 21), None, None]),
        ("date", pa.array([datetime.datetime(2026, 11, 21)]), [datetime.date(2026, 11, 21)]),
        ("date", pa.array([datetime.date(2026, 11, 21)], pa.date64()), [datetime.date(2026, 11, 21)]),
        ("date", pa.nulls(2), [None, None]),
        ("date", pa.array([datetime.datetime(2026, 11, 20, 16)], pa.timestamp("us", "Asia/Shanghai")), None),
    ],
)
def test_conversions(wanted: str, values: pa.Array, expected: list | None) -> None:
    if expected is None:  # 16:00 in UTC is midnight in Shanghai
        expected = [datetime.date(2026, 11, 21)]
    found = convert_column(values, wanted)
    assert found.type == ARROW_TYPES[wanted]
    assert found.to_pylist() == expected
    assert convert_column(pa.chunked_array([values, values]), wanted).to_pylist() == expected * 2


@pytest.mark.parametrize(
    ("wanted", "good", "bad"),
    [
        ("int64", "1", "1.5"),
        ("int64", "1", "9223372036854775808"),
        ("int64", "1", "1e3"),
        ("int64", "1", "13912345678x"),
        ("int64", 1, 2**63),
        ("int64", 1.0, 1.5),
        ("int64", 1.0, 2.0**60),
        ("int64", Decimal("1.0"), Decimal("1.5")),
        ("float64", "1", "nan"),
        ("float64", "1", "inf"),
        ("float64", "1", "1e999"),
        ("float64", 1, 2**53 + 1),
        ("bool", "true", "yes"),
        ("bool", 1, 2),
        ("date", "2026-11-21", "2026-02-30"),
        ("date", "2026-11-21", "21.11.2026"),
        ("date", "2026-11-21", "2026-11-21 10:00:00"),
        ("date", datetime.datetime(2026, 11, 21), datetime.datetime(2026, 11, 21, 10)),
        ("date", "9999-12-31", "0000-12-31"),
    ],
)
def test_values_of_another_type_say_the_row(wanted: str, good: object, bad: object) -> None:
    values = pa.array([good, bad, bad], pa.uint64() if bad == 2**63 else None)
    with pytest.raises(DataError) as caught:
        convert_column(values, wanted, np.array([0, 2]), column="c", file="f.csv")
    error = caught.value
    assert (error.code, error.fields["row"], error.fields["count"]) == ("data.value-type", 3, 1)
    assert "13912345678" not in str(error)


@pytest.mark.parametrize(
    ("wanted", "values"),
    [
        ("int64", pa.array([True])),
        ("float64", pa.array([True])),
        ("bool", pa.array([1.0])),
        ("date", pa.array([1])),
        ("text", pa.array([[1]])),
        ("text", pa.array([b"x"])),
        ("text", pa.array([datetime.datetime(2026, 1, 1)])),
        ("int64", pa.array([datetime.date(2026, 1, 1)])),
    ],
)
def test_columns_that_cannot_be_released_so(wanted: str, values: pa.Array) -> None:
    with pytest.raises(DataError) as caught:
        convert_column(values, wanted)
    assert caught.value.code == "data.column-type-release"


# --- hostile bytes -------------------------------------------------------------------------------------------------


def row(**changes: bytes) -> bytes:
    parts = {"flags": b"\x00", "nulls": b"\x00", "length": b"\x02\x00", "text": b"ab" + bytes(10), "fee": bytes(8)}
    parts |= {"weight": bytes(8), "signed": b"\x01", "day": bytes(4)}
    return b"".join((parts | changes).values())


def test_the_plain_row_is_good() -> None:
    assert LAYOUT.decode(row(), 1).to_pylist()[0]["status"] == "ab"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"flags": b"\x02"}, "unknown flag"),
        ({"flags": b"\x80"}, "unknown flag"),
        ({"nulls": b"\x20"}, "spare bits"),
        ({"nulls": b"\x80"}, "spare bits"),
        ({"nulls": b"\x01"}, "a null with a value"),
        ({"nulls": b"\x08"}, "a null with a value"),
        ({"length": b"\x0d\x00", "text": b"a" * 12}, "length"),
        ({"length": b"\xff\xff"}, "length"),
        ({"length": b"\x01\x00"}, "padding"),
        ({"text": b"\xff\xfe" + bytes(10)}, "UTF-8"),
        ({"text": b"\xed\xa0" + bytes(10)}, "UTF-8"),
        ({"length": b"\x01\x00", "text": b"\xe6" + bytes(11)}, "UTF-8"),
        ({"signed": b"\x02"}, "truth value"),
        ({"day": b"\xff\xff\xff\x7f"}, "date"),
        ({"day": b"\x00\x00\x00\x80"}, "date"),
        ({"day": (2_932_897).to_bytes(4, "little")}, "date"),
    ],
)
def test_bytes_that_nobody_would_make(changes: dict[str, bytes], what: str) -> None:
    assert what in malformed(row(**changes))
    assert what in malformed(row() + row(**changes), 2)


@pytest.mark.parametrize(("data", "count"), [(b"", 1), (row()[:-1], 1), (row() + b"\x00", 1), (row(), 2), (row(), 0), (b"", -1)])
def test_wrong_sizes(data: bytes, count: int) -> None:
    assert malformed(data, count) == "number of bytes"
    with pytest.raises(MalformedMessageError):
        LAYOUT.cut_flags(data, count)


def test_texts_that_join_to_utf8_across_rows_are_refused() -> None:
    halves = row(length=b"\x01\x00", text=b"\xc3" + bytes(11)) + row(length=b"\x01\x00", text=b"\xa9" + bytes(11))
    assert "UTF-8" in malformed(halves, 2)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 3), st.data())
def test_any_bytes_decode_to_what_encodes_back_or_are_refused(count: int, data: st.DataObject) -> None:
    base = bytearray(LAYOUT.encode(TABLE, data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))))
    for _ in range(data.draw(st.integers(0, 3))):
        if base:
            base[data.draw(st.integers(0, len(base) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = LAYOUT.decode(bytes(base), count)
    except MalformedMessageError:
        return
    again = LAYOUT.encode(decoded, np.arange(count), cut=LAYOUT.cut_flags(bytes(base), count))
    assert again == bytes(base)


def test_own_dates_beyond_the_calendar_are_refused() -> None:
    for days in (2_932_897, -719_163):
        with pytest.raises(DataError):
            convert_column(pa.array([days], pa.int32()).view(pa.date32()), "date")
