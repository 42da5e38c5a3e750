"""Hello and Accept: what both parties bind a run to, and the session id that comes of it."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field

from psc.types import Document, KeyColumn, OperationName, OutputTo, PlainName, PlainText, ReleasedColumn

__all__ = ["PROTOCOL_SERIES", "Accept", "ConfirmationStatement", "Hello", "SessionId"]

PROTOCOL_SERIES: Final = "psc/1"
"""Version of the wire contract; both sides must have the same."""

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _moment(value: str) -> str:
    datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ")
    return value


Moment = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"), AfterValidator(_moment)]
Size = Annotated[int, Field(ge=1, le=1 << 40)]


class Hello(Document):
    """What the initiator asks for, signed by its identity.

    Sizes are padded. ``certificate`` is the SHA-256 of the initiator's TLS leaf (DER), empty without TLS. ``shard`` and
    ``attempt`` are 0 and 1 until runs are split; they are bound now so that a later split cannot be confused with a whole run.
    """

    KIND: ClassVar[str] = "hello"

    series: Literal["psc/1"]
    suite: PlainText = Field(max_length=64)
    protocol: PlainText = Field(max_length=32)
    protocol_version: int = Field(ge=1, le=1000)
    run_id: str = Field(pattern=r"^[0-9a-z]{26}$")
    operation: OperationName
    purpose: PlainText = Field(min_length=1, max_length=128)
    initiator: Hex32
    initiator_name: PlainName
    responder: Hex32
    responder_name: PlainName
    initiator_role: Literal["receiver"]
    certificate: str = Field(pattern=r"^([0-9a-f]{64})?$")
    nonce: Hex32
    dataset: PlainName
    dataset_version: Hex32
    agreement: Hex32
    keys: tuple[KeyColumn, ...] = Field(min_length=1, max_length=8)
    released: tuple[ReleasedColumn, ...] = Field(max_length=64)
    rows_per_key: int = Field(ge=1, le=1024)
    output_to: OutputTo
    minimum_result: int = Field(ge=0, le=1 << 40)
    rules: PlainText = Field(max_length=64)
    number_metadata: Hex32
    initiator_size: Size
    shard: Literal[0]
    attempt: Literal[1]
    sent_at: Moment


class Accept(Document):
    """The responder's answer, signed by its identity: it binds the hello by its digest and adds its own part."""

    KIND: ClassVar[str] = "accept"

    hello: Hex32
    nonce: Hex32
    certificate: str = Field(pattern=r"^([0-9a-f]{64})?$")
    responder_size: Size
    accepted_at: Moment


class ConfirmationStatement(Document):
    """What a party signs before the first protocol message: it holds the same session in the same role."""

    KIND: ClassVar[str] = "confirmation"

    session_id: Hex32
    role: Literal["initiator", "responder"]


class SessionId:
    """The session id (hash of Hello and Accept) and the secrets-free label that item hashing uses.

    The label has no role in it, so that both parties hash an item to the same element.
    """

    def __init__(self, hello: Hello, accept: Accept) -> None:
        parts = (hello.signing_input(), accept.signing_input())
        framed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        self.raw = hashlib.sha256(b"psc/v1/session\x00" + framed).digest()
        self.label = hashlib.sha256(b"psc/v1/items\x00" + self.raw).digest()

    @property
    def hex(self) -> str:
        """The session id in hex."""
        return self.raw.hex()
