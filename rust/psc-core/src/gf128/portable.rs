//! Carry-less multiplication with integer multiplications whose operands have three of four bits cleared, so that carries
//! never reach a bit that counts (T. Pornin, BearSSL, `ghash_ctmul64`). Integer multiplication takes constant time on the
//! processors that this crate runs on.

/// The product of two elements.
pub(super) fn multiply(left: u128, right: u128) -> u128 {
    let (l0, l1) = (left as u64, (left >> 64) as u64);
    let (r0, r1) = (right as u64, (right >> 64) as u64);
    let (low, high) = (carryless(l0, r0), carryless(l1, r1));
    let middle = carryless(l0 ^ l1, r0 ^ r1) ^ low ^ high;
    reduce(low ^ (middle << 64), high ^ (middle >> 64))
}

/// Reduce `low + X^128 high`.
pub(super) fn reduce(low: u128, high: u128) -> u128 {
    let over = (high >> 127) ^ (high >> 126) ^ (high >> 121);
    let folded = high ^ over;
    low ^ folded ^ (folded << 1) ^ (folded << 2) ^ (folded << 7)
}

/// The product of two polynomials of 64 coefficients: the high half is the low half of the reversed product, reversed.
fn carryless(left: u64, right: u64) -> u128 {
    let low = carryless_low(left, right);
    let high = carryless_low(left.reverse_bits(), right.reverse_bits()).reverse_bits() >> 1;
    (u128::from(high) << 64) | u128::from(low)
}

fn carryless_low(left: u64, right: u64) -> u64 {
    const EVERY_FOURTH: u64 = 0x1111_1111_1111_1111;
    let part = |value: u64, offset: u32| value & (EVERY_FOURTH << offset);
    let (l, r) = ([0, 1, 2, 3].map(|offset| part(left, offset)), [0, 1, 2, 3].map(|offset| part(right, offset)));
    let mut product = 0;
    for offset in 0..4 {
        let mut sum = 0;
        for index in 0..4 {
            sum ^= l[index].wrapping_mul(r[(offset + 4 - index) % 4]);
        }
        product |= part(sum, offset as u32);
    }
    product
}
