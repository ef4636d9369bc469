//! `nonlin apply`.

mod files;
mod integers;
mod kernel;
mod numbers;

use std::path::Path;

use anyhow::{Result, bail, ensure};

use crate::args::Apply;
use crate::chosen::Chosen;
use kernel::{Call, Mode, Partial};

/// Applies a function to files or to numbers on standard input.
pub fn run(args: &Apply) -> Result<()> {
    let function = Chosen::new(&args.name, &args.params.params)?;
    let mode = mode(args, &function)?;
    let mut call = Call::new(function, mode, args)?;
    match args.inputs.as_slice() {
        [] => numbers::run(args, &call),
        [only] if only == Path::new("-") => numbers::run(args, &call),
        inputs => files::run(args, inputs, &mut call),
    }
}

/// What to compute, if the options make sense for that kind of function.
fn mode(args: &Apply, function: &Chosen) -> Result<Mode> {
    let name = function.meta().name;
    match function {
        Chosen::Rows(_) => {}
        _ => ensure!(args.axis.is_none(), "`{name}` works element by element; it takes no --axis"),
    }
    match function {
        Chosen::Gated(_) => {}
        _ => ensure!(
            args.split_axis.is_none() && args.inputs.len() < 2,
            "`{name}` takes one input and no --split-axis; only gated functions take two"
        ),
    }
    let random = name == "rrelu";
    ensure!(
        random || args.seed.is_none(),
        "`{name}` draws no random numbers; --seed and --train are for rrelu"
    );
    ensure!(args.train || args.seed.is_none(), "--seed has an effect with --train only; add it");
    if args.backward.is_some() {
        return Ok(Mode::Backward);
    }
    if args.backward_from_output.is_some() {
        match function {
            // Nothing to compute: what is wrong with the function shows before files are opened.
            Chosen::Elementwise(f) => f.backward_from_output::<f32>(&[], &[], &mut [])?,
            Chosen::Rows(_) => {}
            Chosen::Gated(_) => {
                bail!("the output of `{name}` does not determine its slopes; use --backward")
            }
        }
        ensure!(!args.train, "the slopes of --train are drawn per input; use --backward");
        return Ok(Mode::BackwardFromOutput);
    }
    match (&args.derivative, function) {
        (None, _) => Ok(Mode::Forward),
        (Some(None), Chosen::Elementwise(_)) => Ok(Mode::Derivative),
        (Some(Some(text)), Chosen::Gated(_)) if text == "a" => Ok(Mode::Partial(Partial::A)),
        (Some(Some(text)), Chosen::Gated(_)) if text == "b" => Ok(Mode::Partial(Partial::B)),
        (Some(Some(text)), Chosen::Elementwise(_)) => {
            bail!("`{name}` has one derivative; write --derivative, not --derivative={text}")
        }
        (Some(_), Chosen::Gated(_)) => {
            bail!("`{name}` has two partial derivatives; write --derivative=a or --derivative=b")
        }
        (Some(_), Chosen::Rows(_)) => bail!(
            "`{name}` has a matrix of derivatives for every row; use --backward GRADIENT, which \
             multiplies by it"
        ),
    }
}
