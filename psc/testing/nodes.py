"""Two nodes in two folders that trust each other, one of them serving on the loopback interface over mutual TLS."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from psc.policy.agreements import StoredAgreement
from psc.policy.propose import Offer
from psc.sdk.node import Node, Serving
from psc.types import OperationName, OutputTo

__all__ = ["NodePair", "free_port", "grant", "node_pair"]

PURPOSE = "delivery-reconciliation"


@dataclass
class NodePair:
    """An initiator without an inbound port, and a responder that serves.

    Attributes:
        merchant: asks.
        courier: answers.
        serving: the courier's server.
    """

    merchant: Node
    courier: Node
    serving: Serving


def free_port() -> int:
    """Return a TCP port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def node_pair(folder: Path) -> Iterator[NodePair]:
    """Make ``merchant`` and ``courier`` under ``folder``, exchange their cards, and serve the courier while the block runs."""
    address = f"127.0.0.1:{free_port()}"
    with (
        Node.create(folder / "merchant", "merchant") as merchant,
        Node.create(folder / "courier", "courier", listen=address, address=address) as courier,
    ):
        for owner, other in ((merchant, courier), (courier, merchant)):
            card = folder / f"{owner.name}.card.json"
            card.write_text(owner.card_json(), encoding="utf-8")
            other.trust(card)
        with courier.serve() as serving:
            yield NodePair(merchant, courier, serving)


def grant(
    owner: Node,
    partner: str,
    dataset: str,
    *,
    source: Path,
    keys: Sequence[str] = ("phone=phone:phone",),
    release: Sequence[str] = (),
    operations: Sequence[OperationName] = ("match", "count"),
    outputs: Sequence[OutputTo] = ("receiver", "both"),
    max_rows_per_key: int = 8,
    on_bad: Literal["error", "skip"] = "skip",
    min_input: int = 0,
    min_result: int = 0,
    runs_per_day: int = 1000,
    purpose: str = PURPOSE,
) -> StoredAgreement:
    """Register a dataset and grant it to a partner with limits that suit tests, not data of people."""
    owner.add_dataset(dataset, source, keys=keys, release=release, max_rows_per_key=max_rows_per_key, on_bad=on_bad, replace=True)
    offer = Offer(
        dataset=dataset,
        operations=tuple(operations),
        release=tuple(spec.split("=")[0].split(":")[0] for spec in release),
        outputs=tuple(outputs),
        min_input=min_input,
        min_result=min_result,
        runs_per_day=runs_per_day,
    )
    return owner.grant(partner, offer, purpose=purpose)
