//! The matcher: adds up the positions of its choice, cell by cell, and makes replies that say nothing but the sums.

use rayon::prelude::*;
use sha2::Sha512;
use zeroize::{Zeroize as _, Zeroizing};

use super::owner::section_hash;
use super::prime::{Integers, Prime, Residues, primes};
use super::sample::{self, Public, Seed, Stream};
use super::{CELLS_MAX, COEFFICIENT_BYTES, COLUMNS_MAX, DEGREE, PLANE_BYTES, POLYNOMIAL_BYTES, PRIMES, WEIGHT_LIMIT};
use super::{flood_bound, key_bytes, reply_bytes, wire};
use crate::backend::Backend;
use crate::backend::ring::{Cells, Ring};
use crate::error::{Error, Result, check_count, check_range};
use crate::parallel;
use crate::rng::Rng;

/// Blocks that are unpacked before they are added up: enough for all threads, few enough for the second-level cache.
const BLOCKS_AT_ONCE: usize = 4;

/// The running sums of a cell modulo one prime.
struct Sums {
    /// Values of Σ a·m at the reversed positions, without the factor 2^52 that [`Ring::multiply_add`] takes out.
    c1: Box<Residues>,
    /// Coefficient 0 of Σ b·m, a column each.
    c0: Zeroizing<Vec<u64>>,
}

/// Write a public polynomial's values at the reversed positions.
fn reversed(ring: &dyn Ring, section: &Sha512, which: Public, index: usize, out: &mut Residues) {
    sample::public(ring, section, which, index, &primes()[index], out);
    out.0.reverse();
}

/// What a block's positions count for.
struct Choice {
    cells: Box<Cells>,
    weights: Option<Box<Integers>>,
}

impl Choice {
    fn new(cells: &[i32], weights: Option<&[i64]>) -> Self {
        let mut choice = Self { cells: Box::new(Cells([-1; DEGREE])), weights: None };
        choice.cells.0[..cells.len()].copy_from_slice(cells);
        choice.weights = weights.map(|weights| {
            let mut all = Integers::zero();
            all.0[..weights.len()].copy_from_slice(weights);
            all
        });
        choice
    }
}

impl Choice {
    /// All positions in cell 0, with these weights.
    fn everywhere(weights: Box<Integers>) -> Self {
        Self { cells: Box::new(Cells([0; DEGREE])), weights: Some(weights) }
    }

    /// Add Σ a·m to a cell's c1, m taken at 1/X and `a` at the reversed positions; modulo the prime at an index.
    fn add_product(
        &self,
        ring: &dyn Ring,
        cell: usize,
        index: usize,
        a: &Residues,
        mask: &mut Residues,
        c1: &mut Residues,
    ) {
        let prime = &primes()[index];
        ring.select(prime, &self.cells, self.weights.as_deref(), cell as i32, mask);
        ring.forward(prime, mask);
        ring.multiply_add(prime, c1, a, mask);
    }

    /// Return coefficient 0 of Σ b·m of a cell, modulo the prime at an index.
    fn coefficient(&self, ring: &dyn Ring, cell: usize, index: usize, b: &Residues) -> u64 {
        ring.sum(&primes()[index], b, &self.cells, self.weights.as_deref(), cell as i32)
    }
}

/// What makes a cell's reply say nothing but its sums.
pub(super) struct Hiding {
    /// The ternary polynomial that the public key is multiplied by, at 1/X.
    pub ternary: Box<Integers>,
    /// The error of c1, at 1/X.
    pub errors: Box<Integers>,
    /// For each column the error of c0, and the flood above its lower end.
    pub coefficients: Zeroizing<Vec<(i64, u128)>>,
}

impl Hiding {
    /// Draw, with floods within ± `bound`; without randomness, everything but the flood is zero.
    fn draw(ring: &dyn Ring, seed: &Seed, columns: usize, bound: u128, randomise: bool) -> Self {
        let mut stream = Stream::new(seed);
        let (ternary, errors) = match randomise {
            true => (stream.ternary(), stream.errors(ring)),
            false => (Integers::zero(), Integers::zero()),
        };
        let coefficients = (0..columns).map(|_| {
            let error = if randomise { stream.error() } else { 0 };
            (error, stream.up_to(2 * bound))
        });
        Self { ternary, errors, coefficients: Zeroizing::new(coefficients.collect()) }
    }
}

impl Drop for Choice {
    fn drop(&mut self) {
        self.cells.0.zeroize();
    }
}

/// The matcher's end of a section.
pub struct SumMatcher {
    ring: &'static dyn Ring,
    section: Sha512,
    columns: usize,
    cells: usize,
    public_keys: Vec<u8>,
    /// Cell by cell, prime by prime; empty once finished or after a refused ciphertext.
    sums: Vec<Sums>,
    blocks: u64,
    weight: u64,
}

impl SumMatcher {
    /// Take the owner's public keys for a section of 1 to 1024 columns and 1 to 40 cells.
    pub fn new(
        backend: &'static dyn Backend,
        label: &[u8],
        section: u64,
        columns: usize,
        cells: usize,
        public_keys: &[u8],
    ) -> Result<Self> {
        check_range("columns", columns, 1, COLUMNS_MAX)?;
        check_range("cells", cells, 1, CELLS_MAX)?;
        wire::check_length("key", public_keys, key_bytes(columns))?;
        let (ring, section) = (backend.ring(), section_hash(label, section)?);
        parallel::install(|| {
            let planes = (0..columns * PRIMES).into_par_iter().map(|at| {
                let (column, index) = (at / PRIMES, at % PRIMES);
                let key = &public_keys[column * POLYNOMIAL_BYTES..][..POLYNOMIAL_BYTES];
                wire::read(ring, "key", key, index, &primes()[index], &mut Residues::zero())
            });
            planes.collect::<Result<()>>()
        })??;
        let new = || Sums { c1: Residues::zero(), c0: Zeroizing::new(vec![0; columns]) };
        let sums = (0..cells * PRIMES).map(|_| new()).collect();
        Ok(Self { ring, section, columns, cells, public_keys: public_keys.to_vec(), sums, blocks: 0, weight: 1 })
    }

    /// Add positions: `ciphertexts[block][column]`, for each position its cell or -1, and its weight, 1 without any.
    pub fn absorb(
        &mut self,
        first_block: u64,
        ciphertexts: &[Vec<&[u8]>],
        cells: &[i32],
        weights: Option<&[i64]>,
    ) -> Result<()> {
        let mut sums = std::mem::take(&mut self.sums);
        if sums.is_empty() {
            return Err(Error::UsedUp { what: "sums" });
        }
        self.check(first_block, ciphertexts, cells, weights)?;
        let mut public: Vec<Box<Residues>> =
            (0..BLOCKS_AT_ONCE.min(ciphertexts.len()) * PRIMES).map(|_| Residues::zero()).collect();
        parallel::install(|| {
            for (group, polynomials) in ciphertexts.chunks(BLOCKS_AT_ONCE).enumerate() {
                let first = group * BLOCKS_AT_ONCE;
                let part = |at: usize| at.min(cells.len())..(at + DEGREE).min(cells.len());
                let choices: Vec<Choice> = (first..first + polynomials.len())
                    .map(|block| part(block * DEGREE))
                    .map(|part| Choice::new(&cells[part.clone()], weights.map(|weights| &weights[part])))
                    .collect();
                self.add_coefficients(&mut sums, polynomials, &choices)?;
                self.add_products(&mut sums, first_block + first as u64, &mut public, &choices);
            }
            Ok(())
        })??;
        self.sums = sums;
        Ok(())
    }

    /// Read the blocks, refusing what is not canonical, and add coefficient 0 of each to every cell and column.
    fn add_coefficients(&self, sums: &mut [Sums], polynomials: &[Vec<&[u8]>], choices: &[Choice]) -> Result<()> {
        let (ring, cells) = (self.ring, self.cells);
        let polynomials: Vec<(&Choice, usize, &[u8])> = choices
            .iter()
            .zip(polynomials)
            .flat_map(|(choice, block)| block.iter().enumerate().map(move |(column, bytes)| (choice, column, *bytes)))
            .collect();
        let parts = (0..polynomials.len() * PRIMES).into_par_iter().map_init(Residues::zero, |b, at| {
            let (index, (choice, _, bytes)) = (at % PRIMES, polynomials[at / PRIMES]);
            wire::read(ring, "ciphertext", bytes, index, &primes()[index], b)?;
            let cells = (0..cells).map(|cell| choice.coefficient(ring, cell, index, b));
            Ok(Zeroizing::new(cells.collect::<Vec<u64>>()))
        });
        for (at, part) in parts.collect::<Result<Vec<_>>>()?.iter().enumerate() {
            let (index, (_, column, _)) = (at % PRIMES, polynomials[at / PRIMES]);
            for (cell, value) in part.iter().enumerate() {
                let sum = &mut sums[cell * PRIMES + index].c0[column];
                *sum = primes()[index].add(*sum, *value);
            }
        }
        Ok(())
    }

    /// Add the products of the blocks' public polynomials and masks to every cell's c1.
    fn add_products(&self, sums: &mut [Sums], first_block: u64, public: &mut [Box<Residues>], choices: &[Choice]) {
        let (ring, section) = (self.ring, &self.section);
        public.par_iter_mut().take(choices.len() * PRIMES).enumerate().for_each(|(at, a)| {
            reversed(ring, section, Public::Block(first_block + (at / PRIMES) as u64), at % PRIMES, a);
        });
        sums.par_iter_mut().enumerate().for_each_init(Residues::zero, |mask, (at, sums)| {
            let (cell, index) = (at / PRIMES, at % PRIMES);
            for (choice, a) in choices.iter().zip(public.iter().skip(index).step_by(PRIMES)) {
                choice.add_product(ring, cell, index, a, mask, &mut sums.c1);
            }
        });
    }

    /// Refuse arguments that do not fit, and note what the flood must cover.
    fn check(
        &mut self,
        first_block: u64,
        ciphertexts: &[Vec<&[u8]>],
        cells: &[i32],
        weights: Option<&[i64]>,
    ) -> Result<()> {
        let blocks = cells.len().div_ceil(DEGREE);
        if ciphertexts.len() != blocks {
            return Err(Error::CiphertextCount { count: ciphertexts.len(), expected: blocks });
        }
        for block in ciphertexts {
            if block.len() != self.columns {
                return Err(Error::CiphertextCount { count: block.len(), expected: self.columns });
            }
            block.iter().try_for_each(|bytes| wire::check_length("ciphertext", bytes, POLYNOMIAL_BYTES))?;
        }
        check_range("first_block", first_block as usize, 0, u32::MAX as usize - blocks)?;
        // Without a branch on a single cell or weight: only whether any is out of range shows.
        let largest = cells.iter().fold(-1, |largest, cell| largest.max(*cell));
        let least = cells.iter().fold(0, |least, cell| least.min(*cell));
        if largest >= self.cells as i32 || least < -1 {
            return Err(Error::NoSuchPosition { what: "cells", index: self.cells, count: self.cells });
        }
        let mut weight = self.weight;
        if let Some(weights) = weights {
            check_count("weights", weights.len(), cells.len())?;
            let largest = weights.iter().fold(0, |largest, weight| largest.max(weight.unsigned_abs()));
            check_range("weights", largest as usize, 0, WEIGHT_LIMIT as usize - 1)?;
            weight = WEIGHT_LIMIT - 1;
        }
        flood_bound((self.blocks + blocks as u64) * DEGREE as u64, weight)?;
        (self.blocks, self.weight) = (self.blocks + blocks as u64, weight);
        Ok(())
    }

    /// Return one reply a cell: sums plus offsets (cell by cell, a column each), re-randomised and flooded.
    pub fn finish(&mut self, offsets: &[u64], rng: &mut Rng) -> Result<Vec<Vec<u8>>> {
        self.reply(offsets, rng, true, true)
    }

    /// Return replies that may lack what hides the choice, so that a test can prove that it would notice.
    pub fn insecure_finish(
        &mut self,
        offsets: &[u64],
        rng: &mut Rng,
        randomise: bool,
        flood: bool,
    ) -> Result<Vec<Vec<u8>>> {
        self.reply(offsets, rng, randomise, flood)
    }

    fn reply(&mut self, offsets: &[u64], rng: &mut Rng, randomise: bool, flood: bool) -> Result<Vec<Vec<u8>>> {
        check_count("offsets", offsets.len(), self.cells * self.columns)?;
        let bound = if flood { flood_bound(self.blocks * DEGREE as u64, self.weight)? } else { 0 };
        let seeds: Vec<Seed> = (0..self.cells).map(|_| sample::seed(rng)).collect();
        let (ring, columns) = (self.ring, self.columns);
        let draw = |seed: &Seed| Hiding::draw(ring, seed, columns, bound, randomise);
        let hiding: Vec<Hiding> = parallel::install(|| seeds.par_iter().map(draw).collect())?;
        self.reply_with(offsets, hiding, bound)
    }

    /// Return the replies for given randomness, a cell each; the flood lies within ± `bound`.
    pub(super) fn reply_with(&mut self, offsets: &[u64], hiding: Vec<Hiding>, bound: u128) -> Result<Vec<Vec<u8>>> {
        let mut sums = std::mem::take(&mut self.sums);
        if sums.is_empty() {
            return Err(Error::UsedUp { what: "sums" });
        }
        let (ring, columns) = (self.ring, self.columns);
        parallel::install(|| {
            let coefficients: Vec<_> = hiding.iter().map(|hiding| hiding.coefficients.clone()).collect();
            self.randomise(&mut sums, hiding)?;
            let cells = sums.par_chunks_exact_mut(PRIMES).zip(&coefficients).zip(offsets.par_chunks(columns));
            let replies = cells.map(|((sums, drawn), offsets)| {
                let mut out = vec![0; reply_bytes(columns)];
                write_c1(ring, sums, &mut out);
                let coefficients = out[POLYNOMIAL_BYTES..].as_chunks_mut::<COEFFICIENT_BYTES>().0;
                for (column, (bytes, offset)) in coefficients.iter_mut().zip(offsets).enumerate() {
                    let (error, flood) = drawn[column];
                    let c0 = Zeroizing::new(std::array::from_fn(|index| {
                        let hidden = hide(&primes()[index], *offset, error, flood, bound);
                        primes()[index].add(sums[index].c0[column], hidden)
                    }));
                    wire::write_coefficient(&c0, bytes);
                }
                out
            });
            Ok(replies.collect())
        })?
    }

    /// Add an encryption of zero to every cell: the public key times a ternary polynomial, which is a block with that
    /// polynomial's coefficients for weights, and an error to c1.
    fn randomise(&self, sums: &mut [Sums], hiding: Vec<Hiding>) -> Result<()> {
        let (ring, section) = (self.ring, &self.section);
        let mut public: Vec<Box<Residues>> = (0..PRIMES).map(|_| Residues::zero()).collect();
        let each = public.par_iter_mut().enumerate();
        each.for_each(|(index, a)| reversed(ring, section, Public::Key, index, a));
        let cells = sums.par_chunks_exact_mut(PRIMES).zip(hiding);
        let choices = cells.map(|(sums, hiding)| {
            let choice = Choice::everywhere(hiding.ternary);
            let mut scratch = Residues::zero();
            for (index, (sums, a)) in sums.iter_mut().zip(&public).enumerate() {
                choice.add_product(ring, 0, index, a, &mut scratch, &mut sums.c1);
                add_error(ring, index, &hiding.errors, &mut scratch, &mut sums.c1);
            }
            choice
        });
        let choices: Vec<Choice> = choices.collect();
        let keys: Vec<&[u8]> = self.public_keys.chunks_exact(POLYNOMIAL_BYTES).collect();
        let parts = (0..keys.len() * PRIMES).into_par_iter().map_init(Residues::zero, |b, at| {
            let index = at % PRIMES;
            wire::read(ring, "key", keys[at / PRIMES], index, &primes()[index], b)?;
            let cells = choices.iter().map(|choice| choice.coefficient(ring, 0, index, b));
            Ok(Zeroizing::new(cells.collect::<Vec<u64>>()))
        });
        for (at, part) in parts.collect::<Result<Vec<_>>>()?.iter().enumerate() {
            for (cell, value) in part.iter().enumerate() {
                let sum = &mut sums[cell * PRIMES + at % PRIMES].c0[at / PRIMES];
                *sum = primes()[at % PRIMES].add(*sum, *value);
            }
        }
        Ok(())
    }
}

/// Add 2^64 times an error polynomial to c1.
fn add_error(ring: &dyn Ring, index: usize, errors: &Integers, scratch: &mut Residues, c1: &mut Residues) {
    let prime = &primes()[index];
    scratch.0.fill(0);
    ring.add_message(prime, scratch, errors, &Integers::zero());
    ring.forward(prime, scratch);
    // c1 lacks a factor 2^52 until it is written.
    scratch.0.iter_mut().for_each(|x| *x = prime.montgomery(*x, 1));
    ring.add(prime, c1, scratch);
}

/// Return 2^64·(error + flood − bound) + offset.
fn hide(prime: &Prime, offset: u64, error: i64, flood: u128, bound: u128) -> u64 {
    let flood = prime.add(prime.reduce(flood), prime.modulus - prime.reduce(bound));
    prime.add(prime.montgomery(flood, prime.scale), prime.message(error, offset as i64, 0))
}

/// Write c1: the values in order, with the factor 2^52.
fn write_c1(ring: &dyn Ring, sums: &mut [Sums], out: &mut [u8]) {
    for ((sums, prime), plane) in sums.iter_mut().zip(primes()).zip(out.as_chunks_mut::<PLANE_BYTES>().0) {
        sums.c1.0.reverse();
        sums.c1.0.iter_mut().for_each(|x| *x = prime.montgomery(*x, prime.square));
        wire::write(ring, &sums.c1, plane);
    }
}
