"""What a protocol script is made of: messages, the three effects, and the record that describes a protocol.

A party is a generator. It yields *effects* (``Send``, ``Recv``, ``Compute``) and is sent their answers; its return value is
its output. The helpers below are used with ``yield from``, so that types flow through to the type checker. A finished or
failed generator cannot be rewound: an ephemeral secret in its frame cannot be used twice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from psc.crypto import Items
from psc.errors import EncodingError, MalformedMessageError, UnexpectedMessageError
from psc.types import CHUNK_BYTES

__all__ = [
    "CHUNK_BYTES",
    "CHUNK_ITEMS",
    "Compute",
    "Effect",
    "Message",
    "ProtocolSpec",
    "Recv",
    "Script",
    "Send",
    "check_fits",
    "chunks",
    "compute",
    "recv",
    "recv_bytes",
    "recv_parts",
    "require",
    "send",
    "send_bytes",
    "tag_bytes",
]

CHUNK_ITEMS = CHUNK_BYTES // 32
"""Group elements in one message."""

T = TypeVar("T")
M = TypeVar("M", bound="Message")


@dataclass(frozen=True, slots=True)
class Message:
    """Base of every protocol message; sub-classes are frozen dataclasses named by their content."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send one message to the other party."""

    message: Message


@dataclass(frozen=True, slots=True)
class Recv:
    """Wait for the next message of the other party."""

    kind: type[Message]


@dataclass(frozen=True, slots=True)
class Compute:
    """Run a pure kernel; ``work`` counts the items that it treats, for progress only."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    work: int


Effect = Send | Recv | Compute
Script = Generator[Effect, Any, T]


def send(message: Message) -> Script[None]:
    """Send ``message``."""
    yield Send(message)


def recv(kind: type[M]) -> Script[M]:
    """Receive the next message, which must be of ``kind``.

    Raises:
        UnexpectedMessageError: another well-formed message came.
    """
    message = yield Recv(kind)
    if type(message) is not kind:
        raise UnexpectedMessageError("session.unexpected-message", expected=kind.__name__, got=type(message).__name__)
    return message


def compute(function: Callable[..., T], *args: object, work: int = 0) -> Script[T]:
    """Run ``function(*args)`` where the driver places it, and return its result."""
    result: T = yield Compute(function, args, work)
    return result


def require(condition: bool, what: str) -> None:
    """Refuse the peer's message when ``condition`` fails.

    Raises:
        MalformedMessageError: naming ``what`` is wrong with it.
    """
    if not condition:
        raise MalformedMessageError("session.message-malformed", what=what)


def check_fits(items: Items, size: int) -> None:
    """Refuse a set of one's own that is larger than the size that was agreed.

    Raises:
        EncodingError: it does not fit; nothing was sent.
    """
    if len(items) > size:
        raise EncodingError("session.set-larger-than-agreed", count=len(items), size=size)


def chunks(count: int, size: int = CHUNK_ITEMS) -> Iterator[tuple[int, int]]:
    """Yield ``(start, stop)`` of consecutive pieces of at most ``size`` that cover ``range(count)``."""
    for start in range(0, count, size):
        yield start, min(start + size, count)


def send_bytes(kind: Callable[[bytes], Message], data: bytes, width: int) -> Script[None]:
    """Send entries of ``width`` bytes, as many whole ones a message as it may hold, or of a larger one a piece a message."""
    for start, stop in chunks(len(data), _chunk_of(width)):
        yield from send(kind(data[start:stop]))


def recv_bytes(kind: type[Message], field: str, count: int, width: int) -> Script[bytes]:
    """Receive ``count`` entries of ``width`` bytes, the ``field`` of messages that ``send_bytes`` sends.

    Raises:
        RemoteProtocolError: a message is of another kind, or has another size than agreed.
    """
    return b"".join((yield from recv_parts(kind, field, count, width)))


def recv_parts(kind: type[Message], field: str, count: int, width: int) -> Script[list[bytes]]:
    """Receive what ``recv_bytes`` does, in parts of whole entries; errors as for it."""
    parts = []
    for start, stop in chunks(count * width, _chunk_of(width)):
        part: bytes = getattr((yield from recv(kind)), field)
        require(len(part) == stop - start, f"a chunk of {field} has another size than agreed")
        parts.append(part)
    return parts


def _chunk_of(width: int) -> int:
    return CHUNK_BYTES // width * width or CHUNK_BYTES


def tag_bytes(comparisons: int) -> int:
    """Return the length of truncated tags: 40 bits of statistical security plus the log of the pairs compared, in bytes.

    Args:
        comparisons: how many pairs of tags are compared at most, at least 1.
    """
    bits = 40 + max(comparisons - 1, 0).bit_length()
    return min((bits + 7) // 8, 32)


@dataclass(frozen=True, slots=True)
class ProtocolSpec:
    """What is said of a protocol everywhere: in the handshake, the plan, the receipt and the documents.

    Attributes:
        id: protocol id, as in receipts.
        version: integer; both sides must have the same.
        suite: the group, hash and parameter set.
        model: the adversary model in words.
        leakage_receiver: text codes of what the receiver learns.
        leakage_sender: text codes of what the sender learns.
        experimental: true for constructions of our own derivation; such a protocol is off by default.
    """

    id: str
    version: int
    suite: str
    model: str
    leakage_receiver: tuple[str, ...]
    leakage_sender: tuple[str, ...]
    experimental: bool = False
