//! Inner products of bands with a table, by tables of the sums of four neighbours (the method of the four Russians).
//!
//! Bands come in order of their columns, so the sums that one needs are nearly those that the one before needed: a window
//! of them slides along the table, 16 sums of each group of four columns. A band is then 65 additions instead of 128 on
//! average, all of them from the first-level cache and none of them behind a branch.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Row, WIDTH, band, value};
use crate::simd::Simd;

/// Columns of a group.
const GROUP: usize = 4;
/// Groups that a band may touch when it does not start at one's first column.
const TOUCHED: usize = WIDTH / GROUP + 1;
/// By so many groups the window moves.
const STEP: usize = 64;
const GROUPS: usize = 2 * STEP;

/// The 16 sums of a group of four columns.
pub(super) type Sums = [u128; 1 << GROUP];
/// The sums of all groups that a band touches.
pub(super) type Touched = [Sums; TOUCHED];

/// The sums of 128 neighbouring groups.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Window {
    sums: Box<[Sums; GROUPS]>,
    /// The group of the first sums; none before the first use.
    base: Option<usize>,
    /// Instructions that this machine has.
    #[zeroize(skip)]
    simd: Simd,
}

impl Window {
    pub(super) fn new(simd: Simd) -> Self {
        Self { sums: Box::new([[0; 1 << GROUP]; GROUPS]), base: None, simd: simd.require() }
    }

    /// The inner product of a table with a band that starts at a column. Any order of columns gives right results;
    /// ascending ones give them fast.
    #[inline]
    pub(super) fn inner_product(&mut self, table: &[u128], column: usize, band: &[u64; 4]) -> u128 {
        let group = column / GROUP;
        let at = self.move_to(table, group);
        self.add_up(at, &shifted(band, column % GROUP))
    }

    /// Add up the sums that the nibbles of a band choose, the lowest of the group at `at`.
    #[inline]
    fn add_up(&self, at: usize, band: &[u64; 5]) -> u128 {
        let touched = self.sums[at..at + TOUCHED].first_chunk().expect("the groups after");
        match self.simd {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 | Simd::Pclmul => super::x86::add_up(touched, band),
            _ => add_up_portable(touched, band),
        }
    }

    /// Make the window hold a group and the 64 after it, and return where.
    #[inline]
    fn move_to(&mut self, table: &[u128], group: usize) -> usize {
        match self.base {
            Some(base) if (base..base + STEP).contains(&group) => group - base,
            base => self.slide(table, base, group),
        }
    }

    #[inline(never)]
    fn slide(&mut self, table: &[u128], base: Option<usize>, group: usize) -> usize {
        let (new, kept) = match base {
            Some(base) if (base + STEP..base + GROUPS).contains(&group) => {
                self.sums.copy_within(STEP.., 0);
                (base + STEP, STEP)
            }
            _ => (group, 0),
        };
        let first = (new + kept) * GROUP;
        let (groups, rest) = table[first.min(table.len())..].as_chunks::<GROUP>();
        let (filled, beyond) = self.sums[kept..].split_at_mut(groups.len().min(GROUPS - kept));
        filled.iter_mut().zip(groups).for_each(|(sums, group)| *sums = sums_of(*group));
        beyond.fill([0; 1 << GROUP]);
        if let Some(last) = beyond.first_mut() {
            // The table's end inside a group: nothing comes after it.
            *last = sums_of(core::array::from_fn(|column| rest.get(column).copied().unwrap_or(0)));
        }
        self.base = Some(new);
        group - new
    }
}

/// The sum of four columns for each set of them; bit i of the index says whether column i is in.
fn sums_of(columns: [u128; GROUP]) -> Sums {
    let mut sums = [0; 1 << GROUP];
    for (index, column) in columns.into_iter().enumerate() {
        let (done, next) = sums.split_at_mut(1 << index);
        next.iter_mut().zip(done).for_each(|(to, sum)| *to = *sum ^ column);
    }
    sums
}

/// A band moved up by 0 to 3 columns, so that it starts where a group does.
#[inline]
fn shifted(band: &[u64; 4], by: usize) -> [u64; 5] {
    let [a, b, c, d] = *band;
    let carry = |low: u64| (low >> 1) >> (63 - by);
    [a << by, b << by | carry(a), c << by | carry(b), d << by | carry(c), carry(d)]
}

/// Add up the sums that the nibbles of a band choose, the lowest from the first group.
fn add_up_portable(sums: &Touched, band: &[u64; 5]) -> u128 {
    let (sixteens, last) = sums.as_chunks::<16>();
    let mut total = last[0][(band[4] & 15) as usize];
    for (sixteen, word) in sixteens.iter().zip(band) {
        for (nibble, sums) in sixteen.iter().enumerate() {
            total ^= sums[(word >> (4 * nibble) & 15) as usize];
        }
    }
    total
}

/// Solve reduced rows from the last column to the first: a column's element is its row's value minus the inner product of
/// the rest of its band with the elements after; zero when the column is free.
pub(super) fn substitute(simd: Simd, slots: &[Row]) -> Vec<u128> {
    let mut table = crate::memory::zeros(slots.len());
    let mut window = Window::new(simd);
    // Groups are filled from the window's lower half; the upper half holds the groups after, at first past the end.
    let mut at = STEP;
    for (group, slots) in slots.chunks(GROUP).enumerate().rev() {
        if at == 0 {
            window.sums.copy_within(..STEP, STEP);
            at = STEP;
        }
        at -= 1;
        let mut own = [0; GROUP];
        for (offset, row) in slots.iter().enumerate().rev() {
            let mut bits = shifted(band(row), offset);
            let nibble = bits[0] & 15;
            bits[0] &= !15;
            let mut total = value(row) ^ window.add_up(at, &bits);
            for (other, element) in own.iter().enumerate().skip(offset + 1) {
                total ^= element & u128::from(nibble >> other & 1).wrapping_neg();
            }
            own[offset] = total;
        }
        window.sums[at] = sums_of(own);
        table[group * GROUP..][..slots.len()].copy_from_slice(&own[..slots.len()]);
        own.zeroize();
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn words<const N: usize>(rng: &mut Rng) -> [u64; N] {
        core::array::from_fn(|_| {
            let mut word = [0; 8];
            rng.fill(&mut word);
            u64::from_le_bytes(word)
        })
    }

    fn plain(table: &[u128], column: usize, band: &[u64; 4]) -> u128 {
        let bits = (0..WIDTH).filter(|bit| band[bit / 64] >> (bit % 64) & 1 == 1);
        bits.fold(0, |sum, bit| sum ^ table[column + bit])
    }

    #[test]
    fn inner_products_are_right_in_any_order_of_columns() {
        let mut rng = Rng::insecure_from_seed(b"window");
        let table: Vec<u128> =
            (0..3000).map(|_| words::<2>(&mut rng)).map(|[a, b]| u128::from(a) | u128::from(b) << 64).collect();
        let last = table.len() - WIDTH;
        let jumps = [0, 1, 2, 3, 255, 256, 511, 512, 5, last, 0, last - 1, 1023, 1024, 700];
        for simd in Simd::available() {
            let mut window = Window::new(simd);
            for column in (0..=last).chain(jumps) {
                let band = words(&mut rng);
                assert_eq!(window.inner_product(&table, column, &band), plain(&table, column, &band));
            }
            for band in [[0; 4], [u64::MAX; 4], [1, 0, 0, 0], [0, 0, 0, 1 << 63]] {
                assert_eq!(window.inner_product(&table, 703, &band), plain(&table, 703, &band));
            }
        }
    }
}
