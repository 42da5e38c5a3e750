"""Two nodes over mutual TLS, with made-up tables, shared by the integration tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psc.sdk.partner import Partner
from psc.testing.madeup import PARCEL_PHONE, courier_parcels, merchant_orders
from psc.testing.nodes import NodePair, grant, node_pair


@dataclass
class Market:
    """A running pair, and the tables that its dataset ``parcels`` was made from."""

    pair: NodePair
    folder: Path
    orders: pa.Table
    parcels: pa.Table
    courier: Partner


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """Return a pair whose courier grants ``parcels`` with status and fee, four rows a key, without minimum sizes."""
    folder = tmp_path_factory.mktemp("market")
    orders, parcels = merchant_orders(1500, seed=3), courier_parcels(1200, seed=3)
    pq.write_table(parcels, folder / "parcels.parquet")
    with node_pair(folder) as pair:
        grant(
            pair.courier,
            "merchant",
            "parcels",
            source=folder / "parcels.parquet",
            keys=[f"phone={PARCEL_PHONE}:phone"],
            release=["status:text:16", "fee:float64"],
            max_rows_per_key=4,
        )
        with pair.merchant.connect("courier") as courier:
            yield Market(pair, folder, orders, parcels, courier)
