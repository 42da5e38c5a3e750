//! Which vector instructions the kernels of silent VOLE and of the key-value store use. All levels give identical bytes.
//!
//! `PSC_BACKEND=portable` forces the portable code; every other setting means the widest level of this processor.

use std::sync::OnceLock;

use crate::backend::Kind;
use crate::error::Result;

/// The instruction sets, each faster than those before it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Simd {
    /// No instruction beyond the target's own.
    Portable,
    /// AVX2, and AES and carry-less multiplication 128 bits wide.
    Pclmul,
    /// 512-bit integer vectors, with AES and carry-less multiplication that wide and a 52-bit multiplier.
    Avx512,
}

impl Simd {
    /// Every level that this machine can run, the fastest first.
    pub fn available() -> Vec<Self> {
        [Self::Avx512, Self::Pclmul, Self::Portable].into_iter().filter(|level| level.detected()).collect()
    }

    /// Return the level that a setting of `PSC_BACKEND` asks for.
    pub fn from_setting(setting: Option<&str>) -> Result<Self> {
        Kind::from_setting(setting)?;
        Ok(if setting == Some("portable") { Self::Portable } else { Self::available()[0] })
    }

    /// The level that `PSC_BACKEND` chose when it was first asked for.
    pub fn selected() -> Result<Self> {
        static SELECTED: OnceLock<Result<Simd>> = OnceLock::new();
        SELECTED.get_or_init(|| Self::from_setting(crate::setting("PSC_BACKEND").as_deref())).clone()
    }

    /// Return it; panics when this machine does not have it. Unsafe code rests on this.
    pub fn require(self) -> Self {
        assert!(self.detected(), "instructions that this processor has");
        self
    }

    #[cfg(target_arch = "x86_64")]
    fn detected(self) -> bool {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("bmi2");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512ifma")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq");
        match self {
            Self::Portable => true,
            Self::Pclmul => avx2,
            Self::Avx512 => avx2 && avx512,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detected(self) -> bool {
        self == Self::Portable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn settings_are_read() {
        let widest = Simd::available()[0];
        assert_eq!(Simd::from_setting(None), Ok(widest));
        assert_eq!(Simd::from_setting(Some("auto")), Ok(widest));
        assert_eq!(Simd::from_setting(Some("portable")), Ok(Simd::Portable));
        assert_eq!(Simd::from_setting(Some("abacus")), Err(Error::UnknownBackend { name: "abacus".into() }));
        assert!(Simd::available().contains(&Simd::Portable));
        assert!(Simd::available().is_sorted_by(|a, b| a > b));
    }
}
