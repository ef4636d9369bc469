//! GEGLU: a value gated by the exact GELU.

use super::swiglu::{gradients, product};
use crate::functions::Gelu;
use crate::prelude::*;

/// `gelu(a) b`.
#[derive(Clone, Copy, Debug)]
pub struct Geglu;

impl Gated for Geglu {
    const META: Meta = Meta {
        aliases: &["gelu_gated"],
        source: "Shazeer 2020, arXiv:2002.05202",
        pytorch: "",
        jax: "",
        onnx: "",
        use_when: "feed-forward layers of transformers (T5 1.1, Gemma)",
        avoid_when: "weights were trained with the tanh form",
        ..Meta::new("geglu", "a * normal_cdf(a) * b")
    };
    const GATE: Gate = Gate::First;
    const SLOPE_ZEROS: &'static [f64] = Gelu::CLAIMS.slope_zeros;

    #[inline(always)]
    fn value<T: Real>(gate: T, value: T) -> T {
        product(gate, value, Prim::Cdf)
    }

    #[inline(always)]
    fn backward<T: Real>(gate: T, value: T, grad: T) -> (T, T) {
        gradients(gate, value, grad, Prim::Cdf)
    }
}
