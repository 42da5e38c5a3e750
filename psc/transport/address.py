"""Addresses as people write them: ``host:port``, ``[v6]:port``."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from psc.errors import UsageError

__all__ = ["Address"]


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port.

    Args:
        host: name or IP address, without brackets.
        port: 0 to 65535; 0 lets the system choose, for listening.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``host:port`` or ``[v6]:port``.

        Raises:
            UsageError: it is neither.
        """
        host, colon, port = text.strip().rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            host = ""
        if not (host and colon and port.isascii() and port.isdigit() and int(port) <= 65535) or "/" in host or " " in host:
            raise UsageError("transport.bad-address", address=text)
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Return whether the host is this machine's loopback, by its form alone: no name but ``localhost`` is believed."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
