"""``vole-sum``: sums of the sender's values over the items that both hold, by groups; the receiver may know which these are.

::

    receiver (items Y, a group and weights each)            sender (items X in blocks, with values)
                          <------------  GroupLabels        names of the sender's groups, or how they are made of columns
      (``vole-psi`` up to the outputs F(y) and F(x) of one pseudorandom function)
                          <------------  SenderTags         truncated F(x), padded, sorted in each of the sender's blocks
      position of every own item among the tags; so the cell of every position, or none
      (homomorphic leg)   masked sums a cell  <---------->  encrypted values in the order of the tags (``masked_sums``)
      (the ending, ``released_sums``)
      GroupLabels, CellCounts             ------------>     (when the output goes to the sender)
                          <------------  ReleasedSums       low bits of sum + offset + noise (when it goes to the receiver)

Blocks, cells, W, R and what a party is returned are those of ``dh-sum``; only the matching differs. Since the receiver knows
which of its items are common, its groups need not travel as blocks: the sender learns their number and the padded size of all.

*Weights.* A statistic may be multiplied by one of the receiver's weight columns. The columns of a ciphertext share a part, so
they are added up alike: every weight column in use, and none if a statistic is not weighted, makes one *layer* of cells of its
own (own group × layer, their group). All statistics come back for every layer; those of another layer are masked by R uniform
modulo 2^64 and thrown away.

Who learns what: the receiver learns which of its items are common, and of each in which of the sender's groups; so all counts.
Sums go to whom the output goes to, as in ``dh-sum``. The sender learns the receiver's padded size and number of groups, how
many weight columns are used and by which statistics; of items, groups, weights and sums nothing, unless the output goes to it.
The order of the tags is that of pseudorandom strings, so a position says nothing of a row.

Adversary model: semi-honest. **A cheating receiver obtains any linear function of the values** that it likes, one for each
cell and statistic, reduced to W bits; minimum sizes and the bounds of its weights do not bind it. It learns membership of about
as many items as the table of ``vole-psi`` has room for. **A cheating sender** falsifies sums; when the output goes to it, it
chooses the values and so reads up to W bits of membership from each sum. What does not fit is refused; no abort depends on
membership.

Cost for padded sizes N and M, c statistics: that of ``vole-psi`` and of the leg, whose cells are multiplied by the layers
(``message_bytes``).

References: as for ``vole-psi`` and ``dh-sum``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psc.crypto import Items, Rng, find_tags, sort_tags
from psc.crypto.sums import SumEngine
from psc.protocols import masked_sums, released_sums, vole_psi
from psc.protocols.base import ProtocolSpec, Script, check_fits, compute, recv_bytes, require, send_bytes
from psc.protocols.cells import (
    WEIGHT_LIMIT,
    Sums,
    Withhold,
    check_cells,
    check_input,
    check_labels,
    groups_within,
    padded_blocks,
    recv_labels,
    send_labels,
    values_in_order,
    weights_within,
    withheld_cells,
)
from psc.protocols.dh_psi import SenderTags, distinct
from psc.types import OutputTo

__all__ = ["LEAKAGE", "SPEC", "Params", "check_feasible", "message_bytes", "receiver", "sender"]


@dataclass(frozen=True, slots=True)
class Params:
    """What both sides agreed in the handshake.

    Attributes:
        context: 32 bytes bound to the session, the same for both roles.
        receiver_size: the receiver's padded number of distinct items.
        receiver_groups: number of the receiver's groups, at least 1.
        sender_blocks: padded number of distinct items in each of the sender's groups, at least one group.
        widths: bits of each statistic's sum *with its noise*, two's complement, 1 to 63; empty: only counts are made.
        weights: for each statistic the number of its weight column, or ``None``: not weighted.
        weight_columns: how many weights each of the receiver's items has.
        engine: the homomorphic encryption.
        output: who learns the sums; ``responder`` is the sender.
        minimum_group: cells with fewer common items are withheld.
        minimum_result: with fewer common items in all, every cell is withheld.
    """

    context: bytes
    receiver_size: int
    receiver_groups: int
    sender_blocks: tuple[int, ...]
    widths: tuple[int, ...]
    weights: tuple[int | None, ...]
    weight_columns: int
    engine: SumEngine
    output: OutputTo
    minimum_group: int = 0
    minimum_result: int = 0

    @property
    def sender_size(self) -> int:
        """The sender's padded number of items."""
        return sum(self.sender_blocks)

    @property
    def shape(self) -> tuple[int, int]:
        """The table: groups of the receiver, groups of the sender."""
        return self.receiver_groups, len(self.sender_blocks)

    @property
    def cells(self) -> int:
        """Number of cells of the table."""
        return self.receiver_groups * len(self.sender_blocks)

    @property
    def layers(self) -> tuple[int | None, ...]:
        """The weight column of each layer of cells; ``None``: added up as they are."""
        return tuple(dict.fromkeys(self.weights))

    @property
    def matching(self) -> vole_psi.Params:
        """The parameters of ``vole-psi``."""
        return vole_psi.Params(self.context, self.receiver_size, self.sender_size)

    @property
    def layout(self) -> masked_sums.Layout:
        """Shape of the homomorphic leg: the receiver's groups are own group × layer."""
        layers, heaviest = len(self.layers), 1 if self.layers == (None,) else WEIGHT_LIMIT - 1
        columns = len(self.widths)
        groups = self.receiver_groups * layers
        return masked_sums.Layout(self.context, groups, self.sender_blocks, columns, self.engine, heaviest, layers)

    @property
    def ending(self) -> released_sums.Ending:
        """Shape of the ending; of the receiver's groups only the whole size is known, which bounds each."""
        bounds, minima = (self.receiver_size,) * self.receiver_groups, (self.minimum_group, self.minimum_result)
        return released_sums.Ending(bounds, self.receiver_size, self.sender_blocks, self.widths, self.output, *minima)


LEAKAGE: dict[OutputTo, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "receiver": (
        ("leakage.vole-sum.receiver", "leakage.vole-sum.cheating", "leakage.vole-sum.sizes"),
        ("leakage.vole-sum.sender", "leakage.vole-sum.falsify", "leakage.vole-sum.sizes"),
    ),
    "responder": (
        ("leakage.vole-sum.members", "leakage.vole-sum.cheating", "leakage.vole-sum.sizes"),
        ("leakage.vole-sum.responder", "leakage.vole-sum.planting", "leakage.vole-sum.sizes"),
    ),
    "both": (
        ("leakage.vole-sum.receiver", "leakage.vole-sum.cheating", "leakage.vole-sum.sizes"),
        ("leakage.vole-sum.responder", "leakage.vole-sum.planting", "leakage.vole-sum.sizes"),
    ),
}
"""Text codes of what the receiver and the sender learn, by whom the output goes to."""

SPEC = ProtocolSpec(
    id="vole-sum",
    version=1,
    suite=vole_psi.SPEC.suite,
    model="semi-honest",
    leakage_receiver=LEAKAGE["receiver"][0],
    leakage_sender=LEAKAGE["receiver"][1],
)


def receiver(
    items: Items,
    groups: NDArray[np.integer[Any]],
    weights: NDArray[np.int64],
    params: Params,
    rng: Rng,
    withhold: Withhold,
    labels: Sequence[bytes] = (b"",),
) -> Script[Sums]:
    """Run the receiver: it matches and adds up.

    Args:
        items: distinct items, at most ``params.receiver_size``.
        groups: for each item the number of its group.
        weights: (items, weight columns) factors, summed over the item's rows, below 2^32 in absolute value.
        params: as agreed.
        rng: source of the noise of the VOLE, the dummies and the offsets.
        withhold: as for ``dh_sum.receiver``.
        labels: names of own groups; they are sent when the output goes to the sender.

    Returns:
        Its table: all counts, and the sums when the output goes to it.

    Raises:
        UsageError: there are too many cells, or the sums are too wide together.
        CryptoError: there are more items than agreed, they could not be encoded (rarer than 2^-50), or the engine cannot make
            sums of this size exactly.
        RemoteProtocolError: a message of the sender is malformed or unexpected.

    Leakage:
        The receiver learns which of its items are common, and the sender's group of each (module docstring).
    """
    _check(params)
    check_fits(items, params.receiver_size)
    check_labels(labels, params.receiver_groups)
    check_input(weights.shape == (len(items), params.weight_columns) and weights_within(weights), "weights")
    check_input(groups.shape == (len(items),) and groups_within(groups, params.receiver_groups), "groups")
    names = yield from recv_labels(params.shape[1])
    rule = withhold(names)  # it may refuse; later, when counts are known, a refusal would tell the sender about them
    positions = yield from _match(items, params, rng)
    matched = np.flatnonzero(positions >= 0)
    counts, cells = yield from compute(_cells, positions[matched], groups[matched], params)
    withheld = yield from compute(withheld_cells, counts, rule, params.minimum_group, params.minimum_result)
    offsets = released_sums.draw_offsets(params.ending, _learned(withheld, params), rng)
    if params.widths:
        shown = matched[~withheld.reshape(-1)[cells]]
        layers = yield from compute(_layers, positions[shown], groups[shown], weights[shown], params)
        yield from masked_sums.matcher(params.layout, layers, offsets, rng)
    return (yield from released_sums.take(params.ending, counts, withheld, _own_layers(offsets, params), labels, names))


def sender(
    blocks: Sequence[Items],
    vectors: Sequence[NDArray[np.int64]],
    labels: Sequence[bytes],
    params: Params,
    rng: Rng,
    noise: NDArray[np.int64] | None = None,
) -> Script[Sums | None]:
    """Run the sender: it owns the values and the keys.

    Args:
        blocks: distinct items by own group, each at most ``params.sender_blocks`` of its group; no item in two groups.
        vectors: for each block one row an item, one column a statistic, each within the bound that ``params.widths`` assumes.
        labels: as for ``dh_sum.sender``.
        params: as agreed.
        rng: source of delta, the trees, the dummies and the encryption.
        noise: as for ``dh_sum.sender``. Counts are never noisy here: the receiver finds them itself.

    Returns:
        Its table when the output goes to it, else nothing.

    Raises:
        UsageError: there are too many cells, or the sums are too wide together.
        CryptoError: a block is larger than agreed, or the engine cannot make sums of this size exactly.
        RemoteProtocolError: a message of the receiver is malformed or unexpected.

    Leakage:
        The sender learns the receiver's padded size and, when the output goes to it, counts and sums that are not withheld.
    """
    _check(params)
    released_sums.check_given(params.ending, blocks, vectors, labels, noise)
    yield from send_labels(labels)
    order = yield from _be_matched(blocks, params, rng)
    words = np.zeros((params.cells, len(params.widths)), dtype=np.uint64)
    if params.widths:
        values = yield from compute(values_in_order, vectors, params.sender_blocks, len(params.widths), order)
        words = _own_layers((yield from masked_sums.owner(params.layout, values, rng)), params)
    return (yield from released_sums.give(params.ending, words, noise))


def check_feasible(params: Params) -> None:
    """Refuse what public sizes say cannot be computed; nothing was sent.

    Raises:
        UsageError: there are too many cells, counted with the layers of weights, or the sums are too wide together.
        CryptoError: the engine cannot make sums of this size exactly, or hide them.
    """
    check_cells(params.receiver_groups * max(len(params.layers), 1), len(params.sender_blocks))
    released_sums.check_widths(params.widths, params.output)
    if params.widths:
        masked_sums.sections(params.layout)


def message_bytes(params: Params) -> tuple[int, int]:
    """Return the payload bytes of a run, receiver to sender and back, without the names of groups."""
    matching = vole_psi.message_bytes(params.matching)
    leg = masked_sums.leg_bytes(params.layout) if params.widths else (0, 0)
    ending = released_sums.ending_bytes(params.ending)
    return matching[0] + leg[0] + ending[0], matching[1] + leg[1] + ending[1]


# --- matching ------------------------------------------------------------------------------------------------------------


def _match(items: Items, params: Params, rng: Rng) -> Script[NDArray[np.int64]]:
    """The receiver's half: for each own item its position among the sender's tags, or -1."""
    matching = params.matching
    outputs = yield from vole_psi.evaluate_own(items, matching, rng)
    own = yield from compute(outputs.tags, work=len(items))  # while the sender evaluates its own
    theirs = yield from recv_bytes(SenderTags, "tags", params.sender_size, matching.tag_bytes)
    positions = yield from compute(find_tags, own[: len(items) * matching.tag_bytes], theirs, matching.tag_bytes)
    found = positions[positions >= 0]
    require(distinct(found, params.sender_size) == len(found), "two of our items match one tag")
    return positions


def _be_matched(blocks: Sequence[Items], params: Params, rng: Rng) -> Script[NDArray[np.int64]]:
    """The sender's half: send the tags; the result is their order, the padded place of every position."""
    size = params.matching.tag_bytes
    padded = yield from compute(padded_blocks, blocks, params.sender_blocks, rng)
    outputs = yield from vole_psi.evaluate_all(padded, params.matching, rng)
    tags = yield from compute(outputs.tags, work=sum(len(block) for block in blocks))
    ordered, order = yield from compute(_sorted_blocks, tags, params)
    yield from send_bytes(SenderTags, ordered, size)
    return order


def _sorted_blocks(tags: bytes, params: Params) -> tuple[bytes, NDArray[np.int64]]:
    """The tags, sorted in each block, and for each the place that it had."""
    size, parts, orders = params.matching.tag_bytes, [], []
    for start, stop in pairwise(np.cumsum([0, *params.sender_blocks]).tolist()):
        part, order = sort_tags(tags[start * size : stop * size], size)
        parts.append(part)
        orders.append(start + order.astype(np.int64))
    return b"".join(parts), np.concatenate(orders)


def _cells(
    positions: NDArray[np.int64], groups: NDArray[np.integer[Any]], params: Params
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The counts of all cells, and the cell of each matched item."""
    cells = groups.astype(np.int64) * params.shape[1] + _their_groups(positions, params)
    return np.bincount(cells, minlength=params.cells).astype(np.int64).reshape(params.shape), cells


def _their_groups(positions: NDArray[np.int64], params: Params) -> NDArray[np.int64]:
    return np.searchsorted(np.cumsum(params.sender_blocks), positions, side="right")


# --- sums ----------------------------------------------------------------------------------------------------------------


def _check(params: Params) -> None:
    check_feasible(params)
    check_input(len(params.weights) == len(params.widths), "weights of statistics")
    check_input(all(weight is None or 0 <= weight < params.weight_columns for weight in params.weights), "weight columns")
    released_sums.check(params.ending)


def _layers(
    positions: NDArray[np.int64], groups: NDArray[np.integer[Any]], weights: NDArray[np.int64], params: Params
) -> list[masked_sums.Layer]:
    """What is added up into which cells of the leg, for the matched items of cells that are shown."""
    found = []
    for number, weight in enumerate(params.layers):
        rows = groups.astype(np.int64) * len(params.layers) + number
        cells = np.full(params.sender_size, -1, dtype=np.int32)
        cells[positions] = rows * params.shape[1] + _their_groups(positions, params)
        factors: NDArray[np.int64] | None = None
        if weight is not None:
            factors = np.zeros(params.sender_size, dtype=np.int64)
            factors[positions] = weights[:, weight]
        found.append(masked_sums.Layer(cells, factors))
    return found


def _learned(withheld: NDArray[np.bool_], params: Params) -> NDArray[np.bool_]:
    """Which sums of the leg's cells the sender may learn: each statistic's in its own layer, where the cell is shown."""
    layers, columns = len(params.layers), len(params.widths)
    wanted = np.array([[weight == layer for weight in params.weights] for layer in params.layers], dtype=np.bool_)
    learned = wanted.reshape(1, layers, 1, columns) & ~withheld[:, None, :, None]
    return learned.reshape(params.cells * layers, columns)


def _own_layers(words: NDArray[np.uint64], params: Params) -> NDArray[np.uint64]:
    """Of the words of the leg's cells those of each statistic in its own layer: (cells of the table, statistics)."""
    own, theirs = params.shape
    if not params.widths:
        return np.zeros((params.cells, 0), dtype=np.uint64)
    whole = words.reshape(own, len(params.layers), theirs, len(params.widths))
    at = [params.layers.index(weight) for weight in params.weights]
    chosen = [whole[:, layer, :, column].reshape(-1) for column, layer in enumerate(at)]
    return np.stack(chosen, axis=1)
