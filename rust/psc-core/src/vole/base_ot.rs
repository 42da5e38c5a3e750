//! 128 endemic oblivious transfers on ristretto255: the chooser gets one key of each pair, and its choices stay hidden.
//!
//! Masny and Rindal, "Endemic Oblivious Transfer", ePrint 2019/706, the construction from Diffie–Hellman: for choice c the
//! chooser sends a pair of elements `r`, of which `r[1 - c]` is random and `r[c] = g^b - H(r[1 - c])`; the offerer sends
//! `g^a`; key j of the pair is a hash of `(r[j] + H(r[1 - j]))^a`. It is secure against malicious parties when `H` is a
//! random oracle to the group; either party may bias its own keys ("endemic"), which the extension allows. `H` and the key
//! hash take the session, the number of the pair and the position.

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED;
use zeroize::{Zeroize, Zeroizing};

use crate::backend::{Backend, BadPoint, Scalars};
use crate::error::{Error, Result, check_message};
use crate::group::{self, Encoding, POINT_BYTES, Secret};
use crate::hash::Expander;
use crate::items::Items;
use crate::rng::Rng;
use crate::vole::session::Session;

/// Transfers: one a bit of delta.
pub const COUNT: usize = 128;
/// Bytes of the chooser's message: two elements a transfer.
pub const CHOICE_BYTES: usize = COUNT * 2 * POINT_BYTES;
/// Bytes of the offerer's message: one element.
pub const OFFER_BYTES: usize = POINT_BYTES;

/// The chooser between its message and the offerer's.
pub struct Chooser {
    choices: u128,
    secrets: Vec<Secret>,
    /// Hash of the message that was sent.
    sent: [u8; 32],
}

impl Drop for Chooser {
    fn drop(&mut self) {
        self.choices.zeroize();
    }
}

impl Chooser {
    /// Choose key `i`-th bit of `choices` of pair i; returns the message for the offerer.
    pub fn start(backend: &dyn Backend, session: &Session, choices: u128, rng: &mut Rng) -> Result<(Self, Vec<u8>)> {
        let secrets: Vec<Secret> = (0..COUNT).map(|_| rng.scalar()).collect();
        let powers = group::multiply_each(backend, &RISTRETTO_BASEPOINT_COMPRESSED.0.repeat(COUNT), &secrets)?;
        let mut uniform = vec![[0; 64]; COUNT];
        uniform.iter_mut().for_each(|bytes| rng.fill(bytes));
        let mut random = vec![[0; POINT_BYTES]; COUNT];
        backend.derive(&uniform, None, &mut random);
        let positions = (0..COUNT).map(|index| 2 * index + (1 - (choices >> index & 1) as usize));
        let hashed = hash(backend, session, positions.zip(&random))?;
        let mut chosen = vec![[0; POINT_BYTES]; COUNT];
        backend.combine(powers.as_chunks().0, &hashed, true, &mut chosen).map_err(refused)?;
        let mut pairs: Vec<[Encoding; 2]> = chosen.into_iter().zip(random).map(|(c, r)| [c, r]).collect();
        for (index, [first, second]) in pairs.iter_mut().enumerate() {
            let swapped = ((choices >> index & 1) as u8).wrapping_neg();
            for (a, b) in first.iter_mut().zip(second) {
                let difference = (*a ^ *b) & swapped;
                *a ^= difference;
                *b ^= difference;
            }
        }
        let message = pairs.as_flattened().as_flattened().to_vec();
        let sent = session.digest("base-ot-choices", &[&message]);
        Ok((Self { choices, secrets, sent }, message))
    }

    /// Return the chosen key of every pair.
    pub fn finish(&self, backend: &dyn Backend, session: &Session, offer: &[u8]) -> Result<Zeroizing<Vec<u128>>> {
        check_message("base point", offer, OFFER_BYTES)?;
        let shared = Zeroizing::new(group::multiply_each(backend, &offer.repeat(COUNT), &self.secrets)?);
        let points = shared.as_chunks::<POINT_BYTES>().0.iter().enumerate();
        let keys = points
            .map(|(index, point)| key(session, &self.sent, offer, index, (self.choices >> index & 1) as u8, point));
        Ok(Zeroizing::new(keys.collect()))
    }
}

/// Both keys of every pair.
pub type Pairs = Zeroizing<Vec<[u128; 2]>>;

/// Answer a chooser: return the message for it, and the keys.
pub fn offer(backend: &dyn Backend, session: &Session, choices: &[u8], rng: &mut Rng) -> Result<(Vec<u8>, Pairs)> {
    check_message("base choices", choices, CHOICE_BYTES)?;
    let sent = session.digest("base-ot-choices", &[choices]);
    let elements = choices.as_chunks::<POINT_BYTES>().0;
    backend.check(elements).map_err(refused)?;
    // To every element the hash of the other of its pair.
    let others = (0..elements.len()).map(|number| (number ^ 1, &elements[number ^ 1]));
    let hashed = hash(backend, session, others)?;
    let mut points = vec![[0; POINT_BYTES]; elements.len()];
    backend.combine(elements, &hashed, false, &mut points).map_err(refused)?;
    let secret = rng.scalar();
    let mut offer = [[0; POINT_BYTES]];
    backend.multiply(&[RISTRETTO_BASEPOINT_COMPRESSED.0], Scalars::One(&secret), &mut offer).map_err(refused)?;
    let shared = Zeroizing::new(group::multiply(backend, points.as_flattened(), &secret)?);
    let keys = shared.as_chunks::<POINT_BYTES>().0.as_chunks::<2>().0.iter().enumerate().map(|(index, points)| {
        [0, 1].map(|position| key(session, &sent, &offer[0], index, position, &points[usize::from(position)]))
    });
    Ok((offer[0].to_vec(), Zeroizing::new(keys.collect())))
}

fn refused((index, reason): BadPoint) -> Error {
    Error::InvalidElement { index, reason }
}

/// The random oracle to the group: what elements at given positions hash to. Positions count through all pairs.
fn hash<'a>(
    backend: &dyn Backend,
    session: &Session,
    elements: impl Iterator<Item = (usize, &'a Encoding)>,
) -> Result<Vec<Encoding>> {
    let tag = [b"PSC-V1-vole-base-ot-".as_slice(), &session.digest("base-ot-oracle", &[])].concat();
    let messages: Vec<[u8; 2 + POINT_BYTES]> = elements
        .map(|(position, element)| {
            let mut message = [0; 2 + POINT_BYTES];
            message[..2].copy_from_slice(&(position as u16).to_le_bytes());
            message[2..].copy_from_slice(element);
            message
        })
        .collect();
    let items = Items::from_slices(messages.iter().map(<[u8; _]>::as_slice))?;
    let uniform = Expander::new(&tag)?.expand_items(backend, &items, 0, items.len());
    let mut hashed = vec![[0; POINT_BYTES]; messages.len()];
    backend.derive(&uniform, None, &mut hashed);
    Ok(hashed)
}

fn key(session: &Session, choices: &[u8; 32], offer: &[u8], index: usize, position: u8, point: &Encoding) -> u128 {
    session.key("base-ot-key", &[choices, offer, &[index as u8, position], point])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Kind;
    use crate::error::Reason;
    use crate::vole::layout::{Mode, Parameters};

    fn session(name: &[u8; 16]) -> Session {
        Session::new(name, &Parameters::new(1, Mode::Malicious).unwrap()).unwrap()
    }

    #[test]
    fn chosen_keys_agree_and_others_differ() {
        let choices = 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978;
        let here = session(b"a base session..");
        let mut seen = Vec::new();
        for kind in Kind::available() {
            let mut rng = Rng::insecure_from_seed(b"base ot");
            let (chooser, message) = Chooser::start(kind.get(), &here, choices, &mut rng).unwrap();
            assert_eq!(message.len(), CHOICE_BYTES);
            let (answer, pairs) = offer(kind.get(), &here, &message, &mut rng).unwrap();
            let keys = chooser.finish(kind.get(), &here, &answer).unwrap();
            for (index, (key, pair)) in keys.iter().zip(pairs.iter()).enumerate() {
                let chosen = (choices >> index & 1) as usize;
                assert_eq!(*key, pair[chosen]);
                assert_ne!(*key, pair[1 - chosen]);
            }
            // Bound to the session and to the transcript.
            let elsewhere = chooser.finish(kind.get(), &session(b"another session."), &answer).unwrap();
            assert!(elsewhere.iter().zip(pairs.iter()).all(|(key, pair)| !pair.contains(key)));
            let (_, other) = offer(kind.get(), &session(b"another session."), &message, &mut rng).unwrap();
            assert!(other.iter().zip(keys.iter()).all(|(pair, key)| !pair.contains(key)));
            seen.push((message, answer, keys.to_vec()));
        }
        assert!(seen.windows(2).all(|both| both[0] == both[1]), "backends differ");
    }

    #[test]
    fn hostile_messages_are_refused() {
        let here = session(b"a base session..");
        let backend = Kind::Portable.get();
        let mut rng = Rng::insecure_from_seed(b"hostile");
        let (chooser, message) = Chooser::start(backend, &here, 5, &mut rng).unwrap();
        for (at, bytes, reason) in [(0, [0; 32], Reason::Identity), (255, [255; 32], Reason::NotCanonical)] {
            let mut bad = message.clone();
            bad[at * 32..][..32].copy_from_slice(&bytes);
            let refused = offer(backend, &here, &bad, &mut rng).err();
            assert_eq!(refused, Some(Error::InvalidElement { index: at, reason }));
            let refused = chooser.finish(backend, &here, &bytes).err();
            assert_eq!(refused, Some(Error::InvalidElement { index: 0, reason }));
        }
        for length in [0, 31, message.len() - 32, message.len() - 1] {
            assert!(offer(backend, &here, &message[..length], &mut rng).is_err());
            assert!(chooser.finish(backend, &here, &message[..length]).is_err());
        }
    }
}
