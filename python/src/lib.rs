//! The compiled part of the Python package `nonlin`: private, its face is `nonlin/__init__.py`.

mod docs;
mod export;
mod function;
mod kernels;
mod learnable;
mod threads;
mod torch;
mod ufunc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// A mistake of the caller, with the library's words: a name of a parameter is one of the call, all
/// others are values.
fn error(error: kernels::Error) -> PyErr {
    match error {
        kernels::Error::UnknownParameter { .. } => PyTypeError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

/// Fills the module.
#[pymodule(gil_used = false)]
fn _nonlin(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    threads::from_environment()?;
    ufunc::find_bfloat16(m.py())?;
    m.add_class::<function::PyFunction>()?;
    m.add_class::<learnable::LearnableKernel>()?;
    m.add_function(wrap_pyfunction!(threads::get_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(threads::set_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(ufunc::_panicking, m)?)?;
    m.add_function(wrap_pyfunction!(function::lookup, m)?)?;
    m.add_function(wrap_pyfunction!(function::related, m)?)?;
    m.add_function(wrap_pyfunction!(function::rebuild, m)?)?;
    m.add_function(wrap_pyfunction!(function::recipe, m)?)?;
    m.add_function(wrap_pyfunction!(function::row_ufunc, m)?)?;
    m.add_function(wrap_pyfunction!(docs::facts, m)?)?;
    m.add_function(wrap_pyfunction!(export::export, m)?)?;
    torch::fill(m)?;
    function::fill(m)
}
