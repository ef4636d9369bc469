//! Docstrings in NumPy's style, and facts as Python values, from the definitions.

use nonlin::{Claims, Description, Parameter};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat};

use crate::function;
use crate::kernels::{self, AnyFunction, Function, GatedFunction, Op};

/// Letters of a line of a docstring.
const WIDTH: usize = 79;

/// `text` in lines that begin with `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![];
    let mut line = String::new();
    for word in text.split_whitespace() {
        let length = line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && indent.len() + length > WIDTH {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.iter().map(|l| format!("{indent}{l}\n")).collect()
}

fn heading(name: &str) -> String {
    format!("\n{name}\n{}\n", "-".repeat(name.len()))
}

/// A float as Python writes it.
fn number(py: Python<'_>, v: f64) -> PyResult<String> {
    Ok(PyFloat::new(py, v).repr()?.to_string())
}

fn numbers(py: Python<'_>, all: &[f64]) -> PyResult<String> {
    let all: PyResult<Vec<String>> = all.iter().map(|&v| number(py, v)).collect();
    Ok(format!("[{}]", all?.join(", ")))
}

/// A sentence: a capital letter first, a full stop at the end.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// What a ufunc with other values says.
pub fn bound(f: &AnyFunction, op: Op) -> String {
    let what = op.name().replace('_', " ");
    match f {
        AnyFunction::Elementwise(known) if !f.is_formula() => {
            format!("{what} of {known:?}; see nonlin.{}.", known.name())
        }
        _ => {
            let values: Vec<String> =
                f.params().iter().map(|(p, v)| format!("{} = {v:?}", p.name)).collect();
            let at = if values.is_empty() { "" } else { " at " };
            format!("{what} of {}{at}{}.", f.text(), values.join(", "))
        }
    }
}

/// What a function is called where its name must be one word.
fn word(f: &AnyFunction) -> &str {
    if f.is_formula() { "f" } else { f.name() }
}

/// The first line: name and arguments.
pub fn call_line(py: Python<'_>, f: &AnyFunction, op: Op, forms: bool) -> PyResult<String> {
    let params = f.params();
    let mut operands = match op {
        Op::FromOutput => vec!["y".to_owned()],
        _ if f.operands() == 2 => vec!["a".to_owned(), "b".to_owned()],
        _ => vec!["x".to_owned()],
    };
    if op.operands(0) == 1 {
        operands.push("g".to_owned());
    }
    for operand in &mut operands {
        // No name twice; that of an operand is never written.
        while params.iter().any(|(p, _)| *p.name == **operand) {
            operand.push('_');
        }
    }
    let mut words = vec![];
    let keyword = py.import("keyword")?.getattr("iskeyword")?;
    for (p, v) in params {
        // Python's own words are given as in `f(x, **{"lambda": 2})`.
        if !keyword.call1((p.name,))?.is_truthy()? {
            words.push(format!("{}={}, ", p.name, number(py, v)?));
        }
    }
    if forms {
        words.push("approximate='none', ".to_owned());
    }
    Ok(format!(
        "{}({}, /, *, {}out=None, where=True, casting='same_kind', order='K', dtype=None, subok=True)",
        word(f),
        operands.join(", "),
        words.concat()
    ))
}

/// The docstring of a function.
pub fn of(py: Python<'_>, f: &AnyFunction, op: Op) -> PyResult<String> {
    match f {
        AnyFunction::Elementwise(known) => elementwise(py, f, known, op),
        AnyFunction::Gated(known) => gated(py, f, known, op),
        AnyFunction::Formula(formula) => gated(py, f, formula.function(), op),
    }
}

/// How examples call a function, and the line before them that makes it.
fn called(py: Python<'_>, f: &AnyFunction) -> PyResult<(String, String)> {
    if f.is_default() && !f.is_formula() && f.text() == f.name() {
        return Ok((format!("nonlin.{}", f.name()), String::new()));
    }
    Ok(("f".to_owned(), format!(">>> f = {}\n", function::constructor(py, f)?)))
}

/// What is computed, with operands and result.
fn summary(name: &str, op: Op) -> (String, &'static str, String) {
    match op {
        Op::Forward => (String::new(), "x", format!("{name}(x)")),
        Op::Derivative => (format!("Derivative of `{name}`."), "x", format!("{name}'(x)")),
        Op::Second => (format!("Second derivative of `{name}`."), "x", format!("{name}''(x)")),
        Op::Backward => {
            (format!("Gradient of `{name}` by its input."), "x, g", format!("g * {name}'(x)"))
        }
        Op::FromOutput => (
            format!("Gradient of `{name}` by its input, from its output."),
            "y, g",
            format!("g * {name}'(x) where y = {name}(x)"),
        ),
    }
}

fn parameter(p: Parameter<'_>, value: String) -> String {
    let meaning = if p.doc.is_empty() { String::new() } else { sentence(p.doc) };
    let text = format!("{meaning} {}", sentence(&p.allowed().to_string()));
    format!("{} : float or array_like, default {value}\n{}", p.name, wrapped(&text, "    "))
}

/// Names elsewhere, source and advice.
fn about(meta: Description<'_>) -> String {
    let mut text = String::new();
    let mut said = |label: &str, what: String| {
        if !what.is_empty() {
            text += &wrapped(&format!("{label}{what}"), "");
            text += "\n";
        }
    };
    said("", if meta.use_when.is_empty() { String::new() } else { sentence(meta.use_when) });
    let avoid = if meta.avoid_when.is_empty() { String::new() } else { sentence(meta.avoid_when) };
    said("Not where: ", avoid);
    said("Also called ", meta.aliases.join(", "));
    let there: Vec<String> =
        [("PyTorch", meta.pytorch), ("JAX", meta.jax), ("Keras", meta.keras), ("ONNX", meta.onnx)]
            .iter()
            .filter(|(_, name)| !name.is_empty())
            .map(|(where_, name)| format!("{where_}: {name}"))
            .collect();
    said("", there.join("; "));
    said("Source: ", meta.source.to_owned());
    text
}

fn claims(py: Python<'_>, c: &Claims) -> PyResult<String> {
    let mut text = format!(
        "At default parameters: values in [{}, {}]; limits {} and {}; slopes there {} and {}",
        number(py, c.range.0)?,
        number(py, c.range.1)?,
        number(py, c.limits.0)?,
        number(py, c.limits.1)?,
        number(py, c.slope_limits.0)?,
        number(py, c.slope_limits.1)?,
    );
    if c.lipschitz.is_finite() {
        text += &format!("; no slope above {} in magnitude", number(py, c.lipschitz)?);
    }
    if let Some((x, y)) = c.minimum {
        text += &format!("; least at x = {}: {}", number(py, x)?, number(py, y)?);
    }
    for kink in c.kinks {
        let (at, chosen) = (number(py, kink.at)?, number(py, kink.chosen)?);
        text += &format!("; the derivative at x = {at} is taken as {chosen}");
    }
    text += &format!(
        ". Largest errors in units in the last place: float32 {} (derivative {}), float64 {} ({}), \
         float16 and bfloat16 0.501.",
        number(py, c.bounds.f32.0)?,
        number(py, c.bounds.f32.1)?,
        number(py, c.bounds.f64.0)?,
        number(py, c.bounds.f64.1)?,
    );
    Ok(wrapped(&text, ""))
}

const REST: &str = "out, where, casting, order, dtype, subok\n    As of every `numpy.ufunc`.\n";

/// What is said of a formula.
const OF_FORMULA: &str = "The formula is computed in this form, in which textbook forms that cancel or overflow \
     are replaced. Of its errors nothing is promised; `nonlin explain` measures them.";

/// The docstring of an elementwise function.
fn elementwise(py: Python<'_>, any: &AnyFunction, f: &Function, op: Op) -> PyResult<String> {
    let meta = f.meta();
    let (call, made) = called(py, any)?;
    let (what, operands, result) = summary(word(any), op);
    let mut doc = match op {
        Op::Forward => format!("`{}`, for each element x.\n", meta.formula),
        _ => format!("{what}\n\nThe function is `{}`.\n", meta.formula),
    };
    doc += &heading("Parameters");
    doc += &format!("{operands} : array_like\n");
    doc += &wrapped(
        "Of float16, float32, float64 or bfloat16; integers as of `numpy.sin`. Arrays of one shape, \
         or that broadcast to one.",
        "    ",
    );
    for (p, value) in f.params() {
        doc += &parameter(p, number(py, value)?);
    }
    let forms = kernels::forms(any);
    if !forms.is_empty() {
        let names: Vec<String> = forms.iter().map(|(n, _)| format!("'{n}'")).collect();
        doc += &format!("approximate : {{{}}}, default 'none'\n", names.join(", "));
        for (n, form) in &forms {
            doc += &wrapped(&format!("'{n}' is `{}`.", form.meta().formula), "    ");
        }
    }
    doc += REST;
    doc += &heading("Returns");
    doc += &format!("ndarray or scalar\n    {result}, rounded once to the type of the operands.\n");
    doc += &heading("Notes");
    if any.is_formula() {
        doc += &wrapped(OF_FORMULA, "");
    } else {
        doc += &about(meta);
        doc += &claims(py, f.claims())?;
    }
    doc += &heading("Examples");
    doc += &format!(">>> import nonlin\n{made}");
    let x = [-2.0, 0.5, 1.5];
    let given = numbers(py, &x)?;
    let g = "[1.0, 1.0, 2.0]";
    match op {
        Op::Forward => {
            doc += &format!(">>> {call}({given}).tolist()\n");
            doc += &format!("{}\n", numbers(py, &x.map(|v| f.value(v)))?);
            let slopes = numbers(py, &x.map(|v| f.slope(v)))?;
            doc += &format!(">>> nonlin.derivative({call})({given}).tolist()\n{slopes}\n");
            if let Some((p, value)) = f.params().next() {
                let word = format!("{}={}", p.name, number(py, value)?);
                doc += &format!(">>> {call}({given}, {word}).tolist()\n");
                doc += &format!("{}\n", numbers(py, &x.map(|v| f.value(v)))?);
            }
        }
        Op::Derivative | Op::Second => {
            let (order, y) = match op {
                Op::Second => (", order=2", x.map(|v| f.curvature(v))),
                _ => ("", x.map(|v| f.slope(v))),
            };
            doc += &format!(">>> nonlin.derivative({call}{order})({given}).tolist()\n");
            doc += &format!("{}\n", numbers(py, &y)?);
        }
        Op::Backward => {
            let y = [f.slope(x[0]), f.slope(x[1]), 2.0 * f.slope(x[2])];
            doc += &format!(">>> nonlin.vjp({call}, {given}, {g}).tolist()\n");
            doc += &format!("{}\n", numbers(py, &y)?);
        }
        Op::FromOutput => {
            doc += &format!(">>> y = {call}({given})\n");
            doc += &format!(">>> nonlin.backward_from_output({call}, y, {g}).shape\n(3,)\n");
        }
    }
    Ok(doc)
}

/// The docstring of a gated function.
fn gated(py: Python<'_>, any: &AnyFunction, f: &GatedFunction, op: Op) -> PyResult<String> {
    let meta = f.meta();
    let name = word(any);
    let (call, made) = called(py, any)?;
    let mut doc = match op {
        Op::Backward => format!(
            "Gradients of `{name}` by both inputs.\n\nThe function is `{}`.\n",
            meta.formula
        ),
        _ => format!("`{}`, for each element a and b.\n", meta.formula),
    };
    doc += &heading("Parameters");
    doc += if op == Op::Backward { "a, b, g : array_like\n" } else { "a, b : array_like\n" };
    doc += &wrapped(
        "Of float16, float32, float64 or bfloat16; integers as of `numpy.sin`. Arrays of one shape, \
         or that broadcast to one.",
        "    ",
    );
    for (p, value) in any.params() {
        // Its bounds are in the text.
        doc += &format!("{} : float, default {}\n", p.name, number(py, value)?);
    }
    doc += REST;
    doc += &heading("Returns");
    doc += match op {
        Op::Backward => "ndarray or scalar, twice\n    g times the derivatives by a and by b.\n",
        _ => "ndarray or scalar\n    The result, rounded once to the type of the operands.\n",
    };
    doc += &heading("Notes");
    doc += &if any.is_formula() { wrapped(OF_FORMULA, "") } else { about(meta) };
    doc += &heading("Examples");
    doc += &format!(">>> import nonlin\n{made}");
    let (a, b) = ([-2.0, 0.5, 1.5], [1.0, 2.0, -1.0]);
    let mut y = [0.0; 3];
    f.forward(&a, &b, &mut y);
    let (a, b) = (numbers(py, &a)?, numbers(py, &b)?);
    doc += &match op {
        Op::Backward => format!(
            ">>> da, db = nonlin.vjp({call}, {a}, {b}, [1.0, 1.0, 1.0])\n>>> da.shape\n(3,)\n"
        ),
        _ => format!(">>> {call}({a}, {b}).tolist()\n{}\n", numbers(py, &y)?),
    };
    Ok(doc)
}

/// Name, aliases, formula and so on of the function of that name in the catalogue, or of that formula.
#[pyfunction]
pub fn facts<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyDict>> {
    let all = PyDict::new(py);
    let params = PyDict::new(py);
    all.set_item("parameters", &params)?;
    let elementwise = kernels::elementwise().find(|f| f.name() == name);
    let gated = kernels::gated().find(|f| f.name() == name);
    let rowwise = kernels::rowwise().find(|f| f.name() == name);
    let formula;
    let meta = if let Some(f) = &elementwise {
        for (p, value) in f.params() {
            params.set_item(p.name, (value, p.low, p.high, p.doc, p.exact))?;
        }
        all.set_item("kind", "elementwise")?;
        let c = f.claims();
        all.set_item("range", c.range)?;
        all.set_item("limits", c.limits)?;
        all.set_item("slope_limits", c.slope_limits)?;
        all.set_item("lipschitz", c.lipschitz)?;
        all.set_item("monotone", c.monotone)?;
        all.set_item("minimum", c.minimum)?;
        let kinks: Vec<_> = c.kinks.iter().map(|k| (k.at, k.left, k.right, k.chosen)).collect();
        all.set_item("kinks", kinks)?;
        all.set_item("slope_zeros", c.slope_zeros.to_vec())?;
        all.set_item("float32_errors", c.bounds.f32)?;
        all.set_item("float64_errors", c.bounds.f64)?;
        f.meta()
    } else if let Some(f) = &gated {
        all.set_item("kind", "gated")?;
        f.meta()
    } else if let Some(f) = &rowwise {
        for (p, value) in f.params() {
            params.set_item(p.name, (value, p.low, p.high, p.doc, p.exact))?;
        }
        all.set_item("kind", "rowwise")?;
        f.meta()
    } else {
        formula = AnyFunction::parse(name).map_err(crate::error)?;
        if !formula.is_formula() {
            return facts(py, formula.name());
        }
        for (p, value) in formula.params() {
            params.set_item(p.name, (value, p.low, p.high, p.doc, p.exact))?;
        }
        all.set_item("kind", if formula.operands() == 2 { "gated" } else { "elementwise" })?;
        formula.meta()
    };
    all.set_item("name", meta.name)?;
    all.set_item("aliases", meta.aliases.to_vec())?;
    all.set_item("formula", meta.formula)?;
    all.set_item("source", meta.source)?;
    all.set_item("pytorch", meta.pytorch)?;
    all.set_item("jax", meta.jax)?;
    all.set_item("keras", meta.keras)?;
    all.set_item("onnx", meta.onnx)?;
    all.set_item("use_when", meta.use_when)?;
    all.set_item("avoid_when", meta.avoid_when)?;
    Ok(all)
}
