//! Sorting tags, and finding them among sorted ones.

use crate::error::{Error, Result};
use crate::okvs::order;

/// A tag of at most 16 bytes as a number: its bytes from the highest down, zeros after. Numbers sort as byte strings do.
pub(super) type Tag = u128;

/// Tags that are looked for together: their loads do not wait for each other.
const TOGETHER: usize = 32;

/// Call a function with the length of a tag as a constant, so that tags are copied without a loop.
macro_rules! with_length {
    ($length:expr, $function:ident($($argument:expr),*)) => {
        with_length!(@ $length, $function, ($($argument),*), 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    };
    (@ $length:expr, $function:ident, $arguments:tt, $($constant:literal)*) => {
        match $length {
            $($constant => with_length!(call $function, $constant, $arguments),)*
            _ => unreachable!("tags have 1 to 16 bytes"),
        }
    };
    (call $function:ident, $constant:literal, ($($argument:expr),*)) => { $function::<$constant>($($argument),*) };
}

/// The tags in an order, `length` bytes each.
pub(super) fn write(tags: &[Tag], order: &[u32], length: usize) -> Vec<u8> {
    with_length!(length, write_inside(tags, order))
}

fn write_inside<const LENGTH: usize>(tags: &[Tag], order: &[u32]) -> Vec<u8> {
    let mut bytes = crate::memory::zeros(order.len() * LENGTH);
    for (to, &at) in bytes.as_chunks_mut::<LENGTH>().0.iter_mut().zip(order) {
        *to = *tags[at as usize].to_be_bytes().first_chunk().expect("at most 16 bytes");
    }
    bytes
}

/// The tags, `length` bytes each, in the places that their positions say.
pub(super) fn scatter(tags: &[Tag], positions: impl Iterator<Item = u32>, length: usize) -> Vec<u8> {
    with_length!(length, scatter_inside(tags, positions))
}

fn scatter_inside<const LENGTH: usize>(tags: &[Tag], positions: impl Iterator<Item = u32>) -> Vec<u8> {
    let mut bytes = crate::memory::zeros(tags.len() * LENGTH);
    let places = bytes.as_chunks_mut::<LENGTH>().0;
    for (tag, position) in tags.iter().zip(positions) {
        places[position as usize] = *tag.to_be_bytes().first_chunk().expect("at most 16 bytes");
    }
    bytes
}

/// Read tags of `length` bytes each, as many as there is room for.
fn read(bytes: &[u8], length: usize, tags: &mut [Tag]) {
    with_length!(length, read_inside(bytes, tags));
}

fn read_inside<const LENGTH: usize>(bytes: &[u8], tags: &mut [Tag]) {
    for (tag, bytes) in tags.iter_mut().zip(bytes.as_chunks::<LENGTH>().0) {
        let mut padded = [0; 16];
        padded[..LENGTH].copy_from_slice(bytes);
        *tag = Tag::from_be_bytes(padded);
    }
}

/// The order that sorts tags: the positions of the smallest, the next and so on. Equal tags keep their order.
pub(super) fn sort(tags: &[Tag]) -> Vec<u32> {
    let mut entries: Vec<u64> = crate::memory::zeros(tags.len());
    for ((entry, tag), position) in entries.iter_mut().zip(tags).zip(0u64..) {
        *entry = (tag >> 96 << 32) as u64 | position;
    }
    order::sort(&mut entries, 1 << 32);
    // Few agree in the first four bytes: these are sorted by all.
    for run in entries.chunk_by_mut(|a, b| a >> 32 == b >> 32) {
        if run.len() > 1 {
            run.sort_by_key(|&entry| tags[entry as u32 as usize]);
        }
    }
    entries.into_iter().map(|entry| entry as u32).collect()
}

/// Sorted tags, and where among them each value of their first bits starts.
pub(super) struct Index {
    tags: Vec<Tag>,
    shift: u32,
    starts: Vec<u32>,
}

impl Index {
    /// Take tags of `length` bytes each, in parts of whole tags; refuse tags that are not sorted.
    pub(super) fn new(parts: &[&[u8]], length: usize) -> Result<Self> {
        let mut tags: Vec<Tag> = crate::memory::zeros(parts.iter().map(|part| part.len() / length).sum());
        let mut left = &mut tags[..];
        for part in parts {
            let (own, rest) = left.split_at_mut(part.len() / length);
            read(part, length, own);
            left = rest;
        }
        // About as many ranges as tags.
        let bits = tags.len().max(1).ilog2();
        let shift = u64::BITS - bits;
        let mut starts = crate::memory::zeros((1 << bits) + 1);
        let (mut last, mut filled) = (0, 0);
        for (position, &tag) in tags.iter().enumerate() {
            if tag < last {
                return Err(Error::NotSorted { what: "tags", index: position });
            }
            last = tag;
            let range = range_of(tag, shift);
            while filled <= range {
                starts[filled] = position as u32;
                filled += 1;
            }
        }
        starts[filled..].fill(tags.len() as u32);
        Ok(Self { tags, shift, starts })
    }

    /// For each tag the first position of an equal one, or -1.
    pub(super) fn find(&self, tags: &[Tag], found: &mut [i64]) {
        for (tags, found) in tags.chunks(TOGETHER).zip(found.chunks_mut(TOGETHER)) {
            let mut ranges = [(0, 0); TOGETHER];
            for (range, &tag) in ranges.iter_mut().zip(tags) {
                let at = range_of(tag, self.shift);
                *range = (self.starts[at], self.starts[at + 1]);
            }
            for ((&(start, stop), &tag), found) in ranges.iter().zip(tags).zip(found) {
                let at = first_in(&self.tags[start as usize..stop as usize], tag);
                *found = at.map_or(-1, |at| i64::from(start) + at as i64);
            }
        }
    }
}

/// The first bits of a tag, 64 less `shift`.
fn range_of(tag: Tag, shift: u32) -> usize {
    ((tag >> 64) >> shift) as usize
}

/// The first equal tag; by halves when a peer made the range long.
fn first_in(range: &[Tag], tag: Tag) -> Option<usize> {
    const LINEAR: usize = 16;
    if range.len() <= LINEAR {
        return range.iter().position(|&other| other == tag);
    }
    let at = range.partition_point(|&other| other < tag);
    (range.get(at) == Some(&tag)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn read_all(bytes: &[u8], length: usize) -> Vec<Tag> {
        let mut tags = vec![0; bytes.len() / length];
        read(bytes, length, &mut tags);
        tags
    }

    fn sample(rng: &mut Rng, count: usize, length: usize, kinds: u8) -> Vec<u8> {
        let mut tags = vec![0; count * length];
        rng.fill(&mut tags);
        for tag in tags.chunks_exact_mut(length) {
            if tag[0] % 2 == 0 {
                let last = tag[length - 1] % kinds;
                tag.fill(255);
                tag[length - 1] = last;
            }
        }
        tags
    }

    #[test]
    fn sorting_and_finding_agree_with_plain_ones() {
        let mut rng = Rng::insecure_from_seed(b"matching");
        for length in 1..=16 {
            for (count, kinds) in [(0, 1), (1, 1), (2, 1), (3, 9), (31, 5), (300, 1), (2000, 200)] {
                let tags = sample(&mut rng, count, length, kinds);
                let mut plain: Vec<(&[u8], u32)> = tags.chunks_exact(length).zip(0..).collect();
                plain.sort();
                let sorted: Vec<u8> = plain.iter().flat_map(|entry| entry.0.to_vec()).collect();
                let order = sort(&read_all(&tags, length));
                assert_eq!(order, plain.iter().map(|entry| entry.1).collect::<Vec<_>>());
                assert_eq!(write(&read_all(&tags, length), &order, length), sorted);
                let (head, tail) = sorted.split_at(count / 3 * length);
                let index = Index::new(&[head, &[], tail], length).unwrap();
                let needles = [sample(&mut rng, 500, length, kinds), tags].concat();
                let mut found = vec![7; needles.len() / length];
                index.find(&read_all(&needles, length), &mut found);
                for (needle, found) in needles.chunks_exact(length).zip(found) {
                    let first = sorted.chunks_exact(length).position(|tag| tag == needle);
                    assert_eq!(found, first.map_or(-1, |at| at as i64));
                }
            }
        }
    }

    #[test]
    fn tags_out_of_order_are_refused() {
        let refused = |tags: &[u8]| Index::new(&[&tags[..4], &tags[4..]], 2).err();
        assert_eq!(refused(b"aaabab"), None);
        assert_eq!(refused(b"aaabaaab"), Some(Error::NotSorted { what: "tags", index: 2 }));
        assert_eq!(refused(b"ab\0b\0a"), Some(Error::NotSorted { what: "tags", index: 1 }));
        assert_eq!(refused(b"b\0a\xff"), Some(Error::NotSorted { what: "tags", index: 1 }));
    }
}
