"""A slow line between two network namespaces of this machine, made without privileges where user namespaces are permitted.

A program that calls :func:`enter` runs on as root of a user and a network namespace of its own, the near end; :class:`Link`
makes the far end and the line. The kernel's ``tc netem`` shapes it where the kernel has that; else this file as a program does:
it carries packets between two tunnel devices, at the line's rate, from a queue of as many packets as netem's, after the line's
delay. TCP runs over it as it is: its windows and losses are the kernel's own. :attr:`Link.made_by` says which it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Self

NEAR, FAR = "10.77.0.1", "10.77.0.2"
MTU, QUEUE = 1500, 1000
_TUNSETIFF, _TUN_WITHOUT_HEADER = 0x400454CA, 0x1001
_INSIDE = "BENCHMARK_NAMESPACES"
_PROBES, _PROBE_PORT = (1,) * 9 + (16 << 20,), 7
"""What the far end answers with, in bytes, one connection each: single bytes for round trips, many for the rate."""


def enter() -> None:
    """Start this program anew in namespaces of its own; returns where it already is in them.

    Raises:
        SystemExit: this machine does not permit them.
    """
    if os.environ.get(_INSIDE):
        return
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-Urn", "true"], capture_output=True, check=False).returncode:
        raise SystemExit("network namespaces are not permitted here: nothing measured")
    os.environ[_INSIDE] = "1"
    os.execv(unshare, [unshare, "-Urn", *sys.orig_argv])  # noqa: S606


def _run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


class Link:
    """The line, as a context manager. ``within_far`` is what a command is prefixed with to run at the far end.

    Args:
        megabits: its rate each way.
        milliseconds: its delay each way.
    """

    def __init__(self, megabits: float, milliseconds: float) -> None:
        self.megabits, self.milliseconds = megabits, milliseconds
        self.made_by = ""
        self.within_far: list[str] = []
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Self:
        # A process that ends with ours, whose namespace is the far end.
        holder = self._ends.enter_context(subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE))
        space = Path(f"/proc/{holder.pid}/ns/net")
        while space.readlink() == Path("/proc/self/ns/net").readlink():
            time.sleep(0.01)
        self.within_far = ["nsenter", f"--net={space}"]
        if self._netem(holder.pid):
            self.made_by = "tc netem"
        else:
            try:
                self._relay(holder.pid)
            except OSError as error:
                raise SystemExit(f"neither tc netem nor tunnel devices are permitted here ({error}): nothing measured") from error
            self.made_by = "a relay of packets"
        for words, device, address in (([], "near", NEAR), (self.within_far, "far", FAR)):
            _run(*words, "ip", "link", "set", "lo", "up")
            _run(*words, "ip", "addr", "add", f"{address}/30", "dev", device)
            _run(*words, "ip", "link", "set", device, "mtu", MTU, "txqueuelen", 10 * QUEUE, "up")
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def _netem(self, holder: int) -> bool:
        """Make a pair of devices that the kernel shapes; say whether it can."""
        shape = ["root", "netem", "delay", f"{self.milliseconds}ms", "rate", f"{self.megabits}mbit", "limit", QUEUE]
        try:
            _run("ip", "link", "add", "name", "near", "type", "veth", "peer", "name", "far")
            _run("tc", "qdisc", "add", "dev", "near", *shape)
            _run("ip", "link", "set", "far", "netns", holder)
            _run(*self.within_far, "tc", "qdisc", "add", "dev", "far", *shape)
        except (OSError, subprocess.CalledProcessError):
            subprocess.run(["ip", "link", "del", "near"], capture_output=True, check=False)
            return False
        return True

    def _relay(self, holder: int) -> None:
        """Make two tunnel devices and start what carries packets between them."""
        tunnels = []
        for name in ("near", "far"):
            tunnel = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            self._ends.callback(os.close, tunnel)
            fcntl.ioctl(tunnel, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADER))
            tunnels.append(tunnel)
        _run("ip", "link", "set", "far", "netns", holder)
        words = [sys.executable, __file__, "relay", *tunnels, self.megabits, self.milliseconds]
        carrier = subprocess.Popen([str(word) for word in words], pass_fds=tunnels)
        self._ends.callback(carrier.wait)
        self._ends.callback(carrier.terminate)

    def moved(self) -> tuple[int, int]:
        """Return the bytes, headers included, that have left and reached the near end so far."""
        lines = Path("/proc/self/net/dev").read_text().splitlines()
        counters = next(line.partition(":")[2].split() for line in lines if line.strip().startswith("near:"))
        return int(counters[8]), int(counters[0])

    def probe(self) -> tuple[float, float]:
        """Measure the line: milliseconds of a round trip (the least of several), megabits a second of one TCP stream."""
        taken = []
        with subprocess.Popen([*self.within_far, sys.executable, __file__, "answer"], stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            server.stdout.readline()
            for _ in _PROBES:
                with socket.create_connection((FAR, _PROBE_PORT)) as stream:
                    begin = time.perf_counter()
                    stream.sendall(b"?")
                    while stream.recv(1 << 16):
                        pass
                    taken.append(time.perf_counter() - begin)
        return min(taken[:-1]) * 1e3, _PROBES[-1] * 8e-6 / taken[-1]


def answer() -> None:
    """Be the far end of a probe."""
    with socket.create_server((FAR, _PROBE_PORT)) as server:
        print(flush=True)
        for count in _PROBES:
            with server.accept()[0] as stream:
                stream.recv(1)
                stream.sendall(bytes(count))


def relay(near: int, far: int, megabits: float, milliseconds: float) -> None:
    """Carry packets both ways between two tunnel devices for ever."""
    seconds_a_byte, delay = 8e-6 / megabits, milliseconds / 1e3
    waiting: dict[int, deque[tuple[float, bytes]]] = {near: deque(), far: deque()}
    free = {near: 0.0, far: 0.0}
    while True:
        due = min((queue[0][0] for queue in waiting.values() if queue), default=None)
        timeout = None if due is None else max(0.0, due - time.monotonic())
        for source in select.select([near, far], [], [], timeout)[0]:
            target = far if source == near else near
            with contextlib.suppress(BlockingIOError):
                for _ in range(64):
                    packet = os.read(source, 2 * MTU)
                    if len(waiting[target]) < QUEUE:
                        free[target] = max(free[target], time.monotonic()) + len(packet) * seconds_a_byte
                        waiting[target].append((free[target] + delay, packet))
        now = time.monotonic()
        for target, queue in waiting.items():
            while queue and queue[0][0] <= now:
                with contextlib.suppress(OSError):  # a device that is not up loses its packets
                    os.write(target, queue.popleft()[1])


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        answer()
    else:
        relay(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))
