//! Arrays in files: what is read, in which type, and where the results go.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nonlin::shape;

use super::integers;
use super::kernel::{Call, Job, Masking, Mode, Rows};
use crate::args::{Apply, Axes};
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
    /// The shape of each result but the gradient by weights.
    shape: Vec<usize>,
    way: Way,
    /// How rows lie in it, of a row-wise function.
    rows: Option<Rows>,
    /// Weights, one for each channel.
    weight: Option<Operand<'a>>,
}

impl Task<'_> {
    /// The shape of the result that goes to that output.
    fn shape(&self, output: usize) -> &[usize] {
        match &self.weight {
            Some(weight) if output == 1 => &weight.array.shape,
            _ => &self.shape,
        }
    }

    fn bytes(&self, output: usize) -> u64 {
        self.shape(output).iter().product::<usize>() as u64 * self.dtype.size() as u64
    }

    /// The name of the result that goes to that output.
    fn name(&self, output: usize) -> &str {
        match self.names.get(output).or(self.names.first()) {
            None | Some(&"") => UNNAMED,
            Some(name) => name,
        }
    }

    fn header(&self, output: usize) -> Vec<u8> {
        npy::header(self.dtype, false, self.fortran, self.shape(output))
    }
}

/// What becomes of an array.
enum Work<'a> {
    Compute(Box<Task<'a>>),
    /// A tensor, with its name, that is passed on as it is.
    CopyTensor(&'a str, &'a Opaque),
    /// The entry of an archive, by its number, that is passed on as it is.
    CopyEntry(usize),
}

impl Work<'_> {
    /// The entry of a `.safetensors` header for that output.
    fn item(&self, output: usize) -> Result<Item<'_>> {
        match self {
            Work::Compute(task) => Item::new(task.name(output), task.dtype, task.shape(output)),
            Work::CopyTensor(name, Opaque { dtype, shape, place, .. }) => {
                Ok(Item { name, dtype, shape, bytes: place.len() })
            }
            Work::CopyEntry(_) => bail!("an archive's entry is no tensor"),
        }
    }

    fn task(&self) -> Option<&Task<'_>> {
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
    /// Arrays one behind the other; the next begins at this byte.
    Elements(Output, u64),
    Archive(Box<npz::Writer>),
}

/// Files beside the operands.
struct Others {
    mask: Option<Input>,
    weight: Option<Input>,
}

/// The arrays that are computed on together: the number of an input and a name in it for each.
type Selection<'a> = Vec<(usize, &'a str)>;

pub fn run(args: &Apply, paths: &[PathBuf], call: &mut Call) -> Result<()> {
    let raw = args.raw.as_ref().map(|_| DType::Bf16);
    let inputs = paths.iter().map(|p| Input::open(p, raw)).collect::<Result<Vec<_>>>()?;
    let grad = args.backward.as_deref().or(args.backward_from_output.as_deref());
    let grad = grad.map(|p| Input::open(p, raw)).transpose()?;
    let open = |path: &Option<PathBuf>| path.as_ref().map(|p| Input::open(p, raw)).transpose();
    let others = Others { mask: open(&args.mask)?, weight: open(&args.weight)? };
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
        let ordered = formats.contains(&Format::Tensors);
        works.push(Work::Compute(Box::new(task(args, call, names, x, &others, ordered)?)));
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
            Work::Compute(task) => compute(call, *task, &mut targets, &mut progress)?,
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
    let gradients = call.mode == Mode::Backward
        && (matches!(call.function, Chosen::Gated(_)) || args.weight.is_some());
    match (outputs.len(), gradients) {
        (0, _) => bail!("no output is named; add -o FILE, or -o - for standard output"),
        (1, true) if args.packed_axis().is_none() && args.weight.is_none() => {
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
    let operands = matches!(call.function, Chosen::Gated(_)) && args.packed_axis().is_none();
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
                let output = Output::create(path, stored.map(|t| t.bytes(k)).sum())?;
                return Ok(Target::Archive(Box::new(npz::Writer::new(output)?)));
            }
            Format::Npy => (
                tasks().next().map(|t| t.header(k)).unwrap_or_default(),
                tasks().map(|t| t.bytes(k)).sum(),
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
        let job = Job::of(call, task.rows.as_ref(), task.weight.as_ref());
        let (by_weight, sinks) = match (&task.weight, sinks.as_mut_slice()) {
            (Some(_), [dx, rest @ ..]) => (rest.first_mut(), std::slice::from_mut(dx)),
            (_, sinks) => (None, sinks),
        };
        stream::run(&job, task.dtype, task.way, &task.x, sinks, progress)?;
        if let Some(sink) = by_weight {
            stream::put(task.dtype, &job.by_weight(), sink)?;
        }
    }
    call.before += task.x[0].array.elements() as u64;
    for (k, (target, part)) in targets.iter_mut().zip(parts).enumerate() {
        match (target, part) {
            (Target::Archive(writer), Some(part)) => {
                writer.add(task.name(k), &task.header(k), part, deflate)?;
            }
            (Target::Elements(_, base), _) => *base += task.bytes(k),
            (Target::Archive(_), None) => {}
        }
    }
    Ok(())
}

/// Checks that operands, axes and function fit, and plans what is done.
fn task<'a>(
    args: &Apply,
    call: &Call,
    names: Vec<&'a str>,
    mut x: Vec<Operand<'a>>,
    others: &'a Others,
    ordered: bool,
) -> Result<Task<'a>> {
    let first = x[0].array;
    let fortran = first.fortran && !ordered;
    x.iter_mut().for_each(|x| x.set_order(fortran));
    let gated = matches!(call.function, Chosen::Gated(_));
    let packed = if gated { args.packed_axis() } else { None };
    ensure!(
        !gated || names.len() == if packed.is_some() { 1 } else { 2 },
        "`{}` takes two inputs, one with --split-axis, or two --tensor of one file",
        call.function.meta().name
    );

    let mut shape = first.shape.clone();
    let mut way = Way::Flat(first.elements());
    if let Some(axis) = packed {
        let index = shape::axis(axis, &shape).with_context(|| x[0].name.clone())?;
        ensure!(
            shape[index].is_multiple_of(2),
            "{}: axis {axis} has {} elements; two equal halves need an even number",
            x[0].name,
            shape[index]
        );
        shape[index] /= 2;
        let [outer, n, inner] = around(&shape, index, index, fortran);
        // Interleaved operands are packed once more for every pair along the axis.
        let lengths = if args.interleaved() { [outer * n, 1, inner] } else { [outer, n, inner] };
        let together = call.mode == Mode::Backward && args.outputs.len() == 1;
        way = Way::Packed(lengths, if together { Packing::Together } else { Packing::Apart });
    }
    for other in &x[1..] {
        ensure!(
            other.array.shape == shape,
            "{} has shape {:?}, {} has {:?}; it must be {shape:?}",
            x[0].name,
            first.shape,
            other.name,
            other.array.shape
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

    let mut rows = None;
    if matches!(call.function, Chosen::Rows(_)) {
        let (mut found, lengths) =
            rows_of(args, call, &shape, fortran).with_context(|| x[0].name.clone())?;
        way = Way::Rows(lengths);
        if let Some(mask) = &others.mask {
            let mut mask = only(mask)?;
            found.masking = match mask.array.dtype {
                DType::Bool => Masking::Keep,
                dtype if dtype.is_float() => Masking::Add,
                dtype => bail!(
                    "{} is {}; a mask is bool, true where scores take part, or a float that is \
                     added to them",
                    mask.name,
                    dtype.name()
                ),
            };
            mask.broadcast(&shape, fortran)?;
            x.insert(1, mask);
        }
        rows = Some(found);
    }
    let weight = others.weight.as_ref().map(only).transpose()?;
    if let Some(weight) = &weight
        && weight.array.elements() != 1
    {
        let axis = match &args.axis {
            None => 1,
            Some(Axes::These(axes)) if axes.len() == 1 => axes[0],
            Some(_) => bail!("the channels of --weight lie along one --axis"),
        };
        let index = shape::axis(axis, &shape).with_context(|| x[0].name.clone())?;
        ensure!(
            shape[index] == weight.array.elements(),
            "{}: axis {axis} of shape {shape:?} has {} channels, {} has {} weights; it must have \
             as many, or 1",
            x[0].name,
            shape[index],
            weight.name,
            weight.array.elements()
        );
        way = Way::Rows(around(&shape, index, index, fortran));
    }
    Ok(Task { names, x, integers, dtype, fortran, shape, way, rows, weight })
}

/// The array of a file that has one.
fn only(input: &Input) -> Result<Operand<'_>> {
    let name = match (Format::of(input), input.names().as_slice()) {
        (Format::Npy, _) => "",
        (_, [only]) => only,
        (_, names) => bail!("{}: {} arrays; it must have one", input.name(), names.len()),
    };
    let mut operand = input.operand(name)?;
    operand.unpack()?;
    Ok(operand)
}

/// How rows lie in an array, and its lengths before, of and behind them.
fn rows_of(
    args: &Apply,
    call: &Call,
    shape: &[usize],
    fortran: bool,
) -> Result<(Rows, [usize; 3])> {
    let along = match &args.axis {
        None => shape::Axes::from(-1).of(shape),
        Some(Axes::All) => shape::Axes::ALL.of(shape),
        Some(Axes::These(axes)) => shape::Axes::from(axes.as_slice()).of(shape),
    }?;
    let keys: Vec<usize> = (0..shape.len()).filter(|&a| along[a]).collect();
    let mut queries = None;
    if call.band.is_some() && shape.len() > 1 {
        let [key] = keys[..] else { bail!("--causal and --window need rows along one axis") };
        ensure!(key > 0, "--causal and --window need an axis of queries before --axis {key}");
        queries = Some(key - 1);
    }
    let (Some(&lo), Some(&hi)) = (queries.as_ref().or(keys.first()), keys.last()) else {
        // Every element is a row.
        let rows = Rows { middle: vec![1], axes: vec![1], queries: None, masking: Masking::None };
        return Ok((rows, [shape.iter().product(), 1, 1]));
    };
    let mut middle = shape[lo..=hi].to_vec();
    // The place in a block: its first axis is all those before.
    let place = |axis: usize| (if fortran { hi - axis } else { axis - lo }) as isize + 1;
    let rows = Rows {
        axes: keys.iter().map(|&axis| place(axis)).collect(),
        queries: queries.map(place),
        middle: {
            if fortran {
                middle.reverse();
            }
            middle
        },
        masking: Masking::None,
    };
    Ok((rows, around(shape, lo, hi, fortran)))
}

/// The lengths before, of and behind the axes from `lo` to `hi`, in the order of the elements.
fn around(shape: &[usize], lo: usize, hi: usize, fortran: bool) -> [usize; 3] {
    // Parts of a shape whose size was checked with its header.
    let product = |part: &[usize]| part.iter().product();
    let (before, after) = (product(&shape[..lo]), product(&shape[hi + 1..]));
    let n = product(&shape[lo..=hi]);
    // In Fortran order the axes before are the fast ones.
    if fortran { [after, n, before] } else { [before, n, after] }
}

/// The smallest type that holds both.
fn common(a: DType, b: DType) -> DType {
    match (a, b) {
        (DType::F16, DType::Bf16) | (DType::Bf16, DType::F16) => DType::F32,
        _ if a.size() >= b.size() => a,
        _ => b,
    }
}
