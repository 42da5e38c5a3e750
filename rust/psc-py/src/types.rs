//! Opaque types that Rust owns. None shows its content; all are zeroised when dropped.

use std::sync::{Mutex, MutexGuard, PoisonError};

use psc_core::{group, items, oprf, rng};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use subtle::ConstantTimeEq;

use crate::buffers::{Input, Offsets, uint32_array};
use crate::errors::CoreError;

/// A cryptographic random generator (ChaCha20), seeded by the operating system.
#[pyclass(frozen, module = "psc._core")]
pub struct Rng(pub Mutex<rng::Rng>);

impl Rng {
    /// Use the generator; threads that share one take turns.
    pub fn with<R>(&self, use_it: impl FnOnce(&mut rng::Rng) -> R) -> R {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl Rng {
    /// Return a generator that is seeded by the operating system.
    #[staticmethod]
    fn system() -> Result<Self, CoreError> {
        Ok(Self(Mutex::new(rng::Rng::system()?)))
    }

    /// Return a generator whose whole output follows from the seed: for tests and golden transcripts only.
    #[staticmethod]
    fn insecure_from_seed(seed: Input) -> Self {
        Self(Mutex::new(rng::Rng::insecure_from_seed(&seed)))
    }

    /// Return `count` random bytes.
    fn bytes<'py>(&self, py: Python<'py>, count: usize) -> PyResult<Bound<'py, PyBytes>> {
        PyBytes::new_with(py, count, |out| {
            self.with(|rng| rng.fill(out));
            Ok(())
        })
    }

    /// Return a uniform nonzero scalar.
    fn scalar(&self) -> Scalar {
        Scalar(self.with(rng::Rng::scalar))
    }

    /// Return a uniform permutation of `0..count` as a uint32 array.
    fn permutation<'py>(&self, py: Python<'py>, count: usize) -> PyResult<Bound<'py, PyAny>> {
        let order = py.detach(|| self.with(|rng| rng.permutation(count))).map_err(CoreError)?;
        uint32_array(py, &order)
    }
}

/// A secret nonzero scalar of ristretto255; equality takes constant time.
#[pyclass(frozen, module = "psc._core")]
pub struct Scalar(pub group::Secret);

#[pymethods]
impl Scalar {
    /// Read 32 bytes: a canonical nonzero scalar, little-endian. For test vectors only.
    #[staticmethod]
    fn insecure_from_bytes(data: Input) -> Result<Self, CoreError> {
        Ok(Self(group::Secret::insecure_from_bytes(&data)?))
    }

    /// Return the multiplicative inverse.
    fn inverse(&self) -> Self {
        Self(self.0.inverse())
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// One key column as `Items.encode` takes it: any object with these attributes.
#[derive(FromPyObject)]
pub struct KeyCells {
    tag: Input,
    offsets: Offsets,
    data: Input,
}

/// Use columns as views of their buffers.
fn encoded<R>(
    columns: Vec<KeyCells>,
    use_them: impl FnOnce(&[items::Column<'_>]) -> psc_core::Result<R>,
) -> Result<R, CoreError> {
    let columns = columns.into_iter().map(|column| Ok((column.tag, column.offsets.get()?, column.data)));
    let columns = columns.collect::<psc_core::Result<Vec<_>>>()?;
    let views = columns.iter().map(|(tag, offsets, data)| items::Column { tag, offsets, data });
    Ok(use_them(&views.collect::<Vec<_>>())?)
}

/// Items in the making: batches of rows, one after the other.
#[pyclass(frozen, module = "psc._core")]
pub struct ItemsBuilder(Mutex<items::Builder>);

impl ItemsBuilder {
    fn held(&self) -> MutexGuard<'_, items::Builder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl ItemsBuilder {
    /// Begin; of `expected` rows in all the room is guessed that is made at once.
    #[new]
    fn new(expected: usize) -> Self {
        Self(Mutex::new(items::Builder::new(expected)))
    }

    /// Encode the rows of one or more key columns behind those before: what is left of `seen` of the expected rows.
    #[pyo3(signature = (columns, seen=0))]
    fn add(&self, py: Python<'_>, columns: Vec<KeyCells>, seen: usize) -> Result<(), CoreError> {
        py.detach(|| encoded(columns, |views| self.held().add(views, seen)))
    }

    /// Return the items so far and begin again with none.
    fn finish(&self) -> Items {
        Items(std::mem::replace(&mut *self.held(), items::Builder::new(0)).finish())
    }
}

/// An opaque batch of items: the byte strings that stand for keys.
#[pyclass(frozen, module = "psc._core")]
pub struct Items(pub items::Items);

#[pymethods]
impl Items {
    /// Encode the rows of one or more key columns injectively, each column under the tag of its kind.
    #[staticmethod]
    fn encode(py: Python<'_>, columns: Vec<KeyCells>) -> Result<Self, CoreError> {
        py.detach(|| encoded(columns, |views| Ok(Self(items::Items::encode(views)?))))
    }

    /// Take byte strings as they are: for tests and vectors.
    #[staticmethod]
    fn from_list(items: Vec<Input>) -> Result<Self, CoreError> {
        Ok(Self(items::Items::from_slices(items.iter().map(|item| &**item))?))
    }

    /// Return the items of several batches, one batch after the other.
    #[staticmethod]
    fn concat(parts: Vec<PyRef<'_, Self>>) -> Result<Self, CoreError> {
        let parts: Vec<&items::Items> = parts.iter().map(|part| &part.0).collect();
        Ok(Self(items::Items::concat(&parts)?))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// Return the items `start..stop`, without copying.
    fn slice(&self, start: usize, stop: usize) -> Result<Self, CoreError> {
        Ok(Self(self.0.slice(start, stop)?))
    }

    /// Return the items and after them dummies of 32 random bytes, `total` together.
    fn padded(&self, py: Python<'_>, total: usize, rng: &Rng) -> Result<Self, CoreError> {
        py.detach(|| Ok(Self(rng.with(|rng| self.0.padded(total, rng))?)))
    }

    /// Return the positions of the items shard after shard, and where each shard ends among them (both uint32).
    fn split<'py>(
        &self,
        py: Python<'py>,
        context: Input,
        shards: usize,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let (order, ends) = py.detach(|| self.0.split(&context, shards)).map_err(CoreError)?;
        Ok((uint32_array(py, &order)?, uint32_array(py, &ends)?))
    }

    /// Return the items at some positions (uint32), in that order.
    fn take(&self, py: Python<'_>, positions: Input) -> Result<Self, CoreError> {
        py.detach(|| Ok(Self(self.0.take(&positions.uint32("positions")?)?)))
    }

    /// Return the distinct items in order of first appearance, and for each item the position of its equal among them.
    fn distinct<'py>(&self, py: Python<'py>) -> PyResult<(Self, Bound<'py, PyAny>)> {
        let (distinct, groups) = py.detach(|| self.0.distinct()).map_err(CoreError)?;
        Ok((Self(distinct), uint32_array(py, &groups)?))
    }

    /// Return the bytes of one item.
    fn get<'py>(&self, py: Python<'py>, index: usize) -> Result<Bound<'py, PyBytes>, CoreError> {
        let one = self.0.slice(index, index.saturating_add(1))?;
        Ok(PyBytes::new(py, one.get(0)))
    }

    /// Return SHA-256 over a salt and all items in order.
    fn digest<'py>(&self, py: Python<'py>, salt: Input) -> Bound<'py, PyBytes> {
        let digest = py.detach(|| self.0.digest(&salt));
        PyBytes::new(py, &digest)
    }
}

/// Opaque secret outputs of the pseudorandom function, 64 bytes each; equality takes constant time.
#[pyclass(frozen, module = "psc._core")]
pub struct OprfOutputs(pub oprf::OprfOutputs);

#[pymethods]
impl OprfOutputs {
    /// Join batches in order.
    #[staticmethod]
    fn concat(parts: Vec<PyRef<'_, Self>>) -> Self {
        let parts: Vec<&oprf::OprfOutputs> = parts.iter().map(|part| &part.0).collect();
        Self(oprf::OprfOutputs::concat(&parts))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Return the first `length_bytes` (1 to 32) of each output, in order.
    fn tags<'py>(&self, py: Python<'py>, length_bytes: usize) -> Result<Bound<'py, PyBytes>, CoreError> {
        Ok(PyBytes::new(py, &self.0.tags(length_bytes)?))
    }

    /// Return the raw outputs: for test vectors only.
    fn insecure_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.insecure_bytes())
    }
}
