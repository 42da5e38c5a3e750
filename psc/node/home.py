"""The home folder of a node.

::

    HOME/                       0700
    ├── node.toml               0600  settings, each with a comment (psc.node.settings)
    ├── store.db (-wal, -shm)   0600  cards, datasets, agreements, quota charges, runs, receipts (psc.node.store)
    ├── keys/<head of identity>/
    │   ├── identity.pem        0600  Ed25519 private key: who this node is
    │   ├── authority.pem       0600  certificate of the node's own TLS authority; partners pin it
    │   ├── authority-key.pem   0600  its P-256 private key
    │   └── leaf.pem            0600  the present TLS certificate and its key, renewed by itself
    ├── keys/kept.key           0600  seals what is kept (psc.node.kept)
    ├── kept/<run>/             0700  finished shards of runs that broke off, sealed (psc.node.kept)
    ├── unmasked.jsonl          0600  when results were written with their keys in full (psc.node.unmasking)
    └── results/<run>.parquet   0600  results that partners' runs delivered to this node

A home is made in a folder beside its place and renamed into it, so there is never half a home. The card in force in the
store says which folder of ``keys`` counts; a rotation writes a new one and then switches by one transaction.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from psc.errors import StorageError, UsageError
from psc.node.authority import KeyPair, new_authority, tls_name_of
from psc.node.cards import Card, SignedCard, sign_card
from psc.node.clock import now, timestamp
from psc.node.fields import check_name
from psc.node.files import check_private, make_folder, read_private, remove_tree, storage_errors, sync_folder, write_private
from psc.node.identity import Identity
from psc.node.settings import DEFAULT_LISTEN, Settings, default_settings, read_settings
from psc.node.store import Store

__all__ = ["Home", "write_keys"]

SETTINGS_FILE = "node.toml"
STORE_FILE = "store.db"
KEYS_FOLDER = "keys"
RESULTS_FOLDER = "results"


class Home:
    """An open home: settings, store and identity of one node. Use ``create`` or ``open``; close it after use.

    Safe to use from several threads; several processes may open one home at once.

    Args:
        path: the folder.
        settings: what ``node.toml`` and the environment say.
        store: its tables.
    """

    def __init__(self, path: Path, settings: Settings, store: Store) -> None:
        self.path = path
        self.settings = settings
        self.store = store
        self._lock = threading.Lock()
        self._identity: Identity | None = None

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
        """Make a node: identity, TLS authority, store and settings.

        Args:
            path: a folder that does not exist yet, or is empty.
            name: the name that partners will see.
            listen: where to serve, ``HOST:PORT``.
            address: where partners reach this node; empty without an inbound port.
            region: region of national phone numbers, two capital letters.
            language: ``en``, ``zh`` or empty.

        Raises:
            UsageError: a value is wrong, the folder is a home already, or it is not empty.
            StorageError: the disk refuses; nothing is left behind.
        """
        check_name(name, "node")
        target = Path(path).absolute()
        _refuse_occupied(target)
        with storage_errors(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
        text = default_settings(name, listen=listen, address=address, region=region, language=language)
        if target.is_dir():
            # An existing empty folder may be the caller's working directory, which a rename would pull away.
            _fill(target, text)
        else:
            _build_beside(target, text)
        return cls.open(target)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a home.

        Raises:
            UsageError: there is no home in this folder, or a setting is wrong.
            StorageError: other users can reach its files, or it is damaged, or a newer psc made it.
        """
        folder = Path(path).absolute()
        store_file = folder / STORE_FILE
        try:
            if not store_file.is_file():
                raise UsageError("node.home-missing", path=str(folder))
        except PermissionError as error:
            raise StorageError("node.path-forbidden", path=str(folder), problem=str(error.strerror)) from error
        check_private(folder)
        check_private(store_file)
        check_private(folder / SETTINGS_FILE, others_may_read=True)
        store = Store(store_file)
        try:
            settings = read_settings(folder / SETTINGS_FILE)
            home = cls(folder, settings, store)
            _ = home.identity
        except BaseException:
            store.close()
            raise
        return home

    @property
    def identity(self) -> Identity:
        """The identity in force; after a rotation, by this or another process, the new one.

        Raises:
            StorageError: its file is missing, damaged, or readable by others.
        """
        try:
            return self._load_identity()
        except StorageError:
            # Another process may have rotated between the two reads; then the second attempt finds the new one.
            return self._load_identity()

    def _load_identity(self) -> Identity:
        with self.store.read() as db:
            row = db.execute("SELECT identity FROM cards WHERE own = 1 AND current = 1").fetchone()
        if row is None:
            raise StorageError("node.store-damaged", path=str(self.path / STORE_FILE), problem="no own card")
        public: str = row[0]
        with self._lock:
            if self._identity is None or self._identity.public != public:
                file = self.keys_folder(public) / "identity.pem"
                identity = Identity.from_pem(read_private(file), path=str(file))
                if identity.public != public:
                    raise StorageError("node.key-damaged", path=str(file))
                self._identity = identity
            return self._identity

    def keys_folder(self, identity: str) -> Path:
        """Return the folder that holds the keys of one of this node's identities."""
        return self.path / KEYS_FOLDER / identity[:16]

    @property
    def results_folder(self) -> Path:
        """The folder of results delivered to this node; made when needed."""
        folder = self.path / RESULTS_FOLDER
        if not folder.is_dir():
            make_folder(folder)
        return folder

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Home({str(self.path)!r}, name={self.settings.name!r})"


def write_keys(folder: Path, identity: Identity, authority: KeyPair) -> None:
    """Write the long-lived keys of an identity into a new folder."""
    make_folder(folder)
    write_private(folder / "identity.pem", identity.to_pem())
    write_private(folder / "authority.pem", authority.certificate_pem)
    write_private(folder / "authority-key.pem", authority.key_pem)


def _refuse_occupied(target: Path) -> None:
    with storage_errors(target):
        if (target / STORE_FILE).exists():
            raise UsageError("node.home-exists", path=str(target))
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError("node.folder-occupied", path=str(target))


def _build_beside(target: Path, settings_text: str) -> None:
    building = target.with_name(f".{target.name}.{secrets.token_hex(4)}")

    def move() -> None:
        building.rename(target)
        sync_folder(target.parent)

    _build(building, target, settings_text, move)


def _fill(target: Path, settings_text: str) -> None:
    building = target / f".psc-init.{secrets.token_hex(4)}"
    moved: list[Path] = []

    def move() -> None:
        # The store goes last: without it the folder is not a home.
        for name in (KEYS_FOLDER, RESULTS_FOLDER, SETTINGS_FILE, STORE_FILE):
            destination = target / name
            if destination.exists():
                raise FileExistsError
            moved.append(destination)
            (building / name).rename(destination)
        building.rmdir()
        sync_folder(target)

    try:
        with storage_errors(target):
            target.chmod(0o700)
        _build(building, target, settings_text, move)
    except BaseException:
        for path in moved:
            remove_tree(path) if path.is_dir() else path.unlink(missing_ok=True)
        raise


def _build(building: Path, target: Path, settings_text: str, move: Callable[[], None]) -> None:
    try:
        with storage_errors(target):
            building.mkdir(mode=0o700)
        write_private(building / SETTINGS_FILE, settings_text.encode())
        settings = read_settings(building / SETTINGS_FILE, shown=target / SETTINGS_FILE)
        make_folder(building / RESULTS_FOLDER)
        make_folder(building / KEYS_FOLDER)
        identity = Identity.generate()
        authority = new_authority(identity.public, now())
        write_keys(building / KEYS_FOLDER / identity.public[:16], identity, authority)
        Store.create(building / STORE_FILE)
        _insert_first_card(building / STORE_FILE, _first_card(settings, identity, authority))
        _move(target, move)
    except BaseException:
        remove_tree(building)
        raise


def _move(target: Path, move: Callable[[], None]) -> None:
    with storage_errors(target):
        try:
            move()
        except OSError:
            # Someone made a home here in the same moment: theirs stays.
            if (target / STORE_FILE).exists():
                raise UsageError("node.home-exists", path=str(target)) from None
            raise


def _first_card(settings: Settings, identity: Identity, authority: KeyPair) -> SignedCard:
    card = Card(
        name=settings.name,
        identity=identity.public,
        authority_pem=authority.certificate_pem.decode(),
        tls_name=tls_name_of(identity.public),
        address=settings.address,
        created_at=timestamp(now()),
    )
    return sign_card(card, identity)


def _insert_first_card(store_file: Path, signed: SignedCard) -> None:
    store = Store(store_file)
    try:
        with store.write() as db:
            card = signed.card
            db.execute(
                "INSERT INTO cards (identity, party, own, current, name, card, pinned_at) VALUES (?, ?, 1, 1, ?, ?, ?)",
                (card.identity, card.identity, card.name, signed.to_json(), card.created_at),
            )
    finally:
        store.close()
