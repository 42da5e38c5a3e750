"""Items: the encoding is injective, distinct equals a dictionary, nothing is lost in slices."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psc.crypto import ITEM_BYTES_MAX, Items, ItemsBuilder, KeyCells, Rng, prepare_memory, release_memory
from psc.errors import EncodingError, UsageError

Row = tuple[tuple[bytes, bytes], ...]
cells = st.binary(max_size=6)
tags = st.binary(min_size=1, max_size=4)


def column(tag: bytes, values: list[bytes]) -> KeyCells:
    offsets = np.cumsum([0, *map(len, values)], dtype=np.int64)
    return KeyCells(tag, offsets, b"".join(values))


def encode_one(row: Row) -> bytes:
    return Items.encode([column(tag, [cell]) for tag, cell in row]).get(0)


@given(st.lists(st.lists(st.tuples(tags, cells), min_size=1, max_size=4).map(tuple), min_size=2, max_size=8))
def test_equal_items_mean_equal_rows(rows: list[Row]) -> None:
    encoded = [encode_one(row) for row in rows]
    for first, one in zip(rows, encoded):
        for second, other in zip(rows, encoded):
            assert (one == other) == (first == second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (((b"phone", b"1"),), ((b"email", b"1"),)),
        (((b"t", b"ab"), (b"t", b"c")), ((b"t", b"a"), (b"t", b"bc"))),
        (((b"t", b"a"), (b"t", b"")), ((b"t", b"a"),)),
        (((b"ab", b"c"),), ((b"a", b"bc"),)),
        (((b"t", b"a"), (b"u", b"b")), ((b"u", b"b"), (b"t", b"a"))),
    ],
)
def test_rows_that_a_careless_encoding_confuses(first: Row, second: Row) -> None:
    assert encode_one(first) != encode_one(second)


@given(st.lists(st.tuples(cells, cells), max_size=50))
def test_encoding_a_batch_is_encoding_each_row(rows: list[tuple[bytes, bytes]]) -> None:
    items = Items.encode([column(b"a", [row[0] for row in rows]), column(b"bb", [row[1] for row in rows])])
    assert len(items) == len(rows)
    for index, (one, two) in enumerate(rows):
        assert items.get(index) == encode_one(((b"a", one), (b"bb", two)))


@given(st.lists(cells, max_size=300))
def test_distinct_equals_a_dictionary(values: list[bytes]) -> None:
    positions: dict[bytes, int] = {}
    groups = [positions.setdefault(value, len(positions)) for value in values]
    distinct, got = Items.from_list(values).distinct()
    assert [distinct.get(index) for index in range(len(distinct))] == list(positions)
    assert got.dtype == np.uint32
    assert got.tolist() == groups


def test_distinct_of_many_rows() -> None:
    draws = np.random.default_rng(7).integers(0, 40_000, 200_000)
    values = [b"%d" % draw for draw in draws]
    distinct, groups = Items.from_list(values).distinct()
    assert len(distinct) == len(set(values))
    assert all(distinct.get(int(group)) == value for group, value in zip(groups, values))


@given(st.lists(cells, max_size=20), st.data())
def test_slices_and_digests(values: list[bytes], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(values)))
    stop = data.draw(st.integers(start, len(values)))
    part = Items.from_list(values).slice(start, stop)
    assert [part.get(index) for index in range(len(part))] == values[start:stop]
    same = Items.from_list(values[start:stop])
    assert part.digest(b"salt") == same.digest(b"salt")
    assert part.digest(b"salt") != part.digest(b"other")
    assert part.distinct()[1].tolist() == same.distinct()[1].tolist()
    if start != stop:
        assert part.digest(b"salt") != Items.from_list([*values[start:stop], b""]).digest(b"salt")


@given(st.lists(st.lists(cells, max_size=5), max_size=5))
def test_concat_is_the_batches_one_after_the_other(batches: list[list[bytes]]) -> None:
    joined = Items.concat([Items.from_list([b"x", *batch]).slice(1, len(batch) + 1) for batch in batches])
    assert [joined.get(i) for i in range(len(joined))] == [cell for batch in batches for cell in batch]


def test_arrow_buffers_are_taken_with_their_slices() -> None:
    array = pa.array(["x", "ab", "", "cde"], pa.large_string()).slice(1)
    _, offsets, data = array.buffers()
    window = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    items = Items.encode([KeyCells(b"t", window, data)])
    assert [items.get(index) for index in range(3)] == [encode_one(((b"t", c),)) for c in (b"ab", b"", b"cde")]


@pytest.mark.parametrize("offsets", [[0, 2, 1], [-1, 0], [0, 9], [2, 1]])
def test_bad_offsets_are_refused(offsets: list[int]) -> None:
    with pytest.raises(UsageError) as caught:
        Items.encode([KeyCells(b"t", np.array(offsets), b"abc")])
    assert caught.value.code == "crypto.bad-offsets"


def test_bad_batches_are_refused() -> None:
    one, two = column(b"t", [b"a"]), column(b"t", [b"a", b"b"])
    for columns in ([], [one, two], [one] * 256, [column(b"", [b"a"])], [column(bytes(256), [b"a"])]):
        with pytest.raises(UsageError):
            Items.encode(columns)
    with pytest.raises(EncodingError) as caught:
        Items.from_list([b"", bytes(ITEM_BYTES_MAX + 1)])
    assert caught.value.fields == {"index": 1, "length_bytes": ITEM_BYTES_MAX + 1, "limit_bytes": ITEM_BYTES_MAX}
    items = Items.from_list([b"a"])
    for start, stop in [(1, 0), (0, 2)]:
        with pytest.raises(UsageError):
            items.slice(start, stop)
    with pytest.raises(UsageError):
        items.get(1)


@given(st.integers(0, 200), st.binary(max_size=9))
def test_permutations(count: int, seed: bytes) -> None:
    order = Rng.insecure_from_seed(seed).permutation(count)
    assert sorted(order.tolist()) == list(range(count))
    assert order.tolist() == Rng.insecure_from_seed(seed).permutation(count).tolist()


def test_permutations_look_uniform() -> None:
    rng = Rng.insecure_from_seed(b"uniform")
    places = np.zeros((8, 8))
    for _ in range(4000):
        places[np.arange(8), rng.permutation(8)] += 1
    # 64 cells of 500 on average: chi-squared with 49 degrees exceeds 103 for one seed in 100,000.
    assert ((places - 500) ** 2 / 500).sum() < 103


def test_generators_differ_and_seeds_repeat() -> None:
    assert Rng.system().bytes(16) != Rng.system().bytes(16)
    assert Rng.insecure_from_seed(b"a").bytes(16) == Rng.insecure_from_seed(b"a").bytes(16)
    assert Rng.insecure_from_seed(b"a").scalar() != Rng.insecure_from_seed(b"b").scalar()
    assert Rng.system().bytes(0) == b""


@given(st.lists(st.lists(cells, max_size=6), max_size=6), st.integers(0, 40))
def test_batches_make_the_items_that_all_rows_together_make(batches: list[list[bytes]], expected: int) -> None:
    builder = ItemsBuilder(expected)
    for rows in batches:
        builder.add([column(b"text", rows)], 2 * len(rows))
    items, whole = builder.finish(), Items.encode([column(b"text", [row for rows in batches for row in rows])])
    assert [items.get(at) for at in range(len(items))] == [whole.get(at) for at in range(len(whole))]
    assert len(builder.finish()) == 0


def test_a_batch_that_is_refused_leaves_the_others() -> None:
    builder = ItemsBuilder(3)
    builder.add([KeyCells(b"text", np.array([0, 2], np.int64), b"ab")])
    for bad in (KeyCells(b"", np.array([0, 1], np.int64), b"a"), KeyCells(b"text", np.array([0, 9], np.int64), b"a")):
        with pytest.raises(UsageError):
            builder.add([bad])
    builder.add([KeyCells(b"text", np.array([0, 1, 3], np.int64), b"cde")])
    items = builder.finish()
    assert [items.get(at)[-2:] for at in range(len(items))] == [b"ab", b"\x01c", b"de"]


def test_many_items_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    numbers = rng.integers(0, 150_000, 200_000)
    items = Items.from_list([b"%d" % number for number in numbers])
    distinct, groups = items.distinct()
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))  # in order of first appearance
    assert len(distinct) == len(first)
    assert (groups == rank[inverse]).all()
    assert [distinct.get(at) for at in range(0, len(distinct), 997)] == [b"%d" % numbers[at] for at in np.sort(first)[::997]]


def test_memory_can_be_had_and_given_back() -> None:
    prepare_memory(64 << 20)
    release_memory()
    prepare_memory(0)
