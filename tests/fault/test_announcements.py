"""Runs that are announced: the partner reads once and early for an honest one, and no more than once for nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import psc
from psc.errors import DataError
from psc.operations import responder
from psc.operations.announcement import Announcement
from psc.operations.requests import Request
from psc.protocols.cells import CELLS_MAX
from psc.testing.madeup import ORDER_PHONE
from psc.testing.nodes import PURPOSE
from psc.types import GroupColumn, canonical_json
from tests.fault.parties import OPERATIONS, Parties


class Reads:
    """Counts how often the courier reads its dataset, from an empty cache and with nothing announced."""

    def __init__(self, pair: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
        assert pair.handler is not None
        self.pair, self.done = pair, 0
        self.error: DataError | None = None
        honest = responder.read_dataset

        def read(*args: Any, **options: Any) -> Any:
            self.done += 1
            if self.error is not None:
                raise self.error
            return honest(*args, **options)

        monkeypatch.setattr(responder, "read_dataset", read)
        monkeypatch.setattr(pair.handler, "_datasets", responder._DatasetCache(pair.courier.home))
        pair.handler._announced.clear()

    def announce(self, request: Request | Announcement) -> int:
        """Announce a request and run nothing; return how often the dataset was read in all, once all is still."""
        announced = request if isinstance(request, Announcement) else Announcement.of(request)
        assert announced is not None
        return self.send(announced.canonical())

    def send(self, announcement: bytes) -> int:
        """Send these bytes as an announcement; return as ``announce``."""
        with self.pair.merchant.connect("courier") as partner:
            partner._link.catalogue(announcement)
        for thread in threading.enumerate():
            if thread.name == "psc-read-ahead":
                thread.join(20)
        return self.done

    def run(self, request: Request) -> int:
        """Run a request as the SDK's shortcuts do, announced; return as ``announce``."""
        with self.pair.merchant.connect("courier") as partner:
            partner.plan(request, announce=True).run()
        return self.done


@pytest.fixture
def reads(pair: Parties, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reads]:
    """Return a counter of the courier's reading."""
    return Reads(pair, monkeypatch)


@pytest.mark.parametrize("operation", [*OPERATIONS, "aggregate-matcher", "vole", "vole-alone"])
def test_what_was_announced_is_what_the_run_uses(pair: Parties, reads: Reads, operation: str) -> None:
    request = pair.request(operation)
    assert reads.announce(request) == 1
    assert reads.run(request) == 1


def test_a_plan_announces_nothing_unless_it_is_told_to(pair: Parties, reads: Reads) -> None:
    with pair.merchant.connect("courier") as partner:
        plan = partner.plan(pair.match())
        assert reads.send(b"") == 0
        plan.run()
    assert reads.done == 1


def test_the_shortcuts_announce(pair: Parties, reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Announcement] = []
    honest = responder._announced_use

    def noted(announced: Announcement, catalogue: Any) -> Any:
        seen.append(announced)
        return honest(announced, catalogue)

    monkeypatch.setattr(responder, "_announced_use", noted)
    common: dict[str, Any] = {"on": {"phone": ORDER_PHONE}, "dataset": "parcels", "purpose": PURPOSE, "on_bad": "skip"}
    with pair.merchant.connect("courier") as partner:
        partner.match(pair.orders, want=["status"], **common)
        partner.count(pair.orders, **common)
        partner.aggregate(pair.orders, select=psc.sum("fee"), **common)
    assert [announced.operation for announced in seen] == ["match", "count", "aggregate"]
    assert seen[0].released == ("status",)
    assert reads.done == 3


def test_only_one_announcement_counts_until_a_run_is_charged(pair: Parties, reads: Reads) -> None:
    assert reads.announce(pair.match(want=["status"])) == 1
    assert reads.announce(pair.match(want=["fee"])) == 1
    assert reads.announce(pair.count()) == 1
    assert reads.run(pair.match(want=["status"])) == 1  # announced in vain, and read already
    assert reads.announce(pair.match(want=["fee"])) == 2
    assert reads.announce(pair.match(want=["fee", "status"])) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "bank"},
        {"purpose": "advertising"},
        {"keys": (("email",),)},
        {"keys": (("phone", "phone"),)},
        {"released": ("secret",)},
        {"released": ("status", "status")},
        {"groups": ("zone",)},
        {"operation": "aggregate", "groups": ("street",)},
        {"operation": "count"},
        {"output_to": "responder"},
    ],
    ids=str,
)
def test_nothing_is_read_for_what_would_be_refused(pair: Parties, reads: Reads, change: dict[str, Any]) -> None:
    announced = Announcement.of(pair.match())
    assert announced is not None
    assert reads.announce(announced.model_copy(update=change)) == 0
    assert reads.announce(announced) == 1  # and it is not held against the partner


def test_nothing_is_read_when_the_runs_of_the_day_are_used_up(
    pair: Parties, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = responder.catalogue_for

    def spent(*args: Any) -> Any:
        catalogue = honest(*args)
        return catalogue.model_copy(
            update={"entries": tuple(entry.model_copy(update={"runs_left": 0}) for entry in catalogue.entries)}
        )

    monkeypatch.setattr(responder, "catalogue_for", spent)
    assert reads.announce(pair.match()) == 0


@pytest.mark.parametrize("raw", [b"x", b"{}", b"\xff", b"[" * 50_000, b"null", b" " * 300_000])
def test_a_malformed_announcement_is_refused(pair: Parties, reads: Reads, raw: bytes) -> None:
    with pytest.raises(psc.PscError) as caught:
        reads.send(raw)
    assert caught.value.code == "transport.aborted-malformed-message"
    assert reads.done == 0


def test_another_field_or_form_of_an_announcement_is_refused(pair: Parties, reads: Reads) -> None:
    announced = Announcement.of(pair.match())
    assert announced is not None
    document = json.loads(announced.canonical())
    twice = canonical_json(document | {"keys": [["phone"], ["phone"]]})
    for raw in (canonical_json(document | {"rows": 7}), json.dumps(document).encode(), announced.canonical() + b" ", twice):
        with pytest.raises(psc.PscError):
            reads.send(raw)
    assert reads.done == 0


def test_what_an_announcement_failed_to_read_meets_no_other_run(pair: Parties, reads: Reads) -> None:
    reads.error = DataError("data.groups-many", file="parcels.parquet")
    assert reads.announce(pair.aggregate()) == 1
    reads.error = None
    assert reads.run(pair.match()) == 2


def test_a_run_that_was_not_charged_in_the_end_is_none(pair: Parties, reads: Reads) -> None:
    reads.error = DataError("data.file-missing", file="parcels.parquet")
    assert reads.announce(pair.match()) == 1
    for _ in range(3):
        with pytest.raises(psc.PscError) as caught:
            reads.run(pair.match())
        assert caught.value.code == "transport.aborted-data-not-ready"
        assert reads.announce(pair.match()) == 2  # once for the announcement, once for the first run, which is remembered


def test_what_cannot_be_kept_is_not_read_ahead(pair: Parties, reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder, "source_state", lambda source: None)  # as of a URL
    assert reads.announce(pair.match()) == 0
    assert reads.run(pair.match()) == 1
    assert reads.run(pair.match()) == 2


def test_announcements_do_not_queue(pair: Parties, reads: Reads) -> None:
    assert pair.handler is not None
    cache = pair.handler._datasets
    for lock in (cache._ahead, cache._reading["parcels"]):
        with lock:
            assert reads.announce(pair.match()) == 0
        pair.handler._announced.clear()
    assert reads.announce(pair.match()) == 1


def test_groups_of_which_no_hello_may_ask_are_not_read(pair: Parties, reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = responder.catalogue_for

    def wide(*args: Any) -> Any:
        catalogue = honest(*args)
        entries = tuple(
            entry.model_copy(update={"groups": tuple(GroupColumn(name=name, groups=CELLS_MAX // 8) for name in "zs")})
            for entry in catalogue.entries
        )
        return catalogue.model_copy(update={"entries": entries})

    monkeypatch.setattr(responder, "catalogue_for", wide)
    assert reads.announce(pair.aggregate(group_by=["theirs:z", "theirs:s"])) == 0
    assert reads.announce(pair.match()) == 1


def test_a_run_of_a_file_that_is_not_there_is_not_announced(pair: Parties) -> None:
    request = pair.match()
    for source, announced in ((pair.folder / "parcels.parquet", True), (pair.folder / "none.csv", False), ("none.csv", False)):
        assert (Announcement.of(replace(request, source=source)) is not None) == announced
    assert Announcement.of(replace(request, source="s3://bucket/orders.csv")) is not None


def test_own_names_are_not_announced(pair: Parties) -> None:
    announced = Announcement.of(pair.aggregate())
    assert announced is not None
    assert announced.groups == ("zone",)
    assert b"side" not in announced.canonical()
    assert ORDER_PHONE.encode() not in announced.canonical()
    assert Announcement.of(pair.aggregate(group_by=["side"])) is None  # may be an own column: who knows before the catalogue
    assert Announcement.of(pair.match(want=["a\nb"])) is None  # the plan says what is wrong with it
