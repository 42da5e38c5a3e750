"""Whole runs of ``psc match``, ``count`` and ``aggregate`` between two processes over mutual TLS on the loopback interface.

``python -m benchmarks.macro.runs [--rows 100000 1000000] [--runs 3] [--output FILE]`` makes two homes with the command line
alone, serves the courier (Parquet) and runs the merchant (CSV in, CSV out). The aggregate is three sums by ten groups, right
after a count in the same round. It prints, for each size and operation, medians
of wall seconds, CPU seconds and peak memory of each party, bytes each way, and the plan's estimate beside them; with
``--output`` it appends one JSON line a run. Both parties share this machine's cores.
"""

from __future__ import annotations

import argparse
import compileall
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

import psc
from benchmarks.micro.crypto import machine
from psc.testing.companies import Companies
from psc.testing.madeup import PARCEL_PHONE

_LIMITS = ("--membership", "hidden,matcher", "--runs-per-day", 1000, "--max-input", 1 << 22)


_SUMS = ("--select", "sum:fee", "--select", "sum:weight", "--select", "sum:pieces", "--group-by", "city")
_RUNS: dict[str, tuple[str, ...]] = {
    "match": ("match", "--want", "status"),
    "match, one-sided": ("match",),
    "match, dh-psi": ("match", "--want", "status", "--protocol", "dh-psi"),
    "count": ("count",),
    "aggregate": ("aggregate", *_SUMS),
    "aggregate, members known to the matcher": ("aggregate", *_SUMS, "--membership", "matcher"),
}
"""What is run, by its name in the tables: operation and options."""
_VALUES = ("fee:int64:0..100000", "weight:decimal:3:0..50", "pieces:int64:0..99")


def compile_package() -> None:
    """Compile psc's modules as pip does when it installs them: where it runs from its source, each command would do so."""
    compileall.compile_dir(Path(psc.__file__).parent, quiet=1)


def tables(rows: int) -> tuple[pa.Table, pa.Table]:
    """Return two tables of ``rows`` distinct clean mobiles that share every second one, the second with what is asked of it."""
    phones = [f"1{30 + n % 10}{(n * 7919) % 10**8:08d}" for n in range(rows + rows // 2)]
    orders = pa.table({"order": range(rows), "phone": phones[:rows]})
    number = np.arange(rows)
    parcels = pa.table(
        {
            PARCEL_PHONE: phones[rows // 2 :],
            "status": ["signed"] * rows,
            "fee": number * 7919 % 100_001,
            "weight": number * 104_729 % 50_001 / 1000,
            "pieces": number % 100,
            "city": pa.array([f"city {n}" for n in (number % 10).tolist()]),
        }
    )
    return orders, parcels


def grant(companies: Companies, source: Path) -> None:
    """Register the courier's table and grant all of it."""
    key = f"phone={PARCEL_PHONE}:phone"
    companies.grant(source, key, ["status:text:16"], values=_VALUES, groups=["city"], rows_per_key=1, options=_LIMITS)


def measured(companies: Companies, server: psutil.Process, operation: str, table: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """Run one operation and return its figures."""
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # start the peak of resident memory anew
    before = server.cpu_times()
    word, *words = _RUNS[operation]
    options: list[object] = ["--json", *words]
    if word != "count":
        options += ["--output", companies.folder / "out.csv", "--force"]
    begin = time.perf_counter()
    result = companies.ask(word, table, "phone", *options).json()
    wall = time.perf_counter() - begin
    after = server.cpu_times()
    status = Path(f"/proc/{server.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    stats = result["stats"]
    return {
        "protocol": plan["protocol"],
        "model": plan["model"],
        "wall_seconds": wall,
        "run_seconds": stats["seconds"],
        "initiator_cpu_seconds": stats["cpu_seconds"],
        "responder_cpu_seconds": after.user + after.system - before.user - before.system,
        "initiator_peak_rss_bytes": stats["peak_rss_bytes"],
        "responder_peak_rss_bytes": peak * 1024,
        "bytes_sent": stats["bytes_sent"],
        "bytes_received": stats["bytes_received"],
        "plan_seconds": plan["seconds"],
        "plan_bytes_sent": plan["bytes_sent"],
        "plan_bytes_received": plan["bytes_received"],
    }


def benchmark(rows: int, runs: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the operation and figures of every run at one size."""
    with tempfile.TemporaryDirectory() as name, Companies(Path(name)) as companies:
        orders, parcels = tables(rows)
        pacsv.write_csv(orders, companies.folder / "orders.csv")
        pq.write_table(parcels, companies.folder / "parcels.parquet")
        companies.found()
        grant(companies, companies.folder / "parcels.parquet")
        server = psutil.Process(companies.serve())
        table = companies.folder / "orders.csv"
        plans = {
            operation: companies.ask(word, table, "phone", *words, "--dry-run", "--json").json()
            for operation, (word, *words) in _RUNS.items()
        }
        for _ in range(runs):
            for operation, plan in plans.items():
                yield operation, measured(companies, server, operation, table, plan)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    compile_package()
    for rows in options.rows:
        samples: dict[str, list[dict[str, Any]]] = {}
        for operation, figures in benchmark(rows, options.runs):
            samples.setdefault(operation, []).append(figures)
            if options.output is not None:
                line = {"benchmark": "macro.runs", "operation": operation, "rows": rows, **machine(), **figures}
                with options.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
        for operation, found in samples.items():
            print(f"{operation} {rows:,} x {rows:,}, median of {len(found)}")
            for key in (key for key, value in found[0].items() if not isinstance(value, str)):
                print(f"  {key:28} {statistics.median(sample[key] for sample in found):,.2f}")


if __name__ == "__main__":
    main()
