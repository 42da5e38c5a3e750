"""``aggregate`` by ``dh-sum`` and by ``owner-sum``: counts and sums over the customers that both have, by groups.

What the ways have in common stands here too; ``vole-sum`` is in ``matched_aggregate``.

Under ``dh-sum`` the initiator matches and the responder, who owns the values, learns nothing of who matches: sums are of
encrypted values. Under ``owner-sum`` the responder learns which of its customers match and adds up in the clear, so that
minimum sizes and noise are its own to enforce. Both give the same table of cells: the initiator's groups × the responder's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from psc.crypto import Items
from psc.data.groups import places_of
from psc.data.values import entry_bound
from psc.engines import available, engine, hiding_engine
from psc.errors import CryptoError, MalformedMessageError, ParameterMismatchError, Rule, UsageError
from psc.node.tables import LoadedDataset
from psc.operations.play import Basis, Play, RunShape, leg_items
from psc.operations.prepare import OwnTable
from psc.operations.requests import group_side
from psc.operations.results import AggregateResult, Ended
from psc.operations.select import statistics_of
from psc.operations.table import label_bytes, labels_of, outputs_table, statistic_name, statistics_table
from psc.operations.withholding import place_bytes, their_labels, withhold
from psc.policy.decide import Allow, Deny, RunRequest
from psc.policy.release import (
    check_table,
    draw_common,
    draw_noise,
    dummies,
    estimate,
    matcher_dummies,
    noise_tail,
    owner_dummies,
    suppress_blocks,
)
from psc.protocols import dh_sum, masked_sums, owner_sum
from psc.protocols.base import Script
from psc.protocols.cells import WEIGHT_LIMIT, Sums, check_cells
from psc.protocols.padding import SMALLEST_SIZE, padded_size
from psc.protocols.released_sums import WIDTH_MAX, check_widths
from psc.session.hello import AggregateTerms, Hello
from psc.types import GroupColumn, Noise, ValueColumn, key_names

if TYPE_CHECKING:
    from psc.data.groups import Labels
    from psc.operations.requests import Aggregate, Request
    from psc.policy.catalogue import CatalogueEntry

__all__ = [
    "AskedColumns",
    "DhSumAggregate",
    "EncryptedAggregate",
    "OwnerSumAggregate",
    "asked_columns",
    "blocks_and_vectors",
    "blocks_of",
    "check_own_weights",
    "check_weight_bounds",
    "entries_of",
    "even_blocks",
    "group_names",
    "own_weights",
    "shape_of",
    "terms_of",
    "widths",
    "without_names",
]


@dataclass(frozen=True, slots=True)
class AskedColumns:
    """The responder's columns that a request uses, as the catalogue declares them."""

    values: tuple[ValueColumn, ...] = ()
    groups: tuple[GroupColumn, ...] = ()


def asked_columns(request: Aggregate, entries: Sequence[CatalogueEntry]) -> AskedColumns | Deny:
    """Return the responder's columns that a request uses, or the refusal of one that no agreement on the dataset has.

    A group is the responder's when it was granted, unless ``own:`` stands before it.

    Raises:
        UsageError: a weighted sum is asked where nobody may know who matches.
    """
    values = {value.name: value for entry in reversed(entries) for value in entry.values}
    groups = {group.name: group for entry in reversed(entries) for group in entry.groups}
    weighted = [output.name for output in request.outputs if output.weight is not None]
    if weighted and request.membership == "hidden":
        raise UsageError("operations.weights-need-owner", name=weighted[0])
    wanted = dict.fromkeys(output.column for output in request.outputs if output.column is not None)
    missing = [name for name in wanted if name not in values]
    if entries and missing:
        return Deny(Rule.VALUE_NOT_GRANTED, {"values": ", ".join(missing), "allowed": ", ".join(map(str, values.values()))})
    theirs = []
    for name in request.group_by:
        side, bare = group_side(name)
        if side == "own":
            continue
        if bare in groups:
            theirs.append(groups[bare])
        elif entries and side == "theirs":
            return Deny(Rule.GROUP_NOT_GRANTED, {"groups": bare, "allowed": ", ".join(sorted(groups))})
    return AskedColumns(tuple(values[name] for name in wanted if name in values), tuple(theirs))


class AggregatePlay(Play["Sums | None", "Sums | None"]):
    """What both ways have in common."""

    noisy = True

    def check_hello(self, hello: Hello) -> None:
        terms = hello.aggregate
        told = terms is not None and (hello.output_to != "receiver" or not terms.own_columns)
        foreign = hello.model not in self.models or bool(hello.released)
        if terms is None or foreign or not told or not self._fits(hello, terms):
            raise MalformedMessageError("session.document-malformed", kind="Hello", where="aggregate")

    def check_feasible(self, hello: Hello, counts: Sequence[int]) -> None:
        (keys,) = counts
        terms = cast("AggregateTerms", hello.aggregate)
        try:
            self._check_exact(RunShape.asked(hello, [self._their_size(keys, hello.noise, terms)]))
        except (UsageError, CryptoError) as error:  # an initiator of ours finds this when it plans
            raise ParameterMismatchError(error.code, **error.fields) from None

    def _check_exact(self, shape: RunShape) -> None:
        """Refuse sums that may not be exact, or not hidden.

        Raises:
            UsageError, CryptoError: they are not.
        """
        widths(shape)

    def asked_size(self, hello: Hello, keys: int) -> int:
        return self._their_size(keys, hello.noise, cast("AggregateTerms", hello.aggregate))

    def _their_size(self, keys: int, noise: Noise | None, terms: AggregateTerms) -> int:
        """Return the largest size that the responder's set can have, as far as it is known before it accepts."""
        del noise, terms
        return padded_size(keys)

    def _fits(self, hello: Hello, terms: AggregateTerms) -> bool:
        raise NotImplementedError

    def fields(self, shape: RunShape) -> dict[str, str]:
        terms = shape.terms
        return {
            "statistics": ", ".join(statistic_name(entry, terms.weights) for entry in terms.statistics) or "-",
            "values": ", ".join(value.name for value in terms.values) or "-",
            "groups": ", ".join(group.name for group in terms.groups) or "-",
            "own_groups": f"{terms.own_groups:,}",
            "their_groups": f"{terms.their_groups:,}",
            "cells": f"{terms.own_groups * terms.their_groups:,}",
            "minimum_group": str(terms.minimum_group),
            "bits": str(max(widths(shape), default=0)),
            "noise": "-" if shape.noise is None else str(shape.noise),
            "weights": ", ".join(weight.name for weight in terms.weights) or "-",
        }

    def statement(self, shape: RunShape) -> tuple[list[str], list[str]]:
        mine, theirs = self._statement(shape)
        noise = [] if shape.noise is None else ["leakage.aggregate.noise"]
        weights = ["leakage.owner-sum.weights"] if shape.terms.weights else []
        return [*mine, *noise], [*theirs, *weights]

    def _statement(self, shape: RunShape) -> tuple[tuple[str, ...], tuple[str, ...]]:
        raise NotImplementedError

    def read(self, shape: RunShape, asked: Sums | None) -> Labels:
        return () if asked is None or asked.sums is None else their_labels(asked.labels, shape.terms)

    def result(
        self, request: Request, shape: RunShape, own: OwnTable, asked: Sums | None, read: object, ended: Ended
    ) -> AggregateResult:
        table: pa.Table | None = None
        if asked is not None and asked.sums is not None:
            named = replace(shape, aggregate=with_names(shape.terms, weight_columns(cast("Aggregate", request))))
            table = outputs_table(cast("Aggregate", request), own.groups, named, cast("Labels", read), asked)
        groups = () if table is None else tuple(table.column_names[: len(cast("Aggregate", request).group_by)])
        return AggregateResult(ended.run_id, table, groups, ended.receipt, ended.stats, ended.leakage)

    def delivered(self, shape: RunShape, dataset: LoadedDataset, answered: Sums | None) -> pa.Table | None:
        if answered is None or answered.sums is None:
            return None
        theirs = labels_of(answered.labels, len(shape.terms.own_columns))
        return statistics_table(shape, group_names(dataset, shape.terms), theirs, answered)


class EncryptedAggregate(AggregatePlay):
    """What the ways have in common by which the initiator matches and adds up, and the responder's values stay encrypted."""

    def _their_size(self, keys: int, noise: Noise | None, terms: AggregateTerms) -> int:
        keys += _dummies(noise, terms) * terms.own_groups * terms.their_groups
        # Of the responder's groups only the number is known before it accepts: this is the most that their padding can make.
        return padded_size(keys) if not terms.groups else keys + keys // 16 + SMALLEST_SIZE * terms.their_groups

    def accepts(self, shape: RunShape, planned_size: int) -> bool:
        blocks, most = shape.responder_blocks, shape.terms.their_groups
        whole = sum(blocks) == shape.sizes[1] <= planned_size and all(padded_size(block) == block for block in blocks)
        return whole and 1 <= len(blocks) <= most and (bool(shape.terms.groups) or shape.sizes[1] == planned_size)

    def _fits(self, hello: Hello, terms: AggregateTerms) -> bool:
        if terms.engine not in available() or not engine(terms.engine).hides_mask:
            ours = ", ".join(available())
            raise ParameterMismatchError(
                "operations.versions-differ", what="engine", ours=ours, theirs=terms.engine, software="-"
            )
        return not terms.own_places  # only who withholds cells needs them

    def responder_sizes(self, hello: Hello, dataset: LoadedDataset) -> tuple[int, tuple[int, ...]]:
        terms = cast("AggregateTerms", hello.aggregate)
        more = _dummies(hello.noise, terms) * terms.own_groups
        sizes = np.bincount(dataset.group_of_key, minlength=len(group_names(dataset, terms)))
        blocks = tuple(padded_size(int(size) + more) for size in sizes)
        return sum(blocks), blocks

    def common(self, asked: Sums | None) -> int | None:
        return None if asked is None else int(asked.counts.sum())


class DhSumAggregate(EncryptedAggregate):
    """Membership hidden: the initiator matches by counting, the responder's values stay encrypted."""

    spec = dh_sum.SPEC

    def plan(self, request: Request, asked: RunRequest, allow: Allow, entry: CatalogueEntry, own: OwnTable) -> RunShape:
        request = cast("Aggregate", request)
        hiding_engine(request.engine)
        terms = terms_of(request, asked, allow, entry, own)
        each = _dummies(allow.noise, terms)
        sizes = np.bincount(own.groups.index, minlength=terms.own_groups)
        blocks = tuple(padded_size(int(size) + each * terms.their_groups) for size in sizes)
        terms = terms.model_copy(update={"blocks": blocks, "engine": engine(request.engine).id})
        keys = entry.key_count_of(key_names(asked.keys[0]))
        theirs = self._their_size(keys, allow.noise, terms)
        shape = shape_of(asked, allow, self.spec.id, (sum(blocks), theirs), terms)
        self._check_exact(shape)
        return shape

    def _check_exact(self, shape: RunShape) -> None:
        params = _dh_sum_params(shape, b"")
        check_widths(params.widths, params.output)
        masked_sums.sections(params.layout)

    def _fits(self, hello: Hello, terms: AggregateTerms) -> bool:
        return (
            super()._fits(hello, terms)
            and terms.membership == "hidden"
            and len(terms.blocks) == terms.own_groups
            and sum(terms.blocks) == hello.initiator_size
            and all(padded_size(block) == block for block in terms.blocks)
            and not terms.weights
        )

    def payload_bytes(self, shape: RunShape) -> tuple[int, int]:
        return dh_sum.message_bytes(_dh_sum_params(shape, b""))

    def work_items(self, shape: RunShape) -> tuple[int, int]:
        return sum(shape.sizes), sum(shape.sizes)

    def curve_items(self, shape: RunShape) -> tuple[float, float]:
        each = sum(shape.sizes) + leg_items(shape)
        return each, each

    def _statement(self, shape: RunShape) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return dh_sum.LEAKAGE[shape.output_to]

    def ask(self, shape: RunShape, own: OwnTable, basis: Basis) -> Script[Sums | None]:
        mine, theirs = own.groups, len(shape.responder_blocks)
        blocks = blocks_of(own.keyed.items, mine.index, len(mine.labels))
        each = _dummies(shape.noise, shape.terms)
        if each:
            blocks = [Items.concat([block, matcher_dummies(g, theirs, each)]) for g, block in enumerate(blocks)]
        params = _dh_sum_params(shape, basis.context)
        sums = yield from dh_sum.receiver(blocks, params, basis.rng, withhold(mine.labels, shape, each), label_bytes(mine.labels))
        return _unbiased(sums, shape)

    def answer(self, shape: RunShape, dataset: LoadedDataset, basis: Basis) -> Script[Sums | None]:
        labels, terms = group_names(dataset, shape.terms), shape.terms
        blocks, vectors = blocks_and_vectors(dataset.keyed.items, entries_of(dataset), dataset.group_of_key, len(labels))
        cells, each, noise = terms.own_groups * len(labels), _dummies(shape.noise, terms), None
        if shape.noise is not None:
            common = draw_common(basis.rng, shape.noise, _numbers(terms), cells).reshape(terms.own_groups, -1)
            blocks = [Items.concat([block, owner_dummies(basis.rng, h, common[:, h], each)]) for h, block in enumerate(blocks)]
            vectors = [np.pad(v, ((0, len(block) - len(v)), (0, 0))) for v, block in zip(vectors, blocks, strict=True)]
            if shape.output_to != "responder":  # a sum that only the owner learns needs no noise of its own
                noise = draw_noise(basis.rng, shape.noise, _numbers(terms), cells, _bounds(shape))
        told = place_bytes(labels) if shape.output_to == "responder" else label_bytes(labels)
        sums = yield from dh_sum.sender(blocks, vectors, told, _dh_sum_params(shape, basis.context), basis.rng, noise)
        return None if sums is None else _unbiased(sums, shape)


class OwnerSumAggregate(AggregatePlay):
    """Membership known to the value owner: matched towards it, summed by it in the clear, limits enforced by it."""

    spec = owner_sum.SPEC

    def plan(self, request: Request, asked: RunRequest, allow: Allow, entry: CatalogueEntry, own: OwnTable) -> RunShape:
        request = cast("Aggregate", request)
        check_own_weights(request, own)
        terms = terms_of(request, asked, allow, entry, own).model_copy(update={"own_places": places_of(own.groups.labels)})
        keys = entry.key_count_of(key_names(asked.keys[0]))
        shape = shape_of(asked, allow, self.spec.id, (padded_size(own.keyed.key_count), padded_size(keys)), terms)
        self._check_exact(shape)
        return without_names(shape)

    def _check_exact(self, shape: RunShape) -> None:
        terms = shape.terms
        check_weight_bounds(terms)
        super()._check_exact(shape)
        axes = [len(set(column)) for column in zip(*terms.own_places, strict=True)]
        cells = terms.own_groups * terms.their_groups
        check_table([*axes, *(group.groups for group in terms.groups)], cells, terms.minimum_group)

    def accepts(self, shape: RunShape, planned_size: int) -> bool:
        # Of the owner's groups the number travels, as blocks of nothing; their sizes stay at home.
        most = shape.terms.their_groups
        return shape.sizes[1] == planned_size and 1 <= len(shape.responder_blocks) <= most and set(shape.responder_blocks) == {1}

    def _fits(self, hello: Hello, terms: AggregateTerms) -> bool:
        return terms.membership == "owner" and not terms.blocks and not terms.engine and bool(terms.own_places)

    def responder_sizes(self, hello: Hello, dataset: LoadedDataset) -> tuple[int, tuple[int, ...]]:
        return padded_size(dataset.keyed.key_count), (1,) * len(group_names(dataset, cast("AggregateTerms", hello.aggregate)))

    def payload_bytes(self, shape: RunShape) -> tuple[int, int]:
        return owner_sum.message_bytes(_owner_sum_params(shape, b""))

    def work_items(self, shape: RunShape) -> tuple[int, int]:
        return sum(shape.sizes), 2 * shape.sizes[1]

    def _statement(self, shape: RunShape) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return owner_sum.LEAKAGE[shape.output_to]

    def ask(self, shape: RunShape, own: OwnTable, basis: Basis) -> Script[Sums | None]:
        labels, params = label_bytes(own.groups.labels), _owner_sum_params(shape, basis.context)
        return owner_sum.receiver(own.keyed.items, own.groups.index, own_weights(own), params, basis.rng, labels)

    def answer(self, shape: RunShape, dataset: LoadedDataset, basis: Basis) -> Script[Sums | None]:
        terms, labels, params = shape.terms, group_names(dataset, shape.terms), _owner_sum_params(shape, basis.context)
        drawn: NDArray[np.int64] | None = None
        if shape.noise is not None:
            # Here, before the first message: how long the samplers take depends on what they draw.
            bounds, cells = [1, *_bounds(shape)], (terms.own_groups, len(labels))
            drawn = draw_noise(basis.rng, shape.noise, _numbers(terms), math.prod(cells), bounds).reshape(*cells, -1)

        def release(counts: NDArray[np.int64], sums: NDArray[np.int64]) -> owner_sum.Table:
            if drawn is not None:
                counts, sums = counts + drawn[..., 0], sums + drawn[..., 1:]
                if int(counts.sum()) < shape.minimum_result:
                    return owner_sum.Table(counts, sums, np.ones(counts.shape, dtype=np.bool_))
            withheld = suppress_blocks(np.maximum(counts, 0), terms.own_places, labels, terms.minimum_group)
            return owner_sum.Table(counts, sums, withheld)

        entries, told = entries_of(dataset), label_bytes(labels)
        return owner_sum.sender(dataset.keyed.items, dataset.group_of_key, entries, told, params, basis.rng, release)

    def common(self, asked: Sums | None) -> int | None:
        return None


def group_names(dataset: LoadedDataset, terms: AggregateTerms) -> Labels:
    """Return the labels of the responder's groups."""
    return dataset.labels or (("",) * len(terms.groups),)  # of no key there is still a group, empty


def entries_of(dataset: LoadedDataset) -> NDArray[np.int64]:
    """Return what each key of the responder adds to each statistic: (keys, statistics)."""
    return np.zeros((dataset.keyed.key_count, 0), np.int64) if dataset.vectors is None else dataset.vectors


def widths(shape: RunShape) -> tuple[int, ...]:
    """Return the bits of each sum with its noise, two's complement, for the most that its bounds allow.

    Raises:
        UsageError: one needs more than 63; nothing was moved.
    """
    terms, found = shape.terms, []
    for statistic, bound in zip(terms.statistics, _bounds(shape), strict=True):
        tail = 0 if shape.noise is None else noise_tail(shape.noise, _numbers(terms), bound)
        bits = (min(shape.sizes) * bound + tail).bit_length() + 1
        if bits > WIDTH_MAX:
            name = statistic_name(statistic, terms.weights)
            raise UsageError("operations.sum-overflows", statistic=name, bits=bits, size=min(shape.sizes), limit=WIDTH_MAX)
        found.append(bits)
    return tuple(found)


def _bounds(shape: RunShape) -> list[int]:
    """By how much one customer can change each sum."""
    terms = shape.terms
    values = {value.name: value for value in terms.values}
    bounds = []
    for statistic in terms.statistics:
        bound = entry_bound(statistic, None if statistic.column is None else values[statistic.column], terms.rows_bound)
        bounds.append(bound if statistic.weight is None else bound * max(terms.weights[statistic.weight].magnitude, 1))
    return bounds


def _numbers(terms: AggregateTerms) -> int:
    """How many noisy numbers one customer is in: every sum of its cell, and the cell's count."""
    return len(terms.statistics) + 1


def _dummies(noise: Noise | None, terms: AggregateTerms) -> int:
    """How many dummies make the count of each cell noisy."""
    return 0 if noise is None else dummies(noise, _numbers(terms), terms.own_groups * terms.their_groups)


def _unbiased(sums: Sums, shape: RunShape) -> Sums:
    """The counts without the dummies' mean, and none below zero."""
    each = _dummies(shape.noise, shape.terms)
    return sums if not each else replace(sums, counts=np.maximum(estimate(sums.counts, each), 0))


def terms_of(request: Aggregate, asked: RunRequest, allow: Allow, entry: CatalogueEntry, own: OwnTable) -> AggregateTerms:
    """Return what a request computes, as both parties are told it."""
    values = {value.name: value for value in asked.values}
    weighted = weight_columns(request)
    groups = tuple(GroupColumn(name=group.name, groups=max(group.groups, 1)) for group in asked.groups)
    theirs = math.prod(group.groups for group in groups)
    check_cells(len(own.groups.labels), theirs)
    axes = [*(len(set(column)) for column in zip(*own.groups.labels, strict=True)), *(group.groups for group in groups)]
    check_table(axes, len(own.groups.labels) * theirs, allow.limits.min_group)
    return AggregateTerms(
        statistics=statistics_of(request.outputs, values, weighted),
        values=asked.values,
        groups=groups,
        weights=tuple(
            ValueColumn(name=name, scale=weight.scale, low=-weight.bound, high=weight.bound)
            for name, weight in zip(weighted, own.weights, strict=True)
        ),
        own_groups=max(len(own.groups.labels), 1),
        own_columns=own.groups.columns if request.output_to != "receiver" else (),
        blocks=(),
        membership=request.membership,
        engine="",
        minimum_group=allow.limits.min_group,
        rows_bound=entry.rows_bound,
    )


def weight_columns(request: Aggregate) -> list[str]:
    """Return the own columns that weight sums, in the order of the terms' weights, which may not have their names."""
    return list(dict.fromkeys(output.weight for output in request.outputs if output.weight is not None))


def with_names(terms: AggregateTerms, names: Sequence[str]) -> AggregateTerms:
    """Return terms with other names of the weight columns."""
    weights = [weight.model_copy(update={"name": name}) for weight, name in zip(terms.weights, names, strict=True)]
    return terms.model_copy(update={"weights": tuple(weights)})


def without_names(shape: RunShape) -> RunShape:
    """Return the shape without the names of own weight columns, for which a responder that learns no result has no use."""
    if shape.output_to != "receiver":
        return shape
    neutral = [f"weight {number}" for number in range(1, len(shape.terms.weights) + 1)]
    return replace(shape, aggregate=with_names(shape.terms, neutral))


def check_own_weights(request: Aggregate, own: OwnTable) -> None:
    """Refuse weights that are too large to travel, or to be multiplied by.

    Raises:
        UsageError: one is 2^32 or more.
    """
    for name, weight in zip(weight_columns(request), own.weights, strict=True):
        if (most := int(np.abs(weight.units).max(initial=0))) >= WEIGHT_LIMIT:
            raise _too_heavy(name, most)


def check_weight_bounds(terms: AggregateTerms) -> None:
    """Refuse bounds that no weight may come near.

    Raises:
        UsageError: one is above 2^32.
    """
    for weight in terms.weights:
        if weight.magnitude > WEIGHT_LIMIT:  # a bound is a power of two that weights may reach
            raise _too_heavy(weight.name, weight.magnitude)


def own_weights(own: OwnTable) -> NDArray[np.int64]:
    """Return the weights of the own keys, (keys, weight columns)."""
    columns = [weight.units for weight in own.weights]
    return np.stack(columns, axis=1) if columns else np.zeros((own.keyed.key_count, 0), np.int64)


def _too_heavy(name: str, weight: int) -> UsageError:
    return UsageError("operations.weight-too-large", name=name, weight=weight, limit=WEIGHT_LIMIT)


def shape_of(asked: RunRequest, allow: Allow, protocol: str, sizes: tuple[int, int], terms: AggregateTerms) -> RunShape:
    """Return the shape of a planned run."""
    return RunShape(
        dataset=asked.dataset,
        operation=asked.operation,
        protocol=protocol,
        sizes=sizes,
        released=(),
        rows_per_key=allow.max_rows_per_key,
        output_to=asked.output_to,
        minimum_result=allow.limits.min_result,
        noise=allow.noise,
        aggregate=terms,
    )


def blocks_of(items: Items, index: NDArray[np.int32], groups: int) -> list[Items]:
    """Return the items of each group."""
    return blocks_and_vectors(items, np.zeros((len(items), 0), np.int64), index, groups)[0]


def blocks_and_vectors(
    items: Items, entries: NDArray[np.int64], index: NDArray[np.int32], groups: int
) -> tuple[list[Items], list[NDArray[np.int64]]]:
    """Return the items of each group in their order, and the entries of these, row by row.

    Args:
        items: one a key.
        entries: (keys, statistics).
        index: for each key the number of its group.
        groups: how many groups there are, also those without a key.
    """
    if groups == 1:
        return [items], [entries]
    order = np.argsort(index.astype(np.min_scalar_type(groups)), kind="stable")  # by radix, where 16 bits hold a number
    ends = np.cumsum(np.bincount(index, minlength=groups)).tolist()
    items, entries = items.take(order.astype(np.uint32)), entries[order]
    parts = list(pairwise([0, *ends]))
    return [items.slice(start, stop) for start, stop in parts], [entries[start:stop] for start, stop in parts]


def _dh_sum_params(shape: RunShape, context: bytes) -> dh_sum.Params:
    terms = shape.terms
    theirs = shape.responder_blocks or even_blocks(shape.sizes[1], terms.their_groups)  # of the plan only the number is known
    return dh_sum.Params(
        context,
        terms.blocks,
        theirs,
        widths(shape),
        engine(terms.engine),
        shape.output_to,
        *_minima(shape),
    )


def even_blocks(size: int, groups: int) -> tuple[int, ...]:
    """Return sizes of as many groups, about equal, for a formula before the true ones are known."""
    return tuple(size * (at + 1) // groups - size * at // groups for at in range(groups))


def _minima(shape: RunShape) -> tuple[int, int]:
    """Least counts of a cell and of all, as the protocol sees them: dummies are among what it counts under ``dh-sum``."""
    terms = shape.terms
    if shape.noise is None:
        return terms.minimum_group, shape.minimum_result
    if shape.protocol == owner_sum.SPEC.id:
        return 0, 0  # the owner's release holds the noisy numbers against them
    shift = _dummies(shape.noise, terms) // 2
    cells = terms.own_groups * (len(shape.responder_blocks) or terms.their_groups)
    return (
        terms.minimum_group + shift if terms.minimum_group else 0,
        shape.minimum_result + shift * cells if shape.minimum_result else 0,
    )


def _owner_sum_params(shape: RunShape, context: bytes) -> owner_sum.Params:
    terms = shape.terms
    groups = len(shape.responder_blocks) or terms.their_groups
    weights = tuple(statistic.weight for statistic in terms.statistics)
    sizes = (*shape.sizes, terms.own_groups, groups, len(terms.weights))
    bounds = tuple(weight.magnitude for weight in terms.weights)
    return owner_sum.Params(context, *sizes, weights, shape.output_to, *_minima(shape), bounds)
