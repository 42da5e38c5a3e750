"""Matching of tags equals dictionaries and sets."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psc.crypto import Rng, count_common, find_tags, sort_tags
from psc.errors import UsageError


@st.composite
def sides(draw: st.DrawFn) -> tuple[int, list[bytes], list[bytes]]:
    length = draw(st.sampled_from([1, 3, 8, 12, 16]))
    pool = draw(st.lists(st.binary(min_size=length, max_size=length), min_size=1, max_size=12))
    some = st.lists(st.sampled_from(pool), max_size=40)
    return length, draw(some), draw(some)


@given(sides())
def test_matching_equals_dictionaries(case: tuple[int, list[bytes], list[bytes]]) -> None:
    length, needles, haystack = case
    first: dict[bytes, int] = {}
    for position, tag in enumerate(haystack):
        first.setdefault(tag, position)
    found = find_tags(b"".join(needles), b"".join(haystack), length)
    assert found.dtype == np.int64
    assert found.tolist() == [first.get(tag, -1) for tag in needles]
    assert count_common(b"".join(needles), b"".join(haystack), length) == len(set(needles) & set(haystack))


@given(sides())
def test_sorting_is_stable(case: tuple[int, list[bytes], list[bytes]]) -> None:
    length, tags, _ = case
    ordered, order = sort_tags(b"".join(tags), length)
    assert order.tolist() == sorted(range(len(tags)), key=lambda index: tags[index])
    assert ordered == b"".join(sorted(tags))


@pytest.mark.parametrize(("n", "m"), [(50_000, 200_000), (200_000, 50_000), (100, 200_000)])
def test_large_sides(n: int, m: int) -> None:
    rng = Rng.insecure_from_seed(b"large")
    common = min(n, m) // 2
    shared = rng.bytes(12 * common)
    needles, haystack = shared + rng.bytes(12 * (n - common)), rng.bytes(12 * (m - common)) + shared
    found = find_tags(needles, haystack, 12)
    assert np.array_equal(found[:common], np.arange(m - common, m))
    assert (found[common:] == -1).all()
    assert count_common(needles, haystack, 12) == common


def test_chosen_tags_do_not_make_matching_slow() -> None:
    # Equal but for the last bytes: the worst case for a table that hashes a prefix.
    count = 200_000
    tags = b"".join(bytes(12) + index.to_bytes(4, "big") for index in range(count))
    started = time.perf_counter()
    assert find_tags(tags, tags, 16).tolist() == list(range(count))
    assert count_common(tags, tags, 16) == count
    assert sort_tags(tags, 16)[0] == tags
    assert find_tags(bytes(16 * count), bytes(16 * count), 16).tolist() == [0] * count
    assert time.perf_counter() - started < 30


@pytest.mark.parametrize(("tags", "length"), [(b"abc", 2), (b"", 0), (b"", 65)])
def test_sizes_are_checked(tags: bytes, length: int) -> None:
    for call in (
        lambda: sort_tags(tags, length),
        lambda: find_tags(tags, b"", length),
        lambda: find_tags(b"", tags, length),
        lambda: count_common(tags, b"", length),
        lambda: count_common(b"", tags, length),
    ):
        with pytest.raises(UsageError):
            call()
