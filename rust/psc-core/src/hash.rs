//! `expand_message_xmd` with SHA-512 (RFC 9380, section 5.3.1).

use sha2::{Digest, Sha512};

use crate::error::{Result, check_range};

const BLOCK_BYTES: usize = 128;
const DIGEST_BYTES: usize = 64;
/// What an element is derived from.
pub type Uniform = [u8; DIGEST_BYTES];
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

    /// Return 64 uniform bytes for a message: what `hash_to_group` needs.
    pub fn expand_64(&self, message: &[u8]) -> Uniform {
        let b_0 = self.b_0(message, DIGEST_BYTES as u16);
        self.b_i(&b_0, 1)
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

    #[test]
    fn short_and_general_expansion_agree() {
        let expander = Expander::new(b"QUUX").unwrap();
        for length in [0, 1, 107, 108, 111, 112, 127, 128, 500] {
            let message = vec![7u8; length];
            assert_eq!(expander.expand_64(&message).to_vec(), expander.expand(&message, 64).unwrap());
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
