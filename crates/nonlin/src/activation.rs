//! What a definition says: its function, its parameters, its claims.

use core::fmt;

use crate::element::Element;
use crate::error::Error;
use crate::names::Name;
use crate::real::{Dd, Dual, Real};

/// The parameters of one evaluation, as numbers of the type of `x`: an array `[T; N]`.
pub trait ParamList<T: Copy>: Copy {
    /// How many there are.
    const LEN: usize;
    /// `value` for each of them.
    fn filled(value: T) -> Self;
    /// What `f` gives for each index.
    fn from_fn(f: impl FnMut(usize) -> T) -> Self;
    /// All of them, in the order of [`Elementwise::PARAMS`].
    fn as_slice(&self) -> &[T];
    /// All of them, to be changed.
    fn as_mut_slice(&mut self) -> &mut [T];
}

impl<T: Copy, const N: usize> ParamList<T> for [T; N] {
    const LEN: usize = N;
    #[inline(always)]
    fn filled(value: T) -> Self {
        [value; N]
    }
    #[inline(always)]
    fn from_fn(f: impl FnMut(usize) -> T) -> Self {
        core::array::from_fn(f)
    }
    #[inline(always)]
    fn as_slice(&self) -> &[T] {
        self
    }
    #[inline(always)]
    fn as_mut_slice(&mut self) -> &mut [T] {
        self
    }
}

/// A named parameter with its default and bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Parameter<'a> {
    /// Name, as in PyTorch where it has one.
    pub name: &'a str,
    /// Value unless given.
    pub default: f64,
    /// Least value allowed.
    pub low: f64,
    /// Greatest value allowed.
    pub high: f64,
    /// What it does, in a few words.
    pub doc: &'a str,
    /// Whether the default is a constant of the definition (1/6), which is not rounded to f32.
    pub exact: bool,
    /// The constant minus `default`.
    pub rest: f64,
    /// Whether only whole numbers are allowed.
    pub integer: bool,
}

/// A parameter of a definition, whose texts are part of the program.
pub type Param = Parameter<'static>;

impl<'a> Parameter<'a> {
    /// The largest magnitude of a parameter: arrays of f32 and of the half types are computed
    /// with parameters rounded to f32, which has no number beyond.
    pub const LIMIT: f64 = f32::MAX as f64;

    /// A parameter that may be any number from `-LIMIT` to `LIMIT`.
    #[must_use]
    pub const fn new(name: &'a str, default: f64, doc: &'a str) -> Self {
        Parameter {
            name,
            default,
            low: -Self::LIMIT,
            high: Self::LIMIT,
            doc,
            exact: false,
            rest: 0.0,
            integer: false,
        }
    }

    /// This parameter between `low` and `high`, both allowed.
    #[must_use]
    pub const fn between(self, low: f64, high: f64) -> Self {
        assert!(low >= -Self::LIMIT && high <= Self::LIMIT, "beyond f32");
        Parameter { low, high, ..self }
    }

    /// This parameter, which must be a whole number.
    #[must_use]
    pub const fn whole(self) -> Self {
        Parameter { integer: true, ..self }
    }

    /// A parameter whose default is a real constant, given as the nearest f64 and the rest.
    #[must_use]
    pub const fn constant(name: &'a str, (default, rest): (f64, f64), doc: &'a str) -> Self {
        Parameter { exact: true, rest, ..Parameter::new(name, default, doc) }
    }

    /// An error if `value` is NaN or outside the bounds, of `function`.
    pub(crate) fn check(&self, function: Name, name: Name, value: f64) -> Result<(), Error> {
        let Parameter { low, high, .. } = *self;
        if (low..=high).contains(&value) {
            return Ok(());
        }
        Err(Error::ParameterOutOfBounds { function, name, value, low, high })
    }

    /// Which values are allowed, in words.
    ///
    /// ```
    /// let (alpha, _) = nonlin::Celu.params().next().unwrap();
    /// assert_eq!(alpha.allowed().to_string(), "at least 0.000001");
    /// ```
    #[must_use]
    pub fn allowed(&self) -> impl fmt::Display + use<> {
        let Parameter { low, high, integer, .. } = *self;
        let kind = if integer { "whole number" } else { "finite number" };
        fmt::from_fn(move |f| match (low == -Param::LIMIT, high == Param::LIMIT) {
            (true, true) => write!(f, "any {kind}"),
            (true, false) => write!(f, "at most {high}"),
            (false, true) => write!(f, "at least {low}"),
            (false, false) => write!(f, "from {low} to {high}"),
        })
    }

    /// The value `v` of this parameter as arithmetic in f32 sees it: rounded to f32, but for a
    /// default that is a constant of the definition.
    #[inline(always)]
    pub(crate) const fn in_f32(&self, v: f64) -> f64 {
        if self.exact && v == self.default { v } else { v as f32 as f64 }
    }

    /// The value `v` of this parameter as the arithmetic of `T` sees it.
    #[inline]
    pub(crate) fn rounded<T: Element>(&self, v: f64) -> f64 {
        if T::F32_PARAMS { self.in_f32(v) } else { v }
    }

    /// [`rounded`](Self::rounded), with the rest of a default that is a constant of the definition.
    pub(crate) fn exactly<T: Element>(&self, v: f64) -> Dd {
        let mut v = Dd::new(self.rounded::<T>(v));
        if self.exact && v.hi == self.default {
            v.lo = self.rest;
        }
        v
    }
}

/// What must hold between two parameters of a function.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Constraint {
    /// The first is at most the second.
    AtMost(&'static str, &'static str),
}

/// Where the function is known, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Description<'a> {
    /// Name in snake case.
    pub name: &'a str,
    /// Other names; looked up without regard to case, `-` and `_`.
    pub aliases: &'a [&'a str],
    /// The textbook formula in `x` (gated: `a`, `b`) and the parameters; tests evaluate it as the oracle.
    pub formula: &'a str,
    /// Paper.
    pub source: &'a str,
    /// Name in PyTorch, empty if it has none.
    pub pytorch: &'a str,
    /// Name in JAX.
    pub jax: &'a str,
    /// Name in Keras 3.
    pub keras: &'a str,
    /// ONNX operator.
    pub onnx: &'a str,
    /// When to use it, and why.
    pub use_when: &'a str,
    /// When not to, and why.
    pub avoid_when: &'a str,
}

/// What is said about a definition, whose texts are part of the program.
pub type Meta = Description<'static>;

impl<'a> Description<'a> {
    /// A function with a name and a formula; the rest by field update.
    #[must_use]
    pub const fn new(name: &'a str, formula: &'a str) -> Self {
        Description {
            name,
            aliases: &[],
            formula,
            source: "",
            pytorch: "",
            jax: "",
            keras: "",
            onnx: "",
            use_when: "",
            avoid_when: "",
        }
    }
}

/// A point where the slope jumps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kink {
    /// Where.
    pub at: f64,
    /// Slope on the left.
    pub left: f64,
    /// Slope on the right.
    pub right: f64,
    /// The slope that `derivative` returns there.
    pub chosen: f64,
}

/// The largest errors allowed, in units of the last place: (value, slope).
///
/// Within 0.5 of an interior zero of f' a slope may be 2^-24 (f64: 2^-53) off instead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// f32, proved over all inputs; f16 and bf16 follow from it: 0.501.
    pub f32: (f64, f64),
    /// f64, sampled.
    pub f64: (f64, f64),
}

impl Bounds {
    /// f32 computed in f64 and rounded once; f64 as the project promises it.
    pub const ROUNDED_ONCE: Bounds = Bounds { f32: (0.51, 0.51), f64: (2.0, 4.0) };
    /// No error at all.
    pub const EXACT: Bounds = Bounds { f32: (0.0, 0.0), f64: (0.0, 0.0) };
    /// The value rounds once, the slope is one of two parameters.
    pub const EXACT_SLOPE: Bounds = Bounds { f32: (0.5, 0.0), f64: (1.0, 0.0) };
}

/// Properties at default parameters; every one of them has a test that reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claims {
    /// Values at -inf and +inf.
    pub limits: (f64, f64),
    /// Slopes at -inf and +inf.
    pub slope_limits: (f64, f64),
    /// Smallest interval that contains all values.
    pub range: (f64, f64),
    /// Largest slope in magnitude.
    pub lipschitz: f64,
    /// Never falls.
    pub monotone: bool,
    /// f(-x) = -f(x), to the bit.
    pub odd: bool,
    /// f(f(x)) = f(x), to the bit.
    pub idempotent: bool,
    /// Lowest point (x, f(x)), if it lies inside.
    pub minimum: Option<(f64, f64)>,
    /// Points where f is 0 (0 stands for a half line as well).
    pub zeros: &'static [f64],
    /// Points where f' passes through 0.
    pub slope_zeros: &'static [f64],
    /// Points where f' jumps.
    pub kinks: &'static [Kink],
    /// Closed intervals on which f′ is 0 by definition. A gradient that arrives there is left out:
    /// the result is 0, be it infinite or NaN.
    pub flat: &'static [(f64, f64)],
    /// Largest errors.
    pub bounds: Bounds,
    /// If [`Elementwise::slope_from_output`] is written: its largest absolute error against
    /// f′(x), with y = f(x) rounded to the type of the array, in units of that type's
    /// [`ROUNDOFF`](crate::Element::ROUNDOFF): (f32, f16 and bf16; f64).
    pub from_output: Option<(f64, f64)>,
}

impl Claims {
    /// A function with these values and slopes at -inf and +inf; the rest by field update.
    #[must_use]
    pub const fn new(limits: (f64, f64), slope_limits: (f64, f64)) -> Self {
        Claims {
            limits,
            slope_limits,
            range: (f64::NEG_INFINITY, f64::INFINITY),
            lipschitz: f64::INFINITY,
            monotone: false,
            odd: false,
            idempotent: false,
            minimum: None,
            zeros: &[],
            slope_zeros: &[],
            kinks: &[],
            flat: &[],
            bounds: Bounds::ROUNDED_ONCE,
            from_output: None,
        }
    }
}

/// How f32 arrays are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Arithmetic {
    /// In f64 lanes, rounded once: right for every definition.
    F64,
    /// In f32 lanes: for definitions whose value and slope round at most once.
    F32,
    /// At default parameters in f32 lanes that keep what they round off, else `F64`.
    F32Tables {
        /// For which inputs (of a gated function: gates) the value needs tables alone.
        value: Reach,
        /// For which inputs the slope does.
        slope: Reach,
    },
}

/// What computes a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// Compiled kernels, which for f32 and half types at default parameters use tables in registers:
    /// [`Arithmetic::F32Tables`].
    Tuned,
    /// Compiled kernels.
    Compiled,
    /// A program that the block engine runs, as a formula is.
    Program,
}

impl Tier {
    /// The tier of compiled kernels.
    pub(crate) const fn of(arithmetic: Arithmetic) -> Self {
        match arithmetic {
            Arithmetic::F32Tables { .. } => Tier::Tuned,
            Arithmetic::F32 | Arithmetic::F64 => Tier::Compiled,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Tuned => "tuned",
            Tier::Compiled => "compiled",
            Tier::Program => "program",
        }
    }
}

impl core::fmt::Display for Tier {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// Between which inputs tables are all that is needed. Beyond, slower formulas take over: where a
/// result is a small power of e, perhaps a subnormal number, and where it is a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reach {
    /// The least input.
    pub low: f32,
    /// The greatest.
    pub high: f32,
}

impl Reach {
    /// All inputs.
    pub const EVERYWHERE: Reach = Reach::between(f32::NEG_INFINITY, f32::INFINITY);
    /// The inputs from `low` to `high`.
    #[must_use]
    pub const fn between(low: f32, high: f32) -> Reach {
        Reach { low, high }
    }
}

/// An elementwise activation: implement this in a file of its own and everything else follows.
pub trait Elementwise: Copy + 'static {
    /// Name, formula, source.
    const META: Meta;
    /// Parameters.
    const PARAMS: &'static [Param] = &[];
    /// What must hold between parameters, beside their own bounds.
    const CONSTRAINTS: &'static [Constraint] = &[];
    /// `[T; N]`, where `N` is the number of parameters.
    type Params<T: Copy>: ParamList<T>;
    /// Properties.
    const CLAIMS: Claims;
    /// How f32 arrays are computed.
    const ARITHMETIC: Arithmetic = Arithmetic::F64;
    /// Whether f64 kernels are compiled a second time for parameters that are all 1, which are
    /// constants there: where that makes them faster.
    const CONSTANT_ONES: bool = false;
    /// Whether the first parameter may be given per channel or per element.
    const PER_ELEMENT: bool = false;

    /// f(x).
    fn value<T: Real>(x: T, p: Self::Params<T>) -> T;

    /// f′(x). The default differentiates `value`; a faster or stabler form may replace it,
    /// and a test holds the two equal.
    #[inline(always)]
    fn slope<T: Real>(x: T, p: Self::Params<T>) -> T {
        dual_slope::<Self, T>(x, p)
    }

    /// `grad` times f′(x). The default multiplies; write it where f′ is 0 by definition, so that an
    /// infinite or NaN `grad` is left out there and not multiplied by 0 (see [`Claims::flat`]).
    #[inline(always)]
    fn backward<T: Real>(x: T, grad: T, p: Self::Params<T>) -> T {
        grad * Self::slope(x, p)
    }

    /// f′(x) as a function of y = f(x), in few operations: it is evaluated in the arithmetic of
    /// the array and waits for memory. Parameters are not negative. Write it where y determines
    /// f′(x), and declare its error as [`Claims::from_output`].
    #[inline(always)]
    fn slope_from_output<T: Real>(y: T, _: Self::Params<T>) -> T {
        y.lit(f64::NAN)
    }

    /// `grad` times f′(x), from y = f(x). The default multiplies; write it where
    /// [`Elementwise::backward`] is written.
    #[inline(always)]
    fn backward_from_output<T: Real>(y: T, grad: T, p: Self::Params<T>) -> T {
        grad * Self::slope_from_output(y, p)
    }
}

/// f′(x) by dual numbers.
#[inline(always)]
pub fn dual_slope<A: Elementwise, T: Real>(x: T, p: A::Params<T>) -> T {
    A::value(Dual::variable(x), map_params::<A, T, Dual<T>>(x, p, Dual::fixed)).d
}

/// The parameters as numbers of another type; `x` is any number.
#[inline(always)]
pub(crate) fn map_params<A: Elementwise, T: Copy, U: Copy>(
    x: T,
    p: A::Params<T>,
    f: impl Fn(T) -> U,
) -> A::Params<U> {
    list_params::<A, T, U>(p.as_slice(), x, f)
}

/// A list of the parameters `p`, each through `f`; `x` is any number.
#[inline(always)]
pub(crate) fn list_params<A: Elementwise, T: Copy, U: Copy>(
    p: &[T],
    x: T,
    f: impl Fn(T) -> U,
) -> A::Params<U> {
    // A loop and not `map`, which is a call of its own for wide registers, and copies them.
    let mut q = A::Params::<U>::filled(f(x));
    let mut i = 0;
    while i < <A::Params<U> as ParamList<U>>::LEN {
        q.as_mut_slice()[i] = f(p[i]);
        i += 1;
    }
    q
}

/// Which of the two operands of a gated function is the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there are two operands")]
pub enum Gate {
    /// The first: SwiGLU of Llama.
    First,
    /// The second: GLU of PyTorch.
    Second,
}

/// A gated unit: a function of a gate and a value.
pub trait Gated: Copy + 'static {
    /// Name, formula in `a` (first operand) and `b` (second), source.
    const META: Meta;
    /// Which operand is the gate unless the caller says otherwise.
    const GATE: Gate;
    /// How f32 arrays are computed.
    const ARITHMETIC: Arithmetic = Arithmetic::F64;
    /// Where the derivative by the gate passes through zero as a difference of two terms.
    const SLOPE_ZEROS: &'static [f64] = &[];

    /// f(gate, value).
    fn value<T: Real>(gate: T, value: T) -> T;

    /// `grad` times the derivatives by gate and by value. The default differentiates `value`.
    ///
    /// Where a derivative alone may be subnormal, `grad` comes before the factor that makes it so.
    #[inline(always)]
    fn backward<T: Real>(gate: T, value: T, grad: T) -> (T, T) {
        let (by_gate, by_value) = dual_partials::<Self, T>(gate, value);
        (grad * by_gate, grad * by_value)
    }
}

/// The partial derivatives by dual numbers.
#[inline(always)]
pub fn dual_partials<G: Gated, T: Real>(gate: T, value: T) -> (T, T) {
    (
        G::value(Dual::variable(gate), Dual::fixed(value)).d,
        G::value(Dual::fixed(gate), Dual::variable(value)).d,
    )
}
