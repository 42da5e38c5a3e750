//! How many trees of which size a VOLE takes, and the lengths that follow.
//!
//! The noise is regular: one nonzero value in each of `trees` runs of `2^depth` positions; the code has rate one half, so
//! `trees · 2^depth` is at least twice the outputs. An attacker who tests a linear combination of outputs sees at least
//! the code's relative minimum distance δ of the noise positions, each of which leaves the combination unchanged with
//! probability ½ when he looks at one component of the field only: the bias is at most `(1 - δ)^trees` (the *splitting*
//! attack; the code's multiplications in the field are there to prevent it, and we do not rely on them for this bound).
//! With δ = 0.15, the smallest of the values published for this code with 7 × 24, `(1 - 0.15)^552 < 2^-129`. Four more
//! trees pay for the positions that a malicious sender can test by making the receiver abort.

use crate::error::{Result, check_range};

/// The smallest number of trees: 552 for 128 bits, 4 for malicious mode. One number, so that there is one layout.
pub const TREES_MIN: usize = 556;
/// The smallest depth: noise in less than one position of 32, however few outputs there are.
pub const DEPTH_MIN: usize = 5;
/// Outputs up to which one code does: above, its random accesses leave the cache.
pub const INSTANCE_OUTPUTS_MAX: usize = 1 << 21;
/// Outputs of each code but the last when there are several: `TREES_MIN` trees of 2^12 leaves at rate one half.
const INSTANCE_OUTPUTS: usize = TREES_MIN << 11;
/// The most outputs.
pub const OUTPUTS_MAX: usize = 1 << 28;

/// The adversary that a session withstands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Parties follow the protocol.
    SemiHonest,
    /// Parties may deviate; the receiver checks the trees. (The check of the extension is there in both modes.)
    Malicious,
}

/// What both parties know before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parameters {
    outputs: usize,
    mode: Mode,
}

impl Parameters {
    /// Ask for a number of outputs, from 1 to 2^28.
    pub fn new(outputs: usize, mode: Mode) -> Result<Self> {
        check_range("outputs", outputs, 1, OUTPUTS_MAX)?;
        Ok(Self { outputs, mode })
    }

    /// How many outputs.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The adversary.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) fn bytes(&self) -> [u8; 9] {
        let mut bytes = [0; 9];
        bytes[..8].copy_from_slice(&(self.outputs as u64).to_le_bytes());
        bytes[8] = u8::from(self.mode == Mode::Malicious);
        bytes
    }

    /// The layout that follows.
    pub fn layout(&self) -> Layout {
        let mut instances = Vec::new();
        let mut left = self.outputs;
        while left > INSTANCE_OUTPUTS_MAX {
            instances.push(Instance::new(INSTANCE_OUTPUTS));
            left -= INSTANCE_OUTPUTS;
        }
        instances.push(Instance::new(left));
        Layout { instances }
    }
}

/// One code and its noise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Instance {
    /// Outputs that are kept, at most half the positions.
    pub outputs: usize,
    /// Runs with one nonzero value each: an even number.
    pub trees: usize,
    /// Each run has two to this power of positions.
    pub depth: usize,
}

impl Instance {
    fn new(outputs: usize) -> Self {
        let positions = 2 * outputs;
        let depth = (positions / TREES_MIN).max(1).ilog2().max(DEPTH_MIN as u32) as usize;
        let trees = positions.div_ceil(1 << depth).max(TREES_MIN).next_multiple_of(2);
        Self { outputs, trees, depth }
    }

    /// Positions of a run.
    pub fn leaves(&self) -> usize {
        1 << self.depth
    }

    /// Half the positions: what the code takes from each half, and makes.
    pub fn half(&self) -> usize {
        self.trees / 2 * self.leaves()
    }
}

/// All codes of a session, and the lengths of its messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Layout {
    /// The codes, in the order of their outputs.
    pub instances: Vec<Instance>,
}

impl Layout {
    /// Trees of all codes.
    pub fn trees(&self) -> usize {
        self.instances.iter().map(|instance| instance.trees).sum()
    }

    /// Correlated transfers for all levels of all trees.
    pub fn transfers(&self) -> usize {
        self.instances.iter().map(|instance| instance.trees * instance.depth).sum()
    }

    /// Words of 128 choices: for the transfers, for a base VOLE a tree, for one that masks the check of the trees, and
    /// for one that masks the check of the extension.
    pub(super) fn words(&self) -> usize {
        self.transfer_words() + self.trees() + 2
    }

    pub(super) fn transfer_words(&self) -> usize {
        self.transfers().div_ceil(128)
    }

    /// Bytes of the message of the punctured trees: two blocks a level, one a tree.
    pub fn puncture_bytes(&self) -> usize {
        16 * (2 * self.transfers() + self.trees())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_large_enough() {
        assert!((1.0f64 - 0.15).powi(TREES_MIN as i32 - 4).log2() < -128.0);
        for outputs in [1, 2, 100, 8896, 8897, 18_279, 1 << 20, 1_153_690, 1 << 21, (1 << 21) + 1, 18_455_194] {
            let layout = Parameters::new(outputs, Mode::Malicious).unwrap().layout();
            assert_eq!(layout.instances.iter().map(|instance| instance.outputs).sum::<usize>(), outputs);
            for instance in &layout.instances {
                assert!(instance.trees >= TREES_MIN && instance.trees < 2 * TREES_MIN + 2);
                assert!(instance.half() >= instance.outputs && instance.outputs <= INSTANCE_OUTPUTS_MAX);
                assert!(instance.trees.is_multiple_of(2) && instance.depth >= DEPTH_MIN);
            }
        }
    }

    #[test]
    fn known_layouts() {
        let instance = |outputs| Parameters::new(outputs, Mode::SemiHonest).unwrap().layout().instances;
        assert_eq!(instance(1_153_690), [Instance { outputs: 1_153_690, trees: 564, depth: 12 }]);
        assert_eq!(instance(1), [Instance { outputs: 1, trees: 556, depth: 5 }]);
        let many = instance(18_455_194);
        assert_eq!(many.len(), 16);
        assert_eq!(many[0], Instance { outputs: 1_138_688, trees: 556, depth: 12 });
    }

    #[test]
    fn outputs_are_bounded() {
        assert!(Parameters::new(0, Mode::SemiHonest).is_err());
        assert!(Parameters::new(OUTPUTS_MAX, Mode::SemiHonest).is_ok());
        assert!(Parameters::new(OUTPUTS_MAX + 1, Mode::SemiHonest).is_err());
    }
}
