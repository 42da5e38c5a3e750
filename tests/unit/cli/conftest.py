"""The command line, run in this process and looked at from outside: exit code, stdout, stderr."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from psc.cli.main import commands
from psc.node.home import Home


class Done:
    """A command that ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def json(self) -> Any:
        """Return the one document on stdout."""
        return json.loads(self.out)

    def error(self) -> dict[str, Any]:
        """Return the error object on stderr; there must be nothing else anywhere."""
        assert self.out == ""
        found = json.loads(self.err)
        assert found.keys() == {"error"}
        assert found["error"].keys() == {"code", "exit_code", "message", "fields"}
        assert found["error"]["exit_code"] == self.code
        return dict(found["error"])


Psc = Callable[..., Done]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PSC_HOME", "PSC_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PSC_LANG", "en")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def psc() -> Psc:
    """Return ``psc("match …")`` or ``psc("match", "…")``; no traceback may ever show."""

    def run(*words: object) -> Done:
        arguments = shlex.split(str(words[0])) if len(words) == 1 else [str(word) for word in words]
        result = CliRunner().invoke(commands(), arguments)
        assert "Traceback" not in result.stderr
        assert "Traceback" not in result.stdout
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[tuple[Home, Home]]:
    """Return the open homes ``merchant`` and ``courier`` under ``m`` and ``c``, which trust each other."""
    from psc.node.own import own_card
    from psc.node.trust import trust
    from psc.testing.nodes import free_port

    address = f"127.0.0.1:{free_port()}"
    with (
        Home.create(tmp_path / "m", "merchant") as merchant,
        Home.create(tmp_path / "c", "courier", listen=address, address=address) as courier,
    ):
        trust(merchant, own_card(courier))
        trust(courier, own_card(merchant))
        yield merchant, courier


@pytest.fixture
def parcels(tmp_path: Path) -> Path:
    """Return a small Parquet of parcels: 30 phones, two rows each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = range(60)
    table = pa.table(
        {
            "mobile": [f"1380013{8000 + row // 2}" for row in rows],
            "status": ["delivered" if row % 3 else "on the way" for row in rows],
            "fee": list(rows),
            "city": ["杭州" if row % 2 else "上海" for row in rows],
        }
    )
    path = tmp_path / "parcels.parquet"
    pq.write_table(table, path)
    return path
