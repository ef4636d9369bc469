//! SiLU (Swish): a smooth self-gated ReLU.
//!
//! Written as `x * sigmoid(x)` it is NaN at -inf, and 0 below -88.7 (f32), where the result
//! is still a normal number. Here the product is taken before the last scaling.

use crate::prelude::*;

/// `x / (1 + e^(-beta x))`.
#[derive(Clone, Copy, Debug)]
pub struct Silu;

impl Elementwise for Silu {
    const META: Meta = Meta {
        aliases: &["swish", "sil", "swish_1"],
        source: "Elfwing, Uchibe and Doya 2017, arXiv:1702.03118; Ramachandran, Zoph and Le 2017, arXiv:1710.05941",
        pytorch: "SiLU",
        jax: "silu",
        keras: "silu",
        onnx: "Swish",
        use_when: "deep convolutional networks (EfficientNet) and, gated, language models",
        avoid_when: "integer hardware: hard_swish is nearly the same and has no exponential",
        ..Meta::new("silu", "x / (1 + exp(-beta * x))")
    };
    const PARAMS: &'static [Param] = &[Param::new("beta", 1.0, "sharpness of the gate")];
    type Params<T: Copy> = [T; 1];
    const CLAIMS: Claims = Claims {
        range: (-0.278_464_542_761_073_8, f64::INFINITY),
        lipschitz: 1.099_839_320_128_867,
        minimum: Some((-1.278_464_542_761_073_7, -0.278_464_542_761_073_8)),
        zeros: &[0.0],
        slope_zeros: &[-1.278_464_542_761_073_7],
        ..Claims::new((0.0, f64::INFINITY), (0.0, 1.0))
    };

    /// `s u sigmoid(|beta| u)` with `u = s x` and `s` the sign of `beta`, so that the gate
    /// closes on the left.
    #[inline(always)]
    fn value<T: Real>(x: T, [beta]: [T; 1]) -> T {
        let s = beta.sign_or_one();
        let u = s * x;
        let (z, z_lo) = u.argument((s * beta, x.lit(-0.0)));
        s * u.gated(z.jet_at(z_lo, Prim::Sigmoid))
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, [beta]: [T; 1]) -> T {
        let (z, z_lo) = x.argument((beta, x.lit(-0.0)));
        let j = z.jet_at(z_lo, Prim::Sigmoid);
        z.gated_slope(Jet { v_lo: j.v_lo + z_lo * j.d, ..j })
    }
}
