"""A node's listener, a thin face over a handler: gRPC with mutual TLS, sessions, relay, health, log."""

# isort: off
import psc.transport.grpc  # noqa: F401 - settles TLS 1.3 before anything here imports gRPC

# isort: on
from psc.server.log import JsonFormatter, json_logger
from psc.server.server import Server

__all__ = ["JsonFormatter", "Server", "json_logger"]
