//! What `cargo xtask test` runs, quick and telling stages first.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::accuracy;
use crate::api;
use crate::cross::Compiler;
use crate::exhaustive::RECORD;
use crate::generate;
use crate::instructions;
use crate::instrumented;
use crate::one_file;
use crate::peers;
use crate::python;
use crate::stage::{Outcome, Stage};
use crate::system::{
    TARGETS, build_binary, cache, cargo, command, features, find, metadata, nonlin, output,
    program, root, run, target_dir, workspace,
};
use crate::torch;

/// All of them, in the order in which they run: the first three tell a newcomer whether a change is
/// good.
pub static STAGES: [Stage; 21] = [
    Stage { name: "fmt", about: "the code is formatted", run: fmt },
    Stage { name: "clippy", about: "no warnings, all targets", run: clippy },
    Stage { name: "unit", about: "all tests and the examples in the documentation", run: unit },
    Stage { name: "msrv", about: "the declared minimum version of Rust is enough", run: msrv },
    Stage {
        name: "gen",
        about: "nothing generated is stale; README's commands work",
        run: gen_check,
    },
    Stage {
        name: "no-std",
        about: "the core needs no standard library; every feature compiles alone",
        run: no_std,
    },
    Stage { name: "bare-metal", about: "the core compiles for a microcontroller", run: bare_metal },
    Stage { name: "bench", about: "the programs that compare with others compile", run: bench },
    Stage { name: "api", about: "the public interface is the one that was accepted", run: api },
    Stage { name: "doc", about: "the documentation has no warnings", run: doc },
    Stage {
        name: "package",
        about: "the published packages build from their own files, the command below 20 MB",
        run: package,
    },
    Stage {
        name: "digests",
        about: "the results over all 2^32 inputs of f32 are those that were proved",
        run: digests,
    },
    Stage {
        name: "instructions",
        about: "no main kernel takes more instructions than recorded",
        run: instructions,
    },
    Stage { name: "coefficients", about: "all coefficients are as derived", run: coefficients },
    Stage { name: "mpfr", about: "tests against multiple precision, and their lints", run: mpfr },
    Stage {
        name: "portable",
        about: "the catalogue's tests in plain numbers, a definition added in one file",
        run: portable,
    },
    Stage {
        name: "sanitizer",
        about: "tests of the library under AddressSanitizer",
        run: sanitizer,
    },
    Stage { name: "fuzz", about: "no input of any shape or file breaks anything", run: fuzz },
    Stage {
        name: "python-numpy",
        about: "the Python package, without PyTorch",
        run: python::numpy,
    },
    Stage { name: "neon", about: "64-bit Arm gives the same bits as this processor", run: neon },
    Stage {
        name: "python-torch",
        about: "PyTorch's operators on our kernels; models with and without them",
        run: torch::stage,
    },
];

/// The last of the stages that tell a newcomer most.
pub const TELLING: &str = "unit";

/// The levels that are compiled for this architecture.
pub const LEVELS: &[&str] = if cfg!(target_arch = "x86_64") {
    &["baseline", "avx2", "avx512"]
} else if cfg!(target_arch = "aarch64") {
    &["baseline", "neon"]
} else {
    &["baseline"]
};

const SCRIPT: &str = "tools/coefficients.py";
const COEFFICIENTS: &str = "crates/nonlin/src/math/coefficients.rs";
/// The largest binary allowed, in bytes.
const LARGEST: u64 = 20_000_000;
/// Seconds for each fuzz target.
const FUZZ_SECONDS: u64 = 20;
/// The tests that reach into memory in every way: lengths, offsets, blocks, axes, masks, strides,
/// registers.
const SANITIZED: [&str; 13] = [
    "lengths_and_alignments",
    "blocks_and_threads",
    "stores_past",
    "guards_are_untouched",
    "shapes_that_do_not_fit",
    "packed_layouts",
    "along_any_axis",
    "in_any_layout",
    "masks_and_scale",
    "rrelu_in_training",
    "shape::",
    "registers::",
    "any_axis",
];
const ARM: &str = "aarch64-unknown-linux-gnu";
const MICROCONTROLLER: &str = "thumbv7em-none-eabihf";

fn passed(note: impl Into<String>) -> Result<Outcome> {
    Ok(Outcome::Passed { note: note.into(), left_out: Vec::new() })
}

fn skipped(why: impl Into<String>) -> Result<Outcome> {
    Ok(Outcome::Skipped(why.into()))
}

fn fmt() -> Result<Outcome> {
    run(&mut cargo(["fmt", "--all", "--check"])).context("run `cargo fmt --all`")?;
    passed("")
}

/// What needs checking beside the lint `incompatible_msrv`, which clippy applies.
fn msrv() -> Result<Outcome> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let own = packages.iter().find(|p| p["name"] == "nonlin").context("nonlin")?;
    let wanted = version(own["rust_version"].as_str().context("rust-version of nonlin")?)?;
    for p in packages {
        if let Some(needs) = p["rust_version"].as_str()
            && version(needs)? > wanted
        {
            bail!(
                "{} {} needs Rust {needs}, we promise {}.{}",
                p["name"],
                p["version"],
                wanted.0,
                wanted.1
            );
        }
    }
    let rustc = output(command("rustc").arg("--version"))?;
    let number = rustc.split(' ').nth(1).context("rustc --version")?;
    let here = version(number)?;
    if here < wanted {
        bail!("rustc is {number}, rust-version is {}.{}", wanted.0, wanted.1);
    }
    if here == wanted {
        return passed(format!("all stages run on {number}, the version promised"));
    }
    let promised = format!("{}.{}", wanted.0, wanted.1);
    let ready = output(command("rustup").args(["run", "--no-install", &promised, "rustc", "-V"]));
    if ready.is_err() {
        return skipped(format!("rustc is {number}, and rustup has no toolchain {promised}"));
    }
    let mut check = command("rustup");
    check.args(["run", &promised, "cargo", "check", "--release", "--workspace"]);
    run(check.args(["--target-dir", "target/msrv"]).env_remove("RUSTUP_TOOLCHAIN"))?;
    passed(format!("compiles on {promised}; the other stages ran on {number}"))
}

/// Major and minor number.
fn version(text: &str) -> Result<(u32, u32)> {
    let mut parts = text.split('.').map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => bail!("`{text}` is no version"),
    }
}

fn gen_check() -> Result<Outcome> {
    generate::check()?;
    accuracy::main(&["--check"])?;
    peers::main(&["--check"])?;
    passed("")
}

fn clippy() -> Result<Outcome> {
    run(workspace("clippy")?.args(["--all-targets", "--", "-D", "warnings"]))?;
    passed("")
}

fn unit() -> Result<Outcome> {
    let mut test = workspace("test")?;
    let mut left_out = Vec::new();
    match python()? {
        Ok(python) => {
            test.env("NONLIN_PYTHON", python);
        }
        Err(why) => left_out.push(("comparisons with NumPy".to_owned(), why)),
    }
    run(&mut test)?;
    let levels = output(command(program("digest")?).arg("--levels"))?;
    let levels: Vec<&str> = levels.lines().collect();
    for level in LEVELS.iter().filter(|l| !levels.contains(l)) {
        left_out.push((level.to_string(), "this processor lacks it".to_owned()));
    }
    Ok(Outcome::Passed { note: format!("levels {}", levels.join(", ")), left_out })
}

/// A Python with the packages in `requirements.txt`, or what is missing.
fn python() -> Result<std::result::Result<PathBuf, String>> {
    let dir = cache("venv")?;
    let python = dir.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let requirements = root().join("xtask/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).context("xtask/requirements.txt")?;
    let done = dir.join("done");
    if std::fs::read_to_string(&done).is_ok_and(|d| d == wanted) && python.exists() {
        return Ok(Ok(python));
    }
    let Some(base) = ["python3", "python"].into_iter().find(|p| find(p).is_some()) else {
        return Ok(Err("there is no python3".to_owned()));
    };
    let made = run(command(base).args(["-m", "venv", "--clear"]).arg(&dir)).and_then(|()| {
        let mut pip = command(&python);
        pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "-r"]);
        run(pip.arg(&requirements))
    });
    if let Err(e) = made {
        return Ok(Err(format!("{e:#}")));
    }
    std::fs::write(&done, wanted).context("venv")?;
    Ok(Ok(python))
}

fn no_std() -> Result<Outcome> {
    // Without the standard library, and each feature that wants it alone.
    for features in ["", "alloc", "half", "alloc,half", "ndarray", "rayon", "serde", "core-math"] {
        let args = ["clippy", "--release", "--package", "nonlin", "--no-default-features"];
        run(cargo(args).args(["--features", features, "--", "-D", "warnings"]))?;
    }
    let dir = root().join("xtask/no-std");
    std::fs::copy(root().join("Cargo.lock"), dir.join("Cargo.lock")).context("Cargo.lock")?;
    let mut build = cargo(["build", "--manifest-path", "xtask/no-std/Cargo.toml"]);
    run(build.args(["--features", "half"]).arg("--target-dir").arg(target_dir()?))?;
    passed("a static library with a panic handler of its own")
}

fn bare_metal() -> Result<Outcome> {
    let compiler = match Compiler::find(MICROCONTROLLER)? {
        Ok(compiler) => compiler,
        Err(why) => return skipped(why),
    };
    for (verb, features) in
        [("check", ""), ("check", "half"), ("check", "alloc"), ("build", "alloc,half")]
    {
        let mut cargo = compiler.cargo(verb, MICROCONTROLLER, "core,alloc")?;
        cargo.args(["--package", "nonlin", "--no-default-features", "--features", features]);
        run(&mut cargo)?;
    }
    passed(MICROCONTROLLER)
}

/// The programs stand apart from the workspace, because of the libraries they depend on; both compile into
/// one directory, because these libraries are much alike.
fn bench() -> Result<Outcome> {
    for manifest in ["bench/speed/rivals/Cargo.toml", "bench/accuracy/candle/Cargo.toml"] {
        let mut check = cargo(["check", "--release", "--locked", "--manifest-path", manifest]);
        run(check.arg("--target-dir").arg(target_dir()?.join("bench")))?;
    }
    passed("")
}

fn api() -> Result<Outcome> {
    passed(api::check()?)
}

fn portable() -> Result<Outcome> {
    match one_file::missing() {
        Some(why) => skipped(why),
        None => {
            one_file::check()?;
            passed("")
        }
    }
}

fn sanitizer() -> Result<Outcome> {
    match instrumented::missing()? {
        Some(why) => skipped(why),
        None => {
            let tests = instrumented::sanitize(&SANITIZED)?;
            passed(format!("{tests} tests at the levels of the stage `unit`"))
        }
    }
}

fn fuzz() -> Result<Outcome> {
    match instrumented::missing()? {
        Some(why) => skipped(why),
        None => passed(instrumented::fuzz(&[], FUZZ_SECONDS)?),
    }
}

fn doc() -> Result<Outcome> {
    run(workspace("doc")?.arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings"))?;
    passed("")
}

/// Packs what is published, unpacks it apart from the workspace, and returns the directory.
fn unpacked() -> Result<PathBuf> {
    let packages = ["--package", "nonlin", "--package", "nonlin-cli"];
    run(cargo(["package", "--quiet", "--no-verify", "--allow-dirty"]).args(packages))?;
    let metadata = metadata()?;
    let dir = cache("package")?;
    std::fs::remove_dir_all(&dir).context("package")?;
    let dir = cache("package")?;
    for name in ["nonlin", "nonlin-cli"] {
        let all = metadata["packages"].as_array().context("packages")?;
        let package = all.iter().find(|p| p["name"] == name).context(name)?;
        let full = format!("{name}-{}", package["version"].as_str().unwrap_or_default());
        let file = target_dir()?.join(format!("package/{full}.crate"));
        run(command("tar").arg("-xzf").arg(file).arg("-C").arg(&dir))?;
        std::fs::rename(dir.join(full), dir.join(name)).context(name)?;
    }
    // With the profile and flags of the workspace, so that dependencies are not compiled again; and the library from here,
    // since it may not have been published yet.
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).context("Cargo.toml")?;
    let profile = manifest.split_once("[profile.release]").map_or("", |(_, rest)| rest);
    let profile = profile.split("\n[").next().unwrap_or_default();
    let flags =
        std::fs::read_to_string(root().join(".cargo/config.toml")).context("config.toml")?;
    let flags = flags.split_once("[build]").map_or("", |(_, rest)| rest);
    let library = Value::from(dir.join("nonlin").display().to_string());
    let config = format!(
        "[profile.release]{profile}\n[build]{flags}\n[patch.crates-io]\nnonlin = {{ path = {library} }}\n"
    );
    std::fs::create_dir_all(dir.join(".cargo")).context("package")?;
    std::fs::write(dir.join(".cargo/config.toml"), config).context("package")?;
    Ok(dir)
}

fn package() -> Result<Outcome> {
    let dir = unpacked()?;
    let mut build = cargo(["build", "--release", "--target-dir"]);
    build.arg(target_dir()?).current_dir(dir.join("nonlin-cli"));
    let program = build_binary(&mut build)?;
    let said = output(command(&program).args(["show", "gelu", "--json"]))?;
    let shown: Value = serde_json::from_str(&said).context("nonlin show gelu --json")?;
    if shown["name"] != "gelu" {
        bail!("`nonlin show gelu --json` shows {}", shown["name"]);
    }
    let bytes = std::fs::metadata(&program).context("size")?.len();
    if bytes > LARGEST {
        bail!("the command has {bytes} bytes, more than {LARGEST}");
    }
    passed(format!("nonlin, nonlin-cli; {:.1} MB", bytes as f64 / 1e6))
}

fn digests() -> Result<Outcome> {
    run(command(nonlin()?).args(["verify", "--digests", RECORD]))?;
    passed("")
}

fn instructions() -> Result<Outcome> {
    match instructions::missing() {
        Some(why) => skipped(why),
        None => passed(instructions::check()?),
    }
}

fn coefficients() -> Result<Outcome> {
    match python()? {
        Ok(python) => {
            let mut scripts: Vec<_> = std::fs::read_dir(root().join("tools"))
                .context("tools")?
                .map(|entry| Ok(entry.context("tools")?.path()))
                .collect::<Result<_>>()?;
            scripts.retain(|path| path.extension().is_some_and(|e| e == "py"));
            scripts.sort();
            for script in &scripts {
                run(command(&python).arg(script).arg("--check"))?;
            }
            plant(&python)?;
            passed(format!("{} scripts", scripts.len()))
        }
        Err(why) => skipped(why),
    }
}

/// Shows that a coefficient that is off by one unit in the last place is found.
fn plant(python: &Path) -> Result<()> {
    let dir = cache("planted")?;
    for file in [SCRIPT, COEFFICIENTS] {
        let copy = dir.join(file);
        std::fs::create_dir_all(copy.parent().context(file)?).context(file)?;
        let text = std::fs::read_to_string(root().join(file)).context(file)?;
        let text = if file == COEFFICIENTS { one_unit_off(&text).context(file)? } else { text };
        std::fs::write(copy, text).context(file)?;
    }
    let mut check = command(python);
    match output(check.arg(dir.join(SCRIPT)).arg("--check")) {
        Err(e) if format!("{e:#}").contains("differs") => Ok(()),
        Err(e) => Err(e.context("a coefficient that is off")),
        Ok(_) => bail!("{SCRIPT} --check does not see a coefficient that is off by one unit"),
    }
}

/// The text of coefficients with the first one of the first polynomial replaced by its neighbour.
fn one_unit_off(text: &str) -> Option<String> {
    let line = text.lines().find(|l| l.starts_with("    ") && l.trim_end().ends_with(','))?;
    let number = line.trim().trim_end_matches(',');
    let next = number.parse::<f64>().ok()?.next_up();
    Some(text.replacen(line, &format!("    {next:?},"), 1))
}

fn mpfr() -> Result<Outcome> {
    if find("m4").is_none() {
        return skipped("there is no m4, which GMP's build needs (Debian package m4)");
    }
    if !["cc", "gcc", "clang"].iter().any(|cc| find(cc).is_some()) {
        return skipped("there is no C compiler");
    }
    let all = features(&[TARGETS])?;
    let clippy = ["clippy", "--release", "--workspace", "--all-targets", "--features", &all];
    run(cargo(clippy).args(["--", "-D", "warnings"]))?;
    // With the packages that give the library's dependencies their features, so that it is that of the
    // other stages; but not with the library itself, which `--lib` would compile for unit tests.
    let packages = ["--package", "nonlin-testkit", "--package", "nonlin-cli", "--package", "xtask"];
    let tests = ["--lib", "--test", "catalog", "--test", "formulas", "--test", "primitives"];
    let mut test = cargo(["test", "--release", "--features", &all]);
    run(test.args(tests).args(packages))?;
    passed("")
}

fn neon() -> Result<Outcome> {
    if cfg!(target_arch = "aarch64") {
        return skipped("this processor is 64-bit Arm, there is no other to compare with");
    }
    let emulators = ["qemu-aarch64-static", "qemu-aarch64"];
    let Some(emulator) = emulators.into_iter().find(|p| find(p).is_some()) else {
        return skipped("there is no qemu-aarch64 (Debian package qemu-user-static)");
    };
    const LINKER: &str = "aarch64-linux-gnu-gcc";
    if find(LINKER).is_none() {
        return skipped(format!("there is no {LINKER} (Debian package gcc-aarch64-linux-gnu)"));
    }
    let compiler = match Compiler::find(ARM)? {
        Ok(compiler) => compiler,
        Err(why) => return skipped(why),
    };
    let here = program("digest")?;
    let levels = output(command(&here).arg("--levels"))?;
    let levels: Vec<_> = levels.lines().filter(|l| *l != "baseline").collect();
    if levels.is_empty() {
        return skipped("this processor has no fused multiply-add, whose bits are to be compared");
    }
    let mut build = compiler.cargo("build", ARM, "std,panic_abort")?;
    build.args(["--package", "nonlin-testkit", "--bin", "digest"]);
    build.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
    let there = build_binary(&mut build)?;
    // Debian keeps the libraries of that processor here.
    let mut emulated = command(emulator);
    let arm = output(emulated.args(["-L", "/usr/aarch64-linux-gnu"]).arg(&there).arg("neon"))?;
    for level in &levels {
        let own = output(command(&here).arg(level))?;
        let pairs = own.lines().zip(arm.lines());
        let differ: Vec<_> =
            pairs.filter(|(a, b)| a != b).map(|(a, b)| format!("{a} | {b}")).collect();
        if !differ.is_empty() || own.lines().count() != arm.lines().count() {
            bail!("{level} and NEON differ in {} digests:\n{}", differ.len(), differ.join("\n"));
        }
    }
    passed(format!("{} digests, same as {}", arm.lines().count(), levels.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coefficient_is_moved_by_one_unit() {
        let text = "const A: f64 = 1.5;\nconst B: [f64; 2] = [\n    0.5,\n    0.25,\n];\n";
        let off = one_unit_off(text).unwrap();
        assert_eq!(off, text.replace("    0.5,", "    0.5000000000000001,"));
        assert_eq!(one_unit_off("const A: f64 = 1.5;\n"), None);
    }

    #[test]
    fn versions() {
        assert_eq!(version("1.95.0").unwrap(), (1, 95));
        assert!(version("1.9").unwrap() < version("1.95").unwrap());
        assert!(version("new").is_err());
    }
}
