//! docs/performance.md and its figures, from the record.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::figure::{self, Bar, Curve, Panel, bytes, short};
use super::record::Row;
use super::{CACHED, LIBRARIES, SHORT, SWEPT, elements, tolerance, traffic};

const DOCUMENT: &str = "docs/performance.md";
/// Errors up to this one, relative to the exact result, are those of an accurate library.
const ACCURATE: f64 = 4.0 / 8_388_608.0;

/// Names and contents of all files.
///
/// # Errors
/// Something is missing in the records.
pub fn files(rows: &[Row], machine: &Value) -> Result<Vec<(String, String)>> {
    let d = Data { rows, machine, large: size(machine, "large")? };
    let mut files = vec![(DOCUMENT.to_owned(), d.text()?)];
    for (name, svg) in d.figures() {
        files.push((format!("docs/performance/{name}.svg"), svg));
    }
    Ok(files)
}

fn size(machine: &Value, key: &str) -> Result<usize> {
    Ok(usize::try_from(machine[key].as_u64().with_context(|| key.to_owned())?)?)
}

fn title(who: &str) -> &str {
    LIBRARIES.iter().find(|l| l.0 == who).map_or(who, |l| l.1)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn accurate(row: &Row) -> bool {
    row.relative.is_some_and(|e| e <= ACCURATE)
}

/// Nanoseconds an element of a row: without what a call costs, and that.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Time {
    work: f64,
    call: f64,
}

impl Time {
    fn all(self) -> f64 {
        self.work + self.call
    }

    /// Whether the work can be told: a small difference of two large times is noise.
    fn told(self) -> bool {
        self.work >= self.call / 4.0
    }

    /// The work, or the whole as its upper end.
    fn text(self) -> String {
        if self.told() { short(self.work) } else { format!("≤ {}", short(self.all())) }
    }
}

/// What a table or a figure shows.
#[derive(Clone, Copy)]
struct View {
    what: &'static str,
    dtype: &'static str,
    n: usize,
    threads: usize,
}

struct Data<'a> {
    rows: &'a [Row],
    machine: &'a Value,
    large: usize,
}

impl Data<'_> {
    fn row(&self, v: View, function: &str, who: &str) -> Option<&Row> {
        self.rows.iter().find(|r| {
            (r.what.as_str(), r.function.as_str(), r.dtype.as_str(), r.who.as_str())
                == (v.what, function, v.dtype, who)
                && (r.n, r.threads) == (v.n, v.threads)
        })
    }

    /// In the caches the time is split at what a call of a few elements takes.
    fn time(&self, v: View, function: &str, who: &str) -> Option<Time> {
        let row = self.row(v, function, who)?;
        let outputs = elements(if who == "memcpy" { "" } else { v.what }, v.n);
        let short = self.row(View { n: SHORT, ..v }, function, who);
        let Some(short) = short.filter(|_| v.n == CACHED) else {
            return Some(Time { work: row.median, call: 0.0 });
        };
        let (all, few) = (row.median * outputs, short.median * SHORT as f64);
        let work = ((all - few) / (outputs - SHORT as f64)).max(0.0);
        Some(Time { work, call: (row.median - work).max(0.0) })
    }

    /// The work as a multiple of memcpy of as many bytes.
    fn copies(&self, v: View, function: &str, who: &str) -> Option<f64> {
        let time = self.time(v, function, who)?;
        let copy = self.time(v, function, "memcpy")?.work * v.n as f64;
        let outputs = elements(v.what, v.n);
        let bytes = if who == "memcpy" { 1.0 } else { traffic(v.what, function) };
        let work = if who == "memcpy" { time.work * v.n as f64 } else { time.work * outputs };
        Some(work / (copy * bytes))
    }

    fn functions(&self, v: View) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for r in self.rows.iter().filter(|r| {
            (r.what.as_str(), r.dtype.as_str()) == (v.what, v.dtype)
                && (r.n, r.threads) == (v.n, v.threads)
                && r.who != "memcpy"
        }) {
            if !names.contains(&r.function.as_str()) {
                names.push(&r.function);
            }
        }
        names
    }

    /// Everyone in a view but memcpy and our own variants.
    fn whos(&self, v: View) -> Vec<&'static str> {
        let there = |who: &str| self.functions(v).iter().any(|f| self.row(v, f, who).is_some());
        let all = LIBRARIES.iter().map(|l| l.0);
        all.filter(|w| *w != "memcpy" && !w.starts_with("nonlin_") && there(w)).collect()
    }

    /// The fastest of the others that satisfies `which`.
    fn best(&self, v: View, function: &str, which: impl Fn(&Row) -> bool) -> Option<(&str, f64)> {
        let others =
            LIBRARIES.iter().map(|l| l.0).filter(|w| !w.starts_with("nonlin") && *w != "memcpy");
        others
            .filter(|who| self.row(v, function, who).is_some_and(&which))
            .filter_map(|who| Some((who, self.time(v, function, who).filter(|t| t.told())?.work)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn table(&self, out: &mut String, v: View) -> Result<()> {
        let whos = self.whos(v);
        let titles: Vec<&str> = whos.iter().map(|w| title(w)).collect();
        writeln!(out, "\n| function | memcpy | {} | best other |", titles.join(" | "))?;
        writeln!(out, "|---|--:|{}--:|", "--:|".repeat(whos.len()))?;
        for function in self.functions(v) {
            let copy =
                self.time(v, function, "memcpy").map_or_else(|| "–".into(), |t| short(t.work));
            write!(out, "| `{function}` | {copy} |")?;
            let times: Vec<_> = whos.iter().map(|w| self.time(v, function, w)).collect();
            let told = times.iter().flatten().filter(|t| t.told());
            let least = told.map(|t| t.work).fold(f64::INFINITY, f64::min);
            for (who, time) in whos.iter().zip(&times) {
                let Some(time) = time else {
                    write!(out, " – |")?;
                    continue;
                };
                let copies = self
                    .copies(v, function, who)
                    .map_or_else(String::new, |c| format!(" ({c:.1})"));
                let copies = if time.told() { copies } else { String::new() };
                let bold = if time.work == least { "**" } else { "" };
                write!(out, " {bold}{}{bold}{copies} |", time.text())?;
            }
            let ours = self.time(v, function, "nonlin").map(|t| t.work);
            match (self.best(v, function, |_| true), ours) {
                (Some((who, best)), Some(ours)) => {
                    writeln!(out, " {:.2}×, {} |", best / ours, title(who))?;
                }
                _ => writeln!(out, " – |")?,
            }
        }
        Ok(())
    }

    /// In how many functions nonlin is ahead of everyone, and of everyone who is accurate.
    fn ahead(&self, v: View) -> (usize, usize, usize) {
        let (mut all, mut any, mut exact) = (0, 0, 0);
        for function in self.functions(v) {
            let Some(ours) = self.time(v, function, "nonlin").map(|t| t.work) else { continue };
            let Some((_, best)) = self.best(v, function, |_| true) else { continue };
            all += 1;
            any += usize::from(ours <= best);
            let best = self.best(v, function, accurate);
            exact += usize::from(best.is_none_or(|(_, best)| ours <= best));
        }
        (all, any, exact)
    }

    fn forward(&self) -> View {
        View { what: "forward", dtype: "f32", n: CACHED, threads: 1 }
    }

    fn text(&self) -> Result<String> {
        let mut out = String::from(
            "<!-- Generated by `cargo xtask bench-peers` from recorded measurements. Do not edit. -->\n\
             # Performance\n\n\
             How long an element takes: ours, and next to it other libraries on the same inputs,\n\
             measured in turns on one machine. Errors stand in [accuracy.md](accuracy.md).\n",
        );
        if self.machine["quick"] == true {
            write!(
                out,
                "\n**These numbers are of a quick run** (`cargo xtask bench-peers --quick`): few\n\
                 functions, few rounds, \"out of the caches\" only {} elements.\n",
                self.large
            )?;
        }
        self.summary(&mut out)?;
        self.in_cache(&mut out)?;
        self.out_of_cache(&mut out)?;
        self.types(&mut out)?;
        self.sizes(&mut out)?;
        self.calls(&mut out)?;
        self.strided(&mut out)?;
        self.errors(&mut out)?;
        self.method(&mut out)?;
        Ok(out)
    }

    fn summary(&self, out: &mut String) -> Result<()> {
        writeln!(
            out,
            "\n| one thread, f32 | functions | nonlin ahead of all others | ahead of all accurate others |\n\
             |---|--:|--:|--:|"
        )?;
        for (name, what, n) in [
            ("forward, in the second cache", "forward", CACHED),
            ("backward from the input, in the second cache", "backward", CACHED),
            ("forward, out of the caches", "forward", self.large),
            ("backward from the input, out of the caches", "backward", self.large),
        ] {
            let (all, any, accurate) = self.ahead(View { what, n, ..self.forward() });
            writeln!(out, "| {name} | {all} | {any} | {accurate} |")?;
        }
        writeln!(
            out,
            "\nAccurate: in the check before the measurement no result was off by more than {ACCURATE:.1e}\n\
             of the exact one."
        )?;
        Ok(())
    }

    fn in_cache(&self, out: &mut String) -> Result<()> {
        let v = self.forward();
        write!(
            out,
            "\n## In the second cache: {CACHED} f32, one thread\n\n\
             ![nanoseconds an element, forward](performance/forward-in-cache.svg)\n\n\
             Nanoseconds an element, without what a call costs ([below](#what-a-call-costs)); in\n\
             brackets as a multiple of memcpy of as many bytes. The fastest is bold. ≤: the call\n\
             included, where it costs so much more than the work that the difference is noise; not\n\
             compared. The last column: how many times longer than nonlin the fastest other takes.\n\n\
             ### Forward\n"
        )?;
        self.table(out, v)?;
        write!(
            out,
            "\n### Backward from the input\n\n\
             `dx = grad f'(x)`: two arrays in, one out. PyTorch's `log_sigmoid` also reads what its\n\
             forward has saved, and its `prelu` finds the gradient of the weight as well.\n\n\
             ![nanoseconds an element, backward](performance/backward-in-cache.svg)\n"
        )?;
        self.table(out, View { what: "backward", ..v })?;
        let v = View { what: "from_output", ..v };
        if !self.functions(v).is_empty() {
            out.push_str("\n### Backward from the saved output\n");
            self.table(out, v)?;
        }
        Ok(())
    }

    fn out_of_cache(&self, out: &mut String) -> Result<()> {
        let v = View { n: self.large, ..self.forward() };
        write!(
            out,
            "\n## Out of the caches: {} f32\n\n\
             ![nanoseconds an element, forward](performance/forward-out-of-cache.svg)\n\n\
             ### Forward, one thread\n",
            self.large
        )?;
        self.table(out, v)?;
        let stores: Vec<String> = ["nonlin_ordinary", "nonlin_streaming"]
            .iter()
            .filter_map(|who| {
                let time = self.time(v, "relu", who)?.work;
                let copies = self.copies(v, "relu", who)?;
                Some(format!("{} {} ({copies:.1})", title(who), short(time)))
            })
            .collect();
        if !stores.is_empty() {
            writeln!(out, "\n`relu` by the kind of stores: {}.", stores.join("; "))?;
        }
        for (what, name) in [
            ("backward", "Backward from the input, one thread"),
            ("from_output", "Backward from the saved output, one thread"),
        ] {
            let v = View { what, ..v };
            if !self.functions(v).is_empty() {
                writeln!(out, "\n### {name}")?;
                self.table(out, v)?;
            }
        }
        for (what, name) in [("forward", "Forward"), ("backward", "Backward from the input")] {
            let v = View { what, threads: 2, ..v };
            if self.functions(v).is_empty() {
                continue;
            }
            writeln!(out, "\n### {name}, two threads")?;
            self.table(out, v)?;
            writeln!(out, "\nHow much faster two threads are than one:\n")?;
            let whos = self.whos(v);
            let titles: Vec<&str> = whos.iter().map(|w| title(w)).collect();
            writeln!(out, "| function | memcpy | {} |", titles.join(" | "))?;
            writeln!(out, "|---|--:|{}", "--:|".repeat(whos.len()))?;
            for function in self.functions(v) {
                write!(out, "| `{function}` |")?;
                for who in ["memcpy"].iter().chain(&whos) {
                    let one = self.time(View { threads: 1, ..v }, function, who);
                    match (one, self.time(v, function, who)) {
                        (Some(one), Some(two)) => write!(out, " {:.2} |", one.work / two.work)?,
                        _ => write!(out, " – |")?,
                    }
                }
                out.push('\n');
            }
        }
        Ok(())
    }

    fn types(&self, out: &mut String) -> Result<()> {
        for (dtype, bits) in [("bf16", 16), ("f64", 64)] {
            let v = View { dtype, ..self.forward() };
            writeln!(out, "\n## {dtype}, one thread\n\nArrays of numbers of {bits} bits.")?;
            for (what, name) in [
                ("forward", "Forward"),
                ("backward", "Backward from the input"),
                ("from_output", "Backward from the saved output"),
            ] {
                let v = View { what, ..v };
                if !self.functions(v).is_empty() {
                    writeln!(out, "\n### {name}, {CACHED} {dtype}")?;
                    self.table(out, v)?;
                }
            }
            let v = View { n: self.large, ..v };
            if !self.functions(v).is_empty() {
                writeln!(out, "\n### Forward, {} {dtype}", self.large)?;
                self.table(out, v)?;
            }
        }
        Ok(())
    }

    fn sizes(&self, out: &mut String) -> Result<()> {
        let marks: Vec<String> =
            self.marks().into_iter().map(|(v, name)| format!("{name} at {}", bytes(v))).collect();
        let longest = size(self.machine, "longest")?;
        writeln!(
            out,
            "\n## Over the size of the array\n\n\
             ![throughput over the size](performance/sizes.svg)\n\n\
             From 1 KiB to {} of f32, one thread, calls included. Throughput counts the bytes read\n\
             and written. Dotted lines: where input and output together fill a cache ({}).",
            bytes(4.0 * longest as f64),
            marks.join(", ")
        )?;
        Ok(())
    }

    fn calls(&self, out: &mut String) -> Result<()> {
        let v = View { n: SHORT, ..self.forward() };
        let whos = self.whos(v);
        let titles: Vec<&str> = whos.iter().map(|w| title(w)).collect();
        writeln!(
            out,
            "\n## What a call costs\n\n\
             Nanoseconds of a forward call of {SHORT} f32. Ours and those of the other Rust libraries\n\
             are calls within a program, the others calls from Python.\n\n| function | {} |\n|---|{}",
            titles.join(" | "),
            "--:|".repeat(whos.len())
        )?;
        for function in self.functions(v) {
            write!(out, "| `{function}` |")?;
            for who in &whos {
                let row = self.row(v, function, who);
                let time = row.map_or_else(|| "–".into(), |r| short(r.median * SHORT as f64));
                write!(out, " {time} |")?;
            }
            out.push('\n');
        }
        Ok(())
    }

    fn strided(&self, out: &mut String) -> Result<()> {
        let v = View { what: "strided", ..self.forward() };
        if self.functions(v).is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\n## Strided arrays\n\n\
             Every second element of {CACHED} f32 in, packed elements out; nanoseconds an element of\n\
             the output, calls included."
        )?;
        self.table(out, v)
    }

    fn errors(&self, out: &mut String) -> Result<()> {
        let machine = self.machine;
        write!(
            out,
            "\n## The results were checked\n\n\
             Before anyone was timed, the first {} elements of the result were held against exact ones\n\
             (formulas without cancellation in x87 long double). Who was off by more than the\n\
             tolerance, relative to the exact result or to 1, whichever is greater, was not timed.\n\
             Tolerances: ",
            machine["checked"]
        )?;
        let mut bounds: Vec<String> = Vec::new();
        for dtype in ["f32", "bf16", "f64"] {
            let other = tolerance("", dtype);
            bounds.push(format!("{dtype} {other:.1e}"));
            for (who, name, _) in LIBRARIES {
                if tolerance(who, dtype) != other {
                    bounds.push(format!("{dtype} {:.1e} for {name}", tolerance(who, dtype)));
                }
            }
        }
        writeln!(out, "{}.", bounds.join(", "))?;
        let wrong = list(&machine["wrong"]);
        if wrong.is_empty() {
            writeln!(out, "\nNobody was.")?;
        } else {
            writeln!(
                out,
                "\n| wrong | | function | type | elements | error |\n|---|---|---|---|--:|--:|"
            )?;
            for w in wrong {
                writeln!(
                    out,
                    "| {} | {} | `{}` | {} | {} | {} |",
                    title(word(&w["who"])),
                    word(&w["what"]).replace('_', " "),
                    word(&w["function"]),
                    word(&w["dtype"]),
                    w["n"],
                    word(&w["error"])
                )?;
            }
        }
        let failed = list(&machine["failed"]).iter().map(|f| {
            let name = title(word(&f["who"]));
            let what = word(&f["what"]).replace('_', " ");
            format!("{name} failed in {what} `{}` of {}.", word(&f["function"]), word(&f["dtype"]))
        });
        // Once for all sizes.
        for line in failed.collect::<std::collections::BTreeSet<_>>() {
            writeln!(out, "\n{line}")?;
        }
        let v = self.forward();
        let whos = self.whos(v);
        let titles: Vec<&str> = whos.iter().map(|w| title(w)).collect();
        writeln!(
            out,
            "\nThe worst error relative to the exact result, f32 forward, over these inputs. An error of\n\
             1 is a result of 0 that is not 0.\n\n| function | {} |\n|---|{}",
            titles.join(" | "),
            "--:|".repeat(whos.len())
        )?;
        for function in self.functions(v) {
            write!(out, "| `{function}` |")?;
            for who in &whos {
                let error = self.row(v, function, who).and_then(|r| r.relative);
                write!(out, " {} |", error.map_or_else(|| "–".into(), |e| format!("{e:.1e}")))?;
            }
            out.push('\n');
        }
        Ok(())
    }

    fn method(&self, out: &mut String) -> Result<()> {
        let m = self.machine;
        let caches: Vec<String> = list(&m["caches"])
            .iter()
            .map(|c| format!("L{} {}", c["level"], bytes(c["bytes"].as_f64().unwrap_or_default())))
            .collect();
        let instructions: Vec<&str> = list(&m["instructions"]).iter().map(word).collect();
        let pinned = if m["pinned"] == true {
            "With one thread, all processes are bound to the same core."
        } else {
            "Processes are not bound to cores."
        };
        writeln!(
            out,
            "\n## How it was measured\n\n\
             ```sh\n\
             cargo xtask bench-peers             # all of it; installs the libraries below .cache\n\
             cargo xtask bench-peers --quick     # few functions and rounds\n\
             cargo xtask bench-peers --document  # this document, from the record\n\
             ```\n\n\
             Date: {date}. Processor: {cpu} ({instructions}), {cores} cores, caches {caches}.\n\
             System: {system}. The run took {minutes} minutes.\n\n\
             Each library waits in a process of its own while others run. A cell is a function, a\n\
             direction, a type, a size and a number of threads. All libraries that have it are opened,\n\
             called and checked; then they take turns, nobody always after the same one, {rounds}\n\
             rounds ({few} out of the caches) of slices of {slice} ms, or one call if that is longer. A\n\
             slice of many calls begins with a quarter of them that are not timed.\n\
             Out of the caches, who has used up a second gets no more turns after the second. The\n\
             median round counts; memcpy takes its turns in every cell, and ratios are to it. memcpy\n\
             and nonlin run in one process on the same arrays. {pinned}\n\n\
             Inputs: {inputs} numbers from a fixed seed, normally distributed with deviation 3, repeated\n\
             in longer arrays; gradients and second operands with deviation 1. Rows of softmax have 1024\n\
             elements. Arrays begin at multiples of 64 bytes where the library lets them. Parameters are\n\
             the defaults, `prelu` has the weight 0.25.\n\n\
             Calls are made as users make them: PyTorch's functions, which allocate the result, in\n\
             inference mode, and for gradients the operators that its autograd calls; JAX's functions\n\
             jitted, dispatched synchronously and waited for; an ONNX Runtime session with bound input and output; NumPy's ufuncs\n\
             with an output where one call does it all; Candle's tensors; tract-linalg's kernels, which\n\
             work in place, on blocks just copied into the output. The memory allocator is told to keep\n\
             what is freed, so that a result is written to pages that were used before. torch.compile is\n\
             measured forward in f32 on one thread, compiled once for all sizes. \"Rust std\" is a loop\n\
             over the textbook formula with std's functions, compiled for the baseline instructions like\n\
             any Rust program, as are Candle and tract-linalg, which choose better ones when they run.\n",
            date = word(&m["date"]),
            cpu = word(&m["cpu"]),
            instructions = instructions.join(", "),
            cores = m["cores"],
            caches = caches.join(", "),
            system = word(&m["system"]),
            minutes = m["minutes"],
            rounds = m["rounds"][0],
            few = m["rounds"][1],
            slice = m["slice_ms"],
            inputs = m["inputs"],
        )?;
        let copies: Vec<String> = [CACHED, self.large]
            .into_iter()
            .filter_map(|n| {
                let v = View { what: "yardstick", n, ..self.forward() };
                let own = self.time(v, "memcpy", "memcpy")?.text();
                let others = self.whos(v).into_iter().filter_map(|who| {
                    Some(format!(
                        ", {} in the process of {}",
                        self.time(v, "memcpy", who)?.text(),
                        title(who)
                    ))
                });
                Some(format!("{n} f32 {own} ns an element{}", others.collect::<String>()))
            })
            .collect();
        if !copies.is_empty() {
            writeln!(
                out,
                "What plain copies take, as a check of the yardstick: {}.\n",
                copies.join("; ")
            )?;
        }
        let processes = m["versions"].as_object().into_iter().flat_map(Map::iter);
        let versions: Vec<String> = processes
            .flat_map(|(_, v)| v.as_object().into_iter().flat_map(Map::iter))
            .map(|(package, version)| format!("{package} {}", word(version)))
            .collect();
        writeln!(out, "Versions: {}, Python {}.\n", versions.join(", "), word(&m["python"]))?;
        writeln!(
            out,
            "Not measured: Burn, whose CPU backend takes too long to build for what it would show (its\n\
             activations are scalar loops over std's functions, as in the column \"Rust std\"); oneDNN\n\
             and XNNPACK by themselves; gradients of gated units; types other than f32 on two threads."
        )?;
        Ok(())
    }

    /// Half of each cache, and its name.
    fn marks(&self) -> Vec<(f64, String)> {
        list(&self.machine["caches"])
            .iter()
            .filter_map(|c| Some((c["bytes"].as_f64()? / 2.0, format!("L{}", c["level"]))))
            .collect()
    }

    fn panels(&self, v: View) -> Vec<Panel> {
        self.functions(v)
            .into_iter()
            .map(|function| {
                let mut bars: Vec<Bar> = self
                    .whos(v)
                    .into_iter()
                    .filter_map(|who| {
                        let time = self.time(v, function, who)?;
                        let work = if time.told() { time.work } else { 0.0 };
                        let row = self.row(v, function, who)?;
                        let star = if accurate(row) { "" } else { " *" };
                        Some(Bar {
                            label: format!("{}{star}", title(who)),
                            ours: who == "nonlin",
                            work,
                            call: time.all() - work,
                        })
                    })
                    .collect();
                bars.sort_by(|a, b| (a.work + a.call).total_cmp(&(b.work + b.call)));
                let mark =
                    self.time(v, function, "memcpy").map(|t| t.work * traffic(v.what, function));
                Panel { title: function.into(), mark, bars }
            })
            .collect()
    }

    fn figures(&self) -> Vec<(String, String)> {
        let mut figures = Vec::new();
        let place =
            |n: usize| if n == CACHED { "in the second cache" } else { "out of the caches" };
        for (name, what, n) in [
            ("forward-in-cache", "forward", CACHED),
            ("backward-in-cache", "backward", CACHED),
            ("forward-out-of-cache", "forward", self.large),
        ] {
            let v = View { what, n, ..self.forward() };
            let title = format!("{what} of {n} f32 ({}), one thread: ns per element", place(n));
            let calls = if n == CACHED { " · light: what the call costs" } else { "" };
            let subtitle = format!(
                "{}, {} · dashed: memcpy of as many bytes{calls} · bars of more than six times ours are cut \
                 · *: errors above {ACCURATE:.1e}",
                word(&self.machine["cpu"]),
                word(&self.machine["date"]),
            );
            figures.push((name.to_owned(), figure::bars(&title, &subtitle, &self.panels(v))));
        }
        let whos = ["nonlin", "torch", "jax", "onnxruntime", "memcpy"];
        let mut panels = Vec::new();
        for function in SWEPT {
            let curve = |who: &&str| {
                let mut points: Vec<(f64, f64)> = self
                    .rows
                    .iter()
                    .filter(|r| {
                        (r.what.as_str(), r.function.as_str(), r.dtype.as_str(), r.who.as_str())
                            == ("forward", function, "f32", *who)
                            && r.threads == 1
                            && r.n >= 256
                    })
                    // f32 in and f32 out: 8 bytes.
                    .map(|r| (4.0 * r.n as f64, 8.0 / r.median))
                    .collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                Curve { label: title(who).into(), points, yardstick: *who == "memcpy" }
            };
            let curves: Vec<Curve> =
                whos.iter().map(curve).filter(|c| !c.points.is_empty()).collect();
            panels.push((function.to_owned(), curves));
        }
        let subtitle = format!(
            "{}, {} · f32, one thread, forward · dotted: input and output fill the cache",
            word(&self.machine["cpu"]),
            word(&self.machine["date"]),
        );
        let sizes = figure::curves(
            "GB/s read and written over the size of the array",
            &subtitle,
            &self.marks(),
            &panels,
        );
        figures.push(("sizes".to_owned(), sizes));
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::row;
    use super::*;
    use serde_json::json;

    fn machine() -> Value {
        json!({
            "date": "2030-01-02", "cpu": "Abacus 9", "instructions": ["beads"], "cores": 2,
            "caches": [{"level": 1, "bytes": 49152}], "system": "Linux", "python": "3",
            "large": 1 << 20, "longest": 1 << 20, "rounds": [15, 3], "slice_ms": 1.0,
            "minutes": 3.5, "inputs": 65536, "checked": 16384, "quick": false, "pinned": true,
            "versions": {"torch": {"torch": "9.9"}},
            "wrong": [{"who": "tract", "what": "forward", "function": "gelu_tanh", "dtype": "f32",
                       "n": 16384, "error": "3.0e-1", "tolerance": "2.0e-6"}],
            "failed": [{"who": "candle", "what": "forward", "function": "selu", "dtype": "f64", "n": 16},
                       {"who": "candle", "what": "forward", "function": "selu", "dtype": "f64", "n": 32}],
        })
    }

    fn rows() -> Vec<Row> {
        let mut rows = Vec::new();
        for function in ["relu", "gelu"] {
            rows.push(row("forward", function, CACHED, "memcpy", 0.125));
            rows.push(row("forward", function, CACHED, "nonlin", 0.5));
            rows.push(row("forward", function, CACHED, "torch", 1.0));
            // 16 elements take 1024 ns: a sixteenth of the time at 16384.
            rows.push(row("forward", function, SHORT, "torch", 64.0));
            rows.push(row("forward", function, 1 << 20, "memcpy", 0.5));
            rows.push(row("forward", function, 1 << 20, "nonlin", 1.0));
            rows.push(row("forward", function, 1 << 20, "torch", 0.5));
            rows.push(Row { threads: 2, ..row("forward", function, 1 << 20, "nonlin", 0.5) });
        }
        rows.push(row("yardstick", "memcpy", CACHED, "memcpy", 0.125));
        rows.push(row("yardstick", "memcpy", CACHED, "torch", 0.25));
        rows
    }

    #[test]
    fn a_document_from_a_small_record() {
        let (rows, machine) = (rows(), machine());
        let files = files(&rows, &machine).unwrap();
        let names: Vec<&str> = files.iter().map(|f| f.0.as_str()).collect();
        assert_eq!(names[0], DOCUMENT);
        for (name, svg) in &files[1..] {
            assert!(svg.starts_with("<svg ") && svg.contains("Abacus 9"), "{name}");
            let link = name.strip_prefix("docs/").unwrap();
            assert!(files[0].1.contains(&format!("]({link})")), "{link}");
        }
        for part in [
            // In the cache without the call: (16384 - 1024) / 16368 ns.
            "| `gelu` | 0.125 | **0.500** (4.0) | 0.938 (7.5) | 1.88×, PyTorch |",
            "| `gelu` | 0.500 | 1.00 (2.0) | **0.500** (1.0) | 0.50×, PyTorch |",
            "| forward, in the second cache | 2 | 2 | 2 |",
            // PyTorch's error of 1e-6 is not that of an accurate library.
            "| forward, out of the caches | 2 | 0 | 2 |",
            "| `gelu` | – | 2.00 |",
            "| `relu` | 1024 |",
            "| tract-linalg | forward | `gelu_tanh` | f32 | 16384 | 3.0e-1 |",
            "Date: 2030-01-02. Processor: Abacus 9 (beads), 2 cores, caches L1 48 KiB.",
            "L1 at 24 KiB",
            "Candle failed in forward `selu` of f64.",
            "torch 9.9",
            "16384 f32 0.125 ns an element, 0.250 in the process of PyTorch.",
        ] {
            assert!(files[0].1.contains(part), "{part}\n{}", files[0].1);
        }
        assert_eq!(files[0].1.matches("Candle failed").count(), 1);
        assert!(!files[0].1.contains("quick run**"));
    }

    #[test]
    fn what_drowns_in_the_call_is_not_compared() {
        let (mut rows, machine) = (rows(), machine());
        // 16 elements take nearly as long as 16384.
        rows.push(row("forward", "gelu", CACHED, "jax", 1.0));
        rows.push(row("forward", "gelu", SHORT, "jax", 1000.0));
        let d = Data { rows: &rows, machine: &machine, large: 1 << 20 };
        assert!(!d.time(d.forward(), "gelu", "jax").unwrap().told());
        let best = d.best(d.forward(), "gelu", |_| true);
        assert_eq!(best.map(|b| b.0), Some("torch"));
        let text = d.text().unwrap();
        let line = "| `gelu` | 0.125 | **0.500** (4.0) | 0.938 (7.5) | ≤ 1.00 | 1.88×, PyTorch |";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn times_are_split_in_the_cache_only() {
        let (rows, machine) = (rows(), machine());
        let d = Data { rows: &rows, machine: &machine, large: 1 << 20 };
        let time = d.time(d.forward(), "gelu", "torch").unwrap();
        assert!((time.work - 15360.0 / 16368.0).abs() < 1e-12);
        assert!((time.work + time.call - 1.0).abs() < 1e-12);
        let large = View { n: 1 << 20, ..d.forward() };
        assert_eq!(d.time(large, "gelu", "torch"), Some(Time { work: 0.5, call: 0.0 }));
        assert_eq!(d.time(large, "gelu", "jax"), None);
    }
}
