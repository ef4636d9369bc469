//! Functions whose parameters follow the mean and the deviation of their input.

#![allow(unsafe_code)]

use crate::activation::Parameter;
use crate::channels::{Channels, Piece};
use crate::element::Element;
use crate::error::Error;
use crate::exec::{Cost, Exec, Shared, same_length};
use crate::fpmode::DefaultMode;
use crate::function::Function;
use crate::functions::LeakyRelu;
use crate::gated::GatedFunction;
use crate::learnable::{Learnable, Learned};
use crate::simd::scalar::sqrt;
use crate::statistics::{RunningStatistics, Statistics};
use crate::values::Parametric;
use alloc::{vec, vec::Vec};

/// A function whose parameters are set from mean and deviation of its input: of the tensor, or of each
/// channel.
///
/// A rule makes a parameter of both: a function of two operands, `a` the mean and `b` the deviation, which
/// is `sqrt(variance + eps)`. The variance is the mean square of what differs from the mean. Parameters
/// without a rule are constants. Gradients flow through the statistics.
///
/// ```
/// use nonlin::{Adaptive, GatedFunction, Softplus};
///
/// // A softplus whose temperature is the deviation of its input.
/// let f = Adaptive::new(&Softplus, &[("beta", GatedFunction::parse("1 / b")?)])?;
/// let x = [-10.0f32, 10.0];
/// let at = f.at(&x, &[2])?; // mean 0, deviation 10
/// let (mut y, mut dx) = ([0.0; 2], [0.0; 2]);
/// at.forward(&x, &mut y);
/// at.backward(&x, &[1.0, 0.0], &mut dx);
/// assert_eq!(y, [3.1326172, 13.132617]);
/// assert!((dx[0] + 0.02216).abs() < 1e-5 && (dx[1] - 0.29110).abs() < 1e-5);
/// # Ok::<(), nonlin::Error>(())
/// ```
///
/// In training as batch norm has it, parameters follow the present input, and running statistics take it
/// in; afterwards these set the parameters:
///
/// ```
/// use nonlin::{AdaptiveRelu, RunningStatistics, adaptive_relu};
///
/// let f = adaptive_relu(AdaptiveRelu::Slope)?.per_channel(1);
/// let mut running = RunningStatistics::new(2, Some(0.1))?;
/// let x = [-1.0f32, 2.0, -3.0, 4.0]; // two samples of two channels
/// running.track(f.at(&x, &[2, 2])?.statistics().unwrap())?;
/// let mut y = [0.0; 4];
/// f.at_running(&running, &[2, 2])?.forward(&x, &mut y);
/// assert_eq!(y[1], 2.0);
/// # Ok::<(), nonlin::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Adaptive {
    of: Learnable,
    /// Of each parameter.
    rules: Vec<Option<GatedFunction>>,
    axis: Option<isize>,
    eps: f64,
}

impl Adaptive {
    /// `base` with rules for some of its parameters, by name. The statistics are those of the tensor.
    ///
    /// # Errors
    /// If there is no rule; if the function has no parameter of a name, or one is named twice; if the
    /// program of its gradients is too long.
    pub fn new(base: &Function, rules: &[(&str, GatedFunction)]) -> Result<Self, Error> {
        let of = base.learnable()?;
        let made = &base.made;
        let mut all = vec![None; made.params()];
        for (name, rule) in rules {
            let i = made.index(name)?;
            if all[i].replace(rule.clone()).is_some() {
                let (function, name) = (made.name(), made.param_name(i));
                return Err(Error::ParameterTwice { function, name });
            }
        }
        if rules.is_empty() {
            let known = (0..made.params()).map(|i| made.param_name(i)).collect();
            return Err(Error::NoRule { function: made.name(), known });
        }
        Ok(Adaptive { of, rules: all, axis: None, eps: 1e-5 })
    }

    /// This with statistics of each channel along an axis (usually 1; negative: from the end).
    #[must_use]
    pub fn per_channel(self, axis: isize) -> Self {
        Adaptive { axis: Some(axis), ..self }
    }

    /// This with another number that is added to the variance; 1e-5 unless set.
    ///
    /// # Errors
    /// If it is negative or not finite.
    pub fn with_eps(self, eps: f64) -> Result<Self, Error> {
        let allowed = Parameter::new("eps", 1e-5, "").between(0.0, Parameter::LIMIT);
        allowed.check(self.base().made.name(), "eps".into(), eps)?;
        Ok(Adaptive { eps, ..self })
    }

    /// The function, with the values of parameters that are constants.
    #[must_use]
    pub fn base(&self) -> &Function {
        self.of.function()
    }

    /// The rules, each with the parameter that it sets.
    pub fn rules(&self) -> impl Iterator<Item = (Parameter<'_>, &GatedFunction)> {
        let all = self.of.params().zip(&self.rules);
        all.filter_map(|((p, _), rule)| Some((p, rule.as_ref()?)))
    }

    /// The function for an array of that shape in C order, with parameters from its own mean and
    /// deviation.
    ///
    /// # Errors
    /// If the array has not as many elements as the shape, or none; if there is no such axis; if a rule
    /// gives NaN, or a value outside the bounds of its parameter, or one that contradicts another's.
    pub fn at<T: Element>(&self, x: &[T], shape: &[usize]) -> Result<Adapted<'_>, Error> {
        self.at_with(&Exec::new(), x, shape)
    }

    /// [`at`](Self::at), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`at`](Self::at).
    pub fn at_with<T: Element>(
        &self,
        exec: &Exec,
        x: &[T],
        shape: &[usize],
    ) -> Result<Adapted<'_>, Error> {
        self.follow(exec, Statistics::of_with(exec, x, shape, self.axis)?, shape)
    }

    /// The function for an array of that shape in C order, with parameters from statistics of which the
    /// array is a part: those of several workers, merged.
    ///
    /// # Errors
    /// If they are of another number of channels than the array has along the axis, and not of one; if a
    /// rule gives NaN, or a value outside the bounds of its parameter, or one that contradicts another's.
    pub fn at_statistics(
        &self,
        statistics: Statistics,
        shape: &[usize],
    ) -> Result<Adapted<'_>, Error> {
        self.follow(&Exec::new(), statistics, shape)
    }

    fn follow(
        &self,
        exec: &Exec,
        statistics: Statistics,
        shape: &[usize],
    ) -> Result<Adapted<'_>, Error> {
        let at = self.from(exec, statistics.mean(), statistics.variance(), shape)?;
        Ok(Adapted { statistics: Some(statistics), ..at })
    }

    /// The function for an array of that shape in C order, with parameters from running statistics, which
    /// are constants to the gradient.
    ///
    /// # Errors
    /// If they are of another number of channels than the array has along the axis, and not of one; if a
    /// rule gives NaN, or a value outside the bounds of its parameter, or one that contradicts another's.
    pub fn at_running(
        &self,
        running: &RunningStatistics,
        shape: &[usize],
    ) -> Result<Adapted<'_>, Error> {
        self.from(&Exec::new(), running.mean(), running.variance(), shape)
    }

    fn from(
        &self,
        exec: &Exec,
        mean: &[f64],
        variance: &[f64],
        shape: &[usize],
    ) -> Result<Adapted<'_>, Error> {
        let each = mean.len();
        let mode = DefaultMode::enter();
        let deviation: Vec<f64> = variance.iter().map(|v| sqrt(v + self.eps)).collect();
        drop(mode);
        let mut values = Vec::with_capacity(self.rules.len() * each);
        let mut value = vec![0.0; each];
        for (rule, constant) in self.rules.iter().zip(self.base().values()) {
            match rule {
                Some(rule) => rule.forward_with(exec, mean, &deviation, &mut value),
                None => value.fill(*constant),
            }
            values.extend_from_slice(&value);
        }
        // An axis is none of statistics of the tensor.
        let layout = self.of.at(&values, shape, self.axis.unwrap_or(0))?.layout();
        let mean = mean.to_vec();
        Ok(Adapted { of: self, statistics: None, mean, deviation, values, layout })
    }
}

/// An [`Adaptive`] function with parameters from some statistics, for arrays of one shape.
#[derive(Clone, Debug)]
pub struct Adapted<'a> {
    of: &'a Adaptive,
    /// Those that the array has a part in.
    statistics: Option<Statistics>,
    mean: Vec<f64>,
    deviation: Vec<f64>,
    values: Vec<f64>,
    layout: Channels,
}

/// The gradient by the mean and by the deviation of each channel, or of the tensor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StatisticsGradient {
    /// By the mean.
    pub by_mean: Vec<f64>,
    /// By the deviation.
    pub by_deviation: Vec<f64>,
}

impl Adapted<'_> {
    /// The statistics that the gradient flows through; nothing if they are running ones.
    #[must_use]
    pub fn statistics(&self) -> Option<&Statistics> {
        self.statistics.as_ref()
    }

    /// The values of the parameters: of the first one for each channel, then of the second, and so on.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    fn learned(&self) -> Learned<'_, f64> {
        self.of.of.laid_out(&self.values, self.layout)
    }

    /// `y[i] = f(x[i])` with the parameters of the channel of element `i`.
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
        self.learned().forward_with(exec, x, y);
    }

    /// The gradient by `x`, through the statistics too unless they are running ones.
    ///
    /// With parameters `p` of mean m and deviation s over n elements,
    /// `dx[i] = grad[i] f'(x[i]) + (G_m + G_s (x[i] - m) / s) / n`, where `G_m` is the sum of `grad` times
    /// the derivatives of f by the parameters, times those of the parameters by m, and `G_s` that by s. Both
    /// are computed in f64, and do not depend on blocks or threads.
    ///
    /// # Panics
    /// If an array has not as many elements as the shape.
    #[track_caller]
    pub fn backward<T: Element>(&self, x: &[T], grad: &[T], dx: &mut [T]) {
        self.backward_with(&Exec::new(), x, grad, dx);
    }

    /// [`backward`](Self::backward), carried out as `exec` says.
    ///
    /// # Panics
    /// If an array has not as many elements as the shape.
    #[track_caller]
    pub fn backward_with<T: Element>(&self, exec: &Exec, x: &[T], grad: &[T], dx: &mut [T]) {
        let gradient = self.backward_direct_with(exec, x, grad, dx);
        self.add_through_statistics_with(exec, x, &gradient, dx);
    }

    /// The first part of [`backward`](Self::backward): `dx[i] = grad[i] f'(x[i])`, and the gradient by the
    /// statistics. Workers with merged statistics add their gradients before the second part.
    ///
    /// # Panics
    /// If an array has not as many elements as the shape.
    #[track_caller]
    pub fn backward_direct<T: Element>(
        &self,
        x: &[T],
        grad: &[T],
        dx: &mut [T],
    ) -> StatisticsGradient {
        self.backward_direct_with(&Exec::new(), x, grad, dx)
    }

    /// [`backward_direct`](Self::backward_direct), carried out as `exec` says.
    ///
    /// # Panics
    /// If an array has not as many elements as the shape.
    #[track_caller]
    pub fn backward_direct_with<T: Element>(
        &self,
        exec: &Exec,
        x: &[T],
        grad: &[T],
        dx: &mut [T],
    ) -> StatisticsGradient {
        let each = self.mean.len();
        let mut by_values = vec![0.0; self.values.len()];
        self.learned().backward_with(exec, x, grad, dx, &mut by_values);
        let (mut by_mean, mut by_deviation) = (vec![0.0; each], vec![0.0; each]);
        let (mut dm, mut ds) = (by_mean.clone(), by_mean.clone());
        for (rule, by_value) in self.of.rules.iter().zip(by_values.chunks_exact(each.max(1))) {
            let Some(rule) = rule else { continue };
            rule.backward_with(exec, &self.mean, &self.deviation, by_value, &mut dm, &mut ds);
            let _mode = DefaultMode::enter();
            for (sum, d) in by_mean.iter_mut().zip(&dm).chain(by_deviation.iter_mut().zip(&ds)) {
                *sum += d;
            }
        }
        StatisticsGradient { by_mean, by_deviation }
    }

    /// The second part of [`backward`](Self::backward): adds to `dx` what flows through the statistics, if
    /// they are not running ones.
    ///
    /// # Panics
    /// If an array has not as many elements as the shape, or the gradient as many as there are channels.
    #[track_caller]
    pub fn add_through_statistics<T: Element>(
        &self,
        x: &[T],
        gradient: &StatisticsGradient,
        dx: &mut [T],
    ) {
        self.add_through_statistics_with(&Exec::new(), x, gradient, dx);
    }

    /// [`add_through_statistics`](Self::add_through_statistics), carried out as `exec` says.
    ///
    /// # Panics
    /// If an array has not as many elements as the shape, or the gradient as many as there are channels.
    #[track_caller]
    pub fn add_through_statistics_with<T: Element>(
        &self,
        exec: &Exec,
        x: &[T],
        gradient: &StatisticsGradient,
        dx: &mut [T],
    ) {
        same_length("x", x.len(), "an array of that shape", self.layout.len());
        same_length("dx", dx.len(), "x", x.len());
        let StatisticsGradient { by_mean, by_deviation } = gradient;
        same_length("by_mean", by_mean.len(), "the list of means", self.mean.len());
        same_length("by_deviation", by_deviation.len(), "the list of means", self.mean.len());
        let Some(statistics) = &self.statistics else { return };
        let n = statistics.count() as f64;
        let to = Shared(dx.as_mut_ptr());
        self.layout.pieces(exec, Cost::COPY, |piece: Piece| {
            let c = piece.channel;
            let (mean, by_mean) = (self.mean[c], by_mean[c] / n);
            // A deviation of 0 that no parameter depends on has no part in the gradient.
            let by_deviation = match by_deviation[c] {
                0.0 => 0.0,
                d => d / (n * self.deviation[c]),
            };
            for r in 0..piece.runs {
                let start = piece.start + r * piece.stride;
                // SAFETY: the run lies within `dx`, and no other piece has it.
                let dx = unsafe { core::slice::from_raw_parts_mut(to.at(start), piece.run) };
                for (dx, x) in dx.iter_mut().zip(&x[start..start + piece.run]) {
                    let through = by_mean + by_deviation * (x.to_f64() - mean);
                    *dx = T::from_f64(dx.to_f64() + through);
                }
            }
        });
    }
}

/// What of the relu follows the input in [`adaptive_relu`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum AdaptiveRelu {
    /// The slope below 0 is `sigmoid(-m / s)`: the more inputs are negative, the more passes, and no unit
    /// dies.
    Slope,
    /// The threshold: `max(x - t, 0)` with `t = m + k s`.
    Threshold {
        /// How many deviations the threshold is above the mean.
        k: f64,
    },
}

/// A relu whose slope or threshold follows the mean m and the deviation s of its input.
///
/// ```
/// use nonlin::{AdaptiveRelu, adaptive_relu};
/// let x = [-3.0f64, -1.0];
/// let mut y = [0.0; 2];
/// adaptive_relu(AdaptiveRelu::Slope)?.at(&x, &[2])?.forward(&x, &mut y);
/// assert!((y[1] + 0.8808).abs() < 1e-4); // sigmoid(2) = 0.8808
/// adaptive_relu(AdaptiveRelu::Threshold { k: 0.0 })?.at(&x, &[2])?.forward(&x, &mut y);
/// assert_eq!(y, [0.0, 1.0]);
/// # Ok::<(), nonlin::Error>(())
/// ```
///
/// # Errors
/// If `k` is not finite.
pub fn adaptive_relu(follows: AdaptiveRelu) -> Result<Adaptive, Error> {
    match follows {
        AdaptiveRelu::Slope => {
            let rule = GatedFunction::parse("sigmoid(-a / b)")?;
            Adaptive::new(&LeakyRelu, &[("negative_slope", rule)])
        }
        AdaptiveRelu::Threshold { k } => {
            let base = Function::parse("where(x > t, x - t, 0); t = 0")?;
            let rule = GatedFunction::parse("a + k * b; k = 0")?.with("k", k)?;
            Adaptive::new(&base, &[("t", rule)])
        }
    }
}
