//! The recorder: a number type that writes down what is asked of it.

use super::operations::operations;
use super::{Immediate, MOST, Node, Op, Program};
use crate::real::{Jet, Prim, Real};
use alloc::{collections::BTreeMap, vec, vec::Vec};
use core::cell::RefCell;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// What an operation is told apart by. Constants count by their bits: 0 and -0 are two numbers, a
/// NaN is equal to itself.
type Key = (Op, u8, [u64; 2], [u16; Node::INPUTS]);

/// What has been recorded so far.
struct State {
    nodes: Vec<Node>,
    constants: Vec<Immediate>,
    /// The first result of each operation that is there.
    known: BTreeMap<Key, u16>,
    /// Results that are literals.
    literals: BTreeMap<u16, f64>,
    /// How many numbers there are: operands, parameters, results.
    values: usize,
    /// Whether there was no room for some operation.
    full: bool,
}

/// Where symbols write what is asked of them.
pub(super) struct Recorder {
    state: RefCell<State>,
}

/// A number of a program that is being recorded.
#[derive(Clone, Copy)]
pub(crate) struct Symbol<'r> {
    value: u16,
    recorder: &'r Recorder,
}

/// The program of `f`, a function of some operands and parameters with `O` results; nothing if it is
/// longer than a program may be.
pub(super) fn record<const O: usize>(
    operands: usize,
    params: usize,
    f: impl for<'r> FnOnce(&[Symbol<'r>], &[Symbol<'r>]) -> [Symbol<'r>; O],
) -> Option<Program> {
    let arguments = operands + params;
    if arguments > MOST {
        return None;
    }
    let recorder = Recorder {
        state: RefCell::new(State {
            nodes: Vec::new(),
            constants: Vec::new(),
            known: BTreeMap::new(),
            literals: BTreeMap::new(),
            values: arguments,
            full: false,
        }),
    };
    let all: Vec<_> =
        (0..arguments).map(|i| Symbol { value: i as u16, recorder: &recorder }).collect();
    let (x, p) = all.split_at(operands);
    let results = f(x, p).map(|y| y.value);
    let state = recorder.state.into_inner();
    if state.full {
        return None;
    }
    Some(used(state, operands, params, &results))
}

/// The program without operations that no result depends on.
fn used(state: State, operands: usize, params: usize, results: &[u16]) -> Program {
    let State { nodes, constants, values, .. } = state;
    let mut wanted = vec![false; values];
    for &v in results {
        wanted[usize::from(v)] = true;
    }
    let mut first = values;
    let mut keep = vec![false; nodes.len()];
    for (node, keep) in nodes.iter().zip(&mut keep).rev() {
        first -= node.op.results();
        *keep = wanted[first..first + node.op.results()].contains(&true);
        if *keep {
            for &v in node.inputs() {
                wanted[usize::from(v)] = true;
            }
        }
    }
    // Results move up to where those of dropped operations were.
    let mut place: Vec<u16> = (0..values as u16).collect();
    let (mut from, mut to) = (operands + params, operands + params);
    let mut kept = Vec::new();
    let mut used_constants: Vec<Immediate> = Vec::new();
    for (mut node, keep) in nodes.into_iter().zip(keep) {
        let n = node.op.results();
        if keep {
            for v in &mut node.inputs {
                *v = place[usize::from(*v)];
            }
            if node.op.constants() > 0 {
                let c = constants[usize::from(node.constants)];
                let at = used_constants.iter().position(|d| bits(*d) == bits(c));
                node.constants = at.unwrap_or_else(|| {
                    used_constants.push(c);
                    used_constants.len() - 1
                }) as u16;
            }
            for i in 0..n {
                place[from + i] = (to + i) as u16;
            }
            kept.push(node);
            to += n;
        }
        from += n;
    }
    Program {
        operands: operands as u16,
        params: params as u16,
        values: to as u16,
        nodes: kept.into_boxed_slice(),
        constants: used_constants.into_boxed_slice(),
        results: results.iter().map(|v| place[usize::from(*v)]).collect(),
    }
}

fn bits([c, rest]: Immediate) -> [u64; 2] {
    [c.to_bits(), rest.to_bits()]
}

impl Recorder {
    /// The first result of an operation.
    fn push(&self, op: Op, prim: Prim, constants: Immediate, args: &[u16]) -> u16 {
        let mut state = self.state.borrow_mut();
        let mut inputs = [0; Node::INPUTS];
        inputs[..args.len()].copy_from_slice(args);
        let key = (op, prim as u8, bits(constants), inputs);
        if let Some(&value) = state.known.get(&key) {
            return value;
        }
        if state.values + op.results() > MOST {
            state.full = true;
            return 0;
        }
        let at = if op.constants() == 0 {
            0
        } else {
            state.constants.push(constants);
            state.constants.len() - 1
        };
        let value = state.values as u16;
        state.values += op.results();
        state.nodes.push(Node { op, prim, constants: at as u16, inputs });
        state.known.insert(key, value);
        if op == Op::Lit {
            state.literals.insert(value, constants[0]);
        }
        value
    }
}

impl<'r> Symbol<'r> {
    fn at(self, value: u16) -> Self {
        Symbol { value, ..self }
    }

    /// An operation of one number whose first input is this one, unless it is a literal.
    fn op(self, op: Op, constants: &[f64], others: &[Self]) -> Self {
        self.at(self.first(op, Prim::Exp, constants, others))
    }

    /// The first result of an operation.
    fn first(self, op: Op, prim: Prim, constants: &[f64], others: &[Self]) -> u16 {
        let mut immediate = [0.0; 2];
        immediate[..constants.len()].copy_from_slice(constants);
        let mut args = [0; Node::INPUTS];
        let mut n = 0;
        // A literal has no input: any number of the program is of its kind.
        if op.inputs() > 0 {
            args[0] = self.value;
            n = 1;
        }
        for other in others {
            debug_assert!(
                core::ptr::eq(self.recorder, other.recorder),
                "numbers of two programs cannot meet"
            );
            args[n] = other.value;
            n += 1;
        }
        debug_assert_eq!(n, op.inputs(), "inputs of {op:?}");
        self.recorder.push(op, prim, immediate, &args[..n])
    }

    fn pair(self, op: Op, constants: &[f64], others: &[Self]) -> (Self, Self) {
        let first = self.first(op, Prim::Exp, constants, others);
        // A recorder that is full hands out its first number for everything.
        (self.at(first), self.at(self.next(first, 1)))
    }

    fn jets(self, op: Op, prim: Prim, others: &[Self]) -> Jet<Self> {
        let first = self.first(op, prim, &[], others);
        let part = |i| self.at(self.next(first, i));
        Jet { v: part(0), d: part(1), dd: part(2), v_lo: part(3), d_lo: part(4), k: part(5) }
    }

    fn next(self, first: u16, i: u16) -> u16 {
        if self.recorder.state.borrow().full { first } else { first + i }
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident),*) => {$(
        impl $trait for Symbol<'_> {
            type Output = Self;
            fn $method(self, o: Self) -> Self {
                self.op(Op::$trait, &[], &[o])
            }
        }
    )*};
}
operators!(Add add, Sub sub, Mul mul, Div div);

impl Neg for Symbol<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.op(Op::Neg, &[], &[])
    }
}

impl Real for Symbol<'_> {
    fn lit(self, c: f64) -> Self {
        self.op(Op::Lit, &[c], &[])
    }
    fn literal(self) -> Option<f64> {
        self.recorder.state.borrow().literals.get(&self.value).copied()
    }
    fn constant(self, (c, rest): (f64, f64)) -> Self {
        self.op(Op::Constant, &[c, rest], &[])
    }
    fn constant_rest(self, (c, rest): (f64, f64)) -> Self {
        self.op(Op::ConstantRest, &[c, rest], &[])
    }
    fn lowest(self) -> Self {
        self.op(Op::Lowest, &[], &[])
    }
    fn abs(self) -> Self {
        self.op(Op::Abs, &[], &[])
    }
    fn max(self, c: Self) -> Self {
        self.op(Op::Max, &[], &[c])
    }
    fn min(self, c: Self) -> Self {
        self.op(Op::Min, &[], &[c])
    }
    fn part_above(self, c: f64) -> Self {
        self.op(Op::PartAbove, &[c], &[])
    }
    fn part_below(self, c: f64) -> Self {
        self.op(Op::PartBelow, &[c], &[])
    }
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        self.op(Op::PickAbove, &[c], &[hi, lo])
    }
    fn pick_at_least(self, c: f64, hi: Self, lo: Self) -> Self {
        self.op(Op::PickAtLeast, &[c], &[hi, lo])
    }
    fn pick_nan_free(self, c: f64, hi: Self, lo: Self) -> Self {
        self.op(Op::PickNanFree, &[c], &[hi, lo])
    }
    fn pick_identity_above(self, c: f64, lo: Self) -> Self {
        self.op(Op::PickIdentityAbove, &[c], &[lo])
    }
    fn pick_greater(self, o: Self, hi: Self, lo: Self) -> Self {
        self.op(Op::PickGreater, &[], &[o, hi, lo])
    }
    fn part_greater(self, o: Self) -> Self {
        self.op(Op::PartGreater, &[], &[o])
    }
    fn part_not_greater(self, o: Self) -> Self {
        self.op(Op::PartNotGreater, &[], &[o])
    }
    fn sign(self) -> Self {
        self.op(Op::Sign, &[], &[])
    }
    fn sign_or_one(self) -> Self {
        self.op(Op::SignOrOne, &[], &[])
    }
    fn step(self) -> Self {
        self.op(Op::Step, &[], &[])
    }
    fn floor(self) -> Self {
        self.op(Op::Floor, &[], &[])
    }
    fn round(self) -> Self {
        self.op(Op::Round, &[], &[])
    }
    fn sqrt(self) -> Self {
        self.op(Op::Sqrt, &[], &[])
    }
    fn mul_add(self, a: Self, b: Self) -> Self {
        self.op(Op::MulAdd, &[], &[a, b])
    }
    fn powi(self, n: i32) -> Self {
        self.op(Op::Powi, &[f64::from(n)], &[])
    }
    fn powf(self, y: Self) -> Self {
        self.op(Op::Powf, &[], &[y])
    }
    fn finite(self) -> Self {
        self.op(Op::Finite, &[], &[])
    }
    fn finite_beside(self, least: f64, o: Self) -> Self {
        self.op(Op::FiniteBeside, &[least], &[o])
    }
    fn saturated(self, end: f64) -> Self {
        self.op(Op::Saturated, &[end], &[])
    }
    fn slope_within(self, end: f64, slope: Self) -> Self {
        self.op(Op::SlopeWithin, &[end], &[slope])
    }
    fn scale2(self, k: Self) -> Self {
        self.op(Op::Scale2, &[], &[k])
    }
    fn two_prod(self, o: Self) -> (Self, Self) {
        self.pair(Op::TwoProd, &[], &[o])
    }
    fn two_sum(self, o: Self) -> (Self, Self) {
        self.pair(Op::TwoSum, &[], &[o])
    }
    fn quick_two_sum(self, o: Self) -> (Self, Self) {
        self.pair(Op::QuickTwoSum, &[], &[o])
    }
    fn reciprocal(self) -> (Self, Self) {
        self.pair(Op::Reciprocal, &[], &[])
    }
    fn argument(self, (factor, rest): (Self, Self)) -> (Self, Self) {
        self.pair(Op::Argument, &[], &[factor, rest])
    }
    fn times_constant(self, lo: Self, (c, rest): (f64, f64)) -> (Self, Self) {
        self.pair(Op::TimesConstant, &[c, rest], &[lo])
    }
    fn ramp(self, slope: Self, rest: Self, offset: Self) -> Self {
        self.op(Op::Ramp, &[], &[slope, rest, offset])
    }
    fn bias_for_double_rounding(self) -> Self {
        self.op(Op::BiasForDoubleRounding, &[], &[])
    }
    fn scaled(self, m: Self, m_lo: Self, k: Self) -> Self {
        self.op(Op::Scaled, &[], &[m, m_lo, k])
    }
    fn weighted(self, m: Self, m_lo: Self, k: Self) -> Self {
        self.op(Op::Weighted, &[], &[m, m_lo, k])
    }
    fn scaled_product(self, value: Self, m: Self, m_lo: Self, k: Self) -> Self {
        self.op(Op::ScaledProduct, &[], &[value, m, m_lo, k])
    }
    fn weighted_product(self, o: Self, m: Self, m_lo: Self, k: Self) -> Self {
        self.op(Op::WeightedProduct, &[], &[o, m, m_lo, k])
    }
    fn times_product_of(self, a: Self, b: Self, k: Self) -> Self {
        self.op(Op::TimesProductOf, &[], &[a, b, k])
    }
    fn times_product(self, (m, m_lo): (Self, Self)) -> Self {
        self.op(Op::TimesProduct, &[], &[m, m_lo])
    }
    fn times_slope(self, slope: Self) -> Self {
        self.op(Op::TimesSlope, &[], &[slope])
    }
    fn gated(self, g: Jet<Self>) -> Self {
        self.op(Op::Gated, &[], &[g.v, g.v_lo, g.k])
    }
    fn gated_times(self, g: Jet<Self>, factor: Self) -> Self {
        self.op(Op::GatedTimes, &[], &[g.v, g.v_lo, g.k, factor])
    }
    fn slope_sum(self, g: Jet<Self>) -> Self {
        self.op(Op::SlopeSum, &[], &[g.v, g.d, g.v_lo, g.d_lo])
    }
    fn plus_quotient(self, j: Jet<Self>, divisor: Self) -> Self {
        self.op(Op::PlusQuotient, &[], &[j.v, j.v_lo, j.k, divisor])
    }
    fn exp_m1_of_width(self, width: Self) -> Self {
        self.op(Op::ExpM1OfWidth, &[], &[width])
    }
    fn jet(self, p: Prim) -> Jet<Self> {
        self.jets(Op::Jet, p, &[])
    }
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        self.jets(Op::JetAt, p, &[lo])
    }
    fn slope_jet(self, p: Prim) -> Jet<Self> {
        self.jets(Op::SlopeJet, p, &[])
    }
    fn softplus_neg(self, lo: Self) -> Jet<Self> {
        self.jets(Op::SoftplusNeg, Prim::Softplus, &[lo])
    }
}

/// Facts of operations, from the table.
macro_rules! facts {
    ($(
        $op:ident($($(- $low:ident)? $($input:ident)?),*; $($c:ident),*)
        $(= $one:expr)? $(=> $pair:expr)?;
    )*) => {
        impl Op {
            /// How many numbers go in.
            pub(super) const fn inputs(self) -> usize {
                // The input of a literal may be any number.
                if matches!(self, Op::Lit | Op::Constant | Op::ConstantRest | Op::Lowest) {
                    return 0;
                }
                match self {
                    Op::Jet | Op::SlopeJet => 1,
                    Op::JetAt | Op::SoftplusNeg => 2,
                    $(Op::$op => {
                        let names: &[&str] = &[$($(stringify!($low))? $(stringify!($input))?),*];
                        names.len()
                    })*
                }
            }
            /// Which inputs a type without low parts never looks at.
            pub(super) const fn low(self) -> [bool; Node::INPUTS] {
                let mut all = [false; Node::INPUTS];
                match self {
                    Op::Jet | Op::SlopeJet => {}
                    Op::JetAt | Op::SoftplusNeg => all[1] = true,
                    $(Op::$op => {
                        let flags: &[bool] = &[$($({ let _ = stringify!($low); true })? $({ let _ = stringify!($input); false })?),*];
                        let mut i = 0;
                        while i < flags.len() {
                            all[i] = flags[i];
                            i += 1;
                        }
                    })*
                }
                all
            }
            /// Whether no engine has it: it is a literal there, or another number, or a primitive.
            pub(super) const fn is_lowered(self) -> bool {
                matches!(
                    self,
                    Op::Lit | Op::Constant | Op::ConstantRest | Op::Lowest | Op::PartAbove
                        | Op::PartBelow | Op::PartGreater | Op::PartNotGreater
                        | Op::BiasForDoubleRounding
                )
            }
            /// Whether `F64Lanes` and `Deferred` numbers with nothing pending do the same, and leave nothing
            /// pending.
            pub(super) const fn is_alike(self) -> bool {
                matches!(
                    self,
                    Op::Lit | Op::Constant | Op::ConstantRest | Op::Lowest | Op::Add | Op::Sub | Op::Mul
                        | Op::Div | Op::Neg | Op::Abs | Op::Max | Op::Min | Op::PartAbove | Op::PartBelow
                        | Op::PickAbove | Op::PickAtLeast | Op::PickIdentityAbove | Op::PickGreater
                        | Op::Finite | Op::FiniteBeside | Op::Saturated | Op::SlopeWithin | Op::TwoProd | Op::TwoSum
                        | Op::Reciprocal | Op::Argument | Op::TimesSlope | Op::BiasForDoubleRounding
                        | Op::MulAdd | Op::Sqrt | Op::Powi | Op::Powf | Op::PartGreater
                        | Op::PartNotGreater | Op::Sign | Op::SignOrOne | Op::Step | Op::Floor | Op::Round
                )
            }
            /// Whether engines have it for `Deferred` numbers. What it does with others is what `F64Lanes`
            /// do once nothing is pending any more.
            pub(super) const fn is_deferred(self) -> bool {
                !self.is_alike()
                    || matches!(
                        self,
                        Op::Mul | Op::Neg | Op::Abs | Op::PickAbove | Op::PickAtLeast
                            | Op::PickIdentityAbove | Op::PickGreater | Op::Finite | Op::FiniteBeside
                            | Op::Saturated | Op::SlopeWithin | Op::TimesSlope | Op::Sign | Op::SignOrOne | Op::Step
                    )
            }
            /// Whether engines have it in registers of f32.
            pub(super) const fn is_in_f32(self) -> bool {
                matches!(
                    self,
                    Op::Neg | Op::Abs | Op::Max | Op::Min | Op::Add | Op::Sub | Op::Mul | Op::Step | Op::Sign
                        | Op::SignOrOne | Op::PickAbove | Op::PickAtLeast | Op::PickGreater
                        | Op::FiniteBeside
                )
            }
            /// How many numbers come out.
            pub(super) const fn results(self) -> usize {
                match self {
                    Op::Jet | Op::JetAt | Op::SlopeJet | Op::SoftplusNeg => 6,
                    $(Op::$op => 0 $(+ { let _ = stringify!($one); 1 })? $(+ { let _ = stringify!($pair); 2 })?,)*
                }
            }
            /// How many constants it has.
            pub(super) const fn constants(self) -> usize {
                match self {
                    Op::Jet | Op::JetAt | Op::SlopeJet | Op::SoftplusNeg => 0,
                    $(Op::$op => {
                        let names: &[&str] = &[$(stringify!($c)),*];
                        names.len()
                    })*
                }
            }
        }
    };
}
operations!(facts);
