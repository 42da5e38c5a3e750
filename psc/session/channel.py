"""The port through which a party's driver reaches the other party: numbered frames, in order, exactly once.

A channel belongs to one session and one end of it. Whatever carries it (memory, gRPC dialled by either side, a relay) gives
the same promises, so a script cannot tell them apart:

* what ``send`` took is received by the other end once and in order, or the session ends on both ends with an error;
* ``send`` waits while the window is full, so a slow reader slows the writer and memory stays bounded;
* a frame is never altered unnoticed and a session never ends early unnoticed: the end of the other party is an error
  (``ChannelClosedError``) for whoever still waits for a frame.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from psc.errors import AbortCode

__all__ = ["MAX_FRAME_BYTES", "Channel", "ChannelStats", "FrameBytes", "frame_bytes", "frame_digest"]

MAX_FRAME_BYTES = 512 * 1024
"""The largest frame that any channel carries, in bytes."""


class FrameBytes(bytes):
    """The bytes of a frame, whose SHA-256 is computed when it is first asked for, and once.

    Both the transport, which tells a repeated frame from another one by it, and the transcript need it.
    """

    _digest: bytes | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the frame; 32 bytes."""
        if self._digest is None:  # no ``cached_property``: before Python 3.12 all frames of a process would share its lock
            self._digest = hashlib.sha256(self).digest()
        return self._digest


def frame_bytes(frame: bytes) -> FrameBytes:
    """Return a frame that cannot change any more and keeps its digest: the same one, when it is such a frame."""
    return frame if isinstance(frame, FrameBytes) else FrameBytes(frame)


def frame_digest(frame: bytes) -> bytes:
    """Return the SHA-256 of a frame."""
    return frame_bytes(frame).digest


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """What a channel has moved so far.

    Args:
        bytes_sent: frame bytes that the other end acknowledged; repeats of a broken connection count once.
        bytes_received: frame bytes received and verified.
        frames_sent: frames acknowledged by the other end.
        frames_received: frames received and verified.
        retries: calls that were made again because the connection broke.
    """

    bytes_sent: int = 0
    bytes_received: int = 0
    frames_sent: int = 0
    frames_received: int = 0
    retries: int = 0


@runtime_checkable
class Channel(Protocol):
    """One end of a session. ``send``, ``recv`` and ``flush`` belong to one thread; ``abort`` may come from any."""

    @property
    def stats(self) -> ChannelStats:
        """Return a snapshot of what was moved so far."""
        ...

    def send(self, frame: bytes) -> None:
        """Give a frame to the channel; wait while the window is full.

        Args:
            frame: 0 to ``MAX_FRAME_BYTES`` bytes.

        Raises:
            LocalProtocolError: the frame is too large, or the channel was closed here.
            ChannelClosedError: the other end is gone or has closed.
            PeerAbortedError: the other end aborted.
            DeadlineError: the other end made no room for ``frame_seconds``.
            CancelledError: the session was cancelled here.
        """
        ...

    def recv(self) -> bytes:
        """Return the next frame; wait for it.

        Raises:
            ChannelClosedError: the other end is gone, or has closed and sent nothing more.
            PeerAbortedError: the other end aborted; frames that had not been read are dropped.
            RemoteProtocolError: the other end broke the rules of the channel.
            DeadlineError: the other end is alive but sent no frame for ``frame_seconds``.
            CancelledError: the session was cancelled here.
        """
        ...

    def flush(self) -> None:
        """Wait until all that was sent is acknowledged: held by the other party's node, or by the relay between both.

        Raises:
            PscError: as ``send``.
        """
        ...

    def abort(self, code: AbortCode) -> None:
        """End the session now on both ends; the other end learns ``code`` and nothing else. The first one wins; never raises."""
        ...

    def close(self) -> None:
        """Send what is left, tell the other end that no more comes, and give up the channel.

        Never raises: who must know that the last frame arrived calls ``flush`` first.
        """
        ...
