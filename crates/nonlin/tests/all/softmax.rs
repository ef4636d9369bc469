//! Softmax and log-softmax against the definition in double-double numbers; masks, axes, gradients.

use crate::common::*;
use nonlin::real::{Dd, Real};
use nonlin::{Element, EmptyRow, Error, Exec, Mask, Softmax, bf16, f16, rowwise};
use nonlin_testkit::samples::{mix_unit, uniform};
use nonlin_testkit::ulp::{Format, ulp_error};

/// `scale x + add` of the elements that take part, and which they are.
struct Logits {
    z: Vec<Dd>,
    part: Vec<bool>,
}

/// Softmax (log: its logarithm) of one row; what is masked is 0 (log: -inf).
fn reference(s: &Softmax, row: &Logits) -> Vec<Dd> {
    let masked = Dd::new(f64::NEG_INFINITY);
    let z = row.z.iter().zip(&row.part).map(|(z, part)| if *part { *z } else { masked });
    s.reference(&z.collect::<Vec<Dd>>())
}

fn plain<T: Number>(s: &Softmax, x: &[T]) -> Logits {
    Logits {
        z: x.iter().map(|v| Dd::new(v.wide()) * Dd::new(s.scale)).collect(),
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
    for s in [Softmax::new(), Softmax::log()] {
        let mut worst = 0.0f64;
        for &n in lengths {
            for (kind, x) in rows::<T>(n) {
                let want = reference(&s, &plain(&s, &x));
                for level in levels() {
                    let mut y = vec![T::default(); n];
                    s.forward_with(&at(level), &x, &[n], -1, Mask::None, &mut y).unwrap();
                    let name = format!("log {} {level} {kind}", s.log);
                    worst = worst.max(compare(&mut r, &name, &y, &want, bound(n)));
                    let mut inside = x.clone();
                    s.forward_in_place(&mut inside, &[n], 0).unwrap();
                    if level == nonlin::Level::best() {
                        r.need(first_difference(&y, &inside).is_none(), || {
                            format!("{name}: in place differs")
                        });
                    }
                    if !s.log {
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
        println!("log {} {}: {worst:.4} ULP", s.log, T::NAME_OF);
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
        for s in [Softmax::new(), Softmax::log()] {
            let want = reference(&s, &plain(&s, &x));
            for level in levels() {
                let mut y = vec![T::default(); n];
                s.forward_with(&at(level), &x, &[n], 0, Mask::None, &mut y).unwrap();
                let name = format!("long log {} {level} {kind}", s.log);
                compare(&mut r, &name, &y, &want, allowed(n));
                r.need(s.log || sums_to_one(&y, allowed(n)), || {
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
        Softmax::log().forward(&x, &[2], 0, &mut y).unwrap();
        let want = -Dd::new(-f64::from(i)).exp().ln_1p();
        r.need(ulp_error(y[0], pair(want)) <= 2.0, || {
            format!("{i}: {:e}, not {:e}", y[0], want.hi)
        });
        let (x, mut y) = ([0.0f32, -i as f32], [0.0f32; 2]);
        Softmax::log().forward(&x, &[2], 0, &mut y).unwrap();
        r.need(ulp_error(y[0], pair(want)) <= 2.0, || {
            format!("{i}: {:e} in f32, not {:e}", y[0], want.hi)
        });
    }
    r.finish();
}

/// The mask's part of each row's logits.
fn masked<T: Number>(s: &Softmax, x: &[T], n: usize, r: usize, mask: &Mask<'_, T>) -> Logits {
    let row = &x[r * n..(r + 1) * n];
    let mut l = plain(s, row);
    for i in 0..n {
        match mask {
            Mask::None => {}
            Mask::Keep(m) => l.part[i] = m[(r * n + i) % m.len()],
            Mask::Add(m) => l.z[i] = l.z[i] + Dd::new(m[(r * n + i) % m.len()].wide()),
            Mask::Causal { queries, offset } => {
                l.part[i] = i as isize <= (r % queries) as isize + offset
            }
        }
    }
    l
}

fn check_mask<T: Number>(
    r: &mut Report,
    name: &str,
    s: &Softmax,
    x: &[T],
    shape: &[usize],
    mask: Mask<'_, T>,
) {
    let n = *shape.last().unwrap();
    for level in levels() {
        let mut y = vec![T::default(); x.len()];
        s.forward_with(&at(level), x, shape, -1, mask, &mut y).unwrap();
        for row in 0..x.len() / n {
            let want = reference(s, &masked(s, x, n, row, &mask));
            let bound = if T::BITS == 16 { 0.502 } else { allowed(n) };
            compare(
                r,
                &format!("{name} {level} {s:?} row {row}"),
                &y[row * n..(row + 1) * n],
                &want,
                bound,
            );
        }
    }
}

fn masks<T: Number>() {
    let mut r = Report::default();
    for log in [false, true] {
        for scale in [1.0, 0.125, -2.5, 1.0 / 3.0] {
            for empty in [EmptyRow::Nan, EmptyRow::Zero] {
                let s = Softmax { log, scale, empty };
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
                    check_mask(&mut r, "none", &s, &x, &shape, Mask::None);
                    for rows in [1, 2, 3, 6] {
                        check_mask(&mut r, "keep", &s, &x, &shape, Mask::Keep(&keep[..rows * n]));
                        check_mask(&mut r, "add", &s, &x, &shape, Mask::Add(&add[..rows * n]));
                    }
                    for offset in [-2, 0, 1, n as isize - 3] {
                        check_mask(
                            &mut r,
                            "causal",
                            &s,
                            &x,
                            &shape,
                            Mask::Causal { queries: 3, offset },
                        );
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

#[test]
fn special_rows() {
    for s in [Softmax::new(), Softmax::log()] {
        for level in levels() {
            let run = |x: &[f64]| {
                let mut y = vec![9.0; x.len()];
                s.forward_with(&at(level), x, &[x.len()], 0, Mask::None, &mut y).unwrap();
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
            assert_eq!(run(&[-3.0]), [if s.log { 0.0 } else { 1.0 }]);
            // A NaN that is masked does not matter.
            let mut y = [9.0; 3];
            s.forward_with(
                &at(level),
                &[0.0, f64::NAN, 0.0],
                &[3],
                0,
                Mask::Keep(&[true, false, true]),
                &mut y,
            )
            .unwrap();
            let (half, none) =
                if s.log { (-core::f64::consts::LN_2, f64::NEG_INFINITY) } else { (0.5, 0.0) };
            assert_eq!(y, [half, none, half]);
        }
    }
}

#[test]
fn any_axis() {
    let shape = [3, 5, 4, 2];
    let x = uniform::<f32>(-5.0, 5.0, 120, 1);
    let g = uniform::<f32>(-1.0, 1.0, 120, 2);
    for s in [Softmax::new(), Softmax::log()] {
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
        let s = Softmax { log, scale, ..Softmax::new() };
        for n in [1, 2, 9, 33] {
            let x = uniform::<f64>(-3.0, 3.0, n as u64, 5);
            let g = uniform::<f64>(-1.0, 1.0, n as u64, 6);
            let (mut y, mut dx) = (vec![0.0; n], vec![0.0; n]);
            s.forward(&x, &[n], 0, &mut y).unwrap();
            for level in levels() {
                s.backward_with(&at(level), &y, &g, &[n], 0, &mut dx).unwrap();
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
        let s = if log { Softmax::log() } else { Softmax::new() };
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
                    s.backward_with(&at(level), &y, &g, &[n], 0, &mut dx).unwrap();
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
    for s in [Softmax::new(), Softmax::log(), Softmax { scale: 0.3, ..Softmax::new() }] {
        for shape in [[40, 1, 33], [7, 33, 40], [2, 1000, 3], [3, 1, 5000]] {
            for axis in [1, 2] {
                let len = shape.iter().product::<usize>();
                let x = uniform::<T>(-30.0, 30.0, len as u64, 3);
                let g = uniform::<T>(-1.0, 1.0, len as u64, 4);
                let run = |exec: &Exec| {
                    let (mut y, mut dx) = (vec![T::default(); len], vec![T::default(); len]);
                    s.forward_with(exec, &x, &shape, axis, Mask::None, &mut y).unwrap();
                    s.backward_with(exec, &y, &g, &shape, axis, &mut dx).unwrap();
                    (y, dx)
                };
                let mut first = None;
                for level in fused_levels() {
                    let now = run(&at(level));
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
            Softmax::new().forward(&x, &[n], 0, &mut want).unwrap();
            for level in fused_levels() {
                let mut y = vec![guard; n + 40];
                Softmax::new()
                    .forward_with(&at(level), &x, &[n], 0, Mask::None, &mut y[start..start + n])
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
    let s = Softmax::new();
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
    assert_eq!(text(&[2, 4], 0, Mask::None), "shape [2, 4] has 8 elements, the array has 6");
    assert_eq!(
        text(&[2, 3], 2, Mask::None),
        "axis 2 is out of range for shape [2, 3]; it must be between -2 and 1"
    );
    assert_eq!(
        text(&[2, 3], -3, Mask::None),
        "axis -3 is out of range for shape [2, 3]; it must be between -2 and 1"
    );
    let mask = |axis: isize, mask: Mask<'_, f32>, entries: usize| {
        let got = s.forward_with(&Exec::new(), &x, &[2, 3], axis, mask, &mut [0.0; 6]);
        assert_eq!(got, Err(Error::MaskShape { mask: vec![entries], scores: vec![2, 3] }));
    };
    mask(1, Mask::Keep(&[true; 4]), 4);
    mask(0, Mask::Add(&[0.0; 6]), 6);
    mask(1, Mask::Causal { queries: 0, offset: 0 }, 0);
    mask(1, Mask::Causal { queries: 4, offset: 0 }, 12);
    assert!(s.backward(&x, &x, &[7], 0, &mut y).is_err());
    assert_eq!(s.forward::<f32>(&[], &[0, 3], 1, &mut []), Ok(()));
    assert_eq!(s.forward::<f32>(&[], &[3, 0], 1, &mut []), Ok(()));
    assert_eq!(s.backward::<f32>(&[], &[], &[3, 0], 1, &mut []), Ok(()));
    assert_eq!(
        s.forward_with::<f32>(
            &Exec::new(),
            &[],
            &[2, 0],
            1,
            Mask::Causal { queries: 2, offset: 0 },
            &mut []
        ),
        Ok(())
    );
}

#[test]
#[should_panic(expected = "y has 2 elements, x has 3")]
fn lengths_that_differ() {
    let _ = Softmax::new().forward(&[0.0; 3], &[3], 0, &mut [0.0; 2]);
}

#[test]
fn by_name() {
    assert_eq!(rowwise("Softmax").unwrap(), Softmax::new());
    assert_eq!(rowwise("log-softmax").unwrap(), Softmax::log());
    assert_eq!(
        rowwise("softmx").unwrap_err().to_string(),
        "unknown function `softmx`; did you mean `softmax`?"
    );
    assert!(Format::is_nan(f64::NAN));
}
