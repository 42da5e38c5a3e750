"""Aggregates between two nodes over mutual TLS: every function and grouping equals pandas on the plain join."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import psc
from psc.errors import AgreementError, BudgetExhaustedError, PolicyDeniedError, PscError, Rule, UsageError
from psc.node.runs import result_of
from psc.operations.select import Output
from psc.testing.nodes import PURPOSE, NodePair, node_pair
from tests.integration.test_match_count import wait_until_finished

LOW, HIGH = -500_000, 500_000
WIDE = (1 << 40) - 1
CITIES = ("上海", "北京", "广州", "深圳", "成都")
ZONES = ("east", "west", "north")
TIERS = ("gold", "silver", "basic")
PROTOCOLS = {"hidden": "dh-sum", "owner": "owner-sum", "matcher": "vole-sum"}


@dataclass
class Tables:
    """The two tables as pandas sees them; ``phone`` is the key, ``fee`` in cents, ``weight`` with three decimals."""

    own: pd.DataFrame
    theirs: pd.DataFrame

    def shared(self) -> pd.DataFrame:
        """The partner's rows of shared customers, with the own group of each."""
        tiers = self.own.drop_duplicates("phone").set_index("phone")["tier"]
        rows = self.theirs[self.theirs["phone"].isin(tiers.index)]
        return rows.assign(tier=rows["phone"].map(tiers))


def tables(rng: np.random.Generator, own: int, theirs: int) -> Tables:
    """Random tables with duplicates on both sides, nulls, negative values and values at both ends of the ranges."""
    phones = np.array([f"1380{n:07d}" for n in range(max(own + theirs, 1))])
    tier, city, zone = (dict(zip(phones, rng.choice(names, len(phones)))) for names in (TIERS, CITIES, ZONES))
    mine, other = rng.choice(phones[: own + theirs // 2 or 1], own), rng.choice(phones, theirs)
    fee = rng.integers(LOW, HIGH + 1, theirs).astype(object)
    fee[rng.random(theirs) < 0.1] = None
    ends = rng.random(theirs) < 0.1
    fee[ends] = rng.choice([LOW, HIGH], int(ends.sum()))
    shares = [Decimal(7 * i % 401 - 200).scaleb(-2) for i in range(own)]
    return Tables(
        pd.DataFrame({"phone": mine, "tier": [tier[p] for p in mine], "rate": rng.integers(-9, 10, own), "share": shares}),
        pd.DataFrame(
            {
                "phone": other,
                "fee": fee,
                "weight": [Decimal(int(w)).scaleb(-3) for w in rng.integers(0, 100_000, theirs)],
                "wide": rng.integers(-WIDE, WIDE + 1, theirs),
                "city": [city[p] for p in other],
                "zone": [zone[p] for p in other],
            }
        ),
    )


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodePair]:
    with node_pair(tmp_path_factory.mktemp("aggregate")) as made:
        yield made


def publish(pair: NodePair, theirs: pd.DataFrame, name: str = "parcels", **offer: Any) -> None:
    """Register the partner's table with every value and group, and grant all of it."""
    path = pair.courier.home.path.parent / f"{name}.parquet"
    schema = pa.schema(
        [
            ("phone", pa.string()),
            ("fee", pa.int64()),
            ("weight", pa.decimal128(12, 3)),
            ("wide", pa.int64()),
            ("city", pa.string()),
            ("zone", pa.string()),
        ]
    )
    pq.write_table(pa.Table.from_pandas(theirs, schema=schema, preserve_index=False), path)
    pair.courier.add_dataset(
        name,
        path,
        keys=["phone:phone"],
        values=[f"fee:int64:{LOW}..{HIGH}", "weight:decimal:3:0..100", f"wide:int64:-{WIDE}..{WIDE}"],
        groups=["city", "zone"],
        max_rows_per_key=32,
        replace=True,
    )
    terms: dict[str, Any] = {
        "operations": ("match", "count", "aggregate"),
        "values": ("fee", "weight", "wide"),
        "groups": ("city", "zone"),
        "membership": ("hidden", "owner") if "noise" in offer else ("hidden", "owner", "matcher"),
        "outputs": ("receiver", "responder", "both"),
        "min_input": 0,
        "min_result": 0,
        "min_group": 0,
        "runs_per_day": 100_000,
    }
    pair.courier.grant("merchant", psc.Offer(dataset=name, **(terms | offer)), purpose=PURPOSE)


def plain(
    rows: pd.DataFrame, group_by: list[str], outputs: list[Output], own: pd.DataFrame
) -> dict[tuple[str, ...], dict[str, Any]]:
    """The same by pandas, group by group."""
    grouped = rows.groupby(group_by) if group_by else [((), rows)]
    found = {}
    for label, part in grouped:
        if len(part):
            found[tuple(label)] = {"customers": part["phone"].nunique()} | {o.name: _value(o, part, own) for o in outputs}
    return found


def _value(output: Output, part: pd.DataFrame, own: pd.DataFrame) -> Any:
    if output.column is None:
        return part["phone"].nunique() if output.per == "customer" else len(part)
    if output.function == "weighted_sum":
        joined = own.merge(part[["phone", output.column]].dropna(), on="phone")
        weights = [r if isinstance(r, Decimal) else int(r) for r in joined[output.weight]]
        return sum((r * v for r, v in zip(weights, joined[output.column])), start=0)
    values = part[["phone", output.column]].dropna()
    column = values[output.column] if output.per == "row" else values.groupby("phone")[output.column].sum()
    exact = [Decimal(v) for v in column]
    if output.function == "count":
        return len(exact)
    if output.function == "sum":
        return sum(exact)
    if output.function == "bin":
        return sum(output.low <= v < output.high or (output.closed and v == output.high) for v in exact)
    floats = pd.Series([float(v) for v in exact], dtype=float)
    return {"mean": floats.mean, "var": floats.var, "std": floats.std}[output.function]()


def check(result: psc.AggregateResult, want: dict[tuple[str, ...], dict[str, Any]]) -> None:
    """Assert that a result is the plain one: counts and sums exactly, what comes of a division to 12 digits."""
    got = {tuple(row[name] for name in result.groups): row for row in result.to_arrow().to_pylist()}
    assert got.keys() == want.keys() or (not result.groups and not want)
    for label, columns in want.items():
        assert got[label]["withheld"] is False
        for name, value in columns.items():
            found = got[label][name]
            if isinstance(value, float):
                assert (found is None) if np.isnan(value) else found == pytest.approx(value, rel=1e-9, abs=1e-9), (label, name)
            else:
                assert found == value, (label, name)


EVERY = [
    psc.count(),
    psc.count(per="row"),
    psc.count("fee"),
    psc.count("fee", per="customer"),
    psc.sum("fee"),
    psc.sum("weight"),
    psc.sum("wide"),
    psc.mean("fee"),
    psc.mean("weight", per="customer"),
    psc.var("fee"),
    psc.std("weight"),
    psc.var("fee", per="customer"),
    *psc.histogram("fee", [LOW, -1000, 0, 250_000, HIGH]),
    *psc.histogram("weight", ["0", "12.5", "99.999"], per="customer"),
]
GROUPINGS = [[], ["city"], ["tier"], ["tier", "city"], ["zone", "city"], ["city", "tier", "zone"]]


def test_200_random_cases_equal_pandas(pair: NodePair) -> None:
    rng = np.random.default_rng(20261121)
    done = 0
    for _ in range(10):
        case = tables(rng, int(rng.integers(0, 300)), int(rng.integers(1, 300)))
        publish(pair, case.theirs)
        with pair.merchant.connect("courier") as courier:
            for _ in range(20):
                chosen = [EVERY[i] for i in rng.choice(len(EVERY), int(rng.integers(1, 6)), replace=False)]
                membership = str(rng.choice(["hidden", "owner", "matcher"]))
                if membership != "hidden" and rng.random() < 0.5:
                    chosen.append(psc.weighted_sum("rate", "fee"))
                    if rng.random() < 0.5:
                        chosen.append(psc.weighted_sum("share", "weight", scale=2))
                groups = GROUPINGS[int(rng.integers(len(GROUPINGS)))]
                result = courier.aggregate(
                    case.own,
                    on="phone",
                    dataset="parcels",
                    select=chosen,
                    group_by=groups,
                    membership=membership,
                    purpose=PURPOSE,
                )
                check(result, plain(case.shared(), groups, chosen, case.own))
                done += 1
    assert done == 200


@pytest.mark.parametrize("membership", ["hidden", "owner", "matcher"])
def test_every_function_at_once_by_groups_of_both_sides(pair: NodePair, membership: str) -> None:
    case = tables(np.random.default_rng(7), 2_000, 2_000)
    publish(pair, case.theirs)
    chosen = [*EVERY, psc.weighted_sum("rate", "weight")] if membership != "hidden" else EVERY
    with pair.merchant.connect("courier") as courier:
        for groups in GROUPINGS:
            result = courier.aggregate(
                case.own, on="phone", dataset="parcels", select=chosen, group_by=groups, membership=membership, purpose=PURPOSE
            )
            check(result, plain(case.shared(), groups, chosen, case.own))
            assert result.receipt.receipt.aggregate is not None
            assert result.receipt.receipt.protocol == PROTOCOLS[membership]


@pytest.mark.parametrize("membership", ["hidden", "owner", "matcher"])
@pytest.mark.parametrize("output_to", ["responder", "both"])
def test_the_responder_gets_its_table(pair: NodePair, membership: str, output_to: str) -> None:
    case = tables(np.random.default_rng(8), 500, 500)
    publish(pair, case.theirs)
    with pair.merchant.connect("courier") as courier:
        result = courier.aggregate(
            case.own,
            on="phone",
            dataset="parcels",
            select=[psc.sum("weight"), psc.mean("fee")],
            group_by=["own:tier", "theirs:city"],
            membership=membership,
            output_to=output_to,
            purpose=PURPOSE,
        )
    wait_until_finished(pair.courier, result.run_id)
    path = result_of(pair.courier.home, result.run_id)
    assert path is not None
    theirs = pq.read_table(path).to_pylist()
    want = plain(case.shared(), ["tier", "city"], [psc.sum("weight"), psc.sum("fee"), psc.count("fee")], case.own)
    assert {(row["tier"], row["city"]) for row in theirs} == want.keys()
    for row in theirs:
        cell = want[row["tier"], row["city"]]
        assert (row["customers"], row["weight_sum"], row["fee_sum"]) == (cell["customers"], cell["weight_sum"], cell["fee_sum"])
    if output_to == "both":
        check(result, plain(case.shared(), ["tier", "city"], [psc.sum("weight"), psc.mean("fee")], case.own))
    else:
        assert result.table is None
        with pytest.raises(UsageError) as caught:
            result.to_pandas()
        assert caught.value.code == "operations.result-elsewhere"


@pytest.mark.parametrize("membership", ["hidden", "owner", "matcher"])
def test_small_groups_are_withheld_and_nothing_gives_them_away(pair: NodePair, membership: str) -> None:
    case = tables(np.random.default_rng(9), 900, 900)
    publish(pair, case.theirs, min_group=15)
    rows = case.shared()
    with pair.merchant.connect("courier") as courier:
        result = courier.aggregate(
            case.own, on="phone", dataset="parcels", select=psc.sum("fee"), group_by=["tier", "city"], membership=membership,
            purpose=PURPOSE,
        )  # fmt: skip
    sizes = rows.groupby(["tier", "city"])["phone"].nunique()
    shown = 0
    for row in result.to_arrow().to_pylist():
        size = int(sizes.get((row["tier"], row["city"]), 0))
        if row["withheld"]:
            assert row["fee_sum"] is None
            assert row["customers"] is None
        else:
            assert row["customers"] == size >= 15
            shown += 1
    withheld = result.withheld_groups
    assert shown > 0
    assert withheld >= 2
    frame = result.to_pandas()
    for axis in ("tier", "city"):  # in no line of the table one cell alone is withheld
        lines = frame.groupby(axis)["withheld"].sum()
        assert (lines != 1).all()


def test_a_total_below_the_minimum_is_refused_without_its_size(pair: NodePair) -> None:
    case = tables(np.random.default_rng(10), 50, 50)
    publish(pair, case.theirs, min_result=40)
    for membership in ("hidden", "owner", "matcher"):
        with pair.merchant.connect("courier") as courier, pytest.raises(PolicyDeniedError) as caught:
            courier.aggregate(
                case.own, on="phone", dataset="parcels", select=psc.sum("fee"), membership=membership, purpose=PURPOSE
            )
        assert caught.value.rule is Rule.RESULT_TOO_SMALL
        common = case.shared()["phone"].nunique()
        assert 0 < common < 40
        assert str(common) not in str(caught.value)


@pytest.mark.parametrize("membership", ["hidden", "owner"])
def test_noise_spreads_as_agreed_and_averages_to_the_truth(pair: NodePair, membership: str) -> None:
    case = tables(np.random.default_rng(14), 300, 300)
    publish(pair, case.theirs, noise="laplace:4")
    rows = case.shared()
    truth, total = rows["phone"].nunique(), int(rows["fee"].dropna().sum())
    counts, sums = [], []
    with pair.merchant.connect("courier") as courier:
        plan = courier.plan(
            psc.Aggregate(case.own, on="phone", dataset="parcels", select=psc.sum("fee"), membership=membership, purpose=PURPOSE)
        )
        assert "laplace:4" in str(plan)
        for _ in range(30):
            row = courier.aggregate(
                case.own, on="phone", dataset="parcels", select=psc.sum("fee"), membership=membership, purpose=PURPOSE
            ).to_arrow().to_pylist()[0]  # fmt: skip
            counts.append(row["customers"] - truth)
            sums.append(row["fee_sum"] - total)
        count = courier.count(case.own, on="phone", dataset="parcels", purpose=PURPOSE).count
    # The run's epsilon of 4 is shared by the sum and the count: scales of 1/2 and of 32 rows x the largest fee / 2.
    scale = 32 * HIGH / 2
    assert 0 < np.std(counts) < 3
    assert abs(np.mean(counts)) < 1.5
    assert scale * 0.5 < np.std(sums) < scale * 3.5
    assert abs(np.mean(sums)) < scale * 1.5
    assert abs(count - truth) < 12


def test_no_overlap_and_empty_tables(pair: NodePair) -> None:
    case = tables(np.random.default_rng(11), 100, 100)
    publish(pair, case.theirs)
    other = case.own.assign(phone=[f"1390{n:07d}" for n in range(len(case.own))])
    with pair.merchant.connect("courier") as courier:
        for table in (other, case.own.iloc[:0]):
            for membership in ("hidden", "owner", "matcher"):
                ask = {"on": "phone", "dataset": "parcels", "membership": membership, "purpose": PURPOSE}
                whole = courier.aggregate(table, select=[psc.count(), psc.sum("fee"), psc.mean("fee")], **ask)
                assert whole.to_arrow().num_rows == 0 or whole.to_arrow().to_pylist()[0]["count"] == 0
                by_group = courier.aggregate(table, select=psc.sum("fee"), group_by=["tier", "city"], **ask)
                assert by_group.to_arrow().num_rows == 0


REFUSED: list[tuple[dict[str, Any], type[PscError], str]] = [
    ({"select": psc.sum("salary")}, PolicyDeniedError, "policy.denied-value-not-granted"),
    ({"select": psc.sum("fee"), "group_by": "theirs:street"}, PolicyDeniedError, "policy.denied-group-not-granted"),
    ({"select": psc.sum("fee"), "group_by": "street"}, UsageError, "operations.group-unknown"),
    ({"select": psc.var("wide")}, UsageError, "operations.sum-overflows"),
    ({"select": psc.weighted_sum("rate", "fee")}, UsageError, "operations.weights-need-owner"),
    ({"select": psc.sum("fee"), "engine": "rot13"}, UsageError, "engines.unknown"),
]


@pytest.mark.parametrize(("asked", "kind", "code"), REFUSED)
def test_what_cannot_be_asked_is_refused_before_anything_moves(
    pair: NodePair, asked: dict[str, Any], kind: type[PscError], code: str
) -> None:
    case = tables(np.random.default_rng(12), 100, 100)
    publish(pair, case.theirs)
    with pair.merchant.connect("courier") as courier, pytest.raises(kind) as caught:
        courier.plan(psc.Aggregate(case.own, on="phone", dataset="parcels", purpose=PURPOSE, **asked)).run()
    assert caught.value.code == code


def test_noise_cannot_be_agreed_where_the_matcher_may_know_membership(pair: NodePair) -> None:
    """It finds counts itself, and would tell dummies from customers."""
    case = tables(np.random.default_rng(15), 20, 20)
    with pytest.raises(AgreementError) as caught:
        publish(pair, case.theirs, name="noisy", noise="laplace:4", membership=("hidden", "matcher"))
    assert caught.value.code == "policy.terms-wrong"
    assert "matcher" in str(caught.value)


def test_what_a_matcher_that_knows_membership_is_told(pair: NodePair) -> None:
    case = tables(np.random.default_rng(16), 200, 200)
    publish(pair, case.theirs)
    request = psc.Aggregate(
        case.own, on="phone", dataset="parcels", select=psc.weighted_sum("rate", "fee"), membership="matcher", purpose=PURPOSE
    )
    with pair.merchant.connect("courier") as courier:
        plan = courier.plan(request)
        assert "merchant learns which of its own keys courier also has" in str(plan)
        assert "weight 1" in str(plan)
        result = plan.run()
    receipt = result.receipt.receipt
    assert receipt.aggregate is not None
    assert (receipt.protocol, receipt.aggregate.blocks, receipt.aggregate.own_places) == ("vole-sum", (), ())
    assert any("which of its own keys" in line for line in receipt.leakage.initiator)
    assert "rate" not in receipt.model_dump_json()
    assert receipt.self_rules


def test_membership_must_be_allowed(pair: NodePair) -> None:
    case = tables(np.random.default_rng(13), 100, 100)
    terms = {"operations": ("aggregate",), "values": ("fee",), "groups": (), "membership": ("hidden",), "outputs": ("receiver",)}
    publish(pair, case.theirs, name="quiet", **terms, runs_per_day=10)
    with pair.merchant.connect("courier") as courier:
        ask = {"on": "phone", "dataset": "quiet", "select": psc.sum("fee"), "purpose": PURPOSE}
        courier.aggregate(case.own, **ask)
        with pytest.raises(PolicyDeniedError) as caught:
            courier.aggregate(case.own, membership="owner", **ask)
        assert caught.value.rule is Rule.MEMBERSHIP_NOT_ALLOWED
        with pytest.raises(PolicyDeniedError) as caught:
            courier.aggregate(case.own, membership="matcher", **ask)
        assert caught.value.rule is Rule.MEMBERSHIP_NOT_ALLOWED
        with pytest.raises(PolicyDeniedError) as caught:
            courier.aggregate(case.own, output_to="responder", **ask)
        assert caught.value.rule is Rule.OUTPUT_NOT_ALLOWED
        with pytest.raises(PolicyDeniedError) as caught:
            courier.count(case.own, on="phone", dataset="quiet", purpose=PURPOSE)
        assert caught.value.rule is Rule.OPERATION_NOT_ALLOWED
        for _ in range(9):
            courier.aggregate(case.own, **ask)
        with pytest.raises(BudgetExhaustedError):
            courier.aggregate(case.own, **ask)
