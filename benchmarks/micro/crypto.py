"""Nanoseconds an item of every batched kernel: ``python -m benchmarks.micro.crypto [--threads 1] [--output FILE]``.

Prints a table; with ``--output`` appends one JSON line a kernel, with the raw samples and what the machine is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

CONTEXT = bytes(32)
Kernel = tuple[str, int, Callable[[], object]]


def machine() -> dict[str, object]:
    """Return what a figure depends on: the processor, its wide instructions, the cores, Python and the backend."""
    from psc.crypto import backend_name

    facts: dict[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else []:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    wide = {"avx2", "avx512ifma", "vaes", "sha_ni"} & set(facts.get("flags", "").split())
    return {
        "processor": facts.get("model name", platform.processor() or platform.machine()),
        "family_model": f"{facts.get('cpu family', '?')}/{facts.get('model', '?')}",
        "instructions": sorted(wide),
        "cores": os.cpu_count(),
        "threads": os.environ.get("PSC_THREADS") or "all",
        "python": platform.python_version(),
        "backend": backend_name(),
    }


def kernels(points: int, cheap: int) -> list[Kernel]:
    """Return every kernel as its name, its number of items, and a call; ``cheap`` items where an item costs little."""
    import numpy as np

    from psc import _core, crypto

    rng = crypto.Rng.insecure_from_seed(b"benchmark")
    scalar = rng.scalar()
    numbers = np.arange(cheap + 1, dtype=np.int64)
    phones = b"".join(b"138%08d" % number for number in range(cheap))
    table = bytearray(100_000)
    table[13800:13900] = b"\1" * 100
    _, ends, e164 = _core.normalise_mobiles(numbers * 11, phones, bytes(table))
    column = crypto.KeyCells(b"phone", ends, e164)
    many = crypto.Items.encode([column])
    items = many.slice(0, points)
    batch = crypto.hash_to_group(items, CONTEXT)
    outputs = crypto.evaluate_items(items, scalar, CONTEXT)
    positions, ones, payloads = np.arange(points, dtype=np.uint32), np.ones(points, np.uint32), bytes(64 * points)
    sealed = crypto.seal_rows(outputs, positions, ones, payloads, 64, 12, CONTEXT, rng, points)
    half = rng.bytes(6 * cheap)
    tags, others = half + rng.bytes(6 * cheap), rng.bytes(6 * cheap) + half
    return [
        ("hash_to_group", points, lambda: crypto.hash_to_group(items, CONTEXT)),
        ("hash_and_mask", points, lambda: crypto.hash_and_mask(items, CONTEXT, scalar)),
        ("mask", points, lambda: crypto.mask(batch, scalar)),
        ("unmask", points, lambda: crypto.unmask(items, batch, scalar, CONTEXT)),
        ("evaluate_items", points, lambda: crypto.evaluate_items(items, scalar, CONTEXT)),
        ("check", points, lambda: crypto.check(batch)),
        ("point_tags", points, lambda: crypto.point_tags(batch, CONTEXT, 12)),
        ("seal_rows (64 bytes)", points, lambda: seal(outputs, positions, ones, payloads)),
        ("open_rows (64 bytes)", points, lambda: crypto.open_rows(outputs, positions, sealed, 64, 12, 8, CONTEXT)),
        ("normalise_mobiles", cheap, lambda: _core.normalise_mobiles(numbers * 11, phones, bytes(table))),
        ("Items.encode", cheap, lambda: crypto.Items.encode([column])),
        ("Items.distinct", cheap, many.distinct),
        ("Items.digest", cheap, lambda: many.digest(b"salt")),
        ("Rng.permutation", cheap, lambda: rng.permutation(cheap)),
        ("sort_tags (12 bytes)", cheap, lambda: crypto.sort_tags(tags, 12)),
        ("find_tags (12 bytes, half found)", cheap, lambda: crypto.find_tags(tags, others, 12)),
        ("count_common (12 bytes, half found)", cheap, lambda: crypto.count_common(tags, others, 12)),
    ]


def seal(outputs: object, positions: object, ones: object, payloads: bytes) -> bytes:
    """Seal one row of 64 bytes an item, with an eighth of dummies."""
    from psc import crypto

    count = len(payloads) // 64
    rng = crypto.Rng.insecure_from_seed(b"dummies")
    return crypto.seal_rows(outputs, positions, ones, payloads, 64, 12, CONTEXT, rng, count + count // 8)  # type: ignore[arg-type]


def measure(call: Callable[[], object], runs: int) -> list[float]:
    """Return the seconds of each run, after one that is not counted."""
    call()
    samples = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        samples.append(time.perf_counter() - started)
    return samples


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=16_384, help="items of the kernels that work on points")
    parser.add_argument("--cheap", type=int, default=1_000_000, help="items of the others")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, help="as PSC_THREADS; all cores when absent")
    parser.add_argument("--output", type=Path, help="append JSON lines to this file")
    given = parser.parse_args()
    if given.threads:
        os.environ["PSC_THREADS"] = str(given.threads)
    here = machine()
    print(" · ".join(f"{name} {value}" for name, value in here.items()))
    for name, count, call in kernels(given.points, given.cheap):
        samples = measure(call, given.runs)
        nanoseconds = statistics.median(samples) / count * 1e9
        print(f"{name:38} {nanoseconds:12,.1f} ns/item  ({count:,} items)")
        if given.output:
            given.output.parent.mkdir(parents=True, exist_ok=True)
            line = {"kernel": name, "items": count, "ns_per_item": nanoseconds, "seconds": samples, "machine": here}
            with given.output.open("a") as out:
                out.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
