//! What the kernels of packed encryption take: for every line on standard input, a line `backend kernel nanoseconds` for
//! each backend and kernel, then an empty line. A kernel works on one polynomial modulo one prime, of 8192 residues.
//!
//! The median of many calls in one thread, the backends by turns.

use std::hint::black_box;
use std::io::BufRead;
use std::time::Instant;

use psc_core::backend::Kind;
use psc_core::backend::ring::{Cells, Ring};
use psc_core::rlwe::prime::{Integers, Residues, primes};
use psc_core::rlwe::{DEGREE, PLANE_BYTES};
use psc_core::rng::Rng;

const CALLS: usize = 41;

/// Operands of every kernel.
struct Bench {
    values: Box<Residues>,
    others: Box<Residues>,
    sum: Box<Residues>,
    integers: Box<Integers>,
    errors: Box<Integers>,
    cells: Box<Cells>,
    plane: Box<[u8; PLANE_BYTES]>,
    rng: Rng,
}

impl Bench {
    fn new() -> Self {
        let prime = &primes()[0];
        let spread = |factor: u64| {
            let mut values = Residues::zero();
            for (index, value) in values.0.iter_mut().enumerate() {
                *value = (index as u64 * factor) % prime.modulus;
            }
            values
        };
        let mut cells = Box::new(Cells([0; DEGREE]));
        cells.0.iter_mut().enumerate().for_each(|(index, cell)| *cell = (index % 11) as i32 - 1);
        Self {
            values: spread(0x1_2345_6789),
            others: spread(0x1_9876_5431),
            sum: spread(0x1_1111_1113),
            integers: Integers::zero(),
            errors: Integers::zero(),
            cells,
            plane: Box::new([0; PLANE_BYTES]),
            rng: Rng::insecure_from_seed(b"ring"),
        }
    }

    fn kernels(&mut self, ring: &dyn Ring) -> Vec<(&'static str, f64)> {
        let prime = &primes()[0];
        let Self { values, others, sum, integers, errors, cells, plane, rng } = self;
        vec![
            ("forward", median(|| ring.forward(prime, values))),
            ("inverse", median(|| ring.inverse(prime, values))),
            ("multiply_add", median(|| ring.multiply_add(prime, sum, values, others))),
            ("inner", median(|| _ = black_box(ring.inner(prime, values, others)))),
            ("sum", median(|| _ = black_box(ring.sum(prime, values, cells, None, 3)))),
            ("sum (weights)", median(|| _ = black_box(ring.sum(prime, values, cells, Some(integers), 3)))),
            ("select", median(|| ring.select(prime, cells, None, 3, others))),
            ("select (weights)", median(|| ring.select(prime, cells, Some(integers), 3, others))),
            ("add_message", median(|| ring.add_message(prime, sum, errors, integers))),
            ("pack", median(|| ring.pack(values, plane))),
            ("unpack", median(|| _ = black_box(ring.unpack(plane, values)))),
            ("binomial", median(|| ring.binomial(values, errors))),
            ("random bytes", median(|| rng.fill(&mut **plane))),
        ]
    }
}

fn median(mut call: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = (0..CALLS)
        .map(|_| {
            let started = Instant::now();
            call();
            started.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[CALLS / 2] * 1e9
}

fn main() {
    let mut bench = Bench::new();
    for _ in std::io::stdin().lock().lines() {
        for kind in Kind::available() {
            let backend = kind.get();
            for (kernel, nanoseconds) in bench.kernels(backend.ring()) {
                println!("{} {nanoseconds:.0} {kernel}", backend.name());
            }
        }
        println!();
    }
}
