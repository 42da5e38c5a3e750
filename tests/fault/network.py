"""A proxy between the two nodes, and taps that make something happen at one frame of a run."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from psc.testing.faulty import FaultyProxy
from psc.testing.nodes import free_port
from tests.fault.meddling import kind_of
from tests.fault.parties import Parties, parties

__all__ = ["IMPATIENT", "at", "later", "proxied"]

Act = Callable[[], object]

IMPATIENT = {"call_deadline_seconds": 1.5, "poll_seconds": 0.5, "peer_silence_seconds": 2.5, "reconnect_seconds": 1.5}


@contextlib.contextmanager
def proxied(folder: Path, **options: Any) -> Iterator[tuple[Parties, FaultyProxy]]:
    """Give both nodes with a proxy between them."""
    port = free_port()
    with (
        FaultyProxy(port) as proxy,
        parties(folder, port=port, address=f"127.0.0.1:{proxy.port}", **options) as pair,
    ):
        yield pair, proxy


def at(kind: str, act: Act, *, way: str = "sent") -> Callable[[str, bytes], None]:
    """Return a tap that calls ``act`` once, at the first frame of a kind."""
    done = threading.Event()

    def tap(direction: str, frame: bytes) -> None:
        if direction == way and kind_of(frame) == kind and not done.is_set():
            done.set()
            act()

    return tap


def later(seconds: float, act: Act) -> None:
    """Call ``act`` in a while, from another thread."""
    threading.Timer(seconds, act).start()
