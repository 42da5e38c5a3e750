"""``psc serve``: says where it listens, stops gracefully, and refuses what it cannot do."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from psc.node.home import Home

from .conftest import Psc


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_tells_its_port_and_stops_when_asked(homes: tuple[Home, Home], number: signal.Signals) -> None:
    call = [sys.executable, "-m", "psc.cli.main", "--home", "c", "serve", "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["node"] == "courier"
        assert said["listening"] == f"127.0.0.1:{said['port']}"
        process.send_signal(number)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events[0] == "server.started"
    assert events[-1] == "server.stopped"


def test_an_own_port_that_is_taken_is_no_partner_that_is_not_ready(psc: Psc, homes: tuple[Home, Home]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = f"serve --home c --listen 127.0.0.1:{taken.getsockname()[1]}"
        error = psc(line + " --json").error()
    assert (error["code"], error["exit_code"]) == ("transport.cannot-listen", 2)


@pytest.mark.parametrize(
    ("line", "code", "exit_code"),
    [
        ("serve --home c --listen nowhere", "cli.listen-wrong", 2),
        ("serve --home c --listen :x", "cli.listen-wrong", 2),
        ("serve --home c --listen 127.0.0.1:0 --via merchant", "cli.listen-or-via", 2),
        ("serve --home c --via nobody", "node.partner-unknown", 2),
        ("serve --home c --via merchant", "operations.partner-without-address", 2),
        ("serve --home m --via courier", "transport.port-closed", 8),
        ("serve --home nowhere", "node.home-missing", 2),
    ],
)
def test_bad_input_has_its_code(psc: Psc, homes: tuple[Home, Home], tmp_path: Path, line: str, code: str, exit_code: int) -> None:
    error = psc(line + " --json").error()
    assert (error["code"], error["exit_code"]) == (code, exit_code)
