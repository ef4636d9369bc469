//! Errors of kernels against references, over samples or over all inputs.
//!
//! The reference of a sample is the double-double evaluation of the definition; that of an
//! exhaustive run over f32 is [`Function::neighbours`], good to 2^-17 units, and double-doubles
//! wherever that does not decide which of two numbers is the nearest.

use std::sync::atomic::{AtomicU64, Ordering};

use nonlin::real::Dd;
use nonlin::{Exec, Function, Gate, GatedFunction, Level, Mask, RowFunction};
use rayon::prelude::*;

use crate::input::Cell;

/// A floating-point format: significant bits, least and greatest exponent of a normal number.
#[derive(Clone, Copy)]
pub struct Format {
    digits: i32,
    least: i32,
    most: i32,
    /// The absolute error allowed near an interior zero of f′.
    near_zero: f64,
}

/// The format called `name`.
#[must_use]
pub fn format_of(name: &str) -> Format {
    let (digits, least, most, near_zero) = match name {
        "f16" => (11, -14, 15, 2f64.powi(-24)),
        "bf16" => (8, -126, 127, 2f64.powi(-24)),
        "f32" => (24, -126, 127, 2f64.powi(-24)),
        _ => (53, -1022, 1023, 2f64.powi(-53)),
    };
    Format { digits, least, most, near_zero }
}

impl Format {
    /// The distance of numbers around `v`.
    fn unit(self, v: f64) -> f64 {
        let exponent = (v.abs().to_bits() >> 52) as i32 - 1023;
        2f64.powi(exponent.max(self.least)) * 2f64.powi(1 - self.digits)
    }

    /// The error of `got` in units of the last place of the exact value `hi + lo`.
    fn error(self, got: f64, hi: f64, lo: f64) -> f64 {
        if got == hi && lo == 0.0 {
            return 0.0;
        }
        if hi.is_nan() || got.is_nan() {
            return if hi.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
        }
        // Half a unit beyond the greatest number rounds to infinity.
        let greatest = (2.0 - 2f64.powi(1 - self.digits)) * 2f64.powi(self.most);
        let half = 2f64.powi(self.most - self.digits);
        let overflows = hi.abs() >= greatest
            && ((hi.abs() - greatest) + lo * hi.signum() >= half || hi.is_infinite());
        if got.is_infinite() || overflows {
            return if got.is_infinite() && overflows && got.signum() == hi.signum() {
                0.0
            } else {
                f64::INFINITY
            };
        }
        let exponent = match hi.abs().to_bits() >> 52 {
            0 => -1022,
            biased => biased as i32 - 1023,
        };
        // Just below a power of two the numbers are twice as dense.
        let below = hi.to_bits() << 12 == 0 && lo != 0.0 && (lo > 0.0) != (hi > 0.0);
        let unit = (exponent - i32::from(below)).max(self.least) - self.digits + 1;
        let apart = ((got - hi) - lo).abs();
        // 2^-unit in two steps: it may be beyond the range.
        (apart * 2f64.powi(-(unit / 2))) * 2f64.powi(-(unit - unit / 2))
    }
}

/// What was found of one direction (f or f′) of a function.
#[derive(Clone, Copy, Debug, Default)]
pub struct Errors {
    /// Inputs tried.
    pub inputs: u64,
    /// Largest error, in units of the last place.
    pub worst: f64,
    /// Where it is.
    pub at: f64,
    /// The second operand there, of a gated function.
    pub at_b: f64,
    /// The sum of all errors.
    pub sum: f64,
    /// Results that are not the nearest number.
    pub misrounded: u64,
    /// Slopes near a zero of f′ that are within the absolute bound instead.
    pub excused: u64,
    /// Steps of neighbours in the wrong direction, where f is monotone; exhaustive runs count them.
    pub wrong_steps: u64,
    /// The largest of them, in units of the last place.
    pub worst_step: u32,
    /// Results that leave the range of f, and those that break its symmetry if it is odd;
    /// exhaustive runs count them.
    pub misplaced: u64,
    /// A digest of all results, in exhaustive runs.
    pub digest: u64,
}

impl Errors {
    /// The mean error.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.inputs == 0 { 0.0 } else { self.sum / self.inputs as f64 }
    }

    /// Whether the contract holds, with this bound of the error.
    #[must_use]
    pub fn hold(&self, bound: f64) -> bool {
        self.worst <= bound && self.worst_step <= 1 && self.misplaced == 0
    }

    fn note(&mut self, error: f64, x: f64, b: f64, misrounded: bool) {
        self.inputs += 1;
        self.misrounded += u64::from(misrounded);
        if error > self.worst || (self.inputs == 1 && error == 0.0) {
            (self.worst, self.at, self.at_b) = (error, x, b);
        }
        if error.is_finite() {
            self.sum += error;
        }
    }

    fn join(self, o: Self) -> Self {
        let first = if o.worst > self.worst || self.inputs == 0 { o } else { self };
        Errors {
            inputs: self.inputs + o.inputs,
            sum: self.sum + o.sum,
            misrounded: self.misrounded + o.misrounded,
            excused: self.excused + o.excused,
            wrong_steps: self.wrong_steps + o.wrong_steps,
            worst_step: self.worst_step.max(o.worst_step),
            misplaced: self.misplaced + o.misplaced,
            digest: self.digest ^ o.digest,
            ..first
        }
    }
}

/// A mixing function (Steele, Lea and Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Patterns to a block of an exhaustive run.
const BLOCK: u32 = 1 << 16;

/// A digest of a block of results, with one NaN for all.
fn digest(block: u32, y: &[f32]) -> u64 {
    let mut h = [u64::from(block), 1, 2, 3];
    for four in y.chunks_exact(4) {
        for (h, v) in h.iter_mut().zip(four) {
            let bits = if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() };
            *h = (*h ^ u64::from(bits)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        }
    }
    h.into_iter().fold(0, |all, h| mix(all ^ h))
}

/// Room for a block and what is computed of it; a thread uses it again and again.
#[derive(Default)]
struct Room {
    x: Vec<f32>,
    y: Vec<f32>,
    d: Vec<f32>,
    value: Vec<f64>,
    slope: Vec<f64>,
}

impl Room {
    /// Fills in a block and, for the step to it, the first pattern of the next.
    fn fill(&mut self, block: u32) {
        self.x.clear();
        self.x.extend((0..=BLOCK).map(|i| f32::from_bits((block * BLOCK).wrapping_add(i))));
        self.y.resize(self.x.len(), 0.0);
        self.d.resize(self.x.len(), 0.0);
    }
}

/// The digests of f and f′ over all 2^32 inputs.
#[must_use]
pub fn digests(f: &Function, exec: &Exec) -> (u64, u64) {
    let one = |room: &mut Room, block: u32| {
        room.fill(block);
        let last = BLOCK as usize;
        f.forward_with(exec, &room.x, &mut room.y);
        f.derivative_with(exec, &room.x, &mut room.d);
        (digest(block, &room.y[..last]), digest(block, &room.d[..last]))
    };
    (0..u32::MAX / BLOCK + 1)
        .into_par_iter()
        .map_init(Room::default, one)
        .reduce(|| (0, 0), |a, b| (a.0 ^ b.0, a.1 ^ b.1))
}

/// What the exact values of exhaustive runs come from.
pub const EXHAUSTIVE_REFERENCE: &str = if cfg!(feature = "core-math") {
    "correctly rounded functions and double-double arithmetic"
} else {
    "double-double arithmetic"
};

/// f and f′ over all 2^32 inputs of f32. `progress` is called with the number of blocks done, of 65,536.
#[must_use]
pub fn exhaustive(f: &Function, exec: &Exec, progress: &(dyn Fn(u64) + Sync)) -> [Errors; 2] {
    let done = AtomicU64::new(0);
    let one = |room: &mut Room, block: u32| {
        let errors = exhaustive_block(f, exec, room, block);
        progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        errors
    };
    let blocks = (0..u32::MAX / BLOCK + 1).into_par_iter();
    blocks.map_init(Room::default, one).reduce(Default::default, join)
}

/// One block of 65,536 patterns of [`exhaustive`].
fn exhaustive_block(f: &Function, exec: &Exec, room: &mut Room, block: u32) -> [Errors; 2] {
    let (first, last) = (block * BLOCK, BLOCK as usize);
    room.fill(block);
    f.forward_with(exec, &room.x, &mut room.y);
    f.derivative_with(exec, &room.x, &mut room.d);
    room.value.resize(last, 0.0);
    room.slope.resize(last, 0.0);
    f.neighbours(first, &mut room.value, &mut room.slope);
    let Room { x, y, d, value, slope } = room;
    let zeros = f.claims().slope_zeros;
    let near_zero = zeros.iter().any(|z| {
        let ends = [x[0], x[last - 1]].map(f64::from);
        let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        low <= z + 0.5 && high >= z - 0.5
    });
    let mut errors = [Errors::default(), Errors::default()];
    // Double-doubles are a hundred times slower: few numbers need them.
    let decide = |got: f32, x: f32, of: fn((Dd, Dd)) -> Dd, close: f64| {
        let decided = (quick_error(got, close) - 0.5).abs() > UNDECIDED / 128.0;
        if decided && close.abs() < f64::from(f32::MAX) {
            Dd::new(close)
        } else {
            of(f.reference(x))
        }
    };
    account(&mut errors[0], &x[..last], &y[..last], value, &[], |got, x| {
        decide(got, x, |r| r.0, f.close(x).0)
    });
    let zeros = if near_zero { zeros } else { &[] };
    account(&mut errors[1], &x[..last], &d[..last], slope, zeros, |got, x| {
        decide(got, x, |r| r.1, f.close(x).1)
    });
    let claims = f.claims();
    if claims.monotone {
        (errors[0].wrong_steps, errors[0].worst_step) = steps_back(x, y);
    }
    let (low, high) = (claims.range.0 as f32, claims.range.1 as f32);
    errors[0].misplaced = y[..last].iter().map(|y| u64::from(*y < low || *y > high)).sum();
    errors[0].digest = digest(block, &y[..last]);
    errors[1].digest = digest(block, &d[..last]);
    if claims.odd {
        let opposite: Vec<f32> = x[..last].iter().map(|x| -x).collect();
        let (mut other, mut steep) = (vec![0.0; last], vec![0.0; last]);
        f.forward_with(exec, &opposite, &mut other);
        f.derivative_with(exec, &opposite, &mut steep);
        let differ = |a: &f32, b: f32| u64::from(a.to_bits() != b.to_bits() && !a.is_nan());
        errors[0].misplaced += y.iter().zip(&other).map(|(a, b)| differ(a, -b)).sum::<u64>();
        errors[1].misplaced = d.iter().zip(&steep).map(|(a, b)| differ(a, *b)).sum();
    }
    errors
}

/// How many steps from one number to the next lead back, and by how many units at most.
fn steps_back(x: &[f32], y: &[f32]) -> (u64, u32) {
    // Patterns lead away from 0 on both sides; a block lies on one of them.
    let negative = x[0].is_sign_negative();
    let falls = |w: &[f32]| if negative { w[1] > w[0] } else { w[1] < w[0] };
    // The step from the last block of a side leads to the other, or to NaN.
    let steps = x.len() - usize::from(x[x.len() - 1].is_sign_negative() != negative);
    let count = y[..steps].windows(2).map(|w| u64::from(falls(w))).sum();
    if count == 0 {
        return (0, 0);
    }
    let ordinal = |v: f32| {
        let magnitude = i64::from(v.to_bits() & 0x7FFF_FFFF);
        if v.is_sign_negative() { -magnitude } else { magnitude }
    };
    let by = |w: &[f32]| (ordinal(w[1]) - ordinal(w[0])).unsigned_abs() as u32;
    let worst = y[..steps].windows(2).filter(|w| falls(w)).map(by).max();
    (count, worst.unwrap_or(0))
}

/// Closer to half a unit than this, the reference of exhaustive runs does not say which number
/// is the nearest.
const UNDECIDED: f64 = 1.0 / 32_768.0;

/// Notes the errors of `got` at all of `x`; `exact` is good to 2^-17 units, `decide` to so many
/// that the nearest number is known.
///
/// Few numbers need more than the first loop, which the compiler vectorises.
fn account(
    to: &mut Errors,
    x: &[f32],
    got: &[f32],
    exact: &[f64],
    zeros: &[f64],
    decide: impl Fn(f32, f32) -> Dd,
) {
    const LANES: usize = 8;
    const CHUNK: usize = 1024;
    let format = format_of("f32");
    for start in (0..x.len()).step_by(CHUNK) {
        let part = start..(start + CHUNK).min(x.len());
        let (x, got, exact) = (&x[part.clone()], &got[part.clone()], &exact[part]);
        let (mut most, mut sum, mut strange) = ([0.0f64; LANES], [0.0f64; LANES], [0u64; LANES]);
        for (got, exact) in got.chunks_exact(LANES).zip(exact.chunks_exact(LANES)) {
            for i in 0..LANES {
                let error = quick_error(got[i], exact[i]);
                most[i] = if error > most[i] { error } else { most[i] };
                sum[i] += error;
                strange[i] |= u64::from(is_strange(error, exact[i]));
            }
        }
        let worst = most.into_iter().fold(0.0, f64::max);
        let plain = zeros.is_empty() && strange == [0; LANES] && x.len().is_multiple_of(LANES);
        if plain && worst < 0.5 - UNDECIDED && worst <= to.worst && to.inputs > 0 {
            to.inputs += x.len() as u64;
            to.sum += sum.iter().sum::<f64>();
            continue;
        }
        for ((&x, &got), &exact) in x.iter().zip(got).zip(exact) {
            if exact.is_nan() && got.is_nan() {
                to.note(0.0, f64::from(x), 0.0, false);
                continue;
            }
            let mut error = quick_error(got, exact);
            let mut apart = f64::from(got) - exact;
            let ambiguous = (error - 0.5).abs() <= UNDECIDED;
            if ambiguous || is_strange(error, exact) || error > to.worst {
                let exact = decide(got, x);
                error = format.error(f64::from(got), exact.hi, exact.lo);
                apart = (f64::from(got) - exact.hi) - exact.lo;
            }
            note_slope(to, format, zeros, error, apart, f64::from(x));
        }
    }
}

/// Whether a quick error may be wrong: an exact value or a result beyond the range, or NaN.
#[inline(always)]
fn is_strange(error: f64, exact: f64) -> bool {
    exact.abs() >= f64::from(f32::MAX) || error >= 1e6 || error.is_nan()
}

/// The error of an f32 whose exact value is finite.
#[inline(always)]
fn quick_error(got: f32, exact: f64) -> f64 {
    // 2^(23 - e), from the exponent e of the exact value, at least that of subnormal numbers.
    let size = exact.abs();
    let least = f64::from(f32::MIN_POSITIVE);
    let size = if size > least { size } else { least };
    let per_unit = f64::from_bits(((2 * 1023 + 23) << 52) - (size.to_bits() & (0x7FF << 52)));
    (f64::from(got) - exact).abs() * per_unit
}

fn join(a: [Errors; 2], b: [Errors; 2]) -> [Errors; 2] {
    [a[0].join(b[0]), a[1].join(b[1])]
}

/// Notes an error, unless a zero of f′ that is near excuses it.
fn note_slope(to: &mut Errors, format: Format, zeros: &[f64], error: f64, apart: f64, x: f64) {
    let excused = error > 0.5
        && apart.abs() <= format.near_zero
        && zeros.iter().any(|z| (x - z).abs() <= 0.5);
    to.excused += u64::from(excused);
    to.note(if excused { 0.0 } else { error }, x, 0.0, error > 0.5);
}

/// Where errors are likely: corners and zeros of f, and where e^x over- or underflows in some type.
fn delicate(f: &Function) -> Vec<f64> {
    let claims = f.claims();
    let mut at =
        vec![0.0, 1.0, 40.0, 88.722_839, 103.972_08, 709.782_712_893_384, 745.133_219_101_941_1];
    at.extend([9.010_913, 14.173_3, 19.061_547, 37.519_38, 38.485_4, 127.0, 1023.0]);
    // Where kernels may change over: whole numbers, and the ends of the pieces of e^x.
    at.extend((1..=128).map(f64::from));
    at.extend((0..128).map(|k| (f64::from(k) + 0.5) * std::f64::consts::LN_2));
    at.extend(claims.zeros);
    at.extend(claims.slope_zeros);
    at.extend(claims.kinks.iter().map(|k| k.at));
    at
}

/// Every exponent of `T` with both signs, densely from 2^-20 to 2^11, and around delicate points.
pub fn sample<T: Cell>(f: &Function, points: u64) -> Vec<T> {
    let format = format_of(T::NAME);
    let mut x = Vec::new();
    let mut add = |exponent: i32, count: u64| {
        for i in 0..count {
            let fraction = (mix(mix((exponent + 5000) as u64) ^ i) >> 11) as f64 / 2f64.powi(53);
            let v = (1.0 + fraction) * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2);
            x.extend([T::from_f64(v), T::from_f64(-v)]);
        }
    };
    let lowest = format.least - format.digits + 1;
    let exponents = (format.most - lowest + 1) as u64;
    for exponent in lowest..=format.most {
        add(exponent, points / 4 / exponents + 1);
    }
    for exponent in -20..=11 {
        add(exponent, points / 4 / 32 + 1);
    }
    for centre in delicate(f) {
        for sign in [1.0, -1.0] {
            // A step that moves to the next number of the type, most of the time.
            let step = centre.abs().max(2f64.powi(-60)) * 2f64.powi(1 - format.digits);
            x.extend((-64..=64).map(|i| T::from_f64(sign * (centre + f64::from(i) * step))));
        }
    }
    x.extend(
        [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, f64::MIN]
            .map(T::from_f64),
    );
    x
}

/// f, f′ and backward over some inputs, against double-doubles.
///
/// Gradients are of all sizes that leave room for the slope, and of either sign.
#[must_use]
pub fn sampled<T: Cell>(f: &Function, exec: &Exec, x: &[T]) -> [Errors; 3] {
    let format = format_of(T::NAME);
    let zeros = f.claims().slope_zeros;
    let one = |x: &[T]| {
        let (mut y, mut d) = (vec![T::default(); x.len()], vec![T::default(); x.len()]);
        f.forward_with(exec, x, &mut y);
        f.derivative_with(exec, x, &mut d);
        let mut errors = [Errors::default(); 3];
        let gradient = |x: &T| {
            let h = mix(x.to_f64().to_bits());
            let top = format.most - 1;
            let exponent = (h >> 1) as i32 % top;
            let size = (1.0 + (mix(h) >> 12) as f64 / 2f64.powi(52)) * 2f64.powi(exponent);
            T::from_f64(if h & 1 == 0 { size } else { -size })
        };
        let gradients: Vec<T> = x.iter().map(gradient).collect();
        let mut back = gradients.clone();
        f.backward_in_place_with(exec, x, &mut back);
        for (i, ((x, y), d)) in x.iter().zip(y).zip(d).enumerate() {
            let (v, s) = f.reference(*x);
            let (at, got, steep) = (x.to_f64(), y.to_f64(), d.to_f64());
            let error = format.error(got, v.hi, v.lo);
            errors[0].note(error, at, 0.0, error > 0.5);
            let error = format.error(steep, s.hi, s.lo);
            note_slope(&mut errors[1], format, zeros, error, (steep - s.hi) - s.lo, at);
            let (gradient, back) = (gradients[i].to_f64(), back[i].to_f64());
            let exact = f.backward_reference(*x, gradients[i]);
            let error = format.error(back, exact.hi, exact.lo);
            let apart = ((back - exact.hi) - exact.lo) / gradient;
            note_slope(&mut errors[2], format, zeros, error, apart, at);
        }
        errors
    };
    let all = x.par_chunks(1024).map(one);
    all.reduce(Default::default, |a, b| std::array::from_fn(|k| a[k].join(b[k])))
}

/// The lengths that [`rows`] takes: each group has the bound of its longest.
pub const LENGTHS: [&[usize]; 3] = [&[1, 2, 3, 16, 33, 64], &[100, 1000, 1024], &[100_000]];

/// What an element of a row of `n` may be off.
#[must_use]
pub fn row_bound(n: usize) -> f64 {
    2.0 + (n as f64 / 64.0).log2().max(0.0)
}

/// Softmax over rows that make trouble, against double-doubles. A row that does not sum to 1 up
/// to the bound of its elements is counted as misplaced.
#[must_use]
pub fn rows<T: Cell>(f: &RowFunction, exec: &Exec, lengths: &[usize]) -> Errors {
    let scale = f.factor();
    let format = format_of(T::NAME);
    let greatest = (2.0 - 2f64.powi(1 - format.digits)) * 2f64.powi(format.most);
    let random = |i: usize| (mix(i as u64) >> 11) as f64 / 2f64.powi(53) - 0.5;
    // By number of the element and length of the row.
    let kinds: [&(dyn Fn(usize, usize) -> f64 + Sync); 10] = [
        &|i, _| random(i) * 20.0,
        &|i, _| random(i) * 2000.0,
        &|_, _| 0.75,
        &|i, n| if i == n / 2 { 300.0 } else { random(i) },
        &|i, n| if i == n / 3 { 12.0 } else { random(i) - 8.0 },
        &|i, _| if i == 0 { 0.0 } else { random(i) - 40.0 },
        &|i, _| greatest * (1.0 - random(i).abs() * 1e-3),
        &|i, _| if i % 3 == 0 { greatest } else { -greatest },
        &|i, _| if i % 4 == 1 { f64::NEG_INFINITY } else { random(i) * 9.0 },
        &|i, _| -3.0 * i as f64,
    ];
    let one = |(n, kind): (usize, usize)| {
        let x: Vec<T> = (0..n).map(|i| T::from_f64(kinds[kind](i, n))).collect();
        let z: Vec<Dd> = x.iter().map(|v| Dd::new(v.to_f64()) * Dd::new(scale)).collect();
        let exact = f.reference(&z);
        let mut y = vec![T::default(); n];
        // A row of its own shape cannot fail.
        let _ = f.forward_with(exec, &x, &[n], 0, Mask::new(), &mut y);
        let mut errors = Errors::default();
        let (mut sum, mut units) = (Dd::new(0.0), 0.0);
        for ((x, y), exact) in x.iter().zip(&y).zip(exact) {
            let y = y.to_f64();
            // Where f64 itself is subnormal the second part is not exact.
            let tiny = exact.hi.abs() < f64::MIN_POSITIVE * 4.0;
            let error = format.error(y, exact.hi, if tiny { 0.0 } else { exact.lo });
            errors.note(error, x.to_f64(), 0.0, error > 0.5);
            sum = sum + Dd::new(y);
            units += format.unit(y);
        }
        let off = (sum - Dd::new(1.0)).hi.abs();
        errors.misplaced = u64::from(
            !f.name().starts_with("log_") && (off.is_nan() || off > row_bound(n) * units),
        );
        errors
    };
    let all: Vec<(usize, usize)> =
        lengths.iter().flat_map(|&n| (0..kinds.len()).map(move |kind| (n, kind))).collect();
    all.into_par_iter().map(one).reduce(Errors::default, Errors::join)
}

/// A gated function over pairs of inputs, against double-doubles: value, and both partial derivatives.
#[must_use]
pub fn gated<T: Cell>(g: &GatedFunction, exec: &Exec, points: u64) -> [Errors; 3] {
    let format = format_of(T::NAME);
    let number = |i: u64, least: i32, most: i32| {
        let h = mix(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let exponent = least + (h % (most - least) as u64) as i32;
        let sign = if h >> 63 == 0 { 1.0 } else { -1.0 };
        T::from_f64(sign * (1.0 + (mix(h) >> 12) as f64 / 2f64.powi(52)) * 2f64.powi(exponent))
    };
    // The gate mostly where it is neither open nor shut, down to where it alone is subnormal;
    // products stay within the range.
    let top = format.most / 2;
    let reach = match T::NAME {
        "f64" => 10,
        "f16" => 4,
        _ => 7,
    };
    let by_gate = if g.gate() == Gate::First { 1 } else { 2 };
    let zeros = gate_zeros(g);
    let one = |block: u64| {
        let of = |k: u64, least: i32, most: i32| -> Vec<T> {
            (0..1024).map(|i| number(2 * (block * 1024 + i) + k, least, most)).collect()
        };
        let (a, b) = if block.is_multiple_of(2) {
            (of(0, -20, reach), of(1, -top, top))
        } else {
            (of(0, -top, top), of(1, -20, reach))
        };
        let mut y = vec![T::default(); 1024];
        let (mut da, mut db) = (y.clone(), y.clone());
        g.forward_with(exec, &a, &b, &mut y);
        let ones = vec![T::from_f64(1.0); 1024];
        g.backward_with(exec, &a, &b, &ones, &mut da, &mut db);
        let mut errors = [Errors::default(); 3];
        for i in 0..1024 {
            let (v, pa, pb) = g.reference(a[i], b[i]);
            let (xa, xb) = (a[i].to_f64(), b[i].to_f64());
            for (k, (got, exact)) in [(y[i], v), (da[i], pa), (db[i], pb)].into_iter().enumerate() {
                let error = format.error(got.to_f64(), exact.hi, exact.lo);
                // Near a zero of the gate's slope the other factor scales the absolute bound.
                let (gate, other) = if by_gate == 1 { (xa, xb) } else { (xb, xa) };
                let apart = ((got.to_f64() - exact.hi) - exact.lo).abs();
                let excused = k == by_gate
                    && error > 0.5
                    && apart <= format.near_zero * other.abs()
                    && zeros.iter().any(|z| (gate - z).abs() <= 0.5);
                errors[k].excused += u64::from(excused);
                errors[k].note(if excused { 0.0 } else { error }, xa, xb, error > 0.5);
            }
        }
        errors
    };
    let add = |a: [Errors; 3], b: [Errors; 3]| [a[0].join(b[0]), a[1].join(b[1]), a[2].join(b[2])];
    (0..points.div_ceil(1024)).into_par_iter().map(one).reduce(Default::default, add)
}

/// Where the slope by the gate passes through zero: between which of 1/64 apart its sign changes.
fn gate_zeros(g: &GatedFunction) -> Vec<f64> {
    let slope = |x: f64| match g.gate() {
        Gate::First => g.reference(x, 1.0).1.hi,
        Gate::Second => g.reference(1.0, x).2.hi,
    };
    let steps = (-1024..1024).map(|i| f64::from(i) / 64.0);
    steps.filter(|x| slope(*x) * slope(x + 1.0 / 64.0) < 0.0).collect()
}

/// Every level of this processor, best first.
#[must_use]
pub fn levels() -> Vec<Level> {
    Level::ALL.iter().copied().rev().filter(|l| l.available()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_in_units_of_the_last_place() {
        let f32 = format_of("f32");
        assert_eq!(f32.error(1.0, 1.0, 0.0), 0.0);
        assert_eq!(f32.error(1.0, 1.0 + 2f64.powi(-23), 0.0), 1.0);
        assert_eq!(f32.error(0.0, 2f64.powi(-149), 0.0), 1.0);
        assert_eq!(f32.error(f64::INFINITY, 3.402_823_567_797_336_7e38, 0.0), 0.0);
        assert_eq!(f32.error(f64::from(f32::MAX), f64::INFINITY, 0.0), f64::INFINITY);
        assert_eq!(f32.error(f64::NAN, 1.0, 0.0), f64::INFINITY);
        assert_eq!(f32.error(-1.0, 1.0, 0.0), 2f64.powi(24));
        let f64 = format_of("f64");
        assert_eq!(f64.error(1.0, 1.0, 2f64.powi(-54)), 0.25);
        assert_eq!(f64.error(1.0, 1.0, -2f64.powi(-54)), 0.5);
        assert_eq!(f64.error(-1.0, -1.0, 2f64.powi(-54)), 0.5);
        assert_eq!(f64.error(0.0, 5e-324, 0.0), 1.0);
        let f16 = format_of("f16");
        assert_eq!(f16.error(65504.0, 65519.0, 0.0), 15.0 / 32.0);
        assert_eq!(f16.error(f64::INFINITY, 65520.0, 0.0), 0.0);
    }

    #[test]
    fn a_digest_sees_one_bit() {
        let mut y: Vec<f32> = (0..BLOCK).map(|i| i as f32).collect();
        let before = digest(7, &y);
        assert_ne!(before, digest(8, &y));
        y[12345] = f32::from_bits(y[12345].to_bits() ^ 1);
        assert_ne!(before, digest(7, &y));
    }

    #[test]
    fn sampled_errors_are_found() {
        let f = nonlin::get("gelu").unwrap();
        let x = sample::<f32>(&f, 4096);
        let [v, d, back] = sampled(&f, &Exec::new(), &x);
        let declared = f.claims().bounds.f32;
        assert!(v.worst > 0.49 && v.worst <= declared.0 && d.worst <= declared.1, "{v:?} {d:?}");
        assert!(back.worst > 0.49 && back.worst <= 4.5, "{back:?}");
        assert_eq!(v.inputs, x.len() as u64);
    }

    /// A block where the reference is interpolated, one with a corner, one with infinities and
    /// NaN: a block has the errors that its numbers have one by one, against double-doubles.
    #[test]
    fn blocks_are_measured_as_samples_are() {
        for (name, start) in
            [("gelu", -1.1f32), ("tanh", 0.7), ("hard_swish", -3.0), ("relu", f32::INFINITY)]
        {
            let f = nonlin::get(name).unwrap();
            let (exec, block) = (Exec::new(), start.to_bits() >> 16);
            let [v, d] = exhaustive_block(&f, &exec, &mut Room::default(), block);
            let x: Vec<f32> = (0..BLOCK).map(|i| f32::from_bits(block * BLOCK + i)).collect();
            let [w, e, _] = sampled(&f, &exec, &x);
            for (a, b) in [(v, w), (d, e)] {
                assert!((a.worst - b.worst).abs() < 1e-4, "{name}: {a:?} {b:?}");
                assert!((a.mean() - b.mean()).abs() < 1e-5, "{name}: {a:?} {b:?}");
                assert_eq!((a.inputs, a.misrounded), (b.inputs, b.misrounded), "{name}");
                assert_eq!(a.excused, b.excused, "{name}");
            }
        }
    }

    #[test]
    fn faults_of_a_block_are_seen() {
        let x: Vec<f32> = (0..=BLOCK).map(|i| f32::from_bits(0x3F80_0000 + i)).collect();
        let exact: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        let found = |got: &[f32]| {
            let mut errors = Errors::default();
            let n = BLOCK as usize;
            account(&mut errors, &x[..n], &got[..n], &exact[..n], &[], |_, x| Dd::new(x.into()));
            errors
        };
        assert_eq!((found(&x).worst, found(&x).misrounded), (0.0, 0));
        assert_eq!(steps_back(&x, &x), (0, 0));
        for (fault, worst) in [(x[777].next_down().next_down(), 2.0), (f32::NAN, f64::INFINITY)] {
            let mut got = x.clone();
            got[777] = fault;
            let errors = found(&got);
            assert_eq!((errors.worst, errors.misrounded), (worst, 1));
            assert_eq!(errors.at, f64::from(x[777]));
            assert!(!errors.hold(1.0));
        }
        let mut got = x.clone();
        got[777] = x[774];
        assert_eq!(steps_back(&x, &got), (1, 2));
        let negative: Vec<f32> = x.iter().map(|x| -x).collect();
        assert_eq!(steps_back(&negative, &negative), (0, 0));
        assert_eq!(steps_back(&x, &negative).0, u64::from(BLOCK));
        let back = Errors { worst_step: 2, ..Errors::default() };
        let outside = Errors { misplaced: 1, ..Errors::default() };
        assert!(!back.hold(1.0) && !outside.hold(1.0) && Errors::default().hold(0.0));
    }

    /// Only the neighbourhood of a zero of the gate's slope excuses, and only that slope.
    #[test]
    fn zeros_of_gates() {
        let zeros = |name: &str| gate_zeros(&nonlin::gated(name).unwrap());
        assert!((zeros("swiglu")[0] + 1.278).abs() < 0.02 && zeros("swiglu").len() == 1);
        assert!((zeros("geglu")[0] + 0.752).abs() < 0.02 && zeros("geglu").len() == 1);
        assert!(zeros("glu").is_empty() && zeros("bilinear").is_empty());
    }
}
