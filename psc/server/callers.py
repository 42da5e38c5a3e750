"""Who calls: the pinned partner behind a certificate, and how many calls it has open."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from psc.errors import AuthenticationError
from psc.server.refusal import CrowdedError
from psc.session.limits import Limits
from psc.transport.handler import Peer

__all__ = ["Callers"]

_BELIEVED_SECONDS = 5.0
_REMEMBERED = 64
_CONTROL_CALLS = 8


class Callers:
    """Knows callers by the leaf certificate that TLS has verified.

    Args:
        identify: the partner of a leaf (PEM), or ``None``; asked again after a few seconds, so a partner that is no longer
            trusted is refused in the middle of a session too.
        own_identity: this node's; its own processes may ask through the relay.
        insecure_peer: who everybody is on a plain-text loopback port.
        limits: how many calls a caller may have open.
    """

    def __init__(
        self, identify: Callable[[bytes], Peer | None], own_identity: str, insecure_peer: Peer | None, limits: Limits
    ) -> None:
        self._identify, self._insecure = identify, insecure_peer
        self._own = own_identity
        per_session = 2 * limits.calls_in_flight
        self._bound = limits.sessions_per_partner * per_session + _CONTROL_CALLS
        self._own_bound = limits.sessions * per_session + _CONTROL_CALLS
        self._lock = threading.Lock()
        self._known: dict[bytes, tuple[Peer | None, float]] = {}
        self._open: Counter[str] = Counter()

    def identify(self, context: Any) -> Peer:
        """Return who calls.

        Raises:
            AuthenticationError: the certificate is nobody's that is pinned.
        """
        if self._insecure is not None:
            return self._insecure
        shown = context.auth_context().get("x509_pem_cert")
        peer = self._recall(bytes(shown[0])) if shown else None
        if peer is None:
            raise AuthenticationError("transport.caller-unknown")
        return peer

    @contextlib.contextmanager
    def counted(self, peer: Peer) -> Iterator[None]:
        """Count a call while it is open.

        Raises:
            CrowdedError: the caller has too many open.
        """
        bound = self._own_bound if peer.identity == self._own else self._bound
        with self._lock:
            if self._open[peer.identity] >= bound:
                raise CrowdedError
            self._open[peer.identity] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[peer.identity] -= 1

    def _recall(self, leaf: bytes) -> Peer | None:
        now = time.monotonic()
        with self._lock:
            known = self._known.get(leaf)
        if known is not None and now - known[1] < _BELIEVED_SECONDS:
            return known[0]
        peer = self._identify(leaf)
        with self._lock:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[leaf] = (peer, now)
        return peer
