//! What gradients by parameters take over the gradient by the input alone, in one run:
//! `cargo run --release -p nonlin-testkit --bin gradients`.
//!
//! For each function and type, on one thread: nanoseconds an element of `backward`, of `backward` with the
//! gradient by one value of each parameter, and their ratio, first on 2^14 elements, which stay in the
//! second cache, then on 2^24. Both take turns, write one array, and of each the best turn counts.
//!
//! Some functions have quick kernels for f32 at their default parameters alone, where no parameter stays that
//! is learned. So there are rows for the default values, and rows for nine tenths of them.

use core::cell::RefCell;
use core::hint::black_box;
use nonlin::{Element, Exec, Function, GatedFunction};
use std::time::Instant;

/// Nanoseconds of the best call of each, in turns.
fn turns<const N: usize>(rounds: usize, mut calls: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut best = [f64::INFINITY; N];
    for round in 0..rounds {
        for (call, best) in calls.iter_mut().zip(&mut best) {
            let start = Instant::now();
            let mut n = 0;
            while n < 2 || start.elapsed().as_micros() < 400 {
                call();
                n += 1;
            }
            if round > 0 {
                *best = best.min(start.elapsed().as_nanos() as f64 / f64::from(n));
            }
        }
    }
    best
}

/// Array lengths and rounds.
const SIZES: [(usize, usize); 2] = [(1 << 14, 40), (1 << 24, 6)];

fn numbers<T: Element>(n: usize) -> Vec<T> {
    (0..n).map(|i| T::from_f64((i * 7919 % n) as f64 / n as f64 * 10.0 - 5.0)).collect()
}

/// The part of the default values that the second rows have.
const LEARNED: f64 = 0.9;

fn print(name: &str, rows: &[[f64; 2]]) {
    print!("{name:<44}");
    for [alone, both] in rows {
        print!("{alone:9.3}{both:9.3}{:7.2}", both / alone);
    }
    println!();
}

/// Values as they are printed.
fn list(values: &[f64]) -> String {
    values.iter().map(|v| format!("{v:.4} ")).collect()
}

fn elementwise<T: Element>(f: &Function) {
    let learnable = f.learnable().expect("parameters and a short program");
    let values: Vec<T> = f.values().iter().map(|v| T::from_f64(*v)).collect();
    let rows = SIZES.map(|(n, rounds)| {
        let (x, g, exec) = (numbers::<T>(n), vec![T::from_f64(0.75); n], Exec::new());
        let (dx, mut dv) = (RefCell::new(x.clone()), values.clone());
        let at = learnable.at(&values, &[n], 0).expect("values that fit");
        let all = turns(
            rounds,
            [&mut || f.backward_with(&exec, &x, &g, black_box(&mut dx.borrow_mut())), &mut || {
                at.backward_with(&exec, &x, &g, black_box(&mut dx.borrow_mut()), &mut dv)
            }],
        );
        all.map(|ns| ns / n as f64)
    });
    print(&format!("{} {} {}", T::NAME, f.name(), list(f.values())), &rows);
}

fn gated<T: Element>(f: &GatedFunction) {
    let learnable = f.learnable().expect("parameters and a short program");
    let values: Vec<T> = f.values().iter().map(|v| T::from_f64(*v)).collect();
    let rows = SIZES.map(|(n, rounds)| {
        let (a, g, exec) = (numbers::<T>(n), vec![T::from_f64(0.75); n], Exec::new());
        let b: Vec<T> = a.iter().rev().copied().collect();
        let (da, db) = (RefCell::new(a.clone()), RefCell::new(b.clone()));
        let mut dv = values.clone();
        let at = learnable.at(&values, &[n], 0).expect("values that fit");
        let all = turns(
            rounds,
            [
                &mut || {
                    f.backward_with(
                        &exec,
                        &a,
                        &b,
                        &g,
                        black_box(&mut da.borrow_mut()),
                        &mut db.borrow_mut(),
                    )
                },
                &mut || {
                    at.backward_with(
                        &exec,
                        &a,
                        &b,
                        &g,
                        black_box(&mut da.borrow_mut()),
                        &mut db.borrow_mut(),
                        &mut dv,
                    );
                },
            ],
        );
        all.map(|ns| ns / n as f64)
    });
    print(&format!("{} {} {}", T::NAME, f.name(), list(f.values())), &rows);
}

fn main() -> Result<(), nonlin::Error> {
    print!("{:<44}", "ns an element");
    for (n, _) in SIZES {
        print!("{:>9}{:>9}{:>7}", format!("2^{}", n.ilog2()), "learned", "ratio");
    }
    println!();
    let names = ["prelu", "elu", "celu", "softplus", "aglu", "snake", "pelu", "srelu", "dyt"];
    let mut all = names.map(nonlin::get).into_iter().collect::<Result<Vec<_>, _>>()?;
    all.push(Function::parse("x * sigmoid(beta * x); beta = 1.5")?);
    let mut unit = GatedFunction::parse("a * sigmoid(beta * b); beta = 1.5")?;
    for learned in [false, true] {
        println!("{}", if learned { "at learned values" } else { "at default values" });
        if learned {
            for f in &mut all {
                let values: Vec<f64> = f.values().iter().map(|v| v * LEARNED).collect();
                *f = f.with_values(&values)?;
            }
            unit = unit.with("beta", 1.5 * LEARNED)?;
        }
        for f in &all {
            elementwise::<f32>(f);
        }
        for f in &all {
            elementwise::<f64>(f);
        }
        gated::<f32>(&unit);
        gated::<f64>(&unit);
    }
    Ok(())
}
