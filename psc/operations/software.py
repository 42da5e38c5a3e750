"""The protocols of this release, what a node says of its software, and what makes two nodes unfit for each other."""

from __future__ import annotations

from psc import __version__
from psc.data.kinds import RULES_ID, metadata_hash
from psc.engines import available
from psc.errors import ParameterMismatchError
from psc.node.clock import now, timestamp
from psc.operations.estimate import seconds_per_item
from psc.operations.status import ProtocolVersion, Status
from psc.protocols import dh_psi, dh_psi_count, dh_sum, owner_sum, vole_psi, vole_sum
from psc.session.hello import PROTOCOL_SERIES
from psc.session.limits import Limits

__all__ = ["PROTOCOLS", "check_compatible", "own_status"]

_SPECS = (vole_psi.SPEC, dh_psi.SPEC, dh_psi_count.SPEC, dh_sum.SPEC, owner_sum.SPEC, vole_sum.SPEC)

PROTOCOLS = {spec.id: spec for spec in _SPECS}
"""The protocols that this release runs, by id."""


def own_status(region: str, limits: Limits) -> Status:
    """Return this node's status."""
    return Status(
        series=PROTOCOL_SERIES,
        software=__version__,
        protocols=tuple(ProtocolVersion(id=spec.id, version=spec.version, suite=spec.suite) for spec in PROTOCOLS.values()),
        engines=available(),
        rules=RULES_ID,
        region=region,
        number_metadata=metadata_hash(region),
        time=timestamp(now()),
        frame_bytes=limits.frame_bytes,
        set_elements=limits.set_elements,
        seconds_per_item=seconds_per_item(),
    )


def check_compatible(status: Status, protocol: str, engine: str = "") -> None:
    """Refuse a partner whose software cannot run ``protocol`` with ours, and say what differs; so for an engine's id.

    Raises:
        ParameterMismatchError: another series, protocol version, suite or normalisation rule.
    """
    spec = PROTOCOLS[protocol]
    theirs = {offer.id: (offer.version, offer.suite) for offer in status.protocols}
    for what, ours, other in (
        ("series", PROTOCOL_SERIES, status.series),
        (f"protocol {protocol}", (spec.version, spec.suite), theirs.get(protocol)),
        ("normalisation rules", RULES_ID, status.rules),
    ):
        if ours != other:
            raise ParameterMismatchError(
                "operations.versions-differ", what=what, ours=ours, theirs=other, software=status.software
            )
    if engine and engine in available() and engine not in status.engines:
        theirs_are = ", ".join(status.engines)
        raise ParameterMismatchError(
            "operations.versions-differ", what="engines", ours=engine, theirs=theirs_are, software=status.software
        )
