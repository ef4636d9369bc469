//! Textbook formulas as text: the oracle that shares nothing with the kernels.
//!
//! ```text
//! sum     = product { ("+" | "-") product }
//! product = sign { ("*" | "/") sign }
//! sign    = ("-" | "+") sign | power
//! power   = atom [ "^" sign ]                      -x^2 is -(x^2), 2^-x^2 is 2^(-(x^2))
//! atom    = number | name | "pi" | "(" sum ")" | function "(" sum { "," sum } ")"
//!         | "if" "(" sum ("<" | "<=" | ">" | ">=" | "==") sum "," sum "," sum ")"
//! ```
//!
//! Functions: `exp expm1 ln log1p sqrt abs tanh sech erf erfc sin cos atan max min`, and by name
//!
//! ```text
//! sigmoid(z)       = 1 / (1 + exp(-z))
//! softplus(z)      = ln(1 + exp(z))
//! normal_cdf(z)    = (1 + erf(z / sqrt(2))) / 2
//! tanh_softplus(z) = tanh(softplus(z))
//! ```
//!
//! `ln(1 + exp(z))` is read as `softplus(z)`, and `a / (1 + exp(z))` as `a * sigmoid(-z)`: even MPFR has no room for `exp(1e300)` as an intermediate result.
//!
//! A formula is evaluated with any [`Number`]: [`f64`] here, guaranteed multiple-precision
//! bounds in `enclosure` (feature `mpfr`). [`Formula::derivative`] differentiates the text's
//! tree by the rules of the textbook. An `if` with NaN in its condition is
//! NaN.

use core::fmt;
use std::collections::HashMap;

/// A comparison in the condition of an `if`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
}

impl Comparison {
    const ALL: [(&'static str, Comparison); 5] = [
        ("<=", Comparison::AtMost),
        ("<", Comparison::Less),
        (">=", Comparison::AtLeast),
        (">", Comparison::Greater),
        ("==", Comparison::Equal),
    ];

    /// How it is written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        Self::ALL.iter().find(|(_, c)| *c == self).map_or("", |(s, _)| s)
    }
}

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// `e^z`.
    Exp,
    /// `e^z - 1`.
    ExpM1,
    /// Natural logarithm.
    Ln,
    /// `ln(1 + z)`.
    Ln1p,
    /// Square root.
    Sqrt,
    /// `|z|`.
    Abs,
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / cosh z`.
    Sech,
    /// The error function.
    Erf,
    /// `1 - erf z`.
    Erfc,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
    /// The inverse tangent.
    Atan,
    /// `1 / (1 + exp(-z))`.
    Sigmoid,
    /// `ln(1 + exp(z))`.
    Softplus,
    /// `(1 + erf(z / sqrt(2))) / 2`.
    NormalCdf,
}

impl Function {
    const ALL: [(&'static str, Function); 16] = [
        ("exp", Function::Exp),
        ("expm1", Function::ExpM1),
        ("ln", Function::Ln),
        ("log1p", Function::Ln1p),
        ("sqrt", Function::Sqrt),
        ("abs", Function::Abs),
        ("tanh", Function::Tanh),
        ("sech", Function::Sech),
        ("erf", Function::Erf),
        ("erfc", Function::Erfc),
        ("sin", Function::Sin),
        ("cos", Function::Cos),
        ("atan", Function::Atan),
        ("sigmoid", Function::Sigmoid),
        ("softplus", Function::Softplus),
        ("normal_cdf", Function::NormalCdf),
    ];

    /// How it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, f)| *f == self).map_or("", |(s, _)| s)
    }
}

/// What a formula can be evaluated with.
pub trait Number: Clone {
    /// What it takes to make a constant: a precision, say.
    type Context;
    /// The number written as `text`, a decimal.
    fn decimal(cx: &Self::Context, text: &str) -> Self;
    /// Exactly `v`.
    fn double(cx: &Self::Context, v: f64) -> Self;
    /// The ratio of a circle's circumference to its diameter.
    fn pi(cx: &Self::Context) -> Self;
    /// `-self`.
    fn neg(&self) -> Self;
    /// `self + o`.
    fn add(&self, o: &Self) -> Self;
    /// `self - o`.
    fn sub(&self, o: &Self) -> Self;
    /// `self * o`.
    fn mul(&self, o: &Self) -> Self;
    /// `self / o`.
    fn div(&self, o: &Self) -> Self;
    /// `self^o`; a negative `self` takes an integer `o`.
    fn pow(&self, o: &Self) -> Self;
    /// The larger; NaN if either is.
    fn max(&self, o: &Self) -> Self;
    /// The smaller; NaN if either is.
    fn min(&self, o: &Self) -> Self;
    /// `f(self)`.
    fn call(&self, f: Function) -> Self;
    /// Whether it is NaN.
    fn is_nan(&self) -> bool;
    /// Whether `self c o`; `None` where the precision does not tell.
    fn holds(&self, c: Comparison, o: &Self) -> Option<bool>;
    /// What covers both: the value of an `if` whose condition is not decided.
    fn hull(&self, o: &Self) -> Self;
}

impl Number for f64 {
    type Context = ();
    fn decimal(_: &(), text: &str) -> Self {
        text.parse().unwrap_or(f64::NAN)
    }
    fn double(_: &(), v: f64) -> Self {
        v
    }
    fn pi(_: &()) -> Self {
        core::f64::consts::PI
    }
    fn neg(&self) -> Self {
        -self
    }
    fn add(&self, o: &Self) -> Self {
        self + o
    }
    fn sub(&self, o: &Self) -> Self {
        self - o
    }
    fn mul(&self, o: &Self) -> Self {
        self * o
    }
    fn div(&self, o: &Self) -> Self {
        self / o
    }
    fn pow(&self, o: &Self) -> Self {
        core_math::pow(*self, *o)
    }
    fn max(&self, o: &Self) -> Self {
        if self > o || self.is_nan() { *self } else { *o }
    }
    fn min(&self, o: &Self) -> Self {
        if self < o || self.is_nan() { *self } else { *o }
    }
    fn call(&self, f: Function) -> Self {
        let z = *self;
        match f {
            Function::Exp => core_math::exp(z),
            Function::ExpM1 => core_math::expm1(z),
            Function::Ln => core_math::log(z),
            Function::Ln1p => core_math::log1p(z),
            Function::Sqrt => z.sqrt(),
            Function::Abs => z.abs(),
            Function::Tanh => core_math::tanh(z),
            Function::Sech => {
                let w = core_math::exp(-z.abs());
                2.0 * w / (1.0 + w * w)
            }
            Function::Erf => core_math::erf(z),
            Function::Erfc => core_math::erfc(z),
            Function::Sin => core_math::sin(z),
            Function::Cos => core_math::cos(z),
            Function::Atan => core_math::atan(z),
            Function::Sigmoid => crate::correct::sigmoid(z),
            Function::Softplus => crate::correct::softplus(z),
            Function::NormalCdf => crate::correct::normal_cdf(z),
        }
    }
    fn is_nan(&self) -> bool {
        f64::is_nan(*self)
    }
    fn holds(&self, c: Comparison, o: &Self) -> Option<bool> {
        Some(match c {
            Comparison::Less => self < o,
            Comparison::AtMost => self <= o,
            Comparison::Greater => self > o,
            Comparison::AtLeast => self >= o,
            Comparison::Equal => self == o,
        })
    }
    fn hull(&self, _: &Self) -> Self {
        *self // every comparison is decided
    }
}

/// Where and why a text is not a formula.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Byte position in the text.
    pub position: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.position, self.message)
    }
}

impl std::error::Error for ParseError {}

/// A node's place in [`Graph`].
type Id = usize;

/// An operation on earlier nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Node {
    /// The real number that the text denotes.
    Decimal(String),
    /// The bits of an f64.
    Double(u64),
    Pi,
    Input(usize),
    Neg(Id),
    Add(Id, Id),
    Sub(Id, Id),
    Mul(Id, Id),
    Div(Id, Id),
    Pow(Id, Id),
    Max(Id, Id),
    Min(Id, Id),
    Call(Function, Id),
    If(Comparison, Id, Id, Id, Id),
}

impl Node {
    /// This operation on nodes that have moved.
    fn moved(&self, to: impl Fn(Id) -> Id) -> Node {
        match *self {
            Node::Decimal(_) | Node::Double(_) | Node::Pi | Node::Input(_) => self.clone(),
            Node::Neg(a) => Node::Neg(to(a)),
            Node::Add(a, b) => Node::Add(to(a), to(b)),
            Node::Sub(a, b) => Node::Sub(to(a), to(b)),
            Node::Mul(a, b) => Node::Mul(to(a), to(b)),
            Node::Div(a, b) => Node::Div(to(a), to(b)),
            Node::Pow(a, b) => Node::Pow(to(a), to(b)),
            Node::Max(a, b) => Node::Max(to(a), to(b)),
            Node::Min(a, b) => Node::Min(to(a), to(b)),
            Node::Call(f, a) => Node::Call(f, to(a)),
            Node::If(c, a, b, t, e) => Node::If(c, to(a), to(b), to(t), to(e)),
        }
    }

    fn children(&self) -> Vec<Id> {
        match *self {
            Node::Decimal(_) | Node::Double(_) | Node::Pi | Node::Input(_) => Vec::new(),
            Node::Neg(a) | Node::Call(_, a) => vec![a],
            Node::Add(a, b)
            | Node::Sub(a, b)
            | Node::Mul(a, b)
            | Node::Div(a, b)
            | Node::Pow(a, b)
            | Node::Max(a, b)
            | Node::Min(a, b) => vec![a, b],
            Node::If(_, a, b, t, e) => vec![a, b, t, e],
        }
    }
}

/// Nodes, each after those it works on; equal nodes are kept once.
#[derive(Clone, Debug, Default)]
struct Graph {
    nodes: Vec<Node>,
    ids: HashMap<Node, Id>,
}

impl Graph {
    fn node(&mut self, n: Node) -> Id {
        if let Some(&id) = self.ids.get(&n) {
            return id;
        }
        self.nodes.push(n.clone());
        self.ids.insert(n, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn double(&mut self, v: f64) -> Id {
        self.node(Node::Double(v.to_bits()))
    }

    /// The value of a node that is an exact number.
    fn known(&self, id: Id) -> Option<f64> {
        match self.nodes[id] {
            Node::Double(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    fn is(&self, id: Id, v: f64) -> bool {
        self.known(id) == Some(v)
    }

    // The constructors leave out what 0 and 1 do; derivatives are full of them.

    fn neg(&mut self, a: Id) -> Id {
        match self.nodes[a] {
            Node::Neg(inner) => inner,
            Node::Double(bits) if f64::from_bits(bits) != 0.0 => self.double(-f64::from_bits(bits)),
            _ if self.is(a, 0.0) => a,
            _ => self.node(Node::Neg(a)),
        }
    }

    fn add(&mut self, a: Id, b: Id) -> Id {
        if self.is(a, 0.0) {
            b
        } else if self.is(b, 0.0) {
            a
        } else {
            self.node(Node::Add(a, b))
        }
    }

    fn sub(&mut self, a: Id, b: Id) -> Id {
        if self.is(b, 0.0) {
            a
        } else if self.is(a, 0.0) {
            self.neg(b)
        } else {
            self.node(Node::Sub(a, b))
        }
    }

    fn mul(&mut self, a: Id, b: Id) -> Id {
        if self.is(a, 0.0) || self.is(b, 1.0) {
            a
        } else if self.is(b, 0.0) || self.is(a, 1.0) {
            b
        } else {
            self.node(Node::Mul(a, b))
        }
    }

    fn div(&mut self, a: Id, b: Id) -> Id {
        if self.is(a, 0.0) || self.is(b, 1.0) { a } else { self.node(Node::Div(a, b)) }
    }

    fn pow(&mut self, a: Id, b: Id) -> Id {
        if self.is(b, 1.0) {
            a
        } else if self.is(b, 0.0) {
            self.double(1.0)
        } else {
            self.node(Node::Pow(a, b))
        }
    }

    fn call(&mut self, f: Function, a: Id) -> Id {
        match self.one_plus_exp(a) {
            Some(z) if f == Function::Ln => self.node(Node::Call(Function::Softplus, z)),
            _ => self.node(Node::Call(f, a)),
        }
    }

    /// `a / b` as parsed.
    fn quotient(&mut self, a: Id, b: Id) -> Id {
        let Some(z) = self.one_plus_exp(b) else {
            return self.node(Node::Div(a, b));
        };
        let minus = self.neg(z);
        let gate = self.call(Function::Sigmoid, minus);
        self.mul(a, gate)
    }

    /// `z`, if the node is `1 + exp(z)`.
    fn one_plus_exp(&self, id: Id) -> Option<Id> {
        let Node::Add(a, b) = self.nodes[id] else {
            return None;
        };
        match (&self.nodes[a], &self.nodes[b]) {
            (_, Node::Call(Function::Exp, z)) if self.is(a, 1.0) => Some(*z),
            (Node::Call(Function::Exp, z), _) if self.is(b, 1.0) => Some(*z),
            _ => None,
        }
    }

    fn choose(&mut self, c: Comparison, a: Id, b: Id, then: Id, otherwise: Id) -> Id {
        if then == otherwise { then } else { self.node(Node::If(c, a, b, then, otherwise)) }
    }

    /// The derivatives of `nodes[0..=root]` with respect to the input `by`; that of `root`.
    fn derivative(&mut self, root: Id, by: usize) -> Id {
        let zero = self.double(0.0);
        let mut d: Vec<Id> = Vec::with_capacity(root + 1);
        for id in 0..=root {
            let slope = match self.nodes[id].clone() {
                Node::Decimal(_) | Node::Double(_) | Node::Pi => zero,
                Node::Input(i) => self.double(if i == by { 1.0 } else { 0.0 }),
                Node::Neg(a) => self.neg(d[a]),
                Node::Add(a, b) => self.add(d[a], d[b]),
                Node::Sub(a, b) => self.sub(d[a], d[b]),
                Node::Mul(a, b) => {
                    let (left, right) = (self.mul(d[a], b), self.mul(a, d[b]));
                    self.add(left, right)
                }
                Node::Div(a, b) => {
                    let rest = self.mul(id, d[b]);
                    let over = self.sub(d[a], rest);
                    self.div(over, b)
                }
                Node::Pow(a, b) => self.power_slope(id, a, b, d[a], d[b]),
                // At a tie the slope of the second argument: 0 for max(x, 0) and min(x, 6).
                Node::Max(a, b) => self.choose(Comparison::Greater, a, b, d[a], d[b]),
                Node::Min(a, b) => self.choose(Comparison::Less, a, b, d[a], d[b]),
                Node::If(c, a, b, t, e) => self.choose(c, a, b, d[t], d[e]),
                Node::Call(_, a) if d[a] == zero => zero,
                Node::Call(f, a) => {
                    let outer = self.call_slope(id, f, a);
                    self.mul(outer, d[a])
                }
            };
            d.push(slope);
        }
        d[root]
    }

    /// The derivative of `id = a^b`, given those of `a` and `b`.
    fn power_slope(&mut self, id: Id, a: Id, b: Id, da: Id, db: Id) -> Id {
        // b a^(b - 1) a', which needs no logarithm and holds at a = 0, ...
        let one = self.double(1.0);
        let less = match self.known(b) {
            // Exact for small integers only.
            Some(n) if n == n.round() && n.abs() < 1e9 => self.double(n - 1.0),
            _ => self.node(Node::Sub(b, one)),
        };
        let power = self.pow(a, less);
        let outer = self.mul(b, power);
        let by_base = if self.is(da, 0.0) { da } else { self.mul(outer, da) };
        if self.is(db, 0.0) {
            return by_base;
        }
        // ... and a^b ln(a) b'.
        let log = self.call(Function::Ln, a);
        let outer = self.mul(id, log);
        let by_exponent = self.mul(outer, db);
        self.add(by_base, by_exponent)
    }

    /// `f'(a)`, where `id = f(a)`. No form cancels in the tails.
    fn call_slope(&mut self, id: Id, f: Function, a: Id) -> Id {
        let (one, two) = (self.double(1.0), self.double(2.0));
        match f {
            Function::Exp => id,
            Function::ExpM1 => self.call(Function::Exp, a),
            Function::Ln => self.div(one, a),
            Function::Ln1p => {
                let sum = self.add(one, a);
                self.div(one, sum)
            }
            Function::Sqrt => {
                let twice = self.mul(two, id);
                self.div(one, twice)
            }
            Function::Abs => {
                let (zero, minus) = (self.double(0.0), self.double(-1.0));
                let left = self.choose(Comparison::Less, a, zero, minus, zero);
                self.choose(Comparison::Greater, a, zero, one, left)
            }
            Function::Tanh => {
                let sech = self.call(Function::Sech, a);
                self.pow(sech, two)
            }
            Function::Sech => {
                let tanh = self.call(Function::Tanh, a);
                let product = self.mul(id, tanh);
                self.neg(product)
            }
            Function::Erf | Function::Erfc => {
                let square = self.pow(a, two);
                let exponent = self.neg(square);
                let bell = self.call(Function::Exp, exponent);
                let pi = self.node(Node::Pi);
                let root = self.call(Function::Sqrt, pi);
                let scale = self.double(if f == Function::Erf { 2.0 } else { -2.0 });
                let over = self.mul(scale, bell);
                self.div(over, root)
            }
            Function::Sin => self.call(Function::Cos, a),
            Function::Cos => {
                let sine = self.call(Function::Sin, a);
                self.neg(sine)
            }
            Function::Atan => {
                let square = self.pow(a, two);
                let sum = self.add(one, square);
                self.div(one, sum)
            }
            Function::Sigmoid => {
                let minus = self.neg(a);
                let other = self.call(Function::Sigmoid, minus);
                self.mul(id, other)
            }
            Function::Softplus => self.call(Function::Sigmoid, a),
            Function::NormalCdf => {
                let square = self.pow(a, two);
                let half = self.div(square, two);
                let exponent = self.neg(half);
                let bell = self.call(Function::Exp, exponent);
                let pi = self.node(Node::Pi);
                let area = self.mul(two, pi);
                let root = self.call(Function::Sqrt, area);
                self.div(bell, root)
            }
        }
    }
}

/// A parsed formula.
#[derive(Clone, Debug)]
pub struct Formula {
    names: Vec<String>,
    nodes: Vec<Node>,
}

impl Formula {
    /// Parses `text`, in which `names` are the inputs, in the order in which their values are
    /// given later: `x` or `a`, `b`, then the parameters.
    ///
    /// # Errors
    /// If the text is not a formula, or has a name that is neither an input nor known.
    pub fn parse(text: &str, names: &[&str]) -> Result<Self, ParseError> {
        let mut p = Parser { text, at: 0, depth: 0, names, graph: Graph::default() };
        let root = p.sum()?;
        if p.peek().is_some() {
            return Err(p.expected("an operator or the end"));
        }
        let names = names.iter().map(|n| n.to_string()).collect();
        Ok(Formula { names, nodes: p.graph.nodes }.pruned(root))
    }

    /// The inputs' names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether the value depends on the input `name`.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        self.nodes.iter().any(|n| matches!(n, Node::Input(i) if self.names[*i] == name))
    }

    /// The partial derivative by the input `by`, a formula in the same inputs.
    ///
    /// `if` differentiates the branch it takes; `max` and `min` the argument they take, the
    /// second at a tie; `abs` has slope 0 at 0.
    ///
    /// # Panics
    /// If there is no input of that name.
    #[must_use]
    pub fn derivative(&self, by: &str) -> Formula {
        let Some(by) = self.names.iter().position(|n| n == by) else {
            panic!("no input {by:?} among {:?}", self.names);
        };
        let mut graph = Graph::default();
        for n in &self.nodes {
            graph.ids.insert(n.clone(), graph.nodes.len());
            graph.nodes.push(n.clone());
        }
        let root = graph.derivative(self.nodes.len() - 1, by);
        Formula { names: self.names.clone(), nodes: graph.nodes }.pruned(root)
    }

    /// This formula with every decimal replaced by the nearest f64, as in a program.
    ///
    /// Without it `0.1` is one tenth.
    #[must_use]
    pub fn with_f64_literals(&self) -> Formula {
        let double = |text: &str| Node::Double(f64::decimal(&(), text).to_bits());
        let nodes = self.nodes.iter().map(|n| match n {
            Node::Decimal(text) => double(text),
            other => other.clone(),
        });
        Formula { names: self.names.clone(), nodes: nodes.collect() }
    }

    /// The value at `inputs`.
    ///
    /// # Panics
    /// If there are not as many inputs as names.
    pub fn evaluate<N: Number>(&self, cx: &N::Context, inputs: &[N]) -> N {
        assert_eq!(inputs.len(), self.names.len(), "one value for each of {:?}", self.names);
        let mut memo = vec![None; self.nodes.len()];
        self.node(self.nodes.len() - 1, cx, inputs, &mut memo)
    }

    /// The value at `inputs` in f64 arithmetic, with one rounding or more for each step.
    #[must_use]
    pub fn evaluate_f64(&self, inputs: &[f64]) -> f64 {
        self.evaluate(&(), inputs)
    }

    /// The value of a node; branches of an `if` that are not taken are not evaluated.
    fn node<N: Number>(&self, id: Id, cx: &N::Context, inputs: &[N], memo: &mut [Option<N>]) -> N {
        if let Some(v) = &memo[id] {
            return v.clone();
        }
        let mut at = |id: Id| self.node(id, cx, inputs, memo);
        let v = match &self.nodes[id] {
            Node::Decimal(text) => N::decimal(cx, text),
            Node::Double(bits) => N::double(cx, f64::from_bits(*bits)),
            Node::Pi => N::pi(cx),
            Node::Input(i) => inputs[*i].clone(),
            Node::Neg(a) => at(*a).neg(),
            Node::Add(a, b) => at(*a).add(&at(*b)),
            Node::Sub(a, b) => at(*a).sub(&at(*b)),
            Node::Mul(a, b) => at(*a).mul(&at(*b)),
            Node::Div(a, b) => at(*a).div(&at(*b)),
            Node::Pow(a, b) => at(*a).pow(&at(*b)),
            Node::Max(a, b) => at(*a).max(&at(*b)),
            Node::Min(a, b) => at(*a).min(&at(*b)),
            Node::Call(f, a) => at(*a).call(*f),
            Node::If(c, a, b, then, otherwise) => {
                let (a, b) = (at(*a), at(*b));
                if a.is_nan() {
                    a
                } else if b.is_nan() {
                    b
                } else {
                    match a.holds(*c, &b) {
                        Some(true) => at(*then),
                        Some(false) => at(*otherwise),
                        None => at(*then).hull(&at(*otherwise)),
                    }
                }
            }
        };
        memo[id] = Some(v.clone());
        v
    }

    /// Only the nodes that `root` needs, `root` last.
    fn pruned(self, root: Id) -> Formula {
        let mut needed = vec![false; root + 1];
        needed[root] = true;
        for id in (0..=root).rev() {
            if needed[id] {
                self.nodes[id].children().into_iter().for_each(|c| needed[c] = true);
            }
        }
        let mut to = vec![0; root + 1];
        let mut nodes = Vec::new();
        for id in (0..=root).filter(|&id| needed[id]) {
            to[id] = nodes.len();
            nodes.push(self.nodes[id].moved(|c| to[c]));
        }
        Formula { names: self.names, nodes }
    }

    /// How strongly a node's text binds: 1 sum, 2 product, 3 sign, 4 power, 5 atom.
    fn strength(&self, id: Id) -> u32 {
        match &self.nodes[id] {
            Node::Add(..) | Node::Sub(..) => 1,
            Node::Mul(..) | Node::Div(..) => 2,
            Node::Neg(_) => 3,
            Node::Double(bits) if f64::from_bits(*bits).is_sign_negative() => 3,
            Node::Pow(..) => 4,
            _ => 5,
        }
    }

    /// Writes a node, in parentheses if it binds less strongly than `least`.
    fn write(&self, f: &mut fmt::Formatter<'_>, id: Id, least: u32) -> fmt::Result {
        let binary = |f: &mut fmt::Formatter<'_>, a, symbol, b, left, right| {
            self.write(f, a, left)?;
            f.write_str(symbol)?;
            self.write(f, b, right)
        };
        let two = |f: &mut fmt::Formatter<'_>, name, a, b| {
            write!(f, "{name}(")?;
            binary(f, a, ", ", b, 1, 1)?;
            f.write_str(")")
        };
        if self.strength(id) < least {
            f.write_str("(")?;
            self.write(f, id, 1)?;
            return f.write_str(")");
        }
        match &self.nodes[id] {
            Node::Decimal(text) => f.write_str(text),
            Node::Double(bits) => write!(f, "{}", f64::from_bits(*bits)),
            Node::Pi => f.write_str("pi"),
            Node::Input(i) => f.write_str(&self.names[*i]),
            Node::Neg(a) => {
                f.write_str("-")?;
                self.write(f, *a, 3)
            }
            Node::Add(a, b) => binary(f, *a, " + ", *b, 1, 2),
            Node::Sub(a, b) => binary(f, *a, " - ", *b, 1, 2),
            Node::Mul(a, b) => binary(f, *a, " * ", *b, 2, 3),
            Node::Div(a, b) => binary(f, *a, " / ", *b, 2, 3),
            Node::Pow(a, b) => binary(f, *a, "^", *b, 5, 3),
            Node::Max(a, b) => two(f, "max", *a, *b),
            Node::Min(a, b) => two(f, "min", *a, *b),
            Node::Call(function, a) => {
                write!(f, "{}(", function.name())?;
                self.write(f, *a, 1)?;
                f.write_str(")")
            }
            Node::If(c, a, b, then, otherwise) => {
                f.write_str("if(")?;
                self.write(f, *a, 1)?;
                write!(f, " {} ", c.symbol())?;
                self.write(f, *b, 1)?;
                f.write_str(", ")?;
                binary(f, *then, ", ", *otherwise, 1, 1)?;
                f.write_str(")")
            }
        }
    }
}

/// The formula as text that parses to it again (f64 literals as short decimals).
impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, self.nodes.len() - 1, 1)
    }
}

/// Parentheses, signs and exponents within one another, at most.
const MAX_DEPTH: u32 = 200;

struct Parser<'t> {
    text: &'t str,
    /// Byte position of what comes next.
    at: usize,
    depth: u32,
    names: &'t [&'t str],
    graph: Graph,
}

impl<'t> Parser<'t> {
    /// The next character that is not a space.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, symbol: &str) -> bool {
        self.peek();
        let found = self.text[self.at..].starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    fn error<T>(&self, position: usize, message: String) -> Result<T, ParseError> {
        Err(ParseError { position, message })
    }

    fn expected(&mut self, what: &str) -> ParseError {
        let message = match self.peek() {
            Some(c) => format!("expected {what}, found `{c}`"),
            None => format!("expected {what}, found the end"),
        };
        ParseError { position: self.at, message }
    }

    fn need(&mut self, symbol: &str) -> Result<(), ParseError> {
        if self.take(symbol) { Ok(()) } else { Err(self.expected(&format!("`{symbol}`"))) }
    }

    fn sum(&mut self) -> Result<Id, ParseError> {
        let mut a = self.product()?;
        loop {
            if self.take("+") {
                let b = self.product()?;
                a = self.graph.node(Node::Add(a, b));
            } else if self.take("-") {
                let b = self.product()?;
                a = self.graph.node(Node::Sub(a, b));
            } else {
                return Ok(a);
            }
        }
    }

    fn product(&mut self) -> Result<Id, ParseError> {
        let mut a = self.sign()?;
        loop {
            if self.take("*") {
                let b = self.sign()?;
                a = self.graph.node(Node::Mul(a, b));
            } else if self.take("/") {
                let b = self.sign()?;
                a = self.graph.quotient(a, b);
            } else {
                return Ok(a);
            }
        }
    }

    fn sign(&mut self) -> Result<Id, ParseError> {
        self.peek();
        if self.depth == MAX_DEPTH {
            return self.error(self.at, format!("more than {MAX_DEPTH} levels deep"));
        }
        self.depth += 1;
        let id = if self.take("-") {
            let a = self.sign()?;
            self.graph.neg(a)
        } else if self.take("+") {
            self.sign()?
        } else {
            self.power()?
        };
        self.depth -= 1;
        Ok(id)
    }

    fn power(&mut self) -> Result<Id, ParseError> {
        let base = self.atom()?;
        if self.take("^") {
            let exponent = self.sign()?;
            Ok(self.graph.node(Node::Pow(base, exponent)))
        } else {
            Ok(base)
        }
    }

    fn atom(&mut self) -> Result<Id, ParseError> {
        match self.peek() {
            Some('(') => {
                self.at += 1;
                let inner = self.sum()?;
                self.need(")")?;
                Ok(inner)
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.name(),
            _ => Err(self.expected("a number, a name or `(`")),
        }
    }

    fn number(&mut self) -> Result<Id, ParseError> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut end = digits(start);
        let mut count = end - start;
        if bytes.get(end) == Some(&b'.') {
            let fraction = digits(end + 1);
            count += fraction - end - 1;
            end = fraction;
        }
        if count == 0 {
            return self.error(start, "expected a digit beside `.`".into());
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
            let from = end + 1 + usize::from(sign);
            let exponent = digits(from);
            if exponent == from {
                return self.error(from, "expected the digits of an exponent".into());
            }
            end = exponent;
        }
        self.at = end;
        let text = &self.text[start..end];
        // Short integers are exact as f64; every other number is what it says.
        Ok(if text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit()) {
            self.graph.double(f64::decimal(&(), text))
        } else {
            self.graph.node(Node::Decimal(text.into()))
        })
    }

    fn name(&mut self) -> Result<Id, ParseError> {
        let start = self.at;
        let rest = &self.text[start..];
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = &rest[..len];
        self.at += len;
        // What stands before a parenthesis is a function, so `max` may name an input as well.
        if self.take("(") {
            return self.function(name, start);
        }
        if let Some(i) = self.names.iter().position(|n| *n == name) {
            return Ok(self.graph.node(Node::Input(i)));
        }
        if name == "pi" {
            return Ok(self.graph.node(Node::Pi));
        }
        self.error(start, format!("unknown name `{name}`; inputs: {}", self.names.join(", ")))
    }

    fn function(&mut self, name: &str, start: usize) -> Result<Id, ParseError> {
        let known = Function::ALL.iter().find(|(n, _)| *n == name).map(|(_, f)| *f);
        let id = match name {
            "if" => {
                let a = self.sum()?;
                let Some((_, c)) = Comparison::ALL.into_iter().find(|(s, _)| self.take(s)) else {
                    return Err(self.expected("a comparison"));
                };
                let b = self.sum()?;
                self.need(",")?;
                let then = self.sum()?;
                self.need(",")?;
                let otherwise = self.sum()?;
                self.graph.node(Node::If(c, a, b, then, otherwise))
            }
            "max" | "min" => {
                let a = self.sum()?;
                self.need(",")?;
                let b = self.sum()?;
                self.graph.node(if name == "max" { Node::Max(a, b) } else { Node::Min(a, b) })
            }
            "tanh_softplus" => {
                let z = self.sum()?;
                let inner = self.graph.call(Function::Softplus, z);
                self.graph.call(Function::Tanh, inner)
            }
            _ => match known {
                Some(f) => {
                    let z = self.sum()?;
                    self.graph.call(f, z)
                }
                None => return self.error(start, format!("unknown function `{name}`")),
            },
        };
        self.need(")")?;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, x: f64) -> f64 {
        Formula::parse(text, &["x"]).unwrap().evaluate_f64(&[x])
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-14 * a.abs().max(b.abs()), "{a:e} {b:e}");
    }

    #[test]
    fn precedence() {
        for (text, value) in [
            ("1 + 2 * 3", 7.0),
            ("(1 + 2) * 3", 9.0),
            ("7 - 2 - 1", 4.0),
            ("16 / 4 / 2", 2.0),
            ("2 * 6 / 3", 4.0),
            ("-3^2", -9.0),
            ("(-3)^2", 9.0),
            ("2^3^2", 512.0),
            ("2^-1", 0.5),
            ("2 - -1", 3.0),
            ("- - +4", 4.0),
            ("-2 * -3", 6.0),
            ("1.5e1 + .5 + 2.", 17.5),
            ("25E-1", 2.5),
            ("pi", core::f64::consts::PI),
        ] {
            assert_eq!(at(text, 0.0), value, "{text}");
        }
    }

    #[test]
    fn functions_are_the_ones_named() {
        close(at("exp(x)", 1.0), core::f64::consts::E);
        close(at("expm1(x)", 1e-10), 1.00000000005e-10);
        close(at("ln(x)", 10.0), core::f64::consts::LN_10);
        close(at("log1p(x)", 1e-10), 9.9999999995e-11);
        assert_eq!(at("sqrt(x)", 9.0), 3.0);
        assert_eq!(at("abs(x)", -9.0), 9.0);
        close(at("tanh(x)", 0.5), 0.462_117_157_260_009_76);
        close(at("sech(x)", -0.5), 0.886_818_883_970_073_9);
        close(at("erf(x)", 0.5), 0.520_499_877_813_046_5);
        close(at("erfc(x)", 0.5), 0.479_500_122_186_953_5);
        close(at("sigmoid(x)", -2.0), 0.119_202_922_022_117_56);
        close(at("softplus(x)", -2.0), 0.126_928_011_042_972_5);
        close(at("softplus(x)", 2.0), 2.126_928_011_042_972_5);
        close(at("normal_cdf(x)", -1.0), 0.158_655_253_931_457_05);
        close(at("tanh_softplus(x)", -1.0), 0.303_401_461_374_108_95);
        assert_eq!(at("max(x, 2)", 3.0), 3.0);
        assert_eq!(at("max(x, 2)", 1.0), 2.0);
        assert_eq!(at("min(x, 2)", 3.0), 2.0);
        assert_eq!(at("min(x, 2)", 1.0), 1.0);
    }

    #[test]
    fn conditions() {
        for (symbol, expected) in [
            ("<", [1.0, 0.0, 0.0]),
            ("<=", [1.0, 1.0, 0.0]),
            (">", [0.0, 0.0, 1.0]),
            (">=", [0.0, 1.0, 1.0]),
            ("==", [0.0, 1.0, 0.0]),
        ] {
            let text = format!("if(x {symbol} 2, 1, 0)");
            assert_eq!([1.0, 2.0, 3.0].map(|x| at(&text, x)), expected, "{text}");
        }
        // The branch that is not taken does no harm, and NaN comes through.
        assert_eq!(at("if(x > 0, x, ln(x))", 1.0), 1.0);
        assert!(at("if(x > 0, 1, 2)", f64::NAN).is_nan());
        assert!(at("if(0 > x, 1, 2)", f64::NAN).is_nan());
        assert!(at("max(x, 0)", f64::NAN).is_nan());
        assert!(at("min(0, x)", f64::NAN).is_nan());
    }

    #[test]
    fn inputs_go_by_name_and_order() {
        let f = Formula::parse("a / b + max(min, max)", &["b", "a", "min", "max"]).unwrap();
        assert_eq!(f.evaluate_f64(&[2.0, 6.0, -1.0, 4.0]), 7.0);
        assert_eq!(f.names(), ["b", "a", "min", "max"]);
        let f = Formula::parse("x + 0 * y", &["x", "y", "z"]).unwrap();
        assert!(f.mentions("x") && f.mentions("y") && !f.mentions("z"));
    }

    #[test]
    #[should_panic(expected = "one value for each")]
    fn too_few_inputs() {
        let _ = Formula::parse("x", &["x", "alpha"]).unwrap().evaluate_f64(&[1.0]);
    }

    #[test]
    #[should_panic(expected = "no input \"y\"")]
    fn derivative_by_a_stranger() {
        let _ = Formula::parse("x", &["x"]).unwrap().derivative("y");
    }

    #[test]
    fn errors_say_where() {
        for (text, position, part) in [
            ("", 0, "found the end"),
            ("x + ", 4, "found the end"),
            ("x + * 2", 4, "found `*`"),
            ("(x + 1", 6, "expected `)`, found the end"),
            ("x)", 1, "expected an operator or the end, found `)`"),
            ("2 x", 2, "found `x`"),
            ("alpha * x", 0, "unknown name `alpha`; inputs: x"),
            ("x * sine(x)", 4, "unknown function `sine`"),
            ("max(x)", 5, "expected `,`, found `)`"),
            ("exp(x, 1)", 5, "expected `)`, found `,`"),
            ("if(x, 1, 2)", 4, "expected a comparison, found `,`"),
            ("if(x = 1, 1, 2)", 5, "expected a comparison"),
            ("if(x > 1, 2)", 11, "expected `,`"),
            ("1e+", 3, "digits of an exponent"),
            ("1 + .", 4, "expected a digit"),
            ("x × 2", 2, "found `×`"),
            ("1 + é", 4, "found `é`"),
        ] {
            let e = Formula::parse(text, &["x"]).unwrap_err();
            assert_eq!(e.position, position, "{text}: {e}");
            assert!(e.message.contains(part), "{text}: {e}");
            assert!(e.to_string().starts_with(&format!("at byte {position}: ")));
        }
        let deep = "(".repeat(100_000);
        assert!(Formula::parse(&deep, &[]).unwrap_err().message.contains("levels deep"));
        let fine = format!("{}x{}", "(".repeat(150), ")".repeat(150));
        assert!(Formula::parse(&fine, &["x"]).is_ok());
        // Length is not depth.
        assert_eq!(at(&format!("-1{}", " + x".repeat(500)), 2.0), 999.0);
    }

    #[test]
    fn written_out_sigmoid_and_softplus() {
        for x in [-1e308, -800.0, -1.5, 0.0, 2.0, 800.0, 1e308] {
            assert_eq!(at("1 / (1 + exp(-x))", x), at("sigmoid(x)", x));
            assert_eq!(at("1 / (exp(x) + 1)", x), at("sigmoid(-x)", x));
            assert_eq!(at("x / (1 + exp(-x))", x), at("x * sigmoid(x)", x));
            assert_eq!(at("ln(1 + exp(x))", x), at("softplus(x)", x));
            assert_eq!(at("ln(exp(x) + 1)", x), at("softplus(x)", x));
        }
        // Nothing else is taken for them, and the identities are identities.
        for x in [-3.0, 0.25, 3.0] {
            close(at("1 / (2 + exp(x))", x), 1.0 / (2.0 + x.exp()));
            close(at("ln(2 + exp(x))", x), (2.0 + x.exp()).ln());
            close(at("ln(1 + exp(x))", x), at("ln(1 + exp(x) + 0)", x));
            close(at("x / (1 + exp(x))", x), at("x / (1 + exp(x) + 0)", x));
            close(at("sqrt(1 + exp(x))", x), (1.0 + x.exp()).sqrt());
        }
    }

    /// Formulas with every node in every position.
    const TEXTS: [&str; 30] = [
        "x",
        "3",
        "x * normal_cdf(x)",
        "0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))",
        "if(x > 0, x, a * (exp(x) - 1))",
        "if(x * x <= 2, x^2 / 2, abs(x) - a)",
        "x / (1 + abs(x))",
        "min(max(x, -1), 6) + max(0.25 * x, x)",
        "x * tanh(ln(1 + exp(x)))",
        "1 / (1 + exp(-(a * x)))",
        "-ln(1 + exp(-x))",
        "(x + sqrt(x^2 + 4 * a)) / 2",
        "x - (a - x) - (x + a)",
        "x / (a / (x * a))",
        "(x * a) / x * (a / 3)",
        "-x^2",
        "(-x)^2 + (x + 1)^2",
        "2^(-x)",
        "2^-x^2",
        "(x^2)^1.5",
        "(2 + x^2)^x",
        "(2 + x^2)^(a * x)",
        "erf(x) + erfc(x / 3) * sech(x)",
        "log1p(x^2) - expm1(-x) * softplus(a * x)",
        "if(x == a, x - (-1), if(x >= 1, 2 * x, if(x < -1, exp(x), x^3)))",
        "1 - (2 - x)",
        "-(x + 1) * -2",
        "x^-2 + (x - 1)^-3",
        "tanh_softplus(x) * sigmoid(x)",
        "ln(2 + sigmoid(x)) * exp(-x^2)",
    ];

    #[test]
    fn text_comes_back_as_the_same_formula() {
        let names = ["x", "a"];
        for text in TEXTS {
            let f = Formula::parse(text, &names).unwrap();
            for f in
                [f.clone(), f.derivative("x"), f.derivative("x").derivative("x"), f.derivative("a")]
            {
                let again = Formula::parse(&f.to_string(), &names).unwrap();
                assert_eq!(f.to_string(), again.to_string(), "{text}");
                for (x, a) in [(0.3, 0.7), (-1.7, 0.5), (2.5, 2.5)] {
                    let (v, w) = (f.evaluate_f64(&[x, a]), again.evaluate_f64(&[x, a]));
                    assert_eq!(v.to_bits(), w.to_bits(), "{text}: {f}");
                }
            }
        }
        let f = Formula::parse("-(x+1)*((2))^(x-1)-(x-(1-x))", &["x"]).unwrap();
        assert_eq!(f.to_string(), "-(x + 1) * 2^(x - 1) - (x - (1 - x))");
        let f = Formula::parse("if(x<=1,max(x,-1),x/(2*x))", &["x"]).unwrap();
        assert_eq!(f.to_string(), "if(x <= 1, max(x, -1), x / (2 * x))");
    }

    #[test]
    fn derivatives_are_the_textbooks() {
        for (text, derivative) in [
            ("3", "0"),
            ("x", "1"),
            ("x^2", "2 * x"),
            ("x^3", "3 * x^2"),
            ("a * x", "a"),
            ("exp(x)", "exp(x)"),
            ("exp(2 * x)", "exp(2 * x) * 2"),
            ("tanh(x)", "sech(x)^2"),
            ("softplus(x)", "sigmoid(x)"),
            ("ln(x)", "1 / x"),
            ("sigmoid(x)", "sigmoid(x) * sigmoid(-x)"),
            ("max(x, 0)", "if(x > 0, 1, 0)"),
            ("min(x, 6)", "if(x < 6, 1, 0)"),
            ("abs(x)", "if(x > 0, 1, if(x < 0, -1, 0))"),
            ("if(x >= 1, x, x)", "1"),
        ] {
            let f = Formula::parse(text, &["x", "a"]).unwrap();
            assert_eq!(f.derivative("x").to_string(), derivative, "{text}");
        }
        let f = Formula::parse("max(x, 0)", &["x"]).unwrap().derivative("x");
        assert_eq!([-1.0, 0.0, 1.0].map(|x| f.evaluate_f64(&[x])), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn derivatives_are_slopes() {
        for text in TEXTS {
            let f = Formula::parse(text, &["x", "a"]).unwrap();
            for (f, name) in [(f.clone(), "f"), (f.derivative("x"), "f'")] {
                let (fx, fa) = (f.derivative("x"), f.derivative("a"));
                for (x, a) in [(0.3, 0.7), (-1.7, 0.5), (2.5, 0.9), (-0.6, 1.3)] {
                    let h = 1e-4;
                    let at = |x: f64, a: f64| f.evaluate_f64(&[x, a]);
                    // Five points: error h^4.
                    let slope = |g: &dyn Fn(f64) -> f64| {
                        (8.0 * (g(h) - g(-h)) - (g(2.0 * h) - g(-2.0 * h))) / (12.0 * h)
                    };
                    for (exact, numeric) in [
                        (fx.evaluate_f64(&[x, a]), slope(&|t| at(x + t, a))),
                        (fa.evaluate_f64(&[x, a]), slope(&|t| at(x, a + t))),
                    ] {
                        let size = 1.0 + exact.abs() + at(x, a).abs();
                        assert!(
                            (exact - numeric).abs() < 1e-9 * size,
                            "{name} of {text} at {x}, {a}: {exact} {numeric}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn doubles_replace_decimals_on_request() {
        let f = Formula::parse("0.1 * x", &["x"]).unwrap();
        assert!(f.nodes.contains(&Node::Decimal("0.1".into())));
        let g = f.with_f64_literals();
        assert!(g.nodes.contains(&Node::Double(0.1f64.to_bits())));
        assert_eq!(g.evaluate_f64(&[3.0]), f.evaluate_f64(&[3.0]));
    }
}
