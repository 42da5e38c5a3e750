use super::prime::{Integers, Prime, Residues, primes};
use super::*;
use crate::backend::Kind;
use crate::backend::ring::Ring;
use crate::rng::Rng;

fn rings() -> Vec<&'static dyn Ring> {
    Kind::available().into_iter().map(|kind| kind.get().ring()).collect()
}

fn random(prime: &Prime, rng: &mut Rng) -> Box<Residues> {
    let mut values = Residues::zero();
    for value in &mut values.0 {
        let mut bytes = [0; 8];
        rng.fill(&mut bytes);
        *value = u64::from_le_bytes(bytes) % prime.modulus;
    }
    values
}

#[test]
fn sums_come_back() {
    let mut rng = Rng::insecure_from_seed(b"sums");
    for kind in Kind::available() {
        let backend = kind.get();
        let mut owner = SumOwner::new(backend, b"label", 3, 2, &mut rng).unwrap();
        let rows = DEGREE + 100;
        let mut values = vec![0i64; 2 * rows];
        values.iter_mut().enumerate().for_each(|(i, v)| *v = (i as i64).wrapping_mul(0x1234_5678_9abc_def1));
        let blocks = owner.encrypt(0, &values).unwrap();
        let mut matcher = SumMatcher::new(backend, b"label", 3, 2, 3, owner.public_keys()).unwrap();
        let cells: Vec<i32> = (0..rows).map(|i| (i % 5) as i32 - 1).map(|c| if c == 3 { -1 } else { c }).collect();
        let views: Vec<Vec<&[u8]>> = blocks.iter().map(|block| block.iter().map(|c| &c[..]).collect()).collect();
        matcher.absorb(0, &views, &cells, None).unwrap();
        let offsets = [1, 2, 3, u64::MAX, 5, 1 << 63];
        let replies = matcher.finish(&offsets, &mut rng).unwrap();
        let replies: Vec<&[u8]> = replies.iter().map(|r| &r[..]).collect();
        let got = owner.release(&replies).unwrap();
        for cell in 0..3 {
            for column in 0..2 {
                let sum = (0..rows).filter(|&i| cells[i] == cell as i32).map(|i| values[2 * i + column] as u64);
                let sum = sum.fold(offsets[2 * cell + column], u64::wrapping_add);
                assert_eq!(got[2 * cell + column], sum);
            }
        }
    }
}

#[test]
fn transforms_invert() {
    let mut rng = Rng::insecure_from_seed(b"transforms");
    for prime in primes() {
        let original = random(prime, &mut rng);
        for ring in rings() {
            let mut values = original.clone();
            ring.forward(prime, &mut values);
            ring.inverse(prime, &mut values);
            assert!(values.0 == original.0);
        }
    }
    let _ = Integers::zero();
}
