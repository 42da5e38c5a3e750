"""Stages against the ideal functionality: a match by several keys is, for each key, the match by this key alone."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

from psc.crypto import Items, Rng
from psc.errors import PscError
from psc.protocols import dh_psi, shards, stages, vole_psi
from psc.protocols.base import Message
from psc.protocols.padding import padded_size
from psc.session.codec import encode
from psc.session.drive import run_pair
from psc.testing.ideal import ideal_match, ideal_rows
from tests.protocol_cases import CONTEXT, Tap, rows_of, sets, through_codec

PROTOCOLS: dict[str, Any] = {"dh-psi": dh_psi, "vole-psi": vole_psi}
MODES = [("dh-psi", False), ("vole-psi", False), ("vole-psi", True)]
SIZES = [(60, 90, 20), (150, 70, 30), (0, 80, 0), (90, 0, 0)]
SHARD_KEYS = 80
"""So few that some of the stages run in shards."""


@dataclass
class Case:
    """One run by several keys; a stage is the items of both, and the sender's rows."""

    protocol: str
    sets: list[tuple[list[bytes], list[bytes]]]
    tables: list[dict[bytes, list[bytes]]] | None = None
    bound: int = 1
    both: bool = False
    minimum: int = 0
    malicious: bool = False
    capacity: int | None = None
    tap: Tap = through_codec
    seeds: tuple[bytes, bytes] | None = None

    def params(self, number: int) -> Any:
        receiver, sender = self.sets[number]
        shape = dh_psi.RowShape(5, self.bound) if self.tables is not None else None
        common = (CONTEXT, padded_size(len(receiver)), padded_size(len(sender)), shape, self.both, self.minimum)
        return vole_psi.Params(*common, self.malicious) if self.protocol == "vole-psi" else dh_psi.Params(*common)

    def own(self) -> tuple[list[stages.Own[Any]], list[stages.Own[Any]]]:
        mine, theirs = [], []
        for number, (receiver, sender) in enumerate(self.sets):
            rows = None if self.tables is None else rows_of(self.tables[number], sender, self.bound)
            mine.append(stages.Own(Items.from_list(receiver), self.params(number)))
            theirs.append(stages.Own(Items.from_list(sender), self.params(number), rows))
        return mine, theirs

    def run(self) -> tuple[tuple[dh_psi.Intersection, ...], tuple[dh_psi.SenderOutput, ...]]:
        module, (mine, theirs) = PROTOCOLS[self.protocol], self.own()
        rngs = [Rng.insecure_from_seed(seed) for seed in self.seeds] if self.seeds else [Rng.system(), Rng.system()]
        return run_pair(
            stages.receiver(module.find, mine, rngs[0], SHARD_KEYS),
            stages.sender(module.offer, theirs, rngs[1], SHARD_KEYS),
            capacity=self.capacity,
            tap=self.tap,
        )


class Trace:
    """Who sent which message of how many bytes, and the frames."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []
        self.frames: list[bytes] = []

    def __call__(self, who: str, message: Message) -> Message:
        values = [getattr(message, field.name) for field in fields(message)]  # type: ignore[arg-type]
        sizes = [len(value) if isinstance(value, bytes) else 32 * len(value) for value in values if not isinstance(value, bool)]
        self.seen.append((who, type(message).__name__, sum(sizes)))
        self.frames.append(encode(message))
        return through_codec(who, message)


def drawn(count: int, seed: int = 0) -> list[tuple[list[bytes], list[bytes]]]:
    return [sets(*SIZES[(number + seed) % len(SIZES)], seed=10 * seed + number) for number in range(count)]


@pytest.mark.parametrize(("protocol", "malicious"), MODES)
@pytest.mark.parametrize("count", [2, 3, 4])
def test_each_stage_is_the_ideal_match(protocol: str, malicious: bool, count: int) -> None:
    case = Case(protocol, drawn(count), malicious=malicious, capacity=1)
    got, told = case.run()
    assert [found.matched.tolist() for found in got] == [ideal_match(*both) for both in case.sets]
    assert told == (dh_psi.SenderOutput(None),) * count


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("seed", range(3))
def test_rows_are_ideal_and_both_learn(protocol: str, seed: int) -> None:
    rng = random.Random(seed)
    both = drawn(3, seed)
    tables = [{item: [rng.randbytes(5) for _ in range(rng.randint(1, 6))] for item in sender} for _, sender in both]
    got, told = Case(protocol, both, tables, bound=3, both=True, capacity=1).run()
    for found, other, (receiver, sender), table in zip(got, told, both, tables, strict=True):
        assert found.rows is not None
        payloads = [found.rows.payloads[5 * k : 5 * k + 5] for k in range(len(found.rows.items))]
        rows = zip(found.rows.items.tolist(), found.rows.counters.tolist(), payloads)
        assert sorted(rows) == sorted(ideal_rows(receiver, table, 3))
        assert other.matched is not None
        assert other.matched.tolist() == ideal_match(sender, receiver)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_stage_keeps_the_minimum_and_all_are_told_at_the_end(protocol: str) -> None:
    """20 and 30 match by two of the keys, none by the third: a large stage beside it lets no small one pass."""
    trace = Trace()
    got, told = Case(protocol, drawn(3), both=True, minimum=21, tap=trace).run()
    assert [len(found.matched) for found in got] == [20, 30, 0]
    assert [other.matched is None for other in told] == [True, False, True]
    kinds = [kind for _, kind, _ in trace.seen]
    assert kinds[-3:] == ["MatchedPositions"] * 3
    assert kinds.count("MatchedPositions") == 3
    assert [size == 0 for _, _, size in trace.seen[-3:]] == [True, False, True]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("both", [False, True])
def test_bytes_follow_from_the_padded_sizes(protocol: str, both: bool) -> None:
    traces = []
    for seed in range(2):
        trace = Trace()
        pairs = [sets(57 + seed, 85, 20 * seed, seed), sets(145, 66 + seed, 30, seed)]
        case = Case(protocol, pairs, [{item: [b"12345"] * 2 for item in sender} for _, sender in pairs], 2, both=both, tap=trace)
        case.run()
        sums = tuple(sum(size for who, _, size in trace.seen if who == party) for party in "ab")
        params = [case.params(0), case.params(1)]
        assert sums == stages.message_bytes(PROTOCOLS[protocol].message_bytes, params, SHARD_KEYS)
        traces.append(trace.seen)
    assert traces[0] == traces[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("sizes", [(60, 70, 20), (150, 170, 20)])
def test_one_key_is_the_match_itself(protocol: str, sizes: tuple[int, int, int]) -> None:
    module, (receiver, sender) = PROTOCOLS[protocol], sets(*sizes)
    seeds, trace, other = (b"receiver", b"sender"), Trace(), Trace()
    table = {item: [b"12345"] for item in sender}
    case = Case(protocol, [(receiver, sender)], [table], both=True, tap=trace, seeds=seeds)
    case.run()
    rngs = [Rng.insecure_from_seed(seed) for seed in seeds]
    run_pair(
        shards.receiver(module.find, Items.from_list(receiver), case.params(0), rngs[0], SHARD_KEYS),
        shards.sender(module.offer, Items.from_list(sender), rows_of(table, sender, 1), case.params(0), rngs[1], SHARD_KEYS),
        tap=other,
    )
    assert trace.frames == other.frames


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_stages_are_bound_to_their_number(protocol: str) -> None:
    """One set under two keys: a sender that plays each stage with the other's context matches nothing."""
    module, (receiver, sender) = PROTOCOLS[protocol], sets(60, 60, 60)
    mine, theirs = Case(protocol, [(receiver, sender)] * 2).own()
    contexts: list[bytes] = []

    def noting(items: Items, rows: Any, params: Any, rng: Rng) -> Any:
        contexts.append(params.context)
        return module.offer(items, rows, params, rng)

    run_pair(stages.receiver(module.find, mine, Rng.system()), stages.sender(noting, theirs, Rng.system()))
    assert len({CONTEXT, *contexts}) == 3

    def swapped(items: Items, rows: Any, params: Any, rng: Rng) -> Any:
        other = contexts[1] if params.context == contexts[0] else contexts[0]
        return module.offer(items, rows, replace(params, context=other), rng)

    try:
        got, _ = run_pair(stages.receiver(module.find, mine, Rng.system()), stages.sender(swapped, theirs, Rng.system()))
    except PscError:
        return
    assert all(len(found.matched) == 0 for found in got)


def test_tags_are_long_enough_for_all_stages() -> None:
    seen: list[int] = []

    def noting(items: Items, params: dh_psi.Params, rng: Rng) -> Any:
        seen.append(params.shards)
        return dh_psi.find(items, params, rng)

    mine, theirs = Case("dh-psi", drawn(4)).own()
    run_pair(stages.receiver(noting, mine, Rng.system()), stages.sender(dh_psi.offer, theirs, Rng.system()))
    assert seen == [4, 4, 4, 4]
