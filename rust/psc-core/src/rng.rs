//! The party's generator: ChaCha20, seeded by the operating system, zeroised when dropped.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use crate::error::{Error, Result, check_range};
use crate::group::Secret;

const SEED_LABEL: &[u8] = b"PSC-V1-insecure-seed";

/// A cryptographic random generator.
pub struct Rng(ChaCha20Rng);

impl Rng {
    /// Return a generator that is seeded by the operating system.
    pub fn system() -> Result<Self> {
        let mut seed = Zeroizing::new([0u8; 32]);
        getrandom::fill(&mut *seed).map_err(|_| Error::Randomness)?;
        Ok(Self(ChaCha20Rng::from_seed(*seed)))
    }

    /// Return a generator whose whole output follows from `seed`: for tests and golden transcripts only.
    pub fn insecure_from_seed(seed: &[u8]) -> Self {
        let digest =
            Zeroizing::new(<[u8; 64]>::from(Sha512::new_with_prefix(SEED_LABEL).chain_update(seed).finalize()));
        let mut key = Zeroizing::new([0u8; 32]);
        key.copy_from_slice(&digest[..32]);
        Self(ChaCha20Rng::from_seed(*key))
    }

    /// Return the generator of a seed that another one drew.
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(*seed))
    }

    /// Fill a buffer.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }

    /// Return 128 uniform bits.
    pub fn word(&mut self) -> u128 {
        let mut bytes = Zeroizing::new([0u8; 16]);
        self.fill(&mut *bytes);
        u128::from_le_bytes(*bytes)
    }

    /// Return a uniform nonzero scalar.
    pub fn scalar(&mut self) -> Secret {
        loop {
            let mut wide = Zeroizing::new([0u8; 64]);
            self.fill(&mut *wide);
            if let Some(scalar) = Secret::from_wide(&wide) {
                return scalar;
            }
        }
    }

    /// Return a uniform permutation of `0..count` (Fisher and Yates, with unbiased draws).
    pub fn permutation(&mut self, count: usize) -> Result<Vec<u32>> {
        check_range("count", count, 0, u32::MAX as usize)?;
        let mut order: Vec<u32> = (0..count as u32).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last as u32 + 1) as usize);
        }
        Ok(order)
    }

    /// Return a uniform number below `bound` (Lemire's method: a draw is repeated when it would bias the result).
    fn below(&mut self, bound: u32) -> u32 {
        loop {
            let product = u64::from(self.0.next_u32()) * u64::from(bound);
            if product as u32 >= bound.wrapping_neg() % bound {
                return (product >> 32) as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_repeat_and_systems_do_not() {
        let draw = |mut rng: Rng| {
            let mut out = [0u8; 40];
            rng.fill(&mut out);
            out
        };
        assert_eq!(draw(Rng::insecure_from_seed(b"a")), draw(Rng::insecure_from_seed(b"a")));
        assert_ne!(draw(Rng::insecure_from_seed(b"a")), draw(Rng::insecure_from_seed(b"b")));
        assert_ne!(draw(Rng::system().unwrap()), draw(Rng::system().unwrap()));
    }

    #[test]
    fn permutations_are_permutations_and_look_uniform() {
        let mut rng = Rng::insecure_from_seed(b"permutation");
        for count in [0, 1, 2, 100] {
            let mut order = rng.permutation(count).unwrap();
            order.sort_unstable();
            assert_eq!(order, (0..count as u32).collect::<Vec<_>>());
        }
        // 24,000 draws of the 24 orders of four: chi-squared with 23 degrees is below 64 but for one seed in 100,000.
        let mut seen = std::collections::HashMap::new();
        for _ in 0..24_000 {
            *seen.entry(rng.permutation(4).unwrap()).or_insert(0i64) += 1;
        }
        assert_eq!(seen.len(), 24);
        assert!(seen.values().map(|&count| (count - 1000).pow(2)).sum::<i64>() / 1000 < 64);
    }
}
