//! All contact with the library's kernels. Whatever else is in this crate knows functions as the
//! types of this file, and arrays as slices.

use nonlin::{Description, Formula};
pub use nonlin::{Element, Error, Exec, Function, GatedFunction, Parameter};
pub use nonlin::{Learnable, LearnableGated, Learned, LearnedGated};

/// What is computed of an elementwise or gated function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// f(x).
    Forward,
    /// f′(x).
    Derivative,
    /// f″(x).
    Second,
    /// g f′(x).
    Backward,
    /// g f′(x) from y = f(x).
    FromOutput,
}

impl Op {
    /// All of them.
    pub const ALL: [Op; 5] =
        [Op::Forward, Op::Derivative, Op::Second, Op::Backward, Op::FromOutput];

    /// Its name in Python.
    pub fn name(self) -> &'static str {
        match self {
            Op::Forward => "forward",
            Op::Derivative => "derivative",
            Op::Second => "second_derivative",
            Op::Backward => "backward",
            Op::FromOutput => "backward_from_output",
        }
    }

    /// How many operands it has, of a function of so many.
    pub fn operands(self, of: usize) -> usize {
        match self {
            Op::Forward | Op::Derivative | Op::Second => of,
            Op::Backward | Op::FromOutput => of + 1,
        }
    }

    /// The operation of that name.
    pub fn called(name: &str) -> Option<Op> {
        Op::ALL.into_iter().find(|op| op.name() == name)
    }
}

/// What a loop calls: `I` operands give `O` results, element by element.
pub trait Kernel<const I: usize, const O: usize>: 'static {
    /// The function.
    type Data: Send + Sync + 'static;

    /// Whether functions must have passed [`has_from_output`].
    const FROM_OUTPUT: bool = false;

    /// No result shares memory with an operand or another result. All have one length.
    fn apart<T: Element>(data: &Self::Data, exec: &Exec, x: [&[T]; I], y: [&mut [T]; O]);

    /// The only result, with a value of the first parameter for each element. False if there is no
    /// such kernel, and nothing has been done.
    fn each<T: Element>(_: &Self::Data, _x: [&[T]; I], _weight: &[T], _y: &mut [T]) -> bool {
        false
    }

    /// The only result takes the place of the last operand; `x` begins with the others. False if
    /// there is no such kernel, and nothing has been done.
    fn onto<T: Element>(_: &Self::Data, _: &Exec, _x: [&[T]; I], _last: &mut [T]) -> bool {
        false
    }
}

/// f(x).
pub struct Forward;

impl Kernel<1, 1> for Forward {
    type Data = Function;

    fn apart<T: Element>(f: &Function, exec: &Exec, [x]: [&[T]; 1], [y]: [&mut [T]; 1]) {
        f.forward_with(exec, x, y);
    }

    fn onto<T: Element>(f: &Function, exec: &Exec, _: [&[T]; 1], x: &mut [T]) -> bool {
        f.forward_in_place_with(exec, x);
        true
    }

    fn each<T: Element>(f: &Function, [x]: [&[T]; 1], weight: &[T], y: &mut [T]) -> bool {
        f.per_channel(weight, &[x.len()], 0).map(|each| each.forward(x, y)).is_ok()
    }
}

/// f′(x).
pub struct Derivative;

impl Kernel<1, 1> for Derivative {
    type Data = Function;

    fn apart<T: Element>(f: &Function, exec: &Exec, [x]: [&[T]; 1], [y]: [&mut [T]; 1]) {
        f.derivative_with(exec, x, y);
    }

    fn onto<T: Element>(f: &Function, exec: &Exec, _: [&[T]; 1], x: &mut [T]) -> bool {
        f.derivative_in_place_with(exec, x);
        true
    }
}

/// f″(x).
pub struct Second;

impl Kernel<1, 1> for Second {
    type Data = Function;

    fn apart<T: Element>(f: &Function, exec: &Exec, [x]: [&[T]; 1], [y]: [&mut [T]; 1]) {
        f.second_derivative_with(exec, x, y);
    }

    fn onto<T: Element>(f: &Function, exec: &Exec, _: [&[T]; 1], x: &mut [T]) -> bool {
        f.second_derivative_in_place_with(exec, x);
        true
    }
}

/// g f′(x).
pub struct Backward;

impl Kernel<2, 1> for Backward {
    type Data = Function;

    fn apart<T: Element>(f: &Function, exec: &Exec, [x, g]: [&[T]; 2], [dx]: [&mut [T]; 1]) {
        f.backward_with(exec, x, g, dx);
    }

    fn onto<T: Element>(f: &Function, exec: &Exec, [x, _]: [&[T]; 2], g: &mut [T]) -> bool {
        f.backward_in_place_with(exec, x, g);
        true
    }

    fn each<T: Element>(f: &Function, [x, g]: [&[T]; 2], weight: &[T], dx: &mut [T]) -> bool {
        let mut by_weight = vec![T::default(); weight.len()];
        let each = f.per_channel(weight, &[x.len()], 0);
        each.map(|each| each.backward(x, g, dx, &mut by_weight)).is_ok()
    }
}

/// g f′(x) from y = f(x), for functions that [`has_from_output`] has passed.
pub struct FromOutput;

/// Why a call of a kernel cannot fail here.
const CHECKED: &str = "the function was checked when its ufunc was made";

impl Kernel<2, 1> for FromOutput {
    type Data = Function;

    const FROM_OUTPUT: bool = true;

    fn apart<T: Element>(f: &Function, exec: &Exec, [y, g]: [&[T]; 2], [dx]: [&mut [T]; 1]) {
        f.backward_from_output_with(exec, y, g, dx).expect(CHECKED);
    }

    fn onto<T: Element>(f: &Function, exec: &Exec, [y, _]: [&[T]; 2], g: &mut [T]) -> bool {
        f.backward_from_output_in_place_with(exec, y, g).expect(CHECKED);
        true
    }
}

/// f(a, b).
pub struct Gated;

impl Kernel<2, 1> for Gated {
    type Data = GatedFunction;

    fn apart<T: Element>(f: &GatedFunction, exec: &Exec, [a, b]: [&[T]; 2], [y]: [&mut [T]; 1]) {
        f.forward_with(exec, a, b, y);
    }
}

/// g times the derivatives by a and by b.
pub struct GatedBackward;

impl Kernel<3, 2> for GatedBackward {
    type Data = GatedFunction;

    fn apart<T: Element>(
        f: &GatedFunction,
        exec: &Exec,
        [a, b, g]: [&[T]; 3],
        [da, db]: [&mut [T]; 2],
    ) {
        f.backward_with(exec, a, b, g, da, db);
    }
}

/// A function of one operand, or of two.
#[derive(Clone)]
pub enum AnyFunction {
    /// Of `x`.
    Elementwise(Function),
    /// Of `a` and `b`.
    Gated(GatedFunction),
    /// Of `a` and `b`, made of a formula.
    Formula(Box<GatedFormula>),
}

/// A formula of two operands.
#[derive(Clone)]
pub struct GatedFormula {
    /// The name or the formula that it was made of.
    text: String,
    formula: Formula,
    f: GatedFunction,
}

impl GatedFormula {
    fn new(text: &str, formula: Formula) -> Result<Self, Error> {
        let f = GatedFunction::parse(text)?;
        Ok(GatedFormula { text: text.trim().to_owned(), formula, f })
    }

    /// The kernels for the values that it has.
    pub fn function(&self) -> &GatedFunction {
        &self.f
    }

    fn with_values(&self, values: &[f64]) -> Result<Self, Error> {
        Ok(GatedFormula { f: self.f.with_values(values)?, ..self.clone() })
    }
}

/// A formula with these defaults of its parameters.
fn with_constants(formula: &Formula, values: &[f64]) -> Result<Formula, Error> {
    let mut new = formula.clone();
    for ((name, default), &v) in formula.params().zip(values) {
        // An expression as a default has more digits than its value.
        if v.to_bits() != default.to_bits() {
            new = new.with(name, v)?;
        }
    }
    Ok(new)
}

impl AnyFunction {
    /// Its formula, with its parameters at their values.
    pub fn formula(&self) -> Result<Formula, Error> {
        match self {
            AnyFunction::Elementwise(f) => f.formula(),
            AnyFunction::Gated(f) => f.formula(),
            AnyFunction::Formula(f) => with_constants(&f.formula, f.f.values()),
        }
    }

    /// The function of a name of the catalogue or of a formula.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match nonlin::gated(text) {
            Ok(f) if !f.is_recorded() => return Ok(AnyFunction::Gated(f)),
            _ => {}
        }
        match Formula::parse(text) {
            Ok(formula) if formula.is_gated() => {
                GatedFormula::new(text, formula).map(|f| AnyFunction::Formula(Box::new(f)))
            }
            // The library knows whether the text is meant as a name, and what is wrong with it.
            _ => Function::parse(text).map(AnyFunction::Elementwise),
        }
    }

    /// Its name in the catalogue, or the formula as it was given.
    pub fn name(&self) -> &str {
        self.meta().name
    }

    /// Names, formula, source, advice.
    pub fn meta(&self) -> Description<'_> {
        match self {
            AnyFunction::Elementwise(f) => f.meta(),
            AnyFunction::Gated(f) => f.meta(),
            AnyFunction::Formula(f) => {
                let meta = f.f.meta();
                let listed = nonlin::gated(meta.name).is_ok();
                Description { name: if listed { meta.name } else { &f.text }, ..meta }
            }
        }
    }

    /// The text that [`parse`](Self::parse) makes it from, but for the values of parameters.
    pub fn text(&self) -> &str {
        match self {
            AnyFunction::Elementwise(f) => f.name(),
            AnyFunction::Gated(f) => f.name(),
            AnyFunction::Formula(f) => &f.text,
        }
    }

    /// A name or formula whose defaults are the values that it has, if it is one that has a formula.
    pub fn with_constants(&self) -> Result<String, Error> {
        Ok(match self {
            _ if self.is_default() => self.text().to_owned(),
            AnyFunction::Elementwise(f) if self.is_formula() => {
                with_constants(&Formula::parse(f.name())?, f.values())?.text().to_owned()
            }
            AnyFunction::Formula(f) => with_constants(&f.formula, f.f.values())?.text().to_owned(),
            _ => self.name().to_owned(),
        })
    }

    /// How many operands it has.
    pub fn operands(&self) -> usize {
        match self {
            AnyFunction::Elementwise(_) => 1,
            AnyFunction::Gated(_) | AnyFunction::Formula(_) => 2,
        }
    }

    /// The parameters and their values.
    pub fn params(&self) -> Vec<(Parameter<'_>, f64)> {
        match self {
            AnyFunction::Elementwise(f) => f.params().collect(),
            AnyFunction::Gated(_) => vec![],
            AnyFunction::Formula(f) => f.f.params().collect(),
        }
    }

    /// The values of the parameters, in their order.
    pub fn values(&self) -> &[f64] {
        match self {
            AnyFunction::Elementwise(f) => f.values(),
            AnyFunction::Gated(_) => &[],
            AnyFunction::Formula(f) => f.f.values(),
        }
    }

    /// With these values of its parameters, in their order.
    pub fn with_values(&self, values: &[f64]) -> Result<Self, Error> {
        Ok(match self {
            AnyFunction::Elementwise(f) => AnyFunction::Elementwise(f.with_values(values)?),
            AnyFunction::Gated(_) => self.clone(),
            AnyFunction::Formula(f) => AnyFunction::Formula(Box::new(f.with_values(values)?)),
        })
    }

    /// Whether all parameters have their defaults.
    pub fn is_default(&self) -> bool {
        self.params().iter().all(|(p, v)| *v == p.default)
    }

    /// Whether it is a formula, by name or as a text, that has no kernels of its own.
    pub fn is_formula(&self) -> bool {
        match self {
            AnyFunction::Elementwise(f) => f.is_recorded(),
            AnyFunction::Gated(f) => f.is_recorded(),
            AnyFunction::Formula(f) => f.f.is_recorded(),
        }
    }

    /// The error that names the parameters that there are.
    pub fn unknown_parameter(&self, name: &str) -> Error {
        let known = self.params().iter().map(|(p, _)| p.name.to_owned().into()).collect();
        Error::UnknownParameter {
            function: self.name().to_owned().into(),
            name: name.into(),
            known,
        }
    }
}

/// Two of one text, with equal values, are one.
impl PartialEq for AnyFunction {
    fn eq(&self, o: &Self) -> bool {
        (self.text(), self.values()) == (o.text(), o.values())
    }
}

impl From<Function> for AnyFunction {
    fn from(f: Function) -> Self {
        AnyFunction::Elementwise(f)
    }
}

impl From<GatedFunction> for AnyFunction {
    fn from(f: GatedFunction) -> Self {
        AnyFunction::Gated(f)
    }
}

/// Whether a function is one of the catalogue at its defaults.
pub fn is_plain(f: &Function) -> bool {
    nonlin::get(f.name()).is_ok_and(|known| known == *f)
}

/// A function with parameters to be learned, of one operand or of two.
pub enum AnyLearnable {
    Elementwise(Learnable),
    Gated(LearnableGated),
}

/// A function of the catalogue, or a formula, with parameters to be learned.
pub fn learnable(text: &str) -> Result<AnyLearnable, Error> {
    let gated = nonlin::gated(text).is_ok() || Formula::parse(text).is_ok_and(|f| f.is_gated());
    Ok(if gated {
        AnyLearnable::Gated(GatedFunction::parse(text)?.learnable()?)
    } else {
        AnyLearnable::Elementwise(Function::parse(text)?.learnable()?)
    })
}

impl AnyLearnable {
    /// The parameters and the values that they start from.
    pub fn params(&self) -> Vec<(Parameter<'_>, f64)> {
        match self {
            AnyLearnable::Elementwise(f) => f.params().collect(),
            AnyLearnable::Gated(f) => f.params().collect(),
        }
    }
}

/// The names of functions of the catalogue that are formulas.
pub fn formulas() -> impl Iterator<Item = &'static str> {
    nonlin::formulas().iter().chain(nonlin::gated_formulas()).map(|m| m.name)
}

/// The elementwise functions of the catalogue.
pub fn elementwise() -> impl Iterator<Item = Function> {
    nonlin::functions().iter().map(|f| (*f).clone())
}

/// The gated functions of the catalogue.
pub fn gated() -> impl Iterator<Item = GatedFunction> {
    nonlin::gated_functions().iter().map(|f| (*f).clone())
}

/// The elementwise function of that name or alias.
pub fn get(name: &str) -> Result<Function, Error> {
    nonlin::get(name)
}

/// The gated function of that name or alias.
pub fn get_gated(name: &str) -> Result<GatedFunction, Error> {
    nonlin::gated(name)
}

/// The forms of `f` that PyTorch's argument `approximate` chooses from, `f` itself first; none
/// where it has no such argument.
pub fn forms(f: &AnyFunction) -> Vec<(&'static str, AnyFunction)> {
    let AnyFunction::Elementwise(known) = f else { return vec![] };
    match nonlin::get_approximate(known.name(), "tanh") {
        Ok(tanh) if tanh.name() == format!("{}_tanh", f.name()) => {
            vec![("none", f.clone()), ("tanh", AnyFunction::Elementwise(tanh))]
        }
        _ => vec![],
    }
}

/// Whether the output gives the gradient, and if not, why.
pub fn has_from_output(f: &Function) -> Result<(), Error> {
    f.backward_from_output::<f32>(&[], &[], &mut [])
}

/// A row-wise function with its options.
#[derive(Clone, Debug)]
pub struct Rows(nonlin::RowFunction);

/// A row-wise function with these options.
pub fn rows(f: &nonlin::RowFunction, scale: f64, zero_empty: bool) -> Result<Rows, Error> {
    let empty = if zero_empty { nonlin::EmptyRow::Zero } else { nonlin::EmptyRow::Nan };
    Ok(Rows(f.with("scale", scale)?.empty_rows(empty)))
}

/// The row-wise functions of the catalogue.
pub fn rowwise() -> impl Iterator<Item = &'static nonlin::RowFunction> {
    nonlin::rowwise_functions().iter().copied()
}

/// The row-wise function of that name or alias.
pub fn get_rowwise(name: &str) -> Result<nonlin::RowFunction, Error> {
    nonlin::rowwise(name)
}

impl Rows {
    /// `y` from `x`: rows of `n` elements; where `keep` is false an element takes no part.
    pub fn forward<T: Element>(
        &self,
        exec: &Exec,
        x: &[T],
        keep: Option<&[bool]>,
        n: usize,
        y: &mut [T],
    ) {
        let (shape, none) = ([x.len() / n, n], nonlin::Mask::new());
        let mask = keep.map_or(none, |keep| none.keep(keep, &shape));
        let done = self.0.forward_with(exec, x, &shape, -1, mask, y);
        done.expect("rows fit their mask");
    }

    /// `dx` from the output `y` and the gradient by it.
    pub fn backward<T: Element>(&self, exec: &Exec, y: &[T], g: &[T], n: usize, dx: &mut [T]) {
        let done = self.0.backward_with(exec, y, g, &[y.len() / n, n], -1, nonlin::Mask::new(), dx);
        done.expect("rows fit their shape");
    }
}
