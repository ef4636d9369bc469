//! Tanh: a sigmoid that is odd, between -1 and 1.

use crate::prelude::*;

/// `(e^x - e^-x) / (e^x + e^-x)`.
#[derive(Clone, Copy, Debug)]
pub struct Tanh;

impl Elementwise for Tanh {
    const META: Meta = Meta {
        aliases: &["hyperbolic_tangent"],
        source: "LeCun, Bottou, Orr and Mueller 1998, Efficient BackProp",
        pytorch: "Tanh",
        jax: "tanh",
        keras: "tanh",
        onnx: "Tanh",
        use_when: "recurrent cells, or outputs between -1 and 1 with mean 0",
        avoid_when: "many layers deep: beyond |x| = 3 the slope is below 1/100",
        ..Meta::new("tanh", "tanh(x)")
    };
    type Params<T: Copy> = [T; 0];
    const CLAIMS: Claims = Claims {
        range: (-1.0, 1.0),
        lipschitz: 1.0,
        monotone: true,
        odd: true,
        zeros: &[0.0],
        from_output: Some((1.75, 1.75)),
        ..Claims::new((-1.0, 1.0), (0.0, 0.0))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        x.tanh()
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, _: [T; 0]) -> T {
        x.slope_jet(Prim::Tanh).slope()
    }

    /// `1 - y^2` as a product: the difference is exact where y is near 1.
    #[inline(always)]
    fn slope_from_output<T: Real>(y: T, _: [T; 0]) -> T {
        (y.lit(1.0) - y) * (y.lit(1.0) + y)
    }
}
