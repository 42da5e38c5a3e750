"""One suite for every engine of homomorphic sums: exact where it must be, and as strict towards a peer as the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from psc.crypto import Rng
from psc.crypto.sums import SumEngine
from psc.engines import DEFAULT, ENGINES, engine
from psc.errors import CryptoError, LimitExceededError, LocalProtocolError, RemoteProtocolError, UsageError
from psc.testing.ideal import ClearSums
from psc.types import OutputTo
from tests.sum_cases import made_up, sums

CONTEXT = b"conformance of engines, 32 bytes"
LOW, HIGH = -(2**63), 2**63 - 1
MISUSE = (UsageError, LocalProtocolError)


def load(engine_id: str) -> SumEngine:
    package = ENGINES[engine_id][3]
    if package is not None:
        pytest.importorskip(package)
    return engine(engine_id)


@pytest.fixture(params=["clear", *ENGINES])
def exact(request: pytest.FixtureRequest) -> SumEngine:
    return ClearSums(block=16) if request.param == "clear" else load(request.param)


@pytest.fixture(params=[name for name in ENGINES if name != "paillier-3072/1"])
def real(request: pytest.FixtureRequest) -> SumEngine:
    return load(request.param)


def draw(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def truth(
    values: NDArray[np.int64], cells: NDArray[np.int32], count: int, weights: Sequence[int] | None, offsets: NDArray[np.uint64]
) -> list[list[int]]:
    """Return the sums modulo 2^64 in plain Python."""
    out = [[int(offset) for offset in row] for row in offsets]
    for at, cell in enumerate(cells.tolist()):
        for column in range(values.shape[1]):
            if 0 <= cell < count:
                out[cell][column] += int(values[at, column]) * (1 if weights is None else int(weights[at]))
    return [[value % 2**64 for value in row] for row in out]


def run(
    engine: SumEngine,
    values: NDArray[np.int64],
    cells: NDArray[np.int32],
    count: int,
    weights: NDArray[np.int64] | None = None,
    offsets: NDArray[np.uint64] | None = None,
    blocks_a_call: int | None = None,
) -> list[list[int]]:
    """Return what the owner releases, after checking every size on the way."""
    columns = values.shape[1]
    rng = Rng.system()
    engine.check(max(len(values), 1), (1 << 32) - 1 if weights is not None else 1)
    owner = engine.owner(CONTEXT, 0, columns, rng)
    material = owner.key_material()
    assert len(material) == engine.key_bytes(columns)
    matcher = engine.matcher(CONTEXT, 0, columns, count, material)
    step = blocks_a_call or max(-(-len(values) // engine.block), 1)
    for first in range(0, -(-len(values) // engine.block), step):
        part = slice(first * engine.block, (first + step) * engine.block)
        made = owner.encrypt(first, values[part])
        assert [len(row) for row in made] == [columns] * -(-len(values[part]) // engine.block)
        assert {len(one) for row in made for one in row} == {engine.ciphertext_bytes}
        matcher.absorb(first, made, cells[part], None if weights is None else weights[part])
    replies = matcher.finish(np.zeros((count, columns), np.uint64) if offsets is None else offsets, rng)
    assert [len(reply) for reply in replies] == [engine.reply_bytes(columns)] * count
    released = owner.release(replies)
    assert released.dtype == np.uint64
    assert released.shape == (count, columns)
    return [[int(value) for value in row] for row in released]


def zeros(count: int, columns: int) -> NDArray[np.uint64]:
    return np.zeros((count, columns), np.uint64)


def test_exact_at_the_ends_of_the_range(exact: SumEngine) -> None:
    sums = ([HIGH] * 3, [LOW] * 3, [HIGH, LOW, -1], [LOW, -1, 0], [HIGH, 1, 1], [0, 0, 0])
    values = np.array([[value, -value if value != LOW else LOW] for row in sums for value in row])
    cells = np.repeat(np.arange(6, dtype=np.int32), 3)
    assert run(exact, values, cells, 6) == truth(values, cells, 6, None, zeros(6, 2))


@pytest.mark.parametrize("around", [-1, 0, 1])
@pytest.mark.parametrize("blocks", [1, 2])
def test_exact_around_whole_blocks(exact: SumEngine, blocks: int, around: int) -> None:
    size = max(blocks * exact.block + around, 1)
    r = draw(size)
    values, cells = r.integers(LOW, HIGH, (size, 2), endpoint=True), r.integers(-1, 3, size).astype(np.int32)
    assert run(exact, values, cells, 3, blocks_a_call=1) == truth(values, cells, 3, None, zeros(3, 2))


@pytest.mark.parametrize(("value", "cell"), [(LOW, 0), (-1, 0), (HIGH, -1)])
def test_one_value(exact: SumEngine, value: int, cell: int) -> None:
    found = run(exact, np.array([[value]]), np.array([cell], np.int32), 1)
    assert found == [[value % 2**64 if cell == 0 else 0]]


def test_exact_weights_at_the_ends_of_their_range(exact: SumEngine) -> None:
    most = 2**32 - 1
    values = np.array([[HIGH], [LOW], [LOW], [HIGH], [12345], [-1], [7]])
    weights = np.array([most, most, -most, -most, 0, most, 1])
    for cells in ([0, 1, 0, 1, 0, 2, 2], [0, -1, -1, 0, 1, 1, -1]):
        numbers = np.array(cells, np.int32)
        assert run(exact, values, numbers, 3, weights) == truth(values, numbers, 3, weights.tolist(), zeros(3, 1))


def test_random_sums_with_weights_and_offsets(exact: SumEngine) -> None:
    r = draw(8)
    for _ in range(2):
        size, columns, count = int(r.integers(1, 20)), int(r.integers(1, 4)), int(r.integers(1, 6))
        values, cells = r.integers(LOW, HIGH, (size, columns), endpoint=True), r.integers(-1, count, size).astype(np.int32)
        weights = r.integers(-(2**32) + 1, 2**32, size)
        offsets = r.integers(0, 2**64, (count, columns), np.uint64)
        assert run(exact, values, cells, count, weights, offsets) == truth(values, cells, count, weights.tolist(), offsets)


def test_many_cells_some_of_them_empty_and_offsets_that_wrap(exact: SumEngine) -> None:
    count = min(exact.max_cells, 40)
    r = draw(9)
    values = r.integers(LOW, HIGH, (50, 1), endpoint=True)
    cells = (r.integers(0, count // 2, 50) * 2).astype(np.int32)  # no odd cell
    offsets = np.full((count, 1), 2**64 - 1, np.uint64)
    found = run(exact, values, cells, count, offsets=offsets)
    assert found == truth(values, cells, count, None, offsets)
    assert all(found[cell] == [2**64 - 1] for cell in range(1, count, 2))


def test_engines_agree(exact: SumEngine) -> None:
    r = draw(10)
    values, cells = r.integers(LOW, HIGH, (33, 2), endpoint=True), r.integers(-1, 4, 33).astype(np.int32)
    assert run(exact, values, cells, 4) == run(ClearSums(block=4), values, cells, 4)


def pair(engine: SumEngine, columns: int = 2, count: int = 2, rng: Rng | None = None) -> tuple:
    """Return owner, matcher and ciphertexts of one block."""
    rng = rng or Rng.system()
    owner = engine.owner(CONTEXT, 0, columns, rng)
    matcher = engine.matcher(CONTEXT, 0, columns, count, owner.key_material())
    return owner, matcher, owner.encrypt(0, np.arange(columns, dtype=np.int64).reshape(1, columns) + 1)


ZERO = np.array([0], np.int32)
SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[:-1],
    "half": lambda data: data[: len(data) // 2],
    "longer": lambda data: data + b"\0",
    "out of range": lambda data: b"\xff" * len(data),
}


@pytest.mark.parametrize("way", SPOILED)
def test_spoiled_ciphertexts_are_refused_in_every_place(real: SumEngine, way: str) -> None:
    owner, first, ((left, right),) = pair(real)
    second = real.matcher(CONTEXT, 0, 2, 2, owner.key_material())
    with pytest.raises(RemoteProtocolError):
        first.absorb(0, [[SPOILED[way](left), right]], ZERO)
    with pytest.raises(RemoteProtocolError):
        second.absorb(0, [[left, SPOILED[way](right)]], ZERO - 1)  # also of a position that enters no sum


def test_blocks_with_another_number_of_columns_are_refused(real: SumEngine) -> None:
    owner, _, (row,) = pair(real)
    for changed in (row[:1], [*row, row[0]], []):
        matcher = real.matcher(CONTEXT, 0, 2, 2, owner.key_material())
        with pytest.raises(RemoteProtocolError):
            matcher.absorb(0, [changed], ZERO)


@pytest.mark.parametrize("way", SPOILED)
def test_spoiled_keys_are_refused(real: SumEngine, way: str) -> None:
    owner = real.owner(CONTEXT, 0, 1, Rng.system())
    with pytest.raises(RemoteProtocolError):
        real.matcher(CONTEXT, 0, 1, 1, SPOILED[way](owner.key_material()))


@pytest.mark.parametrize("way", SPOILED)
def test_spoiled_replies_are_refused(real: SumEngine, way: str) -> None:
    owner, matcher, made = pair(real)
    matcher.absorb(0, made, ZERO)
    good, other = matcher.finish(zeros(2, 2), Rng.system())
    with pytest.raises(RemoteProtocolError):
        owner.release([good, SPOILED[way](other)])
    with pytest.raises(MISUSE):
        owner.release([good, other])  # a failed release uses the key up: it is no oracle


def test_what_belongs_to_other_parameters_is_refused(real: SumEngine) -> None:
    for name in ENGINES:
        if name == real.id:
            continue
        other = load(name)
        _, _, ((foreign,),) = pair(other, columns=1, count=1)
        material = other.owner(CONTEXT, 0, 1, Rng.system()).key_material()
        owner, matcher, _ = pair(real, columns=1, count=1)
        with pytest.raises(RemoteProtocolError):
            real.matcher(CONTEXT, 0, 1, 1, material)
        with pytest.raises(RemoteProtocolError):
            matcher.absorb(0, [[foreign]], ZERO)
        with pytest.raises(RemoteProtocolError):
            owner.release([foreign])
        if real.id != DEFAULT:  # at this engine's length; there any string of small enough residues is a polynomial
            length = real.key_bytes(1)
            with pytest.raises(RemoteProtocolError):
                real.matcher(CONTEXT, 0, 1, 1, (material * (length // len(material) + 1))[:length])


def test_a_key_releases_no_more_than_its_cap(real: SumEngine) -> None:
    owner, matcher, made = pair(real, columns=1, count=1)
    matcher.absorb(0, made, ZERO)
    (reply,) = matcher.finish(zeros(1, 1), Rng.system())
    with pytest.raises(LimitExceededError):
        owner.release([reply] * (real.max_cells + 1))
    material = real.owner(CONTEXT, 0, 1, Rng.system()).key_material()
    for cells in (0, real.max_cells + 1):
        with pytest.raises(UsageError):
            real.matcher(CONTEXT, 0, 1, cells, material)


def test_check_refuses_what_could_overflow(exact: SumEngine) -> None:
    for positions, weight in ((1, 1), (2**20, 1), (2**24, 1), (2**20, 2**32 - 1)):
        exact.check(positions, weight)
    too_many = 2**100 if exact.id.startswith("paillier") else 2**60
    for positions, weight in ((too_many, 1), (too_many, 2**32 - 1), (1, 2**32)):
        with pytest.raises((CryptoError, UsageError)):
            exact.check(positions, weight)


def test_replies_are_fresh(real: SumEngine) -> None:
    rng = Rng.system()
    owner, first, made = pair(real, rng=rng)
    second = real.matcher(CONTEXT, 0, 2, 2, owner.key_material())
    replies = []
    for matcher in (first, second):
        matcher.absorb(0, made, ZERO)
        replies += matcher.finish(zeros(2, 2), rng)
    size = real.ciphertext_bytes
    parts = [reply[at : at + size] for reply in replies for at in range(0, len(reply) - size + 1, size)]
    assert len(set(parts)) == len(parts)  # two equal requests, two empty cells: no bytes twice
    # one value, one cell: the plain sum would be the ciphertext itself
    assert not set(parts) & {one for row in made for one in row}


def test_nothing_is_shared_between_runs(real: SumEngine) -> None:
    rng = Rng.system()
    values = np.array([[1, 1]])
    runs = []
    for _ in range(2):
        owner = real.owner(CONTEXT, 0, 2, rng)
        runs.append([owner.key_material(), *(one for row in owner.encrypt(0, values) for one in row)])
    assert len({piece for run in runs for piece in run}) == 6
    width = real.key_bytes(1)
    assert runs[0][0][:width] != runs[1][0][:width]


def test_keys_of_another_run_do_not_open_a_reply(real: SumEngine) -> None:
    _, matcher, made = pair(real, columns=1, count=1)
    matcher.absorb(0, made, ZERO)
    (reply,) = matcher.finish(zeros(1, 1), Rng.system())
    stranger = real.owner(CONTEXT, 0, 1, Rng.system())
    with contextlib.suppress(RemoteProtocolError):
        assert stranger.release([reply]).tolist() != [[1]]


def test_each_end_serves_once(exact: SumEngine) -> None:
    owner, matcher, made = pair(exact)
    matcher.absorb(0, made, ZERO)
    replies = matcher.finish(zeros(2, 2), Rng.system())
    with pytest.raises(MISUSE):
        matcher.finish(zeros(2, 2), Rng.system())
    if not isinstance(exact, ClearSums):
        with pytest.raises(MISUSE):
            matcher.absorb(1, made, ZERO)
    assert owner.release(replies).tolist() == [[1, 2], [0, 0]]
    with pytest.raises(MISUSE):
        owner.release(replies)
    if not isinstance(exact, ClearSums):
        with pytest.raises(MISUSE):
            owner.encrypt(1, np.array([[1, 2]]))


def test_arguments_that_do_not_fit_are_refused(real: SumEngine) -> None:
    owner, _, made = pair(real)
    for values in (np.zeros((1, 3), np.int64), np.zeros((1, 2)), np.zeros((1, 2), np.int32)):
        with pytest.raises(UsageError):
            owner.encrypt(1, values)
    bad: list[tuple] = [
        (np.array([2], np.int32), None),
        (np.array([-2], np.int32), None),
        (np.array([0]), None),
        (ZERO, np.array([2**32])),
        (ZERO, np.array([-(2**32)])),
        (ZERO, np.array([1, 1])),
        (ZERO, np.array([1.0])),
    ]
    material = owner.key_material()
    matcher = None
    for cells, weights in bad:
        if matcher is None or real.id == DEFAULT:  # its sums are gone after an error
            matcher = real.matcher(CONTEXT, 0, 2, 2, material)
        with pytest.raises(UsageError):
            matcher.absorb(0, made, cells, weights)
    for offsets in (zeros(1, 2), zeros(2, 1), np.zeros((2, 2), np.int64)):
        if real.id == DEFAULT:
            matcher = real.matcher(CONTEXT, 0, 2, 2, material)
        with pytest.raises(UsageError):
            matcher.finish(offsets, Rng.system())
    for columns in (0, -1):
        with pytest.raises((UsageError, OverflowError)):
            real.owner(CONTEXT, 0, columns, Rng.system())
    with pytest.raises(UsageError):
        real.owner(b"", 0, 1, Rng.system())


def test_engines_are_found_by_id_and_say_whether_they_hide_the_mask() -> None:
    for name in ENGINES:
        assert load(name).id == name
    hides = {name: getattr(load(name), "hides_mask", True) for name in ENGINES}
    assert hides == {name: not name.startswith("bfv") for name in ENGINES}
    assert engine() is engine(DEFAULT)


@pytest.mark.parametrize("output", ["receiver", "both"])
def test_the_protocol_runs_over_every_engine(real: SumEngine, output: OutputTo) -> None:
    case = made_up(40, 50, 30, (2, 1), statistics=2, seed=4)
    counts, totals = case.ideal()
    mine, theirs = sums(case, engine=real, output=output)
    assert mine.counts.tolist() == counts
    assert mine.sums is not None
    assert mine.sums.tolist() == totals
    if output == "both":
        assert theirs is not None
        assert theirs.sums is not None
        assert theirs.sums.tolist() == totals
