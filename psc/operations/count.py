"""``count`` by ``dh-psi-count``: the initiator receives the number of common keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from psc.crypto import Items
from psc.node.tables import LoadedDataset
from psc.operations.play import Basis, Play, RunShape
from psc.operations.prepare import OwnTable
from psc.operations.results import CountResult, Ended
from psc.policy.release import draw_common, dummies, matcher_dummies, owner_dummies
from psc.protocols import dh_psi_count
from psc.protocols.base import Script

if TYPE_CHECKING:
    from psc.operations.requests import Request

__all__ = ["DhPsiCount"]


class DhPsiCount(Play[dh_psi_count.Count, dh_psi_count.Count]):
    """How many keys both have, and nothing about which.

    Noise is in the sets: of a public number of dummies the initiator holds all and the responder a secret number.
    """

    spec = dh_psi_count.SPEC
    noisy = True

    def payload_bytes(self, shape: RunShape) -> tuple[int, int]:
        return dh_psi_count.message_bytes(_params(shape, b""))

    def work_items(self, shape: RunShape) -> tuple[int, int]:
        return sum(shape.sizes), sum(shape.sizes)

    def statement(self, shape: RunShape) -> tuple[list[str], list[str]]:
        mine, theirs = list(self.spec.leakage_receiver), list(self.spec.leakage_sender)
        if shape.output_to == "both":
            theirs[0] = "leakage.count.both"
        return mine if shape.noise is None else [*mine, "leakage.aggregate.noise"], theirs

    def fields(self, shape: RunShape) -> dict[str, str]:
        return {} if shape.noise is None else {"noise": str(shape.noise)}

    def ask(self, shape: RunShape, own: OwnTable, basis: Basis) -> Script[dh_psi_count.Count]:
        items, each = own.keyed.items, _dummies(shape)
        if each:
            items = Items.concat([items, matcher_dummies(0, 1, each)])
        return _unbiased((yield from dh_psi_count.receiver(items, _params(shape, basis.context), basis.rng)), each)

    def answer(self, shape: RunShape, dataset: LoadedDataset, basis: Basis) -> Script[dh_psi_count.Count]:
        items, each = dataset.keyed.items, _dummies(shape)
        if shape.noise is not None:
            items = Items.concat([items, owner_dummies(basis.rng, 0, draw_common(basis.rng, shape.noise, 1, 1), each)])
        return _unbiased((yield from dh_psi_count.sender(items, _params(shape, basis.context), basis.rng)), each)

    def common(self, asked: dh_psi_count.Count) -> int:
        return asked.common or 0

    def read(self, shape: RunShape, asked: dh_psi_count.Count) -> None:
        return None

    def result(
        self, request: Request, shape: RunShape, own: OwnTable, asked: dh_psi_count.Count, read: object, ended: Ended
    ) -> CountResult:
        return CountResult(ended.run_id, asked.common or 0, ended.receipt, ended.stats, ended.leakage)

    def delivered(self, shape: RunShape, dataset: LoadedDataset, answered: dh_psi_count.Count) -> pa.Table | None:
        return None if answered.common is None else pa.table({"count": pa.array([answered.common], pa.int64())})


def _params(shape: RunShape, context: bytes) -> dh_psi_count.Params:
    least = shape.minimum_result + _dummies(shape) // 2 if shape.minimum_result else 0  # dummies are among what it counts
    return dh_psi_count.Params(context, *shape.sizes, shape.output_to == "both", least)


def _dummies(shape: RunShape) -> int:
    return 0 if shape.noise is None else dummies(shape.noise, 1, 1)


def _unbiased(counted: dh_psi_count.Count, each: int) -> dh_psi_count.Count:
    """The count without the dummies' mean, and not below zero."""
    if counted.common is None or not each:
        return counted
    return dh_psi_count.Count(max(counted.common - each // 2, 0))
