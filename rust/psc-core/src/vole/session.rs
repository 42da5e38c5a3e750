//! Keys and digests that both parties derive from a session.

use sha2::{Digest as _, Sha256};

use crate::error::{Result, check_range};
use crate::vole::layout::Parameters;

/// The shortest session identifier: enough that no two sessions share one.
pub const SESSION_BYTES_MIN: usize = 16;
/// The longest session identifier.
pub const SESSION_BYTES_MAX: usize = 1024;

/// The name of a session, hashed with its parameters. Public.
#[derive(Clone)]
pub struct Session([u8; 32]);

impl Session {
    /// Bind a session identifier of 16 to 1024 bytes, which no other session has, and the parameters.
    pub fn new(identifier: &[u8], parameters: &Parameters) -> Result<Self> {
        check_range("session", identifier.len(), SESSION_BYTES_MIN, SESSION_BYTES_MAX)?;
        let hash = Sha256::new_with_prefix(b"PSC-V1-vole-session")
            .chain_update(parameters.bytes())
            .chain_update((identifier.len() as u64).to_le_bytes())
            .chain_update(identifier);
        Ok(Self(hash.finalize().into()))
    }

    /// A digest of parts under a label. Labels are prefix-free and parts have lengths that the label implies.
    pub fn digest(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(b"PSC-V1-vole-");
        hash.update(label);
        hash.update([0]);
        hash.update(self.0);
        parts.iter().for_each(|part| hash.update(part));
        hash.finalize().into()
    }

    /// The first 128 bits of a digest, as a key.
    pub fn key(&self, label: &str, parts: &[&[u8]]) -> u128 {
        let digest = self.digest(label, parts);
        u128::from_le_bytes(*digest.first_chunk().expect("32 bytes"))
    }
}
