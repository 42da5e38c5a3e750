//! Sorting by column.

/// Bits of a digit.
const DIGIT: u32 = 11;

/// Sort entries by their upper 32 bits, which are below `bound`; entries with equal ones keep their order.
pub(crate) fn sort(entries: &mut Vec<u64>, bound: u64) {
    let bits = u64::BITS - bound.leading_zeros();
    let mut spare = crate::memory::zeros(entries.len());
    for shift in (0..bits).step_by(DIGIT as usize) {
        scatter(entries, &mut spare, 32 + shift);
        std::mem::swap(entries, &mut spare);
    }
    zeroize::Zeroize::zeroize(&mut spare);
}

fn scatter(from: &[u64], to: &mut [u64], shift: u32) {
    let digit = |entry: u64| (entry >> shift) as usize & ((1 << DIGIT) - 1);
    let mut places = [0usize; 1 << DIGIT];
    from.iter().for_each(|&entry| places[digit(entry)] += 1);
    let mut total = 0;
    for place in &mut places {
        let count = *place;
        *place = total;
        total += count;
    }
    for &entry in from {
        let place = &mut places[digit(entry)];
        to[*place] = entry;
        *place += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn entries_are_sorted() {
        let mut rng = Rng::insecure_from_seed(b"order");
        for (count, bound) in [(0, 1), (1, 1), (100, 1), (1000, 2048), (5000, 2049), (5000, 1 << 22), (300, 1 << 32)] {
            let mut entries: Vec<u64> = (0..count)
                .map(|index| {
                    let mut word = [0; 8];
                    rng.fill(&mut word);
                    (u64::from_le_bytes(word) % bound) << 32 | index
                })
                .collect();
            let mut plain = entries.clone();
            plain.sort_unstable();
            sort(&mut entries, bound);
            assert_eq!(entries, plain);
        }
    }
}
