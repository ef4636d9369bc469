//! JAX: a function that may be jitted, with its derivative as a rule. Half types are computed in
//! float32.

use super::plan::Operation;
use super::python::RESERVED;
use super::text::{Helper, Language, Template, Writer};
use super::{Subject, indented};
use crate::formula::graph::{Call, Test};
use alloc::{format, string::String, vec::Vec};

const LANGUAGE: Language = Language {
    template,
    statement: "$0 = $1",
    limit: |degree| format!("_limit({degree}, $0)"),
    lifted: "jnp.full_like($1, $0)",
    reserved: RESERVED,
    cuts: true,
};

fn template(operation: Operation) -> Template {
    match operation {
        Operation::Power => Template::call("jnp.power($0, $1)"),
        Operation::Max => Template::call("jnp.maximum($0, $1)"),
        Operation::Min => Template::call("jnp.minimum($0, $1)"),
        Operation::Select(Test::Greater) => Template::call("jnp.where(%0 > %1, $2, $3)"),
        Operation::Select(Test::AtLeast) => Template::call("jnp.where(%0 >= %1, $2, $3)"),
        Operation::IfNan => Template::call("jnp.where(jnp.isnan($0), $0, $1)"),
        Operation::Gate => Template::with("_gate($0, $1)", &GATE),
        Operation::Call(f) => match f {
            Call::Exp => Template::call("jnp.exp($0)"),
            Call::ExpM1 => Template::call("jnp.expm1($0)"),
            Call::Ln => Template::call("jnp.log($0)"),
            Call::Ln1p => Template::call("jnp.log1p($0)"),
            Call::Log1mExp => Template::with("_log1mexp($0)", &LOG1MEXP),
            Call::Sqrt => Template::call("jnp.sqrt($0)"),
            Call::Abs => Template::call("jnp.abs($0)"),
            Call::Tanh => Template::call("jnp.tanh($0)"),
            Call::Sigmoid => Template::call("jax.nn.sigmoid($0)"),
            Call::Softplus => Template::call("jax.nn.softplus($0)"),
            Call::Cdf => Template::call("jax.scipy.special.ndtr($0)"),
            Call::TanhSoftplus => Template::call("jnp.tanh(jax.nn.softplus($0))"),
            Call::Erf => Template::call("jax.scipy.special.erf($0)"),
            Call::Sin => Template::call("jnp.sin($0)"),
            Call::Cos => Template::call("jnp.cos($0)"),
            Call::Atan => Template::call("jnp.arctan($0)"),
            Call::Sinh => Template::call("jnp.sinh($0)"),
            Call::Cosh => Template::call("jnp.cosh($0)"),
            Call::LogCosh => Template::with("_logcosh($0)", &LOGCOSH),
            Call::Floor => Template::call("jnp.floor($0)"),
            Call::Round => Template::call("jnp.rint($0)"),
            Call::Sign => Template::call("jnp.sign($0)"),
        },
        Operation::Neg | Operation::Add | Operation::Sub | Operation::Mul | Operation::Div => {
            Template::call("")
        }
    }
}

const GATE: Helper = Helper {
    text: "\
def _gate(gate, rest):
    \"\"\"gate * rest, but 0 and not NaN where the gate is shut and the rest infinite.\"\"\"
    return gate * jnp.where((gate == 0.0) & ~jnp.isfinite(rest), 0.0, rest)
",
    needs: &[],
};

const LOG1MEXP: Helper = Helper {
    text: "\
def _log1mexp(x):
    \"\"\"log(1 - exp(x))\"\"\"
    near = x > -0.6931471805599453
    far = jnp.log1p(-jnp.exp(jnp.where(near, -1.0, x)))
    return jnp.where(near, jnp.log(-jnp.expm1(jnp.where(near, x, -0.5))), far)
",
    needs: &[],
};

const LOGCOSH: Helper = Helper {
    text: "\
def _logcosh(x):
    \"\"\"log(cosh(x))\"\"\"
    size = jnp.abs(x)
    s = jnp.sinh(0.5 * jnp.where(size > 1.0, 0.0, x))
    far = size - 0.6931471805599453 + jnp.log1p(jnp.exp(-2.0 * size))
    return jnp.where(size > 1.0, far, jnp.log1p(2.0 * s * s))
",
    needs: &[],
};

const LIMIT: &str = "\
def _limit(degree, x):
    \"\"\"A number whose power of that degree does not overflow.\"\"\"
    return jnp.full_like(x, float(jnp.finfo(x.dtype).max) ** (0.9 / degree))


";

pub(super) fn text(subject: &Subject) -> String {
    let names = subject.names(&LANGUAGE);
    let mut writer = Writer::new(&LANGUAGE);
    let all = names.all();
    let mut functions = String::new();
    let described = subject.functions(&names);
    for (name, about, root) in &described {
        let body = subject.body(&mut writer, LANGUAGE.cuts, *root, &names);
        functions += &format!(
            "def {name}({all}):\n    \"\"\"{about}\"\"\"\n    dtype, {all} = _wide({}, {all})\n{}    \
             return ({}).astype(dtype)\n\n\n",
            names.inputs.len(),
            indented(&body.statements, "    "),
            body.value
        );
    }
    let mut out = format!(
        "\"\"\"{}\"\"\"\n\nimport jax\nimport jax.numpy as jnp\n\n\n",
        indented(&subject.about(BOUND), "").trim_end().replace('\\', "\\\\")
    );
    out += WIDE;
    if functions.contains("_limit(") {
        out += LIMIT;
    }
    out += &writer.helpers("\n\n");
    out += &functions;
    let slopes: Vec<&str> = described[1..].iter().map(|f| f.0.as_str()).collect();
    let values = [
        ("$name", names.name.clone()),
        ("$formula", subject.formula.clone()),
        ("$inputs", names.inputs.join(", ")),
        ("$defaults", names.defaults(subject)),
        ("$all", all),
        ("$slopes", slopes.join(", ")),
    ];
    values.iter().fold(out + FUNCTION, |text, (key, value)| text.replace(key, value))
}

const FUNCTION: &str = "\
@jax.custom_jvp
def $name($inputs$defaults):
    \"\"\"$formula\"\"\"
    return _value($all)


def _jvp(inputs, tangents):
    y, dy = _value(*inputs), 0.0
    for d, slope in zip(tangents, [$slopes]):
        if not isinstance(d, jax.custom_derivatives.SymbolicZero):
            dy = dy + d * slope(*inputs)
    return y, jnp.broadcast_to(jnp.asarray(dy, y.dtype), y.shape)


$name.defjvp(_jvp, symbolic_zeros=True)
";

const WIDE: &str = "\
def _wide(n, *arrays):
    \"\"\"The type of the first n, which the result has, and all, in float32 if that has fewer digits.\"\"\"
    dtype = jnp.result_type(*arrays[:n])
    dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)
    wide = jnp.promote_types(dtype, jnp.float32)
    return dtype, *(jnp.asarray(a, wide) for a in arrays)


";

const BOUND: &str = "within 1e-12 of the result in float64 and 1e-5 in float32, and, where its
terms cancel, 1e-15 and 1e-6; factors that are subnormal numbers may count as 0.";
