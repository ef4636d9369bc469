//! Times of kernels next to yardsticks, taken in turns.
//!
//! Everything that is compared runs in the same rounds, so that a disturbance hits all alike, and
//! the median round counts. Ratios are to `memcpy` of as many bytes as the kernel reads and writes.

use std::hint::black_box;
use std::time::Instant;

use nonlin::{Element, Exec};

use crate::chosen::Chosen;
use crate::input::Cell;

/// A measured call.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Name of the function or yardstick.
    pub name: String,
    /// `forward`, `backward`, `from output`, `in place` or `yardstick`.
    pub what: &'static str,
    /// Nanoseconds an element: the median round.
    pub nanoseconds: f64,
    /// The same, of the fastest round.
    pub fastest: f64,
    /// The median as a multiple of `memcpy` of as many bytes.
    pub copies: f64,
    /// Bytes read and written per nanosecond: GB/s.
    pub throughput: f64,
}

/// Elements to a row of a row-wise function.
pub const ROW: usize = 1024;
/// Rounds, of which the median counts.
const ROUNDS: usize = 31;
/// Seconds that one call takes in a round, at least.
const SLICE: f64 = 4e-4;

/// Something to be timed, and how many arrays it reads and writes.
struct Entrant<'a> {
    name: String,
    what: &'static str,
    arrays: usize,
    call: Box<dyn FnMut() + 'a>,
}

/// Pseudo-random numbers, normally distributed with deviation 3.
fn normal<T: Cell>(n: usize, mut seed: u64) -> Vec<T> {
    let mut uniform = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as f64 / f64::from(1 << 24)
    };
    (0..n).map(|_| T::from_f64(3.0 * ((0..12).map(|_| uniform()).sum::<f64>() - 6.0))).collect()
}

/// Times of the yardsticks and of every function in `chosen`, over arrays of `n` elements.
#[must_use]
pub fn run<T: Cell>(chosen: &[Chosen], exec: &Exec, n: usize) -> Vec<Timing> {
    let (x, g) = (normal::<T>(n, 1), normal::<T>(n, 2));
    // One output for each entrant would leave the cache; all share these.
    let outputs = Outputs { y: vec![T::default(); n].into(), z: vec![T::default(); n].into() };
    let mut entrants = yardsticks(&x, &outputs, exec);
    for f in chosen {
        entrants.extend(entries(f, &x, &g, &outputs, exec));
    }
    let times = rounds(&mut entrants);
    let copy = times[0].0;
    let size = size_of::<T>() as f64;
    let timing = |(e, (median, fastest)): (&Entrant<'_>, (f64, f64))| Timing {
        name: e.name.clone(),
        what: e.what,
        nanoseconds: median * 1e9 / n as f64,
        fastest: fastest * 1e9 / n as f64,
        copies: median / (copy * e.arrays as f64 / 2.0),
        throughput: e.arrays as f64 * size * n as f64 / median * 1e-9,
    };
    entrants.iter().zip(times).map(timing).collect()
}

/// Arrays that all entrants write to, one at a time.
struct Outputs<T> {
    y: std::cell::RefCell<Vec<T>>,
    z: std::cell::RefCell<Vec<T>>,
}

/// Median and least seconds of each entrant.
fn rounds(entrants: &mut [Entrant<'_>]) -> Vec<(f64, f64)> {
    let calls: Vec<u32> = entrants
        .iter_mut()
        .map(|e| {
            (e.call)(); // Pages and caches are warm.
            let start = Instant::now();
            (e.call)();
            (SLICE / start.elapsed().as_secs_f64().max(1e-9)).clamp(1.0, 1e6) as u32
        })
        .collect();
    let mut times = vec![Vec::with_capacity(ROUNDS); entrants.len()];
    for _ in 0..ROUNDS {
        for ((e, calls), times) in entrants.iter_mut().zip(&calls).zip(&mut times) {
            let start = Instant::now();
            (0..*calls).for_each(|_| (e.call)());
            times.push(start.elapsed().as_secs_f64() / f64::from(*calls));
        }
    }
    let summary = |mut t: Vec<f64>| {
        t.sort_by(f64::total_cmp);
        (t[ROUNDS / 2], t[0])
    };
    times.into_iter().map(summary).collect()
}

fn yardsticks<'a, T: Cell>(x: &'a [T], out: &'a Outputs<T>, exec: &Exec) -> Vec<Entrant<'a>> {
    let entrant = |name: &str, call: Box<dyn FnMut() + 'a>| Entrant {
        name: name.to_owned(),
        what: "yardstick",
        arrays: 2,
        call,
    };
    let relu = nonlin::Relu;
    let relu = nonlin::Activation::function(&relu);
    let (ordinary, streaming) = (exec.stream_from(usize::MAX), exec.stream_from(0));
    vec![
        entrant(
            "memcpy",
            Box::new(move || black_box(&mut *out.y.borrow_mut()).copy_from_slice(black_box(x))),
        ),
        entrant(
            "relu, ordinary stores",
            Box::new(move || {
                ordinary.forward(&relu, black_box(x), black_box(&mut out.y.borrow_mut()))
            }),
        ),
        entrant(
            "relu, streaming stores",
            Box::new(move || {
                streaming.forward(&relu, black_box(x), black_box(&mut out.y.borrow_mut()))
            }),
        ),
        entrant(
            "sigmoid, scalar std",
            Box::new(move || {
                for (y, x) in black_box(&mut *out.y.borrow_mut()).iter_mut().zip(black_box(x)) {
                    *y = T::from_f64(f64::from(1.0 / (1.0 + (-(x.to_f64() as f32)).exp())));
                }
            }),
        ),
    ]
}

fn entries<'a, T: Cell>(
    f: &Chosen,
    x: &'a [T],
    g: &'a [T],
    out: &'a Outputs<T>,
    exec: &Exec,
) -> Vec<Entrant<'a>> {
    let entrant = |what, arrays, call: Box<dyn FnMut() + 'a>| Entrant {
        name: f.meta().name.to_owned(),
        what,
        arrays,
        call,
    };
    let exec = *exec;
    match *f {
        Chosen::Elementwise(f) => [
            entrant(
                "forward",
                2,
                Box::new(move || {
                    exec.forward(&f, black_box(x), black_box(&mut out.y.borrow_mut()))
                }),
            ),
            entrant("in place", 2, Box::new(move || in_place(&exec, &f, &mut out.z.borrow_mut()))),
            entrant(
                "backward",
                3,
                Box::new(move || {
                    exec.backward(&f, black_box(x), g, black_box(&mut out.y.borrow_mut()));
                }),
            ),
        ]
        .into_iter()
        .chain(f.claims().from_output.map(|_| {
            let mut y = vec![T::default(); x.len()];
            exec.forward(&f, x, &mut y);
            let call = move || {
                // The function has it, so this cannot fail.
                let _ = exec.backward_from_output(
                    &f,
                    black_box(&y),
                    g,
                    black_box(&mut out.y.borrow_mut()),
                );
            };
            entrant("from output", 3, Box::new(call))
        }))
        .collect(),
        Chosen::Gated(f) => vec![
            entrant(
                "forward",
                3,
                Box::new(move || f.forward_with(&exec, black_box(x), g, &mut out.y.borrow_mut())),
            ),
            entrant(
                "backward",
                5,
                Box::new(move || {
                    let (mut y, mut z) = (out.y.borrow_mut(), out.z.borrow_mut());
                    f.backward_with(&exec, black_box(x), g, x, &mut y, &mut z);
                }),
            ),
        ],
        Chosen::Rows(f) => {
            let rows = x.len() / ROW;
            let shape = [rows, ROW, 1];
            vec![entrant(
                "forward",
                2,
                Box::new(move || {
                    let n = rows * ROW;
                    // The shape fits, so this cannot fail.
                    let _ =
                        f.forward(&exec, black_box(&x[..n]), &shape, &mut out.y.borrow_mut()[..n]);
                }),
            )]
        }
    }
}

/// In place, over what the last call left: the values of a function stay in its range.
fn in_place<T: Element>(exec: &Exec, f: &nonlin::Function, z: &mut [T]) {
    exec.forward_in_place(f, black_box(z));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_are_timed() {
        let chosen: Vec<Chosen> =
            ["relu", "swiglu", "softmax"].iter().map(|n| Chosen::new(n, &[]).unwrap()).collect();
        let timings = run::<f32>(&chosen, &Exec::new(), 2048);
        let names: Vec<String> = timings.iter().map(|t| format!("{} {}", t.name, t.what)).collect();
        for wanted in ["memcpy yardstick", "relu backward", "swiglu backward", "softmax forward"] {
            assert!(names.iter().any(|n| n == wanted), "{names:?}");
        }
        assert!((timings[0].copies - 1.0).abs() < 1e-12);
        assert!(timings.iter().all(|t| t.nanoseconds >= t.fastest && t.fastest > 0.0));
    }

    #[test]
    fn inputs_are_normal() {
        let x = normal::<f64>(10_000, 1);
        let mean = x.iter().sum::<f64>() / 1e4;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e4;
        assert!(mean.abs() < 0.1 && (variance.sqrt() - 3.0).abs() < 0.1, "{mean} {variance}");
    }
}
