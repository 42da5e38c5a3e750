//! The code on any machine.

use super::{ConvolutionBits, LANES, MIXER, Pair, REGULAR, WEIGHT, WIDTH};
use crate::prg::Cipher;

/// Outputs whose positions are drawn together.
const BATCH: usize = 32;

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
    #[inline]
    fn plus(self, other: Self) -> Self {
        self ^ other
    }

    #[inline]
    fn times_bit(self, bit: u32) -> Self {
        self & Self::from(bit).wrapping_neg()
    }

    #[inline]
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
    #[inline]
    fn plus(self, other: Self) -> Self {
        [self[0] ^ other[0], self[1] ^ other[1]]
    }

    #[inline]
    fn times_bit(self, bit: u32) -> Self {
        self.map(|component| component.times_bit(bit))
    }

    #[inline]
    fn mixed(self) -> Self {
        self.map(Element::mixed)
    }
}

/// Convolve in place, with a function that multiplies by [`MIXER`].
///
/// A position is final when all before it have been added to it; the first of these additions, which the multiplication
/// follows, is that from 25 positions before. Four positions at a time: once they are final, the four additions from 25
/// positions before are made that these allow, and then a table of their sixteen sums serves the 24 positions behind them.
#[inline(always)]
pub(super) fn convolve<T: Element>(bits: &ConvolutionBits, noise: &mut [T], mix: impl Fn(T) -> T) {
    for (group, &words) in bits.0.iter().enumerate() {
        let at = group * LANES;
        for lane in 1..LANES {
            let near = near(bits, noise, at + lane, 1..=lane);
            noise[at + lane] = noise[at + lane].plus(near);
        }
        for position in (at + WIDTH).max(WIDTH + 1)..(at + WIDTH + LANES).min(noise.len()) {
            noise[position] = mix(noise[position].plus(noise[position - WIDTH - 1]));
        }
        spread(words, &mut noise[at..]);
    }
    wrap(bits, noise);
}

/// Make the first positions final, one by one.
#[cfg(target_arch = "x86_64")]
pub(super) fn convolve_first<T: Element>(bits: &ConvolutionBits, noise: &mut [T], count: usize) {
    for position in 0..count {
        if position > WIDTH {
            noise[position] = noise[position].plus(noise[position - WIDTH - 1]).mixed();
        }
        noise[position] = noise[position].plus(near(bits, noise, position, 1..=WIDTH.min(position)));
    }
}

/// Add the first four positions of a slice, which are final, to the 24 behind them, as far as these are there.
#[inline(always)]
fn spread<T: Element>(words: u128, noise: &mut [T]) {
    let (own, behind) = noise.split_at_mut(LANES);
    let mut sums = [T::default(); 1 << LANES];
    for (lane, own) in own.iter().enumerate() {
        for index in 0..1 << lane {
            sums[1 << lane | index] = sums[index].plus(*own);
        }
    }
    // Bit d - 1 of lane l's word is about distance d, so about position d + l - 4 behind. Then, four bits a position.
    let lane = |lane: usize| thin((words >> (32 * lane)) as u32) << lane >> (LANES * (LANES - 1 - lane));
    let mut selected = lane(0) | lane(1) | lane(2) | lane(3);
    for behind in behind.iter_mut().take(WIDTH) {
        *behind = behind.plus(sums[selected as usize % (1 << LANES)]);
        selected >>= LANES;
    }
}

/// Move bit i of the low 24 to bit 4 i.
#[inline(always)]
fn thin(word: u32) -> u128 {
    let every = |mask: u32| u128::from(mask) << 64 | u128::from(mask) << 32 | u128::from(mask);
    let word = u128::from(word);
    let mut bits = (word & 0xff) | (word & 0xff00) << 24 | (word & 0xff_0000) << 48;
    bits = (bits | bits << 12) & every(0x000f_000f);
    bits = (bits | bits << 6) & every(0x0303_0303);
    (bits | bits << 3) & every(0x1111_1111)
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

/// Give the outputs `first..first + count`, numbered from 0, to `add`. Every position is given to `touch` some time before
/// it is added, so that it can be asked for from the memory.
#[inline(always)]
pub(super) fn expand<T: Element>(
    cipher: &Cipher,
    noise: &[T],
    first: usize,
    count: usize,
    touch: impl Fn(&T),
    mut add: impl FnMut(usize, T),
) {
    let mut words = [0; 4 * BATCH];
    let mut drawn = [[[0; WEIGHT]; BATCH]; 2];
    let batches = count.div_ceil(BATCH);
    for batch in 0..=batches {
        if batch < batches {
            cipher.stream(4 * (first + batch * BATCH) as u64, &mut words);
            for (row, sources) in words.as_chunks().0.iter().zip(&mut drawn[batch % 2]) {
                *sources = self::sources(row, noise.len());
                sources.iter().for_each(|source| touch(&noise[*source]));
            }
        }
        if batch > 0 {
            let start = (batch - 1) * BATCH;
            for (index, sources) in (start..count).zip(&drawn[(batch - 1) % 2]) {
                add(index, sources.iter().fold(T::default(), |sum, source| sum.plus(noise[*source])));
            }
        }
    }
}

/// Where an output's seven terms stand among `half` positions: from eight words of 64 bits, of which the low 52 bits of
/// seven are fractions of the range that they fall into.
fn sources(row: &[u128; 4], half: usize) -> [usize; WEIGHT] {
    let part = half / REGULAR;
    core::array::from_fn(|term| {
        let fraction = (row[term / 2] >> (64 * (term % 2))) as u64 & ((1 << 52) - 1);
        let within = |range: usize| ((u128::from(fraction) * range as u128) >> 52) as usize;
        if term < REGULAR { term * part + within(part) } else { within(half) }
    })
}
