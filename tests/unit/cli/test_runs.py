"""``psc runs list | show | export | cancel`` on records that no server is needed for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from psc.node.home import Home
from psc.node.runs import cancel_requested, finish_run, start_run

from .conftest import Psc

FIRST, SECOND = "0000aaaabbbbccccddddeeee01", "0000ffffgggghhhhjjjjkkkk02"


@pytest.fixture
def recorded(homes: tuple[Home, Home]) -> Home:
    """Return the merchant's home with a failed run and a running one."""
    home = homes[0]
    for run_id in (FIRST, SECOND):
        start_run(
            home, run_id=run_id, direction="initiator", partner="courier", operation="count", dataset="parcels", purpose="p"
        )
    finish_run(home, FIRST, "failed", code="transport.peer-silent", bytes_sent=1500, seconds=2.5)
    return home


def test_list_is_newest_first_and_can_be_cut(psc: Psc, recorded: Home) -> None:
    runs = psc("runs list --home m --json").json()["runs"]
    assert [run["run_id"] for run in runs] == [SECOND, FIRST]
    assert runs[1]["code"] == "transport.peer-silent"
    assert "process" not in runs[0]
    assert [run["run_id"] for run in psc("runs list --home m --limit 1 --json").json()["runs"]] == [SECOND]
    assert [run["run_id"] for run in psc("runs list --home m --status failed --json").json()["runs"]] == [FIRST]
    shown = psc("runs list --home m").out
    assert FIRST in shown
    assert "asked courier: count parcels" in shown
    assert psc("runs list --home c --json").json() == {"runs": []}
    assert "No runs" in psc("runs list --home c").out


def test_a_narrow_terminal_breaks_no_run_id(psc: Psc, recorded: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert FIRST in psc("runs list --home m").out


def test_a_run_whose_process_is_gone_is_told_as_failed(psc: Psc, recorded: Home) -> None:
    with recorded.store.write() as db:
        db.execute("UPDATE runs SET record = replace(record, ?, '999999999:1') WHERE run_id = ?", (f"{os.getpid()}:", SECOND))
        row = db.execute("SELECT record FROM runs WHERE run_id = ?", (SECOND,)).fetchone()[0]
    assert "999999999" in row
    [found] = [run for run in psc("runs list --home m --json").json()["runs"] if run["run_id"] == SECOND]
    assert (found["status"], found["code"]) == ("failed", "node.run-interrupted")


def test_show_takes_the_beginning_of_an_id(psc: Psc, recorded: Home) -> None:
    found = psc("runs show 0000aaaa --home m --json").json()
    assert found["run"]["run_id"] == FIRST
    assert found["receipt"] is None
    assert psc("runs show 0000 --home m --json").error()["code"] == "node.run-unknown"
    assert "transport.peer-silent" in psc("runs show 0000aaaa --home m").out


def test_cancel_asks_a_running_run_to_stop(psc: Psc, recorded: Home) -> None:
    assert psc(f"runs cancel {SECOND} --home m --json").json() == {"run_id": SECOND, "cancel_requested": True}
    assert cancel_requested(recorded, SECOND)
    assert psc(f"runs cancel {FIRST} --home m --json").error()["code"] == "node.run-ended"


@pytest.mark.parametrize(
    ("line", "code", "exit_code"),
    [
        ("runs show nothing --home m", "node.run-unknown", 2),
        ("runs show missing.json --home m --verify", "cli.receipt-file-missing", 2),
        ("runs show junk.json --home m", "audit.receipt-malformed", 10),
        (f"runs show {FIRST} --home m --verify", "cli.receipt-missing", 10),
        (f"runs export {FIRST} --home m", "cli.export-what", 2),
        (f"runs export {FIRST} --home m --receipt r.json", "cli.receipt-missing", 10),
        (f"runs export {FIRST} --home m --receipt junk.json", "cli.output-exists", 2),
        (f"runs export {FIRST} --home m --output r.csv", "cli.result-missing", 2),
        (f"runs export {FIRST} --home m --output r.txt", "data.output-suffix", 2),
        (f"runs export {FIRST} --home m --receipt r.json --unmask", "cli.output-needed", 2),
        ("runs cancel nothing --home m", "node.run-unknown", 2),
        ("runs list --home m --limit 0", "cli.usage", 2),
        ("runs list --home m --status lost", "cli.usage", 2),
    ],
)
def test_bad_input_has_its_code(psc: Psc, recorded: Home, tmp_path: Path, line: str, code: str, exit_code: int) -> None:
    (tmp_path / "junk.json").write_text("{}", encoding="utf-8")
    error = psc(line + " --json").error()
    assert (error["code"], error["exit_code"]) == (code, exit_code)
    assert f"[{code}]" in psc(line).err
    assert not (tmp_path / "r.json").exists()
