//! Sealed rows: what is released about an item opens only for who holds the item's OPRF output.
//!
//! Row `counter` of an item has a pseudorandom stream, from the key half of the item's output and the counter
//! ([`stream`]). It gives a tag, by which the row is found, a one-time pad for its content, and a one-time key of a
//! polynomial authenticator over GF(2^128). Rows are padded with rows of an item that nobody has (a random key half),
//! which cannot be told from rows that do not open, and sorted by tag, which hides their order.

use rayon::prelude::*;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result, check_count, check_position, check_range};
use crate::memory;
use crate::okvs::order;
use crate::oprf::OprfOutputs;
use crate::parallel::{self, CHUNK_ITEMS};
use crate::rng::Rng;
use crate::simd::Simd;

mod index;
mod stream;

use index::Index;
use stream::{BATCH, Batch, Streams};

/// Bytes of the authenticator that ends a sealed row.
pub const MAC_BYTES: usize = 16;
/// The widest row in bytes.
pub const WIDTH_BYTES_MAX: usize = 1 << 20;
const TAG_BYTES_MAX: usize = 32;
/// Bytes of an output that a row's stream comes from.
const KEY_BYTES: usize = 32;

/// The sizes of a sealed row.
#[derive(Clone, Copy)]
pub struct Shape {
    width: usize,
    tag_bytes: usize,
}

impl Shape {
    /// Rows of `width` bytes (0 to 2^20) that are found by tags of `tag_bytes` (1 to 32).
    pub fn new(width: usize, tag_bytes: usize) -> Result<Self> {
        check_range("width", width, 0, WIDTH_BYTES_MAX)?;
        check_range("tag_bytes", tag_bytes, 1, TAG_BYTES_MAX)?;
        Ok(Self { width, tag_bytes })
    }

    /// Bytes of one sealed row.
    pub fn entry_bytes(self) -> usize {
        self.tag_bytes + self.width + MAC_BYTES
    }
}

/// The plain rows that are to be sealed.
pub struct Rows<'a> {
    /// For each row the position of its item among the outputs.
    pub groups: &'a [u32],
    /// For each row its number within its item: 1, 2, 3, … in any order.
    pub counters: &'a [u32],
    /// The rows' contents, `width` bytes each.
    pub payloads: &'a [u8],
}

/// Rows and the dummies after them, by their positions.
struct Padded<'a> {
    outputs: &'a OprfOutputs,
    rows: &'a Rows<'a>,
    /// The key half of the dummies.
    nobody: Zeroizing<[u8; KEY_BYTES]>,
}

impl Padded<'_> {
    /// What the stream of a row or dummy comes from: the key half and the counter.
    #[inline]
    fn seed(&self, row: u32) -> (&[u8], u32) {
        let row = row as usize;
        match self.rows.groups.get(row) {
            Some(&group) => (self.outputs.key_half(group as usize), self.rows.counters[row]),
            None => (&self.nobody[..], (row - self.rows.groups.len()) as u32 + 1),
        }
    }

    /// The content of a row; of a dummy none, which counts as zeros.
    #[inline]
    fn payload(&self, row: u32, width: usize) -> &[u8] {
        let start = row as usize * width;
        self.rows.payloads.get(start..start + width).unwrap_or(&[])
    }
}

/// Seal rows and pad them with dummies to `total`, sorted by tag.
pub fn seal(
    outputs: &OprfOutputs,
    rows: &Rows<'_>,
    shape: Shape,
    label: &[u8],
    rng: &mut Rng,
    total: usize,
) -> Result<Vec<u8>> {
    let count = rows.groups.len();
    check_count("counters", rows.counters.len(), count)?;
    check_range("total", total, count, u32::MAX as usize - 1)?;
    check_count("payloads", rows.payloads.len(), count * shape.width)?;
    check_counters(outputs, rows)?;
    let streams = Streams::new(Simd::selected()?, label, shape)?;
    let mut padded = Padded { outputs, rows, nobody: Zeroizing::new([0; KEY_BYTES]) };
    rng.fill(&mut *padded.nobody);

    let mut entries = crate::zeroed(total * shape.entry_bytes())?;
    let order = tag_order(&streams, &padded, total)?;
    parallel::install(|| {
        let places = entries.par_chunks_mut(BATCH * shape.entry_bytes()).zip(order.par_chunks(BATCH));
        places.with_min_len(CHUNK_ITEMS / BATCH).for_each_init(Batch::default, |batch, (entries, order)| {
            let order = order.iter().map(|&entry| entry as u32);
            batch.start(&streams, order.clone().map(|row| padded.seed(row)));
            for (entry, row) in entries.chunks_exact_mut(shape.entry_bytes()).zip(order) {
                let text = padded.payload(row, shape.width);
                entry[shape.tag_bytes..][..text.len()].copy_from_slice(text);
            }
            batch.seal(&streams, entries);
        });
    })?;
    Ok(entries)
}

/// The order that sorts rows and dummies by their tags, in the lower halves of numbers whose upper halves are the tags'
/// first four bytes.
fn tag_order(streams: &Streams, padded: &Padded<'_>, total: usize) -> Result<Vec<u64>> {
    let mut entries: Vec<u64> = memory::zeros(total);
    parallel::install(|| {
        let chunks = entries.par_chunks_mut(BATCH).enumerate().with_min_len(CHUNK_ITEMS / BATCH);
        chunks.for_each_init(Batch::default, |batch, (chunk, entries)| {
            let rows = (0..entries.len()).map(|at| (chunk * BATCH + at) as u32);
            batch.start(streams, rows.clone().map(|row| padded.seed(row)));
            for ((at, entry), row) in entries.iter_mut().enumerate().zip(rows) {
                *entry = u64::from(batch.tag_prefix(streams, at)) << 32 | u64::from(row);
            }
        });
    })?;
    order::sort(&mut entries, 1 << 32);
    // Few agree in the first four bytes: these are sorted by all.
    let mut batch = Batch::default();
    for run in entries.chunk_by_mut(|a, b| a >> 32 == b >> 32).filter(|run| run.len() > 1) {
        run.sort_by_cached_key(|&entry| {
            batch.start(streams, std::iter::once(padded.seed(entry as u32)));
            batch.tag(streams, 0)
        });
    }
    Ok(entries)
}

/// A stream is used once only when no row number is repeated; a gap would hide the rows after it.
fn check_counters(outputs: &OprfOutputs, rows: &Rows<'_>) -> Result<()> {
    let mut starts = vec![0u32; outputs.len() + 1];
    for &group in rows.groups {
        check_position("groups", group as usize, outputs.len())?;
        starts[group as usize + 1] += 1;
    }
    for group in 0..outputs.len() {
        starts[group + 1] += starts[group];
    }
    // As many different numbers as rows, none above their count: the numbers from 1 on.
    let mut seen = vec![false; rows.groups.len()];
    for (&group, &counter) in rows.groups.iter().zip(rows.counters) {
        let (start, stop) = (starts[group as usize], starts[group as usize + 1]);
        if counter == 0 || counter > stop - start || seen[(start + counter - 1) as usize] {
            return Err(first_wrong_counter(rows));
        }
        seen[(start + counter - 1) as usize] = true;
    }
    Ok(())
}

/// Name the first row, by item and number, whose number is not the one after that before it.
fn first_wrong_counter(rows: &Rows<'_>) -> Error {
    let numbered = rows.groups.iter().zip(rows.counters).zip(0u32..);
    let mut numbered: Vec<(u32, u32, u32)> = numbered.map(|((&group, &counter), row)| (group, counter, row)).collect();
    numbered.sort_unstable();
    let mut before = (u32::MAX, 0);
    for (group, counter, row) in numbered {
        let due = if group == before.0 { before.1 + 1 } else { 1 };
        if counter != due {
            return Error::RowCounters { row: row as usize };
        }
        before = (group, counter);
    }
    unreachable!("called when a number is wrong")
}

/// Rows that opened.
#[derive(Default)]
pub struct Opened {
    /// For each row the position of its item among the outputs.
    pub items: Vec<u32>,
    /// For each row its number within its item, from 1.
    pub counters: Vec<u32>,
    /// The rows' contents, `width` bytes each.
    pub payloads: Vec<u8>,
}

/// A row that was found: the place of its item among those of a chunk, its number, and its position among the entries.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Found {
    place: u32,
    counter: u32,
    entry: u32,
}

/// Open the rows of the items `indices`, in that order; an item's rows end at the first number that is missing.
///
/// Entries must be sorted by tag. A row that is found but does not authenticate is refused with its position among them.
pub fn open(
    outputs: &OprfOutputs,
    indices: &[u32],
    entries: &[u8],
    shape: Shape,
    max_rows: u32,
    label: &[u8],
) -> Result<Opened> {
    let index = Index::new(entries, shape)?;
    for &index in indices {
        check_position("indices", index as usize, outputs.len())?;
    }
    let streams = Streams::new(Simd::selected()?, label, shape)?;
    let parts: Vec<Result<Opened>> = parallel::install(|| {
        let chunks = indices.par_chunks(CHUNK_ITEMS);
        chunks
            .map_init(Batch::default, |batch, items| {
                let found = find_rows(outputs, items, &streams, &index, max_rows, batch);
                open_found(outputs, items, &found, &streams, &index, batch)
            })
            .collect()
    })?;
    let mut all = Opened::default();
    for part in parts {
        let part = part?;
        all.items.extend(part.items);
        all.counters.extend(part.counters);
        all.payloads.extend(part.payloads);
    }
    Ok(all)
}

/// Find the rows of a chunk's items, sorted by item and number: all first rows, the second ones of items that have a
/// first, and so on.
fn find_rows(
    outputs: &OprfOutputs,
    items: &[u32],
    streams: &Streams,
    index: &Index<'_>,
    max_rows: u32,
    batch: &mut Batch,
) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::with_capacity(items.len());
    let mut tags = [[0; TAG_BYTES_MAX]; BATCH];
    let mut sought: Vec<u32> = (0..items.len() as u32).collect();
    for counter in 1..=max_rows {
        let first = found.len();
        for places in sought.chunks(BATCH) {
            batch.start(
                streams,
                places.iter().map(|&place| (outputs.key_half(items[place as usize] as usize), counter)),
            );
            for (at, tag) in tags.iter_mut().enumerate().take(places.len()) {
                *tag = batch.tag(streams, at);
            }
            index.find(&tags[..places.len()], |at, entry| found.push(Found { place: places[at], counter, entry }));
        }
        sought.clear();
        sought.extend(found[first..].iter().map(|row| row.place));
        if sought.is_empty() {
            break;
        }
    }
    found.sort_unstable();
    found
}

fn open_found(
    outputs: &OprfOutputs,
    items: &[u32],
    found: &[Found],
    streams: &Streams,
    index: &Index<'_>,
    batch: &mut Batch,
) -> Result<Opened> {
    let shape = streams.shape();
    let mut opened = Opened::default();
    let mut copied = vec![0; BATCH.min(found.len()) * shape.entry_bytes()];
    for rows in found.chunks(BATCH) {
        let item = |row: &Found| items[row.place as usize];
        batch.start(streams, rows.iter().map(|row| (outputs.key_half(item(row) as usize), row.counter)));
        let copied = &mut copied[..rows.len() * shape.entry_bytes()];
        for (to, row) in copied.chunks_exact_mut(shape.entry_bytes()).zip(rows) {
            to.copy_from_slice(index.entry(row.entry));
        }
        let macs = batch.open(streams, copied);
        for ((entry, mac), row) in copied.chunks_exact(shape.entry_bytes()).zip(macs).zip(rows) {
            let (head, own) = entry.split_at(shape.entry_bytes() - MAC_BYTES);
            if !bool::from(own.ct_eq(&mac.to_le_bytes())) {
                return Err(Error::RowDoesNotOpen { index: row.entry as usize });
            }
            opened.items.push(item(row));
            opened.counters.push(row.counter);
            opened.payloads.extend_from_slice(&head[shape.tag_bytes..]);
        }
    }
    copied.zeroize();
    Ok(opened)
}

#[cfg(test)]
mod tests;
