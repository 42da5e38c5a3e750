"""``psc init``, ``card``, ``trust``, ``partners`` and ``version``: a node and the parties it knows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psc.cli.base import Cli, command, say
from psc.cli.show import facts, label, listing, wraps
from psc.errors import StorageError, UsageError

if TYPE_CHECKING:
    from psc.node.trust import Partner

__all__ = ["check_new_file", "register", "stdout_is_terminal", "write_text"]

_ADDRESS = say(
    "Where partners reach this node, HOST:PORT; leave it out when this side has no inbound port",
    "合作方访问本节点的地址 HOST:PORT；若本方没有入站端口则留空",
)
_ROTATE = say(
    "Make a new identity that the old one vouches for; partners must trust the new card",
    "生成新身份并由旧身份担保；合作方需重新信任新名片",
)
_FINGERPRINT = say(
    "The fingerprint that the partner read out on the telephone; a card with another one is refused",
    "对方在电话中读出的指纹；名片指纹不同则拒绝",
)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    command(app, "init", say("Make a node: identity key, certificates, store, settings", "新建节点：身份密钥、证书、存储、设置"))(
        init
    )
    command(app, "card", say("Print this node's card, which partners pin", "打印本节点的名片，供合作方固定信任"))(card)
    command(app, "trust", say("Pin a partner by its card", "凭名片固定信任一个合作方"))(trust)
    command(app, "partners", say("List the pinned partners", "列出已信任的合作方"))(partners)
    command(app, "version", say("Print versions: software, wire contract, rules, number metadata", "打印各项版本"))(version)


def init(
    cli: Cli,
    name: Annotated[str, typer.Option(help=say("The name that partners will see", "合作方看到的名称"))],
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help=say("Where psc serve listens [0.0.0.0:7443]", "psc serve 的监听地址 [0.0.0.0:7443]")
        ),
    ] = None,
    address: Annotated[str, typer.Option(metavar="HOST:PORT", help=_ADDRESS)] = "",
    region: Annotated[
        str, typer.Option(metavar="CC", help=say("Region of phone numbers without country code", "无国家码电话号码所属地区"))
    ] = "CN",
    language: Annotated[
        str, typer.Option(metavar="en|zh", help=say("Language of texts; empty follows the system", "文字语言；留空则随系统"))
    ] = "",
) -> None:
    """Make a node."""
    from psc.node.home import Home
    from psc.node.identity import fingerprint
    from psc.node.settings import DEFAULT_LISTEN

    with Home.create(cli.path, name, listen=listen or DEFAULT_LISTEN, address=address, region=region, language=language) as home:
        document = {
            "home": str(home.path),
            "name": home.settings.name,
            "identity": home.identity.public,
            "fingerprint": fingerprint(home.identity.public),
            "listen": home.settings.listen,
            "address": home.settings.address,
        }
        rows = [
            (label("node"), home.settings.name),
            (label("home"), str(home.path)),
            (label("fingerprint"), fingerprint(home.identity.public)),
            *([(label("listen"), home.settings.listen)] if home.settings.address else []),
            (label("address"), home.settings.address or label("init-no-address")),
        ]
    cli.answer(document, facts(rows), wraps(label("init-next")))


def card(
    cli: Cli,
    rotate: Annotated[bool, typer.Option("--rotate", help=_ROTATE)] = False,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help=say("Write the card to a file", "把名片写入文件"))] = None,
    force: Annotated[bool, typer.Option("--force", help=say("Replace the file if it exists", "若文件已存在则覆盖"))] = False,
) -> None:
    """Print or write the card; the card is JSON with and without ``--json``."""
    from psc.node.own import own_card
    from psc.node.own import rotate as rotate_identity

    if output is not None:
        check_new_file(output, force=force)
    with cli.home() as home:
        signed = rotate_identity(home) if rotate else own_card(home)
    if rotate:
        cli.note(label("card-rotated"))
    if output is None:
        typer.echo(signed.to_json(), nl=False)
        if stdout_is_terminal():
            cli.note(label("card-to-file"))
        return
    write_text(output, signed.to_json())
    document = {
        "file": str(output),
        "name": signed.card.name,
        "identity": signed.card.identity,
        "fingerprint": signed.card.fingerprint,
    }
    cli.answer(document, facts([(label("file"), str(output)), (label("fingerprint"), signed.card.fingerprint)]))


def trust(
    cli: Cli,
    card_file: Annotated[
        Path, typer.Argument(metavar="CARD_FILE", help=say("The file that psc card made", "psc card 生成的文件"))
    ],
    expected: Annotated[str | None, typer.Option("--fingerprint", metavar="TEXT", help=_FINGERPRINT)] = None,
) -> None:
    """Pin a partner."""
    from psc.node.trust import trust as pin

    with cli.home() as home:
        pinned = pin(home, card_file, expected=expected)
    partner = pinned.partner
    rows = [*_partner_facts(partner), (label("change"), label(f"trust-{pinned.change}"))]
    shown = [facts(rows)]
    advice = [wraps(label("trust-compare", name=partner.name))] if pinned.change == "new" and expected is None else []
    cli.answer({"change": pinned.change, **_partner_document(partner)}, *shown, *advice)


def partners(cli: Cli) -> None:
    """List the pinned partners."""
    from psc.node.trust import partners as pinned

    with cli.home() as home:
        known = pinned(home)
    document = {"partners": [_partner_document(partner) for partner in known]}
    if not known:
        cli.answer(document, wraps(label("partners-none")))
        return
    columns = [label("partner"), label("fingerprint"), label("address"), label("trusted-at")]
    rows = [[p.name, p.card.fingerprint, p.card.address or label("address-none"), p.trusted_at] for p in known]
    cli.answer(document, listing(columns, rows))


def version(cli: Cli) -> None:
    """Print every version that two nodes compare, and those that a report of a fault needs."""
    import platform

    from psc import __version__
    from psc.data.kinds import RULES_ID, metadata_hash
    from psc.operations.software import PROTOCOLS
    from psc.session.hello import PROTOCOL_SERIES

    protocols = [{"id": spec.id, "version": spec.version, "suite": spec.suite} for spec in PROTOCOLS.values()]
    document = {
        "version": __version__,
        "series": PROTOCOL_SERIES,
        "protocols": protocols,
        "rules": RULES_ID,
        "number_metadata": {"CN": metadata_hash("CN")},
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    rows = [
        ("psc", __version__),
        (label("series"), PROTOCOL_SERIES),
        (label("protocols"), ", ".join(f"{entry['id']}/{entry['version']} ({entry['suite']})" for entry in protocols)),
        (label("rules"), RULES_ID),
        (label("number-metadata"), f"CN {metadata_hash('CN')[:16]}…"),
        ("python", f"{platform.python_version()} · {platform.platform()}"),
    ]
    cli.answer(document, facts(rows))


def stdout_is_terminal() -> bool:
    """Say whether a person looks at what is printed."""
    return sys.stdout.isatty()


def check_new_file(path: Path, *, force: bool) -> None:
    """Refuse an output file that could not be written, before any work is done.

    Raises:
        UsageError: it exists and ``force`` is off, it is a folder, or its folder does not exist.
        StorageError: its folder cannot be written.
    """
    import tempfile

    folder = path.parent
    if path.is_dir():
        raise UsageError("data.output-is-folder", file=str(path))
    if not folder.is_dir():
        raise UsageError("data.output-folder-missing", file=str(path), folder=str(folder))
    try:
        # Permissions alone do not tell: a mount may be read-only, full, or no place for files at all.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        raise StorageError("data.output-not-writable", file=str(path), folder=str(folder)) from None
    if path.exists() and not force:
        raise UsageError("cli.output-exists", file=str(path))


def write_text(path: Path, text: str) -> None:
    """Write a public text file so that it is whole or absent."""
    import os
    import secrets

    from psc.node.files import storage_errors

    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with storage_errors(path):
        try:
            with temporary.open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _partner_document(partner: Partner) -> dict[str, object]:
    return {
        "name": partner.name,
        "identity": partner.identity,
        "fingerprint": partner.card.fingerprint,
        "address": partner.card.address,
        "tls_name": partner.card.tls_name,
        "trusted_at": partner.trusted_at,
        "earlier_identities": list(partner.identities[:-1]),
    }


def _partner_facts(partner: Partner) -> list[tuple[str, str]]:
    return [
        (label("partner"), partner.name),
        (label("fingerprint"), partner.card.fingerprint),
        (label("address"), partner.card.address or label("address-none")),
        (label("trusted-at"), partner.trusted_at),
    ]
