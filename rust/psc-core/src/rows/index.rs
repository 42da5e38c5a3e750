//! Sealed rows by their tags.

use super::{BATCH, Shape, TAG_BYTES_MAX};
use crate::error::{Error, Result, check_range, count_of};
use crate::items::ITEMS_MAX;

/// Ranges up to so long are searched one by one.
const LINEAR: u32 = 16;

/// A tag with zeros after it.
pub(super) type Tag = [u8; TAG_BYTES_MAX];

/// Sorted entries, the first eight bytes of their tags, and where among them each value of the first bits starts.
pub(super) struct Index<'a> {
    entries: &'a [u8],
    shape: Shape,
    heads: Vec<u64>,
    shift: u32,
    starts: Vec<u32>,
}

impl<'a> Index<'a> {
    /// Refuse entries that are not whole or not sorted by tag.
    pub(super) fn new(entries: &'a [u8], shape: Shape) -> Result<Self> {
        let count = count_of("entries", entries, shape.entry_bytes())?;
        check_range("entries", count, 0, ITEMS_MAX)?;
        // About as many ranges as entries.
        let bits = count.max(1).ilog2();
        let shift = u64::BITS - bits;
        let mut starts = crate::memory::zeros((1 << bits) + 1);
        let mut heads = crate::memory::zeros(count);
        let (mut before, mut filled): ((u64, &[u8]), usize) = ((0, &[]), 0);
        for ((position, entry), to) in (0u32..).zip(entries.chunks_exact(shape.entry_bytes())).zip(&mut heads) {
            let tag = &entry[..shape.tag_bytes];
            let head = head_of(tag);
            if head < before.0 || (head == before.0 && tag < before.1) {
                return Err(Error::NotSorted { what: "entries", index: position as usize });
            }
            before = (head, tag);
            *to = head;
            let range = range_of(head, shift);
            while filled <= range {
                starts[filled] = position;
                filled += 1;
            }
        }
        starts[filled..].fill(count as u32);
        Ok(Self { entries, shape, heads, shift, starts })
    }

    /// An entry; panics when there is none at that position.
    #[inline]
    pub(super) fn entry(&self, position: u32) -> &'a [u8] {
        &self.entries[position as usize * self.shape.entry_bytes()..][..self.shape.entry_bytes()]
    }

    /// Give out the place of every tag that is there, and the first position of an entry with it. One step is done for
    /// all tags (at most [`BATCH`]) before the next, so that their loads do not wait for each other.
    pub(super) fn find(&self, tags: &[Tag], mut found: impl FnMut(usize, u32)) {
        let mut ranges = [(0, 0, 0); BATCH];
        for ((head, start, stop), tag) in ranges.iter_mut().zip(tags) {
            *head = head_of(&tag[..self.shape.tag_bytes]);
            let range = range_of(*head, self.shift);
            (*start, *stop) = (self.starts[range], self.starts[range + 1]);
        }
        for (head, start, stop) in &mut ranges[..tags.len()] {
            *start = self.first_not_below(*head, *start, *stop);
        }
        for (place, (&(head, start, stop), tag)) in ranges.iter().zip(tags).enumerate() {
            if let Some(position) = self.first_equal(head, &tag[..self.shape.tag_bytes], start, stop) {
                found(place, position);
            }
        }
    }

    /// The first position from `start` on whose head is not below another, or `stop`.
    #[inline]
    fn first_not_below(&self, head: u64, start: u32, stop: u32) -> u32 {
        let range = &self.heads[start as usize..stop as usize];
        let below = match stop - start <= LINEAR {
            // Without a branch that depends on what stands there.
            true => range.iter().filter(|&&other| other < head).count(),
            false => range.partition_point(|&other| other < head),
        };
        start + below as u32
    }

    /// The first position of a tag among those from `start` on, where heads are not below its own.
    #[inline]
    fn first_equal(&self, head: u64, tag: &[u8], start: u32, stop: u32) -> Option<u32> {
        let at = |position: u32| &self.entry(position)[..self.shape.tag_bytes];
        if start == stop || self.heads[start as usize] != head {
            return None;
        }
        if at(start) == tag {
            return Some(start);
        }
        // Others agree in the first eight bytes: rare, unless the peer made them so.
        let (mut low, mut high) = (start, stop);
        while low < high {
            let middle = low.midpoint(high);
            if at(middle) < tag { low = middle + 1 } else { high = middle }
        }
        (low < stop && at(low) == tag).then_some(low)
    }
}

/// The first bits of a head, 64 less `shift`.
#[inline]
fn range_of(head: u64, shift: u32) -> usize {
    head.checked_shr(shift).unwrap_or(0) as usize
}

/// The first eight bytes of a tag, zeros after a shorter one; numbers sort as byte strings do.
#[inline]
fn head_of(tag: &[u8]) -> u64 {
    match tag.first_chunk() {
        Some(whole) => u64::from_be_bytes(*whole),
        None => {
            let mut filled = [0; 8];
            filled[..tag.len()].copy_from_slice(tag);
            u64::from_be_bytes(filled)
        }
    }
}
