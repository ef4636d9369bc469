//! Gated units against double-double numbers; gate positions, packed layouts, levels, blocks.

use crate::common::*;
use nonlin::real::{Dd, Jet, Prim, Real};
use nonlin::{Exec, Gate, GatedFunction, Layout, bf16, f16, gated, gated_functions};
use nonlin_testkit::samples::{specials, stratified, uniform};
use nonlin_testkit::ulp::{Format, ulp_error};

/// `f`, `df/da`, `df/db` and `2^k`, the factor of `f` and of both derivatives that comes last:
/// the gate alone may be too small for f64.
struct Exact {
    value: Dd,
    partials: [Dd; 2],
    k: Dd,
    /// A zero of the slope of the gate is near.
    near_zero: bool,
    /// The gate is below 2^-2015, where kernels leave off: for them it is that small at -inf, too.
    closed: bool,
}

/// The unit `u` with its usual gate, from the textbook.
fn exact(u: &str, a: f64, b: f64) -> Exact {
    let (x, y) = (Dd::new(a), Dd::new(b));
    let zero = Dd::new(0.0);
    let plain = |value, da, db| Exact {
        value,
        partials: [da, db],
        k: zero,
        near_zero: false,
        closed: false,
    };
    // x g(x) y for a gate g, whose slope is g + x g'.
    let self_gated = |j: Jet<Dd>, at: f64, closed: f64| {
        let own = x.max(Dd::new(-1e6)); // below, the gate is 0 to any precision that f64 has
        let w = own.min(Dd::new(1e6));
        let half = Dd::new((j.k.hi / 2.0).trunc());
        Exact {
            value: (own * j.v).scale2(half) * y,
            partials: [(j.v + w * j.d).scale2(half) * y, (own * j.v).scale2(half)],
            k: j.k - half,
            near_zero: (a - at).abs() <= 0.5,
            closed: a < closed,
        }
    };
    let gated_by_b = |v: Dd, d: Dd| {
        let (j, slope) = (y.jet(Prim::Sigmoid), y.slope_jet(Prim::Sigmoid));
        // Half of what would overflow before the power of two makes it small.
        let (half, k) = if v.hi.abs() > 1e300 { (0.5, 1.0) } else { (1.0, 0.0) };
        let (v, d) = (v * Dd::new(half), d * Dd::new(half));
        Exact {
            value: v * j.v,
            partials: [d * j.v, (v * slope.d).scale2(slope.k - j.k)],
            k: j.k + Dd::new(k),
            near_zero: false,
            closed: false,
        }
    };
    let positive = if a > 0.0 { Dd::new(1.0) } else { zero };
    match u {
        "bilinear" => plain(x * y, y, x),
        "reglu" => plain(x.max(zero) * y, positive * y, x.max(zero)),
        "swiglu" => self_gated(x.jet(Prim::Sigmoid), -1.278_464_542_761_074, -1400.0),
        "geglu" => self_gated(x.jet(Prim::Cdf), -0.751_791_524_693_564_5, -52.5),
        "glu" => gated_by_b(x, Dd::new(1.0)),
        "relu_glu" => gated_by_b(x.max(zero), positive),
        other => panic!("write the formula of {other}"),
    }
}

impl Exact {
    /// The error of `got` in ULP of `part 2^k`.
    fn error<T: Number>(&self, got: T, part: Dd) -> f64 {
        // In two steps: a product of a large number and a gate below 2^-1074 is a normal number.
        let half = Dd::new((self.k.hi / 2.0).trunc());
        let v = part.scale2(half).scale2(Dd::new(self.k.hi - half.hi));
        // Where f64 itself is subnormal the second part is not exact.
        let tiny = v.hi.abs() < f64::MIN_POSITIVE * 4.0;
        ulp_error(got, if tiny { (v.hi, 0.0) } else { pair(v) })
    }
}

fn some<T: Number>(per_exponent: u64, dense: u64) -> Vec<T> {
    let mut x = stratified::<T>(per_exponent, 1);
    // Every eighth exponent of f64 is enough in two dimensions.
    if T::BITS == 64 {
        x = x.chunks(2 * per_exponent as usize).step_by(29).flatten().copied().collect();
    }
    x.extend(specials::<T>().into_iter().filter(|v| !Format::is_nan(*v) && v.wide().is_finite()));
    x.extend(uniform::<T>(-6.0, 6.0, dense, 2));
    x.extend(uniform::<T>(-T::BEND, T::BEND, dense, 3));
    x
}

fn accuracy<T: Number>(value_bound: f64, partial_bound: f64) {
    let mut r = Report::default();
    let (first, second) = (some::<T>(1, 150), some::<T>(1, 30));
    for u in gated_functions() {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for x in &first {
            for y in second.iter().step_by(7) {
                a.extend([*x, *y]);
                b.extend([*y, *x]);
            }
        }
        let ones = vec![T::round(1.0); a.len()];
        let wants: Vec<Exact> =
            a.iter().zip(&b).map(|(a, b)| exact(u.name(), a.wide(), b.wide())).collect();
        for level in levels() {
            let mut y = vec![T::default(); a.len()];
            let (mut da, mut db) = (y.clone(), y.clone());
            u.forward_with(&at(level), &a, &b, &mut y);
            u.backward_with(&at(level), &a, &b, &ones, &mut da, &mut db);
            let mut worst = [0.0f64; 3];
            for i in 0..a.len() {
                let want = &wants[i];
                let near = |got: T| {
                    let off = (got.wide() - want.partials[0].hi).abs();
                    want.near_zero && off <= T::NEAR_ZERO * b[i].wide().abs()
                };
                for (k, (got, part, bound)) in [
                    (y[i], want.value, value_bound),
                    (da[i], want.partials[0], partial_bound),
                    (db[i], want.partials[1], partial_bound),
                ]
                .into_iter()
                .enumerate()
                {
                    if k == 1 && near(got) {
                        continue;
                    }
                    if want.closed && b[i].wide().abs() > 1e265 {
                        // The product of a closed gate and a huge value is not quite 0 in f64.
                        r.need(got.wide().abs() <= 1e-280, || {
                            format!("{}: {got:?} at ({:?}, {:?})", u.name(), a[i], b[i])
                        });
                        continue;
                    }
                    let e = want.error(got, part);
                    worst[k] = worst[k].max(e);
                    r.need(e <= bound, || {
                        let what = ["f", "df/da", "df/db"][k];
                        format!(
                            "{} {} {level}: {what} at ({:e}, {:e}) is {:e}, not {:e} 2^{}: {e} ULP",
                            u.name(),
                            T::NAME_OF,
                            a[i].wide(),
                            b[i].wide(),
                            got.wide(),
                            part.hi,
                            want.k.hi
                        )
                    });
                }
            }
            println!(
                "{:9} {:4} {level:9} {worst:.4?} ULP of {} pairs",
                u.name(),
                T::NAME_OF,
                a.len()
            );
        }
    }
    r.finish();
}

#[test]
fn single() {
    accuracy::<f32>(2.5, 4.5);
}

#[test]
fn double() {
    accuracy::<f64>(2.5, 4.5);
}

#[test]
fn halves() {
    accuracy::<f16>(0.501, 0.501);
    accuracy::<bf16>(0.501, 0.501);
}

/// `grad` times the derivatives, where neither the product nor `grad` times the value leaves the
/// range: the derivative alone may be subnormal, or 0.
fn gradients<T: Number>(bound: f64) {
    let mut r = Report::default();
    let (first, second) = (some::<T>(1, 60), some::<T>(1, 12));
    for u in gated_functions() {
        for &g in T::GRADIENTS.iter().filter(|g| **g != 1.0) {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            for x in &first {
                for y in
                    second.iter().step_by(7).filter(|y| T::round(g * y.wide()).wide().is_finite())
                {
                    a.extend([*x, *y]);
                    b.extend([*y, *x]);
                }
            }
            let grad = vec![T::round(g); a.len()];
            let (mut da, mut db) = (grad.clone(), grad.clone());
            let mut small = 0;
            for level in levels() {
                u.backward_with(&at(level), &a, &b, &grad, &mut da, &mut db);
                for i in 0..a.len() {
                    let (x, y, g) = (a[i].wide(), b[i].wide(), grad[i].wide());
                    let other = if u.gate() == Gate::First { y } else { x };
                    let want = exact(u.name(), x, y);
                    for (k, got) in [da[i], db[i]].into_iter().enumerate() {
                        let part = want.partials[k];
                        let product = part * Dd::new(g);
                        let half = product.scale2(Dd::new((want.k.hi / 2.0).trunc()));
                        let kept = |v: f64| v.abs() > 1e-270 && v.abs() < 1e300;
                        let own = (g * other).abs() <= T::largest().wide();
                        if want.near_zero
                            || !own
                            || ![part.hi, product.hi, half.hi].into_iter().all(kept)
                        {
                            continue;
                        }
                        small += usize::from(want.error(T::round(0.0), part) < 1e6);
                        let e = want.error(got, product);
                        r.need(e <= bound, || {
                            format!(
                                "{} {} {level}: {} at ({x:e}, {y:e}) is {:e}, not {:e} 2^{}: {e} ULP",
                                u.name(),
                                T::NAME_OF,
                                ["df/da", "df/db"][k],
                                got.wide(),
                                product.hi,
                                want.k.hi
                            )
                        });
                    }
                }
            }
            println!("{:9} {:4} {g:e}: {small} derivatives were tiny", u.name(), T::NAME_OF);
        }
    }
    r.finish();
}

#[test]
fn gradients_of_all_sizes() {
    gradients::<f32>(4.5);
    gradients::<f64>(4.5);
    gradients::<bf16>(0.502);
}

/// The library's own reference agrees with the textbook where the gate is a normal number.
#[test]
fn reference() {
    let mut r = Report::default();
    for u in gated_functions() {
        for a in uniform::<f64>(-20.0, 20.0, 200, 4) {
            for b in uniform::<f64>(-20.0, 20.0, 20, 5) {
                let (v, da, db) = u.reference(a, b);
                let want = exact(u.name(), a, b);
                for (got, part) in [(v, want.value), (da, want.partials[0]), (db, want.partials[1])]
                {
                    let part = part.scale2(want.k);
                    let off = (got - part).hi.abs();
                    r.need(off <= 1e-28 * part.hi.abs().max(1e-3), || {
                        format!("{} at ({a}, {b}): {got:?}, not {part:?}", u.name())
                    });
                }
            }
        }
    }
    r.finish();
}

fn operands<T: Number>(n: u64) -> [Vec<T>; 3] {
    [uniform(-9.0, 9.0, n, 1), uniform(-7.0, 7.0, n, 2), uniform(-3.0, 3.0, n, 3)].map(
        |mut v: Vec<T>| {
            // Not in ascending order.
            let h = v.len() / 2;
            v.rotate_left(h);
            v
        },
    )
}

fn both<T: Number>(u: &GatedFunction, exec: &Exec, [a, b, g]: &[Vec<T>; 3]) -> [Vec<T>; 3] {
    let mut out = [(); 3].map(|()| vec![T::default(); a.len()]);
    let [y, da, db] = &mut out;
    u.forward_with(exec, a, b, y);
    u.backward_with(exec, a, b, g, da, db);
    out
}

#[test]
fn gate_first_or_second() {
    for u in gated_functions() {
        let [a, b, g] = operands::<f32>(100);
        let first =
            both(&u.with_gate(Gate::First), &Exec::new(), &[a.clone(), b.clone(), g.clone()]);
        let [y, da, db] =
            both(&u.with_gate(Gate::Second), &Exec::new(), &[b.clone(), a.clone(), g.clone()]);
        assert_eq!(first, [y, db, da], "{}", u.name());
        let usual = both(u, &Exec::new(), &[a.clone(), b.clone(), g]);
        assert_eq!(
            usual == first,
            u.gate() == Gate::First || u.name() == "bilinear",
            "{}",
            u.name()
        );
        let (v, pa, pb) = u.with_gate(Gate::Second).reference(b[0], a[0]);
        let (w, qa, qb) = u.with_gate(Gate::First).reference(a[0], b[0]);
        assert_eq!((v.hi, pa.hi, pb.hi), (w.hi, qb.hi, qa.hi));
    }
    for (name, gate) in [
        ("glu", Gate::Second),
        ("relu_glu", Gate::Second),
        ("swiglu", Gate::First),
        ("geglu", Gate::First),
        ("reglu", Gate::First),
        ("bilinear", Gate::First),
    ] {
        assert_eq!(gated(name).unwrap().gate(), gate, "{name}");
    }
}

#[test]
fn units_of_one_are_their_gates() {
    let mut r = Report::default();
    for (unit, function) in [
        ("swiglu", "silu"),
        ("geglu", "gelu"),
        ("reglu", "relu"),
        ("glu", "sigmoid"),
        ("bilinear", "identity"),
    ] {
        let (u, f) = (gated(unit).unwrap().with_gate(Gate::First), nonlin::get(function).unwrap());
        let a = uniform::<f64>(-30.0, 30.0, 1000, 1);
        let ones = vec![1.0; a.len()];
        let [y, da, db] = both(&u, &Exec::new(), &[a.clone(), ones.clone(), ones]);
        let (v, d) = (forward(&Exec::new(), &f, &a), derivative(&Exec::new(), &f, &a));
        for i in 0..a.len() {
            r.need(ulp_error(y[i], v[i]) <= 1.0 && ulp_error(db[i], v[i]) <= 1.0, || {
                format!("{unit}({}, 1) = {:e}, {function} = {:e}", a[i], y[i], v[i])
            });
            r.need(ulp_error(da[i], d[i]) <= 1.0, || {
                format!("{unit}'({}, 1) = {:e}, {function}' = {:e}", a[i], da[i], d[i])
            });
        }
    }
    r.finish();
}

fn packed<T: Number>(u: &GatedFunction) {
    for half in [1, 2, 15, 16, 33, 511, 512, 513, 1100] {
        let rows = 3;
        let o @ [a, b, g] = &operands::<T>(half as u64 * rows);
        let [y, da, db] = both(u, &Exec::new(), o);
        let pack = |a: &[T], b: &[T], layout: Layout| -> Vec<T> {
            let rows = a.chunks(half).zip(b.chunks(half));
            match layout {
                Layout::Halves => rows.flat_map(|(a, b)| a.iter().chain(b).copied()).collect(),
                Layout::Interleaved => {
                    rows.flat_map(|(a, b)| a.iter().zip(b).flat_map(|(a, b)| [*a, *b])).collect()
                }
                other => panic!("{other:?}"),
            }
        };
        for layout in [Layout::Halves, Layout::Interleaved] {
            let x = pack(a, b, layout);
            for exec in [Exec::new(), Exec::new().block(7)] {
                let mut got = vec![T::default(); y.len()];
                u.forward_packed_with(&exec, &x, 2 * half, layout, &mut got);
                assert_eq!(first_difference(&got, &y), None, "{} {layout:?} {half}", u.name());
                let mut dx = vec![T::default(); x.len()];
                u.backward_packed_with(&exec, &x, g, 2 * half, layout, &mut dx);
                assert_eq!(
                    first_difference(&dx, &pack(&da, &db, layout)),
                    None,
                    "{} {layout:?} {half}",
                    u.name()
                );
            }
        }
    }
}

#[test]
fn packed_layouts() {
    for u in gated_functions() {
        packed::<f32>(u);
        packed::<f64>(u);
        packed::<bf16>(u);
    }
}

fn agree<T: Number>() {
    for u in gated_functions() {
        let x = some::<T>(2, 500);
        let y: Vec<T> = x.iter().rev().copied().collect();
        let g = uniform::<T>(-2.0, 2.0, x.len() as u64, 7);
        let o = [x, y, g];
        let mut first: Option<[Vec<T>; 3]> = None;
        for level in fused_levels() {
            let now = both(u, &at(level), &o);
            for exec in [at(level).block(1), at(level).block(7), at(level).block(1000)] {
                let other = both(u, &exec, &o);
                assert!(
                    (0..3).all(|k| first_difference(&now[k], &other[k]).is_none()),
                    "{} {exec:?}",
                    u.name()
                );
                #[cfg(feature = "rayon")]
                for threads in [1, 2] {
                    let pool =
                        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let other = pool.install(|| both(u, &exec.parallel(), &o));
                    assert!(
                        (0..3).all(|k| first_difference(&now[k], &other[k]).is_none()),
                        "{} {exec:?}",
                        u.name()
                    );
                }
            }
            let before = first.get_or_insert_with(|| now.clone());
            for k in 0..3 {
                assert_eq!(
                    first_difference(&before[k], &now[k]),
                    None,
                    "{} {} {level}",
                    u.name(),
                    T::NAME_OF
                );
            }
        }
    }
}

#[test]
fn fused_levels_blocks_and_threads() {
    agree::<f32>();
    agree::<f64>();
    agree::<f16>();
}

/// An infinite operand behind an open gate.
fn infinite_values<T: Number>(r: &mut Report, u: &GatedFunction) {
    let inf = T::round(f64::INFINITY);
    let gates: Vec<T> = [0.3, 1.0, 3.0, 8.9375, 30.0].map(T::round).to_vec();
    for value in [inf, T::round(f64::NEG_INFINITY)] {
        let values = vec![value; gates.len()];
        let want = if u.name() == "relu_glu" { value.wide().max(0.0) } else { value.wide() };
        for level in levels() {
            let mut y = vec![T::default(); gates.len()];
            u.with_gate(Gate::First).forward_with(&at(level), &gates, &values, &mut y);
            r.need(y.iter().all(|y| y.wide() == want), || {
                format!("{} {} {level}: {value:?} behind {gates:?} is {y:?}", u.name(), T::NAME_OF)
            });
        }
    }
}

#[test]
fn infinities_pass_open_gates() {
    let mut r = Report::default();
    for u in gated_functions() {
        infinite_values::<f32>(&mut r, u);
        infinite_values::<f64>(&mut r, u);
        infinite_values::<f16>(&mut r, u);
        infinite_values::<bf16>(&mut r, u);
    }
    r.finish();
}

#[test]
fn nan_stays_nan() {
    for u in gated_functions() {
        for level in levels() {
            for (a, b) in [(f32::NAN, 1.0), (1.0, f32::NAN), (f32::NAN, f32::NAN), (f32::NAN, 0.0)]
            {
                let [y, da, db] = both(u, &at(level), &[vec![a], vec![b], vec![1.0]]);
                assert!(y[0].is_nan(), "{} {level}: f({a}, {b}) = {y:?}", u.name());
                assert!(
                    da[0].is_nan() || db[0].is_nan(),
                    "{} {level}: gradients at ({a}, {b}): {da:?}, {db:?}",
                    u.name()
                );
            }
        }
    }
}
