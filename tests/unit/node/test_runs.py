import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psc.data import output
from psc.errors import ReplayedError, StorageError, UsageError
from psc.node import runs
from psc.node.home import Home
from psc.node.runs import (
    RunRecord,
    cancel_requested,
    deliver_result,
    finish_run,
    get_run,
    keep_receipt,
    list_runs,
    mark_interrupted,
    receipt_of,
    request_cancel,
    result_of,
    start_run,
)
from tests.homes import code_of

RUN = "01jd6x3k9m2p4q6r8s0t2v4w6y"


def start(home: Home, run_id: str = RUN) -> RunRecord:
    return start_run(
        home,
        run_id=run_id,
        direction="responder",
        partner="merchant",
        operation="match",
        dataset="parcels",
        purpose="delivery",
        protocol="dh-psi",
    )


def test_a_run_is_recorded_from_start_to_end(courier: Home) -> None:
    record = start(courier)
    assert (record.status, record.finished_at) == ("running", None)
    done = finish_run(courier, RUN, "finished", own_size=1024, partner_size=2048, bytes_sent=5, bytes_received=6, seconds=1.5)
    assert (done.status, done.own_size, done.partner_size, done.bytes_sent, done.seconds) == ("finished", 1024, 2048, 5, 1.5)
    assert done.finished_at is not None
    with Home.open(courier.path) as again:
        assert get_run(again, RUN) == done


def test_a_run_keeps_its_first_ending(courier: Home) -> None:
    start(courier)
    first = finish_run(courier, RUN, "refused", code="runs-per-day")
    assert finish_run(courier, RUN, "finished") == first == get_run(courier, RUN)


def test_a_run_id_is_used_once(courier: Home) -> None:
    start(courier)
    assert code_of(ReplayedError, lambda: start(courier)).code == "node.run-exists"


@pytest.mark.parametrize(
    "run_id", ["", "short", "../../../etc/passwd", "a" * 65, "abcdefgh/ijk", "abcdefgh\n", ".abcdefgh", "订单订单订单订单"]
)
def test_an_id_that_could_not_be_a_file_name_is_refused(courier: Home, run_id: str) -> None:
    assert code_of(UsageError, lambda: start(courier, run_id)).code == "node.run-id-wrong"


def test_an_unknown_run_is_a_usage_error(courier: Home) -> None:
    for act in (
        lambda: get_run(courier, RUN),
        lambda: finish_run(courier, RUN, "failed"),
        lambda: request_cancel(courier, RUN),
        lambda: keep_receipt(courier, RUN, "{}"),
        lambda: receipt_of(courier, RUN),
        lambda: deliver_result(courier, RUN, pa.table({})),
        lambda: result_of(courier, RUN),
    ):
        assert code_of(UsageError, act).code == "node.run-unknown"
    assert not cancel_requested(courier, RUN)


def test_runs_are_listed_newest_first(courier: Home) -> None:
    ids = [f"run-{number:08d}" for number in range(5)]
    for run_id in ids:
        start(courier, run_id)
    finish_run(courier, ids[1], "failed", code="transport.x")
    assert [record.run_id for record in list_runs(courier)] == ids[::-1]
    assert [record.run_id for record in list_runs(courier, limit=2)] == ids[:2:-1]
    assert [record.run_id for record in list_runs(courier, status="failed")] == [ids[1]]


def test_another_process_can_ask_a_run_to_stop(courier: Home) -> None:
    start(courier)
    assert not cancel_requested(courier, RUN)
    with Home.open(courier.path) as other:
        request_cancel(other, RUN)
    assert cancel_requested(courier, RUN)
    finish_run(courier, RUN, "cancelled")
    assert code_of(UsageError, lambda: request_cancel(courier, RUN)).code == "node.run-ended"


def test_a_receipt_is_kept_and_never_replaced(courier: Home) -> None:
    start(courier)
    assert receipt_of(courier, RUN) is None
    keep_receipt(courier, RUN, '{"a": 1}')
    keep_receipt(courier, RUN, '{"a": 1}')
    assert code_of(ReplayedError, lambda: keep_receipt(courier, RUN, '{"a": 2}')).code == "node.receipt-exists"
    assert receipt_of(courier, RUN) == '{"a": 1}'


def test_a_delivered_result_is_readable_by_its_owner_alone(courier: Home) -> None:
    start(courier)
    assert result_of(courier, RUN) is None
    before = os.umask(0)
    try:
        path = deliver_result(courier, RUN, pa.table({"status": ["a", "b"]}))
    finally:
        os.umask(before)
    assert path == courier.path / "results" / f"{RUN}.parquet" == result_of(courier, RUN)
    assert path.stat().st_mode & 0o777 == 0o600
    assert pq.read_table(path).num_rows == 2
    assert get_run(courier, RUN).result == f"{RUN}.parquet"
    path.unlink()
    assert code_of(UsageError, lambda: result_of(courier, RUN)).code == "node.result-removed"


def test_a_full_disk_leaves_no_half_result(courier: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    start(courier)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(output.os, "fsync", full)
    code_of(StorageError, lambda: deliver_result(courier, RUN, pa.table({"status": ["a"]})))
    monkeypatch.undo()
    assert list(courier.results_folder.iterdir()) == []
    assert result_of(courier, RUN) is None


def test_runs_of_a_killed_process_are_marked(courier: Home) -> None:
    start(courier)
    script = (
        "import sys, os\n"
        "from psc.node.home import Home\n"
        "from psc.node.runs import start_run\n"
        "home = Home.open(sys.argv[1])\n"
        "start_run(home, run_id='run-killed', direction='initiator', partner='m', operation='count', dataset='d', purpose='p')\n"
        "os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(courier.path)], cwd=Path.cwd()).returncode == 9
    assert [record.run_id for record in mark_interrupted(courier)] == ["run-killed"]
    found = get_run(courier, "run-killed")
    assert (found.status, found.code) == ("failed", "node.run-interrupted")
    assert get_run(courier, RUN).status == "running"
    assert mark_interrupted(courier) == ()


def test_a_process_number_that_was_given_anew_is_noticed(courier: Home) -> None:
    record = start(courier)
    number = record.process.partition(":")[0]
    assert runs._alive(record.process)
    assert not runs._alive(f"{number}:1")
    assert not runs._alive("")
    assert not runs._alive("x:1")
