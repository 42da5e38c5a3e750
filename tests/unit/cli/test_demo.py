"""``psc demo``: it checks what it shows, keeps what it is asked to keep, and refuses what it cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Psc


@pytest.mark.slow
def test_a_small_demo_runs_checks_and_keeps(psc: Psc, tmp_path: Path) -> None:
    document = psc("demo --rows 400 --dir kept --json").json()
    assert document["equals_plain_join"]
    assert [run["result"]["operation"] for run in document["runs"]] == ["match", "count", "aggregate"]
    assert document["receipts_verified"] == 3
    assert all(Path(file).is_file() for file in document["receipts"])
    assert "server.stopped" in (tmp_path / "kept" / "courier.log").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(("oracle", "operation"), [("plain_join", "match"), ("plain_shared", "aggregate")])
def test_a_wrong_answer_fails_the_demo(psc: Psc, monkeypatch: pytest.MonkeyPatch, oracle: str, operation: str) -> None:
    from psc.testing import madeup

    right = getattr(madeup, oracle)
    monkeypatch.setattr(madeup, oracle, lambda *args, **more: right(*args, **more).iloc[2:])
    error = psc("demo --rows 400 --json").error()
    assert (error["code"], error["exit_code"]) == ("cli.demo-wrong-answer", 1)
    assert error["fields"]["operation"] == operation


@pytest.mark.slow
def test_a_server_that_does_not_start_is_told(psc: Psc, monkeypatch: pytest.MonkeyPatch) -> None:
    from psc.cli import demo

    monkeypatch.setattr(demo.sys, "executable", "/bin/false")
    error = psc("demo --rows 200 --json").error()
    assert (error["code"], error["exit_code"]) == ("cli.demo-server-died", 5)


@pytest.mark.parametrize(
    ("line", "code", "exit_code"),
    [
        ("demo --rows 5", "cli.demo-rows", 2),
        ("demo --rows many", "cli.usage", 2),
        ("demo --dir full", "cli.demo-folder", 2),
        ("demo --dir full/file", "cli.demo-folder", 2),
        ("demo --dir full/file/below", "node.path-unusable", 9),
    ],
)
def test_bad_input_has_its_code(psc: Psc, tmp_path: Path, line: str, code: str, exit_code: int) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    error = psc(line + " --json").error()
    assert (error["code"], error["exit_code"]) == (code, exit_code)
