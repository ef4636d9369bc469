//! PReLU with a slope per channel, RReLU with a random slope per element.

use crate::common::*;
use nonlin::real::Dd;
use nonlin::{Exec, Prelu, Rrelu, bf16, f16};
use nonlin_testkit::samples::uniform;
use nonlin_testkit::ulp::ulp_error;

/// Numbers in no order, some of them special.
fn some<T: Number>(n: usize, seed: u64) -> Vec<T> {
    let mut x = uniform::<T>(-5.0, 5.0, n as u64, seed);
    for i in 0..n {
        x.swap(i, (i * 7919 + 13) % n);
    }
    for (i, v) in [(1, 0.0), (2, -0.0), (3, f64::INFINITY), (4, f64::NEG_INFINITY), (5, f64::NAN)] {
        if n > 40 {
            x[i * n / 7] = T::round(v);
        }
    }
    x
}

/// Forward and both gradients, one element after the other.
fn plain<T: Number>(x: &[T], w: impl Fn(usize) -> T, g: &[T]) -> (Vec<T>, Vec<T>, Vec<Dd>) {
    let mut out = (Vec::new(), Vec::new(), Vec::new());
    for (i, v) in x.iter().enumerate() {
        let (x, w, g) = (v.wide(), w(i).wide(), g[i].wide());
        // At -inf a slope of 0 gives 0, as everywhere.
        let low = if w == 0.0 && x == f64::NEG_INFINITY { -w } else { w * x };
        out.0.push(if x.is_nan() || x > 0.0 { *v } else { T::round(low) });
        out.1.push(if x.is_nan() { *v } else { T::round(g * if x > 0.0 { 1.0 } else { w }) });
        out.2.push(if x > 0.0 { Dd::new(0.0) } else { Dd::new(g) * Dd::new(x) });
    }
    out
}

const SHAPES: [(&[usize], isize); 12] = [
    (&[2, 3, 4, 5], 1),
    (&[2, 3, 4, 5], -3),
    (&[2, 3, 4, 5], 0),
    (&[2, 3, 4, 5], 3),
    (&[2, 3, 4, 5], -1),
    (&[3, 5, 64], 1),
    (&[3, 5, 65], 1),
    (&[1, 3, 2100], 1),
    (&[7, 3, 63], 1),
    (&[97], 0),
    (&[4, 1, 33], 1),
    (&[700, 3], 1),
];

fn prelu<T: Number>(bound: f64) {
    let mut r = Report::default();
    for (shape, axis) in SHAPES {
        let len = shape.iter().product::<usize>();
        let a = axis.rem_euclid(shape.len() as isize) as usize;
        let (c, inner) = (shape[a], shape[a + 1..].iter().product::<usize>());
        let (x, g) = (some::<T>(len, 1), uniform::<T>(-2.0, 2.0, len as u64, 2));
        for shared in [false, true] {
            let w = uniform::<T>(-0.5, 1.5, if shared { 1 } else { c as u64 }, 3);
            let channel = |i: usize| if shared { 0 } else { i / inner % c };
            let (y, dx, parts) = plain(&x, |i| w[channel(i)], &g);
            for level in levels() {
                for exec in
                    [at(level), at(level).block(1), at(level).block(7), at(level).block(1000)]
                {
                    let (mut gy, mut gx, mut gw) = (
                        vec![T::default(); len],
                        vec![T::default(); len],
                        vec![T::default(); w.len()],
                    );
                    let f = Prelu.per_channel(&w, shape, axis).unwrap();
                    f.forward_with(&exec, &x, &mut gy);
                    f.backward_with(&exec, &x, &g, &mut gx, &mut gw);
                    let name =
                        || format!("{} {level} {shape:?} {axis} shared {shared}", T::NAME_OF);
                    r.need(first_difference(&gy, &y).is_none(), || format!("{}: forward", name()));
                    r.need(first_difference(&gx, &dx).is_none(), || format!("{}: dx", name()));
                    for (k, got) in gw.iter().enumerate() {
                        let of: Vec<Dd> =
                            (0..len).filter(|&i| channel(i) == k).map(|i| parts[i]).collect();
                        let want = dd_sum(of.iter().copied());
                        let size: f64 = of.iter().map(|d| d.hi.abs()).sum();
                        let off = (got.wide() - want.hi).abs();
                        let ok = if want.hi.is_finite() {
                            off <= bound * size
                        } else {
                            !got.wide().is_finite()
                        };
                        r.need(ok, || {
                            format!("{}: dweight[{k}] = {got:?}, not {:e}", name(), want.hi)
                        });
                    }
                }
            }
        }
    }
    r.finish();
}

#[test]
fn prelu_along_any_axis() {
    prelu::<f32>(1e-7);
    prelu::<f64>(4e-15); // added one after the other
    prelu::<f16>(2e-3);
    prelu::<bf16>(2e-2);
}

/// Whether `dx` goes past the caches, and where in a line of the cache it begins, shows in no bit.
fn prelu_streamed<T: Number>() {
    let mut r = Report::default();
    let (weights, most) = ([T::round(0.3), T::round(-0.7)], 9000);
    for (i, n) in [0, 1, 15, 17, 64, 2047, 2049, 4100, most].into_iter().enumerate() {
        let (x, g) = (some::<T>(2 * n, 1), uniform::<T>(-2.0, 2.0, 2 * n.max(1) as u64, 2));
        let g = &g[..2 * n];
        for level in levels() {
            let f = Prelu.per_channel(&weights, &[2, n], 0).unwrap();
            let run = |exec: &Exec, offset: usize| {
                let mut room = vec![T::default(); 2 * n + 64];
                let start = room.as_ptr().align_offset(64) + offset;
                let mut dw = [T::default(); 2];
                f.backward_with(exec, &x, g, &mut room[start..start + 2 * n], &mut dw);
                (room[start..start + 2 * n].to_vec(), dw)
            };
            let (dx, dw) = run(&at(level).stream_from(usize::MAX), i);
            for offset in 0..16 {
                let streamed = run(&at(level).stream_from(0), offset);
                let (same_dx, same_dw) = (
                    first_difference(&streamed.0, &dx).is_none(),
                    first_difference(&streamed.1, &dw).is_none(),
                );
                r.need(same_dx, || format!("{} {level} {n} at {offset}: dx", T::NAME_OF));
                r.need(same_dw, || format!("{} {level} {n} at {offset}: dweight", T::NAME_OF));
            }
        }
    }
    r.finish();
}

#[test]
fn prelu_past_the_caches() {
    prelu_streamed::<f32>();
    prelu_streamed::<f64>();
    prelu_streamed::<f16>();
}

/// What no gradient arrives at adds nothing, however far out it is; NaN is never left out.
fn prelu_far_out<T: Number>() {
    let (far, nan) = (T::round(f64::NEG_INFINITY), T::round(f64::NAN));
    for level in levels() {
        for n in [1, 5, 16, 40, 700, 5000] {
            for stream in [0, usize::MAX] {
                let exec = at(level).stream_from(stream);
                let sum = |x: T, g: T| {
                    let (mut xs, mut gs) = (vec![T::round(-1.0); n], vec![T::round(0.5); n]);
                    (xs[n / 2], gs[n / 2]) = (x, g);
                    let (mut dx, mut dw) = (xs.clone(), [T::default()]);
                    let weights = [T::round(0.25)];
                    let f = Prelu.per_channel(&weights, &[n], 0).unwrap();
                    f.backward_with(&exec, &xs, &gs, &mut dx, &mut dw);
                    dw[0].wide()
                };
                let zero = T::round(0.0);
                let rest = T::round(-0.5 * (n - 1) as f64).wide();
                let name = || format!("{} {level} {n} {stream}", T::NAME_OF);
                assert_eq!(sum(far, zero), rest, "{}", name());
                assert_eq!(sum(far, T::round(2.0)), f64::NEG_INFINITY, "{}", name());
                assert!(sum(nan, zero).is_nan() && sum(far, nan).is_nan(), "{}", name());
                assert!(sum(T::round(-1.0), nan).is_nan(), "{}", name());
                // Above 0 the weight has no effect, whatever arrives there.
                for g in [nan, T::round(f64::INFINITY)] {
                    assert_eq!(sum(T::round(1.0), g), rest, "{}", name());
                }
            }
        }
    }
}

#[test]
fn prelu_where_no_gradient_arrives() {
    prelu_far_out::<f32>();
    prelu_far_out::<f64>();
    prelu_far_out::<bf16>();
}

#[test]
fn prelu_with_one_slope_is_the_function() {
    let x = some::<f32>(500, 5);
    let f = Prelu.with_index(0, 0.3).unwrap();
    let mut y = vec![0.0; 500];
    Prelu.per_channel(&[0.3], &[500], 0).unwrap().forward(&x, &mut y);
    assert_eq!(first_difference(&y, &forward(&Exec::new(), &f, &x)), None);
}

#[test]
fn prelu_shapes_that_do_not_fit() {
    let text = |shape: &[usize], axis: isize, w: &[f32]| match Prelu.per_channel(w, shape, axis) {
        Err(error) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        text(&[2, 3], 2, &[0.0; 3]),
        "axis 2 is out of range for shape [2, 3]; it must be between -2 and 1"
    );
    assert_eq!(
        text(&[2, 3], 1, &[0.0; 2]),
        "axis 1 of shape [2, 3] has 3 channels, but there are 2 values; give 3 or 1"
    );
    assert_eq!(
        text(&[2, 3], 1, &[]),
        "axis 1 of shape [2, 3] has 3 channels, but there are 0 values; give 3 or 1"
    );
    let e = nonlin::Elu.per_channel(&[0.0f32; 3], &[2, 3], 1).unwrap_err();
    assert_eq!(e.to_string(), "`elu` has no parameter per channel; `prelu` has");
    // Sizes that wrap: 2 * (2^63 + 3) is 6 in 64 bits.
    for w in [&[0.0f32; 2][..], &[0.0]] {
        let e = Prelu.per_channel(w, &[2, (1 << 63) + 3], 0).unwrap_err();
        assert!(matches!(e, nonlin::Error::ShapeOverflow { .. }), "{e}");
    }
    let none = Prelu.per_channel(&[0.0f32; 3], &[0, 3], 1).unwrap();
    none.forward(&[], &mut []);
    let mut dw = [9.0; 3];
    none.backward(&[], &[], &mut [], &mut dw);
    assert_eq!(dw, [0.0; 3]);
}

#[test]
#[should_panic(expected = "y has 5 elements, x has 6")]
fn prelu_lengths_that_differ() {
    Prelu.per_channel(&[0.0], &[6], 0).unwrap().forward(&[0.0; 6], &mut [0.0; 5]);
}

#[test]
#[should_panic(expected = "x has 6 elements, an array of that shape has 8")]
fn prelu_shape_of_another_array() {
    Prelu.per_channel(&[0.0], &[2, 4], 0).unwrap().forward(&[0.0; 6], &mut [0.0; 6]);
}

fn train<T: Number>(exec: &Exec, seed: u64, offset: u64, x: &[T]) -> (Vec<T>, Vec<T>) {
    let f = Rrelu.training(seed, offset).unwrap();
    let (mut y, mut dx) = (vec![T::default(); x.len()], vec![T::default(); x.len()]);
    f.forward_with(exec, x, &mut y);
    let ones = vec![T::round(1.0); x.len()];
    f.backward_with(exec, x, &ones, &mut dx);
    (y, dx)
}

fn rrelu<T: Number>() {
    let n = 5000;
    let x = some::<T>(n, 8);
    let want = train(&Exec::new(), 42, 0, &x);
    let (low, high) = (T::round(1.0 / 8.0), T::round(1.0 / 3.0));
    for i in 0..n {
        let (x, y, d) = (x[i].wide(), want.0[i], want.1[i]);
        if x > 0.0 {
            assert!(y.wide() == x && d.wide() == 1.0);
        } else if x.is_finite() {
            assert!(d >= low && d <= high, "slope {d:?}");
            assert!(ulp_error(y, Dd::new(d.wide()).hi * x) <= 0.5, "{y:?} = {d:?} {x}");
        }
    }
    for level in levels() {
        #[cfg_attr(not(feature = "rayon"), allow(unused_mut))]
        let mut execs =
            vec![at(level), at(level).block(1), at(level).block(7), at(level).block(1000)];
        #[cfg(feature = "rayon")]
        execs.push(at(level).block(100).parallel());
        for exec in execs {
            let got = train(&exec, 42, 0, &x);
            assert!(
                first_difference(&got.0, &want.0).is_none()
                    && first_difference(&got.1, &want.1).is_none(),
                "{exec:?}"
            );
        }
    }
    // In two parts, by offset.
    let (a, b) = x.split_at(1234);
    let got = [train(&Exec::new(), 42, 0, a).0, train(&Exec::new(), 42, 1234, b).0].concat();
    assert_eq!(first_difference(&got, &want.0), None);
    let other = train(&Exec::new(), 43, 0, &x).1;
    assert!(
        other.iter().zip(&want.1).filter(|(a, b)| a == b).count() < n * 3 / 4,
        "another seed gives the same slopes"
    );
}

#[test]
fn rrelu_in_training() {
    rrelu::<f32>();
    rrelu::<f64>();
    rrelu::<f16>();
}

#[test]
fn rrelu_slopes_are_uniform() {
    let n = 1 << 16;
    let (_, d) = train(&Exec::new(), 7, 0, &vec![-1.0f64; n]);
    let u: Vec<f64> = d.iter().map(|d| (d - 1.0 / 8.0) / (1.0 / 3.0 - 1.0 / 8.0)).collect();
    let mean = u.iter().sum::<f64>() / n as f64;
    let square = u.iter().map(|u| u * u).sum::<f64>() / n as f64;
    // Five standard deviations.
    assert!((mean - 0.5).abs() < 5.0 * (1.0f64 / 12.0 / n as f64).sqrt(), "{mean}");
    assert!((square - 1.0 / 3.0).abs() < 5.0 * (4.0f64 / 45.0 / n as f64).sqrt(), "{square}");
    let mut bins = [0; 16];
    u.iter().for_each(|u| bins[(u * 16.0) as usize] += 1);
    let chi: f64 = bins.iter().map(|b| (f64::from(*b) - 4096.0).powi(2) / 4096.0).sum();
    assert!(chi < 45.0, "chi squared with 15 degrees of freedom is {chi}");
    let pairs = u.windows(2).map(|w| (w[0] - 0.5) * (w[1] - 0.5)).sum::<f64>() / n as f64 * 12.0;
    assert!(pairs.abs() < 5.0 / (n as f64).sqrt(), "neighbours are correlated by {pairs}");
}

#[test]
fn rrelu_evaluates_with_the_mean_slope() {
    assert_eq!(Rrelu.slope(-1.0f64), 11.0 / 48.0);
    let between = |lower, upper| Rrelu.with_params(&[("lower", lower), ("upper", upper)]);
    let f = between(0.1, 0.3).unwrap();
    assert!((f.value(-2.0f64) + 0.4).abs() < 1e-15);
    let (mut y, x) = ([0.0f64; 64], [-1.0; 64]);
    f.training(1, 0).unwrap().forward(&x, &mut y);
    assert!(y.iter().all(|y| (-0.3..=-0.1).contains(y)) && y[0] != y[1]);
    assert!(between(f64::NAN, 1.0).is_err());
    let e = between(0.5, 0.1).unwrap_err();
    assert_eq!(
        e.to_string(),
        "`lower` of `rrelu` is 0.5 and `upper` is 0.1; `lower` must be at most `upper`"
    );
    let e = nonlin::Relu.training(1, 0).unwrap_err();
    assert_eq!(e.to_string(), "`relu` is not random in training; `rrelu` is");
}
