//! From 128 base transfers, many correlated ones under the same `delta`, with a check.
//!
//! The receiver has a word of choice bits b and gets `t`; the sender gets `q` with `q = t ⊕ b · delta` for every bit b:
//! the subspace VOLE of Roy, "SoftSpokenOT", ePrint 2022/192, in its smallest case (k = 1: the extension of Ishai, Kilian,
//! Nissim, Petrank, with Roy's check of section 4). Everything is kept as 128 *columns* of words: column i holds bit i of
//! every `t` or `q`, 128 transfers a word.
//!
//! The check is sent in both modes, because it costs 2 KiB and less than a millisecond: a linear hash over GF(2^128) of the
//! choices and of every column must satisfy the same relation. The last word of choices is random, used for nothing else,
//! and enters the hash with coefficient 1, so the hash says nothing about the others. The other coefficients are drawn
//! from a digest of the message itself (Fiat and Shamir), so that no message is needed for them. A receiver that extends
//! inconsistently passes only when it guesses the bits of `delta` that it touches, as the theorem allows: it is caught
//! otherwise, and has learned c bits with probability 2^-c.

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::error::{Error, Result, check_message};
use crate::gf128::{self, ELEMENT_BYTES};
use crate::prg::Cipher;
use crate::simd::Simd;
use crate::transpose::transpose;
use crate::vole::base_ot::COUNT;
use crate::vole::session::Session;

/// 128 columns of equally many words.
pub struct Columns {
    cells: Zeroizing<Vec<u128>>,
    words: usize,
}

/// Bytes of the receiver's message for a number of words: the corrections, and the check.
pub fn message_bytes(words: usize) -> usize {
    ELEMENT_BYTES * (COUNT * words + 1 + COUNT)
}

impl Columns {
    /// One column for each base key, from its key stream.
    fn expand<'a>(simd: Simd, keys: impl ExactSizeIterator<Item = &'a u128>, words: usize) -> Self {
        let mut cells = Zeroizing::new(vec![0; keys.len() * words]);
        for (key, column) in keys.zip(cells.chunks_exact_mut(words)) {
            Cipher::new(simd, *key).stream(0, column);
        }
        Self { cells, words }
    }

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
) -> (Columns, Vec<u8>) {
    assert_eq!(keys.len(), COUNT, "a pair of keys a column");
    let own = Columns::expand(simd, keys.iter().map(|pair| &pair[0]), choices.len());
    let other = Columns::expand(simd, keys.iter().map(|pair| &pair[1]), choices.len());
    let mut message = Vec::with_capacity(message_bytes(choices.len()));
    let masks = own.cells.iter().zip(other.cells.iter());
    gf128::append(&mut message, masks.zip(choices.iter().cycle()).map(|((own, other), bits)| own ^ other ^ bits));
    let coefficients = coefficients(simd, session, binding, &message, choices.len());
    gf128::append(&mut message, [gf128::inner_product(simd, &coefficients, choices)]);
    gf128::append(&mut message, own.hashes(simd, &coefficients).iter().copied());
    (own, message)
}

/// The sender's side: from the keys that the bits of `delta` chose and the receiver's message, its columns.
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
    let (corrections, check) = message.split_at(ELEMENT_BYTES * COUNT * words);
    let mut own = Columns::expand(simd, keys.iter(), words);
    for (index, (cell, correction)) in own.cells.iter_mut().zip(gf128::from_bytes(corrections)).enumerate() {
        *cell ^= correction & bit_mask(delta, index / words);
    }
    let coefficients = coefficients(simd, session, binding, corrections, words);
    let mut check = gf128::from_bytes(check);
    let chosen = check.next().expect("the length was checked");
    let mut consistent = Choice::from(1);
    for (index, (hash, theirs)) in own.hashes(simd, &coefficients).iter().zip(check).enumerate() {
        consistent &= (hash ^ theirs).ct_eq(&(chosen & bit_mask(delta, index)));
    }
    if consistent.into() { Ok(own) } else { Err(Error::Inconsistent { what: "extension" }) }
}

/// All ones where the bit is set.
fn bit_mask(bits: u128, index: usize) -> u128 {
    (bits >> index & 1).wrapping_neg()
}

fn coefficients(simd: Simd, session: &Session, binding: &[u8; 32], corrections: &[u8], words: usize) -> Vec<u128> {
    let mut coefficients = vec![1; words];
    let key = session.key("extension-check", &[binding, corrections]);
    Cipher::new(simd, key).stream(0, &mut coefficients[..words - 1]);
    coefficients
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
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
        let keys = pairs.iter().enumerate().map(|(index, pair)| pair[(delta >> index & 1) as usize]).collect();
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
            let (received, message) = receive(simd, &s.session, &[7; 32], &s.pairs, &s.choices);
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
        let (_, message) = receive(simd, &s.session, &[7; 32], &s.pairs, &s.choices);
        for at in (0..message.len()).step_by(61).chain([message.len() - 1]) {
            let mut bad = message.clone();
            bad[at] ^= 1;
            assert_eq!(send_it(&s, simd, &bad).err(), Some(Error::Inconsistent { what: "extension" }), "byte {at}");
        }
        assert!(send(simd, &s.session, &[8; 32], &s.keys, s.delta, 3, &message).is_err(), "bound to what came before");
        assert!(matches!(send_it(&s, simd, &message[1..]), Err(Error::MessageLength { .. })));
    }

    /// A receiver that uses other choices in one column, and computes the check for what it sent, gambles on one bit of
    /// delta: it passes where the bit is 0 (its deviation has no effect), and is caught where the bit is 1.
    #[test]
    fn inconsistent_choices_are_a_gamble_on_delta() {
        let s = setting(3);
        let simd = Simd::selected().unwrap();
        for column in 0..COUNT {
            let (own, honest) = receive(simd, &s.session, &[7; 32], &s.pairs, &s.choices);
            let mut message = honest[..ELEMENT_BYTES * COUNT * 3].to_vec();
            message[column * 48 + 5] ^= 4;
            let coefficients = coefficients(simd, &s.session, &[7; 32], &message, 3);
            gf128::append(&mut message, [gf128::inner_product(simd, &coefficients, &s.choices)]);
            gf128::append(&mut message, own.hashes(simd, &coefficients).iter().copied());
            assert_eq!(send_it(&s, simd, &message).is_ok(), s.delta >> column & 1 == 0, "column {column}");
        }
    }
}
