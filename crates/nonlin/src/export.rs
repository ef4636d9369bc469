//! Functions as source text of other languages and as models: value and derivative in stable form.
//!
//! | file | does |
//! |---|---|
//! | `plan.rs` | makes a list of operations of a formula, with what keeps digits and limits |
//! | `text.rs` | prints such a list, by one template for each operation of a language |
//! | `c.rs`, `rust.rs`, `python.rs`, `torch.rs`, `jax.rs` | the templates of a language, its helpers, the frame around both |
//! | `onnx.rs` | makes a model of such a list |
//! | `latex.rs` | prints the formula as it is, for readers |

mod c;
mod jax;
mod latex;
mod onnx;
mod plan;
mod python;
mod rust;
mod text;
mod torch;

use crate::activation::{Param, Parameter};
use crate::catalog;
use crate::error::Error;
use crate::formula::graph::{Call, Graph, Id, Node};
use crate::formula::number::{Number, plain};
use crate::formula::{Declared, Formula};
use crate::function::Function;
use crate::gated::GatedFunction;
use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;
use core::str::FromStr;
use plan::{Place, Plan};
use text::{Body, Language, Writer};

/// What a function is exported to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// C99 with `<math.h>`: a function of doubles, and one of floats.
    C,
    /// Rust with nothing but the standard library: a function of f64.
    Rust,
    /// Python with NumPy: a function of arrays.
    Python,
    /// PyTorch: an `autograd.Function`, a function and a module, with derivatives of any order.
    Torch,
    /// JAX: a function with its derivative as a rule.
    Jax,
    /// An ONNX model of float tensors with one axis; its outputs are value and derivatives.
    Onnx,
    /// The formula for LaTeX's mathematical mode.
    Latex,
}

impl Target {
    /// Every one.
    pub const ALL: [Target; 7] = [
        Target::C,
        Target::Rust,
        Target::Python,
        Target::Torch,
        Target::Jax,
        Target::Onnx,
        Target::Latex,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Target::C => "c",
            Target::Rust => "rust",
            Target::Python => "python",
            Target::Torch => "torch",
            Target::Jax => "jax",
            Target::Onnx => "onnx",
            Target::Latex => "latex",
        }
    }

    /// Whether what it gives is text.
    #[must_use]
    pub fn is_text(self) -> bool {
        self != Target::Onnx
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// By name.
impl FromStr for Target {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Target::ALL.into_iter().find(|t| crate::names::same(t.name(), text));
        found.ok_or_else(|| {
            let near = |t: &Target| text.len() < 16 && catalog::distance(text, t.name()) == 1;
            let nearest = Target::ALL.into_iter().find(near);
            Error::UnknownTarget { name: text.to_owned(), nearest }
        })
    }
}

impl Formula {
    /// This formula for another language: value and derivative, in the form that is computed.
    ///
    /// `name` is that of the function; one that the language has already gets a `_`. The result is
    /// UTF-8 text if [`Target::is_text`]. Parameters are arguments, with their values as defaults.
    ///
    /// ```
    /// use nonlin::{Formula, Target};
    ///
    /// let f = Formula::parse("where(x > 0, x, alpha * (exp(x) - 1)); alpha = 0.5")?;
    /// let text = String::from_utf8(f.export(Target::C, "elu")?).unwrap();
    /// assert!(text.contains("return x > 0.0 ? x : alpha * expm1(x);"));
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the derivative is too long.
    pub fn export(&self, target: Target, name: &str) -> Result<Vec<u8>, Error> {
        Ok(Subject::new(self, name, target)?.export(target))
    }

    /// Its derivatives by its operands, as formulas of the parameters that it has.
    ///
    /// ```
    /// use nonlin::Formula;
    ///
    /// let slopes = Formula::parse("x^3 + alpha * x; alpha = 0.5")?.derivatives()?;
    /// assert_eq!(slopes[0].stable(), "alpha + 3 * x^2");
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If one is too long.
    pub fn derivatives(&self) -> Result<Vec<Formula>, Error> {
        let slopes = (0..self.inputs().len()).map(|i| {
            let mut f = self.clone();
            let leaf = f.graph.input(i);
            f.stable = f.derivative(leaf)?;
            f.written = f.stable;
            f.text = f.stable();
            Ok(f)
        });
        slopes.collect()
    }

    /// The node of the derivative by a leaf, which its graph gets.
    fn derivative(&mut self, leaf: Id) -> Result<Id, Error> {
        // What was too long for a rewriting is no matter of the derivative.
        self.graph.excess = None;
        let too_long = || Error::DerivativeTooLong { function: self.text.clone().into() };
        self.graph.derivative(self.stable, leaf).ok_or_else(too_long)
    }

    fn inputs(&self) -> &'static [&'static str] {
        if self.is_gated() { &["a", "b"] } else { &["x"] }
    }
}

impl Function {
    /// Its formula, with its parameters at their values.
    ///
    /// ```
    /// let f = nonlin::Elu.with("alpha", 0.5)?.formula()?;
    /// assert_eq!(f.stable(), "where(x > 0, x, alpha * expm1(x))");
    /// assert_eq!(f.params().next(), Some(("alpha", 0.5)));
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If it is described by a text that is no formula, as a recorded function may be.
    pub fn formula(&self) -> Result<Formula, Error> {
        declared(self.meta().formula, self.params())
    }

    /// This function for another language: value and derivative, in the form that is computed.
    ///
    /// The result is UTF-8 text if [`Target::is_text`]. Parameters are arguments, with their values as
    /// defaults.
    ///
    /// ```
    /// use nonlin::{Gelu, Target};
    ///
    /// let text = String::from_utf8(Gelu.export(Target::Latex)?).unwrap();
    /// assert!(text.contains(r"\operatorname{gelu}(x) &= x \, \Phi(x)"));
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If it is described by a text that is no formula, as a recorded function may be, or if the
    /// derivative is too long.
    pub fn export(&self, target: Target) -> Result<Vec<u8>, Error> {
        let named = catalog::get(self.name()).is_ok();
        self.formula()?.export(target, if named { self.name() } else { UNNAMED })
    }
}

/// The formula of a text and parameters at these values.
fn declared<'a>(
    formula: &str,
    params: impl Iterator<Item = (Parameter<'a>, f64)>,
) -> Result<Formula, Error> {
    let params = params.map(|(p, v)| Declared {
        name: p.name.to_owned(),
        default: v,
        rest: if v == p.default { p.rest } else { 0.0 },
        exact: p.exact && v == p.default,
        low: p.low,
        high: p.high,
    });
    let params: Vec<Declared> = params.collect();
    let text = params.iter().enumerate().map(|(i, p)| {
        let before = if i > 0 { "," } else { ";" };
        format!("{before} {} = {:?} in [{:?}, {:?}]", p.name, p.default, p.low, p.high)
    });
    let text: String = core::iter::once(formula.to_owned()).chain(text).collect();
    Ok(Formula { params, ..Formula::parse(&text)? })
}

impl GatedFunction {
    /// Its formula, with its parameters at their values.
    ///
    /// # Errors
    /// If it is described by a text that is no formula, as a recorded unit may be.
    pub fn formula(&self) -> Result<Formula, Error> {
        declared(self.meta().formula, self.params())
    }

    /// This unit for another language: value and both derivatives, in the form that is computed.
    ///
    /// # Errors
    /// If it is described by a text that is no formula, as a recorded unit may be, or if a derivative
    /// is too long.
    pub fn export(&self, target: Target) -> Result<Vec<u8>, Error> {
        let named = catalog::gated(self.name()).is_ok();
        self.formula()?.export(target, if named { self.name() } else { UNNAMED })
    }
}

/// What a formula is called that has no name.
const UNNAMED: &str = "activation";

/// What is exported.
struct Subject {
    name: String,
    /// The formula that is computed.
    formula: String,
    inputs: &'static [&'static str],
    params: Vec<Declared>,
    graph: Graph,
    value: Id,
    /// By each of the inputs.
    derivatives: Vec<Id>,
    /// By each of the parameters, for languages that learn them.
    by_params: Vec<Id>,
}

impl Subject {
    fn new(formula: &Formula, name: &str, target: Target) -> Result<Self, Error> {
        let (inputs, mut of) = (formula.inputs(), formula.clone());
        let leaves: Vec<Id> = (0..inputs.len()).map(|i| of.graph.input(i)).collect();
        let derivatives: Result<_, _> =
            leaves.into_iter().map(|leaf| of.derivative(leaf)).collect();
        let leaves: Vec<Id> = (0..of.params.len()).map(|i| of.graph.param(i)).collect();
        let learned = matches!(target, Target::Torch | Target::Jax);
        let leaves = leaves.into_iter().filter(|_| learned);
        let by_params: Result<_, _> = leaves.map(|leaf| of.derivative(leaf)).collect();
        Ok(Subject {
            name: name.to_owned(),
            formula: formula.stable(),
            inputs,
            params: of.params,
            value: of.stable,
            derivatives: derivatives?,
            by_params: by_params?,
            graph: of.graph,
        })
    }

    fn export(&self, target: Target) -> Vec<u8> {
        match target {
            Target::C => c::text(self).into_bytes(),
            Target::Rust => rust::text(self).into_bytes(),
            Target::Python => python::text(self).into_bytes(),
            Target::Torch => torch::text(self).into_bytes(),
            Target::Jax => jax::text(self).into_bytes(),
            Target::Onnx => onnx::model(self),
            Target::Latex => latex::text(self).into_bytes(),
        }
    }

    /// The lines about it, the first of which is its formula, and the last how exact the text is:
    /// within `bound`.
    fn about(&self, bound: &str) -> Vec<String> {
        let mut lines = Vec::from([format!("{}: {}", self.name, self.formula)]);
        for p in &self.params {
            let default = Number::parameter(p.default, p.exact.then_some(p.rest));
            let bounds = match (p.low == -Param::LIMIT, p.high == Param::LIMIT) {
                (true, true) => String::new(),
                (true, false) => format!(", at most {}", plain(p.high)),
                (false, true) => format!(", at least {}", plain(p.low)),
                (false, false) => format!(", from {} to {}", plain(p.low), plain(p.high)),
            };
            lines.push(format!("{}: {default}{bounds}.", p.name));
        }
        lines.push(format!("Written by nonlin {}, {}", env!("CARGO_PKG_VERSION"), REPOSITORY));
        lines.push(format!("Agrees with nonlin {bound}"));
        let waves = |n: &Node| matches!(n, Node::Call(Call::Sin | Call::Cos, _));
        if self.graph.reaches(self.value, waves) {
            lines.push("A sine or cosine is as good as its argument, which is rounded.".to_owned());
        }
        lines.push("NaN gives NaN, an infinity the limit unless infinite parts meet.".to_owned());
        lines
    }

    /// The names of the functions, of inputs and parameters, as they are in a language.
    fn names(&self, language: &Language) -> Names {
        let name = language.free(&self.name, &[]);
        let inputs: Vec<String> = self.inputs.iter().map(|n| (*n).to_owned()).collect();
        let mut params: Vec<String> = Vec::new();
        for p in &self.params {
            let mut taken = inputs.clone();
            taken.extend(params.iter().cloned());
            taken.push(name.clone());
            params.push(language.free(&p.name, &taken));
        }
        Names { name, inputs, params }
    }

    /// How each derivative is called, behind the name: one alone, or by `a` and by `b`.
    fn suffixes(&self) -> Vec<String> {
        match self.derivatives.len() {
            1 => Vec::from(["derivative".to_owned()]),
            _ => self.inputs[..self.derivatives.len()]
                .iter()
                .map(|n| format!("derivative_{n}"))
                .collect(),
        }
    }

    /// The functions of a language that learns parameters: name, what it is, and the node of each.
    fn functions(&self, names: &Names) -> Vec<(String, String, Id)> {
        let mut all = Vec::from([("_value".to_owned(), self.formula.clone(), self.value)]);
        let by = self.inputs.iter().map(|n| (*n).to_owned()).chain(names.params.iter().cloned());
        let roots = self.derivatives.iter().chain(&self.by_params);
        all.extend(by.zip(roots).map(|(by, &root)| {
            let about = format!("The derivative of {} by {by}.", names.name);
            (format!("_by_{by}"), about, root)
        }));
        all
    }

    /// The body of the value, or of a derivative.
    fn body(&self, writer: &mut Writer<'_>, cuts: bool, root: Id, names: &Names) -> Body {
        let (plan, at) = self.plan(cuts, root);
        writer.body(&plan, at, &names.inputs, &names.params)
    }

    fn plan(&self, cuts: bool, root: Id) -> (Plan, Place) {
        let mut plan = Plan::new(cuts);
        let at = plan.add(&self.graph, root, self.inputs.len());
        (plan, at)
    }
}

const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// Names that a language allows.
struct Names {
    name: String,
    inputs: Vec<String>,
    params: Vec<String>,
}

impl Names {
    /// The arguments, each through `input` or `param`, which gets the default too.
    fn arguments(
        &self,
        subject: &Subject,
        input: impl Fn(&str) -> String,
        param: impl Fn(&str, f64) -> String,
    ) -> String {
        let inputs = self.inputs.iter().map(|n| input(n));
        let params = self.params.iter().zip(&subject.params).map(|(n, p)| param(n, p.default));
        inputs.chain(params).collect::<Vec<_>>().join(", ")
    }

    /// Inputs and parameters.
    fn all(&self) -> String {
        let all: Vec<&str> = self.inputs.iter().chain(&self.params).map(String::as_str).collect();
        all.join(", ")
    }

    /// The parameters with their values, behind other arguments in Python.
    fn defaults(&self, subject: &Subject) -> String {
        let params = self.params.iter().zip(&subject.params);
        params.map(|(n, p)| format!(", {n}={}", text::number(p.default))).collect()
    }

    /// The name in capitals without underscores, as classes are called.
    fn class(&self) -> String {
        let words = self.name.split('_').filter(|w| !w.is_empty());
        words
            .map(|w| {
                let mut letters = w.chars();
                let first = letters.next().map(|c| c.to_ascii_uppercase().to_string());
                first.unwrap_or_default() + letters.as_str()
            })
            .collect()
    }
}

/// `lines` with `before` in front of each.
fn indented(lines: &[String], before: &str) -> String {
    lines.iter().map(|l| format!("{before}{l}\n")).collect()
}
