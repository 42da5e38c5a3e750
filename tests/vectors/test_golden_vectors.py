"""Our own derivations stay what they were, and are what their documentation says."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.vectors import ristretto_oracle as oracle
from tests.vectors.make_golden import CONTEXT, PATH, SCALAR, golden

KNOWN = json.loads(PATH.read_text())
PREFIX = b"PSC-V1-ristretto255-SHA512-"


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_derivation_is_unchanged(name: str) -> None:
    assert golden()[name] == KNOWN[name]


def test_items_points_outputs_and_tags_by_the_oracle() -> None:
    city = "杭州".encode()
    messages = [
        b"\x02\x05phone\x00\x0e+8613800138000\x04text\x00\x00",
        b"\x02\x05phone\x00\x0e+8613900139000\x04text\x00\x06" + city,
    ]
    assert KNOWN["items"] == [message.hex() for message in messages]
    number = int.from_bytes(SCALAR, "little")
    points = [oracle.hash_to_group(message, PREFIX + CONTEXT) for message in messages]
    masked = [oracle.multiply(point, number) for point in points]
    assert KNOWN["hashed"] == b"".join(map(oracle.encode, points)).hex()
    assert KNOWN["masked"] == b"".join(map(oracle.encode, masked)).hex()
    finals = [oracle.finalize(m, point, PREFIX + b"Finalize-" + CONTEXT) for m, point in zip(messages, masked)]
    assert KNOWN["outputs"] == b"".join(finals).hex()
    label = PREFIX + b"PointTag-" + CONTEXT
    start = len(label).to_bytes(2, "big") + label
    tags = [hashlib.sha512(start + oracle.encode(point)).digest()[:16] for point in masked]
    assert KNOWN["point_tags_16"] == b"".join(tags).hex()


def test_sealed_rows_by_pyca_cryptography() -> None:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    label = PREFIX + b"Row-" + CONTEXT
    start = len(label).to_bytes(2, "big") + label
    outputs, sealed = bytes.fromhex(KNOWN["outputs"]), bytes.fromhex(KNOWN["sealed_rows"])
    entries = [sealed[at : at + 31] for at in range(0, len(sealed), 31)]
    assert entries == sorted(entries)
    assert len(entries) == 5
    for item, counter, payload in [(1, 2, b"one"), (0, 1, b"two"), (1, 1, b"six")]:
        key_half = outputs[64 * item + 32 : 64 * item + 64]
        secrets = hashlib.sha512(start + key_half + counter.to_bytes(4, "big")).digest()
        entry = next(entry for entry in entries if entry[:12] == secrets[:12])
        assert ChaCha20Poly1305(secrets[32:]).decrypt(bytes(12), entry[12:], None) == payload
