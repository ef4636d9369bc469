//! Inputs to test at: the same on every machine and in every run.

use crate::ulp::{Format, every, pow2};

/// The counter `n` as 64 random-looking bits, another sequence for each `seed` (SplitMix64).
#[must_use]
pub fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed
        .wrapping_mul(0xD134_2543_DE82_EF95)
        .wrapping_add(n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// [`mix`] as a number in `[0, 1)`.
#[must_use]
pub fn mix_unit(seed: u64, n: u64) -> f64 {
    (mix(seed, n) >> 11) as f64 * pow2(-53)
}

/// `per_exponent` numbers of either sign for every exponent, one in each of as many equal parts
/// of the binade; the subnormal numbers, too, get `per_exponent`, spread over their magnitudes.
#[must_use]
pub fn stratified<T: Format>(per_exponent: u64, seed: u64) -> Vec<T> {
    let field = T::DIGITS - 1;
    let exponents = T::INF_PATTERN >> field;
    let mut out = Vec::with_capacity((2 * exponents * per_exponent) as usize);
    for exponent in 0..exponents {
        for sign in [0, T::SIGN_PATTERN] {
            for i in 0..per_exponent {
                let random = mix(seed ^ sign, exponent * per_exponent + i);
                let mantissa = if exponent == 0 {
                    // `top` zeros less than all: log-spaced, never zero.
                    let top = i * u64::from(field) / per_exponent;
                    1 << top | random & ((1 << top) - 1)
                } else {
                    let start = |i: u64| (u128::from(i) << field) / u128::from(per_exponent);
                    let (from, to) = (start(i) as u64, start(i + 1) as u64);
                    from + if to > from { random % (to - from) } else { 0 }
                };
                out.push(T::from_pattern(sign | exponent << field | mantissa));
            }
        }
    }
    out
}

/// Zeros, infinities, NaN, the smallest and largest subnormal and normal numbers, and 1, of
/// either sign, and the neighbours of all of them.
#[must_use]
pub fn specials<T: Format>() -> Vec<T> {
    let normal = 1 << (T::DIGITS - 1);
    let one = T::nearest(1.0).pattern();
    let mut out = Vec::new();
    for magnitude in [0, 1, normal - 1, normal, one, T::INF_PATTERN - 1, T::INF_PATTERN] {
        for sign in [0, T::SIGN_PATTERN] {
            let v = T::from_pattern(sign | magnitude);
            out.extend([v, v.up(), v.down()]);
        }
    }
    let quiet = T::INF_PATTERN | normal >> 1;
    out.extend([quiet, quiet | T::SIGN_PATTERN].map(T::from_pattern));
    distinct(&mut out);
    out
}

/// The number nearest to each point and its `k` neighbours on each side.
#[must_use]
pub fn near<T: Format>(points: &[f64], k: i64) -> Vec<T> {
    let mut out = Vec::new();
    for &p in points {
        let v = T::nearest(p);
        out.extend((-k..=k).map(|i| v.step(i)));
        if p == 0.0 {
            out.push(T::from_pattern(v.pattern() ^ T::SIGN_PATTERN));
        }
    }
    distinct(&mut out);
    out
}

/// `n` numbers (at least 2) from `first` to `last`, each the same multiple of the one before.
///
/// Both ends are included; they are not zero and have the same sign.
#[must_use]
pub fn log_spaced<T: Format>(first: f64, last: f64, n: u64) -> Vec<T> {
    let (a, b) = (core_math::log2(first.abs()), core_math::log2(last.abs()));
    let at = |i: u64| match i {
        0 => first,
        i if i + 1 == n => last,
        i => core_math::exp2(a + (b - a) * (i as f64 / (n - 1) as f64)).copysign(first),
    };
    (0..n).map(|i| T::nearest(at(i))).collect()
}

/// `n` numbers in `first..=last`, one in each of `n` equal parts, in ascending order.
#[must_use]
pub fn uniform<T: Format>(first: f64, last: f64, n: u64, seed: u64) -> Vec<T> {
    let at = |i: u64| {
        let t = (i as f64 + mix_unit(seed, i)) / n as f64;
        (first * (1.0 - t) + last * t).clamp(first, last)
    };
    (0..n).map(|i| T::nearest(at(i))).collect()
}

/// Every bit pattern of a half type: 65,536 values.
#[must_use]
pub fn half_patterns<T: Format>() -> Vec<T> {
    assert!(T::BITS == 16, "{} has too many numbers", T::NAME);
    every().collect()
}

/// Every `stride`-th bit pattern of f32, from `offset` up: one shard of `stride`.
pub fn strided_f32(stride: u32, offset: u32) -> impl Iterator<Item = f32> {
    (u64::from(offset)..1 << 32).step_by(stride as usize).map(f32::from_pattern)
}

/// The usual inputs of a test: [`specials`], [`near`] the `points` and [`stratified`].
#[must_use]
pub fn mixed<T: Format>(per_exponent: u64, points: &[f64], k: i64, seed: u64) -> Vec<T> {
    let mut out = specials();
    out.extend(near::<T>(points, k));
    out.extend(stratified::<T>(per_exponent, seed));
    distinct(&mut out);
    out
}

/// Removes repeated bit patterns; the first of each stays, in its place.
pub fn distinct<T: Format>(values: &mut Vec<T>) {
    let mut seen = std::collections::HashSet::with_capacity(values.len());
    values.retain(|v| seen.insert(v.pattern()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    #[test]
    fn mixing_is_fixed_and_spread() {
        // SplitMix64 from state 0 starts with this.
        assert_eq!(mix(0, 0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(0, 1), 0x6E78_9E6A_A1B9_65F4);
        assert_ne!(mix(1, 0), mix(0, 0));
        let mean = (0..4096).map(|n| mix_unit(7, n)).sum::<f64>() / 4096.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }

    #[test]
    fn stratified_fills_every_exponent() {
        fn check<T: Format>(per_exponent: u64) {
            let all = stratified::<T>(per_exponent, 1);
            let exponents = T::INF_PATTERN >> (T::DIGITS - 1);
            let mut count = vec![[0; 2]; exponents as usize];
            let mut quarter = [0u64; 4];
            for v in &all {
                assert!(!v.is_nan() && v.to_f64().is_finite() && v.to_f64() != 0.0);
                let negative = usize::from(v.pattern() & T::SIGN_PATTERN != 0);
                let e = (v.pattern() & !T::SIGN_PATTERN) >> (T::DIGITS - 1);
                count[e as usize][negative] += 1;
                if e > 0 {
                    quarter[(v.pattern() >> (T::DIGITS - 3) & 3) as usize] += 1;
                }
            }
            assert!(count.iter().flatten().all(|&c| c == per_exponent));
            assert!(quarter.iter().all(|&c| c == per_exponent / 4 * 2 * (exponents - 1)));
        }
        check::<f32>(8);
        check::<f64>(4);
        check::<f16>(8);
        check::<bf16>(16);
        assert_eq!(stratified::<f32>(3, 5), stratified::<f32>(3, 5));
        assert_ne!(stratified::<f32>(3, 5), stratified::<f32>(3, 6));
        // Subnormal samples reach from the smallest to the largest magnitudes.
        let tiny: Vec<f64> = stratified::<f64>(52, 1)
            .into_iter()
            .filter(|v| *v > 0.0 && *v < f64::MIN_POSITIVE)
            .collect();
        assert_eq!(tiny.len(), 52);
        assert_eq!(tiny[0], pow2(-1074));
        assert!(tiny[51] >= pow2(-1023));
    }

    #[test]
    fn specials_hold_what_they_promise() {
        let all = specials::<f32>();
        for v in [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            f32::MAX.down(),
            f32::MIN_POSITIVE,
            -f32::MIN_POSITIVE,
            f32::MIN_POSITIVE.up(),
            f32::MIN_POSITIVE.down(),
            f32::MIN_POSITIVE.step(-2),
            f32::from_bits(1),
            f32::from_bits(2),
            -f32::from_bits(1),
            1.0,
            -1.0,
        ] {
            assert!(all.iter().any(|s| s.to_bits() == v.to_bits()), "{v:e}");
        }
        assert_eq!(all.iter().filter(|v| v.is_nan()).count(), 2);
        let mut again = all.clone();
        distinct(&mut again);
        assert_eq!(again.len(), all.len());
        assert!(specials::<f16>().contains(&f16::MAX));
        assert!(specials::<bf16>().contains(&bf16::MIN_POSITIVE));
        assert!(specials::<f64>().contains(&f64::from_bits(1)));
    }

    #[test]
    fn near_takes_both_sides() {
        let v = near::<f32>(&[3.0], 2);
        assert_eq!(v, [3.0f32.step(-2), 3.0f32.down(), 3.0, 3.0f32.up(), 3.0f32.step(2)]);
        let zero = near::<f64>(&[0.0], 1);
        assert_eq!(zero.len(), 4);
        assert!(zero.iter().any(|z| z.to_bits() == 1 << 63));
        assert_eq!(near::<f32>(&[1.0, 1.0], 1).len(), 3);
    }

    #[test]
    fn spaced() {
        let v = log_spaced::<f64>(-1e-10, -1e10, 21);
        assert_eq!((v[0], v[20], v.len()), (-1e-10, -1e10, 21));
        assert!(v.windows(2).all(|w| (w[1] / w[0] - 10.0).abs() < 1e-12));
        let v = log_spaced::<f64>(5e-324, f64::MAX, 1000);
        assert!(v.windows(2).all(|w| w[1] >= w[0]));
        let v = uniform::<f32>(-2.0, 6.0, 80, 3);
        assert_eq!(v.len(), 80);
        for (i, v) in v.iter().enumerate() {
            let from = -2.0 + i as f32 * 0.1;
            assert!((from - 1e-5..=from + 0.1 + 1e-5).contains(v), "{i} {v}");
        }
        assert!(uniform::<f64>(-f64::MAX, f64::MAX, 10, 0).iter().all(|v| v.is_finite()));
    }

    #[test]
    fn patterns() {
        assert_eq!(half_patterns::<f16>().len(), 1 << 16);
        assert_eq!(half_patterns::<bf16>()[0xffff].to_bits(), 0xffff);
        let stride = 1 << 20;
        let shards: usize = (0..3).map(|o| strided_f32(stride, o).count()).sum();
        assert_eq!(shards, 3 << 12);
        assert_eq!(strided_f32(stride, 5).nth(2).unwrap().to_bits(), 5 + (2 << 20));
        assert_eq!(strided_f32(1 << 31, (1 << 31) + 7).count(), 1);
    }

    #[test]
    #[should_panic(expected = "f32 has too many numbers")]
    fn patterns_of_f32_are_not_listed() {
        let _ = half_patterns::<f32>();
    }

    #[test]
    fn mixed_has_all_parts() {
        let all = mixed::<f32>(2, &[0.75], 1, 9);
        for part in [specials::<f32>(), near(&[0.75], 1), stratified(2, 9)] {
            assert!(part.iter().all(|p| all.iter().any(|v| v.to_bits() == p.to_bits())));
        }
        let mut again = all.clone();
        distinct(&mut again);
        assert_eq!(again.len(), all.len());
    }
}
