//! All contact with the library's kernels. Whatever else is in this crate knows functions as the
//! types of this file, and arrays as slices.

pub use nonlin::{Element, Error, Exec, Function, GatedFunction};

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
pub fn forms(f: &Function) -> Vec<(&'static str, Function)> {
    match nonlin::get_approximate(f.name(), "tanh") {
        Ok(tanh) if tanh.name() == format!("{}_tanh", f.name()) => {
            vec![("none", f.clone()), ("tanh", tanh)]
        }
        _ => vec![],
    }
}

/// `f` with these values of its parameters, in their order.
pub fn with_values(f: &Function, values: &[f64]) -> Result<Function, Error> {
    f.with_values(values)
}

/// The values of the parameters, in their order.
pub fn values(f: &Function) -> Vec<f64> {
    f.values().to_vec()
}

/// Whether all parameters have their defaults.
pub fn is_default(f: &Function) -> bool {
    f.params().all(|(p, v)| v == p.default)
}

/// The error that names the parameters that there are.
pub fn unknown_parameter(f: &Function, name: &str) -> Error {
    match f.clone().with(name, f64::NAN) {
        Err(error) => error,
        Ok(_) => unreachable!("no parameter may be NaN"),
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
