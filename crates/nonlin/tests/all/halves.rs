//! f16 and bf16 to f32 and back, as the crate `half` converts them.
#![allow(unsafe_code)]

use core::fmt::Debug;

use crate::common::{each_register_set, levels};
use nonlin::internal::{Half, Lanes, Simd, from_f32, to_f32};
use nonlin::{bf16, f16};

/// What the crate `half` says of a type.
trait Peer: Half + PartialEq + Debug {
    fn bits(bits: u16) -> Self;
    fn wide(self) -> f32;
    fn round(v: f32) -> Self;
    fn nan(self) -> bool;
}

macro_rules! peer {
    ($($t:ident)*) => {$(
        impl Peer for $t {
            fn bits(bits: u16) -> Self {
                $t::from_bits(bits)
            }
            fn wide(self) -> f32 {
                self.to_f32()
            }
            fn round(v: f32) -> Self {
                $t::from_f32(v)
            }
            fn nan(self) -> bool {
                self.is_nan()
            }
        }
    )*};
}
peer!(f16 bf16);

/// Floats around every number of a half type and every midpoint, and some NaN.
fn floats<H: Peer>() -> impl Iterator<Item = f32> {
    (0..=u16::MAX).flat_map(|b| {
        let (v, next) = (H::bits(b).wide(), H::bits(b.wrapping_add(1)).wide());
        let middle = (f64::from(v) + f64::from(next)) as f32 / 2.0;
        [v, middle, f32::from_bits(middle.to_bits() ^ 1), f32::from_bits(v.to_bits() ^ 1)]
    })
}

fn slices<H: Peer>() {
    for level in levels() {
        for b in 0..=u16::MAX {
            let mut y = [0.0];
            // SAFETY: one element behind each pointer; `levels` gives available ones.
            unsafe { to_f32(level, [H::bits(b)].as_ptr(), y.as_mut_ptr(), 1) }
            let exact = H::bits(b).wide();
            assert!(y[0].to_bits() == exact.to_bits() || y[0].is_nan() && exact.is_nan());
        }
        let x: Vec<f32> = floats::<H>().collect();
        let mut y = vec![H::bits(0); x.len()];
        // SAFETY: both arrays have `x.len()` elements; `levels` gives available ones.
        unsafe { from_f32(level, x.as_ptr(), y.as_mut_ptr(), x.len()) }
        for (x, y) in x.into_iter().zip(y) {
            assert!(y == H::round(x) || y.nan() && x.is_nan(), "{level} {x:e}: {y:?}");
        }
    }
}

/// Reads a pair of registers and writes it again, as the kernels do, and rounds pairs of f32.
fn registers<S: Simd, H: Peer>(set: &str) {
    let lanes = <S::F32 as Lanes>::N;
    let all: Vec<H> = (0..=u16::MAX).map(H::bits).collect();
    for x in all.chunks_exact(2 * lanes) {
        let mut y = vec![H::bits(0); 2 * lanes];
        // SAFETY: a pair of registers has `2 * lanes` numbers, as both arrays have.
        unsafe { H::store(H::load::<S::F32>(x.as_ptr()), y.as_mut_ptr()) }
        for (x, y) in x.iter().zip(&y) {
            assert!(x == y || x.nan() && y.nan(), "{set} {x:?}: {y:?}");
        }
    }
    // Which number each lane of the pair holds.
    let numbers: Vec<H> = (0..2 * lanes).map(|i| H::round(i as f32)).collect();
    let mut order = vec![0.0f32; 2 * lanes];
    // SAFETY: a pair of registers has `2 * lanes` numbers, as both arrays have.
    unsafe {
        let [a, b] = H::load::<S::F32>(numbers.as_ptr());
        a.store(order.as_mut_ptr());
        b.store(order.as_mut_ptr().add(lanes));
    }
    // No operation on bf16 numbers gives a NaN whose upper half alone is all ones.
    let plain = |x: f32| if x.is_nan() { f32::from_bits(x.to_bits() & 0xFFFF_0000) } else { x };
    let x: Vec<f32> = floats::<H>().map(plain).collect();
    for x in x.chunks_exact(2 * lanes) {
        let source: Vec<f32> = order.iter().map(|i| x[*i as usize]).collect();
        let mut y = vec![H::bits(0); 2 * lanes];
        // SAFETY: `source` and `y` have `2 * lanes` numbers, two registers.
        unsafe {
            let a = <S::F32 as Lanes>::load(source.as_ptr());
            let b = <S::F32 as Lanes>::load(source.as_ptr().add(lanes));
            H::store([a, b], y.as_mut_ptr());
        }
        for (x, y) in x.iter().zip(y) {
            assert!(y == H::round(*x) || y.nan() && x.is_nan(), "{set} {x:e}: {y:?}");
        }
    }
}

#[test]
fn registers_as_the_crate_half_converts() {
    each_register_set!(registers::<f16>());
    each_register_set!(registers::<bf16>());
}

#[test]
fn slices_as_the_crate_half_converts() {
    slices::<f16>();
    slices::<bf16>();
}
