"""Settings that gRPC reads from the environment once, when it is first imported; so this module comes before it.

TLS 1.3 only: gRPC's Python interface has no setting for the TLS version, and its TLS library has no separate list for the
suites of TLS 1.3, which are always on. The list that can be set is the one of TLS 1.2: it gets a single suite that needs a
pre-shared key, which gRPC never has. So no TLS 1.2 connection can be agreed, whatever kind of key a certificate has, and
every gRPC user of the process is held to TLS 1.3. ``require_tls13`` proves it when gRPC was imported before us.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

_LATE = "grpc._cython.cygrpc" in sys.modules
_SUITES_VARIABLE = "GRPC_SSL_CIPHER_SUITES"
_SUITES = "ECDHE-PSK-CHACHA20-POLY1305"
os.environ[_SUITES_VARIABLE] = _SUITES
# Its own log goes to standard error in its own words, and a stranger's handshake can fill it; we say what matters ourselves.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# We never fork with gRPC in use; its fork hooks would only delay programs that start other programs.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc  # noqa: E402 - only now

from psc.errors import UsageError  # noqa: E402

__all__ = ["client_hello_suites", "require_tls13"]

_TLS13_SUITES = frozenset({0x1301, 0x1302, 0x1303})
_SIGNALLING = frozenset({0x00FF, 0x5600})
_PROOF_SECONDS = 5.0
_lock = threading.Lock()
_proved: list[bool] = [not _LATE]


def require_tls13() -> None:
    """Make sure that gRPC in this process can agree on nothing older than TLS 1.3.

    Raises:
        UsageError: something imported gRPC before ``psc`` without our setting, so TLS 1.2 would be possible.
    """
    with _lock:
        if not _proved[0]:
            offered = client_hello_suites()
            if not offered or not all(suite in _TLS13_SUITES | _SIGNALLING or _grease(suite) for suite in offered):
                raise UsageError("transport.grpc-imported-first", variable=_SUITES_VARIABLE, value=_SUITES)
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
