"""Two companies set up and run by the command line alone, each command a process: for tests and benchmarks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from psc.testing.nodes import PURPOSE, free_port

__all__ = ["Companies", "Finished"]

_START_SECONDS = 60.0


class Finished:
    """A command that ended: exit code, standard output and error."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self) -> Any:
        """Return the document that ``--json`` printed."""
        return json.loads(self.out)


class Companies:
    """``merchant`` and ``courier`` under one folder; a context manager that stops the courier's server at its end.

    Args:
        folder: where the two homes and the files are.
        env: further environment of every command.
    """

    def __init__(self, folder: Path, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.env = {**os.environ, "PSC_LANG": "en", "NO_COLOR": "1", "COLUMNS": "200", **(env or {})}
        self.address = f"127.0.0.1:{free_port()}"
        self.server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def home(self, name: str) -> Path:
        """Return a company's home folder."""
        return self.folder / name

    def command(self, name: str, *args: object) -> list[str]:
        """Return a command line of ``psc`` on a company's home."""
        words = [str(arg) for arg in args]
        return [sys.executable, "-m", "psc.cli.main", words[0], *words[1:], "--home", str(self.home(name))]

    def psc(self, name: str, *args: object, check: bool = True) -> Finished:
        """Run one command to its end.

        Args:
            name: whose home.
            *args: command and options.
            check: raise ``RuntimeError`` with its error output when it does not exit with 0.
        """
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            self.command(name, *args), env=self.env, cwd=self.folder, text=True, capture_output=True, check=False
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"psc {' '.join(map(str, args))}: exit {done.returncode}\n{done.stderr}\n{done.stdout}")
        return Finished(done)

    def found(self) -> None:
        """Make both homes and exchange their cards."""
        self.psc("merchant", "init", "--name", "merchant")
        self.psc("courier", "init", "--name", "courier", "--listen", self.address, "--address", self.address)
        for owner, other in (("merchant", "courier"), ("courier", "merchant")):
            self.psc(owner, "card", "--output", self.folder / f"{owner}.card")
            self.psc(other, "trust", self.folder / f"{owner}.card")

    def grant(
        self,
        source: Path,
        key: str,
        release: Sequence[str] = (),
        *,
        values: Sequence[str] = (),
        groups: Sequence[str] = (),
        rows_per_key: int = 8,
        options: Sequence[object] = (),
    ) -> None:
        """Register the courier's ``parcels`` and grant match and count on it to the merchant, and with values aggregates.

        Args:
            source: the courier's file.
            key: as ``dataset add --key`` takes it.
            release: as ``dataset add --release`` takes them.
            values: as ``dataset add --value`` takes them.
            groups: as ``dataset add --group`` takes them.
            rows_per_key: rows of one key released at most.
            options: further options of ``agreement propose``.
        """
        add: list[object] = ["dataset", "add", "parcels", "--source", source, "--key", key, "--on-bad", "skip", "--replace"]
        for option, specs in (("--release", release), ("--value", values), ("--group", groups)):
            for spec in specs:
                add += [option, spec]
        self.psc("courier", *add, "--max-rows-per-key", rows_per_key)
        words: list[object] = ["agreement", "propose", "--with", "merchant", "--dataset", "parcels"]
        words += [
            "--allow",
            "match,count,aggregate" if values else "match,count",
            "--purpose",
            PURPOSE,
            "--sign",
            "--output-to",
            "receiver",
            "--output-to",
            "both",
        ]
        for option, specs in (("--release", release), ("--value", values), ("--group", groups)):
            if specs:
                words += [option, ",".join(re.split("[=:]", spec)[0] for spec in specs)]
        self.psc("courier", *words, *options)

    def serve(self) -> int:
        """Start the courier's server and return its process id once it answers.

        Raises:
            RuntimeError: it did not start; the text is its log.
        """
        log = (self.folder / "server.log").open("a", encoding="utf-8")
        with log:
            self.server = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                self.command("courier", "serve"), env=self.env, cwd=self.folder, text=True, stdout=log, stderr=log
            )
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until and self.server.poll() is None:
            if self.psc("merchant", "doctor", "courier", "--json", check=False).code == 0:
                return self.server.pid
            time.sleep(0.1)
        raise RuntimeError((self.folder / "server.log").read_text(encoding="utf-8"))

    def stop(self) -> int | None:
        """Stop the server gracefully; return its exit code."""
        if self.server is None:
            return None
        if self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
        code = self.server.wait(60)
        self.server = None
        return code

    def ask(self, operation: str, table: Path, key: str, *options: object, check: bool = True) -> Finished:
        """Run ``psc match``, ``psc count`` or ``psc aggregate`` of the merchant on ``courier/parcels``."""
        words: list[object] = [operation, "courier/parcels", "--input", table, "--key", key, "--purpose", PURPOSE]
        return self.psc("merchant", *words, "--on-bad", "skip", *options, check=check)
