"""The small validated field types that documents and records of a node share."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

from psc.errors import UsageError
from psc.node.clock import parse_timestamp

__all__ = [
    "Digest",
    "IdentityKey",
    "NodeName",
    "Purpose",
    "RunId",
    "Signature",
    "Timestamp",
    "check_name",
    "check_run_id",
]

_NAME = re.compile(r"[^\W_][\w.-]{0,63}")
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{7,63}")


def _timestamp(value: str) -> str:
    parse_timestamp(value)
    return value


def _name(value: str) -> str:
    if _NAME.fullmatch(value) is None or unicodedata.normalize("NFC", value) != value:
        raise ValueError("letters or digits of any script, then also . _ - ; at most 64; no spaces or slashes")
    return value


Timestamp = Annotated[str, AfterValidator(_timestamp)]
"""A moment in UTC to the second, as ``2026-11-21T17:00:00Z``."""

IdentityKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""An Ed25519 public key in lower-case hex."""

Signature = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
"""An Ed25519 signature in lower-case hex."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 value in lower-case hex."""

NodeName = Annotated[str, AfterValidator(_name)]
"""The name of a node, a partner or a dataset; it can stand in ``partner/dataset`` on the command line."""

Purpose = Annotated[str, AfterValidator(_name)]
"""A purpose code such as ``delivery-reconciliation``."""

RunId = Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{7,63}$")]
"""A run id; it becomes a file name, so its alphabet is closed."""


def check_name(name: str, what: str) -> str:
    """Return the name.

    Args:
        name: what the user typed.
        what: what it names, in English, for the error: ``node``, ``dataset``, ``purpose``, ``key``.

    Raises:
        UsageError: it is not a possible name.
    """
    try:
        return _name(name)
    except ValueError:
        raise UsageError("node.name-wrong", name=name, what=what) from None


def check_run_id(run_id: str) -> str:
    """Return the run id.

    Raises:
        UsageError: it holds characters that a run id cannot have.
    """
    if _RUN_ID.fullmatch(run_id) is None:
        raise UsageError("node.run-id-wrong", run_id=run_id)
    return run_id
