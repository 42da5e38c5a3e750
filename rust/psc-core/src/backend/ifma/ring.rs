//! Eight residues a register. Nothing is reduced between the stages of a transform: a prime has 42 bits, the multiplier takes
//! 52. `docs/protocols/packed-encryption.md` gives the bounds of every stage.
//!
//! Within a transform only the low 52 bits of a lane count, since the multiplier reads no others: a product modulo 2^52 that
//! carries into the bits above is not masked there, but once at the end.

use core::arch::x86_64::*;

use super::super::ring::{self, Cells, GROUP_BYTES, Plane, Ring};
use super::{Ifma, LANES, to_lanes, to_vector};
use crate::rlwe::DEGREE;
use crate::rlwe::prime::{Factor, Integers, LOW, Prime, RESIDUE_BITS, Residues, Twiddles, WORD, WORD_BITS};

const VECTORS: usize = DEGREE / LANES;
/// Registers of a block of 512 residues, which stays in the first-level cache from its first stage to its last.
const BLOCK: usize = 64;
/// Registers that share a register of factors in the stage of groups of eight.
const TAIL: usize = 8;
type Vectors = [__m512i; VECTORS];

fn vectors(residues: &Residues) -> &Vectors {
    // SAFETY: `Residues` is 64 KiB of plain words, aligned to 64 bytes; every bit pattern is a value of either type.
    unsafe { &*(&raw const residues.0).cast() }
}

fn vectors_mut(residues: &mut Residues) -> &mut Vectors {
    // SAFETY: as above, and the exclusive borrow goes on in the result.
    unsafe { &mut *(&raw mut residues.0).cast() }
}

fn signed(integers: &Integers) -> &Vectors {
    // SAFETY: `Integers` is 64 KiB of plain words, aligned to 64 bytes; every bit pattern is a value of either type.
    unsafe { &*(&raw const integers.0).cast() }
}

fn eights(cells: &Cells) -> &[__m256i; VECTORS] {
    // SAFETY: `Cells` is 32 KiB of plain words, aligned to 64 bytes; every bit pattern is a value of either type.
    unsafe { &*(&raw const cells.0).cast() }
}

impl Ring for Ifma {
    fn forward(&self, prime: &Prime, values: &mut Residues) {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        unsafe { forward(prime, vectors_mut(values)) }
    }

    fn inverse(&self, prime: &Prime, values: &mut Residues) {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        unsafe { inverse(prime, vectors_mut(values)) }
    }

    fn multiply_add(&self, prime: &Prime, sum: &mut Residues, a: &Residues, b: &Residues) {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        unsafe { multiply_add(prime, vectors_mut(sum), vectors(a), vectors(b)) }
    }

    fn inner(&self, prime: &Prime, a: &Residues, b: &Residues) -> u64 {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        prime.reduce(unsafe { inner(vectors(a), vectors(b)) })
    }

    fn sum(&self, prime: &Prime, values: &Residues, cells: &Cells, weights: Option<&Integers>, cell: i32) -> u64 {
        // SAFETY: `self` exists only where `detect` found every instruction set that the functions enable.
        prime.reduce(unsafe {
            match weights {
                None => sum_plain(values, cells, cell).into(),
                Some(weights) => sum_weighted(prime, values, cells, weights, cell),
            }
        })
    }

    fn add(&self, prime: &Prime, sum: &mut Residues, a: &Residues) {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        unsafe { add(prime, sum, a) }
    }

    fn select(&self, prime: &Prime, cells: &Cells, weights: Option<&Integers>, cell: i32, out: &mut Residues) {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        unsafe { select(prime, cells, weights, cell, out) }
    }

    fn add_message(&self, prime: &Prime, values: &mut Residues, errors: &Integers, messages: &Integers) {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        unsafe { add_message(prime, values, errors, messages) }
    }

    fn unpack(&self, plane: &Plane, out: &mut Residues) -> u64 {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        unsafe { unpack(plane, vectors_mut(out)) }
    }

    fn pack(&self, values: &Residues, plane: &mut Plane) {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        unsafe { pack(values, plane) }
    }

    fn binomial(&self, bits: &Residues, out: &mut Integers) {
        // SAFETY: `self` exists only where `detect` found every instruction set that the function enables.
        unsafe { binomial(bits, out) }
    }
}

// The shared loops, compiled with this backend's instructions.

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn add(prime: &Prime, sum: &mut Residues, a: &Residues) {
    ring::add(prime, sum, a);
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn select(prime: &Prime, cells: &Cells, weights: Option<&Integers>, cell: i32, out: &mut Residues) {
    ring::select(prime, cells, weights, cell, out);
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn add_message(prime: &Prime, values: &mut Residues, errors: &Integers, messages: &Integers) {
    ring::add_message(prime, values, errors, messages);
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn sum_plain(values: &Residues, cells: &Cells, cell: i32) -> u64 {
    ring::sum_plain(values, cells, cell)
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn pack(values: &Residues, plane: &mut Plane) {
    ring::pack(values, plane);
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn binomial(bits: &Residues, out: &mut Integers) {
    ring::binomial(bits, out);
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn splat(value: u64) -> __m512i {
    _mm512_set1_epi64(value as i64)
}

/// A factor of each lane.
#[derive(Clone, Copy)]
struct Wide {
    value: __m512i,
    quotient: __m512i,
}

impl Wide {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn splat(factor: Factor) -> Self {
        Self { value: splat(factor.value), quotient: splat(factor.quotient) }
    }

    /// The register of a table at an index.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn load(twiddles: &Twiddles, register: usize) -> Self {
        Self { value: vectors(&twiddles.values)[register], quotient: vectors(&twiddles.quotients)[register] }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn permute(self, order: __m512i) -> Self {
        Self {
            value: _mm512_permutexvar_epi64(order, self.value),
            quotient: _mm512_permutexvar_epi64(order, self.quotient),
        }
    }
}

/// A prime in every lane.
struct Field {
    modulus: __m512i,
    twice: __m512i,
    /// 2^52 − p.
    negative: __m512i,
    delta: __m512i,
    word: __m512i,
    low: __m512i,
}

impl Field {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn new(prime: &Prime) -> Self {
        Self {
            modulus: splat(prime.modulus),
            twice: splat(2 * prime.modulus),
            negative: splat((1 << WORD_BITS) - prime.modulus),
            delta: splat(prime.delta),
            word: splat(WORD),
            low: splat(LOW),
        }
    }

    /// x·w, below 2p, for x below 2^52, with something above the low 52 bits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn times(&self, x: __m512i, w: Wide) -> __m512i {
        self.times_and_add(_mm512_setzero_si512(), x, w)
    }

    /// sum + x·w.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn times_and_add(&self, sum: __m512i, x: __m512i, w: Wide) -> __m512i {
        #[cfg(test)]
        tally::count(3);
        let quotient = _mm512_madd52hi_epu64(_mm512_setzero_si512(), x, w.quotient);
        _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(sum, x, w.value), quotient, self.negative)
    }

    /// The low 52 bits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn masked(&self, x: __m512i) -> __m512i {
        _mm512_and_si512(x, self.word)
    }

    /// From below 2p to below p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn once(&self, x: __m512i) -> __m512i {
        _mm512_min_epu64(x, _mm512_sub_epi64(x, self.modulus))
    }

    /// From the low 52 bits to a number below 2p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn fold(&self, x: __m512i) -> __m512i {
        #[cfg(test)]
        tally::count(1);
        let high = _mm512_srli_epi64::<{ RESIDUE_BITS as u32 }>(self.masked(x));
        _mm512_madd52lo_epu64(_mm512_and_si512(x, self.low), high, self.delta)
    }

    /// (x + w·y, x − w·y): adds at most 2p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn apart(&self, x: __m512i, y: __m512i, w: Wide) -> (__m512i, __m512i) {
        let sum = self.times_and_add(x, y, w);
        let double = _mm512_add_epi64(_mm512_add_epi64(x, x), self.twice);
        (sum, _mm512_sub_epi64(double, sum))
    }

    /// (x + y, (x − y)·w) for y below `bound`, a multiple of p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn together(&self, x: __m512i, y: __m512i, w: Wide, bound: __m512i) -> (__m512i, __m512i) {
        let difference = _mm512_sub_epi64(_mm512_add_epi64(x, bound), y);
        (_mm512_add_epi64(x, y), self.times(difference, w))
    }
}

/// The four quarters of a slice.
fn quarters(slice: &mut [__m512i]) -> [&mut [__m512i]; 4] {
    let (low, high) = slice.split_at_mut(slice.len() / 2);
    let half = low.len() / 2;
    let ((a, b), (c, d)) = (low.split_at_mut(half), high.split_at_mut(half));
    [a, b, c, d]
}

/// Two stages of the transform on the group `group` of `groups`.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn forward_two(field: &Field, twiddles: &Twiddles, groups: usize, group: usize, values: &mut [__m512i]) {
    let at = groups + group;
    let first = Wide::splat(twiddles.get(at));
    let (second, third) = (Wide::splat(twiddles.get(2 * at)), Wide::splat(twiddles.get(2 * at + 1)));
    let [a, b, c, d] = quarters(values);
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        let (low, high) = field.apart(*a, *c, first);
        let (low_other, high_other) = field.apart(*b, *d, first);
        (*a, *b) = field.apart(low, low_other, second);
        (*c, *d) = field.apart(high, high_other, third);
    }
}

/// Two stages back; `bound` is above what comes in.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn inverse_two(
    field: &Field,
    twiddles: &Twiddles,
    groups: usize,
    group: usize,
    bound: __m512i,
    fold: bool,
    values: &mut [__m512i],
) {
    let at = groups + group;
    let first = Wide::splat(twiddles.get(at));
    let (second, third) = (Wide::splat(twiddles.get(2 * at)), Wide::splat(twiddles.get(2 * at + 1)));
    let twice = _mm512_add_epi64(bound, bound);
    let [a, b, c, d] = quarters(values);
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        let (low, low_other) = field.together(*a, *b, second, bound);
        let (high, high_other) = field.together(*c, *d, third, bound);
        (*a, *c) = field.together(low, high, first, twice);
        (*b, *d) = field.together(low_other, high_other, first, field.twice);
        if fold {
            *a = field.fold(*a);
        }
    }
}

/// The orders in which the last stages take the lanes of two registers a and b, and their factors.
struct Orders {
    /// a0 a1 b0 b1 a4 a5 b4 b5, and the rest.
    crosswise: [__m512i; 2],
    /// a0 a1 b0 b1 a2 a3 b2 b3, and the rest.
    back: [__m512i; 2],
    /// a0 a1 a4 a5 b0 b1 b4 b5, and the rest.
    forth: [__m512i; 2],
}

impl Orders {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn new() -> Self {
        Self {
            crosswise: [_mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15)],
            back: [_mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15)],
            forth: [_mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13), _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15)],
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn both(orders: &[__m512i; 2], a: __m512i, b: __m512i) -> (__m512i, __m512i) {
        (_mm512_permutex2var_epi64(a, orders[0], b), _mm512_permutex2var_epi64(a, orders[1], b))
    }
}

/// The factors of the last three stages for the pair of registers at an index of four in a tail.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn tail_factors(twiddles: &Twiddles, tail: usize, pair: usize) -> [Wide; 3] {
    let two = 2 * pair as i64;
    let four = 4 * (pair as i64 % 2);
    let halves = _mm512_setr_epi64(two, two, two, two, two + 1, two + 1, two + 1, two + 1);
    let twos = _mm512_setr_epi64(four, four, four + 1, four + 1, four + 2, four + 2, four + 3, four + 3);
    [
        Wide::load(twiddles, VECTORS / 8 + tail).permute(halves),
        Wide::load(twiddles, VECTORS / 4 + 2 * tail + pair / 2).permute(twos),
        Wide::load(twiddles, VECTORS / 2 + 4 * tail + pair),
    ]
}

/// The last three stages, within pairs of registers, and the reduction.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn forward_tail(field: &Field, orders: &Orders, twiddles: &Twiddles, tail: usize, values: &mut [__m512i; TAIL]) {
    for (pair, [a, b]) in values.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let [fours, twos, ones] = tail_factors(twiddles, tail, pair);
        let (x, y) = (_mm512_shuffle_i64x2::<0x44>(*a, *b), _mm512_shuffle_i64x2::<0xee>(*a, *b));
        let (x, y) = field.apart(x, y, fours);
        let (x, y) = Orders::both(&orders.crosswise, x, y);
        let (x, y) = field.apart(x, y, twos);
        let (x, y) = (_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
        let (x, y) = field.apart(x, y, ones);
        let (x, y) = (field.once(field.fold(x)), field.once(field.fold(y)));
        let (x, y) = (_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
        (*a, *b) = Orders::both(&orders.back, x, y);
    }
}

/// The first three stages back: from below p to below 8p.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn inverse_tail(field: &Field, orders: &Orders, twiddles: &Twiddles, tail: usize, values: &mut [__m512i; TAIL]) {
    let four = _mm512_add_epi64(field.twice, field.twice);
    for (pair, [a, b]) in values.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let [fours, twos, ones] = tail_factors(twiddles, tail, pair);
        let (x, y) = Orders::both(&orders.forth, *a, *b);
        let (x, y) = (_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
        let (x, y) = field.together(x, y, ones, field.modulus);
        let (x, y) = (_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
        let (x, y) = field.together(x, y, twos, field.twice);
        let (x, y) = Orders::both(&orders.crosswise, x, y);
        let (x, y) = field.together(x, y, fours, four);
        (*a, *b) = (_mm512_shuffle_i64x2::<0x44>(x, y), _mm512_shuffle_i64x2::<0xee>(x, y));
    }
}

/// From below 4p: 13 stages add 26p at most, and 30p is below 2^47.
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn forward(prime: &Prime, values: &mut Vectors) {
    let (field, orders, twiddles) = (Field::new(prime), Orders::new(), &prime.forward);
    forward_two(&field, twiddles, 1, 0, values);
    for (group, values) in values.chunks_exact_mut(VECTORS / 4).enumerate() {
        forward_two(&field, twiddles, 4, group, values);
    }
    for (block, values) in values.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        forward_two(&field, twiddles, 16, block, values);
        for (group, values) in values.as_chunks_mut::<{ BLOCK / 4 }>().0.iter_mut().enumerate() {
            forward_two(&field, twiddles, 64, 4 * block + group, values);
        }
        for (tail, values) in values.as_chunks_mut::<TAIL>().0.iter_mut().enumerate() {
            let tail = TAIL * block + tail;
            let [first, second] = values.as_chunks_mut::<4>().0 else { unreachable!("two fours are eight") };
            forward_two(&field, twiddles, 256, 2 * tail, first);
            forward_two(&field, twiddles, 256, 2 * tail + 1, second);
            forward_tail(&field, &orders, twiddles, tail, values);
        }
    }
}

/// From below p. Sums double with every stage, products are below 2p: 8p after three stages, 32p, 128p and 512p after two
/// more each. There the sums of sums are folded below 2p, and the rest is below 4p; two more stages make 16p of it, and the
/// last two multiply everything. The largest factor of a product is 512p, below 2^51.
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn inverse(prime: &Prime, values: &mut Vectors) {
    let (field, orders, twiddles) = (Field::new(prime), Orders::new(), &prime.inverse);
    let bound = |times: u64| times * prime.modulus;
    for (block, values) in values.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        for (tail, values) in values.as_chunks_mut::<TAIL>().0.iter_mut().enumerate() {
            let tail = TAIL * block + tail;
            inverse_tail(&field, &orders, twiddles, tail, values);
            let [first, second] = values.as_chunks_mut::<4>().0 else { unreachable!("two fours are eight") };
            inverse_two(&field, twiddles, 256, 2 * tail, splat(bound(8)), false, first);
            inverse_two(&field, twiddles, 256, 2 * tail + 1, splat(bound(8)), false, second);
        }
        for (group, values) in values.as_chunks_mut::<{ BLOCK / 4 }>().0.iter_mut().enumerate() {
            inverse_two(&field, twiddles, 64, 4 * block + group, splat(bound(32)), false, values);
        }
        inverse_two(&field, twiddles, 16, block, splat(bound(128)), true, values);
    }
    for (group, values) in values.chunks_exact_mut(VECTORS / 4).enumerate() {
        inverse_two(&field, twiddles, 4, group, splat(bound(4)), false, values);
    }
    inverse_last(&field, prime, [splat(bound(16)), splat(bound(32))], values);
}

/// The last two stages back, with the division by 8192, and the reduction.
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn inverse_last(field: &Field, prime: &Prime, bounds: [__m512i; 2], values: &mut Vectors) {
    let [second, third] = [Wide::splat(prime.inverse.get(2)), Wide::splat(prime.inverse.get(3))];
    let [shrink, last] = [Wide::splat(prime.shrink), Wide::splat(prime.shrink_last)];
    let [a, b, c, d] = quarters(values);
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        let (low, low_other) = field.together(*a, *b, second, bounds[0]);
        let (high, high_other) = field.together(*c, *d, third, bounds[0]);
        let (sum, difference) = field.together(low, high, last, bounds[1]);
        (*a, *c) = (field.once(field.masked(field.times(sum, shrink))), field.once(field.masked(difference)));
        let (sum, difference) = field.together(low_other, high_other, last, field.twice);
        (*b, *d) = (field.once(field.masked(field.times(sum, shrink))), field.once(field.masked(difference)));
    }
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn multiply_add(prime: &Prime, sum: &mut Vectors, a: &Vectors, b: &Vectors) {
    let (field, zero) = (Field::new(prime), _mm512_setzero_si512());
    let inverse = splat(prime.negative_inverse);
    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
        #[cfg(test)]
        tally::count(4);
        let low = _mm512_madd52lo_epu64(zero, *a, *b);
        let times = _mm512_madd52lo_epu64(zero, low, inverse);
        let high = _mm512_madd52hi_epu64(_mm512_madd52hi_epu64(zero, *a, *b), times, field.modulus);
        // The low words cancel: together they are 2^52, or both are 0.
        let carry = _mm512_srli_epi64::<{ WORD_BITS as u32 }>(_mm512_add_epi64(low, field.word));
        *sum = field.once(_mm512_add_epi64(*sum, field.once(_mm512_add_epi64(high, carry))));
    }
}

/// Sums of products that are not yet reduced. A lane of one takes up to 1024 low halves below 2^52, and as many high ones
/// below 2^32.
struct Products([[__m512i; 2]; 4]);

impl Products {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn zero() -> Self {
        Self([[_mm512_setzero_si512(); 2]; 4])
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn add(&mut self, index: usize, a: __m512i, b: __m512i) {
        #[cfg(test)]
        tally::count(2);
        let [low, high] = &mut self.0[index];
        *low = _mm512_madd52lo_epu64(*low, a, b);
        *high = _mm512_madd52hi_epu64(*high, a, b);
    }

    fn total(&self) -> u128 {
        let half = |half: usize| self.0.iter().flat_map(move |sum| to_lanes(sum[half])).map(u128::from);
        let [low, high] = [0, 1].map(|index| half(index).fold(0, u128::wrapping_add));
        low.wrapping_add(high << WORD_BITS)
    }
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn inner(a: &Vectors, b: &Vectors) -> u128 {
    let mut products = Products::zero();
    for (a, b) in a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0) {
        for index in 0..4 {
            products.add(index, a[index], b[index]);
        }
    }
    products.total()
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn sum_weighted(prime: &Prime, values: &Residues, cells: &Cells, weights: &Integers, cell: i32) -> u128 {
    let (modulus, cell) = (splat(prime.modulus), _mm256_set1_epi32(cell));
    let mut products = Products::zero();
    for (index, (values, (cells, weights))) in
        vectors(values).iter().zip(eights(cells).iter().zip(signed(weights))).enumerate()
    {
        let hit = _mm256_cmpeq_epi32_mask(*cells, cell);
        let residue = _mm512_mask_add_epi64(*weights, _mm512_movepi64_mask(*weights), *weights, modulus);
        products.add(index % 4, *values, _mm512_maskz_mov_epi64(hit, residue));
    }
    products.total()
}

/// Number i of eight begins at bit 42·i: the four words of 16 bits from there hold it, shifted.
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn unpack(plane: &Plane, out: &mut Vectors) -> u64 {
    let mut order = [0u16; 32];
    let mut shifts = [0; LANES];
    for lane in 0..LANES {
        let first = RESIDUE_BITS * lane;
        shifts[lane] = (first % 16) as u64;
        (0..4).for_each(|word| order[4 * lane + word] = (first / 16 + word) as u16);
    }
    // SAFETY: both types are 64 plain bytes, and every bit pattern is a value of either.
    let order: __m512i = unsafe { core::mem::transmute(order) };
    let (shifts, low) = (to_vector(shifts), splat(LOW));
    let mut largest = _mm512_setzero_si512();
    for (bytes, out) in plane.as_chunks::<GROUP_BYTES>().0.iter().zip(out) {
        // SAFETY: the mask lets exactly the bytes of the group be read.
        let words = unsafe { _mm512_maskz_loadu_epi8((1 << GROUP_BYTES) - 1, bytes.as_ptr().cast()) };
        let shifted = _mm512_srlv_epi64(_mm512_permutexvar_epi16(order, words), shifts);
        *out = _mm512_and_si512(shifted, low);
        largest = _mm512_max_epu64(largest, *out);
    }
    _mm512_reduce_max_epu64(largest)
}

/// How many multiplications of eight lanes a thread started.
#[cfg(test)]
mod tally {
    use std::cell::Cell;

    thread_local! {
        static MULTIPLICATIONS: Cell<u64> = const { Cell::new(0) };
    }

    pub fn count(more: u64) {
        MULTIPLICATIONS.set(MULTIPLICATIONS.get() + more);
    }

    pub fn of(work: impl FnOnce()) -> u64 {
        MULTIPLICATIONS.set(0);
        work();
        MULTIPLICATIONS.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rlwe::prime::primes;

    /// The counts that `benchmarks/micro/rlwe.py` derives the bound from.
    #[test]
    fn kernels_take_the_stated_multiplications() {
        let Some(ring) = Ifma::detect() else { return };
        let (prime, a) = (&primes()[0], Residues::zero());
        let (mut values, cells, weights) = (Residues::zero(), Cells([0; DEGREE]), Integers::zero());
        assert_eq!(tally::of(|| ring.forward(prime, &mut values)), 20_992);
        assert_eq!(tally::of(|| ring.inverse(prime, &mut values)), 21_760);
        assert_eq!(tally::of(|| ring.multiply_add(prime, &mut values, &a, &a)), 4_096);
        assert_eq!(tally::of(|| assert_eq!(ring.inner(prime, &a, &a), 0)), 2_048);
        assert_eq!(tally::of(|| assert_eq!(ring.sum(prime, &a, &cells, Some(&weights), 0), 0)), 2_048);
        assert_eq!(tally::of(|| assert_eq!(ring.sum(prime, &a, &cells, None, 0), 0)), 0);
    }
}
