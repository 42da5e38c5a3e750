"""Names of groups as they travel: one form each, plain, short, and no more labels of a column than were agreed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psc.errors import MalformedMessageError
from psc.operations.aggregate import _their_labels
from psc.operations.table import label_bytes, labels_of
from psc.protocols.cells import LABEL_BYTES_MAX
from psc.session.hello import AggregateTerms
from psc.texts import is_plain
from psc.types import GroupColumn

LABELS = st.text(max_size=16).filter(is_plain)


def terms(*groups: int) -> AggregateTerms:
    columns = tuple(GroupColumn(name=f"g{at}", groups=number) for at, number in enumerate(groups))
    nothing: dict[str, Any] = {"statistics": (), "values": (), "weights": (), "own_columns": (), "blocks": ()}
    return AggregateTerms(**nothing, groups=columns, own_groups=1, membership="hidden", engine="", minimum_group=0, rows_bound=1)


@given(st.integers(0, 8).flatmap(lambda columns: st.lists(st.tuples(*[LABELS] * columns), max_size=8)))
def test_what_is_sent_is_read(labels: list[tuple[str, ...]]) -> None:
    sent = label_bytes(tuple(labels))
    assert all(len(one) <= LABEL_BYTES_MAX for one in sent)
    assert labels_of(sent, len(labels[0]) if labels else 0) == tuple(labels)


@given(st.lists(st.binary(max_size=64), min_size=1, max_size=4), st.integers(0, 3))
def test_any_bytes_are_read_or_refused(raw: list[bytes], columns: int) -> None:
    try:
        labels = labels_of(raw, columns)
    except MalformedMessageError:
        return
    assert label_bytes(labels) == tuple(raw)


def test_the_longest_label_of_eight_columns_fits() -> None:
    for text in ("x" * 64, "\U0001f4e6" * 16, '"' * 32 + "x" * 32):
        longest = (text,) * 8
        (sent,) = label_bytes((longest,))
        assert len(sent) <= LABEL_BYTES_MAX
        assert labels_of((sent,), 8) == (longest,)


def test_a_column_has_no_more_labels_than_agreed() -> None:
    """A table of more labels of each column than agreed could be too large to look for withheld cells in."""
    agreed = terms(2, 3)
    fine = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "z")]
    assert _their_labels(label_bytes(tuple(fine)), agreed) == tuple(fine)
    assert _their_labels(label_bytes(((),)), terms()) == ((),)
    for wrong in ([("a", "x"), ("b", "x"), ("c", "x")], [("a", name) for name in "wxyz"]):
        with pytest.raises(MalformedMessageError):
            _their_labels(label_bytes(tuple(wrong)), agreed)
