//! The field GF(2^128) = GF(2)[X]/(X^128 + X^7 + X^2 + X + 1), in plain bit order.
//!
//! An element is a `u128`: bit i is the coefficient of X^i. On the wire it is 16 bytes, little-endian. (GHASH reflects
//! the bits; nothing here does.) Every operation takes time independent of the values.

use crate::simd::Simd;

#[cfg(target_arch = "x86_64")]
mod narrow;
mod portable;
#[cfg(target_arch = "x86_64")]
mod wide;

/// Bytes of an element on the wire.
pub const ELEMENT_BYTES: usize = 16;
/// What X^128 is reduced to: X^7 + X^2 + X + 1.
const REDUCTION: u64 = 0x87;

/// The product of two elements. Portable code: batches are faster.
pub fn multiply(left: u128, right: u128) -> u128 {
    portable::multiply(left, right)
}

/// The product with X.
#[inline]
pub fn double(element: u128) -> u128 {
    (element << 1) ^ (u128::from(REDUCTION) & (element >> 127).wrapping_neg())
}

/// Add `factors[i] * constant` to `sums[i]`; panics when the counts differ.
pub fn multiply_add(simd: Simd, sums: &mut [u128], factors: &[u128], constant: u128) {
    assert_eq!(sums.len(), factors.len(), "as many sums as factors");
    match simd.require() {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512 => wide::multiply_add(sums, factors, constant),
        #[cfg(target_arch = "x86_64")]
        Simd::Pclmul => narrow::multiply_add(sums, factors, constant),
        _ => sums.iter_mut().zip(factors).for_each(|(sum, factor)| *sum ^= multiply(*factor, constant)),
    }
}

/// Multiply `products[i]` by `factors[i]`; panics when the counts differ.
pub fn multiply_each(simd: Simd, products: &mut [u128], factors: &[u128]) {
    assert_eq!(products.len(), factors.len(), "as many products as factors");
    match simd.require() {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512 => wide::multiply_each(products, factors),
        #[cfg(target_arch = "x86_64")]
        Simd::Pclmul => narrow::multiply_each(products, factors),
        _ => products.iter_mut().zip(factors).for_each(|(product, factor)| *product = multiply(*product, *factor)),
    }
}

/// The sum of `left[i] * right[i]`; panics when the counts differ.
pub fn inner_product(simd: Simd, left: &[u128], right: &[u128]) -> u128 {
    assert_eq!(left.len(), right.len(), "vectors of the same length");
    match simd.require() {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512 => wide::inner_product(left, right),
        #[cfg(target_arch = "x86_64")]
        Simd::Pclmul => narrow::inner_product(left, right),
        _ => left.iter().zip(right).fold(0, |sum, (left, right)| sum ^ multiply(*left, *right)),
    }
}

/// The sum of `coefficients[i] * X^i` for up to 128 coefficients.
pub fn combine(coefficients: impl DoubleEndedIterator<Item = u128>) -> u128 {
    coefficients.rev().fold(0, |sum, coefficient| double(sum) ^ coefficient)
}

/// Read elements; the length must be a multiple of 16.
pub(crate) fn from_bytes(bytes: &[u8]) -> impl ExactSizeIterator<Item = u128> + '_ {
    debug_assert!(bytes.len().is_multiple_of(ELEMENT_BYTES), "whole elements");
    bytes.as_chunks::<ELEMENT_BYTES>().0.iter().map(|bytes| u128::from_le_bytes(*bytes))
}

/// Append elements as bytes.
pub(crate) fn append(bytes: &mut Vec<u8>, elements: impl IntoIterator<Item = u128>) {
    elements.into_iter().for_each(|element| bytes.extend_from_slice(&element.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn random(rng: &mut Rng, count: usize) -> Vec<u128> {
        let mut bytes = vec![0; count * 16];
        rng.fill(&mut bytes);
        from_bytes(&bytes).collect()
    }

    /// Multiplication by the definition: shift, add, reduce.
    fn schoolbook(left: u128, right: u128) -> u128 {
        combine((0..128).map(|bit| if right >> bit & 1 == 1 { left } else { 0 }))
    }

    #[test]
    fn known_answers() {
        // X^127 * X = X^128 = X^7 + X^2 + X + 1, and X^64 * X^127 = X^191 = X^63 (X^7 + X^2 + X + 1).
        assert_eq!(multiply(1 << 127, 2), 0x87);
        assert_eq!(multiply(1 << 64, 1 << 127), 0x87 << 63);
        assert_eq!(multiply(u128::MAX, u128::MAX), schoolbook(u128::MAX, u128::MAX));
        // Fermat: every nonzero element to the power 2^128 - 1 is 1, and X generates no smaller field.
        let element = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128;
        let (mut power, mut square) = (1, element);
        for _ in 0..128 {
            power = multiply(power, square);
            square = multiply(square, square);
        }
        assert_eq!((power, square), (1, element));
        // The inverse of X, computed by hand: X^127 + X^6 + X + 1.
        assert_eq!(multiply(2, (1 << 127) | 0x43), 1);
    }

    #[test]
    fn ring_axioms() {
        let mut rng = Rng::insecure_from_seed(b"ring");
        for _ in 0..500 {
            let [a, b, c] = random(&mut rng, 3).try_into().unwrap();
            assert_eq!(multiply(a, b), schoolbook(a, b));
            assert_eq!(multiply(a, b), multiply(b, a));
            assert_eq!(multiply(a, multiply(b, c)), multiply(multiply(a, b), c));
            assert_eq!(multiply(a, b ^ c), multiply(a, b) ^ multiply(a, c));
            assert_eq!(multiply(a, 1), a);
            assert_eq!(multiply(a, 2), double(a));
        }
    }

    #[test]
    fn backends_agree() {
        let mut rng = Rng::insecure_from_seed(b"backends");
        let count = 100_003;
        let (left, right, sums) = (random(&mut rng, count), random(&mut rng, count), random(&mut rng, count));
        for length in [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 65, count] {
            let constant = right[length.min(count - 1)];
            let expected: Vec<u128> = (0..length).map(|index| sums[index] ^ multiply(left[index], constant)).collect();
            let each: Vec<u128> = (0..length).map(|index| multiply(left[index], right[index])).collect();
            let product = (0..length).fold(0, |sum, index| sum ^ multiply(left[index], right[index]));
            for simd in Simd::available() {
                let mut got = sums[..length].to_vec();
                multiply_add(simd, &mut got, &left[..length], constant);
                assert!(got == expected, "{simd:?}, {length}");
                let mut got = left[..length].to_vec();
                multiply_each(simd, &mut got, &right[..length]);
                assert!(got == each, "{simd:?}, {length}");
                assert_eq!(inner_product(simd, &left[..length], &right[..length]), product, "{simd:?}, {length}");
            }
        }
    }
}
