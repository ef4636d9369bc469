//! What gradients by parameters take over the gradient by the input alone, in one run:
//! `cargo run --release -p nonlin-testkit --bin gradients`.
//!
//! For each function and type, on one thread: nanoseconds an element of `backward`, of `backward` with the
//! gradient by one value of each parameter, and their ratio, first on 2^14 elements, which stay in the
//! second cache, then on 2^24. Both take turns, and of each the best turn counts.

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

fn print(name: &str, rows: &[[f64; 2]]) {
    print!("{name:<44}");
    for [alone, both] in rows {
        print!("{alone:9.3}{both:9.3}{:7.2}", both / alone);
    }
    println!();
}

fn elementwise<T: Element>(f: &Function) {
    let learnable = f.learnable().expect("parameters and a short program");
    let values: Vec<T> = f.values().iter().map(|v| T::from_f64(*v)).collect();
    let rows = SIZES.map(|(n, rounds)| {
        let (x, g, exec) = (numbers::<T>(n), vec![T::from_f64(0.75); n], Exec::new());
        let (mut dx, mut dx2, mut dv) = (x.clone(), x.clone(), values.clone());
        let at = learnable.at(&values, &[n], 0).expect("values that fit");
        let all = turns(
            rounds,
            [&mut || f.backward_with(&exec, &x, &g, black_box(&mut dx)), &mut || {
                at.backward_with(&exec, &x, &g, black_box(&mut dx2), &mut dv)
            }],
        );
        all.map(|ns| ns / n as f64)
    });
    print(&format!("{} {}", T::NAME, f.name()), &rows);
}

fn gated<T: Element>(f: &GatedFunction) {
    let learnable = f.learnable().expect("parameters and a short program");
    let values: Vec<T> = f.values().iter().map(|v| T::from_f64(*v)).collect();
    let rows = SIZES.map(|(n, rounds)| {
        let (a, g, exec) = (numbers::<T>(n), vec![T::from_f64(0.75); n], Exec::new());
        let b: Vec<T> = a.iter().rev().copied().collect();
        let (mut da, mut db, mut dv) = (a.clone(), b.clone(), values.clone());
        let (mut da2, mut db2) = (a.clone(), b.clone());
        let at = learnable.at(&values, &[n], 0).expect("values that fit");
        let all = turns(
            rounds,
            [&mut || f.backward_with(&exec, &a, &b, &g, black_box(&mut da), &mut db), &mut || {
                at.backward_with(&exec, &a, &b, &g, black_box(&mut da2), &mut db2, &mut dv);
            }],
        );
        all.map(|ns| ns / n as f64)
    });
    print(&format!("{} {}", T::NAME, f.name()), &rows);
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
    for f in &all {
        elementwise::<f32>(f);
    }
    for f in &all {
        elementwise::<f64>(f);
    }
    let unit = GatedFunction::parse("a * sigmoid(beta * b); beta = 1.5")?;
    gated::<f32>(&unit);
    gated::<f64>(&unit);
    Ok(())
}
