"""Laws of packed encryption: sums are those of plain integers, however the positions are cut into blocks and calls."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from psc.crypto import RLWE, Rng

ENDS = np.array([-(1 << 63), (1 << 63) - 1, -1, 0, 1, 1 << 62], np.int64)
WEIGHTS = np.array([1 - (1 << 32), (1 << 32) - 1, -1, 0, 1, 1 << 31], np.int64)


def plain(
    values: NDArray[np.int64], cells: NDArray[np.int32], weights: NDArray[np.int64] | None, offsets: NDArray[np.uint64]
) -> list[list[int]]:
    """Return the same sums by Python integers."""
    sums = [[int(offset) for offset in row] for row in offsets]
    for index, cell in enumerate(cells.tolist()):
        if cell >= 0:
            weight = 1 if weights is None else int(weights[index])
            sums[cell] = [total + weight * value for total, value in zip(sums[cell], values[index].tolist(), strict=True)]
    return [[total % (1 << 64) for total in row] for row in sums]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, (1 << 32) - 1),
    rows=st.sampled_from([0, 1, 2, 100, 8191, 8192, 8193, 20_000]),
    columns=st.integers(1, 4),
    cells=st.sampled_from([1, 2, 7, 40]),
    weighted=st.booleans(),
    first=st.sampled_from([0, 1, 1000]),
    calls=st.integers(1, 3),
)
@example(seed=0, rows=8193, columns=1, cells=40, weighted=True, first=0, calls=2)
def test_sums_are_those_of_integers(
    seed: int, rows: int, columns: int, cells: int, weighted: bool, first: int, calls: int
) -> None:
    draw, rng = np.random.default_rng(seed), Rng.insecure_from_seed(seed.to_bytes(8))
    values = np.where(
        draw.random((rows, columns)) < 0.5,
        draw.choice(ENDS, (rows, columns)),
        draw.integers(-(1 << 63), 1 << 63, (rows, columns), dtype=np.int64, endpoint=False),
    )
    chosen = draw.integers(-1, cells, rows, dtype=np.int32)
    weights = draw.choice(WEIGHTS, rows) if weighted else None
    offsets = draw.integers(0, 1 << 64, (cells, columns), dtype=np.uint64)
    owner = RLWE.owner(b"property", seed, columns, rng)
    matcher = RLWE.matcher(b"property", seed, columns, cells, owner.key_material())
    blocks = -(-rows // RLWE.block)
    cuts = [blocks * call // calls for call in range(calls + 1)]
    for start, stop in itertools.pairwise(cuts):
        part = slice(start * RLWE.block, stop * RLWE.block)
        ciphertexts = owner.encrypt(first + start, values[part])
        matcher.absorb(first + start, ciphertexts, chosen[part], None if weights is None else weights[part])
    released = owner.release(matcher.finish(offsets, rng))
    assert released.tolist() == plain(values, chosen, weights, offsets)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, (1 << 32) - 1), order=st.permutations(range(4)))
def test_the_order_of_blocks_at_the_matcher_does_not_matter(seed: int, order: list[int]) -> None:
    draw, rng = np.random.default_rng(seed), Rng.insecure_from_seed(seed.to_bytes(8))
    values = draw.integers(-(1 << 63), 1 << 63, (4 * RLWE.block, 1), dtype=np.int64, endpoint=False)
    chosen = draw.integers(-1, 3, len(values), dtype=np.int32)
    owner = RLWE.owner(b"order", 0, 1, rng)
    blocks = owner.encrypt(0, values)
    replies = []
    for sequence in (range(4), order):
        matcher = RLWE.matcher(b"order", 0, 1, 3, owner.key_material())
        for block in sequence:
            part = slice(block * RLWE.block, (block + 1) * RLWE.block)
            matcher.absorb(block, [blocks[block]], chosen[part])
        replies.append(matcher.finish(np.zeros((3, 1), np.uint64), Rng.insecure_from_seed(b"same")))
    assert replies[0] == replies[1]
    zeros = np.zeros((3, 1), np.uint64)
    assert owner.release(replies[0]).tolist() == plain(values, chosen, None, zeros)
