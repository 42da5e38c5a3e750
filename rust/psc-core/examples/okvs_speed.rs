//! How long the phases of the key-value store take: `okvs_speed [KEYS [ROUNDS]]`, one JSON line a round.
//!
//! `PSC_THREADS` and `PSC_BACKEND` hold here too.

use std::hint::black_box;
use std::time::Instant;

use psc_core::items::Items;
use psc_core::okvs::{Rows, Shape, decode_all, encode};
use psc_core::wide_hash::Key;

fn timed<R>(work: impl FnOnce() -> R) -> (R, f64) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed().as_secs_f64())
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().expect("a number"));
    let keys: usize = arguments.next().unwrap_or(1 << 20);
    let rounds: usize = arguments.next().unwrap_or(5);
    let texts: Vec<String> = (0..keys).map(|index| format!("customer {index:023}")).collect();
    let items = Items::from_slices(texts.iter().map(String::as_bytes)).expect("short items");
    let shape = Shape::new(keys).expect("few keys");
    for round in 0..rounds {
        let key = Key::derive("speed of the store", &[&round.to_le_bytes()]);
        let (rows, hash_seconds) = timed(|| Rows::hash(&items, shape, &key).expect("hashed"));
        let (table, encode_seconds) = timed(|| encode(&rows).expect("encoded"));
        let (values, decode_seconds) = timed(|| decode_all(&table, &rows).expect("decoded"));
        black_box(values);
        println!(
            "{{\"keys\": {keys}, \"columns\": {}, \"hash_seconds\": {hash_seconds:.4}, \
             \"encode_seconds\": {encode_seconds:.4}, \"decode_seconds\": {decode_seconds:.4}}}",
            shape.columns()
        );
    }
}
