//! The vocabulary of definitions beyond arithmetic, against 30 digits: roots, logarithms, sine and
//! cosine, the inverse tangent, the error function, powers, integers, comparisons, polynomials.
//!
//! The 30 digits are checked against multiple precision in the test kit.
#![allow(unsafe_code)]

use crate::common::each_register_set;
use nonlin::internal::{Bounded, F32Plain, F64Lanes, F64ToF32, Lanes, Lanes64, Simd};
use nonlin::real::{Dd, Dual, Extended, Interval, Prim, Real};
use nonlin_testkit::samples::{mix, mix_unit, mixed, near, specials, uniform};
use nonlin_testkit::ulp::{Format, ulp_error};

/// Primitives without tables of f32.
const PRIMITIVES: [Prim; 7] =
    [Prim::Sqrt, Prim::Ln, Prim::Ln1p, Prim::Sin, Prim::Cos, Prim::Atan, Prim::Erf];

/// The multiples of pi / 2 nearest to which a number of f64 comes, below 2^17 of them and far out.
const NEAR_QUARTERS: [f64; 4] =
    [6.381_956_970_095_103e2, core::f64::consts::FRAC_PI_2, 205_880.0, 5.319_372_648_326_541e255];

/// Numbers of every exponent, and many where a primitive bends or begins.
fn inputs<T: Format>(p: Prim, per_exponent: u64, count: u64) -> Vec<T> {
    let mut xs = mixed::<T>(per_exponent, &[0.0, 1.0, -1.0, 0.5, 2.0, 6.0, 200_000.0], 3, 7);
    xs.extend(uniform::<T>(-8.0, 8.0, count, 1));
    match p {
        Prim::Ln | Prim::Sqrt => xs.extend(uniform::<T>(0.0, 3.0, count, 2)),
        Prim::Ln1p => xs.extend(uniform::<T>(-1.0, 1.0, count, 3)),
        Prim::Sin | Prim::Cos => {
            xs.extend(uniform::<T>(-1e5, 1e5, count, 4));
            xs.extend(near::<T>(&NEAR_QUARTERS, 4));
            let turn = core::f64::consts::FRAC_PI_2;
            let quarters: Vec<f64> =
                (0..count / 8).map(|i| (mix(5, i) % 130_000) as f64 * turn).collect();
            xs.extend(near::<T>(&quarters, 1));
        }
        _ => xs.extend(uniform::<T>(-40.0, 40.0, count, 6)),
    }
    xs
}

/// What a primitive gives in registers, for all of `xs`: value, first and second derivative.
fn in_registers<V: Lanes64>(p: Prim, xs: &[f64]) -> Vec<[f64; 3]> {
    by_register::<V, 3>(xs, |x| {
        let j = F64Lanes(x).jet(p);
        [(j.v + j.v_lo).0, (j.d + j.d_lo).0, j.dd.0]
    })
}

/// What a primitive gives in registers whose results are rounded to f32.
fn in_short_registers<V: Lanes64>(p: Prim, xs: &[f64]) -> Vec<[f64; 3]> {
    by_register::<V, 3>(xs, |x| {
        let j = F64ToF32(x).jet(p);
        [j.v.0, j.d.0, j.dd.0]
    })
}

/// What `f` makes of registers of `xs`.
fn by_register<V: Lanes64, const M: usize>(xs: &[f64], f: impl Fn(V) -> [V; M]) -> Vec<[f64; M]> {
    let mut out = Vec::with_capacity(xs.len());
    for part in xs.chunks(V::N) {
        let mut all = vec![1.0; V::N];
        all[..part.len()].copy_from_slice(part);
        // SAFETY: `all` has `N` numbers.
        let y = f(unsafe { V::load(all.as_ptr()) });
        let mut lanes = [[0.0; 16]; M];
        for (v, to) in y.into_iter().zip(&mut lanes) {
            // SAFETY: a register, or a pair of them, has at most 16 lanes.
            unsafe { v.store(to.as_mut_ptr()) }
        }
        out.extend((0..part.len()).map(|i| lanes.map(|of| of[i])));
    }
    out
}

fn exact(v: Extended) -> (f64, f64) {
    let Dd { hi, lo } = v.to_dd();
    (hi, lo)
}

/// The worst error of each of `M` results, which must be at most `bounds`.
fn hold<const M: usize>(
    what: &str,
    xs: &[f64],
    got: &[[f64; M]],
    wanted: impl Fn(f64) -> [Extended; M],
    bounds: [f64; M],
    counts: impl Fn(f64, usize) -> bool,
) {
    let mut worst = [(0.0f64, 0.0f64); M];
    for (&x, got) in xs.iter().zip(got) {
        for (i, want) in wanted(x).into_iter().enumerate() {
            if !counts(x, i) {
                continue;
            }
            let e = ulp_error(got[i], exact(want));
            if e > worst[i].0 {
                worst[i] = (e, x);
            }
            assert!(
                e <= bounds[i],
                "{what} ({i}) at {x:e}: {:e} is {e} units off {want:?}",
                got[i]
            );
        }
    }
    println!("{what}: {worst:?}");
}

#[test]
fn within_bounds_in_f64() {
    fn all<S: Simd>(set: &str) {
        for p in PRIMITIVES {
            let xs = inputs::<f64>(p, 1, 4000);
            let got = in_registers::<S::F64>(p, &xs);
            let wanted = |x: f64| {
                let j = Extended::new(x).jet(p);
                [j.v, j.d, j.dd]
            };
            // A second derivative is made of the first, of which subnormal numbers hold few digits.
            let counts = |x: f64, i: usize| i < 2 || p != Prim::Erf || x.abs() < 26.0;
            // Next to the least normal number the low part of a product is not a number any more.
            let value = if p == Prim::Erf { 1.5 } else { 0.75 };
            hold(&format!("{set} {p:?}"), &xs, &got, wanted, [value, 2.0, 6.0], counts);
            if p == Prim::Erf {
                let counts = |x: f64, i: usize| i == 0 && x.abs() > 1e-290;
                hold(&format!("{set} {p:?}"), &xs, &got, wanted, [0.75; 3], counts);
            }
        }
    }
    each_register_set!(all());
}

/// f64 lanes whose results are rounded to f32.
#[test]
fn within_bounds_in_f32() {
    fn all<S: Simd>(set: &str) {
        for p in PRIMITIVES {
            let xs: Vec<f64> = inputs::<f32>(p, 16, 4000).into_iter().map(f64::from).collect();
            let got = in_short_registers::<S::F64>(p, &xs);
            let mut worst = [0.0f64; 2];
            for (&x, got) in xs.iter().zip(&got) {
                let j = Extended::new(x).jet(p);
                for (i, want) in [j.v, j.d].into_iter().enumerate() {
                    let e = ulp_error(got[i] as f32, want.to_f64());
                    worst[i] = worst[i].max(e);
                    assert!(e <= 0.51, "{set} {p:?} ({i}) at {x:e}: {:e}, {e} units", got[i]);
                }
            }
            println!("{set} {p:?}: {worst:?}");
        }
    }
    each_register_set!(all());
}

/// Registers with fused multiply-add agree in every bit.
#[test]
fn fused_registers_agree() {
    fn bits<V: Lanes64>(p: Prim, xs: &[f64]) -> Vec<u64> {
        let canonical = |v: f64| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() };
        let wide = in_registers::<V>(p, xs).into_iter().flatten();
        let narrow = in_short_registers::<V>(p, xs);
        wide.chain(narrow.into_iter().flatten()).map(canonical).collect()
    }
    fn all<S: Simd>(set: &str, first: &mut Vec<Vec<u64>>) {
        if !S::F64::FUSED {
            return;
        }
        for (i, p) in PRIMITIVES.into_iter().enumerate() {
            let xs = inputs::<f64>(p, 1, 2000);
            let got = bits::<S::F64>(p, &xs);
            if first.len() == i {
                first.push(got.clone());
            }
            let apart = (0..got.len()).find(|&k| got[k] != first[i][k]);
            assert_eq!(apart, None, "{set} {p:?}");
        }
    }
    let mut first = Vec::new();
    let first = &mut first;
    each_register_set!(all(first));
}

/// What is 0, infinite or not defined, to the bit.
#[test]
fn ends_are_limits() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let quarter = core::f64::consts::FRAC_PI_2;
    // Value and slope at -inf, -0, 0, inf.
    let table = [
        (Prim::Sqrt, [(nan, nan), (-0.0, inf), (0.0, inf), (inf, 0.0)]),
        (Prim::Ln, [(nan, nan), (-inf, inf), (-inf, inf), (inf, 0.0)]),
        (Prim::Ln1p, [(nan, nan), (-0.0, 1.0), (0.0, 1.0), (inf, 0.0)]),
        (Prim::Sin, [(nan, nan), (-0.0, 1.0), (0.0, 1.0), (nan, nan)]),
        (Prim::Cos, [(nan, nan), (1.0, 0.0), (1.0, 0.0), (nan, nan)]),
        (Prim::Atan, [(-quarter, 0.0), (-0.0, 1.0), (0.0, 1.0), (quarter, 0.0)]),
        (
            Prim::Erf,
            [
                (-1.0, 0.0),
                (-0.0, core::f64::consts::FRAC_2_SQRT_PI),
                (0.0, core::f64::consts::FRAC_2_SQRT_PI),
                (1.0, 0.0),
            ],
        ),
    ];
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    fn check<S: Simd>(set: &str, p: Prim, ends: &[(f64, f64)], same: &impl Fn(f64, f64) -> bool) {
        let xs = [f64::NEG_INFINITY, -0.0, 0.0, f64::INFINITY, f64::NAN];
        let wide = in_registers::<S::F64>(p, &xs);
        let narrow = in_short_registers::<S::F64>(p, &xs);
        for (i, &x) in xs.iter().enumerate() {
            let (v, d) = ends.get(i).copied().unwrap_or((f64::NAN, f64::NAN));
            let zero = |d: f64| d == 0.0; // of a slope the sign of a zero is not looked at
            for (how, [got, slope]) in
                [("f64", [wide[i][0], wide[i][1]]), ("f32", [narrow[i][0], narrow[i][1]])]
            {
                let got32 = if how == "f32" { f64::from(got as f32) } else { got };
                let v = if how == "f32" { f64::from(v as f32) } else { v };
                assert!(same(got32, v), "{set} {p:?} at {x}, {how}: {got} and not {v}");
                let short = |v: f64| if how == "f32" { f64::from(v as f32) } else { v };
                let (slope, d) = (short(slope), short(d));
                assert!(
                    same(slope, d) || zero(slope) && zero(d),
                    "slope of {set} {p:?} at {x}, {how}: {slope} and not {d}"
                );
            }
        }
    }
    for (p, ends) in &table {
        each_register_set!(check(*p, ends, &same));
    }
}

#[test]
fn integers() {
    fn all<S: Simd>(set: &str) {
        let mut xs = specials::<f64>();
        xs.extend(mixed::<f64>(2, &[0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 4503599627370495.5], 2, 3));
        xs.extend(uniform::<f64>(-10.0, 10.0, 500, 4));
        let got = by_register::<S::F64, 2>(&xs, |x| [F64Lanes(x).floor().0, F64Lanes(x).round().0]);
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        for (&x, [floor, round]) in xs.iter().zip(got) {
            assert!(same(floor, x.floor()), "{set}: floor of {x} is {floor}");
            assert!(same(round, x.round_ties_even()), "{set}: {x} is rounded to {round}");
            let (d, e) = (Dd::new(x), Extended::new(x));
            for (name, f, r) in [
                ("double-double", d.floor().hi, d.round().hi),
                ("extended", e.floor().to_f64(), e.round().to_f64()),
                ("f32", f64::from(Real::floor(x as f32)), f64::from(Real::round(x as f32))),
            ] {
                let x = if name == "f32" { f64::from(x as f32) } else { x };
                assert!(f == x.floor() || f.is_nan() && x.is_nan(), "{name}: floor of {x} is {f}");
                assert!(
                    r == x.round_ties_even() || r.is_nan() && x.is_nan(),
                    "{name}: {x} is rounded to {r}"
                );
            }
        }
        // A register of f32.
        let ys: Vec<f32> = xs.iter().map(|x| *x as f32).collect();
        for part in ys.chunks_exact(S::F32::N) {
            // SAFETY: `part` has `N` numbers.
            let v = F32Plain(unsafe { S::F32::load(part.as_ptr()) });
            let (mut floor, mut round) = ([0.0f32; 32], [0.0f32; 32]);
            // SAFETY: a register has at most 32 lanes.
            unsafe {
                v.floor().0.store(floor.as_mut_ptr());
                v.round().0.store(round.as_mut_ptr());
            }
            for (i, x) in part.iter().enumerate() {
                let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                assert!(same(floor[i], x.floor()), "{set}: floor of {x} is {}", floor[i]);
                assert!(
                    same(round[i], x.round_ties_even()),
                    "{set}: {x} is rounded to {}",
                    round[i]
                );
            }
        }
    }
    each_register_set!(all());
    // The low part decides.
    let third = |hi, lo| Dd { hi, lo };
    assert_eq!(third(3.0, -1e-20).floor().hi, 2.0);
    assert_eq!(third(2.5, 1e-20).round().hi, 3.0);
    assert_eq!(third(3.5, -1e-20).round().hi, 3.0);
    assert_eq!(third(2.5, 0.0).round().hi, 2.0);
    // Of a derivative nothing is left.
    let d = Dual::variable(1.25f64);
    assert_eq!((d.floor().v, d.floor().d, d.round().v, d.round().d), (1.0, 0.0, 1.0, 0.0));
    assert!(Dual::variable(f64::NAN).floor().d.is_nan());
}

const EXPONENTS: [i32; 15] = [-1000, -7, -3, -2, -1, 0, 1, 2, 3, 4, 5, 8, 13, 31, 1000];

#[test]
fn powers() {
    fn all<S: Simd>(set: &str) {
        let mut xs = mixed::<f64>(1, &[1.0, -1.0, 2.0], 3, 5);
        xs.extend(uniform::<f64>(-3.0, 3.0, 2000, 8));
        for n in EXPONENTS {
            let got = by_register::<S::F64, 1>(&xs, |x| [F64Lanes(x).powi(n).0]);
            let finite: Vec<f64> =
                xs.iter().copied().filter(|x| x.is_finite() && *x != 0.0).collect();
            let of_finite = by_register::<S::F64, 1>(&finite, |x| [F64Lanes(x).powi(n).0]);
            let wanted = |x: f64| [Extended::new(x).powi(n)];
            // Not where the remainders of hundreds of products are below the least number.
            let counts = |x: f64, _| n.abs() < 100 || wanted(x)[0].abs().to_f64() > 1e-290;
            hold(&format!("{set} x^{n}"), &finite, &of_finite, wanted, [1.5], counts);
            for (&x, [got]) in xs.iter().zip(&got) {
                if x == 0.0 || x.is_infinite() || x.is_nan() {
                    let want = if x.is_nan() { x } else { x.powi(n) };
                    let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
                    assert!(same, "{set}: {x}^{n} is {got} and not {want}");
                }
            }
            // Rounded to f32.
            let short: Vec<f64> = xs.iter().map(|x| f64::from(*x as f32)).collect();
            let got = by_register::<S::F64, 1>(&short, |x| [F64ToF32(x).powi(n).0]);
            for (&x, [got]) in short.iter().zip(&got) {
                let e = ulp_error(*got as f32, x.powi(0) * Extended::new(x).powi(n).to_f64());
                let plain = x.is_finite() && x != 0.0;
                assert!(!plain || e <= 0.51, "{set}: {x}^{n} in f32 is {got}: {e} units");
            }
        }
        let mut xs = mixed::<f64>(1, &[1.0, 2.0], 3, 6);
        xs.extend(uniform::<f64>(0.0, 3.0, 2000, 8));
        xs.retain(|x| *x > 0.0 && x.is_finite());
        for y in [-2.5, -1.0, -1e-20, 1e-20, 0.3, 0.5, 1.0, 1.7, 3.0, 40.1] {
            let got = by_register::<S::F64, 1>(&xs, |x| {
                [F64Lanes(x).powf(F64Lanes(<S::F64 as Lanes>::splat(y))).0]
            });
            let wanted = |x: f64| [Extended::new(x).powf(Extended::new(y))];
            hold(&format!("{set} x^{y}"), &xs, &got, wanted, [1.5], |_, _| true);
            let got = by_register::<S::F64, 1>(&xs, |x| {
                [F64ToF32(x).powf(F64ToF32(<S::F64 as Lanes>::splat(y))).0]
            });
            for (&x, [got]) in xs.iter().zip(&got) {
                let e = ulp_error(*got as f32, Extended::new(x).powf(Extended::new(y)).to_f64());
                assert!(e <= 0.51, "{set}: {x}^{y} in f32 is {got}: {e} units");
            }
        }
    }
    each_register_set!(all());
    let (inf, power) = (f64::INFINITY, |x: f64, y: f64| Real::powf(F64Lanes(x), F64Lanes(y)).0);
    for (x, y, want) in [
        (0.0, 2.0, 0.0),
        (0.0, 0.0, 1.0),
        (0.0, -1.0, inf),
        (inf, 0.5, inf),
        (inf, 0.0, 1.0),
        (inf, -0.5, 0.0),
        (1.0, inf, 1.0),
        (2.0, inf, inf),
        (0.5, inf, 0.0),
    ] {
        assert_eq!(power(x, y), want, "{x}^{y}");
    }
    assert!(
        power(-1.0, 2.0).is_nan() && power(f64::NAN, 0.0).is_nan() && power(2.0, f64::NAN).is_nan()
    );
    // Their derivatives, also where a factor is 0 or infinite.
    let by_base = |x: f64, y: f64| Dual::variable(x).powf(Dual::fixed(y)).d;
    assert_eq!((by_base(0.0, 1.5), by_base(0.0, 1.0), by_base(4.0, 1.5)), (0.0, 1.0, 3.0));
    assert_eq!((by_base(0.0, 0.5), by_base(1e200, 2.0)), (inf, 2e200));
    let by_power = |x: f64, y: f64| Dual::fixed(x).powf(Dual::variable(y)).d;
    assert_eq!((by_power(0.0, 2.0), by_power(1.0, 3.0)), (-0.0, 0.0));
    assert_eq!(Dual::variable(3.0f64).powi(4).d, 108.0);
    assert_eq!(Dual::variable(0.0f64).powi(1).d, 1.0);
    assert_eq!(Dual::variable(2.0f64).powi(-2).d, -0.25);
}

#[test]
fn compositions() {
    fn all<S: Simd>(set: &str) {
        let mut xs = mixed::<f64>(1, &[0.0, -core::f64::consts::LN_2], 3, 9);
        xs.extend(uniform::<f64>(-40.0, 40.0, 3000, 8));
        xs.extend(uniform::<f64>(-1.5, 0.0, 3000, 9));
        let got =
            by_register::<S::F64, 2>(&xs, |x| [F64Lanes(x).log1mexp().0, F64Lanes(x).erfc().0]);
        let wanted = |x: f64| [Extended::new(x).log1mexp(), Extended::new(x).erfc()];
        hold(&format!("{set} log1mexp, erfc"), &xs, &got, wanted, [1.5, 2.0], |_, _| true);
        let short: Vec<f64> = xs.iter().map(|x| f64::from(*x as f32)).collect();
        let got =
            by_register::<S::F64, 2>(&short, |x| [F64ToF32(x).log1mexp().0, F64ToF32(x).erfc().0]);
        for (&x, got) in short.iter().zip(&got) {
            for (got, want) in got.iter().zip(wanted(x)) {
                let e = ulp_error(*got as f32, want.to_f64());
                assert!(e <= 0.51, "{set} at {x}: {got} is {e} units off");
            }
        }
    }
    each_register_set!(all());
    // Horner's rule, to 2^-100 in the reference, to a rounding in f64.
    let c = [0.25, -3.0, 0.5, 2.0];
    for x in [-2.0, 0.5, 3.0] {
        let exact = 0.25 + x * (-3.0 + x * (0.5 + x * 2.0));
        assert_eq!(Real::polynomial(x, &c), exact);
        assert_eq!(Extended::new(x).polynomial(&c.map(Extended::new)).to_f64(), exact);
        let d = Dual::variable(x).polynomial(&c.map(Dual::fixed));
        assert_eq!((d.v, d.d), (exact, -3.0 + x + 6.0 * x * x));
    }
    assert_eq!(Real::polynomial(3.0, &[]), 0.0);
}

/// Where a number that is not literal cuts another one.
#[test]
fn comparisons() {
    let at = |x: f64, c: f64| {
        let (s, t) = (x.split_by(c), x.split_at_by(c));
        (s.join(1.0, -1.0), t.join(1.0, -1.0))
    };
    assert_eq!((at(2.0, 1.0), at(0.5, 1.0), at(1.0, 1.0)), ((1.0, 1.0), (-1.0, -1.0), (-1.0, 1.0)));
    for (x, c) in [(f64::NAN, 1.0), (1.0, f64::NAN)] {
        let (a, b) = at(x, c);
        assert!(a.is_nan() && b.is_nan(), "{x} against {c}");
    }
    fn all<S: Simd>(set: &str) {
        let xs = [1.0, 2.0, 3.0, -0.0, f64::NAN, f64::INFINITY, -5.0, 2.0];
        let two = F64Lanes(<S::F64 as Lanes>::splat(2.0));
        let nan = F64Lanes(<S::F64 as Lanes>::splat(f64::NAN));
        let got = by_register::<S::F64, 5>(&xs, |x| {
            let x = F64Lanes(x);
            let (s, t) = (x.split_by(two), x.split_at_by(two));
            let one = x.lit(1.0);
            [
                s.join(one, -one).0,
                t.join(one, -one).0,
                x.split_by(nan).join(one, -one).0,
                x.sign().0,
                x.step().0,
            ]
        });
        for (x, [above, at_least, undecided, sign, step]) in xs.into_iter().zip(got) {
            assert!(undecided.is_nan(), "{set}: {x} against NaN");
            if x.is_nan() {
                assert!(above.is_nan() && at_least.is_nan() && sign.is_nan() && step.is_nan());
                continue;
            }
            let of = |yes: bool| if yes { 1.0 } else { -1.0 };
            assert_eq!((above, at_least), (of(x > 2.0), of(x >= 2.0)), "{set}: {x}");
            let signum = if x == 0.0 { 0.0 } else { x.signum() };
            assert_eq!((sign, step), (signum, f64::from(u8::from(x > 0.0))), "{set}: {x}");
        }
    }
    each_register_set!(all());
    // An interval is cut at the nearer end of what cuts it.
    let x = Interval::new(0.0, 10.0);
    let s = x.split_by(Interval::new(3.0, 4.0));
    assert_eq!((s.hi, s.lo), (Interval::new(3.0, 10.0), Interval::new(0.0, 4.0)));
    let joined = s.join(Interval::point(7.0), Interval::point(5.0));
    assert_eq!(joined, Interval::new(5.0, 7.0));
    let sure = x.split_by(Interval::new(-2.0, -1.0));
    assert_eq!(sure.join(Interval::point(7.0), Interval::point(5.0)), Interval::point(7.0));
    // A derivative is that of the piece.
    let d = Dual::variable(2.0f64);
    let s = d.split_by(Dual::fixed(1.0));
    assert_eq!(s.join(s.hi * s.hi, s.lo).d, 4.0);
}

/// A method of the vocabulary, to be asked with every number type.
trait Method {
    fn of<T: Real>(&self, x: T) -> T;
}
#[derive(Debug)]
enum Named {
    Value(Prim),
    Slope(Prim),
    Bend(Prim),
    Floor,
    Round,
    Integer(i32),
    Power(f64),
    Log1mexp,
    Erfc,
    Sign,
    Step,
    Polynomial,
}
impl Method for Named {
    fn of<T: Real>(&self, x: T) -> T {
        match *self {
            Named::Value(p) => x.jet(p).v,
            Named::Slope(p) => x.jet(p).d,
            Named::Bend(p) => x.jet(p).dd,
            Named::Floor => x.floor(),
            Named::Round => x.round(),
            Named::Integer(n) => x.powi(n),
            Named::Power(y) => x.powf(x.lit(y)),
            Named::Log1mexp => x.log1mexp(),
            Named::Erfc => x.erfc(),
            Named::Sign => x.sign(),
            Named::Step => x.step(),
            Named::Polynomial => x.polynomial(&[x.lit(1.0), x.lit(-2.0), x.lit(0.25)]),
        }
    }
}
fn methods() -> Vec<Named> {
    let mut all: Vec<Named> = PRIMITIVES
        .into_iter()
        .flat_map(|p| [Named::Value(p), Named::Slope(p), Named::Bend(p)])
        .collect();
    all.extend([Named::Floor, Named::Round, Named::Log1mexp, Named::Erfc]);
    all.extend([Named::Sign, Named::Step, Named::Polynomial]);
    all.extend([-2, -1, 1, 2, 3, 4].map(Named::Integer));
    all.extend([-1.5, 0.5, 2.5].map(Named::Power));
    all
}

/// An interval's image holds the values at numbers inside.
#[test]
fn intervals_contain() {
    for m in methods() {
        for i in 0..4000u64 {
            let random = |n: u64| mix_unit(i, n);
            let scale = 2f64.powi((mix(i, 9) % 40) as i32 - 20);
            let scale = if i % 3 == 0 { 3.0 } else { scale };
            let a = (2.0 * random(1) - 1.0) * scale;
            let width = random(2) * if i % 2 == 0 { scale } else { 1e-3 * scale };
            let b = if i % 7 == 0 { a } else { a + width };
            let image = m.of(Interval::new(a, b));
            for k in 0..6 {
                let x = match k {
                    0 => a,
                    1 => b,
                    _ => (a + (b - a) * random(2 + k)).clamp(a, b),
                };
                let y = m.of(Extended::new(x)).to_f64();
                assert!(
                    y.is_nan() || image.contains(y),
                    "{m:?} at {x:e} in {a:e} .. {b:e} is {y:e}, not in {image:?}"
                );
            }
        }
    }
    // Not more than that, where it is simple.
    let wide = Interval::new(-1.0, 2.0).sin();
    assert!((1.0..1.000_001).contains(&wide.hi) && wide.lo < -0.84 && wide.lo > -0.842);
    let narrow = Interval::new(4.0, 9.0).sqrt();
    assert!(narrow.lo > 1.999_999 && narrow.hi < 3.000_001);
    assert_eq!(Interval::new(-2.0, 3.0).powi(2).lo, 0.0);
    assert!(Interval::new(-3.0, -1.0).ln().is_empty());
}

/// A bound of the error is one.
#[test]
fn running_bounds_hold() {
    for m in methods() {
        let mut known = 0;
        for i in 0..3000u64 {
            let scale = if i % 3 == 0 { 3.0 } else { 2f64.powi((mix(i, 9) % 60) as i32 - 30) };
            let x = (2.0 * mix_unit(i, 1) - 1.0) * scale;
            // Exactly x, or not quite.
            let off = if i % 2 == 0 { 0.0 } else { x * 2f64.powi(-20 - (mix(i, 3) % 33) as i32) };
            let bounded = m.of(Bounded::from(Dd { hi: x, lo: off }));
            for x in [Dd::new(x), Dd::new(x) + Dd::new(off), Dd::new(x) - Dd::new(off)] {
                let want = m.of(Extended::from(x));
                for bits in (10..60).rev() {
                    let relative = 0.5f64.powi(bits);
                    let Some(v) = bounded.within(relative) else {
                        continue;
                    };
                    known += 1;
                    let apart = (want - Extended::new(v)).abs().to_f64();
                    assert!(
                        apart <= relative * v.abs(),
                        "{m:?} at {x:?}: {v:e} is {apart:e} off, and said to be within 2^-{bits}"
                    );
                    break;
                }
            }
        }
        assert!(known > 1500, "{m:?}: only {known} of 9000 are known");
    }
}
