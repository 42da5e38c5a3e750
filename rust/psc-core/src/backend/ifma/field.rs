//! Eight elements of GF(2^255 − 19), one a lane, as Σ limb_i·2^(51·i) with five limbs.
//!
//! Two forms, and the bounds that every function keeps (checked in debug builds):
//!
//! * [`Field`]: every limb is below `LIMB_END` = 2^51 + 2^16, so below the 52 bits that the multiplier reads. What a
//!   multiplication takes.
//! * [`Columns`]: every limb is below `COLUMN_END` = 2^62. What a multiplication leaves (below `PRODUCT_END` = 125·2^52)
//!   and what sums and differences of a few products are. [`Columns::carry`] makes a `Field` of it.
//!
//! So a product is carried once, after the sums that it enters, and never before.

use core::arch::x86_64::*;

use zeroize::Zeroize;

const MASK: i64 = (1 << 51) - 1;
const LIMB_END: u64 = (1 << 51) + (1 << 16);
const PRODUCT_END: u64 = 125 << 52;
const COLUMN_END: u64 = 1 << 62;
/// The limbs of 2^9·p: what keeps a difference positive.
const BIAS: [u64; 5] =
    [((1 << 51) - 19) << 9, ((1 << 51) - 1) << 9, ((1 << 51) - 1) << 9, ((1 << 51) - 1) << 9, ((1 << 51) - 1) << 9];

/// A constant of the curve.
pub(super) type Constant = [u64; 5];
pub(super) const ZERO: Constant = [0; 5];
pub(super) const ONE: Constant = [1, 0, 0, 0, 0];
pub(super) const TWO: Constant = [2, 0, 0, 0, 0];
/// −121665/121666.
pub(super) const D: Constant = [0x34dca135978a3, 0x1a8283b156ebd, 0x5e7a26001c029, 0x739c663a03cbb, 0x52036cee2b6ff];
/// 2·D.
pub(super) const D2: Constant = [0x69b9426b2f159, 0x35050762add7a, 0x3cf44c0038052, 0x6738cc7407977, 0x2406d9dc56dff];
/// The square root of −1 that RFC 9496 chose; so are the square roots below.
pub(super) const SQRT_M1: Constant =
    [0x61b274a0ea0b0, 0x0d5a5fc8f189d, 0x7ef5e9cbd0c60, 0x78595a6804c9e, 0x2b8324804fc1d];
/// 1 − D².
pub(super) const ONE_MINUS_D_SQUARED: Constant =
    [0x409c1945fc176, 0x719abc6a1fc4f, 0x1c37f90b20684, 0x06bccca55eedf, 0x029072a8b2b3e];
/// (D − 1)².
pub(super) const D_MINUS_ONE_SQUARED: Constant =
    [0x55aaa44ed4d20, 0x59603c3332635, 0x26d3baf4a7928, 0x120a66e6997a9, 0x5968b37af66c2];
/// The square root of a·D − 1, where a = −1.
pub(super) const SQRT_AD_MINUS_ONE: Constant =
    [0x7f6a0497b2e1b, 0x1836f0a97afd2, 0x7d747f6be7638, 0x456079e7e6498, 0x376931bf2b834];
/// 1 over the square root of a − D.
pub(super) const INVSQRT_A_MINUS_D: Constant =
    [0x0fdaa805d40ea, 0x2eb482e57d339, 0x007610274bc58, 0x6510b613dc8ff, 0x786c8905cfaff];

/// Eight elements with small limbs.
#[derive(Clone, Copy)]
pub(super) struct Field(pub(super) [__m512i; 5]);

/// Eight elements with limbs that are not carried.
#[derive(Clone, Copy)]
pub(super) struct Columns([__m512i; 5]);

impl Zeroize for Field {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn splat(value: u64) -> __m512i {
    _mm512_set1_epi64(value as i64)
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn add(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi64(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn twice(a: __m512i) -> __m512i {
    _mm512_add_epi64(a, a)
}

/// `sum` + the low 52 bits of a·b.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn lo(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    _mm512_madd52lo_epu64(sum, a, b)
}

/// `sum` + the high 52 bits of a·b.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn hi(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    _mm512_madd52hi_epu64(sum, a, b)
}

/// 19·c by shift and add: the multiplier is the busier unit in [`Field::mul`].
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn times_19(c: __m512i) -> __m512i {
    add(c, twice(add(c, _mm512_slli_epi64::<3>(c))))
}

/// Whether every lane of every limb is below an end; for `debug_assert`.
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
fn below(limbs: &[__m512i; 5], end: u64) -> bool {
    limbs.iter().all(|limb| _mm512_cmplt_epu64_mask(*limb, splat(end)) == 0xff)
}

impl Field {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn constant(limbs: &Constant) -> Self {
        Self([splat(limbs[0]), splat(limbs[1]), splat(limbs[2]), splat(limbs[3]), splat(limbs[4])])
    }

    /// Read bits 0 to 254 of each lane, given as the four little-endian words of all lanes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn from_words(words: [__m512i; 4]) -> Self {
        let mask = splat(MASK as u64);
        let [a, b, c, d] = words;
        let or_and = |high, low| _mm512_and_si512(_mm512_or_si512(high, low), mask);
        Self([
            _mm512_and_si512(a, mask),
            or_and(_mm512_slli_epi64::<13>(b), _mm512_srli_epi64::<51>(a)),
            or_and(_mm512_slli_epi64::<26>(c), _mm512_srli_epi64::<38>(b)),
            or_and(_mm512_slli_epi64::<39>(d), _mm512_srli_epi64::<25>(c)),
            _mm512_and_si512(_mm512_srli_epi64::<12>(d), mask),
        ])
    }

    /// The four little-endian words of the canonical value below p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn to_words(self) -> [__m512i; 4] {
        let [a, b, c, d, e] = self.canonical();
        let or = |low, high| _mm512_or_si512(low, high);
        [
            or(a, _mm512_slli_epi64::<51>(b)),
            or(_mm512_srli_epi64::<13>(b), _mm512_slli_epi64::<38>(c)),
            or(_mm512_srli_epi64::<26>(c), _mm512_slli_epi64::<25>(d)),
            or(_mm512_srli_epi64::<39>(d), _mm512_slli_epi64::<12>(e)),
        ]
    }

    /// 1 in the lanes whose value is at least p, else 0.
    ///
    /// The value is below 2^255 + 2^221, so at most once p, and is at least p exactly when value + 19 reaches 2^255.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn quotient(&self) -> __m512i {
        debug_assert!(below(&self.0, LIMB_END));
        let mut carry = _mm512_srli_epi64::<51>(add(self.0[0], splat(19)));
        carry = _mm512_srli_epi64::<51>(add(self.0[1], carry));
        carry = _mm512_srli_epi64::<51>(add(self.0[2], carry));
        carry = _mm512_srli_epi64::<51>(add(self.0[3], carry));
        _mm512_srli_epi64::<51>(add(self.0[4], carry))
    }

    /// The limbs of the value below p, each below 2^51: value + 19·quotient, without bit 255.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn canonical(&self) -> [__m512i; 5] {
        let mask = splat(MASK as u64);
        let mut limbs = self.0;
        limbs[0] = add(limbs[0], times_19(self.quotient()));
        for index in 0..4 {
            limbs[index + 1] = add(limbs[index + 1], _mm512_srli_epi64::<51>(limbs[index]));
            limbs[index] = _mm512_and_si512(limbs[index], mask);
        }
        limbs[4] = _mm512_and_si512(limbs[4], mask);
        limbs
    }

    /// The lanes whose value is below p already.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn is_below_p(&self) -> __mmask8 {
        let quotient = self.quotient();
        _mm512_testn_epi64_mask(quotient, quotient)
    }

    /// The same limbs, for sums with products.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn columns(&self) -> Columns {
        Columns(self.0)
    }

    /// The lanes whose canonical value is odd, which RFC 9496 calls negative.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn is_negative(&self) -> __mmask8 {
        _mm512_test_epi64_mask(_mm512_xor_si512(self.0[0], self.quotient()), splat(1))
    }

    /// The lanes whose value is zero.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn is_zero(&self) -> __mmask8 {
        let [a, b, c, d, e] = self.canonical();
        let any = _mm512_or_si512(_mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(c, d)), e);
        _mm512_testn_epi64_mask(any, any)
    }

    /// `other` in the lanes of the mask, self elsewhere.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn select(&self, other: &Self, lanes: __mmask8) -> Self {
        let mut chosen = self.0;
        for (own, other) in chosen.iter_mut().zip(&other.0) {
            *own = _mm512_mask_blend_epi64(lanes, *own, *other);
        }
        Self(chosen)
    }

    /// The negative in the lanes of the mask, self elsewhere.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn negate_if(&self, lanes: __mmask8) -> Self {
        self.select(&self.negate(), lanes)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn absolute(&self) -> Self {
        self.negate_if(self.is_negative())
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn negate(&self) -> Self {
        Self::constant(&ZERO).minus(self)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn plus(&self, other: &Self) -> Self {
        Columns(self.0).plus(&Columns(other.0)).carry()
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn minus(&self, other: &Self) -> Self {
        Columns(self.0).minus(&Columns(other.0)).carry()
    }

    /// The carried product.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn times(&self, other: &Self) -> Self {
        self.mul(other).carry()
    }

    /// The carried square.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn squared(&self) -> Self {
        self.square().carry()
    }

    /// The product.
    ///
    /// Column k of the product is lo_k + 2·hi_(k−1), where lo_k and hi_k sum the low and high 52 bits of a_i·b_(k−i); a
    /// high half weighs 2^52 = 2·2^51. Column k + 5 weighs 19 times column k. Limbs are below 2^51 + 2^16, so a low half
    /// is below 2^52 and a high half below 2^50 + 2^18. The most is in column 0 with column 5:
    /// 1·2^52 + 19·(4·2^52 + 2·5·(2^50 + 2^18)) < 125·2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn mul(&self, other: &Self) -> Columns {
        debug_assert!(below(&self.0, LIMB_END) && below(&other.0, LIMB_END));
        #[cfg(test)]
        tally::count(&tally::PRODUCTS);
        let (a, b) = (&self.0, &other.0);
        let zero = _mm512_setzero_si512();

        let c9 = twice(hi(zero, a[4], b[4]));
        let c8 = twice(hi(hi(zero, a[3], b[4]), a[4], b[3]));
        let c7 = twice(hi(hi(hi(zero, a[2], b[4]), a[3], b[3]), a[4], b[2]));
        let c6 = twice(hi(hi(hi(hi(zero, a[1], b[4]), a[2], b[3]), a[3], b[2]), a[4], b[1]));
        let c5 = twice(hi(hi(hi(hi(hi(zero, a[0], b[4]), a[1], b[3]), a[2], b[2]), a[3], b[1]), a[4], b[0]));
        let c8 = lo(c8, a[4], b[4]);
        let c7 = lo(lo(c7, a[3], b[4]), a[4], b[3]);
        let c6 = lo(lo(lo(c6, a[2], b[4]), a[3], b[3]), a[4], b[2]);
        let c5 = lo(lo(lo(lo(c5, a[1], b[4]), a[2], b[3]), a[3], b[2]), a[4], b[1]);

        let c0 = times_19(c5);
        let c1 = add(times_19(c6), twice(hi(zero, a[0], b[0])));
        let c2 = add(times_19(c7), twice(hi(hi(zero, a[0], b[1]), a[1], b[0])));
        let c3 = add(times_19(c8), twice(hi(hi(hi(zero, a[0], b[2]), a[1], b[1]), a[2], b[0])));
        let c4 = add(times_19(c9), twice(hi(hi(hi(hi(zero, a[0], b[3]), a[1], b[2]), a[2], b[1]), a[3], b[0])));

        let c0 = lo(c0, a[0], b[0]);
        let c1 = lo(lo(c1, a[0], b[1]), a[1], b[0]);
        let c2 = lo(lo(lo(c2, a[0], b[2]), a[1], b[1]), a[2], b[0]);
        let c3 = lo(lo(lo(lo(c3, a[0], b[3]), a[1], b[2]), a[2], b[1]), a[3], b[0]);
        let c4 = lo(lo(lo(lo(lo(c4, a[0], b[4]), a[1], b[3]), a[2], b[2]), a[3], b[1]), a[4], b[0]);
        Columns([c0, c1, c2, c3, c4])
    }

    /// The square: as the product, with each pair of unlike limbs multiplied once and counted twice.
    ///
    /// The columns are sums of the same terms as in [`Self::mul`], so the same bound holds.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn square(&self) -> Columns {
        self.square_above::<0>()
    }

    /// The square and `TIMES`·608·p, so that something may be subtracted: each limb is at least `TIMES`·303·2^52.
    ///
    /// The multiple of p is what the sums begin with, so it costs nothing. Column 5 is doubled twice and comes back 19-fold,
    /// hence 608 = 4·19·8.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn square_above<const TIMES: u64>(&self) -> Columns {
        let low = splat(TIMES * 8 * ((1 << 51) - 19));
        let (twofold, fourfold) = (splat(TIMES * 304 * MASK as u64), splat(TIMES * 152 * MASK as u64));
        debug_assert!(below(&self.0, LIMB_END));
        #[cfg(test)]
        tally::count(&tally::SQUARES);
        let a = &self.0;
        let zero = _mm512_setzero_si512();
        // Column k is 4·(high halves of unlike limbs) + 2·(those of like limbs) + 2·(low halves of unlike) + like.
        let c9 = twice(hi(zero, a[4], a[4]));
        let c8 = lo(twice(twice(hi(zero, a[3], a[4]))), a[4], a[4]);
        let c7 = twice(lo(hi(twice(hi(zero, a[2], a[4])), a[3], a[3]), a[3], a[4]));
        let c6 = lo(twice(lo(twice(hi(hi(zero, a[1], a[4]), a[2], a[3])), a[2], a[4])), a[3], a[3]);
        let c5 = twice(lo(lo(hi(twice(hi(hi(low, a[0], a[4]), a[1], a[3])), a[2], a[2]), a[1], a[4]), a[2], a[3]));

        let c1 = twice(lo(hi(twofold, a[0], a[0]), a[0], a[1]));
        let c2 = lo(twice(lo(twice(hi(fourfold, a[0], a[1])), a[0], a[2])), a[1], a[1]);
        let c3 = twice(lo(lo(hi(twice(hi(fourfold, a[0], a[2])), a[1], a[1]), a[0], a[3]), a[1], a[2]));
        let c4 = twice(lo(lo(twice(hi(hi(fourfold, a[0], a[3]), a[1], a[2])), a[0], a[4]), a[1], a[3]));
        let c4 = lo(c4, a[2], a[2]);

        let c0 = lo(times_19(c5), a[0], a[0]);
        Columns([c0, add(c1, times_19(c6)), add(c2, times_19(c7)), add(c3, times_19(c8)), add(c4, times_19(c9))])
    }

    /// Square `count` times.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn squared_often<const N: usize>(values: &[Self; N], count: usize) -> [Self; N] {
        let mut squares = *values;
        for _ in 0..count {
            for square in &mut squares {
                *square = square.squared();
            }
        }
        squares
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn times_each<const N: usize>(a: &[Self; N], b: &[Self; N]) -> [Self; N] {
        let mut products = *a;
        for index in 0..N {
            products[index] = a[index].times(&b[index]);
        }
        products
    }

    /// The powers 2^250 − 1 and 11, which both exponentiations go through. A chain of squarings waits for each of them,
    /// so `N` independent values fill the time.
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn power_250_and_11<const N: usize>(x: &[Self; N]) -> ([Self; N], [Self; N]) {
        let x2 = Self::squared_often(x, 1);
        let x9 = Self::times_each(&Self::squared_often(&x2, 2), x);
        let x11 = Self::times_each(&x9, &x2);
        let ones_5 = Self::times_each(&Self::squared_often(&x11, 1), &x9);
        let ones_10 = Self::times_each(&Self::squared_often(&ones_5, 5), &ones_5);
        let ones_20 = Self::times_each(&Self::squared_often(&ones_10, 10), &ones_10);
        let ones_40 = Self::times_each(&Self::squared_often(&ones_20, 20), &ones_20);
        let ones_50 = Self::times_each(&Self::squared_often(&ones_40, 10), &ones_10);
        let ones_100 = Self::times_each(&Self::squared_often(&ones_50, 50), &ones_50);
        let ones_200 = Self::times_each(&Self::squared_often(&ones_100, 100), &ones_100);
        (Self::times_each(&Self::squared_often(&ones_200, 50), &ones_50), x11)
    }

    /// The power (p − 5)/8 = 2^252 − 3 of each.
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    fn power_p58<const N: usize>(x: &[Self; N]) -> [Self; N] {
        Self::times_each(&Self::squared_often(&Self::power_250_and_11(x).0, 2), x)
    }

    /// The inverse of each, by the power p − 2 = 2^255 − 21; zero for zero.
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn inverse<const N: usize>(x: &[Self; N]) -> [Self; N] {
        let (ones_250, x11) = Self::power_250_and_11(x);
        Self::times_each(&Self::squared_often(&ones_250, 5), &x11)
    }

    /// `SQRT_RATIO_M1` of RFC 9496, section 4.2: the lanes where u/v is a square, and the nonnegative square root of
    /// u/v there, of √−1·u/v elsewhere.
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn sqrt_ratio<const N: usize>(u: &[Self; N], v: &[Self; N]) -> ([__mmask8; N], [Self; N]) {
        let mut uv3 = *u;
        let mut uv7 = *u;
        for index in 0..N {
            let v2 = v[index].squared();
            uv3[index] = u[index].times(&v2.times(&v[index]));
            uv7[index] = uv3[index].times(&v2.squared());
        }
        let powers = Self::power_p58(&uv7);
        let sqrt_m1 = Self::constant(&SQRT_M1);
        let mut roots = powers;
        let mut squares = [0; N];
        for index in 0..N {
            let root = uv3[index].times(&powers[index]);
            let check = v[index].times(&root.squared());
            let u = &u[index];
            let correct = check.minus(u).is_zero();
            let flipped = check.plus(u).is_zero();
            let flipped_i = check.plus(&u.times(&sqrt_m1)).is_zero();
            squares[index] = correct | flipped;
            roots[index] = root.select(&root.times(&sqrt_m1), flipped | flipped_i).absolute();
        }
        (squares, roots)
    }
}

impl Columns {
    /// The sum; below `COLUMN_END` as the caller's terms are.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn plus(&self, other: &Self) -> Self {
        let mut sums = self.0;
        for (sum, other) in sums.iter_mut().zip(&other.0) {
            *sum = add(*sum, *other);
        }
        Self(sums)
    }

    /// The difference, kept positive by 2^9·p. What is subtracted is at most the sum of two products, below
    /// 250·2^52 < 2^60 − 19·2^9, the least limb of the bias.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn minus(&self, other: &Self) -> Self {
        debug_assert!(below(&other.0, 2 * PRODUCT_END) && 2 * PRODUCT_END < BIAS[0]);
        let mut differences = self.0;
        for ((difference, other), bias) in differences.iter_mut().zip(&other.0).zip(BIAS) {
            *difference = _mm512_sub_epi64(add(*difference, splat(bias)), *other);
        }
        Self(differences)
    }

    /// The difference of something that is greater in every limb of every lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn minus_less(&self, other: &Self) -> Self {
        debug_assert!((0..5).all(|index| _mm512_cmpge_epu64_mask(self.0[index], other.0[index]) == 0xff));
        let mut differences = self.0;
        for (difference, other) in differences.iter_mut().zip(&other.0) {
            *difference = _mm512_sub_epi64(*difference, *other);
        }
        Self(differences)
    }

    /// Carry every limb at once. A limb below 2^62 carries less than 2^11, and the highest one comes back 19-fold, which
    /// is below 2^16: so every limb is below 2^51 + 2^16 after it.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn carry(&self) -> Field {
        debug_assert!(below(&self.0, COLUMN_END));
        #[cfg(test)]
        tally::count(&tally::CARRIES);
        let mask = splat(MASK as u64);
        let [a, b, c, d, e] = self.0;
        let kept = |limb| _mm512_and_si512(limb, mask);
        let over = |limb| _mm512_srli_epi64::<51>(limb);
        Field([
            lo(kept(a), over(e), splat(19)),
            add(kept(b), over(a)),
            add(kept(c), over(b)),
            add(kept(d), over(c)),
            add(kept(e), over(d)),
        ])
    }
}

/// How often the functions with multiplications ran on a thread: `docs/protocols/curve.md` states it for each kernel.
#[cfg(test)]
pub(super) mod tally {
    use std::cell::Cell;
    use std::thread::LocalKey;

    thread_local! {
        pub(in super::super) static PRODUCTS: Cell<u64> = const { Cell::new(0) };
        pub(in super::super) static SQUARES: Cell<u64> = const { Cell::new(0) };
        pub(in super::super) static CARRIES: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn count(which: &'static LocalKey<Cell<u64>>) {
        which.set(which.get() + 1);
    }

    /// What products, squares and carries a computation takes.
    pub(in super::super) fn of(compute: impl FnOnce()) -> [u64; 3] {
        let all = [&PRODUCTS, &SQUARES, &CARRIES];
        let before = all.map(|which| which.get());
        compute();
        let after = all.map(|which| which.get());
        [after[0] - before[0], after[1] - before[1], after[2] - before[2]]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ifma, to_lanes, to_vector};
    use super::*;
    use crate::rng::Rng;

    /// Any 64-bit limbs, reduced in 128-bit arithmetic to the words of the value below p.
    fn reduce(mut limbs: [u128; 5]) -> [u64; 4] {
        for _ in 0..3 {
            for index in 0..4 {
                limbs[index + 1] += limbs[index] >> 51;
                limbs[index] &= MASK as u128;
            }
            limbs[0] += 19 * (limbs[4] >> 51);
            limbs[4] &= MASK as u128;
        }
        if limbs[0] >= (1 << 51) - 19 && limbs[1..].iter().all(|limb| *limb == MASK as u128) {
            limbs = [limbs[0] - ((1 << 51) - 19), 0, 0, 0, 0];
        }
        pack(&limbs.map(|limb| limb as u64)).unwrap()
    }

    fn product(a: &Constant, b: &Constant) -> [u64; 4] {
        let mut columns = [0u128; 5];
        for (i, a) in a.iter().enumerate() {
            for (j, b) in b.iter().enumerate() {
                let weight = if i + j < 5 { 1 } else { 19 };
                columns[(i + j) % 5] += weight * u128::from(*a) * u128::from(*b);
            }
        }
        reduce(columns)
    }

    fn field(lanes: &[Constant; 8]) -> Field {
        Field(core::array::from_fn(|limb| to_vector(lanes.map(|lane| lane[limb]))))
    }

    fn words(field: Field, lane: usize) -> [u64; 4] {
        // SAFETY: called only where `detect` found every instruction set that the function enables.
        unsafe { field.to_words() }.map(|word| to_lanes(word)[lane])
    }

    /// Limbs at the ends of what is allowed, and random ones between.
    fn samples() -> Vec<[Constant; 8]> {
        let mut rng = Rng::insecure_from_seed(b"field");
        let end = LIMB_END - 1;
        let p = [(1 << 51) - 19, (1 << 51) - 1, (1 << 51) - 1, (1 << 51) - 1, (1 << 51) - 1];
        let mut fixed = vec![ZERO, ONE, [end; 5], p, [p[0] - 1, p[1], p[2], p[3], p[4]], D, SQRT_M1];
        fixed.push([p[0] + 1, p[1], p[2], p[3], p[4]]);
        fixed.push([end, p[1], p[2], p[3], p[4]]);
        fixed.extend((0..5).map(|limb| core::array::from_fn(|index| if index == limb { end } else { 0 })));
        fixed.resize(64, TWO);
        let mut samples = fixed.as_chunks().0.to_vec();
        for _ in 0..2000 {
            samples.push(core::array::from_fn(|_| {
                core::array::from_fn(|_| {
                    let mut bytes = [0; 8];
                    rng.fill(&mut bytes);
                    let [choice, ..] = bytes;
                    let random = u64::from_le_bytes(bytes) % LIMB_END;
                    if choice % 4 == 0 { end - random % 3 } else { random }
                })
            }));
        }
        samples
    }

    #[test]
    fn arithmetic_agrees_with_wide_integers_up_to_the_bounds() {
        if Ifma::detect().is_none() {
            return;
        }
        let samples = samples();
        for (at, a) in samples.iter().enumerate() {
            let b = &samples[(at * 7 + 3) % samples.len()];
            let (fa, fb) = (field(a), field(b));
            // SAFETY: `detect` found every instruction set that these functions enable.
            let (sum, difference, negative, product_, square, odd, zero, below) = unsafe {
                (
                    fa.plus(&fb),
                    fa.minus(&fb),
                    fa.negate(),
                    fa.times(&fb),
                    fa.squared(),
                    fa.is_negative(),
                    fa.is_zero(),
                    fa.is_below_p(),
                )
            };
            for lane in 0..8 {
                let (a, b) = (&a[lane], &b[lane]);
                let value = reduce(a.map(u128::from));
                assert_eq!(words(fa, lane), value);
                assert_eq!(words(sum, lane), reduce(core::array::from_fn(|i| u128::from(a[i]) + u128::from(b[i]))));
                let minus = |a: u64, i: usize, b: u64| u128::from(a) + u128::from(BIAS[i]) - u128::from(b);
                assert_eq!(words(difference, lane), reduce(core::array::from_fn(|i| minus(a[i], i, b[i]))));
                assert_eq!(words(negative, lane), reduce(core::array::from_fn(|i| minus(0, i, a[i]))));
                assert_eq!(words(product_, lane), product(a, b));
                assert_eq!(words(square, lane), product(a, a));
                assert_eq!(odd >> lane & 1, (value[0] & 1) as u8);
                assert_eq!(zero >> lane & 1, u8::from(value == [0; 4]));
                assert_eq!(below >> lane & 1, u8::from(pack(a) == Some(value)));
            }
        }
    }

    /// The words of limbs that stand for less than 2^255.
    fn pack(limbs: &Constant) -> Option<[u64; 4]> {
        let mut limbs = *limbs;
        for index in 0..4 {
            limbs[index + 1] += limbs[index] >> 51;
            limbs[index] &= MASK as u64;
        }
        let [a, b, c, d, e] = limbs;
        let words = [a | b << 51, b >> 13 | c << 38, c >> 26 | d << 25, d >> 39 | e << 12];
        (e >> 51 == 0).then_some(words)
    }
}
