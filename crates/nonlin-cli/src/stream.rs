//! From operands to outputs block by block, so that files may be larger than memory.
//!
//! What is done to a block is a [`Kernel`]; which blocks it gets depends on the [`Way`]: any
//! pieces, pieces of two packed halves, or whole rows along an axis.

use anyhow::{Result, ensure};

use crate::array::DType;
use crate::input::{Cell, Operand};
use crate::output::Output;
use crate::progress::Progress;

/// Elements read at a time; few in tests, so that these see the seams.
const CHUNK: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };
/// Elements of rows that are held at a time, unless a single row has more.
const ROWS: usize = 16 * CHUNK;
/// Columns gathered at a time at least: fewer cost as much, for their cache lines.
const COLUMNS: usize = 64;

/// What is done to each block.
pub trait Kernel {
    /// Fills `y` from `x`. `shape` is outer, axis, inner; without an axis 1, length, 1. `start`
    /// is the number of elements before these, but for columns of larger rows, where it is 0.
    ///
    /// # Errors
    /// The kernel's own.
    fn run<T: Cell>(
        &self,
        start: usize,
        shape: [usize; 3],
        x: &[&[T]],
        y: &mut [Vec<T>],
    ) -> Result<()>;
}

/// How operands are cut into blocks. `[outer, n, inner]` are the lengths before, of and after
/// the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Element by element, this many.
    Flat(usize),
    /// The first operand is two in one, halves along an axis; `n` is the half length. Other
    /// operands are as long as a half. One output more than halves go in is packed as well.
    Packed([usize; 3], Packing),
    /// Whole rows along an axis.
    Rows([usize; 3]),
}

/// Where the two results of packed operands go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Each into an output of its own (also a single result into the only output).
    Apart,
    /// Both results into one output, as the operands are in one input.
    Together,
}

/// An array within an output: where its elements begin.
pub struct Sink<'a> {
    /// The file.
    pub output: &'a mut Output,
    /// At which byte of the file the first element lies.
    pub base: u64,
}

impl Sink<'_> {
    fn put<T: Cell>(&mut self, values: &[T]) -> Result<()> {
        self.output.put(&T::bytes(values))
    }

    fn put_at<T: Cell>(&mut self, element: usize, values: &[T]) -> Result<()> {
        let at = self.base + (element * T::SIZE) as u64;
        self.output.put_at(at, &T::bytes(values))
    }
}

/// Runs `kernel`, computing in `dtype`, over all of `x` into `sinks`.
///
/// # Errors
/// An output cannot be written, or the kernel fails.
pub fn run(
    kernel: &impl Kernel,
    dtype: DType,
    way: Way,
    x: &[Operand],
    sinks: &mut [Sink],
    progress: &mut Progress,
) -> Result<()> {
    let outputs = if matches!(way, Way::Packed(_, Packing::Together)) { 2 } else { sinks.len() };
    match dtype {
        DType::F16 => Stream::<half::f16>::new(x, sinks, outputs, progress).run(kernel, way),
        DType::Bf16 => Stream::<half::bf16>::new(x, sinks, outputs, progress).run(kernel, way),
        DType::F32 => Stream::<f32>::new(x, sinks, outputs, progress).run(kernel, way),
        // Integers are computed in the type that they are promoted to.
        _ => Stream::<f64>::new(x, sinks, outputs, progress).run(kernel, way),
    }
}

/// Writes numbers as they are to `sink`, rounded to `dtype`.
///
/// # Errors
/// The output cannot be written.
pub fn put(dtype: DType, numbers: &[f64], sink: &mut Sink) -> Result<()> {
    fn rounded<T: Cell>(numbers: &[f64], sink: &mut Sink) -> Result<()> {
        let values: Vec<T> = numbers.iter().map(|&v| T::from_f64(v)).collect();
        sink.put(&values)
    }
    match dtype {
        DType::F16 => rounded::<half::f16>(numbers, sink),
        DType::Bf16 => rounded::<half::bf16>(numbers, sink),
        DType::F32 => rounded::<f32>(numbers, sink),
        _ => rounded::<f64>(numbers, sink),
    }
}

struct Stream<'a, 'o, T> {
    x: &'a [Operand<'a>],
    sinks: &'a mut [Sink<'o>],
    progress: &'a mut Progress,
    /// Where operands that cannot be used in place are converted to.
    room: Vec<Vec<T>>,
    y: Vec<Vec<T>>,
}

impl<'a, 'o, T: Cell> Stream<'a, 'o, T> {
    fn new(
        x: &'a [Operand<'a>],
        sinks: &'a mut [Sink<'o>],
        outputs: usize,
        progress: &'a mut Progress,
    ) -> Self {
        // One more than operands: a packed one is two.
        Stream { x, sinks, progress, room: vec![vec![]; x.len() + 1], y: vec![vec![]; outputs] }
    }

    fn run(mut self, kernel: &impl Kernel, way: Way) -> Result<()> {
        match way {
            Way::Flat(0) | Way::Packed([0, ..] | [_, 0, _] | [_, _, 0], _) => Ok(()),
            Way::Rows([0, ..] | [_, 0, _] | [_, _, 0]) => Ok(()),
            Way::Flat(n) => self.flat(kernel, n),
            Way::Packed([outer, n, inner], packing) => {
                self.packed(kernel, outer, n * inner, packing == Packing::Together)
            }
            Way::Rows(shape) => self.rows(kernel, shape),
        }
    }

    fn resize(&mut self, length: usize) {
        for y in &mut self.y {
            y.resize(length, T::default());
        }
    }

    fn put(&mut self) -> Result<()> {
        for (sink, y) in self.sinks.iter_mut().zip(&self.y) {
            sink.put(y)?;
        }
        Ok(())
    }

    fn done(&mut self, elements: usize) {
        self.progress.add((elements * T::SIZE) as u64);
    }

    fn flat(&mut self, kernel: &impl Kernel, n: usize) -> Result<()> {
        for start in (0..n).step_by(CHUNK) {
            let length = CHUNK.min(n - start);
            self.resize(length);
            let views: Vec<&[T]> = (self.x.iter().zip(&mut self.room))
                .map(|(x, room)| x.view(start, length, room))
                .collect();
            kernel.run(start, [1, length, 1], &views, &mut self.y)?;
            self.put()?;
            self.done(length);
        }
        Ok(())
    }

    /// `run` elements of the first half follow each other, then as many of the second.
    fn packed(
        &mut self,
        kernel: &impl Kernel,
        outer: usize,
        run: usize,
        together: bool,
    ) -> Result<()> {
        if run <= CHUNK / 2 {
            return self.packed_small(kernel, outer, run, together);
        }
        ensure!(
            !together || self.sinks.iter().all(|s| s.output.seeks()),
            "a packed gradient this large cannot go to a pipe; name a file, or two outputs"
        );
        for o in 0..outer {
            for start in (0..run).step_by(CHUNK) {
                let length = CHUNK.min(run - start);
                self.resize(length);
                let (a, b) = (o * 2 * run + start, o * 2 * run + run + start);
                let [room_a, room_b, rooms @ ..] = self.room.as_mut_slice() else { return Ok(()) };
                let mut views =
                    vec![self.x[0].view(a, length, room_a), self.x[0].view(b, length, room_b)];
                for (x, room) in self.x[1..].iter().zip(rooms) {
                    views.push(x.view(o * run + start, length, room));
                }
                kernel.run(o * run + start, [1, length, 1], &views, &mut self.y)?;
                if together {
                    self.sinks[0].put_at(a, &self.y[0])?;
                    self.sinks[0].put_at(b, &self.y[1])?;
                } else {
                    self.put()?;
                }
                self.done(2 * length);
            }
        }
        Ok(())
    }

    /// Many short runs at a time, sorted into two halves.
    fn packed_small(
        &mut self,
        kernel: &impl Kernel,
        outer: usize,
        run: usize,
        together: bool,
    ) -> Result<()> {
        let step = CHUNK / 2 / run;
        let (mut both, mut a, mut b) = (Vec::new(), Vec::new(), Vec::new());
        for o in (0..outer).step_by(step) {
            let runs = step.min(outer - o);
            let length = runs * run;
            self.resize(length);
            a.clear();
            b.clear();
            for pair in self.x[0].view(o * 2 * run, 2 * length, &mut both).chunks_exact(2 * run) {
                a.extend_from_slice(&pair[..run]);
                b.extend_from_slice(&pair[run..]);
            }
            let mut views: Vec<&[T]> = vec![&a, &b];
            for (x, room) in self.x[1..].iter().zip(&mut self.room) {
                views.push(x.view(o * run, length, room));
            }
            kernel.run(o * run, [1, length, 1], &views, &mut self.y)?;
            if together {
                both.clear();
                for (a, b) in self.y[0].chunks_exact(run).zip(self.y[1].chunks_exact(run)) {
                    both.extend_from_slice(a);
                    both.extend_from_slice(b);
                }
                self.sinks[0].put(&both)?;
            } else {
                self.put()?;
            }
            self.done(2 * length);
        }
        Ok(())
    }

    fn rows(&mut self, kernel: &impl Kernel, [outer, n, inner]: [usize; 3]) -> Result<()> {
        let slab = n * inner;
        if slab > ROWS && inner > 1 && self.sinks.iter().all(|s| s.output.seeks()) {
            return self.columns(kernel, [outer, n, inner]);
        }
        let step = (CHUNK / slab).max(1);
        for o in (0..outer).step_by(step) {
            let count = step.min(outer - o);
            let length = count * slab;
            self.resize(length);
            let views: Vec<&[T]> = (self.x.iter().zip(&mut self.room))
                .map(|(x, room)| x.view(o * slab, length, room))
                .collect();
            kernel.run(o * slab, [count, n, inner], &views, &mut self.y)?;
            self.put()?;
            self.done(length);
        }
        Ok(())
    }

    /// Some columns at a time, gathered from all over the file and written back there.
    fn columns(&mut self, kernel: &impl Kernel, [outer, n, inner]: [usize; 3]) -> Result<()> {
        let width = (ROWS / n).clamp(COLUMNS.min(inner), inner);
        for o in 0..outer {
            for column in (0..inner).step_by(width) {
                let width = width.min(inner - column);
                self.resize(n * width);
                for (x, room) in self.x.iter().zip(&mut self.room) {
                    room.resize(n * width, T::default());
                    for (j, row) in room.chunks_exact_mut(width).enumerate() {
                        x.load((o * n + j) * inner + column, row);
                    }
                }
                let count = self.x.len();
                let views: Vec<&[T]> = self.room[..count].iter().map(Vec::as_slice).collect();
                kernel.run(0, [1, n, width], &views, &mut self.y)?;
                for (sink, y) in self.sinks.iter_mut().zip(&self.y) {
                    for (j, row) in y.chunks_exact(width).enumerate() {
                        sink.put_at((o * n + j) * inner + column, row)?;
                    }
                }
                self.done(n * width);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Input;
    use crate::npy;
    use std::fs;
    use std::path::Path;

    /// `y = x0 + 2 x1 + ...` and, as a second output, `x0` again; along an axis minus the first
    /// element of the row.
    struct Sum;
    impl Kernel for Sum {
        fn run<T: Cell>(
            &self,
            _: usize,
            [outer, n, inner]: [usize; 3],
            x: &[&[T]],
            y: &mut [Vec<T>],
        ) -> Result<()> {
            assert!(x.iter().all(|x| x.len() == outer * n * inner));
            assert!(y.iter().all(|y| y.len() == outer * n * inner));
            let number =
                |v: T| T::bytes(&[v]).iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b));
            let number = |v: T| f64::from_bits(number(v));
            for i in 0..outer * n * inner {
                let mut sum = 0.0;
                for (k, x) in x.iter().enumerate() {
                    sum += number(x[i]) * (k + 1) as f64;
                }
                if outer > 1 || inner > 1 {
                    let first = i / (n * inner) * n * inner + i % inner;
                    sum -= number(x[0][first]);
                }
                y[0][i] = T::from_f64(sum);
                if y.len() > 1 {
                    y[1][i] = x[0][i];
                }
            }
            Ok(())
        }
    }

    fn save(path: &Path, shape: &[usize], f: impl Fn(usize) -> f64) {
        let mut bytes = npy::header(DType::F64, false, false, shape);
        let count = shape.iter().product();
        bytes.extend((0..count).flat_map(|i| f(i).to_le_bytes()));
        fs::write(path, bytes).unwrap();
    }

    /// The outputs of `way` for inputs of those shapes; input k holds `i + k / 2`.
    fn outputs(way: Way, shapes: &[&[usize]], outputs: usize) -> Vec<Vec<f64>> {
        let dir = tempfile::tempdir().unwrap();
        let mut inputs = Vec::new();
        for (k, shape) in shapes.iter().enumerate() {
            let path = dir.path().join(format!("{k}.npy"));
            save(&path, shape, |i| i as f64 + k as f64 / 2.0);
            inputs.push(Input::open(&path, None).unwrap());
        }
        let x: Vec<_> = inputs.iter().map(|i| i.operand("").unwrap()).collect();
        let names: Vec<_> = (0..outputs).map(|k| dir.path().join(format!("out{k}"))).collect();
        let mut files: Vec<_> = names.iter().map(|n| Output::create(n, 0).unwrap()).collect();
        let mut sinks: Vec<_> = files.iter_mut().map(|output| Sink { output, base: 0 }).collect();
        run(&Sum, DType::F64, way, &x, &mut sinks, &mut Progress::new(0)).unwrap();
        crate::output::commit(files).unwrap();
        let numbers = |bytes: Vec<u8>| {
            bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
        };
        names.iter().map(|n| numbers(fs::read(n).unwrap())).collect()
    }

    #[test]
    fn flat_chunks_join() {
        let n = 2 * CHUNK + 3;
        let y = outputs(Way::Flat(n), &[&[n], &[n]], 2);
        assert!(y[0].len() == n && y[1].len() == n);
        for i in [0, 1, CHUNK - 1, CHUNK, n - 1] {
            assert_eq!((y[0][i], y[1][i]), (3.0 * i as f64 + 1.0, i as f64));
        }
        assert!(outputs(Way::Flat(0), &[&[0]], 1)[0].is_empty());
    }

    #[test]
    fn halves_are_found_and_put_back() {
        for shape in [[3, 2, 5], [CHUNK, 2, 1], [2, 1, CHUNK + 7], [1, CHUNK / 3, 3]] {
            let [outer, n, inner] = shape;
            let run = n * inner;
            let packed: &[usize] = &[outer, 2 * n, inner];
            let grad: &[usize] = &shape;
            let apart = outputs(Way::Packed(shape, Packing::Apart), &[packed, grad], 2);
            let together = outputs(Way::Packed(shape, Packing::Together), &[packed, grad], 1);
            assert_eq!((apart[0].len(), together[0].len()), (outer * run, 2 * outer * run));
            for o in [0, outer / 2, outer - 1] {
                for i in [0, run / 2, run - 1] {
                    let (a, b) = ((o * 2 * run + i) as f64, (o * 2 * run + run + i) as f64);
                    let sum = a + 2.0 * b + 3.0 * ((o * run + i) as f64 + 0.5);
                    assert_eq!((apart[0][o * run + i], apart[1][o * run + i]), (sum, a));
                    let at = o * 2 * run + i;
                    assert_eq!((together[0][at], together[0][at + run]), (sum, a));
                }
            }
        }
    }

    #[test]
    fn rows_are_whole() {
        // The last has more elements than are held at a time, and is done in columns.
        for shape in [[4, 5, 1], [CHUNK / 2, 3, 1], [2, CHUNK, 3], [1, 130, ROWS / 128]] {
            let [outer, n, inner] = shape;
            let y = outputs(Way::Rows(shape), &[&shape], 1);
            assert_eq!(y[0].len(), outer * n * inner);
            for i in (0..y[0].len()).step_by(97) {
                let first = i / (n * inner) * n * inner + i % inner;
                assert_eq!(y[0][i], (i - first) as f64);
            }
        }
    }
}
