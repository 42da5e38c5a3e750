"""TLS of a node: which certificate it shows, whom it trusts for a call, and who a caller is.

Two ways exist. By default the node's own authority issues leaves that last a week; ``tls_for`` renews them. With a company
CA (``[tls]`` in ``node.toml``) the files named there are used as they are. Either way a partner trusts only what this
node's card carries, and this node trusts a partner only for what the partner's card carries.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization

from psc.errors import AuthenticationError, StorageError, UsageError
from psc.node.authority import (
    CertificateError,
    KeyPair,
    check_leaf,
    issue_leaf,
    leaf_is_fresh,
    names_of,
    parse_chain,
    tls_name_of,
)
from psc.node.clock import now, timestamp
from psc.node.files import read_private, storage_errors, write_private
from psc.node.home import Home
from psc.node.trust import Partner, own_party, partners
from psc.transport.handler import Peer

__all__ = ["TlsFiles", "certificate_digest", "examine", "identify", "own_authority", "own_certificate_digest", "tls_for"]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What TLS needs, as PEM; the repr shows none of it.

    Attributes:
        certificate_pem: own leaf, then any intermediate certificates.
        key_pem: its private key.
        roots_pem: the only authorities that the other side's certificate may come from.
        server_name: the name that the other side's certificate must carry when we dial; own name when we serve.
    """

    certificate_pem: bytes
    key_pem: bytes
    roots_pem: bytes
    server_name: str

    def __repr__(self) -> str:
        return f"TlsFiles(server_name={self.server_name!r})"


def tls_for(home: Home, partner: Partner | None, *, moment: datetime | None = None) -> TlsFiles:
    """Return the TLS files for dialling a partner, or for serving.

    Args:
        home: the node.
        partner: whom to dial: only its own authority is trusted. None for serving: every partner's authority and the own
            one are, and ``identify`` then says whose certificate it was.
        moment: the present moment; the clock's by default.

    Raises:
        AuthenticationError: the node's authority or its company certificate is past its end.
        UsageError: the company certificate's files do not fit together.
        StorageError: a file is missing, damaged, or readable by others.
    """
    own, authority_pem, tls_name = _own_leaf(home, moment or now())
    if partner is not None:
        roots, server_name = partner.card.authority_pem, partner.card.tls_name
    else:
        roots = "\n".join([authority_pem.decode(), *(known.card.authority_pem for known in partners(home))])
        server_name = tls_name
    return TlsFiles(own.certificate_pem, own.key_pem, roots.encode(), server_name)


def identify(home: Home, leaf_pem: bytes, *, moment: datetime | None = None) -> Peer | None:
    """Return whose certificate this is, or None when it is nobody's that this node trusts; see ``examine``."""
    try:
        return examine(home, leaf_pem, moment=moment)
    except AuthenticationError:
        return None


def examine(home: Home, leaf_pem: bytes, *, moment: datetime | None = None) -> Peer:
    """Return whose certificate this is.

    Args:
        home: the node.
        leaf_pem: the certificate that a caller showed, then any intermediate ones.
        moment: the present moment; the clock's by default.

    Raises:
        AuthenticationError: it is no pinned party's, or out of its time; the text says which.

    Security:
        The leaf must come from *that* partner's pinned authority and carry *that* partner's name. A partner's authority
        can issue a leaf with another partner's name; such a leaf is nobody's.
    """
    moment = moment or now()
    try:
        names = names_of(parse_chain(leaf_pem)[0])
    except CertificateError:
        raise AuthenticationError("node.peer-certificate-malformed") from None
    found: list[Peer] = []
    reason = "name"
    for party in (own_party(home), *partners(home)):
        if party.card.tls_name not in names:
            continue
        try:
            check_leaf(leaf_pem, party.card.authority_pem.encode(), party.card.tls_name, moment)
        except CertificateError as error:
            reason = error.reason
        else:
            found.append(Peer(party.name, party.identity, certificate_digest(leaf_pem)))
    if len(found) == 1:
        return found[0]
    if reason in ("expired", "not-yet-valid"):
        raise AuthenticationError(f"node.peer-certificate-{reason}", now=timestamp(moment))
    raise AuthenticationError("node.peer-certificate-unknown")


def certificate_digest(pem: bytes) -> str:
    """Return SHA-256 over the DER of the first certificate of a PEM text, in hex: what a session binds."""
    return parse_chain(pem)[0].fingerprint(hashes.SHA256()).hex()


def own_certificate_digest(home: Home) -> str:
    """Return the digest of the certificate that this node shows now."""
    return certificate_digest(tls_for(home, None).certificate_pem)


def own_authority(home: Home, identity: str) -> tuple[bytes, str]:
    """Return the authority that partners must trust for this node (PEM), and the name in its certificates.

    Raises:
        UsageError: the company certificate's files do not fit together.
        StorageError: a file cannot be read.
    """
    if _company(home):
        leaf, authority = _company_files(home)
        return authority, _company_name(home, leaf)
    return read_private(home.keys_folder(identity) / "authority.pem"), tls_name_of(identity)


def _own_leaf(home: Home, moment: datetime) -> tuple[KeyPair, bytes, str]:
    if _company(home):
        return _company_leaf(home, moment)
    identity = home.identity.public
    folder = home.keys_folder(identity)
    authority_pem, tls_name = read_private(folder / "authority.pem"), tls_name_of(identity)
    file = folder / "leaf.pem"
    leaf = _stored_leaf(file, authority_pem, tls_name, moment)
    if leaf is None:
        # Under the store's lock, so that all processes of the node show one leaf: sessions bind its digest.
        with home.store.write():
            leaf = _stored_leaf(file, authority_pem, tls_name, moment) or _renew(file, authority_pem, tls_name, moment)
    return leaf, authority_pem, tls_name


def _stored_leaf(file: Path, authority_pem: bytes, tls_name: str, moment: datetime) -> KeyPair | None:
    if not file.is_file():
        return None
    stored = _split(read_private(file))
    return stored if leaf_is_fresh(stored, authority_pem, tls_name, moment) else None


def _renew(file: Path, authority_pem: bytes, tls_name: str, moment: datetime) -> KeyPair:
    key_pem = read_private(file.with_name("authority-key.pem"))
    try:
        leaf = issue_leaf(KeyPair(authority_pem, key_pem), tls_name, moment)
    except CertificateError as error:
        if error.reason == "expired":
            raise AuthenticationError("node.authority-expired") from None
        raise StorageError("node.key-damaged", path=str(file.with_name("authority.pem"))) from None
    # Certificate and key in one file: they are replaced together, or not at all.
    write_private(file, leaf.certificate_pem + leaf.key_pem)
    return leaf


def _split(pem: bytes) -> KeyPair:
    end = b"-----END CERTIFICATE-----\n"
    certificate, mark, key = pem.rpartition(end)
    return KeyPair(certificate + mark, key)


def _company(home: Home) -> bool:
    tls = home.settings.tls
    return bool(tls.certificate or tls.key or tls.authority)


def _company_leaf(home: Home, moment: datetime) -> tuple[KeyPair, bytes, str]:
    leaf, authority = _company_files(home)
    tls_name = _company_name(home, leaf)
    try:
        check_leaf(leaf.certificate_pem, authority, tls_name, moment)
    except CertificateError as error:
        if error.reason in ("expired", "not-yet-valid"):
            raise AuthenticationError(f"node.company-certificate-{error.reason}", file=home.settings.tls.certificate) from None
        raise UsageError(
            "node.company-certificate-issuer", file=home.settings.tls.certificate, authority=home.settings.tls.authority
        ) from None
    return leaf, authority, tls_name


def _company_files(home: Home) -> tuple[KeyPair, bytes]:
    tls = home.settings.tls
    for name in ("certificate", "key", "authority"):
        if not getattr(tls, name):
            raise UsageError("node.setting-missing", name=f"tls.{name}", place=str(home.path / "node.toml"))
    certificate, authority = (_read(home.path / tls.certificate), _read(home.path / tls.authority))
    key = _read_key(home.path / tls.key)
    for file, pem in ((tls.certificate, certificate), (tls.authority, authority)):
        try:
            parse_chain(pem)
        except CertificateError:
            raise UsageError("node.company-file-malformed", file=file) from None
    try:
        public = serialization.load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError):
        raise UsageError("node.company-file-malformed", file=tls.key) from None
    if public != parse_chain(certificate)[0].public_key():
        raise UsageError("node.company-key-other", file=tls.key, certificate=tls.certificate)
    return KeyPair(certificate, key), authority


def _company_name(home: Home, leaf: KeyPair) -> str:
    for name in names_of(parse_chain(leaf.certificate_pem)[0]):
        if ":" not in name and not name.startswith("*") and not name.endswith(".psc"):
            return name
    raise UsageError("node.company-certificate-nameless", file=home.settings.tls.certificate)


def _read(path: Path) -> bytes:
    with storage_errors(path):
        return path.read_bytes()


def _read_key(path: Path) -> bytes:
    # Deployments often hand keys to a service through a group, so a group may read; the whole machine may not.
    with storage_errors(path):
        found = path.stat().st_mode & 0o777
    if found & 0o027:
        raise StorageError("node.permissions-wide", path=str(path), found=f"{found:04o}", wanted="600")
    return _read(path)
