from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psc.errors import AgreementError, Rule
from psc.node.clock import now, parse_timestamp
from psc.node.datasets import add_dataset, get_dataset, remove_dataset
from psc.node.home import Home
from psc.node.own import rotate
from psc.node.trust import partner_named, trust
from psc.policy.agreements import StoredAgreement, revoke, sign
from psc.policy.catalogue import Catalogue, catalogue_for, check_request, decide_from_catalogue
from psc.policy.decide import Allow, Deny, RunRequest
from psc.policy.ledger import reserve
from psc.policy.propose import Offer, propose
from psc.protocols.padding import padded_size
from psc.types import GroupColumn, KeyColumn, Noise, ValueColumn
from tests.homes import register_parcels


@pytest.fixture
def owner(friends: tuple[Home, Home, Home], tmp_path: Path) -> Home:
    courier = friends[1]
    for name in ("parcels", "returns", "blacklist"):
        register_parcels(courier, tmp_path, name=name)
    return courier


def grant(courier: Home, dataset: str = "parcels", *, partner: str = "merchant", **terms: Any) -> StoredAgreement:
    options = {"release": ["status"], "min_input": 1, "elements_per_day": 1000, **terms}
    offer = Offer(dataset, options.pop("operations", ["match", "count"]), **options)
    return sign(courier, propose(courier, partner=partner, offers=[offer], purpose=["delivery"]).signed.agreement.id)


def ask(catalogue: Catalogue | None = None, **change: Any) -> RunRequest:
    base: dict[str, Any] = {
        "operation": "match",
        "dataset": "parcels",
        "purpose": "delivery",
        "keys": ((KeyColumn(name="phone", kind="phone"),),),
        "release": (),
        "output_to": "receiver",
        "input_sizes": (100,),
    }
    if catalogue is not None:
        entry = catalogue.of("parcels")[0]
        base |= {"dataset_version": entry.dataset_version, "agreement": entry.agreement_digest, "release": entry.release}
    return RunRequest(**{**base, **change})


def charge(home: Home, merchant: Home, elements: int = 100) -> None:
    answer = check_request(home, merchant.identity.public, ask())
    assert isinstance(answer, Allow)
    party = partner_named(home, "merchant").party
    reserve(
        home, party=party, dataset="parcels", run_id="run-00000001", operation="match", elements=elements, limits=answer.limits
    )


def test_a_partner_sees_what_it_was_granted_and_no_more(owner: Home, merchant: Home, bank: Home) -> None:
    granted = grant(owner)
    grant(owner, "blacklist", partner="bank")
    found = catalogue_for(owner, merchant.identity.public)
    assert (found.owner.name, found.partner) == ("courier", merchant.identity.public)
    (entry,) = found.entries
    record = get_dataset(owner, "parcels")
    assert (entry.dataset, entry.dataset_version) == ("parcels", record.version)
    assert (entry.agreement, entry.agreement_digest) == (granted.signed.agreement.id, granted.signed.digest)
    assert [column.name for column in entry.release] == ["status"]
    assert (entry.runs_left, entry.elements_left, entry.max_rows_per_key) == (10, 1000, 2)
    assert entry.key_count_of(("phone",)) == padded_size(6)
    assert (entry.rules, entry.number_metadata, entry.region) == (record.rules, record.number_metadata, "CN")
    text = found.canonical().decode()
    for secret in ("blacklist", "returns", "bank", record.salt, record.source, '"fee"', "mobile", "row_count"):
        assert secret not in text
    assert [entry.dataset for entry in catalogue_for(owner, bank.identity.public).entries] == ["blacklist"]
    assert Catalogue.parse(found.canonical()) == found


def test_nothing_about_other_datasets_changes_what_a_partner_sees(owner: Home, merchant: Home, tmp_path: Path) -> None:
    grant(owner)
    moment = now()
    before = catalogue_for(owner, merchant.identity.public, moment=moment).canonical()
    grant(owner, "blacklist", partner="bank")
    register_parcels(owner, tmp_path, name="more", rows=40)
    remove_dataset(owner, "returns")
    propose(owner, partner="merchant", offers=[Offer("more", ["count"])], purpose=["x"])  # a draft
    assert catalogue_for(owner, merchant.identity.public, moment=moment).canonical() == before


def test_a_stranger_and_the_node_itself_see_nothing(owner: Home) -> None:
    grant(owner)
    assert catalogue_for(owner, "ab" * 32).entries == ()
    assert catalogue_for(owner, owner.identity.public).entries == ()


def test_only_agreements_in_force_are_shown(owner: Home, merchant: Home) -> None:
    granted = grant(owner)
    end = parse_timestamp(granted.signed.agreement.valid_until)
    identity = merchant.identity.public
    assert len(catalogue_for(owner, identity, moment=end).entries) == 1
    assert catalogue_for(owner, identity, moment=end + timedelta(seconds=1)).entries == ()
    assert (
        catalogue_for(owner, identity, moment=parse_timestamp(granted.signed.agreement.valid_from) - timedelta(1)).entries == ()
    )
    propose(owner, partner="merchant", offers=[Offer("parcels", ["match"])], purpose=["draft"])
    assert len(catalogue_for(owner, identity).entries) == 1
    revoke(owner, granted.signed.agreement.id)
    assert catalogue_for(owner, identity).entries == ()


def test_what_is_left_of_the_quota_is_shown(owner: Home, merchant: Home) -> None:
    grant(owner, runs_per_day=2)
    charge(owner, merchant, 300)
    (entry,) = catalogue_for(owner, merchant.identity.public).entries
    assert (entry.runs_left, entry.elements_left) == (1, 700)
    (tomorrow,) = catalogue_for(owner, merchant.identity.public, moment=now() + timedelta(days=1)).entries
    assert (tomorrow.runs_left, tomorrow.elements_left) == (2, 1000)


def test_a_removed_or_narrowed_dataset_shows_as_it_is(owner: Home, merchant: Home, tmp_path: Path) -> None:
    grant(owner, release=["status", "fee"])
    register_parcels(owner, tmp_path, replace=True, release=["status:text:16"], max_rows_per_key=1)
    (entry,) = catalogue_for(owner, merchant.identity.public).entries
    assert ([column.name for column in entry.release], entry.max_rows_per_key) == (["status"], 1)
    remove_dataset(owner, "parcels")
    assert catalogue_for(owner, merchant.identity.public).entries == ()
    answer = check_request(owner, merchant.identity.public, ask())
    assert isinstance(answer, Deny)
    assert answer.rule is Rule.DATASET_NOT_GRANTED


def test_only_counts_of_granted_keys_are_shown(owner: Home, merchant: Home, tmp_path: Path) -> None:
    register_parcels(owner, tmp_path, replace=True, keys=["phone=mobile:phone", "mail:email"])
    grant(owner, keys=["phone"])
    (entry,) = catalogue_for(owner, merchant.identity.public).entries
    assert [count.keys for count in entry.key_counts] == [("phone",)]
    assert "mail" not in entry.canonical().decode()


# --- aggregates ------------------------------------------------------------------------------------------------

SUMS: dict[str, Any] = {
    "operations": ["match", "aggregate"],
    "values": ["spend", "items"],
    "groups": ["town"],
    "membership": ["hidden", "owner"],
    "engines": ["rlwe-8192-168/1"],
    "noise": "gaussian:0.25",
    "min_group": 7,
    "max_rows_per_key": 1,
}
REGISTERED: dict[str, Any] = {
    "replace": True,
    "values": ["spend=fee:decimal:2:0..99", "items=fee:int64:0..99", "secret=fee:int64:0..50"],
    "groups": ["town=mail", "street=mobile"],
}
SPEND = ValueColumn(name="spend", scale=2, low=0, high=9_900)
ITEMS = ValueColumn(name="items", scale=0, low=0, high=99)
NOISE = Noise(mechanism="gaussian", budget_thousandths=250)


@pytest.fixture
def spending(owner: Home, tmp_path: Path) -> Home:
    register_parcels(owner, tmp_path, **REGISTERED)
    return owner


def test_granted_values_and_groups_are_shown_and_no_others(spending: Home, merchant: Home, tmp_path: Path) -> None:
    grant(spending, **SUMS)
    (entry,) = catalogue_for(spending, merchant.identity.public).entries
    assert (entry.values, entry.groups) == ((SPEND, ITEMS), (GroupColumn(name="town", groups=6),))
    assert (entry.membership, entry.noise, entry.min_group) == (("hidden", "owner"), NOISE, 7)
    # Rows of a match are cut at the agreed bound; a statistic adds up all rows that there are.
    assert (entry.max_rows_per_key, entry.rows_bound) == (1, 2)
    assert entry.engines == entry.terms.engines == ("rlwe-8192-168/1",)
    text = str(catalogue_for(spending, merchant.identity.public).canonical())
    assert "secret" not in text
    assert "street" not in text
    # What is registered anew with another range is not what was granted; a group is, with whatever labels.
    change = {**REGISTERED, "values": ["spend=fee:decimal:2:0..98", "items=fee:int64:0..99"], "rows": 16}
    register_parcels(spending, tmp_path, **change)
    (entry,) = catalogue_for(spending, merchant.identity.public).entries
    assert (entry.values, entry.groups) == ((ITEMS,), (GroupColumn(name="town", groups=8),))


def test_a_grant_without_aggregates_shows_nothing_of_them(spending: Home, merchant: Home) -> None:
    grant(spending, max_rows_per_key=1)
    (entry,) = catalogue_for(spending, merchant.identity.public).entries
    assert (entry.values, entry.groups, entry.noise, entry.rows_bound) == ((), (), None, 1)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({}, None),
        ({"values": (SPEND, ITEMS), "membership": "owner"}, None),
        ({"values": (SPEND.model_copy(update={"high": 9_901}),)}, Rule.VALUE_NOT_GRANTED),
        ({"values": (ValueColumn(name="secret", scale=0, low=0, high=50),)}, Rule.VALUE_NOT_GRANTED),
        ({"groups": (GroupColumn(name="street", groups=6),)}, Rule.GROUP_NOT_GRANTED),
        ({"engine": "rlwe-8192-168/1"}, None),
        ({"engine": "paillier-2048/1"}, Rule.ENGINE_NOT_ALLOWED),
        ({"output_to": "responder"}, Rule.OUTPUT_NOT_ALLOWED),
        ({"operation": "count"}, Rule.OPERATION_NOT_ALLOWED),
        ({"operation": "match"}, Rule.VALUE_NOT_GRANTED),
    ],
)
def test_both_sides_decide_alike_on_an_aggregate(
    spending: Home, merchant: Home, change: dict[str, Any], rule: Rule | None
) -> None:
    grant(spending, **SUMS)
    catalogue = catalogue_for(spending, merchant.identity.public)
    asked = {"operation": "aggregate", "release": (), "values": (SPEND,), "groups": (GroupColumn(name="town", groups=6),)}
    request = ask(catalogue, **{**asked, **change})
    here, there = decide_from_catalogue(catalogue, request), check_request(spending, merchant.identity.public, request)
    if rule is None:
        assert isinstance(here, Allow)
        assert isinstance(there, Allow)
        assert (here.noise, here.limits) == (there.noise, there.limits)
        assert (there.noise, there.limits.min_group) == (NOISE, 7)
    else:
        assert isinstance(here, Deny)
        assert isinstance(there, Deny)
        assert here.rule is there.rule is rule
        assert str(here.error()) == str(there.error())


def test_the_true_number_of_keys_stays_at_home(owner: Home, merchant: Home, tmp_path: Path) -> None:
    numbers = set()
    for rows in (2_000, 2_002, 2_004):
        path = tmp_path / "big.parquet"
        pq.write_table(pa.table({"k": [f"key {n}" for n in range(rows)]}), path)
        add_dataset(owner, "big", source=path, keys=["k:text"], replace=True)
        if rows == 2_000:
            grant(owner, "big", release=[])
        (entry,) = catalogue_for(owner, merchant.identity.public).of("big")
        numbers.add(entry.key_count_of(("k",)))
    assert numbers == {padded_size(2_000)}


# --- both sides come to the same decision ----------------------------------------------------------------------

CASES: list[tuple[dict[str, Any], dict[str, Any], Rule | None]] = [
    ({}, {}, None),
    ({}, {"purpose": "marketing"}, Rule.PURPOSE_NOT_ALLOWED),
    ({"operations": ["match"]}, {"operation": "count", "release": ()}, Rule.OPERATION_NOT_ALLOWED),
    ({}, {"keys": ((KeyColumn(name="mail", kind="email"),),)}, Rule.KEY_NOT_GRANTED),
    ({"release": []}, {"release": "all"}, Rule.COLUMN_NOT_RELEASED),
    ({}, {"output_to": "both"}, Rule.OUTPUT_NOT_ALLOWED),
    ({}, {"dataset_version": "0" * 64}, Rule.DATASET_CHANGED),
    ({}, {"agreement": "0" * 64}, Rule.AGREEMENT_CHANGED),
    ({"min_input": 200}, {}, Rule.INPUT_TOO_SMALL),
    ({"max_input": 64}, {}, Rule.INPUT_TOO_LARGE),
    ({"runs_per_day": 1}, {}, Rule.RUNS_PER_DAY),
    ({"elements_per_day": 99}, {}, Rule.ELEMENTS_PER_DAY),
    ({}, {"dataset": "returns"}, Rule.DATASET_NOT_GRANTED),
    ({}, {"dataset": "no-such"}, Rule.DATASET_NOT_GRANTED),
]


@pytest.mark.parametrize(("terms", "change", "rule"), CASES)
def test_the_plan_names_the_rule_that_the_responder_applies(
    owner: Home, merchant: Home, terms: dict[str, Any], change: dict[str, Any], rule: Rule | None
) -> None:
    grant(owner, **terms)
    if rule is Rule.RUNS_PER_DAY:
        charge(owner, merchant)
    catalogue = catalogue_for(owner, merchant.identity.public)
    if change.get("release") == "all":
        change = {**change, "release": get_dataset(owner, "parcels").released_columns}
    request = ask(catalogue, **change)
    here = decide_from_catalogue(catalogue, request)
    there = check_request(owner, merchant.identity.public, request)
    if rule is None:
        assert isinstance(here, Allow)
        assert isinstance(there, Allow)
        assert here == there
    else:
        assert isinstance(here, Deny)
        assert isinstance(there, Deny)
        assert here.rule is there.rule is rule
        if rule is not Rule.INPUT_TOO_SMALL:
            assert str(here.error()) == str(there.error())


def test_without_any_agreement_both_sides_say_so(owner: Home, merchant: Home) -> None:
    catalogue = catalogue_for(owner, merchant.identity.public)
    here, there = decide_from_catalogue(catalogue, ask()), check_request(owner, merchant.identity.public, ask())
    assert isinstance(here, Deny)
    assert isinstance(there, Deny)
    assert here.rule is there.rule is Rule.NO_AGREEMENT


def test_a_stranger_is_refused(owner: Home) -> None:
    for identity in ("ab" * 32, owner.identity.public):
        answer = check_request(owner, identity, ask())
        assert isinstance(answer, Deny)
        assert answer.rule is Rule.PARTNER_UNKNOWN


def test_the_newest_agreement_that_allows_is_taken_on_both_sides(owner: Home, merchant: Home) -> None:
    old = grant(owner, runs_per_day=5)
    new = grant(owner, operations=["count"], release=[])
    catalogue = catalogue_for(owner, merchant.identity.public)
    for request, expected in (
        (ask(), old),
        (ask(operation="count"), new),
    ):
        here = decide_from_catalogue(catalogue, request)
        there = check_request(owner, merchant.identity.public, request)
        assert isinstance(here, Allow)
        assert here == there
        assert here.digest == expected.signed.digest
    assert [entry.agreement_digest for entry in catalogue.entries] == [new.signed.digest, old.signed.digest]


def test_used_quota_is_seen_through_the_catalogue(owner: Home, merchant: Home) -> None:
    grant(owner, runs_per_day=1)
    grant(owner, runs_per_day=2)
    charge(owner, merchant)
    for expected in (None, Rule.RUNS_PER_DAY):
        catalogue = catalogue_for(owner, merchant.identity.public)
        here = decide_from_catalogue(catalogue, ask())
        there = check_request(owner, merchant.identity.public, ask())
        if expected is None:
            assert here == there
            assert isinstance(here, Allow)
            charge(owner, merchant)
        else:
            assert isinstance(here, Deny)
            assert isinstance(there, Deny)
            assert here.rule is there.rule is expected


def test_a_rotation_buys_no_new_quota(owner: Home, merchant: Home) -> None:
    grant(owner, runs_per_day=1)
    charge(owner, merchant)
    trust(owner, rotate(merchant))
    answer = check_request(owner, merchant.identity.public, ask())
    assert isinstance(answer, Deny)
    assert answer.rule is Rule.RUNS_PER_DAY


def test_a_replaced_identity_asks_for_nobody(owner: Home, merchant: Home) -> None:
    grant(owner)
    old = merchant.identity.public
    trust(owner, rotate(merchant))
    assert isinstance(check_request(owner, merchant.identity.public, ask()), Allow)
    answer = check_request(owner, old, ask())
    assert isinstance(answer, Deny)
    assert answer.rule is Rule.PARTNER_UNKNOWN
    assert catalogue_for(owner, old).entries == ()


def test_a_revocation_acts_at_once(owner: Home, merchant: Home) -> None:
    granted = grant(owner)
    catalogue = catalogue_for(owner, merchant.identity.public)
    request = ask(catalogue)
    with Home.open(owner.path) as serving:
        assert isinstance(check_request(serving, merchant.identity.public, request), Allow)
        revoke(owner, granted.signed.agreement.id)
        answer = check_request(serving, merchant.identity.public, request)
    assert isinstance(answer, Deny)
    assert answer.rule is Rule.AGREEMENT_REVOKED


def test_a_tampered_agreement_allows_nothing(owner: Home, merchant: Home) -> None:
    grant(owner)
    with owner.store.write() as db:
        db.execute("UPDATE agreements SET file = replace(file, '\"runs_per_day\": 10', '\"runs_per_day\": 99')")
    with pytest.raises(AgreementError):
        check_request(owner, merchant.identity.public, ask())
    with pytest.raises(AgreementError):
        catalogue_for(owner, merchant.identity.public)
