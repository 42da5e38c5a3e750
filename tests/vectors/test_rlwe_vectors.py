"""Packed additive encryption: what it sends stays what it was, and plain Python integers read and write it."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from psc.crypto import RLWE, Rng
from tests.vectors import rlwe_oracle as oracle
from tests.vectors.make_rlwe import PATH, transcript
from tests.vectors.test_backends import run

CONTEXT = b"context of the vectors"
N, T = oracle.N, oracle.T
LIMIT = 1 << 32


@pytest.fixture(scope="module")
def known() -> dict[str, object]:
    found: dict[str, object] = json.loads(PATH.read_text())
    return found


PRINT = "import json, sys; from tests.vectors.make_rlwe import transcript; json.dump(transcript(), sys.stdout)"


def test_messages_are_unchanged(known: dict[str, object]) -> None:
    assert transcript() == known
    portable = run("portable", "-c", PRINT)
    assert json.loads(portable.stdout) == known


def test_the_oracle_evaluates_polynomials() -> None:
    rng = random.Random(1)
    polynomial = [rng.randrange(oracle.Q) for _ in range(N)]
    for index, prime in enumerate(oracle.PRIMES):
        values = oracle.to_values(polynomial, index)
        for entry in (0, 1, 2, 4095, 4096, 8191):
            assert values[entry] == oracle.value_at(polynomial, index, entry)
        assert oracle.from_values(values, index) == [x % prime for x in polynomial]


def binomial(rng: random.Random) -> int:
    return rng.getrandbits(21).bit_count() - rng.getrandbits(21).bit_count()


def sparse(rng: random.Random, terms: int) -> oracle.Sparse:
    return {at: rng.choice((-1, 1)) for at in [0, N - 1, *rng.sample(range(1, N - 1), terms - 2)]}


@pytest.mark.parametrize("weighted", [False, True])
def test_our_matcher_serves_the_oracle_as_owner(weighted: bool) -> None:
    rng = random.Random(2 + weighted)
    owner = oracle.Owner(CONTEXT, 9, [sparse(rng, 12), sparse(rng, 5)], lambda: binomial(rng))
    rows = [[rng.randrange(-(T // 2), T // 2) for _ in range(2)] for _ in range(N + 3)]
    cells = [rng.randrange(-1, 2) for _ in rows]
    weights = [rng.choice((1 - LIMIT, LIMIT - 1, 0, -1, 7)) if weighted else 1 for _ in rows]
    offsets = [[rng.randrange(T) for _ in range(2)] for _ in range(2)]
    matcher = RLWE.matcher(CONTEXT, 9, 2, 2, owner.key_material())
    ciphertexts = [owner.encrypt(0, rows[:N]), owner.encrypt(1, rows[N:])]
    matcher.absorb(0, ciphertexts, np.array(cells, np.int32), np.array(weights, np.int64) if weighted else None)
    replies = matcher.finish(np.array(offsets, np.uint64), Rng.system())
    # B and F of docs/protocols/packed-encryption.md, for two blocks.
    weight = LIMIT - 1 if weighted else 1
    bound = 21 * 2 * N * weight + -(-2 * N * weight // 2) + 21 * (2 * N + 1)
    flood = oracle.Q // 2 // T - bound - 1
    assert flood >= bound << 40
    noises = []
    for cell, reply in enumerate(replies):
        assert len(reply) == RLWE.reply_bytes(2)
        for column, number in enumerate(owner.decrypt(reply)):
            chosen = (w * row[column] for row, w, at in zip(rows, weights, cells, strict=True) if at == cell)
            assert number % T == (sum(chosen) + offsets[cell][column]) % T
            noises.append(abs(number // T))
    assert max(noises) <= flood + bound
    assert max(noises) > flood >> 8  # four uniform floods are all that small once in 2^32


@pytest.mark.parametrize("weighted", [False, True])
def test_our_owner_serves_the_oracle_as_matcher(weighted: bool) -> None:
    rng = random.Random(4 + weighted)
    values = np.array([[rng.randrange(-(T // 2), T // 2) for _ in range(3)] for _ in range(N + 40)], np.int64)
    owner = RLWE.owner(CONTEXT, 4, 3, Rng.system())
    blocks = owner.encrypt(2, values)
    matcher = oracle.Matcher(CONTEXT, 4, owner.key_material())
    chosen = {at: rng.choice((1 - LIMIT, LIMIT - 1, 5)) if weighted else 1 for at in [0, 1, N - 1, N, N + 39, 4321]}
    for block in range(2):
        inside = {at - block * N: weight for at, weight in chosen.items() if at // N == block}
        matcher.absorb(2 + block, blocks[block], inside)
    offsets = [rng.randrange(T) for _ in range(3)]
    flood = oracle.Q // 2 // T - (1 << 62)
    reply = matcher.finish(offsets, sparse(rng, 9), lambda: binomial(rng), lambda: rng.randrange(-flood, flood + 1))
    sums = [sum(weight * int(values[at, column]) for at, weight in chosen.items()) for column in range(3)]
    assert owner.release([reply]).tolist() == [[(total + offset) % T for total, offset in zip(sums, offsets, strict=True)]]
