//! ELU: saturates at `-alpha` on the left, smooth for `alpha = 1`.
//!
//! `e^x - 1` as written is 0 for -6e-8 < x < 0 in f32 and wrong by 1 % at -1e-6; here it is
//! one primitive, exact near 0.

use crate::prelude::*;

/// `x` above 0, `alpha (e^x - 1)` below.
#[derive(Clone, Copy, Debug)]
pub struct Elu;

impl Elementwise for Elu {
    const META: Meta = Meta {
        aliases: &["exponential_linear_unit"],
        source: "Clevert, Unterthiner and Hochreiter 2015, arXiv:1511.07289",
        pytorch: "ELU",
        jax: "elu",
        keras: "elu",
        onnx: "Elu",
        use_when: "mean activations near 0 are wanted without normalisation layers",
        avoid_when: "alpha is not 1 and smoothness matters: use celu",
        ..Meta::new("elu", "if(x > 0, x, alpha * (exp(x) - 1))")
    };
    const PARAMS: &'static [Param] = &[Param::new("alpha", 1.0, "minus the limit at -inf")];
    type Params<T: Copy> = [T; 1];
    const CLAIMS: Claims = Claims {
        range: (-1.0, f64::INFINITY),
        lipschitz: 1.0,
        monotone: true,
        zeros: &[0.0],
        from_output: Some((1.0, 1.0)),
        ..Claims::new((-1.0, f64::INFINITY), (0.0, 1.0))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, [alpha]: [T; 1]) -> T {
        let s = x.split_at(0.0);
        s.join_identity_above(alpha * s.lo.exp_m1())
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, [alpha]: [T; 1]) -> T {
        let s = x.split(0.0);
        s.join_nan_free(x.lit(1.0), s.lo.exp_times(alpha))
    }

    /// `alpha e^x` is `y + alpha`.
    #[inline(always)]
    fn slope_from_output<T: Real>(y: T, [alpha]: [T; 1]) -> T {
        let s = y.split(0.0);
        s.join_nan_free(y.lit(1.0), s.lo + alpha)
    }
}
