"""One long-lived gRPC connection to a listener: its options, its calls, and their failures as our errors."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from psc._proto.psc.v1 import peer_pb2
from psc.errors import AbortCode, CancelledError, ChannelClosedError, LimitExceededError, MalformedMessageError, UsageError
from psc.session.channel import FrameBytes
from psc.session.limits import Limits
from psc.transport.address import Address
from psc.transport.grpc.status import error_of_call, number_of
from psc.transport.mailbox import Frame, Pulled
from psc.transport.tls import TlsMaterial
from psc.types import DOCUMENT_BYTES_MAX

__all__ = ["SERVICE", "SESSION_BYTES", "Connection", "SessionCalls", "bounded", "bounds_of", "receive_limit", "shared_options"]

SERVICE = peer_pb2.DESCRIPTOR.services_by_name["PeerService"]
SESSION_BYTES = 16
_ABORT_SECONDS = 5.0
_OVERHEAD_BYTES = 64 * 1024

R = TypeVar("R", bound=Message)


def receive_limit(limits: Limits) -> int:
    """Return the size above which gRPC refuses a message before it buffers it, in bytes."""
    return max(limits.message_bytes, DOCUMENT_BYTES_MAX) + _OVERHEAD_BYTES


def shared_options(limits: Limits) -> list[tuple[str, int | str]]:
    """Return the options that both ends set alike: sizes, pings, no compression."""
    return [
        ("grpc.max_receive_message_length", receive_limit(limits)),
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.keepalive_time_ms", round(limits.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", round(limits.keepalive_timeout_seconds * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # Compression would make sizes depend on content, and lets few bytes become many.
        ("grpc.compression_enabled_algorithms_bitset", 1),
    ]


def bounds_of(limits: Limits) -> peer_pb2.Bounds:
    """Return what a listener tells a dialler to keep to."""
    return peer_pb2.Bounds(
        frame_bytes=limits.frame_bytes,
        message_bytes=limits.message_bytes,
        window_frames=limits.window_frames,
        calls_in_flight=limits.calls_in_flight,
        peer_silence_milliseconds=round(limits.peer_silence_seconds * 1000),
    )


def bounded(limits: Limits, theirs: peer_pb2.Bounds) -> Limits:
    """Return the limits of a session: the smaller of ours and the listener's.

    Raises:
        MalformedMessageError: the listener's are impossible.
    """
    silence = min(limits.peer_silence_seconds, theirs.peer_silence_milliseconds / 1000)
    try:
        return replace(
            limits,
            frame_bytes=min(limits.frame_bytes, theirs.frame_bytes),
            message_bytes=min(limits.message_bytes, theirs.message_bytes),
            window_frames=min(limits.window_frames, theirs.window_frames),
            calls_in_flight=min(limits.calls_in_flight, theirs.calls_in_flight),
            peer_silence_seconds=silence,
            poll_seconds=min(limits.poll_seconds, silence / 2),
        )
    except UsageError:
        raise MalformedMessageError("transport.reply-malformed", call="Open") from None


def _channel(address: Address, tls: TlsMaterial | None, limits: Limits) -> Any:
    options = [
        *shared_options(limits),
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.min_reconnect_backoff_ms", 10_000),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.service_config_disable_resolution", 1),
    ]
    if address.loopback:
        options.append(("grpc.enable_http_proxy", 0))
    if tls is None:
        return grpc.insecure_channel(str(address), options)
    credentials = grpc.ssl_channel_credentials(tls.roots_pem, tls.key_pem, tls.certificate_pem)
    return grpc.secure_channel(str(address), credentials, [*options, ("grpc.ssl_target_name_override", tls.server_name)])


class Connection:
    """A gRPC channel whose calls take and give messages and raise our errors.

    Args:
        address: of the listener.
        tls: the dialler's material; ``None`` is plain text.
        limits: deadlines and sizes.
    """

    def __init__(self, address: Address, tls: TlsMaterial | None, limits: Limits) -> None:
        self._deadline = limits.call_deadline_seconds
        self._channel = _channel(address, tls, limits)
        self._calls: dict[str, Any] = {
            method.name: self._channel.unary_unary(f"/{SERVICE.full_name}/{method.name}") for method in SERVICE.methods
        }

    def call(
        self, name: str, request: Message, reply: type[R], *, seconds: float | None = None, cancel: threading.Event | None = None
    ) -> R:
        """Make one call.

        Args:
            name: of the method.
            request: its message.
            reply: the class of the answer.
            seconds: deadline, at most and by default ``call_deadline_seconds``.
            cancel: gives the call up when set.

        Raises:
            Interrupted: it did not get through; making it again may help.
            CancelledError: ``cancel`` was set.
            PscError: the answer is final.
        """
        data = request.SerializeToString()
        deadline = min(seconds or self._deadline, self._deadline)
        try:
            if cancel is None:
                raw = self._calls[name](data, timeout=deadline)
            else:
                raw = _cancellable(self._calls[name].future(data, timeout=deadline), cancel)
        except grpc.RpcError as error:
            call: Any = error
            raise error_of_call(call.code(), call.details(), call.trailing_metadata()) from None
        except ValueError:
            raise ChannelClosedError("transport.link-closed") from None
        try:
            return reply.FromString(raw)
        except DecodeError:
            raise MalformedMessageError("transport.reply-malformed", call=name) from None

    def close(self) -> None:
        """Hang up; calls that wait end."""
        self._channel.close()


def _cancellable(future: Any, cancel: threading.Event) -> Any:
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    while not done.wait(0.1):
        if cancel.is_set():
            future.cancel()
            raise CancelledError("transport.cancelled")
    return future.result()


class SessionCalls:
    """The calls of one session: ``SessionWire`` over a connection.

    Args:
        connection: to the listener that holds the mailbox.
        session: its 16 bytes.
    """

    def __init__(self, connection: Connection, session: bytes) -> None:
        self._connection, self._session = connection, session

    def push(self, first: int, frames: Sequence[Frame], *, received: int, closing: bool) -> int:
        """Give frames to the other end; see ``Mailbox.push``."""
        request = peer_pb2.PushRequest(session=self._session, first=first, received=received, closing=closing)
        for frame in frames:
            request.frames.add(digest=frame.digest or b"", payload=frame.payload)
        return self._connection.call("Push", request, peer_pb2.PushResponse).accepted

    def pull(self, first: int, count: int, *, received: int) -> Pulled:
        """Take frames of the other end; see ``Mailbox.pull``."""
        request = peer_pb2.PullRequest(session=self._session, first=first, count=count, received=received)
        reply = self._connection.call("Pull", request, peer_pb2.PullResponse)
        if len(reply.frames) > count:
            raise LimitExceededError("transport.too-many-frames", count=len(reply.frames), limit=count)
        frames = tuple(Frame(FrameBytes(frame.payload), frame.digest) for frame in reply.frames)
        return Pulled(frames, reply.total) if reply.closed else Pulled(frames)

    def abort(self, code: AbortCode) -> None:
        """End the session on both ends."""
        request = peer_pb2.AbortRequest(session=self._session, code=number_of(code))
        self._connection.call("Abort", request, peer_pb2.AbortResponse, seconds=_ABORT_SECONDS)
