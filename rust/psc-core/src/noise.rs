//! Exact samplers of the discrete Laplace and the discrete Gaussian distribution.
//!
//! Algorithms 1 to 3 of Canonne, Kamath, Steinke: "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020,
//! arXiv 2004.00010). Only integers and uniform bits enter: floating-point noise is not what a proof speaks of (Mironov,
//! CCS 2012). A sample beyond `SAMPLE_MAX` is drawn again; under the limits on scales that has a chance below 2^-180.
//!
//! Not constant time: how many uniform numbers a sample takes depends on the sample. A party draws noise for results of
//! its own, before it knows what they are noise for, so the time tells the other party of the size of the noise at
//! most, and only when the draw can be told from the work around it.

use crate::error::{Error, Result, check_range};
use crate::rng::Rng;

/// The most samples of one call.
pub const COUNT_MAX: usize = 1 << 24;
/// The largest scale of a discrete Laplace distribution, and the largest standard deviation of a discrete Gaussian one.
pub const SCALE_MAX: u64 = 1 << 55;
/// The largest magnitude of a sample.
pub const SAMPLE_MAX: u64 = 1 << 62;
/// A variance that is not the square of an integer has a numerator up to this,
const VARIANCE_NUMERATOR_MAX: u128 = 1 << 48;
/// and a denominator up to this, both in lowest terms.
const VARIANCE_DENOMINATOR_MAX: u128 = 1 << 20;

/// Return samples of the discrete Laplace distribution: integer x has probability proportional to exp(-|x|/scale), where
/// scale = numerator / denominator.
pub fn discrete_laplace(rng: &mut Rng, count: usize, numerator: u64, denominator: u64) -> Result<Vec<i64>> {
    check_range("count", count, 0, COUNT_MAX)?;
    let refused = || refuse("scale", u128::from(numerator), u128::from(denominator));
    if numerator == 0 || denominator == 0 || numerator.div_ceil(denominator) > SCALE_MAX {
        return Err(refused());
    }
    let common = gcd(u128::from(numerator), u128::from(denominator)) as u64;
    let (numerator, denominator) = (numerator / common, denominator / common);
    Ok((0..count).map(|_| laplace(rng, numerator, denominator)).collect())
}

/// Return samples of the discrete Gaussian distribution: integer x has probability proportional to exp(-x²/2σ²), where
/// σ² = numerator / denominator.
///
/// In lowest terms the variance must have a numerator up to 2^48 and a denominator up to 2^20, or be the square of an
/// integer up to 2^55: every product below then fits 128 bits.
pub fn discrete_gaussian(rng: &mut Rng, count: usize, numerator: u128, denominator: u128) -> Result<Vec<i64>> {
    check_range("count", count, 0, COUNT_MAX)?;
    let target = Gaussian::new(numerator, denominator).ok_or_else(|| refuse("variance", numerator, denominator))?;
    Ok((0..count).map(|_| target.sample(rng)).collect())
}

fn refuse(what: &'static str, numerator: u128, denominator: u128) -> Error {
    Error::NoiseScale { what, numerator, denominator }
}

/// The acceptance probability of Algorithm 3, exp(-(|y|·slope - offset)² / divisor), for samples y of scale `proposal`.
struct Gaussian {
    proposal: u64,
    slope: u128,
    offset: u128,
    divisor: u128,
}

impl Gaussian {
    /// For σ² = n/d and proposals of an integer scale t: (|y| - σ²/t)² / 2σ² = (|y|·d·t - n)² / (2·n·d·t²).
    fn new(numerator: u128, denominator: u128) -> Option<Self> {
        if numerator == 0 || denominator == 0 {
            return None;
        }
        let common = gcd(numerator, denominator);
        let (n, d) = (numerator / common, denominator / common);
        let root = n.isqrt();
        if d == 1 && root * root == n && root <= u128::from(SCALE_MAX) {
            // t = σ: both sides divide by n. Any t is exact; this one accepts about as often as the paper's ⌊σ⌋ + 1.
            return Some(Self { proposal: root as u64, slope: 1, offset: root, divisor: 2 * n });
        }
        if n > VARIANCE_NUMERATOR_MAX || d > VARIANCE_DENOMINATOR_MAX {
            return None;
        }
        // d·t² ≤ n + 2·√(n·d) + d < 2^50, so the divisor is below 2^99 and the slope below 2^36.
        let t = (n / d).isqrt() + 1;
        Some(Self { proposal: t as u64, slope: d * t, offset: n, divisor: 2 * n * d * t * t })
    }

    fn sample(&self, rng: &mut Rng) -> i64 {
        loop {
            let y = laplace(rng, self.proposal, 1);
            // A square past 2^128 stands only above a divisor below 2^99: accepted with probability exp(-2^29), so never.
            let distance = (u128::from(y.unsigned_abs()) * self.slope).abs_diff(self.offset);
            if let Some(square) = distance.checked_mul(distance)
                && bernoulli_exp(rng, square, self.divisor)
            {
                return y;
            }
        }
    }
}

/// Algorithm 2 for the scale t/s: |x| is the quotient by s of a geometric variable of parameter 1 - exp(-1/t).
fn laplace(rng: &mut Rng, t: u64, s: u64) -> i64 {
    let (t, s) = (u128::from(t), u128::from(s));
    loop {
        let remainder = below(rng, t);
        if !bernoulli_exp(rng, remainder, t) {
            continue;
        }
        let mut turns = 0;
        while bernoulli_exp_unit(rng, 1, 1) {
            turns += 1;
        }
        let magnitude = (remainder + t * turns) / s;
        let negative = below(rng, 2) == 1;
        // Zero has one sign, else it would come twice as often as it should.
        if (negative && magnitude == 0) || magnitude > u128::from(SAMPLE_MAX) {
            continue;
        }
        return if negative { -(magnitude as i64) } else { magnitude as i64 };
    }
}

/// True with probability exp(-numerator / denominator): Algorithm 1.
fn bernoulli_exp(rng: &mut Rng, numerator: u128, denominator: u128) -> bool {
    let whole = numerator / denominator;
    // A large whole part ends early: each turn fails with probability 1 - 1/e.
    let mut turn = 0;
    while turn < whole {
        if !bernoulli_exp_unit(rng, 1, 1) {
            return false;
        }
        turn += 1;
    }
    bernoulli_exp_unit(rng, numerator % denominator, denominator)
}

/// True with probability exp(-γ) for γ = numerator / denominator within 0..=1: the series of the exponential function.
fn bernoulli_exp_unit(rng: &mut Rng, numerator: u128, denominator: u128) -> bool {
    // Turn k is reached with probability γ^(k-1)/(k-1)!, so k·denominator (below 2^112·k) cannot pass 2^128 in practice.
    let mut k: u128 = 1;
    while below(rng, denominator * k) < numerator {
        k += 1;
    }
    k % 2 == 1
}

/// A uniform number below `bound`: bits are drawn until they stand for one.
fn below(rng: &mut Rng, bound: u128) -> u128 {
    let bits = 128 - (bound - 1).leading_zeros();
    if bits == 0 {
        return 0;
    }
    let mut draw = [0u8; 16];
    let used = bits.div_ceil(8) as usize;
    loop {
        rng.fill(&mut draw[..used]);
        let value = u128::from_le_bytes(draw) & (u128::MAX >> (128 - bits));
        if value < bound {
            return value;
        }
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chi-squared of samples against weights that need not add up to one; both tails are one cell each. Returns the
    /// statistic less its degrees of freedom, in standard deviations.
    fn deviation(samples: &[i64], weight: impl Fn(i64) -> f64, reach: i64) -> f64 {
        let total: f64 = (-reach * 8..=reach * 8).map(&weight).sum();
        let tail: f64 = (reach + 1..=reach * 8).map(&weight).sum::<f64>() / total;
        let mut expected: Vec<f64> = (-reach..=reach).map(|x| weight(x) / total).collect();
        expected.insert(0, tail);
        expected.push(tail);
        let mut seen = vec![0f64; expected.len()];
        for &x in samples {
            seen[(x.clamp(-reach - 1, reach + 1) + reach + 1) as usize] += 1.0;
        }
        let n = samples.len() as f64;
        let chi: f64 = seen.iter().zip(&expected).map(|(s, e)| (s - n * e).powi(2) / (n * e)).sum();
        let freedom = (expected.len() - 1) as f64;
        (chi - freedom) / (2.0 * freedom).sqrt()
    }

    #[test]
    fn laplace_has_its_distribution() {
        for (numerator, denominator, reach) in [(1, 3, 3), (1, 1, 6), (7, 2, 14), (300, 100, 12), (40, 1, 120)] {
            let mut rng = Rng::insecure_from_seed(format!("laplace {numerator}/{denominator}").as_bytes());
            let samples = discrete_laplace(&mut rng, 200_000, numerator, denominator).unwrap();
            let scale = numerator as f64 / denominator as f64;
            let off = deviation(&samples, |x| (-(x.abs() as f64) / scale).exp(), reach);
            assert!(off.abs() < 4.5, "{numerator}/{denominator}: {off}");
            // The same test knows a scale that is off by a twentieth.
            assert!(deviation(&samples, |x| (-(x.abs() as f64) / (1.05 * scale)).exp(), reach) > 10.0);
        }
    }

    #[test]
    fn gaussian_has_its_distribution() {
        let cases =
            [(1, 4, 2), (1, 1, 3), (5, 2, 4), (500_000, 1_000_000, 2), (9, 1, 8), (1000, 7, 30), (1600, 1, 100)];
        for (numerator, denominator, reach) in cases {
            let mut rng = Rng::insecure_from_seed(format!("gaussian {numerator}/{denominator}").as_bytes());
            let samples = discrete_gaussian(&mut rng, 200_000, numerator, denominator).unwrap();
            let variance = numerator as f64 / denominator as f64;
            let off = deviation(&samples, |x| (-((x * x) as f64) / (2.0 * variance)).exp(), reach);
            assert!(off.abs() < 4.5, "{numerator}/{denominator}: {off}");
            assert!(deviation(&samples, |x| (-((x * x) as f64) / (2.2 * variance)).exp(), reach) > 10.0);
        }
    }

    #[test]
    fn the_largest_scales_are_sampled_and_symmetric() {
        let mut rng = Rng::insecure_from_seed(b"large");
        let count = 20_000;
        let scale = SCALE_MAX as f64;
        let laplace = discrete_laplace(&mut rng, count, SCALE_MAX, 1).unwrap();
        let fine = discrete_laplace(&mut rng, count, u64::MAX, 1 << 10).unwrap();
        let gaussian = discrete_gaussian(&mut rng, count, u128::from(SCALE_MAX).pow(2), 1).unwrap();
        // Shares within one scale: 1 - 1/e for Laplace, erf(1/√2) for Gauss. Five standard deviations of 20,000 are 0.018.
        let sides = [(&laplace, scale, 0.632), (&fine, u64::MAX as f64 / 1024.0, 0.632), (&gaussian, scale, 0.683)];
        for (samples, scale, share) in sides {
            let of = |test: &dyn Fn(i64) -> bool| samples.iter().filter(|&&x| test(x)).count() as f64 / count as f64;
            assert!((of(&|x| (x.abs() as f64) < scale) - share).abs() < 0.018);
            assert!((of(&|x| x > 0) - 0.5).abs() < 0.018);
            assert!((of(&|x| x % 2 == 0) - 0.5).abs() < 0.018, "low bits are uniform at this scale");
            assert!(samples.iter().all(|x| x.unsigned_abs() <= SAMPLE_MAX));
        }
    }

    #[test]
    fn the_smallest_scales_give_zeros() {
        let mut rng = Rng::insecure_from_seed(b"small");
        assert_eq!(discrete_laplace(&mut rng, 50, 1, u64::MAX).unwrap(), vec![0; 50]);
        assert_eq!(discrete_gaussian(&mut rng, 50, 1, VARIANCE_DENOMINATOR_MAX).unwrap(), vec![0; 50]);
    }

    #[test]
    fn fractions_are_reduced_and_seeds_repeat() {
        let draw = |n, d| discrete_gaussian(&mut Rng::insecure_from_seed(b"same"), 100, n, d).unwrap();
        assert_eq!(draw(5, 2), draw(5 << 60, 2 << 60));
        assert_ne!(draw(5, 2), draw(6, 2));
        let draw = |n, d| discrete_laplace(&mut Rng::insecure_from_seed(b"same"), 100, n, d).unwrap();
        assert_eq!(draw(5, 2), draw(5 << 60, 2 << 60));
        assert!(discrete_laplace(&mut Rng::insecure_from_seed(b"none"), 0, 1, 1).unwrap().is_empty());
    }

    #[test]
    fn parameters_are_bounded() {
        let mut rng = Rng::insecure_from_seed(b"bounds");
        for (n, d) in [(0, 1), (1, 0), (SCALE_MAX + 1, 1), (u64::MAX, 511)] {
            assert!(matches!(discrete_laplace(&mut rng, 1, n, d), Err(Error::NoiseScale { .. })), "{n}/{d}");
        }
        let past = u128::from(SCALE_MAX + 1).pow(2);
        for (n, d) in [
            (0, 1),
            (1, 0),
            (past, 1),
            (u128::MAX, 1),
            (VARIANCE_NUMERATOR_MAX + 1, 1),
            (1, VARIANCE_DENOMINATOR_MAX + 1),
            (u128::MAX, u128::MAX - 1),
        ] {
            assert!(matches!(discrete_gaussian(&mut rng, 1, n, d), Err(Error::NoiseScale { .. })), "{n}/{d}");
        }
        let widest = discrete_gaussian(&mut rng, 100, VARIANCE_NUMERATOR_MAX - 1, VARIANCE_DENOMINATOR_MAX - 1);
        assert_eq!(widest.unwrap().len(), 100);
        assert!(matches!(discrete_laplace(&mut rng, COUNT_MAX + 1, 1, 1), Err(Error::OutOfRange { .. })));
        assert!(matches!(discrete_gaussian(&mut rng, COUNT_MAX + 1, 1, 1), Err(Error::OutOfRange { .. })));
    }

    #[test]
    fn uniform_numbers_reach_both_ends() {
        let mut rng = Rng::insecure_from_seed(b"below");
        assert_eq!(below(&mut rng, 1), 0);
        for bound in [2u128, 3, 5, 256, 257] {
            let mut seen = vec![0i64; bound as usize];
            for _ in 0..400 * bound {
                seen[below(&mut rng, bound) as usize] += 1;
            }
            let chi = seen.iter().map(|&count| (count - 400).pow(2)).sum::<i64>() as f64 / 400.0;
            let freedom = (bound - 1) as f64;
            assert!((chi - freedom) / (2.0 * freedom).sqrt() < 4.5, "{bound}");
        }
        assert!((0..1000).any(|_| below(&mut rng, u128::MAX) > u128::MAX / 2));
    }
}
