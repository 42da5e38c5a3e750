"""``match`` by ``dh-psi`` and by ``vole-psi``. Large sets are split into shards.

Every match is a row of stages, one a key; by one key, the usual case, it is one stage and nothing is added to it. What only a
match by any of several keys needs is in ``psc.operations.alternatives``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

import numpy as np
import pyarrow as pa

from psc.data.keys import Keyed
from psc.data.release import RowLayout
from psc.errors import ParameterMismatchError
from psc.node.tables import LoadedDataset
from psc.operations import alternatives
from psc.operations.play import Basis, Play, RunShape, vole_items
from psc.operations.prepare import OwnTable
from psc.operations.results import SOURCE_ROW, Ended, Matched, MatchResult, ReleasedRows, cut_keys, join_rows
from psc.protocols import dh_psi, shards, stages, vole_psi
from psc.protocols.base import Script

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


class _Match(Play[tuple[Outcome, ...], tuple[Outcome, ...]]):
    """Which rows match, with the responder's released columns; by one key, or by the first of several that matches.

    The initiator receives, unless the result goes to both and its set is the larger one: bytes grow faster with the receiver's
    set than with the sender's. The receiver tells the sender what matched, and keeps the minimum against it.

    What the scripts give has an entry a key. A key by which fewer match than the minimum is withheld, from the sender by the
    script and from the receiver's user here; the run is refused when that is so of every key.
    """

    shard_keys: ClassVar[int] = shards.SHARD_KEYS
    """Keys in one shard; part of the protocol, as both sides must have the same."""

    def split(self, shape: RunShape) -> shards.Shards:
        """Return how the sets of a run by one key, or of one stage, are split."""
        return shards.shards_of(*_by_side(shape, *shape.sizes), self.shard_keys)

    def shard_count(self, shape: RunShape) -> int:
        # What is kept of shards is of one set; a match by several keys starts again from its first stage.
        return 1 if shape.alternatives else self.split(shape).count

    def fields(self, shape: RunShape) -> dict[str, str]:
        splits = [self.split(stage) for stage in shape.stages]
        sides = [_by_side(shape, split.receiver_size, split.sender_size) for split in splits]
        if shape.alternatives:
            parts = [f"{split.count:,} × {mine:,} / {theirs:,}" for split, (mine, theirs) in zip(splits, sides, strict=True)]
            return alternatives.fields(shape, parts)
        if splits[0].count == 1:
            return {}
        sizes = {"initiator_shard": f"{sides[0][0]:,}", "responder_shard": f"{sides[0][1]:,}"}
        return {"shards": f"{splits[0].count:,}", "finished_shards": f"{shape.finished:,}", **sizes}

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
        if any(self.split(stage).count > 1 for stage in shape.stages):
            mine.append("leakage.match.shards")
            theirs.append("leakage.match.shards")
        if shape.finished:
            mine.append("leakage.match.resumed")
        if shape.model == "malicious":
            mine[mine.index("leakage.match.lying")] = "leakage.match.malicious"
            theirs[theirs.index("leakage.match.cheating")] = "leakage.match.withstood"
        return alternatives.statement(shape, mine, theirs)

    def exchanged(self, shape: RunShape) -> RunShape | None:
        to_both = (shape.output_to, shape.released, shape.model) == ("both", (), "semi-honest")
        return replace(shape, exchanged=True) if to_both and shape.sizes[0] > shape.sizes[1] else None

    def check_feasible(self, hello: Hello, counts: Sequence[int]) -> None:
        asked = replace(RunShape.asked(hello, [self.asked_size(hello, keys) for keys in counts]), exchanged=False)
        if hello.initiator_role == "sender" and self.exchanged(asked) is None:
            # A sender's keys are never encoded for the other side: nobody takes that part from us but for the larger set.
            roles = {"ours": "receiver", "theirs": "sender"}
            raise ParameterMismatchError("operations.versions-differ", what="roles", software="-", **roles)

    def message_bytes(self, of_shard: Callable[[P], tuple[int, int]], params: Sequence[P], shape: RunShape) -> tuple[int, int]:
        """Return payload bytes from the initiator and to it."""
        return _by_side(shape, *stages.message_bytes(of_shard, params, self.shard_keys, shape.finished))

    def receive(
        self, find: shards.Find[P], sets: Sequence[Keyed], params: Sequence[P], basis: Basis
    ) -> Script[tuple[Outcome, ...]]:
        """Return the receiver's script, over all keys and shards."""
        own = [stages.Own(keyed.items, each) for keyed, each in zip(sets, params, strict=True)]
        return (yield from stages.receiver(find, own, basis.rng, self.shard_keys, basis.keep))

    def send(
        self,
        offer: shards.Offer[P],
        sets: Sequence[Keyed],
        params: Sequence[P],
        basis: Basis,
        rows: Sequence[dh_psi.SenderRows | None] = (),
    ) -> Script[tuple[Outcome, ...]]:
        """Return the sender's script, over all keys and shards; without ``rows`` it releases none."""
        offered = zip(sets, params, rows or [None] * len(sets), strict=True)
        own = [stages.Own(keyed.items, each, released) for keyed, each, released in offered]
        return (yield from stages.sender(offer, own, basis.rng, self.shard_keys, basis.keep))

    def common(self, asked: tuple[Outcome, ...]) -> int:
        # A receiver says nothing of a result below the minimum.
        return max(0 if found.matched is None else len(found.matched) for found in asked)

    def read(self, shape: RunShape, asked: tuple[Outcome, ...]) -> tuple[ReleasedRows | None, ...]:
        return tuple(_released(shape, found) for found in asked)

    def result(
        self, request: Request, shape: RunShape, own: OwnTable, asked: tuple[Outcome, ...], read: object, ended: Ended
    ) -> MatchResult:
        released = cast("tuple[ReleasedRows | None, ...]", read)
        if shape.alternatives:
            return alternatives.result(shape, own, [found.matched for found in asked], released, ended)
        (found,), (rows,), keyed = asked, released, own.keyed
        keys = np.zeros(0, np.uint32) if found.matched is None else found.matched
        matched = Matched(keyed.row_of, keyed.group_of_row, keys, rows)
        table, matched_rows = join_rows(keyed.table, matched, dataset=shape.dataset)
        cut = cut_keys(rows)
        return MatchResult(ended.run_id, table, matched_rows, len(keys), cut, ended.receipt, ended.stats, ended.leakage)

    def delivered(self, shape: RunShape, dataset: LoadedDataset, answered: tuple[Outcome, ...]) -> pa.Table | None:
        told = [None if each.matched is None or len(each.matched) < shape.minimum_result else each.matched for each in answered]
        if all(keys is None for keys in told):
            return None
        keyed = dataset.keyed
        # Only the registered columns were read; the row's number leads back to the rest of the source.
        numbers = pa.array(range(1, keyed.rows_total + 1), pa.int64())
        table = keyed.table.add_column(0, SOURCE_ROW, numbers)
        if shape.alternatives:
            return alternatives.delivered(shape, dataset, table, told)
        matched = Matched(keyed.row_of, keyed.group_of_row, cast("NDArray[np.uint32]", told[0]))
        own, _ = join_rows(table, matched, dataset=shape.dataset)
        return own


class DhPsiMatch(_Match):
    """The reference, and the quicker one for small sets."""

    spec = dh_psi.SPEC

    def payload_bytes(self, shape: RunShape) -> tuple[int, int]:
        return self.message_bytes(dh_psi.message_bytes, [_params(stage, b"") for stage in shape.stages], shape)

    def work_items(self, shape: RunShape) -> tuple[int, int]:
        receiver, sender = 0, 0
        for stage in shape.stages:
            split = self.split(stage)
            left = split.count - stage.finished
            blinded, sent = left * split.receiver_size, _by_side(stage, *stage.sizes)[1]
            receiver, sender = receiver + 2 * blinded, sender + blinded + sent * left // split.count
        return _by_side(shape, receiver, sender)

    def ask(self, shape: RunShape, own: OwnTable, basis: Basis) -> Script[tuple[Outcome, ...]]:
        params = [_params(stage, basis.context) for stage in shape.stages]
        if shape.exchanged:
            return self.send(dh_psi.offer, own.alternatives, params, basis)
        return self.receive(dh_psi.find, own.alternatives, params, basis)

    def answer(self, shape: RunShape, dataset: LoadedDataset, basis: Basis) -> Script[tuple[Outcome, ...]]:
        params, sets = [_params(stage, basis.context) for stage in shape.stages], _keyed(dataset)
        if shape.exchanged:
            return self.receive(dh_psi.find, sets, params, basis)
        return self.send(dh_psi.offer, sets, params, basis, _sealed(dataset))


class VolePsiMatch(_Match):
    """The one for large sets; the one that withstands a malicious partner."""

    spec = vole_psi.SPEC
    models = ("semi-honest", "malicious")

    def payload_bytes(self, shape: RunShape) -> tuple[int, int]:
        return self.message_bytes(vole_psi.message_bytes, [_vole_params(stage, b"") for stage in shape.stages], shape)

    def work_items(self, shape: RunShape) -> tuple[int, int]:
        count = self.shard_count(shape)
        mine, theirs = (size * (count - shape.finished) // count for size in shape.sizes)
        return mine, theirs

    def curve_items(self, shape: RunShape) -> tuple[float, float]:
        items = sum(vole_items(stage) for stage in shape.stages) * (1 - shape.finished / self.shard_count(shape))
        return items, items

    def buffer_bytes(self, shape: RunShape) -> int:
        split = [self.split(stage) for stage in shape.stages]
        return max(vole_psi.buffer_bytes(vole_psi.Params(b"", each.receiver_size, each.sender_size)) for each in split)

    def fields(self, shape: RunShape) -> dict[str, str]:
        room = [f"{self._room(stage):,}" for stage in shape.stages]
        return {**super().fields(shape), "table_size": alternatives.by_key(shape, room) if shape.alternatives else room[0]}

    def _room(self, stage: RunShape) -> int:
        """Return how many keys a receiver that departs from the protocol may use in a stage."""
        split = self.split(stage)
        return split.count * vole_psi.Params(b"", split.receiver_size, split.sender_size).shape.columns

    def ask(self, shape: RunShape, own: OwnTable, basis: Basis) -> Script[tuple[Outcome, ...]]:
        params = [_vole_params(stage, basis.context) for stage in shape.stages]
        if shape.exchanged:
            return self.send(vole_psi.offer, own.alternatives, params, basis)
        return self.receive(vole_psi.find, own.alternatives, params, basis)

    def answer(self, shape: RunShape, dataset: LoadedDataset, basis: Basis) -> Script[tuple[Outcome, ...]]:
        params, sets = [_vole_params(stage, basis.context) for stage in shape.stages], _keyed(dataset)
        if shape.exchanged:
            return self.receive(vole_psi.find, sets, params, basis)
        return self.send(vole_psi.offer, sets, params, basis, _sealed(dataset))


def _released(shape: RunShape, found: Outcome) -> ReleasedRows | None:
    if isinstance(found, dh_psi.SenderOutput) or found.rows is None:
        return None
    rows, layout = found.rows, RowLayout(shape.released)
    count = len(rows.items)
    cut = layout.cut_flags(rows.payloads, count)
    return ReleasedRows(rows.items, rows.counters, layout.decode(rows.payloads, count), cut)


def _keyed(dataset: LoadedDataset) -> list[Keyed]:
    return [part.keyed for part in dataset.alternatives]


def _sealed(dataset: LoadedDataset) -> list[dh_psi.SenderRows | None]:
    every = [part.rows for part in dataset.alternatives]
    return [None if rows is None else dh_psi.SenderRows(rows.items, rows.counters, rows.payloads) for rows in every]


def _row_shape(shape: RunShape) -> dh_psi.RowShape | None:
    return dh_psi.RowShape(RowLayout(shape.released).width, shape.rows_per_key) if shape.released else None


def _params(shape: RunShape, context: bytes) -> dh_psi.Params:
    both = shape.output_to == "both"
    return dh_psi.Params(context, *_by_side(shape, *shape.sizes), _row_shape(shape), both, shape.minimum_result)


def _vole_params(shape: RunShape, context: bytes) -> vole_psi.Params:
    both, malicious = shape.output_to == "both", shape.model == "malicious"
    return vole_psi.Params(context, *_by_side(shape, *shape.sizes), _row_shape(shape), both, shape.minimum_result, malicious)
