//! ONNX: a model of float tensors with one axis, with the value and the derivatives as outputs, and
//! parameters as inputs that have defaults. Its bytes are written as protocol buffers here.

use super::Subject;
use super::plan::{Operation, Plan, Value};
use crate::formula::graph::{Call, Test};
use alloc::{borrow::ToOwned, collections::BTreeMap, format, string::String, vec::Vec};

/// The version of the format, of 2021, and of the operators that it has.
const FORMAT: u64 = 8;
const OPERATORS: u64 = 16;
/// How the format numbers the type float.
const FLOAT: u64 = 1;

/// A message in the making: fields, one behind the other.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut v: u64) {
        while v > 127 {
            self.0.push(v as u8 | 128);
            v >>= 7;
        }
        self.0.push(v as u8);
    }

    fn integer(mut self, field: u64, v: u64) -> Self {
        self.varint(field << 3);
        self.varint(v);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, message: Message) -> Self {
        self.bytes(field, &message.0)
    }
}

/// Nodes of the model, equal ones once.
#[derive(Default)]
struct Nodes {
    nodes: Vec<Message>,
    names: BTreeMap<(&'static str, Vec<String>), String>,
    numbers: BTreeMap<u32, String>,
}

pub(super) fn model(subject: &Subject) -> Vec<u8> {
    let mut plan = Plan::new(false);
    let roots: Vec<usize> = core::iter::once(subject.value)
        .chain(subject.derivatives.iter().copied())
        .map(|root| plan.add(&subject.graph, root, subject.inputs.len()))
        .collect();
    let needed = plan.needed(&roots);
    let mut nodes = Nodes::default();
    let mut names: Vec<String> = Vec::new();
    // No name of a parameter is that of another value: those are y, dy_dx, c1 or t1.
    let taken = |name: &str| {
        let counted = |rest: &str| !rest.is_empty() && rest.bytes().all(|c| c.is_ascii_digit());
        name == "y" || name.starts_with("dy_") || name.strip_prefix(['c', 't']).is_some_and(counted)
    };
    let param = |name: &str| format!("{name}{}", if taken(name) { "_" } else { "" });
    for (at, value) in plan.values.iter().enumerate() {
        names.push(match value {
            _ if !needed[at] => String::new(),
            Value::Number(bits) => nodes.number(f64::from_bits(*bits)),
            Value::Input(i) => subject.inputs[*i].to_owned(),
            Value::Param(i) => param(&subject.params[*i].name),
            Value::Limit(degree) => {
                nodes.number(f64::from_bits(u64::from(1023 + 110 / (*degree).max(1)) << 52))
            }
            Value::Made(operation, of) => {
                let of: Vec<String> = of.iter().map(|&v| names[v].clone()).collect();
                nodes.operation(*operation, &of)
            }
        });
    }
    let outputs: Vec<String> = core::iter::once("y".to_owned())
        .chain(subject.inputs.iter().map(|by| format!("dy_d{by}")))
        .take(roots.len())
        .collect();
    for (&root, output) in roots.iter().zip(&outputs) {
        nodes.nodes.push(node("Identity", &[names[root].clone()], output));
    }
    let scalar = |name: &str, v: f32| {
        Message::default().integer(2, FLOAT).text(8, name).bytes(9, &v.to_le_bytes())
    };
    // One axis of any length, since the format wants a number of axes; a parameter has none.
    let axis = || Message::default().message(1, Message::default().text(2, "n"));
    let value = |name: &str, number: bool| {
        let shape = if number { Message::default() } else { axis() };
        let of = Message::default().integer(1, FLOAT).message(2, shape);
        Message::default().text(1, name).message(2, Message::default().message(1, of))
    };
    let mut graph = Message::default();
    for node in nodes.nodes {
        graph = graph.message(1, node);
    }
    graph = graph.text(2, &subject.name);
    for (bits, name) in &nodes.numbers {
        graph = graph.message(5, scalar(name, f32::from_bits(*bits)));
    }
    for p in &subject.params {
        graph = graph.message(5, scalar(&param(&p.name), p.default as f32));
    }
    for input in subject.inputs {
        graph = graph.message(11, value(input, false));
    }
    for p in &subject.params {
        graph = graph.message(11, value(&param(&p.name), true));
    }
    for output in &outputs {
        graph = graph.message(12, value(output, false));
    }
    let about = subject.about(BOUND).join("\n");
    Message::default()
        .integer(1, FORMAT)
        .text(2, "nonlin")
        .text(3, env!("CARGO_PKG_VERSION"))
        .text(6, &about)
        .message(7, graph)
        .message(8, Message::default().text(1, "").integer(2, OPERATORS))
        .0
}

fn node(kind: &str, of: &[String], output: &str) -> Message {
    let node = of.iter().fold(Message::default(), |node, name| node.text(1, name));
    node.text(2, output).text(3, &format!("{output}_node")).text(4, kind)
}

impl Nodes {
    /// A constant.
    fn number(&mut self, v: f64) -> String {
        let bits = (v as f32).to_bits();
        let next = format!("c{}", self.numbers.len());
        self.numbers.entry(bits).or_insert(next).clone()
    }

    /// An operator of ONNX on these.
    fn op(&mut self, kind: &'static str, of: &[&str]) -> String {
        let of: Vec<String> = of.iter().map(|n| (*n).to_owned()).collect();
        let key = (kind, of);
        if let Some(name) = self.names.get(&key) {
            return name.clone();
        }
        let name = format!("t{}", self.nodes.len());
        self.nodes.push(node(kind, &key.1, &name));
        self.names.insert(key, name.clone());
        name
    }

    /// What an operation is in operators.
    fn operation(&mut self, operation: Operation, of: &[String]) -> String {
        let a = of[0].as_str();
        let b = of.get(1).map_or("", String::as_str);
        match operation {
            Operation::Neg => self.op("Neg", &[a]),
            Operation::Add => self.op("Add", &[a, b]),
            Operation::Sub => self.op("Sub", &[a, b]),
            Operation::Mul => self.op("Mul", &[a, b]),
            Operation::Div => self.op("Div", &[a, b]),
            Operation::Power => self.op("Pow", &[a, b]),
            Operation::Max => self.extreme("Greater", a, b),
            Operation::Min => self.extreme("Less", a, b),
            Operation::Select(test) => {
                let kind = match test {
                    Test::Greater => "Greater",
                    Test::AtLeast => "GreaterOrEqual",
                };
                let holds = self.op(kind, &[a, b]);
                self.op("Where", &[&holds, &of[2], &of[3]])
            }
            Operation::IfNan => {
                let nan = self.op("IsNaN", &[a]);
                self.op("Where", &[&nan, a, b])
            }
            Operation::Gate => {
                let zero = self.number(0.0);
                let (shut, product) = (self.op("Equal", &[a, &zero]), self.op("Mul", &[a, b]));
                self.op("Where", &[&shut, &zero, &product])
            }
            Operation::Call(f) => self.call(f, a),
        }
    }

    /// The larger or the smaller; NaN if one is NaN, which the operators Max and Min leave open.
    fn extreme(&mut self, kind: &'static str, a: &str, b: &str) -> String {
        let (holds, nan) = (self.op(kind, &[a, b]), self.op("IsNaN", &[a]));
        let first = self.op("Or", &[&holds, &nan]);
        self.op("Where", &[&first, a, b])
    }

    fn call(&mut self, f: Call, z: &str) -> String {
        match f {
            Call::Exp => self.op("Exp", &[z]),
            Call::ExpM1 => self.exp_m1(z),
            Call::Ln => self.op("Log", &[z]),
            Call::Ln1p => self.ln_1p(z),
            Call::Log1mExp => {
                let (e, e_m1) = (self.op("Exp", &[z]), self.exp_m1(z));
                let (e, e_m1) = (self.op("Neg", &[&e]), self.op("Neg", &[&e_m1]));
                let (near, far) = (self.op("Log", &[&e_m1]), self.ln_1p(&e));
                let limit = self.number(-core::f64::consts::LN_2);
                let holds = self.op("Greater", &[z, &limit]);
                self.op("Where", &[&holds, &near, &far])
            }
            Call::Sqrt => self.op("Sqrt", &[z]),
            Call::Abs => self.op("Abs", &[z]),
            Call::Tanh => self.op("Tanh", &[z]),
            Call::Sigmoid => {
                let (zero, one) = (self.number(0.0), self.number(1.0));
                let e = self.decay(z, 1.0);
                let (below, left) = (self.op("Add", &[&one, &e]), self.op("Less", &[z, &zero]));
                let above = self.op("Where", &[&left, &e, &one]);
                self.op("Div", &[&above, &below])
            }
            Call::Softplus => self.softplus(z),
            Call::Cdf => self.normal_cdf(z),
            Call::TanhSoftplus => {
                let soft = self.softplus(z);
                self.op("Tanh", &[&soft])
            }
            Call::Erf => self.op("Erf", &[z]),
            Call::Sin => self.op("Sin", &[z]),
            Call::Cos => self.op("Cos", &[z]),
            Call::Atan => self.op("Atan", &[z]),
            Call::Sinh => self.op("Sinh", &[z]),
            Call::Cosh => self.op("Cosh", &[z]),
            Call::LogCosh => {
                let (one, half) = (self.number(1.0), self.number(0.5));
                let (ln_2, two) = (self.number(core::f64::consts::LN_2), self.number(2.0));
                let size = self.op("Abs", &[z]);
                let near = self.extreme("Less", &size, &one);
                let near = self.op("Mul", &[&half, &near]);
                let sinh = self.op("Sinh", &[&near]);
                let square = self.op("Mul", &[&sinh, &sinh]);
                let square = self.op("Mul", &[&two, &square]);
                let near = self.ln_1p(&square);
                let decay = self.decay(z, 2.0);
                let (rest, line) = (self.ln_1p(&decay), self.op("Sub", &[&size, &ln_2]));
                let far = self.op("Add", &[&line, &rest]);
                let holds = self.op("Greater", &[&size, &one]);
                self.op("Where", &[&holds, &far, &near])
            }
            Call::Floor => self.op("Floor", &[z]),
            Call::Round => self.op("Round", &[z]),
            Call::Sign => self.op("Sign", &[z]),
        }
    }

    /// exp(-rate |z|)
    fn decay(&mut self, z: &str, rate: f64) -> String {
        let (size, rate) = (self.op("Abs", &[z]), self.number(-rate));
        let exponent = self.op("Mul", &[&size, &rate]);
        self.op("Exp", &[&exponent])
    }

    /// exp(z) - 1, near 0 as 2 t / (1 - t) with t = tanh(z/2).
    fn exp_m1(&mut self, z: &str) -> String {
        let (one, two, half) = (self.number(1.0), self.number(2.0), self.number(0.5));
        let h = self.op("Mul", &[z, &half]);
        let t = self.op("Tanh", &[&h]);
        let (above, below) = (self.op("Mul", &[&two, &t]), self.op("Sub", &[&one, &t]));
        let near = self.op("Div", &[&above, &below]);
        let e = self.op("Exp", &[z]);
        let (far, holds) = (self.op("Sub", &[&e, &one]), self.op("Greater", &[z, &one]));
        self.op("Where", &[&holds, &far, &near])
    }

    /// ln(1 + z), near 0 as the logarithm of u = 1 + z, rounded, times z / (u - 1).
    fn ln_1p(&mut self, z: &str) -> String {
        let (zero, one) = (self.number(0.0), self.number(1.0));
        let u = self.op("Add", &[&one, z]);
        let (ln, d) = (self.op("Log", &[&u]), self.op("Sub", &[&u, &one]));
        let product = self.op("Mul", &[&ln, z]);
        let near = self.op("Div", &[&product, &d]);
        let (lost, large) = (self.op("Equal", &[&d, &zero]), self.op("Greater", &[z, &one]));
        let near = self.op("Where", &[&lost, z, &near]);
        self.op("Where", &[&large, &ln, &near])
    }

    fn softplus(&mut self, z: &str) -> String {
        let zero = self.number(0.0);
        let decay = self.decay(z, 1.0);
        let (line, rest) = (self.extreme("Greater", z, &zero), self.ln_1p(&decay));
        self.op("Add", &[&line, &rest])
    }

    /// In the middle by the error function, in the tails by the integral that the helper of Rust has:
    /// its terms beyond the eighth are nothing in float.
    fn normal_cdf(&mut self, x: &str) -> String {
        let [zero, half, one, root] =
            [0.0, 0.5, 1.0, core::f64::consts::FRAC_1_SQRT_2].map(|v| self.number(v));
        let size = self.op("Abs", &[x]);
        let end = self.number(15.0);
        let far = self.extreme("Less", &size, &end);
        let far = self.extreme("Greater", &far, &root);
        // exp(-far^2 / 2), by a square that is exact and the rest.
        let (steps, step) = (self.number(16.0), self.number(1.0 / 16.0));
        let near = self.op("Mul", &[&far, &steps]);
        let near = self.op("Floor", &[&near]);
        let near = self.op("Mul", &[&near, &step]);
        let (less, more) = (self.op("Sub", &[&far, &near]), self.op("Add", &[&far, &near]));
        let products = [self.op("Mul", &[&near, &near]), self.op("Mul", &[&less, &more])];
        let minus_half = self.number(-0.5);
        let [e, rest] = products.map(|p| {
            let exponent = self.op("Mul", &[&minus_half, &p]);
            self.op("Exp", &[&exponent])
        });
        let gauss = self.op("Mul", &[&e, &rest]);
        let z = self.op("Mul", &[&far, &root]);
        let square = self.op("Mul", &[&z, &z]);
        let mut sum = self.op("Div", &[&half, &square]);
        for (n, power) in POWERS.iter().enumerate() {
            let u = 0.5 * (n + 1) as f64;
            let (u, power) = (self.number(u * u), self.number(*power));
            let below = self.op("Add", &[&square, &u]);
            let term = self.op("Div", &[&power, &below]);
            sum = self.op("Add", &[&sum, &term]);
        }
        let product = self.op("Mul", &[&gauss, &z]);
        let product = self.op("Mul", &[&product, &sum]);
        let scale = self.number(0.5 / core::f64::consts::PI);
        let product = self.op("Mul", &[&product, &scale]);
        // Half of the residue 2 / (exp(4 pi z) - 1), in which 1 is nothing.
        let rate = self.number(-4.0 * core::f64::consts::PI);
        let exponent = self.op("Mul", &[&rate, &z]);
        let residue = self.op("Exp", &[&exponent]);
        let below = self.op("Sub", &[&one, &residue]);
        let residue = self.op("Div", &[&residue, &below]);
        let pole = self.number(2.0 * core::f64::consts::PI);
        let holds = self.op("Less", &[&z, &pole]);
        let residue = self.op("Where", &[&holds, &residue, &zero]);
        let tail = self.op("Sub", &[&product, &residue]);
        let other = self.op("Sub", &[&one, &tail]);
        let right = self.op("Greater", &[x, &zero]);
        let far = self.op("Where", &[&right, &other, &tail]);
        let scaled = self.op("Mul", &[x, &root]);
        let erf = self.op("Erf", &[&scaled]);
        let erf = self.op("Mul", &[&half, &erf]);
        let middle = self.op("Add", &[&half, &erf]);
        let holds = self.op("Greater", &[&size, &root]);
        self.op("Where", &[&holds, &far, &middle])
    }
}

/// exp(-n^2 / 4)
const POWERS: [f64; 8] = [
    0.7788007830714049,
    0.36787944117144233,
    0.10539922456186433,
    0.01831563888873418,
    0.0019304541362277093,
    0.00012340980408667956,
    4.785117392129009e-6,
    1.1253517471925912e-7,
];

const BOUND: &str = "within 1e-5 of the result, and 1e-6 where its terms cancel; \
     factors that are subnormal numbers may count as 0.";
