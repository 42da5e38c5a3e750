//! Transposition of 128 × 128 bits.

/// Transpose in place: bit j of row i becomes bit i of row j.
///
/// Seven rounds exchange the off-diagonal quarters of ever smaller squares (H. S. Warren, "Hacker's Delight", section
/// 7-3). It takes the same time for all bits, and a compiler puts several rows into a register.
pub fn transpose(rows: &mut [u128; 128]) {
    let mut width = 64;
    let mut mask = u128::from(u64::MAX);
    while width > 0 {
        for square in rows.chunks_exact_mut(2 * width) {
            let (upper, lower) = square.split_at_mut(width);
            for (up, low) in upper.iter_mut().zip(lower) {
                let swapped = ((*up >> width) ^ *low) & mask;
                *low ^= swapped;
                *up ^= swapped << width;
            }
        }
        width /= 2;
        mask ^= mask << width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn bits_move_and_move_back() {
        let mut rng = Rng::insecure_from_seed(b"transpose");
        let mut bytes = [0; 2048];
        rng.fill(&mut bytes);
        let rows: [u128; 128] =
            core::array::from_fn(|row| u128::from_le_bytes(bytes[row * 16..][..16].try_into().unwrap()));
        let mut turned = rows;
        transpose(&mut turned);
        for (i, row) in rows.iter().enumerate() {
            for (j, column) in turned.iter().enumerate() {
                assert_eq!(row >> j & 1, column >> i & 1);
            }
        }
        transpose(&mut turned);
        assert_eq!(turned, rows);
    }
}
