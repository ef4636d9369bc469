//! What an elementwise definition becomes: facts, kernels, and one evaluation per number type.

#![allow(unsafe_code)]

use crate::activation::{
    Arithmetic, Claims, Constraint, Description, Elementwise, Meta, Param, ParamList, Parameter,
    Tier, list_params,
};
use crate::element::{BLOCK, Element};
#[cfg(feature = "alloc")]
use crate::error::Error;
use crate::exec::Cost;
#[cfg(feature = "alloc")]
use crate::kernel::Each;
use crate::kernel::{Back, Call, Elementwises, Kernels, PerType};
use crate::level::{Level, PerLevel};
use crate::names::Name;
#[cfg(feature = "alloc")]
use crate::program::{About, Gradients, RecordedEntry};
#[cfg(feature = "core-math")]
use crate::real::Cm;
#[cfg(feature = "alloc")]
use crate::real::Expr;
use crate::real::{Bounded, Dd, Dual, Extended, Interval, Real};
use crate::values::Parametric;
#[cfg(feature = "alloc")]
use alloc::sync::Arc;

/// Everything that a definition becomes.
#[doc(hidden)]
pub struct Entry {
    pub(crate) meta: Meta,
    pub(crate) params: &'static [Param],
    pub(crate) constraints: &'static [Constraint],
    pub(crate) claims: Claims,
    /// Computes next to nothing.
    pub(crate) cheap: bool,
    pub(crate) tier: Tier,
    pub(crate) kernels: PerType<Elementwises>,
    /// The kernels with the first parameter per element.
    #[cfg(feature = "alloc")]
    pub(crate) each: Option<&'static PerType<Each>>,
    pub(crate) curvature: fn(f64, &[Dd], f64) -> f64,
    pub(crate) gradient: fn(f64, &[Dd], &mut [f64]),
    pub(crate) interval: fn(Interval, &[Interval]) -> (Interval, Interval),
    pub(crate) dd: fn(Dd, &[Dd]) -> (Dd, Dd),
    pub(crate) dd_backward: fn(Dd, Dd, &[Dd]) -> Dd,
    #[cfg(feature = "core-math")]
    pub(crate) correct: fn(Cm, &[Cm]) -> (Cm, Cm),
    /// The definition recorded, if it has parameters that can be learned.
    #[cfg(feature = "alloc")]
    pub(crate) record: Option<fn() -> Result<RecordedEntry, Error>>,
    #[cfg(feature = "alloc")]
    pub(crate) trace: for<'a> fn(Expr<'a>, &[Expr<'a>]) -> Expr<'a>,
}

/// The parameters of `A` for `x`, from a list that has as many.
fn list<A: Elementwise, T: Real>(x: T, p: &[T]) -> A::Params<T> {
    list_params::<A, T, T>(p, x, |v| v)
}

/// The parameters of `A` in another number type, as constants of dual numbers.
fn fixed<A: Elementwise, T: Real + From<Dd>>(p: &[Dd]) -> A::Params<Dual<T>> {
    list_params::<A, Dd, Dual<T>>(p, Dd::new(0.0), |v| Dual::fixed(v.into()))
}

/// f″(x) with at most the relative error `relative`: quickly, where that is good enough.
fn curvature<A: Elementwise>(x: f64, p: &[Dd], relative: f64) -> f64 {
    fn at<A: Elementwise, T: Real + From<Dd>>(x: f64, p: &[Dd]) -> T {
        A::slope(Dual::variable(Dd::new(x).into()), fixed::<A, T>(p)).d
    }
    match at::<A, Bounded>(x, p).within(relative) {
        Some(v) => v,
        None => at::<A, Extended>(x, p).to_f64(),
    }
}

/// The derivative of f(x) by the parameter at `index`, as good as second derivatives of f64.
fn by_parameter<A: Elementwise>(x: f64, p: &[Dd], index: usize) -> f64 {
    fn at<A: Elementwise, T: Real + From<Dd>>(x: f64, p: &[Dd], index: usize) -> T {
        let mut p = fixed::<A, T>(p);
        let seed = &mut p.as_mut_slice()[index];
        *seed = Dual::variable(seed.v);
        A::value(Dual::fixed(Dd::new(x).into()), p).d
    }
    match at::<A, Bounded>(x, p, index).within(F64_RELATIVE) {
        Some(v) => v,
        None => at::<A, Extended>(x, p, index).to_f64(),
    }
}

/// The relative error of second derivatives of f64, and of derivatives by parameters: 64 units of
/// roundoff.
pub(crate) const F64_RELATIVE: f64 = 32.0 * f64::EPSILON;
/// The relative error of derivatives that are then rounded to f32 or a half type: too little to show.
pub(crate) const F32_RELATIVE: f64 = f32::EPSILON as f64 / 1024.0;

/// The kernels of `A` with the first parameter per element.
#[cfg(feature = "alloc")]
struct EachOf<A>(A);

#[cfg(feature = "alloc")]
impl<A: Elementwise> EachOf<A> {
    const KERNELS: &'static PerType<Each> = &PerType::<Each>::of::<A>();
}

impl Entry {
    /// The entry of a definition, made at compile time.
    pub(crate) const fn of<A: Elementwise>() -> Self {
        assert!(
            A::PARAMS.len() == <A::Params<f64> as ParamList<f64>>::LEN,
            "`Params<T>` must be an array of as many numbers as `PARAMS` has entries"
        );
        Entry {
            meta: A::META,
            params: A::PARAMS,
            constraints: A::CONSTRAINTS,
            claims: A::CLAIMS,
            cheap: matches!(A::ARITHMETIC, Arithmetic::F32),
            tier: Tier::of(A::ARITHMETIC),
            kernels: PerType::<Elementwises>::of::<A>(),
            #[cfg(feature = "alloc")]
            each: if A::PER_ELEMENT { Some(EachOf::<A>::KERNELS) } else { None },
            curvature: curvature::<A>,
            gradient: |x, p, gradient| {
                for (i, g) in gradient.iter_mut().enumerate() {
                    *g = by_parameter::<A>(x, p, i);
                }
            },
            interval: |x, p| (A::value(x, list::<A, _>(x, p)), A::slope(x, list::<A, _>(x, p))),
            dd: |x, p| {
                let (x, p) = (Extended::from(x), list_params::<A, Dd, _>(p, x, Extended::from));
                (A::value(x, p).to_dd(), A::slope(x, p).to_dd())
            },
            dd_backward: |x, g, p| {
                let p = list_params::<A, Dd, _>(p, x, Extended::from);
                A::backward(x.into(), g.into(), p).to_dd()
            },
            #[cfg(feature = "core-math")]
            correct: |x, p| (A::value(x, list::<A, _>(x, p)), A::slope(x, list::<A, _>(x, p))),
            #[cfg(feature = "alloc")]
            record: if A::PARAMS.is_empty() { None } else { Some(RecordedEntry::of::<A>) },
            #[cfg(feature = "alloc")]
            trace: |x, p| A::value(x, list::<A, _>(x, p)),
        }
    }

    /// Whether the kernels of a half type serve this call at this level.
    fn half_direct(&self, level: Level, call: &Call<'_>) -> bool {
        level.fused() && (self.cheap || call.has_defaults(self.params))
    }

    /// How long an element of an array of `T` takes.
    pub(crate) fn cost<T: Element>(&self) -> Cost {
        match (self.cheap, T::F32_PARAMS && self.tier == Tier::Tuned) {
            (true, _) => Cost::COPY,
            (false, true) => Cost::TABLES,
            (false, false) => Cost::WIDE,
        }
    }

    /// `y = f(x)` for `n` elements.
    ///
    /// # Safety
    /// `x` must be valid for reading `n` elements, `y` for writing them; they are one array or do
    /// not overlap. `level` is available.
    #[inline]
    pub(crate) unsafe fn map<T: Element>(
        &self,
        level: Level,
        call: &Call<'_>,
        x: *const T,
        y: *mut T,
        n: usize,
    ) {
        let map = T::pick(&self.kernels).map;
        match map.filter(|_| !T::HALF || self.half_direct(level, call)) {
            // SAFETY: the arrays have `n` elements, and the level is available.
            Some(map) => unsafe { map.get(level)(x, y, n, call) },
            // SAFETY: the arrays have `n` elements, and the level is available; f32 has the kernel.
            None => unsafe {
                T::through_f32(level, [x], [y], n, &|[x], [y], m| self.map(level, call, x, y, m));
            },
        }
    }

    /// `dx = g f'(x)` for `n` elements; without `g` the gradient is all ones.
    ///
    /// # Safety
    /// `x` and `g` must be valid for reading `n` elements, `dx` for writing them; `dx` may be one
    /// of them, but may not overlap one in another way. `level` is available.
    #[inline]
    pub(crate) unsafe fn back<T: Element>(
        &self,
        level: Level,
        call: &Call<'_>,
        x: *const T,
        g: Option<*const T>,
        dx: *mut T,
        n: usize,
    ) {
        let back = T::pick(&self.kernels).back;
        let back = back.filter(|_| !T::HALF || self.half_direct(level, call));
        // SAFETY: the arrays have `n` elements, and the level is available.
        unsafe { self.run_back(level, call, back, |k| k.back, x, g, dx, n) }
    }

    /// `dx = g f'(x)` from `y = f(x)`, for `n` elements, if the definition has that.
    ///
    /// # Safety
    /// `y` and `g` must be valid for reading `n` elements, `dx` for writing them; `dx` may be one
    /// of them, but may not overlap one in another way. `level` is available.
    #[inline]
    pub(crate) unsafe fn back_from_output<T: Element>(
        &self,
        level: Level,
        call: &Call<'_>,
        y: *const T,
        g: Option<*const T>,
        dx: *mut T,
        n: usize,
    ) {
        let back = T::pick(&self.kernels).from_output.filter(|_| !T::HALF || level.fused());
        // SAFETY: the arrays have `n` elements, and the level is available.
        unsafe { self.run_back(level, call, back, |k| k.from_output, y, g, dx, n) }
    }

    /// Runs a kernel that takes two arrays, or that of f32.
    ///
    /// # Safety
    /// See [`Entry::back`].
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "pointers, not slices: inputs may be outputs")]
    unsafe fn run_back<T: Element>(
        &self,
        level: Level,
        call: &Call<'_>,
        direct: Option<PerLevel<Back<T>>>,
        of_f32: fn(&Kernels<f32>) -> Option<PerLevel<Back<f32>>>,
        x: *const T,
        g: Option<*const T>,
        dx: *mut T,
        n: usize,
    ) {
        let run = |x: *const T, g: *const T, dx: *mut T, n: usize| match direct {
            // SAFETY: the arrays have `n` elements, and the level is available.
            Some(back) => unsafe { back.get(level)(x, g, dx, n, call) },
            None => {
                let back = of_f32(&self.kernels.f32).expect("f32 has all kernels").get(level);
                // SAFETY: the arrays have `n` elements, the blocks `m`, and the level is available.
                unsafe {
                    T::through_f32(level, [x, g], [dx], n, &|[x, g], [dx], m| {
                        back(x, g, dx, m, call);
                    });
                }
            }
        };
        // SAFETY: the arrays have `n` elements.
        unsafe { with_gradient(x, g, dx, n, run) }
    }
}

/// Calls `run` with input, gradient and output, block by block with ones where there is no gradient.
///
/// # Safety
/// `n` elements behind each pointer.
unsafe fn with_gradient<T: Element>(
    x: *const T,
    g: Option<*const T>,
    dx: *mut T,
    n: usize,
    run: impl Fn(*const T, *const T, *mut T, usize),
) {
    match g {
        Some(g) => run(x, g, dx, n),
        None => {
            for start in (0..n).step_by(BLOCK) {
                let m = BLOCK.min(n - start);
                // SAFETY: `start + m <= n`.
                let (x, dx) = unsafe { (x.add(start), dx.add(start)) };
                run(x, T::ONES.as_ptr(), dx, m);
            }
        }
    }
}

/// What a function is made of: kernels that were compiled from its definition, or programs that were
/// recorded from it.
#[derive(Clone)]
pub(crate) enum Made {
    /// At compile time.
    Compiled(&'static Entry),
    /// When the program ran.
    #[cfg(feature = "alloc")]
    Recorded(Arc<dyn Recording>),
}

/// A function that was recorded.
///
/// It is called by way of a table: a program that uses compiled functions alone has nothing of what records
/// others and runs them.
#[cfg(feature = "alloc")]
pub(crate) trait Recording: core::fmt::Debug + Send + Sync {
    fn about(&self) -> &About;
    fn claims(&self) -> &Claims;
    fn constraints(&self) -> &'static [Constraint];
    fn cost(&self) -> Cost;

    /// `y = f(x)` for `n` elements.
    ///
    /// # Safety
    /// `x` must be valid for reading `n` elements, `y` for writing them; they are one array or do
    /// not overlap. `level` is available.
    unsafe fn map_f32(&self, l: Level, c: &Call<'_>, x: *const f32, y: *mut f32, n: usize);

    /// `y = f(x)` for `n` elements.
    ///
    /// # Safety
    /// `x` must be valid for reading `n` elements, `y` for writing them; they are one array or do
    /// not overlap. `level` is available.
    unsafe fn map_f64(&self, l: Level, c: &Call<'_>, x: *const f64, y: *mut f64, n: usize);

    /// `dx = g f'(x)` for `n` elements of input and gradient; `at` says whether the input is `f(x)`.
    ///
    /// # Safety
    /// The inputs must be valid for reading `n` elements, `dx` for writing them; `dx` may be one
    /// of them, but may not overlap one in another way. `level` is available.
    unsafe fn back_f32(
        &self,
        level: Level,
        call: &Call<'_>,
        inputs: [*const f32; 2],
        dx: *mut f32,
        n: usize,
        at: At,
    );

    /// `dx = g f'(x)` for `n` elements of input and gradient; `at` says whether the input is `f(x)`.
    ///
    /// # Safety
    /// The inputs must be valid for reading `n` elements, `dx` for writing them; `dx` may be one
    /// of them, but may not overlap one in another way. `level` is available.
    unsafe fn back_f64(
        &self,
        level: Level,
        call: &Call<'_>,
        inputs: [*const f64; 2],
        dx: *mut f64,
        n: usize,
        at: At,
    );

    /// f″(x) with at most the relative error `relative`.
    fn curvature(&self, x: f64, p: &[Dd], relative: f64) -> f64;
    /// The derivatives of f(x) by the parameters, each as good as `relative`.
    fn gradient(&self, x: f64, p: &[Dd], relative: f64, gradient: &mut [f64]);
    /// Bounds of f and f′.
    fn interval(&self, x: Interval, p: &[Interval]) -> (Interval, Interval);
    /// f(x) and f′(x) to about 30 digits.
    fn dd(&self, x: Dd, p: &[Dd]) -> (Dd, Dd);
    /// `g f'(x)` to about 30 digits.
    fn dd_backward(&self, x: Dd, g: Dd, p: &[Dd]) -> Dd;
    /// f(x) and f′(x) from correctly rounded functions.
    #[cfg(feature = "core-math")]
    fn correct(&self, x: Cm, p: &[Cm]) -> (Cm, Cm);
    /// The formula that it computes.
    fn traced(&self) -> alloc::string::String;
    /// Programs for the gradients by `x` and by the parameters, of which there is one at least.
    ///
    /// # Errors
    /// If a program is too long.
    fn gradients(&self) -> Result<Gradients, Error>;
}

/// What a slope is computed from.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// x.
    Input,
    /// f(x).
    Output,
}

#[cfg(feature = "alloc")]
impl dyn Recording {
    /// `y = f(x)` for `n` elements.
    ///
    /// # Safety
    /// See [`Recording::map_f32`].
    unsafe fn map<T: Element>(
        &self,
        level: Level,
        call: &Call<'_>,
        x: *const T,
        y: *mut T,
        n: usize,
    ) {
        // SAFETY: the arrays have `n` elements of `T`, which is a half type, f32 or f64, the blocks `m`; the
        // level is available.
        unsafe {
            if T::HALF {
                T::through_f32(level, [x], [y], n, &|[x], [y], m| {
                    self.map_f32(level, call, x, y, m);
                });
            } else if T::F32_PARAMS {
                self.map_f32(level, call, x.cast(), y.cast(), n);
            } else {
                self.map_f64(level, call, x.cast(), y.cast(), n);
            }
        }
    }

    /// `dx = g f'(x)` for `n` elements; without `g` the gradient is all ones.
    ///
    /// # Safety
    /// `x` and `g` must be valid for reading `n` elements, `dx` for writing them; `dx` may be one
    /// of them, but may not overlap one in another way. `level` is available.
    #[allow(clippy::too_many_arguments, reason = "pointers, not slices: inputs may be outputs")]
    unsafe fn back<T: Element>(
        &self,
        level: Level,
        call: &Call<'_>,
        x: *const T,
        g: Option<*const T>,
        dx: *mut T,
        n: usize,
        at: At,
    ) {
        // SAFETY: the arrays have `m` elements of `T`, which is a half type, f32 or f64; the level is
        // available.
        let run = |x: *const T, g: *const T, dx: *mut T, m: usize| unsafe {
            if T::HALF {
                T::through_f32(level, [x, g], [dx], m, &|inputs, [dx], m| {
                    self.back_f32(level, call, inputs, dx, m, at);
                });
            } else if T::F32_PARAMS {
                self.back_f32(level, call, [x.cast(), g.cast()], dx.cast(), m, at);
            } else {
                self.back_f64(level, call, [x.cast(), g.cast()], dx.cast(), m, at);
            }
        };
        // SAFETY: the arrays have `n` elements.
        unsafe { with_gradient(x, g, dx, n, run) }
    }
}

/// What `$made` has, whichever it is.
macro_rules! either {
    ($made:expr, $entry:ident => $compiled:expr, $recorded:expr) => {
        match $made {
            Made::Compiled($entry) => $compiled,
            #[cfg(feature = "alloc")]
            Made::Recorded($entry) => $recorded,
        }
    };
}

impl Parametric for Made {
    fn name(&self) -> Name {
        either!(self, e => e.meta.name.into(), e.about().own_name())
    }

    fn params(&self) -> usize {
        either!(self, e => e.params.len(), e.about().params())
    }

    #[inline]
    fn param(&self, index: usize) -> Parameter<'_> {
        either!(self, e => e.params[index], e.about().param_at(index))
    }

    fn param_name(&self, index: usize) -> Name {
        either!(self, e => e.params[index].name.into(), e.about().param_name(index))
    }

    fn constraints(&self) -> &'static [Constraint] {
        either!(self, e => e.constraints, e.constraints())
    }
}

impl Made {
    pub(crate) fn description(&self) -> Description<'_> {
        either!(self, e => e.meta, e.about().description())
    }

    pub(crate) fn claims(&self) -> &Claims {
        either!(self, e => &e.claims, e.claims())
    }

    /// What computes it.
    pub(crate) fn tier(&self) -> Tier {
        either!(self, e => e.tier, { let _ = e; Tier::Program })
    }

    /// Whether it computes next to nothing.
    #[inline]
    pub(crate) fn cheap(&self) -> bool {
        either!(self, e => e.cheap, { let _ = e; false })
    }

    /// How long an element of an array of `T` takes.
    #[inline]
    pub(crate) fn cost<T: Element>(&self) -> Cost {
        either!(self, e => e.cost::<T>(), e.cost())
    }

    /// The kernels with the first parameter per element.
    #[cfg(feature = "alloc")]
    pub(crate) fn each(&self) -> Option<&'static PerType<Each>> {
        either!(self, e => e.each, { let _ = e; None })
    }

    /// The programs of a function with parameters; an error if it has none.
    #[cfg(feature = "alloc")]
    pub(crate) fn programs(&self) -> Result<Arc<dyn Recording>, Error> {
        match self {
            Made::Recorded(e) if e.about().params() > 0 => Ok(e.clone()),
            Made::Compiled(Entry { record: Some(record), .. }) => Ok(Arc::new(record()?)),
            _ => Err(Error::NoParameters { function: self.name() }),
        }
    }

    /// `y = f(x)` for `n` elements.
    ///
    /// # Safety
    /// See [`Entry::map`].
    #[inline]
    pub(crate) unsafe fn map<T: Element>(
        &self,
        level: Level,
        call: &Call<'_>,
        x: *const T,
        y: *mut T,
        n: usize,
    ) {
        // SAFETY: the arrays have `n` elements, and the level is available.
        unsafe { either!(self, e => e.map(level, call, x, y, n), e.map(level, call, x, y, n)) }
    }

    /// `dx = g f'(x)` for `n` elements; without `g` the gradient is all ones.
    ///
    /// # Safety
    /// See [`Entry::back`].
    #[inline]
    pub(crate) unsafe fn back<T: Element>(
        &self,
        level: Level,
        call: &Call<'_>,
        x: *const T,
        g: Option<*const T>,
        dx: *mut T,
        n: usize,
    ) {
        // SAFETY: the arrays have `n` elements, and the level is available.
        unsafe {
            either!(
                self,
                e => e.back(level, call, x, g, dx, n),
                e.back(level, call, x, g, dx, n, At::Input)
            )
        }
    }

    /// `dx = g f'(x)` from `y = f(x)`, for `n` elements, if the definition has that.
    ///
    /// # Safety
    /// See [`Entry::back_from_output`].
    #[inline]
    pub(crate) unsafe fn back_from_output<T: Element>(
        &self,
        level: Level,
        call: &Call<'_>,
        y: *const T,
        g: Option<*const T>,
        dx: *mut T,
        n: usize,
    ) {
        // SAFETY: the arrays have `n` elements, and the level is available.
        unsafe {
            either!(
                self,
                e => e.back_from_output(level, call, y, g, dx, n),
                e.back(level, call, y, g, dx, n, At::Output)
            )
        }
    }

    pub(crate) fn curvature(&self, x: f64, p: &[Dd], relative: f64) -> f64 {
        either!(self, e => (e.curvature)(x, p, relative), e.curvature(x, p, relative))
    }

    pub(crate) fn gradient(&self, x: f64, p: &[Dd], gradient: &mut [f64]) {
        either!(self, e => (e.gradient)(x, p, gradient), e.gradient(x, p, F64_RELATIVE, gradient));
    }

    pub(crate) fn interval(&self, x: Interval, p: &[Interval]) -> (Interval, Interval) {
        either!(self, e => (e.interval)(x, p), e.interval(x, p))
    }

    pub(crate) fn dd(&self, x: Dd, p: &[Dd]) -> (Dd, Dd) {
        either!(self, e => (e.dd)(x, p), e.dd(x, p))
    }

    pub(crate) fn dd_backward(&self, x: Dd, g: Dd, p: &[Dd]) -> Dd {
        either!(self, e => (e.dd_backward)(x, g, p), e.dd_backward(x, g, p))
    }

    #[cfg(feature = "core-math")]
    pub(crate) fn correct(&self, x: Cm, p: &[Cm]) -> (Cm, Cm) {
        either!(self, e => (e.correct)(x, p), e.correct(x, p))
    }

    /// The formula that it computes.
    #[cfg(feature = "alloc")]
    pub(crate) fn traced(&self) -> alloc::string::String {
        match self {
            Made::Compiled(e) => {
                let arena = crate::real::Arena::default();
                let p: alloc::vec::Vec<_> = e.params.iter().map(|p| arena.symbol(p.name)).collect();
                alloc::format!("{}", (e.trace)(arena.symbol("x"), &p))
            }
            Made::Recorded(e) => e.traced(),
        }
    }

    /// Whether they are one.
    pub(crate) fn is(&self, o: &Self) -> bool {
        match (self, o) {
            (Made::Compiled(a), Made::Compiled(b)) => a.meta.name == b.meta.name,
            #[cfg(feature = "alloc")]
            (Made::Recorded(a), Made::Recorded(b)) => {
                Arc::ptr_eq(a, b) || a.about().description() == b.about().description()
            }
            #[cfg(feature = "alloc")]
            _ => false,
        }
    }
}
