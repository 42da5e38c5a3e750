//! Eight points in the lanes times secret scalars.
//!
//! A scalar is 64 signed digits of four bits; the table of a point holds its multiples 1 to 8, and an entry is picked by
//! reading the whole table under lane masks. Which instructions run, and which addresses they touch, depends on no digit.
//! So lanes may share a scalar or have one each: only the masks differ.

use core::arch::x86_64::*;
use core::hint::black_box;

use curve25519_dalek::Scalar;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::field::Field;
use super::point::{Addend, Cached, Completed, Extended};

/// Digits of a scalar: 4·64 bits hold any scalar below 2^253 and its last carry.
const DIGITS: usize = 64;
/// Entries of a table: a digit is −8 to 7.
const ENTRIES: usize = 8;

/// The multiples 1 to 8 of eight points, in order, and in the form that an addition takes. One table serves a whole batch,
/// so that what it held last is zeroised once.
#[derive(Zeroize)]
pub(super) struct Table {
    multiples: [Extended; ENTRIES],
    cached: [Cached; ENTRIES],
}

impl Table {
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn new() -> Self {
        Self { multiples: [Extended::identity(); ENTRIES], cached: [Cached::identity(); ENTRIES] }
    }

    /// Even multiples are doubles, odd ones add the point to the one before.
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn fill(&mut self, point: &Extended) {
        self.multiples[0] = *point;
        self.cached[0] = point.cached();
        for entry in 1..ENTRIES {
            // Entry i holds i + 1 times the point.
            self.multiples[entry] = if entry % 2 == 1 {
                self.multiples[entry / 2].projective().double().extended()
            } else {
                self.multiples[entry - 1].addend().plus(&self.cached[0], 0).extended()
            };
            self.cached[entry] = self.multiples[entry].cached();
        }
    }

    /// One coordinate of the entry that the masks choose; of the neutral element when they choose none.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn choose(&self, coordinate: usize, chosen: &[__mmask8; ENTRIES], neutral: &Field) -> Field {
        let mut value = *neutral;
        // The masks are read where they are used: holding all of them takes more registers than there are.
        for (entry, lanes) in self.cached.iter().zip(black_box(chosen)) {
            value = value.select(&entry.0[coordinate], *lanes);
        }
        value
    }
}

/// The digits of the scalars of eight lanes as lane masks, lowest first.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Digits {
    /// The lanes whose digit has 1 + the index as its absolute value.
    chosen: [[u8; ENTRIES]; DIGITS],
    /// The lanes whose digit is negative.
    negative: [u8; DIGITS],
}

impl Digits {
    /// One scalar in all lanes.
    pub(super) fn shared(scalar: &Scalar) -> Self {
        let mut digits = Self { chosen: [[0; ENTRIES]; DIGITS], negative: [0; DIGITS] };
        digits.put(scalar, 0xff);
        digits
    }

    /// A scalar for each lane, zero for lanes without any.
    pub(super) fn each<'a>(scalars: impl Iterator<Item = &'a Scalar>) -> Self {
        let mut digits = Self { chosen: [[0; ENTRIES]; DIGITS], negative: [0; DIGITS] };
        scalars.enumerate().for_each(|(lane, scalar)| digits.put(scalar, 1 << lane));
        digits
    }

    fn put(&mut self, scalar: &Scalar, lanes: u8) {
        let mut carry = 0;
        for index in 0..DIGITS {
            let nibble = (scalar.as_bytes()[index / 2] >> (index % 2 * 4) & 15) + carry;
            carry = (nibble + 8) >> 4;
            let sign = 0u8.wrapping_sub(carry);
            // Two's complement of nibble − 16 where there is a carry, and its absolute value.
            let absolute = ((nibble | sign << 4) ^ sign).wrapping_sub(sign);
            self.negative[index] |= sign & lanes;
            for (entry, mask) in (1u8..).zip(&mut self.chosen[index]) {
                *mask |= (u16::from(absolute ^ entry).wrapping_sub(1) >> 8) as u8 & lanes;
            }
        }
        // Keeps the compiler from finding out what a mask can be, and from making a branch of it.
        black_box(self);
    }
}

/// Multiply eight points by scalars, given by their digits, and double the products.
///
/// A quarter of the table is read beside each doubling, which waits for the multiplier, not for memory.
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
pub(super) fn multiply_and_double(point: &Extended, digits: &Digits, table: &mut Table) -> Completed {
    table.fill(point);
    let neutral = Cached::identity();
    let mut term = neutral;
    for coordinate in 0..4 {
        term.0[coordinate] = table.choose(coordinate, &digits.chosen[DIGITS - 1], &neutral.0[coordinate]);
    }
    let mut sum = Addend::identity().plus(&term, digits.negative[DIGITS - 1]);
    for (chosen, negative) in digits.chosen.iter().zip(&digits.negative).rev().skip(1) {
        for coordinate in 0..4 {
            sum = sum.projective().double();
            term.0[coordinate] = table.choose(coordinate, chosen, &neutral.0[coordinate]);
        }
        sum = sum.addend().plus(&term, *negative);
    }
    term.zeroize();
    sum.projective().double()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digits add up to the scalar, also at both ends of what a digit can be.
    #[test]
    fn digits_add_up() {
        let mut scalars: Vec<Scalar> = (0..300u64).map(Scalar::from).collect();
        scalars.extend((0..20u64).map(|small| -Scalar::from(small)));
        scalars.extend([0x77u8, 0x78, 0x87, 0x88, 0x7f, 0x80, 0x08].map(|byte| {
            let mut bytes = [byte; 32];
            bytes[31] = 0;
            Scalar::from_canonical_bytes(bytes).unwrap()
        }));
        for scalar in scalars {
            let digits = Digits::shared(&scalar);
            let mut sum = Scalar::ZERO;
            for (chosen, negative) in digits.chosen.iter().zip(&digits.negative).rev() {
                assert!(chosen.iter().all(|mask| [0, 0xff].contains(mask)));
                assert!(chosen.iter().filter(|mask| **mask != 0).count() <= 1);
                let absolute = chosen.iter().position(|mask| *mask != 0).map_or(0, |at| at as u64 + 1);
                sum *= Scalar::from(16u8);
                match negative {
                    0 => sum += Scalar::from(absolute),
                    255 => sum -= Scalar::from(absolute),
                    _ => panic!("a mask that is neither all nor nothing"),
                }
            }
            assert_eq!(sum, scalar);
        }
    }
}
