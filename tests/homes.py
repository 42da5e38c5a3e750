"""Homes for tests: nodes that trust each other, and small datasets in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psc.errors import PscError
from psc.node.datasets import add_dataset
from psc.node.home import Home
from psc.node.own import own_card
from psc.node.records import DatasetRecord
from psc.node.trust import trust
from psc.texts import render


def befriend(*homes: Home) -> None:
    """Let every home pin every other's card."""
    for one in homes:
        for other in homes:
            if one is not other:
                trust(one, own_card(other))


def parcels_table(rows: int = 12) -> pa.Table:
    """Parcels of ``rows // 2`` phones: two rows each."""
    return pa.table(
        {
            "mobile": [f"1380013{8000 + row // 2}" for row in range(rows)],
            "mail": [f"p{row // 2}@example.com" for row in range(rows)],
            "status": [("delivered", "on the way", None)[row % 3] for row in range(rows)],
            "fee": list(range(rows)),
            "city": [("杭州", "上海")[row % 2] for row in range(rows)],
        }
    )


def register_parcels(home: Home, folder: Path, *, rows: int = 12, name: str = "parcels", **more: object) -> DatasetRecord:
    """Write parcels as Parquet and register them."""
    path = folder / f"{name}.parquet"
    pq.write_table(parcels_table(rows), path)
    options: dict[str, object] = {
        "keys": ["phone=mobile:phone"],
        "release": ["status:text:16", "fee:int64"],
        "max_rows_per_key": 2,
    }
    return add_dataset(home, name, source=path, **{**options, **more})


def code_of(kind: type[PscError], act: Callable[[], object]) -> PscError:
    """Return the error that ``act`` raises; its text must render in both languages."""
    with pytest.raises(kind) as caught:
        act()
    for lang in ("en", "zh"):
        assert "{" not in render(caught.value.code, caught.value.fields, lang=lang)
    return caught.value
