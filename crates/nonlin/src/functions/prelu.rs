//! PReLU: a leaky ReLU whose slope is learned, one for all or one per channel.
//!
//! As an elementwise function it has one shared slope; [`Function::per_channel`] takes one per channel,
//! along any axis.

use crate::prelude::*;

/// `x` above 0, `weight * x` below.
#[derive(Clone, Copy, Debug)]
pub struct Prelu;

impl Elementwise for Prelu {
    const META: Meta = Meta {
        aliases: &["parametric_relu"],
        source: "He, Zhang, Ren and Sun 2015, arXiv:1502.01852",
        pytorch: "PReLU",
        jax: "PReLU (flax)",
        keras: "PReLU",
        onnx: "PRelu",
        use_when: "convolutional networks with room for one more parameter per channel",
        avoid_when: "with weight decay on the slopes, which pulls them to relu",
        ..Meta::new("prelu", "if(x > 0, x, weight * x)")
    };
    const PARAMS: &'static [Param] = &[Param::new("weight", 0.25, "slope below 0, learned")];
    type Params<T: Copy> = [T; 1];
    const CLAIMS: Claims = Claims {
        lipschitz: 1.0,
        monotone: true,
        zeros: &[0.0],
        kinks: &[Kink { at: 0.0, left: 0.25, right: 1.0, chosen: 0.25 }],
        bounds: Bounds::EXACT_SLOPE,
        from_output: Some((0.0, 0.0)),
        ..Claims::new((f64::NEG_INFINITY, f64::INFINITY), (0.25, 1.0))
    };
    const PER_ELEMENT: bool = true;

    #[inline(always)]
    fn value<T: Real>(x: T, [weight]: [T; 1]) -> T {
        let s = x.split(0.0);
        s.join_nan_free(s.hi, s.lo.times_slope(weight))
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, [weight]: [T; 1]) -> T {
        x.split(0.0).join(x.lit(1.0), weight)
    }

    /// y is positive where x is, if no slope is negative.
    #[inline(always)]
    fn slope_from_output<T: Real>(y: T, p: [T; 1]) -> T {
        Self::slope(y, p)
    }
}
