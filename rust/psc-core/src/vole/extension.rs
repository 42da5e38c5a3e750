//! From 128 base transfers, many correlated ones under the same `delta`, with a check.
//!
//! The receiver has a word of choice bits b and gets `t`; the sender gets `q` with `q = t ⊕ b · delta` for every bit b:
//! the subspace VOLE of Roy, "SoftSpokenOT", ePrint 2022/192, with the repetition code, from the VOLEs of [`super::small`]
//! over fields of 16 elements. Everything is kept as 128 *columns* of words: column i holds bit i of every `t` or `q`, 128
//! transfers a word. The receiver corrects the 32 random vectors of the small VOLEs to its one vector of choices.
//!
//! The check is sent in both modes, because it costs 2 KiB and less than a millisecond: a linear hash over GF(2^128) of the
//! choices and of every column must satisfy the same relation. The last word of choices is random, used for nothing else,
//! and enters the hash with coefficient 1, so the hash says nothing about the others. The other coefficients are drawn
//! from a digest of the messages before it (Fiat and Shamir), so that no message is needed for them. A receiver that extends
//! inconsistently passes only when it guesses the bits of `delta` that it touches, as the theorem allows: it is caught
//! otherwise, and has learned c bits with probability 2^-c. (Section 4 of the same paper. The trees of the small VOLEs have a
//! check of their own; which of the two failed is not shown.)

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::{Error, Result, check_message};
use crate::gf128::{self, ELEMENT_BYTES};
use crate::prg::Cipher;
use crate::rng::Rng;
use crate::simd::Simd;
use crate::transpose::transpose;
use crate::vole::base_ot::COUNT;
use crate::vole::session::Session;
use crate::vole::small::{self, GROUPS};

/// 128 columns of equally many words.
pub struct Columns {
    cells: Zeroizing<Vec<u128>>,
    words: usize,
}

/// Bytes of the receiver's message for a number of words: the small trees, the corrections, and the check.
pub fn message_bytes(words: usize) -> usize {
    checked_bytes(words) + ELEMENT_BYTES * (1 + COUNT)
}

fn checked_bytes(words: usize) -> usize {
    small::MESSAGE_BYTES + ELEMENT_BYTES * GROUPS * words
}

impl Columns {
    /// A word of every column: the rows of 128 transfers, transposed.
    pub fn word(&self, word: usize) -> Zeroizing<[u128; COUNT]> {
        Zeroizing::new(core::array::from_fn(|column| self.cells[column * self.words + word]))
    }

    /// Rows of the first `count` transfers.
    pub fn rows(&self, count: usize) -> Zeroizing<Vec<u128>> {
        let mut rows = Zeroizing::new(Vec::with_capacity(count.next_multiple_of(COUNT)));
        for word in 0..count.div_ceil(COUNT) {
            let mut square = self.word(word);
            transpose(&mut square);
            rows.extend_from_slice(&*square);
        }
        rows.truncate(count);
        rows
    }

    /// The linear hash of every column.
    fn hashes(&self, simd: Simd, coefficients: &[u128]) -> Zeroizing<Vec<u128>> {
        let columns = self.cells.chunks_exact(self.words);
        Zeroizing::new(columns.map(|column| gf128::inner_product(simd, coefficients, column)).collect())
    }
}

/// The receiver's side: choose by words of bits, of which the last is random and used for nothing else.
///
/// `binding` is a digest of all messages before. Returns its columns, and the message for the sender.
pub fn receive(
    simd: Simd,
    session: &Session,
    binding: &[u8; 32],
    keys: &[[u128; 2]],
    choices: &[u128],
    rng: &mut Rng,
) -> (Columns, Vec<u8>) {
    assert_eq!(keys.len(), COUNT, "a pair of keys a column");
    let words = choices.len();
    let mut message = Vec::with_capacity(message_bytes(words));
    let small::Own { columns: cells, sums } = small::receive(simd, session, keys, words, rng, &mut message);
    let own = Columns { cells, words };
    gf128::append(&mut message, sums.iter().zip(choices.iter().cycle()).map(|(sum, bits)| sum ^ bits));
    let coefficients = coefficients(simd, session, binding, &message, words);
    gf128::append(&mut message, [gf128::inner_product(simd, &coefficients, choices)]);
    gf128::append(&mut message, own.hashes(simd, &coefficients).iter().copied());
    (own, message)
}

/// The sender's side: from the keys that the complement of `delta`'s bits chose and the receiver's message, its columns.
pub fn send(
    simd: Simd,
    session: &Session,
    binding: &[u8; 32],
    keys: &[u128],
    delta: u128,
    words: usize,
    message: &[u8],
) -> Result<Columns> {
    assert_eq!(keys.len(), COUNT, "a key a column");
    check_message("extension", message, message_bytes(words))?;
    let (checked, check) = message.split_at(checked_bytes(words));
    let (trees, corrections) = checked.split_first_chunk().expect("the length was checked");
    let (cells, mut consistent) = small::send(simd, session, keys, delta, words, trees);
    let mut own = Columns { cells, words };
    let corrections: Vec<u128> = gf128::from_bytes(corrections).collect();
    for (column, cells) in own.cells.chunks_exact_mut(words).enumerate() {
        let correction = &corrections[column / (COUNT / GROUPS) * words..][..words];
        let mask = bit_mask(delta, column);
        cells.iter_mut().zip(correction).for_each(|(cell, correction)| *cell ^= correction & mask);
    }
    let coefficients = coefficients(simd, session, binding, checked, words);
    let mut check = gf128::from_bytes(check);
    let chosen = check.next().expect("the length was checked");
    for (index, (hash, theirs)) in own.hashes(simd, &coefficients).iter().zip(check).enumerate() {
        consistent &= (hash ^ theirs).ct_eq(&(chosen & bit_mask(delta, index)));
    }
    if consistent.into() { Ok(own) } else { Err(Error::Inconsistent { what: "extension" }) }
}

/// All ones where the bit is set.
fn bit_mask(bits: u128, index: usize) -> u128 {
    (bits >> index & 1).wrapping_neg()
}

fn coefficients(simd: Simd, session: &Session, binding: &[u8; 32], checked: &[u8], words: usize) -> Vec<u128> {
    let mut coefficients = vec![1; words];
    let key = session.key("extension-check", &[binding, checked]);
    Cipher::new(simd, key).stream(0, &mut coefficients[..words - 1]);
    coefficients
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
        choices: Vec<u128>,
    }

    fn setting(words: usize) -> Setting {
        let mut rng = Rng::insecure_from_seed(b"extension");
        let mut word = || {
            let mut bytes = [0; 16];
            rng.fill(&mut bytes);
            u128::from_le_bytes(bytes)
        };
        let delta = word();
        let pairs: Vec<[u128; 2]> = (0..COUNT).map(|_| [word(), word()]).collect();
        let keys = pairs.iter().enumerate().map(|(index, pair)| pair[(!delta >> index & 1) as usize]).collect();
        let choices = (0..words).map(|_| word()).collect();
        let parameters = Parameters::new(1, Mode::Malicious).unwrap();
        let session = Session::new(b"extension session", &parameters).unwrap();
        Setting { session, delta, pairs, keys, choices }
    }

    fn send_it(s: &Setting, simd: Simd, message: &[u8]) -> Result<Columns> {
        send(simd, &s.session, &[7; 32], &s.keys, s.delta, s.choices.len(), message)
    }

    #[test]
    fn every_row_is_correlated() {
        let s = setting(5);
        let mut messages = Vec::new();
        for simd in Simd::available() {
            let (received, message) =
                receive(simd, &s.session, &[7; 32], &s.pairs, &s.choices, &mut Rng::insecure_from_seed(b"roots"));
            assert_eq!(message.len(), message_bytes(5));
            let sent = send_it(&s, simd, &message).unwrap();
            for count in [0, 1, 127, 128, 129, 640] {
                let (t, q) = (received.rows(count), sent.rows(count));
                assert_eq!((t.len(), q.len()), (count, count));
                for (index, (t, q)) in t.iter().zip(q.iter()).enumerate() {
                    assert_eq!(t ^ q, s.delta & bit_mask(s.choices[index / 128], index % 128));
                }
            }
            messages.push(message);
        }
        assert!(messages.windows(2).all(|both| both[0] == both[1]), "backends differ");
    }

    #[test]
    fn altered_messages_are_refused() {
        let s = setting(3);
        let simd = Simd::selected().unwrap();
        let (_, message) =
            receive(simd, &s.session, &[7; 32], &s.pairs, &s.choices, &mut Rng::insecure_from_seed(b"roots"));
        for at in (0..message.len()).step_by(61).chain([message.len() - 1]) {
            let mut bad = message.clone();
            bad[at] ^= 1;
            assert_eq!(send_it(&s, simd, &bad).err(), Some(Error::Inconsistent { what: "extension" }), "byte {at}");
        }
        assert!(send(simd, &s.session, &[8; 32], &s.keys, s.delta, 3, &message).is_err(), "bound to what came before");
        assert!(matches!(send_it(&s, simd, &message[1..]), Err(Error::MessageLength { .. })));
    }

    /// A receiver that uses other choices with one digit, and computes the check for what it sent, gambles on that digit of
    /// delta: it passes where the digit is 0 (its deviation has no effect), and is caught elsewhere.
    #[test]
    fn inconsistent_choices_are_a_gamble_on_delta() {
        let simd = Simd::selected().unwrap();
        let mut passed = 0;
        for group in 0..GROUPS {
            let mut s = setting(3);
            // A digit of zero in every second group.
            if group % 2 == 0 {
                s.delta &= !(15 << (4 * group));
                let chosen = |index: usize| (!s.delta >> index & 1) as usize;
                s.keys = s.pairs.iter().enumerate().map(|(index, pair)| pair[chosen(index)]).collect();
            }
            let mut rng = Rng::insecure_from_seed(b"roots");
            let (own, honest) = receive(simd, &s.session, &[7; 32], &s.pairs, &s.choices, &mut rng);
            let mut message = honest[..checked_bytes(3)].to_vec();
            message[small::MESSAGE_BYTES + group * 48 + 5] ^= 4;
            let coefficients = coefficients(simd, &s.session, &[7; 32], &message, 3);
            gf128::append(&mut message, [gf128::inner_product(simd, &coefficients, &s.choices)]);
            gf128::append(&mut message, own.hashes(simd, &coefficients).iter().copied());
            let accepted = send_it(&s, simd, &message).is_ok();
            assert_eq!(accepted, s.delta >> (4 * group) & 15 == 0, "group {group}");
            passed += i32::from(accepted);
        }
        assert!(passed >= 16);
    }
}
