"""``psc agreement propose | sign | show | import | revoke | list``."""

from __future__ import annotations

from pathlib import Path

import pytest

from psc.node.home import Home

from .conftest import Psc

PROPOSE = "agreement propose --home c --with merchant --dataset parcels --allow match,count --purpose delivery"


@pytest.fixture
def _registered(psc: Psc, homes: tuple[Home, Home], parcels: Path) -> None:
    add = "dataset add parcels --home c --source parcels.parquet --key phone=mobile:phone --release status:text:16"
    assert psc(add).code == 0


@pytest.mark.usefixtures("_registered")
def test_from_draft_to_revocation(psc: Psc) -> None:
    draft = psc(f"{PROPOSE} --release status --json").json()
    assert (draft["state"], draft["ours"], draft["signed_by"]) == ("draft", True, [])
    assert draft["agreement"]["datasets"][0]["min_input"] == 1000
    number = draft["agreement"]["id"]
    assert "psc agreement sign" in psc(f"agreement show {number} --home c").out

    assert psc(f"agreement sign {number[:6]} --home c --output grant.json").code == 0
    imported = psc("agreement import grant.json --home m --json").json()
    assert (imported["state"], imported["ours"], imported["partner"]) == ("granted", False, "courier")
    assert psc(f"agreement sign {number} --home m --output both.json --json").json()["state"] == "agreed"
    assert psc("agreement import both.json --home c --json").json()["state"] == "agreed"
    assert [entry["state"] for entry in psc("agreement list --home c --json").json()["agreements"]] == ["agreed"]
    assert number in psc("agreement list --home m").out

    revoked = psc(f"agreement revoke {number} --home c --output end.json")
    assert "revoked" in revoked.out
    assert psc("agreement import end.json --home m --json").json()["state"] == "revoked"
    assert psc(f"agreement sign {number} --home c --json").error()["exit_code"] == 4


@pytest.mark.usefixtures("_registered")
def test_every_limit_reaches_the_document(psc: Psc) -> None:
    limits = "--min-input 5 --max-input 500 --min-result 3 --runs-per-day 7 --elements-per-day 900 --max-rows-per-key 1"
    dates = "--from 2026-01-01 --until 2030-12-31"
    document = psc(f"{PROPOSE} --release status --key phone --output-to both {limits} {dates} --sign --json").json()
    terms = document["agreement"]["datasets"][0]
    assert (terms["min_input"], terms["max_input"], terms["min_result"]) == (5, 512, 3)
    assert (terms["runs_per_day"], terms["elements_per_day"], terms["max_rows_per_key"]) == (7, 900, 1)
    assert terms["outputs"] == ["receiver", "both"]
    assert document["agreement"]["valid_from"] == "2026-01-01T00:00:00Z"
    assert document["agreement"]["valid_until"] == "2030-12-31T23:59:59Z"
    assert document["state"] == "granted"


SUMS = (
    PROPOSE.replace("match,count", "aggregate,count")
    + " --value spend --group town --membership owner --noise laplace:0.5 --min-group 30 --output-to responder"
)
VALUES = "--value spend=fee:decimal:2:0..99.5 --group town=mobile --max-rows-per-key 2"


@pytest.fixture
def _spending(psc: Psc, homes: tuple[Home, Home], parcels: Path) -> None:
    add = f"dataset add parcels --home c --source parcels.parquet --key phone=mobile:phone {VALUES}"
    assert psc(add).code == 0


@pytest.mark.usefixtures("_spending")
def test_every_term_of_an_aggregate_reaches_the_document(psc: Psc) -> None:
    terms = psc(f"{SUMS} --json").json()["agreement"]["datasets"][0]
    assert terms["values"] == [{"name": "spend", "scale": 2, "low": 0, "high": 9950}]
    assert [group["name"] for group in terms["groups"]] == ["town"]
    assert terms["noise"] == {"mechanism": "laplace", "budget_thousandths": 500}
    assert (terms["membership"], terms["outputs"], terms["min_group"]) == (["hidden", "owner"], ["responder"], 30)
    plain = psc(f"{PROPOSE.replace('match,count', 'aggregate')} --json").json()["agreement"]["datasets"][0]
    assert (plain["values"], plain["groups"], plain["membership"], plain["noise"]) == ([], [], ["hidden"], None)
    assert terms["engines"] == plain["engines"] == ["rlwe-8192-168/1"]


@pytest.mark.usefixtures("_spending")
def test_the_matcher_may_know_membership_but_not_with_noise(psc: Psc) -> None:
    matcher = SUMS.replace("--membership owner", "--membership matcher")
    assert psc(f"{matcher} --json").error()["code"] == "policy.terms-wrong"
    terms = psc(f"{matcher.replace(' --noise laplace:0.5', '')} --json").json()["agreement"]["datasets"][0]
    assert terms["membership"] == ["hidden", "matcher"]


@pytest.mark.usefixtures("_spending")
def test_the_encryptions_of_values_are_a_list(psc: Psc) -> None:
    refused = psc(f"{SUMS} --engine rlwe-8192-168/1,rot13/1")
    assert refused.code == 2
    assert "[engines.unknown]" in refused.err
    pytest.importorskip("gmpy2")
    done = psc(f"{SUMS} --engine rlwe-8192-168/1,paillier-3072/1 --json")
    assert done.json()["agreement"]["datasets"][0]["engines"] == ["rlwe-8192-168/1", "paillier-3072/1"]


@pytest.mark.usefixtures("_spending")
@pytest.mark.parametrize(
    ("options", "outputs"),
    [
        ("", "receiver"),
        ("both", "receiver,both"),
        ("receiver,responder", "receiver,responder"),
        ("responder,both", "receiver,responder,both"),
    ],
)
def test_who_may_learn_a_result_is_a_list(psc: Psc, options: str, outputs: str) -> None:
    line = PROPOSE.replace("match,count", "aggregate") + (f" --output-to {options}" if options else "")
    assert psc(f"{line} --json").json()["agreement"]["datasets"][0]["outputs"] == outputs.split(",")


@pytest.mark.usefixtures("_spending")
def test_the_terms_of_an_aggregate_are_shown_in_words(psc: Psc, monkeypatch: pytest.MonkeyPatch) -> None:
    number = psc(f"{SUMS} --sign --json").json()["agreement"]["id"]
    shown = " ".join(psc(f"agreement show {number} --home c").out.split())
    for words in (
        "may be aggregated spend: 0.00 to 99.50, 2 decimals",
        "may be grouped by town",
        "shared customers hidden from both sides known to the owner of the data, which then sums in the clear",
        "encryption of values rlwe-8192-168/1",
        "noise of a run discrete Laplace, epsilon 0.5, added by the owner of the data before numbers leave it",
        "least group 30",
        "result goes to the owner of the data alone",
    ):
        assert words in shown
    monkeypatch.setenv("PSC_LANG", "zh")
    chinese = psc(f"agreement show {number} --home c").out
    for words in ("可汇总", "对双方隐藏", "离散拉普拉斯", "仅数据方"):
        assert words in chinese
    monkeypatch.setenv("PSC_LANG", "en")
    assert "aggregate" in psc("agreement list --home c").out
    plain = psc(PROPOSE).out
    for words in ("may be aggregated", "noise of a run", "least group"):
        assert words not in plain  # an agreement without aggregates has none of it


@pytest.mark.usefixtures("_spending")
@pytest.mark.parametrize(
    ("line", "code", "exit_code"),
    [
        (SUMS.replace("--value spend", "--value fee"), "policy.value-not-registered", 4),
        (SUMS.replace("--group town", "--group city"), "policy.group-not-registered", 4),
        (SUMS.replace("aggregate,count", "count"), "policy.terms-without-aggregate", 4),
        (SUMS.replace("owner", "nobody"), "cli.choice-unknown", 2),
        (SUMS.replace("responder", "nobody"), "cli.choice-unknown", 2),
        (SUMS.replace("laplace:0.5", "laplace:x"), "node.spec-noise", 2),
        (SUMS.replace("--min-group 30", "--min-group -1"), "policy.terms-wrong", 4),
    ],
)
def test_bad_terms_of_an_aggregate_have_their_codes(psc: Psc, line: str, code: str, exit_code: int) -> None:
    error = psc(line + " --json").error()
    assert (error["code"], error["exit_code"]) == (code, exit_code)
    assert psc("agreement list --home c --json").json() == {"agreements": []}


@pytest.mark.usefixtures("_registered")
def test_a_most_input_between_two_padded_sizes_is_rounded_and_said(psc: Psc) -> None:
    done = psc(f"{PROPOSE} --max-input 100000")
    assert "102,400" in done.out
    assert "rounded up to 102,400" in done.err
    assert "rounded" not in psc(f"{PROPOSE} --max-input 102400").err
    assert "rounded" not in psc(PROPOSE).err


@pytest.mark.usefixtures("_registered")
def test_an_agreement_shows_its_id_and_its_digest(psc: Psc) -> None:
    found = psc(f"{PROPOSE} --sign --json").json()
    shown = psc(f"agreement show {found['agreement']['id']} --home c").out
    assert found["agreement"]["id"] in shown
    assert found["digest"] in shown


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize(
    ("line", "code", "exit_code"),
    [
        (PROPOSE.replace("match,count", "match,steal"), "cli.operation-unknown", 2),
        (PROPOSE.replace("merchant", "nobody"), "node.partner-unknown", 2),
        (PROPOSE.replace("parcels", "nothing"), "node.dataset-unknown", 2),
        (f"{PROPOSE} --release fee", "policy.column-not-registered", 4),
        (f"{PROPOSE} --key mail", "policy.key-not-registered", 4),
        (PROPOSE.replace("match,count", "count") + " --release status", "policy.release-without-match", 4),
        (f"{PROPOSE} --max-rows-per-key 9", "policy.rows-above-registered", 4),
        (f"{PROPOSE} --min-input 9 --max-input 8", "policy.terms-wrong", 4),
        (f"{PROPOSE} --from tomorrow", "node.time-wrong", 2),
        (f"{PROPOSE} --from 2101-01-02 --until 2101-01-01", "policy.terms-wrong", 4),
        (f"{PROPOSE} --until 2026-01-01", "cli.until-past", 2),
        (f"{PROPOSE} --output junk", "cli.output-exists", 2),
        ("agreement import junk --home m", "policy.agreement-not-json", 4),
        ("agreement import missing --home m", "policy.agreement-file-missing", 2),
        ("agreement show 0000 --home c", "policy.agreement-unknown", 2),
        ("agreement sign 0000 --home c", "policy.agreement-unknown", 2),
        ("agreement revoke 0000 --home c", "policy.agreement-unknown", 2),
    ],
)
def test_bad_input_has_its_code(psc: Psc, tmp_path: Path, line: str, code: str, exit_code: int) -> None:
    (tmp_path / "junk").write_text("junk", encoding="utf-8")
    error = psc(line + " --json").error()
    assert (error["code"], error["exit_code"]) == (code, exit_code)
    assert f"[{code}]" in psc(line).err
    assert psc("agreement list --home c --json").json() == {"agreements": []}


def test_several_keys_are_said_to_be_usable_alone(psc: Psc, homes: tuple[Home, Home], parcels: Path) -> None:
    assert psc("dataset add parcels --home c --source parcels.parquet --key phone=mobile:phone --key city:text").code == 0
    shown = " ".join(psc(PROPOSE).out.split())
    assert "each of these keys alone, too, or any of them together: phone, city." in shown
    assert "keys alone" in " ".join(psc(f"{PROPOSE} --sign").out.split())
    assert "keys alone" not in psc(f"{PROPOSE} --key phone").out


def test_an_empty_list_says_what_to_do(psc: Psc, homes: tuple[Home, Home]) -> None:
    assert "psc agreement propose" in psc("agreement list --home c").out
