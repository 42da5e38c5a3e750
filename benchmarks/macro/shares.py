"""Where the CPU time of a run goes: ``python -m benchmarks.macro.shares [--rows 1048576]``.

Runs match and count from the SDK against a served CSV file over mutual TLS and splits each party's CPU seconds by thread, from
the plan to the written result: the core's own threads (``psc-N``: hashing to the curve, scalar multiplication, tags, rows)
and everything else (Python, Arrow, TLS, gRPC). The interpreter's start is outside.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import tempfile
import time
from pathlib import Path

import psc
from benchmarks.peers.ecdh import LIMITS, write_tables
from psc.testing.companies import Companies
from psc.testing.nodes import PURPOSE

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(process: int) -> tuple[float, float]:
    """Return the CPU seconds of a process in the core's threads, and in all its threads."""
    kernels = 0.0
    for thread in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it ended meanwhile
            name, used = _times(thread / "stat")
            if re.fullmatch(r"psc-\d+", name):
                kernels += used
    return kernels, _times(Path(f"/proc/{process}/stat"))[1]


def _times(stat: Path) -> tuple[str, float]:
    text = stat.read_text()
    name, fields = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
    return name, (int(fields[11]) + int(fields[12])) / TICKS


def main() -> None:
    """Run the measurement from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1 << 20)
    rows = parser.parse_args().rows
    for kind in (psc.Match, psc.Count):
        with tempfile.TemporaryDirectory() as name, Companies(Path(name)) as companies:
            write_tables(companies.folder, rows)
            companies.found()
            source = companies.folder / "parcels.csv"
            companies.grant(source, "phone=phone:phone", rows_per_key=1, options=LIMITS)
            processes = {"initiator": os.getpid(), "responder": companies.serve()}
            before = {side: cpu_seconds(process) for side, process in processes.items()}
            begin = time.perf_counter()
            with psc.Node.open(companies.home("merchant")) as node, node.connect("courier") as courier:
                orders = companies.folder / "orders.csv"
                result = courier.plan(kind(orders, on="phone", dataset="parcels", purpose=PURPOSE)).run()
                if isinstance(result, psc.MatchResult):
                    result.write(companies.folder / "matched.csv")
            wall = time.perf_counter() - begin
            print(f"{kind.OPERATION} {rows:,} x {rows:,}: {wall:.2f} s")
            for side, process in processes.items():
                kernels, total = (now - then for now, then in zip(cpu_seconds(process), before[side]))
                print(f"  {side}: {total:.2f} CPU s, {kernels / total:.1%} in the core's threads")


if __name__ == "__main__":
    main()
