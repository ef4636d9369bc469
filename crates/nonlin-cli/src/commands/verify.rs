//! `nonlin verify`.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use nonlin::{Exec, Function, GatedFunction, Level};
use serde_json::{Value, json};

use super::print;
use crate::args::Verify;
use crate::chosen::{Chosen, Rows};
use crate::output;
use crate::verify::{self, Errors};

/// What a gated function may be off: value, both partial derivatives.
pub(super) const GATED: [f64; 3] = [2.5, 4.5, 4.5];
/// What a gradient by the input may be off.
const BACKWARD: f64 = 4.5;
/// What a half-precision result may be off, and one that is of two roundings.
const HALF: f64 = 0.501;
const HALF_TWICE: f64 = 0.502;
/// A bound that is looser than the truth by more than this is stale (exhaustive runs only).
const SLACK: f64 = 0.25;

/// One line of the report.
struct Row {
    function: String,
    dtype: &'static str,
    what: &'static str,
    level: Level,
    errors: Errors,
    /// Nothing for a formula that the catalogue does not have.
    bound: Option<f64>,
    verdict: &'static str,
}

/// What is said of a formula, for which there is no contract.
const MEASURED: &str = "measured";

/// Measures errors and holds them against the contract.
pub fn run(args: &Verify) -> Result<()> {
    let level = match &args.level {
        Some(name) => name.parse()?,
        None => Level::best(),
    };
    let exec = Exec::new().level(level)?;
    if let Some(record) = &args.digests {
        return digests(record, &args.names);
    }
    let chosen = chosen(&args.names)?;
    if let (Some(_), Some(f)) = (&args.record, chosen.iter().find(|f| f.is_formula())) {
        bail!("`{}` is a formula; records are of functions of the catalogue", f.label());
    }
    let dtypes: Vec<&'static str> = match &args.dtype {
        Some(d) => match ["f32", "f64", "f16", "bf16"].into_iter().find(|n| n == d) {
            Some("f64") if args.exhaustive => {
                bail!("f64 has 2^64 inputs; --exhaustive takes f32, f16 and bf16")
            }
            Some(d) => vec![d],
            None => bail!("unknown dtype `{d}`; it must be one of f32, f64, f16, bf16"),
        },
        None if args.exhaustive => vec!["f32"],
        None => vec!["f32", "f64", "f16", "bf16"],
    };
    let mut rows = Vec::new();
    for f in &chosen {
        let first = rows.len();
        for &dtype in &dtypes {
            match f {
                // Samples of the half types are all of their numbers.
                Chosen::Elementwise(f) if args.exhaustive && dtype == "f32" => {
                    exhaustive(f, &exec, args.record.as_deref(), &mut rows)?;
                }
                Chosen::Elementwise(f) => sampled(f, dtype, &exec, args.points, &mut rows),
                Chosen::Gated(g) if !args.exhaustive => {
                    gated(g, dtype, &exec, args.points / 4, &mut rows);
                }
                Chosen::Rows(f) if !args.exhaustive => row_wise(f, dtype, &exec, &mut rows),
                Chosen::Gated(_) | Chosen::Rows(_) => {}
            }
        }
        if f.is_formula() {
            for row in &mut rows[first..] {
                (row.bound, row.verdict) = (None, MEASURED);
            }
        }
    }
    let failed = rows.iter().filter(|r| !["pass", MEASURED].contains(&r.verdict)).count();
    if args.json {
        let all: Vec<Value> = rows.iter().map(Row::json).collect();
        print(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
    } else {
        print(&table(&rows, args.exhaustive)?)?;
    }
    if failed > 0 {
        bail!("{failed} of {} lines do not hold the contract", rows.len());
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<Chosen>> {
    if names.is_empty() {
        return Ok(Chosen::all().collect());
    }
    names.iter().map(|n| Chosen::new(n, &[])).collect()
}

fn gated(g: &GatedFunction, dtype: &'static str, exec: &Exec, points: u64, rows: &mut Vec<Row>) {
    use half::{bf16, f16};
    let (errors, bounds) = match dtype {
        "f32" => (verify::gated::<f32>(g, exec, points), GATED),
        "f64" => (verify::gated::<f64>(g, exec, points), GATED),
        "f16" => (verify::gated::<f16>(g, exec, points), [HALF; 3]),
        _ => (verify::gated::<bf16>(g, exec, points), [HALF; 3]),
    };
    for (k, what) in ["f", "df/da", "df/db"].into_iter().enumerate() {
        rows.push(Row::new(g.name(), dtype, what, exec.current_level(), errors[k], bounds[k]));
    }
}

fn row_wise(f: &Rows, dtype: &'static str, exec: &Exec, rows: &mut Vec<Row>) {
    use half::{bf16, f16};
    let name = f.softmax().name();
    for (lengths, what) in verify::LENGTHS.into_iter().zip(["n<=64", "n<=1k", "n=100k"]) {
        let longest = lengths.iter().max().copied().unwrap_or(1);
        let bound = verify::row_bound(longest);
        let (errors, bound) = match dtype {
            "f32" => (verify::rows::<f32>(f.softmax(), exec, lengths), bound),
            "f64" => (verify::rows::<f64>(f.softmax(), exec, lengths), bound),
            "f16" => (verify::rows::<f16>(f.softmax(), exec, lengths), HALF_TWICE),
            _ => (verify::rows::<bf16>(f.softmax(), exec, lengths), HALF_TWICE),
        };
        rows.push(Row::new(name, dtype, what, exec.current_level(), errors, bound));
    }
}

fn sampled(f: &Function, dtype: &'static str, exec: &Exec, points: u64, rows: &mut Vec<Row>) {
    use half::{bf16, f16};
    let bounds = f.claims().bounds;
    let (errors, bound) = match dtype {
        "f32" => (verify::sampled(f, exec, &verify::sample::<f32>(f, points)), bounds.f32),
        "f64" => (verify::sampled(f, exec, &verify::sample::<f64>(f, points)), bounds.f64),
        "f16" => (
            verify::sampled(f, exec, &(0..=u16::MAX).map(f16::from_bits).collect::<Vec<_>>()),
            (HALF, HALF),
        ),
        _ => (
            verify::sampled(f, exec, &(0..=u16::MAX).map(bf16::from_bits).collect::<Vec<_>>()),
            (HALF, HALF),
        ),
    };
    let back = if matches!(dtype, "f32" | "f64") { BACKWARD } else { HALF_TWICE };
    for (what, errors, bound) in
        [("f", errors[0], bound.0), ("f'", errors[1], bound.1), ("g f'", errors[2], back)]
    {
        rows.push(Row::new(f.name(), dtype, what, exec.current_level(), errors, bound));
    }
}

fn exhaustive(f: &Function, exec: &Exec, record: Option<&Path>, rows: &mut Vec<Row>) -> Result<()> {
    if let Some(path) = record
        && recorded(path)?.iter().any(|r| r.function == f.name())
    {
        eprintln!("{}: in {} already", f.name(), path.display());
        return Ok(());
    }
    let style = ProgressStyle::with_template("{msg:14} {bar:40} {percent:>3} %  {eta} left");
    let bar = ProgressBar::new(1 << 16)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(f.name().to_owned());
    let errors = verify::exhaustive(f, exec, &|done| bar.set_position(done));
    bar.finish_and_clear();
    let bounds = f.claims().bounds.f32;
    let first = rows.len();
    for (what, errors, bound) in [("f", errors[0], bounds.0), ("f'", errors[1], bounds.1)] {
        let mut row = Row::new(f.name(), "f32", what, exec.current_level(), errors, bound);
        if row.verdict == "pass" && bound - errors.worst > SLACK {
            row.verdict = "stale";
        }
        rows.push(row);
    }
    if let Some(path) = record {
        let mut text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => format!("{HEADER}\n"),
            Err(e) => return Err(e).with_context(|| path.display().to_string()),
        };
        for r in &rows[first..] {
            let e = &r.errors;
            writeln!(
                text,
                "{},{},{},{:.6},{:e},{:.6},{},{},{},{:016x}",
                r.function,
                r.what,
                r.level,
                e.worst,
                e.at,
                e.mean(),
                e.misrounded,
                e.wrong_steps,
                e.excused,
                e.digest
            )?;
        }
        output::write(path, text.as_bytes())?;
    }
    Ok(())
}

const HEADER: &str =
    "function,what,level,max_ulp,at,mean_ulp,misrounded,wrong_steps,near_zero,digest";

/// A line of a record, as far as digests need it.
struct Recorded {
    function: String,
    what: String,
    digest: u64,
}

fn recorded(path: &Path) -> Result<Vec<Recorded>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().filter(|l| *l != HEADER && !l.is_empty());
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let digest = fields.last().and_then(|d| u64::from_str_radix(d, 16).ok());
            match (fields.as_slice(), digest) {
                ([function, what, ..], Some(digest)) => {
                    Ok(Recorded { function: (*function).into(), what: (*what).into(), digest })
                }
                _ => bail!("{}: `{line}` is not a line of a record", path.display()),
            }
        })
        .collect()
}

fn elementwise(name: &str) -> Result<Function> {
    match Chosen::new(name, &[])? {
        Chosen::Elementwise(f) => Ok(f),
        other => bail!("`{name}` is {}; records are of elementwise functions", other.kind()),
    }
}

/// Computes the digests of elementwise functions again (all if none is named), at every level
/// with fused multiply-add, and compares them with a record.
fn digests(path: &Path, names: &[String]) -> Result<()> {
    let record = recorded(path)?;
    let (mut wrong, mut compared) = (0, 0);
    let named: Vec<Function> = match names {
        [] => nonlin::functions().iter().map(|&f| f.clone()).collect(),
        names => names.iter().map(|name| elementwise(name)).collect::<Result<_>>()?,
    };
    for f in &named {
        for level in verify::levels().into_iter().filter(|l| l.fused()) {
            let (value, slope) = verify::digests(f, &Exec::new().level(level)?);
            for (what, digest) in [("f", value), ("f'", slope)] {
                compared += 1;
                let entry = record.iter().find(|r| r.function == f.name() && r.what == what);
                let verdict = match entry {
                    Some(r) if r.digest == digest => "same",
                    Some(_) => "DIFFERENT: run `cargo xtask exhaustive`",
                    None => "NOT RECORDED: run `cargo xtask exhaustive`",
                };
                wrong += usize::from(verdict != "same");
                print(&format!(
                    "{:14} {:3} {:8} {digest:016x} {verdict}\n",
                    f.name(),
                    what,
                    level.name()
                ))?;
            }
        }
    }
    if wrong > 0 {
        bail!("{wrong} of {compared} digests are not those of {}", path.display());
    }
    Ok(())
}

impl Row {
    fn new(
        function: &str,
        dtype: &'static str,
        what: &'static str,
        level: Level,
        errors: Errors,
        bound: f64,
    ) -> Self {
        let verdict = if errors.hold(bound) { "pass" } else { "FAIL" };
        let (function, bound) = (function.to_owned(), Some(bound));
        Row { function, dtype, what, level, errors, bound, verdict }
    }

    fn json(&self) -> Value {
        let e = &self.errors;
        let number = |v: f64| if v.is_finite() { json!(v) } else { json!(v.to_string()) };
        json!({
            "function": self.function,
            "dtype": self.dtype,
            "what": self.what,
            "level": self.level.name(),
            "inputs": e.inputs,
            "max_ulp": number(e.worst),
            "at": number(e.at),
            "at_b": number(e.at_b),
            "mean_ulp": number(e.mean()),
            "misrounded": e.misrounded,
            "misrounded_share": e.misrounded as f64 / e.inputs.max(1) as f64,
            "near_zero": e.excused,
            "wrong_steps": e.wrong_steps,
            "worst_step_ulp": e.worst_step,
            "misplaced": e.misplaced,
            "bound": self.bound,
            "verdict": self.verdict,
        })
    }
}

fn table(rows: &[Row], exhaustive: bool) -> Result<String> {
    let mut text = String::new();
    let reference =
        if exhaustive { verify::EXHAUSTIVE_REFERENCE } else { "double-double arithmetic" };
    writeln!(text, "errors in units of the last place; reference: {reference}")?;
    writeln!(
        text,
        "{:13} {:5} {:6} {:8} {:>10}  {:>24}  {:>8} {:>10} {:>9} {:>6} {:>6} {:>11} {:>6}",
        "function",
        "dtype",
        "what",
        "level",
        "max",
        "at",
        "mean",
        "misrounded",
        "share",
        "steps",
        "astray",
        "inputs",
        "bound"
    )?;
    for r in rows {
        let e = &r.errors;
        let at = if !r.what.starts_with("df/") && (r.what != "f" || e.at_b == 0.0) {
            format!("{:e}", e.at)
        } else {
            format!("{:.4e}, {:.4e}", e.at, e.at_b)
        };
        writeln!(
            text,
            "{:13} {:5} {:6} {:8} {:>10.4}  {at:>24}  {:>8.4} {:>10} {:>7.4} % {:>6} {:>6} {:>11} {:>6} {}",
            r.function,
            r.dtype,
            r.what,
            r.level.name(),
            e.worst,
            e.mean(),
            e.misrounded,
            100.0 * e.misrounded as f64 / e.inputs.max(1) as f64,
            e.wrong_steps,
            e.misplaced,
            e.inputs,
            r.bound.map_or("none".to_owned(), |bound| format!("{bound:.4}")),
            r.verdict
        )?;
    }
    Ok(text)
}
