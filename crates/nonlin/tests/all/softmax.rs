//! Softmax and log-softmax against the definition in double-double numbers; masks, axes, gradients.

use crate::common::*;
use nonlin::real::{Dd, Real};
use nonlin::{
    Axes, Element, EmptyRow, Error, Exec, LogSoftmax, Mask, RowFunction, Softmax, Softmin, bf16,
    f16, rowwise, rowwise_functions,
};
use nonlin_testkit::samples::{mix, mix_unit, uniform};
use nonlin_testkit::ulp::{Format, ulp_error};

/// Softmax, or log-softmax, of `scale x`.
fn scaled(log: bool, scale: f64) -> RowFunction {
    let f: &RowFunction = if log { &LogSoftmax } else { &Softmax };
    f.with("scale", scale).unwrap()
}

fn both() -> [RowFunction; 2] {
    [scaled(false, 1.0), scaled(true, 1.0)]
}

fn is_log(f: &RowFunction) -> bool {
    f.name() == "log_softmax"
}

fn scale_of(f: &RowFunction) -> f64 {
    f.factor()
}

/// `scale x + add` of the elements that take part, and which they are.
struct Logits {
    z: Vec<Dd>,
    part: Vec<bool>,
}

/// Softmax (log: its logarithm) of one row; what is masked is 0 (log: -inf).
fn reference(s: &RowFunction, row: &Logits) -> Vec<Dd> {
    let masked = Dd::new(f64::NEG_INFINITY);
    let z = row.z.iter().zip(&row.part).map(|(z, part)| if *part { *z } else { masked });
    s.reference(&z.collect::<Vec<Dd>>())
}

fn plain<T: Number>(s: &RowFunction, x: &[T]) -> Logits {
    Logits {
        z: x.iter().map(|v| Dd::new(v.wide()) * Dd::new(scale_of(s))).collect(),
        part: vec![true; x.len()],
    }
}

/// 2 ULP, and 1 more per doubling of the length beyond 64.
fn allowed(n: usize) -> f64 {
    2.0 + (n as f64 / 64.0).log2().max(0.0)
}

/// `got` against `want`; returns the largest error.
fn compare<T: Number>(r: &mut Report, name: &str, got: &[T], want: &[Dd], bound: f64) -> f64 {
    let mut worst = 0.0f64;
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let tiny = w.hi.abs() < f64::MIN_POSITIVE * 4.0;
        let e = ulp_error(*g, if tiny { (w.hi, 0.0) } else { pair(*w) });
        worst = worst.max(e);
        r.need(e <= bound, || {
            format!(
                "{name} {}: element {i} of {} is {g:?}, not {:e}: {e} ULP",
                T::NAME_OF,
                got.len(),
                w.hi
            )
        });
    }
    worst
}

/// Whether a row sums to 1 up to what each element may be off, `bound` units of its own.
fn sums_to_one<T: Number>(y: &[T], bound: f64) -> bool {
    let sum = dd_sum(y.iter().map(|v| Dd::new(v.wide())));
    let units: f64 = y.iter().map(|v| v.up().wide() - v.wide()).sum();
    y.iter().any(|v| Format::is_nan(*v)) || (sum - Dd::new(1.0)).hi.abs() <= bound * units
}

/// Rows that make trouble: `kind` of `n` elements.
fn rows<T: Number>(n: usize) -> Vec<(&'static str, Vec<T>)> {
    let of = |f: &dyn Fn(usize) -> f64| (0..n).map(|i| T::round(f(i))).collect::<Vec<T>>();
    let u = |i: usize| mix_unit(11, i as u64) - 0.5;
    let big = T::largest().wide();
    vec![
        ("spread", of(&|i| u(i) * 20.0)),
        ("wide", of(&|i| u(i) * 2000.0)),
        ("all equal", of(&|_| 0.75)),
        ("all the largest number", of(&|_| big)),
        ("one huge", of(&|i| if i == n / 2 { 300.0 } else { u(i) })),
        ("one larger by little", of(&|i| if i == n / 3 { 12.0 } else { u(i) - 8.0 })),
        ("many tiny", of(&|i| if i == 0 { 0.0 } else { -40.0 + u(i) })),
        ("alternating", of(&|i| if i % 2 == 0 { 30.0 } else { -30.0 })),
        ("offset to the end of the range", of(&|i| big * (1.0 - u(i).abs() * 1e-3))),
        ("both ends", of(&|i| if i % 3 == 0 { big } else { -big })),
        ("some -inf", of(&|i| if i % 4 == 1 { f64::NEG_INFINITY } else { u(i) * 9.0 })),
        ("deep", of(&|i| -(i as f64) * 3.0)),
        ("offset", of(&|i| u(i) * 9.0 + 700.0)),
        ("large offset", of(&|i| u(i) * 9.0 - 40_000.0)),
        (
            "terms near the least normal number",
            of(&|i| if i % 5 == 0 { 0.5 } else { u(i) * 3.0 - 87.0 }),
        ),
        ("equal and small", of(&|i| if i == n / 2 { 0.0 } else { -15.6 })),
        ("subnormal", of(&|i| u(i) * T::from_pattern(3).wide())),
    ]
}

fn accuracy<T: Number>(lengths: &[usize], bound: impl Fn(usize) -> f64) {
    let mut r = Report::default();
    for s in both() {
        let mut worst = 0.0f64;
        for &n in lengths {
            for (kind, x) in rows::<T>(n) {
                let want = reference(&s, &plain(&s, &x));
                for level in levels() {
                    let mut y = vec![T::default(); n];
                    s.forward_with(&at(level), &x, &[n], -1, Mask::new(), &mut y).unwrap();
                    let name = format!("log {} {level} {kind}", is_log(&s));
                    worst = worst.max(compare(&mut r, &name, &y, &want, bound(n)));
                    let mut inside = x.clone();
                    s.forward_in_place(&mut inside, &[n], 0).unwrap();
                    if level == nonlin::Level::best() {
                        r.need(first_difference(&y, &inside).is_none(), || {
                            format!("{name}: in place differs")
                        });
                    }
                    if !is_log(&s) {
                        r.need(sums_to_one(&y, bound(n)), || {
                            format!("{name} {}: a row of {n} does not sum to 1", T::NAME_OF)
                        });
                    }
                    // The largest stays the largest.
                    let best = (0..n).max_by(|&i, &j| x[i].wide().total_cmp(&x[j].wide())).unwrap();
                    r.need((0..n).all(|i| y[i] <= y[best]), || {
                        format!("{name}: another element is the largest")
                    });
                }
            }
        }
        println!("log {} {}: {worst:.4} ULP", is_log(&s), T::NAME_OF);
    }
    r.finish();
}

#[test]
fn single() {
    accuracy::<f32>(&[1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 64, 100, 1000, 4097], allowed);
}

#[test]
fn double() {
    accuracy::<f64>(&[1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 64, 100, 1000, 4097], allowed);
}

#[test]
fn halves() {
    accuracy::<f16>(&[1, 2, 17, 64, 1000], |_| 0.502);
    accuracy::<bf16>(&[1, 2, 17, 64, 1000], |_| 0.502);
}

fn long<T: Number>(kinds: &[&str]) {
    let mut r = Report::default();
    let n = 100_000;
    let chosen = rows::<T>(n).into_iter().filter(|(kind, _)| kinds.contains(kind));
    for (kind, x) in chosen {
        for s in both() {
            let want = reference(&s, &plain(&s, &x));
            for level in levels() {
                let mut y = vec![T::default(); n];
                s.forward_with(&at(level), &x, &[n], 0, Mask::new(), &mut y).unwrap();
                let name = format!("long log {} {level} {kind}", is_log(&s));
                compare(&mut r, &name, &y, &want, allowed(n));
                r.need(is_log(&s) || sums_to_one(&y, allowed(n)), || {
                    format!("{name} {}: does not sum to 1", T::NAME_OF)
                });
            }
        }
    }
    r.finish();
}

#[test]
fn long_rows() {
    long::<f32>(&[
        "spread",
        "all equal",
        "equal and small",
        "one larger by little",
        "some -inf",
        "both ends",
    ]);
    long::<f64>(&["spread", "all equal", "many tiny"]);
}

/// Near 0 log-softmax keeps its digits: ln(1 + e^-d) for two logits d apart.
#[test]
fn log_near_zero() {
    let mut r = Report::default();
    for i in 1..700 {
        let x = [0.0, -f64::from(i)];
        let mut y = [0.0; 2];
        LogSoftmax.forward(&x, &[2], 0, &mut y).unwrap();
        let want = -Dd::new(-f64::from(i)).exp().ln_1p();
        r.need(ulp_error(y[0], pair(want)) <= 2.0, || {
            format!("{i}: {:e}, not {:e}", y[0], want.hi)
        });
        let (x, mut y) = ([0.0f32, -i as f32], [0.0f32; 2]);
        LogSoftmax.forward(&x, &[2], 0, &mut y).unwrap();
        r.need(ulp_error(y[0], pair(want)) <= 2.0, || {
            format!("{i}: {:e} in f32, not {:e}", y[0], want.hi)
        });
    }
    r.finish();
}

/// A mask as a test states it: arrays with their shapes, and for each query which keys it sees.
struct Stated<'a, T> {
    keep: Option<(&'a [bool], &'a [usize])>,
    add: Option<(&'a [T], &'a [usize])>,
    /// Axis of queries, and each band `(offset, before, after)`.
    bands: (isize, Vec<(isize, usize, usize)>),
}

impl<'a, T: Number> Stated<'a, T> {
    fn mask(&self) -> Mask<'a, T> {
        let mut mask = Mask::new();
        if let Some((keep, shape)) = self.keep {
            mask = mask.keep(keep, shape);
        }
        if let Some((add, shape)) = self.add {
            mask = mask.add(add, shape);
        }
        for &(offset, before, after) in &self.bands.1 {
            mask = match (before, after) {
                (usize::MAX, 0) => mask.causal(offset),
                _ => mask.window(offset, before, after),
            };
        }
        if self.bands.1.is_empty() { mask } else { mask.queries(self.bands.0) }
    }
}

/// The indices of element number `i` of a shape.
fn index_of(shape: &[usize], mut i: usize) -> Vec<usize> {
    let mut index: Vec<usize> = shape.iter().rev().map(|&n| (i % n, i /= n).0).collect();
    index.reverse();
    index
}

/// The entry that a mask of shape `own` has for an index.
fn entry<E: Copy>((values, own): (&[E], &[usize]), index: &[usize]) -> E {
    let last = &index[index.len() - own.len()..];
    let at = own.iter().zip(last).fold(0, |at, (&n, &i)| at * n + if n == 1 { 0 } else { i });
    values[at]
}

/// Every row by its definition: which elements it has, its logits, its results.
fn rows_by_definition<T: Number>(
    s: &RowFunction,
    x: &[T],
    shape: &[usize],
    along: &[usize],
    mask: &Stated<'_, T>,
) -> Vec<(Vec<usize>, Vec<Dd>)> {
    let mut rows: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    for i in 0..x.len() {
        let mut outside = index_of(shape, i);
        along.iter().for_each(|&a| outside[a] = 0);
        match rows.iter_mut().find(|(o, _)| *o == outside) {
            Some((_, elements)) => elements.push(i),
            None => rows.push((outside, vec![i])),
        }
    }
    let logit = |&i: &usize| {
        let index = index_of(shape, i);
        let (axis, bands) = &mask.bands;
        let seen = bands.iter().all(|&(offset, before, after)| {
            let query = index[axis.rem_euclid(shape.len() as isize) as usize] as i128;
            let (at, key) = (query + offset as i128, index[along[0]] as i128);
            (before == usize::MAX || key >= at - before as i128) && key <= at + after as i128
        });
        if !seen || mask.keep.is_some_and(|m| !entry(m, &index)) {
            return Dd::new(f64::NEG_INFINITY);
        }
        let z = Dd::new(x[i].wide()) * Dd::new(scale_of(s));
        mask.add.map_or(z, |m| z + Dd::new(entry(m, &index).wide()))
    };
    rows.into_iter()
        .map(|(_, elements)| {
            let z: Vec<Dd> = elements.iter().map(logit).collect();
            let want = s.reference(&z);
            (elements, want)
        })
        .collect()
}

fn check_mask<T: Number>(
    r: &mut Report,
    name: &str,
    s: &RowFunction,
    x: &[T],
    shape: &[usize],
    along: &[usize],
    mask: &Stated<'_, T>,
) {
    let axes: Vec<isize> = along.iter().map(|&a| a as isize).collect();
    let wanted = rows_by_definition(s, x, shape, along, mask);
    for level in levels() {
        let (exec, axes) = (at(level), Axes::from(axes.as_slice()));
        let mut y = vec![T::default(); x.len()];
        s.forward_with(&exec, x, shape, axes, mask.mask(), &mut y).unwrap();
        let mut inside = x.to_vec();
        s.forward_in_place_with(&exec, &mut inside, shape, axes, mask.mask()).unwrap();
        r.need(first_difference(&y, &inside).is_none(), || format!("{name}: in place differs"));
        for (elements, want) in &wanted {
            let bound = if T::BITS == 16 { 0.502 } else { allowed(want.len()) };
            let got: Vec<T> = elements.iter().map(|&i| y[i]).collect();
            compare(r, &format!("{name} {level} {s:?} {shape:?}"), &got, want, bound);
        }
    }
}

fn masks<T: Number>() {
    let mut r = Report::default();
    for log in [false, true] {
        for scale in [1.0, 0.125, -2.5, 1.0 / 3.0] {
            for empty in [EmptyRow::Nan, EmptyRow::Zero] {
                let s = scaled(log, scale).empty_rows(empty);
                for n in [1, 5, 16, 19, 40] {
                    let shape = [2, 3, n];
                    let x = uniform::<T>(-9.0, 9.0, 6 * n as u64, n as u64);
                    let keep: Vec<bool> = (0..6 * n)
                        .map(|i| mix_unit(3, i as u64) > 0.4 && !(n..2 * n).contains(&i))
                        .collect();
                    let add: Vec<T> = (0..6 * n)
                        .map(|i| {
                            T::round(if keep[i] {
                                mix_unit(4, i as u64) * 5.0
                            } else {
                                f64::NEG_INFINITY
                            })
                        })
                        .collect();
                    let mut check = |name: &str, stated: Stated<'_, T>| {
                        check_mask(&mut r, name, &s, &x, &shape, &[2], &stated);
                    };
                    let none = || (1, vec![]);
                    check("none", Stated { keep: None, add: None, bands: none() });
                    for own in [vec![n], vec![1, n], vec![3, n], vec![2, 1, n], vec![2, 3, n]] {
                        let len = own.iter().product::<usize>();
                        let (keep, add) = ((&keep[..len], &own[..]), (&add[..len], &own[..]));
                        check("keep", Stated { keep: Some(keep), add: None, bands: none() });
                        check("add", Stated { keep: None, add: Some(add), bands: none() });
                        check("both", Stated { keep: Some(keep), add: Some(add), bands: none() });
                    }
                    for offset in [-2, 0, 1, n as isize - 3] {
                        let band = (offset, usize::MAX, 0);
                        let own = [n];
                        let keep = Some((&keep[..n], &own[..]));
                        check("causal", Stated { keep: None, add: None, bands: (1, vec![band]) });
                        check("causal", Stated { keep, add: None, bands: (-2, vec![band]) });
                        for window in [(offset, 0, 0), (offset, 2, 1), (offset, 1, usize::MAX)] {
                            let bands = vec![window];
                            check("window", Stated { keep, add: None, bands: (1, bands) });
                            let bands = vec![band, window];
                            check("window", Stated { keep: None, add: None, bands: (1, bands) });
                        }
                    }
                }
            }
        }
    }
    r.finish();
}

#[test]
fn masks_and_scale() {
    masks::<f32>();
    masks::<f64>();
    masks::<f16>();
}

/// Shapes, axes and masks drawn at random, against the definition element by element.
fn drawn<T: Number>(cases: u64) {
    let mut r = Report::default();
    let mut met = [0; 4];
    for case in 0..cases {
        let mut count = 0;
        let mut draw = |n: u64| {
            count += 1;
            mix(case, count) % n
        };
        let rank = 1 + draw(4) as usize;
        let shape: Vec<usize> = (0..rank).map(|_| [1, 2, 3, 5, 18][draw(5) as usize]).collect();
        let len = shape.iter().product::<usize>();
        if len > 2000 {
            continue;
        }
        let along: Vec<usize> = match draw(3) {
            0 => (0..rank).filter(|_| draw(2) == 0).collect(),
            _ => vec![draw(rank as u64) as usize],
        };
        let x = uniform::<T>(-20.0, 20.0, len as u64, case);
        // Shapes that are repeated to that of the scores.
        let mut own = || -> Vec<usize> {
            let first = draw(rank as u64 + 1) as usize;
            shape[first..].iter().map(|&n| if draw(3) == 0 { 1 } else { n }).collect()
        };
        let (keep_shape, add_shape) = (own(), own());
        let size = |shape: &[usize]| shape.iter().product::<usize>() as u64;
        let keep: Vec<bool> =
            (0..size(&keep_shape)).map(|i| !mix(case + 1, i).is_multiple_of(4)).collect();
        let add: Vec<T> = uniform::<T>(-3.0, 3.0, size(&add_shape), case);
        let mut bands = (0, vec![]);
        if along.len() == 1 && rank > 1 && draw(2) == 0 {
            let others: Vec<usize> = (0..rank).filter(|a| *a != along[0]).collect();
            bands.0 = others[draw(others.len() as u64) as usize] as isize;
            let ends = [0, 1, 3, usize::MAX - 1, usize::MAX];
            for _ in 0..1 + draw(2) {
                let offset = [-2, 0, 4, isize::MIN, isize::MAX][draw(5) as usize];
                bands.1.push((offset, ends[draw(5) as usize], ends[draw(4) as usize]));
            }
        }
        let stated = Stated {
            keep: (draw(3) > 0).then_some((&keep[..], &keep_shape[..])),
            add: (draw(3) > 0).then_some((&add[..], &add_shape[..])),
            bands,
        };
        let scale = [1.0, 1.0, 0.3, -1.5][draw(4) as usize];
        let empty = if draw(2) == 0 { EmptyRow::Nan } else { EmptyRow::Zero };
        let s = scaled(draw(2) == 0, scale).empty_rows(empty);
        met[0] += usize::from(along.len() > 1);
        met[1] += usize::from(along != [rank - 1] && stated.keep.is_some());
        met[2] += usize::from(stated.keep.is_some() && keep_shape != shape);
        met[3] += usize::from(!stated.bands.1.is_empty() && along != [rank - 1]);
        let name = format!("case {case} along {along:?} keep {keep_shape:?} add {add_shape:?}");
        check_mask(&mut r, &name, &s, &x, &shape, &along, &stated);
        check_gradient(&mut r, &name, &s, &x, &shape, &along, &stated);
    }
    println!("several axes, masks along others, repeated masks, queries elsewhere: {met:?}");
    assert!(met.iter().all(|n| *n as u64 > cases / 20), "{met:?}");
    r.finish();
}

#[test]
fn any_shape_axes_and_mask() {
    drawn::<f32>(400);
    drawn::<f64>(400);
    drawn::<bf16>(200);
}

/// The gradient with a mask: that of the elements that take part alone, and 0 for the others.
fn check_gradient<T: Number>(
    r: &mut Report,
    name: &str,
    s: &RowFunction,
    x: &[T],
    shape: &[usize],
    along: &[usize],
    mask: &Stated<'_, T>,
) {
    let axes: Vec<isize> = along.iter().map(|&a| a as isize).collect();
    let axes = Axes::from(axes.as_slice());
    let (exec, mut y) = (Exec::new(), vec![T::default(); x.len()]);
    s.forward_with(&exec, x, shape, axes, mask.mask(), &mut y).unwrap();
    let mut g = uniform::<T>(-1.0, 1.0, x.len() as u64, 9);
    let rows = rows_by_definition(s, x, shape, along, mask);
    let nothing = if is_log(s) { f64::NEG_INFINITY } else { 0.0 };
    let taking_part = |want: &Dd| want.hi != nothing && !want.hi.is_nan();
    for (elements, want) in &rows {
        for (&i, _) in elements.iter().zip(want).filter(|(_, w)| !taking_part(w)) {
            // Whatever comes from behind for a masked element, it counts for nothing.
            g[i] = T::round(if i % 2 == 0 { f64::NAN } else { f64::INFINITY });
        }
    }
    let mut dx = vec![T::default(); x.len()];
    s.backward_with(&exec, &y, &g, shape, axes, mask.mask(), &mut dx).unwrap();
    for (elements, want) in &rows {
        if want.iter().all(|w| w.hi.is_nan()) {
            continue;
        }
        let parts = || elements.iter().zip(want).filter(|(_, w)| taking_part(w));
        let (mut own, mut grads) = (vec![], vec![]);
        for (&i, _) in parts() {
            own.push(y[i]);
            grads.push(g[i]);
        }
        let mut back = vec![T::default(); own.len()];
        s.backward(&own, &grads, &[own.len()], 0, &mut back).unwrap();
        for ((&i, _), want) in parts().zip(&back) {
            // Sums are of the same numbers in another order.
            let near = (dx[i].wide() - want.wide()).abs() <= 1e-2 * want.wide().abs() + 1e-5;
            r.need(near, || format!("{name}: gradient {:?}, not {want:?}", dx[i]));
        }
        for (&i, _) in elements.iter().zip(want).filter(|(_, w)| !taking_part(w)) {
            r.need(dx[i] == T::default(), || format!("{name}: a masked gradient is {:?}", dx[i]));
        }
    }
}

/// A mask for scores of shape [batch, heads, queries, keys] with a length per batch, not per head.
#[test]
fn padding_of_a_batch() {
    let padding = [true, true, false, true, false, false];
    let mut y = [9.0f32; 24];
    let mask = Mask::new().keep(&padding, &[2, 1, 1, 3]);
    Softmax.forward_with(&Exec::new(), &[0.0; 24], &[2, 2, 2, 3], -1, mask, &mut y).unwrap();
    for row in 0..8 {
        let want = if row < 4 { [0.5, 0.5, 0.0] } else { [1.0, 0.0, 0.0] };
        assert_eq!(y[3 * row..3 * row + 3], want, "row {row}");
    }
}

/// Limits at the end of an integer are none.
#[test]
fn windows_without_end() {
    let run = |mask: Mask<'_, f64>| {
        let mut y = [0.0; 6];
        let s = Softmax.empty_rows(EmptyRow::Zero);
        s.forward_with(&Exec::new(), &[1.0; 6], &[2, 3], 1, mask, &mut y).unwrap();
        y.map(|v| v > 0.0)
    };
    let (all, none) = ([true; 6], [false; 6]);
    for offset in [2, isize::MAX - 1, isize::MAX] {
        assert_eq!(run(Mask::new().causal(offset)), all, "{offset}");
        assert_eq!(run(Mask::new().window(offset, usize::MAX, usize::MAX)), all);
        assert_eq!(run(Mask::new().window(offset, usize::MAX, 0)), all);
    }
    for offset in [-2, isize::MIN, isize::MIN + 1] {
        assert_eq!(run(Mask::new().causal(offset)), none, "{offset}");
        assert_eq!(run(Mask::new().window(offset, 0, usize::MAX)), all, "{offset}");
    }
    assert_eq!(run(Mask::new().window(isize::MAX, 0, 0)), none);
    assert_eq!(run(Mask::new().window(0, usize::MAX - 1, usize::MAX - 1)), all);
    // A causal window of two keys with one key before the first query.
    let band = [true, true, false, false, true, true];
    assert_eq!(run(Mask::new().window(1, 1, 0)), band);
    assert_eq!(run(Mask::new().window(1, 1, 9).causal(1)), band);
}

/// Queries lie along the axis before that of keys unless it is named.
#[test]
fn axes_of_queries() {
    let shape = [2, 3];
    let run = |shape: &[usize], axes: Axes<'_>, mask: Mask<'_, f32>| {
        let mut y = vec![0.0; shape.iter().product()];
        let x = vec![1.0; y.len()];
        let result = Softmax.forward_with(&Exec::new(), &x, shape, axes, mask, &mut y);
        result.map(|()| y)
    };
    let causal = Mask::new().causal(0);
    assert_eq!(run(&shape, 1.into(), causal), Ok(vec![1.0, 0.0, 0.0, 0.5, 0.5, 0.0]));
    // Keys along the first axis, queries along the second.
    let transposed = Ok(vec![1.0, 0.5, 0.5, 0.0, 0.5, 0.5]);
    assert_eq!(run(&shape, 0.into(), causal.queries(-1)), transposed);
    // One query.
    assert_eq!(run(&[3], 0.into(), causal), Ok(vec![1.0, 0.0, 0.0]));
    assert_eq!(run(&[], Axes::ALL, causal), Ok(vec![1.0]));
    let unknown = Err(Error::MaskQueries { scores: vec![2, 3] });
    assert_eq!(run(&shape, 0.into(), causal), unknown);
    assert_eq!(run(&shape, Axes::ALL, causal), unknown);
    assert_eq!(run(&shape, 1.into(), causal.queries(1)), unknown);
    let beyond = Err(Error::AxisOutOfRange { axis: 2, shape: vec![2, 3] });
    assert_eq!(run(&shape, 1.into(), causal.queries(2)), beyond);
    // The axis does not matter where there is no band.
    assert_eq!(run(&shape, 1.into(), Mask::new().queries(7)).unwrap()[0], 1.0 / 3.0);
}

#[test]
fn rows_along_several_axes() {
    let x = uniform::<f32>(-5.0, 5.0, 120, 1);
    for s in both() {
        let mut y = vec![0.0; 120];
        // Trailing axes are one.
        s.forward(&x, &[2, 3, 20], &[1, 2], &mut y).unwrap();
        let mut want = vec![0.0; 120];
        s.forward(&x, &[2, 60], -1, &mut want).unwrap();
        assert_eq!(y, want);
        // So is the whole array.
        s.forward(&x, &[2, 3, 20], Axes::ALL, &mut y).unwrap();
        s.forward(&x, &[120], 0, &mut want).unwrap();
        assert_eq!(y, want);
        // Along no axis every element is a row.
        s.forward(&x, &[2, 3, 20], &[], &mut y).unwrap();
        assert!(y.iter().all(|v| *v == if is_log(&s) { 0.0 } else { 1.0 }));
        // So is the only element of an array without axes.
        for axes in [Axes::from(0), Axes::from(-1), Axes::ALL] {
            let mut y = [9.0];
            s.forward(&[-3.0f64], &[], axes, &mut y).unwrap();
            assert_eq!(y, [if is_log(&s) { 0.0 } else { 1.0 }]);
            let mut dx = [9.0];
            s.backward(&y, &[2.5], &[], axes, &mut dx).unwrap();
            assert_eq!(dx, [0.0]);
        }
        assert!(s.forward(&[1.0f32], &[], 1, &mut [0.0]).is_err());
    }
}

/// The result of the best level; those of others must be as good as equal.
fn at_every_level(run: &dyn Fn(&Exec) -> Vec<f64>) -> Vec<f64> {
    let want = run(&Exec::new());
    for level in levels() {
        let same = |(a, b): (&f64, &f64)| {
            a == b || a.is_nan() && b.is_nan() || (a / b - 1.0).abs() < 1e-14
        };
        let got = run(&at(level));
        assert!(got.iter().zip(&want).all(same), "{level}: {got:?}, not {want:?}");
    }
    want
}

/// Products and sums of a row that leave the range of f64 where differences do not.
#[test]
fn logits_beyond_the_range() {
    let run = |log: bool, scale: f64, x: &[f64], add: Option<&[f64]>| {
        let shape = [x.len()];
        let mask = add.map_or(Mask::new(), |a| Mask::new().add(a, &shape));
        at_every_level(&|exec| {
            let mut y = vec![9.0; x.len()];
            scaled(log, scale).forward_with(exec, x, &shape, 0, mask, &mut y).unwrap();
            y
        })
    };
    let (large, most) = (1e308, f64::MAX);
    assert_eq!(run(false, 4.0, &[large, 5e307], None), [1.0, 0.0]);
    assert_eq!(run(false, -4.0, &[large, 5e307], None), [0.0, 1.0]);
    assert_eq!(run(false, 4.0, &[large, large], None), [0.5, 0.5]);
    assert_eq!(run(false, 4.0, &[most, -most, most], None), [0.5, 0.0, 0.5]);
    assert_eq!(run(false, -3.0, &[most, -most, 0.0], None), [0.0, 1.0, 0.0]);
    let scale = f64::from(f32::MAX);
    assert_eq!(run(false, scale, &[most, 1.0, most], None), [0.5, 0.0, 0.5]);
    assert_eq!(run(true, 4.0, &[large, large], None), [-core::f64::consts::LN_2; 2]);
    assert_eq!(run(true, 4.0, &[large, 9e307], None), [0.0, 4.0 * (9e307 - large)]);
    // What a mask adds, alone and to a product.
    assert_eq!(run(false, 1.0, &[large, large], Some(&[large, 9e307])), [1.0, 0.0]);
    assert_eq!(run(false, 1.0, &[most, most], Some(&[most, most])), [0.5, 0.5]);
    assert_eq!(run(false, 2.0, &[large, 1.5e307], Some(&[-1.75e308, 0.0])), [0.0, 1.0]);
    let p = |k: i32| 2f64.powi(k);
    assert_eq!(run(false, 2.0, &[p(1023), p(1020)], Some(&[-1.75 * p(1023), 0.0])), [0.5, 0.5]);
    assert_eq!(
        run(true, 1.0, &[-most, -most], Some(&[-most, -most])),
        [-core::f64::consts::LN_2; 2]
    );
    // A difference of the largest numbers that a small scale makes moderate.
    let y = run(true, 1e-308, &[most, -most], None);
    let d = Dd::new(most * p(-1000)) * Dd::new(1e-308 * p(1000)) * Dd::new(-2.0);
    let want = -d.exp().ln_1p();
    assert!(ulp_error(y[0], pair(want)) <= 2.0, "{y:?}, not {}", want.hi);
    // Powers of two that a scale moves to the inputs change nothing.
    for log in [false, true] {
        for n in [2usize, 9, 40] {
            let x = uniform::<f64>(-9.0, 9.0, n as u64, 3);
            let smaller: Vec<f64> = x.iter().map(|v| v * 2f64.powi(-100)).collect();
            let y = run(log, 1.25, &x, None);
            assert_eq!(y, run(log, 1.25 * 2f64.powi(100), &smaller, None));
            assert_eq!(y, run(log, 1.25, &x, Some(&vec![0.0; n])));
        }
    }
}

/// Logits of f32 that f64 rounds by more than a result may be off.
#[test]
fn large_logits_of_f32() {
    let mut r = Report::default();
    let check = |r: &mut Report, s: &RowFunction, x: &[f32], add: Option<&[f32]>| {
        let shape = [x.len()];
        let stated = Stated { keep: None, add: add.map(|a| (a, &shape[..])), bands: (0, vec![]) };
        check_mask(r, "large", s, x, &shape, &[0], &stated);
        let narrow = |v: &[f32]| v.iter().map(|v| bf16::from_f32(*v)).collect::<Vec<bf16>>();
        let (half, add) = (narrow(x), add.map(narrow));
        let add = add.as_ref().map(|a| (&a[..], &shape[..]));
        let stated = Stated { keep: None, add, bands: (0, vec![]) };
        check_mask(r, "large", s, &half, &shape, &[0], &stated);
    };
    for log in [false, true] {
        for scale in [1.0, 1.0 / 3.0, -0.7, 1e-5, 77.7, 1e30] {
            let s = scaled(log, scale);
            for n in [2, 5, 17, 40] {
                // Neighbours of numbers such that logits differ by about 1 to 100.
                let base = (50.0 * f64::from(1u32 << 23) / scale.abs()) as f32;
                for base in [base, -base, base * 0.03] {
                    let x: Vec<f32> = (0..n)
                        .map(|i| f32::from_bits(base.to_bits() + (mix(7, i) % 4) as u32))
                        .collect();
                    check(&mut r, &s, &x, None);
                    // A mask that is far from the scores, as -1e9 or the least number of f32 are.
                    for far in [-1e9, f32::MIN, 1e9, -3e38] {
                        let add: Vec<f32> =
                            (0..n).map(|i| if i % 5 == 4 { 0.0 } else { far }).collect();
                        check(&mut r, &s, &x, Some(&add));
                        let moderate = uniform::<f32>(-9.0, 9.0, n, 5);
                        check(&mut r, &s, &moderate, Some(&vec![far; n as usize]));
                        // Products that a mask takes back.
                        let back: Vec<f32> =
                            x.iter().map(|v| (-scale * f64::from(*v)) as f32).collect();
                        check(&mut r, &s, &x, Some(&back));
                    }
                }
            }
        }
    }
    r.finish();
}

/// Gradients of f64 whose sums, or their differences, leave the range.
#[test]
fn gradients_beyond_the_range() {
    let (large, most) = (1e308, f64::MAX);
    let run = |log: bool, scale: f64, y: &[f64], g: &[f64]| {
        at_every_level(&|exec| {
            let mut dx = vec![9.0; y.len()];
            let s = scaled(log, scale);
            s.backward_with(exec, y, g, &[y.len()], 0, Mask::new(), &mut dx).unwrap();
            dx
        })
    };
    let near = |dx: Vec<f64>, want: [f64; 2]| {
        let off = dx.iter().zip(want).map(|(a, b)| (a / b - 1.0).abs());
        assert!(off.fold(0.0, f64::max) < 2e-15, "{dx:?}, not {want:?}");
    };
    // 0.25 (g - g') is within the range where the difference is not.
    near(run(false, 1.0, &[0.5, 0.5], &[large, -large]), [0.5 * large, -0.5 * large]);
    near(run(false, 1.0, &[0.5, 0.5], &[most, -most]), [0.5 * most, -0.5 * most]);
    near(run(false, 0.5, &[0.75, 0.25], &[large, -large]), [0.1875 * large, -0.1875 * large]);
    assert_eq!(run(false, 1.0, &[0.5, 0.5], &[most, most]), [0.0, 0.0]);
    // The sum of gradients overflows, but not what is taken from each.
    let half = -core::f64::consts::LN_2;
    let dx = run(true, 1.0, &[half, half], &[large, large]);
    assert!(dx.iter().all(|v| v.abs() < 1e293), "{dx:?}");
    let dx = run(true, 2f64.powi(-60), &[half, half], &[most, 0.5 * most]);
    let want = 0.25 * most * 2f64.powi(-60);
    near(dx, [want, -want]);
    // A share that is small and a scale that is large.
    let tiny = 1.234e-300;
    let dx = run(false, 2f64.powi(100), &[tiny, 1.0], &[1e-20, 0.0]);
    let want = tiny * 2f64.powi(100) * 1e-20;
    near(dx[..1].to_vec(), [want, want]);
    // Infinite and missing gradients are so still.
    assert!(run(false, 1.0, &[0.5, 0.5], &[f64::INFINITY, 0.0]).iter().all(|v| !v.is_finite()));
    assert!(run(true, 1.0, &[half, half], &[f64::NAN, 0.0]).iter().all(|v| v.is_nan()));
}

#[test]
fn special_rows() {
    for s in both() {
        for level in levels() {
            let run = |x: &[f64]| {
                let mut y = vec![9.0; x.len()];
                s.forward_with(&at(level), x, &[x.len()], 0, Mask::new(), &mut y).unwrap();
                y
            };
            for n in [1, 4, 16, 33] {
                for i in [0, n / 2, n - 1] {
                    let mut x = vec![1.0; n];
                    for v in [f64::NAN, f64::INFINITY] {
                        x[i] = v;
                        assert!(run(&x).iter().all(|y| y.is_nan()), "{level} {v} at {i} of {n}");
                    }
                }
                assert!(run(&vec![f64::NEG_INFINITY; n]).iter().all(|y| y.is_nan()));
            }
            assert_eq!(run(&[]), [0.0; 0]);
            assert_eq!(run(&[-3.0]), [if is_log(&s) { 0.0 } else { 1.0 }]);
            // A NaN that is masked does not matter.
            let mut y = [9.0; 3];
            s.forward_with(
                &at(level),
                &[0.0, f64::NAN, 0.0],
                &[3],
                0,
                Mask::new().keep(&[true, false, true], &[3]),
                &mut y,
            )
            .unwrap();
            let (half, none) =
                if is_log(&s) { (-core::f64::consts::LN_2, f64::NEG_INFINITY) } else { (0.5, 0.0) };
            assert_eq!(y, [half, none, half]);
        }
    }
}

#[test]
fn any_axis() {
    let shape = [3, 5, 4, 2];
    let x = uniform::<f32>(-5.0, 5.0, 120, 1);
    let g = uniform::<f32>(-1.0, 1.0, 120, 2);
    for s in both() {
        for axis in -4..4isize {
            let a = axis.rem_euclid(4) as usize;
            let (n, inner) = (shape[a], shape[a + 1..].iter().product::<usize>());
            let (mut y, mut dx) = (vec![0.0; 120], vec![0.0; 120]);
            s.forward(&x, &shape, axis, &mut y).unwrap();
            s.backward(&y, &g, &shape, axis, &mut dx).unwrap();
            let mut inside = x.clone();
            s.forward_in_place(&mut inside, &shape, axis).unwrap();
            assert_eq!(inside, y);
            for start in (0..120).filter(|i| i / inner % n == 0) {
                let at = |v: &[f32]| (0..n).map(|j| v[start + j * inner]).collect::<Vec<f32>>();
                let (mut row, mut back) = (vec![0.0; n], vec![0.0; n]);
                s.forward(&at(&x), &[n], 0, &mut row).unwrap();
                assert_eq!(at(&y), row, "axis {axis}");
                s.backward(&row, &at(&g), &[n], 0, &mut back).unwrap();
                assert_eq!(at(&dx), back, "axis {axis}");
            }
        }
    }
}

#[test]
fn gradient_by_differences() {
    let mut r = Report::default();
    for (log, scale) in [(false, 1.0), (true, 1.0), (false, 0.3), (true, -2.0)] {
        let s = scaled(log, scale);
        for n in [1, 2, 9, 33] {
            let x = uniform::<f64>(-3.0, 3.0, n as u64, 5);
            let g = uniform::<f64>(-1.0, 1.0, n as u64, 6);
            let (mut y, mut dx) = (vec![0.0; n], vec![0.0; n]);
            s.forward(&x, &[n], 0, &mut y).unwrap();
            for level in levels() {
                s.backward_with(&at(level), &y, &g, &[n], 0, Mask::new(), &mut dx).unwrap();
                let h = 2.0f64.powi(-24);
                for i in 0..n {
                    let moved = |h: f64| {
                        let mut x = x.clone();
                        x[i] += h;
                        dd_sum(
                            reference(&s, &plain(&s, &x))
                                .iter()
                                .zip(&g)
                                .map(|(y, g)| *y * Dd::new(*g)),
                        )
                    };
                    let want = (moved(h) - moved(-h)).hi / ((x[i] + h) - (x[i] - h));
                    r.need((dx[i] - want).abs() <= 1e-13, || {
                        format!("{level} {s:?} {n}: {} by differences {want}", dx[i])
                    });
                }
            }
            let mut d32 = vec![0.0f32; n];
            let narrow = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<f32>>();
            s.backward(&narrow(&y), &narrow(&g), &[n], 0, &mut d32).unwrap();
            r.need(d32.iter().zip(&dx).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6), || {
                format!("{s:?} in f32: {d32:?}")
            });
        }
    }
    r.finish();
}

/// Gradients of rows against exact arithmetic on the same output, also where sums are so large, or
/// outputs so far from 0, that f64 takes over.
#[test]
fn gradient_in_units() {
    gradients::<f32>([1e12, 1e-20], 2.5);
    gradients::<bf16>([1e12, 1e-20], 0.502);
    gradients::<f16>([1e4, 1e-2], 0.502);
}

fn gradients<T: Number>([large, small]: [f64; 2], bound: f64) {
    let mut r = Report::default();
    for log in [false, true] {
        let s = scaled(log, 1.0);
        let mut worst = 0.0f64;
        for n in [1, 3, 16, 33, 64, 100, 1000, 1024] {
            for (kind, factor, reach) in [
                ("usual", 1.0, 9.0),
                ("deep", 1.0, 140.0),
                ("large", large, 9.0),
                ("small", small, 9.0),
            ] {
                let x = uniform::<T>(-reach, reach, n as u64, 7);
                let g = uniform::<f64>(-1.0, 2.0, n as u64, 8);
                let g: Vec<T> = g.iter().map(|v| T::from_f64(v * factor)).collect();
                let mut y = vec![T::default(); n];
                s.forward(&x, &[n], 0, &mut y).unwrap();
                if log && kind == "deep" && n > 3 {
                    let odd = [f64::NEG_INFINITY, -104.5, 3.0 * (n % 2) as f64].map(T::from_f64);
                    y[..3].copy_from_slice(&odd);
                }
                let exact = |v: T| Dd::new(Element::to_f64(v));
                let product =
                    |(y, g): (&T, &T)| if log { exact(*g) } else { exact(*y) * exact(*g) };
                let sum = dd_sum(y.iter().zip(&g).map(product));
                let want = y.iter().zip(&g).map(|(&y, &g)| {
                    match (log, Element::to_f64(y) == f64::NEG_INFINITY) {
                        (true, true) => exact(g),
                        (true, false) => exact(g) - exact(y).exp() * sum,
                        _ => exact(y) * (exact(g) - sum),
                    }
                });
                let want: Vec<Dd> = want.collect();
                for level in levels() {
                    let mut dx = vec![T::default(); n];
                    s.backward_with(&at(level), &y, &g, &[n], 0, Mask::new(), &mut dx).unwrap();
                    let name =
                        format!("{} gradient log {log} {level} {kind}", <T as Element>::NAME);
                    worst = worst.max(compare(&mut r, &name, &dx, &want, bound));
                }
            }
        }
        println!("{} gradient log {log}: {worst:.4} ULP", <T as Element>::NAME);
    }
    r.finish();
}

fn same_everywhere<T: Number>() {
    for s in [scaled(false, 1.0), scaled(true, 1.0), scaled(false, 0.3)] {
        for shape in [[40, 1, 33], [7, 33, 40], [2, 1000, 3], [3, 1, 5000]] {
            for axis in [1, 2] {
                let len = shape.iter().product::<usize>();
                let x = uniform::<T>(-30.0, 30.0, len as u64, 3);
                let g = uniform::<T>(-1.0, 1.0, len as u64, 4);
                let run = |exec: &Exec| {
                    let (mut y, mut dx) = (vec![T::default(); len], vec![T::default(); len]);
                    s.forward_with(exec, &x, &shape, axis, Mask::new(), &mut y).unwrap();
                    s.backward_with(exec, &y, &g, &shape, axis, Mask::new(), &mut dx).unwrap();
                    (y, dx)
                };
                let mut first = None;
                for level in fused_levels() {
                    let now = run(&at(level));
                    #[cfg_attr(not(feature = "rayon"), allow(unused_mut))]
                    let mut others = vec![run(&at(level).block(1)), run(&at(level).block(777))];
                    #[cfg(feature = "rayon")]
                    for threads in [1, 2] {
                        let pool =
                            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                        others.push(pool.install(|| run(&at(level).parallel())));
                    }
                    let before = first.get_or_insert_with(|| now.clone()).clone();
                    for (y, dx) in others.iter().chain([&before]) {
                        assert_eq!(
                            first_difference(y, &now.0),
                            None,
                            "{level} {s:?} {shape:?} {axis}"
                        );
                        assert_eq!(
                            first_difference(dx, &now.1),
                            None,
                            "{level} {s:?} {shape:?} {axis} backward"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn same_bits_at_every_level_block_and_thread_count() {
    same_everywhere::<f32>();
    same_everywhere::<f64>();
    same_everywhere::<f16>();
    same_everywhere::<bf16>();
}

#[test]
fn guards_are_untouched() {
    guards::<f32>();
    guards::<f16>();
    guards::<bf16>();
}

fn guards<T: Number>() {
    let guard = T::from_f64(7.5);
    for n in 1..=67 {
        for start in 0..16 {
            let x = uniform::<T>(-3.0, 3.0, n as u64, 1);
            let mut want = vec![T::default(); n];
            Softmax.forward(&x, &[n], 0, &mut want).unwrap();
            for level in fused_levels() {
                let mut y = vec![guard; n + 40];
                Softmax
                    .forward_with(&at(level), &x, &[n], 0, Mask::new(), &mut y[start..start + n])
                    .unwrap();
                assert_eq!(y[start..start + n], want);
                assert!(
                    y[..start].iter().chain(&y[start + n..]).all(|v| *v == guard),
                    "{n} at {start}"
                );
            }
        }
    }
}

#[test]
fn shapes_that_do_not_fit() {
    let s: &RowFunction = &Softmax;
    let x = [0.0f32; 6];
    let mut y = [0.0; 6];
    let mut text = |shape: &[usize], axis: isize, mask: Mask<'_, f32>| match s.forward_with(
        &Exec::new(),
        &x,
        shape,
        axis,
        mask,
        &mut y,
    ) {
        Err(error) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(text(&[2, 4], 0, Mask::new()), "shape [2, 4] has 8 elements, the array has 6");
    assert_eq!(
        text(&[2, 3], 2, Mask::new()),
        "axis 2 is out of range for shape [2, 3]; it must be between -2 and 1"
    );
    assert_eq!(
        text(&[2, 3], -3, Mask::new()),
        "axis -3 is out of range for shape [2, 3]; it must be between -2 and 1"
    );
    let mask = |own: &[usize]| {
        let keep = vec![true; own.iter().product()];
        let mask = Mask::new().keep(&keep, own);
        s.forward_with(&Exec::new(), &x, &[2, 3], 1, mask, &mut [0.0; 6])
    };
    for own in [&[2usize, 3] as &[usize], &[3], &[1, 3], &[2, 1], &[1], &[]] {
        assert_eq!(mask(own), Ok(()), "{own:?}");
    }
    for own in [&[2usize] as &[usize], &[4], &[6], &[3, 2], &[2, 2, 3], &[1, 2, 3], &[0], &[0, 3]] {
        let error = Error::MaskShape { mask: own.into(), scores: vec![2, 3] };
        assert_eq!(mask(own), Err(error), "{own:?}");
    }
    let own = [2, 3];
    let short = Mask::new().add(&[0.0; 5], &own);
    assert_eq!(text(&[2, 3], 1, short), "shape [2, 3] has 6 elements, the mask has 5");
    let wrapped = [2, (1 << 63) + 3];
    let mask = Mask::new().keep(&[true; 6], &wrapped);
    assert!(text(&[2, 3], 1, mask).contains("is larger than an address space"));
    assert_eq!(
        text(&[2, 3], 1, Mask::new().add(&[0.0; 4], &[4])),
        "a mask of shape [4] cannot be repeated to scores of shape [2, 3]; from the last axis backwards each of its lengths must be 1 or that of the scores"
    );
    assert_eq!(
        text(&[2, 3], 0, Mask::new().causal(0)),
        "a causal mask over scores of shape [2, 3] needs one axis of keys, with queries along the axis before it; name the axis of queries"
    );
    assert!(s.backward(&x, &x, &[7], 0, &mut y).is_err());
    assert_eq!(s.forward::<f32>(&[], &[0, 3], 1, &mut []), Ok(()));
    assert_eq!(s.forward::<f32>(&[], &[3, 0], 1, &mut []), Ok(()));
    assert_eq!(s.backward::<f32>(&[], &[], &[3, 0], 1, &mut []), Ok(()));
    assert_eq!(
        s.forward_with::<f32>(&Exec::new(), &[], &[2, 0], 1, Mask::new().causal(0), &mut []),
        Ok(())
    );
}

#[test]
#[should_panic(expected = "y has 2 elements, x has 3")]
fn lengths_that_differ() {
    let _ = Softmax.forward(&[0.0; 3], &[3], 0, &mut [0.0; 2]);
}

/// Softmin is softmax with a scale of -1, in every type, with masks, and backwards.
#[test]
fn softmin_is_softmax_of_the_negative() {
    fn both<T: Number>(scale: f64) {
        let (min, max) = (Softmin.with("scale", scale), Softmax.with("scale", -scale));
        let (min, max) = (min.unwrap(), max.unwrap());
        let x = uniform::<T>(-4.0, 4.0, 6 * 37, 1);
        let (grad, bias) = (uniform::<T>(-1.0, 1.0, 6 * 37, 2), uniform::<T>(-2.0, 2.0, 37, 3));
        let mask = Mask::new().add(&bias, &[37]).causal(20);
        for (axis, mask) in [(0, Mask::new()), (1, Mask::new()), (1, mask)] {
            let run = |f: &RowFunction| {
                let (mut y, mut dx) = (x.clone(), x.clone());
                let exec = Exec::new();
                f.forward_with(&exec, &x, &[6, 37], axis, mask, &mut y).unwrap();
                f.backward_with(&exec, &y, &grad, &[6, 37], axis, mask, &mut dx).unwrap();
                (y, dx)
            };
            assert!(run(&min) == run(&max), "{} scale {scale} axis {axis}", T::NAME_OF);
        }
    }
    for scale in [1.0, 0.3] {
        both::<f32>(scale);
        both::<f64>(scale);
        both::<f16>(scale);
        both::<bf16>(scale);
    }
    let (mut y, mut dx) = ([0.0; 3], [0.0; 3]);
    Softmin.forward(&[1.0f64, f64::INFINITY, 1.0], &[3], 0, &mut y).unwrap();
    assert_eq!(y, [0.5, 0.0, 0.5]);
    Softmin.backward(&y, &[1.0, 1.0, 0.0], &[3], 0, &mut dx).unwrap();
    assert_eq!(dx, [-0.25, 0.0, 0.25]);
}

#[test]
fn by_name() {
    assert_eq!(rowwise("Softmax").unwrap(), *Softmax);
    assert_eq!(rowwise("log-softmax").unwrap(), *LogSoftmax);
    assert_eq!(rowwise("softargmax").unwrap().name(), "softmax");
    assert_eq!(
        rowwise("softmx").unwrap_err().to_string(),
        "unknown function `softmx`; did you mean `softmax`?"
    );
    let names: Vec<&str> = rowwise_functions().iter().map(|f| f.name()).collect();
    assert_eq!(names, ["log_softmax", "softmax", "softmin"]);
    assert!(
        rowwise_functions()
            .iter()
            .all(|f| f.meta().pytorch.starts_with("LogSoft")
                || f.meta().pytorch.starts_with("Softm"))
    );
    assert!(Format::is_nan(f64::NAN));
}

#[test]
fn parameters() {
    for bad in [f64::NAN, f64::INFINITY, 1e39, -1e39] {
        let error = Softmax.with("scale", bad).unwrap_err().to_string();
        assert!(error.contains("`scale` of `softmax`"), "{error}");
    }
    assert_eq!(
        LogSoftmax.with("alpha", 1.0).unwrap_err().to_string(),
        "`log_softmax` has no parameter `alpha`; it has scale"
    );
    assert_eq!(
        Softmax.with_params(&[("scale", 1.0), ("Scale", 2.0)]).unwrap_err().to_string(),
        "`scale` of `softmax` is given twice"
    );
    let half = Softmax.with("scale", 0.5).unwrap();
    assert_eq!(scale_of(&half), 0.5);
    assert_ne!(half, *Softmax);
    assert_ne!(Softmax.empty_rows(EmptyRow::Zero), *Softmax);
    assert_eq!(format!("{half:?}"), "softmax(scale: 0.5, empty rows: Nan)");
}
