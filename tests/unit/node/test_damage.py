"""Records in the store that were cut or edited: a storage error each, never another error or a wrong answer."""

from pathlib import Path

import pytest

from psc.errors import PscError, StorageError
from psc.node.datasets import get_dataset, list_datasets, load_dataset
from psc.node.home import Home
from psc.node.own import own_card
from psc.node.runs import finish_run, get_run, list_runs, mark_interrupted, start_run
from psc.node.trust import partners, trust
from tests.homes import code_of, register_parcels

RUN = "01jd6x3k9m2p4q6r8s0t2v4w6y"
DAMAGE = ["", "{}", "null", "[1", '{"a": 1}', "\u0000"]


@pytest.mark.parametrize("text", DAMAGE)
def test_a_damaged_dataset(courier: Home, tmp_path: Path, text: str) -> None:
    register_parcels(courier, tmp_path)
    with courier.store.write() as db:
        db.execute("UPDATE datasets SET record = ?", (text,))
    for act in (
        lambda: get_dataset(courier, "parcels"),
        lambda: list_datasets(courier),
        lambda: load_dataset(courier, "parcels"),
        lambda: register_parcels(courier, tmp_path, replace=True),
    ):
        assert code_of(StorageError, act).code == "node.store-damaged"


@pytest.mark.parametrize("text", DAMAGE)
def test_a_damaged_run(courier: Home, text: str) -> None:
    start_run(courier, run_id=RUN, direction="responder", partner="m", operation="count", dataset="parcels", purpose="p")
    with courier.store.write() as db:
        db.execute("UPDATE runs SET record = ?", (text,))
    for act in (
        lambda: get_run(courier, RUN),
        lambda: list_runs(courier),
        lambda: finish_run(courier, RUN, "failed"),
        lambda: mark_interrupted(courier),
    ):
        assert code_of(StorageError, act).code == "node.store-damaged"


@pytest.mark.parametrize("text", DAMAGE)
def test_a_damaged_card(merchant: Home, courier: Home, text: str) -> None:
    trust(courier, own_card(merchant))
    with courier.store.write() as db:
        db.execute("UPDATE cards SET card = ? WHERE own = 0", (text,))
    for act in (lambda: partners(courier), lambda: trust(courier, own_card(merchant))):
        assert code_of(StorageError, act).code == "node.store-damaged"
    with courier.store.write() as db:
        db.execute("UPDATE cards SET card = ?", (text,))
    assert code_of(StorageError, lambda: own_card(courier)).code == "node.store-damaged"


@pytest.mark.parametrize("table", ["cards", "datasets", "agreements", "charges", "runs"])
def test_a_missing_table_is_a_psc_error(courier: Home, tmp_path: Path, table: str) -> None:
    from psc.policy.agreements import list_agreements
    from psc.policy.ledger import charges

    with courier.store.write() as db:
        db.execute(f"DROP TABLE {table}")
    acts = {
        "cards": lambda: partners(courier),
        "datasets": lambda: list_datasets(courier),
        "agreements": lambda: list_agreements(courier),
        "charges": lambda: charges(courier),
        "runs": lambda: list_runs(courier),
    }
    code_of(PscError, acts[table])
