"""Questions for partners that have no inbound port: they wait here, and this node's own processes ask them through us."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from psc._proto.psc.v1 import peer_pb2
from psc.errors import AbortCode, ChannelClosedError
from psc.server.refusal import NotNowError
from psc.session.limits import Limits
from psc.transport.handler import Peer
from psc.transport.mailbox import Turn

__all__ = ["Asked", "Relay"]


class Asked:
    """A question on its way: what is asked, of whom, and the answer once it came.

    Args:
        question: as the partner gets it.
        alive: whether anybody still wants the answer.
        on_answer: called with the answer, in the thread of the partner's call.
    """

    def __init__(
        self,
        question: peer_pb2.Question,
        alive: Callable[[], bool],
        on_answer: Callable[[peer_pb2.AnswerRequest], None],
    ) -> None:
        self.question, self.alive, self.on_answer = question, alive, on_answer


class _Line:
    """The questions for one partner."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.waiting: deque[Asked] = deque()
        self.open: dict[bytes, Asked] = {}
        self.answered: deque[bytes] = deque(maxlen=256)
        self.turn: Turn | None = None
        self.seen = time.monotonic()


class Relay:
    """The lines of all partners that wait here.

    Args:
        limits: how many questions may wait, and when a partner counts as gone.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._changed = threading.Condition()
        self._lines: dict[str, _Line] = {}

    def waiting(self, identity: str) -> Peer:
        """Return the partner that waits here under an identity.

        Raises:
            NotNowError: it does not.
        """
        with self._changed:
            line = self._lines.get(identity)
        if line is None or not self.present(identity):
            raise NotNowError(AbortCode.PEER_SILENT)
        return line.peer

    def present(self, identity: str) -> bool:
        """Return whether a partner waits here now, or did a moment ago: between two calls it is away for an instant."""
        with self._changed:
            line = self._lines.get(identity)
            grace = self._limits.peer_silence_seconds / 3
            return line is not None and (line.turn is not None or time.monotonic() - line.seen <= grace)

    def ask(self, identity: str, asked: Asked) -> None:
        """Put a question to a partner that waits.

        Raises:
            NotNowError: the partner does not wait here, or has too many questions open.
        """
        self.waiting(identity)
        with self._changed:
            line = self._lines[identity]
            for question in [key for key, held in line.open.items() if not held.alive()]:
                del line.open[question]
            if len(line.open) >= 4 * self._limits.sessions_per_partner:
                raise NotNowError(AbortCode.BUSY)
            line.open[asked.question.id] = asked
            line.waiting.append(asked)
            self._changed.notify_all()

    def ask_and_wait(self, identity: str, question: peer_pb2.Question) -> peer_pb2.AnswerRequest:
        """Put a question and return its answer.

        Raises:
            NotNowError: the partner does not wait here, or did not answer in time.
        """
        came = threading.Event()
        answers: list[peer_pb2.AnswerRequest] = []
        turn = Turn(self._limits.poll_seconds)

        def take(answer: peer_pb2.AnswerRequest) -> None:
            answers.append(answer)
            came.set()

        self.ask(identity, Asked(question, lambda: turn.left() != 0.0, take))
        if not came.wait(self._limits.poll_seconds):
            raise NotNowError(AbortCode.PEER_SILENT)
        return answers[0]

    def wait(self, peer: Peer, received: bytes, turn: Turn) -> peer_pb2.Question | None:
        """Return the next question for a partner; wait for it. One that was not confirmed is given again.

        Args:
            peer: who waits.
            received: id of the last question that it got.
            turn: how long to wait.
        """
        with self._changed:
            line = self._lines.setdefault(peer.identity, _Line(peer))
            if line.turn is not None:
                line.turn.stopped = True
            line.peer, line.turn, line.seen = peer, turn, time.monotonic()
            self._changed.notify_all()
            try:
                while True:
                    while line.waiting and (line.waiting[0].question.id == received or not line.waiting[0].alive()):
                        line.waiting.popleft()
                    if line.waiting:
                        return line.waiting[0].question
                    left = turn.left()
                    if left == 0.0:
                        return None
                    self._changed.wait(left)
            finally:
                line.seen = time.monotonic()
                if line.turn is turn:
                    line.turn = None

    def stop(self, turn: Turn) -> None:
        """Make a waiting call return; its caller is gone."""
        with self._changed:
            turn.stopped = True
            self._changed.notify_all()

    def stop_all(self) -> None:
        """Make every waiting call return."""
        with self._changed:
            for line in self._lines.values():
                if line.turn is not None:
                    line.turn.stopped = True
            self._changed.notify_all()

    def answer(self, peer: Peer, answer: peer_pb2.AnswerRequest) -> None:
        """Take a partner's answer; the same again does no harm.

        Raises:
            ChannelClosedError: nobody waits for it (any more).
        """
        with self._changed:
            line = self._lines.get(peer.identity)
            if line is not None and answer.question in line.answered:
                return
            asked = line.open.pop(answer.question, None) if line is not None else None
            if line is None or asked is None or not asked.alive():
                raise ChannelClosedError("transport.session-unknown")
            line.answered.append(answer.question)
        asked.on_answer(answer)
