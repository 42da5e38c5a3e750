"""The other end's abort as an error here: one text for each closed code."""

from __future__ import annotations

from psc.errors import AbortCode, PeerAbortedError

__all__ = ["peer_aborted"]


def peer_aborted(code: AbortCode) -> PeerAbortedError:
    """Return the error that tells a person what the partner's abort code means."""
    return PeerAbortedError(f"transport.aborted-{code}", abort_code=code)
