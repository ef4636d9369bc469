//! Functions that are random in training: RReLU draws a slope for each element.

#![allow(unsafe_code)]

use crate::element::Element;
use crate::error::Error;
use crate::exec::{Cost, Exec, Shared, same_length};
use crate::function::Function;
use crate::functions::{Prelu, Rrelu};
use crate::kernel::{Each, PerType};
use crate::values::Parametric;
use alloc::{vec, vec::Vec};

/// A number for each counter, uniform in [0, 1), the same on every machine: 24 bits of
/// a mixing function of seed and counter (Steele, Lea and Flood 2014, "SplitMix").
fn uniform(seed: u64, counter: u64) -> f64 {
    let mut z = seed.wrapping_add(counter.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1u32 << 24)
}

/// A function as it is in training, with the random numbers of one call: `rrelu` with a slope for
/// each element, drawn uniformly from `lower` to `upper`.
///
/// ```
/// use nonlin::Rrelu;
/// let step = Rrelu.training(42, 0)?;
/// let (x, mut y, mut dx) = ([-1.0f32, 2.0], [0.0; 2], [0.0; 2]);
/// step.forward(&x, &mut y);
/// step.backward(&x, &[1.0, 1.0], &mut dx);
/// assert_eq!([-dx[0], 2.0], y); // the slope that was drawn
/// assert!((0.125..=0.3334).contains(&dx[0]));
/// # Ok::<(), nonlin::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Training {
    lower: f64,
    upper: f64,
    seed: u64,
    offset: u64,
}

impl Function {
    /// This function as it is in training. Element `i` has random number `offset + i` of those that
    /// `seed` stands for, on any machine, with any number of threads and block size; `offset` lets
    /// an array be computed in parts, and gives each step of a training other numbers.
    ///
    /// # Errors
    /// If the function is not random in training (`rrelu` is).
    pub fn training(&self, seed: u64, offset: u64) -> Result<Training, Error> {
        match self.values() {
            &[lower, upper] if self.made.is(&Rrelu.made) => {
                Ok(Training { lower, upper, seed, offset })
            }
            _ => Err(Error::NotRandom { function: self.made.name() }),
        }
    }
}

impl Training {
    /// The kernels of `x` above 0 and `w x` below, with `w` per element.
    fn kernels() -> &'static PerType<Each> {
        Prelu.made.each().expect("prelu has a weight per element")
    }

    /// The slopes of the elements from `start` on.
    fn slopes<T: Element>(&self, start: usize, slopes: &mut [T]) {
        for (i, slope) in (start as u64..).zip(slopes) {
            let u = uniform(self.seed, self.offset.wrapping_add(i));
            *slope = T::from_f64(self.lower + (self.upper - self.lower) * u);
        }
    }

    /// `y[i] = x[i]` above 0, a random slope times `x[i]` below.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn forward<T: Element>(&self, x: &[T], y: &mut [T]) {
        self.forward_with(&Exec::new(), x, y);
    }

    /// [`forward`](Self::forward), carried out as `exec` says.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn forward_with<T: Element>(&self, exec: &Exec, x: &[T], y: &mut [T]) {
        same_length("y", y.len(), "x", x.len());
        let (level, kernels) = (exec.current_level(), Self::kernels());
        let to = Shared(y.as_mut_ptr());
        exec.blocks(x.len(), Cost::UNKNOWN, |i, m| {
            let mut w: Vec<T> = vec![T::default(); m];
            self.slopes(i, &mut w);
            let inputs = [x[i..i + m].as_ptr(), w.as_ptr()];
            // SAFETY: the block lies within both arrays, `w` has `m` slopes, and `Exec` has no level
            // that is not available.
            unsafe { kernels.map(level, inputs, to.at(i), m) }
        });
    }

    /// The gradient of [`forward`](Self::forward): `dx[i] = grad[i]` above 0, the slope of element
    /// `i` times `grad[i]` below.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward<T: Element>(&self, x: &[T], grad: &[T], dx: &mut [T]) {
        self.backward_with(&Exec::new(), x, grad, dx);
    }

    /// [`backward`](Self::backward), carried out as `exec` says.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_with<T: Element>(&self, exec: &Exec, x: &[T], grad: &[T], dx: &mut [T]) {
        same_length("grad", grad.len(), "x", x.len());
        same_length("dx", dx.len(), "x", x.len());
        let (level, kernels) = (exec.current_level(), Self::kernels());
        let to = Shared(dx.as_mut_ptr());
        exec.blocks(x.len(), Cost::UNKNOWN, |i, m| {
            let mut w: Vec<T> = vec![T::default(); m];
            self.slopes(i, &mut w);
            let mut dw = vec![T::default(); m];
            let inputs = [x[i..i + m].as_ptr(), w.as_ptr(), grad[i..i + m].as_ptr()];
            // SAFETY: the block lies within all arrays, `w` and `dw` have `m` elements, and `Exec`
            // has no level that is not available.
            unsafe { kernels.back(level, inputs, [to.at(i), dw.as_mut_ptr()], m) }
        });
    }
}
