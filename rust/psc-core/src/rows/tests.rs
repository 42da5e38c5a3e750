//! Sealed rows: against the specified bytes, and against wrong ones.

use super::*;
use crate::backend::Kind;
use crate::gf128;
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

/// An entry as the specification in `stream.rs` says, one block after the other.
fn plain_entry(key_half: &[u8], counter: u32, payload: &[u8], tag_bytes: usize, label: &[u8]) -> Vec<u8> {
    let mut derive = blake3::Hasher::new_derive_key("psc sealed rows 1");
    derive.update(&(label.len() as u64).to_le_bytes()).update(label).update(&16u64.to_le_bytes());
    derive.update(&(tag_bytes as u64).to_le_bytes()).update(&(payload.len() as u64).to_le_bytes());
    let key = *derive.finalize().as_bytes();
    let mut stream = Vec::new();
    for block in 0u32.. {
        if stream.len() >= tag_bytes + 32 + payload.len() {
            break;
        }
        let mut hash = blake3::Hasher::new_keyed(&key);
        hash.update(key_half).update(&counter.to_le_bytes()).update(&block.to_le_bytes()).update(&[0; 24]);
        let mut bytes = [0; 64];
        hash.finalize_xof().fill(&mut bytes);
        stream.extend_from_slice(&bytes);
    }
    let (tag, rest) = stream.split_at(tag_bytes);
    let keys: Vec<u128> = gf128::from_bytes(&rest[..32]).collect();
    let text: Vec<u8> = payload.iter().zip(&rest[32..]).map(|(byte, pad)| byte ^ pad).collect();
    let mut filled = text.clone();
    filled.resize(text.len().next_multiple_of(16), 0);
    let sum = gf128::from_bytes(&filled).fold(0, |sum, element| gf128::multiply(sum ^ element, keys[0]));
    [tag, &text, &(sum ^ keys[1]).to_le_bytes()].concat()
}

#[test]
fn every_level_gives_the_specified_bytes() {
    let mut rng = Rng::insecure_from_seed(b"levels");
    for (width, tag_bytes) in [(0, 12), (1, 1), (16, 16), (20, 12), (21, 12), (84, 12), (85, 12), (5, 32), (300, 3)] {
        let shape = Shape::new(width, tag_bytes).unwrap();
        for count in [1, 15, BATCH] {
            let mut halves = vec![[0; KEY_BYTES]; count];
            let mut payloads = vec![0; count * width];
            rng.fill(halves.as_flattened_mut());
            rng.fill(&mut payloads);
            let seeds = || halves.iter().zip(7u32..).map(|(half, counter)| (&half[..], counter));
            let payload = |at: usize| &payloads[at * width..][..width];
            let expected: Vec<u8> = seeds()
                .enumerate()
                .flat_map(|(at, (half, counter))| plain_entry(half, counter, payload(at), tag_bytes, b"label"))
                .collect();
            for simd in Simd::available() {
                let streams = Streams::new(simd, b"label", shape).unwrap();
                let mut batch = Batch::default();
                batch.start(&streams, seeds());
                let mut entries = vec![0; count * shape.entry_bytes()];
                for (at, entry) in entries.chunks_exact_mut(shape.entry_bytes()).enumerate() {
                    entry[tag_bytes..][..width].copy_from_slice(payload(at));
                }
                batch.seal(&streams, &mut entries);
                assert_eq!(entries, expected);
                let macs = batch.open(&streams, &mut entries);
                for (at, entry) in entries.chunks_exact(shape.entry_bytes()).enumerate() {
                    assert_eq!(&entry[tag_bytes..][..width], payload(at));
                    assert_eq!(entry[tag_bytes + width..], macs[at].to_le_bytes());
                    let tag = batch.tag(&streams, at);
                    assert_eq!((&entry[..tag_bytes], &[0; 32][tag_bytes..]), tag.split_at(tag_bytes));
                    let prefix = u32::from_be_bytes(*tag.first_chunk().unwrap());
                    assert_eq!(batch.tag_prefix(&streams, at), prefix);
                }
            }
        }
    }
}

#[test]
fn many_rows_come_sorted_and_open_in_order() {
    let names: Vec<Vec<u8>> = (0..700u32).map(|name| name.to_le_bytes().to_vec()).collect();
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let own = outputs(&names);
    let groups: Vec<u32> = (0..700).flat_map(|item| vec![item; item as usize % 4]).rev().collect();
    let mut counters: Vec<u32> = groups.iter().map(|item| item % 4).collect();
    for at in 1..groups.len() {
        if groups[at] == groups[at - 1] {
            counters[at] = counters[at - 1] - 1;
        }
    }
    let payloads: Vec<u8> =
        groups.iter().zip(&counters).flat_map(|(item, counter)| [*item as u8, *counter as u8]).collect();
    let rows = Rows { groups: &groups, counters: &counters, payloads: &payloads };
    for tag_bytes in [1, 2, 12, 32] {
        let shape = Shape::new(2, tag_bytes).unwrap();
        let entries = seal(&own, &rows, shape, b"label", &mut Rng::insecure_from_seed(b"d"), 1500).unwrap();
        let tags: Vec<&[u8]> = entries.chunks_exact(shape.entry_bytes()).map(|entry| &entry[..tag_bytes]).collect();
        assert!(tags.is_sorted());
        assert_eq!(tags.len(), 1500);
        if tag_bytes >= 12 {
            let tried: Vec<u32> = (0..700).rev().collect();
            let opened = open(&own, &tried, &entries, shape, 9, b"label").unwrap();
            let expected: Vec<(u32, u32)> =
                tried.iter().flat_map(|&item| (1..=item % 4).map(move |counter| (item, counter))).collect();
            assert_eq!(opened.items.iter().copied().zip(opened.counters).collect::<Vec<_>>(), expected);
            let bytes: Vec<u8> = expected.iter().flat_map(|(item, counter)| [*item as u8, *counter as u8]).collect();
            assert_eq!(opened.payloads, bytes);
        }
    }
}

#[test]
fn dummies_are_fresh_and_never_equal_rows() {
    let own = outputs(&[b"a"]);
    let rows = Rows { groups: &[0], counters: &[1], payloads: b"row-0" };
    let sealed = |seed: &[u8]| seal(&own, &rows, shape(), b"label", &mut Rng::insecure_from_seed(seed), 40).unwrap();
    let (one, two) = (sealed(b"one"), sealed(b"two"));
    let set = |entries: &[u8]| {
        entries.chunks_exact(shape().entry_bytes()).map(<[u8]>::to_vec).collect::<std::collections::HashSet<_>>()
    };
    assert_eq!((set(&one).len(), set(&two).len()), (40, 40));
    assert_eq!(set(&one).intersection(&set(&two)).count(), 1);
}

#[test]
fn entries_out_of_order_are_refused() {
    let mut entries = sealed(&ROWS, 10).unwrap();
    let size = shape().entry_bytes();
    entries.rotate_left(size);
    let refused = open(&outputs(&[b"c"]), &[0], &entries, shape(), 8, b"label").err();
    assert_eq!(refused, Some(Error::NotSorted { what: "entries", index: 9 }));
}

#[test]
fn a_long_run_of_like_tags_is_searched_to_its_end() {
    // Tags that agree in their first eight bytes, as a peer might make them.
    let shape = Shape::new(0, 10).unwrap();
    let entries: Vec<u8> =
        (0..1000u16).flat_map(|last| [&[5; 8][..], &last.to_be_bytes(), &[0; 16]].concat()).collect();
    let index = Index::new(&entries, shape).unwrap();
    for first in (0..1100u16).step_by(10) {
        let tags: Vec<[u8; TAG_BYTES_MAX]> = (first..first + 10)
            .map(|last| core::array::from_fn(|at| [&[5; 8][..], &last.to_be_bytes(), &[0; 22]].concat()[at]))
            .collect();
        let mut found = Vec::new();
        index.find(&tags, |at, position| found.push((at, position)));
        let expected = (0..10).map(|at| (at, u32::from(first) + at as u32)).filter(|(_, position)| *position < 1000);
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}
