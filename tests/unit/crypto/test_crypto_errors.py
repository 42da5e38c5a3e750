"""The compiled core raises psc's own errors, each with a text in both languages."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from psc import _core
from psc.crypto import Items, KeyCells, OprfOutputs, PointBatch, Rng, check, evaluate_items, expand_message_xmd
from psc.errors import (
    CryptoError,
    DecryptionError,
    EncodingError,
    InvalidElementError,
    LimitExceededError,
    LocalProtocolError,
    MalformedMessageError,
    PscError,
    RandomnessError,
    RemoteProtocolError,
    UsageError,
)
from psc.texts import render
from psc.texts.crypto import TEXTS

CLASSES = {
    "crypto.invalid-element": InvalidElementError,
    "crypto.scalar-not-canonical": EncodingError,
    "crypto.item-too-long": EncodingError,
    "crypto.row-does-not-open": DecryptionError,
    "crypto.no-randomness": RandomnessError,
    "crypto.not-multiple": UsageError,
    "crypto.count-mismatch": UsageError,
    "crypto.out-of-range": UsageError,
    "crypto.no-such-position": UsageError,
    "crypto.bad-offsets": UsageError,
    "crypto.row-counters": UsageError,
    "crypto.out-of-memory": UsageError,
    "crypto.noise-scale": UsageError,
    "crypto.polynomial-length": MalformedMessageError,
    "crypto.residue-not-canonical": MalformedMessageError,
    "crypto.ciphertext-count": MalformedMessageError,
    "crypto.sum-too-large": CryptoError,
    "crypto.too-many-releases": LimitExceededError,
    "crypto.used-up": UsageError,
    "crypto.unknown-backend": UsageError,
    "crypto.bad-threads": UsageError,
    "crypto.message-length": MalformedMessageError,
    "crypto.not-sorted": MalformedMessageError,
    "crypto.keys-not-encoded": CryptoError,
    "crypto.equal-keys": EncodingError,
    "crypto.inconsistent": RemoteProtocolError,
    "crypto.out-of-order": LocalProtocolError,
}


def test_the_map_of_core_errors_is_total() -> None:
    # psc-core's own test proves that the samples hold every variant.
    raised = {error.code: type(error) for error in _core.sample_errors()}
    assert raised == CLASSES


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_sample_has_a_text_with_its_fields(lang: str) -> None:
    for error in _core.sample_errors():
        assert isinstance(error, PscError)
        assert "{" not in render(error.code, error.fields, lang=lang)


def test_every_text_is_used() -> None:
    from_python = {"crypto.points-length", "crypto.entries-length", "crypto.context-length", "crypto.wrong-type"}
    assert set(TEXTS) == set(CLASSES) | from_python


def test_lengths_from_a_peer_are_malformed_messages() -> None:
    with pytest.raises(MalformedMessageError) as caught:
        PointBatch(bytes(33))
    assert caught.value.fields == {"length_bytes": 33, "unit_bytes": 32}


@pytest.mark.parametrize("context", [b"", bytes(201)])
def test_contexts_have_bounds(context: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        evaluate_items(Items.from_list([]), Rng.system().scalar(), context)
    assert caught.value.code == "crypto.context-length"


@pytest.mark.parametrize(("dst", "length"), [(b"", 1), (bytes(256), 1), (b"t", 0), (b"t", 16_321)])
def test_expansion_has_bounds(dst: bytes, length: int) -> None:
    with pytest.raises(UsageError):
        expand_message_xmd(b"", dst, length)


def test_offsets_of_another_width_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        KeyCells(b"t", np.zeros(2, np.int32), b"")  # type: ignore[arg-type]
    assert caught.value.code == "crypto.wrong-type"
    with pytest.raises(UsageError):
        Items.encode([KeyCells(b"t", bytes(9), b"")])


@pytest.mark.parametrize("value", [None, 7, "text", np.zeros((4, 4), np.uint8)[:, :2]])
def test_what_is_no_contiguous_buffer_is_a_type_error(value: object) -> None:
    with pytest.raises((TypeError, BufferError)):
        _core.check(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda b: np.frombuffer(b, np.uint8), np.frombuffer])
def test_every_buffer_is_accepted(wrap: object) -> None:
    points = PointBatch.random(Rng.system(), 3).data
    assert _core.check(wrap(points)) is None  # type: ignore[operator]
    assert _core.check(wrap(b"") if wrap in (bytes, bytearray, memoryview) else b"") is None  # type: ignore[operator]


def secrets() -> list[object]:
    rng = Rng.insecure_from_seed(b"canary")
    items, scalar = Items.from_list([b"+8613800138000"]), rng.scalar()
    return [rng, scalar, items, evaluate_items(items, scalar, b"c")]


@pytest.mark.parametrize("secret", secrets(), ids=lambda secret: type(secret).__name__)
def test_secrets_show_nothing_and_do_not_travel(secret: object) -> None:
    for text in (repr(secret), str(secret), f"{secret}"):
        assert "13800138000" not in text
        assert text.startswith("<psc._core.")
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.copy(secret)
    with pytest.raises(TypeError):
        memoryview(secret)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        secret.data = 1  # type: ignore[attr-defined]


def test_a_point_batch_shows_its_count_only() -> None:
    assert repr(PointBatch(bytes(64))) == "PointBatch(2 points)"


def test_secrets_compare() -> None:
    rng = Rng.insecure_from_seed(b"x")
    a, b = rng.scalar(), rng.scalar()
    assert a == a.inverse().inverse()
    assert a != b
    assert a != 7
    items = Items.from_list([b"1", b"2"])
    outputs = evaluate_items(items, a, b"c")
    assert outputs == evaluate_items(items, a, b"c")
    assert outputs != evaluate_items(items, b, b"c")
    assert outputs != evaluate_items(items.slice(0, 1), a, b"c")
    assert OprfOutputs.concat([]) == evaluate_items(Items.from_list([]), a, b"c")


def test_crypto_errors_are_one_family() -> None:
    assert all(issubclass(kind, CryptoError) for kind in (EncodingError, DecryptionError, RandomnessError))
    with pytest.raises(InvalidElementError):
        check(PointBatch(bytes(32)))


PROBE = """
import sys
from psc.crypto import Items, backend_name, hash_to_group
sys.stdout.write(backend_name() + hash_to_group(Items.from_list([b"a"]), b"c").data.hex())
"""


def probe(**settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PSC_LANG": "en", **settings}
    return subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=False)


def test_settings_of_the_environment() -> None:
    auto, portable = probe(PSC_BACKEND="auto", PSC_THREADS=""), probe(PSC_BACKEND="portable", PSC_THREADS="1")
    assert portable.stdout.startswith("portable")
    assert auto.stdout[-64:] == portable.stdout[-64:] != ""
    for bad in ({"PSC_BACKEND": "abacus"}, {"PSC_THREADS": "many"}, {"PSC_THREADS": "0"}):
        failed = probe(**bad)
        assert failed.returncode != 0
        assert "psc.errors.UsageError" in failed.stderr
        assert next(iter(bad.values())) in failed.stderr


FORK = """
import os
from psc.crypto import PointBatch, Rng, check
points = PointBatch.random(Rng.system(), 300)
child = os.fork()
check(points)
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    os._exit(0)
"""


def test_a_forked_child_can_compute() -> None:
    # In a process of its own: this one has threads, which newer Pythons warn of.
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)


@pytest.mark.slow
def test_the_stub_describes_the_compiled_module() -> None:
    done = subprocess.run([sys.executable, "-m", "mypy.stubtest", "psc._core"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
