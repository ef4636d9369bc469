//! Formulas under PyTorch: operators get the text with every call, and functions are kept by it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use nonlin::real::Real;
use nonlin::{About, Body, Error, Formula};

use super::library::{Function, GatedFunction};
use super::shim::{Res, Stop};

/// Functions that are kept.
const KEPT: usize = 256;

/// Functions by the texts that they are made of.
struct Kept<F>(LazyLock<Mutex<HashMap<String, Arc<F>>>>);

impl<F> Kept<F> {
    const fn new() -> Self {
        Kept(LazyLock::new(Mutex::default))
    }

    /// The function of a text, made if it is not there.
    fn get(&self, text: &str, make: impl FnOnce(&str) -> Result<F, Error>) -> Res<Arc<F>> {
        let lock = || self.0.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(f) = lock().get(text) {
            return Ok(f.clone());
        }
        let made = Arc::new(make(text).map_err(|e| Stop::Fail(e.to_string()))?);
        let mut all = lock();
        if all.len() >= KEPT {
            all.clear();
        }
        Ok(all.entry(text.to_owned()).or_insert(made).clone())
    }
}

/// The function of a formula in `x`.
pub fn elementwise(text: &str) -> Res<Arc<Function>> {
    static KEPT: Kept<Function> = Kept::new();
    KEPT.get(text, Function::parse)
}

/// The function of a formula in `a` and `b`.
pub fn gated(text: &str) -> Res<Arc<GatedFunction>> {
    static KEPT: Kept<GatedFunction> = Kept::new();
    KEPT.get(text, GatedFunction::parse)
}

/// The derivatives of a formula in `a` and `b` by both, as functions of both.
pub fn partials(text: &str) -> Res<Arc<[GatedFunction; 2]>> {
    static KEPT: Kept<[GatedFunction; 2]> = Kept::new();
    KEPT.get(text, |text| {
        let formula = Formula::parse(text)?;
        let partial = |operand| {
            let about = About::new(text, "");
            GatedFunction::record(about, &Partial { formula: &formula, operand })
        };
        Ok([partial(0)?, partial(1)?])
    })
}

/// The derivative of a formula by one operand, at the defaults of its parameters.
struct Partial<'f> {
    formula: &'f Formula,
    operand: usize,
}

impl Body for Partial<'_> {
    fn operands(&self) -> usize {
        2
    }
    fn value<T: Real>(&self, x: &[T], _: &[T]) -> T {
        let p: Vec<T> = self.formula.params().map(|(_, v)| x[0].constant((v, 0.0))).collect();
        self.formula.slope(x, &p, self.operand)
    }
}
