//! What an elementwise function computes on slices.

#![allow(unsafe_code)]

use crate::element::Element;
use crate::entry::Made;
use crate::error::Error;
use crate::exec::{Cost, Exec, Shared, same_length};
use crate::function::Function;
use crate::kernel::Call;
use crate::level::Level;
use core::mem::MaybeUninit;

/// [`Made::back`] or [`Made::back_from_output`].
type BackKernel<T> = unsafe fn(&Made, Level, &Call<'_>, *const T, Option<*const T>, *mut T, usize);

impl Function {
    /// `y = f(x)`.
    ///
    /// # Safety
    /// `x` must be valid for reading `n` elements, `y` for writing them; they are one array or do
    /// not overlap.
    #[inline]
    unsafe fn map<T: Element>(&self, exec: &Exec, x: *const T, y: *mut T, n: usize) {
        let non_temporal = exec.streams::<T>(n, self.made.cheap()) && !core::ptr::eq(x, y);
        let call = Call { non_temporal, ..Call::new(self.values()) };
        let (x, y) = (Shared(x.cast_mut()), Shared(y));
        let level = exec.current_level();
        exec.lines(y.0, n, non_temporal, self.made.cost::<T>(), |i, m| {
            // SAFETY: a block lies within the `n` elements of both arrays, and `Exec` has no level
            // that is not available.
            unsafe { self.made.map(level, &call, x.at(i).cast_const(), y.at(i), m) }
        });
    }

    /// `dx = g f'(x)`, or a gradient of ones without `g`. `x` is the output for
    /// [`Made::back_from_output`].
    ///
    /// # Safety
    /// `x` and `g` must be valid for reading `n` elements, `dx` for writing them; `dx` may be one
    /// of them, but may not overlap one in another way.
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "pointers, not slices: inputs may be outputs")]
    unsafe fn back<T: Element>(
        &self,
        exec: &Exec,
        kernel: BackKernel<T>,
        x: *const T,
        g: Option<*const T>,
        dx: *mut T,
        n: usize,
    ) {
        let apart = !core::ptr::eq(x, dx) && g.is_none_or(|g| !core::ptr::eq(g, dx));
        let non_temporal = exec.streams::<T>(n, self.made.cheap()) && apart;
        let call = Call { non_temporal, ..Call::new(self.values()) };
        let (x, dx) = (Shared(x.cast_mut()), Shared(dx));
        let g = g.map(|g| Shared(g.cast_mut()));
        let level = exec.current_level();
        exec.lines(dx.0, n, non_temporal, self.made.cost::<T>(), |i, m| {
            // SAFETY: a block lies within the `n` elements of all arrays, and `Exec` has no level
            // that is not available.
            unsafe {
                let g = g.map(|g| g.at(i).cast_const());
                kernel(&self.made, level, &call, x.at(i).cast_const(), g, dx.at(i), m);
            }
        });
    }

    /// `y[i] = f(x[i])`.
    ///
    /// ```
    /// let x = [-1.0f32, 0.0, 1.0];
    /// let mut y = [0.0; 3];
    /// nonlin::Gelu.forward(&x, &mut y);
    /// assert_eq!(y, [-0.15865526, 0.0, 0.8413447]);
    /// ```
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    #[track_caller]
    pub fn forward<T: Element>(&self, x: &[T], y: &mut [T]) {
        self.forward_with(&Exec::new(), x, y);
    }

    /// `y[i] = f(x[i])`, carried out as `exec` says.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    #[track_caller]
    pub fn forward_with<T: Element>(&self, exec: &Exec, x: &[T], y: &mut [T]) {
        same_length("x", x.len(), "y", y.len());
        // SAFETY: both slices have `x.len()` elements, and `y` is borrowed mutably.
        unsafe { self.map(exec, x.as_ptr(), y.as_mut_ptr(), x.len()) }
    }

    /// `x[i] = f(x[i])`.
    #[inline]
    pub fn forward_in_place<T: Element>(&self, x: &mut [T]) {
        self.forward_in_place_with(&Exec::new(), x);
    }

    /// `x[i] = f(x[i])`, carried out as `exec` says.
    #[inline]
    pub fn forward_in_place_with<T: Element>(&self, exec: &Exec, x: &mut [T]) {
        let p = x.as_mut_ptr();
        // SAFETY: input and output are one slice of `x.len()` elements.
        unsafe { self.map(exec, p, p, x.len()) }
    }

    /// `y[i] = f(x[i])` into memory that need not be initialised; returns it initialised.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn forward_uninit<'y, T: Element>(
        &self,
        x: &[T],
        y: &'y mut [MaybeUninit<T>],
    ) -> &'y mut [T] {
        self.forward_uninit_with(&Exec::new(), x, y)
    }

    /// `y[i] = f(x[i])` into memory that need not be initialised, carried out as `exec` says;
    /// returns it initialised.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn forward_uninit_with<'y, T: Element>(
        &self,
        exec: &Exec,
        x: &[T],
        y: &'y mut [MaybeUninit<T>],
    ) -> &'y mut [T] {
        same_length("x", x.len(), "y", y.len());
        // SAFETY: both slices have `x.len()` elements; `map` writes every element of `y`.
        unsafe {
            self.map(exec, x.as_ptr(), y.as_mut_ptr().cast(), x.len());
            core::slice::from_raw_parts_mut(y.as_mut_ptr().cast(), y.len())
        }
    }

    /// `dy[i] = f'(x[i])`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn derivative<T: Element>(&self, x: &[T], dy: &mut [T]) {
        self.derivative_with(&Exec::new(), x, dy);
    }

    /// `dy[i] = f'(x[i])`, carried out as `exec` says.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn derivative_with<T: Element>(&self, exec: &Exec, x: &[T], dy: &mut [T]) {
        same_length("x", x.len(), "dy", dy.len());
        // SAFETY: both slices have `x.len()` elements, and `dy` is borrowed mutably.
        unsafe { self.back(exec, Made::back, x.as_ptr(), None, dy.as_mut_ptr(), x.len()) }
    }

    /// `x[i] = f'(x[i])`.
    pub fn derivative_in_place<T: Element>(&self, x: &mut [T]) {
        self.derivative_in_place_with(&Exec::new(), x);
    }

    /// `x[i] = f'(x[i])`, carried out as `exec` says.
    pub fn derivative_in_place_with<T: Element>(&self, exec: &Exec, x: &mut [T]) {
        let p = x.as_mut_ptr();
        // SAFETY: input and output are one slice of `x.len()` elements.
        unsafe { self.back(exec, Made::back, p, None, p, x.len()) }
    }

    /// `d2y[i] = f''(x[i])`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn second_derivative<T: Element>(&self, x: &[T], d2y: &mut [T]) {
        self.second_derivative_with(&Exec::new(), x, d2y);
    }

    /// `d2y[i] = f''(x[i])`, carried out as `exec` says.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn second_derivative_with<T: Element>(&self, exec: &Exec, x: &[T], d2y: &mut [T]) {
        let bend = self.bend();
        exec.apply(x, d2y, |x, y| {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = bend(x);
            }
        });
    }

    /// `x[i] = f''(x[i])`.
    pub fn second_derivative_in_place<T: Element>(&self, x: &mut [T]) {
        self.second_derivative_in_place_with(&Exec::new(), x);
    }

    /// `x[i] = f''(x[i])`, carried out as `exec` says.
    pub fn second_derivative_in_place_with<T: Element>(&self, exec: &Exec, x: &mut [T]) {
        let (bend, p) = (self.bend(), Shared(x.as_mut_ptr()));
        exec.blocks(x.len(), Cost::UNKNOWN, |i, m| {
            // SAFETY: the block lies within the slice, and no other block overlaps it.
            for v in unsafe { core::slice::from_raw_parts_mut(p.at(i), m) } {
                *v = bend(*v);
            }
        });
    }

    /// `dx[i] = grad[i] f'(x[i])`.
    ///
    /// ```
    /// let (x, grad) = ([-1.0f32, 0.0, 1.0], [1.0, 2.0, 1.0]);
    /// let mut dx = [0.0; 3];
    /// nonlin::Silu.backward(&x, &grad, &mut dx);
    /// assert_eq!(dx, [0.07232949, 1.0, 0.9276705]);
    /// ```
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    #[track_caller]
    pub fn backward<T: Element>(&self, x: &[T], grad: &[T], dx: &mut [T]) {
        self.backward_with(&Exec::new(), x, grad, dx);
    }

    /// `dx[i] = grad[i] f'(x[i])`, carried out as `exec` says.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    #[track_caller]
    pub fn backward_with<T: Element>(&self, exec: &Exec, x: &[T], grad: &[T], dx: &mut [T]) {
        same_length("grad", grad.len(), "x", x.len());
        same_length("dx", dx.len(), "x", x.len());
        let (p, g) = (x.as_ptr(), Some(grad.as_ptr()));
        // SAFETY: all slices have `x.len()` elements, and `dx` is borrowed mutably.
        unsafe { self.back(exec, Made::back, p, g, dx.as_mut_ptr(), x.len()) }
    }

    /// `grad[i] = grad[i] f'(x[i])`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_in_place<T: Element>(&self, x: &[T], grad: &mut [T]) {
        self.backward_in_place_with(&Exec::new(), x, grad);
    }

    /// `grad[i] = grad[i] f'(x[i])`, carried out as `exec` says.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_in_place_with<T: Element>(&self, exec: &Exec, x: &[T], grad: &mut [T]) {
        same_length("grad", grad.len(), "x", x.len());
        let g = grad.as_mut_ptr();
        // SAFETY: both slices have `x.len()` elements; the output is the gradient itself.
        unsafe { self.back(exec, Made::back, x.as_ptr(), Some(g.cast_const()), g, x.len()) }
    }

    /// `dx[i] = grad[i] f'(x[i])`, from the saved output `y[i] = f(x[i])`: a training step that
    /// keeps y for the next layer need not keep x.
    ///
    /// Functions have it if y determines f′(x) in a few operations: those whose
    /// [`Claims::from_output`](crate::Claims::from_output) is not `None`, which is also the bound
    /// of the absolute error (see [`Function::from_output_error`]). Where x is at hand,
    /// [`backward`](Self::backward) is more exact.
    ///
    /// ```
    /// use nonlin::Tanh;
    /// let (y, grad) = ([-0.5f32, 0.0, 0.5], [4.0, 1.0, -4.0]);
    /// let mut dx = [0.0; 3];
    /// Tanh.backward_from_output(&y, &grad, &mut dx)?;
    /// assert_eq!(dx, [3.0, 1.0, -3.0]); // grad (1 - y^2)
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the function has no such form (gelu, silu, mish: two inputs have one output), or has a
    /// negative parameter.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_from_output<T: Element>(
        &self,
        y: &[T],
        grad: &[T],
        dx: &mut [T],
    ) -> Result<(), Error> {
        self.backward_from_output_with(&Exec::new(), y, grad, dx)
    }

    /// [`backward_from_output`](Self::backward_from_output), carried out as `exec` says.
    ///
    /// # Errors
    /// If the function has no such form, or a parameter forbids it; `dx` is as it was.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_from_output_with<T: Element>(
        &self,
        exec: &Exec,
        y: &[T],
        grad: &[T],
        dx: &mut [T],
    ) -> Result<(), Error> {
        same_length("grad", grad.len(), "y", y.len());
        same_length("dx", dx.len(), "y", y.len());
        self.check_from_output()?;
        let (p, g) = (y.as_ptr(), Some(grad.as_ptr()));
        // SAFETY: all slices have `y.len()` elements, and `dx` is borrowed mutably.
        unsafe { self.back(exec, Made::back_from_output, p, g, dx.as_mut_ptr(), y.len()) }
        Ok(())
    }

    /// `grad[i] = grad[i] f'(x[i])`, from the saved output `y[i] = f(x[i])`.
    ///
    /// # Errors
    /// As of [`backward_from_output`](Self::backward_from_output); `grad` is as it was.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_from_output_in_place<T: Element>(
        &self,
        y: &[T],
        grad: &mut [T],
    ) -> Result<(), Error> {
        self.backward_from_output_in_place_with(&Exec::new(), y, grad)
    }

    /// [`backward_from_output_in_place`](Self::backward_from_output_in_place), carried out as
    /// `exec` says.
    ///
    /// # Errors
    /// As of [`backward_from_output`](Self::backward_from_output); `grad` is as it was.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_from_output_in_place_with<T: Element>(
        &self,
        exec: &Exec,
        y: &[T],
        grad: &mut [T],
    ) -> Result<(), Error> {
        same_length("grad", grad.len(), "y", y.len());
        self.check_from_output()?;
        let (p, g) = (y.as_ptr(), grad.as_mut_ptr());
        let kernel = Made::back_from_output;
        // SAFETY: both slices have `y.len()` elements; the output is the gradient itself.
        unsafe { self.back(exec, kernel, p, Some(g.cast_const()), g, y.len()) }
        Ok(())
    }
}
