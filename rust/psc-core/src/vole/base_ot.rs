//! 128 endemic oblivious transfers on ristretto255: the chooser gets one key of each pair, and its choices stay hidden.
//!
//! Masny and Rindal, "Endemic Oblivious Transfer", ePrint 2019/706, the construction from Diffie–Hellman: for choice c the
//! chooser sends a pair of elements `r`, of which `r[1 - c]` is random and `r[c] = g^b - H(r[1 - c])`; the offerer sends
//! `g^a`; key j of the pair is a hash of `(r[j] + H(r[1 - j]))^a`. It is secure against malicious parties when `H` is a
//! random oracle to the group; either party may bias its own keys ("endemic"), which the extension allows. `H` and the key
//! hash take the session, the number of the pair and the position.

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use rayon::prelude::*;
use subtle::{Choice, ConditionallySelectable};
use zeroize::{Zeroize, Zeroizing};

use crate::backend::{Backend, Scalars};
use crate::error::{Error, Reason, Result, check_message};
use crate::group::{self, Encoding, POINT_BYTES, Secret};
use crate::hash::Expander;
use crate::parallel;
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
        let oracle = Oracle::new(session)?;
        let pairs: Vec<[Encoding; 2]> = parallel::install(|| {
            let numbered = uniform.par_iter().zip(powers.as_chunks::<POINT_BYTES>().0).enumerate();
            numbered
                .map(|(index, (uniform, power))| pair(&oracle, index, choices >> index & 1, uniform, power))
                .collect::<Vec<_>>()
        })?
        .into_iter()
        .collect::<Result<_>>()?;
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
    let oracle = Oracle::new(session)?;
    let pairs = choices.as_chunks::<POINT_BYTES>().0;
    let points: Vec<Encoding> = parallel::install(|| {
        (0..pairs.len()).into_par_iter().map(|index| oracle.sum(pairs, index)).collect::<Vec<_>>()
    })?
    .into_iter()
    .collect::<Result<_>>()?;
    let secret = rng.scalar();
    let mut offer = [[0; POINT_BYTES]];
    backend
        .multiply(&[RISTRETTO_BASEPOINT_COMPRESSED.0], Scalars::One(&secret), &mut offer)
        .map_err(|(index, reason)| Error::InvalidElement { index, reason })?;
    let shared = Zeroizing::new(group::multiply(backend, points.as_flattened(), &secret)?);
    let keys = shared.as_chunks::<POINT_BYTES>().0.as_chunks::<2>().0.iter().enumerate().map(|(index, points)| {
        [0, 1].map(|position| key(session, &sent, &offer[0], index, position, &points[usize::from(position)]))
    });
    Ok((offer[0].to_vec(), Zeroizing::new(keys.collect())))
}

/// The random oracle to the group.
struct Oracle(Expander);

impl Oracle {
    fn new(session: &Session) -> Result<Self> {
        let tag = [b"PSC-V1-vole-base-ot-".as_slice(), &session.digest("base-ot-oracle", &[])].concat();
        Ok(Self(Expander::new(&tag)?))
    }

    /// What element `position` of pair `index` hashes to.
    fn hash(&self, index: usize, position: u8, element: &Encoding) -> Result<RistrettoPoint> {
        let mut message = [0; 2 + POINT_BYTES];
        message[0] = index as u8;
        message[1] = position;
        message[2..].copy_from_slice(element);
        let uniform = self.0.expand(&message, 64)?;
        Ok(RistrettoPoint::from_uniform_bytes(uniform.first_chunk().expect("64 bytes")))
    }

    /// Decode an element of the pairs, and add the hash of the other of its pair.
    fn sum(&self, elements: &[Encoding], number: usize) -> Result<Encoding> {
        let other = number ^ 1;
        let refused = |reason| Error::InvalidElement { index: number, reason };
        let own = elements[number];
        if own == [0; POINT_BYTES] {
            return Err(refused(Reason::Identity));
        }
        let own = CompressedRistretto(own).decompress().ok_or(refused(Reason::NotCanonical))?;
        Ok((own + self.hash(number / 2, (other % 2) as u8, &elements[other])?).compress().0)
    }
}

/// The chooser's pair for a choice, from 64 uniform bytes and the power of its secret.
fn pair(oracle: &Oracle, index: usize, choice: u128, uniform: &[u8; 64], power: &Encoding) -> Result<[Encoding; 2]> {
    let random = RistrettoPoint::from_uniform_bytes(uniform).compress().0;
    let hashed = oracle.hash(index, 1 - choice as u8, &random)?;
    let power = CompressedRistretto(*power).decompress().expect("an encoding of our own");
    let chosen = (power - hashed).compress().0;
    let choice = Choice::from(choice as u8);
    let mut pair = [chosen, random];
    let [first, second] = &mut pair;
    first.iter_mut().zip(second).for_each(|(a, b)| u8::conditional_swap(a, b, choice));
    Ok(pair)
}

fn key(session: &Session, choices: &[u8; 32], offer: &[u8], index: usize, position: u8, point: &Encoding) -> u128 {
    session.key("base-ot-key", &[choices, offer, &[index as u8, position], point])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Kind;
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
