//! Sixteen blocks and more at a time with the 512-bit cipher rounds.
//!
//! The `aes` crate uses them too; here a tree's two ciphers share the loads of a level, and nothing goes through buffers.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

/// Rounds of AES-128.
const ROUNDS: usize = 10;
/// Blocks in a register.
const LANES: usize = 4;
/// Registers that are encrypted together: enough that no round waits for the one before.
const DEEP: usize = 8;

/// The round keys.
pub(super) type RoundKeys = [u128; ROUNDS + 1];

/// Expand a key. Called, as all here, only where [`crate::simd::Simd::require`] found the instructions.
pub(super) fn round_keys(key: u128) -> RoundKeys {
    // SAFETY: the caller asked for this instruction set, whose presence `Simd::require` asserted.
    unsafe { round_keys_inside(key) }
}

/// See [`super::Cipher::stream`].
pub(super) fn stream(keys: &RoundKeys, first: u64, out: &mut [u128]) {
    // SAFETY: the caller asked for this instruction set, whose presence `Simd::require` asserted.
    unsafe { stream_inside(keys, first, out) }
}

/// See [`super::children`].
pub(super) fn children(keys: [&RoundKeys; 2], left: &mut [u128], right: &mut [u128]) -> [u128; 2] {
    // SAFETY: the caller asked for this instruction set, whose presence `Simd::require` asserted.
    unsafe { children_inside(keys, left, right) }
}

#[target_feature(enable = "aes,sse4.1")]
fn round_keys_inside(key: u128) -> RoundKeys {
    let mut keys = [key; ROUNDS + 1];
    macro_rules! round {
        ($($round:literal $constant:literal),*) => {$({
            let before = keys[$round - 1];
            let assist = from_block(before);
            let turned = to_block(_mm_shuffle_epi32::<0xff>(_mm_aeskeygenassist_si128::<$constant>(assist)));
            let mut summed = before;
            summed ^= summed << 32;
            summed ^= summed << 64;
            keys[$round] = summed ^ turned;
        })*};
    }
    round!(1 0x01, 2 0x02, 3 0x04, 4 0x08, 5 0x10, 6 0x20, 7 0x40, 8 0x80, 9 0x1b, 10 0x36);
    keys
}

#[target_feature(enable = "avx512f,vaes")]
fn stream_inside(keys: &RoundKeys, first: u64, out: &mut [u128]) {
    let keys = keys.map(|key| from_blocks([key; LANES]));
    let mut counter = _mm512_add_epi64(_mm512_set1_epi64(first as i64), _mm512_setr_epi64(0, 0, 1, 0, 2, 0, 3, 0));
    // The high half of every block is zero.
    counter = _mm512_maskz_mov_epi64(0x55, counter);
    let step = _mm512_setr_epi64(4, 0, 4, 0, 4, 0, 4, 0);
    let (whole, rest) = out.as_chunks_mut::<{ LANES * DEEP }>();
    let mut next = || {
        let mut states = [counter; DEEP];
        for state in &mut states {
            *state = counter;
            counter = _mm512_add_epi64(counter, step);
        }
        encrypt(&keys, states)
    };
    for out in whole {
        let (out, _) = out.as_chunks_mut::<LANES>();
        out.iter_mut().zip(next()).for_each(|(out, state)| *out = to_blocks(state));
    }
    if !rest.is_empty() {
        let last = next().map(to_blocks);
        rest.copy_from_slice(&last.as_flattened()[..rest.len()]);
    }
}

#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn encrypt<const COUNT: usize>(keys: &[__m512i; ROUNDS + 1], mut states: [__m512i; COUNT]) -> [__m512i; COUNT] {
    for state in &mut states {
        *state = _mm512_xor_si512(*state, keys[0]);
    }
    for key in &keys[1..ROUNDS] {
        for state in &mut states {
            *state = _mm512_aesenc_epi128(*state, *key);
        }
    }
    for state in &mut states {
        *state = _mm512_aesenclast_epi128(*state, keys[ROUNDS]);
    }
    states
}

#[target_feature(enable = "avx512f,vaes")]
fn children_inside(keys: [&RoundKeys; 2], left: &mut [u128], right: &mut [u128]) -> [u128; 2] {
    let keys = keys.map(|keys| keys.map(|key| from_blocks([key; LANES])));
    let mut sums = [_mm512_setzero_si512(); 2];
    let (left, left_rest) = left.as_chunks_mut::<{ 4 * LANES }>();
    let (right, right_rest) = right.as_chunks_mut::<{ 4 * LANES }>();
    for (left, right) in left.iter_mut().zip(right) {
        let children = pairs(&keys, left, &mut sums);
        (*left, *right) = children;
    }
    if !left_rest.is_empty() {
        let used = left_rest.len();
        let mut padded = [0; 4 * LANES];
        padded[..used].copy_from_slice(left_rest);
        let mut ignored = sums;
        let (left, right) = pairs(&keys, &padded, &mut ignored);
        left_rest.copy_from_slice(&left[..used]);
        right_rest.copy_from_slice(&right[..used]);
        let sum = |blocks: &[u128]| blocks.iter().fold(0, |sum, block| sum ^ block);
        let rest = [sum(left_rest), sum(right_rest)];
        let [left, right] = sums.map(|sums| sum(&to_blocks(sums)));
        return [left ^ rest[0], right ^ rest[1]];
    }
    sums.map(|sums| to_blocks(sums).into_iter().fold(0, |sum, block| sum ^ block))
}

/// Sixteen nodes' left and right children, which are also added to the sums.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn pairs(
    keys: &[[__m512i; ROUNDS + 1]; 2],
    parents: &[u128; 4 * LANES],
    sums: &mut [__m512i; 2],
) -> ([u128; 4 * LANES], [u128; 4 * LANES]) {
    // SAFETY: both types are 256 plain bytes, and every bit pattern is a value of either.
    let parents: [__m512i; 4] = unsafe { core::mem::transmute(*parents) };
    let mut children = [parents; 2];
    for (keys, states) in keys.iter().zip(&mut children) {
        for state in states {
            *state = _mm512_xor_si512(*state, keys[0]);
        }
    }
    for round in 1..ROUNDS {
        for (keys, states) in keys.iter().zip(&mut children) {
            for state in states {
                *state = _mm512_aesenc_epi128(*state, keys[round]);
            }
        }
    }
    for side in 0..2 {
        for register in 0..4 {
            let last = _mm512_aesenclast_epi128(children[side][register], keys[side][ROUNDS]);
            children[side][register] = _mm512_xor_si512(last, parents[register]);
            sums[side] = _mm512_xor_si512(sums[side], children[side][register]);
        }
    }
    // SAFETY: both types are 512 plain bytes, and every bit pattern is a value of either.
    unsafe { core::mem::transmute(children) }
}

fn from_block(block: u128) -> __m128i {
    // SAFETY: both types are 16 plain bytes, and every bit pattern is a value of either.
    unsafe { core::mem::transmute(block) }
}

fn to_block(vector: __m128i) -> u128 {
    // SAFETY: both types are 16 plain bytes, and every bit pattern is a value of either.
    unsafe { core::mem::transmute(vector) }
}

#[inline]
fn from_blocks(blocks: [u128; LANES]) -> __m512i {
    // SAFETY: both types are 64 plain bytes, and every bit pattern is a value of either.
    unsafe { core::mem::transmute(blocks) }
}

#[inline]
fn to_blocks(vector: __m512i) -> [u128; LANES] {
    // SAFETY: both types are 64 plain bytes, and every bit pattern is a value of either.
    unsafe { core::mem::transmute(vector) }
}
