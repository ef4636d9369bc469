//! What results are measured against: f and f′ of neighbouring f32 numbers in f64, the
//! reference of exhaustive runs. Between its corners a definition is, over [`SPAN`] neighbours (a 2048th of a binade), a
//! polynomial of degree 6 to more digits than an error in units of f32 needs. It is evaluated
//! at seven of them, by correctly rounded functions (feature `core-math`) or in double-double
//! numbers, and interpolated at the rest.
//!
//! Whether that is good is decided span by span: at four other numbers, both ends among them,
//! the polynomial must agree with what it stands for to 2^-17 units in the last place of an
//! f32, and its last coefficient must be below 2^-12 of them, so that what would come next is
//! far smaller still. Where a span does not pass (a corner, a zero of the slope, infinities)
//! every number of it is evaluated. The test kit holds all of this against multiple precision.

use crate::function::Function;

/// Neighbours that share a polynomial.
pub(crate) const SPAN: usize = 1 << 12;
/// Seven Chebyshev points of a span, which its polynomial is taken from.
pub const NODES: [u32; 7] = [51, 447, 1159, 2048, 2937, 3649, 4045];
/// Where it is checked.
pub const CHECKS: [u32; 4] = [0, 740, 2460, 4095];

pub type Polynomial = [f64; NODES.len()];

/// Where a number of a span is in it, from -1 to 1.
#[inline(always)]
pub fn place(i: u32) -> f64 {
    (f64::from(i) - 2048.0) * (1.0 / 2048.0)
}

/// The polynomial through `values` at the nodes, low degree first.
pub fn through(values: &Polynomial) -> Polynomial {
    let t = NODES.map(place);
    // Newton's divided differences.
    let mut c = *values;
    for level in 1..c.len() {
        for i in (level..c.len()).rev() {
            c[i] = (c[i] - c[i - 1]) / (t[i] - t[i - level]);
        }
    }
    // c0 + (t - t0) (c1 + (t - t1) (...)), multiplied out.
    let mut p = [0.0; NODES.len()];
    for k in (0..c.len()).rev() {
        for i in (1..p.len()).rev() {
            p[i] = p[i - 1] - t[k] * p[i];
        }
        p[0] = c[k] - t[k] * p[0];
    }
    p
}

/// The polynomial at `t`.
#[inline(always)]
pub fn at(p: &Polynomial, t: f64) -> f64 {
    (((((p[6] * t + p[5]) * t + p[4]) * t + p[3]) * t + p[2]) * t + p[1]) * t + p[0]
}

/// The distance of f32 neighbours around `v`.
fn unit(v: f64) -> f64 {
    let binade = v.abs().max(f64::from(f32::MIN_POSITIVE)).to_bits() & (0x7FF << 52);
    f64::from_bits(binade - (23 << 52))
}

/// The polynomial through `nodes`, if it is good enough at the `checks`.
pub fn good(nodes: &Polynomial, checks: &[f64; CHECKS.len()]) -> Option<Polynomial> {
    let all = || nodes.iter().chain(checks).copied();
    let below = all().all(|v| v <= 0.0);
    let above = all().all(|v| v >= 0.0);
    if !(above || below) || all().any(|v| v.abs() > f64::from(f32::MAX)) {
        return None;
    }
    let unit = unit(all().fold(f64::INFINITY, |least, v| least.min(v.abs())));
    let p = through(nodes);
    let agrees = |(&i, &v): (&u32, &f64)| (at(&p, place(i)) - v).abs() <= unit / 131_072.0;
    let fits = p[6].abs() <= unit / 4096.0 && CHECKS.iter().zip(checks).all(agrees);
    fits.then_some(p)
}

/// Writes the polynomial's values, or each number's own.
fn fill(p: Option<Polynomial>, to: &mut [f64], mut each: impl FnMut(&mut [f64])) -> bool {
    let Some(p) = p else {
        each(to);
        return false;
    };
    for (i, to) in (0u32..).zip(to) {
        *to = at(&p, place(i));
    }
    true
}

impl Function {
    /// f(x) and f′(x) to about 1e-15 relative, but where a slope cancels, near its zeros.
    #[must_use]
    pub fn close(&self, x: f32) -> (f64, f64) {
        #[cfg(feature = "core-math")]
        {
            self.correct(x)
        }
        #[cfg(not(feature = "core-math"))]
        {
            let (v, s) = self.reference(x);
            (v.hi, s.hi)
        }
    }

    /// f and f′ of the f32 numbers whose bit patterns are `first`, `first + 1` and so on, to
    /// 2^-17 units in the last place of an f32; returns how many of them, values and slopes
    /// counted apart, are interpolated.
    ///
    /// # Panics
    /// If `first` or the lengths are not multiples of 4096, or the lengths differ.
    pub fn neighbours(&self, first: u32, value: &mut [f64], slope: &mut [f64]) -> usize {
        let aligned = |n: usize| n.is_multiple_of(SPAN);
        assert!(
            aligned(first as usize) && aligned(value.len()) && value.len() == slope.len(),
            "{first:#x}, {}, {}: they must be multiples of {SPAN}, the lengths equal",
            value.len(),
            slope.len()
        );
        let mut interpolated = 0;
        let spans = value.chunks_exact_mut(SPAN).zip(slope.chunks_exact_mut(SPAN));
        for (k, (value, slope)) in spans.enumerate() {
            let start = first.wrapping_add((k * SPAN) as u32);
            let number = |i: u32| f32::from_bits(start + i);
            let (nodes, checks) =
                (NODES.map(|i| self.close(number(i))), CHECKS.map(|i| self.close(number(i))));
            let each = |i: usize| self.close(number(i as u32));
            let p = good(&nodes.map(|n| n.0), &checks.map(|c| c.0));
            let q = good(&nodes.map(|n| n.1), &checks.map(|c| c.1));
            let values =
                |to: &mut [f64]| to.iter_mut().enumerate().for_each(|(i, v)| *v = each(i).0);
            let slopes =
                |to: &mut [f64]| to.iter_mut().enumerate().for_each(|(i, v)| *v = each(i).1);
            interpolated += SPAN * usize::from(fill(p, value, values));
            interpolated += SPAN * usize::from(fill(q, slope, slopes));
        }
        interpolated
    }
}
