//! The samplers of noise.

use psc_core::noise;
use pyo3::prelude::*;

use crate::buffers::int64_array;
use crate::errors::CoreError;
use crate::types::Rng;

/// Return samples of the discrete Laplace distribution of scale `numerator / denominator`.
#[pyfunction]
pub fn discrete_laplace<'py>(
    py: Python<'py>,
    rng: &Rng,
    count: usize,
    numerator: u64,
    denominator: u64,
) -> PyResult<Bound<'py, PyAny>> {
    let samples =
        py.detach(|| rng.with(|rng| noise::discrete_laplace(rng, count, numerator, denominator))).map_err(CoreError)?;
    int64_array(py, &samples)
}

/// Return samples of the discrete Gaussian distribution of variance parameter `numerator / denominator`.
#[pyfunction]
pub fn discrete_gaussian<'py>(
    py: Python<'py>,
    rng: &Rng,
    count: usize,
    numerator: u128,
    denominator: u128,
) -> PyResult<Bound<'py, PyAny>> {
    let samples = py
        .detach(|| rng.with(|rng| noise::discrete_gaussian(rng, count, numerator, denominator)))
        .map_err(CoreError)?;
    int64_array(py, &samples)
}
