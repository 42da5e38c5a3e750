//! curve25519-dalek, one point at a time. It uses AVX2 by itself where there is AVX2.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

use super::ring::Ring;
use super::{Backend, BadPoint, Scalars};
use crate::error::Reason;
use crate::group::Encoding;
use crate::hash::{Digest, Uniform};

mod ring;

pub(super) struct Portable;

impl Backend for Portable {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn derive(&self, uniform: &[Uniform], scalars: Option<Scalars<'_>>, out: &mut [Encoding]) {
        let mapped = uniform.iter().map(RistrettoPoint::from_uniform_bytes);
        match scalars {
            None => out.iter_mut().zip(mapped).for_each(|(to, point)| *to = point.compress().to_bytes()),
            Some(scalars) => {
                let halves = mapped.enumerate().map(|(index, point)| point * scalars.get(index).half());
                encode_doubles(&Zeroizing::new(halves.collect::<Vec<_>>()), out);
            }
        }
    }

    fn multiply(
        &self,
        points: &[Encoding],
        scalars: Scalars<'_>,
        out: &mut [Encoding],
    ) -> core::result::Result<(), BadPoint> {
        let mut halves = Zeroizing::new(Vec::with_capacity(points.len()));
        for (index, point) in points.iter().enumerate() {
            halves.push(decode(point).map_err(|reason| (index, reason))? * scalars.get(index).half());
        }
        encode_doubles(&halves, out);
        Ok(())
    }

    fn combine(
        &self,
        left: &[Encoding],
        right: &[Encoding],
        subtract: bool,
        out: &mut [Encoding],
    ) -> core::result::Result<(), BadPoint> {
        for (index, ((left, right), out)) in left.iter().zip(right).zip(out).enumerate() {
            let own = |point| decode(point).map_err(|reason| (index, reason));
            let (left, right) = (own(left)?, own(right)?);
            *out = (if subtract { left - right } else { left + right }).compress().to_bytes();
        }
        Ok(())
    }

    fn check(&self, points: &[Encoding]) -> core::result::Result<(), BadPoint> {
        for (index, point) in points.iter().enumerate() {
            decode(point).map_err(|reason| (index, reason))?;
        }
        Ok(())
    }

    fn sha512(&self, prefix: &[u8], message: &dyn Fn(usize, &mut Vec<u8>), out: &mut [Digest]) {
        let start = Sha512::new_with_prefix(prefix);
        let mut buffer = Zeroizing::new(Vec::new());
        for (index, out) in out.iter_mut().enumerate() {
            buffer.clear();
            message(index, &mut buffer);
            *out = start.clone().chain_update(&*buffer).finalize().into();
        }
    }

    fn ring(&self) -> &'static dyn Ring {
        &Self
    }
}

fn decode(encoding: &Encoding) -> core::result::Result<RistrettoPoint, Reason> {
    if *encoding == [0; 32] {
        return Err(Reason::Identity);
    }
    CompressedRistretto(*encoding).decompress().ok_or(Reason::NotCanonical)
}

/// Write the encodings of `2·P`. One field inversion serves the whole batch, where encoding `P` itself would need an
/// inverse square root a point; that is why callers multiply by half the scalar first. The identity encodes right too.
fn encode_doubles(halves: &[RistrettoPoint], out: &mut [Encoding]) {
    for (to, encoded) in out.iter_mut().zip(RistrettoPoint::double_and_compress_batch(halves)) {
        *to = encoded.to_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubling_the_identity_encodes_the_identity() {
        use curve25519_dalek::traits::Identity;
        let points = [RistrettoPoint::identity(), curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT];
        let mut out = [[9u8; 32]; 2];
        encode_doubles(&points, &mut out);
        assert_eq!(out, [[0; 32], (points[1] + points[1]).compress().to_bytes()]);
    }
}
