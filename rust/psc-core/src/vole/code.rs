//! The expand-convolute code: compresses sparse noise of `2 half` positions to `half` pseudorandom values.
//!
//! Raghuraman, Rindal, Tanguy, "Expand-Convolute Codes for Pseudorandom Correlation Generators from LPN", ePrint 2023/882,
//! with expander weight 7 and convolution width 24, as libOTe has it (`ExConvCode.h`, `Expander.h`; our bits come from
//! another generator). With the noise as two halves (u, v), the output is `u ⊕ E·A'·A·v`:
//!
//! * `A` and `A'` are two *convolutions* with independent bits: in order, every position i is added to position `i + 25`,
//!   which is then multiplied by a fixed field element, and to each of the 24 between where a random bit says so; behind the
//!   end the positions wrap around. Two of them, so that noise near the end spreads too. The multiplication mixes the
//!   components of the field: without it the code would act on every bit of the values alike, and an attacker could look at
//!   one bit only (libOTe, `CoeffCtx.h`, `mulConst`; [`super::layout`] does not rely on it).
//! * `E`, the *expander*, adds seven positions to every output: one random in each quarter, and three random anywhere.
//!
//! The code is public, and both parties derive it from the session.

use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::error::Result;
use crate::memory;
use crate::parallel;
use crate::prg::Cipher;
use crate::simd::Simd;
use crate::vole::session::Session;

#[cfg(target_arch = "x86_64")]
mod narrow;
mod portable;
#[cfg(target_arch = "x86_64")]
mod wide;

use portable::Element;

/// Positions that a position is added to by random bits.
pub const WIDTH: usize = 24;
/// Positions that the expander adds to an output.
pub const WEIGHT: usize = 7;
/// Of these, one in each of so many equal parts.
const REGULAR: usize = 4;
/// Positions that are convolved together: those whose random bits are in one block.
const LANES: usize = 4;
/// What the convolution multiplies by: libOTe's constant, an element of degree 31.
pub const MIXER: u32 = 0xfc5f_989d;
/// The fewest positions of a half: the wrapped end must not reach what it wraps onto.
pub const HALF_MIN: usize = 64;
/// Outputs that one task computes.
const ROWS: usize = 1 << 14;

/// A product (the value that fits the sender's share) beside its factor of delta: the receiver compresses both by the same
/// random accesses.
pub type Pair = [u128; 2];

/// Zeros at first; no pair lies in two cache lines. Wiped when dropped.
pub struct Pairs {
    cells: Zeroizing<Vec<u128>>,
    skipped: usize,
    count: usize,
}

impl Pairs {
    /// So many pairs.
    pub fn new(count: usize) -> Self {
        let cells = Zeroizing::new(memory::zeros::<u128>(2 * count + 1));
        let skipped = cells.as_ptr().addr() % size_of::<Pair>() / size_of::<u128>();
        Self { cells, skipped, count }
    }

    /// All of them.
    pub fn as_mut_slice(&mut self) -> &mut [Pair] {
        self.cells[self.skipped..][..2 * self.count].as_chunks_mut().0
    }
}

/// The code of one instance of a session.
pub struct Code {
    convolutions: [Cipher; 2],
    expander: Cipher,
    simd: Simd,
    half: usize,
}

impl Code {
    /// Derive the code of an instance with a number of positions in each half: at least 64, and a multiple of 8.
    pub fn new(simd: Simd, session: &Session, instance: usize, half: usize) -> Self {
        assert!(half >= HALF_MIN && half.is_multiple_of(8), "halves that a layout has");
        let key = |label| Cipher::new(simd, session.key(label, &[&(instance as u64).to_le_bytes()]));
        Self { convolutions: ["code-first", "code-second"].map(key), expander: key("code-expander"), simd, half }
    }

    /// Apply both convolutions to the second half of the noise.
    fn convolve<T: Element>(&self, noise: &mut [T], convolve: impl Fn(&ConvolutionBits, &mut [T])) {
        assert_eq!(noise.len(), self.half, "one half");
        for cipher in &self.convolutions {
            convolve(&ConvolutionBits::new(cipher, self.half), noise);
        }
    }

    /// Give the outputs `first..first + count` of the expander to `add`, numbered from 0.
    fn expand<T: Element>(&self, noise: &[T], first: usize, count: usize, add: impl FnMut(usize, T)) {
        assert_eq!(noise.len(), self.half, "one half");
        assert!(first + count <= self.half, "as many outputs as a half has positions");
        match self.simd {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => wide::expand(&self.expander, noise, first, count, add),
            #[cfg(target_arch = "x86_64")]
            Simd::Pclmul => narrow::expand(&self.expander, noise, first, count, add),
            _ => portable::expand(&self.expander, noise, first, count, |_| (), add),
        }
    }

    /// Compress the sender's noise: `first` is the first half and becomes the outputs; `second` is consumed.
    ///
    /// `first` may be shorter than half: then so many outputs are made.
    pub fn compress_shares(&self, first: &mut [u128], second: &mut [u128]) -> Result<()> {
        match self.simd {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => self.convolve(second, wide::convolve::<1, u128>),
            #[cfg(target_arch = "x86_64")]
            Simd::Pclmul => self.convolve(second, narrow::convolve),
            _ => self.convolve(second, |bits, noise| portable::convolve(bits, noise, Element::mixed)),
        }
        let second = &*second;
        parallel::install(|| {
            first.par_chunks_mut(ROWS).enumerate().for_each(|(task, out)| {
                self.expand(second, task * ROWS, out.len(), |index, value| out[index] ^= value);
            });
        })
    }

    /// Compress the receiver's noise, as [`compress_shares`](Self::compress_shares) does.
    pub fn compress_pairs(&self, products: &mut [u128], factors: &mut [u128], second: &mut [Pair]) -> Result<()> {
        assert_eq!(products.len(), factors.len(), "as many factors as products");
        match self.simd {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => self.convolve(second, wide::convolve::<2, Pair>),
            #[cfg(target_arch = "x86_64")]
            Simd::Pclmul => self.convolve(second, narrow::convolve),
            _ => self.convolve(second, |bits, noise| portable::convolve(bits, noise, Element::mixed)),
        }
        let second = &*second;
        parallel::install(|| {
            let out = products.par_chunks_mut(ROWS).zip(factors.par_chunks_mut(ROWS));
            out.enumerate().for_each(|(task, (products, factors))| {
                self.expand(second, task * ROWS, products.len(), |index, pair: Pair| {
                    products[index] ^= pair[0];
                    factors[index] ^= pair[1];
                });
            });
        })
    }
}

/// The random bits of a convolution: for every position the low 24 bits of a word; bit `d - 1` is about distance d.
struct ConvolutionBits(Vec<u128>);

impl ConvolutionBits {
    fn new(cipher: &Cipher, positions: usize) -> Self {
        let mut blocks = memory::zeros(positions / LANES);
        cipher.stream(0, &mut blocks);
        Self(blocks)
    }

    fn at(&self, position: usize) -> u32 {
        (self.0[position / LANES] >> (32 * (position % LANES))) as u32
    }
}

#[cfg(test)]
mod tests;
