"""Every message crosses the wire unchanged, in one form only."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psc._proto.psc.v1 import messages_pb2 as wire
from psc.crypto import PointBatch
from psc.errors import LocalProtocolError, MalformedMessageError
from psc.protocols import vole_psi
from psc.protocols.base import CHUNK_BYTES, Message
from psc.protocols.cells import LABEL_BYTES_MAX, CellCounts, GroupLabels
from psc.protocols.dh_psi import BlindedItems, EvaluatedItems, MatchedPositions, RowEntries, SenderTags
from psc.protocols.dh_psi_count import CommonCount, MaskedItems, ReturnedTags
from psc.protocols.masked_sums import EncryptedValues, MaskedSums, SumKeys
from psc.protocols.owner_sum import ReleasedTable
from psc.protocols.released_sums import ReleasedSums
from psc.session import codec
from psc.session.channel import MAX_FRAME_BYTES
from psc.session.codec import _KINDS, Confirmation, ReceiptSignature, decode, encode

MESSAGES: list[Message] = [
    Confirmation(b"s" * 64),
    ReceiptSignature(b"d" * 32, b"s" * 64),
    BlindedItems(PointBatch(bytes(range(32)) * 2)),
    EvaluatedItems(PointBatch(b"")),
    SenderTags(b"tags"),
    RowEntries(b""),
    MatchedPositions(True, b"\x01"),
    MaskedItems(PointBatch(bytes(32))),
    ReturnedTags(b"x"),
    CommonCount(True, (1 << 64) - 1),
    GroupLabels(("上海".encode(), b"", b"\xff")),
    SumKeys(b"material"),
    EncryptedValues(b"\x00" * 9),
    MaskedSums(b"replies"),
    CellCounts(b"\x03", b"counts"),
    ReleasedSums(b"sums"),
    ReleasedTable(b"\x01", b"", b"sums"),
    vole_psi.VoleChoices(b"choices"),
    vole_psi.VoleExtension(b"\x00"),
    vole_psi.VoleTrees(b"trees"),
    vole_psi.VoleChallenge(b"challenge"),
    vole_psi.VoleAnswer(b"answer"),
    vole_psi.MaskCommitment(bytes(32)),
    vole_psi.TableSeed(bytes(32)),
    vole_psi.MaskedTable(bytes(16)),
    vole_psi.ReceiverMask(bytes(16)),
    vole_psi.MaskOpening(bytes(48)),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_every_message_crosses_unchanged(message: Message) -> None:
    assert decode(encode(message)) == message


def protobufs(message: Message) -> bytes:
    """The frame as protobuf makes it."""
    (name,) = (name for name, kind in _KINDS.items() if kind is type(message))
    (field,) = fields(message)
    value = getattr(message, field.name)
    frame = wire.SessionMessage()
    setattr(getattr(frame, name), field.name, value.data if isinstance(value, PointBatch) else value)
    getattr(frame, name).SetInParent()
    return frame.SerializeToString(deterministic=True)


@pytest.mark.parametrize("kind", [_KINDS[name] for name in codec._BULK], ids=lambda kind: kind.__name__)
def test_messages_of_one_field_of_bytes_are_framed_as_protobuf_frames_them(kind: type[Message]) -> None:
    (field,) = fields(kind)
    for size in (0, 1, 31, 32, 122, 123, 124, 125, 126, 127, 128, 129, 16_378, 16_379, 16_380, 16_381, 16_384, CHUNK_BYTES):
        data = bytes(size // 32 * 32 if field.name == "points" else size)
        message = kind(PointBatch(data) if field.name == "points" else data)
        frame = encode(message)
        assert frame == protobufs(message)
        assert decode(frame) == message


def outcome(frame: bytes) -> Message | str:
    try:
        return decode(frame)
    except MalformedMessageError as error:
        return str(error)


@given(
    st.sampled_from([message for message in MESSAGES if len(fields(message)) == 1]),
    st.integers(0, 300),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 255), st.sampled_from(["set", "insert", "cut", "end"])), max_size=3),
)
def test_any_frame_is_read_as_protobuf_reads_it(message: Message, size: int, changes: list[tuple[int, int, str]]) -> None:
    frame = bytearray(encode(type(message)(bytes(size))) if isinstance(message, SenderTags) else encode(message))
    for at, byte, how in changes:
        if how == "set" and at < len(frame):
            frame[at] = byte
        elif how == "insert":
            frame.insert(at, byte)
        elif how == "cut":
            del frame[at : at + 1]
        elif how == "end":
            frame.append(byte)
    found = outcome(bytes(frame))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "_BULK_BY_TAG", {})
        assert outcome(bytes(frame)) == found


def test_every_message_of_the_contract_is_tried_and_nothing_else_is_in_it() -> None:
    assert {type(message) for message in MESSAGES} == set(_KINDS.values())
    assert set(_KINDS) == {field.name for field in wire.SessionMessage.DESCRIPTOR.oneofs_by_name["body"].fields}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_frames_that_are_not_in_the_one_form_are_refused(message: Message) -> None:
    frame = encode(message)
    other = encode(SumKeys(b"other") if not isinstance(message, SumKeys) else SenderTags(b"other"))
    for changed in (frame + other, other + frame, frame + frame, frame + b"\xf8\x07\x01", frame[:-1], frame + b"\0"):
        with pytest.raises(MalformedMessageError):
            decode(changed)


def test_fields_that_are_unknown_or_out_of_order_inside_a_message_are_refused() -> None:
    tables = [
        b"\x1a\x01s\x0a\x01w",  # sums before withheld
        b"\x0a\x01w\x0a\x01w",  # withheld twice
        b"\x0a\x01w\x22\x01x",  # a field 4
        b"\x0a\x00\x1a\x01s",  # an empty field that is said
    ]
    for body in tables:
        with pytest.raises(MalformedMessageError):
            decode(b"\xa2\x02" + bytes([len(body)]) + body)
    assert decode(b"\xa2\x02\x03\x0a\x01w") == ReleasedTable(b"w", b"", b"")


def test_names_keep_their_order_and_their_repeats_for_the_script_to_judge() -> None:
    labels = (b"b", b"a", b"b", b"")
    assert decode(encode(GroupLabels(labels))) == GroupLabels(labels)


def test_the_largest_messages_fit_a_frame() -> None:
    for message in (EncryptedValues(bytes(CHUNK_BYTES)), GroupLabels((bytes(LABEL_BYTES_MAX),) * 128)):
        assert len(encode(message)) < MAX_FRAME_BYTES


@dataclass(frozen=True, slots=True)
class _Foreign(Message):
    data: bytes


def test_a_message_outside_the_contract_does_not_leave() -> None:
    with pytest.raises(LocalProtocolError):
        encode(_Foreign(b""))
