"""Ideal functionalities: what each protocol computes, said in a few lines of plain Python. The oracle of the tests.

``ClearSums`` stands in for the homomorphic encryption of sums and hides nothing: protocols are tested with it for every
shape in little time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from psc.crypto import Rng
from psc.errors import EncodingError, LocalProtocolError, MalformedMessageError

__all__ = ["ClearSums", "ideal_count", "ideal_match", "ideal_rows", "ideal_sums"]


def ideal_match(receiver: Sequence[bytes], sender: Sequence[bytes]) -> list[int]:
    """Return the indices of the receiver's items that the sender holds, ascending."""
    held = set(sender)
    return [index for index, item in enumerate(receiver) if item in held]


def ideal_rows(
    receiver: Sequence[bytes], rows: Mapping[bytes, Sequence[bytes]], rows_per_key: int
) -> list[tuple[int, int, bytes]]:
    """Return ``(receiver index, 1-based counter, payload)`` of the rows of common items, at most ``rows_per_key`` each."""
    return [
        (index, counter, payload)
        for index, item in enumerate(receiver)
        for counter, payload in enumerate(list(rows.get(item, ()))[:rows_per_key], start=1)
    ]


def ideal_count(receiver: Sequence[bytes], sender: Sequence[bytes]) -> int:
    """Return how many distinct items both hold."""
    return len(set(receiver) & set(sender))


def ideal_sums(
    receiver: Sequence[Sequence[bytes]],
    sender: Sequence[Mapping[bytes, Sequence[int]]],
    statistics: int,
    weights: Mapping[bytes, Sequence[int]] | None = None,
) -> tuple[list[list[int]], list[list[list[int]]]]:
    """Return the counts and the sums of every pair of groups, over the items that both hold.

    Args:
        receiver: the items of each of its groups.
        sender: for each of its groups the values of each item, one a statistic.
        statistics: how many values an item has.
        weights: factors of the receiver's items, one a statistic; 1 when ``None``.
    """
    counts = [[len(set(own) & set(theirs)) for theirs in sender] for own in receiver]

    def one(own: Sequence[bytes], theirs: Mapping[bytes, Sequence[int]], at: int) -> int:
        return sum(theirs[item][at] * (weights[item][at] if weights else 1) for item in own if item in theirs)

    return counts, [[[one(own, theirs, at) for at in range(statistics)] for theirs in sender] for own in receiver]


@dataclass(frozen=True, slots=True)
class ClearSums:
    """A ``SumEngine`` in the clear: insecure, exact, and as strict as a real one about how it is called.

    Attributes:
        block: positions in one ciphertext.
        max_cells: cells that one key set may release.
        positions: the most positions of a section.
        ciphertext_padding: bytes by which a ciphertext is longer than its block, to try message sizes.
        hides_mask: false, as nothing is hidden.
    """

    block: int = 16
    max_cells: int = 40
    positions: int = 1 << 40
    ciphertext_padding: int = 0
    hides_mask: bool = False

    @property
    def id(self) -> str:
        """Name of the parameter set."""
        return f"clear-{self.block}-insecure/1"

    @property
    def ciphertext_bytes(self) -> int:
        """Length of a ciphertext: a word a position."""
        return 8 * self.block + self.ciphertext_padding

    def key_bytes(self, columns: int) -> int:
        """Return the length of a section's key material."""
        return 32 + 8 * columns

    def reply_bytes(self, columns: int) -> int:
        """Return the length of a cell's reply."""
        return 8 + 8 * columns

    def check(self, positions: int, max_weight: int) -> None:
        """Refuse a section that is too large."""
        if not (0 < positions <= self.positions and 0 < max_weight < 1 << 32):
            raise EncodingError("session.input-does-not-fit", what="positions of a section")

    def owner(self, context: bytes, section: int, columns: int, rng: Rng) -> _ClearOwner:
        """Make the owner's end."""
        return _ClearOwner(self, columns, _material(context, section, columns), rng)

    def matcher(self, context: bytes, section: int, columns: int, cells: int, key_material: bytes) -> _ClearMatcher:
        """Take the owner's key material."""
        if key_material != _material(context, section, columns):
            raise MalformedMessageError("session.message-malformed", what="key material")
        if not 1 <= cells <= self.max_cells:
            raise LocalProtocolError("session.input-does-not-fit", what="cells of a section")
        return _ClearMatcher(self, columns, cells)


def _material(context: bytes, section: int, columns: int) -> bytes:
    return context[:28].ljust(28, b"\0") + section.to_bytes(4, "little") + bytes(8 * columns)


class _ClearOwner:
    def __init__(self, engine: ClearSums, columns: int, material: bytes, rng: Rng) -> None:
        self._engine, self._columns, self._material = engine, columns, material
        self._next, self._released = 0, False
        rng.bytes(32)  # as a real engine: keys come from the party's generator

    def key_material(self) -> bytes:
        return self._material

    def encrypt(self, first_block: int, values: NDArray[np.int64]) -> list[list[bytes]]:
        if first_block != self._next or values.shape[1:] != (self._columns,):
            raise LocalProtocolError("session.input-does-not-fit", what="blocks of a section")
        blocks = -(-len(values) // self._engine.block)
        self._next += blocks
        whole = np.zeros((blocks * self._engine.block, self._columns), dtype="<i8")
        whole[: len(values)] = values
        cut = whole.reshape(blocks, self._engine.block, self._columns)
        end = bytes(self._engine.ciphertext_padding)
        return [[cut[block, :, column].tobytes() + end for column in range(self._columns)] for block in range(blocks)]

    def release(self, replies: Sequence[bytes]) -> NDArray[np.uint64]:
        if self._released:
            raise LocalProtocolError("session.input-does-not-fit", what="a second release")
        self._released = True
        if any(reply[:8] != bytes(8) for reply in replies):
            raise MalformedMessageError("session.message-malformed", what="a reply")
        return np.array([np.frombuffer(reply[8:], dtype="<u8") for reply in replies], dtype=np.uint64)


class _ClearMatcher:
    def __init__(self, engine: ClearSums, columns: int, cells: int) -> None:
        self._engine, self._columns = engine, columns
        self._sums = np.zeros((cells, columns), dtype=np.uint64)
        self._last, self._next, self._finished = -1, 0, False

    def absorb(
        self,
        first_block: int,
        ciphertexts: Sequence[Sequence[bytes]],
        cells: NDArray[np.int32],
        weights: NDArray[np.int64] | None = None,
    ) -> None:
        size = self._engine.block
        most = len(ciphertexts) * size
        again = first_block == self._last and first_block + len(ciphertexts) == self._next  # another layer
        fits = (first_block == self._next or again) and most - size < len(cells) <= most and cells.max() < len(self._sums)
        if not fits or any(len(row) != self._columns for row in ciphertexts):
            raise LocalProtocolError("session.input-does-not-fit", what="blocks of a section")
        self._last, self._next = first_block, first_block + len(ciphertexts)
        end = bytes(self._engine.ciphertext_padding)
        if any(one[8 * size :] != end for row in ciphertexts for one in row):
            raise MalformedMessageError("session.message-malformed", what="a ciphertext")
        chosen = cells >= 0
        factors = np.ones(len(cells), dtype=np.int64) if weights is None else weights
        for column in range(self._columns):
            values = np.concatenate([np.frombuffer(row[column][: 8 * size], dtype="<i8") for row in ciphertexts])
            products = (values[: len(cells)] * factors)[chosen].astype(np.uint64)
            np.add.at(self._sums[:, column], cells[chosen], products)

    def finish(self, offsets: NDArray[np.uint64], rng: Rng) -> list[bytes]:
        if self._finished or offsets.shape != self._sums.shape:
            raise LocalProtocolError("session.input-does-not-fit", what="offsets of a section")
        self._finished = True
        rng.bytes(32)  # as a real engine: what re-randomises comes from the party's generator
        return [bytes(8) + row.astype("<u8").tobytes() for row in self._sums + offsets]
