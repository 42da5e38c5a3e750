//! Eight points of the curve −x² + y² = 1 + d·x²·y², one a lane, and the group ristretto255 on them.
//!
//! Formulas: Hisil, Wong, Carter, Dawson 2008 (ePrint 2008/522), `dbl-2008-hwcd` and `add-2008-hwcd-3` for a = −1, which
//! are complete. They end in the [`Completed`] form, from which each follower multiplies out only what it needs.

use core::arch::x86_64::*;

use zeroize::Zeroize;

use super::field::{
    D, D_MINUS_ONE_SQUARED, D2, Field, INVSQRT_A_MINUS_D, ONE, ONE_MINUS_D_SQUARED, SQRT_AD_MINUS_ONE, SQRT_M1, TWO,
    ZERO,
};

/// x = X/Z, y = Y/T. The end of a doubling or an addition.
#[derive(Clone, Copy)]
pub(super) struct Completed {
    x: Field,
    y: Field,
    z: Field,
    t: Field,
}

/// x = X/Z, y = Y/Z, beside X + Y: what a doubling takes.
#[derive(Clone, Copy)]
pub(super) struct Projective {
    x: Field,
    y: Field,
    z: Field,
    sum: Field,
}

/// Y + X, Y − X, Z and T = X·Y/Z: the left side of an addition.
#[derive(Clone, Copy)]
pub(super) struct Addend {
    sum: Field,
    difference: Field,
    z: Field,
    t: Field,
}

/// Y + X, Y − X, 2·Z and 2·d·T: the right side of an addition, an entry of a table.
#[derive(Clone, Copy)]
pub(super) struct Cached(pub(super) [Field; 4]);

/// x = X/Z, y = Y/Z, x·y = T/Z.
#[derive(Clone, Copy)]
pub(super) struct Extended {
    x: Field,
    y: Field,
    z: Field,
    t: Field,
}

impl Zeroize for Cached {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl Zeroize for Extended {
    fn zeroize(&mut self) {
        self.x.zeroize();
        self.y.zeroize();
        self.z.zeroize();
        self.t.zeroize();
    }
}

impl Zeroize for Completed {
    fn zeroize(&mut self) {
        self.x.zeroize();
        self.y.zeroize();
        self.z.zeroize();
        self.t.zeroize();
    }
}

impl Completed {
    /// X·T, Y·Z, Z·T: three products. Two of them are below 250·2^52 together.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn projective(&self) -> Projective {
        let (x, y) = (self.x.mul(&self.t), self.y.mul(&self.z));
        Projective { sum: x.plus(&y).carry(), x: x.carry(), y: y.carry(), z: self.z.times(&self.t) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn addend(&self) -> Addend {
        let (x, y) = (self.x.mul(&self.t), self.y.mul(&self.z));
        Addend {
            sum: y.plus(&x).carry(),
            difference: y.minus(&x).carry(),
            z: self.z.times(&self.t),
            t: self.x.times(&self.y),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn extended(&self) -> Extended {
        Extended {
            x: self.x.times(&self.t),
            y: self.y.times(&self.z),
            z: self.z.times(&self.t),
            t: self.x.times(&self.y),
        }
    }
}

impl Projective {
    /// Twice the point: four squarings. A = X², B = Y², C = Z², S = (X + Y)²; X' = S − (A + B), Y' = B + A, Z' = B − A,
    /// T' = 2·C − Z'.
    ///
    /// In units of 2^52, with m = 304 for the multiple of p: A is below 125; B and C are between m − 1 and m + 125, S between
    /// 2·m − 2 and 2·m + 125. So Y' is below m + 250 = 554, which is less than S; Z' is below m + 125 = 429, which is less
    /// than 2·C; and all are below 2·(m + 125) = 858, within the 1024 that can be carried.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn double(&self) -> Completed {
        let (a, b) = (self.x.square(), self.y.square_above::<1>());
        let (c, s) = (self.z.square_above::<1>(), self.sum.square_above::<2>());
        let (y, z) = (b.plus(&a), b.minus_less(&a));
        Completed { x: s.minus_less(&y).carry(), y: y.carry(), z: z.carry(), t: c.plus(&c).minus_less(&z).carry() }
    }
}

impl Addend {
    /// The neutral element.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn identity() -> Self {
        let one = Field::constant(&ONE);
        Self { sum: one, difference: one, z: one, t: Field::constant(&ZERO) }
    }

    /// The sum, or the difference in the lanes of `negative`: the negative of a point swaps Y + X with Y − X and changes the
    /// sign of T.
    ///
    /// A = (Y1 − X1)·(Y2 − X2), B = (Y1 + X1)·(Y2 + X2), C = T1·2·d·T2, D = Z1·2·Z2; X' = B − A, Y' = B + A, Z' = D + C,
    /// T' = D − C. All are below 125·2^52 + 2^60.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn plus(&self, other: &Cached, negative: __mmask8) -> Completed {
        let [sum, difference, twice_z, t2d] = &other.0;
        let a = self.difference.mul(&difference.select(sum, negative));
        let b = self.sum.mul(&sum.select(difference, negative));
        let c = self.t.mul(t2d);
        let d = self.z.mul(twice_z);
        let (z, t) = (d.plus(&c).carry(), d.minus(&c).carry());
        Completed {
            x: b.minus(&a).carry(),
            y: b.plus(&a).carry(),
            z: z.select(&t, negative),
            t: t.select(&z, negative),
        }
    }
}

impl Cached {
    /// The neutral element.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn identity() -> Self {
        let one = Field::constant(&ONE);
        Self([one, one, Field::constant(&TWO), Field::constant(&ZERO)])
    }
}

impl Extended {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn identity() -> Self {
        let (zero, one) = (Field::constant(&ZERO), Field::constant(&ONE));
        Self { x: zero, y: one, z: one, t: zero }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn projective(&self) -> Projective {
        Projective { x: self.x, y: self.y, z: self.z, sum: self.x.plus(&self.y) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn addend(&self) -> Addend {
        Addend { sum: self.y.plus(&self.x), difference: self.y.minus(&self.x), z: self.z, t: self.t }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn cached(&self) -> Cached {
        Cached([self.y.plus(&self.x), self.y.minus(&self.x), self.z.plus(&self.z), self.t.times(&Field::constant(&D2))])
    }

    /// Decode (RFC 9496, section 4.3.1), and the lanes that are elements. The caller has seen to it that each s is below
    /// 2^255; here a lane is refused when s is at least p or negative, too.
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn decode<const N: usize>(s: &[Field; N]) -> ([__mmask8; N], [Self; N]) {
        let one = Field::constant(&ONE);
        let minus_d = Field::constant(&D).negate();
        let (mut u1, mut u2, mut v, mut squares) = (*s, *s, *s, *s);
        for index in 0..N {
            let ss = s[index].squared();
            u1[index] = one.minus(&ss);
            u2[index] = one.plus(&ss);
            let u2_squared = u2[index].squared();
            v[index] = minus_d.times(&u1[index].squared()).minus(&u2_squared);
            squares[index] = v[index].times(&u2_squared);
        }
        let (mut good, inverse) = Field::sqrt_ratio(&[one; N], &squares);
        let mut points = [Self { x: one, y: one, z: one, t: one }; N];
        for index in 0..N {
            let den_x = inverse[index].times(&u2[index]);
            let den_y = inverse[index].times(&den_x).times(&v[index]);
            let x = s[index].plus(&s[index]).times(&den_x).absolute();
            let y = u1[index].times(&den_y);
            let t = x.times(&y);
            good[index] &= !(t.is_negative() | y.is_zero() | s[index].is_negative() | !s[index].is_below_p());
            points[index] = Self { x, y, z: one, t };
        }
        (good, points)
    }

    /// Map field elements to points (`MAP` of RFC 9496, section 4.3.4).
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn map<const N: usize>(t: &[Field; N]) -> [Completed; N] {
        let one = Field::constant(&ONE);
        let minus_one = one.negate();
        let d = Field::constant(&D);
        let (mut r, mut u, mut v) = (*t, *t, *t);
        for index in 0..N {
            r[index] = t[index].squared().times(&Field::constant(&SQRT_M1));
            u[index] = r[index].plus(&one).times(&Field::constant(&ONE_MINUS_D_SQUARED));
            v[index] = minus_one.minus(&r[index].times(&d)).times(&r[index].plus(&d));
        }
        let (square, root) = Field::sqrt_ratio(&u, &v);
        let mut points = [Completed { x: one, y: one, z: one, t: one }; N];
        for index in 0..N {
            let (r, v, root) = (&r[index], &v[index], &root[index]);
            let s = root.times(&t[index]).absolute().negate().select(root, square[index]);
            let c = r.select(&minus_one, square[index]);
            let n = c.times(&r.minus(&one)).mul(&Field::constant(&D_MINUS_ONE_SQUARED)).minus(&v.columns()).carry();
            let ss = s.squared();
            points[index] = Completed {
                x: s.plus(&s).times(v),
                y: one.minus(&ss),
                z: n.times(&Field::constant(&SQRT_AD_MINUS_ONE)),
                t: one.plus(&ss),
            };
        }
        points
    }

    /// Encode (RFC 9496, section 4.3.2): the nonnegative s of each.
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn encode<const N: usize>(points: &[Self; N]) -> [Field; N] {
        let one = Field::constant(&ONE);
        let (mut u1, mut u2, mut products) = ([one; N], [one; N], [one; N]);
        for index in 0..N {
            let Self { x, y, z, .. } = &points[index];
            u1[index] = z.plus(y).times(&z.minus(y));
            u2[index] = x.times(y);
            products[index] = u1[index].times(&u2[index].squared());
        }
        // Always a square, or zero.
        let (_, inverse) = Field::sqrt_ratio(&[one; N], &products);
        let mut encoded = inverse;
        for index in 0..N {
            let Self { x, y, z, t } = &points[index];
            let den1 = inverse[index].times(&u1[index]);
            let den2 = inverse[index].times(&u2[index]);
            let z_inverse = den1.times(&den2).times(t);
            let rotate = t.times(&z_inverse).is_negative();
            let sqrt_m1 = Field::constant(&SQRT_M1);
            let new_x = x.select(&y.times(&sqrt_m1), rotate);
            let new_y = y.select(&x.times(&sqrt_m1), rotate);
            let den = den2.select(&den1.times(&Field::constant(&INVSQRT_A_MINUS_D)), rotate);
            let new_y = new_y.negate_if(new_x.times(&z_inverse).is_negative());
            encoded[index] = z.minus(&new_y).times(&den).absolute();
        }
        encoded
    }
}

impl Completed {
    /// X·Y·Z·T, whose inverse [`Self::encode`] needs.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn product(&self) -> Field {
        self.x.times(&self.y).times(&self.z.times(&self.t))
    }

    /// The nonnegative s that encodes a point which a doubling ended in, given the inverse of [`Self::product`], or zero
    /// where that is zero: then the double is the identity, which encodes as zero.
    ///
    /// With e = X, g = Y, f = Z and h = T this is the double-and-compress of curve25519-dalek; the notes in its
    /// `ristretto.rs` derive it.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512bw,avx512vl")]
    pub(super) fn encode(&self, inverse: &Field) -> Field {
        let Self { x: e, y: g, z: f, t: h } = self;
        let eg = e.times(g);
        let z_inverse = eg.times(inverse);
        let t_inverse = f.times(h).times(inverse);
        let rotate = eg.times(&z_inverse).is_negative();
        let sqrt_m1 = Field::constant(&SQRT_M1);
        let new_e = e.select(g, rotate);
        let new_g = g.select(&e.negate(), rotate);
        let new_h = h.select(&f.times(&sqrt_m1), rotate);
        let magic = Field::constant(&INVSQRT_A_MINUS_D).select(&sqrt_m1, rotate);
        let new_g = new_g.negate_if(new_h.times(&new_e).times(&z_inverse).is_negative());
        new_h.minus(&new_g).times(&magic).times(&new_g.times(&t_inverse)).absolute()
    }
}
