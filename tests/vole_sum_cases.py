"""One call that runs both parties of ``vole-sum`` on the made-up tables of ``sum_cases``."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psc.crypto import Items, Rng
from psc.crypto.sums import SumEngine
from psc.protocols import vole_sum
from psc.protocols.base import Script
from psc.protocols.cells import Sums
from psc.protocols.padding import padded_size
from psc.session.drive import run_pair
from tests.protocol_cases import CONTEXT, Tap, through_codec
from tests.sum_cases import CLEAR, Case, labels_of, nothing


def vole_params(
    case: Case, statistics: tuple[int | None, ...], columns: int, engine: SumEngine = CLEAR, **changes: Any
) -> vole_sum.Params:
    """Parameters of ``vole-sum`` with padded sizes."""
    size = padded_size(sum(len(block) for block in case.receiver))
    blocks = tuple(padded_size(len(block)) for block in case.sender)
    bits = (case.bits,) * case.statistics
    values: dict[str, Any] = {"output": "receiver"} | changes
    return vole_sum.Params(CONTEXT, size, len(case.receiver), blocks, bits, statistics, columns, engine, **values)


def vole_scripts(
    case: Case, params: vole_sum.Params, rngs: Sequence[Rng], withhold: Any = nothing, noise: NDArray[np.int64] | None = None
) -> tuple[Script[Sums], Script[Sums | None]]:
    """Both parties of ``vole-sum``; the receiver's items stand in an order of their own, not group by group."""
    own, theirs = params.shape
    mine = [(item, group) for group, block in enumerate(case.receiver) for item in block]
    random.Random(0).shuffle(mine)
    weights = [case.weights[item] for item, _ in mine] if params.weight_columns else []
    return (
        vole_sum.receiver(
            Items.from_list([item for item, _ in mine]),
            np.array([group for _, group in mine], dtype=np.int32),
            np.array(weights, dtype=np.int64).reshape(len(mine), params.weight_columns),
            params,
            rngs[0],
            withhold,
            labels_of("mine", own),
        ),
        vole_sum.sender(
            [Items.from_list(b) for b in case.sender], case.vectors(), labels_of("theirs", theirs), params, rngs[1], noise
        ),
    )


def vole_sums(
    case: Case,
    *,
    statistics: tuple[int | None, ...] | None = None,
    columns: int = 0,
    engine: SumEngine = CLEAR,
    withhold: Any = nothing,
    noise: NDArray[np.int64] | None = None,
    capacity: int | None = None,
    tap: Tap = through_codec,
    seeds: tuple[bytes, bytes] | None = None,
    **changes: Any,
) -> tuple[Sums, Sums | None]:
    """Run ``vole-sum``."""
    rngs = [Rng.insecure_from_seed(seed) for seed in seeds] if seeds else [Rng.system(), Rng.system()]
    params = vole_params(case, statistics or (None,) * case.statistics, columns, engine, **changes)
    return run_pair(*vole_scripts(case, params, rngs, withhold, noise), capacity=capacity, tap=tap)
