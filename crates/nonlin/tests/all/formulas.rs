//! Formulas as text: what they mean, what is refused and how, what they become.

use nonlin::real::{Dual, Interval};
use nonlin::{Formula, Function, Gate, GatedFunction, functions, gated_functions};
use nonlin_testkit::formula::Formula as Oracle;
use nonlin_testkit::samples::mixed;
use nonlin_testkit::textbook::TEXTBOOK;

fn parse(text: &str) -> Formula {
    Formula::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn defaults(f: &Formula) -> Vec<f64> {
    f.params().map(|(_, v)| v).collect()
}

fn at(text: &str, x: f64) -> f64 {
    let f = parse(text);
    f.evaluate(&[x, 2.5], &defaults(&f))
}

fn close(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 4e-15 * a.abs().max(b.abs())
}

#[test]
fn operators_bind_as_in_python() {
    for (text, value) in [
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("7 - 2 - 1", 4.0),
        ("16 / 4 / 2", 2.0),
        ("2 * 6 / 3", 4.0),
        ("-3^2", -9.0),
        ("(-3)**2", 9.0),
        ("2^3^2", 512.0),
        ("2**-1", 0.5),
        ("2 - -1", 3.0),
        ("- - +4", 4.0),
        ("1.5e1 + .5 + 2.", 17.5),
        ("25E-1", 2.5),
        ("2e", f64::NAN),
        ("pi", core::f64::consts::PI),
        ("e", core::f64::consts::E),
        ("sqrt(2)", core::f64::consts::SQRT_2),
        ("ln(10)", core::f64::consts::LN_10),
        ("log2(8)", 3.0),
        ("log10(1000)", 3.0),
        ("0.1 + 0.2", 0.3),
        ("2^10", 1024.0),
        ("9^0.5", 3.0),
        ("4 * atan(1)", core::f64::consts::PI),
        ("cos(0) + erf(0)", 1.0),
        ("4^-1.5", 0.125),
    ] {
        if value.is_nan() {
            assert!(Formula::parse(text).is_err(), "{text}");
        } else {
            assert_eq!(at(text, 0.0), value, "{text}");
        }
    }
}

#[test]
fn conditions_compare_and_combine() {
    for (text, at_minus, at_zero, at_one) in [
        ("where(x > 0, 2, 3)", 3.0, 3.0, 2.0),
        ("where(x >= 0, 2, 3)", 3.0, 2.0, 2.0),
        ("where(x < 0, 2, 3)", 2.0, 3.0, 3.0),
        ("where(x <= 0, 2, 3)", 2.0, 2.0, 3.0),
        ("where(x == 0, 2, 3)", 3.0, 2.0, 3.0),
        ("where(x != 0, 2, 3)", 2.0, 3.0, 2.0),
        ("where(0 < x, 2, 3)", 3.0, 3.0, 2.0),
        ("where(-2 * x > 1, 2, 3)", 2.0, 3.0, 3.0),
        ("where(x + 1 > 0.5, 2, 3)", 3.0, 2.0, 2.0),
        ("if(x > 0, 2, 3)", 3.0, 3.0, 2.0),
        ("2 if x > 0 else 3", 3.0, 3.0, 2.0),
        ("2 if x > 0 else 3 if x < 0 else 4", 3.0, 4.0, 2.0),
        ("where(x > -0.5 and x < 0.5, 2, 3)", 3.0, 2.0, 3.0),
        ("where((x > -0.5) & (x < 0.5), 2, 3)", 3.0, 2.0, 3.0),
        ("where(-0.5 < x < 0.5, 2, 3)", 3.0, 2.0, 3.0),
        ("where(x < -0.5 or x > 0.5, 2, 3)", 2.0, 3.0, 2.0),
        ("where((x < -0.5) | (x > 0.5), 2, 3)", 2.0, 3.0, 2.0),
        ("where(not x > 0, 2, 3)", 2.0, 2.0, 3.0),
        ("where(~(x > 0), 2, 3)", 2.0, 2.0, 3.0),
        ("where(not (x > -0.5 and x < 0.5) or x == 0, 2, 3)", 2.0, 2.0, 2.0),
        ("x > 0", 0.0, 0.0, 1.0),
        ("5 * (x > 0) - 1", -1.0, -1.0, 4.0),
        ("heaviside(x, 0.5)", 0.0, 0.5, 1.0),
        ("step(x)", 0.0, 0.0, 1.0),
        ("max(x, 0.5, -x)", 1.0, 0.5, 1.0),
        ("clip(x, -0.5, 0.25)", -0.5, 0.0, 0.25),
        ("clamp(x, min=0.5)", 0.5, 0.5, 1.0),
        ("clamp(x, max=0.5)", -1.0, 0.0, 0.5),
        ("abs(x)", 1.0, 0.0, 1.0),
        ("sign(x)", -1.0, 0.0, 1.0),
    ] {
        let got = [-1.0, 0.0, 1.0].map(|x| at(text, x));
        assert_eq!(got, [at_minus, at_zero, at_one], "{text}");
        assert!(at(text, f64::NAN).is_nan(), "{text} at NaN");
    }
}

/// Texts that both parsers read; where a text cancels, the oracle loses digits that this does not.
const TEXTS: [&str; 24] = [
    "x",
    "x * normal_cdf(x)",
    "0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))",
    "if(x > 0, x, 0.7 * (expm1(x)))",
    "if(x * x <= 2, x^2 / 2, abs(x) - 0.3)",
    "x / (1 + abs(x))",
    "min(max(x, -1), 6) + max(0.25 * x, x)",
    "x * tanh(ln(1 + exp(x)))",
    "1 / (1 + exp(-(0.3 * x)))",
    "-ln(1 + exp(-x))",
    "x^2 + 3 * x - 1",
    "(-x)^2 + (x + 1)^2",
    "2^(-x)",
    "2^-x^2",
    "(x^2)^1.5",
    "(2 + x^2)^x",
    "sqrt(x^2 + 1) + abs(x)",
    "erf(x) * sigmoid(x / 3)",
    "log1p(x^2) + expm1(x) * x",
    "if(x == 1, x + 1, if(x >= 1, 2 * x, if(x < -1, exp(x), x^3)))",
    "x^-2",
    "tanh_softplus(x) * sigmoid(x)",
    "ln(2 + sigmoid(x)) * exp(-x^2)",
    "x * exp(-exp(-x))",
];

#[test]
fn values_and_slopes_are_those_of_the_oracle() {
    for text in TEXTS {
        let (f, oracle) = (parse(text), Oracle::parse(text, &["x"]).unwrap());
        let slope = oracle.derivative("x");
        for x in (-70..70).map(|i| f64::from(i) * 0.1 + 0.013) {
            let d = f.evaluate(&[Dual::variable(x)], &[]);
            let (v, s) = (oracle.evaluate_f64(&[x]), slope.evaluate_f64(&[x]));
            let near = |a: f64, b: f64, size: f64| (a - b).abs() <= 1e-12 * (b.abs() + size);
            assert!(near(d.v, v, 1e-2), "{text} at {x}: {} for {v}", d.v);
            assert!(near(d.d, s, v.abs() + 1e-3), "slope of {text} at {x}: {} for {s}", d.d);
            // Dual numbers leave out what a constant has beyond f64.
            assert!(close(d.v, f.evaluate(&[x], &[])), "{text} at {x}");
        }
    }
}

#[test]
fn bounds_hold() {
    for text in TEXTS {
        let f = parse(text);
        for i in -40..40 {
            let (lo, hi) = (f64::from(i) * 0.25, f64::from(i) * 0.25 + 0.2);
            let bounds = f.evaluate(&[Interval::new(lo, hi)], &[]);
            for x in (0..=8).map(|k| lo + (hi - lo) * f64::from(k) / 8.0) {
                let y = f.evaluate(&[x], &[]);
                assert!(y.is_nan() || bounds.contains(y), "{text} at {x}: {y} not in {bounds:?}");
            }
        }
    }
}

#[test]
fn limits_are_kept() {
    let inf = f64::INFINITY;
    for (text, left, right) in [
        ("x * sigmoid(x)", 0.0, inf),
        ("x * sigmoid(-x)", -inf, 0.0),
        ("x^2 * sigmoid(x)", 0.0, inf),
        ("x * exp(x)", 0.0, inf),
        ("x * exp(-x^2)", 0.0, 0.0),
        ("x^3 * exp(x - x^2)", 0.0, 0.0),
        ("x * exp(-abs(x))", 0.0, 0.0),
        ("x * exp(-exp(-x))", 0.0, inf),
        ("x * clip(x / 6 + 0.51, 0, 1)", 0.0, inf),
        ("x * max(x, 0)", 0.0, inf),
        ("x * (x > 0)", 0.0, inf),
        ("x / (1 + abs(x))", -1.0, 1.0),
        ("x / sqrt(1 + x^2)", -1.0, 1.0),
        ("x / (1 + x^2)", 0.0, 0.0),
        ("(2 * x^2 + 1) / (x^2 + x + 1)", 2.0, 2.0),
        ("x^2 / (1 + abs(x))", inf, inf),
        ("x^2 - x", inf, inf),
        ("x^3 + x^2", -inf, inf),
        ("(x + sqrt(x^2 + 4)) / 2", 0.0, inf),
        ("sqrt(x^2 + 1) - x", inf, 0.0),
        ("softplus(x) - x", inf, 0.0),
        ("x - tanh(x)", -inf, inf),
        ("exp(x) / (1 + exp(x))", 0.0, 1.0),
        ("(exp(x) - exp(-x)) / (exp(x) + exp(-x))", -1.0, 1.0),
        ("ln(cosh(x))", inf, inf),
    ] {
        assert_eq!((at(text, -inf), at(text, inf)), (left, right), "{text}");
        assert!(at(text, f64::NAN).is_nan(), "{text} at NaN");
        // The last finite numbers are no exception.
        for (x, limit) in [(-f64::MAX, left), (f64::MAX, right)] {
            let y = at(text, x);
            assert!(
                y == limit || (y - limit).abs() < 1e-300 || y.abs() > 1e300 && limit.abs() == inf,
                "{text} at {x}: {y}"
            );
        }
    }
    for text in ["3", "p; p = 2", "where(p > 0, 1, x); p = 2", "0 * x", "x^0", "1 + 0 * max(x, 1)"]
    {
        assert!(at(text, f64::NAN).is_nan(), "{text}");
    }
}

#[test]
fn errors_say_where_and_what() {
    for (text, span, part) in [
        ("", 0..0, "expected a number, a name or `(`, found the end"),
        ("x + ", 3..3, "found the end"),
        ("x + * 2", 4..5, "expected a number, a name or `(`, found `*`"),
        ("(x + 1", 6..6, "expected `)`, found the end"),
        ("x)", 1..2, "expected an operator or the end, found `)`"),
        ("2 x", 2..3, "found `x`"),
        (
            "alpha * x",
            0..5,
            "unknown name `alpha`; declare a parameter with its default: `; alpha = 1`",
        ),
        ("alhpa * x; alpha = 1", 0..5, "did you mean `alpha`?"),
        ("x * tnah(x)", 4..8, "unknown function `tnah`; did you mean `tanh`?"),
        ("x * gleu(x)", 4..8, "did you mean `gelu`?"),
        ("x * frobnicate(x)", 4..14, "unknown function `frobnicate`"),
        ("tanh", 0..4, "`tanh` is a function; write `tanh(...)`"),
        ("softmax(x)", 0..7, "of whole rows"),
        ("max(x)", 0..6, "takes two arguments or more, not 1"),
        ("exp(x, 1)", 0..9, "takes one argument, not 2"),
        ("exp()", 0..5, "takes one argument, not 0"),
        ("elu(x, alhpa=1)", 13..14, "no argument `alhpa`; did you mean `alpha`?"),
        ("elu(x, 1, alpha=1)", 16..17, "`alpha` of `elu` is given twice"),
        ("elu()", 0..5, "misses its operand `x`"),
        ("where(x, 1, 0)", 6..7, "expected a condition such as `x > 0`"),
        ("where(x > 0, 1)", 0..15, "a condition and two numbers"),
        ("x and x > 0", 0..1, "expected a condition"),
        ("x if x > 0", 10..10, "expected `else`"),
        ("x = 1", 2..3, "found `=`"),
        ("1 + .", 4..5, "no part of a formula"),
        ("x \u{d7} 2", 2..4, "write `*`"),
        ("x\u{b2}", 1..3, "write `^2`"),
        ("1e999", 0..5, "beyond 1.8e308"),
        ("x / 0", 0..5, "no finite number"),
        ("x + ln(-1)", 4..10, "no finite number"),
        ("x^1e30", 0..6, "an exponent is at most 1024"),
        ("(x^1000)^1000", 0..13, "an exponent is at most 1024"),
        ("10^1000", 0..7, "no finite number"),
        ("a * x", 4..5, "`x` is the operand of an elementwise formula"),
        ("x; alpha", 8..8, "expected `=`"),
        ("x; 1 = 2", 3..4, "expected the name of a parameter"),
        ("x; x = 2", 3..4, "`x` is the operand"),
        ("x; pi = 2", 3..5, "has a meaning already"),
        ("x; p = 1, p = 2", 10..11, "declared twice"),
        ("x; p = q", 7..8, "unknown name `q`"),
        ("x; p = 1 in 0", 12..13, "two bounds"),
        ("x; p = 1 in (0, 1", 17..17, "expected `)` or `]`"),
        ("x; p = 2 in [0, 1]", 7..8, "outside its bounds"),
        ("x; p = 1 in (0, 1)", 7..8, "outside its bounds"),
        ("x; p = 1e300", 7..12, "outside the numbers of f32"),
        ("x; p = 1 in [2, 1]", 16..18, "no number is in these bounds"),
        ("x; p = 1 2", 9..10, "expected `,` or the end"),
    ] {
        let e = Formula::parse(text).expect_err(text);
        assert!(e.message().contains(part), "{text}: {e}");
        assert_eq!(e.span(), span, "{text}: {e}");
    }
    let e = Formula::parse("x * tnah(x)").unwrap_err();
    assert_eq!(
        e.to_string(),
        "unknown function `tnah`; did you mean `tanh`?\n  x * tnah(x)\n      ^^^^"
    );
    assert_eq!(e.nearest(), Some("tanh"));
    // A long text is shown in part, in one line.
    let long = format!("x +\n{}tnah(x)", "x + ".repeat(100));
    let shown = Formula::parse(&long).unwrap_err().to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    let mark = lines[2].chars().position(|c| c == '^').unwrap();
    let marked: String = lines[1].chars().skip(mark).take(4).collect();
    assert_eq!((marked.as_str(), lines[1].starts_with("  ...")), ("tnah", true), "{shown}");
}

#[test]
fn hostile_texts_are_refused() {
    let all = [
        ("(".repeat(1_000_000), "at most 10000 characters"),
        ("x+".repeat(500_000), "at most 10000 characters"),
        ("(".repeat(9_000), "64 parentheses"),
        (format!("{}x", "x^".repeat(4_000)), "64 parentheses"),
        (format!("{}x{}", "gelu(".repeat(60), ")".repeat(60)), "more than 500 steps"),
        (
            (0..600).map(|i| format!("tanh({i} * x) + ")).collect::<String>() + "x",
            "more than 500 steps",
        ),
        (
            (0..600).map(|i| format!("(x + {i}) * ")).collect::<String>() + "x",
            "more than 500 steps",
        ),
        (format!("x{}", " if x > 0 else x".repeat(500)), "64 parentheses"),
        ("1".repeat(9_999), "beyond 1.8e308"),
        ("(x^1000)^1000".into(), "at most 1024"),
        (
            format!("x; {}", (0..99).map(|i| format!("p{i} = 1, ")).collect::<String>()),
            "32 parameters",
        ),
        ("\u{0}".into(), "no part of a formula"),
    ];
    for (text, part) in all {
        let e = Formula::parse(&text).expect_err(part);
        assert!(e.message().contains(part), "{part}: {}", e.message());
        assert!(e.to_string().len() < 1000, "{part}");
    }
    // Length alone is no fault.
    for (text, value) in [
        (format!("x{}", " + x".repeat(2000)), 4002.0),
        (format!("{}x", "-".repeat(9_000)), 2.0),
        (format!("x > 0{}", " and x > 0".repeat(900)), 1.0),
        (format!("max({}x)", "x, ".repeat(2000)), 2.0),
        (format!("0 * x + 0.{}", "3".repeat(9_000)), 1.0 / 3.0),
        (format!("{}x{}", "(".repeat(60), ")".repeat(60)), 2.0),
    ] {
        assert_eq!(at(&text, 2.0), value, "{text:.40}");
    }
}

#[test]
fn text_comes_back_as_the_same_formula() {
    let with_params = [
        "max(x, alpha * x); alpha = 0.1 in (0, 1)",
        "a * sigmoid(b)",
        "x * p + 1/3; p = 1/6, q = -2 in [-3, inf)",
        "where(x > 0 and x < 1 or x == -1, pi * x, sqrt(2/pi) / x)",
        "x - 0.044715 * x^3 / e^2",
        "-x^2 / (1 + x)^3 - 2 / x",
        "exp(-x) * ln(2)",
        "(x + 1)^p; p = 2.5",
    ];
    for text in TEXTS.into_iter().chain(with_params) {
        let f = parse(text);
        let again = parse(&f.to_string());
        assert_eq!(f.to_string(), again.to_string(), "{text}");
        let shown = f.to_string();
        let params = shown.find(';').map_or("", |at| &shown[at..]);
        let stable = parse(&format!("{}{params}", f.stable()));
        assert_eq!(f.stable(), stable.stable(), "{text}");
        for x in [-2.3, 0.4, 1.7] {
            let p = defaults(&f);
            assert_eq!(
                f.evaluate(&[x, 0.3], &p).to_bits(),
                again.evaluate(&[x, 0.3], &p).to_bits(),
                "{text} at {x}"
            );
        }
    }
}

#[test]
fn every_built_in_is_found_by_its_own_formula() {
    for f in functions() {
        let mut text = f.meta().formula.to_owned();
        let found = |text: &str| parse(text).built_in();
        for (i, (p, v)) in f.params().enumerate() {
            text += &format!("{} {} = {v}", if i > 0 { "," } else { ";" }, p.name);
        }
        // With its parameters, it or a function of other parameters' names.
        let with = found(&text).unwrap_or_else(|| panic!("{text} is not found"));
        assert_eq!((with.name(), with.values()), (f.name(), f.values()), "{text}");
        let by_name =
            found(&format!("{}(x)", f.name())).unwrap_or_else(|| panic!("{} by name", f.name()));
        for x in mixed::<f64>(0, &[0.0, 1.0], 2, 0) {
            assert_eq!(
                by_name.value(x).to_bits(),
                f.value(x).to_bits(),
                "{} is {by_name:?} at {x}",
                f.name()
            );
        }
    }
    for g in gated_functions() {
        let found = parse(g.meta().formula).gated_built_in();
        let found = found.unwrap_or_else(|| panic!("{} is not found", g.name()));
        assert_eq!((found.name(), found.gate()), (g.name(), g.gate()));
    }
    for (text, name, gate) in
        [("a * silu(b)", "swiglu", Gate::Second), ("sigmoid(a) * b", "glu", Gate::First)]
    {
        let found = parse(text).gated_built_in().unwrap();
        assert_eq!((found.name(), found.gate()), (name, gate), "{text}");
    }
}

#[test]
fn built_ins_are_found_however_they_are_written() {
    for (text, label) in [
        ("0.5 * x * (1 + erf(x / sqrt(2)))", "gelu"),
        ("x * (1 + erf(x / 2^0.5)) / 2", "gelu"),
        ("x - x * erfc(x / sqrt(2)) / 2", "gelu"),
        ("x / 2 * (tanh(0.75 * x) + 1)", "silu(1.5)"),
        ("x * sigmoid(sqrt(8/pi) * (x + 0.044715 * x**3))", "gelu_tanh"),
        ("x * sigmoid(x)", "silu"),
        ("x / (exp(-x) + 1)", "silu"),
        ("x * exp(x) / (1 + exp(x))", "silu"),
        ("x * sigmoid(1.702 * x)", "silu(1.702)"),
        ("np.log(1 + np.exp(x))", "softplus"),
        ("log1p(exp(x))", "softplus"),
        ("logaddexp(x, 0)", "softplus"),
        ("ln(1 + exp(2 * x)) / 2", "softplus(2)"),
        ("ln(1 / (1 + exp(-x)))", "log_sigmoid"),
        ("x - softplus(x)", "log_sigmoid"),
        ("(exp(x) - exp(-x)) / (exp(x) + exp(-x))", "tanh"),
        ("2 / (1 + exp(-2 * x)) - 1", "tanh"),
        ("(1 + tanh(x / 2)) / 2", "sigmoid"),
        ("where(x > 0, x, 0)", "relu"),
        ("x * (x > 0)", "relu"),
        ("(x + abs(x)) / 2", ""),
        ("max(x, 0.01 * x)", "leaky_relu"),
        ("x if x > 0 else 0.2 * x", "leaky_relu(0.2)"),
        ("where(x > 0, x, 0.5 * (exp(x) - 1))", "elu(0.5)"),
        ("max(x, 0) + min(exp(x) - 1, 0)", ""),
        ("x * clip(x + 3, 0, 6) / 6", "hard_swish"),
        ("clip(x / 6 + 0.5, 0, 1)", "hard_sigmoid"),
        ("clip(0.2 * x + 0.5, 0, 1)", "hard_sigmoid(0.2)"),
        ("x * tanh(softplus(x))", "mish"),
        ("x * tanh(x)", ""),
        ("2 * x", ""),
    ] {
        let found = parse(text).built_in();
        let found = found.map_or(String::new(), |f| {
            let changed: Vec<String> =
                f.params().filter(|(p, v)| p.default != *v).map(|(_, v)| v.to_string()).collect();
            if changed.is_empty() {
                f.name().to_owned()
            } else {
                format!("{}({})", f.name(), changed.join(", "))
            }
        });
        assert_eq!(found, label, "{text}");
    }
    // Parameters that a text declares keep their names and bounds, or it is no built-in.
    for (text, found) in [
        ("where(x > 0, x, alpha * (exp(x) - 1)); alpha = 0.5", true),
        ("where(x > 0, x, slope * (exp(x) - 1)); slope = 0.5", false),
        ("where(x > 0, x, alpha * (exp(x) - 1)); alpha = 0.5 in [0, 1]", false),
        ("where(x > 0, x, alpha * (exp(x) - 1)); alpha = 0.5, beta = 1", false),
    ] {
        assert_eq!(parse(text).built_in().is_some(), found, "{text}");
    }
}

#[test]
fn catalogue_functions_take_parameters() {
    for (text, other) in [
        ("elu(x, 0.5)", "where(x > 0, x, 0.5 * (exp(x) - 1))"),
        ("elu(x, alpha=0.5)", "where(x > 0, x, 0.5 * (exp(x) - 1))"),
        ("ELU(2 * x, alpha=p); p = 0.5", "where(x > 0, 2 * x, p * (exp(2 * x) - 1)); p = 0.5"),
        ("torch.nn.functional.gelu(x)", "x * normal_cdf(x)"),
        ("swiglu(a, b)", "a * sigmoid(a) * b"),
        ("glu(a, a)", "a * sigmoid(a)"),
    ] {
        assert_eq!(parse(text).stable(), parse(other).stable(), "{text}");
    }
}

/// Every rule on the texts that it is for; what is right about the result is tested in multiple
/// precision.
#[test]
fn rules_make_stable_forms() {
    let mut used = Vec::new();
    for (text, stable) in nonlin_testkit::textbook::TEXTBOOK {
        let f = parse(text);
        assert_eq!(f.stable(), *stable, "{text}");
        used.extend(f.rewritings().map(|r| r.rule));
    }
    for rule in nonlin::internal::formula_rules() {
        assert!(used.contains(&rule), "no text for the rule {rule}");
    }
}

#[test]
fn values_are_good_at_ends_of_the_range() {
    assert!(close(at("1 + erf(x)", -20.0), 5.395_865_611_607_901e-176));
    assert!(close(at("exp(x) - 1", 1e-20), 1e-20));
    assert!(close(at("ln(1 + exp(x))", -700.0), 9.859_676_543_759_77e-305));
    assert!(close(at("x * exp(x)", -740.0), -740.0 * 4.2e-322) || at("x * exp(x)", -740.0) < 0.0);
    assert!(close(at("1 - tanh(x)^2", 300.0), 4.0 * (-600.0f64).exp()));
    assert!(close(at("sqrt(x^2 + 1) - x", 1e10), 5e-11));
    assert!(close(at("sqrt(x^2 + 1)", 1e200), 1e200));
    assert!(close(at("x / (1 + x^2)", 1e200), 1e-200));
    assert_eq!(at("x / (1 + x^2)", 5e-324), 5e-324);
    assert_eq!(at("sinh(x)", 5e-324), 5e-324);
}

/// Formulas as functions: kernels give what evaluating the tree gives, in every block of a long array.
#[test]
fn functions_of_formulas_run() {
    /// `tiny` is what numbers that underflow on one way and not on the other may differ by.
    fn within(a: f64, b: f64, relative: f64, tiny: f64) -> bool {
        a.to_bits() == b.to_bits()
            || a.is_nan() && b.is_nan()
            || (a - b).abs() <= relative * a.abs().max(b.abs()) + tiny
    }
    let (mut recorded, mut wrong) = (0, Vec::new());
    for (text, _) in TEXTBOOK {
        let formula = parse(text);
        let f = Function::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        recorded += usize::from(formula.built_in().is_none());
        let x: Vec<f64> = mixed::<f32>(2, &[0.0, 1.0], 4, 999).into_iter().map(f64::from).collect();
        assert!(x.len() > 1024, "three blocks");
        let (mut y, mut dx, ones) = (x.clone(), x.clone(), vec![1.0; x.len()]);
        f.forward(&x, &mut y);
        f.backward(&x, &ones, &mut dx);
        let single: Vec<f32> = x.iter().map(|&x| x as f32).collect();
        let mut single_y = single.clone();
        f.forward(&single, &mut single_y);
        for i in 0..x.len() {
            let mut seen = |what: &str, is: f64, wanted: f64, good: bool| {
                if !good {
                    wrong.push(format!("{what} of {text} at {:e}: {is:e}, {wanted:e}", x[i]));
                }
            };
            let wanted = formula.evaluate(&[Dual::variable(x[i])], &[]);
            let limit = x[i].is_infinite() && wanted.v.is_nan();
            seen("f64", y[i], wanted.v, within(y[i], wanted.v, 1e-12, 1e-290) || limit);
            // At an infinity a function has the limit, which dual numbers need not find. Around
            // an interior zero of the slope, here 0, each may be off by 2^-53, as the contract says.
            let near_zero = x[i].abs() <= 0.5 && (dx[i] - wanted.d).abs() <= 2f64.powi(-52);
            let limit = x[i].is_infinite() && wanted.d.is_nan();
            let good = within(dx[i], wanted.d, 1e-9, 1e-290) || near_zero || limit;
            seen("slope", dx[i], wanted.d, good);
            // Of inf * 0, which has no value at an infinity, a primitive of f32 may leave inf * tiny.
            let is = f64::from(single_y[i]);
            let good = within(y[i], is, 1.2e-7, 3e-45)
                || y[i] as f32 == single_y[i]
                || x[i].is_infinite() && y[i].is_nan();
            seen("f32", is, y[i], good);
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(recorded > 30, "{recorded}");
}

#[test]
fn functions_of_formulas_are_built_in_where_they_can_be() {
    for f in functions().iter().filter(|f| f.params().len() == 0) {
        assert_eq!(Function::parse(f.meta().formula).unwrap().name(), f.name());
        assert_eq!(Function::parse(f.name()).unwrap(), **f);
    }
    for g in gated_functions() {
        assert_eq!(GatedFunction::parse(g.meta().formula).unwrap().name(), g.name());
    }
    let f = Function::parse("where(x > 0, x, alpha * (exp(x) - 1)); alpha = 0.5").unwrap();
    assert_eq!(f, nonlin::get("elu").unwrap().with("alpha", 0.5).unwrap());
}

#[test]
fn parameters_of_a_formula_are_those_of_its_function() {
    let f = Function::parse("x * tanh(alpha * x) + beta; alpha = 1 in [0, 4], beta = 1/3").unwrap();
    let names: Vec<_> = f.params().map(|(p, v)| (p.name.to_owned(), v)).collect();
    assert_eq!(names, [("alpha".to_owned(), 1.0), ("beta".to_owned(), 1.0 / 3.0)]);
    assert!(close(f.value(2.0), 2.0 * 2f64.tanh() + 1.0 / 3.0));
    let g = f.with_params(&[("alpha", 0.0), ("beta", -1.0)]).unwrap();
    assert_eq!((g.value(5.0), f.value(0.0)), (-1.0, 1.0 / 3.0));
    let error = f.with("alpha", 5.0).unwrap_err().to_string();
    assert!(error.contains('4') && error.contains("alpha"), "{error}");
    let mut gradient = [0.0; 2];
    f.parameter_gradient(2.0, &mut gradient);
    let slope = 4.0 * (1.0 - 2f64.tanh().powi(2));
    assert!(close(gradient[0], slope) && gradient[1] == 1.0, "{gradient:?}");
    let g = GatedFunction::parse("a * tanh(k * b); k = 2").unwrap();
    let mut y = [0.0f64];
    g.forward(&[3.0], &[0.5], &mut y);
    assert!(close(y[0], 3.0 * 1f64.tanh()), "{y:?}");
}

#[test]
fn a_parameter_of_a_formula_is_set() {
    let f = parse("a * tanh(k * b) + c; k = 2 in [0, 4], c = 1/3");
    let g = f.with("k", 0.5).unwrap();
    assert_eq!(g.params().collect::<Vec<_>>(), [("k", 0.5), ("c", 1.0 / 3.0)]);
    let mut y = [0.0f64];
    let unit = GatedFunction::parse(&g.to_string()).unwrap();
    unit.forward(&[3.0], &[0.5], &mut y);
    assert!(close(y[0], 3.0 * 0.25f64.tanh() + 1.0 / 3.0), "{y:?}");
    assert_eq!(f.params().next(), Some(("k", 2.0)), "the formula itself is left");
    let error = |name: &str, value: f64| f.with(name, value).unwrap_err().to_string();
    assert!(error("k", 4.5).contains("4.5") && error("k", 4.5).contains("between 0 and 4"));
    assert!(error("k", f64::NAN).contains("NaN"), "{}", error("k", f64::NAN));
    assert!(error("q", 1.0).contains("it has k, c"), "{}", error("q", 1.0));
}

#[test]
fn what_is_no_function_is_refused_by_what_it_looks_like() {
    let error = |text: &str| Function::parse(text).unwrap_err().to_string();
    assert!(error("gellu").contains("did you mean `gelu`"), "{}", error("gellu"));
    assert!(error("x * tnah(x)").contains("did you mean `tanh`"), "{}", error("x * tnah(x)"));
    assert!(error("a * tanh(b)").contains("gated"), "{}", error("a * tanh(b)"));
    assert!(error("").contains("formula") || error("").contains("name"), "{}", error(""));
    let error = GatedFunction::parse("x * tanh(x)").unwrap_err().to_string();
    assert!(error.contains("`a` and `b`"), "{error}");
    assert_eq!(Function::parse("x-1").unwrap().value(3.0), 2.0);
    // What is too long for a name is not repeated.
    let error = Function::parse(&"x".repeat(1_000_000)).unwrap_err().to_string();
    assert!(
        error.starts_with("a formula has at most 10000 characters") && error.len() < 500,
        "{error}"
    );
}

#[test]
fn derivatives_are_formulas() {
    for text in [
        "x * tanh(alpha * x); alpha = 2",
        "x / sqrt(1 + x^2)",
        "where(x > 0, x, alpha * (exp(x) - 1)); alpha = 0.5",
        "gelu(x)",
        "a * sigmoid(b)",
        "max(a, b) + a * exp(-b^2)",
    ] {
        let (f, slopes) = (parse(text), parse(text).derivatives().unwrap());
        assert_eq!(slopes.len(), 1 + usize::from(f.is_gated()));
        let p = defaults(&f);
        for (i, slope) in slopes.iter().enumerate() {
            for x in [-2.5, -0.7, 0.3, 4.0] {
                let step = 1.0 / 1024.0;
                let moved = |by: f64| {
                    let mut at = [x, 1.5 - x];
                    at[i] += by;
                    f.evaluate(&at, &p)
                };
                let about = (moved(step) - moved(-step)) / (2.0 * step);
                let is = slope.evaluate(&[x, 1.5 - x], &p);
                assert!((is - about).abs() < 1e-5, "{text} by {i} at {x}: {is}, about {about}");
            }
        }
    }
}
