"""Every vector under every backend. A backend is chosen when it is first used, so each has a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VECTORS = ("test_ristretto_vectors.py", "test_oprf_vectors.py", "test_golden_vectors.py")
SAMPLES = """
import hashlib, sys
from psc.crypto import (
    Items, Rng, backend_name, check, evaluate_items, expand_message_xmd, hash_and_mask, hash_to_group, mask, unmask,
)

rng, context = Rng.insecure_from_seed(b"backends"), bytes(32)
a, b = rng.scalar(), rng.scalar()
digest = hashlib.sha256()
for count in (0, 1, 7, 8, 9, 63, 64, 65, 255, 256, 257, 1000):
    items = Items.from_list([rng.bytes(index % 150) + index.to_bytes(2, "big") for index in range(count)])
    masked = hash_and_mask(items, context, a)
    both = mask(masked, b)
    check(both)
    outputs = unmask(items, both, a.inverse(), context)
    assert outputs == evaluate_items(items, b, context)
    for part in (hash_to_group(items, context).data, masked.data, both.data, outputs.insecure_bytes()):
        digest.update(part)
sys.stdout.write(backend_name() + " " + digest.hexdigest())
"""


def run(backend: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PSC_BACKEND": backend, "PSC_LANG": "en"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, cwd=HERE.parent.parent, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module", params=["portable", "ifma"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    probed = run(name, "-c", "from psc.crypto import backend_name; backend_name()")
    if probed.returncode:
        assert "cannot run on this machine" in probed.stderr
        assert name != "portable"
        pytest.skip(f"this processor has not the instructions of the backend {name}")
    return name


def test_vectors_hold(backend: str) -> None:
    files = [str(HERE / name) for name in VECTORS]
    done = run(backend, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout


def test_bytes_are_those_of_the_portable_backend(backend: str) -> None:
    done, portable = run(backend, "-c", SAMPLES), run("portable", "-c", SAMPLES)
    assert done.returncode == portable.returncode == 0, done.stderr + portable.stderr
    assert done.stdout.split()[0] == backend
    assert done.stdout.split()[1] == portable.stdout.split()[1]
