"""What an engine of homomorphic sums must do: one party encrypts columns of numbers, the other adds up those it chooses.

Three parts: the *engine* (public parameters, the same on both sides), the *owner* of the values and of the keys, and the
*matcher* that adds up. One owner and one matcher make one *section*: one fresh key set, at most ``max_cells`` sums a column.
Positions are packed into *blocks* of ``engine.block``; a ciphertext holds one block of one column. All numbers are exact
modulo 2^64.

Security:
    Semi-honest. The matcher sees ciphertexts only. The owner learns for each cell the sum plus the matcher's offset modulo
    2^64, and nothing of which positions entered it or with which weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from psc.crypto.rng import Rng

__all__ = ["SumEngine", "SumMatcher", "SumOwner"]


class SumOwner(Protocol):
    """The owner's end of one section: holds the secret keys."""

    def key_material(self) -> bytes:
        """Return what the matcher needs, ``engine.key_bytes(columns)`` long."""

    def encrypt(self, first_block: int, values: NDArray[np.int64]) -> list[list[bytes]]:
        """Encrypt consecutive positions.

        Args:
            first_block: number within the section of the block that the first row opens.
            values: (n, columns), any n; the last block is filled up with zeros.

        Returns:
            ``result[block][column]``, each ``engine.ciphertext_bytes`` long.
        """

    def release(self, replies: Sequence[bytes]) -> NDArray[np.uint64]:
        """Decrypt the section's replies, once: the keys are gone afterwards.

        Args:
            replies: one a cell, in order.

        Returns:
            (cells, columns) sums plus offsets modulo 2^64.

        Raises:
            RemoteProtocolError: a reply is malformed.
        """


class SumMatcher(Protocol):
    """The matcher's end of one section: holds one running sum a cell and column."""

    def absorb(
        self,
        first_block: int,
        ciphertexts: Sequence[Sequence[bytes]],
        cells: NDArray[np.int32],
        weights: NDArray[np.int64] | None = None,
    ) -> None:
        """Add the positions of some blocks to the running sums.

        Args:
            first_block: number within the section of the first block.
            ciphertexts: ``[block][column]``, as received.
            cells: (n,) for every position its cell within the section, or -1 for none.
            weights: (n,) factors below 2^32 in absolute value; 1 when ``None``.

        Raises:
            RemoteProtocolError: a ciphertext is malformed.
        """

    def finish(self, offsets: NDArray[np.uint64], rng: Rng) -> list[bytes]:
        """Return one re-randomised reply a cell, ``engine.reply_bytes(columns)`` long, once.

        Args:
            offsets: (cells, columns), added modulo 2^64.
            rng: source of what re-randomises and floods.
        """


class SumEngine(Protocol):
    """Public parameters of one homomorphic encryption, and the makers of its two ends."""

    @property
    def id(self) -> str:
        """Name of the parameter set, as in the handshake."""

    @property
    def block(self) -> int:
        """Positions in one ciphertext."""

    @property
    def max_cells(self) -> int:
        """Cells that one key set may release."""

    @property
    def hides_mask(self) -> bool:
        """Whether the owner of the keys learns nothing of which positions were summed. Where not, it may know membership."""

    @property
    def ciphertext_bytes(self) -> int:
        """Length of a ciphertext: one block of one column."""

    def key_bytes(self, columns: int) -> int:
        """Return the length of a section's key material."""

    def reply_bytes(self, columns: int) -> int:
        """Return the length of a cell's reply."""

    def check(self, positions: int, max_weight: int) -> None:
        """Refuse a section whose sums may be inexact, or whose replies may say more than the sums.

        Args:
            positions: positions that may enter a sum.
            max_weight: bound of the weights' absolute values.

        Raises:
            CryptoError: it is too large for these parameters.
        """

    def owner(self, context: bytes, section: int, columns: int, rng: Rng) -> SumOwner:
        """Make fresh keys.

        Args:
            context: 32 bytes bound to the session; public randomness comes from it and the section's number.
            section: number of the section within the session.
            columns: values a position, at least 1.
            rng: source of the secrets.
        """

    def matcher(self, context: bytes, section: int, columns: int, cells: int, key_material: bytes) -> SumMatcher:
        """Take the owner's key material.

        Args:
            context: as for ``owner``.
            section: as for ``owner``.
            columns: as for ``owner``.
            cells: cells of the section, 1 to ``max_cells``.
            key_material: as received.

        Raises:
            RemoteProtocolError: the key material is malformed.
        """
