//! Formulas that are functions of the catalogue.

use super::graph::{Graph, Id, Node};
use super::number::Number;
use super::{Declared, parse, rules};
use crate::activation::{Gate, Param, Parameter};
use crate::catalog;
use crate::function::Function;
use crate::gated::GatedFunction;
use alloc::{collections::BTreeMap, vec::Vec};

/// Constants of a formula that are tried as values of a parameter, at most.
const MOST_VALUES: usize = 12;

/// The elementwise function whose formula, rewritten as `root` was, is `root`.
///
/// Parameters that the text declares must be the function's, by their names. Where it declares none,
/// the function's may be constants of the text.
pub(crate) fn elementwise(g: &Graph, root: Id, params: &[Declared]) -> Option<Function> {
    let all = || catalog::functions().iter().copied();
    if !params.is_empty() {
        return all().find_map(|f| declared(g, root, params, f));
    }
    // Of those that are equal at their defaults, the simplest.
    let simplest = |f: &&Function| (f.values().len(), f.meta().formula.len());
    let equal = |f: &&Function| {
        let own: Vec<Parameter<'_>> = f.params().map(|(p, _)| p).collect();
        definition(&mut g.clone(), f, &defaults(&own)) == Some(root)
    };
    match all().filter(equal).min_by_key(simplest) {
        Some(f) => Some(f.clone()),
        None => all().find_map(|f| valued(g, root, f)),
    }
}

/// The defaults of parameters, as the constants that a text would have for them.
fn defaults(own: &[Parameter<'_>]) -> Vec<Number> {
    own.iter().map(|p| Number::parameter(p.default, p.exact.then_some(p.rest))).collect()
}

/// A function whose parameters are constants of the text.
fn valued(g: &Graph, root: Id, f: &Function) -> Option<Function> {
    let own: Vec<Parameter<'_>> = f.params().map(|(p, _)| p).collect();
    if own.is_empty() || own.len() > 2 {
        return None;
    }
    let defaults = defaults(&own);
    let mut scratch = g.clone();
    let id = definition(&mut scratch, f, &defaults)?;
    if kinds(&scratch, id) != kinds(g, root) {
        return None;
    }
    let mut values = values(g, root);
    values.extend(&defaults);
    let others = if own.len() > 1 { &values[..] } else { &[Number::ONE] };
    for (&v, &w) in values.iter().flat_map(|v| others.iter().map(move |w| (v, w))) {
        let all = &[v, w][..own.len()];
        if definition(&mut g.clone(), f, all) == Some(root) {
            // A constant that is neither a decimal nor the function's own is none of its values.
            let plain = |v: &Number| *v == Number::parameter(v.nearest(), None);
            if all.iter().zip(&defaults).all(|(v, d)| v == d || plain(v)) {
                let all: Vec<f64> = all.iter().map(|v| v.nearest()).collect();
                return f.with_values(&all).ok();
            }
        }
    }
    None
}

/// A function whose parameters are those that the text declares.
fn declared(g: &Graph, root: Id, params: &[Declared], f: &Function) -> Option<Function> {
    let own: Vec<Parameter<'_>> = f.params().map(|(p, _)| p).collect();
    if own.len() != params.len() {
        return None;
    }
    let mut bound = Vec::new();
    let mut values = Vec::new();
    let mut scratch = g.clone();
    for p in &own {
        let i = params.iter().position(|d| d.name == p.name)?;
        let d = &params[i];
        // Bounds that the text leaves out are the function's.
        let free = d.low == -Param::LIMIT && d.high == Param::LIMIT;
        if !free && (d.low, d.high) != (p.low, p.high) {
            return None;
        }
        bound.push((p.name, scratch.param(i)));
        values.push(d.default);
    }
    let id = parse::definition(f.meta().formula, &["x"], &bound, &mut scratch).ok()?;
    let id = rules::stable(&mut scratch, id);
    if id == root { f.with_values(&values).ok() } else { None }
}

/// The gated function whose formula is `root`, with either operand as its gate.
pub(crate) fn gated(g: &Graph, root: Id) -> Option<GatedFunction> {
    catalog::gated_functions().iter().find_map(|f| {
        let usual = f.gate();
        let other = if usual == Gate::First { Gate::Second } else { Gate::First };
        for (operands, gate) in [(["a", "b"], usual), (["b", "a"], other)] {
            let mut scratch = g.clone();
            let id = parse::definition(f.meta().formula, &operands, &[], &mut scratch).ok()?;
            if rules::stable(&mut scratch, id) == root {
                return Some(f.with_gate(gate));
            }
        }
        None
    })
}

/// A definition with constants for its parameters, rewritten.
fn definition(g: &mut Graph, f: &Function, values: &[Number]) -> Option<Id> {
    let mut bound = Vec::new();
    for ((p, _), &v) in f.params().zip(values) {
        bound.push((p.name, g.number(v)));
    }
    let id = parse::definition(f.meta().formula, &["x"], &bound, g).ok()?;
    let id = rules::stable(g, id);
    g.excess.is_none().then_some(id)
}

/// How many of each function and each kind of step there are.
fn kinds(g: &Graph, root: Id) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for (id, needed) in g.needed(root).into_iter().enumerate() {
        let kind = match g.node(id) {
            _ if !needed => continue,
            Node::Call(f, _) => f.name(),
            Node::Max(..) | Node::Min(..) | Node::Where(..) => "choice",
            Node::Power(..) => "power",
            _ => continue,
        };
        *counts.entry(kind).or_insert(0) += 1;
    }
    counts
}

/// The constants of a formula, their negatives and reciprocals.
fn values(g: &Graph, root: Id) -> Vec<Number> {
    let mut all = Vec::new();
    let mut see = |v: Number| {
        for v in [v, v.negated(), Number::ONE.over(v), Number::MINUS_ONE.over(v)] {
            if v.is_finite() && !all.contains(&v) && all.len() < MOST_VALUES {
                all.push(v);
            }
        }
    };
    for (id, needed) in g.needed(root).into_iter().enumerate() {
        match g.node(id) {
            _ if !needed => {}
            Node::Number(v) => see(*v),
            Node::Sum(k, terms) => {
                see(*k);
                terms.iter().for_each(|(c, _)| see(*c));
            }
            Node::Product(c, _) => see(*c),
            _ => {}
        }
    }
    all
}
