"""The version of a dataset: a name for its content that tells nothing about it without the node's salt."""

from __future__ import annotations

import hashlib
import hmac

__all__ = ["dataset_version"]


def dataset_version(fingerprint: bytes, rules: str, salt: bytes) -> str:
    """Return the version of a dataset.

    Args:
        fingerprint: ``Source.fingerprint()`` of its table.
        rules: ``RULES_ID`` and whatever else decides what its cells become, such as the metadata hash.
        salt: the dataset's own random salt, at least 16 bytes; it never leaves the node.

    Returns:
        64 hex digits; equal for equal content, rules and salt.

    Raises:
        ValueError: the salt is too short.

    Security:
        A hash of a list of phone numbers can be tried against guesses of the list; with the salt as HMAC key it cannot, so
        the version may be shown to partners and stand in receipts.
    """
    if len(salt) < 16:
        raise ValueError("the salt of a dataset has at least 16 bytes")
    name = rules.encode()
    return hmac.new(salt, len(name).to_bytes(4, "big") + name + fingerprint, hashlib.sha256).hexdigest()
