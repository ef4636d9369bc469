//! A function with its parameters: what users hold, by type or by name.

use crate::activation::{Claims, Elementwise, MAX_PARAMS, Meta, Param, Params, Route};
use crate::element::Element;
use crate::error::Error;
use crate::exec::Exec;
use crate::kernel::{Kernels, back_32, back_64, from_output_32, from_output_64, map_32, map_64};
use crate::real::{Dd, Dual, Interval, Late, Real};
use core::mem::MaybeUninit;

#[cfg(feature = "half")]
use crate::kernel::{Call, HalfKernels, is_default};
#[cfg(feature = "core-math")]
use crate::real::Cm;
#[cfg(feature = "alloc")]
use crate::real::Expr;

/// Everything that a definition becomes: facts, kernels, and one evaluation per number type.
#[doc(hidden)]
pub struct Entry {
    pub(crate) meta: Meta,
    pub(crate) params: &'static [Param],
    pub(crate) claims: Claims,
    /// Computes next to nothing.
    pub(crate) cheap: bool,
    pub(crate) f32: Kernels<f32>,
    pub(crate) f64: Kernels<f64>,
    #[cfg(feature = "half")]
    pub(crate) f16: HalfKernels<half::f16>,
    #[cfg(feature = "half")]
    pub(crate) bf16: HalfKernels<half::bf16>,
    /// Whether parameters are the default ones, rounded to f32.
    #[cfg(feature = "half")]
    pub(crate) is_default: fn(&Call) -> bool,
    curvature: fn(f64, Params<f64>) -> f64,
    gradient: fn(f64, Params<f64>) -> [f64; MAX_PARAMS],
    interval: fn(Interval, Params<Interval>) -> (Interval, Interval),
    dd: fn(Dd, Params<Dd>) -> (Dd, Dd),
    dd_backward: fn(Dd, Dd, Params<Dd>) -> Dd,
    #[cfg(feature = "core-math")]
    correct: fn(Cm, Params<Cm>) -> (Cm, Cm),
    #[cfg(feature = "alloc")]
    trace: for<'a> fn(Expr<'a>, Params<Expr<'a>>) -> Expr<'a>,
}

/// The entry of `A`, made at compile time.
struct Of<A>(A);

impl<A: Elementwise> Of<A> {
    const ENTRY: &'static Entry = &Entry {
        meta: A::META,
        params: A::PARAMS,
        claims: A::CLAIMS,
        cheap: matches!(A::ROUTE, Route::Single),
        f32: Kernels {
            map: map_32::<A>(),
            back: back_32::<A>(),
            from_output: if A::CLAIMS.from_output.is_some() {
                Some(from_output_32::<A>())
            } else {
                None
            },
        },
        f64: Kernels {
            map: map_64::<A>(),
            back: back_64::<A>(),
            from_output: if A::CLAIMS.from_output.is_some() {
                Some(from_output_64::<A>())
            } else {
                None
            },
        },
        #[cfg(feature = "half")]
        f16: HalfKernels::of::<A>(),
        #[cfg(feature = "half")]
        bf16: HalfKernels::of::<A>(),
        #[cfg(feature = "half")]
        is_default: is_default::<A>,
        curvature: |x, p| A::slope(Dual::variable(x), p.map(Dual::fixed)).d,
        gradient: |x, p| {
            let mut seed = 0;
            p.map(|_| {
                let mut q = p.map(Dual::fixed);
                q[seed].d = 1.0;
                seed += 1;
                A::value(Dual::fixed(x), q).d
            })
        },
        interval: |x, p| (A::value(x, p), A::slope(x, p)),
        dd: |x, p| (A::value(x, p), A::slope(x, p)),
        dd_backward: |x, g, p| (Late::new(g) * A::slope(Late::new(x), p.map(Late::new))).settled(),
        #[cfg(feature = "core-math")]
        correct: |x, p| (A::value(x, p), A::slope(x, p)),
        #[cfg(feature = "alloc")]
        trace: |x, p| A::value(x, p),
    };
}

/// An elementwise activation with its parameters; small and copyable.
///
/// ```
/// let elu = nonlin::get("elu")?.with("alpha", 0.5)?;
/// assert_eq!(elu.value(1.0f32), 1.0);
/// # Ok::<(), nonlin::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Function {
    pub(crate) entry: &'static Entry,
    params: [f64; MAX_PARAMS],
}

impl Function {
    /// The function of a definition, with its default parameters.
    #[must_use]
    pub const fn of<A: Elementwise>() -> Self {
        let mut params = [0.0; MAX_PARAMS];
        let mut i = 0;
        while i < A::PARAMS.len() {
            params[i] = A::PARAMS[i].default;
            i += 1;
        }
        Function { entry: Of::<A>::ENTRY, params }
    }

    /// Name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.entry.meta.name
    }

    /// Names, formula, source, advice.
    #[must_use]
    pub fn meta(&self) -> &'static Meta {
        &self.entry.meta
    }

    /// Properties at default parameters.
    #[must_use]
    pub fn claims(&self) -> &'static Claims {
        &self.entry.claims
    }

    /// The parameters and their values.
    pub fn params(&self) -> impl Iterator<Item = (&'static Param, f64)> + '_ {
        self.entry.params.iter().zip(self.params)
    }

    /// The same function with the parameter at `index` changed.
    ///
    /// # Errors
    /// If `value` is NaN or outside the bounds of the parameter.
    ///
    /// # Panics
    /// If the function has no parameter of that index.
    pub fn with_index(mut self, index: usize, value: f64) -> Result<Self, Error> {
        let p = &self.entry.params[index];
        if !(p.low..=p.high).contains(&value) {
            return Err(Error::ParameterOutOfBounds {
                function: self.name(),
                name: p.name,
                value,
                low: p.low,
                high: p.high,
            });
        }
        self.params[index] = value;
        Ok(self)
    }

    /// The same function with the parameter `name` changed.
    ///
    /// # Errors
    /// If there is no such parameter, or `value` is NaN or outside its bounds.
    #[cfg(feature = "alloc")]
    pub fn with(self, name: &str, value: f64) -> Result<Self, Error> {
        let key = crate::catalog::key(name);
        match self.entry.params.iter().position(|p| crate::catalog::key(p.name) == key) {
            Some(i) => self.with_index(i, value),
            None => Err(Error::UnknownParameter {
                function: self.name(),
                name: name.into(),
                known: self
                    .entry
                    .params
                    .iter()
                    .map(|p| p.name)
                    .collect::<alloc::vec::Vec<_>>()
                    .join(", "),
            }),
        }
    }

    /// The parameters as the arithmetic of `T` sees them.
    pub(crate) fn rounded<T: Element>(&self) -> [f64; MAX_PARAMS] {
        let mut p = self.params;
        if T::F32_PARAMS {
            for (v, d) in p.iter_mut().zip(self.entry.params) {
                if !(d.exact && *v == d.default) {
                    *v = f64::from(*v as f32);
                }
            }
        }
        p
    }

    /// f(x), with the bits that `forward` gives.
    #[must_use]
    pub fn value<T: Element>(&self, x: T) -> T {
        let mut y = [x];
        Exec::new().forward_in_place(self, &mut y);
        y[0]
    }

    /// f′(x), with the bits that `derivative` gives.
    #[must_use]
    pub fn slope<T: Element>(&self, x: T) -> T {
        let mut y = [x];
        Exec::new().derivative_in_place(self, &mut y);
        y[0]
    }

    /// The largest absolute error of the slope that [`Activation::backward_from_output`]
    /// multiplies by, against f′(x) at the x that gave the output; `None` if the function has no
    /// such form.
    ///
    /// The output is rounded, and steep where it is near its limit: there the slope is small and
    /// its relative error large. The bound is [`Claims::from_output`] times `T::ROUNDOFF` at
    /// default parameters; at others 1.5 units more, times the largest of them if that is above 1.
    /// It holds where f(x) is finite.
    ///
    /// ```
    /// use nonlin::{Activation, Element, Gelu, Sigmoid};
    /// assert!(Sigmoid.function().from_output_error::<f32>().unwrap() <= 2.0 * f32::ROUNDOFF);
    /// assert_eq!(Gelu.function().from_output_error::<f32>(), None);
    /// ```
    #[must_use]
    pub fn from_output_error<T: Element>(&self) -> Option<f64> {
        let (single, double) = self.entry.claims.from_output?;
        let params = &self.params[..self.entry.params.len()];
        let others = params.iter().zip(self.entry.params).any(|(v, p)| *v != p.default);
        let units = if T::F32_PARAMS { single } else { double } + if others { 1.5 } else { 0.0 };
        Some(params.iter().fold(1.0, |a: f64, b| a.max(*b)) * units * T::ROUNDOFF)
    }

    /// Whether the gradient can be had from the output, and if not, why.
    pub(crate) fn check_from_output(&self) -> Result<(), Error> {
        if self.entry.claims.from_output.is_none() {
            return Err(Error::NotFromOutput { function: self.name() });
        }
        match self.params().find(|(_, v)| *v < 0.0) {
            None => Ok(()),
            Some((p, value)) => {
                Err(Error::NegativeFromOutput { function: self.name(), name: p.name, value })
            }
        }
    }

    /// f″(x), computed in f64 and rounded once.
    #[must_use]
    pub fn curvature<T: Element>(&self, x: T) -> T {
        T::from_f64((self.entry.curvature)(x.to_f64(), self.rounded::<T>()))
    }

    /// The derivatives by the parameters, at `x`.
    #[must_use]
    pub fn parameter_gradient(&self, x: f64) -> [f64; MAX_PARAMS] {
        (self.entry.gradient)(x, self.params)
    }

    /// Bounds of f and f′ that hold for every x in the interval.
    #[must_use]
    pub fn bounds(&self, x: Interval) -> (Interval, Interval) {
        let mut p = self.params.map(Interval::point);
        for (v, d) in p.iter_mut().zip(self.entry.params) {
            if d.exact && v.lo == d.default {
                *v = x.constant((d.default, d.rest));
            }
        }
        (self.entry.interval)(x, p)
    }

    /// f(x) and f′(x) to about 30 digits, with the parameters of `T`'s arithmetic.
    #[must_use]
    pub fn reference<T: Element>(&self, x: T) -> (Dd, Dd) {
        (self.entry.dd)(Dd::new(x.to_f64()), self.exact_params::<T>())
    }

    /// `grad f'(x)` to about 30 digits, also where f′(x) alone is too small for f64.
    ///
    /// ```
    /// use nonlin::{Activation, Sigmoid};
    /// let exact = Sigmoid.function().backward_reference(-800.0, 1e300);
    /// assert_eq!(exact.hi, 3.6678745841776874e-48);
    /// ```
    #[must_use]
    pub fn backward_reference<T: Element>(&self, x: T, grad: T) -> Dd {
        let (x, grad) = (Dd::new(x.to_f64()), Dd::new(grad.to_f64()));
        (self.entry.dd_backward)(x, grad, self.exact_params::<T>())
    }

    /// The parameters of `T`'s arithmetic, with what defaults that are no numbers lack.
    fn exact_params<T: Element>(&self) -> Params<Dd> {
        let mut p = self.rounded::<T>().map(Dd::new);
        for (v, d) in p.iter_mut().zip(self.entry.params) {
            if d.exact && v.hi == d.default {
                v.lo = d.rest;
            }
        }
        p
    }

    /// f(x) and f′(x) to about 1e-15, from correctly rounded functions.
    #[cfg(feature = "core-math")]
    #[must_use]
    pub fn correct(&self, x: f32) -> (f64, f64) {
        let p = self.rounded::<f32>().map(Cm);
        let (v, d) = (self.entry.correct)(Cm(f64::from(x)), p);
        (v.0, d.0)
    }

    /// The formula that the definition computes, traced by evaluating it at a symbol.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn traced(&self) -> alloc::string::String {
        let arena = crate::real::Arena::default();
        let mut p = [arena.symbol("_"); MAX_PARAMS];
        for (s, d) in p.iter_mut().zip(self.entry.params) {
            *s = arena.symbol(d.name);
        }
        alloc::format!("{}", (self.entry.trace)(arena.symbol("x"), p))
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
        self.name() == o.name() && self.params == o.params
    }
}

/// What can be done with a function; implemented by [`Function`] and by every definition.
///
/// ```
/// use nonlin::{Activation, Gelu};
/// let x = [-1.0f32, 0.0, 1.0];
/// let mut y = [0.0; 3];
/// Gelu.forward(&x, &mut y);
/// assert_eq!(y, [-0.15865526, 0.0, 0.8413447]);
/// ```
pub trait Activation {
    /// The function with its parameters.
    fn function(&self) -> Function;

    /// `y[i] = f(x[i])`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    fn forward<T: Element>(&self, x: &[T], y: &mut [T]) {
        Exec::new().forward(&self.function(), x, y);
    }

    /// `x[i] = f(x[i])`.
    fn forward_in_place<T: Element>(&self, x: &mut [T]) {
        Exec::new().forward_in_place(&self.function(), x);
    }

    /// `y[i] = f(x[i])` into memory that need not be initialised; returns it initialised.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    fn forward_uninit<'y, T: Element>(&self, x: &[T], y: &'y mut [MaybeUninit<T>]) -> &'y mut [T] {
        Exec::new().forward_uninit(&self.function(), x, y)
    }

    /// `dy[i] = f'(x[i])`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    fn derivative<T: Element>(&self, x: &[T], dy: &mut [T]) {
        Exec::new().derivative(&self.function(), x, dy);
    }

    /// `x[i] = f'(x[i])`.
    fn derivative_in_place<T: Element>(&self, x: &mut [T]) {
        Exec::new().derivative_in_place(&self.function(), x);
    }

    /// `d2y[i] = f''(x[i])`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    fn second_derivative<T: Element>(&self, x: &[T], d2y: &mut [T]) {
        Exec::new().second_derivative(&self.function(), x, d2y);
    }

    /// `x[i] = f''(x[i])`.
    fn second_derivative_in_place<T: Element>(&self, x: &mut [T]) {
        Exec::new().second_derivative_in_place(&self.function(), x);
    }

    /// `dx[i] = grad[i] f'(x[i])`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    fn backward<T: Element>(&self, x: &[T], grad: &[T], dx: &mut [T]) {
        Exec::new().backward(&self.function(), x, grad, dx);
    }

    /// `grad[i] = grad[i] f'(x[i])`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    fn backward_in_place<T: Element>(&self, x: &[T], grad: &mut [T]) {
        Exec::new().backward_in_place(&self.function(), x, grad);
    }

    /// `dx[i] = grad[i] f'(x[i])`, from the saved output `y[i] = f(x[i])`: a training step that
    /// keeps y for the next layer need not keep x.
    ///
    /// Functions have it if y determines f′(x) in a few operations: those whose
    /// [`Claims::from_output`] is not `None`, which is also the bound of the absolute error (see
    /// [`Function::from_output_error`]). Where x is at hand, [`backward`](Self::backward) is more
    /// exact.
    ///
    /// ```
    /// use nonlin::{Activation, Tanh};
    /// let (y, grad) = ([-0.5f32, 0.0, 0.5], [4.0, 1.0, -4.0]);
    /// let mut dx = [0.0; 3];
    /// Tanh.backward_from_output(&y, &grad, &mut dx)?;
    /// assert_eq!(dx, [3.0, 1.0, -3.0]); // grad (1 - y^2)
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the function has no such form (gelu, silu, mish: two inputs have one output), or has a
    /// negative parameter.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    fn backward_from_output<T: Element>(
        &self,
        y: &[T],
        grad: &[T],
        dx: &mut [T],
    ) -> Result<(), Error> {
        Exec::new().backward_from_output(&self.function(), y, grad, dx)
    }

    /// `grad[i] = grad[i] f'(x[i])`, from the saved output `y[i] = f(x[i])`.
    ///
    /// # Errors
    /// As of [`backward_from_output`](Self::backward_from_output); `grad` is as it was.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    fn backward_from_output_in_place<T: Element>(
        &self,
        y: &[T],
        grad: &mut [T],
    ) -> Result<(), Error> {
        Exec::new().backward_from_output_in_place(&self.function(), y, grad)
    }
}

impl Activation for Function {
    fn function(&self) -> Function {
        *self
    }
}

impl<A: Elementwise> Activation for A {
    fn function(&self) -> Function {
        Function::of::<A>()
    }
}

/// Evaluates a definition at any number type, with its default parameters.
pub fn evaluate<A: Elementwise, T: Real>(x: T) -> T {
    let mut p = [x.lit(0.0); MAX_PARAMS];
    for (v, d) in p.iter_mut().zip(A::PARAMS) {
        *v = x.lit(d.default);
    }
    A::value(x, p)
}
