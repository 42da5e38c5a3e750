//! Polynomials as bytes: prime after prime, 8192 residues of 42 bits each, the first in the lowest bits. Every length is exact
//! and every residue below its prime.

use super::prime::{LOW, Prime, RESIDUE_BITS, Residues, primes};
use super::{COEFFICIENT_BYTES, PLANE_BYTES, POLYNOMIAL_BYTES, PRIMES};
use crate::backend::ring::{Plane, Ring};
use crate::error::{Error, Result};

/// Refuse another length.
pub(super) fn check_length(what: &'static str, bytes: &[u8], expected: usize) -> Result<()> {
    if bytes.len() == expected {
        return Ok(());
    }
    Err(Error::PolynomialLength { what, length: bytes.len(), expected })
}

/// Read the residues modulo the prime at an index; the polynomial has been checked to have its length.
pub(super) fn read(
    ring: &dyn Ring,
    what: &'static str,
    polynomial: &[u8],
    index: usize,
    prime: &Prime,
    out: &mut Residues,
) -> Result<()> {
    check_length(what, polynomial, POLYNOMIAL_BYTES)?;
    if ring.unpack(&polynomial.as_chunks::<PLANE_BYTES>().0[index], out) < prime.modulus {
        return Ok(());
    }
    let position = out.0.iter().position(|&x| x >= prime.modulus).unwrap_or_default();
    Err(Error::Residue { what, position, prime: index })
}

/// Write the residues modulo the prime at an index.
pub(super) fn write(ring: &dyn Ring, values: &Residues, plane: &mut Plane) {
    ring.pack(values, plane);
}

/// Read one coefficient.
pub(super) fn read_coefficient(what: &'static str, bytes: &[u8; COEFFICIENT_BYTES]) -> Result<[u64; PRIMES]> {
    let mut residues = [0; PRIMES];
    for (index, (residue, prime)) in residues.iter_mut().zip(primes()).enumerate() {
        let first = index * RESIDUE_BITS;
        let mut word = [0; 8];
        let end = COEFFICIENT_BYTES.min(first / 8 + 8);
        word[..end - first / 8].copy_from_slice(&bytes[first / 8..end]);
        *residue = u64::from_le_bytes(word) >> (first % 8) & LOW;
        if *residue >= prime.modulus {
            return Err(Error::Residue { what, position: 0, prime: index });
        }
    }
    Ok(residues)
}

/// Write one coefficient.
pub(super) fn write_coefficient(residues: &[u64; PRIMES], bytes: &mut [u8; COEFFICIENT_BYTES]) {
    bytes.fill(0);
    for (index, residue) in residues.iter().enumerate() {
        let first = index * RESIDUE_BITS;
        let word = (residue << (first % 8)).to_le_bytes();
        for (to, from) in bytes[first / 8..].iter_mut().zip(word) {
            *to |= from;
        }
    }
}
