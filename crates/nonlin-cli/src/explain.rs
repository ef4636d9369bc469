//! How good a formula is as it is written, and as it is computed.

use nonlin::Formula;
use nonlin::real::{Dd, Extended};

/// Points of each power of two, of either sign.
const POINTS: u32 = 8;
/// The exponents of inputs: those of f32, below the square root of its largest number.
const EXPONENTS: core::ops::Range<i32> = -64..64;
/// More units than this are digits lost, not roundings.
pub const MANY: f64 = 64.0;
/// So many inputs may be right by chance within an interval where digits are lost.
const BY_CHANCE: u32 = 8;
/// With more units than this the reference, whose digits are twice as many, has lost too many itself.
const HOPELESS: f64 = (1u64 << 44) as f64;

/// Errors of one form in f64, in units in the last place.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    /// The largest finite one, and where.
    pub worst: (f64, f64),
    /// That of most inputs: half are better.
    pub median: f64,
    /// Inputs where the result is NaN or infinite and should not be, or the other way round: how many,
    /// and one of them.
    pub lost: Option<(usize, f64)>,
    /// Where more than [`MANY`] units are lost: intervals of inputs with the largest error in each.
    pub cancels: Vec<(f64, f64, f64)>,
}

/// Errors of both forms over a stratified sample.
#[derive(Clone, Debug)]
pub struct Measured {
    /// One operation after the other, as the text says it.
    pub written: Errors,
    /// As nonlin computes it.
    pub computed: Errors,
    /// How many inputs were tried.
    pub inputs: usize,
}

/// Inputs of every exponent, sorted.
fn sample() -> Vec<f64> {
    let mut all = vec![0.0];
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    for e in EXPONENTS {
        for i in 0..POINTS {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let part =
                (f64::from(i) + (state >> 40) as f64 / (1u64 << 24) as f64) / f64::from(POINTS);
            let x = (1.0 + part) * 2f64.powi(e);
            all.extend([x, -x]);
        }
    }
    all.sort_by(f64::total_cmp);
    all
}

/// The error of `got`, in units in the last place of `want`.
fn units(got: f64, want: Dd) -> f64 {
    if got == want.hi && want.hi.is_infinite() || got.is_nan() && want.hi.is_nan() {
        return 0.0;
    }
    if !got.is_finite() || !want.hi.is_finite() {
        return f64::INFINITY;
    }
    let binade = want.hi.abs().max(f64::MIN_POSITIVE).to_bits() & (0x7FF << 52);
    let unit = f64::from_bits(binade) * f64::EPSILON;
    ((got - want.hi) - want.lo).abs() / unit.max(f64::from_bits(1))
}

/// Measures a formula: in f64 against numbers of about 30 digits, with its default parameters. A
/// gated one is measured along equal operands.
#[must_use]
pub fn measure(f: &Formula) -> Measured {
    let p: Vec<f64> = f.params().map(|(_, v)| v).collect();
    let exact: Vec<Extended> = p.iter().map(|&v| Extended::new(v)).collect();
    let x = sample();
    let reference = |x: f64| {
        let x = Extended::new(x);
        f.evaluate(&[x, x], &exact).to_dd()
    };
    let (mut written, mut computed) = (Vec::new(), Vec::new());
    for &x in &x {
        let want = reference(x);
        written.push(units(f.evaluate_as_written(&[x, x], &p), want));
        computed.push(units(f.evaluate(&[x, x], &p), want));
    }
    Measured { written: errors(&x, &written), computed: errors(&x, &computed), inputs: x.len() }
}

fn errors(x: &[f64], units: &[f64]) -> Errors {
    let mut all = Errors::default();
    let mut finite: Vec<f64> = units.iter().copied().filter(|e| e.is_finite()).collect();
    finite.sort_by(f64::total_cmp);
    all.median = finite.get(finite.len() / 2).copied().unwrap_or(0.0);
    let (mut open, mut good): (Option<(f64, f64, f64)>, _) = (None, 0);
    for (&x, &e) in x.iter().zip(units) {
        if e.is_infinite() {
            let (n, _) = all.lost.unwrap_or((0, x));
            all.lost = Some((n + 1, x));
        } else if e > all.worst.0 {
            all.worst = (e, x);
        }
        // A few inputs that are right by chance do not end an interval.
        if e > MANY && e.is_finite() {
            let (from, _, most) = open.unwrap_or((x, x, 0.0));
            (open, good) = (Some((from, x, f64::max(most, e))), 0);
        } else if good < BY_CHANCE {
            good += 1;
        } else {
            all.cancels.extend(open.take());
        }
    }
    all.cancels.extend(open);
    all
}

/// An error as text: units, or that nothing is left.
#[must_use]
pub fn units_text(e: f64) -> String {
    if e >= HOPELESS {
        "no digit is right".to_owned()
    } else if e >= 1e4 {
        format!("{e:.1e}")
    } else {
        format!("{e:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cancels_is_found() {
        let f = Formula::parse("x * (1 + erf(x / sqrt(2))) / 2").unwrap();
        let m = measure(&f);
        assert!(m.inputs > 1000);
        assert!(m.written.cancels.iter().any(|c| c.0 < -5.0), "{m:?}");
        assert!(m.computed.cancels.is_empty() && m.computed.lost.is_none(), "{m:?}");
        assert!(m.computed.worst.0 < 4.0 && m.computed.median < 1.0, "{m:?}");
        // No rule helps here, and the report says so.
        let m = measure(&Formula::parse("x - sin(x)").unwrap());
        let near_zero = m.computed.cancels.iter().any(|c| c.1 > 0.0 && c.1 < 1.0);
        assert!(near_zero && m.computed.worst.0 > 1e6, "{m:?}");
    }

    #[test]
    fn what_overflows_is_found() {
        let m = measure(&Formula::parse("exp(x) / (1 + exp(x))").unwrap());
        assert!(m.written.lost.is_some_and(|(n, x)| n > 100 && x > 700.0), "{m:?}");
        assert!(m.computed.lost.is_none(), "{m:?}");
    }

    #[test]
    fn units_are_of_the_exact_value() {
        assert_eq!(units(1.0 + f64::EPSILON, Dd::new(1.0)), 1.0);
        assert_eq!(units(1.0, Dd { hi: 1.0, lo: f64::EPSILON / 2.0 }), 0.5);
        assert_eq!(units(f64::NAN, Dd::new(1.0)), f64::INFINITY);
        assert_eq!(units(f64::INFINITY, Dd::new(f64::INFINITY)), 0.0);
        assert_eq!(units(5e-324, Dd::new(0.0)), 1.0);
    }
}
