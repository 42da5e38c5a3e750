"""The compiled path for clean mobiles agrees with libphonenumber wherever it answers."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psc import _core
from psc.errors import UsageError


@functools.cache
def prefix_table() -> bytes:
    """1 where the lowest and the highest number with the prefix are valid mobiles; China's rules look at five digits at most."""
    table = bytearray(100_000)
    for prefix in range(10_000, 20_000):
        ends = (phonenumbers.PhoneNumber(86, prefix * 10**6 + rest) for rest in (0, 999_999))
        table[prefix] = all(phonenumbers.is_valid_number(number) for number in ends)
    return bytes(table)


def normalise(cells: list[bytes]) -> list[str | None]:
    offsets = np.cumsum([0, *map(len, cells)], dtype=np.int64)
    status, ends, data = _core.normalise_mobiles(offsets, b"".join(cells), prefix_table())
    bounds = np.frombuffer(ends, np.int64)
    texts = [data[start:stop].decode() for start, stop in itertools.pairwise(bounds)]
    assert all((flag == 1) == (text != "") for flag, text in zip(status, texts))
    return [text or None for text in texts]


def by_libphonenumber(cell: bytes) -> str | None:
    try:
        number = phonenumbers.parse(cell.decode(), "CN")
    except phonenumbers.NumberParseException:
        return None
    if number.extension or not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


mobiles = st.integers(10**10, 2 * 10**10 - 1).map(str)
prefixes = st.sampled_from(["", "", "+86", "86", "0086", "+86 ", "86-", "0086 ", "+", "0", "+852", "86 86"])
blanks = st.text(" \t\r\n", max_size=3)


@st.composite
def dirty(draw: st.DrawFn) -> bytes:
    digits = draw(mobiles)
    between = draw(st.sampled_from(["", "", " ", "-"]))
    body = between.join((digits[:3], digits[3:7], digits[7:])) if between else digits
    body = draw(st.sampled_from([body, body, body, body[:-1], body + "0", body[:5] + "*" + body[6:]]))
    return (draw(blanks) + draw(prefixes) + body + draw(blanks)).encode()


@settings(max_examples=400)
@given(st.lists(dirty(), max_size=20))
def test_what_is_handled_is_what_libphonenumber_says(cells: list[bytes]) -> None:
    for cell, answer in zip(cells, normalise(cells)):
        if answer is not None:
            assert answer == by_libphonenumber(cell), cell


@settings(max_examples=400)
@given(st.lists(st.text("+0123456789 -*,#x８", max_size=18).map(str.encode), max_size=20))
def test_any_text_that_is_handled_is_what_libphonenumber_says(cells: list[bytes]) -> None:
    for cell, answer in zip(cells, normalise(cells)):
        if answer is not None:
            assert answer == by_libphonenumber(cell), cell


def test_every_prefix_in_every_form() -> None:
    numbers = [f"{prefix}{(prefix * 7919) % 10**6:06}" for prefix in range(13_000, 20_000, 3) if prefix_table()[prefix]]
    assert len(numbers) > 1500
    for form in ("{0}", "+86{0}", "86{0}", "0086{0}", " +86 {1}-{2}-{3}", "86-{1} {2} {3}\n", "{1} {2} {3}", "0086 {0}"):
        cells = [form.format(n, n[:3], n[3:7], n[7:]).encode() for n in numbers]
        assert normalise(cells) == [f"+86{n}" for n in numbers]
        assert normalise(cells[::50]) == [by_libphonenumber(cell) for cell in cells[::50]]


def test_offsets_need_not_start_at_zero() -> None:
    status, ends, data = _core.normalise_mobiles(np.array([2, 13, 13]), b"xx13812345678", prefix_table())
    assert (status, data) == (b"\x01\x00", b"+8613812345678")
    assert np.frombuffer(ends, np.int64).tolist() == [0, 14, 14]


@pytest.mark.parametrize(("offsets", "table"), [([0, 12], bytes(100_000)), ([1, 0], bytes(100_000)), ([0], bytes(9))])
def test_sizes_are_checked(offsets: list[int], table: bytes) -> None:
    with pytest.raises(UsageError):
        _core.normalise_mobiles(np.array(offsets), b"13812345678", table)
