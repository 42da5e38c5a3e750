//! Small-field VOLEs: what the extension makes its columns of.
//!
//! Roy, "SoftSpokenOT", ePrint 2022/192, section 3.1, with fields of 2^4 elements. The 128 base transfers are taken in groups
//! of four, the digits of delta. For each group the receiver grows a tree of sixteen leaves, and the base transfers give the
//! sender all of them but that which its digit names. Every leaf x is the key of a stream `r_x`. The receiver has the sum
//! `u = Σ r_x`, and for every bit j the column `v_j = Σ x_j r_x`; the sender has `w_j = Σ (x ⊕ digit)_j r_x`, in which the
//! missing stream has the factor 0. So `w_j = v_j ⊕ digit_j · u`: four columns of a VOLE for one correction of `u`, where
//! transfers taken singly would need four.
//!
//! The receiver could give the sender leaves that depend on which it lacks. So every leaf also makes a digest; the receiver
//! sends the sum of each tree's digests, from which the sender computes the one it lacks, and a commitment to all of them.
//! A receiver that deviates passes only when it guesses the digit, or part of it.

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

use crate::gf128::{self, ELEMENT_BYTES};
use crate::prg::Cipher;
use crate::rng::Rng;
use crate::simd::Simd;
use crate::vole::base_ot::COUNT;
use crate::vole::session::Session;
use crate::vole::trees::{self, Permutations};

/// Bits of a digit.
const BITS: usize = 4;
const LEAVES: usize = 1 << BITS;
/// Digits of delta.
pub const GROUPS: usize = COUNT / BITS;
const DIGEST_BYTES: usize = 32;
/// Bytes of a tree: two sums a level, and the sum of the digests.
const TREE_BYTES: usize = 2 * BITS * ELEMENT_BYTES + DIGEST_BYTES;
/// Bytes of the receiver's message: the trees, and the commitment to all digests.
pub const MESSAGE_BYTES: usize = GROUPS * TREE_BYTES + DIGEST_BYTES;

type Digests = [[u8; DIGEST_BYTES]; LEAVES];

/// The receiver's side.
pub struct Own {
    /// 128 columns, one after another.
    pub columns: Zeroizing<Vec<u128>>,
    /// The sum of each group's streams, one after another.
    pub sums: Zeroizing<Vec<u128>>,
}

/// Grow the receiver's trees from fresh roots, for columns of so many words; appends the message.
pub fn receive(
    simd: Simd,
    session: &Session,
    pairs: &[[u128; 2]],
    words: usize,
    rng: &mut Rng,
    message: &mut Vec<u8>,
) -> Own {
    let keys = tree_keys(simd, session);
    let mut columns = Zeroizing::new(vec![0; COUNT * words]);
    let mut sums = Zeroizing::new(vec![0; GROUPS * words]);
    let mut digests = Vec::with_capacity(GROUPS);
    let groups = columns.chunks_exact_mut(BITS * words).zip(sums.chunks_exact_mut(words));
    for (group, ((columns, sum), pairs)) in groups.zip(pairs.as_chunks::<BITS>().0).enumerate() {
        let mut leaves = Zeroizing::new([0; LEAVES]);
        let levels = trees::grow(&Permutations::new(&keys, group), rng.word(), &mut *leaves);
        for (sums, keys) in levels.iter().zip(pairs) {
            gf128::append(message, [sums[0] ^ keys[0], sums[1] ^ keys[1]]);
        }
        let own = leaf_digests(session, group, &leaves);
        message.extend_from_slice(&own.iter().fold([0; DIGEST_BYTES], xor));
        digests.push(own);
        let mut stream = Zeroizing::new(vec![0; words]);
        for (leaf, key) in leaves.iter().enumerate() {
            leaf_stream(simd, session, group, leaf, *key, &mut stream);
            add(sum, &stream, u128::MAX);
            for bit in (0..BITS).filter(|bit| leaf >> bit & 1 == 1) {
                add(&mut columns[bit * words..][..words], &stream, u128::MAX);
            }
        }
    }
    message.extend_from_slice(&commitment(session, &digests));
    Own { columns, sums }
}

/// The sender's side: from the keys that the *complement* of delta's bits chose and the receiver's message, 128 columns, and
/// whether the digests fit. Takes the same time for every delta.
pub fn send(
    simd: Simd,
    session: &Session,
    keys: &[u128],
    delta: u128,
    words: usize,
    message: &[u8; MESSAGE_BYTES],
) -> (Zeroizing<Vec<u128>>, Choice) {
    let (trees, committed) = message.as_chunks::<TREE_BYTES>();
    let tree_keys = tree_keys(simd, session);
    let mut columns = Zeroizing::new(vec![0; COUNT * words]);
    let mut digests = Vec::with_capacity(GROUPS);
    let groups = columns.chunks_exact_mut(BITS * words).zip(trees).zip(keys.as_chunks::<BITS>().0);
    for (group, ((columns, tree), keys)) in groups.enumerate() {
        let digit = (delta >> (BITS * group)) as u8 & (LEAVES - 1) as u8;
        let (levels, digest_sum) = tree.split_at(2 * BITS * ELEMENT_BYTES);
        let offered: Vec<u128> = gf128::from_bytes(levels).collect();
        let leaves = leaves_but_one(&Permutations::new(&tree_keys, group), digit, &offered, keys);
        let mut own = leaf_digests(session, group, &leaves);
        let mut missing = *digest_sum.first_chunk::<DIGEST_BYTES>().expect("the end of a tree");
        for (leaf, digest) in (0u8..).zip(&own) {
            let known = !leaf.ct_eq(&digit);
            missing = select(&missing, &xor(missing, digest), known);
        }
        for (leaf, digest) in (0u8..).zip(&mut own) {
            *digest = select(digest, &missing, leaf.ct_eq(&digit));
        }
        digests.push(own);
        let mut stream = Zeroizing::new(vec![0; words]);
        for (leaf, key) in (0u8..).zip(leaves.iter()) {
            leaf_stream(simd, session, group, usize::from(leaf), *key, &mut stream);
            for bit in 0..BITS {
                let mask = u128::from((leaf ^ digit) >> bit & 1).wrapping_neg();
                add(&mut columns[bit * words..][..words], &stream, mask);
            }
        }
    }
    let consistent = commitment(session, &digests).as_slice().ct_eq(committed);
    (columns, consistent)
}

/// Grow a tree of sixteen leaves without that at `hole`, which becomes zero, touching the same memory for every hole.
/// `offered` holds two masked sums a level, `keys` the pads of those on the side where the hole is not.
fn leaves_but_one(
    permutations: &Permutations,
    hole: u8,
    offered: &[u128],
    keys: &[u128; BITS],
) -> Zeroizing<[u128; LEAVES]> {
    let mut leaves = Zeroizing::new([0; LEAVES]);
    for (level, (offered, key)) in offered.as_chunks::<2>().0.iter().zip(keys).enumerate() {
        let parents = 1 << level;
        permutations.children(&mut leaves[..], parents);
        let turn = Choice::from(hole >> level & 1);
        let wanted = key ^ u128::conditional_select(&offered[1], &offered[0], turn);
        let parent = hole & (parents - 1) as u8;
        for (side, children) in leaves[..2 * parents].chunks_exact_mut(parents).enumerate() {
            // Known children of this side but that of the hole's parent; it is what is wanting, or unknown and zero.
            let unknown = turn.ct_eq(&Choice::from(side as u8));
            let mut sum = u128::conditional_select(&wanted, &0, unknown);
            for (index, child) in (0u8..).zip(children.iter()) {
                let known = !(index.ct_eq(&parent) | unknown);
                sum ^= u128::conditional_select(&0, child, known);
            }
            for (index, child) in (0u8..).zip(children) {
                child.conditional_assign(&sum, index.ct_eq(&parent));
            }
        }
    }
    leaves
}

fn tree_keys(simd: Simd, session: &Session) -> Cipher {
    Cipher::new(simd, session.key("small-trees", &[]))
}

fn leaf_digests(session: &Session, group: usize, leaves: &[u128; LEAVES]) -> Digests {
    core::array::from_fn(|leaf| {
        session.digest("small-digest", &[&[group as u8, leaf as u8], &leaves[leaf].to_le_bytes()])
    })
}

/// Fill with the stream of a leaf, whose key is another digest than that which is shown.
fn leaf_stream(simd: Simd, session: &Session, group: usize, leaf: usize, key: u128, out: &mut [u128]) {
    let mut key = session.key("small-stream", &[&[group as u8, leaf as u8], &key.to_le_bytes()]);
    Cipher::new(simd, key).stream(0, out);
    key.zeroize();
}

fn commitment(session: &Session, digests: &[Digests]) -> [u8; DIGEST_BYTES] {
    session.digest("small-commitment", &[digests.as_flattened().as_flattened()])
}

fn add(sums: &mut [u128], blocks: &[u128], mask: u128) {
    sums.iter_mut().zip(blocks).for_each(|(sum, block)| *sum ^= block & mask);
}

fn xor(left: [u8; DIGEST_BYTES], right: &[u8; DIGEST_BYTES]) -> [u8; DIGEST_BYTES] {
    core::array::from_fn(|index| left[index] ^ right[index])
}

fn select(zero: &[u8; DIGEST_BYTES], one: &[u8; DIGEST_BYTES], choice: Choice) -> [u8; DIGEST_BYTES] {
    // Not subtle's selection of bytes: its negation is checked for overflow, by a branch.
    let mask = choice.unwrap_u8().wrapping_neg();
    core::array::from_fn(|index| zero[index] ^ (mask & (zero[index] ^ one[index])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vole::layout::{Mode, Parameters};

    struct Setting {
        session: Session,
        delta: u128,
        pairs: Vec<[u128; 2]>,
        keys: Vec<u128>,
        message: [u8; MESSAGE_BYTES],
        own: Own,
    }

    const WORDS: usize = 3;

    fn setting(simd: Simd) -> Setting {
        let mut rng = Rng::insecure_from_seed(b"small");
        let session = Session::new(b"small-field VOLE", &Parameters::new(1, Mode::Malicious).unwrap()).unwrap();
        let delta = rng.word();
        let pairs: Vec<[u128; 2]> = (0..COUNT).map(|_| [rng.word(), rng.word()]).collect();
        let keys = pairs.iter().enumerate().map(|(index, pair)| pair[(!delta >> index & 1) as usize]).collect();
        let mut message = Vec::new();
        let own = receive(simd, &session, &pairs, WORDS, &mut rng, &mut message);
        Setting { session, delta, pairs, keys, message: message.try_into().unwrap(), own }
    }

    #[test]
    fn columns_are_correlated() {
        let mut messages = Vec::new();
        for simd in Simd::available() {
            let s = setting(simd);
            let (columns, consistent) = send(simd, &s.session, &s.keys, s.delta, WORDS, &s.message);
            assert!(bool::from(consistent));
            for column in 0..COUNT {
                for word in 0..WORDS {
                    let sum = s.own.sums[column / BITS * WORDS + word];
                    let expected = if s.delta >> column & 1 == 1 { sum } else { 0 };
                    let index = column * WORDS + word;
                    assert_eq!(columns[index] ^ s.own.columns[index], expected, "{simd:?}, {column}");
                }
            }
            messages.push(s.message);
        }
        assert!(messages.windows(2).all(|both| both[0] == both[1]), "backends differ");
    }

    /// All leaves but the hole, for every hole: the constant-time growth against the whole tree.
    #[test]
    fn every_leaf_but_the_hole_is_known() {
        let permutations = Permutations::new(&Cipher::new(Simd::Portable, 5), 3);
        let mut whole = [0; LEAVES];
        let levels = trees::grow(&permutations, 77, &mut whole);
        for hole in 0..LEAVES as u8 {
            let known = leaves_but_one(&permutations, hole, levels.as_flattened(), &[0; BITS]);
            for (leaf, value) in (0u8..).zip(whole) {
                assert_eq!(known[usize::from(leaf)], if leaf == hole { 0 } else { value });
            }
        }
    }

    /// Any altered byte is noticed but those of sums that the sender's digit does not take: there, a receiver's gamble on a
    /// bit of delta.
    #[test]
    fn altered_trees_are_noticed() {
        let s = setting(Simd::Portable);
        for at in (0..MESSAGE_BYTES).step_by(5) {
            let mut bad = s.message;
            bad[at] ^= 0x40;
            let (_, consistent) = send(Simd::Portable, &s.session, &s.keys, s.delta, WORDS, &bad);
            let (group, within) = (at / TREE_BYTES, at % TREE_BYTES);
            let block = within / ELEMENT_BYTES;
            let untaken = group < GROUPS && block < 2 * BITS && {
                let bit = s.delta >> (BITS * group + block / 2) & 1;
                bit == (block % 2) as u128
            };
            assert_eq!(bool::from(consistent), untaken, "byte {at}");
        }
        // Keys that belong to another delta open nothing.
        let (_, consistent) = send(Simd::Portable, &s.session, &s.keys, !s.delta, WORDS, &s.message);
        assert!(!bool::from(consistent) && s.pairs.len() == COUNT);
    }
}
