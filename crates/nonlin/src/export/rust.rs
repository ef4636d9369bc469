//! Rust: functions of f64 with the standard library, which has no error function: the text has one.

use super::plan::Operation;
use super::text::{Helper, Language, Template, Writer, filled, limit_of_f64, number};
use super::{Subject, indented};
use crate::formula::graph::{Call, Id, Test};
use alloc::{format, string::String};

const LANGUAGE: Language = Language {
    template,
    statement: "let $0 = $1;",
    limit: limit_of_f64,
    lifted: "$0",
    reserved: RESERVED,
    cuts: false,
};

const RESERVED: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "main", "match", "mod", "move", "mut", "override", "priv", "pub",
    "ref", "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield", "f64", "i8", "std",
];

fn template(operation: Operation) -> Template {
    match operation {
        Operation::Power => Template::call("f64::powf($0, $1)"),
        Operation::Max => Template::with("nonlin_max($0, $1)", &MAX),
        Operation::Min => Template::with("nonlin_min($0, $1)", &MIN),
        Operation::Select(Test::Greater) => Template::open("if %0 > %1 { $2 } else { $3 }"),
        Operation::Select(Test::AtLeast) => Template::open("if %0 >= %1 { $2 } else { $3 }"),
        Operation::IfNan => Template::with("nonlin_if_nan($0, $1)", &IF_NAN),
        Operation::Gate => Template::with("nonlin_gate($0, $1)", &GATE),
        Operation::Call(f) => match f {
            Call::Exp => Template::call("f64::exp($0)"),
            Call::ExpM1 => Template::call("f64::exp_m1($0)"),
            Call::Ln => Template::call("f64::ln($0)"),
            Call::Ln1p => Template::call("f64::ln_1p($0)"),
            Call::Log1mExp => Template::with("nonlin_log1mexp($0)", &LOG1MEXP),
            Call::Sqrt => Template::call("f64::sqrt($0)"),
            Call::Abs => Template::call("f64::abs($0)"),
            Call::Tanh => Template::call("f64::tanh($0)"),
            Call::Sigmoid => Template::with("nonlin_sigmoid($0)", &SIGMOID),
            Call::Softplus => Template::with("nonlin_softplus($0)", &SOFTPLUS),
            Call::Cdf => Template::with("nonlin_normal_cdf($0)", &CDF),
            Call::TanhSoftplus => Template::with("f64::tanh(nonlin_softplus($0))", &SOFTPLUS),
            Call::Erf => Template::with("nonlin_erf($0)", &ERF),
            Call::Sin => Template::call("f64::sin($0)"),
            Call::Cos => Template::call("f64::cos($0)"),
            Call::Atan => Template::call("f64::atan($0)"),
            Call::Sinh => Template::call("f64::sinh($0)"),
            Call::Cosh => Template::call("f64::cosh($0)"),
            Call::LogCosh => Template::with("nonlin_logcosh($0)", &LOGCOSH),
            Call::Floor => Template::call("f64::floor($0)"),
            Call::Round => Template::call("f64::round_ties_even($0)"),
            Call::Sign => Template::with("nonlin_sign($0)", &SIGN),
        },
        Operation::Neg | Operation::Add | Operation::Sub | Operation::Mul | Operation::Div => {
            Template::call("")
        }
    }
}

const MAX: Helper = Helper {
    text: "\
/// The larger; NaN if one is NaN.
fn nonlin_max(a: f64, b: f64) -> f64 {
    if a > b || a.is_nan() { a } else { b }
}
",
    needs: &[],
};

const MIN: Helper = Helper {
    text: "\
/// The smaller; NaN if one is NaN.
fn nonlin_min(a: f64, b: f64) -> f64 {
    if a < b || a.is_nan() { a } else { b }
}
",
    needs: &[],
};

const IF_NAN: Helper = Helper {
    text: "\
/// `x` if that is NaN, else `y`.
fn nonlin_if_nan(x: f64, y: f64) -> f64 {
    if x.is_nan() { x } else { y }
}
",
    needs: &[],
};

const GATE: Helper = Helper {
    text: "\
/// `gate * rest`, but 0 and not NaN where the gate is shut and the rest infinite.
fn nonlin_gate(gate: f64, rest: f64) -> f64 {
    if gate == 0.0 { 0.0 } else { gate * rest }
}
",
    needs: &[],
};

const SIGMOID: Helper = Helper {
    text: "\
/// `1 / (1 + exp(-x))`
fn nonlin_sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}
",
    needs: &[],
};

const SOFTPLUS: Helper = Helper {
    text: "\
/// `ln(1 + exp(x))`
fn nonlin_softplus(x: f64) -> f64 {
    (if x > 0.0 { x } else { 0.0 }) + (-x.abs()).exp().ln_1p()
}
",
    needs: &[],
};

/// Below 1/2 by a series whose terms have one sign, above by the trapezoidal rule for the integral
/// of e^(-u^2) / (u^2 + z^2), which with steps of 1/2 is exact but for a term in closed form.
const ERROR_FUNCTION: Helper = Helper {
    text: "\
/// `erf(z) exp(z^2)` for `z` between -1/2 and 1/2: the series of 2 z / sqrt(pi) (2 z^2)^n / (2 n + 1)!!.
fn nonlin_erf_near(z: f64) -> f64 {
    let sum = (1..=13).rev().fold(1.0, |sum, n| 1.0 + 2.0 * z * z / f64::from(2 * n + 1) * sum);
    std::f64::consts::FRAC_2_SQRT_PI * z * sum
}

/// `1 - erf(z)` for `z` from 1/2 on, where `square` is `exp(-z^2)`: the integral of
/// `exp(-u^2) / (u^2 + z^2)` by sums of steps of 1/2, less the residue at the pole.
fn nonlin_erfc_far(z: f64, square: f64) -> f64 {
    // exp(-n^2 / 4)
    const POWERS: [f64; 12] = [
        0.7788007830714049, 0.36787944117144233, 0.10539922456186433, 0.01831563888873418,
        0.0019304541362277093, 0.00012340980408667956, 4.785117392129009e-6, 1.1253517471925912e-7,
        1.6052280551856116e-9, 1.3887943864964021e-11, 7.287724095819693e-14, 2.3195228302435696e-16,
    ];
    let mut sum = 0.5 / (z * z);
    for (n, power) in POWERS.iter().enumerate().rev() {
        let u = 0.5 * (n + 1) as f64;
        sum += power / (u * u + z * z);
    }
    let residue = if z < 2.0 * std::f64::consts::PI {
        2.0 / (4.0 * std::f64::consts::PI * z).exp_m1()
    } else {
        0.0
    };
    square * z * std::f64::consts::FRAC_1_PI * sum - residue
}

/// `exp(-scale z^2)`, by a square that is exact and the rest.
fn nonlin_gauss(z: f64, scale: f64) -> f64 {
    let near = (16.0 * z).trunc() / 16.0;
    (-scale * near * near).exp() * (-scale * (z - near) * (z + near)).exp()
}
",
    needs: &[],
};

const ERF: Helper = Helper {
    text: "\
/// The error function.
fn nonlin_erf(z: f64) -> f64 {
    if z.abs() < 0.5 {
        return nonlin_erf_near(z) * (-z * z).exp();
    }
    let size = if z.abs() > 9.0 { 9.0 } else { z.abs() };
    (1.0 - nonlin_erfc_far(size, nonlin_gauss(size, 1.0))).copysign(z)
}
",
    needs: &[&ERROR_FUNCTION],
};

const CDF: Helper = Helper {
    text: "\
/// The cumulative distribution function of the standard normal distribution.
fn nonlin_normal_cdf(x: f64) -> f64 {
    let size = if x.abs() > 40.0 { 40.0 } else { x.abs() };
    let z = size * std::f64::consts::FRAC_1_SQRT_2;
    if z < 0.5 {
        return 0.5 + (0.5 * nonlin_erf_near(z) * (-z * z).exp()).copysign(x);
    }
    let tail = 0.5 * nonlin_erfc_far(z, nonlin_gauss(size, 0.5));
    if x > 0.0 { 1.0 - tail } else { tail }
}
",
    needs: &[&ERROR_FUNCTION],
};

const LOG1MEXP: Helper = Helper {
    text: "\
/// `ln(1 - exp(x))`
fn nonlin_log1mexp(x: f64) -> f64 {
    if x > -std::f64::consts::LN_2 { (-x.exp_m1()).ln() } else { (-x.exp()).ln_1p() }
}
",
    needs: &[],
};

const LOGCOSH: Helper = Helper {
    text: "\
/// `ln(cosh(x))`
fn nonlin_logcosh(x: f64) -> f64 {
    let size = x.abs();
    if size > 1.0 {
        return size - std::f64::consts::LN_2 + (-2.0 * size).exp().ln_1p();
    }
    let s = (0.5 * size).sinh();
    (2.0 * s * s).ln_1p()
}
",
    needs: &[],
};

const SIGN: Helper = Helper {
    text: "\
/// -1, 0 or 1
fn nonlin_sign(x: f64) -> f64 {
    f64::from(i8::from(x > 0.0) - i8::from(x < 0.0))
}
",
    needs: &[],
};

pub(super) fn text(subject: &Subject) -> String {
    let names = subject.names(&LANGUAGE);
    let mut writer = Writer::new(&LANGUAGE);
    let double = |n: &str| format!("{n}: f64");
    let arguments = names.arguments(subject, double, |n, _| double(n));
    let mut functions = String::new();
    let mut function = |about: &str, name: &str, root: Id| {
        let body = subject.body(&mut writer, LANGUAGE.cuts, root, &names);
        let unused: String = body.unused.iter().map(|n| format!("    let _ = {n};\n")).collect();
        functions += &format!(
            "/// {about}\npub fn {name}({arguments}) -> f64 {{\n{unused}{}    {}\n}}\n\n",
            indented(&body.statements, "    "),
            body.value
        );
    };
    function(&format!("`{}`", subject.formula), &names.name, subject.value);
    for ((suffix, &root), by) in
        subject.suffixes().iter().zip(&subject.derivatives).zip(subject.inputs)
    {
        let about = format!("The derivative of `{}` by `{by}`.", names.name);
        function(&about, &format!("{}_{suffix}", names.name), root);
    }
    let mut out = indented(&subject.about(BOUND), "// ");
    out.push('\n');
    for (param, p) in names.params.iter().zip(&subject.params) {
        let name = format!("{}_{param}", names.name).to_ascii_uppercase();
        let values = [param.as_str(), &name, &number(p.default)];
        out += &filled("/// The usual `$0`.\npub const $1: f64 = $2;\n", &values);
    }
    if !names.params.is_empty() {
        out.push('\n');
    }
    out += functions.trim_end();
    out += "\n\n";
    let helpers = writer.helpers("\n");
    String::from((out + &helpers).trim_end()) + "\n"
}

const BOUND: &str = "within 1e-12 of the result, 1e-15 where its terms cancel, and 1e-150.";
