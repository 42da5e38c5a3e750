//! Packed additive encryption: one party encrypts columns of 64-bit numbers, the other adds up those it chooses.
//!
//! Polynomials modulo X^8192 + 1 and q, the product of four primes of 42 bits. A ciphertext of 8192 numbers v is
//! (a, b = −a·s + 2^64·e + v): `a` is public and follows from a label, s is the column's secret with coefficients −1, 0, 1,
//! e is small. The matcher needs coefficient 0 of sums of products only, which in b is a plain inner product with its
//! weights; for `a` it multiplies by the polynomial whose coefficient i is the weight, taken at 1/X. Multiplying at 1/X
//! reverses the order of the values of the transform, so `a` is held reversed instead.
//!
//! `docs/protocols/packed-encryption.md` derives the bounds below, says what each side learns, and why.

use crate::error::{Error, Result, check_range};

pub mod matcher;
pub mod owner;
pub mod prime;
mod sample;
mod wire;

pub use matcher::SumMatcher;
pub use owner::SumOwner;

use self::prime::{MODULI, RESIDUE_BITS};

/// The ring's dimension: coefficients of a polynomial, and numbers in a ciphertext.
pub const DEGREE: usize = 8192;
/// Primes of the modulus.
pub const PRIMES: usize = 4;
/// Bytes of a polynomial's residues modulo one prime.
pub const PLANE_BYTES: usize = DEGREE * RESIDUE_BITS / 8;
/// Bytes of a polynomial, and of a ciphertext: 21 a coefficient.
pub const POLYNOMIAL_BYTES: usize = PRIMES * PLANE_BYTES;
/// Bytes of one coefficient.
pub const COEFFICIENT_BYTES: usize = PRIMES * RESIDUE_BITS / 8;
/// The most cells that a key set may release.
pub const CELLS_MAX: usize = 40;
/// The most columns of a section.
pub const COLUMNS_MAX: usize = 1024;
/// Weights are below this in absolute value.
pub const WEIGHT_LIMIT: u64 = 1 << 32;
/// The largest error of the centred binomial distribution that is used.
pub const ERROR_MAX: u64 = 21;
/// The flood is at least 2^40 times as wide as what it hides.
const FLOOD_BITS: u32 = 40;

/// Bytes of a section's public keys.
pub fn key_bytes(columns: usize) -> usize {
    columns.saturating_mul(POLYNOMIAL_BYTES)
}

/// Bytes of a cell's reply: all of c1, and coefficient 0 of every column's c0.
pub fn reply_bytes(columns: usize) -> usize {
    columns.saturating_mul(COEFFICIENT_BYTES).saturating_add(POLYNOMIAL_BYTES)
}

/// Return the bound B of what is in the noise beside the flood; nothing when it does not fit 127 bits.
///
/// Errors of the ciphertexts (21 a position and unit of weight), the carry out of 64 bits (half of one each, rounded up), the
/// error of the public key times a ternary polynomial, a fresh error times the ternary secret, and one more.
pub fn noise_bound(positions: u64, weight: u64) -> Option<u128> {
    let product = u128::from(positions).checked_mul(u128::from(weight))?;
    let errors = product.checked_mul(u128::from(ERROR_MAX))?;
    let fixed = u128::from(ERROR_MAX) * (2 * DEGREE as u128 + 1);
    errors.checked_add(product.div_ceil(2))?.checked_add(fixed).filter(|bound| bound >> 127 == 0)
}

/// Return F = ⌊(q/2 − 2^64·(B + 1))/2^64⌋, the widest flood with which every decryption is exact.
///
/// Refuses what would leave the flood less than 2^40 times as wide as B.
pub fn flood_bound(positions: u64, weight: u64) -> Result<u128> {
    let refused = Error::SumTooLarge { positions, weight };
    check_range("weight", weight as usize, 0, WEIGHT_LIMIT as usize - 1)?;
    let bound = noise_bound(positions, weight).ok_or_else(|| refused.clone())?;
    let flood = half_modulus().checked_sub(bound + 1).ok_or_else(|| refused.clone())?;
    if bound << FLOOD_BITS >> FLOOD_BITS == bound && flood >= bound << FLOOD_BITS { Ok(flood) } else { Err(refused) }
}

/// ⌊q/2^65⌋.
fn half_modulus() -> u128 {
    let [_, middle, high] = modulus();
    (u128::from(high) << 64 | u128::from(middle)) >> 1
}

/// q in words, the lowest first.
pub(crate) fn modulus() -> [u64; 3] {
    let three = MODULI[1..].iter().fold(1u128, |product, &(modulus, _)| product * u128::from(modulus));
    words_times(three, MODULI[0].0)
}

/// The product of a number below 2^126 and one below 2^64.
pub(crate) fn words_times(a: u128, b: u64) -> [u64; 3] {
    let low = u128::from(a as u64) * u128::from(b);
    let high = (a >> 64) * u128::from(b) + (low >> 64);
    [low as u64, high as u64, (high >> 64) as u64]
}

#[cfg(test)]
mod tests;
