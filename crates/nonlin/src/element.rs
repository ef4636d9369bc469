//! The types that arrays can have: f32, f64, and f16 and bf16, which are computed in f32.

#![allow(unsafe_code)]

#[cfg(feature = "alloc")]
use crate::activation::MAX_PARAMS;
use crate::function::Entry;
use crate::gated::GatedEntry;
use crate::kernel::Call;
use crate::level::Level;
#[cfg(feature = "alloc")]
use crate::softmax::RowJob;

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// A number that arrays are made of: `f32`, `f64`, and with the feature `half` `f16` and `bf16`.
///
/// The hidden methods take raw pointers, so that in-place and out-of-place calls are one;
/// each may read `n` elements from its inputs and write `n` to its outputs, and an output
/// may be one of the inputs.
pub trait Element:
    sealed::Sealed + Copy + Default + PartialEq + Send + Sync + core::fmt::Debug + 'static
{
    /// Its name: `f32`, `f64`, `f16`, `bf16`.
    const NAME: &'static str;
    /// From the nearest f64.
    fn from_f64(v: f64) -> Self;
    /// To f64, exactly.
    fn to_f64(self) -> f64;
    /// Half the distance from 1 to the next number: the largest relative error of a rounding.
    const ROUNDOFF: f64;

    /// Whether parameters are rounded to f32 first.
    #[doc(hidden)]
    const F32_PARAMS: bool;
    #[doc(hidden)]
    unsafe fn map(e: &Entry, l: Level, p: &Call, x: *const Self, y: *mut Self, n: usize);
    /// A null `g` means a gradient of ones.
    #[doc(hidden)]
    unsafe fn back(
        e: &Entry,
        l: Level,
        p: &Call,
        x: *const Self,
        g: *const Self,
        dx: *mut Self,
        n: usize,
    );
    /// `e` has the kernels.
    #[doc(hidden)]
    unsafe fn back_from_output(
        e: &Entry,
        l: Level,
        p: &Call,
        y: *const Self,
        g: *const Self,
        dx: *mut Self,
        n: usize,
    );
    #[cfg(feature = "alloc")]
    #[doc(hidden)]
    unsafe fn each(l: Level, x: *const Self, w: *const Self, y: *mut Self, n: usize);
    #[cfg(feature = "alloc")]
    #[doc(hidden)]
    unsafe fn each_back(
        l: Level,
        x: *const Self,
        w: *const Self,
        g: *const Self,
        dx: *mut Self,
        dw: *mut Self,
        n: usize,
    );
    #[doc(hidden)]
    unsafe fn gated(
        e: &GatedEntry,
        l: Level,
        a: *const Self,
        b: *const Self,
        y: *mut Self,
        n: usize,
        past: bool,
    );
    #[doc(hidden)]
    #[allow(clippy::too_many_arguments, reason = "pointers, not slices: see the trait")]
    unsafe fn gated_back(
        e: &GatedEntry,
        l: Level,
        a: *const Self,
        b: *const Self,
        g: *const Self,
        da: *mut Self,
        db: *mut Self,
        n: usize,
    );
    #[cfg(feature = "alloc")]
    #[doc(hidden)]
    #[allow(clippy::too_many_arguments)]
    unsafe fn rows(
        l: Level,
        job: &RowJob,
        x: *const Self,
        mask: *const bool,
        add: *const Self,
        y: *mut Self,
        n: usize,
        rows: usize,
    );
    #[cfg(feature = "alloc")]
    #[doc(hidden)]
    unsafe fn row_back(
        l: Level,
        log: bool,
        scale: f64,
        y: *const Self,
        g: *const Self,
        dx: *mut Self,
        n: usize,
    );
}

/// Elements per block where a type is converted or a gradient of ones is needed.
const BLOCK: usize = 1024;

macro_rules! native {
    ($t:ident, $name:literal, $f32_params:literal, $each:ident, $row:ident, $row_back:ident) => {
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const NAME: &'static str = $name;
            const ROUNDOFF: f64 = $t::EPSILON as f64 / 2.0;
            const F32_PARAMS: bool = $f32_params;
            fn from_f64(v: f64) -> Self {
                v as $t
            }
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            // SAFETY (every block below): the caller's promise, and `l` is available (see `Exec`).
            #[inline]
            unsafe fn map(e: &Entry, l: Level, p: &Call, x: *const Self, y: *mut Self, n: usize) {
                // SAFETY: as above.
                unsafe { e.$t.map.get(l)(x, y, n, p) }
            }
            unsafe fn back(
                e: &Entry,
                l: Level,
                p: &Call,
                x: *const Self,
                g: *const Self,
                dx: *mut Self,
                n: usize,
            ) {
                let back = e.$t.back.get(l);
                if !g.is_null() {
                    // SAFETY: as above.
                    return unsafe { back(x, g, dx, n, p) };
                }
                static ONES: [$t; BLOCK] = [1.0; BLOCK];
                let mut i = 0;
                while i < n {
                    let m = BLOCK.min(n - i);
                    // SAFETY: as above; `ONES` has `m` elements.
                    unsafe { back(x.add(i), ONES.as_ptr(), dx.add(i), m, p) }
                    i += m;
                }
            }
            unsafe fn back_from_output(
                e: &Entry,
                l: Level,
                p: &Call,
                y: *const Self,
                g: *const Self,
                dx: *mut Self,
                n: usize,
            ) {
                let back = e.$t.from_output.expect("checked by `Exec`").get(l);
                // SAFETY: as above.
                unsafe { back(y, g, dx, n, p) }
            }
            #[cfg(feature = "alloc")]
            unsafe fn each(l: Level, x: *const Self, w: *const Self, y: *mut Self, n: usize) {
                // SAFETY: as above.
                unsafe {
                    crate::channel::KERNELS.$each.map.get(l)(
                        x,
                        w,
                        y,
                        n,
                        &Call::new([0.0; MAX_PARAMS]),
                    )
                }
            }
            #[cfg(feature = "alloc")]
            unsafe fn each_back(
                l: Level,
                x: *const Self,
                w: *const Self,
                g: *const Self,
                dx: *mut Self,
                dw: *mut Self,
                n: usize,
            ) {
                // SAFETY: as above.
                unsafe {
                    crate::channel::KERNELS.$each.back.get(l)(
                        x,
                        w,
                        g,
                        dx,
                        dw,
                        n,
                        &Call::new([0.0; MAX_PARAMS]),
                    )
                }
            }
            unsafe fn gated(
                e: &GatedEntry,
                l: Level,
                a: *const Self,
                b: *const Self,
                y: *mut Self,
                n: usize,
                past: bool,
            ) {
                // SAFETY: as above.
                unsafe { e.$t.map.get(l)(a, b, y, n, past) }
            }
            unsafe fn gated_back(
                e: &GatedEntry,
                l: Level,
                a: *const Self,
                b: *const Self,
                g: *const Self,
                da: *mut Self,
                db: *mut Self,
                n: usize,
            ) {
                // SAFETY: as above.
                unsafe { e.$t.back.get(l)(a, b, g, da, db, n) }
            }
            #[cfg(feature = "alloc")]
            unsafe fn rows(
                l: Level,
                job: &RowJob,
                x: *const Self,
                mask: *const bool,
                add: *const Self,
                y: *mut Self,
                n: usize,
                rows: usize,
            ) {
                // SAFETY: as above.
                unsafe { crate::softmax::$row(l, job, x, mask, add, y, n, rows) }
            }
            #[cfg(feature = "alloc")]
            unsafe fn row_back(
                l: Level,
                log: bool,
                scale: f64,
                y: *const Self,
                g: *const Self,
                dx: *mut Self,
                n: usize,
            ) {
                // SAFETY: as above.
                unsafe { crate::softmax::$row_back(l, log, scale, y, g, dx, n) }
            }
        }
    };
}
native!(f32, "f32", true, single, rows_f32, row_back_f32);
native!(f64, "f64", false, double, rows_f64, row_back_f64);

#[cfg(feature = "half")]
mod half_types {
    use super::*;
    use crate::halves::{from_f32, to_f32};
    use half::{bf16, f16};

    /// Kernels of their own where those are faster (see `kernel::half_kernels`), and else f32 blocks
    /// on the stack: read, run, write.
    macro_rules! through_f32 {
        ($t:ident, $name:literal, $roundoff:expr) => {
            impl sealed::Sealed for $t {}

            impl Block<$t> {
                unsafe fn read(&mut self, l: Level, p: *const $t, n: usize) -> *const f32 {
                    if p.is_null() {
                        return core::ptr::null();
                    }
                    // SAFETY: the caller's promise; `n` is at most `BLOCK`.
                    unsafe { to_f32(l, p, self.0.as_mut_ptr(), n) }
                    self.0.as_ptr()
                }
                unsafe fn write(&self, l: Level, p: *mut $t, n: usize) {
                    // SAFETY: the caller's promise; `n` is at most `BLOCK`.
                    unsafe { from_f32(l, self.0.as_ptr(), p, n) }
                }
            }

            impl Element for $t {
                const NAME: &'static str = $name;
                const ROUNDOFF: f64 = $roundoff;
                const F32_PARAMS: bool = true;
                fn from_f64(v: f64) -> Self {
                    $t::from_f64(v)
                }
                fn to_f64(self) -> f64 {
                    self.to_f64()
                }
                // SAFETY (every block below): the caller's promise for the whole, which holds for
                // each block; the blocks on the stack have `BLOCK` elements.
                unsafe fn map(
                    e: &Entry,
                    l: Level,
                    p: &Call,
                    x: *const Self,
                    y: *mut Self,
                    n: usize,
                ) {
                    if let Some(map) = e.$t.map.filter(|_| direct(e, l, p)) {
                        // SAFETY: as above.
                        return unsafe { map.get(l)(x, y, n, p) };
                    }
                    let mut a = Block::<$t>::new();
                    for (i, m) in blocks(n) {
                        // SAFETY: as above.
                        unsafe {
                            let x = a.read(l, x.add(i), m);
                            f32::map(e, l, p, x, x.cast_mut(), m);
                            a.write(l, y.add(i), m);
                        }
                    }
                }
                unsafe fn back(
                    e: &Entry,
                    l: Level,
                    p: &Call,
                    x: *const Self,
                    g: *const Self,
                    dx: *mut Self,
                    n: usize,
                ) {
                    if let Some(back) = e.$t.back.filter(|_| direct(e, l, p)) {
                        static ONES: [$t; BLOCK] = [$t::ONE; BLOCK];
                        let back = back.get(l);
                        if !g.is_null() {
                            // SAFETY: as above.
                            return unsafe { back(x, g, dx, n, p) };
                        }
                        for (i, m) in blocks(n) {
                            // SAFETY: as above; `ONES` has `m` elements.
                            unsafe { back(x.add(i), ONES.as_ptr(), dx.add(i), m, p) }
                        }
                        return;
                    }
                    let (mut a, mut b) = (Block::<$t>::new(), Block::<$t>::new());
                    for (i, m) in blocks(n) {
                        // SAFETY: as above.
                        unsafe {
                            let x = a.read(l, x.add(i), m);
                            let g = b.read(l, if g.is_null() { g } else { g.add(i) }, m);
                            f32::back(e, l, p, x, g, x.cast_mut(), m);
                            a.write(l, dx.add(i), m);
                        }
                    }
                }
                unsafe fn back_from_output(
                    e: &Entry,
                    l: Level,
                    p: &Call,
                    y: *const Self,
                    g: *const Self,
                    dx: *mut Self,
                    n: usize,
                ) {
                    if let Some(back) = e.$t.from_output.filter(|_| l.fused()) {
                        // SAFETY: as above.
                        return unsafe { back.get(l)(y, g, dx, n, p) };
                    }
                    let (mut a, mut b) = (Block::<$t>::new(), Block::<$t>::new());
                    for (i, m) in blocks(n) {
                        // SAFETY: as above.
                        unsafe {
                            let y = a.read(l, y.add(i), m);
                            let g = b.read(l, g.add(i), m);
                            f32::back_from_output(e, l, p, y, g, y.cast_mut(), m);
                            a.write(l, dx.add(i), m);
                        }
                    }
                }
                #[cfg(feature = "alloc")]
                unsafe fn each(l: Level, x: *const Self, w: *const Self, y: *mut Self, n: usize) {
                    let (mut a, mut b) = (Block::<$t>::new(), Block::<$t>::new());
                    for (i, m) in blocks(n) {
                        // SAFETY: as above.
                        unsafe {
                            let x = a.read(l, x.add(i), m);
                            let w = b.read(l, w.add(i), m);
                            f32::each(l, x, w, x.cast_mut(), m);
                            a.write(l, y.add(i), m);
                        }
                    }
                }
                #[cfg(feature = "alloc")]
                unsafe fn each_back(
                    l: Level,
                    x: *const Self,
                    w: *const Self,
                    g: *const Self,
                    dx: *mut Self,
                    dw: *mut Self,
                    n: usize,
                ) {
                    let (mut a, mut b, mut c) =
                        (Block::<$t>::new(), Block::<$t>::new(), Block::<$t>::new());
                    for (i, m) in blocks(n) {
                        // SAFETY: as above.
                        unsafe {
                            let x = a.read(l, x.add(i), m);
                            let w = b.read(l, w.add(i), m);
                            let g = c.read(l, g.add(i), m);
                            f32::each_back(l, x, w, g, x.cast_mut(), w.cast_mut(), m);
                            a.write(l, dx.add(i), m);
                            b.write(l, dw.add(i), m);
                        }
                    }
                }
                unsafe fn gated(
                    e: &GatedEntry,
                    l: Level,
                    a: *const Self,
                    b: *const Self,
                    y: *mut Self,
                    n: usize,
                    _past: bool,
                ) {
                    if let Some(gated) = e.$t.map.filter(|_| l.fused()) {
                        // SAFETY: as above.
                        return unsafe { gated.get(l)(a, b, y, n, false) };
                    }
                    let (mut s, mut t) = (Block::<$t>::new(), Block::<$t>::new());
                    for (i, m) in blocks(n) {
                        // SAFETY: as above.
                        unsafe {
                            let a = s.read(l, a.add(i), m);
                            let b = t.read(l, b.add(i), m);
                            f32::gated(e, l, a, b, a.cast_mut(), m, false);
                            s.write(l, y.add(i), m);
                        }
                    }
                }
                unsafe fn gated_back(
                    e: &GatedEntry,
                    l: Level,
                    a: *const Self,
                    b: *const Self,
                    g: *const Self,
                    da: *mut Self,
                    db: *mut Self,
                    n: usize,
                ) {
                    if let Some(back) = e.$t.back.filter(|_| l.fused()) {
                        // SAFETY: as above.
                        return unsafe { back.get(l)(a, b, g, da, db, n) };
                    }
                    let (mut s, mut t, mut u) =
                        (Block::<$t>::new(), Block::<$t>::new(), Block::<$t>::new());
                    for (i, m) in blocks(n) {
                        // SAFETY: as above.
                        unsafe {
                            let a = s.read(l, a.add(i), m);
                            let b = t.read(l, b.add(i), m);
                            let g = u.read(l, g.add(i), m);
                            f32::gated_back(e, l, a, b, g, a.cast_mut(), b.cast_mut(), m);
                            s.write(l, da.add(i), m);
                            t.write(l, db.add(i), m);
                        }
                    }
                }
                #[cfg(feature = "alloc")]
                unsafe fn rows(
                    l: Level,
                    job: &RowJob,
                    x: *const Self,
                    mask: *const bool,
                    add: *const Self,
                    y: *mut Self,
                    n: usize,
                    rows: usize,
                ) {
                    // SAFETY: as above.
                    unsafe { crate::softmax::rows_half(l, job, x, mask, add, y, n, rows) }
                }
                #[cfg(feature = "alloc")]
                unsafe fn row_back(
                    l: Level,
                    log: bool,
                    scale: f64,
                    y: *const Self,
                    g: *const Self,
                    dx: *mut Self,
                    n: usize,
                ) {
                    // SAFETY: as above.
                    unsafe { crate::softmax::row_back_half(l, log, scale, y, g, dx, n) }
                }
            }
        };
    }

    /// Whether kernels of half types serve these parameters at this level.
    fn direct(e: &Entry, l: Level, p: &Call) -> bool {
        l.fused() && (e.cheap || (e.is_default)(p))
    }

    struct Block<T>([f32; BLOCK], core::marker::PhantomData<T>);

    impl<T> Block<T> {
        fn new() -> Self {
            Block([0.0; BLOCK], core::marker::PhantomData)
        }
    }

    /// The start and the length of every block of `n` elements.
    fn blocks(n: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..n).step_by(BLOCK).map(move |i| (i, BLOCK.min(n - i)))
    }

    through_f32!(f16, "f16", 1.0 / 2048.0);
    through_f32!(bf16, "bf16", 1.0 / 256.0);
}
