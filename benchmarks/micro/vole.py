"""Time of every step of a silent VOLE, on every backend: ``python -m benchmarks.micro.vole``.

Each backend runs in a process of its own, on one thread unless told otherwise; the processes take turns, run by run, so that
a ratio compares the same minutes of the machine. Both parties run one after another in the same process. Milliseconds are of
the processor's time. Prints a table; ``--output`` appends one JSON line a step and backend, with the raw samples and what the
machine is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.micro.crypto import BACKENDS, ROOT, machine

T = TypeVar("T")
Times = dict[str, tuple[float, float]]


def once(outputs: int, malicious: bool) -> Times:
    """Run a VOLE; return for each step the seconds of the processor and of the clock on the wall."""
    from psc.crypto import Rng
    from psc.crypto.vole import VoleReceiver, VoleSender

    times: Times = {}

    def timed(step: str, call: Callable[[], T]) -> T:
        started, used = time.perf_counter(), time.process_time()
        result = call()
        times[step] = (time.process_time() - used, time.perf_counter() - started)
        return result

    rng = Rng.system()
    name = rng.bytes(32)
    sender = timed("sender: choices", lambda: VoleSender.start(name, outputs, malicious, rng))
    choices = sender.choices()
    receiver = timed("receiver: extension", lambda: VoleReceiver.start(name, outputs, malicious, choices, rng))
    extension = receiver.extension()
    trees = timed("sender: trees", lambda: sender.puncture(extension, rng))
    challenge = timed("receiver: trees", lambda: receiver.expand(trees, rng))
    answer = None if challenge is None else timed("sender: answer", lambda: sender.answer(challenge))
    timed("sender: code", sender.finish)
    timed("receiver: code", lambda: receiver.finish(answer))
    for party in ("sender", "receiver"):
        own = [pair for step, pair in times.items() if step.startswith(f"{party}:")]
        times[party] = (sum(cpu for cpu, _ in own), sum(wall for _, wall in own))
    return times


class Worker:
    """A process that runs VOLEs under one backend when it is told to."""

    def __init__(self, backend: str, given: argparse.Namespace) -> None:
        self.backend = backend
        command = [sys.executable, "-m", "benchmarks.micro.vole", "--worker", "--outputs", str(given.outputs)]
        command += ["--malicious"] if given.malicious else []
        environment = {**os.environ, "PSC_BACKEND": backend}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self) -> Times | None:
        """Return the times of one VOLE; nothing when this machine lacks the backend."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        answer = self._process.stdout.readline()
        return json.loads(answer) if answer else None

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def work(outputs: int, malicious: bool) -> None:
    """Be a worker: run a VOLE for every line of standard input."""
    for _ in sys.stdin:
        print(json.dumps(once(outputs, malicious)), flush=True)


def report(backend: str, samples: Sequence[Times], given: argparse.Namespace) -> list[dict[str, object]]:
    """Print a table of medians, and return the lines of the results."""
    from psc.crypto.vole import vole_bytes

    lengths = vole_bytes(given.outputs, given.malicious)
    to_receiver, to_sender = lengths.choices + lengths.trees + lengths.answer, lengths.extension + lengths.challenge
    print(f"\n{backend}: {given.outputs:,} outputs, {to_receiver:,} bytes to the receiver, {to_sender:,} to the sender")
    lines: list[dict[str, object]] = []
    for step in samples[0]:
        cpu, wall = ([sample[step][kind] for sample in samples] for kind in (0, 1))
        print(f"  {step:20} {statistics.median(cpu) * 1e3:9.2f} ms   least {min(cpu) * 1e3:9.2f} ms")
        lines.append({"step": step, "backend": backend, "cpu_seconds": cpu, "wall_seconds": wall})
    shared = {"benchmark": "vole", "outputs": given.outputs, "malicious": given.malicious, "machine": machine()}
    return [{**shared, "bytes_to_receiver": to_receiver, "bytes_to_sender": to_sender, **line} for line in lines]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", type=int, default=1_153_690, help="about 1.1 times 2^20")
    parser.add_argument("--malicious", action="store_true", help="with the check of the trees")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="as PSC_THREADS; 0 for all cores")
    parser.add_argument("--output", type=Path, help="append JSON lines to this file")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.outputs, given.malicious)
        return
    os.environ["PSC_THREADS"] = str(given.threads or "")
    workers = [Worker(backend, given) for backend in BACKENDS]
    samples: dict[str, list[Times]] = {worker.backend: [] for worker in workers}
    for run in range(given.runs + 1):
        for worker in workers:
            times = worker.run()
            # The first run of each warms up.
            if times and run:
                samples[worker.backend].append(times)
    for worker in workers:
        worker.close()
    lines = [line for backend, taken in samples.items() if taken for line in report(backend, taken, given)]
    if given.output:
        with given.output.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


if __name__ == "__main__":
    main()
