//! The Python package: built as users build it, and tested on every Python that is there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::stage::Outcome;
use crate::system::{cache, cargo, command, find, output, run};

const MANIFEST: &str = "python/Cargo.toml";
const REQUIREMENTS: &str = "python/requirements-test.txt";

/// The versions of Python 3 on which the one wheel is tested: the oldest, the one that most tests
/// run on, and new ones.
const VERSIONS: [u32; 4] = [10, 11, 13, 14];

/// What runs all tests with the packages pinned.
const MAIN: u32 = 11;

/// What other versions are tested with; the oldest has the oldest NumPy that the package allows.
const OTHERS: &[&str] = &["ml_dtypes", "pytest", "pytest-xdist", "hypothesis", "tomli"];
const OLDEST_NUMPY: &str = "numpy==2.0.*";

/// The tests that other versions run: those of the border, not of the kernels.
const BORDER: &[&str] =
    &["test_ufuncs.py", "test_parameters.py", "test_rows.py", "test_threads.py"];

/// Lints, the wheel by one command, all tests with the packages pinned, and on the other versions
/// of Python those of the border.
pub fn numpy() -> Result<Outcome> {
    run(&mut cargo(["fmt", "--check", "--manifest-path", MANIFEST]))?;
    let clippy = ["clippy", "--release", "--quiet", "--manifest-path", MANIFEST];
    run(cargo(clippy).args(["--", "--deny", "warnings"]))?;
    let there: Vec<(u32, PathBuf)> =
        VERSIONS.into_iter().filter_map(|v| Some((v, interpreter(v)?))).collect();
    let Some((main, base)) = there.iter().find(|(v, _)| *v == MAIN).or(there.last()) else {
        return Ok(Outcome::Skipped(format!("there is no Python {}", names(&VERSIONS))));
    };
    let python = environment("python-numpy", base)?;
    run(pip(&python).args(["install", "-r", REQUIREMENTS]))?;
    let wheel = wheel(&python)?;
    test(&python, &wheel, &["python/tests".into()])?;
    let border: Vec<PathBuf> = BORDER.iter().map(|t| Path::new("python/tests").join(t)).collect();
    for (version, base) in there.iter().filter(|(v, _)| v != main) {
        let python = environment(&format!("python-3.{version}"), base)?;
        let numpy = if *version == VERSIONS[0] { OLDEST_NUMPY } else { "numpy" };
        run(pip(&python).args(["install", numpy]).args(OTHERS))?;
        test(&python, &wheel, &border)?;
    }
    let missing: Vec<u32> =
        VERSIONS.into_iter().filter(|version| there.iter().all(|(v, _)| v != version)).collect();
    for version in &missing {
        println!(
            "SKIPPED: there is no Python 3.{version}: no python3.{version} on the path or below pyenv's \
             versions, and python3 is another one"
        );
    }
    let tested: Vec<u32> = there.iter().map(|(v, _)| *v).collect();
    let mut note = format!("Python {}", names(&tested));
    if !missing.is_empty() {
        note += &format!("; SKIPPED {}: {}", missing.len(), names(&missing));
    }
    Ok(Outcome::Passed { note, left_out: Vec::new() })
}

fn names(versions: &[u32]) -> String {
    versions.iter().map(|v| format!("3.{v}")).collect::<Vec<_>>().join(", ")
}

/// The package, built by the one command by which users build it.
pub fn wheel(python: &Path) -> Result<PathBuf> {
    let wheels = cache("python-wheels")?;
    std::fs::remove_dir_all(&wheels).context("python-wheels")?;
    run(pip(python).args(["wheel", "--no-deps", "-w"]).arg(&wheels).arg("./python"))?;
    let wheel =
        std::fs::read_dir(&wheels).context("python-wheels")?.next().context("no wheel")??;
    Ok(wheel.path())
}

/// Python 3 of that version, on the path or where pyenv keeps it, if it runs.
fn interpreter(version: u32) -> Option<PathBuf> {
    let name = format!("python3.{version}");
    let home = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".pyenv")));
    let kept = home.and_then(|h| std::fs::read_dir(h.join("versions")).ok());
    let kept = kept.into_iter().flatten().flatten().map(|e| e.path().join("bin").join(&name));
    let plain = ["python3", "python"].into_iter().filter_map(find);
    find(&name).into_iter().chain(kept).chain(plain).find(|path| {
        let said = output(command(path).arg("--version"));
        said.is_ok_and(|said| said.starts_with(&format!("Python 3.{version}.")))
    })
}

/// An environment of its own for that Python; returns its interpreter.
fn environment(name: &str, base: &Path) -> Result<PathBuf> {
    let dir = cache(name)?;
    let python = dir.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !python.exists() {
        run(command(base).args(["-m", "venv", "--clear"]).arg(&dir))?;
    }
    Ok(python)
}

/// The installer of that Python.
pub fn pip(python: &Path) -> Command {
    let mut pip = command(python);
    pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]);
    pip
}

/// Installs the wheel and runs tests of it.
fn test(python: &Path, wheel: &Path, tests: &[PathBuf]) -> Result<()> {
    let words = ["install", "--no-deps", "--force-reinstall"];
    run(pip(python).args(words).arg(wheel))?;
    // On all cores; a processor that is done takes tests from another one.
    let words = ["-m", "pytest", "--quiet", "-p", "no:cacheprovider", "-n", "auto", "--dist"];
    let words = words.into_iter().chain(["worksteal", "--ignore=python/tests/torch"]);
    run(command(python).args(words).args(tests))
}
