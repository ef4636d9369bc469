//! What each subcommand does.

mod apply;
mod bench;
mod explain;
mod export;
mod list;
mod plot;
mod show;
mod verify;

use std::io::Write;

use anyhow::{Context, Result};

use crate::args::Command;

/// Carries out a command.
///
/// # Errors
/// Bad input, or an output that cannot be written.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Apply(args) => apply::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Export(args) => export::run(args),
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Plot(args) => plot::run(args),
        Command::Verify(args) => verify::run(args),
    }
}

/// Writes a report to standard output.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output")
}
