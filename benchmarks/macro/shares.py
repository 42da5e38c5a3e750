"""Where the CPU time of a run goes: ``python -m benchmarks.macro.shares [--rows 1048576] [--output FILE]``.

Runs match, count and an aggregate from the SDK against a served CSV file over mutual TLS, CSV in and out, under ``perf``
(Linux; where it is not installed this says so and ends). Every sample of both processes, from the
plan to the written result, belongs to one of: the core (its own threads ``psc-N``, and its code wherever it runs), gRPC with
its TLS, Arrow (reading, joining, writing tables), Python with numpy, the system (files, sockets, memory), other libraries.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psc
from benchmarks.macro.runs import COLUMNS, grant
from benchmarks.measure import append
from benchmarks.tables import two_files
from psc.operations.requests import Request
from psc.testing.companies import Companies
from psc.testing.nodes import PURPOSE

PARTS = (
    ("core", r"_core\.abi3"),
    ("grpc and tls", r"cygrpc|_rust\.abi3|libssl|libcrypto|upb"),
    ("arrow", r"libarrow|libparquet|pyarrow|/lib\.cpython"),
    ("python", r"libpython|python3|numpy|multiarray|openblas|pandas"),
    ("system", r"\[kernel|\[vdso|\[unknown"),
)
OTHER = "libc and others"


def part_of(thread: str, library: str) -> str:
    """Return which part a sample belongs to."""
    if re.fullmatch(r"psc-\d+", thread):
        return "core"
    return next((name for name, pattern in PARTS if re.search(pattern, library)), OTHER)


def shares(data: Path) -> Counter[str]:
    """Return the samples of each part."""
    command = ["perf", "script", "--input", str(data), "--fields", "comm,ip,dso"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: Counter[str] = Counter()
    for line in text.splitlines():
        match = re.match(r"\s*(\S.*?)\s+[0-9a-f]+ \((.*)\)\s*$", line)
        if match:
            found[part_of(match[1], match[2])] += 1
    return found


def profiled(request: Callable[[Path], Request], companies: Companies, server: int) -> tuple[float, Counter[str]]:
    """Plan, run and write one operation under ``perf``; return its seconds and the samples of both processes."""
    data = companies.folder / "perf.data"
    processes = f"{os.getpid()},{server}"
    watcher = subprocess.Popen(["perf", "record", "-F", "199", "-p", processes, "-o", str(data)], stderr=subprocess.PIPE)
    try:
        time.sleep(1)
        begin = time.perf_counter()
        with psc.Node.open(companies.home("merchant")) as node, node.connect("courier") as courier:
            result = courier.plan(request(companies.folder / "orders.csv")).run()
            if not isinstance(result, psc.CountResult):
                result.write(companies.folder / "out.csv")
        seconds = time.perf_counter() - begin
    finally:
        watcher.send_signal(signal.SIGINT)
        watcher.wait(60)
    return seconds, shares(data)


def _match(source: Path) -> Request:
    return psc.Match(source, on="phone", dataset="parcels", want=["status"], purpose=PURPOSE)


def _match_dh(source: Path) -> Request:
    return psc.Match(source, on="phone", dataset="parcels", want=["status"], protocol="dh-psi", purpose=PURPOSE)


def _count(source: Path) -> Request:
    return psc.Count(source, on="phone", dataset="parcels", purpose=PURPOSE)


def _aggregate(source: Path) -> Request:
    sums = [psc.sum(name) for name in ("fee", "weight", "pieces")]
    return psc.Aggregate(source, on="phone", dataset="parcels", select=sums, group_by="city", purpose=PURPOSE)


def main() -> None:
    """Run the measurement from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1 << 20)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if shutil.which("perf") is None:
        raise SystemExit("perf is not installed: nothing measured")
    with tempfile.TemporaryDirectory() as name, Companies(Path(name)) as companies:
        two_files(companies.folder, (options.rows, options.rows), ("csv",), COLUMNS)
        companies.found()
        grant(companies, companies.folder / "parcels.csv")
        server = companies.serve()
        for request in (_match, _match_dh, _count, _aggregate):
            seconds, found = profiled(request, companies, server)
            whole = sum(found.values())
            parts = {part: found[part] / whole for part, _ in (*PARTS, (OTHER, ""))}
            operation = request.__name__.strip("_").replace("_dh", " by dh-psi")
            shown = ", ".join(f"{part} {share:.1%}" for part, share in parts.items())
            print(f"{operation} {options.rows:,} x {options.rows:,}: {seconds:.2f} s; {shown} ({whole} samples)")
            told = {"operation": operation, "rows": options.rows, "seconds": seconds, "samples": whole, "shares": parts}
            append(options.output, "macro.shares", told)


if __name__ == "__main__":
    main()
