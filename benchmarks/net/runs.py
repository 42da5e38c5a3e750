"""Whole runs over a line of 100 Mbit/s and a round trip of 20 ms, beside spu's RR22 on it: ``python -m benchmarks.net.runs``.

Each company is in a network namespace of its own, with the line of ``benchmarks/net/link.py`` between them; nothing else is
there. ``psc serve`` runs at its far end, ``psc match`` and the others at its near end; each round runs every operation once,
then the peer's two parties on the same CSV files, all over mutual TLS. Bytes are those that the device counted, headers and
acknowledgements included; *busy* is the share of the wall time that the busier direction needs at the line's rate. The
line is measured too, before the runs: a round trip, and the rate of one TCP stream.
``make bench-net`` runs this; it needs no privileges where user namespaces are permitted, and says so where they are not.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.macro.runs import COLUMNS, OPERATIONS, grant, measured, planned
from benchmarks.measure import Figures, MeasuredCompanies, append, compile_package
from benchmarks.net.link import FAR, NEAR, Link, enter
from benchmarks.peers.pairs import PEERS, run_peer, write_certificates
from benchmarks.tables import sizes_of, two_files


class ApartCompanies(MeasuredCompanies):
    """Two companies with a line between them: the courier is at its far end."""

    def __init__(self, folder: Path, link: Link) -> None:
        super().__init__(folder)
        self.address = f"{FAR}:7443"
        self._link = link

    def command(self, name: str, *args: object) -> list[str]:
        """Return a command line of ``psc`` on a company's home, at its end of the line."""
        return [*(self._link.within_far if name == "courier" else ()), *super().command(name, *args)]


def benchmark(
    link: Link, sizes: tuple[int, int], runs: int, operations: Sequence[str], peers: Sequence[str], python: Path
) -> Iterator[Figures]:
    """Yield the figures of every run at one size."""
    with tempfile.TemporaryDirectory() as name, ApartCompanies(Path(name), link) as companies:
        two_files(companies.folder, sizes, ("csv",), COLUMNS)
        write_certificates(companies.folder, (NEAR, FAR))
        companies.found()
        grant(companies, companies.folder / "parcels.csv")
        companies.serve()
        table = companies.folder / "orders.csv"
        plans = {operation: planned(companies, operation, table) for operation in operations}
        for _ in range(runs):
            taken: list[Figures] = []
            for operation in (*operations, *peers):
                before = link.moved()
                if operation in PEERS:
                    within = ((), link.within_far)
                    named = {"operation": PEERS[operation].name}
                    found = run_peer(python, companies.folder, PEERS[operation], (NEAR, FAR), within)
                else:
                    named = {"operation": operation, **plans[operation]}
                    found = measured(companies, operation, table)
                sent, received = (now - then for now, then in zip(link.moved(), before, strict=True))
                busy = max(sent, received) * 8e-6 / link.megabits / found["wall_seconds"]
                taken.append(named | found | {"line_bytes_sent": sent, "line_bytes_received": received, "line_busy": busy})
            for figures in taken[: len(operations)]:
                others = {one["operation"]: one["wall_seconds"] for one in taken[len(operations) :]}
                figures["ratios"] = {name: seconds / figures["wall_seconds"] for name, seconds in others.items()}
            yield from taken


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=sizes_of, nargs="+", default=[(100_000,) * 2, (1_000_000,) * 2], help="N or NxM keys")
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=list(OPERATIONS), metavar="NAME")
    parser.add_argument("--peers", choices=PEERS, nargs="*", default=["rr22"])
    parser.add_argument("--peer-python", type=Path, default=Path(".venv-peers/bin/python"), help="a Python that has the peers")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--megabits", type=float, default=100)
    parser.add_argument("--round-trip-ms", type=float, default=20)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    enter()
    compile_package()
    with Link(options.megabits, options.round_trip_ms / 2) as link:
        trip, rate = link.probe()
        print(f"line by {link.made_by}: {trip:.1f} ms, {rate:.1f} Mbit/s measured", flush=True)
        line = {"made_by": link.made_by, "megabits": options.megabits, "round_trip_ms": options.round_trip_ms}
        line |= {"measured_round_trip_ms": trip, "measured_megabits": rate}
        for sizes in options.sizes:
            size = dict(zip(("rows", "partner_rows"), sizes, strict=True))
            python = options.peer_python.absolute()
            for figures in benchmark(link, sizes, options.runs, options.operations, options.peers, python):
                append(options.output, "net.runs", line | size | figures)
                moved = " and ".join(f"{figures[f'line_bytes_{way}'] / 1e6:.1f}" for way in ("sent", "received"))
                print(f"{sizes[0]:,} x {sizes[1]:,}  {figures['operation']}: {figures['wall_seconds']:.2f} s,", end=" ")
                print(f"{moved} MB, line busy {figures['line_busy']:.0%}", flush=True)


if __name__ == "__main__":
    main()
