"""``kill -9`` of either process in the middle of a match in shards: the same command goes on, and gives the whole result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import psc
from psc.errors import ExitCode
from psc.node.kept import kept_runs
from psc.node.runs import list_runs
from psc.testing.madeup import ORDER_PHONE, courier_parcels, merchant_orders, plain_join
from psc.testing.nodes import PURPOSE, free_port
from tests.fault.parties import befriend, publish, set_limits, until
from tests.fault.test_kill import LIMITS, ROOT

ROWS, SHARD_KEYS = 20_000, 600


class Companies:
    """Two homes that are closed, and the processes of both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: subprocess.Popen[str] | None = None
        self.asking: subprocess.Popen[str] | None = None

    def spawn(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.fault.sharded", str(SHARD_KEYS), *words]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PSC_LANG": "en", "COLUMNS": "200"},
        )

    def serve(self) -> None:
        self.server = self.spawn("--home", str(self.folder / "courier"), "--json", "serve")
        assert self.server.stdout is not None
        assert self.server.stdout.readline()

    def ask(self, out: Path, *words: str) -> subprocess.Popen[str]:
        source = ["--input", str(self.folder / "orders.parquet"), "--key", f"phone={ORDER_PHONE}", "--purpose", PURPOSE]
        more = ["--want", "status", "--on-bad", "skip", "--output", str(out), "--output-to", "both", "--protocol", "dh-psi"]
        self.asking = self.spawn("--home", str(self.folder / "merchant"), "match", "courier/parcels", *source, *more, *words)
        return self.asking

    def kept(self, home: str) -> int:
        """Return how many shards a home keeps of the run that it began last."""
        with psc.Node.open(self.folder / home) as node:
            return max((finished for _, finished in kept_runs(node.home).values()), default=0)

    def end(self, process: subprocess.Popen[str] | None) -> None:
        if process is not None:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=30)


@pytest.fixture
def companies(tmp_path: Path) -> Iterator[Companies]:
    made = Companies(tmp_path)
    address = f"127.0.0.1:{free_port()}"
    pq.write_table(merchant_orders(ROWS), tmp_path / "orders.parquet")
    pq.write_table(courier_parcels(ROWS), tmp_path / "parcels.parquet")
    with (
        psc.Node.create(tmp_path / "merchant", "merchant") as merchant,
        psc.Node.create(tmp_path / "courier", "courier", listen=address, address=address) as courier,
    ):
        befriend(tmp_path, merchant, courier)
        publish(courier, tmp_path / "parcels.parquet", 64, group="city", min_group=0)
    for home in ("merchant", "courier"):
        set_limits(tmp_path / home, LIMITS)
    try:
        yield made
    finally:
        made.end(made.asking)
        made.end(made.server)


@pytest.mark.parametrize("victim", ["initiator", "responder"])
def test_the_same_command_goes_on_after_the_finished_shards(companies: Companies, victim: str) -> None:
    companies.serve()
    out = companies.folder / "matched.parquet"
    asking = companies.ask(out)
    until(lambda: companies.kept("merchant") >= 4, "some shards to be kept", 60)
    killed = asking if victim == "initiator" else companies.server
    assert killed is not None
    killed.send_signal(signal.SIGKILL)
    said = asking.communicate(timeout=60)[1]
    assert not out.exists()
    finished = min(companies.kept("merchant"), companies.kept("courier"))
    assert finished >= 4
    if victim == "responder":
        assert asking.returncode == ExitCode.TRANSPORT
        assert "the same command goes on after them" in said
        companies.end(companies.server)
        companies.serve()
    first = runs(companies, "merchant")[0]

    plan = companies.ask(out, "--dry-run", "--json")
    told = json.loads(plan.communicate(timeout=60)[0])
    assert told["resumes"]["run_id"] == first["run_id"]
    again = companies.ask(out)
    said = again.communicate(timeout=120)[1]
    assert again.returncode == 0, said
    assert f"Goes on with run {first['run_id']}" in " ".join(said.split())
    joined = plain_join(merchant_orders(ROWS), courier_parcels(ROWS), want=["status"], max_rows_per_key=64)
    assert pq.read_table(out).column("order_id").to_pylist() == joined["order_id"].tolist()
    assert len(joined) > 1000

    mine = runs(companies, "merchant")
    assert [run["status"] for run in mine[:2]] == ["finished", "failed" if victim == "responder" else "running"]
    # What was finished was not computed again: a whole run moves as much more.
    shards = told["resumes"]["shards"]
    until(lambda: companies.kept("merchant") == companies.kept("courier") == 0, "what was kept to go")
    whole = companies.ask(companies.folder / "whole.parquet")
    assert whole.communicate(timeout=120) is not None
    theirs = runs(companies, "merchant")[0]["bytes_received"]
    assert mine[0]["bytes_received"] < theirs * (shards - finished + 0.5) / shards
    assert pq.read_table(companies.folder / "whole.parquet").equals(pq.read_table(out))


def runs(companies: Companies, home: str) -> list[dict[str, Any]]:
    """Return the runs of a home, the newest first."""
    with psc.Node.open(companies.folder / home) as node:
        return [record.model_dump() for record in list_runs(node.home)]
