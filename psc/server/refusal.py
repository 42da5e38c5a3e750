"""Refusals that the server makes by itself, before any handler is asked."""

from __future__ import annotations

from psc.errors import AbortCode, TransportError

__all__ = ["CrowdedError", "NotNowError"]


class NotNowError(TransportError):
    """The server does not carry out what was asked at this time.

    Args:
        abort_code: ``BUSY``, ``STOPPING``, ``CANCELLED`` or ``PEER_SILENT`` (the partner asked does not wait here).
    """

    def __init__(self, abort_code: AbortCode) -> None:
        super().__init__("transport.not-now", abort_code=str(abort_code))
        self.abort_code = abort_code


class CrowdedError(Exception):
    """A caller has more calls open than one may; the call may be made again. Never leaves the server."""
