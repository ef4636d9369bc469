//! Arrays in files: what is read, in which type, and where the results go.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::integers;
use super::kernel::{Call, Mode};
use crate::args::Apply;
use crate::array::DType;
use crate::chosen::Chosen;
use crate::input::{Contents, Input, Operand};
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::stream::{self, Packing, Sink, Way};
use crate::{npy, tensors};

/// What is done to one array (and those that belong to it).
struct Task<'a> {
    name: &'a str,
    /// The operands, the gradient last.
    x: Vec<Operand<'a>>,
    /// Elements are kept as integers.
    integers: bool,
    /// The type of the results.
    dtype: DType,
    /// The order of the results.
    fortran: bool,
    /// The shape of each result.
    shape: Vec<usize>,
    way: Way,
}

impl Task<'_> {
    fn bytes(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64 * self.dtype.size() as u64
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Npy,
    Tensors,
}

pub fn run(args: &Apply, inputs: &[PathBuf], call: &mut Call) -> Result<()> {
    let inputs = inputs.iter().map(|p| Input::open(p)).collect::<Result<Vec<_>>>()?;
    let grad = args.backward.as_deref().or(args.backward_from_output.as_deref());
    let grad = grad.map(Input::open).transpose()?;
    let formats = formats(args, &inputs[0], call)?;

    let names: Vec<&str> = match &inputs[0].contents {
        Contents::Npy(_) => {
            ensure!(
                args.tensors.is_empty(),
                "{}: --tensor is for .safetensors files",
                args.inputs[0].display()
            );
            vec![""]
        }
        Contents::Tensors(all) if args.tensors.is_empty() => {
            all.entries.iter().map(|(name, _)| name.as_str()).collect()
        }
        Contents::Tensors(_) => args.tensors.iter().map(String::as_str).collect(),
    };
    for (i, name) in names.iter().enumerate() {
        ensure!(!names[..i].contains(name), "--tensor {name} is given twice");
    }
    if formats.contains(&Format::Npy) {
        ensure!(
            names.len() == 1,
            "a .npy file holds one array, the input has {}; choose it with --tensor, or write \
             .safetensors",
            names.len()
        );
    }

    let ordered = formats.contains(&Format::Tensors);
    let mut tasks = Vec::new();
    for name in names {
        let mut x = inputs.iter().map(|i| i.operand(name)).collect::<Result<Vec<_>>>()?;
        x.extend(grad.as_ref().map(|g| g.operand(name)).transpose()?);
        tasks.push(task(args, call, name, x, ordered)?);
    }
    // Larger types first, so that every tensor is aligned.
    tasks.sort_by_key(|task| std::cmp::Reverse(task.dtype.size()));

    let metadata = match &inputs[0].contents {
        Contents::Tensors(tensors) => tensors.metadata.as_ref(),
        Contents::Npy(_) => None,
    };
    let mut outputs = Vec::new();
    let mut bases = Vec::new();
    for (path, &format) in args.outputs.iter().zip(&formats) {
        let entries: Vec<_> = tasks.iter().map(|t| (t.name, t.dtype, t.shape.as_slice())).collect();
        let header = match format {
            Format::Tensors => tensors::header(&entries, metadata),
            Format::Npy => npy::header(tasks[0].dtype, false, tasks[0].fortran, &tasks[0].shape),
        };
        let header = header.with_context(|| path.display().to_string())?;
        let data: u64 = tasks.iter().map(Task::bytes).sum();
        let mut output = Output::create(path, header.len() as u64 + data)?;
        output.put(&header)?;
        outputs.push(output);
        bases.push(header.len() as u64);
    }

    let total = tasks.iter().map(|t| t.x[0].array.elements() * t.dtype.size()).sum::<usize>();
    let mut progress = Progress::new(total as u64);
    for task in &tasks {
        if task.integers {
            let rectify = call.function.meta().name == "relu";
            integers::run(&task.x[0], rectify, &mut outputs[0], &mut progress)?;
        } else {
            let mut sinks: Vec<Sink> = (outputs.iter_mut().zip(&bases))
                .map(|(output, &base)| Sink { output, base })
                .collect();
            stream::run(call, task.dtype, task.way, &task.x, &mut sinks, &mut progress)?;
        }
        call.before += task.x[0].array.elements() as u64;
        bases.iter_mut().for_each(|base| *base += task.bytes());
    }
    drop(progress);
    output::commit(outputs)
}

/// The format of each output, if there are as many as there are results.
fn formats(args: &Apply, first: &Input, call: &Call) -> Result<Vec<Format>> {
    let name = call.function.meta().name;
    let outputs = &args.outputs;
    let gradients = matches!(call.function, Chosen::Gated(_)) && call.mode == Mode::Backward;
    match (outputs.len(), gradients) {
        (0, _) => bail!("no output is named; add -o FILE, or -o - for standard output"),
        (1, true) if args.split_axis.is_none() => {
            bail!("`{name}` has two gradients; name two outputs, -o DA -o DB")
        }
        (1, _) | (2, true) => {}
        (n, true) => bail!("`{name}` has two gradients, but {n} outputs are named"),
        (n, false) => bail!("there is one result, but {n} outputs are named"),
    }
    if let [a, b] = outputs.as_slice() {
        ensure!(a != b, "{}: named twice as an output", a.display());
    }
    let own = match first.contents {
        Contents::Npy(_) => Format::Npy,
        Contents::Tensors(_) => Format::Tensors,
    };
    let format = |path: &PathBuf| match path.extension().and_then(|e| e.to_str()) {
        Some("npy") => Format::Npy,
        Some("safetensors") => Format::Tensors,
        _ => own,
    };
    let formats: Vec<_> = outputs.iter().map(format).collect();
    ensure!(
        own == Format::Tensors || !formats.contains(&Format::Tensors),
        "the array of a .npy file has no name, which .safetensors needs; write .npy"
    );
    Ok(formats)
}

/// Checks that operands, axis and function fit, and plans what is done.
fn task<'a>(
    args: &Apply,
    call: &Call,
    name: &'a str,
    mut x: Vec<Operand<'a>>,
    ordered: bool,
) -> Result<Task<'a>> {
    let first = x[0].array;
    let fortran = first.fortran && !ordered;
    x.iter_mut().for_each(|x| x.set_order(fortran));
    let gated = matches!(call.function, Chosen::Gated(_));
    let packed = gated && args.split_axis.is_some();
    ensure!(
        !gated || args.inputs.len() == if packed { 1 } else { 2 },
        "`{}` takes two inputs, or one with --split-axis",
        call.function.meta().name
    );

    let mut shape = first.shape.clone();
    let mut way = Way::Flat(first.elements());
    if packed || matches!(call.function, Chosen::Rows(_)) {
        let axis = if packed { args.split_axis } else { args.axis };
        let axis = axis_of(axis.unwrap_or(-1), &shape).with_context(|| x[0].name.clone())?;
        if packed {
            ensure!(
                shape[axis].is_multiple_of(2),
                "{}: axis {axis} has {} elements; two equal halves need an even number",
                x[0].name,
                shape[axis]
            );
            shape[axis] /= 2;
        }
        let (before, after) = (&shape[..axis], &shape[axis + 1..]);
        let (before, after) = (before.iter().product(), after.iter().product());
        // In Fortran order the axes before are the fast ones.
        let (outer, inner) = if fortran { (after, before) } else { (before, after) };
        let lengths = [outer, shape[axis], inner];
        let together = call.mode == Mode::Backward && args.outputs.len() == 1;
        way = match (packed, together) {
            (false, _) => Way::Rows(lengths),
            (true, false) => Way::Packed(lengths, Packing::Apart),
            (true, true) => Way::Packed(lengths, Packing::Together),
        };
    }
    for other in &x[1..] {
        ensure!(
            other.array.shape == shape,
            "{} has shape {}, {} has {}; it must be {}",
            x[0].name,
            tuple(&first.shape),
            other.name,
            tuple(&other.array.shape),
            tuple(&shape)
        );
    }
    if matches!(way, Way::Packed(_, Packing::Together)) {
        shape.clone_from(&first.shape);
    }
    let keeps = matches!(call.function.meta().name, "relu" | "identity");
    let integers = keeps && call.mode == Mode::Forward && !first.dtype.is_float();
    let dtype = if integers {
        first.dtype
    } else {
        x.iter().map(|x| x.array.dtype.promoted()).reduce(common).unwrap_or(DType::F64)
    };
    Ok(Task { name, x, integers, dtype, fortran, shape, way })
}

fn axis_of(axis: isize, shape: &[usize]) -> Result<usize> {
    let rank = shape.len() as isize;
    ensure!(rank > 0, "a single number, without axes; this needs an axis");
    let from_start = if axis < 0 { axis.saturating_add(rank) } else { axis };
    ensure!(
        (0..rank).contains(&from_start),
        "shape {} has no axis {axis}; {} to {} are there",
        tuple(shape),
        -rank,
        rank - 1
    );
    Ok(from_start as usize)
}

/// The smallest type that holds both.
fn common(a: DType, b: DType) -> DType {
    match (a, b) {
        (DType::F16, DType::Bf16) | (DType::Bf16, DType::F16) => DType::F32,
        _ if a.size() >= b.size() => a,
        _ => b,
    }
}

/// A shape as NumPy writes it.
fn tuple(shape: &[usize]) -> String {
    match shape {
        [n] => format!("({n},)"),
        _ => format!("({})", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}
