//! Calls of our own operators from Python by the shortest way: through PyTorch's dispatcher, so that
//! whatever looks at operators (modes, transforms, tracing, profilers) sees them, but not through the
//! parser of arguments in front of it, which takes longer than the kernel of a few elements.

use std::ffi::CString;
use std::sync::LazyLock;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyNotImplemented, PyTuple, PyType};

use super::calls::{RELEASE, owned, raised, wrapped};
use super::layout::count;
use super::operators::OPERATORS;
use super::schema::Kind;
use super::shim::{Handle, Owned, torch};

/// What of PyTorch is looked at in every call.
struct Known {
    tensor: Py<PyType>,
    /// Functions that tell whether something intercepts calls, transforms functions, or records a program.
    questions: [Py<PyAny>; 3],
    /// The module that knows the level of forward-mode differentiation.
    forward_ad: Py<PyAny>,
}

static KNOWN: PyOnceLock<Known> = PyOnceLock::new();

impl Known {
    fn get(py: Python<'_>) -> PyResult<&Self> {
        KNOWN.get_or_try_init(py, || {
            let tensor = py.import("torch")?.getattr("Tensor")?.cast_into::<PyType>()?.unbind();
            let internal = py.import("torch._C")?;
            let question = |name: &str| Ok::<_, PyErr>(internal.getattr(name)?.unbind());
            Ok(Known {
                tensor,
                questions: [
                    question("_is_torch_function_mode_enabled")?,
                    question("_are_functorch_transforms_active")?,
                    question("_is_tracing")?,
                ],
                forward_ad: py.import("torch.autograd.forward_ad")?.into_any().unbind(),
            })
        })
    }

    /// Whether nothing but the kernel is to run.
    fn plain(&self, py: Python<'_>) -> PyResult<bool> {
        for question in &self.questions {
            if question.bind(py).call0()?.is_truthy()? {
                return Ok(false);
            }
        }
        let level = self.forward_ad.bind(py).getattr(intern!(py, "_current_level"))?;
        Ok(level.extract::<i64>()? < 0)
    }
}

/// The names of our operators without an autograd formula, as PyTorch's dispatcher knows them; empty
/// for others.
static NAMES: LazyLock<Vec<CString>> = LazyLock::new(|| {
    let name = |o: &super::operators::Operator| match o.schema.namespace {
        "nonlin" => CString::new(format!("nonlin::_{}", o.schema.name)).unwrap_or_default(),
        _ => CString::default(),
    };
    OPERATORS.iter().map(name).collect()
});

/// Arguments that an operator can have here.
const ARGUMENTS: usize = 8;

/// Calls the operator of that index with plain arguments: tensors that are no subclass, and numbers,
/// which may be left out at the end. `None` stands for a call that is not so simple, or that fails:
/// PyTorch's own way of calling knows what to do, or to say. `NotImplemented` stands for a call that is
/// as simple, but of which a gradient is to be recorded.
#[pyfunction]
#[pyo3(signature = (index, *args))]
pub fn torch_call<'py>(
    py: Python<'py>,
    index: usize,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let torch = torch().map_err(raised)?;
    let (Some(operator), Some(name)) = (OPERATORS.get(index), NAMES.get(index)) else {
        return Err(PyRuntimeError::new_err(format!("there is no operator {index}")));
    };
    let parameters = &operator.schema.parameters;
    let n = parameters.len();
    if !torch.meets_python() || n > ARGUMENTS || args.len() > n {
        return Ok(None);
    }
    let known = Known::get(py)?;
    if !known.plain(py)? {
        return Ok(None);
    }
    let grad = torch.grad_is_enabled();
    let mut stack = [0; ARGUMENTS];
    let mut tensors = [const { None }; ARGUMENTS];
    let mut texts: [Option<PyBackedStr>; ARGUMENTS] = [const { None }; ARGUMENTS];
    let mut recorded = false;
    for (i, (p, object)) in parameters.iter().zip(args.iter_borrowed()).enumerate() {
        match p.kind {
            Kind::Tensor => {
                if !object.get_type().is(&known.tensor) {
                    return Ok(None);
                }
                if grad && !recorded {
                    recorded = object.getattr(intern!(py, "requires_grad"))?.is_truthy()?;
                }
                tensors[i] = Some(owned(torch, &object)?);
            }
            Kind::Float => match object.extract::<f64>() {
                Ok(number) => stack[i] = number.to_bits(),
                Err(_) => return Ok(None),
            },
            Kind::Int => match object.extract::<i64>() {
                Ok(number) => stack[i] = number as u64,
                Err(_) => return Ok(None),
            },
            Kind::Bool => match object.extract::<bool>() {
                Ok(truth) => stack[i] = u64::from(truth),
                Err(_) => return Ok(None),
            },
            Kind::Str => match object.extract() {
                Ok(text) => texts[i] = Some(text),
                Err(_) => return Ok(None),
            },
            Kind::Scalar | Kind::Dtype => return Ok(None),
        }
    }
    let mut long = false;
    let mut first = None;
    for tensor in tensors.iter().flatten() {
        let Ok(tensor) = torch.read(tensor) else { return Ok(None) };
        long |= count(tensor.sizes) >= RELEASE;
        let (sizes, dtype) = *first.get_or_insert((tensor.sizes, tensor.dtype));
        if dtype != tensor.dtype || operator.wants_one_size() && sizes != tensor.sizes {
            return Ok(None);
        }
    }
    for (place, p) in stack.iter_mut().zip(parameters).skip(args.len()) {
        match p.number {
            Some(number) if p.kind == Kind::Float => *place = number.to_bits(),
            _ => return Ok(None),
        }
    }
    if recorded {
        let here = tensors.iter().flatten().all(|tensor| torch.is_here(tensor));
        return Ok(here.then(|| PyNotImplemented::get(py).to_owned().into_any()));
    }
    for (place, text) in stack.iter_mut().zip(&texts) {
        if let Some(text) = text {
            let Some(handle) = torch.string(text) else { return Ok(None) };
            *place = handle as u64;
        }
    }
    for (place, tensor) in stack.iter_mut().zip(tensors) {
        if let Some(tensor) = tensor {
            *place = tensor.release().0 as u64;
        }
    }
    // SAFETY: the stack holds the arguments that the schema has, and no operator has more results
    // than arguments.
    let mut call = || unsafe { torch.call(name, &mut stack) };
    let done = if long { py.detach(call) } else { call() };
    if done.is_err() {
        return Ok(None);
    }
    // SAFETY: the operator has put as many new references as its schema has results, all of them
    // tensors.
    let result = |i: usize| unsafe { Owned::new(Handle(stack[i] as *mut _)) };
    match operator.schema.results {
        1 => wrapped(py, torch, &result(0)).map(Some),
        _ => {
            let both = (result(0), result(1));
            let both = (wrapped(py, torch, &both.0)?, wrapped(py, torch, &both.1)?);
            Ok(Some(both.into_pyobject(py)?.into_any()))
        }
    }
}
