//! Hard sigmoid: three straight pieces instead of an exponential.
//!
//! The slope 1/6 is an exact constant, so that the corners are exactly -3 and 3; ONNX's
//! default is `alpha = 0.2`.

use crate::math::coefficients::SIXTH;
use crate::prelude::*;

/// `clamp(alpha x + beta, 0, 1)`.
#[derive(Clone, Copy, Debug)]
pub struct HardSigmoid;

impl Elementwise for HardSigmoid {
    const META: Meta = Meta {
        aliases: &["hardsigmoid", "hard_logistic"],
        source: "Courbariaux, Bengio and David 2015, arXiv:1511.00363; Howard et al. 2019, arXiv:1905.02244",
        pytorch: "Hardsigmoid",
        jax: "hard_sigmoid",
        keras: "hard_sigmoid",
        onnx: "HardSigmoid (alpha=1/6)",
        use_when: "mobile and integer hardware, in squeeze-and-excite gates",
        avoid_when: "a unit may start beyond the corners, where its slope is exactly 0",
        ..Meta::new("hard_sigmoid", "min(max(alpha * x + beta, 0), 1)")
    };
    const PARAMS: &'static [Param] = &[
        Param::constant("alpha", SIXTH, "slope").between(1e-6, 1e6),
        Param::new("beta", 0.5, "value at 0"),
    ];
    type Params<T: Copy> = [T; 2];
    const CLAIMS: Claims = Claims {
        range: (0.0, 1.0),
        lipschitz: 1.0 / 6.0,
        monotone: true,
        zeros: &[-3.0],
        kinks: &[
            Kink { at: -3.0, left: 0.0, right: 1.0 / 6.0, chosen: 0.0 },
            Kink { at: 3.0, left: 1.0 / 6.0, right: 0.0, chosen: 0.0 },
        ],
        flat: &[(f64::NEG_INFINITY, -3.0), (3.0, f64::INFINITY)],
        bounds: Bounds { f64: (2.0, 0.34), ..Bounds::ROUNDED_ONCE },
        ..Claims::new((0.0, 1.0), (0.0, 0.0))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, [alpha, beta]: [T; 2]) -> T {
        // The nearest f64 to 1/6 stands for 1/6.
        let off = (alpha - x.lit(SIXTH.0)).abs().split(0.0);
        x.ramp(alpha, off.join(x.lit(0.0), x.constant_rest(SIXTH)), beta)
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, [alpha, beta]: [T; 2]) -> T {
        inside(x, alpha, beta, alpha)
    }

    #[inline(always)]
    fn backward<T: Real>(x: T, grad: T, [alpha, beta]: [T; 2]) -> T {
        inside(x, alpha, beta, grad * alpha)
    }
}

/// `there` between the corners, else 0.
#[inline(always)]
fn inside<T: Real>(x: T, alpha: T, beta: T, there: T) -> T {
    // The distance from the nearer corner: the value itself rounds to 1 below the upper one.
    let (lower, upper) = (x + beta / alpha, (x.lit(1.0) - beta) / alpha - x);
    let s = lower.min(upper).split(0.0);
    // NaN stays what it is by the maximum.
    s.join_nan_free(there, s.lo.max(x.lit(0.0)))
}
