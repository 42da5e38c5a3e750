//! Batched cryptographic kernels of psc.
//!
//! Pure computation: no Python, no I/O, no async. Every kernel takes a whole batch and uses all cores of [`parallel`].
//! Group arithmetic is behind the [`backend::Backend`] trait, so a faster instruction set replaces one file.
//!
//! Secret types ([`group::Secret`], [`oprf::OprfOutputs`], [`rng::Rng`], [`items::Items`]) have no `Debug`, are zeroised
//! when dropped, and compare in constant time where they compare at all.

#![deny(unsafe_code)]

pub mod backend;
pub mod error;
pub mod gf128;
pub mod group;
pub mod hash;
pub mod items;
pub mod memory;
pub mod noise;
pub mod okvs;
pub mod oprf;
pub mod parallel;
pub mod phone;
pub mod prg;
pub mod rlwe;
pub mod rng;
pub mod rows;
pub mod simd;
pub mod table;
pub mod tags;
pub mod transpose;
pub mod vole;
pub mod vole_psi;
pub mod wide_hash;

pub use error::{Error, Result};

/// A setting of the environment; one that is not UTF-8 is kept as a text that no setting accepts.
pub(crate) fn setting(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// A zeroed buffer whose size another party may have a say in: too large is an error, not an abort.
pub(crate) fn zeroed(length: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(length).map_err(|_| Error::OutOfMemory { length })?;
    buffer.resize(length, 0);
    Ok(buffer)
}
