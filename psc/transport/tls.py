"""What a TLS end needs, as the node layer hands it over."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["TlsMaterial"]


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """One end's certificate and whom it believes.

    Args:
        certificate_pem: own leaf, then intermediates if any.
        key_pem: its private key, PKCS #8; never shown.
        roots_pem: the authorities that the other end's certificate must come from: a dialler's is the one that the partner's
            card pins, a listener's are all pinned ones and the own.
        server_name: the DNS name that the listener's certificate must carry.
    """

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    roots_pem: bytes
    server_name: str
