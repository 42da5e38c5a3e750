"""``psc doctor PARTNER``: what stands between this node and a run, one line a check, with a remedy."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from psc.cli.base import Cli, command, loaded, say, sentence_and_remedy
from psc.cli.show import label, number_text
from psc.errors import ExitCode, PscError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from psc.node.certificates import TlsFiles
    from psc.node.home import Home
    from psc.node.trust import Partner as Pinned
    from psc.operations.status import Status
    from psc.policy.catalogue import Catalogue
    from psc.sdk.node import Node

__all__ = ["Check", "register"]

Outcome = Literal["ok", "warn", "fail"]

_CLOCK_WARN_SECONDS, _CLOCK_FAIL_SECONDS = 30, 300
_OWN_LEAF_WARN_DAYS, _COMPANY_LEAF_WARN_DAYS = 1, 14
_LOOK_SECONDS = 5.0

# Which check an error of the look at the port belongs to; whatever else it says is about the connection as a whole.
_PLACES = {
    "transport.name-unknown": "port",
    "transport.port-closed": "port",
    "transport.no-answer": "port",
    "transport.unreachable": "port",
    "transport.proxy-refused": "port",
    "transport.bad-address": "port",
    "transport.gateway-ends-tls": "gateway",
    "transport.gateway-refused": "gateway",
    "transport.own-certificate-expired": "own-certificate",
    "transport.own-certificate-not-yet-valid": "own-certificate",
    "transport.own-certificate-refused": "identity",
    "transport.plain-text-port": "tls",
    "transport.tls-too-old": "tls",
    "transport.tls-failed": "tls",
    "transport.not-a-node": "tls",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Attributes:
        name: the stable name of the check.
        outcome: ``ok``, ``warn`` or ``fail``.
        said: what was found.
        remedy: what to do; empty when nothing is.
        code: the error's code, empty for ``ok``.
        exit_code: what a failed check makes the command return.
    """

    name: str
    outcome: Outcome
    said: str
    remedy: str = ""
    code: str = ""
    exit_code: ExitCode = ExitCode.OK


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    command(
        app,
        "doctor",
        say("Check port, TLS, clock and versions towards a partner", "检查与合作方之间的端口、TLS、时钟和版本"),
    )(doctor)


def doctor(
    cli: Cli, partner: Annotated[str, typer.Argument(metavar="PARTNER", help=say("A pinned partner", "已信任的合作方"))]
) -> None:
    """Check the way to a partner."""
    with cli.node() as node:
        loaded()
        checks = list(_examine(node, partner))
    failed = [check for check in checks if check.outcome == "fail"]
    document = {
        "partner": partner,
        "ok": not failed,
        "checks": [{"check": c.name, "status": c.outcome, "said": c.said, "remedy": c.remedy, "code": c.code} for c in checks],
    }
    cli.answer(document, *_shown(checks))
    if failed:
        raise typer.Exit(failed[0].exit_code)  # the first failure is the cause; what comes after it follows


def _examine(node: Node, name: str) -> Iterator[Check]:
    """Yield the checks in order; stop where the next ones could only repeat the failure."""
    from psc.node.certificates import tls_for
    from psc.node.trust import partner_named

    pinned = partner_named(node.home, name)
    yield _ok("card", name=pinned.name, fingerprint=pinned.card.fingerprint)
    try:
        tls = tls_for(node.home, pinned)
    except PscError as error:
        yield _failed("own-certificate", error)
        return
    yield _own_certificate(tls)
    if pinned.card.address:
        reached = True
        for check in _look(pinned, tls):
            reached = reached and check.outcome != "fail"
            yield check
        if not reached:
            return
    else:
        yield _ok("port-dialled", name=pinned.name)
    try:
        partner = node.connect(name)
    except PscError as error:
        yield _failed("identity", error)
        return
    with partner:
        yield _ok("identity", name=pinned.name)
        status = partner.status()
        yield from _software(status)
        yield _limits(node.home, status)
        try:
            catalogue = partner.catalogue()
        except PscError as error:
            yield _failed("catalogue", error)
            return
        yield _catalogue(catalogue, pinned.name)


def _look(pinned: Pinned, tls: TlsFiles) -> Iterator[Check]:
    from psc.transport.address import Address
    from psc.transport.probe import diagnose
    from psc.transport.tls import TlsMaterial

    address = Address.parse(pinned.card.address)
    material = TlsMaterial(tls.certificate_pem, tls.key_pem, tls.roots_pem, tls.server_name)
    error = diagnose(address, material, timeout_seconds=_LOOK_SECONDS)
    place = None if error is None else _PLACES.get(error.code, "certificate")
    if error is not None and place == "port":
        yield _failed("port", error)
        return
    yield _ok("port", address=str(address))
    seen = _handshake(address.host, address.port)
    if error is not None and place is not None:
        yield _failed(place, error)
        return
    yield _ok("tls", version=seen.version if seen else "TLSv1.3")
    yield _ok("gateway")
    if seen is None:
        yield _ok("certificate-pinned")
        return
    days = (seen.valid_until - _now()).days
    until = seen.valid_until.strftime("%Y-%m-%dT%H:%M:%SZ")
    least = _OWN_LEAF_WARN_DAYS if pinned.card.tls_name.endswith(".psc") else _COMPANY_LEAF_WARN_DAYS
    if days < least:
        yield _warned("certificate", "certificate-ends", until=until)
    else:
        yield _ok("certificate", until=until)


@dataclass(frozen=True, slots=True)
class _Seen:
    version: str
    valid_until: datetime


def _handshake(host: str, port: int) -> _Seen | None:
    """Return TLS version and end of the certificate at a port; None when a proxy or the network is in the way.

    Security:
        Nothing is verified here, for nothing depends on it: ``diagnose`` has verified, and this only reads the dates.
    """
    from cryptography import x509

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection((host, port), _LOOK_SECONDS) as plain, context.wrap_socket(plain) as secured:
            shown = secured.getpeercert(binary_form=True)
            leaf = x509.load_der_x509_certificate(shown or b"")
            return _Seen(secured.version() or "TLSv1.3", leaf.not_valid_after_utc)
    except (OSError, ValueError):
        return None


def _own_certificate(tls: TlsFiles) -> Check:
    from psc.node.authority import parse_chain

    leaf = parse_chain(tls.certificate_pem)[0]
    return _ok("own-certificate", until=leaf.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _software(status: Status) -> Iterator[Check]:
    from psc.data.kinds import RULES_ID
    from psc.node.clock import parse_timestamp
    from psc.operations.software import PROTOCOLS
    from psc.session.hello import PROTOCOL_SERIES

    try:
        apart = round(abs((parse_timestamp(status.time) - _now()).total_seconds()))
    except ValueError:
        apart = _CLOCK_FAIL_SECONDS + 1
    if apart > _CLOCK_FAIL_SECONDS:
        yield _differs("clock", ExitCode.AUTHENTICATION, seconds=number_text(apart))
    elif apart > _CLOCK_WARN_SECONDS:
        yield _warned("clock", "clock", seconds=number_text(apart))
    else:
        yield _ok("clock", seconds=number_text(apart))
    if status.series != PROTOCOL_SERIES:
        yield _differs("series", ours=PROTOCOL_SERIES, theirs=status.series, software=status.software)
    else:
        yield _ok("series", series=PROTOCOL_SERIES, software=status.software)
    theirs = {offer.id: (offer.version, offer.suite) for offer in status.protocols}
    lacking = [spec.id for spec in PROTOCOLS.values() if theirs.get(spec.id) != (spec.version, spec.suite)]
    if lacking:
        yield _differs("protocols", protocols=", ".join(lacking), software=status.software)
    else:
        yield _ok("protocols", protocols=", ".join(PROTOCOLS))
    if status.rules != RULES_ID:
        yield _differs("rules", ours=RULES_ID, theirs=status.rules, software=status.software)
    else:
        yield _ok("rules", rules=RULES_ID)
    yield _metadata(status)


def _metadata(status: Status) -> Check:
    from psc.data.kinds import metadata_hash

    try:
        same = metadata_hash(status.region) == status.number_metadata
    except PscError:
        same = False
    if same:
        return _ok("number-metadata", region=status.region)
    return _differs("number-metadata", region=status.region, software=status.software)


def _limits(home: Home, status: Status) -> Check:
    elements = min(home.settings.limits.set_elements, status.set_elements)
    return _ok("limits", elements=number_text(elements))


def _catalogue(catalogue: Catalogue, name: str) -> Check:
    if not catalogue.entries:
        return _warned("catalogue", "catalogue-empty", name=name)
    entries = [
        label(
            "doctor-entry",
            dataset=f"{name}/{entry.dataset}",
            operations=", ".join(entry.operations),
            purposes=", ".join(entry.purpose),
            left=entry.runs_left,
            runs=entry.runs_per_day,
        )
        for entry in catalogue.entries
    ]
    return Check("catalogue", "ok", "\n".join(entries))


def _ok(name: str, /, **fields: object) -> Check:
    return Check(name.removesuffix("-pinned").removesuffix("-dialled"), "ok", label(f"doctor-{name}-ok", **fields))


def _warned(name: str, text: str, /, **fields: object) -> Check:
    code = f"cli.doctor-{text}"
    said, remedy = sentence_and_remedy(code, fields)
    return Check(name, "warn", said, remedy, code)


def _differs(name: str, exit_code: ExitCode = ExitCode.PROTOCOL, /, **fields: object) -> Check:
    code = f"cli.doctor-{name}"
    said, remedy = sentence_and_remedy(code, fields)
    return Check(name, "fail", said, remedy, code, exit_code)


def _failed(name: str, error: PscError) -> Check:
    said, remedy = sentence_and_remedy(error.code, error.fields)
    return Check(name, "fail", said, remedy, error.code, error.exit_code)


def _shown(checks: list[Check]) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    signs = {"ok": Text("✓", "green"), "warn": Text("!", "bold yellow"), "fail": Text("✗", "bold red")}
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        said = Text(check.said)
        if check.remedy:
            said.append(f"\n{check.remedy}", "dim")
        table.add_row(signs[check.outcome], label(f"doctor-{check.name}-name"), said)
    return [table]


def _now() -> datetime:
    from psc.node.clock import now

    return now()
