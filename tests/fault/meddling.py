"""A peer that breaks the rules: a channel that changes what an honest script sends, frame by frame, by kind of message.

The script that runs behind it is honest, so its transcript hash holds the frames that it meant to send: the same picture as a
relay or gateway that changes frames on the way. What no relay could do and only the party itself can is in ``Liar``, whose
own transcript holds what it really sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

from psc._proto.psc.v1 import messages_pb2 as wire
from psc.crypto import PointBatch
from psc.errors import AbortCode, PscError
from psc.protocols.base import Message
from psc.session.channel import MAX_FRAME_BYTES, Channel, ChannelStats
from psc.session.codec import decode, encode
from psc.session.session import Session

__all__ = [
    "BAD_ELEMENTS",
    "HARMS",
    "SENT",
    "SENT_MATCHER",
    "SENT_VOLE",
    "GoneAwayError",
    "Harm",
    "Liar",
    "Meddler",
    "Recorder",
    "kind_of",
    "with_element",
    "with_unknown_field",
]

SENT: dict[tuple[str, str], tuple[str, ...]] = {
    ("match", "initiator"): ("confirmation", "blinded_items", "matched_positions", "receipt_signature"),
    ("match", "responder"): ("confirmation", "evaluated_items", "sender_tags", "row_entries", "receipt_signature"),
    ("count", "initiator"): ("confirmation", "blinded_items", "common_count", "receipt_signature"),
    ("count", "responder"): ("confirmation", "masked_items", "returned_tags", "receipt_signature"),
    ("aggregate", "initiator"): (
        "confirmation", "blinded_items", "masked_sums", "group_labels", "cell_counts", "receipt_signature",
    ),
    ("aggregate", "responder"): (
        "confirmation", "group_labels", "masked_items", "returned_tags", "sum_keys", "encrypted_values", "released_sums",
        "receipt_signature",
    ),
    ("aggregate-owner", "initiator"): (
        "confirmation", "evaluated_items", "sender_tags", "row_entries", "group_labels", "receipt_signature",
    ),
    ("aggregate-owner", "responder"): (
        "confirmation", "blinded_items", "group_labels", "released_table", "receipt_signature",
    ),
}  # fmt: skip
"""The kinds of message that each side sends, in order, when both learn the result and rows are released."""

SENT_VOLE: dict[tuple[str, str], tuple[str, ...]] = {
    ("vole", "initiator"): (
        "confirmation", "vole_extension", "table_seed", "masked_table", "matched_positions", "receipt_signature",
    ),
    ("vole", "responder"): (
        "confirmation", "vole_choices", "vole_trees", "sender_tags", "row_entries", "receipt_signature",
    ),
    ("vole-malicious", "initiator"): (
        "confirmation", "vole_extension", "vole_challenge", "table_seed", "masked_table", "receiver_mask", "receipt_signature",
    ),
    ("vole-malicious", "responder"): (
        "confirmation", "vole_choices", "vole_trees", "vole_answer", "mask_commitment", "mask_opening", "sender_tags",
        "receipt_signature",
    ),
}  # fmt: skip
"""The same of a match by ``vole-psi``: with released rows and output to both, and against a malicious partner."""

SENT_MATCHER: dict[tuple[str, str], tuple[str, ...]] = {
    ("aggregate-matcher", "initiator"): (
        "confirmation", "vole_extension", "table_seed", "masked_table", "masked_sums", "group_labels", "cell_counts",
        "receipt_signature",
    ),
    ("aggregate-matcher", "responder"): (
        "confirmation", "group_labels", "vole_choices", "vole_trees", "sender_tags", "sum_keys", "encrypted_values",
        "released_sums", "receipt_signature",
    ),
}  # fmt: skip
"""The same of an aggregate by ``vole-sum``, with output to both."""

BAD_ELEMENTS = {
    "identity": bytes(32),
    "not canonical": b"\xff" * 32,
    "negative": (1).to_bytes(32, "little"),
    "not on the curve": (26).to_bytes(32, "little"),
}
"""Encodings that no group element has."""

Harm = Callable[[bytes], list[bytes]]
"""What is sent instead of one frame."""


class GoneAwayError(PscError):
    """The hostile side left; only its own thread sees this."""

    def __init__(self) -> None:
        super().__init__("transport.closed-here")


def kind_of(frame: bytes) -> str:
    """Return the name of a frame's message."""
    return str(wire.SessionMessage.FromString(frame).WhichOneof("body"))


class Meddler:
    """A channel that harms the ``at``-th frame of a kind.

    Args:
        inner: the channel that works.
        kind: of message.
        harm: gets the frame, returns what is sent instead; raises ``GoneAwayError`` to leave for good, after ``leave``.
        at: which frame of that kind, counted from 0.
        swap: send the next frame first instead; ``harm`` is not asked.
    """

    def __init__(
        self, inner: Channel, kind: str, harm: Harm | None = None, *, at: int = 0, leave: Callable[[Channel], None] | None = None
    ) -> None:
        self._inner, self._kind, self._harm, self._at, self._leave = inner, kind, harm, at, leave
        self._seen = 0
        self._held: bytes | None = None
        self.applied = False

    @property
    def stats(self) -> ChannelStats:
        """Return the inner channel's."""
        return self._inner.stats

    def send(self, frame: bytes) -> None:
        """Send a frame, or what the harm makes of it."""
        if kind_of(frame) != self._kind or self._seen != self._at:
            self._seen += kind_of(frame) == self._kind
            self._inner.send(frame)
            self._let_go()
            return
        self._seen += 1
        if self._leave is not None:
            self.applied = True
            self._leave(self._inner)
            raise GoneAwayError
        if self._harm is None:
            self._held = frame
            return
        self.applied = True
        for sent in self._harm(frame):
            self._inner.send(sent)

    def recv(self) -> bytes:
        """Return the next frame; what was held back for a swap never had a next frame to follow, and is sent."""
        held, self._held = self._held, None
        if held is not None:
            self._inner.send(held)
        return self._inner.recv()

    def flush(self) -> None:
        """Flush the inner channel."""
        self._inner.flush()

    def abort(self, code: AbortCode) -> None:
        """Abort the inner channel."""
        self._inner.abort(code)

    def close(self) -> None:
        """Close the inner channel."""
        self._inner.close()

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self.applied = True
            self._inner.send(held)


class Recorder:
    """A channel that keeps the frames that were sent through it, by kind."""

    def __init__(self, inner: Channel, kept: dict[str, list[bytes]]) -> None:
        self._inner, self._kept = inner, kept
        self.recv, self.flush, self.abort, self.close = inner.recv, inner.flush, inner.abort, inner.close

    @property
    def stats(self) -> ChannelStats:
        """Return the inner channel's."""
        return self._inner.stats

    def send(self, frame: bytes) -> None:
        """Send a frame and keep it."""
        self._kept.setdefault(kind_of(frame), []).append(frame)
        self._inner.send(frame)


class Liar:
    """A session whose script's messages are changed before they are sent and hashed: the party itself lies, consistently."""

    def __init__(self, session: Session, change: Callable[[Message], Message]) -> None:
        self._session, self._change = session, change
        self.recv = session.recv

    def send(self, message: Message) -> None:
        """Send what the lie makes of a message."""
        self._session.send(self._change(message))


# --- harms ---------------------------------------------------------------------------------------------------------------


def _truncated(frame: bytes) -> list[bytes]:
    return [frame[: len(frame) // 2]]


def _last_byte_missing(frame: bytes) -> list[bytes]:
    return [frame[:-1]]


def _empty(_: bytes) -> list[bytes]:
    return [b""]


def _noise(frame: bytes) -> list[bytes]:
    return [b"\xff" * max(len(frame), 16)]


def _filled_to_the_limit(frame: bytes) -> list[bytes]:
    return [frame + bytes(MAX_FRAME_BYTES - len(frame))]


def _longer(frame: bytes) -> list[bytes]:
    return [encode(_resized(decode(frame), longer=True))]


def _shorter(frame: bytes) -> list[bytes]:
    return [encode(_resized(decode(frame), longer=False))]


def _no_content(frame: bytes) -> list[bytes]:
    blank = wire.SessionMessage.FromString(frame)
    body = getattr(blank, kind_of(frame))
    body.Clear()
    body.SetInParent()
    return [blank.SerializeToString()]


def _huge(frame: bytes) -> list[bytes]:
    message = decode(frame)
    size = MAX_FRAME_BYTES - 256
    for field in fields(message):  # type: ignore[arg-type]
        value = getattr(message, field.name)
        if isinstance(value, PointBatch):
            return [encode(replace(message, **{field.name: PointBatch(value.data[:32] * (size // 32))}))]  # type: ignore[type-var]
        if isinstance(value, bytes):
            return [encode(replace(message, **{field.name: bytes(size)}))]  # type: ignore[type-var]
        if isinstance(value, tuple):
            return [encode(replace(message, **{field.name: (bytes(size),)}))]  # type: ignore[type-var]
    return [encode(replace(message, count=2**63))]  # type: ignore[type-var]


def with_unknown_field(frame: bytes) -> list[bytes]:
    """Return a frame with a field that the wire contract does not know (number 15, varint 1)."""
    return [frame + b"\x78\x01"]


def _two_bodies(frame: bytes) -> list[bytes]:
    other = encode_common_count() if kind_of(frame) != "common_count" else wire.SessionMessage(sender_tags={"tags": b"x"})
    return [other.SerializeToString() + frame]


def _twice_in_one_frame(frame: bytes) -> list[bytes]:
    twice = frame + frame
    return [twice] if len(twice) <= MAX_FRAME_BYTES else [_no_content(frame)[0] + frame]


def encode_common_count() -> wire.SessionMessage:
    """Return a message of the smallest kind."""
    return wire.SessionMessage(common_count=wire.CommonCount(released=True, count=1))


HARMS: dict[str, Harm] = {
    "truncated": _truncated,
    "last byte missing": _last_byte_missing,
    "empty frame": _empty,
    "noise": _noise,
    "filled to the limit": _filled_to_the_limit,
    "longer content": _longer,
    "shorter content": _shorter,
    "no content": _no_content,
    "huge content": _huge,
    "unknown field": with_unknown_field,
    "two bodies": _two_bodies,
    "twice in one frame": _twice_in_one_frame,
}
"""Changes after which a frame is malformed whatever its kind."""


def with_element(bad: bytes, place: str) -> Harm:
    """Return a harm that puts a bad element at the ``first``, ``middle`` or ``last`` position of a message."""

    def harm(frame: bytes) -> list[bytes]:
        message = decode(frame)
        points: PointBatch = message.points  # type: ignore[attr-defined]
        index = {"first": 0, "middle": len(points) // 2, "last": len(points) - 1}[place]
        data = points.data[: 32 * index] + bad + points.data[32 * index + 32 :]
        return [encode(replace(message, points=PointBatch(data)))]  # type: ignore[type-var]

    return harm


def _resized(message: Message, *, longer: bool) -> Message:
    for field in fields(message):  # type: ignore[arg-type]
        value = getattr(message, field.name)
        if isinstance(value, PointBatch):
            data = value.data + value.data[-32:] if longer else value.data[:-32]
            return replace(message, **{field.name: PointBatch(data)})  # type: ignore[type-var]
        if isinstance(value, bytes):
            return replace(message, **{field.name: value + value[-1:] if longer else value[:-1]})  # type: ignore[type-var]
        if isinstance(value, tuple):
            return replace(message, **{field.name: (*value, b"more") if longer else value[:-1]})  # type: ignore[type-var]
    raise AssertionError("nothing to resize")
