"""The initiator's side: say hello with what the plan showed, play its part, and keep the receipt."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psc.audit.receipt import SignedReceipt
from psc.crypto import Rng, prepare_memory
from psc.data.compute import load_soon
from psc.data.kinds import RULES_ID
from psc.data.memory import give_back
from psc.errors import AbortCode, AuthenticationError, LocalProtocolError, ParameterMismatchError
from psc.node.certificates import own_certificate_digest
from psc.node.clock import now, timestamp
from psc.node.home import Home
from psc.node.identity import verify
from psc.node.kept import Kept
from psc.node.own import own_card
from psc.node.runs import keep_receipt, start_run
from psc.node.trust import Partner
from psc.operations.plan import Plan, too_small
from psc.operations.play import Basis, RunShape
from psc.operations.progress import Cancel, ProgressCallback, Tracker
from psc.operations.results import Ended, Result
from psc.operations.resume import begin_or_go_on, can_go_on, keeper, kept_by_initiator, offer
from psc.operations.running import Clock, record_end, record_failure, stoppable
from psc.operations.software import PROTOCOLS
from psc.operations.terms import leakage_for, play_of, receipt_of_run
from psc.protocols.base import Script
from psc.session.channel import Channel
from psc.session.drive import drive
from psc.session.hello import PROTOCOL_SERIES, Accept, Hello, SessionId
from psc.session.session import Session

__all__ = ["Asking", "Open", "Tap"]

Open = Callable[[bytes, bytes, Cancel], tuple[bytes, bytes, Channel]]
"""Carries a signed hello to the partner; returns the accept, its signature and the session's channel."""

Tap = Callable[[str, bytes], None]

_RUN_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no letter that reads like a digit


@dataclass(frozen=True)
class Asking:
    """Runs plans against one partner.

    Attributes:
        home: the own node.
        partner: whom we ask.
        open: carries a hello there.
        tap: sees every plaintext frame, for tests that search a recorded run.
    """

    home: Home
    partner: Partner
    open: Open
    tap: Tap | None = None

    def run(self, plan: Plan, progress: ProgressCallback | None, cancel: Cancel | None) -> Result:
        """Carry out a plan; see ``Plan.run``."""
        cancel = cancel or Cancel()
        clock, run_id = Clock(), "".join(secrets.choice(_RUN_ID_ALPHABET) for _ in range(26))
        tracker = Tracker(plan.work, progress)
        tracker.stage("connecting")
        hello = self._hello(plan, run_id)
        start_run(
            self.home,
            run_id=run_id,
            direction="initiator",
            partner=self.partner.name,
            operation=plan.request.OPERATION,
            dataset=plan.dataset,
            purpose=plan.request.purpose,
            protocol=plan.protocol,
            own_size=plan.own_size,
            partner_size=plan.partner_size,
        )
        channel: Channel | None = None
        try:
            if plan.shape is not None:
                # While the partner judges the hello; what reading our table took is given back before, where it was much.
                give_back(plan.own_size)
                prepare_memory(play_of(plan.shape).buffer_bytes(plan.shape))
            load_soon()
            signature = bytes.fromhex(self.home.identity.sign(hello))
            accepted, accept_signature, channel = self.open(hello.canonical(), signature, cancel)
            cancel.on_set(_aborter(channel))
            with stoppable(self.home, run_id, channel):
                accept = self._check_accept(plan, hello, accepted, accept_signature)
                play = play_of(RunShape.of(hello, accept))
                plan.kept = begin_or_go_on(self.home, play, hello, accept, plan.kept, plan.own)
                played = self._play(plan, hello, accept, channel, tracker, cancel, clock)
        except BaseException as error:
            if channel is not None:
                _abort(channel, error)
                plan.drop_kept(unless=can_go_on(error))
            record_failure(self.home, run_id, error, clock.stats(channel))
            raise
        finally:
            if channel is not None:
                channel.close()
        # Only now, when the partner has seen the last of this run: whether a result is refused depends on what is common, and
        # a run that ended in another way, or later, would tell the partner.
        plan.drop_kept()
        plan.own = None if plan.own is None else plan.own.without_items()
        give_back(plan.own_size)
        try:
            result = _result(plan, played)
        except BaseException as error:
            record_failure(self.home, run_id, error, played.ended.stats)
            raise
        # Of an aggregate by groups the plan knows only the most that the partner's set can be.
        record_end(self.home, run_id, "finished", result.stats, partner_size=accept.responder_size)
        tracker.stage("done")
        return result

    def kept(self, plan: Plan) -> Kept | None:
        """Return what is kept of an earlier attempt at this plan."""
        if plan.shape is None or plan.own is None or play_of(plan.shape).shard_count(plan.shape) == 1:
            return None
        return kept_by_initiator(self.home, self._hello(plan, "0" * 26), plan.partner_size, plan.own)

    def _hello(self, plan: Plan, run_id: str) -> Hello:
        if plan.entry is None or plan.shape is None:
            raise LocalProtocolError("operations.plan-used")
        spec, shape = PROTOCOLS[plan.protocol], plan.shape
        return Hello(
            series=PROTOCOL_SERIES,
            suite=spec.suite,
            protocol=spec.id,
            protocol_version=spec.version,
            run_id=run_id,
            operation=plan.request.OPERATION,
            purpose=plan.request.purpose,
            initiator=self.home.identity.public,
            initiator_name=own_card(self.home).card.name,
            responder=self.partner.identity,
            responder_name=self.partner.name,
            initiator_role="sender" if shape.exchanged else "receiver",
            certificate=own_certificate_digest(self.home),
            nonce=secrets.token_hex(32),
            dataset=plan.dataset,
            dataset_version=plan.entry.dataset_version,
            agreement=plan.entry.agreement_digest,
            keys=plan.keys,
            released=plan.released,
            rows_per_key=plan.rows_per_key,
            output_to=plan.request.output_to,
            minimum_result=plan.minimum_result,
            model=shape.model,
            noise=shape.noise,
            aggregate=shape.aggregate,
            rules=RULES_ID,
            number_metadata=plan.entry.number_metadata,
            initiator_sizes=tuple(stage.sizes[0] for stage in shape.stages),
            resumes=offer(plan.kept) if shape.finished else None,
            sent_at=timestamp(now()),
        )

    def _check_accept(self, plan: Plan, hello: Hello, accepted: bytes, signature: bytes) -> Accept:
        accept = Accept.parse(accepted)
        verify(accept, signature.hex(), self.partner.identity)
        if accept.hello != hello.digest():
            raise AuthenticationError("operations.accept-other-hello", partner=self.partner.name)
        offered = 0 if hello.resumes is None else len(hello.resumes.shards)
        attempts = 1 if plan.kept is None or not accept.finished else plan.kept.run.attempts + 1
        if accept.attempt < attempts:
            raise ParameterMismatchError(
                "operations.versions-differ", what="attempts", ours=attempts, theirs=accept.attempt, software="-"
            )
        if accept.finished > offered:
            raise ParameterMismatchError(
                "operations.versions-differ", what="finished shards", ours=offered, theirs=accept.finished, software="-"
            )
        if plan.shape is None:
            raise LocalProtocolError("operations.plan-used")
        play, planned, offers = play_of(plan.shape), plan.shape.stages, len(accept.responder_sizes)
        stages = RunShape.of(hello, accept).stages if offers == len(planned) else ()
        sizes = zip(stages, planned)  # no pair when the partner has another number of keys
        if not stages or not all(play.accepts(stage, shown.sizes[1]) for stage, shown in sizes):
            # The plan showed the size; another one would mean other bytes, other leakage, perhaps more than we can hold.
            raise ParameterMismatchError(
                "operations.size-differs", partner=self.partner.name, planned=plan.partner_size, offered=accept.responder_size
            )
        return accept

    def _play(
        self,
        plan: Plan,
        hello: Hello,
        accept: Accept,
        channel: Channel,
        tracker: Tracker,
        cancel: Cancel,
        clock: Clock,
    ) -> _Played:
        """Carry the run out with the partner, to the exchanged receipt."""
        identity = SessionId(hello, accept)
        session = Session(
            channel,
            identity,
            "initiator",
            self.home.identity.sign,
            lambda document, signature: verify(document, signature, self.partner.identity),
            self.tap,
        )
        session.confirm()
        tracker.stage("computing")
        if plan.own is None:
            raise LocalProtocolError("operations.plan-used")
        shape = RunShape.of(hello, accept)
        play = play_of(shape)
        script = play.ask(shape, plan.own, Basis(identity.label, Rng.system(), keeper(plan.kept, session)))
        asked = self._compute(script, session, tracker, cancel)
        tracker.stage("finishing")
        # Before the receipt: what does not decode ends the run on both sides, unsigned.
        read = play.read(shape, asked)
        receipt = receipt_of_run(hello, accept, identity, session.transcripts())
        mine, theirs = session.exchange_receipt(receipt)
        signed = SignedReceipt(receipt, mine, theirs)
        keep_receipt(self.home, hello.run_id, signed.to_json())
        return _Played(shape, asked, read, Ended(hello.run_id, signed, clock.stats(channel), leakage_for(hello, accept)))

    def _compute(self, script: Script[Any], session: Session, tracker: Tracker, cancel: Cancel) -> Any:
        return drive(script, session, on_work=tracker.add, check=cancel.check)


@dataclass(frozen=True, repr=False)
class _Played:
    """A run of which nothing more is sent: its shape, the output of the own script, what was read of it, and how it ended."""

    shape: RunShape
    asked: Any
    read: object
    ended: Ended


def _result(plan: Plan, played: _Played) -> Result:
    """Return the result of a run.

    Raises:
        PolicyDeniedError: fewer keys are common than may be told.
    """
    if plan.own is None:
        raise LocalProtocolError("operations.plan-used")
    play = play_of(played.shape)
    common = play.common(played.asked)
    refusal = None if common is None else too_small(plan, common)
    if refusal is not None:
        raise refusal
    return play.result(plan.request, played.shape, plan.own, played.asked, played.read, played.ended)


def _aborter(channel: Channel) -> Callable[[], None]:
    return lambda: channel.abort(AbortCode.CANCELLED)


def _abort(channel: Channel, error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        channel.abort(AbortCode.CANCELLED)
    else:
        channel.abort(getattr(error, "abort_code", AbortCode.INTERNAL))
