"""A hostile peer in an aggregate by ``vole-sum``, through the real server: every kind of message, harmed in every way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from psc.errors import AbortCode, AuthenticationError, ChannelClosedError, RemoteProtocolError
from psc.session.codec import decode, encode
from tests.fault.meddling import HARMS, SENT_MATCHER, GoneAwayError, Harm, Recorder
from tests.fault.parties import MIN_GROUP, Parties
from tests.fault.test_hostile_session import attack, check_refused, check_victim

Case = tuple[str, str, str]
Kept = dict[tuple[str, str], dict[str, list[bytes]]]

OPERATION = "aggregate-matcher"
CASES: list[Case] = [
    (operation, side, kind)
    for (operation, side), kinds in SENT_MATCHER.items()
    for kind in kinds
    if kind not in ("confirmation", "receipt_signature")  # the session's own, the same in every operation
]
IDS = ["-".join(case[1:]) for case in CASES]


@pytest.fixture(scope="module")
def earlier(pair: Parties) -> Kept:
    """The frames of an earlier run, by who sent them and by kind."""
    kept: Kept = {case: {} for case in SENT_MATCHER}
    pair.handler.wrap = lambda channel: Recorder(channel, kept[OPERATION, "responder"])
    outcome = pair.run(pair.request(OPERATION), wrap=lambda channel: Recorder(channel, kept[OPERATION, "initiator"]))
    pair.handler.wrap = None
    pair.check_right(outcome)
    for case, kinds in SENT_MATCHER.items():
        assert tuple(kept[case]) == kinds
    return kept


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_malformed_message_ends_the_run_on_both_sides(pair: Parties, case: Case) -> None:
    for name, harm in HARMS.items():
        outcome, applied = attack(pair, case, harm)
        assert applied, name
        check_refused(pair, case, outcome, AbortCode.MALFORMED_MESSAGE)
    pair.check_honest(OPERATION)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_another_kind_of_message_is_refused(pair: Parties, earlier: Kept, case: Case) -> None:
    others = [frames[0] for kept in earlier.values() for name, frames in kept.items() if name != case[2]]
    for frame in others[::4]:
        outcome, _ = attack(pair, case, lambda _, frame=frame: [frame])
        check_refused(pair, case, outcome, AbortCode.UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_flipped_bit_never_passes(pair: Parties, earlier: Kept, case: Case) -> None:
    size = len(earlier[case[:2]][case[2]][0])
    for place in (5, size // 2, size - 1):

        def flip(frame: bytes, place: int = place) -> list[bytes]:
            return [frame[:place] + bytes([frame[place] ^ 0x04]) + frame[place + 1 :]]

        outcome, _ = attack(pair, case, flip)
        victim = outcome.responder if case[1] == "initiator" else outcome.initiator
        assert isinstance(victim, RemoteProtocolError | AuthenticationError), (place, victim)
        check_victim(pair, case[1], outcome, victim)
    pair.check_honest(OPERATION)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_peer_that_leaves_early_gives_no_result(pair: Parties, case: Case) -> None:
    outcome, _ = attack(pair, case, None, leave=lambda channel: channel.close())
    victim, gone = (outcome.responder, outcome.initiator) if case[1] == "initiator" else (outcome.initiator, outcome.responder)
    assert isinstance(gone, GoneAwayError)
    assert isinstance(victim, ChannelClosedError)
    pair.check_nothing_came_out(outcome)
    check_victim(pair, case[1], outcome, victim)


def numbers(field: str, at: int, number: int) -> Harm:
    """Return a harm that puts another 64-bit number."""

    def harm(frame: bytes) -> list[bytes]:
        message = decode(frame)
        words = np.frombuffer(getattr(message, field), dtype="<i8").copy()
        words[at] = number
        return [encode(replace(message, **{field: words.tobytes()}))]  # type: ignore[type-var]

    return harm


@pytest.mark.parametrize(
    ("case", "harm", "noticed"),
    [
        ((OPERATION, "initiator", "cell_counts"), numbers("counts", 0, 65), "larger than the sets"),
        ((OPERATION, "initiator", "cell_counts"), numbers("counts", 1, -1), "larger than the sets"),
        ((OPERATION, "initiator", "cell_counts"), numbers("counts", 2, MIN_GROUP - 1), "below the minimum"),
        ((OPERATION, "responder", "released_sums"), numbers("sums", 0, -1), "more bits"),
    ],
)
def test_numbers_that_cannot_be_are_refused(pair: Parties, case: Case, harm: Harm, noticed: str) -> None:
    outcome, applied = attack(pair, case, harm)
    assert applied
    error = check_refused(pair, case, outcome, AbortCode.MALFORMED_MESSAGE)
    assert noticed in str(error.fields["what"])
