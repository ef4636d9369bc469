//! A function made of programs: what it says about itself, and the same calls as a compiled one.

#![allow(unsafe_code)]

use super::engine::run;
use super::infinite::some_infinite;
use super::lower::{INPUTS, Lowered, OUTPUTS, Registers};
use super::record::record;
use super::{Body, MOST, Program, Recorded, RecordedGated};
use crate::activation::{
    Claims, Constraint, Description, Elementwise, Gate, Gated, Meta, Parameter,
};
use crate::channels::BLOCK;
use crate::element::Element;
use crate::entry::{At, Recording};
use crate::error::Error;
use crate::exec::Cost;
use crate::kernel::Call;
use crate::level::Level;
use crate::names::{self, Name};
#[cfg(feature = "core-math")]
use crate::real::Cm;
use crate::real::{Arena, Bounded, ByWeight, Dd, Dual, Extended, Interval, Real};
use crate::sums::sum;
use alloc::{string::String, sync::Arc, vec, vec::Vec};
use core::mem::MaybeUninit;

/// What a recorded function says about itself.
///
/// ```
/// use nonlin::About;
/// let about = About::new("bent", "x + alpha * (sqrt(x^2 + 1) - 1)").param_between("alpha", 0.5, 0.0, 1.0);
/// ```
#[derive(Clone, Debug)]
pub struct About {
    name: Arc<str>,
    formula: Arc<str>,
    params: Vec<OwnParameter>,
    /// What else is said about a function of the catalogue.
    meta: Meta,
}

/// A [`Parameter`] with texts of its own.
#[derive(Clone, Debug)]
struct OwnParameter {
    name: Arc<str>,
    doc: Arc<str>,
    /// The facts, with other texts.
    facts: Parameter<'static>,
}

impl OwnParameter {
    fn get(&self) -> Parameter<'_> {
        Parameter { name: &self.name, doc: &self.doc, ..self.facts }
    }
}

impl About {
    /// A function with a name and a formula in `x` (of two operands: `a` and `b`) and its parameters.
    #[must_use]
    pub fn new(name: &str, formula: &str) -> Self {
        let meta = Meta::new("", "");
        About { name: name.into(), formula: formula.into(), params: Vec::new(), meta }
    }

    /// A function of the catalogue, whose formula may have parameters behind it.
    pub(crate) fn described(meta: Meta) -> Self {
        let formula = meta.formula.split(';').next().unwrap_or(meta.formula);
        About { meta, ..About::new(meta.name, formula) }
    }

    /// With one more parameter, which may be any number up to [`Parameter::LIMIT`].
    #[must_use]
    pub fn param(self, name: &str, default: f64) -> Self {
        self.with(Parameter::new(name, default, ""))
    }

    /// With one more parameter between `low` and `high`, both allowed.
    #[must_use]
    pub fn param_between(self, name: &str, default: f64, low: f64, high: f64) -> Self {
        self.with(Parameter { low, high, ..Parameter::new(name, default, "") })
    }

    pub(crate) fn with(mut self, p: Parameter<'_>) -> Self {
        let facts = Parameter { name: "", doc: "", ..p };
        self.params.push(OwnParameter { name: p.name.into(), doc: p.doc.into(), facts });
        self
    }

    /// Whether the parameters are possible.
    fn check(&self) -> Result<(), Error> {
        for (i, p) in self.params.iter().enumerate() {
            let function = || Name::from(self.name.clone());
            let (name, Parameter { default, low, high, .. }) =
                (Name::from(p.name.clone()), p.facts);
            if self.params[..i].iter().any(|q| names::same(&q.name, &name)) {
                return Err(Error::ParameterTwice { function: function(), name });
            }
            let limit = Parameter::LIMIT;
            for (value, low, high) in
                [(low, -limit, limit), (high, low, limit), (default, low, high)]
            {
                if !(low..=high).contains(&value) {
                    let function = function();
                    return Err(Error::ParameterOutOfBounds { function, name, value, low, high });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn description(&self) -> Description<'_> {
        Description { name: &self.name, formula: &self.formula, ..self.meta }
    }

    /// The name, for an error.
    pub(crate) fn own_name(&self) -> Name {
        self.name.clone().into()
    }

    /// The name of a parameter, for an error.
    pub(crate) fn param_name(&self, index: usize) -> Name {
        self.params[index].name.clone().into()
    }

    pub(crate) fn params(&self) -> usize {
        self.params.len()
    }

    pub(crate) fn param_at(&self, index: usize) -> Parameter<'_> {
        self.params[index].get()
    }

    /// Calls `f` with the parameters as the arithmetic of `T` sees them.
    fn rounded<T: Element, R>(&self, values: &[f64], f: impl FnOnce(&[f64]) -> R) -> R {
        let rounded = |(v, p): (&f64, &OwnParameter)| p.facts.rounded::<T>(*v);
        let mut few = [0.0; 8];
        let all = values.iter().zip(&self.params).map(rounded);
        match few.get_mut(..values.len()) {
            Some(few) => {
                few.iter_mut().zip(all).for_each(|(to, v)| *to = v);
                f(few)
            }
            None => f(&all.collect::<Vec<_>>()),
        }
    }
}

/// Exponents of the numbers at which a limit is looked for: far out, but their squares, and their
/// products with parameters, are numbers that sine and cosine can reduce; logarithms grow by a tenth
/// from each to the next.
const FAR_OUT: [i64; 8] = [370, 390, 412, 435, 459, 484, 511, 540];

/// The limit of `f` at an infinity.
fn limit(infinity: f64, f: impl Fn(Extended) -> Extended) -> f64 {
    Extended::limit(&FAR_OUT.map(|k| f(Extended::power_of_two(infinity, k))))
}

/// Limits of a function at both infinities, which are looked for when they are asked for.
struct Limits<F> {
    f: F,
    /// At `-inf`, at `inf`.
    found: [Option<f64>; 2],
}

impl<F: Fn(f64) -> f64> Limits<F> {
    fn new(f: F) -> Self {
        Limits { f, found: [None; 2] }
    }

    fn at(&mut self, infinity: f64) -> f64 {
        let Limits { f, found } = self;
        *found[usize::from(infinity > 0.0)].get_or_insert_with(|| f(infinity))
    }
}

/// Calls `run` with inputs, output and length until it has written `n` elements to `y`, and puts what
/// `limit` gives where the first input is infinite.
///
/// # Safety
/// The inputs must be valid for reading `n` elements, `y` for writing them; `y` may be one of the inputs,
/// but may not overlap one in another way. `run` may read and write as many elements as it is told. `T` is
/// f32 or f64; `level` is available.
unsafe fn with_limits<T: Element, const I: usize>(
    level: Level,
    inputs: [*const T; I],
    y: *mut T,
    n: usize,
    run: impl Fn([*const T; I], *mut T, usize),
    mut limit: impl FnMut([T; I]) -> f64,
) {
    for start in (0..n).step_by(LOOK) {
        let m = LOOK.min(n - start);
        // SAFETY: `start + m <= n`.
        let some = unsafe { some_infinite(level, inputs[0].add(start), m) };
        if !some {
            // SAFETY: `start < n`.
            run(inputs.map(|x| unsafe { x.add(start) }), unsafe { y.add(start) }, m);
            continue;
        }
        for start in (start..start + m).step_by(BLOCK) {
            let m = BLOCK.min(n - start);
            // `y` may be an input.
            let mut copies = [[T::default(); BLOCK]; I];
            for (copy, x) in copies.iter_mut().zip(inputs) {
                // SAFETY: `start + m <= n`, and `m` is at most the length of the copy.
                unsafe { core::ptr::copy_nonoverlapping(x.add(start), copy.as_mut_ptr(), m) }
            }
            // SAFETY: `start + m <= n`.
            let y = unsafe { y.add(start) };
            run(copies.each_ref().map(|copy| copy.as_ptr()), y, m);
            for i in (0..m).filter(|i| copies[0][*i].to_f64().is_infinite()) {
                let at = limit(copies.each_ref().map(|copy| copy[i]));
                // SAFETY: `i < m`.
                unsafe { y.add(i).write(T::from_f64(at)) }
            }
        }
    }
}

/// How many numbers are looked through for infinities before they are computed.
const LOOK: usize = 4096;

/// A program for arrays of f32 and one for arrays of f64.
#[derive(Debug)]
struct Engines {
    f32: Lowered,
    f64: Lowered,
}

impl Engines {
    /// Those of a function that says this about itself; nothing if the program has too many numbers at once.
    fn of(about: &About, program: &Program, f64: Registers) -> Option<Self> {
        // Some defaults have digits that f32 has not.
        let narrow = about
            .params
            .iter()
            .all(|p| p.facts.default as f32 as f64 == p.facts.default || !p.facts.exact);
        let f32 = if narrow { Registers::F32 } else { Registers::ToF32 };
        Some(Engines { f32: program.lower(f32)?, f64: program.lower(f64)? })
    }

    /// With outputs of f64, where so marked; nothing if the program has too many numbers at once.
    fn with_wide(program: &Program, f64: Registers, wide: [bool; OUTPUTS]) -> Option<Self> {
        let lower = |registers| Some(program.lower(registers)?.with_wide(wide));
        Some(Engines { f32: lower(Registers::ToF32)?, f64: lower(f64)? })
    }

    /// Runs the program on arrays of `T`, which is f32 or f64.
    ///
    /// # Safety
    /// The arrays must be valid for `n` elements; an output may be one of the inputs, but may not
    /// overlap one in another way. `level` is available.
    unsafe fn run<T: Element, const I: usize, const O: usize>(
        &self,
        level: Level,
        params: &[f64],
        inputs: [*const T; I],
        outputs: [*mut T; O],
        n: usize,
    ) {
        // SAFETY: the arrays have `n` elements.
        unsafe { self.run_to(level, params, inputs, outputs.map(|p| p.cast()), n) }
    }

    /// Runs the program on arrays of `T`, which is f32 or f64, with outputs of `T` or, where they are
    /// wide, of f64.
    ///
    /// # Safety
    /// See [`Engines::run`]; a wide output may not be an input.
    unsafe fn run_to<T: Element, const I: usize, const O: usize>(
        &self,
        level: Level,
        params: &[f64],
        inputs: [*const T; I],
        outputs: [*mut u8; O],
        n: usize,
    ) {
        let mut from = [core::ptr::null(); INPUTS];
        let mut to = [core::ptr::null_mut(); OUTPUTS];
        for (from, input) in from.iter_mut().zip(inputs) {
            *from = input.cast();
        }
        for (to, output) in to.iter_mut().zip(outputs) {
            *to = output;
        }
        // SAFETY: the arrays have `n` elements, of the type that the engine is for.
        unsafe {
            run(if T::F32_PARAMS { &self.f32 } else { &self.f64 }, level, params, from, to, n);
        }
    }
}

/// Programs for `grad` times the derivatives by one or two operands and by each parameter.
///
/// The first one has the gradients by the operands and that by the first parameter, and each of the others
/// the gradients by two more, so that what they have in common is computed once. Those by parameters are
/// f64 whatever the arrays are: they are terms of sums.
#[derive(Debug)]
pub(crate) struct Gradients {
    all: Vec<Engines>,
    params: usize,
}

impl Gradients {
    /// Those of a function with such programs for its value and for the gradients by its operands, the
    /// latter in these registers.
    fn of(
        about: &About,
        value: &Program,
        backward: &Program,
        registers: Registers,
    ) -> Result<Self, Error> {
        Self::recorded(value, backward, registers)
            .ok_or_else(|| Error::ProgramTooLong { function: about.own_name(), most: MOST })
    }

    /// Nothing if a program is too long.
    fn recorded(value: &Program, backward: &Program, registers: Registers) -> Option<Self> {
        /// `grad` times the derivative by parameter `i`; `x` is the operands and `grad`.
        fn by<T: Real>(value: &Program, i: usize, x: &[T], p: &[T]) -> T {
            let (grad, x) = x.split_last().expect("operands and a gradient");
            let fixed = |v: &[T]| v.iter().map(|v| ByWeight::fixed(*v)).collect::<Vec<_>>();
            let (x, mut p) = (fixed(x), fixed(p));
            p[i] = ByWeight::<T, true>::weight(p[i].value(), grad.lit(1.0));
            let [y] = value.replay(&x, &p);
            *grad * y.derivative()
        }
        let (operands, params) = (usize::from(value.operands), usize::from(value.params));
        let first = match operands {
            1 => record(2, params, |x, p| {
                // What it computes has what the other needs as well.
                let by = by(value, 0, x, p);
                let [dx] = backward.replay(x, p);
                [dx, by]
            })?,
            _ => record(3, params, |x, p| {
                let by = by(value, 0, x, p);
                let [da, db] = backward.replay(x, p);
                [da, db, by]
            })?,
        };
        let wide = core::array::from_fn(|k| k == operands);
        let mut all = vec![Engines::with_wide(&first, registers, wide)?];
        for i in (1..params).step_by(2) {
            // A parameter without a partner is computed once: two results may be one number.
            let j = (i + 1).min(params - 1);
            let two = record(operands + 1, params, |x, p| [by(value, i, x, p), by(value, j, x, p)]);
            all.push(Engines::with_wide(&two?, Registers::F64, [true; OUTPUTS])?);
        }
        Some(Gradients { all, params })
    }

    /// `grad` times the derivatives by the operands for `n` elements, at most [`BLOCK`], and added to
    /// `sums` those of `grad` times the derivatives by the parameters `p`. The inputs are the operands and
    /// `grad`.
    ///
    /// # Safety
    /// The inputs must be valid for reading `n` elements, the outputs for writing them; an output may be
    /// one of the inputs, but may not overlap one in another way. `n` is at most [`BLOCK`]. `level` is
    /// available. `T` is no half type.
    pub(crate) unsafe fn run<T: Element, const I: usize, const O: usize>(
        &self,
        level: Level,
        p: &[f64],
        inputs: [*const T; I],
        outputs: [*mut T; O],
        n: usize,
        sums: &mut [f64],
    ) {
        const {
            assert!(
                I == O + 1 && O < OUTPUTS,
                "operands and a gradient, an output for each operand"
            )
        };
        debug_assert!(n <= BLOCK && sums.len() == self.params, "a block and its sums");
        let mut terms = [[MaybeUninit::<f64>::uninit(); BLOCK]; 2];
        let [a, b] = terms.each_mut().map(|terms| terms.as_mut_ptr().cast::<f64>());
        let (first, sums) = sums.split_first_mut().expect("a parameter");
        // The others first: an output may be what they read.
        for (engines, sums) in self.all[1..].iter().zip(sums.chunks_mut(2)) {
            // SAFETY: the arrays have `n` elements, the blocks of terms as many and more.
            unsafe {
                engines.run_to(level, p, inputs, [a.cast(), b.cast()], n);
                for (to, terms) in sums.iter_mut().zip([a, b]) {
                    *to += sum::<f64>(level, terms, n);
                }
            }
        }
        let mut to = [core::ptr::null_mut(); OUTPUTS];
        for (to, output) in to.iter_mut().zip(outputs) {
            *to = output.cast();
        }
        to[O] = a.cast();
        // SAFETY: the arrays have `n` elements, the block of terms as many and more.
        unsafe {
            self.all[0].run_to(level, p, inputs, to, n);
            *first += sum::<f64>(level, a, n);
        }
    }
}

fn extended(p: &[Dd]) -> Vec<Extended> {
    p.iter().map(|v| (*v).into()).collect()
}

/// A function of one operand that was recorded.
#[derive(Debug)]
pub(crate) struct RecordedEntry {
    about: About,
    claims: Claims,
    constraints: &'static [Constraint],
    programs: Recorded,
    map: Engines,
    back: Engines,
    from_output: Option<Engines>,
    /// Whether values at infinities are looked for; a definition has them by itself.
    has_limits: bool,
    /// Nanoseconds an element, roughly.
    cost: f64,
}

impl RecordedEntry {
    /// The entry of a body.
    pub(crate) fn new(about: About, body: &impl Body) -> Result<Self, Error> {
        about.check()?;
        let programs = Recorded::from_body(body, about.params.len());
        let unknown = Claims::new((f64::NAN, f64::NAN), (f64::NAN, f64::NAN));
        Self::of_programs(about, unknown, &[], programs, true)
    }

    /// The entry of a definition.
    pub(crate) fn of<A: Elementwise>() -> Result<Self, Error> {
        let mut about = About::new(A::META.name, A::META.formula);
        for p in A::PARAMS {
            about = about.with(*p);
        }
        Self::of_programs(about, A::CLAIMS, A::CONSTRAINTS, Recorded::of::<A>(), false)
    }

    fn of_programs(
        about: About,
        claims: Claims,
        constraints: &'static [Constraint],
        programs: Option<Recorded>,
        has_limits: bool,
    ) -> Result<Self, Error> {
        let entry = |programs: Recorded| {
            let from_output = match &programs.from_output {
                Some([_, backward]) => Some(Engines::of(&about, backward, Registers::F64)?),
                None => None,
            };
            Some((
                Engines::of(&about, &programs.value, Registers::F64)?,
                Engines::of(&about, &programs.backward, Registers::Deferred)?,
                from_output,
                programs,
            ))
        };
        let Some((map, back, from_output, programs)) = programs.and_then(entry) else {
            return Err(Error::ProgramTooLong { function: about.own_name(), most: MOST });
        };
        let cost = programs.value.cost();
        Ok(RecordedEntry {
            about,
            claims,
            constraints,
            programs,
            map,
            back,
            from_output,
            has_limits,
            cost,
        })
    }

    /// `y = f(x)` for `n` elements.
    ///
    /// # Safety
    /// `x` must be valid for reading `n` elements, `y` for writing them; they are one array or do
    /// not overlap. `level` is available. `T` is f32 or f64.
    unsafe fn map<T: Element>(
        &self,
        level: Level,
        call: &Call<'_>,
        x: *const T,
        y: *mut T,
        n: usize,
    ) {
        self.about.rounded::<T, _>(call.params, |p| {
            if !self.has_limits {
                // SAFETY: the arrays have `n` elements, and the level is available.
                return unsafe { self.map.run(level, p, [x], [y], n) };
            }
            let mut limits = Limits::new(|infinity| self.limit(infinity, p));
            // SAFETY: the arrays have `n` elements, those that are handed on as many as is said, and the
            // level is available.
            unsafe {
                let run = |x, y, m| self.map.run(level, p, x, [y], m);
                with_limits(level, [x], y, n, run, |[x]: [T; 1]| limits.at(x.to_f64()));
            }
        });
    }

    /// The limit of f at an infinity.
    fn limit(&self, infinity: f64, p: &[f64]) -> f64 {
        let p: Vec<_> = p.iter().map(|v| Extended::new(*v)).collect();
        limit(infinity, |x| self.programs.value(x, &p))
    }

    /// The limit of f' at an infinity.
    fn limit_of_slope(&self, infinity: f64, p: &[f64]) -> f64 {
        let p: Vec<_> = p.iter().map(|v| Extended::new(*v)).collect();
        limit(infinity, |x| self.programs.slope(x, &p))
    }

    /// `dx = g f'(x)` for `n` elements.
    ///
    /// # Safety
    /// The inputs must be valid for reading `n` elements, `dx` for writing them; `dx` may be one
    /// of them, but may not overlap one in another way. `level` is available. `T` is f32 or f64.
    unsafe fn back<T: Element>(
        &self,
        level: Level,
        call: &Call<'_>,
        inputs: [*const T; 2],
        dx: *mut T,
        n: usize,
        at: At,
    ) {
        self.about.rounded::<T, _>(call.params, |p| {
            let mut limits = Limits::new(|infinity| self.limit_of_slope(infinity, p));
            // SAFETY: the arrays have `n` elements, those that are handed on as many as is said, and the
            // level is available.
            unsafe {
                if at == At::Output {
                    let engines = self.from_output.as_ref().expect("asked before");
                    return engines.run(level, p, inputs, [dx], n);
                }
                if !self.has_limits {
                    return self.back.run(level, p, inputs, [dx], n);
                }
                let run = |inputs, dx, m| self.back.run(level, p, inputs, [dx], m);
                with_limits(level, inputs, dx, n, run, |[x, g]: [T; 2]| {
                    g.to_f64() * limits.at(x.to_f64())
                });
            }
        });
    }

    /// The parameters as constants of dual numbers.
    fn fixed<T: Real + From<Dd>>(p: &[Dd]) -> Vec<Dual<T>> {
        p.iter().map(|v| Dual::fixed((*v).into())).collect()
    }

    /// The limit of the derivative by a parameter at an infinity.
    fn limit_by_parameter(&self, infinity: f64, p: &[Dd], index: usize) -> f64 {
        let mut p = Self::fixed(p);
        p[index] = Dual::variable(p[index].v);
        limit(infinity, |x| self.programs.value(Dual::fixed(x), &p).d)
    }
}

impl Recording for RecordedEntry {
    fn about(&self) -> &About {
        &self.about
    }

    fn cost(&self) -> Cost {
        Cost::nanoseconds_an_element(self.cost)
    }

    fn claims(&self) -> &Claims {
        &self.claims
    }

    fn constraints(&self) -> &'static [Constraint] {
        self.constraints
    }

    unsafe fn map_f32(&self, l: Level, c: &Call<'_>, x: *const f32, y: *mut f32, n: usize) {
        // SAFETY: what this function is promised is what that one asks for.
        unsafe { self.map(l, c, x, y, n) }
    }

    unsafe fn map_f64(&self, l: Level, c: &Call<'_>, x: *const f64, y: *mut f64, n: usize) {
        // SAFETY: what this function is promised is what that one asks for.
        unsafe { self.map(l, c, x, y, n) }
    }

    unsafe fn back_f32(
        &self,
        level: Level,
        call: &Call<'_>,
        inputs: [*const f32; 2],
        dx: *mut f32,
        n: usize,
        at: At,
    ) {
        // SAFETY: what this function is promised is what that one asks for.
        unsafe { self.back(level, call, inputs, dx, n, at) }
    }

    unsafe fn back_f64(
        &self,
        level: Level,
        call: &Call<'_>,
        inputs: [*const f64; 2],
        dx: *mut f64,
        n: usize,
        at: At,
    ) {
        // SAFETY: what this function is promised is what that one asks for.
        unsafe { self.back(level, call, inputs, dx, n, at) }
    }

    fn curvature(&self, x: f64, p: &[Dd], relative: f64) -> f64 {
        if x.is_infinite() && self.has_limits {
            let p = Self::fixed(p);
            return limit(x, |x| self.programs.slope(Dual::variable(x), &p).d);
        }
        let x = Dd::new(x);
        let quick = self.programs.slope(Dual::variable(Bounded::from(x)), &Self::fixed(p)).d;
        quick.within(relative).unwrap_or_else(|| {
            self.programs.slope(Dual::variable(Extended::from(x)), &Self::fixed(p)).d.to_f64()
        })
    }

    fn gradient(&self, x: f64, p: &[Dd], relative: f64, gradient: &mut [f64]) {
        let at = |x: f64| Dd::new(x);
        for (i, g) in gradient.iter_mut().enumerate() {
            fn by<T: Real + From<Dd>>(e: &RecordedEntry, x: Dd, p: &[Dd], i: usize) -> T {
                let mut p = RecordedEntry::fixed::<T>(p);
                p[i] = Dual::variable(p[i].v);
                e.programs.value(Dual::fixed(x.into()), &p).d
            }
            if x.is_infinite() && self.has_limits {
                *g = self.limit_by_parameter(x, p, i);
                continue;
            }
            let quick = by::<Bounded>(self, at(x), p, i).within(relative);
            *g = quick.unwrap_or_else(|| by::<Extended>(self, at(x), p, i).to_f64());
        }
    }

    fn interval(&self, x: Interval, p: &[Interval]) -> (Interval, Interval) {
        (self.programs.value(x, p), self.programs.slope(x, p))
    }

    fn dd(&self, x: Dd, p: &[Dd]) -> (Dd, Dd) {
        let p = extended(p);
        if x.hi.is_infinite() && self.has_limits {
            let value = limit(x.hi, |x| self.programs.value(x, &p));
            let slope = limit(x.hi, |x| self.programs.slope(x, &p));
            return (Dd::new(value), Dd::new(slope));
        }
        (self.programs.value(x.into(), &p).to_dd(), self.programs.slope(x.into(), &p).to_dd())
    }

    fn dd_backward(&self, x: Dd, g: Dd, p: &[Dd]) -> Dd {
        if x.hi.is_infinite() && self.has_limits {
            return g * self.dd(x, p).1;
        }
        self.programs.backward::<Extended>(x.into(), g.into(), &extended(p)).to_dd()
    }

    #[cfg(feature = "core-math")]
    fn correct(&self, x: Cm, p: &[Cm]) -> (Cm, Cm) {
        if x.0.is_infinite() && self.has_limits {
            let p: Vec<f64> = p.iter().map(|p| p.0).collect();
            return (Cm(self.limit(x.0, &p)), Cm(self.limit_of_slope(x.0, &p)));
        }
        (self.programs.value(x, p), self.programs.slope(x, p))
    }

    fn traced(&self) -> String {
        let arena = Arena::default();
        let p: Vec<_> = self.about.params.iter().map(|p| arena.symbol(&p.name)).collect();
        alloc::format!("{}", self.programs.value(arena.symbol("x"), &p))
    }

    fn gradients(&self) -> Result<Gradients, Error> {
        let Recorded { value, backward, .. } = &self.programs;
        Gradients::of(&self.about, value, backward, Registers::Deferred)
    }
}

/// A function of two operands that was recorded.
#[derive(Debug)]
pub(crate) struct RecordedGatedEntry {
    pub(crate) about: About,
    pub(crate) gate: Gate,
    programs: RecordedGated,
    map: Engines,
    back: Engines,
    cost: f64,
}

impl RecordedGatedEntry {
    /// The entry of a body.
    pub(crate) fn new(about: About, body: &impl Body) -> Result<Self, Error> {
        about.check()?;
        let programs = RecordedGated::from_body(body, about.params.len());
        Self::of_programs(about, Gate::First, programs)
    }

    /// The entry of a definition.
    pub(crate) fn of<G: Gated>() -> Result<Self, Error> {
        let about = About::new(G::META.name, G::META.formula);
        Self::of_programs(about, G::GATE, RecordedGated::of::<G>())
    }

    fn of_programs(
        about: About,
        gate: Gate,
        programs: Option<RecordedGated>,
    ) -> Result<Self, Error> {
        let entry = |programs: RecordedGated| {
            // As compiled kernels of gated functions are.
            Some((
                Engines::of(&about, &programs.value, Registers::F64)?,
                Engines::of(&about, &programs.backward, Registers::F64)?,
                programs,
            ))
        };
        let Some((map, back, programs)) = programs.and_then(entry) else {
            return Err(Error::ProgramTooLong { function: about.own_name(), most: MOST });
        };
        let cost = programs.value.cost();
        Ok(RecordedGatedEntry { about, gate, programs, map, back, cost })
    }

    pub(crate) fn cost(&self) -> Cost {
        Cost::nanoseconds_an_element(self.cost)
    }

    /// `y = f(gate, value)` for `n` elements.
    ///
    /// # Safety
    /// The inputs must be valid for reading `n` elements, `y` for writing them and not overlap
    /// them. `level` is available.
    pub(crate) unsafe fn map<T: Element>(
        &self,
        level: Level,
        params: &[f64],
        inputs: [*const T; 2],
        y: *mut T,
        n: usize,
    ) {
        // SAFETY: the arrays have `n` elements, the blocks `m`, and the level is available.
        unsafe {
            if T::HALF {
                return T::through_f32(level, inputs, [y], n, &|x, [y], m| {
                    self.map(level, params, x, y, m)
                });
            }
            self.about.rounded::<T, _>(params, |p| self.map.run(level, p, inputs, [y], n));
        }
    }

    /// Both gradients for `n` elements of gate, value and gradient.
    ///
    /// # Safety
    /// The inputs must be valid for reading `n` elements, the outputs for writing them; an output
    /// may be one of the inputs, but may not overlap one in another way. `level` is available.
    pub(crate) unsafe fn back<T: Element>(
        &self,
        level: Level,
        params: &[f64],
        inputs: [*const T; 3],
        outputs: [*mut T; 2],
        n: usize,
    ) {
        // SAFETY: the arrays have `n` elements, the blocks `m`, and the level is available.
        unsafe {
            if T::HALF {
                return T::through_f32(level, inputs, outputs, n, &|x, y, m| {
                    self.back(level, params, x, y, m);
                });
            }
            self.about.rounded::<T, _>(params, |p| self.back.run(level, p, inputs, outputs, n));
        }
    }

    /// Programs for the gradients by both operands and by the parameters, of which there is one at
    /// least.
    pub(crate) fn gradients(&self) -> Result<Gradients, Error> {
        let RecordedGated { value, backward } = &self.programs;
        Gradients::of(&self.about, value, backward, Registers::F64)
    }

    /// Value and both partial derivatives to about 30 digits.
    pub(crate) fn dd(&self, a: Dd, b: Dd, p: &[Dd]) -> (Dd, Dd, Dd) {
        let (a, b, p) = (Extended::from(a), Extended::from(b), extended(p));
        let [pa, pb] = self.programs.backward(a, b, Extended::new(1.0), &p);
        (self.programs.value(a, b, &p).to_dd(), pa.to_dd(), pb.to_dd())
    }

    /// The derivatives of f(a, b) by the parameters.
    pub(crate) fn gradient(&self, a: Dd, b: Dd, p: &[Dd], gradient: &mut [f64]) {
        for (i, g) in gradient.iter_mut().enumerate() {
            let mut p: Vec<_> = extended(p).into_iter().map(Dual::fixed).collect();
            p[i] = Dual::variable(p[i].v);
            let [a, b] = [a, b].map(|x| Dual::fixed(x.into()));
            *g = self.programs.value(a, b, &p).d.to_f64();
        }
    }
}
