"""Moments in UTC: one written form, to the second, with ``Z``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from psc.errors import UsageError

__all__ = ["next_day", "now", "parse_moment", "parse_timestamp", "timestamp", "utc_day"]

_FORM = "%Y-%m-%dT%H:%M:%SZ"
_WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def now() -> datetime:
    """Return the present moment in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def timestamp(moment: datetime) -> str:
    """Return a moment in its written form, ``2026-11-21T17:00:00Z``."""
    return moment.astimezone(UTC).strftime(_FORM)


def parse_timestamp(text: str) -> datetime:
    """Return the moment that a written form names.

    Raises:
        ValueError: the text is not in that form or no such moment exists.
    """
    if _WRITTEN.fullmatch(text) is None:
        raise ValueError("a UTC time such as 2026-11-21T17:00:00Z is needed")
    return datetime.strptime(text, _FORM).replace(tzinfo=UTC)


def parse_moment(text: str, *, end_of_day: bool = False) -> datetime:
    """Return the moment of what a user typed: a date, or a UTC time.

    Args:
        text: ``2026-11-21`` or ``2026-11-21T17:00:00Z``.
        end_of_day: a bare date means its last second instead of its first.

    Raises:
        UsageError: it is neither.
    """
    try:
        if _DATE.fullmatch(text) is not None:
            return parse_timestamp(f"{text}T23:59:59Z" if end_of_day else f"{text}T00:00:00Z")
        return parse_timestamp(text)
    except ValueError:
        raise UsageError("node.time-wrong", value=text) from None


def utc_day(moment: datetime) -> str:
    """Return the UTC day of a moment as ``2026-11-21``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d")


def next_day(moment: datetime) -> datetime:
    """Return the first second of the UTC day after a moment, when daily quotas are renewed."""
    start = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return start + timedelta(days=1)
