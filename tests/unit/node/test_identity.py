import pickle
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from psc.errors import AuthenticationError, StorageError
from psc.node.identity import _SMALL_ORDER, Identity, fingerprint, verify
from psc.types import Document
from tests.homes import code_of


class Note(Document):
    KIND: ClassVar[str] = "note"
    text: str


class Order(Document):
    KIND: ClassVar[str] = "order"
    text: str


def test_a_signature_verifies_and_nothing_else_does() -> None:
    one, two = Identity.generate(), Identity.generate()
    note = Note(text="a")
    signature = one.sign(note)
    verify(note, signature, one.public)
    flipped = signature[:-1] + ("0" if signature[-1] != "0" else "1")
    for document, said, public in (
        (Note(text="b"), signature, one.public),
        (Order(text="a"), signature, one.public),
        (note, signature, two.public),
        (note, flipped, one.public),
        (note, "", one.public),
        (note, signature.upper(), one.public),
        (note, signature + "00", one.public),
        (note, "zz" * 64, one.public),
        (note, " " + signature, one.public),
        (note, signature, one.public.upper()),
        (note, signature, one.public[:-2]),
        (note, signature, ""),
        (note, signature, "ff" * 32),
    ):
        error = code_of(AuthenticationError, lambda d=document, s=said, p=public: verify(d, s, p))
        assert error.code == "node.signature-wrong"


def test_an_identity_comes_back_from_its_pem() -> None:
    identity = Identity.generate()
    again = Identity.from_pem(identity.to_pem(), path="x")
    assert again.public == identity.public
    verify(Note(text="a"), again.sign(Note(text="a")), identity.public)


def test_another_kind_of_key_is_not_an_identity() -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert code_of(StorageError, lambda: Identity.from_pem(pem, path="x")).code == "node.key-damaged"


def test_an_identity_shows_nothing_of_its_key_and_does_not_pickle() -> None:
    identity = Identity.generate()
    assert repr(identity) == f"Identity({identity.public[:16]}…)"
    with pytest.raises(TypeError):
        pickle.dumps(identity)


def test_a_fingerprint_is_readable() -> None:
    assert fingerprint("0123456789abcdef" * 4) == "0123 4567 89ab cdef 0123 4567 89ab cdef"


# The points of small order, derived anew: RFC 8032 arithmetic in plain integers.
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    product = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, P) % P
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P) % P
    return x, y


def times(k: int, point: tuple[int, int]) -> tuple[int, int]:
    found = (0, 1)
    while k:
        if k & 1:
            found = add(found, point)
        point = add(point, point)
        k >>= 1
    return found


def lift(y: int) -> tuple[int, int] | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (x, y) if x * x % P == square else None


def test_the_list_of_small_order_points_is_complete() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    found: set[tuple[int, int]] = set()
    y = 2
    while len(found) < 8:
        point = lift(y)
        if point is not None:
            small = times(order, point)
            found |= {times(k, small) for k in range(8)}
        y += 1
    encodings = {y.to_bytes(32, "little") for _, y in found}
    encodings |= {(y + P).to_bytes(32, "little") for _, y in found if y + P < 2**255}
    assert encodings == _SMALL_ORDER


def test_a_key_of_small_order_never_verifies() -> None:
    # Under the identity element as "key", R = s·B is a valid signature of every message; take s = 0, R = identity.
    forged = (1).to_bytes(32, "little").hex() + "00" * 32
    for encoding in _SMALL_ORDER:
        for sign in (0, 0x80):
            key = encoding[:31] + bytes([encoding[31] | sign])
            code_of(AuthenticationError, lambda key=key: verify(Note(text="anything"), forged, key.hex()))
