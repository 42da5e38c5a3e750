"""Sections cover every cell once with the fewest bytes, and both sides work out the same."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psc.crypto.rlwe import RLWE
from psc.protocols import dh_sum, owner_sum
from psc.protocols.masked_sums import Layout, leg_bytes, sections
from psc.testing.ideal import ClearSums


def layout(groups: int, blocks: tuple[int, ...], columns: int = 1, block: int = 16, most: int = 40) -> Layout:
    return Layout(bytes(32), groups, blocks, columns, ClearSums(block, most))


def downlink(shape: Layout, runs: list[tuple[int, int]], parts: int) -> int:
    """Bytes of keys and ciphertexts when the owner's groups are cut into ``runs`` and the matcher's into ``parts``."""
    engine, columns = shape.engine, shape.columns
    blocks = sum(-(-sum(shape.blocks[start:stop]) // engine.block) for start, stop in runs)
    return parts * (len(runs) * engine.key_bytes(columns) + blocks * columns * engine.ciphertext_bytes)


def cheapest(shape: Layout) -> int:
    """Try every way to cut."""
    count, costs = len(shape.blocks), []
    for width in range(1, min(shape.groups, shape.engine.max_cells) + 1):
        for cuts in range(count):
            for inner in combinations(range(1, count), cuts):
                ends = [0, *inner, count]
                runs = list(pairwise(ends))
                if max(stop - start for start, stop in runs) * width <= shape.engine.max_cells:
                    costs.append(downlink(shape, runs, -(-shape.groups // width)))
    return min(costs)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.lists(st.integers(1, 60), min_size=1, max_size=7),
    st.integers(1, 4),
    st.integers(1, 12),
)
def test_every_cell_is_in_one_section_and_no_cut_is_cheaper(groups: int, sizes: list[int], columns: int, most: int) -> None:
    shape = layout(groups, tuple(sizes), columns, most=most)
    parts = sections(shape)
    ends = np.cumsum([0, *sizes]).tolist()
    covered = np.zeros((groups, len(sizes)), dtype=int)
    for part in parts:
        covered[slice(*part.own), slice(*part.theirs)] += 1
        assert 1 <= part.cells <= most
        assert part.positions == (ends[part.theirs[0]], ends[part.theirs[1]])
    assert (covered == 1).all()
    forward, back = leg_bytes(shape)
    assert back == cheapest(shape)
    assert forward == groups * len(sizes) * shape.engine.reply_bytes(columns)


def test_one_section_serves_a_common_table() -> None:
    parts = sections(layout(10, (100, 200, 300), block=8192))
    assert [(part.own, part.theirs, part.positions) for part in parts] == [((0, 10), (0, 3), (0, 600))]


def test_more_groups_than_a_key_may_release_need_the_list_once_more() -> None:
    parts = sections(layout(41, (8192,), block=8192))
    assert [part.cells for part in parts] == [21, 20]
    assert {part.positions for part in parts} == {(0, 8192)}


@pytest.mark.parametrize(("groups", "blocks"), [(1, 1024), (1024, 1), (32, 32), (24, 41)])
def test_small_blocks_share_ciphertexts(groups: int, blocks: int) -> None:
    shape = layout(groups, (64,) * blocks, block=8192)
    parts = sections(shape)
    assert len(parts) <= -(-groups * blocks // 40) * 2
    assert sum(part.cells for part in parts) == groups * blocks


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_formula_of_the_page(data: st.DataObject) -> None:
    """``docs/protocols/aggregates.md``, section Cost, in its own letters."""
    sizes = st.lists(st.integers(1, 30_000), min_size=1, max_size=6)
    own, theirs, c = data.draw(sizes), data.draw(sizes), data.draw(st.integers(0, 4))
    output = data.draw(st.sampled_from(["receiver", "responder", "both"]))
    params = dh_sum.Params(bytes(32), tuple(own), tuple(theirs), (40,) * c, RLWE, output)
    n, m, g, p = sum(own), sum(theirs), len(own) * len(theirs), 172_032
    t = -(-(40 + (n * m - 1).bit_length()) // 8)
    forward, back = 32 * n, 32 * m + t * n
    if c:
        forward += g * (p + 21 * c)
        back += sum(c * p * (1 + -(-section.count // 8192)) for section in sections(params.layout))
    to_sender, to_receiver = output != "receiver", output != "responder"
    forward += (8 * g + -(-g // 8)) * to_sender
    back += 8 * g * c * to_receiver
    assert dh_sum.message_bytes(params) == (forward, back)

    w = data.draw(st.integers(0, 3))
    owned = owner_sum.Params(bytes(32), n, m, len(own), len(theirs), w, (None,) * c, output)
    forward, back = 32 * m + t * n + (t + 4 + 8 * w + 16) * n, 32 * m
    back += (8 * g * (1 + c) + -(-g // 8)) * to_receiver
    assert owner_sum.message_bytes(owned) == (forward, back)
