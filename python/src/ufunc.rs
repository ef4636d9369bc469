//! NumPy ufuncs from kernels: one loop per type of element, whose data is the function.
//!
//! NumPy does what it does for its own ufuncs: conversions, broadcasting, `out`, `where`, byte
//! order, other array types. A loop gets pointers, strides and a length, with the GIL released for
//! all but short arrays, and makes slices of them: contiguous operands become one call of a kernel,
//! others are gathered into buffers.

use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice::{from_raw_parts, from_raw_parts_mut};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use half::{bf16, f16};
use numpy::npyffi::{NPY_TYPES, PY_UFUNC_API, PyUFuncGenericFunction, PyUFuncObject, npy_intp};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyCapsule;

use crate::kernels::{self, AnyFunction, Element, Exec, Function, GatedFunction, Kernel, Op, Rows};
use crate::threads;

/// Elements that are gathered at a time from arrays with strides.
const GATHER: usize = 512;

/// Elements of rows that are gathered at a time.
const ROW_GATHER: usize = 16 * 1024;

/// Rows that are gathered at a time: a line of the cache of f32.
const ROWS_AT_ONCE: usize = 16;

/// `PyUFunc_None`: a ufunc that reduces nothing.
const NO_IDENTITY: c_int = -1;

/// The name of the capsule that owns a block.
const OWNER: &CStr = c"nonlin.block";

/// The number that NumPy has given to bfloat16, or -1 without the package `ml_dtypes`.
static BFLOAT16: AtomicI32 = AtomicI32::new(-1);

/// Learns the number of bfloat16 if the package `ml_dtypes` is there.
pub fn find_bfloat16(py: Python<'_>) -> PyResult<()> {
    if let Ok(module) = py.import("ml_dtypes") {
        let dtype = py.import("numpy")?.getattr("dtype")?.call1((module.getattr("bfloat16")?,))?;
        BFLOAT16.store(dtype.getattr("num")?.extract()?, Ordering::Relaxed);
    }
    Ok(())
}

/// What a ufunc computes, enough to make it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Name of the function in the catalogue, or the formula that it was made from.
    pub name: String,
    /// What is computed of it.
    pub op: Op,
    /// Values of the parameters; of a row-wise function scale and 1 if empty rows give zeros.
    pub values: Vec<f64>,
    /// Which parameters are operands, after those of the operation; of a row-wise function, whether
    /// a mask is.
    pub operands: Vec<usize>,
}

/// What a ufunc points into. It lives as long as the ufunc, which owns it by a capsule.
struct Block {
    spec: Spec,
    /// What the loops get a pointer to.
    #[allow(dead_code, reason = "owned here, read through `pointers`")]
    data: Box<dyn Any + Send + Sync>,
    loops: Vec<PyUFuncGenericFunction>,
    pointers: Vec<*mut c_void>,
    types: Vec<c_char>,
    name: CString,
    doc: CString,
}

// SAFETY: the pointers lead to `data` of this block, which is `Send` and is only read.
unsafe impl Send for Block {}
// SAFETY: nothing in a block changes once a ufunc has it.
unsafe impl Sync for Block {}

/// The types of operands and results of a loop.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// That of the loop.
    Float,
    /// A condition.
    Bool,
}

/// What a ufunc is made of besides its data.
struct Parts<'a> {
    spec: Spec,
    /// For f16, f32, f64 and bf16.
    loops: [PyUFuncGenericFunction; 4],
    kinds: Vec<Kind>,
    outputs: usize,
    /// Of a generalised ufunc.
    signature: Option<&'static CStr>,
    doc: &'a str,
}

/// The loops of one generic function for all types of elements.
macro_rules! loops {
    ($f:ident $(, $k:ty)*) => {
        [
            Some($f::<f16 $(, $k)*> as _),
            Some($f::<f32 $(, $k)*> as _),
            Some($f::<f64 $(, $k)*> as _),
            Some($f::<bf16 $(, $k)*> as _),
        ]
    };
}

/// A ufunc whose loops get a pointer to `data`.
fn make<D: Send + Sync + 'static>(
    py: Python<'_>,
    data: D,
    parts: Parts<'_>,
) -> PyResult<Py<PyAny>> {
    const STATIC: [NPY_TYPES; 3] =
        [NPY_TYPES::NPY_HALF, NPY_TYPES::NPY_FLOAT, NPY_TYPES::NPY_DOUBLE];
    let numbers = |float: c_int| {
        parts.kinds.iter().map(move |k| match k {
            Kind::Float => float,
            Kind::Bool => NPY_TYPES::NPY_BOOL as c_int,
        })
    };
    let name = match parts.spec.op {
        Op::Forward => parts.spec.name.clone(),
        op => format!("{}({})", op.name(), parts.spec.name),
    };
    let data: Box<D> = Box::new(data);
    let pointer = (&raw const *data).cast_mut().cast::<c_void>();
    let mut block = Box::new(Block {
        spec: parts.spec,
        data,
        loops: parts.loops[..STATIC.len()].to_vec(),
        pointers: vec![pointer; STATIC.len()],
        types: STATIC.iter().flat_map(|&t| numbers(t as c_int)).map(|t| t as c_char).collect(),
        name: CString::new(name)?,
        doc: CString::new(parts.doc)?,
    });
    let nin = (parts.kinds.len() - parts.outputs) as c_int;
    let (loops, pointers) = (block.loops.as_mut_ptr(), block.pointers.as_mut_ptr());
    let types = block.types.as_mut_ptr();
    let (name, doc) = (block.name.as_ptr(), block.doc.as_ptr());
    let signature = parts.signature.map_or(std::ptr::null(), CStr::as_ptr);
    let owner = PyCapsule::new_with_value(py, block, OWNER)?;
    // SAFETY: the arrays have one entry per loop (types: one per loop and operand) and, like both
    // texts, lie on the heap, owned by the block and so by the ufunc through `obj`, which nothing
    // else uses for a ufunc made this way; the signature is static or absent.
    unsafe {
        let ufunc = PY_UFUNC_API.PyUFunc_FromFuncAndDataAndSignature(
            py,
            loops,
            pointers,
            types,
            STATIC.len() as c_int,
            nin,
            parts.outputs as c_int,
            NO_IDENTITY,
            name,
            doc,
            0,
            signature,
        );
        let made = Bound::from_owned_ptr_or_err(py, ufunc)?;
        let ufunc = ufunc.cast::<PyUFuncObject>();
        (*ufunc).fields.obj = owner.into_ptr();
        let number = BFLOAT16.load(Ordering::Relaxed);
        if number >= 0 {
            let mut numbers: Vec<c_int> = numbers(number).collect();
            let [.., last] = parts.loops;
            let types = numbers.as_mut_ptr();
            if PY_UFUNC_API.PyUFunc_RegisterLoopForType(py, ufunc, number, last, types, pointer) < 0
            {
                return Err(PyErr::fetch(py));
            }
        }
        Ok(made.unbind())
    }
}

/// What a ufunc of this module computes; `None` for all other objects.
pub fn spec(object: &Bound<'_, PyAny>) -> PyResult<Option<Spec>> {
    static UFUNC: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    let ufunc =
        UFUNC.get_or_try_init(py, || py.import("numpy")?.getattr("ufunc").map(Bound::unbind))?;
    if !object.get_type().is(ufunc) {
        return Ok(None);
    }
    // SAFETY: the object is a ufunc; `obj` is null or an object that it owns; a capsule of that
    // name was made by `make` and has a block.
    unsafe {
        let held = (*object.as_ptr().cast::<PyUFuncObject>()).fields.obj;
        if held.is_null() || ffi::PyCapsule_IsValid(held, OWNER.as_ptr()) == 0 {
            return Ok(None);
        }
        let block = ffi::PyCapsule_GetPointer(held, OWNER.as_ptr()).cast::<Box<Block>>();
        Ok(Some((*block).spec.clone()))
    }
}

/// A ufunc of a function; the parameters in `arrays` (indices) are operands too.
pub fn of(
    py: Python<'_>,
    f: &AnyFunction,
    op: Op,
    arrays: &[usize],
    doc: &str,
) -> PyResult<Py<PyAny>> {
    match f {
        AnyFunction::Elementwise(f) => elementwise(py, f, op, arrays, doc),
        AnyFunction::Gated(gated_f) => gated(py, gated_f, (f.text(), &[]), op, doc),
        AnyFunction::Formula(_) if !arrays.is_empty() => Err(PyTypeError::new_err(format!(
            "parameters of `{}` are numbers: a formula of two operands takes no arrays for them",
            f.text()
        ))),
        AnyFunction::Formula(formula) => {
            gated(py, formula.function(), (f.text(), f.values()), op, doc)
        }
    }
}

/// A ufunc of an elementwise function; the parameters in `arrays` (indices) are operands too.
fn elementwise(
    py: Python<'_>,
    f: &Function,
    op: Op,
    arrays: &[usize],
    doc: &str,
) -> PyResult<Py<PyAny>> {
    if op == Op::FromOutput && arrays.is_empty() {
        kernels::has_from_output(f).map_err(crate::error)?;
    }
    let operands = op.operands(1);
    let spec = Spec {
        name: f.name().to_owned(),
        op,
        values: f.values().to_vec(),
        operands: arrays.to_vec(),
    };
    let kinds = vec![Kind::Float; operands + arrays.len() + 1];
    let parts = |loops| Parts { spec, loops, kinds, outputs: 1, signature: None, doc };
    if arrays.is_empty() {
        let data = f.clone();
        return match op {
            Op::Forward => make(py, data, parts(loops!(map, kernels::Forward))),
            Op::Derivative => make(py, data, parts(loops!(map, kernels::Derivative))),
            Op::Second => make(py, data, parts(loops!(map, kernels::Second))),
            Op::Backward => make(py, data, parts(loops!(zip, kernels::Backward))),
            Op::FromOutput => make(py, data, parts(loops!(zip, kernels::FromOutput))),
        };
    }
    let data = Parametric { f: f.clone(), values: f.values().to_vec(), arrays: arrays.to_vec() };
    match op {
        Op::Forward => make(py, data, parts(loops!(map_parametric, kernels::Forward))),
        Op::Derivative => make(py, data, parts(loops!(map_parametric, kernels::Derivative))),
        Op::Second => make(py, data, parts(loops!(map_parametric, kernels::Second))),
        Op::Backward => make(py, data, parts(loops!(zip_parametric, kernels::Backward))),
        Op::FromOutput => make(py, data, parts(loops!(zip_parametric, kernels::FromOutput))),
    }
}

/// A ufunc of the gated function of that text and these values of parameters: what it gives, or its
/// gradients.
fn gated(
    py: Python<'_>,
    f: &GatedFunction,
    (text, values): (&str, &[f64]),
    op: Op,
    doc: &str,
) -> PyResult<Py<PyAny>> {
    let spec = Spec { name: text.to_owned(), op, values: values.to_vec(), operands: vec![] };
    let parts = |loops, operands, outputs| Parts {
        spec,
        loops,
        kinds: vec![Kind::Float; operands + outputs],
        outputs,
        signature: None,
        doc,
    };
    match op {
        Op::Forward => make(py, f.clone(), parts(loops!(zip, kernels::Gated), 2, 1)),
        Op::Backward => make(py, f.clone(), parts(loops!(zip_three, kernels::GatedBackward), 3, 2)),
        Op::Derivative | Op::Second | Op::FromOutput => Err(PyValueError::new_err(format!(
            "`{}` has two operands and so no {}; use nonlin.vjp for its gradients",
            f.name(),
            op.name().replace('_', " "),
        ))),
    }
}

/// The generalised ufunc of a row-wise function. `masked` has a second operand that says which
/// elements take part; backward has the output and the gradient by it.
pub fn rowwise(
    py: Python<'_>,
    name: &str,
    op: Op,
    (scale, zero_empty): (f64, bool),
    masked: bool,
) -> PyResult<Py<PyAny>> {
    let known = kernels::get_rowwise(name).map_err(crate::error)?;
    let (name, doc) = (known.name(), known.meta().formula);
    let rows = kernels::rows(&known, scale, zero_empty).map_err(crate::error)?;
    let (values, operands) = (vec![scale, f64::from(zero_empty)], vec![0; masked.into()]);
    let spec = Spec { name: name.to_owned(), op, values, operands };
    let parts = |loops, kinds, signature| Parts {
        spec,
        loops,
        kinds,
        outputs: 1,
        signature: Some(signature),
        doc,
    };
    let (float, bool) = (Kind::Float, Kind::Bool);
    match (op, masked) {
        (Op::Forward, false) => {
            make(py, rows, parts(loops!(row_map), vec![float, float], c"(n)->(n)"))
        }
        (Op::Forward, true) => {
            make(py, rows, parts(loops!(row_masked), vec![float, bool, float], c"(n),(n)->(n)"))
        }
        (Op::FromOutput, false) => {
            make(py, rows, parts(loops!(row_back), vec![float; 3], c"(n),(n)->(n)"))
        }
        _ => Err(PyValueError::new_err(format!("`{name}` has no {}", op.name()))),
    }
}

/// A ufunc whose loops panic, to test that none crosses into NumPy.
#[pyfunction]
pub fn _panicking(py: Python<'_>) -> PyResult<Py<PyAny>> {
    struct Panics;
    impl Kernel<1, 1> for Panics {
        type Data = ();
        fn apart<T: Element>((): &(), _: &Exec, [x]: [&[T]; 1], _: [&mut [T]; 1]) {
            panic!("{} elements were too many", x.len());
        }
    }
    let spec =
        Spec { name: "panicking".to_owned(), op: Op::Forward, values: vec![], operands: vec![] };
    let (loops, kinds) = (loops!(map, Panics), vec![Kind::Float; 2]);
    make(py, (), Parts { spec, loops, kinds, outputs: 1, signature: None, doc: "" })
}

/// Runs a loop, with what goes wrong as a Python error.
///
/// NumPy reads the floating-point flags after a loop and warns of what they say. Every entry of the
/// library leaves them as they were, and what is done here besides copies numbers and compares them.
fn guarded(work: impl FnOnce() -> Result<(), kernels::Error>) {
    let done = catch_unwind(AssertUnwindSafe(work));
    let (panicked, text) = match done {
        Ok(Ok(())) => return,
        Ok(Err(error)) => (false, error.to_string()),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
            (true, format!("nonlin failed: {said}; please report this"))
        }
    };
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    // SAFETY: the thread takes the GIL for the calls in between and gives back what it had. PyO3
    // cannot do it: where a call came through one of its methods it takes the GIL for held, but
    // NumPy has released it. The kind of error is one of the interpreter's own.
    unsafe {
        let state = ffi::PyGILState_Ensure();
        // NumPy goes on with the next stretch of a buffered call; the first error is the one to
        // report.
        if ffi::PyErr_Occurred().is_null() {
            let kind = if panicked { ffi::PyExc_RuntimeError } else { ffi::PyExc_ValueError };
            ffi::PyErr_SetString(kind, text.as_ptr());
        }
        ffi::PyGILState_Release(state);
    }
}

/// The operands of a call of a loop, inputs first.
///
/// # Safety
/// `args` and `steps` must have N entries.
unsafe fn operands<T, const N: usize>(
    args: *mut *mut c_char,
    steps: *mut npy_intp,
) -> [Operand<T>; N] {
    // SAFETY: NumPy passes as many entries as the ufunc has operands and results.
    std::array::from_fn(|i| unsafe { Operand::new(*args.add(i), *steps.add(i)) })
}

/// Defines the loop of a kernel with so many operands and results, for one function and for
/// functions with parameters per element.
macro_rules! elementwise_loop {
    ($name:ident, $parametric:ident, $inputs:literal, $outputs:literal) => {
        elementwise_loop!($name, $inputs, $outputs);

        unsafe extern "C" fn $parametric<T: Element, K>(
            args: *mut *mut c_char,
            dimensions: *mut npy_intp,
            steps: *mut npy_intp,
            data: *mut c_void,
        ) where
            K: Kernel<$inputs, $outputs, Data = Function>,
        {
            guarded(|| {
                // SAFETY: NumPy passes a length, and one pointer and stride for each operand,
                // parameter and result, which the loop's types say are aligned elements of T; the
                // data is what `elementwise` gave to `make`. What NumPy lets overlap, it does so
                // that reading element i before writing it is right.
                unsafe {
                    let data = &*data.cast::<Parametric>();
                    let x = operands::<T, $inputs>(args, steps);
                    let p: Vec<Operand<T>> = (0..data.arrays.len())
                        .map(|i| Operand::new(*args.add($inputs + i), *steps.add($inputs + i)))
                        .collect();
                    let rest = $inputs + p.len();
                    let y = operands::<T, $outputs>(args.add(rest), steps.add(rest));
                    apply_parametric::<T, K, $inputs, $outputs>(
                        data,
                        *dimensions as usize,
                        x,
                        &p,
                        y,
                    )
                }
            });
        }
    };
    ($name:ident, $inputs:literal, $outputs:literal) => {
        unsafe extern "C" fn $name<T: Element, K: Kernel<$inputs, $outputs>>(
            args: *mut *mut c_char,
            dimensions: *mut npy_intp,
            steps: *mut npy_intp,
            data: *mut c_void,
        ) {
            guarded(|| {
                // SAFETY: NumPy passes a length, and one pointer and stride for each operand and
                // result, which the loop's types say are aligned elements of T; the data is what
                // was given to `make`. What NumPy lets overlap, it does so that reading element
                // i before writing it is right.
                unsafe {
                    let data = &*data.cast::<K::Data>();
                    let x = operands::<T, $inputs>(args, steps);
                    let y = operands::<T, $outputs>(args.add($inputs), steps.add($inputs));
                    apply::<T, K, $inputs, $outputs>(data, *dimensions as usize, x, y);
                }
                Ok(())
            });
        }
    };
}

elementwise_loop!(map, map_parametric, 1, 1);
elementwise_loop!(zip, zip_parametric, 2, 1);
elementwise_loop!(zip_three, 3, 2);

/// One operand of a loop.
#[derive(Clone, Copy)]
struct Operand<T> {
    start: *mut T,
    /// In bytes.
    stride: isize,
}

impl<T> Operand<T> {
    fn new(start: *mut c_char, stride: npy_intp) -> Self {
        Operand { start: start.cast(), stride }
    }

    fn at(&self, i: usize) -> *mut T {
        self.start.wrapping_byte_offset((i as isize).wrapping_mul(self.stride))
    }

    /// From element `i` on.
    fn from(&self, i: usize) -> Self {
        Operand { start: self.at(i), ..*self }
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

/// Operands that other threads may have.
#[derive(Clone, Copy)]
struct Shared<T, const N: usize>([Operand<T>; N]);

// SAFETY: pointers; who makes slices of them says why those are sound.
unsafe impl<T: Send, const N: usize> Send for Shared<T, N> {}
// SAFETY: the pointers themselves are only read.
unsafe impl<T: Sync, const N: usize> Sync for Shared<T, N> {}

impl<T: Copy, const N: usize> Shared<T, N> {
    /// The operands, by a method so that closures take all of `self`.
    fn all(&self) -> [Operand<T>; N] {
        self.0
    }
}

/// Calls the kernel for `n` elements.
///
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
    if x.iter().chain(&y).all(Operand::contiguous) {
        let clear = |x: &[Operand<T>]| {
            let alone = |k: usize| (0..k).all(|j| y[j].apart(&y[k], n));
            (0..O).all(|k| alone(k) && x.iter().all(|x| x.apart(&y[k], n)))
        };
        let (from, to) = (Shared(x), Shared(y));
        if clear(&x) {
            return threads::run(n, |exec| {
                // SAFETY: contiguous operands of `n` elements; results overlap nothing.
                unsafe {
                    let x = from.all().map(|o| from_raw_parts(o.start.cast_const(), n));
                    let y = to.all().map(|o| from_raw_parts_mut(o.start, n));
                    K::apart(data, exec, x, y);
                }
            });
        }
        if O == 1 && x[I - 1].start == y[0].start && clear(&x[..I - 1]) {
            let done = AtomicBool::new(false);
            threads::run(n, |exec| {
                // SAFETY: contiguous operands of `n` elements; the result overlaps only the last
                // operand, of which no slice with elements is made.
                let there = unsafe {
                    let x = from.all();
                    let x: [&[T]; I] = std::array::from_fn(|i| {
                        from_raw_parts(x[i].start.cast_const(), if i < I - 1 { n } else { 0 })
                    });
                    K::onto(data, exec, x, from_raw_parts_mut(to.all()[0].start, n))
                };
                done.store(there, Ordering::Relaxed);
            });
            if done.into_inner() {
                return;
            }
        }
    }
    let exec = Exec::new();
    let mut from = [[T::default(); GATHER]; I];
    let mut to = [[T::default(); GATHER]; O];
    for start in (0..n).step_by(GATHER) {
        let m = GATHER.min(n - start);
        for (buffer, o) in from.iter_mut().zip(&x) {
            // SAFETY: the `m` elements from `start` on are some of the `n` of the operand.
            unsafe { gather(&o.from(start), &mut buffer[..m]) }
        }
        let gathered: [&[T]; I] = std::array::from_fn(|i| &from[i][..m]);
        K::apart(data, &exec, gathered, to.each_mut().map(|b| &mut b[..m]));
        for (buffer, o) in to.iter().zip(&y) {
            // SAFETY: the `m` elements from `start` on are some of the `n` of the result, which
            // is writable.
            unsafe { scatter(&buffer[..m], &o.from(start)) }
        }
    }
}

/// # Safety
/// The operand must have as many elements as the buffer.
unsafe fn gather<T: Copy>(o: &Operand<T>, buffer: &mut [T]) {
    for (i, v) in buffer.iter_mut().enumerate() {
        // SAFETY: `i` is below the number of elements.
        *v = unsafe { o.at(i).read() };
    }
}

/// # Safety
/// The operand must have as many elements as the buffer, and be writable.
unsafe fn scatter<T: Copy>(buffer: &[T], o: &Operand<T>) {
    for (i, v) in buffer.iter().enumerate() {
        // SAFETY: `i` is below the number of elements, which are writable.
        unsafe { o.at(i).write(*v) };
    }
}

/// A function some of whose parameters are operands.
struct Parametric {
    f: Function,
    /// Of all parameters; those in `arrays` are replaced.
    values: Vec<f64>,
    arrays: Vec<usize>,
}

/// Calls the kernel for each run of equal parameters.
///
/// # Safety
/// As of [`apply`]; the parameters in `p` have `n` aligned elements too.
unsafe fn apply_parametric<T, K, const I: usize, const O: usize>(
    data: &Parametric,
    n: usize,
    x: [Operand<T>; I],
    p: &[Operand<T>],
    y: [Operand<T>; O],
) -> Result<(), kernels::Error>
where
    T: Element,
    K: Kernel<I, O, Data = Function>,
{
    let mut values = data.values.clone();
    let mut last: Option<(Vec<f64>, Function)> = None;
    let mut start = 0;
    while start < n {
        for (o, &i) in p.iter().zip(&data.arrays) {
            // SAFETY: `start` is below `n`.
            values[i] = unsafe { o.at(start).read() }.to_f64();
        }
        let constant = p.iter().all(|o| o.stride == 0);
        let end = if constant {
            n
        } else {
            // SAFETY: `j` is below `n`.
            let same = |j: usize| unsafe {
                let equal = |(o, &i): (&Operand<T>, &usize)| {
                    o.at(j).read().to_f64().to_bits() == values[i].to_bits()
                };
                p.iter().zip(&data.arrays).all(equal)
            };
            (start + 1..n).find(|&j| !same(j)).unwrap_or(n)
        };
        if end - start < RUN && end < n && O == 1 && p.len() == 1 && values.len() == 1 {
            let m = GATHER.min(n - start);
            // SAFETY: the `m` elements from `start` on are some of the `n` of each operand.
            let done = unsafe {
                let (x, y) = (x.map(|o| o.from(start)), y[0].from(start));
                apply_each::<T, K, I, O>(&data.f, m, x, p[0].from(start), y)?
            };
            if done {
                start += m;
                continue;
            }
        }
        let known = last
            .as_ref()
            .is_some_and(|(v, _)| v.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()));
        if !known {
            last = Some((values.clone(), checked::<K, I, O>(&data.f, &values)?));
        }
        if let Some((_, f)) = &last {
            // SAFETY: the elements from `start` to `end` are some of the `n` of each operand; no
            // parameter of an element after them has been overwritten, since NumPy keeps results
            // apart from what is read later.
            unsafe {
                let (x, y) = (x.map(|o| o.from(start)), y.map(|o| o.from(start)));
                apply::<T, K, I, O>(f, end - start, x, y);
            }
        }
        start = end;
    }
    Ok(())
}

/// Elements of one value from which on it gets a call of its own where there is a kernel for a value
/// per element.
const RUN: usize = 64;

/// The function with other values, if they are within bounds.
fn checked<K, const I: usize, const O: usize>(
    f: &Function,
    values: &[f64],
) -> Result<Function, kernels::Error>
where
    K: Kernel<I, O, Data = Function>,
{
    let f = f.with_values(values)?;
    if K::FROM_OUTPUT {
        kernels::has_from_output(&f)?;
    }
    Ok(f)
}

/// Calls the kernel that takes a parameter for each of at most [`GATHER`] elements, if there is one.
///
/// # Safety
/// As of [`apply`], with one result; the parameter has `m` aligned elements too.
unsafe fn apply_each<T, K, const I: usize, const O: usize>(
    f: &Function,
    m: usize,
    x: [Operand<T>; I],
    weight: Operand<T>,
    y: Operand<T>,
) -> Result<bool, kernels::Error>
where
    T: Element,
    K: Kernel<I, O, Data = Function>,
{
    let mut from = [[T::default(); GATHER]; I];
    let (mut weights, mut to) = ([T::default(); GATHER], [T::default(); GATHER]);
    for (buffer, o) in from.iter_mut().zip(&x) {
        // SAFETY: the operand has `m` elements.
        unsafe { gather(o, &mut buffer[..m]) }
    }
    // SAFETY: the parameter has `m` elements.
    unsafe { gather(&weight, &mut weights[..m]) }
    let gathered: [&[T]; I] = std::array::from_fn(|i| &from[i][..m]);
    if !K::each(f, gathered, &weights[..m], &mut to[..m]) {
        return Ok(false);
    }
    for w in &weights[..m] {
        checked::<K, I, O>(f, &[w.to_f64()])?;
    }
    // SAFETY: the result has `m` elements, which are writable.
    unsafe { scatter(&to[..m], &y) }
    Ok(true)
}

/// What a row-wise loop computes from gathered or contiguous rows of `n` elements.
trait RowKernel<T: Element, B> {
    fn call(rows: &Rows, exec: &Exec, x: &[T], other: Option<&[B]>, n: usize, y: &mut [T]);
}

struct RowForward;
struct RowBackward;

/// Masks are bytes: those of an array of bool may be other than 0 and 1.
impl<T: Element> RowKernel<T, u8> for RowForward {
    fn call(rows: &Rows, exec: &Exec, x: &[T], keep: Option<&[u8]>, n: usize, y: &mut [T]) {
        let keep: Option<Vec<bool>> = keep.map(|k| k.iter().map(|&b| b != 0).collect());
        rows.forward(exec, x, keep.as_deref(), n, y);
    }
}

impl<T: Element> RowKernel<T, T> for RowBackward {
    fn call(rows: &Rows, exec: &Exec, y: &[T], g: Option<&[T]>, n: usize, dx: &mut [T]) {
        rows.backward(exec, y, g.unwrap_or(&[]), n, dx);
    }
}

/// Rows of an operand: the start, strides from row to row and within a row.
#[derive(Clone, Copy)]
struct Table<T> {
    rows: Operand<T>,
    within: isize,
}

impl<T> Table<T> {
    fn row(&self, r: usize) -> Operand<T> {
        Operand { start: self.rows.at(r), stride: self.within }
    }

    /// Whether `count` rows of `n` elements follow one another without a gap.
    fn contiguous(&self, count: usize, n: usize) -> bool {
        let size = size_of::<T>() as isize;
        (self.within == size || n == 1)
            && (count == 1 || self.rows.stride == size.wrapping_mul(n as isize))
    }

    /// Whether elements of different rows lie closer together than those of one.
    fn crosswise(&self) -> bool {
        self.rows.stride.unsigned_abs() < self.within.unsigned_abs()
    }
}

impl<T: Copy> Table<T> {
    /// # Safety
    /// The rows `first ..` must exist, as many as the buffer has of `n` elements.
    unsafe fn gather(&self, first: usize, n: usize, buffer: &mut [T]) {
        let count = buffer.len() / n;
        if self.crosswise() {
            for j in 0..n {
                for c in 0..count {
                    // SAFETY: element j of row `first + c`.
                    buffer[c * n + j] = unsafe { self.row(first + c).at(j).read() };
                }
            }
        } else {
            for (c, row) in buffer.chunks_exact_mut(n).enumerate() {
                // SAFETY: row `first + c` has `n` elements.
                unsafe { gather(&self.row(first + c), row) }
            }
        }
    }

    /// # Safety
    /// The rows `first ..` must exist and be writable, as many as the buffer has of `n` elements.
    unsafe fn scatter(&self, first: usize, n: usize, buffer: &[T]) {
        let count = buffer.len() / n;
        if self.crosswise() {
            for j in 0..n {
                for c in 0..count {
                    // SAFETY: element j of row `first + c`, which is writable.
                    unsafe { self.row(first + c).at(j).write(buffer[c * n + j]) };
                }
            }
        } else {
            for (c, row) in buffer.chunks_exact(n).enumerate() {
                // SAFETY: row `first + c` has `n` elements, which are writable.
                unsafe { scatter(row, &self.row(first + c)) }
            }
        }
    }
}

/// Calls the kernel for `count` rows of `n` elements.
///
/// # Safety
/// The tables must have that many aligned elements, those of `y` writable.
unsafe fn apply_rows<T: Element, B: Copy + Default + Sync + Send, K: RowKernel<T, B>>(
    rows: &Rows,
    (count, n): (usize, usize),
    x: Table<T>,
    other: Option<Table<B>>,
    y: Table<T>,
) {
    let Some(total) = count.checked_mul(n).filter(|&total| total > 0) else { return };
    let plain = x.contiguous(count, n)
        && y.contiguous(count, n)
        && other.is_none_or(|o| o.contiguous(count, n));
    if plain {
        let begin = |start: *mut T| Operand { start, stride: size_of::<T>() as isize };
        let bytes = |start: *mut B| {
            let start = start.addr();
            (start, start + total * size_of::<B>())
        };
        let (from, to) = (begin(x.rows.start), begin(y.rows.start));
        let (a, b) = to.span(total);
        let clear = from.apart(&to, total)
            && other.is_none_or(|o| {
                let (c, d) = bytes(o.rows.start);
                b <= c || d <= a
            });
        if clear {
            let (from, to) = (Shared([from]), Shared([to]));
            let beside = other.map(|o| Shared([o.rows]));
            return threads::run(total, |exec| {
                // SAFETY: contiguous operands of `total` elements; the result overlaps nothing.
                unsafe {
                    let [from] = from.all();
                    let [to] = to.all();
                    let x = from_raw_parts(from.start.cast_const(), total);
                    let y = from_raw_parts_mut(to.start, total);
                    let other =
                        beside.map(|o| from_raw_parts(o.all()[0].start.cast_const(), total));
                    K::call(rows, exec, x, other, n, y);
                }
            });
        }
    }
    let exec = Exec::new();
    let at_once = (ROW_GATHER / n).clamp(1, ROWS_AT_ONCE).min(count);
    let mut from = vec![T::default(); at_once * n];
    let mut to = vec![T::default(); at_once * n];
    let mut beside = other.map(|_| vec![B::default(); at_once * n]);
    for first in (0..count).step_by(at_once) {
        let m = at_once.min(count - first) * n;
        // SAFETY: the rows from `first` on, of which the buffers hold at most what is left, are
        // some of the `count` of each table; results are writable.
        unsafe {
            x.gather(first, n, &mut from[..m]);
            if let (Some(table), Some(buffer)) = (&other, &mut beside) {
                table.gather(first, n, &mut buffer[..m]);
            }
            let other = beside.as_ref().map(|b| &b[..m]);
            K::call(rows, &exec, &from[..m], other, n, &mut to[..m]);
            y.scatter(first, n, &to[..m]);
        }
    }
}

/// The length of rows, how many there are, and the tables, of a generalised ufunc's loop with so
/// many operands and results.
///
/// # Safety
/// `dimensions` must have 2 entries, `args` N, `steps` 2 N.
unsafe fn tables<const N: usize>(
    args: *mut *mut c_char,
    dimensions: *mut npy_intp,
    steps: *mut npy_intp,
) -> ((usize, usize), [Table<u8>; N]) {
    // SAFETY: as many entries as the signature says: strides from row to row first.
    unsafe {
        let tables = std::array::from_fn(|i| Table {
            rows: Operand::new(*args.add(i), *steps.add(i)),
            within: *steps.add(N + i),
        });
        ((*dimensions as usize, *dimensions.add(1) as usize), tables)
    }
}

impl Table<u8> {
    /// This memory as elements of another type.
    fn of<T>(self) -> Table<T> {
        let Operand { start, stride } = self.rows;
        Table { rows: Operand { start: start.cast(), stride }, within: self.within }
    }
}

unsafe extern "C" fn row_map<T: Element>(
    args: *mut *mut c_char,
    dimensions: *mut npy_intp,
    steps: *mut npy_intp,
    data: *mut c_void,
) {
    guarded(|| {
        // SAFETY: the signature `(n)->(n)` has one operand and one result of type T; the data is
        // what `rowwise` gave to `make`.
        unsafe {
            let (size, [x, y]) = tables(args, dimensions, steps);
            let none = None::<Table<u8>>;
            apply_rows::<T, u8, RowForward>(&*data.cast(), size, x.of(), none, y.of());
        }
        Ok(())
    });
}

unsafe extern "C" fn row_masked<T: Element>(
    args: *mut *mut c_char,
    dimensions: *mut npy_intp,
    steps: *mut npy_intp,
    data: *mut c_void,
) {
    guarded(|| {
        // SAFETY: the signature `(n),(n)->(n)` has an operand and a result of type T and a mask of
        // one byte per element; the data is what `rowwise` gave to `make`.
        unsafe {
            let (size, [x, keep, y]) = tables(args, dimensions, steps);
            apply_rows::<T, u8, RowForward>(&*data.cast(), size, x.of(), Some(keep), y.of());
        }
        Ok(())
    });
}

unsafe extern "C" fn row_back<T: Element>(
    args: *mut *mut c_char,
    dimensions: *mut npy_intp,
    steps: *mut npy_intp,
    data: *mut c_void,
) {
    guarded(|| {
        // SAFETY: the signature `(n),(n)->(n)` has two operands and a result of type T; the data
        // is what `rowwise` gave to `make`.
        unsafe {
            let (size, [x, g, y]) = tables(args, dimensions, steps);
            apply_rows::<T, T, RowBackward>(&*data.cast(), size, x.of(), Some(g.of()), y.of());
        }
        Ok(())
    });
}
