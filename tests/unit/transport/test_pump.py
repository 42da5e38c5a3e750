"""The pump over a wire that loses calls, loses answers and repeats: still exactly once and in order."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psc.errors import (
    AbortCode,
    CancelledError,
    ChannelClosedError,
    DeadlineError,
    LimitExceededError,
    LocalProtocolError,
    MalformedMessageError,
    PeerAbortedError,
)
from psc.session.channel import Channel, frame_digest
from psc.transport.mailbox import End, Frame, LocalChannel, Mailbox, Pulled, Turn
from psc.transport.patience import Interrupted, Patience
from psc.transport.pump import PumpChannel
from tests.net import QUICK, in_thread

LIMITS = replace(QUICK, frame_bytes=4096, message_bytes=8192, poll_seconds=0.2)


class Wire:
    """Calls of one end to a mailbox in this process, some of which fail before or after they took effect."""

    def __init__(self, box: Mailbox, end: End = End.OPENER, *, faults: float = 0.0, seed: int = 0) -> None:
        self.box, self.end, self.faults = box, end, faults
        self.random = random.Random(seed)
        self.down = threading.Event()
        self.pulls = 0

    def _fail(self) -> None:
        if self.down.is_set() or self.random.random() < self.faults:
            raise Interrupted("UNAVAILABLE")

    def push(self, first, frames, *, received, closing):
        self._fail()
        again = 2 if self.random.random() < self.faults else 1
        for _ in range(again):
            accepted = self.box.push(self.end, first, frames, Turn(0.2), received=received, closing=closing)
        self._fail()
        return accepted

    def pull(self, first, count, *, received):
        self.pulls += 1
        self._fail()
        pulled = self.box.pull(self.end, first, count, Turn(0.2), received=received)
        self._fail()
        return Pulled(tuple(Frame(held.payload, frame_digest(held.payload)) for held in pulled.frames), pulled.total)

    def abort(self, code):
        self._fail()
        self.box.abort(self.end, code)


def ends(limits=LIMITS, **faults) -> tuple[PumpChannel, LocalChannel, Wire]:
    box = Mailbox(limits)
    wire = Wire(box, **faults)
    return PumpChannel(wire, limits), LocalChannel(box, End.ANSWERER, linger_seconds=1.0), wire


def ping_pong(near: Channel, far: Channel, frames: list[bytes]) -> None:
    def answer() -> None:
        for _ in frames:
            far.send(far.recv()[::-1])
        far.flush()
        far.close()

    answering = in_thread(answer)

    def ask() -> None:
        for frame in frames:
            near.send(frame)
        near.flush()

    asking = in_thread(ask)
    assert [near.recv() for _ in frames] == [frame[::-1] for frame in frames]
    asking()
    near.close()
    answering()


def test_both_directions_move():
    near, far, _ = ends()
    frames = [random.Random(1).randbytes(size) for size in (0, 1, 4096, 17, 4096, 4096, 0, 3) * 8]
    ping_pong(near, far, frames)
    total = sum(map(len, frames))
    assert (near.stats.bytes_sent, near.stats.bytes_received) == (total, total)
    assert (near.stats.frames_sent, near.stats.frames_received) == (len(frames), len(frames))
    assert near.stats.retries == 0


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), calls=st.integers(1, 4), window=st.integers(1, 8), relay=st.booleans())
def test_exactly_once_over_a_wire_that_loses_calls_and_answers(seed, calls, window, relay):
    limits = replace(LIMITS, calls_in_flight=calls, window_frames=window, reconnect_seconds=20.0)
    box = Mailbox(limits)
    near = PumpChannel(Wire(box, faults=0.1, seed=seed), limits)
    far = (
        PumpChannel(Wire(box, End.ANSWERER, faults=0.1, seed=seed + 1), limits)
        if relay
        else LocalChannel(box, End.ANSWERER, linger_seconds=5.0)
    )
    ping_pong(near, far, [bytes([number]) * (number % 7) for number in range(20)])


def test_all_threads_end_after_close():
    before = set(threading.enumerate())
    near, far, _ = ends()
    ping_pong(near, far, [b"x"] * 4)
    until = time.monotonic() + 3.0
    while time.monotonic() < until and set(threading.enumerate()) - before:
        time.sleep(0.02)
    assert not {thread for thread in set(threading.enumerate()) - before if thread.name.startswith("psc-")}


def test_lost_connection_is_given_up_after_the_bound():
    near, _, wire = ends()
    wire.down.set()
    begun = time.monotonic()
    with pytest.raises(ChannelClosedError) as caught:
        near.recv()
    assert caught.value.code == "transport.connection-lost"
    assert 0.5 < time.monotonic() - begun < 5.0
    with pytest.raises(ChannelClosedError):
        near.send(b"x")
    near.close()


def test_connection_that_comes_back_is_used_again():
    near, far, wire = ends()
    wire.down.set()
    near.send(b"before")
    time.sleep(0.3)
    wire.down.clear()
    assert far.recv() == b"before"
    far.send(b"after")
    assert near.recv() == b"after"
    assert near.stats.retries > 0
    near.close()


def test_abort_here_reaches_the_other_end():
    near, far, _ = ends()
    reading = in_thread(near.recv)
    near.abort(AbortCode.CANCELLED)
    with pytest.raises(CancelledError):
        reading()
    with pytest.raises(PeerAbortedError) as caught:
        far.recv()
    assert caught.value.abort_code is AbortCode.CANCELLED
    near.close()


def test_abort_there_reaches_this_end():
    near, far, _ = ends()
    reading = in_thread(near.recv)
    far.abort(AbortCode.DATA_NOT_READY)
    with pytest.raises(PeerAbortedError) as caught:
        reading()
    assert caught.value.abort_code is AbortCode.DATA_NOT_READY
    near.close()


def test_peer_that_closes_early_is_an_error_for_the_reader():
    near, far, _ = ends()
    far.send(b"one")
    closing = in_thread(far.close)
    assert near.recv() == b"one"
    with pytest.raises(ChannelClosedError):
        near.recv()
    closing()
    near.close()


def test_long_computing_is_not_silence():
    """Without room for more frames there are still signs of life."""
    limits = replace(LIMITS, window_frames=2, peer_silence_seconds=0.6, poll_seconds=0.1)
    near, far, wire = ends(limits)
    for number in range(4):
        far.send(bytes([number]))
    time.sleep(0.3)
    before = wire.pulls
    time.sleep(1.0)
    assert wire.pulls > before
    assert [near.recv()[0] for _ in range(4)] == [0, 1, 2, 3]
    near.close()


def test_alive_peer_that_does_nothing_meets_a_deadline():
    near, far, _ = ends(replace(LIMITS, frame_seconds=0.2, window_frames=1))
    with pytest.raises(DeadlineError):
        near.recv()
    with pytest.raises(DeadlineError):
        far.recv()
    near.send(b"held by the listener")
    near.flush()
    near.send(b"waits for room there")
    with pytest.raises(DeadlineError):
        near.send(b"waits for room here")
    near.close()
    with pytest.raises(PeerAbortedError):
        far.recv()


def test_frame_over_the_limit_is_refused_here():
    near, far, _ = ends()
    for channel in (near, far):
        with pytest.raises(LocalProtocolError):
            channel.send(bytes(4097))
    near.close()
    with pytest.raises(LocalProtocolError):
        near.send(b"x")


NOTHING = Pulled()


class Hostile:
    """A listener that answers what it likes."""

    def __init__(self, pulled: Pulled = NOTHING, accepted: int | None = None) -> None:
        self.pulled, self.accepted = pulled, accepted
        self.aborts: list[AbortCode] = []

    def push(self, first, frames, *, received, closing):
        return first + len(frames) if self.accepted is None else self.accepted

    def pull(self, first, count, *, received):
        time.sleep(0.01)
        return self.pulled

    def abort(self, code):
        self.aborts.append(code)


def good(payload: bytes) -> Frame:
    return Frame(payload, frame_digest(payload))


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        (Hostile(Pulled((Frame(b"x", b"\0" * 32),))), MalformedMessageError),
        (Hostile(Pulled((Frame(b"x", None),))), MalformedMessageError),
        (Hostile(Pulled((good(bytes(4097)),))), LimitExceededError),
        (Hostile(Pulled((good(b"x"),) * 9)), MalformedMessageError),
        (Hostile(Pulled((), 2**63)), MalformedMessageError),
        (Hostile(Pulled((good(b"x"),), 1)), MalformedMessageError),
    ],
    ids=["wrong digest", "no digest", "oversize", "more than asked", "end far ahead", "frames after the end"],
)
def test_hostile_answers_end_the_session_with_our_error(wire, error):
    near = PumpChannel(wire, LIMITS)
    with pytest.raises(error):
        in_thread(lambda: [near.recv() for _ in range(1000)])()
    until = time.monotonic() + 2.0
    while not wire.aborts and time.monotonic() < until:
        time.sleep(0.01)
    assert wire.aborts[0] is error.abort_code
    near.close()


def test_listener_that_acknowledges_too_much_is_refused():
    near = PumpChannel(Hostile(accepted=7), LIMITS)
    near.send(b"x")
    with pytest.raises(MalformedMessageError):
        near.flush()
    near.close()


def test_listener_that_never_takes_a_frame_cannot_make_us_spin():
    wire = Hostile(accepted=0)
    near = PumpChannel(wire, replace(LIMITS, frame_seconds=0.3))
    near.send(b"x")
    with pytest.raises(DeadlineError):
        near.flush()
    near.abort(AbortCode.CANCELLED)


def test_patience_counts_from_the_first_failure_and_forgets_it_after_a_success():
    over = threading.Event()
    patience = Patience(0.3, over)
    answers = iter([Interrupted("a"), Interrupted("b"), None, Interrupted("c"), None])

    def make() -> str:
        answer = next(answers)
        if answer is not None:
            raise answer
        return "ok"

    assert patience.call(make) == "ok"
    time.sleep(0.4)
    assert patience.call(make) == "ok"
    assert patience.retries == 3
    over.set()

    def broken() -> str:
        raise Interrupted("d")

    with pytest.raises(ChannelClosedError):
        patience.call(broken)
