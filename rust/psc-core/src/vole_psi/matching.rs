//! Sorting tags, and finding them among sorted ones.

use crate::error::{Error, Result};
use crate::okvs::order;

/// Tags that are looked for together: their loads do not wait for each other.
const TOGETHER: usize = 32;

/// The first bytes of a tag as a number that sorts as they do; shorter tags are filled up with zeros.
fn prefix(tag: &[u8]) -> u64 {
    match tag.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => tag.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)) << (64 - 8 * tag.len()),
    }
}

/// The order that sorts tags: the positions of the smallest, the next and so on. Equal tags keep their order.
pub(super) fn sort(tags: &[u8], length: usize) -> Vec<u32> {
    let mut entries: Vec<u64> = crate::memory::zeros(tags.len() / length);
    for ((entry, tag), position) in entries.iter_mut().zip(tags.chunks_exact(length)).zip(0u64..) {
        *entry = prefix(tag) >> 32 << 32 | position;
    }
    order::sort(&mut entries, 1 << 32);
    // Few agree in the first four bytes: these are sorted by all.
    for run in entries.chunk_by_mut(|a, b| a >> 32 == b >> 32) {
        if run.len() > 1 {
            let tag = |entry: u64| &tags[entry as u32 as usize * length..][..length];
            run.sort_by(|&a, &b| tag(a).cmp(tag(b)));
        }
    }
    entries.into_iter().map(|entry| entry as u32).collect()
}

/// Sorted tags, and where in them each value of their first bits starts.
pub(super) struct Index<'a> {
    tags: &'a [u8],
    length: usize,
    shift: u32,
    starts: Vec<u32>,
}

impl<'a> Index<'a> {
    /// Refuse tags that are not sorted.
    pub(super) fn new(tags: &'a [u8], length: usize) -> Result<Self> {
        let count = tags.len() / length;
        // About as many ranges as tags; at least two, so that a shift is below 64.
        let bits = count.max(2).ilog2();
        let shift = u64::BITS - bits;
        let mut starts = crate::memory::zeros((1 << bits) + 1);
        let (mut last, mut filled) = (&tags[..0], 0);
        for (position, tag) in tags.chunks_exact(length).enumerate() {
            if tag < last {
                return Err(Error::NotSorted { what: "tags", index: position });
            }
            last = tag;
            let range = (prefix(tag) >> shift) as usize;
            while filled <= range {
                starts[filled] = position as u32;
                filled += 1;
            }
        }
        starts[filled..].fill(count as u32);
        Ok(Self { tags, length, shift, starts })
    }

    /// For each tag the first position of an equal one, or -1.
    pub(super) fn find(&self, tags: &[u8], found: &mut [i64]) {
        let groups = tags.chunks(TOGETHER * self.length).zip(found.chunks_mut(TOGETHER));
        for (tags, found) in groups {
            let mut ranges = [(0, 0); TOGETHER];
            for (range, tag) in ranges.iter_mut().zip(tags.chunks_exact(self.length)) {
                let at = (prefix(tag) >> self.shift) as usize;
                *range = (self.starts[at], self.starts[at + 1]);
            }
            for ((&(start, stop), tag), found) in ranges.iter().zip(tags.chunks_exact(self.length)).zip(found) {
                let range = &self.tags[start as usize * self.length..stop as usize * self.length];
                *found = self.first_in(range, tag).map_or(-1, |at| i64::from(start) + at as i64);
            }
        }
    }

    /// The first equal tag in a range; by halves when a peer made the range long.
    fn first_in(&self, range: &[u8], tag: &[u8]) -> Option<usize> {
        const LINEAR: usize = 16;
        if range.len() <= LINEAR * self.length {
            return range.chunks_exact(self.length).position(|other| other == tag);
        }
        let at = |index: usize| &range[index * self.length..][..self.length];
        let (mut low, mut high) = (0, range.len() / self.length);
        while low < high {
            let middle = low.midpoint(high);
            if at(middle) < tag { low = middle + 1 } else { high = middle }
        }
        (low < range.len() / self.length && at(low) == tag).then_some(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

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
        for length in [1, 5, 7, 8, 9, 16] {
            for (count, kinds) in [(0, 1), (1, 1), (2, 1), (3, 9), (31, 5), (300, 1), (2000, 200)] {
                let tags = sample(&mut rng, count, length, kinds);
                let mut plain: Vec<(&[u8], u32)> = tags.chunks_exact(length).zip(0..).collect();
                plain.sort();
                assert_eq!(sort(&tags, length), plain.iter().map(|entry| entry.1).collect::<Vec<_>>());
                let sorted: Vec<u8> = plain.iter().flat_map(|entry| entry.0.to_vec()).collect();
                let index = Index::new(&sorted, length).unwrap();
                let needles = [sample(&mut rng, 500, length, kinds), tags].concat();
                let mut found = vec![7; needles.len() / length];
                index.find(&needles, &mut found);
                for (needle, found) in needles.chunks_exact(length).zip(found) {
                    let first = sorted.chunks_exact(length).position(|tag| tag == needle);
                    assert_eq!(found, first.map_or(-1, |at| at as i64));
                }
            }
        }
    }

    #[test]
    fn tags_out_of_order_are_refused() {
        let refused = |tags: &[u8]| Index::new(tags, 2).err();
        assert_eq!(refused(b"aaabab"), None);
        assert_eq!(refused(b"aaabaaab"), Some(Error::NotSorted { what: "tags", index: 2 }));
        assert_eq!(refused(b"b\0a\xff"), Some(Error::NotSorted { what: "tags", index: 1 }));
    }
}
