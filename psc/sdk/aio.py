"""The asynchronous twin of the SDK: a thin facade that runs each call in a worker thread.

The work is in compiled code with the GIL released and in blocking channels, so threads are the honest form; this module
keeps an event loop free while they work. ``cancel`` objects work as in the synchronous SDK; cancelling the task sets them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Self, TypeVar

from psc.operations.plan import Plan
from psc.operations.progress import Cancel, ProgressCallback
from psc.operations.requests import Request
from psc.operations.results import AggregateResult, CountResult, MatchResult, Result
from psc.operations.status import Status
from psc.policy.catalogue import Catalogue
from psc.sdk import node as sync
from psc.sdk.partner import Partner as SyncPartner

__all__ = ["Node", "Partner"]

T = TypeVar("T")


async def _cancellable(work: Callable[[Cancel], T], cancel: Cancel | None) -> T:
    switch = cancel or Cancel()
    task = asyncio.create_task(asyncio.to_thread(work, switch))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        switch.set()
        await asyncio.gather(task, return_exceptions=True)
        raise


class Partner:
    """A connected partner; an asynchronous context manager. Methods as in ``psc.sdk.partner.Partner``."""

    def __init__(self, partner: SyncPartner) -> None:
        self._partner = partner

    @property
    def name(self) -> str:
        """The partner's name."""
        return self._partner.name

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._partner.close)

    async def status(self) -> Status:
        """Return the partner's software, rules, clock and limits."""
        return await asyncio.to_thread(self._partner.status)

    async def catalogue(self) -> Catalogue:
        """Return what the partner grants us today."""
        return await asyncio.to_thread(self._partner.catalogue)

    async def plan(self, request: Request, *, announce: bool = False) -> Plan:
        """Return the plan of a request; run it with ``run``."""
        return await asyncio.to_thread(self._partner.plan, request, announce=announce)

    async def run(self, plan: Plan, progress: ProgressCallback | None = None, cancel: Cancel | None = None) -> Result:
        """Carry out a plan; cancelling the task cancels the run."""
        return await _cancellable(lambda switch: plan.run(progress, switch), cancel)

    async def match(self, source: object, *, cancel: Cancel | None = None, **options: Any) -> MatchResult:
        """Plan and run a match; options as in the synchronous SDK."""
        return await _cancellable(lambda switch: self._partner.match(source, cancel=switch, **options), cancel)

    async def count(self, source: object, *, cancel: Cancel | None = None, **options: Any) -> CountResult:
        """Plan and run a count; options as in the synchronous SDK."""
        return await _cancellable(lambda switch: self._partner.count(source, cancel=switch, **options), cancel)

    async def aggregate(self, source: object, *, cancel: Cancel | None = None, **options: Any) -> AggregateResult:
        """Plan and run an aggregate; options as in the synchronous SDK."""
        return await _cancellable(lambda switch: self._partner.aggregate(source, cancel=switch, **options), cancel)


class Node:
    """A node; an asynchronous context manager around ``psc.sdk.node.Node``, which is its ``sync``."""

    def __init__(self, node: sync.Node) -> None:
        self.sync = node

    @classmethod
    async def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a node."""
        return cls(await asyncio.to_thread(sync.Node.open, path))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.sync.close)

    async def connect(self, partner: str) -> Partner:
        """Connect to a partner."""
        return Partner(await asyncio.to_thread(self.sync.connect, partner))
