"""What an initiator says before its hello: which dataset a run is going to need, so that the partner reads it meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, ValidationError, model_validator

from psc.operations.anyof import alternatives_of
from psc.operations.requests import Aggregate, Match, Request, group_side
from psc.types import ALTERNATIVES_MAX, Document, OperationName, OutputTo, PlainName, PlainText

__all__ = ["Announcement"]

Names = Annotated[tuple[PlainName, ...], Field(min_length=1, max_length=8)]


class Announcement(Document):
    """A run that is about to be asked for, as far as reading the dataset depends on it. It binds nobody, and is not signed.

    Everything in it stands in the hello that follows; names are the partner's own. ``keys`` are the names of each alternative,
    the preferred one first; ``released`` and ``groups`` those of the partner's columns.
    """

    KIND: ClassVar[str] = "announcement"

    operation: OperationName
    purpose: PlainText = Field(min_length=1, max_length=128)
    dataset: PlainName
    keys: Annotated[tuple[Names, ...], Field(min_length=1, max_length=ALTERNATIVES_MAX)]
    released: tuple[PlainName, ...] = Field(max_length=64)
    groups: tuple[PlainName, ...] = Field(max_length=8)
    output_to: OutputTo

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.keys)) < len(self.keys) or (len(self.keys) > 1 and self.operation != "match"):
            raise ValueError("only a match has alternatives, each once")
        return self

    @classmethod
    def of(cls, request: Request) -> Announcement | None:
        """Return the announcement of a request; ``None`` where one cannot be made before the catalogue is known.

        A group without a side may be an own column, whose name is not told. A name that is none, or a file that is not there,
        is told by the plan.
        """
        source = request.source
        if isinstance(source, str | os.PathLike) and "://" not in str(source) and not Path(source).exists():
            return None
        groups = [group_side(name) for name in request.group_by] if isinstance(request, Aggregate) else []
        if not all(side for side, _ in groups):
            return None
        try:
            return cls(
                operation=request.OPERATION,
                purpose=request.purpose,
                dataset=request.dataset,
                keys=tuple(tuple(sorted(names)) for names in alternatives_of(request.on)),
                released=tuple(request.want) if isinstance(request, Match) else (),
                groups=tuple(name for side, name in groups if side == "theirs"),
                output_to=request.output_to,
            )
        except (TypeError, ValidationError):
            return None
