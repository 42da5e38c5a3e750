"""A plan: what a run would reveal, move and take, and whether a rule refuses it; shown before anything moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from psc.data.kinds import metadata_hash
from psc.engines import hiding_engine
from psc.errors import LocalProtocolError, ParameterMismatchError, PolicyDeniedError, Rule, UsageError
from psc.node.home import Home
from psc.node.kept import Kept
from psc.node.own import own_card
from psc.node.trust import Partner
from psc.operations.aggregate import AskedColumns, asked_columns
from psc.operations.anyof import alternatives_of
from psc.operations.estimate import LINK_BYTES_A_SECOND, Estimate, estimate
from psc.operations.leakage import Leakage, leakage_of
from psc.operations.play import Play, RunShape
from psc.operations.prepare import OwnTable, prepare_own
from psc.operations.requests import Aggregate, Match, Request
from psc.operations.resume import elements_charged
from psc.operations.software import check_compatible
from psc.operations.status import Status
from psc.operations.terms import PLAYS, play_of, plays_of
from psc.policy.agreement import NO_LIMITS, RunLimits
from psc.policy.catalogue import Catalogue, CatalogueEntry, decide_from_catalogue
from psc.policy.decide import Allow, Deny, RunRequest, decide_result
from psc.texts import render
from psc.types import Keys, ReleasedColumn

if TYPE_CHECKING:
    from psc.operations.initiator import Asking
    from psc.operations.progress import Cancel, ProgressCallback
    from psc.operations.results import Result

__all__ = ["Plan", "PlannedAlternative", "make_plan"]


@dataclass(frozen=True, slots=True)
class PlannedAlternative:
    """One key of a match by any of several, as planned.

    Attributes:
        key: the dataset's name of it; of a composite key the names with ``+`` between them.
        own_keys: distinct keys of the own table by it.
        rows_without: own rows that have no such key.
        own_size: the distinct keys, padded.
        partner_size: the partner's, padded.
    """

    key: str
    own_keys: int
    rows_without: int
    own_size: int
    partner_size: int


@dataclass
class Plan:
    """What a run would do. ``run`` does exactly this, once; changed data or terms refuse.

    Attributes:
        request: what was asked.
        partner: the partner's name.
        refusal: the rule that refuses, or ``None``; a refused plan has no figures below.
        protocol: protocol id.
        model: adversary model.
        reason: why this protocol and not another; empty where there is one.
        leakage: what each side will learn.
        estimate: bytes each way and seconds.
        own_rows, own_keys: rows of the own table, and its distinct keys, of all alternatives together.
        own_size, partner_size: padded key counts, as they are seen on the wire, of all alternatives together.
        alternatives: the keys of a match by any of several, with the counts of each; empty for a run by one key.
        rejected: rows left out, by class.
        released: the partner's columns that will be released.
        rows_per_key: how many rows of one key at most.
        quota_left: runs left today, this one included.
        minimum_result: fewer common keys than this are not shown.
        kept: what this side kept of an earlier attempt, and keeps of this one; ``None`` for runs of one shard.
    """

    request: Request
    partner: str
    refusal: PolicyDeniedError | None = None
    protocol: str = ""
    model: str = ""
    reason: str = ""
    leakage: Leakage | None = None
    estimate: Estimate | None = None
    own_rows: int = 0
    own_keys: int = 0
    own_size: int = 0
    partner_size: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    released: tuple[ReleasedColumn, ...] = ()
    rows_per_key: int = 1
    quota_left: int = 0
    minimum_result: int = 0
    work: int = field(default=0, repr=False)
    shape: RunShape | None = field(default=None, repr=False)
    limits: RunLimits | None = field(default=None, repr=False)
    keys: tuple[Keys, ...] = ()
    alternatives: tuple[PlannedAlternative, ...] = ()
    entry: CatalogueEntry | None = field(default=None, repr=False)
    own: OwnTable | None = field(default=None, repr=False)
    asking: Asking | None = field(default=None, repr=False)
    kept: Kept | None = field(default=None, repr=False)
    used: bool = field(default=False, repr=False)

    @property
    def dataset(self) -> str:
        """The partner's dataset."""
        return self.request.dataset

    def run(self, progress: ProgressCallback | None = None, cancel: Cancel | None = None) -> Result:
        """Carry the plan out and return its result.

        Args:
            progress: called as the run goes on.
            cancel: stops the run from another thread.

        Raises:
            PolicyDeniedError: a rule refuses, here or at the partner, or the result is below the minimum.
            UsageError: this plan was run before.
            DataError: the own table changed since the plan.
            PscError: whatever ended the run; nothing was released then.
        """
        if self.refusal is not None:
            raise self.refusal
        if self.used or self.asking is None or self.own is None:
            raise UsageError("operations.plan-used")
        self.own.check_unchanged()
        self.used = True
        return self.asking.run(self, progress, cancel)

    def drop_kept(self, *, unless: bool = False) -> None:
        """Remove what is kept of the run, for it is over, ``unless`` it may go on."""
        if self.kept is not None and not unless:
            self.kept.drop()
            self.kept = None

    def to_dict(self) -> dict[str, object]:
        """Return the plan under English keys, for machines."""
        content: dict[str, object] = {
            "operation": self.request.OPERATION,
            "partner": self.partner,
            "dataset": self.dataset,
            "purpose": self.request.purpose,
            "output_to": self.request.output_to,
            "refused_by": None if self.refusal is None else {"rule": self.refusal.rule, "message": str(self.refusal)},
        }
        if self.leakage is not None and self.estimate is not None:
            content |= {
                "protocol": self.protocol,
                "model": self.model,
                "reason": self.reason or None,
                "leakage": self.leakage.as_document(),
                "bytes_sent": self.estimate.bytes_sent,
                "bytes_received": self.estimate.bytes_received,
                "seconds": round(self.estimate.seconds, 2),
                "own_rows": self.own_rows,
                "own_keys": self.own_keys,
                "own_size_padded": self.own_size,
                "partner_size_padded": self.partner_size,
                "rejected": self.rejected,
                "released": [column.name for column in self.released],
                "rows_per_key": self.rows_per_key,
                "runs_left_today": self.quota_left,
                "minimum_result": self.minimum_result,
                "resumes": self._resumes(),
            }
        if self.alternatives:
            content["alternatives"] = [asdict(alternative) for alternative in self.alternatives]
        if self.shape is not None and self.shape.aggregate is not None and isinstance(self.request, Aggregate):
            terms, noise = self.shape.aggregate, self.shape.noise
            content |= {
                "outputs": [output.name for output in self.request.outputs],
                "group_by": list(self.request.group_by),
                "own_groups": terms.own_groups,
                "partner_groups": terms.their_groups,
                "membership": terms.membership,
                "minimum_group": terms.minimum_group,
                "engine": terms.engine or None,
                "noise": None if noise is None else str(noise),
            }
        return content

    def _resumes(self) -> dict[str, object] | None:
        if self.kept is None or not self.kept_note:
            return None
        run = self.kept.run
        return {
            "run_id": run.run_id,
            "finished_shards": 0 if self.shape is None else self.shape.finished,
            "shards": run.shards,
            "damaged": self.kept.damaged or None,
        }

    @property
    def kept_note(self) -> str:
        """What is said of an earlier attempt that this run goes on with; empty where there is none."""
        if self.kept is None or self.shape is None:
            return ""
        run = self.kept.run
        told = {"run_id": run.run_id, "began": run.began_at, "finished": self.shape.finished, "shards": run.shards}
        said = [render("operations.plan-resumes", told)] if self.shape.finished else []
        if self.kept.damaged:
            said.append(render("operations.plan-kept-damaged", {"file": self.kept.damaged}))
        return " ".join(said)

    def __str__(self) -> str:
        fields = {
            "operation": self.request.OPERATION,
            "partner": self.partner,
            "dataset": self.dataset,
            "purpose": self.request.purpose,
        }
        lines = [render("operations.plan-head", fields)]
        if self.refusal is not None:
            return "\n".join([*lines, render("operations.plan-refused", {"rule": self.refusal.rule}), str(self.refusal)])
        if self.leakage is None or self.estimate is None:
            return lines[0]
        for title, said in (
            ("operations.plan-initiator", self.leakage.initiator),
            ("operations.plan-responder", self.leakage.responder),
        ):
            lines += [render(title, fields), *(f"  - {line.render()}" for line in said)]
        lines.append(
            render(
                "operations.plan-figures",
                {
                    "protocol": self.protocol,
                    "model": self.model,
                    "sent": f"{self.estimate.bytes_sent / 1e6:.1f}",
                    "received": f"{self.estimate.bytes_received / 1e6:.1f}",
                    "seconds": f"{self.estimate.seconds:.1f}",
                    "rows": f"{self.own_rows:,}",
                    "keys": f"{self.own_keys:,}",
                    "left": self.quota_left,
                    "minimum": self.minimum_result,
                },
            )
        )
        for alternative in self.alternatives:
            told = {name: value if name == "key" else f"{value:,}" for name, value in asdict(alternative).items()}
            lines.append(render("operations.plan-alternative", {**told, "partner": self.partner}))
        if self.reason:
            lines.append(self.reason)
        if self.kept_note:
            lines.append(self.kept_note)
        if self.shape is not None and self.shape.aggregate is not None and isinstance(self.request, Aggregate):
            terms = self.shape.aggregate
            told = {
                "outputs": ", ".join(output.name for output in self.request.outputs),
                "groups": ", ".join(self.request.group_by) or "-",
                "cells": f"{terms.own_groups * terms.their_groups:,}",
                "minimum": terms.minimum_group,
                "noise": "" if self.shape.noise is None else str(self.shape.noise),
            }
            lines.append(render(f"operations.plan-aggregate-{terms.membership}", told))
        if self.rejected:
            counts = ", ".join(f"{name}: {count:,}" for name, count in self.rejected.items())
            code = "operations.plan-bad-cells" if self.alternatives else "operations.plan-rejected"
            lines.append(render(code, {"counts": counts}))
        return "\n".join(lines)


def make_plan(
    home: Home,
    partner: Partner,
    catalogue: Catalogue,
    status: Status,
    request: Request,
    asking: Asking,
    *,
    same_machine: bool,
) -> Plan:
    """Return the plan of a request; rules are asked before the own table is read, and again with its size.

    Raises:
        DataError: the own table is not what it should be.
        ParameterMismatchError: the partner's software cannot do this with ours.
    """
    plan = Plan(request=request, partner=partner.name)
    plays = _compatible(request, status)
    asked = _request(catalogue, request)
    if isinstance(asked, Deny):
        plan.refusal = asked.error()
        return plan
    least = catalogue.least_input(request.dataset)
    early = decide_from_catalogue(catalogue, replace(asked, input_sizes=(least,) * len(asked.keys)))
    if isinstance(early, Deny):
        plan.refusal = early.error()
        return plan
    granted = tuple(catalogue.groups_of(request.dataset).values())
    own = prepare_own(request, asked, granted, home.settings.region)
    plan.own, plan.own_rows, plan.own_keys = own, own.keyed.rows_total, own.key_count
    # Our own side keeps the smallest size by the true count; the partner judges everything by the padded one.
    # Whether the elements are within the quota is judged last: what is kept of an earlier attempt is not charged again.
    asked = replace(asked, elements=0)
    counts = tuple(keyed.key_count for keyed in own.alternatives)
    exact = decide_from_catalogue(catalogue, replace(asked, input_sizes=counts))
    if isinstance(exact, Deny):
        plan.refusal = exact.error()
        return plan
    entry = next(entry for entry in catalogue.of(request.dataset) if entry.agreement_digest == exact.digest)
    _check_metadata(entry, asked, status)
    shape = _quickest(plan, plays, asked, exact, entry, status, same_machine=same_machine)
    # Sizes are judged as they are sent, padded, so that what passes here is not refused there.
    _check_limit(shape.sizes[0], min(home.settings.limits.set_elements, status.set_elements))
    sizes = tuple(stage.sizes[0] for stage in shape.stages)
    asked = replace(asked, input_sizes=sizes, agreement=exact.digest, model=shape.model)
    decision = decide_from_catalogue(catalogue, asked)
    if isinstance(decision, Deny):
        plan.refusal = decision.error()
        return plan
    _fill(plan, home, asked, decision, entry, shape, status, same_machine=same_machine)
    _check_limit(plan.partner_size, home.settings.limits.set_elements)
    plan.kept = asking.kept(plan)
    finished = len(plan.kept.chain) if plan.kept is not None and getattr(request, "resume", False) else 0
    if finished:
        shape = replace(shape, finished=finished)
        _fill(plan, home, asked, decision, entry, shape, status, same_machine=same_machine)
    charged = replace(asked, elements=elements_charged(shape.sizes[0], play_of(shape).shard_count(shape), finished))
    affordable = decide_from_catalogue(catalogue, charged)
    # Not even if every key matched.
    plan.refusal = affordable.error() if isinstance(affordable, Deny) else too_small(plan, max(counts))
    if plan.refusal is None:
        plan.asking = asking
    return plan


def _compatible(request: Request, status: Status) -> list[Play[Any, Any]]:
    """Return the plays of a request that the partner's software has too.

    Raises:
        ParameterMismatchError: it has none; the preferred one's difference is named.
    """
    found, differences = [], []
    engine = request.engine if isinstance(request, Aggregate) and request.membership != "owner" else ""
    for play in plays_of(request):
        try:
            check_compatible(status, play.spec.id, engine)
            found.append(play)
        except ParameterMismatchError as difference:
            differences.append(difference)
    if not found:
        raise differences[0]
    return found


def _quickest(
    plan: Plan,
    plays: Sequence[Play[Any, Any]],
    asked: RunRequest,
    allow: Allow,
    entry: CatalogueEntry,
    status: Status,
    *,
    same_machine: bool,
) -> RunShape:
    """Return the shape of the play that takes least time, and note in the plan what was chosen over what.

    A play that does not withstand the adversary model that was asked for, or that the agreement demands, is no choice.

    Raises:
        ParameterMismatchError: the only one that would do is another one in the partner's software.
    """
    if plan.own is None:
        raise LocalProtocolError("operations.plan-used")
    costs: list[tuple[float, RunShape]] = []
    wanted = plan.request.model if isinstance(plan.request, Match) else "auto"
    for play in plays:
        model = asked.model if asked.model in play.models else "semi-honest"
        if model == asked.model or (wanted != "malicious" and (asked.operation != "match" or entry.model == "semi-honest")):
            shape = play.plan(plan.request, replace(asked, model=model), allow, entry, plan.own)
            shapes = [each for each in (shape, play.exchanged(shape)) if each is not None]
            costs += [(_seconds(play, each, status, same_machine=same_machine), each) for each in shapes]
    if not costs:
        for play in plays_of(plan.request):
            check_compatible(status, play.spec.id)  # what would do is another one in the partner's software
        raise Deny(Rule.MODEL_TOO_WEAK, {"model": entry.model, "asked": asked.model}).error()
    costs.sort(key=lambda cost: (cost[0], sum(PLAYS[cost[1].operation, cost[1].protocol].payload_bytes(cost[1]))))
    if len(costs) > 1:
        (least, best), (more, other) = costs[:2]
        plan.reason = render(
            "operations.plan-protocol",
            {"protocol": _said(best), "other": _said(other), "seconds": f"{least:.2f}", "other_seconds": f"{more:.2f}"},
        )
    return costs[0][1]


def _said(shape: RunShape) -> str:
    return render("operations.plan-exchanged", {"protocol": shape.protocol}) if shape.exchanged else shape.protocol


def _seconds(play: Play[Any, Any], shape: RunShape, status: Status, *, same_machine: bool) -> float:
    payload = play.payload_bytes(shape)
    figures = estimate(payload, play.curve_items(shape), status.seconds_per_item, same_machine=same_machine)
    return figures.seconds + (0 if same_machine else sum(payload) / LINK_BYTES_A_SECOND)


def _check_limit(size: int, limit: int) -> None:
    if size > limit:
        raise UsageError("operations.set-over-limit", size=size, limit=limit)


def _check_metadata(entry: CatalogueEntry, asked: RunRequest, status: Status) -> None:
    """Refuse phone keys that the partner normalised by other number metadata than ours: some would silently not match."""
    ours = metadata_hash(entry.region)
    if entry.number_metadata != ours and any(key.kind == "phone" for keys in asked.keys for key in keys):
        raise ParameterMismatchError(
            "operations.versions-differ",
            what="number metadata",
            ours=ours[:16],
            theirs=entry.number_metadata[:16],
            software=status.software,
        )


def _request(catalogue: Catalogue, request: Request) -> RunRequest | Deny:
    """Return what is asked in the catalogue's terms, or the refusal of a name that no agreement on the dataset has.

    Of a dataset without an agreement nothing is known here; the rules then refuse the dataset itself.
    """
    entries = catalogue.of(request.dataset)
    keys, columns = catalogue.keys_of(request.dataset), catalogue.released_of(request.dataset)
    alternatives = alternatives_of(request.on)
    if not all(alternatives):
        raise UsageError("data.no-key")
    names = list(dict.fromkeys(name for columns in alternatives for name in columns))
    want = tuple(request.want) if isinstance(request, Match) else ()
    unknown, unwanted = [name for name in names if name not in keys], [name for name in want if name not in columns]
    if entries and unknown:
        allowed = ", ".join(f"{name}:{key.kind}" for name, key in sorted(keys.items()))
        return Deny(Rule.KEY_NOT_GRANTED, {"keys": ", ".join(unknown), "allowed": allowed})
    if entries and unwanted:
        return Deny(Rule.COLUMN_NOT_RELEASED, {"columns": ", ".join(unwanted), "allowed": ", ".join(sorted(columns))})
    theirs = asked_columns(request, entries) if isinstance(request, Aggregate) else AskedColumns()
    if isinstance(theirs, Deny):
        return theirs
    minima = {"min_result": request.minimum_result, "min_group": getattr(request, "minimum_group", None)}
    stricter = {name: least for name, least in minima.items() if least is not None}
    return RunRequest(
        operation=request.OPERATION,
        dataset=request.dataset,
        purpose=request.purpose,
        keys=tuple(tuple(keys[name] for name in sorted(columns) if name in keys) for columns in alternatives),
        release=tuple(columns[name] for name in want if name in columns),
        output_to=request.output_to,
        input_sizes=(0,) * len(alternatives),
        limits=NO_LIMITS.model_copy(update=stricter) if stricter else None,
        values=theirs.values,
        groups=theirs.groups,
        membership=request.membership if isinstance(request, Aggregate) else "hidden",
        model=request.strongest_model if isinstance(request, Match) else "semi-honest",
        engine=_engine(request),
    )


def _engine(request: Request) -> str:
    """Return the id of the encryption that a request needs; empty for none.

    Raises:
        UsageError: there is no such engine here, or it shows who matches.
    """
    if not isinstance(request, Aggregate) or request.membership == "owner":
        return ""
    return hiding_engine(request.engine).id


def _fill(
    plan: Plan,
    home: Home,
    asked: RunRequest,
    allow: Allow,
    entry: CatalogueEntry,
    shape: RunShape,
    status: Status,
    *,
    same_machine: bool,
) -> None:
    play = PLAYS[shape.operation, shape.protocol]
    plan.shape, plan.protocol, plan.model = shape, shape.protocol, shape.model
    plan.entry, plan.keys, plan.released = entry, asked.keys, asked.release
    plan.own_size, plan.partner_size = shape.sizes
    if shape.alternatives and plan.own is not None:
        plan.alternatives = tuple(
            PlannedAlternative(each.key, keyed.key_count, keyed.rows_total - len(keyed.row_of), *each.sizes)
            for each, keyed in zip(shape.alternatives, plan.own.alternatives, strict=True)
        )
    plan.rejected = {} if plan.own is None else plan.own.keyed.rejected.counts()
    plan.rows_per_key = shape.rows_per_key
    plan.limits, plan.minimum_result = allow.limits, shape.minimum_result
    plan.quota_left = entry.runs_left
    names = {"initiator": own_card(home).card.name, "responder": plan.partner}
    plan.leakage = leakage_of(play, shape, names)
    payload = play.payload_bytes(shape)
    limit = home.settings.limits.transfer_bytes
    if max(payload) > limit:
        raise UsageError("operations.transfer-over-limit", size=max(payload), limit=limit)
    plan.work = play.work_items(shape)[0]
    plan.estimate = estimate(payload, play.curve_items(shape), status.seconds_per_item, same_machine=same_machine)


def too_small(plan: Plan, common: int) -> PolicyDeniedError | None:
    """Return the refusal of a result below the minimum, which does not say how small it is."""
    if plan.limits is None or plan.entry is None:
        return None
    refusal = decide_result(plan.limits, common)
    if refusal is None:
        return None
    if plan.minimum_result > plan.entry.min_result:  # our own, stricter than the agreement's
        return PolicyDeniedError("operations.result-below-own-minimum", rule=refusal.rule, min_result=plan.minimum_result)
    return refusal.error()
