"""A large match of which one party is killed in the middle, and the same command again: what was finished is not done again.

``python -m benchmarks.macro.resume [--sizes 10000000] [--output FILE]`` runs the match whole; then, for either party, kills its
process (SIGKILL) when half of the shards are kept on both sides, starts the server again where it was the server, flips one byte
of a kept file to see that it is noticed, puts it right, and gives the same command again. The result must be the whole run's to
the byte; the figures are wall seconds and bytes of the whole run, and of the resumed one.
"""

from __future__ import annotations

import argparse
import hashlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Figures, MeasuredCompanies, append, compile_package
from benchmarks.tables import sizes_of, two_files
from psc.node.home import Home
from psc.node.kept import kept_runs
from psc.testing.nodes import PURPOSE

VICTIMS = ("initiator", "responder")
_WORDS = ("--want", "status", "--output-to", "both")


def kept(home: Path) -> tuple[int, int]:
    """Return how many shards a home keeps of a run, and of how many; zeros when it keeps none."""
    with Home.open(home) as opened:
        return next(((finished, run.shards) for run, finished in kept_runs(opened).values()), (0, 0))


def interrupted(companies: MeasuredCompanies, table: Path, output: Path, victim: str) -> int:
    """Run the match until half of the shards are kept, kill one party there, and return how many shards both kept."""
    words = ["match", "courier/parcels", "--input", table, "--key", "phone", "--purpose", PURPOSE, "--on-bad", "skip", *_WORDS]
    command = companies.command("merchant", *words, "--output", output)
    asking = subprocess.Popen(command, env=companies.env, cwd=companies.folder, stderr=subprocess.PIPE, text=True)
    homes = [companies.home(name) for name in ("merchant", "courier")]
    while not all(2 * finished >= shards > 0 for finished, shards in map(kept, homes)):
        if asking.poll() is not None:
            raise RuntimeError(f"it ended before half of it was kept: {asking.communicate()[1]}")
        time.sleep(0.1)
    if victim == "initiator":
        asking.kill()
    elif companies.server is not None:
        companies.server.send_signal(signal.SIGKILL)
        companies.server.wait()
    asking.communicate()
    if asking.returncode != (-signal.SIGKILL if victim == "initiator" else 5) or output.exists():
        raise RuntimeError(f"exit code {asking.returncode}")
    if victim == "responder":
        companies.serve()
    return min(finished for finished, _ in map(kept, homes))


def planned(companies: MeasuredCompanies, table: Path) -> Figures:
    """Return what the plan of the same command says of what is kept."""
    found: Figures = companies.ask("match", table, "phone", *_WORDS, "--dry-run", "--json").json()["resumes"] or {}
    return found


def check_flips(companies: MeasuredCompanies, table: Path) -> None:
    """Flip a byte of the last kept file, and see that the plan notices and goes on before it.

    Raises:
        RuntimeError: it did not.
    """
    finished = planned(companies, table)["finished_shards"]
    file = next((companies.home("merchant") / "kept").glob(f"*/{finished - 1:05d}"))
    with file.open("r+b") as opened:
        for again in (False, True):  # and back
            opened.seek(-100, 2)
            byte = opened.read(1)[0]
            opened.seek(-100, 2)
            opened.write(bytes([byte ^ 1]))
            opened.flush()
            told = planned(companies, table)
            if (told["finished_shards"], bool(told["damaged"])) != (finished - (not again), not again):
                raise RuntimeError(f"a flipped byte of {file} was not noticed")


def benchmark(sizes: tuple[int, int]) -> Iterator[Figures]:
    """Yield the figures of a whole run, and of one that goes on after each party was killed."""
    with tempfile.TemporaryDirectory() as name, MeasuredCompanies(Path(name)) as companies:
        two_files(companies.folder, sizes, ("parquet",), ("status",))
        companies.found()
        options = ("--runs-per-day", 1000, "--max-input", 1 << 25)
        companies.grant(
            companies.folder / "parcels.parquet", "phone=phone:phone", ["status:text:16"], rows_per_key=1, options=options
        )
        companies.serve()
        table, output = companies.folder / "orders.parquet", companies.folder / "out.parquet"
        whole = companies.measure("match", table, *_WORDS, "--output", output)
        wanted = hashlib.sha256(output.read_bytes()).hexdigest()
        yield {"killed": "", "finished_shards": 0} | whole
        for victim in VICTIMS:
            output.unlink()
            finished = interrupted(companies, table, output, victim)
            check_flips(companies, table)
            figures = companies.measure("match", table, *_WORDS, "--output", output)
            if hashlib.sha256(output.read_bytes()).hexdigest() != wanted:
                raise RuntimeError("another result than the whole run's")
            yield {"killed": victim, "finished_shards": finished} | figures


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=sizes_of, nargs="+", default=[(10_000_000,) * 2], help="N or NxM keys")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    compile_package()
    for rows, partner_rows in options.sizes:
        for figures in benchmark((rows, partner_rows)):
            append(options.output, "macro.resume", {"rows": rows, "partner_rows": partner_rows} | figures)
            told = f"killed {figures['killed'] or 'nobody'}: {figures['finished_shards']} shards kept"
            print(f"{told}; {figures['wall_seconds']:.1f} s, {figures['bytes_received'] / 1e6:.0f} MB received")


if __name__ == "__main__":
    main()
