//! Powers of e in registers of f32, for results of half types: one number, good to 2^-21.

use crate::math::table::Table16;
use crate::math::tables::{EXP_REST, LN2_16_HI, LN2_16_LO, PER_LN2, POWER, POWER_REST};
use crate::simd::{Lanes32, ROUND_F32};

/// ln 2 / 16, which as an f32 is good to 2^-28.
pub(crate) const LN2_16: f32 = (LN2_16_HI as f64 + LN2_16_LO as f64) as f32;

/// `2^(j/16)`: its representation less `j 2^19`.
const ROOTS: Table16 = {
    let mut roots = Table16([0.0; 16]);
    let mut j = 0;
    while j < 16 {
        let steps = (j as u32) << 19;
        let r = POWER_REST.0[j] as f64;
        let root = f32::from_bits(POWER.0[j].to_bits() + steps) as f64 * (1.0 + r + r * r / 2.0);
        roots.0[j] = f32::from_bits((root as f32).to_bits() - steps);
        j += 1;
    }
    roots
};

/// `e^-p` from `p` to an integer number of sixteenths of ln 2: `u` is that integer plus `ROUND_F32`, `r`
/// what is left of `-p`.
#[inline(always)]
pub(crate) fn power<V: Lanes32>(u: V, r: V) -> V {
    let (c2, c3) = (V::splat(EXP_REST[0]), V::splat(EXP_REST[1]));
    let q = (r * r).mul_add(r.mul_add(c3, c2), r);
    let m = u.lookup_short(&ROOTS.0).add_shifted(u);
    m.mul_add(q, m)
}

/// `e^-(p + e)` for `-87 <= p <= 87`.
#[inline(always)]
pub(crate) fn exp<V: Lanes32>(p: V, e: V) -> V {
    let u = p.mul_add(V::splat(-PER_LN2), V::splat(ROUND_F32));
    let k = u - V::splat(ROUND_F32);
    power(u, k.mul_add(V::splat(-LN2_16), -p) - e)
}
