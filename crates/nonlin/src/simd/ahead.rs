//! A register whose pieces of tables are known ahead.
//!
//! Where a coefficient is loaded from memory, a kernel waits: first for the number of the piece, then
//! for the load, and only then does the polynomial begin. That chain is longer than what a processor
//! looks ahead. So a loop goes over a stretch of registers twice. The first time the definition runs
//! for its pieces alone, which are noted down, and the compiler drops the rest of it. The second time
//! it reads them there. A register carries its notes along, so that no definition knows.

use super::{Lanes, Lanes32, Partial};
use crate::math::table::Four;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// Tables that one kernel reads at different pieces, at most.
pub const SLOTS: usize = 3;

/// What a register knows of its pieces. Which of the three is a constant once a kernel is inlined.
#[derive(Clone, Copy)]
pub enum Notes<P> {
    /// Nothing: they are found out when they are needed.
    Absent,
    /// Where to note them down, for each slot.
    Write([*mut P; SLOTS]),
    /// Where they have been noted down.
    Read([*const P; SLOTS]),
}

impl<P: Copy> Notes<P> {
    /// Of two operands: one of them is a constant, or both have the same.
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        match self {
            Notes::Absent => other,
            known => known,
        }
    }
}

/// A register and the notes on the number it was computed from.
#[derive(Clone, Copy)]
pub struct Ahead<V: Lanes32>(V, Notes<V::Pick>);

macro_rules! forward {
    ($($trait:ident $method:ident),*) => {$(
        impl<V: Lanes32> $trait for Ahead<V> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, o: Self) -> Self {
                Ahead(self.0.$method(o.0), self.1.or(o.1))
            }
        }
    )*};
}
forward!(Add add, Sub sub, Mul mul, Div div);

impl<V: Lanes32> Neg for Ahead<V> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Ahead(-self.0, self.1)
    }
}

impl<V: Lanes32> Lanes for Ahead<V> {
    type Elem = f32;
    type Mask = V::Mask;
    const N: usize = V::N;
    const FUSED: bool = V::FUSED;
    #[inline(always)]
    fn splat(v: f32) -> Self {
        Ahead(V::splat(v), Notes::Absent)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller's promise.
        Ahead(unsafe { V::load(p) }, Notes::Absent)
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { self.0.store(p) }
    }
    #[inline(always)]
    unsafe fn store_past(self, p: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { self.0.store_past(p) }
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Ahead(self.0.mul_add(a.0, b.0), self.1.or(a.1).or(b.1))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Ahead(self.0.abs(), self.1)
    }
    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        Ahead(self.0.copysign(sign.0), self.1.or(sign.1))
    }
    #[inline(always)]
    fn max(self, c: Self) -> Self {
        Ahead(self.0.max(c.0), self.1.or(c.1))
    }
    #[inline(always)]
    fn min(self, c: Self) -> Self {
        Ahead(self.0.min(c.0), self.1.or(c.1))
    }
    #[inline(always)]
    fn gt(self, o: Self) -> V::Mask {
        self.0.gt(o.0)
    }
    #[inline(always)]
    fn is_nan(self) -> V::Mask {
        self.0.is_nan()
    }
    #[inline(always)]
    fn either(a: V::Mask, b: V::Mask) -> V::Mask {
        V::either(a, b)
    }
    #[inline(always)]
    fn any(m: V::Mask) -> bool {
        V::any(m)
    }
    #[inline(always)]
    fn all(m: V::Mask) -> bool {
        V::all(m)
    }
    #[inline(always)]
    fn select(m: V::Mask, a: Self, b: Self) -> Self {
        Ahead(V::select(m, a.0, b.0), a.1.or(b.1))
    }
}

impl<V: Lanes32> Lanes32 for Ahead<V> {
    type Wide = V::Wide;
    type Pick = V::Pick;
    const AHEAD: bool = true;
    #[inline(always)]
    fn with_notes(self, notes: Notes<V::Pick>) -> Self {
        Ahead(self.0, notes)
    }
    #[inline(always)]
    fn pick(self, slot: usize) -> V::Pick {
        match self.1 {
            Notes::Absent => self.0.pick(slot),
            Notes::Write(to) => {
                // SAFETY: who gave the notes has room for this register's.
                unsafe { self.0.note(to[slot]) }
                self.0.pick(slot)
            }
            // SAFETY: what runs the second time writes there the first time.
            Notes::Read(from) => unsafe { from[slot].read() },
        }
    }
    #[inline(always)]
    fn four(pick: V::Pick, four: &Four) -> [Self; 4] {
        let [a, b, c, d] = V::four(pick, four);
        let bare = |v| Ahead(v, Notes::Absent);
        [bare(a), bare(b), bare(c), bare(d)]
    }
    #[inline(always)]
    fn widen(self) -> (V::Wide, V::Wide) {
        self.0.widen()
    }
    #[inline(always)]
    fn narrow(lo: V::Wide, hi: V::Wide) -> Self {
        Ahead(V::narrow(lo, hi), Notes::Absent)
    }
    #[inline(always)]
    fn lookup_short(self, row: &[f32; 16]) -> Self {
        Ahead(self.0.lookup_short(row), self.1)
    }
    #[inline(always)]
    fn octave(self) -> Self {
        Ahead(self.0.octave(), self.1)
    }
    #[inline(always)]
    fn add_shifted(self, t: Self) -> Self {
        Ahead(self.0.add_shifted(t.0), self.1.or(t.1))
    }
}

impl<V: Lanes32> Partial for Ahead<V> {}
