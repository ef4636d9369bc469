//! The face to PyTorch: kernels placed under its operators, and operators of our own.
//!
//! `nonlin/torch/` in Python decides what is registered and when; this module has the kernels.

mod calls;
mod eager;
mod formulas;
mod layout;
mod library;
mod operators;
mod schema;
mod shim;

use std::collections::HashMap;
use std::sync::Mutex;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::kernels::AnyFunction;
use calls::{Before, TorchKernel, entry, raised, set_before};
use operators::{OPERATORS, find};
use shim::{Boxed, Registrations};

/// What is placed under PyTorch's operators now.
static ENABLED: Mutex<Option<Registrations>> = Mutex::new(None);

/// Our own operators, which stay.
static OWN: Mutex<Option<Registrations>> = Mutex::new(None);

/// Finds PyTorch's C interface in its library, which must be loaded.
#[pyfunction]
fn torch_open(path: &str) -> PyResult<()> {
    shim::open(path).map_err(PyRuntimeError::new_err)?;
    Ok(())
}

/// For each operator: namespace, name with overload, schema, and whether it has arguments of the
/// type Scalar.
#[pyfunction]
fn torch_operators() -> Vec<(&'static str, &'static str, &'static str, bool)> {
    let describe = |o: &operators::Operator| {
        (o.schema.namespace, o.schema.name, o.schema.text, o.schema.has_scalar())
    };
    OPERATORS.iter().map(describe).collect()
}

fn index(namespace: &str, name: &str) -> PyResult<usize> {
    let unknown = || PyRuntimeError::new_err(format!("there is no operator {namespace}::{name}"));
    find(namespace, name).ok_or_else(unknown)
}

fn boxed(index: usize) -> PyResult<Boxed> {
    entry(index).ok_or_else(|| PyRuntimeError::new_err("there are too many operators"))
}

/// The kernel of an operator with arguments of the type Scalar, to be called by PyTorch.
#[pyfunction]
fn torch_kernel(namespace: &str, name: &str) -> PyResult<TorchKernel> {
    Ok(TorchKernel { index: index(namespace, name)? })
}

/// Places kernels under PyTorch's operators, by name: each with what was called before, whose first
/// argument is `keys`. Those with arguments of the type Scalar are only noted.
#[pyfunction]
fn torch_enable(kernels: HashMap<String, Py<PyAny>>, keys: Py<PyAny>) -> PyResult<()> {
    let mut before = Before { keys: Some(keys), ..Before::default() };
    let mut native = Vec::new();
    for (name, kernel) in kernels {
        let index = index("aten", &name)?;
        before.kernels.insert(index, kernel);
        let schema = &OPERATORS[index].schema;
        if !schema.has_scalar() {
            native.push((schema.name, boxed(index)?));
        }
    }
    set_before(before);
    let mut registrations = Registrations::new();
    registrations.implement(c"aten", native.into_iter()).map_err(raised)?;
    *ENABLED.lock().unwrap_or_else(|e| e.into_inner()) = Some(registrations);
    Ok(())
}

/// Gives PyTorch's operators their own kernels back.
#[pyfunction]
fn torch_disable() {
    *ENABLED.lock().unwrap_or_else(|e| e.into_inner()) = None;
}

/// Registers the kernels of our own operators, which must have been defined.
#[pyfunction]
fn torch_implement() -> PyResult<()> {
    let mut own = OWN.lock().unwrap_or_else(|e| e.into_inner());
    if own.is_some() {
        return Ok(());
    }
    let mut kernels = Vec::new();
    for (i, operator) in OPERATORS.iter().enumerate() {
        if operator.schema.namespace == "nonlin" {
            // A kernel has two names: one with an autograd formula, and one without.
            kernels.push((operator.schema.name.to_owned(), boxed(i)?));
            kernels.push((format!("_{}", operator.schema.name), boxed(i)?));
        }
    }
    let mut registrations = Registrations::new();
    let named = kernels.iter().map(|(name, kernel)| (name.as_str(), *kernel));
    registrations.implement(c"nonlin", named).map_err(raised)?;
    *own = Some(registrations);
    Ok(())
}

/// What a module is told of a name or formula and values of parameters: the catalogue's name, if it has
/// one; whether it has two operands; the formula with these values as constants; and all parameters.
#[pyfunction]
#[allow(clippy::type_complexity, reason = "a tuple of Python")]
fn torch_formula(
    text: &str,
    given: Vec<(String, f64)>,
) -> PyResult<(Option<String>, bool, String, Vec<(String, f64, f64)>)> {
    let f = AnyFunction::parse(text).map_err(crate::error)?;
    let mut values = f.values().to_vec();
    for (name, value) in given {
        let at = f.params().iter().position(|(p, _)| p.name == name);
        values[at.ok_or_else(|| crate::error(f.unknown_parameter(&name)))?] = value;
    }
    let f = f.with_values(&values).map_err(crate::error)?;
    let params = f.params();
    let params = params.iter().map(|(p, v)| (p.name.to_owned(), *v, p.default)).collect();
    let known = matches!(f, AnyFunction::Gated(_))
        || matches!(f, AnyFunction::Elementwise(_)) && !f.is_formula();
    let name = known.then(|| f.name().to_owned());
    Ok((name, f.operands() == 2, f.with_constants().map_err(crate::error)?, params))
}

/// Adds the functions to the compiled module.
pub fn fill(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<TorchKernel>()?;
    m.add_function(wrap_pyfunction!(torch_open, m)?)?;
    m.add_function(wrap_pyfunction!(torch_operators, m)?)?;
    m.add_function(wrap_pyfunction!(torch_kernel, m)?)?;
    m.add_function(wrap_pyfunction!(torch_enable, m)?)?;
    m.add_function(wrap_pyfunction!(torch_disable, m)?)?;
    m.add_function(wrap_pyfunction!(torch_implement, m)?)?;
    m.add_function(wrap_pyfunction!(torch_formula, m)?)?;
    m.add_function(wrap_pyfunction!(eager::torch_call, m)?)?;
    Ok(())
}
