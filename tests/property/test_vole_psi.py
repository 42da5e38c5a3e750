"""vole-psi against the ideal functionality: sizes, schedules, rows, both outputs, and messages that were altered."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest

from psc.crypto import Items, Rng
from psc.errors import EncodingError, PscError, RemoteProtocolError, UsageError
from psc.protocols import dh_psi, vole_psi
from psc.protocols.base import CHUNK_BYTES, Message
from psc.protocols.padding import padded_size
from psc.session.drive import run_pair
from psc.testing.ideal import ideal_match, ideal_rows
from tests.protocol_cases import CONTEXT, Tap, rows_of, sets, through_codec

SIZES = [(0, 0, 0), (0, 5, 0), (5, 0, 0), (1, 1, 1), (1, 1, 0), (2, 3, 1), (65, 64, 10), (300, 7, 7), (1, 500, 1), (99, 99, 99)]
VOLE = [vole_psi.VoleChoices, vole_psi.VoleExtension, vole_psi.VoleTrees, vole_psi.VoleChallenge, vole_psi.VoleAnswer]
MASKS = [vole_psi.MaskCommitment, vole_psi.MaskOpening]
Result = tuple[dh_psi.Intersection, dh_psi.SenderOutput]


@dataclass
class Case:
    """One run; sizes are padded when ``exact`` is not set."""

    receiver: list[bytes]
    sender: list[bytes]
    malicious: bool = False
    table: dict[bytes, list[bytes]] | None = None
    bound: int = 1
    width: int = 8
    both: bool = False
    minimum: int = 0
    exact: bool = False
    shards: int = 1
    capacity: int | None = None
    tap: Tap = through_codec
    seeds: tuple[bytes, bytes] | None = None

    @property
    def params(self) -> vole_psi.Params:
        sizes = [len(side) if self.exact else padded_size(len(side)) for side in (self.receiver, self.sender)]
        shape = dh_psi.RowShape(self.width, self.bound) if self.table is not None else None
        return vole_psi.Params(CONTEXT, *sizes, shape, self.both, self.minimum, self.malicious, shards=self.shards)

    def run(self) -> Result:
        rngs = [Rng.insecure_from_seed(seed) for seed in self.seeds] if self.seeds else [Rng.system(), Rng.system()]
        rows = rows_of(self.table, self.sender, self.bound) if self.table is not None else None
        return run_pair(
            vole_psi.receiver(Items.from_list(self.receiver), self.params, rngs[0]),
            vole_psi.sender(Items.from_list(self.sender), rows, self.params, rngs[1]),
            capacity=self.capacity,
            tap=self.tap,
        )


@pytest.mark.parametrize(("n", "m", "common"), SIZES)
@pytest.mark.parametrize("malicious", [False, True])
@pytest.mark.parametrize("exact", [False, True])
def test_match_is_ideal(n: int, m: int, common: int, malicious: bool, exact: bool) -> None:
    receiver, sender = sets(n, m, common)
    for capacity in (1, None):
        got, other = Case(receiver, sender, malicious, exact=exact, capacity=capacity).run()
        assert got.matched.tolist() == ideal_match(receiver, sender)
        assert got.rows is None
        assert other == dh_psi.SenderOutput(None)


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_ideal_and_both_learn(seed: int) -> None:
    rng = random.Random(seed)
    receiver, sender = sets(rng.randint(1, 90), rng.randint(30, 90), rng.randint(0, 1) * 20 if seed else 1, seed)
    table = {item: [rng.randbytes(5) for _ in range(rng.randint(1, 6))] for item in sender}
    got, other = Case(receiver, sender, table=table, bound=3, width=5, both=True).run()
    assert got.rows is not None
    rows = sorted(
        (int(i), int(c), got.rows.payloads[k * 5 : (k + 1) * 5])
        for k, (i, c) in enumerate(zip(got.rows.items, got.rows.counters))
    )
    assert rows == sorted(ideal_rows(receiver, table, 3))
    assert other.matched is not None
    assert other.matched.tolist() == ideal_match(sender, receiver)


@pytest.mark.parametrize("minimum", [3, 4])
def test_results_below_the_minimum_are_withheld_from_the_sender(minimum: int) -> None:
    receiver, sender = sets(10, 10, 3)
    got, other = Case(receiver, sender, both=True, minimum=minimum).run()
    assert len(got.matched) == 3
    assert (other.matched is None) == (minimum == 4)


@pytest.mark.parametrize("malicious", [False, True])
def test_sizes_on_the_wire_are_those_of_the_formula(malicious: bool) -> None:
    traces = []
    for n, m, common in [(65, 67, 0), (66, 65, 65), (68, 66, 9)]:
        seen: list[tuple[str, str, int]] = []

        def tap(who: str, message: Message, seen: list[tuple[str, str, int]] = seen) -> Message:
            values = [getattr(message, field.name) for field in fields(message)]  # type: ignore[arg-type]
            seen.append((who, type(message).__name__, sum(len(value) for value in values if isinstance(value, bytes))))
            return through_codec(who, message)

        case = Case(*sets(n, m, common), malicious, both=not malicious, tap=tap)
        case.run()
        assert tuple(sum(size for who, _, size in seen if who == party) for party in "ab") == vole_psi.message_bytes(case.params)
        assert max(size for _, _, size in seen) <= CHUNK_BYTES
        traces.append(seen)
    assert traces[0] == traces[1] == traces[2]


def test_shards_share_the_false_matches_of_one_run() -> None:
    receiver, sender = sets(90, 80, 30)
    table = {item: [b"12345678"] for item in sender}
    lengths = set()
    for shards in (1, 256):
        case = Case(receiver, sender, table=table, both=True, shards=shards)
        got, other = case.run()
        assert got.matched.tolist() == ideal_match(receiver, sender)
        assert other.matched is not None
        lengths.add((case.params.tag_bytes, case.params.row_tag_bytes))
    assert lengths == {(7, 7), (8, 8)}


def flip(kind: type[Message], place: int, every: int | None = None) -> Tap:
    """Flip one bit of the first message of a kind, or one in every so many bytes."""
    done = False

    def tap(_: str, message: Message) -> Message:
        nonlocal done
        if type(message) is not kind or done:
            return message
        done = True
        field = "tags" if isinstance(message, dh_psi.SenderTags) else "data"
        data = bytearray(getattr(message, field))
        for at in range(place % len(data), len(data), every or len(data)):
            data[at] ^= 1 << place % 8
        return replace(message, **{field: bytes(data)})  # type: ignore[type-var]

    return tap


@pytest.mark.parametrize("place", range(0, 320, 16))
def test_one_altered_block_of_the_trees_ends_a_malicious_run_or_changes_nothing(place: int) -> None:
    """Of the two sums of a level the receiver can open one: altering the other has no effect. Which it was is the bit that a
    sender may learn about the noise (a selective failure), and the noise has weight to spare for it."""
    receiver, sender = sets(80, 90, 40)
    try:
        got, _ = Case(receiver, sender, malicious=True, tap=flip(vole_psi.VoleTrees, place)).run()
    except RemoteProtocolError:
        return
    assert set(got.matched.tolist()) == set(ideal_match(receiver, sender))


@pytest.mark.parametrize("kind", VOLE + MASKS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("place", [0, 13, 33, 7919])
def test_altered_transfers_trees_checks_and_openings_end_a_malicious_run(kind: type[Message], place: int) -> None:
    # Of the two blocks of a tree's level the receiver uses one: to alter one bit may have no effect, to alter all has.
    case = Case(*sets(80, 90, 40), malicious=True, tap=flip(kind, place, 16 if kind is vole_psi.VoleTrees else None))
    with pytest.raises(RemoteProtocolError):
        case.run()


@pytest.mark.parametrize("place", range(0, 1600, 67))
def test_one_altered_bit_of_the_trees_ends_a_malicious_run_or_has_no_effect(place: int) -> None:
    receiver, sender = sets(80, 90, 40)
    try:
        got, _ = Case(receiver, sender, malicious=True, tap=flip(vole_psi.VoleTrees, place)).run()
    except RemoteProtocolError as error:
        assert error.code == "crypto.inconsistent"  # noqa: PT017 - either outcome is right
    else:
        assert got.matched.tolist() == ideal_match(receiver, sender)


@pytest.mark.parametrize("kind", [vole_psi.TableSeed, vole_psi.MaskedTable, vole_psi.ReceiverMask, dh_psi.SenderTags])
@pytest.mark.parametrize("place", [0, 5, 1601])
@pytest.mark.parametrize("malicious", [False, True])
def test_altered_tables_and_tags_give_no_false_match(kind: type[Message], place: int, malicious: bool) -> None:
    receiver, sender = sets(80, 90, 40)
    try:
        got, _ = Case(receiver, sender, malicious, tap=flip(kind, place)).run()
    except RemoteProtocolError:
        assert kind is dh_psi.SenderTags
        return
    assert set(got.matched.tolist()) <= set(ideal_match(receiver, sender))


@pytest.mark.parametrize("malicious", [False, True])
def test_altered_transfers_never_invent_a_match(malicious: bool) -> None:
    receiver, sender = sets(80, 90, 40)
    for kind in VOLE:
        try:
            got, _ = Case(receiver, sender, malicious, tap=flip(kind, 1234)).run()
        except PscError:
            continue
        assert set(got.matched.tolist()) <= set(ideal_match(receiver, sender))


@pytest.mark.parametrize("cut", [1, 16])
@pytest.mark.parametrize("malicious", [False, True])
def test_short_messages_are_refused(cut: int, malicious: bool) -> None:
    kinds = {vole_psi.VoleChoices, vole_psi.VoleExtension, vole_psi.VoleTrees, vole_psi.TableSeed, vole_psi.MaskedTable}
    for kind in kinds | (set(VOLE + MASKS) | {vole_psi.ReceiverMask} if malicious else set()):

        def tap(_: str, message: Message, kind: type[Message] = kind) -> Message:
            return replace(message, data=message.data[:-cut]) if type(message) is kind else message  # type: ignore[attr-defined,type-var]

        with pytest.raises(RemoteProtocolError):
            Case(*sets(5, 5, 5), malicious, tap=tap).run()


def test_what_malicious_mode_does_not_cover_is_refused() -> None:
    with pytest.raises(UsageError):
        vole_psi.Params(CONTEXT, 64, 64, None, True, 0, True)
    with pytest.raises(UsageError):
        vole_psi.Params(CONTEXT, 64, 64, dh_psi.RowShape(8, 1), False, 0, True)
    params = vole_psi.Params(CONTEXT, 2, 2)
    with pytest.raises(EncodingError):
        next(vole_psi.receiver(Items.from_list([b"a", b"b", b"c"]), params, Rng.system()))


def test_equal_items_are_refused() -> None:
    with pytest.raises(EncodingError):
        Case([b"a", b"a"], [b"b"], exact=True).run()


def test_transcripts_repeat_under_equal_seeds() -> None:
    def trace() -> list[Message]:
        seen: list[Message] = []

        def tap(who: str, message: Message) -> Message:
            seen.append(message)
            return message

        Case(*sets(70, 70, 20), malicious=True, tap=tap, seeds=(b"a", b"b")).run()
        return seen

    assert trace() == trace()


def test_ten_thousand_against_one_million() -> None:
    receiver = [b"%d" % number for number in range(0, 20_000, 2)]
    sender = [b"%d" % number for number in range(1_000_000)]
    got, other = Case([*receiver, b"x"], sender, both=True, tap=lambda _, message: message).run()
    assert np.array_equal(got.matched, np.arange(10_000))
    assert other.matched is not None
    assert np.array_equal(other.matched, np.arange(0, 20_000, 2))
