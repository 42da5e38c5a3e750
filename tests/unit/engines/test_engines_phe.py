"""What plain ``phe`` encrypts is summed here and decrypts in ``phe``; what ``phe`` would let pass is refused."""

from __future__ import annotations

import numpy as np
import pytest

from psc.crypto import Rng
from psc.engines import phe as edge
from psc.engines.paillier_keys import PrivateKey
from psc.errors import DataError, InvalidElementError, RemoteProtocolError, UsageError

paillier = pytest.importorskip("phe.paillier")

VALUES = [5, -7, 2**40, -(2**40) - 1, 0, 19999]
CELLS = np.array([0, 1, 0, 1, -1, 0], np.int32)
SUMS = [5 + 2**40 + 19999, -7 - 2**40 - 1, 0]


@pytest.fixture(scope="module")
def rng() -> Rng:
    return Rng.insecure_from_seed(b"tests of phe".ljust(32))


@pytest.fixture(scope="module")
def keys() -> tuple:
    return paillier.generate_paillier_keypair(n_length=2048)


def test_sums_of_values_encrypted_by_phe_decrypt_in_phe(keys: tuple, rng: Rng) -> None:
    public, private = keys
    key = edge.from_phe_public_key(public)
    ciphertexts = edge.from_phe_encrypted(key, [public.encrypt(value) for value in VALUES])
    for weights, offsets, expected in (
        (None, None, SUMS),
        (None, [1, -2, 3], [SUMS[0] + 1, SUMS[1] - 2, 3]),
        (np.array([2, -1, 1, 3, 9, 0]), None, [10 + 2**40, 7 - 3 * (2**40 + 1), 0]),
    ):
        made = edge.masked_sums(key, ciphertexts, CELLS, 3, rng, visible_bits=None, weights=weights, offsets=offsets)
        assert [private.decrypt(edge.to_phe(key, one)) for one in made] == expected


def test_masked_sums_show_their_low_bits_only(keys: tuple, rng: Rng) -> None:
    public, private = keys
    key = edge.from_phe_public_key(public)
    ciphertexts = edge.from_phe_encrypted(key, [public.encrypt(value) for value in VALUES])
    made = [edge.masked_sums(key, ciphertexts, CELLS, 3, rng, visible_bits=64) for _ in range(2)]
    raw = [[private.raw_decrypt(int(one)) for one in each] for each in made]
    assert [[value % 2**64 for value in each] for each in raw] == [[value % 2**64 for value in SUMS]] * 2
    assert all(first != second for first, second in zip(*raw, strict=True))


def test_what_goes_back_is_fresh(keys: tuple, rng: Rng) -> None:
    public, _ = keys
    key = edge.from_phe_public_key(public)
    ciphertexts = edge.from_phe_encrypted(key, [public.encrypt(value) for value in VALUES])
    first, second = (edge.masked_sums(key, ciphertexts, CELLS, 3, rng, visible_bits=None) for _ in range(2))
    plain = int(ciphertexts[0] * ciphertexts[2] * ciphertexts[5] % key.square)
    assert len({int(first[0]), int(second[0]), plain}) == 3


def test_exponents_are_brought_to_one_or_refused_with_their_row(keys: tuple, rng: Rng) -> None:
    public, private = keys
    key = edge.from_phe_public_key(public)
    numbers = [public.encrypt(1.5), public.encrypt(3), public.encrypt(-150.25)]
    assert len({number.exponent for number in numbers}) == 3
    brought = edge.from_phe_encrypted(key, numbers, exponent=-13)
    (one,) = edge.masked_sums(key, brought, np.zeros(3, np.int32), 1, rng, visible_bits=None)
    assert private.decrypt(edge.to_phe(key, one, -13)) == 1.5 + 3 - 150.25
    with pytest.raises(DataError) as refused:
        edge.from_phe_encrypted(key, [*numbers[1:], public.encrypt(0.001)], exponent=-13)
    assert refused.value.fields["row"] == 2
    bomb = paillier.EncryptedNumber(public, numbers[1].ciphertext(), 10**9)
    with pytest.raises(DataError) as refused:
        edge.from_phe_encrypted(key, [numbers[1], bomb])
    assert refused.value.fields["row"] == 1


def test_other_keys_and_wrong_ciphertexts_are_refused_with_their_row(keys: tuple) -> None:
    public, _ = keys
    key = edge.from_phe_public_key(public)
    other, _ = paillier.generate_paillier_keypair(n_length=1024)
    good = public.encrypt(1)
    with pytest.raises(DataError) as foreign:
        edge.from_phe_encrypted(key, [good, other.encrypt(1)])
    assert foreign.value.fields["row"] == 1
    for wrong in (0, public.n, public.nsquare, -3):
        with pytest.raises(InvalidElementError) as refused:
            edge.from_phe_encrypted(key, [good, good, paillier.EncryptedNumber(public, wrong)])
        assert refused.value.fields["index"] == 2
    for n in (0, 1, 15, -7, 2**64, other.n):
        with pytest.raises(RemoteProtocolError):
            edge.from_phe_public_key(paillier.PaillierPublicKey(n))


def test_our_keys_serve_phe(rng: Rng) -> None:
    owner = PrivateKey.generate(2048, rng)
    private = edge.to_phe_private_key(owner)
    ours = owner.encrypt([-12345], rng)[0]
    assert private.decrypt(edge.to_phe(owner.public, ours)) == -12345
    theirs = edge.to_phe_public_key(owner.public).encrypt(-54321)
    n = owner.public.n
    assert owner.decrypt(edge.from_phe_encrypted(owner.public, [theirs])) == [n - 54321]
    again = edge.from_phe_private_key(private)
    assert again.public == owner.public
    assert again.decrypt([ours]) == [n - 12345]


def test_arguments_that_do_not_fit(keys: tuple, rng: Rng) -> None:
    key = edge.from_phe_public_key(keys[0])
    made = edge.from_phe_encrypted(key, [keys[0].encrypt(1)] * 2)
    one = np.zeros(2, np.int32)
    bad = [
        {"cells": one[:1]},
        {"cells": one + 1},
        {"cells": one - 2},
        {"cells": one.astype(np.int64)},
        {"offsets": [1, 2]},
        {"weights": np.array([1, 2**32])},
        {"visible_bits": 0},
    ]
    for changed in bad:
        arguments = {"cells": one, "visible_bits": None} | changed
        with pytest.raises(UsageError):
            edge.masked_sums(key, made, arguments.pop("cells"), 1, rng, **arguments)
