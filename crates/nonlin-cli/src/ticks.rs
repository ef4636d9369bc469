//! Round numbers along an axis.

/// Where an axis has marks.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticks {
    /// The marks, ascending.
    pub values: Vec<f64>,
    /// The distance between them.
    pub step: f64,
}

/// Multiples of 1, 2 or 5 times a power of ten from `low` to `high`, about `most` of them.
/// Needs finite `low < high`.
#[must_use]
pub fn ticks(low: f64, high: f64, most: usize) -> Ticks {
    let rough = high / most as f64 - low / most as f64;
    let power = 10f64.powi(rough.log10().floor() as i32);
    let factor = match rough / power {
        f if f < 1.5 => 1.0,
        f if f < 3.5 => 2.0,
        f if f < 7.5 => 5.0,
        _ => 10.0,
    };
    let step = power * factor;
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    let mut values = Vec::new();
    let mut i = first;
    // The count bounds the loop where adding 1 changes nothing.
    while i <= last && values.len() <= 2 * most {
        values.push(i * step + 0.0);
        i += 1.0;
    }
    Ticks { values, step }
}

/// A mark's number, with as many decimals as the step needs and a proper minus.
#[must_use]
pub fn label(value: f64, ticks: &Ticks) -> String {
    let largest = ticks.values.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
    let text = if value == 0.0 {
        "0".to_owned()
    } else if largest >= 1e6 || ticks.step < 1e-4 {
        // Digits down to the step.
        let digits = (value.abs().log10().floor() - ticks.step.log10().floor()).clamp(0.0, 15.0);
        format!("{value:.*e}", digits as usize)
    } else {
        let decimals = (-(ticks.step * 1.0001).log10().floor()).clamp(0.0, 8.0);
        format!("{value:.*}", decimals as usize)
    };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, most: usize) -> Vec<String> {
        let ticks = ticks(low, high, most);
        ticks.values.iter().map(|&v| label(v, &ticks)).collect()
    }

    #[test]
    fn numbers_are_round() {
        assert_eq!(labels(-4.0, 4.0, 8), ["−4", "−3", "−2", "−1", "0", "1", "2", "3", "4"]);
        assert_eq!(labels(-0.1, 1.1, 6), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(0.0, 0.3, 3), ["0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(-17.0, 423.0, 5), ["0", "100", "200", "300", "400"]);
        assert_eq!(labels(0.0, 2e7, 4), ["0", "5e6", "1.0e7", "1.5e7", "2.0e7"]);
        assert_eq!(labels(0.0, 2e-9, 2), ["0", "1e−9", "2e−9"]);
    }

    #[test]
    fn extremes_end() {
        for (low, high) in [
            (-f64::MAX, f64::MAX),
            (0.0, 5e-324),
            (1.0, 1.0 + f64::EPSILON),
            (1e300, 1.0001e300),
            (-1e-310, 1e-310),
        ] {
            let ticks = ticks(low, high, 6);
            assert!(ticks.values.len() <= 13, "{low} {high} {ticks:?}");
            for &v in &ticks.values {
                assert!(!label(v, &ticks).is_empty());
            }
        }
    }
}
