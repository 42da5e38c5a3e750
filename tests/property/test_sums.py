"""``dh-sum`` is the ideal functionality's: whatever the sizes, groups, engines, outputs and schedules."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from psc import engines
from psc.crypto import Items, Rng
from psc.crypto.rlwe import RLWE
from psc.crypto.sums import SumEngine
from psc.errors import EncodingError, LocalProtocolError, MalformedMessageError, UsageError
from psc.protocols import dh_sum, masked_sums
from psc.protocols.base import CHUNK_BYTES, CHUNK_ITEMS, Message
from psc.protocols.cells import CellCounts, CellRule, GroupLabels, Sums
from psc.protocols.released_sums import ReleasedSums
from psc.testing.ideal import ClearSums
from psc.types import OutputTo
from tests.protocol_cases import CONTEXT, through_codec
from tests.sum_cases import CLEAR, Case, made_up, nothing, run_shuffled, scripts, sums, trace

OUTPUTS: tuple[OutputTo, ...] = ("receiver", "responder", "both")
SIZES = [(0, 0, 0), (0, 5, 0), (5, 0, 0), (1, 1, 1), (1, 1, 0), (64, 65, 64), (300, 7, 7), (1, 500, 1), (100, 100, 100)]
SHAPES = [(1, 1), (2, 1), (1, 3), (3, 4), (41, 1), (1, 41), (9, 11)]
ENGINES = [CLEAR, RLWE]
OTHERS = [
    ClearSums(block=1, max_cells=7),
    ClearSums(block=64, max_cells=1),
    ClearSums(256, 3, ciphertext_padding=5),
    ClearSums(block=40_000),
]


def check(case: Case, got: tuple[Sums, Sums | None], output: OutputTo) -> None:
    """Each party holds the ideal table, or none."""
    counts, totals = case.ideal()
    mine, theirs = got
    assert mine.counts.tolist() == counts
    assert not mine.withheld.any()
    if output == "responder":
        assert mine.sums is None
        assert mine.labels == ()
    else:
        assert mine.sums is not None
        assert mine.sums.tolist() == totals
        assert len(mine.labels) == len(case.sender)
    if output == "receiver":
        assert theirs is None
    else:
        assert theirs is not None
        assert theirs.sums is not None
        assert theirs.counts.tolist() == counts
        assert theirs.sums.tolist() == totals
        assert len(theirs.labels) == len(case.receiver)
        assert not theirs.withheld.any()


@pytest.mark.parametrize(("n", "m", "common"), SIZES)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.id)
def test_sums_are_ideal_at_every_size(n: int, m: int, common: int, output: OutputTo, engine: SumEngine) -> None:
    case = made_up(n, m, common)
    for capacity in (1, None):
        check(case, sums(case, engine=engine, output=output, capacity=capacity), output)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.id)
def test_sums_are_ideal_for_every_grouping(shape: tuple[int, int], output: OutputTo, engine: SumEngine) -> None:
    case = made_up(400, 500, 300, shape, statistics=3, seed=1)
    check(case, sums(case, engine=engine, output=output, capacity=1), output)


@pytest.mark.parametrize("engine", OTHERS, ids=lambda e: e.id)
@pytest.mark.parametrize("shape", [(1, 1), (5, 3)])
def test_sums_are_ideal_with_every_size_of_ciphertext(engine: SumEngine, shape: tuple[int, int]) -> None:
    case = made_up(90, 300, 70, shape, seed=2)
    check(case, sums(case, engine=engine, output="both", capacity=1), "both")


@pytest.mark.slow
def test_sums_are_ideal_under_paillier() -> None:
    pytest.importorskip("gmpy2")
    case = made_up(9, 12, 7, (2, 1), statistics=1)
    check(case, sums(case, engine=engines.engine("paillier-2048/1"), output="both", capacity=1), "both")


@pytest.mark.parametrize(("n", "m"), [(CHUNK_ITEMS - 1, 9), (CHUNK_ITEMS + 1, 9), (9, CHUNK_ITEMS - 1), (9, CHUNK_ITEMS + 1)])
@pytest.mark.parametrize("engine", [ClearSums(block=4096), RLWE], ids=lambda e: e.id)
def test_chunk_boundaries_at_capacity_one(n: int, m: int, engine: SumEngine) -> None:
    case = made_up(n, m, 5, (2, 2), statistics=1)
    check(case, sums(case, engine=engine, capacity=1), "receiver")


def test_more_ciphertexts_than_one_call_takes() -> None:
    """Batches are of 4 MiB: 24 ciphertexts, 8 blocks of three columns; 9 blocks, of which the last is short."""
    case = made_up(500, 8192 * 8 + 100, 450, (2, 2), statistics=3, seed=4)
    check(case, sums(case, engine=RLWE, output="both", capacity=1), "both")


@pytest.mark.parametrize("shape", [(1, 1024), (1024, 1), (32, 32)])
def test_the_largest_tables(shape: tuple[int, int]) -> None:
    case = made_up(2000, 2000, 1500, shape, statistics=1, seed=3)
    for engine in (ClearSums(block=8192), RLWE):
        check(case, sums(case, engine=engine, output="both", capacity=1), "both")


def test_a_table_of_too_many_cells_is_refused_before_anything_moves() -> None:
    case = made_up(10, 10, 5, (41, 25))
    for script in scripts(case, case.params(), [Rng.system(), Rng.system()]):
        with pytest.raises(UsageError) as caught:
            next(script)
        assert caught.value.code == "session.too-many-cells"
        assert caught.value.fields == {"cells": 1025, "limit": 1024}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_random_cases(data: st.DataObject) -> None:
    n, m = data.draw(st.integers(0, 60)), data.draw(st.integers(0, 60))
    common = data.draw(st.integers(0, min(n, m)))
    shape = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    case = made_up(n, m, common, shape, data.draw(st.integers(0, 3)), data.draw(st.integers(0, 999)))
    output = data.draw(st.sampled_from(OUTPUTS))
    block, most = data.draw(st.sampled_from([1, 16, 100])), data.draw(st.integers(1, 70))
    for engine in (ClearSums(block, most), RLWE):
        check(case, sums(case, engine=engine, output=output, capacity=1), output)


@pytest.mark.parametrize("seed", range(12))
def test_shuffled_schedules(seed: int) -> None:
    case = made_up(70, 90, 40, (3, 2), seed=seed)
    output = OUTPUTS[seed % 3]
    engine = RLWE if seed % 2 else ClearSums(block=32, max_cells=2)
    pair = scripts(case, case.params(engine, output), [Rng.system(), Rng.system()])
    check(case, run_shuffled(*pair, seed=seed, capacity=1 + seed % 4), output)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 63), st.sampled_from(OUTPUTS), st.integers(0, 99))
def test_the_ends_of_the_range(bits: int, output: OutputTo, seed: int) -> None:
    ends = [-(1 << bits - 1), (1 << bits - 1) - 1, 0, -1 if bits > 1 else 0]
    rng = random.Random(seed)
    case = made_up(8, 8, 8, (1, 2), statistics=len(ends), seed=seed)
    for block in case.sender:  # one item carries a cell's whole sum, or two share it
        for at, end in enumerate(ends):
            part = rng.randint(min(end, 0), max(end, 0))
            shares = [part, end - part] if len(block) > 1 else [end] * len(block)
            for item, share in zip(block, [*shares, *[0] * len(block)]):
                case.values[item][at] = share
    case.bits = bits
    for engine in ENGINES:
        check(case, sums(case, engine=engine, output=output), output)


# --- what is withheld ----------------------------------------------------------------------------------------------------


class _Spy(ClearSums):
    """Notes which cells were summed."""

    def matcher(self, context: bytes, section: int, columns: int, cells: int, key_material: bytes) -> Any:
        inner = super().matcher(context, section, columns, cells, key_material)
        absorb = inner.absorb

        def noting(first: int, ciphertexts: Sequence[Sequence[bytes]], at: NDArray[np.int32], weights: Any = None) -> None:
            SUMMED.extend((section, int(cell)) for cell in at if cell >= 0)
            absorb(first, ciphertexts, at, weights)

        inner.absorb = noting
        return inner


SUMMED: list[tuple[int, int]] = []


def _first_row(names: tuple[bytes, ...]) -> CellRule:
    return lambda counts: np.repeat([[row == 0] for row in range(counts.shape[0])], counts.shape[1], axis=1)


@pytest.mark.parametrize("output", OUTPUTS)
def test_withheld_cells_are_shown_to_nobody_and_never_summed(output: OutputTo) -> None:
    case = made_up(200, 200, 150, (3, 4), seed=5)
    SUMMED.clear()
    mine, theirs = sums(case, engine=_Spy(), output=output, withhold=_first_row, minimum_group=9)
    counts, totals = (np.array(table) for table in case.ideal())
    withheld = counts < 9
    withheld[0] = True
    assert 0 < withheld[1:].sum() < 8
    assert (mine.counts == counts).all()
    assert (mine.withheld == withheld).all()
    assert {cell for _, cell in SUMMED} == set(np.flatnonzero(~withheld).tolist())
    if mine.sums is not None:
        assert (mine.sums == np.where(withheld[..., None], 0, totals)).all()
    if theirs is not None:
        assert theirs.sums is not None
        assert (theirs.withheld == withheld).all()
        assert (theirs.counts == np.where(withheld, 0, counts)).all()
        assert (theirs.sums == np.where(withheld[..., None], 0, totals)).all()


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("minimum", [30, 31])
def test_a_result_below_the_minimum_is_withheld_whole(output: OutputTo, minimum: int) -> None:
    case = made_up(60, 60, 30, (2, 2), seed=6)
    asked: list[int] = []

    def withhold(names: tuple[bytes, ...]) -> CellRule:
        def rule(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
            asked.append(1)
            return nothing(names)(counts)

        return rule

    SUMMED.clear()
    mine, theirs = sums(case, engine=_Spy(), output=output, withhold=withhold, minimum_result=minimum)
    assert mine.withheld.all() == (minimum == 31)
    assert bool(SUMMED) == bool(asked) == (minimum == 30)
    for table in (mine, theirs):
        if table is not None and table.sums is not None:
            assert table.sums.any() == (minimum == 30)
    if theirs is not None:
        assert theirs.counts.sum() == (30 if minimum == 30 else 0)


def test_counts_alone_need_no_encryption() -> None:
    for output in OUTPUTS:
        case = made_up(90, 80, 50, (2, 3), statistics=0)
        steps = trace(sums, case, output=output)
        assert not {name for _, name, _ in steps} & {"SumKeys", "EncryptedValues", "MaskedSums", "ReleasedSums"}
        check(case, sums(case, output=output, capacity=1), output)


# --- noise ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["receiver", "both"])
def test_noise_is_added_once_to_what_both_are_shown(output: OutputTo) -> None:
    case = made_up(200, 200, 150, (3, 2), seed=7)
    noise = np.random.default_rng(1).integers(-1000, 1000, (6, 2))
    mine, theirs = sums(case, output=output, noise=noise)
    _, totals = case.ideal()
    assert mine.sums is not None
    assert (mine.sums == np.array(totals) + noise.reshape(3, 2, 2)).all()
    if theirs is not None:
        assert theirs.sums is not None
        assert (theirs.sums == mine.sums).all()


# --- what the wire shows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 2)])
@pytest.mark.parametrize("engine", [ClearSums(block=32, max_cells=4), RLWE], ids=lambda e: e.id)
def test_sizes_on_the_wire_are_the_formula_and_depend_on_public_sizes_alone(
    output: OutputTo, shape: tuple[int, int], engine: SumEngine
) -> None:
    traces = []
    for n, m, common, values in [(65, 67, 0, 0), (66, 65, 65, 1), (68, 66, 9, 1 << 37)]:
        case = made_up(n, m, common, seed=8)
        cut = [np.array_split(np.array(blocks[0]), groups) for blocks, groups in zip((case.receiver, case.sender), shape)]
        case.receiver, case.sender = ([list(map(bytes, part)) for part in blocks] for blocks in cut)
        case.values = {item: [values, -values] for item in case.values}
        traces.append(trace(sums, case, engine=engine, output=output, minimum_group=5))
        sent = {who: sum(size for by, _, size in traces[-1] if by == who) for who in "ab"}
        assert (sent["a"], sent["b"]) == dh_sum.message_bytes(case.params(engine, output))
    assert traces[0] == traces[1] == traces[2]


def test_messages_stay_below_the_bound_and_the_last_is_cut() -> None:
    case = made_up(2000, 2000, 1500, (1, 1024), statistics=40, seed=9)
    steps = trace(sums, case, engine=ClearSums(block=1024, max_cells=1024), output="both")
    assert max(size for _, _, size in steps) <= CHUNK_BYTES
    assert [size for _, name, size in steps if name == "ReleasedSums"] == [CHUNK_BYTES, 8 * 40 * 1024 - CHUNK_BYTES]


def _decrypted(case: Case, output: OutputTo, runs: int, **options: Any) -> NDArray[np.uint64]:
    """What the sender decrypts, over some runs: (runs, cells, statistics)."""
    seen: list[list[bytes]] = [[] for _ in range(runs)]
    for run in range(runs):

        def tap(_: str, message: Message, run: int = run) -> Message:
            if isinstance(message, masked_sums.MaskedSums):
                seen[run].append(message.replies)
            return message

        sums(case, output=output, tap=tap, **options)
    words = np.frombuffer(b"".join(b"".join(parts) for parts in seen), dtype="<u8").astype(np.uint64)
    return words.reshape(runs, -1, 1 + case.statistics)[:, :, 1:]


def _chi_square(values: NDArray[np.uint64], buckets: int) -> float:
    counts = np.bincount(values.astype(np.int64), minlength=buckets)
    expected = len(values) / buckets
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("value", [0, 1, (1 << 36) - 1])
def test_what_the_sender_decrypts_is_uniform_when_only_the_receiver_learns(value: int) -> None:
    case = made_up(64, 64, 40, (4, 4), statistics=8, seed=10)
    case.values = {item: [value] * 8 for item in case.values}
    words = _decrypted(case, "receiver", 40, minimum_group=2).reshape(-1)
    assert len(np.unique(words)) == len(words) == 40 * 128
    for shift in (0, 28, 60):  # the low, middle and high four bits; 15 degrees of freedom: 60 is beyond 1 - 10^-6
        assert _chi_square(words >> np.uint64(shift) & np.uint64(15), 16) < 60


@pytest.mark.parametrize("output", ["responder", "both"])
def test_what_the_sender_decrypts_is_the_sum_below_and_uniform_above(output: OutputTo) -> None:
    case = made_up(64, 64, 40, (2, 2), statistics=8, seed=11)
    words = _decrypted(case, output, 60, minimum_group=5)
    counts, totals = (np.array(table) for table in case.ideal())
    shown = (counts >= 5).reshape(-1)
    assert 0 < shown.sum() < 4 or shown.all()
    low = np.uint64((1 << case.bits) - 1)
    assert (words[:, shown] & low == totals.reshape(4, 8)[shown].astype(np.uint64) & low).all()
    for shift in (case.bits, 60):
        assert _chi_square(words[:, shown].reshape(-1) >> np.uint64(shift) & np.uint64(15), 16) < 60


def test_withheld_cells_decrypt_to_uniform_words_in_every_mode() -> None:
    case = made_up(64, 64, 40, (2, 2), statistics=8, seed=12)
    for output in OUTPUTS:
        words = _decrypted(case, output, 20, minimum_result=41).reshape(-1)
        for shift in (0, 28, 60):
            assert _chi_square(words >> np.uint64(shift) & np.uint64(15), 16) < 60


def test_the_secret_order_is_fresh_in_every_run_and_stays_in_its_block() -> None:
    """With values that name their rows, the ciphertexts of the engine in the clear show the order."""
    case = made_up(5, 300, 5, (1, 3), statistics=1)
    numbered = {item: [1 + at] for at, item in enumerate(case.values)}
    case.values = numbered
    orders = []
    for _ in range(2):
        seen: list[bytes] = []

        def tap(_: str, message: Message, seen: list[bytes] = seen) -> Message:
            if isinstance(message, masked_sums.EncryptedValues):
                seen.append(message.ciphertexts)
            return message

        sums(case, tap=tap)
        orders.append(np.frombuffer(b"".join(seen), dtype="<i8"))
    sizes = case.params().sender_blocks
    at = 0
    for block, size in zip(case.sender, sizes):
        for order in orders:
            assert sorted(order[at : at + size]) == [0] * (size - len(block)) + sorted(numbered[item][0] for item in block)
        assert (orders[0][at : at + size] != orders[1][at : at + size]).sum() > size // 2
        at += size


def test_transcripts_are_reproducible_with_a_fixed_rng() -> None:
    case = made_up(30, 30, 20, (2, 2))
    runs: list[list[Message]] = [[], []]
    for frames in runs:

        def tap(_: str, message: Message, frames: list[Message] = frames) -> Message:
            frames.append(message)
            return message

        sums(case, output="both", tap=tap, seeds=(b"r" * 32, b"s" * 32))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 10


# --- own inputs ----------------------------------------------------------------------------------------------------------


def test_inputs_that_do_not_fit_are_refused_before_anything_moves() -> None:
    case = made_up(30, 30, 20, (2, 2))
    params, rng = case.params(), Rng.system()
    mine, theirs = ([Items.from_list(block) for block in blocks] for blocks in (case.receiver, case.sender))
    vectors, names = case.vectors(), (b"one", b"two")
    wrong: list[Any] = [
        dh_sum.receiver(mine[:1], params, rng, nothing, names),
        dh_sum.receiver(mine, params, rng, nothing),
        dh_sum.receiver(mine, params, rng, nothing, (b"one", b"one")),
        dh_sum.receiver(mine, params, rng, nothing, (b"one", b"x" * 2049)),
        dh_sum.receiver(mine, dh_sum.Params(CONTEXT, (), (64,), (1,), CLEAR, "both"), rng, nothing, ()),
        dh_sum.sender(theirs, vectors[:1], names, params, rng),
        dh_sum.sender(theirs, [vector[:, :1] for vector in vectors], names, params, rng),
        dh_sum.sender(theirs, [vector[1:] for vector in vectors], names, params, rng),
        dh_sum.sender(theirs, vectors, names[:1], params, rng),
        dh_sum.sender(theirs, vectors, names, params, rng, np.zeros((3, 2), dtype=np.int64)),
        dh_sum.sender(theirs, vectors, names, case.params(output="responder"), rng, np.zeros((4, 2), dtype=np.int64)),
    ]
    for bits in (0, 64):
        case.bits = bits
        wrong.append(dh_sum.receiver(mine, case.params(), rng, nothing, names))
    for script in wrong:
        with pytest.raises(LocalProtocolError):
            next(script)
    large = [Items.from_list([b"%d" % i for i in range(65)]), theirs[1]]
    for script in (dh_sum.receiver(large, params, rng, nothing, names), dh_sum.sender(large, [], names, params, rng)):
        with pytest.raises(EncodingError):
            next(script)


@pytest.mark.parametrize("output", ["responder", "both"])
def test_more_bits_than_a_re_randomiser_may_lose_are_refused_where_the_sender_reads_them(output: OutputTo) -> None:
    """40 bits each: 72 statistics have 2,880 of the 2,900 bits, 73 have too many. To a receiver alone any number may go."""
    for statistics in (72, 73):
        case = made_up(5, 5, 3, statistics=statistics)
        for to in (output, "receiver"):
            params = case.params(output=to)  # type: ignore[arg-type]
            for script in scripts(case, params, [Rng.system(), Rng.system()]):
                if statistics == 73 and to != "receiver":
                    with pytest.raises(UsageError) as caught:
                        next(script)
                    assert (caught.value.code, caught.value.fields["bits"]) == ("session.sums-too-wide", 2920)
                else:
                    next(script)


def test_names_are_judged_before_anything_is_sent_and_the_rule_after_the_counts() -> None:
    """A refusal of the sender's names, whatever the counts and minimums, comes before the receiver's first message."""
    for common, minimum in ((0, 0), (0, 10), (40, 0), (40, 10), (40, 41)):
        seen: list[str] = []

        def refuse(names: tuple[bytes, ...]) -> CellRule:
            raise MalformedMessageError("session.message-malformed", what=f"{len(names)} names")

        def tap(who: str, message: Message, seen: list[str] = seen) -> Message:
            seen.append(who)
            return through_codec(who, message)

        with pytest.raises(MalformedMessageError):
            sums(made_up(60, 60, common, (1, 2)), withhold=refuse, minimum_result=minimum, tap=tap)
        assert "a" not in seen


def test_an_engine_that_cannot_hold_the_sums_refuses() -> None:
    case = made_up(30, 30, 20)
    with pytest.raises(EncodingError):
        dh_sum.message_bytes(case.params(ClearSums(positions=63)))


def test_labels_come_in_the_order_of_the_groups_and_those_of_the_receiver_only_to_a_sender_who_learns() -> None:
    case = made_up(600, 600, 500, (300, 2), statistics=1)
    for output, by in (("receiver", {"b"}), ("responder", {"a", "b"}), ("both", {"a", "b"})):
        seen: list[tuple[str, int]] = []

        def tap(who: str, message: Message, seen: list[tuple[str, int]] = seen) -> Message:
            if isinstance(message, GroupLabels):
                seen.append((who, len(message.labels)))
            assert not isinstance(message, CellCounts) or "a" in by  # noqa: B023
            assert not isinstance(message, ReleasedSums) or output != "responder"  # noqa: B023
            return through_codec(who, message)

        mine, theirs = sums(case, output=output, tap=tap)  # type: ignore[arg-type]
        assert {who for who, _ in seen} == by
        assert [count for who, count in seen if who == "a"] == ([128, 128, 44] if "a" in by else [])
        if theirs is not None:
            assert theirs.labels == tuple(f"mine {number} 组".encode() for number in range(300))
        if mine.sums is not None:
            assert mine.labels == ("theirs 0 组".encode(), "theirs 1 组".encode())
