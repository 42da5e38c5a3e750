"""The other key kinds, by their stated rules."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psc.data.classes import CLASS_NAMES
from psc.data.kinds import CLASS_NAMES as EXPORTED
from psc.data.kinds import KINDS, RULES_ID, normalise
from psc.errors import DataError, UsageError

WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def run(kind: str, *cells: object, type: pa.DataType | None = None) -> list[tuple[str, str | None]]:
    keys = normalise(pa.array(list(cells), type), kind)
    return [(CLASS_NAMES[code], key) for code, key in zip(keys.classes.tolist(), keys.values.to_pylist())]


def one(kind: str, cell: object) -> tuple[str, str | None]:
    return run(kind, cell)[0]


def card(front: str) -> str:
    return front + "10X98765432"[sum(int(digit) * weight for digit, weight in zip(front, WEIGHTS)) % 11]


def test_rules_have_an_id_and_class_names_are_stable() -> None:
    assert RULES_ID == "psc-rules/1"
    names = "ok missing invalid extension masked token service checksum birth-date region old-15-digit imprecise length alphabet"
    assert " ".join(EXPORTED) == names


# --- e-mail --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "key"),
    [
        ("zhang.san@QQ.COM", "zhang.san@qq.com"),
        (" Zhang.San+tag@qq.com\n", "zhang.san+tag@qq.com"),
        ("a@b.co", "a@b.co"),
        ("张三@例子.中国", "张三@xn--fsqu00a.xn--fiqs8s"),
        ("jose\u0301@exa\u0308mple.com", "jos\u00e9@xn--exmple-cua.com"),
        ("JOS\u00c9@example.com", "jos\u00e9@example.com"),
        ("o'neil_1-2@a-b.example.org", "o'neil_1-2@a-b.example.org"),
        ("a@qq。com", "a@qq.com"),
    ],
)
def test_emails(cell: str, key: str) -> None:
    assert one("email", cell) == ("ok", key)


@pytest.mark.parametrize(
    "cell",
    [
        *("x", "x@", "@y.com", "a@b", "a@@b.com", "a@b@c.com", "a..b@c.com", ".a@c.com", "a.@c.com", "a b@c.com", "a@b c.com"),
        *(
            "a@-b.com",
            "a@b-.com",
            "a@1.2.3.4",
            "a@[1.2.3.4]",
            '"a b"@c.com',
            "Name <a@b.com>",
            "a,b@c.com",
            "a@b..com",
            "a@b.com.",
        ),
        *("a" * 65 + "@b.com", "a@" + "b" * 64 + ".com", "a@" + "b." * 130 + "com", "a\x00b@c.com"),
    ],
)
def test_emails_refused(cell: str) -> None:
    assert one("email", cell) == ("invalid", None)


def test_emails_masked_and_missing() -> None:
    assert run("email", "a***@qq.com", "", "  ", None) == [("masked", None), *[("missing", None)] * 3]


# --- ID cards ------------------------------------------------------------------------------------------------------


def test_id_card_of_the_standard() -> None:
    # GB 11643-1999, clause 4: 11010519491231002X and 440524188001010014 are its own examples; the second one's
    # year of birth, 1880, is outside of our range.
    spellings = ("11010519491231002X", "11010519491231002x", " 110105 19491231 002X ", "１１０１０５１９４９１２３１００２Ｘ")
    assert {one("idcard", cell) for cell in spellings} == {("ok", "11010519491231002X")}
    assert one("idcard", "440524188001010014") == ("birth-date", None)


@pytest.mark.parametrize(
    ("expected", "cell"),
    [
        ("checksum", "110105194912310021"),
        ("checksum", "11010519491231003X"),
        ("birth-date", card("11010519490230002")),
        ("birth-date", card("11010519490229002")),
        ("birth-date", card("11010519491301002")),
        ("birth-date", card("11010519490001002")),
        ("birth-date", card("11010519490100002")),
        ("birth-date", card("11010519000229002")),
        ("birth-date", card("11010521000101002")),
        ("region", card("99010519491231002")),
        ("region", card("00010519491231002")),
        ("region", card("16010519491231002")),
        ("region", card("84010519491231002")),
        ("old-15-digit", "110105491231002"),
        ("masked", "110105********002X"),
        ("masked", "110105XXXXXXXX002X"),
        ("length", "1101051949123100"),
        ("length", "1101051949123100200"),
        ("alphabet", "1101O519491231002X"),
        ("alphabet", "X1010519491231002X"),
        ("alphabet", "张三"),
        ("missing", ""),
        ("missing", None),
    ],
)
def test_id_cards_refused(expected: str, cell: str | None) -> None:
    assert one("idcard", cell) == (expected, None)


@pytest.mark.parametrize(
    "front", ["11010520000229002", "71000019800101001", "81000019800101001", "83000019800101001", "91111119800101001"]
)
def test_id_cards_taken(front: str) -> None:
    assert one("idcard", card(front)) == ("ok", card(front))


@given(
    st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)), st.integers(0, 999), st.integers(0, 17), st.integers(1, 9)
)
def test_one_wrong_digit_is_always_found(born: datetime.date, order: int, place: int, add: int) -> None:
    good = card(f"110105{born:%Y%m%d}{order:03d}")
    assert one("idcard", good) == ("ok", good)
    if good[place] != "X":
        digit = str((int(good[place]) + add) % 10)
        assert one("idcard", good[:place] + digit + good[place + 1 :])[0] != "ok"


def test_id_cards_in_number_columns() -> None:
    assert run("idcard", 110101199003071233, type=pa.int64()) == [("ok", "110101199003071233")]
    assert run("idcard", 110101199003071233.0, None, type=pa.float64()) == [("imprecise", None), ("missing", None)]


# --- waybills, texts, integers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("sf-1234 5678 90", ("ok", "SF1234567890")),
        (" YT123456789012\t", ("ok", "YT123456789012")),
        ("ＳＦ１２３４５６７８９０", ("ok", "SF1234567890")),
        ("SF1234\u20105678\u00a090", ("ok", "SF1234567890")),
        ("00012345678", ("ok", "00012345678")),
        ("JDVA0123456789-1-1-", ("ok", "JDVA012345678911")),
        ("1234567", ("length", None)),
        ("A" * 33, ("length", None)),
        ("SF_1234567", ("alphabet", None)),
        ("运单12345678", ("alphabet", None)),
        ("SF12****7890", ("masked", None)),
        ("- -", ("missing", None)),
        (None, ("missing", None)),
    ],
)
def test_waybills(cell: str | None, expected: tuple[str, str | None]) -> None:
    assert one("waybill", cell) == expected


def test_texts_keep_case_and_inner_blanks() -> None:
    assert run("text", " A  b\u3000", "a  b", "jose\u0301", "\u00e9", "", None, "x" * 4096, "x" * 4097) == [
        ("ok", "A  b"),
        ("ok", "a  b"),
        ("ok", "jos\u00e9"),
        ("ok", "\u00e9"),
        ("missing", None),
        ("missing", None),
        ("ok", "x" * 4096),
        ("length", None),
    ]
    assert run("text", "００７", "007") == [("ok", "００７"), ("ok", "007")]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("007", ("ok", "7")),
        ("+7", ("ok", "7")),
        (" -7 ", ("ok", "-7")),
        ("-0", ("ok", "0")),
        ("0000", ("ok", "0")),
        ("7.0", ("ok", "7")),
        ("7.000", ("ok", "7")),
        ("9" * 100, ("ok", "9" * 100)),
        ("9" * 101, ("length", None)),
        ("7.5", ("invalid", None)),
        ("7.", ("invalid", None)),
        ("1e3", ("invalid", None)),
        ("1,000", ("invalid", None)),
        ("１２", ("invalid", None)),
        ("-", ("invalid", None)),
        ("--1", ("invalid", None)),
        ("+-1", ("invalid", None)),
        ("12**", ("masked", None)),
        ("", ("missing", None)),
    ],
)
def test_integers(cell: str, expected: tuple[str, str | None]) -> None:
    assert one("integer", cell) == expected


@given(st.integers(-(10**30), 10**30), st.integers(0, 5), st.booleans())
def test_integers_have_one_spelling(number: int, zeros: int, point: bool) -> None:
    text = f"{'-' if number < 0 else ''}{'0' * zeros}{abs(number)}{'.0' if point else ''}"
    assert one("integer", text) == ("ok", str(number))


def test_integers_in_number_columns() -> None:
    assert run("integer", 2**63, type=pa.uint64()) == [("ok", str(2**63))]
    assert run("integer", 5.0, 5.5, 2.0**53, 2.0**54, type=pa.float64()) == [
        ("ok", "5"),
        ("invalid", None),
        ("ok", str(2**53)),
        ("imprecise", None),
    ]
    assert run("integer", 5.0, 2.0**25, type=pa.float32()) == [("ok", "5"), ("imprecise", None)]
    assert run("integer", np.float16(5), np.float16(4096), type=pa.float16()) == [("ok", "5"), ("imprecise", None)]
    assert run("integer", Decimal("5.00"), Decimal("5.25"), None, type=pa.decimal128(8, 2)) == [
        ("ok", "5"),
        ("invalid", None),
        ("missing", None),
    ]


# --- all kinds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "column",
    [
        pa.array([True, False]),
        pa.array([b"13800138000"]),
        pa.array([datetime.date(2026, 11, 21)]),
        pa.array([datetime.datetime(2026, 11, 21)]),
        pa.array([["13800138000"]]),
        pa.array([{"a": 1}]),
    ],
)
def test_columns_that_hold_no_keys(kind: str, column: pa.Array) -> None:
    with pytest.raises(DataError) as caught:
        normalise(column, kind)
    assert caught.value.code == "data.column-type-keys"


def test_unknown_kind() -> None:
    with pytest.raises(UsageError, match="phone, email") as caught:
        normalise(pa.array(["x"]), "fax")
    assert caught.value.code == "data.kind-unknown"


@pytest.mark.parametrize("kind", KINDS)
@given(cells=st.lists(st.one_of(st.none(), st.text(max_size=30)), max_size=8))
def test_every_cell_is_a_key_or_has_a_class(kind: str, cells: list[str | None]) -> None:
    keys = normalise(pa.array(cells, pa.string()), kind)
    assert len(keys.values) == len(keys.classes) == len(cells)
    for cell, key, code in zip(cells, keys.values.to_pylist(), keys.classes.tolist()):
        assert (key is None) == (code != 0)
        if cell is None or not cell.strip():
            # Python and Arrow differ on which control characters are blanks; a cell of such is refused under either name.
            assert CLASS_NAMES[code] == "missing" or not set("\x0b\x1c\x1d\x1e\x1f\x85").isdisjoint(cell or "")
        if key is not None:
            assert normalise(pa.array([key]), kind).values.to_pylist() == [key], "normalising again changes nothing"
