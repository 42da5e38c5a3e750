"""What whole commands take: processes run to their end, and ``psc`` beside its server, in seconds, memory and bytes."""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

import psc
from benchmarks.micro.crypto import machine
from psc.testing.companies import Companies, Finished

Figures = dict[str, Any]


class Used(NamedTuple):
    """What a process took, from its start to its end."""

    cpu_seconds: float
    peak_rss_bytes: int


def run_together(
    commands: Sequence[Sequence[object]], folder: Path, env: Mapping[str, str] | None = None
) -> tuple[float, list[tuple[Finished, Used]]]:
    """Run processes at the same time, with ``env`` beside our environment; return wall seconds and what each gave and took."""
    with tempfile.TemporaryDirectory() as name:
        os.sync()  # whoever makes sure that its file is on the disk would wait for what others wrote before, too
        outputs = [(Path(name, f"{at}.out"), Path(name, f"{at}.err")) for at in range(len(commands))]
        begin = time.perf_counter()
        processes = []
        for command, (out, err) in zip(commands, outputs, strict=True):
            with out.open("w") as told, err.open("w") as complained:
                words = [str(word) for word in command]
                processes.append(
                    subprocess.Popen(words, cwd=folder, env={**os.environ, **(env or {})}, stdout=told, stderr=complained)
                )
        ended = []
        for process in processes:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            ended.append(Used(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024))
        wall = time.perf_counter() - begin
        found = [
            (Finished(subprocess.CompletedProcess(process.args, process.returncode, out.read_text(), err.read_text())), used)
            for process, (out, err), used in zip(processes, outputs, ended, strict=True)
        ]
    return wall, found


class MeasuredCompanies(Companies):
    """Two companies; what their last command took is kept."""

    wall_seconds: float
    used: Used

    def psc(self, name: str, *args: object, check: bool = True) -> Finished:
        """Run one command to its end."""
        self.wall_seconds, [(done, self.used)] = run_together([self.command(name, *args)], self.folder, self.env)
        if check and done.code:
            raise RuntimeError(f"psc {' '.join(map(str, args))}: exit {done.code}\n{done.err}\n{done.out}")
        return done

    def measure(self, operation: str, table: Path, *options: object) -> Figures:
        """Run one operation of the merchant on ``phone``; return its figures. Those of CPU and memory are of whole processes."""
        assert self.server is not None
        server = psutil.Process(self.server.pid)
        Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # start the peak of resident memory anew
        before = server.cpu_times()
        result = self.ask(operation, table, "phone", "--json", *options).json()
        after = server.cpu_times()
        status = Path(f"/proc/{server.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        stats = result["stats"]
        return {
            "wall_seconds": self.wall_seconds,
            "run_seconds": stats["seconds"],
            "initiator_cpu_seconds": self.used.cpu_seconds,
            "responder_cpu_seconds": after.user + after.system - before.user - before.system,
            "initiator_peak_rss_bytes": self.used.peak_rss_bytes,
            "responder_peak_rss_bytes": peak * 1024,
            "bytes_sent": stats["bytes_sent"],
            "bytes_received": stats["bytes_received"],
            "matched": result.get("matched_keys"),
        }


def compile_package() -> None:
    """Compile psc's modules as pip does when it installs them: where it runs from its source, each command would do so."""
    compileall.compile_dir(Path(psc.__file__).parent, quiet=1)


def append(output: Path | None, benchmark: str, figures: Figures) -> None:
    """Append one JSON line, with what the machine is, to a file if there is one."""
    if output is not None:
        with output.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"benchmark": benchmark, **machine(), **figures}) + "\n")
