"""Sessions over a network that fails, and processes that are killed: right error, both sides end, nothing twice, nothing lost."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace

import pytest

from psc.errors import AbortCode, ChannelClosedError, DeadlineError, PeerAbortedError, PscError
from psc.session.channel import MAX_FRAME_BYTES, Channel
from psc.testing.faulty import Fault, FaultyChannel, FaultyProxy
from psc.transport.memory import memory_pair
from tests.net import QUICK, Net, Party, Script, echo, in_thread, serving

LIMITS = replace(QUICK, call_deadline_seconds=0.8, poll_seconds=0.25, peer_silence_seconds=1.5, reconnect_seconds=1.2)


class Kept:
    """Runs a script and keeps the error that ended it."""

    def __init__(self, script) -> None:
        self.script, self.error, self.ended = script, None, threading.Event()

    def __call__(self, channel: Channel) -> None:
        try:
            self.script(channel)
        except PscError as error:
            self.error = error
            raise
        finally:
            self.ended.set()


def frames_of(count: int, size: int = 20_000) -> list[bytes]:
    source = random.Random(7)
    return [source.randbytes(size + number) for number in range(count)]


def exchange(channel: Channel, frames: list[bytes], pause: float = 0.0) -> None:
    """Send all and check that the echo of all comes back in order."""

    def send() -> None:
        for frame in frames:
            channel.send(frame)
            time.sleep(pause)
        channel.send(b"")

    sending = in_thread(send)
    for frame in frames:
        assert channel.recv() == frame
    assert channel.recv() == b""
    sending()
    channel.flush()
    channel.close()


def test_latency_slows_but_harms_nothing():
    with serving(Script(echo), LIMITS) as net, FaultyProxy(net.port) as proxy:
        proxy.latency(0.03)
        with net.link(port=proxy.port) as link:
            exchange(link.open(b"h", b"s").channel, frames_of(12))


@pytest.mark.parametrize("seed", range(3))
def test_connection_reset_again_and_again_loses_and_repeats_nothing(seed):
    kept = Kept(echo)
    with serving(Script(kept), LIMITS) as net, FaultyProxy(net.port) as proxy, net.link(port=proxy.port) as link:
        channel = link.open(b"h", b"s").channel
        over = threading.Event()

        def spoil() -> None:
            source = random.Random(seed)
            while not over.wait(source.uniform(0.05, 0.3)):
                proxy.reset_after(source.randrange(1, 400_000))

        spoiling = in_thread(spoil)
        exchange(channel, frames_of(60), pause=0.02)
        over.set()
        spoiling()
        assert kept.ended.wait(3.0)
        assert kept.error is None
        assert proxy.connections > 1
        assert channel.stats.retries > 0
        assert channel.stats.frames_received == 61


@pytest.mark.parametrize("toxic", ["cut", "stall", "up", "down"])
def test_network_that_heals_in_time_costs_only_time(toxic):
    kept = Kept(echo)
    with serving(Script(kept), LIMITS) as net, FaultyProxy(net.port) as proxy, net.link(port=proxy.port) as link:
        channel = link.open(b"h", b"s").channel
        moving = in_thread(lambda: exchange(channel, frames_of(30), pause=0.02))
        time.sleep(0.15)
        proxy.cut() if toxic == "cut" else proxy.stall({"stall": "both"}.get(toxic, toxic))
        time.sleep(0.5)
        proxy.heal()
        moving(15.0)
        assert kept.ended.wait(3.0)
        assert kept.error is None


@pytest.mark.parametrize("toxic", ["cut", "stall", "down"])
def test_network_that_never_heals_ends_both_sides(toxic):
    kept = Kept(echo)
    with serving(Script(kept), LIMITS) as net, FaultyProxy(net.port) as proxy, net.link(port=proxy.port) as link:
        channel = link.open(b"h", b"s").channel
        channel.send(b"x")
        assert channel.recv() == b"x"
        proxy.cut() if toxic == "cut" else proxy.stall({"stall": "both"}.get(toxic, toxic))
        begun = time.monotonic()
        with pytest.raises(ChannelClosedError) as caught:
            channel.recv()
        bound = LIMITS.call_deadline_seconds + LIMITS.reconnect_seconds
        assert time.monotonic() - begun < 2 * bound + 1.0
        assert caught.value.code == "transport.connection-lost"
        assert kept.ended.wait(LIMITS.poll_seconds + LIMITS.peer_silence_seconds + 3.0)
        assert isinstance(kept.error, ChannelClosedError)
        assert kept.error.code == "transport.peer-silent"
        channel.close()
        proxy.heal()
        with net.link() as again:
            exchange(again.open(b"next", b"s").channel, frames_of(2))


def test_connection_that_breaks_while_opening_opens_once():
    script = Script(echo, before=lambda: time.sleep(0.5))
    with serving(script, LIMITS) as net, FaultyProxy(net.port) as proxy, net.link(port=proxy.port) as link:
        link.status()
        opening = in_thread(lambda: link.open(b"h", b"s"))
        for _ in range(3):
            time.sleep(0.12)
            proxy.reset()
        exchange(opening().channel, frames_of(3))
        assert len(script.opened) == 1


# -- processes that are killed --------------------------------------------------------------------------------------------------

LISTENER = """
import pickle, sys
from psc.server import Server
from psc.transport.handler import Peer
from tests.net import Script, echo
tls, port, limits = pickle.load(open(sys.argv[1], "rb"))
server = Server(Script(echo), f"127.0.0.1:{port}", lambda: tls, lambda leaf: Peer("merchant", "aa"), "own", limits)
print(server.start(), flush=True)
sys.stdin.read()
"""

DIALLER = """
import pickle, sys
from psc.transport.grpc import Link
tls, port, limits = pickle.load(open(sys.argv[1], "rb"))
channel = Link(f"127.0.0.1:{port}", tls, limits).open(b"h", b"s").channel
for _ in range(int(sys.argv[2])):
    channel.send(bytes(1000))
    channel.recv()
print("there", flush=True)
sys.stdin.read()
"""


def process(program: str, folder, tls, port: int, *arguments: str) -> subprocess.Popen[str]:
    handed = folder / "handed.pickle"
    handed.write_bytes(pickle.dumps((tls, port, LIMITS)))
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(handed), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def kill(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    for pipe in (child.stdin, child.stdout):
        pipe.close()


def test_killed_listener_ends_the_dialler_and_its_successor_serves(tmp_path):
    courier, merchant = Party("courier"), Party("merchant")
    net = Net(Script(), LIMITS, parties={"courier": courier, "merchant": merchant})
    tls = courier.listening(merchant)
    child = process(LISTENER, tmp_path, tls, 0)
    net.port = int(child.stdout.readline())
    with net.link() as link:
        channel = link.open(b"h", b"s").channel
        channel.send(b"x")
        assert channel.recv() == b"x"
        kill(child)
        with pytest.raises(ChannelClosedError):
            channel.recv()
        channel.close()
        child = process(LISTENER, tmp_path, tls, net.port)
        assert int(child.stdout.readline()) == net.port
        exchange(link.open(b"next", b"s").channel, frames_of(3))
        kill(child)


@pytest.mark.parametrize("frames", [0, 3])
def test_killed_dialler_ends_the_listeners_script_and_the_next_run_succeeds(tmp_path, frames):
    kept = Kept(echo)
    with serving(Script(kept), LIMITS) as net:
        child = process(DIALLER, tmp_path, net.parties["merchant"].towards(net.parties["courier"]), net.port, str(frames))
        assert child.stdout.readline() == "there\n"
        kill(child)
        killed = time.monotonic()
        assert kept.ended.wait(LIMITS.poll_seconds + LIMITS.peer_silence_seconds + 3.0)
        assert time.monotonic() - killed < LIMITS.peer_silence_seconds + 1.0
        assert kept.error.code == "transport.peer-silent"
        with net.link() as link:
            exchange(link.open(b"next", b"s").channel, frames_of(3))


def test_process_that_forgets_to_close_still_ends(tmp_path):
    """Threads that wait for calls must not keep a finished program alive."""
    with serving(Script(echo), LIMITS) as net:
        child = process(DIALLER, tmp_path, net.parties["merchant"].towards(net.parties["courier"]), net.port, "1")
        assert child.stdout.readline() == "there\n"
        child.stdin.close()
        assert child.wait(10) == 0
        child.stdout.close()


# -- the faulty channel itself ------------------------------------------------------------------------------------------------


def received(fault: Fault, frames: list[bytes], **where: int) -> list[bytes]:
    here, there = memory_pair()
    faulty = FaultyChannel(here, fault, **where)
    for frame in frames:
        faulty.send(frame)
    closing = in_thread(faulty.close)
    got = []
    with pytest.raises(ChannelClosedError):
        in_thread(lambda: [got.append(there.recv()) for _ in range(9)])()
    closing()
    assert faulty.applied
    return got


def test_each_fault_does_what_it_says():
    frames = [b"aaaa", b"bbbb", b"cccc"]
    assert received(Fault.DROP, frames, at=1) == [b"aaaa", b"cccc"]
    assert received(Fault.DUPLICATE, frames, at=1) == [b"aaaa", b"bbbb", b"bbbb", b"cccc"]
    assert received(Fault.REORDER, frames, at=1) == [b"aaaa", b"cccc", b"bbbb"]
    assert received(Fault.TRUNCATE, frames, at=0) == [b"aa", b"bbbb", b"cccc"]
    assert received(Fault.FLIP, frames, at=2, bit=1) == [b"aaaa", b"bbbb", b"accc"]
    oversize = received(Fault.OVERSIZE, frames, at=0)
    assert len(oversize[0]) == MAX_FRAME_BYTES
    assert oversize[0].startswith(b"aaaa")


def test_reordering_does_not_deadlock_a_script_that_waits():
    here, there = memory_pair()
    faulty = FaultyChannel(here, Fault.REORDER)
    answering = in_thread(lambda: echo(there))
    faulty.send(b"question")
    assert faulty.recv() == b"question"
    assert not faulty.applied
    faulty.send(b"")
    assert faulty.recv() == b""
    answering()


def test_stall_meets_the_other_ends_deadline():
    here, there = memory_pair(limits=replace(LIMITS, frame_seconds=0.3))
    faulty = FaultyChannel(here, Fault.STALL)
    sending = in_thread(lambda: faulty.send(b"x"))
    with pytest.raises(DeadlineError):
        there.recv()
    there.abort(DeadlineError.abort_code)
    faulty.released.set()
    with pytest.raises(PeerAbortedError) as caught:
        sending()
    assert caught.value.abort_code is AbortCode.PEER_SILENT
