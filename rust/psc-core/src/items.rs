//! A batch of items: the byte strings that stand for keys. They are personal data, so they are zeroised.

use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::{Error, Result, check_count, check_position, check_range};
use crate::memory;
use crate::parallel;
use crate::rng::Rng;
use crate::simd::Simd;
use crate::table::{SeededHash, Table};
use crate::wide_hash::Key;

/// The longest item in bytes: RFC 9497 writes an input's length in two bytes.
pub const ITEM_BYTES_MAX: usize = 65_535;
const DUMMY_BYTES: usize = 32;
/// The most items of one batch.
pub const ITEMS_MAX: usize = u32::MAX as usize - 1;
const DIGEST_LABEL: &[u8] = b"PSC-V1-items-digest";
/// The most shards of a set.
pub const SHARDS_MAX: usize = 1 << 16;
/// Items that one task hashes to their shards.
const SPLIT_ITEMS: usize = 256;
/// Items that one task writes.
const TASK_ITEMS: usize = 1 << 14;
/// Items that are compared among each other, about.
const PART_ITEMS: usize = 1 << 14;
/// The most parts into which items are compared: each takes a few cache lines of every task that hashes.
const PARTS_MAX: usize = 1 << 9;
/// Tasks that hash items to parts.
const DISTINCT_TASKS: usize = 16;
/// Room for items that is made ahead at most.
const ROOM_BYTES_MAX: usize = 1 << 32;
/// Room that finished items may have to spare, beside a quarter.
const SPARE_BYTES: usize = 1 << 20;

/// One key column: the tag of its kind, and its cells as offsets into data (the layout of Arrow's large strings).
pub struct Column<'a> {
    /// Separates kinds: cells of different kinds never make equal items. 1 to 255 bytes.
    pub tag: &'a [u8],
    /// `count + 1` offsets into `data`; the first need not be 0.
    pub offsets: &'a [i64],
    /// The bytes of the cells.
    pub data: &'a [u8],
}

impl Column<'_> {
    fn rows(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Store {
    data: Vec<u8>,
    ends: Ends,
}

/// Where the items of a storage end.
#[derive(Zeroize)]
enum Ends {
    /// All are of one length, as those of one kind of key often are: what says so takes no memory.
    Every(usize),
    Each(Vec<usize>),
}

impl Ends {
    /// Take in the lengths of `count` items behind `before`; of `expected` in all, if no more come.
    fn extend(&mut self, before: usize, count: usize, expected: usize, length_of: impl Fn(usize) -> usize) {
        if let Self::Every(length) = self {
            let length = if before == 0 { length_of(0) } else { *length };
            if (0..count).all(|row| length_of(row) == length) {
                *self = Self::Every(length);
                return;
            }
            let mut ends = Vec::with_capacity(expected.max(before + count));
            ends.extend((1..=before).map(|items| items * length));
            *self = Self::Each(ends);
        }
        if let Self::Each(ends) = self {
            let mut end = ends.last().copied().unwrap_or(0);
            ends.extend((0..count).map(|row| {
                end += length_of(row);
                end
            }));
        }
    }

    fn range(&self, at: usize) -> std::ops::Range<usize> {
        match self {
            Self::Every(length) => at * length..(at + 1) * length,
            Self::Each(ends) => (if at == 0 { 0 } else { ends[at - 1] })..ends[at],
        }
    }
}

/// An item that is the same as one before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Repeated {
    index: u32,
    first: u32,
}

/// A batch of byte strings: those of one storage, then as many dummies as pad it. Slices share the storage, which is
/// zeroised when the last one is dropped.
#[derive(Clone)]
pub struct Items {
    store: Arc<Store>,
    start: usize,
    stop: usize,
    /// What comes after the items of the storage; most batches have none.
    dummies: Option<Arc<Dummies>>,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Dummies(Vec<[u8; DUMMY_BYTES]>);

impl Items {
    /// Encode composite keys: for each row the number of columns, then for each column its tag and its cell, each with
    /// its length before it. The encoding is injective, so different keys or kinds never make equal items.
    pub fn encode(columns: &[Column<'_>]) -> Result<Self> {
        let mut builder = Builder::new(columns.first().map_or(0, Column::rows));
        builder.add(columns, 0)?;
        Ok(builder.finish())
    }

    /// Write `count` items of `total` bytes together on all threads, each into its place.
    fn written(
        count: usize,
        total: usize,
        length_of: impl Fn(usize) -> usize + Sync,
        write: impl Fn(usize, &mut [u8]) + Sync,
    ) -> Result<Self> {
        let mut builder = Builder::new(count);
        builder.append(count, count, total, length_of, write)?;
        Ok(builder.finish())
    }

    /// Take byte strings as they are.
    pub fn from_slices<'a>(slices: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<Self> {
        check_range("items", slices.len(), 0, ITEMS_MAX)?;
        let slices: Vec<&[u8]> = slices.collect();
        if let Some(index) = slices.iter().position(|slice| slice.len() > ITEM_BYTES_MAX) {
            return Err(Error::ItemTooLong { index, length: slices[index].len(), limit: ITEM_BYTES_MAX });
        }
        let total = slices.iter().map(|slice| slice.len()).sum();
        Self::written(slices.len(), total, |at| slices[at].len(), |at, place| place.copy_from_slice(slices[at]))
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.stop - self.start + self.dummies.as_ref().map_or(0, |dummies| dummies.0.len())
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of item `index`; panics when there is no such item.
    pub fn get(&self, index: usize) -> &[u8] {
        let at = self.start + index;
        if at >= self.stop {
            let dummies = self.dummies.as_ref().map_or(&[][..], |dummies| &dummies.0);
            assert!(at - self.stop < dummies.len(), "item {index} of {}", self.len());
            return &dummies[at - self.stop];
        }
        &self.store.data[self.store.ends.range(at)]
    }

    /// The items `start..stop`, without copying those of the storage.
    pub fn slice(&self, start: usize, stop: usize) -> Result<Self> {
        check_range("stop", stop, 0, self.len())?;
        check_range("start", start, 0, stop)?;
        let stored = self.stop - self.start;
        let dummies = self
            .dummies
            .as_ref()
            .filter(|_| stop > stored)
            .map(|dummies| Arc::new(Dummies(dummies.0[start.saturating_sub(stored)..stop - stored].to_vec())));
        let (start, stop) = (self.start + start.min(stored), self.start + stop.min(stored));
        Ok(Self { store: Arc::clone(&self.store), start, stop, dummies })
    }

    /// Split the items over `shards` by a hash whose key comes from `context`: equal items of two parties that give the same
    /// context fall into shards of the same number. Returns the positions of the items, shard after shard and ascending in
    /// each, and where each shard ends among them.
    pub fn split(&self, context: &[u8], shards: usize) -> Result<(Vec<u32>, Vec<u32>)> {
        check_range("shards", shards, 1, SHARDS_MAX)?;
        let key = Key::derive("psc shards 1 split", &[context, &(shards as u64).to_le_bytes()]);
        let simd = Simd::selected()?;
        let mut numbers = vec![0u16; self.len()];
        parallel::install(|| {
            numbers.par_chunks_mut(SPLIT_ITEMS).enumerate().for_each(|(chunk, numbers)| {
                let mut blocks = [[0u32; 16]; SPLIT_ITEMS];
                key.hash_items(simd, self, chunk * SPLIT_ITEMS, &mut blocks[..numbers.len()]);
                for (number, block) in numbers.iter_mut().zip(blocks.iter()) {
                    let word = u64::from(block[0]) | u64::from(block[1]) << 32;
                    *number = ((u128::from(word) * shards as u128) >> 64) as u16; // below shards, so at most 2^16 - 1
                }
                blocks.zeroize();
            });
        })?;
        let mut ends = vec![0u32; shards];
        numbers.iter().for_each(|&number| ends[usize::from(number)] += 1);
        let mut before = 0;
        let mut next: Vec<u32> = Vec::with_capacity(shards);
        for end in &mut ends {
            next.push(before);
            before += *end;
            *end = before;
        }
        let mut order = vec![0u32; self.len()];
        for (position, &number) in (0u32..).zip(&numbers) {
            let place = &mut next[usize::from(number)];
            order[*place as usize] = position;
            *place += 1;
        }
        numbers.zeroize();
        Ok((order, ends))
    }

    /// The items at `positions`, in that order; any may come again.
    pub fn take(&self, positions: &[u32]) -> Result<Self> {
        for &position in positions {
            check_position("position", position as usize, self.len())?;
        }
        let item = |at: usize| self.get(positions[at] as usize);
        let total = (0..positions.len()).map(|at| item(at).len()).sum();
        Self::written(positions.len(), total, |at| item(at).len(), |at, place| place.copy_from_slice(item(at)))
    }

    /// The items, and after them as many dummies of 32 random bytes as make `total`: no party holds a dummy as an item.
    pub fn padded(&self, total: usize, rng: &mut Rng) -> Result<Self> {
        check_range("total", total, self.len(), ITEMS_MAX)?;
        let before = self.dummies.as_ref().map_or(&[][..], |dummies| &dummies.0);
        let mut dummies = vec![[0u8; DUMMY_BYTES]; before.len() + total - self.len()];
        let (kept, new) = dummies.split_at_mut(before.len());
        kept.copy_from_slice(before);
        new.iter_mut().for_each(|dummy| rng.fill(dummy));
        Ok(Self { dummies: Some(Arc::new(Dummies(dummies))), ..self.clone() })
    }

    /// The items of several batches, one batch after the other.
    pub fn concat(parts: &[&Self]) -> Result<Self> {
        if let [one] = parts {
            return Ok((*one).clone()); // they share the storage
        }
        let mut count = 0;
        let mut starts = Vec::with_capacity(parts.len());
        for part in parts {
            starts.push(count);
            count += part.len();
        }
        check_range("items", count, 0, ITEMS_MAX)?;
        let item = |at: usize| {
            let part = starts.partition_point(|&start| start <= at) - 1;
            parts[part].get(at - starts[part])
        };
        let total = parts.iter().flat_map(|part| part.iter()).map(<[u8]>::len).sum();
        Self::written(count, total, |at| item(at).len(), |at, place| place.copy_from_slice(item(at)))
    }

    /// All items in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The distinct items in order of first appearance, and for each item the position of its equal among them.
    ///
    /// Equal items have equal hashes, so those of one range of hashes are compared among each other alone: in parallel, and
    /// in a table that the processor's cache holds.
    pub fn distinct(&self) -> Result<(Self, Vec<u32>)> {
        let parts = (self.len() / PART_ITEMS).next_power_of_two().min(PARTS_MAX);
        let range = self.len().div_ceil(DISTINCT_TASKS).max(TASK_ITEMS);
        let seeded = SeededHash::new();
        let mut repeated: Vec<Repeated> = parallel::install(|| {
            let starts: Vec<usize> = (0..self.len()).step_by(range).collect();
            let hashed = |start: usize| {
                let stop = self.len().min(start + range);
                let room = (stop - start) / parts * 9 / 8 + 16;
                let mut lists: Vec<Vec<(u32, u32)>> = (0..parts).map(|_| Vec::with_capacity(room)).collect();
                for index in start..stop {
                    let hash = seeded.of(self.get(index));
                    let part = ((hash >> 32) * parts as u64) >> 32;
                    lists[part as usize].push((hash as u32, index as u32));
                }
                lists
            };
            let lists: Vec<Vec<Vec<(u32, u32)>>> = starts.into_par_iter().map(hashed).collect();
            let compared = |part: usize| {
                let mut table = Table::with_room(lists.iter().map(|lists| lists[part].len()).sum());
                let mut repeated = Vec::new();
                for &(hash, index) in lists.iter().flat_map(|lists| &lists[part]) {
                    let item = self.get(index as usize);
                    let hash = u64::from(hash) << 32 | u64::from(hash);
                    let first = table.insert(hash, index, |kept| self.get(kept as usize) == item);
                    if first != index {
                        repeated.push(Repeated { index, first });
                    }
                }
                repeated
            };
            (0..parts).into_par_iter().flat_map_iter(compared).collect()
        })?;
        if repeated.is_empty() {
            return Ok((self.clone(), (0..self.len() as u32).collect())); // they share the storage; a copy would double a large set
        }
        parallel::install(|| repeated.par_sort_unstable())?;
        let mut firsts: Vec<u32> = Vec::with_capacity(self.len() - repeated.len());
        let mut groups: Vec<u32> = Vec::with_capacity(self.len());
        let mut repeated = repeated.into_iter().peekable();
        for index in 0..self.len() as u32 {
            match repeated.next_if(|next| next.index == index) {
                Some(Repeated { first, .. }) => groups.push(groups[first as usize]),
                None => {
                    groups.push(firsts.len() as u32);
                    firsts.push(index);
                }
            }
        }
        Ok((self.take(&firsts)?, groups))
    }

    /// SHA-256 over a salt and all items in order, each with its length before it.
    pub fn digest(&self, salt: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(DIGEST_LABEL);
        hash.update((salt.len() as u64).to_be_bytes());
        hash.update(salt);
        hash.update((self.len() as u64).to_be_bytes());
        for item in self.iter() {
            hash.update((item.len() as u16).to_be_bytes());
            hash.update(item);
        }
        hash.finalize().into()
    }
}

/// Items in the making: batches of rows, written one after the other into one storage.
pub struct Builder {
    /// More zeros than items so far: room for those to come.
    store: Store,
    filled: usize,
    count: usize,
    seen: usize,
    expected: usize,
}

impl Builder {
    /// Begin with no item; `expected` rows will be seen in all, which only decides how much room is made.
    pub fn new(expected: usize) -> Self {
        let store = Store { data: Vec::new(), ends: Ends::Every(0) };
        Self { store, filled: 0, count: 0, seen: 0, expected }
    }

    /// Encode the rows of one or more columns behind those before, as [`Items::encode`] does. They are what is left of `seen`
    /// of the expected rows.
    pub fn add(&mut self, columns: &[Column<'_>], seen: usize) -> Result<()> {
        check_range("columns", columns.len(), 1, 255)?;
        let count = columns[0].rows();
        let mut fixed = 1;
        let mut total = 0;
        for column in columns {
            check_range("tag", column.tag.len(), 1, 255)?;
            check_count("offsets", column.offsets.len(), count + 1)?;
            check_offsets("offsets", column.offsets, column.data.len())?;
            fixed += 1 + column.tag.len() + 2;
            total += (column.offsets[count] - column.offsets[0]) as usize;
        }
        let cell = |column: &Column<'_>, row: usize| column.offsets[row] as usize..column.offsets[row + 1] as usize;
        let length_of = |row: usize| fixed + columns.iter().map(|column| cell(column, row).len()).sum::<usize>();
        if let Some(index) = (0..count).find(|&row| length_of(row) > ITEM_BYTES_MAX) {
            return Err(Error::ItemTooLong { index, length: length_of(index), limit: ITEM_BYTES_MAX });
        }
        self.append(count, seen, total + fixed * count, length_of, |row, mut item| {
            let mut put = |bytes: &[u8]| item.split_off_mut(..bytes.len()).expect("its length").copy_from_slice(bytes);
            put(&[columns.len() as u8]);
            for column in columns {
                let cell = &column.data[cell(column, row)];
                put(&[column.tag.len() as u8]);
                put(column.tag);
                put(&(cell.len() as u16).to_be_bytes());
                put(cell);
            }
        })
    }

    /// The items so far. Nothing is copied, unless much more room was made than they take.
    pub fn finish(mut self) -> Items {
        if self.store.data.len() > self.filled / 4 * 5 + SPARE_BYTES {
            self.hold(self.filled);
        }
        self.store.data.truncate(self.filled);
        Items { store: Arc::new(self.store), start: 0, stop: self.count, dummies: None }
    }

    /// Write `count` items of `total` bytes together, what is left of `seen` rows, on all threads, each into its place.
    fn append(
        &mut self,
        count: usize,
        seen: usize,
        total: usize,
        length_of: impl Fn(usize) -> usize + Sync,
        write: impl Fn(usize, &mut [u8]) + Sync,
    ) -> Result<()> {
        check_range("rows", self.count + count, 0, ITEMS_MAX)?;
        parallel::install(|| ())?; // what can fail comes before anything is changed
        self.seen += seen.max(count);
        if count == 0 {
            return Ok(());
        }
        self.make_room(total);
        let likely = self.likely(self.count + count);
        self.store.ends.extend(self.count, count, likely, &length_of);
        let (ends, before) = (&self.store.ends, self.count);
        let mut left = &mut self.store.data[self.filled..self.filled + total];
        let mut tasks = Vec::with_capacity(count.div_ceil(TASK_ITEMS));
        for first in (0..count).step_by(TASK_ITEMS) {
            let stop = count.min(first + TASK_ITEMS);
            let bytes = ends.range(before + stop - 1).end - ends.range(before + first).start;
            let (own, rest) = left.split_at_mut(bytes);
            tasks.push((first..stop, own));
            left = rest;
        }
        parallel::install(|| {
            tasks.into_par_iter().for_each(|(rows, mut data)| {
                for row in rows {
                    let length = ends.range(before + row).len();
                    write(row, data.split_off_mut(..length).expect("the lengths add up"));
                }
            });
        })?;
        self.filled += total;
        self.count += count;
        Ok(())
    }

    /// Make room for `total` bytes more, and, where this is new room, for all rows that are expected, if they are like those
    /// so far.
    fn make_room(&mut self, total: usize) {
        let filled = self.filled + total;
        if filled > self.store.data.len() {
            self.hold(self.likely(filled).min(filled.max(ROOM_BYTES_MAX)));
        }
    }

    /// What `so_far`, of the rows that were seen, will be with all that are expected.
    fn likely(&self, so_far: usize) -> usize {
        (so_far as u128 * self.expected.max(self.seen) as u128 / self.seen.max(1) as u128) as usize
    }

    /// Have room for so many bytes.
    fn hold(&mut self, bytes: usize) {
        let mut data = memory::zeros(bytes);
        data[..self.filled].copy_from_slice(&self.store.data[..self.filled]);
        self.store.data.zeroize();
        self.store.data = data;
    }
}

/// Refuse offsets that are negative, decrease, or pass the end of the data.
pub(crate) fn check_offsets(what: &'static str, offsets: &[i64], data_bytes: usize) -> Result<()> {
    let mut before = 0;
    for (index, &offset) in offsets.iter().enumerate() {
        if offset < before || offset as u64 > data_bytes as u64 {
            return Err(Error::BadOffsets { what, index });
        }
        before = offset;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column<'a>(tag: &'a [u8], offsets: &'a [i64], data: &'a [u8]) -> Column<'a> {
        Column { tag, offsets, data }
    }

    #[test]
    fn encoding_is_as_documented() {
        let items = Items::encode(&[column(b"ph", &[1, 2, 4], b"xabc"), column(b"t", &[0, 0, 1], b"z")]).unwrap();
        assert_eq!(items.len(), 2);
        assert_eq!(items.get(0), b"\x02\x02ph\x00\x01a\x01t\x00\x00");
        assert_eq!(items.get(1), b"\x02\x02ph\x00\x02bc\x01t\x00\x01z");
    }

    #[test]
    fn bad_columns_are_refused() {
        let refused = |columns: &[Column<'_>]| Items::encode(columns).err().unwrap();
        let bad = |index| Error::BadOffsets { what: "offsets", index };
        assert_eq!(refused(&[column(b"t", &[0, 2, 1], b"ab")]), bad(2));
        assert_eq!(refused(&[column(b"t", &[-1, 2], b"ab")]), bad(0));
        assert_eq!(refused(&[column(b"t", &[0, 3], b"ab")]), bad(1));
        assert!(matches!(refused(&[]), Error::OutOfRange { what: "columns", .. }));
        assert!(matches!(refused(&[column(b"", &[0], b"")]), Error::OutOfRange { what: "tag", .. }));
        assert!(matches!(refused(&[column(b"t", &[], b"")]), Error::CountMismatch { .. }));
        let (one, two) = (column(b"t", &[0, 0], b""), column(b"t", &[0, 0, 0], b""));
        assert!(matches!(refused(&[one, two]), Error::CountMismatch { count: 3, expected: 2, .. }));
    }

    #[test]
    fn items_have_a_longest_length() {
        let cell = vec![0u8; ITEM_BYTES_MAX];
        let most = (ITEM_BYTES_MAX - 5) as i64;
        assert!(Items::encode(&[column(b"t", &[0, most], &cell)]).is_ok());
        for length in [most + 1, ITEM_BYTES_MAX as i64] {
            let error = Items::encode(&[column(b"t", &[0, 1, 1 + length - 1], &cell), column(b"t", &[0, 0, 0], b"")]);
            assert!(matches!(error.err(), Some(Error::ItemTooLong { index: 1, .. })));
        }
        assert!(Items::from_slices([&cell[..]].into_iter()).is_ok());
        assert!(Items::from_slices([&[0u8; ITEM_BYTES_MAX + 1][..]].into_iter()).is_err());
    }

    #[test]
    fn shards_hold_every_item_once_and_follow_from_the_item_alone() {
        let names: Vec<String> = (0..3000).map(|n| format!("item {n}")).collect();
        let items = Items::from_slices(names.iter().map(String::as_bytes)).unwrap();
        for shards in [1, 2, 7, 300] {
            let (order, ends) = items.split(b"context", shards).unwrap();
            assert_eq!((ends.len(), ends[shards - 1] as usize), (shards, items.len()));
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.iter().copied().eq(0..items.len() as u32));
            let bounds: Vec<usize> = std::iter::once(0).chain(ends.iter().map(|&end| end as usize)).collect();
            assert!(bounds.windows(2).all(|pair| order[pair[0]..pair[1]].is_sorted()));
            // The other party has some of the items, elsewhere: they fall into the same shards.
            let (some, some_ends) = items.slice(1000, 2000).unwrap().split(b"context", shards).unwrap();
            let mut begin = 0;
            for shard in 0..shards {
                let end = some_ends[shard] as usize;
                let own = &order[bounds[shard]..bounds[shard + 1]];
                let common = own.iter().copied().filter(|position| (1000..2000).contains(position));
                assert!(some[begin..end].iter().map(|position| position + 1000).eq(common));
                begin = end;
            }
        }
        let (_, even) = items.split(b"context", 3).unwrap();
        assert!(even[0].abs_diff(1000) < 200 && (even[1] - even[0]).abs_diff(1000) < 200, "{even:?}");
        assert_ne!(items.split(b"context", 3).unwrap().0, items.split(b"another", 3).unwrap().0);
        assert!(items.split(b"", 0).is_err() && items.split(b"", SHARDS_MAX + 1).is_err());
        assert_eq!(items.slice(0, 0).unwrap().split(b"", 2).unwrap(), (vec![], vec![0, 0]));
    }

    #[test]
    fn the_split_is_frozen() {
        let items = Items::from_slices([&b"a"[..], b"b", b"c", b"d", b"e", b"f", b"", &[7; 100]].into_iter()).unwrap();
        assert_eq!(items.split(&[1; 32], 3).unwrap(), (vec![1, 2, 4, 5, 7, 0, 3, 6], vec![2, 5, 8]));
    }

    #[test]
    fn slices_and_distinct_items() {
        let items = Items::from_slices([&b"b"[..], b"a", b"", b"b", b"a", b"c"].into_iter()).unwrap();
        let part = items.slice(1, 6).unwrap();
        assert_eq!(part.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"b", b"a", b"c"]);
        let (distinct, groups) = part.distinct().unwrap();
        assert_eq!(distinct.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"b", b"c"]);
        assert_eq!(groups, [0, 1, 2, 0, 3]);
        let padded = items.slice(0, 2).unwrap().padded(4, &mut Rng::insecure_from_seed(b"s")).unwrap();
        assert_eq!(padded.iter().map(<[u8]>::len).collect::<Vec<_>>(), [1, 1, DUMMY_BYTES, DUMMY_BYTES]);
        assert_ne!(padded.get(2), padded.get(3));
        assert!(items.padded(5, &mut Rng::insecure_from_seed(b"s")).is_err());
        let taken = items.take(&[5, 0, 0]).unwrap();
        assert_eq!(taken.iter().collect::<Vec<_>>(), [&b"c"[..], b"b", b"b"]);
        assert!(items.take(&[6]).is_err());
        assert!(items.slice(0, 0).unwrap().take(&[0]).is_err());
        assert!(items.slice(0, 0).unwrap().take(&[]).unwrap().is_empty());
        assert!(items.slice(2, 1).is_err());
        assert!(items.slice(0, 7).is_err());
        assert!(items.slice(6, 6).unwrap().is_empty());
        let again = Items::from_slices(part.iter()).unwrap();
        assert_eq!(part.digest(b"s"), again.digest(b"s"));
        assert_ne!(part.digest(b"s"), again.digest(b"t"));
        assert_ne!(part.digest(b"s"), items.digest(b"s"));
    }
}
