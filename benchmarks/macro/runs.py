"""Whole runs of ``psc match``, ``count`` and ``aggregate`` between two processes over mutual TLS on the loopback interface.

``python -m benchmarks.macro.runs [--sizes 100000 50000x30000000] [--operations match …] [--runs 3] [--output FILE]`` makes two
homes with the command line alone, serves the courier and runs the merchant. The courier's file is Parquet; the merchant's are
CSV, or Parquet with ``--files parquet``. A size is the keys of each side, or the merchant's and the courier's. The aggregate is
three sums by ten groups, right after a count in the same round. It prints, for each size and operation, medians
of wall seconds, CPU seconds and peak memory of each party, bytes each way, and the plan's estimate beside them; with
``--output`` it appends one JSON line a run. Both parties share this machine's cores.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measure import Figures, MeasuredCompanies, append, compile_package
from benchmarks.tables import VALUES, sizes_of, two_files
from psc.testing.companies import Companies

COLUMNS = ("status", "fee", "weight", "pieces", "city")
_SUMS = ("--select", "sum:fee", "--select", "sum:weight", "--select", "sum:pieces", "--group-by", "city")
OPERATIONS: dict[str, tuple[str, ...]] = {
    "match": ("match", "--want", "status"),
    "match, one-sided": ("match",),
    "match, one-sided, semi-honest": ("match", "--model", "semi-honest"),
    "match, dh-psi": ("match", "--want", "status", "--protocol", "dh-psi"),
    "count": ("count",),
    "aggregate": ("aggregate", *_SUMS),
    "aggregate, members known to the matcher": ("aggregate", *_SUMS, "--membership", "matcher"),
}
"""What is run, by its name in the tables: operation and options."""


def grant(companies: Companies, source: Path) -> None:
    """Register the courier's table and grant all of it."""
    limits = ("--membership", "hidden,matcher", "--runs-per-day", 1000, "--max-input", 1 << 25)
    release = ["status:text:16"]
    companies.grant(source, "phone=phone:phone", release, values=VALUES, groups=["city"], rows_per_key=1, options=limits)


def planned(companies: Companies, operation: str, table: Path) -> Figures:
    """Return what the plan of an operation says."""
    word, *words = OPERATIONS[operation]
    plan = companies.ask(word, table, "phone", *words, "--dry-run", "--json").json()
    told = {f"plan_{key}": plan[key] for key in ("seconds", "bytes_sent", "bytes_received")}
    return {"protocol": plan["protocol"], "model": plan["model"], **told}


def measured(companies: MeasuredCompanies, operation: str, table: Path) -> Figures:
    """Run one operation and return its figures."""
    word, *words = OPERATIONS[operation]
    output: tuple[object, ...] = ("--output", companies.folder / f"out{table.suffix}", "--force") if word != "count" else ()
    return companies.measure(word, table, *words, *output)


def benchmark(sizes: tuple[int, int], runs: int, operations: Sequence[str], kind: str) -> Iterator[tuple[str, Figures]]:
    """Yield the operation and figures of every run at one size."""
    with tempfile.TemporaryDirectory() as name, MeasuredCompanies(Path(name)) as companies:
        two_files(companies.folder, sizes, ("parquet", kind) if kind != "parquet" else ("parquet",), COLUMNS)
        companies.found()
        grant(companies, companies.folder / "parcels.parquet")
        companies.serve()
        table = companies.folder / f"orders.{kind}"
        plans = {operation: planned(companies, operation, table) for operation in operations}
        for _ in range(runs):
            for operation, plan in plans.items():
                yield operation, plan | measured(companies, operation, table)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=sizes_of, nargs="+", default=[(100_000,) * 2, (1_000_000,) * 2], help="N or NxM keys")
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=list(OPERATIONS), metavar="NAME")
    parser.add_argument("--files", choices=("csv", "parquet"), default="csv", help="what the merchant reads and writes")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    compile_package()
    for rows, partner_rows in options.sizes:
        samples: dict[str, list[Figures]] = {}
        for operation, figures in benchmark((rows, partner_rows), options.runs, options.operations, options.files):
            samples.setdefault(operation, []).append(figures)
            told = {"operation": operation, "rows": rows, "partner_rows": partner_rows, "files": options.files}
            append(options.output, "macro.runs", told | figures)
        for operation, found in samples.items():
            print(f"{operation} {rows:,} x {partner_rows:,}, median of {len(found)}")
            for key in (key for key, value in found[0].items() if isinstance(value, int | float)):
                print(f"  {key:28} {statistics.median(sample[key] for sample in found):,.2f}")


if __name__ == "__main__":
    main()
