//! README.md: the table of functions, and what its commands print.
//!
//! A `console` block holds commands, after `$ `, and their output, which is written here. Of an
//! `sh` block the lines that begin with `nonlin ` are run and must succeed. Both run in an empty
//! directory with a few arrays in it.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::system;

const START: &str = "<!-- functions: written by `cargo xtask gen` -->\n";
const END: &str = "<!-- end of functions -->\n";

/// The text with the table of all functions between the marks.
///
/// # Errors
/// A mark is missing.
pub fn with_table(text: &str, list: &Value) -> Result<String> {
    let (before, rest) = text.split_once(START).context("README.md has no mark `functions`")?;
    let (_, after) = rest.split_once(END).context("README.md has no mark `end of functions`")?;
    let mut table = String::from("| name | formula | kind | also called |\n|---|---|---|---|\n");
    for f in list.as_array().context("`nonlin list --json` is no array")? {
        let text = |key: &str| f[key].as_str().unwrap_or_default();
        let aliases = f["aliases"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let aliases: Vec<_> = aliases.map(|a| format!("`{a}`")).collect();
        let formula = text("formula").replace('|', "\\|");
        let (name, kind, aliases) = (text("name"), text("kind"), aliases.join(", "));
        table.push_str(&format!("| `{name}` | `{formula}` | {kind} | {aliases} |\n"));
    }
    Ok(format!("{before}{START}{table}{END}{after}"))
}

/// The text with the output of the commands in its `console` blocks.
///
/// # Errors
/// A command fails.
pub fn with_output(text: &str, nonlin: &Path) -> Result<String> {
    let dir = system::cache("readme")?;
    std::fs::remove_dir_all(&dir).context("readme")?;
    let dir = system::cache("readme")?;
    for (name, rows, columns) in [
        ("x.npy", 64, 64),
        ("dy.npy", 64, 64),
        ("gate.npy", 64, 64),
        ("value.npy", 64, 64),
        ("logits.npy", 8, 10),
    ] {
        std::fs::write(dir.join(name), npy(rows, columns)).context(name)?;
    }
    let shell = |line: &str| -> Result<String> {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let bin = nonlin.parent().map(Path::to_path_buf).into_iter();
        let paths = std::env::join_paths(bin.chain(std::env::split_paths(&paths)))?;
        let mut command = system::command("sh");
        command.args(["-c", line]).current_dir(&dir).env("PATH", paths).env("COLUMNS", "80");
        system::output(&mut command).context("README.md")
    };
    let mut out = String::new();
    let lines = text.lines();
    let mut language = None;
    for line in lines {
        if let Some(fence) = line.strip_prefix("```") {
            language = if language.is_some() { None } else { Some(fence) };
        }
        match (language, line.strip_prefix("$ ")) {
            (Some("console"), Some(command)) => {
                out.push_str(&format!("{line}\n{}", shell(command)?));
            }
            (Some("console"), None) if !line.starts_with("```") => {} // old output
            (Some("sh"), _) => {
                if line.starts_with("nonlin ") {
                    shell(line)?;
                }
                out.push_str(&format!("{line}\n"));
            }
            _ => out.push_str(&format!("{line}\n")),
        }
    }
    if language.is_some() {
        bail!("README.md: a block has no end");
    }
    Ok(out)
}

/// A .npy file of f32 between -4 and 4.
fn npy(rows: usize, columns: usize) -> Vec<u8> {
    let header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let mut file = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    file.extend(format!("{header:117}\n").bytes());
    let values = (0..rows * columns).map(|i| (i % 65) as f32 / 8.0 - 4.0);
    file.extend(values.flat_map(f32::to_le_bytes));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_between_marks() {
        let list = serde_json::json!([
            {"name": "abs", "formula": "|x|", "kind": "elementwise", "aliases": ["a", "b"]}
        ]);
        let text = with_table(&format!("x\n{START}old\n{END}y\n"), &list).unwrap();
        let row = "| `abs` | `\\|x\\|` | elementwise | `a`, `b` |\n";
        assert!(text.contains(row) && !text.contains("old"), "{text}");
        assert!(text.starts_with("x\n") && text.ends_with("y\n"));
        assert!(with_table(START, &list).is_err());
    }

    #[test]
    fn header_is_aligned() {
        assert_eq!(npy(64, 64).len(), 128 + 4 * 64 * 64);
    }
}
