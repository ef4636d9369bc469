//! `cargo xtask exhaustive`: f and f' over all 2^32 inputs of f32, into proof/f32.csv.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::system::{build_binary, cargo, command, root, run};

/// The record: the worst case and a digest of all results, per function and derivative.
pub const RECORD: &str = "proof/f32.csv";

/// Measures the functions of these names anew, or, without names, those that are not recorded.
///
/// What is measured is written after each function, so that a run can be interrupted.
///
/// # Errors
/// A name is not that of an elementwise function, or a bound does not hold.
pub fn main(names: &[&str]) -> Result<()> {
    for name in names {
        let file = format!("crates/nonlin/src/functions/{name}.rs");
        let text = std::fs::read_to_string(root().join(&file));
        if !text.is_ok_and(|t| t.contains("impl Elementwise for")) {
            bail!("`{name}` is not an elementwise function: {file} does not define one");
        }
    }
    let features = ["build", "--release", "--package", "nonlin-cli", "--features", "core-math"];
    // In a directory of its own: the feature would have everything else compiled again.
    let directory = root().join("target/exhaustive");
    let program = build_binary(cargo(features).arg("--target-dir").arg(directory))?;
    let record = root().join(RECORD);
    std::fs::create_dir_all(record.parent().context(RECORD)?)?;
    forget(&record, names)?;
    run(command(program).args(["verify", "--exhaustive", "--record", RECORD]).args(names))
}

/// Takes the lines of these functions out of the record.
fn forget(record: &Path, names: &[&str]) -> Result<()> {
    if names.is_empty() || !record.exists() {
        return Ok(());
    }
    let text = std::fs::read_to_string(record).context(RECORD)?;
    std::fs::write(record, without(&text, names)).context(RECORD)
}

fn without(text: &str, names: &[&str]) -> String {
    let kept = text.lines().filter(|l| !names.iter().any(|n| l.split(',').next() == Some(n)));
    kept.fold(String::new(), |all, line| all + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_are_forgotten() {
        let text = "function,what\ngelu,f\ngelu,f'\ngelu_tanh,f\n";
        assert_eq!(without(text, &["gelu"]), "function,what\ngelu_tanh,f\n");
    }

    #[test]
    fn only_elementwise_functions() {
        for name in ["swiglu", "softmax", "nothing"] {
            let error = main(&[name]).unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}` is not")), "{error}");
        }
    }
}
