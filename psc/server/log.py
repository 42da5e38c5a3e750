"""The server's log: one line of JSON an event, made of a closed list of fields, so that nothing personal can slip in.

``time`` (UTC), ``level`` and ``event`` are always there. A record of another library is reduced to its origin and level: its text
may hold anything.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from psc.transport.handler import Observer

__all__ = ["FIELDS", "JsonFormatter", "json_logger", "observer"]

FIELDS = frozenset(
    {
        "bytes_received",
        "bytes_sent",
        "code",
        "count",
        "method",
        "partner",
        "port",
        "rule",
        "run",
        "seconds",
        "session",
        "where",
    }
)
"""All that an event may say beside its name: names, closed codes, counts; never a key, a value or a person."""

_ATTRIBUTE = "psc_fields"
_LEVELS = {"failed": logging.WARNING, "refused": logging.WARNING, "foreign": logging.WARNING, "crashed": logging.ERROR}


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        stamp = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line: dict[str, object] = {"time": stamp, "level": record.levelname.lower()}
        fields = getattr(record, _ATTRIBUTE, None)
        if isinstance(fields, dict):
            line |= {"event": record.getMessage(), **fields}
        else:
            line |= {"event": "library", "where": record.name}
        return json.dumps(line, ensure_ascii=False, default=str)


def json_logger(stream: TextIO | None = None, *, name: str = "psc.server", level: int = logging.INFO) -> logging.Logger:
    """Return a logger that writes JSON lines to a stream (standard error by default) and nowhere else."""
    logger = logging.getLogger(name)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
    return logger


def observer(logger: logging.Logger) -> Observer:
    """Return what writes events to a logger; fields that are not in ``FIELDS`` or are empty are left out."""

    def observe(event: str, **fields: object) -> None:
        kept = {key: value for key, value in sorted(fields.items()) if key in FIELDS and value not in ("", None)}
        logger.log(_LEVELS.get(event.rpartition(".")[2], logging.INFO), event, extra={_ATTRIBUTE: kept})

    return observe
