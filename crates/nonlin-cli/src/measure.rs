//! Error and speed on this machine, now.

use std::hint::black_box;
use std::time::{Duration, Instant};

use nonlin::Exec;

use crate::chosen::Chosen;
use crate::input::Cell;
use crate::verify;

/// The worst error of f and of f′ in a sample, in units of the last place.
#[derive(Clone, Copy, Debug)]
pub struct Errors {
    /// The error of f.
    pub value: f64,
    /// The error of f′, or of both partial derivatives; near an interior zero of f′ as the contract says.
    pub slope: f64,
    /// How many inputs were tried.
    pub inputs: u64,
}

/// The errors over a small sample of what `nonlin verify` takes; `None` for row-wise functions.
#[must_use]
pub fn errors<T: Cell>(f: &Chosen) -> Option<Errors> {
    const POINTS: u64 = 8192;
    let exec = Exec::new();
    match f {
        Chosen::Elementwise(f) => {
            let [value, slope, _] = verify::sampled(f, &exec, &verify::sample::<T>(f, POINTS));
            Some(Errors { value: value.worst, slope: slope.worst, inputs: value.inputs })
        }
        Chosen::Gated(g) => {
            let [value, a, b] = verify::gated::<T>(g, &exec, POINTS);
            Some(Errors { value: value.worst, slope: a.worst.max(b.worst), inputs: value.inputs })
        }
        Chosen::Rows(_) => None,
    }
}

/// How long one element takes, and how that compares to copying it.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Nanoseconds an element, one thread.
    pub nanoseconds: f64,
    /// The time as a multiple of that of copying the array.
    pub copies: f64,
}

/// Elements of the arrays that speed is measured on.
pub const ELEMENTS: usize = 1 << 20;

/// The speed of f on arrays of `T`.
#[must_use]
pub fn speed<T: Cell>(f: &Chosen) -> Speed {
    const N: usize = ELEMENTS;
    const ROW: usize = 1024;
    let exec = Exec::new();
    let x: Vec<T> = (0..N).map(|i| T::from_f64((i % 4001) as f64 / 500.0 - 4.0)).collect();
    let other = x.clone();
    let mut y = vec![T::default(); N];
    let copy = shortest(|| black_box(&mut y).copy_from_slice(black_box(&x)));
    let call = shortest(|| {
        let (x, y) = (black_box(&x), black_box(&mut y));
        match f {
            Chosen::Elementwise(f) => f.forward_with(&exec, x, y),
            Chosen::Gated(f) => f.forward_with(&exec, x, &other, y),
            Chosen::Rows(f) => {
                // The shape fits, so this cannot fail.
                let _ = f.forward(&exec, x, &[N / ROW, ROW, 1], y);
            }
        }
    });
    let nanoseconds = call.as_secs_f64() * 1e9 / N as f64;
    Speed { nanoseconds, copies: call.as_secs_f64() / copy.as_secs_f64().max(1e-9) }
}

/// The shortest of several runs: the one that nothing disturbed.
fn shortest(mut run: impl FnMut()) -> Duration {
    let (begin, mut best) = (Instant::now(), Duration::MAX);
    let mut runs = 0;
    while runs < 2 || begin.elapsed() < Duration::from_millis(60) {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed());
        runs += 1;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relu_is_exact() {
        let relu = Chosen::new("relu", &[]).unwrap();
        let single = errors::<f32>(&relu).unwrap();
        assert!(single.value == 0.0 && single.slope == 0.0 && single.inputs > 500);
        assert!(errors::<f64>(&relu).unwrap().value == 0.0);
        let speed = speed::<f32>(&relu);
        assert!(speed.nanoseconds > 0.0 && speed.copies > 0.0);
    }
}
