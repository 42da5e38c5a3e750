"""What the tests of sums by group share: made-up tables, and one call a protocol that runs both parties."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psc.crypto import Items, Rng
from psc.crypto.sums import SumEngine
from psc.protocols import dh_sum, owner_sum
from psc.protocols.base import Message, Script
from psc.protocols.cells import CellRule, GroupLabels, Sums
from psc.protocols.padding import padded_size
from psc.session.drive import _Party, run_pair
from psc.testing.ideal import ClearSums, ideal_sums
from psc.types import OutputTo
from tests.protocol_cases import CONTEXT, Tap, sets, through_codec

CLEAR = ClearSums()
WIDTH = 40


def nothing(names: tuple[bytes, ...]) -> CellRule:
    """Withhold no cell, whatever the groups are called."""
    return lambda counts: np.zeros(counts.shape, dtype=np.bool_)


def labels_of(side: str, groups: int) -> tuple[bytes, ...]:
    """Names of groups."""
    return tuple(f"{side} {number} 组".encode() for number in range(groups)) if groups > 1 else (b"",)


@dataclass
class Case:
    """Both parties' tables.

    Attributes:
        receiver: items of each group.
        sender: items of each group.
        values: for each of the sender's items one value a statistic.
        bits: width of a sum.
    """

    receiver: list[list[bytes]]
    sender: list[list[bytes]]
    values: dict[bytes, list[int]]
    statistics: int
    bits: int = WIDTH
    weights: dict[bytes, list[int]] = field(default_factory=dict)

    def ideal(self) -> tuple[list[list[int]], list[list[list[int]]]]:
        """What is to come out."""
        return ideal_sums(self.receiver, [{x: self.values[x] for x in block} for block in self.sender], self.statistics)

    def vectors(self) -> list[NDArray[np.int64]]:
        """The sender's values by group."""
        return [
            np.array([self.values[item] for item in block], dtype=np.int64).reshape(len(block), self.statistics)
            for block in self.sender
        ]

    def params(self, engine: SumEngine = CLEAR, output: OutputTo = "receiver", **changes: Any) -> dh_sum.Params:
        """Parameters with padded sizes."""
        return dh_sum.Params(
            CONTEXT,
            tuple(padded_size(len(block)) for block in self.receiver),
            tuple(padded_size(len(block)) for block in self.sender),
            (self.bits,) * self.statistics,
            engine,
            output,
            **changes,
        )


def made_up(n: int, m: int, common: int, groups: tuple[int, int] = (1, 1), statistics: int = 2, seed: int = 0) -> Case:
    """Random tables: n and m items of which some are common, spread over groups unevenly, values of 20 bits."""
    rng = random.Random(seed)
    receiver, sender = sets(n, m, common, seed)

    def spread(items: Sequence[bytes], count: int) -> list[list[bytes]]:
        blocks: list[list[bytes]] = [[] for _ in range(count)]
        for item in items:
            blocks[min(rng.randrange(count), rng.randrange(count))].append(item)
        return blocks

    values = {item: [rng.randint(-(1 << 20), 1 << 20) for _ in range(statistics)] for item in sender}
    return Case(spread(receiver, groups[0]), spread(sender, groups[1]), values, statistics)


def scripts(
    case: Case,
    params: dh_sum.Params,
    rngs: Sequence[Rng],
    withhold: Any = nothing,
    noise: NDArray[np.int64] | None = None,
) -> tuple[Script[Sums], Script[Sums | None]]:
    """Both parties of ``dh-sum``."""
    own, theirs = params.shape
    return (
        dh_sum.receiver([Items.from_list(b) for b in case.receiver], params, rngs[0], withhold, labels_of("mine", own)),
        dh_sum.sender(
            [Items.from_list(b) for b in case.sender], case.vectors(), labels_of("theirs", theirs), params, rngs[1], noise
        ),
    )


def sums(
    case: Case,
    *,
    engine: SumEngine = CLEAR,
    output: OutputTo = "receiver",
    withhold: Any = nothing,
    noise: NDArray[np.int64] | None = None,
    capacity: int | None = None,
    tap: Tap = through_codec,
    seeds: tuple[bytes, bytes] | None = None,
    **changes: Any,
) -> tuple[Sums, Sums | None]:
    """Run ``dh-sum``."""
    rngs = [Rng.insecure_from_seed(seed) for seed in seeds] if seeds else [Rng.system(), Rng.system()]
    params = case.params(engine, output, **changes)
    return run_pair(*scripts(case, params, rngs, withhold, noise), capacity=capacity, tap=tap)


def keep(counts: NDArray[np.int64], totals: NDArray[np.int64]) -> owner_sum.Table:
    """Release everything as it is."""
    return owner_sum.Table(counts, totals, np.zeros(counts.shape, dtype=np.bool_))


def owner_params(case: Case, statistics: tuple[int | None, ...], columns: int, **changes: Any) -> owner_sum.Params:
    """Parameters of ``owner-sum`` with padded sizes."""
    sizes = [padded_size(sum(len(block) for block in blocks)) for blocks in (case.receiver, case.sender)]
    values: dict[str, Any] = {"output": "receiver"} | changes
    return owner_sum.Params(CONTEXT, *sizes, len(case.receiver), len(case.sender), columns, statistics, **values)


def owner_sums(
    case: Case,
    *,
    statistics: tuple[int | None, ...] | None = None,
    columns: int = 0,
    release: owner_sum.Release = keep,
    capacity: int | None = None,
    tap: Tap = through_codec,
    seeds: tuple[bytes, bytes] | None = None,
    **changes: Any,
) -> tuple[Sums | None, Sums | None]:
    """Run ``owner-sum``."""
    rngs = [Rng.insecure_from_seed(seed) for seed in seeds] if seeds else [Rng.system(), Rng.system()]
    params = owner_params(case, statistics or (None,) * case.statistics, columns, **changes)
    mine, theirs = [[item for block in blocks for item in block] for blocks in (case.receiver, case.sender)]
    groups = [np.repeat(np.arange(len(blocks)), [len(b) for b in blocks]) for blocks in (case.receiver, case.sender)]
    weights = np.array([case.weights[item] for item in mine] if columns else [], dtype=np.int64).reshape(len(mine), columns)
    vectors = np.concatenate(case.vectors())
    return run_pair(
        owner_sum.receiver(Items.from_list(mine), groups[0], weights, params, rngs[0], labels_of("mine", params.receiver_groups)),
        owner_sum.sender(
            Items.from_list(theirs),
            groups[1],
            vectors,
            labels_of("theirs", params.sender_groups),
            params,
            rngs[1],
            release,
        ),
        capacity=capacity,
        tap=tap,
    )


def run_shuffled(a: Script[Any], b: Script[Any], seed: int, capacity: int) -> tuple[Any, Any]:
    """Run two scripts with their steps interleaved at random, at a bounded capacity."""
    rng = random.Random(seed)
    to_a: deque[Message] = deque()
    to_b: deque[Message] = deque()
    parties = [_Party(a, to_a, to_b, capacity), _Party(b, to_b, to_a, capacity)]
    idle = 0
    while not all(party.done for party in parties):
        first = rng.randrange(2)
        for _ in range(rng.randint(1, 5)):
            idle = 0 if parties[first].step() else idle + 1
        assert idle < 1000, "deadlock"
    assert not to_a
    assert not to_b
    return parties[0].result, parties[1].result


def trace(run: Callable[..., object], *args: object, **options: Any) -> list[tuple[str, str, int]]:
    """Run, and return who sent what and how many bytes, without the names of groups."""
    seen: list[tuple[str, str, int]] = []

    def tap(who: str, message: Message) -> Message:
        if not isinstance(message, GroupLabels):
            seen.append((who, type(message).__name__, payload_bytes(message)))
        return through_codec(who, message)

    run(*args, tap=tap, **options)
    return seen


def payload_bytes(message: Message) -> int:
    """Bytes of a message's content."""
    values = [getattr(message, f.name) for f in fields(message)]  # type: ignore[arg-type]
    return sum(len(getattr(value, "data", value)) for value in values)
