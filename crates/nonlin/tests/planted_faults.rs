//! Broken activations and broken loops, and that the checks of the other tests report them.
//!
//! A definition that is wrong in its own terms has a reference that is wrong in the same way;
//! each fault here is seen by the check that its line names.

mod common;

use common::*;
use nonlin::real::{Prim, Real};
use nonlin::{Arithmetic, Claims, Elementwise, Exec, Function, Kink, Meta, functions, get};
use nonlin_testkit::samples::uniform;

/// The checks that are `wanted` (all if none is named), and of them those that find something.
fn reported<A: Elementwise>(wanted: &[&str]) -> Vec<&'static str> {
    let f = &Function::of::<A>();
    let mut out = Vec::new();
    let mut run = |name: &'static str, check: &mut dyn FnMut(&mut Report)| {
        if !wanted.is_empty() && !wanted.contains(&name) {
            return;
        }
        let mut r = Report::default();
        check(&mut r);
        if !r.is_clean() {
            println!("{} {name}: {}", f.name(), r.text());
            out.push(name);
        }
    };
    let (x32, x64) = (inputs::<f32>(f, 4, 2000), inputs::<f64>(f, 1, 2000));
    let bound = f.claims().bounds;
    run("f32", &mut |r| {
        check_accuracy(r, f, &x32, Bound { value: bound.f32.0, slope: bound.f32.1 })
    });
    run("f64", &mut |r| {
        check_accuracy(r, f, &x64, Bound { value: bound.f64.0, slope: bound.f64.1 })
    });
    if f.claims().from_output.is_some() {
        run("from output", &mut |r| {
            check_from_output(r, f, &x32);
        });
    }
    run("formula", &mut |r| check_formula(r, f));
    run("nan", &mut |r| check_nan::<f32>(r, f));
    run("limits", &mut |r| check_limits::<f32>(r, f));
    run("odd", &mut |r| check_odd(r, f, &x32));
    run("idempotent", &mut |r| check_idempotent(r, f, &x32));
    run("monotone", &mut |r| check_monotone(r, f, &x32));
    run("range", &mut |r| check_range(r, f, &x64));
    run("hull", &mut |r| check_hull(r, f));
    run("bounds", &mut |r| check_bounds(r, f));
    run("minimum", &mut |r| check_minimum(r, f));
    run("zeros", &mut |r| check_zeros(r, f));
    run("slope zeros", &mut |r| check_slope_zeros(r, f));
    run("kinks", &mut |r| check_kinks(r, f));
    run("signed zero", &mut |r| check_signed_zero::<f64>(r, f));
    run("dual", &mut |r| {
        let corners: Vec<f64> = f.claims().kinks.iter().map(|k| k.at).collect();
        check_dual::<A>(r, f, defaults::<A>(), &corners);
    });
    run("curvature", &mut |r| check_curvature(r, f));
    run("gradient", &mut |r| check_parameter_gradient(r, f, |_, _| false));
    run("backward", &mut |r| check_backward(r, f, &uniform::<f32>(-9.0, 9.0, 50, 1), 2.0));
    run("scalar", &mut |r| check_scalar(r, f, &uniform::<f32>(-9.0, 9.0, 50, 1)));
    out
}

#[track_caller]
fn found<A: Elementwise>(by: &[&str]) {
    let reports = reported::<A>(by);
    for check in by {
        assert!(
            reports.contains(check),
            "{}: {check} does not report it, only {reports:?} do",
            A::META.name
        );
    }
}

/// A sound definition, so that a report is due to the fault.
const SIGMOID: Claims = <nonlin::Sigmoid as Elementwise>::CLAIMS;
const TANH: Claims = <nonlin::Tanh as Elementwise>::CLAIMS;
const RELU: Claims = <nonlin::Relu as Elementwise>::CLAIMS;
const SILU: Claims = <nonlin::Silu as Elementwise>::CLAIMS;
const ELU: Claims = <nonlin::Elu as Elementwise>::CLAIMS;

#[test]
fn sound_definitions_are_not_reported() {
    assert_eq!(reported::<nonlin::Sigmoid>(&[]), [""; 0]);
    assert_eq!(reported::<nonlin::Relu>(&[]), [""; 0]);
    assert_eq!(reported::<nonlin::Elu>(&[]), [""; 0]);
    assert_eq!(reported::<nonlin::Gelu>(&[]), [""; 0]);
}

macro_rules! fault {
    (
        $(#[doc = $doc:literal])* $name:ident: $formula:literal, $claims:expr, $by:expr,
        $(route $route:expr,)?
        |$x:ident, $p:pat_param| $value:expr $(, slope |$sx:ident, $sp:pat_param| $slope:expr)?
    ) => {
        $(#[doc = $doc])*
        #[test]
        #[allow(non_snake_case)]
        fn $name() {
            #[derive(Clone, Copy)]
            struct Broken;
            impl Elementwise for Broken {
                const META: Meta = Meta::new(stringify!($name), $formula);
                type Params<T: Copy> = [T; 0];
                const CLAIMS: Claims = $claims;
                $(const ARITHMETIC: Arithmetic = $route;)?
                fn value<T: Real>($x: T, $p: [T; 0]) -> T {
                    $value
                }
                $(fn slope<T: Real>($sx: T, $sp: [T; 0]) -> T {
                    $slope
                })?
            }
            found::<Broken>(&$by);
        }
    };
}

fault!(
    /// A constant off in the ninth digit: every derived number is consistent with it.
    constant_off: "1 / (1 + exp(-x))", SIGMOID, ["formula"],
    |x, _| (x * x.lit(1.000_000_001)).sigmoid()
);
fault!(
    /// The sign of one piece.
    swapped_sign_in_a_tail: "1 / (1 + exp(-x))", SIGMOID, ["formula", "monotone", "range", "hull", "kinks", "zeros", "slope zeros"],
    |x, _| {
        let s = x.split(-4.0);
        s.join(s.hi.sigmoid(), -s.lo.sigmoid())
    }
);
fault!(
    /// A shortcut taken too early: 1 from 5 on.
    wrong_threshold: "tanh(x)", TANH, ["formula", "odd", "kinks"],
    |x, _| {
        let s = x.split(5.0);
        s.join(x.lit(1.0), s.lo.tanh())
    }
);
fault!(
    /// A slope that belongs to another function.
    wrong_slope: "1 / (1 + exp(-x))", SIGMOID, ["dual", "formula"],
    |x, _| x.sigmoid(), slope |x, _| x.jet(Prim::Sigmoid).slope() * x.lit(1.000_001)
);
fault!(
    /// A slope that is wrong far out only.
    wrong_slope_in_a_tail: "1 / (1 + exp(-x))", SIGMOID, ["dual"],
    |x, _| x.sigmoid(), slope |x, _| {
        let s = x.split(-60.0);
        s.join(s.hi.jet(Prim::Sigmoid).slope(), s.lo.exp() * x.lit(1.01))
    }
);
fault!(
    /// The constant's comparison comes first, and NaN is lost.
    nan_dropped: "max(x, 0)", RELU, ["nan"],
    |x, _| x.lit(0.0).max(x), slope |x, _| x.split(0.0).join(x.lit(1.0), x.lit(0.0))
);
fault!(
    /// NaN kept by the value, lost by the slope.
    nan_dropped_by_the_slope: "x", <nonlin::Identity as Elementwise>::CLAIMS, ["nan"],
    |x, _| x, slope |x, _| x.lit(1.0)
);
fault!(
    /// The kink is claimed elsewhere.
    kink_claimed_elsewhere: "max(x, 0)",
    Claims { kinks: &[Kink { at: 0.5, left: 0.0, right: 1.0, chosen: 0.0 }], ..RELU }, ["kinks"],
    |x, _| x.max(x.lit(0.0)), slope |x, _| x.split(0.0).join(x.lit(1.0), x.lit(0.0))
);
fault!(
    /// The other slope is chosen at the kink.
    other_slope_at_the_kink: "max(x, 0)", RELU, ["kinks"],
    |x, _| x.max(x.lit(0.0)), slope |x, _| x.split_at(0.0).join(x.lit(1.0), x.lit(0.0))
);
fault!(
    /// A kink that is not claimed.
    kink_not_claimed: "max(x, 0)", Claims { kinks: &[], ..RELU }, ["kinks"],
    |x, _| x.max(x.lit(0.0)), slope |x, _| x.split(0.0).join(x.lit(1.0), x.lit(0.0))
);
fault!(
    /// A kink between the usual suspects.
    kink_at_an_odd_place: "max(x, 0.7312)", Claims { zeros: &[], range: (0.7312, f64::INFINITY), kinks: &[], idempotent: false, ..Claims::new((0.7312, f64::INFINITY), (0.0, 1.0)) }, ["kinks"],
    |x, _| x.max(x.lit(0.7312)), slope |x, _| x.split(0.7312).join(x.lit(1.0), x.lit(0.0))
);
fault!(
    /// SiLU falls before it rises.
    not_monotone: "x / (1 + exp(-x))", Claims { monotone: true, ..SILU }, ["monotone"],
    |x, _| x.gated(x.jet(Prim::Sigmoid)), slope |x, _| x.gated_slope(x.jet(Prim::Sigmoid))
);
fault!(
    /// Monotone, and not said to be.
    monotone_not_claimed: "tanh(x)", Claims { monotone: false, odd: false, ..TANH }, ["monotone", "odd"],
    |x, _| x.tanh(), slope |x, _| x.jet(Prim::Tanh).slope()
);
fault!(
    /// Odd and idempotent are claims like any other.
    neither_odd_nor_idempotent: "1 / (1 + exp(-x))", Claims { odd: true, idempotent: true, ..SIGMOID }, ["odd", "idempotent"],
    |x, _| x.sigmoid(), slope |x, _| x.jet(Prim::Sigmoid).slope()
);
fault!(
    /// Minimum, range, zeros and slope as of another function.
    claims_of_another_function: "x / (1 + exp(-x))",
    Claims {
        minimum: Some((-1.25, -0.27)), range: (-0.27, f64::INFINITY), lipschitz: 1.0, zeros: &[0.5], slope_zeros: &[-1.25],
        ..SILU
    },
    ["minimum", "range", "hull", "zeros", "slope zeros"],
    |x, _| x.gated(x.jet(Prim::Sigmoid)), slope |x, _| x.gated_slope(x.jet(Prim::Sigmoid))
);
fault!(
    /// Claims that hold, but are not the best: the range and the slope are not reached.
    claims_too_wide: "1 / (1 + exp(-x))", Claims { range: (-0.1, 1.0), lipschitz: 0.3, ..SIGMOID }, ["hull", "minimum"],
    |x, _| x.sigmoid(), slope |x, _| x.jet(Prim::Sigmoid).slope()
);
fault!(
    /// Zeros of f and of f' that are left out.
    zeros_left_out: "x / (1 + exp(-x))", Claims { zeros: &[], slope_zeros: &[], ..SILU }, ["zeros", "slope zeros", "f32"],
    |x, _| x.gated(x.jet(Prim::Sigmoid)), slope |x, _| x.gated_slope(x.jet(Prim::Sigmoid))
);
fault!(
    /// Other limits.
    wrong_limits: "1 / (1 + exp(-x))", Claims { limits: (0.0, 2.0), slope_limits: (0.5, 0.0), ..SIGMOID }, ["limits"],
    |x, _| x.sigmoid(), slope |x, _| x.jet(Prim::Sigmoid).slope()
);
fault!(
    /// `x sigmoid(x)` as it is written: NaN at -inf.
    naive_product: "x / (1 + exp(-x))", SILU, ["limits"],
    |x, _| x * x.sigmoid(), slope |x, _| x.gated_slope(x.jet(Prim::Sigmoid))
);
fault!(
    /// `e^x - 1` as it is written cancels near 0.
    naive_difference: "if(x > 0, x, exp(x) - 1)", ELU, ["f64", "signed zero"],
    |x, _| { let s = x.split(0.0); s.join(s.hi, s.lo.exp() - x.lit(1.0)) },
    slope |x, _| { let s = x.split(0.0); s.join(x.lit(1.0), s.lo.exp()) }
);
fault!(
    /// f32 arithmetic for a function that rounds more than once.
    narrow_route: "x / (1 + exp(-x))", SILU, ["f32"], route Arithmetic::F32,
    |x, _| x.gated(x.jet(Prim::Sigmoid)), slope |x, _| x.gated_slope(x.jet(Prim::Sigmoid))
);
fault!(
    /// A smaller error is declared than there is.
    bounds_too_small: "tanh(x)", Claims { bounds: nonlin::Bounds::EXACT, ..TANH }, ["f32", "f64"],
    |x, _| x.tanh(), slope |x, _| x.jet(Prim::Tanh).slope()
);
fault!(
    /// Zero and its sign.
    sign_of_zero: "tanh(x)", TANH, ["signed zero", "odd"],
    |x, _| x.tanh() + x.lit(0.0), slope |x, _| x.jet(Prim::Tanh).slope()
);

/// Backward from the output: `1 - y` for `1 - y^2`, a bound below the error, and a claim alone.
#[test]
fn from_output() {
    macro_rules! broken {
        ($name:ident, $bound:expr, |$y:ident| $slope:expr) => {
            #[derive(Clone, Copy)]
            struct $name;
            impl Elementwise for $name {
                const META: Meta = Meta::new("tanh", "tanh(x)");
                type Params<T: Copy> = [T; 0];
                const CLAIMS: Claims = Claims { from_output: Some(($bound, $bound)), ..TANH };
                fn value<T: Real>(x: T, _: [T; 0]) -> T {
                    x.tanh()
                }
                fn slope_from_output<T: Real>($y: T, _: [T; 0]) -> T {
                    $slope
                }
            }
            found::<$name>(&["from output"]);
        };
    }
    broken!(WrongFormula, 3.0, |y| y.lit(1.0) - y);
    broken!(BoundTooSmall, 0.5, |y| (y.lit(1.0) - y) * (y.lit(1.0) + y));
    #[derive(Clone, Copy)]
    struct ClaimAlone;
    impl Elementwise for ClaimAlone {
        const META: Meta = Meta::new("tanh", "tanh(x)");
        type Params<T: Copy> = [T; 0];
        const CLAIMS: Claims = Claims { from_output: Some((3.0, 3.0)), ..TANH };
        fn value<T: Real>(x: T, _: [T; 0]) -> T {
            x.tanh()
        }
    }
    found::<ClaimAlone>(&["from output"]);
}

/// A loop over a part of arrays.
type Loop<'f> = &'f dyn Fn(&[f32], &mut [f32], core::ops::Range<usize>);

/// Loops that miss, repeat or overwrite elements.
#[test]
fn broken_loops() {
    let source = uniform::<f32>(-3.0, 3.0, 67, 1);
    let want: Vec<f32> = source.iter().map(|x| x.abs()).collect();
    let report = |run: Loop<'_>| {
        let mut r = Report::default();
        check_lengths(&mut r, "planted", &source, &want, run);
        r
    };
    let right =
        |x: &[f32], y: &mut [f32], p: core::ops::Range<usize>| p.for_each(|i| y[i] = x[i].abs());
    report(&right).finish();
    for (name, run) in [
        (
            "the rest is left out",
            &(|x: &[f32], y: &mut [f32], p: core::ops::Range<usize>| {
                right(x, y, p.start..p.end - p.len() % 8)
            }) as Loop<'_>,
        ),
        ("a whole register at the end", &|x, y, p| {
            right(x, y, p.start..p.start + p.len().next_multiple_of(8))
        }),
        ("one element before the start", &|x, y, p| right(x, y, p.start.saturating_sub(1)..p.end)),
        ("from an aligned address", &|x, y, p| right(x, y, p.start / 4 * 4..p.end)),
        ("another result for the rest", &|x, y, p| {
            right(x, y, p.clone());
            p.clone().skip(p.len() / 16 * 16).for_each(|i| y[i] = y[i].next_up());
        }),
        ("only the last of long arrays", &|x, y, p| {
            right(x, y, p.clone());
            if p.len() == 67 {
                y[p.end - 1] = 0.0;
            }
        }),
    ] {
        assert!(!report(run).is_clean(), "not reported: {name}");
    }
}

/// The comparison of levels sees the difference of one rounding.
#[test]
fn levels_that_differ() {
    let f = get("gelu").unwrap();
    let x = uniform::<f64>(-9.0, 9.0, 5000, 1);
    for level in fused_levels() {
        let (a, b) = (forward(&at(level), &f, &x), forward(&at(nonlin::Level::Baseline), &f, &x));
        assert!(first_difference(&a, &b).is_some(), "{level} and the baseline do not differ");
    }
    assert_eq!(first_difference(&[0.0f32, f32::NAN], &[0.0, -f32::NAN]), None);
    assert_eq!(first_difference(&[0.0f32, 1.0], &[-0.0, 1.0]), Some(0));
}

/// Functions that are compared with another one's claims.
#[test]
fn functions_are_told_apart() {
    for f in functions() {
        for g in functions() {
            let x = uniform::<f32>(-4.0, 4.0, 200, 2);
            let same =
                first_difference(&forward(&Exec::new(), f, &x), &forward(&Exec::new(), g, &x))
                    .is_none();
            assert_eq!(
                same,
                f == g
                    || (f.name() == "elu" && g.name() == "celu")
                    || (f.name() == "celu" && g.name() == "elu"),
                "{f:?} {g:?}"
            );
        }
    }
    assert_eq!(nonlin::Function::from(nonlin::Gelu), get("gelu").unwrap());
}

/// A gradient by a parameter that the value does not use as it should.
#[test]
fn parameter_gradient() {
    let f = get("elu").unwrap();
    let mut r = Report::default();
    check_parameter_gradient(&mut r, &f, |_, _| false);
    r.finish();
    // The gradient of the parameter is compared at the parameter's own value, not elsewhere.
    let (mut elu, mut celu) = ([0.0], [0.0]);
    f.parameter_gradient(-1.0, &mut elu);
    get("celu").unwrap().parameter_gradient(-1.0, &mut celu);
    assert_ne!(elu, celu);
}
