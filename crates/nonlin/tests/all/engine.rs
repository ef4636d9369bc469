//! The block engine: a program that was recorded has the bits of compiled kernels, at every level, of
//! every type, wherever an array begins and ends.

use crate::common::*;
use nonlin::internal::{wide_backward, wide_forward, wide_gated};
use nonlin::real::Interval;
use nonlin::{Elementwise, Exec, Function, Gate, Gated, GatedFunction, Level, bf16, f16};
use nonlin_testkit::samples::{mixed, uniform};

/// The function of a definition as programs.
fn recorded<A: Elementwise>() -> Function {
    Function::record_definition::<A>().expect("no definition is as long as that")
}

/// This function with defaults, and with two other sets of parameters.
fn with_parameters(f: &Function) -> Vec<Function> {
    let mut all = vec![f.clone()];
    for shift in [0.35, -0.5] {
        let mut p: Vec<f64> = f.params().map(|(p, v)| (v + shift).clamp(p.low, p.high)).collect();
        p.sort_by(f64::total_cmp);
        all.extend(f.with_values(&p));
    }
    all.truncate(if f.params().len() > 0 { 3 } else { 1 });
    all
}

/// Inputs of all kinds, ordinary ones most of them.
fn inputs<T: Number>(n: u64) -> Vec<T> {
    let mut x = uniform::<T>(-12.0, 12.0, n / 2, 3);
    x.extend(uniform::<T>(-T::BEND, T::BEND, n / 4, 4));
    x.extend(mixed::<T>(1, &[0.0, 1.0, -1.0], 2, 5).into_iter().step_by(3).take(n as usize / 4));
    let special = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 3.0, -3.0, 1e300, -1e300];
    x.extend(special.map(T::round));
    x
}

/// Gradients of all sizes.
fn gradients<T: Number>(n: usize) -> Vec<T> {
    (0..n).map(|i| T::round(T::GRADIENTS[i * 5 % T::GRADIENTS.len()])).collect()
}

fn differs<T: Number>(
    r: &mut Report,
    what: &str,
    level: Level,
    f: &Function,
    x: &[T],
    got: &[T],
    wanted: &[T],
) {
    let i = first_difference(got, wanted);
    r.need(i.is_none(), || {
        let (i, format) = (i.unwrap(), T::NAME_OF);
        format!(
            "{f:?} {what} {format} {level} at {:?}: {:?}, compiled {:?}",
            x[i], got[i], wanted[i]
        )
    });
}

/// All of an array at once.
fn whole<A: Elementwise>(r: &mut Report) {
    for f in with_parameters(&recorded::<A>()) {
        let compiled = of::<A>().with_values(f.values()).unwrap();
        for level in levels() {
            let x = inputs::<f32>(3000);
            let g = gradients::<f32>(x.len());
            let (mut y, mut wanted) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            f.forward_with(&at(level), &x, &mut y);
            wide_forward::<A>(level, f.values(), &x, &mut wanted);
            differs(r, "forward", level, &f, &x, &y, &wanted);
            f.backward_with(&at(level), &x, &g, &mut y);
            wide_backward::<A>(level, f.values(), &x, &g, &mut wanted);
            differs(r, "backward", level, &f, &x, &y, &wanted);

            let x = inputs::<f64>(3000);
            let g = gradients::<f64>(x.len());
            let (mut y, mut wanted) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            f.forward_with(&at(level), &x, &mut y);
            compiled.forward_with(&at(level), &x, &mut wanted);
            differs(r, "forward", level, &f, &x, &y, &wanted);
            f.backward_with(&at(level), &x, &g, &mut y);
            compiled.backward_with(&at(level), &x, &g, &mut wanted);
            differs(r, "backward", level, &f, &x, &y, &wanted);
            f.derivative_with(&at(level), &x, &mut y);
            compiled.derivative_with(&at(level), &x, &mut wanted);
            differs(r, "derivative", level, &f, &x, &y, &wanted);
            let from = f.backward_from_output_with(&at(level), &x, &g, &mut y);
            let also = compiled.backward_from_output_with(&at(level), &x, &g, &mut wanted);
            r.need(from == also, || format!("{f:?}: from output {from:?}, compiled {also:?}"));
            if from.is_ok() {
                differs(r, "backward from output", level, &f, &x, &y, &wanted);
            }
        }
    }
}

#[test]
fn programs_have_the_bits_of_compiled_kernels() {
    let mut r = Report::default();
    each_definition!(whole(&mut r));
    r.finish();
}

/// What is computed one number at a time.
fn scalars<A: Elementwise>(r: &mut Report) {
    for f in with_parameters(&recorded::<A>()) {
        let compiled = of::<A>().with_values(f.values()).unwrap();
        for x in inputs::<f64>(400) {
            let text = |f: &Function| {
                let mut gradient = vec![0.0; f.params().len()];
                f.parameter_gradient(x, &mut gradient);
                let (second, third) = (f.curvature(x), f.curvature(x as f32));
                let bounds = f.bounds(Interval::new(x - 0.5, x + 0.25));
                let reference = (f.reference(x), f.backward_reference(x, 1e-300));
                let correct = f.correct(x as f32);
                format!("{gradient:?} {second:?} {third:?} {bounds:?} {reference:?} {correct:?}")
            };
            let (got, wanted) = (text(&f), text(&compiled));
            r.need(got == wanted, || format!("{f:?} at {x:?}: {got}, compiled {wanted}"));
        }
        let (a, b) = (f.traced(), compiled.traced());
        r.need(a == b, || format!("{f:?} computes {a}, compiled {b}"));
    }
}

#[test]
fn programs_have_the_references_of_definitions() {
    let mut r = Report::default();
    each_definition!(scalars(&mut r));
    r.finish();
}

/// Every length and place of an array: what a number becomes does not depend on its neighbours, nothing
/// else is written, and the output may be an input.
fn lengths<T: Number>(r: &mut Report, f: &Function) {
    let (room, guard) = (1100, T::round(77.0));
    let x: Vec<T> = inputs::<T>(2400).into_iter().cycle().step_by(2).take(1300).collect();
    let g = gradients::<T>(x.len());
    for level in levels() {
        let exec = at(level);
        let (mut y, mut dx) = (x.clone(), x.clone());
        f.forward_with(&exec, &x, &mut y);
        f.backward_with(&exec, &x, &g, &mut dx);
        let lengths = (0..70).chain([127, 128, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025]);
        for (k, n) in lengths.enumerate() {
            let from = k * 7 % (x.len() - n);
            let (x, g) = (&x[from..from + n], &g[from..from + n]);
            let mut out = vec![guard; room + 8];
            let to = k % 5;
            for back in [false, true] {
                let wanted = if back { &dx } else { &y };
                let run = |out: &mut [T]| match back {
                    false => f.forward_with(&exec, x, out),
                    true => f.backward_with(&exec, x, g, out),
                };
                out.fill(guard);
                run(&mut out[to..to + n]);
                let inside = first_difference(&out[to..to + n], &wanted[from..from + n]).is_none();
                let outside = out[..to].iter().chain(&out[to + n..]).all(|v| same(*v, guard));
                r.need(inside && outside, || {
                    let format = T::NAME_OF;
                    format!("{f:?} {format} {level}, {n} from {from} to {to}, backward {back}: {inside} {outside}")
                });
                let mut place = if back { g.to_vec() } else { x.to_vec() };
                match back {
                    false => f.forward_in_place_with(&exec, &mut place),
                    true => f.backward_in_place_with(&exec, x, &mut place),
                }
                let inside = first_difference(&place, &wanted[from..from + n]).is_none();
                r.need(inside, || {
                    format!("{f:?} {} {level} in place, {n} from {from}", T::NAME_OF)
                });
            }
        }
    }
}

fn all_lengths<A: Elementwise>(r: &mut Report) {
    let f = recorded::<A>();
    lengths::<f32>(r, &f);
    lengths::<f64>(r, &f);
    lengths::<f16>(r, &f);
    lengths::<bf16>(r, &f);
}

#[test]
fn any_length_and_place() {
    let mut r = Report::default();
    all_lengths::<nonlin::Silu>(&mut r);
    all_lengths::<nonlin::Softplus>(&mut r);
    all_lengths::<nonlin::Elu>(&mut r);
    all_lengths::<nonlin::HardSigmoid>(&mut r);
    all_lengths::<nonlin::Identity>(&mut r);
    r.finish();
}

/// Half types are f32 rounded once more; blocks and threads change nothing.
#[test]
fn other_types_and_threads() {
    let mut r = Report::default();
    let f = recorded::<nonlin::GeluTanh>();
    let x: Vec<f16> = inputs(9000);
    let wide: Vec<f32> = x.iter().map(|v| v.to_f32()).collect();
    let (mut y, mut exact) = (vec![f16::ZERO; x.len()], vec![0.0f32; x.len()]);
    f.forward(&x, &mut y);
    f.forward(&wide, &mut exact);
    let rounded: Vec<f16> = exact.iter().map(|v| f16::from_f32(*v)).collect();
    r.need(first_difference(&y, &rounded).is_none(), || "f16 is not f32 rounded".into());
    let x: Vec<f32> = inputs(200_000);
    let (mut one, mut many) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    f.forward(&x, &mut one);
    let mut ways = vec![Exec::new().block(97), Exec::new().stream_from(0)];
    #[cfg(feature = "rayon")]
    ways.push(Exec::new().block(1000).parallel());
    ways.push(Exec::new().block(5000));
    for exec in ways {
        f.forward_with(&exec, &x, &mut many);
        r.need(first_difference(&one, &many).is_none(), || format!("{exec:?} has other bits"));
    }
    r.finish();
}

fn gated<G: Gated>(r: &mut Report) {
    let f = GatedFunction::record_definition::<G>().expect("no definition is as long as that");
    let compiled = nonlin::gated(G::META.name).unwrap();
    assert_eq!(f.gate(), compiled.gate());
    for level in levels() {
        fn run<T: Number>(
            r: &mut Report,
            level: Level,
            f: &GatedFunction,
            wanted: impl FnOnce(&[T], &[T], &[T], [&mut [T]; 3]),
        ) {
            let a: Vec<T> = inputs(2500);
            let (mut b, n) = (a.clone(), a.len());
            b.rotate_left(1234);
            let g = gradients::<T>(n);
            let zero = || vec![T::round(0.0); n];
            let (mut y, mut da, mut db) = (zero(), zero(), zero());
            let (mut want, mut want_a, mut want_b) = (zero(), zero(), zero());
            f.forward_with(&at(level), &a, &b, &mut y);
            f.backward_with(&at(level), &a, &b, &g, &mut da, &mut db);
            wanted(&a, &b, &g, [&mut want, &mut want_a, &mut want_b]);
            for (what, got, wanted) in
                [("value", y, want), ("by a", da, want_a), ("by b", db, want_b)]
            {
                let i = first_difference(&got, &wanted);
                r.need(i.is_none(), || {
                    let (i, format) = (i.unwrap(), T::NAME_OF);
                    let (a, b, g) = (a[i], b[i], g[i]);
                    let (got, wanted) = (got[i], wanted[i]);
                    format!("{f:?} {what} {format} {level} at {a:?} {b:?} {g:?}: {got:?}, compiled {wanted:?}")
                });
            }
        }
        run::<f32>(r, level, &f, |a, b, g, [y, da, db]| match f.gate() {
            Gate::First => wide_gated::<G>(level, [a, b, g], [y, da, db]),
            Gate::Second => wide_gated::<G>(level, [b, a, g], [y, db, da]),
        });
        run::<f64>(r, level, &f, |a, b, g, [y, da, db]| {
            compiled.forward_with(&at(level), a, b, y);
            compiled.backward_with(&at(level), a, b, g, da, db);
        });
    }
}

#[test]
fn gated_programs_have_the_bits_of_compiled_kernels() {
    let mut r = Report::default();
    each_gated!(gated(&mut r));
    r.finish();
}
