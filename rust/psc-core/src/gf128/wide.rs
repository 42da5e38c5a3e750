//! Four elements at a time with the 512-bit carry-less multiplier.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::{REDUCTION, portable};

const LANES: usize = 4;

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

#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
fn multiply_add_inside(sums: &mut [u128], factors: &[u128], constant: u128) {
    let wide = broadcast(constant);
    let (sums, sums_rest) = sums.as_chunks_mut::<LANES>();
    let (factors, factors_rest) = factors.as_chunks::<LANES>();
    for (sum, factor) in sums.iter_mut().zip(factors) {
        let [low, middle, high] = product(load(factor), wide);
        *sum = store(_mm512_xor_si512(load(sum), reduce(low, middle, high)));
    }
    for (sum, factor) in sums_rest.iter_mut().zip(factors_rest) {
        let [low, middle, high] = product(broadcast(*factor), wide);
        *sum ^= store(reduce(low, middle, high))[0];
    }
}

#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
fn multiply_each_inside(products: &mut [u128], factors: &[u128]) {
    let (products, products_rest) = products.as_chunks_mut::<LANES>();
    let (factors, factors_rest) = factors.as_chunks::<LANES>();
    for (to, factor) in products.iter_mut().zip(factors) {
        let [low, middle, high] = product(load(to), load(factor));
        *to = store(reduce(low, middle, high));
    }
    for (to, factor) in products_rest.iter_mut().zip(factors_rest) {
        let [low, middle, high] = product(broadcast(*to), broadcast(*factor));
        *to = store(reduce(low, middle, high))[0];
    }
}

#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
fn inner_product_inside(left: &[u128], right: &[u128]) -> u128 {
    let mut sums = [_mm512_setzero_si512(); 3];
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left.iter().zip(right) {
        let parts = product(load(left), load(right));
        sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum = _mm512_xor_si512(*sum, part));
    }
    let mut padded = [[0; LANES]; 2];
    padded[0][..left_rest.len()].copy_from_slice(left_rest);
    padded[1][..right_rest.len()].copy_from_slice(right_rest);
    let parts = product(load(&padded[0]), load(&padded[1]));
    sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum = _mm512_xor_si512(*sum, part));
    let [low, middle, high] = sums.map(|sum| store(sum).into_iter().fold(0, |all, lane| all ^ lane));
    portable::reduce(low ^ (middle << 64), high ^ (middle >> 64))
}

/// The products as three parts, of which the middle one counts X^64 times.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
fn product(left: __m512i, right: __m512i) -> [__m512i; 3] {
    let cross = _mm512_clmulepi64_epi128::<0x01>(left, right);
    let middle = _mm512_xor_si512(cross, _mm512_clmulepi64_epi128::<0x10>(left, right));
    [_mm512_clmulepi64_epi128::<0x00>(left, right), middle, _mm512_clmulepi64_epi128::<0x11>(left, right)]
}

/// Reduce: first the highest 64 coefficients onto the 64 below them and the 64 below those, then the next.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
fn reduce(low: __m512i, middle: __m512i, high: __m512i) -> __m512i {
    let modulus = _mm512_set1_epi64(REDUCTION as i64);
    let low = _mm512_xor_si512(low, shift_up(middle));
    let high = _mm512_xor_si512(high, _mm512_bsrli_epi128::<8>(middle));
    let top = _mm512_clmulepi64_epi128::<0x01>(high, modulus);
    let low = _mm512_xor_si512(low, shift_up(top));
    let next = _mm512_xor_si512(high, _mm512_bsrli_epi128::<8>(top));
    _mm512_xor_si512(low, _mm512_clmulepi64_epi128::<0x00>(next, modulus))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
fn shift_up(elements: __m512i) -> __m512i {
    _mm512_maskz_shuffle_epi32::<0b01_00_11_10>(0xcccc, elements)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
fn broadcast(element: u128) -> __m512i {
    load(&[element; LANES])
}

#[inline]
fn load(elements: &[u128; LANES]) -> __m512i {
    // SAFETY: both types are 64 plain bytes, and every bit pattern is a value of either.
    unsafe { core::mem::transmute(*elements) }
}

#[inline]
fn store(vector: __m512i) -> [u128; LANES] {
    // SAFETY: both types are 64 plain bytes, and every bit pattern is a value of either.
    unsafe { core::mem::transmute(vector) }
}
