"""Withheld cells do not follow from what is shown and from any margin of the table."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from psc.data.groups import places_of
from psc.errors import UsageError
from psc.policy.suppression import COMBINATIONS_MAX, check_table, suppress, suppress_blocks

Counts = NDArray[np.int64]


@st.composite
def tables(draw: st.DrawFn, shapes: tuple[tuple[int, ...], ...], most: int) -> tuple[Counts, int]:
    shape = draw(st.sampled_from(shapes))
    sparse = draw(st.booleans())
    size = int(np.prod(shape))
    number = st.one_of(st.just(0), st.integers(0, most)) if sparse else st.integers(0, most)
    counts = draw(st.lists(number, min_size=size, max_size=size))
    return np.array(counts, dtype=np.int64).reshape(shape), draw(st.integers(0, most))


WIDE = ((1,), (2,), (5,), (1, 1), (1, 4), (2, 2), (2, 3), (4, 5), (6, 3), (2, 2, 2), (3, 2, 4), (1, 3, 3), (2, 3, 2, 2))


def squeezed(counts: Counts) -> tuple[int, ...]:
    return tuple(length for length in counts.shape if length > 1)


def margins(shape: tuple[int, ...]) -> list[NDArray[np.bool_]]:
    """Every margin as the marks of its cells: the total, and the sums over any axes."""
    place = np.indices(shape).reshape(len(shape), int(np.prod(shape)))
    found = []
    for kept in (axes for count in range(len(shape)) for axes in combinations(range(len(shape)), count)):
        for at in product(*(range(shape[axis]) for axis in kept)):
            found.append(np.all([place[axis] == wanted for axis, wanted in zip(kept, at)], axis=0).reshape(-1))
    return [np.broadcast_to(mark, (int(np.prod(shape)),)) for mark in found]


@given(tables(WIDE, 40))
def test_what_is_too_small_is_withheld_and_nothing_without_a_minimum(case: tuple[Counts, int]) -> None:
    counts, minimum = case
    withheld = suppress(counts, minimum)
    assert withheld.shape == counts.shape
    assert withheld[counts < minimum].all()
    assert not suppress(counts, 0).any()
    if counts.sum() < minimum:
        assert withheld.all()
    if (counts >= minimum).all():
        assert not withheld.any()
    assert (suppress(counts, minimum) == withheld).all()


@given(tables(WIDE, 40))
def test_withheld_cells_of_a_margin_are_none_or_all_or_two_that_reach_the_minimum(case: tuple[Counts, int]) -> None:
    counts, minimum = case
    withheld = suppress(counts, minimum).reshape(-1)
    for cells in margins(squeezed(counts)):
        hidden = withheld & cells
        joint = int(counts.reshape(-1)[hidden].sum())
        assert not hidden.any() or (hidden == cells).all() or (hidden.sum() >= 2 and joint >= minimum)


@given(tables(WIDE, 40))
def test_no_withheld_cell_follows_from_the_margins_by_linear_algebra(case: tuple[Counts, int]) -> None:
    counts, minimum = case
    withheld = suppress(counts, minimum).reshape(-1)
    shape = squeezed(counts)
    if not withheld.any() or not shape:
        return
    system = np.array([cells[withheld] for cells in margins(shape)], dtype=float)
    rank = np.linalg.matrix_rank(system)
    for cell in range(system.shape[1]):
        unit = np.zeros((1, system.shape[1]))
        unit[0, cell] = 1
        assert np.linalg.matrix_rank(np.vstack([system, unit])) == rank + 1


def tables_like(counts: Counts, free: NDArray[np.bool_]) -> list[Counts]:
    """Every table of non-negative counts that agrees outside ``free`` and in all row and column sums."""
    rows, columns = counts.shape
    found: list[Counts] = []

    def fill(table: Counts, at: int, left: list[int], down: list[int]) -> None:
        if at == rows * columns:
            if not any(left) and not any(down):
                found.append(table.copy())
            return
        i, j = divmod(at, columns)
        for value in range(min(left[i], down[j]) + 1) if free[i, j] else (counts[i, j],):
            if value <= left[i] and value <= down[j] and (j < columns - 1 or value == left[i]):
                table[i, j] = value
                left[i] -= value
                down[j] -= value
                fill(table, at + 1, left, down)
                left[i] += value
                down[j] += value

    fill(counts.copy(), 0, counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist())
    return found


def can_swap(counts: Counts, cell: tuple[int, int]) -> bool:
    i, j = cell
    rows, columns = counts.shape
    others = [(r, c) for r in range(rows) for c in range(columns) if r != i and c != j]
    return any(min(counts[i, j], counts[r, c]) >= 1 or min(counts[i, c], counts[r, j]) >= 1 for r, c in others)


@settings(max_examples=60)
@given(tables(((2, 2), (2, 3), (3, 3)), 5))
def test_withheld_cells_have_several_values_even_for_who_knows_that_counts_are_not_negative(case: tuple[Counts, int]) -> None:
    counts, minimum = case
    withheld = suppress(counts, minimum)
    possible = np.array(tables_like(counts, withheld))
    for cell in zip(*np.nonzero(withheld)):
        if len(set(possible[:, cell[0], cell[1]].tolist())) == 1:
            # The margins alone fix it: no swap could move it though the whole table were withheld.
            assert not can_swap(counts, cell)


def test_without_the_extra_cells_the_small_one_is_derived() -> None:
    counts = np.array([[50, 61, 47], [39, 4, 55], [48, 52, 58]])
    naive = counts < 20
    assert counts.sum(axis=1)[1] - counts[1][~naive[1]].sum() == 4  # the row's margin gives it away
    withheld = suppress(counts, 20)
    assert withheld.tolist() == [[False, False, False], [True, True, False], [True, True, False]]


def test_rectangles_are_needed_and_not_only_two_a_line() -> None:
    # Two cells in every row and column touched, joint counts large, and yet (2,2) follows: it joins two cycles.
    pattern = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]], dtype=bool)
    system = np.array([cells[pattern.reshape(-1)] for cells in margins((5, 5))], dtype=float)
    unit = (np.flatnonzero(pattern.reshape(-1)) == 2 * 5 + 2).astype(float)
    assert np.linalg.matrix_rank(np.vstack([system, unit])) == np.linalg.matrix_rank(system)
    assert suppress(np.where(pattern, 12, 500), 20).sum() > pattern.sum()


@pytest.mark.parametrize(("counts", "wanted"), [(5, True), (20, False), ([7], [True]), ([3, 25, 40], [True, True, False])])
def test_small_shapes(counts: Any, wanted: Any) -> None:
    assert suppress(np.array(counts), 20).tolist() == wanted


def test_combinations_that_do_not_occur_are_no_cells() -> None:
    # Nested columns: every district is in one city, so nothing but the total links the districts of two cities.
    own = [("n", "n1"), ("n", "n2"), ("s", "s1"), ("s", "s2"), ("s", "s3")]
    counts = np.array([[50], [60], [4], [70], [80]])
    assert suppress_blocks(counts, own, [()], 20).reshape(-1).tolist() == [False, False, True, True, False]
    many = [(f"c{i // 4}", f"d{i}", f"e{i}") for i in range(200)]
    assert suppress_blocks(np.full((200, 1), 25), many, [()], 20).sum() == 0


def test_blocks_are_laid_out_by_their_columns() -> None:
    own = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    theirs = [("n",), ("s",)]
    counts = np.array([[40, 50], [60, 70], [3, 80], [90, 45]])
    table = suppress(counts.reshape(2, 2, 2), 20)
    assert (suppress_blocks(counts, own, theirs, 20) == table.reshape(4, 2)).all()
    order = [2, 0, 3, 1]
    assert (suppress_blocks(counts[order], [own[i] for i in order], theirs, 20) == table.reshape(4, 2)[order]).all()
    assert suppress_blocks(np.array([[7]]), [()], [()], 20).tolist() == [[True]]
    assert not suppress_blocks(counts[:3, :1] + 20, own[:3], [()], 20).any()  # b, y does not exist


def test_a_table_has_a_largest_size() -> None:
    check_table([COMBINATIONS_MAX], 1, 20)
    check_table([0, 5], 0, 20)
    check_table([], 1, 20)
    with pytest.raises(UsageError) as caught:
        check_table([COMBINATIONS_MAX // 2 + 1, 2], 1, 0)
    assert caught.value.code == "policy.table-too-large"
    assert "16777218" in str(caught.value)
    with pytest.raises(UsageError):
        suppress_blocks(np.ones((300, 1)), [(f"{i}", f"{i}", f"{i}") for i in range(300)], [()], 2)


def test_the_search_has_a_largest_table() -> None:
    """1,024 cells on six axes are the most; axes of one label, and tables without a minimum, cost nothing."""
    check_table([4] * 5, 1024, 20)
    check_table([2] * 4 + [8, 8, 1, 1], 1024, 20)
    check_table([2] * 8, 256, 20)
    for axes, cells in (([2] * 7 + [8], 1024), ([2] * 9, 512), ([2] * 16, 4)):
        with pytest.raises(UsageError) as caught:
            check_table(axes, cells, 1)
        assert caught.value.code == "policy.table-too-deep"
        check_table(axes, cells, 0)
    with pytest.raises(UsageError):  # and the search itself refuses, before it begins
        suppress(np.full((2,) * 9, 30), 20)
    assert not suppress(np.full((2,) * 9, 30), 0).any()


def test_places_do_as_well_as_labels_and_one_number_a_block_does_not() -> None:
    """Cells (B,F)=5 (B,M)=100 (S,F)=90 (S,M)=30: by blocks alone (S,M) goes with (B,F); a run by city shows B = 105 then."""
    counts, labels = np.array([[5], [100], [90], [30]]), [("B", "F"), ("B", "M"), ("S", "F"), ("S", "M")]
    places = places_of(tuple(labels))
    assert places == ((0, 0), (0, 1), (1, 0), (1, 1))
    for known in (labels, places):
        assert suppress_blocks(counts, known, [()], 20).all()
    assert suppress_blocks(counts, [(number,) for number in range(4)], [()], 20).reshape(-1).tolist() == [
        True,
        False,
        False,
        True,
    ]
