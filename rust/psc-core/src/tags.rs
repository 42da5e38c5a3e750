//! Short tags that stand for elements or outputs: making, sorting and matching them.

use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;
use sha2::{Digest, Sha512};

use crate::error::{Result, check_range, count_of};
use crate::group::POINT_BYTES;
use crate::items::ITEMS_MAX;
use crate::parallel::{self, CHUNK_ITEMS};
use crate::table::{SeededHash, Table};

/// The longest tag in bytes.
pub const TAG_BYTES_MAX: usize = 64;
const NOWHERE: u32 = u32::MAX;
/// Tags whose places in a table are fetched together: these loads do not wait for each other.
const TOGETHER: usize = 32;

/// Return the first `length_bytes` (1 to 64) of SHA-512 over the label, its length before it, and each point.
pub fn of_points(points: &[u8], label: &[u8], length_bytes: usize) -> Result<Vec<u8>> {
    let count = count_of("points", points, POINT_BYTES)?;
    check_range("length", length_bytes, 1, TAG_BYTES_MAX)?;
    let prefix = label_hash(label)?;
    let mut tags = vec![0u8; count * length_bytes];
    parallel::install(|| {
        let from = points.par_chunks_exact(POINT_BYTES).with_min_len(CHUNK_ITEMS);
        from.zip(tags.par_chunks_exact_mut(length_bytes)).for_each(|(point, tag)| {
            let digest = prefix.clone().chain_update(point).finalize();
            tag.copy_from_slice(&digest[..length_bytes]);
        });
    })?;
    Ok(tags)
}

/// Start a hash with a label, its length before it.
pub(crate) fn label_hash(label: &[u8]) -> Result<Sha512> {
    check_range("label", label.len(), 1, 65_535)?;
    Ok(Sha512::new_with_prefix((label.len() as u16).to_be_bytes()).chain_update(label))
}

fn tag_count(what: &'static str, tags: &[u8], length_bytes: usize) -> Result<usize> {
    check_range("length", length_bytes, 1, TAG_BYTES_MAX)?;
    let count = count_of(what, tags, length_bytes)?;
    check_range(what, count, 0, ITEMS_MAX)?;
    Ok(count)
}

/// The order that sorts the tags: `order[i]` is the position of the i-th smallest; equal tags keep their order.
pub fn sort_order(tags: &[u8], length_bytes: usize) -> Result<Vec<u32>> {
    let count = tag_count("tags", tags, length_bytes)?;
    let tag = |index: u32| &tags[index as usize * length_bytes..][..length_bytes];
    let prefix = |index: u32| {
        let mut word = [0u8; 8];
        let shared = length_bytes.min(8);
        word[..shared].copy_from_slice(&tag(index)[..shared]);
        u64::from_be_bytes(word)
    };
    parallel::install(|| {
        let mut keyed: Vec<(u64, u32)> =
            (0..count as u32).into_par_iter().map(|index| (prefix(index), index)).collect();
        keyed.par_sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| tag(a.1).cmp(tag(b.1))).then_with(|| a.1.cmp(&b.1))
        });
        keyed.into_par_iter().map(|(_, index)| index).collect()
    })
}

/// The tags in sorted order, and that order.
pub fn sort(tags: &[u8], length_bytes: usize) -> Result<(Vec<u8>, Vec<u32>)> {
    let order = sort_order(tags, length_bytes)?;
    let mut sorted = vec![0u8; tags.len()];
    parallel::install(|| {
        sorted.par_chunks_exact_mut(length_bytes).zip(&order).for_each(|(to, &index)| {
            to.copy_from_slice(&tags[index as usize * length_bytes..][..length_bytes]);
        });
    })?;
    Ok((sorted, order))
}

/// An index over tags: finds the first position of an equal tag.
pub(crate) struct TagIndex<'a> {
    tags: &'a [u8],
    length_bytes: usize,
    seeded: SeededHash,
    table: Table,
    /// For each tag the first position of an equal one.
    firsts: Vec<u32>,
}

impl<'a> TagIndex<'a> {
    pub(crate) fn new(what: &'static str, tags: &'a [u8], length_bytes: usize) -> Result<Self> {
        let count = tag_count(what, tags, length_bytes)?;
        let seeded = SeededHash::new();
        let hashes: Vec<u64> =
            parallel::install(|| tags.par_chunks_exact(length_bytes).map(|tag| seeded.of(tag)).collect())?;
        let mut table = Table::with_room(count);
        let at = |index: u32| &tags[index as usize * length_bytes..][..length_bytes];
        let mut firsts = Vec::with_capacity(count);
        for hashes in hashes.chunks(TOGETHER) {
            table.fetch(hashes);
            for &hash in hashes {
                let index = firsts.len() as u32;
                firsts.push(table.insert(hash, index, |kept| at(kept) == at(index)));
            }
        }
        Ok(Self { tags, length_bytes, seeded, table, firsts })
    }

    /// Call a function with the position among some tags and, where there is an equal one, the first position of that.
    fn find_all(&self, tags: &[u8], mut found: impl FnMut(usize, Option<u32>)) {
        let mut hashes = [0; TOGETHER];
        for (group, tags) in tags.chunks(TOGETHER * self.length_bytes).enumerate() {
            let tags = tags.chunks_exact(self.length_bytes);
            let hashes = &mut hashes[..tags.len()];
            hashes.iter_mut().zip(tags.clone()).for_each(|(hash, tag)| *hash = self.seeded.of(tag));
            self.table.fetch(hashes);
            for (at, (&hash, tag)) in hashes.iter().zip(tags).enumerate() {
                let equal = |kept: u32| &self.tags[kept as usize * self.length_bytes..][..self.length_bytes] == tag;
                found(group * TOGETHER + at, self.table.get(hash, equal));
            }
        }
    }
}

/// For each needle the first position of an equal tag in the haystack, or -1. Neither side need be sorted or distinct.
pub fn find(needles: &[u8], haystack: &[u8], length_bytes: usize) -> Result<Vec<i64>> {
    tag_count("needles", needles, length_bytes)?;
    tag_count("haystack", haystack, length_bytes)?;
    // The table is built over the smaller side: building costs memory and runs on one core, looking up does not.
    if haystack.len() <= needles.len() {
        let index = TagIndex::new("haystack", haystack, length_bytes)?;
        let mut positions = vec![-1; needles.len() / length_bytes];
        parallel::install(|| {
            let needles = needles.par_chunks(CHUNK_ITEMS * length_bytes);
            positions.par_chunks_mut(CHUNK_ITEMS).zip(needles).for_each(|(positions, needles)| {
                index.find_all(needles, |at, first| positions[at] = first.map_or(-1, i64::from));
            });
        })?;
        return Ok(positions);
    }
    let index = TagIndex::new("needles", needles, length_bytes)?;
    let found = mark_first(&index, haystack)?;
    let position = |&first: &u32| match found[first as usize].load(Ordering::Relaxed) {
        NOWHERE => -1,
        at => i64::from(at),
    };
    Ok(index.firsts.iter().map(position).collect())
}

/// The number of distinct tags that stand on both sides.
pub fn count_common(a: &[u8], b: &[u8], length_bytes: usize) -> Result<usize> {
    tag_count("a", a, length_bytes)?;
    tag_count("b", b, length_bytes)?;
    let (small, large) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let found = mark_first(&TagIndex::new("tags", small, length_bytes)?, large)?;
    Ok(found.iter().filter(|at| at.load(Ordering::Relaxed) != NOWHERE).count())
}

/// For each indexed tag (at its first position) the first position of an equal tag among `others`.
fn mark_first(index: &TagIndex<'_>, others: &[u8]) -> Result<Vec<AtomicU32>> {
    let found: Vec<AtomicU32> = (0..index.firsts.len()).map(|_| AtomicU32::new(NOWHERE)).collect();
    parallel::install(|| {
        let chunks = others.par_chunks(CHUNK_ITEMS * index.length_bytes);
        chunks.enumerate().for_each(|(chunk, tags)| {
            index.find_all(tags, |at, first| {
                if let Some(first) = first {
                    found[first as usize].fetch_min((chunk * CHUNK_ITEMS + at) as u32, Ordering::Relaxed);
                }
            });
        });
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn sample(rng: &mut Rng, count: usize, length: usize) -> Vec<u8> {
        // Few different values, so that duplicates and hits are common.
        let mut tags = vec![0u8; count * length];
        rng.fill(&mut tags);
        tags.chunks_exact_mut(length).for_each(|tag| {
            let last = tag[length - 1] % 50;
            tag.fill(0);
            tag[length - 1] = last;
        });
        tags
    }

    #[test]
    fn matching_agrees_with_a_plain_search() {
        let mut rng = Rng::insecure_from_seed(b"tags");
        for length in [1, 7, 8, 12, 33] {
            for (n, m) in [(0, 0), (0, 5), (5, 0), (1, 1), (40, 300), (300, 40), (200, 200)] {
                let (needles, haystack) = (sample(&mut rng, n, length), sample(&mut rng, m, length));
                let position = |tag: &[u8]| haystack.chunks_exact(length).position(|other| other == tag);
                let plain: Vec<i64> =
                    needles.chunks_exact(length).map(|tag| position(tag).map_or(-1, |at| at as i64)).collect();
                assert_eq!(find(&needles, &haystack, length).unwrap(), plain);
                let mut common: Vec<&[u8]> =
                    needles.chunks_exact(length).filter(|tag| position(tag).is_some()).collect();
                common.sort_unstable();
                common.dedup();
                assert_eq!(count_common(&needles, &haystack, length).unwrap(), common.len());
                let (sorted, order) = sort(&needles, length).unwrap();
                let mut plain: Vec<(&[u8], u32)> = needles.chunks_exact(length).zip(0..).collect();
                plain.sort_unstable();
                assert_eq!(order, plain.iter().map(|entry| entry.1).collect::<Vec<_>>());
                assert_eq!(sorted, plain.iter().flat_map(|entry| entry.0.to_vec()).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn lengths_are_checked() {
        assert!(find(b"abc", b"", 2).is_err());
        assert!(find(b"", b"abc", 2).is_err());
        assert!(count_common(b"", b"", 0).is_err());
        assert!(sort(b"", 65).is_err());
        assert!(of_points(&[0; 31], b"l", 8).is_err());
        assert!(of_points(&[0; 32], b"", 8).is_err());
        assert!(of_points(&[0; 32], b"l", 65).is_err());
    }

    #[test]
    fn labels_separate_tags() {
        let points = [7u8; 64];
        let tags = of_points(&points, b"one", 16).unwrap();
        assert_eq!(tags[..16], tags[16..]);
        assert_ne!(tags, of_points(&points, b"two", 16).unwrap());
        assert_eq!(tags[..8], of_points(&points, b"one", 8).unwrap()[..8]);
    }
}
