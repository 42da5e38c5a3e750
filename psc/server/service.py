"""The calls of ``PeerService``: parse, find who calls and what it is about, hand on, answer. No judgement is made here."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from secrets import token_bytes
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from psc._proto.psc.v1 import peer_pb2
from psc.errors import AbortCode, AuthenticationError, MalformedMessageError, PolicyDeniedError, PscError
from psc.server.callers import Callers
from psc.server.refusal import CrowdedError, NotNowError
from psc.server.relay import Asked, Relay
from psc.server.sessions import Session, Sessions
from psc.session.channel import FrameBytes, frame_digest
from psc.session.limits import Limits
from psc.transport.grpc.connection import SERVICE, SESSION_BYTES, bounds_of
from psc.transport.grpc.status import REFUSAL_KEY, abort_code_of, error_of_refusal, refusal_of, status_of
from psc.transport.handler import Handler, Observer, Peer, run_session, where
from psc.transport.mailbox import End, Frame, LocalChannel, Turn

__all__ = ["PeerService"]

_Kind = peer_pb2.Question.Kind
Call = Callable[[Peer, Any, Any], Message]


class PeerService:
    """Serves one node's partners.

    Args:
        handler: what answers.
        callers: who calls.
        sessions: the table of sessions.
        relay: partners that wait here.
        own_identity: this node's.
        limits: bounds.
        observe: hears of events.
    """

    def __init__(
        self,
        handler: Handler,
        callers: Callers,
        sessions: Sessions,
        relay: Relay,
        own_identity: str,
        limits: Limits,
        observe: Observer,
    ) -> None:
        self._handler, self._callers, self._sessions, self._relay = handler, callers, sessions, relay
        self._own, self._limits, self._observe = own_identity, limits, observe

    def generic_handler(self) -> Any:
        """Return the service for ``grpc.Server.add_generic_rpc_handlers``."""
        calls: dict[str, Call] = {
            "Status": self.status,
            "Catalogue": self.catalogue,
            "Open": self.open,
            "Push": self.push,
            "Pull": self.pull,
            "Abort": self.abort,
            "Await": self.wait,
            "Answer": self.answer,
        }
        methods = {
            method.name: grpc.unary_unary_rpc_method_handler(self._served(method, calls[method.name]))
            for method in SERVICE.methods
        }
        return grpc.method_handlers_generic_handler(SERVICE.full_name, methods)

    def _served(self, method: Any, call: Call) -> Callable[[bytes, Any], bytes]:
        request_class: type[Message] = getattr(peer_pb2, method.input_type.name)

        def serve(data: bytes, context: Any) -> bytes:
            partner = ""
            error: PscError
            try:
                peer = self._callers.identify(context)
                partner = peer.name
                with self._callers.counted(peer):
                    return call(peer, _parse(request_class, data), context).SerializeToString()
            except CrowdedError:
                self._observe("call.refused", code="crowded", method=method.name, partner=partner)
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls")
            except PscError as raised:
                error = raised
            except Exception as raised:  # noqa: BLE001 - a bug here must not reach the caller as a text
                self._observe("call.crashed", code="internal", method=method.name, partner=partner, where=where(raised))
                error = PscError("transport.internal")
            if isinstance(error, AuthenticationError | MalformedMessageError):
                self._observe("call.refused", code=error.code, method=method.name, partner=partner)
            context.set_trailing_metadata(((REFUSAL_KEY, refusal_of(error).SerializeToString()),))
            context.abort(status_of(error), str(error.abort_code))
            raise AssertionError("context.abort raises")

        return serve

    # -- questions --------------------------------------------------------------------------------------------------------

    def status(self, peer: Peer, request: peer_pb2.StatusRequest, _context: Any) -> Message:
        """Who is there."""
        partner = self._asked(peer, request.to)
        if partner is None:
            return peer_pb2.StatusResponse(document=self._handler.status(peer))
        return peer_pb2.StatusResponse(document=self._ask(partner, _Kind.KIND_STATUS))

    def catalogue(self, peer: Peer, request: peer_pb2.CatalogueRequest, _context: Any) -> Message:
        """What is granted to the caller."""
        partner = self._asked(peer, request.to)
        if partner is None:
            return peer_pb2.CatalogueResponse(document=self._handler.catalogue(peer, request.announcement))
        return peer_pb2.CatalogueResponse(document=self._ask(partner, _Kind.KIND_CATALOGUE, request.announcement))

    def open(self, peer: Peer, request: peer_pb2.OpenRequest, context: Any) -> Message:
        """Begin a session, or say how far its judgement is."""
        if len(request.session) != SESSION_BYTES:
            raise MalformedMessageError("transport.request-malformed", call="Open")
        partner = self._asked(peer, request.to)
        session, new = self._sessions.admit(request.session, peer, partner, _digest(request))
        if new:
            self._begin(session, request)
        if not session.decided.wait(self._patience(context)):
            return peer_pb2.OpenResponse(pending=True)
        session.saw(End.OPENER)
        if session.refused is not None:
            raise session.refused.with_traceback(None)
        return peer_pb2.OpenResponse(accept=session.accept, signature=session.signature, bounds=bounds_of(self._limits))

    # -- frames -----------------------------------------------------------------------------------------------------------

    def push(self, peer: Peer, request: peer_pb2.PushRequest, context: Any) -> Message:
        """Take frames."""
        session, end, turn = self._turn(peer, request.session, "Push", context)
        # One more than a window is enough to be refused; a call may hold half a million empty frames, which cost nothing to send.
        few = request.frames[: self._limits.window_frames + 1]
        frames = tuple(Frame(FrameBytes(frame.payload), frame.digest) for frame in few)
        accepted = session.mailbox.push(end, request.first, frames, turn, received=request.received, closing=request.closing)
        return peer_pb2.PushResponse(accepted=accepted)

    def pull(self, peer: Peer, request: peer_pb2.PullRequest, context: Any) -> Message:
        """Give frames."""
        session, end, turn = self._turn(peer, request.session, "Pull", context)
        pulled = session.mailbox.pull(end, request.first, request.count, turn, received=request.received)
        reply = peer_pb2.PullResponse(closed=pulled.total is not None, total=pulled.total or 0)
        for frame in pulled.frames:
            reply.frames.add(digest=frame.digest or frame_digest(frame.payload), payload=frame.payload)
        return reply

    def abort(self, peer: Peer, request: peer_pb2.AbortRequest, _context: Any) -> Message:
        """End a session."""
        session, end = self._sessions.find(request.session, peer, "Abort")
        code = abort_code_of(request.code)
        session.mailbox.abort(end, code)
        self._observe("session.aborted", code=str(code), partner=peer.name, session=session.label)
        return peer_pb2.AbortResponse()

    # -- partners that wait here ------------------------------------------------------------------------------------------

    def wait(self, peer: Peer, request: peer_pb2.AwaitRequest, context: Any) -> Message:
        """Let a partner wait for questions."""
        turn = Turn(self._patience(context))
        context.add_callback(lambda: self._relay.stop(turn))
        question = self._relay.wait(peer, request.received, turn)
        return peer_pb2.AwaitResponse(question=question)

    def answer(self, peer: Peer, request: peer_pb2.AnswerRequest, _context: Any) -> Message:
        """Take a partner's answer to a question."""
        self._relay.answer(peer, request)
        return peer_pb2.AnswerResponse()

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _asked(self, peer: Peer, to: str) -> Peer | None:
        """Return the partner that a question is for, ``None`` when it is for this node.

        Raises:
            NotNowError: it does not wait here; and always for callers that are not processes of this node.
        """
        if to in ("", self._own):
            return None
        if peer.identity != self._own:
            self._observe("relay.refused", partner=peer.name)
            raise NotNowError(AbortCode.PEER_SILENT)
        return self._relay.waiting(to)

    def _ask(self, partner: Peer, kind: peer_pb2.Question.Kind.ValueType, announcement: bytes = b"") -> bytes:
        question = peer_pb2.Question(id=token_bytes(SESSION_BYTES), kind=kind, announcement=announcement)
        answer = self._relay.ask_and_wait(partner.identity, question)
        if answer.HasField("refusal"):
            raise error_of_refusal(answer.refusal)
        return answer.document

    def _patience(self, context: Any) -> float:
        """Return how long a call may wait here: less than its caller does, whatever deadline that has."""
        left = context.time_remaining()
        return self._limits.poll_seconds if left is None else max(min(self._limits.poll_seconds, 0.8 * left), 0.0)

    def _turn(self, peer: Peer, token: bytes, method: str, context: Any) -> tuple[Session, End, Turn]:
        session, end = self._sessions.find(token, peer, method)
        turn = Turn(self._patience(context))

        def ended() -> None:
            session.saw(end)
            session.mailbox.stop(turn)

        context.add_callback(ended)
        return session, end, turn

    def _begin(self, session: Session, request: peer_pb2.OpenRequest) -> None:
        if session.answerer is None:
            arguments = (session, request.hello, request.signature)
            threading.Thread(target=self._serve, args=arguments, name=f"psc-session-{session.label}", daemon=True).start()
        else:
            self._pass_on(session, session.answerer, request)

    def _serve(self, session: Session, hello: bytes, signature: bytes) -> None:
        """Judge the hello and play this node's part, in the session's own thread."""
        marks: dict[str, object] = {"partner": session.opener.name, "session": session.label}
        try:
            answer = self._handler.open(session.opener, hello, signature)
        except PscError as error:
            session.refuse(error)
            rule = str(error.rule) if isinstance(error, PolicyDeniedError) else ""
            run = str(error.fields.get("run_id", ""))
            self._observe("session.refused", code=error.code, rule=rule, **{**marks, "run": run})
        except BaseException as error:  # noqa: BLE001 - a thread's last line of defence
            session.refuse(PscError("transport.internal"))
            self._observe("session.crashed", code="internal", where=where(error), **marks)
        else:
            marks["run"] = answer.run_id
            session.accepted(answer.accept, answer.signature)
            self._observe("session.accepted", **marks)
            linger = self._limits.peer_silence_seconds
            channel = LocalChannel(session.mailbox, End.ANSWERER, linger_seconds=linger)
            run_session(answer, channel, lambda event, **fields: self._observe(event, **marks, **fields))
        finally:
            self._sessions.finish(session)

    def _pass_on(self, session: Session, partner: Peer, request: peer_pb2.OpenRequest) -> None:
        question = peer_pb2.Question(
            id=session.token,
            kind=_Kind.KIND_OPEN,
            hello=request.hello,
            signature=request.signature,
            bounds=bounds_of(self._limits),
        )

        def take(answer: peer_pb2.AnswerRequest) -> None:
            if answer.HasField("refusal"):
                session.refuse(error_of_refusal(answer.refusal))
            else:
                session.accepted(answer.document, answer.signature)
            self._observe("relay.answered", partner=partner.name, session=session.label)

        session.answerer_waits = lambda: self._relay.present(partner.identity)
        try:
            self._relay.ask(partner.identity, Asked(question, lambda: session.refused is None and not session.mailbox.over, take))
        except PscError as error:
            session.refuse(error)


def _parse(kind: type[Message], data: bytes) -> Message:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise MalformedMessageError("transport.request-malformed", call=kind.__name__.removesuffix("Request")) from None


def _digest(request: peer_pb2.OpenRequest) -> bytes:
    """Return what tells a repeated request from another one under the same session."""
    digest = hashlib.sha256()
    for part in (request.to.encode(), request.hello, request.signature):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
