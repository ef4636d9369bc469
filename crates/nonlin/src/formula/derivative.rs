//! The derivative of a graph, as a graph.
//!
//! Dual numbers differentiate `u / v` as `(u' - u / v v') / v`, whose difference cancels far out: the
//! slope of `x / (1 + |x|)` would be 0 or noise from 2^53 on. Here sums and products are differentiated
//! in normal form, over a common denominator, so that what cancels is taken away before any number is put
//! in: what is left there is `1 / (1 + |x|)^2`.

use super::evaluate;
use super::graph::{Call, Graph, Id, Node, Test};
use super::number::Number;
use super::rules;
use alloc::{collections::BTreeMap, vec::Vec};

/// An operand or a parameter, and the derivative by it.
pub(crate) type Slope = (Id, Id);

/// Terms that a product of sums may have when it is multiplied out.
const MOST_TERMS: usize = 64;

impl Graph {
    /// The derivative of `root` by `leaf`, an operand or a parameter, in stable form; nothing if there is
    /// no room for it.
    pub(crate) fn derivative(&mut self, root: Id, leaf: Id) -> Option<Id> {
        let steps = self.steps.len();
        let found = self.by(root, leaf, &mut BTreeMap::new());
        let found = self.without_signs(found, &mut BTreeMap::new());
        let found = rules::stable(self, found);
        // The steps that are shown are those of the formula itself.
        self.steps.truncate(steps);
        match self.excess.take() {
            None => Some(found),
            Some(_) => None,
        }
    }

    /// For every quotient and root of powers of the operands in `root` (the whole one where it is part of
    /// another) its derivatives by operands and parameters.
    pub(crate) fn quotient_slopes(&mut self, root: Id) -> BTreeMap<Id, Vec<Slope>> {
        let (mut all, mut seen, mut open) = (BTreeMap::new(), Vec::new(), Vec::from([root]));
        while let Some(id) = open.pop() {
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            if !evaluate::is_quotient(self, id) {
                self.children(id, |child| open.push(child));
                continue;
            }
            let needed = self.needed(id);
            let leaf = |i: &Id| matches!(self.node(*i), Node::Input(_) | Node::Param(_));
            let leaves: Vec<Id> = (0..=id).filter(|i| needed[*i] && leaf(i)).collect();
            let slopes: Option<Vec<Slope>> =
                leaves.into_iter().map(|leaf| Some((leaf, self.derivative(id, leaf)?))).collect();
            if let Some(slopes) = slopes {
                all.insert(id, slopes);
            }
        }
        all
    }

    /// With the derivatives of `|z|` that are left as -1 or 1: at 0, as all branches, the lower one.
    fn without_signs(&mut self, id: Id, done: &mut BTreeMap<Id, Id>) -> Id {
        if let Some(&to) = done.get(&id) {
            return to;
        }
        let to = match *self.node(id) {
            Node::Call(Call::Sign, z) => {
                let z = self.without_signs(z, done);
                let [zero, up, down] = [0.0, 1.0, -1.0].map(|v| self.number(Number::new(v)));
                self.choose(Test::Greater, z, zero, up, down)
            }
            _ => self.rebuilt(id, &mut |g, child| g.without_signs(child, done)),
        };
        done.insert(id, to);
        to
    }

    fn by(&mut self, id: Id, leaf: Id, known: &mut BTreeMap<Id, Id>) -> Id {
        if let Some(&d) = known.get(&id) {
            return d;
        }
        let d = self.differentiated(id, leaf, known);
        known.insert(id, d);
        d
    }

    fn differentiated(&mut self, id: Id, leaf: Id, known: &mut BTreeMap<Id, Id>) -> Id {
        let zero = self.number(Number::ZERO);
        match self.node(id).clone() {
            _ if id == leaf => self.number(Number::ONE),
            Node::Number(_) | Node::Input(_) | Node::Param(_) => zero,
            Node::Sum(_, mut terms) => {
                for (_, t) in &mut terms {
                    *t = self.by(*t, leaf, known);
                }
                self.sum(Number::ZERO, &terms)
            }
            Node::Product(c, factors) => {
                let slopes: Vec<Id> = factors.iter().map(|f| self.by(f.0, leaf, known)).collect();
                self.product_rule(c, &factors, &slopes)
            }
            // y a^(y - 1) a' + a^y ln(a) y'
            Node::Power(a, y) => {
                let (da, dy) = (self.by(a, leaf, known), self.by(y, leaf, known));
                let less = self.plus(Number::MINUS_ONE, y);
                let (lower, ln) = (self.power(a, less), self.call(Call::Ln, a));
                let by_base = self.product(Number::ONE, &[(y, 1), (lower, 1), (da, 1)]);
                let by_power = self.product(Number::ONE, &[(id, 1), (ln, 1), (dy, 1)]);
                self.add(by_base, by_power)
            }
            Node::Call(f, z) => {
                let dz = self.by(z, leaf, known);
                if dz == zero {
                    return zero;
                }
                let outer = self.slope_of(f, z, id);
                self.mul(outer, dz)
            }
            // Where both are equal it counts as the second one: a bound.
            Node::Max(a, b) => {
                let (da, db) = (self.by(a, leaf, known), self.by(b, leaf, known));
                self.choose(Test::Greater, a, b, da, db)
            }
            Node::Min(a, b) => {
                let (da, db) = (self.by(a, leaf, known), self.by(b, leaf, known));
                self.choose(Test::Greater, b, a, da, db)
            }
            Node::Where(test, a, b, then, otherwise) => {
                let (then, otherwise) =
                    (self.by(then, leaf, known), self.by(otherwise, leaf, known));
                self.choose(test, a, b, then, otherwise)
            }
        }
    }

    /// `f'(z)`, where `y` is `f(z)`.
    fn slope_of(&mut self, f: Call, z: Id, y: Id) -> Id {
        let minus = self.neg(z);
        match f {
            Call::Exp => y,
            Call::ExpM1 => self.call(Call::Exp, z),
            Call::Ln => self.product(Number::ONE, &[(z, -1)]),
            Call::Ln1p => {
                let below = self.plus(Number::ONE, z);
                self.product(Number::ONE, &[(below, -1)])
            }
            // -e^z / (1 - e^z)
            Call::Log1mExp => {
                let below = self.call(Call::ExpM1, minus);
                self.product(Number::MINUS_ONE, &[(below, -1)])
            }
            Call::Sqrt => self.product(Number::HALF, &[(y, -1)]),
            Call::Abs => self.call(Call::Sign, z),
            // 1 - tanh(z)^2
            Call::Tanh => {
                let up = self.times(Number::TWO, z);
                let down = self.neg(up);
                let (up, down) = (self.call(Call::Sigmoid, up), self.call(Call::Sigmoid, down));
                self.product(Number::new(4.0), &[(up, 1), (down, 1)])
            }
            Call::Sigmoid => {
                let other = self.call(Call::Sigmoid, minus);
                self.mul(y, other)
            }
            Call::Softplus => self.call(Call::Sigmoid, z),
            // e^(-z^2/2) / sqrt(2 pi)
            Call::Cdf => {
                let exponent = self.product(Number::new(-0.5), &[(z, 2)]);
                let bell = self.call(Call::Exp, exponent);
                self.times(Number::ONE.over(Number::TWO.times(Number::PI).root()), bell)
            }
            // (1 - t^2) sigmoid(z), where 1 - t is (1 + t) sigmoid(-z)^2
            Call::TanhSoftplus => {
                let above = self.plus(Number::ONE, y);
                let (gate, other) = (self.call(Call::Sigmoid, z), self.call(Call::Sigmoid, minus));
                self.product(Number::ONE, &[(above, 2), (gate, 1), (other, 2)])
            }
            Call::Erf => {
                let exponent = self.product(Number::MINUS_ONE, &[(z, 2)]);
                let bell = self.call(Call::Exp, exponent);
                self.times(Number::TWO.over(Number::PI.root()), bell)
            }
            Call::Sin => self.call(Call::Cos, z),
            Call::Cos => {
                let sin = self.call(Call::Sin, z);
                self.neg(sin)
            }
            Call::Atan => {
                let below = self.sum_of_squares(z);
                self.product(Number::ONE, &[(below, -1)])
            }
            Call::Sinh => self.call(Call::Cosh, z),
            Call::Cosh => self.call(Call::Sinh, z),
            Call::LogCosh => self.call(Call::Tanh, z),
            Call::Floor | Call::Round | Call::Sign => self.number(Number::ZERO),
        }
    }

    /// `1 + z^2`.
    fn sum_of_squares(&mut self, z: Id) -> Id {
        let square = self.mul(z, z);
        self.plus(Number::ONE, square)
    }

    /// The derivative of `c` times powers whose bases have these derivatives: the powers, each lower by
    /// one, times the sum of what is left, over its common denominator.
    fn product_rule(&mut self, c: Number, factors: &[(Id, i32)], slopes: &[Id]) -> Id {
        let moves = |g: &Graph, d: Id| !g.known(d).is_some_and(|v| v.is(0.0));
        let moving: Vec<usize> = (0..factors.len()).filter(|&i| moves(self, slopes[i])).collect();
        let mut outside = factors.to_vec();
        let mut terms: Vec<Term> = Vec::new();
        for &i in &moving {
            outside[i].1 -= 1;
            let mut term = Term { c: Number::new(f64::from(factors[i].1)), factors: Vec::new() };
            term.push(self, slopes[i], 1);
            for &j in moving.iter().filter(|j| **j != i) {
                term.push(self, factors[j].0, 1);
            }
            terms.push(term);
        }
        let inner = match moving.len() {
            0 => return self.number(Number::ZERO),
            1 => terms[0].node(self),
            _ => self.over_common_denominator(terms, &mut outside),
        };
        outside.push((inner, 1));
        self.product(c, &outside)
    }

    /// The sum of terms, of which what they have in common goes to `outside`; multiplied out, if it is
    /// shorter then.
    fn over_common_denominator(
        &mut self,
        mut terms: Vec<Term>,
        outside: &mut Vec<(Id, i32)>,
    ) -> Id {
        let mut lowest: BTreeMap<Id, i32> = BTreeMap::new();
        for &(id, n) in terms.iter().flat_map(|t| &t.factors) {
            let least = lowest.entry(id).or_insert(0);
            *least = (*least).min(n);
        }
        lowest.retain(|_, n| *n < 0);
        for (&id, &n) in &lowest {
            outside.push((id, n));
            terms.iter_mut().for_each(|t| t.push(self, id, -n));
        }
        let plain: Vec<(Number, Id)> = terms.iter().map(|t| (Number::ONE, t.node(self))).collect();
        let plain = self.sum(Number::ZERO, &plain);
        let mut out = Vec::new();
        for term in terms {
            if !self.multiplied_out(term, &mut out) {
                return plain;
            }
        }
        let out: Vec<(Number, Id)> = out.iter().map(|t| (Number::ONE, t.node(self))).collect();
        let out = self.sum(Number::ZERO, &out);
        if self.length(out) <= self.length(plain) { out } else { plain }
    }

    /// Adds the terms that a term has once the sums in it are multiplied out; whether there is room.
    fn multiplied_out(&self, term: Term, out: &mut Vec<Term>) -> bool {
        let mut open = Vec::from([term]);
        while let Some(mut term) = open.pop() {
            if open.len() + out.len() > MOST_TERMS {
                return false;
            }
            // A root that is squared is what is under it; where that is negative, what divides the whole
            // sum is NaN.
            let root = |&(id, n): &(Id, i32)| match *self.node(id) {
                Node::Call(Call::Sqrt, z) if n > 1 => Some(z),
                _ => None,
            };
            if let Some(i) = term.factors.iter().position(|f| root(f).is_some()) {
                let (id, n) = term.factors.swap_remove(i);
                let under = root(&(id, n)).unwrap_or(id);
                term.push(self, under, n / 2);
                term.push(self, id, n % 2);
                open.push(term);
                continue;
            }
            let sum = |&(id, n): &(Id, i32)| n > 0 && matches!(self.node(id), Node::Sum(..));
            let Some(i) = term.factors.iter().position(sum) else {
                out.push(term);
                continue;
            };
            let (id, n) = term.factors.swap_remove(i);
            term.push(self, id, n - 1);
            let Node::Sum(k, parts) = self.node(id) else { continue };
            if !k.is(0.0) {
                open.push(Term { c: term.c.times(*k), factors: term.factors.clone() });
            }
            for &(c, part) in parts {
                let mut term = Term { c: term.c.times(c), factors: term.factors.clone() };
                term.push(self, part, 1);
                open.push(term);
            }
        }
        true
    }
}

/// A constant times powers.
#[derive(Clone)]
struct Term {
    c: Number,
    factors: Vec<(Id, i32)>,
}

impl Term {
    /// Times `id^n`; of a product its factors.
    fn push(&mut self, g: &Graph, id: Id, n: i32) {
        if n == 0 {
            return;
        }
        match g.node(id) {
            Node::Number(v) => self.c = self.c.times(v.to_the(n)),
            Node::Product(c, factors) => {
                self.c = self.c.times(c.to_the(n));
                for &(id, m) in factors {
                    self.push(g, id, m.saturating_mul(n));
                }
            }
            _ => match self.factors.iter_mut().find(|f| f.0 == id) {
                Some(f) => f.1 = f.1.saturating_add(n),
                None => self.factors.push((id, n)),
            },
        }
    }

    fn node(&self, g: &mut Graph) -> Id {
        g.product(self.c, &self.factors)
    }
}
