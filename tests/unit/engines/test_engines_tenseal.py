"""Hostile bytes for TenSEAL: refused by structure, and harmless in the worker even when they are not. CKKS results stay."""

from __future__ import annotations

import copy
import json
import pickle
import struct
import time

import numpy as np
import pytest

from psc.crypto import Rng
from psc.engines.structure import fields, frame, length_delimited, public_key, seal_object, tensor, unframe, vector
from psc.engines.worker import Worker
from psc.errors import CryptoError, LimitExceededError, MalformedMessageError, ParameterMismatchError, PscError, UsageError

ts = pytest.importorskip("tenseal")

from psc.engines import ckks, seal_parameters  # noqa: E402 - they need TenSEAL
from psc.engines.tenseal import BFV  # noqa: E402

SERVANT = "psc.engines.seal_servant"
SECRET = {"save_public_key": True, "save_secret_key": True, "save_galois_keys": False, "save_relin_keys": False}
PUBLIC = SECRET | {"save_secret_key": False}
MOST = 1 << 20


@pytest.fixture(scope="module")
def bfv() -> object:
    return seal_parameters.bfv_context(seal_parameters.PLAIN_PRIMES[0])


@pytest.fixture(scope="module")
def approximate() -> object:
    return seal_parameters.ckks_context()


def varints(*values: int) -> bytes:
    out = bytearray()
    for value in values:
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out)


def edited(data: bytes, sizes: tuple[int, ...] | None = None, ciphertexts: int | None = None, batch: int | None = None) -> bytes:
    """Return a serialised vector or tensor with other sizes, number of ciphertexts, or batch."""
    out, count = b"", 0
    for number, kind, value in fields(memoryview(data), "x"):
        if number == 1:
            kept = bytes(value) if sizes is None else varints(*sizes)
            out += length_delimited(1, kept) if kept else b""
        elif number == 2:
            count += 1
            out += length_delimited(2, bytes(value)) if ciphertexts is None or count <= ciphertexts else b""
        elif kind == 1:
            out += varints(number << 3 | 1) + bytes(value)
        else:
            out += varints(number << 3, value if batch is None else batch)
    return out


def five_cases(bfv: object, approximate: object) -> dict[str, tuple[bytes, object, bytes]]:
    """The malformed messages of the security notes: kind, context, bytes."""
    exact = ts.bfv_vector(bfv, [1, 2, 3]).serialize()
    rough = ts.ckks_vector(approximate, [1.0, 2.0, 3.0]).serialize()
    batched = ts.ckks_tensor(approximate, [[1.0, 2.0], [3.0, 4.0]], batch=True).serialize()
    return {
        "bfv size 100000": (b"bfv", bfv, edited(exact, sizes=(100_000,))),
        "ckks size 100000": (b"ckks", approximate, edited(rough, sizes=(100_000,))),
        "a size without a ciphertext": (b"bfv", bfv, edited(exact, sizes=(3,), ciphertexts=0)),
        "a ciphertext without a size": (b"bfv", bfv, edited(exact, sizes=())),
        "batch of 2^20": (b"tensor", approximate, edited(batched, batch=1 << 20)),
    }


def check(kind: bytes, data: bytes) -> None:
    version = seal_parameters.seal_version()
    if kind == b"bfv":
        vector(data, seal_parameters.BFV_SLOTS, version, MOST)
    elif kind == b"ckks":
        vector(data, seal_parameters.CKKS_SLOTS, version, MOST, scale=seal_parameters.CKKS_SCALE)
    else:
        tensor(data, seal_parameters.CKKS_SLOTS, version, MOST, scale=seal_parameters.CKKS_SCALE)


def test_the_structural_check_passes_what_tenseal_writes(bfv: object, approximate: object) -> None:
    check(b"bfv", ts.bfv_vector(bfv, [1, 2, 3]).serialize())
    check(b"bfv", ts.bfv_vector(bfv, list(range(9000))).serialize())
    check(b"ckks", ts.ckks_vector(approximate, [1.0]).serialize())
    check(b"tensor", ts.ckks_tensor(approximate, [[1.0, 2.0], [3.0, 4.0]], batch=True).serialize())
    check(b"tensor", ts.ckks_tensor(approximate, [[1.0, 2.0], [3.0, 4.0]], batch=False).serialize())
    tensor(ts.bfv_tensor(bfv, [[1, 2], [3, 4]], batch=True).serialize(), 8192, seal_parameters.seal_version(), MOST)


@pytest.mark.parametrize("case", range(5))
def test_the_five_malformed_messages_are_refused_and_harmless(case: int, bfv: object, approximate: object) -> None:
    kind, context, data = list(five_cases(bfv, approximate).values())[case]
    with pytest.raises(MalformedMessageError):
        check(kind, data)
    # Even unchecked they cannot harm this process: an error of ours, or an answer of another size than asked.
    with Worker(SERVANT, "test") as worker:
        assert outcome(worker, kind, context, data) not in (3, None)


def outcome(worker: Worker, kind: bytes, context: object, data: bytes) -> int | str:
    """Return how many values came back, or the code or signal of the error."""
    try:
        (answer,) = worker.call("decrypt-unchecked", [kind, context.serialize(**SECRET), data])
    except PscError as error:
        return str(error.fields.get("cause", error.code))
    return len(answer) // 8


def test_the_malformed_messages_do_what_they_are_guarded_against(bfv: object, approximate: object) -> None:
    # Should a later TenSEAL mend its loaders, this fails, and the tests above may be thought over.
    outcomes = []
    for case in five_cases(bfv, approximate).values():
        with Worker(SERVANT, "test") as worker:
            outcomes.append(outcome(worker, *case))
    assert "SIGSEGV" in outcomes or 100_000 in outcomes, outcomes


def test_a_worker_that_crashed_says_so_again_and_parents_live(bfv: object, approximate: object) -> None:
    crashing = five_cases(bfv, approximate)["a ciphertext without a size"]
    worker = Worker(SERVANT, "test")
    for _ in range(2):
        with pytest.raises(MalformedMessageError) as crashed:
            worker.call("decrypt-unchecked", [crashing[0], crashing[1].serialize(**SECRET), crashing[2]])
        assert crashed.value.code == "engines.worker-crashed"
    worker.close()


def test_a_worker_has_limits(bfv: object) -> None:
    with pytest.raises(CryptoError), Worker(SERVANT, "test", memory=64 << 20) as small:
        small.call("bfv-open", [struct.pack("<II", 1, 1)])
    began = time.monotonic()
    many = [bfv.serialize(**SECRET)] * 2000
    with pytest.raises(LimitExceededError) as slow, Worker(SERVANT, "test", seconds=1) as short:
        short.call("bfv-release", [struct.pack("<I", len(many)), *many])
    assert slow.value.code == "engines.worker-slow"
    assert time.monotonic() - began < 60
    with pytest.raises(CryptoError), Worker("psc.engines.tenseal", "test") as foreign:
        foreign.call("bfv-open")


def test_every_prefix_and_many_changes_are_refused_or_parse(bfv: object) -> None:
    data = ts.bfv_vector(bfv, [1] * 8192).serialize()
    head = 24  # sizes, the field of the ciphertext, the head of the SEAL object
    for cut in [*range(head), *range(head, len(data), 9973), len(data) - 1]:
        with pytest.raises(MalformedMessageError):
            check(b"bfv", data[:cut])
    refused = 0
    for at in range(head):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            try:
                check(b"bfv", bytes(changed))
            except (MalformedMessageError, ParameterMismatchError):
                refused += 1
    assert refused > 170  # of 192; some are another allowed size
    for extra in (b"\0", b"\x0a\x00", b"\x1a\x01a", data):
        with pytest.raises(MalformedMessageError):
            check(b"bfv", data + extra)


def test_random_bytes_never_get_through(bfv: object) -> None:
    rng = np.random.default_rng(3)
    for size in (0, 1, 2, 15, 64, 1000):
        for _ in range(300):
            for kind in (b"bfv", b"ckks", b"tensor"):
                with pytest.raises((MalformedMessageError, ParameterMismatchError)):
                    check(kind, rng.bytes(size))


LONG = b"\xff" * 9


@pytest.mark.parametrize(
    "number",
    [b"\x80", b"\x80\x00", LONG + b"\xff\x01", LONG + b"\x02", b"\x0a\x05abc", b"\x0b", b"\x0d\0\0\0\0", b"\x08\x01" * 4097],
)
def test_protobuf_that_is_refused(number: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        list(fields(memoryview(number), "test"))


def test_heads_of_seal_objects() -> None:
    good = struct.pack("<HBBBBHQ", 0xA15E, 16, 4, 3, 2, 0, 20) + b"abcd"
    seal_object(memoryview(good), b"\x04\x03", 20, "test")
    for at in (0, 1, 2, 5, 6, 7, 8, 15):
        wrong = bytearray(good)
        wrong[at] ^= 0x40
        with pytest.raises(MalformedMessageError):
            seal_object(memoryview(bytes(wrong)), b"\x04\x03", 20, "test")
    for at in (3, 4):
        wrong = bytearray(good)
        wrong[at] += 1
        with pytest.raises(ParameterMismatchError):
            seal_object(memoryview(bytes(wrong)), b"\x04\x03", 20, "test")
    with pytest.raises(MalformedMessageError):
        seal_object(memoryview(good), b"\x04\x03", 19, "test")


def test_contexts_of_other_parameters_or_with_other_keys_are_refused(bfv: object) -> None:
    prime = seal_parameters.PLAIN_PRIMES[0]
    own, version = seal_parameters.own_parameters(prime), seal_parameters.seal_version()
    key = public_key(bfv.serialize(**PUBLIC), own, None, version, MOST)
    assert len(key) > 400_000
    large = ts.context(ts.SCHEME_TYPE.BFV, 16384, prime, [42] * 4, n_threads=1)
    other = seal_parameters.bfv_context(seal_parameters.PLAIN_PRIMES[1])
    for context in (large, other, seal_parameters.ckks_context()):
        with pytest.raises(ParameterMismatchError):
            public_key(context.serialize(**PUBLIC), own, None, version, 1 << 26)
    bfv.generate_relin_keys()
    for kept in (SECRET, PUBLIC | {"save_relin_keys": True}, PUBLIC | {"save_public_key": False}):
        with pytest.raises(MalformedMessageError):
            public_key(bfv.serialize(**kept), own, None, version, 1 << 26)


def test_frames() -> None:
    assert unframe(frame(b"abc", 10) + frame(b"", 10), 10, "test") == [b"abc", b""]
    with pytest.raises(ValueError, match="fit"):
        frame(b"abcdefg", 10)
    for wrong in (b"\0\0\0\x07abcdef", b"\0\0\0\x02abc\0\0\0", b"\xff\xff\xff\xffabcdef"):
        with pytest.raises(MalformedMessageError):
            unframe(wrong, 10, "test")


def test_hostile_ciphertexts_that_pass_the_structure_are_refused_in_the_worker() -> None:
    rng = Rng.system()
    owner = BFV.owner(b"context", 0, 1, rng)
    ((good,),) = owner.encrypt(0, np.array([[1]]))
    material = owner.key_material()
    garbled = bytearray(good)
    garbled[1000:1200] = bytes(200)  # inside the compressed object
    matcher = BFV.matcher(b"context", 0, 1, 1, material)
    with pytest.raises(MalformedMessageError):
        matcher.absorb(0, [[bytes(garbled)]], np.array([0], np.int32))
    key = bytearray(material)
    key[2000:2400] = bytes(400)
    with pytest.raises(MalformedMessageError):
        BFV.matcher(b"context", 0, 1, 1, bytes(key))


def test_ckks_agrees_with_the_clear_and_its_result_stays_with_the_key() -> None:
    draw = np.random.default_rng(5)
    values, mask = draw.uniform(-1000, 1000, 5000), np.zeros(8192, np.bool_)
    mask[:5000] = draw.integers(0, 2, 5000)
    owner = ckks.CkksOwner()
    result = owner.decrypt(ckks.ckks_masked_sum(owner.key_material(), owner.encrypt(values), mask))
    assert abs(result.for_the_key_owner().sum() - values[mask[:5000]].sum()) < 0.5
    ways = [
        bytes, memoryview, bytearray, str, float, int, len, list, iter, np.asarray, np.array, pickle.dumps, json.dumps, copy.copy,
        copy.deepcopy, "{}".format, b"".join, lambda it: it[0], lambda it: b"" + it,
        lambda it: struct.pack("<d", it),
    ]  # fmt: skip
    for way in ways:
        with pytest.raises((UsageError, TypeError, struct.error)):
            way(result)
    assert "only" in repr(result)
    assert not hasattr(result, "__dict__")


def test_a_ckks_decryption_cannot_be_sent() -> None:
    from psc.protocols.dh_psi_count import CommonCount
    from psc.protocols.masked_sums import MaskedSums
    from psc.session.codec import encode

    result = ckks.KeyOwnerOnly(np.array([1.5, 2.5]))
    for message in (MaskedSums(replies=result), CommonCount(released=True, count=result)):
        with pytest.raises((UsageError, TypeError)):
            encode(message)


def test_ckks_refuses_what_is_malformed() -> None:
    owner, other = ckks.CkksOwner(), BFV.owner(b"context", 0, 1, Rng.system())
    (good,) = owner.encrypt(np.arange(10.0))
    mask = np.ones(4096, np.bool_)
    material = owner.key_material()
    short = ts.ckks_vector(seal_parameters.ckks_context(), [1.0]).serialize()
    for bad in (b"", good[:-1], good + b"\0", short, other.encrypt(0, np.array([[1]]))[0][0]):
        with pytest.raises((MalformedMessageError, ParameterMismatchError)):
            ckks.ckks_masked_sum(material, [bad], mask)
        with pytest.raises((MalformedMessageError, ParameterMismatchError)):
            owner.decrypt(bad)
    with pytest.raises((MalformedMessageError, ParameterMismatchError)):
        ckks.ckks_masked_sum(other.key_material(), [good], mask)
    for wrong in (mask[:-1], ~mask, mask.astype(np.int8)):
        with pytest.raises(UsageError):
            ckks.ckks_masked_sum(material, [good], wrong)
    for values in (np.array([np.nan]), np.array([2.0**30]), np.ones((2, 2))):
        with pytest.raises(UsageError):
            owner.encrypt(values)
