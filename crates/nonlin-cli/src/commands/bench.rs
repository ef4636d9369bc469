//! `nonlin bench`.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use half::{bf16, f16};
use nonlin::{Exec, Level};
use serde_json::{Value, json};

use super::print;
use crate::args::Bench;
use crate::bench::{self, ROW, Setup, Timing};
use crate::chosen::Chosen;

/// Times functions next to yardsticks.
pub fn run(args: &Bench) -> Result<()> {
    let level = match &args.level {
        Some(name) => name.parse()?,
        None => Level::best(),
    };
    let exec = Exec::new().level(level)?;
    let exec = if args.threads > 1 { exec.parallel() } else { exec };
    let chosen: Vec<Chosen> = if args.names.is_empty() {
        Chosen::all().collect()
    } else {
        args.names.iter().map(|n| Chosen::new(n, &[])).collect::<Result<_>>()?
    };
    let n = usize::try_from(args.size)?;
    if n < ROW && chosen.iter().any(|f| matches!(f, Chosen::Rows(_))) {
        bail!("--size {n} is less than a row of {ROW} elements, which row-wise functions need");
    }
    let setup = Setup { n, inputs: args.inputs, layouts: args.layouts };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads).build()?;
    let timings = pool.install(|| match args.dtype.as_str() {
        "f32" => Ok(bench::run::<f32>(&chosen, &exec, &setup)),
        "f64" => Ok(bench::run::<f64>(&chosen, &exec, &setup)),
        "f16" => Ok(bench::run::<f16>(&chosen, &exec, &setup)),
        "bf16" => Ok(bench::run::<bf16>(&chosen, &exec, &setup)),
        other => bail!("unknown dtype `{other}`; it must be one of f32, f64, f16, bf16"),
    })?;
    if args.json {
        let rows: Vec<Value> = timings.iter().map(value).collect();
        let all = json!({
            "dtype": args.dtype,
            "size": n,
            "inputs": args.inputs.name(),
            "threads": args.threads,
            "level": level.name(),
            "rows": rows,
        });
        return print(&format!("{}\n", serde_json::to_string_pretty(&all)?));
    }
    print(&table(&timings, args, level)?)
}

fn value(t: &Timing) -> Value {
    json!({
        "name": t.name,
        "what": t.what,
        "ns_per_element": t.nanoseconds,
        "fastest_ns_per_element": t.fastest,
        "copies": t.copies,
        "gb_per_s": t.throughput,
    })
}

fn table(timings: &[Timing], args: &Bench, level: Level) -> Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "{} x {}, {} inputs, level {level}, {} thread{}; copies: time as a multiple of memcpy of \
         as many bytes",
        args.size,
        args.dtype,
        args.inputs.name(),
        args.threads,
        if args.threads == 1 { "" } else { "s" },
    )?;
    writeln!(text, "{:22} {:9} {:>10} {:>8} {:>8}", "", "", "ns/element", "copies", "GB/s")?;
    for t in timings {
        writeln!(
            text,
            "{:22} {:9} {:>10.4} {:>8.2} {:>8.1}",
            t.name, t.what, t.nanoseconds, t.copies, t.throughput
        )?;
    }
    Ok(text)
}
