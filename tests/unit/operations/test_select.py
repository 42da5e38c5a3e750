"""Outputs, and the sums that they rest on."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import psc
from psc.errors import UsageError
from psc.operations.select import Cell, Output, evaluate, statistics_of
from psc.operations.table import arrow_type
from psc.types import Statistic, ValueColumn

FEE = ValueColumn(name="fee", scale=2, low=-1000, high=1000)
VALUES = {"fee": FEE}


def cell_of(values: list[int], outputs: list[Output]) -> Cell:
    """One customer a value."""
    sums: dict[Statistic, int] = {}
    for need in statistics_of(outputs, VALUES, []):
        inside = [v for v in values if need.low is None or need.high is None or need.low <= v < need.high]
        terms = {"count": [1] * len(values), "sum": values, "squares": [v * v for v in values], "bin": [1] * len(inside)}
        sums[need] = sum(terms[need.kind])
    return Cell(len(values), sums)


@given(st.lists(st.integers(-1000, 1000), max_size=30))
def test_outputs_follow_from_sums_as_pandas_computes_them(values: list[int]) -> None:
    outputs = [psc.count(), psc.sum("fee"), psc.mean("fee"), psc.var("fee"), psc.std("fee")]
    found = [evaluate(output, cell_of(values, outputs), VALUES, []) for output in outputs]
    series = pd.Series([v / 100 for v in values], dtype=float)
    assert found[0] == len(values)
    assert found[1] == sum((Decimal(v).scaleb(-2) for v in values), start=Decimal(0))
    for got, want in zip(found[2:], (series.mean(), series.var(), series.std()), strict=True):
        assert (got is None) if np.isnan(want) else got == pytest.approx(want, rel=1e-9, abs=1e-9)


@given(st.lists(st.integers(-1000, 1000), max_size=30))
def test_bins_are_numpys(values: list[int]) -> None:
    edges = [-10, "-2.5", 0, Decimal("0.01"), 10.0]
    bins = list(psc.histogram("fee", edges))
    cell = cell_of(values, bins)
    # By units: a float cannot tell -2.5 from its neighbours, whole numbers can.
    want, _ = np.histogram(values, [-1000, -250, 0, 1, 1000])
    assert [evaluate(one, cell, VALUES, []) for one in bins] == want.tolist()


def test_every_sum_travels_once() -> None:
    outputs = [psc.mean("fee"), psc.sum("fee"), psc.std("fee"), psc.var("fee"), psc.count(), psc.count("fee")]
    assert [need.kind for need in statistics_of(outputs, VALUES, [])] == ["sum", "count", "squares"]
    assert statistics_of([psc.count()], VALUES, []) == ()


def test_names_and_types() -> None:
    weighted = psc.weighted_sum("rate", "fee", scale=1)
    assert weighted.name == "rate*fee_sum"
    assert str(arrow_type(weighted, VALUES)) == "decimal128(38, 3)"
    assert psc.mean("fee", per="customer").name == "fee_mean_per_customer"
    assert [output.name for output in psc.histogram("fee", [0, 1, 2])] == ["fee_[0,1)", "fee_[1,2]"]
    assert [output.name for output in (psc.count(), psc.count(per="row"), psc.count("fee"))] == ["count", "rows", "fee_count"]


def test_noise_never_breaks_a_result() -> None:
    outputs = [psc.mean("fee"), psc.var("fee"), psc.std("fee")]
    needs = statistics_of(outputs, VALUES, [])
    for sums in ((5, 0, 3), (5, -2, 3), (100, 3, -7)):
        cell = Cell(1, dict(zip(needs, sums, strict=True)))
        found = [evaluate(output, cell, VALUES, []) for output in outputs]
        assert all(value is None or np.isfinite(value) for value in found if not isinstance(value, Decimal))


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: psc.histogram("fee", [1]), "operations.edges"),
        (lambda: psc.histogram("fee", [1, 1]), "operations.edges"),
        (lambda: psc.histogram("fee", ["a", 2]), "operations.edges"),
        (lambda: psc.histogram("fee", [0, float("nan")]), "operations.edges"),
        (lambda: psc.histogram("fee", range(67)), "operations.edges"),
        (lambda: psc.histogram("fee", [0, "1e999999"]), "operations.edges"),
        (lambda: psc.histogram("fee", ["1e-999999", 1]), "operations.edges"),
        (lambda: statistics_of(psc.histogram("fee", [0, "1e18"]), VALUES, []), "operations.edge-scale"),
        (lambda: psc.mean("fee", per="order"), "operations.per"),
        (lambda: psc.weighted_sum("rate", "fee", scale=10), "operations.scale-range"),
        (lambda: statistics_of(psc.histogram("fee", ["0.001", 1]), VALUES, []), "operations.edge-scale"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"select": []}, "operations.select-empty"),
        ({"select": ["sum:fee"]}, "operations.select-empty"),
        ({"select": [psc.sum("fee"), psc.sum("fee")]}, "operations.select-twice"),
        ({"group_by": ["city", "city"]}, "operations.group-twice"),
        ({"select": [psc.weighted_sum("r", "fee"), psc.weighted_sum("r", "weight", scale=2)]}, "operations.weight-scales"),
    ],
)
def test_requests_that_make_no_sense_are_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        psc.Aggregate([], on="phone", dataset="parcels", purpose="p", **({"select": psc.sum("fee")} | changes))
    assert caught.value.code == code
