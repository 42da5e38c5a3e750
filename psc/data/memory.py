"""Memory that reading a table took and that nothing uses any more."""

from __future__ import annotations

import pyarrow as pa

from psc.crypto import release_memory

__all__ = ["give_back"]

_MANY_ROWS = 1 << 21
"""Rows that take some hundred megabytes to read; of fewer, what is left over is used again sooner than it is given back."""


def give_back(rows: int) -> None:
    """Give back to the system what Arrow, the kernels and the C library hold unused, when so many rows were read."""
    if rows > _MANY_ROWS:
        pa.default_memory_pool().release_unused()
        release_memory()
