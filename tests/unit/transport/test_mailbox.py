"""The rules of the mailbox: numbers, digests, windows, acknowledgement, ends."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from psc.errors import (
    AbortCode,
    CancelledError,
    ChannelClosedError,
    LimitExceededError,
    MalformedMessageError,
    PeerAbortedError,
    PscError,
    ReplayedError,
)
from psc.session.channel import frame_digest
from psc.session.limits import Limits
from psc.transport.mailbox import End, Frame, LocalChannel, Mailbox, Turn
from tests.net import in_thread

LIMITS = replace(Limits(), window_frames=4, frame_bytes=64, message_bytes=128)
NOW = 0.0


def frame(payload: bytes) -> Frame:
    return Frame(payload, frame_digest(payload))


def push(box: Mailbox, first: int, *payloads: bytes, seconds: float = NOW, **more) -> int:
    return box.push(End.OPENER, first, [frame(payload) for payload in payloads], Turn(seconds), **more)


def pull(box: Mailbox, first: int, count: int = 4, *, seconds: float = NOW, received: int = 0):
    return box.pull(End.ANSWERER, first, count, Turn(seconds), received=received)


def payloads(pulled) -> list[bytes]:
    return [held.payload for held in pulled.frames]


def ended_as(box: Mailbox, end: End) -> PscError:
    with pytest.raises(PscError) as caught:
        box.pull(end, 0, 1, Turn(NOW))
    return caught.value


def test_frames_arrive_in_order_and_stay_until_acknowledged():
    box = Mailbox(LIMITS)
    assert push(box, 0, b"a", b"b") == 2
    assert payloads(pull(box, 0)) == [b"a", b"b"]
    assert payloads(pull(box, 0)) == [b"a", b"b"], "an unacknowledged frame is given again"
    assert payloads(pull(box, 1, received=1)) == [b"b"]
    assert pull(box, 2, received=2).frames == ()
    assert box.moved(End.OPENER) == (2, 2)


def test_repeated_frame_with_the_same_digest_is_acknowledged_once():
    box = Mailbox(LIMITS)
    assert push(box, 0, b"a", b"b") == 2
    assert push(box, 0, b"a", b"b") == 2
    assert push(box, 1, b"b", b"c") == 3
    assert payloads(pull(box, 0)) == [b"a", b"b", b"c"]
    assert pull(box, 3, received=3).frames == ()
    assert push(box, 0, b"a") == 3, "also after it was read"


def test_repeated_frame_with_another_digest_ends_the_session_on_both_ends():
    box = Mailbox(LIMITS)
    push(box, 0, b"a", b"b")
    with pytest.raises(ReplayedError) as caught:
        push(box, 1, b"B")
    assert caught.value.abort_code is AbortCode.REPLAYED
    assert isinstance(ended_as(box, End.ANSWERER), ReplayedError)
    assert ended_as(box, End.OPENER).abort_code is AbortCode.REPLAYED
    assert box.over


def test_repeat_older_than_what_is_remembered_is_refused():
    box = Mailbox(LIMITS)
    for number in range(64 * LIMITS.window_frames + 8):
        push(box, number, b"x")
        pull(box, number + 1, 0, received=number + 1)
    with pytest.raises(ReplayedError):
        push(box, 0, b"x")


@pytest.mark.parametrize(
    ("frames", "error", "code"),
    [
        ([Frame(b"a", b"\0" * 32)], MalformedMessageError, AbortCode.MALFORMED_MESSAGE),
        ([Frame(b"a", b"")], MalformedMessageError, AbortCode.MALFORMED_MESSAGE),
        ([frame(bytes(65))], LimitExceededError, AbortCode.LIMIT_EXCEEDED),
        ([frame(b"")] * 5, LimitExceededError, AbortCode.LIMIT_EXCEEDED),
    ],
    ids=["wrong digest", "no digest", "oversize frame", "more than a window"],
)
def test_bad_frames_end_the_session_on_both_ends(frames, error, code):
    box = Mailbox(LIMITS)
    with pytest.raises(error):
        box.push(End.OPENER, 0, frames, Turn(NOW))
    assert isinstance(ended_as(box, End.ANSWERER), error)
    told = ended_as(box, End.OPENER)
    assert isinstance(told, PeerAbortedError)
    assert told.abort_code is code


def test_gap_is_waited_for_and_not_taken():
    box = Mailbox(LIMITS)
    assert push(box, 2, b"c") == 0
    late = in_thread(lambda: push(box, 2, b"c", seconds=5.0))
    time.sleep(0.05)
    assert push(box, 0, b"a", b"b") == 2
    assert late() == 3
    assert payloads(pull(box, 0)) == [b"a", b"b", b"c"]


def test_number_far_ahead_ends_the_session():
    for act in (lambda box: push(box, 9, b"x"), lambda box: pull(box, 9), lambda box: pull(box, 2**63)):
        box = Mailbox(LIMITS)
        with pytest.raises(MalformedMessageError):
            act(box)
        assert box.over


def test_acknowledging_more_than_was_sent_ends_the_session():
    box = Mailbox(LIMITS)
    push(box, 0, b"a")
    with pytest.raises(MalformedMessageError):
        pull(box, 0, received=2)
    assert isinstance(ended_as(box, End.OPENER), MalformedMessageError)


def test_late_pull_of_what_was_acknowledged_does_no_harm():
    box = Mailbox(LIMITS)
    push(box, 0, b"a", b"b")
    pull(box, 2, received=2)
    assert pull(box, 0).frames == ()
    assert not box.over


def test_window_blocks_until_there_is_room():
    box = Mailbox(LIMITS)
    assert push(box, 0, b"0", b"1", b"2", b"3") == 4
    assert push(box, 4, b"4") == 4, "no room, and no time to wait"
    late = in_thread(lambda: push(box, 4, b"4", seconds=5.0))
    time.sleep(0.05)
    pull(box, 1, received=1)
    assert late() == 5


def test_pull_is_bounded_by_message_bytes_and_gives_one_frame_at_least():
    box = Mailbox(LIMITS)
    push(box, 0, bytes(64), bytes(64), bytes(64))
    assert len(pull(box, 0).frames) == 2
    assert len(Mailbox(LIMITS)._lanes[0].read(0, 4, 1)) == 0


def test_concurrent_repeats_of_one_call_put_each_frame_once():
    box = Mailbox(LIMITS)
    parts = [bytes([number]) for number in range(4)]
    waits = [in_thread(lambda: push(box, 0, *parts, seconds=2.0)) for _ in range(8)]
    assert [wait() for wait in waits] == [4] * 8
    assert payloads(pull(box, 0)) == parts


def test_newer_call_displaces_the_oldest_waiting_one():
    box = Mailbox(LIMITS)
    begun = time.monotonic()
    waits = []
    for _ in range(LIMITS.calls_in_flight + 1):
        waits.append(in_thread(lambda: pull(box, 0, seconds=5.0)))
        time.sleep(0.05)
    assert waits[0]().frames == ()
    assert time.monotonic() - begun < 2.0
    push(box, 0, b"a")
    assert payloads(waits[-1]()) == [b"a"]


def test_stopped_turn_returns_at_once():
    box = Mailbox(LIMITS)
    turn = Turn(5.0)
    late = in_thread(lambda: box.pull(End.ANSWERER, 0, 1, turn))
    time.sleep(0.05)
    box.stop(turn)
    assert late(1.0).frames == ()


def test_closing_is_idempotent_and_nothing_follows_it():
    box = Mailbox(LIMITS)
    assert push(box, 0, b"a", closing=True) == 1
    assert push(box, 0, b"a", closing=True) == 1
    assert push(box, 1, closing=True) == 1
    assert pull(box, 0).total is None, "first the frames"
    assert pull(box, 1, received=1).total == 1
    with pytest.raises(MalformedMessageError):
        push(box, 1, b"b")


def test_abort_reaches_the_other_end_and_the_first_one_stays():
    box = Mailbox(LIMITS)
    push(box, 0, b"a")
    box.abort(End.OPENER, AbortCode.CANCELLED)
    box.abort(End.ANSWERER, AbortCode.INTERNAL)
    other = ended_as(box, End.ANSWERER)
    assert isinstance(other, PeerAbortedError)
    assert other.abort_code is AbortCode.CANCELLED
    assert isinstance(ended_as(box, End.OPENER), CancelledError)


def test_errors_are_fresh_each_time():
    box = Mailbox(LIMITS)
    box.abort(End.OPENER, AbortCode.BUSY)
    assert ended_as(box, End.ANSWERER) is not ended_as(box, End.ANSWERER)


# -- the local channel ------------------------------------------------------------------------------------------------------


def pair(limits: Limits = LIMITS) -> tuple[LocalChannel, LocalChannel]:
    box = Mailbox(limits)
    return (LocalChannel(box, End.OPENER, linger_seconds=0.3), LocalChannel(box, End.ANSWERER, linger_seconds=0.3))


def test_local_abort_wakes_whoever_waits():
    here, there = pair()
    reading = in_thread(there.recv)
    time.sleep(0.05)
    here.abort(AbortCode.INVALID_ELEMENT)
    with pytest.raises(PeerAbortedError) as caught:
        reading()
    assert caught.value.abort_code is AbortCode.INVALID_ELEMENT
    with pytest.raises(ChannelClosedError):
        here.send(b"x")


def test_cancel_from_another_thread_raises_cancelled():
    here, there = pair()
    reading = in_thread(here.recv)
    time.sleep(0.05)
    here.abort(AbortCode.CANCELLED)
    with pytest.raises(CancelledError):
        reading()
    with pytest.raises(PeerAbortedError):
        there.send(b"x")


def test_reader_of_a_closed_channel_gets_what_was_sent_and_then_an_error():
    here, there = pair()
    here.send(b"last")
    closing = in_thread(here.close)
    assert there.recv() == b"last"
    closing()
    with pytest.raises(ChannelClosedError, match="partner"):
        there.recv()
    with pytest.raises(ChannelClosedError):
        there.send(b"x")


def test_flush_waits_for_the_reader():
    here, there = pair()
    here.send(b"x")
    flushing = in_thread(here.flush)
    time.sleep(0.05)
    assert there.recv() == b"x"
    flushing()


def test_slow_reader_blocks_the_writer_and_loses_nothing():
    here, there = pair()
    sent = threading.Event()

    def write() -> None:
        for number in range(20):
            here.send(bytes([number]))
        sent.set()

    writing = in_thread(write)
    time.sleep(0.1)
    assert not sent.is_set()
    assert there.stats.frames_received == 0
    assert [there.recv()[0] for _ in range(20)] == list(range(20))
    writing()
    assert here.stats.frames_sent == 20
    assert there.stats.bytes_received == 20


# -- a random walk: exactly once, in order, whatever is repeated --------------------------------------------------------------


class Walk(RuleBasedStateMachine):
    """Pushes and pulls of any repetition against a model: a list."""

    def __init__(self) -> None:
        super().__init__()
        self.box = Mailbox(LIMITS)
        self.sent: list[bytes] = []
        self.accepted = 0
        self.got: list[bytes] = []

    @rule(payload=st.binary(max_size=8))
    @precondition(lambda self: len(self.sent) - self.accepted < 4)
    def script_sends(self, payload):
        self.sent.append(payload)

    @rule(back=st.integers(0, 3), count=st.integers(0, 4))
    def push_some(self, back, count):
        first = max(self.accepted - back, 0)
        self.accepted = max(self.accepted, push(self.box, first, *self.sent[first : first + count]))

    @rule(ahead=st.integers(1, 4))
    def push_ahead(self, ahead):
        first = self.accepted + ahead
        if first <= len(self.sent):
            assert push(self.box, first, *self.sent[first:]) == self.accepted

    @rule(back=st.integers(0, 3), count=st.integers(0, 4), lost=st.booleans())
    def pull_some(self, back, count, lost):
        first = max(len(self.got) - back, 0)
        pulled = pull(self.box, first, count, received=len(self.got))
        if not lost:
            for number, held in enumerate(pulled.frames, first):
                if number == len(self.got):
                    self.got.append(held.payload)

    @invariant()
    def what_arrived_is_a_prefix_of_what_was_sent(self):
        assert self.got == self.sent[: len(self.got)]
        assert not self.box.over


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
