//! ReGLU: a value gated by ReLU, as Shazeer defines it.
//!
//! The form `relu(a) sigmoid(b)` that circulates under the same name is `relu_glu`.

use crate::functions::Relu;
use crate::prelude::*;

/// `max(a, 0) b`.
#[derive(Clone, Copy, Debug)]
pub struct Reglu;

impl Gated for Reglu {
    const META: Meta = Meta {
        aliases: &["relu_gated"],
        source: "Shazeer 2020, arXiv:2002.05202",
        pytorch: "",
        jax: "",
        onnx: "",
        use_when: "feed-forward layers that must stay sparse",
        avoid_when: "swiglu is affordable",
        ..Meta::new("reglu", "max(a, 0) * b")
    };
    const GATE: Gate = Gate::First;

    #[inline(always)]
    fn value<T: Real>(gate: T, value: T) -> T {
        Relu::value(gate, []) * value
    }

    #[inline(always)]
    fn backward<T: Real>(gate: T, value: T, grad: T) -> (T, T) {
        let grad = Relu::backward(gate, grad, []);
        (grad * value, grad * Relu::value(gate, []))
    }
}
