//! Silent vector oblivious linear evaluation (VOLE) over GF(2^128).
//!
//! Two parties draw long random vectors that fit together: the receiver gets `factors` and `products`, the sender gets one
//! `delta` and `shares`, with `products[i] = factors[i] · delta ⊕ shares[i]` for every i. The messages are short beside the
//! vectors, because most of the work is local ("silent"). `docs/protocols/vole-psi.md` uses the vectors to match sets.
//!
//! ```text
//! sender (delta)                                                  receiver
//!   choices of 128 base transfers, one a bit of delta  ────────▶
//!                                                      ◀────────  base point, extension, its check
//!   punctured trees                                    ────────▶
//!                                                      ◀────────  challenge of the trees          (malicious mode only)
//!   answer                                             ────────▶                                  (malicious mode only)
//! ```
//!
//! * [`base_ot`]: 128 oblivious transfers on ristretto255, secure against malicious parties.
//! * [`small`], [`extension`]: from them, correlated transfers for the trees and a short VOLE ([`base_vole`]) for their leaves, under
//!   the same `delta`, with a consistency check.
//! * [`trees`]: pseudorandom trees of which the receiver knows all leaves but one: a sparse VOLE.
//! * [`code`]: the code that compresses the sparse VOLE to a pseudorandom one (dual LPN).
//! * [`layout`]: how many trees of which size.
//! * [`sender`], [`receiver`]: the parties, as states that turn a message into the next. They do no I/O.
//!
//! Construction: Boyle, Couteau, Gilboa, Ishai, Kohl, Rindal, Scholl: "Efficient Two-Round OT Extension and Silent
//! Non-Interactive Secure Computation", ePrint 2019/1159, with the code of Raghuraman, Rindal, Tanguy: "Expand-Convolute
//! Codes for Pseudorandom Correlation Generators from LPN", ePrint 2023/882, and the check of Weng, Yang, Katz, Wang:
//! "Wolverine", ePrint 2020/925, figure 7.
//!
//! Adversary: semi-honest, or malicious in [`Mode::Malicious`]. The messages of both parties have lengths that follow from
//! [`Parameters`] alone. Where the receiver's trees are punctured decides which memory it touches: a party that shares the
//! receiver's processor and watches its cache is outside the model.

pub mod base_ot;
pub mod base_vole;
pub mod check;
pub mod code;
pub mod extension;
pub mod kernels;
pub mod layout;
pub mod receiver;
pub mod sender;
pub mod session;
pub mod small;
pub mod trees;

pub use kernels::Kernels;
pub use layout::{Mode, Parameters};
pub use receiver::Receiver;
pub use sender::Sender;

use crate::error::{Result, check_message};
use layout::Layout;

impl Layout {
    /// Bytes of the receiver's first message: the base point, and the extension with its check.
    pub fn extension_bytes(&self) -> usize {
        base_ot::OFFER_BYTES + extension::message_bytes(self.words())
    }
}

/// Split the receiver's first message into the base point and the extension.
fn split_extension<'a>(message: &'a [u8], layout: &Layout) -> Result<(&'a [u8], &'a [u8])> {
    check_message("extension", message, layout.extension_bytes())?;
    Ok(message.split_at(base_ot::OFFER_BYTES))
}

#[cfg(test)]
mod tests;
