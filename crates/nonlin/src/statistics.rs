//! Mean and variance of arrays, per tensor or per channel: of one array, of several, or running.

#![allow(unsafe_code)]

use crate::activation::Parameter;
use crate::channels::{BLOCK, Channels, Piece};
use crate::element::Element;
use crate::error::Error;
use crate::exec::{Cost, Exec, Shared, same_length};
use crate::fpmode::DefaultMode;
use crate::level::Level;
use crate::shape;
use crate::sums::{sum, sum_of_squares};
use alloc::{vec, vec::Vec};
use core::cell::Cell;

/// Mean and variance of an array, or of each of its channels.
///
/// ```
/// use nonlin::Statistics;
/// let x = [1.0f32, 10.0, 3.0, 30.0]; // two samples of two channels
/// let all = Statistics::of(&x, &[2, 2], None)?;
/// assert_eq!((all.mean(), all.variance()), (&[11.0][..], &[131.5][..]));
/// let each = Statistics::of(&x, &[2, 2], Some(1))?;
/// assert_eq!((each.mean(), each.variance()), (&[2.0, 20.0][..], &[1.0, 100.0][..]));
/// # Ok::<(), nonlin::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    count: usize,
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl Statistics {
    /// Those of an array of that shape in C order: of each channel along an axis (negative: from the
    /// end), or of all elements.
    ///
    /// All is computed in f64, in an order that the shape alone determines: the mean first, then the mean
    /// square of what differs from it.
    ///
    /// # Errors
    /// If the array has not as many elements as the shape; if there is no such axis, or no element.
    pub fn of<T: Element>(x: &[T], shape: &[usize], axis: Option<isize>) -> Result<Self, Error> {
        Self::of_with(&Exec::new(), x, shape, axis)
    }

    /// [`of`](Self::of), carried out as `exec` says.
    ///
    /// # Errors
    /// As of [`of`](Self::of).
    pub fn of_with<T: Element>(
        exec: &Exec,
        x: &[T],
        shape: &[usize],
        axis: Option<isize>,
    ) -> Result<Self, Error> {
        shape::check("x", x.len(), shape)?;
        let layout = match axis {
            None => Channels::of(shape, 0, 1)?,
            Some(axis) => Channels::of(shape, axis, shape::around(shape, axis)?.n)?,
        };
        if x.is_empty() {
            return Err(Error::NoMean { shape: shape.into() });
        }
        let count = x.len() / layout.channels;
        let over = |sums: Vec<f64>| -> Vec<f64> {
            let _mode = DefaultMode::enter();
            sums.into_iter().map(|sum| sum / count as f64).collect()
        };
        let mean = over(sums(exec, &layout, x, None));
        let variance = over(sums(exec, &layout, x, Some(&mean)));
        Ok(Statistics { count, mean, variance })
    }

    /// The mean, of each channel if they are those of channels.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The mean square of what differs from the mean.
    #[must_use]
    pub fn variance(&self) -> &[f64] {
        &self.variance
    }

    /// How many elements a mean is of.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes in those of other elements: what is left are the statistics of all of them.
    ///
    /// ```
    /// use nonlin::Statistics;
    /// let mut here = Statistics::of(&[1.0, 2.0, 3.0], &[3], None)?;
    /// here.merge(&Statistics::of(&[8.0, 6.0], &[2], None)?)?;
    /// assert_eq!(here, Statistics::of(&[1.0, 2.0, 3.0, 8.0, 6.0], &[5], None)?);
    /// # Ok::<(), nonlin::Error>(())
    /// ```
    ///
    /// # Errors
    /// If they are of another number of channels.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        same_channels(self.mean.len(), other.mean.len())?;
        let _mode = DefaultMode::enter();
        // Statistics may be merged with themselves, so there may be more than a size can say.
        let count = self.count.saturating_add(other.count);
        let weight = other.count as f64 / count as f64;
        merge((&mut self.mean, &mut self.variance), (&other.mean, &other.variance), weight);
        self.count = count;
        Ok(())
    }
}

/// Running mean and variance, as those of batch norm: each batch moves them a part of the way.
///
/// They start as 0 and 1. With a momentum that is the weight of each batch; without one they are the mean
/// over all batches. The variances of batches divide by one less than there are elements.
///
/// ```
/// use nonlin::{RunningStatistics, Statistics};
/// let mut running = RunningStatistics::new(1, Some(0.5))?;
/// running.track(&Statistics::of(&[1.0, 3.0], &[2], None)?)?;
/// assert_eq!((running.mean(), running.variance()), (&[1.0][..], &[1.5][..])); // halfway to 2 and 2
/// # Ok::<(), nonlin::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RunningStatistics {
    momentum: Option<f64>,
    batches: u64,
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl RunningStatistics {
    /// Those of so many channels, or of one tensor, before the first batch.
    ///
    /// # Errors
    /// If the momentum is not between 0 and 1.
    pub fn new(channels: usize, momentum: Option<f64>) -> Result<Self, Error> {
        Self::restored(vec![0.0; channels], vec![1.0; channels], 0, momentum)
    }

    /// Those that another one had: its mean and variance, and how many batches it has seen.
    ///
    /// # Errors
    /// If the momentum is not between 0 and 1.
    ///
    /// # Panics
    /// If there are not as many variances as means.
    #[track_caller]
    pub fn restored(
        mean: Vec<f64>,
        variance: Vec<f64>,
        batches: u64,
        momentum: Option<f64>,
    ) -> Result<Self, Error> {
        same_length("variance", variance.len(), "mean", mean.len());
        if let Some(momentum) = momentum {
            let allowed = Parameter::new("momentum", 0.1, "").between(0.0, 1.0);
            allowed.check("running statistics".into(), "momentum".into(), momentum)?;
        }
        Ok(RunningStatistics { momentum, batches, mean, variance })
    }

    /// The running mean of each channel.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The running variance of each channel.
    #[must_use]
    pub fn variance(&self) -> &[f64] {
        &self.variance
    }

    /// How many batches it has seen.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Takes in a batch.
    ///
    /// # Errors
    /// If that is of another number of channels.
    pub fn track(&mut self, batch: &Statistics) -> Result<(), Error> {
        same_channels(self.mean.len(), batch.mean.len())?;
        let _mode = DefaultMode::enter();
        self.batches = self.batches.saturating_add(1);
        let weight = self.momentum.unwrap_or(1.0 / self.batches as f64);
        let unbiased = batch.count as f64 / batch.count.saturating_sub(1).max(1) as f64;
        for (mean, of_batch) in self.mean.iter_mut().zip(&batch.mean) {
            *mean = between(*mean, *of_batch, weight);
        }
        for (variance, of_batch) in self.variance.iter_mut().zip(&batch.variance) {
            *variance = between(*variance, of_batch * unbiased, weight);
        }
        Ok(())
    }

    /// Takes in what another one, as that of a worker, has seen of other batches: means and variances are
    /// weighted by the number of batches.
    ///
    /// # Errors
    /// If that is of another number of channels.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        same_channels(self.mean.len(), other.mean.len())?;
        if other.batches == 0 {
            return Ok(());
        }
        let _mode = DefaultMode::enter();
        let batches = self.batches.saturating_add(other.batches);
        let weight = other.batches as f64 / batches as f64;
        merge((&mut self.mean, &mut self.variance), (&other.mean, &other.variance), weight);
        self.batches = batches;
        Ok(())
    }
}

/// Mean and variance of what has the share `weight` in the others, and that of these in the rest.
fn merge(own: (&mut [f64], &mut [f64]), others: (&[f64], &[f64]), weight: f64) {
    for ((mean, variance), (m, v)) in own.0.iter_mut().zip(own.1).zip(others.0.iter().zip(others.1))
    {
        let apart = m - *mean;
        *variance = between(*variance, *v, weight) + apart * apart * (weight * (1.0 - weight));
        *mean = between(*mean, *m, weight);
    }
}

/// The number `weight` of the way from `a` to `b`, which is `b` itself at 1.
fn between(a: f64, b: f64, weight: f64) -> f64 {
    if weight < 0.5 { a + weight * (b - a) } else { b - (b - a) * (1.0 - weight) }
}

fn same_channels(channels: usize, other: usize) -> Result<(), Error> {
    if channels == other { Ok(()) } else { Err(Error::StatisticsDiffer { channels, other }) }
}

/// The sums over each channel of all elements, or of the squares of what differs from these means.
fn sums<T: Element>(exec: &Exec, layout: &Channels, x: &[T], about: Option<&[f64]>) -> Vec<f64> {
    let (level, x) = (exec.current_level(), Shared(x.as_ptr().cast_mut()));
    layout.sums(exec, Cost::COPY, 1, |piece: Piece, sums| {
        let about = about.map(|means| means[piece.channel]);
        if piece.is_one() {
            // SAFETY: the run lies within the array, and `Exec` has no level that is not available.
            sums[0] = unsafe { sum_of(level, x.at(piece.start).cast_const(), piece.run, about) };
            return;
        }
        let mut block = [T::default(); BLOCK];
        // SAFETY: several runs are at most a block together, and lie within the array; `Exec` has no level
        // that is not available.
        sums[0] = unsafe {
            piece.gather(x.0.cast_const(), block.as_mut_ptr());
            sum_of(level, block.as_ptr(), piece.len(), about)
        };
    })
}

/// The sum of `n` numbers, or of the squares of what differs from `about`.
///
/// # Safety
/// `p` must be valid for reading `n` numbers, and `level` available.
unsafe fn sum_of<T: Element>(level: Level, p: *const T, n: usize, about: Option<f64>) -> f64 {
    if T::HALF {
        let total = Cell::new(0.0);
        // SAFETY: the array has `n` elements, the blocks `m`, and the level is available.
        unsafe {
            T::through_f32(level, [p], [], n, &|[x], [], m| {
                total.set(total.get() + sum_of::<f32>(level, x, m, about));
            });
        }
        return total.get();
    }
    // SAFETY: `T` is f32 or f64, of which there are `n`, and the level is available.
    unsafe {
        match about {
            None => sum::<T>(level, p, n),
            Some(about) => sum_of_squares::<T>(level, p, n, about),
        }
    }
}
