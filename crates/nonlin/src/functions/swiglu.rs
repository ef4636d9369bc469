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
    const ROUTE: Route = Route::Paired {
        value: Reach::between(-70.0, f32::INFINITY).near(-NEAR_END, NEAR_END),
        slope: Reach::between(-70.0, f32::INFINITY).near(-NEAR_END, NEAR_END),
    };
    const SLOPE_ZEROS: &'static [f64] = Silu::CLAIMS.slope_zeros;

    #[inline(always)]
    fn value<T: Real>(gate: T, value: T) -> T {
        let j = gate.jet(Prim::Sigmoid);
        gate.max(gate.lowest()).scaled_product(value, j.v, j.v_lo, j.k)
    }

    #[inline(always)]
    fn backward<T: Real>(gate: T, value: T, grad: T) -> (T, T) {
        let j = gate.jet(Prim::Sigmoid);
        let slope = gate.slope_sum(j);
        (
            slope.scaled_product(grad * value, gate.lit(1.0), gate.lit(0.0), j.k),
            gate.gated_times(j, grad),
        )
    }
}
