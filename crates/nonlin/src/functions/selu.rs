//! SELU: the ELU whose fixed point is mean 0 and variance 1.
//!
//! Both constants are the real numbers of the paper's equation 14 (derived in
//! `tools/coefficients.py`), not roundings of them.

use crate::math::coefficients::{SELU_LAMBDA, SELU_LAMBDA_ALPHA};
use crate::prelude::*;

/// `lambda x` above 0, `lambda alpha (e^x - 1)` below.
#[derive(Clone, Copy, Debug)]
pub struct Selu;

impl Elementwise for Selu {
    const META: Meta = Meta {
        aliases: &["scaled_elu", "self_normalizing_elu"],
        source: "Klambauer, Unterthiner, Mayr and Hochreiter 2017, arXiv:1706.02515",
        pytorch: "SELU",
        jax: "selu",
        keras: "selu",
        onnx: "Selu",
        use_when: "deep fully connected networks without normalisation, with lecun_normal weights",
        avoid_when: "convolutions with batch norm, or ordinary dropout: the fixed point is lost",
        ..Meta::new(
            "selu",
            "1.0507009873554804934193349852946 * if(x > 0, x, 1.6732632423543772848170429916717 * (exp(x) - 1))",
        )
    };
    type Params<T: Copy> = [T; 0];
    const CLAIMS: Claims = Claims {
        range: (-1.758_099_340_847_376_9, f64::INFINITY),
        lipschitz: 1.758_099_340_847_376_9,
        monotone: true,
        zeros: &[0.0],
        kinks: &[Kink {
            at: 0.0,
            left: 1.758_099_340_847_376_9,
            right: 1.050_700_987_355_480_5,
            chosen: 1.758_099_340_847_376_9,
        }],
        from_output: Some((2.25, 2.5)),
        ..Claims::new((-1.758_099_340_847_376_9, f64::INFINITY), (0.0, 1.050_700_987_355_480_5))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        let s = x.split_at(0.0);
        let (upper, lower) = (x.constant(SELU_LAMBDA), x.constant(SELU_LAMBDA_ALPHA));
        let j = s.lo.jet(Prim::ExpM1);
        let rest = x.constant_rest(SELU_LAMBDA_ALPHA) / lower;
        s.join(
            s.hi.gated(Jet { v_lo: x.constant_rest(SELU_LAMBDA), ..Jet::new(upper, upper, upper) }),
            lower.scaled(j.v, j.v_lo + j.v * rest, j.k),
        )
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, _: [T; 0]) -> T {
        let s = x.split(0.0);
        s.join_nan_free(x.constant(SELU_LAMBDA), s.lo.exp_times(x.constant(SELU_LAMBDA_ALPHA)))
    }

    /// `lambda alpha e^x` is `y + lambda alpha`.
    #[inline(always)]
    fn slope_from_output<T: Real>(y: T, _: [T; 0]) -> T {
        let s = y.split(0.0);
        s.join_nan_free(y.constant(SELU_LAMBDA), s.lo + y.constant(SELU_LAMBDA_ALPHA))
    }
}
