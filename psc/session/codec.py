"""Messages to frames and back: the one place where protocol messages meet protobuf.

Peer bytes are hostile. A frame must parse, hold exactly one known body in its one encoding, no unknown field and, for group
elements, whole encodings; anything else is ``MalformedMessageError``. Whether the elements are valid is the kernels'
business, in the party's own frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from psc._proto.psc.v1 import messages_pb2 as wire
from psc.crypto import PointBatch
from psc.errors import LocalProtocolError, MalformedMessageError
from psc.protocols import cells, dh_psi, dh_psi_count, masked_sums, owner_sum, released_sums, vole_psi
from psc.protocols.base import Message

__all__ = ["Confirmation", "ReceiptSignature", "decode", "encode"]


@dataclass(frozen=True, slots=True)
class Confirmation(Message):
    """First message of each direction: the party's signature over the session id and its role (64 bytes)."""

    signature: bytes


@dataclass(frozen=True, slots=True)
class ReceiptSignature(Message):
    """Last message of each direction: digest (32 bytes) and signature (64 bytes) of the receipt."""

    receipt_digest: bytes
    signature: bytes


_KINDS: dict[str, type[Message]] = {
    "confirmation": Confirmation,
    "receipt_signature": ReceiptSignature,
    "blinded_items": dh_psi.BlindedItems,
    "evaluated_items": dh_psi.EvaluatedItems,
    "sender_tags": dh_psi.SenderTags,
    "row_entries": dh_psi.RowEntries,
    "matched_positions": dh_psi.MatchedPositions,
    "masked_items": dh_psi_count.MaskedItems,
    "returned_tags": dh_psi_count.ReturnedTags,
    "common_count": dh_psi_count.CommonCount,
    "group_labels": cells.GroupLabels,
    "sum_keys": masked_sums.SumKeys,
    "encrypted_values": masked_sums.EncryptedValues,
    "masked_sums": masked_sums.MaskedSums,
    "cell_counts": cells.CellCounts,
    "released_sums": released_sums.ReleasedSums,
    "released_table": owner_sum.ReleasedTable,
    "vole_choices": vole_psi.VoleChoices,
    "vole_extension": vole_psi.VoleExtension,
    "vole_trees": vole_psi.VoleTrees,
    "vole_challenge": vole_psi.VoleChallenge,
    "vole_answer": vole_psi.VoleAnswer,
    "mask_commitment": vole_psi.MaskCommitment,
    "table_seed": vole_psi.TableSeed,
    "masked_table": vole_psi.MaskedTable,
    "receiver_mask": vole_psi.ReceiverMask,
    "mask_opening": vole_psi.MaskOpening,
}
_LENGTH_DELIMITED = 2
_NAMES = {kind: name for name, kind in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class _Bulk:
    """A kind of message that is one field of bytes.

    Nearly all bytes of a run travel in these, so they are framed and read here, in the form that protobuf gives them and with
    one copy; an empty one is left to protobuf.

    Attributes:
        name: of the kind.
        field: name of the field.
        outer: the tag of the message in its frame.
        inner: the tag of the bytes in the message.
    """

    name: str
    field: str
    outer: bytes
    inner: bytes

    def frame(self, data: bytes) -> bytes:
        """Return the frame of at least one byte."""
        return self._head(len(data)) + data

    def data(self, frame: bytes) -> bytes | None:
        """Return the bytes of a frame that ``frame`` makes; of any other ``None``: protobuf says what it is."""
        for size in range(len(self.outer) + 1 + len(self.inner) + 1, len(frame)):
            head = self._head(len(frame) - size)
            if len(head) <= size:  # one length fits
                return frame[size:] if len(head) == size and frame.startswith(head) else None
        return None

    def _head(self, count: int) -> bytes:
        inside = self.inner + _varint(count)
        return self.outer + _varint(len(inside) + count) + inside


def _varint(number: int) -> bytes:
    """Return the shortest encoding: seven bits a byte, the lowest first, the highest bit set on all but the last."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))


def _bulk(name: str) -> _Bulk | None:
    """Return how a kind is framed when it has one field of bytes."""
    body = wire.SessionMessage.DESCRIPTOR.fields_by_name[name]
    inside = [] if body.message_type is None else body.message_type.fields
    if len(inside) != 1 or inside[0].type != FieldDescriptor.TYPE_BYTES or inside[0].is_repeated:
        return None
    outer, inner = (_varint(field.number << 3 | _LENGTH_DELIMITED) for field in (body, inside[0]))
    return _Bulk(name, inside[0].name, outer, inner)


_BULK = {name: bulk for name in _KINDS if (bulk := _bulk(name)) is not None}
_BULK_BY_TAG = {bulk.outer: bulk for bulk in _BULK.values()}
_TAG_BYTES = sorted({len(tag) for tag in _BULK_BY_TAG})


def encode(message: Message) -> bytes:
    """Return the frame of a message.

    Raises:
        LocalProtocolError: the message's class is not part of the wire contract.
    """
    name = _NAMES.get(type(message))
    if name is None:
        raise LocalProtocolError("session.message-unknown", kind=type(message).__name__)
    body = {field.name: _to_wire(getattr(message, field.name)) for field in fields(message)}
    bulk = _BULK.get(name)
    data = None if bulk is None else body[bulk.field]
    if bulk is not None and isinstance(data, bytes) and data:
        return bulk.frame(data)
    constructor: Callable[..., Any] = getattr(wire, _NAMES_OF_TYPES[name])
    return bytes(wire.SessionMessage(**{name: constructor(**body)}).SerializeToString(deterministic=True))


def decode(frame: bytes) -> Message:
    """Return the message of a frame.

    Raises:
        MalformedMessageError: the frame does not parse, has no or an unknown body, or carries broken elements.
    """
    for width in _TAG_BYTES:
        bulk = _BULK_BY_TAG.get(frame[:width])
        data = None if bulk is None else bulk.data(frame)
        if bulk is not None and data is not None:
            return _message(bulk.name, {bulk.field: data})
    try:
        parsed = wire.SessionMessage.FromString(frame)
    except DecodeError:
        raise MalformedMessageError("session.message-malformed", what="a frame does not parse") from None
    name = parsed.WhichOneof("body")
    body = getattr(parsed, name) if name is not None else None
    if body is None or name not in _KINDS:
        raise MalformedMessageError("session.message-malformed", what="a frame holds no known message")
    if len(UnknownFieldSet(parsed)) or len(UnknownFieldSet(body)):
        raise MalformedMessageError("session.message-malformed", what="a message holds unknown fields")
    # Of two bodies or of a field given twice, protobuf silently keeps the last: a message has one form, and only that is taken.
    if parsed.SerializeToString(deterministic=True) != frame:
        raise MalformedMessageError("session.message-malformed", what="a frame is not in the one form of its message")
    kind = _KINDS[name]
    return _message(name, {field.name: getattr(body, field.name) for field in fields(kind)})


def _message(name: str, values: dict[str, Any]) -> Message:
    if "points" in values:
        values["points"] = PointBatch(values["points"])
    if "labels" in values:
        values["labels"] = tuple(values["labels"])
    return _KINDS[name](**values)


def _to_wire(value: object) -> object:
    return value.data if isinstance(value, PointBatch) else value


_NAMES_OF_TYPES = {name: "".join(part.capitalize() for part in name.split("_")) for name in _KINDS}
