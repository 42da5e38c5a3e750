"""The pair of channels in memory."""

from __future__ import annotations

import time

import pytest

from psc.errors import AbortCode, PeerAbortedError, UsageError
from psc.session.channel import MAX_FRAME_BYTES, Channel
from psc.transport.memory import memory_pair
from tests.net import echo, in_thread


def test_both_ends_are_channels_and_echo():
    here, there = memory_pair()
    assert isinstance(here, Channel)
    answering = in_thread(lambda: echo(there))
    for size in (1, MAX_FRAME_BYTES):
        here.send(bytes(size))
        assert here.recv() == bytes(size)
    here.send(b"")
    assert here.recv() == b""
    answering()
    here.close()
    there.close()
    assert here.stats.bytes_sent == here.stats.bytes_received == 1 + MAX_FRAME_BYTES


@pytest.mark.parametrize("capacity", [1, 3])
def test_capacity_bounds_what_waits(capacity):
    here, there = memory_pair(capacity)
    for _ in range(capacity):
        here.send(b"x")
    more = in_thread(lambda: here.send(b"y"))
    time.sleep(0.05)
    assert there.stats.frames_received == 0
    assert [there.recv() for _ in range(capacity + 1)] == [b"x"] * capacity + [b"y"]
    more()


def test_capacity_out_of_range_is_a_usage_error():
    with pytest.raises(UsageError):
        memory_pair(0)


def test_abort():
    here, there = memory_pair()
    here.abort(AbortCode.LIMIT_EXCEEDED)
    with pytest.raises(PeerAbortedError) as caught:
        there.recv()
    assert caught.value.abort_code is AbortCode.LIMIT_EXCEEDED
