//! Gated linear units: two operands, given apart or packed in one array.

#![allow(unsafe_code)]

use crate::activation::{Arithmetic, Constraint, Description, Gate, Gated, Meta, Parameter, Tier};
use crate::element::Element;
#[cfg(feature = "alloc")]
use crate::error::Error;
use crate::exec::{Cost, Exec, Shared, same_length};
use crate::kernel::{Gateds, PerType};
use crate::level::Level;
use crate::names::Name;
#[cfg(feature = "alloc")]
use crate::program::RecordedGatedEntry;
use crate::real::{Dd, Extended};
use crate::values::{List, Parametric, Values};
#[cfg(feature = "alloc")]
use alloc::sync::Arc;

/// Everything that a gated definition becomes.
#[doc(hidden)]
pub struct GatedEntry {
    pub(crate) meta: Meta,
    /// Computes next to nothing.
    pub(crate) cheap: bool,
    tier: Tier,
    pub(crate) kernels: PerType<Gateds>,
    dd: fn(Dd, Dd) -> (Dd, Dd, Dd),
}

struct Of<G>(G);

impl<G: Gated> Of<G> {
    const ENTRY: &'static GatedEntry = &GatedEntry {
        meta: G::META,
        cheap: matches!(G::ARITHMETIC, Arithmetic::F32),
        tier: Tier::of(G::ARITHMETIC),
        kernels: PerType::<Gateds>::of::<G>(),
        dd: |a, b| {
            let (a, b) = (Extended::from(a), Extended::from(b));
            let (pa, pb) = G::backward(a, b, Extended::new(1.0));
            (G::value(a, b).to_dd(), pa.to_dd(), pb.to_dd())
        },
    };
}

impl GatedEntry {
    /// `y = f(gate, value)` for `n` elements.
    ///
    /// # Safety
    /// The inputs must be valid for reading `n` elements, `y` for writing them and not overlap
    /// them. `level` is available.
    unsafe fn map<T: Element>(
        &self,
        level: Level,
        inputs: [*const T; 2],
        y: *mut T,
        n: usize,
        non_temporal: bool,
    ) {
        let map = T::pick(&self.kernels).map;
        match map.filter(|_| !T::HALF || level.fused()) {
            // SAFETY: the arrays have `n` elements, and the level is available.
            Some(map) => unsafe { map.get(level)(inputs[0], inputs[1], y, n, non_temporal) },
            // SAFETY: the arrays have `n` elements, the level is available; f32 has the kernel.
            None => unsafe {
                T::through_f32(level, inputs, [y], n, &|x, [y], m| {
                    self.map(level, x, y, m, false);
                });
            },
        }
    }

    /// Both gradients for `n` elements of gate, value and gradient.
    ///
    /// # Safety
    /// The inputs must be valid for reading `n` elements, the outputs for writing them; an output
    /// may be one of the inputs, but may not overlap one in another way. `level` is available.
    unsafe fn back<T: Element>(
        &self,
        level: Level,
        inputs: [*const T; 3],
        outputs: [*mut T; 2],
        n: usize,
    ) {
        let back = T::pick(&self.kernels).back;
        let ([gate, value, grad], [by_gate, by_value]) = (inputs, outputs);
        match back.filter(|_| !T::HALF || level.fused()) {
            // SAFETY: the arrays have `n` elements, and the level is available.
            Some(back) => unsafe { back.get(level)(gate, value, grad, by_gate, by_value, n) },
            // SAFETY: the arrays have `n` elements, the level is available; f32 has the kernel.
            None => unsafe {
                T::through_f32(level, inputs, outputs, n, &|x, y, m| self.back(level, x, y, m));
            },
        }
    }
}

/// How both operands lie in one packed array whose last axis is twice as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// The first half of a row is the first operand.
    Halves,
    /// Even elements are the first operand, odd ones the second.
    Interleaved,
}

/// A gated unit: `y = f(a, b)`, where one of the operands is the gate.
///
/// ```
/// let swiglu = nonlin::gated("swiglu")?; // silu(a) b
/// let mut y = [0.0f32];
/// swiglu.forward(&[1.0], &[2.0], &mut y);
/// assert_eq!(y, [1.4621172]);
/// # Ok::<(), nonlin::Error>(())
/// ```
#[derive(Clone)]
pub struct GatedFunction {
    pub(crate) made: Made,
    gate: Gate,
    values: Values,
}

/// What a unit is made of, as [`crate::entry::Made`]. One that was compiled has no parameters.
#[derive(Clone)]
pub(crate) enum Made {
    Compiled(&'static GatedEntry),
    #[cfg(feature = "alloc")]
    Recorded(Arc<RecordedGatedEntry>),
}

impl Parametric for Made {
    fn name(&self) -> Name {
        match self {
            Made::Compiled(e) => e.meta.name.into(),
            #[cfg(feature = "alloc")]
            Made::Recorded(e) => e.about.own_name(),
        }
    }

    fn params(&self) -> usize {
        match self {
            Made::Compiled(_) => 0,
            #[cfg(feature = "alloc")]
            Made::Recorded(e) => e.about.params(),
        }
    }

    fn param(&self, index: usize) -> Parameter<'_> {
        match self {
            Made::Compiled(_) => panic!("a compiled unit has no parameter {index}"),
            #[cfg(feature = "alloc")]
            Made::Recorded(e) => e.about.param_at(index),
        }
    }

    fn param_name(&self, index: usize) -> Name {
        match self {
            Made::Compiled(_) => panic!("a compiled unit has no parameter {index}"),
            #[cfg(feature = "alloc")]
            Made::Recorded(e) => e.about.param_name(index),
        }
    }

    fn constraints(&self) -> &'static [Constraint] {
        &[]
    }
}

#[cfg_attr(not(feature = "alloc"), allow(unused_variables, reason = "compiled units have none"))]
impl Made {
    /// `y = f(gate, value)` for `n` elements, with these values of the parameters.
    ///
    /// # Safety
    /// See [`GatedEntry::map`].
    pub(crate) unsafe fn map<T: Element>(
        &self,
        level: Level,
        params: &[f64],
        inputs: [*const T; 2],
        y: *mut T,
        n: usize,
        non_temporal: bool,
    ) {
        // SAFETY: the arrays have `n` elements, and the level is available.
        unsafe {
            match self {
                Made::Compiled(e) => e.map(level, inputs, y, n, non_temporal),
                #[cfg(feature = "alloc")]
                Made::Recorded(e) => e.map(level, params, inputs, y, n),
            }
        }
    }

    /// Both gradients for `n` elements of gate, value and gradient.
    ///
    /// # Safety
    /// See [`GatedEntry::back`].
    unsafe fn back<T: Element>(
        &self,
        level: Level,
        params: &[f64],
        inputs: [*const T; 3],
        outputs: [*mut T; 2],
        n: usize,
    ) {
        // SAFETY: the arrays have `n` elements, and the level is available.
        unsafe {
            match self {
                Made::Compiled(e) => e.back(level, inputs, outputs, n),
                #[cfg(feature = "alloc")]
                Made::Recorded(e) => e.back(level, params, inputs, outputs, n),
            }
        }
    }

    fn dd(&self, a: Dd, b: Dd, p: &[Dd]) -> (Dd, Dd, Dd) {
        match self {
            Made::Compiled(e) => (e.dd)(a, b),
            #[cfg(feature = "alloc")]
            Made::Recorded(e) => e.dd(a, b, p),
        }
    }

    /// Whether it computes next to nothing.
    fn cheap(&self) -> bool {
        matches!(self, Made::Compiled(e) if e.cheap)
    }
}

impl GatedFunction {
    /// The unit of a definition, with its usual gate.
    #[must_use]
    pub const fn of<G: Gated>() -> Self {
        GatedFunction {
            made: Made::Compiled(Of::<G>::ENTRY),
            gate: G::GATE,
            values: Values::defaults(&[]),
        }
    }

    /// A unit made of programs: `body`, a function of two operands, recorded once. Its gate is the first
    /// one.
    ///
    /// # Errors
    /// If a parameter is listed twice, or its default or its bounds are not possible; if the program
    /// is too long.
    ///
    /// # Panics
    /// If the body has not two operands.
    #[cfg(feature = "alloc")]
    pub fn record(about: crate::About, body: &impl crate::Body) -> Result<Self, crate::Error> {
        assert_eq!(body.operands(), 2, "a gated unit has two operands");
        RecordedGatedEntry::new(about, body).map(Self::recorded)
    }

    /// The unit of a definition, made of programs.
    #[cfg(feature = "alloc")]
    #[doc(hidden)]
    pub fn record_definition<G: Gated>() -> Result<Self, crate::Error> {
        RecordedGatedEntry::of::<G>().map(Self::recorded)
    }

    #[cfg(feature = "alloc")]
    fn recorded(entry: RecordedGatedEntry) -> Self {
        let (gate, made) = (entry.gate, Made::Recorded(Arc::new(entry)));
        GatedFunction { gate, values: Values::of(&made), made }
    }

    /// Name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.meta().name
    }

    /// Names, formula (with the usual gate), source, advice.
    #[must_use]
    pub fn meta(&self) -> Description<'_> {
        match &self.made {
            Made::Compiled(e) => e.meta,
            #[cfg(feature = "alloc")]
            Made::Recorded(e) => e.about.description(),
        }
    }

    /// Whether it was made of programs when the program ran, from a formula or a [`Body`](crate::Body).
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        !matches!(self.made, Made::Compiled(_))
    }

    /// What computes it.
    #[must_use]
    pub fn tier(&self) -> Tier {
        match &self.made {
            Made::Compiled(e) => e.tier,
            #[cfg(feature = "alloc")]
            Made::Recorded(_) => Tier::Program,
        }
    }

    /// The parameters and their values. A unit of a formula may have some; those that are compiled have
    /// none.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (Parameter<'_>, f64)> {
        self.values().iter().enumerate().map(|(i, v)| (self.made.param(i), *v))
    }

    /// The values of the parameters.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        self.values.get()
    }

    /// This unit with these values of all its parameters, in their order.
    ///
    /// # Errors
    /// If a value is NaN or outside the bounds of its parameter.
    ///
    /// # Panics
    /// If there are not as many values as parameters.
    #[cfg(feature = "alloc")]
    #[track_caller]
    pub fn with_values(&self, values: &[f64]) -> Result<Self, Error> {
        let values = self.values.with_values(&self.made, values)?;
        Ok(GatedFunction { values, ..self.clone() })
    }

    /// This unit with the parameter `name` changed.
    ///
    /// ```
    /// let f = nonlin::GatedFunction::parse("a * sigmoid(beta * b); beta = 1 in [0, 10]")?;
    /// let mut y = [0.0f64];
    /// f.with("beta", 0.0)?.forward(&[3.0], &[5.0], &mut y);
    /// assert_eq!(y, [1.5]);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such parameter, or `value` is NaN or outside its bounds.
    #[cfg(feature = "alloc")]
    pub fn with(&self, name: &str, value: f64) -> Result<Self, Error> {
        self.with_params(&[(name, value)])
    }

    /// This unit with several parameters changed.
    ///
    /// # Errors
    /// As of [`with`](Self::with), or if a name is given twice.
    #[cfg(feature = "alloc")]
    pub fn with_params(&self, params: &[(&str, f64)]) -> Result<Self, Error> {
        let values = self.values.with_params(&self.made, params)?;
        Ok(GatedFunction { values, ..self.clone() })
    }

    /// Which operand is the gate.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.gate
    }

    /// This unit with the gate as the first or the second operand.
    #[must_use]
    pub fn with_gate(&self, gate: Gate) -> Self {
        GatedFunction { gate, ..self.clone() }
    }

    /// Value and both partial derivatives (by `a`, by `b`) to about 30 digits, with the parameters of
    /// `T`'s arithmetic.
    #[must_use]
    pub fn reference<T: Element>(&self, a: T, b: T) -> (Dd, Dd, Dd) {
        let (a, b) = (Dd::new(a.to_f64()), Dd::new(b.to_f64()));
        let p = self.exact_values::<T>();
        match self.gate {
            Gate::First => self.made.dd(a, b, p.get()),
            Gate::Second => {
                let (v, pb, pa) = self.made.dd(b, a, p.get());
                (v, pa, pb)
            }
        }
    }

    /// The derivatives of f(a, b) by the parameters, in their order, from about 30 digits.
    ///
    /// ```
    /// let f = nonlin::GatedFunction::parse("a * b^2 * k; k = 2")?;
    /// let mut gradient = [0.0];
    /// f.parameter_gradient(3.0, 5.0, &mut gradient);
    /// assert_eq!(gradient, [75.0]);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Panics
    /// If `gradient` has not as many elements as there are parameters.
    #[cfg(feature = "alloc")]
    #[track_caller]
    pub fn parameter_gradient(&self, a: f64, b: f64, gradient: &mut [f64]) {
        same_length("gradient", gradient.len(), "the list of parameters", self.made.params());
        let _mode = crate::fpmode::DefaultMode::enter();
        let [a, b] = self.ordered(a, b).map(Dd::new);
        if let Made::Recorded(e) = &self.made {
            e.gradient(a, b, self.exact_values::<f64>().get(), gradient);
        }
    }

    /// The parameters of `T`'s arithmetic, with what defaults that are no numbers lack.
    fn exact_values<T: Element>(&self) -> List<Dd> {
        List::of(Dd::new(0.0), self.params().map(|(p, v)| p.exactly::<T>(v)))
    }

    /// `y[i] = f(a[i], b[i])`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn forward<T: Element>(&self, a: &[T], b: &[T], y: &mut [T]) {
        self.forward_with(&Exec::new(), a, b, y);
    }

    /// [`forward`](Self::forward), carried out as `exec` says.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn forward_with<T: Element>(&self, exec: &Exec, a: &[T], b: &[T], y: &mut [T]) {
        same_length("b", b.len(), "a", a.len());
        same_length("y", y.len(), "a", a.len());
        let to = Shared(y.as_mut_ptr());
        let non_temporal = exec.streams::<T>(a.len(), self.made.cheap());
        exec.lines(to.0, a.len(), non_temporal, self.cost::<T>(), |i, m| {
            let x = self.ordered(a[i..i + m].as_ptr(), b[i..i + m].as_ptr());
            // SAFETY: the block lies within all three slices, `y` is borrowed mutably, and `Exec`
            // has no level that is not available.
            unsafe {
                self.made.map(exec.current_level(), self.values(), x, to.at(i), m, non_temporal)
            }
        });
    }

    /// How long an element of an array of `T` takes.
    pub(crate) fn cost<T: Element>(&self) -> Cost {
        #[cfg(feature = "alloc")]
        if let Made::Recorded(e) = &self.made {
            return e.cost();
        }
        match (self.made.cheap(), T::F32_PARAMS) {
            (true, _) => Cost::COPY,
            (false, true) => Cost::TABLES,
            (false, false) => Cost::WIDE,
        }
    }

    /// Gate and value of both operands, whichever comes first.
    pub(crate) fn ordered<P>(&self, a: P, b: P) -> [P; 2] {
        match self.gate {
            Gate::First => [a, b],
            Gate::Second => [b, a],
        }
    }

    /// `da[i] = grad[i] ∂f/∂a`, `db[i] = grad[i] ∂f/∂b`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward<T: Element>(&self, a: &[T], b: &[T], grad: &[T], da: &mut [T], db: &mut [T]) {
        self.backward_with(&Exec::new(), a, b, grad, da, db);
    }

    /// [`backward`](Self::backward), carried out as `exec` says.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_with<T: Element>(
        &self,
        exec: &Exec,
        a: &[T],
        b: &[T],
        grad: &[T],
        da: &mut [T],
        db: &mut [T],
    ) {
        same_length("b", b.len(), "a", a.len());
        same_length("grad", grad.len(), "a", a.len());
        same_length("da", da.len(), "a", a.len());
        same_length("db", db.len(), "a", a.len());
        let (da, db) = (Shared(da.as_mut_ptr()), Shared(db.as_mut_ptr()));
        exec.blocks(a.len(), self.cost::<T>(), |i, m| {
            let r = i..i + m;
            let [x, v] = self.ordered(a[r.clone()].as_ptr(), b[r.clone()].as_ptr());
            // SAFETY: the block lies within all five slices, `da` and `db` are borrowed mutably,
            // and `Exec` has no level that is not available.
            unsafe {
                let by = self.ordered(da.at(i), db.at(i));
                let inputs = [x, v, grad[r].as_ptr()];
                self.made.back(exec.current_level(), self.values(), inputs, by, m);
            }
        });
    }

    /// `f` of both operands packed in rows of `width` elements (an even number).
    ///
    /// # Panics
    /// If `width` is odd or 0, if `x` is not whole rows, or if `y` is not half as long.
    #[track_caller]
    pub fn forward_packed<T: Element>(&self, x: &[T], width: usize, layout: Layout, y: &mut [T]) {
        self.forward_packed_with(&Exec::new(), x, width, layout, y);
    }

    /// [`forward_packed`](Self::forward_packed), carried out as `exec` says.
    ///
    /// # Panics
    /// If `width` is odd or 0, if `x` is not whole rows, or if `y` is not half as long.
    #[track_caller]
    pub fn forward_packed_with<T: Element>(
        &self,
        exec: &Exec,
        x: &[T],
        width: usize,
        layout: Layout,
        y: &mut [T],
    ) {
        let half = packed_half(x.len(), width);
        same_length("y", y.len(), "half of x", x.len() / 2);
        let (level, to) = (exec.current_level(), Shared(y.as_mut_ptr()));
        exec.blocks(y.len(), self.cost::<T>(), |start, n| {
            each_part(layout, half, start, n, |i, at, m| {
                // SAFETY: `i + m` is at most the length of `y`, which is borrowed mutably.
                let y = unsafe { to.at(i) };
                let operands = |a: *const T, b: *const T| {
                    // SAFETY: both operands have `m` elements, which do not overlap `y`, and
                    // `Exec` has no level that is not available.
                    unsafe { self.made.map(level, self.values(), self.ordered(a, b), y, m, false) }
                };
                match layout {
                    Layout::Halves => {
                        operands(x[at..at + m].as_ptr(), x[at + half..at + half + m].as_ptr());
                    }
                    Layout::Interleaved => {
                        let (a, b) = unzip(&x[at..at + 2 * m]);
                        operands(a.as_ptr(), b.as_ptr());
                    }
                }
            });
        });
    }

    /// The gradient of [`forward_packed`](Self::forward_packed), packed like `x`.
    ///
    /// # Panics
    /// If `width` is odd or 0, if `x` is not whole rows, or if the lengths do not fit.
    #[track_caller]
    pub fn backward_packed<T: Element>(
        &self,
        x: &[T],
        grad: &[T],
        width: usize,
        layout: Layout,
        dx: &mut [T],
    ) {
        self.backward_packed_with(&Exec::new(), x, grad, width, layout, dx);
    }

    /// [`backward_packed`](Self::backward_packed), carried out as `exec` says.
    ///
    /// # Panics
    /// If `width` is odd or 0, if `x` is not whole rows, or if the lengths do not fit.
    #[track_caller]
    #[allow(clippy::too_many_arguments)]
    pub fn backward_packed_with<T: Element>(
        &self,
        exec: &Exec,
        x: &[T],
        grad: &[T],
        width: usize,
        layout: Layout,
        dx: &mut [T],
    ) {
        let half = packed_half(x.len(), width);
        same_length("grad", grad.len(), "half of x", x.len() / 2);
        same_length("dx", dx.len(), "x", x.len());
        let (level, to) = (exec.current_level(), Shared(dx.as_mut_ptr()));
        exec.blocks(grad.len(), self.cost::<T>(), |start, n| {
            each_part(layout, half, start, n, |i, at, m| {
                let g = grad[i..i + m].as_ptr();
                let operands = |a: *const T, b: *const T, da: *mut T, db: *mut T| {
                    let [x, v] = self.ordered(a, b);
                    // SAFETY: all operands and both gradients have `m` elements and do not overlap,
                    // and `Exec` has no level that is not available.
                    unsafe {
                        self.made.back(level, self.values(), [x, v, g], self.ordered(da, db), m)
                    }
                };
                match layout {
                    Layout::Halves => {
                        let (a, b) = (&x[at..at + m], &x[at + half..at + half + m]);
                        // SAFETY: `dx` is as long as `x`, where both ranges were just sliced.
                        let (da, db) = unsafe { (to.at(at), to.at(at + half)) };
                        operands(a.as_ptr(), b.as_ptr(), da, db);
                    }
                    Layout::Interleaved => {
                        let (a, b) = unzip(&x[at..at + 2 * m]);
                        let (mut da, mut db) = ([T::default(); STRIP], [T::default(); STRIP]);
                        operands(a.as_ptr(), b.as_ptr(), da.as_mut_ptr(), db.as_mut_ptr());
                        for k in 0..m {
                            // SAFETY: `dx` is as long as `x`, where these pairs were just sliced,
                            // and no other part has them.
                            unsafe {
                                to.at(at + 2 * k).write(da[k]);
                                to.at(at + 2 * k + 1).write(db[k]);
                            }
                        }
                    }
                }
            });
        });
    }
}

/// Calls `f(i, at, m)` for parts of the outputs `start` to `start + n` of a packed array: output `i`
/// and the `m - 1` after it belong to operands that begin at `at`. A part lies within a row of
/// halves, or has at most [`STRIP`] pairs.
fn each_part(
    layout: Layout,
    half: usize,
    start: usize,
    n: usize,
    mut f: impl FnMut(usize, usize, usize),
) {
    let mut i = start;
    while i < start + n {
        let left = start + n - i;
        let (at, m) = match layout {
            Layout::Halves => (i / half * 2 * half + i % half, left.min(half - i % half)),
            // Rows do not matter: pair `i` of the whole array is pair `i` of some row.
            Layout::Interleaved => (2 * i, left.min(STRIP)),
        };
        f(i, at, m);
        i += m;
    }
}

/// Pairs that are taken apart at a time.
const STRIP: usize = 512;

fn unzip<T: Element>(x: &[T]) -> ([T; STRIP], [T; STRIP]) {
    let (mut a, mut b) = ([T::default(); STRIP], [T::default(); STRIP]);
    for (i, pair) in x.chunks_exact(2).enumerate() {
        a[i] = pair[0];
        b[i] = pair[1];
    }
    (a, b)
}

#[track_caller]
fn packed_half(n: usize, width: usize) -> usize {
    assert!(
        width != 0 && width.is_multiple_of(2),
        "a packed row has {width} elements; it must have an even number"
    );
    assert!(
        n.is_multiple_of(width),
        "x has {n} elements, which is not a multiple of the row length {width}"
    );
    width / 2
}

impl core::fmt::Debug for GatedFunction {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}(gate: {:?}", self.name(), self.gate)?;
        for (p, v) in self.params() {
            write!(f, ", {}: {v:?}", p.name)?;
        }
        f.write_str(")")
    }
}
