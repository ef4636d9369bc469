//! Softmin: softmax of `-x`, shares that are large where `x` is small.
//!
//! Along any axes of an array in C order, with a scale and a mask, which is added to `-scale x`:
//! [`RowFunction`](crate::RowFunction) has the calls. A row that holds NaN or -inf is NaN; +inf is an element
//! without a share.

use crate::prelude::*;

/// `e^-x / sum e^-x` along some axes.
#[derive(Clone, Copy, Debug)]
pub struct Softmin;

impl RowWise for Softmin {
    const META: Meta = Meta {
        source: "Bridle 1990, doi:10.1007/978-3-642-76153-9_28",
        pytorch: "Softmin",
        use_when: "x are distances, costs or energies, and the least of them is to weigh most",
        avoid_when: "x are scores, of which the largest wins: use softmax",
        ..Meta::new("softmin", "exp(-scale * x) / sum(exp(-scale * x))")
    };
    const LOG: bool = false;
    const SIGN: f64 = -1.0;

    fn share(d: Dd, rest: Dd) -> Dd {
        d.exp() / (rest + Dd::new(1.0))
    }
}
