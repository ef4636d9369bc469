//! `cargo xtask timings`: how long the library takes to compile, and what a program that uses it pays.
//!
//! Everything is compiled from an empty directory, so nothing else should run meanwhile. The results
//! are written to `docs/build-times.md`, beside what each stage of the tests took.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::index;
use crate::system::{build_binary, cache, cargo, command, find, output, root, run};
use crate::test;

const DOCUMENT: &str = "docs/build-times.md";

/// A measurement, and the most that is accepted of it.
struct Measured {
    what: &'static str,
    value: f64,
    unit: &'static str,
    /// The most that is accepted.
    bar: f64,
}

/// Measures, prints and writes.
///
/// # Errors
/// Something does not compile, or is above its bar.
pub fn main() -> Result<()> {
    if let Some(tool) = ["nm", "size"].into_iter().find(|t| find(t).is_none()) {
        bail!("there is no {tool} (Debian package binutils)");
    }
    let dir = cache("timings")?;
    std::fs::remove_dir_all(&dir).context("timings")?;
    let dir = cache("timings")?;

    let build = |args: &[&str], target: &str| -> Result<f64> {
        let mut cargo = cargo(["build", "--release"]);
        cargo.args(args).arg("--target-dir").arg(dir.join(target));
        timed(&mut cargo)
    };
    let library = build(&["--package", "nonlin"], "library")?;
    let program = build(&[], "command")?;
    let user = user(&dir)?;

    let all = [
        Measured {
            what: "the library alone, default features",
            value: library,
            unit: "s",
            bar: 90.0,
        },
        Measured {
            what: "`cargo build --release`: the command",
            value: program,
            unit: "s",
            bar: 140.0,
        },
        Measured {
            what: "a program that calls `Gelu.forward`, the library being built",
            value: user.seconds,
            unit: "s",
            bar: 1.0,
        },
        Measured { what: "its own code", value: user.own / 1e3, unit: "KB", bar: 4.0 },
        Measured {
            what: "its size beyond that of an empty program",
            value: user.beyond / 1e3,
            unit: "KB",
            bar: 150.0,
        },
    ];
    let text = document(&all, &user.definitions)?;
    print!("{text}");
    std::fs::write(root().join(DOCUMENT), text).context(DOCUMENT)?;
    let above: Vec<&str> = all.iter().filter(|m| m.value > m.bar).map(|m| m.what).collect();
    ensure!(above.is_empty(), "above its bar: {}", above.join("; "));
    ensure!(user.definitions == ["gelu"], "the program links {}", user.definitions.join(", "));
    Ok(())
}

fn timed(cargo: &mut Command) -> Result<f64> {
    let start = Instant::now();
    run(cargo)?;
    Ok(start.elapsed().as_secs_f64())
}

/// What a program of a user's pays.
struct User {
    seconds: f64,
    /// Bytes of machine code that its own compilation makes.
    own: f64,
    /// Bytes of the program that an empty one does not have.
    beyond: f64,
    /// The definitions whose kernels it holds.
    definitions: Vec<String>,
}

const EMPTY: &str = "fn main() {}\n";
const GELU: &str = "use nonlin::Gelu;

fn main() {
    let x: Vec<f32> = std::env::args().skip(1).filter_map(|v| v.parse().ok()).collect();
    let mut y = vec![0.0; x.len()];
    Gelu.forward(&x, &mut y);
    println!(\"{}\", y.len());
}
";
/// A program that reads and prints as the user's does, without the library.
const COPY: &str = "fn main() {
    let x: Vec<f32> = std::env::args().skip(1).filter_map(|v| v.parse().ok()).collect();
    let mut y = vec![0.0; x.len()];
    y.copy_from_slice(&x);
    println!(\"{}\", y.len());
}
";

fn user(dir: &Path) -> Result<User> {
    let user = dir.join("user");
    let source = user.join("src");
    std::fs::create_dir_all(&source).context("user")?;
    let library = serde_json::Value::from(root().join("crates/nonlin").display().to_string());
    let manifest = format!(
        "[package]\nname = \"user\"\nedition = \"2024\"\n\n[dependencies]\nnonlin = {{ path = \
         {library} }}\n\n[workspace]\n"
    );
    std::fs::write(user.join("Cargo.toml"), manifest).context("user")?;
    std::fs::copy(root().join("Cargo.lock"), user.join("Cargo.lock")).context("Cargo.lock")?;
    let build = |text: &str| -> Result<(f64, PathBuf)> {
        std::fs::write(source.join("main.rs"), text).context("user")?;
        let mut cargo = cargo(["build", "--release", "--target-dir"]);
        cargo.arg(dir.join("user-target")).current_dir(&user);
        let start = Instant::now();
        let program = build_binary(&mut cargo)?;
        Ok((start.elapsed().as_secs_f64(), program))
    };
    let stripped = |program: &Path| -> Result<f64> {
        let to = dir.join("stripped");
        run(command("strip").arg("-o").arg(&to).arg(program))?;
        Ok(std::fs::metadata(to).context("stripped")?.len() as f64)
    };
    build(EMPTY)?; // now the library is built
    let (_, copy) = build(COPY)?;
    let empty = stripped(&copy)?;
    let own_without = own(dir, &user)?;
    let (seconds, program) = build(GELU)?;
    let beyond = stripped(&program)? - empty;
    let own = own(dir, &user)? - own_without;
    let symbols = output(command("nm").args(["--demangle=rust", "--print-size"]).arg(&program))?;
    let all = index::definitions()?;
    let names = all.iter().map(|d| (d.name.as_str(), d.type_name.as_str()));
    Ok(User { seconds, own, beyond, definitions: linked(&symbols, names) })
}

/// The greatest number of bytes of a function that only jumps to another.
const STUB: u64 = 64;

/// The definitions, each by name and type, that a kernel in `symbols` was compiled for; `symbols` are lines
/// of `nm --print-size`: address, size, kind and name.
fn linked<'a>(symbols: &str, all: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let kernels: Vec<&str> = symbols
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once(' ')?;
            let (size, name) = rest.split_once(' ')?;
            let size = u64::from_str_radix(size, 16).ok()?;
            (size > STUB && name.contains("kernel")).then_some(name)
        })
        .collect();
    // A kernel's name has the definition's type among its arguments.
    let linked = all.filter(|(name, type_name)| {
        let own = format!("nonlin::functions::{name}::{type_name}");
        let tuned = format!("nonlin::tuned::registry::{type_name}");
        [own, tuned].iter().any(|of| {
            kernels.iter().any(|k| {
                k.match_indices(of).any(|(at, _)| {
                    !k[at + of.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
                })
            })
        })
    });
    linked.map(|(name, _)| name.to_owned()).collect()
}

/// Bytes of machine code in the object file of the user's program.
fn own(dir: &Path, user: &Path) -> Result<f64> {
    let object = dir.join("user.o");
    let mut rustc = cargo(["rustc", "--release", "--target-dir"]);
    rustc.arg(dir.join("user-target")).current_dir(user);
    rustc.args(["--", "-Ccodegen-units=1"]).arg(format!("--emit=obj={}", object.display()));
    run(&mut rustc)?;
    let sections = output(command("size").arg("-A").arg(&object))?;
    let text = sections.lines().filter(|l| l.starts_with(".text"));
    text.map(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok())
        .sum::<Option<f64>>()
        .context("size")
}

fn document(all: &[Measured], definitions: &[String]) -> Result<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let rustc = output(command("rustc").arg("--version"))?;
    let mut text = format!(
        "# Build times\n\nWritten by `cargo xtask timings`, on {cores} cores with {}, from empty target \
         directories.\n\n| what | measured | at most |\n|---|--:|--:|\n",
        rustc.trim()
    );
    for m in all {
        let _ = writeln!(text, "| {} | {:.1} {} | {} {} |", m.what, m.value, m.unit, m.bar, m.unit);
    }
    let _ = writeln!(text, "\nIt links the kernels of {} alone.", definitions.join(", "));
    text.push_str(
        "\nThe stages of `cargo xtask test`, in the order in which they run, from an empty target \
         directory; written by `cargo xtask test --record` to `xtask/stages.csv`.\n\n",
    );
    text.push_str(&test::table());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_by_definition() {
        let all = [("gelu", "Gelu"), ("gelu_tanh", "GeluTanh"), ("relu", "Relu"), ("silu", "Silu")];
        let symbols = "\
0000000000001000 0000000000001a40 t nonlin::kernel::run::<nonlin::tuned::registry::Gelu>
0000000000003000 000000000000001a t nonlin::kernel::run::<nonlin::functions::relu::Relu>
0000000000004000 0000000000000041 t nonlin::kernel::run::<nonlin::functions::silu::Silu>
0000000000005000 0000000000001a40 t nonlin::elementwise::run::<nonlin::tuned::registry::GeluTanh>
                 U nonlin::kernel::run::<nonlin::functions::gelu_tanh::GeluTanh>
";
        assert_eq!(linked(symbols, all.into_iter()), ["gelu", "silu"]);
    }
}
