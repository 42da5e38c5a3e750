"""Going on with a match that broke off: what is kept of its shards, and when both sides may use it again.

A match of several shards keeps each side's part of every finished one (``psc.node.kept``). When the same is asked again, the
hello offers the shards that the initiator has, each by the hash that chains all messages up to its end; the responder goes on
after as many as it has too, with the same hashes, or starts the run anew. What is done anew is charged again, and a run is
taken up at most ``ATTEMPTS_MAX`` times.
"""

from __future__ import annotations

import hashlib
from itertools import takewhile

from psc import __version__
from psc.errors import AbortCode, AuthenticationError, CancelledError, PeerAbortedError, StorageError, TransportError
from psc.node import kept
from psc.node.clock import now, timestamp
from psc.node.home import Home
from psc.node.kept import Kept, KeptRun, Side
from psc.node.runs import is_running
from psc.operations.play import Play, RunShape
from psc.operations.prepare import OwnTable
from psc.protocols.shards import Keep, shard_bound
from psc.session.hello import ATTEMPTS_MAX, KEPT_SHARDS_MAX, Accept, Hello, Resumption, SessionId
from psc.session.session import Session

__all__ = ["begin_or_go_on", "can_go_on", "elements_charged", "keeper", "kept_by_initiator", "kept_by_responder", "offer"]

_PEER_MAY_RETURN = (AbortCode.CANCELLED, AbortCode.PEER_SILENT, AbortCode.STOPPING, AbortCode.BUSY, AbortCode.NO_SPACE)


def can_go_on(error: BaseException) -> bool:
    """Say whether a run that this ended may go on later.

    Not after a message that was refused, or a failure of the cryptography: what is then done anew would depend on the data.
    """
    if isinstance(error, PeerAbortedError):
        return error.abort_code in _PEER_MAY_RETURN
    lost = isinstance(error, TransportError) and not isinstance(error, AuthenticationError)
    return lost or isinstance(error, CancelledError | StorageError | KeyboardInterrupt)


def kept_by_initiator(home: Home, hello: Hello, responder_size: int, own: OwnTable) -> Kept | None:
    """Return what the initiator kept of the run that a hello would ask for again, the most of it; ``None`` when there is none.

    Args:
        home: the initiator's node.
        hello: what is asked; its run id and times do not matter.
        responder_size: the responder's padded size, as planned.
        own: the own table; its keys must be the same in the same order.
    """
    wanted = ("initiator", hello.responder, _terms(hello, responder_size))
    for run, _ in sorted(kept.kept_runs(home).values(), key=lambda found: -found[1]):
        if (run.side, run.partner, run.terms) != wanted or run.attempts >= ATTEMPTS_MAX or is_running(home, run.last_run_id):
            continue
        if own.keyed.items.digest(bytes.fromhex(run.split)).hex() != run.items:
            continue
        found = kept.load(home, run.run_id)
        if found is not None and (found.chain or found.damaged):
            return found
    return None


def elements_charged(initiator_size: int, shards: int, finished: int) -> int:
    """Return how many of the initiator's elements a run evaluates; of one that goes on, those of the shards done anew."""
    if not finished:
        return initiator_size
    return min((shards - finished) * shard_bound(initiator_size, shards), initiator_size)


def offer(found: Kept | None) -> Resumption | None:
    """Return what a hello says of what the initiator kept."""
    return Resumption(run_id=found.run.run_id, shards=tuple(found.chain)) if found is not None and found.chain else None


def kept_by_responder(home: Home, hello: Hello, responder_size: int) -> tuple[Kept, int] | None:
    """Return what the responder kept of the run that a hello offers to go on with, and after how many shards it can.

    ``None``: it starts anew, because nothing fits or the run was taken up often enough.
    """
    if hello.resumes is None:
        return None
    found = kept.load(home, hello.resumes.run_id)
    if found is None or found.run.attempts >= ATTEMPTS_MAX:
        return None
    if (found.run.side, found.run.partner, found.run.terms) != ("responder", hello.initiator, _terms(hello, responder_size)):
        return None
    both = zip(found.chain, hello.resumes.shards)
    finished = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], both))
    return (found, finished) if finished else None


def begin_or_go_on(
    home: Home, play: Play[object, object], hello: Hello, accept: Accept, found: Kept | None, own: OwnTable | None = None
) -> Kept | None:
    """Return where a run that was accepted keeps its shards; ``None`` when it has one, or too many.

    Args:
        home: the node.
        play: of the run.
        hello: as sent.
        accept: as answered.
        found: what is kept of the run that it goes on with.
        own: the initiator's table; ``None`` at the responder.

    Raises:
        StorageError: the disk refuses.
    """
    if found is not None and accept.finished:
        found.again(hello.run_id, accept.attempt, accept.finished)
        return found
    count = play.shard_count(RunShape.of(hello, accept))
    if not 1 < count <= KEPT_SHARDS_MAX:
        return None
    split, terms = SessionId(hello, accept).label, _terms(hello, accept.responder_size)
    side: Side = "responder" if own is None else "initiator"
    partner = hello.initiator if own is None else hello.responder
    for run, _ in kept.kept_runs(home).values():  # the run that starts takes the place of earlier ones of the same
        if (run.side, run.partner, run.terms) == (side, partner, terms) and not is_running(home, run.last_run_id):
            kept.drop(home, run.run_id)
    run = KeptRun(
        run_id=hello.run_id,
        last_run_id=hello.run_id,
        side=side,
        partner=partner,
        terms=terms,
        items="" if own is None else own.keyed.items.digest(split).hex(),
        split=split.hex(),
        shards=count,
        began_at=timestamp(now()),
    )
    return kept.begin(home, run)


def keeper(held: Kept | None, session: Session) -> Keep | None:
    """Return what a script needs to keep its shards and to go on after those that are kept.

    Args:
        held: where they are kept.
        session: whose messages are chained.
    """
    if held is None:
        return None

    def keep(number: int, part: bytes) -> None:
        seen = session.transcripts()
        held.keep(number, part, (seen["initiator-to-responder"], seen["responder-to-initiator"]))

    return Keep(bytes.fromhex(held.run.split), held.parts, keep)


def _terms(hello: Hello, responder_size: int) -> str:
    """Return a digest of all that must be the same in another attempt: what was agreed, and how this psc reads a table."""
    return hashlib.sha256(f"psc/v1/kept-terms\n{hello.terms()}\n{responder_size}\n{__version__}".encode()).hexdigest()
