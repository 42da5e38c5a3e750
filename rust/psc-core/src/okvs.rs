//! An oblivious key-value store over GF(2^128): random-band, as in Bienstock, Patel, Seo and Yeo (2023/903).
//!
//! A key's *row* is a band of [`WIDTH`] random bits at a random column. The store is a table of [`Shape::columns`]
//! elements such that the elements under a key's bits add up to its value; nothing but the keys themselves tells the
//! table from the table of other keys. Encoding is Gaussian elimination of the rows in order of their columns, then back
//! substitution; looking up is the inner product of a band with the table, of all keys in order of their columns.
//!
//! *Failure.* Encoding fails when the rows are linearly dependent. That depends on the keys, so the caller ends the run
//! and never tries again with other randomness: a retry that the peer sees would tell it about the keys. The parameters
//! keep it at 2^-53 for 2^20 keys; it grows with their number, so that 2^-40 holds for all stores of a run up to 2^33 keys
//! together. `examples/okvs_failure.rs` measures the law that this is taken from, and fails when it does not hold.
//!
//! *Free columns*, those where no row leads, are zero. The table must therefore only leave under a uniform mask (in
//! vole-psi `A = P + A'`, where `A'` is pseudorandom to who gets `A`); by itself it would show which columns are free.
//!
//! Time depends on the keys: their order, and how far rows are reduced. It is as long as the caller's other work on its
//! own keys (sorting, hash tables) and no message waits on a part of it.

use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::{Error, Result, check_count, check_range};
use crate::items::Items;
use crate::memory;
use crate::parallel;
use crate::simd::Simd;
use crate::wide_hash::{Block, Key};

mod elimination;
pub(crate) mod order;
mod window;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use elimination::dependent_rows;
use window::Window;

/// Bits of a band.
pub const WIDTH: usize = 256;
/// Columns for so many keys, in thousandths: 1.1 a key.
pub const COLUMNS_PER_THOUSAND: usize = 1100;
/// The most keys: columns are counted in 32 bits.
pub const KEYS_MAX: usize = 1 << 31;
/// Rows that one task hashes or looks up.
const CHUNK_ROWS: usize = 4096;
/// Rows that are gathered at once: independent loads, so that they wait for memory together.
const BATCH: usize = 64;

/// The sizes of a store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shape {
    columns: usize,
}

impl Shape {
    /// A store for so many keys: a public number, so pad first.
    pub fn new(keys: usize) -> Result<Self> {
        check_range("keys", keys, 0, KEYS_MAX)?;
        Ok(Self { columns: columns(keys, WIDTH) })
    }

    /// The elements of the table.
    pub fn columns(self) -> usize {
        self.columns
    }

    /// The number of columns where a band can start.
    fn starts(self) -> u64 {
        (self.columns - WIDTH + 1) as u64
    }
}

/// The columns for so many keys with bands of `width` bits: `⌈1.1·keys⌉ + width`.
pub fn columns(keys: usize, width: usize) -> usize {
    (keys * COLUMNS_PER_THOUSAND).div_ceil(1000) + width
}

/// A band (the first column's bit lowest), and in the last two words the value that is to come out under it. Plain words,
/// so that a vector of zeros costs nothing before it is written.
pub(crate) type Row = [u64; WIDTH / 64 + 2];

/// The bits of a row.
#[inline]
pub(crate) fn band(row: &Row) -> &[u64; WIDTH / 64] {
    row.first_chunk().expect("the words before the value")
}

/// The value of a row.
#[inline]
pub(crate) fn value(row: &Row) -> u128 {
    u128::from(row[4]) | u128::from(row[5]) << 64
}

/// Take band, value and start from different words of a hash, so that they are independent.
#[inline]
fn row_of(hash: &Block, shape: Shape) -> (Row, u64) {
    let word = |at: usize| u64::from(hash[2 * at]) | u64::from(hash[2 * at + 1]) << 32;
    let start = (u128::from(word(6)) * u128::from(shape.starts())) >> 64;
    (core::array::from_fn(word), start as u64)
}

/// The rows of a batch of keys, and their order by column. They follow from the keys, so they are zeroised.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Rows {
    rows: Vec<Row>,
    /// `start << 32 | position among the rows`, ascending.
    order: Vec<u64>,
    #[zeroize(skip)]
    shape: Shape,
}

impl Rows {
    /// Hash the items under a key: 32 bytes give the band, 16 the value, 8 the start.
    pub fn hash(items: &Items, shape: Shape, key: &Key) -> Result<Self> {
        Self::hash_with(Simd::selected()?, items, shape, key)
    }

    pub(crate) fn hash_with(simd: Simd, items: &Items, shape: Shape, key: &Key) -> Result<Self> {
        check_range("items", items.len(), 0, KEYS_MAX)?;
        let mut made = Self { rows: memory::zeros(items.len()), order: memory::zeros(items.len()), shape };
        parallel::install(|| {
            let chunks = made.rows.par_chunks_mut(CHUNK_ROWS).zip(made.order.par_chunks_mut(CHUNK_ROWS));
            chunks.enumerate().for_each(|(chunk, (rows, order))| {
                let mut hashes = [[0; 16]; BATCH];
                for (batch, (rows, order)) in rows.chunks_mut(BATCH).zip(order.chunks_mut(BATCH)).enumerate() {
                    let first = chunk * CHUNK_ROWS + batch * BATCH;
                    let hashes = &mut hashes[..rows.len()];
                    key.hash_items(simd, items, first, hashes);
                    for (at, hash) in hashes.iter().enumerate() {
                        let (row, start) = row_of(hash, shape);
                        rows[at] = row;
                        order[at] = start << 32 | (first + at) as u64;
                    }
                }
                hashes.zeroize();
            });
        })?;
        order::sort(&mut made.order, shape.starts());
        Ok(made)
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The sizes of the store that the rows are of.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// For the rows in order of their columns, from the `first` on: their positions among the keys.
    pub(crate) fn positions(&self, first: usize, count: usize) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.order[first..first + count].iter().map(|&entry| entry as u32)
    }

    fn gather(&self, entries: &[u64], into: &mut [Row]) {
        for (to, &entry) in into.iter_mut().zip(entries) {
            *to = self.rows[entry as u32 as usize];
        }
    }
}

/// The column where a row starts, of an entry of the order.
fn start(entry: u64) -> usize {
    (entry >> 32) as usize
}

/// Make the table whose lookup under each row gives the row's value.
///
/// Equal keys are refused ([`Error::DuplicateKeys`]); [`Error::EncodingFailed`] ends the run.
pub fn encode(rows: &Rows) -> Result<Vec<u128>> {
    encode_with(Simd::selected()?, rows)
}

pub(crate) fn encode_with(simd: Simd, rows: &Rows) -> Result<Vec<u128>> {
    let mut reduced = elimination::reduce(rows)?;
    let table = window::substitute(simd, &reduced);
    reduced.zeroize();
    Ok(table)
}

/// Looks rows up in a table, in order of their columns.
pub(crate) struct Lookup<'a> {
    table: &'a [u128],
    rows: &'a Rows,
    window: Window,
}

impl<'a> Lookup<'a> {
    /// Panics when the table has not the columns of the rows' shape.
    pub(crate) fn new(simd: Simd, table: &'a [u128], rows: &'a Rows) -> Self {
        assert_eq!(table.len(), rows.shape.columns, "a table of the rows' shape");
        Self { table, rows, window: Window::new(simd) }
    }

    /// Copy the rows from the `first` on, in order of their columns, and look them up; panics when there are not so many.
    pub(crate) fn look_up(&mut self, first: usize, rows: &mut [Row], values: &mut [u128]) {
        let entries = &self.rows.order[first..first + rows.len()];
        self.rows.gather(entries, rows);
        for ((entry, row), value) in entries.iter().zip(rows.iter()).zip(values) {
            *value = self.window.inner_product(self.table, start(*entry), band(row));
        }
    }
}

/// Look all rows up: the values in order of the keys.
pub fn decode_all(table: &[u128], rows: &Rows) -> Result<Vec<u128>> {
    check_count("table", table.len(), rows.shape.columns)?;
    let simd = Simd::selected()?;
    let mut sorted: Vec<u128> = memory::zeros(rows.len());
    parallel::install(|| {
        sorted.par_chunks_mut(CHUNK_ROWS).enumerate().for_each(|(chunk, values)| {
            let mut lookup = Lookup::new(simd, table, rows);
            let mut gathered = [Row::default(); BATCH];
            for (batch, values) in values.chunks_mut(BATCH).enumerate() {
                lookup.look_up(chunk * CHUNK_ROWS + batch * BATCH, &mut gathered[..values.len()], values);
            }
            gathered.zeroize();
        });
    })?;
    let mut values = memory::zeros(rows.len());
    for (position, value) in rows.positions(0, rows.len()).zip(&sorted) {
        values[position as usize] = *value;
    }
    sorted.zeroize();
    Ok(values)
}

#[cfg(test)]
mod tests;
