"""What both sides derive from Hello and Accept alone: the play, its leakage statement, and the receipt.

Nothing here is decided; initiator and responder call the same functions on the same documents and must come to the same
values, byte for byte, or their receipts differ and the run ends.
"""

from __future__ import annotations

from typing import Any

from psc.audit.receipt import LeakageStatement, Receipt, ReceiptParty, ResumedRun, Transcript
from psc.operations.aggregate import DhSumAggregate, OwnerSumAggregate
from psc.operations.count import DhPsiCount
from psc.operations.leakage import Leakage, leakage_of
from psc.operations.match import DhPsiMatch, VolePsiMatch
from psc.operations.matched_aggregate import VoleSumAggregate
from psc.operations.play import Play, RunShape
from psc.operations.requests import Aggregate, Match, Request
from psc.session.hello import Accept, Hello, SessionId
from psc.types import Membership, OperationName

__all__ = ["PLAYS", "leakage_for", "play_of", "plays_of", "receipt_of_run"]

PLAYS: dict[tuple[OperationName, str], Play[Any, Any]] = {
    ("match", "vole-psi"): VolePsiMatch(),
    ("match", "dh-psi"): DhPsiMatch(),
    ("count", "dh-psi-count"): DhPsiCount(),
    ("aggregate", "dh-sum"): DhSumAggregate(),
    ("aggregate", "owner-sum"): OwnerSumAggregate(),
    ("aggregate", "vole-sum"): VoleSumAggregate(),
}
"""Every operation under every protocol that this release runs."""


_AGGREGATES: dict[Membership, str] = {"hidden": "dh-sum", "owner": "owner-sum", "matcher": "vole-sum"}
"""The protocol of an aggregate, by who may know which customers match."""


def plays_of(request: Request) -> list[Play[Any, Any]]:
    """Return the plays by which a request can be run, the preferred one first."""
    wanted = [play for (operation, _), play in PLAYS.items() if operation == request.OPERATION]
    if isinstance(request, Aggregate):
        return [play for play in wanted if play.spec.id == _AGGREGATES[request.membership]]
    if isinstance(request, Match) and request.protocol != "auto":
        return [play for play in wanted if play.spec.id == request.protocol]
    return wanted


def play_of(shape: RunShape) -> Play[Any, Any]:
    """Return the play of a run."""
    return PLAYS[shape.operation, shape.protocol]


def leakage_for(hello: Hello, accept: Accept) -> Leakage:
    """Return the leakage statement of a run that was accepted."""
    shape = RunShape.of(hello, accept)
    return leakage_of(play_of(shape), shape, {"initiator": hello.initiator_name, "responder": hello.responder_name})


def receipt_of_run(hello: Hello, accept: Accept, identity: SessionId, transcripts: dict[str, str]) -> Receipt:
    """Return the receipt of a finished run, the same on both sides."""
    statement = leakage_for(hello, accept).as_document()
    return Receipt(
        run_id=hello.run_id,
        session_id=identity.hex,
        operation=hello.operation,
        protocol=hello.protocol,
        protocol_version=hello.protocol_version,
        suite=hello.suite,
        model=hello.model,
        purpose=hello.purpose,
        initiator=ReceiptParty(name=hello.initiator_name, identity=hello.initiator),
        responder=ReceiptParty(name=hello.responder_name, identity=hello.responder),
        initiator_role=hello.initiator_role,
        agreement_digest=hello.agreement,
        dataset=hello.dataset,
        dataset_version=hello.dataset_version,
        keys=hello.keys,
        released=hello.released,
        noise=hello.noise,
        aggregate=hello.aggregate,
        output_to=hello.output_to,
        initiator_sizes_padded=hello.initiator_sizes,
        responder_sizes_padded=accept.responder_sizes,
        resumed=_resumed(hello, accept),
        transcript=Transcript(
            initiator_to_responder=transcripts["initiator-to-responder"],
            responder_to_initiator=transcripts["responder-to-initiator"],
        ),
        leakage=LeakageStatement(initiator=statement["initiator"], responder=statement["responder"]),
        self_rules=_self_rules(hello),
        accepted_at=accept.accepted_at,
    )


def _resumed(hello: Hello, accept: Accept) -> ResumedRun | None:
    if hello.resumes is None or not accept.finished:
        return None
    last = hello.resumes.shards[accept.finished - 1]
    return ResumedRun(run_id=hello.resumes.run_id, attempt=accept.attempt, finished=accept.finished, chain=last)


def _self_rules(hello: Hello) -> tuple[str, ...]:
    if hello.aggregate is not None and hello.aggregate.membership == "owner":
        return ()  # the owner keeps the minimum sizes; the initiator never holds what it withholds
    if hello.initiator_role == "sender":
        return (f"Neither side shows a result of fewer than {hello.minimum_result} common keys; the responder learns it first.",)
    rules = [f"The initiator shows no result of fewer than {hello.minimum_result} common keys."]
    if len(hello.keys) > 1:
        rules = [f"The initiator shows no matches by an alternative that has fewer than {hello.minimum_result} common keys."]
    if hello.aggregate is not None and hello.aggregate.minimum_group:
        least = hello.aggregate.minimum_group
        rules.append(
            f"The initiator asks for no sums of groups of fewer than {least} common keys, nor of those that give them away."
        )
    return tuple(rules)
