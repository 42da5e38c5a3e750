//! The batched functions.

use psc_core::hash::Expander;
use psc_core::rows::{Rows, Shape};
use psc_core::{Error, backend, group, oprf, phone, rows, tags};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::buffers::{Input, Offsets, int64_array, uint32_array};
use crate::errors::{CoreError, to_exception};
use crate::types::{Items, OprfOutputs, Rng, Scalar};

type Array<'py> = Bound<'py, PyAny>;

/// Return the name of the backend in use.
#[pyfunction]
pub fn backend_name() -> Result<&'static str, CoreError> {
    Ok(backend::selected()?.name())
}

/// Return `length_bytes` uniform bytes for a message (RFC 9380, section 5.3.1, SHA-512).
#[pyfunction]
pub fn expand_message_xmd<'py>(
    py: Python<'py>,
    message: Input,
    dst: Input,
    length_bytes: usize,
) -> Result<Bound<'py, PyBytes>, CoreError> {
    Ok(PyBytes::new(py, &Expander::new(&dst)?.expand(&message, length_bytes)?))
}

/// Return the encodings of `H(item)·scalar` under a domain separation tag, or of `H(item)` without a scalar.
#[pyfunction]
#[pyo3(signature = (items, dst, scalar=None))]
pub fn hash_to_group<'py>(
    py: Python<'py>,
    items: &Items,
    dst: Input,
    scalar: Option<&Scalar>,
) -> Result<Bound<'py, PyBytes>, CoreError> {
    let out = py.detach(|| {
        group::hash(backend::selected()?, &Expander::new(&dst)?, &items.0, scalar.map(|scalar| &scalar.0))
    })?;
    Ok(PyBytes::new(py, &out))
}

/// Map every 64 uniform bytes to an element (RFC 9496, section 4.3.4): for test vectors.
#[pyfunction]
pub fn derive<'py>(py: Python<'py>, uniform: Input) -> Result<Bound<'py, PyBytes>, CoreError> {
    Ok(PyBytes::new(py, &group::derive(backend::selected()?, &uniform)?))
}

/// Decode every point, multiply it by the scalar, and return the encodings.
#[pyfunction]
pub fn mask<'py>(py: Python<'py>, points: Input, scalar: &Scalar) -> Result<Bound<'py, PyBytes>, CoreError> {
    let out = py.detach(|| group::multiply(backend::selected()?, &points, &scalar.0))?;
    Ok(PyBytes::new(py, &out))
}

/// Refuse the first point that is the identity or not canonically encoded.
#[pyfunction]
pub fn check(py: Python<'_>, points: Input) -> Result<(), CoreError> {
    Ok(py.detach(|| group::check(backend::selected()?, &points))?)
}

/// Remove the blind from evaluated points and return the outputs of the items.
#[pyfunction]
pub fn unmask(
    py: Python<'_>,
    items: &Items,
    points: Input,
    scalar_inverse: &Scalar,
    suffix: Input,
) -> Result<OprfOutputs, CoreError> {
    let outputs = py.detach(|| oprf::unmask(backend::selected()?, &items.0, &points, &scalar_inverse.0, &suffix))?;
    Ok(OprfOutputs(outputs))
}

/// Return the outputs of one's own items under one's own key.
#[pyfunction]
pub fn evaluate_items(
    py: Python<'_>,
    items: &Items,
    key: &Scalar,
    dst: Input,
    suffix: Input,
) -> Result<OprfOutputs, CoreError> {
    let outputs =
        py.detach(|| oprf::evaluate(backend::selected()?, &Expander::new(&dst)?, &items.0, &key.0, &suffix))?;
    Ok(OprfOutputs(outputs))
}

/// Return the first `length_bytes` of a hash of each point under a label.
#[pyfunction]
pub fn point_tags<'py>(
    py: Python<'py>,
    points: Input,
    label: Input,
    length_bytes: usize,
) -> Result<Bound<'py, PyBytes>, CoreError> {
    let out = py.detach(|| tags::of_points(&points, &label, length_bytes))?;
    Ok(PyBytes::new(py, &out))
}

/// Return the tags in sorted order, and that order.
#[pyfunction]
#[pyo3(name = "sort_tags")]
pub fn sort_tags<'py>(
    py: Python<'py>,
    tags: Input,
    length_bytes: usize,
) -> PyResult<(Bound<'py, PyBytes>, Array<'py>)> {
    let (sorted, order) = py.detach(|| tags::sort(&tags, length_bytes)).map_err(CoreError)?;
    Ok((PyBytes::new(py, &sorted), uint32_array(py, &order)?))
}

/// For each needle return the first position of an equal tag in the haystack, or -1.
#[pyfunction]
pub fn find_tags<'py>(py: Python<'py>, needles: Input, haystack: Input, length_bytes: usize) -> PyResult<Array<'py>> {
    let found = py.detach(|| tags::find(&needles, &haystack, length_bytes)).map_err(CoreError)?;
    int64_array(py, &found)
}

/// Return the number of distinct tags that stand on both sides.
#[pyfunction]
pub fn count_common(py: Python<'_>, a: Input, b: Input, length_bytes: usize) -> Result<usize, CoreError> {
    Ok(py.detach(|| tags::count_common(&a, &b, length_bytes))?)
}

/// Seal rows under the outputs of their items and pad them with dummies to `total`, sorted by tag.
#[pyfunction]
#[pyo3(signature = (outputs, groups, counters, payloads, width, tag_bytes, label, rng, total))]
#[allow(clippy::too_many_arguments, reason = "the Python signature")]
pub fn seal_rows<'py>(
    py: Python<'py>,
    outputs: &OprfOutputs,
    groups: Input,
    counters: Input,
    payloads: Input,
    width: usize,
    tag_bytes: usize,
    label: Input,
    rng: &Rng,
    total: usize,
) -> Result<Bound<'py, PyBytes>, CoreError> {
    let entries = py.detach(|| {
        let (groups, counters) = (groups.uint32("groups")?, counters.uint32("counters")?);
        let plain = Rows { groups: &groups, counters: &counters, payloads: &payloads };
        let shape = Shape::new(width, tag_bytes)?;
        rng.with(|rng| rows::seal(&outputs.0, &plain, shape, &label, rng, total))
    })?;
    Ok(PyBytes::new(py, &entries))
}

/// Open the rows of the items `indices`; an item's rows end at the first number that is missing.
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "the Python signature")]
pub fn open_rows<'py>(
    py: Python<'py>,
    outputs: &OprfOutputs,
    indices: Input,
    entries: Input,
    width: usize,
    tag_bytes: usize,
    max_rows: u32,
    label: Input,
) -> PyResult<(Array<'py>, Array<'py>, Bound<'py, PyBytes>)> {
    let opened = py.detach(|| {
        let shape = Shape::new(width, tag_bytes)?;
        rows::open(&outputs.0, &indices.uint32("indices")?, &entries, shape, max_rows, &label)
    });
    let opened = opened.map_err(CoreError)?;
    Ok((uint32_array(py, &opened.items)?, uint32_array(py, &opened.counters)?, PyBytes::new(py, &opened.payloads)))
}

/// Write clean Chinese mobile numbers as E.164 and say which rows are left to the caller.
#[pyfunction]
pub fn normalise_mobiles<'py>(
    py: Python<'py>,
    offsets: Offsets,
    data: Input,
    prefix_table: Input,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let done = py.detach(move || phone::normalise(&offsets.get()?, &data, &prefix_table));
    let phone::Normalised { status, offsets, data } = done.map_err(CoreError)?;
    let status = PyBytes::new(py, &status);
    let digits = PyBytes::new(py, &data);
    drop(data);
    let ends = PyBytes::new_with(py, offsets.len() * 8, |out| {
        let words = out.as_chunks_mut::<8>().0.iter_mut();
        words.zip(&offsets).for_each(|(to, offset)| *to = offset.to_ne_bytes());
        Ok(())
    })?;
    Ok((status, ends, digits))
}

/// Have memory for large buffers ready soon: a thread gets so many bytes from the system.
#[pyfunction]
pub fn prepare_memory(bytes: usize) {
    psc_core::memory::prepare(bytes);
}

/// Give memory that nothing uses back to the system, when no kernel needs it soon.
#[pyfunction]
pub fn release_memory(py: Python<'_>) {
    py.detach(psc_core::memory::release);
}

/// Return one exception of every kind that the core can raise, for the test of the error map.
#[pyfunction]
pub fn sample_errors(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let exceptions = Error::samples().iter().map(|error| to_exception(py, error)).collect::<PyResult<Vec<_>>>()?;
    PyList::new(py, exceptions)
}
