use super::*;
use crate::rng::Rng;

fn items(label: &[u8], count: usize) -> Items {
    let all: Vec<Vec<u8>> = (0..count).map(|index| [label, &index.to_le_bytes()].concat()).collect();
    Items::from_slices(all.iter().map(Vec::as_slice)).unwrap()
}

fn key(label: &[u8]) -> Key {
    Key::derive("test of the store", &[label])
}

fn rows(label: &[u8], count: usize) -> Rows {
    Rows::hash(&items(label, count), Shape::new(count).unwrap(), &key(label)).unwrap()
}

fn values(rows: &Rows) -> Vec<u128> {
    rows.rows.iter().map(value).collect()
}

#[test]
fn lookups_give_the_values() {
    for count in [0, 1, 2, 3, 4, 5, 63, 64, 65, 255, 256, 257, 1000, 4095, 4097, 70_000] {
        let rows = rows(b"keys", count);
        let table = encode(&rows).unwrap();
        assert_eq!(table.len(), (count * 11).div_ceil(10) + 256);
        assert_eq!(decode_all(&table, &rows).unwrap(), values(&rows));
    }
}

#[test]
fn other_keys_look_up_other_values() {
    let own = rows(b"own", 3000);
    let table = encode(&own).unwrap();
    let others = Rows::hash(&items(b"other", 5000), own.shape(), &key(b"own")).unwrap();
    let found = decode_all(&table, &others).unwrap();
    assert!(found.iter().zip(values(&others)).all(|(found, value)| *found != value));
    let again = Rows::hash(&items(b"own", 3000), own.shape(), &key(b"another")).unwrap();
    let found = decode_all(&table, &again).unwrap();
    assert!(found.iter().zip(values(&again)).all(|(found, value)| *found != value));
}

#[test]
fn any_values_can_be_kept() {
    let mut rows = rows(b"any", 500);
    let mut rng = Rng::insecure_from_seed(b"values");
    for row in &mut rows.rows {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        let random = u128::from_le_bytes(bytes);
        (row[4], row[5]) = (random as u64, (random >> 64) as u64);
    }
    assert_eq!(decode_all(&encode(&rows).unwrap(), &rows).unwrap(), values(&rows));
}

/// The table is the one solution whose free columns are zero, whatever computes it.
#[test]
fn every_way_to_compute_gives_the_same_table() {
    for count in [0, 1, 300, 20_000] {
        let items = items(b"ways", count);
        let shape = Shape::new(count).unwrap();
        let expected =
            encode_with(Simd::Portable, &Rows::hash_with(Simd::Portable, &items, shape, &key(b"w")).unwrap());
        let expected = expected.unwrap();
        for simd in Simd::available() {
            let rows = Rows::hash_with(simd, &items, shape, &key(b"w")).unwrap();
            assert_eq!(encode_with(simd, &rows).unwrap(), expected);
            for parts in [1, 2, 3, 7] {
                let reduced = elimination::reduce_in_parts(&rows, parts).unwrap();
                assert_eq!(window::substitute(simd, &reduced), expected);
            }
        }
    }
}

#[test]
fn rows_spread_over_all_columns() {
    let rows = rows(b"spread", 50_000);
    let columns = rows.shape.columns;
    let starts: Vec<usize> = rows.order.iter().map(|&entry| start(entry)).collect();
    assert!(starts.is_sorted() && starts[49_999] + WIDTH <= columns);
    // Ten equal ranges: 5000 each with a standard deviation of 67.
    for part in 0..10 {
        let range = columns * part / 10..columns * (part + 1) / 10;
        let count = starts.iter().filter(|start| range.contains(start)).count();
        assert!((4600..5400).contains(&count), "{count} rows in part {part}");
    }
    let ones: u32 = rows.rows.iter().flat_map(|row| *band(row)).map(u64::count_ones).sum();
    assert!((6_390_000..6_410_000).contains(&ones), "{ones} of 12,800,000 bits");
}

#[test]
fn equal_keys_are_refused() {
    for (count, parts) in [(2, 1), (10, 1), (5000, 1), (5000, 3)] {
        let mut all: Vec<Vec<u8>> = (0..count).map(|index: u32| index.to_le_bytes().to_vec()).collect();
        all[1] = all[count as usize - 1].clone();
        if count == 2 {
            all[0] = all[1].clone();
        }
        let items = Items::from_slices(all.iter().map(Vec::as_slice)).unwrap();
        let rows = Rows::hash(&items, Shape::new(count as usize).unwrap(), &key(b"equal")).unwrap();
        assert_eq!(elimination::reduce_in_parts(&rows, parts).err(), Some(Error::DuplicateKeys));
    }
}

#[test]
fn rows_that_depend_on_each_other_are_an_error() {
    let mut rows = rows(b"dependent", 3);
    let shared = rows.order[0] >> 32;
    rows.order = (0..3).map(|index| shared << 32 | index).collect();
    let (a, b, own) = (rows.rows[0], rows.rows[1], rows.rows[2]);
    rows.rows[2] = [a[0] ^ b[0], a[1] ^ b[1], a[2] ^ b[2], a[3] ^ b[3], own[4], own[5]];
    assert_eq!(encode(&rows).err(), Some(Error::EncodingFailed));
    (rows.rows[2][4], rows.rows[2][5]) = (a[4] ^ b[4] ^ 1, a[5] ^ b[5]);
    assert_eq!(encode(&rows).err(), Some(Error::EncodingFailed));
    rows.rows[2] = [0, 0, 0, 0, 1, 0];
    assert_eq!(encode(&rows).err(), Some(Error::EncodingFailed));
}

/// With room to spare the rank is full; with more rows than columns it cannot be.
#[test]
fn dependent_rows_are_counted() {
    let rows = rows(b"count", 2000);
    let all = || rows.order.iter().map(|&entry| (start(entry), *band(&rows.rows[entry as u32 as usize])));
    assert_eq!(dependent_rows(rows.shape.columns, all()), 0);
    let crowded = (0..300).map(|index| (0, *band(&rows.rows[index])));
    assert_eq!(dependent_rows(WIDTH, crowded), 300 - 256);
}

#[test]
fn tables_have_the_shape_of_their_rows() {
    let rows = rows(b"shape", 10);
    assert_eq!(Shape::new(10).unwrap().columns(), 267);
    assert!(decode_all(&[0; 266], &rows).is_err());
    assert!(Shape::new(KEYS_MAX + 1).is_err());
}

/// Both parties must come to the same rows and tables, on every machine and in every release.
#[test]
fn known_answers() {
    let rows = rows(b"known", 1000);
    let table = encode(&rows).unwrap();
    let bytes: Vec<u8> = table.iter().flat_map(|element| element.to_le_bytes()).collect();
    let order: Vec<u8> = rows.order.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    let digest = blake3::Hasher::new().update(&bytes).update(&order).finalize();
    assert_eq!(digest.to_hex().as_str(), "e897523cbfcdb58713b1ed779bcfdb090c1d367fcd5d3ce525053346130356f6");
}
