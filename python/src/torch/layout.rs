//! Where elements of tensors lie, and how kernels, which take runs of memory, get at them.
//!
//! Operands of one shape that lie densely in the same order are one run, whatever the order is.
//! Others are walked in the order in which the result lies; what is not a run in that order is
//! gathered into blocks that stay in the first-level cache.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use super::library::{Kernel, Number, Rows};
use super::shim::{Dtype, Res, Torch, fail};

/// Axes that a tensor can have here; more are declined.
pub const MAX_DIM: usize = 64;

/// Bytes of a block of gathered elements.
const BLOCK_BYTES: usize = 8192;

/// Elements from which on a run along one axis is worth a call of its own.
const LONG: usize = 256;

/// The number of elements of a shape.
pub fn count(shape: &[i64]) -> usize {
    shape.iter().map(|&n| n as usize).product()
}

/// The elements of one operand: where the first one is, and the distances along the axes of the
/// operator's shape, in elements (0 where it is repeated).
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The first element.
    pub data: *mut u8,
    /// One distance for each axis.
    pub strides: &'a [i64],
}

/// Whether elements of these distances fill a piece of memory without gaps and repetitions.
pub fn dense(shape: &[i64], strides: &[i64]) -> bool {
    if in_c_order(shape, strides) {
        return true;
    }
    let mut axes = sorted_axes(shape, strides);
    let mut next = 1;
    axes.all(|(stride, n)| {
        let fits = stride == next;
        next *= n;
        fits
    })
}

/// Whether no two elements of these distances can share memory: a sufficient condition, which
/// views made by slicing and permuting meet.
pub fn apart(shape: &[i64], strides: &[i64]) -> bool {
    let mut reach = 0;
    sorted_axes(shape, strides).all(|(stride, n)| {
        let fits = stride > reach;
        reach += stride * (n - 1);
        fits
    })
}

/// Distance and length of the axes longer than 1, the smallest distance first.
fn sorted_axes(shape: &[i64], strides: &[i64]) -> impl Iterator<Item = (i64, i64)> {
    let mut axes: Vec<(i64, i64)> =
        strides.iter().copied().zip(shape.iter().copied()).filter(|(_, n)| *n != 1).collect();
    axes.sort_unstable();
    axes.into_iter()
}

/// The bytes that elements lie in: of the first, and past the last.
pub fn span(data: *mut u8, shape: &[i64], strides: &[i64], item: usize) -> (usize, usize) {
    let reach: i64 = shape.iter().zip(strides).map(|(n, s)| (n - 1).max(0) * s).sum();
    (data.addr(), data.addr() + (reach as usize + 1) * item)
}

/// The axes in the order in which memory is walked, the fastest first: smaller distances come
/// before larger ones in the first operand that tells two axes apart, and later axes before earlier
/// ones where none does. It is the order that PyTorch gives to new results.
fn order(shape: &[i64], operands: &[&[i64]]) -> Vec<usize> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let compare = |a: usize, b: usize| {
        for strides in operands {
            let (s, t) = (strides[a], strides[b]);
            if s == 0 || t == 0 {
                continue;
            }
            match s.cmp(&t) {
                Equal if shape[a] > shape[b] => return Greater,
                Equal => {}
                unequal => return unequal,
            }
        }
        Equal
    };
    let mut axes: Vec<usize> = (0..shape.len()).rev().collect();
    // The comparison is no total order, since axes that tell nothing are equal to all others: an
    // axis moves past those that tell nothing only when it meets a slower one.
    for i in 1..axes.len() {
        let mut at = i;
        for before in (0..i).rev() {
            match compare(axes[before], axes[at]) {
                Greater => {
                    axes.swap(before, at);
                    at = before;
                }
                Less => break,
                Equal => {}
            }
        }
    }
    axes
}

/// The distances of a new result for operands of these distances.
pub fn result_strides(shape: &[i64], operands: &[&[i64]]) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    let mut next = 1;
    // Without elements any order is dense, and C order comes first.
    let operands = if shape.contains(&0) { &[] } else { operands };
    for axis in order(shape, operands) {
        strides[axis] = next;
        next *= shape[axis].max(1);
    }
    strides
}

/// The distances of a new result for operands that all have the same ones; `None` if these leave
/// gaps. As PyTorch does, what is in C order, or has its channels last, gets the usual distances
/// along axes of one element, where an operand may have any.
pub fn kept<'s>(shape: &[i64], strides: &'s [i64]) -> Option<Cow<'s, [i64]>> {
    let (mut next, mut usual, mut c_order) = (1, true, true);
    for (&n, &s) in shape.iter().zip(strides).rev() {
        usual &= s == next;
        c_order &= n == 1 || s == next;
        next *= n;
    }
    if usual {
        return Some(Cow::Borrowed(strides));
    }
    if c_order || shape.contains(&0) {
        return Some(Cow::Owned(c_strides(shape)));
    }
    if let 4 | 5 = shape.len() {
        let mut last = vec![0; shape.len()];
        let mut next = 1;
        for axis in std::iter::once(1).chain((2..shape.len()).rev()).chain([0]) {
            last[axis] = next;
            next *= shape[axis];
        }
        if (0..shape.len()).all(|a| shape[a] == 1 || strides[a] == last[a]) {
            return Some(Cow::Owned(last));
        }
    }
    dense(shape, strides).then_some(Cow::Borrowed(strides))
}

/// The distances of a new result in C order.
pub fn c_strides(shape: &[i64]) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

/// Whether elements of these distances lie side by side in C order.
fn in_c_order(shape: &[i64], strides: &[i64]) -> bool {
    let mut next = 1;
    shape.iter().zip(strides).rev().all(|(&n, &s)| {
        let fits = n == 1 || s == next;
        next *= n;
        fits
    })
}

/// The shape that both can be repeated to, or `None`.
pub fn broadcast(a: &[i64], b: &[i64]) -> Option<Vec<i64>> {
    let dim = a.len().max(b.len());
    let at = |s: &[i64], i: usize| if i < dim - s.len() { 1 } else { s[i - (dim - s.len())] };
    (0..dim)
        .map(|i| match (at(a, i), at(b, i)) {
            (n, m) if n == m => Some(n),
            (1, m) => Some(m),
            (n, 1) => Some(n),
            _ => None,
        })
        .collect()
}

/// The distances of an operand repeated to a shape that it can be repeated to.
pub fn expanded(sizes: &[i64], strides: &[i64], shape: &[i64]) -> Vec<i64> {
    let new = shape.len() - sizes.len();
    let own = |i: usize| if sizes[i] == 1 && shape[new + i] != 1 { 0 } else { strides[i] };
    (0..shape.len()).map(|i| if i < new { 0 } else { own(i - new) }).collect()
}

/// Axes of several operands, the fastest first; neighbours that are one axis in all of them are
/// joined.
struct Walk<const N: usize> {
    sizes: Vec<usize>,
    strides: Vec<[isize; N]>,
}

impl<const N: usize> Walk<N> {
    fn new(shape: &[i64], axes: impl Iterator<Item = usize>, operands: [&[i64]; N]) -> Self {
        let mut walk = Walk { sizes: Vec::new(), strides: Vec::new() };
        for axis in axes.filter(|&a| shape[a] != 1) {
            let (n, strides) = (shape[axis] as usize, operands.map(|s| s[axis] as isize));
            if let (Some(size), Some(inner)) = (walk.sizes.last_mut(), walk.strides.last())
                && (0..N).all(|k| strides[k] == inner[k] * *size as isize)
            {
                *size *= n;
            } else {
                walk.sizes.push(n);
                walk.strides.push(strides);
            }
        }
        if walk.sizes.is_empty() {
            walk.sizes.push(1);
            walk.strides.push([1; N]);
        }
        walk
    }

    /// Calls `f(first, done, length)` for each run along the fastest axis between the elements
    /// `start` and `start + n`: where its elements of operand `k` begin, how many elements came
    /// before it, and how many it has.
    #[inline]
    fn runs(&self, k: usize, start: usize, n: usize, mut f: impl FnMut(isize, usize, usize)) {
        let mut at = [0usize; MAX_DIM];
        let (mut rest, mut offset) = (start, 0);
        for (axis, &size) in self.sizes.iter().enumerate() {
            at[axis] = rest % size;
            rest /= size;
            offset += at[axis] as isize * self.strides[axis][k];
        }
        let mut done = 0;
        loop {
            let length = (self.sizes[0] - at[0]).min(n - done);
            f(offset, done, length);
            done += length;
            if done == n {
                return;
            }
            // The run ended with its axis: back to the axis' beginning, and a step along the next.
            offset -= at[0] as isize * self.strides[0][k];
            at[0] = 0;
            let axes = self.sizes.iter().zip(&self.strides);
            for (at, (&size, strides)) in at.iter_mut().zip(axes).skip(1) {
                *at += 1;
                offset += strides[k];
                if *at < size {
                    break;
                }
                offset -= *at as isize * strides[k];
                *at = 0;
            }
        }
    }

    /// Whether operand `k` lies side by side in the order of the walk.
    fn flat(&self, k: usize) -> bool {
        let mut next = 1;
        self.sizes.iter().zip(&self.strides).all(|(&n, s)| {
            let fits = s[k] == next;
            next *= n as isize;
            fits
        })
    }
}

/// A pointer that threads share: each touches its own elements.
#[derive(Clone, Copy)]
struct Shared(*mut u8);

// SAFETY: `apply` and `rows` hand each thread elements that no other thread gets.
unsafe impl Send for Shared {}
// SAFETY: a shared reference gives the pointer alone; threads get disjoint elements through it.
unsafe impl Sync for Shared {}

impl Shared {
    fn at<T>(self, i: isize) -> *mut T {
        self.0.cast::<T>().wrapping_offset(i)
    }
}

/// Calls `$call` with `$T` as the type of elements that a `Dtype` stands for.
macro_rules! with_number {
    ($dtype:expr, $T:ident => $call:expr) => {
        match $dtype {
            Dtype::F32 => {
                type $T = f32;
                $call
            }
            Dtype::F64 => {
                type $T = f64;
                $call
            }
            Dtype::F16 => {
                type $T = half::f16;
                $call
            }
            Dtype::Bf16 => {
                type $T = half::bf16;
                $call
            }
        }
    };
}

pub(super) use with_number;

/// Runs a kernel over operands of one shape.
///
/// # Safety
/// Each operand must have elements of type `dtype` at all places of `shape`, those of `y` writable;
/// different elements of a result must not share memory. No result may overlap an operand or
/// another result, except that the only result of one operand may be that operand, with the same
/// distances.
pub unsafe fn apply<K: Kernel<I, O>, const I: usize, const O: usize, const N: usize>(
    torch: &Torch,
    kernel: &K,
    dtype: Dtype,
    shape: &[i64],
    x: [Place<'_>; I],
    y: [Place<'_>; O],
) -> Res<()> {
    const { assert!(I + O == N) };
    // SAFETY: `T` is the type that `dtype` stands for; operands have elements of it at all places of
    // `shape`, those of `y` writable, and no result overlaps an operand but one that it replaces.
    with_number!(dtype, T => unsafe { apply_to::<T, K, I, O, N>(torch, kernel, shape, x, y) })
}

/// # Safety
/// The promises of [`apply`], where `T` is the type of elements.
unsafe fn apply_to<T: Number, K: Kernel<I, O>, const I: usize, const O: usize, const N: usize>(
    torch: &Torch,
    kernel: &K,
    shape: &[i64],
    x: [Place<'_>; I],
    y: [Place<'_>; O],
) -> Res<()> {
    let n = count(shape);
    if n == 0 {
        return Ok(());
    }
    let (from, to) = (x.map(|p| Shared(p.data)), y.map(|p| Shared(p.data)));
    let first = y[0].strides;
    let alike = x.iter().all(|p| p.strides == first) && y[1..].iter().all(|p| p.strides == first);
    if alike && dense(shape, first) {
        return torch.parallel(n, K::GRAIN, |begin, end| {
            let x = from.map(|p| p.at::<T>(begin as isize).cast_const());
            let y = to.map(|p| p.at::<T>(begin as isize));
            // SAFETY: dense operands of the same distances hold element i of each other at the same
            // place, and all places of `begin..end`, which are this thread's alone, are inside.
            unsafe { kernel.run(x, y, end - begin) }
        });
    }
    // Results come first: the walk follows them.
    let operand = |k: usize| if k < O { y[k].strides } else { x[k - O].strides };
    let strides: [&[i64]; N] = std::array::from_fn(operand);
    let walk = Walk::<N>::new(shape, order(shape, &strides).into_iter(), strides);
    let place = |k: usize| if k < O { to[k] } else { from[k - O] };
    let places: [Shared; N] = std::array::from_fn(place);
    if walk.sizes[0] >= LONG && walk.strides[0].iter().all(|&s| s == 1) {
        return torch.parallel(n, K::GRAIN, |begin, end| {
            // The runs of all operands begin and end at the same elements.
            let mut starts = [0isize; N];
            let inner = walk.sizes[0];
            let mut at = begin;
            while at < end {
                let length = (inner - at % inner).min(end - at);
                for (k, start) in starts.iter_mut().enumerate() {
                    walk.runs(k, at, length, |offset, _, _| *start = offset);
                }
                let x = std::array::from_fn(|i| places[O + i].at::<T>(starts[O + i]).cast_const());
                let y = std::array::from_fn(|o| places[o].at::<T>(starts[o]));
                // SAFETY: elements along an axis of distance 1 lie side by side, and a run does
                // not leave its axis; elements of results are no other thread's.
                unsafe { kernel.run::<T>(x, y, length) };
                at += length;
            }
        });
    }
    let flat: [bool; N] = std::array::from_fn(|k| walk.flat(k));
    let block = BLOCK_BYTES / size_of::<T>();
    torch.parallel(n, K::GRAIN, |begin, end| {
        // Uninitialised: whatever is read of it has been gathered or computed before.
        let mut buffers: [MaybeUninit<Buffer>; N] = [const { MaybeUninit::uninit() }; N];
        for at in (begin..end).step_by(block) {
            let m = block.min(end - at);
            let mut starts = [std::ptr::null_mut::<T>(); N];
            for k in 0..N {
                let buffer = buffers[k].as_mut_ptr().cast::<T>();
                if flat[k] {
                    starts[k] = places[k].at(at as isize);
                    continue;
                }
                starts[k] = buffer;
                if k >= O {
                    let stride = walk.strides[0][k];
                    walk.runs(k, at, m, |offset, done, length| {
                        let source = places[k].at::<T>(offset);
                        // SAFETY: `done + length` is at most `m`, which the buffer holds, and the
                        // run's elements are the operand's.
                        unsafe { gather(source, stride, buffer.add(done), length) }
                    });
                }
            }
            let x = std::array::from_fn(|i| starts[O + i].cast_const());
            let y = std::array::from_fn(|o| starts[o]);
            // SAFETY: each start leads to `m` elements: a buffer of at least so many, filled for
            // operands, or the operand's own where it lies in the order of the walk. A result that
            // is the operand itself has the operand's distances, so that both are flat or neither
            // is.
            unsafe { kernel.run::<T>(x, y, m) };
            for k in (0..O).filter(|&k| !flat[k]) {
                let stride = walk.strides[0][k];
                walk.runs(k, at, m, |offset, done, length| {
                    // SAFETY: the kernel has written `m` elements of the buffer; the run's elements
                    // are the result's and no other thread's.
                    unsafe { scatter(starts[k].add(done), places[k].at(offset), stride, length) }
                });
            }
        }
    })
}

/// Memory for a block, aligned for every type of elements.
type Buffer = [u64; BLOCK_BYTES / 8];

/// Copies `n` elements `stride` apart to elements side by side.
///
/// # Safety
/// All of them must be valid, and the two places must not overlap.
#[inline]
unsafe fn gather<T: Number>(from: *const T, stride: isize, to: *mut T, n: usize) {
    // SAFETY: `from` has `n` elements `stride` apart, `to` room for `n` side by side; they do not overlap.
    unsafe {
        match stride {
            1 => std::ptr::copy_nonoverlapping(from, to, n),
            0 => {
                let v = from.read();
                (0..n).for_each(|i| to.add(i).write(v));
            }
            _ => {
                (0..n).for_each(|i| to.add(i).write(from.offset(i as isize * stride).read()));
            }
        }
    }
}

/// Copies `n` elements side by side to elements `stride` apart.
///
/// # Safety
/// All of them must be valid, and the two places must not overlap.
#[inline]
unsafe fn scatter<T: Number>(from: *const T, to: *mut T, stride: isize, n: usize) {
    // SAFETY: `from` has `n` elements side by side, `to` room for `n` that are `stride` apart; they do
    // not overlap.
    unsafe {
        if stride == 1 {
            std::ptr::copy_nonoverlapping(from, to, n);
        } else {
            (0..n).for_each(|i| to.offset(i as isize * stride).write(from.add(i).read()));
        }
    }
}

/// Elements of rows that are worth a thread of their own.
const ROW_GRAIN: usize = 1 << 14;

/// Rows that are gathered at a time: columns side by side fill the lines of a cache.
const COLUMNS: usize = 16;

/// Runs a kernel over the rows along axis `dim` of operands of one shape.
///
/// # Safety
/// Each operand must have elements of type `dtype` at all places of `shape`, those of `y` writable;
/// different elements of the result must not share memory, and it must not overlap an operand.
pub unsafe fn rows<K: Rows<I>, const I: usize, const N: usize>(
    torch: &Torch,
    kernel: &K,
    dtype: Dtype,
    shape: &[i64],
    dim: usize,
    x: [Place<'_>; I],
    y: Place<'_>,
) -> Res<()> {
    const { assert!(I + 1 == N) };
    // SAFETY: `T` is the type that `dtype` stands for; operands and the result have elements of it at all
    // places of `shape`, and the result, which is writable, overlaps no operand.
    with_number!(dtype, T => unsafe { rows_of::<T, K, I, N>(torch, kernel, shape, dim, x, y) })
}

/// # Safety
/// The promises of [`rows`], where `T` is the type of elements.
unsafe fn rows_of<T: Number, K: Rows<I>, const I: usize, const N: usize>(
    torch: &Torch,
    kernel: &K,
    shape: &[i64],
    dim: usize,
    x: [Place<'_>; I],
    y: Place<'_>,
) -> Res<()> {
    if count(shape) == 0 {
        return Ok(());
    }
    let width = shape[dim] as usize;
    let count = count(shape) / width;
    let strides: [&[i64]; N] =
        std::array::from_fn(|k| if k < I { x[k].strides } else { y.strides });
    let places: [Shared; N] =
        std::array::from_fn(|k| Shared(if k < I { x[k].data } else { y.data }));
    let grain = (ROW_GRAIN / width).max(1);
    // Rows that lie side by side in all operands, as they mostly do, are one piece of memory.
    let last = shape[dim + 1..].iter().all(|&n| n == 1);
    if last && strides.iter().all(|s| in_c_order(shape, s)) {
        return torch.parallel(count, grain, |begin, end| {
            let n = (end - begin) * width;
            let at = |k: usize| places[k].at::<T>((begin * width) as isize);
            // SAFETY: row r of each operand begins `r width` elements behind its first, so the rows
            // `begin..end` are `n` elements side by side; the result's are this thread's.
            unsafe {
                let x = std::array::from_fn(|k| std::slice::from_raw_parts(at(k), n));
                let y = std::slice::from_raw_parts_mut(at(I), n);
                kernel.run::<T>(x, y, width, end - begin);
            }
        });
    }
    let along = strides.map(|s| if width == 1 { 1 } else { s[dim] as isize });
    // The walk over rows goes in the order in which the result lies.
    let mut axes = order(shape, &strides);
    axes.retain(|&a| a != dim);
    let walk = Walk::<N>::new(shape, axes.into_iter(), strides);
    if along.iter().all(|&s| s == 1) {
        return torch.parallel(count, grain, |begin, end| {
            for row in begin..end {
                let mut starts = [0isize; N];
                for (k, start) in starts.iter_mut().enumerate() {
                    walk.runs(k, row, 1, |offset, _, _| *start = offset);
                }
                // SAFETY: elements along an axis of distance 1 lie side by side.
                unsafe {
                    let x = std::array::from_fn(|k| {
                        std::slice::from_raw_parts(places[k].at(starts[k]), width)
                    });
                    let y = std::slice::from_raw_parts_mut(places[I].at(starts[I]), width);
                    kernel.run::<T>(x, y, width, 1);
                }
            }
        });
    }
    let group = COLUMNS.max(2048 / width).min(count);
    let Some(room) = group.checked_mul(width) else {
        return fail(format!("rows of {width} elements do not fit into memory"));
    };
    torch.parallel(count, grain.max(group), |begin, end| {
        let mut buffers: [Vec<T>; I] = std::array::from_fn(|_| vec![T::default(); room]);
        let mut result = vec![T::default(); room];
        let mut starts = vec![0isize; group];
        for first in (begin..end).step_by(group) {
            let m = group.min(end - first);
            let find = |k: usize, starts: &mut [isize]| {
                walk.runs(k, first, m, |offset, done, length| {
                    for (i, start) in starts[done..done + length].iter_mut().enumerate() {
                        *start = offset + i as isize * walk.strides[0][k];
                    }
                });
            };
            for (k, buffer) in buffers.iter_mut().enumerate() {
                find(k, &mut starts);
                for j in 0..width {
                    for (r, start) in starts[..m].iter().enumerate() {
                        let from = places[k].at::<T>(start + j as isize * along[k]);
                        // SAFETY: element j of a row of the operand.
                        buffer[r * width + j] = unsafe { from.read() };
                    }
                }
            }
            let n = m * width;
            kernel.run(buffers.each_ref().map(|b| &b[..n]), &mut result[..n], width, m);
            find(I, &mut starts);
            for j in 0..width {
                for (r, start) in starts[..m].iter().enumerate() {
                    let to = places[I].at::<T>(start + j as isize * along[I]);
                    // SAFETY: element j of a row of the result, which is this thread's alone.
                    unsafe { to.write(result[r * width + j]) };
                }
            }
        }
    })
}
