"""``aggregate`` by ``vole-sum``: the initiator may know which customers match; the responder's values stay encrypted.

The quickest way where the sets are large, and the only one with weights of the initiator that the responder does not see.
Minimum sizes are the initiator's own to keep, as under ``dh-sum``. Counts cannot be noisy: the initiator finds them itself, and
would tell dummies from customers. So an agreement that asks for noise cannot allow this way, and no run by it has noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from psc.engines import engine, hiding_engine
from psc.errors import UsageError
from psc.node.tables import LoadedDataset
from psc.operations.aggregate import (
    EncryptedAggregate,
    blocks_and_vectors,
    check_own_weights,
    check_weight_bounds,
    entries_of,
    even_blocks,
    group_names,
    own_weights,
    shape_of,
    terms_of,
    widths,
    without_names,
)
from psc.operations.play import Basis, RunShape, leg_items, vole_items
from psc.operations.prepare import OwnTable
from psc.operations.table import label_bytes
from psc.operations.withholding import place_bytes, withhold
from psc.policy.decide import Allow, RunRequest
from psc.protocols import vole_sum
from psc.protocols.base import Script
from psc.protocols.cells import Sums
from psc.protocols.padding import padded_size
from psc.session.hello import AggregateTerms, Hello
from psc.types import key_names

if TYPE_CHECKING:
    from psc.operations.requests import Aggregate, Request
    from psc.policy.catalogue import CatalogueEntry

__all__ = ["VoleSumAggregate"]


class VoleSumAggregate(EncryptedAggregate):
    """Membership known to the initiator: it matches by the fastest protocol, and adds up what stays encrypted."""

    spec = vole_sum.SPEC

    def plan(self, request: Request, asked: RunRequest, allow: Allow, entry: CatalogueEntry, own: OwnTable) -> RunShape:
        request = cast("Aggregate", request)
        hiding_engine(request.engine)
        check_own_weights(request, own)
        terms = terms_of(request, asked, allow, entry, own).model_copy(update={"engine": engine(request.engine).id})
        keys = entry.key_count_of(key_names(asked.keys[0]))
        theirs = self._their_size(keys, None, terms)
        shape = shape_of(asked, allow, self.spec.id, (padded_size(own.keyed.key_count), theirs), terms)
        self._check_exact(shape)
        return without_names(shape)

    def _check_exact(self, shape: RunShape) -> None:
        if shape.noise is not None:
            raise UsageError("operations.matched-counts-exact", noise=str(shape.noise))
        check_weight_bounds(shape.terms)
        vole_sum.check_feasible(_params(shape, b""))

    def _fits(self, hello: Hello, terms: AggregateTerms) -> bool:
        return super()._fits(hello, terms) and terms.membership == "matcher" and not terms.blocks and hello.noise is None

    def payload_bytes(self, shape: RunShape) -> tuple[int, int]:
        return vole_sum.message_bytes(_params(shape, b""))

    def work_items(self, shape: RunShape) -> tuple[int, int]:
        return shape.sizes

    def curve_items(self, shape: RunShape) -> tuple[float, float]:
        each = vole_items(shape) + leg_items(shape)
        return each, each

    def _statement(self, shape: RunShape) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return vole_sum.LEAKAGE[shape.output_to]

    def fields(self, shape: RunShape) -> dict[str, str]:
        return super().fields(shape) | {"table_size": f"{_params(shape, b'').matching.shape.columns:,}"}

    def ask(self, shape: RunShape, own: OwnTable, basis: Basis) -> Script[Sums | None]:
        mine, params = own.groups, _params(shape, basis.context)
        rule, labels = withhold(mine.labels, shape, 0), label_bytes(mine.labels)
        return vole_sum.receiver(own.keyed.items, mine.index, own_weights(own), params, basis.rng, rule, labels)

    def answer(self, shape: RunShape, dataset: LoadedDataset, basis: Basis) -> Script[Sums | None]:
        labels = group_names(dataset, shape.terms)
        blocks, vectors = blocks_and_vectors(dataset.keyed.items, entries_of(dataset), dataset.group_of_key, len(labels))
        told = place_bytes(labels) if shape.output_to == "responder" else label_bytes(labels)
        return vole_sum.sender(blocks, vectors, told, _params(shape, basis.context), basis.rng)


def _params(shape: RunShape, context: bytes) -> vole_sum.Params:
    terms = shape.terms
    return vole_sum.Params(
        context,
        shape.sizes[0],
        terms.own_groups,
        shape.responder_blocks or even_blocks(shape.sizes[1], terms.their_groups),  # of the plan only the number is known
        widths(shape),
        tuple(statistic.weight for statistic in terms.statistics),
        len(terms.weights),
        engine(terms.engine),
        shape.output_to,
        terms.minimum_group,
        shape.minimum_result,
    )
