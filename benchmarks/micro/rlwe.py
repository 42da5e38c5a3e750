"""Packed encryption: its kernels, its phases and its peers in one call: ``python -m benchmarks.micro.rlwe``.

*Kernels*: each works on one polynomial modulo one prime, in one thread, timed by ``rust/psc-core/examples/ring.rs``.
*Phases*: encrypt, masked sums (3 columns by 10 cells) and release of 2^20 positions on all threads; a process a backend.
*Peers*: encryption a value by other libraries, in the Python of ``--peer-python``; those that it does not have are left out.
Everything takes turns, round by round. Beside kernels and phases stands what the 52-bit multiplications alone would take.
Prints tables; ``--output`` appends JSON lines, ``--page`` writes the tables between the markers of a document.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.micro.crypto import ROOT, Clock, machine, write_page
from benchmarks.report import grouped, median, table

BACKENDS = ("ifma", "portable")
POSITIONS, COLUMNS, CELLS = 1 << 20, 3, 10
PEER_PARTY = ROOT / "benchmarks/peers/sum_party.py"
Sample = dict[str, Any]

# Multiplications of eight lanes that the backend ifma starts for a polynomial modulo one prime: 13 stages of 512 registers of
# butterflies with three each, and what reduces: 1024 registers once, or a quarter of them once and half of them by a factor.
DEGREE, PRIMES = 8192, 4
REGISTERS = DEGREE // 8
_BUTTERFLIES = 13 * REGISTERS // 2 * 3
MULTIPLICATIONS = {
    "forward": _BUTTERFLIES + REGISTERS,
    "inverse": _BUTTERFLIES + REGISTERS // 4 + REGISTERS // 2 * 3,
    "multiply_add": 4 * REGISTERS,
    "inner": 2 * REGISTERS,
    "sum (weights)": 2 * REGISTERS,
}


def phase_multiplications(positions: int, columns: int, cells: int) -> dict[str, int]:
    """Return the multiplications of eight lanes of every phase; sums without weights take none."""
    blocks, take = -(-positions // DEGREE), MULTIPLICATIONS
    return {
        "encrypt": blocks * columns * PRIMES * (take["inverse"] + take["multiply_add"]),
        "masked sums": PRIMES
        * cells
        * (
            blocks * (take["forward"] + take["multiply_add"])
            + 2 * take["forward"]
            + take["multiply_add"]
            + columns * take["sum (weights)"]
        ),
        "release": PRIMES * cells * columns * take["inner"],
    }


class Process:
    """A process that answers a line with lines up to an empty one."""

    def __init__(self, command: list[object], **environment: str) -> None:
        self._process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self) -> list[str]:
        """Return the lines of one round."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        lines = []
        while line := self._process.stdout.readline().rstrip("\n"):
            lines.append(line)
        return lines

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def work(positions: int) -> None:
    """Be the worker of a backend: one round of all phases for every line on standard input."""
    import numpy as np

    from psc.crypto import RLWE, Rng, backend_name

    draw, rng = np.random.default_rng(1), Rng.system()
    values = draw.integers(-(1 << 63), (1 << 63) - 1, (positions, COLUMNS), dtype=np.int64, endpoint=True)
    cells = draw.integers(-1, CELLS, positions, dtype=np.int32)
    offsets = draw.integers(0, 1 << 64, (CELLS, COLUMNS), dtype=np.uint64)
    sums = np.stack([values.view(np.uint64)[cells == cell].sum(0, dtype=np.uint64) for cell in range(CELLS)])
    for _ in sys.stdin:
        seconds: dict[str, tuple[float, float]] = {}

        def timed(phase: str, function: Callable[..., Any], *arguments: Any, seconds: Any = seconds) -> Any:
            wall, cpu = time.perf_counter(), time.process_time()
            result = function(*arguments)
            before = seconds.get(phase, (0.0, 0.0))
            seconds[phase] = (before[0] + time.perf_counter() - wall, before[1] + time.process_time() - cpu)
            return result

        owner = timed("encrypt", RLWE.owner, b"benchmark", 0, COLUMNS, rng)
        blocks = timed("encrypt", owner.encrypt, 0, values)
        matcher = timed("masked sums", RLWE.matcher, b"benchmark", 0, COLUMNS, CELLS, owner.key_material())
        timed("masked sums", matcher.absorb, 0, blocks, cells)
        replies = timed("masked sums", matcher.finish, offsets, rng)
        released = timed("release", owner.release, replies)
        assert np.array_equal(released, sums + offsets)
        size = sum(len(one) for block in blocks for one in block)
        for phase, (wall, cpu) in seconds.items():
            line = {"backend": backend_name(), "phase": phase, "seconds": wall, "cpu_seconds": cpu, "bytes": size}
            print(json.dumps(line), flush=True)
        print(flush=True)


def measure(given: argparse.Namespace) -> tuple[list[Sample], Clock]:
    """Return every sample of every round, after one that is not counted."""
    example = ["cargo", "run", "--release", "--quiet", "--locked", "-p", "psc-core", "--example", "ring"]
    module = [sys.executable, "-m", "benchmarks.micro.rlwe", "--worker", "--positions", given.positions]
    phases = [Process(module, PSC_BACKEND=backend) for backend in BACKENDS]
    kernels, clock = Process([*example]), Clock()
    peers = [Process([given.peer_python.absolute(), PEER_PARTY, given.peer_values])] if given.peer_python else []
    lines: list[Sample] = []
    for run in range(given.runs + 1):
        clock.sample()
        found: list[Sample] = []
        for line in kernels.ask():
            backend, nanoseconds, kernel = line.split(" ", 2)
            found.append({"part": "kernel", "backend": backend, "kernel": kernel, "nanoseconds": float(nanoseconds)})
        for process in phases:
            found += [{"part": "phase", "positions": given.positions, **json.loads(line)} for line in process.ask()]
        for process in peers:
            answers = (json.loads(line) for line in process.ask() if line.startswith("{"))
            found += [{"part": "peer", **answer} for answer in answers]
        lines += [{"benchmark": "micro.rlwe", "round": run, **one} for one in found] if run else []
        assert all(line.get("right", True) for line in lines)
    for process in (kernels, *phases, *peers):
        process.close()
    clock.close()
    return lines, clock


def kernel_table(found: list[Sample], here: Sample) -> str:
    """Return the table of the kernels."""
    head = (
        "kernel, 8192 residues",
        "portable, ns",
        "ifma, ns",
        "portable / ifma",
        "multiplications",
        "bound, ns",
        "bound / ifma",
    )
    groups = grouped(found, "backend", "kernel")
    rows = []
    for kernel in dict.fromkeys(line["kernel"] for line in found):
        portable = median(groups["portable", kernel], "nanoseconds")
        own = median(groups["ifma", kernel], "nanoseconds") if ("ifma", kernel) in groups else None
        count, speed = MULTIPLICATIONS.get(kernel), here["multiplications"] * here["gigahertz"]
        bound = count / speed if count and speed else None
        rows.append(
            (
                f"`{kernel}`",
                f"{portable:,.0f}",
                f"{own:,.0f}" if own else "–",
                f"{portable / own:.1f}" if own else "–",
                f"{count:,}" if count else "–",
                f"{bound:,.0f}" if bound else "–",
                f"{bound / own:.2f}" if bound and own else "–",
            )
        )
    return table(head, rows)


def phase_table(found: list[Sample], here: Sample) -> str:
    """Return the table of the phases."""
    head = ("phase", "portable, s", "ifma, s", "portable, CPU s", "ifma, CPU s", "multiplications", "bound, CPU s")
    groups = grouped(found, "backend", "phase")
    backends = [backend for backend in ("portable", "ifma") if (backend, "encrypt") in groups]
    positions = found[0]["positions"]
    counts = phase_multiplications(positions, COLUMNS, CELLS)
    speed = here["multiplications"] * here["gigahertz"] * 1e9
    rows, totals = [], dict.fromkeys([(kind, backend) for kind in ("seconds", "cpu_seconds") for backend in backends], 0.0)
    for phase, count in counts.items():
        figures = {(kind, backend): median(groups[backend, phase], kind) for kind, backend in totals}
        totals = {key: totals[key] + figures[key] for key in totals}
        rows.append([phase, *cells_of(figures), f"{count:,}", f"{count / speed:.4f}" if speed else "–"])
    rows.append(
        ["together", *cells_of(totals), f"{sum(counts.values()):,}", f"{sum(counts.values()) / speed:.4f}" if speed else "–"]
    )
    return table(head, rows)


def cells_of(figures: dict[tuple[str, str], float]) -> list[str]:
    """Return wall and CPU seconds, portable first; a dash for a backend that does not run here."""
    keys = [(kind, backend) for kind in ("seconds", "cpu_seconds") for backend in ("portable", "ifma")]
    return [f"{figures[key]:.4f}" if key in figures else "–" for key in keys]


def peer_table(found: list[Sample]) -> str:
    """Return encryption a value, ours and the peers'."""
    phases = grouped([line for line in found if line["part"] == "phase" and line["phase"] == "encrypt"], "backend")
    ours = {}
    for (backend,), group in phases.items():
        count = group[0]["positions"] * COLUMNS
        ours[f"psc, {backend}"] = [median(group, kind) / count * 1e6 for kind in ("seconds", "cpu_seconds")]
    best = min(ours.values())
    rows = [(name, f"{wall:.3f}", f"{cpu:.3f}", "") for name, (wall, cpu) in sorted(ours.items(), key=lambda entry: entry[1])]
    for (name,), group in grouped([line for line in found if line["part"] == "peer"], "peer").items():
        wall, cpu = (median(group, kind) / group[0]["values"] * 1e6 for kind in ("seconds", "cpu_seconds"))
        rows.append((f"{name} ({group[0]['version']})", f"{wall:,.2f}", f"{cpu:,.2f}", f"{cpu / best[1]:,.0f}"))
    return table(("encryption", "µs a value", "CPU µs a value", "times psc's CPU"), rows)


def page_of(lines: list[Sample], here: Sample) -> str:
    """Return all tables with what they were measured on."""
    said = (
        f"{here['processor']}, family/model {here['family_model']}, {here['cores']} cores, {here['threads']} threads, load "
        f"{here['load']:.1f}; core clock {here['gigahertz']:.2f} GHz, {here['multiplications']:.2f} multiplications of eight "
        f"lanes started a cycle; Python {here['python']}. Medians of {lines[-1]['round']} rounds."
    )
    kernels, phases = ([line for line in lines if line["part"] == part] for part in ("kernel", "phase"))
    size = phases[0]["bytes"] / phases[0]["positions"] / COLUMNS
    return "\n\n".join(
        [
            said,
            kernel_table(kernels, here),
            f"{phases[0]['positions']:,} positions of {COLUMNS} columns, {CELLS} cells: {COLUMNS * CELLS} sums; {size:.2f} bytes "
            "a value. Wall seconds on all threads.",
            phase_table(phases, here),
            "Encryption alone, each library in the same rounds:",
            peer_table(lines),
        ]
    )


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--positions", type=int, default=POSITIONS)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--peer-python", type=Path, help="a Python that has phe, pypaillier, sf-heu or tenseal")
    parser.add_argument("--peer-values", type=int, default=64, help="values of the slowest peer; faster ones take a multiple")
    parser.add_argument("--output", type=Path, help="append JSON lines to this file")
    parser.add_argument("--page", type=Path, help="write the tables between the markers of this document")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.positions)
        return
    lines, clock = measure(given)
    here: Sample = machine() | {"load": os.getloadavg()[0]}
    here |= {"gigahertz": statistics.median(clock.gigahertz), "multiplications": statistics.median(clock.multiplications)}
    text = page_of(lines, here)
    print(text)
    if given.output:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        with given.output.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({**line, "machine": here}, ensure_ascii=False) + "\n" for line in lines)
    if given.page:
        write_page(given.page, text)


if __name__ == "__main__":
    main()
