"""The environment that gRPC reads once, when it is first imported; so this module comes before it and imports nothing of ours.

TLS 1.3 only: gRPC's Python interface has no setting for the TLS version, and its TLS library has no separate list for the
suites of TLS 1.3, which are always on. The list that can be set is the one of TLS 1.2: it gets a single suite that needs a
pre-shared key, which gRPC never has. So no TLS 1.2 connection can be agreed, whatever kind of key a certificate has, and
every gRPC user of the process is held to TLS 1.3. ``psc.transport.grpc.environment`` proves it when gRPC came first.
"""

from __future__ import annotations

import os
import sys

__all__ = ["GRPC_CAME_FIRST", "SUITES", "SUITES_VARIABLE"]

GRPC_CAME_FIRST = "grpc._cython.cygrpc" in sys.modules
"""Whether gRPC had read its environment before this module could set it."""

SUITES_VARIABLE = "GRPC_SSL_CIPHER_SUITES"
SUITES = "ECDHE-PSK-CHACHA20-POLY1305"

os.environ[SUITES_VARIABLE] = SUITES
# Its own log goes to standard error in its own words, and a stranger's handshake can fill it; we say what matters ourselves.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# We never fork with gRPC in use; its fork hooks would only delay programs that start other programs.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
