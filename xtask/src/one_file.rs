//! The catalogue's tests on a copy of the tree to which a definition was added as CONTRIBUTING.md
//! tells, in one file; compiled for a processor that has no registers of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::index::MARK;
use crate::system::{cache, cargo, command, output, root, run, target_dir};

/// The function of the walk in CONTRIBUTING.md.
const NAME: &str = "rectified_tanh";
const WALK: &str = "CONTRIBUTING.md";
const LIST: &str = "crates/nonlin/src/functions.rs";

/// Copies, adds, tests.
///
/// # Errors
/// The walk cannot be followed, or a test fails.
pub fn check() -> Result<()> {
    let copy = copy()?;
    let before = changed(&copy)?;
    ensure!(before.is_empty(), "the copy differs: {}", before.join(", "));
    let program = std::env::current_exe().context("xtask")?;
    run(command(program).args(["new", NAME]).env("CARGO_MANIFEST_DIR", copy.join("xtask")))?;
    let file = format!("crates/nonlin/src/functions/{NAME}.rs");
    let path = copy.join(&file);
    let template = std::fs::read_to_string(&path).with_context(|| file.clone())?;
    let walk = std::fs::read_to_string(copy.join(WALK)).context(WALK)?;
    let text = follow(&template, &walk).context(WALK)?;
    std::fs::write(&path, text).with_context(|| file.clone())?;
    let touched = changed(&copy)?;
    ensure!(touched == [LIST], "besides {file} it takes {}", touched.join(", "));

    let mut test = cargo(["test", "--release", "--package", "nonlin", "--test", "all"]);
    test.arg("--target-dir").arg(target_dir()?.join("portable")).current_dir(&copy);
    test.env("RUSTFLAGS", "--cfg nonlin_portable").env_remove("CARGO_ENCODED_RUSTFLAGS");
    // Arithmetic that wraps, and what the library asserts of itself.
    test.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    run(&mut test)
}

/// The files that git knows or would add.
fn files() -> Result<Vec<String>> {
    let mut git = command("git");
    let all = output(git.args(["ls-files", "-z", "-co", "--exclude-standard"]))?;
    Ok(all.split('\0').filter(|f| !f.is_empty()).map(str::to_owned).collect())
}

/// A copy of the tree. What has not changed since keeps its time, so that it is not compiled again.
fn copy() -> Result<PathBuf> {
    let to = cache("one-file")?.join("tree");
    if to.exists() {
        std::fs::remove_dir_all(&to).context("one-file")?;
    }
    for file in files()? {
        let (from, to) = (root().join(&file), to.join(&file));
        // Deleted, but git has it still; or a directory that is a repository of its own.
        let Ok(data) = std::fs::metadata(&from) else { continue };
        if !data.is_file() {
            continue;
        }
        std::fs::create_dir_all(to.parent().context("root")?).with_context(|| file.clone())?;
        std::fs::copy(&from, &to).with_context(|| file.clone())?;
        let copied = std::fs::File::options().append(true).open(&to);
        copied.and_then(|f| f.set_modified(data.modified()?)).with_context(|| file.clone())?;
    }
    Ok(to)
}

/// The files of the tree that are not the same in the copy.
fn changed(copy: &Path) -> Result<Vec<String>> {
    let read = |dir: &Path, file: &str| std::fs::read(dir.join(file)).ok();
    Ok(files()?.into_iter().filter(|f| read(&root(), f) != read(copy, f)).collect())
}

/// The file of a new function with what the walk says in place of what the template has.
fn follow(template: &str, walk: &str) -> Result<String> {
    let section = walk.split_once("## Add an activation in one file").context("the section")?.1;
    let block = section.split_once("```text\n").context("the text to insert")?.1;
    let block = block.split_once("```").context("the end of the text")?.0;
    let indent = block.len() - block.trim_start_matches(' ').len();
    let lines = block.lines().map(|l| l.get(indent..).unwrap_or_default());
    let block = lines.collect::<Vec<_>>().join("\n");

    let mut text = template.to_owned();
    for piece in block.trim_end().split("\n\n") {
        let first = piece.lines().find(|l| !l.starts_with("#[")).context("an empty piece")?;
        // A name: what comes before the value, the type or the arguments.
        let name = first.split(['"', ':', '(', '<']).find(|w| !w.trim().is_empty());
        let name = match first.starts_with("..") {
            true => "..Meta::new(",
            false => name.context("a piece without a name")?,
        };
        text = replaced(&text, name, piece).with_context(|| format!("`{name}`"))?;
    }
    if !block.contains("fn slope") {
        text = replaced(&text, "fn slope", "")?;
    }
    Ok(without_remarks(&text))
}

/// `piece` in place of the item whose first line starts with `name`, attributes included.
fn replaced(text: &str, name: &str, piece: &str) -> Result<String> {
    let lines: Vec<&str> = text.lines().collect();
    let found = lines.iter().position(|l| l.trim_start().starts_with(name));
    let mut start = found.context("the template has no such item")?;
    let indent = lines[start].len() - lines[start].trim_start().len();
    let closes = |l: &&str| {
        let rest = l.get(indent..).unwrap_or_default();
        l[..indent.min(l.len())].trim().is_empty() && rest.starts_with('}')
    };
    let end = match lines[start].ends_with('{') {
        false => start,
        true => start + lines[start..].iter().position(closes).context("the item has no end")?,
    };
    while start > 0 && lines[start - 1].trim_start().starts_with("#[") {
        start -= 1;
    }
    let mut new: Vec<String> = lines[..start].iter().map(|l| (*l).to_owned()).collect();
    new.extend(piece.lines().map(|l| format!("{:indent$}{l}", "")));
    new.extend(lines[end + 1..].iter().map(|l| (*l).to_owned()));
    Ok(new.join("\n") + "\n")
}

/// Without the remarks that ask for a replacement.
fn without_remarks(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines() {
        let plain = line.trim_start();
        inside = plain.starts_with(MARK) || (inside && plain.starts_with("// "));
        if !inside {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// What git and the walk need.
pub fn missing() -> Option<String> {
    let git = output(command("git").args(["rev-parse", "--is-inside-work-tree"]));
    git.is_err().then(|| "the tree is no working tree of git, which lists its files".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_followed() {
        let template = "impl X {\n    const META: Meta = Meta {\n        // Replace: a formula\n        \
                        // of any kind.\n        a: 1,\n        ..Meta::new(\"NAME\", \"x\")\n    };\n    \
                        const CLAIMS: Claims = Claims {\n        odd: true,\n    };\n\n    \
                        #[inline(always)]\n    fn value(x: T) -> T {\n        x\n    }\n\n    \
                        // Replace: this\n    #[inline(always)]\n    fn slope(x: T) -> T {\n        1\n    }\n}\n";
        let walk = "## Add an activation in one file\n   ```text\n   ..Meta::new(\"b\", \"y\")\n\n   \
                    const CLAIMS: Claims = Claims {\n       even: true,\n   };\n\n   \
                    #[inline(always)]\n   fn value(x: T) -> T {\n       x + 1\n   }\n   ```\n";
        let wanted = "impl X {\n    const META: Meta = Meta {\n        a: 1,\n        \
                      ..Meta::new(\"b\", \"y\")\n    };\n    const CLAIMS: Claims = Claims {\n        \
                      even: true,\n    };\n\n    #[inline(always)]\n    fn value(x: T) -> T {\n        \
                      x + 1\n    }\n\n}\n";
        assert_eq!(follow(template, walk).unwrap(), wanted);
        assert!(follow("impl X {\n}\n", walk).is_err());
        assert!(follow(template, "").is_err());
    }
}
