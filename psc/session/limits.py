"""Every bound that a session keeps, in one frozen value with defaults that fit common gateways."""

from __future__ import annotations

from dataclasses import dataclass, fields

from psc.errors import UsageError
from psc.session.channel import MAX_FRAME_BYTES

__all__ = ["MAX_CALL_SECONDS", "MAX_MESSAGE_BYTES", "Limits"]

MAX_MESSAGE_BYTES = 1024 * 1024
"""The most frame bytes that one call carries; gateways commonly cut bodies at 2 MB."""

MAX_CALL_SECONDS = 50.0
"""The longest that one call may last; gateways commonly cut idle calls at 60 s."""

_BOUNDS: dict[str, tuple[float, float]] = {
    "frame_bytes": (64, MAX_FRAME_BYTES),
    "message_bytes": (64, MAX_MESSAGE_BYTES),
    "window_frames": (1, 64),
    "calls_in_flight": (1, 8),
    "set_elements": (1, 2**32),
    "transfer_bytes": (1, 2**50),
    "sessions": (1, 256),
    "sessions_per_partner": (1, 256),
    "streams": (4, 1024),
    "call_deadline_seconds": (0.5, MAX_CALL_SECONDS),
    "poll_seconds": (0.05, 20.0),
    "frame_seconds": (0.05, 86_400.0),
    "peer_silence_seconds": (0.2, 600.0),
    "reconnect_seconds": (0.0, 600.0),
    "connect_seconds": (0.1, 60.0),
    "keepalive_seconds": (10.0, 300.0),
    "keepalive_timeout_seconds": (1.0, 60.0),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one node allows a session, a partner and itself; all enforced by the node that holds it.

    Args:
        frame_bytes: the largest frame of a session, in bytes.
        message_bytes: the most frame bytes in one call, in bytes; larger messages are refused before they are buffered.
        window_frames: how many frames a direction may hold unacknowledged before ``send`` waits.
        calls_in_flight: how many calls a session makes at once in each direction, so that a long way is kept full.
        set_elements: the largest set that is worked on, in distinct elements.
        transfer_bytes: the most bytes that one run may move in one direction, and that an aggregate's numbers may take; both
            are held in memory.
        sessions: how many sessions run at once; the next one is refused as ``busy``.
        sessions_per_partner: how many of them one partner may have.
        streams: how many calls one connection may have open at once.
        call_deadline_seconds: the deadline of every call, in seconds.
        poll_seconds: how long a call waits at the listener for something to happen, in seconds.
        frame_seconds: how long the other party may take for its next frame or for room for ours, computing included, in seconds.
        peer_silence_seconds: how long the dialler may say nothing before its session is given up, in seconds.
        reconnect_seconds: how long a broken connection is retried, in seconds.
        connect_seconds: how long the first connection is tried, in seconds.
        keepalive_seconds: the pause between pings on an idle connection, in seconds.
        keepalive_timeout_seconds: how long a ping may stay unanswered, in seconds.

    Raises:
        UsageError: a value is outside its bounds, or two do not fit together.
    """

    frame_bytes: int = MAX_FRAME_BYTES
    message_bytes: int = MAX_MESSAGE_BYTES
    window_frames: int = 8
    calls_in_flight: int = 2
    set_elements: int = 2**26
    transfer_bytes: int = 2**33
    sessions: int = 16
    sessions_per_partner: int = 4
    streams: int = 64
    call_deadline_seconds: float = 50.0
    poll_seconds: float = 20.0
    frame_seconds: float = 1800.0
    peer_silence_seconds: float = 30.0
    reconnect_seconds: float = 20.0
    connect_seconds: float = 5.0
    keepalive_seconds: float = 30.0
    keepalive_timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            low, high = _BOUNDS[field.name]
            self._require(field.name, low, high)
        self._require("frame_bytes", 64, self.message_bytes)
        self._require("poll_seconds", 0.05, self.call_deadline_seconds * 0.8)
        self._require("poll_seconds", 0.05, self.peer_silence_seconds * 0.8)

    def _require(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise UsageError("transport.limit-out-of-range", name=name, value=repr(value), low=low, high=high)
