//! SHA-512 (FIPS 180-4) of eight messages, one a lane.
//!
//! Only the lengths of messages decide which instructions run.

use core::arch::x86_64::*;

use zeroize::Zeroizing;

use super::{LANES, to_lanes, to_vector};
use crate::hash::Digest;

const BLOCK_BYTES: usize = 128;
const LENGTH_BYTES: usize = 16;
/// The fractional parts of the square roots of the first 8 primes, and of the cube roots of the first 80.
const IV: [u64; 8] = [
    0x6a09e667f3bcc908,
    0xbb67ae8584caa73b,
    0x3c6ef372fe94f82b,
    0xa54ff53a5f1d36f1,
    0x510e527fade682d1,
    0x9b05688c2b3e6c1f,
    0x1f83d9abfb41bd6b,
    0x5be0cd19137e2179,
];
const K: [u64; 80] = [
    0x428a2f98d728ae22,
    0x7137449123ef65cd,
    0xb5c0fbcfec4d3b2f,
    0xe9b5dba58189dbbc,
    0x3956c25bf348b538,
    0x59f111f1b605d019,
    0x923f82a4af194f9b,
    0xab1c5ed5da6d8118,
    0xd807aa98a3030242,
    0x12835b0145706fbe,
    0x243185be4ee4b28c,
    0x550c7dc3d5ffb4e2,
    0x72be5d74f27b896f,
    0x80deb1fe3b1696b1,
    0x9bdc06a725c71235,
    0xc19bf174cf692694,
    0xe49b69c19ef14ad2,
    0xefbe4786384f25e3,
    0x0fc19dc68b8cd5b5,
    0x240ca1cc77ac9c65,
    0x2de92c6f592b0275,
    0x4a7484aa6ea6e483,
    0x5cb0a9dcbd41fbd4,
    0x76f988da831153b5,
    0x983e5152ee66dfab,
    0xa831c66d2db43210,
    0xb00327c898fb213f,
    0xbf597fc7beef0ee4,
    0xc6e00bf33da88fc2,
    0xd5a79147930aa725,
    0x06ca6351e003826f,
    0x142929670a0e6e70,
    0x27b70a8546d22ffc,
    0x2e1b21385c26c926,
    0x4d2c6dfc5ac42aed,
    0x53380d139d95b3df,
    0x650a73548baf63de,
    0x766a0abb3c77b2a8,
    0x81c2c92e47edaee6,
    0x92722c851482353b,
    0xa2bfe8a14cf10364,
    0xa81a664bbc423001,
    0xc24b8b70d0f89791,
    0xc76c51a30654be30,
    0xd192e819d6ef5218,
    0xd69906245565a910,
    0xf40e35855771202a,
    0x106aa07032bbd1b8,
    0x19a4c116b8d2d0c8,
    0x1e376c085141ab53,
    0x2748774cdf8eeb99,
    0x34b0bcb5e19b48a8,
    0x391c0cb3c5c95a63,
    0x4ed8aa4ae3418acb,
    0x5b9cca4f7763e373,
    0x682e6ff3d6b2b8a3,
    0x748f82ee5defb2fc,
    0x78a5636f43172f60,
    0x84c87814a1f0ab72,
    0x8cc702081a6439ec,
    0x90befffa23631e28,
    0xa4506cebde82bde9,
    0xbef9a3f7b2c67915,
    0xc67178f2e372532b,
    0xca273eceea26619c,
    0xd186b8c721c0c207,
    0xeada7dd6cde0eb1e,
    0xf57d4f7fee6ed178,
    0x06f067aa72176fba,
    0x0a637dc5a2c898a6,
    0x113f9804bef90dae,
    0x1b710b35131c471b,
    0x28db77f523047d84,
    0x32caab7b40c72493,
    0x3c9ebe0a15c9bebc,
    0x431d67c49c100d4c,
    0x4cc5d4becb3e42b6,
    0x597f299cfc657e2a,
    0x5fcb6fab3ad6faec,
    0x6c44198c4a475817,
];

/// The digest of `prefix` and what `message(i)` appends to the buffer, for every i. Whole blocks of the prefix are hashed once.
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
pub(super) fn digests(prefix: &[u8], message: &dyn Fn(usize, &mut Vec<u8>), out: &mut [Digest]) {
    let (whole, rest) = prefix.as_chunks::<BLOCK_BYTES>();
    let mut start = IV.map(|word| to_vector([word; LANES]));
    for block in whole {
        compress(&mut start, &words(&[block; LANES]), 0xff);
    }
    let mut buffers: [Zeroizing<Vec<u8>>; LANES] = Default::default();
    for (group, out) in out.chunks_mut(LANES).enumerate() {
        let mut blocks_max = 0;
        for (lane, buffer) in buffers[..out.len()].iter_mut().enumerate() {
            buffer.clear();
            buffer.extend_from_slice(rest);
            message(group * LANES + lane, buffer);
            pad(buffer, whole.len());
            blocks_max = blocks_max.max(buffer.len() / BLOCK_BYTES);
        }
        let mut state = start;
        for index in 0..blocks_max {
            let mut active = 0;
            let mut blocks = [&[0; BLOCK_BYTES]; LANES];
            for (lane, buffer) in buffers[..out.len()].iter().enumerate() {
                if let Some(block) = buffer.as_chunks().0.get(index) {
                    blocks[lane] = block;
                    active |= 1 << lane;
                }
            }
            compress(&mut state, &words(&blocks), active);
        }
        let state = state.map(to_lanes);
        for (lane, out) in out.iter_mut().enumerate() {
            for (word, bytes) in state.iter().zip(out.as_chunks_mut::<8>().0) {
                *bytes = word[lane].to_be_bytes();
            }
        }
    }
}

/// Append a one, zeros and the length in bits.
fn pad(buffer: &mut Vec<u8>, blocks_before: usize) {
    let bits = (blocks_before * BLOCK_BYTES + buffer.len()) as u128 * 8;
    buffer.push(0x80);
    buffer.resize((buffer.len() + LENGTH_BYTES).next_multiple_of(BLOCK_BYTES) - LENGTH_BYTES, 0);
    buffer.extend_from_slice(&bits.to_be_bytes());
}

/// Word i of the block of lane j in lane j of vector i.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn words(blocks: &[&[u8; BLOCK_BYTES]; LANES]) -> [__m512i; 16] {
    let mut lanes = [[0u64; LANES]; 16];
    for (lane, block) in blocks.iter().enumerate() {
        for (words, bytes) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
            words[lane] = u64::from_be_bytes(*bytes);
        }
    }
    lanes.map(to_vector)
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<0x96>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn add(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi64(a, b)
}

/// Work one block into the state of the active lanes.
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn compress(state: &mut [__m512i; 8], block: &[__m512i; 16], active: __mmask8) {
    let mut w = *block;
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for rounds in K.as_chunks::<16>().0 {
        for (step, constant) in rounds.iter().enumerate() {
            let s1 = xor3(_mm512_ror_epi64::<14>(e), _mm512_ror_epi64::<18>(e), _mm512_ror_epi64::<41>(e));
            let choice = _mm512_ternarylogic_epi64::<0xca>(e, f, g);
            let keyed = add(w[step], _mm512_set1_epi64(*constant as i64));
            let t1 = add(add(h, keyed), add(s1, choice));
            let s0 = xor3(_mm512_ror_epi64::<28>(a), _mm512_ror_epi64::<34>(a), _mm512_ror_epi64::<39>(a));
            let majority = _mm512_ternarylogic_epi64::<0xe8>(a, b, c);
            (h, g, f, e) = (g, f, e, add(d, t1));
            (d, c, b, a) = (c, b, a, add(t1, add(s0, majority)));
            // The word sixteen rounds later; after the last sixteen it is not used.
            let (w1, w14) = (w[(step + 1) % 16], w[(step + 14) % 16]);
            let s0 = xor3(_mm512_ror_epi64::<1>(w1), _mm512_ror_epi64::<8>(w1), _mm512_srli_epi64::<7>(w1));
            let s1 = xor3(_mm512_ror_epi64::<19>(w14), _mm512_ror_epi64::<61>(w14), _mm512_srli_epi64::<6>(w14));
            w[step] = add(add(w[step], w[(step + 9) % 16]), add(s0, s1));
        }
    }
    for (sum, end) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *sum = _mm512_mask_add_epi64(*sum, active, *sum, end);
    }
}
