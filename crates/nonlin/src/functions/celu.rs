//! CELU: an ELU that is smooth for every `alpha`.

use crate::prelude::*;

/// `max(0, x) + min(0, alpha (e^(x / alpha) - 1))`.
#[derive(Clone, Copy, Debug)]
pub struct Celu;

impl Elementwise for Celu {
    const META: Meta = Meta {
        aliases: &["continuously_differentiable_elu"],
        source: "Barron 2017, arXiv:1704.07483",
        pytorch: "CELU",
        jax: "celu",
        keras: "celu",
        onnx: "Celu",
        use_when: "an ELU with another saturation than -1, or with a learned one",
        avoid_when: "alpha is 1: elu is the same",
        ..Meta::new("celu", "if(x > 0, x, alpha * (exp(x / alpha) - 1))")
    };
    const PARAMS: &'static [Param] =
        &[Param::new("alpha", 1.0, "minus the limit at -inf").between(1e-6, Param::LIMIT)];
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
        s.join_identity_above(s.lo.exp_m1_of_width(alpha))
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, [alpha]: [T; 1]) -> T {
        let s = x.split(0.0);
        let (z, z_lo) = s.lo.argument(alpha.reciprocal());
        s.join_nan_free(x.lit(1.0), z.jet_at(z_lo, Prim::Exp).value())
    }

    /// `e^(x / alpha)` is `y / alpha + 1`.
    #[inline(always)]
    fn slope_from_output<T: Real>(y: T, [alpha]: [T; 1]) -> T {
        let s = y.split(0.0);
        s.join_nan_free(y.lit(1.0), s.lo * (y.lit(1.0) / alpha) + y.lit(1.0))
    }
}
