"""One conformance suite for every protocol: the result is the ideal functionality's, whatever the sizes and schedules."""

from __future__ import annotations

import random
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psc.crypto import Items, PointBatch, Rng
from psc.errors import EncodingError, LocalProtocolError, PscError, RemoteProtocolError
from psc.protocols import dh_psi, dh_psi_count
from psc.protocols.base import CHUNK_ITEMS, Message, chunks, recv, send, tag_bytes
from psc.protocols.padding import padded_size
from psc.session.drive import run_pair
from psc.testing.ideal import ideal_count, ideal_match, ideal_rows
from tests.protocol_cases import count, match, sets, through_codec

SIZES = [
    (0, 0, 0),
    (0, 5, 0),
    (5, 0, 0),
    (1, 1, 1),
    (1, 1, 0),
    (64, 65, 64),
    (65, 64, 10),
    (300, 7, 7),
    (1, 500, 1),
    (100, 100, 100),
]


@pytest.mark.parametrize(("n", "m", "common"), SIZES)
@pytest.mark.parametrize("capacity", [1, None])
def test_match_is_ideal(n: int, m: int, common: int, capacity: int | None) -> None:
    receiver, sender = sets(n, m, common)
    got, other = match(receiver, sender, capacity=capacity)
    assert got.matched.tolist() == ideal_match(receiver, sender)
    assert got.rows is None
    assert other == dh_psi.SenderOutput(None)


@pytest.mark.parametrize(("n", "m", "common"), SIZES)
@pytest.mark.parametrize("capacity", [1, None])
def test_count_is_ideal(n: int, m: int, common: int, capacity: int | None) -> None:
    receiver, sender = sets(n, m, common)
    got, other = count(receiver, sender, capacity=capacity)
    assert got == dh_psi_count.Count(ideal_count(receiver, sender))
    assert other == dh_psi_count.Count(None)


@pytest.mark.parametrize(("n", "m"), [(CHUNK_ITEMS - 1, 3), (CHUNK_ITEMS, 3), (CHUNK_ITEMS + 1, 3), (3, CHUNK_ITEMS + 1)])
@pytest.mark.parametrize("run", [match, count])
def test_chunk_boundaries_at_capacity_one(n: int, m: int, run: object) -> None:
    receiver, sender = sets(n, m, 2)
    got, _ = run(receiver, sender, capacity=1)  # type: ignore[operator]
    if isinstance(got, dh_psi.Intersection):
        assert got.matched.tolist() == ideal_match(receiver, sender)
    else:
        assert got.common == 2


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_rows_are_ideal(data: st.DataObject) -> None:
    n, m = data.draw(st.integers(0, 40)), data.draw(st.integers(0, 40))
    common = data.draw(st.integers(0, min(n, m)))
    bound, width = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 20))
    receiver, sender = sets(n, m, common, data.draw(st.integers(0, 99)))
    rng = random.Random(data.draw(st.integers(0, 99)))
    table = {item: [rng.randbytes(width) for _ in range(rng.randint(1, 6))] for item in sender}
    got, other = match(receiver, sender, table=table, bound=bound, width=width, both=True)
    assert got.rows is not None
    rows = sorted(
        (int(i), int(c), got.rows.payloads[k * width : (k + 1) * width])
        for k, (i, c) in enumerate(zip(got.rows.items, got.rows.counters))
    )
    assert rows == sorted(ideal_rows(receiver, table, bound))
    assert other.matched is not None
    assert other.matched.tolist() == ideal_match(sender, receiver)


@pytest.mark.parametrize("minimum", [0, 3, 4])
def test_results_below_the_minimum_are_withheld_from_the_sender(minimum: int) -> None:
    receiver, sender = sets(10, 10, 3)
    got, other = match(receiver, sender, both=True, minimum=minimum)
    assert len(got.matched) == 3
    assert (other.matched is None) == (minimum == 4)
    counted, told = count(receiver, sender, both=True, minimum=minimum)
    assert counted.common == 3
    assert told.common == (None if minimum == 4 else 3)


def _trace(run: object, *args: object, **options: object) -> list[tuple[str, str, int]]:
    seen: list[tuple[str, str, int]] = []

    def tap(who: str, message: Message) -> Message:
        size = sum(len(getattr(v, "data", v)) if not isinstance(v, bool | int) else 0 for v in _values(message))
        seen.append((who, type(message).__name__, size))
        return through_codec(who, message)

    run(*args, tap=tap, **options)  # type: ignore[operator]
    return seen


def _values(message: Message) -> list[object]:
    return [getattr(message, field.name) for field in fields(message)]  # type: ignore[arg-type]


@pytest.mark.parametrize("run", [match, count])
def test_nothing_on_the_wire_has_a_size_that_depends_on_the_overlap_or_on_the_exact_sizes(run: object) -> None:
    traces = [_trace(run, *sets(n, m, c), both=True) for n, m, c in [(65, 67, 0), (66, 65, 65), (68, 66, 9)]]
    assert traces[0] == traces[1] == traces[2]


def test_multiplicities_change_nothing_on_the_wire() -> None:
    receiver, sender = sets(20, 20, 5)
    one = {item: [b"x" * 8] for item in sender}
    many = {item: [b"x" * 8] * 9 for item in sender}
    assert _trace(match, receiver, sender, table=one, bound=3) == _trace(match, receiver, sender, table=many, bound=3)


@pytest.mark.parametrize("run", [match, count])
def test_fresh_secrets_a_run_and_session_bound_elements(run: object) -> None:
    first: dict[int, list[bytes]] = {0: [], 1: []}
    for turn in (0, 1):

        def tap(who: str, message: Message, turn: int = turn) -> Message:
            first[turn].extend(v.data for v in _values(message) if isinstance(v, PointBatch))
            return message

        run(*sets(5, 5, 5), tap=tap)  # type: ignore[operator]
    assert first[0]
    assert not set(first[0]) & set(first[1])


def test_transcripts_are_reproducible_with_a_fixed_rng() -> None:
    receiver, sender = sets(9, 9, 4)
    seeds = (b"r" * 32, b"s" * 32)
    runs = []
    for _ in range(2):
        frames: list[Message] = []

        def tap(_: str, message: Message, frames: list[Message] = frames) -> Message:
            frames.append(message)
            return message

        match(receiver, sender, tap=tap, seeds=seeds)
        runs.append(frames)
    assert runs[0] == runs[1]


def test_a_set_larger_than_agreed_is_refused_before_anything_moves() -> None:
    params = dh_psi.Params(bytes(32), 64, 64)
    with pytest.raises(EncodingError):
        next(dh_psi.receiver(Items.from_list([b"%d" % i for i in range(65)]), params, Rng.system()))
    with pytest.raises(EncodingError):
        next(dh_psi.sender(Items.from_list([b"%d" % i for i in range(65)]), None, params, Rng.system()))


def test_a_wait_of_both_is_reported_not_hung() -> None:
    with pytest.raises(LocalProtocolError):
        run_pair(recv(dh_psi.SenderTags), recv(dh_psi.SenderTags))
    with pytest.raises(LocalProtocolError):
        run_pair(send(dh_psi.SenderTags(b"")), send(dh_psi.SenderTags(b"")))


def test_padded_sizes() -> None:
    for n in [0, 1, 63, 64, 65, 100, 1000, 1024, 1025, 10**5, 10**6, 2**20, 2**20 + 1]:
        size = padded_size(n)
        assert size >= n
        assert size <= max(64, n * 1.0626 + 1)
        assert padded_size(size) == size
    assert all(padded_size(n) <= padded_size(n + 1) for n in range(3000))


def test_tag_lengths() -> None:
    assert tag_bytes(2**40) == 10
    assert tag_bytes(1) == 5
    assert tag_bytes(2**20 * 2**20 + 1) == 11


# --- hostile peers -------------------------------------------------------------------------------------------------------

BAD_ELEMENTS = {
    "identity": bytes(32),
    "not canonical": b"\xff" * 32,
    "negative": (1).to_bytes(32, "little"),
    "not on the curve": (26).to_bytes(32, "little"),
}


def _points(message: Message) -> PointBatch | None:
    return getattr(message, "points", None)


@pytest.mark.parametrize("run", [match, count])
@pytest.mark.parametrize("kind", BAD_ELEMENTS)
@pytest.mark.parametrize("position", [0, 31, 63])
@pytest.mark.parametrize("who", ["a", "b"])
def test_invalid_elements_are_refused_in_every_position(run: object, kind: str, position: int, who: str) -> None:
    def tap(sent_by: str, message: Message) -> Message:
        points = _points(message)
        if sent_by != who or points is None:
            return message
        data = bytearray(points.data)
        data[32 * position : 32 * position + 32] = BAD_ELEMENTS[kind]
        return replace(message, points=PointBatch(bytes(data)))  # type: ignore[type-var]

    with pytest.raises(RemoteProtocolError) as caught:
        run(*sets(30, 30, 5), tap=tap)  # type: ignore[operator]
    assert caught.value.code == "crypto.invalid-element"
    assert caught.value.fields["index"] == position


def _cut(message: Message, how: str) -> Message:
    for name, value in zip([f.name for f in fields(message)], _values(message)):  # type: ignore[arg-type]
        data = value.data if isinstance(value, PointBatch) else value
        if isinstance(data, bytes) and data:
            step = 32 if isinstance(value, PointBatch) else 1
            changed = {"short": data[:-step], "long": data + data[-step:], "empty": b""}[how]
            return replace(message, **{name: PointBatch(changed) if step == 32 else changed})  # type: ignore[type-var]
    return message


@pytest.mark.parametrize("how", ["short", "long", "empty"])
@pytest.mark.parametrize("target", ["BlindedItems", "EvaluatedItems", "SenderTags", "RowEntries", "MatchedPositions"])
def test_messages_of_another_size_are_refused_in_match(how: str, target: str) -> None:
    def tap(_: str, message: Message) -> Message:
        return _cut(message, how) if type(message).__name__ == target else message

    receiver, sender = sets(30, 30, 5)
    with pytest.raises(RemoteProtocolError):
        match(receiver, sender, table={item: [b"x" * 8] for item in sender}, both=True, tap=tap)


@pytest.mark.parametrize("how", ["short", "long", "empty"])
@pytest.mark.parametrize("target", ["BlindedItems", "MaskedItems", "ReturnedTags"])
def test_messages_of_another_size_are_refused_in_count(how: str, target: str) -> None:
    def tap(_: str, message: Message) -> Message:
        return _cut(message, how) if type(message).__name__ == target else message

    with pytest.raises(RemoteProtocolError):
        count(*sets(30, 30, 5), both=True, tap=tap)


@pytest.mark.parametrize("run", [match, count])
def test_another_kind_of_message_is_refused_at_every_step(run: object) -> None:
    steps = len(_trace(run, *sets(5, 5, 2), both=True))
    for wrong in range(steps):
        position = iter(range(steps))

        def tap(_: str, message: Message, wrong: int = wrong, position: object = position) -> Message:
            if next(position) != wrong:  # type: ignore[call-overload]
                return message
            other = dh_psi.SenderTags(b"") if not isinstance(message, dh_psi.SenderTags) else dh_psi.RowEntries(b"")
            return other

        with pytest.raises(RemoteProtocolError):
            run(*sets(5, 5, 2), both=True, tap=tap)  # type: ignore[operator]


def test_lies_about_positions_and_counts_stay_within_the_own_set() -> None:
    receiver, sender = sets(30, 30, 5)

    def everything(_: str, message: Message) -> Message:
        if isinstance(message, dh_psi.MatchedPositions):
            return dh_psi.MatchedPositions(True, b"\xff" * len(message.bitmap))  # marks dummies too
        if isinstance(message, dh_psi_count.CommonCount):
            return dh_psi_count.CommonCount(True, 65)
        return message

    _, told = match(receiver, sender, both=True, tap=everything)
    assert told.matched is not None
    assert told.matched.tolist() == list(range(30))  # a lie, and nothing that tells how many dummies there were
    with pytest.raises(RemoteProtocolError):
        count(receiver, sender, both=True, tap=everything)


def test_an_element_that_comes_twice_is_refused_in_count() -> None:
    def twice(who: str, message: Message) -> Message:
        if who == "a" and isinstance(message, dh_psi.BlindedItems):
            return dh_psi.BlindedItems(PointBatch(message.points.data[:32] * len(message.points)))
        return message

    with pytest.raises(RemoteProtocolError):
        count(*sets(30, 30, 5), tap=twice)


def test_corrupt_rows_never_become_wrong_rows() -> None:
    receiver, sender = sets(30, 30, 30)
    table = {item: [b"x" * 8] for item in sender}
    for flipped in range(0, 64 * 34, 97):

        def tap(_: str, message: Message, flipped: int = flipped) -> Message:
            if isinstance(message, dh_psi.RowEntries) and flipped < len(message.entries):
                data = bytearray(message.entries)
                data[flipped] ^= 1
                return dh_psi.RowEntries(bytes(data))
            return message

        try:
            got, _ = match(receiver, sender, table=table, tap=tap)
        except PscError as error:
            assert error.code in {"session.message-malformed", "crypto.row-does-not-open", "crypto.not-sorted"}  # noqa: PT017
        else:  # a dummy was hit
            assert got.rows is not None
            assert got.rows.payloads == b"x" * 8 * 30


def test_chunks_cover_the_range() -> None:
    assert list(chunks(0)) == []
    assert list(chunks(5, 2)) == [(0, 2), (2, 4), (4, 5)]
