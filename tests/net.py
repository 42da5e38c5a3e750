"""Parties with real certificates and a server on a real port, for the tests of transport and server."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from psc.errors import PscError
from psc.server import Server, json_logger
from psc.session.channel import Channel
from psc.session.limits import Limits
from psc.transport.grpc import Link
from psc.transport.handler import Answer, Peer
from psc.transport.tls import TlsMaterial

QUICK = Limits(
    sessions=6,
    sessions_per_partner=3,
    call_deadline_seconds=4.0,
    poll_seconds=0.5,
    peer_silence_seconds=1.2,
    reconnect_seconds=1.0,
    connect_seconds=1.0,
)
"""Limits under which what takes half a minute in life takes a second."""


class Authority:
    """A certificate authority that is made in a moment."""

    def __init__(self, name: str, *, use_rsa: bool = False) -> None:
        self._rsa = use_rsa
        self.key = self._new_key()
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._build(self.subject, self.key, timedelta(days=-1), timedelta(days=30), None, ca=True)
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        server_name: str,
        *,
        begins: timedelta = timedelta(hours=-1),
        ends: timedelta = timedelta(days=7),
        roots: bytes | None = None,
    ) -> TlsMaterial:
        key = self._new_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, server_name)])
        leaf = self._build(subject, key, begins, ends, server_name, ca=False)
        pem = leaf.public_bytes(serialization.Encoding.PEM)
        key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return TlsMaterial(pem, key_pem, roots or self.pem, server_name)

    def issued(self, leaf_pem: bytes) -> bool:
        leaf = x509.load_pem_x509_certificate(leaf_pem)
        try:
            leaf.verify_directly_issued_by(self.certificate)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True

    def _new_key(self) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048) if self._rsa else ec.generate_private_key(ec.SECP256R1())

    def _build(self, subject, key, begins, ends, dns_name, *, ca: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        )
        if dns_name:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns_name)]), critical=False)
        return builder.sign(self.key, hashes.SHA256())


class Party:
    """A node as far as the transport sees it."""

    def __init__(self, name: str, *, use_rsa: bool = False) -> None:
        identity = hashlib.sha256(name.encode()).hexdigest()
        self.peer = Peer(name, identity)
        self.server_name = f"{identity[:32]}.psc"
        self.authority = Authority(f"{name} authority", use_rsa=use_rsa)

    @property
    def identity(self) -> str:
        return self.peer.identity

    def towards(self, partner: Party, **when: timedelta) -> TlsMaterial:
        """Material for dialling a partner's listener."""
        own = self.authority.issue(self.server_name, **when)
        return TlsMaterial(own.certificate_pem, own.key_pem, partner.authority.pem, partner.server_name)

    def listening(self, *partners: Party, **when: timedelta) -> TlsMaterial:
        roots = b"".join(party.authority.pem for party in (self, *partners))
        own = self.authority.issue(self.server_name, **when)
        return TlsMaterial(own.certificate_pem, own.key_pem, roots, self.server_name)


@dataclass
class Script:
    """A handler whose part in a session is a function of the channel."""

    run: Callable[[Channel], None] = lambda channel: None
    refuse: PscError | None = None
    opened: list[tuple[Peer, bytes, bytes]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def status(self, peer: Peer) -> bytes:
        return b"status for " + peer.name.encode()

    def catalogue(self, peer: Peer, announcement: bytes) -> bytes:
        return b"catalogue for " + peer.name.encode() + announcement

    def open(self, peer: Peer, hello: bytes, signature: bytes) -> Answer:
        self.opened.append((peer, hello, signature))
        self.before()
        if self.refuse is not None:
            raise self.refuse
        return Answer(b"accept:" + hello, b"signed", self.run, run_id="run-1")


def echo(channel: Channel) -> None:
    """Send back every frame until an empty one came."""
    while frame := channel.recv():
        channel.send(frame)
    channel.send(b"")
    channel.flush()


class Net:
    """A listener ``courier`` and diallers ``merchant`` and ``other``, all pinned there."""

    def __init__(self, handler: object, limits: Limits = QUICK, port: int = 0, parties: dict[str, Party] | None = None) -> None:
        self.parties = parties or {name: Party(name) for name in ("courier", "merchant", "other")}
        self.limits, self.handler = limits, handler
        self._log = io.StringIO()
        self.server = self._make(port)
        self.port = 0

    def _make(self, port: int) -> Server:
        courier = self.parties["courier"]
        partners = [party for name, party in self.parties.items() if name != "courier"]
        logger = json_logger(self._log, name=f"psc.server.{id(self)}")
        material = courier.listening(*partners)
        return Server(self.handler, f"127.0.0.1:{port}", lambda: material, self.identify, courier.identity, self.limits, logger)

    def identify(self, leaf: bytes) -> Peer | None:
        return next((party.peer for party in self.parties.values() if party.authority.issued(leaf)), None)

    def link(self, name: str = "merchant", *, limits: Limits | None = None, port: int | None = None, **options) -> Link:
        tls = self.parties[name].towards(self.parties["courier"])
        return Link(f"127.0.0.1:{port or self.port}", tls, limits or self.limits, **options)

    @property
    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._log.getvalue().splitlines()]

    def event_names(self) -> list[object]:
        return [event["event"] for event in self.events]


@contextlib.contextmanager
def serving(handler: object, limits: Limits = QUICK, **options) -> Iterator[Net]:
    net = Net(handler, limits, **options)
    net.port = net.server.start()
    try:
        yield net
    finally:
        net.server.stop(0)


def in_thread(work: Callable[[], object]) -> Callable[[], object]:
    """Start ``work``; the function returned waits for it and returns its value or raises what it raised."""
    result: list[object] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def wait(seconds: float = 20.0) -> object:
        thread.join(seconds)
        assert not thread.is_alive(), "still running"
        if failure:
            raise failure[0]
        return result[0]

    return wait


def eventually(condition, seconds: float = 3.0) -> bool:
    """Return whether a condition comes true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.01)
    return condition()
