//! The `nonlin` command.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use nonlin_cli::args::Args;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => match e.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                return if e.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                let _ = e.print();
                return ExitCode::from(2);
            }
            _ => return fail(&usage(&e.render().to_string()), 2),
        },
    };
    let opened = args.catalog.as_deref().map_or(Ok(()), nonlin_cli::catalog::open);
    match opened.and_then(|()| nonlin_cli::commands::run(&args.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // Whoever read the output has enough of it.
            let enough = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
            if e.chain().filter_map(|e| e.downcast_ref()).any(enough) {
                return ExitCode::FAILURE;
            }
            let place = match e.downcast_ref() {
                // What is wrong with a formula is followed by two lines that show where.
                Some(nonlin::Error::Formula(e)) => e.to_string(),
                _ => return fail(&format!("{e:#}"), 1),
            };
            let (message, place) = place.split_once('\n').unwrap_or((&place, ""));
            let status = fail(message, 1);
            let _ = writeln!(io::stderr(), "{place}");
            status
        }
    }
}

/// Prints `message` in one line, whatever is in it, and gives the exit status.
fn fail(message: &str, status: u8) -> ExitCode {
    let line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(io::stderr(), "nonlin: {line}");
    ExitCode::from(status)
}

/// The message of the parser without its usage text, in one line.
fn usage(message: &str) -> String {
    let message = message.split("\n\nUsage:").next().unwrap_or(message);
    let message = message.split("\n\nFor more information").next().unwrap_or(message);
    let words: Vec<&str> = message.trim_start_matches("error: ").split_whitespace().collect();
    format!("{}; see nonlin --help", words.join(" "))
}
