"""``psc agreement propose | sign | show | import | revoke | list``: who may ask whom for what."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from psc.cli.base import Cli, command, group, say
from psc.cli.options import comma_list
from psc.cli.setup import check_new_file, write_text
from psc.cli.show import facts, label, lines, listing, number_text, wraps
from psc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from psc.node.home import Home
    from psc.policy.agreement import DatasetTerms
    from psc.policy.agreements import StoredAgreement
    from psc.types import Membership, Noise, OperationName, OutputTo

__all__ = ["register"]

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help=say("The agreement's id, or its first characters", "授权协议编号或其开头几位"))
]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help=say("Write the agreement file, to send to the partner", "写出授权协议文件，供发送给合作方"),
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help=say("Replace the file if it exists", "若文件已存在则覆盖"))]

_ALLOW = say("Operations to allow: match,count,aggregate", "允许的操作：match,count,aggregate")
_PURPOSE = say("A purpose code that runs must name, such as delivery-reconciliation", "运行须声明的用途代码")
_RELEASE = say("Columns that a match may release, with commas", "匹配可提供的列，用逗号分隔")
_KEYS = say("Keys to match on [all registered]", "可用于匹配的键 [全部已登记]")
_OUTPUT_TO = say(
    "Who may learn a result: receiver (the asking side), responder (this side alone; aggregates), both [receiver]",
    "谁可获得结果：receiver（请求方）、responder（仅本方；限汇总）、both [receiver]",
)
_VALUES = say("Values that an aggregate may use, with commas [none]", "汇总可使用的数值列，用逗号分隔 [无]")
_GROUPS = say("Columns that an aggregate may group by, with commas [none]", "汇总可使用的分组列，用逗号分隔 [无]")
_MEMBERSHIP = say(
    "Who may know which customers both have: hidden (nobody); beside it owner (this side, which sums in the clear), "
    "matcher (the partner; not with noise) [hidden]",
    "谁可得知共同客户：hidden（双方均不知）；可另加 owner（本方得知并以明文求和）、matcher（对方得知；不可与噪声并用）[hidden]",
)
_ENGINE = say(
    "Encryptions under which values may be summed where membership is hidden, with commas [rlwe-8192-168/1]",
    "隐藏成员关系时可用于求和的加密引擎，用逗号分隔 [rlwe-8192-168/1]",
)
_NOISE = say(
    "Noise that this side adds to aggregates and counts: laplace:EPSILON or gaussian:RHO, of a run, such as laplace:0.5 [none]",
    "本方加入汇总与计数的噪声：laplace:ε 或 gaussian:ρ（每次运行），例如 laplace:0.5 [无]",
)


_MODEL = say(
    "The partner that a match must withstand; malicious allows matches without columns to the asking side alone",
    "匹配必须抵御的对方模型；malicious 只允许不含列、结果仅给请求方的匹配",
)


class OfferedModel(StrEnum):
    """The adversary model that a match must withstand."""

    semi_honest = "semi-honest"
    malicious = "malicious"


_OUTPUT_LABELS = {"receiver": "output-receiver", "responder": "terms-output-responder", "both": "output-both"}


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    sub = group(app, "agreement", say("Who may ask whom for what, under which limits", "谁可以向谁请求什么、受何限制"))
    command(
        sub,
        "propose",
        say("Draft an agreement on an own dataset; --sign makes it a grant", "就自有数据集起草授权协议；加 --sign 即成授权"),
        epilog="psc agreement propose --with merchant --dataset parcels --allow match,count --release status --purpose P --sign",
    )(propose)
    command(
        sub, "sign", say("Sign: as owner that makes a grant, as partner it co-signs", "签署：数据方签署即授权，合作方为会签")
    )(sign)
    command(sub, "show", say("Show an agreement, or write its file", "显示授权协议或写出授权协议文件"))(show)
    command(sub, "import", say("Bring in a partner's agreement file", "导入合作方的授权协议文件"))(import_file)
    command(sub, "revoke", say("End an agreement, from the next run on", "终止授权协议，自下次运行起生效"))(revoke)
    command(sub, "list", say("List all agreements", "列出全部授权协议"))(list_all)


def propose(
    cli: Cli,
    partner: Annotated[str, typer.Option("--with", metavar="PARTNER", help=say("A pinned partner", "已信任的合作方"))],
    dataset: Annotated[str, typer.Option(help=say("A registered dataset", "已登记的数据集"))],
    allow: Annotated[list[str], typer.Option(metavar="OPERATIONS", help=_ALLOW)],
    purpose: Annotated[list[str], typer.Option(metavar="CODE", help=_PURPOSE)],
    release: Annotated[list[str] | None, typer.Option(metavar="COLUMNS", help=_RELEASE)] = None,
    key: Annotated[list[str] | None, typer.Option(metavar="KEYS", help=_KEYS)] = None,
    value: Annotated[list[str] | None, typer.Option(metavar="VALUES", help=_VALUES)] = None,
    group_column: Annotated[list[str] | None, typer.Option("--group", metavar="COLUMNS", help=_GROUPS)] = None,
    membership: Annotated[list[str] | None, typer.Option(metavar="HOW", help=_MEMBERSHIP)] = None,
    engine: Annotated[list[str] | None, typer.Option(metavar="IDS", help=_ENGINE)] = None,
    noise: Annotated[str | None, typer.Option(metavar="MECHANISM:BUDGET", help=_NOISE)] = None,
    model: Annotated[OfferedModel, typer.Option(help=_MODEL)] = OfferedModel.semi_honest,
    output_to: Annotated[list[str] | None, typer.Option(metavar="WHO", help=_OUTPUT_TO)] = None,
    max_rows_per_key: Annotated[
        int | None, typer.Option(metavar="N", help=say("Rows of one key released at most", "每个键最多提供的行数"))
    ] = None,
    min_input: Annotated[
        int | None, typer.Option(metavar="N", help=say("Least keys of either side [1000]", "任一方最少键数 [1000]"))
    ] = None,
    max_input: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help=say("Most keys of the asking side, rounded up to a padded size", "请求方最多键数（向上取整到填充档位）"),
        ),
    ] = None,
    min_result: Annotated[
        int | None, typer.Option(metavar="N", help=say("Least common keys that are told [20]", "可告知的最少共同键数 [20]"))
    ] = None,
    min_group: Annotated[
        int | None,
        typer.Option(metavar="N", help=say("Least common keys of a group that is told [20]", "可告知的分组的最少共同键数 [20]")),
    ] = None,
    runs_per_day: Annotated[
        int | None, typer.Option(metavar="N", help=say("Runs on a UTC day [10]", "每 UTC 日运行次数 [10]"))
    ] = None,
    elements_per_day: Annotated[
        int | None, typer.Option(metavar="N", help=say("Keys asked on a UTC day [no bound]", "每 UTC 日请求键数 [不限]"))
    ] = None,
    valid_from: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help=say("First day or UTC time [now]", "生效日或 UTC 时间 [现在]"))
    ] = None,
    valid_until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help=say("Last day or UTC time [a year]", "截止日或 UTC 时间 [一年]"))
    ] = None,
    sign_now: Annotated[
        bool, typer.Option("--sign", help=say("Sign at once: it is a grant from then on", "立即签署，成为授权"))
    ] = False,
    output: FileOption = None,
    force: ForceOption = False,
) -> None:
    """Draft an agreement, and sign it if asked."""
    from psc.node.clock import now, parse_moment
    from psc.policy.agreements import sign as sign_stored
    from psc.policy.propose import Offer
    from psc.policy.propose import propose as draft

    if output is not None:
        check_new_file(output, force=force)
    until = parse_moment(valid_until, end_of_day=True) if valid_until else None
    if until is not None and until <= now():
        raise UsageError("cli.until-past", until=valid_until)
    bounds: dict[str, Any] = {
        "min_input": min_input,
        "max_input": max_input,
        "min_result": min_result,
        "min_group": min_group,
        "runs_per_day": runs_per_day,
        "elements_per_day": elements_per_day,
        "engines": comma_list(engine) if engine else None,
    }
    offer = Offer(
        dataset,
        _operations(allow),
        release=comma_list(release or ()),
        keys=comma_list(key) if key else None,
        max_rows_per_key=max_rows_per_key,
        outputs=_outputs(output_to or ()),
        values=comma_list(value or ()),
        groups=comma_list(group_column or ()),
        membership=_memberships(membership or ()),
        noise=noise,
        model=model.value,
        **{name: bound for name, bound in bounds.items() if bound is not None},
    )
    with cli.home() as home:
        stored = draft(
            home,
            partner=partner,
            offers=[offer],
            purpose=comma_list(purpose),
            valid_from=parse_moment(valid_from) if valid_from else None,
            valid_until=until,
        )
        if sign_now:
            stored = sign_stored(home, stored.signed.agreement.id)
    agreed = stored.signed.agreement.datasets[0].max_input
    if max_input is not None and agreed != max_input:
        cli.note(label("max-input-rounded", asked=number_text(max_input), agreed=number_text(agreed)))
    _answer(cli, stored, output)


def sign(cli: Cli, agreement: IdArgument, output: FileOption = None, force: ForceOption = False) -> None:
    """Sign a stored agreement."""
    from psc.policy.agreements import sign as sign_stored

    if output is not None:
        check_new_file(output, force=force)
    with cli.home() as home:
        stored = sign_stored(home, _full_id(home, agreement))
    _answer(cli, stored, output)


def show(cli: Cli, agreement: IdArgument, output: FileOption = None, force: ForceOption = False) -> None:
    """Show a stored agreement."""
    from psc.policy.agreements import show as stored_agreement

    if output is not None:
        check_new_file(output, force=force)
    with cli.home() as home:
        stored = stored_agreement(home, _full_id(home, agreement))
    _answer(cli, stored, output)


def import_file(
    cli: Cli,
    file: Annotated[Path, typer.Argument(metavar="FILE", help=say("The partner's agreement file", "合作方的授权协议文件"))],
) -> None:
    """Bring in an agreement file."""
    from psc.policy.agreements import import_file as bring_in

    with cli.home() as home:
        stored = bring_in(home, file)
    _answer(cli, stored, None)


def revoke(cli: Cli, agreement: IdArgument, output: FileOption = None, force: ForceOption = False) -> None:
    """End an agreement."""
    from psc.policy.agreements import revoke as end

    if output is not None:
        check_new_file(output, force=force)
    with cli.home() as home:
        stored = end(home, _full_id(home, agreement))
    _answer(cli, stored, output)
    if output is None:
        cli.note(label("agreement-send-revocation", id=stored.signed.agreement.id))


def list_all(cli: Cli) -> None:
    """List all agreements."""
    from psc.policy.agreements import list_agreements

    with cli.home() as home:
        known = list_agreements(home)
    document = {"agreements": [_document(stored) for stored in known]}
    if not known:
        cli.answer(document, wraps(label("agreements-none")))
        return
    columns = [
        label("agreement"),
        label("state"),
        label("owner"),
        label("may-ask"),
        label("datasets"),
        label("purpose"),
        label("valid-until"),
    ]
    rows: list[list[RenderableType]] = []
    for stored in known:
        agreement = stored.signed.agreement
        datasets = lines(f"{terms.dataset}: {', '.join(terms.operations)}" for terms in agreement.datasets)
        purposes = lines(agreement.purpose)
        owner, partner = agreement.owner.name, agreement.partner.name
        rows.append([agreement.id, _state_text(stored), owner, partner, datasets, purposes, agreement.valid_until[:10]])
    cli.answer(document, listing(columns, rows))


def _answer(cli: Cli, stored: StoredAgreement, output: Path | None) -> None:
    document = _document(stored)
    if output is not None:
        write_text(output, stored.signed.to_json())
        document["file"] = str(output)
    cli.answer(document, *_shown(stored, output))


def _shown(stored: StoredAgreement, output: Path | None) -> list[RenderableType]:
    agreement = stored.signed.agreement
    signers = [party.name for party in (agreement.owner, agreement.partner) if party.identity in stored.signed.signatures]
    rows: list[tuple[str, RenderableType]] = [
        (label("agreement"), agreement.id),
        (label("agreement-digest"), stored.signed.digest),
        (label("state"), _state_text(stored)),
        (label("owner"), agreement.owner.name + (f" ({label('this-node')})" if stored.ours else "")),
        (label("may-ask"), agreement.partner.name + ("" if stored.ours else f" ({label('this-node')})")),
        (label("signed-by"), ", ".join(signers) or "–"),
        (label("purpose"), ", ".join(agreement.purpose)),
        (label("valid"), f"{agreement.valid_from} – {agreement.valid_until}"),
    ]
    if output is not None:
        rows.append((label("file"), str(output)))
    shown: list[RenderableType] = [facts(rows)]
    for terms in agreement.datasets:
        shown += ["", facts(_terms(terms), title=f"{label('dataset')} {terms.dataset}")]
        if stored.ours and len(terms.keys) > 1:
            keys = ", ".join(key.name for key in terms.keys)
            shown.append(wraps(label("agreement-keys-alone", dataset=terms.dataset, keys=keys)))
    if stored.ours and _state(stored) == "draft":
        shown += ["", wraps(label("agreement-draft-next", id=agreement.id))]
    return shown


def _terms(terms: DatasetTerms) -> list[tuple[str, RenderableType]]:
    released = ", ".join(f"{column.name}:{column.type}:{column.width_bytes}" for column in terms.release) or "–"
    elements = label("no-bound") if terms.elements_per_day is None else number_text(terms.elements_per_day)
    outputs = [output for output in terms.outputs if output != "receiver" or "both" not in terms.outputs]
    return [
        (label("operations"), ", ".join(terms.operations)),
        (label("key-columns"), ", ".join(f"{key.name}:{key.kind}" for key in terms.keys)),
        (label("releasable"), released),
        (label("rows-per-key"), number_text(terms.max_rows_per_key)),
        (label("output-to"), lines(label(_OUTPUT_LABELS[output]) for output in outputs)),
        *(_aggregate_terms(terms) if "aggregate" in terms.operations else ()),
        (label("input-keys"), f"{number_text(terms.min_input)} – {number_text(terms.max_input)}"),
        (label("terms-model"), label("model", model=terms.model)),
        (label("least-result"), number_text(terms.min_result)),
        (label("runs-per-day"), number_text(terms.runs_per_day)),
        (label("elements-per-day"), elements),
    ]


def _aggregate_terms(terms: DatasetTerms) -> list[tuple[str, RenderableType]]:
    from psc.types import scaled_text

    values = [
        label(
            "value-granted",
            name=value.name,
            low=scaled_text(value.low, value.scale),
            high=scaled_text(value.high, value.scale),
            scale=value.scale,
        )
        for value in terms.values
    ]
    return [
        (label("terms-values"), lines(values) if values else "–"),
        (label("terms-groups"), ", ".join(group.name for group in terms.groups) or "–"),
        (label("terms-membership"), lines(label(f"terms-membership-{one}") for one in terms.membership)),
        (label("terms-engines"), ", ".join(terms.engines)),
        (label("terms-noise"), _noise_text(terms.noise)),
        (label("terms-least-group"), number_text(terms.min_group)),
    ]


def _noise_text(noise: Noise | None) -> str:
    if noise is None:
        return label("terms-noise-none")
    budget = str(noise).partition(":")[2]
    return label("terms-noise-added", noise=label(f"terms-noise-{noise.mechanism}", budget=budget))


def _state(stored: StoredAgreement) -> str:
    from psc.node.clock import now

    return stored.signed.state(now())


def _state_text(stored: StoredAgreement) -> str:
    return label(f"state-{_state(stored)}")


def _document(stored: StoredAgreement) -> dict[str, object]:
    agreement = stored.signed.agreement
    return {
        "state": _state(stored),
        "ours": stored.ours,
        "partner": stored.partner.name if stored.partner is not None else None,
        "digest": stored.signed.digest,
        "signed_by": sorted(stored.signed.signatures),
        "revoked_by": sorted(stored.signed.revocations),
        "agreement": agreement.model_dump(mode="json"),
    }


def _operations(allow: Sequence[str]) -> tuple[OperationName, ...]:
    from psc.types import OperationName

    known = get_args(OperationName)
    chosen = comma_list(allow)
    for operation in chosen:
        if operation not in known:
            raise UsageError("cli.operation-unknown", operation=operation, known=", ".join(known))
    return cast("tuple[OperationName, ...]", chosen)


def _outputs(texts: Sequence[str]) -> tuple[OutputTo, ...]:
    """Return who may learn a result; who grants it to both grants it to the asking side."""
    from psc.types import OutputTo

    known: tuple[OutputTo, ...] = get_args(OutputTo)
    chosen = _chosen("--output-to", texts, known) or ("receiver",)
    return tuple(one for one in known if one in chosen or (one == "receiver" and "both" in chosen))


def _memberships(texts: Sequence[str]) -> tuple[Membership, ...]:
    """Return who may know the shared customers; where a side may, hiding them is allowed all the same."""
    from psc.types import Membership

    known: tuple[Membership, ...] = get_args(Membership)
    chosen = _chosen("--membership", texts, known)
    return tuple(one for one in known if one in chosen or one == "hidden")


def _chosen(option: str, texts: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    chosen = comma_list(texts)
    for one in chosen:
        if one not in known:
            raise UsageError("cli.choice-unknown", option=option, value=one, known=", ".join(known))
    return chosen


def _full_id(home: Home, start: str) -> str:
    """Return the id that begins as typed, when exactly one does; else what was typed, for the error that names it."""
    from psc.policy.agreements import list_agreements

    found = [stored.signed.agreement.id for stored in list_agreements(home) if stored.signed.agreement.id.startswith(start)]
    return found[0] if len(found) == 1 and len(start) >= 4 else start
