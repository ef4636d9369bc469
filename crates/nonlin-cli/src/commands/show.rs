//! `nonlin show`.

use std::fmt::Write;

use anyhow::Result;
use nonlin::{Claims, Exec, Level, Tier};
use serde_json::{Value, json};

use super::{list::facts, print, verify::GATED};
use crate::args::Show;
use crate::chosen::Chosen;
use crate::curve;
use crate::measure::{self, Errors, Speed};
use crate::properties::{Extremum, Kink, Properties, properties};
use crate::sample::sample;
use crate::text::number_text;
use crate::verify::row_bound;

/// Where curves are drawn.
const RANGE: (f64, f64) = (-6.0, 6.0);
const ROWS: usize = 16;
/// Points of a curve in JSON.
const POINTS: usize = 121;
/// Narrower than this, curves stand below each other.
const TWO_PANELS: usize = 76;

/// Zeros, extrema or kinks that are listed; a formula may have hundreds.
const LISTED: usize = 8;

/// What is measured now.
struct Measured {
    f32: (Option<Errors>, Speed),
    f64: (Option<Errors>, Speed),
}

/// Prints all about one function.
pub fn run(args: &Show) -> Result<()> {
    let f = Chosen::new(&args.name, &args.params.params)?;
    let properties = properties(&f);
    let measured = Measured {
        f32: (measure::errors::<f32>(&f), measure::speed::<f32>(&f)),
        f64: (measure::errors::<f64>(&f), measure::speed::<f64>(&f)),
    };
    if args.json {
        let text = serde_json::to_string_pretty(&report(&f, &properties, &measured))?;
        return print(&format!("{text}\n"));
    }
    let columns = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
    print(&text(&f, &properties, &measured, columns.clamp(40, 120))?)
}

/// What a tier is, in words.
fn computed_by(tier: Tier) -> &'static str {
    match tier {
        Tier::Tuned => {
            "compiled kernels, with tables in f32 registers at default parameters (tuned)"
        }
        Tier::Program => "the block engine, from a program recorded from the formula (program)",
        _ => "compiled kernels (compiled)",
    }
}

fn text(f: &Chosen, p: &Properties, measured: &Measured, columns: usize) -> Result<String> {
    let meta = f.meta();
    let mut text = String::new();
    writeln!(text, "{} ({})", f.label(), f.kind())?;
    let mut lines = Lines { text: &mut text, columns };
    lines.line("formula", meta.formula)?;
    if let Chosen::Elementwise(f) = f {
        lines.line("computed as", &f.traced())?;
    }
    if let Some(tier) = f.tier() {
        lines.line("computed by", computed_by(tier))?;
    }
    for (p, value) in f.params() {
        let (value, default) = (number_text(value), number_text(p.default));
        let default = if value == default { String::new() } else { format!(", default {default}") };
        let meaning = if p.doc.is_empty() { String::new() } else { format!(": {}", p.doc) };
        lines.line(
            "parameter",
            &format!("{} = {value} ({}{default}){meaning}", p.name, p.allowed()),
        )?;
    }
    lines.line("also called", &meta.aliases.join(", "))?;
    lines.line("source", meta.source)?;
    lines.line("PyTorch", meta.pytorch)?;
    lines.line("JAX", meta.jax)?;
    lines.line("Keras", meta.keras)?;
    lines.line("ONNX", meta.onnx)?;
    lines.line("use when", meta.use_when)?;
    lines.line("avoid when", meta.avoid_when)?;
    lines.text.push('\n');

    let section = f.section().trim_matches(['[', ']']);
    let section = if f.section().starts_with('[') {
        format!("[{section}]₀")
    } else {
        format!("({section})")
    };
    let (name, slope) = (format!("f{section}"), format!("f′{section}"));
    let two = columns >= TWO_PANELS;
    let width = if two { (columns - 3) / 2 } else { columns };
    let panel = |title: &str, derivative| {
        let points = sample(f, derivative, RANGE, 8 * width);
        curve::panel(title, &points, RANGE, width, ROWS)
    };
    let (left, right) = (panel(&name, false), panel(&slope, true));
    let drawn = if two { curve::beside(&left, &right) } else { [left, right].concat() };
    for line in drawn {
        writeln!(lines.text, "{}", line.trim_end())?;
    }
    lines.text.push('\n');

    if !matches!(f, Chosen::Elementwise(_)) {
        lines.line("properties", &format!("along the section {name} that is drawn"))?;
    }
    let n = |v: f64| short(v);
    lines.line("range", &format!("{} to {}", n(p.range.0), n(p.range.1)))?;
    lines.line("limits", &format!("{} at -inf, {} at inf", n(p.limits.0), n(p.limits.1)))?;
    lines.line(
        "slopes",
        &format!("{} at -inf, {} at inf", n(p.slope_limits.0), n(p.slope_limits.1)),
    )?;
    lines.line("zeros", &listed(&p.zeros, |&z| z, ", ", |&z| n(z)))?;
    let extremum = |e: &Extremum| {
        let kind = if e.minimum { "minimum" } else { "maximum" };
        format!("{kind} {} at {}", n(e.value), n(e.at))
    };
    lines.line("extrema", &listed(&p.extrema, |e| e.at, ", ", extremum))?;
    let kink = |k: &Kink| {
        format!("{}: slope {} to {}, taken as {}", n(k.at), n(k.left), n(k.right), n(k.chosen))
    };
    lines.line("kinks", &listed(&p.kinks, |k| k.at, "; ", kink))?;
    if p.searched {
        lines.line("", "found by a search, since no definition states them for this case")?;
    }
    lines.text.push('\n');

    let (level, elements) = (Level::best(), measure::ELEMENTS);
    writeln!(lines.text, "measured now ({level}, one thread, arrays of {elements})")?;
    for (name, (errors, speed)) in [("f32", &measured.f32), ("f64", &measured.f64)] {
        if let Some(e) = errors {
            let text = format!(
                "{name}: f {} ULP, f′ {} ULP, of {} inputs",
                ulp(e.value),
                ulp(e.slope),
                e.inputs
            );
            lines.line("worst error", &text)?;
        }
        let text = format!(
            "{name}: {:.2} times as long as memcpy, {:.2} ns an element",
            speed.copies, speed.nanoseconds
        );
        lines.line("speed", &text)?;
    }
    Ok(text)
}

/// Points of a curve as text: of many those that are nearest to 0, and how many there are.
fn listed<T>(
    all: &[T],
    at: impl Fn(&T) -> f64,
    between: &str,
    text: impl Fn(&T) -> String,
) -> String {
    if all.is_empty() {
        return "none".to_owned();
    }
    let mut sizes: Vec<f64> = all.iter().map(|p| at(p).abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let most = sizes[sizes.len().min(LISTED) - 1];
    let shown: Vec<String> = all.iter().filter(|p| at(p).abs() <= most).map(text).collect();
    let more = all.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(between) + &more
}

struct Lines<'a> {
    text: &'a mut String,
    columns: usize,
}

impl Lines<'_> {
    /// A name and what belongs to it, wrapped; nothing if that is empty.
    fn line(&mut self, name: &str, content: &str) -> Result<()> {
        const INDENT: usize = 15;
        if content.is_empty() {
            return Ok(());
        }
        let mut line = format!("  {name:13}");
        let mut length = INDENT;
        for word in content.split(' ') {
            let more = word.chars().count() + 1;
            if length + more > self.columns && length > INDENT {
                writeln!(self.text, "{}", line.trim_end())?;
                line = " ".repeat(INDENT);
                length = INDENT;
            }
            line.push_str(word);
            line.push(' ');
            length += more;
        }
        writeln!(self.text, "{}", line.trim_end())?;
        Ok(())
    }
}

/// At most six digits.
fn short(v: f64) -> String {
    if !v.is_finite() || v == 0.0 {
        return number_text(v + 0.0);
    }
    // Through text, so that 0.1 stays 0.1.
    number_text(format!("{v:.5e}").parse().unwrap_or(v))
}

fn ulp(v: f64) -> String {
    if v < 1e4 { format!("{v:.3}") } else { format!("{v:.1e}") }
}

/// The report as data, with points of both curves and an example; JSON has no infinities, so
/// these are text.
fn report(f: &Chosen, p: &Properties, measured: &Measured) -> Value {
    let number = |v: f64| if v.is_finite() { json!(v) } else { json!(number_text(v)) };
    let pair = |(a, b): (f64, f64)| json!([number(a), number(b)]);
    let mut all = facts(f);
    if let Chosen::Elementwise(f) = f {
        all.insert("computed_as".to_owned(), json!(f.traced()));
    }
    let extrema = p.extrema.iter().map(|e| {
        let kind = if e.minimum { "minimum" } else { "maximum" };
        json!({ "kind": kind, "x": number(e.at), "value": number(e.value) })
    });
    let kinks = p.kinks.iter().map(|k| {
        json!({
            "x": number(k.at),
            "left": number(k.left),
            "right": number(k.right),
            "chosen": number(k.chosen),
        })
    });
    let properties = json!({
        "section": f.section(),
        "searched": p.searched,
        "range": pair(p.range),
        "limits": pair(p.limits),
        "slope_limits": pair(p.slope_limits),
        "zeros": p.zeros,
        "extrema": extrema.collect::<Vec<_>>(),
        "kinks": kinks.collect::<Vec<_>>(),
        "bounds_ulp": bounds(f),
        "claims": f.claims().map(claims),
    });
    all.insert("properties".to_owned(), properties);
    let curve = |derivative| {
        let points = sample(f, derivative, RANGE, POINTS);
        points.into_iter().map(|(x, y)| json!([x, y])).collect::<Vec<_>>()
    };
    all.insert("curve".to_owned(), json!({ "value": curve(false), "slope": curve(true) }));
    all.insert("example".to_owned(), example(f));
    let measured =
        [("f32", &measured.f32), ("f64", &measured.f64)].map(|(name, (errors, speed))| {
            let errors = errors.as_ref().map(|e| {
            json!({ "value": number(e.value), "slope": number(e.slope), "inputs": e.inputs })
        });
            json!({
                "type": name,
                "worst_error_ulp": errors,
                "times_memcpy": speed.copies,
                "nanoseconds": speed.nanoseconds,
            })
        });
    let level = Level::best().name();
    let measured = json!({
        "level": level,
        "threads": 1,
        "elements": measure::ELEMENTS,
        "types": measured,
    });
    all.insert("measured".to_owned(), measured);
    Value::Object(all)
}

/// What a definition claims beside limits, zeros and kinks.
fn claims(c: &Claims) -> Value {
    let output = |(f32, f64): (f64, f64)| json!({ "f32": f32, "f64": f64 });
    json!({
        "lipschitz": if c.lipschitz.is_finite() { json!(c.lipschitz) } else { json!("inf") },
        "monotone": c.monotone,
        "odd": c.odd,
        "idempotent": c.idempotent,
        "from_output_roundoffs": c.from_output.map(output),
    })
}

/// What values and slopes may be off, in units of the last place; of a row, in one of 64 elements.
fn bounds(f: &Chosen) -> Option<Value> {
    let bound = |(value, slope): (f64, f64)| json!({ "value": value, "slope": slope });
    let (f32, f64) = match f {
        Chosen::Elementwise(_) => {
            let bounds = f.claims()?.bounds;
            (bounds.f32, bounds.f64)
        }
        Chosen::Gated(_) if f.is_formula() => return None,
        Chosen::Gated(_) => ((GATED[0], GATED[1]), (GATED[0], GATED[1])),
        Chosen::Rows(_) => {
            let value = json!({ "value": row_bound(64) });
            return Some(json!({ "f32": value, "f64": value }));
        }
    };
    Some(json!({ "f32": bound(f32), "f64": bound(f64) }))
}

/// A few inputs in f32, with the results and gradients that the library has for them.
fn example(f: &Chosen) -> Value {
    // Through text, so that 0.1 in f32 stays 0.1.
    let list = |v: &[f32]| -> Value {
        v.iter().map(|v| v.to_string().parse::<f64>().map_or(Value::Null, |v| json!(v))).collect()
    };
    let exec = Exec::new();
    match f {
        Chosen::Elementwise(f) => {
            let (x, grad) = ([-2.0, -0.5, 0.0, 1.0, 3.0], [1.0, 1.0, 1.0, 2.0, 0.5]);
            let (mut y, mut dx) = ([0.0; 5], [0.0; 5]);
            f.forward(&x, &mut y);
            f.backward(&x, &grad, &mut dx);
            json!({
                "inputs": [list(&x)],
                "output": list(&y),
                "gradient": list(&grad),
                "gradients": [list(&dx)],
            })
        }
        Chosen::Gated(f) => {
            let (a, b, grad) = ([-1.0, 0.5, 2.0], [2.0, -1.0, 3.0], [1.0, 1.0, 0.5]);
            let (mut y, mut da, mut db) = ([0.0; 3], [0.0; 3], [0.0; 3]);
            f.forward(&a, &b, &mut y);
            f.backward(&a, &b, &grad, &mut da, &mut db);
            json!({
                "inputs": [list(&a), list(&b)],
                "output": list(&y),
                "gradient": list(&grad),
                "gradients": [list(&da), list(&db)],
            })
        }
        Chosen::Rows(f) => {
            let (x, grad, shape) =
                ([1.0, 2.0, 3.0, 0.0, 0.0, 4.0], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0], [2, 3, 1]);
            let (mut y, mut dx) = ([0.0; 6], [0.0; 6]);
            // The shape has as many elements as the arrays, so neither can fail.
            let _ = f.forward(&exec, &x, &shape, &mut y);
            let _ = f.backward_from_output(&exec, &y, &grad, &shape, &mut dx);
            json!({
                "inputs": [list(&x)],
                "shape": [2, 3],
                "output": list(&y),
                "gradient": list(&grad),
                "gradients": [list(&dx)],
            })
        }
    }
}
