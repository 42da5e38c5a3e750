"""``--protocol`` and ``--model`` of ``psc match``, and ``--model`` of ``psc agreement propose``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psc.testing.nodes import PURPOSE, NodePair, grant, node_pair

from .conftest import Psc

LARGE = 60_000


def table(rows: int) -> pa.Table:
    return pa.table({"phone": [f"138{number:08d}" for number in range(rows)], "status": ["x"] * rows})


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodePair]:
    """A served courier with ``small`` and ``large``, either granted without least sizes."""
    folder = tmp_path_factory.mktemp("pair")
    with node_pair(folder) as made:
        for name, rows in (("small", 80), ("large", LARGE)):
            pq.write_table(table(rows), folder / f"{name}.parquet")
            grant(made.courier, "merchant", name, source=folder / f"{name}.parquet", release=["status:text:8"])
        yield made


@pytest.fixture
def line(pair: NodePair, tmp_path: Path) -> str:
    pq.write_table(table(60), tmp_path / "small.parquet")
    pq.write_table(table(LARGE), tmp_path / "large.parquet")
    return f"--home {pair.merchant.home.path} --key phone --purpose {PURPOSE} --input"


PLANS = [
    ("small", "", "dh-psi", "semi-honest", True),
    ("large", "", "vole-psi", "malicious", True),
    ("large", "--want status", "vole-psi", "semi-honest", True),
    ("large", "--output-to both", "vole-psi", "semi-honest", True),
    ("large", "--model semi-honest", "vole-psi", "semi-honest", True),
    ("small", "--model malicious", "vole-psi", "malicious", False),
    ("small", "--protocol vole-psi", "vole-psi", "malicious", False),
    ("small", "--protocol vole-psi --model semi-honest", "vole-psi", "semi-honest", False),
    ("large", "--protocol dh-psi", "dh-psi", "semi-honest", False),
]


@pytest.mark.parametrize(("size", "options", "protocol", "model", "chosen"), PLANS)
def test_a_plan_says_which_protocol_and_model_and_why(
    psc: Psc, line: str, size: str, options: str, protocol: str, model: str, chosen: bool
) -> None:
    plan = psc(f"match courier/{size} {line} {size}.parquet {options} --dry-run --json").json()
    assert (plan["protocol"], plan["model"]) == (protocol, model)
    assert (plan["reason"] is not None) == chosen
    shown = psc(f"match courier/{size} {line} {size}.parquet {options} --dry-run").out
    assert f"{protocol} · " in shown
    assert (f"{protocol} rather than " in shown) == chosen


@pytest.mark.parametrize("options", ["--protocol dh-psi", "--protocol vole-psi --model semi-honest", "--model malicious"])
def test_a_run_keeps_to_what_was_asked(psc: Psc, line: str, options: str, pair: NodePair) -> None:
    found = psc(f"match courier/small {line} small.parquet {options} --json").json()
    assert found["matched_keys"] == 60
    shown = psc(f"runs show {found['run_id']} --home {pair.merchant.home.path} --json").json()
    receipt = shown["receipt"]["receipt"] if "receipt" in shown["receipt"] else shown["receipt"]
    assert receipt["protocol"] == ("dh-psi" if "dh-psi" in options else "vole-psi")
    assert receipt["model"] == ("malicious" if "malicious" in options else "semi-honest")


@pytest.mark.parametrize("options", ["--want status", "--output-to both", "--protocol dh-psi"])
def test_malicious_where_it_does_not_hold_is_a_usage_error(psc: Psc, line: str, options: str) -> None:
    done = psc(f"match courier/small {line} small.parquet --model malicious {options} --json")
    assert done.code == 2
    code = "operations.model-needs-vole-psi" if "dh-psi" in options else "session.malicious-match-one-sided"
    assert done.error()["code"] == code


@pytest.mark.parametrize("options", ["--protocol kkrt", "--model covert"])
def test_a_value_that_does_not_exist_is_refused(psc: Psc, line: str, options: str) -> None:
    assert psc(f"match courier/small {line} small.parquet {options}").code == 2


def test_the_options_are_of_match_alone(psc: Psc, line: str) -> None:
    assert psc(f"count courier/small {line} small.parquet --protocol dh-psi").code == 2


def test_an_agreement_may_demand_a_match_that_withstands_a_malicious_partner(
    psc: Psc, line: str, pair: NodePair, tmp_path: Path
) -> None:
    pq.write_table(table(80), tmp_path / "theirs.parquet")
    grant(pair.courier, "merchant", "guarded", source=tmp_path / "theirs.parquet", operations=["count"])
    home = f"--home {pair.courier.home.path}"
    words = f"agreement propose --with merchant --dataset guarded --allow match --purpose {PURPOSE} --sign {home}"
    made = psc(f"{words} --model malicious --min-input 0 --min-result 0 --json").json()
    shown = psc(f"agreement show {made['agreement']['id']} {home}").out
    assert "model of a match" in shown
    assert "malicious" in shown
    refused = psc(f"match courier/guarded {line} small.parquet --protocol dh-psi --dry-run --json")
    assert refused.code == 4
    assert refused.json()["refused_by"]["rule"] == "model-too-weak"
    plan = psc(f"match courier/guarded {line} small.parquet --dry-run --json").json()
    assert (plan["protocol"], plan["model"]) == ("vole-psi", "malicious")
    assert psc(f"{words} --model covert").code == 2
