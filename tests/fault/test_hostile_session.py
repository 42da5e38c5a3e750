"""A hostile peer at the session layer, through the real server: every kind of message, harmed in every way, in both directions.

After each group of attacks the same server answers an honest run with the right result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from psc.errors import (
    AbortCode,
    AuthenticationError,
    ChannelClosedError,
    DeadlineError,
    DecryptionError,
    InvalidElementError,
    MalformedMessageError,
    PeerAbortedError,
    PscError,
    RemoteProtocolError,
    ReplayedError,
    UnexpectedMessageError,
)
from psc.node.runs import receipt_of
from psc.protocols import dh_psi, dh_psi_count
from psc.session.channel import Channel
from psc.session.codec import decode, encode
from tests.fault.meddling import BAD_ELEMENTS, HARMS, SENT, GoneAwayError, Harm, Meddler, Recorder, with_element
from tests.fault.parties import OPERATIONS, Outcome, Parties, intercept, parties

CASES = [
    (operation, side, kind)
    for (operation, side), kinds in SENT.items()
    for kind in kinds
    if operation != "aggregate-owner" or kind not in ("confirmation", "receipt_signature")  # the session's own; as elsewhere
]
IDS = ["-".join(case) for case in CASES]
WITH_POINTS = [case for case in CASES if case[2] in ("blinded_items", "evaluated_items", "masked_items")]
NOT_THE_LAST = [case for case in CASES if case[2] != "receipt_signature"]

_SIGNED = {"longer content", "shorter content", "no content", "huge content"}
"""Harms that leave a confirmation well-formed with a signature that cannot be right."""

_LATE = {
    "receipt_signature", "matched_positions", "common_count", "returned_tags", "cell_counts", "released_sums", "released_table",
}  # fmt: skip
"""Kinds of which the honest side may see a flaw (a second copy, a difference of the receipts) after it has sent its receipt."""

_LAST_SENT = {
    ("aggregate-owner", "initiator", "group_labels"),
    ("vole-malicious", "initiator", "receiver_mask"),
    ("vole-malicious", "responder", "sender_tags"),
}
"""Cases of which the same is true."""

_SAME_AGAIN = {"common_count", "group_labels", "cell_counts", "released_sums", "released_table"}
"""Kinds that say the same in two runs of one request: taken from another session they are the same message."""

_ERRORS: dict[AbortCode, tuple[type[PscError], ...]] = {
    AbortCode.MALFORMED_MESSAGE: (MalformedMessageError,),
    AbortCode.UNEXPECTED_MESSAGE: (UnexpectedMessageError,),
    AbortCode.INVALID_ELEMENT: (InvalidElementError,),
    AbortCode.NOT_AUTHENTICATED: (AuthenticationError,),
}


@pytest.fixture(scope="module")
def earlier(pair: Parties) -> dict[tuple[str, str], dict[str, list[bytes]]]:
    """The frames of an earlier run of each operation, by who sent them and by kind."""
    kept: dict[tuple[str, str], dict[str, list[bytes]]] = {case: {} for case in SENT}
    for operation in OPERATIONS:
        pair.handler.wrap = lambda channel, frames=kept[operation, "responder"]: Recorder(channel, frames)  # type: ignore[misc]
        outcome = pair.run(
            pair.request(operation),
            wrap=lambda channel, frames=kept[operation, "initiator"]: Recorder(channel, frames),  # type: ignore[misc]
        )
        pair.handler.wrap = None
        pair.check_right(outcome)
    for case, kinds in SENT.items():
        assert tuple(kept[case]) == kinds
    assert len(kept["match", "responder"]["row_entries"]) == 2
    return kept


def attack(pair: Parties, case: tuple[str, str, str], harm: Harm | None, **how: Any) -> tuple[Outcome, bool]:
    """Run an operation in which one side harms a frame; return the outcome and whether the harm took place."""
    operation, side, kind = case
    used: list[Meddler] = []

    def meddle(channel: Channel) -> Channel:
        used.append(Meddler(channel, kind, harm, **how))
        return used[-1]

    if side == "initiator":
        return pair.run(pair.request(operation), wrap=meddle), used[0].applied
    pair.handler.wrap = meddle
    try:
        return pair.run(pair.request(operation)), used[0].applied
    finally:
        pair.handler.wrap = None


def check_refused(pair: Parties, case: tuple[str, str, str], outcome: Outcome, code: AbortCode) -> PscError:
    """Assert that the victim ended with the right error, the other side was told, and nothing came out; return the error."""
    _, hostile, kind = case
    late = kind in _LATE or case in _LAST_SENT
    victim, other = (outcome.responder, outcome.initiator) if hostile == "initiator" else (outcome.initiator, outcome.responder)
    assert isinstance(victim, PscError)
    # When only the receipts show it, both sides see it at once, and the other's abort may overtake the own finding.
    overtaken = isinstance(victim, PeerAbortedError) and kind not in ("confirmation",)
    # A check of the protocol itself that fails (vole-psi) says so by a code of its own.
    inconsistent = code is AbortCode.MALFORMED_MESSAGE and victim.code == "crypto.inconsistent"
    assert isinstance(victim, _ERRORS[code]) or overtaken or inconsistent, repr(victim)
    assert victim.abort_code is code
    assert str(victim) != victim.code, "the error has no text"
    # Who harms its own last messages may have got the honest side's receipt before that side could see it.
    if not (late and other is None):
        found = isinstance(other, PscError) and other.code == "crypto.inconsistent"
        assert found or isinstance(other, PeerAbortedError | AuthenticationError | MalformedMessageError), repr(other)
        assert other.abort_code is code
        pair.check_nothing_came_out(outcome)
    check_victim(pair, hostile, outcome, victim)
    return victim


def check_victim(pair: Parties, hostile: str, outcome: Outcome, victim: PscError) -> None:
    """Assert that the honest side kept nothing of a run, recorded why, and that the server's log says so."""
    record = outcome.responder_record if hostile == "initiator" else outcome.initiator_record
    assert record is not None
    assert (record.status, record.code) == ("failed", victim.code)
    home = pair.courier.home if hostile == "initiator" else pair.merchant.home
    assert receipt_of(home, outcome.run_id) is None
    if hostile == "initiator":
        assert not list(pair.courier.home.results_folder.glob(f"{outcome.run_id}*"))
        events = [event for event in pair.log if event.get("run") == outcome.run_id]
        assert [event["event"] for event in events] == ["session.accepted", "session.failed"]
        assert events[-1]["code"] == victim.code
    else:
        assert outcome.result is None


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_malformed_message_ends_the_run_on_both_sides(pair: Parties, case: tuple[str, str, str]) -> None:
    operation, _, kind = case
    for name, harm in HARMS.items():
        if kind == "common_count" and name in ("longer content", "shorter content"):
            continue  # it holds numbers alone
        outcome, applied = attack(pair, case, harm)
        assert applied, name
        signed = kind == "confirmation" and name in _SIGNED
        check_refused(pair, case, outcome, AbortCode.NOT_AUTHENTICATED if signed else AbortCode.MALFORMED_MESSAGE)
    pair.check_honest(operation)


@pytest.mark.parametrize("case", WITH_POINTS, ids=["-".join(case) for case in WITH_POINTS])
@pytest.mark.parametrize("bad", BAD_ELEMENTS)
def test_an_invalid_element_is_refused_wherever_it_stands(pair: Parties, case: tuple[str, str, str], bad: str) -> None:
    size = 128 if case[0] == "aggregate" else 64  # two blocks there
    for place, index in (("first", 0), ("middle", size // 2), ("last", size - 1)):
        outcome, _ = attack(pair, case, with_element(BAD_ELEMENTS[bad], place))
        error = check_refused(pair, case, outcome, AbortCode.INVALID_ELEMENT)
        assert error.fields["index"] == index
        assert error.fields["reason"] == ("identity" if bad == "identity" else "not canonical")
    pair.check_honest(case[0])


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_another_kind_of_message_is_refused(
    pair: Parties, earlier: dict[tuple[str, str], dict[str, list[bytes]]], case: tuple[str, str, str]
) -> None:
    operation, _, kind = case
    known = OPERATIONS[:2] if operation in OPERATIONS[:2] else (operation,)
    of_these = [kept for (of, _), kept in earlier.items() if of in known]
    others = {name: frames[0] for kept in of_these for name, frames in kept.items() if name != kind}
    assert len(others) == {"match": 9, "count": 9, "aggregate": 10, "aggregate-owner": 7}[operation]
    for frame in list(others.values())[:: 1 if operation in OPERATIONS[:2] else 3]:
        outcome, _ = attack(pair, case, lambda _, frame=frame: [frame])  # type: ignore[misc]
        check_refused(pair, case, outcome, AbortCode.UNEXPECTED_MESSAGE)
    pair.check_honest(operation)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_repeated_message_is_refused(pair: Parties, case: tuple[str, str, str]) -> None:
    operation, hostile, kind = case
    outcome, _ = attack(pair, case, lambda frame: [frame, frame])
    if kind == "receipt_signature":  # nothing is read after it, so the second one reaches nobody
        if hostile == "responder":
            assert outcome.initiator is None
        else:
            assert outcome.responder is None
    elif (operation, kind) in (("match", "row_entries"), ("aggregate", "sum_keys")):
        # A piece of it stands where the next piece belongs, and has another size.
        check_refused(pair, case, outcome, AbortCode.MALFORMED_MESSAGE)
    else:
        check_refused(pair, case, outcome, AbortCode.UNEXPECTED_MESSAGE)
    pair.check_honest(operation)


@pytest.mark.parametrize(
    ("case", "code"),
    [
        (("match", "initiator", "matched_positions"), AbortCode.UNEXPECTED_MESSAGE),
        (("count", "initiator", "common_count"), AbortCode.UNEXPECTED_MESSAGE),
        (("match", "responder", "evaluated_items"), AbortCode.UNEXPECTED_MESSAGE),
        (("match", "responder", "sender_tags"), AbortCode.UNEXPECTED_MESSAGE),
        (("match", "responder", "row_entries"), AbortCode.MALFORMED_MESSAGE),
        (("count", "responder", "masked_items"), AbortCode.UNEXPECTED_MESSAGE),
        (("aggregate", "initiator", "masked_sums"), AbortCode.MALFORMED_MESSAGE),
        (("aggregate", "initiator", "group_labels"), AbortCode.UNEXPECTED_MESSAGE),
        (("aggregate", "responder", "returned_tags"), AbortCode.UNEXPECTED_MESSAGE),
        (("aggregate", "responder", "sum_keys"), AbortCode.MALFORMED_MESSAGE),
        (("aggregate", "responder", "encrypted_values"), AbortCode.MALFORMED_MESSAGE),
        (("aggregate", "responder", "released_sums"), AbortCode.UNEXPECTED_MESSAGE),
        (("aggregate-owner", "initiator", "sender_tags"), AbortCode.UNEXPECTED_MESSAGE),
        (("aggregate-owner", "initiator", "row_entries"), AbortCode.UNEXPECTED_MESSAGE),
        (("aggregate-owner", "responder", "group_labels"), AbortCode.UNEXPECTED_MESSAGE),
        (("aggregate-owner", "responder", "released_table"), AbortCode.UNEXPECTED_MESSAGE),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else str(value),
)
def test_messages_in_another_order_are_refused(pair: Parties, case: tuple[str, str, str], code: AbortCode) -> None:
    outcome, applied = attack(pair, case, None)
    assert applied
    check_refused(pair, case, outcome, code)
    pair.check_honest(case[0])


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_message_of_another_session_is_refused(
    pair: Parties, earlier: dict[tuple[str, str], dict[str, list[bytes]]], case: tuple[str, str, str]
) -> None:
    operation, side, kind = case
    for at, frame in enumerate(earlier[operation, side][kind]):
        outcome, applied = attack(pair, case, lambda _, frame=frame: [frame], at=at)  # type: ignore[misc]
        assert applied
        if kind in _SAME_AGAIN:
            pair.check_right(outcome)
        else:
            confirmation = kind == "confirmation"
            check_refused(pair, case, outcome, AbortCode.NOT_AUTHENTICATED if confirmation else AbortCode.MALFORMED_MESSAGE)
    pair.check_honest(operation)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_flipped_bit_never_passes(pair: Parties, case: tuple[str, str, str]) -> None:
    operation, hostile, kind = case
    size = len(attack_size(pair, case))
    places = {0, 1, 5, size // 2, size - 1} if operation in OPERATIONS[:2] else {5, size // 2, size - 1}
    for place in places & set(range(size)):

        def flip(frame: bytes, place: int = place) -> list[bytes]:
            harmed = bytearray(frame)
            harmed[place] ^= 0x04
            return [bytes(harmed)]

        outcome, _ = attack(pair, case, flip)
        victim = outcome.responder if hostile == "initiator" else outcome.initiator
        # A sealed row that was changed does not open; whether it is opened at all depends on whose row it is.
        noticed = (RemoteProtocolError, AuthenticationError, *([DecryptionError] if kind == "row_entries" else []))
        assert isinstance(victim, noticed), (place, victim)
        check_victim(pair, hostile, outcome, victim)
    pair.check_honest(operation)


def attack_size(pair: Parties, case: tuple[str, str, str]) -> bytes:
    """Return the frame of a kind as an honest run sends it."""
    frames: list[bytes] = []

    def keep(frame: bytes) -> list[bytes]:
        frames.append(frame)
        return [frame]

    outcome, _ = attack(pair, case, keep)
    pair.check_right(outcome)
    return frames[0]


# --- leaving ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_peer_that_leaves_early_gives_no_result(pair: Parties, case: tuple[str, str, str]) -> None:
    operation, hostile, _ = case
    outcome, _ = attack(pair, case, None, leave=lambda channel: channel.close())
    victim, gone = (outcome.responder, outcome.initiator) if hostile == "initiator" else (outcome.initiator, outcome.responder)
    assert isinstance(gone, GoneAwayError)
    assert isinstance(victim, ChannelClosedError)
    # A dialler may have a call under way while the listener's session goes: it is then told that there is none.
    told = {"transport.peer-closed"} if hostile == "initiator" else {"transport.peer-closed", "transport.session-unknown"}
    assert victim.code in told
    pair.check_nothing_came_out(outcome)
    check_victim(pair, hostile, outcome, victim)
    pair.check_honest(operation)


@pytest.mark.parametrize("code", list(AbortCode))
@pytest.mark.parametrize("hostile", ["initiator", "responder"])
def test_every_abort_code_has_its_error(pair: Parties, hostile: str, code: AbortCode) -> None:
    kind = SENT["match", hostile][2]
    outcome, _ = attack(pair, ("match", hostile, kind), None, leave=lambda channel: channel.abort(code))
    victim = outcome.responder if hostile == "initiator" else outcome.initiator
    assert isinstance(victim, PscError)
    assert victim.abort_code is code
    assert str(victim) != victim.code
    told = {
        AbortCode.REPLAYED: ReplayedError,
        AbortCode.NOT_AUTHENTICATED: AuthenticationError,
        AbortCode.PEER_SILENT: ChannelClosedError,
    }
    expected = PeerAbortedError if hostile == "initiator" else told.get(code, PeerAbortedError)
    assert isinstance(victim, expected)
    record = outcome.responder_record if hostile == "initiator" else outcome.initiator_record
    assert record is not None
    assert record.status == ("cancelled" if code is AbortCode.CANCELLED else "failed")
    assert record.code == victim.code
    pair.check_nothing_came_out(outcome)
    if code is AbortCode.INTERNAL:
        pair.check_honest()


@pytest.mark.parametrize("hostile", ["initiator", "responder"])
def test_a_peer_that_says_nothing_more_is_given_up(tmp_path: Path, hostile: str) -> None:
    with parties(tmp_path, limits={"frame_seconds": 2.0}) as pair:
        kind = {"initiator": "blinded_items", "responder": "confirmation"}[hostile]
        outcome, _ = attack(pair, ("match", hostile, kind), lambda _: [])  # the connection stays alive, the message never comes
        # Both wait for the other, and whoever loses patience first tells the other so.
        assert isinstance(outcome.initiator, DeadlineError | ChannelClosedError | PeerAbortedError)
        assert isinstance(outcome.responder, DeadlineError | ChannelClosedError | PeerAbortedError)
        assert {outcome.initiator.abort_code, outcome.responder.abort_code} == {AbortCode.PEER_SILENT}
        assert DeadlineError in (type(outcome.initiator), type(outcome.responder))
        pair.check_nothing_came_out(outcome)
        pair.check_honest()


def test_chunks_of_one_message_are_bound_to_their_order(tmp_path: Path) -> None:
    """Full chunks of one kind look alike: swapped or doubled on the way, only their number and the receipts tell."""
    with parties(tmp_path, rows=(42_000, 90)) as pair:
        for operation, side, kind in (("match", "initiator", "blinded_items"), ("match", "responder", "evaluated_items")):
            case = (operation, side, kind)
            swapped, applied = attack(pair, case, None)
            assert applied == (side == "initiator")  # the sender waits for the next chunk between two of its own
            doubled, _ = attack(pair, case, lambda frame: [frame, frame])
            for outcome in (swapped, doubled) if applied else (doubled,):
                for error in (outcome.initiator, outcome.responder):
                    assert isinstance(error, RemoteProtocolError)
                pair.check_nothing_came_out(outcome)


def test_the_codec_has_one_form_a_message() -> None:
    for message in (
        dh_psi.SenderTags(b"1234567"),
        dh_psi.MatchedPositions(True, b"\x01"),
        dh_psi_count.CommonCount(True, 5),
    ):
        frame = encode(message)
        assert decode(frame) == message
        for harmed in (frame + frame, frame[:1] + b"\x80" + frame[1:], frame + b"\x78\x01"):
            with pytest.raises(MalformedMessageError):
                decode(harmed)


def test_intercepting_changes_nothing_by_itself(pair: Parties) -> None:
    pair.check_right(pair.run(pair.match(), change=lambda plan: intercept(plan, lambda channel: channel)))
