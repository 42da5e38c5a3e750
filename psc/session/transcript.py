"""One hash per direction over everything that a session sent, compared through the signed receipt."""

from __future__ import annotations

import hashlib

from psc.session.channel import frame_digest

__all__ = ["Transcript"]


class Transcript:
    """Running SHA-256 of the frames of one direction; each frame enters as its length and its own SHA-256, in order.

    Args:
        session_id: 32 bytes; binds the hash to its session.
        direction: ``initiator-to-responder`` or ``responder-to-initiator``.
    """

    def __init__(self, session_id: bytes, direction: str) -> None:
        self._hash = hashlib.sha256(b"psc/v1/transcript\x00" + session_id + direction.encode())

    def add(self, frame: bytes) -> None:
        """Take in the next frame of this direction."""
        self._hash.update(len(frame).to_bytes(4, "big") + frame_digest(frame))

    def hexdigest(self) -> str:
        """Return the hash of all frames so far, in hex; more may follow."""
        return self._hash.copy().hexdigest()
