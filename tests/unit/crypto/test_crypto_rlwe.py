"""Packed additive encryption: exact sums, limits, and every malformed message refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from psc.crypto import RLWE, Rng
from psc.crypto.rlwe import RlweMatcher, RlweOwner
from psc.crypto.sums import SumEngine, SumMatcher, SumOwner
from psc.errors import CryptoError, LimitExceededError, MalformedMessageError, PscError, UsageError

CONTEXT = b"context of the tests"
PRIMES = (4398046150657, 4398045708289, 4398045511681, 4398045380609)
N = 8192
PLANE = N * 42 // 8
Section = tuple[RlweOwner, bytes, list[bytes]]


@pytest.fixture(scope="module")
def section() -> tuple[bytes, list[bytes]]:
    owner = RLWE.owner(CONTEXT, 0, 2, Rng.insecure_from_seed(b"section"))
    return owner.key_material(), owner.encrypt(0, np.arange(20).reshape(10, 2))[0]


def matcher_of(material: bytes, cells: int = 1) -> SumMatcher:
    return RLWE.matcher(CONTEXT, 0, 2, cells, material)


def zeros(*shape: int) -> NDArray[np.uint64]:
    return np.zeros(shape, np.uint64)


def test_the_engine_keeps_the_contract() -> None:
    engine: SumEngine = RLWE
    owner: SumOwner = engine.owner(CONTEXT, 0, 3, Rng.system())
    assert (engine.id, engine.block, engine.max_cells) == ("rlwe-8192-168/1", N, 40)
    assert len(owner.key_material()) == engine.key_bytes(3) == 3 * 21 * N
    assert [[len(one) for one in block] for block in owner.encrypt(0, np.zeros((N + 1, 3), np.int64))] == [[21 * N] * 3] * 2
    assert engine.ciphertext_bytes == 21 * N
    assert engine.reply_bytes(3) == 21 * N + 63
    assert owner.encrypt(9, np.zeros((0, 3), np.int64)) == []


def test_sums_of_cells_plus_offsets_come_back_exactly() -> None:
    draw = np.random.default_rng(1)
    rng = Rng.insecure_from_seed(b"sums")
    n, columns, cells = 6 * N - 5, 3, 4
    values = draw.integers(-(1 << 63), (1 << 63) - 1, (n, columns), dtype=np.int64, endpoint=True)
    chosen = draw.integers(-1, cells, n, dtype=np.int32)
    offsets = draw.integers(0, 1 << 64, (cells, columns), dtype=np.uint64)
    owner = RLWE.owner(CONTEXT, 7, columns, rng)
    matcher = RLWE.matcher(CONTEXT, 7, columns, cells, owner.key_material())
    for first, stop in ((0, 5), (5, 6)):
        part = slice(first * N, stop * N)
        matcher.absorb(first, owner.encrypt(first, values[part]), chosen[part])
    released = owner.release(matcher.finish(offsets, rng))
    expected = [values.view(np.uint64)[chosen == cell].sum(0, dtype=np.uint64) for cell in range(cells)]
    assert np.array_equal(released, np.stack(expected) + offsets)


def test_strided_arrays_are_read_in_order() -> None:
    rng = Rng.system()
    owner = RLWE.owner(CONTEXT, 0, 2, rng)
    values = np.arange(40, dtype=np.int64).reshape(2, 20).T
    material, blocks = owner.key_material(), owner.encrypt(0, values)
    matcher = matcher_of(material)
    matcher.absorb(0, blocks, np.repeat(np.array([[0, -1]], np.int32), 10, axis=0).T.reshape(-1, order="F"))
    assert owner.release(matcher.finish(zeros(1, 2), rng)).tolist() == [[90, 90 + 200]]


def test_cells_without_positions_give_their_offsets() -> None:
    rng = Rng.system()
    owner = RLWE.owner(CONTEXT, 0, 2, rng)
    matcher = matcher_of(owner.key_material(), 40)
    offsets = np.arange(80, dtype=np.uint64).reshape(40, 2)
    assert np.array_equal(owner.release(matcher.finish(offsets, rng)), offsets)


def damaged(polynomial: bytes, position: int, prime: int, value: int) -> bytes:
    """Return a polynomial with one residue replaced."""
    first = prime * PLANE * 8 + position * 42
    number = int.from_bytes(polynomial, "little")
    number = number & ~(((1 << 42) - 1) << first) | value << first
    return number.to_bytes(len(polynomial), "little")


BAD_POLYNOMIALS: list[Callable[[bytes], bytes]] = [
    lambda good: good[:-1],
    lambda good: good + b"\0",
    lambda good: b"",
    lambda good: good[:PLANE],
    *(
        lambda good, at=position, index=prime, value=value: damaged(good, at, index, value)
        for position in (0, 1, N // 2, N - 1)
        for prime in range(4)
        for value in (PRIMES[prime], PRIMES[prime] + 1, (1 << 42) - 1)
    ),
]


@pytest.mark.parametrize("damage", BAD_POLYNOMIALS)
def test_malformed_keys_ciphertexts_and_replies_are_refused(
    section: tuple[bytes, list[bytes]], damage: Callable[[bytes], bytes]
) -> None:
    material, block = section
    second = material[: 21 * N] + damage(material[21 * N :])
    with pytest.raises(MalformedMessageError) as key:
        matcher_of(second)
    with pytest.raises(MalformedMessageError) as ciphertext:
        matcher_of(material).absorb(0, [[block[0], damage(block[1])]], np.zeros(10, np.int32))
    owner = RLWE.owner(CONTEXT, 0, 2, Rng.system())
    matcher = matcher_of(owner.key_material(), 2)
    first, last = matcher.finish(zeros(2, 2), Rng.system())
    with pytest.raises(MalformedMessageError) as reply:
        owner.release([first, damage(last[: 21 * N]) + last[21 * N :]])
    codes = {"crypto.polynomial-length", "crypto.residue-not-canonical"}
    for caught, what in ((key, "key"), (ciphertext, "ciphertext"), (reply, "reply")):
        assert caught.value.code in codes
        assert caught.value.fields["what"] == what
    with pytest.raises(UsageError, match="once"):
        owner.release([first, last])


def test_the_first_bad_coefficient_is_named(section: tuple[bytes, list[bytes]]) -> None:
    material, block = section
    bad = damaged(damaged(block[0], 4099, 2, PRIMES[2]), 5000, 2, PRIMES[2])
    with pytest.raises(MalformedMessageError) as caught:
        matcher_of(material).absorb(0, [[bad, block[1]]], np.zeros(1, np.int32))
    assert caught.value.fields == {"what": "ciphertext", "position": 4099, "prime": 2}


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("prime", range(4))
def test_a_malformed_coefficient_of_a_reply_is_refused(column: int, prime: int) -> None:
    owner = RLWE.owner(CONTEXT, 0, 2, Rng.system())
    reply = matcher_of(owner.key_material()).finish(zeros(1, 2), Rng.system())[0]
    tail = bytearray(reply[21 * N :])
    number = int.from_bytes(tail[21 * column : 21 * column + 21], "little")
    number = number & ~(((1 << 42) - 1) << 42 * prime) | PRIMES[prime] << 42 * prime
    tail[21 * column : 21 * column + 21] = number.to_bytes(21, "little")
    with pytest.raises(MalformedMessageError) as caught:
        owner.release([reply[: 21 * N] + bytes(tail)])
    assert caught.value.code == "crypto.residue-not-canonical"


@pytest.mark.parametrize("length", [0, 21 * N, 21 * N + 41, 21 * N + 43, 21 * N + 63])
def test_replies_of_another_length_are_refused(length: int) -> None:
    owner = RLWE.owner(CONTEXT, 0, 2, Rng.system())
    with pytest.raises(MalformedMessageError) as caught:
        owner.release([bytes(length)])
    assert caught.value.fields == {"what": "reply", "length_bytes": length, "expected_bytes": 21 * N + 42}


@pytest.mark.parametrize(("blocks", "columns"), [(0, 2), (2, 2), (1, 0), (1, 1), (1, 3)])
def test_another_number_of_ciphertexts_is_refused(section: tuple[bytes, list[bytes]], blocks: int, columns: int) -> None:
    material, block = section
    matcher = matcher_of(material)
    with pytest.raises(MalformedMessageError) as caught:
        matcher.absorb(0, [(block * 2)[:columns]] * blocks, np.zeros(10, np.int32))
    assert caught.value.code == "crypto.ciphertext-count"
    with pytest.raises(UsageError, match="once"):
        matcher.finish(zeros(1, 2), Rng.system())


def test_what_belongs_to_another_context_or_section_decrypts_to_nothing_of_use() -> None:
    rng = Rng.insecure_from_seed(b"other")
    for context, number in ((b"another context", 0), (CONTEXT, 1)):
        owner = RLWE.owner(CONTEXT, 0, 1, rng)
        matcher = RLWE.matcher(context, number, 1, 1, owner.key_material())
        matcher.absorb(0, owner.encrypt(0, np.ones((5, 1), np.int64)), np.zeros(5, np.int32))
        assert owner.release(matcher.finish(zeros(1, 1), rng)).tolist() != [[5]]


def test_a_key_set_releases_at_most_forty_cells_and_once() -> None:
    rng = Rng.system()
    for cells in (0, 41, 1 << 40):
        with pytest.raises(UsageError):
            RLWE.matcher(CONTEXT, 0, 1, cells, RLWE.owner(CONTEXT, 0, 1, rng).key_material())
    owner = RLWE.owner(CONTEXT, 0, 1, rng)
    replies = RLWE.matcher(CONTEXT, 0, 1, 40, owner.key_material()).finish(zeros(40, 1), rng)
    with pytest.raises(LimitExceededError) as caught:
        owner.release([*replies, replies[0]])
    assert caught.value.fields == {"count": 41, "limit": 40}
    with pytest.raises(UsageError, match="once"):
        owner.release(replies)
    with pytest.raises(UsageError, match="once"):
        owner.encrypt(0, np.zeros((1, 1), np.int64))
    other = RLWE.owner(CONTEXT, 0, 1, rng)
    assert other.release([]).shape == (0, 1)
    with pytest.raises(UsageError, match="once"):
        other.release([])


def test_a_block_number_serves_once() -> None:
    owner = RLWE.owner(CONTEXT, 0, 1, Rng.system())
    owner.encrypt(3, np.zeros((N + 1, 1), np.int64))
    for number in (0, 3, 4):
        with pytest.raises(UsageError) as caught:
            owner.encrypt(number, np.zeros((1, 1), np.int64))
        assert caught.value.fields["what"] == "first_block"
    owner.encrypt(5, np.zeros((1, 1), np.int64))


@pytest.mark.parametrize("weight", [1, (1 << 32) - 1])
def test_sums_that_could_be_inexact_are_refused(weight: int) -> None:
    half = PRIMES[0] * PRIMES[1] * PRIMES[2] * PRIMES[3] >> 65

    def allowed(blocks: int) -> bool:
        product = blocks * N * weight
        bound = 21 * product + -(-product // 2) + 21 * (2 * N + 1)
        return half - bound - 1 >= bound << 40

    most, beyond = 0, 1 << 50
    while beyond - most > 1:
        middle = (most + beyond) // 2
        most, beyond = (middle, beyond) if allowed(middle) else (most, middle)
    assert most * N > 1 << 26
    RLWE.check(most * N, weight)
    RLWE.check(0, 0)
    for positions in (most * N + 1, 1 << 63):
        with pytest.raises(CryptoError) as caught:
            RLWE.check(positions, min(weight, 2))
        assert caught.value.code == "crypto.sum-too-large"
    with pytest.raises(UsageError):
        RLWE.check(1, 1 << 32)


def bad_arguments() -> list[Callable[[], object]]:
    rng = Rng.insecure_from_seed(b"arguments")
    owner = RLWE.owner(CONTEXT, 0, 2, rng)
    material = owner.key_material()
    block = owner.encrypt(0, np.zeros((4, 2), np.int64))
    one = np.zeros(4, np.int32)

    def absorb(cells: object, weights: object = None) -> Callable[[], object]:
        return lambda: matcher_of(material).absorb(0, block, cells, weights)  # type: ignore[arg-type]

    return [
        lambda: RLWE.owner(b"", 0, 1, rng),
        lambda: RLWE.owner(CONTEXT, 0, 0, rng),
        lambda: RLWE.owner(CONTEXT, 1 << 32, 1, rng),
        lambda: RLWE.owner(CONTEXT, 0, 1025, rng),
        lambda: owner.encrypt(1, np.zeros((4, 3), np.int64)),
        lambda: owner.encrypt(1, np.zeros(4, np.int64)),
        lambda: owner.encrypt(1, np.zeros((4, 2), np.int32)),  # type: ignore[arg-type]
        lambda: owner.encrypt(1, np.zeros((4, 2))),  # type: ignore[arg-type]
        absorb(one + 1),
        absorb(one - 2),
        absorb(np.full(4, 1 << 30, np.int32)),
        absorb(one.astype(np.int64)),
        absorb(one, np.zeros(3, np.int64)),
        absorb(one, np.zeros(4, np.int32)),
        absorb(one, np.full(4, 1 << 32, np.int64)),
        absorb(one, np.full(4, -(1 << 32), np.int64)),
        absorb(one, np.full(4, -(1 << 63), np.int64)),
        lambda: matcher_of(material).finish(zeros(2, 1), rng),
        lambda: matcher_of(material).finish(zeros(2), rng),
        lambda: matcher_of(material).finish(np.zeros((1, 2), np.int64), rng),  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize("index", range(len(bad_arguments())))
def test_wrong_arguments_are_usage_errors(index: int) -> None:
    with pytest.raises(UsageError):
        bad_arguments()[index]()


def test_secrets_show_nothing_and_do_not_travel() -> None:
    import copy
    import pickle

    owner = RLWE.owner(CONTEXT, 0, 1, Rng.system())
    matcher = RLWE.matcher(CONTEXT, 0, 1, 1, owner.key_material())
    assert isinstance(owner, RlweOwner)
    assert isinstance(matcher, RlweMatcher)
    for secret in (owner, matcher):
        assert repr(secret).startswith("<psc.")
        with pytest.raises((TypeError, PscError)):
            pickle.dumps(secret)
        with pytest.raises((TypeError, PscError)):
            copy.deepcopy(secret)
