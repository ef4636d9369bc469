//! Another floating-point mode of the thread changes no bit, and is there again after the call.

#![allow(unsafe_code)]

use crate::common::*;
use nonlin::{Exec, functions, gated_functions};
use std::arch::asm;

/// Flush to zero, subnormal inputs as zeros, rounding up, no masks of traps taken away.
const ODD: u32 = 0x1F80 | 0x8040 | 0x4000;
const DEFAULT: u32 = 0x1F80;

fn mode() -> u32 {
    let mut m = 0u32;
    // SAFETY: every x86-64 processor has MXCSR; the instruction writes the 4 bytes of `m`.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut m) }
    m
}

fn set(m: u32) {
    // SAFETY: the instruction reads the 4 bytes of `m`, a value that MXCSR may have.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const m) }
}

/// What `f` computes in `mode`, and what it leaves of it; the thread is as it was.
fn within<R>(odd: u32, f: impl FnOnce() -> R) -> (R, u32) {
    let before = mode();
    set(odd);
    let result = f();
    let after = mode();
    set(before);
    (result, after)
}

/// Subnormal numbers, tails and ordinary numbers.
fn numbers<T: Number>() -> Vec<T> {
    let mut x = nonlin_testkit::samples::specials::<T>();
    x.extend(nonlin_testkit::samples::uniform::<T>(-T::BEND, T::BEND, 300, 1));
    x.extend(nonlin_testkit::samples::uniform::<T>(-4.0, 4.0, 300, 2));
    x
}

fn every_call<T: Number>(r: &mut Report) {
    let x = numbers::<T>();
    let mut execs: Vec<Exec> = levels().into_iter().map(at).collect();
    execs.push(Exec::new().block(100));
    #[cfg(feature = "rayon")]
    execs.push(Exec::new().block(100).parallel());
    for exec in execs {
        for f in functions() {
            let all = || {
                let mut out = [(); 4].map(|()| vec![T::default(); x.len()]);
                let [y, d, b, s] = &mut out;
                f.forward_with(&exec, &x, y);
                f.derivative_with(&exec, &x, d);
                f.backward_with(&exec, &x, &x, b);
                f.second_derivative_with(&exec, &x, s);
                out
            };
            let want = all();
            for odd in [ODD, DEFAULT, DEFAULT | 0x3F, ODD | 0x3F, 0x2000 | DEFAULT] {
                let (got, after) = within(odd, all);
                r.need(after == odd, || format!("{} {exec:?}: {odd:x}, {after:x}", f.name()));
                for (k, (a, b)) in want.iter().zip(&got).enumerate() {
                    let i = first_difference(a, b);
                    r.need(i.is_none(), || {
                        format!("{} {} {exec:?} {odd:x} ({k}): {i:?}", f.name(), T::NAME_OF)
                    });
                }
            }
        }
        for u in gated_functions() {
            let all = || {
                let mut out = [(); 3].map(|()| vec![T::default(); x.len()]);
                let [y, da, db] = &mut out;
                u.forward_with(&exec, &x, &x, y);
                u.backward_with(&exec, &x, &x, &x, da, db);
                out
            };
            let (want, (got, after)) = (all(), within(ODD, all));
            let same = want.iter().zip(&got).all(|(a, b)| first_difference(a, b).is_none());
            r.need(same && after == ODD, || format!("{} {exec:?}", u.name()));
        }
    }
}

#[test]
fn no_bit_depends_on_it() {
    let mut r = Report::default();
    every_call::<f32>(&mut r);
    every_call::<f64>(&mut r);
    every_call::<nonlin::f16>(&mut r);
    r.finish();
}

/// Threads that help with a call compute in the default mode, and keep their own.
#[cfg(feature = "rayon")]
#[test]
fn helpers_have_modes_of_their_own() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).start_handler(|_| set(ODD));
    let pool = pool.build().unwrap();
    let (x, mut y) = (vec![1f32; 1 << 20], vec![0f32; 1 << 20]);
    let seen = std::sync::Mutex::new(Vec::new());
    pool.install(|| {
        Exec::new().parallel().apply(&x, &mut y, |_, _| {
            seen.lock().unwrap().push((std::thread::current().id(), mode()));
            std::thread::sleep(std::time::Duration::from_micros(200));
        });
    });
    let seen = seen.into_inner().unwrap();
    assert!(seen.iter().any(|(thread, _)| *thread != seen[0].0), "nobody helped");
    for (thread, mode) in seen {
        assert_eq!(mode & !0x3F, DEFAULT, "{thread:?}");
    }
    for after in pool.broadcast(|_| mode()) {
        assert_eq!(after, ODD);
    }
}

/// Sums over a channel, parameters rounded to f32, slopes drawn.
#[test]
fn nor_of_what_goes_on_beside_kernels() {
    let x = nonlin_testkit::samples::uniform::<f32>(-4.0, 4.0, 999, 5);
    let rrelu = nonlin::Rrelu.training(7, 0).unwrap();
    let weight = [0.1f32, 0.2, 0.3];
    let leaky = nonlin::get("leaky_relu").unwrap().with("negative_slope", 0.1).unwrap();
    let elu = nonlin::Elu.learnable().unwrap();
    let all = || {
        let mut out = [(); 6].map(|()| vec![0.0f32; x.len()]);
        let [a, b, c, d, e, f] = &mut out;
        let (mut dweight, mut dalpha) = ([0.0; 3], [0.0; 3]);
        elu.at(&weight, &[333, 3], 1).unwrap().backward(&x, &x, f, &mut dalpha);
        let prelu = nonlin::Prelu.per_channel(&weight, &[333, 3], 1).unwrap();
        prelu.forward(&x, a);
        prelu.backward(&x, &x, b, &mut dweight);
        rrelu.forward(&x, c);
        leaky.forward_with(&Exec::new().stream_from(0), &x, d);
        nonlin::Silu.second_derivative(&x, e);
        (out, [dweight, dalpha])
    };
    let (want, (got, after)) = (all(), within(ODD, all));
    let same = want.0.iter().zip(&got.0).all(|(a, b)| first_difference(a, b).is_none());
    assert!(same && want.1 == got.1 && after == ODD, "{:?} {:?} {after:x}", want.1, got.1);
}

/// Kernels raise no flag that a caller would take for its own.
#[test]
fn flags_stay() {
    let (_, after) =
        within(DEFAULT, || nonlin::Gelu.value(-300.0f32) + nonlin::Mish.value(1e30f32));
    assert_eq!(after & !0x20, DEFAULT, "the sum alone is inexact");
}
