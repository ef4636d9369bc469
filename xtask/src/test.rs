//! `cargo xtask test`: runs stages, times them, sums up.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::stage::{Outcome, Stage};
use crate::stages::{LEVELS, STAGES, TELLING};
use crate::system;

/// What must not be skipped: names of stages and of levels, `stages` for all of the former, `all`
/// for everything.
const REQUIRE: &str = "NONLIN_REQUIRE";

/// Seconds that each stage took from an empty target directory.
const RECORD: &str = "xtask/stages.csv";
const HEADER: &str = "stage,seconds";

/// All stages, one a line.
pub fn list() -> String {
    let record = recorded().unwrap_or_default();
    let widest = STAGES.iter().map(|s| s.name.len()).max().unwrap_or(0);
    STAGES.iter().fold(String::new(), |mut text, s| {
        let seconds = seconds(&record, s.name).map_or("?".to_owned(), |v| format!("{v:.0}"));
        let _ = writeln!(text, "{:widest$}  {seconds:>4} s  {}", s.name, s.about);
        text
    })
}

/// What each stage took, for a document.
pub fn table() -> String {
    let record = recorded().unwrap_or_default();
    let mut text = "| stage | shows that | s |\n|---|---|--:|\n".to_owned();
    for stage in &STAGES {
        let seconds = seconds(&record, stage.name).map_or("?".to_owned(), |v| format!("{v:.0}"));
        let _ = writeln!(text, "| {} | {} | {seconds} |", stage.name, stage.about);
    }
    let all: f64 = record.iter().map(|(_, seconds)| seconds).sum();
    let _ = writeln!(text, "| all | | {all:.0} |");
    text
}

/// Runs the stages of these names, or all; `--record` among them keeps how long each took.
pub fn run(words: &[&str]) -> ExitCode {
    let names: Vec<&str> = words.iter().copied().filter(|w| *w != "--record").collect();
    let required = std::env::var(REQUIRE).unwrap_or_default();
    let stages = select(&names).and_then(|stages| Ok((stages, require(&required)?)));
    let (stages, required) = match stages {
        Ok(chosen) => chosen,
        Err(e) => {
            eprintln!("xtask: {e}");
            return ExitCode::from(2);
        }
    };
    println!("{}", forecast(&stages, &recorded().unwrap_or_default()));
    let begin = Instant::now();
    let mut ended = Vec::new();
    for stage in stages {
        println!("\n== {}: {}", stage.name, stage.about);
        let start = Instant::now();
        let result = (stage.run)().and_then(|outcome| demand(stage.name, outcome, &required));
        match &result {
            Ok(Outcome::Passed { left_out, .. }) => {
                for (what, why) in left_out {
                    println!("SKIPPED of {}: {what}: {why}", stage.name);
                }
            }
            Ok(Outcome::Skipped(why)) => println!("SKIPPED {}: {why}", stage.name),
            Err(e) => println!("FAILED {}: {e:#}", stage.name),
        }
        ended.push((stage.name, start.elapsed(), result));
        if stage.name == TELLING {
            println!(
                "\nSo far, after {:.0} s:\n{}",
                begin.elapsed().as_secs_f64(),
                summary(&ended)
            );
        }
    }
    print!("\n{}", summary(&ended));
    if words.contains(&"--record")
        && let Err(e) = record(&ended)
    {
        eprintln!("xtask: {e:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::from(u8::from(ended.iter().any(|(.., result)| result.is_err())))
}

/// How long it will take, by the record.
fn forecast(stages: &[&'static Stage], record: &[(String, f64)]) -> String {
    let minutes = |stages: &[&Stage]| {
        let all: Option<f64> = stages.iter().map(|s| seconds(record, s.name)).sum();
        all.map_or("an unknown number of".to_owned(), |s| format!("{:.0}", (s / 60.0).ceil()))
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut text = format!(
        "{} stages: {} minutes by {RECORD}, which was measured on 2 cores from nothing; here are \
         {cores}",
        stages.len(),
        minutes(stages)
    );
    if let Some(last) = stages.iter().position(|s| s.name == TELLING)
        && last + 1 < stages.len()
    {
        let first = &stages[..=last];
        let names: Vec<&str> = first.iter().map(|s| s.name).collect();
        let _ = write!(text, "\n{} are known after {}", names.join(", "), minutes(first));
    }
    text
}

fn seconds(record: &[(String, f64)], name: &str) -> Option<f64> {
    record.iter().find(|(n, _)| n == name).map(|(_, seconds)| *seconds)
}

fn path() -> PathBuf {
    system::root().join(RECORD)
}

/// What each stage took.
fn recorded() -> Result<Vec<(String, f64)>> {
    let text = std::fs::read_to_string(path()).context(RECORD)?;
    let lines = text.lines().filter(|l| *l != HEADER && !l.is_empty());
    lines
        .map(|line| {
            let (name, seconds) = line.split_once(',').with_context(|| line.to_owned())?;
            Ok((name.to_owned(), seconds.parse().with_context(|| line.to_owned())?))
        })
        .collect()
}

/// Replaces the record's times of the stages that ran to their end.
fn record(ended: &[(&str, Duration, Result<Outcome>)]) -> Result<()> {
    let mut record = recorded().unwrap_or_default();
    for (name, time, result) in ended {
        if let Ok(Outcome::Passed { .. }) = result {
            record.retain(|(n, _)| n != name);
            record.push(((*name).to_owned(), time.as_secs_f64()));
        }
    }
    let mut text = format!("{HEADER}\n");
    for stage in &STAGES {
        if let Some(seconds) = seconds(&record, stage.name) {
            let _ = writeln!(text, "{},{seconds:.0}", stage.name);
        }
    }
    std::fs::write(path(), text).context(RECORD)
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

/// The names of stages and levels that are required.
fn require(names: &str) -> Result<Vec<&'static str>> {
    let mut required = Vec::new();
    for name in names.split(',').map(str::trim).filter(|n| !n.is_empty()) {
        if matches!(name, "all" | "stages") {
            required.extend(STAGES.iter().map(|s| s.name));
        }
        match LEVELS.iter().find(|l| **l == name) {
            _ if name == "all" => required.extend(LEVELS),
            _ if name == "stages" => {}
            Some(level) => required.push(level),
            None => required.push(known(name).with_context(|| REQUIRE.to_owned())?.name),
        }
    }
    Ok(required)
}

/// Fails if something was skipped that is required: a stage, a part of a required stage that is no
/// level, a level.
fn demand(stage: &str, outcome: Outcome, required: &[&str]) -> Result<Outcome> {
    match outcome {
        Outcome::Skipped(why) if required.contains(&stage) => {
            bail!("{REQUIRE} wants it, but {why}")
        }
        Outcome::Passed { left_out, .. }
            if left_out.iter().any(|(what, _)| wanted(stage, what, required)) =>
        {
            let all = left_out.iter().filter(|(what, _)| wanted(stage, what, required));
            let all: Vec<String> = all.map(|(what, why)| format!("{what}: {why}")).collect();
            bail!("{REQUIRE} wants all of it, but there is no {}", all.join("; no "))
        }
        outcome => Ok(outcome),
    }
}

fn wanted(stage: &str, what: &str, required: &[&str]) -> bool {
    required.contains(&if LEVELS.contains(&what) { what } else { stage })
}

fn summary(ended: &[(&str, Duration, Result<Outcome>)]) -> String {
    let (mut passed, mut failed, mut skipped, mut parts) = (0, 0, 0, 0);
    let widest = ended.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, time, result) in ended {
        let (word, note) = match result {
            Ok(Outcome::Passed { note, left_out }) => {
                passed += 1;
                parts += left_out.len();
                let without = left_out.iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>();
                let mut note = note.clone();
                if !without.is_empty() {
                    let _ = write!(note, "; SKIPPED of it: {}", without.join(", "));
                }
                ("passed", note)
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
        let note = note.lines().next().unwrap_or_default().trim_start_matches("; ");
        let line = format!("{name:widest$}  {word:7}  {seconds:7.1} s  {note}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let all: Duration = ended.iter().map(|(_, time, _)| *time).sum();
    let _ = writeln!(
        text,
        "{passed} passed, {failed} failed, {skipped} skipped, and {parts} parts of stages skipped; \
         {:.1} min",
        all.as_secs_f64() / 60.0
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(left_out: &[&str]) -> Outcome {
        let left_out = left_out.iter().map(|what| ((*what).to_owned(), "why".to_owned()));
        Outcome::Passed { note: String::new(), left_out: left_out.collect() }
    }

    #[test]
    fn stages_by_name() {
        assert_eq!(select(&[]).unwrap().len(), STAGES.len());
        assert_eq!(select(&["fmt", "unit"]).unwrap()[1].name, "unit");
        let error = select(&["units"]).unwrap_err().to_string();
        assert!(error.contains("`units`") && error.contains("unit"), "{error}");
        assert!(STAGES.iter().any(|s| s.name == TELLING));
    }

    #[test]
    fn what_is_required() {
        assert_eq!(require("").unwrap(), [""; 0]);
        assert_eq!(require("neon, mpfr").unwrap(), ["neon", "mpfr"]);
        assert_eq!(require("stages").unwrap().len(), STAGES.len());
        assert_eq!(require("all").unwrap().len(), STAGES.len() + LEVELS.len());
        assert_eq!(require("baseline").unwrap(), ["baseline"]);
        assert!(require("nothing").is_err());

        let skip = || Outcome::Skipped("there is no tool".to_owned());
        assert!(demand("fmt", skip(), &["unit"]).is_ok());
        assert!(demand("fmt", skip(), &["fmt"]).is_err());
        assert!(demand("unit", passed(&["baseline"]), &["unit"]).is_ok());
        assert!(demand("unit", passed(&["baseline"]), &["baseline"]).is_err());
        assert!(demand("unit", passed(&["NumPy"]), &["unit"]).is_err());
        assert!(demand("unit", passed(&["NumPy"]), &["baseline"]).is_ok());
    }

    #[test]
    fn forecasts() {
        let record = [("fmt".to_owned(), 30.0), ("clippy".to_owned(), 31.0)];
        let text = forecast(&select(&["fmt", "clippy"]).unwrap(), &record);
        assert!(text.starts_with("2 stages: 2 minutes"), "{text}");
        let text = forecast(&select(&["fmt", "unit", "gen"]).unwrap(), &record);
        assert!(text.contains("fmt, unit are known after an unknown number"), "{text}");
        for (name, _) in recorded().unwrap() {
            assert!(known(&name).is_ok(), "{RECORD} has a stage `{name}`");
        }
    }

    #[test]
    fn summary_counts() {
        let second = Duration::from_secs(1);
        let text = summary(&[
            ("a", second, Ok(passed(&["x", "y"]))),
            ("bb", second, Ok(Outcome::Skipped("no m4".to_owned()))),
            ("c", second, Err(anyhow::anyhow!("line 1\nline 2"))),
        ]);
        let wanted = "a   passed       1.0 s  SKIPPED of it: x, y\nbb  SKIPPED      1.0 s  no m4\n\
                      c   FAILED       1.0 s  line 1\n1 passed, 1 failed, 1 skipped, and 2 parts \
                      of stages skipped; 0.1 min\n";
        assert_eq!(text, wanted);
    }
}
