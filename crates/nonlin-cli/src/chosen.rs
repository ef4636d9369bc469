//! A function of any kind, looked up by name.

use anyhow::Result;
use nonlin::real::Dd;
use nonlin::{
    Claims, Description, Error, Exec, Formula, Function, Gate, GatedFunction, Mask, Parameter,
    RowFunction, Tier,
};

use crate::catalog;
use crate::input::Cell;

/// A function with its parameters.
#[derive(Clone, Debug)]
pub enum Chosen {
    /// A function of one number.
    Elementwise(Function),
    /// A function of a gate and a value.
    Gated(GatedFunction),
    /// A function of a row of numbers.
    Rows(Rows),
}

/// Softmax or log-softmax.
#[derive(Clone, Debug)]
pub struct Rows {
    softmax: RowFunction,
}

impl Chosen {
    /// The function called `name`, in the file of `--catalog` or in nonlin, or of that formula, with some parameters set.
    ///
    /// # Errors
    /// There is none, or it has no such parameter, or a value is out of bounds.
    pub fn new(name: &str, params: &[(String, f64)]) -> Result<Self> {
        let name = catalog::formula(name).unwrap_or(name);
        let mut chosen = match (nonlin::get(name), nonlin::gated(name), nonlin::rowwise(name)) {
            (Ok(f), ..) => Chosen::Elementwise(f),
            (_, Ok(f), _) => Chosen::Gated(f),
            (.., Ok(softmax)) => Chosen::Rows(Rows { softmax }),
            _ => match Formula::parse(name) {
                Ok(formula) if formula.is_gated() => Chosen::Gated(GatedFunction::parse(name)?),
                _ => Chosen::Elementwise(Function::parse(name)?),
            },
        };
        let params: Vec<(&str, f64)> = params.iter().map(|(name, v)| (name.as_str(), *v)).collect();
        chosen.set(&params)?;
        Ok(chosen)
    }

    /// All functions: elementwise, gated, row-wise.
    pub fn all() -> impl Iterator<Item = Self> {
        (nonlin::functions().iter().map(|&f| Chosen::Elementwise(f.clone())))
            .chain(nonlin::gated_functions().iter().map(|&f| Chosen::Gated(f.clone())))
            .chain(
                nonlin::rowwise_functions()
                    .iter()
                    .map(|&f| Chosen::Rows(Rows { softmax: f.clone() })),
            )
    }

    /// All functions of the catalogue that are formulas: elementwise, gated.
    pub fn formulas() -> impl Iterator<Item = Self> {
        let elementwise =
            nonlin::formulas().iter().map(|m| nonlin::get(m.name).map(Chosen::Elementwise));
        let gated =
            nonlin::gated_formulas().iter().map(|m| nonlin::gated(m.name).map(Chosen::Gated));
        elementwise.chain(gated).map(|f| f.expect("a formula of the catalogue"))
    }

    /// Sets parameters, all of them together.
    fn set(&mut self, params: &[(&str, f64)]) -> Result<(), Error> {
        match self {
            Chosen::Elementwise(f) => *f = f.with_params(params)?,
            Chosen::Gated(f) => *f = f.with_params(params)?,
            Chosen::Rows(rows) => rows.softmax = rows.softmax.with_params(params)?,
        }
        Ok(())
    }

    /// What computes it; rows have kernels of their own.
    #[must_use]
    pub fn tier(&self) -> Option<Tier> {
        match self {
            Chosen::Elementwise(f) => Some(f.tier()),
            Chosen::Gated(f) => Some(f.tier()),
            Chosen::Rows(_) => None,
        }
    }

    /// Names, formula, source, advice.
    #[must_use]
    pub fn meta(&self) -> Description<'_> {
        match self {
            Chosen::Elementwise(f) => f.meta(),
            Chosen::Gated(f) => f.meta(),
            Chosen::Rows(rows) => rows.softmax.meta(),
        }
    }

    /// `elementwise`, `gated` or `row-wise`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Chosen::Elementwise(_) => "elementwise",
            Chosen::Gated(_) => "gated",
            Chosen::Rows(_) => "row-wise",
        }
    }

    /// The parameters and their values.
    #[must_use]
    pub fn params(&self) -> Vec<(Parameter<'_>, f64)> {
        match self {
            Chosen::Elementwise(f) => f.params().collect(),
            Chosen::Gated(f) => f.params().collect(),
            Chosen::Rows(rows) => rows.softmax.params().collect(),
        }
    }

    /// Whether it is a formula, of which nothing is claimed.
    #[must_use]
    pub fn is_formula(&self) -> bool {
        match self {
            Chosen::Elementwise(f) => f.is_recorded(),
            Chosen::Gated(f) => f.is_recorded(),
            Chosen::Rows(_) => false,
        }
    }

    /// What is known of the function, if all parameters have their defaults.
    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        match self {
            Chosen::Elementwise(_) if self.is_formula() => None,
            Chosen::Elementwise(f) if f.params().all(|(p, v)| p.default == v) => Some(f.claims()),
            _ => None,
        }
    }

    /// The name of the function with the parameters that are not at their defaults: `elu(alpha=0.5)`.
    #[must_use]
    pub fn label(&self) -> String {
        let params = self.params();
        let changed = params.iter().filter(|(p, v)| p.default != *v);
        let changed: Vec<String> = changed.map(|(p, v)| format!("{}={v}", p.name)).collect();
        let name = self.meta().name;
        match changed.as_slice() {
            [] => name.to_owned(),
            changed if self.is_formula() => format!("{name} at {}", changed.join(", ")),
            changed => format!("{name}({})", changed.join(", ")),
        }
    }

    /// The section that curves show: `x`, or what stands for it where there are more arguments.
    #[must_use]
    pub fn section(&self) -> &'static str {
        match self {
            Chosen::Elementwise(_) => "x",
            Chosen::Gated(f) if f.gate() == Gate::First => "x, 1",
            Chosen::Gated(_) => "1, x",
            Chosen::Rows(_) => "[x, 0]",
        }
    }

    /// f along that section.
    #[must_use]
    pub fn value<T: Cell>(&self, x: T) -> T {
        let one = T::from_f64(1.0);
        let mut y = [T::default(); 2];
        match self {
            Chosen::Elementwise(f) => return f.value(x),
            Chosen::Gated(f) if f.gate() == Gate::First => f.forward(&[x], &[one], &mut y[..1]),
            Chosen::Gated(f) => f.forward(&[one], &[x], &mut y[..1]),
            Chosen::Rows(f) => {
                // A row of two is a shape of its own axis: it cannot fail.
                let _ = f.forward(&Exec::new(), &[x, T::default()], &[2], &mut y);
            }
        }
        y[0]
    }

    /// f′ along that section: by the gate, by the first element of the row.
    #[must_use]
    pub fn slope<T: Cell>(&self, x: T) -> T {
        let one = T::from_f64(1.0);
        let (mut a, mut b) = ([T::default(); 2], [T::default()]);
        match self {
            Chosen::Elementwise(f) => return f.slope(x),
            Chosen::Gated(f) if f.gate() == Gate::First => {
                f.backward(&[x], &[one], &[one], &mut a[..1], &mut b);
            }
            Chosen::Gated(f) => f.backward(&[one], &[x], &[one], &mut b, &mut a[..1]),
            Chosen::Rows(f) => {
                let (x, grad) = ([x, T::default()], [one, T::default()]);
                let _ = f.backward(&Exec::new(), &x, &grad, &[2], &mut a);
            }
        }
        a[0]
    }

    /// f and f′ along that section to about 30 digits, if there is such a reference.
    #[must_use]
    pub fn reference<T: Cell>(&self, x: T) -> Option<(Dd, Dd)> {
        let one = T::from_f64(1.0);
        match self {
            Chosen::Elementwise(f) => Some(f.reference(x)),
            Chosen::Gated(f) if f.gate() == Gate::First => {
                let (v, by_gate, _) = f.reference(x, one);
                Some((v, by_gate))
            }
            Chosen::Gated(f) => {
                let (v, _, by_gate) = f.reference(one, x);
                Some((v, by_gate))
            }
            Chosen::Rows(_) => None,
        }
    }
}

impl Rows {
    /// Sets what a row is of which nothing takes part.
    pub fn empty_rows(&mut self, empty: nonlin::EmptyRow) {
        self.softmax = self.softmax.empty_rows(empty);
    }

    /// The function itself.
    #[must_use]
    pub fn softmax(&self) -> &RowFunction {
        &self.softmax
    }

    /// Along the last axis but those of `shape` behind `axis` 1, or the only one.
    ///
    /// # Errors
    /// If `shape` does not fit.
    pub fn forward<T: Cell>(
        &self,
        exec: &Exec,
        x: &[T],
        shape: &[usize],
        y: &mut [T],
    ) -> Result<(), Error> {
        self.softmax.forward_with(exec, x, shape, axis(shape), Mask::new(), y)
    }

    /// The gradient by `x`.
    ///
    /// # Errors
    /// If `shape` does not fit.
    pub fn backward<T: Cell>(
        &self,
        exec: &Exec,
        x: &[T],
        grad: &[T],
        shape: &[usize],
        dx: &mut [T],
    ) -> Result<(), Error> {
        // The library takes the gradient from the output.
        let mut y = vec![T::default(); x.len()];
        self.forward(exec, x, shape, &mut y)?;
        self.backward_from_output(exec, &y, grad, shape, dx)
    }

    /// The gradient by `x`, from the output `y`.
    ///
    /// # Errors
    /// If `shape` does not fit.
    pub fn backward_from_output<T: Cell>(
        &self,
        exec: &Exec,
        y: &[T],
        grad: &[T],
        shape: &[usize],
        dx: &mut [T],
    ) -> Result<(), Error> {
        self.softmax.backward_with(exec, y, grad, shape, axis(shape), Mask::new(), dx)
    }
}

/// The axis of rows: the middle one of three, or the only one.
fn axis(shape: &[usize]) -> isize {
    isize::from(shape.len() == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found() {
        for (name, kind) in [("GELU", "elementwise"), ("SwiGLU", "gated"), ("softmax", "row-wise")]
        {
            assert_eq!(Chosen::new(name, &[]).unwrap().kind(), kind);
        }
        for chosen in Chosen::all() {
            assert_eq!(Chosen::new(chosen.meta().name, &[]).unwrap().meta(), chosen.meta());
        }
    }

    #[test]
    fn formulas_are_functions() {
        let new = |text: &str, params: &[(&str, f64)]| {
            let params: Vec<_> = params.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
            Chosen::new(text, &params)
        };
        // A built-in one however it is written.
        assert_eq!(new("x / (1 + exp(-x))", &[]).unwrap().label(), "silu");
        assert_eq!(new("b * a * sigmoid(a)", &[]).unwrap().label(), "swiglu");
        let text = "x * tanh(alpha * x); alpha = 1 in [0, 10]";
        let f = new(text, &[("alpha", 2.0)]).unwrap();
        assert_eq!((f.kind(), f.label()), ("elementwise", format!("{text} at alpha=2")));
        assert!(f.is_formula() && f.claims().is_none());
        assert_eq!(f.value(3.0f64), 3.0 * 6f64.tanh());
        assert_eq!(new(text, &[]).unwrap().label(), text);
        let g = new("a * tanh(k * b); k = 2", &[("k", 0.0)]).unwrap();
        assert_eq!((g.kind(), g.value(3.0f64), g.is_formula()), ("gated", 0.0, true));
        let error = |text: &str, params: &[(&str, f64)]| {
            new(text, params).map(|f| f.label()).unwrap_err().to_string()
        };
        assert!(error(text, &[("alpha", 11.0)]).contains("between 0 and 10"));
        assert!(error("a * tanh(k * b); k = 2", &[("q", 1.0)]).contains("it has k"));
        assert!(error("a * tanh(k * b); k = 2", &[("k", 1.0), ("k", 2.0)]).contains("twice"));
        assert!(error("x * tnah(x)", &[]).contains("did you mean `tanh`"));
        assert!(error("gellu", &[]).contains("did you mean `gelu`"));
    }

    #[test]
    fn parameters_are_checked() {
        let set = |name: &str, param: &str, value| {
            let chosen = Chosen::new(name, &[(param.to_owned(), value)]);
            chosen.map(|c| c.label()).map_err(|e| e.to_string())
        };
        assert_eq!(set("elu", "alpha", 0.5).unwrap(), "elu(alpha=0.5)");
        assert_eq!(set("elu", "alpha", 1.0).unwrap(), "elu");
        assert_eq!(set("softmax", "scale", 0.5).unwrap(), "softmax(scale=0.5)");
        assert!(set("softmax", "scale", f64::NAN).unwrap_err().contains("NaN"));
        assert!(set("elu", "alpha", f64::NAN).unwrap_err().contains("NaN"));
        assert!(set("swiglu", "alpha", 1.0).unwrap_err().contains("has none"));
        assert!(set("sofmax", "alpha", 1.0).unwrap_err().contains("`softmax`"));
    }

    #[test]
    fn sections_and_slopes() {
        for chosen in Chosen::all() {
            let (name, h) = (chosen.label(), 1e-6);
            for x in [-2.3f64, -0.4, 0.3, 1.7] {
                let slope = (chosen.value(x + h) - chosen.value(x - h)) / (2.0 * h);
                assert!((slope - chosen.slope(x)).abs() < 1e-6, "{name} at {x}");
                if let Some((v, d)) = chosen.reference(x) {
                    assert!((v.hi - chosen.value(x)).abs() < 1e-12, "{name} at {x}");
                    assert!((d.hi - chosen.slope(x)).abs() < 1e-12, "{name} at {x}");
                }
            }
        }
    }
}
