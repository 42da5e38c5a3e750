"""The initiator's side: say hello with what the plan showed, play the receiver, and keep the receipt."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from psc.audit.receipt import SignedReceipt
from psc.crypto import Rng
from psc.data.kinds import RULES_ID
from psc.data.release import RowLayout
from psc.errors import AbortCode, AuthenticationError, LocalProtocolError, ParameterMismatchError
from psc.node.certificates import own_certificate_digest
from psc.node.clock import now, timestamp
from psc.node.home import Home
from psc.node.identity import verify
from psc.node.own import own_card
from psc.node.runs import keep_receipt, start_run
from psc.node.trust import Partner
from psc.operations.plan import Plan, too_small
from psc.operations.progress import Cancel, ProgressCallback, Tracker
from psc.operations.results import CountResult, MatchResult, ReleasedRows, Result, RunStats, join_rows
from psc.operations.running import Clock, record_end, record_failure, stoppable
from psc.operations.status import PROTOCOLS
from psc.operations.terms import count_params, leakage_for, match_params, receipt_of_run, work_items
from psc.protocols import dh_psi, dh_psi_count
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
        tracker = Tracker(work_items(plan.request.OPERATION, plan.own_size, plan.partner_size)[0], progress)
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
            signature = bytes.fromhex(self.home.identity.sign(hello))
            accepted, accept_signature, channel = self.open(hello.canonical(), signature, cancel)
            cancel.on_set(_aborter(channel))
            with stoppable(self.home, run_id, channel):
                accept = self._check_accept(plan, hello, accepted, accept_signature)
                result = self._play(plan, hello, accept, channel, tracker, cancel, clock)
        except BaseException as error:
            if channel is not None:
                _abort(channel, error)
            record_failure(self.home, run_id, error, clock.stats(channel))
            raise
        finally:
            if channel is not None:
                channel.close()
        record_end(self.home, run_id, "finished", result.stats)
        tracker.stage("done")
        return result

    def _hello(self, plan: Plan, run_id: str) -> Hello:
        if plan.entry is None:
            raise LocalProtocolError("operations.plan-used")
        spec = PROTOCOLS[plan.protocol]
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
            initiator_role="receiver",
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
            rules=RULES_ID,
            number_metadata=plan.entry.number_metadata,
            initiator_size=plan.own_size,
            shard=0,
            attempt=1,
            sent_at=timestamp(now()),
        )

    def _check_accept(self, plan: Plan, hello: Hello, accepted: bytes, signature: bytes) -> Accept:
        accept = Accept.parse(accepted)
        verify(accept, signature.hex(), self.partner.identity)
        if accept.hello != hello.digest():
            raise AuthenticationError("operations.accept-other-hello", partner=self.partner.name)
        if accept.responder_size != plan.partner_size:
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
    ) -> Result:
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
        output = self._receive(plan, hello, accept, session, tracker, cancel)
        tracker.stage("finishing")
        # Before the receipt: released rows that do not decode end the run on both sides, unsigned.
        released = _released(hello, output)
        receipt = receipt_of_run(hello, accept, identity, session.transcripts())
        mine, theirs = session.exchange_receipt(receipt)
        signed = SignedReceipt(receipt, mine, theirs)
        keep_receipt(self.home, hello.run_id, signed.to_json())
        common = output.common if isinstance(output, dh_psi_count.Count) else len(output.matched)
        refusal = too_small(plan, common or 0)
        if refusal is not None:
            raise refusal
        return _result(plan, hello, accept, output, released, signed, clock.stats(channel))

    def _receive(
        self, plan: Plan, hello: Hello, accept: Accept, session: Session, tracker: Tracker, cancel: Cancel
    ) -> dh_psi.Intersection | dh_psi_count.Count:
        if plan.own is None:
            raise LocalProtocolError("operations.plan-used")
        items, rng, label = plan.own.keyed.items, Rng.system(), session.identity.label
        if hello.operation == "count":
            counting = dh_psi_count.receiver(items, count_params(hello, accept.responder_size, label), rng)
            return drive(counting, session, on_work=tracker.add, check=cancel.check)
        matching = dh_psi.receiver(items, match_params(hello, accept.responder_size, label), rng)
        return drive(matching, session, on_work=tracker.add, check=cancel.check)


def _released(hello: Hello, output: dh_psi.Intersection | dh_psi_count.Count) -> ReleasedRows | None:
    if isinstance(output, dh_psi_count.Count) or output.rows is None:
        return None
    rows, layout = output.rows, RowLayout(hello.released)
    count = len(rows.items)
    cut = layout.cut_flags(rows.payloads, count)
    return ReleasedRows(rows.items, rows.counters, layout.decode(rows.payloads, count), cut)


def _result(
    plan: Plan,
    hello: Hello,
    accept: Accept,
    output: dh_psi.Intersection | dh_psi_count.Count,
    released: ReleasedRows | None,
    signed: SignedReceipt,
    stats: RunStats,
) -> Result:
    leakage = leakage_for(hello, accept.responder_size)
    if isinstance(output, dh_psi_count.Count):
        return CountResult(hello.run_id, output.common or 0, signed, stats, leakage)
    if plan.own is None:
        raise LocalProtocolError("operations.plan-used")
    keyed = plan.own.keyed
    cut_keys = 0 if released is None else len(np.unique(released.items[released.cut]))
    table, matched_rows = join_rows(
        keyed.table, keyed.row_of, keyed.group_of_row, output.matched, released, dataset=hello.dataset
    )
    return MatchResult(hello.run_id, table, matched_rows, len(output.matched), cut_keys, signed, stats, leakage)


def _aborter(channel: Channel) -> Callable[[], None]:
    return lambda: channel.abort(AbortCode.CANCELLED)


def _abort(channel: Channel, error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        channel.abort(AbortCode.CANCELLED)
    else:
        channel.abort(getattr(error, "abort_code", AbortCode.INTERNAL))
