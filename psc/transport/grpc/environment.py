"""Proof that gRPC in this process can agree on nothing older than TLS 1.3; ``psc.transport.tls13`` says how that is done."""

# isort: off
from psc.transport.tls13 import GRPC_CAME_FIRST, SUITES, SUITES_VARIABLE

# isort: on
import socket
import threading

import grpc

from psc.errors import UsageError

__all__ = ["client_hello_suites", "require_tls13"]

_TLS13_SUITES = frozenset({0x1301, 0x1302, 0x1303})
_SIGNALLING = frozenset({0x00FF, 0x5600})
_PROOF_SECONDS = 5.0
_lock = threading.Lock()
_proved: list[bool] = [not GRPC_CAME_FIRST]


def require_tls13() -> None:
    """Make sure that gRPC in this process can agree on nothing older than TLS 1.3.

    Raises:
        UsageError: something imported gRPC before ``psc`` without our setting, so TLS 1.2 would be possible.
    """
    with _lock:
        if not _proved[0]:
            offered = client_hello_suites()
            if not offered or not all(suite in _TLS13_SUITES | _SIGNALLING or _grease(suite) for suite in offered):
                raise UsageError("transport.grpc-imported-first", variable=SUITES_VARIABLE, value=SUITES)
            _proved[0] = True


def client_hello_suites() -> tuple[int, ...]:
    """Return the cipher suites that this process's gRPC offers, read from a hello that it sends to ourselves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_PROOF_SECONDS)
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        target = f"127.0.0.1:{listener.getsockname()[1]}"
        channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(), options)
        try:
            channel.subscribe(lambda _: None, try_to_connect=True)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(_PROOF_SECONDS)
                record = _exactly(connection, 5)
                return _suites(_exactly(connection, int.from_bytes(record[3:5], "big")))
        except (OSError, ValueError):
            return ()
        finally:
            channel.close()


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ValueError("the hello ended early")
        data += piece
    return data


def _suites(hello: bytes) -> tuple[int, ...]:
    """Return the suites of a ClientHello: type and length (4), version (2), random (32), session id, then the list."""
    start = 38 + 1 + hello[38]
    length = int.from_bytes(hello[start : start + 2], "big")
    listed = hello[start + 2 : start + 2 + length]
    return tuple(int.from_bytes(listed[at : at + 2], "big") for at in range(0, len(listed), 2))


def _grease(suite: int) -> bool:
    """Return whether it is one of the meaningless values of RFC 8701."""
    return suite & 0x0F0F == 0x0A0A and suite >> 8 == suite & 0xFF
