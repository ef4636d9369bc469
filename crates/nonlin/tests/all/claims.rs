//! What definitions claim: monotone, range, slope, minimum, zeros, kinks, bounds over intervals.

use crate::common::*;
use nonlin::{Function, bf16, f16, functions};
use nonlin_testkit::samples::half_patterns;

fn all(check: impl Fn(&mut Report, &Function)) {
    let mut r = Report::default();
    functions().iter().for_each(|f| check(&mut r, f));
    r.finish();
}

#[test]
fn monotone() {
    all(|r, f| {
        check_monotone(r, f, &inputs::<f32>(f, 64, 60_000));
        check_monotone(r, f, &inputs::<f64>(f, 8, 60_000));
    });
}

#[test]
fn range_is_never_left() {
    all(|r, f| {
        check_range(r, f, &inputs::<f32>(f, 256, 200_000));
        check_range(r, f, &inputs::<f64>(f, 32, 200_000));
        check_range(r, f, &half_patterns::<f16>());
        check_range(r, f, &half_patterns::<bf16>());
    });
}

#[test]
fn range_and_slope_by_intervals() {
    all(check_hull);
}

#[test]
fn bounds_hold() {
    all(check_bounds);
}

#[test]
fn minimum() {
    all(check_minimum);
}

#[test]
fn zeros() {
    all(check_zeros);
}

#[test]
fn slope_zeros() {
    all(check_slope_zeros);
}

#[test]
fn kinks() {
    all(check_kinks);
}
