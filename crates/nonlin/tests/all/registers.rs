//! Every operation of every register type against plain numbers, lane by lane, on hard inputs: the
//! portable registers, those of each level of this processor, and pairs of them.
#![allow(unsafe_code)]

use core::fmt::Debug;
use core::ops::{Add, Div, Mul, Neg, Sub};

use crate::common::each_register_set;
use nonlin::internal::{Lanes, Lanes32, Lanes64, Partial, Simd, Twice};

/// The number in a lane.
trait Scalar:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// Zeros, subnormal numbers, ends of the range, infinities, NaN of either sign, neighbours of 1,
    /// numbers that are ties when they are rounded to a shorter type.
    fn hard() -> Vec<Self>;
    fn pattern(self) -> u64;
    fn nan(self) -> bool;
    fn fused(self, a: Self, b: Self) -> Self;
    fn magnitude(self) -> Self;
    fn root(self) -> Self;
    fn with_sign_of(self, sign: Self) -> Self;
}

macro_rules! scalar {
    ($t:ident, $bits:ident, [$($more:expr),*]) => {
        impl Scalar for $t {
            fn hard() -> Vec<$t> {
                const ONE: $bits = (1.0 as $t).to_bits();
                const SIGN: $bits = 1 << ($bits::BITS - 1);
                let above = [
                    0.0, 1.0, 1.5, 2.0, 0.1, 3.75, 1e10, 1e-10, $t::MIN_POSITIVE, $t::MAX, $t::INFINITY,
                    $t::from_bits(1), $t::from_bits($t::MIN_POSITIVE.to_bits() - 1),
                    $t::from_bits(ONE + 1), $t::from_bits(ONE - 1), $t::NAN,
                    $t::from_bits($t::NAN.to_bits() | 0x15), $($more),*
                ];
                above.into_iter().flat_map(|v| [v, $t::from_bits(v.to_bits() ^ SIGN)]).collect()
            }
            fn pattern(self) -> u64 {
                u64::from(self.to_bits())
            }
            fn nan(self) -> bool {
                self.is_nan()
            }
            fn fused(self, a: Self, b: Self) -> Self {
                self.mul_add(a, b)
            }
            fn magnitude(self) -> Self {
                self.abs()
            }
            fn root(self) -> Self {
                self.sqrt()
            }
            fn with_sign_of(self, sign: Self) -> Self {
                self.copysign(sign)
            }
        }
    };
}
scalar!(f32, u32, [1.0 + f32::EPSILON * 5.0, 8388608.5, 5e-39, 65519.9, 65520.0, 65536.0, 1e-7]);
scalar!(
    f64,
    u64,
    [
        // Ties of f32: between numbers, at the largest, at half the least.
        1.0 + 1.0 / 16_777_216.0,
        1.0 + 3.0 / 16_777_216.0,
        3.4028235677973366e38,
        7.006492321624085e-46,
        2.1019476964872256e-45,
        1e300,
        1e-300,
        4503599627370496.5
    ]
);

/// All lanes of a register.
fn lanes<V: Lanes>(v: V) -> Vec<V::Elem>
where
    V::Elem: Scalar,
{
    let mut to = vec![V::Elem::default(); V::N];
    // SAFETY: `to` has `N` numbers.
    unsafe { v.store(to.as_mut_ptr()) }
    to
}

/// `N` numbers of `source` from `start` on, again from its beginning where it ends.
fn register<V: Lanes>(source: &[V::Elem], start: usize) -> V {
    let part: Vec<V::Elem> = (start..start + V::N).map(|i| source[i % source.len()]).collect();
    // SAFETY: `part` has `N` numbers.
    unsafe { V::load(part.as_ptr()) }
}

/// How results are compared.
#[derive(Clone, Copy, PartialEq)]
enum By {
    /// All bits.
    Bits,
    /// All bits, but any NaN for a NaN.
    Value,
}

fn equal<E: Scalar>(by: By, got: E, want: E) -> bool {
    got.pattern() == want.pattern() || (by == By::Value && got.nan() && want.nan())
}

/// Compares an operation on every three hard numbers; `keep` says which are in its domain.
fn compare<V: Lanes>(
    name: &str,
    by: By,
    keep: impl Fn(V::Elem, V::Elem, V::Elem) -> bool,
    operation: impl Fn(V, V, V) -> V,
    wanted: impl Fn(V::Elem, V::Elem, V::Elem) -> V::Elem,
) where
    V::Elem: Scalar,
{
    let hard = V::Elem::hard();
    let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
    for (i, &x) in hard.iter().enumerate() {
        for (j, &y) in hard.iter().enumerate() {
            // Every pair with a few of the third ones, which are others for each pair.
            for k in 0..5 {
                let z = hard[(i * 7 + j * 3 + k * 11) % hard.len()];
                if keep(x, y, z) {
                    a.push(x);
                    b.push(y);
                    c.push(z);
                }
            }
        }
    }
    assert!(!a.is_empty(), "{name}: no input");
    for start in (0..a.len()).step_by(V::N) {
        let got = lanes(operation(register(&a, start), register(&b, start), register(&c, start)));
        for (lane, got) in got.into_iter().enumerate() {
            let i = (start + lane) % a.len();
            let want = wanted(a[i], b[i], c[i]);
            assert!(
                equal(by, got, want),
                "{name}, lane {lane} of {}: of {:?}, {:?}, {:?} it is {got:?}, not {want:?}",
                V::N,
                a[i],
                b[i],
                c[i]
            );
        }
    }
}

/// One test for each operation of [`Lanes`]: in registers, and in one number.
macro_rules! operations {
    ($($name:ident, $by:ident: |$a:ident, $b:ident, $c:ident| $operation:expr, $wanted:expr;)*) => {$(
        #[test]
        fn $name() {
            fn of<V: Lanes>(set: &str)
            where
                V::Elem: Scalar,
            {
                #[allow(unused_variables)]
                compare::<V>(
                    &format!("{set} {}", stringify!($name)),
                    By::$by,
                    |_, _, _| true,
                    |$a: V, $b: V, $c: V| $operation,
                    |$a, $b, $c| ($wanted)(V::FUSED),
                );
            }
            fn all<S: Simd>(set: &str) {
                of::<S::F64>(set);
                of::<Twice<S::F64>>(set);
                of::<S::Block64>(set);
                of::<S::F32>(set);
                of::<Twice<S::F32>>(set);
                of::<S::Block32>(set);
                of::<S::Tabled32>(set);
            }
            each_register_set!(all());
        }
    )*};
}

operations! {
    add, Value: |a, b, c| a + b, |_| a + b;
    subtract, Value: |a, b, c| a - b, |_| a - b;
    multiply, Value: |a, b, c| a * b, |_| a * b;
    divide, Value: |a, b, c| a / b, |_| a / b;
    negate, Bits: |a, b, c| -a, |_| -a;
    mul_add, Value: |a, b, c| a.mul_add(b, c), |fused| if fused { a.fused(b, c) } else { a * b + c };
    abs, Bits: |a, b, c| a.abs(), |_| a.magnitude();
    sqrt, Value: |a, b, c| a.sqrt(), |_| a.root();
    copysign, Bits: |a, b, c| a.copysign(b), |_| a.with_sign_of(b);
    max, Bits: |a, b, c| a.max(b), |_| if b > a { b } else { a };
    min, Bits: |a, b, c| a.min(b), |_| if b < a { b } else { a };
    greater, Bits: |a, b, c| V::select(a.gt(b), c, a), |_| if a > b { c } else { a };
    is_nan, Bits: |a, b, c| V::select(a.is_nan(), b, c), |_| if a.nan() { b } else { c };
    either, Bits: |a, b, c| V::select(V::either(a.gt(b), b.is_nan()), c, a),
        |_| if a > b || b.nan() { c } else { a };
}

/// Loads and stores are shown by every test above to be inverse; here at every alignment, and that
/// they touch `N` numbers only.
fn memory<V: Lanes>(set: &str)
where
    V::Elem: Scalar,
{
    let hard = V::Elem::hard();
    let from: Vec<V::Elem> = (0..V::N + 8).map(|i| hard[i * 5 % hard.len()]).collect();
    for at in 0..8 {
        let mut to = vec![V::Elem::default(); V::N + 8];
        // SAFETY: `N` numbers lie behind each of the first 8.
        unsafe { V::load(from.as_ptr().add(at)).store(to.as_mut_ptr().add(at)) }
        for (i, (got, from)) in to.iter().zip(&from).enumerate() {
            let inside = (at..at + V::N).contains(&i);
            let want = if inside { *from } else { V::Elem::default() };
            assert!(equal(By::Bits, *got, want), "{set}: {i} of {} from {at}", V::N);
        }
    }
    let mut aligned = vec![V::Elem::default(); V::N + 64];
    let at = aligned.as_ptr().align_offset(256);
    // SAFETY: the pointer is aligned to 256 bytes, a register or more, and `N` numbers lie behind it.
    unsafe { register::<V>(&from, 0).store_non_temporal(aligned.as_mut_ptr().add(at)) }
    for (i, got) in aligned.iter().enumerate() {
        let inside = (at..at + V::N).contains(&i);
        let want = if inside { from[i - at] } else { V::Elem::default() };
        assert!(equal(By::Bits, *got, want), "{set}: store_non_temporal wrote {got:?} at {i}");
    }
}

/// Masks as a whole: true in one lane, in all but one, in none, in all.
fn masks<V: Lanes>(set: &str)
where
    V::Elem: Scalar,
{
    let (zero, one) = (V::Elem::default(), V::Elem::hard()[2]);
    for lane in 0..=V::N {
        let single: Vec<V::Elem> = (0..V::N).map(|i| if i == lane { one } else { zero }).collect();
        let (v, nothing, full) = (register::<V>(&single, 0), V::splat(zero), V::splat(one));
        assert!(lanes(full).into_iter().all(|v| equal(By::Bits, v, one)), "{set}: splat");
        let here = lane < V::N;
        assert_eq!(V::any(v.gt(nothing)), here, "{set}: any, lane {lane}");
        assert_eq!(V::all(v.gt(nothing)), here && V::N == 1, "{set}: all, lane {lane}");
        assert_eq!(V::all(full.gt(v)), !here, "{set}: all but lane {lane}");
        assert_eq!(V::any(full.gt(v)), !here || V::N > 1, "{set}: any but lane {lane}");
    }
}

#[test]
fn memory_and_masks() {
    fn all<S: Simd>(set: &str) {
        memory::<S::F64>(set);
        memory::<Twice<S::F64>>(set);
        memory::<S::F32>(set);
        memory::<Twice<S::F32>>(set);
        masks::<S::F64>(set);
        masks::<Twice<S::F64>>(set);
        masks::<S::F32>(set);
        masks::<Twice<S::F32>>(set);
    }
    each_register_set!(all());
}

/// One test for each operation of [`Lanes64`] on numbers that `keep` lets pass.
macro_rules! operations64 {
    ($($name:ident, $by:ident: |$a:ident, $b:ident, $c:ident| $keep:expr, $operation:expr, $wanted:expr;)*) => {$(
        #[test]
        fn $name() {
            fn of<V: Lanes64>(set: &str) {
                #[allow(unused_variables)]
                compare::<V>(
                    &format!("{set} {}", stringify!($name)),
                    By::$by,
                    |$a: f64, $b: f64, $c: f64| $keep,
                    |$a: V, $b: V, $c: V| $operation,
                    |$a: f64, $b: f64, $c: f64| $wanted,
                );
            }
            fn all<S: Simd>(set: &str) {
                of::<S::F64>(set);
                of::<Twice<S::F64>>(set);
                of::<S::Block64>(set);
            }
            each_register_set!(all());
        }
    )*};
}

/// Neither the product nor its rounding error overflows or underflows, nor do parts of the factors.
fn plain(a: f64, b: f64) -> bool {
    let good = |v: f64| v == 0.0 || (v.abs() > 1e-140 && v.abs() < 1e140);
    good(a) && good(b)
}

/// Sixteen pairs of numbers.
fn pairs() -> [[f64; 2]; 16] {
    core::array::from_fn(|i| [i as f64 + 0.25, -1.0 / (i as f64 + 1.0)])
}

fn low(t: f64, bits: u32) -> u64 {
    t.to_bits() << (64 - bits)
}

operations64! {
    add_exponent, Bits: |a, b, c| true, a.add_exponent(b),
        f64::from_bits(a.to_bits().wrapping_add(low(b, 12)));
    add_sixteenths, Bits: |a, b, c| true, a.add_sixteenths(b),
        f64::from_bits(a.to_bits().wrapping_add(low(b, 16)));
    exponent_field, Bits: |a, b, c| true, a.exponent_field(), (a.to_bits() >> 52) as f64;
    each_second, Bits: |a, b, c| true, a.each(turned)[1], turned(a)[1];
    each_first, Bits: |a, b, c| true, b.each(turned)[0], turned(b)[0];
    recip_f32, Value: |a, b, c| (a as f32).is_finite() && a as f32 != 0.0, a.recip_f32(),
        f64::from(1.0 / a as f32);
    two_prod_high, Bits: |a, b, c| plain(a, b), a.two_prod(b).0, a * b;
    two_prod_low, Value: |a, b, c| plain(a, b), a.two_prod(b).1 + V::splat(0.0),
        a.mul_add(b, -(a * b)) + 0.0;
    residual, Value: |a, b, c| plain(a, b) && a / b * b == a && b != 0.0,
        V::residual(a, a / b, b) + V::splat(0.0), (-(a / b)).mul_add(b, a) + 0.0;
    two_sum_high, Value: |a, b, c| true, a.two_sum(b).0, a + b;
    two_sum_exact, Value: |a, b, c| plain(a, b), a.two_sum(b).1 + V::splat(0.0), {
        // Without the larger operand nothing is lost.
        let (s, large, small) = if a.abs() >= b.abs() { (a + b, a, b) } else { (a + b, b, a) };
        small - (s - large) + 0.0
    };
    quick_two_sum, Value: |a, b, c| plain(a, b) && a.abs() >= b.abs(), a.quick_two_sum(b).1, b - ((a + b) - a);
    lookup_first, Bits: |a, b, c| true, V::lookup(&pairs(), a).0, pairs()[(a.to_bits() & 15) as usize][0];
    lookup_second, Bits: |a, b, c| true, V::lookup(&pairs(), a).1, pairs()[(a.to_bits() & 15) as usize][1];
    round_to_f32, Value: |a, b, c| true, through_f32(a), f64::from(a as f32);
}

fn turned(v: f64) -> [f64; 2] {
    [f64::from_bits(v.to_bits().rotate_left(7)), f64::from_bits(!v.to_bits())]
}

/// Where no instruction may be used, a square root is made of integers.
#[test]
fn sqrt_by_integers() {
    let mut xs = f64::hard();
    xs.extend(nonlin_testkit::samples::stratified::<f64>(50, 3));
    for x in xs {
        let (got, want) = (nonlin::internal::sqrt_by_integers(x), x.sqrt());
        assert!(equal(By::Value, got, want), "of {x:e} it is {got:e}, not {want:e}");
    }
}

/// Written as f32 and read again.
fn through_f32<V: Lanes64>(v: V) -> V {
    let mut to = vec![0.0f32; V::N];
    // SAFETY: `to` has `N` numbers.
    unsafe {
        v.store_f32(to.as_mut_ptr());
        V::load_f32(to.as_ptr())
    }
}

/// One test for each operation of [`Lanes32`].
macro_rules! operations32 {
    ($($name:ident, $by:ident: |$a:ident, $b:ident, $c:ident| $keep:expr, $operation:expr, $wanted:expr;)*) => {$(
        #[test]
        fn $name() {
            fn of<V: Lanes32>(set: &str) {
                #[allow(unused_variables)]
                compare::<V>(
                    &format!("{set} {}", stringify!($name)),
                    By::$by,
                    |$a: f32, $b: f32, $c: f32| $keep,
                    |$a: V, $b: V, $c: V| $operation,
                    |$a: f32, $b: f32, $c: f32| $wanted,
                );
            }
            fn all<S: Simd>(set: &str) {
                of::<S::F32>(set);
                of::<Twice<S::F32>>(set);
                of::<S::Block32>(set);
                of::<S::Tabled32>(set);
            }
            each_register_set!(all());
        }
    )*};
}

/// Sixteen numbers, others for each `k`.
fn row(k: usize) -> [f32; 16] {
    core::array::from_fn(|i| 100.0 * k as f32 + i as f32 + 0.5)
}

fn piece(v: f32) -> usize {
    (v.to_bits() & 15) as usize
}

fn look_up<V: Lanes32>(v: V, k: usize) -> V {
    V::four(v.pick(), &nonlin::internal::four([row(0), row(1), row(2), row(3)]))[k]
}

/// An integer from -800 to 800 that depends on all bits of `v`.
fn exponent(v: f32) -> f32 {
    (i64::from(v.to_bits().wrapping_mul(0x9E37_79B1) >> 8) % 1601 - 800) as f32
}

/// `f` of each lane.
fn each<V: Lanes32>(v: V, f: impl Fn(f32) -> f32) -> V {
    let all: Vec<f32> = lanes(v).into_iter().map(f).collect();
    register(&all, 0)
}

operations32! {
    widen_and_narrow, Value: |a, b, c| true, { let (lo, hi) = a.widen(); V::narrow(lo, hi) }, a;
    narrow_rounds, Value: |a, b, c| true, {
        let ((p, q), (r, s)) = (a.widen(), b.widen());
        V::narrow(p * r, q * s)
    }, (f64::from(a) * f64::from(b)) as f32;
    four_0, Bits: |a, b, c| true, look_up(a, 0), row(0)[piece(a)];
    four_1, Bits: |a, b, c| true, look_up(a, 1), row(1)[piece(a)];
    four_2, Bits: |a, b, c| true, look_up(a, 2), row(2)[piece(a)];
    four_3, Bits: |a, b, c| true, look_up(a, 3), row(3)[piece(a)];
    lookup_short, Bits: |a, b, c| true, a.lookup_short(&row(7)), row(7)[piece(a)];
    octave, Bits: |a, b, c| true, a.octave(), f32::from_bits(a.to_bits() >> 21);
    add_shifted, Bits: |a, b, c| true, a.add_shifted(b),
        f32::from_bits(a.to_bits().wrapping_add(b.to_bits() << 19));
    unscale_tail, Bits: |a, b, c| a.is_sign_positive() && !a.is_nan(), a.unscale_tail(),
        (f64::from(a) * 2f64.powi(-100)) as f32;
    scale2, Value: |a, b, c| true, a.scale2(each(b, exponent)),
        (f64::from(a) * 2f64.powi(exponent(b) as i32)) as f32;
}

/// The first `n` numbers of a register, read and written from arrays that are no longer.
fn parts<V: Partial>(set: &str) {
    let hard = f32::hard();
    for n in 0..=V::N {
        let from: Box<[f32]> = (0..n).map(|i| hard[i * 3 % hard.len()]).collect();
        // SAFETY: `from` has `n` numbers.
        let v = unsafe { V::load_first(from.as_ptr(), n, -7.5) };
        for (i, got) in lanes(v).into_iter().enumerate() {
            let want = from.get(i).copied().unwrap_or(-7.5);
            assert!(equal(By::Bits, got, want), "{set}: load_first of {n}, lane {i}: {got}");
        }
        let full = register::<V>(&hard, n);
        let mut to = vec![1.25f32; V::N + 4];
        // SAFETY: `to` has more than `n` numbers.
        unsafe { full.store_first(to.as_mut_ptr(), n) }
        for (i, got) in to.into_iter().enumerate() {
            let want = if i < n { hard[(n + i) % hard.len()] } else { 1.25 };
            assert!(equal(By::Bits, got, want), "{set}: store_first of {n}, number {i}: {got}");
        }
    }
}

/// Words of a half type, copied in and out of a buffer of a pair of registers.
#[cfg(feature = "half")]
fn words<V: Lanes32>(set: &str) {
    for n in 1..=2 * V::N {
        let from: Box<[u16]> = (0..n as u16).map(|i| i * 3 + 1).collect();
        let mut buffer = vec![7u16; 2 * V::N];
        // SAFETY: `from` has `n` words, `buffer` a pair of registers of them.
        unsafe { V::copy_in(from.as_ptr(), buffer.as_mut_ptr(), n) }
        assert_eq!(buffer[..n], from[..], "{set}: copy_in of {n}");
        let full: Box<[u16]> = (0..2 * V::N as u16).map(|i| i * 5 + 2).collect();
        let mut to = vec![9u16; 2 * V::N + 3];
        // SAFETY: `full` has a pair of registers of words, `to` more than `n`.
        unsafe { V::copy_out(full.as_ptr(), to.as_mut_ptr(), n) }
        assert_eq!(to[..n], full[..n], "{set}: copy_out of {n}");
        assert!(to[n..].iter().all(|w| *w == 9), "{set}: copy_out of {n} writes more");
    }
}

#[test]
fn parts_of_registers() {
    fn all<S: Simd>(set: &str) {
        parts::<S::F32>(set);
        parts::<S::Block32>(set);
        parts::<Twice<S::F32>>(set);
        #[cfg(feature = "half")]
        words::<S::F32>(set);
    }
    each_register_set!(all());
}
