//! Second derivatives, gradients by parameters, clamps, flat pieces and products of three: relative
//! bounds where an absolute one would hide everything, and values that other libraries got wrong.

use crate::common::*;
use nonlin::real::{Dd, Dual, Extended, Real};
use nonlin::{Elementwise, Function, ParamList, bf16, f16, functions, gated, get};
use nonlin_testkit::samples::{near, specials, uniform};
use nonlin_testkit::ulp::{Format, ulp_error};

/// The promise for second derivatives of f64 and for derivatives by parameters.
const RELATIVE: f64 = 64.0;

/// The parameters of `f` in `T`'s arithmetic, as constants of dual numbers.
fn fixed<A: Elementwise, T: Number>(f: &Function) -> A::Params<Dual<Extended>> {
    let mut p = A::Params::filled(Dual::fixed(Extended::new(0.0)));
    for (q, (param, v)) in p.as_mut_slice().iter_mut().zip(f.params()) {
        let constant = param.exact && v == param.default;
        let v = if T::F32_PARAMS && !constant { f64::from(v as f32) } else { v };
        *q = Dual::fixed(Dd { hi: v, lo: if constant { param.rest } else { 0.0 } }.into());
    }
    p
}

/// f″ to about 30 digits.
fn exact_bend<A: Elementwise, T: Number>(f: &Function, x: f64) -> Dd {
    A::slope(Dual::variable(Extended::new(x)), fixed::<A, T>(f)).d.to_dd()
}

/// The two numbers around each zero of f″, and their neighbours.
fn bend_zeros<A: Elementwise>(f: &Function) -> Vec<f64> {
    let bend = |x: f64| exact_bend::<A, f64>(f, x).hi;
    let mut out = Vec::new();
    for i in -1000..1000 {
        let (mut a, mut b) = (f64::from(i) / 64.0, f64::from(i + 1) / 64.0);
        if bend(a) == 0.0 || bend(b) == 0.0 || (bend(a) > 0.0) == (bend(b) > 0.0) {
            continue;
        }
        while a.up() < b {
            let middle = a + (b - a) / 2.0;
            let same = (bend(middle) > 0.0) == (bend(a) > 0.0);
            *(if same { &mut a } else { &mut b }) = middle;
        }
        out.extend(near::<f64>(&[a], 20));
        for k in 1..60 {
            let step = 2f64.powi(-k);
            out.extend([a - step, a + step]);
        }
    }
    out
}

fn bends<A: Elementwise, T: Number>(r: &mut Report, f: &Function, xs: &[T], bound: f64) {
    let mut got = vec![T::default(); xs.len()];
    f.second_derivative(xs, &mut got);
    let mut worst = (0.0, 0.0);
    for (&x, &got) in xs.iter().zip(&got) {
        if f.claims().kinks.iter().any(|k| k.at == x.wide()) || Format::is_nan(x) {
            continue;
        }
        let want = exact_bend::<A, T>(f, x.wide());
        let e = ulp_error(got, pair(want));
        if e > worst.0 {
            worst = (e, x.wide());
        }
        r.need(e <= bound, || {
            format!("{f:?} {}: f'' at {x:?} is {got:?}, not {:e}: {e} ULP", T::NAME_OF, want.hi)
        });
    }
    println!("{:13} {:4} f'' {:.4} ULP at {:e}", f.name(), T::NAME_OF, worst.0, worst.1);
}

fn every_bend<A: Elementwise>(r: &mut Report) {
    let f = get(A::META.name).unwrap();
    let mut others = vec![f.clone()];
    if let Some((p, _)) = f.params().next() {
        for v in [0.3, 1.7, 30.0] {
            others.extend(f.with(p.name, v));
        }
    }
    for (i, f) in others.iter().enumerate() {
        let fewer = if i == 0 { 1 } else { 4 };
        let mut xs = inputs::<f64>(f, 1, 2000 / fewer);
        xs.extend(bend_zeros::<A>(f));
        bends::<A, f64>(r, f, &xs, RELATIVE);
        bends::<A, f32>(r, f, &inputs(f, 1, 600 / fewer), 0.51);
        bends::<A, f16>(r, f, &uniform(-20.0, 20.0, 600 / fewer, 4), 0.51);
        bends::<A, bf16>(r, f, &uniform(-20.0, 20.0, 600 / fewer, 4), 0.51);
    }
}

#[test]
fn second_derivatives_relative() {
    let mut r = Report::default();
    each_definition!(every_bend(&mut r));
    r.finish();
}

/// From independent sources, to 40 digits before they were rounded.
#[test]
fn second_derivatives_far_out_and_next_to_zeros() {
    for (name, x, want) in [
        ("silu", -709.0, -8.602_639_906_907_6e-306),
        ("sigmoid", 700.0, -9.859_676_543_759_77e-305),
        ("sigmoid", -700.0, 9.859_676_543_759_77e-305),
        ("sigmoid", 1e-17, -1.25e-18),
        ("sigmoid", 1e-300, -1.25e-301),
        ("tanh", 1e-200, -2e-200),
        ("gelu", 37.7, -1.329_777_916_913_659_5e-306),
    ] {
        let got = get(name).unwrap().curvature(x);
        let e = ulp_error(got, want);
        assert!(e <= 100.0, "{name}'' at {x:e} is {got:e}, not {want:e}: {e} ULP");
    }
}

fn gradients<A: Elementwise>(r: &mut Report) {
    let f = get(A::META.name).unwrap();
    let count = f.params().count();
    let mut got = vec![0.0; count];
    for (i, param) in A::PARAMS.iter().enumerate() {
        for v in [param.default, -2.0, -1e-300, 0.0, 1e-300, 1e-38, 0.3, 1.5, 1e20] {
            let Ok(f) = f.with(param.name, v) else { continue };
            let mut xs = specials::<f64>();
            xs.extend(inputs::<f64>(&f, 1, 100).into_iter().step_by(7));
            let mut p = fixed::<A, f64>(&f);
            p.as_mut_slice()[i].d = Extended::new(1.0);
            for x in xs {
                // Where the function has a corner that moves with the parameter, it has no gradient.
                let corner = f.claims().kinks.iter().any(|k| (k.at - x).abs() <= 1e-9) || x == 0.0;
                if x.is_nan() || corner {
                    continue;
                }
                let want = A::value(Dual::fixed(Extended::new(x)), p).d.to_dd();
                f.parameter_gradient(x, &mut got);
                let e = ulp_error(got[i], pair(want));
                r.need(e <= RELATIVE, || {
                    format!("{f:?}: d/d{} at {x:e} is {:e}, not {:e}", param.name, got[i], want.hi)
                });
            }
        }
    }
}

#[test]
fn parameter_gradients_far_out() {
    let mut r = Report::default();
    each_definition!(gradients(&mut r));
    r.finish();
    let inf = f64::INFINITY;
    for (name, v, x, want) in [
        ("silu", 1.0, -1e200, 0.0),
        ("silu", 1.0, 1e200, 0.0),
        ("silu", 0.0, -inf, inf),
        ("silu", 0.0, 2.0, 1.0),
        ("silu", 1.0, -700.0, 4.831_241_506_442_289e-299),
        ("celu", 1.0, -inf, -1.0),
        ("celu", 1.0, -1e-40, -5e-81),
        ("celu", 1.0, 3.0, 0.0),
        ("elu", 1.0, -inf, -1.0),
        ("prelu", 0.25, -inf, -inf),
        ("prelu", 0.25, inf, 0.0),
        ("leaky_relu", 0.0, -inf, -inf),
        ("rrelu", 0.1, -inf, -inf),
        ("softplus", 1.0, inf, 0.0),
        ("softplus", 1.0, -inf, 0.0),
        ("hard_sigmoid", 0.2, -inf, 0.0),
    ] {
        let f = get(name).unwrap().with_index(0, v).unwrap();
        let mut got = vec![0.0; f.params().count()];
        f.parameter_gradient(x, &mut got);
        let e = ulp_error(got[0], want);
        assert!(e <= RELATIVE, "{name}: the gradient at {x:e} is {:e}, not {want:e}", got[0]);
    }
}

/// Values and slopes where a parameter is next to nothing, so that no gate closes early.
fn clamps<T: Number>(r: &mut Report) {
    for name in ["silu", "celu", "elu", "softplus", "hard_sigmoid", "leaky_relu"] {
        let f = get(name).unwrap();
        for v in [0.0, 1e-300, -1e-300, 1e-38, -1e-38, 1e-44, 1e-6, 1e-3, 1e30, 3e38, -3e38] {
            let Ok(f) = f.with_index(0, v) else { continue };
            let mut xs = specials::<T>();
            for big in [1e4, 1e30, 3e38, 1e250, 1e289, 1e291, 1e300, 1.7e308] {
                xs.extend([big, -big, 1.0 / big, -1.0 / big].map(T::round));
            }
            for level in levels() {
                let exec = at(level);
                let (y, d) = (forward(&exec, &f, &xs), derivative(&exec, &f, &xs));
                for (i, &x) in xs.iter().enumerate() {
                    let (value, slope) = f.reference(x);
                    let e = ulp_error(y[i], pair(value));
                    r.need(e <= 2.0, || {
                        format!(
                            "{f:?} {} {level}: {:?} at {x:?}, not {:e}",
                            T::NAME_OF,
                            y[i],
                            value.hi
                        )
                    });
                    let corner = name == "hard_sigmoid" || x.wide() == 0.0;
                    let e = ulp_error(d[i], pair(slope));
                    r.need(e <= 4.0 || corner, || {
                        format!(
                            "{f:?} {} {level}: slope {:?} at {x:?}, not {:e}",
                            T::NAME_OF,
                            d[i],
                            slope.hi
                        )
                    });
                }
            }
        }
    }
}

#[test]
fn no_clamp_but_the_type() {
    let mut r = Report::default();
    clamps::<f64>(&mut r);
    clamps::<f32>(&mut r);
    clamps::<bf16>(&mut r);
    r.finish();
    let silu = |beta: f64, x: f64| get("silu").unwrap().with("beta", beta).unwrap().value(x);
    assert_eq!(silu(0.0, -1e300), -5e299);
    assert_eq!(silu(0.0, f64::NEG_INFINITY), f64::NEG_INFINITY);
    assert_eq!(silu(1e-300, f64::NEG_INFINITY), 0.0);
    assert_eq!(silu(-1e-300, f64::INFINITY), 0.0);
    let single = get("silu").unwrap().with("beta", 1e-38).unwrap();
    assert_eq!(single.value(f32::NEG_INFINITY), 0.0);
}

/// A gradient that arrives where the slope is 0 by definition is left out.
fn flat<T: Number>(r: &mut Report, f: &Function) {
    let mut xs = uniform::<T>(-40.0, 40.0, 500, 1);
    xs.extend([f64::NEG_INFINITY, f64::INFINITY, -3.0, 3.0, -0.0, 0.0].map(T::round));
    let inside = |x: T| f.claims().flat.iter().any(|(a, b)| *a <= x.wide() && x.wide() <= *b);
    for level in levels() {
        let exec = at(level);
        for g in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e300, -2.0] {
            let g = vec![T::nearest(g); xs.len()];
            let mut dx = g.clone();
            f.backward_with(&exec, &xs, &g, &mut dx);
            let mut in_place = g.clone();
            f.backward_in_place_with(&exec, &xs, &mut in_place);
            r.need(first_difference(&dx, &in_place).is_none(), || f.name().into());
            for (x, dx) in xs.iter().zip(&dx).filter(|(x, _)| inside(**x)) {
                r.need(dx.wide() == 0.0, || {
                    format!(
                        "{} {} {level}: {:?} times the slope at {x:?} is {dx:?}",
                        f.name(),
                        T::NAME_OF,
                        g[0]
                    )
                });
            }
            if f.claims().from_output.is_some() {
                let y = forward(&exec, f, &xs);
                let back = from_output(&exec, f, &y, &g);
                for (x, dx) in xs.iter().zip(&back).filter(|(x, _)| inside(**x)) {
                    r.need(dx.wide() == 0.0, || {
                        format!("{} {level} from the output at {x:?}: {dx:?}", f.name())
                    });
                }
            }
        }
    }
}

#[test]
fn flat_pieces_leave_gradients_out() {
    let mut r = Report::default();
    for f in functions() {
        // A slope that is 0 to thirty digits and beyond is 0 by definition, and must be declared.
        for x in uniform::<f64>(-12.0, 12.0, 3000, 2) {
            let is_flat = f.claims().flat.iter().any(|(a, b)| *a <= x && x <= *b);
            let slope = f.reference(x).1.hi;
            r.need((slope == 0.0) == is_flat, || format!("{}' at {x} is {slope}", f.name()));
        }
        flat::<f32>(&mut r, f);
        flat::<f64>(&mut r, f);
        flat::<f16>(&mut r, f);
        flat::<bf16>(&mut r, f);
    }
    r.finish();
    for level in levels() {
        for (unit, closed) in [("reglu", [-4.0f32, 2.0]), ("relu_glu", [2.0, -4.0])] {
            let u = gated(unit).unwrap();
            let [gate, value] = closed;
            let (a, b) = if unit == "reglu" { (gate, value) } else { (value, gate) };
            for g in [f32::INFINITY, f32::NAN] {
                let (mut da, mut db) = ([1.0], [1.0]);
                u.backward_with(&at(level), &[a], &[b], &[g], &mut da, &mut db);
                assert_eq!((da[0], db[0]), (0.0, 0.0), "{unit} {level} at {a}, {b} with {g}");
            }
        }
    }
}

/// The weight of PReLU has no part in what is on the right, and is multiplied by -inf on the left.
#[test]
fn gradients_of_channel_weights() {
    let inf = f32::INFINITY;
    for level in levels() {
        let weight = [0.25f32, -1.0, 0.0];
        let x = [3.0, -inf, -2.0];
        let grad = [inf, 1.0, 0.5];
        let (mut dx, mut dweight) = ([0.0; 3], [0.0; 3]);
        let prelu = nonlin::Prelu.per_channel(&weight, &[1, 3], 1).unwrap();
        prelu.backward_with(&at(level), &x, &grad, &mut dx, &mut dweight);
        assert_eq!((dx, dweight), ([inf, -1.0, 0.0], [0.0, -inf, -1.0]), "{level}");
    }
}

/// `grad`, value and the slope of a gate, where two of them alone overflow.
fn three_factors<T: Number>(bound: f64) {
    let mut r = Report::default();
    let powers: &[f64] =
        if T::BITS == 64 { &[1e160, -1e200, 1e250, 1e307] } else { &[2e19, -1e22, 1e30, 3e38] };
    for name in ["swiglu", "geglu", "glu", "relu_glu"] {
        let u = gated(name).unwrap().with_gate(nonlin::Gate::First);
        let far = if T::BITS == 64 { 1450.0 } else { 180.0 };
        let mut gates = uniform::<T>(-far, far, 600, 1);
        gates.extend(uniform::<T>(-17.0, 17.0, 600, 2));
        for &value in powers {
            for &grad in powers {
                let (value, grad) = (T::round(value), T::round(grad));
                let (v, g) = (vec![value; gates.len()], vec![grad; gates.len()]);
                let exact: Vec<Dd> = gates
                    .iter()
                    .map(|&x| {
                        let (_, slope) = match name {
                            "swiglu" => three::<nonlin::Silu>(x.wide()),
                            "geglu" => three::<nonlin::Gelu>(x.wide()),
                            _ => three::<nonlin::Sigmoid>(x.wide()),
                        };
                        let v = Extended::new(value.wide());
                        let v = if name == "relu_glu" { v.max(Extended::new(0.0)) } else { v };
                        (slope * v * Extended::new(grad.wide())).to_dd()
                    })
                    .collect();
                for level in levels() {
                    let (mut da, mut db) = (v.clone(), v.clone());
                    u.backward_with(&at(level), &gates, &v, &g, &mut da, &mut db);
                    for (i, x) in gates.iter().enumerate() {
                        let zero = match name {
                            "swiglu" => -1.278_464_542_761_074,
                            "geglu" => -0.751_791_524_693_564_5,
                            _ => f64::INFINITY,
                        };
                        // Below 2^-2015 kernels leave off: there the product is not quite 0.
                        let closed = match name {
                            "geglu" => x.wide() < -52.5,
                            _ => x.wide().abs() > 1400.0,
                        };
                        if (x.wide() - zero).abs() < 0.5 || T::BITS == 64 && closed {
                            continue;
                        }
                        let e = ulp_error(da[i], pair(exact[i]));
                        r.need(e <= bound, || {
                            format!(
                                "{name} {} {level} at {x:?}, {value:?}, {grad:?}: {:?}, not {:e}: {e} ULP",
                                T::NAME_OF,
                                da[i],
                                exact[i].hi
                            )
                        });
                    }
                }
            }
        }
    }
    r.finish();
}

/// Value and slope at default parameters, without a number too small for f64.
fn three<A: Elementwise>(x: f64) -> (Extended, Extended) {
    let x = Extended::new(x);
    let mut p = A::Params::filled(x);
    for (v, d) in p.as_mut_slice().iter_mut().zip(A::PARAMS) {
        *v = Extended::new(d.default);
    }
    (A::value(x, p), A::slope(x, p))
}

#[test]
fn products_that_overflow_in_between() {
    three_factors::<f32>(4.5);
    three_factors::<f64>(4.5);
    three_factors::<bf16>(0.51);
    let (mut da, mut db) = ([0.0f32], [0.0f32]);
    gated("swiglu").unwrap().backward(&[-80.0], &[1e30], &[1e30], &mut da, &mut db);
    assert!(ulp_error(da[0], -1.425_832_639_308_214e27) <= 4.5, "{}", da[0]);
}

/// Zeros of both signs are two numbers in a formula, and every formula is the function.
#[test]
fn traces_are_formulas() {
    use nonlin_testkit::formula::Formula;
    assert!(!get("softplus").unwrap().traced().contains("-0"), "softplus");
    for f in functions() {
        let names: Vec<&str> =
            std::iter::once("x").chain(f.params().map(|(p, _)| p.name)).collect();
        let text = f.traced();
        let formula = Formula::parse(&text, &names).unwrap_or_else(|e| panic!("{text}: {e}"));
        for x in uniform::<f64>(-9.0, 9.0, 200, 3) {
            let args: Vec<f64> = std::iter::once(x).chain(f.params().map(|(_, v)| v)).collect();
            let (got, want) = (formula.evaluate_f64(&args), f.reference(x).0.hi);
            assert!((got - want).abs() <= 1e-13 * (1.0 + x.abs()), "{text} at {x}: {got}, {want}");
        }
    }
}

/// Constants have as many digits as the number type.
#[test]
fn constants_to_thirty_digits() {
    for x in [-2.9, -1.0, 0.3, 2.7] {
        let got = nonlin::evaluate::<nonlin::HardSigmoid, Dd>(Dd::new(x));
        let off = (got * Dd::new(6.0) - (Dd::new(x) + Dd::new(3.0))).hi.abs();
        assert!(off <= 1e-29, "{x}: {off:e}");
    }
}
