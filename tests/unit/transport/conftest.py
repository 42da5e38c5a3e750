"""These tests use gRPC themselves, and ``psc`` must come before it."""

import psc.transport.grpc  # noqa: F401
