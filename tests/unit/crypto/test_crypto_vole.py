"""The states of silent VOLE and vole-psi as Python sees them: order of steps, lengths, opacity, one result on every backend."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from psc.crypto import Items, Rng
from psc.crypto.vole import (
    COMMITMENT_BYTES,
    ELEMENT_BYTES,
    MASK_BYTES,
    OPENING_BYTES,
    SEED_BYTES,
    VolePsiOutputs,
    VolePsiReceiver,
    VolePsiSender,
    VoleReceiver,
    VoleSender,
    VoleShares,
    VoleVectors,
    psi_shape,
    vole_bytes,
)
from psc.errors import CryptoError, EncodingError, LocalProtocolError, MalformedMessageError, RemoteProtocolError, UsageError

CONTEXT = bytes(range(32))


def vole(outputs: int, malicious: bool = False) -> tuple[VoleShares, VoleVectors]:
    rng, lengths = Rng.system(), vole_bytes(outputs, malicious)
    sender = VoleSender.start(CONTEXT, outputs, malicious, rng)
    receiver = VoleReceiver.start(CONTEXT, outputs, malicious, sender.choices(), rng)
    trees = sender.puncture(receiver.extension(), rng)
    challenge = receiver.expand(trees, rng)
    answer = sender.answer(challenge) if challenge is not None else None
    sent = [sender.choices(), receiver.extension(), trees, challenge or b"", answer or b""]
    assert [len(message) for message in sent] == [
        lengths.choices,
        lengths.extension,
        lengths.trees,
        lengths.challenge,
        lengths.answer,
    ]
    return sender.finish(), receiver.finish(answer)


def items(start: int, stop: int) -> Items:
    return Items.from_list([b"%d" % number for number in range(start, stop)])


def parties(malicious: bool = False) -> tuple[VolePsiReceiver, VolePsiSender]:
    rng = Rng.system()
    shares, vectors = vole(psi_shape(50, 70, malicious).columns, malicious)
    sender = VolePsiSender.start(CONTEXT, 50, 70, malicious, shares, rng)
    receiver = VolePsiReceiver.start(CONTEXT, 50, 70, malicious, sender.commitment(), rng)
    receiver.encode(items(0, 50), vectors)
    return receiver, sender


def evaluated(malicious: bool = False) -> tuple[VolePsiOutputs, VolePsiOutputs]:
    receiver, sender = parties(malicious)
    shape = psi_shape(50, 70, malicious)
    sender.hash(receiver.seed(), items(20, 90))
    sender.absorb(receiver.masked(0, 100))
    sender.absorb(receiver.masked(100, shape.columns))
    mask = receiver.mask()
    return receiver.finish(sender.open(mask) if mask is not None else None), sender.finish()


@pytest.mark.parametrize("malicious", [False, True])
def test_a_run_by_hand(malicious: bool) -> None:
    mine, theirs = evaluated(malicious)
    mine.prepare()
    tags, order = theirs.sorted_tags()
    length = psi_shape(50, 70, malicious).tag_bytes
    assert length == (16 if malicious else 7)
    split = [tags[at : at + length] for at in range(0, len(tags), length)]
    assert split == sorted(split)
    assert sorted(order.tolist()) == list(range(70))
    found = mine.find([tags])
    assert found.dtype == np.int64
    assert [order[at] if at >= 0 else None for at in found] == [None] * 20 + list(range(30))
    outputs = theirs.outputs()
    assert outputs.tags(length) == b"".join(split[int(np.flatnonzero(order == position)[0])] for position in range(70))
    assert mine.outputs().tags(32)[20 * 32 :] == outputs.tags(32)[: 30 * 32]


def test_lengths_and_shapes() -> None:
    shape = psi_shape(1 << 20, 1 << 20, False)
    assert (shape.columns, shape.tag_bytes) == (1_153_690, 10)
    assert psi_shape(1 << 20, 1 << 20, True).tag_bytes == 16
    receiver, sender = parties(True)
    commitment, mask = sender.commitment(), receiver.mask()
    assert (len(receiver.seed()), len(receiver.masked(3, 5))) == (SEED_BYTES, 2 * ELEMENT_BYTES)
    assert (len(commitment or b""), len(mask or b"")) == (COMMITMENT_BYTES, MASK_BYTES)
    sender.absorb(receiver.masked(0, psi_shape(50, 70, True).columns))
    assert len(sender.open(mask or b"")) == OPENING_BYTES
    receiver, sender = parties(False)
    assert sender.commitment() is None
    assert receiver.mask() is None
    for bad in (0, 1 << 29):
        with pytest.raises(UsageError):
            vole_bytes(bad, False)
    with pytest.raises(UsageError):
        psi_shape(1 << 32, 1, False)
    with pytest.raises(UsageError):
        receiver.masked(5, 4)


def test_a_step_comes_once_and_in_its_turn() -> None:
    rng = Rng.system()
    sender = VoleSender.start(CONTEXT, 300, False, rng)
    with pytest.raises(LocalProtocolError):
        sender.finish()
    receiver = VoleReceiver.start(CONTEXT, 300, False, sender.choices(), rng)
    with pytest.raises(LocalProtocolError):
        receiver.finish()
    trees = sender.puncture(receiver.extension(), rng)
    with pytest.raises(LocalProtocolError):
        sender.puncture(receiver.extension(), rng)
    with pytest.raises(LocalProtocolError):
        sender.answer(bytes(32))
    receiver.expand(trees, rng)
    shares, vectors = sender.finish(), receiver.finish()
    with pytest.raises(LocalProtocolError):
        receiver.finish()
    # Of another size than the sets need: refused, and used up all the same.
    for wrong in (UsageError, LocalProtocolError):
        with pytest.raises(wrong):
            VolePsiSender.start(CONTEXT, 50, 70, False, shares, rng)
        with pytest.raises(wrong):
            VolePsiReceiver.start(CONTEXT, 50, 70, False, None, rng).encode(items(0, 50), vectors)


def test_a_party_is_used_once() -> None:
    receiver, sender = parties()
    with pytest.raises(LocalProtocolError):
        sender.finish()
    with pytest.raises(LocalProtocolError):
        sender.hash(receiver.seed(), items(0, 70))
    with pytest.raises(LocalProtocolError):
        receiver.encode(items(0, 50), vole(psi_shape(50, 70, False).columns)[1])
    receiver.finish()
    for step in (receiver.seed, receiver.mask, receiver.finish, lambda: receiver.masked(0, 1)):
        with pytest.raises(LocalProtocolError):
            step()


def test_messages_of_a_peer_are_checked() -> None:
    rng = Rng.system()
    with pytest.raises(MalformedMessageError):
        VoleReceiver.start(CONTEXT, 300, False, b"", rng)
    receiver, sender = parties()
    with pytest.raises(MalformedMessageError):
        sender.hash(bytes(31), items(0, 70))
    for piece in (bytes(15), bytes(16 * (psi_shape(50, 70, False).columns + 1))):
        with pytest.raises(MalformedMessageError):
            sender.absorb(piece)
    outputs = receiver.finish()
    with pytest.raises(MalformedMessageError):
        outputs.find([bytes(7 * 69)])
    with pytest.raises(MalformedMessageError) as caught:
        outputs.find([bytes(7 * 69 + 1), bytes(6)])
    with pytest.raises(MalformedMessageError) as caught:
        outputs.find([b"\x01" * 7, bytes(7 * 69)])
    assert caught.value.code == "crypto.not-sorted"
    receiver, _ = parties(True)
    with pytest.raises(RemoteProtocolError) as refused:
        receiver.finish(bytes(OPENING_BYTES))
    assert refused.value.code == "crypto.inconsistent"


def test_equal_items_and_wrong_counts_are_refused() -> None:
    rng = Rng.system()
    for bad, kind in ((Items.from_list([b"a", b"b", b"a"]), EncodingError), (items(0, 300), UsageError)):
        _, vectors = vole(psi_shape(3, 3, False).columns)
        with pytest.raises((CryptoError, UsageError)) as caught:
            VolePsiReceiver.start(CONTEXT, 3, 3, False, None, rng).encode(bad, vectors)
        assert isinstance(caught.value, kind)


def test_states_show_nothing_and_do_not_travel() -> None:
    shares, vectors = vole(300)
    for state in (*parties(), *evaluated(), shares, vectors, VoleSender.start(CONTEXT, 300, False, Rng.system())):
        assert repr(state).startswith("<psc._core.")
        with pytest.raises(TypeError):
            pickle.dumps(state)
        with pytest.raises(TypeError):
            copy.copy(state)


RATES = Path(__file__).parents[3] / "benchmarks" / "results" / "okvs_failure.jsonl"


def test_the_measured_failure_rates_justify_the_table() -> None:
    samples = [json.loads(line) for line in RATES.read_text(encoding="utf-8").splitlines()]
    fits = {sample["keys"]: sample for sample in samples if sample["benchmark"] == "okvs.failure.fit"}
    assert max(fits) >= 1 << 20
    for keys, recorded in fits.items():
        points = [sample for sample in samples if sample["benchmark"] == "okvs.failure" and sample["keys"] == keys]
        # What was measured has the table of the code, but for the width.
        assert all(point["columns"] - point["width"] == psi_shape(keys, 1, False).columns - 256 for point in points)
        width, failures, trials = (np.array([point[key] for point in points], float) for key in ("width", "failures", "trials"))
        share = failures / trials
        rate = -np.log1p(-share)
        weight = rate * np.sqrt((1 - share) * trials / share)
        slope, offset = np.polyfit(width, -np.log2(rate), 1, w=weight)
        assert slope == pytest.approx(recorded["slope"], abs=1e-3)
        assert slope * 256 + offset == pytest.approx(recorded["bits"], abs=0.1)
        assert min(recorded["bits"], recorded["bits_of_queue"]) >= 50


PROBE = """
import hashlib, sys
from psc.crypto import Rng
from tests.property.test_vole_psi import Case, sets
digest = hashlib.sha256()
def tap(who, message):
    digest.update(repr(message).encode())
    return message
for malicious in (False, True):
    Case(*sets(700, 900, 300), malicious, tap=tap, seeds=(b"a", b"b")).run()
sys.stdout.write(digest.hexdigest())
"""


def test_every_backend_and_number_of_threads_gives_the_same_messages() -> None:
    digests = set()
    for backend, threads in (("auto", "1"), ("auto", "2"), ("portable", "2")):
        environment = {**os.environ, "PSC_BACKEND": backend, "PSC_THREADS": threads}
        done = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True)
        digests.add(done.stdout)
    assert len(digests) == 1
    assert len(digests.pop()) == 64
