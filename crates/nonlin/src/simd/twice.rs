//! Two registers as one.
//!
//! Every operation is done to both, one right after the other. So two independent chains stand
//! side by side in the code, and a processor that can look only so many instructions ahead always
//! finds something to do while it waits for the longer primitives.

use super::CoefficientQuad;
use super::{Lanes, Lanes32, Lanes64, Partial};
use core::ops::{Add, Div, Mul, Neg, Sub};

/// Two registers.
#[derive(Clone, Copy)]
pub struct Twice<V>(pub V, pub V);

macro_rules! both {
    ($($trait:ident $method:ident),*) => {$(
        impl<V: Lanes> $trait for Twice<V> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, o: Self) -> Self {
                Twice(self.0.$method(o.0), self.1.$method(o.1))
            }
        }
    )*};
}
both!(Add add, Sub sub, Mul mul, Div div);

impl<V: Lanes> Neg for Twice<V> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Twice(-self.0, -self.1)
    }
}

impl<V: Lanes> Lanes for Twice<V> {
    type Elem = V::Elem;
    type Mask = (V::Mask, V::Mask);
    const N: usize = 2 * V::N;
    const FUSED: bool = V::FUSED;
    #[inline(always)]
    fn splat(v: V::Elem) -> Self {
        Twice(V::splat(v), V::splat(v))
    }
    #[inline(always)]
    unsafe fn load(p: *const V::Elem) -> Self {
        // SAFETY: `p` is valid for reading `2 V::N` elements, and each half takes `V::N`.
        unsafe { Twice(V::load(p), V::load(p.add(V::N))) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut V::Elem) {
        // SAFETY: `p` is valid for writing `2 V::N` elements, and each half takes `V::N`.
        unsafe {
            self.0.store(p);
            self.1.store(p.add(V::N));
        }
    }
    #[inline(always)]
    unsafe fn store_non_temporal(self, p: *mut V::Elem) {
        // SAFETY: `p` is valid for writing `2 V::N` elements and aligned to `V`, and so is its
        // second half.
        unsafe {
            self.0.store_non_temporal(p);
            self.1.store_non_temporal(p.add(V::N));
        }
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Twice(self.0.mul_add(a.0, b.0), self.1.mul_add(a.1, b.1))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Twice(self.0.abs(), self.1.abs())
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Twice(self.0.sqrt(), self.1.sqrt())
    }
    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        Twice(self.0.copysign(sign.0), self.1.copysign(sign.1))
    }
    #[inline(always)]
    fn max(self, c: Self) -> Self {
        Twice(self.0.max(c.0), self.1.max(c.1))
    }
    #[inline(always)]
    fn min(self, c: Self) -> Self {
        Twice(self.0.min(c.0), self.1.min(c.1))
    }
    #[inline(always)]
    fn gt(self, o: Self) -> Self::Mask {
        (self.0.gt(o.0), self.1.gt(o.1))
    }
    #[inline(always)]
    fn is_nan(self) -> Self::Mask {
        (self.0.is_nan(), self.1.is_nan())
    }
    #[inline(always)]
    fn either(a: Self::Mask, b: Self::Mask) -> Self::Mask {
        (V::either(a.0, b.0), V::either(a.1, b.1))
    }
    #[inline(always)]
    fn any(m: Self::Mask) -> bool {
        V::any(V::either(m.0, m.1))
    }
    #[inline(always)]
    fn all(m: Self::Mask) -> bool {
        V::all(m.0) && V::all(m.1)
    }
    #[inline(always)]
    fn select(m: Self::Mask, a: Self, b: Self) -> Self {
        Twice(V::select(m.0, a.0, b.0), V::select(m.1, a.1, b.1))
    }
}

impl<V: Lanes64> Lanes64 for Twice<V> {
    #[inline(always)]
    unsafe fn load_f32(p: *const f32) -> Self {
        // SAFETY: `p` is valid for reading `2 V::N` elements, and each half takes `V::N`.
        unsafe { Twice(V::load_f32(p), V::load_f32(p.add(V::N))) }
    }
    #[inline(always)]
    unsafe fn store_f32(self, p: *mut f32) {
        // SAFETY: `p` is valid for writing `2 V::N` elements, and each half takes `V::N`.
        unsafe {
            self.0.store_f32(p);
            self.1.store_f32(p.add(V::N));
        }
    }
    #[inline(always)]
    fn add_exponent(self, t: Self) -> Self {
        Twice(self.0.add_exponent(t.0), self.1.add_exponent(t.1))
    }
    #[inline(always)]
    fn exponent_field(self) -> Self {
        Twice(self.0.exponent_field(), self.1.exponent_field())
    }
    #[inline(always)]
    fn recip_f32(self) -> Self {
        Twice(self.0.recip_f32(), self.1.recip_f32())
    }
    #[inline(always)]
    fn lookup(table: &[[f64; 2]; 16], t: Self) -> (Self, Self) {
        let ((a, b), (c, d)) = (V::lookup(table, t.0), V::lookup(table, t.1));
        (Twice(a, c), Twice(b, d))
    }
    #[inline(always)]
    fn add_sixteenths(self, t: Self) -> Self {
        Twice(self.0.add_sixteenths(t.0), self.1.add_sixteenths(t.1))
    }
}

impl<V: Lanes32> Lanes32 for Twice<V> {
    type Wide = Twice<V::Wide>;
    #[inline(always)]
    fn widen(self) -> (Self::Wide, Self::Wide) {
        let ((a, b), (c, d)) = (self.0.widen(), self.1.widen());
        (Twice(a, c), Twice(b, d))
    }
    #[inline(always)]
    fn narrow(lo: Self::Wide, hi: Self::Wide) -> Self {
        Twice(V::narrow(lo.0, hi.0), V::narrow(lo.1, hi.1))
    }
    type Pick = (V::Pick, V::Pick);
    #[inline(always)]
    fn pick(self) -> Self::Pick {
        (self.0.pick(), self.1.pick())
    }
    #[inline(always)]
    fn four(pick: Self::Pick, four: &CoefficientQuad) -> [Self; 4] {
        let [a, b, c, d] = V::four(pick.0, four);
        let [e, f, g, h] = V::four(pick.1, four);
        [Twice(a, e), Twice(b, f), Twice(c, g), Twice(d, h)]
    }
    #[inline(always)]
    fn lookup_short(self, row: &[f32; 16]) -> Self {
        Twice(self.0.lookup_short(row), self.1.lookup_short(row))
    }
    #[inline(always)]
    fn octave(self) -> Self {
        Twice(self.0.octave(), self.1.octave())
    }
    #[inline(always)]
    fn add_shifted(self, t: Self) -> Self {
        Twice(self.0.add_shifted(t.0), self.1.add_shifted(t.1))
    }
    #[inline(always)]
    fn unscale_tail(self) -> Self {
        Twice(self.0.unscale_tail(), self.1.unscale_tail())
    }
}

impl<V: Partial> Partial for Twice<V> {
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize, rest: f32) -> Self {
        let first = n.min(V::N);
        // SAFETY: `p` is valid for reading `n` numbers; nothing is read where the second part is
        // empty.
        unsafe {
            let a = V::load_first(p, first, rest);
            Twice(a, V::load_first(p.wrapping_add(V::N), n - first, rest))
        }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize) {
        let first = n.min(V::N);
        // SAFETY: `p` is valid for writing `n` numbers; nothing is written where the second part is
        // empty.
        unsafe {
            self.0.store_first(p, first);
            self.1.store_first(p.wrapping_add(V::N), n - first);
        }
    }
}
