//! What several test files share: numbers, levels, reports, and the checks themselves.
//!
//! A check takes a function and a [`Report`] and writes down what is wrong. The tests ask for
//! an empty report of every function of the catalogue; `planted_faults.rs` gives the same
//! checks broken definitions and asks that they be reported.

#![allow(dead_code, unused_imports, unused_macros)]

use nonlin::real::{Dd, Dual, Interval};
use nonlin::{Element, Elementwise, Exec, Function, Level, ParamList, bf16, f16};
use nonlin_testkit::formula::Formula;
use nonlin_testkit::samples::{mix_unit, mixed, uniform};
use nonlin_testkit::ulp::{Format, pow2, ulp_error};

/// A type of arrays whose bits can be looked at.
pub trait Number: Element + Format {
    /// Ends of the interval where activations bend.
    const BEND: f64;
    /// The absolute error that is accepted near a zero of the slope.
    const NEAR_ZERO: f64;
    /// Gradients of all sizes.
    const GRADIENTS: &'static [f64];
    /// Exactly, as f64.
    fn wide(self) -> f64 {
        Element::to_f64(self)
    }
    /// Rounded once.
    fn round(v: f64) -> Self {
        Element::from_f64(v)
    }
}
impl Number for f32 {
    const BEND: f64 = 120.0;
    const NEAR_ZERO: f64 = 5.960_464_477_539_063e-8;
    const GRADIENTS: &'static [f64] = &[1.0, -2.5, 0.3, 1e-30, 3e30, -3e38, 0.0];
}
impl Number for f64 {
    const BEND: f64 = 760.0;
    const NEAR_ZERO: f64 = 1.110_223_024_625_156_5e-16;
    const GRADIENTS: &'static [f64] = &[1.0, -2.5, 0.3, 1e-30, 3e30, -1e-290, 1e300, -1.7e308, 0.0];
}
impl Number for f16 {
    const BEND: f64 = 20.0;
    const NEAR_ZERO: f64 = 5.960_464_477_539_063e-8;
    const GRADIENTS: &'static [f64] = &[1.0, -2.5, 0.3];
}
impl Number for bf16 {
    const BEND: f64 = 120.0;
    const NEAR_ZERO: f64 = 5.960_464_477_539_063e-8;
    const GRADIENTS: &'static [f64] = &[1.0, -2.5, 0.3];
}

/// The same bits, or both NaN.
pub fn same<T: Format>(a: T, b: T) -> bool {
    a.pattern() == b.pattern() || (a.is_nan() && b.is_nan())
}

/// The first place where two arrays differ in their bits.
pub fn first_difference<T: Format>(a: &[T], b: &[T]) -> Option<usize> {
    assert_eq!(a.len(), b.len());
    (0..a.len()).find(|&i| !same(a[i], b[i]))
}

/// The levels of this processor. The stage `unit` of `cargo xtask test` names those that it lacks.
///
/// # Panics
/// If `NONLIN_REQUIRE` names a level that is lacking.
pub fn levels() -> Vec<Level> {
    let required = std::env::var("NONLIN_REQUIRE").unwrap_or_default();
    let (have, lack): (Vec<_>, Vec<_>) = Level::ALL.iter().copied().partition(|l| l.available());
    for level in lack {
        // On another architecture `neon` is a stage that emulates it.
        let here = (level == Level::Neon) == cfg!(target_arch = "aarch64");
        let wanted = required.split(',').any(|name| name.trim() == level.name());
        assert!(!(here && wanted), "NONLIN_REQUIRE wants {level}, but this processor lacks it");
    }
    have
}

/// The levels with fused multiply-add.
pub fn fused_levels() -> Vec<Level> {
    levels().into_iter().filter(|l| l.fused()).collect()
}

/// One call per level.
pub fn at(level: Level) -> Exec {
    Exec::new().level(level).expect("the level is available")
}

/// What a check has found.
#[derive(Default)]
pub struct Report {
    count: usize,
    first: Vec<String>,
}

impl Report {
    /// Notes a fault unless `ok`.
    pub fn need(&mut self, ok: bool, text: impl FnOnce() -> String) {
        if !ok {
            self.count += 1;
            if self.first.len() < 20 {
                self.first.push(text());
            }
        }
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.count == 0
    }

    /// The first faults, one a line.
    pub fn text(&self) -> String {
        format!("{} faults, the first:\n  {}", self.count, self.first.join("\n  "))
    }

    /// Fails the test if anything was found.
    #[track_caller]
    pub fn finish(self) {
        assert!(self.is_clean(), "{}", self.text());
    }
}

/// Points where something may happen in `f`: what it claims, and where exponentials end.
pub fn points(f: &Function) -> Vec<f64> {
    let c = f.claims();
    let mut out = vec![0.0, 1.0, -1.0, 3.0, -3.0, 6.0, -6.0];
    out.extend(c.zeros);
    out.extend(c.slope_zeros);
    out.extend(c.kinks.iter().map(|k| k.at));
    out.extend(c.minimum.map(|(x, _)| x));
    for p in [
        0.346, 0.693, 16.6, 17.3, 36.7, 37.4, 38.5, 40.0, 52.0, 87.3, 88.7, 103.3, 103.97, 708.4,
        709.78, 744.4, 745.13,
    ] {
        out.extend([p, -p]);
    }
    out
}

/// Every exponent and sign, special values, neighbourhoods, and the range where `f` bends.
///
/// Few of them where the sanitizer watches: it is after addresses, not numbers.
pub fn inputs<T: Number>(f: &Function, per_exponent: u64, dense: u64) -> Vec<T> {
    let most = |n: u64, few: u64| if cfg!(fuzzing) { n.min(few) } else { n };
    let (per_exponent, dense) = (most(per_exponent, 1), most(dense, 100));
    let mut out = mixed::<T>(per_exponent, &points(f), 40, 0x5eed);
    for (end, seed) in [(T::BEND, 1), (12.0, 2), (1.5, 3)] {
        out.extend(uniform::<T>(-end, end, dense, seed));
    }
    out
}

/// `f` of every element, at a level.
pub fn forward<T: Number>(exec: &Exec, f: &Function, x: &[T]) -> Vec<T> {
    let mut y = vec![T::default(); x.len()];
    f.forward_with(exec, x, &mut y);
    y
}

/// `f′` of every element, at a level.
pub fn derivative<T: Number>(exec: &Exec, f: &Function, x: &[T]) -> Vec<T> {
    let mut y = vec![T::default(); x.len()];
    f.derivative_with(exec, x, &mut y);
    y
}

/// The slope's zeros, which move with the parameters.
pub fn slope_zeros(f: &Function) -> Vec<(f64, f64)> {
    let scale = match f.name() {
        "silu" => f.params().next().map_or(1.0, |(_, beta)| if beta == 0.0 { 1.0 } else { beta }),
        _ => 1.0,
    };
    f.claims().slope_zeros.iter().map(|z| (z / scale, 0.5 / scale.abs())).collect()
}

pub fn pair(d: Dd) -> (f64, f64) {
    (d.hi, if d.hi.is_finite() { d.lo } else { 0.0 })
}

/// Bounds in ULP of the value and of the slope.
#[derive(Clone, Copy)]
pub struct Bound {
    pub value: f64,
    pub slope: f64,
}

/// Values and slopes against the definition in double-double numbers, at every level.
pub fn check_accuracy<T: Number>(r: &mut Report, f: &Function, xs: &[T], bound: Bound) {
    let zeros = slope_zeros(f);
    let exact: Vec<(Dd, Dd)> = xs.iter().map(|&x| f.reference(x)).collect();
    for level in levels() {
        let exec = at(level);
        let (y, d) = (forward(&exec, f, xs), derivative(&exec, f, xs));
        let mut worst = [(0.0, 0.0); 2];
        let mut misrounded = [0; 2];
        for (i, &x) in xs.iter().enumerate() {
            let (v, s) = exact[i];
            let error = [ulp_error(y[i], pair(v)), ulp_error(d[i], pair(s))];
            let near = zeros.iter().any(|(z, reach)| (x.wide() - z).abs() <= *reach);
            let accepted = near && (d[i].wide() - s.hi).abs() <= T::NEAR_ZERO;
            for (k, (got, want)) in [(y[i], v), (d[i], s)].into_iter().enumerate() {
                misrounded[k] += usize::from(
                    !same(got, T::nearest(want.hi)) && (got.wide() != 0.0 || want.hi != 0.0),
                );
                if error[k] > worst[k].0 && !(k == 1 && accepted) {
                    worst[k] = (error[k], x.wide());
                }
            }
            let say = |what: &str, e: f64, got: T, want: Dd| {
                format!(
                    "{f:?} {} {level}: {what} at {:e} is {:e}, not {:e}: {e} ULP",
                    T::NAME_OF,
                    x.wide(),
                    got.wide(),
                    want.hi
                )
            };
            r.need(error[0] <= bound.value, || say("value", error[0], y[i], v));
            r.need(error[1] <= bound.slope || accepted, || say("slope", error[1], d[i], s));
        }
        println!(
            "{:13} {:4} {level:9} value {:.4} ULP at {:e}, slope {:.4} ULP at {:e}; misrounded {} and {} of {}",
            f.name(),
            T::NAME_OF,
            worst[0].0,
            worst[0].1,
            worst[1].0,
            worst[1].1,
            misrounded[0],
            misrounded[1],
            xs.len()
        );
    }
}

/// `grad f'` from the rounded output, at every level.
pub fn from_output<T: Number>(exec: &Exec, f: &Function, y: &[T], grad: &[T]) -> Vec<T> {
    let mut dx = vec![T::default(); y.len()];
    f.backward_from_output_with(exec, y, grad, &mut dx).expect("the function has it");
    dx
}

/// Slopes from rounded outputs against the definition in double-double numbers, at every level;
/// gives the largest error in units of roundoff.
pub fn check_from_output<T: Number>(r: &mut Report, f: &Function, xs: &[T]) -> f64 {
    let bound = f.from_output_error::<T>().expect("the function declares it");
    let ones = vec![T::round(1.0); xs.len()];
    let exact: Vec<Dd> = xs.iter().map(|&x| f.reference(x).1).collect();
    let mut worst = (0.0, 0.0);
    for level in levels() {
        let exec = at(level);
        let y = forward(&exec, f, xs);
        let d = from_output(&exec, f, &y, &ones);
        for (i, &x) in xs.iter().enumerate() {
            // Where the value has overflowed it no longer tells x.
            if Format::is_nan(x) || (!y[i].wide().is_finite() && x.wide().is_finite()) {
                continue;
            }
            let error = (Dd::new(d[i].wide()) - exact[i]).hi.abs();
            if error > worst.0 {
                worst = (error, x.wide());
            }
            r.need(error <= bound, || {
                format!(
                    "{f:?} {} {level}: slope from the output {:e} at {:e} is {:e}, not {:e}: {} units, not {}",
                    T::NAME_OF,
                    y[i].wide(),
                    x.wide(),
                    d[i].wide(),
                    exact[i].hi,
                    error / T::ROUNDOFF,
                    bound / T::ROUNDOFF
                )
            });
        }
    }
    println!(
        "{:13} {:4} slope from the output within {:.4} units at {:e}",
        f.name(),
        T::NAME_OF,
        worst.0 / T::ROUNDOFF,
        worst.1
    );
    worst.0 / T::ROUNDOFF
}

/// The type's name without the ambiguity of two traits that have one.
pub trait Named {
    const NAME_OF: &'static str;
}
impl<T: Number> Named for T {
    const NAME_OF: &'static str = <T as Element>::NAME;
}

/// The definition against the textbook formula in f64: a constant, a sign or a threshold that is
/// off in the definition is off in its reference too, and is seen here.
pub fn check_formula(r: &mut Report, f: &Function) {
    let names: Vec<&str> = std::iter::once("x").chain(f.params().map(|(p, _)| p.name)).collect();
    let text = f.meta().formula;
    let formula = match Formula::parse(text, &names) {
        Ok(formula) => formula,
        Err(e) => return r.need(false, || format!("{}: formula {text}: {e:?}", f.name())),
    };
    let slope = formula.derivative("x");
    let mut xs = uniform::<f64>(-12.0, 12.0, 4000, 5);
    xs.extend(uniform::<f64>(-0.01, 0.01, 200, 6));
    for x in xs {
        if f.claims().kinks.iter().any(|k| (x - k.at).abs() < 1e-9) {
            continue;
        }
        let args: Vec<f64> = std::iter::once(x).chain(f.params().map(|(_, v)| v)).collect();
        let (v, s) = f.reference(x);
        let (want_v, want_s) = (formula.evaluate_f64(&args), slope.evaluate_f64(&args));
        let tolerance = 2e-14 * (1.0 + x.abs());
        r.need((v.hi - want_v).abs() <= tolerance, || {
            format!("{f:?} at {x}: {} but {text} is {want_v}", v.hi)
        });
        r.need((s.hi - want_s).abs() <= tolerance, || {
            format!("{f:?}' at {x}: {} but ({text})' is {want_s}", s.hi)
        });
    }
}

/// NaN in, NaN out, for any payload and sign, alone and among numbers.
pub fn check_nan<T: Number>(r: &mut Report, f: &Function) {
    let quiet = T::nearest(f64::NAN).pattern();
    for level in levels() {
        let exec = at(level);
        for n in [1, 5, 16, 33] {
            for i in 0..n {
                let mut x = vec![T::round(0.5); n];
                x[i] = T::from_pattern(quiet | ((i as u64 & 1) * T::SIGN_PATTERN) | (i as u64 & 2));
                let ones = vec![T::round(1.0); n];
                let mut dx = x.clone();
                f.backward_with(&exec, &x, &ones, &mut dx);
                for (what, y) in [
                    ("value", forward(&exec, f, &x)),
                    ("slope", derivative(&exec, f, &x)),
                    ("backward", dx),
                ] {
                    let other = (0..n).find(|&j| Format::is_nan(y[j]) != (j == i));
                    r.need(other.is_none(), || {
                        format!(
                            "{} {} {level}: {what} with a NaN at {i} of {n}: {y:?}",
                            f.name(),
                            T::NAME_OF
                        )
                    });
                }
            }
        }
        if !f.claims().slope_limits.0.is_nan() {
            let (x, g) = ([T::round(0.5)], [T::nearest(f64::NAN)]);
            let mut dx = [T::default()];
            f.backward_with(&exec, &x, &g, &mut dx);
            r.need(Format::is_nan(dx[0]), || {
                format!("{}: a NaN gradient gives {:?}", f.name(), dx[0])
            });
        }
        let nan = T::nearest(f64::NAN);
        r.need(Format::is_nan(f.curvature(nan)), || {
            format!("{}: second derivative of NaN", f.name())
        });
    }
}

/// The limits at infinity, to the last bit, and that the largest numbers are already there.
pub fn check_limits<T: Number>(r: &mut Report, f: &Function) {
    let c = f.claims();
    for level in levels() {
        let exec = at(level);
        for (x, v, s) in [
            (f64::NEG_INFINITY, c.limits.0, c.slope_limits.0),
            (f64::INFINITY, c.limits.1, c.slope_limits.1),
        ] {
            let x = [T::round(x)];
            let (y, d) = (forward(&exec, f, &x)[0], derivative(&exec, f, &x)[0]);
            r.need(y == T::round(v), || {
                format!("{} {} {level}: value at {x:?} is {y:?}, claimed {v}", f.name(), T::NAME_OF)
            });
            r.need(d == T::round(s), || {
                format!("{} {} {level}: slope at {x:?} is {d:?}, claimed {s}", f.name(), T::NAME_OF)
            });
            // The last number before infinity: within an ULP of the limit, or as large as can be.
            let x = [T::largest().with_sign(x[0])];
            let (y, d) = (forward(&exec, f, &x)[0], derivative(&exec, f, &x)[0]);
            r.need(v.is_infinite() || ulp_error(y, v) <= 1.0 || y.wide() == v, || {
                format!("{} {} {level}: value at {x:?} is {y:?}, limit {v}", f.name(), T::NAME_OF)
            });
            r.need(ulp_error(d, s) <= 1.0, || {
                format!("{} {} {level}: slope at {x:?} is {d:?}, limit {s}", f.name(), T::NAME_OF)
            });
        }
    }
}

/// A sign from another number.
pub trait WithSign {
    fn with_sign(self, of: Self) -> Self;
}
impl<T: Number> WithSign for T {
    fn with_sign(self, of: T) -> T {
        T::from_pattern((self.pattern() & !T::SIGN_PATTERN) | (of.pattern() & T::SIGN_PATTERN))
    }
}

/// f(-x) = -f(x) to the bit, if claimed; an odd function that does not say so is reported too.
pub fn check_odd<T: Number>(r: &mut Report, f: &Function, xs: &[T]) {
    let negative: Vec<T> =
        xs.iter().map(|x| T::from_pattern(x.pattern() ^ T::SIGN_PATTERN)).collect();
    for level in levels() {
        let exec = at(level);
        let (a, b) = (forward(&exec, f, xs), forward(&exec, f, &negative));
        let (c, d) = (derivative(&exec, f, xs), derivative(&exec, f, &negative));
        let odd =
            |i: usize| Format::is_nan(a[i]) || a[i].pattern() == b[i].pattern() ^ T::SIGN_PATTERN;
        if f.claims().odd {
            for i in 0..xs.len() {
                r.need(odd(i), || {
                    format!(
                        "{} {level}: f({:?}) = {:?}, f({:?}) = {:?}",
                        f.name(),
                        xs[i],
                        a[i],
                        negative[i],
                        b[i]
                    )
                });
                r.need(same(c[i], d[i]), || {
                    format!(
                        "{} {level}: f'({:?}) = {:?}, f'({:?}) = {:?}",
                        f.name(),
                        xs[i],
                        c[i],
                        negative[i],
                        d[i]
                    )
                });
            }
        } else {
            r.need(!(0..xs.len()).all(odd), || {
                format!("{} is odd and does not claim it", f.name())
            });
        }
    }
}

/// f(f(x)) = f(x) to the bit, if claimed.
pub fn check_idempotent<T: Number>(r: &mut Report, f: &Function, xs: &[T]) {
    if !f.claims().idempotent {
        return;
    }
    for level in levels() {
        let once = forward(&at(level), f, xs);
        let twice = forward(&at(level), f, &once);
        let i = first_difference(&once, &twice);
        r.need(i.is_none(), || {
            format!("{} {level}: f(f(x)) is not f(x) at {:?}", f.name(), xs[i.unwrap()])
        });
    }
}

/// Neighbouring numbers: a monotone function goes back by at most one unit.
pub fn check_monotone<T: Number>(r: &mut Report, f: &Function, xs: &[T]) {
    let xs: Vec<T> = xs.iter().copied().filter(|x| x.wide().is_finite()).collect();
    let above: Vec<T> = xs.iter().map(|x| x.up()).collect();
    // Further away a fall is certain to be seen.
    let far: Vec<T> =
        xs.iter().map(|x| T::round(x.wide() + x.wide().abs() / 16.0 + 1e-3)).collect();
    for level in levels() {
        let exec = at(level);
        let (a, b, c) =
            (forward(&exec, f, &xs), forward(&exec, f, &above), forward(&exec, f, &far));
        let (mut back, mut falls) = (0, false);
        for i in 0..xs.len() {
            let step = if Format::is_nan(a[i]) || Format::is_nan(b[i]) {
                0
            } else {
                b[i].ordinal() - a[i].ordinal()
            };
            back += usize::from(step < 0);
            falls |= c[i] < a[i];
            if f.claims().monotone {
                r.need(step >= -1, || {
                    format!(
                        "{} {} {level}: falls by {} ULP at {:?}",
                        f.name(),
                        T::NAME_OF,
                        -step,
                        xs[i]
                    )
                });
                r.need(c[i] >= a[i], || {
                    format!("{} {} {level}: f({:?}) < f({:?})", f.name(), T::NAME_OF, far[i], xs[i])
                });
            }
        }
        if f.claims().monotone {
            println!(
                "{:13} {:4} {level:9} {back} steps back (of one ULP) of {}",
                f.name(),
                T::NAME_OF,
                xs.len()
            );
        } else {
            r.need(falls, || format!("{} never falls and does not claim it", f.name()));
        }
    }
}

/// The range is never left, and its finite ends are reached or approached.
pub fn check_range<T: Number>(r: &mut Report, f: &Function, xs: &[T]) {
    let (low, high) = f.claims().range;
    // A minimum is rounded like any value; a limit is not passed by a bit.
    let slack =
        if f.claims().minimum.is_some() { f.claims().bounds.f64.0.ceil() as i64 } else { 0 };
    let slack = if T::DIGITS == 53 { slack } else { 0 };
    let (low_t, high_t) = (T::round(low).step(-slack), T::round(high));
    for level in levels() {
        let y = forward(&at(level), f, xs);
        for (x, y) in xs.iter().zip(&y) {
            let ok = Format::is_nan(*y) || (*y >= low_t && *y <= high_t);
            r.need(ok, || {
                format!(
                    "{} {} {level}: f({x:?}) = {y:?} is not in [{low}, {high}]",
                    f.name(),
                    T::NAME_OF
                )
            });
        }
    }
}

/// The range and the largest slope by intervals: [-40, 40] cut in pieces, the hull of all bounds.
pub fn check_hull(r: &mut Report, f: &Function) {
    let c = f.claims();
    // Fine where functions bend, coarse outside.
    let edges: Vec<f64> = (-40 * 64..-8 * 64)
        .map(|i| f64::from(i) / 64.0)
        .chain((-8 * 2048..8 * 2048).map(|i| f64::from(i) / 2048.0))
        .chain((8 * 64..=40 * 64).map(|i| f64::from(i) / 64.0))
        .collect();
    let (mut value, mut slope) = (Interval::EMPTY, Interval::EMPTY);
    let (mut seen, mut steepest) = (Interval::EMPTY, 0.0f64);
    for (i, ends) in edges.windows(2).enumerate() {
        let (v, s) = f.bounds(Interval::new(ends[0], ends[1]));
        value = value.union(v);
        slope = slope.union(s);
        if i % 4 == 0 || i < 16 {
            let (v, s) = f.reference(ends[0]);
            seen = seen.union(Interval::point(v.hi));
            steepest = steepest.max(s.hi.abs());
        }
    }
    for k in c.kinks {
        steepest = steepest.max(k.left.abs()).max(k.right.abs());
    }
    let steep = slope.lo.abs().max(slope.hi.abs());
    for (what, claimed, proved, reached) in [
        ("least value", c.range.0, value.lo, seen.lo),
        ("greatest value", c.range.1, value.hi, seen.hi),
        ("largest slope", c.lipschitz, steep, steepest),
    ] {
        if claimed.is_infinite() {
            r.need(what == "largest slope" || reached.abs() > 0.39, || {
                format!("{}: {what} is {reached}, not {claimed}", f.name())
            });
        } else {
            r.need((proved - claimed).abs() <= 1e-3, || {
                format!("{}: {what} {claimed}, by intervals {proved}", f.name())
            });
            r.need((reached - claimed).abs() <= 1e-3, || {
                format!("{}: {what} {claimed}, reached {reached}", f.name())
            });
        }
    }
    r.need(c.lipschitz.is_finite(), || format!("{}: no bound of the slope claimed", f.name()));
    println!(
        "{:13} values [{:.6}, {:.6}], slopes [{:.6}, {:.6}]",
        f.name(),
        value.lo,
        value.hi,
        slope.lo,
        slope.hi
    );
}

/// Bounds of random intervals contain the values and slopes inside.
pub fn check_bounds(r: &mut Report, f: &Function) {
    let mut n = 0;
    let mut random = || {
        n += 1;
        mix_unit(77, n)
    };
    for _ in 0..3000 {
        let middle = (random() - 0.5) * pow2((random() * 22.0) as i32 - 10);
        let width = pow2((random() * 40.0) as i32 - 36);
        let x = Interval::new(middle - width, middle + width);
        let (v, s) = f.bounds(x);
        for t in [0.0, random(), random(), 0.5, 1.0] {
            let at = (x.lo + t * (x.hi - x.lo)).clamp(x.lo, x.hi);
            let (fv, fs) = f.reference(at);
            r.need(v.contains(fv.hi), || {
                format!(
                    "{}: f({at:e}) = {:e} is not in {v:?}, the bounds over {x:?}",
                    f.name(),
                    fv.hi
                )
            });
            r.need(s.contains(fs.hi), || {
                format!(
                    "{}: f'({at:e}) = {:e} is not in {s:?}, the bounds over {x:?}",
                    f.name(),
                    fs.hi
                )
            });
        }
    }
    // Half lines and everything.
    for x in
        [Interval::ALL, Interval::new(f64::NEG_INFINITY, -2.0), Interval::new(2.0, f64::INFINITY)]
    {
        let (v, s) = f.bounds(x);
        for at in [-1e300, -1e3, -50.0, -3.0, -2.0, 0.0, 2.0, 3.0, 50.0, 1e3, 1e300] {
            if x.contains(at) {
                let (fv, fs) = f.reference(at);
                r.need(v.contains(fv.hi) && s.contains(fs.hi), || {
                    format!("{}: bounds over {x:?} leave out {at}", f.name())
                });
            }
        }
    }
}

/// The minimum: where it is said to be, as deep as said, and nothing is below it.
pub fn check_minimum(r: &mut Report, f: &Function) {
    let c = f.claims();
    match c.minimum {
        Some((x, v)) => {
            let (fv, fs) = f.reference(x);
            r.need(ulp_error(fv.hi, v) <= 1.0, || {
                format!("{}: minimum {v}, f there {}", f.name(), fv.hi)
            });
            r.need(fs.hi.abs() <= 1e-15, || {
                format!("{}: the slope at the minimum is {}", f.name(), fs.hi)
            });
            r.need(c.range.0 == v, || {
                format!("{}: the range starts at {}, the minimum is {v}", f.name(), c.range.0)
            });
            for i in -4000..4000 {
                let t = f64::from(i) / 100.0 + x;
                let y = f.reference(t).0.hi;
                r.need(y >= v - 1e-16, || {
                    format!("{}: f({t}) = {y} is below the minimum {v}", f.name())
                });
            }
        }
        None => r.need(c.range.0 == c.limits.0 || c.range.0 == c.limits.1, || {
            format!(
                "{}: the range starts at {}, which is neither a limit nor a minimum",
                f.name(),
                c.range.0
            )
        }),
    }
}

/// The zeros: f is 0 there, and nowhere else unless it is flat there too.
pub fn check_zeros(r: &mut Report, f: &Function) {
    let c = f.claims();
    for &z in c.zeros {
        for level in levels() {
            let exec = at(level);
            let (a, b) = (forward(&exec, f, &[z])[0], forward(&exec, f, &[z as f32])[0]);
            r.need(a == 0.0 && b == 0.0, || {
                format!("{} {level}: f({z}) = {a:e}, {b:e} in f32", f.name())
            });
        }
        let (a, b) = (f.reference(z - 1e-3).0.hi, f.reference(z + 1e-3).0.hi);
        r.need(a != 0.0 || b != 0.0, || {
            format!("{}: flat on both sides of the zero {z}", f.name())
        });
    }
    let mut last = 0.0;
    for i in -10_000..10_000 {
        let x = f64::from(i) / 500.0;
        let (v, s) = f.reference(x);
        if v.hi == 0.0 && !c.zeros.contains(&x) {
            let flat = s.hi == 0.0 && c.zeros.first().is_some_and(|z| x < *z);
            r.need(flat, || format!("{}: f({x}) = 0, not claimed", f.name()));
        }
        let passed = c.zeros.iter().any(|z| x - 2e-3 <= *z && *z <= x);
        r.need(v.hi * last >= 0.0 || passed, || format!("{}: changes sign before {x}", f.name()));
        last = v.hi;
    }
}

/// The slope's zeros: it passes through 0 there and nowhere else.
pub fn check_slope_zeros(r: &mut Report, f: &Function) {
    let c = f.claims();
    for &z in c.slope_zeros {
        let (a, b) = (f.reference(z - 1e-6).1.hi, f.reference(z + 1e-6).1.hi);
        r.need(a * b < 0.0, || {
            format!("{}: the slope does not pass through 0 at {z}: {a:e}, {b:e}", f.name())
        });
        let s = f.reference(z).1.hi;
        r.need(s.abs() <= 1e-15, || format!("{}: the slope at {z} is {s:e}", f.name()));
    }
    let mut last = 0.0;
    for i in -40_000..=40_000 {
        let x = (f64::from(i) + 0.37) / 1000.0;
        let s = f.reference(x).1.hi;
        let near = |p: f64| (p - x).abs() < 2e-3;
        if s * last < 0.0
            && !c.slope_zeros.iter().any(|z| near(*z))
            && !c.kinks.iter().any(|k| near(k.at))
        {
            r.need(false, || format!("{}: the slope changes sign at {x}, not claimed", f.name()));
        }
        if s != 0.0 {
            last = s;
        }
    }
}

/// Kinks: the slope on the left, on the right and at the point; and no kink that is not claimed.
pub fn check_kinks(r: &mut Report, f: &Function) {
    let c = f.claims();
    for k in c.kinks {
        r.need(k.left != k.right, || format!("{}: no kink at {}", f.name(), k.at));
        let want = [k.left, k.chosen, k.right];
        for level in levels() {
            let exec = at(level);
            let x = [k.at.down(), k.at, k.at.up()];
            let d = derivative(&exec, f, &x);
            let x32 = x.map(|_| k.at as f32);
            let d32 = derivative(&exec, f, &[x32[0].down(), x32[1], x32[2].up()]);
            for i in 0..3 {
                r.need((d[i] - want[i]).abs() <= 1e-12, || {
                    format!(
                        "{} {level}: slope {} at {:e}, claimed {}",
                        f.name(),
                        d[i],
                        x[i],
                        want[i]
                    )
                });
                r.need((d32[i].wide() - want[i]).abs() <= 1e-5, || {
                    format!(
                        "{} {level}: slope {} at {:e} in f32, claimed {}",
                        f.name(),
                        d32[i],
                        x[i],
                        want[i]
                    )
                });
            }
        }
    }
    for i in -4096..4096 {
        let x = f64::from(i) / 256.0;
        let (a, b) = (f.reference(x - 1e-9).1.hi, f.reference(x + 1e-9).1.hi);
        let claimed = c.kinks.iter().any(|k| (k.at - x).abs() <= 2e-9);
        r.need((a - b).abs() < 1e-7 || claimed, || {
            format!("{}: the slope jumps at {x} from {a} to {b}, not claimed", f.name())
        });
    }
    // Between those points a jump shows as a step that no second derivative explains.
    let h = 1.0 / 4096.0;
    let mut last = f.reference(-10.0 + h / 4.0).1.hi;
    for i in -40_959..40_960 {
        let (from, to) = (f64::from(i - 1) * h + h / 4.0, f64::from(i) * h + h / 4.0);
        let s = f.reference(to).1.hi;
        let claimed = c.kinks.iter().any(|k| from - 1e-9 <= k.at && k.at <= to + 1e-9);
        r.need((s - last).abs() < 2e-3 || claimed, || {
            format!("{}: the slope jumps between {from} and {to}: {last}, {s}", f.name())
        });
        last = s;
    }
}

/// At both zeros: the reference's value; where f(0) = 0 rises through 0, -0 stays -0.
pub fn check_signed_zero<T: Number>(r: &mut Report, f: &Function) {
    let zeros = [T::round(0.0), T::round(-0.0)];
    let (v, s) = f.reference(zeros[0]);
    for level in levels() {
        let exec = at(level);
        let (y, d) = (forward(&exec, f, &zeros), derivative(&exec, f, &zeros));
        for i in 0..2 {
            r.need(ulp_error(y[i], pair(v)) <= 1.0, || {
                format!("{} {level}: f({:?}) = {:?}, not {:e}", f.name(), zeros[i], y[i], v.hi)
            });
            r.need(same(d[0], d[1]) && ulp_error(d[i], pair(s)) <= 1.0, || {
                format!("{} {level}: f'({:?}) = {:?}", f.name(), zeros[i], d[i])
            });
        }
        if f.claims().zeros.contains(&0.0) {
            r.need(y[0].pattern() == 0 && y[1].pattern() == T::SIGN_PATTERN, || {
                format!("{} {level}: f(0), f(-0) = {y:?}", f.name())
            });
        }
    }
}

/// The hand-written slope against dual numbers, in double-double numbers and in f64.
///
/// At `corners` several one-sided slopes are right, and the definition's choice is its own.
pub fn check_dual<A: Elementwise>(
    r: &mut Report,
    f: &Function,
    p: A::Params<f64>,
    corners: &[f64],
) {
    let name = A::META.name;
    let mut xs = inputs::<f64>(f, 2, 1500);
    xs.retain(|x| x.is_finite() && !corners.iter().any(|c| (x - c).abs() <= 1e-15 * c.abs()));
    let (mut worst, mut worst64) = (0.0f64, 0.0f64);
    for x in xs {
        let exact = map::<A, f64, Dd>(p, Dd::new);
        let (a, b) = (A::slope(Dd::new(x), exact), nonlin::dual_slope::<A, Dd>(Dd::new(x), exact));
        // Where a slope underflows, or its terms cancel (near its zero), digits are lost.
        let unit = if f.claims().slope_zeros.iter().any(|z| (x - z).abs() < 0.5) {
            1.0
        } else {
            a.hi.abs().max(1e-260)
        };
        let e = (a - b).hi.abs() / unit;
        worst = worst.max(e);
        r.need(e <= 1e-28, || {
            format!("{name}: slope({x:e}) = {:e}, by dual numbers {:e}: {e:e} apart", a.hi, b.hi)
        });
        let (a, b) = (A::slope(x, p), nonlin::dual_slope::<A, f64>(x, p));
        let e = (a - b).abs() / unit;
        worst64 = worst64.max(e);
        r.need(e <= 1e-12, || {
            format!("{name}: slope({x:e}) = {a:e} in f64, by dual numbers {b:e}: {e:e} apart")
        });
    }
    println!("{name:13} slope and dual numbers differ by {worst:.1e} (f64: {worst64:.1e})");
}

/// The second derivative against differences of the exact slope: central ones, and where those of the
/// two sides are not the same, as at a corner of the slope, either of these.
pub fn check_curvature(r: &mut Report, f: &Function) {
    let h = pow2(-24);
    let mut worst = (0.0, 0.0);
    for i in -3000..3000 {
        let x = if i % 3 == 0 { f64::from(i) / 64.0 } else { f64::from(i) / 256.0 };
        let slope = |x: f64| f.reference(x).1;
        let got = f.curvature(x);
        // Of second order, as the central difference is.
        let side = |h: f64| {
            let (here, near, far) = (slope(x), slope(x + h), slope(x + 2.0 * h));
            (Dd::new(4.0) * near - Dd::new(3.0) * here - far).hi / (2.0 * h)
        };
        let (left, right) = (side(-h), side(h));
        let want = match (left - right).abs() > 1e-3 * left.abs().min(right.abs()).max(1.0) {
            true if (got - left).abs() < (got - right).abs() => left,
            true => right,
            false => (slope(x + h) - slope(x - h)).hi / (2.0 * h),
        };
        let e = (got - want).abs() / want.abs().max(1e-3);
        if e > worst.0 {
            worst = (e, x);
        }
        r.need(e <= 1e-10, || format!("{f:?}'' at {x} is {got:e}, by differences {want:e}"));
        let mut y = [0.0];
        f.second_derivative(&[x], &mut y);
        r.need(y[0].to_bits() == got.to_bits(), || {
            format!("{}: second_derivative is not curvature at {x}", f.name())
        });
    }
    println!("{:13} second derivative within {:.1e} at {}", f.name(), worst.0, worst.1);
}

/// f″ in units of the last place of the largest |f″| there is, against dual numbers over
/// double-doubles.
pub fn check_second<A: Elementwise, T: Number>(r: &mut Report, f: &Function, xs: &[T], bound: f64) {
    let mut p = A::Params::<Dd>::filled(Dd::new(0.0));
    for (v, d) in p.as_mut_slice().iter_mut().zip(A::PARAMS) {
        *v = if d.exact { Dd { hi: d.default, lo: d.rest } } else { Dd::new(d.default) };
        if T::F32_PARAMS && !d.exact {
            *v = Dd::new(f64::from(d.default as f32));
        }
    }
    let exact =
        |x: f64| A::slope(Dual::variable(Dd::new(x)), map::<A, Dd, Dual<Dd>>(p, Dual::fixed)).d;
    let scan = (-40 * 64..=40 * 64).map(|i| exact(f64::from(i) / 64.0).hi.abs());
    let largest = T::nearest(scan.fold(0.0, f64::max));
    let unit = largest.up().wide() - largest.wide();
    let mut got = vec![T::default(); xs.len()];
    f.second_derivative(xs, &mut got);
    let mut worst = (0.0, 0.0);
    for (x, got) in xs.iter().zip(got) {
        let want = exact(x.wide());
        let off = ((Dd::new(got.wide()) - want).hi / unit).abs();
        if off > worst.0 {
            worst = (off, x.wide());
        }
        r.need(off <= bound, || {
            format!("{} {}: f'' at {x:?} is {got:?}, not {:e}", f.name(), T::NAME_OF, want.hi)
        });
    }
    println!("{:13} {:4} f'' {:.4} units at {:e}", f.name(), T::NAME_OF, worst.0, worst.1);
}

/// Results that are not zero, and zeros of results that are not exactly zero, have the sign of
/// the exact value.
pub fn check_sign<T: Number>(r: &mut Report, f: &Function, xs: &[T]) {
    let smooth = f.claims().kinks.is_empty();
    for level in levels() {
        let (y, d) = (forward(&at(level), f, xs), derivative(&at(level), f, xs));
        for (i, &x) in xs.iter().enumerate() {
            let (v, s) = f.reference(x);
            for (what, got, want) in [("value", y[i], v.hi), ("slope", d[i], s.hi)] {
                let negative = got.pattern() & T::SIGN_PATTERN != 0;
                // A function without corners is 0 at points only: elsewhere -0 is a number too
                // small even for the reference.
                let tiny = want == 0.0 && smooth && x.wide().is_finite() && x.wide() != 0.0;
                let below = want < 0.0 || tiny && want.is_sign_negative();
                r.need(!(below && !negative || want > 0.0 && negative), || {
                    format!(
                        "{} {} {level}: {what} at {x:?} is {got:?}, exactly {want:e}",
                        f.name(),
                        T::NAME_OF
                    )
                });
            }
        }
    }
}

/// The derivatives by the parameters against central differences.
pub fn check_parameter_gradient(
    r: &mut Report,
    f: &Function,
    skip: impl Fn(&Function, f64) -> bool,
) {
    let h = pow2(-24);
    let mut gradient = vec![0.0; f.params().len()];
    for (i, (p, v)) in f.params().enumerate() {
        let moved = |d: f64| f.with_index(i, v + d).expect("within bounds");
        let (a, b) = (moved(-h), moved(h));
        let width = (v + h) - (v - h);
        for n in -800..800 {
            let x = f64::from(n) / 64.0 + 1.0 / 256.0;
            if skip(f, x) {
                continue;
            }
            let want = (b.reference(x).0 - a.reference(x).0).hi / width;
            f.parameter_gradient(x, &mut gradient);
            let got = gradient[i];
            r.need((got - want).abs() <= 1e-9 * want.abs().max(1.0), || {
                format!("{f:?}: d/d{} at {x} is {got}, by differences {want}", p.name)
            });
        }
    }
}

/// backward = g f′: with ones the derivative's bits, else one more rounding at most.
pub fn check_backward<T: Number>(r: &mut Report, f: &Function, xs: &[T], bound: f64) {
    let zeros = slope_zeros(f);
    let exact: Vec<Dd> = xs.iter().map(|&x| f.reference(x).1).collect();
    for level in levels() {
        let exec = at(level);
        let d = derivative(&exec, f, xs);
        for &g in T::GRADIENTS {
            let g = T::round(g);
            let mut dx = vec![g; xs.len()];
            f.backward_in_place_with(&exec, xs, &mut dx);
            let mut out = vec![T::default(); xs.len()];
            f.backward_with(&exec, xs, &vec![g; xs.len()], &mut out);
            r.need(first_difference(&dx, &out).is_none(), || {
                format!("{}: backward in place differs", f.name())
            });
            for i in 0..xs.len() {
                if g.wide() == 1.0 {
                    r.need(same(d[i], dx[i]), || {
                        format!(
                            "{} {level}: backward of 1 at {:?} is {:?}, f' is {:?}",
                            f.name(),
                            xs[i],
                            dx[i],
                            d[i]
                        )
                    });
                    continue;
                }
                let want = f.backward_reference(xs[i], g);
                let (slope, plain) = (exact[i], exact[i] * Dd::new(g.wide()));
                let ordinary = |v: f64| v.abs() > 1e-250 && v.abs() < 1e299;
                if ordinary(slope.hi) && ordinary(plain.hi) && ordinary(g.wide()) {
                    r.need((want - plain).hi.abs() <= 1e-28 * plain.hi.abs(), || {
                        format!("{}: g f' at {:?} is {want:?} or {plain:?}", f.name(), xs[i])
                    });
                }
                let e = ulp_error(dx[i], pair(want));
                let near = zeros.iter().any(|(z, reach)| (xs[i].wide() - z).abs() <= *reach);
                let apart = (Dd::new(dx[i].wide()) - want).hi.abs();
                let accepted = near && apart <= T::NEAR_ZERO * g.wide().abs();
                r.need(e <= bound || accepted, || {
                    format!(
                        "{} {} {level}: backward of {g:?} at {:?} is {:?}, not {:e}: {e} ULP",
                        f.name(),
                        T::NAME_OF,
                        xs[i],
                        dx[i],
                        want.hi
                    )
                });
            }
        }
    }
}

/// The scalar calls give the bits of the slices.
pub fn check_scalar<T: Number>(r: &mut Report, f: &Function, xs: &[T]) {
    let exec = Exec::new();
    let (y, d) = (forward(&exec, f, xs), derivative(&exec, f, xs));
    for (i, &x) in xs.iter().enumerate() {
        r.need(same(f.value(x), y[i]), || {
            format!(
                "{} {}: value({x:?}) = {:?}, in a slice {:?}",
                f.name(),
                T::NAME_OF,
                f.value(x),
                y[i]
            )
        });
        r.need(same(f.slope(x), d[i]), || {
            format!(
                "{} {}: slope({x:?}) = {:?}, in a slice {:?}",
                f.name(),
                T::NAME_OF,
                f.slope(x),
                d[i]
            )
        });
    }
}

/// Every length and alignment: `run(x, y)` gives the elements of `want`, and touches no other.
///
/// `run` is called with the whole arrays and where its part starts and ends.
pub fn check_lengths<T: Number>(
    r: &mut Report,
    name: &str,
    source: &[T],
    want: &[T],
    run: impl Fn(&[T], &mut [T], core::ops::Range<usize>),
) {
    let guard = T::from_pattern(0x2a5b & (T::INF_PATTERN - 1));
    // Each takes much longer where the sanitizer watches.
    let step = if cfg!(fuzzing) { 5 } else { 1 };
    for start in (0..16).step_by(step) {
        for n in 0..=4 * 16 + 3 {
            let part = start..start + n;
            // Around the input another number, whose result is not the guard of the output either.
            let other = T::round(-3.5);
            let mut x = vec![other; start];
            x.extend(&source[..n]);
            x.extend([other; 24]);
            let mut y = vec![guard; x.len()];
            run(&x, &mut y, part.clone());
            for (i, &v) in y.iter().enumerate() {
                if part.contains(&i) {
                    let w = want[i - start];
                    r.need(same(v, w), || {
                        format!(
                            "{name}: element {} of {n} at offset {start} is {v:?}, not {w:?}",
                            i - start
                        )
                    });
                } else {
                    r.need(same(v, guard), || {
                        format!("{name}: {n} elements at offset {start} overwrite element {i}")
                    });
                }
            }
        }
    }
}

/// The sum in double-double numbers.
pub fn dd_sum(values: impl Iterator<Item = Dd>) -> Dd {
    values.fold(Dd::new(0.0), |a, b| a + b)
}

/// The function of a definition of the catalogue, with the library's kernels: `Function::of` would
/// compile them again.
pub fn of<A: Elementwise>() -> Function {
    nonlin::get(A::META.name).expect("a definition of the catalogue")
}

/// Runs `check::<A>()` for every elementwise definition of the catalogue.
macro_rules! each_definition {
    ($check:ident $args:tt) => {
        nonlin::for_each_elementwise!(each_definition, (@all $check $args))
    };
    ((@all $check:ident $args:tt), $($name:ident = $t:ident,)*) => {
        $($crate::common::each_definition!(@one $check, $t, $args);)*
    };
    (@one $check:ident, $t:ident, ($($arg:expr),*)) => { $check::<nonlin::$t>($($arg),*) };
}

pub(crate) use each_definition;

/// Runs `check::<G>()` for every gated definition of the catalogue.
macro_rules! each_gated {
    ($check:ident $args:tt) => {
        nonlin::for_each_gated!(each_gated, (@all $check $args))
    };
    ((@all $check:ident $args:tt), $($name:ident = $t:ident,)*) => {
        $($crate::common::each_gated!(@one $check, $t, $args);)*
    };
    (@one $check:ident, $t:ident, ($($arg:expr),*)) => { $check::<nonlin::$t>($($arg),*) };
}
pub(crate) use each_gated;

/// Runs `check::<S, ...>(name)` with every set of registers `S` that this processor has, the
/// portable ones among them.
macro_rules! each_register_set {
    ($check:ident $(::<$($g:ty),*>)? ($($arg:expr),*)) => {{
        use nonlin::internal as sets;
        $check::<sets::Scalar, $($($g),*)?>("portable", $($arg),*);
        #[cfg(target_arch = "x86_64")]
        {
            $check::<sets::Sse2, $($($g),*)?>("baseline", $($arg),*);
            if nonlin::Level::Avx2.available() {
                $check::<sets::Avx2, $($($g),*)?>("avx2", $($arg),*);
            }
            if nonlin::Level::Avx512.available() {
                $check::<sets::Avx512, $($($g),*)?>("avx512", $($arg),*);
            }
        }
        #[cfg(target_arch = "aarch64")]
        $check::<sets::Neon, $($($g),*)?>("neon", $($arg),*);
    }};
}
pub(crate) use each_register_set;

/// The parameters of a definition as numbers of another type.
fn map<A: Elementwise, T: Copy, U: Copy>(p: A::Params<T>, f: impl Fn(T) -> U) -> A::Params<U> {
    A::Params::<U>::from_fn(|i| f(p.as_slice()[i]))
}

/// The default parameters of a definition.
pub fn defaults<A: Elementwise>() -> A::Params<f64> {
    let mut p = A::Params::<f64>::filled(0.0);
    for (v, d) in p.as_mut_slice().iter_mut().zip(A::PARAMS) {
        *v = d.default;
    }
    p
}
