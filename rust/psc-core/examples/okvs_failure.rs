//! How often the key-value store cannot be made, and the law that its parameters are taken from.
//!
//! ```text
//! cargo run --release -p psc-core --example okvs_failure > benchmarks/results/okvs_failure.jsonl
//! ```
//!
//! A trial is an elimination of random rows without values; it fails when a row depends on others. At the width in use
//! failures are too rare to count, so narrower bands are measured: for a number of keys, `-log2` of the failure rate is
//! a line in the width, which is fitted (least squares, weighted by the counts' precision) and prolonged. For each
//! number of keys there is one JSON line a width with the raw counts, and one with the fit. The program fails when the
//! prolonged line does not give the security that the store claims.
//!
//! The slope has an explanation, which is why the line may be prolonged: reducing rows column by column is a queue that
//! one row can leave at each column, rows wait in it at most as many columns as the band is wide, and the queue's length
//! has an exponential tail. With `r` rows a column the tail's exponent is the root of `r (e^x - 1) = x`. The second
//! estimate is a line of that slope through the centre of the points.
//!
//! An argument divides the trials, to see quickly that it works. Everything follows from fixed seeds.

use psc_core::okvs::{self, WIDTH};
use psc_core::parallel;
use psc_core::rng::Rng;
use rayon::prelude::*;

/// Of each number of keys (as a power of two): the trials a width, and the widths, where failures are neither rare nor
/// the rule.
const SWEEPS: [(u32, usize, &[usize]); 6] = [
    (10, 100_000, &[28, 34, 40, 46, 52]),
    (12, 100_000, &[36, 42, 48, 54, 60, 66]),
    (14, 100_000, &[40, 48, 56, 64, 72, 80]),
    (16, 10_000, &[48, 54, 60, 66, 72]),
    (18, 2_500, &[54, 60, 66, 72]),
    (20, 1_000, &[60, 66, 72, 78]),
];
/// What the fits must show: bits a bit of width, and bits at the width in use.
const SLOPE_LEAST: f64 = 0.25;
const BITS_LEAST: f64 = 50.0;

struct Fit {
    slope: f64,
    offset: f64,
    bits: f64,
    bits_of_queue: f64,
}

struct Counts {
    failures: usize,
    dependent_rows: usize,
}

/// One trial: the number of rows that depend on others.
fn trial(keys: usize, width: usize, number: usize) -> usize {
    let columns = okvs::columns(keys, width);
    let starts = (columns - width + 1) as u128;
    let mut rng = Rng::insecure_from_seed(format!("okvs failure {keys} {width} {number}").as_bytes());
    // Rows in order of their starts: how many start at each column, then a band for each.
    let mut at = vec![0u8; columns];
    words(&mut rng, keys).for_each(|word| at[((u128::from(word) * starts) >> 64) as usize] += 1);
    let used = width.div_ceil(64);
    let mut bits = words(&mut rng, keys * used);
    let last = u64::MAX >> (64 * used - width);
    let rows = at.iter().enumerate().flat_map(|(start, &count)| (0..count).map(move |_| start));
    okvs::dependent_rows(
        columns,
        rows.map(|start| {
            let mut band = [0; WIDTH / 64];
            band[..used].iter_mut().for_each(|word| *word = bits.next().expect("words for every row"));
            band[used - 1] &= last;
            (start, band)
        }),
    )
}

fn words(rng: &mut Rng, count: usize) -> impl Iterator<Item = u64> + use<> {
    let mut bytes = vec![0; count * 8];
    rng.fill(&mut bytes);
    (0..count).map(move |at| u64::from_le_bytes(*bytes[at * 8..].first_chunk().expect("eight bytes")))
}

fn point(keys: usize, width: usize, trials: usize) -> Counts {
    let dependent: Vec<usize> =
        parallel::install(|| (0..trials).into_par_iter().map(|number| trial(keys, width, number)).collect())
            .expect("threads");
    Counts { failures: dependent.iter().filter(|&&count| count > 0).count(), dependent_rows: dependent.iter().sum() }
}

/// Fit `bits = slope * width - offset`. Failures come as a Poisson process along the columns, so a trial's rate of them
/// is `-ln(1 - failures / trials)`; a point's weight is the inverse of its variance.
fn fit(points: &[(usize, usize, usize)]) -> Fit {
    let (mut sums, mut total) = ([0.0; 4], 0.0);
    for &(width, failures, trials) in points {
        let share = failures as f64 / trials as f64;
        let rate = -(1.0 - share).ln();
        let bits = -rate.log2();
        let weight = rate * rate * (1.0 - share) * trials as f64 / share;
        let width = width as f64;
        total += weight;
        [weight * width, weight * bits, weight * width * width, weight * width * bits]
            .into_iter()
            .zip(&mut sums)
            .for_each(|(term, sum)| *sum += term);
    }
    let [x, y, xx, xy] = sums.map(|sum| sum / total);
    let slope = (xy - x * y) / (xx - x * x);
    let prolonged = |slope: f64| y + slope * (WIDTH as f64 - x);
    Fit { slope, offset: slope * x - y, bits: prolonged(slope), bits_of_queue: prolonged(queue_slope()) }
}

/// The bits that a bit of width gives by the theory of the queue.
fn queue_slope() -> f64 {
    let rate = 1000.0 / okvs::COLUMNS_PER_THOUSAND as f64;
    // Above the other root, 0, the function grows.
    let (mut low, mut high) = (2.0 * (1.0 / rate - 1.0) * 0.5, 1.0f64);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        *if rate * middle.exp_m1() < middle { &mut low } else { &mut high } = middle;
    }
    low / std::f64::consts::LN_2
}

fn main() {
    let divisor: usize = std::env::args().nth(1).map_or(1, |argument| argument.parse().expect("a number"));
    let mut failed = false;
    for (power, trials, widths) in SWEEPS {
        let (keys, trials) = (1 << power, (trials / divisor).max(1));
        let mut points = Vec::new();
        for &width in widths {
            let counts = point(keys, width, trials);
            println!(
                "{{\"benchmark\": \"okvs.failure\", \"keys\": {keys}, \"width\": {width}, \"columns\": {}, \
                 \"trials\": {trials}, \"failures\": {}, \"dependent_rows\": {}}}",
                okvs::columns(keys, width),
                counts.failures,
                counts.dependent_rows
            );
            // Where all or none fail, a point says nothing about the line.
            if (5..trials - trials / 20).contains(&counts.failures) {
                points.push((width, counts.failures, trials));
            }
        }
        let Fit { slope, offset, bits, bits_of_queue } = fit(&points);
        println!(
            "{{\"benchmark\": \"okvs.failure.fit\", \"keys\": {keys}, \"points\": {}, \"slope\": {slope:.4}, \
             \"offset\": {offset:.3}, \"width\": {WIDTH}, \"bits\": {bits:.1}, \"slope_of_queue\": {:.4}, \
             \"bits_of_queue\": {bits_of_queue:.1}}}",
            points.len(),
            queue_slope(),
        );
        failed |= !(slope >= SLOPE_LEAST && bits >= BITS_LEAST && bits_of_queue >= BITS_LEAST);
    }
    assert!(!failed, "a fit gives less than {SLOPE_LEAST} bits a bit of width, or {BITS_LEAST} bits at {WIDTH}");
}
