"""Ideal functionalities: what each protocol computes, said in a few lines of plain Python. The oracle of the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["ideal_count", "ideal_match", "ideal_rows"]


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
