//! What the block engine takes over compiled kernels, in one run:
//! `cargo run --release -p nonlin-testkit --bin engine`.
//!
//! For each function, level, type and direction: nanoseconds an element of the kernel that the compiler
//! makes of the definition in f64 lanes, of the engine that runs the program recorded from it, and their
//! ratio. Both take turns, and of each the best turn counts; arrays stay in the second cache. Then
//! nanoseconds of a call on 16 elements.

use core::hint::black_box;
use nonlin::internal::{f64_backward, f64_forward, wide_backward, wide_forward};
use nonlin::real::{Prim, Real};
use nonlin::{Claims, Elementwise, Exec, Function, Level, Meta};
use std::time::Instant;

/// `x - tanh(x)`.
#[derive(Clone, Copy)]
struct Tanhshrink;
impl Elementwise for Tanhshrink {
    const META: Meta = Meta::new("tanhshrink", "x - tanh(x)");
    type Params<T: Copy> = [T; 0];
    const CLAIMS: Claims = Claims::new((f64::NEG_INFINITY, f64::INFINITY), (1.0, 1.0));
    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        x - x.tanh()
    }
}

/// `x tanh(x)`.
#[derive(Clone, Copy)]
struct Lisht;
impl Elementwise for Lisht {
    const META: Meta = Meta::new("lisht", "x * tanh(x)");
    type Params<T: Copy> = [T; 0];
    const CLAIMS: Claims = Claims::new((f64::INFINITY, f64::INFINITY), (-1.0, 1.0));
    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        let j = x.jet(Prim::Tanh);
        x.scaled(j.v, j.v_lo, j.k)
    }
}

/// `x / (1 + |x|)`.
#[derive(Clone, Copy)]
struct Softsign;
impl Elementwise for Softsign {
    const META: Meta = Meta::new("softsign", "x / (1 + abs(x))");
    type Params<T: Copy> = [T; 0];
    const CLAIMS: Claims = Claims::new((-1.0, 1.0), (0.0, 0.0));
    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        x / (x.abs() + x.lit(1.0))
    }
}

/// A polynomial of degree 5 over one of degree 4, by Horner's rule.
#[derive(Clone, Copy)]
struct Rational;
impl Elementwise for Rational {
    const META: Meta = Meta::new("rational", "(0.03 + 0.6 * x + 0.5 * x^2) / (1 + abs(x))");
    type Params<T: Copy> = [T; 0];
    const CLAIMS: Claims = Claims::new((f64::NEG_INFINITY, f64::INFINITY), (1.0, 1.0));
    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        horner(x, &[0.0030, 0.0218, 0.2384, 0.5000, 0.6200, 0.0302])
            / horner(x, &[0.0130, 0.0010, 0.2383, 0.0020, 1.0000])
    }
}

#[inline(always)]
fn horner<T: Real, const N: usize>(x: T, c: &[f64; N]) -> T {
    let mut y = x.lit(c[0]);
    let mut i = 1;
    while i < N {
        y = y * x + x.lit(c[i]);
        i += 1;
    }
    y
}

/// Numbers in the array.
const N: usize = 16 * 1024;

/// Nanoseconds of a call of each, in turns.
fn turns(calls: &mut [&mut dyn FnMut()]) -> Vec<f64> {
    let mut best = vec![f64::INFINITY; calls.len()];
    for round in 0..30 {
        for (call, best) in calls.iter_mut().zip(&mut best) {
            let start = Instant::now();
            let mut n = 0;
            while n < 2 || start.elapsed().as_micros() < 400 {
                call();
                n += 1;
            }
            let ns = start.elapsed().as_nanos() as f64 / f64::from(n);
            if round > 0 {
                *best = best.min(ns);
            }
        }
    }
    best
}

fn compare(what: &str, compiled: &mut dyn FnMut(), engine: &mut dyn FnMut(), n: usize) {
    let ns = turns(&mut [compiled, engine]);
    let [a, b] = [ns[0] / n as f64, ns[1] / n as f64];
    println!("  {what:<14} {a:7.3} {b:7.3} {:6.2}", b / a);
}

fn rows<A: Elementwise>() {
    let f = Function::record_definition::<A>().expect("a short definition");
    let x: Vec<f32> = (0..N).map(|i| (i * 7919 % N) as f32 / N as f32 * 10.0 - 5.0).collect();
    let (g, mut y, mut z) = (vec![0.75f32; N], vec![0.0f32; N], vec![0.0f32; N]);
    let wide: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
    let (grad, mut p, mut q) = (vec![0.75f64; N], vec![0.0f64; N], vec![0.0f64; N]);
    for level in [Level::Avx512, Level::Avx2, Level::Neon].into_iter().filter(|l| l.available()) {
        let exec = Exec::new().level(level).expect("it is available");
        println!("{} {level}", A::META.name);
        let params = f.values();
        compare(
            "f32 forward",
            &mut || wide_forward::<A>(level, params, &x, black_box(&mut y)),
            &mut || f.forward_with(&exec, &x, black_box(&mut z)),
            N,
        );
        compare(
            "f32 backward",
            &mut || wide_backward::<A>(level, params, &x, &g, black_box(&mut y)),
            &mut || f.backward_with(&exec, &x, &g, black_box(&mut z)),
            N,
        );
        compare(
            "f64 forward",
            &mut || f64_forward::<A>(level, params, &wide, black_box(&mut p)),
            &mut || f.forward_with(&exec, &wide, black_box(&mut q)),
            N,
        );
        compare(
            "f64 backward",
            &mut || f64_backward::<A>(level, params, &wide, &grad, black_box(&mut p)),
            &mut || f.backward_with(&exec, &wide, &grad, black_box(&mut q)),
            N,
        );
        compare(
            "16 f32",
            &mut || {
                for _ in 0..64 {
                    wide_forward::<A>(level, params, &x[..16], black_box(&mut y[..16]));
                }
            },
            &mut || {
                for _ in 0..64 {
                    f.forward_with(&exec, &x[..16], black_box(&mut z[..16]));
                }
            },
            64,
        );
    }
}

fn main() {
    println!("  {:<14} {:>7} {:>7} {:>6}", "ns", "compiled", "engine", "ratio");
    rows::<nonlin::Sigmoid>();
    rows::<nonlin::Silu>();
    rows::<nonlin::Mish>();
    rows::<nonlin::Gelu>();
    rows::<nonlin::Softplus>();
    rows::<Tanhshrink>();
    rows::<Lisht>();
    rows::<Softsign>();
    rows::<Rational>();
}
