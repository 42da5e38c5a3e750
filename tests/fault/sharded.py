"""``psc`` with small shards, for the kill tests: ``python -m tests.fault.sharded KEYS ARGUMENTS…``."""

from __future__ import annotations

import sys

from psc.cli.main import main
from psc.operations import match

if __name__ == "__main__":
    match._Match.shard_keys = int(sys.argv[1])  # a constant of the protocol, which no user sets
    del sys.argv[1]
    main()
