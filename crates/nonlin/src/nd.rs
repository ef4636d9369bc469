//! n-dimensional arrays of any memory layout.
//!
//! Inputs are read where they lie: C or Fortran order, transposed, sliced with steps,
//! reversed, broadcast. Axes that lie in memory as one are joined; where everything is then
//! one run, it is one kernel call. Otherwise runs along the output's densest axis are taken
//! one by one, those with steps by way of a small buffer. The bits are those of slices.
//!
//! Shapes that do not fit are errors: in a program over n-dimensional arrays they
//! come from data, unlike the lengths of slices, whose mistakes panic.

mod learned;
mod rows;

use crate::element::Element;
use crate::error::Error;
use crate::exec::Exec;
use crate::function::Function;
use crate::gated::{GatedFunction, Layout};
use crate::shape;
use core::array;
use learned::in_c_order;
use ndarray::{
    Array, ArrayRef, ArrayViewD, ArrayViewMutD, Axis, Dimension, IxDyn, ShapeBuilder, Slice,
};
use std::{vec, vec::Vec};

/// Elements that are gathered at a time.
const BLOCK: usize = 1024;

/// Runs shorter than this are gathered, several to a call.
const SHORT: usize = 32;

/// N-dimensional arrays of any memory layout.
///
/// An argument is anything that dereferences to [`ArrayRef`]: arrays and views, by reference.
///
/// ```
/// use ndarray::{array, s};
/// use nonlin::Relu;
///
/// let x = array![[-1.0f32, 2.0], [3.0, -4.0]];
/// assert_eq!(Relu.forward_nd(&x.t()), array![[0.0, 3.0], [2.0, 0.0]]);
///
/// let mut y = x.clone();
/// Relu.forward_nd_in_place(&mut y.slice_mut(s![.., 1]));
/// assert_eq!(y, array![[-1.0, 2.0], [3.0, 0.0]]);
/// ```
impl Function {
    /// f of every element; the result has the memory order of `x`.
    pub fn forward_nd<T: Element, D: Dimension>(&self, x: &ArrayRef<T, D>) -> Array<T, D> {
        self.forward_nd_with(&Exec::new(), x)
    }

    /// [`forward_nd`](Self::forward_nd), carried out as `exec` says.
    pub fn forward_nd_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
    ) -> Array<T, D> {
        let mut y = like(x);
        elementwise([x], [&mut y], &|[x], [y]| self.forward_with(exec, x, y));
        y
    }

    /// f of every element of `x` into `y`.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn forward_nd_into<T: Element, D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        y: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        self.forward_nd_into_with(&Exec::new(), x, y)
    }

    /// [`forward_nd_into`](Self::forward_nd_into), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`forward_nd_into`](Self::forward_nd_into).
    pub fn forward_nd_into_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
        y: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        shape::same("y", y.shape(), "x", x.shape())?;
        elementwise([x], [y], &|[x], [y]| self.forward_with(exec, x, y));
        Ok(())
    }

    /// f of every element, in place.
    pub fn forward_nd_in_place<T: Element, D: Dimension>(&self, x: &mut ArrayRef<T, D>) {
        self.forward_nd_in_place_with(&Exec::new(), x)
    }

    /// [`forward_nd_in_place`](Self::forward_nd_in_place), carried out as `exec` says.
    pub fn forward_nd_in_place_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &mut ArrayRef<T, D>,
    ) {
        in_place(x, &|x| self.forward_in_place_with(exec, x));
    }

    /// f′ of every element; the result has the memory order of `x`.
    ///
    /// ```
    /// use nonlin::Tanh;
    /// assert_eq!(Tanh.derivative_nd(&ndarray::arr0(0.0f32)), ndarray::arr0(1.0));
    /// ```
    pub fn derivative_nd<T: Element, D: Dimension>(&self, x: &ArrayRef<T, D>) -> Array<T, D> {
        self.derivative_nd_with(&Exec::new(), x)
    }

    /// [`derivative_nd`](Self::derivative_nd), carried out as `exec` says.
    pub fn derivative_nd_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
    ) -> Array<T, D> {
        let mut dy = like(x);
        elementwise([x], [&mut dy], &|[x], [dy]| self.derivative_with(exec, x, dy));
        dy
    }

    /// f′ of every element of `x` into `dy`.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn derivative_nd_into<T: Element, D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        dy: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        self.derivative_nd_into_with(&Exec::new(), x, dy)
    }

    /// [`derivative_nd_into`](Self::derivative_nd_into), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`derivative_nd_into`](Self::derivative_nd_into).
    pub fn derivative_nd_into_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
        dy: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        shape::same("dy", dy.shape(), "x", x.shape())?;
        elementwise([x], [dy], &|[x], [dy]| self.derivative_with(exec, x, dy));
        Ok(())
    }

    /// f′ of every element, in place.
    pub fn derivative_nd_in_place<T: Element, D: Dimension>(&self, x: &mut ArrayRef<T, D>) {
        self.derivative_nd_in_place_with(&Exec::new(), x)
    }

    /// [`derivative_nd_in_place`](Self::derivative_nd_in_place), carried out as `exec` says.
    pub fn derivative_nd_in_place_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &mut ArrayRef<T, D>,
    ) {
        in_place(x, &|x| self.derivative_in_place_with(exec, x));
    }

    /// f″ of every element; the result has the memory order of `x`.
    pub fn second_derivative_nd<T: Element, D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
    ) -> Array<T, D> {
        self.second_derivative_nd_with(&Exec::new(), x)
    }

    /// [`second_derivative_nd`](Self::second_derivative_nd), carried out as `exec` says.
    pub fn second_derivative_nd_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
    ) -> Array<T, D> {
        let mut d2y = like(x);
        elementwise([x], [&mut d2y], &|[x], [d2y]| self.second_derivative_with(exec, x, d2y));
        d2y
    }

    /// f″ of every element of `x` into `d2y`.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn second_derivative_nd_into<T: Element, D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        d2y: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        self.second_derivative_nd_into_with(&Exec::new(), x, d2y)
    }

    /// [`second_derivative_nd_into`](Self::second_derivative_nd_into), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`second_derivative_nd_into`](Self::second_derivative_nd_into).
    pub fn second_derivative_nd_into_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
        d2y: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        shape::same("d2y", d2y.shape(), "x", x.shape())?;
        elementwise([x], [d2y], &|[x], [d2y]| self.second_derivative_with(exec, x, d2y));
        Ok(())
    }

    /// f″ of every element, in place.
    pub fn second_derivative_nd_in_place<T: Element, D: Dimension>(&self, x: &mut ArrayRef<T, D>) {
        self.second_derivative_nd_in_place_with(&Exec::new(), x)
    }

    /// [`second_derivative_nd_in_place`](Self::second_derivative_nd_in_place), carried out as `exec` says.
    pub fn second_derivative_nd_in_place_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &mut ArrayRef<T, D>,
    ) {
        in_place(x, &|x| self.second_derivative_in_place_with(exec, x));
    }

    /// `grad f'(x)` for every element; the result has the memory order of `x`.
    ///
    /// ```
    /// use ndarray::array;
    /// use nonlin::Relu;
    /// let dx = Relu.backward_nd(&array![-1.0f32, 1.0], &array![5.0, 7.0])?;
    /// assert_eq!(dx, array![0.0, 7.0]);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn backward_nd<T: Element, D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        grad: &ArrayRef<T, D>,
    ) -> Result<Array<T, D>, Error> {
        self.backward_nd_with(&Exec::new(), x, grad)
    }

    /// [`backward_nd`](Self::backward_nd), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`backward_nd`](Self::backward_nd).
    pub fn backward_nd_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
        grad: &ArrayRef<T, D>,
    ) -> Result<Array<T, D>, Error> {
        let mut dx = like(x);
        self.backward_nd_into_with(exec, x, grad, &mut dx)?;
        Ok(dx)
    }

    /// `grad f'(x)` for every element, into `dx`.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn backward_nd_into<T: Element, D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        grad: &ArrayRef<T, D>,
        dx: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        self.backward_nd_into_with(&Exec::new(), x, grad, dx)
    }

    /// [`backward_nd_into`](Self::backward_nd_into), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`backward_nd_into`](Self::backward_nd_into).
    pub fn backward_nd_into_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
        grad: &ArrayRef<T, D>,
        dx: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        shape::same("grad", grad.shape(), "x", x.shape())?;
        shape::same("dx", dx.shape(), "x", x.shape())?;
        elementwise([x, grad], [dx], &|[x, grad], [dx]| self.backward_with(exec, x, grad, dx));
        Ok(())
    }

    /// `grad f'(x)` from the saved output y = f(x), for every element; the result has the memory
    /// order of `y`. See [`Function::backward_from_output`].
    ///
    /// ```
    /// use ndarray::array;
    /// use nonlin::Tanh;
    /// let dx = Tanh.backward_from_output_nd(&array![0.0f32, 0.5], &array![5.0, 4.0])?;
    /// assert_eq!(dx, array![5.0, 3.0]);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the shapes differ, or the function has no such form, or a parameter forbids it.
    pub fn backward_from_output_nd<T: Element, D: Dimension>(
        &self,
        y: &ArrayRef<T, D>,
        grad: &ArrayRef<T, D>,
    ) -> Result<Array<T, D>, Error> {
        self.backward_from_output_nd_with(&Exec::new(), y, grad)
    }

    /// [`backward_from_output_nd`](Self::backward_from_output_nd), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`backward_from_output_nd`](Self::backward_from_output_nd).
    pub fn backward_from_output_nd_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        y: &ArrayRef<T, D>,
        grad: &ArrayRef<T, D>,
    ) -> Result<Array<T, D>, Error> {
        let mut dx = like(y);
        self.backward_from_output_nd_into_with(exec, y, grad, &mut dx)?;
        Ok(dx)
    }

    /// `grad f'(x)` from the saved output y = f(x), for every element, into `dx`.
    ///
    /// # Errors
    /// As of [`backward_from_output_nd`](Self::backward_from_output_nd).
    pub fn backward_from_output_nd_into<T: Element, D: Dimension>(
        &self,
        y: &ArrayRef<T, D>,
        grad: &ArrayRef<T, D>,
        dx: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        self.backward_from_output_nd_into_with(&Exec::new(), y, grad, dx)
    }

    /// [`backward_from_output_nd_into`](Self::backward_from_output_nd_into), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`backward_from_output_nd_into`](Self::backward_from_output_nd_into).
    pub fn backward_from_output_nd_into_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        y: &ArrayRef<T, D>,
        grad: &ArrayRef<T, D>,
        dx: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        shape::same("grad", grad.shape(), "y", y.shape())?;
        shape::same("dx", dx.shape(), "y", y.shape())?;
        self.check_from_output()?;
        elementwise([y, grad], [dx], &|[y, grad], [dx]| {
            self.backward_from_output_with(exec, y, grad, dx).expect("checked above");
        });
        Ok(())
    }
}

/// The axis that `axis` names, counted from the end if it is negative.
fn axis_of(shape: &[usize], axis: isize) -> Result<Axis, Error> {
    shape::axis(axis, shape).map(Axis)
}

/// The axes from the widest stride to the narrowest; axes of one element or repeated first.
fn memory_order(shape: &[usize], strides: &[isize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..shape.len()).collect();
    let outer = |a: usize| shape[a] <= 1 || strides[a] == 0;
    order.sort_by_key(|&a| {
        core::cmp::Reverse(if outer(a) { usize::MAX } else { strides[a].unsigned_abs() })
    });
    order
}

/// An array of zeros of the shape of `x`, without gaps, its axes in the same order in memory.
fn like<T: Element, D: Dimension>(x: &ArrayRef<T, D>) -> Array<T, D> {
    let mut strides = x.raw_dim();
    let mut step = 1;
    for a in memory_order(x.shape(), x.strides()).into_iter().rev() {
        strides[a] = step;
        step *= x.shape()[a];
    }
    if x.is_empty() {
        return Array::from_elem(x.raw_dim(), T::default());
    }
    let mut out = Array::from_shape_vec(x.raw_dim().strides(strides), vec![T::default(); x.len()])
        .expect("strides without gaps or overlap");
    // Reversed axes stay reversed, so that both arrays can be walked in one run.
    for a in 0..x.ndim() {
        if x.shape()[a] > 1 && x.strides()[a] < 0 {
            out.invert_axis(Axis(a));
        }
    }
    out
}

/// What `walk` calls with runs of inputs and outputs.
type Job<'f, T, const I: usize, const O: usize> = &'f dyn Fn([&[T]; I], [&mut [T]; O]);

fn elementwise<T: Element, D: Dimension, const I: usize, const O: usize>(
    inputs: [&ArrayRef<T, D>; I],
    outputs: [&mut ArrayRef<T, D>; O],
    job: Job<'_, T, I, O>,
) {
    walk(inputs.map(|v| v.view().into_dyn()), outputs.map(|v| v.view_mut().into_dyn()), false, job);
}

fn in_place<T: Element, D: Dimension>(x: &mut ArrayRef<T, D>, job: &dyn Fn(&mut [T])) {
    walk([], [x.view_mut().into_dyn()], true, &|[], [x]| job(x));
}

/// Calls `job` for runs that together are all elements of arrays of one shape.
///
/// `update`: the outputs are read, too.
fn walk<T: Element, const I: usize, const O: usize>(
    mut inputs: [ArrayViewD<'_, T>; I],
    mut outputs: [ArrayViewMutD<'_, T>; O],
    update: bool,
    job: Job<'_, T, I, O>,
) {
    let shape = outputs[0].shape().to_vec();
    if shape.contains(&0) {
        return;
    }
    let rank = shape.len();
    if rank == 0 {
        return gather(
            inputs.each_ref().map(|v| v.iter()),
            outputs.each_mut().map(|v| v.iter_mut()),
            update,
            job,
        );
    }

    // Forwards along every axis where all of them go backwards, where that is the output's direction.
    for a in (0..rank).map(Axis) {
        if outputs[0].strides()[a.0] < 0 {
            inputs.iter_mut().for_each(|v| v.invert_axis(a));
            outputs.iter_mut().for_each(|v| v.invert_axis(a));
        }
    }
    // The axes as they lie in memory; the last one takes in what goes on where it ends.
    let order = memory_order(&shape, outputs[0].strides());
    let mut inputs = inputs.map(|v| v.permuted_axes(IxDyn(&order)));
    let mut outputs = outputs.map(|v| v.permuted_axes(IxDyn(&order)));
    let last = Axis(rank - 1);
    for a in (0..rank - 1).rev().map(Axis) {
        let joins = |shape: &[usize], strides: &[isize]| {
            shape[a.0] == 1
                || strides[a.0] == strides[last.0] * shape[last.0] as isize
                || shape[last.0] == 1
        };
        if inputs.iter().all(|v| joins(v.shape(), v.strides()))
            && outputs.iter().all(|v| joins(v.shape(), v.strides()))
        {
            inputs.iter_mut().for_each(|v| assert!(v.merge_axes(a, last)));
            outputs.iter_mut().for_each(|v| assert!(v.merge_axes(a, last)));
        }
    }

    let n = outputs[0].shape()[last.0];
    if n < SHORT {
        return gather(
            inputs.each_ref().map(|v| v.iter()),
            outputs.each_mut().map(|v| v.iter_mut()),
            update,
            job,
        );
    }
    let runs = outputs[0].len() / n;
    // A run without steps is used where it lies, however long it is; others by way of a buffer.
    let steps = |stride: &[isize]| stride[stride.len() - 1] != 1;
    let buffer =
        |stride: &[isize]| vec![T::default(); if steps(stride) { BLOCK.min(n) } else { 0 }];
    let mut read = inputs.each_ref().map(|v| buffer(v.strides()));
    let mut write = outputs.each_ref().map(|v| buffer(v.strides()));
    let size = if read.iter().chain(&write).all(|b| b.is_empty()) { n } else { BLOCK };
    let mut from = inputs.each_ref().map(|v| v.lanes(last).into_iter());
    let mut to = outputs.each_mut().map(|v| v.lanes_mut(last).into_iter());
    for _ in 0..runs {
        let from = from.each_mut().map(|v| v.next().expect("as many runs in each array"));
        let mut to = to.each_mut().map(|v| v.next().expect("as many runs in each array"));
        for start in (0..n).step_by(size) {
            let part = start..n.min(start + size);
            let m = part.len();
            let slice = Slice::from(part.clone());
            for (v, buffer) in from.iter().zip(&mut read).filter(|(v, _)| steps(v.strides())) {
                copy(v.slice_axis(Axis(0), slice).iter(), buffer);
            }
            for (v, buffer) in
                to.iter().zip(&mut write).filter(|(v, _)| update && steps(v.strides()))
            {
                copy(v.slice_axis(Axis(0), slice).iter(), buffer);
            }
            let inputs = array::from_fn(|k| match from[k].to_slice() {
                Some(v) => &v[part.clone()],
                None => &read[k][..m],
            });
            let mut pairs = to.iter_mut().zip(&mut write);
            job(
                inputs,
                array::from_fn(|_| match pairs.next().expect("a buffer for each output") {
                    (v, buffer) if steps(v.strides()) => &mut buffer[..m],
                    (v, _) => &mut v.as_slice_mut().expect("a run without steps")[part.clone()],
                }),
            );
            for (v, buffer) in to.iter_mut().zip(&write).filter(|(v, _)| steps(v.strides())) {
                v.slice_axis_mut(Axis(0), slice).iter_mut().zip(buffer).for_each(|(v, b)| *v = *b);
            }
        }
    }
}

fn copy<'a, T: Element>(from: impl Iterator<Item = &'a T>, to: &mut [T]) {
    to.iter_mut().zip(from).for_each(|(b, v)| *b = *v);
}

/// Calls `job` with buffers that are filled from `inputs` and emptied to `outputs`.
fn gather<'a, T: Element, const I: usize, const O: usize>(
    mut inputs: [impl Iterator<Item = &'a T>; I],
    mut outputs: [impl ExactSizeIterator<Item = &'a mut T>; O],
    update: bool,
    job: Job<'_, T, I, O>,
) {
    let total = outputs[0].len();
    let size = BLOCK.min(total);
    let mut from = [(); I].map(|()| vec![T::default(); size]);
    let mut to = [(); O].map(|()| vec![T::default(); size]);
    let mut places = [(); O].map(|()| Vec::with_capacity(size));
    let mut left = total;
    while left > 0 {
        let m = size.min(left);
        for (buffer, it) in from.iter_mut().zip(&mut inputs) {
            buffer.iter_mut().zip(it.by_ref()).for_each(|(b, v)| *b = *v);
        }
        for ((buffer, places), it) in to.iter_mut().zip(&mut places).zip(&mut outputs) {
            places.extend(it.by_ref().take(m));
            if update {
                buffer.iter_mut().zip(places.iter()).for_each(|(b, v)| *b = **v);
            }
        }
        job(from.each_ref().map(|b| &b[..m]), to.each_mut().map(|b| &mut b[..m]));
        for (buffer, places) in to.iter().zip(&mut places) {
            places.drain(..).zip(buffer).for_each(|(v, b)| *v = *b);
        }
        left -= m;
    }
}

impl GatedFunction {
    /// `f(a, b)` for every pair of elements; the result has the memory order of `a`.
    ///
    /// ```
    /// use ndarray::array;
    /// let reglu = nonlin::gated("reglu")?; // max(a, 0) b
    /// assert_eq!(reglu.forward_nd(&array![2.0f32, -2.0], &array![3.0, 3.0])?, array![6.0, 0.0]);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn forward_nd<T: Element, D: Dimension>(
        &self,
        a: &ArrayRef<T, D>,
        b: &ArrayRef<T, D>,
    ) -> Result<Array<T, D>, Error> {
        self.forward_nd_with(&Exec::new(), a, b)
    }

    /// [`forward_nd`](Self::forward_nd), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`forward_nd`](Self::forward_nd).
    pub fn forward_nd_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        a: &ArrayRef<T, D>,
        b: &ArrayRef<T, D>,
    ) -> Result<Array<T, D>, Error> {
        let mut y = like(a);
        self.forward_nd_into_with(exec, a, b, &mut y)?;
        Ok(y)
    }

    /// `f(a, b)` for every pair of elements, into `y`.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn forward_nd_into<T: Element, D: Dimension>(
        &self,
        a: &ArrayRef<T, D>,
        b: &ArrayRef<T, D>,
        y: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        self.forward_nd_into_with(&Exec::new(), a, b, y)
    }

    /// [`forward_nd_into`](Self::forward_nd_into), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`forward_nd_into`](Self::forward_nd_into).
    pub fn forward_nd_into_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        a: &ArrayRef<T, D>,
        b: &ArrayRef<T, D>,
        y: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        shape::same("b", b.shape(), "a", a.shape())?;
        shape::same("y", y.shape(), "a", a.shape())?;
        elementwise([a, b], [y], &|[a, b], [y]| self.forward_with(exec, a, b, y));
        Ok(())
    }

    /// The gradients by `a` and by `b`, in their memory orders.
    ///
    /// # Errors
    /// If the shapes differ.
    #[allow(clippy::type_complexity)]
    pub fn backward_nd<T: Element, D: Dimension>(
        &self,
        a: &ArrayRef<T, D>,
        b: &ArrayRef<T, D>,
        grad: &ArrayRef<T, D>,
    ) -> Result<(Array<T, D>, Array<T, D>), Error> {
        self.backward_nd_with(&Exec::new(), a, b, grad)
    }

    /// [`backward_nd`](Self::backward_nd), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`backward_nd`](Self::backward_nd).
    #[allow(clippy::type_complexity)]
    pub fn backward_nd_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        a: &ArrayRef<T, D>,
        b: &ArrayRef<T, D>,
        grad: &ArrayRef<T, D>,
    ) -> Result<(Array<T, D>, Array<T, D>), Error> {
        shape::same("b", b.shape(), "a", a.shape())?;
        shape::same("grad", grad.shape(), "a", a.shape())?;
        let (mut da, mut db) = (like(a), like(b));
        elementwise([a, b, grad], [&mut da, &mut db], &|[a, b, g], [da, db]| {
            self.backward_with(exec, a, b, g, da, db)
        });
        Ok((da, db))
    }

    /// `f` of both operands packed along `axis` of one array; the result is half as long there.
    ///
    /// ```
    /// use ndarray::array;
    /// use nonlin::Layout;
    /// let bilinear = nonlin::gated("bilinear")?; // a b
    /// let x = array![[1.0f32, 2.0, 3.0, 4.0]];
    /// assert_eq!(bilinear.forward_packed_nd(&x, -1, Layout::Halves)?, array![[3.0, 8.0]]);
    /// assert_eq!(bilinear.forward_packed_nd(&x, -1, Layout::Interleaved)?, array![[2.0, 12.0]]);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such axis, or its length is odd.
    pub fn forward_packed_nd<T: Element, D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        axis: isize,
        layout: Layout,
    ) -> Result<Array<T, D>, Error> {
        self.forward_packed_nd_with(&Exec::new(), x, axis, layout)
    }

    /// [`forward_packed_nd`](Self::forward_packed_nd), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`forward_packed_nd`](Self::forward_packed_nd).
    pub fn forward_packed_nd_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
        axis: isize,
        layout: Layout,
    ) -> Result<Array<T, D>, Error> {
        let axis = packed_axis(x.shape(), axis)?;
        let [first, second] = parts(x.shape()[axis.0], layout);
        self.forward_nd_with(exec, &x.slice_axis(axis, first), &x.slice_axis(axis, second))
    }

    /// The gradient of [`forward_packed_nd`](Self::forward_packed_nd), packed like `x`.
    ///
    /// # Errors
    /// If there is no such axis, its length is odd, or the shape of `grad` does not fit.
    pub fn backward_packed_nd<T: Element, D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        grad: &ArrayRef<T, D>,
        axis: isize,
        layout: Layout,
    ) -> Result<Array<T, D>, Error> {
        self.backward_packed_nd_with(&Exec::new(), x, grad, axis, layout)
    }

    /// [`backward_packed_nd`](Self::backward_packed_nd), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`backward_packed_nd`](Self::backward_packed_nd).
    pub fn backward_packed_nd_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
        grad: &ArrayRef<T, D>,
        axis: isize,
        layout: Layout,
    ) -> Result<Array<T, D>, Error> {
        let axis = packed_axis(x.shape(), axis)?;
        let [first, second] = parts(x.shape()[axis.0], layout);
        let (da, db) = self.backward_nd_with(
            exec,
            &x.slice_axis(axis, first),
            &x.slice_axis(axis, second),
            grad,
        )?;
        let mut dx = like(x);
        dx.slice_axis_mut(axis, first).assign(&da);
        dx.slice_axis_mut(axis, second).assign(&db);
        Ok(dx)
    }
}

fn packed_axis(shape: &[usize], axis: isize) -> Result<Axis, Error> {
    let a = axis_of(shape, axis)?;
    if shape[a.0].is_multiple_of(2) {
        return Ok(a);
    }
    Err(Error::AxisOdd { axis, shape: shape.into() })
}

/// Where both operands lie along an axis of `n` elements.
fn parts(n: usize, layout: Layout) -> [Slice; 2] {
    let half = (n / 2) as isize;
    match layout {
        Layout::Halves => [Slice::new(0, Some(half), 1), Slice::new(half, None, 1)],
        Layout::Interleaved if n == 0 => [Slice::new(0, None, 1), Slice::new(0, None, 1)],
        Layout::Interleaved => [Slice::new(0, None, 2), Slice::new(1, None, 2)],
    }
}

impl Function {
    /// This function with a weight for each channel along `axis`, for an array of any layout; the
    /// result has the memory order of `x`. See [`Function::per_channel`].
    ///
    /// ```
    /// use ndarray::array;
    /// let x = array![[-1.0f32, -1.0], [2.0, -2.0]];
    /// let y = nonlin::Prelu.forward_channels_nd(&x, 1, &[0.5, 0.25])?;
    /// assert_eq!(y, array![[-0.5, -0.25], [2.0, -0.5]]);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the function has no parameter per channel, or the number of weights is neither 1 nor the
    /// length of `axis`.
    pub fn forward_channels_nd<T: Element, D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        axis: isize,
        weight: &[T],
    ) -> Result<Array<T, D>, Error> {
        self.forward_channels_nd_with(&Exec::new(), x, axis, weight)
    }

    /// [`forward_channels_nd`](Self::forward_channels_nd), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`forward_channels_nd`](Self::forward_channels_nd).
    pub fn forward_channels_nd_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
        axis: isize,
        weight: &[T],
    ) -> Result<Array<T, D>, Error> {
        let whole = self.per_channel(weight, x.shape(), axis)?;
        let mut y = like(x);
        if let (Some(from), Some(to)) = (x.as_slice(), y.as_slice_mut()) {
            whole.forward_with(exec, from, to);
            return Ok(y);
        }
        let weights = spread(x.shape(), axis, weight)?;
        walk(
            [x.view().into_dyn(), repeat(&weights, x.shape())],
            [y.view_mut().into_dyn()],
            false,
            &|[x, w], [y]| {
                let each = self.per_channel(w, &[w.len()], 0).expect("a weight for each element");
                each.forward_with(exec, x, y);
            },
        );
        Ok(y)
    }

    /// The gradients of [`forward_channels_nd`](Self::forward_channels_nd) by `x`, in its memory
    /// order, and by the weights.
    ///
    /// # Errors
    /// If the shapes differ, or as of [`forward_channels_nd`](Self::forward_channels_nd).
    pub fn backward_channels_nd<T: Element, D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        axis: isize,
        weight: &[T],
        grad: &ArrayRef<T, D>,
    ) -> Result<(Array<T, D>, Vec<T>), Error> {
        self.backward_channels_nd_with(&Exec::new(), x, axis, weight, grad)
    }

    /// [`backward_channels_nd`](Self::backward_channels_nd), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`backward_channels_nd`](Self::backward_channels_nd).
    pub fn backward_channels_nd_with<T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
        axis: isize,
        weight: &[T],
        grad: &ArrayRef<T, D>,
    ) -> Result<(Array<T, D>, Vec<T>), Error> {
        shape::same("grad", grad.shape(), "x", x.shape())?;
        let whole = self.per_channel(weight, x.shape(), axis)?;
        let mut dweight = vec![T::default(); weight.len()];
        let [dx] = in_c_order([x, grad], |[x, grad], [dx]| {
            whole.backward_with(exec, x, grad, dx, &mut dweight);
        });
        Ok((dx, dweight))
    }
}

/// The weights along `axis`; all other axes have one element.
fn spread<'w, T: Element>(
    shape: &[usize],
    axis: isize,
    weight: &'w [T],
) -> Result<ArrayViewD<'w, T>, Error> {
    let mut flat = vec![1; shape.len()];
    if weight.len() != 1 {
        let a = axis_of(shape, axis)?;
        if shape[a.0] != weight.len() {
            let (channels, slopes) = (shape[a.0], weight.len());
            return Err(Error::Channels { axis, shape: shape.into(), channels, values: slopes });
        }
        flat[a.0] = weight.len();
    }
    Ok(ArrayViewD::from_shape(IxDyn(&flat), weight).expect("one axis of that length"))
}

fn repeat<'v, T>(weights: &'v ArrayViewD<'_, T>, shape: &[usize]) -> ArrayViewD<'v, T> {
    weights.broadcast(IxDyn(shape)).expect("axes of one element can be repeated")
}
