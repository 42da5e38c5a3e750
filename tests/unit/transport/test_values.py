"""Addresses, limits and material: what is refused before anything connects."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from psc.errors import UsageError
from psc.session.limits import _BOUNDS, Limits
from psc.transport.address import Address
from psc.transport.grpc import Link, TlsMaterial
from tests.net import Party


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("courier.example.com:50051", "courier.example.com", 50051, False),
        ("127.0.0.1:0", "127.0.0.1", 0, True),
        ("127.8.9.10:1", "127.8.9.10", 1, True),
        ("[::1]:65535", "::1", 65535, True),
        (" localhost:9 ", "localhost", 9, True),
        ("localhost.example.com:9", "localhost.example.com", 9, False),
        ("0.0.0.0:9", "0.0.0.0", 9, False),  # noqa: S104
    ],
)
def test_addresses(text, host, port, loopback):
    address = Address.parse(text)
    assert (address.host, address.port, address.loopback) == (host, port, loopback)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", "host", ":1", "host:", "host:65536", "host:-1", "host:１", "::1:50051", "http://host:1", "a b:1", "host:1:2"]
)
def test_what_is_no_address(text):
    with pytest.raises(UsageError) as caught:
        Address.parse(text)
    assert caught.value.code == "transport.bad-address"


def test_limits_have_bounds_each_and_fit_gateways_by_default():
    assert set(_BOUNDS) == {field.name for field in fields(Limits)}
    limits = Limits()
    assert limits.call_deadline_seconds <= 50
    assert limits.frame_bytes <= 512 * 1024
    assert limits.message_bytes <= 1024 * 1024
    assert limits.poll_seconds < limits.peer_silence_seconds


@pytest.mark.parametrize(
    "change",
    [
        {"call_deadline_seconds": 51},
        {"frame_bytes": 512 * 1024 + 1},
        {"message_bytes": 2**21},
        {"window_frames": 0},
        {"poll_seconds": 20, "peer_silence_seconds": 20},
        {"poll_seconds": 5, "call_deadline_seconds": 5},
        {"frame_bytes": 1024, "message_bytes": 512},
        {"sessions": True},
        {"sessions": "4"},
        {"reconnect_seconds": float("nan")},
    ],
)
def test_limits_out_of_range(change):
    with pytest.raises(UsageError) as caught:
        replace(Limits(), **change)
    assert caught.value.code == "transport.limit-out-of-range"


def test_material_never_shows_its_key():
    tls = Party("a").towards(Party("b"))
    assert isinstance(tls, TlsMaterial)
    assert "PRIVATE" not in repr(tls)
    assert tls.key_pem.decode() not in repr(tls)


@pytest.mark.parametrize("address", ["203.0.113.5:50051", "localhost.example.com:1", "0.0.0.0:1"])
def test_plain_text_is_for_loopback_alone(address):
    with pytest.raises(UsageError) as caught:
        Link(address, None, insecure_loopback=True)
    assert caught.value.code == "transport.plain-text-not-allowed"


def test_plain_text_must_be_asked_for():
    with pytest.raises(UsageError):
        Link("127.0.0.1:1", None)
    with pytest.raises(UsageError):
        Link("127.0.0.1:1", Party("a").towards(Party("b")), insecure_loopback=True)
