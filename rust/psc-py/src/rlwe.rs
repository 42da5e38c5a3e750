//! Packed additive encryption.

use std::sync::{Mutex, MutexGuard, PoisonError};

use psc_core::{backend, rlwe};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::buffers::{Input, array};
use crate::errors::CoreError;
use crate::types::Rng;

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuse sums that might not be exact or not be hidden: return the bound of the flood otherwise.
#[pyfunction]
pub fn rlwe_flood_bound(positions: u64, weight: u64) -> Result<u128, CoreError> {
    Ok(rlwe::flood_bound(positions, weight)?)
}

/// The owner's end of a section: holds the secret keys, shows nothing of them, and wipes them when released or dropped.
#[pyclass(frozen, module = "psc._core")]
pub struct RlweOwner(Mutex<rlwe::SumOwner>);

#[pymethods]
impl RlweOwner {
    #[new]
    fn new(py: Python<'_>, label: Input, section: u64, columns: usize, rng: &Rng) -> Result<Self, CoreError> {
        py.detach(|| {
            let backend = backend::selected()?;
            Ok(Self(Mutex::new(rng.with(|rng| rlwe::SumOwner::new(backend, &label, section, columns, rng))?)))
        })
    }

    /// Return the public keys of the columns.
    fn key_material<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, held(&self.0).public_keys())
    }

    /// Encrypt rows of int64, one value a column; return the ciphertexts block by block.
    fn encrypt<'py>(&self, py: Python<'py>, first_block: u64, values: Input) -> PyResult<Bound<'py, PyList>> {
        let blocks = py.detach(|| held(&self.0).encrypt(first_block, &values.int64("values")?)).map_err(CoreError)?;
        let blocks = blocks.iter().map(|block| PyList::new(py, block.iter().map(|one| PyBytes::new(py, one))));
        PyList::new(py, blocks.collect::<PyResult<Vec<_>>>()?)
    }

    /// Decrypt the replies, once; return uint64, cell by cell.
    fn release<'py>(&self, py: Python<'py>, replies: Vec<Input>) -> PyResult<Bound<'py, PyAny>> {
        let replies: Vec<&[u8]> = replies.iter().map(|reply| &**reply).collect();
        let sums = py.detach(|| held(&self.0).release(&replies)).map_err(CoreError)?;
        array(py, "uint64", sums.iter().map(|sum| sum.to_ne_bytes()))
    }
}

/// The matcher's end of a section: holds the running sums, and wipes them when finished or dropped.
#[pyclass(frozen, module = "psc._core")]
pub struct RlweMatcher(Mutex<rlwe::SumMatcher>);

#[pymethods]
impl RlweMatcher {
    #[new]
    fn new(
        py: Python<'_>,
        label: Input,
        section: u64,
        columns: usize,
        cells: usize,
        key_material: Input,
    ) -> Result<Self, CoreError> {
        py.detach(|| {
            let backend = backend::selected()?;
            let matcher = rlwe::SumMatcher::new(backend, &label, section, columns, cells, &key_material)?;
            Ok(Self(Mutex::new(matcher)))
        })
    }

    /// Add the positions of some blocks: their cells as int32, their weights as int64.
    #[pyo3(signature = (first_block, ciphertexts, cells, weights=None))]
    fn absorb(
        &self,
        py: Python<'_>,
        first_block: u64,
        ciphertexts: Vec<Vec<Input>>,
        cells: Input,
        weights: Option<Input>,
    ) -> Result<(), CoreError> {
        let views = ciphertexts.iter().map(|block| block.iter().map(|one| &**one).collect());
        let views: Vec<Vec<&[u8]>> = views.collect();
        py.detach(|| {
            let cells = cells.int32("cells")?;
            let weights = weights.map(|weights| weights.int64("weights")).transpose()?;
            Ok(held(&self.0).absorb(first_block, &views, &cells, weights.as_deref())?)
        })
    }

    /// Return one reply a cell; offsets are uint64, cell by cell.
    fn finish<'py>(&self, py: Python<'py>, offsets: Input, rng: &Rng) -> PyResult<Bound<'py, PyList>> {
        self.insecure_finish(py, offsets, rng, true, true)
    }

    /// Return replies that lack what hides the choice: for the test that proves that it would notice.
    fn insecure_finish<'py>(
        &self,
        py: Python<'py>,
        offsets: Input,
        rng: &Rng,
        randomise: bool,
        flood: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let replies = py.detach(|| {
            let offsets: Vec<u64> = offsets.int64("offsets")?.iter().map(|offset| *offset as u64).collect();
            rng.with(|rng| held(&self.0).insecure_finish(&offsets, rng, randomise, flood))
        });
        PyList::new(py, replies.map_err(CoreError)?.iter().map(|reply| PyBytes::new(py, reply)))
    }
}
