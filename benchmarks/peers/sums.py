"""What each engine of sums costs a value, beside plain phe and pypaillier: ``python -m benchmarks.peers.sums``.

In every round each of them does the same four things: make keys, encrypt, add up a random half of the values into one cell and
make its reply, release it. The rounds take turns, so that all see the same minutes of the machine. Wall time with all cores
that ``PSC_THREADS`` allows; phe and TenSEAL use one. pypaillier is measured when it is installed (``pip install pypaillier``).
Prints a table; ``--output`` appends one JSON line a round and engine, ``--page`` writes it between the markers of a document.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.micro.crypto import machine, write_page
from benchmarks.report import grouped, median, table
from psc.crypto import Rng
from psc.engines import ENGINES, engine

CONTEXT = b"benchmark"
Sample = dict[str, Any]


class Timer:
    """Times the parts of a round."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, part: str, function: Callable[..., Any], *arguments: Any) -> Any:
        started = time.perf_counter()
        result = function(*arguments)
        self.seconds[part] = time.perf_counter() - started
        return result


def ours(name: str, count: int, draw: np.random.Generator) -> Sample:
    """Return one round of an engine of ours."""
    found, rng, timer = engine(name), Rng.system(), Timer()
    values = draw.integers(-(10**9), 10**9, (count, 1))
    cells = draw.integers(-1, 1, count).astype(np.int32)
    owner = timer("keys", found.owner, CONTEXT, 0, 1, rng)
    matcher = found.matcher(CONTEXT, 0, 1, 1, owner.key_material())
    made = timer("encrypt", owner.encrypt, 0, values)
    timer("add", matcher.absorb, 0, made, cells)
    replies = timer("reply", matcher.finish, np.zeros((1, 1), np.uint64), rng)
    released = timer("release", owner.release, replies)
    assert int(released[0, 0]) == int(values[cells == 0].sum()) % 2**64
    size = sum(len(one) for row in made for one in row)
    return {"seconds": timer.seconds, "bytes": size, "reply_bytes": len(replies[0]), "values": count}


def plain_phe(bits: int, count: int, draw: np.random.Generator) -> Sample:
    """Return one round of phe as its documents show it: neither checked, masked nor re-randomised."""
    from phe import paillier

    timer = Timer()
    values = draw.integers(-(10**9), 10**9, count).tolist()
    chosen = draw.integers(0, 2, count).astype(bool)
    chosen[0] = True
    public, private = timer("keys", lambda: paillier.generate_paillier_keypair(n_length=bits))
    made = timer("encrypt", lambda: [public.encrypt(value) for value in values])
    total = timer("add", lambda: sum(one for one, own in zip(made[1:], chosen[1:], strict=True) if own) + made[0])
    assert timer("release", private.decrypt, total) == sum(v for v, own in zip(values, chosen, strict=True) if own)
    return {"seconds": timer.seconds | {"reply": 0.0}, "bytes": bits // 4 * count, "reply_bytes": bits // 4, "values": count}


def pypaillier(bits: int, count: int, draw: np.random.Generator) -> Sample:
    """Return one round of pypaillier: short exponents, neither masked nor re-randomised."""
    library, timer = importlib.import_module("paillier"), Timer()
    values = draw.integers(-(10**9), 10**9, count).tolist()
    chosen = draw.integers(0, 2, count).astype(bool)
    chosen[0] = True
    public, private = timer("keys", library.generate_keypair, bits)
    made = timer("encrypt", lambda: [bytes(one) for one in library.encrypt_integers(public, values)])
    total = timer("add", lambda: library.add_many(public, [one for one, own in zip(made, chosen, strict=True) if own]))
    assert timer("release", library.decrypt, private, total) == sum(v for v, own in zip(values, chosen, strict=True) if own)
    return {"seconds": timer.seconds | {"reply": 0.0}, "bytes": sum(map(len, made)), "reply_bytes": len(total), "values": count}


def contenders(packed: int, single: int) -> dict[str, Callable[[np.random.Generator], Sample]]:
    """Return a round of each, with ``packed`` values where a ciphertext holds thousands and ``single`` where it holds one."""
    found: dict[str, Callable[[np.random.Generator], Sample]] = {
        f"psc {name}": partial(ours, name, single if name.startswith("paillier") else packed) for name in ENGINES
    }
    found |= {f"phe, {bits} bits": partial(plain_phe, bits, max(single // 4, 2)) for bits in (2048, 3072)}
    if importlib.util.find_spec("paillier"):
        found["pypaillier, 2048 bits"] = partial(pypaillier, 2048, single)
    return found


def page_of(lines: list[Sample]) -> str:
    """Return the table."""
    last = lines[-1]["machine"]
    threads = f"{last['threads']} threads" if last["threads"] != "all" else "all threads"
    head = ("engine", "rounds", "keys, ms", "encrypt, µs a value", "add, µs a value", "reply, ms a cell", "release, ms a cell")
    head += ("bytes a value", "bytes a reply")
    rows = []
    for (name,), group in grouped(lines, "engine").items():
        count = group[0]["values"]
        micro = [median(group, "seconds", part) / count * 1e6 for part in ("encrypt", "add")]
        milli = [median(group, "seconds", part) * 1e3 for part in ("keys", "reply", "release")]
        rows.append(
            (
                name,
                str(len(group)),
                f"{milli[0]:,.1f}",
                *(f"{value:,.2f}" if value < 100 else f"{value:,.0f}" for value in micro),
                *(f"{value:,.1f}" for value in milli[1:]),
                f"{median(group, 'bytes') / count:,.0f}",
                f"{median(group, 'reply_bytes'):,.0f}",
            )
        )
    said = (
        f"{last['processor']}, family/model {last['family_model']}, {last['cores']} cores, {threads}; Python {last['python']}. "
    )
    return f"{said}Wall time, medians.\n\n{table(head, rows)}"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packed", type=int, default=1 << 17, help="values of the engines that pack thousands in a ciphertext")
    parser.add_argument("--single", type=int, default=128, help="values of the others; phe takes a quarter")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="append JSON lines to this file")
    parser.add_argument("--page", type=Path, help="write the table between the markers of this document")
    given = parser.parse_args()
    draw = np.random.default_rng(1)
    here = machine() | {"load": os.getloadavg()[0]}
    ready = contenders(given.packed, given.single)
    lines = [
        {"benchmark": "sums", "engine": name, "round": number, **one(draw), "machine": here}
        for number in range(given.rounds)
        for name, one in ready.items()
    ]
    print(page_of(lines))
    if given.output:
        with given.output.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    if given.page:
        write_page(given.page, page_of(lines))


if __name__ == "__main__":
    main()
