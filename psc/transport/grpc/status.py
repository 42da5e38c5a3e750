"""gRPC status and our errors: one table each way, tested to be total.

A refusal of ours carries a ``Refusal`` in the trailing metadata and a status that fits it, for gateways and their logs. A status
without one was made by gRPC itself, a gateway or something that is no node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from psc._proto.psc.v1 import peer_pb2
from psc.errors import (
    AbortCode,
    AuthenticationError,
    ChannelClosedError,
    ConnectError,
    LimitExceededError,
    PolicyDeniedError,
    PscError,
    RemoteProtocolError,
    ReplayedError,
    Rule,
)
from psc.transport.aborts import peer_aborted
from psc.transport.patience import Interrupted

__all__ = [
    "REFUSAL_KEY",
    "STATUS_OF",
    "WITHOUT_REFUSAL",
    "abort_code_of",
    "error_of_call",
    "error_of_refusal",
    "number_of",
    "refusal_of",
    "status_of",
]

REFUSAL_KEY = "psc-refusal-bin"

_Code = grpc.StatusCode

STATUS_OF: dict[AbortCode, Any] = {
    AbortCode.UNEXPECTED_MESSAGE: _Code.FAILED_PRECONDITION,
    AbortCode.MALFORMED_MESSAGE: _Code.INVALID_ARGUMENT,
    AbortCode.INVALID_ELEMENT: _Code.INVALID_ARGUMENT,
    AbortCode.PARAMETER_MISMATCH: _Code.FAILED_PRECONDITION,
    AbortCode.LIMIT_EXCEEDED: _Code.OUT_OF_RANGE,
    AbortCode.REPLAYED: _Code.ALREADY_EXISTS,
    AbortCode.POLICY_DENIED: _Code.PERMISSION_DENIED,
    AbortCode.NOT_AUTHENTICATED: _Code.UNAUTHENTICATED,
    AbortCode.DATA_NOT_READY: _Code.FAILED_PRECONDITION,
    AbortCode.BUSY: _Code.RESOURCE_EXHAUSTED,
    AbortCode.CANCELLED: _Code.ABORTED,
    AbortCode.PEER_SILENT: _Code.NOT_FOUND,
    AbortCode.STOPPING: _Code.UNAVAILABLE,
    AbortCode.NO_SPACE: _Code.INTERNAL,
    AbortCode.INTERNAL: _Code.INTERNAL,
}


def _again(status: str, _: str) -> Exception:
    return Interrupted(status)


def _odd(status: str, _: str) -> Exception:
    return RemoteProtocolError("transport.odd-status", status=status)


def _gateway(status: str, _: str) -> Exception:
    return ConnectError("transport.gateway-refused", status=status)


def _no_node(_: str, __: str) -> Exception:
    return ConnectError("transport.not-a-node")


def _exhausted(status: str, details: str) -> Exception:
    # gRPC's own words are the only sign that its receive limit, and not its call limit, was hit.
    if "larger than max" in details:
        return LimitExceededError("transport.message-too-large")
    return Interrupted(status)


WITHOUT_REFUSAL: dict[Any, Callable[[str, str], Exception]] = {
    _Code.OK: _odd,
    _Code.CANCELLED: _again,
    _Code.UNKNOWN: _again,
    _Code.INVALID_ARGUMENT: _odd,
    _Code.DEADLINE_EXCEEDED: _again,
    _Code.NOT_FOUND: _odd,
    _Code.ALREADY_EXISTS: _odd,
    _Code.PERMISSION_DENIED: _gateway,
    _Code.UNAUTHENTICATED: _gateway,
    _Code.RESOURCE_EXHAUSTED: _exhausted,
    _Code.FAILED_PRECONDITION: _odd,
    _Code.ABORTED: _odd,
    _Code.OUT_OF_RANGE: _odd,
    _Code.UNIMPLEMENTED: _no_node,
    _Code.INTERNAL: _again,
    _Code.UNAVAILABLE: _again,
    _Code.DATA_LOSS: _odd,
}


def number_of(code: AbortCode) -> peer_pb2.AbortCode.ValueType:
    """Return an abort code's number on the wire."""
    return peer_pb2.AbortCode.Value(f"ABORT_CODE_{code.name}")


def abort_code_of(number: int) -> AbortCode:
    """Return the abort code of a number; one that this version does not know is ``INTERNAL``."""
    try:
        return AbortCode[peer_pb2.AbortCode.Name(number).removeprefix("ABORT_CODE_")]  # type: ignore[arg-type]
    except (KeyError, ValueError):
        return AbortCode.INTERNAL


def refusal_of(error: PscError) -> peer_pb2.Refusal:
    """Return all that crosses the wire about an error."""
    rule = str(error.rule) if isinstance(error, PolicyDeniedError) else ""
    return peer_pb2.Refusal(code=number_of(error.abort_code), rule=rule)


def status_of(error: PscError) -> Any:
    """Return the gRPC status that fits an error."""
    return STATUS_OF[error.abort_code]


def error_of_refusal(refusal: peer_pb2.Refusal) -> PscError:
    """Return the error that the other end's refusal is here."""
    code = abort_code_of(refusal.code)
    if code is AbortCode.POLICY_DENIED and refusal.rule in set(Rule):
        return PolicyDeniedError("transport.policy-denied", rule=refusal.rule)
    if code is AbortCode.REPLAYED:
        return ReplayedError("transport.replayed-there")
    if code is AbortCode.NOT_AUTHENTICATED:
        return AuthenticationError("transport.not-trusted-there")
    if code is AbortCode.PEER_SILENT:
        return ChannelClosedError("transport.session-unknown")
    return peer_aborted(code)


def error_of_call(status: Any, details: str | None, trailing: Iterable[tuple[str, str | bytes]] | None) -> Exception:
    """Return what a failed call is: a final ``PscError``, or ``Interrupted`` when making it again may help.

    Args:
        status: the gRPC status.
        details: its text; never shown.
        trailing: the trailing metadata.
    """
    for key, value in trailing or ():
        if key == REFUSAL_KEY and isinstance(value, bytes):
            try:
                return error_of_refusal(peer_pb2.Refusal.FromString(value))
            except DecodeError:
                return RemoteProtocolError("transport.odd-status", status="refusal")
    if status not in WITHOUT_REFUSAL:
        return RemoteProtocolError("transport.odd-status", status="-")
    return WITHOUT_REFUSAL[status](status.name, details or "")
