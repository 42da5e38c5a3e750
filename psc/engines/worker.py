"""A process of its own for foreign code that reads a peer's bytes: it may crash or run wild, and takes nobody with it.

``Worker`` starts a Python that runs ``main`` and asks it questions over its standard input and output: the name of an operation
and byte strings there, byte strings back, each with its length before it. Nothing is pickled. The module that answers must be one
of ``SERVANTS``: its function ``serve(operation, parts)`` is called, and keeps what it needs between questions in that process.

Security:
    The process has limits on memory, processor time, open files and file size, starts without the environment and without the
    user's site directory, and dies with its pipe. A crash is ``MalformedMessageError``: what was read is the peer's. What comes
    back from a process that read hostile bytes is hostile too, so the caller checks its sizes.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import IO

from psc.errors import CryptoError, LimitExceededError, MalformedMessageError

__all__ = ["SERVANTS", "Refusal", "Worker", "main"]

SERVANTS = ("psc.engines.seal_servant",)
"""The modules that may serve."""

MEMORY_BYTES = 4 << 30
"""The address space of the process."""

CALL_SECONDS = 120
"""The longest that one question may take, in processor time and in all."""

_PROGRAM = "import sys; from psc.engines.worker import main; sys.exit(main(sys.argv[1:]))"
_MESSAGE_BYTES_MAX = 1 << 30
_PARTS_MAX = 1 << 20
_OK, _REFUSED, _FAILED = range(3)


class Refusal(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """A servant's answer that the peer's bytes are wrong; its only argument says why, in plain words of our own."""


class Worker:
    """One such process; a context manager that ends it.

    Args:
        module: one of ``SERVANTS``.
        what: names the peer's bytes in errors.
        seconds: the longest that one question may take.
        memory: the address space of the process, in bytes.
    """

    def __init__(self, module: str, what: str, seconds: int = CALL_SECONDS, memory: int = MEMORY_BYTES) -> None:
        self._what = what
        self._seconds = seconds
        command = [sys.executable, "-I", "-c", _PROGRAM, module, str(seconds), str(memory)]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            close_fds=True,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_process"):
            self.close()

    def call(self, operation: str, parts: Sequence[bytes] = ()) -> list[bytes]:
        """Ask one question.

        Args:
            operation: its name.
            parts: what goes with it.

        Returns:
            The answer. Its sizes are not to be trusted.

        Raises:
            MalformedMessageError: the servant refused the bytes, or the process crashed over them.
            LimitExceededError: it took too long.
            CryptoError: it could not start, or failed for another reason.
        """
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(self._seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            assert self._process.stdin is not None  # noqa: S101 - opened as a pipe above
            assert self._process.stdout is not None  # noqa: S101
            _write(self._process.stdin, [operation.encode(), *parts])
            status, *answer = _read(self._process.stdout)
        except (OSError, EOFError, ValueError):
            status, answer = b"", []
        finally:
            timer.cancel()
        if late.is_set():
            self.close()
            raise LimitExceededError("engines.worker-slow", what=self._what, seconds=self._seconds)
        if status == bytes([_OK]):
            return answer
        if status == bytes([_REFUSED]) and len(answer) == 1:
            raise MalformedMessageError("engines.malformed", what=self._what, reason=answer[0][:200].decode("utf-8", "replace"))
        if status == bytes([_FAILED]) and len(answer) == 1:
            raise CryptoError("engines.worker-failed", reason=answer[0][:200].decode("utf-8", "replace"))
        raise self._gone()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _gone(self) -> MalformedMessageError | CryptoError | LimitExceededError:
        """Return the error of a process that ended without an answer."""
        self.close()
        code = self._process.returncode
        if code == -signal.SIGXCPU:
            return LimitExceededError("engines.worker-slow", what=self._what, seconds=self._seconds)
        if code is not None and code >= 0:
            return CryptoError("engines.worker-failed", reason=f"exit code {code}")
        cause = signal.Signals(-code).name
        return MalformedMessageError("engines.worker-crashed", what=self._what, cause=cause)


def _write(pipe: IO[bytes], parts: Sequence[bytes]) -> None:
    pipe.write(struct.pack("<I", len(parts)))
    for part in parts:
        pipe.write(struct.pack("<Q", len(part)))
        pipe.write(part)
    pipe.flush()


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) != size:
        raise EOFError
    return data


def _read(pipe: IO[bytes]) -> list[bytes]:
    (count,) = struct.unpack("<I", _exactly(pipe, 4))
    if not 1 <= count <= _PARTS_MAX:
        raise ValueError(count)
    parts = []
    room = _MESSAGE_BYTES_MAX
    for _ in range(count):
        (size,) = struct.unpack("<Q", _exactly(pipe, 8))
        room -= size
        if room < 0:
            raise ValueError(size)
        parts.append(_exactly(pipe, size))
    return parts


def _limit(memory: int) -> None:
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(what, (most, most))


def _limit_time(seconds: int) -> None:
    """Allow ``seconds`` of processor time from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, hard))


def main(arguments: Sequence[str]) -> int:
    """Serve until the pipe ends: the process of ``Worker``.

    Args:
        arguments: module, seconds of a question, bytes of memory.
    """
    module, seconds, memory = arguments[0], int(arguments[1]), int(arguments[2])
    if module not in SERVANTS:
        return 2
    # The pipe is kept for answers alone: what a library prints goes to standard error, which is nowhere.
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit(memory)
    _limit_time(seconds)
    serve = import_module(module).serve
    while True:
        try:
            operation, *parts = _read(source)
        except EOFError:
            return 0
        _limit_time(seconds)
        try:
            answer = [bytes([_OK]), *serve(operation.decode(), parts)]
        except Refusal as refusal:
            answer = [bytes([_REFUSED]), str(refusal).encode()]
        except MemoryError:
            answer = [bytes([_REFUSED]), b"it needs too much memory"]
        except Exception as error:  # noqa: BLE001 - the other process must be told; its text may quote the peer, so the type alone
            answer = [bytes([_FAILED]), type(error).__name__.encode()]
        _write(sink, answer)
