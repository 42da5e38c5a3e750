//! Bytes in and out. An immutable `bytes` is borrowed; any other buffer is copied, since Python may change it while the
//! GIL is released.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};
use std::ops::Deref;

/// A C-contiguous buffer of any element type, as bytes.
pub enum Input {
    /// The bytes of a Python `bytes`.
    Borrowed(PyBackedBytes),
    /// A copy of another buffer.
    Copied(Vec<u8>),
}

impl Deref for Input {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Input {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyBytes>() {
            return Ok(Self::Borrowed(object.extract::<PyBackedBytes>()?));
        }
        if let Ok(array) = object.cast::<PyByteArray>() {
            return Ok(Self::Copied(array.to_vec()));
        }
        let view = PyMemoryView::from(&object)?;
        if view.getattr("nbytes")?.extract::<usize>()? == 0 {
            return Ok(Self::Copied(Vec::new()));
        }
        let flat = view.call_method1("cast", ("B",))?;
        Ok(Self::Copied(PyBuffer::<u8>::get(&flat)?.to_vec(object.py())?))
    }
}

/// Offsets: a copy of a buffer of 64-bit integers, or of bytes that are such.
pub struct Offsets(psc_core::Result<Vec<i64>>);

impl<'a, 'py> FromPyObject<'a, 'py> for Offsets {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match PyBuffer::<i64>::get(&object) {
            Ok(words) if words.is_c_contiguous() => Ok(Self(Ok(words.to_vec(object.py())?))),
            _ => Ok(Self(object.extract::<Input>()?.int64("offsets"))),
        }
    }
}

impl Offsets {
    /// The integers.
    pub fn get(self) -> psc_core::Result<Vec<i64>> {
        self.0
    }
}

impl Input {
    /// Read native 64-bit integers.
    pub fn int64(&self, what: &'static str) -> psc_core::Result<Vec<i64>> {
        Ok(self.words::<8>(what)?.iter().map(|word| i64::from_ne_bytes(*word)).collect())
    }

    /// Read native unsigned 32-bit integers.
    pub fn uint32(&self, what: &'static str) -> psc_core::Result<Vec<u32>> {
        Ok(self.words::<4>(what)?.iter().map(|word| u32::from_ne_bytes(*word)).collect())
    }

    /// Read native 32-bit integers.
    pub fn int32(&self, what: &'static str) -> psc_core::Result<Vec<i32>> {
        Ok(self.words::<4>(what)?.iter().map(|word| i32::from_ne_bytes(*word)).collect())
    }

    fn words<const N: usize>(&self, what: &'static str) -> psc_core::Result<&[[u8; N]]> {
        match self.as_chunks::<N>() {
            (words, []) => Ok(words),
            _ => Err(psc_core::Error::NotMultiple { what, length: self.len(), unit: N }),
        }
    }
}

/// A read-only numpy array over the values' bytes.
pub fn array<'py, const N: usize>(
    py: Python<'py>,
    dtype: &str,
    values: impl ExactSizeIterator<Item = [u8; N]>,
) -> PyResult<Bound<'py, PyAny>> {
    let bytes = PyBytes::new_with(py, values.len() * N, |out| {
        out.as_chunks_mut::<N>().0.iter_mut().zip(values).for_each(|(to, value)| *to = value);
        Ok(())
    })?;
    py.import("numpy")?.call_method1("frombuffer", (bytes, dtype))
}

/// A numpy array of unsigned 32-bit integers.
pub fn uint32_array<'py>(py: Python<'py>, values: &[u32]) -> PyResult<Bound<'py, PyAny>> {
    array(py, "uint32", values.iter().map(|value| value.to_ne_bytes()))
}

/// A numpy array of 64-bit integers.
pub fn int64_array<'py>(py: Python<'py>, values: &[i64]) -> PyResult<Bound<'py, PyAny>> {
    array(py, "int64", values.iter().map(|value| value.to_ne_bytes()))
}
