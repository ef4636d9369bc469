//! The loops of a block engine: an operation on the numbers of a block, for each type of register and
//! level. Every operation has a function of its own, so that none has to make room for all.

#![allow(unsafe_code)]

use super::Op;
use super::lower::{Asked, Code, Instruction, Link, Made, NOWHERE, Place, Registers};
use super::operations::operations;
use crate::level::PerLevel;
use crate::real::{Deferred, F32Plain, F64Lanes, F64ToF32, Jet, Prim, Real};
use crate::simd::{Lanes32, Lanes64, Simd};
use core::marker::PhantomData;

/// Where numbers are in memory.
#[derive(Clone, Copy)]
pub(crate) struct Spot {
    pub(super) at: *mut u8,
    /// All ones for blocks and arrays, 0 where all elements are one.
    pub(super) mask: usize,
    /// Whether it is an array whose numbers are not as those of blocks: f32, or without exponents.
    pub(super) narrow: bool,
    /// Whether exponents are pending.
    pub(super) pending: bool,
}

/// Where the exponents of deferred numbers are: so many bytes behind the numbers.
#[derive(Clone, Copy)]
pub(crate) struct Exponents(pub(super) usize);

/// A register that numbers of a program are in.
pub(crate) trait Cell: Real {
    /// Numbers in it.
    const N: usize;
    /// Whether low parts are kept.
    const KEEPS: bool = true;
    /// Whether exponents may be pending.
    const DEFERS: bool = false;
    /// Whether it is of f32, and runs programs that round once at most.
    const NARROW: bool = false;
    /// A number in every lane.
    fn set(v: f64) -> Self;
    /// Reads numbers `j` and the following.
    ///
    /// # Safety
    /// `N` numbers must lie there, and their exponents where some are pending.
    unsafe fn load(s: &Spot, j: usize, k: Exponents) -> Self;
    /// Writes numbers `j` and the following.
    ///
    /// # Safety
    /// There must be room for `N` numbers, and for their exponents if they may be pending; what comes
    /// before them in a block must have been written.
    unsafe fn store(self, s: &mut Spot, j: usize, k: Exponents);
    /// Writes numbers `j` and the following with the pending exponents `by`.
    ///
    /// # Safety
    /// As of [`Cell::store`] of deferred numbers.
    #[inline(always)]
    unsafe fn store_deferred(self, by: Self, _: &mut Spot, _: usize, _: Exponents) {
        let _ = by;
        unreachable!("numbers without exponents")
    }
}

/// What all blocks have.
const BLOCK_SPOT: Spot =
    Spot { at: core::ptr::null_mut(), mask: !0, narrow: false, pending: false };

impl Spot {
    /// The address of number `j` of `size` bytes.
    #[inline(always)]
    fn address(&self, j: usize, size: usize) -> *mut u8 {
        self.at.wrapping_add((j * size) & self.mask)
    }
}

impl<V: Lanes64> Cell for F64ToF32<V> {
    const N: usize = V::N;
    const KEEPS: bool = false;
    #[inline(always)]
    fn set(v: f64) -> Self {
        F64ToF32(V::splat(v))
    }
    #[inline(always)]
    unsafe fn load(s: &Spot, j: usize, _: Exponents) -> Self {
        // SAFETY: `N` numbers lie there, of f32 if the spot is narrow, else of f64.
        unsafe {
            F64ToF32(if s.narrow {
                V::load_f32(s.address(j, 4).cast())
            } else {
                V::load(s.address(j, 8).cast())
            })
        }
    }
    #[inline(always)]
    unsafe fn store(self, s: &mut Spot, j: usize, _: Exponents) {
        // SAFETY: there is room for `N` numbers, of f32 if the spot is narrow, else of f64.
        unsafe {
            if s.narrow {
                self.0.store_f32(s.address(j, 4).cast());
            } else {
                self.0.store(s.address(j, 8).cast());
            }
        }
    }
}

impl<V: Lanes64> Cell for F64Lanes<V> {
    const N: usize = V::N;
    #[inline(always)]
    fn set(v: f64) -> Self {
        F64Lanes(V::splat(v))
    }
    #[inline(always)]
    unsafe fn load(s: &Spot, j: usize, _: Exponents) -> Self {
        // SAFETY: `N` numbers of f64 lie there.
        F64Lanes(unsafe { V::load(s.address(j, 8).cast()) })
    }
    #[inline(always)]
    unsafe fn store(self, s: &mut Spot, j: usize, _: Exponents) {
        // SAFETY: there is room for `N` numbers of f64.
        unsafe { self.0.store(s.address(j, 8).cast()) }
    }
    #[inline(always)]
    unsafe fn store_deferred(self, by: Self, s: &mut Spot, j: usize, k: Exponents) {
        // SAFETY: there is room for `N` numbers and their exponents, and what comes before was written.
        unsafe { Deferred::new(self).scale2(Deferred::new(by)).store(s, j, k) }
    }
}

impl<V: Lanes64> Cell for Deferred<F64Lanes<V>> {
    const N: usize = V::N;
    const DEFERS: bool = true;
    #[inline(always)]
    fn set(v: f64) -> Self {
        Deferred::new(F64Lanes(V::splat(v)))
    }
    #[inline(always)]
    unsafe fn load(s: &Spot, j: usize, k: Exponents) -> Self {
        // SAFETY: `N` numbers of f64 lie there, and their exponents if some are pending.
        unsafe {
            let p = s.address(j, 8);
            let x = F64Lanes(V::load(p.cast()));
            if s.pending {
                core::hint::cold_path();
                return Deferred::pending(x, F64Lanes(V::load(p.wrapping_add(k.0).cast())));
            }
            Deferred::new(x)
        }
    }
    /// The exponents of a block are written from the first one that is not 0 on; those before it then.
    #[inline(always)]
    unsafe fn store(self, s: &mut Spot, j: usize, Exponents(k): Exponents) {
        let p = s.address(j, 8);
        if s.narrow {
            // An array: what is pending is applied.
            // SAFETY: there is room for `N` numbers of f64.
            return unsafe { self.resolve().0.store(p.cast()) };
        }
        let (x, exponent) = self.parts();
        // SAFETY: there is room for `N` numbers of f64, for as many exponents, and for those of all
        // numbers of the block before them.
        unsafe {
            x.0.store(p.cast());
            match exponent {
                Some(exponent) => {
                    core::hint::cold_path();
                    if !s.pending {
                        s.pending = true;
                        let mut i = 0;
                        while i < j & s.mask {
                            V::splat(0.0).store(s.at.wrapping_add(k + 8 * i).cast());
                            i += V::N;
                        }
                    }
                    exponent.0.store(p.wrapping_add(k).cast());
                }
                None if s.pending => {
                    core::hint::cold_path();
                    V::splat(0.0).store(p.wrapping_add(k).cast());
                }
                None => {}
            }
        }
    }
}

/// Blocks are of f32, as arrays are.
impl<V: Lanes32> Cell for F32Plain<V> {
    const N: usize = V::N;
    const KEEPS: bool = false;
    const NARROW: bool = true;
    #[inline(always)]
    fn set(v: f64) -> Self {
        F32Plain(V::splat(v as f32))
    }
    #[inline(always)]
    unsafe fn load(s: &Spot, j: usize, _: Exponents) -> Self {
        // SAFETY: `N` numbers of f32 lie there.
        F32Plain(unsafe { V::load(s.address(j, 4).cast()) })
    }
    #[inline(always)]
    unsafe fn store(self, s: &mut Spot, j: usize, _: Exponents) {
        // SAFETY: there is room for `N` numbers of f32.
        unsafe { self.0.store(s.address(j, 4).cast()) }
    }
}

/// What an engine computes with.
pub(crate) trait Engine: 'static {
    /// The registers of operations.
    type Number<S: Simd>: Cell;
    /// The registers of primitives.
    type Primitive<S: Simd>: Cell;
    /// The loops of what is no primitive.
    fn loops<W: Work>() -> PerLevel<Loop>;
}

/// Arrays of f32 in their own registers.
enum F32 {}
/// Arrays of f32 in registers of f64.
enum ToF32 {}
/// Arrays of f64.
enum F64 {}
/// Arrays of f64, with exponents that a gradient comes before.
enum DeferredF64 {}

impl Engine for F32 {
    type Number<S: Simd> = F32Plain<S::F32>;
    type Primitive<S: Simd> = F32Plain<S::F32>;
    fn loops<W: Work>() -> PerLevel<Loop> {
        const { f32::loops::<(W, Self)>() }
    }
}
impl Engine for ToF32 {
    type Number<S: Simd> = F64ToF32<S::Block64>;
    type Primitive<S: Simd> = F64ToF32<S::F64>;
    fn loops<W: Work>() -> PerLevel<Loop> {
        const { to_f32::loops::<(W, Self)>() }
    }
}
impl Engine for F64 {
    type Number<S: Simd> = F64Lanes<S::Block64>;
    type Primitive<S: Simd> = F64Lanes<S::F64>;
    fn loops<W: Work>() -> PerLevel<Loop> {
        const { f64::loops::<(W, Self)>() }
    }
}
// One register at a time: what these numbers do is long, and there is much of it to compile.
impl Engine for DeferredF64 {
    type Number<S: Simd> = Deferred<F64Lanes<S::F64>>;
    type Primitive<S: Simd> = F64Lanes<S::F64>;
    fn loops<W: Work>() -> PerLevel<Loop> {
        const { deferred::loops::<(W, Self)>() }
    }
}

/// Where the numbers of a call are.
pub(crate) struct Frame<'a> {
    pub(super) spots: &'a mut [Spot],
    pub(super) exponents: Exponents,
    /// The steps of all chains.
    pub(super) steps: &'a [(Link, Place)],
}

impl Frame<'_> {
    #[inline(always)]
    fn input(&self, i: &Instruction, k: usize) -> Spot {
        self.spots[usize::from(i.inputs[k])]
    }

    /// The spot of an output, if it is wanted, for a loop that writes it anew.
    #[inline(always)]
    fn output(&self, i: &Instruction, k: usize) -> Option<Spot> {
        if i.outputs[k] == NOWHERE {
            return None;
        }
        Some(Spot { pending: false, ..self.spots[usize::from(i.outputs[k])] })
    }

    /// Keeps in mind whether exponents of an output are pending: its place may have had another number.
    #[inline(always)]
    fn written(&mut self, i: &Instruction, k: usize, pending: bool) {
        self.spots[usize::from(i.outputs[k])].pending = pending;
    }
}

/// A loop: an instruction on so many numbers, a multiple of those of every register.
pub(crate) type Loop = unsafe fn(&Instruction, &mut Frame<'_>, usize);

/// What a loop does.
pub(crate) trait Work: 'static {
    /// Does it on `m` numbers.
    ///
    /// # Safety
    /// The spots of the instruction have `m` numbers, a multiple of those of a register.
    unsafe fn run<S: Simd, E: Engine>(i: &Instruction, frame: &mut Frame<'_>, m: usize);
}

/// What a loop does, and in which registers.
pub(crate) trait Pair: 'static {
    type W: Work;
    type E: Engine;
}
impl<W: Work, E: Engine> Pair for (W, E) {
    type W = W;
    type E = E;
}

/// # Safety
/// See [`Work::run`].
#[inline(always)]
unsafe fn work<S: Simd, P: Pair>(i: &Instruction, frame: &mut Frame<'_>, m: usize) {
    // SAFETY: the spots have `m` numbers, a multiple of those of a register.
    unsafe { P::W::run::<S, P::E>(i, frame, m) }
}

/// Loops for each level, in a module of their own, which the compiler works on apart from others.
macro_rules! loops_apart {
    ($($name:ident),*) => {
        $(mod $name {
            use super::{Frame, Instruction, Pair, work};
            crate::level::per_level!(
                fn loops<P: Pair>(i: &Instruction, frame: &mut Frame<'_>, m: usize) = work
            );
        })*
    };
}
loops_apart!(f32, to_f32, f64, deferred);

/// From one place to another.
enum Copy {}

impl Work for Copy {
    #[inline(always)]
    unsafe fn run<S: Simd, E: Engine>(i: &Instruction, frame: &mut Frame<'_>, m: usize) {
        let (k, from) = (frame.exponents, frame.input(i, 0));
        let Some(mut to) = frame.output(i, 0) else { return };
        let mut j = 0;
        while j < m {
            // SAFETY: `j` and the register behind it are below `m`.
            unsafe { E::Number::<S>::load(&from, j, k).store(&mut to, j, k) }
            j += E::Number::<S>::N;
        }
        frame.written(i, 0, to.pending);
    }
}

/// Copies a block and applies the powers of two that its numbers wait for.
enum Resolve {}

impl Work for Resolve {
    #[inline(always)]
    unsafe fn run<S: Simd, E: Engine>(i: &Instruction, frame: &mut Frame<'_>, m: usize) {
        let (k, from) = (frame.exponents, frame.input(i, 0));
        let Some(to) = frame.output(i, 0) else { return };
        // As if it were an array.
        let mut to = Spot { narrow: true, ..to };
        let mut j = 0;
        while j < m {
            // SAFETY: `j` and the register behind it are below `m`.
            unsafe { E::Number::<S>::load(&from, j, k).store(&mut to, j, k) }
            j += E::Number::<S>::N;
        }
        frame.written(i, 0, false);
    }
}

/// The steps of a chain.
enum Chain {}

impl Work for Chain {
    #[inline(always)]
    unsafe fn run<S: Simd, E: Engine>(i: &Instruction, frame: &mut Frame<'_>, m: usize) {
        let Code::Chain(from, n) = i.code else { unreachable!("not a chain") };
        let steps = &frame.steps[usize::from(from)..][..usize::from(n)];
        let (k, first) = (frame.exponents, frame.input(i, 0));
        let Some(mut to) = frame.output(i, 0) else { return };
        let mut j = 0;
        // Several registers at a time, so that a step is looked at less often.
        macro_rules! registers {
            ($n:literal) => {
                while j + $n * E::Number::<S>::N <= m {
                    // SAFETY: `j` and the registers behind it are below `m`.
                    unsafe { chain::<E::Number<S>, $n>(&first, steps, frame.spots, &mut to, j, k) }
                    j += $n * E::Number::<S>::N;
                }
            };
        }
        if E::Number::<S>::NARROW {
            registers!(8);
        } else {
            registers!(2);
        }
        registers!(1);
        frame.written(i, 0, false);
    }
}

/// The steps of a chain on `W` registers.
///
/// # Safety
/// The spots have `W` registers at `j`.
#[inline(always)]
unsafe fn chain<R: Cell, const W: usize>(
    first: &Spot,
    steps: &[(Link, Place)],
    spots: &[Spot],
    to: &mut Spot,
    j: usize,
    k: Exponents,
) {
    /// For each register.
    macro_rules! each {
        ($w:ident => $body:expr) => {
            let mut $w = 0;
            while $w < W {
                $body;
                $w += 1;
            }
        };
    }
    macro_rules! load {
        ($s:expr, $w:ident) => {
            // SAFETY: a register lies at `j + w * N`.
            unsafe { R::load($s, j + $w * R::N, k) }
        };
    }
    let mut y = [R::set(0.0); W];
    each!(w => y[w] = load!(first, w));
    for (link, place) in steps {
        let o = &spots[usize::from(*place)];
        match link {
            Link::Add => {
                each!(w => y[w] = y[w] + load!(o, w));
            }
            Link::Sub => {
                each!(w => y[w] = y[w] - load!(o, w));
            }
            Link::SubFrom => {
                each!(w => y[w] = load!(o, w) - y[w]);
            }
            Link::Mul => {
                each!(w => y[w] = y[w] * load!(o, w));
            }
            Link::Div | Link::DivInto if R::NARROW => unreachable!("it rounds once"),
            Link::Div => {
                each!(w => y[w] = y[w] / load!(o, w));
            }
            Link::DivInto => {
                each!(w => y[w] = load!(o, w) / y[w]);
            }
            Link::Max => {
                each!(w => y[w] = y[w].max(load!(o, w)));
            }
            Link::MaxOf => {
                each!(w => y[w] = load!(o, w).max(y[w]));
            }
            Link::Min => {
                each!(w => y[w] = y[w].min(load!(o, w)));
            }
            Link::MinOf => {
                each!(w => y[w] = load!(o, w).min(y[w]));
            }
            Link::Neg => {
                each!(w => y[w] = -y[w]);
            }
            Link::Abs => {
                each!(w => y[w] = y[w].abs());
            }
        }
    }
    // SAFETY: there is room for a register at `j + w * N`.
    each!(w => unsafe { y[w].store(to, j + w * R::N, k) });
}

/// A primitive as a type.
trait Named: 'static {
    const PRIM: Prim;
}

/// A primitive, asked for in one way, for its value or (`SLOPE`) with derivatives.
struct Primitive<P, A, const SLOPE: bool>(PhantomData<(P, A)>);

/// How a jet is had from a number, as a type.
trait Had: 'static {
    /// The jet at `x`, or `x` and what `lo` reads.
    ///
    /// # Safety
    /// A register lies at `j` of `lo`.
    unsafe fn jet<R: Cell, P: Named>(x: R, lo: &Spot, j: usize) -> Jet<R>;
}

/// [`Asked`] as types.
enum At {}
enum Corrected {}
enum ForSlope {}
enum SoftplusNeg {}

impl Had for At {
    #[inline(always)]
    unsafe fn jet<R: Cell, P: Named>(x: R, _: &Spot, _: usize) -> Jet<R> {
        x.jet(P::PRIM)
    }
}
impl Had for Corrected {
    #[inline(always)]
    unsafe fn jet<R: Cell, P: Named>(x: R, lo: &Spot, j: usize) -> Jet<R> {
        // SAFETY: a register lies at `j`.
        x.jet_at(unsafe { R::load(lo, j, Exponents(0)) }, P::PRIM)
    }
}
impl Had for ForSlope {
    #[inline(always)]
    unsafe fn jet<R: Cell, P: Named>(x: R, _: &Spot, _: usize) -> Jet<R> {
        x.slope_jet(P::PRIM)
    }
}
impl Had for SoftplusNeg {
    #[inline(always)]
    unsafe fn jet<R: Cell, P: Named>(x: R, lo: &Spot, j: usize) -> Jet<R> {
        // SAFETY: a register lies at `j`.
        x.softplus_neg(unsafe { R::load(lo, j, Exponents(0)) })
    }
}

impl<P: Named, A: Had, const SLOPE: bool> Work for Primitive<P, A, SLOPE> {
    #[inline(always)]
    unsafe fn run<S: Simd, E: Engine>(i: &Instruction, frame: &mut Frame<'_>, m: usize) {
        let Code::Jet(_, made, defers) = i.code else { unreachable!("not a primitive") };
        let (x, lo, of) = (frame.input(i, 0), frame.input(i, 1), frame.input(i, 2));
        let exponents = frame.exponents;
        // Only the first part may go to an array.
        let mut first = frame.output(i, 0);
        let mut at = [core::ptr::null_mut(); 6];
        for (at, place) in at.iter_mut().zip(i.outputs) {
            if place != NOWHERE {
                *at = frame.spots[usize::from(place)].at;
            }
        }
        // Exponents are numbers of their own here.
        let none = Exponents(0);
        /// Writes the first part, if it is wanted.
        macro_rules! put_first {
            ($value:expr, $j:ident) => {
                if let Some(to) = &mut first {
                    let value = $value;
                    // SAFETY: `$j` and the register behind it are below `m`.
                    unsafe { value.store(to, $j, none) }
                }
            };
        }
        /// Writes another part, if it is wanted.
        macro_rules! put {
            ($value:expr, $part:literal, $j:ident) => {
                if !at[$part].is_null() {
                    let (value, mut to) = ($value, Spot { at: at[$part], ..BLOCK_SPOT });
                    // SAFETY: `$j` and the register behind it are below `m`.
                    unsafe { value.store(&mut to, $j, none) }
                }
            };
        }
        /// Writes a number with its exponent, applied or pending.
        macro_rules! put_scaled {
            ($value:expr, $k:expr, $j:ident) => {
                if let Some(to) = &mut first {
                    let (value, k) = ($value, $k);
                    // SAFETY: `$j` and the register behind it are below `m`.
                    unsafe {
                        if defers {
                            value.store_deferred(k, to, $j, exponents);
                        } else {
                            value.scale2(k).store(to, $j, none);
                        }
                    }
                }
            };
        }
        macro_rules! load {
            ($from:ident, $j:ident) => {
                // SAFETY: `$j` and the register behind it are below `m`.
                unsafe { E::Primitive::<S>::load(&$from, $j, none) }
            };
        }
        let mut j = 0;
        while j < m {
            let at_x = load!(x, j);
            // SAFETY: `j` and the register behind it are below `m`.
            let jet = unsafe { A::jet::<E::Primitive<S>, P>(at_x, &lo, j) };
            if !E::Primitive::<S>::KEEPS || made == Made::Parts {
                put_first!(jet.v, j);
                if SLOPE {
                    put!(jet.d, 1, j);
                    put!(jet.dd, 2, j);
                }
                if E::Primitive::<S>::KEEPS {
                    put!(jet.v_lo, 3, j);
                    put!(jet.k, 5, j);
                    if SLOPE {
                        put!(jet.d_lo, 4, j);
                    }
                }
            } else if SLOPE {
                if made == Made::GatedSlope {
                    put_scaled!(load!(of, j).slope_sum(jet), jet.k, j);
                } else {
                    put_scaled!(jet.d + jet.d_lo, jet.k, j);
                }
            } else if made == Made::Gated {
                put_first!(load!(of, j).gated(jet), j);
            } else {
                put_scaled!(jet.v + jet.v_lo, jet.k, j);
            }
            j += E::Primitive::<S>::N;
        }
        // A place may have been a deferred number's, in this block or in the one before.
        for (part, place) in i.outputs.iter().enumerate().filter(|(_, p)| **p != NOWHERE) {
            let pending = part == 0 && first.is_some_and(|first| first.pending);
            frame.spots[usize::from(*place)].pending = pending;
        }
    }
}

/// An operation of the table, as a type, and what it does.
macro_rules! works {
    ($(
        $op:ident($($(- $low:ident)? $($input:ident)?),*; $($c:ident),*)
        $(= $one:expr)? $(=> $pair:expr)?;
    )*) => {
        mod ops {
            $(pub(super) enum $op {})*
        }

        $(impl Work for ops::$op {
            #[inline(always)]
            unsafe fn run<S: Simd, E: Engine>(i: &Instruction, frame: &mut Frame<'_>, m: usize) {
                if const { Op::$op.is_lowered() } {
                    unreachable!("nothing of it is left in an engine");
                }
                if const { E::Number::<S>::DEFERS && !Op::$op.is_deferred() } {
                    unreachable!("its numbers have no exponents pending");
                }
                if const { E::Number::<S>::NARROW && !Op::$op.is_in_f32() } {
                    unreachable!("programs that round more than once take registers of f64");
                }
                let k = frame.exponents;
                let [$($c,)* ..] = i.constants;
                let [$($($low)? $($input)?,)* ..] = i.inputs;
                let [$($($low)? $($input)?,)*] =
                    [$($(frame.spots[usize::from($low)])? $(frame.spots[usize::from($input)])?,)*];
                let Some(mut to) = frame.output(i, 0) else { return };
                $(let mut second = { let _ = stringify!($pair); frame.output(i, 1) };)?
                let mut j = 0;
                while j < m {
                    // SAFETY: `j` and the register behind it are below `m`.
                    let [$($($low)? $($input)?,)*] = unsafe {
                        [$(
                            $(E::Number::<S>::load(&$low, j, k))?
                            $(E::Number::<S>::load(&$input, j, k))?,
                        )*]
                    };
                    $(let y = $one;)?
                    $(
                        let (y, rest) = $pair;
                        if let Some(second) = &mut second {
                            // SAFETY: `j` and the register behind it are below `m`.
                            unsafe { rest.store(second, j, k) }
                        }
                    )?
                    // SAFETY: `j` and the register behind it are below `m`.
                    unsafe { y.store(&mut to, j, k) }
                    j += E::Number::<S>::N;
                }
                frame.written(i, 0, to.pending);
                $(
                    let _ = stringify!($pair);
                    if let Some(second) = second {
                        frame.written(i, 1, second.pending);
                    }
                )?
            }
        })*

        /// The loop of an operation of the table.
        fn plain<E: Engine>(op: Op) -> PerLevel<Loop> {
            match op {
                $(Op::$op => E::loops::<ops::$op>(),)*
                Op::Jet | Op::JetAt | Op::SlopeJet | Op::SoftplusNeg => {
                    unreachable!("jets have loops of their own")
                }
            }
        }
    };
}
operations!(works);

/// Primitives as types, and their loops.
macro_rules! prims {
    ($($module:ident $prim:ident),*) => {
        loops_apart!($($module),*);
        mod prims {
            $(pub(super) enum $prim {})*
        }
        $(impl Named for prims::$prim {
            const PRIM: Prim = Prim::$prim;
        })*

        /// The loop of a primitive.
        fn primitive<A: Had, E: Engine, const SLOPE: bool>(p: Prim) -> PerLevel<Loop> {
            match p {
                $(Prim::$prim => const { $module::loops::<(Primitive<prims::$prim, A, SLOPE>, E)>() },)*
            }
        }
    };
}
prims!(
    exp Exp, exp_m1 ExpM1, sigmoid Sigmoid, tanh Tanh, softplus Softplus, normal_cdf Cdf,
    tanh_softplus TanhSoftplus, sqrt Sqrt, ln Ln, ln_1p Ln1p, sin Sin, cos Cos, atan Atan, erf Erf
);

/// The loop of what is no primitive.
fn arithmetic<E: Engine>(i: &Instruction) -> PerLevel<Loop> {
    match i.code {
        Code::Plain(op) => plain::<E>(op),
        Code::Chain(..) => E::loops::<Chain>(),
        _ => E::loops::<Copy>(),
    }
}

/// The loop of an instruction in registers of f64.
fn of(i: &Instruction) -> PerLevel<Loop> {
    type P = F64;
    let Code::Jet(asked, made, _) = i.code else { return arithmetic::<F64>(i) };
    let slope = matches!(made, Made::Slope | Made::GatedSlope)
        || [1, 2, 4].iter().any(|k| i.outputs[*k] != NOWHERE);
    match (asked, slope) {
        (Asked::At, _) => unreachable!("numbers that keep what rounding loses have a correction"),
        (Asked::Corrected, false) => primitive::<Corrected, P, false>(i.prim),
        (Asked::Corrected, true) => primitive::<Corrected, P, true>(i.prim),
        // What has a slope of its own: see `lower.rs`.
        (Asked::ForSlope, _) if i.prim == Prim::Tanh => {
            const { tanh::loops::<(Primitive<prims::Tanh, ForSlope, true>, P)>() }
        }
        (Asked::ForSlope, _) => {
            const { sigmoid::loops::<(Primitive<prims::Sigmoid, ForSlope, true>, P)>() }
        }
        (Asked::SoftplusNeg, false) => {
            const { softplus::loops::<(Primitive<prims::Softplus, SoftplusNeg, false>, P)>() }
        }
        (Asked::SoftplusNeg, true) => {
            const { softplus::loops::<(Primitive<prims::Softplus, SoftplusNeg, true>, P)>() }
        }
    }
}

/// The loop of a primitive where nothing is kept of a rounding: it has no corrections.
fn rounded(i: &Instruction) -> PerLevel<Loop> {
    let Code::Jet(..) = i.code else { return arithmetic::<ToF32>(i) };
    if [1, 2].iter().any(|k| i.outputs[*k] != NOWHERE) {
        primitive::<At, ToF32, true>(i.prim)
    } else {
        primitive::<At, ToF32, false>(i.prim)
    }
}

/// The loop of an instruction.
pub(super) fn find(i: &Instruction, registers: Registers) -> PerLevel<Loop> {
    match registers {
        Registers::F32 => arithmetic::<F32>(i),
        Registers::ToF32 => rounded(i),
        Registers::F64 => of(i),
        Registers::Deferred => match i.code {
            Code::Plain(op) if i.deferred => plain::<DeferredF64>(op),
            Code::Copy => DeferredF64::loops::<Copy>(),
            Code::Resolve => DeferredF64::loops::<Resolve>(),
            _ => of(i),
        },
    }
}
