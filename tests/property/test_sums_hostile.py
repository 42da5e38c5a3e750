"""``dh-sum`` against peers that break the rules: every malformed message is refused, and no refusal tells membership."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from psc.crypto import Items, PointBatch, Rng
from psc.crypto.rlwe import RLWE
from psc.crypto.sums import SumEngine
from psc.errors import RemoteProtocolError
from psc.protocols import dh_sum
from psc.protocols.base import Message
from psc.protocols.cells import CellCounts, GroupLabels
from psc.protocols.dh_psi import BlindedItems, RowEntries, SenderTags
from psc.protocols.dh_psi_count import MaskedItems, ReturnedTags
from psc.protocols.masked_sums import EncryptedValues, MaskedSums, SumKeys
from psc.protocols.released_sums import ReleasedSums
from psc.session.drive import run_pair
from psc.testing.ideal import ClearSums
from tests.sum_cases import CLEAR, labels_of, made_up, nothing, scripts, sums

BAD_ELEMENTS = {"identity": bytes(32), "not canonical": b"\xff" * 32, "negative": (1).to_bytes(32, "little")}
MATCHING = ["BlindedItems", "MaskedItems", "ReturnedTags"]
SUMMING = ["SumKeys", "EncryptedValues", "MaskedSums", "CellCounts", "ReleasedSums"]


def case(**changes: Any) -> Any:
    return made_up(60, 60, 40, **({"groups": (2, 2), "seed": 3} | changes))


@pytest.mark.parametrize("kind", BAD_ELEMENTS)
@pytest.mark.parametrize("position", [0, 63, 127])
@pytest.mark.parametrize("who", ["a", "b"])
def test_invalid_elements_are_refused_in_every_position(kind: str, position: int, who: str) -> None:
    def tap(by: str, message: Message) -> Message:
        if by != who or not isinstance(message, BlindedItems | MaskedItems):
            return message
        data = bytearray(message.points.data)
        data[32 * position : 32 * position + 32] = BAD_ELEMENTS[kind]
        return replace(message, points=PointBatch(bytes(data)))

    with pytest.raises(RemoteProtocolError) as caught:
        sums(case(), tap=tap)
    assert caught.value.code == "crypto.invalid-element"
    assert caught.value.fields["index"] == position


def _cut(message: Message, name: str, how: str) -> Message:
    value = getattr(message, name)
    data, step = (value.data, 32) if isinstance(value, PointBatch) else (value, 1)
    changed = {"short": data[:-step], "long": data + data[-step:], "empty": b""}[how]
    return replace(message, **{name: PointBatch(changed) if step == 32 else changed})  # type: ignore[type-var]


@pytest.mark.parametrize("how", ["short", "long", "empty"])
@pytest.mark.parametrize("target", MATCHING + SUMMING)
@pytest.mark.parametrize("engine", [ClearSums(max_cells=2), RLWE], ids=lambda e: e.id)
def test_messages_of_another_size_are_refused(how: str, target: str, engine: SumEngine) -> None:
    tried = []

    def tap_of(name: str) -> Callable[[str, Message], Message]:
        def tap(_: str, message: Message) -> Message:
            if type(message).__name__ != target:
                return message
            tried.append(name)
            return _cut(message, name, how)

        return tap

    kinds = {kind.__name__: kind for kind in (SumKeys, EncryptedValues, MaskedSums, CellCounts, ReleasedSums)}
    names = [f.name for f in fields(kinds[target])] if target in kinds else [{"ReturnedTags": "tags"}.get(target, "points")]
    for name in names:
        with pytest.raises(RemoteProtocolError):
            sums(case(), engine=engine, output="both", tap=tap_of(name))
    assert set(tried) == set(names)


@pytest.mark.parametrize("target", ["SumKeys", "EncryptedValues", "MaskedSums"])
@pytest.mark.parametrize("engine", [ClearSums(block=64, ciphertext_padding=4), RLWE], ids=lambda e: e.id)
def test_what_the_engine_refuses_ends_the_run(target: str, engine: SumEngine) -> None:
    def tap(_: str, message: Message) -> Message:
        if type(message).__name__ != target:
            return message
        name = fields(message)[0].name  # type: ignore[arg-type]
        return replace(message, **{name: b"\xff" * len(getattr(message, name))})  # type: ignore[type-var]

    with pytest.raises(RemoteProtocolError):
        sums(case(), engine=engine, tap=tap)


def test_another_kind_of_message_is_refused_at_every_step() -> None:
    seen: list[str] = []
    sums(case(), output="both", tap=lambda who, message: (seen.append(who), message)[1])
    assert len(seen) == 10
    for wrong in range(len(seen)):
        position = iter(range(100))

        def tap(_: str, message: Message, wrong: int = wrong, position: Any = position) -> Message:
            if next(position) != wrong:
                return message
            return SenderTags(b"") if wrong % 2 else RowEntries(b"")

        with pytest.raises(RemoteProtocolError) as caught:
            sums(case(), output="both", tap=tap)
        assert caught.value.code == "session.unexpected-message"


@pytest.mark.parametrize("labels", [(), (b"one",), (b"one", b"one"), (b"one", b"x" * 2049), (b"one", b"two", b"three")])
@pytest.mark.parametrize("who", ["a", "b"])
def test_malformed_names_are_refused(labels: tuple[bytes, ...], who: str) -> None:
    def tap(by: str, message: Message) -> Message:
        return GroupLabels(labels) if isinstance(message, GroupLabels) and by == who else message

    with pytest.raises(RemoteProtocolError):
        sums(case(), output="both", tap=tap)


def _counts(*numbers: int, withheld: int = 0) -> CellCounts:
    return CellCounts(bytes([withheld]), np.array(numbers, dtype="<i8").tobytes())


BAD_COUNTS = {
    "larger than the smaller block": _counts(65, 5, 5, 5),
    "larger together than all of the receiver's": _counts(64, 64, 64, 3),
    "negative": _counts(-1, 5, 5, 5),
    "beyond every bound": _counts(5, 5, 5, -(1 << 63)),
    "withheld and not zero": _counts(5, 5, 5, 5, withheld=8),
    "below the minimum of a group": _counts(2, 5, 5, 5),
    "below the minimum of the result": _counts(3, 3, 3, 3),
    "a mark beyond the end": _counts(0, 5, 5, 5, withheld=17),
    "no marks": CellCounts(b"", _counts(5, 5, 5, 5).counts),
    "marks too long": CellCounts(b"\0\0", _counts(5, 5, 5, 5).counts),
}


@pytest.mark.parametrize("what", BAD_COUNTS)
@pytest.mark.parametrize("output", ["responder", "both"])
def test_impossible_counts_are_refused(what: str, output: Any) -> None:
    def tap(_: str, message: Message) -> Message:
        return BAD_COUNTS[what] if isinstance(message, CellCounts) else message

    with pytest.raises(RemoteProtocolError):
        sums(case(), output=output, minimum_group=3, minimum_result=13, tap=tap)


def test_possible_lies_about_counts_are_a_lie_and_no_crash() -> None:
    def tap(_: str, message: Message) -> Message:
        return _counts(64, 0, 0, 3, withheld=6) if isinstance(message, CellCounts) else message

    _, told = sums(case(), output="responder", minimum_group=3, minimum_result=13, tap=tap)
    assert told is not None
    assert told.counts.tolist() == [[64, 0], [0, 3]]


def test_a_sum_of_more_bits_than_agreed_is_refused() -> None:
    def tap(_: str, message: Message) -> Message:
        if not isinstance(message, ReleasedSums):
            return message
        words = np.frombuffer(message.sums, dtype="<u8").copy()
        words[-1] |= np.uint64(1 << 40)
        return ReleasedSums(words.tobytes())

    with pytest.raises(RemoteProtocolError):
        sums(case(), tap=tap)


@pytest.mark.parametrize("kind", [BlindedItems, MaskedItems])
@pytest.mark.parametrize("common", [0, 40])
@pytest.mark.parametrize("places", [(0, 1), (0, 127)])
def test_an_element_that_comes_twice_is_refused_whether_it_is_common_or_not(
    kind: type[BlindedItems | MaskedItems], common: int, places: tuple[int, int]
) -> None:
    """In one block, or in two: the other side's answer does not depend on what it holds."""

    def tap(_: str, message: Message) -> Message:
        if not isinstance(message, kind):
            return message
        data = bytearray(message.points.data)
        one, other = (32 * place for place in places)
        data[other : other + 32] = data[one : one + 32]
        return replace(message, points=PointBatch(bytes(data)))

    with pytest.raises(RemoteProtocolError) as caught:
        sums(made_up(60, 60, common, (2, 2)), tap=tap)
    assert caught.value.fields["what"] == "an element came twice"


def test_any_answer_to_the_tags_is_an_answer() -> None:
    """A sender that returns made-up tags finds nothing out: no tag makes the receiver stop."""
    for tags in (b"\0", b"\xff"):

        def tap(_: str, message: Message, tags: bytes = tags) -> Message:
            return ReturnedTags(tags * len(message.tags)) if isinstance(message, ReturnedTags) else message

        mine, _ = sums(case(), tap=tap)
        assert not mine.counts.any()
        assert mine.sums is not None
        assert not mine.sums.any()


def test_both_sides_work_out_the_sections_from_the_parameters_alone() -> None:
    """Parties with other parameters never get as far as a result."""
    table = case()
    params = table.params()
    other = replace(params, engine=ClearSums(max_cells=1))
    mine, _ = scripts(table, params, [Rng.system(), Rng.system()])
    _, theirs = scripts(table, other, [Rng.system(), Rng.system()])
    with pytest.raises(RemoteProtocolError):
        run_pair(mine, theirs)


def test_a_planting_sender_reads_as_many_bits_as_a_sum_has() -> None:
    """The statement of what a sender can do when the output goes to it: values 1, 2, 4, … read membership off the sum."""
    table = made_up(30, 39, 17, statistics=1)
    chosen = table.sender[0]
    table.values = {item: [1 << at] for at, item in enumerate(chosen)}
    _, told = sums(table, output="responder")
    assert told is not None
    assert told.sums is not None
    read = [bool(int(told.sums[0, 0, 0]) >> at & 1) for at in range(39)]
    assert read == [item in set(table.receiver[0]) for item in chosen]
    assert "leakage.sum.planting" in dh_sum.LEAKAGE["responder"][1]
    assert sums(table, output="receiver")[1] is None  # the same values tell it nothing when only the receiver learns


def test_a_receiver_sees_only_its_own_bits_of_what_was_planted() -> None:
    """Values beyond the agreed bound wrap inside W bits: they falsify the result and do not reach beyond it."""
    table = made_up(30, 30, 10, statistics=1)
    table.values = {item: [1 << 40] for item in table.sender[0]}  # width is 40 bits
    mine, _ = run_pair(
        dh_sum.receiver([Items.from_list(table.receiver[0])], table.params(CLEAR), Rng.system(), nothing),
        dh_sum.sender(
            [Items.from_list(table.sender[0])], table.vectors(), labels_of("theirs", 1), table.params(CLEAR), Rng.system()
        ),
    )
    assert mine.sums is not None
    assert mine.sums.tolist() == [[[0]]]
