"""The structural check of what TenSEAL wrote, before TenSEAL reads it.

TenSEAL's loaders trust counts and sizes: a vector that claims 100,000 values in one ciphertext hands out process memory when it
is decrypted, and other wrong counts end the process. So its messages are walked here first, by a reader of protobuf that knows
these few messages, allocates nothing by what it reads, and accepts one encoding only: the one that TenSEAL itself writes. Then
the head of every SEAL object in them is checked. Only a worker process loads what has passed.

References:
    tenseal/proto/tensors.proto and tensealcontext.proto; SEAL's serialization.h (the 16-byte head).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from psc.errors import MalformedMessageError, ParameterMismatchError

__all__ = [
    "SEAL_HEAD_BYTES",
    "Tensor",
    "fields",
    "frame",
    "length_delimited",
    "public_key",
    "seal_object",
    "tensor",
    "unframe",
    "vector",
]

SEAL_HEAD_BYTES = 16
_SEAL_MAGIC = 0xA15E
_COMPRESSIONS = (0, 1, 2)
_VARINT, _FIXED64, _BYTES = 0, 1, 2
_FIELDS_MAX = 4096
_VALUES_MAX = 1 << 16


def _wrong(what: str, reason: str) -> MalformedMessageError:
    return MalformedMessageError("engines.malformed", what=what, reason=reason)


def _varint(data: memoryview, at: int, what: str) -> tuple[int, int]:
    """Return a number in its shortest encoding, below 2^64, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise _wrong(what, "it ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if (byte == 0 and shift) or value >= 1 << 64:
                raise _wrong(what, "a number is not in its shortest form")
            return value, at
    raise _wrong(what, "a number is too long")


def fields(data: memoryview, what: str) -> Iterator[tuple[int, int, int | memoryview]]:
    """Yield ``(field number, wire type, value)`` of one message; the values of bytes are views.

    Args:
        data: the message, of any length.
        what: names it in errors.

    Raises:
        MalformedMessageError: not a message, or more than 4096 fields.
    """
    at = 0
    for _ in range(_FIELDS_MAX):
        if at == len(data):
            return
        key, at = _varint(data, at, what)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at, what)
            yield number, kind, value
            continue
        if kind == _FIXED64:
            size = 8
        elif kind == _BYTES:
            size, at = _varint(data, at, what)
        else:
            raise _wrong(what, f"wire type {kind}")
        if size > len(data) - at:
            raise _wrong(what, "a field is longer than the message")
        yield number, kind, data[at : at + size]
        at += size
    if at != len(data):
        raise _wrong(what, "too many fields")


def length_delimited(number: int, data: bytes) -> bytes:
    """Return one field of bytes, to write a message of our own."""
    head = bytearray()
    for value in (number << 3 | _BYTES, len(data)):
        while value >= 0x80:
            head.append(value & 0x7F | 0x80)
            value >>= 7
        head.append(value)
    return bytes(head) + data


def seal_object(data: memoryview, version: bytes, most: int, what: str) -> None:
    """Check the head of a SEAL object.

    Args:
        data: the object.
        version: the two bytes of the version that our own SEAL writes.
        most: the longest that it may be, in bytes.
        what: names it in errors.

    Raises:
        ParameterMismatchError: written by another version.
        MalformedMessageError: no such object, or its length is wrong.
    """
    if not SEAL_HEAD_BYTES < len(data) <= most:
        raise _wrong(what, f"an object of {len(data)} bytes")
    magic, head, major, minor, compression, reserved, size = struct.unpack("<HBBBBHQ", data[:SEAL_HEAD_BYTES])
    if magic != _SEAL_MAGIC or head != SEAL_HEAD_BYTES or reserved or compression not in _COMPRESSIONS or size != len(data):
        raise _wrong(what, "the head of an object")
    if bytes((major, minor)) != version:
        raise ParameterMismatchError("engines.other-parameters", what=what, reason=f"version {major}.{minor}")


@dataclass(frozen=True)
class Tensor:
    """What a checked vector or tensor holds.

    Attributes:
        sizes: of a vector the values of each ciphertext, of a tensor its shape.
        ciphertexts: SEAL objects, as views.
    """

    sizes: tuple[int, ...]
    ciphertexts: tuple[memoryview, ...]


def _read(
    data: bytes, what: str, singles: dict[int, int]
) -> tuple[tuple[int, ...], list[memoryview], dict[int, int | memoryview]]:
    """Return sizes, ciphertexts and the single fields (number: wire type) of one of TenSEAL's messages."""
    sizes: list[int] | None = None
    ciphertexts: list[memoryview] = []
    found: dict[int, int | memoryview] = {}
    for number, kind, value in fields(memoryview(data), what):
        if number == 1 and kind == _BYTES and sizes is None and isinstance(value, memoryview):
            sizes, at = [], 0
            while at < len(value):
                size, at = _varint(value, at, what)
                sizes.append(size)
        elif number == 2 and kind == _BYTES and isinstance(value, memoryview):
            ciphertexts.append(value)
        elif singles.get(number) == kind and number not in found:
            found[number] = value
        else:
            raise _wrong(what, f"field {number}")
    return tuple(sizes or ()), ciphertexts, found


def _check_scale(found: dict[int, int | memoryview], scale: float | None, what: str) -> None:
    given = found.get(3)
    if scale is None:
        return
    value = struct.unpack("<d", given)[0] if isinstance(given, memoryview) else 0.0
    if not math.isfinite(value) or value != scale:
        raise ParameterMismatchError("engines.other-parameters", what=what, reason="scale")


def vector(data: bytes, slots: int, version: bytes, most: int, *, scale: float | None = None, what: str = "vector") -> Tensor:
    """Check a serialised BFV vector, or with ``scale`` a CKKS vector.

    Args:
        data: as TenSEAL's ``serialize`` wrote it.
        slots: values that a ciphertext can hold.
        version: of SEAL objects.
        most: the longest ciphertext, in bytes.
        scale: what a CKKS vector must name.
        what: names it in errors.

    Raises:
        MalformedMessageError: counts, sizes or encodings are wrong.
        ParameterMismatchError: another scale or version.
    """
    sizes, ciphertexts, found = _read(data, what, {} if scale is None else {3: _FIXED64})
    if len(sizes) != len(ciphertexts) or not sizes:
        raise _wrong(what, f"{len(sizes)} sizes for {len(ciphertexts)} ciphertexts")
    if any(not 1 <= size <= slots for size in sizes):
        raise _wrong(what, f"a size that is not within 1 to {slots}")
    _check_scale(found, scale, what)
    for one in ciphertexts:
        seal_object(one, version, most, what)
    return Tensor(sizes, tuple(ciphertexts))


def tensor(data: bytes, slots: int, version: bytes, most: int, *, scale: float | None = None, what: str = "tensor") -> Tensor:
    """Check a serialised CKKS tensor, or without ``scale`` a BFV tensor; as ``vector``.

    Args:
        data: as TenSEAL's ``serialize`` wrote it.
        slots: values that a ciphertext can hold.
        version: of SEAL objects.
        most: the longest ciphertext, in bytes.
        scale: what a CKKS tensor must name.
        what: names it in errors.

    Raises:
        MalformedMessageError: counts, sizes or encodings are wrong.
        ParameterMismatchError: another scale or version.
    """
    batch_field = 3 if scale is None else 4
    singles = {batch_field: _VARINT} | ({} if scale is None else {3: _FIXED64})
    shape, ciphertexts, found = _read(data, what, singles)
    if len(shape) > 8 or any(not 1 <= size <= _VALUES_MAX for size in shape) or math.prod(shape) != len(ciphertexts):
        raise _wrong(what, f"a shape that does not hold {len(ciphertexts)} ciphertexts")
    batch = found.get(batch_field, 1)
    if not isinstance(batch, int) or not 1 <= batch <= slots:
        raise _wrong(what, f"a batch that is not within 1 to {slots}")
    _check_scale(found, scale, what)
    for one in ciphertexts:
        seal_object(one, version, most, what)
    return Tensor(shape, tuple(ciphertexts))


def public_key(
    data: bytes, parameters: bytes, scale: float | None, version: bytes, most: int, what: str = "context"
) -> memoryview:
    """Check a serialised public context, and return its public key: the only part of it that is ever loaded.

    Args:
        data: as TenSEAL's ``serialize`` wrote it, without secret, relinearisation and Galois keys.
        parameters: our own encryption parameters as SEAL writes them; the peer's must be the same bytes.
        scale: what a CKKS context must name.
        version: of SEAL objects.
        most: the longest key, in bytes.
        what: names it in errors.

    Raises:
        ParameterMismatchError: other parameters.
        MalformedMessageError: anything else that TenSEAL does not write in such a context.
    """
    parts = list(fields(memoryview(data), what))
    if [(number, kind) for number, kind, _ in parts] != [(1, _BYTES), (2, _BYTES)]:
        raise _wrong(what, "more or less than parameters and a public key")
    given, public = parts[0][2], parts[1][2]
    assert isinstance(given, memoryview)  # noqa: S101 - by its wire type
    assert isinstance(public, memoryview)  # noqa: S101
    if given != parameters:
        raise ParameterMismatchError("engines.other-parameters", what=what, reason="encryption parameters")
    found = {(number, kind): value for number, kind, value in fields(public, what)}
    # 1 the key, 2 flags of automatic steps, 3 the scale; 4 and 5 would be relinearisation and Galois keys
    if not {(1, _BYTES)} <= set(found) <= {(1, _BYTES), (2, _VARINT), (3, _FIXED64)}:
        raise _wrong(what, "keys that are not wanted")
    if scale is not None:
        _check_scale({3: found.get((3, _FIXED64), 0)}, scale, what)
    key = found[1, _BYTES]
    assert isinstance(key, memoryview)  # noqa: S101
    seal_object(key, version, most, what)
    return key


def frame(data: bytes, width: int) -> bytes:
    """Return ``data`` in exactly ``width`` bytes: its length, itself, zeros. It must fit with its 4 bytes of length."""
    if len(data) > width - 4:
        raise ValueError(f"{len(data)} bytes do not fit {width}")
    return len(data).to_bytes(4, "big") + data + bytes(width - 4 - len(data))


def unframe(data: bytes, width: int, what: str) -> list[bytes]:
    """Return what is in frames of ``width`` bytes each.

    Args:
        data: whole frames.
        width: bytes of a frame.
        what: names them in errors.

    Raises:
        MalformedMessageError: a length that does not fit, or bytes after it that are not zero.
    """
    out = []
    for start in range(0, len(data), width):
        length = int.from_bytes(data[start : start + 4], "big")
        end = start + 4 + length
        if length > width - 4 or data.count(0, end, start + width) != start + width - end:
            raise _wrong(what, "a frame")
        out.append(data[start + 4 : end])
    return out
