//! NaN, infinities, zeros, subnormal numbers, symmetry, and identities between functions.

use crate::common::*;
use nonlin::real::Dd;
use nonlin::{Exec, Function, Sigmoid, Tanh, bf16, f16, functions, get};
use nonlin_testkit::samples::{half_patterns, near, uniform};
use nonlin_testkit::ulp::{Format, ulp_error};

fn all(check: impl Fn(&mut Report, &Function)) {
    let mut r = Report::default();
    functions().iter().for_each(|f| check(&mut r, f));
    r.finish();
}

#[test]
fn nan_stays_nan() {
    all(|r, f| {
        check_nan::<f32>(r, f);
        check_nan::<f64>(r, f);
        check_nan::<f16>(r, f);
        check_nan::<bf16>(r, f);
    });
}

/// A NaN among gradients stays one unless the slope is 0 by definition, and stays alone.
fn nan_gradients<T: Number>(r: &mut Report, f: &Function) {
    let x = uniform::<T>(-160.0, 160.0, 600, 1);
    let mut g = uniform::<T>(-2.0, 2.0, 600, 2);
    g.iter_mut().step_by(3).for_each(|g| *g = T::round(f64::NAN));
    let flat = |x: T| f.claims().flat.iter().any(|(a, b)| *a <= x.wide() && x.wide() <= *b);
    for level in levels() {
        let mut dx = vec![T::default(); x.len()];
        f.backward_with(&at(level), &x, &g, &mut dx);
        let wrong = (0..x.len()).find(|i| Format::is_nan(dx[*i]) != (i % 3 == 0 && !flat(x[*i])));
        r.need(wrong.is_none(), || {
            let i = wrong.unwrap();
            let (name, format) = (f.name(), T::NAME_OF);
            format!("{name} {format} {level}: {:?} times f'({:?}) is {:?}", g[i], x[i], dx[i])
        });
    }
}

#[test]
fn nan_gradients_stay_nan() {
    all(|r, f| {
        nan_gradients::<f32>(r, f);
        nan_gradients::<f64>(r, f);
        nan_gradients::<f16>(r, f);
        nan_gradients::<bf16>(r, f);
    });
}

#[test]
fn limits_at_infinity() {
    all(|r, f| {
        check_limits::<f32>(r, f);
        check_limits::<f64>(r, f);
        check_limits::<f16>(r, f);
        check_limits::<bf16>(r, f);
    });
}

#[test]
fn signed_zeros() {
    all(|r, f| {
        check_signed_zero::<f32>(r, f);
        check_signed_zero::<f64>(r, f);
        check_signed_zero::<f16>(r, f);
        check_signed_zero::<bf16>(r, f);
    });
}

#[test]
fn subnormal_numbers() {
    let bound = Bound { value: 1.0, slope: 2.0 };
    all(|r, f| {
        check_accuracy::<f32>(
            r,
            f,
            &near::<f32>(&[0.0, f64::from(f32::MIN_POSITIVE), -f64::from(f32::MIN_POSITIVE)], 300),
            bound,
        );
        check_accuracy::<f64>(
            r,
            f,
            &near::<f64>(&[0.0, f64::MIN_POSITIVE, -f64::MIN_POSITIVE], 300),
            bound,
        );
    });
}

#[test]
fn signs() {
    all(|r, f| {
        check_sign(r, f, &inputs::<f32>(f, 8, 2000));
        check_sign(r, f, &inputs::<f64>(f, 1, 2000));
    });
}

#[test]
fn odd_to_the_bit() {
    all(|r, f| {
        check_odd(r, f, &inputs::<f32>(f, 16, 4000));
        check_odd(r, f, &inputs::<f64>(f, 4, 4000));
        check_odd(r, f, &half_patterns::<f16>());
        check_odd(r, f, &half_patterns::<bf16>());
    });
}

#[test]
fn idempotent_to_the_bit() {
    all(|r, f| {
        check_idempotent(r, f, &inputs::<f32>(f, 16, 4000));
        check_idempotent(r, f, &inputs::<f64>(f, 4, 4000));
    });
}

/// tanh x = 2 sigmoid(2x) - 1, the right side in double-double numbers.
#[test]
fn tanh_by_sigmoid() {
    let mut r = Report::default();
    let (tanh, sigmoid) = (nonlin::Function::from(Tanh), nonlin::Function::from(Sigmoid));
    for level in levels() {
        for x in
            inputs::<f32>(&tanh, 8, 4000).into_iter().filter(|x| x.is_finite() && x.abs() > 1e-6)
        {
            let want = sigmoid.reference(2.0 * f64::from(x)).0 * Dd::new(2.0) - Dd::new(1.0);
            let got = forward(&at(level), &tanh, &[x])[0];
            r.need(ulp_error(got, pair(want)) <= 2.0, || {
                format!("{level}: tanh({x:e}) = {got:e}, not {:e}", want.hi)
            });
            let x = f64::from(x);
            let got = forward(&at(level), &tanh, &[x])[0];
            r.need(ulp_error(got, pair(want)) <= 2.0, || {
                format!("{level}: tanh({x:e}) = {got:e}, not {:e}", want.hi)
            });
        }
    }
    r.finish();
}

/// `left(x)` and `right(x)`, which are the same number, within `ulps` of it.
fn identity(
    r: &mut Report,
    name: &str,
    ulps: f64,
    left: impl Fn(f64) -> f64,
    right: impl Fn(f64) -> f64,
) {
    for x in uniform::<f64>(-30.0, 30.0, 5000, 8) {
        let (a, b) = (left(x), right(x));
        r.need(ulp_error(a, b) <= ulps, || format!("{name} at {x}: {a:e} and {b:e}"));
    }
}

#[test]
fn identities() {
    let mut r = Report::default();
    let f = |name: &str| get(name).unwrap();
    let v = |name: &'static str| move |x: f64| get(name).unwrap().value(x);
    identity(&mut r, "log_sigmoid = -softplus(-x)", 2.0, v("log_sigmoid"), |x| -v("softplus")(-x));
    identity(&mut r, "silu = x sigmoid", 3.0, v("silu"), |x| x * v("sigmoid")(x));
    identity(&mut r, "elu = celu", 3.0, v("elu"), v("celu"));
    identity(&mut r, "softplus' = sigmoid", 0.0, |x| f("softplus").slope(x), v("sigmoid"));
    identity(
        &mut r,
        "leaky_relu = prelu",
        0.0,
        |x| f("leaky_relu").with_index(0, 0.25).unwrap().value(x),
        v("prelu"),
    );
    identity(
        &mut r,
        "silu' = s + x s'",
        8.0,
        |x| f("silu").slope(x.abs()),
        |x| v("sigmoid")(x.abs()) + x.abs() * f("sigmoid").slope(x.abs()),
    );
    identity(&mut r, "elu slope = e^x", 2.0, |x| f("elu").slope(-x.abs()), |x| (-x.abs()).exp());
    identity(
        &mut r,
        "sigmoid(x) + sigmoid(-x) = 1",
        1.0,
        |x| v("sigmoid")(x) + v("sigmoid")(-x),
        |_| 1.0,
    );
    identity(
        &mut r,
        "silu(beta 1.702) = 0.5 x (1 + tanh(0.851 x))",
        60.0,
        |x| f("silu").with_index(0, 1.702).unwrap().value(x.abs()),
        |x| 0.5 * x.abs() * (1.0 + (0.851 * x.abs()).tanh()),
    );
    r.finish();
}

/// Empty arrays are nothing to do.
#[test]
fn empty() {
    for f in functions() {
        for level in levels() {
            let exec: Exec = at(level);
            f.forward_with::<f32>(&exec, &[], &mut []);
            f.derivative_with::<f64>(&exec, &[], &mut []);
            f.backward_with::<f16>(&exec, &[], &[], &mut []);
            f.second_derivative_with::<f64>(&exec, &[], &mut []);
            assert!(Format::is_nan(f.value(f64::NAN)));
        }
    }
}
