//! Formulas, slopes, second derivatives, gradients.

use crate::common::*;
use nonlin::{Elementwise, Function, ParamList, bf16, f16, functions};
use nonlin_testkit::samples::uniform;

fn all(check: impl Fn(&mut Report, &Function)) {
    let mut r = Report::default();
    functions().iter().for_each(|f| check(&mut r, f));
    r.finish();
}

#[test]
fn textbook_formula() {
    all(check_formula);
    let mut r = Report::default();
    for (name, p) in [
        ("elu", -0.7),
        ("celu", 3.0),
        ("leaky_relu", -0.2),
        ("silu", -1.5),
        ("softplus", 4.0),
        ("prelu", 2.0),
    ] {
        check_formula(&mut r, &nonlin::get(name).unwrap().with_index(0, p).unwrap());
    }
    r.finish();
}

fn dual<A: Elementwise>(r: &mut Report, change: Option<f64>) {
    let mut p = defaults::<A>();
    if let Some(v) = change
        && !A::PARAMS.is_empty()
    {
        p.as_mut_slice()[0] = v;
    } else if change.is_some() {
        return;
    }
    // softplus is max(x, 0) + ln(1 + e^-|x|): smooth, but both parts have a corner.
    let mut corners: Vec<f64> = A::CLAIMS.kinks.iter().map(|k| k.at).collect();
    match A::META.name {
        "softplus" | "log_sigmoid" => corners.push(0.0),
        "hard_sigmoid" if change.is_some() => corners.extend([-0.5, 0.5]),
        _ => {}
    }
    check_dual::<A>(r, &of::<A>(), p, &corners);
}

#[test]
fn slopes_by_dual_numbers() {
    let mut r = Report::default();
    each_definition!(dual(&mut r, None));
    r.finish();
}

#[test]
fn slopes_by_dual_numbers_at_another_parameter() {
    let mut r = Report::default();
    each_definition!(dual(&mut r, Some(1.0)));
    r.finish();
}

#[test]
fn second_derivatives() {
    all(check_curvature);
}

#[test]
fn parameter_gradients() {
    all(|r, f| {
        check_parameter_gradient(r, f, |f, x| {
            // Within the step of a corner the difference is of two pieces.
            f.name() == "hard_sigmoid" && (x.abs() - 3.0).abs() < 1e-4
        });
    });
}

fn second<A: Elementwise>(r: &mut Report) {
    let f = of::<A>();
    let corner = |x: f64| !A::CLAIMS.kinks.iter().any(|k| k.at == x);
    fn kept<T: Number>(mut xs: Vec<T>, keep: impl Fn(f64) -> bool) -> Vec<T> {
        xs.retain(|x| x.wide().is_finite() && keep(x.wide()));
        xs
    }
    check_second::<A, f32>(r, &f, &kept(inputs(&f, 4, 2000), corner), 4.0);
    check_second::<A, f64>(r, &f, &kept(inputs(&f, 1, 2000), corner), 4.0);
    check_second::<A, f16>(r, &f, &kept(uniform(-20.0, 20.0, 1000, 4), corner), 4.0);
    check_second::<A, bf16>(r, &f, &kept(uniform(-20.0, 20.0, 1000, 4), corner), 4.0);
}

#[test]
fn second_derivatives_in_units() {
    let mut r = Report::default();
    each_definition!(second(&mut r));
    r.finish();
}

#[test]
fn backward_is_gradient_times_slope() {
    all(|r, f| {
        let (x32, x64) = (inputs::<f32>(f, 2, 400), inputs::<f64>(f, 1, 400));
        // The units of the product may be half as large as those of the slope.
        check_backward(r, f, &x32, 4.5);
        check_backward(r, f, &x64, 4.5);
        check_backward(r, f, &uniform::<f16>(-9.0, 9.0, 400, 2), 0.502);
        check_backward(r, f, &uniform::<bf16>(-9.0, 9.0, 400, 2), 0.502);
    });
}
