"""The homomorphic leg of sums: the owner's values travel encrypted, the matcher adds up those it chooses, masked, by cell.

::

    matcher (a cell, or none, for every position)           owner (values, one row a position)
    for every section:
                          <------------  SumKeys            what is needed to re-randomise; a fresh key set
                          <------------  EncryptedValues    the section's positions, all columns
      MaskedSums   for every cell: its sums + offsets ------>
                                                            sums + offsets mod 2^64

A *section* is one key set of the engine: a run of the owner's blocks and a range of the matcher's groups, with no more cells
than one key may release (``engine.max_cells``). Both parties work out the same sections from public sizes. Positions of a
section are consecutive, so small blocks share a ciphertext; the next section starts a new one.

Who learns what: the owner learns, for every cell and column, the sum plus the matcher's offset modulo 2^64; the matcher
learns nothing. Which positions entered a sum is hidden from the owner by the engine (re-randomised and flooded). Who may
learn the sums themselves is decided by the offsets, in the protocol that runs this leg.

How positions come to have cells is not decided here: this leg serves every way of matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from psc.crypto import Rng
from psc.crypto.sums import SumEngine
from psc.protocols.base import Message, Script, chunks, compute, recv_bytes, send_bytes

__all__ = [
    "EncryptedValues",
    "Layer",
    "Layout",
    "MaskedSums",
    "Section",
    "SumKeys",
    "leg_bytes",
    "matcher",
    "owner",
    "sections",
]

_BATCH_BYTES = 4 * 1024 * 1024
"""Ciphertexts that are made, or added up, in one call, in bytes: enough for all cores, and memory stays flat."""


@dataclass(frozen=True, slots=True)
class SumKeys(Message):
    """A piece of a section's key material."""

    material: bytes


@dataclass(frozen=True, slots=True)
class EncryptedValues(Message):
    """Ciphertexts of a section, whole ones, block after block and in a block column after column."""

    ciphertexts: bytes


@dataclass(frozen=True, slots=True)
class MaskedSums(Message):
    """Replies of a section, one a cell: its re-randomised sums plus offsets, all columns."""

    replies: bytes


@dataclass(frozen=True, slots=True)
class Section:
    """One key set: ranges (start, stop) of the matcher's groups and of the owner's, and of the owner's positions."""

    own: tuple[int, int]
    theirs: tuple[int, int]
    positions: tuple[int, int]

    @property
    def cells(self) -> int:
        """Number of cells."""
        return (self.own[1] - self.own[0]) * (self.theirs[1] - self.theirs[0])

    @property
    def count(self) -> int:
        """Number of positions."""
        return self.positions[1] - self.positions[0]


@dataclass(frozen=True, slots=True)
class Layout:
    """Public shape of a leg.

    Attributes:
        context: 32 bytes bound to the session.
        groups: the matcher's number of groups.
        blocks: the owner's padded number of positions in each of its groups.
        columns: values a position, at least 1.
        engine: the homomorphic encryption.
        max_weight: bound of the weights' absolute values; 1 where positions are added up as they are.
        layers: how many times a position is added up, at least 1.
    """

    context: bytes
    groups: int
    blocks: tuple[int, ...]
    columns: int
    engine: SumEngine
    max_weight: int = 1
    layers: int = 1


def sections(layout: Layout) -> tuple[Section, ...]:
    """Return the sections with the fewest bytes of key material and ciphertexts; the same on both sides.

    Raises:
        CryptoError: a section's sums may not be exact, or not hidden, with this engine.
    """
    engine = layout.engine
    least, found = -1, tuple[tuple[tuple[int, int], tuple[int, int]], ...]()
    for width in sorted({-(-layout.groups // parts) for parts in range(1, layout.groups + 1)}, reverse=True):
        if width > engine.max_cells:
            continue
        own = tuple(chunks(layout.groups, width))
        size, runs = _runs(layout, engine.max_cells // width)
        if least < 0 or size * len(own) < least:
            least, found = size * len(own), tuple((run, part) for run in runs for part in own)
    ends = [0, *np.cumsum(layout.blocks, dtype=np.int64).tolist()]
    parts = tuple(Section(part, run, (ends[run[0]], ends[run[1]])) for run, part in found)
    rounded = max(-(-section.count // engine.block) * engine.block for section in parts)
    engine.check(rounded * layout.layers, layout.max_weight)
    return parts


def _runs(layout: Layout, most: int) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Cut the owner's blocks into runs of at most ``most`` with the fewest bytes; return these and the runs."""
    engine = layout.engine
    ends = np.concatenate([[0], np.cumsum(layout.blocks, dtype=np.int64)])
    keys, ciphertexts = engine.key_bytes(layout.columns), layout.columns * engine.ciphertext_bytes
    least = np.zeros(len(ends), dtype=np.int64)
    cut = [0] * len(ends)
    for stop in range(1, len(ends)):
        first = max(0, stop - most)
        sizes = least[first:stop] + keys + -(-(ends[stop] - ends[first:stop]) // engine.block) * ciphertexts
        cut[stop] = first + int(sizes.argmin())
        least[stop] = sizes.min()
    runs, stop = [], len(ends) - 1
    while stop:
        runs.append((cut[stop], stop))
        stop = cut[stop]
    return int(least[-1]), tuple(reversed(runs))


def leg_bytes(layout: Layout) -> tuple[int, int]:
    """Return the payload bytes of the leg, matcher to owner and back."""
    engine, parts = layout.engine, sections(layout)
    forward = sum(section.cells for section in parts) * engine.reply_bytes(layout.columns)
    blocks = sum(-(-section.count // engine.block) for section in parts)
    return forward, len(parts) * engine.key_bytes(layout.columns) + blocks * layout.columns * engine.ciphertext_bytes


@dataclass(frozen=True, slots=True, repr=False)
class Layer:
    """One way of adding positions up; several layers of one leg put their sums into different cells.

    Attributes:
        cells: for every position of the owner its cell in the whole table, or -1.
        weights: (positions,) factors within ``Layout.max_weight``; 1 when ``None``.
    """

    cells: NDArray[np.int32]
    weights: NDArray[np.int64] | None = None


def matcher(layout: Layout, layers: Sequence[Layer], offsets: NDArray[np.uint64], rng: Rng) -> Script[None]:
    """Run the party that adds up.

    Args:
        layout: as agreed.
        layers: what is added up, and into which cells; ``layout.layers`` of them.
        offsets: (cells, columns) added to the sums modulo 2^64.
        rng: source of what re-randomises and floods.

    Raises:
        RemoteProtocolError: key material or a ciphertext is malformed.

    Leakage:
        The matcher sees keys and ciphertexts in numbers fixed by public sizes.
    """
    engine = layout.engine
    for index, section in enumerate(sections(layout)):
        material = yield from recv_bytes(SumKeys, "material", engine.key_bytes(layout.columns), 1)
        sums = yield from compute(engine.matcher, layout.context, index, layout.columns, section.cells, material)
        local = [_local_cells(layer.cells, layout, section) for layer in layers]
        factors = [None if layer.weights is None else layer.weights[slice(*section.positions)] for layer in layers]
        for start, stop in _batches(layout, section):
            count = (stop - start) * layout.columns
            data = yield from recv_bytes(EncryptedValues, "ciphertexts", count, engine.ciphertext_bytes)
            part = slice(start * engine.block, stop * engine.block)
            split = _split(data, engine.ciphertext_bytes)
            rows = [split[at : at + layout.columns] for at in range(0, count, layout.columns)]
            for cells, weights in zip(local, factors, strict=True):
                yield from compute(sums.absorb, start, rows, cells[part], None if weights is None else weights[part])
        replies = yield from compute(sums.finish, offsets[_numbers(layout, section)], rng)
        yield from send_bytes(MaskedSums, b"".join(replies), engine.reply_bytes(layout.columns))


def owner(layout: Layout, values: NDArray[np.int64], rng: Rng) -> Script[NDArray[np.uint64]]:
    """Run the party that holds the values and the keys.

    Args:
        layout: as agreed.
        values: (positions, columns), 0 at padding.
        rng: source of the keys and of the encryptions.

    Returns:
        (cells, columns) sums plus the matcher's offsets modulo 2^64, in the order of the whole table.

    Raises:
        RemoteProtocolError: a reply is malformed.

    Leakage:
        The owner learns what is returned, and nothing of which positions entered a sum.
    """
    engine = layout.engine
    released = np.zeros((layout.groups * len(layout.blocks), layout.columns), dtype=np.uint64)
    for index, section in enumerate(sections(layout)):
        keys = yield from compute(engine.owner, layout.context, index, layout.columns, rng)
        material = yield from compute(keys.key_material)
        yield from send_bytes(SumKeys, material, 1)
        rows = values[slice(*section.positions)]
        for start, stop in _batches(layout, section):
            part = rows[start * engine.block : stop * engine.block]
            blocks = yield from compute(keys.encrypt, start, part)
            ciphertexts = b"".join(one for block in blocks for one in block)
            yield from send_bytes(EncryptedValues, ciphertexts, engine.ciphertext_bytes)
        data = yield from recv_bytes(MaskedSums, "replies", section.cells, engine.reply_bytes(layout.columns))
        replies = _split(data, engine.reply_bytes(layout.columns))
        released[_numbers(layout, section)] = yield from compute(keys.release, replies)
    return released


def _batches(layout: Layout, section: Section) -> list[tuple[int, int]]:
    """The section's ciphertext blocks, a call's worth at a time."""
    most = max(1, _BATCH_BYTES // (layout.columns * layout.engine.ciphertext_bytes))
    return list(chunks(-(-section.count // layout.engine.block), most))


def _numbers(layout: Layout, section: Section) -> NDArray[np.int64]:
    """The numbers in the whole table of the section's cells, in the section's order."""
    own, theirs = np.arange(*section.own), np.arange(*section.theirs)
    return (own[:, None] * len(layout.blocks) + theirs[None, :]).reshape(-1)


def _local_cells(cells: NDArray[np.int32], layout: Layout, section: Section) -> NDArray[np.int32]:
    """The cell within the section of each of its positions; -1 where the position has none, or one of another section."""
    place = np.full(layout.groups * len(layout.blocks) + 1, -1, dtype=np.int32)  # -1 finds the last entry
    place[_numbers(layout, section)] = np.arange(section.cells, dtype=np.int32)
    return place[cells[slice(*section.positions)]]


def _split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]
