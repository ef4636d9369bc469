//! PyTorch: an `autograd.Function` whose backward is made of PyTorch's operations, so that it has
//! derivatives of its own, a function and a module. Half types are computed in float32.

use super::plan::Operation;
use super::python::RESERVED;
use super::text::{Helper, Language, Template, Writer};
use super::{Names, Subject, indented};
use crate::formula::graph::{Call, Test};
use alloc::{format, string::String, vec::Vec};

const LANGUAGE: Language = Language {
    template,
    statement: "$0 = $1",
    limit: |degree| format!("_limit({degree}, $0)"),
    lifted: "torch.full_like($1, $0)",
    reserved: RESERVED,
    cuts: true,
};

fn template(operation: Operation) -> Template {
    match operation {
        Operation::Power => Template::call("torch.pow($0, $1)"),
        Operation::Max => Template::call("torch.maximum($0, $1)"),
        Operation::Min => Template::call("torch.minimum($0, $1)"),
        Operation::Select(Test::Greater) => Template::call("torch.where(%0 > %1, $2, $3)"),
        Operation::Select(Test::AtLeast) => Template::call("torch.where(%0 >= %1, $2, $3)"),
        Operation::IfNan => Template::call("torch.where(torch.isnan($0), $0, $1)"),
        Operation::Gate => Template::with("_gate($0, $1)", &GATE),
        Operation::Call(f) => match f {
            Call::Exp => Template::call("torch.exp($0)"),
            Call::ExpM1 => Template::call("torch.expm1($0)"),
            Call::Ln => Template::call("torch.log($0)"),
            Call::Ln1p => Template::call("torch.log1p($0)"),
            Call::Log1mExp => Template::with("_log1mexp($0)", &LOG1MEXP),
            Call::Sqrt => Template::call("torch.sqrt($0)"),
            Call::Abs => Template::call("torch.abs($0)"),
            Call::Tanh => Template::call("torch.tanh($0)"),
            Call::Sigmoid => Template::call("torch.sigmoid($0)"),
            Call::Softplus => Template::with("_softplus($0)", &SOFTPLUS),
            Call::Cdf => Template::with("_normal_cdf($0)", &CDF),
            Call::TanhSoftplus => Template::with("torch.tanh(_softplus($0))", &SOFTPLUS),
            Call::Erf => Template::call("torch.erf($0)"),
            Call::Sin => Template::call("torch.sin($0)"),
            Call::Cos => Template::call("torch.cos($0)"),
            Call::Atan => Template::call("torch.atan($0)"),
            Call::Sinh => Template::call("torch.sinh($0)"),
            Call::Cosh => Template::call("torch.cosh($0)"),
            Call::LogCosh => Template::with("_logcosh($0)", &LOGCOSH),
            Call::Floor => Template::call("torch.floor($0)"),
            Call::Round => Template::call("torch.round($0)"),
            Call::Sign => Template::call("torch.sign($0)"),
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
    return gate * torch.where((gate == 0.0) & ~torch.isfinite(rest), 0.0, rest)
",
    needs: &[],
};

const SOFTPLUS: Helper = Helper {
    text: "\
def _softplus(x):
    \"\"\"log(1 + exp(x))\"\"\"
    return -torch.nn.functional.logsigmoid(-x)
",
    needs: &[],
};

/// `torch.special.ndtr` is 0 in tails that are not.
const CDF: Helper = Helper {
    text: "\
def _normal_cdf(x):
    \"\"\"The cumulative distribution function of the standard normal distribution.\"\"\"
    left = torch.where(x > 0.0, -x, x)
    tail = 0.5 * torch.exp(-0.5 * left * left) * torch.special.erfcx(-0.7071067811865476 * left)
    return torch.where(x > 0.0, 1.0 - tail, tail)
",
    needs: &[],
};

const LOG1MEXP: Helper = Helper {
    text: "\
def _log1mexp(x):
    \"\"\"log(1 - exp(x))\"\"\"
    near = x > -0.6931471805599453
    far = torch.log1p(-torch.exp(torch.where(near, -1.0, x)))
    return torch.where(near, torch.log(-torch.expm1(torch.where(near, x, -0.5))), far)
",
    needs: &[],
};

const LOGCOSH: Helper = Helper {
    text: "\
def _logcosh(x):
    \"\"\"log(cosh(x))\"\"\"
    size = torch.abs(x)
    s = torch.sinh(0.5 * torch.where(size > 1.0, 0.0, x))
    far = size - 0.6931471805599453 + torch.log1p(torch.exp(-2.0 * size))
    return torch.where(size > 1.0, far, torch.log1p(2.0 * s * s))
",
    needs: &[],
};

const LIMIT: &str = "\
def _limit(degree, x):
    \"\"\"A number whose power of that degree does not overflow.\"\"\"
    return torch.full_like(x, torch.finfo(x.dtype).max ** (0.9 / degree))


";

pub(super) fn text(subject: &Subject) -> String {
    let names = subject.names(&LANGUAGE);
    let mut writer = Writer::new(&LANGUAGE);
    let first = &names.inputs[0];
    let all = names.all();
    let mut functions = String::new();
    let described = subject.functions(&names);
    for (name, about, root) in &described {
        let mut body = subject.body(&mut writer, LANGUAGE.cuts, *root, &names);
        // An input itself is no result of an `autograd.Function`.
        if names.inputs.contains(&body.value) {
            body.value += ".clone()";
        }
        functions += &format!(
            "def {name}({all}):\n    \"\"\"{about}\"\"\"\n    dtype = {first}.dtype\n    {} = _wide({all})\n{}    \
             return ({}).to(dtype)\n\n\n",
            unpacked(&all),
            indented(&body.statements, "    "),
            body.value
        );
    }
    let mut out = format!(
        "\"\"\"{}\"\"\"\n\nimport torch\n\n\n",
        indented(&subject.about(BOUND), "").trim_end().replace('\\', "\\\\")
    );
    out += WIDE;
    if !names.params.is_empty() {
        out += PARAMETER;
    }
    if functions.contains("_limit(") {
        out += LIMIT;
    }
    out += &writer.helpers("\n\n");
    out += &functions;
    let slopes: Vec<&str> = described[1..].iter().map(|f| f.0.as_str()).collect();
    let values = [
        ("$class", names.class()),
        ("$name", names.name.clone()),
        ("$formula", subject.formula.clone()),
        ("$inputs", names.inputs.join(", ")),
        ("$all", all.clone()),
        ("$unpacked", unpacked(&all)),
        ("$slopes", unpacked(&slopes.join(", "))),
    ];
    let mut frame = String::from(FUNCTION);
    frame += &function(subject, &names);
    frame += &module(subject, &names);
    // Longer names first, since some begin like others.
    values.iter().fold(out + &frame, |text, (key, value)| text.replace(key, value))
}

/// Names on the left of an assignment, or as a tuple: one of them has a comma behind it.
fn unpacked(all: &str) -> String {
    if all.contains(',') { format!("({all})") } else { format!("({all},)") }
}

const FUNCTION: &str = "\
_slopes = $slopes


class _$class(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward($all):
        return _value($all)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        inputs = ctx.saved_tensors
        return tuple(
            (grad * slope(*inputs)).sum_to_size(x.shape).to(x.dtype) if needed else None
            for x, slope, needed in zip(inputs, _slopes, ctx.needs_input_grad)
        )


";

/// The function that calls the class.
fn function(subject: &Subject, names: &Names) -> String {
    let defaults = names.defaults(subject);
    let mut out = format!("def $name($inputs{defaults}):\n    \"\"\"$formula\"\"\"\n");
    let floating: Vec<String> = names.inputs.iter().map(|n| format!("_floating({n})")).collect();
    out += &match floating.as_slice() {
        [one] => format!("    $inputs = {one}\n"),
        all => format!("    $inputs = torch.broadcast_tensors({})\n", all.join(", ")),
    };
    let first = &names.inputs[0];
    out += &names
        .params
        .iter()
        .map(|p| format!("    {p} = _parameter({p}, {first})\n"))
        .collect::<String>();
    out + "    return _$class.apply($all)\n\n\n"
}

/// The module, which keeps the parameters: numbers, or tensors that are learned.
fn module(subject: &Subject, names: &Names) -> String {
    let mut out = String::from("class $class(torch.nn.Module):\n    \"\"\"$formula\"\"\"\n\n");
    if !names.params.is_empty() {
        out += &format!(
            "    def __init__(self{}):\n        super().__init__()\n",
            names.defaults(subject)
        );
        let shown: Vec<String> = names.params.iter().map(|p| format!("{p}={{self.{p}}}")).collect();
        out +=
            &names.params.iter().map(|p| format!("        self.{p} = {p}\n")).collect::<String>();
        out +=
            &format!("\n    def extra_repr(self):\n        return f\"{}\"\n\n", shown.join(", "));
    }
    let own: String = names.params.iter().map(|p| format!(", self.{p}")).collect();
    out + &format!("    def forward(self, $inputs):\n        return $name($inputs{own})\n")
}

const WIDE: &str = "\
def _wide(x, *others):
    \"\"\"All of them in the type of x, or in float32 if that has fewer digits.\"\"\"
    dtype = torch.promote_types(x.dtype, torch.float32)
    return [a.to(dtype) for a in (x, *others)]


def _floating(x):
    \"\"\"x, as floating-point numbers.\"\"\"
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())


";

const PARAMETER: &str = "\
def _parameter(value, x):
    \"\"\"A parameter as a tensor beside x.\"\"\"
    if isinstance(value, torch.Tensor):
        return value
    return torch.tensor(value, dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)


";

const BOUND: &str = "within 1e-12 of the result in float64 and 1e-5 in float32, and, where its
terms cancel, 1e-15 and 1e-6; factors that are subnormal numbers may count as 0.";
