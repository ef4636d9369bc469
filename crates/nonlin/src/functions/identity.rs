//! Identity: the linear unit.

use crate::prelude::*;

/// `x`.
#[derive(Clone, Copy, Debug)]
pub struct Identity;

impl Elementwise for Identity {
    const META: Meta = Meta {
        aliases: &["linear", "none"],
        source: "by definition",
        pytorch: "Identity",
        jax: "identity",
        keras: "linear",
        onnx: "Identity",
        use_when: "the last layer of a regression, whose targets are unbounded",
        avoid_when: "between layers: two linear layers are one",
        ..Meta::new("identity", "x")
    };
    type Params<T: Copy> = [T; 0];
    const CLAIMS: Claims = Claims {
        lipschitz: 1.0,
        monotone: true,
        odd: true,
        idempotent: true,
        zeros: &[0.0],
        bounds: Bounds::EXACT,
        from_output: Some((0.0, 0.0)),
        ..Claims::new((f64::NEG_INFINITY, f64::INFINITY), (1.0, 1.0))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        x
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, _: [T; 0]) -> T {
        x.split(0.0).join(x.lit(1.0), x.lit(1.0))
    }

    /// 1.
    #[inline(always)]
    fn slope_from_output<T: Real>(y: T, p: [T; 0]) -> T {
        Self::slope(y, p)
    }
}
