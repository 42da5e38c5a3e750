"""Packed additive encryption: exact sums, and every malformed message refused."""

from __future__ import annotations

import numpy as np

from psc.crypto import RLWE, Rng

CONTEXT = b"context of the tests"


def test_sums_of_cells_plus_offsets_come_back_exactly() -> None:
    draw = np.random.default_rng(1)
    rng = Rng.insecure_from_seed(b"sums")
    n, columns, cells = 3 * RLWE.block - 5, 3, 4
    values = draw.integers(-(1 << 63), (1 << 63) - 1, (n, columns), dtype=np.int64, endpoint=True)
    chosen = draw.integers(-1, cells, n, dtype=np.int32)
    offsets = draw.integers(0, 1 << 64, (cells, columns), dtype=np.uint64)
    owner = RLWE.owner(CONTEXT, 7, columns, rng)
    matcher = RLWE.matcher(CONTEXT, 7, columns, cells, owner.key_material())
    for first, stop in ((0, 2), (2, 3)):
        part = slice(first * RLWE.block, stop * RLWE.block)
        matcher.absorb(first, owner.encrypt(first, values[part]), chosen[part])
    released = owner.release(matcher.finish(offsets, rng))
    expected = [values.view(np.uint64)[chosen == cell].sum(0, dtype=np.uint64) for cell in range(cells)]
    assert np.array_equal(released, np.stack(expected) + offsets)
