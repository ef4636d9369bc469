//! The same bits at every fused level, block size, length, alignment and thread count; scalars
//! and slices, in place or not.

use crate::common::*;
use core::mem::MaybeUninit;
use nonlin::{Exec, Function, bf16, f16, functions, gated_functions};
use nonlin_testkit::samples::{half_patterns, uniform};
use nonlin_testkit::ulp::ulp_error;

fn all(check: impl Fn(&mut Report, &Function)) {
    let mut r = Report::default();
    functions().iter().for_each(|f| check(&mut r, f));
    r.finish();
}

fn gradients<T: Number>(n: usize) -> Vec<T> {
    uniform::<T>(-3.0, 3.0, n as u64, 9)
}

fn backward<T: Number>(exec: &Exec, f: &Function, x: &[T]) -> Vec<T> {
    let mut dx = vec![T::default(); x.len()];
    f.backward_with(exec, x, &gradients(x.len()), &mut dx);
    dx
}

fn levels_agree<T: Number>(r: &mut Report, f: &Function, xs: Vec<T>) {
    let mut first = None;
    for level in fused_levels() {
        let exec = at(level);
        let now = [forward(&exec, f, &xs), derivative(&exec, f, &xs), backward(&exec, f, &xs)];
        let Some((name, before)) = &first else {
            first = Some((level, now));
            continue;
        };
        for (what, (a, b)) in ["value", "slope", "backward"].iter().zip(before.iter().zip(&now)) {
            let i = first_difference(a, b);
            r.need(i.is_none(), || {
                let i = i.unwrap();
                format!(
                    "{} {} {what} at {:?}: {name} {:?}, {level} {:?}",
                    f.name(),
                    T::NAME_OF,
                    xs[i],
                    a[i],
                    b[i]
                )
            });
        }
    }
}

#[test]
fn every_fused_level() {
    all(|r, f| {
        levels_agree::<f32>(r, f, inputs(f, 64, 20_000));
        levels_agree::<f64>(r, f, inputs(f, 8, 20_000));
        levels_agree::<f16>(r, f, half_patterns());
        levels_agree::<bf16>(r, f, half_patterns());
    });
}

fn gated_levels_agree<T: Number>(r: &mut Report, u: &nonlin::GatedFunction, a: &[T]) {
    let (b, g) = (uniform::<T>(-9.0, 9.0, a.len() as u64, 3), gradients::<T>(a.len()));
    let mut first: Option<(_, [Vec<T>; 3])> = None;
    for level in fused_levels() {
        let exec = at(level);
        let mut now: [Vec<T>; 3] = core::array::from_fn(|_| vec![T::default(); a.len()]);
        let [y, da, db] = &mut now;
        u.forward_with(&exec, a, &b, y);
        u.backward_with(&exec, a, &b, &g, da, db);
        let Some((name, before)) = &first else {
            first = Some((level, now));
            continue;
        };
        for (what, (v, w)) in ["y", "da", "db"].iter().zip(before.iter().zip(&now)) {
            let i = first_difference(v, w);
            r.need(i.is_none(), || {
                let i = i.unwrap();
                format!(
                    "{} {} {what} at {:?}, {:?}: {name} {:?}, {level} {:?}",
                    u.name(),
                    T::NAME_OF,
                    a[i],
                    b[i],
                    v[i],
                    w[i]
                )
            });
        }
    }
}

/// Both operands: where value and slope read tables, each must find its own pieces.
#[test]
fn every_fused_level_of_gated_units() {
    let mut r = Report::default();
    for u in gated_functions() {
        gated_levels_agree(&mut r, u, &uniform::<f32>(-20.0, 20.0, 20_000, 5));
        gated_levels_agree(&mut r, u, &uniform::<f64>(-20.0, 20.0, 5_000, 5));
        gated_levels_agree::<f16>(&mut r, u, &half_patterns());
        gated_levels_agree::<bf16>(&mut r, u, &half_patterns());
    }
    r.finish();
}

#[test]
fn scalars_and_slices() {
    all(|r, f| {
        check_scalar(r, f, &inputs::<f32>(f, 2, 500));
        check_scalar(r, f, &inputs::<f64>(f, 1, 500));
        check_scalar(r, f, &uniform::<f16>(-9.0, 9.0, 500, 1));
        check_scalar(r, f, &uniform::<bf16>(-9.0, 9.0, 500, 1));
    });
}

/// Runs a call on element `i` alone.
type F32Plain<'f, T> = &'f dyn Fn(usize, &[T], &mut [T]);

fn lengths<T: Number>(r: &mut Report, f: &Function) {
    let source = uniform::<T>(-9.0, 9.0, 67, 3);
    let g = gradients::<T>(200);
    for level in levels() {
        let exec = at(level);
        // One element at a time, in a register of its own.
        let one = |run: F32Plain<'_, T>| -> Vec<T> {
            source
                .iter()
                .enumerate()
                .map(|(i, x)| {
                    let mut y = [T::default()];
                    run(i, &[*x], &mut y);
                    y[0]
                })
                .collect()
        };
        let value = one(&|_, x, y| f.forward_with(&exec, x, y));
        let slope = one(&|_, x, y| f.derivative_with(&exec, x, y));
        let back = one(&|i, x, y| f.backward_with(&exec, x, &g[i..=i], y));
        let name = |what: &str| format!("{} {} {level} {what}", f.name(), T::NAME_OF);
        check_lengths(r, &name("forward"), &source, &value, |x, y, p| {
            f.forward_with(&exec, &x[p.clone()], &mut y[p])
        });
        check_lengths(r, &name("forward_in_place"), &source, &value, |x, y, p| {
            y[p.clone()].copy_from_slice(&x[p.clone()]);
            f.forward_in_place_with(&exec, &mut y[p]);
        });
        check_lengths(r, &name("forward_uninit"), &source, &value, |x, y, p| {
            let mut raw = vec![MaybeUninit::uninit(); p.len()];
            let got = f.forward_uninit_with(&exec, &x[p.clone()], &mut raw);
            y[p].copy_from_slice(got);
        });
        check_lengths(r, &name("derivative"), &source, &slope, |x, y, p| {
            f.derivative_with(&exec, &x[p.clone()], &mut y[p])
        });
        check_lengths(r, &name("derivative_in_place"), &source, &slope, |x, y, p| {
            y[p.clone()].copy_from_slice(&x[p.clone()]);
            f.derivative_in_place_with(&exec, &mut y[p]);
        });
        check_lengths(r, &name("backward"), &source, &back, |x, y, p| {
            f.backward_with(&exec, &x[p.clone()], &g[..p.len()], &mut y[p]);
        });
        check_lengths(r, &name("backward_in_place"), &source, &back, |x, y, p| {
            y[p.clone()].copy_from_slice(&g[..p.len()]);
            f.backward_in_place_with(&exec, &x[p.clone()], &mut y[p]);
        });
        let bend = one(&|_, x, y| f.second_derivative_with(&exec, x, y));
        check_lengths(r, &name("second_derivative"), &source, &bend, |x, y, p| {
            f.second_derivative_with(&exec, &x[p.clone()], &mut y[p]);
        });
        check_lengths(r, &name("second_derivative_in_place"), &source, &bend, |x, y, p| {
            y[p.clone()].copy_from_slice(&x[p.clone()]);
            f.second_derivative_in_place_with(&exec, &mut y[p]);
        });
    }
}

#[test]
fn lengths_and_alignments_f32() {
    all(lengths::<f32>);
}

#[test]
fn lengths_and_alignments_f64() {
    all(lengths::<f64>);
}

#[test]
fn lengths_and_alignments_of_halves() {
    let some = |f: &&&Function| ["gelu", "relu", "softplus", "hard_sigmoid"].contains(&f.name());
    let mut r = Report::default();
    for f in functions().iter().filter(some) {
        lengths::<f16>(&mut r, f);
        lengths::<bf16>(&mut r, f);
    }
    r.finish();
}

#[test]
fn lengths_and_alignments_of_gated_units() {
    let mut r = Report::default();
    for u in gated_functions() {
        gated_lengths::<f32>(&mut r, u);
        gated_lengths::<f64>(&mut r, u);
        gated_lengths::<f16>(&mut r, u);
        gated_lengths::<bf16>(&mut r, u);
    }
    r.finish();
}

fn gated_lengths<T: Number>(r: &mut Report, u: &nonlin::GatedFunction) {
    let source = uniform::<T>(-9.0, 9.0, 67, 3);
    let (b, g) = (gradients::<T>(200), uniform::<T>(-2.0, 2.0, 200, 4));
    for level in levels() {
        let exec = at(level);
        let mut value = Vec::new();
        let mut back: [Vec<T>; 2] = Default::default();
        for (i, &x) in source.iter().enumerate() {
            let (mut y, mut da, mut db) = ([T::default()], [T::default()], [T::default()]);
            u.forward_with(&exec, &[x], &b[i..=i], &mut y);
            u.backward_with(&exec, &[x], &b[i..=i], &g[i..=i], &mut da, &mut db);
            value.push(y[0]);
            back[0].push(da[0]);
            back[1].push(db[0]);
        }
        let name = |what: &str| format!("{} {} {level} {what}", u.name(), T::NAME_OF);
        check_lengths(r, &name("forward"), &source, &value, |x, y, p| {
            u.forward_with(&exec, &x[p.clone()], &b[..p.len()], &mut y[p]);
        });
        for (k, want) in back.iter().enumerate() {
            check_lengths(r, &name("backward"), &source, want, |x, y, p| {
                let n = p.len();
                let mut other = vec![T::default(); n];
                if k == 0 {
                    u.backward_with(&exec, &x[p.clone()], &b[..n], &g[..n], &mut y[p], &mut other);
                } else {
                    u.backward_with(&exec, &x[p.clone()], &b[..n], &g[..n], &mut other, &mut y[p]);
                }
            });
        }
    }
}

/// What stands beside an element, and takes another way, does not show in its result.
fn neighbours<T: Number>(r: &mut Report, x: Vec<T>) {
    let (b, g) = (gradients::<T>(x.len()), uniform::<T>(-2.0, 2.0, x.len() as u64, 4));
    for level in levels() {
        let exec = at(level);
        let run = |x: &[T]| {
            let mut out: Vec<(&str, &str, Vec<T>)> = Vec::new();
            for f in functions() {
                out.push((f.name(), "forward", forward(&exec, f, x)));
                out.push((f.name(), "backward", backward(&exec, f, x)));
            }
            for unit in gated_functions() {
                let u = unit.with_gate(nonlin::Gate::First);
                let mut y: [Vec<T>; 3] = core::array::from_fn(|_| vec![T::default(); x.len()]);
                let [f, da, db] = &mut y;
                u.forward_with(&exec, x, &b, f);
                u.backward_with(&exec, x, &b, &g, da, db);
                let y = ["value", "by the gate", "by the value"].into_iter().zip(y);
                out.extend(y.map(|(what, y)| (unit.name(), what, y)));
            }
            out
        };
        let want = run(&x);
        for other in [f64::NEG_INFINITY, -100.0, 100.0, f64::NAN] {
            let mut x = x.clone();
            x.iter_mut().step_by(3).for_each(|x| *x = T::round(other));
            for ((name, what, got), (_, _, want)) in run(&x).iter().zip(&want) {
                let i = (0..x.len()).find(|i| i % 3 != 0 && !same(got[*i], want[*i]));
                r.need(i.is_none(), || {
                    let i = i.unwrap();
                    format!(
                        "{name} {} {level} {what} at {:?}: {:?}, but {:?} beside {other}",
                        T::NAME_OF,
                        x[i],
                        want[i],
                        got[i]
                    )
                });
            }
        }
    }
}

#[test]
fn neighbours_do_not_show() {
    let mut r = Report::default();
    neighbours::<f32>(&mut r, uniform(-9.0, 9.0, 5000, 3));
    neighbours::<f64>(&mut r, uniform(-9.0, 9.0, 5000, 3));
    // Where two ways differ in f32, they seldom do in so few bits.
    neighbours::<f16>(&mut r, half_patterns());
    neighbours::<bf16>(&mut r, half_patterns());
    r.finish();
}

/// Nor what multiplies elements beside it, which takes another way where it is large.
fn factors<T: Number>(r: &mut Report) {
    let n = 6000;
    let x: Vec<T> = uniform(-160.0, 160.0, n, 3);
    let sized = |seed| -> Vec<T> {
        let sizes = uniform::<f64>(-130.0, 22.0, n, seed);
        let signs = uniform::<f64>(-1.0, 1.0, n, seed + 1);
        sizes.iter().zip(&signs).map(|(k, s)| T::round(k.exp2().copysign(*s))).collect()
    };
    for level in levels() {
        let exec = at(level);
        let run = |b: &[T], g: &[T]| {
            let mut out: Vec<(&str, &str, Vec<T>)> = Vec::new();
            for f in functions() {
                let mut dx = vec![T::default(); x.len()];
                f.backward_with(&exec, &x, g, &mut dx);
                out.push((f.name(), "backward", dx));
            }
            for unit in gated_functions() {
                let u = unit.with_gate(nonlin::Gate::First);
                let mut y: [Vec<T>; 3] = core::array::from_fn(|_| vec![T::default(); x.len()]);
                let [f, da, db] = &mut y;
                u.forward_with(&exec, &x, b, f);
                u.backward_with(&exec, &x, b, g, da, db);
                let y = ["value", "by the gate", "by the value"].into_iter().zip(y);
                out.extend(y.map(|(what, y)| (unit.name(), what, y)));
            }
            out
        };
        let (b, g) = (sized(5), sized(7));
        let mut large = (b.clone(), g.clone());
        large.0.iter_mut().step_by(5).for_each(|b| *b = T::round(1e30));
        large.1.iter_mut().skip(1).step_by(5).for_each(|g| *g = T::round(-1e30));
        for ((name, what, got), (_, _, want)) in run(&large.0, &large.1).iter().zip(&run(&b, &g)) {
            let i = (0..x.len()).find(|i| i % 5 > 1 && !same(got[*i], want[*i]));
            r.need(i.is_none(), || {
                let i = i.unwrap();
                format!(
                    "{name} {} {level} {what} at {:?}, {:?}, {:?}: {:?}, but {:?} beside a large factor",
                    T::NAME_OF,
                    x[i],
                    b[i],
                    g[i],
                    want[i],
                    got[i]
                )
            });
        }
    }
}

#[test]
fn large_factors_do_not_show() {
    let mut r = Report::default();
    factors::<f32>(&mut r);
    factors::<f64>(&mut r);
    factors::<f16>(&mut r);
    factors::<bf16>(&mut r);
    r.finish();
}

/// The first place where `got` is not `want` rounded: but for what is so near to the middle between
/// two numbers that it may be rounded either way, the two are one.
fn first_misrounded<T: Number>(got: &[T], want: &[f32]) -> Option<usize> {
    got.iter().zip(want).position(|(got, &want)| ulp_error(*got, f64::from(want)) > 0.501)
}

/// A half type's result is that of f32, rounded, though it has loops of its own.
fn halves_agree<T: Number>(r: &mut Report, f: &Function) {
    let x: Vec<T> = half_patterns();
    let g = uniform::<T>(-3.0, 3.0, x.len() as u64, 9);
    let wide = |v: &[T]| -> Vec<f32> { v.iter().map(|v| v.wide() as f32).collect() };
    let (x32, g32) = (wide(&x), wide(&g));
    for level in levels() {
        let exec = at(level);
        let mut check = |what: &str, got: Vec<T>, want: Vec<f32>| {
            let i = first_misrounded(&got, &want);
            r.need(i.is_none(), || {
                let i = i.unwrap();
                format!(
                    "{f:?} {} {level} {what} at {:?}: {:?}, by way of f32 {:?}",
                    T::NAME_OF,
                    x[i],
                    got[i],
                    want[i]
                )
            });
        };
        check("forward", forward(&exec, f, &x), forward(&exec, f, &x32));
        check("derivative", derivative(&exec, f, &x), derivative(&exec, f, &x32));
        let mut dx = (vec![T::default(); x.len()], vec![0.0f32; x.len()]);
        f.backward_with(&exec, &x, &g, &mut dx.0);
        f.backward_with(&exec, &x32, &g32, &mut dx.1);
        check("backward", dx.0, dx.1);
        if f.claims().from_output.is_some() {
            let mut dx = (vec![T::default(); x.len()], vec![0.0f32; x.len()]);
            let a = f.backward_from_output_with(&exec, &x, &g, &mut dx.0);
            let b = f.backward_from_output_with(&exec, &x32, &g32, &mut dx.1);
            assert_eq!(a, b);
            check("from output", dx.0, dx.1);
        }
    }
}

#[test]
fn halves_by_way_of_f32() {
    let mut r = Report::default();
    let others = [("elu", 0.5), ("leaky_relu", 0.3), ("silu", 1.702), ("hard_sigmoid", 0.2)];
    let others = others.map(|(name, v)| nonlin::get(name).unwrap().with_index(0, v).unwrap());
    for f in functions().iter().copied().chain(&others) {
        halves_agree::<f16>(&mut r, f);
        halves_agree::<bf16>(&mut r, f);
    }
    r.finish();
}

fn gated_halves_agree<T: Number>(r: &mut Report, u: &nonlin::GatedFunction) {
    let a: Vec<T> = half_patterns();
    let n = a.len();
    let (b, g) = (uniform::<T>(-9.0, 9.0, n as u64, 3), uniform::<T>(-3.0, 3.0, n as u64, 9));
    let wide = |v: &[T]| -> Vec<f32> { v.iter().map(|v| v.wide() as f32).collect() };
    let (a32, b32, g32) = (wide(&a), wide(&b), wide(&g));
    for level in levels() {
        let exec = at(level);
        let mut got: [Vec<T>; 3] = core::array::from_fn(|_| vec![T::default(); n]);
        let mut want: [Vec<f32>; 3] = core::array::from_fn(|_| vec![0.0; n]);
        let [y, da, db] = &mut got;
        u.forward_with(&exec, &a, &b, y);
        u.backward_with(&exec, &a, &b, &g, da, db);
        let [y, da, db] = &mut want;
        u.forward_with(&exec, &a32, &b32, y);
        u.backward_with(&exec, &a32, &b32, &g32, da, db);
        for (what, (got, want)) in ["y", "da", "db"].iter().zip(got.iter().zip(want)) {
            let i = first_misrounded(got, &want);
            r.need(i.is_none(), || {
                let i = i.unwrap();
                format!(
                    "{} {} {level} {what} at {:?}, {:?}: {:?}, by way of f32 {:?}",
                    u.name(),
                    T::NAME_OF,
                    a[i],
                    b[i],
                    got[i],
                    want[i]
                )
            });
        }
    }
}

#[test]
fn gated_halves_by_way_of_f32() {
    let mut r = Report::default();
    for u in gated_functions() {
        gated_halves_agree::<f16>(&mut r, u);
        gated_halves_agree::<bf16>(&mut r, u);
    }
    r.finish();
}

/// Every way to carry a call out that must not show in the result.
fn ways() -> Vec<(String, Exec)> {
    let blocks = [1, 7, 1000].map(|b| (format!("blocks of {b}"), Exec::new().block(b)));
    blocks.into_iter().chain([("default".into(), Exec::new())]).collect()
}

fn blocks_agree<T: Number>(r: &mut Report, f: &Function, n: u64) {
    let xs = uniform::<T>(-20.0, 20.0, n, 4);
    let exec = Exec::new();
    let want = [forward(&exec, f, &xs), derivative(&exec, f, &xs), backward(&exec, f, &xs)];
    let mut check = |name: &str, exec: &Exec| {
        let got = [forward(exec, f, &xs), derivative(exec, f, &xs), backward(exec, f, &xs)];
        for (a, b) in want.iter().zip(&got) {
            let i = first_difference(a, b);
            r.need(i.is_none(), || {
                format!("{} {} {name}: differs at element {}", f.name(), T::NAME_OF, i.unwrap())
            });
        }
    };
    for (name, exec) in ways() {
        check(&name, &exec);
        #[cfg(feature = "rayon")]
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| check(&format!("{name}, {threads} threads"), &exec.parallel()));
        }
    }
    #[cfg(not(feature = "rayon"))]
    println!("SKIPPED threads: the feature rayon is off");
}

#[test]
fn blocks_and_threads() {
    all(|r, f| {
        blocks_agree::<f32>(r, f, 3001);
        blocks_agree::<f64>(r, f, 2003);
        blocks_agree::<f16>(r, f, 2003);
        blocks_agree::<bf16>(r, f, 1);
    });
    let mut r = Report::default();
    blocks_agree::<f32>(&mut r, &nonlin::Function::from(nonlin::Gelu), 100_003);
    r.finish();
}

/// The methods of the trait are those of a plain `Exec`.
#[test]
fn methods_and_exec() {
    all(|r, f| {
        let x = uniform::<f32>(-9.0, 9.0, 100, 6);
        let g = gradients::<f32>(100);
        let exec = Exec::new();
        let mut y = vec![0.0; 100];
        let mut same = |what: &str, got: &[f32], want: Vec<f32>| {
            r.need(first_difference(got, &want).is_none(), || format!("{} {what}", f.name()));
        };
        f.forward(&x, &mut y);
        same("forward", &y, forward(&exec, f, &x));
        f.derivative(&x, &mut y);
        same("derivative", &y, derivative(&exec, f, &x));
        f.backward(&x, &g, &mut y);
        same("backward", &y, backward(&exec, f, &x));
        let mut in_place = x.clone();
        f.forward_in_place(&mut in_place);
        same("forward_in_place", &in_place, forward(&exec, f, &x));
        let mut in_place = x.clone();
        f.derivative_in_place(&mut in_place);
        same("derivative_in_place", &in_place, derivative(&exec, f, &x));
        let mut in_place = g.clone();
        f.backward_in_place(&x, &mut in_place);
        same("backward_in_place", &in_place, backward(&exec, f, &x));
        let mut raw = vec![MaybeUninit::uninit(); 100];
        same("forward_uninit", f.forward_uninit(&x, &mut raw), forward(&exec, f, &x));
        let bend: Vec<f32> = x.iter().map(|x| f.curvature(*x)).collect();
        f.second_derivative(&x, &mut y);
        same("second_derivative", &y, bend.clone());
        let mut in_place = x.clone();
        f.second_derivative_in_place(&mut in_place);
        same("second_derivative_in_place", &in_place, bend);
    });
}

fn streams_agree<T: Number>(r: &mut Report, level: nonlin::Level) {
    let (ordinary, streaming) = (at(level).stream_from(usize::MAX), at(level).stream_from(0));
    for n in [0, 1, 5, 31, 1000, 9001] {
        let x: Vec<T> = uniform::<T>(-9.0, 9.0, n + 3, 4);
        for start in [0, 1, 3] {
            let (x, g) = (&x[start..start + n as usize], gradients::<T>(n as usize));
            // The output starts at every distance from a line of the cache.
            for skip in 0..3 {
                let run = |exec: &Exec, f: &Function| {
                    let mut y = vec![T::default(); x.len() + skip];
                    f.forward_with(exec, x, &mut y[skip..]);
                    let mut dx = vec![T::default(); x.len() + skip];
                    f.backward_with(exec, x, &g, &mut dx[skip..]);
                    (y, dx)
                };
                for f in ["relu", "tanh", "silu"].map(|name| nonlin::get(name).unwrap()) {
                    r.need(run(&ordinary, &f) == run(&streaming, &f), || {
                        format!("{} {} {level}: {n} from {start}, {skip}", f.name(), T::NAME_OF)
                    });
                }
                let gated = |exec: &Exec| {
                    let mut y = vec![T::default(); x.len() + skip];
                    let reglu = nonlin::gated("reglu").unwrap();
                    reglu.forward_with(exec, x, &g, &mut y[skip..]);
                    y
                };
                r.need(gated(&ordinary) == gated(&streaming), || {
                    format!("reglu {} {level}: {n} from {start}, {skip}", T::NAME_OF)
                });
            }
        }
    }
}

#[test]
fn stores_past_the_caches() {
    let mut r = Report::default();
    for level in levels() {
        streams_agree::<f32>(&mut r, level);
        streams_agree::<f64>(&mut r, level);
        streams_agree::<f16>(&mut r, level);
        streams_agree::<bf16>(&mut r, level);
    }
    r.finish();
}
