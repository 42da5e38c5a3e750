"""Files without a header line: the first person's data stands where the names belong, and no error shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psc.data.check import check_keys
from psc.data.columns import choose_columns
from psc.data.keys import KeyUse, prepare_keys
from psc.data.table import load
from psc.errors import DataError
from psc.texts import render

CELLS = ("13800138000", "张三", "110101199003070011")


def refused(act: Callable[[], object], *cells: str) -> DataError:
    """Return the error; neither its texts nor its fields hold any of the cells."""
    with pytest.raises(DataError) as caught:
        act()
    error = caught.value
    shown = [render(error.code, error.fields, lang=lang) for lang in ("en", "zh")]
    for cell in cells or CELLS:
        assert cell not in " ".join([*shown, repr(error.fields), repr(error)])
    return error


@pytest.mark.parametrize(
    "row",
    [
        CELLS,
        ("张三", "+86 138-0013-8000"),
        ("张三", "１３８００１３８０００"),
        ("张三", "zhangsan@qq.com"),
        ("张三", "138****8000"),
        ("张三", "11010119900307001X"),
        ("张三", "SF1234567890"),
        ("张三", "2026-11-21"),
        ("张三", "7"),
        ("张三", "12.50"),
        ("张三", "-3", "2026"),
    ],
)
def test_names_that_look_like_cells_are_counted_and_not_shown(row: tuple[str, ...]) -> None:
    for wanted in (["mobile"], [row[-1] + "x"], ["张三 "]):
        error = refused(lambda wanted=wanted: choose_columns(row, wanted, "n.csv"), *row)
        assert (error.code, error.fields) == ("data.header-missing", {"file": "n.csv", "count": len(row)})
    assert "header" in render(error.code, error.fields, lang="en")


@pytest.mark.parametrize(
    "names",
    [
        ("mobile", "city"),
        ("收件人手机", "城市", "phone2", "地址1"),
        ("0", "1", "2"),
        ("city", "2024", "2025"),
        ("q12345",),
        ("", "a"),
        ("a @ b", "*", "**"),
    ],
)
def test_names_are_listed_as_before(names: tuple[str, ...]) -> None:
    error = refused(lambda: choose_columns(names, ["zzzzzz"], "t.csv"), "\0")
    assert (error.code, error.fields["available"]) == ("data.column-missing", ", ".join(names))


def test_a_cell_that_was_asked_for_is_not_repeated() -> None:
    error = refused(lambda: choose_columns(["mobile", "city"], ["13800138000"], "t.csv"), "13800138000")
    assert error.fields["column"] == "1****"


def test_files_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text(",".join(CELLS) + "\n13800138001,李四,110101199003070022\n", encoding="utf-8")
    use = KeyUse("phone", "mobile", "phone")
    for act in (
        lambda: load(path, ["mobile"]),
        lambda: prepare_keys(load(path), [use]),
        lambda: check_keys(load(path), [use]),
    ):
        assert refused(act).code == "data.header-missing"
    assert not any(cell in repr(load(path)) for cell in (CELLS[0], CELLS[2]))


def test_a_cell_twice_in_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text("13800138000,张三,13800138000\n", encoding="utf-8")
    assert refused(lambda: load(path)).code == "data.header-missing"


def test_folders_of_files_without_a_header(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.csv").write_text(f"1380013800{number},张三{number}\n", encoding="utf-8")
    error = refused(lambda: load(tmp_path), "13800138001", "13800138002", "张三")
    assert (error.code, error.fields["count"]) == ("data.header-missing", 2)


def test_other_errors_mask_such_names(tmp_path: Path) -> None:
    frame = pd.DataFrame({"13800138000": [object()]})
    assert refused(lambda: load(frame), "13800138000").fields["column"] == "1****"
    for number, column in enumerate((pa.array([1]), pa.array(["x"]))):
        pq.write_table(pa.table({"13800138000": column}), tmp_path / f"{number}.parquet")
    assert refused(lambda: load(tmp_path), "13800138000").fields["column"] == "1****"
    damaged = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    assert refused(lambda: load(pa.table({"13800138000": damaged})), "13800138000").fields["column"] == "1****"
