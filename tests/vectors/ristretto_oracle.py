"""ristretto255 and its OPRF in plain Python, written from RFC 9496, RFC 9380 and RFC 9497: slow, and independent of our Rust."""

from __future__ import annotations

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = 19681161376707505956807079304988542015446066515923890162744021073123829784752
SQRT_AD_MINUS_ONE = 25063068953384623474111414158702152701244531502492656460079210482610430750235
INVSQRT_A_MINUS_D = 54469307008909316920995813868745141605393597292927456921205312896311721017578
ONE_MINUS_D_SQ = 1159843021668779879193775521855586647937357759715417654439879720876111806838
D_MINUS_ONE_SQ = 40440834346308536858101042469323190826248399146238708352240133220865137265952

Point = tuple[int, int, int, int]
IDENTITY: Point = (0, 1, 1, 0)


def _negative(x: int) -> bool:
    return x % P & 1 == 1


def _abs(x: int) -> int:
    return -x % P if _negative(x) else x % P


def sqrt_ratio_m1(u: int, v: int) -> tuple[bool, int]:
    """RFC 9496, section 4.2."""
    r = u * v**3 % P * pow(u * v**7 % P, (P - 5) // 8, P) % P
    check = v * r * r % P
    correct, flipped, flipped_i = check == u % P, check == -u % P, check == -u * SQRT_M1 % P
    if flipped or flipped_i:
        r = r * SQRT_M1 % P
    return correct or flipped, _abs(r)


def decode(data: bytes) -> Point | None:
    """RFC 9496, section 4.3.1; nothing when the bytes are not canonical. The identity decodes."""
    s = int.from_bytes(data, "little")
    if len(data) != 32 or s >= P or _negative(s):
        return None
    ss = s * s % P
    u1, u2 = (1 - ss) % P, (1 + ss) % P
    v = (-(D * u1 * u1) - u2 * u2) % P
    was_square, invsqrt = sqrt_ratio_m1(1, v * u2 * u2 % P)
    den_x = invsqrt * u2 % P
    den_y = invsqrt * den_x * v % P
    x, y = _abs(2 * s * den_x), u1 * den_y % P
    t = x * y % P
    return None if not was_square or _negative(t) or y == 0 else (x, y, 1, t)


def encode(point: Point) -> bytes:
    """RFC 9496, section 4.3.2."""
    x0, y0, z0, t0 = point
    u1, u2 = (z0 + y0) * (z0 - y0) % P, x0 * y0 % P
    _, invsqrt = sqrt_ratio_m1(1, u1 * u2 * u2 % P)
    den1, den2 = invsqrt * u1 % P, invsqrt * u2 % P
    z_inv = den1 * den2 * t0 % P
    if _negative(t0 * z_inv):
        x, y, den_inv = y0 * SQRT_M1 % P, x0 * SQRT_M1 % P, den1 * INVSQRT_A_MINUS_D % P
    else:
        x, y, den_inv = x0, y0, den2
    if _negative(x * z_inv):
        y = -y % P
    return _abs(den_inv * (z0 - y)).to_bytes(32, "little")


def add(a: Point, b: Point) -> Point:
    """The complete addition on the curve -x² + y² = 1 + d·x²·y²."""
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e, f = (x1 + y1) * (x2 + y2) - x1 * x2 - y1 * y2, z1 * z2 - D * t1 * t2
    g, h = z1 * z2 + D * t1 * t2, y1 * y2 + x1 * x2
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(point: Point, scalar: int) -> Point:
    """Double and add."""
    result = IDENTITY
    for bit in bin(scalar)[2:]:
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def _map(t: int) -> Point:
    r = SQRT_M1 * t * t % P
    u = (r + 1) * ONE_MINUS_D_SQ % P
    v = (-1 - r * D) * (r + D) % P
    was_square, s = sqrt_ratio_m1(u, v)
    if not was_square:
        s = -_abs(s * t) % P
    c = -1 if was_square else r
    n = (c * (r - 1) * D_MINUS_ONE_SQ - v) % P
    w0, w1, w2, w3 = 2 * s * v, n * SQRT_AD_MINUS_ONE, 1 - s * s, 1 + s * s
    return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P


def derive(uniform: bytes) -> Point:
    """RFC 9496, section 4.3.4: 64 bytes to an element."""
    halves = (int.from_bytes(uniform[i : i + 32], "little") % 2**255 for i in (0, 32))
    first, second = (_map(half) for half in halves)
    return add(first, second)


def expand_message_xmd(message: bytes, dst: bytes, length: int) -> bytes:
    """RFC 9380, section 5.3.1, with SHA-512."""
    suffix = dst + bytes([len(dst)])
    b_0 = hashlib.sha512(bytes(128) + message + length.to_bytes(2, "big") + b"\0" + suffix).digest()
    blocks, last = b"", bytes(64)
    for counter in range(1, -(-length // 64) + 1):
        last = hashlib.sha512(bytes(x ^ y for x, y in zip(b_0, last)) + bytes([counter]) + suffix).digest()
        blocks += last
    return blocks[:length]


def hash_to_group(message: bytes, dst: bytes) -> Point:
    """RFC 9497, section 4.1."""
    return derive(expand_message_xmd(message, dst, 64))


def finalize(message: bytes, element: Point, suffix: bytes) -> bytes:
    """RFC 9497, section 3.3.1, after the blind is off; the suffix is ``Finalize`` there."""
    return hashlib.sha512(len(message).to_bytes(2, "big") + message + (32).to_bytes(2, "big") + encode(element) + suffix).digest()
