//! Arrays in files: what is read, in which type, and where the results go.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

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
use crate::tensors::{Item, Opaque};
use crate::{npy, npz, tensors};

/// What NumPy calls the only array without a name in an archive.
const UNNAMED: &str = "arr_0";

/// What is done to one array (and those that belong to it).
struct Task<'a> {
    /// The names of the operands, of which results have theirs.
    names: Vec<&'a str>,
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

    /// The name of the result that goes to that output.
    fn name(&self, output: usize) -> &str {
        match self.names.get(output).or(self.names.first()) {
            None | Some(&"") => UNNAMED,
            Some(name) => name,
        }
    }

    fn header(&self) -> Vec<u8> {
        npy::header(self.dtype, false, self.fortran, &self.shape)
    }
}

/// What becomes of an array.
enum Work<'a> {
    Compute(Task<'a>),
    /// It is passed on as it is: a tensor with its name, or the number of an archive's entry.
    CopyTensor(&'a str, &'a Opaque),
    CopyEntry(usize),
}

impl Work<'_> {
    /// The entry of a `.safetensors` header for that output.
    fn item(&self, output: usize) -> Result<Item<'_>> {
        match self {
            Work::Compute(task) => Item::new(task.name(output), task.dtype, &task.shape),
            Work::CopyTensor(name, Opaque { dtype, shape, place, .. }) => {
                Ok(Item { name, dtype, shape, bytes: place.len() })
            }
            Work::CopyEntry(_) => bail!("an archive's entry is no tensor"),
        }
    }

    const fn task(&self) -> Option<&Task<'_>> {
        if let Work::Compute(task) = self { Some(task) } else { None }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Npy,
    Npz,
    Tensors,
}

impl Format {
    const fn of(input: &Input) -> Self {
        match input.contents {
            Contents::Npy(_) => Format::Npy,
            Contents::Npz(_) => Format::Npz,
            Contents::Tensors(_) => Format::Tensors,
        }
    }
}

/// An output in the making.
enum Target {
    /// One array behind the other; the next begins at this byte.
    Elements(Output, u64),
    Archive(Box<npz::Writer>),
}

/// The arrays that are computed on together: the number of an input and a name in it for each.
type Selection<'a> = Vec<(usize, &'a str)>;

pub fn run(args: &Apply, paths: &[PathBuf], call: &mut Call) -> Result<()> {
    let raw = args.raw.as_ref().map(|_| DType::Bf16);
    let inputs = paths.iter().map(|p| Input::open(p, raw)).collect::<Result<Vec<_>>>()?;
    let grad = args.backward.as_deref().or(args.backward_from_output.as_deref());
    let grad = grad.map(|p| Input::open(p, raw)).transpose()?;
    let formats = formats(args, &inputs, call)?;

    let selections = select(args, paths, &inputs, call)?;
    let (mut works, mut copied) = (Vec::new(), Vec::new());
    for selection in &selections {
        if args.tensors.is_empty()
            && formats.iter().all(|f| *f == Format::of(&inputs[0]))
            && let Some((work, why)) = copy(&inputs[0], selection[0].1)
        {
            copied.push(why);
            works.push(work);
            continue;
        }
        let mut x = (selection.iter())
            .map(|&(input, name)| inputs[input].operand(name))
            .collect::<Result<Vec<_>>>()?;
        if let Some(grad) = &grad {
            x.push(grad.operand(match (selections.len(), grad.names().as_slice()) {
                (1, [only]) => only,
                _ => selection[0].1,
            })?);
        }
        let names = selection.iter().map(|(_, name)| *name).collect();
        works.push(Work::Compute(task(args, call, names, x, formats.contains(&Format::Tensors))?));
    }
    ensure!(
        works.iter().any(|w| w.task().is_some()),
        "{}: no array that can be computed on{}",
        paths[0].display(),
        copied.first().map(|why| format!(": {why}")).unwrap_or_default()
    );
    check(args, &works, &formats)?;
    if formats.contains(&Format::Tensors) {
        // Larger types first, so that every tensor is aligned.
        works.sort_by_key(|work| Reverse(work.item(0).map_or(0, |item| item.alignment())));
    }
    let mut targets = targets(args, &inputs[0], &works, &formats)?;

    let tasks = works.iter().filter_map(Work::task);
    let total = tasks.map(|t| t.x[0].array.elements() * t.dtype.size()).sum::<usize>();
    let mut progress = Progress::new(total as u64);
    for work in works {
        match work {
            Work::Compute(task) => compute(call, task, &mut targets, &mut progress)?,
            Work::CopyTensor(_, opaque) => {
                for target in &mut targets {
                    let Target::Elements(output, base) = target else { continue };
                    output.put(&inputs[0].bytes()[opaque.place.clone()])?;
                    *base += opaque.place.len() as u64;
                }
            }
            Work::CopyEntry(index) => {
                for target in &mut targets {
                    let Target::Archive(writer) = target else { continue };
                    writer.copy(&mut npz::archive(inputs[0].bytes())?, index)?;
                }
            }
        }
    }
    drop(progress);
    let finish = |target| match target {
        Target::Elements(output, _) => Ok(output),
        Target::Archive(writer) => writer.finish(),
    };
    output::commit(targets.into_iter().map(finish).collect::<Result<_>>()?)?;
    if let [first, rest @ ..] = copied.as_slice() {
        let rest =
            if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
        eprintln!("nonlin: {}: copied unchanged: {first}{rest}", paths[0].display());
    }
    Ok(())
}

/// The format of each output, if there are as many as there are results.
fn formats(args: &Apply, inputs: &[Input], call: &Call) -> Result<Vec<Format>> {
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
    let format = |path: &PathBuf| match path.extension().and_then(|e| e.to_str()) {
        Some("npy") => Format::Npy,
        Some("npz") => Format::Npz,
        Some("safetensors") => Format::Tensors,
        _ => Format::of(&inputs[0]),
    };
    let formats: Vec<_> = outputs.iter().map(format).collect();
    ensure!(
        !formats.contains(&Format::Tensors) || inputs.iter().any(|i| Format::of(i) != Format::Npy),
        "the array of a .npy file has no name, which .safetensors needs; write .npy or .npz"
    );
    Ok(formats)
}

/// Which arrays are computed on together: those of the same name, unless two names are the two
/// operands of a gated function.
fn select<'a>(
    args: &'a Apply,
    paths: &[PathBuf],
    inputs: &'a [Input],
    call: &Call,
) -> Result<Vec<Selection<'a>>> {
    let chosen: Vec<&str> = args.tensors.iter().map(String::as_str).collect();
    for (i, name) in chosen.iter().enumerate() {
        ensure!(!chosen[..i].contains(name), "--tensor {name} is given twice");
    }
    let named = inputs.iter().find(|i| Format::of(i) != Format::Npy);
    ensure!(
        chosen.is_empty() || named.is_some(),
        "{}: --tensor is for .npz and .safetensors files",
        paths[0].display()
    );
    let operands = matches!(call.function, Chosen::Gated(_)) && args.split_axis.is_none();
    match (operands, inputs, chosen.as_slice()) {
        (true, [_], [a, b]) => return Ok(vec![vec![(0, a), (0, b)]]),
        (true, [first, _], []) if same_file(paths) => ensure!(
            first.names().len() < 2,
            "{} is both inputs; name the two operands with --tensor A --tensor B",
            paths[0].display()
        ),
        (true, [first, second], [a, b]) => {
            let has = |input: &Input, name| input.names().contains(&name);
            let pair = has(first, a) && has(second, b);
            ensure!(
                same_file(paths) || !(pair && has(first, b) && has(second, a)),
                "both files have {a:?} and {b:?}: --tensor {a} --tensor {b} could be one pair or \
                 two; give one --tensor at a time"
            );
            if pair || same_file(paths) {
                return Ok(vec![vec![(0, a), (1, b)]]);
            }
        }
        _ => {}
    }
    let names = match (named, chosen.as_slice()) {
        (None, _) => vec![""],
        (Some(all), []) => all.names(),
        (Some(_), _) => chosen,
    };
    Ok(names.into_iter().map(|name| (0..inputs.len()).map(|i| (i, name)).collect()).collect())
}

fn same_file(paths: &[PathBuf]) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    matches!(paths, [a, b] if a == b || real(a).is_some_and(|a| Some(a) == real(b)))
}

/// What is done with an array that cannot be computed on, and why it cannot.
fn copy<'a>(input: &'a Input, name: &'a str) -> Option<(Work<'a>, String)> {
    match &input.contents {
        Contents::Npy(_) => None,
        Contents::Tensors(all) => {
            let (_, entry) = all.entries.iter().find(|(n, _)| n == name)?;
            let opaque = entry.as_ref().err()?;
            Some((Work::CopyTensor(name, opaque), format!("tensor {name:?} {}", opaque.why)))
        }
        Contents::Npz(all) => {
            let (_, entry) = all.entries.iter().find(|(n, _)| n == name)?;
            let why = entry.array.as_ref().err()?;
            Some((Work::CopyEntry(entry.index), format!("array {name:?}: {why}")))
        }
    }
}

/// Whether each format can hold what it gets.
fn check(args: &Apply, works: &[Work], formats: &[Format]) -> Result<()> {
    let tasks = || works.iter().filter_map(Work::task);
    if args.raw.is_some() {
        ensure!(
            tasks().flat_map(|t| &t.x).any(|x| x.array.dtype == DType::Bf16),
            "--as bf16: no input has raw pairs of bytes, uint16 or bfloat16"
        );
    }
    for (path, format) in args.outputs.iter().zip(formats) {
        ensure!(
            *format != Format::Npy || works.len() == 1,
            "a .npy file holds one array, the input has {}; choose it with --tensor, or write \
             .npz or .safetensors",
            works.len()
        );
        let bf16 = tasks().find(|t| t.dtype == DType::Bf16);
        if let (Some(task), Format::Npy | Format::Npz, None) = (bf16, format, &args.raw) {
            bail!(
                "{}: {} is bfloat16, which NumPy lacks; write .safetensors, or raw pairs of \
                 bytes with --as bf16",
                path.display(),
                task.x[0].name
            );
        }
    }
    Ok(())
}

/// The outputs, begun.
fn targets(args: &Apply, first: &Input, works: &[Work], formats: &[Format]) -> Result<Vec<Target>> {
    let metadata = match &first.contents {
        Contents::Tensors(tensors) => tensors.metadata.as_ref(),
        Contents::Npy(_) | Contents::Npz(_) => None,
    };
    let tasks = || works.iter().filter_map(Work::task);
    let begin = |(k, (path, format)): (usize, (&PathBuf, &Format))| {
        let (header, data) = match format {
            Format::Npz => {
                let stored = tasks().filter(|t| !t.x[0].deflated());
                let output = Output::create(path, stored.map(Task::bytes).sum())?;
                return Ok(Target::Archive(Box::new(npz::Writer::new(output)?)));
            }
            Format::Npy => (
                tasks().next().map(Task::header).unwrap_or_default(),
                tasks().map(Task::bytes).sum(),
            ),
            Format::Tensors => {
                let items = works.iter().map(|w| w.item(k)).collect::<Result<Vec<_>>>();
                let header = items.and_then(|items| {
                    let data: u64 = items.iter().map(|i| i.bytes as u64).sum();
                    Ok((tensors::header(&items, metadata)?, data))
                });
                header.with_context(|| path.display().to_string())?
            }
        };
        let mut output = Output::create(path, header.len() as u64 + data)?;
        output.put(&header)?;
        Ok(Target::Elements(output, header.len() as u64))
    };
    args.outputs.iter().zip(formats).enumerate().map(begin).collect()
}

/// Computes the results of a task and adds them to the outputs.
fn compute(
    call: &mut Call,
    mut task: Task,
    targets: &mut [Target],
    progress: &mut Progress,
) -> Result<()> {
    let deflate = task.x[0].deflated();
    task.x.iter_mut().try_for_each(Operand::unpack)?;
    let mut parts = (targets.iter())
        .map(|target| match target {
            Target::Elements(..) => Ok(None),
            Target::Archive(writer) => writer.elements().map(Some),
        })
        .collect::<Result<Vec<_>>>()?;
    let mut sinks: Vec<Sink> = (targets.iter_mut().zip(&mut parts))
        .filter_map(|pair| match pair {
            (Target::Elements(output, base), _) => Some(Sink { output, base: *base }),
            (Target::Archive(_), part) => part.as_mut().map(|output| Sink { output, base: 0 }),
        })
        .collect();
    if task.integers {
        let rectify = call.function.meta().name == "relu";
        integers::run(&task.x[0], rectify, sinks[0].output, progress)?;
    } else {
        stream::run(call, task.dtype, task.way, &task.x, &mut sinks, progress)?;
    }
    call.before += task.x[0].array.elements() as u64;
    for (k, (target, part)) in targets.iter_mut().zip(parts).enumerate() {
        match (target, part) {
            (Target::Archive(writer), Some(part)) => {
                writer.add(task.name(k), &task.header(), part, deflate)?;
            }
            (Target::Elements(_, base), _) => *base += task.bytes(),
            (Target::Archive(_), None) => {}
        }
    }
    Ok(())
}

/// Checks that operands, axis and function fit, and plans what is done.
fn task<'a>(
    args: &Apply,
    call: &Call,
    names: Vec<&'a str>,
    mut x: Vec<Operand<'a>>,
    ordered: bool,
) -> Result<Task<'a>> {
    let first = x[0].array;
    let fortran = first.fortran && !ordered;
    x.iter_mut().for_each(|x| x.set_order(fortran));
    let gated = matches!(call.function, Chosen::Gated(_));
    let packed = gated && args.split_axis.is_some();
    ensure!(
        !gated || names.len() == if packed { 1 } else { 2 },
        "`{}` takes two inputs, one with --split-axis, or two --tensor of one file",
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
    Ok(Task { names, x, integers, dtype, fortran, shape, way })
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
