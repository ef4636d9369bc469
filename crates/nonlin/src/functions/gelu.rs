//! GELU: gated by the normal distribution function, in its exact form.
//!
//! `1 + erf` as written cancels on the left: 57 % wrong at -5.5 in f32, 0 from -6. Here the
//! tail is `e^(-x^2/2)` times a smooth factor. The approximation by tanh is `gelu_tanh`.

use crate::prelude::*;

/// `x (1 + erf(x / sqrt 2)) / 2`.
#[derive(Clone, Copy, Debug)]
pub struct Gelu;

impl Elementwise for Gelu {
    const META: Meta = Meta {
        aliases: &["gelu_erf", "gelu_exact", "gelu_python", "gelu_none"],
        source: "Hendrycks and Gimpel 2016, arXiv:1606.08415",
        pytorch: "GELU",
        jax: "gelu (approximate=False)",
        keras: "gelu",
        onnx: "Gelu",
        use_when: "transformers (BERT, ViT) and most modern feed-forward layers",
        avoid_when: "weights were trained with the tanh form (GPT-2): use gelu_tanh",
        ..Meta::new("gelu", "x * normal_cdf(x)")
    };
    type Params<T: Copy> = [T; 0];
    const CLAIMS: Claims = Claims {
        range: (-0.169_971_207_479_903_66, f64::INFINITY),
        lipschitz: 1.128_904_145_185_154_8,
        minimum: Some((-0.751_791_524_693_564_5, -0.169_971_207_479_903_66)),
        zeros: &[0.0],
        slope_zeros: &[-0.751_791_524_693_564_5],
        ..Claims::new((0.0, f64::INFINITY), (0.0, 1.0))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        x.gated(x.jet(Prim::Cdf))
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, _: [T; 0]) -> T {
        x.gated_slope(x.jet(Prim::Cdf))
    }
}
