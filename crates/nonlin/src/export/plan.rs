//! A formula as a list of operations that any language has.
//!
//! A graph says what is to be computed. What keeps digits and limits where numbers are plain is
//! decided here, once for all targets:
//!
//! * polynomials by Horner's rule, which has one sign far out;
//! * a product with a factor that vanishes (`exp`, a sigmoid, a clipped line) is 0 where that factor is
//!   0 and the rest infinite;
//! * quotients and roots of powers are computed at an input that is cut off where their powers would
//!   overflow, times the power that was cut off;
//! * where both branches of `where(x > c, ...)` are computed, each sees only the numbers that it is
//!   for, so that none overflows and derivatives of the text are numbers;
//! * NaN comes through comparisons.

use crate::formula::evaluate::{evaluate, powers};
use crate::formula::graph::{Call, Graph, Id, Node, Test};
use crate::formula::number::Number;
use crate::real::Dd;
use alloc::{collections::BTreeMap, vec, vec::Vec};

/// What is done with numbers, or with tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Neg,
    Add,
    Sub,
    Mul,
    Div,
    /// A real power of a base that is not negative.
    Power,
    Call(Call),
    /// The larger; NaN if one is NaN.
    Max,
    /// The smaller; NaN if one is NaN.
    Min,
    /// The third where the first and the second compare so, else the fourth.
    Select(Test),
    /// The first where it is NaN, else the second.
    IfNan,
    /// A product that is 0 where the first is 0, be the second infinite or NaN.
    Gate,
}

/// A value's place in a [`Plan`]; every value stands after those it is made of.
pub(crate) type Place = usize;

/// A number that is known, or an operation on others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    /// An f64, by its bits.
    Number(u64),
    Input(usize),
    Param(usize),
    /// The largest number, but for a few, whose power of this degree is a number.
    Limit(u32),
    Made(Operation, Vec<Place>),
}

/// Values, equal ones once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) values: Vec<Value>,
    places: BTreeMap<Value, Place>,
    /// Whether inputs are cut for the branches of `Select`, because both are computed.
    cuts: bool,
}

/// The largest power of an input that is cut off.
const MOST_DEGREE: f64 = 7.0;
/// The largest one where a bounded function of the input, such as `atan`, must have reached its limit there.
const MOST_DEGREE_BESIDE_BOUNDED: f64 = 3.0;
/// Different cuts of the inputs, at most.
const MOST_CUTS: usize = 64;

/// A way in which inputs are cut.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    /// One input, to numbers above a constant or to the others.
    Side(usize, u64, bool),
    /// All inputs, to the limit of that degree.
    Far(u32),
}

/// The inputs, cut in some way, and what is known of them.
struct View {
    inputs: Vec<Place>,
    known: Vec<Option<Place>>,
    cut: Option<(usize, Cut)>,
}

impl Plan {
    /// A plan for languages that compute one branch of a choice (or do not mind what the other one
    /// gives), or with `cuts` for those that compute both.
    pub(crate) fn new(cuts: bool) -> Self {
        Plan { cuts, ..Plan::default() }
    }

    /// Adds what `root` of the graph is, a function of so many inputs: NaN where one of them is, or of
    /// several one that it depends on.
    pub(crate) fn add(&mut self, graph: &Graph, root: Id, inputs: usize) -> Place {
        let all = (0..inputs).map(|i| self.push(Value::Input(i))).collect();
        let views = vec![View { inputs: all, known: vec![None; graph.len()], cut: None }];
        let mut lowering = Lowering { graph, plan: self, views };
        let mut y = lowering.at(0, root);
        for i in 0..inputs {
            let part = inputs == 1 || graph.reaches(root, |n| *n == Node::Input(i));
            if part && !self.passes_nan(y, i) {
                let x = self.push(Value::Input(i));
                y = self.made(Operation::IfNan, &[x, y]);
            }
        }
        y
    }

    fn push(&mut self, value: Value) -> Place {
        if let Some(&at) = self.places.get(&value) {
            return at;
        }
        self.values.push(value.clone());
        self.places.insert(value, self.values.len() - 1);
        self.values.len() - 1
    }

    pub(crate) fn number(&mut self, v: f64) -> Place {
        self.push(Value::Number(v.to_bits()))
    }

    fn known(&self, at: Place) -> Option<f64> {
        match self.values[at] {
            Value::Number(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    pub(crate) fn made(&mut self, operation: Operation, of: &[Place]) -> Place {
        // The sign of a number is part of it.
        if let (Operation::Neg, Some(v)) = (operation, self.known(of[0])) {
            return self.number(-v);
        }
        if let (Operation::Neg, Value::Made(Operation::Neg, inner)) =
            (operation, &self.values[of[0]])
        {
            return inner[0];
        }
        self.push(Value::Made(operation, of.to_vec()))
    }

    /// Which values are needed for these.
    pub(crate) fn needed(&self, roots: &[Place]) -> Vec<bool> {
        let mut needed = vec![false; self.values.len()];
        roots.iter().for_each(|&r| needed[r] = true);
        for at in (0..self.values.len()).rev() {
            if let (true, Value::Made(_, of)) = (needed[at], &self.values[at]) {
                of.iter().for_each(|&v| needed[v] = true);
            }
        }
        needed
    }

    /// Whether a value is NaN wherever an input is.
    fn passes_nan(&self, root: Place, input: usize) -> bool {
        let mut passes = vec![false; root + 1];
        for at in 0..=root {
            passes[at] = match &self.values[at] {
                Value::Input(i) => *i == input,
                // Some languages have 0 for the sign of NaN.
                Value::Made(Operation::Call(Call::Sign), _) => false,
                // A comparison with NaN does not hold.
                Value::Made(Operation::Select(_), of) => passes[of[3]],
                Value::Made(Operation::Gate, of) => passes[of[0]],
                Value::Made(_, of) => of.iter().any(|&v| passes[v]),
                _ => false,
            };
        }
        passes[root]
    }
}

struct Lowering<'g, 'p> {
    graph: &'g Graph,
    plan: &'p mut Plan,
    views: Vec<View>,
}

impl Lowering<'_, '_> {
    fn at(&mut self, view: usize, id: Id) -> Place {
        if let Some(v) = self.views[view].known[id] {
            return v;
        }
        let v = self.node(view, id);
        self.views[view].known[id] = Some(v);
        v
    }

    fn constant(&mut self, v: Number) -> Place {
        self.plan.number(v.nearest())
    }

    fn made(&mut self, operation: Operation, of: &[Place]) -> Place {
        self.plan.made(operation, of)
    }

    fn node(&mut self, view: usize, id: Id) -> Place {
        let g = self.graph;
        let variable = |n: &Node| matches!(n, Node::Input(_) | Node::Param(_));
        if !g.reaches(id, variable) {
            let v: Dd = evaluate(g, id, &[Dd::new(0.0)], &[], false);
            return self.plan.number(v.hi);
        }
        if let Some(v) = self.tamed(view, id) {
            return v;
        }
        match g.node(id).clone() {
            Node::Number(v) => self.constant(v),
            Node::Input(i) => self.views[view].inputs[i],
            Node::Param(i) => self.plan.push(Value::Param(i)),
            Node::Sum(k, terms) => self.sum(view, k, &terms),
            Node::Product(c, factors) => self.product(view, c, &factors),
            Node::Power(a, b) => {
                let of = [self.at(view, a), self.at(view, b)];
                self.made(Operation::Power, &of)
            }
            Node::Call(f, z) => {
                let z = self.at(view, z);
                self.made(Operation::Call(f), &[z])
            }
            Node::Max(a, b) => {
                let of = [self.at(view, a), self.at(view, b)];
                self.made(Operation::Max, &of)
            }
            Node::Min(a, b) => {
                let of = [self.at(view, a), self.at(view, b)];
                self.made(Operation::Min, &of)
            }
            Node::Where(test, a, b, then, otherwise) => {
                self.select(view, test, [a, b, then, otherwise])
            }
        }
    }

    /// `c * v`; by a quotient where the constant is 1/n, which has no digits of its own to round.
    fn scaled(&mut self, v: Place, c: Number) -> Place {
        let inverse = Number::ONE.over(c);
        let power_of_two = |n: i32| n.unsigned_abs().is_power_of_two();
        match inverse.integer() {
            Some(1) => v,
            Some(-1) => self.made(Operation::Neg, &[v]),
            Some(n) if !power_of_two(n) => {
                let n = self.plan.number(f64::from(n));
                self.made(Operation::Div, &[v, n])
            }
            _ => {
                let c = self.constant(c);
                self.made(Operation::Mul, &[c, v])
            }
        }
    }

    /// `x^n` for `n > 0`, by products.
    fn power(&mut self, x: Place, n: u32) -> Place {
        match n {
            1 => x,
            _ if n.is_multiple_of(2) => {
                let half = self.power(x, n / 2);
                self.made(Operation::Mul, &[half, half])
            }
            _ => {
                let rest = self.power(x, n - 1);
                self.made(Operation::Mul, &[x, rest])
            }
        }
    }

    fn sum(&mut self, view: usize, k: Number, terms: &[(Number, Id)]) -> Place {
        if let Some(v) = self.polynomial(view, k, terms) {
            return v;
        }
        let mut total: Option<Place> = None;
        // A positive constant comes before a negative first term.
        let ahead = !k.is(0.0) && !k.is_negative() && terms[0].0.is_negative();
        if ahead {
            total = Some(self.constant(k));
        }
        for &(c, id) in terms {
            let t = self.at(view, id);
            let t = self.scaled(t, c.magnitude());
            total = Some(match (total, c.is_negative()) {
                (None, false) => t,
                (None, true) => self.made(Operation::Neg, &[t]),
                (Some(sum), false) => self.made(Operation::Add, &[sum, t]),
                (Some(sum), true) => self.made(Operation::Sub, &[sum, t]),
            });
        }
        let total = total.unwrap_or_else(|| self.plan.number(0.0));
        if ahead || k.is(0.0) { total } else { self.plus(total, k) }
    }

    fn plus(&mut self, v: Place, k: Number) -> Place {
        let size = self.constant(k.magnitude());
        let operation = if k.is_negative() { Operation::Sub } else { Operation::Add };
        self.made(operation, &[v, size])
    }

    /// A polynomial in one node by Horner's rule.
    fn polynomial(&mut self, view: usize, k: Number, terms: &[(Number, Id)]) -> Option<Place> {
        let (base, parts) = powers(self.graph, k, terms)?;
        let u = self.at(view, base);
        let mut total: Option<(i32, Place)> = None;
        for (n, c, fixed) in parts {
            total = Some(match total {
                None => (n, self.plain_product(view, c, &fixed)),
                Some((m, sum)) => {
                    let power = self.power(u, m.abs_diff(n));
                    let product = self.made(Operation::Mul, &[sum, power]);
                    if fixed.is_empty() {
                        (n, self.plus(product, c))
                    } else {
                        let c = self.plain_product(view, c, &fixed);
                        (n, self.made(Operation::Add, &[product, c]))
                    }
                }
            });
        }
        let (n, mut sum) = total?;
        if n > 0 {
            let power = self.power(u, n.unsigned_abs());
            sum = self.made(Operation::Mul, &[power, sum]);
        }
        Some(if k.is(0.0) { sum } else { self.plus(sum, k) })
    }

    /// The product of what is above the line over that of what is below.
    fn plain_product(&mut self, view: usize, c: Number, factors: &[(Id, i32)]) -> Place {
        let (mut above, mut below): (Option<Place>, Option<Place>) = (None, None);
        for &(id, n) in factors {
            let v = self.at(view, id);
            let v = self.power(v, n.unsigned_abs());
            let side = if n > 0 { &mut above } else { &mut below };
            *side = Some(match *side {
                None => v,
                Some(all) => self.plan.made(Operation::Mul, &[all, v]),
            });
        }
        let above = match above {
            Some(v) => self.scaled(v, c),
            None => self.constant(c),
        };
        match below {
            Some(below) => self.made(Operation::Div, &[above, below]),
            None => above,
        }
    }

    fn product(&mut self, view: usize, c: Number, factors: &[(Id, i32)]) -> Place {
        let g = self.graph;
        let (vanishing, others): (Vec<_>, Vec<_>) =
            factors.iter().copied().partition(|&(id, n)| n > 0 && vanishes(g, id));
        let finite = |&(id, n): &(Id, i32)| !g.depends(id) || n > 0 && bounded(g, id);
        if vanishing.is_empty() || others.iter().all(finite) {
            return self.plain_product(view, c, factors);
        }
        // One factor after the other, since among themselves they may be 0 and infinite too; first those
        // that are never infinite.
        let (first, mut growing): (Vec<_>, Vec<_>) = vanishing
            .into_iter()
            .partition(|f| shuts(g, f.0) || matches!(g.node(f.0), Node::Power(..)));
        let first = if first.is_empty() { growing.split_off(growing.len() - 1) } else { first };
        let mut all = self.plain_product(view, Number::ONE, &first);
        let (others, rest): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|f| f.1 > 0 && !finite(f));
        growing.extend(others);
        let growing_is_empty = growing.is_empty();
        // A constant comes first if it makes smaller, else last, so that nothing overflows in between.
        let (early, late) =
            if c.magnitude().less_than(Number::ONE) { (c, Number::ONE) } else { (Number::ONE, c) };
        for (i, factor) in growing.into_iter().enumerate() {
            let c = if i == 0 { early } else { Number::ONE };
            let v = self.plain_product(view, c, &[factor]);
            all = self.made(Operation::Gate, &[all, v]);
        }
        let c = if growing_is_empty { c } else { late };
        if rest.iter().all(finite) {
            return self.times(all, c, view, &rest);
        }
        let rest = self.plain_product(view, c, &rest);
        self.made(Operation::Gate, &[all, rest])
    }

    /// `c v` times factors that are numbers for all inputs.
    fn times(&mut self, v: Place, c: Number, view: usize, factors: &[(Id, i32)]) -> Place {
        if factors.is_empty() {
            return self.scaled(v, c);
        }
        let rest = self.plain_product(view, c, factors);
        self.made(Operation::Mul, &[v, rest])
    }

    fn select(&mut self, view: usize, test: Test, [a, b, then, otherwise]: [Id; 4]) -> Place {
        let g = self.graph;
        let (mut upper, mut lower) = (view, view);
        if let (true, Node::Input(i), Some(c)) = (self.plan.cuts, g.node(a), g.known(b)) {
            let c = c.nearest();
            for (above, branch, to) in [(true, then, &mut upper), (false, otherwise, &mut lower)] {
                let partial = |n: &Node| match n {
                    Node::Call(..) | Node::Power(..) => true,
                    Node::Product(_, factors) => factors.iter().any(|(_, n)| *n < 0 || *n > 1),
                    _ => false,
                };
                if g.depends(branch) && g.reaches(branch, partial) && self.views.len() < MOST_CUTS {
                    *to = self.side(view, *i, c, test, above);
                }
            }
        }
        let of =
            [self.at(view, a), self.at(view, b), self.at(upper, then), self.at(lower, otherwise)];
        let y = self.made(Operation::Select(test), &of);
        // An operand that is NaN of its own; that of an input comes through at the end.
        let partial = |n: &Node| match n {
            Node::Call(f, _) => {
                matches!(
                    f,
                    Call::Ln | Call::Ln1p | Call::Log1mExp | Call::Sqrt | Call::Sin | Call::Cos
                )
            }
            Node::Power(..) => true,
            Node::Product(_, factors) => factors.len() > 1 || factors.iter().any(|(_, n)| *n < 0),
            _ => false,
        };
        let mut y = y;
        for (id, operand) in [(a, of[0]), (b, of[1])] {
            if g.reaches(id, partial) {
                y = self.made(Operation::IfNan, &[operand, y]);
            }
        }
        y
    }

    /// The inputs with the input `i` on one side of `c`, and at `c` elsewhere.
    fn side(&mut self, view: usize, i: usize, c: f64, test: Test, above: bool) -> usize {
        let cut = Cut::Side(i, c.to_bits(), above);
        let mut inputs = self.views[view].inputs.clone();
        let (x, end) = (inputs[i], self.plan.number(c));
        let (then, otherwise) = if above { (x, end) } else { (end, x) };
        inputs[i] = self.made(Operation::Select(test), &[x, end, then, otherwise]);
        self.view(view, cut, inputs)
    }

    /// The view of that cut, which is made if there is none.
    fn view(&mut self, of: usize, cut: Cut, inputs: Vec<Place>) -> usize {
        let same = |v: &View| v.cut == Some((of, cut)) && v.inputs == inputs;
        match self.views.iter().position(same) {
            Some(found) => found,
            None => {
                let known = vec![None; self.graph.len()];
                self.views.push(View { inputs, known, cut: Some((of, cut)) });
                self.views.len() - 1
            }
        }
    }

    /// A quotient or a root of powers of one input, whose powers may overflow.
    fn tamed(&mut self, view: usize, id: Id) -> Option<Place> {
        let g = self.graph;
        let wild = match g.node(id) {
            Node::Product(_, factors) => factors.iter().any(|&(f, n)| n < 0 && g.depends(f)),
            Node::Call(Call::Sqrt, z) => g.depends(*z),
            _ => false,
        };
        if !wild || matches!(self.views[view].cut, Some((_, Cut::Far(_)))) {
            return None;
        }
        let (grows, most, bounded) = degree(g, id)?;
        let input = |id: &Id| matches!(g.node(*id), Node::Input(_));
        let alone = match g.node(id) {
            // A power or a root alone needs no help, nor does 1 over something.
            Node::Product(_, f) => {
                f.iter().all(|(f, _)| input(f)) || f.iter().all(|(_, n)| *n == -1)
            }
            Node::Call(_, z) => input(z),
            _ => false,
        };
        let of = |i: usize| g.reaches(id, |n| *n == Node::Input(i));
        let mut operands = (0..self.views[view].inputs.len()).filter(|&i| of(i));
        let (Some(input), None) = (operands.next(), operands.next()) else { return None };
        let highest = if bounded { MOST_DEGREE_BESIDE_BOUNDED } else { MOST_DEGREE };
        if alone || most > highest || grows % 1.0 != 0.0 {
            return None;
        }
        // The power of a sum of powers, and one more for what stands beside it.
        let most = (most + 0.5) as u32 + u32::from(most > 1.0);
        let limit = self.plan.push(Value::Limit(most.max(1)));
        let negative = self.made(Operation::Neg, &[limit]);
        let x = self.views[view].inputs[input];
        let mut inputs = self.views[view].inputs.clone();
        let low = self.made(Operation::Max, &[x, negative]);
        inputs[input] = self.made(Operation::Min, &[low, limit]);
        let far = self.view(view, Cut::Far(most), inputs);
        let y = self.at(far, id);
        let n = grows as i32;
        if n == 0 {
            return Some(y);
        }
        // 1 for all numbers that are not cut off.
        let size = self.made(Operation::Call(Call::Abs), &[x]);
        let size = self.made(Operation::Max, &[size, limit]);
        let of = if n > 0 { [size, limit] } else { [limit, size] };
        let ratio = self.made(Operation::Div, &of);
        let ratio = self.power(ratio, n.unsigned_abs());
        Some(self.made(Operation::Mul, &[y, ratio]))
    }
}

/// Whether a node is 0, or rounded to 0, for some inputs, and the product with it is then 0.
fn vanishes(g: &Graph, id: Id) -> bool {
    match g.node(id) {
        Node::Call(Call::Exp, z) => g.depends(*z),
        Node::Max(a, b) | Node::Min(a, b) => g.depends(*a) && g.known(*b).is_some(),
        Node::Power(a, _) => g.depends(*a),
        _ => shuts(g, id),
    }
}

/// Whether a node vanishes and is infinite nowhere, or only where what is beside it grows.
fn shuts(g: &Graph, id: Id) -> bool {
    match g.node(id) {
        Node::Call(Call::Sigmoid | Call::Cdf | Call::TanhSoftplus | Call::Softplus, z) => {
            g.depends(*z)
        }
        // Functions that are 0 at 0.
        Node::Call(
            Call::Tanh
            | Call::Erf
            | Call::Atan
            | Call::ExpM1
            | Call::Ln1p
            | Call::Sqrt
            | Call::Sinh,
            z,
        ) => !matches!(g.node(*z), Node::Max(..) | Node::Min(..)) && vanishes(g, *z),
        _ => false,
    }
}

/// Whether a node is a number for all inputs, infinite ones too.
fn bounded(g: &Graph, id: Id) -> bool {
    match g.node(id) {
        Node::Number(_) | Node::Param(_) => true,
        Node::Input(_) | Node::Power(..) => !g.depends(id),
        Node::Sum(_, terms) => terms.iter().all(|&(_, t)| bounded(g, t)),
        Node::Product(_, factors) => factors.iter().all(|&(f, n)| n > 0 && bounded(g, f)),
        Node::Call(f, z) => match f {
            Call::Tanh
            | Call::Sigmoid
            | Call::Cdf
            | Call::TanhSoftplus
            | Call::Erf
            | Call::Atan
            | Call::Sign => true,
            // NaN for infinite inputs.
            Call::Sin | Call::Cos => false,
            Call::Ln | Call::Ln1p | Call::Log1mExp => false,
            _ => bounded(g, *z),
        },
        Node::Max(a, b) => clipped(g, *a, *b, false) || bounded(g, *a) && bounded(g, *b),
        Node::Min(a, b) => clipped(g, *a, *b, true) || bounded(g, *a) && bounded(g, *b),
        Node::Where(_, _, _, then, otherwise) => bounded(g, *then) && bounded(g, *otherwise),
    }
}

/// Whether `min(a, b)`, or the maximum, has constants for both bounds.
fn clipped(g: &Graph, a: Id, b: Id, smaller: bool) -> bool {
    let inner = match g.node(a) {
        Node::Max(_, c) if smaller => c,
        Node::Min(_, c) if !smaller => c,
        _ => return false,
    };
    !g.depends(b) && !g.depends(*inner)
}

/// How a node grows: like which power of the inputs, with which largest power on the way, and whether a
/// function that has limits on both sides is part of it; `None` if it is not made of powers, roots and
/// such functions.
fn degree(g: &Graph, id: Id) -> Option<(f64, f64, bool)> {
    Some(match g.node(id) {
        _ if !g.depends(id) => (0.0, 0.0, false),
        Node::Input(_) => (1.0, 1.0, false),
        Node::Sum(_, terms) => {
            let mut all = (0.0f64, 0.0f64, false);
            for &(_, t) in terms {
                let (d, most, bounded) = degree(g, t)?;
                all = (all.0.max(d), all.1.max(most), all.2 | bounded);
            }
            all
        }
        Node::Product(_, factors) => {
            let (mut total, mut above, mut below, mut any) = (0.0, 0.0f64, 0.0f64, false);
            for &(f, n) in factors {
                let (d, most, bounded) = degree(g, f)?;
                let n = f64::from(n);
                total += n * d;
                any |= bounded;
                let side = if n > 0.0 { &mut above } else { &mut below };
                *side += most * n.abs();
            }
            (total, above.max(below), any)
        }
        Node::Call(Call::Abs, z) => degree(g, *z)?,
        Node::Call(Call::Sqrt, z) => {
            let (d, most, bounded) = degree(g, *z)?;
            (d / 2.0, most, bounded)
        }
        Node::Call(Call::Tanh | Call::Erf | Call::Atan, z) => match degree(g, *z)? {
            (d, most, _) if d > 0.0 => (0.0, most, true),
            _ => return None,
        },
        _ => return None,
    })
}
