"""Items and what they add to statistics, split by group."""

from __future__ import annotations

import numpy as np
import pytest

from psc.crypto import Items
from psc.operations.aggregate import blocks_and_vectors, blocks_of


@pytest.mark.parametrize(
    ("keys", "groups", "used"),
    [
        (500, 1, [0]),
        (0, 1, [0]),
        (0, 3, [0]),
        (5_000, 1024, range(1024)),
        (3_000, 257, range(257)),
        (400, 256, [0, 255]),
        (400, 70_000, [3, 65_539, 69_999]),  # more than 16 bits hold
        (300, 7, [6]),
        (300, 7, [0]),
        (300, 7, [1, 4]),
    ],
)
def test_blocks_and_vectors_stay_row_by_row_together(keys: int, groups: int, used: object) -> None:
    rng = np.random.default_rng(keys + groups)
    index = rng.choice(np.array(used), keys).astype(np.int32)
    names = [b"item %d" % number for number in range(keys)]
    items, entries = Items.from_list(names), np.stack([np.arange(keys), rng.integers(-9, 9, keys)], axis=1)
    blocks, vectors = blocks_and_vectors(items, entries, index, groups)
    assert len(blocks) == len(vectors) == groups
    for group in {*index.tolist(), 0, groups // 2, groups - 1}:
        rows = np.flatnonzero(index == group)  # in the order in which they stand
        block, vector = blocks[group], vectors[group]
        assert [block.get(at) for at in range(len(block))] == [names[row] for row in rows]
        assert vector.dtype == np.int64
        assert vector.tolist() == entries[rows].tolist()
    assert [len(block) for block in blocks] == [len(vector) for vector in vectors]
    assert sum(len(block) for block in blocks) == keys


def test_blocks_alone_have_the_same_order() -> None:
    index = np.array([2, 0, 2, 1, 0, 2], dtype=np.int32)
    names = [b"%d" % number for number in range(6)]
    found = blocks_of(Items.from_list(names), index, 4)
    assert [[block.get(at) for at in range(len(block))] for block in found] == [[b"1", b"4"], [b"3"], [b"0", b"2", b"5"], []]
