"""Names of groups as they travel: one form each, plain, short, and no more labels of a column than were agreed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psc.errors import MalformedMessageError
from psc.operations.play import RunShape
from psc.operations.table import label_bytes, labels_of
from psc.operations.withholding import place_bytes, their_labels, their_places, withhold
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
    for text in ("x" * 64, "\U0001f4e6" * 16, "\u00e9" * 32, '"' * 64, "\\" * 64):
        longest = (text,) * 8
        (sent,) = label_bytes((longest,))
        assert len(sent) <= LABEL_BYTES_MAX
        assert labels_of((sent,), 8) == (longest,)


def test_a_column_has_no_more_labels_than_agreed() -> None:
    """A table of more labels of each column than agreed could be too large to look for withheld cells in."""
    agreed = terms(2, 3)
    fine = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "z")]
    assert their_labels(label_bytes(tuple(fine)), agreed) == tuple(fine)
    assert their_labels(label_bytes(((),)), terms()) == ((),)
    for wrong in ([("a", "x"), ("b", "x"), ("c", "x")], [("a", name) for name in "wxyz"]):
        with pytest.raises(MalformedMessageError):
            their_labels(label_bytes(tuple(wrong)), agreed)


@given(st.lists(st.tuples(LABELS, LABELS, st.sampled_from("xy")), min_size=1, max_size=8, unique=True))
def test_places_that_are_sent_are_read_and_tell_which_groups_have_a_label_in_common(labels: list[tuple[str, ...]]) -> None:
    groups = tuple(sorted(labels))
    found = their_places(place_bytes(groups), terms(8, 8, 2))
    assert [[a == b for a, b in zip(one, two)] for one in found for two in found] == [
        [a == b for a, b in zip(one, two)] for one in groups for two in groups
    ]


def test_places_without_columns_or_groups_are_read() -> None:
    assert their_places(place_bytes(((),)), terms()) == ((),)
    assert their_places(place_bytes((("", ""),)), terms(2, 3)) == ((0, 0),)


@pytest.mark.parametrize(
    "raw",
    [
        (b"[0,0]", b"[0,2]"),  # a gap
        (b"[0,0]", b"[0,1]", b"[0,2]", b"[0,3]"),  # more labels than agreed
        (b"[0,1]", b"[0,0]"),
        (b"[0,0]", b"[0,0]"),
        (b"[1,0]", b"[2,0]"),
        (b"[-1,0]", b"[0,0]"),
        (b"[0]", b"[1]"),
        (b"[0,0,0]",),
        (b"[0,0]", b"[0, 1]"),
        (b"[0,false]",),
        (b"[0,0.0]",),
        (b'["0","0"]',),
        (b"[0,null]",),
        (b"[[0],0]",),
        (b"0",),
        (b"{}",),
        (b"",),
        (b"\xff",),
        (b"[" * 1000,),
        (b"[" + b"9" * 1000 + b",0]",),
    ],
)
def test_places_that_are_none_are_refused(raw: tuple[bytes, ...]) -> None:
    with pytest.raises(MalformedMessageError):
        their_places(raw, terms(2, 3))


@pytest.mark.parametrize(("output_to", "said"), [("receiver", label_bytes), ("both", label_bytes), ("responder", place_bytes)])
def test_what_the_responder_says_of_its_groups_is_judged_before_any_count_is_known(output_to: Any, said: Any) -> None:
    agreed = terms(2, 2).model_copy(update={"minimum_group": 20})
    shape = RunShape("d", "aggregate", "dh-sum", (64, 64), (), 1, output_to, 0, aggregate=agreed)
    begin = withhold(((),), shape, 0)
    for bad in ((b"east",), (b"[true,true]",), tuple(reversed(said((("a", "x"), ("b", "y"))))) if said is place_bytes else ()):
        with pytest.raises(MalformedMessageError):
            begin(bad or (b"[]",))
    rule = begin(said((("B", "F"), ("B", "M"), ("S", "F"), ("S", "M"))))
    assert rule(np.array([[5, 100, 90, 30]])).all()  # two columns, although only numbers may have come
    assert not rule(np.array([[50, 100, 90, 30]])).any()
