//! Sigmoid: the logistic function, a probability from a log-odds.
//!
//! `1 / (1 + e^-x)` as written loses the left tail: `e^-x` overflows below -88.7 (f32),
//! where the result is still 2.7e-39. Here `e^-|x|` is in the numerator on the left.

use crate::prelude::*;

/// `1 / (1 + e^-x)`.
#[derive(Clone, Copy, Debug)]
pub struct Sigmoid;

impl Elementwise for Sigmoid {
    const META: Meta = Meta {
        aliases: &["logistic", "expit", "soft_step"],
        source: "Verhulst 1838; Rumelhart, Hinton and Williams 1986",
        pytorch: "Sigmoid",
        jax: "sigmoid",
        keras: "sigmoid",
        onnx: "Sigmoid",
        use_when: "the output is a probability or a gate between 0 and 1",
        avoid_when: "between deep layers: the slope is at most 1/4, so gradients vanish",
        ..Meta::new("sigmoid", "1 / (1 + exp(-x))")
    };
    type Params<T: Copy> = [T; 0];
    const CLAIMS: Claims = Claims {
        range: (0.0, 1.0),
        lipschitz: 0.25,
        monotone: true,
        from_output: Some((0.75, 1.5)),
        ..Claims::new((0.0, 1.0), (0.0, 0.0))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        x.sigmoid()
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, _: [T; 0]) -> T {
        x.slope_jet(Prim::Sigmoid).slope()
    }

    /// `y (1 - y)`.
    #[inline(always)]
    fn slope_from_output<T: Real>(y: T, _: [T; 0]) -> T {
        y * (y.lit(1.0) - y)
    }
}
