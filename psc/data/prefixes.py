"""Which five-digit prefixes make every number a valid mobile: decided from the number metadata, not from examples.

The compiled path of the phone normaliser answers a clean Chinese mobile by one table look-up. The table must say "valid" only
where libphonenumber says so for *all* numbers with that prefix, so it is computed from the patterns of the metadata
with Brzozowski derivatives: after five digits the rest of the mobile pattern must accept every six digits, no service
pattern may accept any, and no rule that rewrites a number (national prefix, carrier code, international prefix) may
have begun to match. Whatever cannot be decided by five digits stays with libphonenumber.

References:
    J. A. Brzozowski, "Derivatives of Regular Expressions", Journal of the ACM 11(4), 1964.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TypeAlias

from phonenumbers import PhoneMetadata, PhoneNumberDesc

from psc.errors import DataError
from psc.types import canonical_json

__all__ = ["PREFIX_DIGITS", "metadata_hash", "prefix_table", "region_metadata"]

PREFIX_DIGITS = 5
_MOBILE_DIGITS = 11
_DIGITS = "0123456789"
_SERVICE_FIELDS = ("toll_free", "premium_rate", "shared_cost", "uan", "voicemail")
_DESC_FIELDS = ("general_desc", "fixed_line", "mobile", "personal_number", "voip", "pager", *_SERVICE_FIELDS)


@dataclass(frozen=True, slots=True)
class _None:
    """Accepts nothing."""


@dataclass(frozen=True, slots=True)
class _Empty:
    """Accepts the empty text."""


@dataclass(frozen=True, slots=True)
class _OneOf:
    """Accepts one digit of a set."""

    digits: str


@dataclass(frozen=True, slots=True)
class _Cat:
    """Accepts ``left`` followed by ``right``."""

    left: _Node
    right: _Node


@dataclass(frozen=True, slots=True)
class _Alt:
    """Accepts what any of the options accepts."""

    options: frozenset[_Node]


_Node: TypeAlias = _None | _Empty | _OneOf | _Cat | _Alt
_NONE = _None()
_EMPTY = _Empty()


class _UnsupportedError(Exception):
    """The pattern uses a construct that the small parser does not know."""


# --- patterns as trees ---------------------------------------------------------------------------------------------


def _cat(left: _Node, right: _Node) -> _Node:
    if _NONE in (left, right):
        return _NONE
    if left == _EMPTY:
        return right
    return left if right == _EMPTY else _Cat(left, right)


def _alt(left: _Node, right: _Node) -> _Node:
    options: set[_Node] = set()
    for node in (left, right):
        options.update(node.options if isinstance(node, _Alt) else (node,))
    options.discard(_NONE)
    if not options:
        return _NONE
    return options.pop() if len(options) == 1 else _Alt(frozenset(options))


class _Parser:
    """The subset of regular expressions that number metadata uses: digits, classes, groups, alternatives, ``?`` and ``{n,m}``."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0

    def parse(self) -> _Node:
        node = self._alternatives()
        if self._at != len(self._text):
            raise _UnsupportedError
        return node

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, wanted: str) -> bool:
        if self._text.startswith(wanted, self._at):
            self._at += len(wanted)
            return True
        return False

    def _alternatives(self) -> _Node:
        node = self._sequence()
        while self._take("|"):
            node = _alt(node, self._sequence())
        return node

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated())
        node: _Node = _EMPTY
        for part in reversed(parts):
            node = _cat(part, node)
        return node

    def _repeated(self) -> _Node:
        atom = self._atom()
        if self._take("?"):
            return _alt(atom, _EMPTY)
        if not self._take("{"):
            return atom
        end = self._text.find("}", self._at)
        low, _, high = self._text[self._at : end].partition(",")
        if end < 0 or not low.isdigit() or (high and not high.isdigit()) or self._text[self._at : end].endswith(","):
            raise _UnsupportedError
        self._at = end + 1
        node: _Node = _EMPTY
        for _ in range(int(high or low) - int(low)):
            node = _alt(_cat(atom, node), _EMPTY)
        for _ in range(int(low)):
            node = _cat(atom, node)
        return node

    def _atom(self) -> _Node:
        if self._take("(?:") or (not self._text.startswith("(?", self._at) and self._take("(")):
            node = self._alternatives()
            if not self._take(")"):
                raise _UnsupportedError
            return node
        if self._take("\\d"):
            return _OneOf(_DIGITS)
        if self._take("["):
            end = self._text.find("]", self._at)
            if end < 0:
                raise _UnsupportedError
            inside, self._at = self._text[self._at : end], end + 1
            return _OneOf(_class_digits(inside))
        character = self._peek()
        if character not in _DIGITS or not character:
            raise _UnsupportedError
        self._at += 1
        return _OneOf(character)


def _class_digits(inside: str) -> str:
    digits: set[str] = set()
    at = 0
    while at < len(inside):
        first = inside[at]
        if inside[at : at + 2] == "\\d":
            digits.update(_DIGITS)
            at += 2
            continue
        last = inside[at + 2] if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside) else first
        if first not in _DIGITS or last not in _DIGITS:
            raise _UnsupportedError
        digits.update(_DIGITS[int(first) : int(last) + 1])
        at += 1 if last is first else 3
    return "".join(sorted(digits))


@cache
def _nullable(node: _Node) -> bool:
    if isinstance(node, _Cat):
        return _nullable(node.left) and _nullable(node.right)
    if isinstance(node, _Alt):
        return any(_nullable(option) for option in node.options)
    return node == _EMPTY


@cache
def _after(node: _Node, digit: str) -> _Node:
    """Return what is left of a pattern after one digit."""
    if isinstance(node, _OneOf):
        return _EMPTY if digit in node.digits else _NONE
    if isinstance(node, _Cat):
        rest = _cat(_after(node.left, digit), node.right)
        return _alt(rest, _after(node.right, digit)) if _nullable(node.left) else rest
    left: _Node = _NONE
    if isinstance(node, _Alt):
        for option in node.options:
            left = _alt(left, _after(option, digit))
    return left


@cache
def _accepts_all(node: _Node, count: int) -> bool:
    if node == _NONE:
        return False
    return _nullable(node) if count == 0 else all(_accepts_all(_after(node, digit), count - 1) for digit in _DIGITS)


@cache
def _accepts_some(node: _Node, count: int) -> bool:
    if node == _NONE:
        return False
    return _nullable(node) if count == 0 else any(_accepts_some(_after(node, digit), count - 1) for digit in _DIGITS)


# --- the table -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def prefix_table(region: str) -> bytes:
    """Return the table of the compiled path: one byte for each five-digit prefix.

    Args:
        region: ISO 3166 code of two letters; only ``CN`` has a compiled path, other regions get a table of zeros.

    Returns:
        100,000 bytes; 1 where every 11-digit national number with this prefix is a valid mobile and nothing but its
        plain digits, 0 where libphonenumber has to be asked.
    """
    table = bytearray(10**PREFIX_DIGITS)
    metadata = region_metadata(region)
    mobile: PhoneNumberDesc | None = metadata.mobile
    if region == "CN" and mobile is not None and _MOBILE_DIGITS in (mobile.possible_length or ()):
        try:
            _fill(table, metadata)
        except _UnsupportedError:
            table = bytearray(10**PREFIX_DIGITS)  # metadata written in a new way: slower, never wrong
    return bytes(table)


def _fill(table: bytearray, metadata: PhoneMetadata) -> None:
    valid = tuple(_pattern(metadata, name) for name in ("general_desc", "mobile"))
    services = tuple(_pattern(metadata, name) for name in _SERVICE_FIELDS)
    rewrites = tuple(
        _Parser(pattern).parse() for pattern in (metadata.national_prefix_for_parsing, metadata.international_prefix) if pattern
    )
    pending = [("", valid, services, rewrites)]
    while pending:
        prefix, valid, services, rewrites = pending.pop()
        missing = _MOBILE_DIGITS - len(prefix)
        sure = all(_accepts_all(node, missing) for node in valid) and not any(_accepts_some(node, missing) for node in services)
        if prefix and sure and all(node == _NONE for node in rewrites):  # whatever follows
            below = 10 ** (PREFIX_DIGITS - len(prefix))
            table[int(prefix) * below : (int(prefix) + 1) * below] = b"\1" * below
            continue
        if len(prefix) == PREFIX_DIGITS or not all(_accepts_some(node, missing) for node in valid):
            continue
        for digit in "1" if not prefix else _DIGITS:  # a mobile begins with 1
            rewritten = tuple(_after(node, digit) for node in rewrites)
            if any(_nullable(node) for node in rewritten):
                continue  # libphonenumber would cut something off the front
            pending.append(
                (
                    prefix + digit,
                    tuple(_after(node, digit) for node in valid),
                    tuple(_after(node, digit) for node in services),
                    rewritten,
                )
            )


def _pattern(metadata: PhoneMetadata, name: str) -> _Node:
    desc: PhoneNumberDesc | None = getattr(metadata, name)
    text = desc.national_number_pattern if desc is not None else None
    return _Parser(text).parse() if text else _NONE


# --- the metadata of a region --------------------------------------------------------------------------------------


def region_metadata(region: str) -> PhoneMetadata:
    """Return the number metadata of a region.

    Raises:
        DataError: ``data.region-unknown``.
    """
    found = PhoneMetadata.metadata_for_region(region, None) if len(region) == 2 else None
    if found is None:
        raise DataError("data.region-unknown", region=region[:16])
    return found


@lru_cache(maxsize=32)
def metadata_hash(region: str = "CN") -> str:
    """Return SHA-256, in hex, of what decides which numbers of a region are valid.

    The dump holds the patterns, lengths and prefixes, and leaves out examples and display formats, so that two versions of
    the package with the same rules give the same hash. The handshake compares it; a package version is never compared.

    Raises:
        DataError: ``data.region-unknown``.
    """
    metadata = region_metadata(region)
    dump: dict[str, object] = {
        "region": region,
        "country_code": metadata.country_code,
        "international_prefix": metadata.international_prefix,
        "national_prefix": metadata.national_prefix,
        "national_prefix_for_parsing": metadata.national_prefix_for_parsing,
        "national_prefix_transform_rule": metadata.national_prefix_transform_rule,
        "leading_digits": metadata.leading_digits,
        "main_country_for_code": bool(metadata.main_country_for_code),
    }
    for name in _DESC_FIELDS:
        desc: PhoneNumberDesc | None = getattr(metadata, name)
        dump[name] = desc and {
            "pattern": desc.national_number_pattern,
            "lengths": sorted(desc.possible_length or ()),
            "local_lengths": sorted(desc.possible_length_local_only or ()),
        }
    return hashlib.sha256(canonical_json(dump)).hexdigest()
