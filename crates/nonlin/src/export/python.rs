//! Python: functions of NumPy arrays, computed in float64 and rounded once to the type of the input.
//! NumPy has no error function: the text has one.

use super::plan::Operation;
use super::text::{Helper, Language, Template, Writer, limit_of_f64, number};
use super::{Subject, indented};
use crate::formula::graph::{Call, Id, Test};
use alloc::{format, string::String};

const LANGUAGE: Language = Language {
    template,
    statement: "$0 = $1",
    limit: limit_of_f64,
    lifted: "$0",
    reserved: RESERVED,
    cuts: false,
};

pub(super) const RESERVED: &[&str] = &[
    "False",
    "None",
    "True",
    "and",
    "as",
    "assert",
    "async",
    "await",
    "break",
    "class",
    "continue",
    "def",
    "del",
    "elif",
    "else",
    "except",
    "finally",
    "for",
    "from",
    "global",
    "if",
    "import",
    "in",
    "is",
    "lambda",
    "nonlocal",
    "not",
    "or",
    "pass",
    "raise",
    "return",
    "try",
    "while",
    "with",
    "yield",
    "np",
    "torch",
    "jax",
    "jnp",
    "functools",
    "self",
    "super",
    "dtype",
    "abs",
    "float",
    "round",
    "range",
];

fn template(operation: Operation) -> Template {
    match operation {
        Operation::Power => Template::call("np.power($0, $1)"),
        Operation::Max => Template::call("np.maximum($0, $1)"),
        Operation::Min => Template::call("np.minimum($0, $1)"),
        Operation::Select(Test::Greater) => Template::call("np.where(%0 > %1, $2, $3)"),
        Operation::Select(Test::AtLeast) => Template::call("np.where(%0 >= %1, $2, $3)"),
        Operation::IfNan => Template::with("_if_nan($0, $1)", &IF_NAN),
        Operation::Gate => Template::with("_gate($0, $1)", &GATE),
        Operation::Call(f) => match f {
            Call::Exp => Template::call("np.exp($0)"),
            Call::ExpM1 => Template::call("np.expm1($0)"),
            Call::Ln => Template::call("np.log($0)"),
            Call::Ln1p => Template::call("np.log1p($0)"),
            Call::Log1mExp => Template::with("_log1mexp($0)", &LOG1MEXP),
            Call::Sqrt => Template::call("np.sqrt($0)"),
            Call::Abs => Template::call("np.abs($0)"),
            Call::Tanh => Template::call("np.tanh($0)"),
            Call::Sigmoid => Template::with("_sigmoid($0)", &SIGMOID),
            Call::Softplus => Template::with("_softplus($0)", &SOFTPLUS),
            Call::Cdf => Template::with("_normal_cdf($0)", &CDF),
            Call::TanhSoftplus => Template::with("np.tanh(_softplus($0))", &SOFTPLUS),
            Call::Erf => Template::with("_erf($0)", &ERF),
            Call::Sin => Template::call("np.sin($0)"),
            Call::Cos => Template::call("np.cos($0)"),
            Call::Atan => Template::call("np.arctan($0)"),
            Call::Sinh => Template::call("np.sinh($0)"),
            Call::Cosh => Template::call("np.cosh($0)"),
            Call::LogCosh => Template::with("_logcosh($0)", &LOGCOSH),
            Call::Floor => Template::call("np.floor($0)"),
            Call::Round => Template::call("np.rint($0)"),
            Call::Sign => Template::call("np.sign($0)"),
        },
        Operation::Neg | Operation::Add | Operation::Sub | Operation::Mul | Operation::Div => {
            Template::call("")
        }
    }
}

const IF_NAN: Helper = Helper {
    text: "\
def _if_nan(x, y):
    \"\"\"x where that is NaN, else y.\"\"\"
    return np.where(np.isnan(x), x, y)
",
    needs: &[],
};

const GATE: Helper = Helper {
    text: "\
def _gate(gate, rest):
    \"\"\"gate * rest, but 0 and not NaN where the gate is shut and the rest infinite.\"\"\"
    return np.where(gate == 0.0, 0.0, gate * rest)
",
    needs: &[],
};

const SIGMOID: Helper = Helper {
    text: "\
def _sigmoid(x):
    \"\"\"1 / (1 + exp(-x))\"\"\"
    e = np.exp(-np.abs(x))
    return np.where(x < 0.0, e, 1.0) / (1.0 + e)
",
    needs: &[],
};

const SOFTPLUS: Helper = Helper {
    text: "\
def _softplus(x):
    \"\"\"log(1 + exp(x))\"\"\"
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))
",
    needs: &[],
};

/// See the helper of Rust.
const ERROR_FUNCTION: Helper = Helper {
    text: "\
def _erf_near(z):
    \"\"\"erf(z) exp(z^2) for |z| <= 1/2: the series of 2 z / sqrt(pi) (2 z^2)^n / (2 n + 1)!!.\"\"\"
    total = 1.0
    for n in range(13, 0, -1):
        total = 1.0 + 2.0 * z * z / (2 * n + 1) * total
    return 2.0 / np.sqrt(np.pi) * z * total


def _erfc_far(z, square):
    \"\"\"1 - erf(z) for z >= 1/2, where square is exp(-z^2): the integral of exp(-u^2) / (u^2 + z^2)
    by sums of steps of 1/2, less the residue at the pole.\"\"\"
    total = 0.5 / (z * z)
    for n in range(1, 13):
        u = 0.5 * n
        total = total + np.exp(-u * u) / (u * u + z * z)
    residue = 2.0 / np.expm1(4.0 * np.pi * np.minimum(z, 2.0 * np.pi))
    return square * z / np.pi * total - np.where(z < 2.0 * np.pi, residue, 0.0)


def _gauss(z, scale):
    \"\"\"exp(-scale z^2), by a square that is exact and the rest.\"\"\"
    near = np.trunc(16.0 * z) / 16.0
    return np.exp(-scale * near * near) * np.exp(-scale * (z - near) * (z + near))
",
    needs: &[],
};

const ERF: Helper = Helper {
    text: "\
def _erf(z):
    \"\"\"The error function.\"\"\"
    size = np.clip(np.abs(z), 0.5, 9.0)
    far = 1.0 - _erfc_far(size, _gauss(size, 1.0))
    near = np.clip(z, -0.5, 0.5)
    near = _erf_near(near) * np.exp(-near * near)
    return np.where(np.abs(z) < 0.5, near, np.copysign(far, z))
",
    needs: &[&ERROR_FUNCTION],
};

const CDF: Helper = Helper {
    text: "\
def _normal_cdf(x):
    \"\"\"The cumulative distribution function of the standard normal distribution.\"\"\"
    size = np.clip(np.abs(x), np.sqrt(0.5), 40.0)
    tail = 0.5 * _erfc_far(size * np.sqrt(0.5), _gauss(size, 0.5))
    near = np.clip(x * np.sqrt(0.5), -0.5, 0.5)
    near = 0.5 + 0.5 * _erf_near(near) * np.exp(-near * near)
    return np.where(np.abs(x) < np.sqrt(0.5), near, np.where(x > 0.0, 1.0 - tail, tail))
",
    needs: &[&ERROR_FUNCTION],
};

const LOG1MEXP: Helper = Helper {
    text: "\
def _log1mexp(x):
    \"\"\"log(1 - exp(x))\"\"\"
    return np.where(x > -np.log(2.0), np.log(-np.expm1(x)), np.log1p(-np.exp(x)))
",
    needs: &[],
};

const LOGCOSH: Helper = Helper {
    text: "\
def _logcosh(x):
    \"\"\"log(cosh(x))\"\"\"
    size = np.abs(x)
    s = np.sinh(0.5 * np.minimum(size, 1.0))
    far = size - np.log(2.0) + np.log1p(np.exp(-2.0 * size))
    return np.where(size > 1.0, far, np.log1p(2.0 * s * s))
",
    needs: &[],
};

pub(super) fn text(subject: &Subject) -> String {
    let names = subject.names(&LANGUAGE);
    let mut writer = Writer::new(&LANGUAGE);
    let arguments =
        names.arguments(subject, |n| n.into(), |n, default| format!("{n}={}", number(default)));
    let inputs = names.inputs.join(", ");
    let mut functions = String::new();
    let mut function = |about: &str, name: &str, root: Id| {
        let body = subject.body(&mut writer, LANGUAGE.cuts, root, &names);
        functions += &format!(
            "def {name}({arguments}):\n    \"\"\"{about}\"\"\"\n    dtype, {inputs} = _doubles({inputs})\n    \
             with np.errstate(all=\"ignore\"):\n{}        return _rounded({}, dtype, {inputs})\n\n\n",
            indented(&body.statements, "        "),
            body.value
        );
    };
    function(&subject.formula, &names.name, subject.value);
    for ((suffix, &root), by) in
        subject.suffixes().iter().zip(&subject.derivatives).zip(subject.inputs)
    {
        let about = format!("The derivative of {} by {by}.", names.name);
        function(&about, &format!("{}_{suffix}", names.name), root);
    }
    let mut out = format!(
        "\"\"\"{}\"\"\"\n\nimport numpy as np\n\n\n",
        indented(&subject.about(BOUND), "").trim_end().replace('\\', "\\\\")
    );
    out += FRAME;
    out += &writer.helpers("\n\n");
    out + functions.trim_end() + "\n"
}

const FRAME: &str = "\
def _doubles(*arrays):
    \"\"\"The type of the result, and the arrays as float64.\"\"\"
    arrays = [np.asarray(a) for a in arrays]
    dtype = np.result_type(*arrays)
    dtype = dtype if np.issubdtype(dtype, np.floating) else np.dtype(np.float64)
    return [dtype, *(a.astype(np.float64) for a in arrays)]


def _rounded(y, dtype, *arrays):
    \"\"\"y in the shape of all arrays, rounded to that type.\"\"\"
    return np.broadcast_to(y, np.broadcast_shapes(*(a.shape for a in arrays))).astype(dtype)[()]


";

const BOUND: &str = "within 1e-12 of the result, 1e-15 where its terms cancel, and 1e-150,
in float64; results of other types are that, rounded.";
