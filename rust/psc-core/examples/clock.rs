//! What a benchmark needs to turn time into cycles: for every line on standard input, one line with the clock in GHz and
//! how many 52-bit multiplications of eight lanes start in a cycle (0 without AVX-512 IFMA).
//!
//! The clock comes from a chain of 64-bit multiplications, each of which waits three cycles for the one before on the
//! x86-64 processors of the last fifteen years.

use std::hint::black_box;
use std::io::BufRead;
use std::time::Instant;

const STEPS: u32 = 20_000;
const LATENCY_CYCLES: f64 = 3.0;
/// The shortest of so many measurements counts: other work of the machine only makes them longer.
const ROUNDS: usize = 20;

/// The nanoseconds of one step of a computation of [`STEPS`].
fn step_nanoseconds(compute: impl Fn()) -> f64 {
    let once = || {
        let started = Instant::now();
        compute();
        started.elapsed().as_secs_f64() * 1e9 / f64::from(STEPS)
    };
    (0..ROUNDS).map(|_| once()).fold(f64::INFINITY, f64::min)
}

fn chain() {
    let mut value = black_box(3u64);
    for _ in 0..STEPS {
        value = value.wrapping_mul(value);
    }
    black_box(value);
}

#[cfg(target_arch = "x86_64")]
mod multiplier {
    use core::arch::x86_64::*;
    use std::hint::black_box;

    /// Sums that do not wait for each other: enough to fill two units for four cycles.
    pub const SUMS: u32 = 12;

    pub fn exists() -> bool {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn run(steps: u32) {
        let mut sums = [_mm512_set1_epi64(black_box(1)); SUMS as usize];
        let (a, b) = (black_box(sums[0]), black_box(sums[1]));
        for _ in 0..steps / SUMS {
            for sum in &mut sums {
                *sum = _mm512_madd52lo_epu64(*sum, a, b);
            }
        }
        black_box(sums);
    }
}

fn multiplications_per_nanosecond() -> f64 {
    #[cfg(target_arch = "x86_64")]
    if multiplier::exists() {
        // SAFETY: the processor has the instructions that the function enables.
        return 1.0 / step_nanoseconds(|| unsafe { multiplier::run(STEPS) });
    }
    0.0
}

fn main() {
    for _ in std::io::stdin().lock().lines() {
        let gigahertz = LATENCY_CYCLES / step_nanoseconds(chain);
        println!("{gigahertz:.3} {:.2}", multiplications_per_nanosecond() / gigahertz);
    }
}
