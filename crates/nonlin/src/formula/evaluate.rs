//! A graph at any number type: which method of [`Real`] each node is.
//!
//! Beyond one method a node there are five things that keep digits and limits:
//!
//! * arguments of exponentials are sums of two numbers, since their roundings grow in the result;
//! * a product with a factor that vanishes (`exp`, a sigmoid) keeps that factor's power of two apart,
//!   and is 0 where the factor is 0 and the rest infinite;
//! * quotients and roots of powers are computed at an input that is cut off where their powers would
//!   overflow, times the power that was cut off;
//! * dual numbers get the derivative of such a quotient from `derivative.rs`;
//! * the branches of `where(x > c, ...)` see only the numbers that they are for, which bounds need.

use super::graph::{Call, Graph, Id, Node, Test};
use super::number::Number;
use crate::real::{Prim, Real};
use alloc::{vec, vec::Vec};

/// Where powers are cut off: 2^133.
const FAR: f64 = 10_889_035_741_470_030_830_827_987_437_816_582_766_592.0;
/// The largest exponent of e beside another factor: beyond, the product is infinite.
const MOST_EXPONENT: f64 = 1400.0;
/// Up to which argument its rounding is made good.
const NEAR: f64 = 1e6;
/// The largest power of an input that is cut off there: `FAR^7` is a number.
const MOST_DEGREE: f64 = 7.0;
/// The highest power in Horner's rule.
const MOST_HORNER: i32 = 16;
/// Different cuts of the inputs, at most.
const MOST_PLACES: usize = 64;

/// The value of `root` at the operands `x` and the parameters `p`.
pub(crate) fn evaluate<T: Real>(g: &Graph, root: Id, x: &[T], p: &[T], plain: bool) -> T {
    let mut e = Evaluation { g, p, places: vec![Place::new(g, x, None)], plain, one: x[0] };
    let y = e.at(0, root);
    // A constant, or a branch without an operand that parameters have chosen: NaN for NaN.
    let chosen =
        |n: &Node| matches!(n, Node::Where(_, a, b, ..) if !g.depends(*a) && !g.depends(*b));
    let bare = !g.depends(root) || g.reaches(root, chosen);
    if bare { x[0].pick_above(0.0, y, y) } else { y }
}

/// The inputs, cut in some way, and what has been computed of them.
struct Place<T> {
    x: Vec<T>,
    known: Vec<Option<T>>,
    /// What kind of cut it is, of which other place: the place is found again by that.
    cut: Option<(usize, Cut)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Cut {
    /// Of an input: the numbers above this one.
    Above(usize, u64),
    /// Of an input: the others.
    Below(usize, u64),
    /// All inputs between `-FAR` and `FAR`.
    Far,
}

impl<T: Real> Place<T> {
    fn new(g: &Graph, x: &[T], cut: Option<(usize, Cut)>) -> Self {
        Place { x: x.to_vec(), known: vec![None; g.len()], cut }
    }
}

struct Evaluation<'g, T> {
    g: &'g Graph,
    p: &'g [T],
    places: Vec<Place<T>>,
    /// Whether every node is its operation and no more, as a program of the text would be.
    plain: bool,
    /// Any number, for literals.
    one: T,
}

impl<T: Real> Evaluation<'_, T> {
    fn number(&self, v: Number) -> T {
        match v.parts() {
            (v, 0.0) => self.one.lit(v),
            _ if self.plain => self.one.lit(v.nearest()),
            parts => self.one.constant(parts),
        }
    }

    fn at(&mut self, place: usize, id: Id) -> T {
        if let Some(v) = self.places[place].known[id] {
            return v;
        }
        let v = self.node(place, id);
        self.places[place].known[id] = Some(v);
        v
    }

    fn node(&mut self, place: usize, id: Id) -> T {
        let v = self.undifferentiated(place, id);
        if !T::DIFFERENTIATES || self.plain {
            return v;
        }
        let Some(slopes) = self.g.slopes.get(&id) else { return v };
        // The derivative of a root has the root in it.
        self.places[place].known[id] = Some(v);
        let terms: Vec<(T, T)> = slopes
            .iter()
            .map(|&(leaf, slope)| (self.at(place, leaf), self.at(place, slope)))
            .collect();
        v.with_slopes(&terms)
    }

    fn undifferentiated(&mut self, place: usize, id: Id) -> T {
        let g = self.g;
        if !self.plain
            && let Some(v) = self.tamed(place, id)
        {
            return v;
        }
        match g.node(id) {
            Node::Number(v) => self.number(*v),
            Node::Input(i) => self.places[place].x[*i],
            Node::Param(i) => self.p[*i],
            Node::Sum(k, terms) => self.sum(place, *k, terms),
            Node::Product(c, factors) => self.product(place, *c, factors),
            Node::Power(a, b) => {
                let (a, b) = (self.at(place, *a), self.at(place, *b));
                a.powf(b)
            }
            Node::Call(f, z) => self.call(place, *f, *z),
            Node::Max(a, b) | Node::Min(a, b) => {
                let larger = matches!(g.node(id), Node::Max(..));
                let (both, a, b) = (g.depends(*b), self.at(place, *a), self.at(place, *b));
                match (both, larger) {
                    (true, true) => a.pick_greater(b, a, b),
                    (true, false) => a.pick_greater(b, b, a),
                    (false, true) => a.max(b),
                    (false, false) => a.min(b),
                }
            }
            Node::Where(test, a, b, then, otherwise) => {
                self.choose(place, *test, *a, *b, *then, *otherwise)
            }
        }
    }

    /// `c * v`; by a quotient where the constant is 1/n, which has no digits of its own to round.
    fn scaled(&self, v: T, c: Number) -> T {
        let inverse = Number::ONE.over(c);
        match inverse.integer() {
            Some(1) => v,
            Some(n) if !is_power_of_two(f64::from(n)) => v / self.number(inverse),
            _ => v * self.number(c),
        }
    }

    /// A polynomial in one node by Horner's rule, which has one sign far out.
    fn polynomial(&mut self, place: usize, k: Number, terms: &[(Number, Id)]) -> Option<T> {
        let (base, parts) = powers(self.g, k, terms)?;
        let u = self.at(place, base);
        let mut total: Option<(i32, T)> = None;
        for (n, c, fixed) in parts {
            let c = self.plain_product(place, c, &fixed);
            total = Some(match total {
                None => (n, c),
                Some((m, sum)) => (n, Self::power(u, m - n).mul_add(sum, c)),
            });
        }
        let (n, sum) = total?;
        let sum = if n > 0 { sum * Self::power(u, n) } else { sum };
        Some(if k.is(0.0) { sum } else { sum + self.number(k) })
    }

    fn sum(&mut self, place: usize, k: Number, terms: &[(Number, Id)]) -> T {
        if !self.plain
            && let Some(v) = self.polynomial(place, k, terms)
        {
            return v;
        }
        let mut total: Option<T> = None;
        for &(c, id) in terms {
            let t = self.at(place, id);
            let (size, minus) = (c.magnitude(), c.is_negative());
            let t = self.scaled(t, size);
            total = Some(match (total, minus) {
                (None, false) => t,
                (None, true) => -t,
                (Some(sum), false) => sum + t,
                (Some(sum), true) => sum - t,
            });
        }
        let total = total.unwrap_or_else(|| self.one.lit(0.0));
        if k.is(0.0) {
            total
        } else if k.is_negative() {
            total - self.number(k.magnitude())
        } else {
            total + self.number(k)
        }
    }

    /// `x^n` for `n > 0`, small powers by products.
    fn power(x: T, n: i32) -> T {
        match n {
            1 => x,
            // Of the magnitude, so that bounds of a square are not negative.
            2 => x.abs() * x.abs(),
            3 => x * (x * x),
            4 => Self::power(x * x, 2),
            _ => x.powi(n),
        }
    }

    /// Products of what is above and below the line.
    fn plain_product(&mut self, place: usize, c: Number, factors: &[(Id, i32)]) -> T {
        let (mut above, mut below): (Option<T>, Option<T>) = (None, None);
        for &(id, n) in factors {
            let v = self.at(place, id);
            let v = Self::power(v, n.abs());
            let side = if n > 0 { &mut above } else { &mut below };
            *side = Some(side.map_or(v, |all| all * v));
        }
        let scale = c.magnitude();
        let above = match above {
            Some(v) => self.scaled(v, scale),
            None => self.number(scale),
        };
        let v = below.map_or(above, |below| above / below);
        if c.is_negative() { -v } else { v }
    }

    fn product(&mut self, place: usize, c: Number, factors: &[(Id, i32)]) -> T {
        let g = self.g;
        let gate = |&(id, n): &(Id, i32)| match *g.node(id) {
            Node::Call(f, z) if n == 1 => gate(f).map(|p| (id, p, z)),
            _ => None,
        };
        let gates: Vec<_> = factors.iter().filter_map(gate).collect();
        if self.plain {
            return self.plain_product(place, c, factors);
        }
        let Some(&(id, p, z)) = gates.first() else {
            return self.clipped_product(place, c, factors);
        };
        let others: Vec<_> = factors.iter().copied().filter(|f| f.0 != id).collect();
        if others.is_empty() {
            return self.plain_product(place, c, factors);
        }
        let (mut z_value, rest) = self.argument(place, z);
        if p == Prim::Exp {
            z_value = z_value.pick_above(0.0, z_value.saturated(MOST_EXPONENT), z_value);
        }
        let jet = z_value.jet_at(rest, p);
        // x * gate(c x) for a positive c: the gate vanishes at -inf alone.
        if c == Number::ONE
            && p != Prim::Exp
            && let [(x, 1)] = others[..]
            && let Node::Input(_) = g.node(x)
            && rises_with(g, z, x)
        {
            return self.at(place, x).gated(jet);
        }
        let rest = self.plain_product(place, c, &others);
        let rest = jet.value().pick_above(0.0, rest, rest.finite());
        if p != Prim::Exp {
            return rest.scaled(jet.v, jet.v_lo, jet.k);
        }
        // `scaled` takes negative powers of two.
        let (down, up) = (jet.k.min(rest.lit(0.0)), jet.k.max(rest.lit(0.0)));
        rest.scaled(jet.v, jet.v_lo, down).scale2(up)
    }

    /// A product with a factor that is cut off at 0, perhaps: 0 there, be the rest infinite.
    fn clipped_product(&mut self, place: usize, c: Number, factors: &[(Id, i32)]) -> T {
        let g = self.g;
        let clip = factors.iter().position(|&(id, n)| {
            n > 0
                && matches!(g.node(id), Node::Max(_, b) | Node::Min(_, b) if g.known(*b).is_some())
        });
        let grows = |&(id, n): &(Id, i32)| n > 0 && g.depends(id);
        let Some(clip) = clip.filter(|_| factors.iter().filter(|f| grows(f)).count() > 1) else {
            return self.plain_product(place, c, factors);
        };
        let mut others = factors.to_vec();
        let (id, n) = others.remove(clip);
        let clipped = self.at(place, id);
        let rest = self.plain_product(place, c, &others);
        let rest = rest.finite_beside(0.0, clipped);
        rest * Self::power(clipped, n)
    }

    fn call(&mut self, place: usize, f: Call, z: Id) -> T {
        if let Some(p) = sensitive(f).filter(|_| !self.plain) {
            let (z, rest) = self.argument(place, z);
            return z.jet_at(rest, p).value();
        }
        let value = |(z, rest): (T, T), p| z.jet_at(rest, p).value();
        match f {
            // Both terms have one sign.
            Call::Sinh | Call::Cosh if !self.plain => {
                let (z, rest) = self.argument(place, z);
                let half = z.lit(0.5);
                return if f == Call::Sinh {
                    half * (value((z, rest), Prim::ExpM1) - value((-z, -rest), Prim::ExpM1))
                } else {
                    half * (value((z, rest), Prim::Exp) + value((-z, -rest), Prim::Exp))
                };
            }
            // As `Real::log1mexp`, of an argument in two parts.
            Call::Log1mExp if !self.plain => {
                let (z, rest) = self.argument(place, z);
                let s = z.split(-core::f64::consts::LN_2);
                let near = s.hi.jet_at(rest, Prim::ExpM1);
                let far = s.lo.jet_at(rest, Prim::Exp);
                let (w, w_lo) = (far.v.scale2(far.k), far.v_lo.scale2(far.k));
                return s
                    .join(value((-near.v, -near.v_lo), Prim::Ln), value((-w, -w_lo), Prim::Ln1p));
            }
            _ => {}
        }
        let x = self.at(place, z);
        let (half, two) = (x.lit(0.5), x.lit(2.0));
        match f {
            Call::Exp => x.exp(),
            Call::ExpM1 => x.exp_m1(),
            Call::Ln => x.ln(),
            Call::Ln1p => x.ln_1p(),
            Call::Log1mExp => x.log1mexp(),
            Call::Sqrt => x.sqrt(),
            Call::Abs => x.abs(),
            Call::Tanh => x.tanh(),
            Call::Sigmoid => x.sigmoid(),
            Call::Softplus => x.softplus(),
            Call::Cdf => x.jet(Prim::Cdf).value(),
            Call::TanhSoftplus => x.jet(Prim::TanhSoftplus).value(),
            Call::Erf => x.erf(),
            Call::Sin => x.sin(),
            Call::Cos => x.cos(),
            Call::Atan => x.atan(),
            Call::Sinh => half * (x.exp_m1() - (-x).exp_m1()),
            Call::Cosh => half * (x.exp() + (-x).exp()),
            // Near 0 by ln(1 + 2 sinh(x/2)^2), else by |x| - ln 2 + ln(1 + e^-2|x|).
            Call::LogCosh => {
                let size = x.abs();
                let far = size - self.number(Number::LN_2) + (-(two * size)).exp().ln_1p();
                // Beyond the point where they meet, since a bound is flat.
                let near = half * x.max(x.lit(-2.0)).min(two);
                let sinh = half * (near.exp_m1() - (-near).exp_m1());
                size.pick_above(1.0, far, (two * sinh * sinh).ln_1p())
            }
            Call::Floor => x.floor(),
            Call::Round => x.round(),
            Call::Sign => x.sign(),
        }
    }

    fn choose(&mut self, place: usize, test: Test, a: Id, b: Id, then: Id, otherwise: Id) -> T {
        let g = self.g;
        let (mut upper, mut lower) = (place, place);
        // The parts of an interval leave the point itself to the lower branch.
        if let (Node::Input(i), Some(c)) = (g.node(a), g.known(b))
            && test == Test::Greater
            && !self.plain
            && !shares(g, then, otherwise)
            && self.places.len() + 2 < MOST_PLACES
        {
            let c = c.nearest();
            let x = self.places[place].x[*i];
            let mut hi = self.places[place].x.clone();
            let mut lo = hi.clone();
            (hi[*i], lo[*i]) = (x.part_above(c), x.part_below(c));
            upper = self.place(place, Cut::Above(*i, c.to_bits()), &hi);
            lower = self.place(place, Cut::Below(*i, c.to_bits()), &lo);
        }
        let (hi, lo) = (self.at(upper, then), self.at(lower, otherwise));
        let x = self.at(place, a);
        match (g.known(b), test) {
            (Some(c), Test::Greater) => x.pick_above(c.nearest(), hi, lo),
            (Some(c), Test::AtLeast) => x.pick_at_least(c.nearest(), hi, lo),
            (None, Test::Greater) => x.pick_greater(self.at(place, b), hi, lo),
            (None, Test::AtLeast) => self.at(place, b).pick_greater(x, lo, hi),
        }
    }

    /// The place of a cut, which is made if there is none.
    fn place(&mut self, of: usize, cut: Cut, x: &[T]) -> usize {
        let found = self.places.iter().position(|p| p.cut == Some((of, cut)));
        found.unwrap_or_else(|| {
            self.places.push(Place::new(self.g, x, Some((of, cut))));
            self.places.len() - 1
        })
    }

    /// A node as a sum of two numbers, of which the second may be anything small: the roundings of
    /// sums and products.
    fn argument(&mut self, place: usize, id: Id) -> (T, T) {
        let (v, rest) = self.twofold(place, id, 4);
        match rest {
            None => (v, v.lit(-0.0)),
            // Far out the rest is not small, and nothing but a wave would show it.
            Some(rest) => (v, v.abs().pick_above(NEAR, v.lit(0.0), rest)),
        }
    }

    fn twofold(&mut self, place: usize, id: Id, depth: u32) -> (T, Option<T>) {
        let g = self.g;
        let alone = |e: &mut Self| (e.at(place, id), None);
        if depth == 0 || !g.depends(id) && g.known(id).is_none() {
            return alone(self);
        }
        let add = |(a, a_rest): (T, Option<T>), (b, b_rest): (T, Option<T>)| {
            let (sum, rest) = a.two_sum(b);
            let rest = a_rest.map_or(rest, |r| rest + r);
            (sum, Some(b_rest.map_or(rest, |r| rest + r)))
        };
        let multiply = |(a, a_rest): (T, Option<T>), (b, b_rest): (T, Option<T>)| {
            let (product, rest) = a.two_prod(b);
            let rest = a_rest.map_or(rest, |r| rest + r * b);
            (product, Some(b_rest.map_or(rest, |r| rest + a * r)))
        };
        let constant = |e: &Self, v: Number| match v.parts() {
            (v, 0.0) => (e.one.lit(v), None),
            parts => (e.one.constant(parts), Some(e.one.constant_rest(parts))),
        };
        match g.node(id) {
            Node::Number(v) => constant(self, *v),
            Node::Sum(k, terms) if powers(g, *k, terms).is_some() => {
                let Some((base, parts)) = powers(g, *k, terms) else { return alone(self) };
                let u = self.twofold(place, base, depth - 1);
                let mut total: Option<(i32, (T, Option<T>))> = None;
                for (n, c, fixed) in parts {
                    let mut c = constant(self, c);
                    for (id, n) in fixed {
                        let v = Self::power(self.at(place, id), n.abs());
                        c = if n > 0 { multiply(c, (v, None)) } else { (c.0 / v, None) };
                    }
                    total = Some(match total {
                        None => (n, c),
                        Some((m, sum)) => {
                            let sum = (n..m).fold(sum, |sum, _| multiply(sum, u));
                            (n, add(sum, c))
                        }
                    });
                }
                let Some((n, sum)) = total else { return alone(self) };
                let sum = (0..n).fold(sum, |sum, _| multiply(sum, u));
                if k.is(0.0) { sum } else { add(sum, constant(self, *k)) }
            }
            Node::Sum(k, terms) => {
                let mut total = None;
                for &(c, t) in terms {
                    let v = self.twofold(place, t, depth - 1);
                    let v = if c == Number::ONE {
                        v
                    } else if c == Number::MINUS_ONE {
                        (-v.0, v.1.map(|r| -r))
                    } else if c.parts().1 == 0.0 && is_power_of_two(c.nearest()) {
                        let c = self.number(c);
                        (v.0 * c, v.1.map(|r| r * c))
                    } else {
                        multiply(v, constant(self, c))
                    };
                    total = Some(total.map_or(v, |sum| add(sum, v)));
                }
                let constant = constant(self, *k);
                match total {
                    Some(v) if k.is(0.0) => v,
                    Some(v) => add(v, constant),
                    None => constant,
                }
            }
            Node::Product(c, factors) if factors.iter().all(|&(_, n)| (1..=3).contains(&n)) => {
                let mut all: Option<(T, Option<T>)> = None;
                for &(f, n) in factors {
                    let v = self.twofold(place, f, depth - 1);
                    for _ in 0..n {
                        all = Some(all.map_or(v, |all| multiply(all, v)));
                    }
                }
                let Some(v) = all else { return alone(self) };
                if *c == Number::ONE {
                    v
                } else if *c == Number::MINUS_ONE {
                    (-v.0, v.1.map(|r| -r))
                } else if c.parts().1 == 0.0 && is_power_of_two(c.nearest()) {
                    let c = self.number(*c);
                    (v.0 * c, v.1.map(|r| r * c))
                } else {
                    multiply(v, constant(self, *c))
                }
            }
            // What a primitive's value has no room for.
            Node::Call(f, z) => match primitive(*f) {
                Some(p) => {
                    let (z, rest) = self.argument(place, *z);
                    let jet = z.jet_at(rest, p);
                    (jet.v.scale2(jet.k), Some(jet.v_lo.scale2(jet.k)))
                }
                None => alone(self),
            },
            _ => alone(self),
        }
    }

    /// A quotient or a root of powers of the inputs, whose powers may overflow.
    fn tamed(&mut self, place: usize, id: Id) -> Option<T> {
        let g = self.g;
        let wild = match g.node(id) {
            Node::Product(_, factors) => factors.iter().any(|&(f, n)| n < 0 && g.depends(f)),
            Node::Call(Call::Sqrt, z) => g.depends(*z),
            _ => false,
        };
        if !wild || matches!(self.places[place].cut, Some((_, Cut::Far))) {
            return None;
        }
        let degree = degree(g, id)?;
        // A power alone needs no help.
        let input = |id: &Id| matches!(g.node(*id), Node::Input(_));
        let alone = matches!(g.node(id), Node::Product(_, f) if f.iter().all(|(f, _)| input(f)));
        let of = |i: usize| g.reaches(id, |n| *n == Node::Input(i));
        let mut operands = (0..self.places[place].x.len()).filter(|&i| of(i));
        let (Some(input), None) = (operands.next(), operands.next()) else { return None };
        if alone || degree.1 > MOST_DEGREE || degree.0 % 1.0 != 0.0 {
            return None;
        }
        let x = self.places[place].x.clone();
        let near: Vec<T> = x.iter().map(|x| x.max(x.lit(-FAR)).min(x.lit(FAR))).collect();
        let far = self.place(place, Cut::Far, &near);
        let y = self.at(far, id);
        let n = degree.0 as i32;
        if n == 0 {
            return Some(y);
        }
        // 1 for all numbers that are not cut off.
        let size = x[input].abs().max(y.lit(FAR));
        let cut_off = if n > 0 { size * y.lit(1.0 / FAR) } else { y.lit(FAR) / size };
        Some(y * Self::power(cut_off, n.abs()))
    }
}

/// A term of a polynomial: its exponent, a constant, and factors without operands.
pub(crate) type Power = (i32, Number, Vec<(Id, i32)>);

/// A sum as a polynomial in one node, highest power first, if it is one of several powers.
pub(crate) fn powers(g: &Graph, k: Number, terms: &[(Number, Id)]) -> Option<(Id, Vec<Power>)> {
    let mut base = None;
    let mut parts: Vec<Power> = Vec::new();
    for &(c, id) in terms {
        let single = [(id, 1)];
        let factors = match g.node(id) {
            Node::Product(_, factors) => &factors[..],
            _ => &single[..],
        };
        let (moving, fixed): (Vec<_>, Vec<_>) = factors.iter().partition(|f| g.depends(f.0));
        match moving[..] {
            [] if k.is(0.0) => parts.push((0, c, fixed)),
            [(u, n)] if (1..=MOST_HORNER).contains(&n) && base.is_none_or(|b| b == u) => {
                base = Some(u);
                parts.push((n, c, fixed));
            }
            _ => return None,
        }
    }
    parts.sort_by_key(|(n, ..)| -n);
    let several = parts.len() > 1 && parts[1].0 > 0;
    let apart = parts.windows(2).all(|p| p[0].0 != p[1].0);
    Some((base?, parts)).filter(|_| several && apart)
}

/// The primitive of a factor that may vanish.
fn gate(f: Call) -> Option<Prim> {
    match f {
        Call::Exp | Call::Sigmoid | Call::Cdf | Call::TanhSoftplus => primitive(f),
        _ => None,
    }
}

/// The primitive whose argument is worth two numbers.
fn sensitive(f: Call) -> Option<Prim> {
    match f {
        Call::Exp
        | Call::ExpM1
        | Call::Sigmoid
        | Call::Softplus
        | Call::Cdf
        | Call::TanhSoftplus
        | Call::Sin
        | Call::Cos => primitive(f),
        _ => None,
    }
}

fn primitive(f: Call) -> Option<Prim> {
    Some(match f {
        Call::Exp => Prim::Exp,
        Call::ExpM1 => Prim::ExpM1,
        Call::Ln => Prim::Ln,
        Call::Ln1p => Prim::Ln1p,
        Call::Tanh => Prim::Tanh,
        Call::Sigmoid => Prim::Sigmoid,
        Call::Softplus => Prim::Softplus,
        Call::Cdf => Prim::Cdf,
        Call::TanhSoftplus => Prim::TanhSoftplus,
        Call::Erf => Prim::Erf,
        Call::Sin => Prim::Sin,
        Call::Cos => Prim::Cos,
        Call::Atan => Prim::Atan,
        _ => return None,
    })
}

/// Whether `z` is a positive multiple of the input `x`.
fn rises_with(g: &Graph, z: Id, x: Id) -> bool {
    match g.node(z) {
        Node::Product(c, factors) => c.is_positive() && factors[..] == [(x, 1)],
        _ => z == x,
    }
}

fn is_power_of_two(v: f64) -> bool {
    v.to_bits() << 12 == 0
}

/// Whether two branches have a function of the inputs in common, which is then computed once.
fn shares(g: &Graph, a: Id, b: Id) -> bool {
    let (left, right) = (g.needed(a), g.needed(b));
    left.iter().zip(&right).enumerate().any(|(id, (l, r))| {
        *l && *r && matches!(g.node(id), Node::Call(..) | Node::Power(..)) && g.depends(id)
    })
}

/// Whether it is made of powers and roots of operands, with something to divide by or a root among them.
pub(crate) fn is_quotient(g: &Graph, id: Id) -> bool {
    let wild = |n: &Node| match n {
        Node::Product(_, factors) => factors.iter().any(|&(f, n)| n < 0 && g.depends(f)),
        Node::Call(Call::Sqrt, z) => g.depends(*z),
        _ => false,
    };
    g.depends(id) && degree(g, id).is_some() && g.reaches(id, wild)
}

/// How a node grows: like which power of the inputs, and with which largest power on the way; `None`
/// if it is not made of powers and roots.
fn degree(g: &Graph, id: Id) -> Option<(f64, f64)> {
    Some(match g.node(id) {
        Node::Number(_) | Node::Param(_) => (0.0, 0.0),
        _ if !g.depends(id) => (0.0, 0.0),
        Node::Input(_) => (1.0, 1.0),
        Node::Sum(_, terms) => {
            let mut all = (0.0f64, 0.0f64);
            for &(_, t) in terms {
                let (d, most) = degree(g, t)?;
                all = (all.0.max(d), all.1.max(most));
            }
            all
        }
        Node::Product(_, factors) => {
            let (mut total, mut above, mut below) = (0.0, 0.0f64, 0.0f64);
            for &(f, n) in factors {
                let (d, most) = degree(g, f)?;
                let n = f64::from(n);
                total += n * d;
                let side = if n > 0.0 { &mut above } else { &mut below };
                *side += most * n.abs();
            }
            (total, above.max(below))
        }
        Node::Call(Call::Abs, z) => degree(g, *z)?,
        Node::Call(Call::Sqrt, z) => {
            let (d, most) = degree(g, *z)?;
            (d / 2.0, most)
        }
        _ => return None,
    })
}
