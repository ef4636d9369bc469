//! Error and speed on this machine, now.

use std::hint::black_box;
use std::time::{Duration, Instant};

use nonlin::Exec;
use nonlin::real::Dd;

use crate::chosen::Chosen;
use crate::input::Cell;

/// The worst error of f and of f′ in a sample.
#[derive(Clone, Copy, Debug)]
pub struct Errors {
    /// Of f, in units of the last place.
    pub value: f64,
    /// Of f′.
    pub slope: f64,
    /// How many inputs were tried.
    pub inputs: usize,
}

/// A sample is as large as this time allows.
const PATIENCE: Duration = Duration::from_millis(250);
const MOST: u64 = 1 << 15;

/// The error at inputs from all over the range of `f32`; `None` without a reference.
#[must_use]
pub fn errors_f32(f: &Chosen) -> Option<Errors> {
    let input = |i: u64| match i % 2 {
        0 => f32::from_bits((spread(i) >> 32) as u32),
        _ => near(i) as f32,
    };
    errors(f, input, |exact| spacing(exact, 24, -126, 127))
}

/// The error at inputs from all over the range of `f64`; `None` without a reference.
#[must_use]
pub fn errors_f64(f: &Chosen) -> Option<Errors> {
    let input = |i: u64| match i % 2 {
        0 => f64::from_bits(spread(i)),
        _ => near(i),
    };
    errors(f, input, |exact| spacing(exact, 53, -1022, 1023))
}

/// Multiples of the golden ratio of the range: the first so many are evenly spread, however
/// many there are.
fn spread(i: u64) -> u64 {
    i.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Between -16 and 16, where most functions bend.
fn near(i: u64) -> f64 {
    (spread(i) >> 11) as f64 / 2f64.powi(48) - 16.0
}

fn errors<T: Cell>(
    f: &Chosen,
    input: impl Fn(u64) -> T,
    spacing: impl Fn(f64) -> f64,
) -> Option<Errors> {
    let mut worst = Errors { value: 0.0, slope: 0.0, inputs: 0 };
    let start = Instant::now();
    for x in (0..MOST).map(input).filter(|x| x.to_f64().is_finite()) {
        let (value, slope) = f.reference(x)?;
        worst.value = worst.value.max(error(f.value(x).to_f64(), value, &spacing));
        worst.slope = worst.slope.max(error(f.slope(x).to_f64(), slope, &spacing));
        worst.inputs += 1;
        if worst.inputs.is_multiple_of(64) && start.elapsed() > PATIENCE {
            break;
        }
    }
    Some(worst)
}

/// `|got - exact|` in units of the last place of `exact`.
fn error(got: f64, exact: Dd, spacing: impl Fn(f64) -> f64) -> f64 {
    if exact.hi.is_nan() || got.is_nan() {
        return if exact.hi.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got == exact.hi && !exact.hi.is_finite() {
        return 0.0;
    }
    let unit = spacing(exact.hi);
    if got.is_infinite() && unit.is_infinite() && got.signum() == exact.hi.signum() {
        return 0.0;
    }
    ((got - exact.hi) - exact.lo).abs() / unit
}

/// The distance of neighbours around `exact` in a format with `digits` significant bits.
/// Infinite where `exact` rounds to infinity.
fn spacing(exact: f64, digits: i32, least: i32, most: i32) -> f64 {
    let exponent = match exact.abs() {
        0.0 => least,
        v if v < f64::MIN_POSITIVE => -1022,
        v => ((v.to_bits() >> 52) as i32) - 1023,
    };
    if exponent > most {
        return f64::INFINITY;
    }
    // 2 to a power that may be subnormal: in two steps.
    let power = exponent.max(least) - digits + 1;
    2f64.powi(power / 2) * 2f64.powi(power - power / 2)
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
            Chosen::Elementwise(f) => exec.forward(f, x, y),
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
    fn units_are_those_of_the_format() {
        let f32_unit = |v| spacing(v, 24, -126, 127);
        assert_eq!(f32_unit(1.0), f64::from(f32::EPSILON));
        assert_eq!(f32_unit(1.999), f64::from(f32::EPSILON));
        assert_eq!(f32_unit(0.0), f64::from(f32::from_bits(1)));
        assert_eq!(f32_unit(1e-40), f64::from(f32::from_bits(1)));
        assert!(f32_unit(1e39).is_infinite());
        assert_eq!(spacing(1.0, 53, -1022, 1023), f64::EPSILON);
        assert_eq!(spacing(0.0, 53, -1022, 1023), 5e-324);
        let exact = Dd { hi: 1.0, lo: 1e-17 };
        assert_eq!(error(1.0, exact, |_| 1e-16), 0.1);
        assert_eq!(error(f64::NAN, exact, |_| 1.0), f64::INFINITY);
        assert_eq!(error(f64::INFINITY, Dd::new(1e39), f32_unit), 0.0);
    }

    #[test]
    fn relu_is_exact() {
        let relu = Chosen::new("relu", &[]).unwrap();
        let errors = errors_f32(&relu).unwrap();
        assert!(errors.value == 0.0 && errors.slope == 0.0 && errors.inputs > 500);
        assert!(errors_f64(&relu).unwrap().value == 0.0);
        let speed = speed::<f32>(&relu);
        assert!(speed.nanoseconds > 0.0 && speed.copies > 0.0);
    }
}
