//! Textbook forms and the stable ones that replace them.
//!
//! A rule knows one identity of real numbers. It is applied to a node whose operands have been
//! rewritten already, so that `tanh(ln(1 + exp(x)))` is seen as `tanh(softplus(x))`.

use super::graph::{Call, Graph, Id, Node, Step, Test};
use super::number::Number;
use alloc::{collections::BTreeMap, vec::Vec};

/// A rewriting: what it is called, why it is done, and how.
#[derive(Debug)]
pub(crate) struct Rule {
    /// What becomes what.
    pub(crate) name: &'static str,
    /// What goes wrong with the textbook form.
    pub(crate) reason: &'static str,
    apply: fn(&mut Graph, Id) -> Option<Id>,
}

/// All rules, in the order in which they are tried.
pub(crate) static RULES: [Rule; 39] = [
    Rule {
        name: "erf(z) + 1 -> 2 normal_cdf(sqrt(2) z)",
        reason: "the sum cancels on the left",
        apply: |g, id| {
            pair(g, id, (Call::Erf, 1), Number::new(1.0), |g, z| {
                let z = g.times(Number::TWO.root(), z);
                let cdf = g.call(Call::Cdf, z);
                g.times(Number::TWO, cdf)
            })
        },
    },
    Rule {
        name: "1 - erf(z) -> 2 normal_cdf(-sqrt(2) z)",
        reason: "the difference cancels on the right",
        apply: |g, id| {
            pair(g, id, (Call::Erf, 1), Number::new(-1.0), |g, z| {
                let z = g.times(Number::TWO.root().negated(), z);
                let cdf = g.call(Call::Cdf, z);
                g.times(Number::TWO.negated(), cdf)
            })
        },
    },
    Rule {
        name: "1 - normal_cdf(z) -> normal_cdf(-z)",
        reason: "the difference cancels on the right",
        apply: |g, id| {
            pair(g, id, (Call::Cdf, 1), Number::new(-1.0), |g, z| {
                let other = mirrored(g, Call::Cdf, z);
                g.neg(other)
            })
        },
    },
    Rule {
        name: "1 - sigmoid(z) -> sigmoid(-z)",
        reason: "the difference cancels on the right",
        apply: |g, id| {
            pair(g, id, (Call::Sigmoid, 1), Number::new(-1.0), |g, z| {
                let other = mirrored(g, Call::Sigmoid, z);
                g.neg(other)
            })
        },
    },
    Rule {
        name: "2 sigmoid(z) - 1 -> tanh(z/2)",
        reason: "the difference cancels near 0",
        apply: |g, id| {
            pair(g, id, (Call::Sigmoid, 1), Number::new(-0.5), |g, z| {
                let half = g.times(Number::HALF, z);
                let tanh = g.call(Call::Tanh, half);
                g.times(Number::HALF, tanh)
            })
        },
    },
    Rule {
        name: "2 normal_cdf(z) - 1 -> erf(z/sqrt(2))",
        reason: "the difference cancels near 0",
        apply: |g, id| {
            pair(g, id, (Call::Cdf, 1), Number::new(-0.5), |g, z| {
                let z = g.times(Number::HALF.root(), z);
                let erf = g.call(Call::Erf, z);
                g.times(Number::HALF, erf)
            })
        },
    },
    Rule {
        name: "1 + tanh(z) -> 2 sigmoid(2 z)",
        reason: "the sum cancels on the left",
        apply: |g, id| {
            pair(g, id, (Call::Tanh, 1), Number::new(1.0), |g, z| {
                let z = g.times(Number::TWO, z);
                let gate = g.call(Call::Sigmoid, z);
                g.times(Number::TWO, gate)
            })
        },
    },
    Rule {
        name: "1 - tanh(z) -> 2 sigmoid(-2 z)",
        reason: "the difference cancels on the right",
        apply: |g, id| {
            pair(g, id, (Call::Tanh, 1), Number::new(-1.0), |g, z| {
                let z = g.times(Number::TWO.negated(), z);
                let gate = g.call(Call::Sigmoid, z);
                g.times(Number::TWO.negated(), gate)
            })
        },
    },
    Rule {
        name: "1 - tanh(z)^2 -> 4 sigmoid(2 z) sigmoid(-2 z)",
        reason: "the difference cancels on both sides",
        apply: |g, id| {
            pair(g, id, (Call::Tanh, 2), Number::new(-1.0), |g, z| {
                let up = g.times(Number::TWO, z);
                let (gate, other) = (g.call(Call::Sigmoid, up), mirrored(g, Call::Sigmoid, up));
                g.product(Number::new(-4.0), &[(gate, 1), (other, 1)])
            })
        },
    },
    Rule {
        name: "exp(z) - 1 -> expm1(z)",
        reason: "the difference cancels near 0",
        apply: |g, id| {
            pair(g, id, (Call::Exp, 1), Number::new(-1.0), |g, z| g.call(Call::ExpM1, z))
        },
    },
    Rule {
        name: "cosh(z) - 1 -> 2 sinh(z/2)^2",
        reason: "the difference cancels near 0",
        apply: |g, id| {
            pair(g, id, (Call::Cosh, 1), Number::new(-1.0), |g, z| {
                let half = g.times(Number::HALF, z);
                let sinh = g.call(Call::Sinh, half);
                g.product(Number::TWO, &[(sinh, 2)])
            })
        },
    },
    Rule {
        name: "1 - cos(z) -> 2 sin(z/2)^2",
        reason: "the difference cancels near 0",
        apply: |g, id| {
            pair(g, id, (Call::Cos, 1), Number::new(-1.0), |g, z| {
                let half = g.times(Number::HALF, z);
                let sin = g.call(Call::Sin, half);
                g.product(Number::TWO.negated(), &[(sin, 2)])
            })
        },
    },
    Rule {
        name: "exp(z) - exp(-z) -> 2 sinh(z), exp(z) + exp(-z) -> 2 cosh(z)",
        reason: "the difference cancels near 0, and quotients of both overflow",
        apply: hyperbolic,
    },
    Rule {
        name: "z - tanh(z) -> (z cosh(z) - sinh(z)) / cosh(z) as a series for |z| <= 5/4",
        reason: "the difference cancels near 0, where it is z^3 / 3",
        apply: less_tanh,
    },
    Rule {
        name: "softplus(z) - z -> softplus(-z)",
        reason: "the difference cancels on the right",
        apply: softplus_less,
    },
    Rule {
        name: "sqrt(z^2 + a) - z -> a / (sqrt(z^2 + a) + |z|) for z > 0",
        reason: "the difference cancels where the root is near its square",
        apply: root_less,
    },
    Rule {
        name: "sqrt(1 + z) - 1 -> z / (sqrt(1 + z) + 1)",
        reason: "the difference cancels near 0",
        apply: root_less_one,
    },
    Rule {
        name: "z / sqrt(z^2 + a) + 1 -> (z + sqrt(z^2 + a)) / sqrt(z^2 + a)",
        reason: "the sum cancels on the left",
        apply: quotient_plus_one,
    },
    Rule {
        name: "atan(z) + pi/2 -> -atan(1/z) for z <= -1",
        reason: "the sum cancels on the left",
        apply: |g, id| {
            pair(g, id, (Call::Atan, 1), Number::PI.times(Number::HALF), |g, z| {
                let (atan, inverse) = (g.call(Call::Atan, z), g.product(Number::ONE, &[(z, -1)]));
                let sum = g.plus(Number::PI.times(Number::HALF), atan);
                let far = g.call(Call::Atan, inverse);
                let (far, minus_one) = (g.neg(far), g.number(Number::MINUS_ONE));
                g.choose(Test::Greater, z, minus_one, sum, far)
            })
        },
    },
    Rule {
        name: "softplus(z) - ln(2) -> log1p(expm1(z) / 2) for z <= 1",
        reason: "the difference cancels near 0",
        apply: |g, id| {
            pair(g, id, (Call::Softplus, 1), Number::LN_2.negated(), |g, z| {
                let soft = g.call(Call::Softplus, z);
                let far = g.plus(Number::LN_2.negated(), soft);
                let e = g.call(Call::ExpM1, z);
                let half = g.times(Number::HALF, e);
                let (near, one) = (g.call(Call::Ln1p, half), g.number(Number::ONE));
                g.choose(Test::Greater, z, one, far, near)
            })
        },
    },
    Rule {
        name: "1 / (1 + exp(z)) -> sigmoid(-z)",
        reason: "exp(z) overflows",
        apply: reciprocal_of_sum,
    },
    Rule {
        name: "1 / (exp(a) + exp(b)) -> sigmoid(a - b) exp(-a)",
        reason: "both exponentials overflow or underflow together: shares as of softmax",
        apply: share,
    },
    Rule {
        name: "exp(z) sigmoid(-z) -> sigmoid(z)",
        reason: "infinity times 0 is NaN",
        apply: |g, id| {
            factors(g, id, Call::Sigmoid, |g, z, exponent| {
                let minus = g.neg(z);
                // exp(-z) beside sigmoid(z).
                (exponent == minus).then(|| g.call(Call::Sigmoid, minus))
            })
        },
    },
    Rule {
        name: "expm1(z) sigmoid(-z) -> tanh(z/2)",
        reason: "infinity times 0 is NaN",
        apply: quotient_of_expm1,
    },
    Rule { name: "sinh(z) / cosh(z) -> tanh(z)", reason: "both overflow", apply: sinh_over_cosh },
    Rule {
        name: "1 / cosh(z) -> 2 exp(-|z|) sigmoid(2 |z|)",
        reason: "cosh overflows where the quotient is still a number",
        apply: sech,
    },
    Rule {
        name: "ln(1 + exp(z)) -> softplus(z)",
        reason: "exp(z) overflows on the right, and the sum rounds to 1 on the left",
        apply: |g, id| {
            log(g, id, |g, inner| {
                let (c, z) = constant_plus_exp(g, inner)?;
                if c != Number::ONE {
                    return None;
                }
                Some(g.call(Call::Softplus, z))
            })
        },
    },
    Rule {
        name: "ln(c + exp(z)) -> ln(c) + softplus(z - ln(c))",
        reason: "exp(z) overflows",
        apply: |g, id| {
            log(g, id, |g, inner| {
                let (c, z) = constant_plus_exp(g, inner)?;
                let shift = c.logarithm();
                let z = g.plus(shift.negated(), z);
                let soft = g.call(Call::Softplus, z);
                Some(g.plus(shift, soft))
            })
        },
    },
    Rule {
        name: "ln(exp(a) + exp(b)) -> max(a, b) + softplus(-|a - b|)",
        reason: "the exponentials overflow or underflow together: a log of softmax",
        apply: |g, id| {
            log(g, id, |g, inner| {
                let (a, b) = two_exps(g, inner)?;
                let (top, apart) = (g.max(a, b), g.sub(a, b));
                let size = g.call(Call::Abs, apart);
                let minus = g.neg(size);
                let soft = g.call(Call::Softplus, minus);
                Some(g.add(top, soft))
            })
        },
    },
    Rule {
        name: "ln(sigmoid(z)) -> -softplus(-z)",
        reason: "the sigmoid underflows on the left and rounds to 1 on the right",
        apply: |g, id| {
            log(g, id, |g, inner| {
                let Node::Call(Call::Sigmoid, z) = *g.node(inner) else { return None };
                let minus = g.neg(z);
                let soft = g.call(Call::Softplus, minus);
                Some(g.neg(soft))
            })
        },
    },
    Rule {
        name: "ln(z / (1 - z)) -> log1p((2 z - 1) / (1 - z)) for z from 1/4 to 3/4, -ln((1 - z) / z) above",
        reason: "the quotient rounds near 1, where its logarithm is near 0, and is infinite at 1",
        apply: log_odds,
    },
    Rule {
        name: "ln(exp(z) - 1) -> z + log1mexp(-z), ln(1 - exp(z)) -> log1mexp(z)",
        reason: "exp(z) overflows, or rounds to 1 or 0 under the logarithm",
        apply: |g, id| log(g, id, log_of_expm1),
    },
    Rule {
        name: "ln(a b) -> ln(a) + ln(b) where a is a power of e or a sigmoid, ln(z^n) -> n ln(z)",
        reason: "the product overflows or underflows where its logarithm is a number",
        apply: |g, id| log(g, id, log_of_product),
    },
    Rule {
        name: "ln(cosh(z)) -> logcosh(z)",
        reason: "cosh overflows on both sides, and rounds to 1 near 0",
        apply: |g, id| {
            log(g, id, |g, inner| {
                let Node::Call(Call::Cosh, z) = *g.node(inner) else { return None };
                Some(g.call(Call::LogCosh, z))
            })
        },
    },
    Rule {
        name: "ln(1 + z) -> log1p(z)",
        reason: "the sum rounds z away near 0",
        apply: |g, id| {
            log(g, id, |g, inner| {
                let Node::Sum(Number::ONE, terms) = g.node(inner) else { return None };
                let terms = terms.clone();
                let z = g.sum(Number::ZERO, &terms);
                Some(g.call(Call::Ln1p, z))
            })
        },
    },
    Rule {
        name: "tanh(softplus(z)) -> tanh_softplus(z), log1p(exp(z)) -> softplus(z), expm1 and exp of logarithms",
        reason: "one function has the digits that two lose between them",
        apply: composed,
    },
    Rule {
        name: "sqrt(z^2) -> |z|",
        reason: "the square overflows or underflows",
        apply: root_of_square,
    },
    Rule {
        name: "where(z > 0, z, 0) -> max(z, 0), max(z, -z) -> |z|, max(a z, b z) -> where(z > 0, a z, b z)",
        reason: "one comparison decides, and the factor of an infinity is a number",
        apply: piecewise,
    },
    Rule {
        name: "z where(c, a, 0) -> where(c, z a, 0)",
        reason: "infinity times 0 is NaN",
        apply: switched,
    },
];

/// At most so many rewritings: more would be a circle.
const MOST_STEPS: usize = 400;

/// `root` with every rule applied wherever it holds.
pub(crate) fn stable(g: &mut Graph, root: Id) -> Id {
    let mut done = BTreeMap::new();
    rewritten(g, root, &mut done)
}

fn rewritten(g: &mut Graph, id: Id, done: &mut BTreeMap<Id, Id>) -> Id {
    if let Some(&known) = done.get(&id) {
        return known;
    }
    let mut now = g.rebuilt(id, &mut |g, child| rewritten(g, child, done));
    // Other operands may have made another node of it, whose own operands are new.
    if now != id {
        if let Some(&known) = done.get(&now) {
            done.insert(id, known);
            return known;
        }
        now = g.rebuilt(now, &mut |g, child| rewritten(g, child, done));
    }
    if g.steps.len() < MOST_STEPS && g.excess.is_none() {
        for rule in &RULES {
            if let Some(next) = (rule.apply)(g, now)
                && next != now
            {
                g.steps.push(Step { before: now, after: next, rule });
                // A rule may keep the node for some of its inputs.
                done.insert(now, now);
                let before = now;
                now = rewritten(g, next, done);
                done.insert(before, now);
                break;
            }
        }
    }
    done.insert(id, now);
    done.insert(now, now);
    now
}

/// The terms of a node as multiples, a constant as one of them; a node that is no sum is one term.
fn terms(g: &Graph, id: Id) -> Option<(Number, Vec<(Number, Id)>)> {
    match g.node(id) {
        Node::Sum(k, terms) => Some((*k, terms.clone())),
        _ => None,
    }
}

/// The factors of a node.
fn factors_of(g: &Graph, id: Id) -> (Number, Vec<(Id, i32)>) {
    match g.node(id) {
        Node::Product(c, factors) => (*c, factors.clone()),
        Node::Number(v) => (*v, Vec::new()),
        _ => (Number::ONE, Vec::from([(id, 1)])),
    }
}

/// A sum with the terms `p f(z)^n` and `ratio p`, which become `p with(z)`: what `f(z)^n + ratio` is.
fn pair(
    g: &mut Graph,
    id: Id,
    (f, n): (Call, i32),
    ratio: Number,
    with: fn(&mut Graph, Id) -> Id,
) -> Option<Id> {
    let (k, all) = terms(g, id)?;
    for (i, &(c, term)) in all.iter().enumerate() {
        let (_, list) = factors_of(g, term);
        for (j, &(factor, m)) in list.iter().enumerate() {
            let Node::Call(called, z) = *g.node(factor) else { continue };
            if (called, m) != (f, n) {
                continue;
            }
            // p is c times the other factors.
            let mut others = list.clone();
            others.remove(j);
            let rest = g.product(Number::ONE, &others);
            let wanted = c.times(ratio);
            let (mut constant, mut kept) = (k, all.clone());
            kept[i].0 = Number::ZERO;
            if others.is_empty() {
                if !constant.close_to(wanted) {
                    continue;
                }
                constant = Number::ZERO;
            } else {
                let partner = all.iter().position(|&(d, t)| t == rest && d.close_to(wanted));
                let Some(partner) = partner else { continue };
                kept[partner].0 = Number::ZERO;
            }
            let stable = with(g, z);
            let product = g.product(c, &[(rest, 1), (stable, 1)]);
            kept.push((Number::ONE, product));
            return Some(g.sum(constant, &kept));
        }
    }
    None
}

/// `f(-z)`.
fn mirrored(g: &mut Graph, f: Call, z: Id) -> Id {
    let minus = g.neg(z);
    g.call(f, minus)
}

/// Two terms of a sum that are multiples of `exp(z)` and `exp(-z)` by one number or its negative.
fn hyperbolic(g: &mut Graph, id: Id) -> Option<Id> {
    let (k, all) = terms(g, id)?;
    let exps: Vec<(usize, Number, Id)> = all
        .iter()
        .enumerate()
        .filter_map(|(i, &(c, t))| match g.node(t) {
            Node::Call(Call::Exp, z) => Some((i, c, *z)),
            _ => None,
        })
        .collect();
    for (n, &(i, c, z)) in exps.iter().enumerate() {
        for &(j, d, w) in &exps[n + 1..] {
            let minus = g.neg(z);
            if w != minus || d.magnitude() != c.magnitude() {
                continue;
            }
            let mut kept = all.clone();
            (kept[i].0, kept[j].0) = (Number::ZERO, Number::ZERO);
            let f = if c == d { Call::Cosh } else { Call::Sinh };
            let hyperbolic = g.call(f, z);
            kept.push((c.times(Number::TWO), hyperbolic));
            return Some(g.sum(k, &kept));
        }
    }
    None
}

/// `c z - c tanh(z)`: the series above the line is the sum of `2 k z^(2 k + 1) / (2 k + 1)!`, of which the
/// first term left out is 2^-70 of the first one.
fn less_tanh(g: &mut Graph, id: Id) -> Option<Id> {
    const TERMS: u32 = 11;
    let (k, all) = terms(g, id)?;
    let [(c, s), (d, t)] = all[..] else { return None };
    for ((c, z), (d, tanh)) in [((c, s), (d, t)), ((d, t), (c, s))] {
        let Node::Call(Call::Tanh, inner) = *g.node(tanh) else { continue };
        let (factor, base) = g.multiple(inner);
        if !k.is(0.0) || base != z || !g.depends(z) || !c.close_to(d.times(factor).negated()) {
            continue;
        }
        let z = inner;
        let mut series = Vec::new();
        let mut factorial = Number::ONE;
        for k in 1..=TERMS {
            let n = Number::new(f64::from(2 * k));
            factorial = factorial.times(n).times(n.plus(Number::ONE));
            let power = g.product(Number::ONE, &[(z, 2 * k as i32 - 2)]);
            series.push((n.over(factorial), power));
        }
        let series = g.sum(Number::ZERO, &series);
        let cosh = g.call(Call::Cosh, z);
        let near = g.product(d.negated(), &[(z, 3), (series, 1), (cosh, -1)]);
        let (size, end) = (g.call(Call::Abs, z), g.number(Number::new(1.25)));
        return Some(g.choose(Test::Greater, size, end, id, near));
    }
    None
}

/// `c softplus(z) - c z`.
fn softplus_less(g: &mut Graph, id: Id) -> Option<Id> {
    let (k, all) = terms(g, id)?;
    for (i, &(c, t)) in all.iter().enumerate() {
        let (_, list) = factors_of(g, t);
        for (j, &(factor, n)) in list.iter().enumerate() {
            let Node::Call(Call::Softplus, z) = *g.node(factor) else { continue };
            if n != 1 {
                continue;
            }
            let mut others = list.clone();
            others.remove(j);
            let rest = g.product(Number::ONE, &others);
            // What is to be found among the terms: minus c rest z.
            let wanted = g.product(c.negated(), &[(rest, 1), (z, 1)]);
            let (wanted_k, wanted) = match g.node(wanted) {
                Node::Sum(k, terms) => (*k, terms.clone()),
                Node::Number(v) => (*v, Vec::new()),
                _ => {
                    let (d, base) = g.multiple(wanted);
                    (Number::ZERO, Vec::from([(d, base)]))
                }
            };
            let has = |w: &(Number, Id)| all.iter().enumerate().any(|(m, t)| m != i && t == w);
            if wanted.is_empty() || !wanted.iter().all(has) || !wanted_k.is(0.0) && wanted_k != k {
                continue;
            }
            let mut kept: Vec<_> = all.iter().copied().filter(|t| !wanted.contains(t)).collect();
            kept.retain(|&t| t != (c, all[i].1));
            let minus = g.neg(z);
            let soft = g.call(Call::Softplus, minus);
            let product = g.product(c, &[(rest, 1), (soft, 1)]);
            kept.push((Number::ONE, product));
            let k = if wanted_k.is(0.0) { k } else { Number::ZERO };
            return Some(g.sum(k, &kept));
        }
    }
    None
}

/// `c sqrt(u) + d z` where `c^2 u - d^2 z^2` has no operand in it: with `size = |c| sqrt(u) + |d z|`,
/// which never cancels, it is `size` or that difference divided by `size`.
fn root_less(g: &mut Graph, id: Id) -> Option<Id> {
    let (k, all) = terms(g, id)?;
    let [(c, s), (d, t)] = all[..] else { return None };
    if !k.is(0.0) {
        return None;
    }
    for ((c, root), (d, z)) in [((c, s), (d, t)), ((d, t), (c, s))] {
        let Node::Call(Call::Sqrt, u) = *g.node(root) else { continue };
        let (square, not_negative) = match *g.node(z) {
            Node::Call(Call::Sqrt, v) => (v, true),
            Node::Call(Call::Abs, v) => (g.mul(v, v), true),
            Node::Sum(..) => continue,
            _ => (g.mul(z, z), false),
        };
        let over = g.sum(Number::ZERO, &[(c.times(c), u), (d.times(d).negated(), square)]);
        let added = c.is_negative() == d.is_negative();
        if g.depends(over) || !g.depends(z) || added && not_negative {
            continue;
        }
        let length = g.call(Call::Abs, z);
        let size = g.sum(Number::ZERO, &[(c.magnitude(), root), (d.magnitude(), length)]);
        let quotient = g.div(over, size);
        let zero = g.number(Number::ZERO);
        let positive = if not_negative {
            quotient
        } else if added {
            g.choose(Test::Greater, z, zero, size, quotient)
        } else {
            g.choose(Test::Greater, z, zero, quotient, size)
        };
        return Some(if c.is_negative() { g.neg(positive) } else { positive });
    }
    None
}

/// `c sqrt(u) - k` where `c^2 u - k^2` has no constant; other terms stay.
fn root_less_one(g: &mut Graph, id: Id) -> Option<Id> {
    let (k, all) = terms(g, id)?;
    for (i, &(c, root)) in all.iter().enumerate() {
        let Node::Call(Call::Sqrt, u) = *g.node(root) else { continue };
        if k.is(0.0) || k.is_negative() == c.is_negative() {
            continue;
        }
        let over = g.sum(k.times(k).negated(), &[(c.times(c), u)]);
        if matches!(g.node(over), Node::Sum(k, _) if !k.is(0.0)) {
            continue;
        }
        let size = g.sum(k.magnitude(), &[(c.magnitude(), root)]);
        let quotient = g.div(over, size);
        let mut kept = all.clone();
        kept[i] = (if c.is_negative() { Number::MINUS_ONE } else { Number::ONE }, quotient);
        return Some(g.sum(Number::ZERO, &kept));
    }
    None
}

/// `c z / sqrt(u) + k` where `c^2 z^2 - k^2 u` has no operand in it.
fn quotient_plus_one(g: &mut Graph, id: Id) -> Option<Id> {
    let (k, all) = terms(g, id)?;
    let [(c, term)] = all[..] else { return None };
    let (_, list) = factors_of(g, term);
    if k.is(0.0) {
        return None;
    }
    for (j, &(root, n)) in list.iter().enumerate() {
        let Node::Call(Call::Sqrt, u) = *g.node(root) else { continue };
        if n != -1 {
            continue;
        }
        let mut others = list.clone();
        others.remove(j);
        let z = g.product(Number::ONE, &others);
        let square = g.mul(z, z);
        let rest = g.sum(Number::ZERO, &[(c.times(c), square), (k.times(k).negated(), u)]);
        if g.depends(rest) || !g.depends(z) {
            continue;
        }
        let over = g.sum(Number::ZERO, &[(c, z), (k, root)]);
        return Some(g.div(over, root));
    }
    None
}

/// `c` and `z` of `c + exp(z)`, with a positive constant.
fn constant_plus_exp(g: &mut Graph, id: Id) -> Option<(Number, Id)> {
    let (k, all) = terms(g, id)?;
    let [(c, t)] = all[..] else { return None };
    let Node::Call(Call::Exp, z) = *g.node(t) else { return None };
    if !k.is_positive() || !c.is_positive() {
        return None;
    }
    let z = if c == Number::ONE { z } else { g.plus(c.logarithm(), z) };
    Some((k, z))
}

/// `a` and `b` of `exp(a) + exp(b)`; multiples are powers with another exponent.
fn two_exps(g: &mut Graph, id: Id) -> Option<(Id, Id)> {
    let (k, all) = terms(g, id)?;
    let [(c, s), (d, t)] = all[..] else { return None };
    let (Node::Call(Call::Exp, a), Node::Call(Call::Exp, b)) = (g.node(s), g.node(t)) else {
        return None;
    };
    let (a, b) = (*a, *b);
    if !k.is(0.0) || !c.is_positive() || !d.is_positive() {
        return None;
    }
    Some((g.plus(c.logarithm(), a), g.plus(d.logarithm(), b)))
}

/// `(c + exp(z))^-n` among the factors.
fn reciprocal_of_sum(g: &mut Graph, id: Id) -> Option<Id> {
    let (k, list) = factors_of(g, id);
    for (j, &(factor, n)) in list.iter().enumerate() {
        if n >= 0 {
            continue;
        }
        let Some((c, z)) = constant_plus_exp(g, factor) else { continue };
        let mut others = list.clone();
        others.remove(j);
        let shifted = if c == Number::ONE { z } else { g.plus(c.logarithm().negated(), z) };
        let minus = g.neg(shifted);
        let gate = g.call(Call::Sigmoid, minus);
        others.push((gate, -n));
        return Some(g.product(k.times(c.to_the(n)), &others));
    }
    None
}

/// `1 / (exp(a) + exp(b))` among the factors.
fn share(g: &mut Graph, id: Id) -> Option<Id> {
    let (k, list) = factors_of(g, id);
    for (j, &(factor, n)) in list.iter().enumerate() {
        if n != -1 {
            continue;
        }
        let Some((a, b)) = two_exps(g, factor) else { continue };
        // It cancels against an exponential beside it.
        let beside = list.iter().find_map(|&(f, n)| match g.node(f) {
            Node::Call(Call::Exp, z) if n == 1 => Some(*z),
            _ => None,
        })?;
        let (a, b) = match beside {
            z if z == a => (a, b),
            z if z == b => (b, a),
            _ => return None,
        };
        let mut others = list.clone();
        others.remove(j);
        let (apart, minus) = (g.sub(a, b), g.neg(a));
        let (gate, exp) = (g.call(Call::Sigmoid, apart), g.call(Call::Exp, minus));
        others.extend([(gate, 1), (exp, 1)]);
        return Some(g.product(k, &others));
    }
    None
}

/// A factor `exp(w)` beside `f(z)`, which together are what `with(z, w)` says.
fn factors(
    g: &mut Graph,
    id: Id,
    f: Call,
    with: fn(&mut Graph, Id, Id) -> Option<Id>,
) -> Option<Id> {
    let (k, list) = factors_of(g, id);
    let exp =
        list.iter().position(|&(t, n)| n == 1 && matches!(g.node(t), Node::Call(Call::Exp, _)))?;
    let Node::Call(_, w) = *g.node(list[exp].0) else { return None };
    for (j, &(factor, n)) in list.iter().enumerate() {
        let Node::Call(called, z) = *g.node(factor) else { continue };
        if called != f || n < 1 {
            continue;
        }
        let Some(both) = with(g, z, w) else { continue };
        let mut others = list.clone();
        others[j].1 -= 1;
        others[exp].1 = 0;
        others.push((both, 1));
        return Some(g.product(k, &others));
    }
    None
}

/// `expm1(z)` beside `sigmoid(-z)`.
fn quotient_of_expm1(g: &mut Graph, id: Id) -> Option<Id> {
    let (k, list) = factors_of(g, id);
    for (i, &(a, n)) in list.iter().enumerate() {
        let Node::Call(Call::ExpM1, z) = *g.node(a) else { continue };
        for (j, &(b, m)) in list.iter().enumerate() {
            let Node::Call(Call::Sigmoid, w) = *g.node(b) else { continue };
            let minus = g.neg(z);
            if n < 1 || m < 1 || w != minus {
                continue;
            }
            let mut others = list.clone();
            others[i].1 -= 1;
            others[j].1 -= 1;
            let half = g.times(Number::HALF, z);
            let tanh = g.call(Call::Tanh, half);
            others.push((tanh, 1));
            return Some(g.product(k, &others));
        }
    }
    None
}

fn sinh_over_cosh(g: &mut Graph, id: Id) -> Option<Id> {
    let (k, list) = factors_of(g, id);
    for (i, &(a, n)) in list.iter().enumerate() {
        let Node::Call(Call::Sinh, z) = *g.node(a) else { continue };
        for (j, &(b, m)) in list.iter().enumerate() {
            let Node::Call(Call::Cosh, w) = *g.node(b) else { continue };
            if n < 1 || m > -1 || w != z {
                continue;
            }
            let mut others = list.clone();
            others[i].1 -= 1;
            others[j].1 += 1;
            let tanh = g.call(Call::Tanh, z);
            others.push((tanh, 1));
            return Some(g.product(k, &others));
        }
    }
    None
}

fn sech(g: &mut Graph, id: Id) -> Option<Id> {
    let (k, list) = factors_of(g, id);
    for (j, &(factor, n)) in list.iter().enumerate() {
        let Node::Call(Call::Cosh, z) = *g.node(factor) else { continue };
        if n >= 0 {
            continue;
        }
        let mut others = list.clone();
        others.remove(j);
        let size = g.call(Call::Abs, z);
        let (minus, twice) = (g.neg(size), g.times(Number::TWO, size));
        let (exp, gate) = (g.call(Call::Exp, minus), g.call(Call::Sigmoid, twice));
        others.extend([(exp, -n), (gate, -n)]);
        return Some(g.product(k.times(Number::TWO.to_the(-n)), &others));
    }
    None
}

/// A logarithm of what `of` knows.
fn log(g: &mut Graph, id: Id, of: fn(&mut Graph, Id) -> Option<Id>) -> Option<Id> {
    match *g.node(id) {
        Node::Call(Call::Ln, inner) => of(g, inner),
        _ => None,
    }
}

fn log_odds(g: &mut Graph, id: Id) -> Option<Id> {
    let Node::Call(Call::Ln, inner) = *g.node(id) else { return None };
    let (k, list) = factors_of(g, inner);
    let (z, rest) = match list[..] {
        [(z, 1), (rest, -1)] | [(rest, -1), (z, 1)] if k == Number::ONE => (z, rest),
        _ => return None,
    };
    let sum = matches!(g.node(z), Node::Sum(..));
    if sum || g.sum(Number::ONE, &[(Number::MINUS_ONE, z)]) != rest {
        return None;
    }
    let [low, high] = [0.25, 0.75].map(|v| g.number(Number::new(v)));
    let other = g.div(rest, z);
    let right = g.call(Call::Ln, other);
    let right = g.neg(right);
    let twice = g.sum(Number::MINUS_ONE, &[(Number::TWO, z)]);
    let ratio = g.div(twice, rest);
    let middle = g.call(Call::Ln1p, ratio);
    let inside = g.choose(Test::Greater, z, high, right, middle);
    Some(g.choose(Test::Greater, z, low, inside, id))
}

fn log_of_expm1(g: &mut Graph, inner: Id) -> Option<Id> {
    let (k, list) = factors_of(g, inner);
    let [(factor, 1)] = list[..] else { return None };
    let Node::Call(Call::ExpM1, z) = *g.node(factor) else { return None };
    if k == Number::MINUS_ONE {
        return Some(g.call(Call::Log1mExp, z));
    }
    if k != Number::ONE {
        return None;
    }
    let minus = g.neg(z);
    let rest = g.call(Call::Log1mExp, minus);
    Some(g.add(z, rest))
}

fn log_of_product(g: &mut Graph, inner: Id) -> Option<Id> {
    let (k, list) = factors_of(g, inner);
    if !k.is_positive() {
        return None;
    }
    if let [(z, n)] = list[..]
        && n != 1
    {
        let base = if n % 2 == 0 { g.call(Call::Abs, z) } else { z };
        let ln = g.call(Call::Ln, base);
        return Some(g.sum(k.logarithm(), &[(Number::new(f64::from(n)), ln)]));
    }
    if list.len() + usize::from(k != Number::ONE) < 2 {
        return None;
    }
    let apart = |g: &Graph, id: Id| matches!(g.node(id), Node::Call(Call::Exp | Call::Sigmoid, _));
    let (one, rest): (Vec<_>, Vec<_>) = list.iter().partition(|&&(id, _)| apart(g, id));
    if one.is_empty() {
        return None;
    }
    let mut terms = Vec::new();
    for (id, n) in one {
        let ln = g.call(Call::Ln, id);
        terms.push((Number::new(f64::from(n)), ln));
    }
    let rest = g.product(k, &rest);
    let ln = g.call(Call::Ln, rest);
    terms.push((Number::ONE, ln));
    Some(g.sum(Number::ZERO, &terms))
}

fn composed(g: &mut Graph, id: Id) -> Option<Id> {
    let Node::Call(f, inner) = *g.node(id) else { return None };
    match (f, g.node(inner).clone()) {
        (Call::Tanh, Node::Call(Call::Softplus, z)) => Some(g.call(Call::TanhSoftplus, z)),
        (Call::Ln1p, Node::Call(Call::Exp, z)) => Some(g.call(Call::Softplus, z)),
        (Call::Ln1p, Node::Call(Call::ExpM1, z)) => Some(z),
        (Call::ExpM1, Node::Call(Call::Ln1p, z)) => Some(z),
        (Call::Exp, Node::Call(Call::Softplus, z)) => {
            let e = g.call(Call::Exp, z);
            Some(g.plus(Number::ONE, e))
        }
        // exp(-softplus(z)) = 1 / (1 + exp(z))
        (Call::Exp, Node::Product(Number::MINUS_ONE, list)) => match list[..] {
            [(soft, 1)] => match *g.node(soft) {
                Node::Call(Call::Softplus, z) => Some(mirrored(g, Call::Sigmoid, z)),
                _ => None,
            },
            _ => None,
        },
        // ln(1 - e^z), and log1p of its negative.
        (Call::Ln1p, Node::Product(Number::MINUS_ONE, list)) => match list[..] {
            [(exp, 1)] => match *g.node(exp) {
                Node::Call(Call::Exp, z) => Some(g.call(Call::Log1mExp, z)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn root_of_square(g: &mut Graph, id: Id) -> Option<Id> {
    let Node::Call(Call::Sqrt, inner) = *g.node(id) else { return None };
    let (k, list) = factors_of(g, inner);
    if list.iter().any(|(_, n)| n % 2 != 0) || !k.is_positive() {
        return None;
    }
    let halves: Vec<_> = list.iter().map(|&(id, n)| (id, n / 2)).collect();
    let root = g.product(Number::ONE, &halves);
    let size = g.call(Call::Abs, root);
    Some(g.times(k.root(), size))
}

fn piecewise(g: &mut Graph, id: Id) -> Option<Id> {
    let node = g.node(id).clone();
    match node {
        Node::Where(_, a, b, then, otherwise) if g.known(b).is_some_and(|v| v.is(0.0)) => {
            // Nothing changes at 0, where both branches are 0; the slope there is that of max.
            let zero = |g: &Graph, id| g.known(id).is_some_and(|v| v.is(0.0));
            let (c, base) = g.multiple(then);
            let (d, other) = g.multiple(otherwise);
            if base == a && c.is_positive() && zero(g, otherwise) {
                let max = g.max(a, b);
                return Some(g.times(c, max));
            }
            if other == a && d.is_positive() && zero(g, then) {
                let min = g.min(a, b);
                return Some(g.times(d, min));
            }
            None
        }
        Node::Max(a, b) | Node::Min(a, b) => {
            let ((c, s), (d, t)) = (g.multiple(a), g.multiple(b));
            if s != t || matches!(g.node(s), Node::Number(_)) || !g.depends(s) {
                return None;
            }
            let largest = matches!(node, Node::Max(..));
            if c == d.negated() {
                let size = g.call(Call::Abs, s);
                let c = c.magnitude();
                return Some(g.times(if largest { c } else { c.negated() }, size));
            }
            let zero = g.number(Number::ZERO);
            let (up, down) = if d.less_than(c) == largest { (a, b) } else { (b, a) };
            Some(g.choose(Test::Greater, s, zero, up, down))
        }
        _ => None,
    }
}

/// A product with a switch, a `where` of which one branch is 0.
fn switched(g: &mut Graph, id: Id) -> Option<Id> {
    let Node::Product(k, list) = g.node(id).clone() else { return None };
    let zero = |g: &Graph, id| g.known(id).is_some_and(|v| v.is(0.0));
    for (j, &(factor, n)) in list.iter().enumerate() {
        let Node::Where(test, a, b, then, otherwise) = *g.node(factor) else { continue };
        if n < 1 || !(zero(g, then) || zero(g, otherwise)) {
            continue;
        }
        let mut others = list.clone();
        let mut with = |branch| {
            others[j] = (branch, n);
            g.product(k, &others)
        };
        let (then, otherwise) = (with(then), with(otherwise));
        return Some(g.choose(test, a, b, then, otherwise));
    }
    None
}
