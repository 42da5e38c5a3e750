//! The sender: delta and shares.

use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result};
use crate::gf128::{self, ELEMENT_BYTES};
use crate::memory;
use crate::parallel;
use crate::prg::Cipher;
use crate::rng::Rng;
use crate::simd::Simd;
use crate::vole::base_ot::Chooser;
use crate::vole::check::{self, Weights};
use crate::vole::code::Code;
use crate::vole::extension::{self, Columns};
use crate::vole::kernels::Kernels;
use crate::vole::layout::{Instance, Layout, Mode, Parameters};
use crate::vole::session::Session;
use crate::vole::trees::{self, Permutations};
use crate::vole::{base_vole, split_extension};

/// The sender between its base choices and the receiver's extension.
pub struct Sender {
    kernels: Kernels,
    session: Session,
    parameters: Parameters,
    layout: Layout,
    delta: Zeroizing<u128>,
    chooser: Chooser,
    choices: Vec<u8>,
}

impl Sender {
    /// Draw delta; returns the message of the base choices.
    ///
    /// `identifier` names this session and no other (16 to 1024 bytes); both parties must give the same.
    pub fn start(
        kernels: Kernels,
        identifier: &[u8],
        parameters: Parameters,
        rng: &mut Rng,
    ) -> Result<(Self, Vec<u8>)> {
        let session = Session::new(identifier, &parameters)?;
        let delta = Zeroizing::new(rng.word());
        let (chooser, choices) = Chooser::start(kernels.backend, &session, !*delta, rng)?;
        let message = choices.clone();
        Ok((Self { kernels, session, parameters, layout: parameters.layout(), delta, chooser, choices }, message))
    }

    /// Take the receiver's base point and extension, verify the extension's check, and grow the trees; returns the message
    /// of the punctured trees.
    pub fn puncture(self, message: &[u8], rng: &mut Rng) -> Result<(Punctured, Vec<u8>)> {
        let Self { kernels, session, parameters, layout, delta, chooser, choices } = self;
        let (offer, extension) = split_extension(message, &layout)?;
        let keys = chooser.finish(kernels.backend, &session, offer)?;
        let binding = session.digest("base", &[&choices, offer]);
        let columns = extension::send(kernels.simd, &session, &binding, &keys, *delta, layout.words(), extension)?;
        let bases = base_vole::values(&columns, layout.transfer_words(), layout.trees() + 1);
        let pads = pads(kernels.simd, &session, &columns, *delta, layout.transfers());
        let roots = Cipher::new(kernels.simd, *Zeroizing::new(rng.word()));
        let grower = Grower { roots, keys: Cipher::new(kernels.simd, session.key("trees", &[])), pads, bases };
        let mut message = vec![0; layout.puncture_bytes()];
        let mut rest = message.as_mut_slice();
        let (mut halves, mut tree, mut transfer) = (Vec::new(), 0, 0);
        for instance in &layout.instances {
            let bytes = ELEMENT_BYTES * instance.trees * (2 * instance.depth + 1);
            let own = rest.split_off_mut(..bytes).expect("the message has room for all trees");
            halves.push(grower.grow(instance, tree, transfer, own)?);
            tree += instance.trees;
            transfer += instance.trees * instance.depth;
        }
        let mask = *grower.bases.last().expect("one base VOLE more than trees");
        let unanswered = parameters.mode() == Mode::Malicious;
        Ok((Punctured { kernels, session, layout, delta, mask, halves, unanswered }, message))
    }
}

/// Both pads of every transfer: for choice 0 and for choice 1.
fn pads(simd: Simd, session: &Session, columns: &Columns, delta: u128, transfers: usize) -> [Zeroizing<Vec<u128>>; 2] {
    let cipher = Cipher::new(simd, session.key("pads", &[]));
    let mut zero = columns.rows(transfers);
    let mut one = Zeroizing::new(zero.iter().map(|row| row ^ delta).collect::<Vec<_>>());
    cipher.pad(0, &mut zero);
    cipher.pad(0, &mut one);
    [zero, one]
}

/// The two halves of the leaves of an instance.
type Halves = [Zeroizing<Vec<u128>>; 2];

struct Grower {
    roots: Cipher,
    keys: Cipher,
    pads: [Zeroizing<Vec<u128>>; 2],
    bases: Zeroizing<Vec<u128>>,
}

impl Grower {
    /// Grow the trees of an instance, whose numbers among all trees and transfers start as given; writes their messages.
    fn grow(&self, instance: &Instance, tree: usize, transfer: usize, message: &mut [u8]) -> Result<Halves> {
        let mut halves = [(); 2].map(|()| Zeroizing::new(memory::zeros(instance.half())));
        let [first, second] = &mut halves;
        let blocks = message.as_chunks_mut::<ELEMENT_BYTES>().0;
        parallel::install(|| {
            let leaves = first.par_chunks_mut(instance.leaves()).chain(second.par_chunks_mut(instance.leaves()));
            let messages = blocks.par_chunks_mut(2 * instance.depth + 1);
            leaves.zip(messages).enumerate().for_each(|(index, (leaves, message))| {
                let root = Zeroizing::new(self.roots.encrypt((tree + index) as u128));
                let sums = trees::grow(&Permutations::new(&self.keys, tree + index), *root, leaves);
                let first = transfer + index * instance.depth;
                for (level, sums) in sums.iter().enumerate() {
                    for side in 0..2 {
                        message[2 * level + side] = (sums[side] ^ self.pads[side][first + level]).to_le_bytes();
                    }
                }
                let [left, right] = sums[instance.depth - 1];
                message[2 * instance.depth] = (left ^ right ^ self.bases[tree + index]).to_le_bytes();
            });
        })?;
        Ok(halves)
    }
}

/// The sender with grown trees.
pub struct Punctured {
    kernels: Kernels,
    session: Session,
    layout: Layout,
    delta: Zeroizing<u128>,
    /// The base VOLE that masks the check.
    mask: u128,
    halves: Vec<Halves>,
    unanswered: bool,
}

impl Drop for Punctured {
    fn drop(&mut self) {
        self.mask.zeroize();
    }
}

impl Punctured {
    /// In malicious mode, once: take the receiver's challenge; returns the answer.
    pub fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>> {
        if !self.unanswered {
            return Err(Error::OutOfOrder { what: "challenge of the trees" });
        }
        let (seed, noise) = check::read_challenge(challenge)?;
        let weights = Weights::new(self.kernels.simd, &self.session, seed);
        let mut sum = Zeroizing::new(self.mask ^ gf128::multiply(noise, *self.delta));
        let mut position = 0;
        for (halves, instance) in self.halves.iter().zip(&self.layout.instances) {
            for half in halves {
                let parts = parallel::install(|| {
                    let trees = half.par_chunks(instance.leaves()).enumerate();
                    let sums = trees.map(|(tree, leaves)| weights.sum(position + tree * instance.leaves(), leaves));
                    sums.reduce(|| 0, |left, right| left ^ right)
                })?;
                *sum ^= parts;
                position += half.len();
            }
        }
        self.unanswered = false;
        Ok(check::answer(&self.session, challenge, *sum).to_vec())
    }

    /// Compress the leaves. In malicious mode the challenge must have been answered.
    pub fn finish(mut self) -> Result<Shares> {
        if self.unanswered {
            return Err(Error::OutOfOrder { what: "shares before the answer" });
        }
        let mut shares = Zeroizing::new(Vec::new());
        for (number, (halves, instance)) in self.halves.drain(..).zip(&self.layout.instances).enumerate() {
            let [mut first, mut second] = halves;
            first.truncate(instance.outputs);
            Code::new(self.kernels.simd, &self.session, number, instance.half())
                .compress_shares(&mut first, &mut second)?;
            if shares.is_empty() {
                shares = first;
            } else {
                shares.extend_from_slice(&first);
            }
        }
        Ok(Shares { delta: self.delta.clone(), shares })
    }
}

/// The sender's output.
pub struct Shares {
    /// One random field element for all.
    pub delta: Zeroizing<u128>,
    /// As many as outputs were asked for.
    pub shares: Zeroizing<Vec<u128>>,
}
