//! Functions whose parameters are learned: values for each channel, and gradients by them.

#![allow(unsafe_code)]

use crate::activation::Parameter;
use crate::channels::{BLOCK, Channels, Piece};
use crate::element::Element;
use crate::error::Error;
use crate::exec::{Exec, Shared, same_length};
use crate::fpmode::DefaultMode;
use crate::function::Function;
use crate::kernel::{Call, Each, PerType};
use crate::level::Level;
use crate::program::Gradients;
use crate::sums::sum;
use alloc::{sync::Arc, vec::Vec};
use core::cell::Cell;
use core::mem::MaybeUninit;

/// A function whose parameters are learned.
///
/// It is made once, from a function with parameters, and is cheap to copy. [`at`](Self::at) gives the
/// parameters values.
///
/// ```
/// use nonlin::Elu;
///
/// let elu = Elu.learnable()?;
/// // Two samples of two channels, with an alpha for each channel.
/// let f = elu.at(&[1.0f32, 0.5], &[2, 2], 1)?;
/// let (x, grad) = ([-1.0f32, -1.0, 2.0, -2.0], [1.0; 4]);
/// let (mut y, mut dx, mut dalpha) = ([0.0; 4], [0.0; 4], [0.0; 2]);
/// f.forward(&x, &mut y);
/// f.backward(&x, &grad, &mut dx, &mut dalpha);
/// assert_eq!(y, [-0.63212055, -0.31606028, 2.0, -0.43233237]);
/// assert_eq!(dalpha, [-0.63212055, -1.4967853]); // e^x - 1, over each channel
/// # Ok::<(), nonlin::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Learnable {
    function: Function,
    gradients: Arc<Gradients>,
}

impl Function {
    /// This function with parameters to be learned, which start from their values here.
    ///
    /// # Errors
    /// If it has no parameters, or the program of its gradients is too long.
    pub fn learnable(&self) -> Result<Learnable, Error> {
        let gradients = self.made.programs()?.gradients()?;
        Ok(Learnable { function: self.clone(), gradients: gradients.into() })
    }
}

impl Learnable {
    /// The function, with the values that its parameters start from.
    #[must_use]
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// The parameters and the values that they start from.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (Parameter<'_>, f64)> {
        self.function.params()
    }

    /// The function with these values, for arrays of that shape in C order.
    ///
    /// `values` has those of the first parameter, then those of the second, and so on: of each either
    /// one, for all elements, or one for each channel. Channels count along `axis` (usually 1;
    /// negative: from the end). Their type need not be that of the arrays: with arrays of a half type
    /// they may be f32.
    ///
    /// # Errors
    /// If there are neither as many values as parameters nor that times the length of the axis; if
    /// there is no such axis; if a value is NaN or outside its parameter's bounds, or contradicts
    /// another one.
    pub fn at<'a, V: Element>(
        &'a self,
        values: &'a [V],
        shape: &[usize],
        axis: isize,
    ) -> Result<Learned<'a, V>, Error> {
        let params = self.params().len();
        if !values.len().is_multiple_of(params) {
            let (values, function) = (values.len(), self.function.made.name());
            return Err(Error::ParameterValues { function, params, values });
        }
        let each = values.len() / params;
        let layout = Channels::of(shape, axis, each)?;
        let len = crate::shape::size(shape)?;
        let learned = Learned { of: self, values, each, layout, len };
        let mut list = Vec::with_capacity(params);
        for channel in 0..each {
            learned.of_channel(channel, &mut list);
            self.function.with_values(&list)?;
        }
        Ok(learned)
    }
}

/// A [`Learnable`] function with values of its parameters, for arrays of one shape.
#[derive(Clone, Copy, Debug)]
pub struct Learned<'a, V> {
    of: &'a Learnable,
    values: &'a [V],
    /// How many values each parameter has.
    each: usize,
    layout: Channels,
    len: usize,
}

impl<V: Element> Learned<'_, V> {
    /// The parameters of a channel.
    fn of_channel(&self, channel: usize, list: &mut Vec<f64>) {
        list.clear();
        list.extend(self.values.chunks_exact(self.each).map(|values| values[channel].to_f64()));
    }

    /// `y[i] = f(x[i])` with the values of the channel of element `i`.
    ///
    /// The bits are those of [`Function::forward`] with those values.
    ///
    /// # Panics
    /// If `x` or `y` has not as many elements as the shape.
    #[track_caller]
    pub fn forward<T: Element>(&self, x: &[T], y: &mut [T]) {
        self.forward_with(&Exec::new(), x, y);
    }

    /// [`forward`](Self::forward), carried out as `exec` says.
    ///
    /// # Panics
    /// If `x` or `y` has not as many elements as the shape.
    #[track_caller]
    pub fn forward_with<T: Element>(&self, exec: &Exec, x: &[T], y: &mut [T]) {
        same_length("x", x.len(), "an array of that shape", self.len);
        same_length("y", y.len(), "x", x.len());
        let (level, made) = (exec.current_level(), &self.of.function.made);
        let (x, to) = (Shared(x.as_ptr().cast_mut()), Shared(y.as_mut_ptr()));
        self.layout.pieces(exec, made.cost::<T>(), |piece| {
            let mut list = Vec::new();
            self.of_channel(piece.channel, &mut list);
            let call = Call::new(&list);
            if piece.is_one() {
                // SAFETY: the run lies within both arrays, which do not overlap, and `Exec` has no level
                // that is not available.
                return unsafe {
                    let (x, y) = (x.at(piece.start), to.at(piece.start));
                    made.map(level, &call, x.cast_const(), y, piece.run);
                };
            }
            let mut block = [T::default(); BLOCK];
            // SAFETY: several runs are at most a block together, and lie within both arrays; `Exec` has
            // no level that is not available.
            unsafe {
                let p = block.as_mut_ptr();
                piece.gather(x.0.cast_const(), p);
                made.map(level, &call, p.cast_const(), p, piece.len());
                piece.scatter(p.cast_const(), to.0);
            }
        });
    }

    /// `dx[i] = grad[i] f'(x[i])`, and in `dvalues`, which is laid out as the values are, the sums of
    /// `grad` times the derivatives by the parameters, over each channel.
    ///
    /// Both are computed in one pass. The terms of the sums are f64 (f32 for functions with
    /// [`per_channel`](Function::per_channel) and arrays of f32 or a half type); they are added in f64,
    /// in an order that the shape alone determines, and rounded at the end. `dx` is within the bounds
    /// of [`Function::backward`], though its last bit may be another.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward<T: Element>(&self, x: &[T], grad: &[T], dx: &mut [T], dvalues: &mut [V]) {
        self.backward_with(&Exec::new(), x, grad, dx, dvalues);
    }

    /// [`backward`](Self::backward), carried out as `exec` says.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_with<T: Element>(
        &self,
        exec: &Exec,
        x: &[T],
        grad: &[T],
        dx: &mut [T],
        dvalues: &mut [V],
    ) {
        same_length("dvalues", dvalues.len(), "the list of values", self.values.len());
        let rules = match self.of.function.made.each() {
            Some(each) => Rules::Each(each),
            None => Rules::Programs(&self.of.gradients),
        };
        let params = self.of.params().len();
        let of_channel = |channel: usize, list: &mut Vec<f64>| self.of_channel(channel, list);
        let sums =
            backward(exec, &self.layout, params, &rules, &of_channel, (x, grad), dx, self.len);
        let _mode = DefaultMode::enter();
        for (channel, sums) in sums.chunks_exact(params).enumerate() {
            for (p, sum) in sums.iter().enumerate() {
                dvalues[p * self.each + channel] = V::from_f64(*sum);
            }
        }
    }
}

/// What computes gradients by an input and by parameters.
pub(crate) enum Rules<'a> {
    /// Kernels with the one parameter per element.
    Each(&'static PerType<Each>),
    /// Programs.
    Programs(&'a Gradients),
}

impl Rules<'_> {
    /// `dx = grad f'(x)` for `n` elements, at most [`BLOCK`], and added to `sums` those of `grad` times
    /// the derivatives by the parameters `p`.
    ///
    /// # Safety
    /// `x` and `g` must be valid for reading `n` elements, `dx` for writing them; `dx` may be one
    /// of them, but may not overlap one in another way. `n` is at most [`BLOCK`]. `level` is available.
    unsafe fn block<T: Element>(
        &self,
        level: Level,
        p: &[f64],
        [x, g]: [*const T; 2],
        dx: *mut T,
        n: usize,
        sums: &mut [f64],
    ) {
        if T::HALF {
            let sums = Cell::new(sums);
            // SAFETY: the arrays have `n` elements, the blocks `m`, and the level is available.
            return unsafe {
                T::through_f32(level, [x, g], [dx], n, &|[x, g], [dx], m| {
                    let own = sums.take();
                    self.block::<f32>(level, p, [x, g], dx, m, own);
                    sums.set(own);
                });
            };
        }
        match self {
            Rules::Programs(gradients) => {
                // SAFETY: the arrays have `n` elements, and the level is available.
                unsafe { gradients.run(level, p, [x, g], dx, n, sums) }
            }
            Rules::Each(kernels) => {
                let weights = [T::from_f64(p[0]); BLOCK];
                let mut terms = [MaybeUninit::<T>::uninit(); BLOCK];
                let terms: *mut T = terms.as_mut_ptr().cast();
                // SAFETY: the arrays have `n` elements, the blocks as many and more, and the level is
                // available.
                unsafe {
                    kernels.back(level, [x, weights.as_ptr(), g], [dx, terms], n);
                    sums[0] += sum::<T>(level, terms, n);
                }
            }
        }
    }
}

/// `dx = grad f'(x)`, and the sums of `grad` times the derivatives by the parameters, over each channel:
/// those of the first channel, then those of the others.
///
/// # Panics
/// If the lengths differ.
#[track_caller]
#[allow(clippy::too_many_arguments, reason = "what two kinds of caller have in common")]
pub(crate) fn backward<T: Element>(
    exec: &Exec,
    layout: &Channels,
    params: usize,
    rules: &Rules<'_>,
    of_channel: &(dyn Fn(usize, &mut Vec<f64>) + Sync),
    (x, grad): (&[T], &[T]),
    dx: &mut [T],
    len: usize,
) -> Vec<f64> {
    same_length("x", x.len(), "an array of that shape", len);
    same_length("grad", grad.len(), "x", x.len());
    same_length("dx", dx.len(), "x", x.len());
    let level = exec.current_level();
    let cost = crate::exec::Cost::WIDE;
    let [x, g] = [x, grad].map(|a| Shared(a.as_ptr().cast_mut()));
    let to = Shared(dx.as_mut_ptr());
    layout.sums(exec, cost, params, |piece: Piece, sums| {
        let mut list = Vec::new();
        of_channel(piece.channel, &mut list);
        if piece.is_one() {
            for at in (0..piece.run).step_by(BLOCK) {
                let (i, n) = (piece.start + at, BLOCK.min(piece.run - at));
                // SAFETY: the block lies within all arrays, and `Exec` has no level that is not
                // available.
                unsafe {
                    let inputs = [x.at(i).cast_const(), g.at(i).cast_const()];
                    rules.block(level, &list, inputs, to.at(i), n, sums);
                }
            }
            return;
        }
        let mut blocks = [[T::default(); BLOCK]; 2];
        let [a, b] = blocks.each_mut().map(|block| block.as_mut_ptr());
        // SAFETY: several runs are at most a block together, and lie within all arrays; `Exec` has no
        // level that is not available.
        unsafe {
            piece.gather(x.0.cast_const(), a);
            piece.gather(g.0.cast_const(), b);
            rules.block(level, &list, [a.cast_const(), b.cast_const()], a, piece.len(), sums);
            piece.scatter(a.cast_const(), to.0);
        }
    })
}
