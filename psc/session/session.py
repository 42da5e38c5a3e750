"""An open session: confirmation first, then the messages of the script, then the signed receipt; all of it hashed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from psc.errors import MalformedMessageError, PscError, UnexpectedMessageError
from psc.protocols.base import Message
from psc.session.channel import Channel, FrameBytes
from psc.session.codec import Confirmation, ReceiptSignature, decode, encode
from psc.session.hello import ConfirmationStatement, SessionId
from psc.session.transcript import Transcript
from psc.types import Document

__all__ = ["Session", "Sign", "Verify"]

M = TypeVar("M", bound=Message)
Sign = Callable[[Document], str]
Verify = Callable[[Document, str], None]

_DIRECTIONS = {"initiator": "initiator-to-responder", "responder": "responder-to-initiator"}


class Session:
    """One party's end of a session, over a channel of frames.

    Args:
        channel: frames to and from the peer.
        identity: the session id.
        role: who we are in it.
        sign: signs a document with our identity; returns hex.
        verify: verifies the peer's signature (hex) of a document; raises ``AuthenticationError``.
        tap: sees every plaintext frame as ``("sent"|"received", frame)``; for tests that search a recorded run.
    """

    def __init__(
        self,
        channel: Channel,
        identity: SessionId,
        role: Literal["initiator", "responder"],
        sign: Sign,
        verify: Verify,
        tap: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self.channel = channel
        self.identity = identity
        self.role = role
        self._sign, self._verify, self._tap = sign, verify, tap
        self._peer: Literal["initiator", "responder"] = "responder" if role == "initiator" else "initiator"
        self._sent = Transcript(identity.raw, _DIRECTIONS[role])
        self._received = Transcript(identity.raw, _DIRECTIONS[self._peer])

    def send(self, message: Message) -> None:
        """Send one message; blocks while the channel's window is full."""
        frame = FrameBytes(encode(message))
        self._sent.add(frame)
        if self._tap is not None:
            self._tap("sent", frame)
        self.channel.send(frame)

    def recv(self) -> Message:
        """Return the peer's next message.

        Raises:
            MalformedMessageError: its frame does not parse.
            TransportError: the channel ended.
        """
        frame = self.channel.recv()
        self._received.add(frame)
        if self._tap is not None:
            self._tap("received", frame)
        return decode(frame)

    def confirm(self) -> None:
        """Exchange confirmations: no protocol message leaves before the peer proved that it holds this very session.

        Raises:
            AuthenticationError: the peer's signature is not over this session and role.
        """
        statement = ConfirmationStatement(session_id=self.identity.hex, role=self.role)
        self.send(Confirmation(bytes.fromhex(self._sign(statement))))
        answer = self._expect(Confirmation)
        self._verify(ConfirmationStatement(session_id=self.identity.hex, role=self._peer), answer.signature.hex())

    def transcripts(self) -> dict[str, str]:
        """Return both directions' hashes, by direction."""
        return {_DIRECTIONS[self.role]: self._sent.hexdigest(), _DIRECTIONS[self._peer]: self._received.hexdigest()}

    def exchange_receipt(self, receipt: Document) -> tuple[str, str]:
        """Sign the receipt, exchange signatures, and return ours and the peer's (hex).

        The receipt must be built before the call, from ``transcripts()`` at the end of the script.

        Raises:
            MalformedMessageError: the peer's receipt differs from ours, so the two sides saw different runs.
            AuthenticationError: the peer's signature does not verify.
        """
        mine = self._sign(receipt)
        self.send(ReceiptSignature(bytes.fromhex(receipt.digest()), bytes.fromhex(mine)))
        answer = self._expect(ReceiptSignature)
        if answer.receipt_digest.hex() != receipt.digest():
            raise MalformedMessageError("session.receipts-differ")
        theirs = answer.signature.hex()
        self._verify(receipt, theirs)
        self.channel.flush()
        return mine, theirs

    def fail(self, error: BaseException) -> None:
        """Tell the peer, by a closed code only, that we ended the session."""
        if isinstance(error, PscError):
            self.channel.abort(error.abort_code)
        else:
            self.channel.abort(PscError.abort_code)

    def _expect(self, kind: type[M]) -> M:
        message = self.recv()
        if not isinstance(message, kind):
            raise UnexpectedMessageError("session.unexpected-message", expected=kind.__name__, got=type(message).__name__)
        return message
