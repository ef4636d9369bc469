//! A process that times calls when it is told to.
//!
//! It is told by lines on its standard input, and answers each with one line. It begins with
//! `ready` and a JSON object of versions. Then:
//!
//! | line | answer |
//! |---|---|
//! | `open WHO WHAT FUNCTION DTYPE N NS` | `ok`: it has run, and is timed in slices of about `NS` nanoseconds; `no`: there is no such function; `failed` and why |
//! | `check WHO FILE MOST` | `ok`: the first elements of the result are in `FILE` as f64 |
//! | `time WHO` | nanoseconds a call, over one slice |
//! | `close` | `ok`: nothing is open any more |
//!
//! Libraries of one process may be open at the same time. A result stands until the next call.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::system::line;

/// What is measured, by whomever.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// `forward`, `backward`, `from_output`, `strided` or `yardstick`.
    pub what: &'static str,
    /// As `nonlin list` has it, or `memcpy`.
    pub function: &'static str,
    /// `f32`, `f64` or `bf16`.
    pub dtype: &'static str,
    /// Elements.
    pub n: usize,
    /// Threads to compute with.
    pub threads: usize,
}

/// The process, which ends when this is dropped.
pub struct Rival {
    child: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    /// The versions of the libraries in the process.
    pub versions: Value,
}

impl Rival {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// The process cannot be started, or a library is missing.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = line(command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| name.clone())?;
        let to = child.stdin.take().context("standard input")?;
        let from = BufReader::new(child.stdout.take().context("standard output")?).lines();
        let mut rival = Rival { child, to, from, versions: Value::Null };
        let hello = rival.read().with_context(|| name.clone())?;
        let versions = hello.strip_prefix("ready ").with_context(|| format!("{name}: {hello}"))?;
        rival.versions = serde_json::from_str(versions).with_context(|| name)?;
        Ok(rival)
    }

    fn read(&mut self) -> Result<String> {
        Ok(self.from.next().context("it has ended")??)
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        writeln!(self.to, "{line}").context("it has ended")?;
        self.read()
    }

    fn done(&mut self, line: &str) -> Result<()> {
        match self.ask(line)?.as_str() {
            "ok" => Ok(()),
            other => bail!("{}", other.strip_prefix("failed ").unwrap_or(other)),
        }
    }

    /// Prepares a cell; false if `who` has no such function.
    ///
    /// # Errors
    /// The call fails.
    pub fn open(&mut self, who: &str, cell: &Cell, slice: f64) -> Result<bool> {
        let Cell { what, function, dtype, n, .. } = cell;
        match self.ask(&format!("open {who} {what} {function} {dtype} {n} {slice}"))?.as_str() {
            "ok" => Ok(true),
            "no" => Ok(false),
            other => bail!("{}", other.strip_prefix("failed ").unwrap_or(other)),
        }
    }

    /// The first elements of the result of what was opened last.
    ///
    /// # Errors
    /// The process fails.
    pub fn result(&mut self, who: &str, file: &Path, most: usize) -> Result<Vec<f64>> {
        self.done(&format!("check {who} {} {most}", file.display()))?;
        numbers(file)
    }

    /// Nanoseconds a call.
    ///
    /// # Errors
    /// The process fails.
    pub fn time(&mut self, who: &str) -> Result<f64> {
        let answer = self.ask(&format!("time {who}"))?;
        answer.parse().with_context(|| answer)
    }

    /// Gives the arrays of the calls back.
    ///
    /// # Errors
    /// The process has ended.
    pub fn close(&mut self) -> Result<()> {
        self.done("close")
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        // One that has ended already is not there to be ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of bare f64 numbers.
///
/// # Errors
/// `file` cannot be read.
pub fn numbers(file: &Path) -> Result<Vec<f64>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let (words, _) = bytes.as_chunks::<8>();
    Ok(words.iter().map(|b| f64::from_le_bytes(*b)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELL: Cell = Cell { what: "forward", function: "relu", dtype: "f32", n: 16, threads: 1 };

    fn shell(script: &str) -> Result<Rival> {
        Rival::start(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn a_rival_is_asked_and_answers() {
        let mut rival = shell(
            "echo 'ready {\"it\": \"1\"}'; read l; [ \"$l\" = 'open me forward relu f32 16 500' ] \
             && echo ok; read l; echo 12.5; read l; echo no; read l; echo failed by itself",
        )
        .unwrap();
        assert_eq!(rival.versions["it"], "1");
        assert!(rival.open("me", &CELL, 500.0).unwrap());
        assert_eq!(rival.time("me").unwrap(), 12.5);
        assert!(!rival.open("me", &CELL, 500.0).unwrap());
        let error = rival.open("me", &CELL, 500.0).unwrap_err().to_string();
        assert_eq!(error, "by itself");
        assert!(rival.time("me").is_err(), "it has ended");
    }

    #[test]
    fn one_that_does_not_come_up_is_an_error() {
        for script in ["true", "echo hello", "echo ready nothing"] {
            assert!(shell(script).is_err(), "{script}");
        }
    }
}
