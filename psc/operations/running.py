"""What both sides of a run have in common: cancellation from either terminal, and the figures at its end."""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from collections.abc import Iterator
from typing import Literal

from psc.errors import AbortCode, CancelledError, PeerAbortedError, PolicyDeniedError, PscError
from psc.node.home import Home
from psc.node.runs import cancel_requested, finish_run
from psc.operations.results import RunStats
from psc.session.channel import Channel, ChannelStats

__all__ = ["Clock", "record_end", "record_failure", "stoppable"]

Status = Literal["finished", "failed", "refused", "cancelled"]

_POLL_SECONDS = 0.5


@contextlib.contextmanager
def stoppable(home: Home, run_id: str, channel: Channel) -> Iterator[None]:
    """While a run goes on, end it when ``psc runs cancel`` asks for it, from whichever process of this node."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_POLL_SECONDS):
            with contextlib.suppress(PscError):  # a store that is busy is asked again
                if cancel_requested(home, run_id):
                    channel.abort(AbortCode.CANCELLED)
                    return

    watcher = threading.Thread(target=watch, name=f"psc-cancel-{run_id[:8]}", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


class Clock:
    """Measures a run on this side: wall and CPU seconds from its making, and the peak of resident memory."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stats(self, channel: Channel | None) -> RunStats:
        """Return the figures so far; nothing was moved without a channel."""
        moved = channel.stats if channel is not None else ChannelStats()
        return RunStats(
            seconds=time.perf_counter() - self._wall,
            cpu_seconds=time.process_time() - self._cpu,
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            bytes_sent=moved.bytes_sent,
            bytes_received=moved.bytes_received,
            frames_sent=moved.frames_sent,
            frames_received=moved.frames_received,
            retries=moved.retries,
        )


def record_end(
    home: Home,
    run_id: str,
    status: Status,
    stats: RunStats,
    *,
    code: str = "",
    own_size: int | None = None,
    partner_size: int | None = None,
) -> None:
    """Record how a run ended, with its figures; sizes that were not known when it began may be given."""
    finish_run(
        home,
        run_id,
        status,
        code=code,
        own_size=own_size,
        partner_size=partner_size,
        bytes_sent=stats.bytes_sent,
        bytes_received=stats.bytes_received,
        seconds=stats.seconds,
    )


def record_failure(home: Home, run_id: str, error: BaseException, stats: RunStats) -> None:
    """Record how a run ended that did not finish; a store that refuses hides no other error."""
    code = "internal"
    if isinstance(error, PscError):
        error.of_run(run_id)
        code = error.code
    cancelled = isinstance(error, CancelledError | KeyboardInterrupt) or (
        isinstance(error, PeerAbortedError) and error.abort_code is AbortCode.CANCELLED
    )
    status: Status = "cancelled" if cancelled else "refused" if isinstance(error, PolicyDeniedError) else "failed"
    with contextlib.suppress(PscError):
        record_end(home, run_id, status, stats, code=code)
