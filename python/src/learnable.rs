//! Functions whose parameters are learned, on one-dimensional arrays that lie side by side.

use half::slice::HalfBitsSliceExt;
use half::{bf16, f16};
use numpy::{PyReadonlyArray1, PyReadwriteArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::kernels::{self, AnyLearnable, Element, Learned, LearnedGated};
use crate::threads;

/// The compiled part of `nonlin.Learnable`, which has the documentation.
#[pyclass(module = "nonlin._nonlin", frozen)]
pub struct LearnableKernel {
    of: AnyLearnable,
}

type In<'py, T> = PyReadonlyArray1<'py, T>;
type Out<'py, T> = PyReadwriteArray1<'py, T>;

fn apart<E>(name: &str) -> impl Fn(E) -> PyErr {
    move |_| PyValueError::new_err(format!("the elements of `{name}` must lie side by side"))
}

/// How many threads a call may run on, of which NumPy's face does not speak.
fn count(threads: Option<usize>) -> usize {
    threads.unwrap_or_else(threads::get_num_threads).clamp(1, threads::MOST)
}

fn lengths(all: &[(&str, usize)]) -> PyResult<()> {
    let (first, n) = all[0];
    match all.iter().find(|(_, m)| *m != n) {
        None => Ok(()),
        Some((name, m)) => Err(PyValueError::new_err(format!(
            "`{name}` has {m} elements, `{first}` has {n}: they must be equal"
        ))),
    }
}

/// Calls `$job` with the elements of arrays as slices of the type that `$kind` names. Half types come
/// as their bits.
macro_rules! of_kind {
    ($kind:expr, $job:ident($($input:ident),*; $($output:ident),*), $rest:tt) => {
        match $kind {
            "float32" => of_kind!(@plain f32, $job($($input),*; $($output),*), $rest),
            "float64" => of_kind!(@plain f64, $job($($input),*; $($output),*), $rest),
            "float16" => of_kind!(@half f16, $job($($input),*; $($output),*), $rest),
            "bfloat16" => of_kind!(@half bf16, $job($($input),*; $($output),*), $rest),
            other => Err(PyValueError::new_err(format!(
                "the type is {other}; it must be float16, bfloat16, float32 or float64"
            ))),
        }
    };
    (@plain $t:ty, $job:ident($($input:ident),*; $($output:ident),*), ($($rest:expr),*)) => {{
        $(let $input: In<'_, $t> = $input.extract()?;)*
        $(let mut $output: Out<'_, $t> = $output.extract()?;)*
        $job(
            $($input.as_slice().map_err(apart(stringify!($input)))?,)*
            $($output.as_slice_mut().map_err(apart(stringify!($output)))?,)*
            $($rest),*
        )
    }};
    (@half $t:ty, $job:ident($($input:ident),*; $($output:ident),*), ($($rest:expr),*)) => {{
        $(let $input: In<'_, u16> = $input.extract()?;)*
        $(let mut $output: Out<'_, u16> = $output.extract()?;)*
        $job(
            $($input.as_slice().map_err(apart(stringify!($input)))?.reinterpret_cast::<$t>(),)*
            $($output.as_slice_mut().map_err(apart(stringify!($output)))?.reinterpret_cast_mut::<$t>(),)*
            $($rest),*
        )
    }};
}

/// How many elements an array of that shape has.
fn elements(shape: &[usize]) -> PyResult<usize> {
    let product = shape.iter().try_fold(1usize, |n, length| n.checked_mul(*length));
    let none = shape.contains(&0).then_some(0);
    none.or(product).ok_or_else(|| {
        PyValueError::new_err(format!(
            "an array of shape {shape:?} has more elements than memory has bytes"
        ))
    })
}

fn forward<T: Element>(
    x: &[T],
    y: &mut [T],
    py: Python<'_>,
    at: &Learned<'_, f64>,
    len: usize,
    threads: usize,
) -> PyResult<()> {
    lengths(&[("the shape", len), ("x", x.len()), ("y", y.len())])?;
    let y = std::sync::Mutex::new(y);
    py.detach(|| {
        threads::run_on(threads, len, |exec| {
            let mut y = y.lock().expect("nobody else has it");
            at.forward_with(exec, x, &mut y);
        });
    });
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "arrays, and what the macro passes on")]
fn backward<T: Element>(
    x: &[T],
    grad: &[T],
    dx: &mut [T],
    py: Python<'_>,
    at: &Learned<'_, f64>,
    len: usize,
    threads: usize,
    dvalues: &mut [f64],
) -> PyResult<()> {
    let all = [("the shape", len), ("x", x.len()), ("grad", grad.len()), ("dx", dx.len())];
    lengths(&all)?;
    let outputs = std::sync::Mutex::new((dx, dvalues));
    py.detach(|| {
        threads::run_on(threads, len, |exec| {
            let mut outputs = outputs.lock().expect("nobody else has them");
            let (dx, dvalues) = &mut *outputs;
            at.backward_with(exec, x, grad, dx, dvalues);
        });
    });
    Ok(())
}

fn forward_gated<T: Element>(
    a: &[T],
    b: &[T],
    y: &mut [T],
    py: Python<'_>,
    at: &LearnedGated<'_, f64>,
    len: usize,
    threads: usize,
) -> PyResult<()> {
    lengths(&[("the shape", len), ("a", a.len()), ("b", b.len()), ("y", y.len())])?;
    let y = std::sync::Mutex::new(y);
    py.detach(|| {
        threads::run_on(threads, len, |exec| {
            let mut y = y.lock().expect("nobody else has it");
            at.forward_with(exec, a, b, &mut y);
        });
    });
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "arrays, and what the macro passes on")]
fn backward_gated<T: Element>(
    a: &[T],
    b: &[T],
    grad: &[T],
    da: &mut [T],
    db: &mut [T],
    py: Python<'_>,
    at: &LearnedGated<'_, f64>,
    len: usize,
    threads: usize,
    dvalues: &mut [f64],
) -> PyResult<()> {
    let inputs = [("the shape", len), ("a", a.len()), ("b", b.len()), ("grad", grad.len())];
    lengths(&inputs)?;
    lengths(&[("the shape", len), ("da", da.len()), ("db", db.len())])?;
    let outputs = std::sync::Mutex::new((da, db, dvalues));
    py.detach(|| {
        threads::run_on(threads, len, |exec| {
            let mut outputs = outputs.lock().expect("nobody else has them");
            let (da, db, dvalues) = &mut *outputs;
            at.backward_with(exec, a, b, grad, da, db, dvalues);
        });
    });
    Ok(())
}

#[pymethods]
impl LearnableKernel {
    /// Of a function of the catalogue, or of a formula.
    #[new]
    fn new(text: &str) -> PyResult<Self> {
        Ok(LearnableKernel { of: kernels::learnable(text).map_err(crate::error)? })
    }

    /// How many operands it has: two are those of a gated unit.
    fn operands(&self) -> usize {
        match self.of {
            AnyLearnable::Elementwise(_) => 1,
            AnyLearnable::Gated(_) => 2,
        }
    }

    /// Name, start, least and greatest value of each parameter.
    fn params(&self) -> Vec<(String, f64, f64, f64)> {
        let all = self.of.params().into_iter();
        all.map(|(p, start)| (p.name.to_owned(), start, p.low, p.high)).collect()
    }

    /// `y = f(x)`, or `f(a, b)`.
    #[allow(clippy::too_many_arguments, reason = "arrays by name")]
    fn forward(
        &self,
        py: Python<'_>,
        kind: &str,
        operands: Vec<Bound<'_, PyAny>>,
        y: &Bound<'_, PyAny>,
        values: In<'_, f64>,
        shape: Vec<usize>,
        axis: isize,
        threads: Option<usize>,
    ) -> PyResult<()> {
        let values = values.as_slice().map_err(apart("values"))?;
        let threads = count(threads);
        match (&self.of, operands.as_slice()) {
            (AnyLearnable::Elementwise(f), [x]) => {
                let at = f.at(values, &shape, axis).map_err(crate::error)?;
                let len = elements(&shape)?;
                of_kind!(kind, forward(x; y), (py, &at, len, threads))
            }
            (AnyLearnable::Gated(f), [a, b]) => {
                let at = f.at(values, &shape, axis).map_err(crate::error)?;
                let len = elements(&shape)?;
                of_kind!(kind, forward_gated(a, b; y), (py, &at, len, threads))
            }
            _ => Err(self.miscounted(operands.len())),
        }
    }

    /// The gradients by the operands, and by the values.
    #[allow(clippy::too_many_arguments, reason = "arrays by name")]
    fn backward(
        &self,
        py: Python<'_>,
        kind: &str,
        operands: Vec<Bound<'_, PyAny>>,
        grad: &Bound<'_, PyAny>,
        results: Vec<Bound<'_, PyAny>>,
        values: In<'_, f64>,
        mut dvalues: Out<'_, f64>,
        shape: Vec<usize>,
        axis: isize,
        threads: Option<usize>,
    ) -> PyResult<()> {
        let values = values.as_slice().map_err(apart("values"))?;
        let dvalues = dvalues.as_slice_mut().map_err(apart("dvalues"))?;
        lengths(&[("values", values.len()), ("dvalues", dvalues.len())])?;
        let threads = count(threads);
        match (&self.of, operands.as_slice(), results.as_slice()) {
            (AnyLearnable::Elementwise(f), [x], [dx]) => {
                let at = f.at(values, &shape, axis).map_err(crate::error)?;
                let len = elements(&shape)?;
                of_kind!(kind, backward(x, grad; dx), (py, &at, len, threads, dvalues))
            }
            (AnyLearnable::Gated(f), [a, b], [da, db]) => {
                let at = f.at(values, &shape, axis).map_err(crate::error)?;
                let len = elements(&shape)?;
                of_kind!(kind, backward_gated(a, b, grad; da, db), (py, &at, len, threads, dvalues))
            }
            _ => Err(self.miscounted(operands.len().min(results.len()))),
        }
    }
}

impl LearnableKernel {
    fn miscounted(&self, found: usize) -> PyErr {
        let wanted = self.operands();
        PyValueError::new_err(format!("the number of operands is {found}; it must be {wanted}"))
    }
}
