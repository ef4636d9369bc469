//! LaTeX: the formula as it is, and its derivative, for mathematical mode with `amsmath`.

use super::Subject;
use crate::formula::graph::{Call, Graph, Id, Node, Test};
use crate::formula::number::Number;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

pub(super) fn text(subject: &Subject) -> String {
    let params: Vec<String> = subject.params.iter().map(|p| variable(&p.name)).collect();
    let inputs: Vec<String> = subject.inputs.iter().map(|n| (*n).into()).collect();
    let mut writer =
        Latex { graph: &subject.graph, inputs: &inputs, params: &params, used: Vec::new() };
    let name = format!(r"\operatorname{{{}}}", subject.name.replace('_', r"\_"));
    let arguments = inputs.join(", ");
    let mut lines =
        Vec::from([format!("{name}({arguments}) = {}", writer.node(subject.value, OPEN))]);
    for (&root, by) in subject.derivatives.iter().zip(&inputs) {
        let left = match subject.derivatives.len() {
            1 => format!("{name}'({arguments})"),
            _ => format!(r"\frac{{\partial {name}}}{{\partial {by}}}({arguments})"),
        };
        lines.push(format!("{left} = {}", writer.node(root, OPEN)));
    }
    for f in Call::ALL.map(|(_, f)| f).into_iter().filter(|f| writer.used.contains(f)) {
        lines.extend(meaning(f).map(Into::into));
    }
    let about = subject.about("to all digits: it is the formula that is computed.");
    let about: String = about.iter().map(|l| format!("% {l}\n")).collect();
    let lines: Vec<String> = lines.iter().map(|l| l.replacen(" = ", " &= ", 1)).collect();
    format!("{about}\\begin{{align*}}\n{}\n\\end{{align*}}\n", lines.join(" \\\\\n"))
}

/// A name: a Greek letter, or letters set upright, with an index behind the first `_`.
fn variable(name: &str) -> String {
    const GREEK: [&str; 23] = [
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
        "lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi",
        "omega",
    ];
    let word = |w: &str| match w {
        w if GREEK.contains(&w) => format!("\\{w}"),
        w if w.chars().count() == 1 => w.to_string(),
        w => format!(r"\mathrm{{{}}}", w.replace('_', r"\_")),
    };
    match name.split_once('_') {
        Some((first, rest)) if !first.is_empty() && !rest.is_empty() => {
            format!("{}_{{{}}}", word(first), word(rest))
        }
        _ => word(name.trim_matches('_')),
    }
}

/// How strongly text binds.
const OPEN: u8 = 0;
const SUM: u8 = 1;
const PRODUCT: u8 = 2;
const POWER: u8 = 3;
const ATOM: u8 = 4;

struct Latex<'g> {
    graph: &'g Graph,
    inputs: &'g [String],
    params: &'g [String],
    used: Vec<Call>,
}

impl Latex<'_> {
    /// A node, in parentheses if it binds less strongly than `least`.
    fn node(&mut self, id: Id, least: u8) -> String {
        let (text, strength) = self.bare(id);
        if strength < least { format!(r"\left({text}\right)") } else { text }
    }

    fn bare(&mut self, id: Id) -> (String, u8) {
        let g = self.graph;
        match g.node(id) {
            Node::Number(v) => (
                number(*v),
                if v.is_negative() {
                    SUM
                } else if v.is_product() {
                    PRODUCT
                } else {
                    ATOM
                },
            ),
            Node::Input(i) => (self.inputs[*i].clone(), ATOM),
            Node::Param(i) => (self.params[*i].clone(), ATOM),
            Node::Sum(k, terms) => (self.sum(*k, terms), SUM),
            Node::Product(c, factors) => {
                let minus = if c.is_negative() { "-" } else { "" };
                let text = format!("{minus}{}", self.product(c.magnitude(), factors));
                (text, if c.is_negative() { SUM } else { PRODUCT })
            }
            Node::Power(a, b) => {
                (format!("{}^{{{}}}", self.node(*a, ATOM), self.node(*b, OPEN)), POWER)
            }
            Node::Call(f, z) => self.call(*f, *z),
            Node::Max(a, b) => (self.of_two(r"\max", *a, *b), ATOM),
            Node::Min(a, b) => (self.of_two(r"\min", *a, *b), ATOM),
            Node::Where(test, a, b, then, otherwise) => {
                let sign = if *test == Test::Greater { ">" } else { r"\ge" };
                let [a, b, then, otherwise] =
                    [a, b, then, otherwise].map(|&id| self.node(id, OPEN));
                let text = format!(
                    r"\begin{{cases}} {then} & \text{{if }} {a} {sign} {b} \\ {otherwise} & \text{{otherwise}} \end{{cases}}"
                );
                (text, SUM)
            }
        }
    }

    fn of_two(&mut self, name: &str, a: Id, b: Id) -> String {
        format!(r"{name}\left({}, {}\right)", self.node(a, OPEN), self.node(b, OPEN))
    }

    fn call(&mut self, f: Call, z: Id) -> (String, u8) {
        self.used.push(f);
        let z = self.node(z, OPEN);
        match f {
            Call::Exp => (format!("e^{{{z}}}"), POWER),
            Call::Sqrt => (format!(r"\sqrt{{{z}}}"), ATOM),
            Call::Abs => (format!(r"\left|{z}\right|"), ATOM),
            Call::Floor => (format!(r"\left\lfloor {z} \right\rfloor"), ATOM),
            _ => (format!("{}{}", name(f), in_parentheses(&z)), ATOM),
        }
    }

    /// Terms in their order; a positive constant comes before a negative first one.
    fn sum(&mut self, k: Number, terms: &[(Number, Id)]) -> String {
        let ahead = k.is_positive() && terms[0].0.is_negative();
        let mut out = if ahead { number(k) } else { String::new() };
        for &(c, id) in terms {
            out += match (out.is_empty(), c.is_negative()) {
                (false, true) => " - ",
                (false, false) => " + ",
                (true, true) => "-",
                (true, false) => "",
            };
            let factors = match self.graph.node(id) {
                Node::Product(_, factors) => factors.clone(),
                _ => Vec::from([(id, 1)]),
            };
            out += &self.product(c.magnitude(), &factors);
        }
        if !ahead && !k.is(0.0) {
            out += if k.is_negative() { " - " } else { " + " };
            out += &number(k.magnitude());
        }
        out
    }

    /// A constant that is not negative and factors, as a fraction if one is below the line.
    fn product(&mut self, c: Number, factors: &[(Id, i32)]) -> String {
        let below: Vec<_> = factors.iter().filter(|f| f.1 < 0).map(|&(id, n)| (id, -n)).collect();
        let above: Vec<_> = factors.iter().filter(|f| f.1 > 0).copied().collect();
        if below.is_empty() {
            return self.factors(c, &above);
        }
        format!(r"\frac{{{}}}{{{}}}", self.factors(c, &above), self.factors(Number::ONE, &below))
    }

    fn factors(&mut self, c: Number, factors: &[(Id, i32)]) -> String {
        let mut all = Vec::new();
        if !c.is(1.0) || factors.is_empty() {
            all.push(number(c));
        }
        let alone = all.is_empty() && factors.len() == 1;
        for &(id, n) in factors {
            all.push(match (n, self.graph.node(id)) {
                (1, _) => self.node(id, if alone { SUM } else { POWER }),
                // sin^2(z), as it is written.
                (n, &Node::Call(f, z))
                    if !matches!(f, Call::Exp | Call::Sqrt | Call::Abs | Call::Floor) =>
                {
                    self.used.push(f);
                    let z = self.node(z, OPEN);
                    format!("{}^{{{n}}}{}", name(f), in_parentheses(&z))
                }
                (n, Node::Call(Call::Exp, _)) => format!("{{{}}}^{{{n}}}", self.node(id, ATOM)),
                (n, _) => format!("{}^{{{n}}}", self.node(id, ATOM)),
            });
        }
        all.join(r" \, ")
    }
}

fn in_parentheses(z: &str) -> String {
    let tall = z.contains('\\') || z.contains('^');
    if tall { format!(r"\left({z}\right)") } else { format!("({z})") }
}

/// How a function is called.
fn name(f: Call) -> String {
    match f {
        Call::Ln => r"\ln".into(),
        Call::Tanh => r"\tanh".into(),
        Call::Sigmoid => r"\sigma".into(),
        Call::Cdf => r"\Phi".into(),
        Call::Sin => r"\sin".into(),
        Call::Cos => r"\cos".into(),
        Call::Atan => r"\arctan".into(),
        Call::Sinh => r"\sinh".into(),
        Call::Cosh => r"\cosh".into(),
        Call::Sign => r"\operatorname{sgn}".into(),
        Call::TanhSoftplus => r"\tanh \operatorname{softplus}".into(),
        _ => format!(r"\operatorname{{{}}}", f.name()),
    }
}

/// What a function means that not every reader knows.
fn meaning(f: Call) -> Option<&'static str> {
    Some(match f {
        Call::Sigmoid => r"\sigma(z) = \frac{1}{1 + e^{-z}}",
        Call::Softplus | Call::TanhSoftplus => r"\operatorname{softplus}(z) = \ln(1 + e^{z})",
        Call::Cdf => r"\Phi(z) = \frac{1}{\sqrt{2 \pi}} \int_{-\infty}^{z} e^{-t^2 / 2} \, dt",
        Call::ExpM1 => r"\operatorname{expm1}(z) = e^{z} - 1",
        Call::Ln1p => r"\operatorname{log1p}(z) = \ln(1 + z)",
        Call::Log1mExp => r"\operatorname{log1mexp}(z) = \ln(1 - e^{z})",
        Call::LogCosh => r"\operatorname{logcosh}(z) = \ln \cosh z",
        _ => return None,
    })
}

/// A constant: `\pi`, a fraction, a root, or a decimal.
fn number(v: Number) -> String {
    let text = v.to_string();
    let (minus, text) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", &text[..]),
    };
    format!("{minus}{}", constant(text))
}

/// The text of a positive constant as `Number` writes it.
fn constant(text: &str) -> String {
    let inner = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(z) = inner("sqrt") {
        return format!(r"\sqrt{{{}}}", constant(z));
    }
    if let Some(z) = inner("ln") {
        return format!(r"\ln {}", constant(z));
    }
    if let Some((a, b)) = text.split_once(" * ") {
        return format!(r"{} \, {}", constant(a), constant(b));
    }
    if let Some((a, b)) = text.split_once('/') {
        let below: Vec<String> = b.split('/').map(constant).collect();
        return format!(r"\frac{{{}}}{{{}}}", constant(a), below.join(r" \, "));
    }
    match text.split_once('e') {
        Some((digits, exponent)) if !digits.is_empty() => {
            format!(r"{digits} \cdot 10^{{{exponent}}}")
        }
        _ if text == "pi" => r"\pi".into(),
        _ => text.into(),
    }
}
