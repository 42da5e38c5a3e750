"""Drivers: what turns a script's effects into messages on a channel and calls of kernels.

``run_pair`` runs two scripts in one thread, deterministically: for tests, vectors and proofs of absence of deadlock.
``drive`` runs one script over a real channel. Both do nothing else: kernels release the GIL and use all cores, and a
channel moves frames in the background, so compute overlaps transfer without the script knowing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from psc.errors import LocalProtocolError
from psc.protocols.base import Compute, Message, Recv, Script, Send

__all__ = ["MessageChannel", "drive", "run_pair"]

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


class MessageChannel(Protocol):
    """Ordered, reliable transport of messages between the two parties of one session."""

    def send(self, message: Message) -> None:
        """Send; may block while the window is full."""

    def recv(self) -> Message:
        """Return the next message; blocks."""


def drive(
    script: Script[T],
    channel: MessageChannel,
    *,
    on_work: Callable[[int], None] | None = None,
    check: Callable[[], None] | None = None,
) -> T:
    """Run a script to its end and return its output.

    Args:
        script: a fresh generator.
        channel: messages to and from the peer.
        on_work: called with the number of items that each kernel treated, for progress.
        check: called before every effect; raises to stop the run (cancellation).

    Raises:
        PscError: whatever the script, a kernel, the channel or ``check`` raised. The script is closed.
    """
    answer: Any = None
    try:
        while True:
            try:
                effect = script.send(answer)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if check is not None:
                check()
            answer = None
            match effect:
                case Send(message):
                    channel.send(message)
                case Recv():
                    answer = channel.recv()
                case Compute(function, args, work):
                    answer = function(*args)
                    if on_work is not None and work:
                        on_work(work)
    finally:
        script.close()


class _Party:
    """One side of ``run_pair``: a script, and the effect that it waits for."""

    def __init__(self, script: Script[Any], inbox: deque[Message], outbox: deque[Message], capacity: int | None) -> None:
        self.script, self.inbox, self.outbox, self.capacity = script, inbox, outbox, capacity
        self.done, self.result = False, None
        self.effect: Any = None
        self._advance(None)

    def _advance(self, answer: object) -> None:
        try:
            self.effect = self.script.send(answer)
        except StopIteration as stop:
            self.done, self.result = True, stop.value

    def step(self) -> bool:
        """Perform the waiting effect if it can be; return whether it could."""
        if self.done:
            return False
        match self.effect:
            case Send(message):
                if self.capacity is not None and len(self.outbox) >= self.capacity:
                    return False
                self.outbox.append(message)
                self._advance(None)
            case Recv():
                if not self.inbox:
                    return False
                self._advance(self.inbox.popleft())
            case Compute(function, args, _):
                self._advance(function(*args))
        return True


def run_pair(
    a: Script[A],
    b: Script[B],
    *,
    capacity: int | None = None,
    tap: Callable[[str, Message], Message] | None = None,
) -> tuple[A, B]:
    """Run two scripts against each other in one thread and return both outputs.

    Args:
        a: first script.
        b: second script.
        capacity: messages that a direction holds at most; ``None`` is unbounded. Success at 1 proves absence of deadlock.
        tap: sees each message once, as ``("a"|"b", message)`` by its sender, and returns what is delivered instead.

    Raises:
        LocalProtocolError: both wait for each other, or a message is left over.
    """
    to_a: deque[Message] = deque()
    to_b: deque[Message] = deque()
    party_a, party_b = _Party(a, to_a, to_b, capacity), _Party(b, to_b, to_a, capacity)

    def tapped(who: str, party: _Party) -> bool:
        before = len(party.outbox)
        moved = party.step()
        if tap is not None and len(party.outbox) > before:
            party.outbox[-1] = tap(who, party.outbox[-1])
        return moved

    while not (party_a.done and party_b.done):
        moved_a = tapped("a", party_a)
        moved_b = tapped("b", party_b)
        if not (moved_a or moved_b):
            raise LocalProtocolError("session.deadlock")
    if to_a or to_b:
        raise LocalProtocolError("session.messages-left-over", count=len(to_a) + len(to_b))
    return party_a.result, party_b.result  # type: ignore[return-value]
