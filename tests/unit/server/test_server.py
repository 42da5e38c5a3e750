"""The listener against callers that keep to the rules and callers that do not."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from dataclasses import replace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from psc._proto.psc.v1 import peer_pb2
from psc.errors import (
    AbortCode,
    ChannelClosedError,
    ConnectError,
    LimitExceededError,
    MalformedMessageError,
    PeerAbortedError,
    PscError,
    ReplayedError,
    UsageError,
)
from psc.server import Server, json_logger
from psc.session.channel import Channel, frame_digest
from psc.transport.address import Address
from psc.transport.grpc.connection import Connection, receive_limit
from psc.transport.handler import Peer
from tests.net import QUICK, Net, Party, Script, echo, eventually, in_thread, serving

SERVICE = "/psc.v1.PeerService/"


class Raw:
    """A caller that makes single calls as it likes, over the real wire."""

    def __init__(self, net: Net, name: str = "merchant") -> None:
        tls = net.parties[name].towards(net.parties["courier"])
        self.connection = Connection(Address("127.0.0.1", net.port), tls, QUICK)
        self.session = secrets.token_bytes(16)

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def open(self, hello: bytes = b"h", session: bytes | None = None, to: str = "") -> peer_pb2.OpenResponse:
        request = peer_pb2.OpenRequest(session=session or self.session, hello=hello, signature=b"s", to=to)
        return self.connection.call("Open", request, peer_pb2.OpenResponse)

    def push(self, first: int, *payloads: bytes, digest: bytes | None = None, **more: Any) -> int:
        request = peer_pb2.PushRequest(session=self.session, first=first, **more)
        for payload in payloads:
            request.frames.add(payload=payload, digest=frame_digest(payload) if digest is None else digest)
        return self.connection.call("Push", request, peer_pb2.PushResponse).accepted

    def pull(self, first: int, count: int = 4, received: int = 0) -> peer_pb2.PullResponse:
        request = peer_pb2.PullRequest(session=self.session, first=first, count=count, received=received)
        return self.connection.call("Pull", request, peer_pb2.PullResponse)

    def bytes(self, method: str, data: bytes) -> Any:
        """Send bytes that are no message; return gRPC's error."""
        with pytest.raises(grpc.RpcError) as caught:
            self.connection._channel.unary_unary(SERVICE + method)(data, timeout=3)
        return caught.value


class Recorder:
    """A script that reads until its session ends and keeps why it ended."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.error: PscError | None = None
        self.ended = threading.Event()

    def __call__(self, channel: Channel) -> None:
        try:
            while True:
                self.frames.append(channel.recv())
        except PscError as error:
            self.error = error
            if error.code != "transport.peer-closed":
                raise
        finally:
            self.ended.set()


# -- hostile callers ----------------------------------------------------------------------------------------------------------


def test_repeated_frame_is_acknowledged_once():
    recorder = Recorder()
    with serving(Script(recorder)) as net, Raw(net) as raw:
        raw.open()
        assert raw.push(0, b"a", b"b") == 2
        assert raw.push(0, b"a", b"b") == 2
        assert raw.push(1, b"b", b"c", closing=True) == 3
        assert raw.push(1, b"b", b"c", closing=True) == 3
        assert recorder.ended.wait(2.0)
        assert recorder.frames == [b"a", b"b", b"c"]
        assert isinstance(recorder.error, ChannelClosedError)


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda raw: raw.push(0, b"A"), ReplayedError),
        (lambda raw: raw.push(1, b"x", digest=b"\0" * 32), MalformedMessageError),
        (lambda raw: raw.push(1, b"x", digest=b""), MalformedMessageError),
        (lambda raw: raw.push(1, bytes(512 * 1024 + 1)), LimitExceededError),
        (lambda raw: raw.push(1, *[b"x"] * 9), LimitExceededError),
        (lambda raw: raw.push(1000, b"x"), MalformedMessageError),
        (lambda raw: raw.push(2**64 - 1, b"x"), MalformedMessageError),
        (lambda raw: raw.pull(1000), MalformedMessageError),
        (lambda raw: raw.pull(2**64 - 1), MalformedMessageError),
        (lambda raw: raw.pull(0, received=7), MalformedMessageError),
        (lambda raw: raw.push(1, received=2**63), MalformedMessageError),
    ],
    ids=[
        "other digest",
        "wrong digest",
        "no digest",
        "oversize frame",
        "more than a window",
        "gap",
        "overflow",
        "far future",
        "overflowing pull",
        "acknowledging what was not sent",
        "acknowledging far too much",
    ],
)
def test_breach_ends_the_session_on_both_sides_and_the_server_lives(act, error):
    recorder = Recorder()
    with serving(Script(recorder)) as net, Raw(net) as raw:
        raw.open()
        raw.push(0, b"a")
        with pytest.raises((PeerAbortedError, ReplayedError)) as caught:
            act(raw)
        assert caught.value.abort_code is error.abort_code
        assert recorder.ended.wait(2.0)
        assert type(recorder.error) is error
        with pytest.raises((PeerAbortedError, ReplayedError)):
            raw.pull(0)
        assert raw.connection.call("Status", peer_pb2.StatusRequest(), peer_pb2.StatusResponse).document


def test_small_gap_is_not_taken_and_does_no_harm():
    recorder = Recorder()
    with serving(Script(recorder)) as net, Raw(net) as raw:
        raw.open()
        assert raw.push(2, b"c") == 0
        assert raw.push(0, b"a", b"b") == 2
        assert raw.push(2, b"c", closing=True) == 3
        assert recorder.ended.wait(2.0)
        assert recorder.frames == [b"a", b"b", b"c"]


def test_unknown_session():
    with serving(Script()) as net, Raw(net) as raw:
        for call in (lambda: raw.push(0, b"x"), lambda: raw.pull(0)):
            with pytest.raises(ChannelClosedError) as caught:
                call()
            assert caught.value.code == "transport.session-unknown"


def test_session_of_another_partner_is_refused_and_logged():
    recorder = Recorder()
    with serving(Script(recorder)) as net, Raw(net) as owner, Raw(net, "other") as thief:
        owner.open()
        thief.session = owner.session
        abort = peer_pb2.AbortRequest(session=owner.session)
        for call in (
            lambda: thief.push(0, b"x"),
            lambda: thief.pull(0),
            lambda: thief.connection.call("Abort", abort, peer_pb2.AbortResponse),
        ):
            with pytest.raises(ChannelClosedError) as caught:
                call()
            assert caught.value.code == "transport.session-unknown", "it looks like any unknown one"
        with pytest.raises(ReplayedError):
            thief.open()
        foreign = [event for event in net.events if event["event"] == "session.foreign"]
        assert [event["method"] for event in foreign] == ["Push", "Pull", "Abort", "Open"]
        assert {event["partner"] for event in foreign} == {"other"}
        assert owner.push(0, b"mine", closing=True) == 1, "the owner notices nothing"
        assert recorder.ended.wait(2.0)
        assert recorder.frames == [b"mine"]


def test_open_again_gives_the_same_answer_and_begins_nothing():
    script = Script(echo)
    with serving(script) as net, Raw(net) as raw:
        first, again = raw.open(), raw.open()
        assert first.accept == again.accept == b"accept:h"
        assert len(script.opened) == 1


def test_open_again_with_another_hello_ends_the_session():
    recorder = Recorder()
    with serving(Script(recorder)) as net, Raw(net) as raw:
        raw.open(b"one")
        with pytest.raises(ReplayedError):
            raw.open(b"two")
        assert recorder.ended.wait(2.0)
        assert recorder.error is not None


@pytest.mark.parametrize("token", [b"", b"short", b"x" * 17])
def test_session_name_of_another_length_is_refused(token):
    with serving(Script()) as net, Raw(net) as raw:
        request = peer_pb2.OpenRequest(session=token)
        with pytest.raises(PeerAbortedError) as caught:
            raw.connection.call("Open", request, peer_pb2.OpenResponse)
        assert caught.value.abort_code is AbortCode.MALFORMED_MESSAGE


@pytest.mark.parametrize("method", ["Status", "Catalogue", "Open", "Push", "Pull", "Abort", "Await", "Answer"])
def test_garbage_is_malformed_and_not_a_crash(method):
    with serving(Script()) as net, Raw(net) as raw:
        error = raw.bytes(method, b"\xff\xfe\xfd garbage")
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error.details() == "malformed-message"
        assert not [event for event in net.events if event["level"] == "error"]


def test_unknown_method_is_not_served():
    with serving(Script()) as net, Raw(net) as raw:
        assert raw.bytes("Steal", b"").code() is grpc.StatusCode.UNIMPLEMENTED


def test_message_over_the_limit_is_refused_before_it_is_read():
    recorder = Recorder()
    with serving(Script(recorder)) as net, Raw(net) as raw:
        raw.open()
        size = receive_limit(QUICK)
        with pytest.raises(LimitExceededError):
            raw.push(0, bytes(size // 2), bytes(size // 2))
        assert raw.push(0, b"the session lives on") == 1


def test_compressed_message_is_refused():
    with serving(Script()) as net:
        tls = net.parties["merchant"].towards(net.parties["courier"])
        credentials = grpc.ssl_channel_credentials(tls.roots_pem, tls.key_pem, tls.certificate_pem)
        options = [("grpc.ssl_target_name_override", tls.server_name)]
        with grpc.secure_channel(f"127.0.0.1:{net.port}", credentials, options, compression=grpc.Compression.Gzip) as channel:
            call = channel.unary_unary(SERVICE + "Open")
            with pytest.raises(grpc.RpcError) as caught:
                call(bytes(200_000), timeout=3)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_caller_with_too_many_calls_open_may_try_again():
    with serving(Script()) as net:
        slow = threading.Event()
        net.handler.status = lambda peer: slow.wait(5.0) and b"x"
        with Raw(net) as raw:
            status = lambda: raw.connection.call("Status", peer_pb2.StatusRequest(), peer_pb2.StatusResponse)  # noqa: E731
            bound = net.server._callers._bound
            waits = [in_thread(status) for _ in range(bound + 4)]
            assert eventually(lambda: "call.refused" in net.event_names())
            with Raw(net, "other") as other:
                net.handler.catalogue = lambda peer, announcement: b"fine"
                reply = other.connection.call("Catalogue", peer_pb2.CatalogueRequest(), peer_pb2.CatalogueResponse)
                assert reply.document == b"fine", "others are served meanwhile"
            slow.set()
            outcomes = []
            for wait in waits:
                try:
                    outcomes.append(wait().document)
                except Exception as error:
                    outcomes.append(type(error).__name__)
        assert outcomes.count(b"x") == bound
        assert outcomes.count("Interrupted") == 4


# -- limits of sessions -------------------------------------------------------------------------------------------------------


def test_too_many_sessions_are_busy_and_room_comes_back():
    release = threading.Event()
    limits = replace(QUICK, sessions=2, sessions_per_partner=2)
    script = Script(lambda channel: release.wait(5.0) and None)
    with serving(script, limits) as net, net.link() as merchant, net.link("other") as other:
        opened = [merchant.open(b"%d" % number, b"s") for number in range(2)]
        for link in (merchant, other):
            with pytest.raises(PeerAbortedError) as caught:
                link.open(b"h", b"s")
            assert caught.value.abort_code is AbortCode.BUSY
        release.set()
        assert eventually(lambda: net.server._sessions.running == 0)
        other.open(b"h", b"s").channel.close()
        for session in opened:
            session.channel.close()


def test_one_partner_cannot_take_the_sessions_of_others():
    release = threading.Event()
    limits = replace(QUICK, sessions=4, sessions_per_partner=1)
    script = Script(lambda channel: release.wait(5.0) and None)
    with serving(script, limits) as net, net.link() as merchant, net.link("other") as other:
        first = merchant.open(b"1", b"s")
        with pytest.raises(PeerAbortedError) as caught:
            merchant.open(b"2", b"s")
        assert caught.value.abort_code is AbortCode.BUSY
        second = other.open(b"1", b"s")
        release.set()
        for opened in (first, second):
            opened.channel.close()


def test_silent_dialler_is_given_up():
    recorder = Recorder()
    with serving(Script(recorder)) as net, Raw(net) as raw:
        raw.open()
        begun = time.monotonic()
        assert recorder.ended.wait(QUICK.peer_silence_seconds + 2.0)
        assert time.monotonic() - begun > QUICK.peer_silence_seconds / 2
        assert isinstance(recorder.error, ChannelClosedError)
        assert recorder.error.code == "transport.peer-silent"
        assert "session.silent" in net.event_names()
        assert eventually(lambda: net.server._sessions.running == 0)
        with pytest.raises(ChannelClosedError):
            raw.pull(0)
        assert eventually(lambda: not net.server._sessions._ended), "and forgotten after a while"


def test_partner_that_is_no_longer_trusted_is_refused_in_the_middle(monkeypatch):
    monkeypatch.setattr("psc.server.callers._BELIEVED_SECONDS", 0.0)
    with serving(Script(echo)) as net, Raw(net) as raw:
        raw.open()
        assert raw.push(0, b"x") == 1
        del net.parties["merchant"]
        with pytest.raises(PscError) as caught:
            raw.push(1, b"y")
        assert caught.value.abort_code is AbortCode.NOT_AUTHENTICATED


# -- life of the server -------------------------------------------------------------------------------------------------------


def health_of(net: Net, service: str = "") -> Any:
    tls = net.parties["merchant"].towards(net.parties["courier"])
    credentials = grpc.ssl_channel_credentials(tls.roots_pem, tls.key_pem, tls.certificate_pem)
    options = [("grpc.ssl_target_name_override", tls.server_name)]
    with grpc.secure_channel(f"127.0.0.1:{net.port}", credentials, options) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        return check(health_pb2.HealthCheckRequest(service=service), timeout=3).status


def test_health_and_graceful_stop():
    release = threading.Event()
    statuses = health_pb2.HealthCheckResponse

    def run(channel: Channel) -> None:
        release.wait(5.0)
        channel.send(b"done")
        channel.flush()

    with serving(Script(run)) as net, net.link() as link:
        assert health_of(net) == health_of(net, "psc.v1.PeerService") == statuses.SERVING
        channel = link.open(b"h", b"s").channel
        stopping = in_thread(lambda: net.server.stop(5.0))
        assert eventually(lambda: "server.stopping" in net.event_names())
        assert eventually(lambda: health_of(net) == statuses.NOT_SERVING)
        with pytest.raises(PeerAbortedError) as caught:
            link.open(b"new", b"s")
        assert caught.value.abort_code is AbortCode.STOPPING
        release.set()
        assert channel.recv() == b"done", "a running session may finish"
        channel.close()
        stopping()
        assert net.event_names()[-1] == "server.stopped"
        net.server.stop(0)


def test_stop_ends_what_does_not_finish_in_time():
    recorder = Recorder()
    with serving(Script(recorder)) as net, net.link() as link:
        channel = link.open(b"h", b"s").channel
        waiting = in_thread(channel.recv)
        time.sleep(0.1)
        begun = time.monotonic()
        net.server.stop(0.3)
        assert time.monotonic() - begun < 4.0
        with pytest.raises(PeerAbortedError) as caught:
            waiting()
        assert caught.value.abort_code is AbortCode.STOPPING
        assert recorder.ended.wait(1.0)
        assert recorder.error is not None
        assert recorder.error.code == "transport.stopping"


def test_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        net = Net(Script(), port=taken.getsockname()[1])
        with pytest.raises(ConnectError) as caught:
            net.server.start()
        assert caught.value.code == "transport.cannot-listen"


def test_server_starts_once():
    with serving(Script()) as net, pytest.raises(UsageError):
        net.server.start()


def test_plain_text_listener_is_for_loopback_alone():
    nobody = Peer("test", "00")
    for listen, source, peer in (
        ("0.0.0.0:0", None, nobody),
        ("127.0.0.1:0", None, None),
        ("127.0.0.1:0", lambda: Party("a").listening(), nobody),
    ):
        with pytest.raises(UsageError):
            Server(Script(), listen, source, lambda leaf: None, "own", QUICK, insecure_peer=peer)


def test_plain_text_on_loopback_when_asked_for():
    from psc.transport.grpc import Link

    server = Server(Script(echo), "127.0.0.1:0", None, lambda leaf: None, "own", QUICK, insecure_peer=Peer("test", "00"))
    port = server.start()
    try:
        with Link(f"127.0.0.1:{port}", None, QUICK, insecure_loopback=True) as link:
            assert link.status() == b"status for test"
            channel = link.open(b"h", b"s").channel
            channel.send(b"")
            assert channel.recv() == b""
            channel.close()
    finally:
        server.stop(0)


def test_new_partner_and_renewed_certificate_need_no_restart():
    net = Net(Script())
    courier = net.parties["courier"]
    held = [courier.listening()]
    logger = json_logger(net._log, name="psc.server.renewal")
    broken = threading.Event()

    def source():
        if broken.is_set():
            raise OSError("the disk is away")
        return held[0]

    server = Server(Script(), "127.0.0.1:0", source, net.identify, courier.identity, QUICK, logger)
    net.port = server.start()
    try:
        with net.link() as link, pytest.raises(PscError):
            link.status()
        held[0] = courier.listening(net.parties["merchant"])
        with net.link() as link:
            assert link.status()
        broken.set()
        with net.link() as link:
            assert link.status(), "the last good material stays"
        names = net.event_names()
        assert names.count("certificate.renewed") == 1
        assert "certificate.failed" in names
    finally:
        server.stop(0)
