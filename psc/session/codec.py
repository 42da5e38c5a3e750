"""Messages to frames and back: the one place where protocol messages meet protobuf.

Peer bytes are hostile. A frame must parse, hold exactly one known body in its one encoding, no unknown field and, for group
elements, whole encodings; anything else is ``MalformedMessageError``. Whether the elements are valid is the kernels'
business, in the party's own frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

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
_NAMES = {kind: name for name, kind in _KINDS.items()}


def encode(message: Message) -> bytes:
    """Return the frame of a message.

    Raises:
        LocalProtocolError: the message's class is not part of the wire contract.
    """
    name = _NAMES.get(type(message))
    if name is None:
        raise LocalProtocolError("session.message-unknown", kind=type(message).__name__)
    body = {field.name: _to_wire(getattr(message, field.name)) for field in fields(message)}  # type: ignore[arg-type]
    constructor: Callable[..., Any] = getattr(wire, _NAMES_OF_TYPES[name])
    return bytes(wire.SessionMessage(**{name: constructor(**body)}).SerializeToString(deterministic=True))


def decode(frame: bytes) -> Message:
    """Return the message of a frame.

    Raises:
        MalformedMessageError: the frame does not parse, has no or an unknown body, or carries broken elements.
    """
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
    values = {field.name: getattr(body, field.name) for field in fields(kind)}  # type: ignore[arg-type]
    if "points" in values:
        values["points"] = PointBatch(values["points"])
    if "labels" in values:
        values["labels"] = tuple(values["labels"])
    return kind(**values)


def _to_wire(value: object) -> object:
    return value.data if isinstance(value, PointBatch) else value


_NAMES_OF_TYPES = {name: "".join(part.capitalize() for part in name.split("_")) for name in _KINDS}
