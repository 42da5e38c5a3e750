//! Gaussian elimination of banded rows: each is reduced until it leads at a column where no other does.
//!
//! Rows that come in order of their starts are reduced about three times on average. Any order gives the same leading
//! columns, since these follow from the space that the rows span, and with zero free columns the same table: so the rows
//! are cut into ranges of columns that threads reduce on their own, and rows that leave their range are reduced further
//! when all threads are done.

use rayon::prelude::*;
use zeroize::Zeroize;

use super::{BATCH, Error, Result, Row, Rows, WIDTH, parallel, start, value};
use crate::memory;

/// Fewer rows than this are reduced by one thread.
const ROWS_PER_THREAD: usize = 1 << 15;

/// Where a row came to be.
enum Reduced {
    /// At a free column.
    Placed,
    /// Past the last column of the range: the row and its leading column.
    Left(Row, usize),
    /// Nowhere: the row is a sum of others, and its value minus theirs is this.
    Dependent(u128),
}

/// Reduce a row that starts at `column` by those in place, which are those of the columns from `first` on.
///
/// A slot is free when its band is zero; else its band starts at its own column, with a one.
#[inline(always)]
fn insert(slots: &mut [Row], first: usize, row: &Row, mut column: usize) -> Reduced {
    // Words in registers: a row that is written in words and read as a vector waits for its own stores.
    let [mut a, mut b, mut c, mut d, mut low, mut high] = *row;
    loop {
        if a == 0 {
            if b | c | d == 0 {
                return Reduced::Dependent(value(&[0, 0, 0, 0, low, high]));
            }
            (a, b, c, d) = (b, c, d, 0);
            column += 64;
            continue;
        }
        let zeros = a.trailing_zeros();
        let shift = |word: u64, next: u64| word >> zeros | (next << 1) << (63 - zeros);
        (a, b, c, d) = (shift(a, b), shift(b, c), shift(c, d), d >> zeros);
        column += zeros as usize;
        let Some(slot) = slots.get_mut(column - first) else {
            return Reduced::Left([a, b, c, d, low, high], column);
        };
        if slot[0] == 0 {
            *slot = [a, b, c, d, low, high];
            return Reduced::Placed;
        }
        a ^= slot[0];
        b ^= slot[1];
        c ^= slot[2];
        d ^= slot[3];
        low ^= slot[4];
        high ^= slot[5];
    }
}

/// Reduce all rows: one slot a column.
pub(super) fn reduce(rows: &Rows) -> Result<Vec<Row>> {
    let parts = parallel::install(|| rayon::current_num_threads().min(rows.len() / ROWS_PER_THREAD).max(1))?;
    reduce_in_parts(rows, parts)
}

/// As [`reduce`], cut into so many ranges.
pub(super) fn reduce_in_parts(rows: &Rows, parts: usize) -> Result<Vec<Row>> {
    let mut slots: Vec<Row> = memory::zeros(rows.shape.columns);
    let mut ranges = Vec::with_capacity(parts);
    let (mut left, mut at, mut entries) = (&mut slots[..], 0, &rows.order[..]);
    for part in 1..=parts {
        let end = if part == parts { rows.shape.columns } else { rows.shape.columns * part / parts };
        let (range, rest) = left.split_at_mut(end - at);
        let (own, others) = entries.split_at(entries.partition_point(|&entry| start(entry) < end));
        ranges.push((at, range, own));
        (left, at, entries) = (rest, end, others);
    }
    let spilled: Vec<Result<Vec<(Row, usize)>>> = if parts == 1 {
        ranges.into_iter().map(|(first, range, entries)| reduce_range(rows, first, range, entries)).collect()
    } else {
        parallel::install(|| {
            let ranges = ranges.into_par_iter();
            ranges.map(|(first, range, entries)| reduce_range(rows, first, range, entries)).collect()
        })?
    };
    for part in spilled {
        for (row, column) in part? {
            let left = placed(insert(&mut slots, 0, &row, column))?;
            assert!(left.is_none(), "every band ends before the last column does");
        }
    }
    Ok(slots)
}

/// Reduce the rows that start in a range of columns; those that leave it are returned.
fn reduce_range(rows: &Rows, first: usize, slots: &mut [Row], entries: &[u64]) -> Result<Vec<(Row, usize)>> {
    let mut spilled = Vec::new();
    let mut gathered = [Row::default(); BATCH];
    for entries in entries.chunks(BATCH) {
        rows.gather(entries, &mut gathered);
        for (row, &entry) in gathered.iter().zip(entries) {
            spilled.extend(placed(insert(slots, first, row, start(entry)))?);
        }
    }
    gathered.zeroize();
    Ok(spilled)
}

/// A dependent row whose value agrees with the others' is the row of a key that is there already: bands are so wide
/// that other keys give it with a probability of 2^-128 at most.
fn placed(reduced: Reduced) -> Result<Option<(Row, usize)>> {
    match reduced {
        Reduced::Placed => Ok(None),
        Reduced::Left(row, column) => Ok(Some((row, column))),
        Reduced::Dependent(0) => Err(Error::DuplicateKeys),
        Reduced::Dependent(_) => Err(Error::EncodingFailed),
    }
}

/// The number of rows that depend on others, of rows that start at ascending columns, for measuring how often encoding
/// fails. Bands of fewer than 256 bits are zero above. Panics when a band ends past the last of the columns.
pub fn dependent_rows(columns: usize, rows: impl Iterator<Item = (usize, [u64; WIDTH / 64])>) -> usize {
    let mut slots: Vec<Row> = memory::zeros(columns);
    let dependent = |(start, band): (usize, [u64; WIDTH / 64])| match insert(
        &mut slots,
        0,
        &[band[0], band[1], band[2], band[3], 0, 0],
        start,
    ) {
        Reduced::Placed => 0,
        Reduced::Left(_, column) => panic!("a band reaches column {column} of {columns}"),
        Reduced::Dependent(_) => 1,
    };
    rows.map(dependent).sum()
}
