//! The functions of the catalogue that are formulas, as everybody gets them: by name.

use crate::common::*;
use nonlin::{Element, Formula, Function, GatedFunction, formulas, gated_formulas};
use nonlin_testkit::samples::mixed;
use nonlin_testkit::ulp::ulp_error;

fn all() -> impl Iterator<Item = (&'static str, Function)> {
    formulas().iter().map(|m| (m.name, nonlin::get(m.name).unwrap_or_else(|e| panic!("{e}"))))
}

/// Values at -inf and inf, slopes at both.
const LIMITS: [(&str, [f64; 4]); 58] = {
    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    const HALF_PI: f64 = core::f64::consts::FRAC_PI_2;
    const LN_2: f64 = core::f64::consts::LN_2;
    const LIKE_RELU: [f64; 4] = [-0.0, INF, 0.0, 1.0];
    [
        ("abs", [INF, INF, -1.0, 1.0]),
        ("acon_c", LIKE_RELU),
        ("aglu", LIKE_RELU),
        ("apl", [INF, INF, -0.2, 1.0]),
        ("arctan", [-HALF_PI, HALF_PI, 0.0, 0.0]),
        ("bent_identity", [-INF, INF, 0.5, 1.5]),
        ("derf", [-1.0, 1.0, 0.0, 0.0]),
        ("dyt", [-1.0, 1.0, 0.0, 0.0]),
        ("elish", LIKE_RELU),
        ("erf", [-1.0, 1.0, 0.0, 0.0]),
        ("exponential", [0.0, INF, 0.0, INF]),
        ("gated_polynomial", [-INF, INF, INF, INF]),
        ("gaussian", [0.0, 0.0, 0.0, 0.0]),
        ("gcu", [NAN, NAN, NAN, NAN]),
        ("gish", [0.0, INF, 0.0, LN_2]),
        ("golu", LIKE_RELU),
        ("hard_mish", LIKE_RELU),
        ("hard_shrink", [-INF, INF, 1.0, 1.0]),
        ("hard_tanh", [-1.0, 1.0, 0.0, 0.0]),
        ("isrlu", [-1.0, INF, 0.0, 1.0]),
        ("isru", [-1.0, 1.0, 0.0, 0.0]),
        ("lisht", [INF, INF, -1.0, 1.0]),
        ("logcosh", [INF, INF, -1.0, 1.0]),
        ("logish", [-0.0, INF, 0.0, LN_2]),
        ("logit", [NAN, NAN, NAN, NAN]),
        ("normal_cdf", [0.0, 1.0, 0.0, 0.0]),
        ("pelu", [-1.0, INF, 0.0, 1.0]),
        // gelu(x) is -0 at -inf, and so is tanh of it.
        ("phish", [0.0, INF, 0.0, 1.0]),
        ("polyrelu", [0.0, INF, 0.0, INF]),
        ("quick_gelu", LIKE_RELU),
        ("relu6", [0.0, 6.0, 0.0, 0.0]),
        ("serf", LIKE_RELU),
        ("shifted_softplus", [-LN_2, INF, 0.0, 1.0]),
        ("shrink", [-INF, INF, 1.0, 1.0]),
        ("sign", [-1.0, 1.0, 0.0, 0.0]),
        ("sine", [NAN, NAN, NAN, NAN]),
        ("smelu", [0.0, INF, 0.0, 1.0]),
        ("smu", [-INF, INF, 0.25, 1.0]),
        ("snake", [-INF, INF, NAN, NAN]),
        ("snake_beta", [-INF, INF, NAN, NAN]),
        ("soft_cap", [-30.0, 30.0, 0.0, 0.0]),
        ("soft_shrink", [-INF, INF, 1.0, 1.0]),
        ("softsign", [-1.0, 1.0, 0.0, 0.0]),
        ("sparse_plus", [0.0, INF, 0.0, 1.0]),
        ("sparse_sigmoid", [0.0, 1.0, 0.0, 0.0]),
        ("squared_relu", [0.0, INF, 0.0, INF]),
        ("squareplus", [0.0, INF, 0.0, 1.0]),
        ("srelu", [-INF, INF, 0.2, 1.0]),
        ("star_relu", [-0.4472, INF, 0.0, INF]),
        ("step", [0.0, 1.0, 0.0, 0.0]),
        ("tanhexp", LIKE_RELU),
        ("tanhshrink", [-INF, INF, 1.0, 1.0]),
        ("threshold", [0.0, INF, 0.0, 1.0]),
        ("thresholded_relu", [0.0, INF, 0.0, 1.0]),
        ("xatlu", [-1.0 / core::f64::consts::PI, INF, 0.0, 1.0]),
        ("xgelu", LIKE_RELU),
        ("xielu", [INF, INF, -0.3, INF]),
        ("xsilu", LIKE_RELU),
    ]
};

#[test]
fn every_one_has_its_limits_and_gives_nan_for_nan() {
    assert_eq!(formulas().len(), LIMITS.len());
    for ((name, f), (listed, limits)) in all().zip(LIMITS) {
        assert_eq!(name, listed, "sorted by name");
        let alike = |what: &str, got: f64, wanted: f64| {
            let same =
                got.is_nan() && wanted.is_nan() || got == wanted || (got - wanted).abs() < 1e-15;
            assert!(same, "{name}: {what} is {got}, not {wanted}");
            let gate = wanted == 0.0 && wanted.is_sign_negative();
            assert!(!gate || got.is_sign_negative(), "{name}: {what} is {got}, not {wanted}");
        };
        let inf = f64::INFINITY;
        for (x, [value, slope]) in [(-inf, [limits[0], limits[2]]), (inf, [limits[1], limits[3]])] {
            alike("a limit", f.value(x), value);
            alike("a limit of the slope", f.slope(x), slope);
            alike("a limit of f32", f64::from(f.value(x as f32)), f64::from(value as f32));
            alike("a limit of f32's slope", f64::from(f.slope(x as f32)), f64::from(slope as f32));
            let (v, d) = f.reference(x);
            alike("a limit of the reference", v.hi, value);
            alike("a limit of the reference's slope", d.hi, slope);
            // Among others, over the end of a block, in place.
            let mut y: Vec<f64> = (0..9001).map(|i| f64::from(i) / 1000.0 - 4.5).collect();
            let usual = {
                let mut y = y.clone();
                f.forward_in_place(&mut y);
                y
            };
            for at in [0, 511, 512, 4095, 4096, 9000] {
                y[at] = x;
            }
            f.forward_in_place(&mut y);
            for (i, (got, usual)) in y.iter().zip(usual).enumerate() {
                let mine = [0, 511, 512, 4095, 4096, 9000].contains(&i);
                alike("an element", *got, if mine { value } else { usual });
            }
        }
        for nan in [f.value(f64::NAN), f.slope(f64::NAN), f64::from(f.value(f32::NAN))] {
            assert!(nan.is_nan(), "{name}");
        }
    }
}

/// The worst error of values and of slopes, each with the input.
fn worst<T: Number>(f: &Function, x: &[T], near_zero: f64) -> [(f64, T); 2] {
    let mut worst = [(0.0, x[0]); 2];
    let (mut y, mut d) = (x.to_vec(), x.to_vec());
    f.forward(x, &mut y);
    f.derivative(x, &mut d);
    for i in 0..x.len() {
        let (v, s) = f.reference(x[i]);
        for (worst, (got, wanted)) in worst.iter_mut().zip([(y[i], v.hi), (d[i], s.hi)]) {
            if !wanted.is_finite() || Element::to_f64(T::from_f64(wanted)).is_infinite() {
                continue;
            }
            let error = ulp_error(got, wanted);
            if error > worst.0 && (Element::to_f64(got) - wanted).abs() > near_zero {
                *worst = (error, x[i]);
            }
        }
    }
    worst
}

#[test]
fn values_of_f32_are_rounded_once_and_slopes_too() {
    for (name, f) in all() {
        let x = mixed::<f32>(3, &[0.0, 1.0], 4, 4999);
        // Slopes that touch 0 again and again, or fall off as the cube of what they are made of.
        let apart =
            if matches!(name, "snake" | "snake_beta" | "xatlu") { 1.0 / 16_777_216.0 } else { 0.0 };
        let [value, _] = worst(&f, &x, 0.0);
        let [_, slope] = worst(&f, &x, apart);
        assert!(value.0 <= 0.51, "{name}: a value is {} units off at {}", value.0, value.1);
        assert!(slope.0 <= 0.51, "{name}: a slope is {} units off at {}", slope.0, slope.1);
    }
}

#[test]
fn values_of_f64_are_within_four_units() {
    for (name, f) in all() {
        // Where powers of the input are numbers, and waves have digits.
        let x: Vec<f64> = mixed::<f64>(3, &[0.0, 1.0], 4, 4999);
        let x: Vec<f64> = x.into_iter().filter(|x| x.abs() <= 3e4).collect();
        // Beside a zero of the function, and of the slope, what is left of a difference counts.
        let [value, slope] = worst(&f, &x, 2f64.powi(-51));
        // A double exponential multiplies the roundings of the inner one.
        let most = if name == "golu" { 64.0 } else { 4.0 };
        assert!(value.0 <= most, "{name}: a value is {} units off at {}", value.0, value.1);
        // In the tails of exponentials slopes have the roundings of their arguments.
        assert!(slope.0 <= 512.0, "{name}: a slope is {} units off at {}", slope.0, slope.1);
    }
}

#[test]
fn each_is_found_by_all_its_names_and_has_its_own() {
    for m in formulas().iter().chain(gated_formulas()) {
        let formula = Formula::parse(m.formula).unwrap();
        let frameworks = [m.pytorch, m.keras, m.onnx].into_iter().filter(|n| !n.is_empty());
        for name in [m.name].into_iter().chain(m.aliases.iter().copied()).chain(frameworks) {
            if formula.is_gated() {
                let f = GatedFunction::parse(name).unwrap();
                assert_eq!((f.name(), f.meta().source), (m.name, m.source), "{name}");
            } else {
                let f = nonlin::get(name).unwrap();
                assert_eq!((f.name(), f.meta().source), (m.name, m.source), "{name}");
                assert_eq!(f, Function::parse(name).unwrap());
                assert!(m.formula.starts_with(f.meta().formula));
            }
        }
    }
    for (name, found) in [
        ("torch.nn.Softsign", "softsign"),
        ("F.hardtanh", "hard_tanh"),
        ("jax.nn.squareplus", "squareplus"),
        ("torch.nn.functional.silu", "silu"),
        ("nn.ReLU6", "relu6"),
        ("keras.activations.tanh_shrink", "tanhshrink"),
        ("jax.nn.gelu", "gelu_tanh"),
        ("jax.nn.soft_sign", "softsign"),
        ("torch.nn.GELU", "gelu"),
    ] {
        assert_eq!(nonlin::get(name).unwrap().name(), found);
    }
    let e = nonlin::get("softsing").unwrap_err().to_string();
    assert_eq!(e, "unknown function `softsing`; did you mean `softsign`?");
    let names: std::collections::BTreeSet<&str> = formulas().iter().map(|m| m.name).collect();
    assert!(nonlin::functions().iter().all(|f| !names.contains(f.name())), "two with one name");
}

#[test]
fn formulas_may_use_them() {
    let f = Function::parse("x * softsign(x) + soft_shrink(x, lambd=1)").unwrap();
    assert_eq!(f.value(3.0f64), 3.0 * 0.75 + 2.0);
    let g = GatedFunction::parse("a * squared_relu(b)").unwrap();
    let mut y = [0.0f32];
    g.forward(&[2.0], &[3.0], &mut y);
    assert_eq!(y, [18.0]);
}

/// At kinks, as PyTorch, and where limits meet.
#[test]
fn slopes_at_kinks() {
    for (name, x, slope) in [
        ("abs", 0.0, 0.0),
        ("relu6", 0.0, 0.0),
        ("relu6", 6.0, 0.0),
        ("hard_tanh", -1.0, 0.0),
        ("hard_tanh", 1.0, 0.0),
        ("hard_shrink", 0.5, 0.0),
        ("hard_shrink", -0.5, 0.0),
        ("soft_shrink", 0.5, 0.0),
        ("softsign", 0.0, 1.0),
        ("squareplus", 0.0, 0.5),
        ("squared_relu", 0.0, 0.0),
        ("threshold", 0.0, 0.0),
        ("isrlu", 0.0, 1.0),
        ("logcosh", 1.0, 0.761_594_155_955_764_9),
        ("logcosh", -1.0, -0.761_594_155_955_764_9),
        ("logit", 0.0, f64::INFINITY),
        ("logit", 0.5, 4.0),
        ("logit", 1.0, f64::INFINITY),
    ] {
        let f = nonlin::get(name).unwrap();
        let is = f.slope(x);
        assert!(is == slope || (is - slope).abs() < 1e-15, "{name} at {x}: {is}");
        assert_eq!(f.slope(x as f32), slope as f32, "{name} at {x}");
    }
    // What is flat below stays so under a root that is steep at 0.
    let f = Function::parse("max(x, 0)^1.5").unwrap();
    assert_eq!([-1.0, 0.0, 4.0].map(|x| f.slope(x)), [0.0, 0.0, 3.0]);
}

/// The slope of every primitive in f64, far out too, where its exponent is kept apart.
#[test]
fn slopes_of_primitives_keep_their_exponents() {
    for text in [
        "exp(x)",
        "expm1(x)",
        "tanh(x)",
        "sigmoid(x)",
        "softplus(x)",
        "normal_cdf(x)",
        "tanh_softplus(x)",
        "erf(x)",
        "atan(x)",
        "x * softplus(x)",
        "x * tanh_softplus(x)",
        "x * erf(softplus(x))",
        "x * sigmoid(x) * softplus(x)",
    ] {
        // As text that is no function of the catalogue, so that it is recorded.
        let f = Function::parse(&format!("0.75 * ({text})")).unwrap();
        let x: Vec<f64> = (-7300..=7090).map(|i| f64::from(i) / 10.0).collect();
        let mut d = x.clone();
        f.derivative(&x, &mut d);
        for (x, d) in x.iter().zip(d) {
            let wanted = f.reference(*x).1.hi;
            if wanted.abs() > f64::MIN_POSITIVE && wanted.is_finite() {
                let error = (d - wanted).abs() / wanted.abs();
                assert!(error < 1e-12, "{text} at {x}: {d:e}, not {wanted:e}");
            }
        }
    }
}
