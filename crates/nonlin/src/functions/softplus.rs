//! Softplus: a smooth ReLU, the integral of the sigmoid.
//!
//! `ln(1 + e^x)` as written overflows above 88.7 and is 0 below -16.6 (f32). Here it is
//! `max(x, 0) + ln(1 + e^-|x|)`, with no threshold.

use crate::prelude::*;

/// `ln(1 + e^(beta x)) / beta`.
#[derive(Clone, Copy, Debug)]
pub struct Softplus;

impl Elementwise for Softplus {
    const META: Meta = Meta {
        aliases: &["smooth_relu", "soft_plus"],
        source: "Dugas, Bengio, Belisle, Nadeau and Garcia 2001",
        pytorch: "Softplus",
        jax: "softplus",
        keras: "softplus",
        onnx: "Softplus",
        use_when: "an output must be positive: a variance, a rate, a scale",
        avoid_when: "speed matters and a kink does not: relu",
        ..Meta::new("softplus", "ln(1 + exp(beta * x)) / beta")
    };
    const PARAMS: &'static [Param] =
        &[Param::new("beta", 1.0, "sharpness: large is nearer to relu")
            .between(1e-6, Param::LIMIT)];
    type Params<T: Copy> = [T; 1];
    const CLAIMS: Claims = Claims {
        range: (0.0, f64::INFINITY),
        lipschitz: 1.0,
        monotone: true,
        from_output: Some((1.0, 1.0)),
        ..Claims::new((0.0, f64::INFINITY), (0.0, 1.0))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, [beta]: [T; 1]) -> T {
        softplus(x, beta)
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, [beta]: [T; 1]) -> T {
        let (z, z_lo) = x.argument((beta, x.lit(-0.0)));
        z.jet_at(z_lo, Prim::Sigmoid).value()
    }

    /// `1 - e^(-beta y)`.
    #[inline(always)]
    fn slope_from_output<T: Real>(y: T, [beta]: [T; 1]) -> T {
        -(-(beta * y)).exp_m1()
    }
}

/// `ln(1 + e^(beta x)) / beta` as `max(x, 0) + ln(1 + e^-|beta x|) / beta`.
#[inline(always)]
pub(super) fn softplus<T: Real>(x: T, beta: T) -> T {
    let (z, z_lo) = (-x.abs()).argument((beta, x.lit(-0.0)));
    x.max(x.lit(0.0)).plus_quotient(z.softplus_neg(z_lo), beta)
}
