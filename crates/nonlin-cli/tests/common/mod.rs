//! Runs the command and NumPy.
#![allow(dead_code)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The command, to be run in `dir`.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nonlin"));
    command.current_dir(dir).stdin(Stdio::null());
    command
}

/// Runs `nonlin` with these words.
pub fn nonlin(dir: &Path, words: &[&str]) -> Output {
    command(dir).args(words).output().unwrap()
}

/// Runs `nonlin` with text on standard input.
pub fn piped(words: &[&str], input: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut child = command(dir.path());
    let mut child = child
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The program may end before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Runs it and expects success.
pub fn good(dir: &Path, words: &[&str]) -> String {
    let output = nonlin(dir, words);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
    assert_eq!(error, "", "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it and expects a failure with one line, which is returned.
pub fn bad(dir: &Path, words: &[&str]) -> String {
    failure(&nonlin(dir, words), words)
}

/// The one line of a failure.
pub fn failure(output: &Output, words: &[&str]) -> String {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{words:?}: {:?} {error}", output.status);
    assert_eq!(error.matches('\n').count(), 1, "{words:?}: {error}");
    assert!(error.starts_with("nonlin: ") && error.ends_with('\n'), "{words:?}: {error}");
    assert!(!error.contains("panicked"), "{error}");
    error
}

/// Runs a Python script with `dir` as its directory, `np` imported; false, and a line that
/// says so, where there is no NumPy. `NONLIN_PYTHON` names another interpreter.
pub fn python(dir: &Path, script: &str) -> bool {
    let name = std::env::var("NONLIN_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(&name);
    command.current_dir(dir).stdin(Stdio::null());
    let ready = Command::new(&name).args(["-c", "import numpy"]).output();
    if !ready.is_ok_and(|o| o.status.success()) {
        // Not `println`: that is shown of failed tests only.
        let _ = writeln!(std::io::stdout(), "SKIPPED: {name} has no numpy");
        return false;
    }
    let script = format!("import numpy as np\n{script}");
    let output = command.args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    true
}

/// The names in a directory, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A .npy file of f32.
pub fn save_f32(path: &Path, shape: &[usize], values: impl IntoIterator<Item = f32>) {
    let mut bytes = nonlin_cli::npy::header(nonlin_cli::array::DType::F32, false, false, shape);
    bytes.extend(values.into_iter().flat_map(f32::to_le_bytes));
    std::fs::write(path, bytes).unwrap();
}

/// The elements of a .npy file of f32.
pub fn load_f32(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let array = nonlin_cli::npy::parse(&bytes).unwrap();
    assert_eq!(array.dtype, nonlin_cli::array::DType::F32);
    let data = bytes[array.offset..].chunks_exact(4);
    data.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}
