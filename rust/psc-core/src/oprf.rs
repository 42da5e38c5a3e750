//! The oblivious pseudorandom function of RFC 9497 (base mode), in batches.
//!
//! Blinding is [`crate::group::hash`] with the blind, evaluation is [`crate::group::multiply`] with the key; here is
//! what turns an element into an output, which is a secret.

use rayon::prelude::*;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::backend::Backend;
use crate::error::{Result, check_count, check_range, count_of};
use crate::group::{self, POINT_BYTES, Secret};
use crate::hash::Expander;
use crate::items::Items;
use crate::parallel::{self, CHUNK_ITEMS};
use crate::wide_hash::Block;

/// Bytes of an output.
pub const OUTPUT_BYTES: usize = 64;
/// Bytes at the start of an output that tags are taken from; the others derive keys and are never shown.
pub const TAG_BYTES_MAX: usize = 32;

/// Outputs of the function, 64 secret bytes each.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct OprfOutputs(Vec<u8>);

impl OprfOutputs {
    /// The number of outputs.
    pub fn len(&self) -> usize {
        self.0.len() / OUTPUT_BYTES
    }

    /// Whether there is no output.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Join batches in order.
    pub fn concat(parts: &[&Self]) -> Self {
        let mut all = Vec::with_capacity(parts.iter().map(|part| part.0.len()).sum());
        parts.iter().for_each(|part| all.extend_from_slice(&part.0));
        Self(all)
    }

    /// Outputs in another order: output `i` goes to `positions[i]`, each of which comes once. Panics otherwise.
    pub(crate) fn scatter(outputs: &[Block], positions: impl ExactSizeIterator<Item = u32>) -> Self {
        let mut all = Self(crate::memory::zeros(positions.len() * OUTPUT_BYTES));
        let places = all.0.as_chunks_mut::<OUTPUT_BYTES>().0;
        for (output, position) in outputs.iter().zip(positions) {
            let place = places[position as usize].as_chunks_mut::<4>().0;
            place.iter_mut().zip(output).for_each(|(to, word)| *to = word.to_le_bytes());
        }
        all
    }

    /// The first `length_bytes` (1 to 32) of each output, in order.
    pub fn tags(&self, length_bytes: usize) -> Result<Vec<u8>> {
        check_range("length", length_bytes, 1, TAG_BYTES_MAX)?;
        let mut tags = Vec::with_capacity(self.len() * length_bytes);
        self.0.chunks_exact(OUTPUT_BYTES).for_each(|output| tags.extend_from_slice(&output[..length_bytes]));
        Ok(tags)
    }

    /// The half of an output that derives keys; panics when there is no such output.
    pub(crate) fn key_half(&self, index: usize) -> &[u8] {
        &self.0[index * OUTPUT_BYTES + TAG_BYTES_MAX..(index + 1) * OUTPUT_BYTES]
    }

    /// The raw outputs, for test vectors.
    pub fn insecure_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl ConstantTimeEq for OprfOutputs {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

/// Remove the blind from evaluated points and return the outputs of the items (`Finalize` of RFC 9497).
///
/// `inverse` is the inverse of the blind; `suffix` ends the hash (`Finalize` in the RFC, a bound label in psc).
pub fn unmask(
    backend: &dyn Backend,
    items: &Items,
    points: &[u8],
    inverse: &Secret,
    suffix: &[u8],
) -> Result<OprfOutputs> {
    check_count("points", count_of("points", points, POINT_BYTES)?, items.len())?;
    let mut elements = group::multiply(backend, points, inverse)?;
    let outputs = finalize(backend, items, &elements, suffix);
    elements.zeroize();
    outputs
}

/// Return the outputs of one's own items under one's own key.
pub fn evaluate(
    backend: &dyn Backend,
    expander: &Expander,
    items: &Items,
    key: &Secret,
    suffix: &[u8],
) -> Result<OprfOutputs> {
    let mut elements = group::hash(backend, expander, items, Some(key))?;
    let outputs = finalize(backend, items, &elements, suffix);
    elements.zeroize();
    outputs
}

fn finalize(backend: &dyn Backend, items: &Items, elements: &[u8], suffix: &[u8]) -> Result<OprfOutputs> {
    let mut out = OprfOutputs(vec![0u8; items.len() * OUTPUT_BYTES]);
    let (elements, _) = elements.as_chunks::<POINT_BYTES>();
    parallel::install(|| {
        let (outputs, _) = out.0.as_chunks_mut::<OUTPUT_BYTES>();
        outputs.par_chunks_mut(CHUNK_ITEMS).enumerate().for_each(|(chunk, outputs)| {
            let message = |index: usize, buffer: &mut Vec<u8>| {
                let index = chunk * CHUNK_ITEMS + index;
                append_counted(buffer, items.get(index));
                append_counted(buffer, &elements[index]);
                buffer.extend_from_slice(suffix);
            };
            backend.sha512(&[], &message, outputs);
        });
    })?;
    Ok(out)
}

/// Append the length in two bytes, and the bytes: an element, or an item, which `Items` keeps below 65,536 bytes.
fn append_counted(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    buffer.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Kind;
    use crate::rng::Rng;

    #[test]
    fn both_ways_to_an_output_agree() {
        let backend = Kind::Portable.get();
        let mut rng = Rng::insecure_from_seed(b"oprf");
        let (key, blind) = (rng.scalar(), rng.scalar());
        let items = Items::from_slices([&b"a"[..], b"", b"bc"].into_iter()).unwrap();
        let expander = Expander::new(b"test").unwrap();
        let blinded = group::hash(backend, &expander, &items, Some(&blind)).unwrap();
        let evaluated = group::multiply(backend, &blinded, &key).unwrap();
        let received = unmask(backend, &items, &evaluated, &blind.inverse(), b"end").unwrap();
        let own = evaluate(backend, &expander, &items, &key, b"end").unwrap();
        assert!(bool::from(received.ct_eq(&own)));
        assert!(!bool::from(received.ct_eq(&evaluate(backend, &expander, &items, &key, b"and").unwrap())));
        assert!(unmask(backend, &items, &evaluated[32..], &blind, b"end").is_err());
        let (first, rest) = (items.slice(0, 1).unwrap(), items.slice(1, 3).unwrap());
        let first = evaluate(backend, &expander, &first, &key, b"end").unwrap();
        let rest = evaluate(backend, &expander, &rest, &key, b"end").unwrap();
        assert!(bool::from(OprfOutputs::concat(&[&first, &rest]).ct_eq(&own)));
        let whole = own.insecure_bytes();
        assert_eq!(own.tags(2).unwrap(), [&whole[..2], &whole[64..66], &whole[128..130]].concat());
        assert_eq!(own.key_half(1), &whole[96..128]);
        assert!(own.tags(0).is_err() && own.tags(33).is_err());
    }
}
