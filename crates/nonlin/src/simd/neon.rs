//! NEON, which every 64-bit Arm processor has: two f64 or four f32, fused multiply-add.

use super::{
    CoefficientQuad, LIFTED_NORMAL, Lanes, Lanes32, Lanes64, OF_LEAST, Partial, Simd, TAIL_UNSCALE,
    operators,
};
use core::arch::aarch64::*;
use core::ops::Neg;

/// Two f64 or four f32.
pub struct Neon;

impl Simd for Neon {
    const INDEX: usize = 1;
    type F64 = F64x2;
    type F32 = F32x4;
    type Block32 = F32x4;
    type Tabled32 = F32x4;
    type Block64 = F64x2;
}

/// One register type: its name, intrinsic types, element, lanes and intrinsics.
macro_rules! register {
    ($t:ident, $raw:ty, $elem:ty, $n:literal, $mask:ty, $signs:expr,
     $set1:ident $load:ident $store:ident $add:ident $sub:ident $mul:ident $div:ident $sqrt:ident
     $neg:ident $abs:ident $fma:ident $gt:ident $eq:ident $select:ident, not: |$nm:ident| $not:expr, either: $either:ident, any: |$am:ident| $any:expr, all: |$lm:ident| $all:expr) => {
        #[doc = concat!(stringify!($n), " lanes of ", stringify!($elem), ".")]
        #[derive(Clone, Copy)]
        #[repr(transparent)]
        pub struct $t($raw);

        operators!($t, $add, $sub, $mul, $div);

        impl Neg for $t {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                // SAFETY: every aarch64 processor has NEON.
                Self(unsafe { $neg(self.0) })
            }
        }

        impl Lanes for $t {
            type Elem = $elem;
            type Mask = $mask;
            const N: usize = $n;
            const FUSED: bool = true;
            #[inline(always)]
            fn splat(v: $elem) -> Self {
                // SAFETY: every aarch64 processor has NEON.
                Self(unsafe { $set1(v) })
            }
            #[inline(always)]
            unsafe fn load(p: *const $elem) -> Self {
                // SAFETY: every aarch64 processor has NEON; `p` is valid for reading `N` numbers.
                Self(unsafe { $load(p) })
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $elem) {
                // SAFETY: every aarch64 processor has NEON; `p` is valid for writing `N` numbers.
                unsafe { $store(p, self.0) }
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                // SAFETY: every aarch64 processor has NEON.
                Self(unsafe { $fma(b.0, self.0, a.0) })
            }
            #[inline(always)]
            fn abs(self) -> Self {
                // SAFETY: every aarch64 processor has NEON.
                Self(unsafe { $abs(self.0) })
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                // SAFETY: every aarch64 processor has NEON.
                Self(unsafe { $sqrt(self.0) })
            }
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                // SAFETY: every aarch64 processor has NEON.
                Self(unsafe { $select($signs, sign.0, self.0) })
            }
            #[inline(always)]
            fn max(self, c: Self) -> Self {
                // SAFETY: every aarch64 processor has NEON. Not `fmax`, which orders the zeros.
                Self(unsafe { $select($gt(c.0, self.0), c.0, self.0) })
            }
            #[inline(always)]
            fn min(self, c: Self) -> Self {
                // SAFETY: every aarch64 processor has NEON. Not `fmin`, which orders the zeros.
                Self(unsafe { $select($gt(self.0, c.0), c.0, self.0) })
            }
            #[inline(always)]
            fn gt(self, o: Self) -> $mask {
                // SAFETY: every aarch64 processor has NEON.
                unsafe { $gt(self.0, o.0) }
            }
            #[inline(always)]
            fn is_nan(self) -> $mask {
                // SAFETY: every aarch64 processor has NEON.
                let $nm = unsafe { $eq(self.0, self.0) };
                // SAFETY: every aarch64 processor has NEON.
                unsafe { $not }
            }
            #[inline(always)]
            fn either(a: $mask, b: $mask) -> $mask {
                // SAFETY: every aarch64 processor has NEON.
                unsafe { $either(a, b) }
            }
            #[inline(always)]
            fn any(m: $mask) -> bool {
                let $am = m;
                // SAFETY: every aarch64 processor has NEON.
                unsafe { $any }
            }
            #[inline(always)]
            fn all(m: $mask) -> bool {
                let $lm = m;
                // SAFETY: every aarch64 processor has NEON.
                unsafe { $all }
            }
            #[inline(always)]
            fn select(m: $mask, a: Self, b: Self) -> Self {
                // SAFETY: every aarch64 processor has NEON.
                Self(unsafe { $select(m, a.0, b.0) })
            }
        }
    };
}

register!(F64x2, float64x2_t, f64, 2, uint64x2_t, vdupq_n_u64(1 << 63),
    vdupq_n_f64 vld1q_f64 vst1q_f64 vaddq_f64 vsubq_f64 vmulq_f64 vdivq_f64 vsqrtq_f64
    vnegq_f64 vabsq_f64 vfmaq_f64 vcgtq_f64 vceqq_f64 vbslq_f64, not: |m| veorq_u64(m, vdupq_n_u64(u64::MAX)),
    either: vorrq_u64, any: |m| vmaxvq_u32(vreinterpretq_u32_u64(m)) != 0,
    all: |m| vminvq_u32(vreinterpretq_u32_u64(m)) != 0);
register!(F32x4, float32x4_t, f32, 4, uint32x4_t, vdupq_n_u32(1 << 31),
    vdupq_n_f32 vld1q_f32 vst1q_f32 vaddq_f32 vsubq_f32 vmulq_f32 vdivq_f32 vsqrtq_f32
    vnegq_f32 vabsq_f32 vfmaq_f32 vcgtq_f32 vceqq_f32 vbslq_f32, not: |m| vmvnq_u32(m),
    either: vorrq_u32, any: |m| vmaxvq_u32(m) != 0, all: |m| vminvq_u32(m) != 0);

impl Lanes64 for F64x2 {
    #[inline(always)]
    unsafe fn load_f32(p: *const f32) -> Self {
        // SAFETY: every aarch64 processor has NEON; `p` is valid for reading two f32.
        Self(unsafe { vcvt_f64_f32(vld1_f32(p)) })
    }
    #[inline(always)]
    unsafe fn store_f32(self, p: *mut f32) {
        // SAFETY: every aarch64 processor has NEON; `p` is valid for writing two f32.
        unsafe { vst1_f32(p, vcvt_f32_f64(self.0)) }
    }
    #[inline(always)]
    fn add_exponent(self, t: Self) -> Self {
        // SAFETY: every aarch64 processor has NEON.
        Self(unsafe {
            vreinterpretq_f64_u64(vaddq_u64(
                vreinterpretq_u64_f64(self.0),
                vshlq_n_u64::<52>(vreinterpretq_u64_f64(t.0)),
            ))
        })
    }
    #[inline(always)]
    fn exponent_field(self) -> Self {
        // SAFETY: every aarch64 processor has NEON.
        Self(unsafe { vcvtq_f64_u64(vshrq_n_u64::<52>(vreinterpretq_u64_f64(self.0))) })
    }
    #[inline(always)]
    fn recip_f32(self) -> Self {
        // SAFETY: every aarch64 processor has NEON.
        Self(unsafe { vcvt_f64_f32(vdiv_f32(vdup_n_f32(1.0), vcvt_f32_f64(self.0))) })
    }
    #[inline(always)]
    fn lookup(table: &[[f64; 2]; 16], t: Self) -> (Self, Self) {
        // SAFETY: every aarch64 processor has NEON; an entry has two numbers.
        unsafe {
            let t = vreinterpretq_u64_f64(t.0);
            let a = vld1q_f64(table[(vgetq_lane_u64::<0>(t) & 15) as usize].as_ptr());
            let b = vld1q_f64(table[(vgetq_lane_u64::<1>(t) & 15) as usize].as_ptr());
            (Self(vzip1q_f64(a, b)), Self(vzip2q_f64(a, b)))
        }
    }
    #[inline(always)]
    fn add_sixteenths(self, t: Self) -> Self {
        // SAFETY: every aarch64 processor has NEON.
        Self(unsafe {
            vreinterpretq_f64_u64(vaddq_u64(
                vreinterpretq_u64_f64(self.0),
                vshlq_n_u64::<48>(vreinterpretq_u64_f64(t.0)),
            ))
        })
    }
}

impl Partial for F32x4 {}

impl Lanes32 for F32x4 {
    type Wide = F64x2;
    #[inline(always)]
    fn widen(self) -> (F64x2, F64x2) {
        // SAFETY: every aarch64 processor has NEON.
        unsafe { (F64x2(vcvt_f64_f32(vget_low_f32(self.0))), F64x2(vcvt_high_f64_f32(self.0))) }
    }
    type Pick = [usize; 4];
    #[inline(always)]
    fn pick(self) -> [usize; 4] {
        // SAFETY: every aarch64 processor has NEON.
        unsafe {
            let i = vandq_u32(vreinterpretq_u32_f32(self.0), vdupq_n_u32(15));
            [
                vgetq_lane_u32::<0>(i) as usize,
                vgetq_lane_u32::<1>(i) as usize,
                vgetq_lane_u32::<2>(i) as usize,
                vgetq_lane_u32::<3>(i) as usize,
            ]
        }
    }
    #[inline(always)]
    fn four([a, b, c, d]: [usize; 4], four: &CoefficientQuad) -> [Self; 4] {
        let p = &four.by_piece;
        // SAFETY: every aarch64 processor has NEON; `pick` gives less than 16.
        unsafe {
            let [a, b, c, d] = [a, b, c, d].map(|k| vld1q_f32(p.get_unchecked(k).as_ptr()));
            let (ab, cd) = (vtrn1q_f32(a, b), vtrn1q_f32(c, d));
            let (ab2, cd2) = (vtrn2q_f32(a, b), vtrn2q_f32(c, d));
            let [ab, cd, ab2, cd2] = [ab, cd, ab2, cd2].map(|v| vreinterpretq_f64_f32(v));
            [vtrn1q_f64(ab, cd), vtrn1q_f64(ab2, cd2), vtrn2q_f64(ab, cd), vtrn2q_f64(ab2, cd2)]
                .map(|v| Self(vreinterpretq_f32_f64(v)))
        }
    }
    #[inline(always)]
    fn lookup_short(self, row: &[f32; 16]) -> Self {
        // SAFETY: every aarch64 processor has NEON; the read lies within the row.
        Self(unsafe {
            let i = vandq_u32(vreinterpretq_u32_f32(self.0), vdupq_n_u32(15));
            let b = vreinterpretq_u8_u32(vmlaq_n_u32(vdupq_n_u32(0x0302_0100), i, 0x0404_0404));
            vreinterpretq_f32_u8(vqtbl4q_u8(vld1q_u8_x4(row.as_ptr().cast()), b))
        })
    }
    #[inline(always)]
    fn octave(self) -> Self {
        // SAFETY: every aarch64 processor has NEON.
        Self(unsafe { vreinterpretq_f32_u32(vshrq_n_u32::<21>(vreinterpretq_u32_f32(self.0))) })
    }
    #[inline(always)]
    fn add_shifted(self, t: Self) -> Self {
        // SAFETY: every aarch64 processor has NEON.
        Self(unsafe {
            vreinterpretq_f32_u32(vaddq_u32(
                vreinterpretq_u32_f32(self.0),
                vshlq_n_u32::<19>(vreinterpretq_u32_f32(t.0)),
            ))
        })
    }
    /// The lesser of two representations, as on x86-64.
    #[inline(always)]
    fn unscale_tail(self) -> Self {
        let normal = self.max(Self::splat(LIFTED_NORMAL)) * Self::splat(TAIL_UNSCALE);
        // SAFETY: every aarch64 processor has NEON.
        let unscaled = Self(unsafe {
            let least = vcvtnq_u32_f32((self * Self::splat(OF_LEAST)).0);
            vreinterpretq_f32_u32(vminq_u32(vreinterpretq_u32_f32(normal.0), least))
        });
        // Of NaN an integer is made that is 0, and not, as there, large.
        Self::select(self.is_nan(), self, unscaled)
    }
    #[inline(always)]
    fn narrow(lo: F64x2, hi: F64x2) -> Self {
        // SAFETY: every aarch64 processor has NEON.
        Self(unsafe { vcvt_high_f32_f64(vcvt_f32_f64(lo.0), hi.0) })
    }
}
