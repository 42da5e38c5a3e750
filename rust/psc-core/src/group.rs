//! The prime-order group ristretto255 (RFC 9496) in batches, and its secret scalars.

use curve25519_dalek::scalar::Scalar;
use rayon::prelude::*;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::backend::{Backend, BadPoint, Scalars};
use crate::error::{Error, Result, check_count, count_of};
use crate::hash::{Expander, Uniform};
use crate::items::Items;
use crate::parallel::{self, CHUNK_ITEMS};

/// Bytes of an encoded element.
pub const POINT_BYTES: usize = 32;
/// The canonical encoding of an element.
pub type Encoding = [u8; POINT_BYTES];

/// A secret nonzero scalar, beside its half (which the batched encoding multiplies by).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret {
    scalar: Scalar,
    half: Scalar,
}

impl Secret {
    fn own(scalar: Scalar) -> Option<Self> {
        (scalar != Scalar::ZERO).then(|| Self { half: scalar.div_by_2(), scalar })
    }

    /// Reduce 64 uniform bytes; nothing for zero, which is as rare as guessing a key.
    pub(crate) fn from_wide(wide: &[u8; 64]) -> Option<Self> {
        Self::own(Scalar::from_bytes_mod_order_wide(wide))
    }

    /// Read a canonical nonzero scalar, for test vectors.
    pub fn insecure_from_bytes(bytes: &[u8]) -> Result<Self> {
        let array = <[u8; 32]>::try_from(bytes).map_err(|_| Error::ScalarEncoding)?;
        Option::from(Scalar::from_canonical_bytes(array)).and_then(Self::own).ok_or(Error::ScalarEncoding)
    }

    /// The multiplicative inverse.
    pub fn inverse(&self) -> Self {
        let scalar = self.scalar.invert();
        Self { half: scalar.div_by_2(), scalar }
    }

    /// Half of the scalar: what a batch multiplies by before it encodes doubles.
    pub(crate) fn half(&self) -> &Scalar {
        &self.half
    }
}

impl ConstantTimeEq for Secret {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.scalar.ct_eq(&other.scalar)
    }
}

/// Return the encodings of `H(item)·scalar`, or of `H(item)` without a scalar, 32 bytes an item.
///
/// `H` is `expand_message_xmd` (SHA-512, 64 bytes) and the derivation of RFC 9496, section 4.3.4: `HashToGroup` of
/// RFC 9497 under the expander's tag.
pub fn hash(backend: &dyn Backend, expander: &Expander, items: &Items, scalar: Option<&Secret>) -> Result<Vec<u8>> {
    hash_by(backend, expander, items, scalar.map(Scalars::One))
}

/// Return the encodings of `H(item)·scalar` with a scalar of its own for each item, 32 bytes an item.
pub fn hash_each(backend: &dyn Backend, expander: &Expander, items: &Items, scalars: &[Secret]) -> Result<Vec<u8>> {
    check_count("scalars", scalars.len(), items.len())?;
    hash_by(backend, expander, items, Some(Scalars::Each(scalars)))
}

fn hash_by(backend: &dyn Backend, expander: &Expander, items: &Items, scalars: Option<Scalars<'_>>) -> Result<Vec<u8>> {
    let mut out = vec![0u8; items.len() * POINT_BYTES];
    parallel::install(|| {
        let (encodings, _) = out.as_chunks_mut::<POINT_BYTES>();
        encodings.par_chunks_mut(CHUNK_ITEMS).enumerate().for_each(|(chunk, to)| {
            let (first, count) = (chunk * CHUNK_ITEMS, to.len());
            let uniform = Zeroizing::new(expander.expand_items(backend, items, first, count));
            backend.derive(&uniform, scalars.map(|scalars| scalars.slice(first, count)), to);
        });
    })?;
    Ok(out)
}

/// Map every 64 uniform bytes to an element (RFC 9496, section 4.3.4) and return the encodings: for test vectors.
pub fn derive(backend: &dyn Backend, uniform: &[u8]) -> Result<Vec<u8>> {
    let count = count_of("uniform", uniform, size_of::<Uniform>())?;
    let mut out = vec![0u8; count * POINT_BYTES];
    backend.derive(uniform.as_chunks().0, None, out.as_chunks_mut().0);
    Ok(out)
}

/// Decode every point, multiply it by the scalar, and return the encodings.
///
/// The first point that is the identity or not canonical is refused with its position.
pub fn multiply(backend: &dyn Backend, points: &[u8], scalar: &Secret) -> Result<Vec<u8>> {
    multiply_by(backend, points, Scalars::One(scalar))
}

/// Decode every point, multiply it by a scalar of its own, and return the encodings; bad points as in [`multiply`].
pub fn multiply_each(backend: &dyn Backend, points: &[u8], scalars: &[Secret]) -> Result<Vec<u8>> {
    check_count("scalars", scalars.len(), count_of("points", points, POINT_BYTES)?)?;
    multiply_by(backend, points, Scalars::Each(scalars))
}

fn multiply_by(backend: &dyn Backend, points: &[u8], scalars: Scalars<'_>) -> Result<Vec<u8>> {
    count_of("points", points, POINT_BYTES)?;
    let mut out = vec![0u8; points.len()];
    let (from, _) = points.as_chunks::<POINT_BYTES>();
    first_bad(parallel::install(|| {
        let (to, _) = out.as_chunks_mut::<POINT_BYTES>();
        to.par_chunks_mut(CHUNK_ITEMS)
            .zip(from.par_chunks(CHUNK_ITEMS))
            .enumerate()
            .filter_map(|(chunk, (to, from))| {
                let scalars = scalars.slice(chunk * CHUNK_ITEMS, from.len());
                in_batch(chunk, backend.multiply(from, scalars, to))
            })
            .min()
    })?)?;
    Ok(out)
}

/// Refuse the first point that is the identity or not canonically encoded.
pub fn check(backend: &dyn Backend, points: &[u8]) -> Result<()> {
    count_of("points", points, POINT_BYTES)?;
    let (from, _) = points.as_chunks::<POINT_BYTES>();
    first_bad(parallel::install(|| {
        let chunks = from.par_chunks(CHUNK_ITEMS).enumerate();
        chunks.filter_map(|(chunk, from)| in_batch(chunk, backend.check(from))).min()
    })?)
}

fn in_batch(chunk: usize, done: core::result::Result<(), BadPoint>) -> Option<BadPoint> {
    done.err().map(|(index, reason)| (chunk * CHUNK_ITEMS + index, reason))
}

fn first_bad(bad: Option<BadPoint>) -> Result<()> {
    bad.map_or(Ok(()), |(index, reason)| Err(Error::InvalidElement { index, reason }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Kind;
    use crate::rng::Rng;

    #[test]
    fn masks_commute_and_inverses_undo() {
        let backend = Kind::Portable.get();
        let mut rng = Rng::insecure_from_seed(b"algebra");
        let (a, b) = (rng.scalar(), rng.scalar());
        let texts: Vec<String> = (0..CHUNK_ITEMS * 2 + 3).map(|index| index.to_string()).collect();
        let items = Items::from_slices(texts.iter().map(String::as_bytes)).unwrap();
        let expander = Expander::new(b"test").unwrap();
        let points = hash(backend, &expander, &items, None).unwrap();
        let masked = hash(backend, &expander, &items, Some(&a)).unwrap();
        assert_eq!(multiply(backend, &points, &a).unwrap(), masked);
        let both = multiply(backend, &masked, &b).unwrap();
        assert_eq!(both, multiply(backend, &multiply(backend, &points, &b).unwrap(), &a).unwrap());
        assert_eq!(multiply(backend, &both, &b.inverse()).unwrap(), masked);
    }

    #[test]
    fn each_element_has_its_own_scalar() {
        let mut rng = Rng::insecure_from_seed(b"each");
        let count = CHUNK_ITEMS * 2 + 11;
        let scalars: Vec<Secret> = (0..count).map(|_| rng.scalar()).collect();
        let texts: Vec<String> = (0..count).map(|index| index.to_string()).collect();
        let items = Items::from_slices(texts.iter().map(String::as_bytes)).unwrap();
        let expander = Expander::new(b"test").unwrap();
        for kind in Kind::available() {
            let backend = kind.get();
            let points = hash(backend, &expander, &items, None).unwrap();
            let masked = hash_each(backend, &expander, &items, &scalars).unwrap();
            assert_eq!(multiply_each(backend, &points, &scalars).unwrap(), masked);
            let singly =
                points.chunks(32).zip(&scalars).map(|(point, scalar)| multiply(backend, point, scalar).unwrap());
            assert_eq!(singly.collect::<Vec<_>>().concat(), masked);
            assert!(hash_each(backend, &expander, &items, &scalars[1..]).is_err());
            assert!(multiply_each(backend, &points[32..], &scalars).is_err());
        }
    }

    #[test]
    fn the_first_bad_point_of_several_chunks_is_named() {
        let backend = Kind::Portable.get();
        let scalar = Rng::insecure_from_seed(b"").scalar();
        let one = derive(backend, &[1; 64]).unwrap();
        let mut points = one.repeat(CHUNK_ITEMS * 3);
        for at in [CHUNK_ITEMS * 3 - 1, CHUNK_ITEMS * 2, CHUNK_ITEMS + 1, CHUNK_ITEMS - 1, 0] {
            points[at * 32..][..32].fill(0);
            let expected = Error::InvalidElement { index: at, reason: crate::error::Reason::Identity };
            assert_eq!(multiply(backend, &points, &scalar), Err(expected.clone()));
            assert_eq!(check(backend, &points), Err(expected));
        }
        assert_eq!(
            check(backend, &points[1..]),
            Err(Error::NotMultiple { what: "points", length: points.len() - 1, unit: 32 })
        );
    }

    #[test]
    fn scalars_are_canonical_and_nonzero() {
        assert!(Secret::insecure_from_bytes(&[0; 32]).is_err());
        assert!(Secret::insecure_from_bytes(&[255; 32]).is_err());
        assert!(Secret::insecure_from_bytes(&[1; 31]).is_err());
        let mut order = curve25519_dalek::Scalar::ZERO - curve25519_dalek::Scalar::ONE;
        assert!(Secret::insecure_from_bytes(order.as_bytes()).is_ok());
        order += curve25519_dalek::Scalar::ONE;
        assert!(Secret::insecure_from_bytes(order.as_bytes()).is_err());
        let mut two = [0; 32];
        two[0] = 2;
        let two = Secret::insecure_from_bytes(&two).unwrap();
        assert!(bool::from(two.ct_eq(&two.inverse().inverse())));
        assert!(!bool::from(two.ct_eq(&two.inverse())));
    }
}
