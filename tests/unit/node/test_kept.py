"""Kept shards: what was kept comes back, whatever was changed does not, and one session at a time may go on."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from psc.errors import StorageError
from psc.node import kept
from psc.node.clock import now, timestamp
from psc.node.home import Home
from psc.node.kept import Kept, KeptRun, begin, drop_old, kept_runs, load

RUN, LATER = "a" * 26, "b" * 26
SEEN = ("1" * 64, "2" * 64)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home.create(tmp_path / "merchant", "merchant") as made:
        yield made


def a_run(run_id: str = RUN, **changes: object) -> KeptRun:
    values: dict[str, object] = {
        "run_id": run_id,
        "last_run_id": run_id,
        "side": "initiator",
        "partner": "3" * 64,
        "terms": "4" * 64,
        "items": "5" * 64,
        "split": "6" * 64,
        "shards": 5,
        "began_at": timestamp(now()),
    }
    return KeptRun(**(values | changes))  # type: ignore[arg-type]


def three_shards(home: Home, run_id: str = RUN) -> Kept:
    made = begin(home, a_run(run_id))
    for number, part in enumerate((b"first", b"", b"third" * 1000)):
        made.keep(number, part, SEEN)
    return made


def folder(home: Home, run_id: str = RUN) -> Path:
    return home.path / "kept" / run_id


def test_what_was_kept_comes_back_in_order(home: Home) -> None:
    made = three_shards(home)
    found = load(home, RUN)
    assert found is not None
    assert found.run == made.run
    assert found.parts == [b"first", b"", b"third" * 1000]
    assert found.chain == made.chain
    assert len(set(made.chain)) == 3
    assert found.damaged == ""
    assert kept_runs(home) == {RUN: (made.run, 3)}
    for file in [*folder(home).iterdir(), home.path / "keys" / "kept.key"]:
        assert file.stat().st_mode & 0o777 == 0o600
        assert b"first" not in file.read_bytes()
    found.drop()
    assert not folder(home).exists()
    assert load(home, RUN) is None


def test_a_long_part_is_sealed_in_pieces(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_PIECE_BYTES", 7)
    begin(home, a_run()).keep(0, bytes(range(40)), SEEN)
    found = load(home, RUN)
    assert found is not None
    assert found.parts == [bytes(range(40))]
    data = (folder(home) / "00000").read_bytes()
    (folder(home) / "00000").write_bytes(data[:-70] + data[-35:] + data[-70:-35])  # two sealed pieces change places
    assert load(home, RUN).parts == []  # type: ignore[union-attr]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_every_flipped_byte_is_noticed_and_the_shards_before_it_stay(home: Home, number: int) -> None:
    three_shards(home)
    file = folder(home) / f"{number:05d}"
    data = file.read_bytes()
    for position in range(0, len(data), max(len(data) // 300, 1)):
        file.write_bytes(data[:position] + bytes([data[position] ^ (1 << position % 8)]) + data[position + 1 :])
        found = load(home, RUN)
        assert found is not None
        assert (len(found.parts), len(found.chain)) == (number, number), position
        assert found.damaged == str(file)
    for cut in (0, 3, 4, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:cut])
        assert load(home, RUN).damaged == str(file), cut  # type: ignore[union-attr]
    file.write_bytes(data + b"\0")
    assert load(home, RUN).damaged == str(file)  # type: ignore[union-attr]
    file.write_bytes(data)
    assert len(load(home, RUN).parts) == 3  # type: ignore[union-attr]


def test_a_changed_description_of_the_run_is_no_run(home: Home) -> None:
    three_shards(home)
    file = folder(home) / "run"
    data = file.read_bytes()
    for position in range(len(data)):
        file.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert load(home, RUN) is None, position
        assert kept_runs(home) == {}


def test_files_of_another_run_shard_or_key_do_not_open(home: Home) -> None:
    three_shards(home)
    other = three_shards(home, LATER)
    shutil.copy(folder(home, LATER) / "00001", folder(home) / "00001")
    assert len(load(home, RUN).parts) == 1  # type: ignore[union-attr]
    shutil.copy(folder(home) / "00000", folder(home) / "00001")
    assert len(load(home, RUN).parts) == 1  # type: ignore[union-attr]
    shutil.copytree(folder(home, LATER), folder(home, "c" * 26))
    assert load(home, "c" * 26) is None
    key = home.path / "keys" / "kept.key"
    key.write_bytes(bytes(32))
    assert load(home, LATER) is None
    key.write_bytes(bytes(31))
    with pytest.raises(StorageError) as caught:
        other.keep(3, b"", SEEN)
    assert caught.value.code == "node.key-damaged"


def test_a_shard_put_back_from_an_earlier_attempt_does_not_fit(home: Home) -> None:
    made = three_shards(home)
    shutil.copy(folder(home) / "00002", home.path / "old")
    made.again(LATER, 2, 1)
    assert sorted(file.name for file in folder(home).iterdir()) == ["00000", "run"]
    made.keep(1, b"second", ("7" * 64, "8" * 64))
    shutil.move(home.path / "old", folder(home) / "00002")
    found = load(home, RUN)
    assert found is not None
    assert found.parts == [b"first", b"second"]
    assert found.damaged.endswith("00002")


def test_one_session_at_a_time_goes_on(home: Home) -> None:
    old = three_shards(home)
    new = load(home, RUN)
    assert new is not None
    new.again(LATER, 2, 2)
    assert (new.run.attempts, new.run.last_run_id, new.parts) == (2, LATER, [b"first", b""])
    with pytest.raises(StorageError) as caught:
        old.keep(3, b"late", SEEN)
    assert caught.value.code == "node.kept-elsewhere"
    with pytest.raises(StorageError):
        old.again("c" * 26, 2, 1)
    new.keep(2, b"anew", SEEN)
    assert load(home, RUN).parts == [b"first", b"", b"anew"]  # type: ignore[union-attr]
    old.drop()  # what ended the old session forbids that anyone goes on
    with pytest.raises(StorageError):
        new.keep(3, b"more", SEEN)


def test_nothing_is_kept_longer_than_two_days(home: Home) -> None:
    ago = timestamp(now() - timedelta(hours=49))
    begin(home, a_run(began_at=ago)).keep(0, b"old", SEEN)
    three_shards(home, LATER)
    assert load(home, RUN) is None
    assert list(kept_runs(home)) == [LATER]
    drop_old(home)
    assert folder(home).exists()  # it was just written: its session may live
    long_ago = time.time() - 49 * 3600
    os.utime(folder(home), (long_ago, long_ago))
    drop_old(home)
    assert not folder(home).exists()
    assert folder(home, LATER).exists()
