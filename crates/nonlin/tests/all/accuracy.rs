//! Values and derivatives against the definition in double-double numbers.

use crate::common::*;
use nonlin::{Function, bf16, f16, functions};
use nonlin_testkit::samples::{half_patterns, uniform};

const F32: Bound = Bound { value: 1.0, slope: 2.0 };
const F64: Bound = Bound { value: 2.0, slope: 4.0 };
/// f32 at other parameters than the default.
const OTHER: Bound = Bound { value: 1.0, slope: 1.0 };
const HALF: Bound = Bound { value: 0.501, slope: 0.501 };

/// What the definition declares, which must not be more than the library promises.
fn declared((value, slope): (f64, f64), promised: Bound) -> Bound {
    assert!(
        value <= promised.value && slope <= promised.slope,
        "a definition declares more than is promised"
    );
    Bound { value, slope }
}

fn all(check: impl Fn(&mut Report, &Function)) {
    let mut r = Report::default();
    functions().iter().for_each(|f| check(&mut r, f));
    r.finish();
}

#[test]
fn single() {
    all(|r, f| {
        check_accuracy::<f32>(r, f, &inputs(f, 32, 8000), declared(f.claims().bounds.f32, F32))
    });
}

#[test]
fn double() {
    all(|r, f| {
        let xs = inputs(f, 8, 12_000);
        assert!(xs.len() >= 1 << 16, "{} numbers", xs.len());
        check_accuracy::<f64>(r, f, &xs, declared(f.claims().bounds.f64, F64))
    });
}

#[test]
fn every_f16() {
    all(|r, f| check_accuracy::<f16>(r, f, &half_patterns(), HALF));
}

#[test]
fn every_bf16() {
    all(|r, f| check_accuracy::<bf16>(r, f, &half_patterns(), HALF));
}

/// Parameters to test besides the default: small, large, negative where that is allowed.
fn grid(f: &Function) -> Vec<&'static [f64]> {
    match f.name() {
        "celu" => vec![&[1e-6], &[1e-3], &[0.1], &[0.5], &[2.0], &[10.0], &[1e6], &[1e20]],
        "elu" => {
            vec![&[-1.5], &[-1e-6], &[0.0], &[1e-20], &[1e-3], &[0.3], &[2.0], &[1e5], &[1e20]]
        }
        "hard_sigmoid" => {
            vec![&[0.2, 0.5], &[1.0, 0.0], &[1e-6, 0.5], &[10.0, -3.0], &[0.3, 0.75], &[1e6, 2.0]]
        }
        "leaky_relu" | "prelu" => vec![&[-0.5], &[0.0], &[1e-30], &[0.2], &[1.0], &[3.0], &[1e4]],
        "rrelu" => vec![&[0.0, 0.0], &[-0.5, 0.25], &[0.1, 0.1], &[0.5, 4.0]],
        "silu" => vec![
            &[-2.0],
            &[0.0],
            &[1e-3],
            &[0.5],
            &[1.702],
            &[10.0],
            &[1e4],
            &[-1e-3],
            &[1e-6],
            &[-1e6],
            &[1e12],
        ],
        "softplus" => vec![&[1e-6], &[1e-3], &[0.1], &[0.5], &[2.0], &[20.0], &[1e4], &[1e12]],
        _ => vec![],
    }
}

/// Inputs as for the defaults, and those that the parameters stretch to where the function bends,
/// saturates and becomes subnormal.
fn reaching<T: Number>(f: &Function, values: &[f64], per_exponent: u64) -> Vec<T> {
    let mut out = inputs(f, per_exponent, 1200);
    for &v in values.iter().filter(|v| **v != 0.0) {
        for width in [v.abs(), 1.0 / v.abs()] {
            for end in [3.0, 40.0, 110.0, 760.0] {
                let end = (end * width).min(1e30);
                out.extend(uniform::<T>(-end, end, 300, 7));
            }
        }
    }
    out
}

#[test]
fn other_parameters() {
    let mut r = Report::default();
    for f in functions() {
        let grid = grid(f);
        assert_eq!(grid.is_empty(), f.params().count() == 0, "declare parameters for {}", f.name());
        for values in grid {
            let g = f.with_values(values).unwrap();
            print!("{values:?} ");
            check_accuracy::<f32>(&mut r, &g, &reaching(f, values, 6), OTHER);
            print!("{values:?} ");
            check_accuracy::<f64>(&mut r, &g, &reaching(f, values, 2), F64);
        }
    }
    r.finish();
}
