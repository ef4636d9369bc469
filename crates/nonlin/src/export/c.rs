//! C99: functions of double, and of float by way of double, with `<math.h>` and nothing else.

use super::plan::Operation;
use super::text::{Helper, Language, Template, Writer, filled, limit_of_f64, number};
use super::{Subject, indented};
use crate::formula::graph::{Call, Id, Test};
use alloc::{format, string::String};

const LANGUAGE: Language = Language {
    template,
    statement: "const double $0 = $1;",
    limit: limit_of_f64,
    lifted: "$0",
    reserved: RESERVED,
    cuts: false,
};

/// Keywords, and names of `<math.h>` that are names of functions or parameters somewhere.
const RESERVED: &[&str] = &[
    "auto",
    "break",
    "case",
    "char",
    "const",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extern",
    "float",
    "for",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "register",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "switch",
    "typedef",
    "union",
    "unsigned",
    "void",
    "volatile",
    "while",
    "main",
    "abs",
    "acos",
    "asin",
    "atan",
    "acosh",
    "asinh",
    "atanh",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "div",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "fdim",
    "floor",
    "fma",
    "fmax",
    "fmin",
    "fmod",
    "frexp",
    "gamma",
    "hypot",
    "isinf",
    "isnan",
    "j0",
    "j1",
    "jn",
    "labs",
    "ldexp",
    "lgamma",
    "log",
    "log10",
    "log1p",
    "log2",
    "logb",
    "logf",
    "modf",
    "nan",
    "pow",
    "remainder",
    "rint",
    "round",
    "scalb",
    "signbit",
    "significand",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "tgamma",
    "trunc",
    "y0",
    "y1",
    "yn",
];

fn template(operation: Operation) -> Template {
    match operation {
        Operation::Power => Template::call("pow($0, $1)"),
        Operation::Max => Template::with("nonlin_max($0, $1)", &MAX),
        Operation::Min => Template::with("nonlin_min($0, $1)", &MIN),
        Operation::Select(Test::Greater) => Template::open("%0 > %1 ? $2 : $3"),
        Operation::Select(Test::AtLeast) => Template::open("%0 >= %1 ? $2 : $3"),
        Operation::IfNan => Template::with("nonlin_if_nan($0, $1)", &IF_NAN),
        Operation::Gate => Template::with("nonlin_gate($0, $1)", &GATE),
        Operation::Call(f) => match f {
            Call::Exp => Template::call("exp($0)"),
            Call::ExpM1 => Template::call("expm1($0)"),
            Call::Ln => Template::call("log($0)"),
            Call::Ln1p => Template::call("log1p($0)"),
            Call::Log1mExp => Template::with("nonlin_log1mexp($0)", &LOG1MEXP),
            Call::Sqrt => Template::call("sqrt($0)"),
            Call::Abs => Template::call("fabs($0)"),
            Call::Tanh => Template::call("tanh($0)"),
            Call::Sigmoid => Template::with("nonlin_sigmoid($0)", &SIGMOID),
            Call::Softplus => Template::with("nonlin_softplus($0)", &SOFTPLUS),
            Call::Cdf => Template::with("nonlin_normal_cdf($0)", &CDF),
            Call::TanhSoftplus => Template::with("tanh(nonlin_softplus($0))", &SOFTPLUS),
            Call::Erf => Template::call("erf($0)"),
            Call::Sin => Template::call("sin($0)"),
            Call::Cos => Template::call("cos($0)"),
            Call::Atan => Template::call("atan($0)"),
            Call::Sinh => Template::call("sinh($0)"),
            Call::Cosh => Template::call("cosh($0)"),
            Call::LogCosh => Template::with("nonlin_logcosh($0)", &LOGCOSH),
            Call::Floor => Template::call("floor($0)"),
            Call::Round => Template::call("rint($0)"),
            Call::Sign => Template::with("nonlin_sign($0)", &SIGN),
        },
        Operation::Neg | Operation::Add | Operation::Sub | Operation::Mul | Operation::Div => {
            Template::call("")
        }
    }
}

const MAX: Helper = Helper {
    text: "\
/* The larger; NaN if one is NaN. */
static double nonlin_max(double a, double b) {
    return a > b || isnan(a) ? a : b;
}
",
    needs: &[],
};

const MIN: Helper = Helper {
    text: "\
/* The smaller; NaN if one is NaN. */
static double nonlin_min(double a, double b) {
    return a < b || isnan(a) ? a : b;
}
",
    needs: &[],
};

const IF_NAN: Helper = Helper {
    text: "\
/* x if that is NaN, else y. */
static double nonlin_if_nan(double x, double y) {
    return isnan(x) ? x : y;
}
",
    needs: &[],
};

const GATE: Helper = Helper {
    text: "\
/* gate * rest, but 0 and not NaN where the gate is shut and the rest infinite. */
static double nonlin_gate(double gate, double rest) {
    return gate == 0.0 ? 0.0 : gate * rest;
}
",
    needs: &[],
};

const SIGMOID: Helper = Helper {
    text: "\
/* 1 / (1 + exp(-x)) */
static double nonlin_sigmoid(double x) {
    const double e = exp(-fabs(x));
    return (x < 0.0 ? e : 1.0) / (1.0 + e);
}
",
    needs: &[],
};

const SOFTPLUS: Helper = Helper {
    text: "\
/* log(1 + exp(x)) */
static double nonlin_softplus(double x) {
    return (x > 0.0 ? x : 0.0) + log1p(exp(-fabs(x)));
}
",
    needs: &[],
};

const CDF: Helper = Helper {
    text: "\
/* The cumulative distribution function of the standard normal distribution. */
static double nonlin_normal_cdf(double x) {
    const double root = 0.7071067811865476, rest = -4.833646656726457e-17; /* of 1/2 */
    const double z = -x * root;
    if (!(z > 0.0 && z < 40.0)) {
        return 0.5 * erfc(z);
    }
    /* erfc(z) falls by 2 z of itself. */
    return 0.5 * erfc(z) * (1.0 - 2.0 * z * (fma(-x, root, -z) - x * rest));
}
",
    needs: &[],
};

const LOG1MEXP: Helper = Helper {
    text: "\
/* log(1 - exp(x)) */
static double nonlin_log1mexp(double x) {
    return x > -0.6931471805599453 ? log(-expm1(x)) : log1p(-exp(x));
}
",
    needs: &[],
};

const LOGCOSH: Helper = Helper {
    text: "\
/* log(cosh(x)) */
static double nonlin_logcosh(double x) {
    const double size = fabs(x), s = sinh(0.5 * (size < 1.0 ? size : 1.0));
    return size > 1.0 ? size - 0.6931471805599453 + log1p(exp(-2.0 * size))
                      : log1p(2.0 * s * s) + 0.0 * x;
}
",
    needs: &[],
};

const SIGN: Helper = Helper {
    text: "\
/* -1, 0 or 1 */
static double nonlin_sign(double x) {
    return (double)((x > 0.0) - (x < 0.0));
}
",
    needs: &[],
};

pub(super) fn text(subject: &Subject) -> String {
    let names = subject.names(&LANGUAGE);
    let mut writer = Writer::new(&LANGUAGE);
    let double = |n: &str| format!("double {n}");
    let arguments = names.arguments(subject, double, |n, _| double(n));
    let mut functions = String::new();
    let mut function = |name: &str, root: Id| {
        let body = subject.body(&mut writer, LANGUAGE.cuts, root, &names);
        let unused: String = body.unused.iter().map(|n| format!("    (void){n};\n")).collect();
        functions += &format!(
            "double {name}({arguments}) {{\n{unused}{}    return {};\n}}\n\n",
            indented(&body.statements, "    "),
            body.value
        );
    };
    let mut all = alloc::vec![names.name.clone()];
    function(&names.name, subject.value);
    for (suffix, &root) in subject.suffixes().iter().zip(&subject.derivatives) {
        let name = format!("{}_{suffix}", names.name);
        function(&name, root);
        all.push(name);
    }
    // The functions of floats.
    let float = |n: &str| format!("float {n}");
    let arguments = names.arguments(subject, float, |n, _| float(n));
    let passed = names.arguments(subject, |n| n.into(), |n, _| n.into());
    for name in all {
        functions +=
            &format!("float {name}f({arguments}) {{\n    return (float){name}({passed});\n}}\n\n");
    }
    let mut out = String::from("/*\n");
    // A comment has no end within it.
    let about = subject.about(BOUND);
    out += &indented(&about, " * ").replace("*/", "* /");
    out += " */\n\n#include <math.h>\n\n";
    for (param, p) in names.params.iter().zip(&subject.params) {
        let name = format!("{}_{param}", names.name).to_ascii_uppercase();
        out += &filled("#define $0 $1\n", &[&name, &number(p.default)]);
    }
    if !names.params.is_empty() {
        out.push('\n');
    }
    out += &writer.helpers("\n");
    out + functions.trim_end() + "\n"
}

const BOUND: &str = "within 1e-12 of the result, 1e-15 where its terms cancel, and 1e-150.";
