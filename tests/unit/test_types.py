"""Documents of columns, noise and statistics: one form each, and what cannot be said cannot be made."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from psc.errors import MalformedMessageError
from psc.types import SCALE_MAX, VALUE_LIMIT, Document, GroupColumn, Noise, Statistic, ValueColumn, canonical_json, scaled_text

VALUE = {"name": "fee", "scale": 2, "low": -5, "high": 1_000}
SUM = {"kind": "sum", "per": "row", "column": "fee", "low": None, "high": None, "weight": None}
BIN = {**SUM, "kind": "bin", "low": 0, "high": 1}
COUNT = {**SUM, "kind": "count", "column": None}
NOISE = {"mechanism": "laplace", "budget_thousandths": 500}
GROUP = {"name": "city", "groups": 34}


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (ValueColumn, VALUE),
        (ValueColumn, {**VALUE, "scale": 9, "low": 1 - VALUE_LIMIT, "high": VALUE_LIMIT - 1}),
        (ValueColumn, {**VALUE, "low": 7, "high": 7}),
        (GroupColumn, GROUP),
        (GroupColumn, {**GROUP, "groups": 1024}),
        (Noise, NOISE),
        (Noise, {"mechanism": "gaussian", "budget_thousandths": 1}),
        (Statistic, SUM),
        (Statistic, {**SUM, "weight": 63}),
        (Statistic, {**SUM, "kind": "squares", "per": "customer"}),
        (Statistic, BIN),
        (Statistic, {**BIN, "per": "customer", "low": 1 - 2**63, "high": 2**63 - 1}),
        (Statistic, COUNT),
        (Statistic, {**COUNT, "weight": 0}),
    ],
)
def test_documents_survive_their_bytes(kind: type[Document], content: dict[str, Any]) -> None:
    made = kind.model_validate(content)
    assert kind.parse(made.canonical()) == made
    assert hash(made) == hash(kind.model_validate(content))


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (ValueColumn, {**VALUE, "low": 1_001}),
        (ValueColumn, {**VALUE, "scale": SCALE_MAX + 1}),
        (ValueColumn, {**VALUE, "scale": -1}),
        (ValueColumn, {**VALUE, "high": VALUE_LIMIT}),
        (ValueColumn, {**VALUE, "low": -VALUE_LIMIT}),
        (ValueColumn, {**VALUE, "high": 1.0}),
        (ValueColumn, {**VALUE, "name": ""}),
        (ValueColumn, {**VALUE, "name": "a\x1bb"}),
        (GroupColumn, {**GROUP, "groups": 1025}),
        (GroupColumn, {**GROUP, "groups": -1}),
        (Noise, {**NOISE, "budget_thousandths": 0}),
        (Noise, {**NOISE, "budget_thousandths": 1_000_001}),
        (Noise, {**NOISE, "mechanism": "uniform"}),
        (Statistic, {**SUM, "column": None}),
        (Statistic, {**SUM, "kind": "squares", "column": None}),
        (Statistic, {**SUM, "low": 0}),
        (Statistic, {**SUM, "high": 1}),
        (Statistic, {**COUNT, "low": 0, "high": 1}),
        (Statistic, {**BIN, "low": None}),
        (Statistic, {**BIN, "high": None}),
        (Statistic, {**BIN, "high": 0}),
        (Statistic, {**BIN, "column": None}),
        (Statistic, {**BIN, "high": 2**63}),
        (Statistic, {**BIN, "weight": 0}),
        (Statistic, {**SUM, "per": "customer", "weight": 0}),
        (Statistic, {**SUM, "kind": "squares", "weight": 0}),
        (Statistic, {**SUM, "weight": 64}),
        (Statistic, {**SUM, "weight": -1}),
        (Statistic, {**SUM, "kind": "median"}),
        (Statistic, {**SUM, "per": "group"}),
    ],
)
def test_what_means_nothing_is_no_document(kind: type[Document], content: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate(content)
    with pytest.raises(MalformedMessageError):
        kind.parse(canonical_json(content))


def test_declarations_read_as_they_are_written() -> None:
    assert str(ValueColumn.model_validate(VALUE)) == "fee:2:-0.05..10.00"
    assert str(Noise.model_validate(NOISE)) == "laplace:0.5"
    assert str(Noise(mechanism="gaussian", budget_thousandths=100_000)) == "gaussian:100"
    assert str(Noise(mechanism="gaussian", budget_thousandths=1)) == "gaussian:0.001"


@given(st.integers(-(2**70), 2**70), st.integers(0, SCALE_MAX))
def test_scaled_text_is_the_decimal(units: int, scale: int) -> None:
    from decimal import Decimal, localcontext

    with localcontext() as context:
        context.prec = 60
        assert Decimal(scaled_text(units, scale)) == Decimal(units).scaleb(-scale)
    text = scaled_text(units, scale)
    assert ("." in text) is (scale > 0)
    assert not text.startswith(("-.", "."))
