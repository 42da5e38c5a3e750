"""``owner-sum`` is the ideal functionality's; the owner's rules decide what the receiver is given."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from psc.crypto import Items, Rng
from psc.errors import EncodingError, LocalProtocolError, RemoteProtocolError, UsageError
from psc.protocols import dh_psi, owner_sum
from psc.protocols.base import CHUNK_BYTES, CHUNK_ITEMS, Message
from psc.protocols.cells import GroupLabels, Sums
from psc.protocols.dh_psi import RowEntries, SenderTags
from psc.protocols.owner_sum import ReleasedTable, Table
from psc.session.drive import run_pair
from psc.testing.ideal import ideal_sums
from psc.types import OutputTo
from tests.sum_cases import Case, keep, made_up, owner_params, owner_sums, run_shuffled, trace

OUTPUTS: tuple[OutputTo, ...] = ("receiver", "responder", "both")
SIZES = [(0, 0, 0), (0, 5, 0), (5, 0, 0), (1, 1, 1), (1, 1, 0), (64, 65, 64), (300, 7, 7), (1, 500, 1)]


def check(case: Case, got: tuple[Sums | None, Sums | None], output: OutputTo, weights: Any = None) -> None:
    """Each party holds the ideal table, or none."""
    values = [{item: case.values[item] for item in block} for block in case.sender]
    counts, totals = ideal_sums(case.receiver, values, case.statistics, weights)
    assert (got[0] is None) == (output == "responder")
    assert (got[1] is None) == (output == "receiver")
    for table, groups in zip(got, (len(case.sender), len(case.receiver))):
        if table is not None:
            assert table.sums is not None
            assert table.counts.tolist() == counts
            assert table.sums.tolist() == totals
            assert len(table.labels) == groups
            assert not table.withheld.any()


@pytest.mark.parametrize(("n", "m", "common"), SIZES)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("capacity", [1, None])
def test_sums_are_ideal_at_every_size(n: int, m: int, common: int, output: OutputTo, capacity: int | None) -> None:
    case = made_up(n, m, common)
    check(case, owner_sums(case, output=output, capacity=capacity), output)


@pytest.mark.parametrize(("n", "m"), [(CHUNK_ITEMS + 1, 9), (9, CHUNK_ITEMS - 1), (9, CHUNK_ITEMS + 1)])
def test_chunk_boundaries_at_capacity_one(n: int, m: int) -> None:
    case = made_up(n, m, 5, (2, 2), statistics=1)
    check(case, owner_sums(case, capacity=1), "receiver")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_cases_with_weights(data: st.DataObject) -> None:
    n, m = data.draw(st.integers(0, 60)), data.draw(st.integers(0, 60))
    common = data.draw(st.integers(0, min(n, m)))
    shape = data.draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    case = made_up(n, m, common, shape, data.draw(st.integers(0, 5)), data.draw(st.integers(0, 999)))
    columns = data.draw(st.integers(0, 3))
    choice = st.sampled_from([None, *range(columns)])
    statistics = tuple(data.draw(choice) for _ in range(case.statistics))
    rng = random.Random(data.draw(st.integers(0, 99)))
    mine = [item for block in case.receiver for item in block]
    case.weights = {item: [rng.randint(-(1 << 31), 1 << 31) for _ in range(columns)] for item in mine}
    factors = {item: [1 if at is None else case.weights[item][at] for at in statistics] for item in mine}
    output = data.draw(st.sampled_from(OUTPUTS))
    check(case, owner_sums(case, statistics=statistics, columns=columns, output=output, capacity=1), output, factors)


@pytest.mark.parametrize("seed", range(6))
def test_shuffled_schedules(seed: int) -> None:
    case = made_up(70, 90, 40, (3, 2), seed=seed)
    output = OUTPUTS[seed % 3]
    scripts: list[Any] = []

    def collect(a: Any, b: Any, **_: Any) -> tuple[None, None]:
        scripts.extend((a, b))
        return None, None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.sum_cases.run_pair", collect)
        owner_sums(case, output=output)
    check(case, run_shuffled(*scripts, seed=seed, capacity=1 + seed % 3), output)


def test_the_largest_table_goes_in_pieces() -> None:
    case = made_up(500, 900, 400, (32, 32), statistics=40, seed=2)
    steps = trace(owner_sums, case, capacity=1)
    assert [name for _, name, _ in steps].count("ReleasedTable") == 2
    assert max(size for _, _, size in steps) <= CHUNK_BYTES
    check(case, owner_sums(case), "receiver")


@pytest.mark.parametrize("output", OUTPUTS)
def test_sizes_on_the_wire_are_the_formula_and_depend_on_public_sizes_alone(output: OutputTo) -> None:
    traces = []
    for n, m, common, value in [(65, 67, 0, 0), (66, 65, 65, 1), (68, 66, 9, 1 << 50)]:
        case = made_up(n, m, common, (2, 3), seed=8)
        case.values = {item: [value, -value] for item in case.values}
        case.weights = {item: [value % 7] for block in case.receiver for item in block}
        options: dict[str, Any] = {"statistics": (0, None), "columns": 1, "output": output, "minimum_group": 3}
        traces.append(trace(owner_sums, case, **options))
        sent = {who: sum(size for by, _, size in traces[-1] if by == who) for who in "ab"}
        params = owner_params(case, (0, None), 1, output=output)
        assert (sent["a"], sent["b"]) == owner_sum.message_bytes(params)
    assert traces[0] == traces[1] == traces[2]


# --- the owner's rules ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_owner_decides_what_is_shown(output: OutputTo) -> None:
    case = made_up(200, 200, 150, (3, 4), seed=5)
    counts, totals = (np.array(table) for table in case.ideal())

    def release(exact: NDArray[np.int64], found: NDArray[np.int64]) -> Table:
        assert (exact == counts).all()
        assert (found == totals).all()
        marks = np.zeros(exact.shape, dtype=np.bool_)
        marks[0] = True
        return Table(exact - 3, found + 7, marks)

    withheld = counts < 9
    withheld[0] = True
    for table in owner_sums(case, release=release, output=output, minimum_group=9):
        if table is not None:
            assert table.sums is not None
            assert (table.withheld == withheld).all()
            assert (table.counts == np.where(withheld, 0, counts - 3)).all()
            assert (table.sums == np.where(withheld[..., None], 0, totals + 7)).all()


@pytest.mark.parametrize("minimum", [30, 31])
def test_a_result_below_the_minimum_is_withheld_whole_and_no_rule_is_asked(minimum: int) -> None:
    case = made_up(60, 60, 30, (2, 2), seed=6)
    asked: list[int] = []

    def release(exact: NDArray[np.int64], found: NDArray[np.int64]) -> Table:
        asked.append(1)
        return keep(exact, found)

    for table in owner_sums(case, release=release, output="both", minimum_result=minimum):
        assert table is not None
        assert table.sums is not None
        assert table.withheld.all() == (minimum == 31)
        assert table.counts.any() == table.sums.any() == (minimum == 30)
    assert bool(asked) == (minimum == 30)


def test_sums_are_exact_up_to_64_bits_and_refused_beyond() -> None:
    case = made_up(4, 4, 4, statistics=1, seed=1)
    items = case.sender[0]
    case.receiver = [items]
    case.weights = {item: [weight] for item, weight in zip(items, (1 << 31, -(1 << 31), 1, 1))}
    run: dict[str, Any] = {"statistics": (0,), "columns": 1}
    largest = (1 << 63) - 1
    case.values = {item: [value] for item, value in zip(items, (1 << 61, 1 << 61, largest, 0))}
    got, _ = owner_sums(case, **run)  # products beyond 64 bits cancel
    assert got is not None
    assert got.sums is not None
    assert got.sums.tolist() == [[[largest]]]
    case.values = {item: [value] for item, value in zip(items, (0, 0, -largest, -1))}
    got, _ = owner_sums(case, **run)
    assert got is not None
    assert got.sums is not None
    assert got.sums.tolist() == [[[-(1 << 63)]]]
    for values in ((0, 0, largest, 1), (0, 0, -largest, -2), (1 << 40, 0, 0, 0)):
        case.values = {item: [value] for item, value in zip(items, values)}
        with pytest.raises(EncodingError) as caught:
            owner_sums(case, **run)
        assert caught.value.code == "session.sum-too-large"


def test_weights_are_held_to_the_bounds_that_noise_is_scaled_to() -> None:
    case = made_up(40, 40, 30, statistics=3, seed=4)
    rng = random.Random(4)
    case.weights = {item: [rng.randint(-20, 20), rng.randint(-20, 20)] for item in case.receiver[0]}
    got, _ = owner_sums(case, statistics=(0, 1, None), columns=2, weight_bounds=(7, 0))
    common = [item for item in case.receiver[0] if item in case.values]
    assert any(abs(case.weights[item][0]) > 7 for item in common)
    clipped = sum(max(-7, min(7, case.weights[item][0])) * case.values[item][0] for item in common)
    assert got is not None
    assert got.sums is not None
    assert got.sums.tolist() == [[[clipped, 0, sum(case.values[item][2] for item in common)]]]


# --- hostile peers and own inputs ----------------------------------------------------------------------------------------


def _lie(group: int, weight: int) -> None:
    """A receiver that seals rows of its own making, for a table of 2 groups and one weight."""
    case = made_up(30, 30, 20, (2, 2))
    mine, theirs = ([item for block in blocks for item in block] for blocks in (case.receiver, case.sender))
    params = owner_params(case, (None, 0), 1, output="responder")
    groups = np.zeros(30, dtype=np.int64)
    rows = np.zeros(30, dtype=params.row_type)
    rows["group"], rows["weights"] = group, weight
    numbers = np.arange(30, dtype=np.uint32)
    sealed = dh_psi.SenderRows(numbers, np.ones(30, dtype=np.uint32), rows.tobytes())
    values, names = np.concatenate(case.vectors()), (b"x", b"y")
    run_pair(
        dh_psi.sender(Items.from_list(mine), sealed, params.matching, Rng.system()),
        owner_sum.sender(Items.from_list(theirs), groups, values, names, params, Rng.system(), keep),
    )


@pytest.mark.parametrize(
    ("group", "weight", "what"),
    [
        (2, 1, "a row names a group that is not there"),
        ((1 << 32) - 1, 1, "a row names a group that is not there"),
        (1, 1 << 32, "a weight is out of range"),
        (1, -(1 << 32), "a weight is out of range"),
        (1, -(1 << 63), "a weight is out of range"),
    ],
)
def test_rows_out_of_range_are_refused(group: int, weight: int, what: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        _lie(group, weight)
    assert caught.value.fields["what"] == what


def _change(message: ReleasedTable, field: str, at: int, value: int) -> ReleasedTable:
    data = bytearray(getattr(message, field))
    data[at] = value
    return replace(message, **{field: bytes(data)})


BAD_TABLES = {
    "marks cut": lambda m: replace(m, withheld=b""),
    "marks too long": lambda m: replace(m, withheld=m.withheld + b"\0"),
    "marks beyond the end": lambda m: _change(m, "withheld", 0, 64),
    "counts cut": lambda m: replace(m, counts=m.counts[:-1]),
    "counts too long": lambda m: replace(m, counts=m.counts + b"\0" * 8),
    "sums cut": lambda m: replace(m, sums=m.sums[:-8]),
    "sums too long": lambda m: replace(m, sums=m.sums + b"\0"),
    "withheld and not zero": lambda m: _change(m, "withheld", 0, 1),
}


@pytest.mark.parametrize("what", BAD_TABLES)
def test_malformed_tables_are_refused(what: str) -> None:
    case = made_up(100, 100, 90, (2, 3))
    assert min(map(min, case.ideal()[0])) > 0

    def tap(_: str, message: Message) -> Message:
        return BAD_TABLES[what](message) if isinstance(message, ReleasedTable) else message

    with pytest.raises(RemoteProtocolError):
        owner_sums(case, tap=tap)


@pytest.mark.parametrize("labels", [(), (b"one",), (b"one", b"one", b"two"), (b"one", b"two", b"x" * 2049)])
@pytest.mark.parametrize("who", ["a", "b"])
def test_malformed_names_are_refused(labels: tuple[bytes, ...], who: str) -> None:
    def tap(by: str, message: Message) -> Message:
        return GroupLabels(labels) if isinstance(message, GroupLabels) and by == who else message

    with pytest.raises(RemoteProtocolError):
        owner_sums(made_up(30, 30, 20, (3, 3)), output="both", tap=tap)


def test_another_kind_of_message_is_refused_at_every_step() -> None:
    case = made_up(5, 5, 2, (2, 2))
    for wrong in range(len(trace(owner_sums, case, output="both")) + 2):
        position = iter(range(100))

        def tap(_: str, message: Message, wrong: int = wrong, position: Any = position) -> Message:
            if next(position) != wrong:
                return message
            return SenderTags(b"") if not isinstance(message, SenderTags) else RowEntries(b"")

        with pytest.raises(RemoteProtocolError):
            owner_sums(case, output="both", tap=tap)


def test_inputs_that_do_not_fit_are_refused_before_anything_moves() -> None:
    case, rng = made_up(30, 30, 20, (2, 2)), Rng.system()
    items, none = Items.from_list([b"%d" % i for i in range(30)]), np.zeros((30, 0), dtype=np.int64)
    groups, values, names = np.arange(30) % 2, np.zeros((30, 2), dtype=np.int64), (b"one", b"two")
    params = owner_params(case, (None, None), 0)
    wrong: list[Any] = [
        owner_sum.receiver(items, groups + 1, none, params, rng, names),
        owner_sum.receiver(items, groups - 1, none, params, rng, names),
        owner_sum.receiver(items, groups[1:], none, params, rng, names),
        owner_sum.receiver(items, groups, np.zeros((30, 1), dtype=np.int64), params, rng, names),
        owner_sum.receiver(items, groups, none, params, rng),
        owner_sum.receiver(items, groups, none, replace(params, weight_columns=1), rng, names),
        owner_sum.receiver(items, groups, np.full((30, 1), 1 << 32), replace(params, weight_columns=1), rng, names),
        owner_sum.sender(items, groups + 1, values, names, params, rng, keep),
        owner_sum.sender(items, groups, values[1:], names, params, rng, keep),
        owner_sum.sender(items, groups, values, names[1:], params, rng, keep),
        owner_sum.sender(items, groups, values, names, replace(params, weight_bounds=(1,)), rng, keep),
    ]
    for script in wrong:
        with pytest.raises(LocalProtocolError):
            next(script)
    large = Items.from_list([b"%d" % i for i in range(65)])
    for script in (
        owner_sum.receiver(large, groups, none, params, rng, names),
        owner_sum.sender(large, groups, values, names, params, rng, keep),
    ):
        with pytest.raises(EncodingError):
            next(script)
    many = replace(params, receiver_groups=1025, sender_groups=1)
    with pytest.raises(UsageError):
        next(owner_sum.receiver(items, groups, none, many, rng, names))


def test_a_rule_that_returns_another_table_is_a_bug() -> None:
    def release(exact: NDArray[np.int64], found: NDArray[np.int64]) -> Table:
        return Table(exact[:1], found, np.zeros(exact.shape, dtype=np.bool_))

    with pytest.raises(LocalProtocolError):
        owner_sums(made_up(30, 30, 20, (2, 2)), release=release)
