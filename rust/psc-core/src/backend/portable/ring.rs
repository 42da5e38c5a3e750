//! Transforms one number at a time; the loops without a carry between entries are left to the compiler's vector code.

use super::Portable;
use crate::backend::ring::{self, Cells, Plane, Ring};
use crate::rlwe::DEGREE;
use crate::rlwe::prime::{Integers, Prime, Residues};

impl Ring for Portable {
    /// Each stage adds at most 2p: from 4p to 30p, which is below 2^47.
    fn forward(&self, prime: &Prime, values: &mut Residues) {
        let twice = 2 * prime.modulus;
        for stage in 0..DEGREE.trailing_zeros() {
            let groups = 1 << stage;
            for (group, pairs) in values.0.chunks_exact_mut(DEGREE / groups).enumerate() {
                let factor = prime.forward.get(groups + group);
                let (low, high) = pairs.split_at_mut(pairs.len() / 2);
                for (x, y) in low.iter_mut().zip(high) {
                    let product = prime.times(*y, factor);
                    *y = x.wrapping_add(twice).wrapping_sub(product);
                    *x = x.wrapping_add(product);
                }
            }
        }
        values.0.iter_mut().for_each(|x| *x = prime.once(prime.fold(*x)));
    }

    /// What enters a stage is below 2p.
    fn inverse(&self, prime: &Prime, values: &mut Residues) {
        let twice = 2 * prime.modulus;
        for stage in (1..DEGREE.trailing_zeros()).rev() {
            let groups = 1 << stage;
            for (group, pairs) in values.0.chunks_exact_mut(DEGREE / groups).enumerate() {
                let factor = prime.inverse.get(groups + group);
                let (low, high) = pairs.split_at_mut(pairs.len() / 2);
                for (x, y) in low.iter_mut().zip(high) {
                    let difference = x.wrapping_add(twice).wrapping_sub(*y);
                    *x = prime.fold(x.wrapping_add(*y));
                    *y = prime.times(difference, factor);
                }
            }
        }
        let (low, high) = values.0.split_at_mut(DEGREE / 2);
        for (x, y) in low.iter_mut().zip(high) {
            let difference = x.wrapping_add(twice).wrapping_sub(*y);
            *x = prime.once(prime.times(x.wrapping_add(*y), prime.shrink));
            *y = prime.once(prime.times(difference, prime.shrink_last));
        }
    }

    fn multiply_add(&self, prime: &Prime, sum: &mut Residues, a: &Residues, b: &Residues) {
        for ((sum, a), b) in sum.0.iter_mut().zip(&a.0).zip(&b.0) {
            *sum = prime.add(*sum, prime.montgomery(*a, *b));
        }
    }

    fn inner(&self, prime: &Prime, a: &Residues, b: &Residues) -> u64 {
        // 8192 products of 84 bits stay below 2^97.
        let terms = a.0.iter().zip(&b.0).map(|(a, b)| u128::from(*a).wrapping_mul(u128::from(*b)));
        prime.reduce(terms.fold(0, u128::wrapping_add))
    }

    fn sum(&self, prime: &Prime, values: &Residues, cells: &Cells, weights: Option<&Integers>, cell: i32) -> u64 {
        prime.reduce(match weights {
            None => ring::sum_plain(values, cells, cell).into(),
            Some(weights) => ring::sum_weighted(prime, values, cells, weights, cell),
        })
    }

    fn add(&self, prime: &Prime, sum: &mut Residues, a: &Residues) {
        ring::add(prime, sum, a);
    }

    fn select(&self, prime: &Prime, cells: &Cells, weights: Option<&Integers>, cell: i32, out: &mut Residues) {
        ring::select(prime, cells, weights, cell, out);
    }

    fn add_message(&self, prime: &Prime, values: &mut Residues, errors: &Integers, messages: &Integers) {
        ring::add_message(prime, values, errors, messages);
    }

    fn unpack(&self, plane: &Plane, out: &mut Residues) -> u64 {
        ring::unpack(plane, out)
    }

    fn pack(&self, values: &Residues, plane: &mut Plane) {
        ring::pack(values, plane);
    }

    fn binomial(&self, bits: &Residues, out: &mut Integers) {
        ring::binomial(bits, out);
    }
}
