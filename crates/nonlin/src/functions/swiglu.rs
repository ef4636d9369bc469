//! SwiGLU: a value gated by SiLU.

use crate::functions::Silu;
use crate::prelude::*;

/// `silu(a) b`.
#[derive(Clone, Copy, Debug)]
pub struct Swiglu;

impl Gated for Swiglu {
    const META: Meta = Meta {
        aliases: &["silu_gated", "swish_glu"],
        source: "Shazeer 2020, arXiv:2002.05202",
        pytorch: "",
        jax: "",
        onnx: "SwiGLU",
        use_when: "feed-forward layers of language models (Llama, PaLM)",
        avoid_when: "memory is tight: it needs a third weight matrix",
        ..Meta::new("swiglu", "a / (1 + exp(-a)) * b")
    };
    const GATE: Gate = Gate::First;
    const SLOPE_ZEROS: &'static [f64] = Silu::CLAIMS.slope_zeros;

    #[inline(always)]
    fn value<T: Real>(gate: T, value: T) -> T {
        product(gate, value, Prim::Sigmoid)
    }

    #[inline(always)]
    fn backward<T: Real>(gate: T, value: T, grad: T) -> (T, T) {
        gradients(gate, value, grad, Prim::Sigmoid)
    }
}

/// `x` times its gate, times `value`.
#[inline(always)]
pub(super) fn product<T: Real>(x: T, value: T, prim: Prim) -> T {
    let j = x.jet(prim);
    x.max(x.lowest()).scaled_product(value, j.v, j.v_lo, j.k)
}

/// `grad` times both derivatives of that.
#[inline(always)]
pub(super) fn gradients<T: Real>(x: T, value: T, grad: T, prim: Prim) -> (T, T) {
    let j = x.jet(prim);
    let slope = x.slope_sum(j);
    (slope.times_product_of(grad, value, j.k), x.gated_times(j, grad))
}
