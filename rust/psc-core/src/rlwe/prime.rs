//! The primes of the modulus, and arithmetic modulo one of them.
//!
//! Each prime is 2^42 − δ with δ < 2^21 and is 1 modulo 2·8192, so that it has transforms of 8192 points. The small δ folds
//! what exceeds 42 bits back with one multiplication; 42 bits leave ten below the 52 of AVX-512 IFMA, so that transforms
//! carry nothing between stages. Nothing here branches on a residue.

use std::sync::LazyLock;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{DEGREE, PRIMES};

/// Bits of a residue, in memory and on the wire.
pub const RESIDUE_BITS: usize = 42;
/// The low 42 bits.
pub const LOW: u64 = (1 << RESIDUE_BITS) - 1;
/// Bits of the Montgomery radix and of the quotients of [`Factor`]: the width of the IFMA multiplier.
pub const WORD_BITS: usize = 52;
/// The low 52 bits.
pub const WORD: u64 = (1 << WORD_BITS) - 1;
/// What a prime falls short of 2^42 is below this.
const DELTA_LIMIT: u64 = 1 << 21;

/// The primes with a primitive 16384th root of unity each: the four largest below 2^42 that are 1 modulo 16384; the root is
/// g^((p − 1)/16384) for the least g that gives one of that order.
pub const MODULI: [(u64, u64); PRIMES] = [
    (4_398_046_150_657, 3_761_857_733_064),
    (4_398_045_708_289, 4_051_916_851_763),
    (4_398_045_511_681, 1_897_799_179_668),
    (4_398_045_380_609, 4_072_525_989_273),
];

/// The residues of a polynomial modulo one prime: its coefficients, or its values at the odd powers of the root.
#[repr(C, align(64))]
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Residues(pub [u64; DEGREE]);

impl Residues {
    /// All zero.
    pub fn zero() -> Box<Self> {
        Box::new(Self([0; DEGREE]))
    }
}

/// Small or signed coefficients: messages, errors, weights.
#[repr(C, align(64))]
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Integers(pub [i64; DEGREE]);

impl Integers {
    /// All zero.
    pub fn zero() -> Box<Self> {
        Box::new(Self([0; DEGREE]))
    }
}

/// A fixed factor w with ⌊w·2^52/p⌋ beside it: the product by a number below 2^52 is then three multiplications.
#[derive(Clone, Copy)]
pub struct Factor {
    /// The factor, below p.
    pub value: u64,
    /// ⌊value·2^52/p⌋.
    pub quotient: u64,
}

/// Factors of a transform: entry m + i belongs to group i of the stage that has m groups.
pub struct Twiddles {
    /// The factors.
    pub values: Box<Residues>,
    /// Their quotients.
    pub quotients: Box<Residues>,
}

impl Twiddles {
    /// The factor at an index.
    #[inline(always)]
    pub fn get(&self, index: usize) -> Factor {
        Factor { value: self.values.0[index], quotient: self.quotients.0[index] }
    }
}

/// A prime with what arithmetic modulo it needs.
pub struct Prime {
    /// p.
    pub modulus: u64,
    /// 2^42 − p.
    pub delta: u64,
    /// −1/p modulo 2^52.
    pub negative_inverse: u64,
    /// 2^52 modulo p: one in Montgomery's form.
    pub one: u64,
    /// 2^104 modulo p: turns a number into Montgomery's form.
    pub square: u64,
    /// 2^116 modulo p: 2^64 in Montgomery's form.
    pub scale: u64,
    /// The transform to values.
    pub forward: Twiddles,
    /// The transform back.
    pub inverse: Twiddles,
    /// 1/8192.
    pub shrink: Factor,
    /// The last factor of the transform back, divided by 8192.
    pub shrink_last: Factor,
}

impl Prime {
    fn new((modulus, root): (u64, u64)) -> Self {
        assert!(!modulus.is_multiple_of(2) && (1 << RESIDUE_BITS) - modulus < DELTA_LIMIT);
        let mut inverse = 1u64;
        for _ in 0..6 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(modulus.wrapping_mul(inverse)));
        }
        let power = |bits: u32| power_mod(2, u64::from(bits), modulus);
        let back = power_mod(root, modulus - 2, modulus);
        let shrink = power_mod(DEGREE as u64, modulus - 2, modulus);
        let inverse_twiddles = twiddles(back, modulus);
        let last = multiply_mod(inverse_twiddles.values.0[1], shrink, modulus);
        Self {
            modulus,
            delta: (1 << RESIDUE_BITS) - modulus,
            negative_inverse: inverse.wrapping_neg() & WORD,
            one: power(52),
            square: power(104),
            scale: power(116),
            forward: twiddles(root, modulus),
            inverse: inverse_twiddles,
            shrink: factor(shrink, modulus),
            shrink_last: factor(last, modulus),
        }
    }

    /// Return `x`, which is below 2p, modulo p.
    #[inline(always)]
    pub fn once(&self, x: u64) -> u64 {
        debug_assert!(x < 2 * self.modulus);
        let less = x.wrapping_sub(self.modulus);
        less.wrapping_add(self.modulus & (less >> 63).wrapping_neg())
    }

    /// Return what `x`, which is below 2^52, is modulo p, below 2p.
    #[inline(always)]
    pub fn fold(&self, x: u64) -> u64 {
        debug_assert!(x <= WORD);
        (x & LOW).wrapping_add(self.delta.wrapping_mul(x >> RESIDUE_BITS))
    }

    /// Return a + b for residues.
    #[inline(always)]
    pub fn add(&self, a: u64, b: u64) -> u64 {
        self.once(a.wrapping_add(b))
    }

    /// Return a·b/2^52 where a·b is below 2^52·p.
    #[inline(always)]
    pub fn montgomery(&self, a: u64, b: u64) -> u64 {
        let product = u128::from(a).wrapping_mul(u128::from(b));
        debug_assert!(product >> WORD_BITS < u128::from(self.modulus));
        let times = (product as u64).wrapping_mul(self.negative_inverse) & WORD;
        let sum = product.wrapping_add(u128::from(times).wrapping_mul(u128::from(self.modulus)));
        self.once((sum >> WORD_BITS) as u64)
    }

    /// Return a·b for residues.
    pub fn multiply(&self, a: u64, b: u64) -> u64 {
        self.montgomery(self.montgomery(a, b), self.square)
    }

    /// Return `x`, which is below 2^104, modulo p.
    pub fn reduce(&self, x: u128) -> u64 {
        debug_assert!(x >> (2 * WORD_BITS) == 0);
        let low = self.montgomery(x as u64 & WORD, self.one);
        self.add(low, self.montgomery((x >> WORD_BITS) as u64, self.square))
    }

    /// Return x·w for a factor, below 2p; x is below 2^52.
    #[inline(always)]
    pub fn times(&self, x: u64, w: Factor) -> u64 {
        debug_assert!(x <= WORD);
        let quotient = (u128::from(x).wrapping_mul(u128::from(w.quotient)) >> WORD_BITS) as u64;
        x.wrapping_mul(w.value).wrapping_sub(quotient.wrapping_mul(self.modulus))
    }

    /// Return 2^64·e + v − x: e is within ±32, v any, x a residue.
    ///
    /// With v = v0 + 2^42·v1, 0 ≤ v0 < 2^42, this is v0 + 2^42·(2^22·e + v1) − x, and 2^42 is δ modulo p. The bracket is
    /// within ±2^28, so δ times it within ±2^49; 2^8·p, which is above 2^49 + 2^42, keeps the sum positive, and it stays
    /// below 2^52.
    #[inline(always)]
    pub fn message(&self, error: i64, value: i64, x: u64) -> u64 {
        debug_assert!(error.abs() <= 32 && x < self.modulus);
        let high = (error << 22).wrapping_add(value >> RESIDUE_BITS);
        let folded = (self.delta as i64).wrapping_mul(high) as u64;
        let sum = (value as u64 & LOW).wrapping_add(folded).wrapping_add(self.modulus << 8).wrapping_sub(x);
        self.once(self.fold(sum))
    }
}

/// The primes, with their tables.
pub fn primes() -> &'static [Prime; PRIMES] {
    static TABLES: LazyLock<[Prime; PRIMES]> = LazyLock::new(|| MODULI.map(Prime::new));
    &TABLES
}

// What follows makes tables of public numbers and divides.

fn multiply_mod(a: u64, b: u64, modulus: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(modulus)) as u64
}

/// Return base^exponent modulo a prime.
pub(super) fn power_mod(base: u64, exponent: u64, modulus: u64) -> u64 {
    let (mut result, mut square) = (1, base % modulus);
    for bit in 0..u64::BITS {
        if exponent >> bit & 1 == 1 {
            result = multiply_mod(result, square, modulus);
        }
        square = multiply_mod(square, square, modulus);
    }
    result
}

fn factor(value: u64, modulus: u64) -> Factor {
    Factor { value, quotient: ((u128::from(value) << WORD_BITS) / u128::from(modulus)) as u64 }
}

/// Return the powers of a root in the order of bit-reversed exponents.
fn twiddles(root: u64, modulus: u64) -> Twiddles {
    let mut table = Twiddles { values: Residues::zero(), quotients: Residues::zero() };
    let mut power = 1;
    for exponent in 0..DEGREE {
        let at = exponent.reverse_bits() >> (usize::BITS - DEGREE.trailing_zeros());
        let entry = factor(power, modulus);
        table.values.0[at] = entry.value;
        table.quotients.0[at] = entry.quotient;
        power = multiply_mod(power, root, modulus);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moduli_are_what_they_are_said_to_be() {
        let prime = |n: u64| {
            // Miller and Rabin with these bases is a proof below 3.4·10^14.
            let (odd, twos) = ((n - 1) >> (n - 1).trailing_zeros(), (n - 1).trailing_zeros());
            [2, 3, 5, 7, 11, 13, 17].iter().all(|&base| {
                let mut x = power_mod(base, odd, n);
                (0..twos).any(|i| {
                    let seen = x == n - 1 || (i == 0 && x == 1);
                    x = multiply_mod(x, x, n);
                    seen
                })
            })
        };
        let step = 2 * DEGREE as u64;
        let largest: Vec<u64> = (1..).map(|k| (1 << 42) - k * step + 1).filter(|&n| prime(n)).take(PRIMES).collect();
        assert_eq!(largest, MODULI.map(|(modulus, _)| modulus));
        for (modulus, root) in MODULI {
            let candidates = (2..).map(|g| power_mod(g, (modulus - 1) / step, modulus));
            let first = candidates.into_iter().find(|&x| power_mod(x, DEGREE as u64, modulus) == modulus - 1);
            assert_eq!(first, Some(root));
        }
    }

    #[test]
    fn arithmetic_equals_division() {
        for prime in primes() {
            let p = prime.modulus;
            let edges = [0, 1, 2, 41, p / 2, p - 2, p - 1, prime.delta];
            for a in edges {
                for b in edges {
                    assert_eq!(prime.multiply(a, b), multiply_mod(a, b, p));
                    assert_eq!(prime.add(a, b), (a + b) % p);
                    let w = factor(b, p);
                    for x in [a, a + p, WORD, WORD - a] {
                        let product = prime.times(x, w);
                        assert!(product < 2 * p && product % p == multiply_mod(x % p, b, p));
                    }
                    for error in [-32, -21, -1, 0, 1, 21, 32] {
                        for value in [0, 1, -1, i64::MAX, i64::MIN, a as i64, -(a as i64), (a as i64) << 21] {
                            let expected = (i128::from(error) << 64) + i128::from(value) - i128::from(b);
                            let got = prime.message(error, value, b);
                            assert_eq!(i128::from(got), expected.rem_euclid(i128::from(p)));
                        }
                    }
                }
                assert!(prime.fold(WORD - a) < 2 * p && prime.fold(WORD - a) % p == (WORD - a) % p);
            }
            for x in [0, 1, u128::from(p), u128::from(u64::MAX), (1 << 104) - 1, 1 << 103, u128::from(p) << 60] {
                assert_eq!(u128::from(prime.reduce(x)), x % u128::from(p));
            }
        }
    }
}
