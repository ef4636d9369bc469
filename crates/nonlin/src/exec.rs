//! How a call is carried out: level, block size, one thread or many.

#![allow(unsafe_code)]

use crate::element::Element;
use crate::error::Error;
use crate::function::{Entry, Function};
use crate::kernel::Call;
use crate::level::Level;
use core::mem::MaybeUninit;

/// Elements per block unless set: 64 KiB of f32, so that input and output stay in a 256 KiB cache.
pub const DEFAULT_BLOCK: usize = 16 * 1024;

/// Bytes of output from which on stores go past the caches unless set, where that is faster.
pub const DEFAULT_STREAM: usize = 64 << 20;

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// How a call is carried out. The results never depend on it, except that the baseline
/// level, which has no fused multiply-add, may differ from the others in the last bit.
///
/// ```
/// use nonlin::{Exec, Gelu, Activation};
/// let x = vec![0.5f32; 100_000];
/// let mut y = vec![0.0; x.len()];
/// Exec::new().block(4096).forward(&Gelu.function(), &x, &mut y);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exec {
    level: Level,
    block: usize,
    stream: Option<usize>,
    parallel: bool,
}

impl Default for Exec {
    fn default() -> Self {
        Self::new()
    }
}

/// A pointer that may cross threads: blocks of a call never overlap.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub(crate) *mut T);
// SAFETY: each thread touches its own block of the elements behind the pointer.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// # Safety
    /// `i` must be within the elements behind the pointer.
    #[inline]
    pub(crate) unsafe fn at(&self, i: usize) -> *mut T {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(i) }
    }
}

/// [`Element::back`] or [`Element::back_from_output`].
type BackKernel<T> = unsafe fn(&Entry, Level, &Call, *const T, *const T, *mut T, usize);

#[cold]
#[inline(never)]
#[track_caller]
fn lengths_differ(name: &str, got: usize, what: &str, wanted: usize) -> ! {
    panic!("{name} has {got} elements, {what} has {wanted}: they must be equal")
}

#[inline]
#[track_caller]
pub(crate) fn same_length(name: &str, got: usize, what: &str, wanted: usize) {
    if got != wanted {
        lengths_differ(name, got, what, wanted);
    }
}

impl Exec {
    /// The best level of this processor, one thread, blocks of [`DEFAULT_BLOCK`] elements.
    #[must_use]
    #[inline]
    pub fn new() -> Self {
        Exec { level: Level::best(), block: DEFAULT_BLOCK, stream: None, parallel: false }
    }

    /// The same at another level.
    ///
    /// # Errors
    /// If this processor lacks it.
    pub fn level(self, level: Level) -> Result<Self, Error> {
        if level.available() {
            Ok(Exec { level, ..self })
        } else {
            Err(Error::level(level.name(), Level::best()))
        }
    }

    /// The same with blocks of `elements` (at least 1).
    #[must_use]
    pub fn block(self, elements: usize) -> Self {
        Exec { block: elements.max(1), ..self }
    }

    /// The same with stores past the caches for outputs of at least `bytes`
    /// (`usize::MAX`: never). Unless set it is [`DEFAULT_STREAM`], for functions and processors that
    /// are faster with them. In-place calls and half types never use them.
    #[must_use]
    pub fn stream_from(self, bytes: usize) -> Self {
        Exec { stream: Some(bytes), ..self }
    }

    /// The same on all cores, or on the threads of the rayon pool that the caller has installed.
    #[cfg(feature = "rayon")]
    #[must_use]
    pub fn parallel(self) -> Self {
        Exec { parallel: true, ..self }
    }

    /// The level that calls run at.
    #[must_use]
    pub fn current_level(&self) -> Level {
        self.level
    }

    /// Calls `f(start, length)` for every block of `n` elements.
    #[inline]
    pub(crate) fn blocks(&self, n: usize, f: impl Fn(usize, usize) + Sync) {
        let block = self.block;
        let one = |b: usize| f(b * block, block.min(n - b * block));
        let count = n.div_ceil(block);
        if count == 1 {
            return one(0);
        }
        #[cfg(feature = "rayon")]
        if self.parallel {
            use rayon::prelude::*;
            return (0..count).into_par_iter().for_each(one);
        }
        (0..count).for_each(one);
    }

    /// Applies the caller's own `f` to `x` and `y` block by block.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn apply<T: Element, U: Element>(
        &self,
        x: &[T],
        y: &mut [U],
        f: impl Fn(&[T], &mut [U]) + Sync,
    ) {
        same_length("x", x.len(), "y", y.len());
        let to = Shared(y.as_mut_ptr());
        self.blocks(x.len(), |i, m| {
            // SAFETY: the block lies within both slices, and no other block overlaps it.
            let block = unsafe { core::slice::from_raw_parts_mut(to.at(i), m) };
            f(&x[i..i + m], block);
        });
    }

    /// Whether an output of `n` elements goes past the caches. `cheap` says that the function
    /// computes next to nothing.
    #[inline]
    pub(crate) fn streams<T>(&self, n: usize, cheap: bool) -> bool {
        let bytes = n.saturating_mul(size_of::<T>());
        match self.stream {
            Some(least) => bytes >= least,
            None => bytes >= DEFAULT_STREAM && (cheap || crate::stream::pays()),
        }
    }

    /// [`blocks`](Self::blocks), which if `past` begin at a line of the cache where `y` does not.
    #[inline]
    pub(crate) fn lines<T>(
        &self,
        y: *mut T,
        n: usize,
        past: bool,
        f: impl Fn(usize, usize) + Sync,
    ) {
        let lead = if past { (y.align_offset(LINE) % (LINE / size_of::<T>())).min(n) } else { 0 };
        if lead > 0 {
            f(0, lead);
        }
        self.blocks(n - lead, |i, m| f(lead + i, m));
    }

    #[inline]
    fn map<T: Element>(&self, f: &Function, x: *const T, y: *mut T, n: usize) {
        let past = self.streams::<T>(n, f.entry.cheap) && !core::ptr::eq(x, y);
        let call = Call { past, ..Call::new(f.rounded::<T>()) };
        let (x, y) = (Shared(x.cast_mut()), Shared(y));
        // SAFETY: callers pass `n` valid elements; the level was checked when it was set.
        let block = |i, m| unsafe { T::map(f.entry, self.level, &call, x.at(i), y.at(i), m) };
        self.lines(y.0, n, past, block);
    }

    #[allow(clippy::too_many_arguments, reason = "pointers, not slices: inputs may be outputs")]
    /// `x` is the input, or the output for `T::back_from_output`.
    fn back<T: Element>(
        &self,
        f: &Function,
        kernel: BackKernel<T>,
        x: *const T,
        g: Option<*const T>,
        dx: *mut T,
        n: usize,
    ) {
        let apart = !core::ptr::eq(x, dx) && g.is_none_or(|g| !core::ptr::eq(g, dx));
        let past = self.streams::<T>(n, f.entry.cheap) && apart;
        let call = Call { past, ..Call::new(f.rounded::<T>()) };
        let (x, dx) = (Shared(x.cast_mut()), Shared(dx));
        let g = g.map(|g| Shared(g.cast_mut()));
        // SAFETY: callers pass `n` valid elements; the level was checked when it was set.
        let block = |i, m| unsafe {
            let g = g.map_or(core::ptr::null_mut(), |g| g.at(i));
            kernel(f.entry, self.level, &call, x.at(i), g, dx.at(i), m);
        };
        self.lines(dx.0, n, past, block);
    }

    /// See [`Activation::forward`](crate::Activation::forward).
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    #[track_caller]
    pub fn forward<T: Element>(&self, f: &Function, x: &[T], y: &mut [T]) {
        same_length("x", x.len(), "y", y.len());
        self.map(f, x.as_ptr(), y.as_mut_ptr(), x.len());
    }

    /// See [`Activation::forward_in_place`](crate::Activation::forward_in_place).
    pub fn forward_in_place<T: Element>(&self, f: &Function, x: &mut [T]) {
        let p = x.as_mut_ptr();
        self.map(f, p, p, x.len());
    }

    /// See [`Activation::forward_uninit`](crate::Activation::forward_uninit).
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn forward_uninit<'y, T: Element>(
        &self,
        f: &Function,
        x: &[T],
        y: &'y mut [MaybeUninit<T>],
    ) -> &'y mut [T] {
        same_length("x", x.len(), "y", y.len());
        self.map(f, x.as_ptr(), y.as_mut_ptr().cast(), x.len());
        // SAFETY: `map` has written every element.
        unsafe { core::slice::from_raw_parts_mut(y.as_mut_ptr().cast(), y.len()) }
    }

    /// See [`Activation::derivative`](crate::Activation::derivative).
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn derivative<T: Element>(&self, f: &Function, x: &[T], dy: &mut [T]) {
        same_length("x", x.len(), "dy", dy.len());
        self.back(f, T::back, x.as_ptr(), None, dy.as_mut_ptr(), x.len());
    }

    /// See [`Activation::derivative_in_place`](crate::Activation::derivative_in_place).
    pub fn derivative_in_place<T: Element>(&self, f: &Function, x: &mut [T]) {
        let p = x.as_mut_ptr();
        self.back(f, T::back, p, None, p, x.len());
    }

    /// See [`Activation::second_derivative`](crate::Activation::second_derivative).
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn second_derivative<T: Element>(&self, f: &Function, x: &[T], d2y: &mut [T]) {
        self.apply(x, d2y, |x, y| {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = f.curvature(x);
            }
        });
    }

    /// See [`Activation::second_derivative_in_place`](crate::Activation::second_derivative_in_place).
    pub fn second_derivative_in_place<T: Element>(&self, f: &Function, x: &mut [T]) {
        let p = Shared(x.as_mut_ptr());
        self.blocks(x.len(), |i, m| {
            // SAFETY: the block lies within the slice, and no other block overlaps it.
            for v in unsafe { core::slice::from_raw_parts_mut(p.at(i), m) } {
                *v = f.curvature(*v);
            }
        });
    }

    /// See [`Activation::backward`](crate::Activation::backward).
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward<T: Element>(&self, f: &Function, x: &[T], grad: &[T], dx: &mut [T]) {
        same_length("grad", grad.len(), "x", x.len());
        same_length("dx", dx.len(), "x", x.len());
        self.back(f, T::back, x.as_ptr(), Some(grad.as_ptr()), dx.as_mut_ptr(), x.len());
    }

    /// See [`Activation::backward_in_place`](crate::Activation::backward_in_place).
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_in_place<T: Element>(&self, f: &Function, x: &[T], grad: &mut [T]) {
        same_length("grad", grad.len(), "x", x.len());
        let g = grad.as_mut_ptr();
        self.back(f, T::back, x.as_ptr(), Some(g), g, x.len());
    }

    /// See [`Activation::backward_from_output`](crate::Activation::backward_from_output).
    ///
    /// # Errors
    /// If the function has no such form, or a parameter forbids it.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_from_output<T: Element>(
        &self,
        f: &Function,
        y: &[T],
        grad: &[T],
        dx: &mut [T],
    ) -> Result<(), Error> {
        same_length("grad", grad.len(), "y", y.len());
        same_length("dx", dx.len(), "y", y.len());
        f.check_from_output()?;
        let (y, g, n) = (y.as_ptr(), grad.as_ptr(), y.len());
        self.back(f, T::back_from_output, y, Some(g), dx.as_mut_ptr(), n);
        Ok(())
    }

    /// See [`Activation::backward_from_output_in_place`](crate::Activation::backward_from_output_in_place).
    ///
    /// # Errors
    /// As of [`backward_from_output`](Self::backward_from_output); `grad` is as it was.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_from_output_in_place<T: Element>(
        &self,
        f: &Function,
        y: &[T],
        grad: &mut [T],
    ) -> Result<(), Error> {
        same_length("grad", grad.len(), "y", y.len());
        f.check_from_output()?;
        let g = grad.as_mut_ptr();
        self.back(f, T::back_from_output, y.as_ptr(), Some(g), g, y.len());
        Ok(())
    }
}
