"""A match by any of several keys is what pandas makes of it: both sides' tables, blanks, duplicates, many rows to many."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psc.crypto import Rng
from psc.data.keys import KeyUse, prepare_alternatives
from psc.data.table import load
from psc.node.datasets import add_dataset
from psc.node.home import Home
from psc.node.tables import LoadedDataset, read_dataset
from psc.operations.match import DhPsiMatch, VolePsiMatch
from psc.operations.play import Basis, RunShape
from psc.operations.prepare import OwnTable
from psc.operations.results import MATCHED_BY, ROWS_CUT, SOURCE_ROW, Ended, MatchResult
from psc.protocols.base import Message
from psc.protocols.padding import padded_size
from psc.session.drive import run_pair
from tests.protocol_cases import CONTEXT, through_codec

BOUND = 2
KEYS = (("phone",), ("mail",), ("name", "zip"))
LABELS = ("phone", "mail", "name+zip")
COLUMNS = ("phone", "mail", "name", "zip")
PLAYS = {"dh-psi": DhPsiMatch, "vole-psi": VolePsiMatch}


def drawn(rows: int, rng: random.Random, sizes: Sequence[int], blank: float) -> pd.DataFrame:
    """A table with keys from small pools, so that many rows share one, and some cells blank; the last row has every key."""
    cells = {
        column: [None if rng.random() < blank else f"{column} {rng.randrange(size)}" for _ in range(rows)]
        for column, size in zip(COLUMNS, sizes, strict=True)
    }
    frame = pd.DataFrame({name: [*values, f"{name} 0"] for name, values in cells.items()}, dtype=object)
    frame["zip"] = [f"{rng.randrange(3)}" if rng.random() >= blank else None for _ in range(rows)] + ["0"]
    return frame


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with Home.create(tmp_path_factory.mktemp("courier") / "home", "courier") as made:
        yield made


class Side:
    """Both tables, and the run that was planned of them."""

    def __init__(self, home: Home, seed: int, *, want: bool, both: bool, minimum: int) -> None:
        rng = random.Random(seed)
        sizes = (12, 20, 9, 3)
        self.mine = drawn(rng.randint(0, 60), rng, sizes, 0.35)
        self.mine.insert(0, "order", range(len(self.mine)))
        self.theirs = drawn(rng.randint(0, 60), rng, sizes, 0.35)
        self.theirs["status"] = [rng.choice(["sent", "lost", None]) for _ in range(len(self.theirs))]
        self.minimum, self.both, self.want = minimum, both, want
        path = home.path / "theirs.parquet"
        pq.write_table(pa.Table.from_pandas(self.theirs, preserve_index=False), path)
        record = add_dataset(
            home,
            "parcels",
            source=path,
            keys=[f"{name}:text" for name in COLUMNS],
            release=["status:text:8"],
            max_rows_per_key=BOUND,
            on_bad="skip",
            replace=True,
        )
        release = ["status"] if want else []
        self.dataset: LoadedDataset = read_dataset(record, keys=KEYS[0], further=KEYS[1:], release=release)
        source = load(self.mine)
        uses = [[KeyUse(name, name, "text") for name in keys] for keys in KEYS]
        first, *further = prepare_alternatives(source, uses, on_bad="skip")
        self.own = OwnTable(source, first, self.mine, None, further=tuple(further))
        counts = [record.key_count_of(keys) for keys in KEYS]
        assert counts == [part.keyed.key_count for part in self.dataset.alternatives]
        pairs = zip(self.own.alternatives, counts, strict=True)
        released = record.released_columns if want else ()
        shape = RunShape("parcels", "match", "-", (0, 0), released, BOUND, "both" if both else "receiver", minimum)
        self.shape = shape.by(LABELS, [(padded_size(keyed.key_count), padded_size(count)) for keyed, count in pairs])

    def run(self, play: Any) -> tuple[MatchResult | None, pd.DataFrame | None]:
        """Run both scripts; the result of either side, ``None`` where it is withheld."""
        bytes_sent = {"a": 0, "b": 0}

        def tap(who: str, message: Message) -> Message:
            values = [getattr(message, field.name) for field in fields(message)]  # type: ignore[arg-type]
            sizes = [len(each) if isinstance(each, bytes) else 32 * len(each) for each in values if not isinstance(each, bool)]
            bytes_sent[who] += sum(sizes)
            return through_codec(who, message)

        asked, answered = run_pair(
            play.ask(self.shape, self.own, Basis(CONTEXT, Rng.system())),
            play.answer(self.shape, self.dataset, Basis(CONTEXT, Rng.system())),
            tap=tap,
        )
        withheld = self.both and any(len(self.common(keys)) < self.minimum for keys in KEYS)
        assert withheld or tuple(bytes_sent.values()) == play.payload_bytes(self.shape)
        delivered = play.delivered(self.shape, self.dataset, answered)
        told = None if delivered is None else delivered.to_pandas()
        if play.common(asked) < self.minimum:
            return None, told
        ended = Ended("run", cast("Any", None), cast("Any", None), cast("Any", None))
        read = play.read(self.shape, asked)
        return play.result(cast("Any", None), self.shape, self.own, asked, read, ended), told

    def common(self, keys: tuple[str, ...]) -> pd.DataFrame:
        """The distinct keys that both have."""
        mine, theirs = (frame.dropna(subset=list(keys))[list(keys)].drop_duplicates() for frame in (self.mine, self.theirs))
        return mine.merge(theirs, on=list(keys))

    def expected(self) -> pd.DataFrame:
        """Own rows with the partner's rows of the first key that matches, by pandas."""
        theirs = self.theirs.copy()
        parts, taken = [], pd.Series(data=False, index=self.mine["order"])
        for keys, label in zip(KEYS, LABELS, strict=True):
            on = list(keys)
            if len(self.common(keys)) < self.minimum:
                continue
            having = theirs.dropna(subset=on).copy()
            groups = having.groupby(on)["status"]
            having["n"], having["cut"] = groups.cumcount(), groups.transform("size") > BOUND
            left = self.mine[~self.mine["order"].map(taken)].dropna(subset=on)
            joined = left[["order", *on]].merge(having[having["n"] < BOUND][[*on, "n", "status", "cut"]], on=on)
            parts.append(joined.assign(by=label))
            taken[joined["order"]] = True
        if not parts:
            return pd.DataFrame(columns=["order", "n", "status", "cut", "by"])
        return pd.concat(parts).sort_values(["order", "n"], kind="stable")

    def expected_delivery(self) -> list[tuple[int, str]]:
        """The partner's rows that match, by pandas: number in the source, and by which key."""
        found: dict[int, str] = {}
        for keys, label in zip(KEYS, LABELS, strict=True):
            common = self.common(keys)
            if len(common) < self.minimum:
                continue
            rows = self.theirs.reset_index().dropna(subset=list(keys)).merge(common, on=list(keys))["index"]
            for row in rows:
                found.setdefault(int(row) + 1, label)
        return sorted(found.items())


@pytest.mark.parametrize("protocol", PLAYS)
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_rows_take_the_first_key_that_matches(
    home: Home, protocol: str, sharded: bool, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    play: Any = PLAYS[protocol]()
    if sharded:
        monkeypatch.setattr(PLAYS[protocol], "shard_keys", 40)
    side = Side(home, seed, want=True, both=seed % 2 == 0, minimum=(0, 9, 6, 30)[seed % 4])
    got, told = side.run(play)
    want, stages = side.expected(), [len(side.common(keys)) for keys in KEYS]
    if max(stages) < side.minimum:
        assert got is None
        assert told is None
        return
    assert got is not None
    frame = got.to_pandas()
    assert frame["order"].tolist() == want["order"].tolist()
    assert frame[MATCHED_BY].tolist() == want["by"].tolist()
    assert frame["status"].fillna("-").tolist() == want["status"].fillna("-").tolist()
    assert frame[ROWS_CUT].tolist() == want["cut"].tolist()
    assert [each.key for each in got.alternatives] == list(LABELS)
    assert [each.withheld for each in got.alternatives] == [count < side.minimum for count in stages]
    assert [each.matched_keys for each in got.alternatives] == [None if n < side.minimum else n for n in stages]
    by = want.drop_duplicates("order")["by"].value_counts()
    assert [each.matched_rows for each in got.alternatives] == [int(by.get(label, 0)) for label in LABELS]
    assert got.matched_rows == want["order"].nunique() == sum(each.matched_rows for each in got.alternatives)
    assert (told is None) == (not side.both)
    if told is not None:
        assert list(zip(told[SOURCE_ROW], told[MATCHED_BY], strict=True)) == side.expected_delivery()


@pytest.mark.parametrize("protocol", PLAYS)
@pytest.mark.parametrize("withheld", [0, 1])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_initiator_may_be_the_sender(home: Home, protocol: str, withheld: int, seed: int) -> None:
    side, play = Side(home, seed, want=False, both=True, minimum=0), PLAYS[protocol]()
    if withheld:
        side.minimum = min(len(side.common(keys)) for keys in KEYS) + 1
        side.shape = replace(side.shape, minimum_result=side.minimum)
    usual = side.run(play)
    side.shape = replace(side.shape, exchanged=True)
    assert all(stage.exchanged for stage in side.shape.stages)
    other = side.run(play)
    assert usual[0] is not None
    assert other[0] is not None
    assert other[0].table == usual[0].table
    assert other[0].alternatives == usual[0].alternatives
    assert any(each.withheld for each in other[0].alternatives) == bool(withheld)
    assert other[1] is not None
    assert list(zip(other[1][SOURCE_ROW], other[1][MATCHED_BY], strict=True)) == side.expected_delivery()


@pytest.mark.parametrize("protocol", PLAYS)
@pytest.mark.parametrize("seed", [1, 2])
def test_without_columns_own_rows_come_once(home: Home, protocol: str, seed: int) -> None:
    side = Side(home, seed, want=False, both=False, minimum=0)
    got, told = side.run(PLAYS[protocol]())
    assert got is not None
    assert told is None
    want = side.expected().drop_duplicates("order")
    assert got.to_pandas()["order"].tolist() == want["order"].tolist()
    assert got.to_pandas()[MATCHED_BY].tolist() == want["by"].tolist()
    assert got.table.column_names == [*side.mine.columns, MATCHED_BY]


def test_formulas_of_bytes_and_work_add_up() -> None:
    stages = [(1024, 2048), (64, 64), (3 << 20, 1 << 10)]
    for play in (DhPsiMatch(), VolePsiMatch()):
        shape = RunShape("d", "match", play.spec.id, (0, 0), (), 1, "both", 0)
        whole = shape.by(["a", "b", "c"], stages)
        assert whole.sizes == (sum(mine for mine, _ in stages), sum(theirs for _, theirs in stages))
        parts = [shape.by(["a"], [sizes]) for sizes in stages]
        assert list(whole.stages) == parts
        assert play.work_items(whole) == tuple(sum(each) for each in zip(*map(play.work_items, parts), strict=True))
        assert play.curve_items(whole) == pytest.approx([sum(e) for e in zip(*map(play.curve_items, parts), strict=True)])
        sent, back = (sum(each) for each in zip(*map(play.payload_bytes, parts), strict=True))
        got = play.payload_bytes(whole)
        assert got[0] == sent
        assert 0 <= got[1] - back < 0.2 * back  # tags are longer, so that all stages have the false matches of one run
        assert play.shard_count(whole) == 1
