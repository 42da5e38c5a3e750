"""The settings of a node: ``node.toml`` in the home, overridden by environment variables ``PSC_…``.

``PSC_ADDRESS=courier.example:7443`` overrides ``address``; a setting of a table takes two underscores, for instance
``PSC_LIMITS__SESSIONS=32``. A key that psc does not know is an error, so that a typing mistake never leaves a default in
force unseen.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from psc.errors import UsageError
from psc.node.fields import NodeName
from psc.node.files import storage_errors
from psc.session.limits import Limits
from psc.texts import is_plain
from psc.types import CHUNK_BYTES

__all__ = ["DEFAULT_LISTEN", "Settings", "TlsSettings", "check_address", "default_settings", "read_settings"]

DEFAULT_LISTEN = "0.0.0.0:7443"
"""Where ``psc serve`` listens unless told otherwise. Every caller needs a pinned certificate, so all interfaces may."""

_HOST_PORT = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<host>[^\s/:\[\]@?#]+)):(?P<port>[0-9]{1,5})", re.ASCII)


def check_address(value: str, *, lowest_port: int = 1) -> str:
    """Return ``HOST:PORT`` or the empty string.

    Args:
        value: for instance ``courier.example:7443`` or ``[2001:db8::1]:7443``; no scheme and no path.
        lowest_port: 0 allows "any free port", for listening.

    Raises:
        ValueError: it has another form.
    """
    if value == "":
        return value
    found = _HOST_PORT.fullmatch(value)
    if found is None or not is_plain(value) or not lowest_port <= int(found["port"]) <= 65535:
        raise ValueError("HOST:PORT is needed, such as courier.example:7443 or [2001:db8::1]:7443, without https://")
    return value


def _listen(value: str) -> str:
    return check_address(value, lowest_port=0)


def _region(value: str) -> str:
    if re.fullmatch("[A-Z]{2}", value) is None:
        raise ValueError("two capital letters are needed, such as CN")
    return value


_LEAST_FRAME_BYTES = CHUNK_BYTES + 1024


class TlsSettings(BaseModel):
    """Certificates of a company CA; all empty: the node's own authority issues short-lived ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: str = ""
    key: str = ""
    authority: str = ""


class Settings(BaseModel):
    """What ``node.toml`` and the environment say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: NodeName
    listen: Annotated[str, AfterValidator(_listen)] = DEFAULT_LISTEN
    address: Annotated[str, AfterValidator(check_address)] = ""
    region: Annotated[str, AfterValidator(_region)] = "CN"
    language: Literal["", "en", "zh"] = ""
    tls: TlsSettings = TlsSettings()
    limits: Limits = Field(default_factory=Limits)

    @field_validator("limits")
    @classmethod
    def _frames_hold_a_chunk(cls, limits: Limits) -> Limits:
        if limits.frame_bytes < _LEAST_FRAME_BYTES:
            raise ValueError(f"frame_bytes must be at least {_LEAST_FRAME_BYTES}: a protocol's messages are that large")
        return limits


def read_settings(path: Path, *, shown: Path | None = None) -> Settings:
    """Return the settings of a ``node.toml`` with the environment's overrides.

    Args:
        path: the file.
        shown: the path that errors name, when it is another.

    Raises:
        UsageError: a key is unknown, a value is wrong, or the file is not TOML; the text names the place.
        StorageError: the file cannot be read.
    """
    shown = shown or path
    with storage_errors(shown):
        text = path.read_bytes()
    try:
        found = tomllib.loads(text.decode())
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are both
        raise UsageError("node.settings-unreadable", file=str(shown), problem=str(error)) from None
    try:
        return Settings.model_validate(_overridden(found, os.environ))
    except ValidationError as error:
        raise _setting_error(error, shown) from None


def _overridden(found: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a file with those of the environment: ``PSC_NAME``, and ``PSC_TABLE__NAME`` in a table."""
    settings = dict(found)
    for variable, value in environment.items():
        name, _, inner = variable.removeprefix("PSC_").lower().partition("__")
        if not variable.startswith("PSC_") or name not in Settings.model_fields:
            continue
        table = settings.get(name)
        settings[name] = {**(table if isinstance(table, dict) else {}), inner: value} if inner else value
    return settings


def _setting_error(error: ValidationError, path: Path) -> UsageError:
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    variable = "PSC_" + name.upper().replace(".", "__")
    place = variable if variable in os.environ else str(path)
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return UsageError("node.setting-unknown", name=name, place=place)
    if first["type"] == "missing":
        return UsageError("node.setting-missing", name=name, place=place)
    return UsageError("node.setting-wrong", name=name, place=place, problem=first["msg"].removeprefix("Value error, "))


_HEAD = """\
# Settings of this psc node. An environment variable overrides a setting: PSC_ADDRESS for address, PSC_LIMITS__SESSIONS
# for sessions in [limits]. An unknown key is an error.

# The name in the card that partners pin. After a change, send partners the new card (psc card).
name = {name}

# Where `psc serve` listens for partners: HOST:PORT; port 0 takes any free port.
listen = {listen}

# Where partners reach this node: HOST:PORT as they see it. Empty when this side has no inbound port; it then dials out.
address = {address}

# The region whose national form phone numbers may have when they have no country code (two capital letters).
region = {region}

# The language of texts for people: en, zh, or empty to follow PSC_LANG and the system.
language = {language}

[tls]
# Certificates of a company CA in PEM, paths relative to this folder. Leave all three empty to let the node's own
# authority issue certificates that last a week and renew themselves.
# certificate: the node's certificate, followed by any intermediate ones. It must allow server and client authentication.
certificate = ""
# key: its private key, readable by this user alone.
key = ""
# authority: the certificates that partners are to trust for this node (root and any intermediate ones).
authority = ""

[limits]
# Bounds on what a partner may ask of this node at a time. Take the first # away to change one.
"""

_LIMIT_NOTES = {
    "frame_bytes": "the largest frame of a session, in bytes.",
    "message_bytes": "the most frame bytes in one call; larger ones are refused before they are buffered.",
    "window_frames": "how many frames a direction may hold unacknowledged before its sender waits.",
    "calls_in_flight": "how many calls a session makes at once in each direction.",
    "set_elements": "the largest set that is worked on, in distinct keys.",
    "transfer_bytes": "the most bytes that one run may move in one direction; what arrives is held in memory.",
    "sessions": "how many sessions run at once; the next one is refused as busy.",
    "sessions_per_partner": "how many of them one partner may have.",
    "streams": "how many calls one connection may have open at once.",
    "call_deadline_seconds": "the deadline of every call; gateways commonly cut calls at 60.",
    "poll_seconds": "how long a call waits at the listener for something to happen.",
    "frame_seconds": "how long a partner may take for its next frame, computing included.",
    "peer_silence_seconds": "how long a partner may say nothing before its session is given up.",
    "reconnect_seconds": "how long a broken connection is retried.",
    "connect_seconds": "how long the first connection is tried.",
    "keepalive_seconds": "the pause between pings on an idle connection.",
    "keepalive_timeout_seconds": "how long a ping may stay unanswered.",
}


def default_settings(
    name: str, *, listen: str = DEFAULT_LISTEN, address: str = "", region: str = "CN", language: str = ""
) -> str:
    """Return the text of a new ``node.toml``, with a comment that explains each setting."""
    chosen = {"name": name, "listen": listen, "address": address, "region": region, "language": language}
    lines = [_HEAD.format(**{key: _toml_string(value) for key, value in chosen.items()})]
    for field in dataclasses.fields(Limits):
        lines.append(
            f"# {field.name} = {getattr(Limits(), field.name)!r}  # {_LIMIT_NOTES.get(field.name, '')}".rstrip(" #") + "\n"
        )
    return "".join(lines)


def _toml_string(value: str) -> str:
    escaped = "".join(f"\\u{ord(c):04x}" if c in '"\\' or ord(c) < 32 or ord(c) == 127 else c for c in value)
    return f'"{escaped}"'
