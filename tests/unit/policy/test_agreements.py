import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from psc.errors import AgreementError, UsageError
from psc.node.clock import now, parse_timestamp
from psc.node.home import Home
from psc.node.own import own_card, rotate
from psc.node.trust import partner_named, trust
from psc.policy.agreement import MIN_GROUP, MIN_INPUT, MIN_RESULT, RUNS_PER_DAY, Agreement
from psc.policy.agreement_file import SignedAgreement
from psc.policy.agreements import StoredAgreement, import_file, list_agreements, revoke, show, sign, with_partner
from psc.policy.propose import Offer, propose
from psc.types import GROUPS_MAX, GroupColumn, Noise, ValueColumn
from tests.homes import code_of, register_parcels


@pytest.fixture
def parcels(friends: tuple[Home, Home, Home], tmp_path: Path) -> Home:
    """The courier's home, with parcels registered."""
    register_parcels(friends[1], tmp_path)
    return friends[1]


def draft(courier: Home, *, partner: str = "merchant", **terms: Any) -> StoredAgreement:
    offer = Offer("parcels", **{"operations": ["match", "count"], "release": ["status"], **terms})
    return propose(courier, partner=partner, offers=[offer], purpose=["delivery"])


def grant(courier: Home, **more: Any) -> StoredAgreement:
    return sign(courier, draft(courier, **more).signed.agreement.id)


def to_file(folder: Path, stored: StoredAgreement) -> Path:
    path = folder / f"{stored.signed.agreement.id}.json"
    path.write_text(stored.signed.to_json())
    return path


def content_of(stored: StoredAgreement) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(stored.signed.to_json())
    return content


def parse(content: object) -> SignedAgreement:
    return SignedAgreement.parse(json.dumps(content).encode(), file="agreement.json")


# --- the way of an agreement -----------------------------------------------------------------------------------


def test_a_draft_is_made_from_what_is_registered_with_the_defaults(parcels: Home, merchant: Home) -> None:
    stored = draft(parcels)
    agreement = stored.signed.agreement
    terms = agreement.terms_of("parcels")
    assert terms is not None
    assert stored.ours
    assert stored.signed.state(now()) == "draft"
    assert (agreement.owner.identity, agreement.owner.name) == (parcels.identity.public, "courier")
    assert (agreement.partner.identity, agreement.partner.name) == (merchant.identity.public, "merchant")
    assert (terms.min_input, terms.min_result, terms.runs_per_day) == (MIN_INPUT, MIN_RESULT, RUNS_PER_DAY) == (1000, 20, 10)
    assert (terms.elements_per_day, terms.outputs, terms.max_rows_per_key) == (None, ("receiver",), 2)
    assert [(column.name, column.type, column.width_bytes) for column in terms.release] == [("status", "text", 16)]
    assert [key.name for key in terms.keys] == ["phone"]
    assert parse_timestamp(agreement.valid_until) - parse_timestamp(agreement.valid_from) == timedelta(days=365)
    assert agreement.terms_of("other") is None


def test_from_draft_to_grant_to_agreement_to_revocation(parcels: Home, merchant: Home, tmp_path: Path) -> None:
    drafted = draft(parcels)
    identity = drafted.signed.agreement.id
    granted = sign(parcels, identity)
    assert granted.signed.state(now()) == "granted"
    received = import_file(merchant, to_file(tmp_path, granted))
    assert (received.ours, received.signed.digest) == (False, granted.signed.digest)
    assert received.partner is not None
    assert received.partner.name == "courier"
    signed = sign(merchant, identity)
    assert signed.signed.state(now()) == "agreed"
    back = import_file(parcels, to_file(tmp_path, signed))
    assert back.signed.state(now()) == "agreed"
    assert set(back.signed.signatures) == {parcels.identity.public, merchant.identity.public}
    ended = revoke(parcels, identity)
    assert ended.signed.state(now()) == "revoked"
    assert show(merchant, identity).signed.state(now()) == "agreed"  # until the file arrives
    assert import_file(merchant, to_file(tmp_path, ended)).signed.state(now()) == "revoked"
    assert revoke(parcels, identity) == ended
    with Home.open(parcels.path) as again:
        assert show(again, identity) == ended


def test_the_partner_may_revoke_too(parcels: Home, merchant: Home, tmp_path: Path) -> None:
    granted = grant(parcels)
    import_file(merchant, to_file(tmp_path, granted))
    ended = revoke(merchant, granted.signed.agreement.id)
    assert import_file(parcels, to_file(tmp_path, ended)).signed.state(now()) == "revoked"


def test_a_revoked_agreement_does_not_come_back(parcels: Home, merchant: Home, tmp_path: Path) -> None:
    granted = grant(parcels)
    path = to_file(tmp_path, granted)
    import_file(merchant, path)
    identity = granted.signed.agreement.id
    revoke(merchant, identity)
    assert import_file(merchant, path).signed.state(now()) == "revoked"
    assert code_of(AgreementError, lambda: sign(merchant, identity)).code == "policy.agreement-ended"


def test_states_follow_the_clock(parcels: Home) -> None:
    signed = grant(parcels).signed
    start, end = parse_timestamp(signed.agreement.valid_from), parse_timestamp(signed.agreement.valid_until)
    second = timedelta(seconds=1)
    assert [signed.state(moment) for moment in (start - second, start, end, end + second)] == [
        "not-yet-valid",
        "granted",
        "granted",
        "expired",
    ]


def test_agreements_are_listed_in_order_of_arrival(parcels: Home, merchant: Home, bank: Home) -> None:
    made = [draft(parcels), draft(parcels, partner="bank"), draft(parcels)]
    assert list(list_agreements(parcels)) == made
    assert [stored.sequence for stored in made] == [1, 2, 3]
    assert with_partner(parcels, partner_named(parcels, "bank"), ours=True) == (made[1],)
    assert with_partner(parcels, partner_named(parcels, "bank"), ours=False) == ()


def test_an_unknown_agreement_is_a_usage_error(merchant: Home) -> None:
    for act in (lambda: show(merchant, "0" * 16), lambda: sign(merchant, "x"), lambda: revoke(merchant, "")):
        assert code_of(UsageError, act).code == "policy.agreement-unknown"


# --- proposing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"release": ["city"]}, "policy.column-not-registered"),
        ({"release": ["state"]}, "policy.column-not-registered"),
        ({"keys": ["mail"]}, "policy.key-not-registered"),
        ({"keys": []}, "policy.terms-wrong"),
        ({"release": ["status", "status"]}, "policy.terms-wrong"),
        ({"max_rows_per_key": 3}, "policy.rows-above-registered"),
        ({"max_rows_per_key": 0}, "policy.terms-wrong"),
        ({"min_input": 10, "max_input": 5}, "policy.terms-wrong"),
        ({"min_input": -1}, "policy.terms-wrong"),
        ({"runs_per_day": 0}, "policy.terms-wrong"),
        ({"outputs": []}, "policy.terms-wrong"),
        ({"outputs": ["initiator"]}, "policy.terms-wrong"),
    ],
)
def test_nothing_can_be_offered_that_is_not_there(parcels: Home, terms: dict[str, Any], code: str) -> None:
    assert code_of(AgreementError, lambda: draft(parcels, **terms)).code == code
    assert list_agreements(parcels) == ()


@pytest.mark.parametrize(
    ("terms", "idle"),
    [
        ({"release": ["status"]}, "--release status"),
        ({"outputs": ["receiver", "both"]}, "--output-to both"),
        ({"operations": ["match", "count"], "outputs": ["both"]}, "--allow match"),
        ({"operations": ["count"]}, "--model malicious"),
    ],
)
def test_what_a_model_leaves_no_use_for_is_not_offered(parcels: Home, terms: dict[str, Any], idle: str) -> None:
    alone = {"operations": ["match"], "release": [], "model": "malicious"}
    error = code_of(AgreementError, lambda: draft(parcels, **(alone | terms)))
    assert (error.code, error.fields["terms"]) == ("policy.terms-without-model", idle)
    assert draft(parcels, **alone).signed.agreement.datasets[0].model == "malicious"
    shared = {"operations": ["match", "count"], "outputs": ["receiver", "both"]}  # a count's result may go to both
    assert draft(parcels, **(alone | shared)).signed.agreement.datasets[0].outputs == ("receiver", "both")


SUMS: dict[str, Any] = {
    "operations": ["count", "aggregate"],
    "release": [],
    "values": ["spend"],
    "groups": ["town"],
    "membership": ["hidden", "owner"],
    "noise": "laplace:0.5",
    "min_group": 50,
    "outputs": ["receiver", "responder"],
}


@pytest.fixture
def spending(parcels: Home, tmp_path: Path) -> Home:
    """The courier's home; its parcels have a value and a group too."""
    register_parcels(parcels, tmp_path, replace=True, values=["spend=fee:decimal:2:0..99"], groups=["town=mail"])
    return parcels


def offered(home: Home, **change: Any) -> StoredAgreement:
    terms = {**SUMS, **change}
    offer = Offer("parcels", terms.pop("operations"), **terms)
    return propose(home, partner="merchant", offers=[offer], purpose=["delivery"])


def test_what_an_aggregate_may_use_is_offered_by_name(spending: Home) -> None:
    terms = offered(spending).signed.agreement.datasets[0]
    assert terms.values == (ValueColumn(name="spend", scale=2, low=0, high=9_900),)
    assert terms.groups == (GroupColumn(name="town", groups=GROUPS_MAX),)
    assert (terms.membership, terms.outputs, terms.min_group) == (("hidden", "owner"), ("receiver", "responder"), 50)
    assert terms.noise == Noise(mechanism="laplace", budget_thousandths=500)
    assert terms.limits.min_group == 50
    assert terms.engines == ("rlwe-8192-168/1",)
    same = offered(spending, noise=Noise(mechanism="laplace", budget_thousandths=500)).signed.agreement.datasets[0]
    assert same == terms


def test_the_matcher_may_know_membership_where_there_is_no_noise(spending: Home) -> None:
    every = ("hidden", "owner", "matcher")
    assert offered(spending, membership=every, noise=None).signed.agreement.datasets[0].membership == every
    error = code_of(AgreementError, lambda: offered(spending, membership=every))
    assert "counts cannot be noisy" in error.fields["problem"]
    idle = {"values": (), "groups": (), "noise": None, "outputs": ["receiver"]}
    error = code_of(AgreementError, lambda: offered(spending, operations=["count"], membership=["hidden", "matcher"], **idle))
    assert (error.code, error.fields["terms"]) == ("policy.terms-without-aggregate", "--membership matcher")


def test_values_and_groups_are_granted_only_when_named(spending: Home) -> None:
    terms = propose(
        spending, partner="merchant", offers=[Offer("parcels", ["aggregate"])], purpose=["p"]
    ).signed.agreement.datasets[0]
    assert (terms.values, terms.groups, terms.membership, terms.noise) == ((), (), ("hidden",), None)
    assert (terms.min_group, terms.outputs) == (MIN_GROUP, ("receiver",))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"values": ["fee"]}, "policy.value-not-registered"),
        ({"groups": ["mail"]}, "policy.group-not-registered"),
        ({"values": ["spend", "spend"]}, "policy.terms-wrong"),
        ({"groups": ["town", "town"]}, "policy.terms-wrong"),
        ({"membership": []}, "policy.terms-wrong"),
        ({"membership": ["owner", "owner"]}, "policy.terms-wrong"),
        ({"membership": ["everybody"]}, "policy.terms-wrong"),
        ({"membership": ["hidden", "matcher"]}, "policy.terms-wrong"),  # with noise
        ({"engines": []}, "policy.terms-wrong"),
        ({"engines": ["rlwe-8192-168/1"] * 2}, "policy.terms-wrong"),
        ({"min_group": -1}, "policy.terms-wrong"),
        ({"outputs": ["receiver", "responder", "both", "both"]}, "policy.terms-wrong"),
        ({"operations": ["count"]}, "policy.terms-without-aggregate"),
        ({"release": ["status"]}, "policy.release-without-match"),
    ],
)
def test_no_aggregate_can_be_offered_that_is_not_there(spending: Home, change: dict[str, Any], code: str) -> None:
    assert code_of(AgreementError, lambda: offered(spending, **change)).code == code
    assert list_agreements(spending) == ()


def test_each_term_that_only_an_aggregate_uses_is_named(spending: Home) -> None:
    idle = {"values": (), "groups": (), "membership": ["hidden"], "noise": None, "outputs": ["receiver"]}
    offered(spending, operations=["count"], **idle)
    for name, told in (
        ("values", "--value spend"),
        ("groups", "--group town"),
        ("membership", "--membership owner"),
        ("noise", "--noise"),
        ("outputs", "--output-to responder"),
    ):
        change = {**idle, name: SUMS[name]}
        only = ["match"] if name == "noise" else ["count"]  # counts are noisy, too
        error = code_of(AgreementError, lambda change=change, only=only: offered(spending, operations=only, **change))
        assert (error.code, error.fields["terms"]) == ("policy.terms-without-aggregate", told)
    offered(spending, operations=["count"], **idle | {"noise": SUMS["noise"]})
    assert code_of(UsageError, lambda: offered(spending, noise="laplace")).code == "node.spec-noise"


def test_only_an_engine_that_is_here_and_hides_who_matches_can_be_offered(spending: Home) -> None:
    assert code_of(UsageError, lambda: offered(spending, engines=["rot13/1"])).code == "engines.unknown"
    pytest.importorskip("gmpy2")
    chosen = ["paillier-3072/1", "rlwe-8192-168/1"]
    assert offered(spending, engines=chosen).signed.agreement.datasets[0].engines == tuple(chosen)
    idle = {"values": (), "groups": (), "membership": ["hidden"], "outputs": ["receiver"]}
    error = code_of(AgreementError, lambda: offered(spending, operations=["count"], engines=chosen, **idle))
    assert (error.code, error.fields["terms"]) == ("policy.terms-without-aggregate", "--engine paillier-3072/1")
    pytest.importorskip("tenseal")
    assert code_of(UsageError, lambda: offered(spending, engines=["bfv-8192-168/1"])).code == "engines.shows-members"


SUM_TAMPER = [
    (("datasets", 0, "values", 0, "high"), 10**9),
    (("datasets", 0, "values", 0, "name"), "fee"),
    (("datasets", 0, "groups", 0, "name"), "street"),
    (("datasets", 0, "membership"), ["hidden"]),
    (("datasets", 0, "engines"), ["paillier-2048/1"]),
    (("datasets", 0, "noise", "budget_thousandths"), 1000),
    (("datasets", 0, "noise"), None),
    (("datasets", 0, "min_group"), 1),
]


@pytest.mark.parametrize(("path", "value"), SUM_TAMPER)
def test_no_term_of_an_aggregate_can_be_changed_after_signing(spending: Home, path: tuple[Any, ...], value: object) -> None:
    content = content_of(sign(spending, offered(spending).signed.agreement.id))
    assert parse(content).agreement.datasets[0].min_group == 50
    assert code_of(AgreementError, lambda: parse(tampered(content, path, value))).code == "policy.agreement-signature-wrong"


def test_wrong_frames_are_refused(parcels: Home) -> None:
    offer = Offer("parcels", ["match"])
    for error, options in (
        (UsageError, {"partner": "stranger"}),
        (UsageError, {"offers": [Offer("nothing", ["match"])]}),
        (UsageError, {"purpose": ["two words"]}),
        (AgreementError, {"purpose": []}),
        (AgreementError, {"purpose": ["a", "a"]}),
        (AgreementError, {"offers": []}),
        (AgreementError, {"offers": [offer, offer]}),
        (AgreementError, {"offers": [Offer("parcels", [])]}),
        (AgreementError, {"offers": [Offer("parcels", ["sum"])]}),  # type: ignore[list-item]
        (AgreementError, {"valid_until": datetime(2020, 1, 1, tzinfo=UTC)}),
    ):
        full: dict[str, Any] = {"partner": "merchant", "offers": [offer], "purpose": ["delivery"], **options}
        code_of(error, lambda full=full: propose(parcels, **full))


# --- hostile and damaged files ---------------------------------------------------------------------------------

TAMPER = [
    (("datasets", 0, "runs_per_day"), 1000),
    (("datasets", 0, "min_input"), 1),
    (("datasets", 0, "min_result"), 0),
    (("datasets", 0, "max_rows_per_key"), 1),
    (("datasets", 0, "outputs"), ["both", "receiver"]),
    (("datasets", 0, "operations"), ["match"]),
    (("datasets", 0, "release", 0, "name"), "fee"),
    (("purpose",), ["marketing"]),
    (("valid_until",), "2099-01-01T00:00:00Z"),
    (("valid_from",), "2020-01-01T00:00:00Z"),
    (("partner", "name"), "other"),
]


def tampered(content: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    place = content["agreement"]
    for step in path[:-1]:
        place = place[step]
    assert place[path[-1]] != value
    place[path[-1]] = value
    return content


@pytest.mark.parametrize(("path", "value"), TAMPER)
def test_no_term_can_be_changed_after_signing(parcels: Home, path: tuple[Any, ...], value: object) -> None:
    content = tampered(content_of(grant(parcels)), path, value)
    assert code_of(AgreementError, lambda: parse(content)).code == "policy.agreement-signature-wrong"


@pytest.mark.parametrize(("path", "value"), TAMPER)
def test_a_tampered_stored_file_is_refused(parcels: Home, path: tuple[Any, ...], value: object) -> None:
    stored = grant(parcels)
    identity = stored.signed.agreement.id
    content = tampered(content_of(stored), path, value)
    with parcels.store.write() as db:
        db.execute("UPDATE agreements SET file = ?", (json.dumps(content),))
    for act in (lambda: show(parcels, identity), lambda: list_agreements(parcels), lambda: sign(parcels, identity)):
        assert code_of(AgreementError, act).code == "policy.agreement-tampered"


def test_a_stored_file_under_another_id_is_refused(parcels: Home) -> None:
    grant(parcels)
    with parcels.store.write() as db:
        db.execute("UPDATE agreements SET id = ?", ("0" * 16,))
    assert code_of(AgreementError, lambda: show(parcels, "0" * 16)).code == "policy.agreement-tampered"


def test_a_strangers_signature_is_refused(parcels: Home, bank: Home) -> None:
    stored = grant(parcels)
    content = content_of(stored)
    content["signatures"][bank.identity.public] = bank.identity.sign(stored.signed.agreement)
    assert code_of(AgreementError, lambda: parse(content)).code == "policy.agreement-stranger"


def test_a_strangers_revocation_is_refused(parcels: Home, merchant: Home, bank: Home, tmp_path: Path) -> None:
    granted = grant(parcels)
    import_file(merchant, to_file(tmp_path, granted))
    mine = content_of(revoke(merchant, granted.signed.agreement.id))
    revocation = next(iter(mine["revocations"].values()))
    from psc.policy.agreement import Revocation

    document = Revocation.model_validate_json(json.dumps(revocation["revocation"]))
    content = content_of(granted)
    content["revocations"] = {
        bank.identity.public: {"revocation": revocation["revocation"], "signature": bank.identity.sign(document)}
    }
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    assert code_of(AgreementError, lambda: import_file(parcels, path)).code == "policy.agreement-stranger"
    content["revocations"] = {bank.identity.public: revocation}
    assert code_of(AgreementError, lambda: parse(content)).code == "policy.agreement-signature-wrong"


def test_a_revocation_of_another_agreement_does_not_count(parcels: Home) -> None:
    one, two = grant(parcels), grant(parcels)
    content = content_of(two)
    content["revocations"] = content_of(revoke(parcels, one.signed.agreement.id))["revocations"]
    error = code_of(AgreementError, lambda: parse(content))
    assert (error.code, error.fields["where"]) == ("policy.agreement-malformed", "revocations")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda c: c["agreement"].pop("purpose"), "purpose"),
        (lambda c: c["agreement"].update(more=1), "more"),
        (lambda c: c["agreement"].update(version=2), "version"),
        (lambda c: c["agreement"].update(id="x"), "id"),
        (lambda c: c["agreement"]["owner"].update(identity="x"), "owner.identity"),
        (lambda c: c["agreement"].update(valid_until="2020-01-01T00:00:00Z"), "document"),
        (lambda c: c["agreement"].update(partner=c["agreement"]["owner"]), "document"),
        (lambda c: c["agreement"]["datasets"].append(c["agreement"]["datasets"][0]), "document"),
        (lambda c: c.update(more=1), "more"),
        (lambda c: c.pop("signatures"), "signatures"),
        (lambda c: c.update(signatures=[]), "signatures"),
        (lambda c: c.update(signatures={"a": 1}), "signatures"),
        (lambda c: c.update(revocations=[]), "revocations"),
        (lambda c: c.update(revocations={"a": {}}), "revocations"),
        (lambda c: c.update(agreement=[]), "document"),
    ],
)
def test_a_malformed_file_names_its_place(parcels: Home, change: Any, where: str) -> None:
    content = content_of(grant(parcels))
    change(content)
    error = code_of(AgreementError, lambda: parse(content))
    assert (error.code, error.fields["where"]) == ("policy.agreement-malformed", where)


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"{}", b"[" * 100_000, b"x" * 300_000])
def test_what_is_no_agreement_is_an_agreement_error(data: bytes) -> None:
    code = code_of(AgreementError, lambda: SignedAgreement.parse(data, file="x")).code
    assert code == ("policy.agreement-not-json" if _is_not_json(data) else "policy.agreement-malformed")


def test_a_file_survives_being_laid_out_anew(parcels: Home) -> None:
    stored = grant(parcels)
    assert parse(content_of(stored)) == stored.signed


# --- whose file it is ------------------------------------------------------------------------------------------


def test_only_an_owners_signed_document_about_us_comes_in(parcels: Home, merchant: Home, bank: Home, tmp_path: Path) -> None:
    assert code_of(UsageError, lambda: import_file(merchant, tmp_path / "no")).code == "policy.agreement-file-missing"
    unsigned = to_file(tmp_path, draft(parcels))
    assert code_of(AgreementError, lambda: import_file(merchant, unsigned)).code == "policy.agreement-unsigned"
    for_bank = to_file(tmp_path, grant(parcels, partner="bank"))
    assert code_of(AgreementError, lambda: import_file(merchant, for_bank)).code == "policy.agreement-not-ours"
    assert import_file(bank, for_bank).signed.state(now()) == "granted"
    assert list_agreements(merchant) == ()


def test_a_document_that_only_the_partner_signed_is_no_grant(parcels: Home, merchant: Home, tmp_path: Path) -> None:
    drafted = draft(parcels)
    agreement = drafted.signed.agreement
    path = tmp_path / "x.json"
    path.write_text(SignedAgreement(agreement, {merchant.identity.public: merchant.identity.sign(agreement)}).to_json())
    assert code_of(AgreementError, lambda: import_file(merchant, path)).code == "policy.agreement-unsigned"
    assert import_file(parcels, path).signed.state(now()) == "draft"
    assert sign(parcels, agreement.id).signed.state(now()) == "agreed"


def test_nobody_can_bring_in_a_grant_of_ours_that_we_did_not_propose(parcels: Home, merchant: Home, tmp_path: Path) -> None:
    """The partner writes a document in the owner's name; even with any signatures it does not enter the owner's store."""
    real = grant(parcels).signed.agreement
    content = {**json.loads(real.canonical()), "id": "0" * 16}
    forged = Agreement.model_validate_json(json.dumps(content))
    path = tmp_path / "x.json"
    path.write_text(SignedAgreement(forged, {merchant.identity.public: merchant.identity.sign(forged)}).to_json())
    assert code_of(AgreementError, lambda: import_file(parcels, path)).code == "policy.agreement-not-proposed-here"
    assert len(list_agreements(parcels)) == 1


def test_an_id_belongs_to_one_document(parcels: Home, merchant: Home, tmp_path: Path) -> None:
    granted = grant(parcels)
    import_file(merchant, to_file(tmp_path, granted))
    content = json.loads(granted.signed.agreement.canonical())
    content["datasets"][0]["runs_per_day"] = 999
    other = Agreement.model_validate_json(json.dumps(content))
    path = tmp_path / "x.json"
    path.write_text(SignedAgreement(other, {parcels.identity.public: parcels.identity.sign(other)}).to_json())
    assert code_of(AgreementError, lambda: import_file(merchant, path)).code == "policy.agreement-id-taken"
    assert show(merchant, granted.signed.agreement.id).signed == granted.signed


def test_an_owner_who_is_not_pinned_is_refused(parcels: Home, tmp_path: Path) -> None:
    with Home.create(tmp_path / "shop", "shop") as shop:
        trust(parcels, own_card(shop))
        path = to_file(tmp_path, grant(parcels, partner="shop"))
        assert code_of(AgreementError, lambda: import_file(shop, path)).code == "policy.agreement-owner-unknown"
        trust(shop, own_card(parcels))
        assert import_file(shop, path).signed.state(now()) == "granted"


# --- rotation --------------------------------------------------------------------------------------------------


def test_agreements_outlive_a_rotation_of_either_party(parcels: Home, merchant: Home, tmp_path: Path) -> None:
    granted = grant(parcels)
    import_file(merchant, to_file(tmp_path, granted))
    trust(merchant, rotate(parcels))
    trust(parcels, rotate(merchant))
    for home, name, ours in ((parcels, "merchant", True), (merchant, "courier", False)):
        found = with_partner(home, partner_named(home, name), ours=ours)
        assert [stored.signed.state(now()) for stored in found] == ["granted"]


def test_a_document_with_a_replaced_identity_is_neither_signed_nor_brought_in(
    parcels: Home, merchant: Home, tmp_path: Path
) -> None:
    drafted, granted = draft(parcels), grant(parcels)
    path = to_file(tmp_path, granted)
    trust(parcels, rotate(merchant))
    assert code_of(AgreementError, lambda: import_file(merchant, path)).code == "policy.agreement-old-identity"
    again = to_file(tmp_path, grant(parcels))
    trust(merchant, rotate(parcels))
    assert code_of(AgreementError, lambda: import_file(merchant, again)).code == "policy.agreement-owner-unknown"
    identity = drafted.signed.agreement.id
    assert code_of(AgreementError, lambda: sign(parcels, identity)).code == "policy.agreement-old-identity"


def test_a_rotated_party_can_revoke_what_its_old_identity_signed(parcels: Home, merchant: Home, tmp_path: Path) -> None:
    granted = grant(parcels)
    import_file(merchant, to_file(tmp_path, granted))
    trust(merchant, rotate(parcels))
    ended = revoke(parcels, granted.signed.agreement.id)
    assert set(ended.signed.revocations) == {parcels.identity.public}
    assert import_file(merchant, to_file(tmp_path, ended)).signed.state(now()) == "revoked"


def _is_not_json(data: bytes) -> bool:
    if len(data) > 256 * 1024:
        return False  # refused unread
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return True
    return False
