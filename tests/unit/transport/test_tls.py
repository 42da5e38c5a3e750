"""TLS 1.3 alone, proved from outside with another TLS library; and who is refused why."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from psc.errors import AuthenticationError, ConnectError, PscError
from psc.transport.address import Address
from psc.transport.grpc import Link
from psc.transport.grpc.environment import _TLS13_SUITES, _grease, client_hello_suites
from psc.transport.probe import diagnose
from psc.transport.tls import TlsMaterial
from tests.net import QUICK, Net, Party, Script, serving


def context_of(kind: int, tls: TlsMaterial, version: ssl.TLSVersion, folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(kind)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    path = folder / "both.pem"
    path.write_bytes(tls.certificate_pem + tls.key_pem)
    context.load_cert_chain(path)
    context.set_alpn_protocols(["h2"])
    return context


@contextlib.contextmanager
def tls_listener(context: ssl.SSLContext, greeting: bytes = b"") -> Iterator[tuple[int, list[object]]]:
    """A listener that handshakes and hangs up; collects versions or errors."""
    seen: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    plain.settimeout(2.0)
                    try:
                        with context.wrap_socket(plain, server_side=True) as secured:
                            seen.append(secured.version())
                            if greeting:
                                secured.sendall(greeting)
                                secured.recv(1)
                    except (ssl.SSLError, OSError) as error:
                        seen.append(error)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], seen
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5.0)


@pytest.fixture(params=["ecdsa", "rsa"])
def parties(request) -> dict[str, Party]:
    return {name: Party(name, use_rsa=request.param == "rsa") for name in ("courier", "merchant", "other")}


def test_our_listener_refuses_tls_12_and_takes_13(parties, tmp_path):
    with serving(Script(), parties=parties) as net:
        tls = parties["merchant"].towards(parties["courier"])
        outcome = {}
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = context_of(ssl.PROTOCOL_TLS_CLIENT, tls, version, tmp_path)
            try:
                with (
                    socket.create_connection(("127.0.0.1", net.port), 5) as plain,
                    context.wrap_socket(plain, server_hostname=tls.server_name) as secured,
                ):
                    outcome[version] = (secured.version(), len(secured.recv(9)) > 0)
            except (ssl.SSLError, ConnectionError) as error:
                outcome[version] = type(error)
        assert outcome[ssl.TLSVersion.TLSv1_3] == ("TLSv1.3", True)
        assert isinstance(outcome[ssl.TLSVersion.TLSv1_2], type)


def test_our_dialler_refuses_a_tls_12_listener(parties, tmp_path):
    """The listener is the pinned one in all but the version of TLS."""
    courier, merchant = parties["courier"], parties["merchant"]
    context = context_of(ssl.PROTOCOL_TLS_SERVER, courier.listening(merchant), ssl.TLSVersion.TLSv1_2, tmp_path)
    with tls_listener(context) as (port, seen):
        error = failure(Link(f"127.0.0.1:{port}", merchant.towards(courier), QUICK))
    assert isinstance(error, AuthenticationError)
    assert error.code == "transport.tls-too-old"
    assert "TLSv1.2" not in seen


def test_what_grpc_offers_in_this_process_is_tls_13():
    offered = client_hello_suites()
    assert set(offered) & _TLS13_SUITES
    assert {suite for suite in offered if not _grease(suite)} <= _TLS13_SUITES | {0x00FF}


@pytest.mark.parametrize(
    ("before", "suites", "expected"),
    [
        ("", None, "fine"),
        ("import grpc", None, "transport.grpc-imported-first"),
        ("import psc.transport.tls13, grpc", None, "fine"),
        ("import grpc", "ECDHE-PSK-CHACHA20-POLY1305", "fine"),
        ("import grpc", "ECDHE-ECDSA-AES128-GCM-SHA256", "transport.grpc-imported-first"),
    ],
    ids=["psc first", "grpc first", "the setting first", "grpc first with our setting", "grpc first with another setting"],
)
def test_order_of_imports_is_checked_by_proof(before, suites, expected):
    program = textwrap.dedent(
        f"""
        {before or "pass"}
        from psc.errors import UsageError
        from psc.transport.grpc import require_tls13
        try:
            require_tls13()
            require_tls13()
            print("fine")
        except UsageError as error:
            print(error.code)
        """
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    if suites:
        environment["GRPC_SSL_CIPHER_SUITES"] = suites
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == expected


# -- who is refused why -------------------------------------------------------------------------------------------------------


def failure(link: Link) -> PscError:
    with link, pytest.raises(PscError) as caught:
        link.status()
    return caught.value


def material(own: Party, roots: Party, name: str, **when: timedelta) -> TlsMaterial:
    issued = own.authority.issue(own.server_name, **when)
    return TlsMaterial(issued.certificate_pem, issued.key_pem, roots.authority.pem, name)


def test_port_closed():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    error = failure(Link(f"127.0.0.1:{port}", Party("a").towards(Party("b")), QUICK))
    assert isinstance(error, ConnectError)
    assert error.code == "transport.port-closed"
    assert str(port) in str(error)


def test_unknown_host_name():
    error = diagnose(Address("no-such-host.invalid", 50051), Party("a").towards(Party("b")), timeout_seconds=2.0)
    assert error is not None
    assert error.code in ("transport.name-unknown", "transport.unreachable")


def test_listener_that_never_answers_the_handshake():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = diagnose(Address("127.0.0.1", silent.getsockname()[1]), Party("a").towards(Party("b")), timeout_seconds=0.3)
    assert error is not None
    assert error.code == "transport.no-answer"


def test_listener_that_is_not_the_pinned_partner():
    with serving(Script()) as net:
        other, merchant = net.parties["other"], net.parties["merchant"]
        error = failure(Link(f"127.0.0.1:{net.port}", merchant.towards(other), QUICK))
    assert isinstance(error, AuthenticationError)
    assert error.code == "transport.certificate-not-pinned"
    assert other.server_name in str(error)


def test_listener_of_the_right_authority_with_another_name():
    with serving(Script()) as net:
        wrong = material(net.parties["merchant"], net.parties["courier"], "somebody-else.psc")
        error = failure(Link(f"127.0.0.1:{net.port}", wrong, QUICK))
    assert error.code == "transport.certificate-wrong-name"


@pytest.mark.parametrize(
    ("when", "code"),
    [
        ({"begins": timedelta(days=-9), "ends": timedelta(days=-2)}, "transport.certificate-expired"),
        ({"begins": timedelta(days=2)}, "transport.certificate-not-yet-valid"),
    ],
)
def test_listener_whose_certificate_is_out_of_date(when, code, tmp_path):
    courier, merchant = Party("courier"), Party("merchant")
    stale = courier.listening(merchant, **when)
    context = context_of(ssl.PROTOCOL_TLS_SERVER, stale, ssl.TLSVersion.TLSv1_3, tmp_path)
    with tls_listener(context) as (port, _):
        error = failure(Link(f"127.0.0.1:{port}", merchant.towards(courier), QUICK))
    assert isinstance(error, AuthenticationError)
    assert error.code == code


def test_own_certificate_out_of_date_is_noticed_before_dialling():
    courier, merchant = Party("courier"), Party("merchant")
    for when, code in (
        ({"begins": timedelta(days=-9), "ends": timedelta(days=-2)}, "transport.own-certificate-expired"),
        ({"begins": timedelta(days=2)}, "transport.own-certificate-not-yet-valid"),
    ):
        with pytest.raises(AuthenticationError) as caught:
            Link("127.0.0.1:1", merchant.towards(courier, **when), QUICK)
        assert caught.value.code == code


def test_own_key_of_another_certificate_is_noticed_before_dialling():
    one, two = Party("a").towards(Party("b")), Party("a").towards(Party("b"))
    with pytest.raises(AuthenticationError) as caught:
        Link("127.0.0.1:1", TlsMaterial(one.certificate_pem, two.key_pem, one.roots_pem, one.server_name), QUICK)
    assert caught.value.code == "transport.own-key-mismatch"


def test_listener_that_does_not_pin_us():
    with serving(Script()) as net:
        error = failure(Link(f"127.0.0.1:{net.port}", Party("stranger").towards(net.parties["courier"]), QUICK))
    assert isinstance(error, AuthenticationError)
    assert error.code == "transport.own-certificate-refused"


def test_certificate_that_tls_takes_but_nobody_pinned():
    """As with a company authority that several partners share: TLS is content, the pinning is not."""
    net = Net(Script())
    net.identify = lambda leaf: None
    net.server = net._make(0)
    net.port = net.server.start()
    try:
        error = failure(net.link())
    finally:
        net.server.stop(0)
    assert isinstance(error, AuthenticationError)
    assert error.code == "transport.not-trusted-there"
    assert "call.refused" in net.event_names()


def test_gateway_that_ends_tls_is_named(tmp_path):
    gateway = Party("gateway")
    shown = gateway.authority.issue("psc.courier.example.com")
    context = context_of(ssl.PROTOCOL_TLS_SERVER, shown, ssl.TLSVersion.TLSv1_3, tmp_path)
    with tls_listener(context) as (port, _):
        error = failure(Link(f"127.0.0.1:{port}", Party("merchant").towards(Party("courier")), QUICK))
    assert isinstance(error, AuthenticationError)
    assert error.code == "transport.gateway-ends-tls"
    assert "gateway authority" in str(error)
    assert "psc.courier.example.com" in str(error)


def test_plain_text_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    with plain:
                        plain.recv(4096)
                        plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        error = failure(Link(f"127.0.0.1:{listener.getsockname()[1]}", Party("a").towards(Party("b")), QUICK))
        listener.shutdown(socket.SHUT_RDWR)
    assert isinstance(error, ConnectError)
    assert error.code == "transport.plain-text-port"


def test_tls_port_that_is_no_node(tmp_path):
    courier, merchant = Party("courier"), Party("merchant")
    context = context_of(ssl.PROTOCOL_TLS_SERVER, courier.listening(merchant), ssl.TLSVersion.TLSv1_3, tmp_path)
    context.set_alpn_protocols(["http/1.1"])
    with tls_listener(context, b"220 mail ready\r\n") as (port, _):
        error = failure(Link(f"127.0.0.1:{port}", merchant.towards(courier), QUICK))
    assert error.code == "transport.not-a-node"


def test_proxy_that_refuses_is_named(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def serve() -> None:
            with contextlib.suppress(OSError):
                plain, _ = proxy.accept()
                with plain:
                    plain.recv(4096)
                    plain.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("grpc_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        error = diagnose(Address("courier.example.com", 50051), Party("a").towards(Party("b")), timeout_seconds=2.0)
    assert error is not None
    assert error.code == "transport.proxy-refused"
    assert "403" in str(error)
