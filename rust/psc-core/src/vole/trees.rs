//! Punctured pseudorandom trees (Goldreich, Goldwasser, Micali): of each, the receiver learns all leaves but one.
//!
//! A node's children are `π_0(node) ⊕ node` and `π_1(node) ⊕ node` for two permutations a tree: AES-128 under keys of the
//! session and the tree, so that an attacker's work against one tree says nothing about another. Nodes of a level stand in
//! the order in which the left children of all come before the right ones: the bits of a leaf's position, from the lowest,
//! are the turns from the root.
//!
//! For every level the sender offers the sum of all left children and the sum of all right ones; by a transfer the receiver
//! takes the sum of the side on which its punctured path does *not* go, and finds the one child of that side that it lacks.
//! At the leaves, one more block programs the missing leaf: the sum of all leaves and the sender's share of the base VOLE.
//! See Boyle et al., ePrint 2019/1159, sections 2 and 4, and Schoppmann, Gascón, Reichert, Raykova, "Distributed Vector-OLE",
//! ePrint 2019/1084, protocol 4.

use zeroize::Zeroizing;

use crate::prg::{self, Cipher};

/// The two permutations of a tree.
pub struct Permutations([Cipher; 2]);

impl Permutations {
    /// Derive them from a session's cipher for its trees and the number of the tree.
    pub fn new(session: &Cipher, tree: usize) -> Self {
        let mut keys = [0; 2];
        session.stream(2 * tree as u64, &mut keys);
        Self(keys.map(|key| Cipher::new(session.simd(), key)))
    }

    /// Replace the first `parents` nodes of a level by their children; returns the sums of left and right ones.
    pub(super) fn children(&self, nodes: &mut [u128], parents: usize) -> [u128; 2] {
        let (left, right) = nodes[..2 * parents].split_at_mut(parents);
        prg::children(&self.0, left, right)
    }
}

/// Fill `leaves`, two to some power of them, from a root; returns the sums of the left and right children of every level.
pub fn grow(permutations: &Permutations, root: u128, leaves: &mut [u128]) -> Zeroizing<Vec<[u128; 2]>> {
    let depth = leaves.len().ilog2() as usize;
    leaves[0] = root;
    Zeroizing::new((0..depth).map(|level| permutations.children(leaves, 1 << level)).collect())
}

/// Fill all `leaves` but the one at `hole`, which becomes the sum of the others; `sums[i]` is the sum of level i on the side
/// where bit i of the hole is not.
pub fn grow_punctured(permutations: &Permutations, hole: usize, sums: &[u128], leaves: &mut [u128]) {
    // The unknown node of a level is kept as zero, so that it does not enter sums; its children are overwritten.
    leaves[0] = 0;
    let mut known = [0; 2];
    for (level, wanted) in sums.iter().enumerate() {
        let parents = 1 << level;
        let parent = hole % parents;
        known = permutations.children(leaves, parents);
        let turn = hole >> level & 1;
        let (unknown, sibling) = (turn * parents + parent, (1 - turn) * parents + parent);
        // What the kernel made of the zero, on both sides, is taken out again.
        known[turn] ^= leaves[unknown];
        leaves[unknown] = 0;
        known[1 - turn] ^= leaves[sibling];
        leaves[sibling] = wanted ^ known[1 - turn];
        known[1 - turn] = *wanted;
    }
    leaves[hole] = known[0] ^ known[1];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Simd;

    fn sum(blocks: &[u128]) -> u128 {
        blocks.iter().fold(0, |sum, block| sum ^ block)
    }

    #[test]
    fn every_leaf_but_the_hole_is_known() {
        for simd in Simd::available() {
            let session = Cipher::new(simd, 3);
            for depth in 1..=18 {
                let permutations = Permutations::new(&session, depth);
                let mut leaves = vec![0; 1 << depth];
                let sums = grow(&permutations, 0xfeed_5eed, &mut leaves);
                assert_eq!(sums.len(), depth);
                let last = leaves.len() - 1;
                for hole in [0, last, last / 3, (last / 2) & !1] {
                    let taken: Vec<u128> = (0..depth).map(|level| sums[level][1 - (hole >> level & 1)]).collect();
                    let mut punctured = vec![0; 1 << depth];
                    grow_punctured(&permutations, hole, &taken, &mut punctured);
                    // The hole is the sum of the others, so the sum of all leaves closes it.
                    assert_eq!(sum(&leaves) ^ punctured[hole], leaves[hole]);
                    punctured[hole] = leaves[hole];
                    assert!(punctured == leaves, "{simd:?}, depth {depth}, hole {hole}");
                }
            }
        }
    }

    #[test]
    fn leaves_follow_their_path() {
        for simd in Simd::available() {
            let permutations = Permutations::new(&Cipher::new(simd, 3), 0);
            let mut leaves = vec![0; 64];
            grow(&permutations, 99, &mut leaves);
            for (position, leaf) in leaves.iter().enumerate() {
                let turns = (0..6).map(|level| position >> level & 1);
                assert_eq!(*leaf, turns.fold(99, |node, turn| permutations.0[turn].encrypt(node) ^ node));
            }
        }
    }

    #[test]
    fn known_answer() {
        for simd in Simd::available() {
            let mut leaves = vec![0; 32];
            let sums = grow(&Permutations::new(&Cipher::new(simd, 3), 7), 1, &mut leaves);
            assert_eq!(
                format!("{:032x} {:032x} {:032x}", leaves[0], leaves[31], sums[4][1]),
                "5c0ba4f250da8768b1582e32c8d6b255 0b9e4ab8c19cd4e4a8d4c0996082f6d2 d1496dc71d8101c05d8e36a26703cbf4"
            );
            let other = Permutations::new(&Cipher::new(simd, 3), 8);
            let mut others = vec![0; 32];
            grow(&other, 1, &mut others);
            assert!(leaves.iter().zip(&others).all(|(leaf, other)| leaf != other), "keys differ by tree");
        }
    }
}
