//! Development tasks: what is generated, new functions, the tests.

mod accuracy;
mod api;
mod cross;
mod exhaustive;
mod figure;
mod generate;
mod index;
mod instructions;
mod instrumented;
mod one_file;
mod pages;
mod peers;
mod python;
mod readme;
mod scaffold;
mod stage;
mod stages;
mod system;
mod test;
mod timings;
mod torch;

use std::process::ExitCode;

/// The examples of the front page, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

const USAGE: &str = "\
Usage: cargo xtask <task>

  gen [--check]         write what is generated: crates/nonlin/src/functions.rs, the pages of the
                        functions in functions/docs, the table and the command output in
                        README.md, docs/gallery.svg; with --check, fail if any is stale
  new NAME [--gated]    lay down crates/nonlin/src/functions/NAME.rs and list it
  accuracy [--verify] [--peers] [--check]   docs/accuracy.md from its records, measured anew if asked
  bench-peers [--quick] other libraries and nonlin timed in turns, into bench/speed and
                        docs/performance.md; --document: only the latter, --check: is it stale
  exhaustive [NAME ...] errors over all 2^32 inputs of f32, into proof/f32.csv: of the functions
                        named, or of those that it lacks; can be interrupted and taken up again
  instructions [--accept]   count the instructions of the main kernels, against
                        proof/instructions.csv; with --accept, write it
  api                   write docs/public-api.txt, the public interface as it is
  fuzz [TARGET ...] [SECONDS]   run the fuzz targets, all at the same time, for 600 s by default
  timings               measure how long compiling takes, into docs/build-times.md
  test [STAGE ...]      run the tests, all of them or the stages named; with --record, keep how
                        long each took in xtask/stages.csv
  test --list           list the stages and how long each took";

/// Carries out a task.
#[must_use]
pub fn run(args: &[String]) -> ExitCode {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["gen"] => generate::write(),
        ["gen", "--check"] => generate::check(),
        ["accuracy", ref args @ ..] => accuracy::main(args),
        ["bench-peers", ref args @ ..] => peers::main(args),
        ["exhaustive", ref names @ ..] => exhaustive::main(names),
        ["api"] => api::write(),
        ["fuzz", ref args @ ..] => instrumented::main(args),
        ["timings"] => timings::main(),
        ["instructions", ref args @ ..] => instructions::main(args),
        ["new", name] => scaffold::new(name, scaffold::Kind::Elementwise),
        ["new", name, "--gated"] | ["new", "--gated", name] => {
            scaffold::new(name, scaffold::Kind::Gated)
        }
        ["test", "--list"] => {
            print!("{}", test::list());
            Ok(())
        }
        ["test", ref names @ ..] => return test::run(names),
        [] | ["help" | "-h" | "--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(anyhow::anyhow!("unknown task `{}`\n\n{USAGE}", words.join(" "))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}
