"""A node's identity: an Ed25519 key that signs hellos, cards, agreements and receipts.

The identity is what a partner pins. It signs documents whatever carried them, and never takes part in TLS, whose
certificates come from the node's own P-256 authority (``psc.node.authority``).

References:
    RFC 8032 (Ed25519); RFC 8032 section 5.1.7 for verification.
"""

from __future__ import annotations

from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from psc.errors import AuthenticationError, StorageError
from psc.types import Document

__all__ = ["Identity", "fingerprint", "verify"]

# The y coordinates of the eight points of small order, canonical or not, little-endian; the sign bit is ignored. Under
# such a "key" one signature can be valid for many messages, so its owner could disown what it signed.
_SMALL_ORDER = frozenset(
    bytes.fromhex(encoding)
    for encoding in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


class Identity:
    """The private half of an identity; its repr shows the public half alone."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public: str = key.public_key().public_bytes_raw().hex()
        """The public key in lower-case hex, 64 characters."""

    @classmethod
    def generate(cls) -> Self:
        """Return a new identity from the operating system's random generator."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, data: bytes, *, path: str) -> Self:
        """Return the identity of a PKCS#8 PEM file.

        Raises:
            StorageError: the file is not an Ed25519 private key.
        """
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError):
            raise StorageError("node.key-damaged", path=path) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise StorageError("node.key-damaged", path=path)
        return cls(key)

    def to_pem(self) -> bytes:
        """Return the private key as PKCS#8 PEM, unencrypted.

        Security:
            Only for a file with mode 0600 in the home's key folder.
        """
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, document: Document) -> str:
        """Return the signature over a document's signing input, in lower-case hex (128 characters)."""
        return self._key.sign(document.signing_input()).hex()

    def __repr__(self) -> str:
        return f"Identity({self.public[:16]}…)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("an identity is a secret and is not pickled")


def verify(document: Document, signature: str, public: str) -> None:
    """Check a signature over a document.

    Args:
        document: what was signed.
        signature: 128 lower-case hex characters.
        public: the signer's identity, 64 lower-case hex characters.

    Raises:
        AuthenticationError: the signature is not by that identity over that document.
    """
    try:
        raw = bytes.fromhex(public)
        if raw.hex() != public or raw[:31] + bytes([raw[31] & 0x7F]) in _SMALL_ORDER:
            raise ValueError  # noqa: TRY301 - one exit for every malformed key
        signed = bytes.fromhex(signature)
        if signed.hex() != signature:
            raise ValueError  # noqa: TRY301 - one exit for every malformed key
        Ed25519PublicKey.from_public_bytes(raw).verify(signed, document.signing_input())
    except (ValueError, IndexError, InvalidSignature):
        raise AuthenticationError("node.signature-wrong", kind=document.KIND, identity=fingerprint(public)) from None


def fingerprint(identity: str) -> str:
    """Return the first 32 hex characters of an identity in groups of four, for comparing by telephone."""
    head = identity[:32]
    return " ".join(head[start : start + 4] for start in range(0, len(head), 4))
