//! The one error type of the crate.

use thiserror::Error;

/// What every fallible function of the crate returns.
pub type Result<T> = core::result::Result<T, Error>;

/// Why an encoding is not an acceptable group element.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// The identity element: a valid encoding that no honest party sends.
    Identity,
    /// Not the one canonical encoding of an element (RFC 9496, section 4.3.1).
    NotCanonical,
}

impl Reason {
    /// The reason in words, as it stands in an error's text.
    pub fn text(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::NotCanonical => "not canonical",
        }
    }
}

/// Everything that can go wrong in a kernel. No variant holds a secret or an item.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum Error {
    /// The first unacceptable group element of a batch.
    #[error("group element {index} is refused: {}", reason.text())]
    InvalidElement {
        /// Position in the batch, from 0.
        index: usize,
        /// Why it is refused.
        reason: Reason,
    },
    /// Bytes that are not a canonical, nonzero scalar.
    #[error("the bytes are not a canonical nonzero scalar")]
    ScalarEncoding,
    /// An item that is longer than an item may be.
    #[error("item {index} has {length} bytes, more than {limit}")]
    ItemTooLong {
        /// Position in the batch, from 0.
        index: usize,
        /// Its length in bytes.
        length: usize,
        /// The largest allowed length in bytes.
        limit: usize,
    },
    /// A sealed row whose tag was found but whose content does not authenticate.
    #[error("sealed row {index} does not open")]
    RowDoesNotOpen {
        /// Position among the sealed rows, from 0.
        index: usize,
    },
    /// Keys whose rows depend on each other: the store cannot be made, and the run must end.
    #[error("the keys cannot be encoded")]
    EncodingFailed,
    /// Keys that must be distinct are not.
    #[error("two keys are equal")]
    DuplicateKeys,
    /// The operating system's random generator failed.
    #[error("the operating system gave no random bytes")]
    Randomness,
    /// A buffer whose length is not a multiple of its unit.
    #[error("{what} has {length} bytes, not a multiple of {unit}")]
    NotMultiple {
        /// Which buffer.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The unit in bytes.
        unit: usize,
    },
    /// Two arguments that must have the same count do not.
    #[error("{what} has {count} entries where {expected} are needed")]
    CountMismatch {
        /// Which argument.
        what: &'static str,
        /// Its count.
        count: usize,
        /// The count that the other arguments imply.
        expected: usize,
    },
    /// A number outside its range.
    #[error("{what} is {value}, not within {minimum}..={maximum}")]
    OutOfRange {
        /// Which argument.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The smallest allowed value.
        minimum: u64,
        /// The largest allowed value.
        maximum: u64,
    },
    /// A position that names no entry of a batch.
    #[error("{what} name position {index} of a batch of {count}")]
    NoSuchPosition {
        /// Which argument.
        what: &'static str,
        /// The position, from 0.
        index: usize,
        /// The number of entries of the batch.
        count: usize,
    },
    /// Offsets of a column that decrease, are negative, or pass the end of its data.
    #[error("{what}: offset {index} is out of order or past the end of the data")]
    BadOffsets {
        /// Which column.
        what: &'static str,
        /// Position of the first bad offset, from 0.
        index: usize,
    },
    /// Rows of one item are not numbered 1, 2, 3, …
    #[error("row {row}: counters of an item must be 1, 2, 3, … without gap or repetition")]
    RowCounters {
        /// Position of a row with a wrong counter, from 0.
        row: usize,
    },
    /// A message of another party whose length is not the one that both sides derive.
    #[error("{what} has {length} bytes instead of {expected}")]
    MessageLength {
        /// Which message.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The length that the parameters imply.
        expected: usize,
    },
    /// Entries of another party's message that are not in the one order that they may have.
    #[error("{what} are not sorted at position {index}")]
    NotSorted {
        /// Which entries.
        what: &'static str,
        /// Position of the first that is smaller than the one before it, from 0.
        index: usize,
    },
    /// A consistency check that another party's messages failed: it deviates, or the messages were altered.
    #[error("{what}: the consistency check failed")]
    Inconsistent {
        /// Which check.
        what: &'static str,
    },
    /// A step of a protocol's state that does not come next: a caller's mistake.
    #[error("{what} does not come next")]
    OutOfOrder {
        /// Which step.
        what: &'static str,
    },
    /// A result that does not fit into memory.
    #[error("a result of {length} bytes does not fit into memory")]
    OutOfMemory {
        /// Its length in bytes.
        length: usize,
    },
    /// The scale or the variance of a noise that the samplers do not take.
    #[error("noise of {what} {numerator}/{denominator} is not supported")]
    NoiseScale {
        /// Which parameter.
        what: &'static str,
        /// Its numerator.
        numerator: u128,
        /// Its denominator.
        denominator: u128,
    },
    /// A polynomial, or several, of another length than it must have.
    #[error("{what} has {length} bytes where {expected} belong")]
    PolynomialLength {
        /// Which message: `key`, `ciphertext` or `reply`.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The length it must have.
        expected: usize,
    },
    /// A residue that is not below its prime.
    #[error("{what}: coefficient {position} is not reduced modulo prime {prime}")]
    Residue {
        /// Which message: `key`, `ciphertext` or `reply`.
        what: &'static str,
        /// Position of the first such coefficient, from 0.
        position: usize,
        /// Which of the primes, from 0.
        prime: usize,
    },
    /// Another number of ciphertexts than the positions or the columns need.
    #[error("{count} ciphertexts came where {expected} belong")]
    CiphertextCount {
        /// How many came.
        count: usize,
        /// How many belong.
        expected: usize,
    },
    /// Sums that might not be exact, or whose noise might show more than the sum.
    #[error("sums over {positions} positions with weights up to {weight} are too large")]
    SumTooLarge {
        /// Positions that may enter a sum.
        positions: u64,
        /// The largest absolute weight.
        weight: u64,
    },
    /// More decryptions than one key set may give.
    #[error("{count} sums were asked of one key set, which gives at most {limit}")]
    TooManyReleases {
        /// How many were asked for.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Keys or sums that serve once.
    #[error("the {what} were used already")]
    UsedUp {
        /// What was used.
        what: &'static str,
    },
    /// A backend name that does not exist or that this machine cannot run.
    #[error("backend {name:?} does not exist here")]
    UnknownBackend {
        /// The name that was asked for.
        name: String,
    },
    /// A thread count that is not a number within range, or threads that could not be started.
    #[error("{value:?} is not a usable number of threads")]
    Threads {
        /// The setting that was asked for.
        value: String,
    },
}

impl Error {
    /// One sample of every variant, so that a test can prove a map over the variants total.
    pub fn samples() -> Vec<Self> {
        vec![
            Self::InvalidElement { index: 3, reason: Reason::Identity },
            Self::InvalidElement { index: 4, reason: Reason::NotCanonical },
            Self::ScalarEncoding,
            Self::ItemTooLong { index: 1, length: 70_000, limit: 65_535 },
            Self::RowDoesNotOpen { index: 2 },
            Self::EncodingFailed,
            Self::DuplicateKeys,
            Self::Randomness,
            Self::NotMultiple { what: "points", length: 33, unit: 32 },
            Self::CountMismatch { what: "points", count: 1, expected: 2 },
            Self::OutOfRange { what: "length", value: 0, minimum: 1, maximum: 32 },
            Self::NoSuchPosition { what: "groups", index: 7, count: 7 },
            Self::BadOffsets { what: "offsets", index: 1 },
            Self::RowCounters { row: 5 },
            Self::OutOfMemory { length: 1 << 52 },
            Self::NoiseScale { what: "scale", numerator: 1 << 100, denominator: 0 },
            Self::PolynomialLength { what: "ciphertext", length: 1, expected: 172_032 },
            Self::Residue { what: "reply", position: 8191, prime: 3 },
            Self::CiphertextCount { count: 1, expected: 2 },
            Self::SumTooLarge { positions: 1 << 40, weight: 1 },
            Self::TooManyReleases { count: 41, limit: 40 },
            Self::UsedUp { what: "keys" },
            Self::UnknownBackend { name: "abacus".into() },
            Self::Threads { value: "many".into() },
            Self::MessageLength { what: "base point", length: 31, expected: 32 },
            Self::NotSorted { what: "tags", index: 9 },
            Self::Inconsistent { what: "extension" },
            Self::OutOfOrder { what: "answer" },
        ]
    }
}

/// Refuse a number outside `minimum..=maximum`.
pub(crate) fn check_range(what: &'static str, value: usize, minimum: usize, maximum: usize) -> Result<()> {
    if (minimum..=maximum).contains(&value) {
        return Ok(());
    }
    Err(Error::OutOfRange { what, value: value as u64, minimum: minimum as u64, maximum: maximum as u64 })
}

/// Refuse a position that names no entry of a batch of `count`.
pub(crate) fn check_position(what: &'static str, index: usize, count: usize) -> Result<()> {
    if index < count { Ok(()) } else { Err(Error::NoSuchPosition { what, index, count }) }
}

/// Return how many `unit`-byte entries a buffer has; refuse a remainder.
pub(crate) fn count_of(what: &'static str, data: &[u8], unit: usize) -> Result<usize> {
    if unit == 0 || !data.len().is_multiple_of(unit) {
        return Err(Error::NotMultiple { what, length: data.len(), unit });
    }
    Ok(data.len() / unit)
}

/// Refuse an argument whose count is not the expected one.
pub(crate) fn check_count(what: &'static str, count: usize, expected: usize) -> Result<()> {
    if count == expected { Ok(()) } else { Err(Error::CountMismatch { what, count, expected }) }
}

/// Refuse another party's message of another length than both sides derive.
pub(crate) fn check_message(what: &'static str, message: &[u8], expected: usize) -> Result<()> {
    if message.len() == expected {
        return Ok(());
    }
    Err(Error::MessageLength { what, length: message.len(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_hold_every_variant() {
        // A new variant does not compile here until it has a number, and fails until it has a sample.
        let number = |error: &Error| match error {
            Error::InvalidElement { .. } => 0,
            Error::ScalarEncoding => 1,
            Error::ItemTooLong { .. } => 2,
            Error::RowDoesNotOpen { .. } => 3,
            Error::EncodingFailed => 4,
            Error::DuplicateKeys => 5,
            Error::Randomness => 6,
            Error::NotMultiple { .. } => 7,
            Error::CountMismatch { .. } => 8,
            Error::OutOfRange { .. } => 9,
            Error::NoSuchPosition { .. } => 10,
            Error::BadOffsets { .. } => 11,
            Error::RowCounters { .. } => 12,
            Error::OutOfMemory { .. } => 13,
            Error::NoiseScale { .. } => 14,
            Error::PolynomialLength { .. } => 15,
            Error::Residue { .. } => 16,
            Error::CiphertextCount { .. } => 17,
            Error::SumTooLarge { .. } => 18,
            Error::TooManyReleases { .. } => 19,
            Error::UsedUp { .. } => 20,
            Error::UnknownBackend { .. } => 21,
            Error::Threads { .. } => 22,
            Error::MessageLength { .. } => 23,
            Error::NotSorted { .. } => 24,
            Error::Inconsistent { .. } => 25,
            Error::OutOfOrder { .. } => 26,
        };
        let mut numbers: Vec<i32> = Error::samples().iter().map(number).collect();
        numbers.dedup();
        assert_eq!(numbers, (0..27).collect::<Vec<_>>());
    }
}
