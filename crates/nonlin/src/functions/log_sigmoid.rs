//! Log-sigmoid: the logarithm of a probability, without passing through the probability.

use super::softplus::softplus;
use crate::prelude::*;

/// `ln(1 / (1 + e^-x)) = -softplus(-x)`.
#[derive(Clone, Copy, Debug)]
pub struct LogSigmoid;

impl Elementwise for LogSigmoid {
    const META: Meta = Meta {
        aliases: &["logsigmoid", "log_expit"],
        source: "by definition",
        pytorch: "LogSigmoid",
        jax: "log_sigmoid",
        keras: "log_sigmoid",
        use_when: "a loss needs the logarithm of a sigmoid",
        avoid_when: "you would take its exponential: use sigmoid",
        ..Meta::new("log_sigmoid", "-ln(1 + exp(-x))")
    };
    type Params<T: Copy> = [T; 0];
    const CLAIMS: Claims = Claims {
        range: (f64::NEG_INFINITY, 0.0),
        lipschitz: 1.0,
        monotone: true,
        from_output: Some((1.0, 1.0)),
        ..Claims::new((f64::NEG_INFINITY, 0.0), (1.0, 0.0))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        -softplus(-x, x.lit(1.0))
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, _: [T; 0]) -> T {
        (-x).sigmoid()
    }

    /// `1 - e^y`.
    #[inline(always)]
    fn slope_from_output<T: Real>(y: T, _: [T; 0]) -> T {
        -y.exp_m1()
    }
}
