"""``vole-sum`` is the ideal functionality's: whatever the sizes, groups, weights, engines, outputs and schedules."""

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
from psc.crypto.rlwe import RLWE
from psc.crypto.sums import SumEngine
from psc.errors import EncodingError, LocalProtocolError, RemoteProtocolError, UsageError
from psc.protocols import masked_sums, vole_sum
from psc.protocols.base import CHUNK_BYTES, Message
from psc.protocols.cells import CellCounts, CellRule, GroupLabels, Sums
from psc.protocols.dh_psi import RowEntries, SenderTags
from psc.protocols.released_sums import TOGETHER_MAX, ReleasedSums
from psc.testing.ideal import ClearSums, ideal_sums
from psc.types import OutputTo
from tests.protocol_cases import through_codec
from tests.sum_cases import CLEAR, Case, made_up, nothing, run_shuffled, trace
from tests.vole_sum_cases import vole_params, vole_scripts, vole_sums

OUTPUTS: tuple[OutputTo, ...] = ("receiver", "responder", "both")
SIZES = [(0, 0, 0), (0, 5, 0), (5, 0, 0), (1, 1, 1), (1, 1, 0), (64, 65, 64), (300, 7, 7), (1, 500, 1), (100, 100, 100)]
HEAVIEST = (1 << 32) - 1


def weigh(case: Case, columns: int, largest: int, seed: int = 0) -> None:
    """Give every item of the receiver random weights, and every sum room for them."""
    rng = random.Random(seed)
    items = [item for block in case.receiver for item in block]
    case.weights = {item: [rng.randint(-largest, largest) for _ in range(columns)] for item in items}
    case.bits = 63


def check(case: Case, got: tuple[Sums, Sums | None], output: OutputTo, statistics: tuple[int | None, ...] = ()) -> None:
    """Each party holds the ideal table, or none."""
    values = [{item: case.values[item] for item in block} for block in case.sender]
    items = [item for block in case.receiver for item in block]
    factors = {item: [1 if at is None else case.weights[item][at] for at in statistics] for item in items} if statistics else None
    counts, totals = ideal_sums(case.receiver, values, case.statistics, factors)
    mine, theirs = got
    assert mine.counts.tolist() == counts
    assert not mine.withheld.any()
    assert (mine.sums is None) == (output == "responder")
    assert (theirs is None) == (output == "receiver")
    for table, groups in ((mine, len(case.sender)), (theirs, len(case.receiver))):
        if table is not None and table.sums is not None:
            assert table.counts.tolist() == counts
            assert table.sums.tolist() == totals
            assert len(table.labels) == groups
            assert not table.withheld.any()


@pytest.mark.parametrize(("n", "m", "common"), SIZES)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("engine", [CLEAR, RLWE], ids=lambda e: e.id)
def test_sums_are_ideal_at_every_size(n: int, m: int, common: int, output: OutputTo, engine: SumEngine) -> None:
    case = made_up(n, m, common)
    weigh(case, 1, 1000)
    for capacity in (1, None):
        got = vole_sums(case, statistics=(None, 0), columns=1, engine=engine, output=output, capacity=capacity)
        check(case, got, output, (None, 0))


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 3), (3, 4), (41, 1), (1, 41), (9, 11)])
@pytest.mark.parametrize("engine", [CLEAR, RLWE], ids=lambda e: e.id)
def test_sums_are_ideal_for_every_grouping(shape: tuple[int, int], engine: SumEngine) -> None:
    case = made_up(400, 500, 300, shape, statistics=3, seed=1)
    weigh(case, 2, 1 << 31, seed=2)
    statistics = (1, None, 0)
    assert len(masked_sums.sections(vole_params(case, statistics, 2, engine).layout)) >= (3 * shape[0] * shape[1]) // 40
    for output in OUTPUTS:
        got = vole_sums(case, statistics=statistics, columns=2, engine=engine, output=output, capacity=1)
        check(case, got, output, statistics)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_random_cases(data: st.DataObject) -> None:
    n, m = data.draw(st.integers(0, 60)), data.draw(st.integers(0, 60))
    common = data.draw(st.integers(0, min(n, m)))
    shape = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    case = made_up(n, m, common, shape, data.draw(st.integers(0, 5)), data.draw(st.integers(0, 999)))
    columns = data.draw(st.integers(0, 3))
    weigh(case, columns, data.draw(st.sampled_from([0, 1, 7, 1 << 31])), data.draw(st.integers(0, 99)))
    choice = st.sampled_from([None, *range(columns)])
    statistics = tuple(data.draw(choice) for _ in range(case.statistics))
    output = data.draw(st.sampled_from(OUTPUTS))
    block, most = data.draw(st.sampled_from([1, 16, 100])), data.draw(st.integers(1, 70))
    engine = data.draw(st.sampled_from([ClearSums(block, most), RLWE]))
    got = vole_sums(case, statistics=statistics, columns=columns, engine=engine, output=output, capacity=1)
    check(case, got, output, statistics)


@pytest.mark.parametrize("seed", range(6))
def test_shuffled_schedules(seed: int) -> None:
    case = made_up(70, 90, 40, (3, 2), seed=seed)
    weigh(case, 1, 50)
    output, engine = OUTPUTS[seed % 3], RLWE if seed % 2 else ClearSums(block=32, max_cells=2)
    params = vole_params(case, (0, None), 1, engine, output=output)
    pair = vole_scripts(case, params, [Rng.system(), Rng.system()])
    check(case, run_shuffled(*pair, seed=seed, capacity=1 + seed % 4), output, (0, None))


@pytest.mark.parametrize("engine", [CLEAR, RLWE], ids=lambda e: e.id)
@pytest.mark.parametrize("output", OUTPUTS)
def test_the_ends_of_the_range(engine: SumEngine, output: OutputTo) -> None:
    """The largest weights, and sums at both ends of 63 bits."""
    case = made_up(2, 2, 2, statistics=3)
    (one, other), case.bits = case.receiver[0], 63
    case.weights = {one: [HEAVIEST, -HEAVIEST], other: [-HEAVIEST, HEAVIEST]}
    case.values = {one: [1 << 29, -(1 << 29), -(1 << 62)], other: [-(1 << 29) + 1, (1 << 29) - 1, 0]}
    got = vole_sums(case, statistics=(0, 1, None), columns=2, engine=engine, output=output)
    check(case, got, output, (0, 1, None))


@pytest.mark.parametrize("output", OUTPUTS)
def test_sizes_on_the_wire_are_the_formula_and_depend_on_public_sizes_alone(output: OutputTo) -> None:
    traces = []
    for n, m, common, value in [(65, 67, 0, 0), (66, 65, 65, 1), (68, 66, 9, 1 << 20)]:
        case = made_up(n, m, common, (2, 3), seed=8)
        case.values = {item: [value, -value] for item in case.values}
        weigh(case, 1, value)
        options: dict[str, Any] = {"statistics": (0, None), "columns": 1, "output": output, "minimum_group": 3, "engine": RLWE}
        traces.append(trace(vole_sums, case, **options))
        params = vole_params(case, (0, None), 1, RLWE, output=output, minimum_group=3)
        sums = [sum(size for who, _, size in traces[-1] if who == by) for by in "ab"]
        assert tuple(sums) == vole_sum.message_bytes(params)
        assert max(size for _, _, size in traces[-1]) <= CHUNK_BYTES
    assert traces[0] == traces[1] == traces[2]


def test_without_statistics_only_counts_are_made() -> None:
    case = made_up(50, 60, 30, (2, 2), statistics=0)
    for output in OUTPUTS:
        steps = trace(vole_sums, case, output=output)
        assert not {name for _, name, _ in steps} & {"SumKeys", "EncryptedValues", "MaskedSums"}
        check(case, vole_sums(case, output=output), output)


def _first_row(names: tuple[bytes, ...]) -> CellRule:
    def rule(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
        marks = np.zeros(counts.shape, dtype=np.bool_)
        marks[0] = True
        return marks

    return rule


def decrypted(case: Case, runs: int, **options: Any) -> NDArray[np.uint64]:
    """What the sender decrypts, (runs, own, layers, theirs, statistics); replies in the clear begin with 8 zeros."""
    found = []
    for _ in range(runs):
        replies: list[bytes] = []

        def tap(_: str, message: Message, replies: list[bytes] = replies) -> Message:
            if isinstance(message, masked_sums.MaskedSums):
                replies.append(message.replies)
            return message

        vole_sums(case, statistics=(0, None), columns=1, tap=tap, **options)
        words = np.frombuffer(b"".join(replies), dtype="<u8").reshape(-1, 1 + case.statistics)[:, 1:]
        found.append(words.reshape(len(case.receiver), 2, len(case.sender), case.statistics))
    return np.stack(found)


def _chi_square(words: NDArray[np.uint64], buckets: int) -> float:
    seen = np.bincount(words.reshape(-1).astype(np.int64), minlength=buckets)
    return float(((seen - words.size / buckets) ** 2).sum() / (words.size / buckets))


@pytest.mark.parametrize("output", OUTPUTS)
def test_what_the_sender_decrypts_is_its_sums_below_and_uniform_elsewhere(output: OutputTo) -> None:
    """Weighted and plain sums have layers of their own; the other column of a layer, and withheld cells, are uniform."""
    case = made_up(64, 64, 40, (2, 2), seed=11)
    weigh(case, 1, 1000)
    case.bits = 40
    words = decrypted(case, 200, output=output, withhold=_first_row)
    values = [{item: case.values[item] for item in block} for block in case.sender]
    factors = {item: [weights[0], 1] for item, weights in case.weights.items()}
    totals = np.array(ideal_sums(case.receiver, values, 2, factors)[1])
    own = np.stack([words[:, :, 0, :, 0], words[:, :, 1, :, 1]], axis=-1)
    low = np.uint64((1 << case.bits) - 1)
    if output != "receiver":
        assert (own[:, 1] & low == totals[1].astype(np.uint64) & low).all()
        own = np.concatenate([own[:, 0].reshape(-1), (own[:, 1] >> np.uint64(case.bits)).reshape(-1)])
        uniform = [own[: len(own) // 2], own[len(own) // 2 :]]
    else:
        uniform = [own[:, 0].reshape(-1), own[:, 1].reshape(-1)]
    uniform += [words[:, :, 0, :, 1].reshape(-1), words[:, :, 1, :, 0].reshape(-1)]
    for part in uniform:  # 15 degrees of freedom: 60 is beyond 1 - 10^-6
        for shift in (0, 16, 20):
            assert _chi_square(part >> np.uint64(shift) & np.uint64(15), 16) < 60


def test_withheld_cells_are_never_summed_and_their_counts_stay() -> None:
    case = made_up(64, 64, 40, (2, 2), seed=12)
    counts, totals = (np.array(table) for table in case.ideal())
    for output in ("receiver", "both"):
        mine, theirs = vole_sums(case, output=output, withhold=_first_row, minimum_group=1)
        assert mine.sums is not None
        assert mine.counts.tolist() == counts.tolist()
        assert mine.withheld[0].all()
        assert not mine.sums[0].any()
        assert mine.sums[1].tolist() == totals[1].tolist()
        if theirs is not None:
            assert theirs.sums is not None
            assert not theirs.counts[0].any()
            assert theirs.sums.tolist() == mine.sums.tolist()
    mine, theirs = vole_sums(case, output="both", minimum_result=41)
    assert theirs is not None
    assert mine.withheld.all()
    assert theirs.withheld.all()
    assert not theirs.counts.any()


def test_noise_is_added_to_every_sum_that_is_shown() -> None:
    case = made_up(64, 64, 40, (2, 2), seed=13)
    noise = np.arange(8, dtype=np.int64).reshape(4, 2) - 4
    totals = np.array(case.ideal()[1]) + noise.reshape(2, 2, 2)
    for output in ("receiver", "both"):
        for table in vole_sums(case, output=output, noise=noise):
            assert table is None or (table.sums is not None and table.sums.tolist() == totals.tolist())


def test_tags_are_sorted_in_each_block_and_values_follow_them() -> None:
    case = made_up(5, 300, 5, (1, 3), statistics=1)
    case.values = {item: [1 + at] for at, item in enumerate(case.values)}
    orders, tags = [], []
    for _ in range(2):
        seen: list[bytes] = []

        def tap(_: str, message: Message, seen: list[bytes] = seen) -> Message:
            if isinstance(message, masked_sums.EncryptedValues):
                seen.append(message.ciphertexts)
            if isinstance(message, SenderTags):
                tags.append(message.tags)
            return message

        vole_sums(case, tap=tap)
        orders.append(np.frombuffer(b"".join(seen), dtype="<i8"))
    params, at = vole_params(case, (None,), 0), 0
    size = params.matching.tag_bytes
    for block, length in zip(case.sender, params.sender_blocks):
        for order, run in zip(orders, tags):
            assert sorted(order[at : at + length]) == [0] * (length - len(block)) + sorted(case.values[x][0] for x in block)
            part = [run[i * size : (i + 1) * size] for i in range(at, at + length)]
            assert part == sorted(part)
        assert (orders[0][at : at + length] != orders[1][at : at + length]).sum() > length // 2
        at += length


# --- peers that break the rules ------------------------------------------------------------------------------------------

MESSAGES = {
    "VoleChoices": "data",
    "VoleExtension": "data",
    "VoleTrees": "data",
    "TableSeed": "data",
    "MaskedTable": "data",
    "SenderTags": "tags",
    "SumKeys": "material",
    "EncryptedValues": "ciphertexts",
    "MaskedSums": "replies",
    "CellCounts": "counts",
    "ReleasedSums": "sums",
}


def hostile(case: Case, name: str, change: Any, **options: Any) -> Any:
    """Run with one kind of message changed."""

    def tap(who: str, message: Message) -> Message:
        return change(message) if type(message).__name__ == name else message

    asked: dict[str, Any] = {"statistics": (0, None), "columns": 1, "output": "both", "tap": tap} | options
    return vole_sums(case, **asked)


def small_case() -> Case:
    case = made_up(60, 60, 40, (2, 2), seed=3)
    weigh(case, 1, 9)
    return case


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("how", ["short", "long", "empty"])
@pytest.mark.parametrize("engine", [ClearSums(max_cells=2), RLWE], ids=lambda e: e.id)
def test_messages_of_another_size_are_refused(name: str, how: str, engine: SumEngine) -> None:
    def change(message: Message) -> Message:
        data = getattr(message, MESSAGES[name])
        return replace(message, **{MESSAGES[name]: {"short": data[:-1], "long": data + b"\0", "empty": b""}[how]})  # type: ignore[type-var]

    with pytest.raises(RemoteProtocolError):
        hostile(small_case(), name, change, engine=engine)


@pytest.mark.parametrize("name", ["GroupLabels", *MESSAGES])
def test_another_kind_of_message_is_refused(name: str) -> None:
    for other in (RowEntries(b""), GroupLabels(()) if name != "GroupLabels" else SenderTags(b"")):
        with pytest.raises(RemoteProtocolError) as caught:
            hostile(small_case(), name, lambda _, other=other: other)
        assert caught.value.code == "session.unexpected-message"


def test_tags_of_nothing_are_a_set_without_matches() -> None:
    mine, theirs = hostile(small_case(), "SenderTags", lambda message: replace(message, tags=bytes(len(message.tags))))
    assert theirs is not None
    assert not mine.counts.any()
    assert mine.sums is not None
    assert not mine.sums.any()


def test_one_tag_in_every_place_counts_an_item_once() -> None:
    """A sender that repeats a tag that matches gets no cell larger than the sets, and no refusal that tells of a match."""
    size = vole_params(small_case(), (0, None), 1).matching.tag_bytes
    seen = set()
    for at in range(128):
        mine, _ = hostile(
            small_case(),
            "SenderTags",
            lambda message, at=at: replace(message, tags=message.tags[at * size : (at + 1) * size] * 128),
            seeds=(b"r" * 32, b"s" * 32),
        )
        seen.add(int(mine.counts.sum()))
    assert seen == {0, 1}


@pytest.mark.parametrize(("counts", "what"), [((65, 0, 0, 0), "larger"), ((-1, 0, 0, 0), "larger"), ((40, 40, 40, 40), "larger")])
def test_counts_that_cannot_be_are_refused(counts: tuple[int, ...], what: str) -> None:
    def change(message: CellCounts) -> CellCounts:
        return CellCounts(b"\0", np.array(counts, dtype="<i8").tobytes())

    with pytest.raises(RemoteProtocolError) as caught:
        hostile(small_case(), "CellCounts", change)
    assert what in str(caught.value.fields["what"])


def test_sums_of_more_bits_are_refused() -> None:
    case = small_case()
    case.bits = 40

    def change(message: ReleasedSums) -> ReleasedSums:
        return ReleasedSums(b"\xff" * len(message.sums))

    with pytest.raises(RemoteProtocolError):
        hostile(case, "ReleasedSums", change)


def test_names_are_judged_before_anything_is_sent() -> None:
    def refuse(names: tuple[bytes, ...]) -> CellRule:
        raise UsageError("data.no-key")

    sent: list[str] = []

    def tap(who: str, message: Message) -> Message:
        sent.append(who)
        return through_codec(who, message)

    with pytest.raises(UsageError):
        vole_sums(small_case(), withhold=refuse, tap=tap)
    assert set(sent) <= {"b"}


# --- own inputs ----------------------------------------------------------------------------------------------------------


def test_inputs_that_do_not_fit_are_refused_before_anything_moves() -> None:
    case = small_case()
    params, rng = vole_params(case, (0, None), 1), Rng.system()
    items = [item for block in case.receiver for item in block]
    mine, theirs = Items.from_list(items), [Items.from_list(block) for block in case.sender]
    groups, weights = np.zeros(len(items), dtype=np.int32), np.ones((len(items), 1), dtype=np.int64)
    vectors, names = case.vectors(), (b"one", b"two")
    heavy = weights.copy()
    heavy[3] = HEAVIEST + 1
    wrong: list[Any] = [
        vole_sum.receiver(mine, groups[1:], weights, params, rng, nothing, names),
        vole_sum.receiver(mine, groups + 2, weights, params, rng, nothing, names),
        vole_sum.receiver(mine, groups, weights[1:], params, rng, nothing, names),
        vole_sum.receiver(mine, groups, heavy, params, rng, nothing, names),
        vole_sum.receiver(mine, groups, weights, params, rng, nothing),
        vole_sum.receiver(mine, groups, weights, replace(params, weights=(1, None)), rng, nothing, names),
        vole_sum.receiver(mine, groups, weights, replace(params, weights=(None,)), rng, nothing, names),
        vole_sum.receiver(mine, groups, weights, replace(params, widths=(64, 1)), rng, nothing, names),
        vole_sum.sender(theirs[:1], vectors, names, params, rng),
        vole_sum.sender(theirs, vectors[:1], names, params, rng),
        vole_sum.sender(theirs, vectors, names[:1], params, rng),
        vole_sum.sender(theirs, vectors, names, params, rng, np.zeros((8, 2), dtype=np.int64)),
        vole_sum.sender(theirs, vectors, names, replace(params, output="responder"), rng, np.zeros((4, 2), dtype=np.int64)),
    ]
    for script in wrong:
        with pytest.raises(LocalProtocolError):
            next(script)
    large = Items.from_list([b"%d" % i for i in range(129)])
    for script in (
        vole_sum.receiver(large, groups, weights, params, rng, nothing, names),
        vole_sum.sender([large, theirs[1]], [], names, params, rng),
    ):
        with pytest.raises(EncodingError):
            next(script)


def test_cells_are_counted_with_their_layers() -> None:
    case = made_up(10, 10, 5, (32, 17))
    weigh(case, 1, 1)
    for script in vole_scripts(case, vole_params(case, (0, None), 1), [Rng.system(), Rng.system()]):
        with pytest.raises(UsageError) as caught:
            next(script)
        assert caught.value.code == "session.too-many-cells"
        assert caught.value.fields == {"cells": 32 * 2 * 17, "limit": 1024}
    check(case, vole_sums(case), "receiver")


def test_sums_that_are_too_wide_together_are_refused_where_the_sender_learns_them() -> None:
    case = made_up(10, 10, 5, statistics=TOGETHER_MAX // 63 + 1)
    case.bits = 63
    check(case, vole_sums(case), "receiver")
    for output in ("responder", "both"):
        with pytest.raises(UsageError) as caught:
            vole_sums(case, output=output)
        assert caught.value.code == "session.sums-too-wide"


def test_an_engine_that_cannot_hold_weights_refuses() -> None:
    """The leg asks the engine about the largest weight, not about 1."""
    layout = vole_params(small_case(), (0, None), 1, RLWE).layout
    assert layout.max_weight == HEAVIEST
    with pytest.raises(Exception, match="weights up to"):
        masked_sums.sections(replace(layout, blocks=(1 << 27,)))
    masked_sums.sections(replace(layout, blocks=(1 << 27,), max_weight=1))


def test_transcripts_are_reproducible_with_a_fixed_rng() -> None:
    runs: list[list[Message]] = [[], []]
    for frames in runs:

        def tap(_: str, message: Message, frames: list[Message] = frames) -> Message:
            frames.append(message)
            return message

        vole_sums(small_case(), statistics=(0, None), columns=1, output="both", tap=tap, seeds=(b"r" * 32, b"s" * 32))
    assert runs[0] == runs[1]
