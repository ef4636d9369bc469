//! Shapes, axes, masks, widths, layouts, strides and lengths, whether they fit or not, through every
//! call that takes them. Every array is as long as it says, so that the sanitizer sees what is touched
//! beside it; and what is computed in another way must have the same bits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn, Slice};
use nonlin::{
    Element, EmptyRow, Exec, Layout, Level, LogSoftmax, Mask, Prelu, RowFunction, Rrelu, Softmax,
    Softmin, bf16, f16, functions, gated_functions,
};
use nonlin_fuzz::{Choices, allowed, install, numbers, same};

/// Documented panics of calls whose arrays must be equally long.
const LENGTHS: &[&str] = &["they must be equal"];
/// And of packed rows.
const PACKED: &[&str] =
    &["they must be equal", "must have an even number", "not a multiple of the row length"];

fuzz_target!(init: install(), |data: &[u8]| {
    let mut c = Choices::new(data);
    match c.byte() % 4 {
        0 => one::<f32>(&mut c),
        1 => one::<f64>(&mut c),
        2 => one::<f16>(&mut c),
        _ => one::<bf16>(&mut c),
    }
});

fn exec(c: &mut Choices<'_>) -> Exec {
    let levels: Vec<Level> = Level::ALL.iter().copied().filter(|l| l.available()).collect();
    let exec = Exec::new().level(c.of(&levels)).expect("an available level");
    match c.byte() % 8 {
        0 => exec.block(1),
        1 => exec.block(usize::MAX),
        2 => exec.block(7).parallel(),
        3 => exec.stream_from(0),
        4 => exec.stream_from(0).parallel(),
        5 => exec.block(0),
        _ => exec,
    }
}

fn one<T: Element>(c: &mut Choices<'_>) {
    let exec = &exec(c);
    match c.byte() % 10 {
        0..=2 => rows::<T>(c, exec),
        3 => rows_back::<T>(c, exec),
        4 => channels::<T>(c, exec),
        5 => packed::<T>(c, exec),
        6 => elementwise::<T>(c, exec),
        7 => training::<T>(c, exec),
        8 => strided::<T>(c, exec),
        _ => strided_channels::<T>(c, exec),
    }
}

fn row_function(c: &mut Choices<'_>) -> RowFunction {
    let all: [&RowFunction; 3] = [&Softmax, &LogSoftmax, &Softmin];
    let f = all[usize::from(c.byte()) % all.len()];
    let f = f.with("scale", c.of(&[1.0, 0.125, -2.0, 1e38, 0.0])).expect("within the bounds");
    f.empty_rows(c.of(&[EmptyRow::Nan, EmptyRow::Zero]))
}

/// None, one or several axes, whether there are such axes or not.
fn axes(c: &mut Choices<'_>) -> Vec<isize> {
    let count = [1, 1, 1, 1, 0, 2, 2, 3][usize::from(c.byte() % 8)];
    (0..count).map(|_| c.axis()).collect()
}

/// Arrays of a mask, whose shapes mostly fit that of the scores.
struct Arrays<T> {
    keep: (Box<[bool]>, Vec<usize>),
    add: (Box<[T]>, Vec<usize>),
    kind: u8,
    offset: isize,
    ends: [usize; 2],
    queries: isize,
}

impl<T: Element> Arrays<T> {
    fn new(c: &mut Choices<'_>, scores: &[usize]) -> Self {
        let own = |c: &mut Choices<'_>| -> Vec<usize> {
            if c.byte() >= 224 {
                return c.shape();
            }
            let first = usize::from(c.byte()) % (scores.len() + 1);
            scores[first..]
                .iter()
                .map(|&n| if c.byte().is_multiple_of(4) { 1 } else { n })
                .collect()
        };
        let (keep, add) = (own(c), own(c));
        let ends = [0, 1, 5, usize::MAX - 1, usize::MAX];
        Arrays {
            keep: ((0..c.elements(&keep)).map(|i| i % 3 != 1).collect(), keep),
            add: (numbers::<T>(c.elements(&add), 3), add),
            kind: c.byte(),
            offset: c.of(&[0, 1, -1, 5, -5, isize::MAX, isize::MIN, isize::MAX - 1]),
            ends: [c.of(&ends), c.of(&ends)],
            queries: c.axis(),
        }
    }

    fn mask(&self) -> Mask<'_, T> {
        let mut mask = Mask::new();
        if self.kind & 1 != 0 {
            mask = mask.keep(&self.keep.0, &self.keep.1);
        }
        if self.kind & 2 != 0 {
            mask = mask.add(&self.add.0, &self.add.1);
        }
        if self.kind & 4 != 0 {
            mask = mask.window(self.offset, self.ends[0], self.ends[1]);
        }
        if self.kind & 8 != 0 { mask.queries(self.queries) } else { mask }
    }
}

fn rows<T: Element>(c: &mut Choices<'_>, exec: &Exec) {
    let f = row_function(c);
    let shape = c.shape();
    let x = numbers::<T>(c.elements(&shape), 1);
    let axes = axes(c);
    let mut y = numbers::<T>(if c.byte() < 240 { x.len() } else { c.elements(&shape) }, 2);
    let arrays = Arrays::<T>::new(c, &shape);
    let mask = arrays.mask();
    let done = allowed(LENGTHS, || f.forward_with(exec, &x, &shape, axes.as_slice(), mask, &mut y));
    if done == Some(Ok(())) {
        let mut again = x.clone();
        f.forward_in_place_with(&plain(exec), &mut again, &shape, axes.as_slice(), mask)
            .expect("the same shape, axes and mask");
        assert!(same(&y, &again), "softmax of {shape:?} along {axes:?}: other bits");
    }
}

/// One thread, blocks of the usual size, the same level.
fn plain(exec: &Exec) -> Exec {
    Exec::new().level(exec.current_level()).expect("an available level")
}

fn rows_back<T: Element>(c: &mut Choices<'_>, exec: &Exec) {
    let f = row_function(c);
    let shape = c.shape();
    let (y, grad) = (numbers::<T>(c.elements(&shape), 1), numbers::<T>(c.elements(&shape), 2));
    let mut dx = numbers::<T>(c.elements(&shape), 3);
    let axes = axes(c);
    let arrays = Arrays::<T>::new(c, &shape);
    let _ = allowed(LENGTHS, || {
        f.backward_with(exec, &y, &grad, &shape, axes.as_slice(), arrays.mask(), &mut dx)
    });
}

fn channels<T: Element>(c: &mut Choices<'_>, exec: &Exec) {
    let shape = c.shape();
    let axis = c.axis();
    let (x, grad) = (numbers::<T>(c.elements(&shape), 1), numbers::<T>(c.elements(&shape), 2));
    let weight = numbers::<T>(count(c, &shape, axis), 3);
    let Ok(f) = Prelu.per_channel(&weight, &shape, axis) else { return };
    let (mut y, mut dx) = (numbers::<T>(x.len(), 4), numbers::<T>(grad.len(), 5));
    let mut dweight = numbers::<T>(if c.byte() < 240 { weight.len() } else { 2 }, 6);
    let lengths: &[&str] = &["they must be equal", "the shape", "elements"];
    if allowed(lengths, || f.forward_with(exec, &x, &mut y)).is_some() {
        let mut again = x.clone();
        f.forward_with(&plain(exec), &x, &mut again);
        assert!(same(&y, &again), "PReLU of {shape:?}: other bits");
    }
    let _ = allowed(lengths, || f.backward_with(exec, &x, &grad, &mut dx, &mut dweight));
}

/// How many weights: one, as many as the axis is long, another number.
fn count(c: &mut Choices<'_>, shape: &[usize], axis: isize) -> usize {
    match c.byte() {
        b if b < 64 => 1,
        b if b < 224 => {
            let index = if axis < 0 { axis.wrapping_add(shape.len() as isize) } else { axis };
            usize::try_from(index).ok().and_then(|i| shape.get(i)).copied().unwrap_or(3) % 1000
        }
        b => usize::from(b % 8),
    }
}

fn packed<T: Element>(c: &mut Choices<'_>, exec: &Exec) {
    let all = gated_functions();
    let f = &all[usize::from(c.byte()) % all.len()];
    let (rows, width) = (c.length(), c.length());
    let x = numbers::<T>(c.elements(&[rows, width]), 1);
    let n = c.elements(&[rows, width / 2]);
    let (mut y, grad) = (numbers::<T>(n, 2), numbers::<T>(n, 3));
    let mut dx = numbers::<T>(if c.byte() < 240 { x.len() } else { 5 }, 4);
    let layout = c.of(&[Layout::Halves, Layout::Interleaved]);
    if allowed(PACKED, || f.forward_packed_with(exec, &x, width, layout, &mut y)).is_some() {
        let mut again = y.clone();
        f.forward_packed_with(&plain(exec), &x, width, layout, &mut again);
        assert!(same(&y, &again), "{f:?} packed in rows of {width}: other bits");
    }
    let _ = allowed(PACKED, || f.backward_packed_with(exec, &x, &grad, width, layout, &mut dx));
    let _ = allowed(LENGTHS, || f.forward_with(exec, &x, &dx, &mut y));
}

fn elementwise<T: Element>(c: &mut Choices<'_>, exec: &Exec) {
    let all = functions();
    let f = &all[usize::from(c.byte()) % all.len()];
    let (rows, width) = (usize::from(c.byte()), 1 + usize::from(c.byte()) % 40);
    let n = c.elements(&[rows, width]);
    let (x, other) = (numbers::<T>(n, c.byte()), c.elements(&[n]));
    let (mut y, grad) = (numbers::<T>(other, 2), numbers::<T>(other, 3));
    let which = c.byte() % 6;
    let done = allowed(LENGTHS, || match which {
        0 => f.forward_with(exec, &x, &mut y),
        1 => f.derivative_with(exec, &x, &mut y),
        2 => f.backward_with(exec, &x, &grad, &mut y),
        3 => f.second_derivative_with(exec, &x, &mut y),
        4 => drop(f.backward_from_output_with(exec, &x, &grad, &mut y)),
        _ => f.forward_in_place_with(exec, &mut y),
    });
    if done.is_some() && which == 0 {
        let mut again = y.clone();
        f.forward_with(&plain(exec), &x, &mut again);
        assert!(same(&y, &again), "{f:?} of {n} elements: other bits");
    }
}

fn training<T: Element>(c: &mut Choices<'_>, exec: &Exec) {
    let offset = c.of(&[0, 1, u64::MAX, u64::MAX - 3, 1 << 63]);
    let f = Rrelu.training(1, offset).expect("RReLU has a training form");
    let n = usize::from(c.byte()) * 7;
    let x = numbers::<T>(n, 1);
    let (mut y, grad) = (numbers::<T>(c.elements(&[n]), 2), numbers::<T>(c.elements(&[n]), 3));
    let _ = allowed(LENGTHS, || f.forward_with(exec, &x, &mut y));
    let _ = allowed(LENGTHS, || f.backward_with(exec, &x, &grad, &mut y));
}

/// An array that is small whatever its shape says, or none.
fn array<T: Element>(c: &mut Choices<'_>) -> Option<ArrayD<T>> {
    let shape: Vec<usize> = c.shape().into_iter().map(|n| n % 40).collect();
    let n: usize = shape.iter().product();
    (n <= 4096).then(|| ArrayD::from_shape_vec(IxDyn(&shape), numbers::<T>(n, 1).into()).ok())?
}

/// A view with axes swapped, steps, and steps back.
fn view<'a, T>(c: &mut Choices<'_>, array: &'a ArrayD<T>) -> ArrayViewD<'a, T> {
    let mut view = array.view();
    if view.ndim() == 0 {
        return view;
    }
    for _ in 0..c.byte() % 4 {
        let (i, j) = (usize::from(c.byte()) % view.ndim(), usize::from(c.byte()) % view.ndim());
        let step = c.of(&[1, 2, 3, -1, -2, 7]);
        view.swap_axes(i, j);
        let first = isize::try_from(view.len_of(Axis(i)) / 3).unwrap_or(0);
        view.slice_axis_inplace(Axis(i), Slice::new(c.of(&[0, first]), None, step));
    }
    view
}

fn strided<T: Element>(c: &mut Choices<'_>, exec: &Exec) {
    let Some(array) = array::<T>(c) else { return };
    let x = view(c, &array);
    let all = functions();
    let f = &all[usize::from(c.byte()) % all.len()];
    let y = f.forward_nd_with(exec, &x);
    assert_eq!(y.shape(), x.shape());
    for (x, v) in x.iter().zip(&y) {
        let mut want = [*x];
        f.forward_in_place_with(&plain(exec), &mut want);
        assert!(same(&[*v], &want), "{f:?} of an array of shape {:?}: other bits", y.shape());
    }
}

fn strided_channels<T: Element>(c: &mut Choices<'_>, exec: &Exec) {
    let Some(array) = array::<T>(c) else { return };
    let x = view(c, &array);
    let axis = c.axis();
    let weight = numbers::<T>(count(c, x.shape(), axis), 3);
    let _ = Prelu.forward_channels_nd_with(exec, &x, axis, &weight);
    let all = gated_functions();
    let f = &all[usize::from(c.byte()) % all.len()];
    let layout = c.of(&[Layout::Halves, Layout::Interleaved]);
    let _ = f.forward_packed_nd_with(exec, &x, axis, layout);
}
