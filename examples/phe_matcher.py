"""The other side of phe_partner.py: adds up the partner's encrypted values by cells, without seeing one of them.

Usage: python phe_matcher.py REQUEST.json CELLS.json REPLY.json

CELLS.json has one number for each of the partner's values: the cell whose sum it belongs to, or -1 when it belongs to none.
The partner learns the sums modulo 2^64 and the number of cells; which values are in which sum stays here.
"""

import json
import sys
from pathlib import Path

import numpy as np

from psc.crypto import Rng
from psc.engines.paillier_keys import PublicKey
from psc.engines.phe import at_exponent, masked_sums


def main(request: str, cells: str, reply: str) -> None:
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    numbers = np.array(json.loads(Path(cells).read_text(encoding="utf-8")), np.int32)
    key = PublicKey.checked(int(asked["n"]))
    values = at_exponent(key, [int(c) for c, _ in asked["values"]], [e for _, e in asked["values"]])
    sums = masked_sums(key, values, numbers, int(numbers.max()) + 1, Rng.system(), visible_bits=64)
    unfinished = Path(reply + ".part")
    unfinished.write_text(json.dumps({"visible_bits": 64, "sums": [str(value) for value in sums]}), encoding="utf-8")
    unfinished.rename(reply)


if __name__ == "__main__":
    main(*sys.argv[1:4])
