"""Masked forms, dataset versions, prefixes, texts, made-up tables."""

from __future__ import annotations

import re
from pathlib import Path

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psc.data import prefixes
from psc.data.classes import CLASS_NAMES
from psc.data.kinds import KINDS, metadata_hash
from psc.data.masking import mask, mask_phone, mask_values
from psc.data.prefixes import prefix_table
from psc.data.version import dataset_version
from psc.errors import DataError
from psc.testing import madeup
from psc.texts import data as texts
from psc.texts import render

# --- masks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "masked"),
    [
        ("13800138000", "138****8000"),
        ("+8613800138000", "138****8000"),
        ("+86 138-0013-8000", "138****8000"),
        ("008613800138000", "138****8000"),
        ("１３８００１３８０００", "138****8000"),
        ("+85261234567", "+852****4567"),
        ("+12125552368", "+121****2368"),
        ("0755-83765566", "075****5566"),
        ("138****8000", "13****"),
        ("95588", "95****"),
        ("张三", "张****"),
        ("5", "****"),
        ("", "****"),
    ],
)
def test_phones(cell: str, masked: str) -> None:
    assert mask_phone(cell) == masked


@pytest.mark.parametrize(
    ("kind", "cell", "masked"),
    [
        ("phone", " 13800138000 ", "138****8000"),
        ("email", "zhangsan@qq.com", "z****@qq.com"),
        ("email", "z@qq.com", "****@qq.com"),
        ("email", "zhangsan", "z****"),
        ("email", "a@13800138000", "****@****"),
        ("email", "zhang@13800138000.com", "z****@****"),
        ("email", "zhang@１３８００１３８.com", "z****@****"),
        ("email", "zhang@mail.138001.com", "z****@mail.138001.com"),
        ("email", "zhang@公司.中国", "z****@公司.中国"),
        ("email", "zhang@x.xn--fiqs8s", "z****@x.xn--fiqs8s"),
        ("email", "zhang@localhost", "z****@****"),
        ("email", "zhang@10.0.0.1", "z****@****"),
        ("email", "a@b.c", "****@****"),
        ("idcard", "11010519491231002X", "11****2X"),
        ("idcard", "110105", "1****"),
        ("waybill", "SF1234567890", "SF****890"),
        ("waybill", "SF123", "S****"),
        ("integer", "1234567", "****67"),
        ("integer", "12345", "1****"),
        ("text", "秘密文本", "秘****"),
        ("text", "x", "****"),
        ("text", "  ", ""),
    ],
)
def test_kinds(kind: str, cell: str, masked: str) -> None:
    assert mask(kind, cell) == masked


@given(st.sampled_from(KINDS), st.text(min_size=1, max_size=60))
def test_a_mask_never_shows_the_cell(kind: str, cell: str) -> None:
    masked = mask(kind, cell)
    assert masked != cell.strip() or not cell.strip() or set(cell.strip()) <= {"*"}
    assert not cell.strip() or "****" in masked


@given(st.from_regex(r"(\+86|0086|86)?1[3-9][0-9]{9}", fullmatch=True))
def test_columns_are_masked_as_cells_are(cell: str) -> None:
    assert mask_values("phone", pa.array([cell])).to_pylist() == [mask_phone(cell)]


def test_mask_columns() -> None:
    cells = ["13800138000", "+86 138-0013-8000", None, "138****8000", "x", "13800138000"]
    expected = [None if cell is None else mask_phone(cell) for cell in cells]
    assert mask_values("phone", pa.array(cells)).to_pylist() == expected
    assert mask_values("phone", pa.chunked_array([cells[:2], cells[2:]])).to_pylist() == expected
    assert mask_values("phone", pa.chunked_array([], pa.string())).to_pylist() == []
    assert mask_values("phone", pa.array([13800138000])).to_pylist() == ["138****8000"]
    assert mask_values("phone", pa.array([13800138000.0, None])).to_pylist() == ["138****8000", None]
    assert mask_values("email", pa.array(["a.b@c.com", None])).to_pylist() == ["a****@c.com", None]


# --- versions ------------------------------------------------------------------------------------------------------


def test_dataset_version() -> None:
    salt = bytes(range(32))
    first = dataset_version(b"f" * 32, "psc-rules/1", salt)
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert dataset_version(b"f" * 32, "psc-rules/1", salt) == first
    others = {
        dataset_version(b"g" * 32, "psc-rules/1", salt),
        dataset_version(b"f" * 32, "psc-rules/2", salt),
        dataset_version(b"f" * 32, "psc-rules/1", bytes(32)),
        dataset_version(b"1" + b"f" * 32, "psc-rules/", salt),
    }
    assert len(others | {first}) == 5
    with pytest.raises(ValueError, match="16"):
        dataset_version(b"f" * 32, "psc-rules/1", b"short")


# --- prefixes and metadata -----------------------------------------------------------------------------------------


def test_prefix_table() -> None:
    table = prefix_table("CN")
    assert len(table) == 10**5
    assert set(table) == {0, 1}
    assert [table[prefix] for prefix in (13800, 17012, 16512, 12345, 10086, 2, 86138, 17951, 14900)] == [
        1,
        1,
        1,
        0,
        0,
        0,
        0,
        0,
        0,
    ]
    assert not any(prefix_table("HK"))
    assert prefix_table("CN") is table


def test_prefixes_are_left_alone_when_five_digits_do_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    real = phonenumbers.PhoneMetadata.metadata_for_region("CN")

    class Metadata:
        mobile = phonenumbers.PhoneNumberDesc(
            national_number_pattern=r"13800[0-4]\d{5}|139\d{8}|138[12]\d{7}", possible_length=(11,)
        )
        shared_cost = phonenumbers.PhoneNumberDesc(national_number_pattern=r"1391\d{7}", possible_length=(11,))
        national_prefix_for_parsing = r"1392|0"

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

    monkeypatch.setattr(prefixes, "region_metadata", lambda _region: Metadata())
    table = prefix_table.__wrapped__("CN")
    assert [table[prefix] for prefix in (13800, 13810, 13820, 13900, 13910, 13920, 13930)] == [0, 1, 1, 1, 0, 0, 1]


@pytest.mark.parametrize(
    "pattern", [r"1\d+", r"1\d*", r"(?=1)\d{11}", r"1[^3]\d{9}", r"1\w{10}", r"1\d{10", r"1[3", r"(1", r"1\d{3,}", "a"]
)
def test_patterns_written_in_a_new_way_leave_all_to_the_library(monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    real = phonenumbers.PhoneMetadata.metadata_for_region("CN")

    class Metadata:
        mobile = phonenumbers.PhoneNumberDesc(national_number_pattern=pattern, possible_length=(11,))

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

    monkeypatch.setattr(prefixes, "region_metadata", lambda _region: Metadata())
    assert not any(prefix_table.__wrapped__("CN"))


@given(st.from_regex(r"(1[35-7]\d{2}|1(?:4[57]|9\d)\d?|[2-4]{1,3})(\d{2}|5)?", fullmatch=True), st.text("0123456789", max_size=7))
def test_derivatives_agree_with_re(matching: str, other: str) -> None:
    pattern = r"(?:1[35-7]\d{2}|1(?:4[57]|9\d)\d?|[2-4]{1,3})(\d{2}|5)?"
    for text in (matching, other):
        node = prefixes._Parser(pattern).parse()
        for digit in text if text.isascii() else "x":
            node = prefixes._after(node, digit)
        assert prefixes._nullable(node) == bool(re.fullmatch(pattern, text, re.ASCII))


def test_metadata_hash() -> None:
    assert re.fullmatch("[0-9a-f]{64}", metadata_hash())
    assert metadata_hash("CN") == metadata_hash()
    assert len({metadata_hash(region) for region in ("CN", "HK", "US", "SG")}) == 4
    with pytest.raises(DataError):
        metadata_hash("XX")


def test_metadata_hash_depends_on_rules_and_on_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    real = phonenumbers.PhoneMetadata.metadata_for_region("CN")

    def changed(**fields: object) -> str:
        class Metadata:
            def __getattr__(self, name: str) -> object:
                return fields.get(name, getattr(real, name))

        monkeypatch.setattr(prefixes, "region_metadata", lambda _region: Metadata())
        return metadata_hash.__wrapped__("CN")

    assert changed() == metadata_hash("CN")
    assert changed(number_format=[]) == metadata_hash("CN")
    assert changed(national_prefix="1") != metadata_hash("CN")
    desc = phonenumbers.PhoneNumberDesc(national_number_pattern=r"1\d{10}", possible_length=(11,))
    assert changed(mobile=desc) != metadata_hash("CN")


# --- texts ---------------------------------------------------------------------------------------------------------


def test_every_code_that_is_raised_has_a_text() -> None:
    used: set[str] = set()
    for path in Path(prefixes.__file__).parent.glob("*.py"):
        used |= set(re.findall(r'"(data\.[a-z0-9-]+)"', path.read_text()))
    known = set(texts.TEXTS)
    assert used <= known
    assert {code for code in known - used if not code.startswith("data.class.")} == set()


def test_every_class_has_a_text() -> None:
    assert {f"data.class.{name}" for name in CLASS_NAMES[1:]} == {code for code in texts.TEXTS if code.startswith("data.class.")}


@pytest.mark.parametrize("code", sorted(texts.TEXTS))
def test_texts_have_the_same_fields_in_both_languages(code: str) -> None:
    text = texts.TEXTS[code]

    def fields(*parts: str) -> set[str]:
        return {name for part in parts for name in re.findall(r"\{(\w+)", part)}

    assert fields(text.en, text.fix_en) == fields(text.zh, text.fix_zh)
    assert fields(text.en) == fields(text.zh)
    values = dict.fromkeys(fields(text.en, text.fix_en), 7)
    assert render(code, values, lang="en") != render(code, values, lang="zh")
    assert re.search(r"[\u4e00-\u9fff]", text.zh)
    assert not re.search(r"[\u4e00-\u9fff]", text.en + text.fix_en)


# --- made-up tables ------------------------------------------------------------------------------------------------


def test_made_up_tables_are_the_same_every_time() -> None:
    orders, parcels = madeup.merchant_orders(300, 7), madeup.courier_parcels(300, 7)
    assert orders.equals(madeup.merchant_orders(300, 7))
    assert not orders.equals(madeup.merchant_orders(300, 8))
    assert parcels.column_names == ["waybill", "mobile", "city", "status", "fee", "paid", "weight", "accepted"]
    assert (
        orders.column(madeup.ORDER_PHONE).slice(0, 3).to_pylist()
        == madeup.merchant_orders(300, 7)[madeup.ORDER_PHONE][:3].to_pylist()
    )
    for rows in (0, 1, 2):
        assert madeup.merchant_orders(rows).num_rows == madeup.courier_parcels(rows).num_rows == rows
        assert len(madeup.plain_join(madeup.merchant_orders(rows), madeup.courier_parcels(rows))) >= 0


def test_made_up_tables_are_dirty_and_share_customers() -> None:
    orders, parcels = madeup.merchant_orders(4_000), madeup.courier_parcels(4_000)
    left, right = madeup.plain_keys(orders, madeup.ORDER_PHONE), madeup.plain_keys(parcels, madeup.PARCEL_PHONE)
    for keys in (left, right):
        assert 0.9 < keys.notna().mean() < 0.99
        assert keys.dropna().duplicated().mean() > 0.2
    shared = set(left.dropna()) & set(right.dropna())
    assert 0.2 < len(shared) / left.nunique() < 0.6
    joined = madeup.plain_join(orders, parcels, want=["status", "city"])
    assert set(joined["key"]) == shared
    assert (joined["city"] == joined["city_right"]).all(), "a customer lives in one place in both tables"
    sizes = left.value_counts()
    expected = sum(int(sizes[key]) * int(count) for key, count in right.value_counts().items() if key in sizes)
    assert len(joined) == expected
    bounded = madeup.plain_join(orders, parcels, max_rows_per_key=1)
    assert len(bounded) < len(joined)
    assert bounded.groupby("left_row").size().max() == 1


def test_made_up_customers_have_one_city_and_one_tier() -> None:
    orders, parcels = madeup.merchant_orders(4_000), madeup.courier_parcels(4_000)
    for table, phone, columns in ((orders, madeup.ORDER_PHONE, ["city", "tier"]), (parcels, madeup.PARCEL_PHONE, ["city"])):
        frame = table.select(columns).to_pandas().assign(key=madeup.plain_keys(table, phone)).dropna(subset=["key"])
        assert (frame.groupby("key")[columns].nunique() == 1).all(axis=None)
        assert frame["city"].nunique() == 10
    fee, paid = parcels["fee"].to_pylist(), parcels["paid"].to_pylist()
    assert {None if yuan is None else 100 * yuan - fen for fen, yuan in zip(fee, paid, strict=True)} == {None, 0}


def test_the_plain_parcels_of_shared_customers() -> None:
    orders, parcels = madeup.merchant_orders(2_000), madeup.courier_parcels(2_000)
    joined = madeup.plain_join(orders, parcels, want=["waybill", "paid"])
    shared = madeup.plain_shared(orders, parcels, own=["tier"])
    assert sorted(shared["waybill"]) == sorted(joined.drop_duplicates("right_row")["waybill"])
    assert dict(zip(shared["key"], shared["tier"], strict=True)) == dict(zip(joined["key"], joined["tier"], strict=True))


def test_the_plain_phone_of_the_oracle() -> None:
    assert madeup.plain_phone("+86 138-0013-8000") == "+8613800138000"
    for cell in ("138****8000", "13800138000,1", "95588", "9558812345", "4008001234", "010-95588", "x"):
        assert madeup.plain_phone(cell) is None
