//! How many threads a call runs on: one unless told otherwise, as in NumPy.

use std::fmt::Display;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyInt;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::kernels::Exec;

/// Elements from which on a call is divided among threads.
const PARALLEL: usize = 1 << 15;

/// The most threads that can be asked for.
pub const MOST: usize = 1024;

/// The variable of the environment that sets the number at import.
const VARIABLE: &str = "NONLIN_NUM_THREADS";

static THREADS: AtomicUsize = AtomicUsize::new(1);

/// A pool, how many threads it has, and in which process.
type Pool = (u32, usize, Arc<ThreadPool>);

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

/// The number of threads that a call may run on.
#[pyfunction]
pub fn get_num_threads() -> usize {
    THREADS.load(Ordering::Relaxed)
}

/// Sets the number of threads that a call may run on; results do not depend on it.
#[pyfunction]
pub fn set_num_threads(n: &Bound<'_, PyAny>) -> PyResult<()> {
    match n.extract::<i64>() {
        Ok(count) => set(count),
        // Beyond i64, and so beyond the bounds.
        Err(_) if n.is_instance_of::<PyInt>() => Err(out_of_bounds(n)),
        Err(error) => Err(error),
    }
}

fn set(n: i64) -> PyResult<()> {
    match usize::try_from(n) {
        Ok(count @ 1..=MOST) => THREADS.store(count, Ordering::Relaxed),
        _ => return Err(out_of_bounds(n)),
    }
    Ok(())
}

fn out_of_bounds(n: impl Display) -> PyErr {
    PyValueError::new_err(format!("the number of threads is {n}; it must be between 1 and {MOST}"))
}

/// The number that the environment asks for.
pub fn from_environment() -> PyResult<()> {
    let Some(text) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let n = text.to_str().and_then(|t| t.trim().parse().ok());
    let n = n.ok_or_else(|| {
        let text = text.to_string_lossy();
        PyValueError::new_err(format!(
            "{VARIABLE} is `{text}`; it must be a whole number between 1 and {MOST}"
        ))
    })?;
    set(n).map_err(|e| PyValueError::new_err(format!("{VARIABLE}: {e}")))
}

/// The pool of this process. None while another thread makes one, and after a fork if one was
/// being made then: the call runs on its own thread.
fn pool(count: usize) -> Option<Arc<ThreadPool>> {
    let process = std::process::id();
    let mut pool = POOL.try_lock().ok()?;
    if let Some((p, n, there)) = &*pool
        && (*p, *n) == (process, count)
    {
        return Some(there.clone());
    }
    let made =
        ThreadPoolBuilder::new().num_threads(count).thread_name(|i| format!("nonlin-{i}")).build();
    let made = Arc::new(made.ok()?);
    if let Some((p, _, old)) = pool.replace((process, count, made.clone()))
        && p != process
    {
        // Its threads did not come along with the fork; there is nothing to wait for.
        std::mem::forget(old);
    }
    Some(made)
}

/// Carries out `work` over `n` elements on as many threads as NumPy's face may use.
#[inline]
pub fn run(n: usize, work: impl Fn(&Exec) + Sync + Send) {
    run_on(THREADS.load(Ordering::Relaxed), n, work);
}

/// Carries out `work` over `n` elements on up to `count` threads.
#[inline]
pub fn run_on(count: usize, n: usize, work: impl Fn(&Exec) + Sync + Send) {
    if count > 1
        && n >= PARALLEL
        && let Some(pool) = pool(count)
    {
        let block = n.div_ceil(4 * count).clamp(1 << 12, nonlin::DEFAULT_BLOCK);
        let exec = Exec::new().block(block).parallel();
        return pool.install(|| work(&exec));
    }
    work(&Exec::new());
}
