"""Horizontal bars as SVG: the same figures give the same file, and no library is needed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

COLOURS = ("#24476b", "#c28a2c", "#5b8db8", "#8c4b3f", "#7fae9a", "#b3a369", "#6d6a8c", "#a9c4dc")
_LEFT, _WIDTH, _RIGHT, _BAR, _GAP = 250, 440, 130, 15, 9


class Bar(NamedTuple):
    """A bar: its parts, each of a series, and what stands at its end."""

    parts: Sequence[tuple[str, float]]
    note: str


def bars(path: Path, title: str, groups: Sequence[tuple[str, Sequence[Bar]]], goal: tuple[str, float] | None = None) -> None:
    """Write groups of bars, each with a label; a series has the same colour in all. ``goal`` is a line across."""
    series = list(dict.fromkeys(name for _, found in groups for bar in found for name, _ in bar.parts))
    longest = max([sum(value for _, value in bar.parts) for _, found in groups for bar in found] + [goal[1] if goal else 0])
    scale, across = _WIDTH / longest, _LEFT + _WIDTH + _RIGHT
    body, at, top = [], 44, 44
    for number, name in enumerate(series):
        column, row = number % 4, number // 4
        top = 44 + 18 * row
        left = 20 + column * (across - 40) // 4
        body.append(f'<rect x="{left}" y="{top}" width="11" height="11" fill="{COLOURS[number % len(COLOURS)]}"/>')
        body.append(f'<text x="{left + 17}" y="{top + 10}">{escape(name)}</text>')
    at = top + 32
    begin = at - 6
    for label, found in groups:
        middle = at + len(found) * _BAR / 2 + 4
        body.append(f'<text x="{_LEFT - 10}" y="{middle:.1f}" text-anchor="end">{escape(label)}</text>')
        for bar in found:
            left = float(_LEFT)
            for name, value in bar.parts:
                colour = COLOURS[series.index(name) % len(COLOURS)]
                body.append(
                    f'<rect x="{left:.1f}" y="{at}" width="{value * scale:.1f}" height="{_BAR - 2}" fill="{colour}">'
                    f"<title>{escape(name)}: {value:.3g}</title></rect>"
                )
                left += value * scale
            body.append(f'<text x="{left + 6:.1f}" y="{at + 10.5}">{escape(bar.note)}</text>')
            at += _BAR
        at += _GAP
    if goal:
        line = _LEFT + goal[1] * scale
        body.append(f'<path d="M{line:.1f} {begin}V{at}" stroke="#14293d" stroke-dasharray="4 3"/>')
        body.append(f'<text x="{line:.1f}" y="{at + 12}" text-anchor="middle">{escape(goal[0])}</text>')
        at += 16
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across} {at + 8}" role="img" aria-labelledby="t" '
        'font-family="Helvetica, Arial, \'Noto Sans\', sans-serif" font-size="12" fill="#14293d">\n'
        f'<title id="t">{escape(title)}</title>\n<rect width="{across}" height="{at + 8}" rx="10" fill="#ffffff"/>\n'
        f'<text x="20" y="28" font-weight="bold" font-size="15">{escape(title)}</text>\n'
    )
    path.write_text(head + "\n".join(body) + "\n</svg>\n", encoding="utf-8")
