//! `nonlin list`.

use std::fmt::Write;

use anyhow::Result;
use nonlin::Tier;
use serde_json::{Map, Value, json};

use super::print;
use crate::args::List;
use crate::catalog;
use crate::chosen::Chosen;
use crate::text::number_text;

/// Prints the catalogue.
pub fn run(args: &List) -> Result<()> {
    let all: Vec<Chosen> = Chosen::all().chain(Chosen::formulas()).collect();
    if args.json {
        let mut all: Vec<Value> = all.iter().map(|f| Value::Object(facts(f))).collect();
        for (name, entry) in catalog::entries() {
            let mut facts = facts(&Chosen::new(name, &[])?);
            facts["name"] = json!(name);
            facts["source"] = json!(entry.source);
            facts.insert("notes".to_owned(), json!(entry.notes));
            all.push(Value::Object(facts));
        }
        return print(&format!("{}\n", serde_json::to_string_pretty(&all)?));
    }
    let widest = all.iter().map(|f| f.meta().name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut kind = String::new();
    for f in &all {
        let of = if f.is_formula() {
            format!("{}, by a formula", f.kind())
        } else {
            f.kind().to_owned()
        };
        if of != kind {
            kind = of;
            let gap = if text.is_empty() { "" } else { "\n" };
            writeln!(text, "{gap}{kind}")?;
        }
        let meta = f.meta();
        writeln!(text, "  {:widest$}  {}", meta.name, meta.formula)?;
        let mut about = Vec::new();
        let params = f.params();
        if !params.is_empty() {
            let each = params.iter().map(|(p, v)| format!("{} = {}", p.name, number_text(*v)));
            about.push(each.collect::<Vec<_>>().join(", "));
        }
        if !meta.aliases.is_empty() {
            about.push(format!("also {}", meta.aliases.join(", ")));
        }
        if !meta.source.is_empty() {
            about.push(meta.source.to_owned());
        }
        if !about.is_empty() {
            writeln!(text, "  {:widest$}  {}", "", about.join("; "))?;
        }
    }
    if catalog::entries().next().is_some() {
        writeln!(text, "\nof the file")?;
    }
    for (name, entry) in catalog::entries() {
        writeln!(text, "  {name:widest$}  {}", entry.formula)?;
        let about = [&*entry.source, &*entry.notes];
        let about: Vec<&str> = about.into_iter().filter(|t| !t.is_empty()).collect();
        if !about.is_empty() {
            writeln!(text, "  {:widest$}  {}", "", about.join("; "))?;
        }
    }
    print(&text)
}

/// What the catalogue says of a function, for `--json`.
pub fn facts(f: &Chosen) -> Map<String, Value> {
    let meta = f.meta();
    let name = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    let params = f.params();
    let params = params.iter().map(|(p, value)| {
        json!({
            "name": p.name,
            "default": p.default,
            "value": value,
            "low": p.low,
            "high": p.high,
            "meaning": p.doc,
        })
    });
    let facts = json!({
        "name": meta.name,
        "aliases": meta.aliases,
        "kind": f.kind(),
        "parameters": params.collect::<Vec<_>>(),
        "formula": meta.formula,
        "tier": f.tier().map(Tier::name),
        "source": meta.source,
        "pytorch": name(meta.pytorch),
        "jax": name(meta.jax),
        "keras": name(meta.keras),
        "onnx": name(meta.onnx),
        "use_when": name(meta.use_when),
        "avoid_when": name(meta.avoid_when),
    });
    match facts {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
