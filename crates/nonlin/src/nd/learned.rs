//! Functions whose parameters are learned, on n-dimensional arrays of any memory layout.
//!
//! Sums over channels are taken in C order, so that they do not depend on the memory order.

use super::like;
use crate::element::Element;
use crate::error::Error;
use crate::exec::Exec;
use crate::learnable::{Learnable, LearnableGated};
use crate::shape;
use ndarray::{Array, ArrayRef, Dimension};
use std::{vec, vec::Vec};

/// Calls `f` with the elements of the inputs, all of one shape, in C order, and with room for as many of each
/// output; gives the outputs in the memory order of the first input.
pub(super) fn in_c_order<T: Element, D: Dimension, const I: usize, const O: usize>(
    inputs: [&ArrayRef<T, D>; I],
    f: impl FnOnce([&[T]; I], [&mut [T]; O]),
) -> [Array<T, D>; O] {
    let mut outputs: [Array<T, D>; O] = core::array::from_fn(|_| like(inputs[0]));
    let inputs = inputs.map(|a| a.as_standard_layout());
    let from = inputs.each_ref().map(|a| a.as_slice().expect("an array in C order"));
    if outputs.iter().all(|y| y.is_standard_layout()) {
        f(from, outputs.each_mut().map(|y| y.as_slice_mut().expect("an array in C order")));
        return outputs;
    }
    let mut ordered = outputs.each_ref().map(|y| Array::from_elem(y.raw_dim(), T::default()));
    f(from, ordered.each_mut().map(|y| y.as_slice_mut().expect("an array in C order")));
    for (y, ordered) in outputs.iter_mut().zip(&ordered) {
        y.assign(ordered);
    }
    outputs
}

impl Learnable {
    /// The function with these values, one for each parameter or one for each channel along `axis` (see
    /// [`at`](Self::at)), of an array of any layout; the result has the memory order of `x`.
    ///
    /// ```
    /// use ndarray::array;
    /// let x = array![[-1.0f32, -1.0], [2.0, -2.0]];
    /// let prelu = nonlin::Prelu.learnable()?;
    /// let y = prelu.forward_nd(&x, 1, &[0.5f32, 0.25])?;
    /// assert_eq!(y, array![[-0.5, -0.25], [2.0, -0.5]]);
    /// let (dx, dvalues) = prelu.backward_nd(&x, 1, &[0.5f32, 0.25], &y)?;
    /// assert_eq!(dx, array![[-0.25, -0.0625], [2.0, -0.125]]);
    /// assert_eq!(dvalues, [0.5, 1.25]);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// As of [`at`](Self::at).
    pub fn forward_nd<T: Element, V: Element, D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        axis: isize,
        values: &[V],
    ) -> Result<Array<T, D>, Error> {
        self.forward_nd_with(&Exec::new(), x, axis, values)
    }

    /// [`forward_nd`](Self::forward_nd), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`at`](Self::at).
    pub fn forward_nd_with<T: Element, V: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
        axis: isize,
        values: &[V],
    ) -> Result<Array<T, D>, Error> {
        let f = self.at(values, x.shape(), axis)?;
        let [y] = in_c_order([x], |[x], [y]| f.forward_with(exec, x, y));
        Ok(y)
    }

    /// The gradients of [`forward_nd`](Self::forward_nd): by `x`, in its memory order, and by the values, as
    /// they are laid out.
    ///
    /// # Errors
    /// If the shapes differ, or as of [`at`](Self::at).
    pub fn backward_nd<T: Element, V: Element, D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        axis: isize,
        values: &[V],
        grad: &ArrayRef<T, D>,
    ) -> Result<(Array<T, D>, Vec<V>), Error> {
        self.backward_nd_with(&Exec::new(), x, axis, values, grad)
    }

    /// [`backward_nd`](Self::backward_nd), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`backward_nd`](Self::backward_nd).
    pub fn backward_nd_with<T: Element, V: Element, D: Dimension>(
        &self,
        exec: &Exec,
        x: &ArrayRef<T, D>,
        axis: isize,
        values: &[V],
        grad: &ArrayRef<T, D>,
    ) -> Result<(Array<T, D>, Vec<V>), Error> {
        shape::same("grad", grad.shape(), "x", x.shape())?;
        let f = self.at(values, x.shape(), axis)?;
        let mut dvalues = vec![V::default(); values.len()];
        let [dx] = in_c_order([x, grad], |[x, grad], [dx]| {
            f.backward_with(exec, x, grad, dx, &mut dvalues);
        });
        Ok((dx, dvalues))
    }
}

impl LearnableGated {
    /// The unit with these values, one for each parameter or one for each channel along `axis` (see
    /// [`at`](Self::at)), of arrays of any layout; the result has the memory order of `a`.
    ///
    /// ```
    /// use ndarray::array;
    /// let unit = nonlin::GatedFunction::parse("a * max(b, k * b); k = 0.5")?.learnable()?;
    /// let (a, b) = (array![[2.0f64, 3.0]], array![[-1.0, -1.0]]);
    /// let y = unit.forward_nd(&a, &b, 1, &[0.5, 0.25])?;
    /// assert_eq!(y, array![[-1.0, -0.75]]);
    /// let (da, db, dvalues) = unit.backward_nd(&a, &b, 1, &[0.5, 0.25], &y)?;
    /// assert_eq!((da, db), (array![[0.5, 0.1875]], array![[-1.0, -0.5625]]));
    /// assert_eq!(dvalues, [2.0, 2.25]);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the shapes differ, or as of [`at`](Self::at).
    pub fn forward_nd<T: Element, V: Element, D: Dimension>(
        &self,
        a: &ArrayRef<T, D>,
        b: &ArrayRef<T, D>,
        axis: isize,
        values: &[V],
    ) -> Result<Array<T, D>, Error> {
        self.forward_nd_with(&Exec::new(), a, b, axis, values)
    }

    /// [`forward_nd`](Self::forward_nd), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`forward_nd`](Self::forward_nd).
    pub fn forward_nd_with<T: Element, V: Element, D: Dimension>(
        &self,
        exec: &Exec,
        a: &ArrayRef<T, D>,
        b: &ArrayRef<T, D>,
        axis: isize,
        values: &[V],
    ) -> Result<Array<T, D>, Error> {
        shape::same("b", b.shape(), "a", a.shape())?;
        let f = self.at(values, a.shape(), axis)?;
        let [y] = in_c_order([a, b], |[a, b], [y]| f.forward_with(exec, a, b, y));
        Ok(y)
    }

    /// The gradients of [`forward_nd`](Self::forward_nd): by both operands, in the memory order of `a`, and by
    /// the values, as they are laid out.
    ///
    /// # Errors
    /// As of [`forward_nd`](Self::forward_nd).
    #[allow(clippy::type_complexity, reason = "three gradients")]
    pub fn backward_nd<T: Element, V: Element, D: Dimension>(
        &self,
        a: &ArrayRef<T, D>,
        b: &ArrayRef<T, D>,
        axis: isize,
        values: &[V],
        grad: &ArrayRef<T, D>,
    ) -> Result<(Array<T, D>, Array<T, D>, Vec<V>), Error> {
        self.backward_nd_with(&Exec::new(), a, b, axis, values, grad)
    }

    /// [`backward_nd`](Self::backward_nd), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`forward_nd`](Self::forward_nd).
    #[allow(clippy::type_complexity, reason = "three gradients")]
    pub fn backward_nd_with<T: Element, V: Element, D: Dimension>(
        &self,
        exec: &Exec,
        a: &ArrayRef<T, D>,
        b: &ArrayRef<T, D>,
        axis: isize,
        values: &[V],
        grad: &ArrayRef<T, D>,
    ) -> Result<(Array<T, D>, Array<T, D>, Vec<V>), Error> {
        shape::same("b", b.shape(), "a", a.shape())?;
        shape::same("grad", grad.shape(), "a", a.shape())?;
        let f = self.at(values, a.shape(), axis)?;
        let mut dvalues = vec![V::default(); values.len()];
        let [da, db] = in_c_order([a, b, grad], |[a, b, grad], [da, db]| {
            f.backward_with(exec, a, b, grad, da, db, &mut dvalues);
        });
        Ok((da, db, dvalues))
    }
}
