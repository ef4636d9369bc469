//! Formulas as functions: those of the catalogue, or recorded programs.

use super::{Formula, FormulaError};
use crate::activation::{Meta, Parameter};
use crate::catalog;
use crate::error::Error;
use crate::function::Function;
use crate::gated::GatedFunction;
use crate::program::{About, Body};
use crate::real::Real;
use alloc::borrow::ToOwned;

/// A formula that is recorded with its parameters.
impl Body for Formula {
    fn operands(&self) -> usize {
        1 + usize::from(self.gated)
    }
    fn value<T: Real>(&self, x: &[T], p: &[T]) -> T {
        self.evaluate(x, p)
    }
}

impl Formula {
    /// The function of the catalogue that this formula defines.
    pub(crate) fn function(&self, meta: Meta) -> Result<Function, Error> {
        Function::record(self.with_params(About::described(meta)), self)
    }

    /// The gated function of the catalogue that this formula defines.
    pub(crate) fn gated_function(&self, meta: Meta) -> Result<GatedFunction, Error> {
        GatedFunction::record(self.with_params(About::described(meta)), self)
    }

    /// What a recorded function says about itself.
    fn about(&self) -> About {
        self.with_params(About::new(&self.text, &self.stable()))
    }

    fn with_params(&self, about: About) -> About {
        self.params.iter().fold(about, |about, p| {
            let (low, high, exact, rest) = (p.low, p.high, p.exact, p.rest);
            about.with(Parameter {
                low,
                high,
                exact,
                rest,
                ..Parameter::new(&p.name, p.default, "")
            })
        })
    }

    /// The error of a formula with so many operands where others are needed.
    fn operands_differ(&self) -> Error {
        let message = if self.gated {
            "a formula of `a` and `b` is a gated unit; a function has one operand, `x`"
        } else {
            "a formula of `x` alone is no gated unit, whose operands are `a` and `b`"
        };
        FormulaError::new(&self.text, 0..self.text.len(), message.to_owned()).into()
    }
}

/// Bytes of a text that may be meant as a name; the catalogue's are shorter.
const LONGEST_NAME: usize = 100;

/// The formula of a text that is no name of the catalogue; `named`, the error of the look-up, if it is no
/// formula either and looks like a name.
fn parse(text: &str, named: Error) -> Result<Formula, Error> {
    let letter = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let name = text.len() <= LONGEST_NAME && text.trim().chars().all(letter);
    Formula::parse(text).map_err(|e| if name { named } else { e.into() })
}

impl Function {
    /// The function of a name of the catalogue or of a formula in `x`.
    ///
    /// A formula that is one of the catalogue's, however it is written, is that function with its
    /// kernels; any other one is recorded, and runs block by block. [`Formula`] has the grammar.
    ///
    /// ```
    /// use nonlin::Function;
    ///
    /// let f = Function::parse("x * tanh(alpha * x); alpha = 1 in (0, 10)")?;
    /// let mut y = [0.0f32; 3];
    /// f.forward(&[-2.0, 0.0, 2.0], &mut y);
    /// assert_eq!(y, [1.9280552, 0.0, 1.9280552]);
    /// assert_eq!(f.with("alpha", 2.0)?.slope(0.0), 0.0);
    ///
    /// assert_eq!(Function::parse("x / (1 + exp(-x))")?, nonlin::get("silu")?);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the text is neither: of one that looks like a name, which names are near; of a formula, where
    /// it is wrong. If it is a formula of `a` and `b`, or one whose program is too long.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let formula = match catalog::get(text) {
            Ok(f) => return Ok(f),
            Err(e) => parse(text, e)?,
        };
        if formula.is_gated() {
            return Err(formula.operands_differ());
        }
        match formula.built_in() {
            Some(f) => Ok(f),
            None => Function::record(formula.about(), &formula),
        }
    }
}

impl GatedFunction {
    /// The gated unit of a name of the catalogue or of a formula in `a` and `b`, the first of which is
    /// the gate of one that the catalogue does not have.
    ///
    /// ```
    /// use nonlin::GatedFunction;
    ///
    /// let f = GatedFunction::parse("a * tanh(b)")?;
    /// let mut y = [0.0f64; 2];
    /// f.forward(&[3.0, 4.0], &[0.0, 1e9], &mut y);
    /// assert_eq!(y, [0.0, 4.0]);
    /// assert_eq!(GatedFunction::parse("a * sigmoid(a) * b")?.name(), "swiglu");
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the text is neither, or a formula of `x`, or one whose program is too long.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let formula = match catalog::gated(text) {
            Ok(f) => return Ok(f),
            Err(e) => parse(text, e)?,
        };
        if !formula.is_gated() {
            return Err(formula.operands_differ());
        }
        match formula.gated_built_in() {
            Some(f) => Ok(f),
            None => GatedFunction::record(formula.about(), &formula),
        }
    }
}
