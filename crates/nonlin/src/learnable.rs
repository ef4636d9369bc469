//! Functions whose parameters are learned: values for each channel or group of channels, and gradients by
//! them.

#![allow(unsafe_code)]

use crate::activation::Parameter;
use crate::channels::{BLOCK, Channels, Piece};
use crate::element::{self, Element};
use crate::error::Error;
use crate::exec::{Cost, Exec, Shared, same_length};
use crate::fpmode::DefaultMode;
use crate::function::Function;
use crate::gated::{GatedFunction, Made};
use crate::kernel::{Call, Each, PerType};
use crate::level::Level;
use crate::program::Gradients;
use crate::values::Parametric;
use alloc::{sync::Arc, vec::Vec};
use core::cell::Cell;

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
        self.laid(values, |each| Channels::of(shape, axis, each))
    }

    /// [`at`](Self::at) with values for groups of channels: the channels along `axis` are as many equal
    /// groups of neighbours as each parameter has values.
    ///
    /// ```
    /// use nonlin::Prelu;
    /// let prelu = Prelu.learnable()?;
    /// // Four channels in two groups.
    /// let f = prelu.at_groups(&[0.5f32, 0.25], &[1, 4], 1)?;
    /// let mut y = [0.0; 4];
    /// f.forward(&[-1.0f32; 4], &mut y);
    /// assert_eq!(y, [-0.5, -0.5, -0.25, -0.25]);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the number of values is no multiple of that of the parameters, or the length of the axis none
    /// of the number of groups; if there is no such axis; if a value is NaN or outside its parameter's
    /// bounds, or contradicts another one.
    pub fn at_groups<'a, V: Element>(
        &'a self,
        values: &'a [V],
        shape: &[usize],
        axis: isize,
    ) -> Result<Learned<'a, V>, Error> {
        self.laid(values, |each| Channels::of_groups(shape, axis, each))
    }

    fn laid<'a, V: Element>(
        &'a self,
        values: &'a [V],
        layout: impl FnOnce(usize) -> Result<Channels, Error>,
    ) -> Result<Learned<'a, V>, Error> {
        let check = |list: &[f64]| self.function.with_values(list).map(drop);
        let laid = Laid::new(&self.function.made, values, layout, check)?;
        Ok(Learned { of: self, laid })
    }

    /// The function with values that were checked before, for arrays of that layout.
    pub(crate) fn laid_out<'a, V>(&'a self, values: &'a [V], layout: Channels) -> Learned<'a, V> {
        let each = values.len() / self.params().len();
        Learned { of: self, laid: Laid { values, each, layout } }
    }
}

/// A [`Learnable`] function with values of its parameters, for arrays of one shape.
#[derive(Clone, Copy, Debug)]
pub struct Learned<'a, V> {
    of: &'a Learnable,
    laid: Laid<'a, V>,
}

impl<V: Element> Learned<'_, V> {
    /// How channels lie in the arrays.
    pub(crate) fn layout(&self) -> Channels {
        self.laid.layout
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
        same_length("x", x.len(), "an array of that shape", self.laid.layout.len());
        same_length("y", y.len(), "x", x.len());
        let (level, made) = (exec.current_level(), &self.of.function.made);
        self.laid.forward(exec, made.cost::<T>(), [x], y, &|p, [x], y, n| {
            // SAFETY: both have `n` elements and are one array or do not overlap, and `Exec` has no level
            // that is not available.
            unsafe { made.map(level, &Call::new(p), x, y, n) }
        });
    }

    /// `dx[i] = grad[i] f'(x[i])`, and in `dvalues`, which is laid out as the values are, the sums of
    /// `grad` times the derivatives by the parameters, over each channel or group.
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
        same_length("x", x.len(), "an array of that shape", self.laid.layout.len());
        same_length("grad", grad.len(), "x", x.len());
        same_length("dx", dx.len(), "x", x.len());
        let rules = match self.of.function.made.each() {
            Some(each) => Rules::Each(each),
            None => Rules::Programs(&self.of.gradients),
        };
        self.laid.backward(exec, &rules, [x, grad], [dx], dvalues);
    }
}

/// A gated unit whose parameters are learned.
///
/// It is made once, from a unit with parameters, and is cheap to copy. [`at`](Self::at) gives the
/// parameters values.
///
/// ```
/// let unit = nonlin::GatedFunction::parse("a * sigmoid(beta * b); beta = 1")?.learnable()?;
/// // Two samples of two channels, with a beta for each channel.
/// let f = unit.at(&[1.0f32, 2.0], &[2, 2], 1)?;
/// let (a, b, grad) = ([4.0f32; 4], [0.0, 0.0, 1.0, -1.0], [1.0; 4]);
/// let (mut da, mut db, mut dbeta) = ([0.0; 4], [0.0; 4], [0.0; 2]);
/// f.backward(&a, &b, &grad, &mut da, &mut db, &mut dbeta);
/// assert_eq!(da, [0.5, 0.5, 0.7310586, 0.11920292]);
/// assert_eq!(dbeta, [0.7864477, -0.41997434]); // a b sigmoid'(beta b), over each channel
/// # Ok::<(), nonlin::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LearnableGated {
    function: GatedFunction,
    gradients: Arc<Gradients>,
}

impl GatedFunction {
    /// This unit with parameters to be learned, which start from their values here.
    ///
    /// # Errors
    /// If it has no parameters, or the program of its gradients is too long.
    pub fn learnable(&self) -> Result<LearnableGated, Error> {
        match &self.made {
            Made::Recorded(e) if self.made.params() > 0 => {
                Ok(LearnableGated { function: self.clone(), gradients: e.gradients()?.into() })
            }
            _ => Err(Error::NoParameters { function: self.made.name() }),
        }
    }
}

impl LearnableGated {
    /// The unit, with the values that its parameters start from.
    #[must_use]
    pub fn function(&self) -> &GatedFunction {
        &self.function
    }

    /// The parameters and the values that they start from.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (Parameter<'_>, f64)> {
        self.function.params()
    }

    /// The unit with these values, for arrays of that shape in C order: see [`Learnable::at`].
    ///
    /// # Errors
    /// If there are neither as many values as parameters nor that times the length of the axis; if
    /// there is no such axis; if a value is NaN or outside its parameter's bounds.
    pub fn at<'a, V: Element>(
        &'a self,
        values: &'a [V],
        shape: &[usize],
        axis: isize,
    ) -> Result<LearnedGated<'a, V>, Error> {
        self.laid(values, |each| Channels::of(shape, axis, each))
    }

    /// [`at`](Self::at) with values for groups of channels: see [`Learnable::at_groups`].
    ///
    /// # Errors
    /// If the number of values is no multiple of that of the parameters, or the length of the axis none
    /// of the number of groups; if there is no such axis; if a value is NaN or outside its parameter's
    /// bounds.
    pub fn at_groups<'a, V: Element>(
        &'a self,
        values: &'a [V],
        shape: &[usize],
        axis: isize,
    ) -> Result<LearnedGated<'a, V>, Error> {
        self.laid(values, |each| Channels::of_groups(shape, axis, each))
    }

    fn laid<'a, V: Element>(
        &'a self,
        values: &'a [V],
        layout: impl FnOnce(usize) -> Result<Channels, Error>,
    ) -> Result<LearnedGated<'a, V>, Error> {
        let check = |list: &[f64]| self.function.with_values(list).map(drop);
        let laid = Laid::new(&self.function.made, values, layout, check)?;
        Ok(LearnedGated { of: self, laid })
    }
}

/// A [`LearnableGated`] unit with values of its parameters, for arrays of one shape.
#[derive(Clone, Copy, Debug)]
pub struct LearnedGated<'a, V> {
    of: &'a LearnableGated,
    laid: Laid<'a, V>,
}

impl<V: Element> LearnedGated<'_, V> {
    /// `y[i] = f(a[i], b[i])` with the values of the channel of element `i`.
    ///
    /// The bits are those of [`GatedFunction::forward`] with those values.
    ///
    /// # Panics
    /// If an array has not as many elements as the shape.
    #[track_caller]
    pub fn forward<T: Element>(&self, a: &[T], b: &[T], y: &mut [T]) {
        self.forward_with(&Exec::new(), a, b, y);
    }

    /// [`forward`](Self::forward), carried out as `exec` says.
    ///
    /// # Panics
    /// If an array has not as many elements as the shape.
    #[track_caller]
    pub fn forward_with<T: Element>(&self, exec: &Exec, a: &[T], b: &[T], y: &mut [T]) {
        same_length("a", a.len(), "an array of that shape", self.laid.layout.len());
        same_length("b", b.len(), "a", a.len());
        same_length("y", y.len(), "a", a.len());
        let (level, f) = (exec.current_level(), &self.of.function);
        let operands = f.ordered(a, b);
        self.laid.forward(exec, f.cost::<T>(), operands, y, &|p, operands, y, n| {
            // SAFETY: all have `n` elements, `y` is none of the operands, and `Exec` has no level that is
            // not available.
            unsafe { f.made.map(level, p, operands, y, n, false) }
        });
    }

    /// `da[i] = grad[i] ∂f/∂a`, `db[i] = grad[i] ∂f/∂b`, and in `dvalues`, which is laid out as the
    /// values are, the sums of `grad` times the derivatives by the parameters, over each channel or
    /// group.
    ///
    /// All are computed in one pass. The terms of the sums are f64; they are added in an order that the
    /// shape alone determines, and rounded at the end. `da` and `db` are within the bounds of
    /// [`GatedFunction::backward`], though their last bits may be others.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward<T: Element>(
        &self,
        a: &[T],
        b: &[T],
        grad: &[T],
        da: &mut [T],
        db: &mut [T],
        dvalues: &mut [V],
    ) {
        self.backward_with(&Exec::new(), a, b, grad, da, db, dvalues);
    }

    /// [`backward`](Self::backward), carried out as `exec` says.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    #[allow(clippy::too_many_arguments, reason = "operands, gradients, and how")]
    pub fn backward_with<T: Element>(
        &self,
        exec: &Exec,
        a: &[T],
        b: &[T],
        grad: &[T],
        da: &mut [T],
        db: &mut [T],
        dvalues: &mut [V],
    ) {
        same_length("a", a.len(), "an array of that shape", self.laid.layout.len());
        same_length("b", b.len(), "a", a.len());
        same_length("grad", grad.len(), "a", a.len());
        same_length("da", da.len(), "a", a.len());
        same_length("db", db.len(), "a", a.len());
        let f = &self.of.function;
        let ([x, v], rules) = (f.ordered(a, b), Rules::Programs(&self.of.gradients));
        self.laid.backward(exec, &rules, [x, v, grad], f.ordered(da, db), dvalues);
    }
}

/// Values of parameters, for arrays of one shape.
#[derive(Clone, Copy, Debug)]
struct Laid<'a, V> {
    values: &'a [V],
    /// How many values each parameter has.
    each: usize,
    layout: Channels,
}

impl<'a, V: Element> Laid<'a, V> {
    /// The values of `made`, of which `layout` makes channels and `check` knows what goes together.
    fn new(
        made: &impl Parametric,
        values: &'a [V],
        layout: impl FnOnce(usize) -> Result<Channels, Error>,
        check: impl Fn(&[f64]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let params = made.params();
        if !values.len().is_multiple_of(params) {
            let (values, function) = (values.len(), made.name());
            return Err(Error::ParameterValues { function, params, values });
        }
        let each = values.len() / params;
        let layout = layout(each)?;
        let laid = Laid { values, each, layout };
        let mut list = Vec::with_capacity(params);
        for channel in 0..each {
            laid.of_channel(channel, &mut list);
            check(&list)?;
        }
        Ok(laid)
    }

    /// The parameters of a channel.
    fn of_channel(&self, channel: usize, list: &mut Vec<f64>) {
        list.clear();
        list.extend(self.values.chunks_exact(self.each).map(|values| values[channel].to_f64()));
    }

    /// Calls `map` with the parameters of a channel, inputs, output and length until all of `y` is
    /// written. `y` is none of the inputs.
    fn forward<T: Element, const I: usize>(
        &self,
        exec: &Exec,
        cost: Cost,
        inputs: [&[T]; I],
        y: &mut [T],
        map: &(impl Fn(&[f64], [*const T; I], *mut T, usize) + Sync),
    ) {
        let (from, to) = (inputs.map(|x| Shared(x.as_ptr().cast_mut())), Shared(y.as_mut_ptr()));
        self.layout.pieces(exec, cost, |piece| {
            let mut list = Vec::new();
            self.of_channel(piece.channel, &mut list);
            if piece.is_one() {
                // SAFETY: the run lies within all arrays.
                let (x, y) =
                    unsafe { (from.map(|x| x.at(piece.start).cast_const()), to.at(piece.start)) };
                return map(&list, x, y, piece.run);
            }
            let (mut blocks, mut out) = ([[T::default(); BLOCK]; I], [T::default(); BLOCK]);
            // SAFETY: several runs are at most a block together, and lie within all arrays.
            unsafe {
                for (block, x) in blocks.iter_mut().zip(from) {
                    piece.gather(x.0.cast_const(), block.as_mut_ptr());
                }
                let inputs = blocks.each_ref().map(|block| block.as_ptr());
                map(&list, inputs, out.as_mut_ptr(), piece.len());
                piece.scatter(out.as_ptr(), to.0);
            }
        });
    }

    /// What [`backward`] gives, its sums in `dvalues` as the values are laid out.
    #[track_caller]
    fn backward<T: Element, const I: usize, const O: usize>(
        &self,
        exec: &Exec,
        rules: &Rules<'_>,
        inputs: [&[T]; I],
        outputs: [&mut [T]; O],
        dvalues: &mut [V],
    ) {
        same_length("dvalues", dvalues.len(), "the list of values", self.values.len());
        // Of an axis without channels there are no values.
        let Some(params) = self.values.len().checked_div(self.each) else { return };
        let of_channel = |channel: usize, list: &mut Vec<f64>| self.of_channel(channel, list);
        let sums = backward(exec, &self.layout, params, rules, &of_channel, inputs, outputs);
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
    /// The most elements that [`block`](Self::block) takes.
    fn most(&self) -> usize {
        match self {
            Rules::Each(_) => usize::MAX,
            Rules::Programs(_) => BLOCK,
        }
    }

    /// How long an element takes.
    fn cost(&self) -> Cost {
        match self {
            Rules::Each(_) => Cost::COPY,
            Rules::Programs(_) => Cost::WIDE,
        }
    }

    /// `grad` times the derivatives by the operands for `n` elements, and added to `sums` those of `grad`
    /// times the derivatives by the parameters `p`. The inputs are the operands and `grad`.
    ///
    /// # Safety
    /// The inputs must be valid for reading `n` elements, the outputs, which overlap none of them, for writing
    /// them. `n` is at most [`most`](Self::most). `level` is available.
    #[allow(clippy::too_many_arguments, reason = "pointers, not slices: inputs may be outputs")]
    unsafe fn block<T: Element, const I: usize, const O: usize>(
        &self,
        level: Level,
        p: &[f64],
        inputs: [*const T; I],
        outputs: [*mut T; O],
        n: usize,
        non_temporal: bool,
        sums: &mut [f64],
    ) {
        if T::HALF {
            let sums = Cell::new(sums);
            // SAFETY: the arrays have `n` elements, the blocks `m` and room for more, and the level is
            // available.
            return unsafe {
                T::through_f32(level, inputs, outputs, n, &|inputs, outputs, m| {
                    let own = sums.take();
                    let mut blocks = [[0.0f32; element::BLOCK]; O];
                    let written = blocks.each_mut().map(|block| block.as_mut_ptr());
                    self.block::<f32, I, O>(level, p, inputs, written, m, false, own);
                    for (block, output) in blocks.iter().zip(outputs) {
                        core::ptr::copy_nonoverlapping(block.as_ptr(), output, m);
                    }
                    sums.set(own);
                });
            };
        }
        match self {
            Rules::Programs(gradients) => {
                // SAFETY: the arrays have `n` elements, and the level is available.
                unsafe { gradients.run(level, p, inputs, outputs, n, sums) }
            }
            Rules::Each(kernels) => {
                // Such functions have one operand.
                let (x, g, dx) = (inputs[0], inputs[I - 1], outputs[0]);
                let call = Call { params: p, non_temporal };
                let summed = T::pick(kernels).summed.expect("half types are f32 here");
                // SAFETY: the arrays have `n` elements, and the level is available.
                unsafe { summed.get(level)(x, g, dx, n, &call, &mut sums[0]) }
            }
        }
    }
}

/// `grad` times the derivatives by the operands, and the sums of `grad` times the derivatives by the
/// parameters, over each channel: those of the first channel, then those of the others. The inputs are the
/// operands and `grad`.
///
/// # Panics
/// If an array has not as many elements as the others, or as the layout.
#[track_caller]
pub(crate) fn backward<T: Element, const I: usize, const O: usize>(
    exec: &Exec,
    layout: &Channels,
    params: usize,
    rules: &Rules<'_>,
    of_channel: &(dyn Fn(usize, &mut Vec<f64>) + Sync),
    inputs: [&[T]; I],
    outputs: [&mut [T]; O],
) -> Vec<f64> {
    let lengths = inputs.iter().map(|x| x.len()).chain(outputs.iter().map(|y| y.len()));
    lengths.for_each(|n| same_length("an array", n, "one of that shape", layout.len()));
    let level = exec.current_level();
    let from = inputs.map(|x| Shared(x.as_ptr().cast_mut()));
    let to = outputs.map(|y| Shared(y.as_mut_ptr()));
    let most = rules.most();
    let non_temporal =
        matches!(rules, Rules::Each(_)) && !T::HALF && exec.streams::<T>(layout.len(), true);
    layout.sums(exec, rules.cost(), params, |piece: Piece, sums| {
        let mut list = Vec::new();
        of_channel(piece.channel, &mut list);
        if piece.is_one() {
            for at in (0..piece.run).step_by(most) {
                let (i, n) = (piece.start + at, most.min(piece.run - at));
                // SAFETY: the block lies within all arrays, and `Exec` has no level that is not
                // available.
                unsafe {
                    let inputs = from.map(|x| x.at(i).cast_const());
                    rules.block(level, &list, inputs, to.map(|y| y.at(i)), n, non_temporal, sums);
                }
            }
            return;
        }
        let (mut blocks, mut written) = ([[T::default(); BLOCK]; I], [[T::default(); BLOCK]; O]);
        let blocks = blocks.each_mut().map(|block| block.as_mut_ptr());
        let written = written.each_mut().map(|block| block.as_mut_ptr());
        // SAFETY: several runs are at most a block together, and lie within all arrays; `Exec` has no
        // level that is not available.
        unsafe {
            for (x, block) in from.iter().zip(blocks) {
                piece.gather(x.0.cast_const(), block);
            }
            let inputs = blocks.map(|block| block.cast_const());
            rules.block(level, &list, inputs, written, piece.len(), false, sums);
            for (y, block) in to.iter().zip(written) {
                piece.scatter(block.cast_const(), y.0);
            }
        }
    })
}
