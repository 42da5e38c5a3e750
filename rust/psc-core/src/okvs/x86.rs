//! Adding up sums with vector registers.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::window::{Sums, Touched};

/// See `add_up_portable`. Called only by a window, which exists only where `Simd::require` found the instructions.
#[inline]
pub(super) fn add_up(sums: &Touched, band: &[u64; 5]) -> u128 {
    // SAFETY: as above.
    unsafe { add_up_inside(sums, band) }
}

/// Four chains of additions, so that they do not wait for each other.
#[target_feature(enable = "avx2,bmi2")]
fn add_up_inside(sums: &Touched, band: &[u64; 5]) -> u128 {
    let mut totals = [_mm_setzero_si128(); 4];
    totals[0] = load(&sums[64], band[4]);
    let (sixteens, _) = sums.as_chunks::<16>();
    for (sixteen, &word) in sixteens.iter().zip(band) {
        for (nibble, sums) in sixteen.iter().enumerate() {
            totals[nibble % 4] = _mm_xor_si128(totals[nibble % 4], load(sums, word >> (4 * nibble)));
        }
    }
    let [a, b, c, d] = totals;
    let total = _mm_xor_si128(_mm_xor_si128(a, b), _mm_xor_si128(c, d));
    let mut out = 0u128;
    // SAFETY: `out` is 16 bytes, and the store asks for no alignment.
    unsafe { _mm_storeu_si128((&raw mut out).cast(), total) };
    out
}

/// The sum that the lowest four bits choose.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn load(sums: &Sums, bits: u64) -> __m128i {
    let sum = &sums[(bits & 15) as usize];
    // SAFETY: a sum is 16 bytes, and the load asks for no alignment.
    unsafe { _mm_loadu_si128((&raw const *sum).cast()) }
}
