//! BLAKE3's compression in the lanes of AVX2 or AVX-512 registers.
//!
//! Intrinsics that touch no memory are safe inside functions that enable their instructions; the unsafe blocks are the
//! entries from code that does not, and the loads and stores.
#![allow(unsafe_code)]

use super::{Block, FLAGS, IV};
use crate::simd::Simd;

/// The most lanes.
pub(super) const LANES_MAX: usize = 16;

/// The messages that are worked on at once.
pub(super) fn lanes(simd: Simd) -> usize {
    if simd == Simd::Avx512 { avx512::LANES } else { avx2::LANES }
}

/// Replace the blocks (at most as many as there are lanes), messages of so many bytes each and zero after, by their
/// hashes. `simd` must not be the portable one.
pub(super) fn compress(simd: Simd, key: &[u32; 8], lengths: &[u32; LANES_MAX], blocks: &mut [Block]) {
    let whole = lanes(simd);
    if blocks.len() == whole {
        return dispatch(simd, key, lengths, blocks);
    }
    let mut padded = [[0; 16]; LANES_MAX];
    padded[..blocks.len()].copy_from_slice(blocks);
    dispatch(simd, key, lengths, &mut padded[..whole]);
    blocks.copy_from_slice(&padded[..blocks.len()]);
}

fn dispatch(simd: Simd, key: &[u32; 8], lengths: &[u32; LANES_MAX], blocks: &mut [Block]) {
    simd.require();
    if simd == Simd::Avx512 {
        let blocks = blocks.first_chunk_mut().expect("as many blocks as lanes");
        // SAFETY: `require` found the instructions that the function enables.
        unsafe { avx512::compress(key, lengths, blocks) }
    } else {
        let blocks = blocks.first_chunk_mut().expect("as many blocks as lanes");
        // SAFETY: `require` found the instructions that the function enables.
        unsafe { avx2::compress(key, lengths.first_chunk().expect("16 lengths"), blocks) }
    }
}

/// The rounds over vectors of any width: BLAKE3's specification, section 2.2, with the words of all lanes side by side.
macro_rules! rounds {
    ($features:literal, $vector:ty) => {
        /// The mixing of four words of the state with two of the message. The places are constants, so that the state
        /// stays in registers.
        #[inline]
        #[target_feature(enable = $features)]
        fn mix<const A: usize, const B: usize, const C: usize, const D: usize>(
            state: &mut [$vector; 16],
            x: $vector,
            y: $vector,
        ) {
            state[A] = add(add(state[A], state[B]), x);
            state[D] = rotate_16(xor(state[D], state[A]));
            state[C] = add(state[C], state[D]);
            state[B] = rotate_12(xor(state[B], state[C]));
            state[A] = add(add(state[A], state[B]), y);
            state[D] = rotate_8(xor(state[D], state[A]));
            state[C] = add(state[C], state[D]);
            state[B] = rotate_7(xor(state[B], state[C]));
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn round(state: &mut [$vector; 16], message: &[$vector; 16]) {
            mix::<0, 4, 8, 12>(state, message[0], message[1]);
            mix::<1, 5, 9, 13>(state, message[2], message[3]);
            mix::<2, 6, 10, 14>(state, message[4], message[5]);
            mix::<3, 7, 11, 15>(state, message[6], message[7]);
            mix::<0, 5, 10, 15>(state, message[8], message[9]);
            mix::<1, 6, 11, 12>(state, message[10], message[11]);
            mix::<2, 7, 8, 13>(state, message[12], message[13]);
            mix::<3, 4, 9, 14>(state, message[14], message[15]);
        }

        /// In each round the words of the message stand in another order.
        #[inline]
        #[target_feature(enable = $features)]
        fn permute(m: &[$vector; 16]) -> [$vector; 16] {
            [m[2], m[6], m[3], m[10], m[7], m[0], m[4], m[13], m[1], m[11], m[12], m[5], m[9], m[14], m[15], m[8]]
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn rounds(key: &[$vector; 8], length: $vector, mut message: [$vector; 16]) -> [$vector; 16] {
            let zero = splat(0);
            let [i0, i1, i2, i3] = [splat(IV[0]), splat(IV[1]), splat(IV[2]), splat(IV[3])];
            let [k0, k1, k2, k3, k4, k5, k6, k7] = *key;
            let mut state = [k0, k1, k2, k3, k4, k5, k6, k7, i0, i1, i2, i3, zero, zero, length, splat(FLAGS)];
            round(&mut state, &message);
            for _ in 1..7 {
                message = permute(&message);
                round(&mut state, &message);
            }
            for index in 0..8 {
                state[index] = xor(state[index], state[index + 8]);
                state[index + 8] = xor(state[index + 8], key[index]);
            }
            state
        }
    };
}

mod avx512 {
    use core::arch::x86_64::*;

    use super::{Block, FLAGS, IV};

    pub(super) const LANES: usize = 16;

    rounds!("avx512f,avx512bw", __m512i);

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn splat(word: u32) -> __m512i {
        _mm512_set1_epi32(word.cast_signed())
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn add(a: __m512i, b: __m512i) -> __m512i {
        _mm512_add_epi32(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn xor(a: __m512i, b: __m512i) -> __m512i {
        _mm512_xor_si512(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn rotate_16(a: __m512i) -> __m512i {
        _mm512_ror_epi32::<16>(a)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn rotate_12(a: __m512i) -> __m512i {
        _mm512_ror_epi32::<12>(a)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn rotate_8(a: __m512i) -> __m512i {
        _mm512_ror_epi32::<8>(a)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn rotate_7(a: __m512i) -> __m512i {
        _mm512_ror_epi32::<7>(a)
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn compress(key: &[u32; 8], lengths: &[u32; LANES], blocks: &mut [Block; LANES]) {
        let mut rows = [_mm512_setzero_si512(); LANES];
        for (row, block) in rows.iter_mut().zip(blocks.iter()) {
            // SAFETY: a block is 64 bytes, and the load asks for no alignment.
            *row = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
        }
        // SAFETY: 16 lengths are 64 bytes, and the load asks for no alignment.
        let length = unsafe { _mm512_loadu_si512(lengths.as_ptr().cast()) };
        let out = transpose(rounds(&key.map(|word| splat(word)), length, transpose(rows)));
        for (block, row) in blocks.iter_mut().zip(out) {
            // SAFETY: a block is 64 bytes, and the store asks for no alignment.
            unsafe { _mm512_storeu_si512(block.as_mut_ptr().cast(), row) };
        }
    }

    /// Word `w` of row `r` becomes word `r` of row `w`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
        let mut pairs = rows;
        for i in 0..8 {
            pairs[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
        }
        let mut fours = pairs;
        for i in 0..4 {
            for half in 0..2 {
                fours[4 * i + 2 * half] = _mm512_unpacklo_epi64(pairs[4 * i + half], pairs[4 * i + half + 2]);
                fours[4 * i + 2 * half + 1] = _mm512_unpackhi_epi64(pairs[4 * i + half], pairs[4 * i + half + 2]);
            }
        }
        // Quarter k of fours[4i + j] now holds word 4k + j of the rows 4i to 4i + 3.
        let mut out = fours;
        for j in 0..4 {
            let even = _mm512_shuffle_i32x4::<0x88>(fours[j], fours[4 + j]);
            let odd = _mm512_shuffle_i32x4::<0xdd>(fours[j], fours[4 + j]);
            let even_high = _mm512_shuffle_i32x4::<0x88>(fours[8 + j], fours[12 + j]);
            let odd_high = _mm512_shuffle_i32x4::<0xdd>(fours[8 + j], fours[12 + j]);
            out[j] = _mm512_shuffle_i32x4::<0x88>(even, even_high);
            out[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd, odd_high);
            out[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even, even_high);
            out[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd, odd_high);
        }
        out
    }
}

mod avx2 {
    use core::arch::x86_64::*;

    use super::{Block, FLAGS, IV};

    pub(super) const LANES: usize = 8;

    rounds!("avx2", __m256i);

    #[inline]
    #[target_feature(enable = "avx2")]
    fn splat(word: u32) -> __m256i {
        _mm256_set1_epi32(word.cast_signed())
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn add(a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi32(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn xor(a: __m256i, b: __m256i) -> __m256i {
        _mm256_xor_si256(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn rotate_16(a: __m256i) -> __m256i {
        let order = [2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13];
        _mm256_shuffle_epi8(a, bytes(order))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn rotate_12(a: __m256i) -> __m256i {
        _mm256_or_si256(_mm256_srli_epi32::<12>(a), _mm256_slli_epi32::<20>(a))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn rotate_8(a: __m256i) -> __m256i {
        let order = [1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12];
        _mm256_shuffle_epi8(a, bytes(order))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn rotate_7(a: __m256i) -> __m256i {
        _mm256_or_si256(_mm256_srli_epi32::<7>(a), _mm256_slli_epi32::<25>(a))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn bytes(order: [u8; 16]) -> __m256i {
        let [low, high] = [0, 8].map(|at| i64::from_le_bytes(*order[at..].first_chunk().expect("16 bytes")));
        _mm256_set_epi64x(high, low, high, low)
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn compress(key: &[u32; 8], lengths: &[u32; LANES], blocks: &mut [Block; LANES]) {
        let mut message = [_mm256_setzero_si256(); 16];
        for half in 0..2 {
            let mut rows = [_mm256_setzero_si256(); LANES];
            for (row, block) in rows.iter_mut().zip(blocks.iter()) {
                // SAFETY: half a block is 32 bytes, and the load asks for no alignment.
                *row = unsafe { _mm256_loadu_si256(block[8 * half..8 * half + 8].as_ptr().cast()) };
            }
            message[8 * half..8 * half + 8].copy_from_slice(&transpose(rows));
        }
        // SAFETY: 8 lengths are 32 bytes, and the load asks for no alignment.
        let length = unsafe { _mm256_loadu_si256(lengths.as_ptr().cast()) };
        let out = rounds(&key.map(|word| splat(word)), length, message);
        for half in 0..2 {
            let rows = transpose(*out[8 * half..].first_chunk().expect("16 words"));
            for (block, row) in blocks.iter_mut().zip(rows) {
                // SAFETY: half a block is 32 bytes, and the store asks for no alignment.
                unsafe { _mm256_storeu_si256(block[8 * half..8 * half + 8].as_mut_ptr().cast(), row) };
            }
        }
    }

    /// Word `w` of row `r` becomes word `r` of row `w`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
        let mut pairs = rows;
        for i in 0..4 {
            pairs[2 * i] = _mm256_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm256_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
        }
        let mut fours = pairs;
        for i in 0..2 {
            for half in 0..2 {
                fours[4 * i + 2 * half] = _mm256_unpacklo_epi64(pairs[4 * i + half], pairs[4 * i + half + 2]);
                fours[4 * i + 2 * half + 1] = _mm256_unpackhi_epi64(pairs[4 * i + half], pairs[4 * i + half + 2]);
            }
        }
        // Half k of fours[4i + j] now holds word 4k + j of the rows 4i to 4i + 3.
        let mut out = fours;
        for j in 0..4 {
            out[j] = _mm256_permute2x128_si256::<0x20>(fours[j], fours[4 + j]);
            out[4 + j] = _mm256_permute2x128_si256::<0x31>(fours[j], fours[4 + j]);
        }
        out
    }
}
