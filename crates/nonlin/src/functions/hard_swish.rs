//! Hard swish: SiLU with straight pieces for its gate.
//!
//! `x min(max(x + 3, 0), 6) / 6` as written overflows from 5.7e37 (f32) and is NaN at -inf;
//! here `x` is cut off below -3, and the argument of the gate above 3 as well.

use crate::math::coefficients::SIXTH;
use crate::prelude::*;

/// 1/3: (nearest f64, the rest).
const THIRD: (f64, f64) = (2.0 * SIXTH.0, 2.0 * SIXTH.1);

/// `x clamp(x / 6 + 1/2, 0, 1)`.
#[derive(Clone, Copy, Debug)]
pub struct HardSwish;

impl Elementwise for HardSwish {
    const META: Meta = Meta {
        aliases: &["hardswish", "hard_silu"],
        source: "Howard et al. 2019, arXiv:1905.02244",
        pytorch: "Hardswish",
        jax: "hard_silu",
        keras: "hard_silu",
        onnx: "HardSwish",
        use_when: "mobile networks (MobileNetV3) and integer hardware",
        avoid_when: "an exponential is cheap: silu is smooth",
        ..Meta::new("hard_swish", "x * min(max(x / 6 + 1 / 2, 0), 1)")
    };
    type Params<T: Copy> = [T; 0];
    const CLAIMS: Claims = Claims {
        range: (-0.375, f64::INFINITY),
        lipschitz: 1.5,
        minimum: Some((-1.5, -0.375)),
        zeros: &[-3.0, 0.0],
        slope_zeros: &[-1.5],
        kinks: &[
            Kink { at: -3.0, left: 0.0, right: -0.5, chosen: 0.0 },
            Kink { at: 3.0, left: 1.5, right: 1.0, chosen: 1.0 },
        ],
        flat: &[(f64::NEG_INFINITY, -3.0)],
        ..Claims::new((0.0, f64::INFINITY), (0.0, 1.0))
    };

    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        // Beyond the corners the gate is exactly 0 and 1, since its argument is a corner there.
        let x = x.max(x.lit(-3.0));
        let (t, t_lo) = x.lit(3.0).quick_two_sum(x.min(x.lit(3.0)));
        x.times_product(t.times_constant(t_lo, SIXTH))
    }

    #[inline(always)]
    fn slope<T: Real>(x: T, _: [T; 0]) -> T {
        slope_times(x, x.lit(1.0))
    }

    #[inline(always)]
    fn backward<T: Real>(x: T, grad: T, _: [T; 0]) -> T {
        slope_times(x, grad)
    }
}

/// `factor` times the slope, and 0 where the slope is.
#[inline(always)]
fn slope_times<T: Real>(x: T, factor: T) -> T {
    let top = x.split_at(3.0);
    let s = top.lo.split(-3.0);
    // Between the corners that is exact, also where 1.5 is the smaller one.
    let (t, t_lo) = x.lit(1.5).quick_two_sum(s.hi);
    let third = x.constant(THIRD);
    let rest = x.constant_rest(THIRD) / third;
    let curve = third.scaled(t, t_lo + t * rest, x.lit(0.0));
    top.join(factor, s.join_nan_free(factor * curve, x.lit(0.0)))
}
