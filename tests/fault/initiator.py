"""A merchant's process for the kill tests: runs an operation and, at one frame of it, kills itself or the courier's server.

Run as ``python -m tests.fault.initiator HOME ORDERS OUT VICTIM OPERATION WAY KIND NUMBER``; ``VICTIM`` is ``self`` or a
process id, ``OPERATION`` is ``match`` (by ``dh-psi``), ``vole``, ``vole-malicious``, ``aggregate`` or
``aggregate-owner``.
Prints one line of JSON about how the run ended, writes the result to ``OUT`` when there is one, and exits as the command
line would.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psc
from psc.errors import PscError
from psc.testing.madeup import ORDER_PHONE
from psc.testing.nodes import PURPOSE
from tests.fault.meddling import kind_of


def main(home: str, orders: str, out: str, victim: str, operation: str, *point: str) -> int:
    """Run the operation; return the exit code."""
    way, kind, number = point[0], point[1], int(point[2])
    seen = 0

    def tap(direction: str, frame: bytes) -> None:
        nonlocal seen
        if direction == way and kind_of(frame) == kind:
            if seen == number:
                os.kill(os.getpid() if victim == "self" else int(victim), signal.SIGKILL)
            seen += 1

    try:
        with psc.Node.open(home) as node, node.connect("courier", tap=tap) as courier:
            ask: dict[str, Any] = {"on": {"phone": ORDER_PHONE}, "dataset": "parcels", "purpose": PURPOSE}
            ask |= {"output_to": "both", "on_bad": "skip"}
            if operation == "match":
                courier.match(Path(orders), want=["status", "fee"], protocol="dh-psi", **ask).write(out)
            elif operation == "vole":
                courier.match(Path(orders), want=["status", "fee"], protocol="vole-psi", **ask).write(out)
            elif operation == "vole-malicious":
                courier.match(Path(orders), model="malicious", **ask | {"output_to": "receiver"}).write(out)
            else:
                membership = {"aggregate-owner": "owner", "aggregate-matcher": "matcher"}.get(operation, "hidden")
                select, groups = [psc.sum("fee"), psc.count("fee")], ["own:tier", "theirs:city"]
                courier.aggregate(Path(orders), select=select, group_by=groups, membership=membership, **ask).write(out)
    except PscError as error:
        print(json.dumps({"error": type(error).__name__, "code": error.code}))
        return int(error.exit_code)
    print(json.dumps({"error": None}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
