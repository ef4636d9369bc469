//! Row-wise functions: softmax, log-softmax and softmin along any axes, with scale and mask as in attention.
//!
//! `x - max` is carried exactly, and terms are added in one fixed order (by index modulo 16, or 32
//! for f32 and half types without mask and scale, each partial sum with its rounding errors
//! collected), so that a row has the same bits at every level with fused multiply-add and for any
//! thread count.
//! log-softmax adds up all terms but the largest, so that `ln(1 + rest)` is exact when the largest
//! dominates.
//!
//! | file | what |
//! |---|---|
//! | `mask.rs`, `layout.rs` | which elements take part, where rows lie |
//! | `job.rs` | what is done to a row |
//! | `kernels.rs` | which way a row goes; the entries by level |
//! | `plain.rs`, `short.rs` | rows of f32 without mask and scale; those of at most 32 elements |
//! | `terms.rs`, `log_sum.rs` | their terms and sums |
//! | `wide.rs` | rows in f64 registers: of f64, and of f32 with mask or scale |
//! | `gradient.rs` | gradients |
//! | `half.rs` | f16 and bf16 |

#![allow(unsafe_code)]

mod gradient;
#[cfg(feature = "half")]
mod half;
mod job;
mod kernels;
mod lanes;
mod layout;
mod log_sum;
mod mask;
mod plain;
mod short;
mod terms;
mod wide;

pub use job::EmptyRow;
pub use mask::Mask;

use crate::activation::{Meta, Param};
use crate::element::Element;
use crate::error::Error;
use crate::exec::{Exec, Shared, same_length};
use crate::kernel::{Family, PerType};
use crate::names;
use crate::real::{Dd, Real};
use crate::shape::{self, Axes};
use alloc::{borrow::ToOwned, vec, vec::Vec};
use core::fmt;
use job::RowJob;
use kernels::{RowKernels, row_back_f32, row_back_f64, rows_f32, rows_f64};
use layout::{Layout, Place};
use mask::RowMask;

/// A row-wise function as its file under `functions/` defines it, of logits `z = scale x + mask`, or
/// with the sign of `x` changed.
///
/// Kernels know both forms, the shares `e^z / sum e^z` and their logarithm; the definition in
/// double-double numbers is what they are measured against.
pub(crate) trait RowWise: Copy + 'static {
    /// Name, formula in `x`, source.
    const META: Meta;
    /// Whether the logarithm of the shares is taken.
    const LOG: bool;
    /// The sign of `x` in the logits.
    const SIGN: f64 = 1.0;

    /// The result for a logit `d` below the largest, where `rest` is the sum of `e^d` over all
    /// logits but one of the largest.
    fn share(d: Dd, rest: Dd) -> Dd;
}

/// The parameter of all of them.
static SCALE: Param = Param::new("scale", UNSCALED, "factor of x; attention uses 1 / sqrt(d)");

/// The default of [`SCALE`].
const UNSCALED: f64 = 1.0;

/// Everything that a row-wise definition becomes.
struct Entry {
    meta: Meta,
    log: bool,
    sign: f64,
    share: fn(Dd, Dd) -> Dd,
}

struct Of<R>(R);

impl<R: RowWise> Of<R> {
    const ENTRY: &'static Entry =
        &Entry { meta: R::META, log: R::LOG, sign: R::SIGN, share: R::share };
}

/// A row-wise function with its parameter: softmax, log-softmax or softmin of `scale x + mask` along some
/// axes of an array in C order.
///
/// A row that holds NaN or +inf is NaN: `e^(inf - inf)` has no value, and where two elements grow
/// the limit depends on which does so faster. -inf is an element without a share. Of a row without
/// any share see [`empty_rows`](Self::empty_rows).
///
/// ```
/// use nonlin::Softmax;
/// let x = [1.0f32, 2.0, 3.0];
/// let mut y = [0.0; 3];
/// Softmax.forward(&x, &[3], -1, &mut y)?;
/// assert_eq!(y, [0.09003057, 0.24472848, 0.66524094]);
/// Softmax.with("scale", 0.5)?.forward(&x, &[3], -1, &mut y)?;
/// assert_eq!(y, [0.18632372, 0.30719587, 0.5064804]);
/// # Ok::<(), nonlin::Error>(())
/// ```
#[derive(Clone)]
pub struct RowFunction {
    entry: &'static Entry,
    scale: f64,
    empty: EmptyRow,
}

impl fmt::Debug for RowFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(scale: {}, empty rows: {:?})", self.name(), self.scale, self.empty)
    }
}

impl PartialEq for RowFunction {
    fn eq(&self, other: &Self) -> bool {
        (self.name(), self.scale, self.empty) == (other.name(), other.scale, other.empty)
    }
}

impl RowFunction {
    /// The function of a definition, with a scale of 1.
    pub(crate) const fn of<R: RowWise>() -> Self {
        RowFunction { entry: Of::<R>::ENTRY, scale: UNSCALED, empty: EmptyRow::Nan }
    }

    /// Name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.entry.meta.name
    }

    /// Names, formula, source, advice.
    #[must_use]
    pub fn meta(&self) -> Meta {
        self.entry.meta
    }

    /// Parameters and their values.
    pub fn params(&self) -> impl Iterator<Item = (Param, f64)> {
        core::iter::once((SCALE, self.scale))
    }

    /// This function with another value of a parameter: `scale`, the factor of `x`, a number between
    /// the limits of f32.
    ///
    /// # Errors
    /// If there is no such parameter, or the value is NaN or out of bounds.
    pub fn with(&self, name: &str, value: f64) -> Result<Self, Error> {
        self.with_params(&[(name, value)])
    }

    /// This function with other values of several parameters, of which there is one as yet.
    ///
    /// # Errors
    /// If there is no such parameter, a value is NaN or out of bounds, or a name is given twice.
    pub fn with_params(&self, params: &[(&str, f64)]) -> Result<Self, Error> {
        let function = self.entry.meta.name.into();
        let mut f = self.clone();
        for (i, &(name, value)) in params.iter().enumerate() {
            if !names::same(name, SCALE.name) {
                let known = vec![SCALE.name.into()];
                return Err(Error::UnknownParameter { function, name: name.to_owned(), known });
            }
            if i > 0 {
                return Err(Error::ParameterTwice { function, name: SCALE.name.into() });
            }
            let (name, low, high) = (SCALE.name.into(), SCALE.low, SCALE.high);
            if !(low..=high).contains(&value) {
                return Err(Error::ParameterOutOfBounds { function, name, value, low, high });
            }
            f.scale = value;
        }
        Ok(f)
    }

    /// This function with another result for rows of which every element is masked or -inf.
    #[must_use]
    pub fn empty_rows(&self, empty: EmptyRow) -> Self {
        RowFunction { empty, ..self.clone() }
    }

    /// Along `axes` of an array of that shape: an axis (negative: counted from the end), several as
    /// `&[1, 2]`, or [`Axes::ALL`]. Along several axes the elements of all of them are one row. An
    /// array of shape `[]` is a row of one element.
    ///
    /// # Errors
    /// If the shape does not fit `x`, or has no such axis.
    ///
    /// # Panics
    /// If `y` is not as long as `x`.
    #[track_caller]
    pub fn forward<'a, T: Element>(
        &self,
        x: &[T],
        shape: &[usize],
        axes: impl Into<Axes<'a>>,
        y: &mut [T],
    ) -> Result<(), Error> {
        self.forward_with(&Exec::new(), x, shape, axes, Mask::new(), y)
    }

    /// [`forward`](Self::forward) with the results in place of the inputs.
    ///
    /// # Errors
    /// If the shape does not fit `x`, or has no such axis.
    pub fn forward_in_place<'a, T: Element>(
        &self,
        x: &mut [T],
        shape: &[usize],
        axes: impl Into<Axes<'a>>,
    ) -> Result<(), Error> {
        self.forward_in_place_with(&Exec::new(), x, shape, axes, Mask::new())
    }

    /// [`forward`](Self::forward) with a mask, carried out as `exec` says.
    ///
    /// # Errors
    /// If the shape does not fit `x`, has no such axis, or the mask cannot be repeated to it.
    ///
    /// # Panics
    /// If `y` is not as long as `x`.
    #[track_caller]
    pub fn forward_with<'a, T: Element>(
        &self,
        exec: &Exec,
        x: &[T],
        shape: &[usize],
        axes: impl Into<Axes<'a>>,
        mask: Mask<'_, T>,
        y: &mut [T],
    ) -> Result<(), Error> {
        same_length("y", y.len(), "x", x.len());
        shape::check("the array", x.len(), shape)?;
        let lie = Lie::of(shape, axes.into(), &mask)?;
        let (x, y) = (Shared(x.as_ptr().cast_mut()), Shared(y.as_mut_ptr()));
        // SAFETY: both slices have the size of the shape.
        unsafe { self.rows(exec, x, &lie, &mask, y) }
        Ok(())
    }

    /// [`forward_with`](Self::forward_with) with the results in place of the inputs.
    ///
    /// # Errors
    /// If the shape does not fit `x`, has no such axis, or the mask cannot be repeated to it.
    pub fn forward_in_place_with<'a, T: Element>(
        &self,
        exec: &Exec,
        x: &mut [T],
        shape: &[usize],
        axes: impl Into<Axes<'a>>,
        mask: Mask<'_, T>,
    ) -> Result<(), Error> {
        shape::check("the array", x.len(), shape)?;
        let lie = Lie::of(shape, axes.into(), &mask)?;
        let x = Shared(x.as_mut_ptr());
        // SAFETY: the slice has the size of the shape.
        unsafe { self.rows(exec, x, &lie, &mask, x) }
        Ok(())
    }

    /// The gradient of [`forward`](Self::forward) from its output `y`, which alone need be saved.
    ///
    /// # Errors
    /// If the shape does not fit `y`, or has no such axis.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward<'a, T: Element>(
        &self,
        y: &[T],
        grad: &[T],
        shape: &[usize],
        axes: impl Into<Axes<'a>>,
        dx: &mut [T],
    ) -> Result<(), Error> {
        self.backward_with(&Exec::new(), y, grad, shape, axes, Mask::new(), dx)
    }

    /// The gradient of [`forward_with`](Self::forward_with) with the same mask, from its output
    /// `y`, carried out as `exec` says: 0 for elements that are masked, whatever `grad` is there.
    ///
    /// # Errors
    /// If the shape does not fit `y`, has no such axis, or the mask cannot be repeated to it.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    #[allow(clippy::too_many_arguments, reason = "those of `forward_with` and the gradient")]
    pub fn backward_with<'a, T: Element>(
        &self,
        exec: &Exec,
        y: &[T],
        grad: &[T],
        shape: &[usize],
        axes: impl Into<Axes<'a>>,
        mask: Mask<'_, T>,
        dx: &mut [T],
    ) -> Result<(), Error> {
        same_length("grad", grad.len(), "y", y.len());
        same_length("dx", dx.len(), "y", y.len());
        shape::check("the array", y.len(), shape)?;
        let lie = Lie::of(shape, axes.into(), &mask)?;
        let (grad, dx) = (Shared(grad.as_ptr().cast_mut()), Shared(dx.as_mut_ptr()));
        // SAFETY: the three slices have the size of the shape.
        unsafe { self.rows_back(exec, y, grad, &lie, &mask, dx) }
        Ok(())
    }

    /// [`backward`](Self::backward) with the result in place of `grad`.
    ///
    /// # Errors
    /// If the shape does not fit `y`, or has no such axis.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_in_place<'a, T: Element>(
        &self,
        y: &[T],
        grad: &mut [T],
        shape: &[usize],
        axes: impl Into<Axes<'a>>,
    ) -> Result<(), Error> {
        same_length("grad", grad.len(), "y", y.len());
        shape::check("the array", y.len(), shape)?;
        let mask = Mask::new();
        let lie = Lie::of(shape, axes.into(), &mask)?;
        let grad = Shared(grad.as_mut_ptr());
        // SAFETY: both slices have the size of the shape.
        unsafe { self.rows_back(&Exec::new(), y, grad, &lie, &mask, grad) }
        Ok(())
    }

    /// One row to about 30 digits: `z` is [`factor`](Self::factor) times x, and -inf where it is masked.
    #[must_use]
    pub fn reference(&self, z: &[Dd]) -> Vec<Dd> {
        let job = self.job(z.len());
        let masked = |v: &Dd| v.hi == f64::NEG_INFINITY;
        if z.iter().any(|v| v.hi.is_nan() || v.hi == f64::INFINITY) {
            return vec![Dd::new(f64::NAN); z.len()];
        }
        let live = || z.iter().enumerate().filter(|(_, v)| !masked(v));
        let Some(top) = live().map(|(_, v)| *v).reduce(Real::max) else {
            return vec![Dd::new(job.all_masked()); z.len()];
        };
        // All terms but the largest, so that a small rest keeps its digits beside 1.
        let largest = live().position(|(_, v)| (*v - top).hi == 0.0);
        let others = live().enumerate().filter(|(i, _)| Some(*i) != largest);
        let rest = others.fold(Dd::new(0.0), |sum, (_, (_, v))| sum + (*v - top).exp());
        let one = |v: &Dd| match v {
            v if masked(v) => Dd::new(job.masked()),
            v => (self.entry.share)(*v - top, rest),
        };
        z.iter().map(one).collect()
    }

    /// What `x` is multiplied by in the logits: `scale`, of softmin `-scale`.
    #[must_use]
    pub fn factor(&self) -> f64 {
        self.entry.sign * self.scale
    }

    fn job(&self, visible: usize) -> RowJob {
        RowJob { log: self.entry.log, scale: self.factor(), empty: self.empty, visible }
    }

    /// # Safety
    /// `x` and `y` point to as many elements as `lie` has, apart or the same; `lie` was made of
    /// the mask.
    unsafe fn rows<T: Element>(
        &self,
        exec: &Exec,
        x: Shared<T>,
        lie: &Lie,
        mask: &Mask<'_, T>,
        y: Shared<T>,
    ) {
        let level = exec.current_level();
        // `count` rows of `n` elements, one after another, without a mask.
        let plain = |n: usize, count: usize, x: *const T, y: *mut T| {
            let (job, none) = (self.job(n), core::ptr::null());
            // SAFETY: both pointers have so many elements; the level is available, which was checked
            // when it was set.
            unsafe {
                (T::pick(&KERNELS).rows)(level, &job, x, none, core::ptr::null(), y, n, count)
            }
        };
        let layout = match lie {
            Lie::InOrder { rows, n } => {
                return exec.rows(*rows, *n, |r, count| {
                    // SAFETY: the rows from `r` on begin `r n` elements behind the first one.
                    unsafe { plain(*n, count, x.at(r * n), y.at(r * n)) }
                });
            }
            Lie::Walked(layout) => layout,
        };
        let n = layout.row.len();
        if n == 0 || layout.rows.len() == 0 {
            return;
        }
        let job = self.job(n);
        // `count` rows from number `r` on, which lie one after another behind `x` and go to `y`.
        let some = |r: usize, count: usize, x: *const T, y: *mut T| {
            if mask.is_empty() {
                return plain(n, count, x, y);
            }
            let mut own = RowMask::new();
            for i in 0..count {
                let place = layout.rows.at(r + i);
                let entries = own.of(mask, layout, &place);
                let seen = mask.band.of(place[QUERY], n);
                // SAFETY: row `i` of those has `n` elements, and so have entries that there are.
                unsafe { masked_row(level, job, x.add(i * n), entries, seen, y.add(i * n), n) }
            }
        };
        if layout.row.is_contiguous(SCORES) {
            exec.rows(layout.rows.len(), n, |r, count| {
                // SAFETY: rows that run along the last axes lie one after another in C order.
                unsafe { some(r, count, x.at(r * n), y.at(r * n)) }
            });
        } else {
            columns(exec, layout, |r, count, rows: &mut [T]| {
                // SAFETY: the places of a layout are within the elements that it has.
                gather(layout, r, count, rows, |at| unsafe { x.at(at).read() });
                let p = rows.as_mut_ptr();
                some(r, count, p, p);
                // SAFETY: the places of a layout are within the elements that it has, and no two
                // calls have a row in common.
                scatter(layout, r, count, rows, |at, v| unsafe { y.at(at).write(v) });
            });
        }
    }

    /// # Safety
    /// `grad` and `dx` point to as many elements as `lie` and `y` have, apart or the same; `lie` was
    /// made of the mask.
    unsafe fn rows_back<T: Element>(
        &self,
        exec: &Exec,
        y: &[T],
        grad: Shared<T>,
        lie: &Lie,
        mask: &Mask<'_, T>,
        dx: Shared<T>,
    ) {
        let (level, log, scale) = (exec.current_level(), self.entry.log, self.factor());
        let back = T::pick(&KERNELS).back;
        let layout = match lie {
            Lie::InOrder { rows, n } => {
                return exec.rows(*rows, *n, |first, count| {
                    for at in (first..first + count).map(|r| r * n) {
                        // SAFETY: row `r` begins `r n` elements behind the first one, and has `n`;
                        // the level is available, which was checked when it was set.
                        unsafe {
                            back(level, log, scale, y[at..].as_ptr(), grad.at(at), dx.at(at), *n)
                        }
                    }
                });
            }
            Lie::Walked(layout) => layout,
        };
        let n = layout.row.len();
        if n == 0 || layout.rows.len() == 0 {
            return;
        }
        // `count` rows from number `r` on, which lie one after another.
        let some = |r: usize, count: usize, y: *const T, grad: *const T, dx: *mut T| {
            let (mut own, mut visible) = (RowMask::new(), Vec::new());
            for i in 0..count {
                // SAFETY: row `i` of those has `n` elements behind each pointer.
                let (y, grad, dx) = unsafe { (y.add(i * n), grad.add(i * n), dx.add(i * n)) };
                if mask.is_empty() {
                    // SAFETY: each pointer has `n` elements; the level is available, which was
                    // checked when it was set.
                    unsafe { back(level, log, scale, y, grad, dx, n) }
                    continue;
                }
                let place = layout.rows.at(r + i);
                let (keep, add) = own.of(mask, layout, &place);
                let seen = mask.band.of(place[QUERY], n);
                let part = |j: usize| {
                    seen.contains(&j)
                        && keep.get(j).is_none_or(|k| *k)
                        && add.get(j).is_none_or(|a| a.to_f64() != f64::NEG_INFINITY)
                };
                // A masked element has no gradient and adds nothing to that of others.
                visible.clear();
                visible.extend((0..n).map(|j| match part(j) {
                    // SAFETY: the row of gradients has `n` elements.
                    true => unsafe { grad.add(j).read() },
                    false => T::default(),
                }));
                // SAFETY: each pointer has `n` elements; the level is available, which was checked
                // when it was set.
                unsafe { back(level, log, scale, y, visible.as_ptr(), dx, n) }
                for j in (0..n).filter(|j| !part(*j)) {
                    // SAFETY: the row of results has `n` elements.
                    unsafe { dx.add(j).write(T::default()) }
                }
            }
        };
        if layout.row.is_contiguous(SCORES) {
            exec.rows(layout.rows.len(), n, |r, count| {
                // SAFETY: rows that run along the last axes lie one after another in C order.
                unsafe { some(r, count, y[r * n..].as_ptr(), grad.at(r * n), dx.at(r * n)) }
            });
        } else {
            columns(exec, layout, |r, count, rows: &mut [T]| {
                let mut grads = vec![T::default(); rows.len()];
                gather(layout, r, count, rows, |at| y[at]);
                // SAFETY: the places of a layout are within the elements that it has.
                gather(layout, r, count, &mut grads, |at| unsafe { grad.at(at).read() });
                let p = rows.as_mut_ptr();
                some(r, count, p, grads.as_ptr(), p);
                // SAFETY: the places of a layout are within the elements that it has, and no two
                // calls have a row in common.
                scatter(layout, r, count, rows, |at, v| unsafe { dx.at(at).write(v) });
            });
        }
    }
}

/// How rows lie in an array.
enum Lie {
    /// One after another, without a mask: how many there are, and how many elements each has. No
    /// memory is asked for to say so, which takes longer than a short row.
    InOrder { rows: usize, n: usize },
    /// As a layout says.
    Walked(Layout),
}

impl Lie {
    fn of<T: Element>(shape: &[usize], axes: Axes<'_>, mask: &Mask<'_, T>) -> Result<Lie, Error> {
        match axes.in_order(shape) {
            Some((rows, n)) if mask.is_empty() => Ok(Lie::InOrder { rows, n }),
            _ => Ok(Lie::Walked(mask.layout(shape, &axes.of(shape)?)?)),
        }
    }
}

/// [`RowKernels`] for every type.
enum Rows {}
impl Family for Rows {
    type Of<T: 'static> = RowKernels<T>;
}

static KERNELS: PerType<Rows> = PerType {
    f32: RowKernels { rows: rows_f32, back: row_back_f32 },
    f64: RowKernels { rows: rows_f64, back: row_back_f64 },
    #[cfg(feature = "half")]
    f16: RowKernels {
        rows: half::rows_half::<::half::f16>,
        back: half::row_back_half::<::half::f16>,
    },
    #[cfg(feature = "half")]
    bf16: RowKernels {
        rows: half::rows_half::<::half::bf16>,
        back: half::row_back_half::<::half::bf16>,
    },
};

/// The number of the scores' place, and of a query's number, in a [`Place`].
const SCORES: usize = 0;
const QUERY: usize = 3;

/// One row of which only the elements `seen` take part.
///
/// # Safety
/// `x` and `y` point to `n` elements, apart or the same, and `keep` and `add` have as many unless they
/// are empty; `seen` ends at most at `n`; `level` is available.
unsafe fn masked_row<T: Element>(
    level: crate::Level,
    job: RowJob,
    x: *const T,
    (keep, add): (&[bool], &[T]),
    seen: core::ops::Range<usize>,
    y: *mut T,
    n: usize,
) {
    let fill = |v: f64, end: usize| {
        // SAFETY: `y` points to `n` elements, and `end` is at most `n`.
        (0..end).for_each(|i| unsafe { y.add(i).write(T::from_f64(v)) });
    };
    if seen.is_empty() {
        return fill(job.all_masked(), n);
    }
    let start = seen.start;
    let job = RowJob { visible: seen.len(), ..job };
    // Null says that the mask has no such entries.
    let keep = if keep.is_empty() { core::ptr::null() } else { keep[start..].as_ptr() };
    let add = if add.is_empty() { core::ptr::null() } else { add[start..].as_ptr() };
    // SAFETY: `n - start` elements are left behind each pointer that is not null.
    unsafe {
        (T::pick(&KERNELS).rows)(level, &job, x.add(start), keep, add, y.add(start), n - start, 1)
    }
    if start > 0 {
        // A row is NaN as a whole or not at all.
        // SAFETY: `start` is below `n`, since `seen` is not empty.
        let nan = unsafe { y.add(start).read() }.to_f64().is_nan();
        fill(if nan { f64::NAN } else { job.masked() }, start);
    }
}

/// Rows that are gathered at a time: a cache line of f32.
const COLUMNS: usize = 16;

/// Calls `f` with the number of the first and the count of some rows that lie side by side, and a
/// buffer for them.
fn columns<T: Element>(exec: &Exec, layout: &Layout, f: impl Fn(usize, usize, &mut [T]) + Sync) {
    let (n, (side, _)) = (layout.row.len(), layout.rows.last());
    let strips = side.div_ceil(COLUMNS);
    exec.rows(layout.rows.len() / side * strips, n * COLUMNS.min(side), |s, count| {
        let mut rows: Vec<T> = vec![T::default(); n * COLUMNS.min(side)];
        for s in s..s + count {
            let (outer, strip) = (s / strips, s % strips);
            let count = COLUMNS.min(side - strip * COLUMNS);
            f(outer * side + strip * COLUMNS, count, &mut rows[..n * count]);
        }
    });
}

/// Fills `to` with rows from number `r` on, which lie side by side; `read` is called with places.
fn gather<T: Element>(
    layout: &Layout,
    r: usize,
    count: usize,
    to: &mut [T],
    read: impl Fn(usize) -> T,
) {
    let (n, from, side) = side_by_side(layout, r);
    for c in 0..count {
        let (row, start) = (&mut to[c * n..(c + 1) * n], from + c * side);
        let mut done = 0;
        layout.row.runs(|place: &Place, len, step| {
            for (j, v) in row[done..done + len].iter_mut().enumerate() {
                *v = read(start + place[SCORES] + j * step[SCORES]);
            }
            done += len;
        });
    }
}

/// The way back: `write` is called with places and results.
fn scatter<T: Element>(
    layout: &Layout,
    r: usize,
    count: usize,
    from: &[T],
    write: impl Fn(usize, T),
) {
    let (n, to, side) = side_by_side(layout, r);
    for c in 0..count {
        let (row, start) = (&from[c * n..(c + 1) * n], to + c * side);
        let mut done = 0;
        layout.row.runs(|place: &Place, len, step| {
            for (j, v) in row[done..done + len].iter().enumerate() {
                write(start + place[SCORES] + j * step[SCORES], *v);
            }
            done += len;
        });
    }
}

/// The length of a row, where row `r` begins, and how far its neighbour is.
fn side_by_side(layout: &Layout, r: usize) -> (usize, usize, usize) {
    (layout.row.len(), layout.rows.at(r)[SCORES], layout.rows.last().1[SCORES])
}
