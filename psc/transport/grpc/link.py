"""The dialler's side: ask a listener, or a partner that waits at the listener."""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeVar

from google.protobuf.message import Message

from psc._proto.psc.v1 import peer_pb2
from psc.errors import (
    AbortCode,
    AuthenticationError,
    CancelledError,
    ChannelClosedError,
    ConnectError,
    DeadlineError,
    MalformedMessageError,
    PscError,
    UsageError,
)
from psc.session.channel import Channel
from psc.session.limits import Limits
from psc.transport.address import Address
from psc.transport.grpc.answer import answer_questions
from psc.transport.grpc.connection import SESSION_BYTES, Connection, SessionCalls, bounded
from psc.transport.grpc.environment import require_tls13
from psc.transport.handler import Handler, Observer, Peer, unobserved
from psc.transport.patience import Interrupted
from psc.transport.probe import check_own_certificate, diagnose
from psc.transport.pump import PumpChannel
from psc.transport.tls import TlsMaterial

__all__ = ["Link", "Opened"]

R = TypeVar("R", bound=Message)
_PENDING_PAUSE_SECONDS = 0.1
TlsSource = Callable[[], TlsMaterial]


@dataclass(frozen=True, slots=True)
class Opened:
    """An accepted session.

    Args:
        accept: the accept document's bytes, to be verified by the caller.
        signature: of the accept document.
        channel: the session's; the caller closes it.
    """

    accept: bytes
    signature: bytes
    channel: Channel


class Link:
    """A connection to a partner's listener, or to the own listener where the partner waits. Use it as a context manager.

    Args:
        address: ``host:port`` of the listener.
        tls: the dialler's material, or a function that returns the current one (asked before every question, so that a
            renewed certificate is used); ``None`` is plain text and needs ``insecure_loopback``.
        limits: bounds of calls and sessions.
        to: identity of the partner asked, when it is not the listener itself.
        insecure_loopback: plain text, allowed towards this machine alone; for tests.

    Raises:
        UsageError: the address or the combination is wrong, or gRPC was imported before ``psc``.
        AuthenticationError: the own certificate is not valid now.
    """

    def __init__(
        self,
        address: str,
        tls: TlsMaterial | TlsSource | None,
        limits: Limits | None = None,
        *,
        to: str = "",
        insecure_loopback: bool = False,
    ) -> None:
        self._address = Address.parse(address)
        self._limits = limits or Limits()
        self._to = to
        if (tls is None) != insecure_loopback or (insecure_loopback and not self._address.loopback):
            raise UsageError("transport.plain-text-not-allowed", address=str(self._address))
        self._source: Callable[[], TlsMaterial | None] = tls if callable(tls) else lambda: tls
        self._lock = threading.Lock()
        self._closed = False
        self._met = False
        self._tls = self._source()
        if self._tls is not None:
            require_tls13()
            check_own_certificate(self._tls)
        self._connection = Connection(self._address, self._tls, self._limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; sessions that are still open end."""
        with self._lock:
            self._closed = True
            self._connection.close()

    def status(self) -> bytes:
        """Return the partner's status document.

        Raises:
            PscError: as ``open``.
        """
        return self._ask("Status", peer_pb2.StatusRequest(to=self._to), peer_pb2.StatusResponse).document

    def catalogue(self, announcement: bytes = b"") -> bytes:
        """Return the document of what the partner grants us.

        Args:
            announcement: the document of a run that is about to be asked for; empty for none.

        Raises:
            PscError: as ``open``.
        """
        request = peer_pb2.CatalogueRequest(to=self._to, announcement=announcement)
        return self._ask("Catalogue", request, peer_pb2.CatalogueResponse).document

    def open(self, hello: bytes, signature: bytes, *, cancel: threading.Event | None = None) -> Opened:
        """Begin a session and wait until the partner has judged the hello.

        Args:
            hello: the hello document's bytes.
            signature: the own identity's signature of it.
            cancel: gives up when set.

        Raises:
            PolicyDeniedError: a rule of the partner refused; ``rule`` says which.
            PeerAbortedError: the partner refused with another closed code (busy, stopping, data not ready, …).
            AuthenticationError: a certificate is not the pinned one, expired, or somebody is in between; the text says which.
            ConnectError: nobody answers there.
            ChannelClosedError: the connection broke and could not be mended in time.
            CancelledError: ``cancel`` was set.
        """
        session = secrets.token_bytes(SESSION_BYTES)
        request = peer_pb2.OpenRequest(session=session, to=self._to, hello=hello, signature=signature)
        try:
            reply = self._judged(request, cancel)
            limits = bounded(self._limits, reply.bounds)
        except (CancelledError, DeadlineError, KeyboardInterrupt, MalformedMessageError):
            self._give_up(session)
            raise
        calls = SessionCalls(self._connection, session)
        return Opened(reply.accept, reply.signature, PumpChannel(calls, limits, name=session.hex()[:8]))

    def answer(
        self,
        handler: Handler,
        stop: threading.Event,
        peer: Peer,
        *,
        drain_seconds: float = 30.0,
        observe: Observer = unobserved,
    ) -> None:
        """Answer the listener's questions from here until ``stop`` is set: for a party without an inbound port.

        Args:
            handler: what answers; the same as a listener's.
            stop: ends the waiting; sessions that run may finish.
            peer: whose listener this is: the only one who asks here.
            drain_seconds: how long running sessions may take to finish after ``stop``.
            observe: hears of events.

        Raises:
            PscError: the first contact failed; later failures are reported and retried for ever.
        """
        answer_questions(self._wait, self._limits, handler, stop, peer, drain_seconds, observe)

    def _judged(self, request: peer_pb2.OpenRequest, cancel: threading.Event | None) -> peer_pb2.OpenResponse:
        until = time.monotonic() + self._limits.frame_seconds
        while (reply := self._ask("Open", request, peer_pb2.OpenResponse, cancel=cancel)).pending:
            if time.monotonic() > until:
                raise DeadlineError("transport.no-frame", seconds=self._limits.frame_seconds)
            # A listener waits before it says so; one that does not must not keep us spinning.
            (cancel or threading.Event()).wait(_PENDING_PAUSE_SECONDS)
        return reply

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _wait(self, received: bytes, stop: threading.Event) -> tuple[peer_pb2.AwaitResponse, Connection]:
        reply = self._ask("Await", peer_pb2.AwaitRequest(received=received), peer_pb2.AwaitResponse, cancel=stop)
        return reply, self._connection

    def _current(self) -> Connection:
        """Return the connection, a new one when the own certificate was renewed."""
        with self._lock:
            if self._closed:
                raise ChannelClosedError("transport.link-closed")
            tls = self._source()
            if tls != self._tls:
                # Sessions on the old connection keep it alive until they end.
                self._tls, self._connection = tls, Connection(self._address, tls, self._limits)
            return self._connection

    def _ask(self, name: str, request: Message, reply: type[R], *, cancel: threading.Event | None = None) -> R:
        begun = time.monotonic()
        pause = 0.05
        while True:
            try:
                answer = self._current().call(name, request, reply, cancel=cancel)
            except Interrupted as error:
                self._judge(error, time.monotonic() - begun)
                (cancel or threading.Event()).wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries
                pause = min(pause * 2, 1.0)
            except ChannelClosedError as error:
                if error.code == "transport.session-unknown":
                    raise ConnectError("transport.partner-not-waiting") from None
                raise
            else:
                self._met = True
                return answer

    def _judge(self, error: Interrupted, spent: float) -> None:
        """Return when the call should be made again; raise why not otherwise."""
        patience = self._limits.reconnect_seconds if self._met else self._limits.connect_seconds
        if self._met and spent < patience:
            return
        finding = diagnose(self._address, self._tls, timeout_seconds=min(3.0, self._limits.connect_seconds))
        if isinstance(finding, AuthenticationError) or (finding is not None and not self._met):
            raise finding from None
        if spent < patience:
            return
        if error.reason == "DEADLINE_EXCEEDED":
            raise DeadlineError("transport.deadline", address=str(self._address), seconds=round(spent, 1))
        if self._met:
            raise ChannelClosedError("transport.connection-lost", seconds=round(spent, 1), reason=error.reason)
        raise ConnectError("transport.no-connection", address=str(self._address), reason=error.reason)

    def _give_up(self, session: bytes) -> None:
        try:
            SessionCalls(self._connection, session).abort(AbortCode.CANCELLED)
        except (Interrupted, PscError):
            return
