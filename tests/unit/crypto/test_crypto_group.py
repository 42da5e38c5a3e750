"""Laws of masking, whatever the items, scalars and batch sizes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psc.crypto import (
    Items,
    PointBatch,
    Rng,
    check,
    count_common,
    evaluate_items,
    hash_and_mask,
    hash_to_group,
    mask,
    point_tags,
    unmask,
)
from psc.errors import UsageError

CONTEXT = bytes(32)
seeds = st.binary(min_size=1, max_size=8)
batches = st.lists(st.binary(max_size=40), max_size=20)


@settings(max_examples=30)
@given(batches, seeds)
def test_masks_commute_and_come_off(messages: list[bytes], seed: bytes) -> None:
    rng = Rng.insecure_from_seed(seed)
    a, b = rng.scalar(), rng.scalar()
    items = Items.from_list(messages)
    masked = hash_and_mask(items, CONTEXT, a)
    assert mask(hash_to_group(items, CONTEXT), a) == masked
    assert mask(masked, b) == mask(hash_and_mask(items, CONTEXT, b), a)
    assert mask(mask(masked, b), b.inverse()) == masked
    assert mask(masked, a.inverse()) == hash_to_group(items, CONTEXT)


@settings(max_examples=30)
@given(batches, seeds)
def test_receiver_and_sender_get_the_same_outputs(messages: list[bytes], seed: bytes) -> None:
    rng = Rng.insecure_from_seed(seed)
    key, blind = rng.scalar(), rng.scalar()
    items = Items.from_list(messages)
    received = unmask(items, mask(hash_and_mask(items, CONTEXT, blind), key), blind.inverse(), CONTEXT)
    assert received == evaluate_items(items, key, CONTEXT)
    assert len(received) == len(items)
    tags = received.tags(12)
    whole = received.insecure_bytes()
    assert tags == b"".join(whole[at : at + 12] for at in range(0, len(whole), 64))


@pytest.mark.parametrize("count", [0, 1, 2, 255, 256, 257, 1000])
def test_batches_of_any_size_equal_their_parts(count: int) -> None:
    rng = Rng.insecure_from_seed(b"sizes")
    items = Items.from_list([b"%d" % index for index in range(count)])
    scalar = rng.scalar()
    whole = hash_and_mask(items, CONTEXT, scalar)
    cut = count // 3
    parts = [hash_and_mask(items.slice(*part), CONTEXT, scalar) for part in ((0, cut), (cut, count))]
    assert PointBatch.concat(parts) == whole
    assert PointBatch.concat([whole.slice(0, cut), whole.slice(cut, count)]) == whole
    check(whole)
    order = rng.permutation(count)
    shuffled = items_in_order(items, order)
    assert hash_and_mask(shuffled, CONTEXT, scalar) == whole.take(order)


def items_in_order(items: Items, order: np.ndarray) -> Items:
    return Items.from_list([items.get(int(index)) for index in order])


def test_contexts_and_labels_separate() -> None:
    items, key = Items.from_list([b"a"]), Rng.system().scalar()
    first, second = hash_to_group(items, b"1"), hash_to_group(items, b"2")
    assert first != second
    assert point_tags(first, b"1", 16) != point_tags(first, b"2", 16)
    assert evaluate_items(items, key, b"1") != evaluate_items(items, key, b"2")


def test_common_points_are_counted() -> None:
    rng = Rng.system()
    a, b = rng.scalar(), rng.scalar()
    mine = Items.from_list([b"%d" % index for index in range(700)])
    theirs = Items.from_list([b"%d" % index for index in range(400, 1500)])
    twice = [mask(hash_and_mask(mine, CONTEXT, a), b), mask(hash_and_mask(theirs, CONTEXT, b), a)]
    tags = [point_tags(points, CONTEXT, 12) for points in twice]
    assert count_common(*tags, 12) == 300


def test_counts_must_agree() -> None:
    scalar = Rng.system().scalar()
    with pytest.raises(UsageError) as caught:
        unmask(Items.from_list([b"a", b"b"]), PointBatch.random(Rng.system(), 1), scalar, CONTEXT)
    assert caught.value.fields == {"what": "points", "count": 1, "expected": 2}


def test_random_points_are_distinct_valid_and_seeded() -> None:
    points = PointBatch.random(Rng.insecure_from_seed(b"p"), 500)
    check(points)
    assert len({points.data[at : at + 32] for at in range(0, len(points.data), 32)}) == 500
    assert points == PointBatch.random(Rng.insecure_from_seed(b"p"), 500)


def test_slices_clip_as_python_slices_do() -> None:
    points = PointBatch.random(Rng.system(), 5)
    for start, stop in [(0, 5), (0, 9), (3, 2), (5, 9), (-2, 5), (-9, -1)]:
        expected = [points.data[32 * at : 32 * at + 32] for at in range(5)][start:stop]
        assert points.slice(start, stop).data == b"".join(expected)


def test_threads_may_share_everything() -> None:
    rng = Rng.system()
    scalar, items = rng.scalar(), Items.from_list([b"%d" % index for index in range(600)])
    expected = hash_and_mask(items, CONTEXT, scalar)

    def work(_: int) -> bool:
        return len(rng.bytes(100)) == 100 and hash_and_mask(items, CONTEXT, scalar) == expected

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(32)))
