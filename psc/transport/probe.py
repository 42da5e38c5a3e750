"""Why a connection cannot be made, in words that help: a short look at the port with the standard library's TLS.

gRPC says ``UNAVAILABLE`` for all of it. After it said so once, this module connects by itself, tells the cases apart and
hangs up: nothing is sent but a handshake.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtensionOID, NameOID

from psc.errors import AuthenticationError, ConnectError, PscError
from psc.transport.address import Address
from psc.transport.tls import TlsMaterial

__all__ = ["check_own_certificate", "diagnose"]

_X509_NOT_YET_VALID, _X509_EXPIRED, _X509_WRONG_NAME = 9, 10, 62
_NAME_SUFFIX = ".psc"
"""Every node's certificate carries a name that ends so; what carries another is no node but something in between."""

_REFUSED_BY_PEER = {
    "UNKNOWN_CA": "unknown-authority",
    "CERTIFICATE_UNKNOWN": "unknown-certificate",
    "BAD_CERTIFICATE": "bad-certificate",
    "CERTIFICATE_EXPIRED": "expired",
    "CERTIFICATE_REQUIRED": "none-shown",
    "ACCESS_DENIED": "access-denied",
    "UNSUPPORTED_CERTIFICATE": "unsupported",
}


def check_own_certificate(tls: TlsMaterial, now: datetime | None = None) -> None:
    """Refuse to begin with a certificate that the partner must refuse.

    Raises:
        AuthenticationError: the own certificate is not valid at this time, or its key is another's.
    """
    leaf = x509.load_pem_x509_certificates(tls.certificate_pem)[0]
    key = serialization.load_pem_private_key(tls.key_pem, None)
    if key.public_key() != leaf.public_key():
        raise AuthenticationError("transport.own-key-mismatch")
    moment = now or datetime.now(UTC)
    if moment >= leaf.not_valid_after_utc:
        raise AuthenticationError("transport.own-certificate-expired", at=_stamp(leaf.not_valid_after_utc))
    if moment < leaf.not_valid_before_utc:
        raise AuthenticationError("transport.own-certificate-not-yet-valid", at=_stamp(leaf.not_valid_before_utc))


def diagnose(address: Address, tls: TlsMaterial | None, *, timeout_seconds: float = 3.0) -> PscError | None:
    """Return the error that explains why no connection can be made, or ``None`` when the port looks well.

    Args:
        address: host and port of the listener.
        tls: the dialler's material; ``None`` looks only for an open port.
        timeout_seconds: bound of each step.
    """
    where = str(address)
    try:
        with _connect(address, timeout_seconds) as plain:
            if tls is None:
                return None
            return _look(plain, address, tls, timeout_seconds)
    except socket.gaierror:
        return ConnectError("transport.name-unknown", host=address.host)
    except ConnectionRefusedError:
        return ConnectError("transport.port-closed", address=where)
    except TimeoutError:
        return ConnectError("transport.no-answer", address=where, seconds=timeout_seconds)
    except _ProxyRefused as error:
        return ConnectError("transport.proxy-refused", address=where, proxy=error.proxy, status=error.status)
    except OSError as error:
        return ConnectError("transport.unreachable", address=where, reason=error.strerror or type(error).__name__)


class _ProxyRefused(Exception):  # noqa: N818 - local signal
    def __init__(self, proxy: str, status: str) -> None:
        super().__init__(status)
        self.proxy, self.status = proxy, status


class _Socket(ssl.SSLSocket):
    """Closes itself: CPython forgets a socket that the other side resets in the moment in which it is wrapped."""

    def __del__(self) -> None:
        self.close()


def _connect(address: Address, timeout: float) -> socket.socket:
    proxy = None if address.loopback else _proxy_for(address)
    if proxy is None:
        return socket.create_connection((address.host, address.port), timeout)
    plain = socket.create_connection((proxy.host, proxy.port), timeout)
    try:
        plain.sendall(f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head and len(head) < 8192:
            piece = plain.recv(512)
            if not piece:
                break
            head += piece
        status = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")[2][:40]
    except BaseException:
        plain.close()
        raise
    if not status.startswith("200"):
        plain.close()
        raise _ProxyRefused(str(proxy), status or "-")
    return plain


def _proxy_for(address: Address) -> Address | None:
    """Return the HTTPS proxy that gRPC would use, by the same variables."""
    if proxy_bypass(address.host):
        return None
    # The name is the one that gRPC reads.
    url = os.environ.get("grpc_proxy") or getproxies().get("https") or getproxies().get("http")  # noqa: SIM112
    if not url:
        return None
    parts = urlsplit(url if "//" in url else f"//{url}")
    return Address(parts.hostname, parts.port or 80) if parts.hostname else None


def _look(plain: socket.socket, address: Address, tls: TlsMaterial, timeout: float) -> PscError | None:
    """Handshake as the dialler would, with verification; explain what fails."""
    where = str(address)
    context = _context(tls, verify=True)
    try:
        with context.wrap_socket(plain, server_hostname=tls.server_name) as secured:
            return _after_handshake(secured, where)
    except ssl.SSLCertVerificationError as error:
        return _explain_certificate(error.verify_code, address, tls, timeout)
    except ssl.SSLError as error:
        reason = error.reason or ""
        if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
            return ConnectError("transport.plain-text-port", address=where)
        if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
            return AuthenticationError("transport.tls-too-old", address=where)
        return _own_refused(reason, where) or ConnectError("transport.tls-failed", address=where, reason=reason or "closed")
    except ConnectionError:
        return ConnectError("transport.tls-failed", address=where, reason="closed")


def _after_handshake(secured: ssl.SSLSocket, where: str) -> PscError | None:
    """With TLS 1.3 the listener judges our certificate after our side of the handshake is done: wait for its word."""
    try:
        first = secured.recv(1)
    except ssl.SSLError as error:
        return _own_refused(error.reason or "", where)
    except (ConnectionError, TimeoutError):
        return None
    if not first:
        return AuthenticationError("transport.own-certificate-refused", address=where, reason="closed")
    if secured.selected_alpn_protocol() != "h2":
        return ConnectError("transport.not-a-node")
    return None


def _own_refused(reason: str, where: str) -> PscError | None:
    for word, meaning in _REFUSED_BY_PEER.items():
        if word in reason:
            return AuthenticationError("transport.own-certificate-refused", address=where, reason=meaning)
    return None


def _explain_certificate(code: int, address: Address, tls: TlsMaterial, timeout: float) -> PscError:
    """Fetch the certificate that was presented and say what is wrong with it."""
    where = str(address)
    leaf = _presented(address, tls, timeout)
    names = ", ".join(_names(leaf)) or "-" if leaf is not None else "-"
    since = _stamp(leaf.not_valid_before_utc) if leaf is not None else "-"
    until = _stamp(leaf.not_valid_after_utc) if leaf is not None else "-"
    if code == _X509_EXPIRED:
        return AuthenticationError("transport.certificate-expired", address=where, at=until)
    if code == _X509_NOT_YET_VALID:
        return AuthenticationError("transport.certificate-not-yet-valid", address=where, at=since)
    if code == _X509_WRONG_NAME:
        return AuthenticationError("transport.certificate-wrong-name", address=where, names=names, expected=tls.server_name)
    if leaf is not None and not any(name.endswith(_NAME_SUFFIX) or name == tls.server_name for name in _names(leaf)):
        return AuthenticationError("transport.gateway-ends-tls", address=where, issuer=_issuer(leaf), names=names)
    return AuthenticationError("transport.certificate-not-pinned", address=where, names=names, expected=tls.server_name)


def _presented(address: Address, tls: TlsMaterial, timeout: float) -> x509.Certificate | None:
    try:
        with _connect(address, timeout) as plain, _context(tls, verify=False).wrap_socket(plain) as secured:
            shown = secured.getpeercert(binary_form=True)
            return x509.load_der_x509_certificate(shown) if shown else None
    except (OSError, ValueError, _ProxyRefused):
        return None


def _context(tls: TlsMaterial, *, verify: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _Socket
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    if verify:
        context.load_verify_locations(cadata=tls.roots_pem.decode("ascii"))
        # A pinned authority is believed as it stands, even when it is itself issued by another.
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        with _as_file(tls.certificate_pem + b"\n" + tls.key_pem) as path:
            context.load_cert_chain(path)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Give bytes a path, for a library that takes nothing else; in memory where the system can, so no key reaches a disk."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("psc", os.MFD_CLOEXEC)
        try:
            os.write(handle, content)
            yield f"/proc/self/fd/{handle}"
        finally:
            os.close(handle)
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name


def _names(leaf: x509.Certificate) -> list[str]:
    """Return the DNS names and addresses of a certificate, or its common name; printable and short, for they are shown."""
    try:
        value = leaf.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
        found = [str(name.value) for name in value] if isinstance(value, x509.SubjectAlternativeName) else []
    except (x509.ExtensionNotFound, ValueError):
        found = [str(name.value) for name in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return [_printable(name) for name in found[:4]]


def _issuer(leaf: x509.Certificate) -> str:
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for name in leaf.issuer.get_attributes_for_oid(oid):
            return _printable(str(name.value))
    return "-"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:80]


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
