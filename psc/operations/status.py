"""What a node tells an authenticated partner about its software, so that a difference is named before a run."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from psc.types import Document, PlainText

__all__ = ["ProtocolVersion", "Status"]


class ProtocolVersion(Document):
    """A protocol that a node runs."""

    id: str = Field(max_length=32)
    version: int = Field(ge=1)
    suite: str = Field(max_length=64)


class Status(Document):
    """Versions, rules, clock and limits of a node; ``seconds_per_item`` is its own measurement, for the plan's estimate."""

    KIND: ClassVar[str] = "status"

    series: str = Field(max_length=16)
    software: PlainText = Field(max_length=64)
    protocols: tuple[ProtocolVersion, ...] = Field(max_length=32)
    engines: tuple[PlainText, ...] = Field(max_length=32)
    rules: str = Field(max_length=64)
    region: str = Field(pattern=r"^[A-Z]{2}$")
    number_metadata: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    time: str = Field(max_length=32)
    frame_bytes: int = Field(ge=1)
    set_elements: int = Field(ge=1)
    seconds_per_item: float = Field(gt=0, lt=1)
