//! Programs: a definition recorded once, to be evaluated at every number type.
//!
//! A definition is a function over [`Real`]. Evaluated at a symbol that writes down what is asked of
//! it, it becomes a [`Program`]: a list of the methods that it calls. The program, replayed at another
//! number type, calls them again, so the results have the bits that the definition itself gives.

mod engine;
mod function;
mod infinite;
mod listing;
mod loops;
mod lower;
mod operations;
mod record;

use crate::activation::{Elementwise, Gated, list_params};
use crate::real::{Dual, F64ToF32, Jet, Prim, Real};
use alloc::{boxed::Box, vec, vec::Vec};
pub use function::About;
pub(crate) use function::{Gradients, RecordedEntry, RecordedGatedEntry};
pub use listing::Instructions;
use operations::operations;
use record::record;

/// How many numbers a program may have: operands, parameters and results of operations.
pub(crate) const MOST: usize = 1 << 14;

/// How many numbers a program may have to be replayed without an allocation.
const FEW: usize = 64;

/// Constants of an operation.
type Immediate = [f64; 2];

/// An operation with its inputs.
#[derive(Clone, Copy, Debug)]
struct Node {
    op: Op,
    /// Which primitive, if it is one.
    prim: Prim,
    /// Where its constants are, if it has some.
    constants: u16,
    inputs: [u16; Node::INPUTS],
}

impl Node {
    /// How many inputs an operation has at most.
    const INPUTS: usize = 5;

    fn inputs(&self) -> &[u16] {
        &self.inputs[..self.op.inputs()]
    }
}

/// A function of operands and parameters as a list of operations.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    operands: u16,
    params: u16,
    /// How many numbers there are. Operands and parameters come first, then what operations give.
    values: u16,
    nodes: Box<[Node]>,
    constants: Box<[Immediate]>,
    results: Box<[u16]>,
}

macro_rules! op {
    ($(
        $op:ident($($(- $low:ident)? $($input:ident)?),*; $($c:ident),*)
        $(= $one:expr)? $(=> $pair:expr)?;
    )*) => {
        /// What a program can do: see `operations.rs`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum Op {
            $($op,)*
            Jet,
            JetAt,
            SlopeJet,
            SoftplusNeg,
        }
    };
}
operations!(op);

impl Program {
    /// The results at the operands `x`, of which there is at least one, and the parameters `p`.
    pub(crate) fn replay<T: Real, const O: usize>(&self, x: &[T], p: &[T]) -> [T; O] {
        let n = usize::from(self.values);
        if n <= FEW {
            return self.run(x, p, &mut [x[0]; FEW][..n]);
        }
        self.run(x, p, &mut vec![x[0]; n])
    }

    fn run<T: Real, const O: usize>(&self, x: &[T], p: &[T], all: &mut [T]) -> [T; O] {
        all[..x.len()].copy_from_slice(x);
        all[x.len()..][..p.len()].copy_from_slice(p);
        let mut at = x.len() + p.len();
        for node in &self.nodes {
            at = self.step(node, x[0], all, at);
        }
        core::array::from_fn(|i| all[usize::from(self.results[i])])
    }

    /// How many nanoseconds an element takes, roughly.
    fn cost(&self) -> f64 {
        let each = |node: &Node| match node.op {
            Op::Jet | Op::JetAt | Op::SlopeJet | Op::SoftplusNeg | Op::ExpM1OfWidth => 0.7,
            _ => 0.05,
        };
        self.nodes.iter().map(each).sum()
    }

    /// The constants of an operation; anything if it has none.
    fn constants(&self, node: &Node) -> Immediate {
        self.constants.get(usize::from(node.constants)).copied().unwrap_or_default()
    }

    /// Writes the results of an operation to `at` and behind; gives where the next ones go.
    fn step<T: Real>(&self, node: &Node, any: T, all: &mut [T], at: usize) -> usize {
        let input = node.inputs.map(|v| all[usize::from(v)]);
        let jet = match node.op {
            Op::Jet => input[0].jet(node.prim),
            Op::JetAt => input[0].jet_at(input[1], node.prim),
            Op::SlopeJet => input[0].slope_jet(node.prim),
            Op::SoftplusNeg => input[0].softplus_neg(input[1]),
            _ => return self.step_plain(node, any, input, all, at),
        };
        let Jet { v, d, dd, v_lo, d_lo, k } = jet;
        all[at..at + 6].copy_from_slice(&[v, d, dd, v_lo, d_lo, k]);
        at + 6
    }

    fn step_plain<T: Real>(
        &self,
        node: &Node,
        any: T,
        mut input: [T; Node::INPUTS],
        all: &mut [T],
        at: usize,
    ) -> usize {
        let constants = self.constants(node);
        if node.op.inputs() == 0 {
            input[0] = any;
        }
        macro_rules! steps {
            ($(
                $op:ident($($(- $low:ident)? $($input:ident)?),*; $($c:ident),*)
                $(= $one:expr)? $(=> $pair:expr)?;
            )*) => {
                match node.op {
                    $(Op::$op => {
                        let [$($($low)? $($input)?,)* ..] = input;
                        let [$($c,)* ..] = constants;
                        $(all[at] = $one; at + 1)?
                        $((all[at], all[at + 1]) = $pair; at + 2)?
                    })*
                    Op::Jet | Op::JetAt | Op::SlopeJet | Op::SoftplusNeg => unreachable!("not plain"),
                }
            };
        }
        operations!(steps)
    }
}

/// Operations whose marks in the table are wrong: the result of one where nothing is kept of a rounding
/// changes with an input that it never looks at there. For the project's own tests.
#[must_use]
pub fn wrong_marks() -> Vec<&'static str> {
    let mut wrong = Vec::new();
    let marks: [f64; Node::INPUTS] = [1.75, -0.625, 0.25, 3.5, 0.875];
    macro_rules! check {
        ($(
            $op:ident($($(- $low:ident)? $($input:ident)?),*; $($c:ident),*)
            $(= $one:expr)? $(=> $pair:expr)?;
        )*) => {$({
            let of = |low: f64| {
                let mut i = 0;
                let mut next = |is_low: bool| {
                    i += 1;
                    F64ToF32(if is_low { low } else { marks[i - 1] })
                };
                let [$($($low)? $($input)?,)*] = [$(
                    $({ let _ = stringify!($low); next(true) })?
                    $({ let _ = stringify!($input); next(false) })?,
                )*];
                let [$($c,)* ..] = [0.75f64; 2];
                $(let y = [$one];)?
                $(let (y, e) = $pair; let y = [y, e];)?
                y.map(|v| v.0.to_bits())
            };
            if of(-0.0) != of(f64::NAN) {
                wrong.push(stringify!($op));
            }
        })*};
    }
    operations!(check);
    wrong
}

/// What a program is recorded from: a function that can be evaluated at every number type.
///
/// There is no `if` on values and none on types, as in a definition: [`Real::split`], `max`, `min` and
/// `abs` are the branches, and a literal comes from a number (`x[0].lit(0.5)`).
pub trait Body {
    /// How many operands it has: one (`x`) or two (`a`, `b`).
    fn operands(&self) -> usize {
        1
    }
    /// The value at the operands `x` and the parameters `p`.
    fn value<T: Real>(&self, x: &[T], p: &[T]) -> T;
    /// The derivative by operand `i`. The default differentiates the value by dual numbers.
    fn slope<T: Real>(&self, x: &[T], p: &[T], i: usize) -> T {
        let fixed = |v: &[T]| v.iter().map(|v| Dual::fixed(*v)).collect::<Vec<_>>();
        let (mut x, p) = (fixed(x), fixed(p));
        x[i] = Dual::variable(x[i].v);
        self.value(&x, &p).d
    }
}

/// The programs of a function of one operand.
#[derive(Clone, Debug)]
pub struct Recorded {
    value: Program,
    slope: Program,
    backward: Program,
    /// Slope and gradient from the output.
    from_output: Option<[Program; 2]>,
}

impl Recorded {
    /// Those of a definition; nothing if one is too long.
    #[must_use]
    pub fn of<A: Elementwise>() -> Option<Self> {
        let n = A::PARAMS.len();
        // The parameters as the array that the definition takes.
        macro_rules! p {
            ($x:ident, $p:ident) => {
                list_params::<A, _, _>($p, $x[0], |v| v)
            };
        }
        let from_output = if A::CLAIMS.from_output.is_some() {
            Some([
                record(1, n, |y, p| [A::slope_from_output(y[0], p!(y, p))])?,
                record(2, n, |y, p| [A::backward_from_output(y[0], y[1], p!(y, p))])?,
            ])
        } else {
            None
        };
        Some(Recorded {
            value: record(1, n, |x, p| [A::value(x[0], p!(x, p))])?,
            slope: record(1, n, |x, p| [A::slope(x[0], p!(x, p))])?,
            backward: record(2, n, |x, p| [A::backward(x[0], x[1], p!(x, p))])?,
            from_output,
        })
    }

    /// Those of a body with so many parameters; nothing if one is too long.
    pub(crate) fn from_body(body: &impl Body, params: usize) -> Option<Self> {
        Some(Recorded {
            value: record(1, params, |x, p| [body.value(x, p)])?,
            slope: record(1, params, |x, p| [body.slope(x, p, 0)])?,
            backward: record(2, params, |x, p| [x[1] * body.slope(&x[..1], p, 0)])?,
            from_output: None,
        })
    }

    /// f(x).
    pub fn value<T: Real>(&self, x: T, p: &[T]) -> T {
        let [y] = self.value.replay(&[x], p);
        y
    }

    /// f′(x).
    pub fn slope<T: Real>(&self, x: T, p: &[T]) -> T {
        let [y] = self.slope.replay(&[x], p);
        y
    }

    /// `grad f'(x)`.
    pub fn backward<T: Real>(&self, x: T, grad: T, p: &[T]) -> T {
        let [y] = self.backward.replay(&[x, grad], p);
        y
    }

    /// f′(x) and `grad f'(x)` from y = f(x), if there is such a form.
    pub fn from_output<T: Real>(&self, y: T, grad: T, p: &[T]) -> Option<[T; 2]> {
        let [slope, backward] = self.from_output.as_ref()?;
        let ([slope], [backward]) = (slope.replay(&[y], p), backward.replay(&[y, grad], p));
        Some([slope, backward])
    }
}

/// The programs of a function of two operands.
#[derive(Clone, Debug)]
pub struct RecordedGated {
    value: Program,
    backward: Program,
}

impl RecordedGated {
    /// Those of a definition; nothing if one is too long.
    #[must_use]
    pub fn of<G: Gated>() -> Option<Self> {
        Some(RecordedGated {
            value: record(2, 0, |x, _| [G::value(x[0], x[1])])?,
            backward: record(3, 0, |x, _| {
                let (by_gate, by_value) = G::backward(x[0], x[1], x[2]);
                [by_gate, by_value]
            })?,
        })
    }

    /// Those of a body with so many parameters; nothing if one is too long.
    pub(crate) fn from_body(body: &impl Body, params: usize) -> Option<Self> {
        Some(RecordedGated {
            value: record(2, params, |x, p| [body.value(x, p)])?,
            backward: record(3, params, |x, p| {
                let by = |i| x[2] * body.slope(&x[..2], p, i);
                [by(0), by(1)]
            })?,
        })
    }

    /// f(a, b).
    pub fn value<T: Real>(&self, a: T, b: T, p: &[T]) -> T {
        let [y] = self.value.replay(&[a, b], p);
        y
    }

    /// `grad` times the derivatives by both operands.
    pub fn backward<T: Real>(&self, a: T, b: T, grad: T, p: &[T]) -> [T; 2] {
        self.backward.replay(&[a, b, grad], p)
    }
}
