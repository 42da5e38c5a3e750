"""Where the two ends of a session meet: two lanes of numbered frames, bounded, idempotent, acknowledged.

The listener holds one mailbox a session. An end is *here* (a script of this process, through ``LocalChannel``) or *elsewhere*
(its calls arrive as ``push`` and ``pull``); a relay is a mailbox with both ends elsewhere.

* Frames of a lane are numbered from 0. ``push`` names the first number, so a repeated call does no harm: a frame that is
  already held is acknowledged when its digest is the same, and ends the session when it is another (``ReplayedError``).
* A lane holds at most ``window_frames`` that the reader has not acknowledged; ``push`` waits for room, ``pull`` for frames.
* Whoever breaks the rules ends the session: the other end is told why, and so is the one that did it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from enum import IntEnum

from psc.errors import (
    AbortCode,
    CancelledError,
    ChannelClosedError,
    DeadlineError,
    LimitExceededError,
    LocalProtocolError,
    MalformedMessageError,
    PeerAbortedError,
    PscError,
    RemoteProtocolError,
    ReplayedError,
)
from psc.session.channel import ChannelStats, frame_bytes, frame_digest
from psc.session.limits import Limits
from psc.transport.aborts import peer_aborted

__all__ = ["End", "Frame", "LocalChannel", "Mailbox", "Pulled", "Turn"]


class End(IntEnum):
    """The two ends of a session: who opened it, and who answered."""

    OPENER = 0
    ANSWERER = 1

    @property
    def other(self) -> End:
        """Return the opposite end."""
        return End(1 - self)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it is held: its bytes and, when it came from elsewhere, its checked digest."""

    payload: bytes
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Pulled:
    """What ``pull`` returns: frames from the number asked, and the lane's length once it is closed and read to the end."""

    frames: tuple[Frame, ...] = ()
    total: int | None = None


class Turn:
    """The patience of one waiting call: until a deadline, or until it is displaced or given up.

    Args:
        seconds: how long it may wait; ``None`` is for ever.
    """

    __slots__ = ("_until", "stopped")

    def __init__(self, seconds: float | None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds
        self.stopped = False

    def left(self) -> float | None:
        """Return the seconds left, 0 when the call must return; ``None`` when it has no deadline."""
        if self.stopped:
            return 0.0
        return None if self._until is None else max(self._until - time.monotonic(), 0.0)


class _Lane:
    """One direction. Not thread-safe: the mailbox holds the lock."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.held: deque[Frame] = deque()
        self.first = 0
        self.closed = False
        self.bytes = 0
        # Far more than can be in flight, so that a call that the network delivered late is still recognised.
        self._digests: deque[bytes] = deque(maxlen=64 * window)

    @property
    def next(self) -> int:
        return self.first + len(self.held)

    def room(self) -> bool:
        return len(self.held) < self.window

    def put(self, frame: Frame) -> None:
        self.held.append(frame)
        self.bytes += len(frame.payload)
        if frame.digest is not None:
            self._digests.append(frame.digest)

    def check_repeat(self, number: int, digest: bytes) -> None:
        back = self.next - number
        if back > len(self._digests) or self._digests[-back] != digest:
            raise ReplayedError("transport.frame-replayed", number=number)

    def drop(self, received: int) -> None:
        if received > self.next:
            raise MalformedMessageError("transport.acknowledged-too-much", number=received)
        while self.first < received:
            self.held.popleft()
            self.first += 1

    def read(self, first: int, count: int, most_bytes: int) -> tuple[Frame, ...]:
        taken: list[Frame] = []
        size = 0
        for position in range(first - self.first, min(first - self.first + count, len(self.held))):
            size += len(self.held[position].payload)
            if taken and size > most_bytes:
                break
            taken.append(self.held[position])
        return tuple(taken)


class Mailbox:
    """A session's frames between its two ends; every method may be called from any thread.

    Args:
        limits: window, frame and message sizes, calls in flight.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._changed = threading.Condition()
        self._lanes = (_Lane(limits.window_frames), _Lane(limits.window_frames))
        self._ended: tuple[PscError, PscError] | None = None
        self._turns: dict[tuple[str, End], list[Turn]] = {(kind, end): [] for kind in ("push", "pull") for end in End}

    # -- ends that are elsewhere ------------------------------------------------------------------------------------------

    def push(self, end: End, first: int, frames: Sequence[Frame], turn: Turn, *, received: int = 0, closing: bool = False) -> int:
        """Take numbered frames of an end; wait for room.

        Args:
            end: who sends.
            first: number of ``frames[0]``.
            frames: with their digests.
            turn: how long to wait for room, or for frames of a concurrent call that come before these.
            received: how many frames of the other direction this end holds without a gap.
            closing: no frame follows these.

        Returns:
            How many frames of this direction are held or were delivered without a gap; may be less than was pushed.

        Raises:
            RemoteProtocolError: the end broke a rule; the session is over.
            PscError: the session had ended, as this end sees it.
        """
        with self._guard(end), self._waiting("push", end, turn):
            self._check_frames(frames)
            with self._changed:
                self._acknowledge(end, received)
                return self._take(end, first, frames, turn, closing)

    def pull(self, end: End, first: int, count: int, turn: Turn, *, received: int = 0) -> Pulled:
        """Return frames of the other end from a number on; wait for one.

        Args:
            end: who reads.
            first: number of the first frame wanted.
            count: how many frames are wanted at most; 0 returns at once.
            turn: how long to wait.
            received: how many frames this end holds without a gap; they are dropped here.

        Raises:
            RemoteProtocolError: the end broke a rule; the session is over.
            PscError: the session had ended, as this end sees it.
        """
        with self._guard(end), self._waiting("pull", end, turn), self._changed:
            self._acknowledge(end, received)
            lane = self._lanes[end.other]
            while True:
                self._check(end)
                if self._lanes[end].closed:
                    return Pulled((), lane.next if lane.closed else None)
                if first > lane.first + 2 * lane.window:
                    raise MalformedMessageError("transport.frame-out-of-window", number=first)
                if first < lane.first:
                    return Pulled()  # a call that the network delivered late; whoever made it has the frames and moved on
                frames = lane.read(first, count, self.limits.message_bytes)
                if frames:
                    return Pulled(frames)
                if lane.closed and first >= lane.next:
                    return Pulled((), lane.next)
                left = turn.left()
                if count == 0 or left == 0.0:
                    return Pulled()
                self._changed.wait(left)

    # -- both kinds of end ------------------------------------------------------------------------------------------------

    def abort(self, end: End, code: AbortCode) -> None:
        """End the session on behalf of an end; the first reason stays."""
        mine: PscError
        if code is AbortCode.CANCELLED:
            mine = CancelledError("transport.cancelled")
        else:
            mine = ChannelClosedError("transport.aborted-here", abort_code=str(code))
        self.end({end: mine, end.other: peer_aborted(code)})

    def end(self, errors: dict[End, PscError]) -> None:
        """End the session with the error that each end sees; the first reason stays."""
        with self._changed:
            if self._ended is None:
                self._ended = (errors[End.OPENER], errors[End.ANSWERER])
                for lane in self._lanes:
                    lane.held.clear()
            self._changed.notify_all()

    def drained(self, end: End, turn: Turn) -> bool:
        """Wait until the other end acknowledged every frame of ``end``; return whether it did in time."""
        lane = self._lanes[end]
        with self._changed:
            while lane.held:
                self._check(end)
                left = turn.left()
                if left == 0.0:
                    return False
                self._refuse_when_unread(end)
                self._changed.wait(left)
            self._check(end)
            return True

    def stop(self, turn: Turn) -> None:
        """Make a waiting call return with what it has."""
        with self._changed:
            turn.stopped = True
            self._changed.notify_all()

    @property
    def over(self) -> bool:
        """Return whether nothing more can happen: both ends closed, so neither reads any more, or the session was ended."""
        with self._changed:
            return self._ended is not None or all(lane.closed for lane in self._lanes)

    def moved(self, end: End) -> tuple[int, int]:
        """Return the frames and bytes that an end has given so far."""
        with self._changed:
            return self._lanes[end].next, self._lanes[end].bytes

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _check_frames(self, frames: Sequence[Frame]) -> None:
        limits = self.limits
        if len(frames) > limits.window_frames:
            raise LimitExceededError("transport.window-overrun", count=len(frames), limit=limits.window_frames)
        for frame in frames:
            if len(frame.payload) > limits.frame_bytes:
                raise LimitExceededError("transport.frame-too-large", bytes=len(frame.payload), limit_bytes=limits.frame_bytes)
            if frame.digest is not None and frame.digest != frame_digest(frame.payload):
                raise MalformedMessageError("transport.frame-digest")

    def _take(self, end: End, first: int, frames: Sequence[Frame], turn: Turn, closing: bool) -> int:
        lane = self._lanes[end]
        if first > lane.first + 2 * lane.window:
            raise MalformedMessageError("transport.frame-out-of-window", number=first)
        if not self._wait(end, turn, lambda: lane.next >= first):
            return lane.next
        for number, frame in enumerate(frames, first):
            if number >= lane.next and not self._wait(end, turn, lambda: lane.room() or number < lane.next):  # noqa: B023
                return lane.next
            if number < lane.next:
                lane.check_repeat(number, frame.digest or b"")
                continue
            if lane.closed:
                raise MalformedMessageError("transport.frame-after-close", number=number)
            self._refuse_when_unread(end)
            lane.put(frame)
            self._changed.notify_all()
        if closing:
            if first + len(frames) != lane.next:
                raise MalformedMessageError("transport.frame-after-close", number=lane.next)
            lane.closed = True
            self._changed.notify_all()
        return lane.next

    def _wait(self, end: End, turn: Turn, ready: Callable[[], bool]) -> bool:
        while True:
            self._check(end)
            if ready():
                return True
            left = turn.left()
            if left == 0.0:
                return False
            self._refuse_when_unread(end)
            self._changed.wait(left)

    def _refuse_when_unread(self, end: End) -> None:
        if self._lanes[end.other].closed:
            raise ChannelClosedError("transport.peer-closed")

    def _acknowledge(self, end: End, received: int) -> None:
        self._check(end)
        lane = self._lanes[end.other]
        if received > lane.first:
            lane.drop(received)
            self._changed.notify_all()

    def _check(self, end: End) -> None:
        if self._ended is not None:
            raise copy(self._ended[end])

    def _guard(self, end: End) -> _Guard:
        return _Guard(self, end)

    def _waiting(self, kind: str, end: End, turn: Turn) -> _Waiting:
        return _Waiting(self, self._turns[kind, end], turn)


class _Guard:
    """Ends the session when the end inside breaks a rule, so that the other end learns it too."""

    __slots__ = ("_end", "_mailbox")

    def __init__(self, mailbox: Mailbox, end: End) -> None:
        self._mailbox, self._end = mailbox, end

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RemoteProtocolError) and not isinstance(error, PeerAbortedError):
            told = peer_aborted(error.abort_code)
            self._mailbox.end({self._end: told, self._end.other: copy(error)})


class _Waiting:
    """Bounds the calls of one end that wait at once: a newer call displaces the oldest, which returns with what it has."""

    __slots__ = ("_mailbox", "_turn", "_turns")

    def __init__(self, mailbox: Mailbox, turns: list[Turn], turn: Turn) -> None:
        self._mailbox, self._turns, self._turn = mailbox, turns, turn

    def __enter__(self) -> None:
        with self._mailbox._changed:
            self._turns.append(self._turn)
            if len(self._turns) > self._mailbox.limits.calls_in_flight:
                self._turns[0].stopped = True
                self._mailbox._changed.notify_all()

    def __exit__(self, *error: object) -> None:
        with self._mailbox._changed:
            self._turns.remove(self._turn)


class LocalChannel:
    """The channel of an end that is a script of this process; see ``psc.session.channel.Channel``.

    Args:
        mailbox: of the session.
        end: which end this is.
        linger_seconds: how long ``close`` waits for the other end to take what is left.
    """

    def __init__(self, mailbox: Mailbox, end: End, *, linger_seconds: float) -> None:
        self._mailbox, self._end, self._linger = mailbox, end, linger_seconds
        self._sent = self._received = self._bytes_received = 0
        self._closed = False

    @property
    def stats(self) -> ChannelStats:
        """Return a snapshot of what was moved so far."""
        frames, size = self._mailbox.moved(self._end)
        return ChannelStats(size, self._bytes_received, frames, self._received)

    def send(self, frame: bytes) -> None:
        """Give a frame to the channel; wait while the window is full."""
        limit = self._mailbox.limits.frame_bytes
        if len(frame) > limit:
            raise LocalProtocolError("transport.frame-too-large-here", bytes=len(frame), limit_bytes=limit)
        if self._closed:
            raise LocalProtocolError("transport.closed-here")
        turn = self._turn()
        held = (Frame(frame_bytes(frame)),)
        while (accepted := self._mailbox.push(self._end, self._sent, held, turn)) == self._sent:
            self._check_deadline(turn)
        self._sent = accepted

    def recv(self) -> bytes:
        """Return the next frame; wait for it."""
        if self._closed:
            raise LocalProtocolError("transport.closed-here")
        turn = self._turn()
        while not (pulled := self._mailbox.pull(self._end, self._received, 1, turn, received=self._received)).frames:
            if pulled.total is not None:
                raise ChannelClosedError("transport.peer-closed")
            self._check_deadline(turn)
        payload = pulled.frames[0].payload
        self._received += 1
        self._bytes_received += len(payload)
        # The room is the sender's again at once, not when the script next reads.
        self._mailbox.pull(self._end, self._received, 0, Turn(0), received=self._received)
        return payload

    def flush(self) -> None:
        """Wait until all that was sent is acknowledged."""
        turn = self._turn()
        while not self._mailbox.drained(self._end, turn):
            self._check_deadline(turn)

    def abort(self, code: AbortCode) -> None:
        """End the session now on both ends; nothing when it was closed here before."""
        if not self._closed:
            self._mailbox.abort(self._end, code)

    def _turn(self) -> Turn:
        return Turn(self._mailbox.limits.frame_seconds)

    def _check_deadline(self, turn: Turn) -> None:
        if turn.left() == 0.0:
            raise DeadlineError("transport.no-frame", seconds=self._mailbox.limits.frame_seconds)

    def close(self) -> None:
        """Send what is left, tell the other end that no more comes, and give up the channel."""
        if self._closed:
            return
        self._closed = True
        try:
            self._mailbox.push(self._end, self._sent, (), Turn(0), received=self._received, closing=True)
            self._mailbox.drained(self._end, Turn(self._linger))
        except PscError:
            return
