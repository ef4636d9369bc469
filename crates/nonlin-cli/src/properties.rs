//! Limits, range, zeros, extrema and kinks: claimed by the definition, or found by search where
//! parameters differ from the defaults.

use nonlin::Claims;

use crate::chosen::Chosen;

/// Properties of a function along its section.
#[derive(Clone, Debug, PartialEq)]
pub struct Properties {
    /// Whether they were found by a search, which may overlook something.
    pub searched: bool,
    /// Smallest and largest value, or what they tend to.
    pub range: (f64, f64),
    /// Values at -inf and +inf.
    pub limits: (f64, f64),
    /// Slopes at -inf and +inf.
    pub slope_limits: (f64, f64),
    /// Where f is 0; one end of intervals.
    pub zeros: Vec<f64>,
    /// Where f′ passes through 0.
    pub extrema: Vec<Extremum>,
    /// Where f′ jumps.
    pub kinks: Vec<Kink>,
}

/// A highest or lowest point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extremum {
    /// Where.
    pub at: f64,
    /// f there.
    pub value: f64,
    /// Lower than its neighbours.
    pub minimum: bool,
}

/// A point where the slope jumps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kink {
    /// Where.
    pub at: f64,
    /// Slope on the left.
    pub left: f64,
    /// Slope on the right.
    pub right: f64,
    /// The slope that is returned there.
    pub chosen: f64,
}

/// The properties of `f`.
#[must_use]
pub fn properties(f: &Chosen) -> Properties {
    match f.claims() {
        Some(claims) => claimed(f, claims),
        None => search(f),
    }
}

fn claimed(f: &Chosen, claims: &Claims) -> Properties {
    let kink = |k: &nonlin::Kink| Kink { at: k.at, left: k.left, right: k.right, chosen: k.chosen };
    Properties {
        searched: false,
        range: claims.range,
        limits: claims.limits,
        slope_limits: claims.slope_limits,
        zeros: claims.zeros.to_vec(),
        extrema: claims.slope_zeros.iter().map(|&at| extremum(f, at)).collect(),
        kinks: claims.kinks.iter().map(kink).collect(),
    }
}

fn extremum(f: &Chosen, at: f64) -> Extremum {
    let h = 1e-3 * at.abs().max(1.0);
    Extremum { at, value: f.value(at), minimum: f.slope(at - h) < f.slope(at + h) }
}

/// Points every 1/64 near 0, then farther and farther apart; none is a round number, so that
/// what is looked for lies between them.
fn grid() -> Vec<f64> {
    let within = (0..60).map(|i| 1e-9 * 1.3f64.powi(i));
    let near = (0..64 * 32).map(|i| (f64::from(i) + 0.367) / 64.0);
    let far = (1..=300).map(|i| 32.0 * 1.06f64.powi(i));
    let right: Vec<f64> = within.chain(near).chain(far).collect();
    right.iter().rev().map(|x| -x).chain(right.iter().copied()).collect()
}

fn search(f: &Chosen) -> Properties {
    // A row or a unit with an infinity may be NaN; a large number tells the limit. A function of one
    // number has its limit itself, or none.
    let tried = if matches!(f, Chosen::Elementwise(_)) { 1 } else { 3 };
    let at_end = |f: &dyn Fn(f64) -> f64, sign: f64| {
        let ends = [f64::INFINITY, 1e300, 1e3].map(|x| f(sign * x));
        ends.into_iter().take(tried).find(|v| !v.is_nan()).unwrap_or(f64::NAN)
    };
    let both = |f: &dyn Fn(f64) -> f64| (at_end(f, -1.0), at_end(f, 1.0));
    let (limits, slope_limits) = (both(&|x| f.value(x)), both(&|x| f.slope(x)));
    let (mut zeros, mut extrema): (Vec<f64>, Vec<Extremum>) = (Vec::new(), Vec::new());
    let grid = grid();
    let kinks = kinks(f, &grid);
    for pair in grid.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let (fa, fb) = (f.value(a), f.value(b));
        // Of an interval of zeros, its ends; not where values have underflowed.
        if fa * fb < 0.0 || (fa == 0.0) != (fb == 0.0) {
            let same = |x: f64| f.value(x).partial_cmp(&0.0) == fa.partial_cmp(&0.0);
            let (left, right) = bisect(a, b, same);
            let (zero, beside) = if f.value(left) == 0.0 { (left, right) } else { (right, left) };
            let (zero, real) = (tidy(zero), f.slope(beside).abs() > 1e-100);
            if real && !zeros.iter().any(|z| (z - zero).abs() < 1e-9) {
                zeros.push(zero);
            }
        }
        let (sa, sb) = (f.slope(a), f.slope(b));
        if sa * sb < 0.0 {
            let (at, _) = bisect(a, b, |x| (f.slope(x) > 0.0) == (sa > 0.0));
            let at = tidy(at);
            extrema.push(Extremum { at, value: f.value(at), minimum: sa < 0.0 });
        }
    }
    let values = extrema.iter().map(|e| e.value).chain(kinks.iter().map(|k| f.value(k.at)));
    let values = values.chain(grid.iter().map(|&x| f.value(x)));
    let values = values.chain([limits.0, limits.1]).filter(|v| !v.is_nan());
    let range = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    Properties { searched: true, range, limits, slope_limits, zeros, extrema, kinks }
}

/// Where f′ jumps between the points of `grid`, which ascends.
#[must_use]
pub fn kinks(f: &Chosen, grid: &[f64]) -> Vec<Kink> {
    let mut found: Vec<Kink> = Vec::new();
    for pair in grid.windows(2) {
        let (mut a, mut b) = (pair[0], pair[1]);
        let (mut sa, mut sb) = (f.slope(a), f.slope(b));
        if sa == sb {
            continue;
        }
        let (whole, mut halvings) = ((sb - sa).abs(), 0);
        // The half with the larger part of the difference, down to two neighbours.
        while a.next_up() < b {
            halvings += 1;
            if halvings == 10 && (sb - sa).abs() < whole / 64.0 {
                // It has shrunk with the interval: a smooth slope.
                break;
            }
            let middle = a + (b - a) / 2.0;
            let s = f.slope(middle);
            if (s - sa).abs() > (sb - s).abs() {
                (b, sb) = (middle, s);
            } else {
                (a, sa) = (middle, s);
            }
        }
        // Rounding of a smooth slope jumps as well, by very little.
        if a.next_up() >= b
            && (sb - sa).abs() > 1e-9 * sa.abs().max(sb.abs())
            && (sb - sa).abs() > 1e-12
        {
            // Far out a wave differs as much between any two neighbours.
            let beside = (sa - f.slope(a.next_down())).abs().max((f.slope(b.next_up()) - sb).abs());
            if (sb - sa).abs() < 16.0 * beside {
                continue;
            }
            let at = tidy(a);
            if !found.iter().any(|k| (k.at - at).abs() <= 1e-9 * at.abs()) {
                let (left, right) = (f.slope(a.next_down()), f.slope(b.next_up()));
                found.push(Kink { at, left, right, chosen: f.slope(at) });
            }
        }
    }
    found
}

/// The round number of which `v` is a neighbour, if there is one: searches end beside it.
fn tidy(v: f64) -> f64 {
    if v.abs() < 1e-300 {
        return 0.0;
    }
    let round = format!("{v:.9e}").parse().unwrap_or(v);
    if (round - v).abs() <= 1e-15 * v.abs() { round } else { v }
}

/// Neighbours between `a`, where `left` holds, and `b`, where it does not.
fn bisect(mut a: f64, mut b: f64, left: impl Fn(f64) -> bool) -> (f64, f64) {
    while a.next_up() < b {
        let middle = a + (b - a) / 2.0;
        if left(middle) {
            a = middle;
        } else {
            b = middle;
        }
    }
    (a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The search finds what the definitions claim.
    #[test]
    fn search_agrees_with_claims() {
        for f in Chosen::all() {
            let Some(claims) = f.claims() else { continue };
            let (claimed, found, name) = (claimed(&f, claims), search(&f), f.label());
            assert_eq!(found.limits, claimed.limits, "{name}");
            let near = |a: f64, b: f64| a == b || (a - b).abs() < 1e-6;
            assert_eq!(found.kinks.len(), claimed.kinks.len(), "{name}: {found:?}");
            for (a, b) in found.kinks.iter().zip(&claimed.kinks) {
                assert!(near(a.at, b.at) && near(a.left, b.left), "{name}: {a:?} {b:?}");
                assert!(near(a.right, b.right) && near(a.chosen, b.chosen), "{name}: {a:?} {b:?}");
            }
            assert_eq!(found.extrema.len(), claimed.extrema.len(), "{name}: {found:?}");
            for (a, b) in found.extrema.iter().zip(&claimed.extrema) {
                assert!(near(a.at, b.at) && a.minimum == b.minimum, "{name}: {a:?} {b:?}");
            }
            assert!(near(found.range.0, claimed.range.0), "{name}: {found:?}");
            assert!(near(found.range.1, claimed.range.1), "{name}: {found:?}");
        }
    }

    #[test]
    fn waves_have_no_kinks() {
        for (name, slopes) in [("snake", f64::NAN), ("sine", f64::NAN), ("softsign", 0.0)] {
            let p = properties(&Chosen::new(name, &[]).unwrap());
            assert!(p.searched && p.kinks.is_empty(), "{name}: {:?}", p.kinks);
            assert!(p.slope_limits.1 == slopes || slopes.is_nan() && p.slope_limits.1.is_nan());
        }
        let p = properties(&Chosen::new("soft_shrink", &[]).unwrap());
        assert_eq!(p.kinks.iter().map(|k| k.at).collect::<Vec<_>>(), [-0.5, 0.5]);
    }

    #[test]
    fn rows_and_narrow_functions() {
        let p = properties(&Chosen::new("log_softmax", &[]).unwrap());
        assert_eq!((p.range, p.limits), ((f64::NEG_INFINITY, 0.0), (f64::NEG_INFINITY, 0.0)));
        let p = properties(&Chosen::new("softmax", &[("scale".to_owned(), 0.0)]).unwrap());
        assert_eq!((p.range, p.zeros.len()), ((0.5, 0.5), 0));
        let params = [("alpha".to_owned(), 1e5), ("beta".to_owned(), 0.5)];
        let p = properties(&Chosen::new("hard_sigmoid", &params).unwrap());
        assert!(p.kinks.len() == 2 && (p.kinks[0].at + 5e-6).abs() < 1e-12, "{p:?}");
        let p = properties(&Chosen::new("softplus", &[("beta".to_owned(), 30.0)]).unwrap());
        assert_eq!((p.zeros.len(), p.range.0), (0, 0.0));
    }

    #[test]
    fn parameters_move_kinks() {
        let f = Chosen::new("leaky_relu", &[("negative_slope".to_owned(), 0.5)]).unwrap();
        let p = properties(&f);
        assert!(p.searched);
        assert_eq!((p.kinks[0].at, p.kinks[0].left, p.kinks[0].right), (0.0, 0.5, 1.0));
        assert_eq!(p.zeros, [0.0]);
    }
}
