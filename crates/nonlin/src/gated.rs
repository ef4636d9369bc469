//! Gated linear units: two operands, given apart or packed in one array.

#![allow(unsafe_code)]

use crate::activation::{Gate, Gated, Meta, Route};
use crate::element::Element;
use crate::exec::{Exec, Shared, same_length};
#[cfg(feature = "half")]
use crate::kernel::HalfGatedKernels;
use crate::kernel::{GatedKernels, gated_back_32, gated_back_64, gated_map_32, gated_map_64};
use crate::real::Dd;

/// Everything that a gated definition becomes.
#[doc(hidden)]
pub struct GatedEntry {
    pub(crate) meta: Meta,
    /// Computes next to nothing.
    pub(crate) cheap: bool,
    pub(crate) f32: GatedKernels<f32>,
    pub(crate) f64: GatedKernels<f64>,
    #[cfg(feature = "half")]
    pub(crate) f16: HalfGatedKernels<half::f16>,
    #[cfg(feature = "half")]
    pub(crate) bf16: HalfGatedKernels<half::bf16>,
    dd: fn(Dd, Dd) -> (Dd, Dd, Dd),
}

struct Of<G>(G);

impl<G: Gated> Of<G> {
    const ENTRY: &'static GatedEntry = &GatedEntry {
        meta: G::META,
        cheap: matches!(G::ROUTE, Route::Single),
        f32: GatedKernels { map: gated_map_32::<G>(), back: gated_back_32::<G>() },
        f64: GatedKernels { map: gated_map_64::<G>(), back: gated_back_64::<G>() },
        #[cfg(feature = "half")]
        f16: HalfGatedKernels::of::<G>(),
        #[cfg(feature = "half")]
        bf16: HalfGatedKernels::of::<G>(),
        dd: |a, b| {
            let (pa, pb) = G::backward(a, b, Dd::new(1.0));
            (G::value(a, b), pa, pb)
        },
    };
}

/// How both operands lie in one packed array whose last axis is twice as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy)]
pub struct GatedFunction {
    entry: &'static GatedEntry,
    gate: Gate,
}

impl GatedFunction {
    /// The unit of a definition, with its usual gate.
    #[must_use]
    pub const fn of<G: Gated>() -> Self {
        GatedFunction { entry: Of::<G>::ENTRY, gate: G::GATE }
    }

    /// Name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.entry.meta.name
    }

    /// Names, formula (with the usual gate), source, advice.
    #[must_use]
    pub fn meta(&self) -> &'static Meta {
        &self.entry.meta
    }

    /// Which operand is the gate.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.gate
    }

    /// The same unit with the gate as the first or the second operand.
    #[must_use]
    pub fn with_gate(self, gate: Gate) -> Self {
        GatedFunction { gate, ..self }
    }

    /// Value and both partial derivatives (by `a`, by `b`) to about 30 digits.
    #[must_use]
    pub fn reference<T: Element>(&self, a: T, b: T) -> (Dd, Dd, Dd) {
        let (a, b) = (Dd::new(a.to_f64()), Dd::new(b.to_f64()));
        match self.gate {
            Gate::First => (self.entry.dd)(a, b),
            Gate::Second => {
                let (v, pb, pa) = (self.entry.dd)(b, a);
                (v, pa, pb)
            }
        }
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
        let past = exec.streams::<T>(a.len(), self.entry.cheap);
        exec.lines(to.0, a.len(), past, |i, m| {
            // SAFETY: the block lies within all three slices.
            unsafe { self.block(exec, &a[i..i + m], &b[i..i + m], to.at(i), past) }
        });
    }

    unsafe fn block<T: Element>(&self, exec: &Exec, a: &[T], b: &[T], y: *mut T, past: bool) {
        let (g, v) = if self.gate == Gate::First { (a, b) } else { (b, a) };
        // SAFETY: the caller's promise for `y`; the level was checked when it was set.
        unsafe {
            T::gated(self.entry, exec.current_level(), g.as_ptr(), v.as_ptr(), y, a.len(), past)
        }
    }

    unsafe fn block_back<T: Element>(
        &self,
        exec: &Exec,
        a: &[T],
        b: &[T],
        g: &[T],
        da: *mut T,
        db: *mut T,
    ) {
        let first = self.gate == Gate::First;
        let (x, v, dx, dv) = if first { (a, b, da, db) } else { (b, a, db, da) };
        // SAFETY: the caller's promise for the outputs; the level was checked when it was set.
        unsafe {
            T::gated_back(
                self.entry,
                exec.current_level(),
                x.as_ptr(),
                v.as_ptr(),
                g.as_ptr(),
                dx,
                dv,
                a.len(),
            );
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
        exec.blocks(a.len(), |i, m| {
            let r = i..i + m;
            // SAFETY: the block lies within all five slices.
            unsafe {
                self.block_back(exec, &a[r.clone()], &b[r.clone()], &grad[r], da.at(i), db.at(i))
            }
        });
    }

    /// `f` of both operands packed in rows of `width` elements (an even number).
    ///
    /// # Panics
    /// If `width` is odd or 0, if `x` is not whole rows, or if `y` is not half as long.
    #[track_caller]
    pub fn forward_packed<T: Element>(
        &self,
        exec: &Exec,
        x: &[T],
        width: usize,
        layout: Layout,
        y: &mut [T],
    ) {
        let half = packed_half(x.len(), width);
        same_length("y", y.len(), "half of x", x.len() / 2);
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(half)) {
            match layout {
                Layout::Halves => self.forward_with(exec, &x[..half], &x[half..], y),
                Layout::Interleaved => {
                    for (x, y) in x.chunks(2 * STRIP).zip(y.chunks_mut(STRIP)) {
                        let (a, b) = unzip(x);
                        self.forward_with(exec, &a[..y.len()], &b[..y.len()], y);
                    }
                }
            }
        }
    }

    /// The gradient of [`forward_packed`](Self::forward_packed), packed like `x`.
    ///
    /// # Panics
    /// If `width` is odd or 0, if `x` is not whole rows, or if the lengths do not fit.
    #[track_caller]
    pub fn backward_packed<T: Element>(
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
        for ((x, g), dx) in
            x.chunks_exact(width).zip(grad.chunks_exact(half)).zip(dx.chunks_exact_mut(width))
        {
            match layout {
                Layout::Halves => {
                    let (da, db) = dx.split_at_mut(half);
                    self.backward_with(exec, &x[..half], &x[half..], g, da, db);
                }
                Layout::Interleaved => {
                    for ((x, g), dx) in
                        x.chunks(2 * STRIP).zip(g.chunks(STRIP)).zip(dx.chunks_mut(2 * STRIP))
                    {
                        let (a, b) = unzip(x);
                        let (mut da, mut db) = ([T::default(); STRIP], [T::default(); STRIP]);
                        let m = g.len();
                        self.backward_with(exec, &a[..m], &b[..m], g, &mut da[..m], &mut db[..m]);
                        for (i, d) in dx.chunks_exact_mut(2).enumerate() {
                            d[0] = da[i];
                            d[1] = db[i];
                        }
                    }
                }
            }
        }
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
        write!(f, "{}(gate: {:?})", self.name(), self.gate)
    }
}
