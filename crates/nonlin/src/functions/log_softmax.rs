//! Log-softmax: the logarithm of softmax, exact where that has become 0.
//!
//! Along any axes of an array in C order, with a scale and a mask: [`RowFunction`](crate::RowFunction) has
//! the calls. A row that holds NaN or +inf is NaN; -inf is an element without a share.

use crate::prelude::*;

/// `x - ln sum e^x` along some axes.
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmax;

impl RowWise for LogSoftmax {
    const META: Meta = Meta {
        aliases: &["logsoftmax"],
        source: "Bridle 1990, doi:10.1007/978-3-642-76153-9_28",
        pytorch: "LogSoftmax",
        jax: "log_softmax",
        keras: "log_softmax",
        onnx: "LogSoftmax",
        use_when: "the loss is a cross entropy",
        avoid_when: "probabilities are wanted: use softmax",
        ..Meta::new("log_softmax", "scale * x - log(sum(exp(scale * x)))")
    };
    const LOG: bool = true;

    fn share(d: Dd, rest: Dd) -> Dd {
        d - rest.ln_1p()
    }
}
