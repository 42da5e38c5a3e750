"""A merchant and a courier for fault tests: quick limits, a courier whose handler can be watched, and runs with their outcome.

Everything runs over the real stack: homes on disk, mutual TLS, the gRPC server, run records. What a test gets in addition is the
error that the responder's side raised, which a server otherwise turns into a log line.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import psc
from psc.errors import PscError, UsageError
from psc.node.certificates import identify, tls_for
from psc.node.home import Home
from psc.node.runs import RunRecord, get_run, receipt_of, result_of
from psc.operations.plan import Plan
from psc.operations.requests import Aggregate, Count, Match, Request
from psc.operations.responder import NodeHandler
from psc.operations.results import AggregateResult, MatchResult, Result
from psc.sdk.node import Answering, Serving, material
from psc.server.log import json_logger
from psc.server.server import Server
from psc.session.channel import Channel
from psc.session.hello import Hello
from psc.testing.madeup import ORDER_PHONE, PARCEL_PHONE, courier_parcels, merchant_orders, plain_join, plain_keys
from psc.testing.nodes import PURPOSE, free_port
from psc.transport.handler import Answer, Peer

__all__ = ["MIN_GROUP", "OPERATIONS", "Outcome", "Parties", "WatchedHandler", "parties", "quick_limits", "set_limits", "until"]

OPERATIONS = ("match", "count", "aggregate", "aggregate-owner")
"""What ``Parties.request`` can ask: an aggregate with membership hidden, and known to the owner of the values."""

MIN_GROUP = 2
"""Every cell of the tables' four has so many shared customers at least."""

ROWS = 90
"""Rows of each table: both sets are padded to 64 keys, so that a run takes a moment."""

ROWS_PER_KEY = 64
"""So many that the sealed rows take two frames."""

Wrap = Callable[[Channel], Channel]


def quick_limits(**changes: float) -> dict[str, float]:
    """Return limits under which what takes half a minute in life takes a few seconds."""
    quick = {
        "call_deadline_seconds": 5.0,
        "poll_seconds": 0.8,
        "peer_silence_seconds": 4.0,
        "reconnect_seconds": 3.0,
        "connect_seconds": 3.0,
    }
    return quick | changes


def set_limits(home: Path, limits: Mapping[str, float]) -> None:
    """Write limits into the ``node.toml`` of a home that is not open."""
    file = home / "node.toml"
    lines = "".join(f"{name} = {value!r}\n" for name, value in limits.items())
    file.write_text(file.read_text(encoding="utf-8") + lines, encoding="utf-8")


def until(ready: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """Wait for ``ready()`` to be true and return it."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.005)
    return found


class WatchedHandler(NodeHandler):
    """The node's own handler, which remembers how each run ended and can put something between script and channel."""

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self.before: Callable[[], object] = lambda: None
        self.wrap: Wrap | None = None
        self.answer: Callable[[Answer], Answer] = lambda answer: answer
        self.endings: dict[str, BaseException | None] = {}

    def open(self, peer: Peer, hello: bytes, signature: bytes) -> Answer:
        """Judge as the node does; then let the test have its way with the answer."""
        self.before()
        answer = super().open(peer, hello, signature)
        run, wrap = answer.run, self.wrap

        def watched(channel: Channel) -> None:
            try:
                run(wrap(channel) if wrap is not None else channel)
            except BaseException as error:
                self.endings[answer.run_id] = error
                raise
            self.endings[answer.run_id] = None

        return self.answer(replace(answer, run=watched))


@dataclass
class Outcome:
    """How one run ended on both sides; an error is ``None`` where the side finished."""

    run_id: str
    result: Result | None
    initiator: PscError | None
    responder: BaseException | None
    initiator_record: RunRecord
    responder_record: RunRecord | None


@dataclass
class Parties:
    """Two open nodes, the courier serving with a watched handler, or with the node's own (``None``)."""

    folder: Path
    merchant: psc.Node
    courier: psc.Node
    handler: WatchedHandler | None
    serving: Serving
    orders: pa.Table
    parcels: pa.Table
    _log: io.StringIO = field(repr=False)
    answering: Answering | None = None

    @property
    def log(self) -> list[dict[str, Any]]:
        """Return the server's log so far."""
        return [json.loads(line) for line in self._log.getvalue().splitlines()]

    def match(self, **changes: Any) -> Match:
        """Return a match of both tables by ``dh-psi``, with released rows and output to both."""
        asked: dict[str, Any] = {
            "on": {"phone": ORDER_PHONE},
            "dataset": "parcels",
            "purpose": PURPOSE,
            "want": ["status", "fee"],
            "output_to": "both",
            "on_bad": "skip",
            "protocol": "dh-psi",
        }
        return Match(self.orders, **(asked | changes))

    def count(self, **changes: Any) -> Count:
        """Return a count of both tables, with output to both."""
        asked: dict[str, Any] = {
            "on": {"phone": ORDER_PHONE},
            "dataset": "parcels",
            "purpose": PURPOSE,
            "output_to": "both",
            "on_bad": "skip",
        }
        return Count(self.orders, **(asked | changes))

    def aggregate(self, **changes: Any) -> Aggregate:
        """Return an aggregate by groups of both tables, with output to both."""
        asked: dict[str, Any] = {
            "on": {"phone": ORDER_PHONE},
            "dataset": "parcels",
            "purpose": PURPOSE,
            "select": [psc.sum("fee"), psc.count("fee")],
            "group_by": ["own:side", "theirs:zone"],
            "output_to": "both",
            "on_bad": "skip",
        }
        return Aggregate(self.orders, **(asked | changes))

    def request(self, operation: str) -> Request:
        """Return the request of an operation."""
        if operation == "match":
            return self.match()
        if operation == "vole":
            return self.match(protocol="vole-psi")
        if operation == "vole-malicious":
            return self.match(protocol="vole-psi", model="malicious", want=(), output_to="receiver")
        if operation == "count":
            return self.count()
        if operation == "aggregate":
            return self.aggregate()
        membership = "matcher" if operation == "aggregate-matcher" else "owner"
        return self.aggregate(membership=membership, select=[psc.sum("fee"), psc.weighted_sum("items", "fee")])

    def run(
        self,
        request: Request,
        *,
        wrap: Wrap | None = None,
        tap: Callable[[str, bytes], None] | None = None,
        change: Callable[[Plan], None] = lambda plan: None,
        **options: Any,
    ) -> Outcome:
        """Plan and run a request; return how it ended on both sides.

        Args:
            request: what is asked.
            wrap: put between the initiator's script and its channel.
            tap: sees the initiator's frames.
            change: may change the plan before it is run.
            **options: of ``Plan.run``.
        """
        result, error = None, None
        asked: list[str] = []
        with self.merchant.connect("courier", tap=tap) as partner:
            plan = partner.plan(request)
            assert plan.refusal is None, str(plan.refusal)
            intercept(plan, wrap or (lambda channel: channel), asked.append)
            change(plan)
            try:
                result = plan.run(**options)
            except PscError as raised:
                error = raised
        run_id = asked[0]
        return Outcome(
            run_id,
            result,
            error,
            self.ending(run_id),
            get_run(self.merchant.home, run_id),
            self.record(run_id),
        )

    def record(self, run_id: str) -> RunRecord | None:
        """Return the courier's record of a run once it has ended; ``None`` when it has none."""
        try:
            get_run(self.courier.home, run_id)
        except UsageError:
            return None
        ended: RunRecord = until(
            lambda: (found := get_run(self.courier.home, run_id)).status != "running" and found, "the responder's end"
        )
        return ended

    def ending(self, run_id: str) -> BaseException | None:
        """Return what ended the courier's side of a run, once it has ended."""
        if self.handler is None or self.record(run_id) is None:
            return None
        endings = self.handler.endings
        until(lambda: run_id in endings or self.record(run_id).status == "refused", "the responder's thread")
        return endings.get(run_id)

    def check_nothing_came_out(self, outcome: Outcome) -> None:
        """Assert that a run gave nobody anything: no result, no delivered file, no receipt on the side that refused."""
        assert outcome.result is None
        assert not list((self.courier.home.results_folder).glob(f"{outcome.run_id}*"))
        assert not [path for path in self.courier.home.results_folder.iterdir() if path.suffix != ".parquet"]
        if outcome.responder_record is not None:
            assert outcome.responder_record.status in ("failed", "refused", "cancelled")
            assert outcome.responder_record.result == ""

    def check_honest(self, operation: str = "match", *, retries: int | None = None) -> Result:
        """Assert that a run gives the plain join's answer and ends well on both sides; return its result."""
        return self.check_right(self.run(self.request(operation)), retries=retries)

    def check_right(self, outcome: Outcome, *, retries: int | None = None) -> Result:
        """Assert that a run ended well on both sides with the plain join's answer; return its result."""
        assert outcome.initiator is None, outcome.initiator
        assert outcome.responder is None, outcome.responder
        assert outcome.result is not None
        assert outcome.initiator_record.status == "finished"
        assert outcome.responder_record is not None
        assert outcome.responder_record.status == "finished"
        assert receipt_of(self.merchant.home, outcome.run_id) == receipt_of(self.courier.home, outcome.run_id) is not None
        if isinstance(outcome.result, AggregateResult):
            self._check_tables(outcome, outcome.result)
            return outcome.result
        joined = plain_join(self.orders, self.parcels, want=["status", "fee"], max_rows_per_key=ROWS_PER_KEY)
        common = set(joined["key"])
        if isinstance(outcome.result, MatchResult):
            assert outcome.result.matched_keys == len(common) > 0
            got = outcome.result.to_pandas()
            if "status" in got:
                for column in ("order_id", "status", "fee"):
                    assert sorted(got[column]) == sorted(joined[column])
            else:
                assert sorted(got["order_id"]) == sorted(set(joined["order_id"]))
        else:
            assert outcome.result.count == len(common)
        if retries is not None:
            assert outcome.result.stats.retries >= retries
        return outcome.result

    def _check_tables(self, outcome: Outcome, result: AggregateResult) -> None:
        """Assert that both sides hold the plain table of an aggregate."""
        orders, parcels = self.orders.to_pandas(), self.parcels.to_pandas()
        mine = orders.assign(key=plain_keys(self.orders, ORDER_PHONE)).dropna(subset=["key"])
        theirs = parcels.assign(key=plain_keys(self.parcels, PARCEL_PHONE)).dropna(subset=["key"])
        sides = mine.drop_duplicates("key").set_index("key")["side"]
        shared = theirs[theirs["key"].isin(sides.index)].assign(side=lambda rows: rows["key"].map(sides))
        items = mine.groupby("key")["items"].sum()
        want = {
            cell: {
                "customers": rows["key"].nunique(),
                "fee_sum": rows["fee"].sum(),
                "fee_count": len(rows),
                "items*fee_sum": (rows["fee"] * rows["key"].map(items)).sum(),
            }
            for cell, rows in shared.groupby(["side", "zone"])
        }
        assert len(want) == 4
        assert min(cell["customers"] for cell in want.values()) >= MIN_GROUP
        path = result_of(self.courier.home, outcome.run_id)
        assert path is not None
        for table in (result.to_arrow(), pq.read_table(path)):
            names = set(table.column_names) - {"side", "zone", "withheld"}
            assert len(names) == 3
            rows = {(row["side"], row["zone"]): row for row in table.to_pylist()}
            assert rows.keys() == want.keys()
            for cell, row in rows.items():
                assert {name: row[name] for name in names} == {name: want[cell][name] for name in names}


def intercept(plan: Plan, wrap: Wrap, note: Callable[[str], None] = lambda run_id: None) -> None:
    """Put something between the initiator's script and its channel; ``note`` gets the run's id."""
    asking = plan.asking
    assert asking is not None
    honest = asking.open

    def opened(hello: bytes, *rest: Any) -> tuple[bytes, bytes, Channel]:
        note(Hello.parse(hello).run_id)
        accept, signature, channel = honest(hello, *rest)
        return accept, signature, wrap(channel)

    plan.asking = replace(asking, open=opened)


def common_keys(parties: Parties) -> set[str]:
    """Return the keys that both tables hold, by the plain oracle."""
    mine = plain_keys(parties.orders, ORDER_PHONE).dropna()
    theirs = plain_keys(parties.parcels, PARCEL_PHONE).dropna()
    return set(mine) & set(theirs)


@contextlib.contextmanager
def parties(
    folder: Path,
    *,
    limits: Mapping[str, float] | None = None,
    merchant_limits: Mapping[str, float] | None = None,
    rows: tuple[int, int] = (ROWS, ROWS),
    rows_per_key: int = ROWS_PER_KEY,
    address: str = "",
    port: int = 0,
) -> Iterator[Parties]:
    """Make both nodes under ``folder``, grant the courier's parcels to the merchant, and serve the courier.

    Args:
        folder: an empty folder.
        limits: of both nodes, over the quick ones.
        merchant_limits: of the merchant, over these.
        rows: of orders and of parcels.
        rows_per_key: bound of the dataset.
        address: where the merchant dials the courier, when that is not the courier's own port (a proxy stands there).
        port: where the courier listens; a free one by default.
    """
    limits = quick_limits(**(limits or {}))
    port = port or free_port()
    listen = f"127.0.0.1:{port}"
    with psc.Node.create(folder / "merchant", "merchant"):
        pass
    with psc.Node.create(folder / "courier", "courier", listen=listen, address=address or listen):
        pass
    set_limits(folder / "merchant", limits | dict(merchant_limits or {}))
    set_limits(folder / "courier", limits)
    orders = halved(merchant_orders(rows[0]), ORDER_PHONE, "side", ("north", "south"), 1)
    parcels = halved(courier_parcels(rows[1]), PARCEL_PHONE, "zone", ("east", "west"), 2)
    pq.write_table(parcels, folder / "parcels.parquet")
    log = io.StringIO()
    logger = json_logger(log, name=f"psc.server.{id(log)}")
    with psc.Node.open(folder / "merchant") as merchant, psc.Node.open(folder / "courier") as courier:
        befriend(folder, merchant, courier)
        publish(courier, folder / "parcels.parquet", rows_per_key)
        handler = WatchedHandler(courier.home)
        with serve(courier, handler, logger) as serving:
            yield Parties(folder, merchant, courier, handler, serving, orders, parcels, log)


def halved(table: pa.Table, phone: str, name: str, labels: tuple[str, str], place: int) -> pa.Table:
    """Add a group column: the customers whose ``place``-th digit from the end is below five, and the others."""
    digits = [[int(character) for character in cell or "" if character.isdigit()] for cell in table[phone].to_pylist()]
    halves = [labels[int(len(each) >= place and each[-place] >= 5)] for each in digits]
    return table.append_column(name, pa.array(halves, pa.string()))


def publish(courier: psc.Node, source: Path, rows_per_key: int, *, group: str = "zone", min_group: int = MIN_GROUP) -> None:
    """Register the courier's parcels and grant the merchant everything."""
    courier.add_dataset(
        "parcels",
        source,
        keys=[f"phone={PARCEL_PHONE}:phone"],
        release=["status:text:40", "fee:int64"],
        values=["fee:int64:0..5000"],
        groups=[group],
        max_rows_per_key=rows_per_key,
        on_bad="skip",
    )
    offer = psc.Offer(
        "parcels",
        ("match", "count", "aggregate"),
        release=("status", "fee"),
        values=("fee",),
        groups=(group,),
        membership=("hidden", "owner", "matcher"),
        outputs=("receiver", "responder", "both"),
        min_input=0,
        min_result=0,
        min_group=min_group,
        runs_per_day=100_000,
    )
    courier.grant("merchant", offer, purpose=PURPOSE)


def serve(node: psc.Node, handler: NodeHandler, logger: Any) -> Serving:
    """Serve a node as ``Node.serve`` does, with another handler."""
    home = node.home
    server = Server(
        handler,
        home.settings.listen,
        lambda: material(tls_for(home, None)),
        lambda leaf: identify(home, leaf),
        node.identity,
        home.settings.limits,
        logger,
    )
    return Serving(server, "127.0.0.1")


def befriend(folder: Path, *nodes: psc.Node) -> None:
    """Let every node pin every other's card."""
    for owner in nodes:
        card = folder / f"{owner.name}.card.json"
        card.write_text(owner.card_json(), encoding="utf-8")
        for other in nodes:
            if other is not owner:
                other.trust(card)
