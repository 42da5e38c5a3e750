"""The small parts: option values, written forms, masks, the record of unmasking, watching a run."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from psc.cli.base import Cli
from psc.cli.masks import masked
from psc.cli.options import Target, comma_list, parse_on, parse_target, parse_want
from psc.cli.progress import watched
from psc.cli.show import bytes_text, number_text, seconds_text
from psc.errors import CancelledError, StorageError, UsageError
from psc.node.home import Home
from psc.node.unmasking import record_unmasking, unmaskings_of
from psc.operations.progress import Cancel, Progress, ProgressCallback
from psc.texts.cli import TEXTS

QUIET = Cli(Path(), as_json=True, verbose=False)


def test_targets_and_keys() -> None:
    assert parse_target("courier/parcels") == Target("courier", "parcels")
    assert parse_on(["phone=收件人手机", "city", "a=b=c"]) == {"phone": "收件人手机", "city": "city", "a": "b=c"}
    assert comma_list(["match,count", " count ,", "x"]) == ("match", "count", "x")
    for wrong in ("", "courier", "/parcels", "courier/", "a/b/c"):
        with pytest.raises(UsageError):
            parse_target(wrong)
    assert parse_want(["状态,fee", "fee"]) == ("状态", "fee")
    for want in (["x" * 65], ["a,b\u202e"], ["\x1b"]):
        with pytest.raises(UsageError):
            parse_want(want)
    for keys in (["=x"], ["x="], [""], ["a", "a=b"], ["x" * 65], ["a\nb=c"]):
        with pytest.raises(UsageError):
            parse_on(keys)
    for typed, wanted in (("phone=mobile:phone", "phone=mobile"), ("mobile:phone", "mobile=mobile"), ("a=x:y:text", "a=x:y")):
        with pytest.raises(UsageError) as caught:
            parse_on([typed])
        assert caught.value.code == "cli.key-has-kind"
        assert str(caught.value).endswith(f"Write --key {wanted}")
    assert parse_on(["a=x:y"]) == {"a": "x:y"}


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_960, "100 kB"),
        (999_600, "1.0 MB"),
        (5 * 10**12, "5000 GB"),
    ],
)
def test_bytes(count: int, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0004, "0 ms"), (0.5, "500 ms"), (1, "1.0 s"), (119.9, "119.9 s"), (600, "10 min"), (7400, "2 h 3 min")],
)
def test_seconds(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_nothing_known_is_a_dash() -> None:
    assert (bytes_text(None), seconds_text(None), number_text(None)) == ("–", "–", "–")
    assert number_text(1234567) == "1,234,567"


def test_only_key_columns_are_masked() -> None:
    table = pa.table({"phone": ["13800138000", None], "id": ["13800138000", "x"]})
    shown = masked(table, {"phone": "phone"})
    assert shown.to_pydict() == {"phone": ["138****8000", None], "id": ["13800138000", "x"]}
    assert shown.column_names == table.column_names


def test_the_record_of_unmasking_is_private_and_survives(tmp_path: Path) -> None:
    with Home.create(tmp_path / "m", "m") as home:
        assert unmaskings_of(home, "r1") == []
        record_unmasking(home, "r1", Path("a.csv"), 3)
        record_unmasking(home, "r2", Path("b.csv"), 4)
        [entry] = unmaskings_of(home, "r1")
        assert (entry["file"], entry["rows"]) == (str(Path("a.csv").absolute()), 3)
        file = home.path / "unmasked.jsonl"
        assert file.stat().st_mode & 0o777 == 0o600
        file.write_text("junk\n", encoding="utf-8")
        with pytest.raises(StorageError):
            unmaskings_of(home, "r1")
        file.chmod(0o644)
        with pytest.raises(StorageError):
            unmaskings_of(home, "r1")


def test_nothing_is_unmasked_when_it_cannot_be_recorded(tmp_path: Path) -> None:
    with Home.create(tmp_path / "m", "m") as home:
        (home.path / "unmasked.jsonl").mkdir()
        with pytest.raises(StorageError):
            record_unmasking(home, "r1", Path("a.csv"), 3)


def test_a_watched_run_gives_its_result_and_its_error() -> None:
    assert watched(QUIET, lambda progress, cancel: 7) == 7

    def fail(progress: ProgressCallback, cancel: Cancel) -> None:
        progress(Progress("computing", 1, 2))
        raise UsageError("cli.interrupted")

    with pytest.raises(UsageError):
        watched(QUIET, fail)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_cleanly(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    started = threading.Event()

    def work(progress: ProgressCallback, cancel: Cancel) -> None:
        started.set()
        while True:
            cancel.check()
            time.sleep(0.01)

    def send() -> None:
        started.wait()
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    with pytest.raises(CancelledError):
        watched(QUIET, work)
    assert signal.getsignal(number) is before


def test_a_second_signal_does_not_wait() -> None:
    started, release = threading.Event(), threading.Event()

    def work(progress: ProgressCallback, cancel: Cancel) -> None:
        started.set()
        release.wait(30)

    def send() -> None:
        started.wait()
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)

    threading.Thread(target=send).start()
    with pytest.raises(KeyboardInterrupt):
        watched(QUIET, work)
    release.set()


def test_every_stage_status_and_state_has_a_label() -> None:
    from typing import get_args

    from psc.node.runs import RunStatus
    from psc.operations.progress import Stage
    from psc.policy.agreement_file import State

    wanted = {f"cli.stage-{name}" for name in get_args(Stage)}
    wanted |= {f"cli.run-{name}" for name in get_args(RunStatus)} | {f"cli.state-{name}" for name in get_args(State)}
    wanted |= {f"cli.trust-{name}" for name in ("new", "updated", "rotated", "unchanged")}
    assert wanted <= TEXTS.keys()


def test_every_label_that_is_used_exists() -> None:
    import re

    import psc.cli

    folder = Path(psc.cli.__file__).parent
    source = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    used = {f"cli.{name}" for name in re.findall(r'label\(\s*"([a-z-]+)"', source)}
    used |= {f"cli.doctor-{name}-ok" for name in re.findall(r'_ok\("([a-z-]+)"', source)}
    used |= {f"cli.doctor-{name}" for name in re.findall(r'_differs\("([a-z-]+)"', source)}
    used |= {f"cli.doctor-{name}" for name in re.findall(r'_warned\("[a-z-]+", "([a-z-]+)"', source)}
    assert len(used) > 100
    assert used <= TEXTS.keys(), sorted(used - TEXTS.keys())
