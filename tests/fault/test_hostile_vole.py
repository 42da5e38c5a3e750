"""A hostile peer in a match by ``vole-psi``, through the real server: every kind of message, harmed in every way.

Both adversary models, in both directions. What leaves a message well-formed and says something else is caught by the checks
of the malicious model, or at last by the receipts; in either case nobody gets anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from psc.errors import (
    AbortCode,
    AuthenticationError,
    ChannelClosedError,
    DecryptionError,
    ParameterMismatchError,
    PeerAbortedError,
    PscError,
    RemoteProtocolError,
)
from psc.session.codec import decode, encode
from tests.fault.meddling import HARMS, SENT_VOLE, GoneAwayError, Recorder
from tests.fault.parties import Parties
from tests.fault.test_hostile_hello import ask, hello_of
from tests.fault.test_hostile_session import attack, check_refused, check_victim

Case = tuple[str, str, str]
Kept = dict[tuple[str, str], dict[str, list[bytes]]]

CASES: list[Case] = [
    (operation, side, kind)
    for (operation, side), kinds in SENT_VOLE.items()
    for kind in kinds
    if kind not in ("confirmation", "receipt_signature")  # the session's own, the same in every operation
]
IDS = ["-".join(case) for case in CASES]

_IN_CHUNKS = {"vole_extension", "row_entries"}
"""Kinds of two frames here: a second copy of the first stands where the next piece belongs, and has another size."""

_BACK_TO_BACK = [
    (("vole", "initiator", "vole_extension"), AbortCode.MALFORMED_MESSAGE),
    (("vole", "initiator", "table_seed"), AbortCode.UNEXPECTED_MESSAGE),
    (("vole", "responder", "sender_tags"), AbortCode.UNEXPECTED_MESSAGE),
    (("vole", "responder", "row_entries"), AbortCode.MALFORMED_MESSAGE),
    (("vole-malicious", "initiator", "table_seed"), AbortCode.UNEXPECTED_MESSAGE),
    (("vole-malicious", "initiator", "masked_table"), AbortCode.UNEXPECTED_MESSAGE),
    (("vole-malicious", "responder", "vole_answer"), AbortCode.UNEXPECTED_MESSAGE),
    (("vole-malicious", "responder", "mask_opening"), AbortCode.UNEXPECTED_MESSAGE),
]
"""Messages that their sender follows up without waiting, so that a relay could swap the two."""


@pytest.fixture(scope="module")
def earlier(pair: Parties) -> Kept:
    """The frames of an earlier run in each model, by who sent them and by kind."""
    kept: Kept = {case: {} for case in SENT_VOLE}
    for operation in ("vole", "vole-malicious"):
        pair.handler.wrap = lambda channel, frames=kept[operation, "responder"]: Recorder(channel, frames)
        outcome = pair.run(
            pair.request(operation), wrap=lambda channel, frames=kept[operation, "initiator"]: Recorder(channel, frames)
        )
        pair.handler.wrap = None
        pair.check_right(outcome)
    for case, kinds in SENT_VOLE.items():
        assert tuple(kept[case]) == kinds
        assert {kind for kind, frames in kept[case].items() if len(frames) == 2} == _IN_CHUNKS & set(kinds)
    return kept


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_malformed_message_ends_the_run_on_both_sides(pair: Parties, case: Case) -> None:
    for name, harm in HARMS.items():
        outcome, applied = attack(pair, case, harm)
        assert applied, name
        check_refused(pair, case, outcome, AbortCode.MALFORMED_MESSAGE)
    pair.check_honest(case[0])


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_another_kind_a_repetition_and_a_message_of_another_session_are_refused(pair: Parties, earlier: Kept, case: Case) -> None:
    operation, side, kind = case
    others = [frames[0] for (of, _), kept in earlier.items() if of == operation for name, frames in kept.items() if name != kind]
    for frame in (others[0], others[len(others) // 2]):
        outcome, _ = attack(pair, case, lambda _, frame=frame: [frame])
        check_refused(pair, case, outcome, AbortCode.UNEXPECTED_MESSAGE)

    outcome, _ = attack(pair, case, lambda frame: [frame, frame])
    check_refused(pair, case, outcome, AbortCode.MALFORMED_MESSAGE if kind in _IN_CHUNKS else AbortCode.UNEXPECTED_MESSAGE)

    for at, frame in enumerate(earlier[operation, side][kind]):
        outcome, applied = attack(pair, case, lambda _, frame=frame: [frame], at=at)
        assert applied
        check_refused(pair, case, outcome, AbortCode.MALFORMED_MESSAGE)
    pair.check_honest(operation)


@pytest.mark.parametrize(("case", "code"), _BACK_TO_BACK, ids=["-".join(case) for case, _ in _BACK_TO_BACK])
def test_messages_in_another_order_are_refused(pair: Parties, case: Case, code: AbortCode) -> None:
    outcome, applied = attack(pair, case, None)
    assert applied
    check_refused(pair, case, outcome, code)
    pair.check_honest(case[0])


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_flipped_bit_never_passes(pair: Parties, earlier: Kept, case: Case) -> None:
    operation, hostile, kind = case
    size = len(earlier[operation, hostile][kind][0])
    for place in (5, size - 1):

        def flip(frame: bytes, place: int = place) -> list[bytes]:
            return [frame[:place] + bytes([frame[place] ^ 0x04]) + frame[place + 1 :]]

        outcome, _ = attack(pair, case, flip)
        victim = outcome.responder if hostile == "initiator" else outcome.initiator
        # A sealed row that was changed does not open; whether it is opened at all depends on whose row it is.
        noticed = (RemoteProtocolError, AuthenticationError, *([DecryptionError] if kind == "row_entries" else []))
        assert isinstance(victim, noticed), (place, victim)
        check_victim(pair, hostile, outcome, victim)
    pair.check_honest(operation)


def zeros(data: bytes) -> bytes:
    return bytes(len(data))


def ones(data: bytes) -> bytes:
    return b"\xff" * len(data)


@pytest.mark.parametrize("said", [zeros, ones], ids=["zeros", "ones"])
@pytest.mark.parametrize("case", [case for case in CASES if case[2] != "matched_positions"])
def test_contents_of_nothing_give_nobody_anything(pair: Parties, case: Case, said: Callable[[bytes], bytes]) -> None:
    _, hostile, kind = case
    field = {"sender_tags": "tags", "row_entries": "entries"}.get(kind, "data")

    def say(frame: bytes) -> list[bytes]:
        message = decode(frame)
        return [encode(replace(message, **{field: said(getattr(message, field))}))]

    outcome, applied = attack(pair, case, say)
    assert applied
    victim = outcome.responder if hostile == "initiator" else outcome.initiator
    assert isinstance(victim, RemoteProtocolError | DecryptionError | PeerAbortedError), victim
    check_victim(pair, hostile, outcome, victim)
    pair.check_nothing_came_out(outcome)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_peer_that_leaves_early_gives_no_result(pair: Parties, case: Case) -> None:
    operation, hostile, _ = case
    outcome, _ = attack(pair, case, None, leave=lambda channel: channel.close())
    victim, gone = (outcome.responder, outcome.initiator) if hostile == "initiator" else (outcome.initiator, outcome.responder)
    assert isinstance(gone, GoneAwayError)
    assert isinstance(victim, ChannelClosedError)
    pair.check_nothing_came_out(outcome)
    check_victim(pair, hostile, outcome, victim)
    pair.check_honest(operation)


@pytest.mark.parametrize(
    ("kind", "side"),
    [
        ("vole_extension", "initiator"),
        ("vole_trees", "responder"),
        ("vole_answer", "responder"),
        ("mask_commitment", "responder"),
        ("mask_opening", "responder"),
    ],
)
def test_the_malicious_model_notices_before_any_result_depends_on_it(pair: Parties, earlier: Kept, kind: str, side: str) -> None:
    """A frame of another session is well-formed: the protocol's own check refuses it, long before the receipts are compared."""
    frame = earlier["vole-malicious", side][kind][0]
    case = ("vole-malicious", side, kind)
    outcome, _ = attack(pair, case, lambda _: [frame])
    victim = check_refused(pair, case, outcome, AbortCode.MALFORMED_MESSAGE)
    assert isinstance(victim, PscError)
    assert victim.code != "session.receipts-differ"
    assert not isinstance(victim, PeerAbortedError)


# --- openings --------------------------------------------------------------------------------------------------------------


def test_a_hello_whose_model_does_not_go_with_the_rest_is_refused(pair: Parties) -> None:
    for operation, changes in (
        ("vole", {"model": "malicious"}),  # with columns, to both
        ("vole", {"model": "malicious", "output_to": "receiver"}),
        ("vole", {"model": "malicious", "released": ()}),
        ("match", {"model": "malicious", "output_to": "receiver", "released": ()}),  # dh-psi has no such model
        ("count", {"model": "malicious", "output_to": "receiver"}),
    ):
        refused = ask(pair, hello_of(pair, operation, **changes))
        assert isinstance(refused, PeerAbortedError), (operation, changes, refused)
        assert refused.abort_code is AbortCode.MALFORMED_MESSAGE
    pair.check_honest("vole-malicious")


def test_a_hello_for_another_vole_psi_is_refused(pair: Parties) -> None:
    for changes in ({"protocol_version": 2}, {"suite": "GF(2^64)"}, {"operation": "count"}):
        refused = ask(pair, hello_of(pair, "vole", **changes))
        assert isinstance(refused, PeerAbortedError | ParameterMismatchError), (changes, refused)
        assert refused.abort_code in (AbortCode.PARAMETER_MISMATCH, AbortCode.MALFORMED_MESSAGE)
    pair.check_honest("vole")
