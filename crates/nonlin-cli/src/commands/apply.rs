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
    let given = |options: &[(&'static str, bool)]| {
        options.iter().filter(|(_, given)| *given).map(|(name, _)| *name).next()
    };
    if !matches!(function, Chosen::Rows(_)) {
        let rows = [
            ("--axis", args.axis.is_some() && args.weight.is_none()),
            ("--mask", args.mask.is_some()),
            ("--causal", args.causal.is_some()),
            ("--window", args.window.is_some()),
            ("--empty-rows", args.empty_rows.is_some()),
        ];
        if let Some(option) = given(&rows) {
            bail!("`{name}` works element by element; it takes no {option}");
        }
    }
    if !matches!(function, Chosen::Gated(_)) {
        let packed = [
            ("--split-axis", args.split_axis.is_some()),
            ("--packed", args.packed.is_some()),
            ("--gate", args.gate.is_some()),
        ];
        if let Some(option) = given(&packed) {
            bail!("`{name}` has one operand; {option} is for gated functions");
        }
        ensure!(args.inputs.len() < 2, "`{name}` takes one input; only gated functions take two");
    }
    match (function, &args.weight) {
        (_, None) => {}
        // Nothing to compute: what is wrong with the function shows before files are opened.
        (Chosen::Elementwise(f), Some(_)) => drop(f.per_channel::<f32>(&[0.0], &[], 0)?),
        (_, Some(_)) => bail!("`{name}` has no weights; --weight is for prelu"),
    }
    if args.second_derivative {
        ensure!(
            matches!(function, Chosen::Elementwise(_)),
            "`{name}` has a matrix of second derivatives; --second-derivative is for elementwise \
             functions"
        );
        return Ok(Mode::SecondDerivative);
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
