//! Backward from a saved output: its declared error, special values, and the same bits at every
//! level, length, alignment, block size and number of threads, in place or not.

use crate::common::*;
use nonlin::{Error, Exec, Function, bf16, f16, functions};
use nonlin_testkit::samples::{half_patterns, uniform};
use nonlin_testkit::ulp::Format;

/// The functions that have it.
fn have() -> Vec<&'static Function> {
    let have: Vec<_> =
        functions().iter().copied().filter(|f| f.claims().from_output.is_some()).collect();
    assert!(have.len() >= 12, "a definition has lost it");
    have
}

fn all(check: impl Fn(&mut Report, &Function)) {
    let mut r = Report::default();
    have().into_iter().for_each(|f| check(&mut r, f));
    r.finish();
}

/// The declared bounds hold for every type, and are hardly looser than they need to be.
#[test]
fn declared_error() {
    all(|r, f| {
        let (single, double) = f.claims().from_output.unwrap();
        let halves = [
            check_from_output::<f16>(r, f, &half_patterns()),
            check_from_output::<bf16>(r, f, &half_patterns()),
        ];
        let worst = check_from_output::<f32>(r, f, &inputs(f, 32, 20_000));
        let worst = halves.into_iter().fold(worst, f64::max);
        let worst64 = check_from_output::<f64>(r, f, &inputs(f, 4, 20_000));
        for (bound, worst) in [(single, worst), (double, worst64)] {
            r.need(bound - worst <= 0.5, || {
                format!("{}: {bound} units are declared, {worst} are needed", f.name())
            });
        }
    });
}

/// Parameters that are not negative.
fn grid(f: &Function) -> Vec<&'static [f64]> {
    match f.name() {
        "celu" => vec![&[1e-6], &[1e-3], &[0.1], &[0.7], &[2.0], &[10.0], &[1e3]],
        "elu" => vec![&[0.0], &[1e-3], &[0.3], &[1.9], &[1e3]],
        "leaky_relu" | "prelu" => vec![&[0.0], &[1e-30], &[0.2], &[1.0], &[3.0], &[1e4]],
        "rrelu" => vec![&[0.0, 0.0], &[0.1, 0.1], &[0.5, 4.0]],
        "softplus" => vec![&[1e-6], &[1e-3], &[0.1], &[0.7], &[2.0], &[20.0], &[1e4]],
        _ => vec![],
    }
}

#[test]
fn declared_error_with_other_parameters() {
    all(|r, f| {
        let grid = grid(f);
        assert_eq!(grid.is_empty(), f.params().count() == 0, "declare parameters for {}", f.name());
        for values in grid {
            let g = f.with_values(values).unwrap();
            print!("{values:?} ");
            check_from_output::<f32>(r, &g, &inputs(f, 8, 2000));
            check_from_output::<f64>(r, &g, &inputs(f, 1, 2000));
            check_from_output::<bf16>(r, &g, &half_patterns());
        }
    });
}

fn special<T: Number>(r: &mut Report, f: &Function) {
    let number = T::round;
    let nan = T::nearest(f64::NAN);
    let name = |what: &str| format!("{} {} {what}", f.name(), T::NAME_OF);
    for level in levels() {
        let exec = at(level);
        for n in [1, 5, 17, 33] {
            for i in 0..n {
                let (mut y, mut g) = (vec![number(0.25); n], vec![number(1.0); n]);
                y[i] = nan;
                let dx = from_output(&exec, f, &y, &g);
                y[i] = number(0.25);
                g[i] = nan;
                let dg = from_output(&exec, f, &y, &g);
                for (what, d) in [("output", dx), ("gradient", dg)] {
                    let other = (0..n).find(|&j| Format::is_nan(d[j]) != (j == i));
                    r.need(other.is_none(), || {
                        format!("{}: a NaN {what} at {i} of {n}: {d:?}", name("NaN"))
                    });
                }
            }
        }
        let c = f.claims();
        for (limit, slope) in [(c.limits.0, c.slope_limits.0), (c.limits.1, c.slope_limits.1)] {
            let y = forward(
                &exec,
                f,
                &[number(if limit == c.limits.0 { -1.0 } else { 1.0 } * f64::INFINITY)],
            );
            let d = from_output(&exec, f, &y, &[number(1.0)])[0];
            r.need((d.wide() - slope).abs() <= f.from_output_error::<T>().unwrap(), || {
                format!("{} {level}: {d:?} at {y:?}, not {slope}", name("limit"))
            });
        }
        // Zeros of both signs are one output.
        let zeros = [number(0.0), number(-0.0)];
        let d = from_output(&exec, f, &zeros, &[number(1.0); 2]);
        r.need(d[0] == d[1], || format!("{} {level}: {d:?}", name("zeros")));
    }
}

#[test]
fn special_values() {
    all(|r, f| {
        special::<f32>(r, f);
        special::<f64>(r, f);
        special::<f16>(r, f);
        special::<bf16>(r, f);
    });
}

/// Outputs of `f` and gradients.
fn arrays<T: Number>(f: &Function, n: u64) -> (Vec<T>, Vec<T>) {
    let x = uniform::<T>(-9.0, 9.0, n, 3);
    (forward(&Exec::new(), f, &x), uniform::<T>(-3.0, 3.0, n, 9))
}

fn every_way<T: Number>(r: &mut Report, f: &Function) {
    let (y, g) = arrays::<T>(f, 67);
    let mut first: Option<Vec<T>> = None;
    for level in levels() {
        let exec = at(level);
        let one: Vec<T> =
            (0..y.len()).map(|i| from_output(&exec, f, &y[i..=i], &g[i..=i])[0]).collect();
        // The slopes, and so the products, need no fused operation: the baseline gives the same.
        // Those over `exp_m1` do.
        if level.fused() || !["softplus", "log_sigmoid"].contains(&f.name()) {
            let want = first.get_or_insert_with(|| one.clone());
            let i = first_difference(want, &one);
            r.need(i.is_none(), || {
                format!("{} {} {level}: {:?}", f.name(), T::NAME_OF, i.map(|i| (y[i], one[i])))
            });
        }
        let name = |what: &str| format!("{} {} {level} {what}", f.name(), T::NAME_OF);
        // `check_lengths` hands out the start of `y`, so that gradients stay with their elements.
        check_lengths(r, &name("from output"), &y, &one, |x, dx, p| {
            let g = &g[..p.len()];
            f.backward_from_output_with(&exec, &x[p.clone()], g, &mut dx[p]).unwrap();
        });
        check_lengths(r, &name("from output in place"), &y, &one, |x, dx, p| {
            dx[p.clone()].copy_from_slice(&g[..p.len()]);
            f.backward_from_output_in_place_with(&exec, &x[p.clone()], &mut dx[p]).unwrap();
        });
    }
}

#[test]
fn lengths_alignments_levels() {
    all(|r, f| {
        every_way::<f32>(r, f);
        every_way::<f64>(r, f);
        every_way::<f16>(r, f);
        every_way::<bf16>(r, f);
    });
}

fn carried_out<T: Number>(r: &mut Report, f: &Function) {
    let (y, g) = arrays::<T>(f, 9001);
    let want = from_output(&Exec::new(), f, &y, &g);
    let ways = [1, 7, 1000].map(|b| Exec::new().block(b));
    let mut ways: Vec<Exec> = ways.into_iter().chain([Exec::new().stream_from(0)]).collect();
    ways.extend(levels().into_iter().filter(|l| l.fused()).map(|l| at(l).stream_from(0)));
    #[cfg(feature = "rayon")]
    ways.push(Exec::new().block(100).parallel());
    for exec in ways {
        let got = from_output(&exec, f, &y, &g);
        let i = first_difference(&want, &got);
        r.need(i.is_none(), || format!("{} {} {exec:?}: {i:?}", f.name(), T::NAME_OF));
    }
}

#[test]
fn blocks_threads_streams() {
    all(|r, f| {
        carried_out::<f32>(r, f);
        carried_out::<f64>(r, f);
        carried_out::<f16>(r, f);
        carried_out::<bf16>(r, f);
    });
}

/// One rounding of the product of gradient and slope.
#[test]
fn times_the_gradient() {
    all(|r, f| {
        let (y, g) = arrays::<f32>(f, 1000);
        let slope = from_output(&Exec::new(), f, &y, &[1.0; 1000]);
        let dx = from_output(&Exec::new(), f, &y, &g);
        for i in 0..1000 {
            r.need(dx[i] == g[i] * slope[i], || format!("{} at {}", f.name(), y[i]));
        }
    });
}

/// The others say so.
#[test]
fn functions_without() {
    for f in functions().iter().copied().filter(|f| f.claims().from_output.is_none()) {
        let mut dx = [0.0f64];
        let error = f.backward_from_output_with(&Exec::new(), &[0.5], &[1.0], &mut dx);
        assert_eq!(error, Err(Error::NotFromOutput { function: f.name().to_owned().into() }));
        assert_eq!(f.from_output_error::<f64>(), None);
    }
}
