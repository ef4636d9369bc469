//! The catalogue against its own formulas: a definition computes what its text says.
#![cfg(feature = "mpfr")]

use nonlin::real::Real;
use nonlin::{Elementwise, Function, ParamList, functions, gated_functions};
use nonlin_testkit::Float;
use nonlin_testkit::formula::Formula;
use nonlin_testkit::mpfr::Mpfr;
use nonlin_testkit::samples::{mix, mixed, near, uniform};
use nonlin_testkit::ulp::ulp_error;

/// Whether `a` and `b` are the same to 90 bits, or both nothing to an f64.
///
/// Definitions have their constants to 106 bits, of which deep tails eat some.
fn same(a: &Float, b: &Float) -> bool {
    if a.is_nan() || b.is_nan() || a.is_infinite() || b.is_infinite() {
        return a.is_nan() == b.is_nan() && (a.is_nan() || a.to_f64() == b.to_f64());
    }
    let apart = Float::with_val(64, a - b).abs();
    apart <= (b.clone().abs() >> 90u32) || apart <= Float::with_val(64, 1) >> 2999u32
}

fn formula(text: &str, names: &[&str]) -> Formula {
    Formula::parse(text, names).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn every_formula_has_a_value_everywhere() {
    for f in functions() {
        let names: Vec<&str> = ["x"].into_iter().chain(f.params().map(|(p, _)| p.name)).collect();
        let value = formula(f.meta().formula, &names);
        let (slope, curvature) = (value.derivative("x"), value.derivative("x").derivative("x"));
        for x in mixed::<f64>(0, &[0.0, 1.0], 2, 0) {
            let inputs: Vec<f64> = [x].into_iter().chain(f.params().map(|(_, v)| v)).collect();
            for f in [&value, &slope, &curvature] {
                let y = f.exact(&inputs).unwrap_or_else(|e| panic!("{e}"));
                assert_eq!(y.is_nan(), x.is_nan(), "{f} at {x:e}");
            }
        }
    }
    for g in gated_functions() {
        let value = formula(g.meta().formula, &["a", "b"]);
        assert!(value.mentions("a") && value.mentions("b"), "{value}");
        for f in [value.derivative("a"), value.derivative("b"), value] {
            for (a, b) in
                [(1.0, 2.0), (-745.0, 1e300), (1e300, -745.0), (-1e300, -1e300), (5e-324, 0.0)]
            {
                let y = f.exact(&[a, b]).unwrap_or_else(|e| panic!("{e}"));
                assert!(!y.is_nan(), "{f} at {a:e}, {b:e}");
            }
        }
    }
}

/// Value and slope of the definition, run in multiple precision, against the formula.
fn definition<A: Elementwise>() {
    let names: Vec<&str> = ["x"].into_iter().chain(A::PARAMS.iter().map(|p| p.name)).collect();
    let value = formula(A::META.formula, &names);
    let slope = value.derivative("x");
    let mut arena = Mpfr::new(400);
    let mut xs = mixed::<f64>(0, &[0.0, -1.0, 1.0, 3.0, -3.0], 3, 0);
    xs.extend(uniform::<f64>(-45.0, 45.0, 300, 1));
    xs.extend(uniform::<f64>(-2000.0, 2000.0, 100, 2));
    for x in xs {
        let inputs: Vec<f64> = [x].into_iter().chain(A::PARAMS.iter().map(|p| p.default)).collect();
        let x_mp = arena.number(x);
        let p = || <A::Params<_>>::from_fn(|i| x_mp.lit(A::PARAMS[i].default));
        let (got, exact) = (A::value(x_mp, p()).value(), value.exact(&inputs).unwrap());
        assert!(same(&got, &exact), "{} at {x:e}: {got:.40} {exact:.40}", A::META.name);
        // Where the slope jumps, which one is taken is a convention, not mathematics.
        if !A::CLAIMS.kinks.iter().any(|k| k.at == x) {
            let (got, exact) = (A::slope(x_mp, p()).value(), slope.exact(&inputs).unwrap());
            assert!(
                same(&got, &exact),
                "slope of {} at {x:e}: {got:.40} {exact:.40}",
                A::META.name
            );
        }
        arena.clear();
    }
}

/// The reference of exhaustive runs, 4096 neighbours at a time, against the formula: within
/// 2^-16 units in the last place of an f32.
#[test]
fn neighbours() {
    let random = |n: u64, below: u64| mix(77, n) % below;
    for f in functions() {
        let names: Vec<&str> = ["x"].into_iter().chain(f.params().map(|(p, _)| p.name)).collect();
        let value = formula(f.meta().formula, &names);
        let slope = value.derivative("x");
        let parameters: Vec<f64> =
            f.params().map(|(p, v)| if p.exact { v } else { f64::from(v as f32) }).collect();
        let (mut v, mut s) = (vec![0.0; 4096], vec![0.0; 4096]);
        let (mut worst, mut interpolated) = ([0.0f64; 2], 0);
        // Every binade where functions bend, both signs, and what lies beyond.
        for n in 0..2000u64 {
            let exponent =
                if n % 4 == 0 { random(3 * n, 255) } else { 127 - 20 + random(3 * n, 28) };
            let bits = ((n & 1) << 31 | exponent << 23 | random(3 * n + 1, 1 << 11) << 12) as u32;
            interpolated += f.neighbours(bits, &mut v, &mut s);
            for k in 0..3 {
                let i = random(7 * n + k, 4096) as usize;
                let x = f32::from_bits(bits + i as u32);
                let inputs: Vec<f64> =
                    std::iter::once(f64::from(x)).chain(parameters.iter().copied()).collect();
                for (which, (got, formula)) in
                    [(v[i], &value), (s[i], &slope)].into_iter().enumerate()
                {
                    let kink = f.claims().kinks.iter().any(|k| k.at == f64::from(x));
                    if which == 1 && kink {
                        continue;
                    }
                    let exact = formula.exact(&inputs).unwrap();
                    let size = exact.to_f64().abs().max(f64::from(f32::MIN_POSITIVE));
                    let unit = 2f64.powi((size.to_bits() >> 52) as i32 - 1023 - 23);
                    let off = (Float::with_val(200, &exact - got) / unit).to_f64().abs();
                    // Next to a zero of the slope the absolute bound of the contract decides.
                    let near = which == 1
                        && f.claims().slope_zeros.iter().any(|z| (z - f64::from(x)).abs() < 0.01);
                    if !near {
                        worst[which] = worst[which].max(off);
                    }
                    assert!(
                        off <= 1.0 / 65_536.0 || near && off * unit <= 1e-15,
                        "{} ({which}) at {x:e}: {got:e} is {off:e} units off",
                        f.name()
                    );
                }
            }
        }
        let [v, s] = worst;
        println!("{:13} {v:.1e} and {s:.1e} units, {interpolated} interpolated", f.name());
        assert!(interpolated > 2000 * 4096, "{}: only {interpolated} interpolated", f.name());
    }
}

/// The numbers around each change of sign of `f`, where terms cancel most.
fn sign_changes(f: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut out = Vec::new();
    for i in -640..640 {
        let (mut a, mut b) = (f64::from(i) / 64.0 + 1e-3, f64::from(i + 1) / 64.0 + 1e-3);
        if f(a) * f(b) >= 0.0 {
            continue;
        }
        while a.next_up() < b {
            let middle = a + (b - a) / 2.0;
            *(if f(middle) * f(a) > 0.0 { &mut a } else { &mut b }) = middle;
        }
        out.extend(near::<f64>(&[a], 5));
        out.extend((1..50).flat_map(|k| [a - 0.5f64.powi(k), a + 0.5f64.powi(k)]));
    }
    out
}

/// Second derivatives and derivatives by parameters that the library gives for f64: within 64 units
/// in the last place of the formula's, far out and next to zeros too.
#[test]
fn second_derivatives_and_gradients() {
    let mut changed: Vec<Function> = functions().iter().map(|f| (*f).clone()).collect();
    for (name, values) in [
        ("silu", &[-1.5, 1e-3, 1.702, 1e6][..]),
        ("celu", &[1e-6, 0.3, 1e20]),
        ("elu", &[-2.0, 0.3]),
        ("softplus", &[0.01, 30.0]),
        ("hard_sigmoid", &[0.2]),
    ] {
        let f = nonlin::get(name).unwrap();
        changed.extend(values.iter().map(|v| f.with_index(0, *v).unwrap()));
    }
    for f in changed {
        let names: Vec<&str> = ["x"].into_iter().chain(f.params().map(|(p, _)| p.name)).collect();
        let value = formula(f.meta().formula, &names);
        let second = value.derivative("x").derivative("x");
        let mut xs = mixed::<f64>(0, &[-1.0, 1.0, 3.0, -3.0, 0.0], 3, 0);
        xs.extend([1e-17, -1e-17, 1e-40, -1e-40, 1e-200, -709.0, 700.0, -1e200, 1e200]);
        xs.extend(uniform::<f64>(-45.0, 45.0, 150, 1));
        xs.extend(uniform::<f64>(-760.0, 760.0, 150, 2));
        xs.extend(sign_changes(|x| f.curvature(x)));
        let mut gradient = vec![0.0; f.params().count()];
        let mut worst = [(0.0f64, 0.0f64); 2];
        for x in xs {
            // Where pieces meet, the derivative is a convention, or there is none.
            let corner = x == 0.0 || f.claims().kinks.iter().any(|k| (k.at - x).abs() < 1e-9);
            if !x.is_finite() || corner {
                continue;
            }
            let inputs: Vec<f64> = [x].into_iter().chain(f.params().map(|(_, v)| v)).collect();
            let mut see = |which: usize, what: &str, got: f64, exact: &Float| {
                let e = ulp_error(got, exact);
                if e > worst[which].0 {
                    worst[which] = (e, x);
                }
                assert!(e <= 64.0, "{f:?}: {what} at {x:e} is {got:e}, not {exact:.20}: {e} ULP");
            };
            see(0, "f''", f.curvature(x), &second.exact(&inputs).unwrap());
            f.parameter_gradient(x, &mut gradient);
            for (got, (p, _)) in gradient.iter().zip(f.params()) {
                see(1, p.name, *got, &value.derivative(p.name).exact(&inputs).unwrap());
            }
        }
        println!("{f:?}: f'' {:.3?}, by parameters {:.3?} ULP", worst[0], worst[1]);
    }
}

macro_rules! definitions {
    ($($test:ident = $t:ident),+ $(,)?) => {
        $(#[test]
        fn $test() {
            definition::<nonlin::$t>();
        })+

        #[test]
        fn none_is_left_out() {
            let tested = [$(<nonlin::$t as Elementwise>::META.name),+];
            for f in functions() {
                assert!(tested.contains(&f.name()), "{} is not compared", f.name());
            }
        }
    };
}
definitions!(
    celu = Celu,
    elu = Elu,
    gelu = Gelu,
    gelu_tanh = GeluTanh,
    hard_sigmoid = HardSigmoid,
    hard_swish = HardSwish,
    identity = Identity,
    leaky_relu = LeakyRelu,
    log_sigmoid = LogSigmoid,
    mish = Mish,
    prelu = Prelu,
    relu = Relu,
    rrelu = Rrelu,
    selu = Selu,
    sigmoid = Sigmoid,
    silu = Silu,
    softplus = Softplus,
    tanh = Tanh,
);
