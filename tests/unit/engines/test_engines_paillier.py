"""Paillier against known answers and ``phe``; keys and ciphertexts that must be refused."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import gmpy2
import numpy as np
import pytest

from psc.crypto import Rng
from psc.engines.paillier import PAILLIER_2048, PaillierEngine, Sums, high_mask
from psc.engines.paillier_keys import PROOF_ROOTS, PrivateKey, PublicKey, in_threads, random_below, to_bytes
from psc.errors import InvalidElementError, MalformedMessageError, ParameterMismatchError, RemoteProtocolError, UsageError

KAT = json.loads((Path(__file__).parents[2] / "vectors" / "data" / "paillier_kat.json").read_text(encoding="utf-8"))["keys"]
SIZES = [pytest.param(key, id=str(key["bits"])) for key in KAT]


def number(text: str) -> int:
    return gmpy2.mpz(int(text, 16))


def private(key: dict) -> PrivateKey:
    return PrivateKey(number(key["p"]), number(key["q"]))


@pytest.fixture(scope="module")
def rng() -> Rng:
    return Rng.insecure_from_seed(b"tests of paillier".ljust(32))


@pytest.mark.parametrize("key", SIZES)
def test_known_answers_of_encryption_and_decryption(key: dict) -> None:
    owner = private(key)
    public = PublicKey.checked(number(key["n"]), key["bits"])
    assert owner.public == public
    assert len(key["encrypt"]) == 9
    for case in key["encrypt"]:
        n, square = public.n, public.square
        assert (1 + number(case["m"]) * n) * gmpy2.powmod(number(case["r"]), n, square) % square == number(case["c"])
    ciphertexts = [number(case["c"]) for case in key["encrypt"]]
    public.check_ciphertexts(ciphertexts)
    assert owner.decrypt(ciphertexts) == [number(case["m"]) for case in key["encrypt"]]


@pytest.mark.parametrize("key", SIZES)
def test_known_answers_of_sums(key: dict) -> None:
    public = PublicKey.checked(number(key["n"]))
    ciphertexts = [number(case["c"]) for case in key["encrypt"]]
    added = Sums(public, 1)
    added.add([ciphertexts[key["add"]["i"]], ciphertexts[key["add"]["j"]]], [0, 0])
    assert added.products() == [number(key["add"]["c"])]
    times = Sums(public, 1)
    times.add([ciphertexts[key["mul_scalar"]["i"]]], [0], [int(key["mul_scalar"]["k"])])
    assert times.products() == [number(key["mul_scalar"]["c"])]


class Counted:
    """A ciphertext that notes what it is multiplied with."""

    def __init__(self, value: int, seen: list[int]) -> None:
        self.value, self.seen = value, seen

    def __rmul__(self, other: int) -> int:
        self.seen.append(int(other).bit_length())
        return other * self.value


PLACES = {
    "no cell": [-1] * 8,
    "one cell": [2] * 8,
    "each its own": [0, 1, 2, -1, -1, 2, 1, 0],
    "one in a cell": [-1] * 7 + [1],
}


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_a_sum_takes_the_same_work_whichever_values_are_in_it(rng: Rng, places: list[int]) -> None:
    """As many multiplications, of numbers of one size, for every choice of cells: the key's owner waits for the reply."""
    owner = PrivateKey.generate(2048, rng)
    values = owner.encrypt([3, 10, -4, 5, 0, 7, 100, -1], rng)
    seen: list[int] = []
    sums = Sums(owner.public, 3)
    sums.add([Counted(value, seen) for value in values], places)  # type: ignore[misc]
    assert len(seen) == len(values)
    assert min(seen) > 4096 - 64
    want = [sum(v for v, place in zip([3, 10, -4, 5, 0, 7, 100, -1], places, strict=True) if place == cell) for cell in range(3)]
    assert owner.decrypt(sums.products()) == [value % owner.public.n for value in want]


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_a_weighted_sum_takes_the_same_work_whatever_the_weights(
    rng: Rng, places: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = PrivateKey.generate(2048, rng)
    plain, weights = [3, 10, -4, 5, 0, 7, 100, -1], [0, 1, -1, 2**32 - 1, 1 - 2**32, 17, 0, 5]
    exponents: list[int] = []
    power = gmpy2.powmod_sec

    def noted(base: int, exponent: int, modulus: int) -> int:
        exponents.append(int(exponent).bit_length())
        return power(base, exponent, modulus)

    monkeypatch.setattr(gmpy2, "powmod_sec", noted)
    sums = Sums(owner.public, 3)
    ciphertexts = owner.encrypt(plain, rng)
    exponents.clear()
    sums.add(ciphertexts, places, weights)
    assert exponents == [34] * len(plain)
    sums.add(ciphertexts, places)  # without weights, in between
    sums.add(ciphertexts, places, [-1] * len(plain))
    want = [sum(v * w for v, w, place in zip(plain, weights, places, strict=True) if place == cell) for cell in range(3)]
    assert owner.decrypt(sums.products()) == [value % owner.public.n for value in want]


@pytest.mark.parametrize("key", SIZES)
def test_moduli_that_must_be_refused(key: dict) -> None:
    assert set(key["must_reject_moduli"]) == {"even", "prime", "square", "short_1024", "small_factor"}
    for name, text in key["must_reject_moduli"].items():
        with pytest.raises(RemoteProtocolError):
            PublicKey.checked(number(text))
        assert name
    for n in (0, 1, 15, -7, 2**64, -number(key["n"])):
        with pytest.raises(ParameterMismatchError):
            PublicKey.checked(n)
    other = 3072 if key["bits"] == 2048 else 2048
    with pytest.raises(ParameterMismatchError):
        PublicKey.checked(number(key["n"]), other)


@pytest.mark.parametrize("key", SIZES)
def test_each_check_of_a_modulus_can_fail(key: dict) -> None:
    bits = key["bits"]
    reasons = set()
    prime = gmpy2.next_prime(gmpy2.mpz(3) << (bits - 2))
    small = gmpy2.next_prime(gmpy2.mpz(3) << (bits - 18)) * 65521
    for n in (number(key["n"]) + 1, prime, number(key["p"]) ** 2, small):
        with pytest.raises(MalformedMessageError) as refused:
            PublicKey.checked(n, bits)
        reasons.add(refused.value.fields["reason"])
    assert len(reasons) == 4


@pytest.mark.parametrize("key", SIZES)
def test_ciphertexts_that_must_be_refused(key: dict) -> None:
    public = PublicKey.checked(number(key["n"]))
    good = [number(case["c"]) for case in key["encrypt"]]
    assert set(key["must_reject_ciphertexts"]) == {"zero", "n", "n_squared", "n_squared_plus_5", "multiple_of_p"}
    for text in [*key["must_reject_ciphertexts"].values(), "-0x3"]:
        for at in range(len(good) + 1):
            with pytest.raises(InvalidElementError) as refused:
                public.check_ciphertexts([*good[:at], number(text), *good[at:]])
            assert refused.value.fields["index"] == at


def test_a_key_is_proved_to_be_one_and_only_for_its_context(rng: Rng) -> None:
    owner = PrivateKey.generate(2048, rng)
    data = owner.material(b"context")
    assert len(data) == 256 * (1 + PROOF_ROOTS)
    assert PublicKey.proved(data, 2048, b"context") == owner.public
    for start in range(256, len(data), 256):
        wrong = bytearray(data)
        wrong[start + 255] ^= 1
        with pytest.raises(MalformedMessageError):
            PublicKey.proved(bytes(wrong), 2048, b"context")
    bad = (data[:-1], data + b"\0", b"", data[:256] + bytes(len(data) - 256))
    for given, context in [(data, b"other"), *((one, b"context") for one in bad)]:
        with pytest.raises(MalformedMessageError):
            PublicKey.proved(given, 2048, context)


def test_a_modulus_that_shares_a_factor_with_its_order_has_no_proof(rng: Rng) -> None:
    # p divides q - 1: the mask r^n does not reach the part of the group where the choice of values would show.
    p = gmpy2.next_prime((gmpy2.mpz(1) << 960) - (1 << 900))
    q = next(k * p + 1 for k in range((1 << 128) - (1 << 100), 1 << 128, 2) if gmpy2.is_prime(k * p + 1))
    n = p * q
    assert math.gcd(int(n), int((p - 1) * (q - 1))) != 1
    PublicKey.checked(n, 2048)  # the checks without a proof do not see it
    with pytest.raises(ZeroDivisionError):
        PrivateKey(p, q).material(b"context")  # no n-th roots
    forged = b"".join(to_bytes(value, 256) for value in (n, *random_below(n, rng, PROOF_ROOTS)))
    with pytest.raises(MalformedMessageError):
        PublicKey.proved(forged, 2048, b"context")


def test_encryption_with_and_without_the_primes_gives_the_same_plaintexts(rng: Rng) -> None:
    owner = private(KAT[0])
    n = int(owner.public.n)
    values = [0, 1, -1, 2**63 - 1, -(2**63), n - 1, 12345]
    for made in (owner.encrypt(values, rng), owner.public.encrypt(values, rng)):
        owner.public.check_ciphertexts(made)
        assert [int(v) for v in owner.decrypt(made)] == [v % n for v in values]
        assert len(set(made)) == len(values)


def test_masks_of_high_bits_keep_sums_from_wrapping(rng: Rng) -> None:
    key = private(KAT[0]).public
    for bits in (1, 40, 64, 1024):
        masks = high_mask(key, bits, rng, 50)
        assert all(mask % (1 << bits) == 0 and 2**160 <= mask < key.n - 2**160 for mask in masks)
        assert len(set(masks)) == 50
    # they spread over the whole range: the top bits of 200 masks fall on both sides of a quarter and of three quarters
    parts = {int(mask * 4 // key.n) for mask in high_mask(key, 64, rng, 200)}
    assert parts == {0, 1, 2, 3}
    for bits in (0, 1025):
        with pytest.raises(UsageError):
            high_mask(key, bits, rng, 1)


def test_tagging_by_powers_of_two_shows_64_bits_at_most(rng: Rng) -> None:
    # An owner encrypts 2^0 … 2^199 to read from the sum who is in it.
    owner = private(KAT[0])
    tags = [1 << bit for bit in range(200)]
    chosen = [bit % 3 != 0 for bit in range(200)]
    sums = Sums(owner.public, 1)
    sums.add(owner.encrypt(tags, rng), [0 if one else -1 for one in chosen])
    truth = sum(tag for tag, one in zip(tags, chosen, strict=True) if one)
    assert owner.decrypt(sums.products()) == [truth]  # without the mask everything shows
    seen = [int(owner.decrypt(sums.replies(high_mask(owner.public, 64, rng, 1), rng))[0]) for _ in range(20)]
    assert {value % 2**64 for value in seen} == {truth % 2**64}
    high = [(value >> 64) % 2**136 for value in seen]
    assert len(set(high)) == 20
    assert truth >> 64 not in high


def test_a_private_key_shows_and_pickles_nothing() -> None:
    owner = private(KAT[0])
    assert str(int(owner.p)) not in repr(owner)
    assert "2048" in repr(owner)
    with pytest.raises(TypeError):
        pickle.dumps(owner)


def test_keys_have_the_size_that_is_asked(rng: Rng) -> None:
    for bits in (2048, 3072):
        key = PrivateKey.generate(bits, rng)
        assert key.public.bits == bits
        assert gmpy2.is_prime(key.p)
        assert gmpy2.is_prime(key.q)
        assert PublicKey.checked(key.public.n, bits) == key.public
    with pytest.raises(UsageError):
        PrivateKey.generate(1024, rng)


def test_threads_keep_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    items = list(range(1000))
    for threads in ("1", "3"):
        monkeypatch.setenv("PSC_THREADS", threads)
        assert in_threads(lambda part: [x * x for x in part], items, batch=7) == [x * x for x in items]
    assert in_threads(lambda part: list(part), []) == []
    monkeypatch.setenv("PSC_THREADS", "none")
    with pytest.raises(UsageError):
        in_threads(lambda part: list(part), items)


def test_a_key_of_another_section_is_refused(rng: Rng) -> None:
    owner = PAILLIER_2048.owner(b"context", 3, 1, rng)
    PAILLIER_2048.matcher(b"context", 3, 1, 1, owner.key_material())
    for context, section in ((b"context", 4), (b"contexu", 3)):
        with pytest.raises(MalformedMessageError):
            PAILLIER_2048.matcher(context, section, 1, 1, owner.key_material())
    with pytest.raises(MalformedMessageError):
        PaillierEngine(3072).matcher(b"context", 3, 1, 1, owner.key_material())


def test_no_exponent_is_on_the_wire(rng: Rng) -> None:
    owner = PAILLIER_2048.owner(b"context", 0, 1, rng)
    ((one,), (other,)) = owner.encrypt(0, np.array([[1], [10**12]]))
    assert len(one) == len(other) == 512  # a ciphertext fills its message
