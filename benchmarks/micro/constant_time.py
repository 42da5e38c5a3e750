"""Does the time of a kernel depend on its secret? ``python -m benchmarks.micro.constant_time``, in the manner of dudect.

Every backend that runs here is measured, each in a process of its own. Two classes of secrets, one fixed and one fresh each
time, are timed in random order; the slowest tenth is dropped (other work of the machine), and Welch's t compares the means.
|t| above 10 says that the classes differ; below 5 nothing was seen, which is no proof.

References:
    Reparaz, Balasch, Verbauwhede 2017, "Dude, is my code constant time?", ePrint 2016/1123.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

BATCH = 32
BACKENDS = ("ifma", "portable")
CONTEXT = bytes(32)
Sample = Callable[[bool], Callable[[], object]]


def cases() -> dict[str, Sample]:
    """Return for each kernel what prepares one call, with a fixed secret or a fresh one."""
    import numpy as np

    from psc.crypto import RLWE, Items, Rng, Scalar, hash_and_mask, hash_to_group, mask

    rng = Rng.system()
    fixed_items, key = Items.from_list([bytes(14)] * BATCH), rng.scalar()
    points = hash_to_group(fixed_items, CONTEXT)
    small = Scalar.insecure_from_bytes((2).to_bytes(32, "little"))

    def items(fixed: bool) -> Items:
        return Items.from_list([bytes(14) if fixed else rng.bytes(14) for _ in range(BATCH)])

    def scalar(fixed: bool) -> Scalar:
        fresh = rng.scalar()
        return small if fixed else fresh

    def hashing(fixed: bool) -> Callable[[], object]:
        batch = items(fixed)
        return lambda: hash_to_group(batch, CONTEXT)

    def both(fixed: bool) -> Callable[[], object]:
        batch = items(fixed)
        return lambda: hash_and_mask(batch, CONTEXT, key)

    def masking(fixed: bool) -> Callable[[], object]:
        secret = scalar(fixed)
        return lambda: mask(points, secret)

    owner = RLWE.owner(CONTEXT, 0, 1, rng)
    material, block = owner.key_material(), owner.encrypt(0, np.ones((RLWE.block, 1), np.int64))

    def absorbing(weighted: bool) -> Sample:
        def prepare(fixed: bool) -> Callable[[], object]:
            matcher = RLWE.matcher(CONTEXT, 0, 1, 3, material)
            drawn = np.frombuffer(rng.bytes(12 * RLWE.block), np.uint32).reshape(3, RLWE.block)
            cells = drawn[0].astype(np.int32) % 4 - 1
            weights = (drawn[1].astype(np.int64) * (1 - 2 * (drawn[2] & 1).astype(np.int64))) if weighted else None
            if fixed and weights is not None:
                weights[:] = 0
            elif fixed:
                cells[:] = -1
            return lambda: matcher.absorb(0, block, cells, weights)

        return prepare

    return {
        "hash_to_group, items": hashing,
        "hash_and_mask, items": both,
        "mask, scalar": masking,
        "absorb, cells": absorbing(False),
        "absorb, weights": absorbing(True),
    }


def welch(samples: list[tuple[bool, float]]) -> float:
    """Return Welch's t of the two classes, without the slowest tenth of all samples."""
    limit = sorted(seconds for _, seconds in samples)[len(samples) * 9 // 10]
    kept = [[seconds for fixed, seconds in samples if fixed is which and seconds <= limit] for which in (True, False)]
    spread = sum(statistics.variance(side) / len(side) for side in kept)
    return (statistics.fmean(kept[0]) - statistics.fmean(kept[1])) / math.sqrt(spread)


def main() -> None:
    """Measure and report."""
    from psc.crypto import backend_name
    from psc.errors import UsageError

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--only", nargs="*", help="kernels to time; all when absent")
    given = parser.parse_args()
    os.environ["PSC_THREADS"] = "1"
    if not os.environ.get("PSC_BACKEND"):
        for backend in BACKENDS:
            command = [sys.executable, "-m", "benchmarks.micro.constant_time", "--samples", str(given.samples)]
            command += ["--only", *given.only] if given.only else []
            subprocess.run(command, env={**os.environ, "PSC_BACKEND": backend}, check=False)
        return
    try:
        name = backend_name()
    except UsageError as error:
        print(error)
        return
    print(f"backend {name}, {given.samples:,} samples, {BATCH} items a call", flush=True)
    chosen = {name: prepare for name, prepare in cases().items() if not given.only or name in given.only}
    for name, prepare in chosen.items():
        samples = []
        for _ in range(given.samples):
            fixed = random.random() < 0.5
            call = prepare(fixed)
            started = time.perf_counter()
            call()
            samples.append((fixed, time.perf_counter() - started))
        t = welch(samples)
        print(
            f"  {name:24} t = {t:+6.2f}  {'DIFFERENT' if abs(t) > 10 else 'no difference seen' if abs(t) < 5 else 'unclear'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
