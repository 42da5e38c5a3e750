//! The receiver's check of the trees, in malicious mode: Weng, Yang, Katz, Wang, "Wolverine", ePrint 2020/925, figure 7, and
//! Yang, Weng, Lan, Zhang, Wang, "Ferret", ePrint 2020/924, figure 6, on the sparse vectors before the code.
//!
//! The receiver draws random weights after the sender's message and sends the weighted sum of its noise, masked by a base
//! VOLE that serves nothing else. The sender adds delta times that to its own weighted sum, and sends the digest of the
//! result; the receiver's weighted sum must have the same digest. A sender that programs a leaf wrongly passes only when it
//! guesses where the hole is.

use crate::error::{Result, check_message};
use crate::gf128::{self, ELEMENT_BYTES};
use crate::prg::Cipher;
use crate::simd::Simd;
use crate::vole::session::Session;

/// Bytes of the receiver's message: the seed of the weights, and its masked sum.
pub const CHALLENGE_BYTES: usize = 2 * ELEMENT_BYTES;
/// Bytes of the sender's message.
pub const ANSWER_BYTES: usize = 32;
/// Weights that are drawn at a time.
const BATCH: usize = 1024;

/// The weights: the weight of a position is a block of a key stream.
pub struct Weights(Cipher);

impl Weights {
    /// Expand a seed.
    pub fn new(simd: Simd, session: &Session, seed: u128) -> Self {
        Self(Cipher::new(simd, session.key("check-weights", &[&seed.to_le_bytes()])))
    }

    /// The weight of one position.
    pub fn at(&self, position: usize) -> u128 {
        self.0.encrypt(position as u128)
    }

    /// The weighted sum of values at consecutive positions.
    pub fn sum(&self, first: usize, values: &[u128]) -> u128 {
        let mut weights = [0; BATCH];
        let batches = values.chunks(BATCH).enumerate().map(|(batch, values)| {
            let weights = &mut weights[..values.len()];
            self.0.stream((first + batch * BATCH) as u64, weights);
            gf128::inner_product(self.0.simd(), weights, values)
        });
        batches.fold(0, |sum, part| sum ^ part)
    }
}

/// The receiver's message.
pub fn challenge(seed: u128, noise: u128) -> Vec<u8> {
    let mut message = Vec::with_capacity(CHALLENGE_BYTES);
    gf128::append(&mut message, [seed, noise]);
    message
}

/// Read the receiver's message: the seed, and its masked sum.
pub fn read_challenge(message: &[u8]) -> Result<(u128, u128)> {
    check_message("challenge of the trees", message, CHALLENGE_BYTES)?;
    let mut elements = gf128::from_bytes(message);
    let mut next = || elements.next().expect("the length was checked");
    Ok((next(), next()))
}

/// What the sender answers, and the receiver expects.
pub fn answer(session: &Session, challenge: &[u8], sum: u128) -> [u8; ANSWER_BYTES] {
    session.digest("check-answer", &[challenge, &sum.to_le_bytes()])
}
