//! A stage of the tests, and how it ended.

use anyhow::Result;

/// A part of the tests that can run alone.
#[derive(Debug)]
pub struct Stage {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// Runs it.
    pub run: fn() -> Result<Outcome>,
}

/// How a stage that did not fail ended.
#[derive(Debug)]
pub enum Outcome {
    /// All is well.
    Passed {
        /// A word about it.
        note: String,
        /// What this machine could not do of it, and why.
        left_out: Vec<(String, String)>,
    },
    /// This machine lacks something.
    Skipped(String),
}
