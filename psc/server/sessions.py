"""The sessions that a listener holds: admitted within limits, found by their owners alone, ended when a dialler falls silent."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from psc.errors import AbortCode, ChannelClosedError, PscError, ReplayedError
from psc.server.refusal import NotNowError
from psc.session.limits import Limits
from psc.transport.aborts import peer_aborted
from psc.transport.handler import Observer, Peer
from psc.transport.mailbox import End, Mailbox

__all__ = ["Session", "Sessions"]

_ENDED_KEPT = 256


class Session:
    """One session: who opened it, who answers it, its mailbox, and what became of the hello.

    Args:
        token: the dialler's 16 bytes.
        opener: who opened it.
        answerer: the partner that answers it from elsewhere; ``None`` when it is answered here.
        digest: of the request that opened it.
        limits: of its mailbox.
    """

    def __init__(self, token: bytes, opener: Peer, answerer: Peer | None, digest: bytes, limits: Limits) -> None:
        self.token, self.opener, self.answerer, self.digest = token, opener, answerer, digest
        self.mailbox = Mailbox(limits)
        self.decided = threading.Event()
        self.accept = self.signature = b""
        self.refused: PscError | None = None
        self.ended_at: float | None = None
        self.answerer_waits: Callable[[], bool] = lambda: True
        now = time.monotonic()
        self._seen = {End.OPENER: now, End.ANSWERER: now}

    @property
    def label(self) -> str:
        """Return what the log calls it: enough to tell sessions apart, too little to use."""
        return self.token.hex()[:8]

    def accepted(self, accept: bytes, signature: bytes) -> None:
        """Keep the answer to the hello; the first decision stays."""
        if not self.decided.is_set():
            self.accept, self.signature = accept, signature
            self.saw(End.ANSWERER)
            self.decided.set()

    def refuse(self, error: PscError) -> None:
        """Keep the refusal of the hello; the first decision stays."""
        if not self.decided.is_set():
            self.refused = error
            self.decided.set()

    def end_of(self, peer: Peer) -> End | None:
        """Return which end a caller is, or ``None`` when it has no part in the session."""
        if peer.identity == self.opener.identity:
            return End.OPENER
        if self.answerer is not None and peer.identity == self.answerer.identity:
            return End.ANSWERER
        return None

    def saw(self, end: End) -> None:
        """Note a sign of life of an end that is elsewhere."""
        self._seen[end] = time.monotonic()

    def silent(self, bound_seconds: float) -> End | None:
        """Return an end elsewhere that has said nothing for too long."""
        now = time.monotonic()
        if now - self._seen[End.OPENER] > bound_seconds:
            return End.OPENER
        if self.answerer is None:
            return None
        if not self.decided.is_set():
            return None if self.answerer_waits() else End.ANSWERER
        return End.ANSWERER if now - self._seen[End.ANSWERER] > bound_seconds else None

    def lose(self, silent: End) -> None:
        """End the session because an end fell silent."""
        lost = ChannelClosedError("transport.peer-silent")
        told = peer_aborted(AbortCode.PEER_SILENT)
        self.refuse(NotNowError(AbortCode.PEER_SILENT))
        self.mailbox.end({silent: told, silent.other: lost})

    def stop(self) -> None:
        """End the session because the server stops."""
        told = peer_aborted(AbortCode.STOPPING)
        here = told if self.answerer is not None else ChannelClosedError("transport.stopping")
        self.refuse(NotNowError(AbortCode.STOPPING))
        self.mailbox.end({End.OPENER: told, End.ANSWERER: here})


class Sessions:
    """All sessions of a server. Ended ones are kept for a while, so that a repeated call gets its answer again.

    Args:
        limits: how many, and how long silence may last.
        observe: hears of events.
    """

    def __init__(self, limits: Limits, observe: Observer) -> None:
        self._limits, self._observe = limits, observe
        self._changed = threading.Condition()
        self._live: dict[bytes, Session] = {}
        self._ended: dict[bytes, Session] = {}
        self._stopping = False
        self._closed = False
        self._reaper = threading.Thread(target=self._reap, name="psc-reaper", daemon=True)
        self._reaper.start()

    def admit(self, token: bytes, opener: Peer, answerer: Peer | None, digest: bytes) -> tuple[Session, bool]:
        """Return the session of a token, and whether it is new.

        Raises:
            ReplayedError: the token is another partner's, or was used for another request.
            NotNowError: too many sessions, or the server is stopping.
        """
        with self._changed:
            held = self._live.get(token) or self._ended.get(token)
            if held is not None:
                if held.opener.identity != opener.identity:
                    self._observe("session.foreign", partner=opener.name, session=held.label, method="Open")
                    raise ReplayedError("transport.session-replayed")
                if held.digest != digest:
                    held.mailbox.abort(End.OPENER, AbortCode.REPLAYED)
                    raise ReplayedError("transport.session-replayed")
                held.saw(End.OPENER)
                return held, False
            if self._stopping:
                raise NotNowError(AbortCode.STOPPING)
            partner = opener if answerer is None else answerer
            counts = Counter((session.answerer or session.opener).identity for session in self._live.values())
            if len(self._live) >= self._limits.sessions or counts[partner.identity] >= self._limits.sessions_per_partner:
                raise NotNowError(AbortCode.BUSY)
            session = Session(token, opener, answerer, digest, self._limits)
            self._live[token] = session
            return session, True

    def find(self, token: bytes, peer: Peer, method: str) -> tuple[Session, End]:
        """Return a session and which end of it the caller is.

        Raises:
            ChannelClosedError: there is no such session, or the caller has no part in it; the caller cannot tell which.
        """
        with self._changed:
            session = self._live.get(token) or self._ended.get(token)
        if session is None:
            raise ChannelClosedError("transport.session-unknown")
        end = session.end_of(peer)
        if end is None:
            self._observe("session.foreign", partner=peer.name, session=session.label, method=method)
            raise ChannelClosedError("transport.session-unknown")
        session.saw(end)
        return session, end

    def finish(self, session: Session) -> None:
        """Count a session no longer; keep it for repeated calls."""
        with self._changed:
            if self._live.pop(session.token, None) is not None:
                session.ended_at = time.monotonic()
                self._ended[session.token] = session
                while len(self._ended) > _ENDED_KEPT:
                    del self._ended[next(iter(self._ended))]
            self._changed.notify_all()

    def drain(self, seconds: float) -> bool:
        """Admit no more and wait for the running ones; return whether all ended in time."""
        until = time.monotonic() + seconds
        with self._changed:
            self._stopping = True
            while self._live:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            return True

    def stop_all(self) -> None:
        """End what still runs."""
        with self._changed:
            self._stopping = True
            running = list(self._live.values())
        for session in running:
            session.stop()

    def close(self) -> None:
        """Give up the reaper."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._reaper.join(5.0)

    @property
    def running(self) -> int:
        """Return how many sessions count against the limit."""
        with self._changed:
            return len(self._live)

    def _reap(self) -> None:
        bound = self._limits.peer_silence_seconds
        pause = max(bound / 10, 0.05)
        while True:
            with self._changed:
                if self._closed:
                    return
                self._changed.wait(pause)
                live = list(self._live.values())
                now = time.monotonic()
                for token in [token for token, held in self._ended.items() if now - (held.ended_at or now) > bound]:
                    del self._ended[token]
            for session in live:
                self._look_after(session, bound)

    def _look_after(self, session: Session, bound: float) -> None:
        if session.mailbox.over:
            session.refuse(NotNowError(AbortCode.CANCELLED))
        elif (silent := session.silent(bound)) is not None:
            session.lose(silent)
            partner = session.opener if silent is End.OPENER else session.answerer
            self._observe("session.silent", partner=partner.name if partner else "", session=session.label)
        # One that is answered here ends with its thread; a relayed one has none.
        if session.answerer is not None and (session.mailbox.over or session.refused is not None):
            self.finish(session)
