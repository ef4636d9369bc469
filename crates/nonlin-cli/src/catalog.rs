//! A file of functions of one's own, by name: what `--catalog` reads.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use nonlin::Formula;
use serde::Deserialize;

/// What a file says of a function.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its formula, with its parameters.
    pub formula: String,
    /// Where it is from.
    #[serde(default)]
    pub source: String,
    /// What there is to say about it.
    #[serde(default)]
    pub notes: String,
}

static OPEN: OnceLock<BTreeMap<String, Entry>> = OnceLock::new();

/// Reads a file, whose functions [`formula`] finds then.
///
/// # Errors
/// It cannot be read, is no TOML of tables with a formula each, a formula is wrong, or a name is that of a
/// function of the catalogue.
pub fn open(path: &Path) -> Result<()> {
    let place = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(place)?;
    let all = parse(&text).with_context(place)?;
    let _ = OPEN.set(all);
    Ok(())
}

fn parse(text: &str) -> Result<BTreeMap<String, Entry>> {
    let all: BTreeMap<String, Entry> = toml::from_str(text)?;
    for (name, entry) in &all {
        if let Ok(f) = nonlin::get(name) {
            bail!("`{name}` is a name of {}, which nonlin has; choose another name", f.name());
        }
        if let Ok(f) = nonlin::gated(name) {
            bail!("`{name}` is a name of {}, which nonlin has; choose another name", f.name());
        }
        Formula::parse(&entry.formula).map_err(|e| anyhow::anyhow!("`{name}`: {e}"))?;
    }
    Ok(all)
}

/// The functions of the file that was read, by name.
pub fn entries() -> impl Iterator<Item = (&'static str, &'static Entry)> {
    OPEN.get().into_iter().flatten().map(|(name, entry)| (name.as_str(), entry))
}

/// The formula of that name in the file that was read.
#[must_use]
pub fn formula(name: &str) -> Option<&'static str> {
    OPEN.get()?.get(name.trim()).map(|entry| entry.formula.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_checked_as_a_whole() {
        let good = "[soft]\nformula = \"x / (k + abs(x)); k = 1 in (0, 9)\"\nsource = \"us\"\n";
        assert_eq!(parse(good).unwrap()["soft"].source, "us");
        for (text, wrong) in [
            ("[soft]\nsource = \"us\"\n", "formula"),
            ("[soft]\nformula = \"x\"\nsauce = \"us\"\n", "sauce"),
            ("[soft]\nformula = \"x * tnah(x)\"\n", "did you mean `tanh`"),
            ("[Swish]\nformula = \"x\"\n", "silu"),
            ("[snake]\nformula = \"x\"\n", "snake"),
            ("[drelu]\nformula = \"a * b\"\n", "drelu"),
            ("soft = \"x\"\n", "soft"),
            ("[soft\n", "soft"),
        ] {
            let e = format!("{:#}", parse(text).unwrap_err());
            assert!(e.contains(wrong), "{text}: {e}");
        }
    }
}
