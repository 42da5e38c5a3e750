"""Progress and cancellation of a run, without knowing who watches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from psc.errors import CancelledError

__all__ = ["Cancel", "Progress", "ProgressCallback", "Tracker"]

Stage = Literal["connecting", "computing", "waiting", "finishing", "done"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: ``done`` of ``total`` items treated on this side, in ``stage``."""

    stage: Stage
    done: int
    total: int


ProgressCallback = Callable[[Progress], None]


class Cancel:
    """A switch that stops a run from another thread: ``cancel.set()``; the run ends with ``CancelledError``."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._hooks: list[Callable[[], None]] = []

    def set(self) -> None:
        """Stop the run at its next step, and wake it if it waits for the partner."""
        self._event.set()
        for hook in self._hooks:
            hook()

    def on_set(self, hook: Callable[[], None]) -> None:
        """Call ``hook`` when the switch is thrown (at once if it was already)."""
        self._hooks.append(hook)
        if self._event.is_set():
            hook()

    def check(self) -> None:
        """Raise ``CancelledError`` once the switch is thrown."""
        if self._event.is_set():
            raise CancelledError("operations.cancelled")


class Tracker:
    """Counts the work of one run and tells a callback."""

    def __init__(self, total: int, callback: ProgressCallback | None) -> None:
        self._total, self._callback, self._done = max(total, 1), callback, 0

    def stage(self, stage: Stage) -> None:
        """Tell that the run entered another stage."""
        if self._callback is not None:
            self._callback(Progress(stage, self._done, self._total))

    def add(self, work: int) -> None:
        """Count items that a kernel has treated."""
        self._done = min(self._done + work, self._total)
        self.stage("waiting" if self._done >= self._total else "computing")
