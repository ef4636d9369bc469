//! SSE2 (every x86-64 processor), AVX2 with FMA, and AVX-512 (F, DQ, VL, BW).
use super::twice::Twice;
use super::{
    CoefficientQuad, LIFTED_NORMAL, Lanes, Lanes32, Lanes64, OF_LEAST, Partial, Simd, TAIL_UNSCALE,
    UNITS, operators,
};
use core::arch::x86_64::*;
use core::ops::Neg;

/// Two f64 or four f32; no fused multiply-add.
pub struct Sse2;
/// Four f64 or eight f32.
pub struct Avx2;
/// Eight f64 or sixteen f32.
pub struct Avx512;

impl Simd for Sse2 {
    const INDEX: usize = 0;
    type F64 = F64x2;
    type F32 = F32x4;
    type Block32 = F32x4;
    type Tabled32 = F32x4;
    type Block64 = F64x2;
}
impl Simd for Avx2 {
    const INDEX: usize = 1;
    type F64 = F64x4;
    type F32 = F32x8;
    type Block32 = F32x8;
    type Tabled32 = F32x8;
    type Block64 = Twice<F64x4>;
    #[cfg(feature = "half")]
    #[inline(always)]
    unsafe fn widen_f16(from: *const half::f16, to: *mut f32, n: usize) {
        // SAFETY: `n` elements lie behind each pointer; the level includes F16C.
        unsafe { widen_f16c(from.cast(), to, n) }
    }
    #[cfg(feature = "half")]
    #[inline(always)]
    unsafe fn narrow_f16(from: *const f32, to: *mut half::f16, n: usize) {
        // SAFETY: `n` elements lie behind each pointer; the level includes F16C.
        unsafe { narrow_f16c(from, to.cast(), n) }
    }
}
impl Simd for Avx512 {
    const INDEX: usize = 2;
    type F64 = F64x8;
    type F32 = F32x16;
    type Block32 = Twice<F32x16>;
    type Tabled32 = Twice<F32x16>;
    type Block64 = Twice<F64x8>;
    #[cfg(feature = "half")]
    #[inline(always)]
    unsafe fn widen_f16(from: *const half::f16, to: *mut f32, n: usize) {
        // SAFETY: `n` elements lie behind each pointer; the level includes F16C.
        unsafe { widen_f16c(from.cast(), to, n) }
    }
    #[cfg(feature = "half")]
    #[inline(always)]
    unsafe fn narrow_f16(from: *const f32, to: *mut half::f16, n: usize) {
        // SAFETY: `n` elements lie behind each pointer; the level includes F16C.
        unsafe { narrow_f16c(from, to.cast(), n) }
    }
}

/// Whole registers, then one with copies of the rest.
#[cfg(feature = "half")]
#[inline(always)]
unsafe fn widen_f16c(from: *const u16, to: *mut f32, n: usize) {
    let mut i = 0;
    while i + 8 <= n {
        // SAFETY: the register lies within both arrays; the level includes F16C.
        unsafe { _mm256_storeu_ps(to.add(i), _mm256_cvtph_ps(_mm_loadu_si128(from.add(i).cast()))) }
        i += 8;
    }
    let (mut a, mut b) = ([0u16; 8], [0.0f32; 8]);
    // SAFETY: fewer than 8 elements are left, and the buffers have 8.
    unsafe {
        core::ptr::copy_nonoverlapping(from.add(i), a.as_mut_ptr(), n - i);
        _mm256_storeu_ps(b.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(a.as_ptr().cast())));
        core::ptr::copy_nonoverlapping(b.as_ptr(), to.add(i), n - i);
    }
}

/// Whole registers, then one with copies of the rest.
#[cfg(feature = "half")]
#[inline(always)]
unsafe fn narrow_f16c(from: *const f32, to: *mut u16, n: usize) {
    let mut i = 0;
    while i + 8 <= n {
        // SAFETY: the register lies within both arrays; the level includes F16C.
        unsafe {
            let v = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(from.add(i)));
            _mm_storeu_si128(to.add(i).cast(), v);
        }
        i += 8;
    }
    let (mut a, mut b) = ([0.0f32; 8], [0u16; 8]);
    // SAFETY: fewer than 8 elements are left, and the buffers have 8.
    unsafe {
        core::ptr::copy_nonoverlapping(from.add(i), a.as_mut_ptr(), n - i);
        let v = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(a.as_ptr()));
        _mm_storeu_si128(b.as_mut_ptr().cast(), v);
        core::ptr::copy_nonoverlapping(b.as_ptr(), to.add(i), n - i);
    }
}

/// One register type: its name, intrinsic type, element, lanes and intrinsics. What looks like
/// closures are patterns of the macro: a real closure would lose the target's instructions.
macro_rules! register {
    ($t:ident, $raw:ty, $elem:ty, $n:literal, $mask:ty, fused: $fused:literal,
     $set1:ident $load:ident $store:ident $stream:ident $add:ident $sub:ident $mul:ident $div:ident $sqrt:ident
     $and:ident $andnot:ident $or:ident $xor:ident $max:ident $min:ident,
     fma: |$fa:ident, $fb:ident, $fc:ident| $fma:expr, gt: |$ga:ident, $gb:ident| $gt:expr,
     nan: |$na:ident| $nan:expr, either: |$ea:ident, $eb:ident| $either:expr, any: |$am:ident| $any:expr, all: |$lm:ident| $all:expr, select: |$sm:ident, $sa:ident, $sb:ident| $select:expr) => {
        #[doc = concat!(stringify!($n), " lanes of ", stringify!($elem), ".")]
        #[derive(Clone, Copy)]
        #[repr(transparent)]
        pub struct $t($raw);

        operators!($t, $add, $sub, $mul, $div);

        impl Neg for $t {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                // SAFETY: a value of this type exists only where its instructions do (see `simd`).
                Self(unsafe { $xor(self.0, $set1(-0.0)) })
            }
        }

        impl Lanes for $t {
            type Elem = $elem;
            type Mask = $mask;
            const N: usize = $n;
            const FUSED: bool = $fused;
            #[inline(always)]
            fn splat(v: $elem) -> Self {
                // SAFETY: `level` enters this code only where its instructions exist.
                Self(unsafe { $set1(v) })
            }
            #[inline(always)]
            unsafe fn load(p: *const $elem) -> Self {
                // SAFETY: `level` enters this code only where its instructions exist; `p` is valid
                // for reading `N` numbers.
                Self(unsafe { $load(p) })
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $elem) {
                // SAFETY: `level` enters this code only where its instructions exist; `p` is valid
                // for writing `N` numbers.
                unsafe { $store(p, self.0) }
            }
            #[inline(always)]
            unsafe fn store_non_temporal(self, p: *mut $elem) {
                // SAFETY: `level` enters this code only where its instructions exist; `p` is valid
                // for writing `N` numbers and aligned to the register.
                unsafe { $stream(p, self.0) }
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                let ($fa, $fb, $fc) = (self.0, a.0, b.0);
                // SAFETY: `level` enters this code only where its instructions exist.
                Self(unsafe { $fma })
            }
            #[inline(always)]
            fn abs(self) -> Self {
                // SAFETY: `level` enters this code only where its instructions exist.
                Self(unsafe { $andnot($set1(-0.0), self.0) })
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                // SAFETY: `level` enters this code only where its instructions exist.
                Self(unsafe { $sqrt(self.0) })
            }
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                // SAFETY: `level` enters this code only where its instructions exist.
                unsafe {
                    let m = $set1(-0.0);
                    Self($or($andnot(m, self.0), $and(m, sign.0)))
                }
            }
            #[inline(always)]
            fn max(self, c: Self) -> Self {
                // SAFETY: `level` enters this code only where its instructions exist. The
                // instruction computes `a > b ? a : b`.
                Self(unsafe { $max(c.0, self.0) })
            }
            #[inline(always)]
            fn min(self, c: Self) -> Self {
                // SAFETY: `level` enters this code only where its instructions exist. The
                // instruction computes `a < b ? a : b`.
                Self(unsafe { $min(c.0, self.0) })
            }
            #[inline(always)]
            fn gt(self, o: Self) -> $mask {
                let ($ga, $gb) = (self.0, o.0);
                // SAFETY: `level` enters this code only where its instructions exist.
                unsafe { $gt }
            }
            #[inline(always)]
            fn is_nan(self) -> $mask {
                let $na = self.0;
                // SAFETY: `level` enters this code only where its instructions exist.
                unsafe { $nan }
            }
            #[inline(always)]
            #[allow(unused_unsafe, reason = "masks of AVX-512 are integers")]
            fn either(a: $mask, b: $mask) -> $mask {
                let ($ea, $eb) = (a, b);
                // SAFETY: `level` enters this code only where its instructions exist.
                unsafe { $either }
            }
            #[inline(always)]
            #[allow(unused_unsafe, reason = "masks of AVX-512 are integers")]
            fn any(m: $mask) -> bool {
                let $am = m;
                // SAFETY: `level` enters this code only where its instructions exist.
                unsafe { $any }
            }
            #[inline(always)]
            #[allow(unused_unsafe, reason = "masks of AVX-512 are integers")]
            fn all(m: $mask) -> bool {
                let $lm = m;
                // SAFETY: `level` enters this code only where its instructions exist.
                unsafe { $all }
            }
            #[inline(always)]
            fn select(m: $mask, a: Self, b: Self) -> Self {
                let ($sm, $sa, $sb) = (m, a.0, b.0);
                // SAFETY: `level` enters this code only where its instructions exist.
                Self(unsafe { $select })
            }
        }
    };
}

register!(F64x2, __m128d, f64, 2, __m128d, fused: false,
    _mm_set1_pd _mm_loadu_pd _mm_storeu_pd _mm_stream_pd _mm_add_pd _mm_sub_pd _mm_mul_pd _mm_div_pd _mm_sqrt_pd
    _mm_and_pd _mm_andnot_pd _mm_or_pd _mm_xor_pd _mm_max_pd _mm_min_pd,
    fma: |a, b, c| _mm_add_pd(_mm_mul_pd(a, b), c),
    gt: |a, b| _mm_cmplt_pd(b, a), nan: |a| _mm_cmpunord_pd(a, a),
    either: |a, b| _mm_or_pd(a, b), any: |m| _mm_movemask_pd(m) != 0, all: |m| _mm_movemask_pd(m) == 3,
    select: |m, a, b| _mm_or_pd(_mm_and_pd(m, a), _mm_andnot_pd(m, b)));
register!(F32x4, __m128, f32, 4, __m128, fused: false,
    _mm_set1_ps _mm_loadu_ps _mm_storeu_ps _mm_stream_ps _mm_add_ps _mm_sub_ps _mm_mul_ps _mm_div_ps _mm_sqrt_ps
    _mm_and_ps _mm_andnot_ps _mm_or_ps _mm_xor_ps _mm_max_ps _mm_min_ps,
    fma: |a, b, c| _mm_add_ps(_mm_mul_ps(a, b), c),
    gt: |a, b| _mm_cmplt_ps(b, a), nan: |a| _mm_cmpunord_ps(a, a),
    either: |a, b| _mm_or_ps(a, b), any: |m| _mm_movemask_ps(m) != 0, all: |m| _mm_movemask_ps(m) == 15,
    select: |m, a, b| _mm_or_ps(_mm_and_ps(m, a), _mm_andnot_ps(m, b)));
register!(F64x4, __m256d, f64, 4, __m256d, fused: true,
    _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_stream_pd _mm256_add_pd _mm256_sub_pd _mm256_mul_pd _mm256_div_pd _mm256_sqrt_pd
    _mm256_and_pd _mm256_andnot_pd _mm256_or_pd _mm256_xor_pd _mm256_max_pd _mm256_min_pd,
    fma: |a, b, c| _mm256_fmadd_pd(a, b, c),
    gt: |a, b| _mm256_cmp_pd::<_CMP_GT_OQ>(a, b), nan: |a| _mm256_cmp_pd::<_CMP_UNORD_Q>(a, a),
    either: |a, b| _mm256_or_pd(a, b), any: |m| _mm256_testz_pd(m, m) == 0, all: |m| _mm256_movemask_pd(m) == 15,
    select: |m, a, b| _mm256_blendv_pd(b, a, m));
register!(F32x8, __m256, f32, 8, __m256, fused: true,
    _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_stream_ps _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_div_ps _mm256_sqrt_ps
    _mm256_and_ps _mm256_andnot_ps _mm256_or_ps _mm256_xor_ps _mm256_max_ps _mm256_min_ps,
    fma: |a, b, c| _mm256_fmadd_ps(a, b, c),
    gt: |a, b| _mm256_cmp_ps::<_CMP_GT_OQ>(a, b), nan: |a| _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a),
    either: |a, b| _mm256_or_ps(a, b), any: |m| _mm256_testz_ps(m, m) == 0, all: |m| _mm256_movemask_ps(m) == 255,
    select: |m, a, b| _mm256_blendv_ps(b, a, m));
register!(F64x8, __m512d, f64, 8, __mmask8, fused: true,
    _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_stream_pd _mm512_add_pd _mm512_sub_pd _mm512_mul_pd _mm512_div_pd _mm512_sqrt_pd
    _mm512_and_pd _mm512_andnot_pd _mm512_or_pd _mm512_xor_pd _mm512_max_pd _mm512_min_pd,
    fma: |a, b, c| _mm512_fmadd_pd(a, b, c),
    gt: |a, b| _mm512_cmp_pd_mask::<_CMP_GT_OQ>(a, b), nan: |a| _mm512_cmp_pd_mask::<_CMP_UNORD_Q>(a, a),
    either: |a, b| a | b, any: |m| m != 0, all: |m| m == !0,
    select: |m, a, b| _mm512_mask_blend_pd(m, b, a));
register!(F32x16, __m512, f32, 16, __mmask16, fused: true,
    _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_stream_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_div_ps _mm512_sqrt_ps
    _mm512_and_ps _mm512_andnot_ps _mm512_or_ps _mm512_xor_ps _mm512_max_ps _mm512_min_ps,
    fma: |a, b, c| _mm512_fmadd_ps(a, b, c),
    gt: |a, b| _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), nan: |a| _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a),
    either: |a, b| a | b, any: |m| m != 0, all: |m| m == !0,
    select: |m, a, b| _mm512_mask_blend_ps(m, b, a));

/// What f64 registers do beside `Lanes`: conversions, exponents, the seed of a reciprocal.
macro_rules! register64 {
    ($t:ident, load: |$lp:ident| $load:expr, store: |$sp:ident, $sv:ident| $store:expr,
     exponent: |$ev:ident, $et:ident| $exponent:expr, field: |$fv:ident| $field:expr, recip: |$rv:ident| $recip:expr,
     lookup: |$kt:ident, $ki:ident| $lookup:expr, sixteenths: |$av:ident, $at:ident| $sixteenths:expr) => {
        impl Lanes64 for $t {
            #[inline(always)]
            unsafe fn load_f32(p: *const f32) -> Self {
                let $lp = p;
                // SAFETY: `level` enters this code only where its instructions exist; `p` is valid
                // for reading `N` numbers.
                Self(unsafe { $load })
            }
            #[inline(always)]
            unsafe fn store_f32(self, p: *mut f32) {
                let ($sp, $sv) = (p, self.0);
                // SAFETY: `level` enters this code only where its instructions exist; `p` is valid
                // for writing `N` numbers.
                unsafe { $store }
            }
            #[inline(always)]
            fn add_exponent(self, t: Self) -> Self {
                let ($ev, $et) = (self.0, t.0);
                // SAFETY: `level` enters this code only where its instructions exist.
                Self(unsafe { $exponent })
            }
            #[inline(always)]
            fn exponent_field(self) -> Self {
                let $fv = self.0;
                // SAFETY: `level` enters this code only where its instructions exist.
                let with_units = Self(unsafe { $field });
                with_units - Self::splat(UNITS)
            }
            #[inline(always)]
            fn recip_f32(self) -> Self {
                let $rv = self.0;
                // SAFETY: `level` enters this code only where its instructions exist.
                Self(unsafe { $recip })
            }
            #[inline(always)]
            fn lookup(table: &[[f64; 2]; 16], t: Self) -> (Self, Self) {
                let ($kt, $ki) = (table, t.0);
                // SAFETY: `level` enters this code only where its instructions exist; loads stay
                // within the table.
                let (a, b) = unsafe { $lookup };
                (Self(a), Self(b))
            }
            #[inline(always)]
            fn add_sixteenths(self, t: Self) -> Self {
                let ($av, $at) = (self.0, t.0);
                // SAFETY: `level` enters this code only where its instructions exist.
                Self(unsafe { $sixteenths })
            }
        }
    };
}

register64!(F64x2,
    load: |p| _mm_cvtps_pd(_mm_castpd_ps(_mm_load_sd(p.cast()))),
    store: |p, v| _mm_storel_epi64(p.cast(), _mm_castps_si128(_mm_cvtpd_ps(v))),
    exponent: |v, t| _mm_castsi128_pd(_mm_add_epi64(
        _mm_castpd_si128(v), _mm_slli_epi64::<52>(_mm_castpd_si128(t)))),
    field: |v| _mm_castsi128_pd(_mm_or_si128(
        _mm_srli_epi64::<52>(_mm_castpd_si128(v)), _mm_castpd_si128(_mm_set1_pd(UNITS)))),
    recip: |v| _mm_cvtps_pd(_mm_div_ps(_mm_set1_ps(1.0), _mm_movelh_ps(_mm_cvtpd_ps(v), _mm_set1_ps(1.0)))),
    lookup: |table, t| {
        let i = _mm_castpd_si128(t);
        let a = _mm_loadu_pd(table[_mm_cvtsi128_si64(i) as usize & 15].as_ptr());
        let b = _mm_loadu_pd(table[_mm_cvtsi128_si64(_mm_unpackhi_epi64(i, i)) as usize & 15].as_ptr());
        (_mm_unpacklo_pd(a, b), _mm_unpackhi_pd(a, b))
    },
    sixteenths: |v, t| _mm_castsi128_pd(_mm_add_epi64(
        _mm_castpd_si128(v), _mm_slli_epi64::<48>(_mm_castpd_si128(t)))));
register64!(F64x4,
    load: |p| _mm256_cvtps_pd(_mm_loadu_ps(p)),
    store: |p, v| _mm_storeu_ps(p, _mm256_cvtpd_ps(v)),
    exponent: |v, t| _mm256_castsi256_pd(_mm256_add_epi64(
        _mm256_castpd_si256(v), _mm256_slli_epi64::<52>(_mm256_castpd_si256(t)))),
    field: |v| _mm256_castsi256_pd(_mm256_or_si256(
        _mm256_srli_epi64::<52>(_mm256_castpd_si256(v)), _mm256_castpd_si256(_mm256_set1_pd(UNITS)))),
    recip: |v| _mm256_cvtps_pd(_mm_div_ps(_mm_set1_ps(1.0), _mm256_cvtpd_ps(v))),
    lookup: |table, t| {
        // Four loads of both numbers cost less than two gathers.
        let i = _mm256_castpd_si256(t);
        let (lo, hi) = (_mm256_castsi256_si128(i), _mm256_extracti128_si256::<1>(i));
        let a = _mm_loadu_pd(table[_mm_cvtsi128_si64(lo) as usize & 15].as_ptr());
        let b = _mm_loadu_pd(table[_mm_extract_epi64::<1>(lo) as usize & 15].as_ptr());
        let c = _mm_loadu_pd(table[_mm_cvtsi128_si64(hi) as usize & 15].as_ptr());
        let d = _mm_loadu_pd(table[_mm_extract_epi64::<1>(hi) as usize & 15].as_ptr());
        let (ac, bd) = (_mm256_set_m128d(c, a), _mm256_set_m128d(d, b));
        (_mm256_unpacklo_pd(ac, bd), _mm256_unpackhi_pd(ac, bd))
    },
    sixteenths: |v, t| _mm256_castsi256_pd(_mm256_add_epi64(
        _mm256_castpd_si256(v), _mm256_slli_epi64::<48>(_mm256_castpd_si256(t)))));
register64!(F64x8,
    load: |p| _mm512_cvtps_pd(_mm256_loadu_ps(p)),
    store: |p, v| _mm256_storeu_ps(p, _mm512_cvtpd_ps(v)),
    exponent: |v, t| _mm512_castsi512_pd(_mm512_add_epi64(
        _mm512_castpd_si512(v), _mm512_slli_epi64::<52>(_mm512_castpd_si512(t)))),
    field: |v| _mm512_castsi512_pd(_mm512_or_si512(
        _mm512_srli_epi64::<52>(_mm512_castpd_si512(v)), _mm512_castpd_si512(_mm512_set1_pd(UNITS)))),
    recip: |v| _mm512_cvtps_pd(_mm256_div_ps(_mm256_set1_ps(1.0), _mm512_cvtpd_ps(v))),
    lookup: |table, t| {
        // First and second numbers apart: loads and shuffles that leave the loop.
        let p: *const f64 = table.as_ptr().cast();
        let (a, b) = (_mm512_loadu_pd(p), _mm512_loadu_pd(p.add(8)));
        let (c, d) = (_mm512_loadu_pd(p.add(16)), _mm512_loadu_pd(p.add(24)));
        let first = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
        let second = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
        let (a1, c1) = (_mm512_permutex2var_pd(a, first, b), _mm512_permutex2var_pd(c, first, d));
        let (a2, c2) = (_mm512_permutex2var_pd(a, second, b), _mm512_permutex2var_pd(c, second, d));
        let i = _mm512_castpd_si512(t);
        (_mm512_permutex2var_pd(a1, i, c1), _mm512_permutex2var_pd(a2, i, c2))
    },
    sixteenths: |v, t| _mm512_castsi512_pd(_mm512_add_epi64(
        _mm512_castpd_si512(v), _mm512_slli_epi64::<48>(_mm512_castpd_si512(t)))));

/// The element of a row that the last four bits of `index` say; `upper` says, in its sign, whether it
/// lies in the upper half.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn look_up((index, upper): (__m256i, __m256), row: &[f32; 16]) -> __m256 {
    // SAFETY: the processor has AVX2; both reads lie within the row.
    unsafe {
        let low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(row.as_ptr()), index);
        let high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(row.as_ptr().add(8)), index);
        _mm256_blendv_ps(low, high, upper)
    }
}

/// The lower (0) or upper (1) words of the lanes of two registers, in turns.
#[cfg(feature = "half")]
const fn words(half: u16) -> [u16; 32] {
    let mut index = [0; 32];
    let mut i = 0;
    while i < 16 {
        index[2 * i] = 2 * i as u16 + half;
        index[2 * i + 1] = 32 + 2 * i as u16 + half;
        i += 1;
    }
    index
}

/// The two halves of an f32 register, and half types.
///
/// bf16 numbers lie in pairs in lanes of 32 bits: a register of the even ones and one of the odd
/// ones need no shuffle. They are rounded in lanes of 16 bits, both registers at once: the upper
/// half rounds up if the lower one is more than `0x8000`, or is that and the upper one is odd; so
/// if `lower | (upper & 1)` is more than `0x8000`.
macro_rules! register32 {
    ($t:ident, $wide:ident, widen: |$wv:ident| $widen:expr, narrow: |$nl:ident, $nh:ident| $narrow:expr,
     pick: $pick:ty, |$kv:ident| $picked:expr, four: |$fp:ident, $ft:ident| $four:expr, short: |$hv:ident, $ht:ident| $short:expr,
     octave: |$ov:ident| $octave:expr, shifted: |$sv:ident, $st:ident| $shifted:expr
     $(, unscale_tail: |$uv:ident| $unscaled:expr)?
     $(, load_bf16: |$lb:ident| $load_bf16:expr, store_bf16: |$pb:ident, $eb:ident, $ob:ident| $store_bf16:expr,
     load_f16: |$lh:ident| $load_f16:expr, store_f16: |$ph:ident, $vh:ident| $store_f16:expr)?
     $(, copy: |$fc:ident, $tc:ident, $nc:ident| $copy_in:expr, $copy_out:expr)?) => {
        impl Lanes32 for $t {
            type Wide = $wide;
            type Pick = $pick;
            #[inline(always)]
            fn widen(self) -> ($wide, $wide) {
                let $wv = self.0;
                // SAFETY: `level` enters this code only where its instructions exist.
                let (lo, hi) = unsafe { $widen };
                ($wide(lo), $wide(hi))
            }
            #[inline(always)]
            #[allow(unused_unsafe, reason = "SSE2 has no such instruction")]
            fn pick(self) -> $pick {
                let $kv = self.0;
                // SAFETY: `level` enters this code only where its instructions exist.
                unsafe { $picked }
            }
            #[inline(always)]
            #[allow(unused_unsafe, reason = "SSE2 has no such instruction")]
            fn four(pick: $pick, four: &CoefficientQuad) -> [Self; 4] {
                let ($fp, $ft) = (pick, four);
                // SAFETY: `level` enters this code only where its instructions exist; `pick` gives
                // pieces of a table.
                let [a, b, c, d] = unsafe { $four };
                [Self(a), Self(b), Self(c), Self(d)]
            }
            #[inline(always)]
            #[allow(unused_unsafe, reason = "SSE2 has no such instruction")]
            fn lookup_short(self, row: &[f32; 16]) -> Self {
                let ($hv, $ht) = (self.0, row);
                // SAFETY: `level` enters this code only where its instructions exist; all reads lie
                // within the row.
                Self(unsafe { $short })
            }
            #[inline(always)]
            fn octave(self) -> Self {
                let $ov = self.0;
                // SAFETY: `level` enters this code only where its instructions exist.
                Self(unsafe { $octave })
            }
            #[inline(always)]
            fn add_shifted(self, t: Self) -> Self {
                let ($sv, $st) = (self.0, t.0);
                // SAFETY: `level` enters this code only where its instructions exist.
                Self(unsafe { $shifted })
            }
            $(
                /// The lesser of two representations: what is no subnormal number is less than its
                /// multiple of the least one.
                #[inline(always)]
                fn unscale_tail(self) -> Self {
                    let $uv = self;
                    // SAFETY: `level` enters this code only where its instructions exist.
                    Self(unsafe { $unscaled })
                }
            )?
            #[inline(always)]
            fn narrow(lo: $wide, hi: $wide) -> Self {
                let ($nl, $nh) = (lo.0, hi.0);
                // SAFETY: `level` enters this code only where its instructions exist.
                Self(unsafe { $narrow })
            }
            $(
                #[cfg(feature = "half")]
                #[inline(always)]
                unsafe fn load_bf16(p: *const half::bf16) -> [Self; 2] {
                    let $lb = p;
                    // SAFETY: `level` enters this code only where its instructions exist; `p` is
                    // valid for reading `2 N` numbers.
                    let (even, odd) = unsafe { $load_bf16 };
                    [Self(even), Self(odd)]
                }
                #[cfg(feature = "half")]
                #[inline(always)]
                unsafe fn store_bf16([even, odd]: [Self; 2], p: *mut half::bf16) {
                    let ($pb, $eb, $ob) = (p, even.0, odd.0);
                    // SAFETY: `level` enters this code only where its instructions exist; `p` is
                    // valid for writing `2 N` numbers.
                    unsafe { $store_bf16 }
                }
                #[cfg(feature = "half")]
                #[inline(always)]
                unsafe fn load_f16(p: *const half::f16) -> [Self; 2] {
                    let $lh = p;
                    // SAFETY: `level` enters this code only where its instructions exist, F16C
                    // included; `p` is valid for reading `2 N` numbers.
                    let first = Self(unsafe { $load_f16 });
                    let $lh = p.wrapping_add(Self::N);
                    // SAFETY: `level` enters this code only where its instructions exist, F16C
                    // included; `p` is valid for reading `2 N` numbers.
                    [first, Self(unsafe { $load_f16 })]
                }
                #[cfg(feature = "half")]
                #[inline(always)]
                unsafe fn store_f16(v: [Self; 2], p: *mut half::f16) {
                    let ($ph, $vh) = (p, v[0].0);
                    // SAFETY: `level` enters this code only where its instructions exist, F16C
                    // included; `p` is valid for writing `2 N` numbers.
                    unsafe { $store_f16 }
                    let ($ph, $vh) = (p.wrapping_add(Self::N), v[1].0);
                    // SAFETY: `level` enters this code only where its instructions exist, F16C
                    // included; `p` is valid for writing `2 N` numbers.
                    unsafe { $store_f16 }
                }
            )?
            $(
                #[cfg(feature = "half")]
                #[inline(always)]
                unsafe fn copy_in(from: *const u16, to: *mut u16, n: usize) {
                    let ($fc, $tc, $nc) = (from, to, n);
                    // SAFETY: `level` enters this code only where its instructions exist; `from` is
                    // valid for reading `n` words, and the buffer `to` holds `2 N`.
                    unsafe { $copy_in }
                }
                #[cfg(feature = "half")]
                #[inline(always)]
                unsafe fn copy_out(from: *const u16, to: *mut u16, n: usize) {
                    let ($fc, $tc, $nc) = (from, to, n);
                    // SAFETY: `level` enters this code only where its instructions exist; the
                    // buffer `from` holds `2 N` words, and `to` is valid for writing `n`.
                    unsafe { $copy_out }
                }
            )?
        }
    };
}

register32!(F32x4, F64x2,
    widen: |v| (_mm_cvtps_pd(v), _mm_cvtps_pd(_mm_movehl_ps(v, v))),
    narrow: |lo, hi| _mm_movelh_ps(_mm_cvtpd_ps(lo), _mm_cvtpd_ps(hi)),
    pick: [usize; 4], |v| {
        let i = _mm_and_si128(_mm_castps_si128(v), _mm_set1_epi32(15));
        let (a, b) = (_mm_cvtsi128_si64(i) as usize, _mm_cvtsi128_si64(_mm_unpackhi_epi64(i, i)) as usize);
        [a & 15, a >> 32, b & 15, b >> 32]
    },
    four: |p, four| {
        let t = &four.by_piece;
        let (a, b) = (_mm_loadu_ps(t[p[0]].as_ptr()), _mm_loadu_ps(t[p[1]].as_ptr()));
        let (c, d) = (_mm_loadu_ps(t[p[2]].as_ptr()), _mm_loadu_ps(t[p[3]].as_ptr()));
        let (ab, cd) = (_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(c, d));
        let (ab2, cd2) = (_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(c, d));
        [_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab), _mm_movelh_ps(ab2, cd2), _mm_movehl_ps(cd2, ab2)]
    },
    short: |v, t| _mm_set_ps(
        t[(_mm_cvtsi128_si32(_mm_shuffle_epi32::<3>(_mm_castps_si128(v))) & 15) as usize],
        t[(_mm_cvtsi128_si32(_mm_shuffle_epi32::<2>(_mm_castps_si128(v))) & 15) as usize],
        t[(_mm_cvtsi128_si32(_mm_shuffle_epi32::<1>(_mm_castps_si128(v))) & 15) as usize],
        t[(_mm_cvtsi128_si32(_mm_castps_si128(v)) & 15) as usize]),
    octave: |v| _mm_castsi128_ps(_mm_srli_epi32::<21>(_mm_castps_si128(v))),
    shifted: |v, t| _mm_castsi128_ps(_mm_add_epi32(
        _mm_castps_si128(v), _mm_slli_epi32::<19>(_mm_castps_si128(t)))));
register32!(F32x8, F64x4,
    widen: |v| (_mm256_cvtps_pd(_mm256_castps256_ps128(v)), _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(v))),
    narrow: |lo, hi| _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(_mm256_cvtpd_ps(lo)), _mm256_cvtpd_ps(hi)),
    pick: (__m256i, __m256), |v| {
        let i = _mm256_castps_si256(v);
        (i, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(i)))
    },
    four: |p, four| {
        let t = &four.by_coefficient;
        [look_up(p, &t[0]), look_up(p, &t[1]), look_up(p, &t[2]), look_up(p, &t[3])]
    },
    short: |v, t| {
        let i = _mm256_castps_si256(v);
        look_up((i, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(i))), t)
    },
    octave: |v| _mm256_castsi256_ps(_mm256_srli_epi32::<21>(_mm256_castps_si256(v))),
    shifted: |v, t| _mm256_castsi256_ps(_mm256_add_epi32(
        _mm256_castps_si256(v), _mm256_slli_epi32::<19>(_mm256_castps_si256(t)))),
    unscale_tail: |v| {
        let normal = v.max(Self::splat(LIFTED_NORMAL)) * Self::splat(TAIL_UNSCALE);
        let least = _mm256_cvtps_epi32((v * Self::splat(OF_LEAST)).0);
        _mm256_castsi256_ps(_mm256_min_epu32(_mm256_castps_si256(normal.0), least))
    },
    load_bf16: |p| {
        let both = _mm256_loadu_si256(p.cast());
        let upper = _mm256_set1_epi32(0xFFFF_0000_u32.cast_signed());
        (
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(both)),
            _mm256_castsi256_ps(_mm256_and_si256(both, upper)),
        )
    },
    store_bf16: |p, even, odd| {
        let (even, odd) = (_mm256_castps_si256(even), _mm256_castps_si256(odd));
        let upper = _mm256_blend_epi16::<0b1010_1010>(_mm256_srli_epi32::<16>(even), odd);
        let lower = _mm256_blend_epi16::<0b1010_1010>(even, _mm256_slli_epi32::<16>(odd));
        let one = _mm256_set1_epi16(1);
        let lower = _mm256_or_si256(lower, _mm256_and_si256(upper, one));
        let carry = _mm256_srli_epi16::<15>(_mm256_subs_epu16(lower, one));
        _mm256_storeu_si256(p.cast(), _mm256_add_epi16(upper, carry));
    },
    load_f16: |p| _mm256_cvtph_ps(_mm_loadu_si128(p.cast())),
    store_f16: |p, v| _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)));
register32!(F32x16, F64x8,
    widen: |v| (_mm512_cvtps_pd(_mm512_castps512_ps256(v)), _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(v))),
    narrow: |lo, hi| _mm512_insertf32x8::<1>(_mm512_castps256_ps512(_mm512_cvtpd_ps(lo)), _mm512_cvtpd_ps(hi)),
    pick: __m512i, |v| _mm512_castps_si512(v),
    four: |i, four| {
        let t = &four.by_coefficient;
        [
            _mm512_permutexvar_ps(i, _mm512_loadu_ps(t[0].as_ptr())),
            _mm512_permutexvar_ps(i, _mm512_loadu_ps(t[1].as_ptr())),
            _mm512_permutexvar_ps(i, _mm512_loadu_ps(t[2].as_ptr())),
            _mm512_permutexvar_ps(i, _mm512_loadu_ps(t[3].as_ptr())),
        ]
    },
    short: |v, t| _mm512_permutexvar_ps(_mm512_castps_si512(v), _mm512_loadu_ps(t.as_ptr())),
    octave: |v| _mm512_castsi512_ps(_mm512_srli_epi32::<21>(_mm512_castps_si512(v))),
    shifted: |v, t| _mm512_castsi512_ps(_mm512_add_epi32(
        _mm512_castps_si512(v), _mm512_slli_epi32::<19>(_mm512_castps_si512(t)))),
    unscale_tail: |v| {
        let normal = v.max(Self::splat(LIFTED_NORMAL)) * Self::splat(TAIL_UNSCALE);
        let least = _mm512_cvtps_epi32((v * Self::splat(OF_LEAST)).0);
        _mm512_castsi512_ps(_mm512_min_epu32(_mm512_castps_si512(normal.0), least))
    },
    load_bf16: |p| {
    let both = _mm512_loadu_si512(p.cast());
    let upper = _mm512_set1_epi32(0xFFFF_0000_u32.cast_signed());
    (
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(both)),
        _mm512_castsi512_ps(_mm512_and_si512(both, upper)),
    )
},
store_bf16: |p, even, odd| {
    let (even, odd) = (_mm512_castps_si512(even), _mm512_castps_si512(odd));
    let (lower, upper) = (const { words(0) }, const { words(1) });
    let lower = _mm512_loadu_si512(lower.as_ptr().cast());
    let upper = _mm512_loadu_si512(upper.as_ptr().cast());
    let lower = _mm512_permutex2var_epi16(even, lower, odd);
    let upper = _mm512_permutex2var_epi16(even, upper, odd);
    let one = _mm512_set1_epi16(1);
    // `a & b | c` bit by bit is 0xEA.
    let lower = _mm512_ternarylogic_epi32::<0xEA>(upper, one, lower);
    let carry = _mm512_srli_epi16::<15>(_mm512_subs_epu16(lower, one));
    _mm512_storeu_si512(p.cast(), _mm512_add_epi16(upper, carry));
},
load_f16: |p| _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())),
store_f16: |p, v| _mm256_storeu_si256(p.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)),
copy: |from, to, n| {
    let all = _mm512_maskz_loadu_epi16(u32::MAX >> (32 - n), from.cast());
    _mm512_storeu_si512(to.cast(), all);
}, {
    // By halves, as f16 was stored.
    let mask = u32::MAX >> (32 - n);
    let first = _mm256_loadu_si256(from.cast());
    _mm256_mask_storeu_epi16(to.cast(), mask as u16, first);
    let second = _mm256_loadu_si256(from.add(16).cast());
    _mm256_mask_storeu_epi16(to.wrapping_add(16).cast(), (mask >> 16) as u16, second);
});

impl Partial for F32x4 {}
impl Partial for F32x8 {
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize, rest: f32) -> Self {
        // SAFETY: `level` enters this code only where its instructions exist; `p` is valid for
        // reading `n` numbers, and other lanes are not read.
        Self(unsafe {
            let mask = first_lanes(n);
            let v = _mm256_maskload_ps(p, mask);
            _mm256_blendv_ps(_mm256_set1_ps(rest), v, _mm256_castsi256_ps(mask))
        })
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize) {
        // SAFETY: `level` enters this code only where its instructions exist; `p` is valid for
        // writing `n` numbers, and other lanes are not written.
        unsafe { _mm256_maskstore_ps(p, first_lanes(n), self.0) }
    }
}
impl Partial for F32x16 {
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize, rest: f32) -> Self {
        // SAFETY: `level` enters this code only where its instructions exist; `p` is valid for
        // reading `n` numbers, and other lanes are not read.
        Self(unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(rest), ((1u32 << n) - 1) as u16, p) })
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize) {
        // SAFETY: `level` enters this code only where its instructions exist; `p` is valid for
        // writing `n` numbers, and other lanes are not written.
        unsafe { _mm512_mask_storeu_ps(p, ((1u32 << n) - 1) as u16, self.0) }
    }
}

/// The first `n <= 8` lanes.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn first_lanes(n: usize) -> __m256i {
    const LANES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: `n` is at most 8, so that the load lies within the array; the processor has AVX2.
    unsafe { _mm256_loadu_si256(LANES.as_ptr().add(8 - n).cast()) }
}
