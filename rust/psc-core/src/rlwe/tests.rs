//! Kernels against plain arithmetic, backends against each other, and sums where the bounds are reached.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng};
use sha2::Digest as _;
use zeroize::Zeroizing;

use super::matcher::Hiding;
use super::owner::{centred, section_hash};
use super::prime::{Integers, LOW, MODULI, Prime, Residues, power_mod, primes};
use super::sample::{Public, Stream, public};
use super::*;
use crate::backend::Kind;
use crate::backend::ring::{Cells, Ring};
use crate::rng::Rng;

fn rings() -> Vec<&'static dyn Ring> {
    Kind::available().into_iter().map(|kind| kind.get().ring()).collect()
}

fn word(rng: &mut Rng) -> u64 {
    let mut bytes = [0; 8];
    rng.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Polynomials at the edges and random ones, each residue below `limit`.
fn samples(limit: u64, rng: &mut Rng) -> Vec<Box<Residues>> {
    let of = |value: &mut dyn FnMut(usize) -> u64| {
        let mut residues = Residues::zero();
        residues.0.iter_mut().enumerate().for_each(|(index, x)| *x = value(index));
        residues
    };
    let mut all = vec![
        of(&mut |_| 0),
        of(&mut |_| limit - 1),
        of(&mut |index| u64::from(index == 0)),
        of(&mut |index| if index == DEGREE - 1 { limit - 1 } else { 0 }),
        of(&mut |index| if index % 2 == 0 { limit - 1 } else { 0 }),
        of(&mut |index| if index < DEGREE / 2 { limit - 1 } else { 1 }),
    ];
    for _ in 0..if cfg!(debug_assertions) { 4 } else { 40 } {
        all.push(of(&mut |_| word(rng) % limit));
    }
    all
}

fn integers(mut value: impl FnMut(usize) -> i64) -> Box<Integers> {
    let mut out = Integers::zero();
    out.0.iter_mut().enumerate().for_each(|(index, x)| *x = value(index));
    out
}

fn times(prime: &Prime, a: u64, b: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(prime.modulus)) as u64
}

/// Values are those at the odd powers of the root, in the stated order, also for residues up to 4p; and they invert.
#[test]
fn transforms_evaluate() {
    let mut rng = Rng::insecure_from_seed(b"transforms");
    for (prime, (p, root)) in primes().iter().zip(MODULI) {
        for original in samples(4 * p, &mut rng) {
            let spots = [0, 1, 2, 3, 8, 4095, 4096, 8191].map(|at: usize| {
                let x = power_mod(root, 2 * (at.reverse_bits() >> 51) as u64 + 1, p);
                (at, original.0.iter().rev().fold(0, |sum, c| (times(prime, sum, x) + c) % p))
            });
            for ring in rings() {
                let mut values = original.clone();
                ring.forward(prime, &mut values);
                assert!(values.0.iter().all(|&x| x < p));
                assert!(spots.iter().all(|&(at, expected)| values.0[at] == expected));
                ring.inverse(prime, &mut values);
                assert!(values.0.iter().zip(&original.0).all(|(x, y)| *x == y % p));
            }
        }
    }
}

/// A product of transforms is the schoolbook product modulo X^8192 + 1.
#[test]
fn products_are_negacyclic() {
    let mut rng = Rng::insecure_from_seed(b"products");
    for prime in primes() {
        let p = prime.modulus;
        for dense in samples(p, &mut rng) {
            let terms: Vec<(usize, u64)> =
                [0, 1, 77, DEGREE / 2, DEGREE - 1].iter().map(|&at| (at, word(&mut rng) % p)).collect();
            let mut sparse = Residues::zero();
            let mut expected = vec![0; DEGREE];
            for &(at, c) in &terms {
                sparse.0[at] = c;
                for (index, x) in dense.0.iter().enumerate() {
                    let product = times(prime, *x, c);
                    let signed = if index + at < DEGREE { product } else { p - product };
                    let to = &mut expected[(index + at) % DEGREE];
                    *to = (*to + signed) % p;
                }
            }
            for ring in rings() {
                let (mut a, mut b, mut sum) = (dense.clone(), sparse.clone(), Residues::zero());
                ring.forward(prime, &mut a);
                ring.forward(prime, &mut b);
                b.0.iter_mut().for_each(|x| *x = prime.montgomery(*x, prime.square));
                ring.multiply_add(prime, &mut sum, &a, &b);
                ring.inverse(prime, &mut sum);
                assert!(sum.0[..] == expected[..]);
            }
        }
    }
}

#[test]
fn all_backends_compute_alike() {
    let mut rng = Rng::insecure_from_seed(b"alike");
    for prime in primes() {
        let p = prime.modulus;
        let all = samples(p, &mut rng);
        for (a, b) in all.iter().zip(all.iter().rev()) {
            let mut cells = Box::new(Cells([0; DEGREE]));
            cells.0.iter_mut().for_each(|cell| *cell = (word(&mut rng) % 4) as i32 - 1);
            let limit = WEIGHT_LIMIT as i64;
            let weights = integers(|at| [1 - limit, limit - 1, -1, 0, a.0[at] as i64 % limit][at % 5]);
            let errors = integers(|at| [-21, 21, 0, 1][at % 4]);
            let messages = integers(|at| [i64::MIN, i64::MAX, -1, (a.0[at] << 21) as i64][at % 4]);
            let weight = |at: usize| i128::from(weights.0[at]).rem_euclid(i128::from(p)) as u64;
            let chosen = |at: usize, weight: u64| if cells.0[at] == 2 { weight } else { 0 };
            let total =
                |x: &dyn Fn(usize) -> u64| (0..DEGREE).fold(0, |sum, at| (sum + times(prime, a.0[at], x(at))) % p);
            for ring in rings() {
                assert_eq!(ring.inner(prime, a, b), total(&|at| b.0[at]));
                assert_eq!(ring.sum(prime, a, &cells, None, 2), total(&|at| chosen(at, 1)));
                assert_eq!(ring.sum(prime, a, &cells, Some(&weights), 2), total(&|at| chosen(at, weight(at))));
                let mut out = Residues::zero();
                ring.select(prime, &cells, None, 2, &mut out);
                assert!((0..DEGREE).all(|at| out.0[at] == chosen(at, 1)));
                ring.select(prime, &cells, Some(&weights), 2, &mut out);
                assert!((0..DEGREE).all(|at| out.0[at] == chosen(at, weight(at))));
                out.0 = a.0;
                ring.add(prime, &mut out, b);
                assert!((0..DEGREE).all(|at| out.0[at] == (a.0[at] + b.0[at]) % p));
                ring.add_message(prime, &mut out, &errors, &messages);
                let message = |at: usize| (i128::from(errors.0[at]) << 64) + i128::from(messages.0[at]);
                let message = |at: usize| message(at) - i128::from(a.0[at]) - i128::from(b.0[at]);
                assert!((0..DEGREE).all(|at| i128::from(out.0[at]) == message(at).rem_euclid(i128::from(p))));
            }
        }
    }
}

#[test]
fn packing_keeps_every_bit() {
    let mut rng = Rng::insecure_from_seed(b"packing");
    for values in samples(1 << 42, &mut rng) {
        for ring in rings() {
            let mut plane = Box::new([0u8; PLANE_BYTES]);
            ring.pack(&values, &mut plane);
            let bit = |at: usize| u64::from(plane[at / 8] >> (at % 8) & 1);
            for at in [0, 1, 7, 8, 4099, DEGREE - 1] {
                assert_eq!((0..42).fold(0, |x, i| x | bit(42 * at + i) << i), values.0[at]);
            }
            let mut back = Residues::zero();
            assert_eq!(ring.unpack(&plane, &mut back), *values.0.iter().max().unwrap());
            assert!(back.0 == values.0);
        }
    }
}

#[test]
fn coefficients_are_packed_and_refused() {
    for residues in [[0; 4], MODULI.map(|(p, _)| p - 1), [1, 2, 3, 4]] {
        let mut bytes = [255; COEFFICIENT_BYTES];
        wire::write_coefficient(&residues, &mut bytes);
        assert_eq!(wire::read_coefficient("reply", &bytes), Ok(residues));
        for index in 0..PRIMES {
            for high in [MODULI[index].0, LOW] {
                let mut bad = residues;
                bad[index] = high;
                wire::write_coefficient(&bad, &mut bytes);
                let refused = Error::Residue { what: "reply", position: 0, prime: index };
                assert_eq!(wire::read_coefficient("reply", &bytes), Err(refused));
            }
        }
    }
}

/// Errors are the difference of two counts, for every pair of counts; and a stream's have the variance 21/2.
#[test]
fn errors_are_centred_binomial() {
    for ring in rings() {
        let mut bits = Residues::zero();
        let ones = |count: usize| (1u64 << count) - 1;
        bits.0.iter_mut().enumerate().for_each(|(at, x)| *x = ones(at % 22) | ones(at / 22 % 22) << 21);
        let mut out = Integers::zero();
        ring.binomial(&bits, &mut out);
        for at in 0..DEGREE {
            assert_eq!(out.0[at], (at % 22) as i64 - (at / 22 % 22) as i64);
        }
    }
    let seed = Zeroizing::new([7; 32]);
    let drawn: Vec<_> = rings().iter().map(|ring| Stream::new(&seed).errors(*ring)).collect();
    assert!(drawn.iter().all(|errors| errors.0 == drawn[0].0));
    let square: i64 = drawn[0].0.iter().map(|e| e * e).sum();
    // 8192 squares of mean 10.5 and deviation below 15: five deviations of their mean are below 0.83.
    assert!((square as f64 / DEGREE as f64 - 10.5).abs() < 0.83);
    let ternary = Stream::new(&seed).ternary();
    for value in -1..=1 {
        let count = ternary.0.iter().filter(|&&x| x == value).count();
        assert!(count.abs_diff(DEGREE / 3) < 220);
    }
    let mut stream = Stream::new(&seed);
    let singles: Vec<i64> = (0..DEGREE).map(|_| stream.error()).collect();
    assert!(singles.iter().all(|e| e.abs() <= 21));
    assert!((singles.iter().map(|e| e * e).sum::<i64>() as f64 / DEGREE as f64 - 10.5).abs() < 0.83);
    for largest in [0, 1, 2, u128::from(u64::MAX), 1 << 100, u128::MAX] {
        let drawn: Vec<u128> = (0..100).map(|_| stream.up_to(largest)).collect();
        assert!(drawn.iter().all(|&x| x <= largest));
        assert!(largest == 0 || drawn.iter().any(|&x| x > largest / 2) && drawn.iter().any(|&x| x <= largest / 2));
    }
}

/// Public polynomials are the candidates below the prime, in order, also where one was refused.
#[test]
fn public_polynomials_skip_what_is_too_large() {
    let section = section_hash(b"label", 5).unwrap();
    let (index, prime) = (3, &primes()[3]);
    let mut refused = 0;
    for number in 0..if cfg!(debug_assertions) { 1000 } else { 4000 } {
        let hash = section.clone().chain_update([1]).chain_update(u64::to_be_bytes(number)).chain_update([index as u8]);
        let mut stream = ChaCha20Rng::from_seed(hash.finalize()[..32].try_into().unwrap());
        let mut bytes = vec![0; PLANE_BYTES + 84];
        stream.fill_bytes(&mut bytes);
        let bit = |at: usize| u64::from(bytes[at / 8] >> (at % 8) & 1);
        let candidate = |at: usize| (0..42).fold(0, |x, i| x | bit(42 * at + i) << i);
        // Only the highest candidates are looked at closely: most blocks have none that is refused.
        let high = |at: usize| bit(42 * at + 41) & bit(42 * at + 40) & bit(42 * at + 39) & bit(42 * at + 38) == 1;
        if number > 0 && !(0..DEGREE).any(|at| high(at) && candidate(at) >= prime.modulus) {
            continue;
        }
        refused += u64::from(number > 0);
        let expected: Vec<u64> = (0..DEGREE + 16).map(candidate).filter(|&x| x < prime.modulus).take(DEGREE).collect();
        for ring in rings() {
            let mut values = Residues::zero();
            public(ring, &section, Public::Block(number), index, prime, &mut values);
            assert!(values.0[..] == expected[..]);
        }
    }
    assert!(refused > 0);
}

#[test]
fn numbers_are_centred() {
    let q = modulus();
    let half = [q[0] >> 1 | q[1] << 63, q[1] >> 1 | q[2] << 63, q[2] >> 1];
    let negated = |x: [u64; 3]| {
        let (low, carry) = (!x[0]).overflowing_add(1);
        let (middle, carry) = (!x[1]).overflowing_add(carry.into());
        [low, middle, (!x[2]).wrapping_add(carry.into())]
    };
    assert_eq!(centred(&[0; 4]), [0; 3]);
    assert_eq!(centred(&[1; 4]), [1, 0, 0]);
    assert_eq!(centred(&MODULI.map(|(p, _)| p - 1)), negated([1, 0, 0]));
    // Twice (q − 1)/2 is −1, so its residues are (p − 1)/2.
    assert_eq!(centred(&MODULI.map(|(p, _)| (p - 1) / 2)), half);
    assert_eq!(centred(&MODULI.map(|(p, _)| p.div_ceil(2))), negated(half));
    let power = primes().each_ref().map(|prime| prime.montgomery(prime.scale, 1));
    assert_eq!(centred(&power), [0, 1, 0]);
}

#[test]
fn bounds_are_what_the_document_says() {
    // 21·n·W + ⌈n·W/2⌉ + 21·(2·8192 + 1), and ⌊q/2^65⌋ − B − 1.
    assert_eq!(noise_bound(0, 1), Some(344_085));
    assert_eq!(noise_bound(8193, 1), Some(21 * 8193 + 4097 + 344_085));
    assert_eq!(flood_bound(8192, 1).unwrap() + noise_bound(8192, 1).unwrap() + 1, half_modulus());
    let [_, middle, high] = modulus();
    assert_eq!(half_modulus() >> 63, u128::from(high));
    assert_eq!(half_modulus() & ((1 << 63) - 1), u128::from(middle >> 1));
    assert_eq!(high >> 39, 1);
    for weight in [1, WEIGHT_LIMIT - 1] {
        let most = limit(weight);
        let bound = noise_bound(most, weight).unwrap();
        assert!(flood_bound(most, weight).unwrap() >= bound << 40);
        for beyond in [most + 1, most + 8192, 1 << 62, u64::MAX] {
            assert_eq!(flood_bound(beyond, weight), Err(Error::SumTooLarge { positions: beyond, weight }));
        }
    }
    assert!(matches!(flood_bound(1, WEIGHT_LIMIT), Err(Error::OutOfRange { .. })));
}

/// The most positions that a weight allows, by bisection.
fn limit(weight: u64) -> u64 {
    let (mut least, mut beyond) = (0, 1 << 63);
    while beyond - least > 1 {
        let middle = least + (beyond - least) / 2;
        if flood_bound(middle, weight).is_ok() { least = middle } else { beyond = middle }
    }
    least
}

/// Every error at ±21, every weight and value at its end, secrets and randomness aligned, the flood at its end.
struct Extremes {
    sign: i64,
    owner: SumOwner,
    matcher: SumMatcher,
}

impl Extremes {
    fn new(sign: i64, kind: Kind) -> Self {
        let ring = kind.get().ring();
        // Coefficient 0 of e2·s is Σ e2_i·s_i for e2 at 1/X; all ones align every term.
        let secrets = [integers(|_| 1)];
        let errors = [integers(|_| 21 * sign)];
        let section = section_hash(b"extremes", 0).unwrap();
        let seeds = Rng::insecure_from_seed(b"unused");
        let owner = SumOwner::from_secrets(ring, section, &secrets, &errors, seeds).unwrap();
        let matcher = SumMatcher::new(kind.get(), b"extremes", 0, 1, 1, owner.public_keys()).unwrap();
        Self { sign, owner, matcher }
    }

    fn absorb(&mut self, block: u64) {
        let value = if self.sign > 0 { i64::MAX } else { i64::MIN };
        let sign = self.sign;
        let ciphertexts = self.owner.encrypt_block(block, &vec![value; DEGREE], &|_| integers(|_| 21 * sign));
        let weights = vec![WEIGHT_LIMIT as i64 - 1; DEGREE];
        self.matcher.absorb(block, &[vec![&ciphertexts[0]]], &vec![0; DEGREE], Some(&weights)).unwrap();
    }

    /// Finish with the flood at its end and so many steps beyond; say whether the sum is right.
    fn exact(mut self, blocks: u64, beyond: u128) -> bool {
        let weight = WEIGHT_LIMIT - 1;
        let bound = flood_bound(blocks * DEGREE as u64, weight).unwrap() + beyond;
        let flood = if self.sign > 0 { 2 * bound } else { 0 };
        let hiding = Hiding {
            ternary: integers(|_| 1),
            errors: integers(|_| 21 * self.sign),
            coefficients: Zeroizing::new(vec![(21 * self.sign, flood)]),
        };
        let value = if self.sign > 0 { i64::MAX } else { i64::MIN };
        let offset = value as u64;
        let replies = self.matcher.reply_with(&[offset], vec![hiding], bound).unwrap();
        let sum = (value as u64).wrapping_mul(blocks * DEGREE as u64).wrapping_mul(weight).wrapping_add(offset);
        self.owner.release(&[&replies[0]]).unwrap() == [sum]
    }
}

#[test]
fn sums_are_exact_where_every_bound_is_reached() {
    for kind in Kind::available() {
        for sign in [-1, 1] {
            for blocks in [1, 9] {
                // The bound leaves less than two steps: one step more is still exact, three are not.
                for (beyond, exact) in [(0, true), (3, false)] {
                    let mut extremes = Extremes::new(sign, kind);
                    (0..blocks).for_each(|block| extremes.absorb(block));
                    assert_eq!(extremes.exact(blocks, beyond), exact);
                }
            }
        }
    }
}

/// The same at the most positions that weights of 32 bits allow; one block more is refused.
#[test]
#[cfg_attr(debug_assertions, ignore = "some 10,000 blocks: run in a release build")]
fn sums_are_exact_at_the_limit() {
    let blocks = limit(WEIGHT_LIMIT - 1) / DEGREE as u64;
    assert!(blocks > 1 << 13);
    for sign in [-1, 1] {
        let mut extremes = Extremes::new(sign, Kind::available()[0]);
        (0..blocks).for_each(|block| extremes.absorb(block));
        assert!(extremes.exact(blocks, 0));
    }
    let mut extremes = Extremes::new(1, Kind::available()[0]);
    (0..blocks).for_each(|block| extremes.absorb(block));
    let ciphertexts = extremes.owner.encrypt_block(blocks, &[0], &|_| Integers::zero());
    let refused = extremes.matcher.absorb(blocks, &[vec![&ciphertexts[0]]], &[0], None);
    assert_eq!(refused, Err(Error::SumTooLarge { positions: (blocks + 1) * DEGREE as u64, weight: WEIGHT_LIMIT - 1 }));
}

#[test]
fn sums_come_back_the_same_on_every_backend() {
    let mut transcripts = vec![];
    for kind in Kind::available() {
        let mut rng = Rng::insecure_from_seed(b"sums");
        let backend = kind.get();
        let mut owner = SumOwner::new(backend, b"label", 3, 2, &mut rng).unwrap();
        let rows = DEGREE + 100;
        let mut values = vec![0i64; 2 * rows];
        values.iter_mut().enumerate().for_each(|(i, v)| *v = (i as i64).wrapping_mul(0x1234_5678_9abc_def1));
        let blocks = owner.encrypt(0, &values).unwrap();
        let mut matcher = SumMatcher::new(backend, b"label", 3, 2, 3, owner.public_keys()).unwrap();
        let cells: Vec<i32> = (0..rows).map(|i| (i % 5) as i32 - 1).map(|c| if c == 3 { -1 } else { c }).collect();
        let weights: Vec<i64> = (0..rows).map(|i| (i as i64 * 7919) % (1 << 32) * (1 - 2 * (i as i64 % 2))).collect();
        let views: Vec<Vec<&[u8]>> = blocks.iter().map(|block| block.iter().map(|c| &c[..]).collect()).collect();
        matcher.absorb(0, &views, &cells, Some(&weights)).unwrap();
        let offsets = [1, 2, 3, u64::MAX, 5, 1 << 63];
        let replies = matcher.finish(&offsets, &mut rng).unwrap();
        let got = owner.release(&replies.iter().map(|r| &r[..]).collect::<Vec<_>>()).unwrap();
        for cell in 0..3 {
            for column in 0..2 {
                let chosen = (0..rows).filter(|&i| cells[i] == cell as i32);
                let products = chosen.map(|i| (values[2 * i + column] as u64).wrapping_mul(weights[i] as u64));
                assert_eq!(got[2 * cell + column], products.fold(offsets[2 * cell + column], u64::wrapping_add));
            }
        }
        transcripts.push((owner.public_keys().to_vec(), blocks, replies));
    }
    assert!(transcripts.iter().all(|transcript| *transcript == transcripts[0]));
}

#[test]
fn used_up_and_misused() {
    let mut rng = Rng::insecure_from_seed(b"misuse");
    let backend = Kind::available()[0].get();
    let mut owner = SumOwner::new(backend, b"label", 0, 1, &mut rng).unwrap();
    let blocks = owner.encrypt(4, &[1, 2, 3]).unwrap();
    assert!(matches!(owner.encrypt(4, &[1]), Err(Error::OutOfRange { what: "first_block", .. })));
    assert!(owner.encrypt(5, &[1]).is_ok());
    let replies = vec![&[0u8; 0][..]; CELLS_MAX + 1];
    assert_eq!(owner.release(&replies), Err(Error::TooManyReleases { count: 41, limit: 40 }));
    assert_eq!(owner.release(&[]), Err(Error::UsedUp { what: "keys" }));
    assert_eq!(owner.encrypt(6, &[1]), Err(Error::UsedUp { what: "keys" }));
    for (columns, cells) in [(0, 1), (1, 0), (1, 41), (1025, 1)] {
        assert!(SumMatcher::new(backend, b"label", 0, columns, cells, owner.public_keys()).is_err());
    }
    let mut matcher = SumMatcher::new(backend, b"label", 0, 1, 1, owner.public_keys()).unwrap();
    let view = [vec![&blocks[0][0][..]]];
    assert!(matches!(matcher.absorb(4, &view, &[1], None), Err(Error::NoSuchPosition { what: "cells", .. })));
    assert_eq!(matcher.absorb(4, &view, &[0], None), Err(Error::UsedUp { what: "sums" }));
    let mut matcher = SumMatcher::new(backend, b"label", 0, 1, 1, owner.public_keys()).unwrap();
    matcher.absorb(4, &view, &[0, -1, 0], None).unwrap();
    assert_eq!(matcher.finish(&[0], &mut rng).unwrap().len(), 1);
    assert_eq!(matcher.finish(&[0], &mut rng), Err(Error::UsedUp { what: "sums" }));
}
