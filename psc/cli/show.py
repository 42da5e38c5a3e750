"""How the command line speaks: consoles, tables and the written form of bytes, times and sizes.

This is where text leaves for a terminal. Much of it others wrote: cells, names, files. So every ``str`` that a console is
given is one piece of one line, with whatever acts on a terminal written as its escape, and nothing in it is markup. What is
meant to have several lines or a style is made here, as Rich's ``Text``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from psc.texts import Lines, json_escaped, render, visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

__all__ = [
    "bullets",
    "bytes_text",
    "console",
    "facts",
    "json_text",
    "label",
    "lines",
    "listing",
    "number_text",
    "preview",
    "print_json",
    "seconds_text",
    "short",
    "wraps",
]

_PIPE_WIDTH = 120
"""Columns when the output is no terminal: a run id or a fingerprint must not be broken over two lines."""


def label(name: str, /, **fields: object) -> str:
    """Return the text ``cli.<name>`` in the reader's language."""
    return render(f"cli.{name}", fields)


def console(stream: TextIO | None = None) -> Console:
    """Return a console on ``stream`` (stdout by default); a new one each time, for streams are replaced in tests."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # the boundary knows what that means; Rich would exit with 1

        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(visible(text), **options)

    file = stream or sys.stdout
    width = None if file.isatty() or os.environ.get("COLUMNS") else _PIPE_WIDTH
    return Plain(file=file, width=width, highlight=False, emoji=False, markup=False)


def json_text(document: object, *, indent: int | None = None) -> str:
    """Return a document as JSON that a terminal can be shown: readable, with hidden characters escaped."""
    return json_escaped(json.dumps(document, ensure_ascii=False, indent=indent))


def print_json(document: object) -> None:
    """Print the one JSON document of a command."""
    sys.stdout.write(json_text(document, indent=2) + "\n")


def facts(rows: Iterable[tuple[str, RenderableType]], *, title: str | None = None) -> RenderableType:
    """Return a table of names and values without rules: one fact a line.

    Args:
        rows: the name, already in the reader's language, and the value.
        title: stands above the table.
    """
    table = _table()
    table.show_header = False
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return _titled(table, title)


def listing(
    columns: Sequence[str],
    rows: Iterable[Sequence[RenderableType]],
    *,
    title: str | None = None,
    right: Iterable[str] = (),
    whole: Iterable[str] = (),
) -> RenderableType:
    """Return a table with a header.

    Args:
        columns: headers, already in the reader's language.
        rows: cells, as many in a row as there are columns.
        title: stands above the table.
        right: headers of columns that are set to the right, as numbers are.
        whole: headers of columns whose cells are never broken over lines, as ids must not be.
    """
    table = _table()
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold", no_wrap=column in whole)
    for row in rows:
        table.add_row(*row)
    return _titled(table, title)


def preview(columns: Mapping[str, Sequence[object]], *, title: str | None = None) -> RenderableType:
    """Return the first rows of a result as a table; the caller has masked what must be."""
    rows = [["" if cell is None else str(cell) for cell in row] for row in zip(*columns.values(), strict=True)]
    return listing(list(columns), rows, title=title)


def lines(texts: Iterable[str]) -> Text:
    """Return a cell or a paragraph of several lines."""
    from rich.text import Text

    return Text(Lines.of(texts))


def bullets(sentences: Iterable[str]) -> Table:
    """Return a list of sentences, each wrapped under its own beginning."""
    from rich.table import Table

    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=3, justify="right")
    table.add_column(overflow="fold")
    for sentence in sentences:
        table.add_row("•", sentence)
    return table


def wraps(text: str, indent: int = 0) -> RenderableType:
    """Return a paragraph that keeps its indentation when it is wrapped."""
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(visible(text)), (0, 0, 0, indent), expand=False)


def _table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)


def _titled(table: Table, title: str | None) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    # Not the table's own title: that is wrapped to the table's width, which may be a few characters.
    return table if title is None else Group(Text(visible(title), style="bold"), table)


def short(identity: str) -> str:
    """Return the head of a long hexadecimal value."""
    return f"{identity[:16]}…" if len(identity) > 17 else identity


def number_text(value: float | None) -> str:
    """Return a number with separators, or a dash when there is none."""
    return "–" if value is None else f"{value:,}"


def bytes_text(count: int | None) -> str:
    """Return a size in bytes, kB, MB or GB (powers of 1,000), three digits."""
    if count is None:
        return "–"
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5 or unit == "GB":
            break
        size /= 1000
    return f"{count} B" if unit == "B" else f"{size:.{0 if size >= 99.95 else 1}f} {unit}"


def seconds_text(seconds: float | None) -> str:
    """Return a duration: milliseconds below a second, then seconds, minutes, hours."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
