//! `cargo xtask test`: runs stages, times them, sums up.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::stages::{STAGES, Stage};

/// How a stage that did not fail ended.
#[derive(Debug)]
pub enum Outcome {
    /// All is well, and a word about it.
    Passed(String),
    /// This machine lacks something.
    Skipped(String),
}

/// The stages that must not be skipped.
const REQUIRE: &str = "NONLIN_REQUIRE";

/// All stages, one a line.
pub fn list() -> String {
    let widest = STAGES.iter().map(|s| s.name.len()).max().unwrap_or(0);
    STAGES.iter().fold(String::new(), |mut text, s| {
        let _ = writeln!(text, "{:widest$}  {}", s.name, s.about);
        text
    })
}

/// Runs the stages of these names, or all.
pub fn run(names: &[&str]) -> ExitCode {
    let required = std::env::var(REQUIRE).unwrap_or_default();
    let stages = select(names).and_then(|stages| Ok((stages, require(&required)?)));
    let (stages, required) = match stages {
        Ok(chosen) => chosen,
        Err(e) => {
            eprintln!("xtask: {e}");
            return ExitCode::from(2);
        }
    };
    let mut ended = Vec::new();
    for stage in stages {
        println!("\n== {}: {}", stage.name, stage.about);
        let start = Instant::now();
        let result = match (stage.run)() {
            Ok(Outcome::Skipped(why)) if required.contains(&stage.name) => {
                Err(anyhow::anyhow!("{REQUIRE} wants it, but {why}"))
            }
            result => result,
        };
        match &result {
            Ok(Outcome::Passed(_)) => {}
            Ok(Outcome::Skipped(why)) => println!("SKIPPED {}: {why}", stage.name),
            Err(e) => println!("FAILED {}: {e:#}", stage.name),
        }
        ended.push((stage.name, start.elapsed(), result));
    }
    print!("\n{}", summary(&ended));
    ExitCode::from(u8::from(ended.iter().any(|(.., result)| result.is_err())))
}

fn select(names: &[&str]) -> Result<Vec<&'static Stage>> {
    if names.is_empty() {
        return Ok(STAGES.iter().collect());
    }
    names.iter().map(|name| known(name)).collect()
}

fn known(name: &str) -> Result<&'static Stage> {
    match STAGES.iter().find(|s| s.name == name) {
        Some(stage) => Ok(stage),
        None => bail!("there is no stage `{name}`; the stages are\n{}", list().trim_end()),
    }
}

fn require(names: &str) -> Result<Vec<&'static str>> {
    let mut required = Vec::new();
    for name in names.split(',').map(str::trim).filter(|n| !n.is_empty()) {
        match name {
            "all" => required.extend(STAGES.iter().map(|s| s.name)),
            name => required.push(known(name)?.name),
        }
    }
    Ok(required)
}

fn summary(ended: &[(&str, Duration, Result<Outcome>)]) -> String {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let widest = ended.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, time, result) in ended {
        let (word, note) = match result {
            Ok(Outcome::Passed(note)) => {
                passed += 1;
                ("passed", note.clone())
            }
            Ok(Outcome::Skipped(why)) => {
                skipped += 1;
                ("SKIPPED", why.clone())
            }
            Err(e) => {
                failed += 1;
                ("FAILED", e.to_string())
            }
        };
        let seconds = time.as_secs_f64();
        let note = note.lines().next().unwrap_or_default();
        let line = format!("{name:widest$}  {word:7}  {seconds:7.1} s  {note}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let _ = writeln!(text, "{passed} passed, {failed} failed, {skipped} skipped");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_by_name() {
        assert_eq!(select(&[]).unwrap().len(), STAGES.len());
        assert_eq!(select(&["fmt", "unit"]).unwrap()[1].name, "unit");
        let error = select(&["units"]).unwrap_err().to_string();
        assert!(error.contains("`units`") && error.contains("unit"), "{error}");
        assert_eq!(require("").unwrap(), [""; 0]);
        assert_eq!(require("neon, mpfr").unwrap(), ["neon", "mpfr"]);
        assert_eq!(require("all").unwrap().len(), STAGES.len());
        assert!(require("nothing").is_err());
    }

    #[test]
    fn summary_counts() {
        let second = Duration::from_secs(1);
        let text = summary(&[
            ("a", second, Ok(Outcome::Passed(String::new()))),
            ("bb", second, Ok(Outcome::Skipped("no m4".to_owned()))),
            ("c", second, Err(anyhow::anyhow!("line 1\nline 2"))),
        ]);
        let wanted = "a   passed       1.0 s\nbb  SKIPPED      1.0 s  no m4\n\
                      c   FAILED       1.0 s  line 1\n1 passed, 1 failed, 1 skipped\n";
        assert_eq!(text, wanted);
    }
}
