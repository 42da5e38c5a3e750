"""A partner without an inbound port waits at our listener and answers from there; our own processes ask through it."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from psc._proto.psc.v1 import peer_pb2
from psc.errors import AbortCode, ChannelClosedError, ConnectError, PeerAbortedError, PolicyDeniedError, PscError, Rule
from psc.server.refusal import NotNowError
from psc.server.relay import Asked, Relay
from psc.session.channel import Channel
from psc.transport.grpc import Link
from psc.transport.handler import Peer
from psc.transport.mailbox import Turn
from tests.net import QUICK, Net, Script, echo, eventually, in_thread, serving


@dataclass
class Waiting:
    """``merchant`` waits at ``courier``'s listener; a process of ``courier`` asks it."""

    net: Net
    asker: Link
    stop: threading.Event
    events: list[str]
    ended: object


@contextlib.contextmanager
def waiting(script: Script, drain_seconds: float = 1.0) -> Iterator[Waiting]:
    stop = threading.Event()
    events: list[str] = []
    with serving(Script()) as net:
        answering = net.link("merchant")
        courier = net.parties["courier"]

        def answer() -> None:
            answering.answer(
                script, stop, courier.peer, drain_seconds=drain_seconds, observe=lambda event, **_: events.append(event)
            )

        ended = in_thread(answer)
        assert eventually(lambda: net.server._relay.present(net.parties["merchant"].identity))
        with net.link("courier", to=net.parties["merchant"].identity) as asker:
            yield Waiting(net, asker, stop, events, ended)
        stop.set()
        ended(10.0)
        answering.close()


def test_questions_reach_the_partner_that_waits():
    with waiting(Script()) as held:
        assert held.asker.status() == b"status for courier"
        assert held.asker.catalogue() == b"catalogue for courier"
        assert held.asker.catalogue(b", who will run") == b"catalogue for courier, who will run"


def test_session_through_the_relay():
    script = Script(echo)
    with waiting(script) as held:
        opened = held.asker.open(b"hello", b"signature")
        assert opened.accept == b"accept:hello"
        assert script.opened[0] == (held.net.parties["courier"].peer, b"hello", b"signature")
        for size in (1, 512 * 1024, 7):
            opened.channel.send(bytes(size))
            assert opened.channel.recv() == bytes(size)
        opened.channel.send(b"")
        assert opened.channel.recv() == b""
        opened.channel.flush()
        opened.channel.close()
        assert eventually(lambda: "session.finished" in held.events)
        assert eventually(lambda: held.net.server._sessions.running == 0)


def test_several_sessions_and_then_busy():
    release = threading.Event()

    def run(channel: Channel) -> None:
        release.wait(5.0)
        echo(channel)

    with waiting(Script(run)) as held:
        channels = [held.asker.open(b"%d" % number, b"s").channel for number in range(QUICK.sessions_per_partner)]
        with pytest.raises(PeerAbortedError) as caught:
            held.asker.open(b"one more", b"s")
        assert caught.value.abort_code is AbortCode.BUSY
        release.set()
        for channel in channels:
            channel.send(b"")
            assert channel.recv() == b""
            channel.close()


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (PolicyDeniedError("transport.policy-denied", rule=Rule.NO_AGREEMENT), PolicyDeniedError),
        (ValueError("x"), PeerAbortedError),
    ],
)
def test_refusal_of_the_partner_comes_through(refusal, kind):
    with waiting(Script(refuse=refusal)) as held:
        with pytest.raises(kind):
            held.asker.open(b"h", b"s")
        assert held.asker.status(), "and it keeps waiting"


@pytest.mark.parametrize("side", ["asker", "answerer"])
def test_abort_crosses_the_relay(side):
    seen: list[PscError] = []

    def run(channel: Channel) -> None:
        if side == "answerer":
            raise PolicyDeniedError("transport.policy-denied", rule=Rule.RESULT_TOO_SMALL)
        try:
            channel.recv()
        except PscError as error:
            seen.append(error)
            raise

    with waiting(Script(run)) as held:
        channel = held.asker.open(b"h", b"s").channel
        if side == "asker":
            channel.abort(AbortCode.CANCELLED)
            assert eventually(lambda: bool(seen))
            assert seen[0].abort_code is AbortCode.CANCELLED
        else:
            with pytest.raises(PeerAbortedError) as caught:
                channel.recv()
            assert caught.value.abort_code is AbortCode.POLICY_DENIED
        channel.close()
        assert eventually(lambda: held.net.server._sessions.running == 0)


def test_partner_that_does_not_wait():
    with serving(Script()) as net, net.link("courier", to=net.parties["merchant"].identity) as asker:
        for ask in (asker.status, asker.catalogue, lambda: asker.open(b"h", b"s")):
            with pytest.raises(ConnectError) as caught:
                ask()
            assert caught.value.code == "transport.partner-not-waiting"


def test_partner_that_leaves_is_gone_after_a_moment():
    with waiting(Script()) as held:
        held.stop.set()
        held.ended(5.0)
        assert eventually(lambda: not held.net.server._relay.present(held.net.parties["merchant"].identity))
        with pytest.raises(ConnectError):
            held.asker.status()


def test_nobody_else_may_ask_through_the_relay():
    with waiting(Script()) as held, held.net.link("other", to=held.net.parties["merchant"].identity) as curious:
        with pytest.raises(ConnectError) as caught:
            curious.open(b"h", b"s")
        assert caught.value.code == "transport.partner-not-waiting", "it looks as if nobody waited"
        assert "relay.refused" in held.net.event_names()


def test_answerer_that_dies_in_a_session_is_noticed():
    def die(channel: Channel) -> None:
        channel._over.set()  # its threads stop as in a process that was killed
        with channel._changed:
            channel._changed.notify_all()
        time.sleep(1.5 * QUICK.peer_silence_seconds)

    with waiting(Script(die), drain_seconds=0.1) as held:
        channel = held.asker.open(b"h", b"s").channel
        with pytest.raises(ChannelClosedError) as caught:
            channel.recv()
        assert caught.value.code == "transport.session-unknown"
        channel.close()


def test_stopping_ends_running_sessions_of_the_answerer():
    with waiting(Script(lambda channel: echo(channel)), drain_seconds=0.2) as held:
        channel = held.asker.open(b"h", b"s").channel
        held.stop.set()
        with pytest.raises(PeerAbortedError) as caught:
            channel.recv()
        assert caught.value.abort_code is AbortCode.STOPPING
        channel.close()


def test_waiting_survives_a_restart_of_the_listener():
    stop, events = threading.Event(), []
    net = Net(Script())
    port = net.port = net.server.start()
    answering = net.link("merchant")
    script = Script(echo)
    ended = in_thread(
        lambda: answering.answer(script, stop, net.parties["courier"].peer, observe=lambda event, **_: events.append(event))
    )
    assert eventually(lambda: "waiting.started" in events)
    net.server.stop(0)
    again = Net(Script(), port=port, parties=net.parties)
    again.port = again.server.start()
    try:
        assert eventually(lambda: again.server._relay.present(net.parties["merchant"].identity), 5.0)
        with again.link("courier", to=net.parties["merchant"].identity) as asker:
            assert asker.status() == b"status for courier"
    finally:
        stop.set()
        ended()
        answering.close()
        again.server.stop(0)


def test_first_contact_that_fails_is_raised():
    with serving(Script()) as net:
        port = net.port
    with net.link("merchant", port=port) as link, pytest.raises(ConnectError):
        link.answer(Script(), threading.Event(), net.parties["courier"].peer)


# -- the lines themselves -----------------------------------------------------------------------------------------------------

PARTNER = Peer("merchant", "aa")


def question() -> peer_pb2.Question:
    return peer_pb2.Question(id=secrets.token_bytes(16), kind=peer_pb2.Question.KIND_STATUS)


def test_question_is_given_again_until_it_is_confirmed():
    relay = Relay(QUICK)
    relay.wait(PARTNER, b"", Turn(0.0))
    answers: list[peer_pb2.AnswerRequest] = []
    first, second = question(), question()
    relay.ask("aa", Asked(first, lambda: True, answers.append))
    relay.ask("aa", Asked(second, lambda: True, answers.append))
    assert relay.wait(PARTNER, b"", Turn(0.0)) == first
    assert relay.wait(PARTNER, b"", Turn(0.0)) == first
    assert relay.wait(PARTNER, first.id, Turn(0.0)) == second
    assert relay.wait(PARTNER, second.id, Turn(0.0)) is None
    reply = peer_pb2.AnswerRequest(question=first.id, document=b"x")
    relay.answer(PARTNER, reply)
    relay.answer(PARTNER, reply)
    assert answers == [reply], "the same answer again does no harm"
    with pytest.raises(ChannelClosedError):
        relay.answer(PARTNER, peer_pb2.AnswerRequest(question=b"unknown"))
    with pytest.raises(ChannelClosedError):
        relay.answer(Peer("other", "bb"), peer_pb2.AnswerRequest(question=second.id))


def test_question_that_nobody_wants_any_more_is_dropped():
    relay = Relay(QUICK)
    relay.wait(PARTNER, b"", Turn(0.0))
    relay.ask("aa", Asked(question(), lambda: False, lambda _: None))
    assert relay.wait(PARTNER, b"", Turn(0.0)) is None


def test_newer_wait_displaces_the_older():
    relay = Relay(QUICK)
    older = in_thread(lambda: relay.wait(PARTNER, b"", Turn(5.0)))
    time.sleep(0.05)
    newer = in_thread(lambda: relay.wait(PARTNER, b"", Turn(5.0)))
    assert older(1.0) is None
    asked = question()
    relay.ask("aa", Asked(asked, lambda: True, lambda _: None))
    assert newer(1.0) == asked


def test_line_is_bounded():
    relay = Relay(QUICK)
    relay.wait(PARTNER, b"", Turn(0.0))
    for _ in range(4 * QUICK.sessions_per_partner):
        relay.ask("aa", Asked(question(), lambda: True, lambda _: None))
    with pytest.raises(NotNowError) as caught:
        relay.ask("aa", Asked(question(), lambda: True, lambda _: None))
    assert caught.value.abort_code is AbortCode.BUSY
