"""``match`` by ``dh-psi`` and by ``vole-psi``. Large sets are split into shards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

import numpy as np
import pyarrow as pa

from psc.crypto import Items
from psc.data.release import RowLayout
from psc.errors import ParameterMismatchError
from psc.node.tables import LoadedDataset
from psc.operations.play import Basis, Play, RunShape, vole_items
from psc.operations.prepare import OwnTable
from psc.operations.results import SOURCE_ROW, Ended, MatchResult, ReleasedRows, join_rows
from psc.protocols import dh_psi, shards, vole_psi
from psc.protocols.base import Script

if TYPE_CHECKING:
    from psc.operations.requests import Request
    from psc.session.hello import Hello

__all__ = ["DhPsiMatch", "VolePsiMatch"]

P = TypeVar("P", bound=dh_psi.Params)


T = TypeVar("T")

Outcome = dh_psi.Intersection | dh_psi.SenderOutput
"""What either side has in the end: as the receiver or as the sender."""


def _by_side(shape: RunShape, receiver: T, sender: T) -> tuple[T, T]:
    """Return the initiator's and the responder's, of what there is a receiver's and a sender's of; and the other way round."""
    return (sender, receiver) if shape.exchanged else (receiver, sender)


class _Match(Play[Outcome, Outcome]):
    """Which rows match, with the responder's released columns.

    The initiator receives, unless the result goes to both and its set is the larger one: bytes grow faster with the receiver's
    set than with the sender's. The receiver tells the sender what matched, and keeps the minimum against it.
    """

    shard_keys: ClassVar[int] = shards.SHARD_KEYS
    """Keys in one shard; part of the protocol, as both sides must have the same."""

    def split(self, shape: RunShape) -> shards.Shards:
        """Return how the sets of a run are split."""
        return shards.shards_of(*_by_side(shape, *shape.sizes), self.shard_keys)

    def shard_count(self, shape: RunShape) -> int:
        return self.split(shape).count

    def fields(self, shape: RunShape) -> dict[str, str]:
        split = self.split(shape)
        if split.count == 1:
            return {}
        mine, theirs = _by_side(shape, split.receiver_size, split.sender_size)
        sizes = {"initiator_shard": f"{mine:,}", "responder_shard": f"{theirs:,}"}
        return {"shards": f"{split.count:,}", "finished_shards": f"{shape.finished:,}", **sizes}

    def statement(self, shape: RunShape) -> tuple[list[str], list[str]]:
        mine, theirs = list(self.spec.leakage_receiver), list(self.spec.leakage_sender)
        if shape.released:
            mine.insert(1, "leakage.match.columns")
        if shape.output_to == "both":
            theirs[0] = "leakage.match.both"
        if shape.exchanged:
            mine[0], theirs[0] = "leakage.match.receiver-second", "leakage.match.both-first"
            mine[mine.index("leakage.match.lying")] = "leakage.match.cheating-initiator"
            theirs[theirs.index("leakage.match.cheating")] = "leakage.match.lying-responder"
            theirs.append("leakage.match.falsified")
        if self.split(shape).count > 1:
            mine.append("leakage.match.shards")
            theirs.append("leakage.match.shards")
        if shape.finished:
            mine.append("leakage.match.resumed")
        return mine, theirs

    def exchanged(self, shape: RunShape) -> RunShape | None:
        to_both = (shape.output_to, shape.released, shape.model) == ("both", (), "semi-honest")
        return replace(shape, exchanged=True) if to_both and shape.sizes[0] > shape.sizes[1] else None

    def check_feasible(self, hello: Hello, keys: int) -> None:
        asked = replace(RunShape.asked(hello, self.asked_size(hello, keys)), exchanged=False)
        if hello.initiator_role == "sender" and self.exchanged(asked) is None:
            # A sender's keys are never encoded for the other side: nobody takes that part from us but for the larger set.
            roles = {"ours": "receiver", "theirs": "sender"}
            raise ParameterMismatchError("operations.versions-differ", what="roles", software="-", **roles)

    def message_bytes(self, of_shard: Callable[[P], tuple[int, int]], params: P, shape: RunShape) -> tuple[int, int]:
        """Return payload bytes from the initiator and to it."""
        return _by_side(shape, *shards.message_bytes(of_shard, params, self.shard_keys, shape.finished))

    def receive(self, find: shards.Find[P], items: Items, params: P, basis: Basis) -> Script[Outcome]:
        """Return the receiver's script, over all shards."""
        return (yield from shards.receiver(find, items, params, basis.rng, self.shard_keys, basis.keep))

    def send(
        self, offer: shards.Offer[P], items: Items, params: P, basis: Basis, rows: dh_psi.SenderRows | None = None
    ) -> Script[Outcome]:
        """Return the sender's script, over all shards."""
        return (yield from shards.sender(offer, items, rows, params, basis.rng, self.shard_keys, basis.keep))

    def common(self, asked: Outcome) -> int:
        return 0 if asked.matched is None else len(asked.matched)  # a receiver says nothing of a result below the minimum

    def read(self, shape: RunShape, asked: Outcome) -> ReleasedRows | None:
        if isinstance(asked, dh_psi.SenderOutput) or asked.rows is None:
            return None
        rows, layout = asked.rows, RowLayout(shape.released)
        count = len(rows.items)
        cut = layout.cut_flags(rows.payloads, count)
        return ReleasedRows(rows.items, rows.counters, layout.decode(rows.payloads, count), cut)

    def result(self, request: Request, shape: RunShape, own: OwnTable, asked: Outcome, read: object, ended: Ended) -> MatchResult:
        released, keyed = cast("ReleasedRows | None", read), own.keyed
        matched = np.zeros(0, np.uint32) if asked.matched is None else asked.matched
        cut_keys = 0 if released is None else int(np.count_nonzero(np.bincount(released.items[released.cut])))
        table, rows = join_rows(keyed.table, keyed.row_of, keyed.group_of_row, matched, released, dataset=shape.dataset)
        return MatchResult(ended.run_id, table, rows, len(matched), cut_keys, ended.receipt, ended.stats, ended.leakage)

    def delivered(self, shape: RunShape, dataset: LoadedDataset, answered: Outcome) -> pa.Table | None:
        if answered.matched is None or len(answered.matched) < shape.minimum_result:
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
        return self.message_bytes(dh_psi.message_bytes, _params(shape, b""), shape)

    def work_items(self, shape: RunShape) -> tuple[int, int]:
        split = self.split(shape)
        left = split.count - shape.finished
        blinded, sent = left * split.receiver_size, _by_side(shape, *shape.sizes)[1]
        return _by_side(shape, 2 * blinded, blinded + sent * left // split.count)

    def ask(self, shape: RunShape, own: OwnTable, basis: Basis) -> Script[Outcome]:
        params = _params(shape, basis.context)
        if shape.exchanged:
            return self.send(dh_psi.offer, own.keyed.items, params, basis)
        return self.receive(dh_psi.find, own.keyed.items, params, basis)

    def answer(self, shape: RunShape, dataset: LoadedDataset, basis: Basis) -> Script[Outcome]:
        params = _params(shape, basis.context)
        if shape.exchanged:
            return self.receive(dh_psi.find, dataset.keyed.items, params, basis)
        return self.send(dh_psi.offer, dataset.keyed.items, params, basis, _sealed(dataset))


class VolePsiMatch(_Match):
    """The one for large sets; the one that withstands a malicious partner."""

    spec = vole_psi.SPEC
    models = ("semi-honest", "malicious")

    def payload_bytes(self, shape: RunShape) -> tuple[int, int]:
        return self.message_bytes(vole_psi.message_bytes, _vole_params(shape, b""), shape)

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

    def ask(self, shape: RunShape, own: OwnTable, basis: Basis) -> Script[Outcome]:
        params = _vole_params(shape, basis.context)
        if shape.exchanged:
            return self.send(vole_psi.offer, own.keyed.items, params, basis)
        return self.receive(vole_psi.find, own.keyed.items, params, basis)

    def answer(self, shape: RunShape, dataset: LoadedDataset, basis: Basis) -> Script[Outcome]:
        params = _vole_params(shape, basis.context)
        if shape.exchanged:
            return self.receive(vole_psi.find, dataset.keyed.items, params, basis)
        return self.send(vole_psi.offer, dataset.keyed.items, params, basis, _sealed(dataset))


def _sealed(dataset: LoadedDataset) -> dh_psi.SenderRows | None:
    rows = dataset.rows
    return dh_psi.SenderRows(rows.items, rows.counters, rows.payloads) if rows is not None else None


def _row_shape(shape: RunShape) -> dh_psi.RowShape | None:
    return dh_psi.RowShape(RowLayout(shape.released).width, shape.rows_per_key) if shape.released else None


def _params(shape: RunShape, context: bytes) -> dh_psi.Params:
    both = shape.output_to == "both"
    return dh_psi.Params(context, *_by_side(shape, *shape.sizes), _row_shape(shape), both, shape.minimum_result)


def _vole_params(shape: RunShape, context: bytes) -> vole_psi.Params:
    both, malicious = shape.output_to == "both", shape.model == "malicious"
    return vole_psi.Params(context, *_by_side(shape, *shape.sizes), _row_shape(shape), both, shape.minimum_result, malicious)
