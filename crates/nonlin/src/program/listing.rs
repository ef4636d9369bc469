//! What a block engine runs, as text: an instruction a line.

use super::lower::Registers;
use super::lower::{ARRAYS, Code, INPUTS, Instruction, Link, Lowered, Made, NOWHERE, Place};
use super::{Op, Program, Recorded, RecordedGated};
use alloc::{borrow::ToOwned, format, string::String, vec::Vec};
use core::fmt::Write;

/// The instructions of a function's programs, an instruction a line, in the order in which they run.
///
/// An array of f32 goes through them in blocks of up to 512 elements, in registers of f64, or of f32 if the
/// program rounds once at most. `x`, or `a` and
/// `b`, are operands, `grad` is the gradient; `y`, `dx`, `da` and `db` are what is written; `t1`, `t2` and so
/// on are blocks in between, and `c1`, `c2` numbers that are computed once a call, of parameters and literals.
/// `tanh'(t1)` is the derivative of tanh there, which is computed together with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instructions {
    /// Of the value.
    pub forward: Vec<String>,
    /// Of `grad` times the derivatives by the operands.
    pub backward: Vec<String>,
}

impl Recorded {
    /// What arrays of f32 run through; nothing if a program has too many numbers at once.
    pub(crate) fn instructions(&self, params: &[&str]) -> Option<Instructions> {
        let value = Names { operands: &["x"], params, results: &["y"] };
        let back = Names { operands: &["x", "grad"], params, results: &["dx"] };
        let (forward, backward) = (self.value.listing(value)?, self.backward.listing(back)?);
        Some(Instructions { forward, backward })
    }
}

impl RecordedGated {
    /// What arrays of f32 run through; nothing if a program has too many numbers at once.
    pub(crate) fn instructions(&self, params: &[&str]) -> Option<Instructions> {
        let value = Names { operands: &["a", "b"], params, results: &["y"] };
        let back = Names { operands: &["a", "b", "grad"], params, results: &["da", "db"] };
        let (forward, backward) = (self.value.listing(value)?, self.backward.listing(back)?);
        Some(Instructions { forward, backward })
    }
}

/// Names of what a program reads and writes.
#[derive(Clone, Copy)]
struct Names<'a> {
    operands: &'a [&'a str],
    params: &'a [&'a str],
    results: &'a [&'a str],
}

impl Program {
    /// The instructions that arrays of f32 run through; nothing if there are too many.
    fn listing(&self, names: Names<'_>) -> Option<Vec<String>> {
        let code = self.lower(Registers::F32)?;
        let instructions = code.once.iter().chain(&code.each);
        Some(instructions.map(|(_, i)| line(&code, i, names)).collect())
    }
}

/// The name of a place: an array, a block (`t1`, `t2`, ...), a literal, a parameter, or what is made of
/// those alone (`c1`, `c2`, ...).
fn place(code: &Lowered, names: Names<'_>, p: Place) -> String {
    let p = usize::from(p);
    let Some(block) = p.checked_sub(ARRAYS) else {
        let name = match p.checked_sub(INPUTS) {
            None => names.operands[p],
            Some(result) => names.results[result],
        };
        return name.to_owned();
    };
    let Some(uniform) = block.checked_sub(code.blocks) else { return format!("t{}", block + 1) };
    if let Some(literal) = code.literals.get(uniform) {
        return number(*literal);
    }
    let param = uniform - code.literals.len();
    match names.params.get(param) {
        Some(name) => (*name).to_owned(),
        None => format!("c{}", param - names.params.len() + 1),
    }
}

/// A literal, however large or small, in few characters.
fn number(c: f64) -> String {
    let plain = c == 0.0 || (1e-5..1e16).contains(&c.abs());
    if plain { format!("{c}") } else { format!("{c:e}") }
}

/// An instruction: what it writes, and of what that is made.
fn line(code: &Lowered, i: &Instruction, names: Names<'_>) -> String {
    let at = |p: Place| place(code, names, p);
    let written: Vec<(usize, Place)> =
        i.outputs.into_iter().enumerate().filter(|(_, p)| *p != NOWHERE).collect();
    let mut text = String::new();
    for (k, (_, p)) in written.iter().enumerate() {
        let _ = write!(text, "{}{}", if k > 0 { ", " } else { "" }, at(*p));
    }
    text += " = ";
    match i.code {
        Code::Copy | Code::Resolve => text += &at(i.inputs[0]),
        Code::Chain(from, n) => {
            let steps = &code.steps[usize::from(from)..][..usize::from(n)];
            text += &chain(at(i.inputs[0]), steps, at);
        }
        Code::Jet(_, made, _) => {
            let (x, of) = (at(i.inputs[0]), at(i.inputs[2]));
            let name = i.prim.name();
            for (k, (part, _)) in written.iter().enumerate() {
                let between = if k > 0 { ", " } else { "" };
                let _ = match (made, part) {
                    (Made::Gated, _) => write!(text, "{of} * {name}({x})"),
                    (Made::GatedSlope, _) => write!(text, "{name}({x}) + {of} * {name}'({x})"),
                    (Made::Slope, _) | (Made::Parts, 1) => write!(text, "{between}{name}'({x})"),
                    (Made::Parts, 2) => write!(text, "{between}{name}''({x})"),
                    (Made::Parts, part @ 3..) => write!(text, "{between}{name}({x}).{part}"),
                    _ => write!(text, "{between}{name}({x})"),
                };
            }
        }
        Code::Plain(op) => text += &plain(op, i, at),
    }
    text
}

/// An operation of the table.
fn plain(op: Op, i: &Instruction, at: impl Fn(Place) -> String) -> String {
    let low = op.low();
    let read = (0..op.inputs()).filter(|k| !low[*k]);
    let inputs: Vec<String> = read.map(|k| at(i.inputs[k])).collect();
    match (op, inputs.as_slice()) {
        (Op::Add, [x, o]) => format!("{x} + {o}"),
        (Op::Sub, [x, o]) => format!("{x} - {o}"),
        (Op::Mul, [x, o]) => format!("{x} * {o}"),
        (Op::Div, [x, o]) => format!("{x} / {o}"),
        (Op::Neg, [x]) => format!("-{x}"),
        (Op::MulAdd, [x, a, b]) => format!("{x} * {a} + {b}"),
        _ => {
            let mut all = inputs;
            all.extend(i.constants.iter().take(op.constants()).map(|c| number(*c)));
            format!("{}({})", snake(op), all.join(", "))
        }
    }
}

/// The name of an operation as a function's: `PickAbove` is `pick_above`.
fn snake(op: Op) -> String {
    let mut name = String::new();
    for c in format!("{op:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// Steps that a number takes, from `first` on.
fn chain(first: String, steps: &[(Link, Place)], at: impl Fn(Place) -> String) -> String {
    // Whether the number so far is a sum, and whether it is a product or a quotient.
    let (mut y, mut sum, mut product) = (first, false, false);
    for &(link, other) in steps {
        let o = at(other);
        let whole = |y: &str| if sum || product { format!("({y})") } else { y.to_owned() };
        let factor = |y: &str| if sum { format!("({y})") } else { y.to_owned() };
        let next = match link {
            Link::Add => format!("{y} + {o}"),
            Link::Sub => format!("{y} - {o}"),
            Link::SubFrom => format!("{o} - {}", factor(&y)),
            Link::Mul => format!("{} * {o}", factor(&y)),
            Link::Div => format!("{} / {o}", factor(&y)),
            Link::DivInto => format!("{o} / {}", whole(&y)),
            Link::Max => format!("max({y}, {o})"),
            Link::MaxOf => format!("max({o}, {y})"),
            Link::Min => format!("min({y}, {o})"),
            Link::MinOf => format!("min({o}, {y})"),
            Link::Neg => format!("-{}", whole(&y)),
            Link::Abs => format!("abs({y})"),
        };
        y = next;
        sum = matches!(link, Link::Add | Link::Sub | Link::SubFrom | Link::Neg);
        product = matches!(link, Link::Mul | Link::Div | Link::DivInto);
    }
    y
}
