//! `cargo xtask gen`: everything that is written by a program and checked in.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{index, pages, readme, system};

/// The arguments of the command that draws the picture of README.md, where they stand too.
const GALLERY: &str = "plot relu gelu silu mish elu tanh -o docs/gallery.svg";

/// What to do with a text that should stand in a file.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Write,
    Check,
}

/// Writes what is stale.
///
/// # Errors
/// A definition or the README is wrong, or nothing compiles.
pub fn write() -> Result<()> {
    generate(Mode::Write)?;
    for line in index::unfinished(&index::definitions()?) {
        println!("{line}");
    }
    Ok(())
}

/// Writes the list of definitions, which takes no compiler, and an empty page for each that has
/// none, so that the documentation builds.
///
/// # Errors
/// A definition is wrong.
pub fn list() -> Result<()> {
    let definitions = index::definitions()?;
    update(
        Mode::Write,
        &index::path(),
        &index::render(&definitions, &index::tuned()?),
        &mut Vec::new(),
    )?;
    for path in definitions.iter().map(pages::path).filter(|p| !p.exists()) {
        update(Mode::Write, &path, "", &mut Vec::new())?;
    }
    for line in index::unfinished(&definitions) {
        println!("{line}");
    }
    Ok(())
}

/// Fails if something is stale.
///
/// # Errors
/// A definition or the README is wrong, nothing compiles, or something is stale.
pub fn check() -> Result<()> {
    let stale = generate(Mode::Check)?;
    if !stale.is_empty() {
        bail!("stale: {}; run `cargo xtask gen`", stale.join(", "));
    }
    let unfinished = index::unfinished(&index::definitions()?);
    if !unfinished.is_empty() {
        bail!("a new function is not finished\n{}", unfinished.join("\n"));
    }
    Ok(())
}

/// The stale files.
fn generate(mode: Mode) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    let definitions = index::definitions()?;
    update(mode, &index::path(), &index::render(&definitions, &index::tuned()?), &mut stale)?;
    if mode == Mode::Check && !stale.is_empty() {
        return Ok(stale); // The command would be built from a wrong list.
    }
    let nonlin = system::nonlin()?;

    for d in &definitions {
        update(mode, &pages::path(d), &pages::page(d, &nonlin)?, &mut stale)?;
    }

    let path = system::root().join("README.md");
    let text = std::fs::read_to_string(&path).context("README.md")?;
    let list = system::output(system::command(&nonlin).args(["list", "--json"]))?;
    let list = serde_json::from_str(&list).context("nonlin list --json")?;
    let text = readme::with_table(&text, &list)?;
    let text = readme::with_output(&text, &nonlin)?;
    update(mode, &path, &text, &mut stale)?;

    let gallery = system::root().join("docs/gallery.svg");
    let drawn = system::cache("gen")?.join("gallery.svg");
    let words = GALLERY.split(' ').map(|word| match word {
        "docs/gallery.svg" => drawn.clone(),
        word => PathBuf::from(word),
    });
    system::output(system::command(&nonlin).args(words))?;
    let text = std::fs::read_to_string(&drawn).context("gallery.svg")?;
    update(mode, &gallery, &text, &mut stale)?;
    Ok(stale)
}

fn update(mode: Mode, path: &Path, text: &str, stale: &mut Vec<String>) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let name = path.strip_prefix(system::root()).unwrap_or(path).display().to_string();
    if mode == Mode::Write {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        }
        std::fs::write(path, text).with_context(|| name.clone())?;
        println!("wrote {name}");
    }
    stale.push(name);
    Ok(())
}
