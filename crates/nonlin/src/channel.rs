//! Functions with a slope of their own per channel (PReLU) or per element (RReLU).

#![allow(unsafe_code)]

use crate::activation::Elementwise;
use crate::element::Element;
use crate::error::Error;
use crate::exec::{Exec, Shared, same_length};
use crate::function::{Activation, Function};
use crate::functions::{Prelu, Rrelu};
use crate::kernel::{EachKernels, each_back_32, each_back_64, each_map_32, each_map_64};
use crate::shape::{self, Around};
use alloc::{vec, vec::Vec};

/// The kernels of `x` above 0 and `w x` below, with `w` per element.
pub(crate) struct Each {
    pub(crate) single: EachKernels<f32>,
    pub(crate) double: EachKernels<f64>,
}

pub(crate) const KERNELS: Each = Each {
    single: EachKernels { map: each_map_32::<Prelu>(), back: each_back_32::<Prelu>() },
    double: EachKernels { map: each_map_64::<Prelu>(), back: each_back_64::<Prelu>() },
};

/// An array as outer x channels x inner.
struct Channels {
    channels: usize,
    inner: usize,
}

fn channels_of(
    len: usize,
    shape: &[usize],
    axis: isize,
    weights: usize,
) -> Result<Channels, Error> {
    shape::check("the array", len, shape)?;
    if weights == 1 {
        // One slope for all: the axis does not matter.
        return Ok(Channels { channels: 1, inner: len });
    }
    let Around { n: channels, inner, .. } = shape::around(shape, axis)?;
    if channels != weights {
        return Err(Error::Channels { axis, shape: shape.into(), channels, slopes: weights });
    }
    Ok(Channels { channels, inner })
}

/// Shortest run of one channel that gets a call of its own.
const RUN: usize = 64;

impl Prelu {
    /// `y = x` above 0, `weight[c] x` below, where `c` counts along `axis` (usually 1) of an
    /// array of that shape in C order. One weight is shared by all.
    ///
    /// # Errors
    /// If the shape does not fit `x`, or the number of weights is neither 1 nor the axis' length.
    ///
    /// # Panics
    /// If `y` is not as long as `x`.
    #[track_caller]
    pub fn forward_channels<T: Element>(
        exec: &Exec,
        x: &[T],
        shape: &[usize],
        axis: isize,
        weight: &[T],
        y: &mut [T],
    ) -> Result<(), Error> {
        same_length("y", y.len(), "x", x.len());
        let c = channels_of(x.len(), shape, axis, weight.len())?;
        let to = Shared(y.as_mut_ptr());
        let level = exec.current_level();
        per_row(exec, x.len(), &c, weight, |i, m, w| {
            // SAFETY: the block lies within `x` and `y`; `w` has `m` weights.
            unsafe { T::each(level, x[i..].as_ptr(), w.as_ptr(), to.at(i), m) }
        });
        Ok(())
    }

    /// The gradients of [`forward_channels`](Self::forward_channels): `dx`, and the sum over
    /// each channel in `dweight`, which has the length of `weight`.
    ///
    /// # Errors
    /// As `forward_channels`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    #[allow(clippy::too_many_arguments)]
    pub fn backward_channels<T: Element>(
        exec: &Exec,
        x: &[T],
        shape: &[usize],
        axis: isize,
        weight: &[T],
        grad: &[T],
        dx: &mut [T],
        dweight: &mut [T],
    ) -> Result<(), Error> {
        same_length("grad", grad.len(), "x", x.len());
        same_length("dx", dx.len(), "x", x.len());
        same_length("dweight", dweight.len(), "weight", weight.len());
        let c = channels_of(x.len(), shape, axis, weight.len())?;
        let mut dw = vec![T::default(); x.len()];
        let (to, tow) = (Shared(dx.as_mut_ptr()), Shared(dw.as_mut_ptr()));
        let level = exec.current_level();
        per_row(exec, x.len(), &c, weight, |i, m, w| {
            // SAFETY: the block lies within all arrays; `w` has `m` weights.
            unsafe {
                T::each_back(
                    level,
                    x[i..].as_ptr(),
                    w.as_ptr(),
                    grad[i..].as_ptr(),
                    to.at(i),
                    tow.at(i),
                    m,
                )
            }
        });
        // Added in f64 in the order of the array, whatever the threads did.
        let mut sums = vec![0.0; c.channels];
        for (r, run) in dw.chunks(c.inner.max(1)).enumerate() {
            let s = &mut sums[r % c.channels];
            for v in run {
                *s += v.to_f64();
            }
        }
        for (d, s) in dweight.iter_mut().zip(sums) {
            *d = T::from_f64(s);
        }
        Ok(())
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
    let of = |i: usize| weight[i / c.inner % c.channels];
    if c.inner >= RUN {
        exec.blocks(len, |i, m| {
            let mut at = i;
            while at < i + m {
                let run = (c.inner - at % c.inner).min(i + m - at).min(RUN * 16);
                let w = [of(at); RUN * 16];
                f(at, run, &w[..run]);
                at += run;
            }
        });
    } else {
        exec.blocks(len, |i, m| {
            let w: Vec<T> = (i..i + m).map(of).collect();
            f(i, m, &w);
        });
    }
}

/// A number for each counter, uniform in [0, 1), the same on every machine: 24 bits of
/// a mixing function of seed and counter (Steele, Lea and Flood 2014, "SplitMix").
fn uniform(seed: u64, counter: u64) -> f64 {
    let mut z = seed.wrapping_add(counter.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1u32 << 24)
}

impl Rrelu {
    /// Training: `y = x` above 0, `slope x` below, with `slope` drawn for element `offset + i`
    /// uniformly from `lower` to `upper`. A seed gives the same slopes for any thread count and
    /// block size; `offset` lets an array be computed in parts.
    ///
    /// # Errors
    /// If `function` is not `rrelu`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn forward_train<T: Element>(
        exec: &Exec,
        function: &Function,
        seed: u64,
        offset: u64,
        x: &[T],
        y: &mut [T],
    ) -> Result<(), Error> {
        same_length("y", y.len(), "x", x.len());
        let slopes = Slopes::new(function, seed, offset)?;
        let level = exec.current_level();
        let to = Shared(y.as_mut_ptr());
        exec.blocks(x.len(), |i, m| {
            let w: Vec<T> = slopes.of(i, m);
            // SAFETY: the block lies within both arrays; `w` has `m` slopes.
            unsafe { T::each(level, x[i..].as_ptr(), w.as_ptr(), to.at(i), m) }
        });
        Ok(())
    }

    /// The gradient of [`forward_train`](Self::forward_train) with the same seed and offset.
    ///
    /// # Errors
    /// If `function` is not `rrelu`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_train<T: Element>(
        exec: &Exec,
        function: &Function,
        seed: u64,
        offset: u64,
        x: &[T],
        grad: &[T],
        dx: &mut [T],
    ) -> Result<(), Error> {
        same_length("grad", grad.len(), "x", x.len());
        same_length("dx", dx.len(), "x", x.len());
        let slopes = Slopes::new(function, seed, offset)?;
        let level = exec.current_level();
        let to = Shared(dx.as_mut_ptr());
        exec.blocks(x.len(), |i, m| {
            let w: Vec<T> = slopes.of(i, m);
            let mut dw = vec![T::default(); m];
            // SAFETY: the block lies within all arrays; `w` and `dw` have `m` elements.
            unsafe {
                T::each_back(
                    level,
                    x[i..].as_ptr(),
                    w.as_ptr(),
                    grad[i..].as_ptr(),
                    to.at(i),
                    dw.as_mut_ptr(),
                    m,
                )
            }
        });
        Ok(())
    }
}

/// The random slopes of a call.
struct Slopes {
    lower: f64,
    upper: f64,
    seed: u64,
    offset: u64,
}

impl Slopes {
    fn new(function: &Function, seed: u64, offset: u64) -> Result<Self, Error> {
        if function.name() != Rrelu::META.name {
            return Err(Error::UnknownFunction {
                name: function.name().into(),
                nearest: Some(Rrelu::META.name),
            });
        }
        let p: Vec<f64> = function.params().map(|(_, v)| v).collect();
        Ok(Slopes { lower: p[0], upper: p[1], seed, offset })
    }

    fn of<T: Element>(&self, start: usize, m: usize) -> Vec<T> {
        let slope = |i: usize| {
            self.lower + (self.upper - self.lower) * uniform(self.seed, self.offset + i as u64)
        };
        (start..start + m).map(|i| T::from_f64(slope(i))).collect()
    }
}

impl Rrelu {
    /// The function as a value, with slopes between `lower` and `upper`.
    ///
    /// # Errors
    /// If a slope is not finite.
    pub fn between(lower: f64, upper: f64) -> Result<Function, Error> {
        Rrelu.function().with_index(0, lower)?.with_index(1, upper)
    }
}
