//! `cargo xtask api`: the public interface as text, so that a change of it is seen.

use anyhow::{Context, Result, bail};

use crate::system::{build_binary, cargo, command, output, root, run, target_dir};

/// The interface as it was accepted.
const RECORD: &str = "docs/public-api.txt";
/// Every feature that adds to it.
const FEATURES: &str = "half,ndarray,rayon,serde,core-math";

/// Writes the record.
///
/// # Errors
/// The documentation does not compile.
pub fn write() -> Result<()> {
    std::fs::write(root().join(RECORD), list()?).context(RECORD)?;
    println!("wrote {RECORD}");
    Ok(())
}

/// Compares with the record; returns a word about it.
///
/// # Errors
/// The interface differs from the record.
pub fn check() -> Result<String> {
    let record = std::fs::read_to_string(root().join(RECORD)).context(RECORD)?;
    let now = list()?;
    let changes = changes(&record, &now);
    if !changes.is_empty() {
        bail!(
            "the public interface is not that of {RECORD}; if it is meant, `cargo xtask api` and a \
             line in CHANGELOG.md:\n{}",
            changes.join("\n")
        );
    }
    Ok(format!("{} items", now.lines().count()))
}

/// The items that are gone and those that are new.
fn changes(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let gone = old.iter().filter(|l| !new.contains(l)).map(|l| format!("- {l}"));
    let added = new.iter().filter(|l| !old.contains(l)).map(|l| format!("+ {l}"));
    gone.chain(added).collect()
}

/// One item a line.
fn list() -> Result<String> {
    let dir = target_dir()?.join("api");
    let mut doc = cargo(["rustdoc", "--package", "nonlin", "--lib", "--features", FEATURES]);
    doc.arg("--target-dir").arg(&dir).args(["--", "-Zunstable-options", "--output-format=json"]);
    // The JSON of rustdoc is behind a flag of nightly compilers.
    run(doc.env("RUSTC_BOOTSTRAP", "1"))?;
    let manifest = root().join("xtask/api/Cargo.toml");
    let mut build = cargo(["build", "--target-dir"]);
    build.arg(&dir).arg("--manifest-path").arg(manifest);
    output(command(build_binary(&mut build)?).arg(dir.join("doc/nonlin.json")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_named() {
        let now = "pub fn a()\npub fn b(x: f64)\n";
        assert!(changes(now, now).is_empty());
        let all = changes("pub fn a()\npub fn b()\n", now);
        assert_eq!(all, ["- pub fn b()", "+ pub fn b(x: f64)"]);
    }
}
