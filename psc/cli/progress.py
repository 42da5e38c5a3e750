"""Watching a run from a terminal: a bar or lines on stderr, and a clean stop by Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from psc.cli.base import Cli
from psc.cli.show import console, label

if TYPE_CHECKING:
    from psc.operations.progress import Cancel, Progress, ProgressCallback

__all__ = ["busy", "watched"]

R = TypeVar("R")
_WAKE_SECONDS = 0.2


def watched(cli: Cli, work: Callable[[ProgressCallback, Cancel], R]) -> R:
    """Do a run, show how far it is, and stop it cleanly when the user asks.

    The run has a thread of its own: a signal's handler may only act where no lock of the run can be held, which is here.

    Args:
        cli: says whether and how progress is shown.
        work: does the run with a progress callback and a switch that stops it.

    Raises:
        CancelledError: the user stopped the run.
        KeyboardInterrupt: the user did not wait for the clean stop.
    """
    from psc.operations.progress import Cancel

    cancel = Cancel()
    results: list[R] = []
    errors: list[BaseException] = []
    over = threading.Event()

    with _shown(cli) as progress, _stopped_by_signals(cli, cancel):

        def act() -> None:
            try:
                results.append(work(progress, cancel))
            except BaseException as error:  # noqa: BLE001 - raised again in the main thread
                errors.append(error)
            finally:
                over.set()

        threading.Thread(target=act, name="psc-run", daemon=True).start()
        while not over.wait(_WAKE_SECONDS):
            pass
    if errors:
        raise errors[0]
    return results[0]


@contextlib.contextmanager
def busy(cli: Cli, text: str) -> Iterator[None]:
    """Show that something of unknown length goes on, on a terminal only."""
    if cli.as_json or not sys.stderr.isatty():
        cli.detail(text)
        yield
        return
    from rich.text import Text

    with console(sys.stderr).status(Text(text)):  # a bare str would be read as markup
        yield


@contextlib.contextmanager
def _stopped_by_signals(cli: Cli, cancel: Cancel) -> Iterator[None]:
    asked = 0

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise KeyboardInterrupt
        cli.note(label("stopping"))
        cancel.set()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _shown(cli: Cli) -> Iterator[ProgressCallback]:
    if cli.as_json or not sys.stderr.isatty():
        yield _lines(cli)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TextColumn(label("remaining"), markup=False),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console(sys.stderr), transient=True) as bar:
        task = bar.add_task(label("stage-connecting"), total=None, rate="")

        def follow(progress: Progress) -> None:
            speed = bar.tasks[0].speed
            rate = label("rate", count=f"{speed:,.0f}") if speed else ""
            text = label(f"stage-{progress.stage}")
            bar.update(task, description=text, completed=progress.done, total=progress.total, rate=rate)

        yield follow


def _lines(cli: Cli) -> ProgressCallback:
    last = ""

    def follow(progress: Progress) -> None:
        nonlocal last
        if progress.stage != last:
            last = progress.stage
            cli.detail(f"{label(f'stage-{progress.stage}')} {progress.done:,} / {progress.total:,}")

    return follow
