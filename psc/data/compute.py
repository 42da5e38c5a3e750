"""``pc``: ``pyarrow.compute``, which takes longer to load than most tables take to read and is needed by few of them."""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING, Any

__all__ = ["load_soon", "pc"]


class _Compute:
    """Loads the module with the first use of it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("pyarrow.compute"), name)


if TYPE_CHECKING:
    import pyarrow.compute as pc
else:
    pc = _Compute()


def load_soon() -> None:
    """Load the module in a thread, while something else is waited for; Arrow's own ``take`` and ``cast`` need it too."""
    threading.Thread(target=importlib.import_module, args=("pyarrow.compute",), name="psc-load", daemon=True).start()
