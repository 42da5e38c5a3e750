"""A node's listener: one port, mutual TLS, its partners' sessions, health, a graceful stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from psc.errors import ConnectError, PscError, UsageError
from psc.server.callers import Callers
from psc.server.log import observer
from psc.server.relay import Relay
from psc.server.service import PeerService
from psc.server.sessions import Sessions
from psc.session.limits import Limits
from psc.transport.address import Address
from psc.transport.grpc import require_tls13
from psc.transport.grpc.connection import SERVICE, shared_options
from psc.transport.handler import Handler, Peer
from psc.transport.probe import check_own_certificate
from psc.transport.tls import TlsMaterial

__all__ = ["Server"]

_SPARE_THREADS = 32
_LAST_WORDS_SECONDS = 2.0
_HANDSHAKE_SECONDS = 10
_CONNECTIONS_PER_SESSION = 8


class Server:
    """Listens for partners.

    Args:
        handler: what answers them.
        listen: ``host:port``; port 0 lets the system choose.
        tls_source: returns the current certificate, key and pinned authorities; asked at every handshake, so renewals and
            new partners need no restart. ``None`` is plain text and needs ``insecure_peer``.
        identify: the partner of a leaf certificate (PEM) that TLS has verified, or ``None`` when it is nobody pinned. The own
            identity's leaves must be recognised too, for processes that ask through the relay.
        own_identity: this node's, 64 hex digits.
        limits: bounds of calls, sessions and partners.
        logger: gets one event a record; see ``psc.server.log``.
        insecure_peer: who everybody is on a plain-text port, allowed on this machine's loopback alone; for tests.

    Raises:
        UsageError: the address or the combination is wrong, or gRPC was imported before ``psc``.
    """

    def __init__(
        self,
        handler: Handler,
        listen: str,
        tls_source: Callable[[], TlsMaterial] | None,
        identify: Callable[[bytes], Peer | None],
        own_identity: str,
        limits: Limits | None = None,
        logger: logging.Logger | None = None,
        *,
        insecure_peer: Peer | None = None,
    ) -> None:
        self._address = Address.parse(listen)
        if (tls_source is None) != (insecure_peer is not None) or (insecure_peer is not None and not self._address.loopback):
            raise UsageError("transport.plain-text-not-allowed", address=str(self._address))
        self._tls_source = tls_source
        self._limits = limits or Limits()
        self._observe = observer(logger or logging.getLogger("psc.server"))
        self._handler, self._own = handler, own_identity
        self._callers = Callers(identify, own_identity, insecure_peer, self._limits)
        self._health = health.HealthServicer()
        self._lock = threading.Lock()
        self._grpc: Any = None
        self._stopped = False

    def start(self) -> int:
        """Begin to listen; return the port.

        Raises:
            AuthenticationError: the own certificate is not valid now.
            ConnectError: the address cannot be listened on.
            UsageError: the server was started before.
        """
        with self._lock:
            if self._grpc is not None:
                raise UsageError("transport.server-started-twice")
            credentials = self._credentials()
            server = self._make()
            port = self._bind(server, credentials)
            self._sessions = Sessions(self._limits, self._observe)
            self._relay = Relay(self._limits)
            service = PeerService(
                self._handler, self._callers, self._sessions, self._relay, self._own, self._limits, self._observe
            )
            server.add_generic_rpc_handlers((service.generic_handler(), self._health_handler()))
            self._set_health(health_pb2.HealthCheckResponse.SERVING)
            server.start()
            self._grpc = server
        self._observe("server.started", port=port)
        return port

    def stop(self, drain_seconds: float = 30.0) -> None:
        """Stop gracefully: report not serving, refuse new sessions, let running ones finish, then end them.

        Args:
            drain_seconds: how long running sessions may take; what runs longer is ended as ``stopping``.
        """
        with self._lock:
            if self._grpc is None or self._stopped:
                return
            self._stopped = True
        self._observe("server.stopping", count=self._sessions.running)
        self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._relay.stop_all()
        if not self._sessions.drain(drain_seconds):
            self._sessions.stop_all()
            # Partners learn it from the calls that wait here; their threads here end with the sessions.
            until = time.monotonic() + _LAST_WORDS_SECONDS
            self._sessions.drain(_LAST_WORDS_SECONDS)
            time.sleep(max(min(until - time.monotonic(), 0.2), 0.0))
        self._grpc.stop(_LAST_WORDS_SECONDS).wait()
        self._sessions.close()
        self._observe("server.stopped")

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _make(self) -> Any:
        limits = self._limits
        # Both ends of a relayed session call us, each with its pushes and pulls; nobody's waiting may stop another's work.
        threads = limits.sessions * 2 * 2 * limits.calls_in_flight + _SPARE_THREADS
        options = [
            *shared_options(limits),
            ("grpc.max_concurrent_streams", limits.streams),
            ("grpc.max_allowed_incoming_connections", limits.sessions * _CONNECTIONS_PER_SESSION),
            ("grpc.server_handshake_timeout_ms", _HANDSHAKE_SECONDS * 1000),
            # Diallers ping when idle; twice as often as ours is still welcome, more is not.
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ("grpc.so_reuseport", 0),
        ]
        return grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="psc-call"),
            options=options,
            maximum_concurrent_rpcs=threads,
            compression=grpc.Compression.NoCompression,
        )

    def _bind(self, server: Any, credentials: Any) -> int:
        where = str(self._address)
        try:
            port = server.add_insecure_port(where) if credentials is None else server.add_secure_port(where, credentials)
        except RuntimeError:
            port = 0
        if port == 0:
            raise ConnectError("transport.cannot-listen", address=where)
        return int(port)

    def _credentials(self) -> Any:
        source = self._tls_source
        if source is None:
            return None
        require_tls13()
        first = source()
        check_own_certificate(first)
        held = [first]

        def current() -> Any:
            """Called at every handshake; the last good material stays when the new one cannot be read."""
            try:
                material = source()
            except (PscError, OSError) as error:
                self._observe("certificate.failed", code=getattr(error, "code", "storage"))
                return None
            if material == held[0]:
                return None
            held[0] = material
            self._observe("certificate.renewed")
            return _configuration(material)

        return grpc.dynamic_ssl_server_credentials(_configuration(first), current, require_client_authentication=True)

    def _health_handler(self) -> Any:
        """Serve ``Check`` alone: a ``Watch`` would hold one of the bounded calls for as long as its caller likes."""
        check = grpc.unary_unary_rpc_method_handler(
            self._health.Check,
            request_deserializer=health_pb2.HealthCheckRequest.FromString,
            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(health.SERVICE_NAME, {"Check": check})

    def _set_health(self, status: Any) -> None:
        for service in (health.OVERALL_HEALTH, SERVICE.full_name):
            self._health.set(service, status)


def _configuration(material: TlsMaterial) -> Any:
    pairs = ((material.key_pem, material.certificate_pem),)
    return grpc.ssl_server_certificate_configuration(pairs, root_certificates=material.roots_pem)
