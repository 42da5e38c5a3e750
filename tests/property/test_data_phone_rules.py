"""The compiled path and the tidying pass give exactly what libphonenumber gives."""

from __future__ import annotations

import random

import numpy as np
import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from psc._core import normalise_mobiles
from psc.data import phones
from psc.data.classes import CellClass
from psc.data.kinds import normalise
from psc.data.prefixes import prefix_table

MASKS = set("*＊∗✱⁎●•○◯■□×…?？#_xXｘＸ")
SERVICES = {
    phonenumbers.PhoneNumberType.TOLL_FREE,
    phonenumbers.PhoneNumberType.PREMIUM_RATE,
    phonenumbers.PhoneNumberType.SHARED_COST,
    phonenumbers.PhoneNumberType.UAN,
    phonenumbers.PhoneNumberType.VOICEMAIL,
}


def library(cell: str, region: str = "CN") -> str | None:
    """E.164 of a valid number without an extension: the rule of the specification, by the library alone."""
    try:
        number = phonenumbers.parse(cell, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number) or number.extension:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def check(cells: list[str], region: str = "CN") -> None:
    keys = normalise(pa.array(cells, pa.string()), "phone", region=region)
    for cell, key, found in zip(cells, keys.values.to_pylist(), keys.classes.tolist()):
        assert (key is None) == (found != CellClass.OK)
        valid = library(cell, region)
        if found in (CellClass.MISSING, CellClass.INVALID):
            assert valid is None, cell
        elif found == CellClass.OK and not phones._WRITTEN_AS_FLOAT.match(cell):
            assert key == valid, cell
        elif found in (CellClass.EXTENSION, CellClass.MASKED):
            assert valid is None or MASKS & set(cell), cell
        elif found == CellClass.TOKEN:
            assert valid is None or cell.strip()[0] in "~$#", cell
        elif found == CellClass.SERVICE and valid is not None:
            assert is_service(cell, region), cell


def is_service(cell: str, region: str) -> bool:
    number = phonenumbers.parse(cell, region)
    if phonenumbers.number_type(number) in SERVICES:
        return True
    short = len(phonenumbers.national_significant_number(number)) < 10
    return number.country_code == 86 and (short or phonenumbers.normalize_digits_only(cell).startswith("95"))


def test_every_prefix_of_five_digits() -> None:
    """All 100,000 prefixes: the table says valid exactly where libphonenumber does, at both ends and in the middle."""
    table = prefix_table("CN")
    for prefix in range(10**5):
        if prefix // 10**4 != 1:
            assert not table[prefix]
            continue
        expected = {library(f"{prefix:05d}{rest}") == f"+86{prefix:05d}{rest}" for rest in ("000000", "999999", "314159")}
        assert expected == {bool(table[prefix])}, prefix


def test_random_eleven_digits_against_the_library() -> None:
    rng = random.Random(20261121)
    cells = [f"1{rng.randrange(10**10):010d}" for _ in range(20_000)]
    cells += [f"{rng.randrange(10**11):011d}" for _ in range(5_000)]
    check(cells)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.from_regex(r"[ \t]{0,2}(\+86|86|0086|)[ -]?1[0-9]{10}[ \t\n]{0,2}", fullmatch=True), min_size=1, max_size=20))
def test_clean_spellings(cells: list[str]) -> None:
    check(cells)


SEPARATORS = st.text(alphabet=" -().（）　－", max_size=2)


@st.composite
def spelled(draw: st.DrawFn) -> str:
    digits = draw(st.sampled_from(["", "86", "0086", "0", "00", "17951", "852", "1"]))
    digits += draw(
        st.one_of(st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True), st.text(alphabet="0123456789", min_size=3, max_size=13))
    )
    if draw(st.booleans()):
        digits = digits.translate(str.maketrans("0123456789", "０１２３４５６７８９"))
    pieces = [draw(SEPARATORS), draw(st.sampled_from(["", "+", "＋", "++"]))]
    for digit in digits:
        pieces += [digit, draw(SEPARATORS) if draw(st.integers(0, 3)) == 0 else ""]
    return "".join(pieces)


@settings(max_examples=1_000, deadline=None)
@given(st.lists(spelled(), min_size=1, max_size=10))
@example(["13800138000 ", "+ 86 138", "(0)13800138000", "+86.138.0013.8000", "+-8613800138000", "8 6 1 3 8 0 0 1 3 8 0 0 0"])
@example(["1-3-8-0-0-1-3-8-0-0-0", "86-(0)13800138000", "+(86)13800138000", "( +86 )13800138000", "0086086 13800138000"])
def test_tidied_spellings(cells: list[str]) -> None:
    check(cells)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.text(alphabet="0123456789+-() .,;#*xX转ext分机abc~\t\n\u200b０９＋", max_size=24), min_size=1, max_size=10))
def test_near_numbers(cells: list[str]) -> None:
    check(cells)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=10))
def test_any_text(cells: list[str]) -> None:
    check(cells)


@settings(max_examples=100, deadline=None)
@given(st.lists(spelled(), min_size=1, max_size=10), st.sampled_from(["HK", "US", "SG", "TW"]))
def test_other_regions(cells: list[str], region: str) -> None:
    check(cells, region)


@settings(max_examples=100, deadline=None)
@given(st.lists(spelled(), min_size=1, max_size=20))
def test_without_the_compiled_path_nothing_changes(cells: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fast = normalise(pa.array(cells), "phone")
        patch.setattr(phones, "prefix_table", lambda _region: bytes(10**5))
        slow = normalise(pa.array(cells), "phone")
    assert fast.values.equals(slow.values)
    assert fast.classes.tolist() == slow.classes.tolist()


def test_compiled_path_leaves_rows_it_does_not_know() -> None:
    data = b"1380013800013800138000x"
    status, ends, numbers = normalise_mobiles(np.array([0, 11, 11, 23], np.int64), data, prefix_table("CN"))
    assert (status, numbers) == (b"\x01\x00\x00", b"+8613800138000")
    assert np.frombuffer(ends, np.int64).tolist() == [0, 14, 14, 14]
