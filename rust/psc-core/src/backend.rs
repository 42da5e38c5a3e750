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
pub mod ring;

use portable::Portable;
use ring::Ring;

/// The first unacceptable element of a chunk: its position in the chunk, and why.
pub type BadPoint = (usize, Reason);

/// What a batch is multiplied by.
#[derive(Clone, Copy)]
pub enum Scalars<'a> {
    /// One scalar for all.
    One(&'a Secret),
    /// A scalar for each, in order.
    Each(&'a [Secret]),
}

impl<'a> Scalars<'a> {
    /// What `count` elements from `first` on are multiplied by; panics when there are not so many.
    pub(crate) fn slice(self, first: usize, count: usize) -> Self {
        match self {
            Self::One(_) => self,
            Self::Each(scalars) => Self::Each(&scalars[first..first + count]),
        }
    }

    /// What the element at an index is multiplied by; panics when there is none.
    pub(crate) fn get(self, index: usize) -> &'a Secret {
        match self {
            Self::One(scalar) => scalar,
            Self::Each(scalars) => &scalars[index],
        }
    }
}

/// What a batch needs of the group. A chunk is worked on by one thread; chunks run in parallel above this trait.
pub trait Backend: Send + Sync {
    /// The name that `PSC_BACKEND` knows.
    fn name(&self) -> &'static str;

    /// Map every 64 uniform bytes to an element (RFC 9496, section 4.3.4), multiply it by its scalar if there is one, and
    /// write the encoding. `out` has the count of `uniform`.
    fn derive(&self, uniform: &[Uniform], scalars: Option<Scalars<'_>>, out: &mut [Encoding]);

    /// Decode every point, multiply by its scalar and write the encoding. `out` has the points' count.
    fn multiply(
        &self,
        points: &[Encoding],
        scalars: Scalars<'_>,
        out: &mut [Encoding],
    ) -> core::result::Result<(), BadPoint>;

    /// Decode both points of every pair, add the second to the first or subtract it, and write the encoding. A bad point is
    /// named by the position of its pair.
    fn combine(
        &self,
        left: &[Encoding],
        right: &[Encoding],
        subtract: bool,
        out: &mut [Encoding],
    ) -> core::result::Result<(), BadPoint>;

    /// Refuse the first point that is the identity or not canonically encoded.
    fn check(&self, points: &[Encoding]) -> core::result::Result<(), BadPoint>;

    /// Hash with SHA-512: `out[i]` becomes the digest of `prefix` followed by what `message(i)` appends to its buffer.
    fn sha512(&self, prefix: &[u8], message: &dyn Fn(usize, &mut Vec<u8>), out: &mut [Digest]);

    /// Arithmetic of packed encryption.
    fn ring(&self) -> &'static dyn Ring;
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
mod tests;
