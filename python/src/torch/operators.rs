//! The operators: for each its schema, and what becomes of a call.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::formulas;
use super::layout::{
    Place, apart, apply, broadcast, c_strides, count, expanded, kept, result_strides, rows, span,
    with_number,
};
use super::library::{
    Back, Element, FromOutput, Function, Gate, GateBack, GatedFunction, Kernel, LogSigmoidKept,
    Map, Rows, Second, Soft, SoftBack, Weighted, WeightedBack, celu, elementwise, elu, gated, gelu,
    gelu_tanh, glu, hard_sigmoid, hard_swish, has_from_output, leaky_relu, log_sigmoid, mish,
    prelu, relu, selu, sigmoid, silu, softplus, tanh, with,
};
use super::schema::{Arguments, Schema};
use super::shim::{Dtype, Owned, Res, Stop, Tensor, Torch, fail};

/// What a call leaves.
pub enum Outcome {
    /// A new tensor.
    New(Owned),
    /// Two new tensors.
    Two(Owned, Owned),
    /// The tensor that is argument so-and-so, changed.
    Argument(usize),
}

/// An operator.
pub struct Operator {
    /// What PyTorch knows of it.
    pub schema: Schema,
    job: Job,
}

/// Where a result goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    /// To a new tensor.
    New,
    /// To the tensor that is this argument, also where that is the operand.
    Argument(usize),
}

/// How a function is found from arguments; `None` declines.
type Choice = fn(&Arguments) -> Res<Option<Cow<'static, Function>>>;

enum Job {
    /// f(x) of argument 0.
    Map(Choice, To),
    /// `grad f'(x)`: gradient, tensor, and whether that is the output rather than the input. A new
    /// result is laid out as operand `lead`: 0 the gradient, 1 the tensor.
    Back { function: Choice, grad: usize, tensor: usize, from_output: Slope, lead: usize, to: To },
    /// log-sigmoid with what its backward is given.
    LogSigmoid,
    /// Softmax along argument 1.
    Soft { log: bool, to: To },
    /// Its gradient from its output.
    SoftBack { log: bool, to: To },
    /// GLU along argument 1.
    Glu(To),
    /// Its gradient.
    GluBack(To),
    /// PReLU of argument 0 with the weights that are argument 1.
    Weighted,
    /// Its gradients by both.
    WeightedBack,
    /// An operator of the namespace `nonlin`.
    Own(Own),
}

/// What a slope is computed from.
#[derive(Clone, Copy)]
enum Slope {
    /// The input.
    Input,
    /// The output.
    Output,
    /// The output if this argument is true.
    Argument(usize),
}

/// Operators of this library's namespace.
enum Own {
    Forward(&'static Function),
    Backward(&'static Function),
    Second(&'static Function),
    Gate(&'static GatedFunction),
    GateBack(&'static GatedFunction),
    Packed(&'static GatedFunction),
    PackedBack(&'static GatedFunction),
    Weighted,
    WeightedBack,
    Formula,
    FormulaBack,
    FormulaSecond,
    FormulaGate,
    FormulaGateBack,
    /// `g` times the derivatives by both operands of the derivative by one of them.
    FormulaGateSecond,
}

/// All operators: PyTorch's first, then ours. The index is what a call carries.
pub static OPERATORS: LazyLock<Vec<Operator>> = LazyLock::new(|| {
    let mut all = Vec::new();
    of_pytorch(&mut all);
    of_nonlin(&mut all);
    of_formulas(&mut all);
    all
});

/// Finds an operator's index by its namespace and name.
pub fn find(namespace: &str, name: &str) -> Option<usize> {
    OPERATORS.iter().position(|o| o.schema.namespace == namespace && o.schema.name == name)
}

fn fixed(f: fn() -> &'static Function) -> Res<Option<Cow<'static, Function>>> {
    Ok(Some(Cow::Borrowed(f())))
}

/// GELU in the form that argument `i` names.
fn gelu_of(a: &Arguments, i: usize) -> Res<Option<Cow<'static, Function>>> {
    Ok(match a.text(i)? {
        "none" => Some(Cow::Borrowed(gelu())),
        "tanh" => Some(Cow::Borrowed(gelu_tanh())),
        _ => None,
    })
}

/// A function with its only parameter set; borrowed where it has that value.
fn set(f: &'static Function, value: f64) -> Option<Cow<'static, Function>> {
    if f.values() == [value] {
        return Some(Cow::Borrowed(f));
    }
    with(f, value).map(Cow::Owned)
}

/// Which of the ELU family `elu(alpha, scale, input_scale)` is. PyTorch's selu and celu call it so.
fn elu_of(alpha: f64, scale: f64, input_scale: f64) -> Option<Cow<'static, Function>> {
    /// The constants that PyTorch passes for SELU, which nonlin has to more digits.
    const SELU: (f64, f64) = (1.673_263_242_354_377_2, 1.050_700_987_355_480_5);
    if input_scale == 1.0 && scale == 1.0 {
        return set(elu(), alpha);
    }
    if input_scale == 1.0 && (alpha, scale) == SELU {
        return Some(Cow::Borrowed(selu()));
    }
    // PyTorch divides by alpha as it is, and for the gradient by alpha as a number of f32.
    let inverse = [1.0 / alpha, 1.0 / f64::from(alpha as f32)];
    if scale == 1.0 && inverse.contains(&input_scale) {
        return set(celu(), alpha);
    }
    None
}

/// Softplus with PyTorch's threshold, above which it is the identity. From 20 on that is no other
/// number in any type but f64, where it is at most 2.1e-9 more exact; a lower one is another function.
fn softplus_of(beta: f64, threshold: f64) -> Option<Cow<'static, Function>> {
    if threshold < 20.0 || threshold.is_nan() {
        return None;
    }
    set(softplus(), beta)
}

fn of_pytorch(all: &mut Vec<Operator>) {
    let mut add =
        |text: &'static str, job: Job| all.push(Operator { schema: Schema::parse(text), job });

    macro_rules! unary {
        ($name:literal, $choice:expr) => {
            add(concat!("aten::", $name, "(Tensor self) -> Tensor"), Job::Map($choice, To::New));
            add(
                concat!("aten::", $name, "_(Tensor(a!) self) -> Tensor(a!)"),
                Job::Map($choice, To::Argument(0)),
            );
            if $name != "relu" {
                // PyTorch's relu.out calls relu and copies.
                add(
                    concat!("aten::", $name, ".out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)"),
                    Job::Map($choice, To::Argument(1)),
                );
            }
        };
    }
    unary!("relu", |_| fixed(relu));
    unary!("sigmoid", |_| fixed(sigmoid));
    unary!("tanh", |_| fixed(tanh));
    unary!("silu", |_| fixed(silu));
    unary!("mish", |_| fixed(mish));
    unary!("hardswish", |_| fixed(hard_swish));
    unary!("hardsigmoid", |_| fixed(hard_sigmoid));

    macro_rules! back {
        ($name:literal, $from:literal, $choice:expr, $slope:expr) => {
            add(
                concat!("aten::", $name, "(Tensor grad_output, Tensor ", $from, ") -> Tensor"),
                Job::Back {
                    function: $choice,
                    grad: 0,
                    tensor: 1,
                    from_output: $slope,
                    lead: 0,
                    to: To::New,
                },
            );
        };
        ($name:literal, $from:literal, $choice:expr, $slope:expr, out) => {
            back!($name, $from, $choice, $slope);
            add(
                concat!(
                    "aten::",
                    $name,
                    ".grad_input(Tensor grad_output, Tensor ",
                    $from,
                    ", *, Tensor(a!) grad_input) -> Tensor(a!)"
                ),
                Job::Back {
                    function: $choice,
                    grad: 0,
                    tensor: 1,
                    from_output: $slope,
                    lead: 0,
                    to: To::Argument(2),
                },
            );
        };
    }
    back!("sigmoid_backward", "output", |_| fixed(sigmoid), Slope::Output, out);
    back!("tanh_backward", "output", |_| fixed(tanh), Slope::Output, out);
    back!("silu_backward", "self", |_| fixed(silu), Slope::Input, out);
    back!("hardsigmoid_backward", "self", |_| fixed(hard_sigmoid), Slope::Input, out);
    back!("mish_backward", "self", |_| fixed(mish), Slope::Input);
    back!("hardswish_backward", "self", |_| fixed(hard_swish), Slope::Input);

    add(
        "aten::gelu(Tensor self, *, str approximate=\"none\") -> Tensor",
        Job::Map(|a| gelu_of(a, 1), To::New),
    );
    add(
        "aten::gelu_(Tensor(a!) self, *, str approximate=\"none\") -> Tensor(a!)",
        Job::Map(|a| gelu_of(a, 1), To::Argument(0)),
    );
    add(
        "aten::gelu.out(Tensor self, *, str approximate=\"none\", Tensor(a!) out) -> Tensor(a!)",
        Job::Map(|a| gelu_of(a, 1), To::Argument(2)),
    );
    let gelu_back = |to| Job::Back {
        function: |a| gelu_of(a, 2),
        grad: 0,
        tensor: 1,
        from_output: Slope::Input,
        lead: 0,
        to,
    };
    add(
        "aten::gelu_backward(Tensor grad_output, Tensor self, *, str approximate=\"none\") -> Tensor",
        gelu_back(To::New),
    );
    add(
        "aten::gelu_backward.grad_input(Tensor grad_output, Tensor self, *, str approximate=\"none\", Tensor(a!) grad_input) -> Tensor(a!)",
        gelu_back(To::Argument(3)),
    );

    add(
        "aten::log_sigmoid_forward(Tensor self) -> (Tensor output, Tensor buffer)",
        Job::LogSigmoid,
    );
    let log_sigmoid_back = |to| Job::Back {
        function: |_| fixed(log_sigmoid),
        grad: 0,
        tensor: 1,
        from_output: Slope::Input,
        lead: 0,
        to,
    };
    add(
        "aten::log_sigmoid_backward(Tensor grad_output, Tensor self, Tensor buffer) -> Tensor",
        log_sigmoid_back(To::New),
    );
    add(
        "aten::log_sigmoid_backward.grad_input(Tensor grad_output, Tensor self, Tensor buffer, *, Tensor(a!) grad_input) -> Tensor(a!)",
        log_sigmoid_back(To::Argument(3)),
    );

    add("aten::glu(Tensor self, int dim=-1) -> Tensor", Job::Glu(To::New));
    add(
        "aten::glu.out(Tensor self, int dim=-1, *, Tensor(a!) out) -> Tensor(a!)",
        Job::Glu(To::Argument(2)),
    );
    add(
        "aten::glu_backward(Tensor grad_output, Tensor self, int dim) -> Tensor",
        Job::GluBack(To::New),
    );
    add(
        "aten::glu_backward.grad_input(Tensor grad_output, Tensor self, int dim, *, Tensor(a!) grad_input) -> Tensor(a!)",
        Job::GluBack(To::Argument(3)),
    );

    macro_rules! soft {
        ($name:literal, $out:literal, $log:literal) => {
            add(
                concat!("aten::", $name, "(Tensor self, int dim, bool half_to_float) -> Tensor"),
                Job::Soft { log: $log, to: To::New },
            );
            add(
                concat!(
                    "aten::",
                    $name,
                    ".out(Tensor self, int dim, bool half_to_float, *, Tensor(a!) out) -> Tensor(a!)"
                ),
                Job::Soft { log: $log, to: To::Argument(3) },
            );
            add(
                concat!(
                    "aten::",
                    $name,
                    "_backward_data(Tensor grad_output, Tensor output, int dim, ScalarType input_dtype) -> Tensor"
                ),
                Job::SoftBack { log: $log, to: To::New },
            );
            add(
                concat!(
                    "aten::",
                    $name,
                    "_backward_data.out(Tensor grad_output, Tensor output, int dim, ScalarType input_dtype, *, Tensor(a!) ",
                    $out,
                    ") -> Tensor(a!)"
                ),
                Job::SoftBack { log: $log, to: To::Argument(4) },
            );
        };
    }
    soft!("_softmax", "grad_input", false);
    soft!("_log_softmax", "out", true);

    add("aten::_prelu_kernel(Tensor self, Tensor weight) -> Tensor", Job::Weighted);
    add(
        "aten::_prelu_kernel_backward(Tensor grad_output, Tensor self, Tensor weight) -> (Tensor, Tensor)",
        Job::WeightedBack,
    );

    // Operators with numbers of the type Scalar: PyTorch calls these through Python.
    macro_rules! scalar {
        ($name:literal, $args:literal, $choice:expr, $out:literal) => {
            add(
                concat!("aten::", $name, "(Tensor self, ", $args, ") -> Tensor"),
                Job::Map($choice, To::New),
            );
            add(
                concat!("aten::", $name, "_(Tensor(a!) self, ", $args, ") -> Tensor(a!)"),
                Job::Map($choice, To::Argument(0)),
            );
            add(
                concat!(
                    "aten::",
                    $name,
                    ".out(Tensor self, ",
                    $args,
                    ", *, Tensor(a!) out) -> Tensor(a!)"
                ),
                Job::Map($choice, To::Argument($out)),
            );
        };
    }
    scalar!("leaky_relu", "Scalar negative_slope=0.01", |a| Ok(set(leaky_relu(), a.float(1)?)), 2);
    scalar!(
        "elu",
        "Scalar alpha=1, Scalar scale=1, Scalar input_scale=1",
        |a| Ok(elu_of(a.float(1)?, a.float(2)?, a.float(3)?)),
        4
    );
    let softplus: Choice = |a| Ok(softplus_of(a.float(1)?, a.float(2)?));
    add(
        "aten::softplus(Tensor self, Scalar beta=1, Scalar threshold=20) -> Tensor",
        Job::Map(softplus, To::New),
    );
    add(
        "aten::softplus.out(Tensor self, Scalar beta=1, Scalar threshold=20, *, Tensor(a!) out) -> Tensor(a!)",
        Job::Map(softplus, To::Argument(3)),
    );
    macro_rules! scalar_back {
        ($name:literal, $args:literal, $choice:expr, $grad:literal, $tensor:literal, $slope:expr, $lead:literal, $out:literal) => {
            let back = |to| Job::Back {
                function: $choice,
                grad: $grad,
                tensor: $tensor,
                from_output: $slope,
                lead: $lead,
                to,
            };
            add(concat!("aten::", $name, "(", $args, ") -> Tensor"), back(To::New));
            add(
                concat!(
                    "aten::",
                    $name,
                    ".grad_input(",
                    $args,
                    ", *, Tensor(a!) grad_input) -> Tensor(a!)"
                ),
                back(To::Argument($out)),
            );
        };
    }
    scalar_back!(
        "leaky_relu_backward",
        "Tensor grad_output, Tensor self, Scalar negative_slope, bool self_is_result",
        |a| Ok(set(leaky_relu(), a.float(2)?)),
        0,
        1,
        Slope::Argument(3),
        1,
        4
    );
    scalar_back!(
        "elu_backward",
        "Tensor grad_output, Scalar alpha, Scalar scale, Scalar input_scale, bool is_result, Tensor self_or_result",
        |a| Ok(elu_of(a.float(1)?, a.float(2)?, a.float(3)?)),
        0,
        5,
        Slope::Argument(4),
        0,
        6
    );
    scalar_back!(
        "softplus_backward",
        "Tensor grad_output, Tensor self, Scalar beta, Scalar threshold",
        |a| Ok(softplus_of(a.float(2)?, a.float(3)?)),
        0,
        1,
        Slope::Input,
        0,
        4
    );
}

/// The operators of the namespace `nonlin`.
fn of_nonlin(all: &mut Vec<Operator>) {
    // The table is a static, and so are the texts that it is made of.
    let mut add = |text: String, job: Own| {
        let schema = Schema::parse(Box::leak(text.into_boxed_str()));
        all.push(Operator { schema, job: Job::Own(job) });
    };
    for &f in elementwise() {
        let (name, params) = (f.name(), parameters(f));
        add(format!("nonlin::{name}(Tensor x{params}) -> Tensor"), Own::Forward(f));
        add(
            format!("nonlin::{name}_backward(Tensor grad, Tensor x{params}) -> Tensor"),
            Own::Backward(f),
        );
        add(
            format!("nonlin::{name}_second(Tensor g, Tensor grad, Tensor x{params}) -> Tensor"),
            Own::Second(f),
        );
    }
    add("nonlin::weighted(Tensor x, Tensor weight) -> Tensor".to_owned(), Own::Weighted);
    add(
        "nonlin::weighted_backward(Tensor grad, Tensor x, Tensor weight) -> (Tensor, Tensor)"
            .to_owned(),
        Own::WeightedBack,
    );
    for &f in gated() {
        let name = f.name();
        add(format!("nonlin::{name}(Tensor a, Tensor b) -> Tensor"), Own::Gate(f));
        add(
            format!("nonlin::{name}_backward(Tensor grad, Tensor a, Tensor b) -> (Tensor, Tensor)"),
            Own::GateBack(f),
        );
        add(
            format!("nonlin::{name}_packed(Tensor x, int dim, bool interleaved) -> Tensor"),
            Own::Packed(f),
        );
        add(
            format!(
                "nonlin::{name}_packed_backward(Tensor grad, Tensor x, int dim, bool interleaved) -> Tensor"
            ),
            Own::PackedBack(f),
        );
    }
}

/// The operators of formulas, whose texts are arguments.
fn of_formulas(all: &mut Vec<Operator>) {
    let mut add = |text: &'static str, job: Own| {
        all.push(Operator { schema: Schema::parse(text), job: Job::Own(job) });
    };
    add("nonlin::formula(Tensor x, str text) -> Tensor", Own::Formula);
    add("nonlin::formula_backward(Tensor grad, Tensor x, str text) -> Tensor", Own::FormulaBack);
    add(
        "nonlin::formula_second(Tensor g, Tensor grad, Tensor x, str text) -> Tensor",
        Own::FormulaSecond,
    );
    add("nonlin::gated_formula(Tensor a, Tensor b, str text) -> Tensor", Own::FormulaGate);
    add(
        "nonlin::gated_formula_backward(Tensor grad, Tensor a, Tensor b, str text) -> (Tensor, Tensor)",
        Own::FormulaGateBack,
    );
    add(
        "nonlin::gated_formula_second(Tensor g, Tensor a, Tensor b, str text, int operand) -> (Tensor, Tensor)",
        Own::FormulaGateSecond,
    );
}

/// The parameters of a function as the end of a list of arguments.
fn parameters(f: &Function) -> String {
    f.params().map(|(p, _)| format!(", float {}={:?}", p.name, p.default)).collect()
}

/// A function of the table with the parameters that arguments from `first` on are.
fn bound<'f>(f: &'f Function, a: &Arguments, first: usize) -> Res<Cow<'f, Function>> {
    let values = (first..first + f.values().len()).map(|i| a.float(i));
    let values = values.collect::<Res<Vec<f64>>>()?;
    if values == f.values() {
        return Ok(Cow::Borrowed(f));
    }
    let bound = f.with_values(&values).map_err(|e| Stop::Fail(e.to_string()))?;
    Ok(Cow::Owned(bound))
}

impl Operator {
    /// Whether it refuses tensors of different sizes.
    pub fn wants_one_size(&self) -> bool {
        matches!(&self.job, Job::Own(own) if !matches!(own, Own::Packed(_) | Own::PackedBack(_)))
    }

    /// Carries out a call.
    pub fn run(&self, torch: &Torch, a: &Arguments) -> Res<Outcome> {
        match &self.job {
            Job::Map(choice, to) => {
                let Some(f) = choice(a)? else { return Err(Stop::Decline) };
                map(torch, &Map(&f), a.tensor(0)?, a, *to)
            }
            Job::Back { function, grad, tensor, from_output, lead, to } => {
                let Some(f) = function(a)? else { return Err(Stop::Decline) };
                let from_output = match from_output {
                    Slope::Input => false,
                    Slope::Output => true,
                    Slope::Argument(i) => a.bool(*i)?,
                };
                let operands = [a.tensor(*grad)?, a.tensor(*tensor)?];
                if !from_output {
                    elementwise_to::<_, 2, 3>(torch, &Back(&f), operands, *lead, a, *to)
                } else if has_from_output(&f) {
                    elementwise_to::<_, 2, 3>(torch, &FromOutput(&f), operands, *lead, a, *to)
                } else {
                    Err(Stop::Decline)
                }
            }
            Job::LogSigmoid => {
                let x = torch.read(a.tensor(0)?)?;
                // PyTorch's own results are in C order.
                let strides = c_strides(x.sizes);
                let y = torch.empty(x.sizes, &strides, x.dtype)?;
                let z = torch.empty(x.sizes, &strides, x.dtype)?;
                let operands = [Place { data: torch.data(&x)?, strides: x.strides }];
                let results = [fresh(torch, &y, &strides)?, fresh(torch, &z, &strides)?];
                // SAFETY: an argument of PyTorch has the elements that its sizes and strides say;
                // both results are new.
                unsafe {
                    apply::<_, 1, 2, 3>(torch, &LogSigmoidKept, x.dtype, x.sizes, operands, results)?;
                }
                Ok(Outcome::Two(y, z))
            }
            Job::Soft { log, to } => {
                if a.bool(2)? {
                    return Err(Stop::Decline);
                }
                let x = torch.read(a.tensor(0)?)?;
                row_wise::<_, 1, 2>(torch, &Soft { log: *log }, [x], a.int(1)?, a, *to)
            }
            Job::SoftBack { log, to } => {
                let (grad, y) = (torch.read(a.tensor(0)?)?, torch.read(a.tensor(1)?)?);
                if torch.dtype(a.dtype(3)?)? != y.dtype {
                    return Err(Stop::Decline);
                }
                row_wise::<_, 2, 3>(torch, &SoftBack { log: *log }, [grad, y], a.int(2)?, a, *to)
            }
            Job::Glu(to) => {
                let x = torch.read(a.tensor(0)?)?;
                let Some(halves) = Halves::of(&x, a.int(1)?, false) else {
                    return Err(Stop::Decline);
                };
                gate(torch, glu(), &x, &halves, a, *to)
            }
            Job::GluBack(to) => {
                let (grad, x) = (torch.read(a.tensor(0)?)?, torch.read(a.tensor(1)?)?);
                let Some(halves) = Halves::of(&x, a.int(2)?, false) else {
                    return Err(Stop::Decline);
                };
                gate_back(torch, glu(), &grad, &x, &halves, a, *to)
            }
            // Results without elements have distances that only PyTorch knows the rule of.
            Job::Weighted if count(torch.read(a.tensor(0)?)?.sizes) == 0 => Err(Stop::Decline),
            Job::Weighted => weighted(torch, a),
            Job::WeightedBack => {
                two_by_three(torch, &WeightedBack, [a.tensor(0)?, a.tensor(1)?, a.tensor(2)?])
            }
            Job::Own(own) => own.run(torch, a).map_err(|stop| match stop {
                Stop::Decline => Stop::Fail(format!(
                    "{}: all tensors must have one type, float32, float64, float16 or bfloat16, and \
                     sizes that fit",
                    self.schema.name
                )),
                fail => fail,
            }),
        }
    }
}

impl Own {
    fn run(&self, torch: &Torch, a: &Arguments) -> Res<Outcome> {
        match self {
            Own::Forward(f) => map(torch, &Map(&*bound(f, a, 1)?), a.tensor(0)?, a, To::New),
            Own::Backward(f) => {
                same_sizes(torch, a, 2)?;
                let f = bound(f, a, 2)?;
                let operands = [a.tensor(0)?, a.tensor(1)?];
                elementwise_to::<_, 2, 3>(torch, &Back(&f), operands, 0, a, To::New)
            }
            Own::Second(f) => {
                same_sizes(torch, a, 3)?;
                let f = bound(f, a, 3)?;
                let operands = [a.tensor(0)?, a.tensor(1)?, a.tensor(2)?];
                elementwise_to::<_, 3, 4>(torch, &Second(&f), operands, 0, a, To::New)
            }
            Own::Gate(f) => {
                same_sizes(torch, a, 2)?;
                let operands = [a.tensor(0)?, a.tensor(1)?];
                elementwise_to::<_, 2, 3>(torch, &Gate(f), operands, 0, a, To::New)
            }
            Own::GateBack(f) => {
                same_sizes(torch, a, 3)?;
                two_by_three(torch, &GateBack(f), [a.tensor(0)?, a.tensor(1)?, a.tensor(2)?])
            }
            Own::Weighted => {
                same_sizes(torch, a, 2)?;
                weighted(torch, a)
            }
            Own::WeightedBack => {
                same_sizes(torch, a, 3)?;
                two_by_three(torch, &WeightedBack, [a.tensor(0)?, a.tensor(1)?, a.tensor(2)?])
            }
            Own::Formula => {
                let f = formulas::elementwise(a.text(1)?)?;
                map(torch, &Map(&f), a.tensor(0)?, a, To::New)
            }
            Own::FormulaBack => {
                same_sizes(torch, a, 2)?;
                let f = formulas::elementwise(a.text(2)?)?;
                let operands = [a.tensor(0)?, a.tensor(1)?];
                elementwise_to::<_, 2, 3>(torch, &Back(&f), operands, 0, a, To::New)
            }
            Own::FormulaSecond => {
                same_sizes(torch, a, 3)?;
                let f = formulas::elementwise(a.text(3)?)?;
                let operands = [a.tensor(0)?, a.tensor(1)?, a.tensor(2)?];
                elementwise_to::<_, 3, 4>(torch, &Second(&f), operands, 0, a, To::New)
            }
            Own::FormulaGate => {
                same_sizes(torch, a, 2)?;
                let f = formulas::gated(a.text(2)?)?;
                let operands = [a.tensor(0)?, a.tensor(1)?];
                elementwise_to::<_, 2, 3>(torch, &Gate(&f), operands, 0, a, To::New)
            }
            Own::FormulaGateBack => {
                same_sizes(torch, a, 3)?;
                let f = formulas::gated(a.text(3)?)?;
                two_by_three(torch, &GateBack(&f), [a.tensor(0)?, a.tensor(1)?, a.tensor(2)?])
            }
            Own::FormulaGateSecond => {
                same_sizes(torch, a, 3)?;
                let both = formulas::partials(a.text(3)?)?;
                let operand = a.int(4)?;
                let Some(f) = usize::try_from(operand).ok().and_then(|i| both.get(i)) else {
                    return fail(format!("operand {operand}; there are 0 and 1"));
                };
                two_by_three(torch, &GateBack(f), [a.tensor(0)?, a.tensor(1)?, a.tensor(2)?])
            }
            Own::Packed(f) => {
                let x = torch.read(a.tensor(0)?)?;
                let halves = halves_of(&x, a.int(1)?, a.bool(2)?)?;
                gate(torch, f, &x, &halves, a, To::New)
            }
            Own::PackedBack(f) => {
                let (grad, x) = (torch.read(a.tensor(0)?)?, torch.read(a.tensor(1)?)?);
                let halves = halves_of(&x, a.int(2)?, a.bool(3)?)?;
                gate_back(torch, f, &grad, &x, &halves, a, To::New)
            }
        }
    }
}

/// PReLU. Weights that are one number are a parameter, for which there is a faster kernel.
fn weighted(torch: &Torch, a: &Arguments) -> Res<Outcome> {
    let (x, weight) = (torch.read(a.tensor(0)?)?, torch.read(a.tensor(1)?)?);
    let single = count(weight.sizes) == 1 && weight.sizes.len() <= x.sizes.len();
    if single && weight.dtype == x.dtype {
        // SAFETY: an argument of PyTorch has the one element that its sizes say.
        let value = unsafe { number_at(torch.data(&weight)?, weight.dtype) };
        if let Some(f) = with(prelu(), value) {
            return map(torch, &Map(&f), a.tensor(0)?, a, To::New);
        }
    }
    elementwise_to::<_, 2, 3>(torch, &Weighted, [a.tensor(0)?, a.tensor(1)?], 0, a, To::New)
}

/// The number of that type in memory.
///
/// # Safety
/// `data` must lead to an element of the type.
unsafe fn number_at(data: *const u8, dtype: Dtype) -> f64 {
    // SAFETY: `data` leads to an element of the type that `dtype` stands for, which is `T`.
    with_number!(dtype, T => unsafe { data.cast::<T>().read().to_f64() })
}

/// Two results, elementwise, of gradient, tensor and tensor, whose sizes are repeated to fit each
/// other. The results are laid out as the tensors before the gradient.
fn two_by_three<K: Kernel<3, 2>>(
    torch: &Torch,
    kernel: &K,
    [grad, x, w]: [&Owned; 3],
) -> Res<Outcome> {
    let (grad, x, w) = (torch.read(grad)?, torch.read(x)?, torch.read(w)?);
    let dtype = x.dtype;
    if [grad.dtype, w.dtype] != [dtype; 2] {
        return Err(Stop::Decline);
    }
    let mut shape = Cow::Borrowed(x.sizes);
    for t in [&w, &grad] {
        if t.sizes != &*shape {
            shape = Cow::Owned(broadcast(&shape, t.sizes).ok_or(Stop::Decline)?);
        }
    }
    let wide = |t: &Tensor<'_>| expanded(t.sizes, t.strides, &shape);
    let (gs, xs, ws) = (wide(&grad), wide(&x), wide(&w));
    let strides = result_strides(&shape, &[&xs, &ws, &gs]);
    let dx = torch.empty(&shape, &strides, dtype)?;
    let dw = torch.empty(&shape, &strides, dtype)?;
    let operands = [
        Place { data: torch.data(&grad)?, strides: &gs },
        Place { data: torch.data(&x)?, strides: &xs },
        Place { data: torch.data(&w)?, strides: &ws },
    ];
    let results = [fresh(torch, &dx, &strides)?, fresh(torch, &dw, &strides)?];
    // SAFETY: arguments of PyTorch have the elements that their sizes and strides say, also repeated;
    // both results are new.
    unsafe { apply::<_, 3, 2, 5>(torch, kernel, dtype, &shape, operands, results)? };
    Ok(Outcome::Two(dx, dw))
}

/// Declines unless the first `n` arguments have one size.
fn same_sizes(torch: &Torch, a: &Arguments, n: usize) -> Res<()> {
    let first = torch.read(a.tensor(0)?)?.sizes;
    for i in 1..n {
        if torch.read(a.tensor(i)?)?.sizes != first {
            return Err(Stop::Decline);
        }
    }
    Ok(())
}

/// The place of a tensor that was just made.
fn fresh<'s>(torch: &Torch, tensor: &Owned, strides: &'s [i64]) -> Res<Place<'s>> {
    Ok(Place { data: torch.data_mut(tensor.handle())?, strides })
}

/// Bytes of an element.
fn item(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F64 => 8,
        Dtype::F32 => 4,
        Dtype::F16 | Dtype::Bf16 => 2,
    }
}

/// f(x) of one tensor: the shortest way for what is called most.
fn map<K: Kernel<1, 1>>(
    torch: &Torch,
    kernel: &K,
    x: &Owned,
    a: &Arguments,
    to: To,
) -> Res<Outcome> {
    if to != To::New {
        return elementwise_to::<_, 1, 2>(torch, kernel, [x], 0, a, to);
    }
    let x = torch.read(x)?;
    let strides = kept(x.sizes, x.strides);
    let strides = strides.unwrap_or_else(|| Cow::Owned(result_strides(x.sizes, &[x.strides])));
    let y = torch.empty(x.sizes, &strides, x.dtype)?;
    let operand = Place { data: torch.data(&x)?, strides: x.strides };
    let result = fresh(torch, &y, &strides)?;
    // SAFETY: an argument of PyTorch has the elements that its sizes and strides say; the result is
    // new.
    unsafe { apply::<_, 1, 1, 2>(torch, kernel, x.dtype, x.sizes, [operand], [result])? };
    Ok(Outcome::New(y))
}

/// An elementwise operator of tensors of one type, whose sizes are repeated to fit each other. A new
/// result is laid out as operand `lead`, the first or the last, before the others.
fn elementwise_to<K: Kernel<I, 1>, const I: usize, const N: usize>(
    torch: &Torch,
    kernel: &K,
    tensors: [&Owned; I],
    lead: usize,
    a: &Arguments,
    to: To,
) -> Res<Outcome> {
    let mut x = Vec::with_capacity(I);
    for tensor in tensors {
        x.push(torch.read(tensor)?);
    }
    let dtype = x[0].dtype;
    if x.iter().any(|t| t.dtype != dtype) {
        return Err(Stop::Decline);
    }
    let mut shape = Cow::Borrowed(x[0].sizes);
    for t in &x[1..] {
        if t.sizes != &*shape {
            shape = Cow::Owned(broadcast(&shape, t.sizes).ok_or(Stop::Decline)?);
        }
    }
    let strides: Vec<Cow<'_, [i64]>> = x
        .iter()
        .map(|t| {
            if t.sizes == &*shape {
                Cow::Borrowed(t.strides)
            } else {
                Cow::Owned(expanded(t.sizes, t.strides, &shape))
            }
        })
        .collect();
    let mut operands = [Place { data: std::ptr::null_mut(), strides: &[] }; I];
    for (operand, (t, strides)) in operands.iter_mut().zip(x.iter().zip(&strides)) {
        *operand = Place { data: torch.data(t)?, strides };
    }
    let mut in_order = operands;
    in_order.swap(0, lead);
    into(torch, dtype, &shape, &in_order, a, to, |result| {
        // SAFETY: arguments of PyTorch have the elements that their sizes and strides say, also
        // repeated; `into` gives a result that overlaps none of them, or is the only one.
        unsafe { apply::<_, I, 1, N>(torch, kernel, dtype, &shape, operands, [result]) }
    })
}

/// Calls `work` with the place of a result for these operands: a new tensor, or an argument that
/// has the right type and size and overlaps no operand, unless it is the only one.
fn into(
    torch: &Torch,
    dtype: Dtype,
    shape: &[i64],
    operands: &[Place<'_>],
    a: &Arguments,
    to: To,
    work: impl FnOnce(Place<'_>) -> Res<()>,
) -> Res<Outcome> {
    match to {
        To::New => {
            let first = operands[0].strides;
            let alike = operands.iter().all(|o| o.strides == first);
            let strides = if alike { kept(shape, first) } else { None }.unwrap_or_else(|| {
                let all: Vec<&[i64]> = operands.iter().map(|o| o.strides).collect();
                Cow::Owned(result_strides(shape, &all))
            });
            let y = torch.empty(shape, &strides, dtype)?;
            work(fresh(torch, &y, &strides)?)?;
            Ok(Outcome::New(y))
        }
        To::Argument(i) => {
            let y = given(torch, dtype, shape, a, i)?;
            let data =
                if count(shape) == 0 { std::ptr::null_mut() } else { torch.data_mut(y.handle)? };
            let (begin, end) = span(data, shape, y.strides, item(dtype));
            let same = |o: &Place<'_>| o.data == data && o.strides == y.strides;
            let clear = |o: &Place<'_>| {
                let (from, past) = span(o.data, shape, o.strides, item(dtype));
                past <= begin || end <= from
            };
            let allowed = operands.len() == 1 && same(&operands[0]);
            if count(shape) > 0 && !allowed && !operands.iter().all(clear) {
                return Err(Stop::Decline);
            }
            work(Place { data, strides: y.strides })?;
            Ok(Outcome::Argument(i))
        }
    }
}

/// Argument `i` as the tensor that a result is written to; declines what PyTorch would resize,
/// convert or refuse.
fn given<'a>(
    torch: &Torch,
    dtype: Dtype,
    shape: &[i64],
    a: &'a Arguments,
    i: usize,
) -> Res<Tensor<'a>> {
    let y = torch.read(a.tensor(i)?)?;
    if y.dtype != dtype || y.sizes != shape || !apart(shape, y.strides) {
        return Err(Stop::Decline);
    }
    Ok(y)
}

/// An axis, counted from the end if it is negative; `None` if there is no such one.
fn axis(dim: i64, rank: usize) -> Option<usize> {
    let rank = rank as i64;
    let axis = if dim < 0 { dim + rank } else { dim };
    (0..rank).contains(&axis).then_some(axis as usize)
}

/// An operator on the rows of tensors of one shape and type; the result is in C order, as PyTorch's
/// own.
fn row_wise<K: Rows<I>, const I: usize, const N: usize>(
    torch: &Torch,
    kernel: &K,
    x: [Tensor<'_>; I],
    dim: i64,
    a: &Arguments,
    to: To,
) -> Res<Outcome> {
    let (dtype, shape) = (x[0].dtype, x[0].sizes);
    if x.iter().any(|t| t.dtype != dtype || t.sizes != shape) {
        return Err(Stop::Decline);
    }
    // A number is a row of one element.
    let scalar = shape.is_empty();
    let wide = if scalar { &[1][..] } else { shape };
    let Some(dim) = axis(dim, wide.len()) else { return Err(Stop::Decline) };
    let mut operands = [Place { data: std::ptr::null_mut(), strides: &[] }; I];
    for (operand, t) in operands.iter_mut().zip(&x) {
        *operand = Place { data: torch.data(t)?, strides: if scalar { &[1] } else { t.strides } };
    }
    let run = |y: Place<'_>| {
        let y = Place { strides: if scalar { &[1] } else { y.strides }, ..y };
        // SAFETY: arguments of PyTorch have the elements that their sizes and strides say; the
        // result is new, or overlaps none of them.
        unsafe { rows::<_, I, N>(torch, kernel, dtype, wide, dim, operands, y) }
    };
    match to {
        To::New => {
            let strides = c_strides(shape);
            let y = torch.empty(shape, &strides, dtype)?;
            run(fresh(torch, &y, &strides)?)?;
            Ok(Outcome::New(y))
        }
        To::Argument(i) => {
            let y = given(torch, dtype, shape, a, i)?;
            let data = torch.data_mut(y.handle)?;
            let (begin, end) = span(data, shape, y.strides, item(dtype));
            let clear = |t: &Place<'_>| {
                let (from, past) = span(t.data, wide, t.strides, item(dtype));
                past <= begin || end <= from
            };
            if count(shape) > 0 && !operands.iter().all(clear) {
                return Err(Stop::Decline);
            }
            run(Place { data, strides: y.strides })?;
            Ok(Outcome::Argument(i))
        }
    }
}

/// Both operands of a gated unit packed in one tensor.
struct Halves {
    /// The shape of each.
    shape: Vec<i64>,
    /// The distances of each, in elements.
    strides: Vec<i64>,
    /// From the first element of the first operand to that of the second.
    offset: i64,
    /// The axis along which they are packed, and whether they alternate.
    dim: usize,
    interleaved: bool,
}

impl Halves {
    /// `None` if there is no such axis, or its length is odd.
    fn of(x: &Tensor<'_>, dim: i64, interleaved: bool) -> Option<Self> {
        let dim = axis(dim, x.sizes.len())?;
        if x.sizes[dim] % 2 != 0 {
            return None;
        }
        let mut shape = x.sizes.to_vec();
        shape[dim] /= 2;
        let (strides, offset) = Self::within(x.strides, shape[dim], dim, interleaved);
        Some(Halves { shape, strides, offset, dim, interleaved })
    }

    /// Distances and offset of operands in a tensor of these distances.
    fn within(strides: &[i64], half: i64, dim: usize, interleaved: bool) -> (Vec<i64>, i64) {
        let mut own = strides.to_vec();
        if interleaved {
            own[dim] *= 2;
            (own, strides[dim])
        } else {
            (own, strides[dim] * half)
        }
    }
}

/// The operands packed in a tensor, or an error that says what is wrong.
fn halves_of(x: &Tensor<'_>, dim: i64, interleaved: bool) -> Res<Halves> {
    let Some(halves) = Halves::of(x, dim, interleaved) else {
        let rank = x.sizes.len();
        return match axis(dim, rank) {
            Some(axis) => fail(format!(
                "axis {dim} has {} elements; two operands packed along it have an even number",
                x.sizes[axis]
            )),
            None => fail(format!("axis {dim} is out of range for a tensor of {rank} axes")),
        };
    };
    Ok(halves)
}

/// The place of the second operand.
fn second(first: *mut u8, halves_offset: i64, dtype: Dtype) -> *mut u8 {
    first.wrapping_offset(halves_offset as isize * item(dtype) as isize)
}

/// A gated unit of operands packed in one tensor.
fn gate(
    torch: &Torch,
    f: &GatedFunction,
    x: &Tensor<'_>,
    halves: &Halves,
    a: &Arguments,
    to: To,
) -> Res<Outcome> {
    let data = torch.data(x)?;
    let operands = [
        Place { data, strides: &halves.strides },
        Place { data: second(data, halves.offset, x.dtype), strides: &halves.strides },
    ];
    into(torch, x.dtype, &halves.shape, &operands, a, to, |y| {
        // SAFETY: both halves lie within an argument of PyTorch; `into` gives a result that overlaps
        // neither.
        unsafe { apply::<_, 2, 1, 3>(torch, &Gate(f), x.dtype, &halves.shape, operands, [y]) }
    })
}

/// The gradient of a gated unit of operands packed in one tensor, packed alike.
fn gate_back(
    torch: &Torch,
    f: &GatedFunction,
    grad: &Tensor<'_>,
    x: &Tensor<'_>,
    halves: &Halves,
    a: &Arguments,
    to: To,
) -> Res<Outcome> {
    if grad.dtype != x.dtype || grad.sizes != halves.shape {
        return Err(Stop::Decline);
    }
    let data = torch.data(x)?;
    let operands = [
        Place { data: torch.data(grad)?, strides: grad.strides },
        Place { data, strides: &halves.strides },
        Place { data: second(data, halves.offset, x.dtype), strides: &halves.strides },
    ];
    let run = |data: *mut u8, strides: &[i64]| {
        let half = halves.shape[halves.dim];
        let (strides, offset) = Halves::within(strides, half, halves.dim, halves.interleaved);
        let results = [
            Place { data, strides: &strides },
            Place { data: second(data, offset, x.dtype), strides: &strides },
        ];
        // SAFETY: both halves lie within an argument of PyTorch, and those of the result, which
        // overlaps no argument, do not overlap each other.
        unsafe {
            apply::<_, 3, 2, 5>(torch, &GateBack(f), x.dtype, &halves.shape, operands, results)
        }
    };
    match to {
        To::New => {
            // As PyTorch's own: in C order.
            let strides = c_strides(x.sizes);
            let dx = torch.empty(x.sizes, &strides, x.dtype)?;
            run(fresh(torch, &dx, &strides)?.data, &strides)?;
            Ok(Outcome::New(dx))
        }
        To::Argument(i) => {
            let dx = given(torch, x.dtype, x.sizes, a, i)?;
            let data = torch.data_mut(dx.handle)?;
            let (begin, end) = span(data, x.sizes, dx.strides, item(x.dtype));
            let clear = |data: *mut u8, shape: &[i64], strides: &[i64]| {
                let (from, past) = span(data, shape, strides, item(x.dtype));
                past <= begin || end <= from
            };
            if count(x.sizes) > 0
                && !(clear(operands[0].data, grad.sizes, grad.strides)
                    && clear(operands[1].data, x.sizes, x.strides))
            {
                return Err(Stop::Decline);
            }
            run(data, dx.strides)?;
            Ok(Outcome::Argument(i))
        }
    }
}
