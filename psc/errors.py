"""Every exception that psc raises, as one tree.

::

    PscError                            .code is stable, the text is for people (English or Chinese)
    ├── UsageError (also ValueError)    the caller passed something wrong
    │   └── DataError                   a cell, a row, a column, a file
    ├── ProtocolError
    │   ├── LocalProtocolError          our own script or driver broke the rules: a bug here
    │   └── RemoteProtocolError         the peer did
    │       ├── UnexpectedMessageError, MalformedMessageError, InvalidElementError, ParameterMismatchError,
    │       ├── LimitExceededError, ReplayedError
    │       └── PeerAbortedError        .abort_code: the closed code that the peer sent
    ├── TransportError
    │   └── ConnectError, AuthenticationError, ChannelClosedError, DeadlineError
    ├── PolicyError
    │   ├── PolicyDeniedError           .rule: the closed id of the rule that refused
    │   │   └── BudgetExhaustedError    a quota; the text says when it is renewed
    │   └── AgreementError
    ├── CancelledError                  the user, or the peer's user, stopped the run
    ├── StorageError                    the own disk: full, not writable, a store that does not open
    ├── AuditError                      could not append or verify: fail closed
    └── CryptoError
        └── EncodingError, DecryptionError, RandomnessError

An error is raised with a *code* of ``psc.texts`` and the fields that its text needs; fields never hold a key, a secret or
a full phone number. ``exit_code`` is what the command line returns (the table is in ``docs/guides/exit-codes.md``).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from psc.texts import render

__all__ = [
    "AbortCode",
    "AgreementError",
    "AuditError",
    "AuthenticationError",
    "BudgetExhaustedError",
    "CancelledError",
    "ChannelClosedError",
    "ConnectError",
    "CryptoError",
    "DataError",
    "DeadlineError",
    "DecryptionError",
    "EncodingError",
    "ExitCode",
    "InvalidElementError",
    "LimitExceededError",
    "LocalProtocolError",
    "MalformedMessageError",
    "ParameterMismatchError",
    "PeerAbortedError",
    "PolicyDeniedError",
    "PolicyError",
    "ProtocolError",
    "PscError",
    "RandomnessError",
    "RemoteProtocolError",
    "ReplayedError",
    "Rule",
    "StorageError",
    "TransportError",
    "UnexpectedMessageError",
    "UsageError",
]


class ExitCode(IntEnum):
    """What a process returns; people script against it."""

    OK = 0
    BUG = 1
    USAGE = 2
    DATA = 3
    POLICY = 4
    TRANSPORT = 5
    AUTHENTICATION = 6
    PROTOCOL = 7
    NOT_READY = 8
    STORAGE = 9
    AUDIT = 10
    CANCELLED = 130


class AbortCode(StrEnum):
    """Why a party ended a session: all that crosses the wire about an error, beside the run id."""

    UNEXPECTED_MESSAGE = "unexpected-message"
    MALFORMED_MESSAGE = "malformed-message"
    INVALID_ELEMENT = "invalid-element"
    PARAMETER_MISMATCH = "parameter-mismatch"
    LIMIT_EXCEEDED = "limit-exceeded"
    REPLAYED = "replayed"
    POLICY_DENIED = "policy-denied"
    NOT_AUTHENTICATED = "not-authenticated"
    DATA_NOT_READY = "data-not-ready"
    BUSY = "busy"
    CANCELLED = "cancelled"
    PEER_SILENT = "peer-silent"
    STOPPING = "stopping"
    INTERNAL = "internal"
    NO_SPACE = "no-space"


class Rule(StrEnum):
    """The closed list of rules that can refuse a run; the id crosses the wire, the explanation is local."""

    PARTNER_UNKNOWN = "partner-unknown"
    NO_AGREEMENT = "no-agreement"
    AGREEMENT_NOT_SIGNED = "agreement-not-signed"
    AGREEMENT_NOT_YET_VALID = "agreement-not-yet-valid"
    AGREEMENT_EXPIRED = "agreement-expired"
    AGREEMENT_REVOKED = "agreement-revoked"
    AGREEMENT_CHANGED = "agreement-changed"
    PURPOSE_NOT_ALLOWED = "purpose-not-allowed"
    DATASET_NOT_GRANTED = "dataset-not-granted"
    DATASET_CHANGED = "dataset-changed"
    OPERATION_NOT_ALLOWED = "operation-not-allowed"
    KEY_NOT_GRANTED = "key-not-granted"
    COLUMN_NOT_RELEASED = "column-not-released"
    VALUE_NOT_GRANTED = "value-not-granted"
    GROUP_NOT_GRANTED = "group-not-granted"
    MEMBERSHIP_NOT_ALLOWED = "membership-not-allowed"
    ENGINE_NOT_ALLOWED = "engine-not-allowed"
    OUTPUT_NOT_ALLOWED = "output-not-allowed"
    MODEL_TOO_WEAK = "model-too-weak"
    INPUT_TOO_SMALL = "input-too-small"
    INPUT_TOO_LARGE = "input-too-large"
    RESULT_TOO_SMALL = "result-too-small"
    RUNS_PER_DAY = "runs-per-day"
    ELEMENTS_PER_DAY = "elements-per-day"


class PscError(Exception):
    """Root of every exception that psc raises.

    Args:
        code: a code of ``psc.texts``; stable, in English.
        **fields: what the text needs; never a secret or a full phone number.
    """

    exit_code = ExitCode.BUG
    abort_code = AbortCode.INTERNAL

    def __init__(self, code: str, **fields: object) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields

    def of_run(self, run_id: str) -> None:
        """Note the run that the error ended; both sides print its id."""
        self.fields.setdefault("run_id", run_id)

    def __str__(self) -> str:
        try:
            return render(self.code, self.fields)
        except Exception:  # noqa: BLE001 - a text is missing or broken: an error must never hide behind another
            return self.code

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.code, self.fields))


def _rebuild(kind: type[PscError], code: str, fields: dict[str, object]) -> PscError:
    return kind(code, **fields)


class UsageError(PscError, ValueError):
    """The caller passed something wrong; the text says where and how to mend it."""

    exit_code = ExitCode.USAGE


class DataError(UsageError):
    """A cell, a row, a column or a file is not what it should be."""

    exit_code = ExitCode.DATA
    abort_code = AbortCode.DATA_NOT_READY


class ProtocolError(PscError):
    """The protocol was not followed."""

    exit_code = ExitCode.PROTOCOL


class LocalProtocolError(ProtocolError):
    """Our own script or driver broke the rules: a bug here."""

    exit_code = ExitCode.BUG


class RemoteProtocolError(ProtocolError):
    """The peer broke the rules; with no subclass that says more, by what it sent: a check of the protocol failed."""

    abort_code = AbortCode.MALFORMED_MESSAGE


class UnexpectedMessageError(RemoteProtocolError):
    """A well-formed message came where another belongs."""

    abort_code = AbortCode.UNEXPECTED_MESSAGE


class MalformedMessageError(RemoteProtocolError):
    """Bytes of the peer do not parse, or a field has an impossible size."""


class InvalidElementError(RemoteProtocolError):
    """A group element is the identity or not canonically encoded; ``fields['index']`` is the first such position."""

    abort_code = AbortCode.INVALID_ELEMENT


class ParameterMismatchError(RemoteProtocolError):
    """The two sides computed or offered different parameters."""

    abort_code = AbortCode.PARAMETER_MISMATCH


class LimitExceededError(RemoteProtocolError):
    """The peer asked for more than a limit allows."""

    abort_code = AbortCode.LIMIT_EXCEEDED


class ReplayedError(RemoteProtocolError):
    """A frame number or a hello came twice with different or foreign content."""

    abort_code = AbortCode.REPLAYED


class PeerAbortedError(RemoteProtocolError):
    """The peer ended the session and said why with a closed code."""

    def __init__(self, code: str, *, abort_code: str = AbortCode.INTERNAL, **fields: object) -> None:
        super().__init__(code, abort_code=str(abort_code), **fields)
        self.abort_code = AbortCode(abort_code)
        if self.abort_code in (AbortCode.BUSY, AbortCode.DATA_NOT_READY, AbortCode.STOPPING):
            self.exit_code = ExitCode.NOT_READY
        elif self.abort_code is AbortCode.CANCELLED:
            self.exit_code = ExitCode.CANCELLED


class TransportError(PscError):
    """The partner could not be reached, or the connection was lost for good."""

    exit_code = ExitCode.TRANSPORT


class ConnectError(TransportError):
    """No connection could be made."""

    exit_code = ExitCode.NOT_READY


class AuthenticationError(TransportError):
    """A certificate, an identity or a signature is not the pinned one."""

    exit_code = ExitCode.AUTHENTICATION
    abort_code = AbortCode.NOT_AUTHENTICATED


class ChannelClosedError(TransportError):
    """The connection broke and could not be mended within the bound."""

    abort_code = AbortCode.PEER_SILENT


class DeadlineError(TransportError):
    """The partner did not answer in time."""

    abort_code = AbortCode.PEER_SILENT


class PolicyError(PscError):
    """An agreement, a limit or a rule does not allow it."""

    exit_code = ExitCode.POLICY
    abort_code = AbortCode.POLICY_DENIED


class PolicyDeniedError(PolicyError):
    """A rule refused the run; ``rule`` says which."""

    def __init__(self, code: str, *, rule: str, **fields: object) -> None:
        super().__init__(code, rule=str(rule), **fields)
        self.rule = Rule(rule)


class BudgetExhaustedError(PolicyDeniedError):
    """A quota is used up; the text says when it is renewed."""


class AgreementError(PolicyError):
    """An agreement document is malformed, wrongly signed or not ours."""


class CancelledError(PscError):
    """The user stopped the run."""

    exit_code = ExitCode.CANCELLED
    abort_code = AbortCode.CANCELLED


class StorageError(PscError):
    """The own disk or store failed: full, not writable, locked, damaged."""

    exit_code = ExitCode.STORAGE
    abort_code = AbortCode.NO_SPACE


class AuditError(PscError):
    """A record could not be appended or does not verify: fail closed."""

    exit_code = ExitCode.AUDIT


class CryptoError(PscError):
    """A cryptographic operation was refused."""


class EncodingError(CryptoError):
    """A value cannot be encoded as asked."""


class DecryptionError(CryptoError):
    """A sealed value does not open: it was changed, or the key is another."""


class RandomnessError(CryptoError):
    """The operating system's random generator failed."""
