//! NumPy ufuncs from kernels: one loop per type of element, whose data is the function.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice::{from_raw_parts, from_raw_parts_mut};

use half::f16;
use numpy::npyffi::{NPY_TYPES, PY_UFUNC_API, PyUFuncGenericFunction, PyUFuncObject, npy_intp};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::kernels::{Element, Forward, Function, Kernel};
use crate::threads;

/// Elements that are gathered at a time from arrays with strides.
const GATHER: usize = 512;

/// `PyUFunc_None`: a ufunc that reduces nothing.
const NO_IDENTITY: c_int = -1;

/// The name of the capsule that owns a block.
const OWNER: &CStr = c"nonlin.block";

/// What a ufunc points into. It lives as long as the ufunc, which owns it by a capsule.
struct Block<D> {
    data: D,
    loops: Vec<PyUFuncGenericFunction>,
    pointers: Vec<*mut c_void>,
    types: Vec<c_char>,
    name: CString,
    doc: CString,
}

// SAFETY: the pointers lead to `data` of the same block, which is `Send` and is only read.
unsafe impl<D: Send> Send for Block<D> {}
// SAFETY: nothing in a block changes once a ufunc has it.
unsafe impl<D: Sync> Sync for Block<D> {}

/// A ufunc of the kernel `K` applied to `data`.
fn make<K: Kernel<I, O>, const I: usize, const O: usize>(
    py: Python<'_>,
    data: K::Data,
    name: &str,
    doc: &str,
) -> PyResult<Py<PyAny>> {
    let kinds = [NPY_TYPES::NPY_HALF, NPY_TYPES::NPY_FLOAT, NPY_TYPES::NPY_DOUBLE];
    let loops: [PyUFuncGenericFunction; 3] =
        [Some(run::<f16, K, I, O>), Some(run::<f32, K, I, O>), Some(run::<f64, K, I, O>)];
    let block = Box::new(Block {
        data,
        loops: loops.to_vec(),
        pointers: vec![],
        types: kinds.iter().flat_map(|&k| vec![k as c_char; I + O]).collect(),
        name: CString::new(name)?,
        doc: CString::new(doc)?,
    });
    let raw = Box::into_raw(block);
    // SAFETY: `raw` comes from a box, and nothing else has it yet.
    let block = unsafe { &mut *raw };
    block.pointers = vec![(&raw mut block.data).cast(); kinds.len()];
    // SAFETY: a box has a unique, non-null address; the capsule is its only owner from here on.
    let owner = unsafe { PyCapsule::new_with_value(py, Owner(Box::from_raw(raw)), OWNER)? };
    // SAFETY: the arrays have `kinds.len()` entries (types: that times I + O) and, like both
    // texts, live in the block, which the ufunc owns through `obj`.
    unsafe {
        let ufunc = PY_UFUNC_API.PyUFunc_FromFuncAndData(
            py,
            block.loops.as_mut_ptr(),
            block.pointers.as_mut_ptr(),
            block.types.as_mut_ptr(),
            kinds.len() as c_int,
            I as c_int,
            O as c_int,
            NO_IDENTITY,
            block.name.as_ptr(),
            block.doc.as_ptr(),
            0,
        );
        let made = Bound::from_owned_ptr_or_err(py, ufunc)?.unbind();
        (*ufunc.cast::<PyUFuncObject>()).fields.obj = owner.into_ptr();
        Ok(made)
    }
}

/// A block inside a capsule.
struct Owner<D>(#[allow(dead_code, reason = "owned, not read")] Box<Block<D>>);

/// The ufunc of f(x).
pub fn forward(py: Python<'_>, f: Function) -> PyResult<Py<PyAny>> {
    let (name, doc) = (f.name(), f.meta().formula);
    make::<Forward, 1, 1>(py, f, name, doc)
}

/// The loop that NumPy calls, without the GIL for all but short arrays.
unsafe extern "C" fn run<T: Element, K: Kernel<I, O>, const I: usize, const O: usize>(
    args: *mut *mut c_char,
    dimensions: *mut npy_intp,
    steps: *mut npy_intp,
    data: *mut c_void,
) {
    // SAFETY: NumPy passes one length, I + O pointers and as many strides, and the data pointer
    // of this loop, which `make` set to a `K::Data`.
    let (n, pointers, strides, data) = unsafe {
        let n = *dimensions as usize;
        (n, from_raw_parts(args, I + O), from_raw_parts(steps, I + O), &*data.cast::<K::Data>())
    };
    let x: [Operand<T>; I] = std::array::from_fn(|i| Operand::new(pointers[i], strides[i]));
    let y: [Operand<T>; O] = std::array::from_fn(|i| Operand::new(pointers[I + i], strides[I + i]));
    // SAFETY: each operand has `n` elements of type T, aligned, as the types of the loop say.
    let done = catch_unwind(AssertUnwindSafe(|| unsafe { apply::<T, K, I, O>(data, n, x, y) }));
    if let Err(panic) = done {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
        let text = format!("nonlin failed: {said}; please report this");
        Python::attach(|py| PyRuntimeError::new_err(text).restore(py));
    }
}

/// One operand of a loop.
#[derive(Clone, Copy)]
struct Operand<T> {
    start: *mut T,
    /// In bytes.
    stride: isize,
}

impl<T: Element> Operand<T> {
    fn new(start: *mut c_char, stride: npy_intp) -> Self {
        Operand { start: start.cast(), stride }
    }

    fn at(&self, i: usize) -> *mut T {
        self.start.wrapping_byte_offset(i as isize * self.stride)
    }

    fn contiguous(&self) -> bool {
        self.stride == size_of::<T>() as isize
    }

    /// The bytes that `n > 0` elements lie in: first and past the last.
    fn span(&self, n: usize) -> (usize, usize) {
        let (a, b) = (self.start.addr(), self.at(n - 1).addr());
        (a.min(b), a.max(b) + size_of::<T>())
    }

    fn apart(&self, other: &Self, n: usize) -> bool {
        let ((a, b), (c, d)) = (self.span(n), other.span(n));
        b <= c || d <= a
    }
}

/// # Safety
/// Each operand must have `n` aligned elements, those of `y` writable. Where a result overlaps an
/// operand, element i of the operand must not lie where a result before i does.
unsafe fn apply<T: Element, K: Kernel<I, O>, const I: usize, const O: usize>(
    data: &K::Data,
    n: usize,
    x: [Operand<T>; I],
    y: [Operand<T>; O],
) {
    if n == 0 {
        return;
    }
    if x.iter().chain(&y).all(|o| o.contiguous()) {
        let alone = |k: usize| (0..O).all(|j| j == k || y[j].apart(&y[k], n));
        let clear =
            |x: &[Operand<T>]| (0..O).all(|k| x.iter().all(|x| x.apart(&y[k], n)) && alone(k));
        if clear(&x) {
            let (x, y) = (Many(x), Many(y));
            return threads::run(n, |exec| {
                // SAFETY: contiguous operands of `n` elements; results overlap nothing.
                unsafe {
                    let x = x.all().map(|o| from_raw_parts(o.start.cast_const(), n));
                    let y = y.all().map(|o| from_raw_parts_mut(o.start, n));
                    K::apart(data, exec, x, y);
                }
            });
        }
        if O == 1 && x[I - 1].start == y[0].start && clear(&x[..I - 1]) {
            // SAFETY: contiguous operands of `n` elements; the result overlaps none but the last
            // operand, of which no other reference is made.
            let done = unsafe {
                let before: [&[T]; I] = std::array::from_fn(|i| {
                    from_raw_parts(x[i].start, if i < I - 1 { n } else { 0 })
                });
                let last = Many([y[0]]);
                let done = std::sync::atomic::AtomicBool::new(false);
                threads::run(n, |exec| {
                    let last = from_raw_parts_mut(last.all()[0].start, n);
                    done.store(
                        K::onto(data, exec, &before[..I - 1], last),
                        std::sync::atomic::Ordering::Relaxed,
                    );
                });
                done.into_inner()
            };
            if done {
                return;
            }
        }
    }
    let exec = nonlin::Exec::new();
    let mut from = [[T::default(); GATHER]; I];
    let mut to = [[T::default(); GATHER]; O];
    for start in (0..n).step_by(GATHER) {
        let m = GATHER.min(n - start);
        for (buffer, o) in from.iter_mut().zip(&x) {
            for (i, v) in buffer[..m].iter_mut().enumerate() {
                // SAFETY: `start + i` is below `n`.
                *v = unsafe { o.at(start + i).read() };
            }
        }
        let gathered: [&[T]; I] = std::array::from_fn(|i| &from[i][..m]);
        K::apart(data, &exec, gathered, to.each_mut().map(|b| &mut b[..m]));
        for (buffer, o) in to.iter().zip(&y) {
            for (i, v) in buffer[..m].iter().enumerate() {
                // SAFETY: `start + i` is below `n`, and results are writable.
                unsafe { o.at(start + i).write(*v) };
            }
        }
    }
}

/// Operands that another thread may have.
struct Many<T, const N: usize>([Operand<T>; N]);

// SAFETY: whoever takes the pointers out says why that is sound.
unsafe impl<T: Send, const N: usize> Send for Many<T, N> {}
// SAFETY: the pointers themselves are only read.
unsafe impl<T: Sync, const N: usize> Sync for Many<T, N> {}

impl<T: Copy, const N: usize> Many<T, N> {
    fn all(&self) -> [Operand<T>; N] {
        self.0
    }
}
