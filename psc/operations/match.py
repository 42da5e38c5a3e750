"""``match`` by ``dh-psi`` and by ``vole-psi``: the initiator receives. Large sets are split into shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

import numpy as np
import pyarrow as pa

from psc.data.release import RowLayout
from psc.node.tables import LoadedDataset
from psc.operations.play import Basis, Play, RunShape, vole_items
from psc.operations.prepare import OwnTable
from psc.operations.results import SOURCE_ROW, Ended, MatchResult, ReleasedRows, join_rows
from psc.protocols import dh_psi, shards, vole_psi
from psc.protocols.base import Script

if TYPE_CHECKING:
    from psc.operations.requests import Request

__all__ = ["DhPsiMatch", "VolePsiMatch"]

P = TypeVar("P", bound=dh_psi.Params)


class _Match(Play[dh_psi.Intersection, dh_psi.SenderOutput]):
    """Which rows match, with the responder's released columns."""

    shard_keys: ClassVar[int] = shards.SHARD_KEYS
    """Keys in one shard; part of the protocol, as both sides must have the same."""

    def split(self, shape: RunShape) -> shards.Shards:
        """Return how the sets of a run are split."""
        return shards.shards_of(*shape.sizes, self.shard_keys)

    def shard_count(self, shape: RunShape) -> int:
        return self.split(shape).count

    def fields(self, shape: RunShape) -> dict[str, str]:
        split = self.split(shape)
        sizes = {"initiator_shard": f"{split.receiver_size:,}", "responder_shard": f"{split.sender_size:,}"}
        if split.count == 1:
            return {}
        return {"shards": f"{split.count:,}", "finished_shards": f"{shape.finished:,}", **sizes}

    def statement(self, shape: RunShape) -> tuple[list[str], list[str]]:
        mine, theirs = list(self.spec.leakage_receiver), list(self.spec.leakage_sender)
        if shape.released:
            mine.insert(1, "leakage.match.columns")
        if shape.output_to == "both":
            theirs[0] = "leakage.match.both"
        if self.split(shape).count > 1:
            mine.append("leakage.match.shards")
            theirs.append("leakage.match.shards")
        if shape.finished:
            mine.append("leakage.match.resumed")
        return mine, theirs

    def _receive(self, find: shards.Find[P], own: OwnTable, params: P, basis: Basis) -> Script[dh_psi.Intersection]:
        return shards.receiver(find, own.keyed.items, params, basis.rng, self.shard_keys, basis.keep)

    def _send(self, offer: shards.Offer[P], dataset: LoadedDataset, params: P, basis: Basis) -> Script[dh_psi.SenderOutput]:
        rows = None
        if dataset.rows is not None:
            rows = dh_psi.SenderRows(dataset.rows.items, dataset.rows.counters, dataset.rows.payloads)
        return shards.sender(offer, dataset.keyed.items, rows, params, basis.rng, self.shard_keys, basis.keep)

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
        cut_keys = 0 if released is None else int(np.count_nonzero(np.bincount(released.items[released.cut])))
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


class DhPsiMatch(_Match):
    """The reference, and the quicker one for small sets."""

    spec = dh_psi.SPEC

    def payload_bytes(self, shape: RunShape) -> tuple[int, int]:
        return shards.message_bytes(dh_psi.message_bytes, _params(shape, b""), self.shard_keys, shape.finished)

    def work_items(self, shape: RunShape) -> tuple[int, int]:
        split = self.split(shape)
        blinded = (split.count - shape.finished) * split.receiver_size
        return 2 * blinded, blinded + shape.sizes[1] * (split.count - shape.finished) // split.count

    def ask(self, shape: RunShape, own: OwnTable, basis: Basis) -> Script[dh_psi.Intersection]:
        return self._receive(dh_psi.find, own, _params(shape, basis.context), basis)

    def answer(self, shape: RunShape, dataset: LoadedDataset, basis: Basis) -> Script[dh_psi.SenderOutput]:
        return self._send(dh_psi.offer, dataset, _params(shape, basis.context), basis)


class VolePsiMatch(_Match):
    """The one for large sets; the one that withstands a malicious partner."""

    spec = vole_psi.SPEC
    models = ("semi-honest", "malicious")

    def payload_bytes(self, shape: RunShape) -> tuple[int, int]:
        return shards.message_bytes(vole_psi.message_bytes, _vole_params(shape, b""), self.shard_keys, shape.finished)

    def work_items(self, shape: RunShape) -> tuple[int, int]:
        count = self.shard_count(shape)
        mine, theirs = (size * (count - shape.finished) // count for size in shape.sizes)
        return mine, theirs

    def curve_items(self, shape: RunShape) -> tuple[float, float]:
        items = vole_items(shape) * (1 - shape.finished / self.shard_count(shape))
        return items, items

    def fields(self, shape: RunShape) -> dict[str, str]:
        split = self.split(shape)
        columns = split.count * vole_psi.Params(b"", split.receiver_size, split.sender_size).shape.columns
        return {**super().fields(shape), "table_size": f"{columns:,}"}

    def statement(self, shape: RunShape) -> tuple[list[str], list[str]]:
        mine, theirs = super().statement(shape)
        if shape.model == "malicious":
            mine[mine.index("leakage.match.lying")] = "leakage.match.malicious"
            theirs[theirs.index("leakage.match.cheating")] = "leakage.match.withstood"
        return mine, theirs

    def ask(self, shape: RunShape, own: OwnTable, basis: Basis) -> Script[dh_psi.Intersection]:
        return self._receive(vole_psi.find, own, _vole_params(shape, basis.context), basis)

    def answer(self, shape: RunShape, dataset: LoadedDataset, basis: Basis) -> Script[dh_psi.SenderOutput]:
        return self._send(vole_psi.offer, dataset, _vole_params(shape, basis.context), basis)


def _row_shape(shape: RunShape) -> dh_psi.RowShape | None:
    return dh_psi.RowShape(RowLayout(shape.released).width, shape.rows_per_key) if shape.released else None


def _params(shape: RunShape, context: bytes) -> dh_psi.Params:
    both = shape.output_to == "both"
    return dh_psi.Params(context, *shape.sizes, _row_shape(shape), both, shape.minimum_result)


def _vole_params(shape: RunShape, context: bytes) -> vole_psi.Params:
    both, malicious = shape.output_to == "both", shape.model == "malicious"
    return vole_psi.Params(context, *shape.sizes, _row_shape(shape), both, shape.minimum_result, malicious)
