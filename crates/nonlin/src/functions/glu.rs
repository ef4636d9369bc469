//! GLU: a value gated by a sigmoid.

use crate::prelude::*;

/// `a sigmoid(b)`.
#[derive(Clone, Copy, Debug)]
pub struct Glu;

impl Gated for Glu {
    const META: Meta = Meta {
        aliases: &["gated_linear_unit"],
        source: "Dauphin, Fan, Auli and Grangier 2016, arXiv:1612.08083",
        pytorch: "GLU",
        jax: "glu",
        onnx: "",
        use_when: "sequence models with convolutions",
        avoid_when: "a language model is built anew: swiglu does better",
        ..Meta::new("glu", "a / (1 + exp(-b))")
    };
    const GATE: Gate = Gate::Second;

    #[inline(always)]
    fn value<T: Real>(gate: T, value: T) -> T {
        let j = gate.jet(Prim::Sigmoid);
        value.weighted(j.v, j.v_lo, j.k)
    }

    #[inline(always)]
    fn backward<T: Real>(gate: T, value: T, grad: T) -> (T, T) {
        let (j, slope) = (gate.jet(Prim::Sigmoid), gate.slope_jet(Prim::Sigmoid));
        (
            grad.weighted_product(value, slope.d, slope.d_lo, slope.k),
            grad.weighted(j.v, j.v_lo, j.k),
        )
    }
}
