"""Phone cells one by one: what is a key, and the name of every refusal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from psc.data.classes import CLASS_NAMES
from psc.data.kinds import normalise
from psc.errors import DataError

MOBILE = "+8613800138000"


def run(cell: object, region: str = "CN") -> tuple[str, str | None]:
    keys = normalise(pa.array([cell]), "phone", region=region)
    return CLASS_NAMES[keys.classes[0]], keys.values[0].as_py()


@pytest.mark.parametrize(
    "cell",
    [
        "13800138000",
        "+8613800138000",
        "8613800138000",
        "008613800138000",
        "+86 138 0013 8000",
        "86-138-0013-8000",
        "0086 138-0013-8000",
        "(86)13800138000",
        "（+86）138-0013-8000",
        "(+86) 138 0013 8000",
        " 13800138000 ",
        "\t13800138000\n",
        "138.0013.8000",
        "１３８００１３８０００",
        "＋８６１３８００１３８０００",
        "013800138000",
        "'13800138000",
        '="13800138000"',
        "手机13800138000",
        "tel:+86-138-0013-8000",
        "17951 13800138000",
        "\u202a+86 138 0013 8000\u202c",
        "138\u200b00138000",
        "138\u00a00013\u00a08000",
        "138–0013–8000",
        "13800138000.0",
    ],
)
def test_spellings_of_one_number(cell: str) -> None:
    assert run(cell) == ("ok", MOBILE)


@pytest.mark.parametrize(
    ("cell", "key"),
    [
        ("17012345678", "+8617012345678"),
        ("16512345678", "+8616512345678"),
        ("16212345678", "+8616212345678"),
        ("0755-83765566", "+8675583765566"),
        ("075583765566", "+8675583765566"),
        ("010 6255 1234", "+861062551234"),
        ("09521234567", "+869521234567"),
        ("+86 952 123 4567", "+869521234567"),
        ("+852 6123 4567", "+85261234567"),
        ("+1 212-555-2368", "+12125552368"),
        ("0044 20 7946 0958", "+442079460958"),
        ("+95 9 421 234 567", "+959421234567"),
    ],
)
def test_other_numbers_that_are_keys(cell: str, key: str) -> None:
    assert run(cell) == ("ok", key)


@pytest.mark.parametrize(
    ("expected", "cells"),
    [
        ("missing", [None, "", "  ", "\u3000", "\t\n"]),
        (
            "extension",
            [
                *("13800138000,8001", "13800138000,,8001", "13800138000;8001", "13800138000#8001", "13800138000-8001"),
                *("13800138000转8001", "13800138000 转 8001", "13800138000分机8001", "13800138000 ext 12", "13800138000ext.12"),
                *("13800138000x12", "13800138000[1234]", "13800138000（转1234）", "13800138000(1234)", "0755-83765566-801"),
                *("13800138000，8001", "+86 138 0013 8000 - 12", "13800138000*8001", "400-800-1234-5678"),
            ],
        ),
        (
            "masked",
            [
                *(
                    "138****8000",
                    "138****",
                    "138xxxx8000",
                    "138XXXX8000",
                    "138●●●●8000",
                    "138••••8000",
                    "138＊＊＊＊8000",
                    "138????8000",
                ),
                *("138 **** 8000", "+86 138****8000", "138####8000", "138____8000", "***********", "1*", "+49 30 12****34"),
            ],
        ),
        (
            "token",
            [
                *("~AgAAAABCDEFG12345678901~1~", "e10adc3949ba59abbe56e057f20f883e", "E10ADC3949BA59ABBE56E057F20F883E"),
                *("da39a3ee5e6b4b0d3255bfef95601890afd80709", "550e8400-e29b-41d4-a716-446655440000", "$b3Bhc3NhZ2UgaXMgbG9uZw$"),
                *("#k2Jd83hsnq92bz#", "1V5QKpTsVXaZ0Ee0e5RAbCdEfGh", "号码已失效", "虚拟号已过期", "EXPIRED"),
            ],
        ),
        (
            "service",
            [
                *("95588", "955881234", "9501312345678", "95013-12345678", "950012345678", "9558812345", "+86 95588"),
                *(
                    "4008001234",
                    "400-800-1234",
                    "800-810-1234",
                    "8008101234",
                    "10086",
                    "12306",
                    "110",
                    "120",
                    "12345",
                    "010-95588",
                ),
                *("0755-95588", "01010086", "106912345678", "1065502012345", "16812345", "+1 800 555 0199", "+44 800 111 1111"),
            ],
        ),
        (
            "invalid",
            [
                *(
                    "1380013800",
                    "138001380000",
                    "12800138000",
                    "abc",
                    "张三",
                    "13800138000/13900139000",
                    "13800138000,13900139000,",
                ),
                *("+86+13800138000", "0", "-", "nan", "1.3800138e10", "12345678901234567890", "9" * 300, "1" + "3" * 260),
            ],
        ),
    ],
)
def test_refusals_have_names(expected: str, cells: list[str | None]) -> None:
    assert {repr(cell): run(cell)[0] for cell in cells} == {repr(cell): expected for cell in cells}
    assert all(run(cell)[1] is None for cell in cells)


def test_float_columns_of_whole_numbers() -> None:
    series = pd.Series([13800138000, None, 15912345678])
    assert series.dtype == float
    keys = normalise(pa.array(series, from_pandas=True), "phone")
    assert keys.values.to_pylist() == [MOBILE, None, "+8615912345678"]
    assert [CLASS_NAMES[code] for code in keys.classes] == ["ok", "missing", "ok"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [(13800138000.5, "invalid"), (float("inf"), "invalid"), (float("nan"), "missing"), (1.38e17, "imprecise")],
)
def test_floats_that_are_no_numbers_of_anyone(cell: float, expected: str) -> None:
    assert run(cell) == (expected, None)


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.uint64(), pa.string(), pa.large_string(), pa.string_view(), pa.decimal128(12, 0)]
)
def test_column_types(kind: pa.DataType) -> None:
    column = pa.array(["13800138000", None], pa.string()).cast(kind)
    assert normalise(column, "phone").values.to_pylist() == [MOBILE, None]


def test_dictionary_and_chunks_and_slices() -> None:
    cells = ["13800138000", "138****8000", None, "x", "13800138000"]
    expected = [MOBILE, None, None, None, MOBILE]
    array = pa.array(cells)
    assert normalise(array.dictionary_encode(), "phone").values.to_pylist() == expected
    chunked = pa.chunked_array([array.slice(0, 2), array.slice(2, 1), array.slice(3)])
    assert normalise(chunked, "phone").values.to_pylist() == expected
    assert normalise(array.slice(3, 2), "phone").values.to_pylist() == expected[3:]
    for empty in (pa.array([], pa.string()), pa.chunked_array([], pa.string()), pa.nulls(0)):
        keys = normalise(empty, "phone")
        assert len(keys.values) == len(keys.classes) == 0
    assert normalise(pa.nulls(2), "phone").classes.tolist() == [1, 1]


def test_a_region_changes_what_a_bare_number_is() -> None:
    assert run("61234567", "HK") == ("ok", "+85261234567")
    assert run("61234567", "CN")[0] != "ok"
    assert run("13800138000", "US")[0] != "ok"
    assert run("+86 138 0013 8000", "US") == ("ok", MOBILE)
    assert run("00 86 138 0013 8000", "HK")[0] != "ok"
    assert run("001 86 138 0013 8000", "HK") == ("ok", MOBILE)


@pytest.mark.parametrize("region", ["XX", "cn", "", "CHN", "中国"])
def test_unknown_regions(region: str) -> None:
    with pytest.raises(DataError) as caught:
        run("13800138000", region)
    assert caught.value.code == "data.region-unknown"


def test_each_distinct_cell_goes_to_the_library_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from psc.data import phones

    seen: list[str] = []
    real = phones.classify_phone
    monkeypatch.setattr(phones, "classify_phone", lambda cell, region: (seen.append(cell), real(cell, region))[1])
    normalise(pa.array(["0755-83765566", "138****8000", "13800138000"] * 1000), "phone")
    assert sorted(seen) == ["0755-83765566", "138****8000"]


@pytest.mark.timeout(60)
def test_a_wrong_column_is_refused_without_stalling() -> None:
    long = ["广东省深圳市南山区" + "科技园1号" * 200 + str(index) for index in range(200)]
    keys = normalise(pa.array(long + ["1-" * 120 + str(index) for index in range(200)]), "phone")
    assert not np.count_nonzero(keys.classes == 0)


def test_no_phone_in_the_repr() -> None:
    assert "138" not in repr(normalise(pa.array(["13800138000"]), "phone"))
