"""What only the messages of sums can get wrong: ciphertexts, keys, replies, names of groups, counts and tables.

Through the real server. All here is well-formed as a message and has the agreed size: the flaw is in what it says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from psc.crypto import PointBatch
from psc.errors import AbortCode
from psc.protocols.cells import LABEL_BYTES_MAX
from psc.session.codec import decode, encode
from tests.fault.meddling import Harm
from tests.fault.parties import MIN_GROUP, Parties
from tests.fault.test_hostile_session import attack, check_refused

SENT_LABELS = [
    ("aggregate", "initiator"),
    ("aggregate", "responder"),
    ("aggregate-owner", "initiator"),
    ("aggregate-owner", "responder"),
]


def said(change: Callable[[bytes], bytes], field: str) -> Harm:
    """Return a harm that changes the bytes of one field of a message."""

    def harm(frame: bytes) -> list[bytes]:
        message = decode(frame)
        return [encode(replace(message, **{field: change(getattr(message, field))}))]  # type: ignore[type-var]

    return harm


def filled(place: str) -> Callable[[bytes], bytes]:
    """Put a residue of 42 ones, which is above every prime of the ring, at a place of packed residues."""

    def change(data: bytes) -> bytes:
        at = {"first": 0, "middle": len(data) // 84 * 42, "last": len(data) - 6}[place]
        return data[:at] + b"\xff" * 6 + data[at + 6 :]

    return change


@dataclass(frozen=True)
class Flaw:
    """One flaw of one message, and a part of what the other side says of it; ``late``: only the receipts show it."""

    name: str
    case: tuple[str, str, str]
    harm: Harm
    noticed: str = ""
    at: int = 0
    late: bool = False


def ciphertexts() -> Iterator[Flaw]:
    for kind, side, field, last in (
        ("sum_keys", "responder", "material", 1),
        ("encrypted_values", "responder", "ciphertexts", 1),
        ("masked_sums", "initiator", "replies", 3),
    ):
        case = ("aggregate", side, kind)
        for place in ("first", "middle", "last"):
            at = last if place == "last" else 0
            yield Flaw(f"{kind} with a residue too large, {place}", case, said(filled(place), field), at=at)
    # Residues that are possible are decrypted to something; then the receipts show that the frame was changed.
    zeros = said(lambda data: bytes(len(data)), "replies")
    yield Flaw("a reply of nothing", ("aggregate", "initiator", "masked_sums"), zeros, late=True)
    zeros = said(lambda data: bytes(len(data)), "ciphertexts")
    yield Flaw("ciphertexts of nothing", ("aggregate", "responder", "encrypted_values"), zeros, late=True)


def named(*labels: object) -> Harm:
    """Return a harm that gives the groups other names: bytes as they are, anything else as canonical JSON."""

    def harm(frame: bytes) -> list[bytes]:
        raw = tuple(
            label
            if isinstance(label, bytes)
            else json.dumps(label, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
            for label in labels
        )
        return [encode(replace(decode(frame), labels=raw))]  # type: ignore[call-arg]

    return harm


NOT_A_NAME = "the name of a group is not what it should be"
BAD_NAMES: dict[str, tuple[Harm, str]] = {
    "not JSON": (named(b"east", ["west"]), NOT_A_NAME),
    "nothing": (named(b"", ["west"]), NOT_A_NAME),
    "not canonical": (named(b'[ "east"]', ["west"]), NOT_A_NAME),
    "escaped": (named(b'["\\u0065ast"]', ["west"]), NOT_A_NAME),
    "not UTF-8": (named(b'["\xff\xfe"]', ["west"]), NOT_A_NAME),
    "UTF-16": (named('["east"]'.encode("utf-16-le"), ["west"]), NOT_A_NAME),
    "half a character": (named(["\ud800"], ["west"]), NOT_A_NAME),
    "half a character, escaped": (named(b'["\\ud800"]', ["west"]), NOT_A_NAME),
    "terminal codes": (named(["\x1b[2J"], ["west"]), NOT_A_NAME),
    "escaped terminal codes": (named(b'["\\u001b[2J"]', ["west"]), NOT_A_NAME),
    "right to left": (named(["\u202etsae"], ["west"]), NOT_A_NAME),
    "two lines": (named(["east\u2028west"], ["west"]), NOT_A_NAME),
    "no list": (named("east", ["west"]), NOT_A_NAME),
    "an object": (named({"0": "east"}, ["west"]), NOT_A_NAME),
    "a number": (named([1], ["west"]), NOT_A_NAME),
    "null": (named([None], ["west"]), NOT_A_NAME),
    "deep": (named(b"[" * 1000, ["west"]), NOT_A_NAME),
    "a long number": (named(b"[" + b"9" * 1000 + b"]", ["west"]), NOT_A_NAME),
    "no column": (named([], ["west"]), NOT_A_NAME),
    "two columns": (named(["east", "north"], ["west", "south"]), NOT_A_NAME),
    "a long text": (named(["x" * 65], ["west"]), NOT_A_NAME),
    "too long": (named(b"x" * (LABEL_BYTES_MAX + 1), ["west"]), "too long"),
    "equal": (named(["west"], ["west"]), "one name"),
}


def names() -> Iterator[Flaw]:
    for side in SENT_LABELS:
        for name, (harm, noticed) in BAD_NAMES.items():
            yield Flaw(f"{'-'.join(side)}: {name}", (*side, "group_labels"), harm, noticed)


def words(change: Callable[[np.ndarray], object]) -> Callable[[bytes], bytes]:
    """Change 64-bit numbers in place."""

    def changed(data: bytes) -> bytes:
        numbers = np.frombuffer(data, dtype="<i8").copy()
        change(numbers)
        return numbers.tobytes()

    return changed


def put(at: int, number: int) -> Callable[[bytes], bytes]:
    return words(lambda numbers: numbers.__setitem__(at, number))


def tables() -> Iterator[Flaw]:
    counts = ("aggregate", "initiator", "cell_counts")
    yield Flaw("a count above the sets", counts, said(put(0, 65), "counts"), "larger than the sets")
    yield Flaw("a count below zero", counts, said(put(1, -1), "counts"), "larger than the sets")
    yield Flaw("a huge count", counts, said(put(2, 2**62), "counts"), "larger than the sets")
    yield Flaw("a count below the minimum", counts, said(put(3, MIN_GROUP - 1), "counts"), "below the minimum")
    yield Flaw("an empty cell shown", counts, said(put(3, 0), "counts"), "below the minimum")
    yield Flaw("a withheld cell with a count", counts, said(lambda _: b"\x01", "withheld"), "not zero")
    yield Flaw("marks beyond the cells", counts, said(lambda _: b"\x10", "withheld"), "beyond the end")
    sums = ("aggregate", "responder", "released_sums")
    yield Flaw("a sum of more bits", sums, said(put(0, 2**40), "sums"), "more bits")
    yield Flaw("a sum of all bits", sums, said(put(7, -1), "sums"), "more bits")
    table = ("aggregate-owner", "responder", "released_table")
    yield Flaw("marks beyond the table", table, said(lambda _: b"\x80", "withheld"), "beyond the end")
    yield Flaw("a withheld cell of the table", table, said(lambda _: b"\x02", "withheld"), "not zero")
    yield Flaw("sums of another number", table, said(lambda data: data[:-8], "sums"), "another size")
    yield Flaw("counts of another number", table, said(lambda data: data + bytes(8), "counts"), "another size")


def elements() -> Iterator[Flaw]:
    def repeated(frame: bytes) -> list[bytes]:
        message = decode(frame)
        points: PointBatch = message.points  # type: ignore[attr-defined]
        data = points.data[:-32] + points.data[:32]  # the first of one block stands in the other too
        return [encode(replace(message, points=PointBatch(data)))]  # type: ignore[type-var]

    for side, kind in (("initiator", "blinded_items"), ("responder", "masked_items")):
        yield Flaw(f"{kind} with an element twice", ("aggregate", side, kind), repeated, "came twice")


FLAWS = [*ciphertexts(), *names(), *tables(), *elements()]


@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: flaw.name)
def test_a_flaw_in_what_is_said_ends_the_run_on_both_sides(pair: Parties, flaw: Flaw) -> None:
    outcome, applied = attack(pair, flaw.case, flaw.harm, at=flaw.at)
    assert applied
    error = check_refused(pair, flaw.case, outcome, AbortCode.MALFORMED_MESSAGE)
    assert flaw.noticed in str(error.fields.get("what", "")), error
    # Both sides find that the receipts differ; the other's abort may come first.
    seen = {"session.receipts-differ", "transport.aborted-malformed-message"}
    assert (error.code in seen) == flaw.late, error.code
    for text in ("\x1b", "\u202e", "\ud800"):
        assert text not in str(error)


@pytest.mark.parametrize("operation", ["aggregate", "aggregate-owner"])
def test_the_server_serves_on(pair: Parties, operation: str) -> None:
    for flaw in FLAWS[::9]:
        attack(pair, flaw.case, flaw.harm, at=flaw.at)
    pair.check_honest(operation)
    pair.check_honest("match")
