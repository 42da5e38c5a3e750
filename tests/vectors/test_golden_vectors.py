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


def test_sealed_rows_by_the_documentation() -> None:
    from blake3 import blake3

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, "little")

    label, width, tag = PREFIX + b"Row-" + CONTEXT, 3, 12
    bound = number(len(label), 8) + label + number(16, 8) + number(tag, 8) + number(width, 8)
    key = blake3(bound, derive_key_context="psc sealed rows 1").digest()
    outputs, sealed = bytes.fromhex(KNOWN["outputs"]), bytes.fromhex(KNOWN["sealed_rows"])
    entries = [sealed[at : at + 31] for at in range(0, len(sealed), 31)]
    assert entries == sorted(entries)
    assert len(entries) == 5
    for item, counter, payload in [(1, 2, b"one"), (0, 1, b"two"), (1, 1, b"six")]:
        seed = outputs[64 * item + 32 : 64 * item + 64] + number(counter, 4)
        stream = blake3(seed + number(0, 4) + bytes(24), key=key).digest(64)
        text = bytes(byte ^ pad for byte, pad in zip(payload, stream[tag + 32 :]))
        parts = stream[tag : tag + 16], stream[tag + 16 : tag + 32], text
        point, mask, element = (int.from_bytes(part, "little") for part in parts)
        assert stream[:tag] + text + number(_product(element, point) ^ mask, 16) in entries


def _product(left: int, right: int) -> int:
    """Multiply in GF(2)[X]/(X^128 + X^7 + X^2 + X + 1)."""
    product = 0
    for bit in range(128):
        product ^= (left << bit) * (right >> bit & 1)
    for bit in reversed(range(128, 256)):
        product ^= (0x87 << (bit - 128) | 1 << bit) * (product >> bit & 1)
    return product
