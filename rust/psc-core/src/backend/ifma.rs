//! Eight points at a time in the lanes of AVX-512 registers, with the 52-bit multiplier of AVX-512 IFMA.
//!
//! `docs/protocols/curve.md` says what bounds it and how far it is from there. The modules below compute on vectors only;
//! bytes go in and out here. Intrinsics that touch no memory are safe inside functions that enable their instructions, so
//! the unsafe blocks are the entries from code that does not, and the casts between vectors and words.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use zeroize::Zeroizing;

mod field;
mod point;
mod ring;
mod scalar;
mod sha512;

use self::field::Field;
use self::point::{Completed, Extended};
use self::scalar::{Digits, Table, multiply_and_double};
use super::{Backend, BadPoint, Scalars};
use crate::error::Reason;
use crate::group::{Encoding, Secret};
use crate::hash::{Digest, Uniform};

/// Points in a register.
const LANES: usize = 8;
/// Registers of points whose square roots are taken together: a root is one long chain, so several fill its waits.
const ROOTS: usize = 4;
const BLOCK: usize = LANES * ROOTS;

/// The backend. Only [`Ifma::detect`] hands it out.
pub(super) struct Ifma(());

impl Ifma {
    /// The backend where the processor has the instructions.
    pub(super) fn detect() -> Option<&'static Self> {
        let detected = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512ifma")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        detected.then_some(&Self(()))
    }
}

impl Backend for Ifma {
    fn name(&self) -> &'static str {
        "ifma"
    }

    fn derive(&self, uniform: &[Uniform], scalars: Option<Scalars<'_>>, out: &mut [Encoding]) {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        unsafe {
            match scalars {
                None => derive(uniform, out),
                Some(scalars) => derive_and_multiply(uniform, &Factors::new(scalars), out),
            }
        }
    }

    fn multiply(
        &self,
        points: &[Encoding],
        scalars: Scalars<'_>,
        out: &mut [Encoding],
    ) -> core::result::Result<(), BadPoint> {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        unsafe { multiply(points, &Factors::new(scalars), out) }
    }

    fn combine(
        &self,
        left: &[Encoding],
        right: &[Encoding],
        subtract: bool,
        out: &mut [Encoding],
    ) -> core::result::Result<(), BadPoint> {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        unsafe { combine(left, right, subtract, out) }
    }

    fn check(&self, points: &[Encoding]) -> core::result::Result<(), BadPoint> {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        unsafe { check(points) }
    }

    fn sha512(&self, prefix: &[u8], message: &dyn Fn(usize, &mut Vec<u8>), out: &mut [Digest]) {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        unsafe { sha512::digests(prefix, message, out) }
    }

    fn ring(&self) -> &'static dyn super::ring::Ring {
        // Who has `self` has proof of the instructions.
        &Self(())
    }
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn derive(uniform: &[Uniform], out: &mut [Encoding]) {
    for (uniform, out) in uniform.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
        let encoded = Extended::encode(&derive_block(uniform));
        write(&encoded, out);
    }
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn derive_and_multiply(uniform: &[Uniform], factors: &Factors<'_>, out: &mut [Encoding]) {
    let mut batch = Batch::new(uniform.len());
    for uniform in uniform.chunks(BLOCK) {
        batch.push(&Zeroizing::new(derive_block(uniform)), uniform.len(), factors);
    }
    batch.encode(out);
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn multiply(points: &[Encoding], factors: &Factors<'_>, out: &mut [Encoding]) -> core::result::Result<(), BadPoint> {
    let mut batch = Batch::new(points.len());
    for (index, points) in points.chunks(BLOCK).enumerate() {
        batch.push(&decode_block(points, index * BLOCK)?, points.len(), factors);
    }
    batch.encode(out);
    Ok(())
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn combine(
    left: &[Encoding],
    right: &[Encoding],
    subtract: bool,
    out: &mut [Encoding],
) -> core::result::Result<(), BadPoint> {
    let negative = if subtract { !0 } else { 0 };
    let pairs = left.chunks(BLOCK).zip(right.chunks(BLOCK)).zip(out.chunks_mut(BLOCK));
    for (index, ((left, right), out)) in pairs.enumerate() {
        // The first bad pair is wanted, whichever of its points is bad.
        let (left, right) = match (decode_block(left, index * BLOCK), decode_block(right, index * BLOCK)) {
            (Ok(left), Ok(right)) => (left, right),
            (Err(bad), Ok(_)) | (Ok(_), Err(bad)) => return Err(bad),
            (Err(left), Err(right)) => return Err(if right.0 < left.0 { right } else { left }),
        };
        let mut sums = left;
        for (sum, right) in sums.iter_mut().zip(&right) {
            *sum = sum.addend().plus(&right.cached(), negative).extended();
        }
        write(&Extended::encode(&sums), out);
    }
    Ok(())
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn check(points: &[Encoding]) -> core::result::Result<(), BadPoint> {
    for (index, points) in points.chunks(BLOCK).enumerate() {
        decode_block(points, index * BLOCK)?;
    }
    Ok(())
}

/// Map up to [`BLOCK`] times 64 uniform bytes to points; lanes without any get some point.
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn derive_block(uniform: &[Uniform]) -> [Extended; ROOTS] {
    let zero = Field::constant(&field::ZERO);
    let mut halves = [[zero; ROOTS]; 2];
    for (register, uniform) in uniform.chunks(LANES).enumerate() {
        for (half, elements) in halves.iter_mut().enumerate() {
            elements[register] = Field::from_words(words(uniform, half * 4));
        }
    }
    let [first, second] = halves.map(|elements| Extended::map(&elements));
    let mut points = [first[0].extended(); ROOTS];
    for register in 0..ROOTS {
        points[register] = first[register].addend().plus(&second[register].extended().cached(), 0).extended();
    }
    points
}

/// Decode up to [`BLOCK`] points, of which the first has the given index; lanes without any get the identity.
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn decode_block(points: &[Encoding], start: usize) -> core::result::Result<[Extended; ROOTS], BadPoint> {
    let mut elements = [Field::constant(&field::ZERO); ROOTS];
    let mut high = [0; ROOTS];
    for (register, points) in points.chunks(LANES).enumerate() {
        let words = words(points, 0);
        high[register] = _mm512_movepi64_mask(words[3]);
        elements[register] = Field::from_words(words);
    }
    let (good, decoded) = Extended::decode(&elements);
    for (index, point) in points.iter().enumerate() {
        if *point == [0; 32] {
            return Err((start + index, Reason::Identity));
        }
        if (good[index / LANES] & !high[index / LANES]) >> (index % LANES) & 1 == 0 {
            return Err((start + index, Reason::NotCanonical));
        }
    }
    Ok(decoded)
}

/// The halves of what a batch is multiplied by: the digits of one scalar, or scalars whose digits are yet to be found.
enum Factors<'a> {
    One(Box<Digits>),
    Each(&'a [Secret]),
}

impl<'a> Factors<'a> {
    fn new(scalars: Scalars<'a>) -> Self {
        match scalars {
            Scalars::One(scalar) => Self::One(Box::new(Digits::shared(scalar.half()))),
            Scalars::Each(scalars) => Self::Each(scalars),
        }
    }
}

/// Products that wait for their encoding, which needs one inversion for all.
struct Batch {
    doubles: Zeroizing<Vec<Completed>>,
    table: Zeroizing<Table>,
}

impl Batch {
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn new(points: usize) -> Self {
        let doubles = Vec::with_capacity(points.div_ceil(LANES).next_multiple_of(ROOTS));
        Self { doubles: Zeroizing::new(doubles), table: Zeroizing::new(Table::new()) }
    }

    /// Multiply the first `count` of a block of points.
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn push(&mut self, points: &[Extended; ROOTS], count: usize, factors: &Factors<'_>) {
        for point in &points[..count.div_ceil(LANES)] {
            let double = match factors {
                Factors::One(digits) => multiply_and_double(point, digits, &mut self.table),
                Factors::Each(scalars) => {
                    let first = self.doubles.len() * LANES;
                    let halves = scalars[first..].iter().take(LANES).map(Secret::half);
                    multiply_and_double(point, &Digits::each(halves), &mut self.table)
                }
            };
            self.doubles.push(double);
        }
    }

    /// Encode every product, with Montgomery's trick: products of all up to each, the inverse of the last, and back.
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn encode(&self, out: &mut [Encoding]) {
        let one = Field::constant(&field::ONE);
        let zero = Field::constant(&field::ZERO);
        let mut running = one;
        let mut before = Zeroizing::new(Vec::with_capacity(self.doubles.len()));
        for double in self.doubles.iter() {
            before.push(running);
            let product = double.product();
            running = running.times(&product.select(&one, product.is_zero()));
        }
        let [mut inverse] = Field::inverse(&[running]);
        for ((double, before), out) in self.doubles.iter().zip(before.iter()).zip(out.chunks_mut(LANES)).rev() {
            let product = double.product();
            let zeros = product.is_zero();
            let own = inverse.times(before).select(&zero, zeros);
            inverse = inverse.times(&product.select(&one, zeros));
            write(&[double.encode(&own)], out);
        }
    }
}

/// Four words of each of up to eight byte strings, from word `first`: word i of string j in lane j of register i.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn words<const BYTES: usize>(strings: &[[u8; BYTES]], first: usize) -> [__m512i; 4] {
    let mut lanes = [[0u64; LANES]; 4];
    for (lane, string) in strings.iter().enumerate() {
        for (word, bytes) in string.as_chunks::<8>().0[first..first + 4].iter().enumerate() {
            lanes[word][lane] = u64::from_le_bytes(*bytes);
        }
    }
    lanes.map(to_vector)
}

/// Write the canonical bytes of elements, as many as there is room for.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn write(elements: &[Field], out: &mut [Encoding]) {
    for (element, out) in elements.iter().zip(out.chunks_mut(LANES)) {
        let words = element.to_words().map(to_lanes);
        for (lane, out) in out.iter_mut().enumerate() {
            for (word, bytes) in words.iter().zip(out.as_chunks_mut::<8>().0) {
                *bytes = word[lane].to_le_bytes();
            }
        }
    }
}

fn to_vector(lanes: [u64; LANES]) -> __m512i {
    // SAFETY: both types are 64 plain bytes, and every bit pattern is a value of either.
    unsafe { core::mem::transmute(lanes) }
}

fn to_lanes(vector: __m512i) -> [u64; LANES] {
    // SAFETY: both types are 64 plain bytes, and every bit pattern is a value of either.
    unsafe { core::mem::transmute(vector) }
}

#[cfg(test)]
mod tests {
    use super::field::tally;
    use super::*;
    use crate::parallel::CHUNK_ITEMS;
    use crate::rng::Rng;

    /// The counts that `benchmarks/micro/crypto.py` derives the bound from: what a chunk of 256 takes, in registers.
    #[test]
    fn kernels_take_the_stated_operations() {
        let Some(backend) = Ifma::detect() else { return };
        let mut rng = Rng::insecure_from_seed(b"tally");
        let scalar = rng.scalar();
        let mut uniform = vec![[0; 64]; CHUNK_ITEMS];
        uniform.iter_mut().for_each(|bytes| rng.fill(bytes));
        let mut points = vec![[0; 32]; CHUNK_ITEMS];
        let mut out = points.clone();
        assert_eq!(tally::of(|| backend.derive(&uniform, None, &mut points)), [3296, 24544, 29072]);
        assert_eq!(
            tally::of(|| backend.derive(&uniform, Some(Scalars::One(&scalar)), &mut out)),
            [45035, 49534, 104825]
        );
        assert_eq!(
            tally::of(|| backend.multiply(&points, Scalars::One(&scalar), &mut out).unwrap()),
            [43563, 41374, 94545]
        );
        assert_eq!(tally::of(|| backend.check(&points).unwrap()), [832, 8224, 9352]);
    }
}
