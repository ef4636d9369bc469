//! RReLU: a leaky ReLU whose slope is random in training and fixed afterwards.
//!
//! As an elementwise function it is the evaluation form, with the mean slope; [`Function::training`]
//! draws a slope for every element.

use crate::prelude::*;

/// `x` above 0, `(lower + upper) / 2 * x` below; in training a random slope between both.
#[derive(Clone, Copy, Debug)]
pub struct Rrelu;

impl Elementwise for Rrelu {
    const META: Meta = Meta {
        aliases: &["randomized_leaky_relu"],
        source: "Xu, Wang, Chen and Li 2015, arXiv:1505.00853",
        pytorch: "RReLU",
        use_when: "small data sets that overfit: the random slopes regularise",
        avoid_when: "training must not be random",
        ..Meta::new("rrelu", "if(x > 0, x, (lower + upper) / 2 * x)")
    };
    const PARAMS: &'static [Param] = &[
        Param::new("lower", 1.0 / 8.0, "least slope below 0"),
        Param::new("upper", 1.0 / 3.0, "greatest slope below 0"),
    ];
    const CONSTRAINTS: &'static [Constraint] = &[Constraint::AtMost("lower", "upper")];
    type Params<T: Copy> = [T; 2];
    const CLAIMS: Claims = Claims {
        lipschitz: 1.0,
        monotone: true,
        zeros: &[0.0],
        kinks: &[Kink { at: 0.0, left: 11.0 / 48.0, right: 1.0, chosen: 11.0 / 48.0 }],
        bounds: Bounds::EXACT_SLOPE,
        from_output: Some((0.1, 0.1)),
        ..Claims::new((f64::NEG_INFINITY, f64::INFINITY), (11.0 / 48.0, 1.0))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, [lower, upper]: [T; 2]) -> T {
        let s = x.split(0.0);
        s.join_nan_free(s.hi, s.lo.times_slope(mean(lower, upper).bias_for_double_rounding()))
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, [lower, upper]: [T; 2]) -> T {
        x.split(0.0).join(x.lit(1.0), mean(lower, upper).bias_for_double_rounding())
    }

    /// y is positive where x is, if no slope is negative.
    #[inline(always)]
    fn slope_from_output<T: Real>(y: T, p: [T; 2]) -> T {
        Self::slope(y, p)
    }
}

/// The slope of the evaluation form.
#[inline(always)]
fn mean<T: Real>(lower: T, upper: T) -> T {
    (lower + upper) * lower.lit(0.5)
}
