"""No phone number leaves a node or stays in its files: frames, documents, stores, logs and receipts are searched for all.

Ten spellings of every number of both tables, each raw and hashed by MD5, SHA-1, SHA-256 and BLAKE3, as bytes and in hex. The same
scanner finds a planted canary of every spelling and hash, so that finding nothing means something.
"""

from __future__ import annotations

import contextlib
import io
import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import psc
from psc.node.runs import receipt_of
from psc.protocols.base import Message
from psc.server.log import json_logger
from psc.session.codec import decode
from psc.testing.madeup import ORDER_PHONE, PARCEL_PHONE, courier_parcels, merchant_orders, plain_join, plain_keys
from psc.testing.nodes import PURPOSE, grant, node_pair
from psc.transport.grpc import Opened
from tests.fault.meddling import SENT_VOLE, kind_of
from tests.scanner import FORMS, SPELLINGS, Scanner, patterns_of, spellings_of

ROWS = 1200
CANARY = "13800138000"


@dataclass
class Recording:
    """What two runs left behind, by place, and the numbers that must not be in it."""

    numbers: set[str]
    cells: set[str]
    places: dict[str, bytes] = field(repr=False)


def national(e164: str) -> str:
    """Return a Chinese number without its country code."""
    assert e164.startswith("+86")
    return e164[3:]


@contextlib.contextmanager
def listening() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Give what the server logs, and what anybody at all logs, down to the last detail."""
    server_log, said = io.StringIO(), io.StringIO()
    root, server = logging.getLogger(), logging.getLogger("psc.server")
    before = root.level, server.level, server.handlers, server.propagate
    everything = logging.StreamHandler(said)
    json_logger(server_log)
    root.addHandler(everything)
    root.setLevel(logging.DEBUG)
    try:
        yield server_log, said
    finally:
        root.removeHandler(everything)
        root.setLevel(before[0])
        server.setLevel(before[1])
        server.handlers, server.propagate = before[2], before[3]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Run matches by each protocol and a count, and gather all that was sent, stored and logged."""
    folder = tmp_path_factory.mktemp("scan")
    orders, parcels = merchant_orders(ROWS), courier_parcels(ROWS)
    pq.write_table(parcels, folder / "parcels.parquet")
    frames: list[tuple[str, bytes]] = []
    documents: list[bytes] = []
    with listening() as (server_log, said):
        with node_pair(folder) as pair:
            results = run_all(pair.merchant, pair.courier, folder, orders, parcels, frames, documents)
            nodes = (pair.merchant, pair.courier)
            receipts = [receipt_of(node.home, result.run_id) or "" for node in nodes for result in results]
            homes = [node.home.path for node in nodes]
            # The stores are read while they are open too: a write-ahead log holds what the file itself does not yet.
            live = {f"open {path.name} of {home.name}": path.read_bytes() for home in homes for path in files_of(home)}
        files = {f"{path.name} of {home.name}": path.read_bytes() for home in homes for path in files_of(home)}
    assert "session.finished" in server_log.getvalue()
    assert all(receipts)
    assert len(documents) == 14
    assert {"store.db of merchant", "store.db of courier"} <= set(files)
    assert {"open store.db-wal of merchant", "open store.db-wal of courier"} <= set(live)
    places = {
        **{f"frame {number} {way}": frame for number, (way, frame) in enumerate(frames)},
        **{f"all {way}": b"".join(contents(frames, way)) for way in ("sent", "received")},
        **{f"document {number}": document for number, document in enumerate(documents)},
        **live,
        **files,
        **{f"receipt {number}": text.encode() for number, text in enumerate(receipts)},
        "server log": server_log.getvalue().encode(),
        "other logs": said.getvalue().encode(),
        "results' reprs": "".join(f"{result!r}{result.to_dict()}{result.receipt!r}" for result in results).encode(),
    }
    keys = set(plain_keys(orders, ORDER_PHONE).dropna()) | set(plain_keys(parcels, PARCEL_PHONE).dropna())
    cells = {cell for table, name in ((orders, ORDER_PHONE), (parcels, PARCEL_PHONE)) for cell in table[name].to_pylist() if cell}
    return Recording({national(key) for key in keys}, cells, places)


def run_all(
    merchant: psc.Node,
    courier: psc.Node,
    folder: Path,
    orders: pa.Table,
    parcels: pa.Table,
    frames: list[tuple[str, bytes]],
    documents: list[bytes],
) -> tuple[psc.MatchResult | psc.CountResult, ...]:
    """Match with released columns by either protocol, against a malicious partner, and count; all must be right.

    Everything in plain text is kept.
    """
    grant(
        courier,
        "merchant",
        "parcels",
        source=folder / "parcels.parquet",
        keys=[f"phone={PARCEL_PHONE}:phone"],
        release=["status:text:16", "fee:int64", "waybill:text:24"],
        max_rows_per_key=4,
    )
    with merchant.connect("courier", tap=lambda way, frame: frames.append((way, frame))) as partner:
        note_documents(partner, documents)
        common = {"on": {"phone": ORDER_PHONE}, "dataset": "parcels", "purpose": PURPOSE, "on_bad": "skip"}
        want = ["status", "fee", "waybill"]
        matched = [partner.match(orders, want=want, protocol=name, **common) for name in ("dh-psi", "vole-psi")]  # type: ignore[arg-type]
        alone = partner.match(orders, model="malicious", **common)  # type: ignore[arg-type]
        counted = partner.count(orders, **common)  # type: ignore[arg-type]
    joined = plain_join(orders, parcels, want=["waybill"], max_rows_per_key=4)
    for result in matched:
        assert sorted(result.to_pandas()["waybill"]) == sorted(joined["waybill"])
    assert [result.receipt.receipt.protocol for result in (*matched, alone)] == ["dh-psi", "vole-psi", "vole-psi"]
    assert counted.count == alone.matched_keys == len(set(joined["key"])) > 100
    kinds = {kind_of(frame) for _, frame in frames}
    assert {kind for kinds_of_side in SENT_VOLE.values() for kind in kinds_of_side} - kinds == {"matched_positions"}
    return *matched, alone, counted


def note_documents(partner: psc.Partner, documents: list[bytes]) -> None:
    """Keep status and catalogue, and what is told of each session before it: announcement, hello and accept."""
    link = partner._link
    documents += [link.status(), link.catalogue()]
    honest, granted = link.open, link.catalogue

    def asked(announcement: bytes = b"") -> bytes:
        if announcement:
            documents.append(announcement)
        return granted(announcement)

    def opened(hello: bytes, signature: bytes, **options: object) -> Opened:
        answer = honest(hello, signature, **options)  # type: ignore[arg-type]
        documents.extend([hello, answer.accept])
        return answer

    link.open, link.catalogue = opened, asked  # type: ignore[method-assign]


def files_of(home: Path) -> list[Path]:
    """Return every file of a home."""
    return [path for path in home.rglob("*") if path.is_file()]


def contents(frames: list[tuple[str, bytes]], way: str) -> Iterator[bytes]:
    """Yield the contents of one direction's messages without their framing, so that nothing hides across two frames."""
    for direction, frame in frames:
        if direction == way:
            message: Message = decode(frame)
            for name in message.__dataclass_fields__:  # type: ignore[attr-defined]
                value = getattr(message, name)
                yield getattr(value, "data", value) if not isinstance(value, bool | int) else b""


@pytest.fixture(scope="module")
def scanner(recording: Recording) -> Scanner:
    """All patterns of all numbers of both tables, the cells as they stand in them, and the canary."""
    patterns = list(patterns_of(sorted(recording.numbers | {CANARY})))
    cells = [(f"cell {cell}", cell.encode()) for cell in sorted(recording.cells) if len(cell.encode()) >= 11]
    return Scanner(patterns + cells)


def test_no_phone_number_is_on_the_wire_in_stores_logs_or_receipts(recording: Recording, scanner: Scanner) -> None:
    assert len(recording.numbers) > 700
    assert scanner.count > 100_000
    assert sum(len(data) for data in recording.places.values()) > 500_000
    found = [hit for place, data in recording.places.items() for hit in scanner.search(data, place)]
    assert found == []


def test_the_scanner_finds_a_canary_of_every_spelling_and_hash(recording: Recording, scanner: Scanner) -> None:
    canaries = dict(patterns_of([CANARY]))
    assert len(canaries) == len(SPELLINGS) * len(FORMS) * 3
    place = max((name for name in recording.places if name.startswith("frame")), key=lambda name: len(recording.places[name]))
    data = bytearray(recording.places[place])
    gap = len(data) // len(canaries)
    offsets = {}
    for number, (name, pattern) in enumerate(canaries.items()):
        assert len(pattern) < gap
        at = number * gap + random.Random(number).randrange(gap - len(pattern))
        data[at : at + len(pattern)] = pattern
        offsets[name] = at
    hits = {(hit.name, hit.offset) for hit in scanner.search(bytes(data), place)}
    assert set(offsets.items()) <= hits


@pytest.mark.parametrize("place", ["store.db of courier", "server log", "receipt 0", "all sent"])
def test_the_scanner_finds_one_number_of_the_tables_anywhere(recording: Recording, scanner: Scanner, place: str) -> None:
    number = sorted(recording.numbers)[7]
    for name, spelled in spellings_of(number).items():
        data = recording.places[place]
        middle = len(data) // 2
        hits = scanner.search(data[:middle] + spelled + data[middle:], place)
        assert f"{number} {name} raw" in {hit.name for hit in hits}


def test_the_scanner_finds_what_stands_at_either_end() -> None:
    scanner = Scanner([("a", b"12345678"), ("b", b"123456789"), ("c", b"abcdefghij")])
    assert [hit.name for hit in scanner.search(b"12345678", "x")] == ["a"]
    assert {hit.name for hit in scanner.search(b"..123456789", "x")} == {"a", "b"}
    assert [(hit.name, hit.offset) for hit in scanner.search(b"abcdefghij" + b"." * 3, "x")] == [("c", 0)]
    assert scanner.search(b"1234567", "x") == scanner.search(b"", "x") == scanner.search(b"bcdefghij." * 9, "x") == []
