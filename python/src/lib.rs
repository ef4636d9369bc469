//! The compiled part of the Python package `nonlin`: private, its face is `nonlin/__init__.py`.

mod kernels;
mod threads;
mod ufunc;

use pyo3::prelude::*;

/// Fills the module.
#[pymodule(gil_used = false)]
fn _nonlin(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    for f in kernels::elementwise() {
        m.add(f.name(), ufunc::forward(m.py(), f)?)?;
    }
    Ok(())
}
