//! Bilinear unit: a gated unit without an activation.

use crate::prelude::*;

/// `a b`.
#[derive(Clone, Copy, Debug)]
pub struct Bilinear;

impl Gated for Bilinear {
    const META: Meta = Meta {
        aliases: &["bilinear_glu"],
        source: "Shazeer 2020, arXiv:2002.05202",
        pytorch: "",
        jax: "",
        onnx: "",
        use_when: "a baseline for the gated units",
        avoid_when: "a nonlinearity is wanted in one operand alone",
        ..Meta::new("bilinear", "a * b")
    };
    const GATE: Gate = Gate::First;

    #[inline(always)]
    fn value<T: Real>(gate: T, value: T) -> T {
        gate * value
    }

    #[inline(always)]
    fn backward<T: Real>(gate: T, value: T, grad: T) -> (T, T) {
        (grad * value, grad * gate)
    }
}
