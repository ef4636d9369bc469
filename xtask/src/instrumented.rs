//! The sanitizer and the fuzz targets: one build with the flags of both.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::system::{MPFR, run, target_dir};
use crate::system::{build_binary, cache, cargo, command, features, find, line, output, root};

/// The fuzz targets, programs of `fuzz/`.
const TARGETS: [&str; 5] = ["shapes", "npy", "npz", "safetensors", "formula"];

/// What libFuzzer needs to know of the program's course, besides the sanitizer.
const FLAGS: &str = "-Zsanitizer=address -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing";

/// Bytes for the stack of a thread. Without optimisation a kernel's frame may have 13 MB.
const STACK: u32 = 64 << 20;

/// What is missing for it, if anything.
///
/// # Errors
/// There is no rustc.
pub fn missing() -> Result<Option<String>> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(Some("the sanitizer's runtime is looked for on x86-64 Linux only".to_owned()));
    }
    if !["c++", "g++", "clang++"].iter().any(|cc| find(cc).is_some()) {
        return Ok(Some("there is no C++ compiler for libFuzzer (Debian package g++)".to_owned()));
    }
    let dir = output(command("rustc").arg("--print=target-libdir"))?;
    let entries = std::fs::read_dir(dir.trim()).with_context(|| dir.trim().to_owned())?;
    let runtime = |name: &str| name.starts_with("librustc") && name.ends_with("_rt.asan.a");
    let mut names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
    Ok((!names.any(|name| runtime(&name)))
        .then(|| "this rustc has no runtime of AddressSanitizer".to_owned()))
}

/// `cargo VERB` over the workspace, instrumented. Not optimised, which costs the least time of all to
/// compile, but with the checks of arithmetic that this brings.
fn instrumented(verb: &str) -> Result<Command> {
    let mut cargo = cargo([verb, "--workspace", "--features", &features(&[MPFR])?]);
    cargo.args(["--target", "x86_64-unknown-linux-gnu", "--target-dir"]);
    cargo.arg(target_dir()?.join("instrumented"));
    // The sanitizer is behind a flag of nightly compilers; its runtime comes with stable ones.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    for (key, value) in [("DEBUG", "0"), ("CODEGEN_UNITS", "8"), ("INCREMENTAL", "false")] {
        cargo.env(format!("CARGO_PROFILE_DEV_{key}"), value);
    }
    Ok(cargo)
}

/// Runs the tests of the library whose names contain one of `names` under AddressSanitizer; returns
/// how many.
///
/// # Errors
/// The tests do not compile, fail, or a name is that of none.
pub fn sanitize(names: &[&str]) -> Result<usize> {
    let program = build_binary(instrumented("test")?.args(["--test", "all", "--no-run"]))?;
    let list = |names: &[&str]| -> Result<usize> {
        let list = output(command(&program).arg("--list").args(names))?;
        Ok(list.lines().filter(|l| l.ends_with(": test")).count())
    };
    for name in names {
        if list(&[name])? == 0 {
            bail!("no test of the library is called like `{name}`");
        }
    }
    run(command(&program).args(names).env("RUST_MIN_STACK", STACK.to_string()))?;
    list(names)
}

/// Builds the fuzz targets and runs each for so many seconds, all at the same time, from the inputs
/// in `fuzz/corpus`; what they find and what they learn lies in `.cache/fuzz`.
///
/// # Errors
/// The targets do not compile, or one has found something.
pub fn fuzz(names: &[&str], seconds: u64) -> Result<String> {
    // With the versions of the workspace, so that its build serves.
    std::fs::copy(root().join("Cargo.lock"), root().join("fuzz/Cargo.lock"))
        .context("Cargo.lock")?;
    let mut running = Vec::new();
    for name in TARGETS.into_iter().filter(|t| names.is_empty() || names.contains(t)) {
        let mut build = instrumented("build")?;
        build.args(["--bin", name]);
        running.push(Run::start(name, build_binary(&mut build)?, seconds)?);
    }
    if running.is_empty() {
        bail!("the fuzz targets are {}", TARGETS.join(", "));
    }
    let mut words = Vec::new();
    let mut failed = Vec::new();
    for run in running {
        match run.wait() {
            Ok(word) => words.push(word),
            Err(e) => failed.push(format!("{e:#}")),
        }
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(words.join(", "))
}

/// A fuzz target under way.
struct Run {
    name: &'static str,
    dir: PathBuf,
    child: Child,
}

impl Run {
    fn start(name: &'static str, program: PathBuf, seconds: u64) -> Result<Run> {
        let dir = cache(&format!("fuzz/{name}"))?;
        let learnt = cache(&format!("fuzz/{name}/learnt"))?;
        let log = std::fs::File::create(dir.join("log")).context("log")?;
        // The stack of the first thread, in KiB, is for who starts the program to set.
        let mut run = command("sh");
        run.args(["-c", "ulimit -s \"$0\"; exec \"$@\""]).arg((STACK >> 10).to_string());
        run.arg(program).env("RUST_MIN_STACK", STACK.to_string());
        run.arg(learnt).arg(root().join("fuzz/corpus").join(name));
        run.arg(format!("-max_total_time={seconds}"));
        run.arg(format!("-artifact_prefix={}/found-", dir.display()));
        run.args(["-print_final_stats=1", "-rss_limit_mb=3000", "-timeout=100", "-max_len=1024"]);
        // Long inputs from the start: a shape needs some bytes before it means anything.
        run.arg("-len_control=0");
        println!("$ {}", line(&run));
        run.stdout(log.try_clone().context("log")?).stderr(log);
        Ok(Run { name, dir, child: run.spawn().context(name)? })
    }

    /// A word about the run.
    fn wait(mut self) -> Result<String> {
        let status = self.child.wait().context(self.name)?;
        let log = std::fs::read(self.dir.join("log")).context("log")?;
        let log = String::from_utf8_lossy(&log);
        if !status.success() {
            let lines: Vec<&str> = log.lines().filter(|l| !l.starts_with('#')).collect();
            let last = &lines[lines.len().saturating_sub(60)..];
            bail!(
                "{} has found something; run it on the file {}/found-*:\n{}",
                self.name,
                self.dir.display(),
                last.join("\n")
            );
        }
        let runs = log.lines().find_map(|l| l.strip_prefix("stat::number_of_executed_units:"));
        let runs: u64 = runs.context("no statistics")?.trim().parse().context("statistics")?;
        if runs < 100 {
            bail!("{} has tried {runs} inputs only", self.name);
        }
        Ok(format!("{} {runs} inputs", self.name))
    }
}

/// `cargo xtask fuzz [TARGET ...] [SECONDS]`.
///
/// # Errors
/// As [`fuzz`].
pub fn main(args: &[&str]) -> Result<()> {
    if let Some(why) = missing()? {
        bail!(why);
    }
    let (seconds, names): (Vec<&str>, Vec<&str>) =
        args.iter().partition(|a| a.bytes().all(|b| b.is_ascii_digit()));
    let seconds = match seconds[..] {
        [] => Duration::from_mins(10).as_secs(),
        [n] => n.parse().context("SECONDS")?,
        _ => bail!("several numbers of seconds: {}", seconds.join(" ")),
    };
    if let Some(name) = names.iter().find(|n| !TARGETS.contains(n)) {
        bail!("there is no fuzz target `{name}`; the targets are {}", TARGETS.join(", "));
    }
    println!("{}", fuzz(&names, seconds)?);
    Ok(())
}
