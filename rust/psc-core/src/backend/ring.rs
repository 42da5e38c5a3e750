//! What packed encryption needs of a backend: transforms and sums over the residues of polynomials modulo one prime.
//!
//! All backends give the same residues, each below its prime. The loops that a compiler turns into vector code by itself
//! stand here once and are compiled with each backend's instructions.

use crate::rlwe::prime::{Integers, LOW, Prime, RESIDUE_BITS, Residues};
use crate::rlwe::{DEGREE, PLANE_BYTES};

/// The packed residues of a polynomial modulo one prime.
pub type Plane = [u8; PLANE_BYTES];
/// A cell of each position, -1 for none.
#[repr(C, align(64))]
pub struct Cells(pub [i32; DEGREE]);

/// Arithmetic on whole polynomials modulo one prime. None of it branches on a value or uses one as an address.
pub trait Ring: Send + Sync {
    /// Turn coefficients, each below 4p, into values: entry i is the value at ψ^(2·r(i) + 1), r reversing 13 bits.
    fn forward(&self, prime: &Prime, values: &mut Residues);

    /// Turn values, each below p, back into coefficients.
    fn inverse(&self, prime: &Prime, values: &mut Residues);

    /// Add a·b/2^52, entry by entry.
    fn multiply_add(&self, prime: &Prime, sum: &mut Residues, a: &Residues, b: &Residues);

    /// Return Σ a_i·b_i.
    fn inner(&self, prime: &Prime, a: &Residues, b: &Residues) -> u64;

    /// Return the sum of the values at the positions in a cell, each times its weight (1 without any; within ±2^32).
    fn sum(&self, prime: &Prime, values: &Residues, cells: &Cells, weights: Option<&Integers>, cell: i32) -> u64;

    /// Add, entry by entry.
    fn add(&self, prime: &Prime, sum: &mut Residues, a: &Residues);

    /// Write the weights (1 without any; within ±2^32) of the positions in a cell, and 0 elsewhere.
    fn select(&self, prime: &Prime, cells: &Cells, weights: Option<&Integers>, cell: i32, out: &mut Residues);

    /// Replace each x by 2^64·error + value − x.
    fn add_message(&self, prime: &Prime, values: &mut Residues, errors: &Integers, messages: &Integers);

    /// Read 42-bit numbers, the first in the lowest bits; return the largest.
    fn unpack(&self, plane: &Plane, out: &mut Residues) -> u64;

    /// Write 42-bit numbers.
    fn pack(&self, values: &Residues, plane: &mut Plane);

    /// Turn 42-bit numbers into differences of the numbers of ones in their halves.
    fn binomial(&self, bits: &Residues, out: &mut Integers);
}

/// Eight numbers of 42 bits take 42 bytes.
const GROUP: usize = 8;
pub(super) const GROUP_BYTES: usize = GROUP * RESIDUE_BITS / 8;

/// A weight as a residue.
#[inline(always)]
fn residue(prime: &Prime, weight: i64) -> u64 {
    (weight as u64).wrapping_add((weight >> 63) as u64 & prime.modulus)
}

/// All ones where the position is in the cell, else zero.
#[inline(always)]
fn hit(at: i32, cell: i32) -> u64 {
    u64::from(at == cell).wrapping_neg()
}

#[inline(always)]
pub(super) fn add(prime: &Prime, sum: &mut Residues, a: &Residues) {
    for (sum, a) in sum.0.iter_mut().zip(&a.0) {
        *sum = prime.add(*sum, *a);
    }
}

#[inline(always)]
pub(super) fn select(prime: &Prime, cells: &Cells, weights: Option<&Integers>, cell: i32, out: &mut Residues) {
    match weights {
        None => out.0.iter_mut().zip(&cells.0).for_each(|(out, at)| *out = hit(*at, cell) & 1),
        Some(weights) => {
            for ((out, at), weight) in out.0.iter_mut().zip(&cells.0).zip(&weights.0) {
                *out = hit(*at, cell) & residue(prime, *weight);
            }
        }
    }
}

/// The sum of the values in a cell: 8192 of 42 bits are below 2^55.
#[inline(always)]
pub(super) fn sum_plain(values: &Residues, cells: &Cells, cell: i32) -> u64 {
    let terms = values.0.iter().zip(&cells.0).map(|(x, at)| x & hit(*at, cell));
    terms.fold(0, u64::wrapping_add)
}

/// The sum of 8192 products of 84 bits is below 2^97.
#[inline(always)]
pub(super) fn sum_weighted(prime: &Prime, values: &Residues, cells: &Cells, weights: &Integers, cell: i32) -> u128 {
    let weighted = cells.0.iter().zip(&weights.0).map(|(at, weight)| hit(*at, cell) & residue(prime, *weight));
    let terms = values.0.iter().zip(weighted).map(|(x, weight)| u128::from(*x).wrapping_mul(u128::from(weight)));
    terms.fold(0, u128::wrapping_add)
}

#[inline(always)]
pub(super) fn add_message(prime: &Prime, values: &mut Residues, errors: &Integers, messages: &Integers) {
    for ((x, error), message) in values.0.iter_mut().zip(&errors.0).zip(&messages.0) {
        *x = prime.message(*error, *message, *x);
    }
}

#[inline(always)]
pub(super) fn unpack(plane: &Plane, out: &mut Residues) -> u64 {
    let mut largest = [0; GROUP];
    let word = |bytes: &[u8; GROUP_BYTES], at: usize| {
        u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight of 42 bytes"))
    };
    for (bytes, out) in plane.as_chunks::<GROUP_BYTES>().0.iter().zip(out.0.as_chunks_mut::<GROUP>().0) {
        // Number i begins at bit 42·i; the last is read from two bytes earlier, to stay within the group.
        *out = [
            word(bytes, 0) & LOW,
            word(bytes, 5) >> 2 & LOW,
            word(bytes, 10) >> 4 & LOW,
            word(bytes, 15) >> 6 & LOW,
            word(bytes, 21) & LOW,
            word(bytes, 26) >> 2 & LOW,
            word(bytes, 31) >> 4 & LOW,
            word(bytes, 34) >> 22,
        ];
        largest.iter_mut().zip(out).for_each(|(largest, x)| *largest = (*largest).max(*x));
    }
    largest.into_iter().fold(0, u64::max)
}

#[inline(always)]
pub(super) fn pack(values: &Residues, plane: &mut Plane) {
    for (bytes, r) in plane.as_chunks_mut::<GROUP_BYTES>().0.iter_mut().zip(values.0.as_chunks::<GROUP>().0) {
        let words = [
            r[0] | r[1] << 42,
            r[1] >> 22 | r[2] << 20 | r[3] << 62,
            r[3] >> 2 | r[4] << 40,
            r[4] >> 24 | r[5] << 18 | r[6] << 60,
            r[6] >> 4 | r[7] << 38,
        ];
        for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        bytes[40..].copy_from_slice(&((r[7] >> 26) as u16).to_le_bytes());
    }
}

#[inline(always)]
pub(super) fn binomial(bits: &Residues, out: &mut Integers) {
    const HALF: u64 = (1 << 21) - 1;
    for (out, bits) in out.0.iter_mut().zip(&bits.0) {
        // The halves count in the two halves of a word: pairs, fours and eights of bits, then the sum of four bytes.
        let mut x = bits & HALF | (bits >> 21 & HALF) << 32;
        x = x.wrapping_sub(x >> 1 & 0x5555_5555_5555_5555);
        x = (x & 0x3333_3333_3333_3333).wrapping_add(x >> 2 & 0x3333_3333_3333_3333);
        x = x.wrapping_add(x >> 4) & 0x0f0f_0f0f_0f0f_0f0f;
        x = x.wrapping_add(x >> 16);
        x = x.wrapping_add(x >> 8) & 0x0000_003f_0000_003f;
        *out = ((x & 0x3f) as i64).wrapping_sub((x >> 32) as i64);
    }
}
