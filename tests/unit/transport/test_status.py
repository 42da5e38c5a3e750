"""gRPC status and our errors: both tables are total, and every text exists."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest

import psc
from psc import errors
from psc._proto.psc.v1 import peer_pb2
from psc.errors import (
    AbortCode,
    AuthenticationError,
    ChannelClosedError,
    LimitExceededError,
    PeerAbortedError,
    PolicyDeniedError,
    PscError,
    RemoteProtocolError,
    ReplayedError,
    Rule,
)
from psc.texts import render
from psc.texts.transport import TEXTS
from psc.transport.aborts import peer_aborted
from psc.transport.grpc.status import (
    REFUSAL_KEY,
    STATUS_OF,
    WITHOUT_REFUSAL,
    abort_code_of,
    error_of_call,
    error_of_refusal,
    number_of,
    refusal_of,
    status_of,
)
from psc.transport.patience import Interrupted


def every_error() -> list[type[PscError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PscError)]


def make(kind: type[PscError]) -> PscError:
    if issubclass(kind, PolicyDeniedError):
        return kind("transport.policy-denied", rule=Rule.NO_AGREEMENT)
    return kind("transport.internal")


def test_every_abort_code_has_a_status_and_a_number_and_comes_back():
    assert set(STATUS_OF) == set(AbortCode)
    assert grpc.StatusCode.OK not in STATUS_OF.values()
    assert len(peer_pb2.AbortCode.values()) == len(AbortCode) + 1
    for code in AbortCode:
        assert abort_code_of(number_of(code)) is code


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_crosses_as_a_closed_code(kind):
    error = make(kind)
    refusal = refusal_of(error)
    assert status_of(error) is STATUS_OF[error.abort_code]
    there = error_of_call(status_of(error), "", [(REFUSAL_KEY, refusal.SerializeToString())])
    assert isinstance(there, PscError)
    assert there.abort_code in (error.abort_code, AbortCode.REPLAYED)
    assert str(there)


def test_every_abort_code_is_an_error_here():
    for code in AbortCode:
        error = error_of_refusal(peer_pb2.Refusal(code=number_of(code)))
        assert error.abort_code is code
        assert str(error)
    kinds = {code: type(error_of_refusal(peer_pb2.Refusal(code=number_of(code)))) for code in AbortCode}
    assert kinds[AbortCode.REPLAYED] is ReplayedError
    assert kinds[AbortCode.NOT_AUTHENTICATED] is AuthenticationError
    assert kinds[AbortCode.PEER_SILENT] is ChannelClosedError
    assert kinds[AbortCode.BUSY] is PeerAbortedError


@pytest.mark.parametrize("rule", list(Rule))
def test_every_rule_crosses(rule):
    there = error_of_refusal(refusal_of(PolicyDeniedError("transport.policy-denied", rule=rule)))
    assert isinstance(there, PolicyDeniedError)
    assert there.rule is rule


def test_rule_or_code_that_this_version_does_not_know():
    refusal = peer_pb2.Refusal(code=number_of(AbortCode.POLICY_DENIED), rule="of-another-version")
    error = error_of_refusal(refusal)
    assert isinstance(error, PeerAbortedError)
    assert error.abort_code is AbortCode.POLICY_DENIED
    assert "of-another-version" not in str(error), "a peer's text is never shown"
    unknown = peer_pb2.Refusal.FromString(b"\x08\x63")
    assert error_of_refusal(unknown).abort_code is AbortCode.INTERNAL
    assert abort_code_of(0) is AbortCode.INTERNAL


def test_every_status_without_a_refusal_is_ours():
    assert set(WITHOUT_REFUSAL) == set(grpc.StatusCode)
    for status in grpc.StatusCode:
        error = error_of_call(status, "secret text of the peer", [("other", "x")])
        assert isinstance(error, PscError | Interrupted)
        assert "secret" not in str(error)


def test_odd_answers_are_ours():
    assert isinstance(error_of_call(None, None, None), RemoteProtocolError)
    broken = error_of_call(grpc.StatusCode.ABORTED, "", [(REFUSAL_KEY, b"\xff\xff")])
    assert isinstance(broken, RemoteProtocolError)
    too_large = error_of_call(grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max (1 vs. 2)", None)
    assert isinstance(too_large, LimitExceededError)
    assert isinstance(error_of_call(grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!", None), Interrupted)


def test_every_text_is_used_and_every_code_has_one():
    folder = Path(psc.__file__).parent
    sources = [*folder.glob("transport/**/*.py"), *folder.glob("server/**/*.py"), folder / "session" / "limits.py"]
    used = set(re.findall(r'"(transport\.[a-z0-9-]+)"', "\n".join(path.read_text() for path in sources)))
    used |= {peer_aborted(code).code for code in AbortCode}
    assert used == set(TEXTS)
    fields = {name: "x" for text in TEXTS.values() for name in re.findall(r"{(\w+)}", text.en + text.fix_en)}
    for code in TEXTS:
        for lang in ("en", "zh"):
            assert "{" not in render(code, fields, lang=lang)
