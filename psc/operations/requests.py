"""What a user asks for: one request type an operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from psc.types import OperationName, OutputTo

__all__ = ["Count", "Match", "Request", "key_names"]

On = str | Sequence[str] | Mapping[str, str]


@dataclass(frozen=True)
class _Asked:
    """What match and count have in common.

    Attributes:
        source: the own table: a path or URL (CSV, Parquet, partitioned folder), or anything with ``__arrow_c_stream__``.
        on: the key: a name that both sides use, several names (a composite key), or a mapping of the dataset's key names
            to own columns.
        dataset: the partner's dataset.
        purpose: why; must be one of the agreement's purposes.
        output_to: ``receiver`` (only we learn the result) or ``both``.
        on_bad: ``error`` refuses a table with bad key cells; ``skip`` leaves such rows out and counts them.
        rejects: with ``skip``, a file that gets row, class and masked value of every row left out.
        minimum_result: our own minimum; the stricter of this and the agreement's counts. ``None``: the agreement's.
    """

    OPERATION: ClassVar[OperationName]

    source: object
    _: KW_ONLY
    on: On
    dataset: str
    purpose: str
    output_to: OutputTo = "receiver"
    on_bad: Literal["error", "skip"] = "error"
    rejects: str | Path | None = None
    minimum_result: int | None = None


@dataclass(frozen=True)
class Match(_Asked):
    """Which of our rows match, and for these the partner's released columns named in ``want``."""

    OPERATION: ClassVar[OperationName] = "match"

    want: Sequence[str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "want", (self.want,) if isinstance(self.want, str) else tuple(self.want))


@dataclass(frozen=True)
class Count(_Asked):
    """How many distinct keys both hold."""

    OPERATION: ClassVar[OperationName] = "count"


Request = Match | Count


def key_names(on: On) -> dict[str, str]:
    """Return the mapping of the dataset's key names to own columns, in the order given."""
    if isinstance(on, str):
        return {on: on}
    if isinstance(on, Mapping):
        return dict(on)
    return {name: name for name in on}
