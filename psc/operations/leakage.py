"""What each party learns, in plain words: shown by ``plan`` before anything moves, and stored in the receipt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psc.protocols.base import ProtocolSpec
from psc.texts import render
from psc.types import OutputTo, ReleasedColumn

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


def leakage_of(
    spec: ProtocolSpec,
    *,
    names: Mapping[str, str],
    sizes: Mapping[str, int],
    released: tuple[ReleasedColumn, ...],
    rows_per_key: int,
    output_to: OutputTo,
) -> Leakage:
    """Return the statement of a run in which the initiator receives.

    Args:
        spec: the protocol.
        names: node names by role, ``initiator`` and ``responder``.
        sizes: padded key counts by role.
        released: columns that the responder releases.
        rows_per_key: the public bound of rows per key.
        output_to: ``both`` adds what the responder learns.
    """
    fields = {
        "initiator": names["initiator"],
        "responder": names["responder"],
        "initiator_size": f"{sizes['initiator']:,}",
        "responder_size": f"{sizes['responder']:,}",
        "columns": ", ".join(column.name for column in released),
        "rows": str(rows_per_key),
    }
    frozen = tuple(sorted(fields.items()))
    mine = list(spec.leakage_receiver)
    theirs = list(spec.leakage_sender)
    if released:
        mine.insert(1, "leakage.match.columns")
    if output_to == "both":
        theirs[0] = f"leakage.{'match' if spec.id == 'dh-psi' else 'count'}.both"
    return Leakage(tuple(Line(code, frozen) for code in mine), tuple(Line(code, frozen) for code in theirs), spec.model)
