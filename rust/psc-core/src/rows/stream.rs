//! The streams of rows, many at a time.
//!
//! The stream of a row is BLAKE3 in keyed mode over `key half (32 bytes) ‖ counter (4) ‖ block number (4) ‖ zeros (24)`,
//! 64 bytes a block number from 0 on, the numbers least significant byte first. The key of that mode is derived from the
//! label and the sizes of a row. Of the stream
//!
//! * the first bytes are the row's tag,
//! * the next 16 are the point r of its authenticator and the 16 after them that one's mask s,
//! * the others are the pad of its content.
//!
//! The authenticator of a ciphertext c_1 … c_k (elements of GF(2^128), the last one filled with zeros) is
//! `c_1 r^k + … + c_k r + s`. A stream serves one row, so this is one-time encryption by a pad and one-time
//! authentication by a polynomial (Wegman and Carter), encrypt-then-authenticate; a forgery succeeds with probability
//! k/2^128.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{KEY_BYTES, MAC_BYTES, Shape};
use crate::error::{Result, check_range};
use crate::gf128::{self, ELEMENT_BYTES};
use crate::simd::Simd;
use crate::wide_hash::{BLOCK_BYTES, Block, Key};

/// Streams that are worked on together.
pub(super) const BATCH: usize = 64;
/// Bytes of the stream between the tag and the pad.
const KEYS_BYTES: usize = 2 * MAC_BYTES;

/// What all streams of a set of rows share.
pub(super) struct Streams {
    simd: Simd,
    key: Key,
    shape: Shape,
}

impl Streams {
    /// Derive from a label of 1 to 65,535 bytes.
    pub(super) fn new(simd: Simd, label: &[u8], shape: Shape) -> Result<Self> {
        check_range("label", label.len(), 1, 65_535)?;
        let sizes = [shape.tag_bytes as u64, shape.width as u64].map(u64::to_le_bytes);
        Ok(Self { simd, key: Key::derive("psc sealed rows 1", &[label, sizes.as_flattened()]), shape })
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }
}

/// The streams of up to [`BATCH`] rows.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Batch {
    count: usize,
    /// What is hashed, but for the block number.
    seeds: [Block; BATCH],
    /// The first blocks of the streams.
    heads: [Block; BATCH],
}

impl Default for Batch {
    fn default() -> Self {
        Self { count: 0, seeds: [[0; 16]; BATCH], heads: [[0; 16]; BATCH] }
    }
}

impl Batch {
    /// Begin with the streams of these key halves and counters, at most [`BATCH`].
    pub(super) fn start<'a>(&mut self, streams: &Streams, seeds: impl Iterator<Item = (&'a [u8], u32)>) {
        self.count = 0;
        for ((half, counter), seed) in seeds.zip(&mut self.seeds) {
            let half = half.first_chunk::<KEY_BYTES>().expect("half of an output");
            seed.iter_mut().zip(half.as_chunks::<4>().0).for_each(|(to, word)| *to = u32::from_le_bytes(*word));
            seed[KEY_BYTES / 4] = counter;
            seed[KEY_BYTES / 4 + 1..].fill(0);
            self.count += 1;
        }
        self.heads[..self.count].copy_from_slice(&self.seeds[..self.count]);
        streams.key.hash_blocks(streams.simd, &mut self.heads[..self.count]);
    }

    /// The first four bytes of a tag as a number, most significant first; zeros after a shorter tag.
    pub(super) fn tag_prefix(&self, streams: &Streams, at: usize) -> u32 {
        let missing = 4usize.saturating_sub(streams.shape.tag_bytes) as u32;
        self.heads[at][0].swap_bytes() >> (8 * missing) << (8 * missing)
    }

    /// A tag, with zeros after it.
    pub(super) fn tag(&self, streams: &Streams, at: usize) -> [u8; super::TAG_BYTES_MAX] {
        let mut tag = [0; super::TAG_BYTES_MAX];
        let length = streams.shape.tag_bytes;
        tag[..length].copy_from_slice(&bytes_of(&self.heads[at])[..length]);
        tag
    }

    /// Make entries whose contents are in their places sealed ones: as many as streams.
    pub(super) fn seal(&mut self, streams: &Streams, entries: &mut [u8]) {
        let (shape, size) = (streams.shape, streams.shape.entry_bytes());
        for (entry, head) in entries.chunks_exact_mut(size).zip(&self.heads) {
            entry[..shape.tag_bytes].copy_from_slice(&bytes_of(head)[..shape.tag_bytes]);
        }
        self.pad(streams, entries);
        let macs = self.macs(streams, entries);
        for (entry, mac) in entries.chunks_exact_mut(size).zip(macs) {
            entry[size - MAC_BYTES..].copy_from_slice(&mac.to_le_bytes());
        }
    }

    /// Open copies of entries in place, as many as streams; returns what their authenticators must be.
    pub(super) fn open(&mut self, streams: &Streams, entries: &mut [u8]) -> [u128; BATCH] {
        let macs = self.macs(streams, entries);
        self.pad(streams, entries);
        macs
    }

    /// Add the pads to the contents.
    fn pad(&mut self, streams: &Streams, entries: &mut [u8]) {
        let (shape, size) = (streams.shape, streams.shape.entry_bytes());
        let before = shape.tag_bytes + KEYS_BYTES;
        // The pad of content byte i is stream byte `before + i`.
        let first = shape.width.min(BLOCK_BYTES - before);
        for (entry, head) in entries.chunks_exact_mut(size).zip(&self.heads) {
            add(&mut entry[shape.tag_bytes..][..first], &bytes_of(head)[before..]);
        }
        let mut blocks = [[0; 16]; BATCH];
        for (number, start) in (1u32..).zip((first..shape.width).step_by(BLOCK_BYTES)) {
            let blocks = &mut blocks[..self.count];
            blocks.copy_from_slice(&self.seeds[..self.count]);
            blocks.iter_mut().for_each(|block| block[KEY_BYTES / 4 + 1] = number);
            streams.key.hash_blocks(streams.simd, blocks);
            let length = BLOCK_BYTES.min(shape.width - start);
            for (entry, block) in entries.chunks_exact_mut(size).zip(&*blocks) {
                add(&mut entry[shape.tag_bytes + start..][..length], &bytes_of(block));
            }
        }
        blocks.zeroize();
    }

    /// The authenticators of sealed contents.
    fn macs(&self, streams: &Streams, entries: &[u8]) -> [u128; BATCH] {
        let (shape, size) = (streams.shape, streams.shape.entry_bytes());
        let (mut points, mut masks, mut sums) = ([0; BATCH], [0; BATCH], [0; BATCH]);
        for ((head, point), mask) in self.heads[..self.count].iter().zip(&mut points).zip(&mut masks) {
            let head = bytes_of(head);
            let mut keys = gf128::from_bytes(&head[shape.tag_bytes..][..KEYS_BYTES]);
            (*point, *mask) = (keys.next().expect("two elements"), keys.next().expect("two elements"));
        }
        for start in (0..shape.width).step_by(ELEMENT_BYTES) {
            let length = ELEMENT_BYTES.min(shape.width - start);
            for (entry, sum) in entries.chunks_exact(size).zip(&mut sums) {
                *sum ^= element(&entry[shape.tag_bytes + start..][..length]);
            }
            gf128::multiply_each(streams.simd, &mut sums[..self.count], &points[..self.count]);
        }
        sums.iter_mut().zip(&masks).for_each(|(sum, mask)| *sum ^= mask);
        points.zeroize();
        masks.zeroize();
        sums
    }
}

/// Up to 16 bytes as an element, with zeros after them.
#[inline]
fn element(bytes: &[u8]) -> u128 {
    match bytes.first_chunk() {
        Some(whole) => u128::from_le_bytes(*whole),
        None => {
            let mut filled = [0; ELEMENT_BYTES];
            filled[..bytes.len()].copy_from_slice(bytes);
            u128::from_le_bytes(filled)
        }
    }
}

#[inline]
fn add(to: &mut [u8], pad: &[u8]) {
    to.iter_mut().zip(pad).for_each(|(to, pad)| *to ^= pad);
}

#[inline]
fn bytes_of(block: &Block) -> [u8; BLOCK_BYTES] {
    crate::wide_hash::bytes(block)
}
