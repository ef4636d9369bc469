//! One lane at a time, with nothing but IEEE arithmetic: the form that runs anywhere.

use super::CoefficientQuad;
use super::{Lanes, Lanes32, Lanes64, Partial, Simd};

/// An f64, or two f32, as a register.
#[derive(Clone, Copy)]
pub struct Scalar;

impl Simd for Scalar {
    const INDEX: usize = 0;
    type F64 = f64;
    type F32 = F32x2;
    type Block32 = F32x2;
    type Tabled32 = F32x2;
    type Block64 = f64;
}

/// The square root, rounded once.
#[inline(always)]
pub(crate) fn sqrt(v: f64) -> f64 {
    #[cfg(feature = "std")]
    return v.sqrt();
    #[cfg(not(feature = "std"))]
    sqrt_by_integers(v)
}

/// The square root, rounded once, where there is no instruction that a library without `std` may use.
#[cfg_attr(feature = "std", allow(dead_code))]
pub fn sqrt_by_integers(v: f64) -> f64 {
    if v == 0.0 || v.is_nan() || v == f64::INFINITY {
        return v;
    }
    if v < 0.0 {
        return f64::NAN;
    }
    // v = m 2^e with 53 bits in m and an even e.
    let bits = v.to_bits();
    let (field, rest) = ((bits >> 52) as i32, bits & ((1 << 52) - 1));
    let (m, e) = if field == 0 {
        let up = rest.leading_zeros() as i32 - 11;
        (rest << up, -1074 - up)
    } else {
        (rest | 1 << 52, field - 1075)
    };
    let (m, e) = if e % 2 == 0 { (m, e) } else { (m << 1, e - 1) };
    // 55 bits of the root, the last of which says whether there is more: it is never a tie.
    let square = u128::from(m) << 56;
    let root = square.isqrt();
    let sticky = u64::from(root * root != square);
    // `as` rounds to nearest even.
    let rounded = (root as u64 | sticky) as f64;
    rounded * f64::from_bits(((1023 + e / 2 - 28) as u64) << 52)
}

impl Lanes for f64 {
    type Elem = f64;
    type Mask = bool;
    const N: usize = 1;
    const FUSED: bool = false;
    #[inline(always)]
    fn splat(v: f64) -> Self {
        v
    }
    #[inline(always)]
    unsafe fn load(p: *const f64) -> Self {
        // SAFETY: `p` is valid for reading one register.
        unsafe { p.read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f64) {
        // SAFETY: `p` is valid for writing one register.
        unsafe { p.write_unaligned(self) }
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self * a + b
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f64::from_bits(self.to_bits() & !(1 << 63))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        sqrt(self)
    }
    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        f64::from_bits((self.to_bits() & !(1 << 63)) | (sign.to_bits() & (1 << 63)))
    }
    #[inline(always)]
    fn max(self, c: Self) -> Self {
        if c > self { c } else { self }
    }
    #[inline(always)]
    fn min(self, c: Self) -> Self {
        if c < self { c } else { self }
    }
    #[inline(always)]
    fn gt(self, o: Self) -> bool {
        self > o
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        f64::is_nan(self)
    }
    #[inline(always)]
    fn either(a: bool, b: bool) -> bool {
        a || b
    }
    #[inline(always)]
    fn any(m: bool) -> bool {
        m
    }
    #[inline(always)]
    fn all(m: bool) -> bool {
        m
    }
    #[inline(always)]
    fn select(m: bool, a: Self, b: Self) -> Self {
        if m { a } else { b }
    }
}

impl Lanes64 for f64 {
    #[inline(always)]
    unsafe fn load_f32(p: *const f32) -> Self {
        // SAFETY: `p` is valid for reading one f32.
        f64::from(unsafe { p.read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store_f32(self, p: *mut f32) {
        // SAFETY: `p` is valid for writing one f32.
        unsafe { p.write_unaligned(self as f32) }
    }
    #[inline(always)]
    fn add_exponent(self, t: Self) -> Self {
        f64::from_bits(self.to_bits().wrapping_add(t.to_bits() << 52))
    }
    #[inline(always)]
    fn exponent_field(self) -> Self {
        (self.to_bits() >> 52) as f64
    }
    #[inline(always)]
    fn recip_f32(self) -> Self {
        f64::from(1.0 / self as f32)
    }
    #[inline(always)]
    fn lookup(table: &[[f64; 2]; 16], t: Self) -> (Self, Self) {
        let [a, b] = table[(t.to_bits() & 15) as usize];
        (a, b)
    }
    #[inline(always)]
    fn add_sixteenths(self, t: Self) -> Self {
        f64::from_bits(self.to_bits().wrapping_add(t.to_bits() << 48))
    }
}

/// Two f32, so that a register of f32 is as wide as one f64 twice.
#[derive(Clone, Copy)]
pub struct F32x2([f32; 2]);

macro_rules! pairwise {
    ($($trait:ident $method:ident),*) => {$(
        impl core::ops::$trait for F32x2 {
            type Output = Self;
            #[inline(always)]
            fn $method(self, o: Self) -> Self {
                F32x2([self.0[0].$method(o.0[0]), self.0[1].$method(o.0[1])])
            }
        }
    )*};
}
pairwise!(Add add, Sub sub, Mul mul, Div div);

impl core::ops::Neg for F32x2 {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        F32x2(self.0.map(|v| -v))
    }
}

impl F32x2 {
    #[inline(always)]
    fn zip(self, o: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        F32x2([f(self.0[0], o.0[0]), f(self.0[1], o.0[1])])
    }
}

impl Lanes for F32x2 {
    type Elem = f32;
    type Mask = [bool; 2];
    const N: usize = 2;
    const FUSED: bool = false;
    #[inline(always)]
    fn splat(v: f32) -> Self {
        F32x2([v; 2])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: `p` is valid for reading one register.
        F32x2(unsafe { p.cast::<[f32; 2]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: `p` is valid for writing one register.
        unsafe { p.cast::<[f32; 2]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self * a + b
    }
    #[inline(always)]
    fn abs(self) -> Self {
        F32x2(self.0.map(|v| f32::from_bits(v.to_bits() & !(1 << 31))))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        // The root to 53 bits, rounded to 24, is the root rounded to 24: 53 is more than twice 24 and 2.
        F32x2(self.0.map(|v| sqrt(f64::from(v)) as f32))
    }
    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        self.zip(sign, |v, s| {
            f32::from_bits((v.to_bits() & !(1 << 31)) | (s.to_bits() & (1 << 31)))
        })
    }
    #[inline(always)]
    fn max(self, c: Self) -> Self {
        self.zip(c, |x, c| if c > x { c } else { x })
    }
    #[inline(always)]
    fn min(self, c: Self) -> Self {
        self.zip(c, |x, c| if c < x { c } else { x })
    }
    #[inline(always)]
    fn gt(self, o: Self) -> [bool; 2] {
        [self.0[0] > o.0[0], self.0[1] > o.0[1]]
    }
    #[inline(always)]
    fn is_nan(self) -> [bool; 2] {
        self.0.map(f32::is_nan)
    }
    #[inline(always)]
    fn either(a: [bool; 2], b: [bool; 2]) -> [bool; 2] {
        [a[0] || b[0], a[1] || b[1]]
    }
    #[inline(always)]
    fn any(m: [bool; 2]) -> bool {
        m[0] || m[1]
    }
    #[inline(always)]
    fn all(m: [bool; 2]) -> bool {
        m[0] && m[1]
    }
    #[inline(always)]
    fn select(m: [bool; 2], a: Self, b: Self) -> Self {
        F32x2([if m[0] { a.0[0] } else { b.0[0] }, if m[1] { a.0[1] } else { b.0[1] }])
    }
}

impl Partial for F32x2 {}

impl Lanes32 for F32x2 {
    type Wide = f64;
    #[inline(always)]
    fn widen(self) -> (f64, f64) {
        (f64::from(self.0[0]), f64::from(self.0[1]))
    }
    type Pick = [usize; 2];
    #[inline(always)]
    fn pick(self) -> [usize; 2] {
        self.0.map(|v| (v.to_bits() & 15) as usize)
    }
    #[inline(always)]
    fn four([i, j]: [usize; 2], four: &CoefficientQuad) -> [Self; 4] {
        let (a, b) = (four.by_piece[i], four.by_piece[j]);
        [0, 1, 2, 3].map(|c| F32x2([a[c], b[c]]))
    }
    #[inline(always)]
    fn add_shifted(self, t: Self) -> Self {
        self.zip(t, |v, t| f32::from_bits(v.to_bits().wrapping_add(t.to_bits() << 19)))
    }
    #[inline(always)]
    fn lookup_short(self, row: &[f32; 16]) -> Self {
        F32x2(self.0.map(|v| row[(v.to_bits() & 15) as usize]))
    }
    #[inline(always)]
    fn octave(self) -> Self {
        F32x2(self.0.map(|v| f32::from_bits(v.to_bits() >> 21)))
    }
    #[inline(always)]
    fn narrow(lo: f64, hi: f64) -> Self {
        F32x2([lo as f32, hi as f32])
    }
}
