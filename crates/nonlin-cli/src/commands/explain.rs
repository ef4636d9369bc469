//! `nonlin explain`.

use std::fmt::Write as _;

use anyhow::Result;
use nonlin::Formula;
use serde_json::{Value, json};

use super::print;
use crate::args::Explain;
use crate::catalog;
use crate::explain::{Errors, MANY, Measured, measure, units_text};
use crate::text::number_text;

/// Explains how a formula is computed.
pub fn run(args: &Explain) -> Result<()> {
    let formula = catalog::formula(&args.formula).unwrap_or(&args.formula);
    let f = Formula::parse(formula).map_err(nonlin::Error::from)?;
    let measured = measure(&f);
    if args.json {
        let text = serde_json::to_string_pretty(&report(&f, &measured)?)?;
        return print(&format!("{text}\n"));
    }
    print(&text(&f, &measured)?)
}

/// The function of the catalogue that a formula is.
fn built_in(f: &Formula) -> Option<String> {
    let elementwise = f.built_in().map(|f| {
        let changed = f.params().filter(|(p, v)| p.default != *v);
        let changed: Vec<String> =
            changed.map(|(p, v)| format!("{}={}", p.name, number_text(v))).collect();
        match changed.as_slice() {
            [] => f.name().to_owned(),
            changed => format!("{}({})", f.name(), changed.join(", ")),
        }
    });
    elementwise.or_else(|| f.gated_built_in().map(|g| g.name().to_owned()))
}

fn text(f: &Formula, m: &Measured) -> Result<String> {
    let mut out = String::new();
    writeln!(out, "formula      {}", f.text())?;
    writeln!(out, "read as      {f}")?;
    writeln!(out, "computed as  {}", f.stable())?;
    if let Some(name) = built_in(f) {
        writeln!(out, "built-in     {name}: its kernels, with all their bits")?;
    }
    let program = f.instructions()?;
    writeln!(out, "\nprogram, for arrays of f32")?;
    for (name, lines) in [("forward", &program.forward), ("backward", &program.backward)] {
        for (i, line) in lines.iter().enumerate() {
            writeln!(out, "  {:10} {line}", if i == 0 { name } else { "" })?;
        }
    }
    if f.rewritings().len() > 0 {
        writeln!(out, "\nrewritten")?;
    }
    for (i, r) in f.rewritings().enumerate() {
        writeln!(out, "  {}. {}", i + 1, r.before)?;
        writeln!(out, "     {}", r.after)?;
        writeln!(out, "     since {}  [{}]", r.reason, r.rule)?;
    }
    writeln!(
        out,
        "\nerror in f64, in units in the last place, over {} inputs of every exponent from 2^-64 to \
         2^64, against the computed form in 30 digits",
        m.inputs
    )?;
    for (name, e) in [("as written", &m.written), ("as computed", &m.computed)] {
        writeln!(
            out,
            "  {name:12} largest {}{}, median {:.2}",
            units_text(e.worst.0),
            if e.worst.0 > 0.0 { format!(" at {}", short(e.worst.1)) } else { String::new() },
            e.median
        )?;
        if let Some((n, x)) = e.lost {
            writeln!(out, "  {:12} no number for {n} inputs, as at {}", "", short(x))?;
        }
    }
    let c = &m.computed;
    if c.cancels.is_empty() {
        writeln!(out, "it loses no digits: nowhere more than {MANY} units")?;
    } else {
        writeln!(out, "it still loses digits:")?;
        for &(from, to, most) in &c.cancels {
            writeln!(out, "  from {} to {}: {}", short(from), short(to), units_text(most))?;
        }
    }
    Ok(out)
}

fn short(x: f64) -> String {
    if x == 0.0 || (1e-3..1e5).contains(&x.abs()) { format!("{x:.4}") } else { format!("{x:.3e}") }
}

fn report(f: &Formula, m: &Measured) -> Result<Value> {
    let program = f.instructions()?;
    let errors = |e: &Errors| {
        json!({
            "largest": e.worst.0,
            "at": e.worst.1,
            "median": e.median,
            "no_number": e.lost.map_or(0, |(n, _)| n),
            "loses": e.cancels.iter().map(|(from, to, most)| json!({"from": from, "to": to, "units": most})).collect::<Vec<_>>(),
        })
    };
    let steps = f
        .rewritings()
        .map(|r| json!({"before": r.before, "after": r.after, "rule": r.rule, "reason": r.reason}));
    Ok(json!({
        "formula": f.text(),
        "read_as": f.to_string(),
        "computed_as": f.stable(),
        "built_in": built_in(f),
        "program": {"forward": program.forward, "backward": program.backward},
        "rewritings": steps.collect::<Vec<_>>(),
        "inputs": m.inputs,
        "as_written": errors(&m.written),
        "as_computed": errors(&m.computed),
    }))
}
