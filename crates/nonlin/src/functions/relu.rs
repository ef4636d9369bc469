//! ReLU: the positive part.
//!
//! NaN stays NaN and -0 stays -0: `max` is defined by a comparison, not by an instruction
//! that drops NaN.

use crate::prelude::*;

/// `max(x, 0)`.
#[derive(Clone, Copy, Debug)]
pub struct Relu;

impl Elementwise for Relu {
    const META: Meta = Meta {
        aliases: &["rectifier", "ramp"],
        source: "Nair and Hinton 2010, Rectified linear units improve restricted Boltzmann machines",
        pytorch: "ReLU",
        jax: "relu",
        keras: "relu",
        onnx: "Relu",
        use_when: "the first choice for convolutional and plain feed-forward networks: cheapest, and the slope does not shrink",
        avoid_when: "units die (always negative input, slope 0): use leaky_relu, elu or gelu",
        ..Meta::new("relu", "max(x, 0)")
    };
    type Params<T: Copy> = [T; 0];
    const CLAIMS: Claims = Claims {
        range: (0.0, f64::INFINITY),
        lipschitz: 1.0,
        monotone: true,
        idempotent: true,
        zeros: &[0.0],
        kinks: &[Kink { at: 0.0, left: 0.0, right: 1.0, chosen: 0.0 }],
        flat: &[(f64::NEG_INFINITY, 0.0)],
        bounds: Bounds::EXACT,
        from_output: Some((0.0, 0.0)),
        ..Claims::new((0.0, f64::INFINITY), (0.0, 1.0))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        x.max(x.lit(0.0))
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, _: [T; 0]) -> T {
        x.split(0.0).join(x.lit(1.0), x.lit(0.0))
    }

    #[inline(always)]
    fn backward<T: Real>(x: T, grad: T, _: [T; 0]) -> T {
        x.split(0.0).join(grad, x.lit(0.0))
    }

    /// y is positive where x is.
    #[inline(always)]
    fn slope_from_output<T: Real>(y: T, p: [T; 0]) -> T {
        Self::slope(y, p)
    }

    #[inline(always)]
    fn backward_from_output<T: Real>(y: T, grad: T, p: [T; 0]) -> T {
        Self::backward(y, grad, p)
    }
}
