"""Shards against the ideal functionality: both protocols in shards of a few keys, their sizes, and the bound that pads them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from math import comb
from typing import Any

import pytest

from psc.crypto import Items, Rng
from psc.errors import CryptoError, DecryptionError, EncodingError, PscError
from psc.protocols import dh_psi, shards, vole_psi
from psc.protocols.base import Message
from psc.protocols.padding import padded_size
from psc.protocols.shards import Shards, shard_bound, shards_of
from psc.session.codec import encode
from psc.session.drive import run_pair
from psc.testing.ideal import ideal_match, ideal_rows
from tests.protocol_cases import CONTEXT, Tap, rows_of, sets, through_codec

PROTOCOLS: dict[str, Any] = {"dh-psi": dh_psi, "vole-psi": vole_psi}
SIZES = [(0, 0, 0), (1, 0, 0), (0, 70, 0), (1, 1, 1), (65, 64, 10), (300, 7, 7), (1, 300, 1), (200, 200, 200), (150, 170, 0)]


@dataclass
class Case:
    """One run in shards of ``shard_keys``."""

    protocol: str
    receiver: list[bytes]
    sender: list[bytes]
    table: dict[bytes, list[bytes]] | None = None
    bound: int = 1
    width: int = 5
    both: bool = False
    minimum: int = 0
    malicious: bool = False
    shard_keys: int = 40
    capacity: int | None = None
    tap: Tap = through_codec
    context: bytes = CONTEXT

    @property
    def params(self) -> dh_psi.Params:
        shape = dh_psi.RowShape(self.width, self.bound) if self.table is not None else None
        sizes = (padded_size(len(self.receiver)), padded_size(len(self.sender)))
        common = (self.context, *sizes, shape, self.both, self.minimum)
        return vole_psi.Params(*common, self.malicious) if self.protocol == "vole-psi" else dh_psi.Params(*common)

    @property
    def split(self) -> Shards:
        return shards_of(self.params.receiver_size, self.params.sender_size, self.shard_keys)

    def run(self) -> tuple[dh_psi.Intersection, dh_psi.SenderOutput]:
        module = PROTOCOLS[self.protocol]
        rows = rows_of(self.table, self.sender, self.bound) if self.table is not None else None
        own, other = Items.from_list(self.receiver), Items.from_list(self.sender)
        return run_pair(
            shards.receiver(module.find, own, self.params, Rng.system(), self.shard_keys),
            shards.sender(module.offer, other, rows, self.params, Rng.system(), self.shard_keys),
            capacity=self.capacity,
            tap=self.tap,
        )


@dataclass
class Trace:
    """Who sent which message of how many bytes."""

    seen: list[tuple[str, str, int]]

    def __call__(self, who: str, message: Message) -> Message:
        values = [getattr(message, field.name) for field in fields(message)]  # type: ignore[arg-type]
        sizes = [len(value) if isinstance(value, bytes) else 32 * len(value) for value in values if not isinstance(value, bool)]
        self.seen.append((who, type(message).__name__, sum(sizes)))
        return through_codec(who, message)


@pytest.mark.parametrize(("n", "m", "common"), SIZES)
@pytest.mark.parametrize(("protocol", "malicious"), [("dh-psi", False), ("vole-psi", False), ("vole-psi", True)])
def test_match_is_ideal(n: int, m: int, common: int, protocol: str, malicious: bool) -> None:
    receiver, sender = sets(n, m, common)
    case = Case(protocol, receiver, sender, malicious=malicious, capacity=1)
    assert case.split.count == -(-max(case.params.receiver_size, case.params.sender_size) // 40) > 1
    got, other = case.run()
    assert got.matched.tolist() == ideal_match(receiver, sender)
    assert got.rows is None
    assert other == dh_psi.SenderOutput(None)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("seed", range(4))
def test_rows_are_ideal_and_both_learn(protocol: str, seed: int) -> None:
    rng = random.Random(seed)
    receiver, sender = sets(rng.randint(70, 190), rng.randint(30, 190), rng.randint(0, 30) if seed else 0, seed)
    table = {item: [rng.randbytes(5) for _ in range(rng.randint(1, 6))] for item in sender}
    got, other = Case(protocol, receiver, sender, table, bound=3, both=True).run()
    assert got.rows is not None
    payloads = [got.rows.payloads[5 * k : 5 * k + 5] for k in range(len(got.rows.items))]
    rows = zip(got.rows.items.tolist(), got.rows.counters.tolist(), payloads)
    assert sorted(rows) == sorted(ideal_rows(receiver, table, 3))
    assert other.matched is not None
    assert other.matched.tolist() == ideal_match(sender, receiver)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("minimum", "withheld"), [(20, False), (21, True)])
def test_the_minimum_is_kept_by_the_whole_result(protocol: str, minimum: int, withheld: bool) -> None:
    """No shard alone has 20 matches; and nothing of any of them is told before all are known."""
    receiver, sender = sets(150, 180, 20)
    trace = Trace([])
    got, other = Case(protocol, receiver, sender, both=True, minimum=minimum, tap=trace).run()
    assert len(got.matched) == 20
    assert (other.matched is None) == withheld
    told = [at for at, (_, kind, _) in enumerate(trace.seen) if kind == "MatchedPositions"]
    assert told == [len(trace.seen) - 1]
    assert (trace.seen[-1][2] == 0) == withheld


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("both", [False, True])
def test_sizes_on_the_wire_follow_from_the_padded_sizes(protocol: str, both: bool) -> None:
    module, traces = PROTOCOLS[protocol], []
    for seed, (n, m, common) in enumerate([(113, 161, 0), (115, 168, 115), (116, 165, 9)]):
        trace = Trace([])
        receiver, sender = sets(n, m, common, seed)
        table = {item: [b"12345"] * (1 + seed) for item in sender}
        case = Case(protocol, receiver, sender, table, bound=3, both=both, tap=trace, context=bytes([seed] * 32))
        case.run()
        sums = tuple(sum(size for who, _, size in trace.seen if who == party) for party in "ab")
        assert sums == shards.message_bytes(module.message_bytes, case.params, 40)
        traces.append(trace.seen)
    assert traces[0] == traces[1] == traces[2]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_shard_is_the_protocol_itself(protocol: str) -> None:
    module, (receiver, sender) = PROTOCOLS[protocol], sets(60, 90, 20)
    case = Case(protocol, receiver, sender, {item: [b"12345"] for item in sender}, both=True, shard_keys=92)
    assert case.split == Shards(1, 64, 92)
    assert case.table is not None
    rows, transcripts = rows_of(case.table, sender, 1), []
    own, other = Items.from_list(receiver), Items.from_list(sender)
    for sharded in (False, True):
        frames: list[bytes] = []

        def tap(who: str, message: Message, frames: list[bytes] = frames) -> Message:
            frames.append(encode(message))
            return through_codec(who, message)

        rngs = [Rng.insecure_from_seed(seed) for seed in (b"receiver", b"sender")]
        if sharded:
            scripts: tuple[Any, Any] = (
                shards.receiver(module.find, own, case.params, rngs[0], 92),
                shards.sender(module.offer, other, rows, case.params, rngs[1], 92),
            )
        else:
            scripts = module.receiver(own, case.params, rngs[0]), module.sender(other, rows, case.params, rngs[1])
        run_pair(*scripts, tap=tap)
        transcripts.append(frames)
    assert transcripts[0] == transcripts[1]


@pytest.mark.parametrize("side", ["receiver", "sender"])
def test_overflow_ends_the_run_before_anything_is_sent(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver, sender = sets(160, 160, 10)
    monkeypatch.setattr(shards, "shard_bound", lambda size, count: -(-size // count))
    case = Case("dh-psi", receiver, sender)
    items = Items.from_list(receiver if side == "receiver" else sender)
    if side == "receiver":
        script: Any = shards.receiver(dh_psi.find, items, case.params, Rng.system(), 40)
    else:
        script = shards.sender(dh_psi.offer, items, None, case.params, Rng.system(), 40)
    effect = next(script)
    with pytest.raises(CryptoError) as refused:
        script.send(effect.function(*effect.args))
    assert refused.value.code == "session.shard-overflow"


def test_what_does_not_fit_or_lacks_rows_is_refused() -> None:
    receiver, sender = sets(65, 65, 1)
    params = Case("dh-psi", receiver, sender).params
    small = replace(params, receiver_size=64, sender_size=64)
    run: list[Callable[[], Any]] = [
        lambda: next(shards.receiver(dh_psi.find, Items.from_list(receiver), small, Rng.system(), 40)),
        lambda: next(shards.sender(dh_psi.offer, Items.from_list(sender), None, small, Rng.system(), 40)),
        lambda: next(
            shards.sender(
                dh_psi.offer, Items.from_list(sender), None, replace(params, rows=dh_psi.RowShape(5, 1)), Rng.system(), 40
            )
        ),
    ]
    for one in run:
        with pytest.raises(EncodingError):
            one()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shards_are_bound_to_their_number(protocol: str) -> None:
    """Tags of one shard that come in place of another's match nothing, even where the keys are the same."""
    receiver, sender = sets(160, 160, 160)
    number = 0

    def shift(context: bytes) -> bytes:
        return bytes([context[0] ^ 1]) + context[1:]

    def shifted(items: Items, rows: dh_psi.SenderRows | None, params: Any, rng: Rng) -> Any:
        nonlocal number
        number += 1
        return PROTOCOLS[protocol].offer(
            items, rows, replace(params, context=shift(params.context)) if number == 2 else params, rng
        )

    case = Case(protocol, receiver, sender)
    own, other = Items.from_list(receiver), Items.from_list(sender)
    scripts = (
        shards.receiver(PROTOCOLS[protocol].find, own, case.params, Rng.system(), 40),
        shards.sender(shifted, other, None, case.params, Rng.system(), 40),
    )
    try:
        got, _ = run_pair(*scripts)
    except PscError:
        return
    assert 0 < len(got.matched) < 160


def test_tags_are_long_enough_for_all_shards() -> None:
    lengths = [dh_psi.Params(CONTEXT, 1 << 10, 1 << 10, shards=count).tag_bytes for count in (1, 16, 17)]
    assert lengths == [8, 8, 9]


@pytest.mark.parametrize(("size", "count"), [(64, 2), (64, 7), (100, 3), (300, 2), (300, 30), (1000, 5), (2, 2), (1, 9)])
def test_the_bound_is_the_exact_tail(size: int, count: int) -> None:
    def tail(bound: int) -> Fraction:
        weights = (comb(size, k) * (count - 1) ** (size - k) for k in range(bound + 1, size + 1))
        return Fraction(sum(weights), count**size)

    bound, limit = shard_bound(size, count), Fraction(1, 2**41 * count)
    assert tail(bound) <= limit
    assert bound == 0 or tail(bound - 1) > limit


def test_the_bounds_that_both_parties_derive_are_frozen() -> None:
    large = padded_size(10**7)
    assert (large, shards_of(large, large)) == (10 << 20, Shards(10, 1_055_824, 1_055_824))
    assert shards_of(padded_size(50_000), padded_size(3 * 10**7)) == Shards(29, 2_088, 1_056_224)
    assert shards_of(1 << 20, 1 << 20) == Shards(1, 1 << 20, 1 << 20)
    assert shards_of(64, (1 << 20) + (1 << 16)) == Shards(2, 59, 560_876)


class Broken(Exception):
    """A party stops, as when its process is killed."""


@dataclass
class Memory:
    """Keeps shards in memory, and stops the party when it kept so many."""

    split: bytes
    kept: list[bytes]
    most: int | None = None

    def keep(self, number: int, part: bytes) -> None:
        assert number == len(self.kept)
        if len(self.kept) == self.most:
            raise Broken
        self.kept.append(part)

    def at(self, finished: int) -> shards.Keep:
        del self.kept[finished:]
        return shards.Keep(self.split, tuple(self.kept), self.keep)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("both", "with_rows"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_broke_off_twice_ends_as_the_whole_one(protocol: str, both: bool, with_rows: bool, seed: int) -> None:
    rng, module = random.Random(seed), PROTOCOLS[protocol]
    receiver, sender = sets(rng.randint(120, 190), rng.randint(120, 190), rng.randint(0, 60), seed)
    table = {item: [rng.randbytes(5) for _ in range(rng.randint(1, 6))] for item in sender} if with_rows else None
    own, other = Items.from_list(receiver), Items.from_list(sender)
    rows = rows_of(table, sender, 3) if table is not None else None
    mine, theirs = Memory(CONTEXT, []), Memory(CONTEXT, [])
    count = Case(protocol, receiver, sender).split.count
    assert count >= 4
    traces: list[Trace] = []
    for attempt, most in enumerate((1, 3, None)):
        # Another context in each attempt; whoever is ahead drops what the other does not have.
        case = Case(protocol, receiver, sender, table, bound=3, both=both, context=bytes([attempt] * 32))
        finished = min(len(mine.kept), len(theirs.kept))
        assert finished == (0, 1, 3)[attempt]
        trace = Trace([])
        traces.append(trace)
        (mine if seed % 2 else theirs).most = most
        parties = (
            shards.receiver(module.find, own, case.params, Rng.system(), 40, mine.at(finished)),
            shards.sender(module.offer, other, rows, case.params, Rng.system(), 40, theirs.at(finished)),
        )
        if most is not None:
            with pytest.raises(Broken):
                run_pair(*parties, tap=trace, capacity=1)
            continue
        got, told = run_pair(*parties, tap=trace, capacity=1)
        sums = tuple(sum(size for who, _, size in trace.seen if who == party) for party in "ab")
        assert sums == shards.message_bytes(module.message_bytes, case.params, 40, finished)
    assert len(mine.kept) == len(theirs.kept) == count
    assert got.matched.tolist() == ideal_match(receiver, sender)
    assert (None if told.matched is None else told.matched.tolist()) == (ideal_match(sender, receiver) if both else None)
    if table is not None:
        assert got.rows is not None
        payloads = [got.rows.payloads[5 * k : 5 * k + 5] for k in range(len(got.rows.items))]
        found = zip(got.rows.items.tolist(), got.rows.counters.tolist(), payloads)
        assert sorted(found) == sorted(ideal_rows(receiver, table, 3))
    assert all(part == b"" for part in theirs.kept) != both  # a sender keeps nothing that it does not need


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_kept_part_of_another_kind_of_run_is_refused(protocol: str) -> None:
    receiver, sender = sets(150, 150, 20)
    case, mine = Case(protocol, receiver, sender), Memory(CONTEXT, [])
    module, own = PROTOCOLS[protocol], Items.from_list(receiver)
    offer = shards.sender(module.offer, Items.from_list(sender), None, case.params, Rng.system(), 40, Memory(CONTEXT, []).at(0))
    run_pair(shards.receiver(module.find, own, case.params, Rng.system(), 40, mine.at(0)), offer)
    for changed in (mine.kept[0] + b"0", mine.kept[0][:-1], b"", mine.kept[0][:23]):
        keep = shards.Keep(CONTEXT, [changed], mine.keep)
        script = shards.receiver(module.find, own, case.params, Rng.system(), 40, keep)
        with pytest.raises(DecryptionError):
            run_pair(script, shards.sender(module.offer, own, None, case.params, Rng.system(), 40))
