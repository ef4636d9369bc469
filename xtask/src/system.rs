//! Directories, programs and other processes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The root of the workspace.
pub fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR");
    let here = here.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).parent().map_or_else(|| here.clone().into(), Path::to_path_buf)
}

/// A directory for what the tests install and unpack; git ignores it.
///
/// # Errors
/// The directory cannot be made.
pub fn cache(name: &str) -> Result<PathBuf> {
    let dir = root().join(".cache").join(name);
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    Ok(dir)
}

/// A program, to be run in the root of the workspace.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The cargo that runs this.
pub fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // GMP and MPFR are compiled once per checkout.
    command.env("GMP_MPFR_SYS_CACHE", root().join(".cache/gmp"));
    command.args(args);
    command
}

/// Where a program is, if it is on the path.
pub fn find(program: &str) -> Option<PathBuf> {
    let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(&name)).find(|file| file.is_file())
}

/// The command as one would type it.
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    let quoted = words.map(|word| {
        let word = word.to_string_lossy();
        if word.contains([' ', '\'', '"', '\n']) { format!("{word:?}") } else { word.into_owned() }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// A Python with the libraries of `bench/accuracy/requirements.txt`, in an environment of its own.
///
/// # Errors
/// There is no Python, or they cannot be installed.
pub fn python_with_peers() -> Result<PathBuf> {
    let environment = cache("peers")?;
    let python = ["bin/python", "Scripts/python.exe"].map(|p| environment.join(p));
    let python = || python.iter().find(|p| p.exists()).cloned();
    if python().is_none() {
        let any = ["python3", "python"].into_iter().find_map(find).context("no python3")?;
        run(command(any).args(["-m", "venv"]).arg(&environment))?;
    }
    let python = python().context("the virtual environment has no python")?;
    let list = "bench/accuracy/requirements.txt";
    let pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-r", list];
    run(command(&python).args(pip))?;
    Ok(python)
}

/// Runs a command that writes to the terminal.
///
/// # Errors
/// The command cannot be started, or fails.
pub fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", line(command));
    let status = command.status().with_context(|| line(command))?;
    if !status.success() {
        bail!("`{}` failed: {status}", line(command));
    }
    Ok(())
}

/// Runs a command and returns what it writes to standard output.
///
/// # Errors
/// The command cannot be started, or fails.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| line(command))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}\n{}", line(command), output.status, said.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Builds a binary of the workspace and returns where it is.
///
/// # Errors
/// What `cargo` builds does not compile.
pub fn build_binary(cargo: &mut Command) -> Result<PathBuf> {
    println!("$ {}", line(cargo));
    cargo.args(["--quiet", "--message-format=json-render-diagnostics"]);
    let output = cargo.stderr(Stdio::inherit()).output().with_context(|| line(cargo))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", line(cargo), output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
    let mut programs = messages.filter_map(|m| Some(PathBuf::from(m["executable"].as_str()?)));
    programs.next().with_context(|| format!("`{}` made no program", line(cargo)))
}

/// The feature that builds GMP and MPFR.
pub const MPFR: &str = "nonlin-testkit/mpfr";
/// The feature that builds libFuzzer.
pub const TARGETS: &str = "nonlin-fuzz/targets";

/// `cargo VERB` over the workspace with the one set of features that the tasks share, so that the
/// library is optimised once for all of them: all but those that build a library of C or C++, and
/// change the test kit or the fuzz targets alone.
///
/// # Errors
/// A manifest is wrong.
pub fn workspace(verb: &str) -> Result<Command> {
    Ok(cargo([verb, "--release", "--workspace", "--features", &features(&[MPFR, TARGETS])?]))
}

/// The `nonlin` command, freshly built.
///
/// # Errors
/// What `cargo` builds does not compile.
pub fn nonlin() -> Result<PathBuf> {
    program("nonlin")
}

/// A program of the workspace, freshly built.
///
/// # Errors
/// What `cargo` builds does not compile.
pub fn program(name: &str) -> Result<PathBuf> {
    build_binary(workspace("build")?.args(["--bin", name]))
}

/// The directory of cargo's output.
///
/// # Errors
/// A manifest is wrong.
pub fn target_dir() -> Result<PathBuf> {
    Ok(metadata()?["target_directory"].as_str().context("target_directory")?.into())
}

/// What cargo knows of the workspace and its dependencies.
///
/// # Errors
/// A manifest is wrong.
pub fn metadata() -> Result<Value> {
    let text = output(&mut cargo(["metadata", "--format-version=1"]))?;
    serde_json::from_str(&text).context("cargo metadata")
}

/// All features of all members as `--features` takes them, but for those in `without`.
///
/// # Errors
/// A manifest is wrong.
pub fn features(without: &[&str]) -> Result<String> {
    let metadata = metadata()?;
    let members = metadata["workspace_members"].as_array().context("members")?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let mut all = Vec::new();
    for package in packages.iter().filter(|p| members.contains(&p["id"])) {
        let name = package["name"].as_str().unwrap_or_default();
        let features = package["features"].as_object().into_iter().flatten();
        let features = features.map(|(feature, _)| format!("{name}/{feature}"));
        all.extend(features.filter(|f| !without.contains(&f.as_str())));
    }
    Ok(all.join(","))
}
