//! Random polynomials. A stream is ChaCha20 under a key of its own, so that parallel work draws what serial work would.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng};
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

use super::prime::{Integers, LOW, Prime, Residues};
use super::{DEGREE, PLANE_BYTES};
use crate::backend::ring::Ring;
use crate::rng::Rng;

/// The key of a stream.
pub(super) type Seed = Zeroizing<[u8; 32]>;
/// Bytes of the candidates that are drawn at a time when some of the first were refused: sixteen.
const FURTHER_BYTES: usize = 84;

/// Which public polynomial.
#[derive(Clone, Copy)]
pub(super) enum Public {
    /// `a` of the public key.
    Key,
    /// `a` of a block.
    Block(u64),
}

/// Draw a stream's key from a party's generator.
pub(super) fn seed(rng: &mut Rng) -> Seed {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill(&mut *seed);
    seed
}

/// Write a public uniform polynomial's values modulo the prime at an index.
///
/// The stream's key is the first half of SHA-512 of the section's label, 0 or 1 for the key or a block, the block's number
/// (8 bytes, the highest first) and the prime's index. Candidates are successive 42-bit numbers, the first in the lowest
/// bits; those that are not below the prime are left out.
pub(super) fn public(
    ring: &dyn Ring,
    section: &Sha512,
    which: Public,
    index: usize,
    prime: &Prime,
    out: &mut Residues,
) {
    let (kind, number) = match which {
        Public::Key => (0, 0),
        Public::Block(number) => (1, number),
    };
    let hash = section.clone().chain_update([kind]).chain_update(number.to_be_bytes()).chain_update([index as u8]);
    let mut key = [0; 32];
    key.copy_from_slice(&hash.finalize()[..32]);
    let mut stream = ChaCha20Rng::from_seed(key);
    let mut bytes = Box::new([0u8; PLANE_BYTES]);
    stream.fill_bytes(&mut *bytes);
    if ring.unpack(&bytes, out) < prime.modulus {
        return;
    }
    let mut kept = 0;
    for at in 0..DEGREE {
        if out.0[at] < prime.modulus {
            out.0[kept] = out.0[at];
            kept += 1;
        }
    }
    while kept < DEGREE {
        let mut further = [0u8; FURTHER_BYTES];
        stream.fill_bytes(&mut further);
        for candidate in 0..FURTHER_BYTES * 8 / 42 {
            let bits = (0..42).map(|bit| (candidate * 42 + bit, bit));
            let x = bits.fold(0, |x, (at, bit)| x | u64::from(further[at / 8] >> (at % 8) & 1) << bit);
            if x < prime.modulus && kept < DEGREE {
                out.0[kept] = x;
                kept += 1;
            }
        }
    }
}

/// A secret stream.
pub(super) struct Stream(ChaCha20Rng);

impl Stream {
    pub(super) fn new(seed: &Seed) -> Self {
        Self(ChaCha20Rng::from_seed(**seed))
    }

    /// Draw coefficients −1, 0, 1: the high word of 3·x for 64 random bits x, less one. The distance of 8192 of them from
    /// uniform ones is below 2^-50.
    pub(super) fn ternary(&mut self) -> Box<Integers> {
        let mut drawn = Integers::zero();
        let mut bytes = Zeroizing::new([0u8; 8 * 512]);
        for drawn in drawn.0.chunks_exact_mut(512) {
            self.0.fill_bytes(&mut *bytes);
            for (drawn, bytes) in drawn.iter_mut().zip(bytes.as_chunks::<8>().0) {
                *drawn = ((u128::from(u64::from_le_bytes(*bytes)) * 3) >> 64) as i64 - 1;
            }
        }
        drawn
    }

    /// Draw errors: centred binomial, the ones among 21 random bits less those among 21 others.
    pub(super) fn errors(&mut self, ring: &dyn Ring) -> Box<Integers> {
        let mut bytes = Zeroizing::new(vec![0; PLANE_BYTES]);
        self.0.fill_bytes(&mut bytes);
        let (mut bits, mut drawn) = (Residues::zero(), Integers::zero());
        ring.unpack(&bytes.as_chunks().0[0], &mut bits);
        ring.binomial(&bits, &mut drawn);
        drawn
    }

    /// Draw one error.
    pub(super) fn error(&mut self) -> i64 {
        let bits = self.0.next_u64() & LOW;
        i64::from((bits & 0x1f_ffff).count_ones()) - i64::from((bits >> 21).count_ones())
    }

    /// Draw a uniform number of 0 to `largest`; draws above it are repeated, which says nothing about the one that is kept.
    pub(super) fn up_to(&mut self, largest: u128) -> u128 {
        loop {
            let wide = u128::from(self.0.next_u64()) << 64 | u128::from(self.0.next_u64());
            let drawn = wide >> largest.leading_zeros().min(127);
            if drawn <= largest {
                return drawn;
            }
        }
    }
}
