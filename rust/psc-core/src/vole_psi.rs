//! Private set intersection from silent VOLE and a key-value store: Raghuraman and Rindal, "Blazing Fast PSI from Improved
//! OKVS and Subfield VOLE", ePrint 2022/320, with its values in the full field GF(2^128).
//!
//! The receiver learns which of its items the sender has. Before, the two ran a VOLE ([`crate::vole`]) over as many
//! elements as the receiver's store has columns: the receiver has `factors` and `products`, the sender `delta` and
//! `shares`, with `products = factors · delta + shares`.
//!
//! ```text
//! receiver (items y)                                                  sender (items x)
//!                                               ◀────────  commitment to its mask        (malicious mode only)
//!   seed                                        ────────▶
//!   table + factors, in pieces                  ────────▶  shares += delta · piece
//!   its mask                                    ────────▶                                (malicious mode only)
//!                                               ◀────────  opening of the commitment     (malicious mode only)
//!                                               ◀────────  tags of its items, sorted
//! ```
//!
//! * The seed keys the hash that gives each item a row of the store and a value h(item).
//! * table is the store of h(y) under y: looking up y in it gives h(y).
//! * The tag of an item is the start of `Hash(value, item)` with `value = lookup(products, y) + w` at the receiver and
//!   `lookup(shares, x) + delta · h(x) + w` at the sender, where shares are those after the pieces. Both are equal when
//!   `x = y`, since lookups are linear; otherwise the sender's is uniform to the receiver, who does not know delta.
//! * w is 0, or in malicious mode the sum of both masks: neither party chose it.
//! * `Hash` takes the item by the 48 bytes of its row and value, which differ for different items. So an attacker who
//!   guesses values must guess for one item at a time.
//!
//! What the messages show: the table leaves under the factors, which are pseudorandom to the sender, so neither the items
//! nor the store's free columns show. Tags of the sender's other items are pseudorandom to the receiver; sorted, they say
//! nothing of the order of the items. All lengths follow from [`Parameters`].
//!
//! A malicious receiver may choose table as it likes, and so learn about as many of the sender's items as the store has
//! columns ([`Parameters::columns`]), not only as it has items. A malicious sender may send any tags, which equals having
//! other items.

use std::sync::OnceLock;

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result, check_count, check_message, check_range};
use crate::gf128::{self, ELEMENT_BYTES};
use crate::items::Items;
use crate::memory;
use crate::okvs::{self, KEYS_MAX, Row, Rows, Shape};
use crate::oprf::OprfOutputs;
use crate::parallel;
use crate::rng::Rng;
use crate::simd::Simd;
use crate::vole::Mode;
use crate::vole::receiver::Vectors;
use crate::vole::sender::Shares;
use crate::wide_hash::{Block, Key};

mod matching;

use matching::Tag;

/// Bytes of the receiver's seed.
pub const SEED_BYTES: usize = 32;
/// Bytes of a mask.
pub const MASK_BYTES: usize = ELEMENT_BYTES;
/// Bytes of the sender's commitment to its mask.
pub const COMMITMENT_BYTES: usize = 32;
/// Bytes of the opening: the mask, and what hid it.
pub const OPENING_BYTES: usize = MASK_BYTES + NONCE_BYTES;
const NONCE_BYTES: usize = 32;
/// The most shards of a run.
const SHARDS_MAX: usize = 1 << 20;
/// Bits of statistical security: false matches are rarer than 2^-40.
const STATISTICAL_BITS: u32 = 40;
/// Items that are evaluated at once.
const BATCH: usize = 256;
/// Items that one task evaluates.
const CHUNK_ITEMS: usize = 4096;
/// Elements that one task masks or absorbs.
const CHUNK_ELEMENTS: usize = 1 << 14;

/// What both parties know before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parameters {
    receiver_size: usize,
    sender_size: usize,
    mode: Mode,
    shards: usize,
    shape: Shape,
}

impl Parameters {
    /// Items of the receiver and of the sender: public numbers, so pad first.
    pub fn new(receiver_size: usize, sender_size: usize, mode: Mode) -> Result<Self> {
        check_range("sender size", sender_size, 0, KEYS_MAX)?;
        Ok(Self { receiver_size, sender_size, mode, shards: 1, shape: Shape::new(receiver_size)? })
    }

    /// One of so many runs (at most 2^20) of about this size that give one result: all together have at most the false
    /// matches that one may have, so tags are longer.
    pub fn in_shards(self, shards: usize) -> Result<Self> {
        check_range("shards", shards, 1, SHARDS_MAX)?;
        Ok(Self { shards, ..self })
    }

    /// Elements of the store's table, and so of the VOLE.
    pub fn columns(&self) -> usize {
        self.shape.columns()
    }

    /// Bytes of a tag: so many that a false match among all pairs of all shards is rarer than 2^-40, and 16 in malicious
    /// mode.
    pub fn tag_bytes(&self) -> usize {
        let pairs = self.receiver_size as u128 * self.sender_size as u128 * self.shards as u128;
        let bits = STATISTICAL_BITS + (u128::BITS - pairs.saturating_sub(1).leading_zeros());
        if self.mode == Mode::Malicious { ELEMENT_BYTES } else { (bits as usize).div_ceil(8).min(ELEMENT_BYTES) }
    }

    fn keys(&self, context: &[u8], seed: &[u8; SEED_BYTES]) -> Keys {
        let sizes = [self.receiver_size, self.sender_size, self.shards].map(|size| (size as u64).to_le_bytes());
        let parts = [context, seed, sizes.as_flattened(), &[u8::from(self.mode == Mode::Malicious)]];
        Keys {
            rows: Key::derive("psc vole-psi 1 rows", &parts),
            outputs: Key::derive("psc vole-psi 1 outputs", &parts),
        }
    }
}

/// The keys of the two hashes: that of items to rows, and that of values to outputs.
struct Keys {
    rows: Key,
    outputs: Key,
}

/// The receiver; once it has encoded its items, with its table, which is to be sent.
pub struct Receiver {
    parameters: Parameters,
    context: Vec<u8>,
    simd: Simd,
    seed: [u8; SEED_BYTES],
    encoded: Option<Encoded>,
    /// The sender's commitment and the receiver's own mask, in malicious mode.
    coin: Option<([u8; COMMITMENT_BYTES], u128)>,
}

/// What a receiver has of its items.
struct Encoded {
    outputs: Key,
    rows: Rows,
    masked: Vec<u128>,
    products: Zeroizing<Vec<u128>>,
}

impl Receiver {
    /// Draw the seed.
    ///
    /// `context` names this run and no other; both parties must give the same. In malicious mode, and only there, the
    /// sender's commitment comes first.
    pub fn new(context: &[u8], parameters: Parameters, commitment: Option<&[u8]>, rng: &mut Rng) -> Result<Self> {
        let coin = match (parameters.mode, commitment) {
            (Mode::SemiHonest, None) => None,
            (Mode::Malicious, Some(commitment)) => {
                check_message("commitment", commitment, COMMITMENT_BYTES)?;
                Some((*commitment.first_chunk().expect("the length was checked"), rng.word()))
            }
            _ => return Err(Error::OutOfOrder { what: "commitment" }),
        };
        let simd = Simd::selected()?;
        let mut seed = [0; SEED_BYTES];
        rng.fill(&mut seed);
        Ok(Self { parameters, context: context.to_vec(), simd, seed, encoded: None, coin })
    }

    /// The first message. It says nothing of the items and may leave before they are encoded: the sender hashes its own
    /// meanwhile.
    pub fn seed(&self) -> &[u8; SEED_BYTES] {
        &self.seed
    }

    /// Encode the items (distinct, as many as agreed) and mask the table.
    ///
    /// [`Error::EncodingFailed`] (rarer than 2^-50) ends the run: another seed would tell the sender something about the
    /// items.
    pub fn encode(&mut self, items: &Items, vectors: Vectors) -> Result<()> {
        if self.encoded.is_some() {
            return Err(Error::OutOfOrder { what: "second encoding" });
        }
        let parameters = self.parameters;
        check_count("items", items.len(), parameters.receiver_size)?;
        check_count("factors", vectors.factors.len(), parameters.columns())?;
        check_count("products", vectors.products.len(), parameters.columns())?;
        let keys = parameters.keys(&self.context, &self.seed);
        let rows = Rows::hash(items, parameters.shape, &keys.rows)?;
        let mut masked = okvs::encode(&rows)?;
        let Vectors { factors, products } = vectors;
        parallel::install(|| {
            let pieces = masked.par_chunks_mut(CHUNK_ELEMENTS).zip(factors.par_chunks(CHUNK_ELEMENTS));
            pieces.for_each(|(masked, factors)| masked.iter_mut().zip(factors).for_each(|(to, factor)| *to ^= factor));
        })?;
        self.encoded = Some(Encoded { outputs: keys.outputs, rows, masked, products });
        Ok(())
    }

    /// The elements `start..stop` of the masked table, 16 bytes each.
    pub fn masked(&self, start: usize, stop: usize) -> Result<Vec<u8>> {
        let masked = &self.encoded.as_ref().ok_or(Error::OutOfOrder { what: "table before the items" })?.masked;
        check_range("stop", stop, 0, masked.len())?;
        check_range("start", start, 0, stop)?;
        let mut bytes = crate::zeroed((stop - start) * ELEMENT_BYTES)?;
        let out = bytes.as_chunks_mut::<ELEMENT_BYTES>().0.iter_mut();
        out.zip(&masked[start..stop]).for_each(|(to, element)| *to = element.to_le_bytes());
        Ok(bytes)
    }

    /// In malicious mode the receiver's mask: to be sent after the whole table, not before.
    pub fn mask(&self) -> Option<[u8; MASK_BYTES]> {
        self.coin.map(|(_, mask)| mask.to_le_bytes())
    }

    /// Forget the table and evaluate. In malicious mode, and only there, the sender's opening comes first.
    pub fn finish(self, opening: Option<&[u8]>) -> Result<Evaluated> {
        let mask = match (self.coin, opening) {
            (None, None) => 0,
            (Some((commitment, own)), Some(opening)) => own ^ open(&self.context, &commitment, opening)?,
            _ => return Err(Error::OutOfOrder { what: "opening" }),
        };
        let Self { parameters, simd, encoded, .. } = self;
        let Encoded { outputs, rows, products, .. } =
            encoded.ok_or(Error::OutOfOrder { what: "outputs before the items" })?;
        let (delta, cached) = (Zeroizing::new(0), OnceLock::new());
        Ok(Evaluated { parameters, simd, table: products, rows, delta, mask, outputs, cached })
    }
}

/// The sender, which absorbs the receiver's table.
pub struct Sender {
    parameters: Parameters,
    context: Vec<u8>,
    simd: Simd,
    delta: Zeroizing<u128>,
    shares: Zeroizing<Vec<u128>>,
    absorbed: usize,
    hashed: Option<(Rows, Key)>,
    /// The sender's mask and what hides it in the commitment, in malicious mode.
    coin: Option<Zeroizing<[u8; OPENING_BYTES]>>,
    mask: Option<u128>,
}

impl Sender {
    /// Take the sender's part of the VOLE. `context` is the receiver's.
    pub fn new(context: &[u8], parameters: Parameters, shares: Shares, rng: &mut Rng) -> Result<Self> {
        let Shares { delta, shares } = shares;
        check_count("shares", shares.len(), parameters.columns())?;
        let (mut coin, mut mask) = (None, Some(0));
        if parameters.mode == Mode::Malicious {
            let mut drawn = Zeroizing::new([0; OPENING_BYTES]);
            rng.fill(&mut *drawn);
            (coin, mask) = (Some(drawn), None);
        }
        let (context, simd) = (context.to_vec(), Simd::selected()?);
        Ok(Self { parameters, context, simd, delta, shares, absorbed: 0, hashed: None, coin, mask })
    }

    /// In malicious mode the commitment, which the receiver gets first.
    pub fn commitment(&self) -> Option<[u8; COMMITMENT_BYTES]> {
        self.coin.as_ref().map(|opening| commit(&self.context, opening))
    }

    /// Take the receiver's seed and hash the items (distinct, as many as agreed).
    pub fn hash(&mut self, seed: &[u8], items: &Items) -> Result<()> {
        if self.hashed.is_some() {
            return Err(Error::OutOfOrder { what: "second seed" });
        }
        check_message("seed", seed, SEED_BYTES)?;
        check_count("items", items.len(), self.parameters.sender_size)?;
        let keys = self.parameters.keys(&self.context, seed.first_chunk().expect("the length was checked"));
        let rows = Rows::hash(items, self.parameters.shape, &keys.rows)?;
        self.hashed = Some((rows, keys.outputs));
        Ok(())
    }

    /// Take the next elements of the receiver's masked table.
    pub fn absorb(&mut self, piece: &[u8]) -> Result<()> {
        let room = (self.shares.len() - self.absorbed) * ELEMENT_BYTES;
        if piece.len() > room || !piece.len().is_multiple_of(ELEMENT_BYTES) {
            return Err(Error::MessageLength { what: "piece of the table", length: piece.len(), expected: room });
        }
        let count = piece.len() / ELEMENT_BYTES;
        let own = &mut self.shares[self.absorbed..self.absorbed + count];
        let (simd, delta) = (self.simd, *self.delta);
        parallel::install(|| {
            let pieces = own.par_chunks_mut(BATCH).zip(piece.par_chunks(BATCH * ELEMENT_BYTES));
            pieces.with_min_len(CHUNK_ELEMENTS / BATCH).for_each(|(own, piece)| {
                let mut elements = [0; BATCH];
                let elements = &mut elements[..own.len()];
                elements.iter_mut().zip(gf128::from_bytes(piece)).for_each(|(to, element)| *to = element);
                gf128::multiply_add(simd, own, elements, delta);
            });
        })?;
        self.absorbed += count;
        Ok(())
    }

    /// Whether the whole table was absorbed.
    pub fn is_complete(&self) -> bool {
        self.absorbed == self.shares.len()
    }

    /// In malicious mode, after the whole table: take the receiver's mask; returns the opening.
    pub fn open(&mut self, mask: &[u8]) -> Result<[u8; OPENING_BYTES]> {
        let Some(opening) = self.coin.as_ref().filter(|_| self.is_complete() && self.mask.is_none()) else {
            return Err(Error::OutOfOrder { what: "mask" });
        };
        check_message("mask", mask, MASK_BYTES)?;
        self.mask = Some(mask_of(mask) ^ mask_of(&opening[..]));
        Ok(**opening)
    }

    /// Evaluate, when the table is complete, the items are hashed and in malicious mode the mask is opened.
    pub fn finish(self) -> Result<Evaluated> {
        if !self.is_complete() {
            return Err(Error::OutOfOrder { what: "tags before the table" });
        }
        let mask = self.mask.ok_or(Error::OutOfOrder { what: "tags before the opening" })?;
        let (rows, outputs) = self.hashed.ok_or(Error::OutOfOrder { what: "tags before the seed" })?;
        let (parameters, simd, delta) = (self.parameters, self.simd, self.delta);
        let cached = OnceLock::new();
        Ok(Evaluated { parameters, simd, table: self.shares, rows, delta, mask, outputs, cached })
    }
}

fn commit(context: &[u8], opening: &[u8; OPENING_BYTES]) -> [u8; COMMITMENT_BYTES] {
    let hash = Sha256::new_with_prefix(b"PSC-V1-vole-psi-mask");
    hash.chain_update((context.len() as u64).to_le_bytes())
        .chain_update(context)
        .chain_update(opening)
        .finalize()
        .into()
}

/// Check an opening and return the mask in it.
fn open(context: &[u8], commitment: &[u8; COMMITMENT_BYTES], opening: &[u8]) -> Result<u128> {
    check_message("opening", opening, OPENING_BYTES)?;
    let expected = commit(context, opening.first_chunk().expect("the length was checked"));
    if !bool::from(expected.ct_eq(commitment)) {
        return Err(Error::Inconsistent { what: "opening" });
    }
    Ok(mask_of(opening))
}

fn mask_of(bytes: &[u8]) -> u128 {
    u128::from_le_bytes(*bytes.first_chunk().expect("at least 16 bytes"))
}

/// A party that can evaluate its items.
pub struct Evaluated {
    parameters: Parameters,
    simd: Simd,
    table: Zeroizing<Vec<u128>>,
    rows: Rows,
    /// The sender's delta; 0 at the receiver.
    delta: Zeroizing<u128>,
    mask: u128,
    outputs: Key,
    /// The tags in order of the items' columns, once they are computed.
    cached: OnceLock<Vec<Tag>>,
}

impl Evaluated {
    /// Compute the tags now, so that what needs them later does not.
    pub fn prepare(&self) -> Result<()> {
        self.tags().map(drop)
    }

    /// Give out the outputs of a chunk of the items, from the `first` on in order of their columns.
    fn hash_into(&self, first: usize, mut out: impl FnMut(usize, &Block)) {
        let count = CHUNK_ITEMS.min(self.rows.len() - first);
        let mut lookup = okvs::Lookup::new(self.simd, &self.table, &self.rows);
        let (mut rows, mut values) = ([Row::default(); BATCH], [0; BATCH]);
        let (mut hashed, mut blocks) = ([0; BATCH], [[0; 16]; BATCH]);
        for start in (0..count).step_by(BATCH) {
            let size = BATCH.min(count - start);
            let (rows, values, blocks) = (&mut rows[..size], &mut values[..size], &mut blocks[..size]);
            lookup.look_up(first + start, rows, values);
            hashed.iter_mut().zip(rows.iter()).for_each(|(to, row)| *to = okvs::value(row));
            gf128::multiply_add(self.simd, values, &hashed[..size], *self.delta);
            for ((block, row), value) in blocks.iter_mut().zip(rows.iter()).zip(values.iter()) {
                *block = message(value ^ self.mask, row);
            }
            self.outputs.hash_blocks(self.simd, blocks);
            blocks.iter().enumerate().for_each(|(at, block)| out(start + at, block));
        }
        rows.zeroize();
        values.zeroize();
        hashed.zeroize();
        blocks.zeroize();
    }

    /// The tags in order of the items' columns.
    fn tags(&self) -> Result<&[Tag]> {
        if let Some(tags) = self.cached.get() {
            return Ok(tags);
        }
        let length = self.parameters.tag_bytes();
        let mut tags = memory::zeros(self.rows.len());
        parallel::install(|| {
            tags.par_chunks_mut(CHUNK_ITEMS).enumerate().for_each(|(chunk, tags)| {
                self.hash_into(chunk * CHUNK_ITEMS, |at, block| tags[at] = tag(block, length));
            });
        })?;
        Ok(self.cached.get_or_init(|| tags))
    }

    /// All 64 bytes of the items' outputs, in order of the items: as the outputs of [`crate::oprf`], whose first 32 bytes
    /// give tags and whose others give keys. Their first bytes are what [`Evaluated::sorted_tags`] gives.
    pub fn outputs(&self) -> Result<OprfOutputs> {
        let mut sorted: Zeroizing<Vec<Block>> = Zeroizing::new(memory::zeros(self.rows.len()));
        parallel::install(|| {
            sorted.par_chunks_mut(CHUNK_ITEMS).enumerate().for_each(|(chunk, outputs)| {
                self.hash_into(chunk * CHUNK_ITEMS, |at, block| outputs[at] = *block);
            });
        })?;
        Ok(OprfOutputs::scatter(&sorted, self.rows.positions(0, self.rows.len())))
    }

    /// The tags of the items, in their order: the first bytes of [`Evaluated::outputs`] without what is behind them.
    pub fn tags_in_order(&self) -> Result<Vec<u8>> {
        Ok(matching::scatter(self.tags()?, self.rows.positions(0, self.rows.len()), self.parameters.tag_bytes()))
    }

    /// The sender's message: its tags, sorted as byte strings; and for each the position of its item.
    pub fn sorted_tags(&self) -> Result<(Vec<u8>, Vec<u32>)> {
        let tags = self.tags()?;
        let order = matching::sort(tags);
        let sorted = matching::write(tags, &order, self.parameters.tag_bytes());
        let positions: Vec<u32> = self.rows.positions(0, self.rows.len()).collect();
        Ok((sorted, order.into_iter().map(|at| positions[at as usize]).collect()))
    }

    /// The receiver's result: for each item the first position of its tag among the sender's, or -1.
    ///
    /// They come in parts of whole tags. Tags of another number or out of order are refused: no honest sender sends them.
    pub fn find(&self, sorted_tags: &[&[u8]]) -> Result<Vec<i64>> {
        let length = self.parameters.tag_bytes();
        let sizes = sorted_tags.iter().map(|part| part.len());
        let (size, expected) = (sizes.clone().sum(), self.parameters.sender_size * length);
        if size != expected || sizes.clone().any(|size| size % length != 0) {
            return Err(Error::MessageLength { what: "tags", length: size, expected });
        }
        let index = matching::Index::new(sorted_tags, length)?;
        let tags = self.tags()?;
        let mut found = memory::zeros(self.rows.len());
        parallel::install(|| {
            let chunks = found.par_chunks_mut(CHUNK_ITEMS).zip(tags.par_chunks(CHUNK_ITEMS));
            chunks.for_each(|(found, tags)| index.find(tags, found));
        })?;
        let mut by_item = memory::zeros(self.rows.len());
        for (position, found) in self.rows.positions(0, self.rows.len()).zip(found) {
            by_item[position as usize] = found;
        }
        Ok(by_item)
    }
}

/// What the output hash takes: the value, then the item's band and h(item).
fn message(value: u128, row: &Row) -> Block {
    let mut block = [0; 16];
    let words = [value as u64, (value >> 64) as u64].into_iter().chain(*row);
    for (to, word) in block.as_chunks_mut::<2>().0.iter_mut().zip(words) {
        *to = [word as u32, (word >> 32) as u32];
    }
    block
}

/// The first `length` bytes of an output, 1 to 16.
fn tag(block: &Block, length: usize) -> Tag {
    let word = |at: usize| u128::from(block[at].swap_bytes()) << (96 - 32 * at);
    (word(0) | word(1) | word(2) | word(3)) & (u128::MAX << (8 * (ELEMENT_BYTES - length)))
}

#[cfg(test)]
mod tests;
