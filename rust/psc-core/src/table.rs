//! A hash table of positions, keyed by a fresh random seed so that chosen entries cannot make it slow.

use std::hash::{BuildHasher, RandomState};

use crate::memory;

/// A slot holds one more than a position, so that nothing needs to be written before the first one.
const EMPTY: u64 = 0;

/// Hashes byte strings with a seed that no other party knows (SipHash).
pub struct SeededHash(RandomState);

impl SeededHash {
    /// Draw a fresh seed.
    #[allow(clippy::new_without_default, reason = "a seed is drawn, which is no default value")]
    pub fn new() -> Self {
        Self(RandomState::new())
    }

    /// Return the hash of an entry.
    pub fn of(&self, entry: &[u8]) -> u64 {
        self.0.hash_one(entry)
    }
}

/// Positions of distinct entries, found by hash. A slot holds 32 bits of the hash beside the position, so that an
/// entry is compared whole only when it is almost surely equal.
pub struct Table {
    slots: Vec<u64>,
    mask: usize,
}

impl Table {
    /// Make room for `count` entries; `count` must be below 2^32 - 1.
    pub fn with_room(count: usize) -> Self {
        let size = (count + count / 2 + 1).next_power_of_two();
        Self { slots: memory::zeros(size), mask: size - 1 }
    }

    /// Load the slots where these hashes begin to look, so that the processor waits for all of them at once.
    pub fn fetch(&self, hashes: &[u64]) {
        std::hint::black_box(hashes.iter().fold(0, |all, &hash| all ^ self.slots[hash as usize & self.mask]));
    }

    /// Keep `position` under `hash`, unless an equal entry is there already. Returns the position that is kept.
    pub fn insert(&mut self, hash: u64, position: u32, equal: impl Fn(u32) -> bool) -> u32 {
        match self.probe(hash, equal) {
            Ok(found) => found,
            Err(slot) => {
                self.slots[slot] = (hash & 0xffff_ffff_0000_0000) | (u64::from(position) + 1);
                position
            }
        }
    }

    /// Return the position of an equal entry.
    pub fn get(&self, hash: u64, equal: impl Fn(u32) -> bool) -> Option<u32> {
        self.probe(hash, equal).ok()
    }

    fn probe(&self, hash: u64, equal: impl Fn(u32) -> bool) -> core::result::Result<u32, usize> {
        let mut slot = hash as usize & self.mask;
        loop {
            let held = self.slots[slot];
            if held == EMPTY {
                return Err(slot);
            }
            let position = (held as u32).wrapping_sub(1);
            if (held ^ hash) >> 32 == 0 && equal(position) {
                return Ok(position);
            }
            slot = (slot + 1) & self.mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hashes_of_different_entries_stay_apart() {
        let entries: Vec<u32> = (0..500).map(|index| index / 2).collect();
        let mut table = Table::with_room(entries.len());
        for (index, entry) in (0u32..).zip(&entries) {
            let kept = table.insert(42, index, |other| entries[other as usize] == *entry);
            assert_eq!(kept, index & !1);
        }
        assert_eq!(table.get(42, |other| entries[other as usize] == 7), Some(14));
        assert_eq!(table.get(42, |other| entries[other as usize] == 999), None);
        assert_eq!(table.get(42 | 1 << 32, |_| true), None);
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        assert_eq!(Table::with_room(0).get(7, |_| true), None);
    }
}
