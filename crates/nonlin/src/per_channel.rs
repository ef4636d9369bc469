//! Functions with a parameter of their own per channel: PReLU.

#![allow(unsafe_code)]

use crate::channels::Channels;
use crate::element::Element;
use crate::error::Error;
use crate::exec::{Cost, Exec, Shared, same_length};
use crate::fpmode::DefaultMode;
use crate::function::Function;
use crate::kernel::{Call, Each, PerType};
use crate::learnable::{self, Rules};
use crate::level::Level;
use crate::shape;
use crate::values::Parametric;
use alloc::vec::Vec;

impl PerType<Each> {
    /// `y = f(x, w)` for `n` elements, each with its own parameter.
    ///
    /// # Safety
    /// `x` and `w` must be valid for reading `n` elements, `y` for writing them; `y` may be one of
    /// them, but may not overlap one in another way. `level` is available.
    pub(crate) unsafe fn map<T: Element>(
        &self,
        level: Level,
        inputs: [*const T; 2],
        y: *mut T,
        n: usize,
    ) {
        let call = Call::new(&[0.0]);
        match T::pick(self).map {
            // SAFETY: the arrays have `n` elements, and the level is available.
            Some(map) => unsafe { map.get(level)(inputs[0], inputs[1], y, n, &call) },
            // SAFETY: the arrays have `n` elements, the level is available; f32 has the kernel.
            None => unsafe {
                T::through_f32(level, inputs, [y], n, &|x, [y], m| self.map(level, x, y, m));
            },
        }
    }

    /// The gradients by `x` and by the parameter of each of `n` elements, from `x`, parameter and
    /// gradient.
    ///
    /// # Safety
    /// The inputs must be valid for reading `n` elements, the outputs for writing them; an output
    /// may be one of the inputs, but may not overlap one in another way. `level` is available.
    pub(crate) unsafe fn back<T: Element>(
        &self,
        level: Level,
        inputs: [*const T; 3],
        outputs: [*mut T; 2],
        n: usize,
    ) {
        let ([x, w, g], [dx, dw]) = (inputs, outputs);
        match T::pick(self).back {
            // SAFETY: the arrays have `n` elements, and the level is available.
            Some(back) => unsafe { back.get(level)(x, w, g, dx, dw, n, &Call::new(&[0.0])) },
            // SAFETY: the arrays have `n` elements, the level is available; f32 has the kernel.
            None => unsafe {
                T::through_f32(level, inputs, outputs, n, &|x, y, m| self.back(level, x, y, m));
            },
        }
    }
}

/// Shortest run of one channel that gets a call of its own.
const RUN: usize = 64;

/// A function whose parameter has a value for each channel, for arrays of one shape.
///
/// ```
/// use nonlin::Prelu;
/// // Two samples of two channels.
/// let prelu = Prelu.per_channel(&[0.5f32, 0.25], &[2, 2], 1)?;
/// let mut y = [0.0; 4];
/// prelu.forward(&[-1.0, -1.0, 2.0, -2.0], &mut y);
/// assert_eq!(y, [-0.5, -0.25, 2.0, -0.5]);
/// # Ok::<(), nonlin::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct PerChannel<'w, T> {
    kernels: &'static PerType<Each>,
    weight: &'w [T],
    layout: Channels,
    len: usize,
}

impl<T: core::fmt::Debug> core::fmt::Debug for PerChannel<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PerChannel").field("weight", &self.weight).finish_non_exhaustive()
    }
}

impl Function {
    /// This function with a weight for each channel of arrays of that shape in C order, where
    /// channels count along `axis` (usually 1; negative: from the end). One weight is shared by
    /// all. The weight takes the place of the first parameter.
    ///
    /// # Errors
    /// If the function has no parameter per channel (`prelu` has), or the number of weights is
    /// neither 1 nor the length of the axis, or there is no such axis.
    pub fn per_channel<'w, T: Element>(
        &self,
        weight: &'w [T],
        shape: &[usize],
        axis: isize,
    ) -> Result<PerChannel<'w, T>, Error> {
        let kernels =
            self.made.each().ok_or_else(|| Error::NotPerChannel { function: self.made.name() })?;
        let len = shape::size(shape)?;
        let layout = Channels::of(shape, axis, weight.len())?;
        Ok(PerChannel { kernels, weight, layout, len })
    }
}

impl<T: Element> PerChannel<'_, T> {
    /// `y[i] = f(x[i])` with the weight of the channel of element `i`.
    ///
    /// # Panics
    /// If `x` or `y` has not as many elements as the shape.
    #[track_caller]
    pub fn forward(&self, x: &[T], y: &mut [T]) {
        self.forward_with(&Exec::new(), x, y);
    }

    /// [`forward`](Self::forward), carried out as `exec` says.
    ///
    /// # Panics
    /// If `x` or `y` has not as many elements as the shape.
    #[track_caller]
    pub fn forward_with(&self, exec: &Exec, x: &[T], y: &mut [T]) {
        same_length("x", x.len(), "an array of that shape", self.len);
        same_length("y", y.len(), "x", x.len());
        let to = Shared(y.as_mut_ptr());
        let level = exec.current_level();
        per_row(exec, x.len(), &self.layout, self.weight, |i, m, w| {
            let inputs = [x[i..i + m].as_ptr(), w[..m].as_ptr()];
            // SAFETY: the block lies within `x` and `y`, `w` has `m` weights, and `Exec` has no
            // level that is not available.
            unsafe { self.kernels.map(level, inputs, to.at(i), m) }
        });
    }

    /// `dx[i] = grad[i] f'(x[i])`, and in `dweight`, which has the length of the weights, the sum
    /// of `grad` times the derivative by the weight over each channel.
    ///
    /// The sum is taken in f64 in an order that the shape alone determines.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward(&self, x: &[T], grad: &[T], dx: &mut [T], dweight: &mut [T]) {
        self.backward_with(&Exec::new(), x, grad, dx, dweight);
    }

    /// [`backward`](Self::backward), carried out as `exec` says.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_with(&self, exec: &Exec, x: &[T], grad: &[T], dx: &mut [T], dweight: &mut [T]) {
        same_length("dweight", dweight.len(), "weight", self.weight.len());
        same_length("x", x.len(), "an array of that shape", self.len);
        same_length("grad", grad.len(), "x", x.len());
        same_length("dx", dx.len(), "x", x.len());
        if self.weight.len() == self.len {
            return self.backward_single(exec, x, grad, dx, dweight);
        }
        let (rules, layout) = (Rules::Each(self.kernels), &self.layout);
        let of_channel =
            |channel: usize, list: &mut Vec<f64>| list.push(self.weight[channel].to_f64());
        let sums = learnable::backward(exec, layout, 1, &rules, &of_channel, [x, grad], [dx]);
        let _mode = DefaultMode::enter();
        for (d, s) in dweight.iter_mut().zip(sums) {
            *d = T::from_f64(s);
        }
    }

    /// Where each element has a weight of its own, there is nothing to sum.
    fn backward_single(&self, exec: &Exec, x: &[T], grad: &[T], dx: &mut [T], dweight: &mut [T]) {
        let (to, tow) = (Shared(dx.as_mut_ptr()), Shared(dweight.as_mut_ptr()));
        let level = exec.current_level();
        exec.blocks(self.len, Cost::TABLES, |i, m| {
            let inputs = [&x[i..i + m], &self.weight[i..i + m], &grad[i..i + m]];
            let outputs = [to, tow];
            // SAFETY: the block lies within all arrays, and `Exec` has no level that is not available.
            unsafe {
                let outputs = outputs.map(|to| to.at(i));
                self.kernels.back(level, inputs.map(|a| a.as_ptr()), outputs, m);
            }
        });
    }
}

/// Calls `f(start, length, weights)` for blocks of `len` elements.
fn per_row<T: Element>(
    exec: &Exec,
    len: usize,
    c: &Channels,
    weight: &[T],
    f: impl Fn(usize, usize, &[T]) + Sync,
) {
    let of = |i: usize| weight[c.channel(i)];
    if weight.len() == len {
        exec.blocks(len, Cost::TABLES, |i, m| f(i, m, &weight[i..i + m]));
    } else if c.inner >= RUN {
        exec.blocks(len, Cost::TABLES, |i, m| {
            let mut at = i;
            while at < i + m {
                let run = (c.inner - at % c.inner).min(i + m - at).min(RUN * 16);
                let w = [of(at); RUN * 16];
                f(at, run, &w[..run]);
                at += run;
            }
        });
    } else {
        exec.blocks(len, Cost::TABLES, |i, m| {
            let w: Vec<T> = (i..i + m).map(of).collect();
            f(i, m, &w);
        });
    }
}
