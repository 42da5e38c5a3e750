"""The labels that separate one use of a hash from every other, in one place.

=================  ==========================================================  ==================================
use                label                                                       where it stands
=================  ==========================================================  ==================================
hash to group      ``PSC-V1-ristretto255-SHA512-`` context                     tag of ``expand_message_xmd``
OPRF finalize      ``PSC-V1-ristretto255-SHA512-Finalize-`` context            end of the hash, as in RFC 9497
tags of points     ``PSC-V1-ristretto255-SHA512-PointTag-`` context            start of the hash, after its length
sealed rows        ``PSC-V1-ristretto255-SHA512-Row-`` context                 derivation of the streams' key
packed encryption  ``PSC-V1-ristretto255-SHA512-Sums-`` context                start of the hash, after its length
=================  ==========================================================  ==================================
"""

from __future__ import annotations

from psc.errors import UsageError

__all__ = ["CONTEXT_BYTES_MAX", "SUITE", "dst", "label"]

SUITE = "ristretto255-SHA512"
"""The name of the group and hash, as in RFC 9497."""

_PREFIX = b"PSC-V1-" + SUITE.encode() + b"-"
CONTEXT_BYTES_MAX = 200
"""The longest context in bytes: every label stays within the 255 bytes of a domain separation tag."""


def dst(context: bytes) -> bytes:
    """Return the domain separation tag of ``hash_to_group`` for a context.

    Args:
        context: 1 to 200 bytes; for a session its 32-byte label, the same for both parties.

    Raises:
        UsageError: the context is empty or too long.
    """
    if not 1 <= len(context) <= CONTEXT_BYTES_MAX:
        raise UsageError("crypto.context-length", length_bytes=len(context), minimum=1, maximum=CONTEXT_BYTES_MAX)
    return _PREFIX + context


def label(use: str, context: bytes) -> bytes:
    """Return the label of any other use.

    Args:
        use: ``Finalize``, ``PointTag``, ``Row`` or ``Sums``.
        context: as for ``dst``.

    Raises:
        UsageError: the context is empty or too long.
    """
    return dst(context).replace(_PREFIX, _PREFIX + use.encode() + b"-", 1)
