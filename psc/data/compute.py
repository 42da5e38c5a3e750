"""``pc``: ``pyarrow.compute``, which takes longer to load than most tables take to read and is needed by few of them."""

from __future__ import annotations

import importlib
import threading
import time
from typing import TYPE_CHECKING, Any

__all__ = ["load_soon", "pc"]

_MOMENT_SECONDS = 0.02


class _Compute:
    """Loads the module with the first use of it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("pyarrow.compute"), name)


if TYPE_CHECKING:
    import pyarrow.compute as pc
else:
    pc = _Compute()


def load_soon() -> None:
    """Load the module in a thread, while something else is waited for; Arrow's own ``take`` and ``cast`` need it too.

    The thread lets its caller go on for a moment: what is waited for has to be asked first.
    """

    def load() -> None:
        time.sleep(_MOMENT_SECONDS)
        importlib.import_module("pyarrow.compute")

    threading.Thread(target=load, name="psc-load", daemon=True).start()
