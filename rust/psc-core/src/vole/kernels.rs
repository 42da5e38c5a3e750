//! Which implementations a party computes with.

use crate::backend::{self, Backend};
use crate::error::Result;
use crate::simd::Simd;

/// The group's backend and the instruction set of the rest.
#[derive(Clone, Copy)]
pub struct Kernels {
    /// For the base transfers.
    pub backend: &'static dyn Backend,
    /// For everything else.
    pub simd: Simd,
}

impl Kernels {
    /// What `PSC_BACKEND` chose when it was first asked for.
    pub fn selected() -> Result<Self> {
        Ok(Self { backend: backend::selected()?, simd: Simd::selected()? })
    }
}
