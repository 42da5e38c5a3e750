//! The matcher: adds up the positions of its choice, cell by cell, and makes replies that say nothing but the sums.

use rayon::prelude::*;
use sha2::Sha512;
use zeroize::{Zeroize as _, Zeroizing};

use super::owner::section_hash;
use super::prime::{Integers, Residues, primes};
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

/// A block modulo one prime: its `a` at the reversed positions, and each column's b.
struct Block {
    a: Box<Residues>,
    b: Vec<Box<Residues>>,
}

impl Block {
    fn new(columns: usize) -> Self {
        Self { a: Residues::zero(), b: (0..columns).map(|_| Residues::zero()).collect() }
    }

    fn load(
        &mut self,
        ring: &dyn Ring,
        section: &Sha512,
        which: Public,
        index: usize,
        what: &'static str,
        polynomials: &[&[u8]],
    ) -> Result<()> {
        let prime = &primes()[index];
        for (b, bytes) in self.b.iter_mut().zip(polynomials) {
            wire::read(ring, what, bytes, index, prime, b)?;
        }
        sample::public(ring, section, which, index, prime, &mut self.a);
        self.a.0.reverse();
        Ok(())
    }
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
        section: u32,
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
        let mut held: Vec<Block> =
            (0..BLOCKS_AT_ONCE.min(ciphertexts.len()) * PRIMES).map(|_| Block::new(self.columns)).collect();
        let (ring, section) = (self.ring, &self.section);
        parallel::install(|| {
            for (group, polynomials) in ciphertexts.chunks(BLOCKS_AT_ONCE).enumerate() {
                let first = group * BLOCKS_AT_ONCE;
                let loads = held.par_iter_mut().take(polynomials.len() * PRIMES).enumerate().map(|(at, block)| {
                    let number = first_block + (first + at / PRIMES) as u64;
                    let public = Public::Block(number);
                    block.load(ring, section, public, at % PRIMES, "ciphertext", &polynomials[at / PRIMES])
                });
                loads.collect::<Result<()>>()?;
                let part = |at: usize| at.min(cells.len())..(at + DEGREE).min(cells.len());
                let choices: Vec<Choice> = (0..polynomials.len())
                    .map(|block| part((first + block) * DEGREE))
                    .map(|part| Choice::new(&cells[part.clone()], weights.map(|weights| &weights[part])))
                    .collect();
                sums.par_iter_mut().enumerate().for_each(|(at, sums)| {
                    let mut mask = Residues::zero();
                    for (choice, blocks) in choices.iter().zip(held.chunks_exact(PRIMES)) {
                        add_block(ring, sums, at, choice, &blocks[at % PRIMES], &mut mask);
                    }
                });
            }
            Ok(())
        })??;
        self.sums = sums;
        Ok(())
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
        let sums = std::mem::take(&mut self.sums);
        if sums.is_empty() {
            return Err(Error::UsedUp { what: "sums" });
        }
        check_count("offsets", offsets.len(), self.cells * self.columns)?;
        let bound = if flood { flood_bound(self.blocks * DEGREE as u64, self.weight)? } else { 0 };
        let seeds: Vec<Seed> = (0..self.cells).map(|_| sample::seed(rng)).collect();
        let (ring, section, columns) = (self.ring, &self.section, self.columns);
        let keys: Vec<&[u8]> = self.public_keys.chunks_exact(POLYNOMIAL_BYTES).collect();
        parallel::install(|| {
            let mut key: Vec<Block> = (0..PRIMES).map(|_| Block::new(columns)).collect();
            let loads = key.par_iter_mut().enumerate();
            loads
                .map(|(index, block)| block.load(ring, section, Public::Key, index, "key", &keys))
                .collect::<Result<()>>()?;
            let cells = sums.into_par_iter().chunks(PRIMES).zip(&seeds).zip(offsets.par_chunks(columns));
            let replies = cells.map(|((mut sums, seed), offsets)| {
                let mut stream = Stream::new(seed);
                if randomise {
                    rerandomise(ring, &mut stream, &key, &mut sums);
                }
                let mut out = vec![0; reply_bytes(columns)];
                write_c1(ring, &mut sums, &mut out);
                let coefficients = out[POLYNOMIAL_BYTES..].as_chunks_mut::<COEFFICIENT_BYTES>().0;
                for (column, (bytes, offset)) in coefficients.iter_mut().zip(offsets).enumerate() {
                    let error = if randomise { stream.error() } else { 0 };
                    let lifted = stream.up_to(2 * bound);
                    let finished = std::array::from_fn(|index| {
                        let prime = &primes()[index];
                        let flood = prime.add(prime.reduce(lifted), prime.modulus - prime.reduce(bound));
                        let flood = prime.montgomery(flood, prime.scale);
                        let plain = prime.message(error, *offset as i64, 0);
                        prime.add(sums[index].c0[column], prime.add(flood, plain))
                    });
                    wire::write_coefficient(&Zeroizing::new(finished), bytes);
                }
                out
            });
            Ok(replies.collect())
        })?
    }
}

/// Add what a block gives to one cell modulo one prime; `at` counts primes within cells.
fn add_block(ring: &dyn Ring, sums: &mut Sums, at: usize, choice: &Choice, block: &Block, mask: &mut Residues) {
    let (cell, prime) = ((at / PRIMES) as i32, &primes()[at % PRIMES]);
    ring.select(prime, &choice.cells, choice.weights.as_deref(), cell, mask);
    for (sum, b) in sums.c0.iter_mut().zip(&block.b) {
        *sum = prime.add(*sum, ring.inner(prime, b, mask));
    }
    ring.forward(prime, mask);
    ring.multiply_add(prime, &mut sums.c1, &block.a, mask);
}

/// Add an encryption of zero under the public key: it has the form of a block whose weights are a secret ternary polynomial,
/// with further errors.
fn rerandomise(ring: &dyn Ring, stream: &mut Stream, key: &[Block], sums: &mut [Sums]) {
    let mut choice = Choice { cells: Box::new(Cells([0; DEGREE])), weights: None };
    let (mut ternary, mut errors, mut scratch) = (Integers::zero(), Integers::zero(), Residues::zero());
    stream.ternary(&mut ternary);
    choice.weights = Some(ternary);
    stream.errors(ring, &mut scratch, &mut errors);
    let zero = Integers::zero();
    for (index, ((sums, block), prime)) in sums.iter_mut().zip(key).zip(primes()).enumerate() {
        add_block(ring, sums, index, &choice, block, &mut scratch);
        scratch.0.fill(0);
        ring.add_message(prime, &mut scratch, &errors, &zero);
        ring.forward(prime, &mut scratch);
        // The sums lack a factor 2^52 until they are written.
        scratch.0.iter_mut().for_each(|x| *x = prime.montgomery(*x, 1));
        ring.add(prime, &mut sums.c1, &scratch);
    }
}

/// Write c1: the values in order, with the factor 2^52.
fn write_c1(ring: &dyn Ring, sums: &mut [Sums], out: &mut [u8]) {
    for ((sums, prime), plane) in sums.iter_mut().zip(primes()).zip(out.as_chunks_mut::<PLANE_BYTES>().0) {
        sums.c1.0.reverse();
        sums.c1.0.iter_mut().for_each(|x| *x = prime.montgomery(*x, prime.square));
        wire::write(ring, &sums.c1, plane);
    }
}
