"""A channel between two threads of one process, with the same mailbox that the listener uses."""

from __future__ import annotations

from dataclasses import replace

from psc.session.channel import Channel
from psc.session.limits import Limits
from psc.transport.mailbox import End, LocalChannel, Mailbox

__all__ = ["memory_pair"]


def memory_pair(capacity: int = 8, *, limits: Limits | None = None) -> tuple[Channel, Channel]:
    """Return the two ends of a session in memory.

    Args:
        capacity: frames that a direction holds before ``send`` waits, 1 to 64.
        limits: the other bounds.
    """
    bounds = replace(limits or Limits(), window_frames=capacity)
    mailbox = Mailbox(bounds)
    linger = bounds.peer_silence_seconds
    return (
        LocalChannel(mailbox, End.OPENER, linger_seconds=linger),
        LocalChannel(mailbox, End.ANSWERER, linger_seconds=linger),
    )
