"""What a node answers with: the port between a transport that carries questions and the layers that know the answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from psc.errors import AbortCode, PscError
from psc.session.channel import Channel

__all__ = ["Answer", "Handler", "Observer", "Peer", "run_session", "unobserved", "where"]


class Observer(Protocol):
    """Hears of events, for the log; the fields are those of ``psc.server.log``, never personal data."""

    def __call__(self, event: str, **fields: object) -> None:
        """Take note of one event."""
        ...


def unobserved(event: str, **fields: object) -> None:
    """Let an event pass."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as proved by its pinned certificate.

    Args:
        name: what this node calls the partner.
        identity: its Ed25519 identity, 64 lower-case hex digits.
        certificate: SHA-256 of the leaf (DER) that it showed on this connection, in hex; empty when it was not seen here.
    """

    name: str
    identity: str
    certificate: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """The acceptance of a session.

    Args:
        accept: the accept document's bytes.
        signature: the identity's signature of it.
        run: plays this node's part over the channel, in a thread of its own; it raises ``PscError`` to end the session.
        run_id: what both sides print; goes into the log.
    """

    accept: bytes
    signature: bytes
    run: Callable[[Channel], None]
    run_id: str = ""


class Handler(Protocol):
    """Answers partners. Methods are called from many threads; each raises ``PscError`` to refuse.

    Only the closed abort code and, for ``PolicyDeniedError``, the id of the rule reach the partner.
    """

    def status(self, peer: Peer) -> bytes:
        """Return the status document for a partner."""
        ...

    def catalogue(self, peer: Peer, announcement: bytes) -> bytes:
        """Return what the partner was granted; what it announces, where it is not empty, may be made ready meanwhile."""
        ...

    def open(self, peer: Peer, hello: bytes, signature: bytes) -> Answer:
        """Judge a hello; may take its time, for it has a thread of its own and the partner keeps waiting."""
        ...


def run_session(answer: Answer, channel: Channel, observe: Observer) -> None:
    """Play an accepted session to its end and give up the channel; never raises.

    The other end learns the abort code of whatever ended the session. Of an error that is not ours only the type and the
    place are reported: its text may hold data.
    """
    begun = time.monotonic()
    ending = {"event": "session.finished"}
    try:
        answer.run(channel)
    except PscError as error:
        channel.abort(error.abort_code)
        ending = {"event": "session.failed", "code": error.code}
    except BaseException as error:  # noqa: BLE001 - a thread's last line of defence
        channel.abort(AbortCode.INTERNAL)
        ending = {"event": "session.failed", "code": "internal", "where": where(error)}
    else:
        channel.close()
    moved = channel.stats
    seconds = round(time.monotonic() - begun, 3)
    observe(ending.pop("event"), **ending, seconds=seconds, bytes_sent=moved.bytes_sent, bytes_received=moved.bytes_received)


def where(error: BaseException) -> str:
    """Return an error's type and the file and line that raised it, without its text."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return type(error).__name__
    return f"{type(error).__name__} at {place.tb_frame.f_globals.get('__name__', '?')}:{place.tb_lineno}"
