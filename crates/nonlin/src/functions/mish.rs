//! Mish: smooth, self-gated by `tanh(softplus(x))`.
//!
//! The composed form overflows inside and takes three transcendental functions; the gate is
//! a rational function of one exponential.

use crate::prelude::*;

/// `x tanh(ln(1 + e^x))`.
#[derive(Clone, Copy, Debug)]
pub struct Mish;

impl Elementwise for Mish {
    const META: Meta = Meta {
        source: "Misra 2019, arXiv:1908.08681",
        pytorch: "Mish",
        jax: "mish",
        keras: "mish",
        onnx: "Mish",
        use_when: "detectors of the YOLO family, and wherever silu is good",
        avoid_when: "the gain over silu is not measured: it costs more",
        ..Meta::new("mish", "x * tanh(ln(1 + exp(x)))")
    };
    type Params<T: Copy> = [T; 0];
    const CLAIMS: Claims = Claims {
        range: (-0.308_843_413_017_250_4, f64::INFINITY),
        lipschitz: 1.088_498_161_251_728,
        minimum: Some((-1.192_431_214_515_495_2, -0.308_843_413_017_250_4)),
        zeros: &[0.0],
        slope_zeros: &[-1.192_431_214_515_495_2],
        ..Claims::new((0.0, f64::INFINITY), (0.0, 1.0))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        x.gated(x.jet(Prim::TanhSoftplus))
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, _: [T; 0]) -> T {
        x.gated_slope(x.jet(Prim::TanhSoftplus))
    }
}
