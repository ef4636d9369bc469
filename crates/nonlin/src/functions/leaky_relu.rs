//! Leaky ReLU: a small slope on the left, so that no unit dies.

use crate::prelude::*;

/// `x` above 0, `negative_slope * x` below.
#[derive(Clone, Copy, Debug)]
pub struct LeakyRelu;

impl Elementwise for LeakyRelu {
    const META: Meta = Meta {
        aliases: &["lrelu"],
        source: "Maas, Hannun and Ng 2013, Rectifier nonlinearities improve neural network acoustic models",
        pytorch: "LeakyReLU",
        jax: "leaky_relu",
        keras: "leaky_relu (negative_slope 0.2)",
        onnx: "LeakyRelu",
        use_when: "relu's units die; discriminators of GANs (slope 0.2)",
        avoid_when: "sparse activations are wanted: nothing is exactly 0",
        ..Meta::new("leaky_relu", "if(x > 0, x, negative_slope * x)")
    };
    const PARAMS: &'static [Param] = &[Param::new("negative_slope", 0.01, "slope below 0")];
    type Params<T: Copy> = [T; 1];
    const CLAIMS: Claims = Claims {
        lipschitz: 1.0,
        monotone: true,
        zeros: &[0.0],
        kinks: &[Kink { at: 0.0, left: 0.01, right: 1.0, chosen: 0.01 }],
        bounds: Bounds::EXACT_SLOPE,
        from_output: Some((0.01, 0.01)),
        ..Claims::new((f64::NEG_INFINITY, f64::INFINITY), (0.01, 1.0))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, [negative_slope]: [T; 1]) -> T {
        let s = x.split(0.0);
        s.join_nan_free(s.hi, s.lo.times_slope(negative_slope))
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, [negative_slope]: [T; 1]) -> T {
        x.split(0.0).join(x.lit(1.0), negative_slope)
    }

    /// y is positive where x is, if no slope is negative.
    #[inline(always)]
    fn slope_from_output<T: Real>(y: T, p: [T; 1]) -> T {
        Self::slope(y, p)
    }
}
