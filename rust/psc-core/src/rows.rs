//! Sealed rows: what is released about an item opens only for who holds the item's OPRF output.
//!
//! Row `counter` of an item has, from SHA-512 over a label, the key half of the item's output and the counter: a tag,
//! by which it is found, and a ChaCha20-Poly1305 key that is used once, so the nonce is zero. Rows are padded with
//! random dummies, which nobody can tell from rows that do not open, and sorted by tag, which hides their order.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};
use rayon::prelude::*;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use crate::error::{Error, Result, check_count, check_position, check_range, count_of};
use crate::oprf::OprfOutputs;
use crate::parallel::{self, CHUNK_ITEMS};
use crate::rng::Rng;
use crate::tags::{self, TagIndex, label_hash};

/// Bytes of the authenticator that ends a sealed row.
pub const MAC_BYTES: usize = 16;
/// The widest row in bytes.
pub const WIDTH_BYTES_MAX: usize = 1 << 20;
const TAG_BYTES_MAX: usize = 32;

/// The sizes of a sealed row.
#[derive(Clone, Copy)]
pub struct Shape {
    width: usize,
    tag_bytes: usize,
}

impl Shape {
    /// Rows of `width` bytes (0 to 2^20) that are found by tags of `tag_bytes` (1 to 32).
    pub fn new(width: usize, tag_bytes: usize) -> Result<Self> {
        check_range("width", width, 0, WIDTH_BYTES_MAX)?;
        check_range("tag_bytes", tag_bytes, 1, TAG_BYTES_MAX)?;
        Ok(Self { width, tag_bytes })
    }

    /// Bytes of one sealed row.
    pub fn entry_bytes(self) -> usize {
        self.tag_bytes + self.width + MAC_BYTES
    }
}

/// The plain rows that are to be sealed.
pub struct Rows<'a> {
    /// For each row the position of its item among the outputs.
    pub groups: &'a [u32],
    /// For each row its number within its item: 1, 2, 3, … in any order.
    pub counters: &'a [u32],
    /// The rows' contents, `width` bytes each.
    pub payloads: &'a [u8],
}

struct RowSecrets(Zeroizing<[u8; 64]>);

impl RowSecrets {
    fn derive(prefix: &Sha512, outputs: &OprfOutputs, item: u32, counter: u32) -> Self {
        let hash = prefix.clone().chain_update(outputs.key_half(item as usize)).chain_update(counter.to_be_bytes());
        Self(Zeroizing::new(hash.finalize().into()))
    }

    fn tag(&self, shape: Shape) -> &[u8] {
        &self.0[..shape.tag_bytes]
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(<&Key>::try_from(&self.0[32..]).expect("half of 64 bytes"))
    }
}

/// Seal rows and pad them with dummies to `total`, sorted by tag.
pub fn seal(
    outputs: &OprfOutputs,
    rows: &Rows<'_>,
    shape: Shape,
    label: &[u8],
    rng: &mut Rng,
    total: usize,
) -> Result<Vec<u8>> {
    let count = rows.groups.len();
    check_count("counters", rows.counters.len(), count)?;
    check_range("total", total, count, u32::MAX as usize - 1)?;
    check_count("payloads", rows.payloads.len(), count * shape.width)?;
    check_counters(outputs, rows)?;
    let prefix = label_hash(label)?;
    let secrets = |row: usize| RowSecrets::derive(&prefix, outputs, rows.groups[row], rows.counters[row]);

    let mut entries = crate::zeroed(total * shape.entry_bytes())?;
    let mut all_tags = vec![0u8; total * shape.tag_bytes];
    let (real, dummies) = all_tags.split_at_mut(count * shape.tag_bytes);
    rng.fill(dummies);
    parallel::install(|| {
        let tags = real.par_chunks_exact_mut(shape.tag_bytes).with_min_len(CHUNK_ITEMS).enumerate();
        tags.for_each(|(row, tag)| tag.copy_from_slice(secrets(row).tag(shape)));
    })?;
    let (sorted, order) = tags::sort(&all_tags, shape.tag_bytes)?;

    if total > count {
        // Covers the dummies' bodies; real rows are written over it.
        rng.fill(&mut entries);
    }
    parallel::install(|| {
        let places = entries.par_chunks_exact_mut(shape.entry_bytes()).with_min_len(CHUNK_ITEMS);
        places.zip(sorted.par_chunks_exact(shape.tag_bytes)).zip(&order).try_for_each(|((entry, tag), &row)| {
            let (head, body) = entry.split_at_mut(shape.tag_bytes);
            head.copy_from_slice(tag);
            let row = row as usize;
            if row < count {
                seal_body(&secrets(row), &rows.payloads[row * shape.width..][..shape.width], body)
            } else {
                Ok(())
            }
        })
    })??;
    Ok(entries)
}

fn seal_body(secrets: &RowSecrets, payload: &[u8], body: &mut [u8]) -> Result<()> {
    let (text, mac) = body.split_at_mut(payload.len());
    text.copy_from_slice(payload);
    let width = payload.len();
    let out_of_range =
        |_| Error::OutOfRange { what: "width", value: width as u64, minimum: 0, maximum: WIDTH_BYTES_MAX as u64 };
    let tag = secrets.cipher().encrypt_inout_detached(&Nonce::default(), b"", text.into()).map_err(out_of_range)?;
    mac.copy_from_slice(&tag);
    Ok(())
}

/// A key is used once only when no row number is repeated; a gap would hide the rows after it.
fn check_counters(outputs: &OprfOutputs, rows: &Rows<'_>) -> Result<()> {
    let mut numbered: Vec<(u32, u32, u32)> = rows
        .groups
        .iter()
        .zip(rows.counters)
        .zip(0u32..)
        .map(|((&group, &counter), row)| (group, counter, row))
        .collect();
    numbered.sort_unstable();
    let mut before = (u32::MAX, 0);
    for (group, counter, row) in numbered {
        check_position("groups", group as usize, outputs.len())?;
        let due = if group == before.0 { before.1 + 1 } else { 1 };
        if counter != due {
            return Err(Error::RowCounters { row: row as usize });
        }
        before = (group, counter);
    }
    Ok(())
}

/// Rows that opened.
#[derive(Default)]
pub struct Opened {
    /// For each row the position of its item among the outputs.
    pub items: Vec<u32>,
    /// For each row its number within its item, from 1.
    pub counters: Vec<u32>,
    /// The rows' contents, `width` bytes each.
    pub payloads: Vec<u8>,
}

/// Open the rows of the items `indices`, in that order; an item's rows end at the first number that is missing.
///
/// A row that is found but does not authenticate is refused with its position among the entries.
pub fn open(
    outputs: &OprfOutputs,
    indices: &[u32],
    entries: &[u8],
    shape: Shape,
    max_rows: u32,
    label: &[u8],
) -> Result<Opened> {
    let count = count_of("entries", entries, shape.entry_bytes())?;
    for &index in indices {
        check_position("indices", index as usize, outputs.len())?;
    }
    let prefix = label_hash(label)?;
    let mut tags = Vec::with_capacity(count * shape.tag_bytes);
    entries.chunks_exact(shape.entry_bytes()).for_each(|entry| tags.extend_from_slice(&entry[..shape.tag_bytes]));
    let index = TagIndex::new("entries", &tags, shape.tag_bytes)?;
    let parts: Vec<Result<Opened>> = parallel::install(|| {
        let chunks = indices.par_chunks(CHUNK_ITEMS);
        chunks
            .map(|chunk| {
                let mut opened = Opened::default();
                for &item in chunk {
                    open_item(outputs, item, &prefix, &index, entries, shape, max_rows, &mut opened)?;
                }
                Ok(opened)
            })
            .collect()
    })?;
    let mut all = Opened::default();
    for part in parts {
        let part = part?;
        all.items.extend(part.items);
        all.counters.extend(part.counters);
        all.payloads.extend(part.payloads);
    }
    Ok(all)
}

#[allow(clippy::too_many_arguments, reason = "the inner loop of `open`, with that function's state")]
fn open_item(
    outputs: &OprfOutputs,
    item: u32,
    prefix: &Sha512,
    index: &TagIndex<'_>,
    entries: &[u8],
    shape: Shape,
    max_rows: u32,
    opened: &mut Opened,
) -> Result<()> {
    for counter in 1..=max_rows {
        let secrets = RowSecrets::derive(prefix, outputs, item, counter);
        let Some(at) = index.find(secrets.tag(shape)) else { break };
        let body = &entries[at as usize * shape.entry_bytes()..][shape.tag_bytes..shape.entry_bytes()];
        let (text, mac) = body.split_at(shape.width);
        let start = opened.payloads.len();
        opened.payloads.extend_from_slice(text);
        let mac = <&Tag>::try_from(mac).expect("the authenticator's length is fixed");
        let buffer = &mut opened.payloads[start..];
        secrets
            .cipher()
            .decrypt_inout_detached(&Nonce::default(), b"", buffer.into(), mac)
            .map_err(|_| Error::RowDoesNotOpen { index: at as usize })?;
        opened.items.push(item);
        opened.counters.push(counter);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Kind;
    use crate::hash::Expander;
    use crate::items::Items;
    use crate::oprf;

    const WIDTH: usize = 5;

    fn outputs(names: &[&[u8]]) -> OprfOutputs {
        let items = Items::from_slices(names.iter().copied()).unwrap();
        let key = Rng::insecure_from_seed(b"key").scalar();
        oprf::evaluate(Kind::Portable.get(), &Expander::new(b"test").unwrap(), &items, &key, b"end").unwrap()
    }

    fn shape() -> Shape {
        Shape::new(WIDTH, 12).unwrap()
    }

    fn sealed(rows: &Rows<'_>, total: usize) -> Result<Vec<u8>> {
        let sender = outputs(&[b"a", b"b", b"c"]);
        seal(&sender, rows, shape(), b"label", &mut Rng::insecure_from_seed(b"dummies"), total)
    }

    const ROWS: Rows<'static> = Rows { groups: &[2, 0, 2], counters: &[2, 1, 1], payloads: b"row-0row-1row-2" };

    #[test]
    fn rows_open_for_their_items_only() {
        let entries = sealed(&ROWS, 10).unwrap();
        assert_eq!(entries.len(), 10 * shape().entry_bytes());
        let tags: Vec<&[u8]> = entries.chunks_exact(shape().entry_bytes()).map(|entry| &entry[..12]).collect();
        assert!(tags.is_sorted());
        let receiver = outputs(&[b"x", b"c", b"a", b"b"]);
        let opened = open(&receiver, &[0, 1, 2, 3], &entries, shape(), 8, b"label").unwrap();
        assert_eq!((opened.items, opened.counters), (vec![1, 1, 2], vec![1, 2, 1]));
        assert_eq!(opened.payloads, b"row-2row-0row-1");
        let first = open(&receiver, &[1], &entries, shape(), 1, b"label").unwrap();
        assert_eq!((first.counters, first.payloads), (vec![1], b"row-2".to_vec()));
        assert!(open(&receiver, &[0, 1, 2, 3], &entries, shape(), 8, b"other").unwrap().items.is_empty());
    }

    #[test]
    fn a_changed_row_is_named() {
        let entries = sealed(&ROWS, 10).unwrap();
        let receiver = outputs(&[b"c"]);
        let size = shape().entry_bytes();
        let mut refused = 0;
        for at in (0..entries.len()).filter(|at| at % size >= 12) {
            let mut changed = entries.clone();
            changed[at] ^= 1;
            match open(&receiver, &[0], &changed, shape(), 8, b"label") {
                Ok(opened) => assert_eq!(opened.payloads, b"row-2row-0"),
                Err(error) => {
                    assert_eq!(error, Error::RowDoesNotOpen { index: at / size });
                    refused += 1;
                }
            }
        }
        assert_eq!(refused, 2 * (WIDTH + MAC_BYTES));
    }

    #[test]
    fn wrong_rows_are_refused() {
        let refused = |groups: &[u32], counters: &[u32]| {
            sealed(&Rows { groups, counters, payloads: &vec![0; groups.len() * WIDTH] }, 9).err().unwrap()
        };
        assert_eq!(refused(&[0, 0], &[1, 1]), Error::RowCounters { row: 1 });
        assert_eq!(refused(&[0, 0], &[1, 3]), Error::RowCounters { row: 1 });
        assert_eq!(refused(&[1], &[0]), Error::RowCounters { row: 0 });
        assert_eq!(refused(&[3], &[1]), Error::NoSuchPosition { what: "groups", index: 3, count: 3 });
        assert!(matches!(refused(&[0], &[]), Error::CountMismatch { what: "counters", .. }));
        let short = Rows { payloads: b"", ..ROWS };
        assert!(matches!(sealed(&short, 9), Err(Error::CountMismatch { what: "payloads", .. })));
        assert!(matches!(sealed(&ROWS, 2), Err(Error::OutOfRange { what: "total", .. })));
        assert!(Shape::new(WIDTH_BYTES_MAX + 1, 8).is_err() && Shape::new(1, 0).is_err() && Shape::new(1, 33).is_err());
        let receiver = outputs(&[b"c"]);
        assert!(open(&receiver, &[1], &[], shape(), 8, b"label").is_err());
        assert!(open(&receiver, &[0], &[0; 7], shape(), 8, b"label").is_err());
    }

    #[test]
    fn empty_rows_and_empty_sets() {
        let nothing = Rows { groups: &[], counters: &[], payloads: b"" };
        assert!(sealed(&nothing, 0).unwrap().is_empty());
        assert!(open(&outputs(&[b"a"]), &[0], &[], shape(), 8, b"label").unwrap().items.is_empty());
        let bare = Shape::new(0, 8).unwrap();
        let own = outputs(&[b"a"]);
        let rows = Rows { groups: &[0, 0], counters: &[1, 2], payloads: b"" };
        let entries = seal(&own, &rows, bare, b"l", &mut Rng::insecure_from_seed(b""), 2).unwrap();
        assert_eq!(open(&own, &[0], &entries, bare, 8, b"l").unwrap().counters, [1, 2]);
    }
}
