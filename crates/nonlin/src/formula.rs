//! Formulas as text: read, rewritten to forms that keep their digits, evaluated at every number type.
//!
//! [`Formula`] has the grammar. From text to a function:
//!
//! | file | does |
//! |---|---|
//! | `parse.rs`, `tokens.rs`, `named.rs` | read the text, with limits on its length, depth and cost |
//! | `error.rs` | says where it is wrong, and shows the place |
//! | `graph.rs`, `number.rs` | keep it in normal form; constants have twice the digits of f64 |
//! | `rules.rs` | replaces textbook forms by stable ones |
//! | `derivative.rs` | differentiates it |
//! | `builtin.rs` | finds the function of the catalogue that it is |
//! | `evaluate.rs` | evaluates it with any [`Real`](crate::real::Real) |
//! | `function.rs` | makes a [`Function`] of it |
//! | `print.rs` | writes it as text again |

mod builtin;
mod derivative;
mod error;
pub(crate) mod evaluate;
mod function;
pub(crate) mod graph;
mod named;
pub(crate) mod number;
mod parse;
mod print;
mod rules;
mod tokens;

use crate::activation::Param;
use crate::catalog;
use crate::error::Error;
use crate::function::Function;
use crate::gated::GatedFunction;
use crate::names::{self, Name};
use crate::program::{Instructions, MOST, Recorded, RecordedGated};
use crate::real::Real;
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;
use graph::{Graph, Id};

pub use error::FormulaError;

/// Parameters of a formula, at most.
pub(crate) const MOST_PARAMS: usize = 32;

/// A parameter that a formula declares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) default: f64,
    pub(crate) rest: f64,
    pub(crate) exact: bool,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// A formula in `x`, or in `a` and `b`, and parameters.
///
/// ```text
/// formula   = value { ("," | ";") parameter }
/// parameter = name "=" constant [ "in" ("(" | "[") bound "," bound (")" | "]") ]
/// value     = condition [ "if" condition "else" value ]
/// condition = both { ("or" | "|") both }
/// both      = not { ("and" | "&") not }
/// not       = { "not" | "~" } relation
/// relation  = sum { ("<" | "<=" | ">" | ">=" | "==" | "!=") sum }       a < b < c is a < b and b < c
/// sum       = product { ("+" | "-") product }
/// product   = sign { ("*" | "/") sign }
/// sign      = { "-" | "+" } power
/// power     = atom [ ("^" | "**") sign ]               -x^2 is -(x^2), 2^3^2 is 2^(3^2)
/// atom      = number | name | "(" value ")" | function "(" [ argument { "," argument } ] ")"
/// argument  = [ name "=" ] value
/// ```
///
/// * **Functions:** `exp expm1 exp2 ln log log1p log2 log10 sqrt rsqrt abs sign step tanh sinh cosh
///   sech asinh atanh sin cos tan atan erf erfc sigmoid softplus normal_cdf tanh_softplus logcosh
///   log1mexp floor ceil round square reciprocal` of one number, `max min pow hypot logaddexp
///   heaviside` of two, `clip(x, low, high)` and `where(condition, value, value)`, with the other
///   names that NumPy and PyTorch have for them; a module before a dot is left out (`np.tanh`).
///   `ln` and `log` are the natural logarithm.
/// * **Functions of the catalogue** by all their names, with parameters by place or by name:
///   `elu(x, alpha=0.5)`, `gelu(x)`; gated ones take two numbers.
/// * **Constants:** `pi`, `e`. A decimal is that real number, not the f64 next to it.
/// * **Conditions** stand in `where` and `if`; anywhere else a condition is 1 or 0. One that compares
///   NaN makes the result NaN.
/// * **Parameters** follow the formula: `max(x, alpha * x); alpha = 0.1 in (0, 1)`. An open bound of a
///   parameter is the next number of f32 inside; a bound may be `inf`. A default that is written as a
///   decimal is rounded to f32 for arrays of f32, as every parameter is; one that is an expression, as
///   1/6, stands for that number.
///
/// Limits: 10 000 characters, 64 parentheses or calls within one another, 500 steps, exponents up to
/// 1024, 32 parameters.
///
/// ```
/// let f = nonlin::Formula::parse("x * 0.5 * (1 + erf(x / sqrt(2)))")?;
/// assert_eq!(f.stable(), "x * normal_cdf(x)");
/// assert_eq!(f.built_in().unwrap().name(), "gelu");
/// # Ok::<(), nonlin::FormulaError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Formula {
    pub(crate) text: String,
    pub(crate) graph: Graph,
    /// As it was read.
    pub(crate) written: Id,
    /// As it is computed.
    pub(crate) stable: Id,
    pub(crate) params: Vec<Declared>,
    pub(crate) gated: bool,
}

/// A textbook form and what replaced it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewriting {
    /// The part of the formula.
    pub before: String,
    /// What it became.
    pub after: String,
    /// The identity.
    pub rule: &'static str,
    /// What goes wrong with the first form.
    pub reason: &'static str,
}

impl Formula {
    /// Reads a formula, or takes that of a name in [`formulas`](crate::formulas).
    ///
    /// # Errors
    /// If the text is none: the error says where, and what was expected there.
    pub fn parse(text: &str) -> Result<Self, FormulaError> {
        let text = catalog::formula(text).map_or(text, |meta| meta.formula);
        let parse::Parsed { mut graph, root, params, gated } = parse::parse(text)?;
        let stable = rules::stable(&mut graph, root);
        // Rewriting that runs out of room leaves the formula as it was written.
        let stable = if graph.excess.take().is_none() { stable } else { root };
        graph.slopes = graph.quotient_slopes(stable);
        Ok(Formula { text: text.trim().into(), graph, written: root, stable, params, gated })
    }

    /// The text that was read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether its operands are `a` and `b`, not `x`.
    #[must_use]
    pub fn is_gated(&self) -> bool {
        self.gated
    }

    /// Names and default values of its parameters, in the order of the text.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (&str, f64)> + '_ {
        self.params.iter().map(|p| (p.name.as_str(), p.default))
    }

    /// This formula with another default of the parameter `name`.
    ///
    /// ```
    /// let f = nonlin::Formula::parse("a * tanh(k * b); k = 1 in [0, 4]")?;
    /// assert_eq!(f.with("k", 2.0)?.to_string(), "a * tanh(k * b); k = 2 in [0, 4]");
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such parameter, or `value` is NaN or outside its bounds.
    pub fn with(&self, name: &str, value: f64) -> Result<Self, Error> {
        let mut f = self.clone();
        let function = || Name::from(self.text.clone());
        let Some(p) = f.params.iter_mut().find(|p| names::same(&p.name, name)) else {
            let known = self.params.iter().map(|p| Name::from(p.name.clone())).collect();
            return Err(Error::UnknownParameter { function: function(), name: name.into(), known });
        };
        let (low, high) = (p.low, p.high);
        if !(low..=high).contains(&value) {
            let name = Name::from(p.name.clone());
            return Err(Error::ParameterOutOfBounds {
                function: function(),
                name,
                value,
                low,
                high,
            });
        }
        (p.default, p.rest, p.exact) = (value, 0.0, false);
        f.text = f.to_string();
        Ok(f)
    }

    /// The form that is computed, as text.
    #[must_use]
    pub fn stable(&self) -> String {
        self.shown(self.stable).to_string()
    }

    /// What was rewritten, in order.
    pub fn rewritings(&self) -> impl ExactSizeIterator<Item = Rewriting> + '_ {
        self.graph.steps.iter().map(|step| Rewriting {
            before: self.shown(step.before).to_string(),
            after: self.shown(step.after).to_string(),
            rule: step.rule.name,
            reason: step.rule.reason,
        })
    }

    /// The elementwise function of the catalogue that it is, with the formula's parameters.
    #[must_use]
    pub fn built_in(&self) -> Option<Function> {
        if self.gated { None } else { builtin::elementwise(&self.graph, self.stable, &self.params) }
    }

    /// The gated function of the catalogue that it is.
    #[must_use]
    pub fn gated_built_in(&self) -> Option<GatedFunction> {
        if self.gated && self.params.is_empty() {
            builtin::gated(&self.graph, self.stable)
        } else {
            None
        }
    }

    /// The value at the operands `x` and the parameters `p`, in the form that is computed.
    ///
    /// ```
    /// use nonlin::real::Dual;
    /// let f = nonlin::Formula::parse("x^3 + alpha * x; alpha = 2")?;
    /// let y = f.evaluate(&[Dual::variable(2.0)], &[Dual::fixed(2.0)]);
    /// assert_eq!((y.v, y.d), (12.0, 14.0));
    /// # Ok::<(), nonlin::FormulaError>(())
    /// ```
    ///
    /// # Panics
    /// If there are fewer numbers than operands or parameters.
    pub fn evaluate<T: Real>(&self, x: &[T], p: &[T]) -> T {
        assert!(x.len() > usize::from(self.gated), "a number for each operand");
        assert!(p.len() >= self.params.len(), "a number for each parameter");
        evaluate::evaluate(&self.graph, self.stable, x, p, false)
    }

    /// The value as the text says it, one operation after the other: what [`evaluate`](Self::evaluate)
    /// is better than.
    ///
    /// # Panics
    /// If there are fewer numbers than operands or parameters.
    pub fn evaluate_as_written<T: Real>(&self, x: &[T], p: &[T]) -> T {
        assert!(x.len() > usize::from(self.gated), "a number for each operand");
        assert!(p.len() >= self.params.len(), "a number for each parameter");
        evaluate::evaluate(&self.graph, self.written, x, p, true)
    }

    /// What the block engine runs for arrays of f32.
    ///
    /// A formula of the catalogue's compiled functions has instructions too, but is computed by that function's
    /// kernels: see [`Function::tier`].
    ///
    /// ```
    /// let f = nonlin::Formula::parse("x * tanh(x)")?;
    /// assert_eq!(f.instructions()?.forward, ["t1 = tanh(x)", "y = x * t1"]);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the program is too long.
    pub fn instructions(&self) -> Result<Instructions, Error> {
        let names: Vec<&str> = self.params.iter().map(|p| p.name.as_str()).collect();
        let all = if self.gated {
            RecordedGated::from_body(self, names.len()).and_then(|p| p.instructions(&names))
        } else {
            Recorded::from_body(self, names.len()).and_then(|p| p.instructions(&names))
        };
        all.ok_or_else(|| Error::ProgramTooLong { function: self.text.clone().into(), most: MOST })
    }

    fn shown(&self, root: Id) -> impl fmt::Display + '_ {
        Text { formula: self, root }
    }
}

/// The formula in normal form, with its parameters.
impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown(self.written).fmt(f)?;
        for (i, p) in self.params.iter().enumerate() {
            let rest = p.exact.then_some(p.rest);
            let default = number::Number::parameter(p.default, rest);
            write!(f, "{} {} = {default}", if i > 0 { "," } else { ";" }, p.name)?;
            if p.low != -Param::LIMIT || p.high != Param::LIMIT {
                // An infinite bound is none.
                let end = |v: f64| if v.abs() == Param::LIMIT { v * f64::INFINITY } else { v };
                let (low, high) = (end(p.low), end(p.high));
                let close = if high == f64::INFINITY { ")" } else { "]" };
                write!(f, " in [{}, {}{close}", number::plain(low), number::plain(high))?;
            }
        }
        Ok(())
    }
}

/// The names of all rules.
#[doc(hidden)]
pub fn rule_names() -> impl Iterator<Item = &'static str> {
    rules::RULES.iter().map(|r| r.name)
}

struct Text<'f> {
    formula: &'f Formula,
    root: Id,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params: Vec<&str> = self.formula.params.iter().map(|p| p.name.as_str()).collect();
        let inputs: &[&str] = if self.formula.gated { &["a", "b"] } else { &["x"] };
        print::Shown { graph: &self.formula.graph, root: self.root, inputs, params: &params }.fmt(f)
    }
}
