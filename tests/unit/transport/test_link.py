"""Sessions over gRPC with mutual TLS: opening, moving frames, ending, refusing; what the dialler sees."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from psc.errors import (
    AbortCode,
    CancelledError,
    ChannelClosedError,
    DataError,
    InvalidElementError,
    PeerAbortedError,
    PolicyDeniedError,
    PscError,
    Rule,
)
from psc.session.channel import MAX_FRAME_BYTES, Channel
from psc.session.limits import Limits
from psc.transport.grpc import Link
from tests.net import QUICK, Net, Script, echo, eventually, in_thread, serving


def test_questions():
    with serving(Script()) as net, net.link() as merchant, net.link("other") as other:
        assert merchant.status() == b"status for merchant"
        assert merchant.catalogue() == b"catalogue for merchant"
        assert merchant.catalogue(b", who will run") == b"catalogue for merchant, who will run"
        assert other.status() == b"status for other"


def test_session_echoes_frames_of_all_sizes():
    script = Script(echo)
    with serving(script) as net, net.link() as link:
        opened = link.open(b"hello", b"signature")
        assert (opened.accept, opened.signature) == (b"accept:hello", b"signed")
        assert isinstance(opened.channel, Channel)
        sizes = (1, MAX_FRAME_BYTES, 3, MAX_FRAME_BYTES, MAX_FRAME_BYTES)
        for size in sizes:
            opened.channel.send(bytes(size))
        for size in sizes:
            assert opened.channel.recv() == bytes(size)
        opened.channel.send(b"")
        assert opened.channel.recv() == b""
        opened.channel.flush()
        opened.channel.close()
        assert opened.channel.stats.bytes_sent == opened.channel.stats.bytes_received == sum(sizes)
        assert eventually(lambda: "session.finished" in net.event_names())
    peer, hello, signature = script.opened[0]
    assert (peer.name, hello, signature) == ("merchant", b"hello", b"signature")
    finished = next(event for event in net.events if event["event"] == "session.finished")
    assert (finished["run"], finished["partner"], finished["bytes_sent"]) == ("run-1", "merchant", sum(sizes))


def test_script_that_only_sends_and_one_that_only_receives():
    def pour(channel: Channel) -> None:
        for number in range(100):
            channel.send(number.to_bytes(2, "big") * 5000)
        channel.flush()

    with serving(Script(pour)) as net, net.link() as link:
        channel = link.open(b"h", b"s").channel
        assert [int.from_bytes(channel.recv()[:2], "big") for _ in range(100)] == list(range(100))
        with pytest.raises(ChannelClosedError):
            channel.recv()
        channel.close()


def test_many_sessions_at_once_on_one_link():
    with serving(Script(echo)) as net, net.link() as link:
        channels = [link.open(b"h%d" % number, b"s").channel for number in range(3)]
        for number, channel in enumerate(channels):
            channel.send(b"x" * (number + 1))
        for number, channel in enumerate(channels):
            assert len(channel.recv()) == number + 1
            channel.send(b"")
            channel.recv()
            channel.close()


def test_judging_a_hello_may_take_longer_than_a_call():
    release = threading.Event()
    with serving(Script(echo, before=release.wait)) as net, net.link() as link:
        opening = in_thread(lambda: link.open(b"h", b"s"))
        time.sleep(3 * QUICK.poll_seconds)
        release.set()
        opened = opening()
        assert opened.accept == b"accept:h"
        assert len(net.handler.opened) == 1
        opened.channel.close()


def test_opening_can_be_cancelled():
    release, cancel = threading.Event(), threading.Event()
    with serving(Script(echo, before=release.wait)) as net, net.link() as link:
        opening = in_thread(lambda: link.open(b"h", b"s", cancel=cancel))
        time.sleep(0.2)
        cancel.set()
        with pytest.raises(CancelledError):
            opening(2.0)
        release.set()
        assert eventually(lambda: "session.failed" in net.event_names())


@pytest.mark.parametrize(
    ("refusal", "kind", "code"),
    [
        (PolicyDeniedError("transport.policy-denied", rule=Rule.RUNS_PER_DAY), PolicyDeniedError, AbortCode.POLICY_DENIED),
        (DataError("transport.internal", file="secret.csv"), PeerAbortedError, AbortCode.DATA_NOT_READY),
        (PscError("transport.internal"), PeerAbortedError, AbortCode.INTERNAL),
    ],
)
def test_refusal_crosses_as_its_closed_code_alone(refusal, kind, code):
    with serving(Script(refuse=refusal)) as net, net.link() as link:
        with pytest.raises(kind) as caught:
            link.open(b"h", b"s")
        assert caught.value.abort_code is code
        assert "secret" not in str(caught.value)
        if isinstance(refusal, PolicyDeniedError):
            assert caught.value.rule is Rule.RUNS_PER_DAY
            assert next(event for event in net.events if event["event"] == "session.refused")["rule"] == "runs-per-day"
        assert link.status(), "the link lives on"


def test_bug_in_the_handler_tells_nothing():
    def broken() -> None:
        raise ValueError("+8613800138000 is secret")

    with serving(Script(before=broken)) as net, net.link() as link:
        with pytest.raises(PeerAbortedError) as caught:
            link.open(b"h", b"s")
        assert caught.value.abort_code is AbortCode.INTERNAL
        assert eventually(lambda: "session.crashed" in net.event_names())
        assert "13800138000" not in str(net.events)
        assert "ValueError at tests.unit.transport.test_link" in str(net.events)


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (InvalidElementError("transport.internal", index=3), AbortCode.INVALID_ELEMENT),
        (ValueError("secret"), AbortCode.INTERNAL),
    ],
)
def test_error_of_the_listeners_script_ends_the_diallers(raised, code):
    def fail(channel: Channel) -> None:
        channel.recv()
        raise raised

    with serving(Script(fail)) as net, net.link() as link:
        channel = link.open(b"h", b"s").channel
        channel.send(b"x")
        with pytest.raises(PeerAbortedError) as caught:
            channel.recv()
        assert caught.value.abort_code is code
        with pytest.raises(PeerAbortedError):
            channel.send(b"x")
        channel.close()


@pytest.mark.parametrize("code", [AbortCode.CANCELLED, AbortCode.INVALID_ELEMENT, AbortCode.REPLAYED])
def test_abort_of_the_dialler_reaches_the_listeners_script(code):
    seen: list[PscError] = []

    def wait(channel: Channel) -> None:
        try:
            channel.recv()
        except PscError as error:
            seen.append(error)
            raise

    with serving(Script(wait)) as net, net.link() as link:
        channel = link.open(b"h", b"s").channel
        channel.abort(code)
        assert eventually(lambda: bool(seen))
        assert isinstance(seen[0], PeerAbortedError)
        assert seen[0].abort_code is code
        with pytest.raises(CancelledError if code is AbortCode.CANCELLED else ChannelClosedError):
            channel.recv()


def test_cancel_from_another_thread_while_the_script_waits():
    with serving(Script(echo)) as net, net.link() as link:
        channel = link.open(b"h", b"s").channel
        waiting = in_thread(channel.recv)
        time.sleep(0.1)
        channel.abort(AbortCode.CANCELLED)
        with pytest.raises(CancelledError):
            waiting(2.0)


def test_dialler_keeps_to_the_smaller_bounds():
    small = replace(QUICK, frame_bytes=1024, message_bytes=2048, window_frames=2, calls_in_flight=1)
    with serving(Script(echo), small) as net, net.link(limits=QUICK) as link:
        channel = link.open(b"h", b"s").channel
        for _ in range(10):
            channel.send(bytes(1024))
            assert channel.recv() == bytes(1024)
        with pytest.raises(PscError, match="1024"):
            channel.send(bytes(1025))
        channel.send(b"")
        channel.recv()
        channel.close()


def test_idle_session_outlives_the_silence_bound():
    """Neither side says anything for long: the pull that waits is the sign of life."""

    def slow(channel: Channel) -> None:
        channel.recv()
        time.sleep(1.2 * QUICK.peer_silence_seconds)
        channel.send(b"computed")
        channel.flush()

    with serving(Script(slow)) as net, net.link() as link:
        channel = link.open(b"h", b"s").channel
        time.sleep(1.2 * QUICK.peer_silence_seconds)
        channel.send(b"x")
        assert channel.recv() == b"computed"
        channel.close()


def test_closed_link_ends_its_sessions():
    with serving(Script(echo)) as net:
        link = net.link()
        channel = link.open(b"h", b"s").channel
        waiting = in_thread(channel.recv)
        link.close()
        with pytest.raises(ChannelClosedError):
            waiting(3.0)
        with pytest.raises(ChannelClosedError):
            link.status()


def test_server_that_restarts_no_longer_knows_the_session():
    net = Net(Script(echo))
    port = net.port = net.server.start()
    link = net.link()
    channel = link.open(b"h", b"s").channel
    waiting = in_thread(channel.recv)
    time.sleep(0.1)
    net.server._grpc.stop(0).wait()  # as a crash would: nobody is told
    again = Net(Script(echo), port=port, parties=net.parties)
    assert again.server.start() == port
    try:
        with pytest.raises(ChannelClosedError) as caught:
            waiting(5.0)
        assert caught.value.code == "transport.session-unknown"
        opened = link.open(b"again", b"s")
        assert opened.accept == b"accept:again", "the next run succeeds on the same link"
        opened.channel.close()
    finally:
        link.close()
        again.server.stop(0)
        net.server._sessions.close()


def test_renewed_certificate_is_used_for_the_next_question():
    with serving(Script()) as net:
        merchant, courier = net.parties["merchant"], net.parties["courier"]
        held = [merchant.towards(courier)]
        with Link(f"127.0.0.1:{net.port}", lambda: held[0], QUICK) as link:
            link.status()
            first = link._connection
            link.status()
            assert link._connection is first
            held[0] = merchant.towards(courier)
            link.status()
            assert link._connection is not first


def test_default_limits_work_too():
    with serving(Script(echo), Limits()) as net, net.link() as link:
        channel = link.open(b"h", b"s").channel
        channel.send(b"x")
        assert channel.recv() == b"x"
        channel.send(b"")
        assert channel.recv() == b""
        channel.flush()
        channel.close()


def test_dialler_with_short_deadlines_at_a_patient_listener():
    """The listener waits no longer than its caller does, and the caller shows life as often as the listener wants."""
    patient = replace(QUICK, call_deadline_seconds=20.0, poll_seconds=10.0, peer_silence_seconds=13.0)
    hasty = replace(QUICK, call_deadline_seconds=0.5, poll_seconds=0.3)
    with serving(Script(echo), patient) as net, net.link(limits=hasty) as link:
        channel = link.open(b"h", b"s").channel
        time.sleep(1.2)
        channel.send(b"x")
        assert channel.recv() == b"x"
        assert channel.stats.retries == 0
        channel.close()


def test_patient_dialler_without_room_at_a_hasty_listener():
    def pour(channel: Channel) -> None:
        for _ in range(20):
            channel.send(b"x")
        channel.flush()

    with serving(Script(pour)) as net, net.link(limits=Limits()) as link:
        channel = link.open(b"h", b"s").channel
        time.sleep(1.3 * QUICK.peer_silence_seconds)
        assert [channel.recv() for _ in range(20)] == [b"x"] * 20
        channel.close()
