"""Write ``data/psc_rlwe.json``: digests of the messages of encrypted sums for a fixed seed. Run it only when one is meant to
change, since a change means that parties of two versions do not understand each other.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from psc.crypto import RLWE, Rng

PATH = Path(__file__).parent / "data" / "psc_rlwe.json"
CONTEXT = bytes(range(32))


def transcript() -> dict[str, object]:
    """Return SHA-256 of every message, and the released sums."""
    rng = Rng.insecure_from_seed(b"rlwe")
    rows = np.arange(RLWE.block + 100, dtype=np.int64)
    values = np.stack([rows * 0x0123456789ABCDE, -rows, np.full_like(rows, -(1 << 63))], axis=1)
    cells = (rows % 3 - 1).astype(np.int32)
    weights = (rows * 104729 % (1 << 33)) - (1 << 32) + 1
    offsets = np.arange(6, dtype=np.uint64).reshape(2, 3) * np.uint64(0xFEDCBA9876543210 // 6)
    owner = RLWE.owner(CONTEXT, 1, 3, rng)
    blocks = owner.encrypt(5, values)
    replies = []
    for chosen in (None, weights):
        matcher = RLWE.matcher(CONTEXT, 1, 3, 2, owner.key_material())
        matcher.absorb(5, blocks, cells, chosen)
        replies += matcher.finish(offsets, rng)
    digest = hashlib.sha256
    return {
        "id": RLWE.id,
        "context": CONTEXT.hex(),
        "key_material": digest(owner.key_material()).hexdigest(),
        "ciphertexts": [[digest(one).hexdigest() for one in block] for block in blocks],
        "replies": [digest(reply).hexdigest() for reply in replies],
        "first_bytes_of_reply": replies[0][:32].hex(),
        "last_bytes_of_reply": replies[0][-63:].hex(),
        "released": [[str(x) for x in row] for row in owner.release(replies).tolist()],
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(transcript(), indent=1) + "\n")
