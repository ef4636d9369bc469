//! The formula as a graph in normal form: sums of multiples and products of powers, each kept once.
//!
//! The constructors know the identities of real numbers that lose nothing: they gather equal terms,
//! multiply powers, fold constants, put comparisons one way round. What is there to keep digits is in
//! `rules.rs`.

use super::number::Number;
use crate::real::Prim;
use alloc::{collections::BTreeMap, vec, vec::Vec};

/// A node's place in a [`Graph`]; every node stands after those it works on.
pub(crate) type Id = usize;

/// A function of one number that is evaluated as it is, or has rules of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Exp,
    ExpM1,
    Ln,
    Ln1p,
    /// `ln(1 - e^z)`.
    Log1mExp,
    Sqrt,
    Abs,
    Tanh,
    Sigmoid,
    Softplus,
    Cdf,
    TanhSoftplus,
    Erf,
    Sin,
    Cos,
    Atan,
    Sinh,
    Cosh,
    /// `ln(cosh z)`.
    LogCosh,
    Floor,
    Round,
    Sign,
}

impl Call {
    /// Every one, with its name in formulas.
    pub(crate) const ALL: [(&'static str, Call); 22] = [
        ("exp", Call::Exp),
        ("expm1", Call::ExpM1),
        ("ln", Call::Ln),
        ("log1p", Call::Ln1p),
        ("log1mexp", Call::Log1mExp),
        ("sqrt", Call::Sqrt),
        ("abs", Call::Abs),
        ("tanh", Call::Tanh),
        ("sigmoid", Call::Sigmoid),
        ("softplus", Call::Softplus),
        ("normal_cdf", Call::Cdf),
        ("tanh_softplus", Call::TanhSoftplus),
        ("erf", Call::Erf),
        ("sin", Call::Sin),
        ("cos", Call::Cos),
        ("atan", Call::Atan),
        ("sinh", Call::Sinh),
        ("cosh", Call::Cosh),
        ("logcosh", Call::LogCosh),
        ("floor", Call::Floor),
        ("round", Call::Round),
        ("sign", Call::Sign),
    ];

    pub(crate) fn name(self) -> &'static str {
        Call::ALL.iter().find(|(_, c)| *c == self).map_or("", |(name, _)| name)
    }

    /// What it does to the sign of its argument, if the function is odd or even.
    fn symmetry(self) -> Option<Number> {
        match self {
            Call::Tanh
            | Call::Erf
            | Call::Sin
            | Call::Atan
            | Call::Sinh
            | Call::Round
            | Call::Sign => Some(Number::MINUS_ONE),
            Call::Abs | Call::Cos | Call::Cosh | Call::LogCosh => Some(Number::ONE),
            _ => None,
        }
    }

    /// The primitive that it is, of those that constants are folded with.
    fn primitive(self) -> Option<Prim> {
        match self {
            Call::Exp => Some(Prim::Exp),
            Call::ExpM1 => Some(Prim::ExpM1),
            Call::Tanh => Some(Prim::Tanh),
            Call::Sigmoid => Some(Prim::Sigmoid),
            Call::Softplus => Some(Prim::Softplus),
            Call::Cdf => Some(Prim::Cdf),
            Call::TanhSoftplus => Some(Prim::TanhSoftplus),
            Call::Sqrt => Some(Prim::Sqrt),
            Call::Ln => Some(Prim::Ln),
            Call::Ln1p => Some(Prim::Ln1p),
            Call::Erf => Some(Prim::Erf),
            Call::Sin => Some(Prim::Sin),
            Call::Cos => Some(Prim::Cos),
            Call::Atan => Some(Prim::Atan),
            _ => None,
        }
    }
}

/// A comparison of two numbers; the others are these with operands or branches exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Test {
    Greater,
    AtLeast,
}

/// A step of the computation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    Number(Number),
    /// An operand, by its place.
    Input(usize),
    /// A parameter, by its place.
    Param(usize),
    /// A constant and multiples of other nodes: at least one, none of them a number or a sum.
    Sum(Number, Vec<(Number, Id)>),
    /// A constant times whole powers of other nodes: none of them a number or a product.
    Product(Number, Vec<(Id, i32)>),
    /// A real power of a base that is not negative.
    Power(Id, Id),
    Call(Call, Id),
    Max(Id, Id),
    Min(Id, Id),
    /// Of two compared numbers the first or the second branch; NaN if one is NaN.
    Where(Test, Id, Id, Id, Id),
}

/// A rewriting that was carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) before: Id,
    pub(crate) after: Id,
    pub(crate) rule: &'static super::rules::Rule,
}

/// Whole exponents beyond this are not products any more.
pub(crate) const MOST_POWER: i32 = 1024;

/// Steps of a formula as it is written: more are a mistake, or an attack.
pub(crate) const MOST_NODES: usize = 500;
/// Nodes with those that rewriting tries.
const MOST_TRIED: usize = 4000;
/// Steps with each common part counted as often as it is used: so long is its text.
const MOST_LENGTH: u32 = 20_000;
/// Nodes within one another.
const MOST_NESTED: u32 = 400;

/// What a graph has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    Nodes,
    Power,
    /// A constant that is no finite number.
    Constant,
}

/// What is known of a node.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    /// Whether an operand is part of it.
    depends: bool,
    /// Its nodes, common ones as often as they are used.
    length: u32,
    /// Its nodes within one another.
    nested: u32,
}

/// Nodes, equal ones once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    facts: Vec<Facts>,
    /// Whether the text has been read, and what follows is rewriting.
    pub(crate) read: bool,
    ids: BTreeMap<Node, Id>,
    /// What was beyond a limit first.
    pub(crate) excess: Option<Excess>,
    pub(crate) steps: Vec<Step>,
    /// Constants that are no f64, as they came first.
    constants: Vec<Number>,
    /// Derivatives of nodes that dual numbers differentiate badly: see `derivative.rs`.
    pub(crate) slopes: BTreeMap<Id, Vec<(Id, Id)>>,
}

impl Graph {
    /// `v`, or the constant that it is but for its last digits: there are several ways to one.
    fn settled(&mut self, v: Number) -> Number {
        if v.parts().1 == 0.0 {
            return v;
        }
        match self.constants.iter().find(|c| c.close_to(v)) {
            Some(c) => *c,
            None => {
                self.constants.push(v);
                v
            }
        }
    }

    pub(crate) fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    fn push(&mut self, node: Node) -> Id {
        if let Some(&id) = self.ids.get(&node) {
            return id;
        }
        let most = if self.read { MOST_TRIED } else { MOST_NODES };
        if self.nodes.len() >= most {
            self.excess.get_or_insert(Excess::Nodes);
            return 0;
        }
        self.nodes.push(node.clone());
        let id = self.nodes.len() - 1;
        let mut facts = Facts { depends: matches!(node, Node::Input(_)), length: 1, nested: 1 };
        self.children(id, |child| {
            let of = self.facts[child];
            facts.depends |= of.depends;
            facts.length = facts.length.saturating_add(of.length);
            facts.nested = facts.nested.max(of.nested + 1);
        });
        if facts.length > MOST_LENGTH || facts.nested > MOST_NESTED {
            self.excess.get_or_insert(Excess::Nodes);
        }
        self.facts.push(facts);
        self.ids.insert(node, id);
        id
    }

    pub(crate) fn number(&mut self, v: Number) -> Id {
        if !v.is_finite() {
            self.excess.get_or_insert(Excess::Constant);
        }
        let v = self.settled(v);
        self.push(Node::Number(v))
    }

    pub(crate) fn input(&mut self, i: usize) -> Id {
        self.push(Node::Input(i))
    }

    pub(crate) fn param(&mut self, i: usize) -> Id {
        self.push(Node::Param(i))
    }

    /// The constant that a node is.
    pub(crate) fn known(&self, id: Id) -> Option<Number> {
        match self.nodes[id] {
            Node::Number(v) => Some(v),
            _ => None,
        }
    }

    /// A node as a constant times a node without one.
    pub(crate) fn multiple(&mut self, id: Id) -> (Number, Id) {
        match &self.nodes[id] {
            Node::Product(c, factors) if *c != Number::ONE => {
                let (c, factors) = (*c, factors.clone());
                let rest = self.product(Number::ONE, &factors);
                (c, rest)
            }
            _ => (Number::ONE, id),
        }
    }

    /// `constant` plus the multiples `terms`.
    pub(crate) fn sum(&mut self, constant: Number, terms: &[(Number, Id)]) -> Id {
        let mut total = constant;
        let mut gathered: BTreeMap<Id, Number> = BTreeMap::new();
        let mut open: Vec<(Number, Id)> = terms.iter().rev().copied().collect();
        while let Some((c, id)) = open.pop() {
            match self.nodes[id].clone() {
                Node::Number(v) => total = total.plus(c.times(v)),
                Node::Sum(k, inner) => {
                    total = total.plus(c.times(k));
                    open.extend(inner.iter().rev().map(|(d, id)| (c.times(*d), *id)));
                }
                _ => {
                    let (d, base) = self.multiple(id);
                    // A multiple of a sum is a sum.
                    if matches!(self.nodes[base], Node::Sum(..)) {
                        open.push((c.times(d), base));
                        continue;
                    }
                    let coefficient = gathered.entry(base).or_insert(Number::ZERO);
                    *coefficient = coefficient.plus(c.times(d));
                }
            }
        }
        let total = self.settled(total);
        let mut terms = Vec::new();
        for (id, c) in gathered {
            if !c.is(0.0) {
                terms.push((self.settled(c), id));
            }
        }
        match terms.as_slice() {
            [] => self.number(total),
            [(c, id)] if total.is(0.0) => self.product(*c, &[(*id, 1)]),
            _ => {
                if !total.is_finite() || terms.iter().any(|(c, _)| !c.is_finite()) {
                    self.excess.get_or_insert(Excess::Constant);
                }
                self.push(Node::Sum(total, terms))
            }
        }
    }

    pub(crate) fn add(&mut self, a: Id, b: Id) -> Id {
        self.sum(Number::ZERO, &[(Number::ONE, a), (Number::ONE, b)])
    }

    pub(crate) fn sub(&mut self, a: Id, b: Id) -> Id {
        self.sum(Number::ZERO, &[(Number::ONE, a), (Number::MINUS_ONE, b)])
    }

    /// `c + id`.
    pub(crate) fn plus(&mut self, c: Number, id: Id) -> Id {
        self.sum(c, &[(Number::ONE, id)])
    }

    pub(crate) fn neg(&mut self, a: Id) -> Id {
        self.times(Number::MINUS_ONE, a)
    }

    /// `c * id`; of a sum each term is multiplied.
    pub(crate) fn times(&mut self, c: Number, id: Id) -> Id {
        self.sum(Number::ZERO, &[(c, id)])
    }

    pub(crate) fn mul(&mut self, a: Id, b: Id) -> Id {
        self.product(Number::ONE, &[(a, 1), (b, 1)])
    }

    pub(crate) fn div(&mut self, a: Id, b: Id) -> Id {
        self.product(Number::ONE, &[(a, 1), (b, -1)])
    }

    /// `constant` times powers.
    pub(crate) fn product(&mut self, constant: Number, factors: &[(Id, i32)]) -> Id {
        let mut total = constant;
        let mut gathered: BTreeMap<Id, i64> = BTreeMap::new();
        let mut exponents: Vec<(Number, Id)> = Vec::new();
        let mut open: Vec<(Id, i64)> =
            factors.iter().rev().map(|&(id, n)| (id, i64::from(n))).collect();
        while let Some((id, n)) = open.pop() {
            if n == 0 {
                continue;
            }
            let Ok(small) = i32::try_from(n) else {
                self.excess.get_or_insert(Excess::Power);
                continue;
            };
            match &self.nodes[id] {
                Node::Number(v) => total = total.times(v.to_the(small)),
                Node::Product(c, inner) => {
                    total = total.times(c.to_the(small));
                    open.extend(inner.iter().rev().map(|&(id, m)| (id, i64::from(m) * n)));
                }
                // Powers of e have one exponent, which is where they are largest and smallest.
                Node::Call(Call::Exp, z) => exponents.push((Number::new(n as f64), *z)),
                // |z|^2 is z^2.
                Node::Call(Call::Abs, z) if n % 2 == 0 => open.push((*z, n)),
                // -a - b is -(a + b).
                Node::Sum(k, terms)
                    if !k.is_positive() && terms.iter().all(|(c, _)| c.is_negative()) =>
                {
                    total = total.times(Number::MINUS_ONE.to_the(small));
                    let positive = self.neg(id);
                    *gathered.entry(positive).or_insert(0) += n;
                }
                _ => *gathered.entry(id).or_insert(0) += n,
            }
        }
        if !exponents.is_empty() {
            let exponent = self.sum(Number::ZERO, &exponents);
            let exp = self.call(Call::Exp, exponent);
            match self.nodes[exp] {
                Node::Number(v) => total = total.times(v),
                _ => *gathered.entry(exp).or_insert(0) += 1,
            }
        }
        gathered.retain(|_, n| *n != 0);
        // z sign(z) is |z|.
        let sign = gathered.iter().find_map(|(&id, &n)| match self.nodes[id] {
            Node::Call(Call::Sign, z) if n == 1 && gathered.get(&z).is_some_and(|m| *m > 0) => {
                Some((id, z))
            }
            _ => None,
        });
        if let Some((sign, z)) = sign {
            let size = self.call(Call::Abs, z);
            let rest = gathered
                .iter()
                .filter(|(id, _)| **id != sign)
                .map(|(&id, &n)| (id, if id == z { n as i32 - 1 } else { n as i32 }));
            let rest: Vec<(Id, i32)> = rest.chain([(size, 1)]).collect();
            return self.product(total, &rest);
        }
        if gathered.values().any(|n| n.abs() > i64::from(MOST_POWER)) {
            self.excess.get_or_insert(Excess::Power);
        }
        if total.is(0.0) || gathered.is_empty() {
            return self.number(total);
        }
        if !total.is_finite() {
            self.excess.get_or_insert(Excess::Constant);
        }
        let total = self.settled(total);
        let factors: Vec<(Id, i32)> = gathered.into_iter().map(|(id, n)| (id, n as i32)).collect();
        match factors.as_slice() {
            [(id, 1)] if total.is(1.0) => *id,
            [(id, 1)] if matches!(self.nodes[*id], Node::Sum(..)) => {
                let id = *id;
                self.sum(Number::ZERO, &[(total, id)])
            }
            _ => self.push(Node::Product(total, factors)),
        }
    }

    /// `base^exponent`.
    pub(crate) fn power(&mut self, base: Id, exponent: Id) -> Id {
        if let Some(n) = self.known(exponent) {
            if n.nearest().abs() > f64::from(MOST_POWER) {
                self.excess.get_or_insert(Excess::Power);
            }
            if let Some(n) = n.integer() {
                return self.product(Number::ONE, &[(base, n)]);
            }
            // A half and whole numbers beside it: roots are rounded once.
            if let Some(twice) = n.times(Number::TWO).integer()
                && twice.abs() < 32
            {
                let root = self.call(Call::Sqrt, base);
                return match twice {
                    1 | -1 => self.product(Number::ONE, &[(root, twice)]),
                    _ => self.product(Number::ONE, &[(base, (twice - 1) / 2), (root, 1)]),
                };
            }
        }
        match self.known(base) {
            Some(c) if c.is(1.0) => base,
            Some(c) if c.is_positive() => {
                let rate = c.logarithm();
                let z = self.times(rate, exponent);
                self.call(Call::Exp, z)
            }
            _ => self.push(Node::Power(base, exponent)),
        }
    }

    /// Whether the first coefficient of a node is negative.
    fn leads_with_minus(&self, id: Id) -> bool {
        match &self.nodes[id] {
            Node::Number(v) => v.is_negative(),
            Node::Product(c, _) => c.is_negative(),
            Node::Sum(_, terms) => terms[0].0.is_negative(),
            _ => false,
        }
    }

    /// `f(z)`.
    pub(crate) fn call(&mut self, f: Call, z: Id) -> Id {
        if let Some(v) = self.known(z)
            && let Some(v) = fold(f, v)
        {
            return self.number(v);
        }
        if let Some(sign) = f.symmetry()
            && self.leads_with_minus(z)
        {
            let positive = self.neg(z);
            let inner = self.call(f, positive);
            return self.times(sign, inner);
        }
        match (f, &self.nodes[z]) {
            (Call::Abs, Node::Product(c, factors)) if *c != Number::ONE => {
                let (c, factors) = (*c, factors.clone());
                let rest = self.product(Number::ONE, &factors);
                let inner = self.call(Call::Abs, rest);
                self.times(c.magnitude(), inner)
            }
            (Call::Sign, Node::Product(c, factors)) if c.is_positive() && *c != Number::ONE => {
                let factors = factors.clone();
                let rest = self.product(Number::ONE, &factors);
                self.call(Call::Sign, rest)
            }
            // Already not negative.
            (
                Call::Abs,
                Node::Call(
                    Call::Abs
                    | Call::Exp
                    | Call::Sqrt
                    | Call::Sigmoid
                    | Call::Softplus
                    | Call::Cdf
                    | Call::TanhSoftplus
                    | Call::Cosh,
                    _,
                ),
            ) => z,
            (Call::Abs, Node::Product(_, factors)) if factors.iter().all(|(_, n)| n % 2 == 0) => z,
            (Call::Ln, Node::Call(Call::Exp, inner)) => *inner,
            _ => self.push(Node::Call(f, z)),
        }
    }

    pub(crate) fn max(&mut self, a: Id, b: Id) -> Id {
        self.extreme(a, b, true)
    }

    pub(crate) fn min(&mut self, a: Id, b: Id) -> Id {
        self.extreme(a, b, false)
    }

    /// The larger or the smaller; beside a constant the other has no factor, which stands before both.
    fn extreme(&mut self, a: Id, b: Id, larger: bool) -> Id {
        if let (Some(v), Some(w)) = (self.known(a), self.known(b)) {
            return self.number(if v.less_than(w) == larger { w } else { v });
        }
        if a == b {
            return a;
        }
        let (a, b) = self.ordered(a, b);
        if let Some(v) = self.known(b) {
            let factor = match self.node(a) {
                Node::Product(c, _) => *c,
                Node::Sum(_, terms) => terms[0].0,
                _ => Number::ONE,
            };
            if factor != Number::ONE {
                let a = self.times(Number::ONE.over(factor), a);
                let b = self.number(v.over(factor));
                let inner = self.extreme(a, b, larger != factor.is_negative());
                return self.times(factor, inner);
            }
        }
        self.push(if larger { Node::Max(a, b) } else { Node::Min(a, b) })
    }

    /// Two operands whose order does not matter: one that depends on an input comes first, since its
    /// NaN comes through and its slope ends at the bound.
    fn ordered(&self, a: Id, b: Id) -> (Id, Id) {
        let fixed = |id| !self.depends(id);
        if (fixed(a), a) <= (fixed(b), b) { (a, b) } else { (b, a) }
    }

    /// How many nodes it has, common ones as often as they are used.
    pub(crate) fn length(&self, id: Id) -> u32 {
        self.facts[id].length
    }

    /// Whether an input is part of it.
    pub(crate) fn depends(&self, id: Id) -> bool {
        self.facts[id].depends
    }

    /// Whether a node of that kind is part of it.
    pub(crate) fn reaches(&self, id: Id, wanted: impl Fn(&Node) -> bool) -> bool {
        let needed = self.needed(id);
        (0..=id).any(|i| needed[i] && wanted(&self.nodes[i]))
    }

    /// Which of the nodes up to `root` are part of it.
    pub(crate) fn needed(&self, root: Id) -> Vec<bool> {
        let mut needed = vec![false; root + 1];
        needed[root] = true;
        for id in (0..=root).rev() {
            if needed[id] {
                self.children(id, |child| needed[child] = true);
            }
        }
        needed
    }

    /// The nodes that one works on.
    pub(crate) fn children(&self, id: Id, mut each: impl FnMut(Id)) {
        match &self.nodes[id] {
            Node::Number(_) | Node::Input(_) | Node::Param(_) => {}
            Node::Sum(_, terms) => terms.iter().for_each(|&(_, id)| each(id)),
            Node::Product(_, factors) => factors.iter().for_each(|&(id, _)| each(id)),
            Node::Call(_, a) => each(*a),
            Node::Power(a, b) | Node::Max(a, b) | Node::Min(a, b) => {
                each(*a);
                each(*b);
            }
            Node::Where(_, a, b, then, otherwise) => {
                for &id in [a, b, then, otherwise] {
                    each(id);
                }
            }
        }
    }

    /// `then` where `a test b`, else `otherwise`.
    pub(crate) fn choose(&mut self, test: Test, a: Id, b: Id, then: Id, otherwise: Id) -> Id {
        // Within a branch its condition is decided.
        let asked = |id: Id| match self.nodes[id] {
            Node::Where(t, c, d, yes, no) if (t, c, d) == (test, a, b) => Some((yes, no)),
            _ => None,
        };
        let then = asked(then).map_or(then, |(yes, _)| yes);
        let otherwise = asked(otherwise).map_or(otherwise, |(_, no)| no);
        if then == otherwise {
            return then;
        }
        if let (Some(v), Some(w)) = (self.known(a), self.known(b)) {
            let holds = w.less_than(v) || test == Test::AtLeast && v == w;
            return if holds { then } else { otherwise };
        }
        // What depends on an input stands on the left, constants on the right, and multiples are
        // compared without their factor.
        if !self.depends(a) && self.depends(b) {
            return self.choose(opposite(test), b, a, otherwise, then);
        }
        if let (Node::Sum(k, terms), Some(c)) = (&self.nodes[a], self.known(b))
            && !k.is(0.0)
        {
            let (terms, c) = (terms.clone(), c.plus(k.negated()));
            let (a, b) = (self.sum(Number::ZERO, &terms), self.number(c));
            return self.choose(test, a, b, then, otherwise);
        }
        if let Some(c) = self.known(b) {
            let (factor, base) = self.multiple(a);
            if factor != Number::ONE {
                let b = self.number(c.over(factor));
                return if factor.is_negative() {
                    self.choose(opposite(test), base, b, otherwise, then)
                } else {
                    self.choose(test, base, b, then, otherwise)
                };
            }
        }
        self.push(Node::Where(test, a, b, then, otherwise))
    }

    /// The node `id` with other nodes in the place of those it works on.
    pub(crate) fn rebuilt(&mut self, id: Id, to: &mut dyn FnMut(&mut Graph, Id) -> Id) -> Id {
        match self.nodes[id].clone() {
            Node::Number(_) | Node::Input(_) | Node::Param(_) => id,
            Node::Sum(k, mut terms) => {
                for (_, id) in &mut terms {
                    *id = to(self, *id);
                }
                self.sum(k, &terms)
            }
            Node::Product(k, mut factors) => {
                for (id, _) in &mut factors {
                    *id = to(self, *id);
                }
                self.product(k, &factors)
            }
            Node::Power(a, b) => {
                let (a, b) = (to(self, a), to(self, b));
                self.power(a, b)
            }
            Node::Call(f, a) => {
                let a = to(self, a);
                self.call(f, a)
            }
            Node::Max(a, b) => {
                let (a, b) = (to(self, a), to(self, b));
                self.max(a, b)
            }
            Node::Min(a, b) => {
                let (a, b) = (to(self, a), to(self, b));
                self.min(a, b)
            }
            Node::Where(test, a, b, then, otherwise) => {
                let [a, b, then, otherwise] = [a, b, then, otherwise].map(|id| to(self, id));
                self.choose(test, a, b, then, otherwise)
            }
        }
    }
}

/// `a test b` is false where `b opposite(test) a` is true.
fn opposite(test: Test) -> Test {
    match test {
        Test::Greater => Test::AtLeast,
        Test::AtLeast => Test::Greater,
    }
}

/// The constant `f(v)`, if it is one that can be had to all digits.
fn fold(f: Call, v: Number) -> Option<Number> {
    if let Some(p) = f.primitive() {
        return Some(v.primitive(p));
    }
    match f {
        Call::Log1mExp if !v.is_negative() => Some(Number::new(f64::NAN)),
        Call::Abs => Some(v.magnitude()),
        Call::Sign => Some(if v.is_positive() {
            Number::ONE
        } else if v.is_negative() {
            Number::MINUS_ONE
        } else {
            Number::ZERO
        }),
        Call::Sinh if v.is(0.0) => Some(v),
        Call::Cosh if v.is(0.0) => Some(Number::ONE),
        _ => None,
    }
}
