//! Functions as source text of other languages and as models.

use nonlin::Target;
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::function;
use crate::kernels::{AnyFunction, Op};

/// What a formula is called unless the caller says.
const UNNAMED: &str = "activation";

/// The text of a function for `target`, or the bytes of a model; with `by` of its derivative by that
/// operand.
#[pyfunction]
#[pyo3(signature = (f, target, name, by=None))]
pub fn export<'py>(
    f: &Bound<'py, PyAny>,
    target: &str,
    name: Option<&str>,
    by: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some((text, op, values, _)) = function::recipe(f)? else {
        return Err(PyTypeError::new_err(format!("{} is no function of nonlin", f.repr()?)));
    };
    let made = if values.is_empty() {
        AnyFunction::parse(&text).map_err(crate::error)?
    } else {
        function::rebuilt(&text, &values)?
    };
    if Op::called(op) != Some(Op::Forward) {
        return Err(PyTypeError::new_err(format!(
            "export is of the function `{}`, not of its {}",
            made.name(),
            op.replace('_', " ")
        )));
    }
    written(f.py(), &made, target, name, by)
}

/// The text, or the bytes of a model.
pub fn written<'py>(
    py: Python<'py>,
    f: &AnyFunction,
    target: &str,
    name: Option<&str>,
    by: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let target: Target = target.parse().map_err(crate::error)?;
    let known = nonlin::get(f.name()).is_ok() || nonlin::gated(f.name()).is_ok();
    let own = if known { f.name() } else { UNNAMED };
    let mut formula = f.formula().map_err(crate::error)?;
    if let Some(i) = by {
        let slopes = formula.derivatives().map_err(crate::error)?;
        let none = || PyIndexError::new_err(format!("`{}` has no operand {i}", f.name()));
        formula = slopes.into_iter().nth(i).ok_or_else(none)?;
    }
    let bytes = formula.export(target, name.unwrap_or(own)).map_err(crate::error)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) if target.is_text() => PyString::new(py, &text).into_any(),
        Ok(text) => PyBytes::new(py, text.as_bytes()).into_any(),
        Err(e) => PyBytes::new(py, e.as_bytes()).into_any(),
    })
}
