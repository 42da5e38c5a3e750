"""Channels and connections that fail on purpose, so that tests can watch both sides end with the right error."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, Self

from psc.errors import AbortCode
from psc.session.channel import MAX_FRAME_BYTES, Channel, ChannelStats

__all__ = ["Fault", "FaultyChannel", "FaultyProxy"]


class Fault(StrEnum):
    """What happens to one frame on its way."""

    DROP = "drop"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    TRUNCATE = "truncate"
    FLIP = "flip"
    OVERSIZE = "oversize"
    STALL = "stall"


class FaultyChannel:
    """A channel that harms one of the frames that are sent through it, as a hostile or broken peer would.

    Args:
        inner: the channel that works.
        fault: what happens.
        at: to which frame sent, counted from 0.
        bit: which bit ``FLIP`` changes, counted from the frame's start and taken modulo its length.

    Attributes:
        applied: whether the fault has taken place. ``REORDER`` swaps a frame with the next one; when the script waits for an
            answer first, the frame is sent then and nothing was reordered.
        released: set it to end a ``STALL``.
    """

    def __init__(self, inner: Channel, fault: Fault, *, at: int = 0, bit: int = 0) -> None:
        self._inner, self._fault, self._at, self._bit = inner, fault, at, bit
        self._count = 0
        self._held: bytes | None = None
        self.applied = False
        self.released = threading.Event()

    @property
    def stats(self) -> ChannelStats:
        """Return the inner channel's."""
        return self._inner.stats

    def send(self, frame: bytes) -> None:
        """Send a frame, or what the fault makes of it."""
        number, self._count = self._count, self._count + 1
        if number == self._at:
            self._harm(bytes(frame))
            return
        self._inner.send(frame)
        if self._held is not None:
            self.applied = True
            self._let_go()

    def recv(self) -> bytes:
        """Return the next frame, unharmed."""
        self._let_go()
        return self._inner.recv()

    def flush(self) -> None:
        """Flush the inner channel."""
        self._let_go()
        self._inner.flush()

    def abort(self, code: AbortCode) -> None:
        """Abort the inner channel, and end a stall."""
        self.released.set()
        self._inner.abort(code)

    def close(self) -> None:
        """Close the inner channel, and end a stall."""
        self.released.set()
        if self._held is not None:
            self._let_go()
        self._inner.close()

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._inner.send(held)

    def _harm(self, frame: bytes) -> None:
        self.applied = self._fault is not Fault.REORDER
        match self._fault:
            case Fault.DROP:
                return
            case Fault.DUPLICATE:
                self._inner.send(frame)
                self._inner.send(frame)
            case Fault.REORDER:
                self._held = frame
            case Fault.TRUNCATE:
                self._inner.send(frame[: len(frame) // 2])
            case Fault.FLIP:
                harmed = bytearray(frame or b"\x00")
                place = self._bit % (8 * len(harmed))
                harmed[place // 8] ^= 1 << place % 8
                self._inner.send(bytes(harmed))
            case Fault.OVERSIZE:
                self._inner.send(frame + bytes(max(MAX_FRAME_BYTES - len(frame), 1)))
            case Fault.STALL:
                self.released.wait()
                self._inner.send(frame)


class FaultyProxy:
    """A TCP proxy on loopback before a listener, whose connections can be made to fail. Use it as a context manager.

    Args:
        target_port: of the listener on 127.0.0.1.

    Attributes:
        port: where to connect instead.
    """

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._loop = asyncio.new_event_loop()
        self._pipes: set[_Pipe] = set()
        self._refusing = False
        self._latency = 0.0
        self._flowing = {"up": asyncio.Event(), "down": asyncio.Event()}
        for event in self._flowing.values():
            event.set()
        self._budget: int | None = None
        self.connections = 0
        self.port = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, name="psc-faulty-proxy", daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.close()

    def latency(self, seconds: float) -> None:
        """Delay every byte in both directions; the rate stays."""
        self._latency = seconds

    def cut(self) -> None:
        """Close all connections and take no new ones, until ``heal``."""
        self._refusing = True
        self.reset()

    def stall(self, direction: str = "both") -> None:
        """Hold back bytes ``up`` (to the listener), ``down`` or ``both``, with the connections open, until ``heal``."""
        for name in ("up", "down") if direction == "both" else (direction,):
            self._loop.call_soon_threadsafe(self._flowing[name].clear)

    def one_way(self, direction: str) -> None:
        """Let nothing through in one direction, ``up`` or ``down``, until ``heal``: the other side hears us no more."""
        self.stall(direction)

    def reset(self) -> None:
        """Reset all connections; new ones work."""
        self._do(self._reset())

    def reset_after(self, count: int) -> None:
        """Reset all connections once so many more bytes were moved, in both directions together."""
        self._budget = count

    def heal(self) -> None:
        """Let everything through again."""
        self._refusing = False
        for event in self._flowing.values():
            self._loop.call_soon_threadsafe(event.set)

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(5.0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._refusing:
            _reset_writer(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset_writer(writer)
            return
        pipe = _Pipe((writer, far_writer))
        self._pipes.add(pipe)
        try:
            await asyncio.gather(self._copy(reader, far_writer, "up"), self._copy(far_reader, writer, "down"))
        finally:
            pipe.reset()
            self._pipes.discard(pipe)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)
        feeding = asyncio.ensure_future(self._write(queue, writer, direction))
        try:
            while data := await reader.read(64 * 1024):
                await queue.put((self._loop.time() + self._latency, data))
            await queue.put((0.0, b""))
            await feeding
        except OSError:
            return
        finally:
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await feeding

    async def _write(self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, direction: str) -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(due - self._loop.time(), 0.0))
            await self._flowing[direction].wait()
            if not data:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
            await self._spend(len(data))

    async def _spend(self, count: int) -> None:
        if self._budget is not None:
            self._budget -= count
            if self._budget <= 0:
                self._budget = None
                await self._reset()

    async def _reset(self) -> None:
        for pipe in tuple(self._pipes):
            pipe.reset()

    async def _shut(self) -> None:
        self._server.close()
        for event in self._flowing.values():
            event.set()
        await self._reset()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        if others:
            await asyncio.wait(others, timeout=2.0)


class _Pipe:
    """Both ends of one proxied connection."""

    def __init__(self, writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self._writers = writers

    def reset(self) -> None:
        for writer in self._writers:
            _reset_writer(writer)


def _reset_writer(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
