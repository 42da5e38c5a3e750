"""Time and cycles an item of every batched kernel on every backend: ``python -m benchmarks.micro.crypto``.

Each backend runs in a process of its own, since a process keeps the one that it chose first. The processes take turns, run
by run, so that a ratio compares the same minutes of the machine. Nanoseconds and cycles are of the processor's time, which
other work of the machine touches less than the wall's. Prints a table; ``--output`` appends one JSON line a
kernel and backend, with the raw samples and what the machine is; ``--page`` writes the table of the group's kernels
between the markers of a document.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTEXT = bytes(32)
Kernel = tuple[str, int, Callable[[], object]]
BACKENDS = ("ifma", "portable")
MARKERS = ("<!-- figures -->", "<!-- end of figures -->")
# Products, squares and carries of 256 items, eight a register, on the backend ifma. A test of psc-core counts them
# (`kernels_take_the_stated_operations` in rust/psc-core/src/backend/ifma.rs).
_HASH, _BOTH, _MASK, _CHECK = (3296, 24544, 29072), (45035, 49534, 104825), (43563, 41374, 94545), (832, 8224, 9352)
OPERATIONS = {
    "hash_to_group": _HASH,
    "hash_and_mask": _BOTH,
    "mask": _MASK,
    "unmask": _MASK,
    "evaluate_items": _BOTH,
    "check": _CHECK,
}


def machine() -> dict[str, object]:
    """Return what a figure depends on: the processor, its wide instructions, the cores and Python."""
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


def multiplications(kernel: str) -> float | None:
    """Return how many 52-bit multiplications of eight lanes an item takes on the backend ifma.

    A product has 25 pairs of limbs and a square 15, each with a low and a high half; both end in five multiplications by 19,
    and a carry in one.
    """
    if kernel not in OPERATIONS:
        return None
    products, squares, carries = OPERATIONS[kernel]
    return (55 * products + 35 * squares + carries) / 256


class Worker:
    """A process that runs kernels under one backend when it is told to."""

    def __init__(self, backend: str, given: argparse.Namespace) -> None:
        self.backend = backend
        command = [sys.executable, "-m", "benchmarks.micro.crypto", "--worker"]
        command += ["--points", str(given.points), "--cheap", str(given.cheap)]
        environment = {**os.environ, "PSC_BACKEND": backend}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.kernels: dict[str, int] = json.loads(self._answer() or "{}")

    def run(self, kernel: str) -> tuple[float, float]:
        """Return the seconds of one run: of the processor and of the clock on the wall."""
        assert self._process.stdin is not None
        self._process.stdin.write(kernel + "\n")
        self._process.stdin.flush()
        cpu, wall = map(float, self._answer().split())
        return cpu, wall

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def work(points: int, cheap: int) -> None:
    """Be a worker: name the kernels, then time one run of each that standard input names."""
    ready = {name: (count, call) for name, count, call in kernels(points, cheap)}
    print(json.dumps({name: count for name, (count, _) in ready.items()}), flush=True)
    for line in sys.stdin:
        call = ready[line.strip()][1]
        started, used = time.perf_counter(), time.process_time()
        call()
        print(time.process_time() - used, time.perf_counter() - started, flush=True)


class Clock:
    """The clock of the core, measured beside the kernels by ``rust/psc-core/examples/clock.rs``; none without cargo."""

    def __init__(self) -> None:
        self.gigahertz: list[float] = []
        self.multiplications: list[float] = []
        self._process = None
        if shutil.which("cargo"):
            command = ["cargo", "run", "--release", "--quiet", "--locked", "-p", "psc-core", "--example", "clock"]
            self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def sample(self) -> None:
        """Measure now."""
        if self._process and self._process.stdin and self._process.stdout:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            gigahertz, multiplications = map(float, self._process.stdout.readline().split())
            self.gigahertz.append(gigahertz)
            self.multiplications.append(multiplications)

    def close(self) -> None:
        """End the process."""
        if self._process and self._process.stdin:
            self._process.stdin.close()
            self._process.wait()


Samples = dict[str, list[tuple[float, float]]]


def measure(workers: list[Worker], kernel: str, runs: int, clock: Clock) -> Samples:
    """Return the seconds of each run under each backend, after one that is not counted."""
    samples: Samples = {worker.backend: [] for worker in workers}
    for run in range(runs + 1):
        clock.sample()
        for worker in workers:
            seconds = worker.run(kernel)
            if run:
                samples[worker.backend].append(seconds)
    return samples


def page_of(lines: list[dict[str, object]], here: dict[str, object]) -> str:
    """Return the table of the kernels that depend on the backend."""
    titles = ["kernel", "portable, cycles", "ifma, cycles", "ifma, ns", "portable / ifma"]
    titles += ["multiplications", "bound, cycles", "bound / ifma"]
    rows = [
        f"{here['processor']}, family/model {here['family_model']}, {here['threads']} thread, core clock "
        f"{here['gigahertz']:.2f} GHz, {here['multiplications']:.2f} multiplications of eight lanes started a cycle. "
        "Of the processor's time, an item; medians.",
        "",
        f"| {' | '.join(titles)} |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    found = {(line["kernel"], line["backend"]): line for line in lines}
    for kernel in OPERATIONS:
        own, other = found[kernel, "ifma"], found[kernel, "portable"]
        bound = float(own["bound_cycles"])  # type: ignore[arg-type]
        rows.append(
            f"| `{kernel}` | {other['cycles_per_item']:,.0f} | {own['cycles_per_item']:,.0f} | {own['ns_per_item']:,.0f} | "
            f"{own['ratio_to_portable']:.1f} | {multiplications(kernel):,.0f} | {bound:,.0f} | "
            f"{bound / float(own['cycles_per_item']):.2f} |"  # type: ignore[arg-type]
        )
    return "\n".join(rows)


def write_page(path: Path, table: str) -> None:
    """Replace what stands between the markers."""
    before, _, rest = path.read_text().partition(MARKERS[0])
    _, found, after = rest.partition(MARKERS[1])
    if not found:
        raise SystemExit(f"{path} has no markers {MARKERS}")
    path.write_text(f"{before}{MARKERS[0]}\n{table}\n{MARKERS[1]}{after}")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=16_384, help="items of the kernels that work on points")
    parser.add_argument("--cheap", type=int, default=1_000_000, help="items of the others")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="as PSC_THREADS; 0 for all cores")
    parser.add_argument("--only", nargs="*", help="kernels to run; all when absent")
    parser.add_argument("--output", type=Path, help="append JSON lines to this file")
    parser.add_argument("--page", type=Path, help="write the table between the markers of this document")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.points, given.cheap)
        return
    os.environ["PSC_THREADS"] = str(given.threads or "")
    workers = [worker for worker in (Worker(backend, given) for backend in BACKENDS) if worker.kernels]
    clock = Clock()
    here = machine()
    print(" · ".join(f"{name} {value}" for name, value in here.items()))
    print("backends: " + ", ".join(worker.backend for worker in workers))
    measured = {}
    for name in workers[0].kernels:
        if not given.only or name in given.only:
            measured[name] = measure(workers, name, given.runs, clock)
    for each in (*workers, clock):
        each.close()  # type: ignore[attr-defined]
    lines = report(measured, workers[0].kernels, clock, here)
    if given.output:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        with given.output.open("a") as out:
            out.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    if given.page:
        write_page(given.page, page_of(lines, here))


def report(
    measured: dict[str, Samples], counts: dict[str, int], clock: Clock, here: dict[str, object]
) -> list[dict[str, object]]:
    """Print a line a kernel and backend, and return them with the raw samples."""
    if clock.gigahertz:
        here["gigahertz"], here["multiplications"] = map(statistics.median, (clock.gigahertz, clock.multiplications))
        print(f"clock {here['gigahertz']:.2f} GHz, {here['multiplications']:.2f} multiplications of eight lanes started a cycle")
    lines: list[dict[str, object]] = []
    for name, samples in measured.items():
        for backend, seconds in samples.items():
            cpu, wall = (statistics.median(column) / counts[name] * 1e9 for column in zip(*seconds, strict=True))
            line = {"kernel": name, "backend": backend, "items": counts[name], "ns_per_item": cpu, "wall_ns_per_item": wall}
            text = f"{name:36} {backend:8} {cpu:10,.1f} ns/item {wall:10,.1f} wall"
            if clock.gigahertz:
                line["cycles_per_item"] = cpu * here["gigahertz"]
                text += f" {line['cycles_per_item']:10,.0f} cycles"
            if backend != "portable" and "portable" in samples:
                pairs = zip(samples["portable"], seconds, strict=True)
                line["ratio_to_portable"] = statistics.median(other / own for (other, _), (own, _) in pairs)
                text += f"  {line['ratio_to_portable']:6.2f} x portable"
            needed = multiplications(name)
            if backend == "ifma" and needed and clock.gigahertz:
                line["bound_cycles"] = needed / here["multiplications"]  # type: ignore[operator]
                text += f"  bound {line['bound_cycles']:,.0f} cycles"
            print(text)
            lines.append({**line, "seconds": seconds, "machine": here})
    return lines


if __name__ == "__main__":
    main()
