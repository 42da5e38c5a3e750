//! Batched group arithmetic behind one trait; which implementation runs is one enum.
//!
//! All backends give identical bytes. `PSC_BACKEND` forces one: `ifma`, `portable`, or `auto` (the fastest that runs
//! here).

use std::sync::OnceLock;

use crate::error::{Error, Reason, Result};
use crate::group::{Encoding, Secret};
use crate::hash::{Digest, Uniform};

#[cfg(target_arch = "x86_64")]
mod ifma;
mod portable;

use portable::Portable;

/// The first unacceptable element of a chunk: its position in the chunk, and why.
pub type BadPoint = (usize, Reason);

/// What a batch needs of the group. A chunk is worked on by one thread; chunks run in parallel above this trait.
pub trait Backend: Send + Sync {
    /// The name that `PSC_BACKEND` knows.
    fn name(&self) -> &'static str;

    /// Map every 64 uniform bytes to an element (RFC 9496, section 4.3.4), multiply it by the scalar if there is one, and
    /// write the encoding. `out` has the count of `uniform`.
    fn derive(&self, uniform: &[Uniform], scalar: Option<&Secret>, out: &mut [Encoding]);

    /// Decode every point, multiply by the scalar and write the encoding. `out` has the points' count.
    fn multiply(
        &self,
        points: &[Encoding],
        scalar: &Secret,
        out: &mut [Encoding],
    ) -> core::result::Result<(), BadPoint>;

    /// Refuse the first point that is the identity or not canonically encoded.
    fn check(&self, points: &[Encoding]) -> core::result::Result<(), BadPoint>;

    /// Hash with SHA-512: `out[i]` becomes the digest of `prefix` followed by what `message(i)` appends to its buffer.
    fn sha512(&self, prefix: &[u8], message: &dyn Fn(usize, &mut Vec<u8>), out: &mut [Digest]);
}

/// The backends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Eight points at a time, where the processor has AVX-512 IFMA.
    Ifma,
    /// curve25519-dalek, which itself uses AVX2 where there is AVX2.
    Portable,
}

impl Kind {
    /// Every backend that this machine can run, the fastest first.
    pub fn available() -> Vec<Self> {
        [Self::Ifma, Self::Portable].into_iter().filter(|kind| kind.detect().is_some()).collect()
    }

    /// Return the backend that a setting asks for: the fastest when it is absent, empty or `auto`.
    pub fn from_setting(setting: Option<&str>) -> Result<Self> {
        let available = Self::available();
        match setting {
            None | Some("" | "auto") => Ok(available[0]),
            Some(name) => available
                .into_iter()
                .find(|kind| kind.get().name() == name)
                .ok_or_else(|| Error::UnknownBackend { name: name.to_owned() }),
        }
    }

    /// The implementation; panics for one that is not [`available`](Self::available).
    pub fn get(self) -> &'static dyn Backend {
        self.detect().expect("a backend that this processor can run")
    }

    fn detect(self) -> Option<&'static dyn Backend> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Ifma => ifma::Ifma::detect().map(|backend| backend as _),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Ifma => None,
            Self::Portable => Some(&Portable),
        }
    }
}

/// The backend that `PSC_BACKEND` chose when it was first asked for.
pub fn selected() -> Result<&'static dyn Backend> {
    static SELECTED: OnceLock<Result<Kind>> = OnceLock::new();
    let kind = SELECTED.get_or_init(|| Kind::from_setting(crate::setting("PSC_BACKEND").as_deref()));
    kind.clone().map(Kind::get)
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::ristretto::RistrettoPoint;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn settings_are_read() {
        let fastest = Kind::available()[0];
        for setting in [None, Some(""), Some("auto")] {
            assert_eq!(Kind::from_setting(setting), Ok(fastest));
        }
        assert_eq!(Kind::from_setting(Some("portable")), Ok(Kind::Portable));
        assert_eq!(Kind::from_setting(Some("Portable")), Err(Error::UnknownBackend { name: "Portable".into() }));
    }

    /// The batch tricks of every backend against curve25519-dalek's plain operations, at sizes around every chunk.
    #[test]
    fn all_backends_give_what_plain_arithmetic_gives() {
        let mut rng = Rng::insecure_from_seed(b"backends");
        let mut wide = [0u8; 64];
        rng.fill(&mut wide);
        let plain_scalar = curve25519_dalek::Scalar::from_bytes_mod_order_wide(&wide);
        let scalar = Secret::from_wide(&wide).unwrap();
        for count in [0, 1, 2, 7, 8, 9, 17] {
            let mut uniform = vec![[0u8; 64]; count];
            uniform.iter_mut().for_each(|bytes| rng.fill(bytes));
            let points: Vec<RistrettoPoint> = uniform.iter().map(RistrettoPoint::from_uniform_bytes).collect();
            let encodings: Vec<Encoding> = points.iter().map(|point| point.compress().to_bytes()).collect();
            let products: Vec<Encoding> =
                points.iter().map(|point| (point * plain_scalar).compress().to_bytes()).collect();
            for kind in Kind::available() {
                let backend = kind.get();
                let mut out = vec![[0u8; 32]; count];
                backend.derive(&uniform, None, &mut out);
                assert_eq!(out, encodings);
                backend.derive(&uniform, Some(&scalar), &mut out);
                assert_eq!(out, products);
                out.fill([0u8; 32]);
                assert_eq!(backend.multiply(&encodings, &scalar, &mut out), Ok(()));
                assert_eq!(out, products);
                assert_eq!(backend.check(&encodings), Ok(()));
            }
        }
    }

    /// Messages whose padding ends before, at and after a block's end, of equal and of different lengths in a batch.
    #[test]
    fn all_backends_hash_alike() {
        use sha2::Digest as _;
        let text: Vec<u8> = (0..1000).map(|index| index as u8).collect();
        for prefix in [0, 1, 128, 200, 256] {
            for (count, lengths) in [(0, 0..1), (1, 0..300), (7, 90..140), (8, 111..112), (9, 0..300), (400, 0..400)] {
                let length = |index: usize| lengths.start + index % lengths.len();
                for kind in Kind::available() {
                    let mut out = vec![[0; 64]; count];
                    let message = |index: usize, buffer: &mut Vec<u8>| {
                        buffer.extend_from_slice(&text[index..index + length(index)]);
                    };
                    kind.get().sha512(&text[..prefix], &message, &mut out);
                    for (index, digest) in out.iter().enumerate() {
                        let hash = sha2::Sha512::new_with_prefix(&text[..prefix]);
                        let hash = hash.chain_update(&text[index..index + length(index)]);
                        assert_eq!(digest[..], hash.finalize()[..]);
                    }
                }
            }
        }
    }

    #[test]
    fn all_backends_name_the_first_bad_point() {
        let uniform: Vec<Uniform> = (1..=20).map(|index| [index; 64]).collect();
        let scalar = Rng::insecure_from_seed(b"bad").scalar();
        for kind in Kind::available() {
            let backend = kind.get();
            let mut good = vec![[0u8; 32]; 20];
            backend.derive(&uniform, None, &mut good);
            for at in 0..20 {
                for (bad, reason) in [([0u8; 32], Reason::Identity), ([255u8; 32], Reason::NotCanonical)] {
                    let mut points = good.clone();
                    points[at] = bad;
                    points[19] = if at < 19 { [254; 32] } else { bad };
                    let mut out = vec![[0u8; 32]; 20];
                    assert_eq!(backend.multiply(&points, &scalar, &mut out), Err((at, reason)));
                    assert_eq!(backend.check(&points), Err((at, reason)));
                }
            }
        }
    }
}
