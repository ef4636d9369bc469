//! From a program to what a block engine runs: instructions over places in its memory.
//!
//! What a type of register computes for nothing is settled here: low parts that it has not, literals,
//! parameters and what is made of them alone, which are computed once per call. Places of results are
//! used again as soon as nobody reads them any more.

use super::loops::{Loop, find as find_loop};
use super::{Immediate, Node, Op, Program};
use crate::level::PerLevel;
use crate::real::Prim;
use alloc::{boxed::Box, collections::BTreeMap, vec, vec::Vec};

/// The number type of an engine's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registers {
    /// `F32Plain`, for programs that round once at most; `F64ToF32` for others.
    F32,
    /// `F64ToF32`.
    ToF32,
    /// `F64Lanes`.
    F64,
    /// `Deferred` over `F64Lanes`.
    Deferred,
}

impl Registers {
    /// Whether what rounding loses is not kept: low parts and exponents are constants.
    const fn rounds(self) -> bool {
        matches!(self, Registers::F32 | Registers::ToF32)
    }
}

/// Where a number is: an index into the spots of a call. First the arrays, then blocks, then numbers
/// that are the same for all elements.
pub(super) type Place = u16;

/// Arrays that a call may read, and may write.
pub(super) const INPUTS: usize = 3;
pub(super) const OUTPUTS: usize = 3;
/// The first place of blocks.
pub(super) const ARRAYS: usize = INPUTS + OUTPUTS;
/// No place.
pub(super) const NOWHERE: Place = Place::MAX;
/// How many places there may be.
pub(super) const MOST_PLACES: usize = 256;

/// What is made of a jet before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// Its parts, as far as they are asked for.
    Parts,
    /// `(v + v_lo) 2^k`.
    Value,
    /// `(d + d_lo) 2^k`.
    Slope,
    /// `x * value`, of the last input.
    Gated,
    /// `(value + x * slope) 2^k`, of the last input.
    GatedSlope,
}

/// A step of a chain: what becomes of the number so far, `y`, and another one, `o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Add,
    Sub,
    /// `o - y`.
    SubFrom,
    Mul,
    Div,
    /// `o / y`.
    DivInto,
    Max,
    /// `o.max(y)`, which differs where one is NaN, or both are zeros.
    MaxOf,
    Min,
    /// `o.min(y)`.
    MinOf,
    Neg,
    Abs,
}

impl Link {
    /// The step of an operation whose input `side` is the number so far.
    fn of(op: Op, side: usize) -> Option<Self> {
        Some(match (op, side) {
            (Op::Add, _) => Link::Add,
            (Op::Mul, _) => Link::Mul,
            (Op::Sub, 0) => Link::Sub,
            (Op::Sub, _) => Link::SubFrom,
            (Op::Div, 0) => Link::Div,
            (Op::Div, _) => Link::DivInto,
            (Op::Max, 0) => Link::Max,
            (Op::Max, _) => Link::MaxOf,
            (Op::Min, 0) => Link::Min,
            (Op::Min, _) => Link::MinOf,
            (Op::Neg, _) => Link::Neg,
            (Op::Abs, _) => Link::Abs,
            _ => return None,
        })
    }
}

/// How many steps a chain may have.
const LONGEST_CHAIN: usize = 64;

/// How a jet is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    At,
    Corrected,
    ForSlope,
    SoftplusNeg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// An operation of the table.
    Plain(Op),
    /// A primitive. Its inputs are the argument, the argument's correction and what [`Made`] takes;
    /// its outputs the parts of the jet. What has an exponent keeps it pending, if the last part says so.
    Jet(Asked, Made, bool),
    /// Steps that a number takes in a register: from so many on, so many.
    Chain(u16, u16),
    /// From one place to another.
    Copy,
    /// From one place to another, with no exponent pending.
    Resolve,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Instruction {
    pub(super) code: Code,
    /// Whether exponents of its numbers may be pending, or are for it to leave.
    pub(super) deferred: bool,
    pub(super) prim: Prim,
    pub(super) constants: Immediate,
    pub(super) inputs: [Place; Node::INPUTS],
    pub(super) outputs: [Place; 6],
}

/// An instruction and its loop, for each level.
type Runnable = (PerLevel<Loop>, Instruction);

/// A program for an engine of one type of register.
#[derive(Clone, Debug)]
pub(crate) struct Lowered {
    /// What is computed once per call, from literals and parameters.
    pub(super) once: Box<[Runnable]>,
    /// What is computed for each block.
    pub(super) each: Box<[Runnable]>,
    /// The steps of chains, with the place of the other number.
    pub(super) steps: Box<[(Link, Place)]>,
    /// How many blocks there are.
    pub(super) blocks: usize,
    /// The literals, in the first places after the blocks; parameters follow.
    pub(super) literals: Box<[f64]>,
    /// How many numbers are the same for all elements: literals, parameters, what is made of them.
    pub(super) uniforms: usize,
    pub(super) operands: usize,
    pub(super) results: usize,
    /// Whether exponents may be pending.
    pub(super) defers: bool,
    /// Whether numbers of arrays are not as those of blocks.
    pub(super) narrow: bool,
    /// Which outputs are arrays of f64, whatever the others are.
    pub(super) wide: [bool; OUTPUTS],
    /// Bytes of an element of an array.
    pub(super) item: usize,
    /// Whether registers are those of f32.
    pub(super) f32: bool,
}

impl Lowered {
    /// This program with outputs of f64, where so marked.
    pub(crate) fn with_wide(self, wide: [bool; OUTPUTS]) -> Self {
        assert!(!self.f32, "registers of f32 write f32");
        Lowered { wide, ..self }
    }
}

/// What is known of a number before anything runs.
#[derive(Clone, Copy)]
enum Fact {
    Literal(f64),
    /// It is another number.
    Is(u16),
    /// An operand.
    Operand,
    /// A result that depends on an operand, or on parameters alone.
    Result {
        uniform: bool,
    },
}

impl Program {
    /// For registers of this registers; nothing if there are too many places.
    pub(crate) fn lower(&self, registers: Registers) -> Option<Lowered> {
        // Where no exponent can be pending, `Deferred` numbers are those of f64.
        let plain = self.nodes.iter().all(|node| node.op.is_alike());
        let registers =
            if registers == Registers::Deferred && plain { Registers::F64 } else { registers };
        let lowering = Lowering::new(self, registers);
        if registers == Registers::F32 && !lowering.rounds_once() {
            return self.lower(Registers::ToF32);
        }
        lowering.finish()
    }
}

/// An instruction, and the steps of a chain.
struct Draft {
    i: Instruction,
    steps: Vec<(Link, Place)>,
}

struct Lowering<'p> {
    program: &'p Program,
    registers: Registers,
    facts: Vec<Fact>,
    /// Which numbers may have a pending exponent.
    defers: Vec<bool>,
    /// The first result of each operation.
    firsts: Vec<usize>,
    /// How often a number is read.
    uses: Vec<u32>,
    /// For an operation that takes a jet as it comes: that jet's operation, and what is made of it.
    fused: Vec<Option<(usize, Made)>>,
    /// Operations that run as part of another one.
    absorbed: Vec<bool>,
    /// The correction of an argument that has none: -0, which added to any number leaves it.
    no_correction: u16,
}

impl<'p> Lowering<'p> {
    fn new(program: &'p Program, registers: Registers) -> Self {
        let n = program.nodes.len();
        let mut lowering = Lowering {
            program,
            registers,
            facts: Vec::new(),
            defers: Vec::new(),
            firsts: Vec::new(),
            uses: vec![0; usize::from(program.values)],
            fused: vec![None; n],
            absorbed: vec![false; n],
            no_correction: 0,
        };
        lowering.learn();
        lowering.count();
        lowering.no_correction = lowering.added(Fact::Literal(-0.0));
        if !registers.rounds() {
            lowering.fuse();
        }
        lowering
    }

    /// The number that `v` is.
    fn root(&self, mut v: u16) -> u16 {
        while let Fact::Is(o) = self.facts[usize::from(v)] {
            v = o;
        }
        v
    }

    fn literal(&self, v: u16) -> Option<f64> {
        match self.facts[usize::from(self.root(v))] {
            Fact::Literal(c) => Some(c),
            _ => None,
        }
    }

    fn is(&self, v: u16, c: f64) -> bool {
        self.literal(v).is_some_and(|l| l.to_bits() == c.to_bits())
    }

    fn is_uniform(&self, v: u16) -> bool {
        matches!(
            self.facts[usize::from(self.root(v))],
            Fact::Literal(_) | Fact::Result { uniform: true }
        )
    }

    /// Whether the exponent of a `Deferred` number may be pending.
    fn may_defer(&self, v: u16) -> bool {
        self.defers[usize::from(self.root(v))]
    }

    /// Whether the results of an operation of `Deferred` numbers may have pending exponents.
    fn leaves_pending(&self, node: &Node) -> bool {
        if self.registers != Registers::Deferred {
            return false;
        }
        match node.op {
            Op::Scale2
            | Op::Scaled
            | Op::Weighted
            | Op::ScaledProduct
            | Op::WeightedProduct
            | Op::TimesProductOf
            | Op::TimesProduct
            | Op::Gated
            | Op::GatedTimes
            | Op::ExpM1OfWidth => true,
            Op::Add
            | Op::Sub
            | Op::Div
            | Op::Max
            | Op::Min
            | Op::Jet
            | Op::JetAt
            | Op::SlopeJet
            | Op::SoftplusNeg
            | Op::TwoProd
            | Op::TwoSum
            | Op::Reciprocal
            | Op::Argument
            | Op::SlopeSum
            | Op::MulAdd
            | Op::Sqrt
            | Op::Powi
            | Op::Powf
            | Op::Floor
            | Op::Round => false,
            _ => node.inputs().iter().any(|v| self.may_defer(*v)),
        }
    }

    /// What is known of every number.
    fn learn(&mut self) {
        let program = self.program;
        let (operands, params) = (usize::from(program.operands), usize::from(program.params));
        self.facts.extend(core::iter::repeat_n(Fact::Operand, operands));
        self.facts.extend(core::iter::repeat_n(Fact::Result { uniform: true }, params));
        self.defers.extend(core::iter::repeat_n(false, operands + params));
        // Where nothing is kept of a rounding, what is asked of a primitive is had in one way alone, and that
        // of `e^x` is part of what `e^x - 1` gives, to the bit.
        let mut jets: BTreeMap<(u8, u16), usize> = BTreeMap::new();
        for node in &program.nodes {
            let defers = self.leaves_pending(node);
            self.defers.extend(core::iter::repeat_n(defers, node.op.results()));
            self.firsts.push(self.facts.len());
            let known = self.known(node);
            let uniform = node.inputs().iter().all(|v| self.is_uniform(*v));
            let rounds = self.registers.rounds();
            if rounds && node.op.results() == 6 {
                let x = self.root(node.inputs[0]);
                let before = jets.get(&(node.prim as u8, x));
                let within = jets.get(&(Prim::ExpM1 as u8, x)).filter(|_| node.prim == Prim::Exp);
                let known = match (before, within) {
                    (Some(first), _) => [*first, first + 1, first + 2],
                    (None, Some(first)) => [first + 1; 3],
                    (None, None) => {
                        jets.insert((node.prim as u8, x), self.facts.len());
                        [0; 3]
                    }
                };
                if known != [0; 3] {
                    self.facts.extend(known.map(|v| Fact::Is(v as u16)));
                    self.facts.extend([-0.0, -0.0, 0.0].map(Fact::Literal));
                    continue;
                }
            }
            for i in 0..node.op.results() {
                let fact = match (node.op, i) {
                    (_, 0) if known.is_some() => known.expect("just asked"),
                    (Op::Jet | Op::JetAt | Op::SlopeJet | Op::SoftplusNeg, 3 | 4) if rounds => {
                        Fact::Literal(-0.0)
                    }
                    (Op::Jet | Op::JetAt | Op::SlopeJet | Op::SoftplusNeg, 5) if rounds => {
                        Fact::Literal(0.0)
                    }
                    (Op::TwoProd | Op::TwoSum | Op::QuickTwoSum | Op::Reciprocal, 1) if rounds => {
                        Fact::Literal(0.0)
                    }
                    _ => Fact::Result { uniform },
                };
                self.facts.push(fact);
            }
        }
    }

    /// What the first result of an operation is, if that needs no computing.
    fn known(&self, node: &Node) -> Option<Fact> {
        let constants = self.program.constants(node);
        let input = |i: usize| node.inputs[i];
        let exact = |i: usize| !self.may_defer(node.inputs[i]);
        let is = |i: usize| Some(Fact::Is(self.root(input(i))));
        let literals = (self.literal(input(0)), self.literal(input(1)));
        match node.op {
            Op::Lit | Op::Constant => Some(Fact::Literal(constants[0])),
            Op::ConstantRest if self.registers.rounds() => Some(Fact::Literal(0.0)),
            Op::ConstantRest => Some(Fact::Literal(constants[1])),
            Op::Lowest => Some(Fact::Literal(match self.registers {
                Registers::F32 => f64::from(f32::MIN),
                Registers::ToF32 => -1e39,
                Registers::F64 | Registers::Deferred => f64::MIN,
            })),
            Op::PartAbove
            | Op::PartBelow
            | Op::PartGreater
            | Op::PartNotGreater
            | Op::BiasForDoubleRounding => is(0),
            Op::Scale2 if self.registers.rounds() => is(0),
            Op::Scale2 if exact(0) && self.is(input(1), 0.0) => is(0),
            Op::Add if exact(0) && self.is(input(1), -0.0) => is(0),
            Op::Add if exact(1) && self.is(input(0), -0.0) => is(1),
            Op::Sub if exact(0) && self.is(input(1), 0.0) => is(0),
            Op::Mul if exact(0) && self.is(input(1), 1.0) => is(0),
            Op::Mul if exact(1) && self.is(input(0), 1.0) => is(1),
            // Of a NaN neither is picked.
            Op::PickAbove | Op::PickAtLeast => match literals.0 {
                Some(a) if !a.is_nan() => {
                    let upper = a > constants[0] || node.op == Op::PickAtLeast && a == constants[0];
                    is(if upper { 1 } else { 2 })
                }
                _ => None,
            },
            Op::Neg => literals.0.map(|a| Fact::Literal(-a)),
            Op::Abs => literals.0.map(|a| Fact::Literal(a.abs())),
            Op::Add | Op::Sub | Op::Mul | Op::Div => match literals {
                (Some(a), Some(b)) => Some(Fact::Literal(match node.op {
                    Op::Add => a + b,
                    Op::Sub => a - b,
                    Op::Mul => a * b,
                    _ => a / b,
                })),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether every result has the bits of the exact one, rounded once, in registers of f32: nothing is
    /// computed of what was rounded, but for the choice of one number among several.
    fn rounds_once(&self) -> bool {
        /// What is known of a number of f32.
        #[derive(Clone, Copy, PartialEq, PartialOrd)]
        enum Digits {
            All,
            Rounded,
            Unknown,
        }
        use Digits::{All, Rounded, Unknown};
        let known = |c: f64| if c as f32 as f64 == c { All } else { Unknown };
        let mut digits: Vec<Digits> = Vec::new();
        for (v, fact) in self.facts.iter().enumerate() {
            digits.push(match *fact {
                Fact::Literal(c) => known(c),
                Fact::Is(_) => Unknown,
                _ if v < usize::from(self.program.operands + self.program.params) => All,
                _ => Unknown,
            });
        }
        let most =
            |all: &[Digits]| all.iter().fold(All, |most, d| if *d > most { *d } else { most });
        for (at, node) in self.program.nodes.iter().enumerate() {
            if !self.is_needed(at) {
                continue;
            }
            let input = |i: usize| digits[usize::from(self.root(node.inputs[i]))];
            let exact = |n: usize| (0..n).all(|i| input(i) == All);
            let c = self.program.constants(node)[0];
            let of = match node.op {
                Op::Neg | Op::Abs => input(0),
                Op::Max | Op::Min => most(&[input(0), input(1)]),
                Op::Add | Op::Sub | Op::Mul if exact(2) => Rounded,
                Op::Step | Op::Sign | Op::SignOrOne if exact(1) => All,
                Op::PickAbove | Op::PickAtLeast if exact(1) && known(c) == All => {
                    most(&[input(1), input(2)])
                }
                Op::PickGreater if exact(2) => most(&[input(2), input(3)]),
                // Of an infinite number that nothing comes of, what is finite is as good as another.
                Op::FiniteBeside if exact(2) && c == 0.0 => All,
                _ => Unknown,
            };
            digits[self.firsts[at]] = of;
        }
        self.program.results.iter().all(|v| digits[usize::from(self.root(*v))] != Unknown)
    }

    /// Which inputs of an operation are looked at.
    fn read(&self, node: &Node) -> impl Iterator<Item = u16> + use<> {
        let (inputs, n, low) = (node.inputs, node.op.inputs(), node.op.low());
        let rounds = self.registers.rounds();
        (0..n).filter(move |i| !(rounds && low[*i])).map(move |i| inputs[i])
    }

    fn is_known(&self, v: usize) -> bool {
        matches!(self.facts[v], Fact::Literal(_) | Fact::Is(_))
    }

    /// Whether some result of an operation has to be computed.
    fn is_needed(&self, at: usize) -> bool {
        let first = self.firsts[at];
        (first..first + self.program.nodes[at].op.results())
            .any(|v| self.uses[v] > 0 && !self.is_known(v))
    }

    fn count(&mut self) {
        for &v in &self.program.results {
            let v = self.root(v);
            // A result is read at the end; that it is one keeps it from being part of another operation.
            self.uses[usize::from(v)] += 2;
        }
        for at in (0..self.program.nodes.len()).rev() {
            if self.is_needed(at) {
                for v in self.read(&self.program.nodes[at]) {
                    let v = self.root(v);
                    self.uses[usize::from(v)] += 1;
                }
            }
        }
    }

    /// The operation that gives `v`, and which of its results it is.
    fn source(&self, v: u16) -> Option<(usize, usize)> {
        let v = usize::from(self.root(v));
        if v < usize::from(self.program.operands + self.program.params) || self.is_known(v) {
            return None;
        }
        let at = self.firsts.partition_point(|first| *first <= v) - 1;
        Some((at, v - self.firsts[at]))
    }

    /// The jet whose parts these are, if nobody else reads them, and no others.
    fn jet_of(&self, parts: &[(u16, usize)]) -> Option<usize> {
        let (at, _) = self.source(parts[0].0)?;
        let op = self.program.nodes[at].op;
        if !matches!(op, Op::Jet | Op::JetAt | Op::SlopeJet | Op::SoftplusNeg)
            || self.is_uniform(parts[0].0)
        {
            return None;
        }
        let all = parts.iter().all(|(v, part)| self.source(*v) == Some((at, *part)));
        let first = self.firsts[at];
        let reads: u32 = (first..first + 6).map(|v| self.uses[v]).sum();
        (all && reads as usize == parts.len()).then_some(at)
    }

    /// Finds jets of which one number is made at once.
    fn fuse(&mut self) {
        for at in 0..self.program.nodes.len() {
            if !self.is_needed(at) {
                continue;
            }
            let Node { op, inputs: i, .. } = self.program.nodes[at];
            let found = match op {
                Op::Scale2 => self.source(i[0]).and_then(|(sum, _)| {
                    let Node { op, inputs: j, .. } = self.program.nodes[sum];
                    if self.uses[self.firsts[sum]] != 1 {
                        return None;
                    }
                    let (jet, made) = match op {
                        Op::Add => match self.jet_of(&[(j[0], 0), (j[1], 3), (i[1], 5)]) {
                            Some(jet) => (jet, Made::Value),
                            None => (self.jet_of(&[(j[0], 1), (j[1], 4), (i[1], 5)])?, Made::Slope),
                        },
                        Op::SlopeSum if !self.may_defer(j[0]) => {
                            let parts = [(j[1], 0), (j[2], 1), (j[3], 3), (j[4], 4), (i[1], 5)];
                            (self.jet_of(&parts)?, Made::GatedSlope)
                        }
                        _ => return None,
                    };
                    Some((jet, made, Some(sum)))
                }),
                Op::Gated if self.registers == Registers::F64 => {
                    let jet = self.jet_of(&[(i[1], 0), (i[2], 3), (i[3], 5)]);
                    jet.map(|j| (j, Made::Gated, None))
                }
                _ => None,
            };
            if let Some((jet, made, other)) = found {
                self.fused[at] = Some((jet, made));
                self.absorbed[jet] = true;
                if let Some(other) = other {
                    self.absorbed[other] = true;
                }
            }
        }
    }

    /// The instruction of an operation, with numbers for places.
    fn instruction(&self, at: usize) -> Instruction {
        let node = &self.program.nodes[at];
        let first = self.firsts[at] as u16;
        let rounds = self.registers.rounds();
        let jet = |at: usize, made| {
            let node = &self.program.nodes[at];
            let lo = match node.op {
                Op::JetAt | Op::SoftplusNeg => node.inputs[1],
                _ => self.no_correction,
            };
            let asked = match node.op {
                Op::SoftplusNeg => Asked::SoftplusNeg,
                // Other slopes have no exponent of their own.
                Op::SlopeJet if matches!(node.prim, Prim::Sigmoid | Prim::Tanh) => Asked::ForSlope,
                _ => Asked::Corrected,
            };
            let (asked, lo) = if rounds { (Asked::At, node.inputs[0]) } else { (asked, lo) };
            let mut inputs = [node.inputs[0]; Node::INPUTS];
            inputs[1] = lo;
            Instruction {
                deferred: false,
                code: Code::Jet(asked, made, self.registers == Registers::Deferred),
                prim: node.prim,
                constants: [0.0; 2],
                inputs,
                outputs: [NOWHERE; 6],
            }
        };
        let mut made = if let Some((source, made)) = self.fused[at] {
            let mut i = jet(source, made);
            i.outputs[0] = first;
            match made {
                Made::Gated => i.inputs[2] = node.inputs[0],
                // Of the sum that the exponent is for.
                Made::GatedSlope => {
                    let (sum, _) = self.source(node.inputs[0]).expect("fused with it");
                    i.inputs[2] = self.program.nodes[sum].inputs[0];
                }
                _ => {}
            }
            i
        } else {
            match node.op {
                Op::Jet | Op::JetAt | Op::SlopeJet | Op::SoftplusNeg => {
                    let mut i = jet(at, Made::Parts);
                    for part in 0..6 {
                        let v = first + part as u16;
                        if self.uses[usize::from(v)] > 0 && !self.is_known(usize::from(v)) {
                            i.outputs[part] = v;
                        }
                    }
                    i
                }
                op => {
                    // What these are where nothing is kept of a rounding.
                    let op = match op {
                        Op::TwoProd if rounds => Op::Mul,
                        Op::TwoSum | Op::QuickTwoSum if rounds => Op::Add,
                        op => op,
                    };
                    let mut inputs = node.inputs;
                    let (n, low) = (op.inputs(), op.low());
                    for i in 0..Node::INPUTS {
                        // What is not looked at may be anything that there is.
                        if i >= n || rounds && low[i] {
                            inputs[i] = inputs[0];
                        }
                    }
                    let mut outputs = [NOWHERE; 6];
                    outputs[0] = first;
                    if op.results() == 2 && self.uses[usize::from(first) + 1] > 0 {
                        outputs[1] = first + 1;
                    }
                    let pending = inputs[..n].iter().any(|v| self.may_defer(*v));
                    Instruction {
                        code: Code::Plain(op),
                        deferred: self.registers == Registers::Deferred
                            && op.is_deferred()
                            && (pending || !op.is_alike()),
                        prim: Prim::Exp,
                        constants: self.program.constants(node),
                        inputs,
                        outputs,
                    }
                }
            }
        };
        for v in &mut made.inputs {
            *v = self.root(*v);
        }
        made
    }

    /// An instruction alone, or as the end of a chain that begins with what it reads.
    fn chained(&self, i: Instruction, drafts: &mut [Option<Draft>], by: &[Option<usize>]) -> Draft {
        let alone = Draft { i, steps: Vec::new() };
        let Code::Plain(op) = i.code else { return alone };
        if i.inputs[..op.inputs()].iter().any(|v| self.may_defer(*v)) {
            return alone;
        }
        for side in 0..op.inputs() {
            let v = usize::from(i.inputs[side]);
            let (Some(link), Some(at)) = (Link::of(op, side), by[v]) else { continue };
            if self.uses[v] != 1 {
                continue;
            }
            let Some(Draft { i: before, steps }) = &drafts[at] else { continue };
            let mut steps = match before.code {
                Code::Chain(..) if steps.len() < LONGEST_CHAIN => steps.clone(),
                Code::Plain(first) if !before.inputs.iter().any(|v| self.may_defer(*v)) => {
                    match Link::of(first, 0) {
                        Some(link) => vec![(link, before.inputs[first.inputs() - 1])],
                        None => continue,
                    }
                }
                _ => continue,
            };
            // A step of one number alone does not look at the other: any will do.
            let other = if op.inputs() == 1 { before.inputs[0] } else { i.inputs[1 - side] };
            steps.push((link, other));
            let inputs = [before.inputs[0]; Node::INPUTS];
            drafts[at] = None;
            return Draft { i: Instruction { code: Code::Chain(0, 0), inputs, ..i }, steps };
        }
        alone
    }

    /// A number that is no result of the program, and has no exponent pending.
    fn added(&mut self, fact: Fact) -> u16 {
        self.facts.push(fact);
        self.defers.push(false);
        self.uses.push(1);
        (self.facts.len() - 1) as u16
    }

    fn finish(mut self) -> Option<Lowered> {
        let resolve = |from: u16, to: u16| Instruction {
            code: Code::Resolve,
            deferred: true,
            prim: Prim::Exp,
            constants: [0.0; 2],
            inputs: [from; Node::INPUTS],
            outputs: [to, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE],
        };
        let program = self.program;
        let (operands, params) = (usize::from(program.operands), usize::from(program.params));
        let (mut once, mut each) = (Vec::new(), Vec::new());
        let (mut drafts, mut steps) = (Vec::new(), Vec::new());
        let mut by = vec![None; self.facts.len()];
        // What has been resolved: once per call, or for each block.
        let mut resolved = [BTreeMap::new(), BTreeMap::new()];
        for (at, node) in program.nodes.iter().enumerate() {
            if self.absorbed[at] || !self.is_needed(at) {
                continue;
            }
            let uniform = self.read(node).all(|v| self.is_uniform(v));
            let mut instruction = self.instruction(at);
            let mut before = Vec::new();
            if !instruction.deferred {
                // Other loops take numbers that are done.
                for from in instruction.inputs {
                    if self.may_defer(from) {
                        let known = resolved[usize::from(uniform)].get(&from).copied();
                        let done = known.unwrap_or_else(|| {
                            let fresh = self.added(Fact::Result { uniform: false });
                            by.push(None);
                            before.push(resolve(from, fresh));
                            resolved[usize::from(uniform)].insert(from, fresh);
                            fresh
                        });
                        instruction.inputs =
                            instruction.inputs.map(|v| if v == from { done } else { v });
                    }
                }
            }
            if uniform {
                once.extend(before);
                once.push(instruction);
                continue;
            }
            drafts.extend(before.into_iter().map(|i| Some(Draft { i, steps: Vec::new() })));
            let draft = self.chained(instruction, &mut drafts, &by);
            for v in draft.i.outputs.iter().filter(|v| **v != NOWHERE) {
                by[usize::from(*v)] = Some(drafts.len());
            }
            drafts.push(Some(draft));
        }
        for Draft { mut i, steps: own } in drafts.into_iter().flatten() {
            if let Code::Chain(..) = i.code {
                i.code = Code::Chain(steps.len() as u16, own.len() as u16);
            }
            steps.extend(own);
            each.push(i);
        }
        let results: Vec<u16> = program.results.iter().map(|v| self.root(*v)).collect();

        // Numbers that are the same for all elements: literals, parameters, what is made of them.
        let mut literals: Vec<f64> = Vec::new();
        let values = by.len();
        let mut uniform: Vec<Option<usize>> = vec![None; values];
        let read = once.iter().chain(&each).flat_map(|i: &Instruction| i.inputs);
        let read = read.chain(steps.iter().map(|(_, v): &(Link, Place)| *v));
        let read: Vec<u16> = read.chain(results.iter().copied()).collect();
        for &v in &read {
            if let Some(Fact::Literal(c)) = self.facts.get(usize::from(v)) {
                let c = *c;
                let known = literals.iter().position(|l| l.to_bits() == c.to_bits());
                uniform[usize::from(v)] = Some(known.unwrap_or_else(|| {
                    literals.push(c);
                    literals.len() - 1
                }));
            }
        }
        let mut uniforms = literals.len();
        for place in &mut uniform[operands..operands + params] {
            *place = Some(uniforms);
            uniforms += 1;
        }
        for i in &once {
            for v in i.outputs.iter().filter(|v| **v != NOWHERE) {
                uniform[usize::from(*v)] = Some(uniforms);
                uniforms += 1;
            }
        }

        // Blocks, each free again after its last use.
        let end = each.len();
        let mut last = vec![0; values];
        let reads = |i: &Instruction| {
            let own = match i.code {
                Code::Chain(from, n) => &steps[usize::from(from)..][..usize::from(n)],
                _ => &[],
            };
            i.inputs
                .into_iter()
                .chain(own.iter().map(|(_, v)| *v))
                .map(usize::from)
                .collect::<Vec<_>>()
        };
        for (at, i) in each.iter().enumerate() {
            for v in reads(i) {
                last[v] = at;
            }
        }
        for &v in &results {
            last[usize::from(v)] = end;
        }
        let mut place: Vec<Option<usize>> = vec![None; values];
        for (v, place) in place.iter_mut().enumerate().take(operands) {
            *place = Some(v);
        }
        // The last instruction writes its result where it goes, since nothing is read after it.
        let direct = each.last().and_then(|i: &Instruction| {
            let written = i.outputs.into_iter().filter(|v| *v != NOWHERE);
            let one = written.clone().count() == 1;
            let to = results.iter().position(|r| *r == i.outputs[0]);
            let once = results.iter().filter(|r| **r == i.outputs[0]).count() == 1;
            to.filter(|_| one && once)
        });
        let (mut free, mut blocks): (Vec<usize>, usize) = (Vec::new(), 0);
        // An operand that is a result is saved from what is written before it.
        let mut saved: Vec<(usize, usize)> = Vec::new();
        if !each.is_empty() || results.len() > 1 {
            for &v in &results {
                if usize::from(v) < operands && !saved.iter().any(|(o, _)| *o == usize::from(v)) {
                    saved.push((usize::from(v), ARRAYS + blocks));
                    blocks += 1;
                }
            }
        }
        // Deferred numbers leave their exponents in blocks of their own, filled as they come: an
        // instruction must not write where it reads.
        let apart = self.registers == Registers::Deferred;
        for (at, i) in each.iter().enumerate() {
            let read = reads(i).into_iter().filter(|v| last[*v] == at);
            let mut gone: Vec<_> = read.filter_map(|v| place[v]).filter(|p| *p >= ARRAYS).collect();
            gone.sort_unstable();
            gone.dedup();
            if !apart {
                free.append(&mut gone);
            }
            for (k, v) in i.outputs.iter().enumerate().filter(|(_, v)| **v != NOWHERE) {
                place[usize::from(*v)] = Some(match direct {
                    Some(to) if at + 1 == end && k == 0 => INPUTS + to,
                    _ => free.pop().unwrap_or_else(|| {
                        blocks += 1;
                        ARRAYS + blocks - 1
                    }),
                });
            }
            free.append(&mut gone);
            // What nobody reads is free at once.
            for v in i.outputs.iter().filter(|v| **v != NOWHERE) {
                if last[usize::from(*v)] <= at
                    && let Some(p) = place[usize::from(*v)]
                    && p >= ARRAYS
                {
                    free.push(p);
                }
            }
        }
        if ARRAYS + blocks + uniforms > MOST_PLACES {
            return None;
        }
        let find = |v: u16| -> Place {
            let found = uniform[usize::from(v)].map(|u| ARRAYS + blocks + u);
            found.or(place[usize::from(v)]).expect("every number that is read has a place") as Place
        };
        for i in once.iter_mut().chain(&mut each) {
            i.inputs = i.inputs.map(find);
            i.outputs = i.outputs.map(|v| if v == NOWHERE { v } else { find(v) });
        }
        for (_, v) in &mut steps {
            *v = find(*v);
        }
        let copy = |from: Place, to: usize| Instruction {
            code: Code::Copy,
            deferred: false,
            prim: Prim::Exp,
            constants: [0.0; 2],
            inputs: [from; Node::INPUTS],
            outputs: [to as Place, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE],
        };
        let mut all: Vec<_> = saved.iter().map(|(from, to)| copy(*from as Place, *to)).collect();
        all.append(&mut each);
        for (k, &v) in results.iter().enumerate() {
            if direct != Some(k) {
                let saved = saved.iter().find(|(o, _)| *o == usize::from(v));
                all.push(copy(saved.map_or_else(|| find(v), |(_, at)| *at as Place), INPUTS + k));
            }
        }
        let runnable = |i: Instruction| (find_loop(&i, self.registers), i);
        Some(Lowered {
            once: once.into_iter().map(runnable).collect(),
            each: all.into_iter().map(runnable).collect(),
            steps: steps.into(),
            blocks,
            literals: literals.into(),
            uniforms,
            operands,
            results: results.len(),
            defers: apart,
            narrow: matches!(self.registers, Registers::ToF32 | Registers::Deferred),
            wide: [false; OUTPUTS],
            item: if self.registers.rounds() { 4 } else { 8 },
            f32: self.registers == Registers::F32,
        })
    }
}
