"""Text of a partner that means harm to a terminal or its reader, and what must be true of everything that is shown."""

from __future__ import annotations

import unicodedata

HIDDEN = {
    "ESC": "\x1b",
    "BEL": "\x07",
    "CSI": "\x1b[2J",
    "C1 CSI": "\x9b2J",
    "OSC 52": "\x1b]52;c;ZXZpbA==\x07",
    "DEL": "\x7f",
    "carriage return": "\r",
    "newline": "\n",
    "next line": "\x85",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "direction override": "\u202e",
    "direction isolate": "\u2066",
    "zero width": "\u200b",
    "byte order mark": "\ufeff",
    "tag": "\U000e0041",
}
MARKUP = "[bold]b[/bold] [link=http://evil.example]l[/link] [/] :bomb:"
EVIL = f"a{''.join(HIDDEN.values())}Error: forged {MARKUP}"
"""Every hidden character, a line that looks like one of ours, and markup."""


def assert_harmless(shown: str) -> None:
    """Check that what is shown holds nothing hidden, no forged line, and markup as it was written."""
    hidden = {character for character in shown if unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp", "Cs"}}
    assert hidden <= {"\n"}, sorted(hidden)
    assert not any(line.strip().startswith("Error: forged") for line in shown.split("\n"))
