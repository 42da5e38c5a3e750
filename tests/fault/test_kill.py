"""``kill -9`` of either process at points of a run: the other ends with the right error, and the next run succeeds.

Both are real processes: the courier is ``psc serve``, the merchant a program that uses the SDK and pulls the trigger.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import psc
from psc.errors import ExitCode
from psc.node.runs import RunRecord, list_runs, mark_interrupted, receipt_of
from psc.protocols.base import CHUNK_ITEMS
from psc.testing.madeup import ORDER_PHONE, courier_parcels, merchant_orders, plain_join
from psc.testing.nodes import PURPOSE, free_port
from tests.fault.parties import ROWS, befriend, publish, set_limits, until

ROOT = Path(__file__).resolve().parents[2]
LIMITS = {
    "call_deadline_seconds": 3.0,
    "poll_seconds": 0.8,
    "peer_silence_seconds": 2.0,
    "reconnect_seconds": 1.0,
    "connect_seconds": 5.0,
}
MARGIN_SECONDS = 8.0
"""Beyond the bound itself; a busy machine needs it, and a run that hangs would take far longer."""

POINTS = {
    "accepted": ("match", "sent", "confirmation", "0"),
    "confirmed": ("match", "received", "confirmation", "0"),
    "chunks": ("match", "received", "evaluated_items", "1"),
    "rows": ("match", "received", "row_entries", "0"),
    "receipt": ("match", "sent", "receipt_signature", "0"),
    "trees": ("vole", "received", "vole_trees", "0"),
    "opening": ("vole-malicious", "received", "mask_opening", "0"),
    "ciphertexts": ("aggregate", "received", "encrypted_values", "1"),
    "sums": ("aggregate", "received", "released_sums", "0"),
    "table": ("aggregate-owner", "received", "released_table", "0"),
    "matched": ("aggregate-matcher", "sent", "masked_sums", "0"),
}
"""The operation, and the frame at which the trigger is pulled, as the merchant's process sees it before it sends, or once it
received it."""


@dataclass
class Companies:
    """Two homes that are closed, files of both, and the courier's server process."""

    folder: Path
    server: subprocess.Popen[str] | None = None

    @property
    def merchant(self) -> Path:
        return self.folder / "merchant"

    @property
    def courier(self) -> Path:
        return self.folder / "courier"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def serve(self) -> subprocess.Popen[str]:
        """Start the courier's server and wait until it listens."""
        command = [sys.executable, "-m", "psc.cli.main", "--home", str(self.courier), "--json", "serve"]
        with (self.folder / "server.log").open("a", encoding="utf-8") as log:
            self.server = spawn(command, log)
        assert self.server.stdout is not None
        said = self.server.stdout.readline()
        assert said, (self.folder / "server.log").read_text(encoding="utf-8")
        assert json.loads(said)["node"] == "courier"
        return self.server

    def alive(self) -> subprocess.Popen[str]:
        """Return the server, started if it is not there."""
        return self.server if self.server is not None and self.server.poll() is None else self.serve()

    def stop(self) -> None:
        """Stop the server as a user would; close what is left of it."""
        if self.server is not None:
            if self.server.poll() is None:
                self.server.send_signal(signal.SIGTERM)
            self.server.wait(30)
            close(self.server)

    def run(self, point: str, victim: str) -> subprocess.Popen[str]:
        """Start a merchant's process that kills ``victim`` at a point of its run."""
        orders = "many.parquet" if point == "chunks" else "orders.parquet"
        files = [str(self.merchant), str(self.folder / orders), str(self.out / f"{point}-{victim == 'self'}.csv")]
        with (self.folder / "initiator.log").open("a", encoding="utf-8") as log:
            return spawn([sys.executable, "-m", "tests.fault.initiator", *files, victim, *POINTS[point]], log)

    def runs(self, home: Path) -> list[RunRecord]:
        """Return the runs of a home, the newest first."""
        with psc.Node.open(home) as node:
            return list(list_runs(node.home))

    def next_run_succeeds(self) -> None:
        """Assert that a new run gives the plain join's answer."""
        orders, parcels = merchant_orders(ROWS), courier_parcels(ROWS)
        joined = plain_join(orders, parcels, want=["status"], max_rows_per_key=64)
        with psc.Node.open(self.merchant) as node, node.connect("courier") as courier:
            result = courier.match(
                orders, on={"phone": ORDER_PHONE}, dataset="parcels", purpose=PURPOSE, want=["status"], on_bad="skip"
            )
        assert sorted(result.to_pandas()["status"]) == sorted(joined["status"])
        assert len(joined) > 0

    def nothing_half_written(self) -> None:
        """Assert that no result came out anywhere and that no part of a file is left."""
        assert list(self.out.iterdir()) == []
        for home in (self.merchant, self.courier):
            assert list((home / "results").iterdir()) == []
            left = [path for path in home.rglob("*") if path.suffix in (".tmp", ".part") or path.name.startswith(".tmp")]
            assert left == []


def spawn(command: list[str], log: TextIO) -> subprocess.Popen[str]:
    """Start a process whose first output can be read, with its errors in a file."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT, env=os.environ | {"PSC_LANG": "en"})


def close(process: subprocess.Popen[str]) -> None:
    """Close what a process that ended has left open here."""
    if process.stdout is not None:
        process.stdout.close()


def ended(process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    """Wait for a merchant's process to end by itself; return what it said."""
    said, _ = process.communicate(timeout=seconds)
    answer: dict[str, Any] = json.loads(said)
    return answer


@pytest.fixture(scope="module")
def companies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companies]:
    folder = tmp_path_factory.mktemp("kill")
    made = Companies(folder)
    made.out.mkdir()
    address = f"127.0.0.1:{free_port()}"
    pq.write_table(merchant_orders(ROWS), folder / "orders.parquet")
    # Three chunks of blinded items, so that there is a middle.
    phones = [f"139{number:08d}" for number in range(2 * CHUNK_ITEMS + 200)]
    pq.write_table(pa.table({ORDER_PHONE: phones}), folder / "many.parquet")
    pq.write_table(courier_parcels(ROWS), folder / "parcels.parquet")
    with (
        psc.Node.create(made.merchant, "merchant") as merchant,
        psc.Node.create(made.courier, "courier", listen=address, address=address) as courier,
    ):
        befriend(folder, merchant, courier)
        publish(courier, folder / "parcels.parquet", 64, group="city", min_group=0)
    for home in (made.merchant, made.courier):
        set_limits(home, LIMITS)
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_initiator_ends_the_responders_run_and_the_next_one_succeeds(companies: Companies, point: str) -> None:
    companies.alive()
    process = companies.run(point, "self")
    process.communicate(timeout=60)
    killed = time.monotonic()
    assert process.returncode == -signal.SIGKILL

    with psc.Node.open(companies.courier) as courier:
        record = list_runs(courier.home, limit=1)[0]
        record = until(
            lambda: (now := list_runs(courier.home, limit=1)[0]).status != "running" and now,
            "the server to give the run up",
            LIMITS["peer_silence_seconds"] + MARGIN_SECONDS,
        )
        waited = time.monotonic() - killed
        assert (record.status, record.code) == ("failed", "transport.peer-silent")
        assert waited < LIMITS["peer_silence_seconds"] + MARGIN_SECONDS
        assert (record.result, receipt_of(courier.home, record.run_id)) == ("", None)
    companies.nothing_half_written()

    with psc.Node.open(companies.merchant) as merchant:  # what `psc runs list` does before it lists
        marked = {run.run_id: run for run in mark_interrupted(merchant.home)}
    assert marked[record.run_id].code == "node.run-interrupted"
    companies.next_run_succeeds()
    # The merchant is done a moment before the server has written its record.
    until(lambda: companies.runs(companies.courier)[0].status == "finished", "the server's record of the next run")


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_responder_ends_the_initiators_run_and_its_successor_serves(companies: Companies, point: str) -> None:
    server = companies.alive()
    process = companies.run(point, str(server.pid))
    said = ended(process, 60)
    assert process.returncode == ExitCode.TRANSPORT
    assert said["error"] == "ChannelClosedError"
    assert said["code"] == "transport.connection-lost"
    assert server.wait(10) == -signal.SIGKILL
    close(server)
    companies.nothing_half_written()
    mine = companies.runs(companies.merchant)[0]
    assert (mine.status, mine.code) == ("failed", "transport.connection-lost")
    assert mine.seconds < LIMITS["reconnect_seconds"] + MARGIN_SECONDS + 20
    theirs = companies.runs(companies.courier)[0]
    assert (theirs.run_id, theirs.status) == (mine.run_id, "running")  # nobody was left to write it down

    companies.serve()
    theirs = next(run for run in companies.runs(companies.courier) if run.run_id == mine.run_id)
    assert (theirs.status, theirs.code, theirs.result) == ("failed", "node.run-interrupted", "")
    companies.next_run_succeeds()
