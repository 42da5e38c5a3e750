"""Joining own rows to opened rows is pandas' inner merge with duplicates, in our row order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from psc.operations.results import ROWS_CUT, Matched, ReleasedRows, join_rows

KEYS = [f"k{i}" for i in range(8)]


@given(
    st.lists(st.sampled_from([*KEYS, None]), max_size=30),
    st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 99)), max_size=30),
    st.integers(1, 4),
)
def test_join_equals_merge(own: list[str | None], theirs: list[tuple[str, int]], bound: int) -> None:
    table = pa.table({"order": pa.array(range(len(own)), pa.int64()), "key": pa.array(own, pa.string())})
    row_of = np.array([i for i, key in enumerate(own) if key is not None], dtype=np.int64)
    distinct = list(dict.fromkeys(key for key in own if key is not None))
    groups = np.array([distinct.index(own[i]) for i in row_of], dtype=np.uint32)
    partner = pd.DataFrame(theirs, columns=["key", "fee"]).astype({"key": object})
    partner["n"] = partner.groupby("key").cumcount() + 1
    sizes = partner.groupby("key")["n"].max()
    opened = partner[partner["n"] <= bound]
    opened = opened[opened["key"].isin(distinct)].sample(frac=1, random_state=1)
    matched = np.array([i for i, key in enumerate(distinct) if key in set(partner["key"])], dtype=np.uint32)
    released = ReleasedRows(
        np.array([distinct.index(key) for key in opened["key"]], dtype=np.uint32),
        opened["n"].to_numpy(dtype=np.uint32),
        pa.table({"fee": pa.array(opened["fee"].tolist(), pa.int64())}),
        np.array([sizes[key] > bound for key in opened["key"]], dtype=bool),
    )
    got, matched_rows = join_rows(table, Matched(row_of, groups, matched, released), dataset="parcels")
    frame = pd.DataFrame({"order": range(len(own)), "key": own}).astype({"key": object})
    want = frame.merge(partner[partner["n"] <= bound], on="key").sort_values(["order", "n"])
    assert got.column("order").to_pylist() == want["order"].tolist()
    assert got.column("fee").to_pylist() == want["fee"].tolist()
    assert got.column(ROWS_CUT).to_pylist() == [bool(sizes[key] > bound) for key in want["key"]]
    assert matched_rows == sum(key in set(partner["key"]) for key in own if key is not None)
    plain, rows = join_rows(table, Matched(row_of, groups, matched), dataset="parcels")
    assert plain.column("order").to_pylist() == [i for i in range(len(own)) if own[i] in set(partner["key"])]
    assert rows == matched_rows


def test_a_released_column_that_we_also_have_is_renamed() -> None:
    table = pa.table({"status": ["paid"]})
    released = ReleasedRows(np.array([0], np.uint32), np.array([1], np.uint32), pa.table({"status": ["sent"]}), np.array([False]))
    one = np.array([0])
    got, _ = join_rows(table, Matched(one, one.astype(np.uint32), one.astype(np.uint32), released), dataset="parcels")
    assert got.column_names == ["status", "parcels.status", ROWS_CUT]
