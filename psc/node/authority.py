"""X.509 of a node: its own P-256 authority, the short-lived leaves it issues, and the check of a partner's leaf.

gRPC's TLS takes no Ed25519 certificates, so TLS has keys of its own. A partner pins the authority together with the
identity; leaves then change every few days without anybody's help. All functions here are pure: PEM in, PEM out.

References:
    RFC 5280 (profile and path validation), RFC 9525 (names in certificates).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

__all__ = [
    "AUTHORITY_LIFETIME",
    "CLOCK_TOLERANCE",
    "LEAF_LIFETIME",
    "LEAF_RENEWAL",
    "CertificateError",
    "KeyPair",
    "check_leaf",
    "issue_leaf",
    "leaf_is_fresh",
    "names_of",
    "new_authority",
    "parse_chain",
    "tls_name_of",
]

AUTHORITY_LIFETIME = timedelta(days=3653)
LEAF_LIFETIME = timedelta(days=7)
LEAF_RENEWAL = timedelta(days=2)
"""A leaf with less than this left is replaced."""
CLOCK_TOLERANCE = timedelta(minutes=5)
"""By how much two companies' clocks may differ."""

# The TLS libraries under gRPC allow no tolerance, so a certificate starts in the past for partners whose clock is slow.
_BACKDATING = timedelta(hours=1)
_CHAIN_MAX = 8


class CertificateError(Exception):
    """A certificate does not do.

    Args:
        reason: ``malformed``, ``expired``, ``not-yet-valid``, ``issuer`` or ``name``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM; the repr shows neither."""

    certificate_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return "KeyPair(…)"


def tls_name_of(identity: str) -> str:
    """Return the DNS name in the leaves of a node's own authority: the first 32 hex characters of the identity, ``.psc``."""
    return f"{identity[:32]}.psc"


def new_authority(identity: str, now: datetime) -> KeyPair:
    """Return a self-signed P-256 authority that may issue leaves and no further authorities.

    Args:
        identity: whose authority it is (64 hex characters); its head becomes the subject's name.
        now: the present moment, UTC.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"psc authority {identity[:32]}")])
    certificate = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def issue_leaf(authority: KeyPair, tls_name: str, now: datetime) -> KeyPair:
    """Return a fresh P-256 leaf for both ends of TLS, with one DNS name.

    Raises:
        CertificateError: the authority's files are damaged (``malformed``) or it is past its end (``expired``).
    """
    issuer, issuer_key = _load_authority(authority)
    if now >= issuer.not_valid_after_utc:
        raise CertificateError("expired")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, tls_name)])
    lifetime = min(LEAF_LIFETIME, issuer.not_valid_after_utc - now)
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    certificate = (
        _builder(subject, issuer.subject, key.public_key(), now, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(tls_name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer_id, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def leaf_is_fresh(leaf: KeyPair, authority_pem: bytes, tls_name: str, now: datetime) -> bool:
    """Say whether a stored leaf can go on being used: its own key, our authority, our name, more than two days left."""
    try:
        certificate = parse_chain(leaf.certificate_pem)[0]
        key = serialization.load_pem_private_key(leaf.key_pem, password=None)
        check_leaf(leaf.certificate_pem, authority_pem, tls_name, now)
    except (CertificateError, ValueError, TypeError):
        return False
    same = _spki(key.public_key()) == _spki(certificate.public_key())
    return same and certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - LEAF_RENEWAL


def check_leaf(leaf_pem: bytes, authority_pem: bytes, tls_name: str, now: datetime) -> None:
    """Check that a leaf was issued under the given authority, for the given name, and is in force.

    Args:
        leaf_pem: the leaf, then any intermediate certificates that came with it.
        authority_pem: the only certificates that are trusted for this party.
        tls_name: the DNS name that must be among the leaf's names; a leaf of a node's own authority has no other.
        now: the present moment, UTC; the leaf may be up to ``CLOCK_TOLERANCE`` outside its time.

    Raises:
        CertificateError: with the reason.

    Security:
        Names alone prove nothing: another partner's authority can write any name into a leaf. So the path is built
        against this party's authority alone, never against the union that the TLS library was given.
    """
    chain = parse_chain(leaf_pem)
    leaf = chain[0]
    if now < leaf.not_valid_before_utc - CLOCK_TOLERANCE:
        raise CertificateError("not-yet-valid")
    if now > leaf.not_valid_after_utc + CLOCK_TOLERANCE:
        raise CertificateError("expired")
    moment = min(max(now, leaf.not_valid_before_utc), leaf.not_valid_after_utc)
    names = names_of(leaf)
    if tls_name not in names or (tls_name.endswith(".psc") and len(names) != 1):
        raise CertificateError("name")
    anchors = parse_chain(authority_pem)
    try:
        verifier = PolicyBuilder().store(Store(anchors)).time(moment).build_client_verifier()
        verifier.verify(leaf, chain[1:])
    except (VerificationError, ValueError, x509.UnsupportedGeneralNameType):
        raise CertificateError("issuer") from None


def parse_chain(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates of a PEM text, at most eight.

    Raises:
        CertificateError: ``malformed``.
    """
    try:
        chain = x509.load_pem_x509_certificates(pem)
        if not 1 <= len(chain) <= _CHAIN_MAX:
            raise CertificateError("malformed")
        for certificate in chain:
            _ = certificate.extensions  # parsed lazily: a malformed one must fail here
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion):
        raise CertificateError("malformed") from None
    return chain


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return every subject alternative name as text, DNS names first; other kinds of name carry their kind."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    dns = list(found.get_values_for_type(x509.DNSName))
    return dns + [f"{type(name).__name__}:{name.value}" for name in found if not isinstance(name, x509.DNSName)]


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATING)
        .not_valid_after(now + lifetime)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _load_authority(authority: KeyPair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate = parse_chain(authority.certificate_pem)[0]
    try:
        key = serialization.load_pem_private_key(authority.key_pem, password=None)
    except (ValueError, TypeError):
        raise CertificateError("malformed") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or _spki(key.public_key()) != _spki(certificate.public_key()):
        raise CertificateError("malformed")
    return certificate, key


def _spki(key: object) -> bytes:
    encoded: bytes = key.public_bytes(  # type: ignore[attr-defined]  # every public key type has it
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
