"""Write ``data/psc_golden.json``: our own derivations at fixed inputs. Run it only when one is meant to change."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from psc.crypto import (
    Items,
    KeyCells,
    PointBatch,
    Rng,
    evaluate_items,
    hash_and_mask,
    hash_to_group,
    point_tags,
    seal_rows,
)

PATH = Path(__file__).parent / "data" / "psc_golden.json"
CONTEXT = bytes(range(32))
SCALAR = (0x0123456789ABCDEF << 128 | 5).to_bytes(32, "little")


def items() -> Items:
    """Two rows of a composite key: a phone and an empty or non-empty text."""
    phones, cities = b"+8613800138000+8613900139000", "杭州".encode()
    return Items.encode(
        [
            KeyCells(b"phone", np.array([0, 14, 28]), phones),
            KeyCells(b"text", np.array([0, 0, len(cities)]), cities),
        ]
    )


def golden() -> dict[str, object]:
    """Return every derivation as hex."""
    from psc.crypto import Scalar

    scalar, batch = Scalar.insecure_from_bytes(SCALAR), items()
    outputs = evaluate_items(batch, scalar, CONTEXT)
    rows = np.array([1, 0, 1], np.uint32), np.array([2, 1, 1], np.uint32)
    sealed = seal_rows(outputs, *rows, b"onetwosix", 3, 12, CONTEXT, Rng.insecure_from_seed(b"golden"), 5)
    masked = hash_and_mask(batch, CONTEXT, scalar)
    return {
        "context": CONTEXT.hex(),
        "scalar": SCALAR.hex(),
        "items": [batch.get(index).hex() for index in range(len(batch))],
        "items_digest": batch.digest(b"salt").hex(),
        "hashed": hash_to_group(batch, CONTEXT).data.hex(),
        "masked": masked.data.hex(),
        "outputs": outputs.insecure_bytes().hex(),
        "point_tags_16": point_tags(masked, CONTEXT, 16).hex(),
        "sealed_rows": sealed.hex(),
        "rng_bytes": Rng.insecure_from_seed(b"golden").bytes(32).hex(),
        "rng_permutation": Rng.insecure_from_seed(b"golden").permutation(10).tolist(),
        "random_points": PointBatch.random(Rng.insecure_from_seed(b"golden"), 2).data.hex(),
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(golden(), indent=1) + "\n")
