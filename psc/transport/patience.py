"""Making a call again after a broken connection, for a bounded time, with growing pauses."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from psc.errors import ChannelClosedError

__all__ = ["Interrupted", "Patience"]

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


class Interrupted(Exception):  # noqa: N818 - not an error yet: a retry may mend it
    """A call did not get through, and making it again may help; never leaves the transport.

    Args:
        reason: what the network said, in a word; for people.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Patience:
    """Repeats interrupted calls of one session; all its threads share the clock, so one success restarts it.

    Args:
        seconds: how long nothing may succeed before the session is given up.
        over: set when the session is over, so that nobody waits for it any more.
    """

    def __init__(self, seconds: float, over: threading.Event) -> None:
        self._seconds, self._over = seconds, over
        self._lock = threading.Lock()
        self._since: float | None = None
        self.retries = 0

    def call(self, make: Callable[[], T]) -> T:
        """Return ``make()``, made again while it is interrupted.

        Raises:
            ChannelClosedError: nothing succeeded for too long, or the session is over.
        """
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                result = make()
            except Interrupted as error:
                self._note_failure(error)
                # The jitter spreads the returns of many sessions that lost one listener; it is no secret.
                self._over.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                with self._lock:
                    self._since = None
                return result

    def _note_failure(self, error: Interrupted) -> None:
        now = time.monotonic()
        with self._lock:
            self.retries += 1
            if self._since is None:
                self._since = now
            spent = now - self._since
        if spent >= self._seconds or self._over.is_set():
            raise ChannelClosedError("transport.connection-lost", seconds=round(spent, 1), reason=error.reason) from None
