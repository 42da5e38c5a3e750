"""A node in Python: its home, its partners, and serving them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from psc.errors import UsageError
from psc.node.certificates import TlsFiles, identify, tls_for
from psc.node.home import Home
from psc.node.own import own_card
from psc.node.settings import DEFAULT_LISTEN
from psc.node.trust import Trusted, known_identities, own_party, partner_named, trust
from psc.sdk.partner import Partner
from psc.transport.address import Address
from psc.transport.grpc.link import Link
from psc.transport.handler import Handler, Peer
from psc.transport.tls import TlsMaterial

if TYPE_CHECKING:  # loaded where they are used, so that a partner is asked before what computes is loaded
    from psc.audit.receipt import SignedReceipt, VerifiedReceipt
    from psc.node.records import DatasetRecord
    from psc.operations.initiator import Tap
    from psc.policy.agreements import StoredAgreement
    from psc.policy.propose import Offer
    from psc.server.server import Server

__all__ = ["Answering", "Node", "Serving"]


class Node:
    """One party's installation, opened; a context manager. Safe to use from several threads.

    Args:
        home: the open home.
    """

    def __init__(self, home: Home) -> None:
        self.home = home

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        name: str,
        *,
        listen: str = DEFAULT_LISTEN,
        address: str = "",
        region: str = "CN",
        language: str = "",
    ) -> Self:
        """Make a node in a new folder and open it; see ``psc.node.home.Home.create``."""
        return cls(Home.create(path, name, listen=listen, address=address, region=region, language=language))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a node.

        Raises:
            UsageError: there is no node in this folder, or a setting is wrong.
            StorageError: its files are damaged or open to other users.
        """
        return cls(Home.open(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the home."""
        self.home.close()

    @property
    def name(self) -> str:
        """The node's name."""
        return self.home.settings.name

    @property
    def identity(self) -> str:
        """The node's identity, 64 hex digits."""
        return self.home.identity.public

    def card_json(self) -> str:
        """Return the card file that partners pin."""
        return own_card(self.home).to_json()

    def trust(self, card: str | os.PathLike[str], *, fingerprint: str | None = None) -> Trusted:
        """Pin a partner's card file.

        Args:
            card: the file.
            fingerprint: what the partner read out by another way; another card is refused. Blanks and case do not matter.

        Raises:
            AuthenticationError: a signature is wrong, or a known partner's identity changed without its signature.
            UsageError: it is not a card, or cannot be pinned.
        """
        return trust(self.home, Path(card), expected=fingerprint)

    def add_dataset(
        self,
        name: str,
        source: str | os.PathLike[str],
        *,
        keys: Sequence[str],
        release: Sequence[str] = (),
        values: Sequence[str] = (),
        groups: Sequence[str] = (),
        max_rows_per_key: int = 1,
        on_bad: Literal["error", "skip"] = "error",
        rejects: str | os.PathLike[str] | None = None,
        replace: bool = False,
    ) -> DatasetRecord:
        """Register a table that partners may be granted, at a frozen version; see ``psc.node.datasets.add_dataset``.

        Args:
            name: what partners call it.
            source: a path or URL; it is read again for each run and must not change.
            keys: as ``phone=mobile:phone`` (name, column, kind).
            release: columns that an agreement may release, as ``status:text:16``.
            values: columns of numbers that aggregates may use, as ``orders:int64:0..1000`` or ``fee:decimal:2:0..999.99``.
            groups: columns that aggregates may be grouped by, as ``city``.
            max_rows_per_key: rows of one key released at most, and with values the most that there may be; a public number.
            on_bad: a bad key cell is an error, or its row is skipped.
            rejects: a file that gets every refused row with its class.
            replace: take the place of a dataset of this name.

        Raises:
            DataError: the table is not what it should be; the text names the place.
        """
        from psc.node.datasets import add_dataset

        return add_dataset(
            self.home,
            name,
            source=source,
            keys=keys,
            release=release,
            values=values,
            groups=groups,
            max_rows_per_key=max_rows_per_key,
            on_bad=on_bad,
            rejects=rejects,
            replace=replace,
        )

    def grant(
        self,
        partner: str,
        *offers: Offer,
        purpose: str | Sequence[str],
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
    ) -> StoredAgreement:
        """Propose and sign an agreement on own datasets: from now on a grant to the partner.

        Args:
            partner: a pinned partner's name.
            *offers: ``psc.Offer("parcels", ["match", "count"], release=["status"])``, one a dataset; for aggregates
                ``psc.Offer("parcels", ["aggregate"], values=["fee"], groups=["city"], noise="laplace:0.5")``.
            purpose: the purposes that runs may name.
            valid_from: first moment in force; now by default.
            valid_until: last moment; a year later by default.

        Raises:
            UsageError: an unknown partner or dataset.
            AgreementError: an offer goes beyond what is registered.
        """
        from psc.policy.agreements import sign
        from psc.policy.propose import propose

        purposes = [purpose] if isinstance(purpose, str) else list(purpose)
        stored = propose(
            self.home, partner=partner, offers=offers, purpose=purposes, valid_from=valid_from, valid_until=valid_until
        )
        return sign(self.home, stored.signed.agreement.id)

    def verify(self, receipt: SignedReceipt | str | os.PathLike[str]) -> VerifiedReceipt:
        """Check a receipt, or a receipt file, against the cards pinned here.

        Raises:
            AuditError: a signature is wrong, or a party is nobody pinned here.
        """
        from psc.audit.receipt import SignedReceipt, verify_receipt

        if not isinstance(receipt, SignedReceipt):
            receipt = SignedReceipt.parse(Path(receipt).read_bytes(), file=Path(receipt).name)
        return verify_receipt(receipt, known_identities(self.home))

    def connect(self, partner: str, *, tap: Tap | None = None) -> Partner:
        """Connect to a partner: at its address, or, when it has none, through the own server where it waits.

        Args:
            partner: its name.
            tap: sees every plaintext frame of the runs, as ``("sent"|"received", frame)``; for recording a run.

        Raises:
            UsageError: no such partner.
            ConnectError: nobody answers.
            AuthenticationError: not the pinned partner, or a certificate is out of its time; the text says which.
        """
        pinned = partner_named(self.home, partner)
        if pinned.card.address:
            address, via, to = pinned.card.address, pinned, ""
        else:
            address, via, to = _own_address(self.home), own_party(self.home), pinned.identity
        link = Link(address, lambda: material(tls_for(self.home, via)), self.home.settings.limits, to=to)
        return Partner(self.home, pinned, link, same_machine=Address.parse(address).loopback and not to, tap=tap)

    def serve(self, listen: str | None = None, *, logger: logging.Logger | None = None) -> Serving:
        """Answer partners until the returned object is stopped; use it as a context manager.

        Args:
            listen: ``HOST:PORT``; the setting by default. Port 0 takes any free port.
            logger: gets one event a record, without personal data.

        Raises:
            ConnectError: the address cannot be listened on.
            AuthenticationError: the own certificate is out of its time.
        """
        from psc.server.server import Server

        handler = self._handler()
        address = listen or self.home.settings.listen
        server = Server(
            handler,
            address,
            lambda: material(tls_for(self.home, None)),
            lambda leaf: identify(self.home, leaf),
            self.identity,
            self.home.settings.limits,
            logger,
        )
        return Serving(server, Address.parse(address).host)

    def answer_via(self, partner: str, *, logger: logging.Logger | None = None) -> Answering:
        """Dial out to a partner and answer its questions from here: for a node without an inbound port.

        Raises:
            UsageError: no such partner, or it has no address.
            ConnectError: nobody answers there.
        """
        from psc.server.log import observer

        pinned = partner_named(self.home, partner)
        if not pinned.card.address:
            raise UsageError("operations.partner-without-address", partner=partner)
        handler = self._handler()
        link = Link(pinned.card.address, lambda: material(tls_for(self.home, pinned)), self.home.settings.limits)
        # Certificates are the relaying listener's business here; identities sign Hello and Accept whatever carries them.
        peer = Peer(pinned.name, pinned.identity)
        observe = observer(logger or logging.getLogger("psc.server"))

        def answer(stop: threading.Event) -> None:
            with link:
                link.answer(handler, stop, peer, observe=observe)

        try:
            link.status()
        except BaseException:
            link.close()
            raise
        return Answering(answer)

    def _handler(self) -> Handler:
        """Return what answers partners, after runs that a process of before left open were marked."""
        from psc.node.kept import drop_old
        from psc.node.runs import mark_interrupted
        from psc.operations.responder import NodeHandler

        mark_interrupted(self.home)
        drop_old(self.home)
        return NodeHandler(self.home)


class Serving:
    """A server that answers partners. ``with node.serve() as serving: serving.wait()``."""

    def __init__(self, server: Server, host: str) -> None:
        self._server, self._host = server, host
        self._stopped = threading.Event()
        self.port = server.start()

    @property
    def address(self) -> str:
        """Where it listens, ``HOST:PORT``."""
        return str(Address(self._host, self.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it was stopped, or for ``timeout`` seconds; return whether it was stopped."""
        return self._stopped.wait(timeout)

    def stop(self, drain_seconds: float = 30.0) -> None:
        """Stop gracefully: refuse new runs, let running ones finish for ``drain_seconds``, then end them."""
        self._server.stop(drain_seconds)
        self._stopped.set()


class Answering:
    """Answers one partner over a connection that this side dialled; stops like ``Serving``."""

    def __init__(self, answer: Callable[[threading.Event], None]) -> None:
        self._stop = threading.Event()
        self.error: BaseException | None = None

        def run() -> None:
            try:
                answer(self._stop)
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits
                self.error = error

        self._thread = threading.Thread(target=run, name="psc-answering", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it ended, or for ``timeout`` seconds; return whether it ended. Raises what ended it."""
        self._thread.join(timeout)
        if self.error is not None:
            raise self.error
        return not self._thread.is_alive()

    def stop(self, drain_seconds: float = 30.0) -> None:
        """Stop asking for questions, and let running runs finish."""
        self._stop.set()
        self._thread.join(drain_seconds + 5)


def material(files: TlsFiles) -> TlsMaterial:
    """Return the transport's form of the node's TLS files."""
    return TlsMaterial(files.certificate_pem, files.key_pem, files.roots_pem, files.server_name)


def _own_address(home: Home) -> str:
    listen = Address.parse(home.settings.listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104 - read, not bound
    return str(Address(host, listen.port))
