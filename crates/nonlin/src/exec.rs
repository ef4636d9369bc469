//! How a call is carried out: level, block size, one thread or many.

#![allow(unsafe_code)]

use crate::element::Element;
use crate::error::Error;
use crate::fpmode::DefaultMode;
use crate::level::Level;

/// Elements per block unless set: 64 KiB of f32, so that input and output stay in a 256 KiB cache.
pub const DEFAULT_BLOCK: usize = 16 * 1024;

/// Bytes of output from which on stores go past the caches unless set, where that is faster.
pub const DEFAULT_STREAM: usize = 64 << 20;

/// Blocks for each thread of a parallel call, if they are not to be smaller than [`LEAST`] elements.
#[cfg(feature = "rayon")]
const SHARES: usize = 8;

/// The least elements of a block that is made smaller for several threads.
#[cfg(feature = "rayon")]
const LEAST: usize = 1024;

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// How a call is carried out. The results never depend on it, except that the baseline
/// level, which has no fused multiply-add, may differ from the others in the last bit.
///
/// ```
/// use nonlin::{Exec, Gelu};
/// let x = vec![0.5f32; 100_000];
/// let mut y = vec![0.0; x.len()];
/// Gelu.forward_with(&Exec::new().block(4096), &x, &mut y);
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

/// How long an element takes, roughly: it decides how many threads a parallel call is worth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost(f64);

impl Cost {
    /// Nothing but reading and writing: relu.
    pub(crate) const COPY: Cost = Cost(0.03);
    /// Tables in f32 registers: gelu, silu.
    pub(crate) const TABLES: Cost = Cost(0.2);
    /// A primitive in f64 registers.
    pub(crate) const WIDE: Cost = Cost(0.5);
    /// A row's exponentials and sums.
    pub(crate) const ROWS: Cost = Cost(0.25);
    /// One element after the other, by a function of the caller's.
    pub(crate) const UNKNOWN: Cost = Cost(1.0);

    /// So many nanoseconds an element, but no more than a caller's own function takes.
    #[cfg(feature = "alloc")]
    pub(crate) fn nanoseconds_an_element(ns: f64) -> Cost {
        Cost(ns.min(Cost::UNKNOWN.0))
    }

    /// The cost of `n` elements.
    pub(crate) fn times(self, n: usize) -> Cost {
        Cost(self.0 * n as f64)
    }

    /// Whether it is that of one element, and not of rows.
    #[cfg(feature = "rayon")]
    fn per_element(self) -> bool {
        self.0 <= Cost::UNKNOWN.0
    }

    /// Nanoseconds an element at this level; the constants are those of AVX-512.
    #[cfg(feature = "rayon")]
    fn nanoseconds(self, level: Level) -> f64 {
        self.0
            * match level {
                Level::Avx512 => 1.0,
                Level::Avx2 | Level::Neon => 2.0,
                Level::Baseline => 5.0,
            }
    }
}

/// A pointer that may cross threads: blocks of a call never overlap.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub(crate) *mut T);
// SAFETY: each thread touches its own block of the elements behind the pointer.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: threads that share the pointer write elements that no other one reads or writes.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// # Safety
    /// `i` must be within the elements behind the pointer.
    #[inline]
    pub(crate) unsafe fn at(&self, i: usize) -> *mut T {
        // SAFETY: `i` is at most the length of the slice that the pointer came from.
        unsafe { self.0.add(i) }
    }
}

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

    /// These settings at another level.
    ///
    /// # Errors
    /// If this processor lacks it.
    pub fn level(self, level: Level) -> Result<Self, Error> {
        if level.available() {
            Ok(Exec { level, ..self })
        } else {
            Err(Error::UnavailableLevel { level, best: Level::best() })
        }
    }

    /// These settings with blocks of `elements` (at least 1).
    #[must_use]
    pub fn block(self, elements: usize) -> Self {
        Exec { block: elements.max(1), ..self }
    }

    /// These settings with stores past the caches for outputs of at least `bytes`
    /// (`usize::MAX`: never). Unless set it is [`DEFAULT_STREAM`], for functions and processors that
    /// are faster with them. In-place calls and half types never use them.
    #[must_use]
    pub fn stream_from(self, bytes: usize) -> Self {
        Exec { stream: Some(bytes), ..self }
    }

    /// These settings on all cores, or on the threads of the rayon pool that the caller has installed.
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

    /// Calls `f(start, length)` for every block of `n` elements, which take so long each, in the
    /// default floating-point mode.
    #[inline]
    pub(crate) fn blocks(&self, n: usize, cost: Cost, f: impl Fn(usize, usize) + Sync) {
        if n <= self.block {
            return if n > 0 {
                let _mode = DefaultMode::enter();
                f(0, n)
            };
        }
        #[cfg(feature = "rayon")]
        if self.parallel {
            // The threads have guards of their own; this one is for the arithmetic here.
            let _mode = DefaultMode::enter();
            let threads = crate::pool::threads(n as f64 * cost.nanoseconds(self.level));
            if threads > 1 {
                // The fewer elements in a block, the shorter the wait for the last one.
                let share = (n / (threads * SHARES)).next_multiple_of(LEAST).max(LEAST);
                let block = if cost.per_element() { self.block.min(share) } else { self.block };
                return crate::pool::run(n.div_ceil(block), threads, &|b| {
                    f(b * block, block.min(n - b * block));
                });
            }
        }
        let _ = cost;
        let _mode = DefaultMode::enter();
        for start in (0..n).step_by(self.block) {
            f(start, self.block.min(n - start));
        }
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
        self.blocks(x.len(), Cost::UNKNOWN, |i, m| {
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

    /// [`blocks`](Self::blocks), which if `non_temporal` begin at a line of the cache where `y` does not.
    #[inline]
    pub(crate) fn lines<T>(
        &self,
        y: *mut T,
        n: usize,
        non_temporal: bool,
        cost: Cost,
        f: impl Fn(usize, usize) + Sync,
    ) {
        let lead =
            if non_temporal { (y.align_offset(LINE) % (LINE / size_of::<T>())).min(n) } else { 0 };
        if lead > 0 {
            let _mode = DefaultMode::enter();
            f(0, lead);
        }
        self.blocks(n - lead, cost, |i, m| f(lead + i, m));
    }

    /// Calls `f(first, count)` for as many rows of `n` elements at a time as a block holds, at least
    /// one.
    #[cfg(feature = "alloc")]
    pub(crate) fn rows(&self, rows: usize, n: usize, f: impl Fn(usize, usize) + Sync) {
        self.parts(rows, n, Cost::ROWS, f);
    }

    /// Calls `f(first, count)` for as many parts of about `n` elements at a time as a block holds, at
    /// least one.
    #[cfg(feature = "alloc")]
    pub(crate) fn parts(
        &self,
        parts: usize,
        n: usize,
        cost: Cost,
        f: impl Fn(usize, usize) + Sync,
    ) {
        self.block(self.block / n.max(1)).blocks(parts, cost.times(n), f);
    }
}
