//! `cargo xtask bench-peers`: nonlin and other libraries, timed side by side.
//!
//! Each library waits in a process of its own (`peers/rival.rs`), and all take turns on the same
//! cell in the same second. `bench/speed/record.csv` and `bench/speed/machine.json` hold what was
//! found; docs/performance.md and its figures are written from them.

mod document;
mod figure;
mod record;
mod rival;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::system::{cache, cargo, command, find, output, python_with_peers, root, run};
use record::{HEADER, Row, median};
use rival::{Cell, Rival};

const RECORD: &str = "bench/speed/record.csv";
const MACHINE: &str = "bench/speed/machine.json";

/// A column of the tables: key, title, and the process that it lives in.
pub const LIBRARIES: [(&str, &str, &str); 12] = [
    ("memcpy", "memcpy", "rivals"),
    ("nonlin", "nonlin", "rivals"),
    ("nonlin_ordinary", "nonlin, ordinary stores", "rivals"),
    ("nonlin_streaming", "nonlin, streaming stores", "rivals"),
    ("torch", "PyTorch", "torch"),
    ("torch_compile", "torch.compile", "torch"),
    ("jax", "JAX", "jax"),
    ("onnxruntime", "ONNX Runtime", "onnxruntime"),
    ("tract", "tract-linalg", "rivals"),
    ("numpy", "NumPy, SciPy", "numpy"),
    ("candle", "Candle", "rivals"),
    ("std", "Rust std", "rivals"),
];

/// The elementwise functions, in the order of the tables.
const ELEMENTWISE: [&str; 16] = [
    "relu",
    "leaky_relu",
    "prelu",
    "hard_swish",
    "hard_sigmoid",
    "elu",
    "selu",
    "celu",
    "sigmoid",
    "silu",
    "tanh",
    "gelu",
    "gelu_tanh",
    "mish",
    "softplus",
    "log_sigmoid",
];
const OTHERS: [&str; 4] = ["softmax", "glu", "swiglu", "geglu"];
/// The functions whose gradient can be had from the output.
const SAVED: [&str; 8] =
    ["relu", "leaky_relu", "elu", "selu", "celu", "sigmoid", "tanh", "softmax"];
/// The functions of a quick run.
const FEW: [&str; 7] = ["relu", "elu", "sigmoid", "tanh", "gelu", "softmax", "swiglu"];
/// The functions that are measured over all sizes, and strided.
const SWEPT: [&str; 3] = ["relu", "sigmoid", "gelu"];

/// Elements of the shortest call, which shows what a call costs.
pub const SHORT: usize = 16;
/// Elements that stay in the second cache.
pub const CACHED: usize = 1 << 14;
/// Inputs: longer arrays repeat them.
const INPUTS: usize = 1 << 16;
/// Elements of a result that are checked.
const CHECKED: usize = 1 << 14;
/// Seconds that a call may take in a cell, all rounds together.
const BUDGET: f64 = 1.0;

/// How much is measured.
struct Extent {
    quick: bool,
    /// Elements that stay in no cache.
    large: usize,
    /// Elements of the longest array.
    longest: usize,
    rounds: usize,
    /// Rounds of cells that stay in no cache.
    few_rounds: usize,
    /// Nanoseconds of a slice.
    slice: f64,
}

const FULL: Extent = Extent {
    quick: false,
    large: 1 << 25,
    longest: 1 << 27,
    rounds: 15,
    few_rounds: 5,
    slice: 1e6,
};
const QUICK: Extent =
    Extent { quick: true, large: 1 << 22, longest: 1 << 23, rounds: 3, few_rounds: 3, slice: 3e5 };

/// The largest error that a library may have, relative to the exact result or to 1.
///
/// Ours: 4.5 units of the last place, as the contract says of gradients. Others: what shows that
/// the function is the right one. ONNX Runtime's `log_sigmoid` is a logarithm of a sigmoid, its
/// `gelu_tanh` and PyTorch's `hard_sigmoid` have f32 constants in f64, and JAX rounds half types at
/// each step, which moves corners.
fn tolerance(who: &str, dtype: &str) -> f64 {
    match (who, dtype) {
        ("nonlin", "f32") => 4.5 * 2f64.powi(-23),
        ("nonlin", "f64") => 4.5 * 2f64.powi(-52),
        ("nonlin", "bf16") => 4.5 * 2f64.powi(-7),
        ("onnxruntime", "f32") => 1e-3,
        ("onnxruntime", "f64") => 1e-8,
        ("torch", "f64") => 1e-7,
        ("jax", "bf16") => 0.5,
        (_, "f64") => 1e-12,
        (_, "bf16") => 2f64.powi(-4),
        _ => 1e-5,
    }
}

/// Measures, and writes the document; or, with `--document` or `--check`, only that.
///
/// # Errors
/// A library cannot be installed, a record is wrong, or the document is stale.
pub fn main(args: &[&str]) -> Result<()> {
    match args {
        [] => measure(&FULL)?,
        ["--quick"] => measure(&QUICK)?,
        ["--document"] => {}
        ["--check"] => {
            let stale = write(true)?;
            if !stale.is_empty() {
                bail!("stale: {}; run `cargo xtask bench-peers --document`", stale.join(", "));
            }
            return Ok(());
        }
        _ => bail!("cargo xtask bench-peers [--quick | --document | --check]"),
    }
    for name in write(false)? {
        println!("wrote {name}");
    }
    Ok(())
}

/// Writes what is stale of the document and its figures, or only names it.
fn write(check: bool) -> Result<Vec<String>> {
    let read = |name: &str| {
        std::fs::read_to_string(root().join(name))
            .with_context(|| format!("{name}; `cargo xtask bench-peers` measures it"))
    };
    let rows = record::parse(&read(RECORD)?).context(RECORD)?;
    let machine = serde_json::from_str(&read(MACHINE)?).context(MACHINE)?;
    let mut stale = Vec::new();
    for (name, text) in document::files(&rows, &machine)? {
        let path = root().join(&name);
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        if !check {
            std::fs::create_dir_all(path.parent().context("docs")?)?;
            std::fs::write(&path, text).with_context(|| name.clone())?;
        }
        stale.push(name);
    }
    Ok(stale)
}

/// All cells, and who is asked in each.
fn plan(extent: &Extent) -> Vec<(Cell, Vec<&'static str>)> {
    let all: Vec<&str> = LIBRARIES.iter().map(|l| l.0).collect();
    let without = |out: &[&str]| all.iter().copied().filter(|w| !out.contains(w)).collect();
    let fast: Vec<&str> = without(&["tract", "numpy", "candle", "std", "torch_compile"]);
    let wanted = |f: &&&str| !extent.quick || FEW.contains(*f);
    let mut cells: Vec<(Cell, Vec<&'static str>)> = Vec::new();
    let mut add = |what, function, dtype, n, threads, whos: &[&'static str]| {
        let cell = Cell { what, function, dtype, n, threads };
        if !cells.iter().any(|(c, _)| *c == cell) {
            cells.push((cell, whos.to_vec()));
        }
    };
    let mut group = |dtype, sizes: &[usize], threads, whats: &[&'static str], whos: &[_]| {
        for &n in sizes {
            add("yardstick", "memcpy", dtype, n, threads, whos);
        }
        for &what in whats {
            let (first, rest): (&[&str], &[&str]) = match what {
                "forward" => (&ELEMENTWISE, &OTHERS),
                "from_output" => (&SAVED, &[]),
                _ => (&ELEMENTWISE, &[]),
            };
            for function in first.iter().chain(rest).filter(wanted) {
                for &n in sizes {
                    add(what, function, dtype, n, threads, whos);
                }
            }
        }
    };
    let every = ["forward", "backward", "from_output"];
    for dtype in ["f32", "bf16", "f64"] {
        // What a call costs is taken off the time in the cache, so it is measured next to it.
        group(dtype, &[SHORT, CACHED], 1, &every, &all);
    }
    group("f32", &[extent.large], 1, &every, &all);
    group("bf16", &[extent.large], 1, &["forward"], &fast);
    group("f64", &[extent.large], 1, &["forward"], &fast);
    group("f32", &[extent.large], 2, &["forward", "backward"], &fast);
    for function in SWEPT {
        add("strided", function, "f32", CACHED, 1, &["memcpy", "nonlin", "torch", "numpy"]);
    }
    let mut n = 1 << 8;
    while n <= extent.longest {
        for function in SWEPT {
            add("forward", function, "f32", n, 1, &fast);
        }
        n *= 2;
    }
    cells
}

/// Pseudo-random numbers, normally distributed, from pairs of uniform ones.
fn normal(mut seed: u64) -> impl Iterator<Item = f64> {
    let mut uniform = move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    std::iter::repeat_with(move || {
        let (radius, turn) = ((-2.0 * (1.0 - uniform()).ln()).sqrt(), uniform());
        radius * (std::f64::consts::TAU * turn).cos()
    })
}

/// The nearest number of a type, of two the even one.
fn rounded(v: f64, dtype: &str) -> f64 {
    let single = v as f32;
    match dtype {
        "f64" => v,
        "f32" => f64::from(single),
        _ => {
            let bits = single.to_bits();
            let up = 0x7fff + ((bits >> 16) & 1);
            f64::from(f32::from_bits((bits + up) & 0xffff_0000))
        }
    }
}

/// Files of inputs: x of deviation 3, and a second operand or gradient of deviation 1.
fn inputs(folder: &Path) -> Result<()> {
    for (name, seed, deviation) in [("x", 1, 3.0), ("g", 2, 1.0)] {
        for dtype in ["f32", "f64", "bf16"] {
            let numbers = normal(seed).take(INPUTS).map(|v| rounded(v * deviation, dtype));
            let bytes: Vec<u8> = numbers.flat_map(f64::to_le_bytes).collect();
            std::fs::write(folder.join(format!("{name}.{dtype}")), bytes)?;
        }
    }
    Ok(())
}

/// Measures all cells and writes the records.
fn measure(extent: &Extent) -> Result<()> {
    let start = Instant::now();
    let python = python_with_peers()?;
    let target = cache("rivals")?;
    let manifest = "bench/speed/rivals/Cargo.toml";
    // Not `--locked`: its lock file names the version of this workspace and what that needs.
    run(cargo(["build", "--release", "--manifest-path", manifest])
        .arg("--target-dir")
        .arg(&target))?;
    let program = target.join(format!("release/rivals{}", std::env::consts::EXE_SUFFIX));
    let folder = cache("speed")?;
    inputs(&folder)?;
    let script = "bench/speed/rivals.py";
    run(command(&python).args(["-B", script, "reference"]).arg(&folder))?;
    let mut machine: Value =
        serde_json::from_str(&output(command(&python).args(["-B", script, "machine"]))?)?;

    let plan = plan(extent);
    let mut session =
        Session { folder: folder.clone(), rows: Vec::new(), wrong: Vec::new(), failed: Vec::new() };
    let mut versions = BTreeMap::new();
    for threads in [1, 2] {
        let mut rivals = BTreeMap::new();
        for name in ["rivals", "torch", "jax", "onnxruntime", "numpy"] {
            let mut start = match name {
                "rivals" => worker(&program, threads, &[])?,
                name => worker(&python, threads, &["-B".as_ref(), script.as_ref(), name.as_ref()])?,
            };
            match Rival::start(start.arg(&folder).arg(threads.to_string())) {
                Ok(rival) => {
                    versions.insert(name, rival.versions.clone());
                    rivals.insert(name, rival);
                }
                Err(e) => println!("{name} is left out: {e:#}"),
            }
        }
        let cells: Vec<_> = plan.iter().filter(|(cell, _)| cell.threads == threads).collect();
        for (i, (cell, whos)) in cells.iter().enumerate() {
            session.cell(cell, whos, &mut rivals, extent)?;
            let Cell { what, function, dtype, n, .. } = cell;
            let seconds = start.elapsed().as_secs();
            println!(
                "{seconds:4} s  {}/{}  {what} {function} {dtype} {n}, {threads} thread(s)",
                i + 1,
                cells.len()
            );
        }
    }
    let text = session.rows.iter().fold(format!("{HEADER}\n"), |all, row| all + &row.line() + "\n");
    std::fs::write(root().join(RECORD), text).context(RECORD)?;
    for (key, value) in [
        ("quick", json!(extent.quick)),
        ("pinned", json!(find("taskset").is_some())),
        ("large", json!(extent.large)),
        ("longest", json!(extent.longest)),
        ("rounds", json!([extent.rounds, extent.few_rounds])),
        ("slice_ms", json!(extent.slice / 1e6)),
        ("minutes", json!((start.elapsed().as_secs_f64() / 6.0).round() / 10.0)),
        ("inputs", json!(INPUTS)),
        ("checked", json!(CHECKED)),
        ("versions", json!(versions)),
        ("wrong", json!(session.wrong)),
        ("failed", json!(session.failed)),
    ] {
        machine[key] = value;
    }
    let text = serde_json::to_string_pretty(&machine)? + "\n";
    std::fs::write(root().join(MACHINE), text).context(MACHINE)
}

/// A process of a library: all of them on the same core if there is one thread.
fn worker(program: &Path, threads: usize, args: &[&std::ffi::OsStr]) -> Result<Command> {
    let mut start = match find("taskset") {
        Some(taskset) => {
            let last = std::thread::available_parallelism()?.get() - 1;
            let first = (last + 1).saturating_sub(threads);
            let mut start = command(taskset);
            start.arg("-c").arg(format!("{first}-{last}")).arg(program);
            start
        }
        None => command(program),
    };
    // What a library allocates for its result is memory that it has used before, and not fresh
    // pages that the system has to clear.
    start.env("MALLOC_MMAP_MAX_", "0").env("MALLOC_TRIM_THRESHOLD_", "17179869184");
    start.env("MALLOC_ARENA_MAX", "1");
    start.env("TORCHINDUCTOR_CACHE_DIR", cache("inductor")?);
    start.args(args);
    Ok(start)
}

/// What has been found so far.
struct Session {
    folder: PathBuf,
    rows: Vec<Row>,
    wrong: Vec<Value>,
    failed: Vec<Value>,
}

/// Someone in a cell.
struct Entrant {
    who: &'static str,
    process: &'static str,
    times: Vec<f64>,
    spent: f64,
    errors: Option<(f64, f64)>,
}

impl Session {
    /// Checks and times all in turns.
    fn cell(
        &mut self,
        cell: &Cell,
        whos: &[&'static str],
        rivals: &mut BTreeMap<&'static str, Rival>,
        extent: &Extent,
    ) -> Result<()> {
        let mut entrants = Vec::new();
        for &(who, _, process) in LIBRARIES.iter().filter(|l| whos.contains(&l.0)) {
            let Some(rival) = rivals.get_mut(process) else { continue };
            let start = Instant::now();
            let opened = rival.open(who, cell, extent.slice).and_then(|there| {
                let errors = if there { self.check(rival, who, cell)? } else { Checked::Unknown };
                Ok((there, errors))
            });
            let errors = match opened {
                Ok((false, _)) => continue,
                Ok((true, Checked::Wrong)) => continue,
                Ok((true, Checked::Unknown)) => None,
                Ok((true, Checked::Right(relative, error))) => Some((relative, error)),
                Err(e) => {
                    println!("{who} fails in {cell:?}: {e:#}");
                    self.failed.push(failure(who, cell));
                    continue;
                }
            };
            // Of what opening took, most may have been compiling.
            let spent = start.elapsed().as_secs_f64().min(BUDGET / 2.0);
            entrants.push(Entrant { who, process, times: Vec::new(), spent, errors });
        }
        let rounds = if cell.n > CACHED << 4 { extent.few_rounds } else { extent.rounds };
        for round in 0..rounds {
            let count = entrants.len().max(1);
            for i in 0..entrants.len() {
                // Nobody always comes after the same one.
                let entrant = &mut entrants[(i + round) % count];
                if entrant.spent > BUDGET && entrant.times.len() >= 2 {
                    continue;
                }
                let rival = rivals.get_mut(entrant.process).context("process")?;
                let start = Instant::now();
                match rival.time(entrant.who) {
                    Ok(time) => {
                        entrant.times.push(time);
                        entrant.spent += start.elapsed().as_secs_f64();
                    }
                    Err(e) => {
                        println!("{} fails in {cell:?}: {e:#}", entrant.who);
                        self.failed.push(failure(entrant.who, cell));
                        entrants.remove((i + round) % count);
                        break;
                    }
                }
            }
        }
        // The others go on without one that has died.
        rivals.retain(|_, rival| rival.close().is_ok());
        self.rows.extend(rows(cell, &entrants));
        Ok(())
    }

    /// Holds a result against the exact one.
    fn check(&mut self, rival: &mut Rival, who: &str, cell: &Cell) -> Result<Checked> {
        let Cell { what, function, dtype, n, .. } = cell;
        let of = if who == "memcpy" { "memcpy.yardstick" } else { &format!("{function}.{what}") };
        // A row of softmax is not as long in short calls as in the reference.
        if function.ends_with("softmax") && who != "memcpy" && *n < CHECKED {
            return Ok(Checked::Unknown);
        }
        let elements = if *what == "strided" && who != "memcpy" { n / 2 } else { *n };
        let most = elements.min(CHECKED);
        let got = rival.result(who, &self.folder.join("result"), most)?;
        let mut exact = rival::numbers(&self.folder.join(format!("{of}.{dtype}")))?;
        exact.truncate(most);
        let (relative, error) = record::errors(&got, &exact);
        let bound = tolerance(who, dtype);
        if error <= bound {
            return Ok(Checked::Right(relative, error));
        }
        println!("{who} is wrong in {cell:?}: the error is {error:e}, more than {bound:e}");
        self.wrong.push(json!({
            "who": who, "what": what, "function": function, "dtype": dtype, "n": n,
            "error": format!("{error:.1e}"), "tolerance": format!("{bound:.1e}"),
        }));
        Ok(Checked::Wrong)
    }
}

fn failure(who: &str, cell: &Cell) -> Value {
    let Cell { what, function, dtype, n, threads } = cell;
    json!({
        "who": who, "what": what, "function": function, "dtype": dtype, "n": n, "threads": threads,
    })
}

enum Checked {
    /// The worst error, relative to the exact result, and to that or 1.
    Right(f64, f64),
    /// The result is wrong: it is not timed.
    Wrong,
    /// There is no reference.
    Unknown,
}

/// How many bytes a cell moves, memcpy being 1.
fn traffic(what: &str, function: &str) -> f64 {
    match what {
        // All of the input is read, and half as much is written.
        "strided" => 0.75,
        "backward" | "from_output" => 1.5,
        _ if matches!(function, "glu" | "swiglu" | "geglu") => 1.5,
        _ => 1.0,
    }
}

/// Elements of the output.
fn elements(what: &str, n: usize) -> f64 {
    if what == "strided" { (n / 2) as f64 } else { n as f64 }
}

/// The lines of a cell.
fn rows(cell: &Cell, entrants: &[Entrant]) -> Vec<Row> {
    let timed = || entrants.iter().filter(|e| !e.times.is_empty());
    let copy = timed().find(|e| e.who == "memcpy").map_or(f64::NAN, |e| median(&e.times));
    timed()
        .map(|e| {
            let memcpy = e.who == "memcpy";
            let (time, n) = (median(&e.times), cell.n as f64);
            let traffic = if memcpy { 1.0 } else { traffic(cell.what, cell.function) };
            let elements = if memcpy { n } else { elements(cell.what, cell.n) };
            Row {
                what: cell.what.into(),
                function: cell.function.into(),
                dtype: cell.dtype.into(),
                n: cell.n,
                threads: cell.threads,
                who: e.who.into(),
                rounds: e.times.len(),
                median: time / elements,
                least: e.times.iter().copied().fold(f64::INFINITY, f64::min) / elements,
                copies: time / (copy * traffic),
                relative: e.errors.map(|e| e.0),
                error: e.errors.map(|e| e.1),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_normal_and_of_their_type() {
        let x: Vec<f64> = normal(1).take(INPUTS).collect();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        let fourth = x.iter().map(|v| v.powi(4)).sum::<f64>() / x.len() as f64;
        assert!((fourth - 3.0).abs() < 0.15, "{fourth}");
        assert_eq!(rounded(1.0 + 2f64.powi(-8), "bf16"), 1.0);
        assert_eq!(rounded(1.0 + 3.0 * 2f64.powi(-8), "bf16"), 1.0 + 2f64.powi(-6));
        assert_eq!(rounded(-1.0 - 2f64.powi(-7), "bf16"), -1.0 - 2f64.powi(-7));
        assert_eq!(rounded(0.1, "f32"), f64::from(0.1f32));
        assert_eq!(rounded(0.1, "f64"), 0.1);
    }

    /// A rival that answers `open` so and has this result.
    fn shell(folder: &Path, name: &str, open: &str, result: &[f64]) -> Rival {
        let file = folder.join(name);
        let bytes: Vec<u8> = result.iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(&file, bytes).unwrap();
        let script = format!(
            "echo 'ready {{}}'; while read verb who file rest; do case $verb in \
             open) echo {open};; check) cp {} $file; echo ok;; time) echo 4000;; \
             close) echo ok;; esac; done",
            file.display()
        );
        Rival::start(Command::new("sh").args(["-c", &script])).unwrap()
    }

    #[test]
    fn only_right_results_are_timed() {
        let folder = cache("test-peers").unwrap();
        let exact: Vec<f64> = (0..4).map(f64::from).collect();
        let bytes: Vec<u8> = exact.iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(folder.join("relu.forward.f32"), bytes).unwrap();
        let near = [0.0, 1.0 + 1e-6, 2.0, 3.0];
        let far = [0.0, 1.0, 2.0, 3.1];
        let mut rivals = BTreeMap::from([
            ("torch", shell(&folder, "torch", "ok", &near)),
            ("numpy", shell(&folder, "numpy", "ok", &far)),
            ("jax", shell(&folder, "jax", "no", &exact)),
            ("onnxruntime", shell(&folder, "onnxruntime", "failed of itself", &exact)),
        ]);
        let mut session =
            Session { folder, rows: Vec::new(), wrong: Vec::new(), failed: Vec::new() };
        let cell = Cell { what: "forward", function: "relu", dtype: "f32", n: 4, threads: 1 };
        let whos = ["torch", "numpy", "jax", "onnxruntime"];
        session.cell(&cell, &whos, &mut rivals, &QUICK).unwrap();
        let [row] = &session.rows[..] else { panic!("{:?}", session.rows) };
        assert_eq!((row.who.as_str(), row.rounds, row.median), ("torch", QUICK.rounds, 1000.0));
        assert!((row.error.unwrap() - 1e-6).abs() < 1e-12, "{row:?}");
        assert_eq!(session.wrong.len(), 1);
        assert_eq!(session.wrong[0]["who"], "numpy");
        assert_eq!(session.failed.len(), 1);
        assert_eq!(session.failed[0]["who"], "onnxruntime");
    }

    #[test]
    fn ratios_are_of_as_many_bytes() {
        let cell = Cell { what: "backward", function: "relu", dtype: "f32", n: 1000, threads: 1 };
        let entrant = |who, times: &[f64]| Entrant {
            who,
            process: "rivals",
            times: times.to_vec(),
            spent: 0.0,
            errors: None,
        };
        let all = [
            entrant("memcpy", &[100.0, 90.0, 500.0]),
            entrant("nonlin", &[300.0, 290.0, 310.0]),
            entrant("candle", &[]),
        ];
        let found = rows(&cell, &all);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].copies, found[0].median, found[0].least), (1.0, 0.1, 0.09));
        assert_eq!((found[1].copies, found[1].median), (2.0, 0.3));
        let strided = rows(&Cell { what: "strided", ..cell }, &all);
        assert_eq!((strided[1].median, strided[1].copies), (0.6, 4.0));
    }

    #[test]
    fn the_plan_has_no_cell_twice() {
        for extent in [&FULL, &QUICK] {
            let plan = plan(extent);
            for (i, (cell, _)) in plan.iter().enumerate() {
                assert!(plan[..i].iter().all(|(other, _)| other != cell), "{cell:?}");
            }
            let has = |what: &str, function: &str, dtype: &str, n, threads| {
                plan.iter().any(|(c, _)| {
                    (c.what, c.function, c.dtype, c.n, c.threads)
                        == (what, function, dtype, n, threads)
                })
            };
            assert!(has("forward", "swiglu", "bf16", CACHED, 1));
            assert!(has("from_output", "tanh", "f32", SHORT, 1));
            assert!(has("forward", "gelu", "f32", extent.longest, 1));
            assert!(has("backward", "sigmoid", "f32", extent.large, 2));
        }
    }

    #[test]
    fn unknown_options_are_refused() {
        let error = main(&["--fast"]).unwrap_err().to_string();
        assert!(error.contains("--quick"), "{error}");
    }
}
