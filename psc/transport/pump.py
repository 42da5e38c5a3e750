"""The channel of an end that is elsewhere than its mailbox: threads push and pull frames while the script computes.

Each pushing thread owns a run of numbers until the listener holds them all, each pulling thread a range until it has it all;
so a call whose answer was lost is simply made again, and the listener recognises what it already has. Several calls are
in flight in each direction. While a session is open there is always a pull waiting at the listener, or a sign of life
when there is no room for more frames: long computing is not silence.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from typing import Protocol

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
)
from psc.session.channel import ChannelStats, frame_bytes, frame_digest
from psc.session.limits import Limits
from psc.transport.handler import where
from psc.transport.mailbox import Frame, Pulled
from psc.transport.patience import Interrupted, Patience

__all__ = ["PumpChannel", "SessionWire"]

_ABORT_TRIES = 3
_LAST_WORDS_SECONDS = 5.0
_IDLE_PAUSE_SECONDS = 0.01
"""Between calls that moved nothing, so that a listener that answers at once without waiting does not keep a core busy."""


class SessionWire(Protocol):
    """The calls of one session to its mailbox; each may raise ``Interrupted`` or a final ``PscError``."""

    def push(self, first: int, frames: Sequence[Frame], *, received: int, closing: bool) -> int:
        """As ``Mailbox.push``."""
        ...

    def pull(self, first: int, count: int, *, received: int) -> Pulled:
        """As ``Mailbox.pull``."""
        ...

    def abort(self, code: AbortCode) -> None:
        """As ``Mailbox.abort``."""
        ...


class PumpChannel:
    """See ``psc.session.channel.Channel``.

    Args:
        wire: the session's calls.
        limits: window, sizes, calls in flight, silence and reconnecting.
        name: of the session, for the threads' names.
    """

    def __init__(self, wire: SessionWire, limits: Limits, *, name: str = "session") -> None:
        self._wire, self._limits = wire, limits
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._patience = Patience(limits.reconnect_seconds, self._over)
        self._error: PscError | None = None
        self._closed = self._telling = False
        # Outgoing: numbers below _accepted are held by the listener, below _taken are a thread's, below _total were sent.
        self._queue: deque[bytes] = deque()
        self._accepted = self._taken = self._total = 0
        # Incoming: below _read were given to the script, below _whole arrived without a gap, below _asked are a thread's.
        self._arrived: dict[int, bytes] = {}
        self._read = self._whole = self._asked = self._told = 0
        self._peer_total: int | None = None
        self._last_sign = time.monotonic()
        self._bytes_sent = self._bytes_received = 0
        self._share = max(1, limits.window_frames // limits.calls_in_flight)
        for number in range(limits.calls_in_flight):
            for loop, kind in ((self._push_loop, "push"), (self._pull_loop, "pull")):
                thread = threading.Thread(target=self._worker, args=(loop,), name=f"psc-{kind}-{number}-{name}", daemon=True)
                thread.start()

    # -- the script's side ------------------------------------------------------------------------------------------------

    @property
    def stats(self) -> ChannelStats:
        """Return a snapshot of what was moved so far."""
        with self._changed:
            return ChannelStats(
                self._bytes_sent, self._bytes_received, self._accepted, self._read + len(self._arrived), self._patience.retries
            )

    def send(self, frame: bytes) -> None:
        """Give a frame to the channel; wait while the window is full."""
        if len(frame) > self._limits.frame_bytes:
            limit = self._limits.frame_bytes
            raise LocalProtocolError("transport.frame-too-large-here", bytes=len(frame), limit_bytes=limit)
        with self._changed:
            self._check()
            until = time.monotonic() + self._limits.frame_seconds
            while self._total - self._accepted >= self._limits.window_frames:
                if self._peer_total is not None:
                    raise ChannelClosedError("transport.peer-closed")
                self._wait(until)
            self._queue.append(frame_bytes(frame))
            self._total += 1
            self._changed.notify_all()

    def recv(self) -> bytes:
        """Return the next frame; wait for it."""
        with self._changed:
            self._check()
            until = time.monotonic() + self._limits.frame_seconds
            while True:
                payload = self._arrived.pop(self._read, None)
                if payload is not None:
                    self._read += 1
                    self._changed.notify_all()
                    return payload
                if self._peer_total is not None and self._read >= self._peer_total:
                    raise ChannelClosedError("transport.peer-closed")
                self._wait(until)

    def flush(self) -> None:
        """Wait until all that was sent is acknowledged."""
        with self._changed:
            self._check()
            until = time.monotonic() + self._limits.frame_seconds
            while self._accepted < self._total:
                self._wait(until)

    def abort(self, code: AbortCode) -> None:
        """End the session now on both ends; nothing when it ended before."""
        if self._closed:
            return
        error: PscError = ChannelClosedError("transport.aborted-here", abort_code=str(code))
        if code is AbortCode.CANCELLED:
            error = CancelledError("transport.cancelled")
        if self._end(error, telling=True):
            self._tell_abort(code)

    def close(self) -> None:
        """Send what is left, tell the other end that no more comes, and give up the channel."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            until = time.monotonic() + self._limits.peer_silence_seconds
            while self._error is None and self._accepted < self._total and time.monotonic() < until:
                self._changed.wait(until - time.monotonic())
            # Whoever closes may hang up next: what another thread is telling the other end must get out first.
            until = time.monotonic() + _LAST_WORDS_SECONDS
            while self._telling and time.monotonic() < until:
                self._changed.wait(until - time.monotonic())
            failed, left_over = self._error is not None, self._accepted < self._total
        try:
            if not failed and left_over:
                self._tell_abort(AbortCode.PEER_SILENT)
            elif not failed:
                self._say_closing()
        except (PscError, Interrupted):
            pass
        finally:
            with self._changed:
                self._over.set()
                self._queue.clear()
                self._arrived.clear()
                self._changed.notify_all()

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._error is not None:
            raise copy(self._error)
        if self._closed:
            raise LocalProtocolError("transport.closed-here")

    def _wait(self, until: float) -> None:
        left = until - time.monotonic()
        if left <= 0:
            raise DeadlineError("transport.no-frame", seconds=self._limits.frame_seconds)
        self._changed.wait(left)
        self._check()

    def _end(self, error: PscError, *, telling: bool = False) -> bool:
        """Keep the first reason that ended the session; return whether it is this one and the script has yet to learn it.

        Args:
            error: the reason.
            telling: when true is returned, the caller tells the other end, with ``_tell_abort``.
        """
        with self._changed:
            if self._error is not None:
                return False
            self._error = error
            self._over.set()
            self._queue.clear()
            self._arrived.clear()
            self._changed.notify_all()
            self._telling = telling and not self._closed
            return not self._closed

    def _tell_abort(self, code: AbortCode) -> None:
        try:
            for _ in range(_ABORT_TRIES):
                try:
                    self._wire.abort(code)
                except Interrupted:
                    time.sleep(0.1)
                except PscError:
                    return
                else:
                    return
        finally:
            with self._changed:
                self._telling = False
                self._changed.notify_all()

    def _say_closing(self) -> None:
        def say() -> int:
            return self._wire.push(self._total, (), received=self._whole, closing=True)

        if self._peer_total is not None:
            say()  # a listener that has closed too may already be gone, and nothing is lost then
        else:
            self._patience.call(say)

    def _worker(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except PscError as error:
            theirs = isinstance(error, RemoteProtocolError) and not isinstance(error, PeerAbortedError)
            if self._end(error, telling=theirs) and theirs:
                self._tell_abort(error.abort_code)
        except BaseException as error:  # noqa: BLE001 - a thread's last line of defence
            if self._end(LocalProtocolError("transport.thread-died", where=where(error)), telling=True):
                self._tell_abort(AbortCode.INTERNAL)

    def _push_loop(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    if self._over.is_set():
                        return
                    self._changed.wait()
                first = self._taken
                batch = [self._queue.popleft()]
                size = len(batch[0])
                while self._queue and len(batch) < self._share and size + len(self._queue[0]) <= self._limits.message_bytes:
                    size += len(self._queue[0])
                    batch.append(self._queue.popleft())
                self._taken += len(batch)
            self._deliver(first, [Frame(payload, frame_digest(payload)) for payload in batch])

    def _deliver(self, first: int, frames: list[Frame]) -> None:
        def push() -> tuple[int, int]:
            received = self._whole
            return self._wire.push(first, frames, received=received, closing=False), received

        while frames and not self._over.is_set():
            accepted, told = self._patience.call(push)
            with self._changed:
                if accepted > self._taken:
                    raise MalformedMessageError("transport.acknowledged-too-much", number=accepted)
                done = min(max(accepted - first, 0), len(frames))
                self._bytes_sent += sum(len(frame.payload) for frame in frames[:done])
                self._accepted = max(self._accepted, accepted)
                self._told = max(self._told, told)
                self._changed.notify_all()
            first, frames = first + done, frames[done:]
            if not done:
                self._over.wait(_IDLE_PAUSE_SECONDS)

    def _pull_loop(self) -> None:
        while True:
            with self._changed:
                count = self._claim()
                if count is None:
                    return
                first = self._asked
                self._asked += count
            self._fetch(first, count)

    def _claim(self) -> int | None:
        """Wait for room and return how many frames to ask for: 0 for a sign of life, ``None`` when there is no more to do."""
        pause = self._limits.peer_silence_seconds / 3
        while not self._over.is_set():
            due = self._told < self._whole or time.monotonic() - self._last_sign >= pause
            if self._peer_total is not None:
                return 0 if self._told < self._whole else None
            room = self._read + self._limits.window_frames - self._asked
            if room > 0:
                self._last_sign = time.monotonic()
                return min(room, self._share)
            if due:
                self._last_sign = time.monotonic()
                return 0
            self._changed.wait(max(pause - (time.monotonic() - self._last_sign), 0.01))
        return None

    def _fetch(self, first: int, count: int) -> None:
        def pull() -> tuple[Pulled, int]:
            received = self._whole
            return self._wire.pull(first, count, received=received), received

        while not self._over.is_set():
            pulled, told = self._patience.call(pull)
            self._check_pulled(pulled, first, count)
            with self._changed:
                self._told = max(self._told, told)
                self._last_sign = time.monotonic()
                for number, frame in enumerate(pulled.frames, first):
                    self._arrived[number] = frame.payload
                    self._bytes_received += len(frame.payload)
                while self._whole in self._arrived:
                    self._whole += 1
                if pulled.total is not None:
                    self._peer_total = pulled.total
                self._changed.notify_all()
            first, count = first + len(pulled.frames), count - len(pulled.frames)
            if count == 0 or pulled.total is not None:
                return
            if not pulled.frames:
                self._over.wait(_IDLE_PAUSE_SECONDS)

    def _check_pulled(self, pulled: Pulled, first: int, count: int) -> None:
        """Refuse what the listener may not answer.

        Raises:
            RemoteProtocolError: more frames than asked, a frame too large or not of its digest, an impossible end.
        """
        if len(pulled.frames) > count:
            raise MalformedMessageError("transport.frame-out-of-window", number=first + count)
        for frame in pulled.frames:
            if len(frame.payload) > self._limits.frame_bytes:
                limit = self._limits.frame_bytes
                raise LimitExceededError("transport.frame-too-large", bytes=len(frame.payload), limit_bytes=limit)
            if frame.digest != frame_digest(frame.payload):
                raise MalformedMessageError("transport.frame-digest")
        if pulled.total is not None:
            known = self._peer_total
            if pulled.frames or not self._whole <= pulled.total <= first or known not in (None, pulled.total):
                raise MalformedMessageError("transport.frame-after-close", number=pulled.total)
