"""A match by any of several keys: which rows take which key's matches, and what the statement says of it.

Each party ranks its own rows by itself: a row takes the matches of the first key by which it matches. The minimum is kept by
each key, for what one key tells is a result of its own, and would be small beside a large one too: a key by which fewer match is
withheld as a whole, as if nothing matched by it. The partner, when it is told anything, is told the same keys by the script.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from psc.node.tables import LoadedDataset
from psc.operations.play import RunShape
from psc.operations.prepare import OwnTable
from psc.operations.results import AlternativeResult, Ended, Matched, MatchResult, ReleasedRows, cut_keys, join_ranked

__all__ = ["by_key", "delivered", "fields", "result", "statement"]

_OF_SEVERAL = {
    "leakage.match.receiver": "leakage.match.any.receiver",
    "leakage.match.sizes": "leakage.match.any.sizes",
    "leakage.match.shards": "leakage.match.any.shards",
    "leakage.match.both": "leakage.match.any.both",
    "leakage.match.receiver-second": "leakage.match.any.receiver-second",
    "leakage.match.both-first": "leakage.match.any.both-first",
    "leakage.match.malicious": "leakage.match.any.malicious",
}
"""The lines of a statement that say something else of several keys."""


def by_key(shape: RunShape, texts: Sequence[str]) -> str:
    """Return one text a key as one: ``phone 1,024; email 64``."""
    return "; ".join(f"{each.key} {text}" for each, text in zip(shape.alternatives, texts, strict=True))


def fields(shape: RunShape, parts: Sequence[str]) -> dict[str, str]:
    """Return what the lines of the statement need.

    Args:
        shape: the run.
        parts: how the sets of each key are split, in words.
    """
    sizes = [f"{mine:,} / {theirs:,}" for mine, theirs in (each.sizes for each in shape.alternatives)]
    return {
        "alternatives": ", ".join(each.key for each in shape.alternatives),
        "alternative_sizes": by_key(shape, sizes),
        "alternative_shards": by_key(shape, parts),
    }


def statement(shape: RunShape, mine: Sequence[str], theirs: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the text codes of what both sides learn, from those of a match by one key."""
    if not shape.alternatives:
        return list(mine), list(theirs)
    both = [[_OF_SEVERAL.get(code, code) for code in codes] for codes in (mine, theirs)]
    if shape.model == "malicious":
        for codes in both:
            codes.append("leakage.match.any.theorem")
    return both[0], both[1]


def result(
    shape: RunShape,
    own: OwnTable,
    found: Sequence[NDArray[np.uint32] | None],
    released: Sequence[ReleasedRows | None],
    ended: Ended,
) -> MatchResult:
    """Return the initiator's result.

    Args:
        shape: the run.
        own: the own table with the keys of each alternative.
        found: indices of its keys that match by each; ``None`` where it was not told.
        released: the responder's rows of each, where columns are released.
        ended: how the run ended.
    """
    matches, counts, cut = [], [], 0
    for each, keyed, matched, rows in zip(shape.alternatives, own.alternatives, found, released, strict=True):
        told = matched if matched is not None and len(matched) >= shape.minimum_result else None
        keys = np.zeros(0, np.uint32) if told is None else told
        matches.append(Matched(keyed.row_of, keyed.group_of_row, keys, None if told is None else rows, each.key))
        counts.append(None if told is None else len(told))
        cut += 0 if told is None else cut_keys(rows)
    table, rows_of = join_ranked(own.keyed.table, matches, dataset=shape.dataset)
    every = tuple(
        AlternativeResult(each.key, rows, count, withheld=count is None)
        for each, rows, count in zip(shape.alternatives, rows_of, counts, strict=True)
    )
    keys_matched = sum(count or 0 for count in counts)
    return MatchResult(ended.run_id, table, sum(rows_of), keys_matched, cut, ended.receipt, ended.stats, ended.leakage, every)


def delivered(shape: RunShape, dataset: LoadedDataset, table: pa.Table, told: Sequence[NDArray[np.uint32] | None]) -> pa.Table:
    """Return the responder's rows that match by a key of which it may show the matches.

    Args:
        shape: the run.
        dataset: the dataset with the keys of each alternative.
        table: its rows, with what leads back to the source.
        told: indices of its keys that match by each alternative; ``None`` where they are not shown.
    """
    matches = [
        Matched(part.keyed.row_of, part.keyed.group_of_row, keys, name=each.key)
        for each, part, keys in zip(shape.alternatives, dataset.alternatives, told, strict=True)
        if keys is not None
    ]
    return join_ranked(table, matches, dataset=shape.dataset)[0]
