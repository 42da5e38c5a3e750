//! `expand_message_xmd` with SHA-512 (RFC 9380, section 5.3.1).

use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

use crate::backend::Backend;
use crate::error::{Result, check_range};
use crate::items::Items;

const BLOCK_BYTES: usize = 128;
const DIGEST_BYTES: usize = 64;
/// What SHA-512 returns.
pub type Digest = [u8; DIGEST_BYTES];
/// What an element is derived from.
pub type Uniform = Digest;
/// The longest domain separation tag that is used as it is; longer ones are refused, not hashed.
pub const DST_BYTES_MAX: usize = 255;
/// The longest output: 255 digests.
pub const EXPAND_BYTES_MAX: usize = 255 * DIGEST_BYTES;

/// Expands messages under one domain separation tag, with the hash state after the zero block kept ready.
pub struct Expander {
    after_zero_block: Sha512,
    dst_prime: Vec<u8>,
}

impl Expander {
    /// Prepare for a tag of 1 to 255 bytes.
    pub fn new(dst: &[u8]) -> Result<Self> {
        check_range("dst", dst.len(), 1, DST_BYTES_MAX)?;
        let mut dst_prime = dst.to_vec();
        dst_prime.push(dst.len() as u8);
        Ok(Self { after_zero_block: Sha512::new_with_prefix([0u8; BLOCK_BYTES]), dst_prime })
    }

    /// Return 64 uniform bytes for each of the items `first..first + count`: what `hash_to_group` needs.
    pub(crate) fn expand_items(
        &self,
        backend: &dyn Backend,
        items: &Items,
        first: usize,
        count: usize,
    ) -> Vec<Uniform> {
        let mut b_0 = Zeroizing::new(vec![[0; DIGEST_BYTES]; count]);
        let message = |index: usize, buffer: &mut Vec<u8>| {
            buffer.extend_from_slice(items.get(first + index));
            buffer.extend_from_slice(&[0, DIGEST_BYTES as u8, 0]);
            buffer.extend_from_slice(&self.dst_prime);
        };
        backend.sha512(&[0; BLOCK_BYTES], &message, &mut b_0);
        let mut b_1 = vec![[0; DIGEST_BYTES]; count];
        let message = |index: usize, buffer: &mut Vec<u8>| {
            buffer.extend_from_slice(&b_0[index]);
            buffer.push(1);
            buffer.extend_from_slice(&self.dst_prime);
        };
        backend.sha512(&[], &message, &mut b_1);
        b_1
    }

    /// Return `length_bytes` (1 to 16,320) uniform bytes for a message.
    pub fn expand(&self, message: &[u8], length_bytes: usize) -> Result<Vec<u8>> {
        check_range("length", length_bytes, 1, EXPAND_BYTES_MAX)?;
        let b_0 = self.b_0(message, length_bytes as u16);
        let mut out = Vec::with_capacity(length_bytes.next_multiple_of(DIGEST_BYTES));
        let mut chain = b_0;
        for counter in 1..=length_bytes.div_ceil(DIGEST_BYTES) {
            if counter > 1 {
                chain.iter_mut().zip(&b_0).for_each(|(c, b)| *c ^= b);
            }
            chain = self.b_i(&chain, counter as u8);
            out.extend_from_slice(&chain);
        }
        out.truncate(length_bytes);
        Ok(out)
    }

    fn b_0(&self, message: &[u8], length_bytes: u16) -> [u8; DIGEST_BYTES] {
        let mut hash = self.after_zero_block.clone();
        hash.update(message);
        let [high, low] = length_bytes.to_be_bytes();
        hash.update([high, low, 0]);
        hash.update(&self.dst_prime);
        hash.finalize().into()
    }

    fn b_i(&self, chain: &[u8; DIGEST_BYTES], counter: u8) -> [u8; DIGEST_BYTES] {
        let mut hash = Sha512::new();
        hash.update(chain);
        hash.update([counter]);
        hash.update(&self.dst_prime);
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Kind;

    #[test]
    fn batched_and_general_expansion_agree() {
        let messages: Vec<Vec<u8>> = (0..500).map(|length| vec![7u8; length]).collect();
        let items = Items::from_slices(messages.iter().map(Vec::as_slice)).unwrap();
        for tag in [&b"QUUX"[..], &[1; 255]] {
            let expander = Expander::new(tag).unwrap();
            for kind in Kind::available() {
                for (at, uniform) in expander.expand_items(kind.get(), &items, 3, 497).iter().enumerate() {
                    assert_eq!(uniform.to_vec(), expander.expand(&messages[3 + at], 64).unwrap());
                }
            }
        }
    }

    #[test]
    fn lengths_are_bounded() {
        assert!(Expander::new(b"").is_err());
        assert!(Expander::new(&[1; 255]).is_ok());
        assert!(Expander::new(&[1; 256]).is_err());
        let expander = Expander::new(b"t").unwrap();
        assert!(expander.expand(b"", 0).is_err());
        assert_eq!(expander.expand(b"", EXPAND_BYTES_MAX).unwrap().len(), EXPAND_BYTES_MAX);
        assert!(expander.expand(b"", EXPAND_BYTES_MAX + 1).is_err());
    }
}
