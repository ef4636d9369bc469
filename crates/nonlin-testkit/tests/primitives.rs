//! The vocabulary of definitions in double-doubles, against multiple precision; and derivatives by
//! dual numbers against quotients of differences.
#![cfg(feature = "mpfr")]

use nonlin::real::{Dd, Dual, Extended, Prim, Real};
use nonlin_testkit::Float;
use nonlin_testkit::formula::Formula;
use nonlin_testkit::mpfr::Mpfr;
use nonlin_testkit::samples::{mix_unit, mixed, uniform};
use nonlin_testkit::ulp::ulp_error;

const PRIMITIVES: [Prim; 7] =
    [Prim::Sqrt, Prim::Ln, Prim::Ln1p, Prim::Sin, Prim::Cos, Prim::Atan, Prim::Erf];

/// The sum of two numbers, in as many bits as it takes.
fn sum(v: Dd) -> Float {
    Float::with_val(2400, v.hi) + v.lo
}

/// How far `got` is from `exact`, relative; 0 where both are NaN, infinite or nothing to an f64.
fn apart(got: Dd, exact: &Float) -> f64 {
    if got.hi.is_nan() || exact.is_nan() {
        return if got.hi.is_nan() && exact.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let nearest = exact.to_f64();
    if nearest.is_infinite() || got.hi.is_infinite() || nearest.abs() < 1e-290 {
        let near = (got.hi - nearest).abs() <= 1e-300;
        return if got.hi == nearest || near { 0.0 } else { f64::INFINITY };
    }
    Float::with_val(64, (sum(got) - exact) / exact).abs().to_f64()
}

/// Values and both derivatives to 30 digits, everywhere; and of numbers in two parts.
#[test]
fn to_thirty_digits() {
    for p in PRIMITIVES {
        let mut xs = mixed::<f64>(1, &[0.0, 1.0, -1.0, 0.5, 2.8, 30.0], 2, 1);
        xs.extend(uniform::<f64>(-8.0, 8.0, 400, 2));
        xs.extend(uniform::<f64>(-1.0, 1.0, 400, 3));
        xs.extend(uniform::<f64>(-1e6, 1e6, 200, 4));
        xs.extend([6.381_956_970_095_103e2, 5.319_372_648_326_541e255]);
        let mut arena = Mpfr::new(2400);
        let mut worst = [(0.0, 0.0); 2];
        for (i, &x) in xs.iter().enumerate() {
            let lo = x * 2f64.powi(-54) * (2.0 * mix_unit(5, i as u64) - 1.0);
            let plain = x.is_finite() && x.abs() > 1e-250;
            let lo = if i % 2 == 0 || !plain { 0.0 } else { lo };
            let at = Dd { hi: x, lo };
            let j = (arena.number(x) + arena.number(lo)).jet(p);
            let (d, e) = (at.jet(p), Extended::from(at).jet(p));
            for (which, got, exact) in [
                (0, d.v, j.v),
                (1, e.v.to_dd(), j.v),
                (0, (d.d + d.d_lo).scale2(d.k), j.d),
                (1, e.d.to_dd(), j.d),
                (1, e.dd.to_dd(), j.dd),
            ] {
                let off = apart(got, &exact.value());
                // In f64's range a square may overflow, which the second kind of number has room for.
                let room = which == 1 || (1e-140..1e140).contains(&x.abs());
                if off > worst[which].0 && room {
                    worst[which] = (off, x);
                }
                assert!(
                    off < 1e-29 || !room,
                    "{p:?} of {x:e} + {lo:e}: {got:?}, {off:e} off {exact:?}"
                );
            }
            arena.clear();
        }
        println!(
            "{p:?}: double-double {:e} at {:e}, extended {:e} at {:e}",
            worst[0].0, worst[0].1, worst[1].0, worst[1].1
        );
        // Turns of a low part may take away digits of those of the high one, and an exponential of x^2
        // has x^2 times its error.
        let less = matches!(p, Prim::Sin | Prim::Cos | Prim::Erf);
        assert!(less || worst[1].0 < 1e-30, "{p:?}: {worst:?}");
    }
}

/// Powers: as accurate as a logarithm of 30 digits times 700 allows.
#[test]
fn powers() {
    let mut arena = Mpfr::new(400);
    for x in mixed::<f64>(1, &[1.0, 2.0], 2, 6).into_iter().chain(uniform::<f64>(0.0, 4.0, 400, 7))
    {
        for n in [-7, -2, -1, 0, 1, 2, 3, 10, 31] {
            let got = Extended::new(x).powi(n).to_dd();
            let exact = arena.number(x).powi(n).value();
            let off = apart(got, &exact);
            assert!(off < 1e-29, "{x:e}^{n}: {got:?}, {off:e}");
        }
        for y in [-2.5, 0.3, 1.7, 12.25] {
            let got = Extended::new(x).powf(Extended::new(y)).to_dd();
            // Not by way of the logarithm.
            let exact = if x < 0.0 {
                Float::with_val(400, f64::NAN)
            } else {
                Formula::parse("x^y", &["x", "y"]).unwrap().exact(&[x, y]).unwrap()
            };
            let off = apart(got, &exact);
            assert!(off < 1e-27, "{x:e}^{y}: {got:?}, {off:e}");
        }
        arena.clear();
    }
}

/// A function of the vocabulary.
#[derive(Debug)]
enum Method {
    Of(Prim),
    Integer(i32),
    Power(f64),
    Exponent(f64),
    Log1mexp,
    Erfc,
    Floor,
    Round,
    Sign,
    Step,
    Polynomial,
    Threshold(f64),
    MulAdd,
}

impl Method {
    fn of<T: Real>(&self, x: T) -> T {
        match *self {
            Method::Of(p) => x.jet(p).value(),
            Method::Integer(n) => x.powi(n),
            Method::Power(y) => x.powf(x.lit(y)),
            Method::Exponent(b) => x.lit(b).powf(x),
            Method::Log1mexp => x.log1mexp(),
            Method::Erfc => x.erfc(),
            Method::Floor => x.floor() * x,
            Method::Round => x.round() * x,
            Method::Sign => x.sign() * x,
            Method::Step => x.step() * x,
            Method::Polynomial => x.polynomial(&[x.lit(1.0), x, x.lit(0.25), x.lit(-2.0)]),
            Method::Threshold(c) => {
                let s = x.split_by(x.lit(c));
                s.join(s.hi * s.hi, -s.lo)
            }
            Method::MulAdd => x.mul_add(x, x.lit(3.0)),
        }
    }
}

#[test]
fn derivatives_are_slopes() {
    let mut methods: Vec<Method> = PRIMITIVES.into_iter().map(Method::Of).collect();
    methods.extend([-3, -1, 0, 1, 2, 5].map(Method::Integer));
    methods.extend([-1.5, 0.5, 2.0].map(Method::Power));
    methods.extend([0.3, 2.5].map(Method::Exponent));
    methods.extend([Method::Log1mexp, Method::Erfc, Method::Floor, Method::Round]);
    methods.extend([Method::Sign, Method::Step, Method::Polynomial, Method::MulAdd]);
    methods.extend([-1.0, 0.7].map(Method::Threshold));
    let mut arena = Mpfr::new(500);
    for m in methods {
        let mut seen = 0;
        for x in uniform::<f64>(-5.0, 5.0, 120, 11) {
            let half = Float::with_val(500, 1) >> 101u32;
            let at = |h: &Float| m.of(arena.float(&Float::with_val(500, h + x)));
            let (below, above) = (at(&Float::with_val(500, -&half)), at(&half));
            let quotient = ((above - below) / arena.float(&(half * 2u32))).to_f64();
            let exact = m.of(Dual::variable(arena.number(x)));
            let quick = m.of(Dual::variable(x));
            let nested = m.of(Dual { v: Dual::variable(x), d: Dual::fixed(1.0) }).d.v;
            if quotient.is_nan() {
                assert!(exact.v.to_f64().is_nan() && quick.v.is_nan(), "{m:?} at {x}: {quick:?}");
            } else {
                seen += 1;
                let size = quotient.abs().max(1e-3);
                for (kind, d) in [("mpfr", exact.d.to_f64()), ("f64", quick.d), ("nested", nested)]
                {
                    let off = (d - quotient).abs() / size;
                    assert!(off < 1e-12, "{m:?} at {x}: {d} ({kind}) and not {quotient}");
                }
            }
            arena.clear();
        }
        assert!(seen > 40, "{m:?}: {seen}");
    }
}

/// A definition that the vocabulary was made for: its text and its body.
struct Body {
    text: &'static str,
    /// The largest error of a value and of a slope in f64, in units in the last place.
    bounds: (f64, f64),
}

/// The body of `text`, at any number type.
fn body<T: Real>(text: &str, x: T) -> T {
    let one = x.lit(1.0);
    match text {
        "erf(x)" => x.erf(),
        "atan(x)" => x.atan(),
        "exp(-x^2)" => {
            let (square, rest) = x.two_prod(x);
            let j = (-square).jet_at(-rest, Prim::Exp);
            one.scaled(j.v, j.v_lo, j.k)
        }
        "sin(30 * x)" => {
            let (z, z_lo) = x.argument((x.lit(30.0), x.lit(-0.0)));
            z.jet_at(z_lo, Prim::Sin).value()
        }
        "x + sin(2 * x)^2 / 2" => x + (x + x).sin().powi(2) * x.lit(0.5),
        "(x + sqrt(x^2 + 4)) / 2" => {
            // On the left 2 / (sqrt(x^2 + 4) - x), which does not cancel.
            let s = x.split(0.0);
            let root = (x * x + x.lit(4.0)).sqrt();
            s.join((s.hi + root) * x.lit(0.5), x.lit(2.0) / (root - s.lo))
        }
        "x / (1 + x^2)^0.5" => x / (x * x + one).sqrt(),
        "ln(1 + abs(x))" => x.abs().ln_1p(),
        "(2 + x^2)^-0.3" => (x * x + x.lit(2.0)).powf(x.lit(-0.3)),
        "x * cos(x)" => x * x.cos(),
        other => panic!("no body of {other}"),
    }
}

/// Definitions to come, in multiple precision and in f64, against their texts.
#[test]
fn bodies_are_their_texts() {
    let bodies = [
        Body { text: "erf(x)", bounds: (1.5, 2.0) },
        Body { text: "atan(x)", bounds: (1.5, 2.0) },
        Body { text: "exp(-x^2)", bounds: (1.5, 4.0) },
        Body { text: "sin(30 * x)", bounds: (1.5, 4.0) },
        Body { text: "x / (1 + x^2)^0.5", bounds: (4.0, f64::INFINITY) },
        Body { text: "ln(1 + abs(x))", bounds: (1.5, 2.0) },
        Body { text: "(2 + x^2)^-0.3", bounds: (4.0, 16.0) },
        Body { text: "(x + sqrt(x^2 + 4)) / 2", bounds: (4.0, 16.0) },
        Body { text: "x * cos(x)", bounds: (2.0, f64::INFINITY) },
        Body { text: "x + sin(2 * x)^2 / 2", bounds: (f64::INFINITY, f64::INFINITY) },
    ];
    let mut arena = Mpfr::new(400);
    for Body { text, bounds } in bodies {
        let f = Formula::parse(text, &["x"]).unwrap().with_f64_literals();
        let slope = f.derivative("x");
        let mut worst = [(0.0, 0.0); 2];
        for x in uniform::<f64>(-5.0, 5.0, 300, 1).into_iter().chain(uniform(-30.0, 30.0, 300, 2)) {
            let mp = body(text, Dual::variable(arena.number(x)));
            let quick = body(text, Dual::variable(x));
            for (i, got, mp, f, bound) in
                [(0, quick.v, mp.v, &f, bounds.0), (1, quick.d, mp.d, &slope, bounds.1)]
            {
                let exact = f.exact(&[x]).unwrap();
                let apart = Float::with_val(64, mp.value() - &exact).abs();
                assert!(
                    apart <= exact.clone().abs() >> 90u32,
                    "{text} ({i}) at {x}: {mp:?} {exact}"
                );
                let e = ulp_error(got, &exact);
                if e > worst[i].0 {
                    worst[i] = (e, x);
                }
                assert!(e <= bound, "{text} ({i}) at {x}: {got:e} is {e} units off {exact:.20}");
            }
            arena.clear();
        }
        println!("{text}: {worst:?}");
    }
}
