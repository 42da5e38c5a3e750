//! One element at a time with the 128-bit carry-less multiplier.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::portable;

/// See [`super::multiply_add`]. Called only where [`crate::simd::Simd::require`] found the instructions.
pub(super) fn multiply_add(sums: &mut [u128], factors: &[u128], constant: u128) {
    // SAFETY: the caller asked for this instruction set, whose presence `Simd::require` asserted.
    unsafe { multiply_add_inside(sums, factors, constant) }
}

/// See [`super::multiply_each`]. Called only where [`crate::simd::Simd::require`] found the instructions.
pub(super) fn multiply_each(products: &mut [u128], factors: &[u128]) {
    // SAFETY: the caller asked for this instruction set, whose presence `Simd::require` asserted.
    unsafe { multiply_each_inside(products, factors) }
}

/// See [`super::inner_product`]. Called only where [`crate::simd::Simd::require`] found the instructions.
pub(super) fn inner_product(left: &[u128], right: &[u128]) -> u128 {
    // SAFETY: the caller asked for this instruction set, whose presence `Simd::require` asserted.
    unsafe { inner_product_inside(left, right) }
}

#[target_feature(enable = "pclmulqdq,sse4.1")]
fn multiply_add_inside(sums: &mut [u128], factors: &[u128], constant: u128) {
    let constant = load(constant);
    for (sum, factor) in sums.iter_mut().zip(factors) {
        let [low, middle, high] = product(load(*factor), constant);
        *sum ^= reduce(low, middle, high);
    }
}

#[target_feature(enable = "pclmulqdq,sse4.1")]
fn multiply_each_inside(products: &mut [u128], factors: &[u128]) {
    for (to, factor) in products.iter_mut().zip(factors) {
        let [low, middle, high] = product(load(*to), load(*factor));
        *to = reduce(low, middle, high);
    }
}

#[target_feature(enable = "pclmulqdq,sse4.1")]
fn inner_product_inside(left: &[u128], right: &[u128]) -> u128 {
    let mut sums = [_mm_setzero_si128(); 3];
    for (left, right) in left.iter().zip(right) {
        let parts = product(load(*left), load(*right));
        sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum = _mm_xor_si128(*sum, part));
    }
    let [low, middle, high] = sums;
    reduce(low, middle, high)
}

/// The product as three parts, of which the middle one counts X^64 times.
#[inline]
#[target_feature(enable = "pclmulqdq,sse4.1")]
fn product(left: __m128i, right: __m128i) -> [__m128i; 3] {
    let middle = _mm_xor_si128(_mm_clmulepi64_si128::<0x01>(left, right), _mm_clmulepi64_si128::<0x10>(left, right));
    [_mm_clmulepi64_si128::<0x00>(left, right), middle, _mm_clmulepi64_si128::<0x11>(left, right)]
}

#[inline]
#[target_feature(enable = "pclmulqdq,sse4.1")]
fn reduce(low: __m128i, middle: __m128i, high: __m128i) -> u128 {
    let [low, middle, high] = [low, middle, high].map(store);
    portable::reduce(low ^ (middle << 64), high ^ (middle >> 64))
}

fn load(element: u128) -> __m128i {
    // SAFETY: both types are 16 plain bytes, and every bit pattern is a value of either.
    unsafe { core::mem::transmute(element) }
}

fn store(vector: __m128i) -> u128 {
    // SAFETY: both types are 16 plain bytes, and every bit pattern is a value of either.
    unsafe { core::mem::transmute(vector) }
}
