//! GELU by tanh: the approximation of GPT-2, at most 0.00047 from the exact form.
//!
//! `(1 + tanh(u)) / 2 = sigmoid(2u)`, which does not cancel on the left. A relative error of
//! the argument grows by its size in the result, so the cubic is carried as two numbers.

use crate::math::coefficients::{GELU_TANH_1, GELU_TANH_3};
use crate::prelude::*;

/// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`.
#[derive(Clone, Copy, Debug)]
pub struct GeluTanh;

/// Beyond this the gate is 0 or 1 to the last bit of f64.
const FAR: f64 = 40.0;

impl Elementwise for GeluTanh {
    const META: Meta = Meta {
        aliases: &["gelu_new", "gelu_pytorch_tanh", "gelu_approximate", "new_gelu", "gelu_fast"],
        source: "Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2",
        pytorch: "GELU (approximate=\"tanh\")",
        jax: "gelu",
        keras: "gelu (approximate=True)",
        onnx: "Gelu (approximate=\"tanh\")",
        use_when: "running weights that were trained with it (GPT-2, Gemma)",
        avoid_when: "training anew: the exact form costs no more here",
        ..Meta::new("gelu_tanh", "0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))")
    };
    type Params<T: Copy> = [T; 0];
    const CLAIMS: Claims = Claims {
        range: (-0.170_040_750_571_254_05, f64::INFINITY),
        lipschitz: 1.128_993_068_658_771_7,
        minimum: Some((-0.752_461_422_071_016_3, -0.170_040_750_571_254_05)),
        zeros: &[0.0],
        slope_zeros: &[-0.752_461_422_071_016_3],
        ..Claims::new((0.0, f64::INFINITY), (0.0, 1.0))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        let (z, z_lo) = cubic(x.saturated(FAR), 1.0);
        x.gated(z.jet_at(z_lo, Prim::Sigmoid))
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, _: [T; 0]) -> T {
        let t = x.saturated(FAR);
        let (z, z_lo) = cubic(t, 1.0);
        let j = z.jet_at(z_lo, Prim::Sigmoid);
        // x z'(x)
        let (w, w_lo) = cubic(t, 3.0);
        // The second may be larger than what rounding loses.
        let (w, w_lo) = w.two_sum(w_lo);
        w.gated_slope(Jet { v_lo: j.v_lo + w_lo * j.d, ..j })
    }
}

/// `2 sqrt(2/pi) (t + factor 0.044715 t^3)` as a sum of two numbers.
#[inline(always)]
fn cubic<T: Real>(t: T, factor: f64) -> (T, T) {
    let (c1, c1_lo) = (t.constant(GELU_TANH_1), t.constant_rest(GELU_TANH_1));
    let (c3, c3_lo) = (t.constant(GELU_TANH_3), t.constant_rest(GELU_TANH_3));
    let (c3, c3_lo) = (c3 * t.lit(factor), c3_lo * t.lit(factor));
    let (q, q_lo) = t.two_prod(t);
    let (p, p_lo) = q.two_prod(c3);
    let (w, w_lo) = p.two_sum(c1);
    let w_lo = w_lo + p_lo + (c1_lo + q * c3_lo + c3 * q_lo);
    let (z, z_lo) = t.two_prod(w);
    (z, z_lo + t * w_lo)
}
