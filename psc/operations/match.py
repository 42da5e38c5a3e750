"""``match`` by ``dh-psi``: the initiator receives."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa

from psc.crypto import Rng
from psc.data.release import RowLayout
from psc.node.tables import LoadedDataset
from psc.operations.play import Play, RunShape
from psc.operations.prepare import OwnTable
from psc.operations.results import SOURCE_ROW, Ended, MatchResult, ReleasedRows, join_rows
from psc.protocols import dh_psi
from psc.protocols.base import Script

if TYPE_CHECKING:
    from psc.operations.requests import Request

__all__ = ["DhPsiMatch"]


class DhPsiMatch(Play[dh_psi.Intersection, dh_psi.SenderOutput]):
    """Which rows match, with the responder's released columns."""

    spec = dh_psi.SPEC

    def payload_bytes(self, shape: RunShape) -> tuple[int, int]:
        return dh_psi.message_bytes(_params(shape, b""))

    def work_items(self, shape: RunShape) -> tuple[int, int]:
        return 2 * shape.sizes[0], sum(shape.sizes)

    def statement(self, shape: RunShape) -> tuple[list[str], list[str]]:
        mine, theirs = list(self.spec.leakage_receiver), list(self.spec.leakage_sender)
        if shape.released:
            mine.insert(1, "leakage.match.columns")
        if shape.output_to == "both":
            theirs[0] = "leakage.match.both"
        return mine, theirs

    def ask(self, shape: RunShape, own: OwnTable, context: bytes, rng: Rng) -> Script[dh_psi.Intersection]:
        return dh_psi.receiver(own.keyed.items, _params(shape, context), rng)

    def answer(self, shape: RunShape, dataset: LoadedDataset, context: bytes, rng: Rng) -> Script[dh_psi.SenderOutput]:
        rows = dataset.rows
        sealed = dh_psi.SenderRows(rows.items, rows.counters, rows.payloads) if rows is not None else None
        return dh_psi.sender(dataset.keyed.items, sealed, _params(shape, context), rng)

    def common(self, asked: dh_psi.Intersection) -> int:
        return len(asked.matched)

    def read(self, shape: RunShape, asked: dh_psi.Intersection) -> ReleasedRows | None:
        if asked.rows is None:
            return None
        rows, layout = asked.rows, RowLayout(shape.released)
        count = len(rows.items)
        cut = layout.cut_flags(rows.payloads, count)
        return ReleasedRows(rows.items, rows.counters, layout.decode(rows.payloads, count), cut)

    def result(
        self, request: Request, shape: RunShape, own: OwnTable, asked: dh_psi.Intersection, read: object, ended: Ended
    ) -> MatchResult:
        released, keyed = cast("ReleasedRows | None", read), own.keyed
        cut_keys = 0 if released is None else len(np.unique(released.items[released.cut]))
        table, rows = join_rows(keyed.table, keyed.row_of, keyed.group_of_row, asked.matched, released, dataset=shape.dataset)
        return MatchResult(ended.run_id, table, rows, len(asked.matched), cut_keys, ended.receipt, ended.stats, ended.leakage)

    def delivered(self, shape: RunShape, dataset: LoadedDataset, answered: dh_psi.SenderOutput) -> pa.Table | None:
        if answered.matched is None:
            return None
        keyed = dataset.keyed
        # Only the registered columns were read; the row's number leads back to the rest of the source.
        numbers = pa.array(range(1, keyed.rows_total + 1), pa.int64())
        table = keyed.table.add_column(0, SOURCE_ROW, numbers)
        own, _ = join_rows(table, keyed.row_of, keyed.group_of_row, answered.matched, None, dataset=shape.dataset)
        return own


def _params(shape: RunShape, context: bytes) -> dh_psi.Params:
    rows = dh_psi.RowShape(RowLayout(shape.released).width, shape.rows_per_key) if shape.released else None
    return dh_psi.Params(context, *shape.sizes, rows, shape.output_to == "both", shape.minimum_result)
