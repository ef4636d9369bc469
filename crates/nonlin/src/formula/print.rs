//! A graph as text that parses to the graph again.

use super::graph::{Graph, Id, Node, Test};
use super::number::Number;
use core::fmt;

/// A node with the names of operands and parameters.
pub(crate) struct Shown<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) root: Id,
    pub(crate) inputs: &'g [&'g str],
    pub(crate) params: &'g [&'g str],
}

/// How strongly text binds.
const SUM: u8 = 1;
const PRODUCT: u8 = 2;
const SIGN: u8 = 3;
const POWER: u8 = 4;
const ATOM: u8 = 5;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, self.root, SUM)
    }
}

fn strength_of(v: Number) -> u8 {
    match (v.is_negative(), v.is_product()) {
        (true, _) => SIGN.min(if v.is_product() { PRODUCT } else { SIGN }),
        (false, true) => PRODUCT,
        (false, false) => ATOM,
    }
}

impl Shown<'_> {
    fn strength(&self, id: Id) -> u8 {
        match self.graph.node(id) {
            Node::Number(v) => strength_of(*v),
            Node::Sum(..) => SUM,
            Node::Product(c, factors) => match factors[..] {
                [(_, n)] if c.is(1.0) && n > 1 => POWER,
                _ => PRODUCT,
            },
            Node::Power(..) => POWER,
            _ => ATOM,
        }
    }

    /// Writes a node, in parentheses if it binds less strongly than `least`.
    fn write(&self, f: &mut fmt::Formatter<'_>, id: Id, least: u8) -> fmt::Result {
        if self.strength(id) < least {
            f.write_str("(")?;
            self.write(f, id, SUM)?;
            return f.write_str(")");
        }
        match self.graph.node(id) {
            Node::Number(v) => write!(f, "{v}"),
            Node::Input(i) => f.write_str(self.inputs[*i]),
            Node::Param(i) => f.write_str(self.params[*i]),
            Node::Sum(k, terms) => self.sum(f, *k, terms),
            Node::Product(c, factors) => {
                if c.is_negative() {
                    f.write_str("-")?;
                }
                self.product(f, c.magnitude(), factors)
            }
            Node::Power(a, b) => {
                self.write(f, *a, ATOM)?;
                f.write_str("^")?;
                self.write(f, *b, ATOM)
            }
            Node::Call(call, a) => {
                write!(f, "{}(", call.name())?;
                self.write(f, *a, SUM)?;
                f.write_str(")")
            }
            Node::Max(a, b) => self.call(f, "max", &[*a, *b]),
            Node::Min(a, b) => self.call(f, "min", &[*a, *b]),
            Node::Where(test, a, b, then, otherwise) => {
                f.write_str("where(")?;
                self.write(f, *a, SUM)?;
                f.write_str(if *test == Test::Greater { " > " } else { " >= " })?;
                self.write(f, *b, SUM)?;
                f.write_str(", ")?;
                self.write(f, *then, SUM)?;
                f.write_str(", ")?;
                self.write(f, *otherwise, SUM)?;
                f.write_str(")")
            }
        }
    }

    fn call(&self, f: &mut fmt::Formatter<'_>, name: &str, all: &[Id]) -> fmt::Result {
        write!(f, "{name}(")?;
        for (i, &id) in all.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            self.write(f, id, SUM)?;
        }
        f.write_str(")")
    }

    /// Terms in their order; a positive constant comes before a negative first one.
    fn sum(&self, f: &mut fmt::Formatter<'_>, k: Number, terms: &[(Number, Id)]) -> fmt::Result {
        let ahead = k.is_positive() && terms[0].0.is_negative();
        if ahead {
            write!(f, "{k}")?;
        }
        for (i, &(c, id)) in terms.iter().enumerate() {
            let negative = c.is_negative();
            match (i > 0 || ahead, negative) {
                (true, true) => f.write_str(" - ")?,
                (true, false) => f.write_str(" + ")?,
                (false, true) => f.write_str("-")?,
                (false, false) => {}
            }
            match self.graph.node(id) {
                Node::Product(_, factors) => self.product(f, c.magnitude(), factors)?,
                _ => self.product(f, c.magnitude(), &[(id, 1)])?,
            }
        }
        if !ahead && !k.is(0.0) {
            f.write_str(if k.is_negative() { " - " } else { " + " })?;
            write!(f, "{}", k.magnitude())?;
        }
        Ok(())
    }

    /// A constant that is not negative and factors; those of the numerator come first.
    fn product(&self, f: &mut fmt::Formatter<'_>, c: Number, factors: &[(Id, i32)]) -> fmt::Result {
        let mut any = !c.is(1.0) || factors.iter().all(|(_, n)| *n < 0);
        if any {
            write!(f, "{c}")?;
        }
        for above in [true, false] {
            for &(id, n) in factors.iter().filter(|(_, n)| (*n > 0) == above) {
                match (any, above) {
                    (true, true) => f.write_str(" * ")?,
                    (_, false) => f.write_str(" / ")?,
                    (false, true) => {}
                }
                any = true;
                let alone = factors.len() == 1 && c.is(1.0) && n == 1;
                match n.abs() {
                    1 => self.write(f, id, if alone { PRODUCT } else { SIGN })?,
                    m => {
                        self.write(f, id, ATOM)?;
                        write!(f, "^{m}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
