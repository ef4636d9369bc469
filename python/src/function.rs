//! What Python has of each function: a ufunc, or an object around ufuncs where there are parameters.

use std::ffi::CString;
use std::sync::Mutex;

use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyAttributeError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::docs;
use crate::kernels::{self, AnyFunction, Op, Parameter};
use crate::ufunc::{self, Spec};

/// Ufuncs that a function keeps for values that calls have given.
const KEPT: usize = 64;

/// What calls of ufuncs may be told by name.
const UFUNC_WORDS: [&str; 8] =
    ["out", "where", "casting", "order", "dtype", "subok", "signature", "sig"];

// A function with parameters, or of a formula. It is called as a ufunc is, with the parameters by name
// besides, and has a ufunc's attributes. Docstrings, of the class and of each, come from `_formulas.py`.
#[pyclass(module = "nonlin", name = "Function", frozen, weakref)]
pub struct PyFunction {
    op: Op,
    /// With the values that hold unless a call gives others.
    f: AnyFunction,
    /// What `approximate` chooses from; empty where there is no such argument.
    forms: Vec<(&'static str, AnyFunction)>,
    /// Names of the parameters.
    names: Vec<Py<PyString>>,
    ufunc: Py<PyAny>,
    /// Ufuncs of other values, the one used last at the end.
    kept: Mutex<Vec<Kept>>,
    /// The gradient of this function.
    backward: PyOnceLock<Py<PyAny>>,
}

/// What sets the ufuncs of a function apart from one another.
#[derive(Clone, Copy, PartialEq)]
struct Key<'a> {
    form: usize,
    /// Bits of the values; of a parameter that is an operand, those of the value it replaces.
    values: &'a [u64],
    /// Which parameters are operands.
    arrays: &'a [usize],
}

/// A ufunc with its key.
struct Kept {
    form: usize,
    values: Vec<u64>,
    arrays: Vec<usize>,
    ufunc: Py<PyAny>,
}

impl Kept {
    fn key(&self) -> Key<'_> {
        Key { form: self.form, values: &self.values, arrays: &self.arrays }
    }
}

impl PyFunction {
    fn of(py: Python<'_>, f: AnyFunction, op: Op) -> PyResult<Self> {
        let doc = docs::bound(&f, op);
        Ok(PyFunction {
            op,
            forms: kernels::forms(&f),
            names: names(py, &f)?,
            ufunc: ufunc::of(py, &f, op, &[], &doc)?,
            f,
            kept: Mutex::new(vec![]),
            backward: PyOnceLock::new(),
        })
    }

    /// Whether a function of the catalogue needs an object: it has parameters or forms.
    fn needed(f: &AnyFunction) -> bool {
        !f.values().is_empty() || !kernels::forms(f).is_empty()
    }

    /// The ufunc of other values.
    fn other(&self, py: Python<'_>, key: Key<'_>) -> PyResult<Py<PyAny>> {
        let poisoned = || PyRuntimeError::new_err("a thread failed while it held this function");
        {
            let mut kept = self.kept.lock().map_err(|_| poisoned())?;
            if let Some(i) = kept.iter().rposition(|k| k.key() == key) {
                let last = kept.len() - 1;
                if i != last {
                    let entry = kept.remove(i);
                    kept.push(entry);
                }
                return Ok(kept[last].ufunc.clone_ref(py));
            }
        }
        let f = self.forms.get(key.form).map_or(&self.f, |(_, f)| f);
        let values: Vec<f64> = key.values.iter().map(|&v| f64::from_bits(v)).collect();
        let f = f.with_values(&values).map_err(crate::error)?;
        let doc = docs::bound(&f, self.op);
        let ufunc = ufunc::of(py, &f, self.op, key.arrays, &doc)?;
        let made = ufunc.clone_ref(py);
        let Key { form, values, arrays } = key;
        let new = Kept { form, values: values.to_vec(), arrays: arrays.to_vec(), ufunc };
        let mut kept = self.kept.lock().map_err(|_| poisoned())?;
        let oldest = if kept.len() == KEPT { Some(kept.remove(0)) } else { None };
        kept.push(new);
        drop(kept);
        // Its end runs NumPy's code, which must not find the lock taken.
        drop(oldest);
        Ok(made)
    }

    /// The form that `approximate` names.
    fn form(&self, given: &Bound<'_, PyAny>) -> PyResult<usize> {
        let named = given.cast::<PyString>().ok();
        let named = named.map(|n| n.to_cow()).transpose()?;
        if let Some(i) = self.forms.iter().position(|(n, _)| Some(*n) == named.as_deref()) {
            return Ok(i);
        }
        let known: Vec<String> = self.forms.iter().map(|(n, _)| format!("'{n}'")).collect();
        Err(PyValueError::new_err(format!(
            "`approximate` of `{}` is {}; it must be {}",
            self.f.name(),
            given.repr()?,
            known.join(" or "),
        )))
    }

    /// The keywords that are the ufunc's; an error if one is neither its nor a parameter's.
    fn rest<'py>(
        &self,
        py: Python<'py>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let rest = kwargs.copy()?;
        let form = (!self.forms.is_empty()).then(|| approximate(py));
        for name in self.names.iter().chain(form) {
            if rest.contains(name)? {
                rest.del_item(name)?;
            }
        }
        for (word, _) in &rest {
            let word = word.cast_into::<PyString>()?;
            let word = word.to_cow()?;
            if !UFUNC_WORDS.contains(&&*word) {
                return Err(self.unknown(&word));
            }
        }
        Ok(rest)
    }

    /// The error that names the parameters that there are.
    fn unknown(&self, word: &str) -> PyErr {
        if self.forms.is_empty() {
            return crate::error(self.f.unknown_parameter(word));
        }
        let params = self.f.params();
        let known: Vec<&str> = params.iter().map(|(p, _)| p.name).chain(["approximate"]).collect();
        PyTypeError::new_err(format!(
            "`{}` has no parameter `{word}`; it has {}",
            self.f.name(),
            known.join(", ")
        ))
    }

    /// The function with values by name, from a call such as `nonlin.Elu(alpha=0.5)`.
    fn rebound(&self, py: Python<'_>, params: Option<&Bound<'_, PyDict>>) -> PyResult<AnyFunction> {
        let mut f = self.f.clone();
        if let Some(params) = params {
            if let Some(form) = params.get_item("approximate")?.filter(|_| !self.forms.is_empty()) {
                f = self.forms[self.form(&form)?].1.clone();
            }
            let mut values = f.values().to_vec();
            for (word, value) in params {
                let word: String = word.extract()?;
                if word == "approximate" && !self.forms.is_empty() {
                    continue;
                }
                let at = self.f.params().iter().position(|(p, _)| p.name == word);
                let at = at.ok_or_else(|| self.unknown(&word))?;
                let number = scalar(&value);
                let word = &self.names[at];
                values[at] = match number.map_err(|e| self.not_a_number(py, word, &value, e))? {
                    Some(value) => value,
                    None => {
                        return Err(PyTypeError::new_err(format!(
                            "`{word}` of `{}` is an array; a bound function takes numbers: give \
                             arrays when calling it",
                            self.f.name()
                        )));
                    }
                };
            }
            f = f.with_values(&values).map_err(crate::error)?;
        }
        Ok(f)
    }
}

/// The names of the parameters, which must not be those that calls of ufuncs have for other things.
fn names(py: Python<'_>, f: &AnyFunction) -> PyResult<Vec<Py<PyString>>> {
    let name = |(p, _): &(Parameter<'_>, f64)| match p.name {
        word if UFUNC_WORDS.contains(&word) => Err(PyValueError::new_err(format!(
            "the parameter `{word}` of `{}` has the name of an argument of every ufunc; give it another",
            f.name()
        ))),
        word => Ok(PyString::intern(py, word).unbind()),
    };
    f.params().iter().map(name).collect()
}

/// The name of PyTorch's argument that chooses a form.
fn approximate(py: Python<'_>) -> &Py<PyString> {
    static NAME: PyOnceLock<Py<PyString>> = PyOnceLock::new();
    NAME.get_or_init(py, || PyString::intern(py, "approximate").unbind())
}

/// The number that a parameter is, or `None` if it is an array.
fn scalar(value: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    if let Ok(float) = value.cast_exact::<PyFloat>() {
        return Ok(Some(float.value()));
    }
    if value.is_instance_of::<PyInt>() {
        // Beyond f64 it is out of bounds, like infinity, of which the library tells.
        let beyond = || value.lt(0).map(|low| if low { f64::NEG_INFINITY } else { f64::INFINITY });
        return value.extract().or_else(|_| beyond()).map(Some);
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return Ok(None);
    }
    if let Ok(rank) = value.getattr("ndim") {
        if rank.extract::<i64>().is_ok_and(|rank| rank == 0) {
            return value.call_method0("__float__")?.extract().map(Some);
        }
        return Ok(None);
    }
    match value.extract::<f64>() {
        Ok(number) => Ok(Some(number)),
        Err(_) if value.hasattr("__array__")? || value.hasattr("__array_ufunc__")? => Ok(None),
        Err(error) => Err(error),
    }
}

#[pymethods]
impl PyFunction {
    /// The function of a formula, or of a name.
    #[new]
    #[pyo3(signature = (formula, /, **params))]
    fn new(
        py: Python<'_>,
        formula: &Bound<'_, PyAny>,
        params: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let Ok(text) = formula.cast::<PyString>() else {
            let text = format!("{} is no formula; it must be a str", formula.repr()?);
            return Err(PyTypeError::new_err(text));
        };
        let text = text.to_cow()?;
        if let Ok(rows) = kernels::get_rowwise(&text) {
            let text = format!("`{0}` is row-wise; nonlin.{0} has it", rows.name());
            return Err(PyTypeError::new_err(text));
        }
        let f = AnyFunction::parse(&text).map_err(crate::error)?;
        let made = PyFunction::of(py, f, Op::Forward)?;
        match params {
            None => Ok(made),
            Some(_) => PyFunction::of(py, made.rebound(py, params)?, Op::Forward),
        }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let operands = self.op.operands(self.f.operands());
        if args.len() != operands {
            return Err(PyTypeError::new_err(format!(
                "{}() takes {operands} positional argument{} and got {}; name what follows, as in \
                 out=y",
                self.f.name(),
                if operands == 1 { "" } else { "s" },
                args.len(),
            )));
        }
        let Some(kwargs) = kwargs else { return self.ufunc.bind(py).call1(args) };
        let (mut form, mut own) = (0, 0);
        if !self.forms.is_empty()
            && let Some(given) = kwargs.get_item(approximate(py))?
        {
            form = self.form(&given)?;
            own += 1;
        }
        // Without an allocation where there are few parameters: a call takes less than a microsecond.
        let (mut few, mut many) = ([0; 4], vec![]);
        let values = few.get_mut(..self.names.len()).unwrap_or_else(|| {
            many.resize(self.names.len(), 0);
            &mut many
        });
        let (mut arrays, mut operands) = (vec![], vec![]);
        for (i, (name, value)) in self.names.iter().zip(self.f.values()).enumerate() {
            values[i] = value.to_bits();
            let Some(given) = kwargs.get_item(name)? else { continue };
            own += 1;
            match scalar(&given).map_err(|e| self.not_a_number(py, name, &given, e))? {
                Some(number) => values[i] = number.to_bits(),
                None => {
                    arrays.push(i);
                    operands.push(given);
                }
            }
        }
        let other;
        let ufunc = if own == 0 {
            self.ufunc.bind(py)
        } else {
            other = self.other(py, Key { form, values, arrays: &arrays })?;
            other.bind(py)
        };
        let rest = if own == kwargs.len() { None } else { Some(self.rest(py, kwargs)?) };
        if operands.is_empty() {
            return ufunc.call(args, rest.as_ref());
        }
        let all: Vec<_> = args.iter().chain(operands).collect();
        ufunc.call(PyTuple::new(py, all)?, rest.as_ref())
    }

    fn __getattr__<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        let py = name.py();
        let text = name.to_cow()?;
        if let Some((_, v)) = self.f.params().iter().find(|(p, _)| *p.name == *text) {
            return Ok(PyFloat::new(py, *v).into_any());
        }
        match self.ufunc.bind(py).getattr(name) {
            Ok(found) => Ok(found),
            Err(_) => Err(PyAttributeError::new_err(format!(
                "`{}` has no attribute `{text}`, nor has a ufunc",
                self.f.name()
            ))),
        }
    }

    fn __dir__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let own = PyFunction::type_object(py).dir()?;
        for name in self.ufunc.bind(py).dir()? {
            if !own.contains(&name)? {
                own.append(name)?;
            }
        }
        for name in &self.names {
            own.append(name)?;
        }
        Ok(own.into_any().unbind())
    }

    /// The ufunc of the values that hold unless a call gives others.
    #[getter]
    fn ufunc(&self, py: Python<'_>) -> Py<PyAny> {
        self.ufunc.clone_ref(py)
    }

    /// The ufunc whose further operands are the parameters, in the order of `params`.
    #[getter]
    fn parametric(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.names.is_empty() {
            return Ok(self.ufunc(py));
        }
        let values: Vec<u64> = self.f.values().iter().map(|v| v.to_bits()).collect();
        let arrays: Vec<usize> = (0..self.names.len()).collect();
        self.other(py, Key { form: 0, values: &values, arrays: &arrays })
    }

    /// The values of the parameters, by name.
    #[getter]
    fn params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        for (p, v) in self.f.params() {
            all.set_item(p.name, v)?;
        }
        Ok(all)
    }

    /// The name of the function in the catalogue.
    #[getter]
    fn name(&self) -> &str {
        self.f.name()
    }

    /// What is computed of the function: "forward", "derivative" and so on.
    #[getter]
    fn operation(&self) -> &'static str {
        self.op.name()
    }

    // `nonlin/_formulas.py` makes `__doc__` of this, and `__signature__` of the next: those of the class are
    // other ones.
    #[getter]
    fn _doc(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("{}\n\n{}", self.call_line(py)?, docs::of(py, &self.f, self.op)?))
    }

    /// The signature that `inspect.signature` shows.
    #[getter]
    fn _signature<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let line = self.call_line(py)?;
        let arguments = &line[line.find('(').unwrap_or(0) + 1..line.len() - 1];
        let lambda = py.eval(&CString::new(format!("lambda {arguments}: None"))?, None, None)?;
        py.import("inspect")?.call_method1("signature", (lambda,))
    }

    /// This function with other values: `nonlin.elu.bind(alpha=0.5)`.
    #[pyo3(signature = (**params))]
    fn bind<'py>(
        &self,
        py: Python<'py>,
        params: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        made(py, self.rebound(py, params)?, self.op)
    }

    /// The gradient by the operands, which are followed by `g`: `g` times the derivative there.
    #[pyo3(signature = (*operands, **kwargs))]
    fn backward<'py>(
        &self,
        py: Python<'py>,
        operands: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        of(self.f.name(), self.op, Op::Backward)?;
        self.backward_function(py)?.call(operands, kwargs)
    }

    /// The function in another language, as `nonlin.export` has it.
    #[pyo3(signature = (target, /, *, name = None))]
    fn export<'py>(
        &self,
        py: Python<'py>,
        target: &str,
        name: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.op != Op::Forward {
            return Err(PyTypeError::new_err(format!(
                "export is of the function `{}`, not of its {}",
                self.f.name(),
                self.op.name().replace('_', " ")
            )));
        }
        crate::export::written(py, &self.f, target, name, None)
    }

    /// The gradient by `x` from the output `y`, for functions whose output determines it.
    #[pyo3(signature = (y, g, /, **kwargs))]
    fn backward_from_output<'py>(
        &self,
        py: Python<'py>,
        y: &Bound<'py, PyAny>,
        g: &Bound<'py, PyAny>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        of(self.f.name(), self.op, Op::FromOutput)?;
        let made = Py::new(py, PyFunction::of(py, self.f.clone(), Op::FromOutput)?)?;
        made.bind(py).as_any().call((y, g), kwargs)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let bound = constructor(py, &self.f)?;
        Ok(match self.op {
            Op::Forward => bound,
            Op::Derivative => format!("nonlin.derivative({bound})"),
            Op::Second => format!("nonlin.derivative({bound}, order=2)"),
            op => format!("<{} of {bound}>", op.name()),
        })
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<PyFunction>().is_ok_and(|o| {
            let o = o.get();
            self.op == o.op && self.f == o.f
        })
    }

    fn __hash__(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (self.f.text(), self.op).hash(&mut hasher);
        for v in self.f.values() {
            // Equal numbers have one hash: 0.0 and -0.0 are equal.
            (v + 0.0).to_bits().hash(&mut hasher);
        }
        hasher.finish()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        // What the module has is found there by its name.
        if this.op == Op::Forward && this.listed() && this.f.is_default() {
            let name = this.f.name();
            if object(py, name, Op::Forward)?.is(slf) {
                return Ok(PyString::new(py, name).into_any());
            }
        }
        let values = this.f.values().to_vec();
        let build = py.import("nonlin._nonlin")?.getattr("rebuild")?;
        let arguments = (this.f.text(), this.op.name(), values, None::<Vec<usize>>);
        (build, arguments).into_pyobject(py).map(Bound::into_any)
    }
}

impl PyFunction {
    /// Whether the module has an object of this class for the function.
    fn listed(&self) -> bool {
        listed(&self.f)
    }

    fn call_line(&self, py: Python<'_>) -> PyResult<String> {
        docs::call_line(py, &self.f, self.op, !self.forms.is_empty())
    }

    /// The function of the gradient.
    fn backward_function<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let made = self.backward.get_or_try_init(py, || {
            let made = PyFunction::of(py, self.f.clone(), Op::Backward)?;
            Ok::<_, PyErr>(Py::new(py, made)?.into_any())
        })?;
        Ok(made.bind(py).clone())
    }

    /// The error for a parameter that is neither a number nor an array.
    fn not_a_number(
        &self,
        py: Python<'_>,
        name: &Py<PyString>,
        given: &Bound<'_, PyAny>,
        error: PyErr,
    ) -> PyErr {
        not_a_number(py, &name.to_string(), self.f.name(), given, error)
    }
}

/// The error for a parameter of that name, of that function, that is neither a number nor an array.
fn not_a_number(
    py: Python<'_>,
    name: &str,
    function: &str,
    given: &Bound<'_, PyAny>,
    error: PyErr,
) -> PyErr {
    if !error.is_instance_of::<PyTypeError>(py) {
        return error;
    }
    let kind = given.get_type().name().map(|n| n.to_string()).unwrap_or_default();
    PyTypeError::new_err(format!(
        "`{name}` of `{function}` must be a number or an array of numbers, not {kind}"
    ))
}

/// Whether the module has an object of this class for a function.
fn listed(f: &AnyFunction) -> bool {
    matches!(f, AnyFunction::Elementwise(_)) && PyFunction::needed(f) && !f.is_formula()
}

/// The call that makes a function.
pub fn constructor(py: Python<'_>, f: &AnyFunction) -> PyResult<String> {
    let mut words = vec![];
    if !listed(f) {
        words.push(PyString::new(py, f.text()).repr()?.to_string());
    }
    for (p, v) in f.params() {
        words.push(format!("{}={}", p.name, PyFloat::new(py, v).repr()?));
    }
    let maker = if listed(f) { camel(f.name()) } else { "Function".to_owned() };
    Ok(format!("nonlin.{maker}({})", words.join(", ")))
}

/// The name in camel case: `leaky_relu` is `LeakyRelu`.
pub fn camel(name: &str) -> String {
    name.split('_')
        .flat_map(|part| {
            let mut letters = part.chars();
            letters.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect()
}

/// What there is one of: everything with default parameters, by name and operation.
static MADE: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// The object for a function and an operation, at default parameters.
fn object<'py>(py: Python<'py>, name: &str, op: Op) -> PyResult<Bound<'py, PyAny>> {
    let made = MADE.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    let key = (name, op.name()).into_pyobject(py)?;
    if let Some(found) = made.get_item(&key)? {
        return Ok(found);
    }
    let f = match kernels::get(name) {
        Ok(f) if f.name() == name => AnyFunction::from(f),
        _ => kernels::get_gated(name).map_err(crate::error)?.into(),
    };
    let object = if PyFunction::needed(&f) {
        Bound::new(py, PyFunction::of(py, f, op)?)?.into_any()
    } else {
        let doc = docs::of(py, &f, op)?;
        ufunc::of(py, &f, op, &[], &doc)?.into_bound(py)
    };
    // Another thread may have been faster; its object is the one that stays.
    made.call_method1("setdefault", (key, object))
}

/// The object for a function and an operation: that of the module, where it has one.
fn made<'py>(py: Python<'py>, f: AnyFunction, op: Op) -> PyResult<Bound<'py, PyAny>> {
    if f.is_default() && listed(&f) {
        return object(py, f.name(), op);
    }
    Ok(Bound::new(py, PyFunction::of(py, f, op)?)?.into_any())
}

/// Adds every elementwise and gated function to the module, by name, and the names by kind.
pub fn fill(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let (names, functions) = (PyDict::new(m.py()), PyDict::new(m.py()));
    let elementwise: Vec<_> = kernels::elementwise().map(|f| f.name().to_owned()).collect();
    let gated: Vec<_> = kernels::gated().map(|f| f.name().to_owned()).collect();
    for name in elementwise.iter().chain(&gated) {
        functions.set_item(name, object(m.py(), name, Op::Forward)?)?;
    }
    names.set_item("elementwise", elementwise)?;
    names.set_item("gated", gated)?;
    names.set_item("rowwise", kernels::rowwise().map(|f| f.name()).collect::<Vec<_>>())?;
    names.set_item("formula", kernels::formulas().collect::<Vec<_>>())?;
    m.add("NAMES", names)?;
    m.add("FUNCTIONS", functions)
}

/// The catalogue's name for `name`, and its kind: elementwise, gated, rowwise, or formula, by name or as
/// the text.
#[pyfunction]
pub fn lookup(name: &str) -> PyResult<(String, &'static str)> {
    if let Ok(f) = kernels::get(name) {
        return Ok((f.name().to_owned(), if f.is_recorded() { "formula" } else { "elementwise" }));
    }
    if let Ok(f) = kernels::get_gated(name) {
        return Ok((f.name().to_owned(), if f.is_recorded() { "formula" } else { "gated" }));
    }
    if let Ok(f) = kernels::get_rowwise(name) {
        return Ok((f.name().to_owned(), "rowwise"));
    }
    match AnyFunction::parse(name).map_err(crate::error)? {
        // One of the catalogue, however it is written.
        AnyFunction::Elementwise(f) if kernels::is_plain(&f) => {
            Ok((f.name().to_owned(), "elementwise"))
        }
        _ => Ok((name.to_owned(), "formula")),
    }
}

/// What the operation `op` of the operation `of` of a function is of the function itself.
fn of(name: &str, of: Op, op: Op) -> PyResult<Op> {
    match (of, op) {
        (Op::Forward, op) => Ok(op),
        (Op::Derivative, Op::Derivative) => Ok(Op::Second),
        _ => Err(PyTypeError::new_err(format!(
            "{} is of the function `{name}`, not of its {}",
            op.name().replace('_', " "),
            of.name().replace('_', " ")
        ))),
    }
}

/// Another operation of the function that an object of this module is of, by the operation's name.
#[pyfunction]
pub fn related<'py>(f: &Bound<'py, PyAny>, op: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = f.py();
    let op = Op::called(op).ok_or_else(|| PyValueError::new_err(format!("no operation `{op}`")))?;
    if let Ok(f) = f.cast::<PyFunction>() {
        let f = f.get();
        let op = of(f.f.name(), f.op, op)?;
        return if op == Op::Backward {
            f.backward_function(py)
        } else {
            made(py, f.f.clone(), op)
        };
    }
    let Some(spec) = ufunc::spec(f)? else {
        return Err(PyTypeError::new_err(format!("{} is no function of nonlin", f.repr()?)));
    };
    let op = of(&spec.name, spec.op, op)?;
    let f = rebuilt(&spec.name, &spec.values)?;
    if f.is_formula()
        || f.text() != f.name()
        || !spec.values.is_empty()
        || !spec.operands.is_empty()
    {
        let doc = docs::bound(&f, op);
        return Ok(ufunc::of(py, &f, op, &spec.operands, &doc)?.into_bound(py));
    }
    object(py, &spec.name, op)
}

/// The function of that text with these values of its parameters.
pub fn rebuilt(text: &str, values: &[f64]) -> PyResult<AnyFunction> {
    let f = AnyFunction::parse(text).map_err(crate::error)?;
    let count = f.values().len();
    if values.len() != count {
        let text = format!("`{text}` has {count} parameters, not {}", values.len());
        return Err(PyValueError::new_err(text));
    }
    f.with_values(values).map_err(crate::error)
}

/// What an object of this module was made from: name, operation, values, operands (`None` unless it
/// is a ufunc); `None` for other objects.
#[pyfunction]
#[allow(clippy::type_complexity, reason = "a tuple of Python")]
pub fn recipe(
    f: &Bound<'_, PyAny>,
) -> PyResult<Option<(String, &'static str, Vec<f64>, Option<Vec<usize>>)>> {
    if let Ok(f) = f.cast::<PyFunction>() {
        let f = f.get();
        let text = f.f.text().to_owned();
        return Ok(Some((text, f.op.name(), f.f.values().to_vec(), None)));
    }
    let spec = ufunc::spec(f)?;
    Ok(spec.map(|Spec { name, op, values, operands }| (name, op.name(), values, Some(operands))))
}

/// The object that [`recipe`] described.
#[pyfunction]
#[pyo3(signature = (name, op, values, operands))]
pub fn rebuild<'py>(
    py: Python<'py>,
    name: &str,
    op: &str,
    values: Vec<f64>,
    operands: Option<Vec<usize>>,
) -> PyResult<Bound<'py, PyAny>> {
    let op = Op::called(op).ok_or_else(|| PyValueError::new_err(format!("no operation `{op}`")))?;
    if kernels::get_rowwise(name).is_ok() {
        let [scale, zero_empty] = values[..] else {
            return Err(PyValueError::new_err(format!("`{name}` has two values")));
        };
        let masked = operands.is_some_and(|o| !o.is_empty());
        let made = ufunc::rowwise(py, name, op, (scale, zero_empty != 0.0), masked)?;
        return Ok(made.into_bound(py));
    }
    let f = rebuilt(name, &values)?;
    let Some(operands) = operands else { return made(py, f, op) };
    if let Some(i) = operands.iter().find(|&&i| i >= values.len()) {
        return Err(PyValueError::new_err(format!("`{name}` has no parameter {i}")));
    }
    if values.is_empty() && !f.is_formula() && f.text() == f.name() {
        return object(py, f.name(), op);
    }
    let doc = docs::bound(&f, op);
    Ok(ufunc::of(py, &f, op, &operands, &doc)?.into_bound(py))
}

/// The generalised ufunc of a row-wise function.
#[pyfunction]
pub fn row_ufunc(
    py: Python<'_>,
    name: &str,
    op: &str,
    scale: f64,
    zero_empty: bool,
    masked: bool,
) -> PyResult<Py<PyAny>> {
    let op = Op::called(op).ok_or_else(|| PyValueError::new_err(format!("no operation `{op}`")))?;
    ufunc::rowwise(py, name, op, (scale, zero_empty), masked)
}
