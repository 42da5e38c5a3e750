//! The one map from the core's errors to the classes of `psc.errors`.

use psc_core::Error;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// An error on its way to Python.
pub struct CoreError(pub Error);

impl From<Error> for CoreError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<CoreError> for PyErr {
    fn from(error: CoreError) -> Self {
        Python::attach(|py| match to_exception(py, &error.0) {
            Ok(exception) => PyErr::from_value(exception),
            Err(failed) => failed,
        })
    }
}

/// Make the exception that stands for a core error.
pub fn to_exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    let (class, code) = match error {
        Error::InvalidElement { index, reason } => {
            fields.set_item("index", index)?;
            fields.set_item("reason", reason.text())?;
            ("InvalidElementError", "crypto.invalid-element")
        }
        Error::ScalarEncoding => ("EncodingError", "crypto.scalar-not-canonical"),
        Error::ItemTooLong { index, length, limit } => {
            fields.set_item("index", index)?;
            fields.set_item("length_bytes", length)?;
            fields.set_item("limit_bytes", limit)?;
            ("EncodingError", "crypto.item-too-long")
        }
        Error::RowDoesNotOpen { index } => {
            fields.set_item("index", index)?;
            ("DecryptionError", "crypto.row-does-not-open")
        }
        Error::EncodingFailed => ("CryptoError", "crypto.keys-not-encoded"),
        Error::DuplicateKeys => ("EncodingError", "crypto.equal-keys"),
        Error::Randomness => ("RandomnessError", "crypto.no-randomness"),
        Error::NotMultiple { what, length, unit } => {
            fields.set_item("what", what)?;
            fields.set_item("length_bytes", length)?;
            fields.set_item("unit_bytes", unit)?;
            ("UsageError", "crypto.not-multiple")
        }
        Error::CountMismatch { what, count, expected } => {
            fields.set_item("what", what)?;
            fields.set_item("count", count)?;
            fields.set_item("expected", expected)?;
            ("UsageError", "crypto.count-mismatch")
        }
        Error::OutOfRange { what, value, minimum, maximum } => {
            fields.set_item("what", what)?;
            fields.set_item("value", value)?;
            fields.set_item("minimum", minimum)?;
            fields.set_item("maximum", maximum)?;
            ("UsageError", "crypto.out-of-range")
        }
        Error::NoSuchPosition { what, index, count } => {
            fields.set_item("what", what)?;
            fields.set_item("index", index)?;
            fields.set_item("count", count)?;
            ("UsageError", "crypto.no-such-position")
        }
        Error::BadOffsets { what, index } => {
            fields.set_item("what", what)?;
            fields.set_item("index", index)?;
            ("UsageError", "crypto.bad-offsets")
        }
        Error::RowCounters { row } => {
            fields.set_item("row", row)?;
            ("UsageError", "crypto.row-counters")
        }
        Error::OutOfMemory { length } => {
            fields.set_item("length_bytes", length)?;
            ("UsageError", "crypto.out-of-memory")
        }
        Error::NoiseScale { what, numerator, denominator } => {
            fields.set_item("what", what)?;
            fields.set_item("numerator", numerator)?;
            fields.set_item("denominator", denominator)?;
            ("UsageError", "crypto.noise-scale")
        }
        Error::PolynomialLength { what, length, expected } => {
            fields.set_item("what", what)?;
            fields.set_item("length_bytes", length)?;
            fields.set_item("expected_bytes", expected)?;
            ("MalformedMessageError", "crypto.polynomial-length")
        }
        Error::Residue { what, position, prime } => {
            fields.set_item("what", what)?;
            fields.set_item("position", position)?;
            fields.set_item("prime", prime)?;
            ("MalformedMessageError", "crypto.residue-not-canonical")
        }
        Error::CiphertextCount { count, expected } => {
            fields.set_item("count", count)?;
            fields.set_item("expected", expected)?;
            ("MalformedMessageError", "crypto.ciphertext-count")
        }
        Error::SumTooLarge { positions, weight } => {
            fields.set_item("positions", positions)?;
            fields.set_item("weight", weight)?;
            ("CryptoError", "crypto.sum-too-large")
        }
        Error::TooManyReleases { count, limit } => {
            fields.set_item("count", count)?;
            fields.set_item("limit", limit)?;
            ("LimitExceededError", "crypto.too-many-releases")
        }
        Error::UsedUp { what } => {
            fields.set_item("what", what)?;
            ("UsageError", "crypto.used-up")
        }
        Error::UnknownBackend { name } => {
            fields.set_item("name", name)?;
            ("UsageError", "crypto.unknown-backend")
        }
        Error::Threads { value } => {
            fields.set_item("value", value)?;
            ("UsageError", "crypto.bad-threads")
        }
        Error::MessageLength { what, length, expected } => {
            fields.set_item("what", what)?;
            fields.set_item("length_bytes", length)?;
            fields.set_item("expected_bytes", expected)?;
            ("MalformedMessageError", "crypto.message-length")
        }
        Error::NotSorted { what, index } => {
            fields.set_item("what", what)?;
            fields.set_item("index", index)?;
            ("MalformedMessageError", "crypto.not-sorted")
        }
        Error::Inconsistent { what } => {
            fields.set_item("what", what)?;
            ("RemoteProtocolError", "crypto.inconsistent")
        }
        Error::OutOfOrder { what } => {
            fields.set_item("what", what)?;
            ("LocalProtocolError", "crypto.out-of-order")
        }
    };
    py.import("psc.errors")?.getattr(class)?.call((code,), Some(&fields))
}
