"""Sessions over gRPC with mutual TLS, dialled by either side: ``Link`` asks, and ``Link.answer`` answers by dialling out.

Importing this package before anything else imports gRPC settles TLS 1.3 for the process; see ``psc.transport.tls13``.
"""

# isort: off
from psc.transport.grpc.environment import require_tls13

# isort: on
from psc.transport.grpc.link import Link, Opened
from psc.transport.tls import TlsMaterial

__all__ = ["Link", "Opened", "TlsMaterial", "require_tls13"]
