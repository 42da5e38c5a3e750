"""The table of an aggregate: ``customers`` and ``withheld`` are what they say, whatever the group columns are called."""

from __future__ import annotations

from itertools import product
from typing import cast

import numpy as np
import pyarrow as pa
import pytest

from psc.audit.receipt import SignedReceipt
from psc.operations.leakage import Leakage
from psc.operations.play import RunShape
from psc.operations.prepare import OwnGroups
from psc.operations.requests import Aggregate
from psc.operations.results import AggregateResult, RunStats
from psc.operations.select import count
from psc.operations.table import CUSTOMERS, WITHHELD, outputs_table, statistics_table
from psc.protocols.cells import Sums
from psc.session.hello import AggregateTerms
from psc.types import GroupColumn, Statistic

PAIRS = list(product(["withheld", "customers", "count", "city"], repeat=2))
COUNTS = np.array([[7, 3], [5, 9]])
HIDDEN = np.array([[False, True], [True, False]])
SUMS = Sums(counts=COUNTS, sums=(COUNTS * 10)[..., None], labels=(b'["a"]', b'["b"]'), withheld=HIDDEN)


def shape(own: str, theirs: str) -> RunShape:
    terms = AggregateTerms(
        statistics=(Statistic(kind="count", per="row", column=None, low=None, high=None, weight=None),),
        values=(),
        groups=(GroupColumn(name=theirs, groups=2),),
        weights=(),
        own_groups=2,
        own_columns=(own,),
        blocks=(64, 64),
        membership="hidden",
        engine="rlwe-8192-168/1",
        minimum_group=5,
        rows_bound=1,
    )
    return RunShape("d", "aggregate", "dh-sum", (128, 128), (), 1, "both", 0, aggregate=terms, responder_blocks=(64, 64))


def check(table: pa.Table) -> None:
    assert table.schema.field(WITHHELD).type == pa.bool_()
    assert table.schema.field(CUSTOMERS).type == pa.int64()
    assert len(set(table.column_names)) == len(table.column_names)
    assert table.column_names[2] == CUSTOMERS
    assert table.column_names[-1] == WITHHELD
    labels = zip(*(table.column(at).to_pylist() for at in (0, 1)), strict=True)
    rows = dict(zip(labels, table.to_pylist(), strict=True))
    assert {label: (row[CUSTOMERS], row[WITHHELD]) for label, row in rows.items()} == {
        ("x", "a"): (7, False),
        ("x", "b"): (None, True),
        ("y", "a"): (None, True),
        ("y", "b"): (9, False),
    }


@pytest.mark.parametrize(("own", "theirs"), PAIRS)
def test_no_group_takes_the_name_of_a_column_that_every_table_has(own: str, theirs: str) -> None:
    groups, run = OwnGroups((own,), (("x",), ("y",)), np.zeros(0, np.int32)), shape(own, theirs)
    chosen = [f"own:{own}", f"theirs:{theirs}"]
    request = Aggregate("orders.csv", on="phone", dataset="d", purpose="p", select=count(per="row"), group_by=chosen)
    table = outputs_table(request, groups, run, (("a",), ("b",)), SUMS)
    check(table)
    result = AggregateResult(
        "r", table, tuple(table.column_names[:2]), cast("SignedReceipt", None), cast("RunStats", None), cast("Leakage", None)
    )
    assert result.withheld_groups == 2
    assert not set(result.groups) & {CUSTOMERS, WITHHELD}


@pytest.mark.parametrize(("own", "theirs"), PAIRS)
def test_nor_in_the_table_that_the_responder_keeps(own: str, theirs: str) -> None:
    """Its rows are the responder's cells: its own groups are the second axis there as well."""
    check(statistics_table(shape(own, theirs), (("a",), ("b",)), (("x",), ("y",)), SUMS))
