//! The code with 512-bit vectors.
//!
//! The convolution keeps what is yet to be added to the next 28 positions in registers, four positions each (beside their
//! second components, for pairs): a position's bits become masks under which it is added to seven registers. The expander
//! computes the positions of a batch of outputs and asks the memory for them before it adds those of the batch before.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::portable::{self, Element};
use super::{ConvolutionBits, LANES, MIXER, Pair, REGULAR, WEIGHT, WIDTH};
use crate::prg::Cipher;

/// Registers that a position of the first of them is added to, or may be.
const REACH: usize = 7;
/// Outputs whose positions are computed together.
const BATCH: usize = 32;

/// An element of so many components of 128 bits: four elements are the bytes of as many registers.
pub trait Wide<const COMPONENTS: usize>: Element {
    /// The bytes of four elements.
    fn registers(elements: &[Self; LANES]) -> [__m512i; COMPONENTS];
    /// The inverse.
    fn elements(registers: [__m512i; COMPONENTS]) -> [Self; LANES];
}

impl Wide<1> for u128 {
    #[inline]
    fn registers(elements: &[Self; LANES]) -> [__m512i; 1] {
        // SAFETY: both types are 64 plain bytes, and every bit pattern is a value of either.
        unsafe { core::mem::transmute(*elements) }
    }

    #[inline]
    fn elements(registers: [__m512i; 1]) -> [Self; LANES] {
        // SAFETY: both types are 64 plain bytes, and every bit pattern is a value of either.
        unsafe { core::mem::transmute(registers) }
    }
}

impl Wide<2> for Pair {
    #[inline]
    fn registers(elements: &[Self; LANES]) -> [__m512i; 2] {
        // SAFETY: both types are 128 plain bytes, and every bit pattern is a value of either.
        unsafe { core::mem::transmute(*elements) }
    }

    #[inline]
    fn elements(registers: [__m512i; 2]) -> [Self; LANES] {
        // SAFETY: both types are 128 plain bytes, and every bit pattern is a value of either.
        unsafe { core::mem::transmute(registers) }
    }
}

/// Put component c of four elements into register c.
#[inline]
#[target_feature(enable = "avx512f")]
fn load<const COMPONENTS: usize, T: Wide<COMPONENTS>>(elements: &[T; LANES]) -> [__m512i; COMPONENTS] {
    let mut registers = T::registers(elements);
    if let [low, high] = &mut registers[..] {
        let (first, second) = (*low, *high);
        *low = _mm512_shuffle_i64x2::<0b10_00_10_00>(first, second);
        *high = _mm512_shuffle_i64x2::<0b11_01_11_01>(first, second);
    }
    registers
}

/// The inverse of loading.
#[inline]
#[target_feature(enable = "avx512f")]
fn store<const COMPONENTS: usize, T: Wide<COMPONENTS>>(mut registers: [__m512i; COMPONENTS]) -> [T; LANES] {
    if let [first, second] = &mut registers[..] {
        let low = _mm512_shuffle_i64x2::<0b01_00_01_00>(*first, *second);
        let high = _mm512_shuffle_i64x2::<0b11_10_11_10>(*first, *second);
        *first = _mm512_shuffle_i64x2::<0b11_01_10_00>(low, low);
        *second = _mm512_shuffle_i64x2::<0b11_01_10_00>(high, high);
    }
    T::elements(registers)
}

/// See [`portable::convolve`]. Called only where [`crate::simd::Simd::require`] found the instructions; the length is a
/// multiple of 8 and at least 64.
pub(super) fn convolve<const COMPONENTS: usize, T: Wide<COMPONENTS>>(bits: &ConvolutionBits, noise: &mut [T]) {
    // SAFETY: the caller asked for this instruction set, whose presence `Simd::require` asserted.
    unsafe { convolve_inside(bits, noise) }
    portable::wrap(bits, noise);
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vpclmulqdq,bmi2")]
fn convolve_inside<const COMPONENTS: usize, T: Wide<COMPONENTS>>(bits: &ConvolutionBits, noise: &mut [T]) {
    let start = REACH * LANES;
    portable::convolve_first(bits, noise, start);
    let mut waiting = [[_mm512_setzero_si512(); COMPONENTS]; REACH];
    for (register, waiting) in waiting.iter_mut().take(REACH - 1).enumerate() {
        let sums: [T; LANES] = core::array::from_fn(|lane| {
            let position = start + register * LANES + lane;
            portable::near(bits, noise, position, position + 1 - start..=WIDTH)
        });
        *waiting = load(&sums);
    }
    for group in REACH..noise.len() / LANES {
        let at = group * LANES;
        let far = load::<COMPONENTS, T>(noise[at - WIDTH - 1..].first_chunk().expect("four positions before"));
        let own: &mut [T; LANES] = noise[at..].first_chunk_mut().expect("whole groups");
        let mut sums = load::<COMPONENTS, T>(own);
        for component in 0..COMPONENTS {
            let mixed = mix(_mm512_xor_si512(sums[component], far[component]));
            sums[component] = _mm512_xor_si512(waiting[0][component], mixed);
        }
        for register in 1..REACH {
            waiting[register - 1] = waiting[register];
        }
        waiting[REACH - 1] = [_mm512_setzero_si512(); COMPONENTS];
        let words = bits.0[group];
        let (low, high) = (words as u64, (words >> 64) as u64);
        step::<COMPONENTS, 0b00_00_00_00, 1>(&mut sums, &mut waiting, low & WORD);
        step::<COMPONENTS, 0b01_01_01_01, 2>(&mut sums, &mut waiting, low >> 32 & WORD);
        step::<COMPONENTS, 0b10_10_10_10, 3>(&mut sums, &mut waiting, high & WORD);
        step::<COMPONENTS, 0b11_11_11_11, 4>(&mut sums, &mut waiting, high >> 32 & WORD);
        *own = store(sums);
    }
}

/// The bits of a position.
const WORD: u64 = (1 << WIDTH) - 1;

/// Add the position in a lane of `sums`, which is final, to those behind it, by its bits: bit d - 1 is about distance d.
/// `SHIFT` is one more than the lane, so that bit i becomes that of lane i, counted through all registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vpclmulqdq,bmi2")]
fn step<const COMPONENTS: usize, const SPREAD: i32, const SHIFT: u32>(
    sums: &mut [__m512i; COMPONENTS],
    waiting: &mut [[__m512i; COMPONENTS]; REACH],
    bits: u64,
) {
    // Every element fills two lanes of 64 bits.
    let spread = _pdep_u64(bits << SHIFT, 0x5555_5555_5555_5555);
    let masks = spread | spread << 1;
    let own = sums.map(|sums| _mm512_shuffle_i64x2::<SPREAD>(sums, sums));
    for component in 0..COMPONENTS {
        sums[component] = _mm512_mask_xor_epi64(sums[component], masks as u8, sums[component], own[component]);
    }
    for register in 1..REACH {
        let mask = (masks >> (8 * register)) as u8;
        for component in 0..COMPONENTS {
            let sum = &mut waiting[register - 1][component];
            *sum = _mm512_mask_xor_epi64(*sum, mask, *sum, own[component]);
        }
    }
}

/// The products with [`MIXER`], which has 32 coefficients, so that the part to be reduced has fewer than 64.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vpclmulqdq,bmi2")]
fn mix(elements: __m512i) -> __m512i {
    let mixer = _mm512_set1_epi64(i64::from(MIXER));
    let low = _mm512_clmulepi64_epi128::<0x00>(elements, mixer);
    let high = _mm512_clmulepi64_epi128::<0x01>(elements, mixer);
    let folded = _mm512_clmulepi64_epi128::<0x01>(high, _mm512_set1_epi64(0x87));
    _mm512_xor_si512(_mm512_xor_si512(low, folded), _mm512_bslli_epi128::<8>(high))
}

/// See [`portable::expand`]. Called only where [`crate::simd::Simd::require`] found the instructions.
pub(super) fn expand<T: Element>(cipher: &Cipher, noise: &[T], first: usize, count: usize, add: impl FnMut(usize, T)) {
    assert!(noise.len() < 1 << 31, "positions of 32 bits");
    // SAFETY: the caller asked for this instruction set, whose presence `Simd::require` asserted.
    unsafe { expand_inside(cipher, noise, first, count, add) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma")]
fn expand_inside<T: Element>(cipher: &Cipher, noise: &[T], first: usize, count: usize, mut add: impl FnMut(usize, T)) {
    let mut sources = [[[0; 8]; BATCH]; 2];
    let mut words = [0; 4 * BATCH];
    let batches = count.div_ceil(BATCH);
    for batch in 0..=batches {
        if batch < batches {
            cipher.stream(4 * (first + batch * BATCH) as u64, &mut words);
            locate(noise, &words, &mut sources[batch % 2]);
        }
        if batch > 0 {
            let start = (batch - 1) * BATCH;
            for (row, sources) in sources[(batch - 1) % 2][..BATCH.min(count - start)].iter().enumerate() {
                let mut sum = noise[sources[0] as usize];
                for source in &sources[1..WEIGHT] {
                    sum = sum.plus(noise[*source as usize]);
                }
                add(start + row, sum);
            }
        }
    }
}

/// Compute the positions of a batch, as [`portable::sources`] does, and start to bring them nearer.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma")]
fn locate<T: Element>(noise: &[T], words: &[u128; 4 * BATCH], sources: &mut [[u32; 8]; BATCH]) {
    let half = noise.len() as i64;
    let part = half / REGULAR as i64;
    let starts = _mm512_setr_epi64(0, part, 2 * part, 3 * part, 0, 0, 0, 0);
    let ranges = _mm512_setr_epi64(part, part, part, part, half, half, half, half);
    for (words, sources) in words.as_chunks::<4>().0.iter().zip(sources) {
        // SAFETY: both types are 64 plain bytes, and every bit pattern is a value of either.
        let fractions: __m512i = unsafe { core::mem::transmute(*words) };
        let positions = _mm512_cvtepi64_epi32(_mm512_madd52hi_epu64(starts, fractions, ranges));
        // SAFETY: both types are 32 plain bytes, and every bit pattern is a value of either.
        *sources = unsafe { core::mem::transmute::<__m256i, [u32; 8]>(positions) };
        for source in &sources[..WEIGHT] {
            let address = &raw const noise[*source as usize];
            _mm_prefetch::<_MM_HINT_T0>(address.cast());
        }
    }
}
