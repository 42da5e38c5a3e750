"""A whole vole-psi in memory, phase by phase, on one thread: ``python -m benchmarks.micro.core [--output FILE]``.

``rust/psc-core/examples/vole_psi_speed.rs`` does the work of both parties one after another, semi-honest and malicious in turns,
without network, files or Python; half of the items are common, and it checks the result. Prints a table of medians;
``--output`` appends one JSON line a round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
from pathlib import Path

from benchmarks.measure import Figures, append
from benchmarks.micro.crypto import ROOT

EXAMPLE = ["cargo", "run", "--release", "--quiet", "--locked", "-p", "psc-core", "--example", "vole_psi_speed", "--"]
MODES = {"semi-honest": [], "malicious": ["malicious"]}
PARTIES = ("sender", "receiver")


def once(keys: int, mode: str) -> Figures:
    """Return the figures of one run in a process of its own, after one that warms up."""
    words = [*EXAMPLE, str(keys), "2", *MODES[mode]]
    told = subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    found = json.loads(told)
    phases = {phase: found.pop(phase) for phase in list(found) if phase.startswith(tuple(f"{party} " for party in PARTIES))}
    return {"mode": mode, **found, "phases": phases}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--keys", type=int, default=1 << 20)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="as PSC_THREADS; 0 for all cores")
    parser.add_argument("--output", type=Path, help="append JSON lines to this file")
    options = parser.parse_args()
    os.environ["PSC_THREADS"] = str(options.threads or "")
    samples: dict[str, list[Figures]] = {mode: [] for mode in MODES}
    for _ in range(options.runs):
        for mode, found in samples.items():
            found.append(once(options.keys, mode))
            append(options.output, "micro.core", found[-1])
    for mode, found in samples.items():
        seconds = {phase: statistics.median(one["phases"][phase] for one in found) for phase in found[0]["phases"]}
        whole = statistics.median(one["sender"] + one["receiver"] for one in found)
        print(f"{mode}, {options.keys:,} x {options.keys:,}, median of {len(found)}: {whole:.3f} s")
        for phase, median in seconds.items():
            print(f"  {phase:20} {median * 1e3:8.1f} ms")


if __name__ == "__main__":
    main()
