//! Keyed BLAKE3 of many short messages at once: 64 output bytes each.
//!
//! A message of at most 64 bytes is one compression, and the lanes of a vector register work on as many messages as they
//! are: 16 with AVX-512, 8 with AVX2. Longer messages, and machines without either, go through the `blake3` crate one at a
//! time. All ways give the bytes that BLAKE3's specification gives.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::items::Items;
use crate::simd::Simd;

#[cfg(target_arch = "x86_64")]
mod x86;

/// Bytes of a block, and of the outputs here.
pub const BLOCK_BYTES: usize = 64;
const KEY_BYTES: usize = 32;
/// BLAKE3's flags of a message that is one block: first and last of its chunk, root, keyed.
const FLAGS: u32 = 1 | 2 | 8 | 16;
/// BLAKE3's initial value, the first four words of SHA-256's.
const IV: [u32; 4] = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a];

/// 64 bytes as words, which is how BLAKE3 reads and writes them (little-endian).
pub type Block = [u32; 16];

/// A key of BLAKE3's keyed mode.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// Derive a key from what it is for (a fixed text), and from what it is bound to.
    pub fn derive(purpose: &str, parts: &[&[u8]]) -> Self {
        let mut hash = blake3::Hasher::new_derive_key(purpose);
        for part in parts {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let key = Self(*hash.finalize().as_bytes());
        hash.zeroize();
        key
    }

    fn words(&self) -> [u32; 8] {
        core::array::from_fn(|index| {
            let bytes: &[u8; 4] = self.0[index * 4..].first_chunk().expect("32 bytes");
            u32::from_le_bytes(*bytes)
        })
    }

    /// Hash one message of any length.
    fn hash(&self, message: &[u8], out: &mut Block) {
        let mut hash = blake3::Hasher::new_keyed(&self.0);
        hash.update(message);
        let mut bytes = [0; BLOCK_BYTES];
        hash.finalize_xof().fill(&mut bytes);
        *out = words(&bytes);
        hash.zeroize();
        bytes.zeroize();
    }

    /// Hash the items `first..first + out.len()`; panics when there are not so many.
    pub(crate) fn hash_items(&self, simd: Simd, items: &Items, first: usize, out: &mut [Block]) {
        self.hash_all(simd, |index| items.get(first + index), out);
    }

    /// Replace each block, taken as a message of 64 bytes, by its hash.
    pub(crate) fn hash_blocks(&self, simd: Simd, blocks: &mut [Block]) {
        match simd {
            #[cfg(target_arch = "x86_64")]
            Simd::Pclmul | Simd::Avx512 => {
                let key = self.words();
                each_group(simd, blocks, |group| {
                    x86::compress(simd, &key, &[BLOCK_BYTES as u32; x86::LANES_MAX], group);
                });
            }
            _ => blocks.iter_mut().for_each(|block| self.hash(&bytes(block), block)),
        }
    }

    fn hash_all<'a>(&self, simd: Simd, message: impl Fn(usize) -> &'a [u8], out: &mut [Block]) {
        match simd {
            #[cfg(target_arch = "x86_64")]
            Simd::Pclmul | Simd::Avx512 => {
                let key = self.words();
                let mut at = 0;
                each_group(simd, out, |group| {
                    let mut lengths = [0; x86::LANES_MAX];
                    for (lane, block) in group.iter_mut().enumerate() {
                        let message = message(at + lane);
                        if message.len() <= BLOCK_BYTES {
                            let mut padded = [0; BLOCK_BYTES];
                            padded[..message.len()].copy_from_slice(message);
                            *block = words(&padded);
                            lengths[lane] = message.len() as u32;
                        }
                    }
                    x86::compress(simd, &key, &lengths, group);
                    for (lane, block) in group.iter_mut().enumerate() {
                        let message = message(at + lane);
                        if message.len() > BLOCK_BYTES {
                            self.hash(message, block);
                        }
                    }
                    at += group.len();
                });
            }
            _ => out.iter_mut().enumerate().for_each(|(index, block)| self.hash(message(index), block)),
        }
    }
}

/// Work on blocks in groups of as many as there are lanes; the last group is filled up.
#[cfg(target_arch = "x86_64")]
fn each_group(simd: Simd, blocks: &mut [Block], mut work: impl FnMut(&mut [Block])) {
    let lanes = x86::lanes(simd);
    let mut groups = blocks.chunks_exact_mut(lanes);
    groups.by_ref().for_each(&mut work);
    let rest = groups.into_remainder();
    if !rest.is_empty() {
        work(rest);
    }
}

fn words(bytes: &[u8; BLOCK_BYTES]) -> Block {
    core::array::from_fn(|index| {
        let word: &[u8; 4] = bytes[index * 4..].first_chunk().expect("64 bytes");
        u32::from_le_bytes(*word)
    })
}

/// The words as bytes.
pub(crate) fn bytes(block: &Block) -> [u8; BLOCK_BYTES] {
    let mut bytes = [0; BLOCK_BYTES];
    bytes.as_chunks_mut::<4>().0.iter_mut().zip(block).for_each(|(to, word)| *to = word.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn plain(key: &Key, message: &[u8]) -> [u8; BLOCK_BYTES] {
        let mut out = [0; BLOCK_BYTES];
        blake3::Hasher::new_keyed(&key.0).update(message).finalize_xof().fill(&mut out);
        out
    }

    #[test]
    fn every_level_gives_what_blake3_gives() {
        let key = Key::derive("test", &[b"one", b""]);
        let mut rng = Rng::insecure_from_seed(b"hash");
        for count in [0, 1, 7, 8, 9, 15, 16, 17, 40, 200] {
            let messages: Vec<Vec<u8>> = (0..count)
                .map(|index| {
                    let mut message = vec![0; (index * 7) % 131];
                    rng.fill(&mut message);
                    message
                })
                .collect();
            let items = Items::from_slices(messages.iter().map(Vec::as_slice)).unwrap();
            let expected: Vec<_> = messages.iter().map(|message| plain(&key, message)).collect();
            for simd in Simd::available() {
                let mut out = vec![[7; 16]; count];
                key.hash_items(simd, &items, 0, &mut out);
                assert_eq!(out.iter().map(bytes).collect::<Vec<_>>(), expected);
                let again: Vec<_> = expected.iter().map(|message| plain(&key, message)).collect();
                key.hash_blocks(simd, &mut out);
                assert_eq!(out.iter().map(bytes).collect::<Vec<_>>(), again);
            }
        }
    }

    #[test]
    fn keys_depend_on_their_purpose_and_on_every_part() {
        let keys = [
            Key::derive("a", &[b"x", b"y"]),
            Key::derive("b", &[b"x", b"y"]),
            Key::derive("a", &[b"xy", b""]),
            Key::derive("a", &[b"x"]),
            Key::derive("a", &[]),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(keys[..index].iter().all(|other| other.0 != key.0));
        }
    }
}
