"""The engines that add up encrypted values, found by the id that the handshake names.

===================  ==========================  ==============================================================
id                   needs                       for
===================  ==========================  ==============================================================
``rlwe-8192-168/1``  nothing                     the default: exact, hides which values were summed, fast
``paillier-2048/1``  ``psc[paillier]``           partners whose values are, or must be, under Paillier
``paillier-3072/1``  ``psc[paillier]``           the same, for 128-bit security
``bfv-8192-168/1``   ``psc[tenseal]``            an oracle in tests; runs in which membership may be known to the
                                                 owner of the values, because its replies do not hide it
===================  ==========================  ==============================================================

An engine is a ``psc.crypto.sums.SumEngine``. Nothing of an extra is imported before its engine is asked for.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from psc.errors import UsageError

if TYPE_CHECKING:
    from psc.crypto.sums import SumEngine

__all__ = ["DEFAULT", "ENGINES", "available", "engine", "hiding_engine"]

DEFAULT = "rlwe-8192-168/1"
"""The engine that is taken when nothing else is agreed."""

ENGINES: dict[str, tuple[str, str, str | None, str | None]] = {
    DEFAULT: ("psc.crypto.rlwe", "RLWE", None, None),
    "paillier-2048/1": ("psc.engines.paillier", "PAILLIER_2048", "paillier", "gmpy2"),
    "paillier-3072/1": ("psc.engines.paillier", "PAILLIER_3072", "paillier", "gmpy2"),
    "bfv-8192-168/1": ("psc.engines.tenseal", "BFV", "tenseal", "tenseal"),
}
"""For each id the module and the name of the engine, and the extra and package that it needs."""


def available() -> tuple[str, ...]:
    """Return the ids of the engines whose packages are installed here."""
    return tuple(name for name, (*_, package) in ENGINES.items() if package is None or find_spec(package) is not None)


def engine(engine_id: str = DEFAULT) -> SumEngine:
    """Return the engine of an id.

    Raises:
        UsageError: there is no such engine, or its extra is not installed.
    """
    known = ENGINES.get(engine_id)
    if known is None:
        raise UsageError("engines.unknown", engine=engine_id, known=", ".join(ENGINES))
    module, name, extra, package = known
    try:
        found: SumEngine = getattr(import_module(module), name)
    except ModuleNotFoundError as missing:
        if package is None or (missing.name or "").partition(".")[0] != package:
            raise
        raise UsageError("engines.extra-missing", engine=engine_id, package=package, extra=extra) from missing
    return found


def hiding_engine(engine_id: str) -> SumEngine:
    """Return the engine of an id where the owner of the values shall not learn which of them were summed.

    Raises:
        UsageError: there is no such engine, its extra is not installed, or its replies do not hide that.
    """
    found = engine(engine_id)
    if not found.hides_mask:
        raise UsageError("engines.shows-members", engine=engine_id, engines=DEFAULT)
    return found
