//! Row-wise functions of n-dimensional arrays.
//!
//! An array in C order is used where it lies, and so is one whose axes lie in another order in
//! memory if rows run along a single axis and there is no mask. Others are copied to C order, so
//! that the bits are those of slices.

use super::{like, memory_order};
use crate::element::Element;
use crate::error::Error;
use crate::exec::Exec;
use crate::rows::{Mask, RowFunction};
use crate::shape::{self, Axes};
use ndarray::{Array, ArrayRef, ArrayView, ArrayViewD, Dimension, IxDyn};
use std::vec::Vec;

impl RowFunction {
    /// [`forward`](Self::forward) for an array of any layout: along `axes` (`1`, `-1`, `&[1, 2]`, or
    /// [`Axes::ALL`]); the result has the memory order of `x`.
    ///
    /// ```
    /// use ndarray::array;
    /// use nonlin::{Axes, Softmax};
    /// let x = array![[0.0f64, 0.0], [5.0, 5.0]];
    /// assert_eq!(Softmax.forward_nd(&x, 1)?, array![[0.5, 0.5], [0.5, 0.5]]);
    /// let flat = array![[2.0f32, 2.0], [2.0, 2.0]];
    /// assert_eq!(Softmax.forward_nd(&flat, Axes::ALL)?, array![[0.25, 0.25], [0.25, 0.25]]);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such axis.
    pub fn forward_nd<'a, T: Element, D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        axes: impl Into<Axes<'a>>,
    ) -> Result<Array<T, D>, Error> {
        self.forward_nd_with(&Exec::new(), x, axes, Mask::new())
    }

    /// [`forward_nd`](Self::forward_nd) with a mask, which is repeated to the shape of `x`, carried
    /// out as `exec` says.
    ///
    /// # Errors
    /// If there is no such axis, or the mask cannot be repeated to the shape of `x`.
    pub fn forward_nd_with<'a, T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
        axes: impl Into<Axes<'a>>,
        mask: Mask<'_, T>,
    ) -> Result<Array<T, D>, Error> {
        let mut y = like(x);
        self.forward_nd_into_with(exec, x, axes, mask, &mut y)?;
        Ok(y)
    }

    /// [`forward_nd`](Self::forward_nd) into `y`.
    ///
    /// # Errors
    /// If the shapes differ, or there is no such axis.
    pub fn forward_nd_into<'a, T: Element, D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        axes: impl Into<Axes<'a>>,
        y: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        self.forward_nd_into_with(&Exec::new(), x, axes, Mask::new(), y)
    }

    /// [`forward_nd_with`](Self::forward_nd_with) into `y`.
    ///
    /// # Errors
    /// If the shapes differ, there is no such axis, or the mask cannot be repeated to the shape of `x`.
    pub fn forward_nd_into_with<'a, T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
        axes: impl Into<Axes<'a>>,
        mask: Mask<'_, T>,
        y: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        shape::same("y", y.shape(), "x", x.shape())?;
        let axes = axes.into();
        if let (Some(x_), Some(y)) = (x.as_slice(), y.as_slice_mut()) {
            return self.forward_with(exec, x_, x.shape(), axes, mask, y);
        }
        let order = memory_order(y.shape(), y.strides());
        if let Some(permuted) = axis_in(&order, axes, x.shape(), &mask)? {
            let x_ = by_memory(x.view(), &order);
            let mut y = y.view_mut().into_dyn().permuted_axes(IxDyn(&order));
            if let (Some(x), Some(y)) = (x_.to_slice(), y.as_slice_mut()) {
                return self.forward_with(exec, x, x_.shape(), permuted, mask, y);
            }
        }
        let x = x.as_standard_layout();
        let from = x.as_slice().expect("an array in standard layout");
        let mut to = vec![T::default(); from.len()];
        self.forward_with(exec, from, x.shape(), axes, mask, &mut to)?;
        assign(y, &to);
        Ok(())
    }

    /// [`forward_nd`](Self::forward_nd), in place.
    ///
    /// # Errors
    /// If there is no such axis.
    pub fn forward_nd_in_place<'a, T: Element, D: Dimension>(
        &self,
        x: &mut ArrayRef<T, D>,
        axes: impl Into<Axes<'a>>,
    ) -> Result<(), Error> {
        self.forward_nd_in_place_with(&Exec::new(), x, axes, Mask::new())
    }

    /// [`forward_nd_with`](Self::forward_nd_with), in place.
    ///
    /// # Errors
    /// If there is no such axis, or the mask cannot be repeated to the shape of `x`.
    pub fn forward_nd_in_place_with<'a, T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &mut ArrayRef<T, D>,
        axes: impl Into<Axes<'a>>,
        mask: Mask<'_, T>,
    ) -> Result<(), Error> {
        let (axes, shape) = (axes.into(), x.shape().to_vec());
        if let Some(x) = x.as_slice_mut() {
            return self.forward_in_place_with(exec, x, &shape, axes, mask);
        }
        let mut copy: Vec<T> = x.iter().copied().collect();
        self.forward_in_place_with(exec, &mut copy, &shape, axes, mask)?;
        assign(x, &copy);
        Ok(())
    }

    /// The gradient of [`forward_nd`](Self::forward_nd) from its result `y`; it has the memory order
    /// of `y`.
    ///
    /// # Errors
    /// If the shapes differ, or there is no such axis.
    pub fn backward_nd<'a, T: Element, D: Dimension>(
        &self,
        y: &ArrayRef<T, D>,
        grad: &ArrayRef<T, D>,
        axes: impl Into<Axes<'a>>,
    ) -> Result<Array<T, D>, Error> {
        self.backward_nd_with(&Exec::new(), y, grad, axes, Mask::new())
    }

    /// The gradient of [`forward_nd_with`](Self::forward_nd_with) with the same mask, carried out as
    /// `exec` says.
    ///
    /// # Errors
    /// If the shapes differ, there is no such axis, or the mask cannot be repeated to the shape of `y`.
    pub fn backward_nd_with<'a, T: Element, D: Dimension>(
        &self,
        exec: &Exec,
        y: &ArrayRef<T, D>,
        grad: &ArrayRef<T, D>,
        axes: impl Into<Axes<'a>>,
        mask: Mask<'_, T>,
    ) -> Result<Array<T, D>, Error> {
        shape::same("grad", grad.shape(), "y", y.shape())?;
        let axes = axes.into();
        let mut dx = like(y);
        let order = memory_order(y.shape(), y.strides());
        if let Some(permuted) = axis_in(&order, axes, y.shape(), &mask)? {
            let (y_, grad_) = (by_memory(y.view(), &order), by_memory(grad.view(), &order));
            let mut dx_ = dx.view_mut().into_dyn().permuted_axes(IxDyn(&order));
            if let (Some(y), Some(g), Some(to)) =
                (y_.to_slice(), grad_.to_slice(), dx_.as_slice_mut())
            {
                self.backward_with(exec, y, g, y_.shape(), permuted, mask, to)?;
                return Ok(dx);
            }
        }
        let (y, grad) = (y.as_standard_layout(), grad.as_standard_layout());
        let slice = "an array in standard layout";
        let (y_, g) = (y.as_slice().expect(slice), grad.as_slice().expect(slice));
        let mut to = vec![T::default(); y_.len()];
        self.backward_with(exec, y_, g, y.shape(), axes, mask, &mut to)?;
        assign(&mut dx, &to);
        Ok(dx)
    }
}

/// Where the axis of rows is among axes in that order. None if there are several, whose elements
/// would come in another order, or a mask, whose axes are in the order of the shape.
fn axis_in<T>(
    order: &[usize],
    axes: Axes<'_>,
    shape: &[usize],
    mask: &Mask<'_, T>,
) -> Result<Option<isize>, Error> {
    let along = axes.of(shape)?;
    let mut found = (0..order.len()).filter(|&i| along[order[i]]);
    let (Some(first), None) = (found.next(), found.next()) else { return Ok(None) };
    Ok(mask.is_empty().then_some(first as isize))
}

/// The array with its axes in that order.
fn by_memory<'v, T, D: Dimension>(v: ArrayView<'v, T, D>, order: &[usize]) -> ArrayViewD<'v, T> {
    v.into_dyn().permuted_axes(IxDyn(order))
}

/// Fills an array with elements in C order.
fn assign<T: Element, D: Dimension>(to: &mut ArrayRef<T, D>, from: &[T]) {
    to.iter_mut().zip(from).for_each(|(v, f)| *v = *f);
}
