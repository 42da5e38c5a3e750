"""No phone number, no value and no group label of an aggregate is where it does not belong: on the wire, in stores, in logs.

What a run may tell is said in its leakage statement. Values never leave in the clear, nor do weights; the asking side's labels
leave only when the responder learns the result, and the responder's only to the asking side's program.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import psc
from psc.node.runs import receipt_of, result_of
from psc.session.codec import decode
from psc.testing.madeup import ORDER_PHONE, PARCEL_PHONE, courier_parcels, merchant_orders, plain_keys
from psc.testing.nodes import PURPOSE, node_pair
from psc.types import OutputTo
from tests.fault.meddling import kind_of
from tests.integration.test_match_count import wait_until_finished
from tests.integration.test_wire_scan import files_of, listening, national, note_documents
from tests.scanner import Found, Scanner, patterns_of

ROWS = 1200
OWN_LABELS = ("own-side-north-7d1c", "own-side-south-e02b", "own-side-中部-51ff")
THEIR_LABELS = ("their-zone-east-93aa", "their-zone-west-0c7e", "their-zone-东区-b416")
VALUE_LOW, VALUE_HIGH = 1 << 39, (1 << 40) - 1
"""Values so large that their eight bytes, and their digits, are nowhere by chance."""


@dataclass
class Sums:
    """What an aggregate under each membership left behind with one output, and what must not be in it."""

    output_to: OutputTo
    numbers: set[str]
    values: list[int]
    weights: list[int]
    places: dict[str, bytes] = field(repr=False)


def labelled(table: pa.Table, phone: str, name: str, labels: tuple[str, ...], digits: slice) -> pa.Table:
    """Add a group column that is a function of the key: of some of its digits."""
    keys = plain_keys(table, phone)
    return table.append_column(name, pa.array([labels[0 if key is None else int(key[digits]) % 3] for key in keys]))


def tables() -> tuple[pa.Table, pa.Table]:
    """The tables of the other scan, with groups, values and weights that can be recognised."""
    rng = np.random.default_rng(20261121)
    orders = labelled(merchant_orders(ROWS), ORDER_PHONE, "side", OWN_LABELS, slice(-2, None))
    parcels = labelled(courier_parcels(ROWS), PARCEL_PHONE, "zone", THEIR_LABELS, slice(-5, -2))
    orders = orders.append_column("share", pa.array(rng.integers(10**8, 2 * 10**8, ROWS)))
    parcels = parcels.append_column("pieces", pa.array(rng.integers(1, 10, ROWS)))  # small, so that a weighted sum has room
    return orders, parcels.append_column("amount", pa.array(rng.integers(VALUE_LOW, VALUE_HIGH, ROWS)))


@pytest.fixture(scope="module", params=["receiver", "both"])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sums:
    """Run an aggregate with membership hidden, one with it known to the owner, one to the matcher; gather everything."""
    folder = tmp_path_factory.mktemp(f"scan-{request.param}")
    orders, parcels = tables()
    pq.write_table(parcels, folder / "parcels.parquet")
    frames: list[tuple[str, bytes]] = []
    documents: list[bytes] = []
    with listening() as (server_log, said):
        with node_pair(folder) as pair:
            results = run_all(pair.merchant, pair.courier, folder, orders, request.param, frames, documents)
            nodes = (pair.merchant, pair.courier)
            receipts = [receipt_of(node.home, result.run_id) or "" for node in nodes for result in results]
            homes = [node.home.path for node in nodes]
            live = {f"open {path.name} of {home.name}": path.read_bytes() for home in homes for path in files_of(home)}
            delivered = [result_of(pair.courier.home, result.run_id) for result in results]
        files = {f"{path.name} of {home.name}": path.read_bytes() for home in homes for path in files_of(home)}
    assert [path is None for path in delivered] == [request.param == "receiver"] * 3
    assert all(receipts)
    places = {
        **{f"frame {number} {way} {kind_of(frame)}": frame for number, (way, frame) in enumerate(frames)},
        **{f"all {way}": joined(frames, way) for way in ("sent", "received")},
        **{f"document {number}": document for number, document in enumerate(documents)},
        **live,
        **files,
        **{f"receipt {number}": text.encode() for number, text in enumerate(receipts)},
        "server log": server_log.getvalue().encode(),
        "other logs": said.getvalue().encode(),
        "results' reprs": "".join(f"{result!r}{result.leakage!r}{result.receipt!r}" for result in results).encode(),
    }
    keys = {key for table, name in ((orders, ORDER_PHONE), (parcels, PARCEL_PHONE)) for key in plain_keys(table, name).dropna()}
    values, weights = parcels["amount"].to_pylist(), orders["share"].to_pylist()
    return Sums(request.param, {national(key) for key in keys}, values, weights, places)


def run_all(
    merchant: psc.Node,
    courier: psc.Node,
    folder: Path,
    orders: pa.Table,
    output_to: OutputTo,
    frames: list[tuple[str, bytes]],
    documents: list[bytes],
) -> list[psc.AggregateResult]:
    """Sum by groups of both sides under every membership, and keep everything in plain text."""
    courier.add_dataset(
        "parcels",
        folder / "parcels.parquet",
        keys=[f"phone={PARCEL_PHONE}:phone"],
        values=[f"amount:int64:{VALUE_LOW}..{VALUE_HIGH}", "pieces:int64:0..10"],
        groups=["zone"],
        max_rows_per_key=32,
        on_bad="skip",
    )
    offer = psc.Offer(
        "parcels",
        ("aggregate",),
        values=["amount", "pieces"],
        groups=["zone"],
        membership=("hidden", "owner", "matcher"),
        outputs=("receiver", "both"),
        min_input=0,
        min_result=0,
        min_group=5,
    )
    courier.grant("merchant", offer, purpose=PURPOSE)
    results = []
    with merchant.connect("courier", tap=lambda way, frame: frames.append((way, frame))) as partner:
        note_documents(partner, documents)
        for membership, select in (
            ("hidden", [psc.sum("amount"), psc.mean("amount")]),
            ("owner", [psc.sum("amount"), psc.weighted_sum("share", "pieces")]),
            ("matcher", [psc.sum("amount"), psc.weighted_sum("share", "pieces")]),
        ):
            result = partner.aggregate(
                orders,
                on={"phone": ORDER_PHONE},
                dataset="parcels",
                select=select,
                group_by=["side", "zone"],
                membership=membership,
                output_to=output_to,
                purpose=PURPOSE,
                on_bad="skip",
            )
            assert result.to_arrow().num_rows == 9
            assert result.withheld_groups == 0
            wait_until_finished(courier, result.run_id)
            results.append(result)
    return results


def joined(frames: list[tuple[str, bytes]], way: str) -> bytes:
    """The contents of one direction's messages without their framing, so that nothing hides across two frames."""
    parts = []
    for direction, frame in frames:
        message = decode(frame)
        for name in message.__dataclass_fields__ if direction == way else ():  # type: ignore[attr-defined]
            value = getattr(message, name)
            parts += value if isinstance(value, tuple) else [getattr(value, "data", value)]
    return b"".join(part for part in parts if isinstance(part, bytes))


def numbers_as_bytes(what: str, numbers: list[int]) -> Iterator[tuple[str, bytes]]:
    """A number as digits, with two decimals, and as the eight bytes of an integer or a float in either order."""
    for number in numbers:
        yield f"{what} digits", str(number).encode()
        yield f"{what} grouped", f"{number:,}".encode()
        for order in "<>":
            yield f"{what} integer", struct.pack(f"{order}q", number)
            yield f"{what} float", struct.pack(f"{order}d", float(number))


def labels_as_bytes(what: str, labels: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for label in labels:
        yield f"{what} {label}", label.encode()
        yield f"{what} {label} escaped", label.encode("ascii", "backslashreplace")
        yield f"{what} {label} UTF-16", label.encode("utf-16-le")


def everything(recording: Sums) -> list[tuple[str, bytes]]:
    """Every pattern: numbers in all spellings and hashes, values, weights and labels."""
    return [
        *patterns_of(sorted(recording.numbers)),
        *numbers_as_bytes("value", recording.values),
        *numbers_as_bytes("weight", recording.weights),
        *labels_as_bytes("own label", OWN_LABELS),
        *labels_as_bytes("their label", THEIR_LABELS),
    ]


def allowed(recording: Sums, hit: Found) -> bool:
    """Say whether what was found is where it belongs: names of groups, with whoever is told the result."""
    told = hit.place.endswith("group_labels") or hit.place in ("all sent", "all received")
    to_us = told and "sent" not in hit.place.split(" ")
    to_them = recording.output_to == "both" and told and "received" not in hit.place.split(" ")
    delivered = recording.output_to == "both" and ".parquet" in hit.place and hit.place.endswith("of courier")
    if hit.name.startswith("their label"):
        return to_us or delivered
    return hit.name.startswith("own label") and (to_them or delivered)


@pytest.fixture(scope="module")
def scanner(recording: Sums) -> Scanner:
    return Scanner(everything(recording))


def test_nothing_of_an_aggregate_is_where_it_does_not_belong(recording: Sums, scanner: Scanner) -> None:
    assert scanner.count > 100_000
    assert sum(len(data) for data in recording.places.values()) > 5_000_000
    found = [hit for place, data in recording.places.items() for hit in scanner.search(data, place)]
    assert [hit for hit in found if not allowed(recording, hit)] == []
    # That the names of groups are found where they belong shows that they would be found elsewhere.
    where = {hit.place for hit in found if hit.name.startswith("their label")}
    assert any(place.endswith("received group_labels") for place in where)
    where = {hit.place for hit in found if hit.name.startswith("own label")}
    assert any(place.endswith("sent group_labels") for place in where) == (recording.output_to == "both")
    assert not any("receipt" in hit.place or "log" in hit.place for hit in found)


def test_a_planted_canary_of_every_kind_is_found(recording: Sums, scanner: Scanner) -> None:
    place = max((name for name in recording.places if name.startswith("frame")), key=lambda name: len(recording.places[name]))
    data = bytearray(recording.places[place])
    chosen = dict(everything(recording)[:: len(everything(recording)) // 300]) | dict(labels_as_bytes("own label", OWN_LABELS))
    gap = len(data) // len(chosen)
    at = {}
    for number, (name, pattern) in enumerate(chosen.items()):
        assert len(pattern) < gap
        data[number * gap : number * gap + len(pattern)] = pattern
        at[name] = number * gap
    hits = {(hit.name, hit.offset) for hit in scanner.search(bytes(data), place)}
    assert set(at.items()) <= hits
    assert {"value", "weight"} <= {name.split()[0] for name in at}
