//! ReLU-GLU: the positive part gated by a sigmoid.
//!
//! Some articles call this ReGLU; Shazeer's ReGLU is `reglu`.

use crate::functions::Relu;
use crate::prelude::*;

/// `max(a, 0) sigmoid(b)`.
#[derive(Clone, Copy, Debug)]
pub struct ReluGlu;

impl Gated for ReluGlu {
    const META: Meta = Meta {
        aliases: &[],
        source: "source articles; compare Shazeer 2020, arXiv:2002.05202",
        pytorch: "",
        jax: "",
        onnx: "",
        use_when: "a network was built from that form",
        avoid_when: "in new designs: both operands saturate",
        ..Meta::new("relu_glu", "max(a, 0) / (1 + exp(-b))")
    };
    const GATE: Gate = Gate::Second;

    #[inline(always)]
    fn value<T: Real>(gate: T, value: T) -> T {
        let j = gate.jet(Prim::Sigmoid);
        Relu::value(value, []).weighted(j.v, j.v_lo, j.k)
    }

    #[inline(always)]
    fn backward<T: Real>(gate: T, value: T, grad: T) -> (T, T) {
        let (j, by_gate) = (gate.jet(Prim::Sigmoid), gate.slope_jet(Prim::Sigmoid));
        let (v, grad) = (Relu::value(value, []), Relu::backward(value, grad, []));
        (
            grad.weighted_product(v, by_gate.d, by_gate.d_lo, by_gate.k),
            grad.weighted(j.v, j.v_lo, j.k),
        )
    }
}
