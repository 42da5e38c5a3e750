//! The code on any machine.

use super::{ConvolutionBits, MIXER, Pair, REGULAR, WEIGHT, WIDTH};
use crate::prg::Cipher;

/// What the code computes on: a field element, or several that move together.
pub trait Element: Copy + Default + Send + Sync {
    /// The sum.
    fn plus(self, other: Self) -> Self;
    /// The element where the bit is one, zero where it is zero.
    fn times_bit(self, bit: u32) -> Self;
    /// The product with [`MIXER`].
    fn mixed(self) -> Self;
}

impl Element for u128 {
    fn plus(self, other: Self) -> Self {
        self ^ other
    }

    fn times_bit(self, bit: u32) -> Self {
        self & Self::from(bit).wrapping_neg()
    }

    fn mixed(self) -> Self {
        let (mut low, mut high) = (0, 0);
        for shift in (0..u32::BITS).filter(|shift| MIXER >> shift & 1 == 1) {
            low ^= self << shift;
            high ^= (self >> 1) >> (127 - shift);
        }
        low ^ high ^ (high << 1) ^ (high << 2) ^ (high << 7)
    }
}

impl Element for Pair {
    fn plus(self, other: Self) -> Self {
        [self[0] ^ other[0], self[1] ^ other[1]]
    }

    fn times_bit(self, bit: u32) -> Self {
        self.map(|component| component.times_bit(bit))
    }

    fn mixed(self) -> Self {
        self.map(Element::mixed)
    }
}

/// Convolve in place. A position is final when all before it have been added to it; the first of these additions is that
/// from 25 positions before, so the multiplication can be done when the position is reached.
pub(super) fn convolve<T: Element>(bits: &ConvolutionBits, noise: &mut [T]) {
    convolve_some(bits, noise, 0..noise.len());
    wrap(bits, noise);
}

/// Convolve some positions, of which those before are done, without wrapping.
pub(super) fn convolve_some<T: Element>(bits: &ConvolutionBits, noise: &mut [T], positions: core::ops::Range<usize>) {
    for position in positions {
        if position > WIDTH {
            noise[position] = noise[position].plus(noise[position - WIDTH - 1]).mixed();
        }
        noise[position] = noise[position].plus(near(bits, noise, position, 1..=WIDTH.min(position)));
    }
}

/// Add the last 25 positions to the first 25, as if these followed.
pub(super) fn wrap<T: Element>(bits: &ConvolutionBits, noise: &mut [T]) {
    let end = noise.len();
    for position in 0..=WIDTH {
        noise[position] = noise[position].plus(noise[end + position - WIDTH - 1]).mixed();
        let near = near(bits, noise, end + position, position + 1..=WIDTH);
        noise[position] = noise[position].plus(near);
    }
}

/// The sum of what the positions at some distances before a position add to it by their bits.
pub(super) fn near<T: Element>(
    bits: &ConvolutionBits,
    noise: &[T],
    position: usize,
    distances: core::ops::RangeInclusive<usize>,
) -> T {
    distances.fold(T::default(), |sum, distance| {
        let from = position - distance;
        sum.plus(noise[from].times_bit(bits.at(from) >> (distance - 1) & 1))
    })
}

/// Give the outputs `first..first + count`, numbered from 0, to `add`.
pub(super) fn expand<T: Element>(
    cipher: &Cipher,
    noise: &[T],
    first: usize,
    count: usize,
    mut add: impl FnMut(usize, T),
) {
    let mut row = [0; 4];
    for index in 0..count {
        cipher.stream(4 * (first + index) as u64, &mut row);
        let sum = sources(&row, noise.len()).into_iter().fold(T::default(), |sum, source| sum.plus(noise[source]));
        add(index, sum);
    }
}

/// Where an output's seven terms stand among `half` positions: from eight words of 64 bits, of which the low 52 bits of
/// seven are fractions of the range that they fall into.
pub(super) fn sources(row: &[u128; 4], half: usize) -> [usize; WEIGHT] {
    let part = half / REGULAR;
    core::array::from_fn(|term| {
        let fraction = (row[term / 2] >> (64 * (term % 2))) as u64 & ((1 << 52) - 1);
        let within = |range: usize| ((u128::from(fraction) * range as u128) >> 52) as usize;
        if term < REGULAR { term * part + within(part) } else { within(half) }
    })
}
