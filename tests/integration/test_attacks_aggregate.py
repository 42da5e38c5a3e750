"""Attacks on aggregates, each carried out with its true outcome: it is stopped, or it succeeds and the statement says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from psc.crypto import Items, PointBatch, Rng, hash_and_mask, mask, point_tags
from psc.crypto.rlwe import RLWE
from psc.data.values import ValueUse, read_values
from psc.errors import BudgetExhaustedError, DataError, LimitExceededError, Rule, UsageError
from psc.policy.agreement import DatasetTerms
from psc.policy.decide import AgreementState, AgreementView, DatasetFacts, Deny, RunRequest, Usage, decide
from psc.policy.release import draw_noise, noise_scale
from psc.policy.suppression import suppress
from psc.protocols import dh_sum, owner_sum
from psc.protocols.base import Message, Script, recv, send
from psc.protocols.cells import GroupLabels
from psc.protocols.dh_psi import BlindedItems
from psc.protocols.dh_psi_count import MaskedItems, ReturnedTags
from psc.protocols.released_sums import TOGETHER_MAX, ReleasedSums
from psc.session.drive import run_pair
from psc.types import KeyColumn, Noise, OutputTo, ValueColumn
from tests.protocol_cases import CONTEXT, through_codec
from tests.sum_attackers import (
    Choosing,
    Reading,
    Replying,
    Tampered,
    Watching,
    balanced_digits,
    digits_of_key,
    make_reply,
    power,
    product,
    scaled,
    steps,
)
from tests.sum_cases import CLEAR, Case, labels_of, made_up, nothing, owner_sums, sums, trace

WIDTH = 40
NOISE = Noise(mechanism="laplace", budget_thousandths=1000)
NO_C0 = np.zeros((1, 4), dtype=object)


def said(output: OutputTo) -> set[str]:
    """The lines of the leakage statement of ``dh-sum``."""
    return {line for side in dh_sum.LEAKAGE[output] for line in side}


def run(
    case: Case,
    receiver: Any,
    sender: Any,
    output: OutputTo = "receiver",
    rng: Rng | None = None,
    noise: NDArray[np.int64] | None = None,
    **options: Any,
) -> Any:
    """Run ``dh-sum`` with an engine for each side."""
    own, theirs = len(case.receiver), len(case.sender)
    return run_pair(
        dh_sum.receiver(
            [Items.from_list(block) for block in case.receiver],
            case.params(receiver, output),
            Rng.system(),
            nothing,
            labels_of("mine", own),
        ),
        dh_sum.sender(
            [Items.from_list(block) for block in case.sender],
            case.vectors(),
            labels_of("theirs", theirs),
            case.params(sender, output),
            rng or Rng.system(),
            noise,
        ),
        **options,
    )


# --- (a) the value owner tags customers by powers of two -------------------------------------------------------------------


def tagged(bits: Sequence[int], groups: int = 1, columns: int = 1) -> Case:
    """In every group of the sender one customer a tag 2^bit, every second of which the receiver has too."""
    names = [[b"tag %d of %d" % (bit, group) for bit in bits] for group in range(groups)]
    values = {name: [(1 << bit) - (1 << 64 if bit == 63 else 0)] * columns for block in names for bit, name in zip(bits, block)}
    return Case([[name for block in names for name in block[::2]]], names, values, columns, WIDTH)


def unevenness(words: NDArray[np.uint64], bits: Sequence[int]) -> float:
    """How far the share of ones among some bits is from a half: the largest over the bits, in standard deviations."""
    ones = np.array([int((words >> np.uint64(bit) & np.uint64(1)).sum()) for bit in bits])
    return float(np.abs(ones - words.size / 2).max() / math.sqrt(words.size / 4))


def decrypted(output: OutputTo) -> NDArray[np.uint64]:
    """What a tagging owner decrypts in three runs of 40 cells with 8 statistics."""
    seen: list[NDArray[np.uint64]] = []
    watching = Tampered(RLWE, owner=lambda end: Watching(end, seen))
    for _ in range(3):
        run(tagged(range(64), groups=40, columns=8), RLWE, watching, output)
    return np.concatenate(seen).reshape(-1)


def test_tags_tell_the_owner_nothing_when_only_the_receiver_gets_the_sums() -> None:
    """Tagging, output to the receiver: the owner decrypts uniform 64-bit numbers and learns nothing."""
    words = decrypted("receiver")
    assert words.size == 960
    assert unevenness(words, range(64)) < 6
    assert len(set(words.tolist())) == 960


def test_tags_tell_the_owner_w_bits_of_membership_when_it_gets_the_sums() -> None:
    """Tagging, output to the responder: a sum tells the membership of exactly W customers; tags above bit W are masked."""
    words = decrypted("responder")
    members = sum(1 << bit for bit in range(0, WIDTH, 2))
    assert set((words & np.uint64((1 << WIDTH) - 1)).tolist()) == {members}  # W bits are read off, right in every run
    assert unevenness(words, range(WIDTH)) > 20  # the test of the case above does notice
    assert unevenness(words, range(WIDTH, 64)) < 6
    assert "leakage.sum.planting" in said("responder")


def test_the_owner_reads_membership_of_w_customers_from_one_sum() -> None:
    """The tagging owner follows the protocol otherwise, and its own output is the membership of W customers."""
    case = tagged(range(WIDTH))
    _, got = run(case, RLWE, RLWE, "responder")
    assert got is not None
    assert got.sums is not None
    read = [int(got.sums[0, 0, 0]) >> bit & 1 for bit in range(WIDTH)]
    assert read == [name in set(case.receiver[0]) for name in case.sender[0]]


# --- (b) a cheating matcher sums a single row ------------------------------------------------------------------------------


def only_first(cells: NDArray[np.int32]) -> NDArray[np.int32]:
    kept = np.full_like(cells, -1)
    found = np.flatnonzero(cells >= 0)[:1]
    kept[found] = cells[found]
    return kept


def test_a_cheating_matcher_gets_the_value_of_a_single_customer() -> None:
    """A mask of one row: succeeds whatever the minimum sizes, for the matcher makes the sums."""
    case = made_up(200, 200, 100, statistics=1, seed=3)
    values = {item: row[0] for item, row in case.values.items()}
    got, _ = run(case, Tampered(RLWE, matcher=lambda end: Choosing(end, only_first)), RLWE)
    assert got.counts.tolist() == [[100]]
    common = set(case.receiver[0]) & set(case.sender[0])
    assert int(got.sums[0, 0, 0]) in {values[item] for item in common}
    assert "leakage.sum.cheating" in said("receiver")


def test_a_cheating_matcher_drowns_the_noise_by_the_weight_of_a_single_row() -> None:
    """Noise is scaled to a weight of 1: a matcher that weights one row by 2^18 reads its value through it, up to W bits."""
    case = made_up(200, 200, 100, statistics=1, seed=3)
    bound = max(abs(row[0]) for row in case.values.values())
    noise = draw_noise(Rng.insecure_from_seed(b"drowned"), NOISE, 1, 1, [bound])
    heavy = Tampered(RLWE, matcher=lambda end: Choosing(end, only_first, weight=1 << 18))
    got, _ = run(case, heavy, RLWE, noise=noise)
    common = {case.values[item][0] for item in set(case.receiver[0]) & set(case.sender[0])}
    off = min(abs(int(got.sums[0, 0, 0]) / (1 << 18) - value) for value in common)
    assert abs(int(noise[0, 0])) > bound / 8
    assert off < 32  # of values up to a million; the noise was a hundred thousand and more
    assert "leakage.sum.cheating" in said("receiver")


def test_minimum_sizes_of_the_owner_bind_where_it_sums_in_the_clear() -> None:
    """owner-sum: a customer in a group of its own is withheld by the owner."""
    case = made_up(200, 200, 100, statistics=1, seed=3)
    target = next(item for item in case.receiver[0] if item in case.values)
    case.receiver = [[target], [item for item in case.receiver[0] if item != target]]

    def release(counts: NDArray[np.int64], totals: NDArray[np.int64]) -> owner_sum.Table:
        return owner_sum.Table(counts, totals, suppress(counts, 20))

    got, _ = owner_sums(case, release=release, minimum_group=20)
    assert got is not None
    assert got.sums is not None
    assert got.withheld.all()  # the other group too: with the total it would give the one away
    assert not got.sums.any()


def test_weights_single_out_a_customer_past_every_minimum_and_only_noise_hides_it() -> None:
    """owner-sum with weights: zero for all but one gives that customer's value in a large group; noise hides it."""
    case = made_up(200, 200, 100, statistics=1, seed=4)
    target = next(item for item in case.receiver[0] if item in case.values)
    case.weights = {item: [int(item == target)] for item in case.receiver[0]}
    got, _ = owner_sums(case, statistics=(0,), columns=1, minimum_group=20)
    assert got is not None
    assert got.sums is not None
    assert got.sums[0, 0, 0] == case.values[target][0]  # the statement says so: "weights that it makes up are counted too"
    assert "leakage.owner-sum.lying" in owner_sum.LEAKAGE["receiver"][0]
    bound = 1 << 20
    assert noise_scale(Noise(mechanism="laplace", budget_thousandths=1000), 1, bound) == bound  # as wide as the value's range


def test_an_owner_that_sums_in_the_clear_clips_the_weights_that_its_noise_is_scaled_to() -> None:
    """owner-sum: a weight above the declared bound, to drown the noise, counts as the bound."""
    case = made_up(200, 200, 100, statistics=1, seed=4)
    target = next(item for item in case.receiver[0] if item in case.values)
    case.weights = {item: [(1 << 31) * (item == target)] for item in case.receiver[0]}
    got, _ = owner_sums(case, statistics=(0,), columns=1, weight_bounds=(7,))
    assert got is not None
    assert got.sums is not None
    assert got.sums[0, 0, 0] == 7 * case.values[target][0]


# --- (c) a weight of 2^40 --------------------------------------------------------------------------------------------------


def released_words(case: Case, receiver: Any) -> NDArray[np.uint64]:
    """What the honest sender hands out to a tampering receiver."""
    pieces: list[bytes] = []

    def tap(who: str, message: Message) -> Message:
        if isinstance(message, ReleasedSums):
            pieces.append(message.sums)
        return through_codec(who, message)

    run(case, receiver, RLWE, tap=tap)
    return np.frombuffer(b"".join(pieces), dtype="<u8")


def test_our_own_engine_refuses_a_weight_of_two_to_the_forty() -> None:
    """Weight 2^40: refused when the run is planned, and again where it would be used."""
    with pytest.raises(UsageError):
        RLWE.check(RLWE.block, 1 << 40)
    rng = Rng.system()
    owner = RLWE.owner(CONTEXT, 0, 1, rng)
    matcher = RLWE.matcher(CONTEXT, 0, 1, 1, owner.key_material())
    ciphertexts = owner.encrypt(0, np.ones((1, 1), dtype=np.int64))
    with pytest.raises(UsageError):
        matcher.absorb(0, ciphertexts, np.zeros(1, dtype=np.int32), np.array([1 << 40]))


@pytest.mark.parametrize("shift", [8, 40, 100])
def test_a_matcher_that_bypasses_the_bound_on_weights_loses_high_bits_of_the_sum(shift: int) -> None:
    """Weight 2^40 by other code: the answer is 2^40 times the sum modulo 2^W, so it has fewer bits of it, and none for W = 40."""
    case = made_up(100, 100, 60, statistics=1, seed=5)
    total = case.ideal()[1][0][0][0]
    heavy = Tampered(RLWE, matcher=lambda end: Replying(end, lambda _, reply: scaled(reply, 1 << shift)))
    words = released_words(case, heavy)
    if shift < 64:
        assert words.tolist() == [(total << shift) % (1 << WIDTH)]
    assert words[0] < 1 << WIDTH  # beyond 2^64 it is W bits of noise and sum: an oracle of the key, as in (f)


# --- (d) values out of the declared range ----------------------------------------------------------------------------------

FEE = ValueColumn(name="fee", scale=0, low=0, high=1000)


def test_a_matcher_cannot_see_planted_values_but_in_a_sum_that_no_honest_table_gives() -> None:
    """Out-of-range values: nothing on the wire shows them; only a sum above count times the largest value does."""
    honest = made_up(300, 300, 100, statistics=1, seed=6)
    honest.values = {item: [at % 1001] for at, item in enumerate(honest.sender[0])}
    victim = next(item for item in honest.sender[0] if item in set(honest.receiver[0]))
    limit = 100 * FEE.high
    shapes, totals = [], []
    for planted in (honest.values[victim][0], 40_000, 10**9):
        case = Case(honest.receiver, honest.sender, honest.values | {victim: [planted]}, 1)
        shapes.append(trace(sums, case, engine=RLWE))
        got, _ = sums(case, engine=RLWE)
        assert got.sums is not None
        totals.append(int(got.sums[0, 0, 0]))
    assert shapes[0] == shapes[1] == shapes[2]
    assert totals[0] < totals[1] <= limit < totals[2]  # 40 times the largest value goes unnoticed; a million times does not
    assert "leakage.sum.falsify" in said("receiver")


def test_an_honest_owner_clips_outliers_before_they_are_encrypted() -> None:
    """An outlier in an honest owner's table moves a sum by at most the declared range; without clipping it is refused."""
    fees = [10, 20, 1_000_000_000, -5]
    table = pa.table({"fee": fees})
    clipped = read_values(table, range(4), ValueUse(FEE, "fee", whole=True, clip=True))
    assert clipped.units.tolist() == [10, 20, 1000, 0]
    assert clipped.clipped == 2
    with pytest.raises(DataError):
        read_values(table, range(4), ValueUse(FEE, "fee", whole=True))


# --- (e) the receiver masks each item differently ---------------------------------------------------------------------------


def differently_masked(blocks: list[list[bytes]], params: dh_sum.Params, rng: Rng) -> Script[dict[bytes, int]]:
    """For every own item that the sender holds: the sender's group that it is in."""
    masks: dict[bytes, Any] = {}
    for block, size in zip(blocks, params.receiver_blocks, strict=True):
        masks |= {item: rng.scalar() for item in block}
        own = [hash_and_mask(Items.from_list([item]), params.context, masks[item]) for item in block]
        yield from send(BlindedItems(PointBatch.concat([*own, PointBatch.random(rng, size - len(block))])))
    yield from recv(GroupLabels)
    theirs = (yield from recv(MaskedItems)).points
    returned = (yield from recv(ReturnedTags)).tags
    width = params.tag_bytes
    tags = {returned[at : at + width] for at in range(0, len(returned), width)}
    groups = np.repeat(np.arange(params.shape[1]), params.sender_blocks)
    found = {}
    for item, scalar in masks.items():
        doubly = point_tags(mask(theirs, scalar), params.context, width)
        for place in range(len(theirs)):
            if doubly[place * width : (place + 1) * width] in tags:
                found[item] = int(groups[place])
    return found


def test_a_receiver_that_masks_each_item_differently_learns_membership_of_cells() -> None:
    """Masks of its own for each item: the receiver learns which of its customers the sender has, and in which group."""
    case = made_up(20, 60, 9, (1, 3), statistics=1, seed=7)
    params = case.params()
    params = dh_sum.Params(CONTEXT, params.receiver_blocks, params.sender_blocks, (), CLEAR, "receiver")
    empty = [np.zeros((len(block), 0), dtype=np.int64) for block in case.sender]
    found, _ = run_pair(
        differently_masked(case.receiver, params, Rng.system()),
        dh_sum.sender([Items.from_list(b) for b in case.sender], empty, labels_of("theirs", 3), params, Rng.system()),
    )
    held = {item: group for group, block in enumerate(case.sender) for item in block}
    assert found == {item: held[item] for item in case.receiver[0] if item in held}
    assert len(found) == 9
    assert "leakage.sum.cheating" in said("receiver")


# --- (f) released decryptions as an oracle of the key ------------------------------------------------------------------------

KEY_DIGITS = int(64 / math.log2(3))
MARGIN = RLWE.block - math.ceil(RLWE.block * 168 / 218)
"""Key coefficients that may be known: 168 of the 218 bits that dimension 8192 allows need 6,314 dimensions."""


def key_coefficients(seed: bytes, first: int, step: Any) -> list[int]:
    """Forty coefficients of an owner's key, one by one: the truth that the attack is held against."""
    at = power(step, first)
    replies = []
    for _ in range(KEY_DIGITS):
        replies.append(make_reply(at, NO_C0))
        at = product(at, step)
    released = RLWE.owner(CONTEXT, 0, 1, Rng.insecure_from_seed(seed)).release(replies)
    return [int(number) for number in released.view(np.int64)[:, 0]]


def test_one_release_tells_forty_coefficients_of_the_key_and_the_cap_stops_the_rest() -> None:
    """Crafted replies: a 64-bit release gives 40 key coefficients, 40 releases 1,600 of 8,192; the 41st is refused."""
    step = steps(CONTEXT)
    digits, block = digits_of_key(step, KEY_DIGITS), power(step, KEY_DIGITS)
    replies = []
    for _ in range(RLWE.max_cells):
        replies.append(make_reply(digits, NO_C0))
        digits = product(digits, block)
    owner = RLWE.owner(CONTEXT, 0, 1, Rng.insecure_from_seed(b"oracle"))
    released = owner.release(replies).view(np.int64)[:, 0]
    read = [balanced_digits(int(number), KEY_DIGITS) for number in released]
    assert KEY_DIGITS == 40
    for cell in (0, 1, 39):
        assert read[cell] == key_coefficients(b"oracle", KEY_DIGITS * cell, step)
    assert sum(map(len, read)) == 1600 < MARGIN == 1878
    with pytest.raises(UsageError):  # the keys are gone: no second batch
        owner.release(replies[:1])
    another = RLWE.owner(CONTEXT, 0, 1, Rng.insecure_from_seed(b"oracle"))
    with pytest.raises(LimitExceededError):
        another.release([*replies, replies[0]])
    with pytest.raises(UsageError):  # and refusing wipes them too
        another.release(replies[:1])


def test_in_the_protocol_a_release_tells_no_more_of_the_key_than_its_width() -> None:
    """The same through ``dh-sum``: the owner returns W = 40 bits, which hold 25 coefficients."""
    step, fits = steps(CONTEXT), int(WIDTH / math.log2(3))
    seen: dict[str, NDArray[np.uint64]] = {}
    case = made_up(50, 400, 30, (1, 25), statistics=1, seed=8)
    at, single = power(step, 0), []
    for _ in range(fits):
        single.append(make_reply(at, NO_C0))
        at = product(at, step)
    crafted = make_reply(digits_of_key(step, fits), NO_C0)
    for name, replies in (("at once", [crafted] * fits), ("one by one", single)):
        words: list[bytes] = []

        def tap(who: str, message: Message, words: list[bytes] = words) -> Message:
            if isinstance(message, ReleasedSums):
                words.append(message.sums)
            return through_codec(who, message)

        tampering = Tampered(RLWE, matcher=lambda end, replies=replies: Replying(end, lambda cell, _: replies[cell]))
        run(case, tampering, RLWE, rng=Rng.insecure_from_seed(b"protocol"), tap=tap)
        seen[name] = np.frombuffer(b"".join(words), dtype="<u8")
    assert fits == 25
    together, truth = ([(word ^ 1 << WIDTH - 1) - (1 << WIDTH - 1) for word in words.tolist()] for words in seen.values())
    assert balanced_digits(together[0], fits) == truth
    assert set(truth) == {-1, 0, 1}
    assert all(words.max() < 1 << WIDTH for words in seen.values())


# --- (i) public keys as an oracle of the re-randomiser ------------------------------------------------------------------------


def read_of_u(output: OutputTo, columns: int = 1 + int(WIDTH / math.log2(3))) -> tuple[list[int], list[int]]:
    """What keys of the owner's making tell it: first 3^i at place i, all in one number; then 1 at place i, each place alone."""
    fits = columns - 1
    keys = [[3**at for at in range(fits)], *[[0] * at + [1] for at in range(fits)]]
    seen: list[NDArray[np.uint64]] = []
    reading = Tampered(RLWE, owner=lambda end: Watching(Reading(end, keys), seen))
    run(made_up(100, 100, 60, statistics=columns, seed=11), RLWE, reading, output)
    low = [((word & (1 << WIDTH) - 1) ^ 1 << WIDTH - 1) - (1 << WIDTH - 1) for word in seen[0][0].tolist()]
    return balanced_digits(low[0], fits), low[1:]


@pytest.mark.parametrize("output", ["responder", "both"])
def test_keys_of_the_owners_making_tell_it_w_bits_a_column_of_the_re_randomiser_and_their_sum_is_bounded(
    output: OutputTo,
) -> None:
    """One u serves all columns of a cell: each tells W bits of it, 25 coefficients; all together fewer than the margin."""
    together, alone = read_of_u(output)
    assert together == alone
    assert set(alone) == {-1, 0, 1}
    assert math.ceil(TOGETHER_MAX / math.log2(3)) == 1830 < MARGIN
    wide = made_up(10, 10, 5, statistics=128, seed=11)
    with pytest.raises(UsageError):  # 128 columns of 40 bits would tell 3,200 of the 8,192
        run(wide, RLWE, RLWE, output)
    run(wide, CLEAR, CLEAR, "receiver")


def test_keys_of_the_owners_making_tell_it_nothing_when_only_the_receiver_gets_the_sums() -> None:
    """The offset is uniform modulo 2^64 then, and hides the coefficients too."""
    together, alone = read_of_u("receiver")
    assert together != alone
    assert max(map(abs, alone)) > 1 << WIDTH - 10


# --- (g) differencing, (h) averaging -----------------------------------------------------------------------------------------


def released_sum(case: Case, noise: NDArray[np.int64] | None = None) -> int:
    got, _ = sums(case, noise=noise)
    assert got.sums is not None
    return int(got.sums[0, 0, 0])


def test_the_difference_of_two_runs_is_a_customer_without_noise_and_a_guess_with_it() -> None:
    """N against N-1 customers: exact without noise; with noise a guess is right at most e^ε/(1+e^ε) of the time."""
    case = made_up(100, 150, 60, statistics=1, seed=9)
    target = next(item for item in case.receiver[0] if item in case.values)
    without = Case([[item for item in case.receiver[0] if item != target]], case.sender, case.values, 1)
    assert released_sum(case) - released_sum(without) == case.values[target][0]

    bound, tries = 1000, 20_000
    drawn = draw_noise(Rng.insecure_from_seed(b"difference"), NOISE, 1, tries, [bound, bound])
    assert released_sum(case, drawn[:1, :1]) - released_sum(case) == drawn[0, 0]  # what the noise is added to
    first = np.repeat([0, bound], tries // 2) + drawn[:, 0]  # the customer's value is 0, or as large as it may be
    difference = first - drawn[:, 1]
    for seen in (difference, first):  # also for who knows the second sum exactly
        right = ((seen > bound / 2) == (np.arange(tries) >= tries // 2)).mean()
        assert 0.5 < right < math.e / (1 + math.e) + 5 / math.sqrt(4 * tries)


def test_averages_lose_the_noise_as_the_root_of_the_runs_and_only_the_quota_stops_it() -> None:
    """k runs of one question: the error falls as √k, so many runs give the sum; runs a day bound k."""
    bound, repeats = 1000, 4000
    drawn = draw_noise(Rng.insecure_from_seed(b"average"), NOISE, 1, 100 * repeats, [bound]).reshape(repeats, 100)
    spread = {k: float(drawn[:, :k].mean(axis=1).std()) for k in (1, 10, 100)}
    assert spread[1] / spread[10] == pytest.approx(math.sqrt(10), rel=0.1)
    assert spread[1] / spread[100] == pytest.approx(10, rel=0.1)
    answers = 12_345 + draw_noise(Rng.insecure_from_seed(b"many"), NOISE, 1, 10**6, [1])[:, 0]
    assert round(float(answers.mean())) == 12_345  # a million answers give a count away: at ten a day, in 270 years
    assert spread[10] > bound / 4  # a day's ten answers leave an error of the size of a customer


def test_the_run_after_the_last_of_the_day_is_refused() -> None:
    """runs_per_day is the owner's rule, asked before it accepts: it holds against any caller."""
    key = KeyColumn(name="phone", kind="phone")
    terms = DatasetTerms(
        dataset="parcels", operations=("aggregate",), keys=(key,), values=(FEE,), max_input=10**6, runs_per_day=10, noise=NOISE
    )
    view = AgreementView(
        id="0" * 16,
        digest="d" * 64,
        purpose=("spend",),
        terms=terms,
        valid_from="2026-11-01T00:00:00Z",
        valid_until="2026-12-01T00:00:00Z",
        created_at="2026-10-31T00:00:00Z",
    )
    facts = DatasetFacts(version="a" * 64, keys=(key,), release=(), key_counts=(5000,), values=(FEE,))
    request = RunRequest("aggregate", "parcels", "spend", ((key,),), (), "receiver", (5000,), values=(FEE,))
    state, now = AgreementState(partner_known=True, agreements=(view,), dataset=facts), datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert not isinstance(decide(request, state, Usage(runs=9), now), Deny)
    refused = decide(request, state, Usage(runs=10), now)
    assert isinstance(refused, Deny)
    assert refused.rule is Rule.RUNS_PER_DAY
    assert isinstance(refused.error(), BudgetExhaustedError)


def test_the_statement_of_sums_has_every_line_that_these_attacks_prove() -> None:
    """What stays possible for a cheating party stands in the statement of every output."""
    for output in ("receiver", "responder", "both"):
        assert "leakage.sum.cheating" in dh_sum.LEAKAGE[output][0]
        assert ("leakage.sum.planting" in dh_sum.LEAKAGE[output][1]) == (output != "receiver")
