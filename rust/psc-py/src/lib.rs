//! The Python face of psc-core: releases the GIL and maps errors, nothing else.

#![deny(unsafe_code)]

mod buffers;
mod errors;
mod kernels;
mod noise;
mod rlwe;
mod types;
mod vole;

use pyo3::prelude::*;

/// Batched cryptographic kernels; `psc.crypto` wraps and documents them.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::kernels::{
        backend_name, check, count_common, derive, evaluate_items, expand_message_xmd, find_tags, hash_to_group, mask,
        normalise_mobiles, open_rows, point_tags, prepare_memory, release_memory, sample_errors, seal_rows, sort_tags,
        unmask,
    };
    #[pymodule_export]
    use crate::noise::{discrete_gaussian, discrete_laplace};
    #[pymodule_export]
    use crate::rlwe::{RlweMatcher, RlweOwner, rlwe_flood_bound};
    #[pymodule_export]
    use crate::types::{Items, ItemsBuilder, OprfOutputs, Rng, Scalar};
    #[pymodule_export]
    use crate::vole::{
        VolePsiOutputs, VolePsiReceiver, VolePsiSender, VoleReceiver, VoleSender, VoleShares, VoleVectors,
        vole_message_bytes, vole_psi_shape,
    };
}
