"""RFC 9496 and RFC 9380 vectors, for our kernels and for the oracle; then the two against each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psc import _core
from psc.crypto import Items, PointBatch, Scalar, check, expand_message_xmd, hash_to_group_dst, mask
from psc.errors import InvalidElementError
from tests.vectors import ristretto_oracle as oracle

DATA = Path(__file__).parent / "data"
RFC9496 = json.loads((DATA / "rfc9496_ristretto255.json").read_text())
MULTIPLES = [bytes.fromhex(text) for text in RFC9496["generator_multiples"]]
INVALID = [bytes.fromhex(text) for group in RFC9496["invalid_encodings"].values() for text in group]
EXPANSIONS = json.loads((DATA / "rfc9380_expand_message_xmd_SHA512_38.json").read_text())
scalars = st.integers(1, oracle.ORDER - 1)


def scalar_of(number: int) -> Scalar:
    return Scalar.insecure_from_bytes(number.to_bytes(32, "little"))


def test_multiples_of_the_generator() -> None:
    generator = oracle.decode(MULTIPLES[1])
    assert generator is not None
    for number, encoding in enumerate(MULTIPLES):
        assert oracle.encode(oracle.multiply(generator, number)) == encoding
        if number:
            assert mask(PointBatch(MULTIPLES[1]), scalar_of(number)).data == encoding
    assert check(PointBatch(b"".join(MULTIPLES[1:]))) is None


def test_there_are_29_bad_encodings_and_the_oracle_refuses_them() -> None:
    assert len(INVALID) == 29
    assert all(oracle.decode(encoding) is None for encoding in INVALID)


@pytest.mark.parametrize("bad", [*INVALID, bytes(32)], ids=lambda bad: bad.hex()[:16])
def test_a_bad_encoding_is_refused_at_every_position(bad: bytes) -> None:
    reason = "not canonical" if any(bad) else "identity"
    good = MULTIPLES[1:8]
    items = Items.from_list([b"%d" % index for index in range(len(good))])
    for at in range(len(good)):
        points = PointBatch(b"".join([*good[:at], bad, *good[at + 1 :]]))
        for use in (
            check,
            lambda points: mask(points, scalar_of(7)),
            lambda points: _core.unmask(items, points.data, scalar_of(7), b"Finalize"),
        ):
            with pytest.raises(InvalidElementError) as caught:
                use(points)
            assert caught.value.fields == {"index": at, "reason": reason}


def test_the_first_of_two_bad_encodings_is_named_across_chunks() -> None:
    for first, second in [(0, 1), (255, 256), (256, 999), (511, 700)]:
        points = [MULTIPLES[1]] * 1000
        points[first], points[second] = INVALID[0], bytes(32)
        with pytest.raises(InvalidElementError) as caught:
            mask(PointBatch(b"".join(points)), scalar_of(5))
        assert caught.value.fields["index"] == first


def test_derivations() -> None:
    for case in RFC9496["element_derivation"]:
        uniform, output = bytes.fromhex(case["input"]), bytes.fromhex(case["output"])
        assert _core.derive(uniform) == output
        assert oracle.encode(oracle.derive(uniform)) == output


def test_square_roots_of_the_oracle() -> None:
    for case in RFC9496["sqrt_ratio_m1"]:
        u, v, r = (int.from_bytes(bytes.fromhex(case[name]), "little") for name in "uvr")
        assert oracle.sqrt_ratio_m1(u, v) == (case["was_square"], r)


@pytest.mark.parametrize("case", EXPANSIONS["tests"], ids=lambda case: f"{len(case['msg'])}-{case['len_in_bytes']}")
def test_expansions(case: dict[str, str]) -> None:
    message, dst, length = case["msg"].encode(), EXPANSIONS["DST"].encode(), int(case["len_in_bytes"], 16)
    assert expand_message_xmd(message, dst, length).hex() == case["uniform_bytes"]
    assert oracle.expand_message_xmd(message, dst, length).hex() == case["uniform_bytes"]


@given(st.binary(max_size=300), st.binary(min_size=1, max_size=255), st.integers(1, 400))
def test_expansion_equals_the_oracle(message: bytes, dst: bytes, length: int) -> None:
    assert expand_message_xmd(message, dst, length) == oracle.expand_message_xmd(message, dst, length)


@settings(max_examples=25)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.binary(min_size=1, max_size=255), scalars)
def test_hash_and_mask_equal_the_oracle(messages: list[bytes], dst: bytes, number: int) -> None:
    items = Items.from_list(messages)
    points = [oracle.hash_to_group(message, dst) for message in messages]
    hashed = hash_to_group_dst(items, dst)
    assert hashed.data == b"".join(map(oracle.encode, points))
    products = b"".join(oracle.encode(oracle.multiply(point, number)) for point in points)
    assert mask(hashed, scalar_of(number)).data == products
    assert _core.hash_to_group(items, dst, scalar_of(number)) == products


@given(st.binary(min_size=32, max_size=32) | st.sampled_from(MULTIPLES).map(lambda e: bytes([e[0] ^ 2]) + e[1:]))
def test_decoding_equals_the_oracle(data: bytes) -> None:
    wanted = oracle.decode(data) is not None and any(data)
    try:
        check(PointBatch(data))
    except InvalidElementError:
        assert not wanted
    else:
        assert wanted


@pytest.mark.parametrize("number", [1, 2, 3, oracle.ORDER - 1, oracle.ORDER - 2, (oracle.ORDER + 1) // 2, 2**252])
def test_scalars_at_the_edges(number: int) -> None:
    point = oracle.decode(MULTIPLES[3])
    assert point is not None
    assert mask(PointBatch(MULTIPLES[3]), scalar_of(number)).data == oracle.encode(oracle.multiply(point, number))
    inverse = pow(number, -1, oracle.ORDER)
    assert scalar_of(number).inverse() == scalar_of(inverse)
