//! The receiver: factors and products.

use rayon::prelude::*;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::{Error, Result, check_message};
use crate::gf128::{self, ELEMENT_BYTES};
use crate::memory;
use crate::parallel;
use crate::prg::Cipher;
use crate::rng::Rng;
use crate::vole::base_ot;
use crate::vole::base_vole;
use crate::vole::check::{self, ANSWER_BYTES, Weights};
use crate::vole::code::{Code, Pairs};
use crate::vole::extension::{self, Columns};
use crate::vole::kernels::Kernels;
use crate::vole::layout::{Instance, Layout, Mode, Parameters};
use crate::vole::session::Session;
use crate::vole::trees::{Permutations, grow_punctured};

/// The receiver between its extension and the sender's punctured trees.
pub struct Receiver {
    kernels: Kernels,
    session: Session,
    parameters: Parameters,
    layout: Layout,
    choices: Zeroizing<Vec<u128>>,
    columns: Columns,
}

impl Receiver {
    /// Take the sender's base choices and choose noise; returns the message of the base point and the extension.
    ///
    /// `identifier` names this session and no other (16 to 1024 bytes); both parties must give the same.
    pub fn start(
        kernels: Kernels,
        identifier: &[u8],
        parameters: Parameters,
        message: &[u8],
        rng: &mut Rng,
    ) -> Result<(Self, Vec<u8>)> {
        let session = Session::new(identifier, &parameters)?;
        let (mut reply, keys) = base_ot::offer(kernels.backend, &session, message, rng)?;
        let binding = session.digest("base", &[message, &reply]);
        let layout = parameters.layout();
        let choices = Zeroizing::new((0..layout.words()).map(|_| rng.word()).collect::<Vec<_>>());
        let (columns, extension) = extension::receive(kernels.simd, &session, &binding, &keys, &choices, rng);
        reply.extend_from_slice(&extension);
        Ok((Self { kernels, session, parameters, layout, choices, columns }, reply))
    }

    /// Take the sender's message of punctured trees. In malicious mode, the result has a challenge for the sender.
    pub fn expand(self, message: &[u8], rng: &mut Rng) -> Result<Expanded> {
        check_message("punctured trees", message, self.layout.puncture_bytes())?;
        let transfer_words = self.layout.transfer_words();
        let bases = base_vole::values(&self.columns, transfer_words, self.layout.trees() + 1);
        let mut pads = self.columns.rows(self.layout.transfers());
        Cipher::new(self.kernels.simd, self.session.key("pads", &[])).pad(0, &mut pads);
        let seed = rng.word();
        let malicious = self.parameters.mode() == Mode::Malicious;
        let grower = Grower {
            keys: Cipher::new(self.kernels.simd, self.session.key("trees", &[])),
            pads,
            choices: &self.choices[..transfer_words],
            factors: &self.choices[transfer_words..],
            bases,
            weights: malicious.then(|| Weights::new(self.kernels.simd, &self.session, seed)),
        };
        let mut blocks = message.as_chunks::<ELEMENT_BYTES>().0;
        let (mut noises, mut start) = (Vec::new(), Start::default());
        // The weighted sums of the noise and of the leaves, both masked by the base VOLE behind those of the trees.
        let trees = self.layout.trees();
        let mut sums = Zeroizing::new([grower.factors[trees], grower.bases[trees]]);
        for instance in &self.layout.instances {
            let own = blocks.split_off(..instance.trees * (2 * instance.depth + 1)).expect("the length was checked");
            let (noise, parts) = grower.grow(instance, start, own)?;
            noises.push(noise);
            sums.iter_mut().zip(*parts).for_each(|(sum, part)| *sum ^= part);
            start.pass(instance);
        }
        let challenge = malicious.then(|| check::challenge(seed, sums[0]));
        let expected = challenge.as_ref().map(|challenge| check::answer(&self.session, challenge, sums[1]));
        Ok(Expanded { kernels: self.kernels, session: self.session, layout: self.layout, noises, challenge, expected })
    }
}

/// Where an instance starts among all trees, transfers and positions.
#[derive(Clone, Copy, Default)]
struct Start {
    tree: usize,
    transfer: usize,
    position: usize,
}

impl Start {
    fn pass(&mut self, instance: &Instance) {
        self.tree += instance.trees;
        self.transfer += instance.trees * instance.depth;
        self.position += 2 * instance.half();
    }
}

/// The noise of an instance: the first half as two vectors, the second as pairs.
struct Noise {
    products: Zeroizing<Vec<u128>>,
    factors: Zeroizing<Vec<u128>>,
    second: Pairs,
}

struct Grower<'a> {
    keys: Cipher,
    pads: Zeroizing<Vec<u128>>,
    choices: &'a [u128],
    factors: &'a [u128],
    bases: Zeroizing<Vec<u128>>,
    weights: Option<Weights>,
}

/// One tree: its number, its hole, its first position among all, and its part of the sender's message.
struct Tree<'a> {
    number: usize,
    position: usize,
    hole: usize,
    sums: Zeroizing<Vec<u128>>,
    correction: &'a [u8; ELEMENT_BYTES],
}

impl Grower<'_> {
    /// Grow the trees of an instance; returns the noise and the weighted sums of factors and of leaves.
    fn grow(
        &self,
        instance: &Instance,
        start: Start,
        blocks: &[[u8; ELEMENT_BYTES]],
    ) -> Result<(Noise, Zeroizing<[u128; 2]>)> {
        let (half, leaves) = (instance.half(), instance.leaves());
        let mut products = Zeroizing::new(memory::zeros(half));
        let mut factors = Zeroizing::new(memory::zeros(half));
        let mut second = Pairs::new(half);
        let (first_blocks, second_blocks) = blocks.split_at(blocks.len() / 2);
        let stride = 2 * instance.depth + 1;
        let add = |left: [u128; 2], right: [u128; 2]| [left[0] ^ right[0], left[1] ^ right[1]];
        let sums = parallel::install(|| {
            let out = products.par_chunks_mut(leaves).zip(factors.par_chunks_mut(leaves));
            let trees = first_blocks.par_chunks(stride).zip(out).enumerate();
            let first = trees.map(|(index, (blocks, (products, factors)))| {
                let tree = self.tree(instance, start, index, blocks);
                factors[tree.hole] = self.factors[tree.number];
                self.fill(&tree, products)
            });
            let trees = second_blocks.par_chunks(stride).zip(second.as_mut_slice().par_chunks_mut(leaves)).enumerate();
            let second = trees.map_init(
                || Zeroizing::new(vec![0; leaves]),
                |products, (index, (blocks, pairs))| {
                    let tree = self.tree(instance, start, instance.trees / 2 + index, blocks);
                    let sums = self.fill(&tree, products);
                    pairs.iter_mut().zip(products.iter()).for_each(|(pair, product)| pair[0] = *product);
                    pairs[tree.hole][1] = self.factors[tree.number];
                    sums
                },
            );
            add(first.reduce(Default::default, add), second.reduce(Default::default, add))
        })?;
        Ok((Noise { products, factors, second }, Zeroizing::new(sums)))
    }

    fn tree<'a>(&self, instance: &Instance, start: Start, index: usize, blocks: &'a [[u8; ELEMENT_BYTES]]) -> Tree<'a> {
        let (pairs, correction) = blocks.as_chunks::<2>();
        let first = start.transfer + index * instance.depth;
        let mut hole = 0;
        let mut sums = Zeroizing::new(Vec::with_capacity(instance.depth));
        for (level, pair) in pairs.iter().enumerate() {
            let transfer = first + level;
            let choice = self.choices[transfer / 128] >> (transfer % 128) & 1;
            let [left, right] = pair.map(u128::from_le_bytes);
            sums.push(self.pads[transfer] ^ left ^ ((left ^ right) & choice.wrapping_neg()));
            hole |= (1 - choice as usize) << level;
        }
        Tree {
            number: start.tree + index,
            position: start.position + index * instance.leaves(),
            hole,
            sums,
            correction: &correction[0],
        }
    }

    /// Grow a tree into its products; returns the weighted factor and the weighted sum of the products.
    fn fill(&self, tree: &Tree<'_>, products: &mut [u128]) -> [u128; 2] {
        grow_punctured(&Permutations::new(&self.keys, tree.number), tree.hole, &tree.sums, products);
        products[tree.hole] ^= u128::from_le_bytes(*tree.correction) ^ self.bases[tree.number];
        let Some(weights) = &self.weights else { return [0; 2] };
        let factor = gf128::multiply(weights.at(tree.position + tree.hole), self.factors[tree.number]);
        [factor, weights.sum(tree.position, products)]
    }
}

/// The receiver with grown trees.
pub struct Expanded {
    kernels: Kernels,
    session: Session,
    layout: Layout,
    noises: Vec<Noise>,
    challenge: Option<Vec<u8>>,
    expected: Option<[u8; ANSWER_BYTES]>,
}

impl Expanded {
    /// The message for the sender in malicious mode.
    pub fn challenge(&self) -> Option<&[u8]> {
        self.challenge.as_deref()
    }

    /// Verify the sender's answer, which there is in malicious mode and only there, and compress.
    pub fn finish(mut self, answer: Option<&[u8]>) -> Result<Vectors> {
        match (&self.expected, answer) {
            (None, None) => (),
            (Some(expected), Some(answer)) => {
                check_message("answer of the trees", answer, ANSWER_BYTES)?;
                if !bool::from(expected.as_slice().ct_eq(answer)) {
                    return Err(Error::Inconsistent { what: "trees" });
                }
            }
            _ => return Err(Error::OutOfOrder { what: "answer of the trees" }),
        }
        let (mut factors, mut products) = (Zeroizing::new(Vec::new()), Zeroizing::new(Vec::new()));
        for (number, (noise, instance)) in self.noises.drain(..).zip(&self.layout.instances).enumerate() {
            let Noise { products: mut own_products, factors: mut own_factors, mut second } = noise;
            own_products.truncate(instance.outputs);
            own_factors.truncate(instance.outputs);
            Code::new(self.kernels.simd, &self.session, number, instance.half()).compress_pairs(
                &mut own_products,
                &mut own_factors,
                second.as_mut_slice(),
            )?;
            if products.is_empty() {
                (products, factors) = (own_products, own_factors);
            } else {
                products.extend_from_slice(&own_products);
                factors.extend_from_slice(&own_factors);
            }
        }
        Ok(Vectors { factors, products })
    }
}

/// The receiver's output: as many of each as were asked for, `products[i] = factors[i] · delta ⊕ shares[i]`.
pub struct Vectors {
    /// Pseudorandom field elements.
    pub factors: Zeroizing<Vec<u128>>,
    /// What fits the sender's shares.
    pub products: Zeroizing<Vec<u128>>,
}
