"""What each party learns, in plain words: shown by ``plan`` before anything moves, and stored in the receipt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psc.texts import render

if TYPE_CHECKING:
    from psc.operations.play import Play, RunShape

__all__ = ["Leakage", "Line", "leakage_of"]


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence of a statement: a text code and its fields."""

    code: str
    fields: tuple[tuple[str, str], ...]

    def render(self, lang: str | None = None) -> str:
        """Return the sentence in ``lang``, or in the reader's language."""
        return render(self.code, dict(self.fields), lang=lang)


@dataclass(frozen=True, slots=True)
class Leakage:
    """What the initiator and the responder learn from a run, line by line, and under which adversary model."""

    initiator: tuple[Line, ...]
    responder: tuple[Line, ...]
    model: str

    def as_document(self) -> dict[str, tuple[str, ...]]:
        """Return the English statement, as it enters the receipt; the same on both sides."""
        return {
            "initiator": tuple(line.render("en") for line in self.initiator),
            "responder": tuple(line.render("en") for line in self.responder),
        }


def leakage_of(play: Play[Any, Any], shape: RunShape, names: Mapping[str, str]) -> Leakage:
    """Return the statement of a run.

    Args:
        play: the operation and its protocol.
        shape: the run.
        names: node names by role, ``initiator`` and ``responder``.
    """
    fields = {
        "initiator": names["initiator"],
        "responder": names["responder"],
        "initiator_size": f"{shape.sizes[0]:,}",
        "responder_size": f"{shape.sizes[1]:,}",
        "columns": ", ".join(column.name for column in shape.released),
        "rows": str(shape.rows_per_key),
        **play.fields(shape),
    }
    frozen = tuple(sorted(fields.items()))
    mine, theirs = play.statement(shape)
    return Leakage(tuple(Line(code, frozen) for code in mine), tuple(Line(code, frozen) for code in theirs), shape.model)
