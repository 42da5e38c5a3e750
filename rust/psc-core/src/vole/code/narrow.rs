//! The portable code with the 128-bit carry-less multiplier and prefetching, and with 256-bit vectors where the compiler
//! sees fit.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::portable::{self, Element};
use super::{ConvolutionBits, MIXER, Pair};
use crate::prg::Cipher;

/// What the multiplier can multiply by [`MIXER`].
pub trait Narrow: Element {
    /// Its components, changed one by one.
    fn each(self, change: impl Fn(u128) -> u128) -> Self;
}

impl Narrow for u128 {
    #[inline]
    fn each(self, change: impl Fn(u128) -> u128) -> Self {
        change(self)
    }
}

impl Narrow for Pair {
    #[inline]
    fn each(self, change: impl Fn(u128) -> u128) -> Self {
        self.map(change)
    }
}

/// See [`portable::convolve`]. Called only where [`crate::simd::Simd::require`] found the instructions.
pub(super) fn convolve<T: Narrow>(bits: &ConvolutionBits, noise: &mut [T]) {
    // SAFETY: the caller asked for this instruction set, whose presence `Simd::require` asserted.
    unsafe { convolve_inside(bits, noise) }
}

#[target_feature(enable = "avx2,pclmulqdq")]
fn convolve_inside<T: Narrow>(bits: &ConvolutionBits, noise: &mut [T]) {
    portable::convolve(bits, noise, |element| element.each(|component| mix(component)));
}

/// See [`portable::expand`]. Called only where [`crate::simd::Simd::require`] found the instructions.
pub(super) fn expand<T: Element>(cipher: &Cipher, noise: &[T], first: usize, count: usize, add: impl FnMut(usize, T)) {
    // SAFETY: the caller asked for this instruction set, whose presence `Simd::require` asserted.
    unsafe { expand_inside(cipher, noise, first, count, add) }
}

#[target_feature(enable = "avx2,pclmulqdq")]
fn expand_inside<T: Element>(cipher: &Cipher, noise: &[T], first: usize, count: usize, add: impl FnMut(usize, T)) {
    let touch = |element: &T| _mm_prefetch::<_MM_HINT_T0>((&raw const *element).cast());
    portable::expand(cipher, noise, first, count, touch, add);
}

/// The product with [`MIXER`], which has 32 coefficients, so that the part to be reduced has fewer than 64.
#[inline]
#[target_feature(enable = "avx2,pclmulqdq")]
fn mix(element: u128) -> u128 {
    // SAFETY: both types are 16 plain bytes, and every bit pattern is a value of either.
    let element: __m128i = unsafe { core::mem::transmute(element) };
    let mixer = _mm_set_epi64x(0x87, i64::from(MIXER));
    let low = _mm_clmulepi64_si128::<0x00>(element, mixer);
    let high = _mm_clmulepi64_si128::<0x01>(element, mixer);
    let folded = _mm_clmulepi64_si128::<0x11>(high, mixer);
    let product = _mm_xor_si128(_mm_xor_si128(low, folded), _mm_slli_si128::<8>(high));
    // SAFETY: both types are 16 plain bytes, and every bit pattern is a value of either.
    unsafe { core::mem::transmute(product) }
}
