//! Softmax: shares that sum to 1.
//!
//! Along any axes of an array in C order, with a scale and a mask: [`RowFunction`](crate::RowFunction) has
//! the calls. A row that holds NaN or +inf is NaN; -inf is an element without a share.

use crate::prelude::*;

/// `e^x / sum e^x` along some axes.
#[derive(Clone, Copy, Debug)]
pub struct Softmax;

impl RowWise for Softmax {
    const META: Meta = Meta {
        aliases: &["softargmax"],
        source: "Bridle 1990, doi:10.1007/978-3-642-76153-9_28",
        pytorch: "Softmax",
        jax: "softmax",
        keras: "softmax",
        onnx: "Softmax",
        use_when: "the outputs are probabilities of classes, or weights of attention",
        avoid_when: "a logarithm follows: log_softmax is exact where softmax has become 0",
        ..Meta::new("softmax", "exp(scale * x) / sum(exp(scale * x))")
    };
    const LOG: bool = false;

    fn share(d: Dd, rest: Dd) -> Dd {
        d.exp() / (rest + Dd::new(1.0))
    }
}
