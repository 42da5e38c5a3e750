"""The threat model speaks of what there is: every protocol by its own statement, and what the catalogue shows of aggregates."""

from __future__ import annotations

import re
from pathlib import Path

import psc
from psc.operations.software import PROTOCOLS

DOCS = Path(psc.__file__).parent.parent / "docs"
TEXT = (DOCS / "threat-model.md").read_text(encoding="utf-8")


def test_every_protocol_has_its_statement() -> None:
    """A link to the section of each, which exists."""
    linked = re.findall(r"\[([^\]]+)\]\((protocols/[a-z-]+\.md)#adversary-model\)", TEXT.partition("\n## ")[0])
    named = {name for names, _ in linked for name in names.split(" and ")}
    assert named == set(PROTOCOLS)
    for _, page in linked:
        assert "\n## Adversary model\n" in (DOCS / page).read_text(encoding="utf-8")


def test_what_the_catalogue_shows_of_aggregates_is_said() -> None:
    (row,) = (line for line in TEXT.splitlines() if line.startswith("| a partner with a grant, before any run |"))
    for shown in ("declared range and decimals", "exact number of labels", "bound of rows a key"):
        assert shown in row
