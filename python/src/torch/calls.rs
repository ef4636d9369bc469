//! How PyTorch calls operators: boxed, through its C interface, or through Python where a schema has
//! the type `Scalar`. What a kernel declines goes on to the one that PyTorch had before.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::operators::{OPERATORS, Operator, Outcome};
use super::schema::{Arguments, Kind, Value};
use super::shim::{Boxed, Dtype, Handle, Owned, Res, Stop, Torch, fail, panic_text, torch};

/// Elements from which on a call from Python lets other threads of Python run meanwhile.
pub const RELEASE: usize = 8192;

/// The kernels that PyTorch had before ours, by index of the operator.
#[derive(Default)]
pub struct Before {
    /// Their `call_boxed` methods.
    pub kernels: HashMap<usize, Py<PyAny>>,
    /// The first argument that these want.
    pub keys: Option<Py<PyAny>>,
}

static BEFORE: Mutex<Option<Arc<Before>>> = Mutex::new(None);

fn before() -> MutexGuard<'static, Option<Arc<Before>>> {
    BEFORE.lock().unwrap_or_else(|e| e.into_inner())
}

/// Says where calls go that ours decline. Never taken back: a call may be on its way.
pub fn set_before(kernels: Before) {
    *before() = Some(Arc::new(kernels));
}

/// Operators that there is room for.
const ROOM: usize = 1024;

/// The entry of an operator for PyTorch's boxed calls.
pub fn entry(operator: usize) -> Option<Boxed> {
    static ENTRIES: [[Boxed; 16]; ROOM / 16] = entries!(
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33
        34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
    );
    ENTRIES.get(operator / 16).map(|sixteen| sixteen[operator % 16])
}

macro_rules! entries {
    ($($i:literal)*) => {
        [$([
            boxed::<{ $i * 16 }>, boxed::<{ $i * 16 + 1 }>, boxed::<{ $i * 16 + 2 }>,
            boxed::<{ $i * 16 + 3 }>, boxed::<{ $i * 16 + 4 }>, boxed::<{ $i * 16 + 5 }>,
            boxed::<{ $i * 16 + 6 }>, boxed::<{ $i * 16 + 7 }>, boxed::<{ $i * 16 + 8 }>,
            boxed::<{ $i * 16 + 9 }>, boxed::<{ $i * 16 + 10 }>, boxed::<{ $i * 16 + 11 }>,
            boxed::<{ $i * 16 + 12 }>, boxed::<{ $i * 16 + 13 }>, boxed::<{ $i * 16 + 14 }>,
            boxed::<{ $i * 16 + 15 }>,
        ]),*]
    };
}
use entries;

/// What PyTorch calls for operator `OP`.
unsafe extern "C-unwind" fn boxed<const OP: usize>(stack: *mut u64, _: u64, _: u64) {
    // SAFETY: PyTorch passes the arguments of the operator's schema, and room for its results.
    let done = catch_unwind(AssertUnwindSafe(|| unsafe { called(OP, stack) }));
    let text = match done {
        Ok(Ok(())) => return,
        Ok(Err(text)) => text,
        Err(panic) => panic_text(&*panic),
    };
    if let Ok(torch) = torch() {
        torch.throw(&text);
    }
}

/// # Safety
/// `stack` must hold the arguments of the operator's schema, which become ours, and have room for
/// its results.
unsafe fn called(index: usize, stack: *mut u64) -> Result<(), String> {
    // SAFETY: `stack` holds the arguments of the schema of `OPERATORS[index]`, which become ours, and has
    // room for its results.
    let done = torch().and_then(|torch| unsafe { answer(torch, index, stack) });
    done.map_err(|stop| match stop {
        Stop::Fail(text) => text,
        Stop::Decline => "PyTorch's own kernel is not known".to_owned(),
    })
}

/// # Safety
/// `stack` must hold the arguments of the operator's schema, which become ours, and have room for
/// its results.
unsafe fn answer(torch: &Torch, index: usize, stack: *mut u64) -> Res<()> {
    let operator = &OPERATORS[index];
    // SAFETY: `stack` holds as many arguments, of the kinds that `operator`'s schema lists, and they are
    // ours.
    let arguments = unsafe { take(torch, operator, stack) }?;
    let results = match operator.run(torch, &arguments) {
        Ok(Outcome::New(y)) => [Some(y), None],
        Ok(Outcome::Two(y, z)) => [Some(y), Some(z)],
        Ok(Outcome::Argument(i)) => {
            let Arguments(mut values) = arguments;
            match values.swap_remove(i) {
                Value::Tensor(tensor) => [Some(tensor), None],
                other => return fail(format!("argument {i} is {other:?}, not a tensor")),
            }
        }
        Err(Stop::Decline) => Python::attach(|py| hand_on(py, torch, index, operator, &arguments))?,
        Err(stop) => return Err(stop),
    };
    for (i, result) in results.into_iter().flatten().enumerate() {
        // SAFETY: the stack has room for the results of the schema, which are as many.
        unsafe { stack.add(i).write(result.release().0 as u64) };
    }
    Ok(())
}

/// Takes the arguments from the stack.
///
/// # Safety
/// `stack` must hold the arguments of the operator's schema, which become ours.
unsafe fn take(torch: &Torch, operator: &Operator, stack: *mut u64) -> Res<Arguments> {
    let mut values = Vec::with_capacity(operator.schema.parameters.len());
    let mut wrong = None;
    for (i, p) in operator.schema.parameters.iter().enumerate() {
        // SAFETY: argument i of the schema is at i.
        let raw = unsafe { stack.add(i).read() };
        values.push(match p.kind {
            // SAFETY: tensors are passed as references that become the kernel's.
            Kind::Tensor => Value::Tensor(unsafe { Owned::new(Handle(raw as *mut c_void)) }),
            Kind::Float => Value::Float(f64::from_bits(raw)),
            Kind::Int => Value::Int(raw as i64),
            Kind::Bool => Value::Bool(raw as u8 != 0),
            Kind::Dtype => Value::Dtype(raw as i32),
            // SAFETY: texts are passed as handles that become the kernel's.
            Kind::Str => match unsafe { torch.text(raw as *mut c_void) } {
                Ok(text) => Value::Text(text),
                Err(stop) => {
                    // The arguments that follow must be taken over nonetheless.
                    wrong = Some(stop);
                    Value::Text(Cow::Borrowed(""))
                }
            },
            Kind::Scalar => {
                wrong = Some(Stop::Fail(format!(
                    "{}: PyTorch's C interface passes no Scalar",
                    operator.schema.name
                )));
                Value::Float(0.0)
            }
        });
    }
    match wrong {
        Some(stop) => Err(stop),
        None => Ok(Arguments(values)),
    }
}

/// Gives a call to the kernel that PyTorch had before.
fn hand_on(
    py: Python<'_>,
    torch: &Torch,
    index: usize,
    operator: &Operator,
    arguments: &Arguments,
) -> Res<[Option<Owned>; 2]> {
    let failed = |e: PyErr| Stop::Fail(e.value(py).to_string());
    let keywords = PyDict::new(py);
    let mut positional = Vec::new();
    for (p, value) in operator.schema.parameters.iter().zip(&arguments.0) {
        let object = object(py, torch, value).map_err(failed)?;
        if p.keyword {
            keywords.set_item(p.name, object).map_err(failed)?;
        } else {
            positional.push(object);
        }
    }
    let result = call_before(py, index, positional, Some(&keywords)).map_err(failed)?;
    if let Ok(both) = result.cast::<PyTuple>() {
        let at = |i: usize| both.get_item(i).and_then(|t| owned(torch, &t)).map_err(failed);
        return Ok([Some(at(0)?), Some(at(1)?)]);
    }
    Ok([Some(owned(torch, &result).map_err(failed)?), None])
}

/// Calls the kernel that PyTorch had before.
fn call_before<'py>(
    py: Python<'py>,
    index: usize,
    mut positional: Vec<Bound<'py, PyAny>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    // The lock is let go before Python runs.
    let kernels = before().clone();
    let known = kernels.as_deref().and_then(|b| Some((b.kernels.get(&index)?, b.keys.as_ref()?)));
    let Some((kernel, keys)) = known else {
        let name = &OPERATORS[index].schema.name;
        return Err(PyRuntimeError::new_err(format!("{name}: PyTorch's own kernel is not known")));
    };
    positional.insert(0, keys.bind(py).clone());
    kernel.bind(py).call(PyTuple::new(py, positional)?, keywords)
}

/// The Python object of an argument.
fn object<'py>(py: Python<'py>, torch: &Torch, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Tensor(tensor) => wrapped(py, torch, tensor)?,
        Value::Float(number) => number.into_pyobject(py)?.into_any(),
        Value::Int(number) => number.into_pyobject(py)?.into_any(),
        Value::Bool(truth) => truth.into_pyobject(py)?.to_owned().into_any(),
        Value::Text(text) => text.into_pyobject(py)?.into_any(),
        Value::Dtype(number) => {
            let name = match torch.dtype(*number) {
                Ok(Dtype::F32) => "float32",
                Ok(Dtype::F64) => "float64",
                Ok(Dtype::F16) => "float16",
                Ok(Dtype::Bf16) => "bfloat16",
                Err(_) => {
                    let text = format!("no floating-point type has the number {number}");
                    return Err(PyRuntimeError::new_err(text));
                }
            };
            py.import("torch")?.getattr(name)?
        }
    })
}

/// The exception for what stops an operator.
pub fn raised(stop: Stop) -> PyErr {
    match stop {
        Stop::Fail(text) => PyRuntimeError::new_err(text),
        Stop::Decline => PyRuntimeError::new_err("PyTorch's own kernel is not known"),
    }
}

/// The Python object of a tensor.
pub fn wrapped<'py>(py: Python<'py>, torch: &Torch, tensor: &Owned) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: `py` is the proof that the thread holds the GIL.
    if let Some(object) = unsafe { torch.to_python(tensor) } {
        // SAFETY: on success PyTorch gives a new reference to an object.
        return unsafe { Bound::from_owned_ptr_or_err(py, object.map_err(raised)?.cast()) };
    }
    // Before 2.14: a function of PyTorch's own compiler, which takes the reference over.
    let reference = torch.again(tensor).map_err(raised)?;
    // SAFETY: a capsule without name and destructor around a pointer that is not null.
    let capsule = unsafe {
        let new = pyo3::ffi::PyCapsule_New(reference.handle().0, std::ptr::null(), None);
        Bound::from_owned_ptr_or_err(py, new)?
    };
    let tools = py.import("torch._C")?.getattr("_aoti")?;
    let made = tools.call_method1("alloc_tensor_by_stealing_from_void_ptr", (capsule,))?;
    // PyTorch has taken it.
    reference.release();
    Ok(made)
}

/// A reference to the tensor of a Python object.
pub fn owned(torch: &Torch, object: &Bound<'_, PyAny>) -> PyResult<Owned> {
    // SAFETY: a bound object is valid, and the proof that the thread holds the GIL.
    if let Some(tensor) = unsafe { torch.tensor_of(object.as_ptr().cast()) } {
        return tensor.map_err(raised);
    }
    let tools = object.py().import("torch._C")?.getattr("_aoti")?;
    let capsule = tools.call_method1("unsafe_alloc_void_ptr_from_tensor", (object,))?;
    // SAFETY: the function returns a capsule without name around a new reference.
    unsafe {
        let pointer = pyo3::ffi::PyCapsule_GetPointer(capsule.as_ptr(), std::ptr::null());
        if pointer.is_null() {
            return Err(PyErr::fetch(object.py()));
        }
        Ok(Owned::new(Handle(pointer)))
    }
}

/// An operator as PyTorch calls it through Python: those with arguments of the type `Scalar`.
#[pyclass(frozen, module = "nonlin._nonlin")]
pub struct TorchKernel {
    pub index: usize,
}

#[pymethods]
impl TorchKernel {
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let torch = torch().map_err(raised)?;
        let operator = &OPERATORS[self.index];
        let outcome = match arguments(torch, operator, args, kwargs)? {
            Some(arguments) => {
                let long = arguments.0.iter().any(|v| match v {
                    Value::Tensor(t) => torch.numel(t) >= RELEASE,
                    _ => false,
                });
                let run = || catch_unwind(AssertUnwindSafe(|| operator.run(torch, &arguments)));
                let done = if long { py.detach(run) } else { run() };
                done.unwrap_or_else(|panic| fail(panic_text(&*panic)))
            }
            None => Err(Stop::Decline),
        };
        match outcome {
            Ok(Outcome::New(y)) => wrapped(py, torch, &y),
            Ok(Outcome::Two(y, z)) => {
                Ok((wrapped(py, torch, &y)?, wrapped(py, torch, &z)?).into_pyobject(py)?.into_any())
            }
            Ok(Outcome::Argument(i)) => {
                let name = operator.schema.parameters[i].name;
                match argument(args, kwargs, i, name)? {
                    Some(tensor) => Ok(tensor),
                    None => Err(PyTypeError::new_err(format!("`{name}` is missing"))),
                }
            }
            Err(Stop::Decline) => call_before(py, self.index, args.iter().collect(), kwargs),
            Err(Stop::Fail(text)) => Err(PyRuntimeError::new_err(text)),
        }
    }
}

/// Argument `i`, passed by position or by name.
fn argument<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    i: usize,
    name: &str,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if i < args.len() {
        return args.get_item(i).map(Some);
    }
    match kwargs {
        Some(kwargs) => kwargs.get_item(name),
        None => Ok(None),
    }
}

/// The arguments of a call from Python; `None` if a number is complex.
fn arguments<'py>(
    torch: &Torch,
    operator: &Operator,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Option<Arguments>> {
    let mut values = Vec::with_capacity(operator.schema.parameters.len());
    for (i, p) in operator.schema.parameters.iter().enumerate() {
        let Some(object) = argument(args, kwargs, i, p.name)? else {
            let missing = || PyTypeError::new_err(format!("`{}` is missing", p.name));
            let default = p.default.ok_or_else(missing)?;
            let number = || p.number.ok_or_else(missing);
            values.push(match p.kind {
                Kind::Scalar | Kind::Float => Value::Float(number()?),
                Kind::Int => Value::Int(number()? as i64),
                Kind::Str => Value::Text(Cow::Borrowed(default)),
                Kind::Bool | Kind::Tensor | Kind::Dtype => return Err(missing()),
            });
            continue;
        };
        values.push(match p.kind {
            // PyTorch's dispatcher passes tensors in main memory alone; this can also be called
            // by hand.
            Kind::Tensor => match owned(torch, &object)? {
                tensor if torch.is_here(&tensor) => Value::Tensor(tensor),
                _ => return Ok(None),
            },
            Kind::Scalar | Kind::Float => match object.extract() {
                Ok(number) => Value::Float(number),
                Err(_) => return Ok(None),
            },
            Kind::Int => Value::Int(object.extract()?),
            Kind::Bool => Value::Bool(object.extract()?),
            Kind::Str => Value::Text(Cow::Owned(object.extract()?)),
            Kind::Dtype => return Ok(None),
        });
    }
    Ok(Some(Arguments(values)))
}
