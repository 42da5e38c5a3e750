"""``psc``: the command line of a node. This module only puts the commands together."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from psc.cli.base import Boundary, Cli, HomeOption, JsonOption, VerboseOption, help_if_alone, say

__all__ = ["commands", "main"]

_SUMMARY = say(
    "Compute with a partner on customers you share, without showing each other your lists.\n\n"
    "Start with: psc init, psc card, psc trust. Try it all on made-up data with: psc demo.",
    "与合作方就共同客户进行计算，而不向对方展示名单。\n\n从 psc init、psc card、psc trust 开始；用虚构数据体验：psc demo。",
)

_MODULES = ("setup", "datasets", "agreements", "serving", "running", "runs", "doctor", "demo")
_PLACES = {"match": "running", "count": "running", "aggregate": "running", "serve": "serving"}


def commands(first: str = "") -> typer.Typer:
    """Return the command line.

    Args:
        first: the word behind ``psc``. With that of a frequent command the others are left out, which take as long to load.
    """
    app = typer.Typer(
        cls=Boundary,
        help=_SUMMARY,
        invoke_without_command=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"]},
        callback=_root,
    )
    for name in (_PLACES[first],) if first in _PLACES else _MODULES:
        import_module(f"psc.cli.{name}").register(app)
    return app


def _root(
    ctx: typer.Context,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    version: Annotated[bool, typer.Option("--version", help=say("As psc version", "同 psc version"))] = False,
) -> None:
    # Every command reads home and the others from the context, where its own options come first.
    if version:
        from psc.cli.setup import version as print_version

        print_version(Cli(home or Path(), as_json, verbose))
        raise typer.Exit
    help_if_alone(ctx)


class _WithoutPandas(MetaPathFinder):
    """Says that there is no pandas: pyarrow imports it with the first Python value that it converts, if there is one.

    Only the demonstration handles frames; everyone else would wait half a second for it.
    """

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        del path, target
        if name == "pandas":
            raise ModuleNotFoundError("not in this process", name=name)


def main() -> None:
    """Run the command line and end the process."""
    gc.disable()  # a third of the time that modules take to load; ``Cli`` enables it when they are loaded
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's: they would wait for work of which there is none
    # Arrow's own allocators keep what they got in huge pages: a tenth more memory at the peak, and the time to fill it.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    _tune_allocation()
    if "demo" not in sys.argv:
        sys.meta_path.insert(0, _WithoutPandas())
    try:
        commands("".join(sys.argv[1:2]))()
    except SystemExit as ended:
        _end(ended.code)
    _end(0)


def _tune_allocation() -> None:
    """Let the GNU C library reuse what is freed, and give only large blocks back to the system.

    Memory that comes back from the system is filled with zeros first, which takes longer than most work on it. By itself the
    library gives each thread memory of its own, cut down after nearly every block that it frees, and lets the size up to which
    blocks stay with the process grow, so that a server's memory grows from shard to shard.
    """
    settings = (
        (-8, 1),  # M_ARENA_MAX: what one thread freed serves the next
        (-1, 24 << 20),  # M_TRIM_THRESHOLD: free memory kept at the end of the heap
        (-3, 16 << 20),  # M_MMAP_THRESHOLD: blocks from here on go back when they are freed
    )
    with contextlib.suppress(AttributeError, OSError):  # another C library than GNU's
        for parameter, value in settings:
            ctypes.CDLL(None).mallopt(parameter, value)


def _end(code: object) -> None:
    """End the process without taking the interpreter apart, which takes longer than many a command.

    Commands have closed what they opened and dropped what they held. What can go wrong with the last output, or is no plain
    exit code, is left to the interpreter.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(code)  # type: ignore[arg-type]
    if code is not None and not isinstance(code, int):
        sys.exit(code)  # type: ignore[arg-type]
    os._exit(code or 0)


if __name__ == "__main__":
    main()
