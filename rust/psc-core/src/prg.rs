//! AES-128 as a pseudorandom generator and as hash functions, in batches.
//!
//! The `aes` crate does the cipher (bitsliced where there are no AES instructions), but for the two longest loops: streams
//! and the levels of trees, which have 512-bit kernels of their own.
//! Every key here is derived from a session or is a fresh secret: no global constant key, so work against one session
//! says nothing about another. The hashes are proved in the ideal-permutation model:
//!
//! * [`children`]: `π(x) ⊕ x` (Matyas, Meyer, Oseas), for the trees of [`crate::vole`];
//! * [`Cipher::pad`]: `π(π(x) ⊕ i) ⊕ π(x)`, tweakable circular correlation robust (Guo, Katz, Wang, Yu: "Efficient and
//!   Secure Multiparty Computation from Fixed-Key Block Ciphers", ePrint 2019/074, section 7.4), for oblivious transfer.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use zeroize::Zeroize;

use crate::simd::Simd;

#[cfg(target_arch = "x86_64")]
mod wide;

/// Blocks that are encrypted by one call of the cipher.
const BATCH: usize = 64;

/// AES-128 under one key. Blocks are `u128`s, of which byte i is bits 8i to 8i + 7. The key is wiped when dropped.
pub struct Cipher {
    cipher: Aes128,
    simd: Simd,
    #[cfg(target_arch = "x86_64")]
    round_keys: wide::RoundKeys,
}

impl Drop for Cipher {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        self.round_keys.zeroize();
    }
}

impl Cipher {
    /// Expand a key, for an instruction set.
    pub fn new(simd: Simd, key: u128) -> Self {
        let mut bytes = Array::from(key.to_le_bytes());
        let cipher = Aes128::new(&bytes);
        bytes.zeroize();
        Self {
            cipher,
            simd: simd.require(),
            #[cfg(target_arch = "x86_64")]
            round_keys: if simd == Simd::Avx512 { wide::round_keys(key) } else { Default::default() },
        }
    }

    /// The instruction set that it was made for.
    pub fn simd(&self) -> Simd {
        self.simd
    }

    /// Encrypt one block.
    pub fn encrypt(&self, block: u128) -> u128 {
        let mut bytes = Array::from(block.to_le_bytes());
        self.cipher.encrypt_block(&mut bytes);
        u128::from_le_bytes(bytes.into())
    }

    /// Give every block `input(i)`, encrypted, to `output(i, block)`, for i below `count`.
    #[inline]
    fn each(&self, count: usize, input: impl Fn(usize) -> u128, mut output: impl FnMut(usize, u128)) {
        let mut buffer = [[0u8; 16]; BATCH];
        for first in (0..count).step_by(BATCH) {
            let used = &mut buffer[..BATCH.min(count - first)];
            used.iter_mut().enumerate().for_each(|(index, block)| *block = input(first + index).to_le_bytes());
            self.cipher.encrypt_blocks(Array::cast_slice_from_core_mut(used));
            used.iter().enumerate().for_each(|(index, block)| output(first + index, u128::from_le_bytes(*block)));
        }
        buffer.zeroize();
    }

    /// Fill with the counter stream: block i is the encryption of `first + i`.
    pub fn stream(&self, first: u64, out: &mut [u128]) {
        match self.simd {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => wide::stream(&self.round_keys, first, out),
            _ => self.each(out.len(), |index| u128::from(first + index as u64), |index, block| out[index] = block),
        }
    }

    /// Replace every block by `π(x) ⊕ x`.
    fn fold_in_place(&self, blocks: &mut [u128]) {
        for chunk in blocks.chunks_mut(BATCH) {
            let mut before = [0; BATCH];
            before[..chunk.len()].copy_from_slice(chunk);
            self.each(chunk.len(), |index| before[index], |index, block| chunk[index] = block ^ before[index]);
            before.zeroize();
        }
    }

    /// Replace block i by `π(π(x) ⊕ (first + i)) ⊕ π(x)`.
    pub fn pad(&self, first: u64, blocks: &mut [u128]) {
        for (chunk, blocks) in (0u64..).zip(blocks.chunks_mut(BATCH)) {
            let tweak = first + chunk * BATCH as u64;
            let mut inner = [0; BATCH];
            self.each(blocks.len(), |index| blocks[index], |index, block| inner[index] = block);
            self.each(
                blocks.len(),
                |index| inner[index] ^ u128::from(tweak + index as u64),
                |index, block| blocks[index] = block ^ inner[index],
            );
            inner.zeroize();
        }
    }
}

/// Replace every node x of `left` by `π_0(x) ⊕ x`, and put `π_1(x) ⊕ x` at its place in `right`; returns both sums.
/// Panics when the counts differ.
pub fn children(ciphers: &[Cipher; 2], left: &mut [u128], right: &mut [u128]) -> [u128; 2] {
    assert_eq!(left.len(), right.len(), "as many right children as left ones");
    let [zero, one] = ciphers;
    match zero.simd {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512 if one.simd == Simd::Avx512 => wide::children([&zero.round_keys, &one.round_keys], left, right),
        _ => {
            one.each(left.len(), |index| left[index], |index, block| right[index] = block ^ left[index]);
            zero.fold_in_place(left);
            [left, right].map(|side| side.iter().fold(0, |sum, block| sum ^ block))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(hex: &str) -> u128 {
        u128::from_str_radix(hex, 16).unwrap().swap_bytes()
    }

    #[test]
    fn fips_197_and_sp_800_38a() {
        for simd in Simd::available() {
            // FIPS 197, appendix C.1.
            let cipher = Cipher::new(simd, block("000102030405060708090a0b0c0d0e0f"));
            let encrypted = cipher.encrypt(block("00112233445566778899aabbccddeeff"));
            assert_eq!(encrypted, block("69c4e0d86a7b0430d8cdb78070b4c55a"));
            // SP 800-38A, F.1.1: the four blocks of ECB-AES128, by way of the batched hash.
            let cipher = Cipher::new(simd, block("2b7e151628aed2a6abf7158809cf4f3c"));
            let plain = [
                "6bc1bee22e409f96e93d7e117393172a",
                "ae2d8a571e03ac9c9eb76fac45af8e51",
                "30c81c46a35ce411e5fbc1191a0a52ef",
                "f69f2445df4f9b17ad2b417be66c3710",
            ]
            .map(block);
            let encrypted = [
                "3ad77bb40d7a3660a89ecaf32466ef97",
                "f5d3d58503b9699de785895a96fdbaaf",
                "43b1cd7f598ece23881b00e3ed030688",
                "7b0c785e27e8ad3f8223207104725dd4",
            ]
            .map(block);
            let expected = [0, 1, 2, 3].map(|index| plain[index] ^ encrypted[index]);
            let ciphers = [cipher, Cipher::new(simd, block("000102030405060708090a0b0c0d0e0f"))];
            let (mut left, mut right) = (plain, [0; 4]);
            children(&ciphers, &mut left, &mut right);
            assert_eq!(left, expected);
            assert_eq!(right, plain.map(|node| ciphers[1].encrypt(node) ^ node));
        }
    }

    #[test]
    fn batches_equal_single_blocks() {
        for simd in Simd::available() {
            let ciphers = [0x0f1e_2d3c, 7].map(|key| Cipher::new(simd, key));
            let cipher = &ciphers[0];
            for count in [0, 1, 2, 4, 15, 16, 17, 31, 32, 33, 63, 64, 65, 200] {
                let mut stream = vec![0; count];
                cipher.stream(9, &mut stream);
                assert!(stream.iter().enumerate().all(|(index, block)| *block == cipher.encrypt(9 + index as u128)));
                let (mut left, mut right, mut padded) = (stream.clone(), vec![0; count], stream.clone());
                let sums = children(&ciphers, &mut left, &mut right);
                cipher.pad(5, &mut padded);
                for (index, block) in stream.iter().enumerate() {
                    let inner = cipher.encrypt(*block);
                    assert_eq!(left[index], inner ^ block);
                    assert_eq!(right[index], ciphers[1].encrypt(*block) ^ block);
                    assert_eq!(padded[index], cipher.encrypt(inner ^ (5 + index as u128)) ^ inner);
                }
                assert_eq!(sums, [left, right].map(|side| side.iter().fold(0, |sum, block| sum ^ block)));
            }
        }
    }

    #[test]
    fn counters_carry_over_the_low_half_alone() {
        for simd in Simd::available() {
            let cipher = Cipher::new(simd, 11);
            let mut stream = [0; 40];
            cipher.stream(u64::from(u32::MAX) - 7, &mut stream);
            assert_eq!(stream[39], cipher.encrypt(u128::from(u32::MAX) + 32));
        }
    }
}
