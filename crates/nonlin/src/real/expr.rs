//! Expression graphs: a definition evaluated at a symbol prints its own formula.

use super::{Jet, Prim, Real};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::cell::RefCell;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// Where the nodes of expressions live; expressions themselves are copyable handles.
#[derive(Default)]
pub struct Arena {
    nodes: RefCell<Vec<Node>>,
}

#[derive(Clone, PartialEq)]
enum Node {
    Symbol(String),
    /// By its bits: 0 and -0 are two numbers, a NaN is equal to itself.
    Number(u64),
    Binary(char, usize, usize),
    Neg(usize),
    Call(String, Vec<usize>),
    /// Condition as text, then both branches.
    If(String, usize, usize),
}

/// An expression in an [`Arena`].
#[derive(Clone, Copy)]
pub struct Expr<'a> {
    arena: &'a Arena,
    node: usize,
}

impl Arena {
    /// The variable or parameter `name`.
    pub fn symbol(&self, name: &str) -> Expr<'_> {
        self.push(Node::Symbol(name.to_string()))
    }

    fn push(&self, node: Node) -> Expr<'_> {
        let mut nodes = self.nodes.borrow_mut();
        let at = nodes.iter().position(|n| *n == node).unwrap_or_else(|| {
            nodes.push(node);
            nodes.len() - 1
        });
        Expr { arena: self, node: at }
    }
}

impl Expr<'_> {
    fn get(self) -> Node {
        self.arena.nodes.borrow()[self.node].clone()
    }

    fn literal(self) -> Option<f64> {
        match self.get() {
            Node::Number(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    fn binary(self, op: char, o: Self) -> Self {
        match (op, self.literal(), o.literal()) {
            ('+', Some(0.0), _) | ('*', Some(1.0), _) | ('*', _, Some(0.0)) => o,
            ('+' | '-', _, Some(0.0)) | ('*' | '/', _, Some(1.0)) | ('*', Some(0.0), _) => self,
            _ => self.arena.push(Node::Binary(op, self.node, o.node)),
        }
    }

    fn call(self, name: &str, args: &[Self]) -> Self {
        self.arena.push(Node::Call(name.to_string(), args.iter().map(|a| a.node).collect()))
    }

    fn branch(self, relation: &str, c: f64, hi: Self, lo: Self) -> Self {
        if hi.node == lo.node {
            return hi;
        }
        let condition = format!("{} {relation} {c}", self.print(1));
        self.arena.push(Node::If(condition, hi.node, lo.node))
    }

    /// The text, in parentheses if it binds less than `outer` (1: sums, 2: products, 3: signs).
    fn print(self, outer: u8) -> String {
        let at = |node| Expr { arena: self.arena, node };
        let (text, level) = match self.get() {
            Node::Symbol(name) => (name, 4),
            Node::Number(bits) => {
                let v = f64::from_bits(bits);
                (format!("{v}"), if v.is_sign_negative() { 1 } else { 4 })
            }
            Node::Neg(a) => (format!("-{}", at(a).print(3)), 1),
            Node::Binary(op, a, b) => {
                let level = if matches!(op, '+' | '-') { 1 } else { 2 };
                (format!("{} {op} {}", at(a).print(level), at(b).print(level + 1)), level)
            }
            Node::If(condition, a, b) => {
                (format!("if({condition}, {}, {})", at(a).print(0), at(b).print(0)), 4)
            }
            Node::Call(name, args) => {
                let args: Vec<String> = args.iter().map(|&a| at(a).print(0)).collect();
                (format!("{name}({})", args.join(", ")), 4)
            }
        };
        if level < outer { format!("({text})") } else { text }
    }
}

impl core::fmt::Display for Expr<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.print(0))
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $op:literal) => {
        impl $trait for Expr<'_> {
            type Output = Self;
            fn $method(self, o: Self) -> Self {
                self.binary($op, o)
            }
        }
    };
}
operator!(Add, add, '+');
operator!(Sub, sub, '-');
operator!(Mul, mul, '*');
operator!(Div, div, '/');

impl Neg for Expr<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        match self.get() {
            Node::Number(bits) => self.lit(-f64::from_bits(bits)),
            Node::Neg(a) => Expr { arena: self.arena, node: a },
            _ => self.arena.push(Node::Neg(self.node)),
        }
    }
}

impl Real for Expr<'_> {
    fn lit(self, c: f64) -> Self {
        self.arena.push(Node::Number(c.to_bits()))
    }
    fn constant(self, c: (f64, f64)) -> Self {
        self.lit(c.0)
    }
    fn abs(self) -> Self {
        self.call("abs", &[self])
    }
    fn max(self, c: Self) -> Self {
        self.call("max", &[self, c])
    }
    fn min(self, c: Self) -> Self {
        self.call("min", &[self, c])
    }
    fn floor(self) -> Self {
        self.call("floor", &[self])
    }
    fn round(self) -> Self {
        self.call("round", &[self])
    }
    fn sign(self) -> Self {
        self.call("sign", &[self])
    }
    fn step(self) -> Self {
        self.call("step", &[self])
    }
    fn powi(self, n: i32) -> Self {
        self.call("pow", &[self, self.lit(f64::from(n))])
    }
    fn powf(self, y: Self) -> Self {
        self.call("pow", &[self, y])
    }
    fn pick_greater(self, o: Self, hi: Self, lo: Self) -> Self {
        if hi.node == lo.node {
            return hi;
        }
        let condition = format!("{} > {}", self.print(1), o.print(1));
        self.arena.push(Node::If(condition, hi.node, lo.node))
    }
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        self.branch(">", c, hi, lo)
    }
    fn pick_at_least(self, c: f64, hi: Self, lo: Self) -> Self {
        self.branch(">=", c, hi, lo)
    }
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        let x = self + lo;
        let at = |primes: &str| x.call(&format!("{}{primes}", p.name()), &[x]);
        Jet::new(at(""), at("'"), at("''"))
    }
    // What guards infinities is not part of the formula.
    fn finite(self) -> Self {
        self
    }
    fn saturated(self, _end: f64) -> Self {
        self
    }
    fn gated(self, gate: Jet<Self>) -> Self {
        self * gate.v
    }
    fn slope_sum(self, gate: Jet<Self>) -> Self {
        gate.v + self * gate.d
    }
    fn times_slope(self, slope: Self) -> Self {
        self * slope
    }
}
