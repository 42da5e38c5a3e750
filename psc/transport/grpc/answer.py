"""Answering by dialling out: wait at the partner's listener for its questions and answer them from here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from psc._proto.psc.v1 import peer_pb2
from psc.errors import AbortCode, CancelledError, MalformedMessageError, PscError
from psc.session.limits import Limits
from psc.transport.aborts import peer_aborted
from psc.transport.grpc.connection import Connection, SessionCalls, bounded
from psc.transport.grpc.status import refusal_of
from psc.transport.handler import Answer, Handler, Observer, Peer, run_session, where
from psc.transport.mailbox import End, LocalChannel, Mailbox
from psc.transport.patience import Interrupted, Patience
from psc.transport.pump import PumpChannel

__all__ = ["Wait", "answer_questions"]

Wait = Callable[[bytes, threading.Event], tuple[peer_pb2.AwaitResponse, Connection]]
"""Waits once for a question: takes the id of the last one received; returns the reply and the connection that it came by."""

_LONGEST_PAUSE_SECONDS = 30.0
_IDLE_PAUSE_SECONDS = 0.01
_CROWDED_PAUSE_SECONDS = 0.5
_REMEMBERED = 1024
_Kind = peer_pb2.Question.Kind


def answer_questions(
    wait: Wait,
    limits: Limits,
    handler: Handler,
    stop: threading.Event,
    peer: Peer,
    drain_seconds: float,
    observe: Observer,
) -> None:
    """See ``Link.answer``."""
    desk = _Desk(limits, handler, peer, observe)
    received = b""
    met = False
    pause = 0.1
    while not stop.is_set():
        try:
            reply, connection = wait(received, stop)
        except CancelledError:
            break
        except PscError as error:
            if not met:
                raise
            observe("waiting.failed", code=error.code, partner=peer.name)
            stop.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            continue
        if not met:
            observe("waiting.started", partner=peer.name)
        met, pause = True, 0.1
        if reply.HasField("question"):
            if desk.take(reply.question, connection):
                received = reply.question.id
            else:
                stop.wait(_CROWDED_PAUSE_SECONDS)
        else:
            stop.wait(_IDLE_PAUSE_SECONDS)
    desk.drain(drain_seconds)
    observe("waiting.stopped", partner=peer.name)


class _Desk:
    """Questions being answered, a thread each."""

    def __init__(self, limits: Limits, handler: Handler, peer: Peer, observe: Observer) -> None:
        self._limits, self._handler, self._peer, self._observe = limits, handler, peer, observe
        self._lock = threading.Lock()
        self._running: dict[bytes, PumpChannel | None] = {}
        self._threads: set[threading.Thread] = set()
        self._seen: dict[bytes, None] = {}
        self._stopping = False

    def take(self, question: peer_pb2.Question, connection: Connection) -> bool:
        """Begin to answer a question, once however often it is given; return false when it should be given again later."""
        with self._lock:
            if question.id in self._seen:
                return True
            if len(self._threads) >= 4 * self._limits.sessions_per_partner:
                return False
            self._seen[question.id] = None
            if len(self._seen) > _REMEMBERED:
                del self._seen[next(iter(self._seen))]
            busy = len(self._running) >= self._limits.sessions_per_partner
            self._running[question.id] = None
            target = self._refuse_busy if busy else self._answer
            name = f"psc-answer-{question.id.hex()[:8]}"
            thread = threading.Thread(target=self._guarded, args=(target, question, connection), name=name, daemon=True)
            self._threads.add(thread)
        thread.start()
        return True

    def drain(self, seconds: float) -> None:
        """Let running sessions finish; end those that take longer."""
        until = time.monotonic() + seconds
        for thread in self._snapshot():
            thread.join(max(until - time.monotonic(), 0.0))
        with self._lock:
            self._stopping = True
            channels = [channel for channel in self._running.values() if channel is not None]
        for channel in channels:
            channel.abort(AbortCode.STOPPING)
        for thread in self._snapshot():
            thread.join(2.0)

    def _snapshot(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._threads)

    def _guarded(
        self, target: Callable[[peer_pb2.Question, Connection], None], question: peer_pb2.Question, connection: Connection
    ) -> None:
        try:
            target(question, connection)
        except (PscError, Interrupted) as error:
            self._observe("question.failed", code=getattr(error, "code", "transport.interrupted"), partner=self._peer.name)
        except BaseException as error:  # noqa: BLE001 - a thread's last line of defence
            self._observe("question.failed", code="internal", where=where(error), partner=self._peer.name)
        finally:
            with self._lock:
                self._running.pop(question.id, None)
                self._threads.discard(threading.current_thread())

    def _refuse_busy(self, question: peer_pb2.Question, connection: Connection) -> None:
        busy = peer_aborted(AbortCode.BUSY)
        self._reply(connection, peer_pb2.AnswerRequest(question=question.id, refusal=refusal_of(busy)))
        self._observe("question.refused", code="busy", partner=self._peer.name)

    def _answer(self, question: peer_pb2.Question, connection: Connection) -> None:
        reply = peer_pb2.AnswerRequest(question=question.id)
        answer: Answer | None = None
        try:
            if question.kind == _Kind.KIND_STATUS:
                reply.document = self._handler.status(self._peer)
            elif question.kind == _Kind.KIND_CATALOGUE:
                reply.document = self._handler.catalogue(self._peer, question.announcement)
            elif question.kind == _Kind.KIND_OPEN:
                answer = self._handler.open(self._peer, question.hello, question.signature)
                reply.document, reply.signature = answer.accept, answer.signature
            else:
                reply.refusal.CopyFrom(refusal_of(MalformedMessageError("transport.reply-malformed", call="Await")))
        except PscError as error:
            reply.refusal.CopyFrom(refusal_of(error))
            self._observe("question.refused", code=error.code, partner=self._peer.name)
        except Exception as error:  # noqa: BLE001 - the handler's bug must not end the waiting
            reply.refusal.CopyFrom(refusal_of(PscError("transport.internal")))
            self._observe("question.refused", code="internal", where=where(error), partner=self._peer.name)
        try:
            self._reply(connection, reply)
            limits = bounded(self._limits, question.bounds) if answer is not None else self._limits
        except PscError as error:
            if answer is not None:
                self._give_up(answer, question.id, error)
            raise
        if answer is not None:
            self._run(answer, question.id, PumpChannel(SessionCalls(connection, question.id), limits, name=question.id.hex()[:8]))

    def _give_up(self, answer: Answer, session: bytes, error: PscError) -> None:
        """Let a session end that was accepted here but never heard of there, so that its run does not stay open for ever."""
        mailbox = Mailbox(self._limits)
        mailbox.end({End.OPENER: error, End.ANSWERER: error})
        marks = self._marks(answer, session)
        channel = LocalChannel(mailbox, End.ANSWERER, linger_seconds=0.0)
        run_session(answer, channel, lambda event, **fields: self._observe(event, **marks, **fields))

    def _run(self, answer: Answer, session: bytes, channel: PumpChannel) -> None:
        with self._lock:
            self._running[session] = channel
            late = self._stopping
        if late:
            channel.abort(AbortCode.STOPPING)
        marks = self._marks(answer, session)
        self._observe("session.accepted", **marks)
        run_session(answer, channel, lambda event, **fields: self._observe(event, **marks, **fields))

    def _marks(self, answer: Answer, session: bytes) -> dict[str, object]:
        return {"run": answer.run_id, "session": session.hex()[:8], "partner": self._peer.name}

    def _reply(self, connection: Connection, reply: peer_pb2.AnswerRequest) -> None:
        patience = Patience(self._limits.reconnect_seconds, threading.Event())
        patience.call(lambda: connection.call("Answer", reply, peer_pb2.AnswerResponse))
