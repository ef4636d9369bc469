//! An elementwise function with its parameters: what it is, and what it says about itself.
//!
//! `elementwise.rs` has what it computes.

use crate::activation::{Claims, Constraint, Description, Elementwise, ParamList, Parameter, Tier};
use crate::element::Element;
use crate::entry::{Entry, F32_RELATIVE, F64_RELATIVE, Made};
use crate::error::Error;
use crate::fpmode::DefaultMode;
use crate::real::{Dd, Interval, Real};
use crate::values::{List, MOST, Parametric, Values};

/// The entry and the defaults of `A`, made at compile time.
struct Of<A>(A);

impl<A: Elementwise> Of<A> {
    const ENTRY: &'static Entry = &Entry::of::<A>();
    const ROOM: &'static [f64; MOST] = &{
        assert!(A::PARAMS.len() <= MOST, "too many parameters");
        let mut all = [0.0; MOST];
        let mut i = 0;
        while i < A::PARAMS.len() {
            all[i] = A::PARAMS[i].default;
            i += 1;
        }
        all
    };
    const DEFAULTS: &'static [f64] = Self::ROOM.split_at(A::PARAMS.len()).0;
}

/// An elementwise activation with the values of its parameters.
///
/// The built-in functions are types that dereference to their `Function`, so that
/// `Gelu.forward(&x, &mut y)` works, and `&Gelu` serves where a `&Function` is asked for.
///
/// ```
/// use nonlin::{Elu, Function};
///
/// fn at_one(f: &Function) -> f32 {
///     f.value(1.0)
/// }
/// assert_eq!(at_one(&Elu), 1.0);
/// assert_eq!(at_one(&Elu.with("alpha", 0.5)?), 1.0);
/// assert_eq!(at_one(&nonlin::get("elu")?), 1.0);
/// # Ok::<(), nonlin::Error>(())
/// ```
#[derive(Clone)]
pub struct Function {
    pub(crate) made: Made,
    values: Values,
}

impl Function {
    /// The function of a definition, with its default parameters.
    ///
    /// The kernels of the definition are compiled into the crate that calls this: use it for
    /// definitions of your own, once each, as in `static MINE: Function = Function::of::<Mine>();`.
    /// For built-in functions write `Function::from(Gelu)`.
    #[must_use]
    pub const fn of<A: Elementwise>() -> Self {
        Function {
            made: Made::Compiled(Of::<A>::ENTRY),
            values: Values::defaults(Of::<A>::DEFAULTS),
        }
    }

    /// A function made of programs: `body`, recorded once.
    ///
    /// ```
    /// use nonlin::real::Real;
    /// use nonlin::{About, Body, Function};
    ///
    /// struct Lisht;
    /// impl Body for Lisht {
    ///     fn value<T: Real>(&self, x: &[T], p: &[T]) -> T {
    ///         x[0] * (x[0] * p[0]).tanh()
    ///     }
    /// }
    /// let about = About::new("lisht", "x * tanh(beta * x)").param("beta", 1.0);
    /// let lisht = Function::record(about, &Lisht)?;
    /// assert_eq!(lisht.value(1.0), 1.0f64.tanh());
    /// assert_eq!(lisht.with("beta", 0.0)?.slope(3.0f32), 0.0);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a parameter is listed twice, or its default or its bounds are not possible; if the program
    /// is too long.
    ///
    /// # Panics
    /// If the body has not one operand.
    #[cfg(feature = "alloc")]
    pub fn record(about: crate::About, body: &impl crate::Body) -> Result<Self, Error> {
        assert_eq!(body.operands(), 1, "a function has one operand");
        crate::program::RecordedEntry::new(about, body).map(Self::recorded)
    }

    /// The function of a definition, made of programs.
    #[cfg(feature = "alloc")]
    #[doc(hidden)]
    pub fn record_definition<A: Elementwise>() -> Result<Self, Error> {
        crate::program::RecordedEntry::of::<A>().map(Self::recorded)
    }

    #[cfg(feature = "alloc")]
    fn recorded(entry: crate::program::RecordedEntry) -> Self {
        let made = Made::Recorded(alloc::sync::Arc::new(entry));
        Function { values: Values::of(&made), made }
    }

    /// Name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.made.description().name
    }

    /// Names, formula, source, advice.
    #[must_use]
    pub fn meta(&self) -> Description<'_> {
        self.made.description()
    }

    /// Whether it was made of programs when the program ran, from a formula or a [`Body`](crate::Body):
    /// nothing is claimed of it then.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        !matches!(self.made, Made::Compiled(_))
    }

    /// What computes it.
    ///
    /// ```
    /// use nonlin::{Function, Tier};
    /// assert_eq!(nonlin::Gelu.tier(), Tier::Tuned);
    /// assert_eq!(nonlin::Relu.tier(), Tier::Compiled);
    /// assert_eq!(nonlin::get("softsign")?.tier(), Tier::Program);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.made.tier()
    }

    /// Properties at default parameters. Of a recorded function none are known: limits are NaN.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        self.made.claims()
    }

    /// What must hold between parameters.
    #[must_use]
    pub fn constraints(&self) -> &'static [Constraint] {
        self.made.constraints()
    }

    /// The parameters and their values.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (Parameter<'_>, f64)> {
        self.values().iter().enumerate().map(|(i, v)| (self.made.param(i), *v))
    }

    /// The values of the parameters.
    #[must_use]
    #[inline]
    pub fn values(&self) -> &[f64] {
        self.values.get()
    }

    /// This function with these values.
    fn holding(&self, values: Values) -> Self {
        Function { made: self.made.clone(), values }
    }

    /// This function with the parameter at `index` changed.
    ///
    /// # Errors
    /// If `value` is NaN or outside the bounds of the parameter, or contradicts another one.
    ///
    /// # Panics
    /// If the function has no parameter of that index.
    pub fn with_index(&self, index: usize, value: f64) -> Result<Self, Error> {
        Ok(self.holding(self.values.with_index(&self.made, index, value)?))
    }

    /// This function with these values of all its parameters, in their order.
    ///
    /// # Errors
    /// If a value is NaN or outside the bounds of its parameter, or two contradict one another.
    ///
    /// # Panics
    /// If there are not as many values as parameters.
    #[track_caller]
    pub fn with_values(&self, values: &[f64]) -> Result<Self, Error> {
        Ok(self.holding(self.values.with_values(&self.made, values)?))
    }

    /// This function with the parameter `name` changed.
    ///
    /// ```
    /// let leaky = nonlin::LeakyRelu.with("negative_slope", 0.2)?;
    /// assert_eq!(leaky.value(-1.0), -0.2);
    ///
    /// let error = nonlin::LeakyRelu.with("slope", 0.2).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "`leaky_relu` has no parameter `slope`; it has negative_slope"
    /// );
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such parameter, or `value` is NaN or outside its bounds, or contradicts
    /// another parameter.
    #[cfg(feature = "alloc")]
    pub fn with(&self, name: &str, value: f64) -> Result<Self, Error> {
        self.with_params(&[(name, value)])
    }

    /// This function with several parameters changed together, as those that depend on one another
    /// must be.
    ///
    /// ```
    /// let rrelu = nonlin::Rrelu.with_params(&[("lower", 0.5), ("upper", 0.75)])?;
    /// assert_eq!(rrelu.value(-1.0), -0.625);
    ///
    /// let error = nonlin::Rrelu.with("lower", 0.5).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "`lower` of `rrelu` is 0.5 and `upper` is 0.3333333333333333; `lower` must be at most `upper`"
    /// );
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// As of [`with`](Self::with), or if a name is given twice.
    #[cfg(feature = "alloc")]
    pub fn with_params(&self, params: &[(&str, f64)]) -> Result<Self, Error> {
        Ok(self.holding(self.values.with_params(&self.made, params)?))
    }

    /// f(x), with the bits that `forward` gives.
    #[must_use]
    pub fn value<T: Element>(&self, x: T) -> T {
        let mut y = [x];
        self.forward_in_place(&mut y);
        y[0]
    }

    /// f′(x), with the bits that `derivative` gives.
    #[must_use]
    pub fn slope<T: Element>(&self, x: T) -> T {
        let mut y = [x];
        self.derivative_in_place(&mut y);
        y[0]
    }

    /// The largest absolute error of the slope that [`Function::backward_from_output`]
    /// multiplies by, against f′(x) at the x that gave the output; `None` if the function has no
    /// such form.
    ///
    /// The output is rounded, and steep where it is near its limit: there the slope is small and
    /// its relative error large. The bound is [`Claims::from_output`] times `T::ROUNDOFF` at
    /// default parameters; at others 1.5 units more, times the largest of them if that is above 1.
    /// It holds where f(x) is finite.
    ///
    /// ```
    /// use nonlin::{Element, Gelu, Sigmoid};
    /// assert!(Sigmoid.from_output_error::<f32>().unwrap() <= 2.0 * f32::ROUNDOFF);
    /// assert_eq!(Gelu.from_output_error::<f32>(), None);
    /// ```
    #[must_use]
    pub fn from_output_error<T: Element>(&self) -> Option<f64> {
        let (single, double) = self.made.claims().from_output?;
        let declared = if T::F32_PARAMS { single } else { double };
        let others = self.params().any(|(p, v)| v != p.default);
        let units = declared + if others { 1.5 } else { 0.0 };
        let largest = self.values().iter().fold(1.0, |a: f64, b| a.max(*b));
        Some(largest * units * T::ROUNDOFF)
    }

    /// Whether the gradient can be had from the output, and if not, why.
    pub(crate) fn check_from_output(&self) -> Result<(), Error> {
        if self.made.claims().from_output.is_none() {
            return Err(Error::NotFromOutput { function: self.made.name() });
        }
        match self.values().iter().enumerate().find(|(_, v)| **v < 0.0) {
            None => Ok(()),
            Some((i, value)) => {
                let (function, name) = (self.made.name(), self.made.param_name(i));
                Err(Error::NegativeFromOutput { function, name, value: *value })
            }
        }
    }

    /// f″(x), rounded once: f64 with a relative error of at most 2^-47 wherever the result is a
    /// normal number, next to the zeros of f″ too.
    #[must_use]
    pub fn curvature<T: Element>(&self, x: T) -> T {
        let mut y = [x];
        self.second_derivative_in_place(&mut y);
        y[0]
    }

    /// f″, for many numbers.
    pub(crate) fn bend<T: Element>(&self) -> impl Fn(T) -> T + Sync {
        let _mode = DefaultMode::enter();
        let relative = if T::F32_PARAMS { F32_RELATIVE } else { F64_RELATIVE };
        let p = self.exact_values::<T>();
        move |x| T::from_f64(self.made.curvature(x.to_f64(), p.get(), relative))
    }

    /// The derivatives of f(x) by the parameters, in their order, with a relative error of at most
    /// 2^-47 wherever the result is a normal number.
    ///
    /// ```
    /// let mut by_alpha = [0.0];
    /// nonlin::Elu.parameter_gradient(-1.0, &mut by_alpha);
    /// assert_eq!(by_alpha, [(-1.0f64).exp_m1()]); // of alpha (e^x - 1)
    /// ```
    ///
    /// # Panics
    /// If `gradient` has not as many elements as there are parameters.
    #[track_caller]
    pub fn parameter_gradient(&self, x: f64, gradient: &mut [f64]) {
        let n = self.made.params();
        crate::exec::same_length("gradient", gradient.len(), "the list of parameters", n);
        let _mode = DefaultMode::enter();
        self.made.gradient(x, self.exact_values::<f64>().get(), gradient);
    }

    /// Bounds of f and f′ that hold for every x in the interval.
    #[must_use]
    pub fn bounds(&self, x: Interval) -> (Interval, Interval) {
        let _mode = DefaultMode::enter();
        let p = List::of(
            x,
            self.params().map(|(p, v)| {
                if p.exact && v == p.default { x.constant((v, p.rest)) } else { Interval::point(v) }
            }),
        );
        self.made.interval(x, p.get())
    }

    /// f(x) and f′(x) to about 30 digits, with the parameters of `T`'s arithmetic.
    #[must_use]
    pub fn reference<T: Element>(&self, x: T) -> (Dd, Dd) {
        let _mode = DefaultMode::enter();
        self.made.dd(Dd::new(x.to_f64()), self.exact_values::<T>().get())
    }

    /// `grad f'(x)` to about 30 digits, also where f′(x) alone is too small for f64.
    ///
    /// ```
    /// let exact = nonlin::Sigmoid.backward_reference(-800.0, 1e300);
    /// assert_eq!(exact.hi, 3.6678745841776874e-48);
    /// ```
    #[must_use]
    pub fn backward_reference<T: Element>(&self, x: T, grad: T) -> Dd {
        let _mode = DefaultMode::enter();
        let (x, grad) = (Dd::new(x.to_f64()), Dd::new(grad.to_f64()));
        self.made.dd_backward(x, grad, self.exact_values::<T>().get())
    }

    /// The parameters of `T`'s arithmetic, with what defaults that are no numbers lack.
    fn exact_values<T: Element>(&self) -> List<Dd> {
        List::of(Dd::new(0.0), self.params().map(|(p, v)| p.exactly::<T>(v)))
    }

    /// f(x) and f′(x) to about 1e-15, from correctly rounded functions.
    #[cfg(feature = "core-math")]
    #[must_use]
    pub fn correct(&self, x: f32) -> (f64, f64) {
        use crate::real::Cm;
        let p = List::of(Cm(0.0), self.params().map(|(p, v)| Cm(p.rounded::<f32>(v))));
        let (v, d) = self.made.correct(Cm(f64::from(x)), p.get());
        (v.0, d.0)
    }

    /// The formula that the definition computes, traced by evaluating it at a symbol.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn traced(&self) -> alloc::string::String {
        self.made.traced()
    }
}

impl core::fmt::Debug for Function {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut s = f.debug_struct(self.name());
        for (p, v) in self.params() {
            s.field(p.name, &v);
        }
        s.finish()
    }
}

impl PartialEq for Function {
    fn eq(&self, o: &Self) -> bool {
        self.made.is(&o.made) && self.values() == o.values()
    }
}

/// Evaluates a definition at any number type, with its default parameters.
///
/// ```
/// use nonlin::real::Dd;
/// let third = nonlin::evaluate::<nonlin::HardSigmoid, Dd>(Dd::new(-2.0)); // (-2 + 3) / 6
/// assert_eq!((third * Dd::new(6.0) - Dd::new(1.0)).hi.abs() < 1e-31, true);
/// ```
pub fn evaluate<A: Elementwise, T: Real>(x: T) -> T {
    let mut p = A::Params::<T>::filled(x.lit(0.0));
    for (v, d) in p.as_mut_slice().iter_mut().zip(A::PARAMS) {
        *v = if d.exact { x.constant((d.default, d.rest)) } else { x.lit(d.default) };
    }
    A::value(x, p)
}
