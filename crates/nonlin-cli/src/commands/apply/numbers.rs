//! Numbers on standard input: a line of results for each line.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use super::kernel::{Call, Job, Mode};
use crate::args::{Apply, Axes};
use crate::chosen::Chosen;
use crate::output::{self, Output};
use crate::stream::Kernel;
use crate::text;

/// Text gathered before it is written.
const ENOUGH: usize = 1 << 16;

pub fn run(args: &Apply, call: &Call) -> Result<()> {
    let name = call.function.meta().name;
    ensure!(
        !matches!(call.mode, Mode::Backward | Mode::BackwardFromOutput),
        "--backward needs the input as a file, not as numbers"
    );
    ensure!(args.tensors.is_empty(), "--tensor is for .npz and .safetensors files");
    ensure!(args.raw.is_none(), "--as is for files; numbers on standard input are text");
    let last = |axis: isize| matches!(axis, -1 | 0);
    ensure!(
        args.split_axis.is_none_or(last)
            && match &args.axis {
                Some(Axes::These(axes)) => axes.iter().copied().all(last) && axes.len() == 1,
                None | Some(Axes::All) => true,
            },
        "numbers on standard input have one axis, 0 or -1: the line"
    );
    ensure!(
        args.mask.is_none() && call.band.is_none() && args.weight.is_none(),
        "--mask, --causal, --window and --weight are for files, not for numbers"
    );
    let gated = matches!(call.function, Chosen::Gated(_));
    ensure!(
        !gated || args.packed_axis().is_some(),
        "`{name}` takes two inputs; with --split-axis -1 they are the halves of every line"
    );
    let mut output = match args.outputs.as_slice() {
        [] => Output::create(Path::new("-"), 0)?,
        [path] => {
            let binary =
                path.extension().is_some_and(|e| e == "npy" || e == "npz" || e == "safetensors");
            ensure!(!binary, "{}: numbers from standard input are written as text", path.display());
            Output::create(path, 0)?
        }
        _ => bail!("one output for numbers on standard input, not {}", args.outputs.len()),
    };
    let (mut text, mut start) = (String::new(), 0);
    text::lines(std::io::stdin(), |line, numbers, idle| {
        let (a, b): (Vec<f64>, Vec<f64>);
        let x = if gated && args.interleaved() {
            (a, b) = numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip();
            vec![a.as_slice(), &b]
        } else if gated {
            let halves = numbers.split_at(numbers.len() / 2);
            vec![halves.0, halves.1]
        } else {
            vec![numbers.as_slice()]
        };
        ensure!(
            !gated || numbers.len() % 2 == 0,
            "standard input, line {line}: {} numbers; two equal halves need an even count",
            numbers.len()
        );
        let length = x[0].len();
        let mut y = vec![vec![0.0; length]];
        if length > 0 {
            Job::new(call).run(start, [1, length, 1], &x, &mut y)?;
        }
        start += length;
        text.push_str(&text::line(&y[0]));
        if idle || text.len() > ENOUGH {
            output.put(text.as_bytes())?;
            text.clear();
        }
        Ok(())
    })?;
    output.put(text.as_bytes())?;
    output::commit(vec![output])
}
