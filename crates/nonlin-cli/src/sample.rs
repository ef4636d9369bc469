//! Points of a curve, with a gap where a derivative jumps.

use crate::chosen::Chosen;
use crate::properties::kinks;

/// About `count` points of f, or of f′, from left to right.
#[must_use]
pub fn sample(
    f: &Chosen,
    derivative: bool,
    (left, right): (f64, f64),
    count: usize,
) -> Vec<(f64, f64)> {
    let count = count.max(2);
    let at = |i: usize| {
        let t = i as f64 / (count - 1) as f64;
        // Both ends exactly, and zero in the middle of -a to a.
        left * (1.0 - t) + right * t
    };
    let grid: Vec<f64> = (0..count).map(at).collect();
    let kinks = kinks(f, &grid);
    let mut next = kinks.iter().peekable();
    let mut points = Vec::with_capacity(count + 3 * kinks.len());
    for x in grid {
        while let Some(kink) = next.next_if(|k| k.at <= x) {
            if derivative {
                points.push((kink.at, kink.left));
                points.push((kink.at, f64::NAN));
                points.push((kink.at, kink.right));
            } else {
                points.push((kink.at, f.value(kink.at)));
            }
        }
        // What is returned at a kink itself is one of its sides, or between them.
        if !kinks.iter().any(|k| k.at == x) {
            points.push((x, if derivative { f.slope(x) } else { f.value(x) }));
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_are_gaps() {
        let relu = Chosen::new("relu", &[]).unwrap();
        let points = sample(&relu, true, (-1.0, 1.0), 10);
        assert_eq!(points.iter().filter(|p| p.1.is_nan()).count(), 1);
        assert!(
            points.iter().all(|&(x, y)| y.is_nan() || y == 0.0 && x <= 0.0 || y == 1.0 && x >= 0.0)
        );
        assert!(points.is_sorted_by(|a, b| a.0 <= b.0));
        let points = sample(&relu, false, (-1.0, 1.0), 10);
        assert!(points.contains(&(0.0, 0.0)) && points.iter().all(|p| p.1 == p.0.max(0.0)));
        assert_eq!((points[0].0, points[points.len() - 1].0), (-1.0, 1.0));
    }
}
